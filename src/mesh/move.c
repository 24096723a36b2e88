/* SPDX-License-Identifier: MIT */
/*
 * DOC: ports that move (docs/mesh.md). This file has the places of a port that
 * moves: the one that it left, a proxy, and the one where it is now. What its
 * peer does is in move_peer.c.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "mesh/node_priv.h"

/* ---- leaving ---- */

/* @port becomes a proxy, and its memory @desc. */
static struct dv_port_desc *pack_port(struct dv_mesh_link *link,
				      struct dv_port *port)
{
	struct dv_end *e = port->end;
	struct dv_port_desc desc = {
		.id = e->node->env->id(e->node),
		.granted = e->allowed,
		.received = e->received - e->inq.cost,
		.from = e->id,
		.pair = e->pair,
	};

	dv_list_del(&port->ready);
	if (e->node->current == port)
		e->node->current = NULL;
	e->port = NULL;
	e->moved = false;
	dv_end_set_role(e, DV_ROLE_PROXY);
	dv_place_set(&e->to, link, desc.id);
	e->node->counts.moved_out++;
	return memcpy((void *)port, &desc, sizeof(desc));
}

void dv_move_pack(struct dv_mesh_link *link, struct dv_msg *msg)
{
	for (uint16_t i = 0; i < msg->n_atts; i++) {
		struct dv_att *att = &msg->atts[i];

		if (att->kind != DV_ATT_PORT)
			continue;
		att->desc = pack_port(link, att->port);
		att->kind = DV_ATT_DESC;
	}
}

/* ---- arriving ---- */

static int check_desc(const struct dv_mesh_node *node,
		      const struct dv_port_desc *desc, struct dv_err *err)
{
	if (dv_id_zero(desc->id) || dv_id_zero(desc->from))
		return dv_event_bad(err, "a port without an id");
	if (desc->granted > DV_TOTAL_MAX || desc->received > DV_TOTAL_MAX)
		return dv_event_bad(err, "a port with totals that cannot be");
	if (dv_node_lookup(node, desc->id))
		return dv_event_bad(err, "a port whose id is taken");
	return 0;
}

static struct dv_port_end *over_of(const struct dv_mesh_link *link,
				   const struct dv_port_desc *desc)
{
	struct dv_mesh_event ev = {
		.kind = desc->closed ? DV_EV_CLOSE : DV_EV_FAIL,
		.node = link->peer,
		.err = desc->err,
	};

	return dv_over_event(link, &ev);
}

/* -ENFILE, -ENOMEM: there is no room for it. */
static int arrive(struct dv_mesh_link *link, const struct dv_port_desc *desc,
		  struct dv_port **portp)
{
	struct dv_mesh_node *node = link->node;
	struct dv_end *e = dv_end_new(node, desc->id, desc->pair);
	struct dv_port *port = e ? dv_end_port(e) : NULL;
	int r = port ? dv_node_add_end(node, e) : -ENOMEM;

	if (r < 0) {
		free(port);
		free(e);
		return r;
	}
	e->state = DV_END_ARRIVING;
	e->allowed = desc->granted;
	e->received = e->used = desc->received;
	dv_place_set(&e->in, link, desc->from);
	*portp = port;
	return 0;
}

/* Tell the proxy. */
static void answer(struct dv_mesh_link *link, const struct dv_port_desc *desc,
		   enum dv_mesh_event_kind kind, const struct dv_err *why)
{
	struct dv_mesh_event ev = {
		.kind = kind,
		.dst = desc->from,
		.node = link->node->id,
		.err = why,
		.fd = -1,
	};

	dv_link_put(link, &ev);
}

static void arrived(struct dv_mesh_link *link, const struct dv_port_desc *desc,
		    struct dv_end *e)
{
	link->node->counts.moved_in++;
	answer(link, desc, DV_EV_MOVED, NULL);
	if (desc->closed || desc->err)
		dv_end_over(e, over_of(link, desc));
	else
		dv_end_credit(e);
}

static void refuse(struct dv_mesh_link *link, const struct dv_port_desc *desc,
		   int r)
{
	struct dv_err why = DV_ERR_INIT;

	link->node->counts.refused++;
	dv_err_sys(&why, -r, "a process has no room for the port");
	answer(link, desc, desc->direct ? DV_EV_FAIL : DV_EV_REFUSED, &why);
}

int dv_move_unpack(struct dv_mesh_link *link, struct dv_msg *msg,
		   struct dv_err *err)
{
	for (uint16_t i = 0; i < msg->n_atts; i++) {
		struct dv_att *att = &msg->atts[i];
		struct dv_port_desc *desc = att->desc;
		struct dv_port *port = NULL;
		int r;

		if (att->kind != DV_ATT_DESC)
			continue;
		r = check_desc(link->node, desc, err);
		if (r == 0 && desc->direct)
			r = dv_event_bad(err, "a first port in a message");
		if (r < 0)
			return r;
		r = arrive(link, desc, &port);
		att->desc = NULL;
		att->kind = r < 0 ? DV_ATT_NONE : DV_ATT_PORT;
		if (r < 0) {
			refuse(link, desc, r);
		} else {
			att->port = port;
			port->msg = msg;
			arrived(link, desc, port->end);
		}
		free(desc->err);
		free(desc);
	}
	return 0;
}

void dv_move_refuse(struct dv_mesh_link *link, const struct dv_msg *msg)
{
	for (uint16_t i = 0; i < msg->n_atts; i++) {
		if (msg->atts[i].kind != DV_ATT_DESC)
			continue;
		link->node->counts.refused++;
		answer(link, msg->atts[i].desc, DV_EV_REFUSED, NULL);
	}
}

/* Its peer is where it comes from, and both may send as much. */
static void share(struct dv_mesh_link *link, const struct dv_port_desc *desc,
		  struct dv_end *e)
{
	dv_place_set(&e->out, link, desc->from);
	e->granted = desc->granted;
	e->state = DV_END_OPEN;
}

int dv_node_take(struct dv_mesh_link *link, const struct dv_port_desc *desc,
		 struct dv_port **portp)
{
	struct dv_mesh_node *node = link->node;
	int r;

	if (!node)
		return -ENOTCONN;
	r = check_desc(node, desc, NULL);
	if (r < 0)
		return r;
	r = arrive(link, desc, portp);
	if (r < 0)
		refuse(link, desc, r);
	else if (desc->direct)
		share(link, desc, (*portp)->end);
	else
		arrived(link, desc, (*portp)->end);
	dv_node_pump(node);
	return r;
}

/* ---- the proxy ---- */

static bool is_asked(const struct dv_mesh_link *link, const struct dv_end *e)
{
	return e->role == DV_ROLE_PROXY && !e->moved && link == e->to.link;
}

int dv_move_moved(struct dv_mesh_link *link, struct dv_end *e,
		  struct dv_mesh_event *ev, struct dv_err *err)
{
	(void)ev;
	if (!is_asked(link, e))
		return dv_event_bad(err, "it says that a port moved that was "
					 "not given to it");
	e->moved = true;
	dv_end_poke(e);
	return 0;
}

int dv_move_refused(struct dv_mesh_link *link, struct dv_end *e,
		    struct dv_mesh_event *ev, struct dv_err *err)
{
	if (!is_asked(link, e))
		return dv_event_bad(err, "it refuses a port that was not given "
					 "to it");
	dv_place_clear(&e->to);
	if (ev->err || e->state == DV_END_OVER) {
		dv_end_to_lost(e, dv_over_event(link, ev));
		return 0;
	}
	/* Its receiver was closed: it is as if that had closed it. */
	dv_end_set_role(e, DV_ROLE_CLOSING);
	dv_end_drop(e, &e->inq);
	dv_end_credit(e);
	dv_end_poke(e);
	return 0;
}

/* ---- the seam ---- */

static struct dv_port_end *over_seam(struct dv_end *e, const char *what)
{
	struct dv_port_end how = dv_how_here(e->node, ECONNRESET, what);

	how.culprit = e->await;
	how.scope = DV_SCOPE_LINK;
	return dv_over_new(&how);
}

/* Every link to @peer is asked with an ACCEPT for a port that is not there: the
 * FAIL that it is answered with comes after the ACCEPT that is waited for, if
 * that was ever said. */
static void ask_accept(struct dv_end *e, struct dv_mesh_id peer)
{
	struct dv_list *l, *n;

	e->asked = calloc(e->node->counts.n_links + 1, sizeof(void *));
	if (!e->asked)
		return;
	dv_list_each(l, n, &e->node->links)
	{
		struct dv_mesh_link *link =
			dv_list_of(l, struct dv_mesh_link, at);
		struct dv_mesh_event ev = { .kind = DV_EV_ACCEPT,
					    .dst = e->id,
					    .id = e->id,
					    .node = e->pair,
					    .fd = -1 };

		if (!dv_id_eq(link->peer, peer))
			continue;
		e->asked[e->n_asked++] = link;
		dv_link_put(link, &ev);
	}
}

bool dv_move_unasked(struct dv_end *e, const struct dv_mesh_link *link)
{
	for (uint32_t i = 0; i < e->n_asked; i++)
		if (e->asked[i] == link) {
			e->asked[i] = e->asked[--e->n_asked];
			return e->n_asked == 0;
		}
	return false;
}

/* The peer has not accepted yet, as far as this node has heard. But it has said
 * so before END, so if it lives a link to it is there. */
static void seam_early(struct dv_end *e, struct dv_mesh_id peer)
{
	dv_place_clear(&e->in);
	e->state = DV_END_SEAMED;
	e->await = peer;
	dv_list_add(&e->node->seamed, &e->special);
	ask_accept(e, peer);
	if (e->n_asked == 0)
		dv_end_fail(e, over_seam(e, "the process of the peer"));
}

bool dv_move_answered(const struct dv_mesh_link *link, struct dv_end *e,
		      const struct dv_mesh_event *ev)
{
	if (e->state != DV_END_SEAMED || !dv_id_eq(link->peer, e->await) ||
	    !dv_id_eq(ev->id, e->id))
		return false;
	if (dv_move_unasked(e, link))
		dv_end_fail(e, over_seam(e, "the peer never accepted the "
					    "port"));
	return true;
}

/* What the peer sent directly is next. */
static void seam_join(struct dv_end *e, struct dv_mesh_id peer)
{
	struct dv_msgs ahead;
	struct dv_msg *msg;

	dv_place_clear(&e->in);
	if (e->out.link)
		e->await = e->out.link->peer;
	if (!dv_id_eq(peer, e->await)) {
		dv_end_fail(e, over_seam(e, "its peer is not where it was"));
		return;
	}
	e->state = DV_END_OPEN;
	e->stream = (struct dv_mesh_id){ 0, 0 };
	if (e->out.link)
		dv_place_set(&e->in, e->out.link, e->out.id);
	e->received += e->ahead.cost;
	dv_msgs_init(&ahead);
	dv_msgs_append(&ahead, &e->ahead);
	while ((msg = dv_msgs_pop(&ahead)))
		dv_end_deliver(e, msg);
	if (e->ahead_over)
		dv_end_over(e, dv_take_ptr(&e->ahead_over));
	else
		dv_end_credit(e);
	dv_end_poke(e);
}

int dv_move_end(struct dv_mesh_link *link, struct dv_end *e,
		struct dv_mesh_event *ev, struct dv_err *err)
{
	if (e->state == DV_END_OVER)
		return 0;
	if (link != e->in.link)
		return dv_event_bad(err, "it ends a stream of somebody else");
	if (e->said && e->role == DV_ROLE_SINK) {
		dv_bridge_end(e);
	} else if (e->said) {
		e->said = false;
		e->passed = true;
		e->await = link->peer;
		e->state = DV_END_OVER;
		dv_place_clear(&e->in);
		dv_place_clear(&e->out);
		dv_end_poke(e);
	} else if (e->state == DV_END_ARRIVING) {
		seam_early(e, ev->node);
	} else if (e->state == DV_END_JOINING) {
		seam_join(e, ev->node);
	} else {
		return dv_event_bad(err, "it ends a stream that goes on");
	}
	return 0;
}

/* ---- the new place ---- */

/* Who accepts a port that does not wait for that hears why. It may have been
 * misled, so it breaks no rule. */
static void not_accepted(struct dv_mesh_link *link, const struct dv_end *e,
			 const struct dv_mesh_event *ev)
{
	const struct dv_port_end *over =
		e ? e->over : dv_tomb_find(link->node, ev->dst);
	struct dv_mesh_event fail = {
		.kind = DV_EV_FAIL,
		.dst = ev->id,
		.id = ev->dst,
		.node = over ? over->culprit : link->node->id,
		.pid = over ? over->pid : 0,
		.fd = -1,
	};
	struct dv_err why = DV_ERR_INIT;

	dv_err_set(&why, EPIPE, DV_ABORTED, "the port is gone");
	fail.err = over && over->err.code != DV_OK ? &over->err : &why;
	link->node->counts.dropped++;
	dv_link_put(link, &fail);
}

static void say_accepted(const struct dv_end *e)
{
	struct dv_mesh_event ev = {
		.kind = DV_EV_ACCEPTED, .dst = e->out.id, .id = e->id, .fd = -1
	};

	dv_link_put(e->out.link, &ev);
}

static bool may_accept(const struct dv_mesh_link *link, const struct dv_end *e)
{
	if (e->state == DV_END_SEAMED)
		return dv_id_eq(link->peer, e->await);
	return e->state == DV_END_ARRIVING;
}

int dv_move_accept(struct dv_mesh_link *link, struct dv_end *e,
		   struct dv_mesh_event *ev, struct dv_err *err)
{
	if (ev->granted > DV_TOTAL_MAX || ev->received > DV_TOTAL_MAX)
		return dv_event_bad(err, "it accepts with totals that cannot "
					 "be");
	if (!e || !may_accept(link, e)) {
		not_accepted(link, e, ev);
		return 0;
	}
	dv_place_set(&e->out, link, ev->id);
	e->sent = ev->received;
	e->granted = ev->granted;
	if (e->state == DV_END_SEAMED) {
		dv_end_unspecial(e);
		dv_place_set(&e->in, link, ev->id);
		e->state = DV_END_OPEN;
	} else {
		e->stream = ev->node;
		e->state = DV_END_JOINING;
	}
	say_accepted(e);
	if (e->credited)
		dv_end_say_credit(e);
	e->credited = false;
	dv_end_poke(e);
	return 0;
}

/* ---- after a bridge ---- */

static void queue_totals(struct dv_end *e, const struct dv_mesh_event *ev)
{
	struct dv_msg *msg = dv_msg_new(sizeof(*ev));

	if (!msg) {
		dv_end_fail(e, dv_over_here(e->node, ENOMEM, "join two pairs"));
		return;
	}
	msg->kind = DV_EV_TOTALS;
	memcpy(msg->data, ev, sizeof(*ev));
	dv_msgs_push(&e->inq, msg);
	dv_end_poke(e);
}

int dv_move_totals(struct dv_mesh_link *link, struct dv_end *e,
		   struct dv_mesh_event *ev, struct dv_err *err)
{
	uint64_t unused = e->received - e->used;

	if (e->state == DV_END_OVER)
		return 0;
	if (link != e->in.link ||
	    (e->state != DV_END_ARRIVING && e->state != DV_END_JOINING))
		return dv_event_bad(err, "it counts a stream of somebody else");
	if (ev->granted > DV_TOTAL_MAX || ev->received > DV_TOTAL_MAX ||
	    ev->received < unused)
		return dv_event_bad(err, "totals that cannot be");
	e->received = ev->received;
	e->allowed = ev->granted;
	e->used = ev->received - unused;
	e->pair = ev->id;
	if (++e->counted > DV_NODE_TOTALS)
		dv_end_fail(e, dv_over_here(e->node, ELOOP,
					    "too many bridges in a row"));
	else if (e->role == DV_ROLE_PROXY)
		queue_totals(e, ev);
	else
		dv_end_credit(e);
	return 0;
}

int dv_move_loop(struct dv_mesh_link *link, struct dv_end *e,
		 struct dv_mesh_event *ev, struct dv_err *err)
{
	struct dv_mesh_event on = *ev;

	(void)err;
	if (link != e->in.link || e->state != DV_END_ARRIVING ||
	    e->role != DV_ROLE_PROXY || !e->moved)
		return 0; /* It ends here. */
	if (dv_id_eq(ev->id, e->id)) {
		dv_end_fail(e, dv_over_here(e->node, ELOOP,
					    "bridges lead back to themselves"));
	} else if (ev->received < DV_NODE_HOPS) {
		on.dst = e->to.id;
		on.received++;
		dv_link_put(e->to.link, &on);
	}
	return 0;
}
