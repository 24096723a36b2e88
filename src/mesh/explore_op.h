/* SPDX-License-Identifier: MIT */
#pragma once
/*
 * For tests only: the operations of a scenario of explore.h, and its beginning
 * and end.
 */
#include <stdbool.h>
#include <string.h>

#include "mesh/explore.h"

/* ---- operations ---- */

static inline void x_let_go(struct x_end *e)
{
	for (struct dv_msg *msg; (msg = e->held);) {
		e->held = msg->next;
		msg->next = NULL;
		dv_msg_free(msg);
	}
	e->holds = false;
}

static inline void x_sent(struct x_end *e, int r)
{
	if (r >= 0) {
		e->sent++;
		e->full = r == DV_FULL;
	} else if (r == -EAGAIN) {
		/* It moved within its node, and what waited is still there. */
		e->full = true;
	} else if (r != -EPIPE && !(r == -ELOOP && e->w->sc->refusals)) {
		x_fault(e->w, "end %d: send: %d", e->nr, r);
	}
}

static inline void x_do_send(struct x_end *e, int extra)
{
	struct x_wire m = { (uint32_t)e->nr, e->sent, { -1, -1 }, false };
	struct dv_msg *msg;

	if (extra == 0) {
		x_sent(e, dv_port_send_bytes(e->port, &m, sizeof(m), NULL));
		return;
	}
	msg = dv_msg_new(sizeof(m) + (size_t)extra);
	dv_assert(msg);
	memset(dv_msg_data(msg), 0, dv_msg_len(msg));
	memcpy(dv_msg_data(msg), &m, sizeof(m));
	x_sent(e, dv_port_send(e->port, msg, NULL));
}

/* A duplicate of @fd goes along. */
static inline void x_do_send_fd(struct x_end *e, int fd)
{
	struct x_wire m = { (uint32_t)e->nr, e->sent, { -1, -1 }, true };
	struct dv_msg *msg = dv_msg_new(sizeof(m));

	dv_assert(msg);
	memcpy(dv_msg_data(msg), &m, sizeof(m));
	dv_assert(dv_msg_add_fd(msg, dv_fd_dup(fd, 0)) == 0);
	x_sent(e, dv_port_send(e->port, msg, NULL));
}

static inline void x_attach(struct x_end *by, struct dv_msg *msg,
			    struct x_end *e)
{
	x_let_go(e);
	e->where = X_TRAVEL;
	e->carrier = by->nr;
	/* Wherever the carrier goes and comes from. */
	e->visited |= by->visited | by->w->ends[by->peer].visited;
	dv_assert(dv_msg_add_port(msg, e->port) >= 0);
	e->port = NULL;
}

static inline void x_do_move(struct x_end *by, struct x_end *a, struct x_end *b)
{
	struct x_wire m = {
		(uint32_t)by->nr, by->sent, { a->nr, b ? b->nr : -1 }, false
	};
	struct dv_msg *msg = dv_msg_new(sizeof(m));

	dv_assert(msg);
	memcpy(dv_msg_data(msg), &m, sizeof(m));
	x_attach(by, msg, a);
	if (b)
		x_attach(by, msg, b);
	x_sent(by, dv_port_send(by->port, msg, NULL));
}

static inline void x_do_close(struct x_end *e)
{
	x_let_go(e);
	e->where = X_CLOSED;
	e->port = dv_port_close(e->port, NULL);
}

/* @to gets what @from sent, and then what @over has not received. */
static inline void x_splice(struct x_end *to, const struct x_end *from,
			    const struct x_end *over)
{
	for (int i = to->seg; i < to->n_segs; i++)
		if (to->segs[i].src == from->nr)
			to->segs[i].limit =
				dv_min(to->segs[i].limit, from->sent);
	for (int i = over->seg; i < over->n_segs; i++) {
		dv_assert(to->n_segs < X_SEGS);
		to->segs[to->n_segs++] = over->segs[i];
	}
}

static inline void x_do_bridge(struct x_end *a, struct x_end *b)
{
	struct x_end *pa = &a->w->ends[a->peer], *pb = &a->w->ends[b->peer];
	uint32_t all = a->visited | b->visited | pa->visited | pb->visited;
	struct dv_port *port_a = a->port, *port_b = b->port;
	int r;

	x_let_go(a);
	x_let_go(b);
	if (pa != b) { /* else it closes a ring, which nobody holds */
		x_splice(pa, a, b);
		x_splice(pb, b, a);
		pa->peer = a->onward = pb->nr;
		pb->peer = b->onward = pa->nr;
		pa->visited |= all;
		pb->visited |= all;
	}
	a->where = b->where = X_CLOSED;
	a->port = b->port = NULL;
	r = dv_port_bridge(port_a, port_b, NULL);
	if (r < 0 && !(r == -ELOOP && pa == b))
		x_fault(a->w, "bridge: %d", r);
}

static inline void x_do_kill(struct x_world *w, int n, uint32_t lost)
{
	for (int i = 0; i < w->n_ends; i++) {
		struct x_end *e = &w->ends[i];

		if (e->where != X_HELD || e->node != n)
			continue;
		x_let_go(e);
		e->where = X_GONE;
		e->port = NULL;
	}
	w->dead |= DV_BIT(n);
	try_kill(&w->t, n, lost);
}

static inline bool x_held(const struct x_world *w, int nr)
{
	return w->ends[nr].where == X_HELD;
}

static inline bool x_over(const struct x_world *w, int nr)
{
	return w->ends[nr].where >= X_CLOSED;
}

static inline bool x_may_send(const struct x_end *e)
{
	return !e->full || e->ended;
}

static inline const struct x_end *x_op_b(const struct x_world *w,
					 const struct x_op *op)
{
	bool two = op->kind == X_MOVE || op->kind == X_MOVE2 ||
		   op->kind == X_BRIDGE;

	return two ? &w->ends[op->b] : NULL;
}

/* Where @op can be done now; -1: not now. */
static inline int x_op_node(const struct x_world *w, const struct x_op *op)
{
	const struct x_end *a = &w->ends[op->a], *b = x_op_b(w, op);

	switch (op->kind) {
	case X_SEND:
		return x_held(w, op->a) && x_may_send(a) ? a->node : -1;
	case X_CLOSE:
	case X_PAUSE:
	case X_RESUME:
	case X_HOLD:
	case X_FREE:
		return x_held(w, op->a) ? a->node : -1;
	case X_MOVE2:
		if (!x_held(w, op->a + 1) || a[1].node != a->node)
			return -1;
		/* fall through */
	case X_MOVE:
		return x_held(w, op->a) && x_held(w, op->b) &&
				       a->node == b->node && x_may_send(b)
			       ? a->node
			       : -1;
	case X_BRIDGE:
		return x_held(w, op->a) && x_held(w, op->b) &&
				       a->node == b->node
			       ? a->node
			       : -1;
	case X_KILL:
	case X_STUCK:
		return w->t.nodes[op->a].node ? op->a : -1;
	case X_STOP:
	case X_GO:
		return try_link(&w->t, op->a, op->b) ? op->a : -1;
	case X_NONE:
	default:
		return -1;
	}
}

/* Can @op never be done again? Then its thread goes on without it. */
static inline bool x_op_void(const struct x_world *w, const struct x_op *op)
{
	switch (op->kind) {
	case X_SEND:
	case X_CLOSE:
	case X_PAUSE:
	case X_RESUME:
	case X_HOLD:
	case X_FREE:
		return x_over(w, op->a);
	case X_MOVE:
	case X_MOVE2:
	case X_BRIDGE:
		return x_over(w, op->a) || x_over(w, op->b);
	case X_KILL:
	case X_STUCK:
		return !w->t.nodes[op->a].node;
	case X_STOP:
	case X_GO:
		return !try_link(&w->t, op->a, op->b);
	case X_NONE:
	default:
		return false;
	}
}

/* @lost: for X_KILL, see try_kill(). */
static inline void x_op_do(struct x_world *w, const struct x_op *op,
			   uint32_t lost)
{
	struct x_end *a = &w->ends[op->a];

	switch (op->kind) {
	case X_SEND:
		x_do_send(a, op->b);
		break;
	case X_MOVE:
		x_do_move(&w->ends[op->b], a, NULL);
		break;
	case X_MOVE2:
		x_do_move(&w->ends[op->b], a, a + 1);
		break;
	case X_CLOSE:
		x_do_close(a);
		break;
	case X_BRIDGE:
		x_do_bridge(a, &w->ends[op->b]);
		break;
	case X_KILL:
		x_do_kill(w, op->a, lost);
		break;
	case X_STOP:
	case X_GO:
		try_stop(try_link(&w->t, op->a, op->b), op->kind == X_STOP);
		break;
	case X_STUCK:
		w->t.nodes[op->a].stuck = true;
		break;
	case X_PAUSE:
	case X_RESUME:
		a->paused = op->kind == X_PAUSE;
		dv_port_pause(a->port, a->paused);
		break;
	case X_HOLD:
		a->holds = true;
		break;
	case X_FREE:
		x_let_go(a);
		break;
	case X_NONE:
	default:
		dv_assert(0);
	}
}

/* ---- life ---- */

static inline void x_end_init(struct x_world *w, int nr, int node,
			      struct dv_port *port)
{
	struct x_end *e = &w->ends[nr];

	*e = (struct x_end){
		.w = w,
		.nr = nr,
		.peer = nr ^ 1,
		.node = node,
		.port = port,
		.onward = -1,
		.n_segs = 1,
	};
	e->segs[0] = (struct x_seg){ nr ^ 1, 0, UINT32_MAX };
	e->visited = DV_BIT(e->node);
	x_started(e);
}

/* @order: which ids are greater, 0 to 3. */
static inline void x_new(struct x_world *w, const struct x_scenario *sc,
			 unsigned int order)
{
	bool loud = w->loud;

	memset(w, 0, sizeof(*w));
	w->sc = sc;
	w->loud = loud;
	w->t = (struct try)TRY_INIT;
	w->t.nodes_down = order & 1;
	w->t.ids_down = order & 2;
	w->t.borrow = order & 1;
	w->t.orphans = order & 2;
	w->t.peer_window = sc->peer_window;
	w->t.long_min = sc->long_min;
	if (sc->port_window)
		w->t.limits.port_window = sc->port_window;
	memcpy(w->t.max_ports, sc->max_ports, sizeof(sc->max_ports));
	memcpy(w->t.max_links, sc->max_links, sizeof(sc->max_links));
	try_new(&w->t, sc->n_nodes);
	for (const char *l = sc->links; *l; l += l[2] ? 3 : 2)
		try_connect(&w->t, l[0] - '0', l[1] - '0');
	for (int i = 0; i < sc->n_pairs; i++) {
		struct dv_port *pair[2];

		try_pair(&w->t, sc->pairs[i][0], sc->pairs[i][1], pair);
		x_end_init(w, 2 * i, sc->pairs[i][0], pair[0]);
		x_end_init(w, 2 * i + 1, sc->pairs[i][1], pair[1]);
		w->n_ends += 2;
	}
	try_settle(&w->t);
}

static inline void x_free(struct x_world *w)
{
	for (int i = 0; i < w->n_ends; i++)
		x_let_go(&w->ends[i]);
	try_free(&w->t);
}
