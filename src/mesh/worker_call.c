/* SPDX-License-Identifier: MIT */
/*
 * Calls of a worker.
 */
#include <errno.h>
#include <stdlib.h>

#include "base/def.h"
#include "mesh/worker_priv.h"

/* @call is gone afterwards, and so may be the worker. */
static void answer(struct dv_call *call, struct dv_msg *reply,
		   const struct dv_err *err)
{
	dv_list_del(&call->at);
	dv_timer_stop(&call->timer);
	call->worker->n_calls--;
	dv_msg_free(call->request);
	call->fn(call->arg, reply, err);
	free(call);
}

static void on_deadline(struct dv_timer *timer)
{
	struct dv_call *call = dv_container_of(timer, struct dv_call, timer);
	struct dv_mesh_worker *w = call->worker;
	struct dv_host_msg m = { .kind = DV_HM_CANCEL, .id = call->id };
	struct dv_err err = DV_ERR_INIT;

	if (call->sent && w->now.port)
		dv_host_frame_send(w->now.port, &m, NULL, NULL);
	dv_err_set(&err, ETIMEDOUT, DV_DEADLINE, "call of worker %s", w->type);
	answer(call, NULL, &err);
}

static uint64_t ms_left(const struct dv_call *call)
{
	uint64_t now = dv_now_ns();

	if (!call->until_ns)
		return UINT64_MAX;
	return call->until_ns > now ? (call->until_ns - now) / 1000000 : 0;
}

static int send_call(struct dv_mesh_worker *w, struct dv_call *call,
		     struct dv_err *err)
{
	struct dv_host_msg m = {
		.kind = DV_HM_CALL,
		.id = call->id,
		.count = ms_left(call),
	};

	call->sent = true;
	return dv_host_frame_send(w->now.port, &m, dv_take_ptr(&call->request),
				  err);
}

/* What waited goes to the instance that runs now. */
void dv_mesh_worker_flush(struct dv_mesh_worker *w)
{
	struct dv_err err = DV_ERR_INIT;
	struct dv_list *l, *n;

	dv_list_each(l, n, &w->calls)
	{
		struct dv_call *call = dv_list_of(l, struct dv_call, at);

		if (call->sent)
			continue;
		if (send_call(w, call, &err) == 0)
			continue;
		/* Its queue is full of what we sent just now: told later. */
		call->until_ns = dv_now_ns();
		dv_timer_set(w->loop, &call->timer, call->until_ns,
			     on_deadline);
	}
}

int dv_mesh_worker_call(struct dv_mesh_worker *w, struct dv_msg *request,
			int timeout_ms,
			void (*fn)(void *arg, struct dv_msg *reply,
				   const struct dv_err *err),
			void *arg)
{
	struct dv_call *call = NULL;
	int r = 0;

	if (w->state >= DV_WORKER_STOPPING)
		r = -EPIPE;
	else if (w->n_calls == DV_WORKER_CALLS_MAX)
		r = -EAGAIN;
	else if (!(call = calloc(1, sizeof(*call))))
		r = -ENOMEM;
	if (r < 0) {
		dv_msg_free(request);
		return r;
	}
	call->worker = w;
	call->id = ++w->last_id;
	call->request = request;
	call->fn = fn;
	call->arg = arg;
	if (timeout_ms >= 0) {
		call->until_ns = dv_host_at_ms((uint32_t)timeout_ms);
		r = dv_timer_set(w->loop, &call->timer, call->until_ns,
				 on_deadline);
	}
	if (r == 0 && w->state == DV_WORKER_RUNNING)
		r = send_call(w, call, NULL);
	if (r < 0) {
		dv_timer_stop(&call->timer);
		dv_msg_free(call->request);
		free(call);
		return r;
	}
	w->n_calls++;
	dv_list_add(&w->calls, &call->at);
	return 0;
}

void dv_mesh_worker_replied(struct dv_mesh_worker *w,
			    const struct dv_host_msg *m, struct dv_msg *content)
{
	struct dv_list *l, *n;

	dv_list_each(l, n, &w->calls)
	{
		struct dv_call *call = dv_list_of(l, struct dv_call, at);

		if (call->id != m->id || !call->sent)
			continue;
		answer(call, content, content ? NULL : &m->err);
		return;
	}
	dv_msg_free(content); /* it came too late */
}

void dv_mesh_worker_fail_calls(struct dv_mesh_worker *w,
			       const struct dv_err *why)
{
	struct dv_err err = *why;
	struct dv_list mine, *l;

	/* Out of the worker first: it may be freed by any of them. */
	dv_list_init(&mine);
	while ((l = dv_list_pop(&w->calls)))
		dv_list_add(&mine, l);
	while ((l = dv_list_first(&mine)))
		answer(dv_list_of(l, struct dv_call, at), NULL, &err);
}
