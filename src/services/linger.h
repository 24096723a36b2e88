/* SPDX-License-Identifier: MIT */
#pragma once
/*
 * The end of a connection to which everything was sent: its writing side is
 * shut down, and it is closed when its client closes, or after DV_LINGER_MS.
 * Closing it at once could cut off what is on its way through a relay.
 */
#include <davit/loop.h>

struct dv_linger {
	struct dv_loop *loop;
	int fd; /* owned; -1 none */
	struct dv_src src;
	struct dv_timer timer;
	void (*done)(struct dv_linger *l); /* last thing it does; may free */
};

/* clang-format off */
#define DV_LINGER_INIT { NULL, -1, DV_SRC_INIT, DV_TIMER_INIT, NULL }
/* clang-format on */

/*
 * @fd is consumed, also on failure. done() is called later. Returns 0 or
 * -errno: it is closed already, a pipe at once (-ENOTSOCK).
 */
int dv_linger_start(struct dv_linger *l, struct dv_loop *loop, int fd,
		    void (*done)(struct dv_linger *l));
/* Close now, without a callback. Idempotent. */
void dv_linger_stop(struct dv_linger *l);
/* The same without closing. */
void dv_linger_abandon(struct dv_linger *l);
