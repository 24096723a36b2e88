/* SPDX-License-Identifier: MIT */
/*
 * DOC: replacing an instance
 *
 *	old		owner		new
 *	  <----PAUSE----
 *	  ----PAUSED---> state
 *			----START----->
 *			<---STARTED----		the old one is not needed now
 *	  <---REPLACE---
 *	  ----HANDED---> ----HANDED--->
 *	  ----ENDED---->			calls flow on
 *
 * Before STARTED whatever goes wrong with the new one is a RESUME for the old
 * one. After it the old one may be lost; the new one goes on without what it
 * would have handed over.
 */
#include <errno.h>

#include "base/def.h"
#include "mesh/worker_priv.h"

enum { RESTART_MS = 30000 };

void dv_mesh_worker_tell(struct dv_mesh_worker *w, const struct dv_err *err)
{
	void (*fn)(struct dv_mesh_worker * worker, void *arg,
		   const struct dv_err *why) = w->restarted;

	w->restarted = NULL;
	if (fn)
		fn(w, w->restarted_arg, err);
}

/* Back to the old one. @state: what it gave, when it did not leave us. */
static void roll_back(struct dv_mesh_worker *w, const struct dv_err *why,
		      struct dv_msg *state)
{
	struct dv_host_msg m = { .kind = DV_HM_RESUME };
	struct dv_err err = *why;
	bool freed = false;

	dv_timer_stop(&w->timer);
	dv_list_del(&w->to_at);
	dv_instance_close(&w->next);
	dv_err_wrap(&err, -1, "restart worker %s", w->type);
	w->freed = &freed;
	if (!w->now.port ||
	    dv_host_frame_send(w->now.port, &m, state, NULL) < 0) {
		dv_mesh_worker_tell(w, &err);
		if (!freed) {
			w->freed = NULL;
			dv_mesh_worker_over(w, why);
		}
		return;
	}
	w->state = DV_WORKER_RUNNING;
	dv_mesh_worker_tell(w, &err);
	if (freed)
		return;
	w->freed = NULL;
	if (w->state == DV_WORKER_RUNNING)
		dv_mesh_worker_flush(w);
}

static void on_deadline(struct dv_timer *timer);

/* The old one is gone, in order or not: the new one is all there is. */
static void changed(struct dv_mesh_worker *w)
{
	bool freed = false;

	dv_timer_stop(&w->timer);
	dv_instance_close(&w->next);
	w->state = DV_WORKER_RUNNING;
	w->freed = &freed;
	dv_mesh_worker_tell(w, NULL);
	if (freed)
		return;
	w->freed = NULL;
	if (w->state == DV_WORKER_RUNNING)
		dv_mesh_worker_flush(w);
}

static void on_deadline(struct dv_timer *timer)
{
	struct dv_mesh_worker *w =
		dv_container_of(timer, struct dv_mesh_worker, timer);
	struct dv_err err = DV_ERR_INIT;

	if (w->state == DV_WORKER_HANDING) {
		changed(w);
		return;
	}
	dv_err_set(&err, ETIMEDOUT, DV_DEADLINE, "%s in time",
		   w->state == DV_WORKER_PAUSING ? "the old one did not pause"
						 : "the new one did not start");
	roll_back(w, &err, NULL);
}

/* The old one has paused, or will not. */
static void on_paused(struct dv_mesh_worker *w, const struct dv_host_msg *m,
		      struct dv_msg *state)
{
	struct dv_host *to = dv_list_empty(&w->to_at) ? NULL : w->to;
	struct dv_err err = m->err;

	if (err.code != DV_OK) {
		dv_msg_free(state);
		/* It goes on already: a resume more does no harm. */
		roll_back(w, &err, NULL);
		return;
	}
	dv_list_del(&w->to_at);
	w->state = DV_WORKER_CHANGING;
	if (!to) {
		dv_err_set(&err, EPIPE, DV_UNAVAILABLE,
			   "the handle of the new host was freed");
		roll_back(w, &err, state);
		return;
	}
	if (dv_instance_start(w, &w->next, to, NULL, state, &err) < 0)
		roll_back(w, &err, NULL);
}

/* Where an instance is known by: its own address, which its port tells. */
static void swap(struct dv_mesh_worker *w)
{
	struct dv_instance old = w->now, new = w->next;

	dv_list_del(&w->now.at);
	dv_list_del(&w->next.at);
	w->now = new;
	w->next = old;
	dv_list_init(&w->now.at);
	dv_list_init(&w->next.at);
	if (new.host)
		dv_list_add(&new.host->workers, &w->now.at);
	if (old.host)
		dv_list_add(&old.host->workers, &w->next.at);
	dv_instance_attach(&w->now);
	dv_instance_attach(&w->next);
}

static void on_new_started(struct dv_mesh_worker *w,
			   const struct dv_host_msg *m)
{
	struct dv_host_msg replace = { .kind = DV_HM_REPLACE };

	if (m->err.code != DV_OK) {
		roll_back(w, &m->err, NULL);
		return;
	}
	swap(w);
	w->generation++;
	w->state = DV_WORKER_HANDING;
	if (!w->next.port ||
	    dv_host_frame_send(w->next.port, &replace, NULL, NULL) < 0)
		changed(w);
}

bool dv_mesh_worker_changing(struct dv_instance *inst,
			     const struct dv_host_msg *m,
			     struct dv_msg *content)
{
	struct dv_mesh_worker *w = inst->worker;
	struct dv_host_msg handed = { .kind = DV_HM_HANDED };
	bool other = inst == &w->next;

	if (w->state == DV_WORKER_PAUSING && !other &&
	    m->kind == DV_HM_PAUSED && m->id == w->pause_id) {
		on_paused(w, m, content);
		return true;
	}
	/* In HANDING `next` is the old one. */
	if (w->state == DV_WORKER_HANDING && other && m->kind == DV_HM_HANDED &&
	    w->now.port) {
		dv_host_frame_send(w->now.port, &handed, content, NULL);
		return true;
	}
	if (!other || w->state < DV_WORKER_PAUSING ||
	    w->state > DV_WORKER_HANDING)
		return false;
	dv_msg_free(content);
	if (w->state == DV_WORKER_CHANGING && m->kind == DV_HM_STARTED)
		on_new_started(w, m);
	else if (w->state == DV_WORKER_CHANGING && m->kind == DV_HM_ENDED)
		roll_back(w, &m->err, NULL);
	else if (w->state == DV_WORKER_HANDING && m->kind == DV_HM_ENDED)
		changed(w);
	return true;
}

bool dv_mesh_worker_change_lost(struct dv_instance *inst,
				const struct dv_err *why)
{
	struct dv_mesh_worker *w = inst->worker;

	if (inst == &w->next && w->state == DV_WORKER_CHANGING) {
		roll_back(w, why, NULL);
		return true;
	}
	if (inst == &w->next && w->state == DV_WORKER_HANDING) {
		changed(w);
		return true;
	}
	if (inst != &w->now)
		return true;
	/* The old one died with the state in our hands: the new one has it. */
	if (w->state == DV_WORKER_CHANGING)
		return true;
	return false;
}

int dv_mesh_worker_restart(struct dv_mesh_worker *w, struct dv_host *to,
			   int timeout_ms,
			   void (*fn)(struct dv_mesh_worker *worker, void *arg,
				      const struct dv_err *err),
			   void *arg)
{
	struct dv_host_msg m = { .kind = DV_HM_PAUSE, .id = ++w->last_id };
	int r;

	if (w->state >= DV_WORKER_STOPPING)
		return -EPIPE;
	if (w->state != DV_WORKER_RUNNING)
		return -EBUSY;
	r = dv_timer_set(w->loop, &w->timer,
			 dv_host_at_ms(timeout_ms < 0 ? RESTART_MS
						      : (uint32_t)timeout_ms),
			 on_deadline);
	if (r == 0)
		r = dv_host_frame_send(w->now.port, &m, NULL, NULL);
	if (r < 0) {
		dv_timer_stop(&w->timer);
		return r;
	}
	w->state = DV_WORKER_PAUSING;
	w->pause_id = m.id;
	w->restarted = fn;
	w->restarted_arg = arg;
	w->to = to;
	dv_list_add(&to->workers_to, &w->to_at);
	return 0;
}
