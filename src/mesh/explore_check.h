/* SPDX-License-Identifier: MIT */
#pragma once
/*
 * For tests only: what has to be true when a scenario of explore.h is at rest.
 */
#include <stdbool.h>
#include <string.h>

#include "mesh/explore_op.h"
#include "mesh/explore_tell.h"

/* ---- what has to be true at rest ---- */

static inline void x_check_pair(struct x_world *w, struct x_end *e)
{
	struct x_end *peer = &w->ends[e->peer];

	if (e->where != X_HELD)
		return;
	if (e->full && !e->ended)
		x_fault(w, "end %d: never writable again", e->nr);
	if (peer->where == X_HELD) {
		if (e->ended != peer->ended)
			x_fault(w, "end %d ended, its peer %d did not",
				e->ended ? e->nr : peer->nr,
				e->ended ? peer->nr : e->nr);
		if (!e->ended && !x_complete(e))
			x_fault(w, "end %d: %d.%u never arrived", e->nr,
				e->segs[e->seg].src, e->segs[e->seg].next);
	} else if (!e->ended) {
		x_fault(w, "end %d: its peer is gone, nobody said so", e->nr);
	} else if (!e->end.closed && !w->dead && !w->sc->refusals) {
		x_fault(w, "end %d: failed", e->nr);
	} else if (e->end.closed && peer->where == X_GONE) {
		x_fault(w, "end %d: its peer's node died, but it closed",
			e->nr);
	}
}

struct x_look {
	struct x_world *w;
	int node;
};

static inline struct x_end *x_by_id(struct x_world *w, struct dv_mesh_id id)
{
	for (int i = 0; i < w->n_ends; i++) {
		struct dv_mesh_id own;

		if (w->ends[i].where != X_HELD)
			continue;
		own = dv_port_id(w->ends[i].port);
		if (own.hi == id.hi && own.lo == id.lo)
			return &w->ends[i];
	}
	return NULL;
}

/* Every port that is left belongs to somebody and talks to its peer directly.
 */
static inline void x_check_view(void *arg, const struct dv_port_view *view)
{
	struct x_look *look = arg;
	struct x_world *w = look->w;
	struct x_end *e = x_by_id(w, view->id), *peer;

	if (!e) {
		x_fault(w, "node %d: port %llx.%llx is left: %s", look->node,
			(unsigned long long)view->id.hi,
			(unsigned long long)view->id.lo, view->state);
		return;
	}
	if (e->node != look->node)
		x_fault(w, "end %d is at node %d, too", e->nr, look->node);
	if (e->ended)
		return;
	peer = &w->ends[e->peer];
	if (strcmp(view->state, "open") != 0)
		x_fault(w, "end %d is %s at rest", e->nr, view->state);
	if (peer->where != X_HELD)
		return;
	if (x_by_id(w, view->peer) != peer ||
	    try_index(&w->t, view->peer_node) != peer->node)
		x_fault(w, "end %d: its peer is somewhere else", e->nr);
	if (view->queued_in || view->queued_out)
		x_fault(w, "end %d: something waits for ever", e->nr);
}

static inline void x_check_node(struct x_world *w, int n)
{
	struct dv_mesh_node *node = w->t.nodes[n].node;
	struct x_look look = { w, n };

	if (!node)
		return;
	dv_node_each_port(node, x_check_view, &look);
	if (dv_node_unfinished(node))
		x_fault(w, "node %d: %u ports are unfinished", n,
			dv_node_unfinished(node));
	if (dv_node_counts(node)->n_proxies)
		x_fault(w, "node %d: %u proxies", n,
			dv_node_counts(node)->n_proxies);
}

static inline void x_check_links(struct x_world *w)
{
	for (const struct try_link *l = w->t.links; l; l = l->next) {
		if (w->t.peer_window && l->state == TRY_UP && l->out)
			x_fault(w, "link %d-%d: %llu bytes never used up",
				l->node, l->peer, (unsigned long long)l->out);
		if (l->link.held)
			x_fault(w, "link %d-%d: %llu bytes are held", l->node,
				l->peer, (unsigned long long)l->link.held);
	}
	if (w->t.n_cuts)
		x_fault(w, "%u links were cut", w->t.n_cuts);
}

/* The end of an execution: everything is at rest. */
static inline void x_check_rest(struct x_world *w)
{
	bool ended[X_ENDS];

	for (int i = 0; i < w->n_ends; i++) {
		x_let_go(&w->ends[i]);
		if (x_held(w, i) && w->ends[i].paused) {
			dv_port_pause(w->ends[i].port, false);
			w->ends[i].paused = false;
		}
	}
	x_settle(w);
	for (int i = 0; i < w->n_ends; i++)
		x_check_pair(w, &w->ends[i]);
	for (int i = 0; i < w->sc->n_nodes; i++)
		x_check_node(w, i);
	x_check_links(w);
	if (!w->sc->kill_after)
		return;
	for (int i = 0; i < w->n_ends; i++)
		ended[i] = w->ends[i].ended;
	x_do_kill(w, w->sc->kill_after - 1, 0);
	x_settle(w);
	for (int i = 0; i < w->n_ends; i++)
		if (x_held(w, i) && x_held(w, w->ends[i].peer) &&
		    w->ends[i].ended != ended[i])
			x_fault(w, "end %d ended with a node of the past", i);
}

/* All ports are closed: nothing is left. */
static inline void x_check_closed(struct x_world *w)
{
	for (int i = 0; i < w->n_ends; i++)
		if (x_held(w, i))
			x_do_close(&w->ends[i]);
	x_settle(w);
	for (int i = 0; i < w->sc->n_nodes; i++) {
		const struct dv_mesh_node *node = w->t.nodes[i].node;

		if (node && dv_node_counts(node)->n_ports)
			x_fault(w, "node %d: %u ports are left when closed", i,
				dv_node_counts(node)->n_ports);
	}
}
