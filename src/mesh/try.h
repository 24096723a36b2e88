/* SPDX-License-Identifier: MIT */
#pragma once
/*
 * For tests only: several nodes in one process, joined by queues instead of
 * sockets. Nothing happens by itself: a test picks each step from a list of
 * what could happen next, or lets try_settle() do all of it.
 *
 *	struct try t = TRY_INIT;
 *	try_new(&t, 3);			nodes 0, 1 and 2
 *	try_connect(&t, 0, 1);		a link, trusted by both
 *	try_pair(&t, 0, 1, pair);	two ports, one on each
 *	...
 *	try_settle(&t);			until nothing is left to do
 *	try_kill(&t, 1, 0);
 *	try_free(&t);			asserts that nothing has leaked
 *
 * A queue does to an event what a wire would do: contents are copied, so no
 * pointer of the sender gets to the receiver. An event that is lost closes its
 * descriptors. Whatever a node does that it must not do is noted in t.fault.
 *
 * Descriptors of introductions are numbers from TRY_FD on. Those that a test
 * attaches to messages are real ones: test.h sees the leaks.
 */
#include <errno.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/def.h"
#include "mesh/node.h"
#include "mesh/try_queue.h"

/* ---- what a node needs ---- */

static inline struct try_node *try_node_of(const struct dv_mesh_node *node)
{
	return dv_node_owner(node);
}

static inline int try_env_pair(struct dv_mesh_node *node, int fds[2])
{
	struct try *t = try_node_of(node)->t;

	if (try_node_of(node)->stuck)
		return -EMFILE;
	if (t->n_ends + 2 > t->cap_ends) {
		t->cap_ends = t->cap_ends ? 2 * t->cap_ends : 16;
		t->ends = realloc(t->ends,
				  (size_t)t->cap_ends * sizeof(*t->ends));
		dv_assert(t->ends);
	}
	for (int i = 0; i < 2; i++) {
		fds[i] = TRY_FD + t->n_ends;
		t->ends[t->n_ends++] = (struct try_end){ NULL, false };
	}
	return 0;
}

static inline struct try_end *try_end(struct try *t, int fd)
{
	if (fd >= TRY_FD && fd < TRY_FD + t->n_ends) {
		struct try_end *end = &t->ends[fd - TRY_FD];

		if (!end->link && !end->closed)
			return end;
	}
	try_fault(t, "descriptor %d is not open", fd);
	return NULL;
}

static inline void try_close_end(struct try *t, int fd)
{
	struct try_end *end = try_end(t, fd), *other;

	if (!end)
		return;
	end->closed = true;
	other = &t->ends[(fd - TRY_FD) ^ 1];
	if (other->link) {
		other->link->eof = true;
		try_drop_queue(other->link);
		try_drop_longs(other->link);
	}
}

static inline void try_env_close(struct dv_mesh_node *node, int fd)
{
	try_close_end(try_node_of(node)->t, fd);
}

/* Of a node that lives or lived; -1: none has that id. */
static inline int try_index(const struct try *t, struct dv_mesh_id id)
{
	for (int i = 0; i < t->n_nodes; i++)
		if (t->nodes[i].id.hi == id.hi && t->nodes[i].id.lo == id.lo)
			return i;
	return -1;
}

static inline int try_env_adopt(struct dv_mesh_node *node, int fd,
				struct dv_mesh_id peer,
				struct dv_mesh_link *via)
{
	struct try_node *n = try_node_of(node);
	struct try *t = n->t;
	struct try_end *end = try_end(t, fd), *other;
	struct try_link *l;
	int r;

	if (!end)
		return -EBADF;
	other = &t->ends[(fd - TRY_FD) ^ 1];
	l = try_link_new(t, n->index, try_index(t, peer));
	l->link.peer = peer;
	l->link.via = via;
	r = dv_node_link_up(node, &l->link);
	if (r < 0) {
		l->state = TRY_DOWN;
		try_close_end(t, fd);
		return r;
	}
	end->link = l;
	l->eof = other->closed;
	l->other = other->link;
	if (l->other)
		l->other->other = l;
	if (l->other && l->other->state == TRY_DOWN)
		l->eof = true;
	return 0;
}

static inline void try_env_cut(struct dv_mesh_link *link,
			       const struct dv_err *why)
{
	struct try_link *l = try_of(link);

	l->t->n_cuts++;
	if (l->state != TRY_UP)
		return;
	l->state = TRY_CUTTING;
	if (why)
		l->why = *why;
}

static inline void try_env_wake(struct dv_mesh_node *node)
{
	try_node_of(node)->wants = true;
}

static inline struct dv_mesh_id try_env_id(struct dv_mesh_node *node)
{
	struct try_node *n = try_node_of(node);
	struct try *t = n->t;
	uint64_t lo = 4 * ++n->n_ids; /* An id may be one of a few. */

	return (struct dv_mesh_id){
		.hi = (uint64_t)(t->nodes_down ? t->n_nodes - n->index
					       : n->index + 1),
		.lo = t->ids_down ? UINT64_MAX - lo : lo,
	};
}

/* ---- life ---- */

static inline void try_new(struct try *t, int n_nodes)
{
	dv_assert(n_nodes <= TRY_NODES);
	t->env = (struct dv_node_env){
		.pair = try_env_pair,
		.close_fd = try_env_close,
		.adopt = try_env_adopt,
		.cut = try_env_cut,
		.wake = try_env_wake,
		.id = try_env_id,
	};
	t->n_nodes = n_nodes;
	t->links_tailp = &t->links;
	for (int i = 0; i < n_nodes; i++) {
		struct try_node *n = &t->nodes[i];

		*n = (struct try_node){ .t = t, .index = i };
		n->limits = t->limits;
		if (t->max_ports[i])
			n->limits.max_ports = t->max_ports[i];
		if (t->max_links[i])
			n->limits.max_links = t->max_links[i];
		dv_assert(dv_node_new(&n->node, &t->env, &n->limits, n) == 0);
		n->id = dv_node_id(n->node);
	}
}

/* A link between two nodes that trust it; if it is the first one of @b, then
 * @a has brought it into the mesh. Returns @a's end. */
static inline struct try_link *try_connect(struct try *t, int a, int b)
{
	bool first = t->nodes[b].n_links == 0;
	struct try_link *la = try_link_new(t, a, b);
	struct try_link *lb = try_link_new(t, b, a);

	la->other = lb;
	lb->other = la;
	la->link.peer = dv_node_id(t->nodes[b].node);
	lb->link.peer = dv_node_id(t->nodes[a].node);
	lb->link.parent = first && !t->orphans;
	dv_assert(dv_node_link_up(t->nodes[a].node, &la->link) == 0);
	dv_assert(dv_node_link_up(t->nodes[b].node, &lb->link) == 0);
	return la;
}

/* @a's first end of a link to @b that is up; NULL: none. */
static inline struct try_link *try_link(const struct try *t, int a, int b)
{
	for (struct try_link *l = t->links; l; l = l->next)
		if (l->node == a && l->peer == b && try_link_flows(l))
			return l;
	return NULL;
}

/* How many events of @l's queue are lost, as try_kill() has it. */
static inline uint32_t try_lost(const struct try_link *l, uint32_t lost)
{
	return lost >> (l->nth % 8 * 4) & 15;
}

/* The last @n events, or all with 15. */
static inline void try_drop_tail(struct try_link *l, uint32_t n)
{
	uint32_t keep = 0;
	struct try_ev *e;

	for (e = l->head; e && n < 15; e = e->next)
		keep++;
	keep -= dv_min(keep, n);
	l->tailp = &l->head;
	while (keep-- > 0)
		l->tailp = &(*l->tailp)->next;
	e = *l->tailp;
	*l->tailp = NULL;
	for (struct try_ev *next; e; e = next) {
		next = e->next;
		try_ev_free(l->t, e);
	}
}

/*
 * Node @n dies as a process does. What it had queued still arrives, but for the
 * end of each queue: four bits of @lost are for its k-th link (try_link.nth,
 * modulo 8) and say how many events are lost; 15: all. So 0 is none at all, and
 * UINT32_MAX all of them.
 */
static inline void try_kill(struct try *t, int n, uint32_t lost)
{
	struct try_node *node = &t->nodes[n];
	struct dv_err why = DV_ERR_INIT;

	if (!node->node)
		return;
	for (struct try_link *l = t->links; l; l = l->next) {
		if (l->node != n || l->state == TRY_DOWN)
			continue;
		try_drop_tail(l, try_lost(l, lost));
		try_link_gone(l);
		l->state = TRY_CUTTING; /* It may send; it goes nowhere. */
	}
	dv_err_set(&why, ECONNRESET, DV_UNAVAILABLE, "killed");
	for (struct try_link *l = t->links; l; l = l->next) {
		if (l->node == n && l->link.node)
			dv_node_link_down(&l->link, &why);
	}
	node->node = dv_node_destroy(node->node);
	for (struct try_link *l = t->links; l; l = l->next)
		if (l->node == n)
			l->state = TRY_DOWN;
	node->wants = false;
}

static inline void try_free(struct try *t)
{
	for (int i = 0; i < t->n_nodes; i++)
		try_kill(t, i, UINT32_MAX);
	for (struct try_link *l; (l = t->links);) {
		if (l->link.held)
			try_fault(t, "link %d-%d: %llu bytes are held", l->node,
				  l->peer, (unsigned long long)l->link.held);
		t->links = l->next;
		try_drop_queue(l);
		try_drop_longs(l);
		free(l);
	}
	for (int i = 0; i < t->n_ends; i++)
		if (!t->ends[i].link && !t->ends[i].closed)
			try_fault(t, "descriptor %d leaked", TRY_FD + i);
	free(t->ends);
	t->ends = NULL;
	t->n_ends = t->cap_ends = t->n_nodes = 0;
}

/* ---- steps ---- */

static inline void try_list_link(struct try_link *l, struct try_act *acts,
				 int max, int *n)
{
	bool up = l->other && l->other->state == TRY_UP;
	unsigned int nth = 0;

	if (l->head && up && *n < max)
		acts[(*n)++] = (struct try_act){ TRY_DELIVER, l->peer, l, 0 };
	for (struct try_ev *e = l->longs; e && *n < max; e = e->next, nth++)
		acts[(*n)++] = (struct try_act){ TRY_LONG, l->node, l, nth };
	if (l->state == TRY_CUTTING && *n < max)
		acts[(*n)++] = (struct try_act){ TRY_CUT, l->node, l, 0 };
	if (l->state == TRY_UP && l->eof && *n < max &&
	    (!l->other || !l->other->head))
		acts[(*n)++] = (struct try_act){ TRY_EOF, l->node, l, 0 };
}

/* All that could happen next, in an order that depends on nothing else. */
static inline int try_list(struct try *t, struct try_act *acts, int max)
{
	int n = 0;

	for (int i = 0; i < t->n_nodes && n < max; i++)
		if (t->nodes[i].node && t->nodes[i].wants)
			acts[n++] = (struct try_act){ TRY_RUN, i, NULL, 0 };
	for (struct try_link *l = t->links; l; l = l->next)
		try_list_link(l, acts, max, &n);
	return n;
}

static inline void try_credit(struct try_link *l, uint64_t cost)
{
	bool had = try_room(&l->link);

	if (cost > l->out)
		try_fault(l->t, "link %d-%d: more was used up than sent",
			  l->node, l->peer);
	l->out -= dv_min(cost, l->out);
	if (!had && try_room(&l->link))
		dv_node_ready(&l->link);
}

static inline void try_deliver(struct try_link *l)
{
	struct try_ev *e = try_pop(l);
	struct dv_mesh_event ev = e->ev;
	struct dv_err err = DV_ERR_INIT;
	struct dv_msg small;

	if (e->is_credit) {
		try_credit(l->other, e->cost);
		try_ev_free(l->t, e);
		return;
	}
	if (e->has_msg && l->t->borrow && e->n_atts == 0)
		try_msg_borrow(e, ev.msg = &small);
	else if (e->has_msg)
		ev.msg = try_msg_unpack(e);
	ev.err = e->err;
	e->ev.fd = -1;
	if (dv_node_event(&l->other->link, &ev, &err) < 0) {
		try_fault(l->t, "node %d: event %d from node %d: %s",
			  l->other->node, ev.kind, l->node, err.msg);
		try_env_cut(&l->other->link, &err);
	}
	try_ev_free(l->t, e);
}

static inline void try_long(struct try_link *l, unsigned int nth)
{
	struct try_ev **at = &l->longs, *e;
	struct dv_mesh_id dst;

	while (nth--)
		at = &(*at)->next;
	e = *at;
	*at = e->next;
	dst = e->ev.dst;
	e->src = dv_msg_free(e->src);
	try_push(l, e);
	dv_node_sent(&l->link, dst);
}

static inline void try_do(struct try *t, const struct try_act *act)
{
	struct dv_err why = DV_ERR_INIT;
	struct try_node *n = &t->nodes[act->node];

	switch (act->kind) {
	case TRY_RUN:
		n->wants = false;
		n->wants |= dv_node_run(n->node, t->budget);
		break;
	case TRY_DELIVER:
		try_deliver(act->link);
		break;
	case TRY_EOF:
		dv_err_set(&why, ECONNRESET, DV_UNAVAILABLE,
			   "the process is gone");
		try_link_down(act->link, &why);
		break;
	case TRY_LONG:
		try_long(act->link, act->nth);
		break;
	case TRY_CUT:
		try_link_down(act->link, &act->link->why);
		break;
	default:
		dv_assert(0);
	}
}

/* Everything, in a fixed order, until nothing is left. Returns the steps;
 * a node that never comes to rest is a fault. */
static inline int try_settle(struct try *t)
{
	struct try_act act;
	int n = 0;

	while (try_list(t, &act, 1) > 0) {
		try_do(t, &act);
		if (++n > 1000000) {
			try_fault(t, "it never comes to rest");
			break;
		}
	}
	return n;
}

/* No more messages on @l, or on with it. */
static inline void try_stop(struct try_link *l, bool stop)
{
	bool had = try_room(&l->link);

	l->stopped = stop;
	if (!had && try_room(&l->link) && l->state == TRY_UP)
		dv_node_ready(&l->link);
}

/* Two ports, pair[0] on @a and pair[1] on @b; they talk directly. */
static inline void try_pair(struct try *t, int a, int b,
			    struct dv_port *pair[2])
{
	struct try_link *l = a == b ? NULL : try_link(t, a, b);
	struct dv_port_desc desc = { .err = NULL };

	if (l) {
		dv_assert(dv_node_share(&l->link, &pair[0], &desc) == 0);
		dv_assert(dv_node_take(&l->other->link, &desc, &pair[1]) == 0);
	} else {
		dv_assert(dv_node_pair(t->nodes[a].node, pair) == 0);
	}
	try_settle(t);
}
