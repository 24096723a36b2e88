/* SPDX-License-Identifier: MIT */
/*
 * DOC: the client, whatever protocol it speaks.
 *
 *	            call                 fd
 *	   IDLE ----------> DIALING ----------> OPEN
 *	    ^ ^               |  ^                | |
 *	    | |        failed |  | time, and      | | clean end
 *	    | |               v  | calls wait     | |
 *	    | '---- time -- BACKOFF <-- failure --' |
 *	    '---------------------------------------'
 *
 * A failed dial fails the calls that wait, but for wait_ready ones; new calls
 * wait until the back-off is over. Calls that were sent fail when their
 * connection goes. A connection that parts leaves OPEN for IDLE at once, and
 * ends by itself.
 */
#include <davit/rpc.h>

#include <errno.h>
#include <string.h>

#include <davit/vsock.h>

#include "base/def.h"
#include "base/fd.h"
#include "base/random.h"
#include "rpc/client_priv.h"
#include "rpc/grpc.h"

#define NS_PER_MS UINT64_C(1000000)

enum {
	DIAL_TIMEOUT_MS = 2000,
	RETRY_MS = 1000,
	RETRY_MAX_MS = 8000,
};

/* Fail every call of @list (detached), and drop it. */
static void fail_list(struct dv_rpc_call **list, const struct dv_err *err)
{
	while (*list)
		dv_rpc_fail(*list, err);
}

static void append(struct dv_rpc_call ***tailp, struct dv_rpc_call *call)
{
	call->next = NULL;
	call->prevp = *tailp;
	**tailp = call;
	*tailp = &call->next;
}

/* The calls that were sent on @conn, or (NULL) on any, go to @list. */
static void take_sent(struct dv_rpc *rpc, const void *conn,
		      struct dv_rpc_call **list)
{
	struct dv_rpc_call *next, **tail = list;

	*list = NULL;
	for (struct dv_rpc_call *call = rpc->sent; call; call = next) {
		next = call->next;
		if (conn && call->conn != conn)
			continue;
		dv_rpc_unlink(call);
		call->conn = NULL;
		append(&tail, call);
	}
}

/* ---- connections ---- */

static void on_backoff(struct dv_timer *timer);
static void on_kick(struct dv_defer *kick);

void dv_rpc_want_dial(struct dv_rpc *rpc)
{
	if (rpc->state == DV_RPC_IDLE && rpc->queue)
		dv_defer_add(rpc->loop, &rpc->kick, on_kick);
}

/* Wait for @ms, give or take a fifth. */
static void back_off(struct dv_rpc *rpc, int ms)
{
	uint64_t ns = (uint64_t)ms * NS_PER_MS;
	uint32_t dice;

	dv_random(&dice, sizeof(dice));
	ns = ns * 4 / 5 + ns * 2 / 5 * dice / UINT32_MAX;
	rpc->state = DV_RPC_BACKOFF;
	if (dv_timer_set(rpc->loop, &rpc->backoff, dv_now_ns() + ns,
			 on_backoff) < 0) {
		rpc->state = DV_RPC_IDLE;
		dv_rpc_want_dial(rpc);
	}
}

static void on_backoff(struct dv_timer *timer)
{
	struct dv_rpc *rpc = dv_container_of(timer, struct dv_rpc, backoff);

	rpc->state = DV_RPC_IDLE;
	dv_rpc_want_dial(rpc);
}

/*
 * @retry_ms: what the dialler says about a new attempt; -1: nothing. Without a
 * way to dial again, nobody is kept waiting.
 */
static void dial_failed(struct dv_rpc *rpc, int retry_ms,
			const struct dv_err *err)
{
	bool again = rpc->target || rpc->opts.dial;
	struct dv_rpc_call *list, *call, *next;
	struct dv_err e = err ? *err : (struct dv_err)DV_ERR_INIT;

	if (!again)
		rpc->state = DV_RPC_IDLE;
	else
		back_off(rpc, retry_ms >= 0 ? retry_ms : rpc->retry_ms);
	rpc->retry_ms = dv_min(rpc->retry_ms * 2,
			       dv_max(RETRY_MAX_MS, rpc->opts.retry_ms));
	e.code = DV_UNAVAILABLE;
	e.sys = e.sys ? e.sys : ENOTCONN;
	list = rpc->queue;
	rpc->queue = NULL;
	rpc->queue_tail = &rpc->queue;
	if (list)
		list->prevp = &list;
	for (call = list; call && again; call = next) {
		next = call->next;
		if (!call->wait_ready)
			continue;
		dv_rpc_unlink(call);
		dv_rpc_enqueue(rpc, call);
	}
	dv_rpc_hold(rpc);
	fail_list(&list, &e);
	dv_rpc_drop(rpc);
}

/* Send what waits. May run callbacks. */
static void send_queue(struct dv_rpc *rpc)
{
	dv_rpc_hold(rpc);
	while (rpc->queue && rpc->state == DV_RPC_OPEN) {
		struct dv_rpc_call *call = rpc->queue;
		struct dv_err err = DV_ERR_INIT;
		int r;

		dv_rpc_unlink(call);
		r = dv_rpc_send(call, &err);
		if (r < 0)
			dv_rpc_fail(call, &err);
		else
			dv_rpc_forget_store(call);
	}
	dv_rpc_drop(rpc);
}

static void dialled(struct dv_rpc *rpc, int fd, int retry_ms,
		    const struct dv_err *err)
{
	struct dv_err e = DV_ERR_INIT;
	int r;

	if (rpc->state != DV_RPC_DIALING) {
		dv_close(fd);
		return;
	}
	if (fd < 0) {
		if (!err)
			dv_err_sys(&e, -fd, "connect");
		dial_failed(rpc, retry_ms, err ? err : &e);
		return;
	}
	r = dv_fd_nonblock(fd, true);
	if (r < 0)
		dv_close(fd);
	else
		r = rpc->ops->open(rpc, fd, &e);
	if (r < 0) {
		dial_failed(rpc, -1, &e);
		return;
	}
	rpc->state = DV_RPC_OPEN;
	rpc->retry_ms = rpc->opts.retry_ms;
	send_queue(rpc);
}

void dv_rpc_dialled(struct dv_rpc *rpc, int fd, const struct dv_err *err)
{
	dialled(rpc, fd, -1, err);
}

static void on_dialled(void *arg, int fd, const struct dv_dial_result *res,
		       const struct dv_err *err)
{
	struct dv_rpc *rpc = arg;

	rpc->dial = NULL;
	dialled(rpc, fd, res->retry_ms, err);
}

static void dial_target(struct dv_rpc *rpc)
{
	struct dv_err err = DV_ERR_INIT;
	int r = dv_dial_start(&rpc->dial, rpc->loop, rpc->target,
			      rpc->opts.port, rpc->opts.dial_timeout_ms,
			      on_dialled, rpc, &err);

	if (r < 0)
		dialled(rpc, r, -1, &err);
}

static void on_kick(struct dv_defer *kick)
{
	struct dv_rpc *rpc = dv_container_of(kick, struct dv_rpc, kick);
	struct dv_err err = DV_ERR_INIT;

	if (rpc->state != DV_RPC_IDLE || !rpc->queue)
		return;
	rpc->state = DV_RPC_DIALING;
	if (rpc->target) {
		dial_target(rpc);
	} else if (rpc->opts.dial) {
		rpc->opts.dial(rpc, rpc->opts.dial_arg);
	} else if (rpc->fd >= 0) {
		dialled(rpc, dv_take_fd(&rpc->fd), -1, NULL);
	} else {
		dv_err_set(&err, ENOTCONN, DV_UNAVAILABLE,
			   "connection already used");
		dialled(rpc, -ENOTCONN, -1, &err);
	}
}

void dv_rpc_part(struct dv_rpc *rpc)
{
	rpc->conn = NULL;
	rpc->state = DV_RPC_IDLE;
	dv_rpc_want_dial(rpc);
}

void dv_rpc_lost(struct dv_rpc *rpc, void *conn, const struct dv_err *err)
{
	struct dv_err e = err ? *err : (struct dv_err)DV_ERR_INIT;
	struct dv_rpc_call *list;

	if (!conn || rpc->dead)
		return;
	take_sent(rpc, conn, &list);
	if (conn == rpc->conn) {
		rpc->ops->close(rpc);
		rpc->state = DV_RPC_IDLE;
		if (err)
			back_off(rpc, rpc->retry_ms);
	} else {
		rpc->ops->close_parted(rpc, conn);
	}
	if (!err)
		dv_err_set(&e, ECONNRESET, DV_UNAVAILABLE,
			   "the connection was closed");
	e.code = DV_UNAVAILABLE;
	dv_rpc_hold(rpc);
	fail_list(&list, &e);
	dv_rpc_drop(rpc);
}

/* ---- life of a client ---- */

static int check_opts(const struct dv_rpc_opts *opts, struct dv_err *err)
{
	int ways =
		(opts->target != NULL) + (opts->fd >= 0) + (opts->dial != NULL);

	if (opts->size != sizeof(*opts))
		return dv_err_sys(err, EINVAL, "client options");
	if (ways != 1)
		return dv_err_set(err, EINVAL, DV_INVALID,
				  "a client needs a target, a descriptor or a "
				  "dial function, and only one of them");
	if ((unsigned int)opts->proto >= DV_RPC_PROTO_N)
		return dv_err_set(err, EINVAL, DV_INVALID, "unknown protocol");
	return 0;
}

static const struct dv_rpc_ops *ops_of(enum dv_rpc_proto proto)
{
	return proto == DV_RPC_GRPC ? &dv_grpc_client_ops
				    : &dv_ttrpc_client_ops;
}

static void set_defaults(struct dv_rpc *rpc)
{
	if (rpc->opts.dial_timeout_ms == 0)
		rpc->opts.dial_timeout_ms = DIAL_TIMEOUT_MS;
	if (rpc->opts.retry_ms <= 0)
		rpc->opts.retry_ms = RETRY_MS;
	rpc->retry_ms = rpc->opts.retry_ms;
	rpc->queue_tail = &rpc->queue;
}

int dv_rpc_new(struct dv_rpc **rpcp, struct dv_loop *loop,
	       const struct dv_rpc_opts *opts, struct dv_err *err)
{
	dv_autofd int fd = opts->size == sizeof(*opts) ? opts->fd : -1;
	dv_autofree struct dv_target *target = NULL;
	struct dv_rpc *rpc;
	int r = check_opts(opts, err);

	if (r < 0)
		return r;
	if (opts->target) {
		target = malloc(sizeof(*target));
		r = target ? dv_target_parse(opts->target, target, err)
			   : dv_err_sys(err, ENOMEM, "client");
		if (r < 0)
			return r;
	}
	rpc = calloc(1, sizeof(*rpc));
	if (!rpc)
		return dv_err_sys(err, ENOMEM, "client");
	rpc->ops = ops_of(opts->proto);
	rpc->loop = loop;
	rpc->opts = *opts;
	rpc->opts.target = NULL; /* borrowed only until we return */
	rpc->target = dv_take_ptr(&target);
	rpc->fd = dv_take_fd(&fd);
	rpc->refs = 1;
	set_defaults(rpc);
	*rpcp = rpc;
	return 0;
}

struct dv_rpc *dv_rpc_free(struct dv_rpc *rpc)
{
	struct dv_err err = DV_ERR_INIT;
	struct dv_rpc_call *list, *sent;

	if (!rpc || rpc->dead)
		return NULL;
	rpc->dead = true;
	rpc->dial = dv_dial_cancel(rpc->dial);
	dv_timer_stop(&rpc->backoff);
	dv_defer_del(&rpc->kick);
	rpc->fd = dv_close(rpc->fd);
	take_sent(rpc, NULL, &sent);
	if (rpc->conn)
		rpc->ops->close(rpc);
	if (rpc->parted)
		rpc->ops->close_parted(rpc, NULL);
	rpc->state = DV_RPC_IDLE;
	dv_err_set(&err, ECANCELED, DV_CANCELLED, "the client was closed");
	rpc->queue_tail = NULL;
	list = dv_take_ptr(&rpc->queue);
	if (list)
		list->prevp = &list;
	fail_list(&list, &err);
	fail_list(&sent, &err);
	dv_rpc_drop(rpc);
	return NULL;
}

int dv_rpc_fd(const struct dv_rpc *rpc)
{
	return rpc->conn ? rpc->ops->fd(rpc) : -1;
}
