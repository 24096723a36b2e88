/* SPDX-License-Identifier: MIT */
#pragma once
/*
 * For tests only: what applications do in a scenario of the explorer, and what
 * has to be true of it, whatever the order.
 *
 * A scenario has pairs of ports and threads. A thread is a list of operations
 * (send, move, close...) that are done in its order, each at the node that has
 * the port at that time. An end of a pair is a logical one: it has a number and
 * keeps it wherever it moves. Messages say which end sent them, and are counted
 * per end, so that every end knows what must come next.
 */
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "mesh/try.h"

/* The storm has more of them. */
#ifndef X_MANY
enum { X_PAIRS = 8, X_SEGS = 6 };
#else
enum { X_PAIRS = 400, X_SEGS = 64 };
#endif
enum { X_ENDS = 2 * X_PAIRS, X_THREADS = 6, X_OPS = 8 };

enum x_kind {
	X_NONE = 0,
	X_SEND,   /* a numbered message from end a; @b bytes more */
	X_MOVE,   /* a message from end b that carries end a */
	X_MOVE2,  /* a message from end b that carries ends a and a + 1 */
	X_CLOSE,  /* end a */
	X_BRIDGE, /* ends a and b, which are at one node */
	X_KILL,   /* node a; what it has queued is lost or not */
	X_STOP,   /* no room on the link from node a to node b */
	X_GO,     /* room again */
	X_STUCK,  /* node a makes no more socket pairs */
	X_PAUSE,  /* end a */
	X_RESUME,
	X_HOLD, /* end a keeps the next messages */
	X_FREE, /* and lets them go; no more are kept */
};

struct x_op {
	enum x_kind kind;
	int a, b;
};

struct x_scenario {
	const char *name;
	int n_nodes;
	const char *links;         /* "01 02": between which nodes */
	uint8_t pairs[X_PAIRS][2]; /* nodes of both ends */
	int n_pairs;
	struct x_op threads[X_THREADS][X_OPS];
	/* 0: the defaults of TRY_INIT. */
	uint32_t port_window;
	uint64_t peer_window, long_min;
	uint32_t max_ports[TRY_NODES], max_links[TRY_NODES];
	/* A message may be refused, and not because a node died. */
	bool refusals;
	/* Any node that died may be the culprit. */
	bool loose;
	/* The introducer dies: it may look as if the one it introduced did. */
	bool blurred;
	/* 1 + the node that is killed when all is at rest: no port fails. */
	int kill_after;
	bool four; /* explore all four orders of ids; a deep run does always, */
	bool large;        /* but not of this one */
	const char *known; /* why it is not run yet */
};

enum x_where {
	X_HELD = 0, /* an application has it */
	X_TRAVEL,   /* in a message */
	X_CLOSED,
	X_GONE, /* with the node that was killed */
};

/* A part of what an end must receive: from @src, until @limit. */
struct x_seg {
	int src;
	uint32_t next, limit;
};

struct x_end {
	struct x_world *w;
	int nr, peer;
	enum x_where where;
	int node;
	struct dv_port *port;
	int carrier; /* TRAVEL: the end that it was sent from */
	int onward;  /* CLOSED by a bridge: the end it was joined to; or -1 */
	uint32_t sent;
	struct x_seg segs[X_SEGS];
	int n_segs, seg;
	bool full, paused, holds;
	bool ended;
	struct dv_port_end end;
	uint32_t visited; /* nodes, as bits: it may depend on those */
	struct dv_msg *held;
};

struct x_world {
	const struct x_scenario *sc;
	struct try t;
	struct x_end ends[X_ENDS];
	int n_ends;
	int pc[X_THREADS];
	uint32_t dead; /* nodes, as bits */
	bool loud;     /* print what happens */
	/* Called at the end of each callback; may be NULL. */
	void (*hook)(struct x_world *w, struct x_end *e);
};

/* What every message starts with. */
struct x_wire {
	uint32_t src, seq;
	int32_t atts[2]; /* ends; -1: none */
	uint32_t has_fd; /* behind these */
};

#define x_fault(w, ...) try_fault(&(w)->t, __VA_ARGS__)

/* It is at @e's node: receive with it. */
static inline void x_started(struct x_end *e);

/* ---- receiving ---- */

static inline void x_expect(struct x_end *e, const struct x_wire *m)
{
	struct x_seg *s = &e->segs[e->seg];

	while (s->src != (int)m->src && s->next == s->limit &&
	       e->seg + 1 < e->n_segs)
		s = &e->segs[++e->seg];
	if (s->src != (int)m->src || s->next != m->seq || s->next >= s->limit)
		x_fault(e->w, "end %d: got %d.%u, expected %d.%u of %u", e->nr,
			(int)m->src, m->seq, s->src, s->next, s->limit);
	s->next = m->seq + 1;
}

/* Is there nothing that should still come? */
static inline bool x_complete(const struct x_end *e)
{
	for (int i = e->seg; i < e->n_segs; i++) {
		const struct x_seg *s = &e->segs[i];

		if (s->next < dv_min(s->limit, e->w->ends[s->src].sent))
			return false;
	}
	return true;
}

static inline void x_arrived(struct x_end *by, struct dv_msg *msg, size_t i,
			     int nr)
{
	struct x_world *w = by->w;
	struct dv_port *port = dv_msg_take_port(msg, i);
	struct x_end *e;

	if (!port && nr >= 0 && w->sc->refusals)
		return; /* It stays in transit; its peer has to hear of it. */
	if (nr < 0 || nr >= w->n_ends || !port) {
		x_fault(w, "end %d: attachment %zu is %s", by->nr, i,
			port ? "not known" : "missing");
		return;
	}
	e = &w->ends[nr];
	if (e->where != X_TRAVEL)
		x_fault(w, "end %d arrived twice", nr);
	e->where = X_HELD;
	e->node = by->node;
	/* It came by wherever its carrier had moved meanwhile. */
	e->visited |= by->visited | w->ends[by->peer].visited;
	e->port = port;
	/* One that has ended arrives so, and says it again. */
	e->full = e->ended = false;
	x_started(e);
}

static inline void x_take_fd(struct x_end *e, struct dv_msg *msg, size_t i)
{
	int fd = dv_msg_take_fd(msg, i);

	if (fd < 0 || dv_fd_mode(fd) < 0)
		x_fault(e->w, "end %d: descriptor: %d", e->nr, fd);
	dv_close(fd);
}

static inline void x_message(struct dv_port *port, struct dv_msg *msg)
{
	struct x_end *e = dv_port_user(port);
	struct x_wire m;
	size_t n = 0;

	if (dv_msg_len(msg) < sizeof(m)) {
		x_fault(e->w, "end %d: a message of %zu bytes", e->nr,
			dv_msg_len(msg));
		return;
	}
	memcpy(&m, dv_msg_data(msg), sizeof(m));
	if (e->w->loud)
		printf("#     end %d at node %d gets %u.%u\n", e->nr, e->node,
		       m.src, m.seq);
	if (e->where != X_HELD || e->port != port || e->ended || e->paused)
		x_fault(e->w, "end %d: a message that it must not get", e->nr);
	x_expect(e, &m);
	for (int i = 0; i < 2; i++)
		if (m.atts[i] >= 0)
			x_arrived(e, msg, n++, m.atts[i]);
	if (m.has_fd)
		x_take_fd(e, msg, n++);
	if (dv_msg_n_atts(msg) != n)
		x_fault(e->w, "end %d: %zu attachments", e->nr,
			dv_msg_n_atts(msg));
	if (e->holds && (msg = dv_msg_keep(msg))) {
		msg->next = e->held;
		e->held = msg;
	}
	if (e->w->hook)
		e->w->hook(e->w, e);
}

/* The end that gets what end @nr sends. */
static inline const struct x_end *x_dest(const struct x_world *w, int nr)
{
	const struct x_end *e = &w->ends[w->ends[nr].peer];

	while (e->onward >= 0)
		e = &w->ends[e->onward];
	return e;
}

/* The nodes that may have something to do with @e, as bits. */
static inline uint32_t x_path(const struct x_end *e, int depth)
{
	const struct x_end *by = &e->w->ends[e->carrier];

	if (e->where != X_TRAVEL || depth == 0)
		return e->visited;
	return e->visited | x_path(by, depth - 1) |
	       x_path(x_dest(e->w, by->nr), depth - 1);
}

/* Was somebody introduced to @n by a process that died before @n heard of it?
 * That looks as if @n had died. */
static inline bool x_lost_link(const struct x_world *w, int n)
{
	for (const struct try_link *l = w->t.links; l; l = l->next)
		if (l->peer == n && l->link.via && !l->other)
			return w->dead != 0;
	return false;
}

/* May @e fail because of @culprit? */
static inline bool x_culprit(const struct x_end *e, struct dv_mesh_id culprit)
{
	struct x_world *w = e->w;
	uint32_t path = x_path(e, 4) | x_path(&w->ends[e->peer], 4);
	int n = try_index(&w->t, culprit);

	if (n < 0)
		return false;
	if (w->sc->refusals)
		return true;
	if (w->sc->loose)
		path = UINT32_MAX;
	return (path & w->dead & DV_BIT(n)) ||
	       (w->sc->blurred && x_lost_link(w, n));
}

static inline void x_ended(struct dv_port *port, const struct dv_port_end *end)
{
	struct x_end *e = dv_port_user(port);
	struct x_end *peer = &e->w->ends[e->peer];

	if (e->w->loud)
		printf("#     end %d at node %d ends: closed %d, culprit %d, "
		       "pid %d, \"%s\"\n",
		       e->nr, e->node, end->closed,
		       try_index(&e->w->t, end->culprit), end->pid,
		       end->err.msg);
	if (e->ended || e->paused || e->where != X_HELD)
		x_fault(e->w, "end %d: an end that it must not get", e->nr);
	e->ended = true;
	e->end = *end;
	if (end->closed && !x_complete(e))
		x_fault(e->w, "end %d: closed, and something is missing",
			e->nr);
	if (end->closed && peer->where == X_HELD)
		x_fault(e->w, "end %d: closed, but the peer is open", e->nr);
	if (!end->closed && !x_culprit(e, end->culprit))
		x_fault(e->w, "end %d: failed because of node %d: %s", e->nr,
			try_index(&e->w->t, end->culprit), end->err.msg);
	if (e->w->hook)
		e->w->hook(e->w, e);
}

static inline void x_writable(struct dv_port *port)
{
	struct x_end *e = dv_port_user(port);

	if (!e->full)
		x_fault(e->w, "end %d: writable, and it was not full", e->nr);
	e->full = false;
	if (e->w->hook)
		e->w->hook(e->w, e);
}

static const struct dv_port_ops x_port_ops = {
	.message = x_message,
	.ended = x_ended,
	.writable = x_writable,
};

static inline void x_started(struct x_end *e)
{
	dv_port_start(e->port, &x_port_ops, e);
	e->paused = false;
}
