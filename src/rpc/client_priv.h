/* SPDX-License-Identifier: MIT */
#pragma once
/*
 * What the client and its protocols know of each other. Private to this room.
 *
 * The client (client.c) dials, queues, keeps deadlines, and runs callbacks; the
 * protocol has one connection at most for new calls, and the calls that were
 * sent on it. A connection that takes no more of them parts: the next call
 * dials another one, while the protocol keeps the old one for the calls that it
 * has.
 *
 *   QUEUED --send()--> SENT --dv_rpc_done()--> gone
 *      \________ deadline, cancel, failed dial _____/
 */
#include <davit/rpc.h>

#include "base/buf.h"
#include "rpc/limits.h"

struct dv_rpc_ops {
	/*
	 * A connection is there: @fd (non-blocking) is consumed, also on
	 * failure. Sets rpc->conn. Returns 0 or -errno with @err.
	 */
	int (*open)(struct dv_rpc *rpc, int fd, struct dv_err *err);
	/*
	 * Send @call: what has to be kept of it is copied. Returns 0, or
	 * -errno with @err: only this call fails. It may set call->stream and
	 * call->stream_data. A lost connection is not reported from in here:
	 * dv_rpc_lost() comes later, from the loop.
	 */
	int (*send)(struct dv_rpc *rpc, struct dv_rpc_call *call,
		    struct dv_err *err);
	/* Forget a SENT call, which is about to be freed. */
	void (*cancel)(struct dv_rpc *rpc, struct dv_rpc_call *call);
	/* Close and free rpc->conn, and set it to NULL. Runs no callback. */
	void (*close)(struct dv_rpc *rpc);
	/* The same for @conn, which has parted; NULL: for all of those. Where
	 * none ever does, this is NULL. */
	void (*close_parted)(struct dv_rpc *rpc, void *conn);
	/* Its descriptor, borrowed. */
	int (*fd)(const struct dv_rpc *rpc);
	/*
	 * May be NULL. @call is the only one and blocks its caller: sleep for
	 * its answer and handle it, without the loop, when nothing else could
	 * happen there. False: the loop is needed for it, now or from now on.
	 */
	bool (*wait)(struct dv_rpc *rpc, const struct dv_rpc_call *call,
		     int timeout_ms);
};

enum dv_rpc_call_state { DV_RPC_QUEUED, DV_RPC_SENT, DV_RPC_CALL_N };

struct dv_rpc_call {
	struct dv_rpc *rpc;
	struct dv_rpc_call *next, **prevp; /* in the queue, or among the sent */
	enum dv_rpc_call_state state;
	dv_rpc_fn *fn;
	void *arg;
	struct dv_timer timer;
	uint64_t deadline_ns; /* UINT64_MAX: none */
	bool wait_ready, streaming;
	bool ended; /* its last callback runs */
	void *conn; /* that it was sent on, while that one lives */
	/* Borrowed during send() of a call that was never queued; otherwise
	 * all of it lies in @store (owned). */
	const char *service, *method;
	const void *payload;
	size_t len;
	const char *const *metadata; /* as in the options; may be NULL */
	const struct dv_rpc_bytes *binary;
	size_t n_binary;
	const int *fds;
	size_t n_fds;
	void *store;
	/* The protocol's own. */
	uint32_t stream;
	void *stream_data;
};

enum dv_rpc_state {
	DV_RPC_IDLE,    /* no connection, and nobody needs one */
	DV_RPC_DIALING, /* one is being made */
	DV_RPC_BACKOFF, /* the timer ends it */
	DV_RPC_OPEN,    /* rpc->conn */
	DV_RPC_STATE_N
};

struct dv_dial;
struct dv_target;

struct dv_rpc {
	const struct dv_rpc_ops *ops;
	struct dv_loop *loop;
	enum dv_rpc_state state;
	void *conn;   /* the protocol's; NULL unless OPEN */
	void *parted; /* the protocol's list of those that have parted */
	struct dv_rpc_opts opts;
	struct dv_target *target; /* owned; NULL: by fd or by function */
	struct dv_dial *dial;
	int fd; /* owned: the one that works once; -1 */
	bool fd_used;
	struct dv_timer backoff;
	struct dv_defer kick; /* dial */
	int retry_ms;         /* of the next failure */
	struct dv_rpc_call *queue, **queue_tail;
	struct dv_rpc_call *sent;
	struct dv_rpc_call *spare; /* for the next calls */
	unsigned int n_spare;
	unsigned int
		refs; /* 1 while it lives, and one per callback that runs */
	bool dead;
};

/*
 * The reply of @call, or a message of it (reply->more). It runs the callback,
 * which may do anything: free the client (then dv_rpc_alive() is false
 * afterwards, and neither rpc nor its connection may be touched), cancel or
 * make calls. Unless reply->more, @call is gone afterwards.
 */
void dv_rpc_done(struct dv_rpc_call *call, const struct dv_rpc_reply *reply);
/* dv_rpc_done() with a failure. */
void dv_rpc_fail(struct dv_rpc_call *call, const struct dv_err *err);
/* Hold the client's memory over callbacks. hold, work, then drop. */
void dv_rpc_hold(struct dv_rpc *rpc);
/* False: the client was freed meanwhile. */
bool dv_rpc_alive(const struct dv_rpc *rpc);
void dv_rpc_drop(struct dv_rpc *rpc);

/*
 * rpc->conn takes no more calls; from now on it is not rpc->conn. No callback
 * runs in this function.
 */
void dv_rpc_part(struct dv_rpc *rpc);
/*
 * A connection ended: @err (borrowed) says how, NULL is a clean end. The
 * protocol closes it inside this function, its calls fail, and queued ones dial
 * again. From the loop only, not from inside an op.
 */
void dv_rpc_lost(struct dv_rpc *rpc, void *conn, const struct dv_err *err);

/*
 * What is left until the call's deadline, at least 1: 0 on the wire means that
 * there is none. 0: it has no deadline.
 */
uint64_t dv_rpc_time_left(const struct dv_rpc_call *call);

/*
 * What a server's status says, as an error: @text is cut to fit, an unknown
 * @code becomes DV_UNKNOWN. Returns -errno.
 */
int dv_rpc_status(struct dv_err *err, int code, const char *text, size_t len);

/* ---- between client.c and client_call.c ---- */

/* Put @call in front of the list @head, or out of the list that it is in. */
void dv_rpc_link(struct dv_rpc_call **head, struct dv_rpc_call *call);
void dv_rpc_unlink(struct dv_rpc_call *call);
/* Send it on rpc->conn: as ops->send(). */
int dv_rpc_send(struct dv_rpc_call *call, struct dv_err *err);
/* Put it at the end of the queue. */
void dv_rpc_enqueue(struct dv_rpc *rpc, struct dv_rpc_call *call);
/* Free the copies that were made for the time in the queue. */
void dv_rpc_forget_store(struct dv_rpc_call *call);
/* No callback. */
void dv_rpc_call_free(struct dv_rpc_call *call);
/* Dial soon, if somebody waits and nothing speaks against it. */
void dv_rpc_want_dial(struct dv_rpc *rpc);

extern const struct dv_rpc_ops dv_ttrpc_client_ops;
