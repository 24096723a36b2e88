/* SPDX-License-Identifier: MIT */
/*
 * What leaves: messages as far as credit and room allow, then the last word.
 */
#include <errno.h>

#include "mesh/node_priv.h"

/* ---- credit ---- */

/* Tell who sends to us; before the peer is known, through who leads to it. */
void dv_end_say_credit(struct dv_end *e)
{
	struct dv_place *p = e->out.link ? &e->out : &e->in;
	struct dv_mesh_event ev = {
		.kind = DV_EV_CREDIT,
		.dst = p->id,
		.id = e->pair,
		.granted = e->allowed,
		.fd = -1,
	};

	/* What goes through others can be too late: the peer hears it again
	 * when it is known. */
	if (!e->out.link)
		e->credited = true;
	if (p->link)
		dv_link_put(p->link, &ev);
}

/* Often enough that the peer need not wait, but not for every message; and
 * always when it does wait. */
void dv_end_credit(struct dv_end *e)
{
	uint64_t window = e->node->limits->port_window;
	uint64_t more = e->used + window - e->allowed;

	if (e->state == DV_END_OVER || e->role == DV_ROLE_PROXY ||
	    e->role == DV_ROLE_RELAY || e->used + window <= e->allowed)
		return;
	if (more < window / 4 && e->received + e->ahead.cost < e->allowed)
		return;
	e->allowed += more;
	dv_end_say_credit(e);
}

void dv_end_used(struct dv_end *e, uint64_t cost)
{
	struct dv_mesh_node *node = e->node;

	e->used += cost;
	e->n_charged--;
	if (!node)
		dv_end_reap(e);
	else if (!e->dead && !node->dying)
		dv_end_credit(e);
}

/* ---- one message ---- */

static int link_msg(struct dv_mesh_link *link, struct dv_mesh_id dst,
		    struct dv_msg *msg)
{
	struct dv_mesh_event ev = {
		.kind = DV_EV_MESSAGE, .dst = dst, .msg = msg, .fd = -1
	};

	return dv_link_put(link, &ev);
}

static void put_msg(struct dv_place *p, struct dv_msg *msg)
{
	struct dv_mesh_node *node = p->end->node;
	struct dv_mesh_link *link = p->link;

	/* It stays here, and there is nothing that it could overtake. A message
	 * makes no other event. */
	if (link == &node->self && !node->self_first) {
		dv_event_message(link, dv_node_lookup(node, p->id), msg, NULL);
		return;
	}
	if (link != &node->self && msg->n_atts > 0)
		dv_move_pack(link, msg);
	if (link_msg(link, p->id, msg) == DV_MORE) {
		p->busy = true;
		dv_list_add(&link->busy, &p->turn);
	}
}

/* May a message leave to @p now? If only room is missing, it is told when there
 * is some. */
static bool has_room(struct dv_place *p)
{
	struct dv_mesh_link *link = p->link;

	if (p->busy || !dv_list_empty(&p->turn))
		return false;
	if (dv_list_empty(&link->waiting) && link->ops->room(link))
		return true;
	dv_list_add(&link->waiting, &p->turn);
	return false;
}

/* Is there a message for the peer that it has granted? */
static bool may_out(const struct dv_end *e)
{
	return e->outq.first && e->sent < e->granted && e->out.link &&
	       (e->state == DV_END_OPEN || e->state == DV_END_JOINING) &&
	       e->role != DV_ROLE_SINK && !e->said && !e->hold &&
	       !e->unconfirmed;
}

static void send_out(struct dv_end *e)
{
	struct dv_msg *msg = dv_msgs_pop(&e->outq);

	e->sent += dv_msg_cost(msg);
	dv_msg_settle_end(msg); /* of a bridge: the other side may go on */
	put_msg(&e->out, msg);
	if (e->port && e->port->full)
		dv_node_schedule(e->port);
}

bool dv_end_send_now(struct dv_end *e, struct dv_msg *msg)
{
	if (e->outq.first || e->sent >= e->granted || !e->out.link ||
	    (e->state != DV_END_OPEN && e->state != DV_END_JOINING) ||
	    e->hold || e->unconfirmed || e->node->self_first ||
	    !has_room(&e->out))
		return false;
	e->sent += dv_msg_cost(msg);
	put_msg(&e->out, msg);
	return true;
}

static void put_totals(struct dv_place *p, struct dv_msg *msg)
{
	struct dv_mesh_event ev;

	ev = *(const struct dv_mesh_event *)(const void *)msg->data;
	ev.dst = p->id;
	dv_link_put(p->link, &ev);
	dv_msg_free(msg);
}

/* Is there something to forward? */
static bool may_forward(const struct dv_end *e)
{
	return e->role == DV_ROLE_PROXY && e->moved && e->inq.first;
}

static void forward(struct dv_end *e)
{
	struct dv_msg *msg = dv_msgs_pop(&e->inq);

	if (msg->kind == DV_EV_TOTALS) {
		put_totals(&e->to, msg);
		return;
	}
	dv_msg_settle_end(msg);
	put_msg(&e->to, msg);
}

/* ---- all that there is ---- */

static void say_new_peer(struct dv_end *e)
{
	struct dv_mesh_event ev = {
		.kind = DV_EV_NEW_PEER,
		.dst = e->out.id,
		.id = e->to.id,
		.node = e->to.link->peer,
		.fd = -1,
	};

	e->said = true;
	e->introduced = false;
	dv_link_put(e->out.link, &ev);
}

/* Everything was sent. */
static void last_word(struct dv_end *e)
{
	if (e->role == DV_ROLE_CLOSING) {
		dv_end_tell(e, &e->out, e->fin);
		dv_end_free(e);
		return;
	}
	if (e->state != DV_END_OPEN || e->word.kind)
		return;
	if (e->role == DV_ROLE_PROXY && e->moved)
		say_new_peer(e);
	else if (e->role == DV_ROLE_SINK)
		dv_bridge_say(e);
}

static void flush_out(struct dv_end *e)
{
	while (may_out(e)) {
		if (!has_room(&e->out))
			return;
		send_out(e);
	}
	if ((e->state != DV_END_OPEN && e->state != DV_END_JOINING) ||
	    !e->out.link || e->out.busy || e->said || e->hold || e->unconfirmed)
		return;
	if (!e->outq.first || e->role == DV_ROLE_SINK)
		last_word(e);
}

/* Everything was forwarded. */
static void finish_proxy(struct dv_end *e)
{
	struct dv_mesh_event ev = {
		.kind = DV_EV_END, .dst = e->to.id, .node = e->await, .fd = -1
	};

	if (e->passed)
		dv_link_put(e->to.link, &ev);
	else
		dv_end_tell(e, &e->to, e->over);
	dv_end_free(e);
}

static void flush_to(struct dv_end *e)
{
	while (may_forward(e)) {
		if (e->inq.first->kind == DV_EV_TOTALS ? e->to.busy
						       : !has_room(&e->to))
			return;
		dv_list_del(&e->to.turn);
		forward(e);
	}
	if (e->role == DV_ROLE_PROXY && e->moved && e->state == DV_END_OVER &&
	    !e->to.busy)
		finish_proxy(e);
}

void dv_end_flush(struct dv_end *e)
{
	if (e->no_memory) {
		e->no_memory = false;
		dv_end_fail(e, dv_over_here(e->node, ENOMEM,
					    "send to a port of this process"));
	}
	if (e->role == DV_ROLE_SINK && dv_bridge_settle(e))
		return;
	dv_move_act(e);
	flush_out(e);
	if (!e->dead)
		flush_to(e);
}

/* ---- what the link says ---- */

/* One message of a place whose turn it is. True: it wants another turn. */
static bool one_turn(struct dv_place *p)
{
	struct dv_end *e = p->end;
	bool out = p == &e->out;

	if (out && may_out(e))
		send_out(e);
	else if (!out && may_forward(e))
		forward(e);
	if (!p->busy && (out ? may_out(e) : may_forward(e)))
		return true;
	dv_end_poke(e);
	return false;
}

void dv_node_ready(struct dv_mesh_link *link)
{
	struct dv_list *l;

	if (!link->node)
		return;
	while (link->ops->room(link) && (l = dv_list_pop(&link->waiting))) {
		struct dv_place *p = dv_list_of(l, struct dv_place, turn);

		if (one_turn(p))
			dv_list_add(&link->waiting, &p->turn);
	}
	dv_node_pump(link->node);
}

void dv_node_sent(struct dv_mesh_link *link, struct dv_mesh_id dst)
{
	struct dv_list *l, *n;

	if (!link->node)
		return;
	dv_list_each(l, n, &link->busy)
	{
		struct dv_place *p = dv_list_of(l, struct dv_place, turn);

		if (!dv_id_eq(p->id, dst))
			continue;
		p->busy = false;
		dv_list_del(&p->turn);
		dv_end_poke(p->end);
	}
	dv_node_pump(link->node);
}

static void unsendable(struct dv_place *p, const struct dv_err *why)
{
	struct dv_end *e = p->end;
	struct dv_port_end how = { .culprit = e->node->id, .err = *why };

	if (p == &e->to) {
		dv_end_tell(e, &e->to, &how);
		dv_end_to_lost(e, dv_over_new(&how));
	} else {
		dv_end_fail(e, dv_over_new(&how));
	}
}

void dv_node_unsendable(struct dv_mesh_link *link, struct dv_mesh_id dst,
			const struct dv_err *why)
{
	struct dv_list *l, *n;

	if (!link->node)
		return;
	dv_list_each(l, n, &link->ports)
	{
		struct dv_place *p = dv_list_of(l, struct dv_place, at);

		if (p != &p->end->in && dv_id_eq(p->id, dst)) {
			unsendable(p, why);
			break;
		}
	}
	dv_node_pump(link->node);
}
