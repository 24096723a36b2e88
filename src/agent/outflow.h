/* SPDX-License-Identifier: MIT */
#pragma once
/*
 * A flow: bytes that go from something of the agent to one client, over a data
 * connection, for as long as both want it. All flows have the same shape:
 *
 *   int dv_X_start(struct dv_X **xp, struct dv_loop *loop, int out,
 *		    const struct dv_X_opts *opts, dv_outflow_done *done,
 *		    void *arg, struct dv_err *err);
 *   struct dv_X *dv_X_free(struct dv_X *x);
 *
 * start takes a connected stream socket (@out is consumed, also on failure) and
 * returns 0, or -errno with @err filled; then @done is never called. A client
 * that hangs up, or shuts down its sending half, ends its flow with -EPIPE and
 * the code DV_CANCELLED. free cancels what still runs, closes the socket, calls
 * nothing, accepts NULL and returns NULL; it may be called inside @done, and
 * it has to be called after it.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <davit/err.h>
#include <davit/loop.h>

#include "base/buf.h"

/*
 * The flow ended after @bytes. @err is NULL when it ended in order, and else
 * borrowed for the call. Called once, by the loop, never inside start. The
 * socket is closed already.
 */
typedef void dv_outflow_done(void *arg, uint64_t bytes,
			     const struct dv_err *err);

/*
 * What flows on the event loop share: the socket and what waits to be sent. The
 * owner puts bytes into buf, never more than dv_outflow_room() says, and calls
 * dv_outflow_flush(); @room is called when there is room again. It must not
 * free the flow.
 */
struct dv_outflow;
typedef void dv_outflow_room_fn(struct dv_outflow *f);

struct dv_outflow {
	struct dv_loop *loop;
	struct dv_src src;
	struct dv_defer end; /* done is called from there */
	struct dv_buf buf;   /* to be sent; [0, sent) is gone already */
	size_t sent;
	uint64_t bytes; /* sent in all */
	dv_outflow_room_fn *room;
	dv_outflow_done *done;
	void *arg;
	int fd;
	bool ended;  /* nothing more will be put */
	bool failed; /* err says why */
	struct dv_err err;
};

/* clang-format off */
#define DV_OUTFLOW_INIT { .src = DV_SRC_INIT, .end = DV_DEFER_INIT, .fd = -1 }
/* clang-format on */

/*
 * @out is consumed; its O_NONBLOCK is neither needed nor touched. At most @max
 * bytes wait in memory. -ENOTSOCK with @err when it is no socket.
 */
int dv_outflow_init(struct dv_outflow *f, struct dv_loop *loop, int out,
		    size_t max, dv_outflow_room_fn *room, dv_outflow_done *done,
		    void *arg, struct dv_err *err);
/* Bytes that may be put; 0 once the flow has ended. */
size_t dv_outflow_room(struct dv_outflow *f);
/* Send what the socket takes; the loop sends the rest. */
void dv_outflow_flush(struct dv_outflow *f);
/*
 * No more will be put. When the rest is sent, done is called with @err, which
 * is copied; NULL is the end in order. Only the first call counts.
 */
void dv_outflow_end(struct dv_outflow *f, const struct dv_err *err);
/* End at once; what was not sent is dropped. */
void dv_outflow_abort(struct dv_outflow *f, const struct dv_err *err);
/* Idempotent; closes the socket. */
void dv_outflow_deinit(struct dv_outflow *f);

/* Fill @err as for a client that hung up; -EPIPE. */
int dv_outflow_hung_up(struct dv_err *err);
