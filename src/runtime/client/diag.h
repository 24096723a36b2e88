/* SPDX-License-Identifier: MIT */
#pragma once
/*
 * Inside of davit/diag.h. An operation goes through these stages, each only
 * where it needs it:
 *
 *   HELLO    is this server one with davit.v1? (asked once for all)
 *   CONNS    data connections, all at the same time
 *   CALL     the request, which was encoded for both kinds of servers before;
 *            what names the connections is appended: protobuf merges it
 *   WAITING  for somebody else who ends it
 */
#include <davit/diag.h>
#include <davit/vsock.h>

#include <pb.h>

#include "base/buf.h"
#include "transport/dial.h"
#include "wire/diag.pb.h"
#include "wire/sandbox.pb.h"

#define DV_DIAG_V1  "davit.v1.Sandbox"
#define DV_DIAG_OLD "diag.UnderhillDiag"
#define DV_DIAG_NEW "diag.OpenhclDiag"

enum {
	DV_DIAG_REQUEST_MAX = 4 << 20, /* what every server accepts */
	DV_DIAG_CONNS_MAX = 256,       /* interfaces of a capture */
	DV_DIAG_DIAL_MS = 2000,
	DV_DIAG_HELLO_MS = 10000, /* an agent that restarts takes less */
};

enum dv_diag_ask {
	DV_ASK_NOT_YET = 0,
	DV_ASK_ASKING,
	DV_ASK_V1,
	DV_ASK_FOREIGN,
};

struct dv_diag {
	struct dv_loop *loop;
	bool own_loop, has_target;
	/* What Hello would say is known beforehand, but for who asks that. */
	bool assumed;
	dv_dial_check_fn *check; /* of each connection; NULL: none */
	void *check_arg;
	struct dv_rpc *rpc; /* owned */
	struct dv_target target;
	int dial_timeout_ms;
	enum dv_diag_ask ask;
	struct dv_rpc_call *hello_call;
	struct dv_diag_hello hello;
	struct dv_op *ops; /* in progress */
};

struct dv_op;

/* One data connection while it is made, and after. */
struct dv_diag_conn {
	struct dv_op *op;
	struct dv_dial *dial;
	struct dv_src src;
	int fd; /* owned, -1 */
	uint64_t id;
	uint8_t raw[8];
	size_t got;
	bool ready;
};

/* What an operation is: one row. */
struct dv_diag_kind {
	const char *what;       /* in messages */
	const char *v1;         /* method of davit.v1; NULL: none */
	const char *v1_service; /* its service; NULL: DV_DIAG_V1 */
	bool asks;              /* what is assumed of the server does not do */
	const char *service;    /* of others; NULL: davit.v1 only */
	const char *method;
	/* The field of the request that names its one data connection, of
	 * others and of davit.v1; 0: it needs none, or `conns` names it. */
	uint32_t conn_field[2];
	/* Instead of all stages: 0 somebody ends it, DV_EOF done, -errno. */
	int (*begin)(struct dv_op *op, struct dv_err *err);
	/* The connections are ready: append to op->request. May be NULL. */
	int (*conns)(struct dv_op *op, struct dv_err *err);
	/* Instead of dv_op_call(op, NULL): DV_MORE, 0 done, -errno. */
	int (*call)(struct dv_op *op, struct dv_err *err);
	/* The answer (an error is given when wants_errors). 0: done,
	 * DV_MORE: it goes on, -errno. NULL: nothing to read. */
	int (*reply)(struct dv_op *op, const struct dv_rpc_reply *reply,
		     struct dv_err *err);
	bool wants_errors;
	/* Frees op->own. Also when it succeeded, then with own taken. */
	void (*deinit)(struct dv_op *op);
};

enum dv_diag_stage {
	DV_STAGE_HELLO,
	DV_STAGE_CONNS,
	DV_STAGE_CALL,
	DV_STAGE_WAITING,
};

struct dv_op {
	struct dv_diag *diag;
	struct dv_op *next, **prevp;
	const struct dv_diag_kind *kind;
	const char *what; /* in messages; the kind's, or of its owner */
	struct dv_how how;
	enum dv_diag_stage stage;
	bool asked; /* waits for the answer to Hello */
	bool v1;    /* decided by HELLO */
	bool wait_ready;
	uint64_t until_ns; /* UINT64_MAX: never */
	int extra_ms;      /* for the call, beyond what the server is told */
	struct dv_timer timer;
	struct dv_defer kick;
	struct dv_buf request[2]; /* for others, for davit.v1 */
	struct dv_rpc_call *call;
	struct dv_diag_conn *conns; /* owned */
	size_t n_conns, n_conns_v1, n_conns_old, n_ready;
	/* Connections when the server takes descriptors, and those to give. */
	size_t n_conns_fds;
	bool may_give, gives;
	int give[4]; /* owned, but for the first n_lent */
	size_t n_give, n_lent;
	/* What Hello said, when it failed. */
	int r;
	struct dv_err err;
	/* Of the kinds. */
	void *own;    /* under construction */
	void *out[3]; /* what the caller gave to be filled */
	uint32_t arg;
	char *text; /* owned */
};

/*
 * A new operation; @how may be NULL. Then fill it, and dv_op_go(), which
 * consumes it; or dv_op_drop(). Returns 0, -ENOMEM, -EDEADLK, -EINVAL.
 */
int dv_op_new(struct dv_diag *diag, const struct dv_diag_kind *kind,
	      const struct dv_how *how, struct dv_op **opp, struct dv_err *err);
void dv_op_drop(struct dv_op *op);
/* Encode into one request, or into both when there is one schema. */
int dv_op_put(struct dv_op *op, bool v1, const pb_msgdesc_t *fields,
	      const void *msg, struct dv_err *err);
/*
 * Call the kind's method with the request for this server. @fn gets @op; NULL:
 * the kind's `reply` does. Returns DV_MORE or -errno.
 */
int dv_op_call(struct dv_op *op, dv_rpc_fn *fn, struct dv_err *err);
/* What a call said, the call being over: reply->r, with its error in @err. */
int dv_diag_said(struct dv_rpc_call **callp, const struct dv_rpc_reply *reply,
		 struct dv_err *err);
/* Begin. @r is what filling it said: < 0 drops it. */
int dv_op_go(struct dv_op *op, int r, struct dv_err *err);
/* The end: @err belongs to @r. From the loop; @op is gone afterwards. */
void dv_op_end(struct dv_op *op, int r, const struct dv_err *err);
/* Go on with the next stage, from the loop. */
void dv_op_kick(struct dv_op *op);
/* ms left, -1: no limit, 0: none. */
int dv_op_left(const struct dv_op *op);

/* Stage HELLO: ask, and kick @op when it is known who is there. */
int dv_diag_ask(struct dv_diag *d, struct dv_op *op, struct dv_err *err);
/* A davit that takes descriptors: nobody has to ask that. */
void dv_diag_assume(struct dv_diag *d);

/*
 * A client of the socket of a davit at @path (107 bytes): calls go to the
 * socket itself, data connections and ports behind CONNECT. @dial makes the
 * connections of calls; @check sees every other one before its first byte, as
 * dv_dial_check() says. @loop is borrowed.
 */
struct dv_diag_socket {
	const char *path;
	dv_rpc_dial_fn *dial;
	dv_dial_check_fn *check;
	void *arg;    /* of both */
	int retry_ms; /* as in struct dv_rpc_opts */
};
int dv_diag_new_socket(struct dv_diag **diagp, struct dv_loop *loop,
		       const struct dv_diag_socket *socket, struct dv_err *err);

/* Stage CONNS. Ends @op when it fails. Calls dv_op_next() when done. */
void dv_diag_conns_start(struct dv_op *op);
void dv_diag_conns_free(struct dv_op *op);
/* The descriptor of connection @n, owned by the caller. */
int dv_diag_conn_take(struct dv_op *op, size_t n);
void dv_op_next(struct dv_op *op);

/* For nanopb's structs, whose pointers are not const; never written. */
static inline char *dv_diag_borrow(const char *s)
{
	return (char *)(uintptr_t)s;
}

struct dv_diag_proc {
	struct dv_diag *diag;
	uint64_t id; /* 0: by pid */
	int32_t pid;
	bool ours; /* started by us: its record is released */
	int fd[3]; /* owned */
};

struct dv_diag_stream {
	struct dv_diag *diag;
	int fd; /* owned */
	bool taken;
	/* How it ended: the call that says so, and what it said. */
	struct dv_rpc_call *call;
	bool told; /* r and err are set */
	int r;
	struct dv_err err;
	struct dv_op *waits; /* for that */
	int errfd;           /* of a program that writes a core; owned */
	/* Records. */
	struct dv_kmsg_iter *it; /* owned */
	bool eof, has_after, has_last;
	uint64_t after, last;
};

/* A stream that is asked for; see diag_stream.c. Returns 0 or -ENOMEM. */
int dv_diag_stream_op(struct dv_diag *diag, const struct dv_diag_kind *kind,
		      const struct dv_how *how, struct dv_diag_stream **streamp,
		      struct dv_op **opp, struct dv_err *err);

/* Copy what the caller has room for, by his size; NULL: nothing. */
void dv_exit_give(struct dv_exit *to, const struct dv_exit *from);
/* How a process ended, from either answer. @size of @to guards it. */
void dv_diag_exit_of_record(struct dv_exit *to, const dv_ExitRecord *rec);
/* Environment of a request: pairs that borrow from @env, names apart. */
int dv_diag_env(const char *const *env, dv_EnvPair **pairsp, char **namesp,
		size_t *np);
