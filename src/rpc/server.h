/* SPDX-License-Identifier: MIT */
#pragma once
/*
 * A server: services, and the connections that call them. It takes accepted
 * connections from the door (rpc/door.h), or one by one. One thread, one loop.
 *
 * Every connection has budgets: bytes of one message, calls in flight, bytes of
 * unsent answers. Over budget a call is refused, or the connection is not read
 * until it is below again; nobody else notices.
 *
 * There are limits for all of them together, too: connections, calls, bytes.
 * Where one is reached the process that has most pays, of the user who has most
 * (rpc/shares.h). Of its connections one without calls in flight has to go: the
 * oldest of those that never made one, else the one that made its last one
 * before the others did; without any the new one is refused, or, when others
 * have to pay for it, the newest of theirs goes. Its calls are refused, or fail
 * when others make room for less than they have. For too many bytes the
 * connection that keeps most ends.
 */
#include "base/log.h"
#include "rpc/service.h"

struct dv_server;

/* The largest message, by port, and why: rpc/limits.h. */
enum dv_proto {
	DV_PROTO_TTRPC,      /* 4 MiB */
	DV_PROTO_TTRPC_DIAG, /* what is received may have 16 MiB - 1 */
	DV_PROTO_GRPC,
	DV_PROTO_N
};

struct dv_server_opts {
	size_t size;
	bool restricted;            /* serve DV_M_SAFE methods only */
	unsigned int max_conns;     /* 0: the default, 1024 at most */
	unsigned int max_calls;     /* in flight on one connection; 0: 1024 */
	unsigned int max_in_flight; /* on all of them; 0: 32768 */
	struct dv_log_sink *log;    /* borrowed; may be NULL */
};

/* Returns 0, -ENOMEM or -EINVAL. @opts may be NULL. */
int dv_server_new(struct dv_server **serverp, struct dv_loop *loop,
		  const struct dv_server_opts *opts, struct dv_err *err);
/*
 * Closes every connection; held calls are cancelled. Not inside a handler.
 * NULL is allowed. Returns NULL.
 */
struct dv_server *dv_server_free(struct dv_server *server);

/* @service is borrowed for the server's life; @ctx is given to its calls. */
int dv_server_add(struct dv_server *server, const struct dv_service *service,
		  void *ctx);

/*
 * Serve a connection. @fd is consumed, also on failure. @peer (duplicated;
 * NULL: unknown) is who is behind it. @head: @len bytes that were already read
 * from it (borrowed), with @fds (consumed) that came with them.
 */
int dv_server_take(struct dv_server *server, int fd, enum dv_proto proto,
		   const struct dv_peer *peer, const void *head, size_t len,
		   int *fds, size_t n_fds);

/* Stop reading new requests; what is in flight is still answered. */
void dv_server_drain(struct dv_server *server);
/* Go on reading: a restart was not to be. */
void dv_server_resume(struct dv_server *server);
/* Send what is queued; returns 0 when every connection is flushed, or DV_MORE.
 */
int dv_server_flush(struct dv_server *server);

struct dv_server_stats {
	unsigned int conns, calls;
	uint64_t total_conns, total_calls, bytes_in, bytes_out;
};
void dv_server_stats(const struct dv_server *server,
		     struct dv_server_stats *stats);

/*
 * For a restart by exec. A connection's state is everything that its peer may
 * rely on: bytes read but not yet used, answers not yet sent, and requests of
 * DV_M_REPLAY methods not yet answered.
 */
struct dv_conn_state {
	int fd; /* borrowed by save, consumed by restore */
	enum dv_proto proto;
	const void *in, *out; /* borrowed */
	size_t in_len, out_len;
	const struct dv_call_state {
		uint32_t stream;
		const char *service, *method;
		const void *payload;
		size_t len;
		uint64_t timeout_ns; /* what is left; 0: none */
	} * calls;
	size_t n_calls;
};
/*
 * Tell the peers of what cannot be kept, because this program ends now: calls
 * of other methods fail with UNAVAILABLE, gRPC connections get GOAWAY.
 */
void dv_server_part(struct dv_server *server);
/*
 * Calls @each for every connection that can be kept; nothing changes. Left out
 * are gRPC connections, and those in the middle of a message that is refused,
 * or of one that comes with descriptors. Returns 0 or what @each returned.
 */
int dv_server_save(struct dv_server *server,
		   int (*each)(void *arg, const struct dv_conn_state *state),
		   void *arg);
/*
 * The requests are dispatched again by the next turn of the loop: add all
 * services before. Returns 0 or -errno.
 */
int dv_server_restore(struct dv_server *server,
		      const struct dv_conn_state *state);
