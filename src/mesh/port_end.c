/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <stdlib.h>

#include "mesh/node_priv.h"

/* ---- birth ---- */

static void init_place(struct dv_end *e, struct dv_place *p)
{
	p->end = e;
	dv_list_init(&p->at);
	dv_list_init(&p->turn);
}

struct dv_end *dv_end_new(struct dv_mesh_node *node, struct dv_mesh_id id,
			  struct dv_mesh_id pair)
{
	struct dv_end *e = calloc(1, sizeof(*e));

	if (!e)
		return NULL;
	e->node = node;
	e->id = id;
	e->pair = pair;
	init_place(e, &e->in);
	init_place(e, &e->out);
	init_place(e, &e->to);
	dv_msgs_init(&e->inq);
	dv_msgs_init(&e->ahead);
	dv_msgs_init(&e->outq);
	dv_list_init(&e->work);
	dv_list_init(&e->special);
	e->sent = e->granted = DV_TOTAL_START;
	return e;
}

struct dv_port *dv_end_port(struct dv_end *e)
{
	struct dv_port *port = calloc(1, sizeof(*port));

	if (!port)
		return NULL;
	port->end = e;
	dv_list_init(&port->ready);
	e->port = port;
	return port;
}

/* ---- where it is joined to ---- */

void dv_place_set(struct dv_place *p, struct dv_mesh_link *link,
		  struct dv_mesh_id id)
{
	dv_place_clear(p);
	p->link = link;
	p->id = id;
	dv_list_add(&link->ports, &p->at);
}

void dv_place_clear(struct dv_place *p)
{
	dv_list_del(&p->at);
	dv_list_del(&p->turn);
	p->busy = false;
	p->link = NULL;
	p->id = (struct dv_mesh_id){ 0, 0 };
}

void dv_end_set_role(struct dv_end *e, enum dv_end_role role)
{
	uint32_t *n = &e->node->counts.n_proxies;

	*n -= e->role == DV_ROLE_PROXY;
	*n += role == DV_ROLE_PROXY;
	e->role = role;
}

void dv_end_poke(struct dv_end *e)
{
	if (!e->dead && dv_list_empty(&e->work))
		dv_list_add(&e->node->work, &e->work);
}

void dv_end_drop(struct dv_end *e, struct dv_msgs *q)
{
	dv_msgs_append(&e->node->trash, q);
}

/* Somebody else waits for the introduction that @e had asked for. */
static void ask_again(const struct dv_end *e)
{
	struct dv_list *l, *n;

	dv_list_each(l, n, &e->node->connecting)
	{
		struct dv_end *other = dv_list_of(l, struct dv_end, special);

		if (dv_id_eq(other->word.node, e->word.node))
			dv_end_poke(other);
	}
}

void dv_end_unspecial(struct dv_end *e)
{
	dv_list_del(&e->special);
	free(dv_take_ptr(&e->asked));
	e->n_asked = 0;
	if (e->word.asked)
		ask_again(e);
	e->word = (struct dv_word){ .kind = 0 };
}

/* ---- why it ended ---- */

/* When there is no memory to say more. */
static struct dv_port_end no_memory = {
	.err = { .sys = ENOMEM,
		 .code = DV_EXHAUSTED,
		 .msg = "the port failed, and there was no memory to tell "
			"why" },
};

struct dv_port_end *dv_over_new(const struct dv_port_end *how)
{
	struct dv_port_end *over = malloc(sizeof(*over));

	if (!over)
		return &no_memory;
	*over = *how;
	return over;
}

void dv_over_free(struct dv_port_end *over)
{
	if (over != &no_memory)
		free(over);
}

struct dv_port_end dv_how_link(const struct dv_mesh_link *link,
			       const struct dv_err *why)
{
	return (struct dv_port_end){
		.scope = DV_SCOPE_LINK,
		.culprit = link->peer,
		.pid = link->pid,
		.err = *why,
	};
}

struct dv_port_end dv_how_here(const struct dv_mesh_node *node, int sys,
			       const char *what)
{
	struct dv_port_end how = { .culprit = node->id };

	dv_err_sys(&how.err, sys, "%s", what);
	return how;
}

struct dv_port_end *dv_over_here(const struct dv_mesh_node *node, int sys,
				 const char *what)
{
	struct dv_port_end how = dv_how_here(node, sys, what);

	return dv_over_new(&how);
}

struct dv_port_end *dv_over_event(const struct dv_mesh_link *link,
				  const struct dv_mesh_event *ev)
{
	struct dv_port_end how = {
		.closed = ev->kind == DV_EV_CLOSE,
		.culprit = ev->node,
		.pid = ev->pid,
	};

	/* A FAIL without a node is about one that nobody knows (who was invited
	 * and never said hello), and not about who says so. */
	if (dv_id_zero(ev->node) && ev->kind != DV_EV_FAIL)
		how.culprit = link->peer;
	if (how.pid == 0 && !dv_id_zero(how.culprit) &&
	    dv_id_eq(how.culprit, link->peer))
		how.pid = link->pid;
	if (ev->err)
		how.err = *ev->err;
	else if (!how.closed)
		dv_err_set(&how.err, EPIPE, DV_UNKNOWN,
			   "the other end failed and did not say why");
	if (!how.closed && how.err.code == DV_UNAVAILABLE)
		how.scope = DV_SCOPE_LINK;
	return dv_over_new(&how);
}

void dv_end_tell(struct dv_end *e, const struct dv_place *p,
		 const struct dv_port_end *over)
{
	bool closed = !over || over->closed;
	struct dv_mesh_event ev = {
		.kind = closed ? DV_EV_CLOSE : DV_EV_FAIL,
		.dst = p->id,
		.node = over ? over->culprit : e->node->id,
		.pid = over ? over->pid : 0,
		.fd = -1,
	};

	/* A sink that has said its word is known by it or by the relay. */
	if (!closed && !(e->role == DV_ROLE_SINK && e->said))
		ev.id = e->id;
	if (over && over->err.code != DV_OK)
		ev.err = &over->err;
	dv_link_put(p->link, &ev);
}

/* ---- tombs: what to tell who comes too late ---- */

struct dv_tomb {
	struct dv_list at;
	struct dv_mesh_id id;
	struct dv_port_end *over; /* owned */
};

static void free_tomb(struct dv_mesh_node *node)
{
	struct dv_tomb *tomb =
		dv_list_of(dv_list_pop(&node->tombs), struct dv_tomb, at);

	node->n_tombs--;
	dv_over_free(tomb->over);
	free(tomb);
}

static void bury(struct dv_end *e)
{
	struct dv_mesh_node *node = e->node;
	struct dv_tomb *tomb = malloc(sizeof(*tomb));

	if (!tomb)
		return;
	if (node->n_tombs >= DV_NODE_TOMBS)
		free_tomb(node);
	tomb->id = e->id;
	tomb->over = dv_take_ptr(&e->over);
	dv_list_init(&tomb->at);
	dv_list_add(&node->tombs, &tomb->at);
	node->n_tombs++;
}

const struct dv_port_end *dv_tomb_find(const struct dv_mesh_node *node,
				       struct dv_mesh_id id)
{
	struct dv_list *l, *n;

	dv_list_each(l, n, &node->tombs)
	{
		struct dv_tomb *tomb = dv_list_of(l, struct dv_tomb, at);

		if (dv_id_eq(tomb->id, id))
			return tomb->over;
	}
	return NULL;
}

void dv_tombs_free(struct dv_mesh_node *node)
{
	while (!dv_list_empty(&node->tombs))
		free_tomb(node);
}

/* ---- death ---- */

static void forget(const struct dv_end *e, const struct dv_place *p)
{
	if (p->link && p->link->node)
		p->link->ops->forget(p->link, e->id);
}

/* It has no peer any more. */
static void part(struct dv_end *e)
{
	forget(e, &e->in);
	if (e->out.link != e->in.link)
		forget(e, &e->out);
	dv_place_clear(&e->in);
	dv_place_clear(&e->out);
	dv_end_unspecial(e);
	dv_end_drop(e, &e->ahead);
	dv_end_drop(e, &e->outq);
	e->said = e->unconfirmed = false;
}

/* Nobody waits for it, and it waits for nobody. */
static void release(struct dv_end *e)
{
	if (e->hold)
		e->hold->held = NULL;
	if (e->held) {
		e->held->hold = NULL;
		dv_end_poke(e->held);
	}
	e->hold = e->held = NULL;
	if (e->bridge)
		e->bridge->bridge = NULL;
	e->bridge = NULL;
}

void dv_end_free(struct dv_end *e)
{
	struct dv_mesh_node *node = e->node;

	if (e->dead)
		return;
	part(e);
	dv_end_drop(e, &e->inq);
	dv_place_clear(&e->to);
	release(e);
	dv_end_set_role(e, DV_ROLE_CLOSING);
	dv_node_remove_end(node, e);
	if (e->unaccepted && e->over && !node->dying)
		bury(e);
	dv_over_free(dv_take_ptr(&e->over));
	dv_over_free(dv_take_ptr(&e->ahead_over));
	dv_over_free(dv_take_ptr(&e->fin));
	e->dead = true;
	e->state = DV_END_OVER;
	dv_list_del(&e->work);
	dv_list_add(&node->dead, &e->work);
}

void dv_end_over(struct dv_end *e, struct dv_port_end *over)
{
	if (e->dead || e->state == DV_END_OVER) {
		dv_over_free(over);
		return;
	}
	e->unaccepted =
		e->state == DV_END_ARRIVING || e->state == DV_END_SEAMED;
	e->state = DV_END_OVER;
	e->over = over;
	if (!over->closed)
		e->node->counts.failed++;
	part(e);
	switch (e->role) {
	case DV_ROLE_OWNED:
		dv_node_schedule(e->port);
		break;
	case DV_ROLE_CLOSING:
		dv_end_free(e);
		break;
	case DV_ROLE_PROXY:
		dv_end_poke(e);
		break;
	case DV_ROLE_RELAY:
	case DV_ROLE_SINK:
		dv_bridge_over(e);
		break;
	case DV_ROLE_N:
		break;
	}
}

/* The peer if it is known, else who leads to it; NULL: nobody. */
static struct dv_place *back(struct dv_end *e)
{
	if (e->out.link)
		return &e->out;
	return e->in.link ? &e->in : NULL;
}

void dv_end_fail(struct dv_end *e, struct dv_port_end *over)
{
	struct dv_place *p = back(e);

	if (p)
		dv_end_tell(e, p, over);
	dv_end_over(e, over);
}

void dv_end_to_lost(struct dv_end *e, struct dv_port_end *over)
{
	struct dv_place *p = back(e);

	if (p)
		dv_end_tell(e, p, over);
	if (e->state != DV_END_OVER) {
		e->unaccepted = e->state == DV_END_ARRIVING ||
				e->state == DV_END_SEAMED;
		e->over = over;
		over = NULL;
		e->node->counts.failed++;
	}
	dv_over_free(over);
	dv_end_free(e);
}

/* ---- messages ---- */

void dv_end_deliver(struct dv_end *e, struct dv_msg *msg)
{
	switch (e->role) {
	case DV_ROLE_OWNED:
		dv_msgs_push(&e->inq, msg);
		dv_node_schedule(e->port);
		break;
	case DV_ROLE_PROXY:
		dv_msgs_push(&e->inq, msg);
		dv_end_poke(e);
		break;
	case DV_ROLE_RELAY:
		dv_msgs_push(&e->inq, msg);
		break;
	case DV_ROLE_SINK:
		dv_bridge_sink(e, msg);
		break;
	case DV_ROLE_CLOSING:
	case DV_ROLE_N:
		dv_msgs_push(&e->node->trash, msg);
		break;
	}
}
