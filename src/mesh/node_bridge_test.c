/* SPDX-License-Identifier: MIT */
/*
 * Two pairs become one. Orders of events: node_explore_test.c.
 */
#include "mesh/node_try.h"

/* a-b and c-d; b and c are bridged at node 0. */
struct world {
	struct try t;
	struct rec a, d;
	struct dv_port *b, *c;
};

static void world_up(struct world *w, int at_a, int at_d)
{
	struct dv_port *pair[2];

	*w = (struct world){ .t = TRY_INIT };
	try_new(&w->t, 3);
	try_connect(&w->t, 0, 1);
	try_connect(&w->t, 0, 2);
	try_pair(&w->t, 0, at_a, pair);
	w->b = pair[0];
	rec_start(&w->a, pair[1]);
	try_pair(&w->t, 0, at_d, pair);
	w->c = pair[0];
	rec_start(&w->d, pair[1]);
}

static void world_down(struct world *w)
{
	rec_close(&w->a);
	rec_close(&w->d);
	rec_done(&w->t);
}

static uint32_t ports_at_0(const struct world *w)
{
	return dv_node_counts(w->t.nodes[0].node)->n_ports;
}

TEST(bridge_keeps_all_that_was_waiting_in_order)
{
	static const int places[][2] = {
		{ 0, 0 }, { 0, 1 }, { 1, 0 }, { 1, 1 }, { 1, 2 }
	};

	for (size_t i = 0; i < DV_ARRAY_LEN(places); i++) {
		struct world w;

		world_up(&w, places[i][0], places[i][1]);
		/* Unread at both, waiting in both, unread in b and c. */
		dv_port_pause(w.d.port, true);
		rec_say(w.c, "12");
		rec_say(w.a.port, "ab");
		rec_say(w.d.port, "xy");
		try_settle(&w.t);
		rec_say(w.a.port, "cd");
		rec_say(w.d.port, "z");
		CHECK_EQ(dv_port_bridge(w.b, w.c, NULL), 0);
		rec_say(w.a.port, "ef");
		try_settle(&w.t);
		rec_say(w.a.port, "gh");
		dv_port_pause(w.d.port, false);
		try_settle(&w.t);
		CHECK_STR(w.d.got, "12abcdefgh");
		CHECK_STR(w.a.got, "xyz");
		CHECK_EQ(ports_at_0(&w),
			 (places[i][0] == 0) + (places[i][1] == 0));
		rec_close(&w.a);
		try_settle(&w.t);
		CHECK_EQ(w.d.n_ended, 1);
		CHECK(w.d.end.closed);
		world_down(&w);
	}
}

TEST(bridge_keeps_the_windows)
{
	struct world w;

	for (int n = 0; n < 2; n++) {
		world_up(&w, 1, 2);
		w.t.limits.port_window = 300;
		dv_port_pause(w.d.port, true);
		for (int i = 0; i < 6; i++)
			CHECK(rec_say(w.c, "1") >= 0);
		for (int i = 0; i < 6; i++)
			CHECK(rec_say(w.a.port, "a") >= 0);
		try_settle(&w.t);
		CHECK_EQ(dv_port_bridge(n ? w.b : w.c, n ? w.c : w.b, NULL), 0);
		try_settle(&w.t);
		CHECK_EQ(w.d.n, 0);
		dv_port_pause(w.d.port, false);
		try_settle(&w.t);
		CHECK_STR(w.d.got, "111111aaaaaa");
		for (int i = 0; i < 50; i++) {
			CHECK(rec_say(w.a.port, "b") >= 0);
			CHECK(rec_say(w.d.port, "c") >= 0);
			try_settle(&w.t);
		}
		CHECK_EQ(w.d.n, 62);
		CHECK_EQ(w.a.n, 50);
		world_down(&w);
	}
}

TEST(bridge_with_a_port_that_has_ended_passes_the_end_on)
{
	for (int which = 0; which < 4; which++) {
		struct world w;
		bool first = which & 1, bridged = which & 2;
		struct rec *gone, *left;

		world_up(&w, 1, 2);
		gone = first ? &w.a : &w.d;
		left = first ? &w.d : &w.a;
		rec_say(gone->port, "last");
		if (bridged)
			CHECK_EQ(dv_port_bridge(w.b, w.c, NULL), 0);
		rec_close(gone);
		if (!bridged) {
			try_settle(&w.t);
			CHECK_EQ(dv_port_bridge(w.b, w.c, NULL), 0);
		}
		try_settle(&w.t);
		CHECK_STR(left->got, "last");
		CHECK_EQ(left->n_ended, 1);
		CHECK(left->end.closed);
		CHECK_EQ(ports_at_0(&w), 0);
		world_down(&w);
	}
}

TEST(bridge_of_two_ended_ports_leaves_nothing)
{
	struct world w;

	world_up(&w, 1, 2);
	rec_close(&w.a);
	rec_close(&w.d);
	try_settle(&w.t);
	CHECK_EQ(dv_port_bridge(w.b, w.c, NULL), 0);
	world_down(&w);
}

TEST(bridge_of_a_pair_with_itself_is_a_loop)
{
	struct dv_err err = DV_ERR_INIT;
	struct dv_port *pair[2];
	struct world w;

	world_up(&w, 1, 2);
	CHECK_EQ(dv_node_pair(w.t.nodes[0].node, pair), 0);
	CHECK_EQ(dv_port_bridge(pair[0], pair[1], &err), -ELOOP);
	CHECK_EQ(err.sys, ELOOP);
	CHECK_EQ(dv_port_bridge(w.b, w.b, &err), -ELOOP);
	try_settle(&w.t);
	CHECK_EQ(w.a.n_ended, 1);
	CHECK_EQ(w.a.end.err.sys, ELOOP);
	dv_port_close(w.c, NULL);
	world_down(&w);
}

TEST(bridge_of_a_pair_with_itself_by_a_detour_is_a_loop)
{
	struct world w;
	int r;

	/* After the first bridge a and d are a pair. */
	world_up(&w, 0, 0);
	CHECK_EQ(dv_port_bridge(w.b, w.c, NULL), 0);
	r = dv_port_bridge(w.a.port, w.d.port, NULL);
	CHECK(r == 0 || r == -ELOOP);
	w.a.port = w.d.port = NULL;
	world_down(&w);
}

/* Up to @n steps in an order that @seed decides. */
static void some_steps(struct try *t, unsigned int *seed, unsigned int n)
{
	struct try_act acts[64];

	while (n-- > 0) {
		int k = try_list(t, acts, 64);

		if (k == 0)
			return;
		*seed = *seed * 1103515245 + 12345;
		try_do(t, &acts[(*seed >> 16) % (unsigned int)k]);
	}
}

/* Pairs i: nodes i and i + 1 of @n; every node bridges what it has. */
static void ring(int n, unsigned int skip)
{
	unsigned int seed = skip;
	struct try t = TRY_INIT;
	struct dv_port *left[8], *right[8];

	try_new(&t, n);
	for (int i = 0; i < n; i++)
		for (int k = 0; k < i; k++)
			try_connect(&t, i, k);
	for (int i = 0; i < n; i++) {
		struct dv_port *pair[2];

		try_pair(&t, i, (i + 1) % n, pair);
		right[i] = pair[0];
		left[(i + 1) % n] = pair[1];
		rec_say(pair[0], "round");
	}
	for (int i = 0; i < n; i++) {
		int r = dv_port_bridge(left[i], right[i], NULL);

		CHECK(r == 0 || (i == n - 1 && r == -ELOOP));
		/* Some messages and answers come in between. */
		some_steps(&t, &seed, skip);
	}
	some_steps(&t, &seed, 1000);
	rec_done(&t);
}

TEST(bridges_in_a_ring_fail_and_do_not_turn_for_ever)
{
	for (int n = 2; n < 6; n++)
		for (unsigned int skip = 0; skip < 60; skip++)
			ring(n, skip);
}

TEST(bridges_in_a_row_become_one_pair)
{
	enum { N = 5 };

	/* Node i has the end of pair i - 1 and the start of pair i. */
	for (int order = 0; order < 3; order++) {
		struct try t = TRY_INIT;
		struct dv_port *left[N], *right[N];
		struct rec a = { 0 }, z = { 0 };

		try_new(&t, N);
		for (int i = 1; i < N; i++)
			try_connect(&t, i - 1, i);
		for (int i = 1; i < N; i++) {
			struct dv_port *pair[2];

			try_pair(&t, i - 1, i, pair);
			right[i - 1] = pair[0];
			left[i] = pair[1];
		}
		rec_start(&a, right[0]);
		rec_start(&z, left[N - 1]);
		rec_say(a.port, "ab");
		for (int i = 1; i < N - 1; i++) {
			int at = order == 1 ? N - 1 - i : i;

			CHECK_EQ(dv_port_bridge(left[at], right[at], NULL), 0);
			if (order == 2)
				try_settle(&t);
		}
		rec_say(z.port, "zy");
		try_settle(&t);
		CHECK_STR(z.got, "ab");
		CHECK_STR(a.got, "zy");
		for (int i = 1; i < N - 1; i++)
			CHECK_EQ(dv_node_counts(t.nodes[i].node)->n_ports, 0);
		rec_close(&a);
		rec_close(&z);
		rec_done(&t);
	}
}

TEST(bridge_of_a_port_with_its_peer_inside_fails)
{
	struct world w;

	/* d sends a port of the pair a-b, which would go to a itself. */
	world_up(&w, 0, 0);
	CHECK_EQ(rec_move(w.d.port, w.a.port, "m"), 0);
	w.a.port = NULL;
	CHECK_EQ(dv_port_bridge(w.b, w.c, NULL), 0);
	try_settle(&w.t);
	CHECK_EQ(w.d.n_ended, 1);
	CHECK(!w.d.end.closed);
	world_down(&w);
}

/* Node @dies after @steps steps of a bridge. */
static bool death_after(int dies, int steps)
{
	struct world w;
	struct try_act act;
	int n = 0;

	world_up(&w, 1, 2);
	rec_say(w.a.port, "ab");
	rec_say(w.d.port, "xy");
	CHECK_EQ(dv_port_bridge(w.b, w.c, NULL), 0);
	while (n < steps && try_list(&w.t, &act, 1) > 0) {
		try_do(&w.t, &act);
		n++;
	}
	if (dies == 1)
		w.a.port = NULL;
	if (dies == 2)
		w.d.port = NULL;
	try_kill(&w.t, dies, UINT32_MAX);
	try_settle(&w.t);
	if (dies == 1)
		CHECK_EQ(w.d.n_ended, 1);
	if (dies == 2)
		CHECK_EQ(w.a.n_ended, 1);
	if (dies == 0)
		CHECK_EQ(w.a.n_ended, w.d.n_ended);
	world_down(&w);
	return n == steps;
}

TEST(bridge_death_at_every_step_leaves_nobody_waiting)
{
	for (int dies = 0; dies < 3; dies++)
		for (int steps = 0; death_after(dies, steps);)
			steps++;
}
