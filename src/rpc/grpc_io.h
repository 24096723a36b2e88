/* SPDX-License-Identifier: MIT */
#pragma once
/*
 * An HTTP/2 session on a socket and the loop: what gRPC's two sides share.
 * Private to this room.
 *
 * The owner embeds struct dv_h2, makes the nghttp2 session, and may submit to
 * it at any time; dv_h2_kick() says that there may be something to send.
 * Everything happens in turns: read once, let nghttp2 run its callbacks, ask
 * the owner, write what there is. Inside a turn the owner may be closed by what
 * it calls: dv_h2_close() then lets the turn end before the memory goes.
 */
#include <nghttp2/nghttp2.h>

#include "base/buf.h"
#include "davit/loop.h"
#include "rpc/limits.h"

enum {
	/* One read and one write of a turn. */
	DV_H2_READ_LEN = 32 << 10,
	DV_H2_WRITE_LEN = 64 << 10,
	/* Writes in a row; then it is somebody else's turn. */
	DV_H2_TURN_WRITES = 4,
	/* Frames that wait to be sent: while there are more, nothing is read.
	 * Each call in flight has one or two of them. */
	DV_H2_FRAMES_MAX = 4 * DV_RPC_CALLS_MAX,
	/* The window of a connection. That of a stream is HTTP/2's 64 KiB. */
	DV_H2_WINDOW = 1 << 20,
	/* Frames that carry nothing (PING, SETTINGS, PRIORITY, empty DATA,
	 * RST_STREAM, WINDOW_UPDATE): at most so many, and so many more each
	 * second. Each DATA frame that carries something pays for two. */
	DV_H2_IDLE_FRAMES = 20000,
	/* Calls that are given up before their answer: all at once, and then
	 * as many each ten seconds. */
	DV_H2_RESETS = DV_RPC_CALLS_MAX,
	DV_H2_RESETS_PER_SECOND = DV_RPC_CALLS_MAX / 10,
};

struct dv_h2;

struct dv_h2_ops {
	/* The connection is over; NULL: it ended in order. From the loop. It
	 * is to be closed. */
	void (*ended)(struct dv_h2 *h, const struct dv_err *err);
	/* In each turn, before and after bytes went out. True: there may be
	 * more to send. */
	bool (*turn)(struct dv_h2 *h);
	/* The peer will send nothing more. True: its calls are worth an answer,
	 * so the connection goes on for them. */
	bool (*half_closed)(struct dv_h2 *h);
	/* Free the memory; the rest is closed already. */
	void (*free)(struct dv_h2 *h);
};

/* A number of events, and how many more there may be each second. */
struct dv_h2_quota {
	uint32_t left, max, per_second;
	uint64_t at_ns; /* when `left` was last filled */
};

struct dv_h2 {
	const struct dv_h2_ops *ops;
	struct dv_loop *loop;
	nghttp2_session *session;
	int fd; /* owned */
	struct dv_src src;
	struct dv_defer later;
	struct dv_buf in;  /* read by somebody before us; empty otherwise */
	struct dv_buf out; /* what nghttp2 gave and the socket did not take */
	size_t out_at;
	bool busy; /* inside a turn */
	bool dead; /* closed inside a turn */
	bool eof;  /* nothing more will be read */
	struct dv_h2_quota idle, resets;
	uint64_t n_in, n_out; /* bytes */
};

/*
 * Set up an embedded @h without a session, and @fd (non-blocking) consumed,
 * also on failure. Returns 0 or -errno.
 */
int dv_h2_init(struct dv_h2 *h, struct dv_loop *loop, int fd,
	       const struct dv_h2_ops *ops);
/* Bytes that were read already: they are first. Borrowed. 0 or -ENOMEM. */
int dv_h2_feed(struct dv_h2 *h, const void *head, size_t len);
/* There may be something to send. Idempotent, cheap. */
void dv_h2_kick(struct dv_h2 *h);
/*
 * Send what can be sent without waiting. Returns 0 when nothing is left,
 * DV_MORE, or -errno (the connection is gone, which `ended` tells later). Not
 * inside a turn, where it returns DV_MORE.
 */
int dv_h2_flush(struct dv_h2 *h);
/* Close it. ops->free() runs now, or at the end of the turn. */
void dv_h2_close(struct dv_h2 *h);

/*
 * What the peer may do only so often: a frame (from on_begin_frame), a reset of
 * a stream whose answer is not out. Too often ends the session with
 * ENHANCE_YOUR_CALM.
 */
void dv_h2_count_frame(struct dv_h2 *h, const nghttp2_frame_hd *hd);
void dv_h2_count_reset(struct dv_h2 *h);
/* A DATA frame that carries something came or went. */
void dv_h2_count_data(struct dv_h2 *h);

/* Options of a session: windows are ours to give, limits as above. The caller
 * frees it. NULL: no memory. */
nghttp2_option *dv_h2_options(void);

/* A header field of two literal or borrowed texts; nghttp2 copies them. */
nghttp2_nv dv_h2_field(const char *name, const char *value, size_t len);
