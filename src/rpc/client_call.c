/* SPDX-License-Identifier: MIT */
/*
 * The calls of a client, from their beginning to their end.
 */
#include <davit/rpc.h>

#include <errno.h>
#include <string.h>

#include "base/def.h"
#include "base/fd.h"
#include "rpc/client_priv.h"

#define NS_PER_MS UINT64_C(1000000)

/* ---- calls ---- */

void dv_rpc_link(struct dv_rpc_call **head, struct dv_rpc_call *call)
{
	call->next = *head;
	call->prevp = head;
	if (call->next)
		call->next->prevp = &call->next;
	*head = call;
}

void dv_rpc_unlink(struct dv_rpc_call *call)
{
	struct dv_rpc *rpc = call->rpc;

	if (!call->prevp)
		return;
	*call->prevp = call->next;
	if (call->next)
		call->next->prevp = call->prevp;
	else if (rpc->queue_tail == &call->next)
		rpc->queue_tail = call->prevp;
	call->prevp = NULL;
}

void dv_rpc_enqueue(struct dv_rpc *rpc, struct dv_rpc_call *call)
{
	call->state = DV_RPC_QUEUED;
	call->next = NULL;
	call->prevp = rpc->queue_tail;
	*rpc->queue_tail = call;
	rpc->queue_tail = &call->next;
}

int dv_rpc_send(struct dv_rpc_call *call, struct dv_err *err)
{
	struct dv_rpc *rpc = call->rpc;

	call->state = DV_RPC_SENT;
	call->conn = rpc->conn;
	dv_rpc_link(&rpc->sent, call);
	return rpc->ops->send(rpc, call, err);
}

void dv_rpc_forget_store(struct dv_rpc_call *call)
{
	if (!call->store)
		return;
	for (size_t i = 0; i < call->n_fds; i++)
		dv_close(call->fds[i]);
	free(dv_take_ptr(&call->store));
	call->n_fds = 0;
}

void dv_rpc_call_free(struct dv_rpc_call *call)
{
	struct dv_rpc *rpc = call->rpc;

	dv_rpc_unlink(call);
	dv_timer_stop(&call->timer);
	dv_rpc_forget_store(call);
	if (rpc->n_spare >= DV_RPC_SPARE_MAX) {
		free(call);
		return;
	}
	call->next = rpc->spare;
	rpc->spare = call;
	rpc->n_spare++;
}

static struct dv_rpc_call *call_alloc(struct dv_rpc *rpc)
{
	struct dv_rpc_call *call = rpc->spare;

	if (!call)
		return calloc(1, sizeof(*call));
	rpc->spare = call->next;
	rpc->n_spare--;
	memset(call, 0, sizeof(*call));
	return call;
}

/* ---- endings ---- */

void dv_rpc_hold(struct dv_rpc *rpc)
{
	rpc->refs++;
}

bool dv_rpc_alive(const struct dv_rpc *rpc)
{
	return !rpc->dead;
}

void dv_rpc_drop(struct dv_rpc *rpc)
{
	if (--rpc->refs)
		return;
	while (rpc->spare) {
		struct dv_rpc_call *call = rpc->spare;

		rpc->spare = call->next;
		free(call);
	}
	free(rpc->target);
	free(rpc);
}

void dv_rpc_done(struct dv_rpc_call *call, const struct dv_rpc_reply *reply)
{
	struct dv_rpc *rpc = call->rpc;

	dv_rpc_hold(rpc);
	if (reply->more) {
		call->fn(call, reply, call->arg);
	} else {
		dv_rpc_unlink(call);
		dv_timer_stop(&call->timer);
		call->ended = true;
		call->fn(call, reply, call->arg);
		dv_rpc_call_free(call);
	}
	dv_rpc_drop(rpc);
}

void dv_rpc_fail(struct dv_rpc_call *call, const struct dv_err *err)
{
	struct dv_rpc_reply reply = { .r = err->sys ? -err->sys : -EIO,
				      .err = err };

	dv_rpc_done(call, &reply);
}

void dv_rpc_cancel(struct dv_rpc_call *call)
{
	struct dv_rpc *rpc = call->rpc;

	if (call->ended)
		return;
	if (call->conn)
		rpc->ops->cancel(rpc, call);
	dv_rpc_call_free(call);
}

static void on_deadline(struct dv_timer *timer)
{
	struct dv_rpc_call *call =
		dv_container_of(timer, struct dv_rpc_call, timer);
	struct dv_rpc *rpc = call->rpc;
	struct dv_err err = DV_ERR_INIT;

	if (call->conn)
		rpc->ops->cancel(rpc, call);
	dv_err_set(&err, ETIMEDOUT, DV_DEADLINE, "deadline exceeded");
	dv_rpc_fail(call, &err);
}

uint64_t dv_rpc_time_left(const struct dv_rpc_call *call)
{
	uint64_t now;

	if (call->deadline_ns == UINT64_MAX)
		return 0;
	now = dv_now_ns();
	return call->deadline_ns > now ? call->deadline_ns - now : 1;
}

int dv_rpc_status(struct dv_err *err, int code, const char *text, size_t len)
{
	static const int sys[DV_CODE_N] = {
		[DV_CANCELLED] = ECANCELED, [DV_UNKNOWN] = EIO,
		[DV_INVALID] = EINVAL,      [DV_DEADLINE] = ETIMEDOUT,
		[DV_NOT_FOUND] = ENOENT,    [DV_EXISTS] = EEXIST,
		[DV_DENIED] = EACCES,       [DV_EXHAUSTED] = ENOBUFS,
		[DV_PRECONDITION] = EBUSY,  [DV_ABORTED] = ECANCELED,
		[DV_RANGE] = ERANGE,        [DV_UNIMPLEMENTED] = ENOSYS,
		[DV_INTERNAL] = EIO,        [DV_UNAVAILABLE] = ECONNRESET,
		[DV_DATA_LOSS] = EIO,       [DV_UNAUTHENTICATED] = EPERM,
	};

	if (code <= DV_OK || code >= DV_CODE_N)
		code = DV_UNKNOWN;
	return dv_err_set(err, sys[code], (enum dv_code)code, "%.*s",
			  (int)dv_min(len, sizeof(err->msg)), text);
}

/* ---- making calls ---- */

static size_t metadata_size(const char *const *md, size_t *np)
{
	size_t len = 0;

	*np = 0;
	for (; md && md[*np]; (*np)++)
		len += strlen(md[*np]) + 1;
	return len;
}

static char *put_text(char **p, const char *s)
{
	size_t len = strlen(s) + 1;
	char *at = *p;

	memcpy(at, s, len);
	*p += len;
	return at;
}

/* Descriptors of a call that has to wait. Returns 0 or -errno. */
static int store_fds(struct dv_rpc_call *call, int *to)
{
	const int *from = call->fds;
	size_t n = call->n_fds;

	call->fds = to;
	for (call->n_fds = 0; call->n_fds < n; call->n_fds++) {
		to[call->n_fds] = dv_fd_dup(from[call->n_fds], 0);
		if (to[call->n_fds] < 0)
			return to[call->n_fds];
	}
	return 0;
}

static size_t binary_size(const struct dv_rpc_call *call)
{
	size_t len = call->n_binary * sizeof(*call->binary);

	for (size_t i = 0; i < call->n_binary; i++)
		len += call->binary[i].len + strlen(call->binary[i].key) + 1;
	return len;
}

static void store_binary(struct dv_rpc_call *call, struct dv_rpc_bytes *to,
			 char **p)
{
	for (size_t i = 0; i < call->n_binary; i++) {
		to[i] = call->binary[i];
		if (to[i].len)
			memcpy(*p, to[i].data, to[i].len);
		to[i].data = *p;
		*p += to[i].len;
		to[i].key = put_text(p, to[i].key);
	}
	call->binary = to;
}

/* Copy what is borrowed into one block: pointers, numbers, bytes, texts. */
static int store_call(struct dv_rpc_call *call)
{
	size_t n, len = metadata_size(call->metadata, &n);
	size_t n_fds = call->n_fds;
	struct dv_rpc_bytes *binary;
	const char **md;
	char *p;
	int *fds;

	len += (n + 1) * sizeof(char *) + binary_size(call) +
	       n_fds * sizeof(int) + call->len + strlen(call->service) +
	       strlen(call->method) + 2;
	md = malloc(len);
	if (!md)
		return -ENOMEM;
	call->store = md;
	binary = (struct dv_rpc_bytes *)(void *)(md + n + 1);
	fds = (int *)(void *)(binary + call->n_binary);
	p = (char *)(fds + n_fds);
	store_binary(call, binary, &p);
	if (call->len)
		memcpy(p, call->payload, call->len);
	call->payload = p;
	p += call->len;
	call->service = put_text(&p, call->service);
	call->method = put_text(&p, call->method);
	for (size_t i = 0; i < n; i++)
		md[i] = put_text(&p, call->metadata[i]);
	md[n] = NULL;
	call->metadata = md;
	return store_fds(call, fds);
}

static int start_call(struct dv_rpc *rpc, struct dv_rpc_call *call,
		      struct dv_err *err)
{
	int r;

	if (call->deadline_ns != UINT64_MAX) {
		r = dv_timer_set(rpc->loop, &call->timer, call->deadline_ns,
				 on_deadline);
		if (r < 0)
			return dv_err_sys(err, -r, "call");
	}
	if (rpc->state == DV_RPC_OPEN && !rpc->queue)
		return dv_rpc_send(call, err);
	r = store_call(call);
	if (r < 0)
		return dv_err_sys(err, -r, "queue a call");
	dv_rpc_enqueue(rpc, call);
	dv_rpc_want_dial(rpc);
	return 0;
}

static int check_call(const struct dv_rpc *rpc, size_t len,
		      const struct dv_rpc_call_opts *opts, struct dv_err *err)
{
	if (rpc->dead)
		return dv_err_sys(err, ECANCELED, "call");
	if (opts->size != sizeof(*opts))
		return dv_err_sys(err, EINVAL, "call options");
	if (len > DV_RPC_SEND_MAX)
		return dv_err_set(err, EMSGSIZE, DV_EXHAUSTED,
				  "the request has %zu bytes, %d are allowed",
				  len, DV_RPC_SEND_MAX);
	if (opts->n_fds > DV_RPC_FDS_MAX)
		return dv_err_set(err, EMFILE, DV_EXHAUSTED,
				  "%zu descriptors, %d are allowed",
				  opts->n_fds, DV_RPC_FDS_MAX);
	if (rpc->opts.proto == DV_RPC_TTRPC && opts->stream)
		return dv_err_set(err, ENOSYS, DV_UNIMPLEMENTED,
				  "a stream of answers needs gRPC");
	if (rpc->opts.proto == DV_RPC_TTRPC && opts->n_binary)
		return dv_err_set(err, ENOSYS, DV_UNIMPLEMENTED,
				  "metadata that is not text needs gRPC");
	for (size_t i = 0; i < opts->n_binary; i++)
		if (!opts->binary[i].key)
			return dv_err_sys(err, EINVAL, "metadata");
	return 0;
}

/* NOLINTNEXTLINE(readability-function-size): a call, and who hears of it */
int dv_rpc_call(struct dv_rpc *rpc, struct dv_rpc_call **callp,
		const char *service, const char *method, const void *payload,
		size_t len, const struct dv_rpc_call_opts *opts, dv_rpc_fn *fn,
		void *arg, struct dv_err *err)
{
	static const struct dv_rpc_call_opts none = DV_RPC_CALL_INIT;
	struct dv_rpc_call *call;
	int r;

	opts = opts ? opts : &none;
	r = check_call(rpc, len, opts, err);
	if (r < 0)
		return r;
	call = call_alloc(rpc);
	if (!call)
		return dv_err_sys(err, ENOMEM, "call");
	call->rpc = rpc;
	call->fn = fn;
	call->arg = arg;
	call->deadline_ns = UINT64_MAX;
	if (opts->timeout_ms >= 0)
		call->deadline_ns =
			dv_now_ns() + (uint64_t)opts->timeout_ms * NS_PER_MS;
	call->wait_ready = opts->wait_ready;
	call->streaming = opts->stream;
	call->service = service;
	call->method = method;
	call->payload = payload;
	call->len = len;
	call->metadata = opts->metadata;
	call->binary = opts->binary;
	call->n_binary = opts->n_binary;
	call->fds = opts->fds;
	call->n_fds = opts->n_fds;
	r = start_call(rpc, call, err);
	if (r < 0) {
		dv_rpc_call_free(call);
		return r;
	}
	if (callp)
		*callp = call;
	return 0;
}
