/* SPDX-License-Identifier: MIT */
#include "rpc/call.h"

#include <errno.h>
#include <stdarg.h>
#include <string.h>

#include "base/def.h"
#include "base/fd.h"
#include "base/fmt.h"
#include "base/utf8.h"
#include "wire/pb.h"

/* ---- bodies ---- */

int dv_body_size(const struct dv_body *body, size_t *lenp, struct dv_err *err)
{
	int r = 0;

	*lenp = body->len;
	if (body->fields && body->msg)
		r = dv_pb_size(body->fields, body->msg, lenp, err);
	if (r < 0)
		return r;
	if (*lenp > DV_RPC_SEND_MAX) {
		dv_err_set(err, EMSGSIZE, DV_EXHAUSTED,
			   "the answer has %zu bytes, %d are allowed", *lenp,
			   DV_RPC_SEND_MAX);
		dv_err_hint(err, "ask for it as a stream");
		return -EMSGSIZE;
	}
	return 0;
}

int dv_body_put(const struct dv_body *body, size_t len, struct dv_buf *out,
		struct dv_err *err)
{
	int r;

	if (body->fields && body->msg)
		return dv_pb_encode(body->fields, body->msg, out, err);
	r = dv_buf_put(out, body->data, len);
	return r < 0 ? dv_err_sys(err, -r, "queue an answer") : 0;
}

/* ---- life of a call ---- */

static struct dv_inflight *inflight_of(struct dv_call *call)
{
	return dv_container_of(call, struct dv_inflight, call);
}

static struct dv_inflight *inflight_new(struct dv_conn *conn,
					const struct dv_call_ops *ops,
					const struct dv_request *rq)
{
	struct dv_server *s = conn->server;
	struct dv_inflight *f = s->spare;

	if (f) {
		s->spare = f->next;
		s->n_spare--;
	} else {
		f = malloc(sizeof(*f));
	}
	if (!f)
		return NULL;
	/* All but the array of descriptors, which has its count. */
	memset(f, 0, offsetof(struct dv_inflight, fds));
	f->call.loop = s->loop;
	f->call.peer = conn->has_peer ? &conn->peer : NULL;
	f->call.deadline_ns = UINT64_MAX;
	f->call.fds = f->fds;
	f->ops = ops;
	f->conn = conn;
	f->stream = rq->stream;
	f->stream_data = rq->stream_data;
	f->payload = rq->payload;
	f->len = rq->len;
	f->rq = rq;
	return f;
}

int dv_call_metadata(const struct dv_call *call, const char *key,
		     struct dv_str *valuep)
{
	const struct dv_inflight *f =
		(const void *)((const char *)call -
			       offsetof(struct dv_inflight, call));
	const struct dv_request *rq = f->rq;
	struct dv_str k;

	for (size_t i = 0;
	     rq && rq->metadata && rq->metadata(rq, i, &k, valuep); i++)
		if (k.len == strlen(key) && memcmp(k.ptr, key, k.len) == 0)
			return 0;
	return -ENOENT;
}

static void unlink_held(struct dv_inflight *f)
{
	*f->prevp = f->next;
	if (f->next)
		f->next->prevp = f->prevp;
	f->prevp = NULL;
	dv_conn_count_call(f->conn, false);
}

static void release(struct dv_inflight *f)
{
	struct dv_server *s = f->conn->server;

	if (f->gonep)
		*f->gonep = true;
	if (f->prevp)
		unlink_held(f);
	dv_timer_stop(&f->deadline);
	if (f->call.req) {
		dv_pb_release(f->call.method->in, f->call.req);
		free(f->call.req);
	}
	for (size_t i = 0; i < f->call.n_fds; i++)
		dv_close(f->fds[i]);
	if (f->owned)
		free((void *)(uintptr_t)f->payload);
	if (s->n_spare >= DV_RPC_SPARE_MAX) {
		free(f);
		return;
	}
	f->next = s->spare;
	s->spare = f;
	s->n_spare++;
}

static void run_cancel(struct dv_inflight *f)
{
	if (f->prevp)
		unlink_held(f);
	f->state = DV_CALL_ENDING;
	if (f->call.cancel)
		f->call.cancel(&f->call);
}

/*
 * The text of a failure is UTF-8 on the wire. Ours may name what a request held
 * and that may be any bytes, or be cut in the middle of a character.
 */
static void say_failure(struct dv_inflight *f, const struct dv_err *err)
{
	size_t len = strnlen(err->msg, sizeof(err->msg) - 1);
	struct dv_err e;

	if (dv_utf8_ok(err->msg, len)) {
		f->ops->fail(f, err);
		return;
	}
	e = *err;
	for (size_t i = 0; i < len;) {
		size_t n = dv_utf8_next(e.msg + i, len - i, NULL);

		if (n == 0)
			e.msg[i] = '?';
		i += dv_max(n, (size_t)1);
	}
	f->ops->fail(f, &e);
}

static void fail(struct dv_inflight *f, const struct dv_err *err)
{
	say_failure(f, err);
	release(f);
}

static void fail_code(struct dv_inflight *f, enum dv_code code,
		      const char *text)
{
	struct dv_err err = DV_ERR_INIT;

	dv_err_set(&err, 0, code, "%s", text);
	fail(f, &err);
}

void dv_inflight_cancel(struct dv_inflight *f)
{
	run_cancel(f);
	release(f);
}

void dv_inflight_fail(struct dv_inflight *f, enum dv_code code,
		      const char *text)
{
	run_cancel(f);
	fail_code(f, code, text);
}

void dv_inflight_ready(struct dv_inflight *f)
{
	void (*ready)(struct dv_call * call) = f->ready;

	f->ready = NULL;
	if (ready)
		ready(&f->call);
}

static void on_deadline(struct dv_timer *timer)
{
	struct dv_inflight *f =
		dv_container_of(timer, struct dv_inflight, deadline);

	dv_inflight_fail(f, DV_DEADLINE, "deadline exceeded");
}

/* ---- dispatch ---- */

static bool same(struct dv_str s, const char *name)
{
	return strlen(name) == s.len && memcmp(name, s.ptr, s.len) == 0;
}

/* What changes something is not safe, whatever else its row says. */
static bool is_safe(const struct dv_method *m)
{
	return (m->flags & (DV_M_SAFE | DV_M_MUTATES)) == DV_M_SAFE;
}

/* A restricted server has no service without a method that it may serve. */
static bool service_shown(const struct dv_server *s,
			  const struct dv_service *service)
{
	for (size_t i = 0; i < service->n_methods; i++)
		if (is_safe(&service->methods[i]))
			return true;
	return !s->opts.restricted;
}

static bool find_service(struct dv_inflight *f, struct dv_str name)
{
	const struct dv_server *s = f->conn->server;

	for (size_t i = 0; i < s->n_services; i++) {
		const struct dv_service *service = s->services[i].service;

		if (same(name, service->name) && service_shown(s, service)) {
			f->call.service = service;
			f->call.ctx = s->services[i].ctx;
			return true;
		}
	}
	return false;
}

static bool find_method(struct dv_inflight *f, struct dv_str name)
{
	const struct dv_service *service = f->call.service;
	bool restricted = f->conn->server->opts.restricted;

	for (size_t i = 0; i < service->n_methods; i++) {
		const struct dv_method *m = &service->methods[i];

		if (same(name, m->name) && (!restricted || is_safe(m))) {
			f->call.method = m;
			return true;
		}
	}
	return false;
}

/* Find who handles it. 0, or < 0 with @err filled. */
static int resolve(struct dv_inflight *f, const struct dv_request *rq,
		   struct dv_err *err)
{
	if (!find_service(f, rq->service))
		return dv_err_set(err, ENOSYS, DV_UNIMPLEMENTED,
				  "unknown service %.*s", (int)rq->service.len,
				  rq->service.ptr);
	if (!find_method(f, rq->method))
		return dv_err_set(err, ENOSYS, DV_UNIMPLEMENTED,
				  "unknown method %.*s", (int)rq->method.len,
				  rq->method.ptr);
	if ((f->call.method->flags & DV_M_STREAM) && !f->ops->message)
		return dv_err_set(err, ENOSYS, DV_UNIMPLEMENTED,
				  "%s answers with a stream, which only gRPC "
				  "has",
				  f->call.method->name);
	return dv_conn_may_call(f->conn, err);
}

static int decode(struct dv_inflight *f, struct dv_err *err)
{
	const struct dv_method *m = f->call.method;
	int r;

	if (!m->in)
		r = f->len ? dv_pb_scan(NULL, f->payload, f->len, err) : 0;
	else if (!(f->call.req = calloc(1, m->in_size)))
		return dv_err_sys(err, ENOMEM, "decode");
	else
		r = dv_pb_decode(m->in, f->payload, f->len, f->call.req, err);
	return dv_err_wrap(err, r, "%s", m->name);
}

static uint64_t deadline_of(uint64_t timeout_ns)
{
	uint64_t now;

	if (timeout_ns == 0)
		return UINT64_MAX;
	now = dv_now_ns();
	return timeout_ns < UINT64_MAX - now ? now + timeout_ns : UINT64_MAX;
}

/* The handler has returned and holds the call: it needs more to live on. */
static void settle(struct dv_inflight *f)
{
	void *copy;

	if ((f->call.method->flags & DV_M_REPLAY) && f->len &&
	    f->len <= DV_RPC_REPLAY_MAX) {
		copy = malloc(f->len);
		if (copy)
			memcpy(copy, f->payload, f->len);
		f->owned = copy;
		f->payload = copy;
	} else if (f->len) {
		f->payload = NULL;
	}
	if (f->call.deadline_ns != UINT64_MAX &&
	    dv_timer_set(f->call.loop, &f->deadline, f->call.deadline_ns,
			 on_deadline) < 0)
		dv_inflight_fail(f, DV_EXHAUSTED, "no memory for its deadline");
}

static void run(struct dv_inflight *f)
{
	bool gone = false;

	f->gonep = &gone;
	f->call.method->fn(&f->call);
	if (gone)
		return;
	f->gonep = NULL;
	f->rq = NULL;
	if (f->state == DV_CALL_HELD)
		settle(f);
	else
		fail_code(f, DV_INTERNAL, "channel closed");
}

void dv_call_dispatch(struct dv_conn *conn, const struct dv_call_ops *ops,
		      const struct dv_request *rq)
{
	struct dv_inflight *f = inflight_new(conn, ops, rq);
	struct dv_err err = DV_ERR_INIT;
	int r;

	/* Without memory for a call there is none for its failure. */
	if (!f) {
		for (size_t i = 0; i < rq->n_fds; i++)
			dv_close(rq->fds[i]);
		ops->fail(
			&(struct dv_inflight){
				.conn = conn,
				.stream = rq->stream,
				.stream_data = rq->stream_data,
			},
			&(struct dv_err){ .code = DV_EXHAUSTED,
					  .msg = "no memory" });
		return;
	}
	conn->last_call = ++conn->server->total_calls;
	for (; f->call.n_fds < rq->n_fds; f->call.n_fds++)
		if (f->call.n_fds < DV_RPC_FDS_MAX)
			f->fds[f->call.n_fds] = rq->fds[f->call.n_fds];
		else
			dv_close(rq->fds[f->call.n_fds]);
	f->call.n_fds = dv_min(f->call.n_fds, (size_t)DV_RPC_FDS_MAX);
	r = resolve(f, rq, &err);
	if (r == 0)
		r = decode(f, &err);
	if (r < 0) {
		fail(f, &err);
		return;
	}
	f->call.deadline_ns = deadline_of(rq->timeout_ns);
	run(f);
}

/* ---- what handlers do ---- */

void dv_call_hold(struct dv_call *call, void *data,
		  void (*cancel)(struct dv_call *call))
{
	struct dv_inflight *f = inflight_of(call);
	struct dv_inflight **head =
		&f->conn->calls[f->stream / 2 % DV_CONN_BUCKETS];

	call->data = data;
	call->cancel = cancel;
	if (f->state != DV_CALL_RUNNING)
		return;
	f->state = DV_CALL_HELD;
	f->next = *head;
	f->prevp = head;
	if (f->next)
		f->next->prevp = &f->next;
	*head = f;
	dv_conn_count_call(f->conn, true);
}

static void answer(struct dv_call *call, const struct dv_body *body,
		   const int *fds, size_t n_fds)
{
	struct dv_inflight *f = inflight_of(call);
	struct dv_err err = DV_ERR_INIT;
	int r;

	dv_assert(f->state != DV_CALL_ENDING);
	r = f->ops->answer(f, body, fds, n_fds, &err);
	if (r < 0)
		say_failure(f, &err);
	release(f);
}

void dv_call_reply(struct dv_call *call, const void *msg)
{
	struct dv_body body = { call->method->out, msg, NULL, 0 };

	answer(call, &body, NULL, 0);
}

void dv_call_reply_fds(struct dv_call *call, const void *msg, const int *fds,
		       size_t n_fds)
{
	struct dv_body body = { call->method->out, msg, NULL, 0 };

	answer(call, &body, fds, n_fds);
}

void dv_call_reply_bytes(struct dv_call *call, const void *data, size_t len)
{
	struct dv_body body = { NULL, NULL, data, len };

	answer(call, &body, NULL, 0);
}

void dv_call_fail(struct dv_call *call, enum dv_code code, const char *fmt, ...)
{
	struct dv_err err = DV_ERR_INIT;
	va_list ap;

	err.code = code == DV_OK ? DV_UNKNOWN : (int32_t)code;
	va_start(ap, fmt);
	dv_vfmt(err.msg, sizeof(err.msg), fmt, ap);
	va_end(ap);
	dv_assert(inflight_of(call)->state != DV_CALL_ENDING);
	fail(inflight_of(call), &err);
}

void dv_call_fail_err(struct dv_call *call, const struct dv_err *err)
{
	struct dv_err e = *err;

	if (e.code <= DV_OK || e.code >= DV_CODE_N)
		e.code = DV_UNKNOWN;
	dv_assert(inflight_of(call)->state != DV_CALL_ENDING);
	fail(inflight_of(call), &e);
}

int dv_call_send(struct dv_call *call, const void *msg,
		 void (*ready)(struct dv_call *call))
{
	struct dv_inflight *f = inflight_of(call);
	struct dv_body body = { call->method->out, msg, NULL, 0 };
	struct dv_err err = DV_ERR_INIT;
	int r;

	dv_assert(f->state != DV_CALL_ENDING);
	r = f->ops->message
		    ? f->ops->message(f, &body, &err)
		    : dv_err_set(&err, ENOSYS, DV_UNIMPLEMENTED, "no streams");
	if (r < 0)
		fail(f, &err);
	else
		f->ready = r == DV_MORE ? ready : NULL;
	return r;
}

void dv_call_end(struct dv_call *call)
{
	struct dv_inflight *f = inflight_of(call);

	dv_assert(f->state != DV_CALL_ENDING);
	if (f->ops->end)
		f->ops->end(f);
	else
		f->ops->fail(f, &(struct dv_err){ .code = DV_UNIMPLEMENTED,
						  .msg = "no streams" });
	release(f);
}

/* ---- the calls of a connection ---- */

void dv_conn_fail_unkept(struct dv_conn *conn)
{
	for (size_t i = 0; i < DV_CONN_BUCKETS; i++) {
		struct dv_inflight *f = conn->calls[i];

		while (f) {
			if (dv_inflight_kept(f)) {
				f = f->next;
				continue;
			}
			dv_inflight_fail(f, DV_UNAVAILABLE,
					 "the server restarts");
			/* What was cancelled may have ended others. */
			f = conn->calls[i];
		}
	}
}
