/* SPDX-License-Identifier: MIT */
/*
 * DOC: an instance of a worker, in its host
 *
 *	NEW -START-> STARTING --> RUNNING -PAUSE-> PAUSING --> PAUSED
 *				     ^		     |		 |
 *				     +----RESUME-----+-----------+
 *	any -END, REPLACE-> ENDING --> OVER
 *
 * PAUSE waits until every call was answered. The port is the owner's hold on
 * it: when that ends, so does the instance.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/def.h"
#include "davit/worker.h"
#include "mesh/host_child.h"

enum work_state {
	WORK_NEW = 0,
	WORK_STARTING,
	WORK_RUNNING,
	WORK_PAUSING,
	WORK_PAUSED,
	WORK_ENDING,
	WORK_OVER,
	WORK_N
};

static const char *const state_names[] = {
	[WORK_NEW] = "new",         [WORK_STARTING] = "starting",
	[WORK_RUNNING] = "running", [WORK_PAUSING] = "pausing",
	[WORK_PAUSED] = "paused",   [WORK_ENDING] = "ending",
	[WORK_OVER] = "over",
};
static_assert(DV_ARRAY_LEN(state_names) == WORK_N, "one name per state");

struct dv_mesh_work {
	struct dv_host_self *self;
	const struct dv_mesh_worker_type *type;
	struct dv_list at; /* in self->works */
	struct dv_port *port;
	void *user;
	enum work_state state;
	bool pause_wanted;  /* once the calls are answered */
	bool resume_wanted; /* as soon as it has paused */
	uint32_t pause_id;  /* what is answered by PAUSED */
	struct dv_msg *params;
	uint32_t *calls; /* ids that are open; owned */
	uint32_t n_calls;
	struct dv_defer defer;
};

/* ---- the end ------------------------------------------------------------- */

static void destroy(struct dv_mesh_work *w)
{
	w->state = WORK_OVER;
	w->port = dv_port_close(w->port, NULL);
	dv_defer_del(&w->defer);
	dv_list_del(&w->at);
	w->self->n_works--;
	if (w->type && w->type->gone)
		w->type->gone(w);
	dv_msg_free(w->params);
	free(w->calls);
	free(w);
}

static void on_over(struct dv_defer *defer)
{
	destroy(dv_container_of(defer, struct dv_mesh_work, defer));
}

/* Freed from the loop: its own functions may be on the stack. */
static void over(struct dv_mesh_work *w)
{
	if (w->state == WORK_OVER)
		return;
	w->state = WORK_OVER;
	w->port = dv_port_close(w->port, NULL);
	dv_defer_add(w->self->loop, &w->defer, on_over);
}

static void say(struct dv_mesh_work *w, enum dv_host_msg_kind kind, uint32_t id,
		const struct dv_err *err, struct dv_msg *content)
{
	struct dv_host_msg m = { .kind = (uint8_t)kind, .id = id };

	if (err)
		m.err = *err;
	if (!w->port)
		dv_msg_free(content);
	else if (dv_host_frame_send(w->port, &m, content, NULL) < 0)
		over(w); /* its owner would wait for ever */
}

void dv_mesh_work_ended(struct dv_mesh_work *w, const struct dv_err *err)
{
	if (w->state == WORK_OVER)
		return;
	say(w, DV_HM_ENDED, 0, err, NULL);
	over(w);
}

int dv_mesh_work_hand(struct dv_mesh_work *w, struct dv_msg *msg)
{
	if (w->state != WORK_ENDING) {
		dv_msg_free(msg);
		return -EINVAL;
	}
	say(w, DV_HM_HANDED, 0, NULL, msg);
	return w->state == WORK_OVER ? -EPIPE : 0;
}

static void end(struct dv_mesh_work *w, bool replaced)
{
	if (w->state >= WORK_ENDING)
		return;
	w->state = WORK_ENDING;
	if (w->type->stop)
		w->type->stop(w, replaced);
	else
		dv_mesh_work_ended(w, NULL);
}

/* ---- starting --------------------------------------------------------------
 */

void dv_mesh_work_started(struct dv_mesh_work *w, int r,
			  const struct dv_err *err)
{
	struct dv_err e = DV_ERR_INIT;

	if (w->state != WORK_STARTING)
		return;
	if (r < 0 && err && err->code != DV_OK)
		e = *err;
	else if (r < 0)
		dv_err_sys(&e, -r, "start");
	say(w, DV_HM_STARTED, 0, &e, NULL);
	if (r < 0)
		over(w);
	else if (w->state == WORK_STARTING)
		w->state = WORK_RUNNING;
}

static void start(struct dv_mesh_work *w, struct dv_msg *state)
{
	struct dv_err err = DV_ERR_INIT;
	int r;

	w->state = WORK_STARTING;
	r = w->type->start(w, dv_take_ptr(&w->params), state, &err);
	if (r != DV_MORE)
		dv_mesh_work_started(w, r, &err);
}

/* ---- pausing ----------------------------------------------------------------
 */

static void resume(struct dv_mesh_work *w, struct dv_msg *state)
{
	w->state = WORK_RUNNING;
	if (w->type->resume)
		w->type->resume(w, state);
	else
		dv_msg_free(state);
}

static bool has_ports(const struct dv_msg *msg)
{
	for (size_t i = 0; msg && i < dv_msg_n_atts(msg); i++)
		if (dv_msg_att(msg, i) == DV_ATT_PORT)
			return true;
	return false;
}

void dv_mesh_work_paused(struct dv_mesh_work *w, struct dv_msg *state, int r,
			 const struct dv_err *err)
{
	struct dv_err e = DV_ERR_INIT;

	if (w->state != WORK_PAUSING) {
		dv_msg_free(state);
		return;
	}
	if (r < 0 && err && err->code != DV_OK)
		e = *err;
	else if (r < 0)
		dv_err_sys(&e, -r, "pause");
	else if (has_ports(state))
		r = dv_err_set(&e, EINVAL, DV_INVALID,
			       "its state has ports: they could not come back");
	w->state = WORK_PAUSED;
	if (w->resume_wanted || r < 0) {
		if (!w->resume_wanted)
			say(w, DV_HM_PAUSED, w->pause_id, &e, NULL);
		w->resume_wanted = false;
		if (w->state == WORK_PAUSED)
			resume(w, state);
		return;
	}
	say(w, DV_HM_PAUSED, w->pause_id, NULL, state);
}

static void may_pause(struct dv_mesh_work *w)
{
	if (!w->pause_wanted || w->n_calls || w->state != WORK_RUNNING)
		return;
	w->pause_wanted = false;
	w->state = WORK_PAUSING;
	if (w->type->pause)
		w->type->pause(w);
	else
		dv_mesh_work_paused(w, NULL, 0, NULL);
}

static void want_resume(struct dv_mesh_work *w, struct dv_msg *state)
{
	if (w->state == WORK_PAUSED) {
		resume(w, state);
		return;
	}
	dv_msg_free(state);
	w->pause_wanted = false;
	w->resume_wanted = w->state == WORK_PAUSING;
}

/* ---- calls
 * --------------------------------------------------------------------- */

static bool close_call(struct dv_mesh_work *w, uint32_t id)
{
	for (uint32_t i = 0; i < w->n_calls; i++)
		if (w->calls[i] == id) {
			w->calls[i] = w->calls[--w->n_calls];
			return true;
		}
	return false;
}

void dv_mesh_work_reply(struct dv_mesh_work *w, uint32_t id,
			struct dv_msg *reply, const struct dv_err *err)
{
	struct dv_err e = DV_ERR_INIT;

	if (!close_call(w, id)) {
		dv_msg_free(reply);
		return;
	}
	if (!reply && err && err->code != DV_OK)
		e = *err;
	else if (!reply)
		dv_err_set(&e, EIO, DV_UNKNOWN, "no answer, and no reason");
	say(w, DV_HM_REPLY, id, &e, reply);
	may_pause(w);
}

static void call(struct dv_mesh_work *w, uint32_t id, struct dv_msg *request)
{
	struct dv_err err = DV_ERR_INIT;

	if (w->n_calls == DV_WORKER_CALLS_MAX) {
		over(w); /* an owner that counts sends no more */
		dv_msg_free(request);
		return;
	}
	w->calls[w->n_calls++] = id;
	if (w->state == WORK_RUNNING && w->type->call) {
		w->type->call(w, id, request);
		return;
	}
	dv_msg_free(request);
	if (w->type->call)
		dv_err_set(&err, EAGAIN, DV_UNAVAILABLE, "it does not run");
	else
		dv_err_set(&err, ENOSYS, DV_UNIMPLEMENTED, "it has no calls");
	dv_mesh_work_reply(w, id, NULL, &err);
}

static void cancel(struct dv_mesh_work *w, uint32_t id)
{
	for (uint32_t i = 0; i < w->n_calls; i++)
		if (w->calls[i] == id && w->type->cancelled) {
			w->type->cancelled(w, id);
			return;
		}
}

/* ---- what the owner says
 * --------------------------------------------------------- */

/* True: @content was taken. */
static bool obey_with(struct dv_mesh_work *w, const struct dv_host_msg *m,
		      struct dv_msg *content)
{
	if (m->kind == DV_HM_PARAMS && w->state == WORK_NEW && !w->params)
		w->params = content;
	else if (m->kind == DV_HM_START && w->state == WORK_NEW)
		start(w, content);
	else if (m->kind == DV_HM_CALL)
		call(w, m->id, content);
	else if (m->kind == DV_HM_RESUME)
		want_resume(w, content);
	else if (m->kind == DV_HM_HANDED && w->type->handed)
		w->type->handed(w, content);
	else
		return false;
	return true;
}

static void obey(struct dv_mesh_work *w, const struct dv_host_msg *m,
		 struct dv_msg *content)
{
	if (obey_with(w, m, content))
		return;
	dv_msg_free(content);
	if (m->kind == DV_HM_CANCEL) {
		cancel(w, m->id);
	} else if (m->kind == DV_HM_PAUSE) {
		w->pause_wanted = true;
		w->pause_id = m->id;
		may_pause(w);
	} else if (m->kind == DV_HM_REPLACE) {
		end(w, true);
	} else if (m->kind == DV_HM_END) {
		end(w, false);
	} else if (m->kind != DV_HM_HANDED) {
		over(w);
	}
}

static void on_message(struct dv_port *port, struct dv_msg *msg)
{
	struct dv_mesh_work *w = dv_port_user(port);
	struct dv_msg *content = NULL;
	struct dv_host_msg m;

	if (dv_host_frame_open(msg, &m) < 0) {
		over(w);
		return;
	}
	if (m.follows)
		content = dv_msg_keep(msg);
	if (m.follows && !content)
		over(w); /* no memory: its owner hears that it is gone */
	else
		obey(w, &m, content);
}

static void on_ended(struct dv_port *port, const struct dv_port_end *why)
{
	(void)why;
	over(dv_port_user(port));
}

static const struct dv_port_ops work_ops = {
	.message = on_message,
	.ended = on_ended,
};

/* ---- making them
 * -------------------------------------------------------------------- */

static const struct dv_mesh_worker_type *
find_type(const struct dv_host_self *self, struct dv_str name)
{
	const struct dv_mesh_worker_type *t = self->main->workers;

	for (; t && t->name; t++)
		if (strlen(t->name) == name.len &&
		    memcmp(t->name, name.ptr, name.len) == 0)
			return t;
	return NULL;
}

static int make(struct dv_host_self *self, struct dv_str type,
		struct dv_port *port, struct dv_err *err)
{
	const struct dv_mesh_worker_type *t = find_type(self, type);
	struct dv_mesh_work *w;

	if (!t)
		return dv_err_set(err, ENOENT, DV_NOT_FOUND,
				  "host %s has no worker of that type",
				  self->name);
	if (self->n_works == DV_WORKERS_MAX)
		return dv_err_set(err, ENFILE, DV_EXHAUSTED,
				  "host %s has %d workers", self->name,
				  DV_WORKERS_MAX);
	w = calloc(1, sizeof(*w));
	if (w)
		w->calls = calloc(DV_WORKER_CALLS_MAX, sizeof(*w->calls));
	if (!w || !w->calls) {
		free(w);
		return dv_err_sys(err, ENOMEM, "allocate a worker");
	}
	w->self = self;
	w->type = t;
	w->port = port;
	self->n_works++;
	dv_list_add(&self->works, &w->at);
	dv_port_start(port, &work_ops, w);
	return 0;
}

void dv_host_self_work(struct dv_host_self *self, struct dv_str type,
		       struct dv_port *port)
{
	struct dv_err err = DV_ERR_INIT;

	if (port && make(self, type, port, &err) < 0)
		dv_port_close(port, &err);
}

void dv_host_self_no_works(struct dv_host_self *self)
{
	struct dv_list *l, *n;

	dv_list_each(l, n, &self->works)
		over(dv_list_of(l, struct dv_mesh_work, at));
}

/* ---- looking
 * ---------------------------------------------------------------------------
 */

static void show(struct dv_inspect *in, void *obj)
{
	struct dv_mesh_work *w = obj;
	struct dv_deferred *h;
	struct dv_node *dir, *at;

	dv_inspect_str(in, "type", w->type->name, DV_INSPECT_SAFE);
	dv_inspect_str(in, "state", state_names[w->state], DV_INSPECT_SAFE);
	dv_inspect_u64(in, "calls", w->n_calls, DV_INSPECT_SAFE);
	h = w->type->inspect ? dv_inspect_defer(in, "", DV_INSPECT_SAFE) : NULL;
	if (!h)
		return;
	dir = dv_node_dir();
	if (dir)
		w->type->inspect(w, dir);
	if (dir)
		dv_node_normalize(dir);
	at = dir ? dv_node_find(dir, dv_deferred_path(h)) : NULL;
	if (at)
		dv_deferred_node(h, dv_node_copy(at));
	else
		dv_deferred_fail(h, DV_NODE_NOT_FOUND, NULL);
	dv_node_free(dir);
}

void dv_host_self_show_works(struct dv_inspect *in, void *obj)
{
	struct dv_host_self *self = obj;
	struct dv_list *l, *n;
	uint64_t i = 0;

	dv_list_each(l, n, &self->works) dv_inspect_dir_u64(
		in, i++, show, dv_list_of(l, struct dv_mesh_work, at),
		DV_INSPECT_SAFE);
}

void *dv_mesh_work_user(const struct dv_mesh_work *w)
{
	return w->user;
}

void dv_mesh_work_set_user(struct dv_mesh_work *w, void *user)
{
	w->user = user;
}

struct dv_host_self *dv_mesh_work_host(const struct dv_mesh_work *w)
{
	return w->self;
}
