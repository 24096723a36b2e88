/* SPDX-License-Identifier: MIT */
#pragma once
/*
 * Calling services by ttrpc or gRPC.
 *
 *   struct dv_rpc *rpc;		a client: one target, any number of
 * calls
 *
 * A client dials when the first call comes, and again after a connection was
 * lost. All calls share one connection; when a gRPC server says that it takes
 * no more of them (GOAWAY), it finishes those that it has, and the next ones go
 * over another connection. A call that was sent is never sent
 * again; it fails with DV_UNAVAILABLE when its connection goes. A call ends at
 * its deadline here, whatever the server does.
 *
 * Payloads are encoded protobuf messages. A client belongs to one loop and one
 * thread. Blocking calls run the loop until they are done; inside a callback of
 * that loop they return -EDEADLK.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <davit/err.h>
#include <davit/loop.h>

#ifdef __cplusplus
extern "C" {
#endif

struct dv_rpc;
struct dv_rpc_call;

enum dv_rpc_proto { DV_RPC_TTRPC = 0, DV_RPC_GRPC, DV_RPC_PROTO_N };

/*
 * How a client gets its connection, when it is not by @target: start to
 * connect, and call dv_rpc_dialled() once, now or later.
 */
typedef void dv_rpc_dial_fn(struct dv_rpc *rpc, void *arg);

struct dv_rpc_opts {
	size_t size; /* of this struct */
	enum dv_rpc_proto proto;
	/* One of these three. A target is "unix:PATH", "vsock:PATH", a path or
	 * "vsock:CID"; @port goes through the hybrid-vsock handshake, 0 means
	 * none of it. A descriptor is consumed, and works once. */
	const char *target;
	int fd; /* -1: none */
	dv_rpc_dial_fn *dial;
	void *dial_arg;
	uint32_t port;
	int dial_timeout_ms; /* 0: 2000 */
	int retry_ms;        /* after a failure; 0: 1000; doubles up to 8 s */
};

/* clang-format off */
#define DV_RPC_OPTS_INIT { sizeof(struct dv_rpc_opts), DV_RPC_TTRPC, NULL, \
			   -1, NULL, NULL, 0, 0, 0 }
/* clang-format on */

/* Create a client; nothing is dialled yet. Returns 0, -EINVAL, -ENOMEM. */
DV_API int dv_rpc_new(struct dv_rpc **rpcp, struct dv_loop *loop,
		      const struct dv_rpc_opts *opts, struct dv_err *err);
/* Calls that are left end with DV_CANCELLED. NULL is allowed; returns NULL. */
DV_API struct dv_rpc *dv_rpc_free(struct dv_rpc *rpc);
/* A dial function's result: @fd (consumed) or -errno with @err. */
DV_API void dv_rpc_dialled(struct dv_rpc *rpc, int fd,
			   const struct dv_err *err);

/* How a call ended. Everything is borrowed for the callback. */
struct dv_rpc_reply {
	int r;                    /* 0, or -errno with err filled */
	const struct dv_err *err; /* err->code is the server's status code */
	bool more;                /* a message of a stream: the call goes on */
	const void *payload;
	size_t len;
	int *fds; /* came along; what the caller wants it takes (sets to -1) */
	size_t n_fds;
};
typedef void dv_rpc_fn(struct dv_rpc_call *call,
		       const struct dv_rpc_reply *reply, void *arg);

/* Metadata that is not text. Everything is borrowed. */
struct dv_rpc_bytes {
	const char *key; /* ends in "-bin" */
	const void *data;
	size_t len;
};

struct dv_rpc_call_opts {
	size_t size;
	int timeout_ms;  /* -1: none */
	bool wait_ready; /* wait for a connection, however often dialling fails
			  */
	bool stream;     /* server streaming; gRPC only */
	const int *fds;  /* borrowed until it returns; ttrpc on unix sockets */
	size_t n_fds;
	const char *const *metadata;       /* key, value, key, value, NULL */
	const struct dv_rpc_bytes *binary; /* more of it; gRPC only */
	size_t n_binary;
};

/* clang-format off */
#define DV_RPC_CALL_INIT { sizeof(struct dv_rpc_call_opts), -1, false, false, \
			   NULL, 0, NULL, NULL, 0 }
/* clang-format on */

/*
 * Call @service/@method with @payload (duplicated). @fn is called when it ends,
 * never from inside this function; a stream calls it for each message before.
 * @callp (may be NULL) names the call for dv_rpc_cancel() until then. @opts may
 * be NULL. Returns 0, -ENOMEM, -EMSGSIZE (more than 4 MiB).
 */
DV_API int dv_rpc_call(struct dv_rpc *rpc, struct dv_rpc_call **callp,
		       const char *service, const char *method,
		       const void *payload, size_t len,
		       const struct dv_rpc_call_opts *opts, dv_rpc_fn *fn,
		       void *arg, struct dv_err *err);
/* Forget a call: its callback does not come. */
DV_API void dv_rpc_cancel(struct dv_rpc_call *call);

/*
 * The same, blocking. The answer is malloc'd (owned by the caller) in @outp,
 * NUL-terminated, @out_lenp bytes; both may be NULL. Returns 0 or -errno.
 */
DV_API int dv_rpc_call_wait(struct dv_rpc *rpc, const char *service,
			    const char *method, const void *payload, size_t len,
			    const struct dv_rpc_call_opts *opts, void **outp,
			    size_t *out_lenp, struct dv_err *err);

/* The connection's descriptor (borrowed), or -1 while there is none. */
DV_API int dv_rpc_fd(const struct dv_rpc *rpc);

#ifdef __cplusplus
}
#endif
