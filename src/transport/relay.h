/* SPDX-License-Identifier: MIT */
#pragma once
/*
 * Bytes both ways between two stream descriptors, on a loop: a tunnel.
 *
 * Each direction holds one buffer at most and reads nothing while something
 * could not be written, so a reader that stops only stops its own direction. An
 * end in one direction is passed on (shutdown for writing) and leaves the other
 * alone. A side that is gone (EPIPE, ECONNRESET) is an end, not a failure.
 * Where a direction carries much, it goes through a pipe with splice().
 * Embedded in its owner. One thread.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <davit/err.h>
#include <davit/loop.h>

enum {
	DV_TUNNEL_BUF = 64 * 1024, /* held per direction, by either way */
};

enum dv_lane_state {
	DV_LANE_IDLE = 0, /* not started */
	DV_LANE_READING,  /* nothing held, waiting for the source */
	DV_LANE_WRITING,  /* something held, waiting for the destination */
	DV_LANE_ENDED,
	DV_LANE_N
};

/* One direction. */
struct dv_lane {
	enum dv_lane_state state;
	int sys;        /* how it ended: 0 in order, else an errno */
	uint64_t total; /* bytes delivered */
	char *buf;      /* owned; NULL until needed */
	size_t head, len;
	int pipe[2];     /* owned; -1 while not in use */
	size_t piped;    /* bytes in the pipe */
	uint32_t n_full; /* full buffers in a row */
	bool no_splice;  /* it was tried, or there is no descriptor for it */
};

struct dv_tunnel_end {
	struct dv_src src;
	int fd; /* owned */
	bool socket;
	bool second; /* it is end[1] */
};

struct dv_tunnel;

/*
 * Called once, when both directions have ended and both descriptors are closed;
 * never from inside dv_tunnel_start(). lane[].total and lane[].sys are set.
 * The tunnel may be freed inside.
 */
typedef void dv_tunnel_fn(struct dv_tunnel *t);

struct dv_tunnel {
	struct dv_loop *loop;        /* NULL = not running */
	struct dv_tunnel_end end[2]; /* a, b */
	struct dv_lane lane[2];      /* a to b, b to a */
	dv_tunnel_fn *fn;
};

/* clang-format off */
#define DV_LANE_INIT { .pipe = { -1, -1 } }
#define DV_TUNNEL_INIT							\
	{								\
		.end = { { DV_SRC_INIT, -1, false, false },			\
			 { DV_SRC_INIT, -1, false, false } },			\
		.lane = { DV_LANE_INIT, DV_LANE_INIT }			\
	}
/* clang-format on */

/*
 * Bytes (copied) that go ahead of everything in lane[@lane]: what was read
 * behind a handshake. Before the start. Returns 0, -EMSGSIZE for more than
 * DV_TUNNEL_BUF in all, or -ENOMEM.
 */
int dv_tunnel_preload(struct dv_tunnel *t, int lane, const void *data,
		      size_t len);

/*
 * Begin. Both descriptors are consumed and become non-blocking: sockets, or
 * what else reads and writes and works with epoll (a direction into it cannot
 * be ended alone, then). Returns 0, or -errno: everything is closed.
 */
int dv_tunnel_start(struct dv_tunnel *t, struct dv_loop *loop, int a, int b,
		    dv_tunnel_fn *fn, struct dv_err *err);

/*
 * For a restart: what lane[@lane] of a running tunnel has read and not yet
 * written (borrowed until the loop runs on). The program after us takes both
 * descriptors, preloads that, and starts. A direction that has ended ends there
 * again. Returns 0 or -errno.
 */
int dv_tunnel_held(struct dv_tunnel *t, int lane, const char **datap,
		   size_t *lenp);

/* Close both at once and free; idempotent, also before a start. No callback. */
void dv_tunnel_close(struct dv_tunnel *t);
