/* SPDX-License-Identifier: MIT */
#pragma once
/*
 * One direction of a process's stream: from its pipe or terminal to a data
 * connection, or from a connection to it. (A tunnel, transport/relay.h, is for
 * two connections; this knows how terminals and pipes end, and can be saved.)
 *
 * Embedded in its owner; private to this room. It holds little: where both
 * sides allow it, splice() moves the bytes and nothing is ever held here.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "davit/err.h"
#include "davit/loop.h"
#include "services/linger.h"
#include "wire/state.pb.h"

enum dv_pump_state {
	DV_PUMP_IDLE = 0,
	DV_PUMP_READING, /* nothing to write: waits for the source */
	DV_PUMP_WRITING, /* waits for the destination */
	DV_PUMP_LINGER,  /* all was sent; waits for the client to close */
	DV_PUMP_DONE,
	DV_PUMP_N
};

/* What the destination is, which decides how its end is told. */
enum dv_pump_to {
	DV_PUMP_PIPE = 0, /* by closing it */
	DV_PUMP_TTY,      /* by VEOF; it stays open */
	DV_PUMP_SOCKET,   /* by shutdown(), and then it lingers */
	DV_PUMP_NOWHERE,  /* bytes are discarded */
	DV_PUMP_TO_N
};

struct dv_pump {
	struct dv_loop *loop;
	enum dv_pump_state state;
	enum dv_pump_to kind;
	int from, to; /* owned; -1 none */
	struct dv_src src, dst;
	struct dv_linger linger;
	struct dv_defer end;
	char *buf; /* owned; NULL while nothing is held */
	size_t off, len;
	uint64_t bytes; /* delivered */
	bool eof;       /* the source has ended */
	bool copies;    /* splice() is not possible */
	bool midline;   /* a terminal got no newline last */
	bool gone;      /* the destination went first */
	bool wide;      /* its pipe was enlarged */
	uint8_t stuck;  /* splice() moved nothing, though both were ready */
	/* Everything is in the socket, its end too; may be NULL. */
	void (*sent)(struct dv_pump *pump);
	void (*done)(struct dv_pump *pump); /* last thing it does; may free */
	void *owner;
};

/* clang-format off */
#define DV_PUMP_INIT { .from = -1, .to = -1, .src = DV_SRC_INIT, \
		       .dst = DV_SRC_INIT, .linger = DV_LINGER_INIT, \
		       .end = DV_DEFER_INIT }
/* clang-format on */

enum {
	DV_PUMP_BUF = 64 << 10, /* held at most: what a pipe holds */
};

/*
 * Begin. @from and @to are consumed, also on failure, and become non-blocking;
 * @to is -1 for NOWHERE. @from may be -1: only what dv_pump_hold() gave is
 * sent. Returns 0 or -errno. done() comes later, from the loop.
 */
int dv_pump_start(struct dv_pump *pump, struct dv_loop *loop, int from, int to,
		  enum dv_pump_to kind);
/* Bytes (copied) that go first. Before the start. 0 or -ENOMEM. */
int dv_pump_hold(struct dv_pump *pump, const void *data, size_t len);
/* As if the source, a socket, had ended now: what it holds is delivered. */
void dv_pump_finish(struct dv_pump *pump);
/* Close everything now; no callback. Idempotent. */
void dv_pump_stop(struct dv_pump *pump);
/* Free without closing: the descriptors live on in a saved state. */
void dv_pump_abandon(struct dv_pump *pump);
static inline bool dv_pump_runs(const struct dv_pump *pump)
{
	return pump->state != DV_PUMP_IDLE && pump->state != DV_PUMP_DONE;
}

/* Fill @out (malloc'd parts). Only of one that runs. 0 or -ENOMEM. */
int dv_pump_save(const struct dv_pump *pump, dv_PumpState *out);
/* Go on with a saved one; its descriptors are consumed. */
int dv_pump_restore(struct dv_pump *pump, struct dv_loop *loop,
		    const dv_PumpState *state);

/*
 * Bytes as a list of pieces, which is how a document holds more than 64 KiB.
 * Returns 0 or -ENOMEM; *@listp and *@countp grow.
 */
int dv_pieces_add(pb_bytes_array_t ***listp, pb_size_t *countp,
		  const void *data, size_t len);
/* A descriptor in a document and back; see state.proto. */
static inline uint32_t dv_fd_to_state(int fd)
{
	return fd < 0 ? 0 : (uint32_t)fd + 1;
}
int dv_fd_from_state(uint32_t v);
