/* SPDX-License-Identifier: MIT */
/*
 * DOC: the owner's side of a worker
 *
 *	STARTING --> RUNNING --> PAUSING --> CHANGING --> HANDING --+
 *	   |	      ^  ^  |	    |		|		    |
 *	   |	      |  +--+-------+-----------+ (rolled back)	    |
 *	   |	      +---------------------------------------------+
 *	   v
 *	ENDED <-- STOPPING <-- any
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/def.h"
#include "base/fmt.h"
#include "mesh/worker_priv.h"

enum { START_MS = 30000 };

/* ---- instances
 * ---------------------------------------------------------------- */

static void on_message(struct dv_port *port, struct dv_msg *msg)
{
	struct dv_instance *inst = dv_port_user(port);
	struct dv_err err = DV_ERR_INIT;
	struct dv_msg *content = NULL;
	struct dv_host_msg m;

	if (dv_host_frame_open(msg, &m) < 0) {
		dv_err_set(&err, EPROTO, DV_INTERNAL,
			   "it sent what no worker sends");
		dv_mesh_worker_lost(inst, &err);
		return;
	}
	if (m.follows)
		content = dv_msg_keep(msg);
	if (m.follows && !content) {
		dv_err_sys(&err, ENOMEM, "message of a worker");
		dv_mesh_worker_lost(inst, &err);
		return;
	}
	dv_mesh_worker_heard(inst, &m, content);
}

static void on_ended(struct dv_port *port, const struct dv_port_end *end)
{
	struct dv_instance *inst = dv_port_user(port);
	struct dv_err err = end->err;

	if (err.code == DV_OK)
		dv_err_set(&err, EPIPE, DV_UNAVAILABLE, "its host has gone");
	dv_mesh_worker_lost(inst, &err);
}

static const struct dv_port_ops instance_ops = {
	.message = on_message,
	.ended = on_ended,
};

void dv_instance_attach(struct dv_instance *inst)
{
	if (inst->port)
		dv_port_start(inst->port, &instance_ops, inst);
}

void dv_instance_close(struct dv_instance *inst)
{
	inst->port = dv_port_close(inst->port, NULL);
	dv_list_del(&inst->at);
	inst->host = NULL;
}

void dv_mesh_worker_forget_host(struct dv_host *host)
{
	struct dv_list *l;

	while ((l = dv_list_pop(&host->workers)))
		dv_list_of(l, struct dv_instance, at)->host = NULL;
	while (dv_list_pop(&host->workers_to))
		;
}

static int send_start(struct dv_instance *inst, struct dv_port *theirs,
		      struct dv_msg *params, struct dv_msg *state,
		      struct dv_err *err)
{
	struct dv_mesh_worker *w = inst->worker;
	struct dv_host_msg m = {
		.kind = DV_HM_WORK,
		.text = dv_host_str(w->type, strlen(w->type)),
	};
	struct dv_host_msg with = { .kind = DV_HM_PARAMS };
	struct dv_msg *msg = dv_host_msg_new(&m);
	int r = 0;

	if (!msg) {
		dv_port_close(theirs, NULL);
		r = dv_err_sys(err, ENOMEM, "start a worker");
	} else if (dv_msg_add_port(msg, theirs) < 0) {
		dv_msg_free(msg);
		r = dv_err_sys(err, ENOMEM, "start a worker");
	} else {
		r = dv_port_send(inst->host->run->ctl, msg, err);
	}
	if (r >= 0 && params)
		r = dv_host_frame_send(inst->port, &with, params, err);
	else
		dv_msg_free(params);
	with.kind = DV_HM_START;
	if (r >= 0)
		return dv_host_frame_send(inst->port, &with, state, err);
	dv_msg_free(state);
	return r;
}

int dv_instance_start(struct dv_mesh_worker *w, struct dv_instance *inst,
		      struct dv_host *host, struct dv_msg *params,
		      struct dv_msg *state, struct dv_err *err)
{
	struct dv_port *pair[2];
	int r = 0;

	if (!host->up || !host->run || !host->run->ctl)
		r = dv_err_set(err, ENOTCONN, DV_UNAVAILABLE,
			       "host %s is not up", host->name);
	if (r == 0) {
		r = dv_port_pair(host->hosts->mesh, pair);
		if (r < 0)
			dv_err_sys(err, -r, "ports of a worker");
	}
	if (r < 0) {
		dv_msg_free(params);
		dv_msg_free(state);
		return r;
	}
	inst->worker = w;
	inst->host = host;
	inst->port = pair[0];
	dv_list_add(&host->workers, &inst->at);
	dv_port_start(inst->port, &instance_ops, inst);
	r = send_start(inst, pair[1], params, state, err);
	if (r < 0)
		dv_instance_close(inst);
	return r;
}

/* ---- its end
 * --------------------------------------------------------------------- */

static void on_over(struct dv_defer *defer)
{
	struct dv_mesh_worker *w =
		dv_container_of(defer, struct dv_mesh_worker, end_defer);
	struct dv_err gone = DV_ERR_INIT;
	bool freed = false;

	dv_err_set(&gone, EPIPE, DV_UNAVAILABLE, "worker %s has ended",
		   w->type);
	w->freed = &freed;
	dv_mesh_worker_fail_calls(w, w->why.code == DV_OK ? &gone : &w->why);
	if (!freed)
		dv_mesh_worker_tell(w, w->why.code == DV_OK ? &gone : &w->why);
	if (freed)
		return;
	w->freed = NULL;
	if (w->ops && w->ops->ended)
		w->ops->ended(w, w->why.code == DV_OK ? NULL : &w->why);
}

void dv_mesh_worker_over(struct dv_mesh_worker *w, const struct dv_err *why)
{
	if (w->state == DV_WORKER_ENDED)
		return;
	w->state = DV_WORKER_ENDED;
	if (why && why->code != DV_OK) {
		w->why = *why;
		dv_err_wrap(&w->why, -1, "worker %s", w->type);
	}
	dv_timer_stop(&w->timer);
	dv_list_del(&w->to_at);
	dv_instance_close(&w->now);
	dv_instance_close(&w->next);
	dv_defer_add(w->loop, &w->end_defer, on_over);
}

void dv_mesh_worker_lost(struct dv_instance *inst, const struct dv_err *why)
{
	struct dv_mesh_worker *w = inst->worker;

	inst->port = dv_port_close(inst->port, NULL);
	if (dv_mesh_worker_change_lost(inst, why))
		return;
	dv_mesh_worker_over(w, why);
}

/* ---- what it says
 * --------------------------------------------------------------------- */

static void on_start_over(struct dv_timer *timer)
{
	struct dv_mesh_worker *w =
		dv_container_of(timer, struct dv_mesh_worker, timer);
	struct dv_err err = DV_ERR_INIT;

	dv_err_set(&err, ETIMEDOUT, DV_DEADLINE, "%s in time",
		   w->state == DV_WORKER_STOPPING ? "it did not end"
						  : "it did not start");
	dv_mesh_worker_over(w, &err);
}

static void on_started(struct dv_mesh_worker *w, const struct dv_err *err)
{
	bool freed = false;

	if (err->code != DV_OK) {
		dv_mesh_worker_over(w, err);
		return;
	}
	if (w->state == DV_WORKER_STOPPING)
		return;
	dv_timer_stop(&w->timer);
	w->state = DV_WORKER_RUNNING;
	w->freed = &freed;
	if (w->ops && w->ops->started)
		w->ops->started(w);
	if (freed)
		return;
	w->freed = NULL;
	if (w->state == DV_WORKER_RUNNING)
		dv_mesh_worker_flush(w);
}

void dv_mesh_worker_heard(struct dv_instance *inst, const struct dv_host_msg *m,
			  struct dv_msg *content)
{
	struct dv_mesh_worker *w = inst->worker;

	if (m->kind == DV_HM_REPLY && inst == &w->now) {
		dv_mesh_worker_replied(w, m, content);
		return;
	}
	if (dv_mesh_worker_changing(inst, m, content))
		return;
	dv_msg_free(content);
	if (m->kind == DV_HM_STARTED)
		on_started(w, &m->err);
	else if (m->kind == DV_HM_ENDED)
		dv_mesh_worker_over(w, &m->err);
}

/* ---- its life
 * ----------------------------------------------------------------------------
 */

int dv_mesh_worker_start(struct dv_host *host, const char *type,
			 struct dv_msg *params,
			 const struct dv_mesh_worker_ops *ops, void *user,
			 struct dv_mesh_worker **workerp, struct dv_err *err)
{
	struct dv_mesh_worker *w = NULL;
	int r = 0;

	if (strlen(type) > DV_WORKER_NAME_MAX)
		r = dv_err_set(err, EINVAL, DV_INVALID, "name of a worker");
	else if (!(w = calloc(1, sizeof(*w))))
		r = dv_err_sys(err, ENOMEM, "allocate a worker");
	if (r < 0) {
		dv_msg_free(params);
		return r;
	}
	w->loop = host->hosts->loop;
	w->ops = ops;
	w->user = user;
	dv_fmt(w->type, sizeof(w->type), "%s", type);
	dv_list_init(&w->calls);
	dv_list_init(&w->to_at);
	dv_list_init(&w->now.at);
	dv_list_init(&w->next.at);
	r = dv_timer_set(w->loop, &w->timer, dv_host_at_ms(START_MS),
			 on_start_over);
	if (r == 0)
		r = dv_instance_start(w, &w->now, host, params, NULL, err);
	else
		dv_msg_free(params);
	if (r < 0) {
		dv_timer_stop(&w->timer);
		free(w);
		return dv_err_wrap(err, r, "start worker %s", type);
	}
	*workerp = w;
	return 0;
}

void dv_mesh_worker_stop(struct dv_mesh_worker *w, int timeout_ms)
{
	struct dv_host_msg m = { .kind = DV_HM_END };
	uint32_t ms = timeout_ms < 0 ? START_MS : (uint32_t)timeout_ms;

	if (w->state >= DV_WORKER_STOPPING)
		return;
	w->state = DV_WORKER_STOPPING;
	/* The one that was to be next is not needed any more. */
	dv_list_del(&w->to_at);
	dv_instance_close(&w->next);
	if (!w->now.port ||
	    dv_host_frame_send(w->now.port, &m, NULL, NULL) < 0 ||
	    dv_timer_set(w->loop, &w->timer, dv_host_at_ms(ms), on_start_over) <
		    0)
		dv_mesh_worker_over(w, NULL);
}

struct dv_mesh_worker *dv_mesh_worker_free(struct dv_mesh_worker *w)
{
	struct dv_host_msg m = { .kind = DV_HM_END };
	struct dv_err gone = DV_ERR_INIT;

	if (!w)
		return NULL;
	if (w->freed)
		*w->freed = true;
	w->freed = NULL;
	if (w->now.port)
		dv_host_frame_send(w->now.port, &m, NULL, NULL);
	w->state = DV_WORKER_ENDED;
	w->ops = NULL;
	dv_timer_stop(&w->timer);
	dv_defer_del(&w->end_defer);
	dv_list_del(&w->to_at);
	dv_instance_close(&w->now);
	dv_instance_close(&w->next);
	dv_err_set(&gone, ECANCELED, DV_CANCELLED, "worker %s was freed",
		   w->type);
	dv_mesh_worker_fail_calls(w, &gone);
	dv_mesh_worker_tell(w, &gone);
	free(w);
	return NULL;
}

void *dv_mesh_worker_user(const struct dv_mesh_worker *w)
{
	return w->user;
}

struct dv_host *dv_mesh_worker_host(const struct dv_mesh_worker *w)
{
	return w->now.host;
}

uint32_t dv_mesh_worker_generation(const struct dv_mesh_worker *w)
{
	return w->generation;
}
