/* SPDX-License-Identifier: MIT */
#pragma once
/*
 * Calls, as the two protocols see them. Private to this room.
 *
 * A protocol embeds struct dv_conn in its connection, parses requests and gives
 * them to dv_call_dispatch(). The dispatch finds the method, decodes, and runs
 * the handler; what the handler answers comes back through struct dv_call_ops.
 * Whoever ends a call (the answer, the deadline, the connection), ends it here:
 * a protocol never frees one.
 */
#include "base/buf.h"
#include "rpc/limits.h"
#include "rpc/server.h"
#include "rpc/shares.h"
#include "transport/listener.h"

struct dv_conn;
struct dv_inflight;
struct dv_request;

/* A message to send: a struct with its schema, or bytes; borrowed. */
struct dv_body {
	const pb_msgdesc_t *fields; /* NULL: @data counts */
	const void *msg;            /* NULL: empty */
	const void *data;
	size_t len;
};

/*
 * Encoded size of @body. Returns 0, or < 0 with @err filled: more than
 * DV_RPC_SEND_MAX is -EMSGSIZE, DV_EXHAUSTED, with a hint to use a stream.
 */
int dv_body_size(const struct dv_body *body, size_t *lenp, struct dv_err *err);
/* Append @len bytes (what dv_body_size() said). Returns 0 or -errno. */
int dv_body_put(const struct dv_body *body, size_t len, struct dv_buf *out,
		struct dv_err *err);

/* What a protocol does for a call. The call is released right after answer(),
 * fail() and end(): forget it. None of them may free the connection. */
struct dv_call_ops {
	/* Success. < 0 with @err filled: nothing was sent, fail() follows.
	 * @fds (borrowed, for this function only) only when @n_fds > 0. */
	int (*answer)(struct dv_inflight *f, const struct dv_body *body,
		      const int *fds, size_t n_fds, struct dv_err *err);
	/* Failure; err->code is never DV_OK. */
	void (*fail)(struct dv_inflight *f, const struct dv_err *err);
	/* One message of a stream: 0, DV_MORE (queued, but the queue is full:
	 * dv_inflight_ready() will be called), < 0 with @err: fail() follows.
	 * NULL: streams are refused. */
	int (*message)(struct dv_inflight *f, const struct dv_body *body,
		       struct dv_err *err);
	/* A stream ends in order. */
	void (*end)(struct dv_inflight *f);
};

enum dv_inflight_state {
	DV_CALL_RUNNING, /* inside its handler */
	DV_CALL_HELD,    /* in a bucket of its connection */
	DV_CALL_ENDING,  /* its cancel function runs */
	DV_CALL_N
};

/* A call that is not answered yet. */
struct dv_inflight {
	struct dv_call call; /* what the handler sees */
	const struct dv_call_ops *ops;
	struct dv_conn *conn;
	struct dv_inflight *next, **prevp; /* in a bucket of conn */
	enum dv_inflight_state state;
	uint32_t stream;
	void *stream_data; /* the protocol's own */
	struct dv_timer deadline;
	void (*ready)(struct dv_call *call);
	/* The encoded request: borrowed while RUNNING; a copy (owned) while
	 * HELD, for DV_M_REPLAY methods. */
	const void *payload;
	size_t len;
	bool owned;
	const struct dv_request *rq; /* while RUNNING */
	bool *gonep; /* set when it is released inside its handler */
	int fds[DV_RPC_FDS_MAX];
};

/* A request. Everything is borrowed, but for fds, which are consumed. */
struct dv_request {
	struct dv_str service, method;
	const void *payload;
	size_t len;
	uint64_t timeout_ns; /* 0: none */
	uint32_t stream;
	void *stream_data;
	int *fds;
	size_t n_fds;
	/* Pair @i of its metadata; false past the end. NULL: there is none. */
	bool (*metadata)(const struct dv_request *rq, size_t i,
			 struct dv_str *key, struct dv_str *value);
	struct dv_str head; /* where the protocol finds it */
};

/*
 * Run a request. It may be answered before this returns, through @ops.
 */
void dv_call_dispatch(struct dv_conn *conn, const struct dv_call_ops *ops,
		      const struct dv_request *rq);

/* The held call with that stream number, or NULL. */
struct dv_inflight *dv_conn_find(struct dv_conn *conn, uint32_t stream);

/* Can another program repeat it: DV_M_REPLAY, and its request is here? */
static inline bool dv_inflight_kept(const struct dv_inflight *f)
{
	return (f->call.method->flags & DV_M_REPLAY) &&
	       (f->owned || f->len == 0);
}
/* Fail what is not kept so, because this program ends. */
void dv_conn_fail_unkept(struct dv_conn *conn);

/* There is room again after message() said DV_MORE. */
void dv_inflight_ready(struct dv_inflight *f);
/* A held call ends without an answer (reset by the peer): its cancel function
 * runs. */
void dv_inflight_cancel(struct dv_inflight *f);
/* The same, and the peer is told why. */
void dv_inflight_fail(struct dv_inflight *f, enum dv_code code,
		      const char *text);

/* ---- connections ---- */

struct dv_conn_ops {
	/* Close and free it at once. It calls dv_conn_deinit(). */
	void (*close)(struct dv_conn *conn);
	/* Take no more requests; or (!@on) go on. */
	void (*drain)(struct dv_conn *conn, bool on);
	/* Send what can be sent now: 0 when all is, or DV_MORE. */
	int (*flush)(struct dv_conn *conn);
	/* See dv_server_save(). NULL: it is not kept. */
	int (*save)(struct dv_conn *conn,
		    int (*each)(void *arg, const struct dv_conn_state *state),
		    void *arg);
};

enum { DV_CONN_BUCKETS = 32 };

struct dv_conn {
	const struct dv_conn_ops *ops;
	struct dv_server *server;
	struct dv_conn *next, **prevp;
	struct dv_peer peer;
	bool has_peer;
	struct dv_inflight *calls[DV_CONN_BUCKETS];
	unsigned int n_calls;
	size_t held;        /* see dv_conn_hold() */
	uint64_t last_call; /* its number among all of the server; 0: none */
	struct dv_holder *holder; /* who is charged for all this */
};

/*
 * Enter @conn into the server's list. Returns 0, -ENOMEM, or -EMFILE when the
 * server has max_conns already and @peer has most of them, all with calls in
 * flight; else another one is closed. Not inside a turn of another connection.
 * @peer is duplicated, but for its pidfd; NULL: unknown.
 */
int dv_conn_init(struct dv_conn *conn, struct dv_server *server,
		 const struct dv_conn_ops *ops, const struct dv_peer *peer);
/*
 * It keeps @held bytes of requests that are not complete and of answers that
 * are not sent. When all connections together keep more than DV_RPC_HELD_MAX,
 * connections of whoever keeps most are closed: later, not inside of this.
 */
void dv_conn_hold(struct dv_conn *conn, size_t held);
/* A call is held, or (@on false) is no more. */
void dv_conn_count_call(struct dv_conn *conn, bool on);
/* May it have one more call in flight? 0, or < 0 with @err. */
int dv_conn_may_call(const struct dv_conn *conn, struct dv_err *err);
/* Cancels the calls and leaves the list. Idempotent. */
void dv_conn_deinit(struct dv_conn *conn);

/* ---- the server, as call.c and the protocols use it ---- */

struct dv_server_service {
	const struct dv_service *service;
	void *ctx;
};

struct dv_server {
	struct dv_loop *loop;
	struct dv_server_opts opts; /* defaults filled in */
	struct dv_conn *conns;
	unsigned int n_conns;
	bool draining;
	struct dv_server_service *services; /* owned */
	size_t n_services;
	struct dv_inflight *spare; /* calls for the next requests */
	unsigned int n_spare;
	void *scratch; /* DV_RPC_READ_LEN; NULL until needed */
	struct dv_shares shares;
	struct dv_defer trim; /* somebody has too much */
	uint64_t total_conns, total_calls, bytes_in, bytes_out;
};

/* DV_RPC_READ_LEN bytes to read into, until the callback ends; or NULL. */
void *dv_server_scratch(struct dv_server *server);

/* Serve ttrpc: as dv_server_take(), which calls it. */
int dv_ttrpc_serve(struct dv_server *server, int fd, enum dv_proto proto,
		   const struct dv_peer *peer, const void *head, size_t len,
		   int *fds, size_t n_fds);
int dv_ttrpc_restore(struct dv_server *server,
		     const struct dv_conn_state *state);
