/* SPDX-License-Identifier: MIT */
#include "runtime/client/diag.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include <pb_encode.h>

#include "base/def.h"
#include "base/fd.h"
#include "base/opts.h"
#include "wire/pb.h"

/* ---- the client -------------------------------------------------------- */

static int open_rpc(struct dv_diag *d, struct dv_diag_opts *o,
		    struct dv_err *err)
{
	struct dv_rpc_opts ro = DV_RPC_OPTS_INIT;

	ro.target = o->target;
	ro.fd = dv_take_fd(&o->fd);
	ro.dial = o->dial;
	ro.dial_arg = o->dial_arg;
	ro.dial_timeout_ms = d->dial_timeout_ms;
	if (d->has_target)
		ro.port =
			d->target.port ? d->target.port : DV_DIAG_CONTROL_PORT;
	return dv_rpc_new(&d->rpc, d->loop, &ro, err);
}

static int open_client(struct dv_diag *d, struct dv_diag_opts *o,
		       struct dv_err *err)
{
	int r = 0;

	if (!!o->target + (o->fd >= 0) + !!o->dial != 1)
		return dv_err_set(err, EINVAL, DV_INVALID,
				  "one of target, fd and dial is needed");
	if (o->target) {
		r = dv_target_parse(o->target, &d->target, err);
		d->has_target = true;
	}
	if (r < 0)
		return r;
	d->dial_timeout_ms =
		o->dial_timeout_ms ? o->dial_timeout_ms : DV_DIAG_DIAL_MS;
	d->loop = o->loop;
	if (!d->loop) {
		r = dv_loop_new(&d->loop);
		d->own_loop = r == 0;
	}
	if (r < 0)
		return dv_err_sys(err, -r, "make an event loop");
	return open_rpc(d, o, err);
}

int dv_diag_new(struct dv_diag **diagp, const struct dv_diag_opts *opts,
		struct dv_err *err)
{
	struct dv_diag_opts o = DV_DIAG_OPTS_INIT;
	struct dv_diag *d;
	int r = dv_opts_copy(&o, sizeof(o), opts, err);

	if (r < 0)
		return r;
	d = calloc(1, sizeof(*d));
	r = d ? open_client(d, &o, err)
	      : dv_err_sys(err, ENOMEM, "make a client");
	dv_close(o.fd);
	if (r < 0)
		dv_diag_free(d);
	else
		*diagp = d;
	return r < 0 ? r : 0;
}

int dv_diag_open(struct dv_diag **diagp, const char *target, struct dv_err *err)
{
	struct dv_diag_opts o = DV_DIAG_OPTS_INIT;

	o.target = target;
	return dv_diag_new(diagp, &o, err);
}

struct dv_diag *dv_diag_free(struct dv_diag *d)
{
	if (!d)
		return NULL;
	while (d->ops)
		dv_op_drop(d->ops);
	if (d->hello_call)
		dv_rpc_cancel(d->hello_call);
	dv_rpc_free(d->rpc);
	if (d->own_loop)
		dv_loop_free(d->loop);
	free(d);
	return NULL;
}

struct dv_loop *dv_diag_loop(struct dv_diag *diag)
{
	return diag->loop;
}

int dv_diag_foreign(const struct dv_diag *diag)
{
	if (diag->ask == DV_ASK_V1)
		return 0;
	return diag->ask == DV_ASK_FOREIGN ? 1 : -EAGAIN;
}

/* ---- operations -------------------------------------------------------- */

int dv_op_left(const struct dv_op *op)
{
	uint64_t now = dv_now_ns(), ms;

	if (op->until_ns == UINT64_MAX)
		return -1;
	if (now >= op->until_ns)
		return 0;
	ms = (op->until_ns - now + 999999) / 1000000;
	return (int)dv_min(ms, (uint64_t)INT_MAX);
}

static void unlink_op(struct dv_op *op)
{
	if (op->prevp) {
		*op->prevp = op->next;
		if (op->next)
			op->next->prevp = op->prevp;
	}
	op->prevp = NULL;
}

/* The call has duplicates; without one they are not needed any more. */
static void close_given(struct dv_op *op)
{
	while (op->n_give > 0) {
		op->n_give--;
		if (op->n_give >= op->n_lent)
			dv_close(op->give[op->n_give]);
	}
	op->n_lent = 0;
}

/* Let go of everything but the memory and the result. */
static void stop_op(struct dv_op *op)
{
	unlink_op(op);
	dv_timer_stop(&op->timer);
	dv_defer_del(&op->kick);
	if (op->call)
		dv_rpc_cancel(op->call);
	op->call = NULL;
	dv_diag_conns_free(op);
	close_given(op);
	if (op->kind->deinit)
		op->kind->deinit(op);
	op->own = NULL;
}

static void free_op(struct dv_op *op)
{
	dv_buf_free(&op->request[0]);
	dv_buf_free(&op->request[1]);
	free(op->text);
	free(op);
}

void dv_op_drop(struct dv_op *op)
{
	stop_op(op);
	free_op(op);
}

void dv_op_cancel(struct dv_op *op)
{
	dv_op_drop(op);
}

int dv_op_new(struct dv_diag *diag, const struct dv_diag_kind *kind,
	      const struct dv_how *how, struct dv_op **opp, struct dv_err *err)
{
	struct dv_how h = DV_HOW_INIT;
	struct dv_op *op;
	int r = how ? dv_opts_copy(&h, sizeof(h), how, err) : 0;

	if (r < 0)
		return r;
	if (!h.fn && dv_loop_busy(diag->loop))
		return dv_err_sys(err, EDEADLK, "%s", kind->what);
	op = calloc(1, sizeof(*op));
	if (!op)
		return dv_err_sys(err, ENOMEM, "%s", kind->what);
	op->diag = diag;
	op->kind = kind;
	op->what = kind->what;
	op->how = h;
	op->until_ns = UINT64_MAX;
	if (h.timeout_ms >= 0)
		op->until_ns = dv_now_ns() + (uint64_t)h.timeout_ms * 1000000;
	for (int i = 0; i < 2; i++)
		op->request[i] =
			(struct dv_buf)DV_BUF_INIT(DV_DIAG_REQUEST_MAX);
	op->n_conns_old = kind->conn_field[0] != 0;
	op->n_conns_v1 = kind->conn_field[1] != 0;
	op->next = diag->ops;
	if (op->next)
		op->next->prevp = &op->next;
	op->prevp = &diag->ops;
	diag->ops = op;
	*opp = op;
	return 0;
}

int dv_op_put(struct dv_op *op, bool v1, const pb_msgdesc_t *fields,
	      const void *msg, struct dv_err *err)
{
	int r = dv_pb_encode(fields, msg, &op->request[v1], err);

	return r < 0 ? dv_err_wrap(err, r, "%s", op->kind->what) : 0;
}

/* "cannot stop web: ..." says already what it is about. */
static bool is_said(const struct dv_op *op, const char *msg)
{
	static const char refused[] = "cannot ";
	const size_t at = sizeof(refused) - 1, len = strlen(op->kind->what);

	return !strncmp(msg, refused, at) &&
	       !strncmp(msg + at, op->kind->what, len) && msg[at + len] == ' ';
}

void dv_op_end(struct dv_op *op, int r, const struct dv_err *err)
{
	struct dv_err copy = DV_ERR_INIT;

	if (r < 0 && err) {
		copy = *err;
		if (*op->what && !is_said(op, copy.msg))
			dv_err_wrap(&copy, r, "%s", op->what);
	}
	stop_op(op);
	op->how.fn(op->how.arg, r, &copy);
	free_op(op);
}

static void on_timer(struct dv_timer *timer)
{
	struct dv_op *op = dv_container_of(timer, struct dv_op, timer);
	struct dv_err err = DV_ERR_INIT;

	dv_err_set(&err, ETIMEDOUT, DV_DEADLINE, "no answer within %d ms",
		   op->how.timeout_ms);
	dv_op_end(op, -ETIMEDOUT, &err);
}

static void on_kick(struct dv_defer *kick)
{
	dv_op_next(dv_container_of(kick, struct dv_op, kick));
}

void dv_op_kick(struct dv_op *op)
{
	dv_defer_add(op->diag->loop, &op->kick, on_kick);
}

/* Who waits for the end of an operation; that is gone by then. */
struct blocked {
	bool ended;
	int r;
	struct dv_err *err;
};

static void on_end(void *arg, int r, const struct dv_err *err)
{
	struct blocked *b = arg;

	b->ended = true;
	b->r = r;
	if (r < 0 && b->err)
		*b->err = *err;
}

#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC diagnostic push
/* Who frees @op calls on_end() first, which gcc does not see. */
#pragma GCC diagnostic ignored "-Wanalyzer-use-after-free"
#endif
static int block(struct dv_op *op, struct dv_err *err)
{
	struct blocked b = { .err = err };
	struct dv_loop *loop = op->diag->loop;
	int r = 0;

	op->how.fn = on_end;
	op->how.arg = &b;
	dv_op_next(op);
	while (!b.ended && r >= 0)
		r = dv_loop_dispatch(loop, -1);
	if (b.ended)
		return b.r;
	dv_err_sys(err, -r, "%s", op->kind->what);
	dv_op_drop(op);
	return r;
}
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC diagnostic pop
#endif

int dv_op_go(struct dv_op *op, int r, struct dv_err *err)
{
	uint64_t at = op->until_ns;

	if (r >= 0 && at != UINT64_MAX) {
		r = dv_timer_set(op->diag->loop, &op->timer,
				 at + (uint64_t)op->extra_ms * 1000000,
				 on_timer);
		if (r < 0)
			dv_err_sys(err, -r, "%s", op->kind->what);
	}
	if (r < 0) {
		dv_op_drop(op);
		return r;
	}
	if (!op->how.fn)
		return block(op, err);
	if (op->how.opp)
		*op->how.opp = op;
	dv_op_kick(op);
	return 0;
}

/* ---- stages ------------------------------------------------------------ */

static void on_reply(struct dv_rpc_call *call DV_UNUSED,
		     const struct dv_rpc_reply *reply, void *arg)
{
	struct dv_op *op = arg;
	struct dv_err err = DV_ERR_INIT;
	int r = dv_diag_said(&op->call, reply, &err);

	if (op->kind->reply && (r >= 0 || op->kind->wants_errors))
		r = op->kind->reply(op, reply, &err);
	if (r != DV_MORE)
		dv_op_end(op, r, &err);
}

int dv_diag_said(struct dv_rpc_call **callp, const struct dv_rpc_reply *reply,
		 struct dv_err *err)
{
	*callp = NULL;
	if (reply->r < 0 && reply->err)
		*err = *reply->err;
	return reply->r;
}

static const char *v1_service(const struct dv_diag_kind *k)
{
	return k->v1_service ? k->v1_service : DV_DIAG_V1;
}

int dv_op_call(struct dv_op *op, dv_rpc_fn *fn, struct dv_err *err)
{
	const struct dv_diag_kind *k = op->kind;
	const struct dv_buf *rq = &op->request[op->v1];
	struct dv_rpc_call_opts o = DV_RPC_CALL_INIT;
	int r;

	o.timeout_ms = dv_op_left(op);
	o.wait_ready = op->wait_ready;
	o.fds = op->give;
	o.n_fds = op->n_give;
	r = dv_rpc_call(op->diag->rpc, &op->call,
			op->v1 ? v1_service(k) : k->service,
			op->v1 ? k->v1 : k->method, rq->data, rq->len, &o,
			fn ? fn : on_reply, op, err);
	close_given(op);
	return r < 0 ? r : DV_MORE;
}

/* Append the field with the id of the connection. */
static int name_conn(struct dv_op *op, struct dv_err *err)
{
	uint32_t field = op->kind->conn_field[op->v1];
	uint8_t bytes[20]; /* two numbers of at most 10 bytes */
	pb_ostream_t out = pb_ostream_from_buffer(bytes, sizeof(bytes));
	int r;

	if (!field)
		return 0;
	pb_encode_tag(&out, PB_WT_VARINT, field);
	pb_encode_varint(&out, op->conns[0].id);
	r = dv_buf_put(&op->request[op->v1], bytes, out.bytes_written);
	return r < 0 ? dv_err_sys(err, -r, "write the request") : 0;
}

static int make_call(struct dv_op *op, struct dv_err *err)
{
	const struct dv_diag_kind *k = op->kind;
	int r = name_conn(op, err);

	if (r == 0 && k->conns)
		r = k->conns(op, err);
	if (r < 0)
		return r;
	op->stage = DV_STAGE_WAITING;
	return k->call ? k->call(op, err) : dv_op_call(op, NULL, err);
}

/* Is it known who is there? 0, DV_MORE: it will be, -errno. */
static int know(struct dv_op *op, struct dv_err *err)
{
	struct dv_diag *d = op->diag;
	int r;

	if (op->r < 0) {
		*err = op->err;
		return op->r;
	}
	if (op->kind->v1 &&
	    (d->ask < DV_ASK_V1 || (d->assumed && op->kind->asks))) {
		r = dv_diag_ask(d, op, err);
		return r < 0 ? r : DV_MORE;
	}
	op->v1 = op->kind->v1 && d->ask == DV_ASK_V1;
	if (op->v1 || op->kind->service)
		return 0;
	dv_err_set(err, ENOTSUP, DV_UNIMPLEMENTED,
		   "this server does not speak davit.v1 (%s)", op->kind->v1);
	dv_err_hint(err, "only a guest with davit-agent can do that");
	return -ENOTSUP;
}

static bool takes_fds(const struct dv_diag *d)
{
	static const char word[] = "fds";
	const size_t len = sizeof(word) - 1;

	for (const char *p = d->hello.features; (p = strstr(p, word)); p++)
		if ((p == d->hello.features || p[-1] == ' ') &&
		    (p[len] == ' ' || !p[len]))
			return true;
	return false;
}

static int next(struct dv_op *op, struct dv_err *err)
{
	int r;

	if (op->kind->begin) {
		op->stage = DV_STAGE_WAITING;
		r = op->kind->begin(op, err);
		return r == 0 ? DV_MORE : r;
	}
	if (op->stage == DV_STAGE_HELLO) {
		r = know(op, err);
		if (r != 0)
			return r;
		op->stage = DV_STAGE_CONNS;
		op->gives = op->v1 && op->may_give && takes_fds(op->diag);
		op->n_conns = !op->v1     ? op->n_conns_old
			      : op->gives ? op->n_conns_fds
					  : op->n_conns_v1;
		if (op->n_conns) {
			dv_diag_conns_start(op);
			return DV_MORE;
		}
	}
	op->stage = DV_STAGE_CALL;
	return make_call(op, err);
}

void dv_op_next(struct dv_op *op)
{
	struct dv_err err = DV_ERR_INIT;
	int r = next(op, &err);

	if (r == DV_MORE)
		return;
	dv_op_end(op, r < 0 ? r : 0, &err);
}
