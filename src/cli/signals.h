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
/* Unblock; what is pending then does what it always does. Idempotent. */
void dv_signals_close(struct dv_signals *signals);
