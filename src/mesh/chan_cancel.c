/* SPDX-License-Identifier: MIT */
/*
 * DOC: cancel contexts.
 *
 * In a process contexts are a tree of structs. Where the tree goes on in
 *another process there is one pair of ports: the parent has the lower end
 *("down"), the child the upper ("up"). What is said on it:
 *
 *	down	left_ns			when there is a deadline, or an earlier
 *one down	closed with a reason	cancelled up	ports
 *one more child, on that port
 *	up	closed			the child is not needed any more
 *
 * That the port of a child ends in any other way cancels it as well. A context
 * that is passed on asks its parent for a sibling, so what hangs where is a
 * matter of who decides, and not of the way a context took.
 *
 * Each context has the timer of its own deadline only: when an earlier one
 * above goes off it takes everything below along.
 */
#include <errno.h>
#include <stdlib.h>

#include "base/def.h"
#include "base/list.h"
#include "mesh/chan_msg.h"

/* Children that a process may ask for, which are charged to us. */
enum { DOWN_MAX = 4096 };

struct down {
	struct dv_list at;
	struct dv_cancel *c;
	struct dv_port *port;
};

struct dv_cancel {
	struct dv_mesh *mesh;
	struct dv_cancel *parent; /* here; NULL: none, or there, by up */
	struct dv_port *up;
	struct dv_list at; /* in the parent's children */
	struct dv_list children;
	struct dv_list downs;
	size_t n_downs;
	struct dv_timer timer;
	uint64_t at_ns; /* its own deadline, or UINT64_MAX */
	struct dv_defer defer;
	dv_cancel_fn *fn;
	void *user;
	struct dv_err why; /* DV_OK: not cancelled */
};

static bool is_cancelled(const struct dv_cancel *c)
{
	return c->why.code != DV_OK;
}

static void down_free(struct down *d, const struct dv_err *reason)
{
	dv_list_del(&d->at);
	d->c->n_downs--;
	dv_port_close(d->port, reason);
	free(d);
}

/* ---- cancelling ---------------------------------------------------- */

static void call(struct dv_defer *defer)
{
	struct dv_cancel *c = dv_container_of(defer, struct dv_cancel, defer);

	c->fn(c, &c->why, c->user);
}

static void cancel(struct dv_cancel *c, const struct dv_err *why)
{
	struct dv_list *l, *next;

	if (is_cancelled(c))
		return;
	c->why = *why;
	if (c->why.code == DV_OK)
		dv_err_set(&c->why, ECANCELED, DV_CANCELLED, "cancelled");
	dv_timer_stop(&c->timer);
	dv_list_each(l, next, &c->downs)
		down_free(dv_list_of(l, struct down, at), &c->why);
	c->up = dv_port_close(c->up, NULL);
	dv_list_each(l, next, &c->children)
		cancel(dv_list_of(l, struct dv_cancel, at), &c->why);
	if (c->fn)
		dv_defer_add(dv_mesh_loop(c->mesh), &c->defer, call);
}

void dv_cancel_now(struct dv_cancel *c, const struct dv_err *why)
{
	static const struct dv_err none = DV_ERR_INIT;

	cancel(c, why ? why : &none);
}

const struct dv_err *dv_cancel_why(const struct dv_cancel *c)
{
	return is_cancelled(c) ? &c->why : NULL;
}

static void on_deadline(struct dv_timer *timer)
{
	struct dv_cancel *c = dv_container_of(timer, struct dv_cancel, timer);
	struct dv_err why = DV_ERR_INIT;

	dv_err_set(&why, ETIMEDOUT, DV_DEADLINE, "the deadline is over");
	cancel(c, &why);
}

static int set_deadline(struct dv_cancel *c, uint64_t left_ns)
{
	c->at_ns = dv_chan_at(left_ns);
	if (c->at_ns == UINT64_MAX)
		return 0;
	return dv_timer_set(dv_mesh_loop(c->mesh), &c->timer, c->at_ns,
			    on_deadline);
}

uint64_t dv_cancel_left_ns(const struct dv_cancel *c)
{
	uint64_t at_ns = UINT64_MAX;

	if (is_cancelled(c))
		return 0;
	for (; c; c = c->parent)
		at_ns = dv_min(at_ns, c->at_ns);
	return dv_chan_left(at_ns);
}

/* ---- children elsewhere -------------------------------------------- */

static int add_down(struct dv_cancel *c, struct dv_port *port);

static void down_ended(struct dv_port *port,
		       const struct dv_port_end *end DV_UNUSED)
{
	down_free(dv_port_user(port), NULL);
}

static void down_message(struct dv_port *port, struct dv_msg *msg)
{
	struct down *d = dv_port_user(port);
	struct dv_cancel *c = d->c;
	struct dv_err err = DV_ERR_INIT;
	dv_mesh_Trailer t;
	int r = dv_chan_strip(msg, &t, &err);

	if (r == 0 && !t.has_ports)
		r = dv_err_set(&err, EBADMSG, DV_INVALID,
			       "a message that is none of a context's");
	if (r < 0) {
		down_free(d, &err);
		return;
	}
	for (size_t i = 0; i < t.ports.count; i++)
		add_down(c, dv_msg_take_port(msg, t.ports.first + i));
}

static const struct dv_port_ops down_ops = {
	.message = down_message,
	.ended = down_ended,
};

/* Tell the child on @port what deadline it has. */
static int say_left(struct dv_cancel *c, struct dv_port *port)
{
	dv_mesh_Trailer t = { .which_kind = dv_mesh_Trailer_left_ns_tag };
	struct dv_msg *msg;
	int r;

	t.kind.left_ns = dv_cancel_left_ns(c);
	if (t.kind.left_ns == UINT64_MAX)
		return 0;
	msg = dv_chan_msg(NULL, 0, &t);
	if (!msg)
		return -ENOMEM;
	r = dv_port_send(port, msg, NULL);
	return r == -EPIPE || r > 0 ? 0 : r; /* its end is heard later */
}

/* @port (consumed) has a child of @c at its other end, which is told so when it
 * cannot be. */
static int add_down(struct dv_cancel *c, struct dv_port *port)
{
	struct dv_err why = c->why;
	struct down *d = NULL;
	int r = 0;

	if (is_cancelled(c)) {
		dv_port_close(port, &why);
		return 0;
	}
	if (c->n_downs >= DOWN_MAX)
		r = dv_err_set(&why, EMFILE, DV_EXHAUSTED,
			       "the context has %d children elsewhere, its "
			       "limit",
			       DOWN_MAX);
	else if (!(d = calloc(1, sizeof(*d))) || say_left(c, port) < 0)
		r = dv_err_sys(&why, ENOMEM, "add a child to a context");
	if (r < 0) {
		free(d);
		dv_port_close(port, &why);
		return r;
	}
	d->c = c;
	d->port = port;
	dv_list_add(&c->downs, &d->at);
	c->n_downs++;
	dv_port_start(port, &down_ops, d);
	return 0;
}

int dv_cancel_attach(struct dv_msg *msg, struct dv_cancel *c)
{
	struct dv_port *pair[2];
	int r = dv_chan_pair(c->mesh, pair, NULL);

	if (r < 0)
		return r;
	r = add_down(c, pair[0]);
	if (r == 0)
		return dv_msg_add_port(msg, pair[1]);
	dv_port_close(pair[1], NULL);
	return r;
}

int dv_cancel_pass(struct dv_msg *msg, struct dv_cancel *c)
{
	struct dv_port *pair[2];
	int r;

	if (c->parent)
		return dv_cancel_attach(msg, c->parent);
	if (is_cancelled(c))
		return dv_cancel_attach(msg, c);
	if (!c->up)
		return -EINVAL;
	r = dv_chan_pair(c->mesh, pair, NULL);
	if (r < 0)
		return r;
	r = dv_chan_give(c->up, pair[0], NULL);
	/* The parent has gone a moment ago: who gets it hears of that. */
	if (r >= 0 || r == -EPIPE)
		return dv_msg_add_port(msg, pair[1]);
	dv_port_close(pair[1], NULL);
	return r;
}

/* All below @c that are elsewhere hear of a deadline that was not known when
 * they were made. */
static void spread_left(struct dv_cancel *c)
{
	struct dv_list *l, *next;

	dv_list_each(l, next, &c->downs)
		say_left(c, dv_list_of(l, struct down, at)->port);
	dv_list_each(l, next, &c->children)
		spread_left(dv_list_of(l, struct dv_cancel, at));
}

/* ---- a parent elsewhere -------------------------------------------- */

static void up_message(struct dv_port *port, struct dv_msg *msg)
{
	struct dv_cancel *c = dv_port_user(port);
	struct dv_err err = DV_ERR_INIT;
	dv_mesh_Trailer t;
	int r = dv_chan_strip(msg, &t, &err);

	if (r == 0 && t.which_kind != dv_mesh_Trailer_left_ns_tag)
		r = dv_err_set(&err, EBADMSG, DV_INVALID,
			       "a message that is none of a context's");
	if (r == 0 && set_deadline(c, t.kind.left_ns) < 0)
		r = dv_err_sys(&err, ENOMEM, "arm a deadline");
	if (r < 0)
		cancel(c, &err);
	else
		spread_left(c);
}

static void up_ended(struct dv_port *port, const struct dv_port_end *end)
{
	struct dv_cancel *c = dv_port_user(port);
	struct dv_err why = end->err;

	if (!end->closed) {
		dv_err_wrap(&why, 0, "who could cancel this is gone");
		why.code = DV_CANCELLED;
	}
	cancel(c, &why);
}

static const struct dv_port_ops up_ops = {
	.message = up_message,
	.ended = up_ended,
};

/* ---- life ---------------------------------------------------------- */

static struct dv_cancel *cancel_new(struct dv_mesh *mesh, dv_cancel_fn *fn,
				    void *user)
{
	struct dv_cancel *c = calloc(1, sizeof(*c));

	if (!c)
		return NULL;
	c->mesh = mesh;
	c->at_ns = UINT64_MAX;
	c->fn = fn;
	c->user = user;
	dv_list_init(&c->at);
	dv_list_init(&c->children);
	dv_list_init(&c->downs);
	return c;
}

int dv_cancel_new(struct dv_cancel **cp, struct dv_mesh *mesh,
		  struct dv_cancel *parent, int timeout_ms, dv_cancel_fn *fn,
		  void *user, struct dv_err *err)
{
	struct dv_cancel *c = cancel_new(mesh, fn, user);

	if (!c)
		return dv_err_sys(err, ENOMEM, "make a context");
	if (timeout_ms >= 0 &&
	    set_deadline(c, (uint64_t)timeout_ms * 1000000) < 0) {
		free(c);
		return dv_err_sys(err, ENOMEM, "make a context");
	}
	if (parent) {
		c->parent = parent;
		dv_list_add(&parent->children, &c->at);
		if (is_cancelled(parent))
			cancel(c, &parent->why);
	}
	*cp = c;
	return 0;
}

struct dv_cancel *dv_cancel_take(struct dv_msg *msg, size_t n, dv_cancel_fn *fn,
				 void *user, struct dv_err *err)
{
	struct dv_port *port = dv_chan_take_port(msg, n, err);
	struct dv_cancel *c;

	if (!port)
		return NULL;
	c = cancel_new(dv_port_mesh(port), fn, user);
	if (!c) {
		dv_port_close(port, NULL);
		dv_err_sys(err, ENOMEM, "take a context");
		return NULL;
	}
	c->up = port;
	dv_port_start(port, &up_ops, c);
	return c;
}

struct dv_cancel *dv_cancel_free(struct dv_cancel *c)
{
	struct dv_err why = DV_ERR_INIT;
	struct dv_list *l;

	if (!c)
		return NULL;
	dv_err_set(&why, ECANCELED, DV_CANCELLED, "the context was freed");
	cancel(c, &why);
	dv_defer_del(&c->defer);
	while ((l = dv_list_pop(&c->children)))
		dv_list_of(l, struct dv_cancel, at)->parent = NULL;
	dv_list_del(&c->at);
	free(c);
	return NULL;
}
