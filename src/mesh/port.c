/* SPDX-License-Identifier: MIT */
/*
 * The public calls on ports.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "mesh/node_priv.h"

/* ---- a pair ---- */

static void free_pair(struct dv_port *pair[2])
{
	for (int i = 0; i < 2; i++) {
		if (pair[i]) {
			free(pair[i]->end);
			free(dv_take_ptr(&pair[i]));
		}
	}
}

static struct dv_port *new_port(struct dv_mesh_node *node,
				struct dv_mesh_id pair)
{
	struct dv_end *e = dv_end_new(node, node->env->id(node), pair);
	struct dv_port *port = e ? dv_end_port(e) : NULL;

	if (!port)
		free(e);
	return port;
}

static void join(struct dv_end *e, struct dv_mesh_link *link,
		 struct dv_mesh_id peer)
{
	dv_place_set(&e->in, link, peer);
	dv_place_set(&e->out, link, peer);
	e->received = e->used = DV_TOTAL_START;
	e->allowed = DV_TOTAL_START + e->node->limits->port_window;
	e->granted = e->allowed;
}

int dv_node_pair(struct dv_mesh_node *node, struct dv_port *pair[2])
{
	struct dv_mesh_id id = node->env->id(node);
	int r;

	pair[0] = pair[1] = NULL;
	if (node->counts.n_ports + 2 > node->limits->max_ports)
		return -ENFILE;
	for (uint64_t i = 0; i < 2; i++) {
		id.lo = (id.lo & ~UINT64_C(1)) | i;
		pair[i] = new_port(node, id);
	}
	if (!pair[0] || !pair[1]) {
		free_pair(pair);
		return -ENOMEM;
	}
	for (int i = 0; i < 2; i++) {
		r = dv_node_add_end(node, pair[i]->end);
		dv_assert(r == 0);
		join(pair[i]->end, &node->self, pair[1 - i]->end->id);
	}
	return 0;
}

int dv_node_share(struct dv_mesh_link *link, struct dv_port **portp,
		  struct dv_port_desc *desc)
{
	struct dv_mesh_node *node = link->node;
	struct dv_port *port;
	int r;

	*portp = NULL;
	if (!node)
		return -ENOTCONN;
	port = new_port(node, node->env->id(node));
	if (!port)
		return -ENOMEM;
	r = dv_node_add_end(node, port->end);
	if (r < 0) {
		free(port->end);
		free(port);
		return r;
	}
	*desc = (struct dv_port_desc){
		.id = node->env->id(node),
		.from = port->end->id,
		.pair = dv_pair_other(port->end->pair),
		.direct = true,
	};
	join(port->end, link, desc->id);
	desc->granted = port->end->granted;
	desc->received = port->end->received;
	*portp = port;
	return 0;
}

int dv_port_pair(struct dv_mesh *mesh, struct dv_port *pair[2])
{
	return dv_node_pair(dv_mesh_node(mesh), pair);
}

/* ---- receiving ---- */

void dv_port_start(struct dv_port *port, const struct dv_port_ops *ops,
		   void *user)
{
	port->ops = ops;
	port->user = user;
	dv_node_schedule(port);
}

void dv_port_pause(struct dv_port *port, bool paused)
{
	port->paused = paused;
	dv_node_schedule(port);
}

void *dv_port_user(const struct dv_port *port)
{
	return port->user;
}

struct dv_mesh *dv_port_mesh(const struct dv_port *port)
{
	return dv_node_owner(port->end->node);
}

struct dv_mesh_id dv_port_id(const struct dv_port *port)
{
	return port->end->id;
}

/* ---- sending ---- */

static int check_att(const struct dv_end *e, const struct dv_att *att,
		     struct dv_err *err)
{
	const struct dv_end *other;

	if (att->kind != DV_ATT_PORT)
		return 0;
	other = att->port->end;
	if (other->node != e->node)
		return dv_err_set(err, EXDEV, DV_INVALID,
				  "send: a port of another mesh is attached");
	if (dv_pair_same(other->pair, e->pair))
		return dv_err_set(err, ELOOP, DV_INVALID,
				  "send: the port itself or its peer is "
				  "attached");
	return 0;
}

static int check_port(const struct dv_port *port, size_t len,
		      struct dv_err *err)
{
	const struct dv_end *e = port->end;
	const struct dv_node_limits *limits = e->node->limits;

	if (e->state == DV_END_OVER || e->ahead_over)
		return dv_err_set(err, EPIPE, DV_ABORTED,
				  "send: the port has ended");
	if (len > limits->max_message)
		return dv_err_set(err, EMSGSIZE, DV_RANGE,
				  "send: a message has %zu bytes, and at most "
				  "%u are allowed",
				  len, limits->max_message);
	if (e->outq.cost >= 2 * (uint64_t)limits->port_window)
		return dv_err_set(err, EAGAIN, DV_EXHAUSTED,
				  "send: too much is waiting");
	return 0;
}

static int check(struct dv_port *port, const struct dv_msg *msg,
		 struct dv_err *err)
{
	int r = check_port(port, msg->len, err);

	for (uint16_t i = 0; r == 0 && i < msg->n_atts; i++)
		r = check_att(port->end, &msg->atts[i], err);
	if (r == -EAGAIN)
		port->full = true;
	return r;
}

/* It is the node's now. */
static void disown(struct dv_msg *msg)
{
	if (msg->kept)
		dv_list_del(&msg->in_node);
	msg->kept = false;
	dv_msg_settle(msg);
	msg->kind = DV_EV_MESSAGE;
}

static int send(struct dv_port *port, struct dv_msg *msg)
{
	struct dv_end *e = port->end;
	struct dv_mesh_node *node = e->node;

	node->counts.sent++;
	node->counts.sent_bytes += msg->len;
	if (!dv_end_send_now(e, msg)) {
		dv_msgs_push(&e->outq, msg);
		dv_end_poke(e);
	}
	dv_node_pump(node);
	if (e->outq.cost <= node->limits->port_window)
		return 0;
	port->full = true;
	return DV_FULL;
}

int dv_port_send(struct dv_port *port, struct dv_msg *msg, struct dv_err *err)
{
	struct dv_msg *own;
	int r = check(port, msg, err);

	if (r < 0) {
		dv_msg_free(msg);
		return r;
	}
	own = dv_msg_own(msg);
	if (!own) {
		dv_msg_free(msg);
		return dv_err_sys(err, ENOMEM, "send");
	}
	disown(own);
	return send(port, own);
}

/* A link copies what is borrowed: nothing has to be allocated. */
static bool send_borrowed(struct dv_port *port, const void *data, size_t len)
{
	struct dv_end *e = port->end;
	struct dv_msg msg = {
		.data = (uint8_t *)(uintptr_t)data,
		.len = len,
		.kind = DV_EV_MESSAGE,
		.borrowed = true,
	};

	if (!dv_end_send_now(e, &msg))
		return false;
	e->node->counts.sent++;
	e->node->counts.sent_bytes += len;
	return true;
}

int dv_port_send_bytes(struct dv_port *port, const void *data, size_t len,
		       struct dv_err *err)
{
	struct dv_end *e = port->end;
	struct dv_msg *msg;
	int r = check_port(port, len, err);

	if (r < 0) {
		port->full |= r == -EAGAIN;
		return r;
	}
	if (len <= DV_NODE_STACK_MAX && e->out.link != &e->node->self &&
	    send_borrowed(port, data, len))
		return 0;
	msg = dv_msg_new_in(e->node, len);
	if (!msg)
		return dv_err_sys(err, ENOMEM, "send");
	if (len > 0)
		memcpy(msg->data, data, len);
	msg->kind = DV_EV_MESSAGE;
	return send(port, msg);
}

/* ---- the end ---- */

/* The handle goes; the end stays. */
static struct dv_end *free_port(struct dv_port *port)
{
	struct dv_end *e = port->end;

	dv_list_del(&port->ready);
	if (e->node->current == port)
		e->node->current = NULL;
	e->port = NULL;
	free(port);
	return e;
}

/* Without memory it is closed without a reason. */
static struct dv_port_end *reason_of(const struct dv_mesh_node *node,
				     const struct dv_err *reason)
{
	struct dv_port_end *fin;

	if (!reason || reason->code == DV_OK)
		return NULL;
	fin = malloc(sizeof(*fin));
	if (fin)
		*fin = (struct dv_port_end){ .closed = true,
					     .culprit = node->id,
					     .err = *reason };
	return fin;
}

static void close_end(struct dv_end *e, const struct dv_err *reason)
{
	if (e->state == DV_END_OVER) {
		dv_end_free(e);
		return;
	}
	dv_end_set_role(e, DV_ROLE_CLOSING);
	e->fin = reason_of(e->node, reason);
	dv_end_drop(e, &e->inq);
	dv_end_poke(e);
}

struct dv_port *dv_port_close(struct dv_port *port, const struct dv_err *reason)
{
	struct dv_end *e;

	if (!port)
		return NULL;
	e = free_port(port);
	close_end(e, reason);
	dv_node_pump(e->node);
	return NULL;
}

static int check_bridge(const struct dv_port *a, const struct dv_port *b,
			struct dv_err *err)
{
	if (a->end->node != b->end->node)
		return dv_err_set(err, EXDEV, DV_INVALID,
				  "bridge: the ports are of two meshes");
	if (a == b || dv_pair_same(a->end->pair, b->end->pair))
		return dv_err_set(err, ELOOP, DV_INVALID,
				  "bridge: the two ports are a pair");
	return 0;
}

int dv_port_bridge(struct dv_port *a, struct dv_port *b, struct dv_err *err)
{
	struct dv_err why = DV_ERR_INIT;
	struct dv_mesh_node *node = a->end->node;
	int r = check_bridge(a, b, &why);

	if (r < 0) {
		if (err)
			*err = why;
		dv_port_close(a, &why);
		if (a != b)
			dv_port_close(b, &why);
		return r;
	}
	dv_bridge(free_port(a), free_port(b));
	dv_node_pump(node);
	return 0;
}
