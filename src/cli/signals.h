/* SPDX-License-Identifier: MIT */
#pragma once
/*
 * Signals of davit, passed on to the command. They are blocked from before the
 * start, so none is lost; the command starts with none blocked.
 */
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>

#include <davit/loop.h>

struct dv_signals {
	struct dv_src src;
	int fd; /* owned, -1 */
	sigset_t before;
	bool blocked;
	bool holding, resized, held_terminal;
	int held; /* the signal that is kept, 0 */
	/* @terminal: sent by the kernel, for a key or a changed window. */
	void (*fn)(struct dv_signals *signals, int signo, bool terminal);
};

#define DV_SIGNALS_INIT                      \
	{                                    \
		.src = DV_SRC_INIT, .fd = -1 \
	}

/* Block those that are not ignored, and watch them. 0 or -errno. */
int dv_signals_open(struct dv_signals *signals, struct dv_loop *loop,
		    void (*fn)(struct dv_signals *signals, int signo,
			       bool terminal));
/*
 * The command is being started, and there is nobody yet to pass them on to: the
 * first that would end us is kept, a second one ends us, and TSTP stops us.
 */
static inline void dv_signals_hold(struct dv_signals *signals)
{
	signals->holding = true;
}
/* It is there: what was kept is passed on, and from now on all are. */
void dv_signals_release(struct dv_signals *signals);
/* Unblock; what is pending then does what it always does. Idempotent. */
void dv_signals_close(struct dv_signals *signals);
