/* SPDX-License-Identifier: MIT */
/*
 * DOC: the peer of a port that moves. It hears a word (NEW_PEER, or BRIDGE),
 * which is the last thing that comes from there; it answers with END, and from
 * then on it has the new place as its peer.
 */
#include <errno.h>

#include "mesh/node_priv.h"

/* ---- the word ---- */

int dv_move_word(struct dv_mesh_link *link, struct dv_end *e,
		 struct dv_mesh_event *ev, struct dv_err *err)
{
	enum dv_from from = dv_event_from(link, e);

	if (e->state == DV_END_OVER)
		return 0;
	if (from == DV_FROM_NONE || e->state == DV_END_ARRIVING ||
	    (from == DV_FROM_IN && e->state == DV_END_JOINING))
		return dv_event_bad(err, "it moves a port of somebody else");
	if (e->word.kind)
		return dv_event_bad(err, "it moves a port twice");
	if (dv_id_zero(ev->id) ||
	    (ev->kind == DV_EV_NEW_PEER && dv_id_zero(ev->node)))
		return dv_event_bad(err, "it moves a port to nowhere");
	if (e->said) {
		/* Both at once: the greater id stands, at both ends. */
		if (dv_id_greater(e->id, e->out.id))
			return 0;
		e->said = false;
	}
	e->word.kind = (uint8_t)ev->kind;
	e->word.id = ev->id;
	e->word.node = ev->node;
	dv_end_poke(e);
	return 0;
}

/* ---- which link ---- */

/* An introducer can read along, so what it introduced is for its own ports
 * only. And the other side must have it by now, or will before it hears END. */
static bool usable(const struct dv_mesh_link *link, const struct dv_end *e)
{
	const struct dv_mesh_link *in = e->in.link, *via = link->via;

	if (link == in)
		return true;
	if (!via)
		return !link->stranger;
	if (!link->heard && !(via == in && dv_id_eq(link->intended, e->id)))
		return false;
	if (via == in)
		return true;
	return !dv_id_zero(via->peer) &&
	       (via->parent || dv_id_eq(via->peer, in->peer));
}

/* Has a port just gone to @peer by a link that may be used by @e, too, as soon
 * as it is answered? */
static bool is_coming(const struct dv_end *e, const struct dv_mesh_link *link)
{
	struct dv_list *l, *n;

	if (link->heard || link->via != e->in.link)
		return false;
	dv_list_each(l, n, &link->ports)
	{
		const struct dv_place *p = dv_list_of(l, struct dv_place, at);

		if (p == &p->end->out && p->end->unconfirmed)
			return true;
	}
	return false;
}

static struct dv_mesh_link *find_link(struct dv_end *e)
{
	struct dv_mesh_node *node = e->node;
	struct dv_mesh_id peer = e->word.node;
	struct dv_list *l, *n;
	struct dv_end *proxy;

	if (dv_id_eq(peer, node->id))
		return &node->self;
	if (e->in.link == &node->self) {
		/* Its link, for that it goes this way is its user's wish. */
		proxy = dv_node_lookup(node, e->in.id);
		return proxy && proxy->to.link &&
				       dv_id_eq(proxy->to.link->peer, peer)
			       ? proxy->to.link
			       : NULL;
	}
	dv_list_each(l, n, &node->links)
	{
		struct dv_mesh_link *link =
			dv_list_of(l, struct dv_mesh_link, at);

		if (dv_id_eq(link->peer, peer) && usable(link, e))
			return link;
	}
	return NULL;
}

/* Has another port asked the same node for the same, or is it there already? */
static bool is_asked(const struct dv_end *e)
{
	struct dv_list *l, *n;

	dv_list_each(l, n, &e->node->links)
	{
		const struct dv_mesh_link *link =
			dv_list_of(l, struct dv_mesh_link, at);

		if (dv_id_eq(link->peer, e->word.node) && is_coming(e, link))
			return true;
	}
	dv_list_each(l, n, &e->node->connecting)
	{
		const struct dv_end *other =
			dv_list_of(l, struct dv_end, special);

		if (other->word.asked && !other->word.given &&
		    other->in.link == e->in.link &&
		    dv_id_eq(other->word.node, e->word.node))
			return true;
	}
	return false;
}

static struct dv_port_end *over_given(const struct dv_end *e)
{
	struct dv_port_end how =
		dv_how_here(e->node, ECONNRESET, "connect to another process");

	how.culprit = e->word.node;
	how.scope = DV_SCOPE_LINK;
	return dv_over_new(&how);
}

static void ask(struct dv_end *e)
{
	struct dv_mesh_event ev = { .kind = DV_EV_CONNECT,
				    .dst = e->in.id,
				    .node = e->word.node,
				    .fd = -1 };

	if (e->in.link == &e->node->self)
		return; /* The proxy has failed, and says so. */
	if (e->word.given) {
		/* It went down before it could be used. */
		dv_end_fail(e, over_given(e));
		return;
	}
	if (dv_list_empty(&e->special))
		dv_list_add(&e->node->connecting, &e->special);
	if (is_asked(e))
		return;
	e->word.asked = true;
	dv_link_put(e->in.link, &ev);
}

/* ---- acting upon it ---- */

static void say_end(struct dv_end *e)
{
	struct dv_mesh_event ev = { .kind = DV_EV_END,
				    .dst = e->in.id,
				    .node = e->node->id,
				    .fd = -1 };

	dv_link_put(e->in.link, &ev);
}

/* When the proxy is here and forwards over the link that leads to the new
 * place, END has to get there before anything in order that is sent directly:
 * it could not be told apart. */
static void hold(struct dv_end *e, const struct dv_mesh_link *link)
{
	struct dv_end *proxy;

	if (e->in.link != &e->node->self)
		return;
	proxy = dv_node_lookup(e->node, e->in.id);
	if (!proxy || proxy->to.link != link || proxy->held)
		return;
	e->hold = proxy;
	proxy->held = e;
}

static void act_new_peer(struct dv_end *e)
{
	struct dv_mesh_link *link = find_link(e);
	struct dv_mesh_event ev = {
		.kind = DV_EV_ACCEPT,
		.dst = e->word.id,
		.id = e->id,
		.node = e->pair,
		.received = e->received,
		.granted = e->allowed,
		.fd = -1,
	};

	if (!link) {
		ask(e);
		return;
	}
	say_end(e);
	/* A proxy of our own knows where it went; others may say anything. */
	e->unconfirmed = e->in.link != &e->node->self;
	hold(e, link);
	dv_place_set(&e->in, link, ev.dst);
	dv_place_set(&e->out, link, ev.dst);
	dv_end_unspecial(e);
	dv_link_put(link, &ev);
}

static void act_bridge(struct dv_end *e)
{
	say_end(e);
	dv_place_set(&e->in, e->in.link, e->word.id);
	dv_place_clear(&e->out);
	dv_end_unspecial(e);
	e->state = DV_END_ARRIVING;
	e->introduced = false;
	e->counted = 0;
}

void dv_move_act(struct dv_end *e)
{
	if (!e->word.kind || e->state != DV_END_OPEN || e->out.busy ||
	    e->hold || e->unconfirmed)
		return;
	if (e->word.kind == DV_EV_NEW_PEER)
		act_new_peer(e);
	else
		act_bridge(e);
}

int dv_move_accepted(struct dv_mesh_link *link, struct dv_end *e,
		     struct dv_mesh_event *ev, struct dv_err *err)
{
	(void)err;
	if (link != e->out.link || !dv_id_eq(ev->id, e->out.id)) {
		link->node->counts.dropped++;
		return 0;
	}
	e->unconfirmed = false;
	dv_end_poke(e);
	return 0;
}

/* ---- introductions ---- */

/* The port at @to hears of @node. */
static void introduce(struct dv_place *to, struct dv_mesh_id node, int fd,
		      const struct dv_err *err)
{
	struct dv_mesh_event ev = {
		.kind = DV_EV_INTRODUCE,
		.id = to->id,
		.node = node,
		.fd = fd,
		.err = err,
	};

	dv_link_put(to->link, &ev);
}

int dv_move_connect(struct dv_mesh_link *link, struct dv_end *e,
		    struct dv_mesh_event *ev, struct dv_err *err)
{
	struct dv_mesh_node *node = e->node;
	struct dv_err why = DV_ERR_INIT;
	int fds[2] = { -1, -1 };
	int r;

	if (e->state == DV_END_OVER)
		return 0;
	if (link != e->in.link || link == &node->self || !e->said ||
	    e->role != DV_ROLE_PROXY || e->introduced || !e->to.link ||
	    e->to.link == &node->self || !dv_id_eq(ev->node, e->to.link->peer))
		return dv_event_bad(err, "it asks for a connection that it has "
					 "no use for");
	e->introduced = true;
	r = node->env->pair(node, fds);
	if (r < 0) {
		dv_err_sys(&why, -r, "connect two processes");
		introduce(&e->in, ev->node, -1, &why);
		return 0;
	}
	node->counts.introduced++;
	/* The new place first: it must have the link before it hears END. */
	introduce(&e->to, e->in.link->peer, fds[0], NULL);
	introduce(&e->in, e->to.link->peer, fds[1], NULL);
	return 0;
}

static struct dv_port_end *over_introduce(const struct dv_mesh_link *link,
					  const struct dv_mesh_event *ev, int r)
{
	struct dv_port_end how =
		dv_how_here(link->node, -r, "connect to another process");

	if (ev->fd < 0)
		how.culprit = link->peer;
	if (ev->fd < 0 && ev->err)
		how.err = *ev->err;
	return dv_over_new(&how);
}

static int adopt(struct dv_mesh_link *link, const struct dv_mesh_event *ev)
{
	struct dv_mesh_node *node = link->node;

	if (ev->fd < 0)
		return ev->err && ev->err->sys > 0 ? -ev->err->sys : -EMFILE;
	return node->env->adopt(node, ev->fd, ev->node, link);
}

int dv_move_introduce(struct dv_mesh_link *link, struct dv_end *e,
		      struct dv_mesh_event *ev, struct dv_err *err)
{
	struct dv_mesh_node *node = link->node;
	bool waits = e && e->in.link == link;
	/* The new place of a port, or the peer that has asked. */
	bool place =
		waits && !e->introduced &&
		(e->state == DV_END_ARRIVING || e->state == DV_END_JOINING);
	/* When who asked is gone, whoever waited for that has asked again. */
	bool asked = waits && !place && e->word.asked && !e->word.given;
	int r;

	if (dv_id_zero(ev->node) || dv_id_eq(ev->node, node->id) ||
	    link == &node->self) {
		if (ev->fd >= 0)
			node->env->close_fd(node, ev->fd);
		return dv_event_bad(err, "it introduces nobody");
	}
	if (!place && !asked) {
		node->counts.dropped++;
		if (ev->fd >= 0)
			node->env->close_fd(node, ev->fd);
		return 0;
	}
	if (place)
		e->introduced = true;
	else
		e->word.given = true;
	node->introducing = ev->id;
	r = adopt(link, ev);
	node->introducing = (struct dv_mesh_id){ 0, 0 };
	if (r < 0)
		dv_end_fail(e, over_introduce(link, ev, r));
	return 0;
}
