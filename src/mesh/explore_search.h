/* SPDX-License-Identifier: MIT */
#pragma once
/*
 * For tests only: the search through all orders of a scenario.
 *
 * Depth first over choices. The nodes cannot be copied, so to go back the run
 * is repeated from its start with the choices of the way there. What was seen
 * before is not looked at again, and that is known by two hashes.
 *
 * The history: what a node is, is decided by what happened at it, in its order,
 * and by nothing else; what is in a queue is decided by its two nodes. So two
 * runs in which the same things happened at each node have come to the same
 * state, however these things were mixed. Its hash is known before a step is
 * done: a step to a known one is not even tried. Nothing of the inside of a
 * node goes into it, so nothing can be forgotten.
 *
 * The state (explore_state.h): different histories come to the same state, too.
 */
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "mesh/explore_check.h"
#include "mesh/explore_memory.h"
#include "mesh/explore_state.h"
#include "mesh/explore_tell.h"

enum { X_DEPTH = 512, X_WIDTH = 64 };

/* One step that could be next. */
struct x_step {
	bool is_op;
	struct try_act act;
	int thread;
	uint32_t lost; /* X_KILL */
	int node;
	uint64_t id; /* what it is to its node */
};

struct x_choice {
	uint16_t n;             /* how many steps led on from here */
	uint16_t at;            /* which one was taken */
	uint8_t which[X_WIDTH]; /* of all that were possible */
};

/* A set of hashes; 0 = free. */
struct x_set {
	uint64_t *slots;
	size_t n, cap;
};

struct x_search {
	struct x_world w;
	unsigned int order;
	bool exact; /* histories only */
	uint64_t hist[TRY_NODES];
	struct x_choice path[X_DEPTH];
	int depth;
	struct x_set histories, states;
	uint64_t max_histories;
	/* What is reported. */
	uint64_t n_runs, n_leaves, n_steps;
	int max_depth;
	bool cut_off; /* not everything was seen */
};

/* ---- hashes ---- */

static inline void x_set_grow(struct x_set *set)
{
	struct x_set old = *set;

	set->cap = old.cap ? 2 * old.cap : 1 << 12;
	set->slots = calloc(set->cap, sizeof(*set->slots));
	dv_assert(set->slots);
	for (size_t i = 0; i < old.cap; i++) {
		size_t at = old.slots[i] & (set->cap - 1);

		if (!old.slots[i])
			continue;
		while (set->slots[at])
			at = (at + 1) & (set->cap - 1);
		set->slots[at] = old.slots[i];
	}
	free(old.slots);
}

static inline void x_set_empty(struct x_set *set)
{
	set->n = 0;
	if (set->cap)
		memset(set->slots, 0, set->cap * sizeof(*set->slots));
	else
		x_set_grow(set);
}

/* True: @h was not in it until now. */
static inline bool x_learn(struct x_set *set, uint64_t h)
{
	size_t at;

	if (2 * set->n >= set->cap)
		x_set_grow(set);
	for (at = h & (set->cap - 1); set->slots[at];
	     at = (at + 1) & (set->cap - 1))
		if (set->slots[at] == h)
			return false;
	set->slots[at] = h;
	set->n++;
	return true;
}

/* The history that @step leads to. */
static inline uint64_t x_history_after(const struct x_search *s,
				       const struct x_step *step)
{
	uint64_t h = 1;

	for (int i = 0; i < s->w.t.n_nodes; i++)
		h = x_mix(h, i == step->node ? x_mix(s->hist[i], step->id)
					     : s->hist[i]);
	return h ? h : 1;
}

/* ---- steps ---- */

static inline const struct x_op *x_op(const struct x_world *w, int thread)
{
	if (w->pc[thread] == X_OPS)
		return NULL;
	return w->sc->threads[thread][w->pc[thread]].kind
		       ? &w->sc->threads[thread][w->pc[thread]]
		       : NULL;
}

/* What no application can do any more is passed over. */
static inline const struct x_op *x_op_next(struct x_world *w, int thread)
{
	const struct x_op *op;

	while ((op = x_op(w, thread)) && x_op_void(w, op))
		w->pc[thread]++;
	return op;
}

/* The next way to lose something of each queue of @node, after @lost; 0: that
 * was the last. */
static inline uint32_t x_next_lost(const struct x_search *s, int node,
				   uint32_t lost)
{
	for (const struct try_link *l = s->w.t.links; l; l = l->next) {
		uint32_t shift = l->nth % 8 * 4, n = 0;

		if (l->node != node)
			continue;
		for (const struct try_ev *e = l->head; e && n < 14; e = e->next)
			n++;
		if ((lost >> shift & 15) < n)
			return lost + (UINT32_C(1) << shift);
		lost &= ~(UINT32_C(15) << shift);
	}
	return 0;
}

/*
 * A process that dies may have got rid of what it had queued or not, and that
 * for each link and each event: all these are steps of their own.
 */
static inline int x_list_kill(struct x_search *s, int thread, int node,
			      struct x_step *steps, int n)
{
	uint32_t lost = 0;

	do {
		if (n < X_WIDTH)
			steps[n++] = (struct x_step){
				.is_op = true,
				.thread = thread,
				.lost = lost,
				.node = node,
				.id = (uint64_t)1 << 48 | lost,
			};
		lost = x_next_lost(s, node, lost);
	} while (lost);
	return n;
}

static inline int x_list(struct x_search *s, struct x_step steps[X_WIDTH])
{
	struct x_world *w = &s->w;
	struct try_act acts[X_WIDTH];
	int n_acts = try_list(&w->t, acts, X_WIDTH), n = 0;

	for (int i = 0; i < X_THREADS; i++) {
		const struct x_op *op = x_op_next(w, i);
		int node = op ? x_op_node(w, op) : -1;

		if (node < 0)
			continue;
		if (op->kind == X_KILL) {
			n = x_list_kill(s, i, node, steps, n);
			continue;
		}
		steps[n++] = (struct x_step){
			.is_op = true,
			.thread = i,
			.node = node,
			.id = (uint64_t)(1000 + i * X_OPS + w->pc[i]),
		};
	}
	for (int i = 0; i < n_acts && n < X_WIDTH; i++) {
		const struct try_act *a = &acts[i];
		const struct try_link *l = a->link;
		/* To its node a link is the nth of its own. */
		uint32_t nth =
			l ? (a->kind == TRY_DELIVER ? l->other : l)->nth : 0;

		steps[n++] = (struct x_step){
			.act = *a,
			.node = a->node,
			.id = (uint64_t)a->kind << 32 | nth << 16 | a->nth,
		};
	}
	if (n == X_WIDTH)
		x_fault(w, "too many steps to choose from");
	return n;
}

static inline void x_do(struct x_search *s, const struct x_step *step)
{
	const struct x_op *op;

	if (s->w.loud && step->is_op)
		x_tell_op(step->node, x_op(&s->w, step->thread), step->lost);
	else if (s->w.loud)
		x_tell_act(&s->w, &step->act);
	s->hist[step->node] = x_mix(s->hist[step->node], step->id);
	s->n_steps++;
	if (!step->is_op) {
		try_do(&s->w.t, &step->act);
		return;
	}
	op = x_op(&s->w, step->thread);
	s->w.pc[step->thread]++;
	x_op_do(&s->w, op, step->lost);
}

/* ---- one run ---- */

static struct x_search *x_now; /* for x_crashed() */

static inline void x_print_path(const struct x_search *s)
{
	printf("# %s: EXPLORE=%s/%u/", s->w.sc->name, s->w.sc->name, s->order);
	for (int i = 0; i < s->depth; i++)
		printf("%s%u", i ? "." : "", s->path[i].which[s->path[i].at]);
	printf("\n");
	fflush(stdout);
}

/* An assertion of the node, or worse: say how to get there again. */
static void x_crashed(int signo)
{
	if (x_now)
		x_print_path(x_now);
	signal(signo, SIG_DFL);
	raise(signo);
}

static inline void x_begin(struct x_search *s, const struct x_scenario *sc)
{
	memset(s->hist, 0, sizeof(s->hist));
	x_new(&s->w, sc, s->order);
	s->n_runs++;
}

/* Back to the start, and the way of s->path again. */
static inline void x_again(struct x_search *s, const struct x_scenario *sc)
{
	struct x_step steps[X_WIDTH];

	x_begin(s, sc);
	for (int i = 0; i < s->depth; i++) {
		const struct x_choice *c = &s->path[i];
		int n = x_list(s, steps);

		dv_assert(c->which[c->at] < n);
		x_do(s, &steps[c->which[c->at]]);
	}
}

/* Is the state at hand one that was not seen yet? */
static inline bool x_new_state(struct x_search *s)
{
	return s->exact || s->w.t.fault[0] ||
	       x_learn(&s->states, x_canon(&s->w));
}

/*
 * Take the first step on that leads to a history not known, and note the
 * others. False: there is none. *restp: there was nothing to do at all.
 */
static inline bool x_deeper(struct x_search *s, bool *restp)
{
	struct x_step steps[X_WIDTH];
	struct x_choice *c = &s->path[s->depth];
	int n = x_list(s, steps);

	*restp = n == 0;
	c->n = c->at = 0;
	for (int i = 0; i < n; i++)
		if (x_learn(&s->histories, x_history_after(s, &steps[i])))
			c->which[c->n++] = (uint8_t)i;
	if (c->n == 0)
		return false;
	if (s->depth + 1 == X_DEPTH) {
		x_fault(&s->w, "it never comes to rest");
		return false;
	}
	s->depth++;
	s->max_depth = dv_max(s->max_depth, s->depth);
	x_do(s, &steps[c->which[0]]);
	return true;
}

/* To the next branch that was not taken. False: none is left. */
static inline bool x_back(struct x_search *s)
{
	while (s->depth > 0) {
		struct x_choice *c = &s->path[s->depth - 1];

		if (c->at + 1 < c->n) {
			c->at++;
			return true;
		}
		s->depth--;
	}
	return false;
}

/* To the end of the run at hand, or to something known. */
static inline void x_finish(struct x_search *s)
{
	bool rest = false;

	while (x_new_state(s) && !s->w.t.fault[0])
		if (!x_deeper(s, &rest))
			break;
	if (s->w.t.fault[0] || !rest)
		return;
	s->n_leaves++;
	x_check_rest(&s->w);
	if (!s->w.t.fault[0])
		x_check_closed(&s->w);
}

/* What the search itself takes may grow inside a run. */
static inline size_t x_own_memory(const struct x_search *s)
{
#if defined(__SANITIZE_ADDRESS__)
	return (s->histories.cap + s->states.cap) * sizeof(uint64_t);
#else
	(void)s;
	return 0;
#endif
}

/* False: something was wrong, and was printed. */
static inline bool x_over_and_out(struct x_search *s, size_t memory)
{
	x_free(&s->w);
	if (!s->w.t.fault[0] && x_memory() - x_own_memory(s) != memory)
		x_fault(&s->w, "memory: %zd more than before",
			(ssize_t)(x_memory() - x_own_memory(s) - memory));
	if (!s->w.t.fault[0])
		return true;
	printf("# %s: %s\n", s->w.sc->name, s->w.t.fault);
	x_print_path(s);
	return false;
}

/* All orders of @sc. False: one of them is wrong; it was printed. */
static inline bool x_search(struct x_search *s, const struct x_scenario *sc)
{
	bool good = true;

	s->depth = 0;
	x_set_empty(&s->histories);
	x_set_empty(&s->states);
	do {
		size_t memory = x_memory() - x_own_memory(s);

		x_again(s, sc);
		x_finish(s);
		good = x_over_and_out(s, memory);
		s->cut_off |= s->histories.n > s->max_histories;
	} while (good && !s->cut_off && x_back(s));
	return good;
}

/* ---- is explore_state.h right? ---- */

/* True unless @key was seen with another @value. */
static inline bool x_agrees(struct x_set *keys, struct x_set *both,
			    uint64_t key, uint64_t value)
{
	bool new_both = x_learn(both, x_mix(key, value));

	return x_learn(keys, key) || !new_both;
}

/*
 * One run at random. Two states with one hash must have the same steps, and
 * each must lead to one hash again; else the hash has forgotten something.
 */
static inline bool x_walk(struct x_search *s, const struct x_scenario *sc,
			  uint64_t *rng)
{
	struct x_step steps[X_WIDTH];
	struct x_set *keys = &s->states, *both = &s->histories;
	bool good = true;

	s->depth = 0;
	x_begin(s, sc);
	for (int n; good && s->depth < X_DEPTH && !s->w.t.fault[0];) {
		uint64_t h = x_canon(&s->w), all = 1, id;
		struct x_choice *c = &s->path[s->depth];

		n = x_list(s, steps);
		for (int i = 0; i < n; i++)
			all += x_mix(steps[i].id, (uint64_t)steps[i].node);
		good = x_agrees(keys, both, h, all);
		if (n == 0)
			break;
		*rng = x_mix(*rng, 1);
		*c = (struct x_choice){ .n = 1 };
		c->which[0] = (uint8_t)(*rng % (uint64_t)n);
		id = x_mix(h, steps[c->which[0]].id * TRY_NODES +
				      (uint64_t)steps[c->which[0]].node);
		s->depth++;
		x_do(s, &steps[c->which[0]]);
		good &= x_agrees(keys, both, id, x_canon(&s->w));
	}
	x_free(&s->w);
	return good;
}

/* @n runs. False: the hash is wrong; where that was seen, was printed. */
static inline bool x_walks(struct x_search *s, const struct x_scenario *sc,
			   uint64_t n)
{
	uint64_t rng = 1;
	bool good = true;

	x_set_empty(&s->histories);
	x_set_empty(&s->states);
	for (uint64_t i = 0; good && i < n; i++)
		good = x_walk(s, sc, &rng);
	if (!good)
		x_print_path(s);
	return good;
}

static inline void x_watch(struct x_search *s)
{
	static const int signals[] = { SIGABRT, SIGSEGV, SIGBUS, SIGALRM };

	x_now = s;
	for (size_t i = 0; i < DV_ARRAY_LEN(signals); i++)
		if (signals[i] != SIGALRM || s)
			signal(signals[i], s ? x_crashed : SIG_DFL);
}
