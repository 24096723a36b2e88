/* SPDX-License-Identifier: MIT */
/*
 * DOC: bridges. B (peer A) and C (peer D) are joined, so that A and D are a
 * pair. It becomes a move: D shall be what a port that just moved here would
 * be, with B as the proxy that it came from.
 *
 *   1. B is the relay: what it receives waits. C is the sink: what it receives
 *      goes to the out queue of B. When C is OPEN it says BRIDGE (B) to D.
 *   2. D answers END to C and is ARRIVING from B.
 *   3. C has END: what C had to send goes before what waits in B; B is a proxy
 *      to D, says TOTALS of its stream to D and begins to forward. C is gone.
 *   4. B says NEW_PEER (D) to A when it has got rid of what D had sent.
 *
 * BRIDGE is a word like NEW_PEER: when it crosses one, the greater id stands,
 * and a void BRIDGE is said again to the new peer. When one of the two is over
 * before END, the other one ends normally after what is queued. A ring of
 * bridges has no end that anybody owns: LOOP finds it.
 */
#include <errno.h>
#include <stdlib.h>

#include "mesh/node_priv.h"

/* Is a port of that pair in @msg? It would be sent into itself. */
static bool has_pair(const struct dv_msg *msg, struct dv_mesh_id pair)
{
	for (uint16_t i = 0; i < msg->n_atts; i++)
		if (msg->atts[i].kind == DV_ATT_PORT &&
		    dv_pair_same(msg->atts[i].port->end->pair, pair))
			return true;
	return false;
}

static void fail_loop(struct dv_end *e)
{
	dv_end_fail(e, dv_over_here(e->node, ELOOP, "a port sent to itself"));
}

void dv_bridge_sink(struct dv_end *sink, struct dv_msg *msg)
{
	struct dv_end *relay = sink->bridge;

	if (relay->state == DV_END_OVER) {
		dv_msgs_push(&sink->node->trash, msg);
		return;
	}
	if (has_pair(msg, relay->pair)) {
		dv_msgs_push(&sink->node->trash, msg);
		fail_loop(sink);
		return;
	}
	dv_msgs_push(&relay->outq, msg);
	dv_end_poke(relay);
}

/* @e only has to send what was in @q, and how it ended. */
static void close_after(struct dv_end *e, struct dv_msgs *q,
			struct dv_port_end *fin)
{
	struct dv_msg *msg;
	bool loop = false;

	dv_end_set_role(e, DV_ROLE_CLOSING);
	e->bridge = NULL;
	e->fin = fin;
	if (e->state == DV_END_OVER) {
		dv_end_free(e);
		return;
	}
	while (q && (msg = dv_msgs_pop(q))) {
		loop |= has_pair(msg, e->pair);
		dv_msgs_push(&e->outq, msg);
	}
	if (loop) {
		fail_loop(e);
		return;
	}
	dv_end_drop(e, &e->inq);
	dv_end_credit(e);
	dv_end_poke(e);
}

void dv_bridge(struct dv_end *a, struct dv_end *b)
{
	struct dv_end *sink = b->state == DV_END_OPEN ? b : a;
	struct dv_end *relay = sink == b ? a : b;
	struct dv_msgs inq;
	struct dv_msg *msg;

	dv_end_set_role(relay, DV_ROLE_RELAY);
	dv_end_set_role(sink, DV_ROLE_SINK);
	relay->bridge = sink;
	sink->bridge = relay;
	if (relay->state == DV_END_OVER) {
		dv_bridge_settle(sink);
		return;
	}
	dv_msgs_init(&inq);
	dv_msgs_append(&inq, &sink->inq);
	while ((msg = dv_msgs_pop(&inq)))
		dv_end_deliver(sink, msg);
	if (sink->dead) /* Of what it had something went in a circle. */
		return;
	if (sink->state == DV_END_OVER)
		dv_bridge_over(sink);
	else
		dv_end_poke(sink);
}

void dv_bridge_say(struct dv_end *sink)
{
	struct dv_mesh_event ev = {
		.kind = DV_EV_BRIDGE,
		.dst = sink->out.id,
		.id = sink->bridge->id,
		.fd = -1,
	};

	sink->said = true;
	dv_link_put(sink->out.link, &ev);
}

static void say_totals(struct dv_end *e)
{
	struct dv_mesh_event ev = {
		.kind = DV_EV_TOTALS,
		.dst = e->to.id,
		.id = e->pair,
		.received = e->received - e->inq.cost,
		.granted = e->allowed,
		.fd = -1,
	};

	dv_link_put(e->to.link, &ev);
}

static void ask_loop(struct dv_end *e)
{
	struct dv_mesh_event ev = {
		.kind = DV_EV_LOOP, .dst = e->to.id, .id = e->id, .fd = -1
	};

	dv_link_put(e->to.link, &ev);
}

void dv_bridge_end(struct dv_end *sink)
{
	struct dv_end *relay = sink->bridge;
	struct dv_msgs all;

	dv_msgs_init(&all);
	dv_msgs_append(&all, &sink->outq);
	dv_msgs_append(&all, &relay->inq);
	dv_msgs_append(&relay->inq, &all);
	dv_place_set(&relay->to, sink->out.link, sink->out.id);
	dv_end_set_role(relay, DV_ROLE_PROXY);
	relay->moved = true;
	relay->bridge = sink->bridge = NULL;
	say_totals(relay);
	if (relay->state != DV_END_OPEN && relay->state != DV_END_OVER)
		ask_loop(relay);
	dv_end_free(sink);
	dv_end_poke(relay);
}

bool dv_bridge_settle(struct dv_end *sink)
{
	struct dv_end *relay = sink->bridge;

	if (sink->said || relay->state != DV_END_OVER)
		return false;
	close_after(sink, &relay->inq, dv_over_new(relay->over));
	relay->bridge = NULL;
	dv_end_free(relay);
	return true;
}

void dv_bridge_over(struct dv_end *e)
{
	struct dv_end *other = e->bridge;

	if (e->role == DV_ROLE_RELAY) {
		dv_bridge_settle(other);
		return;
	}
	e->bridge = NULL;
	close_after(other, NULL, dv_over_new(e->over));
	dv_end_free(e);
}
