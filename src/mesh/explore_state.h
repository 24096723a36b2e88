/* SPDX-License-Identifier: MIT */
#pragma once
/*
 * For tests only: a hash of everything that decides what can still happen in a
 * scenario: nodes with their ends, queues, and what applications know. Ids are
 * renamed in the order in which they are met, so that it does not count in
 * which order they were made.
 *
 * It looks inside the node, so it has to know each field there. What it forgets
 * makes the search see less; explore_search.h can do without it, and a deep run
 * does both.
 */
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "mesh/explore.h"
#include "mesh/node_priv.h"

enum { X_IDS = 512, X_ALL_ENDS = 256 };

struct x_canon {
	const struct x_world *w;
	uint64_t h;
	struct dv_mesh_id ids[X_IDS];
	bool is_pair[X_IDS];
	int n_ids;
	struct dv_end *ends[X_ALL_ENDS];
	bool seen[X_ALL_ENDS];
	int n_ends;
};

static inline uint64_t x_mix(uint64_t h, uint64_t v)
{
	h ^= v + UINT64_C(0x9e3779b97f4a7c15) + (h << 6) + (h >> 2);
	h *= UINT64_C(0xff51afd7ed558ccd);
	h ^= h >> 33;
	h *= UINT64_C(0xc4ceb9fe1a85ec53);
	return h ^ h >> 29;
}

static inline void x_put(struct x_canon *c, uint64_t v)
{
	c->h = x_mix(c->h, v);
}

/* A new name says at which node it was made, too: that decides which of two is
 * greater. */
static inline void x_put_id(struct x_canon *c, struct dv_mesh_id id)
{
	int i = 0;

	while (i < c->n_ids && !dv_id_eq(c->ids[i], id))
		i++;
	x_put(c, (uint64_t)i);
	if (i < c->n_ids)
		return;
	dv_assert(i < X_IDS);
	c->is_pair[i] = false;
	c->ids[c->n_ids++] = id;
	x_put(c, id.hi);
}

static inline void x_put_pair(struct x_canon *c, struct dv_mesh_id pair)
{
	x_put(c, pair.lo & 1);
	pair.lo &= ~UINT64_C(1);
	x_put_id(c, pair);
	if (dv_id_eq(c->ids[c->n_ids - 1], pair))
		c->is_pair[c->n_ids - 1] = true;
}

static inline void x_put_node(struct x_canon *c, struct dv_mesh_id node)
{
	x_put(c, (uint64_t)try_index(&c->w->t, node));
}

/* One of try.h's, or the node's own. */
static inline void x_put_link(struct x_canon *c,
			      const struct dv_mesh_link *link)
{
	const struct try_link *l = (const void *)link;

	if (!link)
		x_put(c, 1);
	else if (link->ops != &try_link_ops)
		x_put(c, 2);
	else
		x_put(c, 3 + (uint64_t)l->node * 64 + l->nth);
}

static inline void x_put_bytes(struct x_canon *c, const uint8_t *p, size_t len)
{
	uint64_t v;

	x_put(c, len);
	for (size_t i = 0; i < len; i += sizeof(v)) {
		v = 0;
		memcpy(&v, p + i, dv_min(sizeof(v), len - i));
		x_put(c, v);
	}
}

static inline void x_put_err(struct x_canon *c, const struct dv_err *err)
{
	x_put(c, err ? (uint64_t)err->code << 32 | (uint32_t)err->sys : 1);
}

static inline void x_put_over(struct x_canon *c, const struct dv_port_end *o)
{
	x_put(c, o != NULL);
	if (!o)
		return;
	x_put(c, (uint64_t)o->closed << 8 | o->scope);
	x_put_node(c, o->culprit);
	x_put(c, (uint64_t)o->pid);
	x_put_err(c, &o->err);
}

/* ---- messages ---- */

static inline void x_put_event(struct x_canon *c,
			       const struct dv_mesh_event *ev)
{
	x_put(c, ev->kind);
	x_put_id(c, ev->dst);
	if (ev->kind == DV_EV_CREDIT || ev->kind == DV_EV_TOTALS)
		x_put_pair(c, ev->id);
	else
		x_put_id(c, ev->id);
	if (ev->kind == DV_EV_ACCEPT)
		x_put_pair(c, ev->node);
	else
		x_put_node(c, ev->node);
	x_put(c, ev->received);
	x_put(c, ev->granted);
	x_put(c, (uint64_t)ev->pid);
}

static inline void x_put_desc(struct x_canon *c, const struct dv_port_desc *d)
{
	x_put_id(c, d->id);
	x_put_id(c, d->from);
	x_put_pair(c, d->pair);
	x_put(c, d->granted);
	x_put(c, d->received);
	x_put(c, d->closed);
	x_put_err(c, d->err);
}

static inline void x_put_msg(struct x_canon *c, const struct dv_msg *msg)
{
	x_put(c, msg->kind);
	x_put(c, msg->cost);
	x_put(c, msg->end != NULL);
	x_put_link(c, msg->link);
	if (msg->kind != DV_EV_MESSAGE) {
		x_put_event(c, (const void *)msg->data);
		return;
	}
	x_put_bytes(c, msg->data, msg->len);
	for (uint16_t i = 0; i < msg->n_atts; i++) {
		x_put(c, msg->atts[i].kind);
		if (msg->atts[i].kind == DV_ATT_PORT)
			x_put_id(c, msg->atts[i].port->end->id);
	}
}

static inline void x_put_msgs(struct x_canon *c, const struct dv_msgs *q)
{
	x_put(c, 11);
	for (const struct dv_msg *msg = q->first; msg; msg = msg->next)
		x_put_msg(c, msg);
}

/* The other end of a pair of descriptors. */
static inline void x_put_fd(struct x_canon *c, int fd)
{
	const struct try_end *end;

	if (fd < 0) {
		x_put(c, 1);
		return;
	}
	end = &c->w->t.ends[(fd - TRY_FD) ^ 1];
	x_put(c, end->closed);
	x_put_link(c, end->link ? &end->link->link : NULL);
}

static inline void x_put_ev(struct x_canon *c, const struct try_ev *e)
{
	x_put(c, 12 + e->is_credit);
	if (e->is_credit) {
		x_put(c, e->cost);
		return;
	}
	x_put_event(c, &e->ev);
	x_put_err(c, e->err);
	if (e->ev.kind == DV_EV_INTRODUCE)
		x_put_fd(c, e->ev.fd);
	if (!e->has_msg)
		return;
	x_put_bytes(c, e->data, e->len);
	for (uint16_t i = 0; i < e->n_atts; i++) {
		x_put(c, e->atts[i].kind);
		if (e->atts[i].kind == DV_ATT_DESC)
			x_put_desc(c, &e->atts[i].desc);
	}
}

/* ---- ends ---- */

static inline void x_put_place(struct x_canon *c, const struct dv_place *p)
{
	x_put_link(c, p->link);
	x_put_id(c, p->id);
	x_put(c, p->busy);
	x_put(c, !dv_list_empty(&p->turn));
}

static inline void x_put_other(struct x_canon *c, const struct dv_end *e)
{
	x_put(c, e != NULL);
	if (e)
		x_put_id(c, e->id);
}

static inline void x_put_end(struct x_canon *c, const struct dv_end *e)
{
	const struct dv_port *port = e->port;

	x_put_pair(c, e->pair);
	x_put(c, (uint64_t)e->state << 8 | e->role);
	x_put(c, (uint64_t)e->moved | (uint64_t)e->said << 1 |
			 (uint64_t)e->introduced << 2 |
			 (uint64_t)e->passed << 3 | (uint64_t)e->credited << 4 |
			 (uint64_t)e->unaccepted << 5 |
			 (uint64_t)e->no_memory << 6 |
			 (uint64_t)e->unconfirmed << 7 |
			 (uint64_t)e->counted << 8);
	x_put_place(c, &e->in);
	x_put_place(c, &e->out);
	x_put_place(c, &e->to);
	x_put_msgs(c, &e->inq);
	x_put_msgs(c, &e->ahead);
	x_put_msgs(c, &e->outq);
	x_put(c, e->sent);
	x_put(c, e->granted);
	x_put(c, e->received);
	x_put(c, e->allowed);
	x_put(c, e->used);
	x_put(c, (uint64_t)e->n_charged << 32 | e->n_asked);
	for (uint32_t i = 0; i < e->n_asked; i++)
		x_put_link(c, e->asked[i]);
	x_put(c, (uint64_t)e->word.kind << 2 | (uint64_t)e->word.given << 1 |
			 e->word.asked);
	x_put_id(c, e->word.id);
	x_put_node(c, e->word.node);
	x_put_pair(c, e->stream);
	x_put_node(c, e->await);
	x_put_other(c, e->bridge);
	x_put_other(c, e->hold);
	x_put_other(c, e->held);
	x_put_over(c, e->over);
	x_put_over(c, e->ahead_over);
	x_put_over(c, e->fin);
	x_put(c, !dv_list_empty(&e->special));
	x_put(c, port ? 1 + ((uint64_t)port->paused << 1 |
			     (uint64_t)port->told << 2 |
			     (uint64_t)port->full << 3 |
			     (uint64_t)(port->ops != NULL) << 4 |
			     (uint64_t)(port->msg != NULL) << 5 |
			     (uint64_t)dv_list_empty(&port->ready) << 6)
		      : 0);
}

static inline void x_gather(struct x_canon *c, const struct dv_mesh_node *node)
{
	for (size_t i = 0; i < node->n_buckets; i++)
		for (struct dv_end *e = node->buckets[i]; e; e = e->next) {
			dv_assert(c->n_ends < X_ALL_ENDS);
			c->ends[c->n_ends++] = e;
		}
}

static inline bool x_put_unseen(struct x_canon *c, struct dv_mesh_id id)
{
	for (int i = 0; i < c->n_ends; i++) {
		if (c->seen[i] || !dv_id_eq(c->ends[i]->id, id))
			continue;
		c->seen[i] = true;
		x_put(c, (uint64_t)try_node_of(c->ends[i]->node)->index);
		x_put_end(c, c->ends[i]);
		return true;
	}
	return false;
}

/* Names are given in the order of pairs, for ends that nothing leads to. */
static inline uint64_t x_rank(const struct x_canon *c, const struct dv_end *e)
{
	uint64_t i = 0;

	while (i < (uint64_t)c->n_ids &&
	       !(c->ids[i].hi == e->pair.hi &&
		 c->ids[i].lo == (e->pair.lo & ~UINT64_C(1))))
		i++;
	return i << 16 | (e->pair.lo & 1) << 8 |
	       (uint64_t)try_node_of(e->node)->index;
}

static inline const struct dv_end *x_next_unseen(const struct x_canon *c)
{
	const struct dv_end *first = NULL;

	for (int i = 0; i < c->n_ends; i++) {
		const struct dv_end *e = c->ends[i];

		if (c->seen[i])
			continue;
		if (!first || x_rank(c, e) < x_rank(c, first) ||
		    (x_rank(c, e) == x_rank(c, first) &&
		     dv_id_greater(first->id, e->id)))
			first = e;
	}
	return first;
}

static inline void x_put_ends(struct x_canon *c)
{
	const struct dv_end *e;
	int done = 0;

	do {
		for (; done < c->n_ids; done++)
			while (x_put_unseen(c, c->ids[done]))
				;
		e = x_next_unseen(c);
		if (e)
			x_put_id(c, e->id);
	} while (e);
}

/* Which of two ids is greater is all that counts of them. */
static inline void x_put_order(struct x_canon *c)
{
	for (int i = 1; i < c->n_ids; i++)
		for (int k = 1; k < i; k++)
			if (c->ids[i].hi == c->ids[k].hi && !c->is_pair[i] &&
			    !c->is_pair[k])
				x_put(c, c->ids[i].lo > c->ids[k].lo);
}

/* ---- nodes and links ---- */

static inline void x_put_places(struct x_canon *c, const struct dv_list *list,
				size_t offset)
{
	x_put(c, 13);
	for (const struct dv_list *l = list->next; l != list; l = l->next) {
		const struct dv_place *p =
			(const void *)((const char *)l - offset);

		x_put_id(c, p->end->id);
		x_put(c,
		      (uint64_t)(p == &p->end->in) << 1 | (p == &p->end->out));
	}
}

static inline void x_put_one_link(struct x_canon *c, const struct try_link *l)
{
	x_put_link(c, &l->link);
	x_put(c, (uint64_t)l->state << 2 | (uint64_t)l->eof << 1 | l->stopped);
	x_put(c, l->out);
	x_put_link(c, l->other ? &l->other->link : NULL);
	for (const struct try_ev *e = l->head; e; e = e->next)
		x_put_ev(c, e);
	x_put(c, 14);
	for (const struct try_ev *e = l->longs; e; e = e->next)
		x_put_ev(c, e);
	if (!l->link.node)
		return;
	x_put_node(c, l->link.peer);
	x_put_link(c, l->link.via);
	x_put_node(c, l->link.introducer);
	x_put_id(c, l->link.intended);
	x_put(c, l->link.stranger);
	x_put(c, l->link.heard);
	x_put(c, l->link.held);
	x_put_places(c, &l->link.ports, offsetof(struct dv_place, at));
	x_put_places(c, &l->link.waiting, offsetof(struct dv_place, turn));
	x_put_places(c, &l->link.busy, offsetof(struct dv_place, turn));
}

static inline void x_put_list(struct x_canon *c, const struct dv_list *list)
{
	x_put(c, 15);
	for (const struct dv_list *l = list->next; l != list; l = l->next)
		x_put_id(c,
			 dv_container_of((uintptr_t)l, struct dv_end, special)
				 ->id);
}

static inline void x_put_one_node(struct x_canon *c, const struct try_node *n)
{
	const struct dv_mesh_node *node = n->node;

	x_put(c, 16 + (node != NULL));
	x_put(c, (uint64_t)n->wants << 1 | n->stuck);
	if (!node)
		return;
	for (const struct dv_list *l = node->ready.next; l != &node->ready;
	     l = l->next)
		x_put_id(c, dv_container_of((uintptr_t)l, struct dv_port, ready)
				    ->end->id);
	x_put_list(c, &node->seamed);
	x_put_list(c, &node->connecting);
	x_put(c, node->awake);
}

/* What a node would say to who comes too late. */
static inline void x_put_tombs(struct x_canon *c,
			       const struct dv_mesh_node *node)
{
	x_put(c, node->n_tombs);
	for (int i = 0; node->n_tombs && i < c->n_ids; i++)
		x_put_over(c, dv_tomb_find(node, c->ids[i]));
}

/* ---- applications ---- */

static inline void x_put_held(struct x_canon *c, const struct x_end *e)
{
	x_put(c, (uint64_t)e->where << 16 | (uint64_t)e->full << 3 |
			 (uint64_t)e->paused << 2 | (uint64_t)e->holds << 1 |
			 e->ended);
	x_put(c, (uint64_t)e->node << 8 | (uint64_t)e->peer);
	x_put(c, (uint64_t)e->carrier << 8 | (uint64_t)(e->onward + 1));
	x_put(c, (uint64_t)e->sent << 32 | e->visited);
	for (int i = e->seg; i < e->n_segs; i++) {
		x_put(c, (uint64_t)e->segs[i].src << 32 | e->segs[i].next);
		x_put(c, e->segs[i].limit);
	}
	if (e->where == X_HELD)
		x_put_id(c, e->port->end->id);
	for (const struct dv_msg *msg = e->held; msg; msg = msg->next)
		x_put_msg(c, msg);
	if (e->ended)
		x_put_over(c, &e->end);
}

static inline uint64_t x_canon(const struct x_world *w)
{
	static struct x_canon canon;
	struct x_canon *c = &canon;

	c->w = w;
	c->h = 1;
	c->n_ids = c->n_ends = 0;
	memset(c->seen, 0, sizeof(c->seen));
	x_put_id(c, (struct dv_mesh_id){ 0, 0 });
	for (int i = 0; i < X_THREADS; i++)
		x_put(c, (uint64_t)w->pc[i]);
	x_put(c, w->dead);
	for (int i = 0; i < w->n_ends; i++)
		x_put_held(c, &w->ends[i]);
	for (int i = 0; i < w->t.n_nodes; i++) {
		x_put_one_node(c, &w->t.nodes[i]);
		for (uint32_t k = 0; k < w->t.nodes[i].n_links; k++)
			for (const struct try_link *l = w->t.links; l;
			     l = l->next)
				if (l->node == i && l->nth == k)
					x_put_one_link(c, l);
	}
	for (int i = 0; i < w->t.n_nodes; i++)
		if (w->t.nodes[i].node)
			x_gather(c, w->t.nodes[i].node);
	x_put_ends(c);
	x_put_order(c);
	for (int i = 0; i < w->t.n_nodes; i++)
		if (w->t.nodes[i].node)
			x_put_tombs(c, w->t.nodes[i].node);
	return c->h ? c->h : 1;
}
