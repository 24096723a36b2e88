/* SPDX-License-Identifier: MIT */
/*
 * What comes in: who may say what (docs/mesh.md). An event that no race can
 * explain is a violation; what may be the trace of one is dropped and counted.
 */
#include <errno.h>
#include <stdlib.h>

#include "mesh/node_priv.h"

int dv_event_bad(struct dv_err *err, const char *what)
{
	return dv_err_set(err, EPROTO, DV_INVALID, "%s", what);
}

static int drop(struct dv_mesh_link *link, struct dv_msg *msg)
{
	struct dv_mesh_node *node = link->node;

	node->counts.dropped++;
	if (!msg)
		return 0;
	dv_move_refuse(link, msg);
	if (msg->heap)
		dv_msgs_push(&node->trash, msg);
	else
		dv_msg_free(msg);
	return 0;
}

enum dv_from dv_event_from(const struct dv_mesh_link *link,
			   const struct dv_end *e)
{
	if (e->state == DV_END_OVER || e->state == DV_END_SEAMED)
		return DV_FROM_NONE;
	if (link == e->in.link)
		return DV_FROM_IN;
	if (e->state == DV_END_JOINING && link == e->out.link && !e->ahead_over)
		return DV_FROM_AHEAD;
	return DV_FROM_NONE;
}

/* ---- messages ---- */

static void fail_here(struct dv_end *e, int sys, const char *what)
{
	dv_end_fail(e, dv_over_here(e->node, sys, what));
}

/* It counts against @e until it is freed. */
static void charge(struct dv_end *e, struct dv_msg *msg)
{
	msg->end = e;
	msg->cost = dv_msg_cost(msg);
	e->n_charged++;
}

/* Can it be delivered from where it is? */
static bool is_direct(const struct dv_mesh_link *link, const struct dv_end *e,
		      const struct dv_mesh_event *ev)
{
	const struct dv_mesh_node *node = link->node;

	return ev->kind == DV_EV_MESSAGE && ev->msg->borrowed &&
	       ev->msg->n_atts == 0 && e && link == e->in.link &&
	       e->role == DV_ROLE_OWNED && !e->inq.first &&
	       e->state != DV_END_OVER && e->state != DV_END_SEAMED &&
	       e->received < e->allowed && dv_port_can_deliver(e->port) &&
	       !node->in_callback && !node->pumping;
}

static void take_direct(struct dv_end *e, struct dv_msg *msg)
{
	charge(e, msg);
	e->received += msg->cost;
	dv_end_credit(e);
	dv_node_deliver_now(e, msg);
}

static int refuse_closing(struct dv_mesh_link *link, struct dv_end *e,
			  struct dv_msg *msg)
{
	/* It is used up at once, so the peer is not stopped by a port that
	 * only waits to get rid of what it has. */
	dv_move_refuse(link, msg);
	charge(e, msg);
	e->received += msg->cost;
	if (msg->heap)
		dv_msgs_push(&e->node->trash, msg);
	else
		dv_msg_free(msg);
	return 0;
}

/* Is @e itself, or what it has become, in what comes for it? It would follow
 * itself for ever. Its peer could not know that: bridges were on their way. */
static bool has_itself(const struct dv_end *e, const struct dv_msg *msg)
{
	for (uint16_t i = 0; i < msg->n_atts; i++)
		if (msg->atts[i].kind == DV_ATT_PORT &&
		    dv_id_eq(msg->atts[i].port->end->pair, e->pair))
			return true;
	return false;
}

/* Put @msg (consumed) where it belongs. */
static void take(struct dv_end *e, struct dv_msg *msg, enum dv_from from)
{
	msg->kind = DV_EV_MESSAGE;
	charge(e, msg);
	if (has_itself(e, msg)) {
		fail_here(e, ELOOP, "a port was sent to itself");
		dv_msgs_push(&e->node->trash, msg);
		return;
	}
	if (from == DV_FROM_AHEAD) {
		dv_msgs_push(&e->ahead, msg);
		return;
	}
	e->received += msg->cost;
	dv_end_credit(e);
	dv_end_deliver(e, msg);
}

int dv_event_message(struct dv_mesh_link *link, struct dv_end *e,
		     struct dv_msg *msg, struct dv_err *err)
{
	enum dv_from from = e ? dv_event_from(link, e) : DV_FROM_NONE;
	struct dv_msg *own;
	int r;

	if (from == DV_FROM_NONE) {
		bool bad = e && e->state != DV_END_OVER && !e->ahead_over;

		drop(link, msg);
		return bad ? dv_event_bad(err, "a message for a port of "
					       "somebody else")
			   : 0;
	}
	if (from == DV_FROM_IN && e->received >= e->allowed) {
		drop(link, msg);
		return dv_event_bad(err, "more than the port had granted");
	}
	if (from == DV_FROM_IN && e->role == DV_ROLE_CLOSING)
		return refuse_closing(link, e, msg);
	own = dv_msg_own(msg);
	if (!own) {
		drop(link, msg);
		fail_here(e, ENOMEM, "receive a message");
		return 0;
	}
	r = own->n_atts > 0 ? dv_move_unpack(link, own, err) : 0;
	if (r < 0) {
		drop(link, own);
		return r;
	}
	take(e, own, from);
	return 0;
}

static int on_message(struct dv_mesh_link *link, struct dv_end *e,
		      struct dv_mesh_event *ev, struct dv_err *err)
{
	return dv_event_message(link, e, ev->msg, err);
}

/* ---- the end ---- */

static int on_close(struct dv_mesh_link *link, struct dv_end *e,
		    struct dv_mesh_event *ev, struct dv_err *err)
{
	enum dv_from from = dv_event_from(link, e);
	struct dv_port_end *over;

	if (e->state == DV_END_OVER)
		return drop(link, ev->msg);
	if (from == DV_FROM_NONE ||
	    (from == DV_FROM_IN && e->state == DV_END_JOINING))
		return dv_event_bad(err, "it closes a port of somebody else");
	over = dv_over_event(link, ev);
	if (from == DV_FROM_IN) {
		dv_end_over(e, over);
	} else {
		e->ahead_over = over;
		e->await = link->peer;
		dv_place_clear(&e->out);
		dv_end_drop(e, &e->outq);
	}
	return 0;
}

/* Does @ev come from that place? */
static bool from_place(const struct dv_mesh_link *link,
		       const struct dv_mesh_event *ev, const struct dv_place *p)
{
	return p->link == link &&
	       (dv_id_zero(ev->id) || dv_id_eq(ev->id, p->id));
}

static int on_fail(struct dv_mesh_link *link, struct dv_end *e,
		   struct dv_mesh_event *ev, struct dv_err *err)
{
	bool peer =
		from_place(link, ev, &e->in) || from_place(link, ev, &e->out);
	struct dv_mesh_node *node = link->node;

	(void)err;
	if (dv_move_answered(link, e, ev))
		return 0;
	if (!peer && !from_place(link, ev, &e->to))
		return drop(link, ev->msg);
	if (!peer) {
		dv_place_clear(&e->to);
		dv_end_to_lost(e, dv_over_event(link, ev));
	} else if (e->state == DV_END_JOINING ||
		   (link != &node->self && dv_id_eq(ev->node, node->id))) {
		/* Not both of them know, or it is our own link that says so. */
		dv_end_fail(e, dv_over_event(link, ev));
	} else {
		dv_end_over(e, dv_over_event(link, ev));
	}
	return 0;
}

/* ---- credit ---- */

/* Is it the stream to the peer? What TOTALS say of a bridge waits in its order,
 * so who has been accepted may not know the pair yet, but ACCEPT brought the
 * name. Any other is an old stream, of the peer, or of who this proxy leads to.
 */
static bool is_outgoing(const struct dv_end *e, struct dv_mesh_id stream)
{
	return e->state == DV_END_JOINING
		       ? dv_id_eq(stream, e->stream)
		       : dv_id_eq(stream, dv_pair_other(e->pair));
}

static int on_credit(struct dv_mesh_link *link, struct dv_end *e,
		     struct dv_mesh_event *ev, struct dv_err *err)
{
	if (ev->granted > DV_TOTAL_MAX)
		return dv_event_bad(err, "it grants more than there can be");
	if (dv_id_eq(ev->id, e->pair) && e->role == DV_ROLE_PROXY && e->moved &&
	    link == e->to.link) {
		if (ev->granted > e->allowed) {
			e->allowed = ev->granted;
			dv_end_say_credit(e);
		}
		return 0;
	}
	if (link != e->out.link || !is_outgoing(e, ev->id))
		return drop(link, ev->msg);
	if (ev->granted > e->granted) {
		e->granted = ev->granted;
		dv_end_poke(e);
	}
	return 0;
}

/* ---- all of them ---- */

static const struct {
	dv_event_fn *fn;
	bool gone; /* it is called for a port that is gone, too */
} events[] = {
	[DV_EV_MESSAGE] = { on_message, true },
	[DV_EV_CLOSE] = { on_close, false },
	[DV_EV_NEW_PEER] = { dv_move_word, false },
	[DV_EV_BRIDGE] = { dv_move_word, false },
	[DV_EV_END] = { dv_move_end, false },
	[DV_EV_TOTALS] = { dv_move_totals, false },
	[DV_EV_MOVED] = { dv_move_moved, false },
	[DV_EV_REFUSED] = { dv_move_refused, false },
	[DV_EV_CREDIT] = { on_credit, false },
	[DV_EV_ACCEPT] = { dv_move_accept, true },
	[DV_EV_ACCEPTED] = { dv_move_accepted, false },
	[DV_EV_CONNECT] = { dv_move_connect, false },
	[DV_EV_FAIL] = { on_fail, false },
	[DV_EV_LOOP] = { dv_move_loop, false },
	[DV_EV_INTRODUCE] = { dv_move_introduce, true },
};
static_assert(DV_ARRAY_LEN(events) == DV_EV_N, "one row per event");

int dv_event_in(struct dv_mesh_link *link, struct dv_mesh_event *ev,
		struct dv_err *err)
{
	struct dv_mesh_id id = ev->kind == DV_EV_INTRODUCE ? ev->id : ev->dst;
	struct dv_end *e = dv_node_lookup(link->node, id);

	if (!e && !events[ev->kind].gone)
		return drop(link, ev->msg);
	return events[ev->kind].fn(link, e, ev, err);
}

/* What came over a link counts there until it is freed. */
static void charge_link(struct dv_mesh_link *link, struct dv_msg *msg)
{
	msg->link = link;
	msg->cost = dv_msg_cost(msg);
	link->held += msg->cost;
}

int dv_node_event(struct dv_mesh_link *link, struct dv_mesh_event *ev,
		  struct dv_err *err)
{
	struct dv_mesh_node *node = link->node;
	struct dv_end *e;
	bool pumping;
	int r;

	if (!node) {
		dv_msg_free(ev->msg);
		return 0;
	}
	if (!link->heard)
		dv_node_poke_connecting(node);
	link->heard = true;
	if (ev->kind == DV_EV_MESSAGE) {
		charge_link(link, ev->msg);
		e = dv_node_lookup(node, ev->dst);
		if (is_direct(link, e, ev)) {
			take_direct(e, ev->msg);
			return 0;
		}
	}
	if ((unsigned int)ev->kind >= DV_EV_N)
		return dv_event_bad(err, "there is no such event");
	pumping = node->pumping;
	node->pumping = true;
	r = dv_event_in(link, ev, err);
	node->pumping = pumping;
	dv_node_pump(node);
	return r;
}

bool dv_node_wants(const struct dv_mesh_link *link, struct dv_mesh_id dst)
{
	const struct dv_end *e =
		link->node ? dv_node_lookup(link->node, dst) : NULL;

	return e && e->role != DV_ROLE_CLOSING &&
	       dv_event_from(link, e) != DV_FROM_NONE;
}
