/* SPDX-License-Identifier: MIT */
#pragma once
/*
 * For tests only: a run, told step by step.
 */
#include <stdio.h>

#include "mesh/explore.h"

static inline void x_tell_op(int node, const struct x_op *op, uint32_t lost)
{
	static const char *const names[] = {
		"-",    "send", "move",  "move2", "close",  "bridge", "kill",
		"stop", "go",   "stuck", "pause", "resume", "hold",   "free",
	};

	printf("#   at node %d: %s %d %d", node, names[op->kind], op->a, op->b);
	if (op->kind == X_KILL)
		printf(" lost %x", lost);
	printf("\n");
}

static inline void x_tell_id(const char *what, struct dv_mesh_id id)
{
	if (id.hi | id.lo)
		printf(" %s %llx.%llx", what, (unsigned long long)id.hi,
		       (unsigned long long)id.lo);
}

static inline void x_tell_event(const struct x_world *w, const struct try_ev *e)
{
	static const char *const names[] = {
		[DV_EV_MESSAGE] = "message",
		[DV_EV_CLOSE] = "close",
		[DV_EV_NEW_PEER] = "new-peer",
		[DV_EV_BRIDGE] = "bridge",
		[DV_EV_END] = "end",
		[DV_EV_TOTALS] = "totals",
		[DV_EV_MOVED] = "moved",
		[DV_EV_REFUSED] = "refused",
		[DV_EV_CREDIT] = "credit",
		[DV_EV_ACCEPT] = "accept",
		[DV_EV_ACCEPTED] = "accepted",
		[DV_EV_CONNECT] = "connect",
		[DV_EV_FAIL] = "fail",
		[DV_EV_LOOP] = "loop",
		[DV_EV_INTRODUCE] = "introduce",
	};
	const struct dv_mesh_event *ev = &e->ev;

	if (e->is_credit) {
		printf(" used up %llu", (unsigned long long)e->cost);
		return;
	}
	printf(" %s", names[ev->kind]);
	x_tell_id("to", ev->dst);
	x_tell_id("id", ev->id);
	if (ev->node.hi)
		printf(" node %d", try_index(&w->t, ev->node));
	if (e->err)
		printf(" \"%s\"", e->err->msg);
	if (e->has_msg && e->len >= sizeof(struct x_wire)) {
		struct x_wire m;

		memcpy(&m, e->data, sizeof(m));
		printf(" %u.%u", m.src, m.seq);
	}
	for (uint16_t i = 0; i < e->n_atts; i++)
		if (e->atts[i].kind == DV_ATT_DESC) {
			x_tell_id("[from", e->atts[i].desc.from);
			x_tell_id("to", e->atts[i].desc.id);
			printf("]");
		}
}

/* Before it is done. */
static inline void x_tell_act(const struct x_world *w,
			      const struct try_act *act)
{
	static const char *const names[] = { "-",   "run",  "deliver",
					     "eof", "long", "cut" };
	const struct try_link *l = act->link;

	printf("#   at node %d: %s", act->node, names[act->kind]);
	if (l)
		printf(" %d-%d.%u", l->node, l->peer, l->nth);
	if (l && act->kind == TRY_DELIVER)
		x_tell_event(w, l->head);
	printf("\n");
}

/* try_settle(), told. */
static inline void x_settle(struct x_world *w)
{
	struct try_act act;

	while (w->loud && try_list(&w->t, &act, 1) > 0) {
		x_tell_act(w, &act);
		try_do(&w->t, &act);
	}
	try_settle(&w->t);
}
