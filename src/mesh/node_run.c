/* SPDX-License-Identifier: MIT */
/*
 * DOC: what happens when.
 *
 * A call into the node, from a user or from a link, changes what it has to and
 * notes whatever follows from that: ends on the work list, events of the node
 * to itself, messages to be freed. dv_node_pump() works all that off before the
 * call returns; it never nests. Callbacks wait for dv_node_run(), except for
 * what a link delivers from its receive buffer.
 */
#include <errno.h>
#include <stdlib.h>

#include "mesh/node_priv.h"

/* ---- work ---- */

void dv_end_reap(struct dv_end *e)
{
	e->node = NULL;
	if (e->n_charged == 0)
		free(e);
}

static bool work_once(struct dv_mesh_node *node)
{
	struct dv_list *l;

	if (dv_self_next(node))
		return true;
	l = dv_list_pop(&node->work);
	if (l) {
		dv_end_flush(dv_list_of(l, struct dv_end, work));
		return true;
	}
	if (!node->trash.first)
		return false;
	dv_msg_free(dv_msgs_pop(&node->trash));
	return true;
}

void dv_node_work(struct dv_mesh_node *node)
{
	struct dv_list *l;

	node->pumping = true;
	while (work_once(node))
		;
	while ((l = dv_list_pop(&node->dead)))
		dv_end_reap(dv_list_of(l, struct dv_end, work));
	node->pumping = false;
}

/* ---- callbacks ---- */

bool dv_port_can_deliver(const struct dv_port *port)
{
	return port && port->ops && !port->paused && !port->msg;
}

static bool can_write(const struct dv_port *port)
{
	const struct dv_end *e = port->end;

	return port->full && port->ops && !port->msg &&
	       e->state != DV_END_OVER &&
	       e->outq.cost <= e->node->limits->port_window / 2;
}

static bool has_callback(const struct dv_port *port)
{
	const struct dv_end *e = port->end;

	if (can_write(port))
		return true;
	return dv_port_can_deliver(port) &&
	       (e->inq.first || (e->state == DV_END_OVER && !port->told));
}

void dv_node_schedule(struct dv_port *port)
{
	struct dv_mesh_node *node = port->end->node;

	if (!dv_list_empty(&port->ready) || !has_callback(port))
		return;
	dv_list_add(&node->ready, &port->ready);
	if (!node->awake) {
		node->awake = true;
		node->env->wake(node);
	}
}

/* @msg is freed unless it was kept. */
static void call_message(struct dv_port *port, struct dv_msg *msg)
{
	struct dv_mesh_node *node = port->end->node;

	node->counts.received++;
	node->counts.received_bytes += msg->len;
	node->current = port;
	node->delivering = msg;
	node->in_callback = true;
	port->ops->message(port, msg);
	node->in_callback = false;
	dv_msg_free(dv_take_ptr(&node->delivering));
}

static void call_ended(struct dv_port *port)
{
	struct dv_mesh_node *node = port->end->node;
	/* A copy: the port may be closed inside. */
	struct dv_port_end end = *port->end->over;

	port->told = true;
	node->current = port;
	node->in_callback = true;
	port->ops->ended(port, &end);
	node->in_callback = false;
}

static void call_writable(struct dv_port *port)
{
	struct dv_mesh_node *node = port->end->node;

	port->full = false;
	if (!port->ops->writable)
		return;
	node->current = port;
	node->in_callback = true;
	port->ops->writable(port);
	node->in_callback = false;
}

/* One callback of @port, which may be gone after it. */
static void call(struct dv_port *port)
{
	struct dv_end *e = port->end;

	if (can_write(port))
		call_writable(port);
	else if (e->inq.first)
		call_message(port, dv_msgs_pop(&e->inq));
	else
		call_ended(port);
}

static unsigned int turn(struct dv_port *port, unsigned int budget)
{
	struct dv_mesh_node *node = port->end->node;
	unsigned int n = 0;

	node->current = port;
	while (n < budget && has_callback(port)) {
		call(port);
		n++;
		if (node->current != port) /* It was closed or attached. */
			return n;
	}
	node->current = NULL;
	dv_node_schedule(port);
	return n;
}

bool dv_node_run(struct dv_mesh_node *node, unsigned int budget)
{
	struct dv_list *l;

	dv_node_pump(node);
	node->awake = true; /* Nothing in here has to wake us. */
	while (budget > 0 && (l = dv_list_pop(&node->ready)))
		budget -= turn(dv_list_of(l, struct dv_port, ready),
			       dv_min(budget, (unsigned int)DV_NODE_BURST));
	node->awake = !dv_list_empty(&node->ready);
	return node->awake;
}

void dv_node_deliver_now(struct dv_end *e, struct dv_msg *msg)
{
	struct dv_mesh_node *node = e->node;

	call_message(e->port, msg);
	node->current = NULL;
	dv_node_pump(node);
}
