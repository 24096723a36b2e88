/* SPDX-License-Identifier: MIT */
/*
 * Ports that move between nodes: the rules of docs/mesh.md, one by one. Every
 * order of events is the affair of node_explore_test.c.
 */
#include "mesh/node_try.h"

#include <unistd.h>

/* Three nodes, 0-1 and 0-2. A pair a-b for the test, and carriers from node 0
 * to the others. */
struct world {
	struct try t;
	struct rec a, b;
	struct rec to[3], at[3]; /* to[1] is at node 0, at[1] at node 1 */
};

static void world_up(struct world *w, int at_a, int at_b)
{
	struct dv_port *pair[2];

	try_new(&w->t, 3);
	try_connect(&w->t, 0, 1);
	try_connect(&w->t, 0, 2);
	for (int i = 1; i < 3; i++) {
		try_pair(&w->t, 0, i, pair);
		rec_start(&w->to[i], pair[0]);
		rec_start(&w->at[i], pair[1]);
	}
	try_pair(&w->t, at_a, at_b, pair);
	rec_start(&w->a, pair[0]);
	rec_start(&w->b, pair[1]);
}

static void world_down(struct world *w)
{
	rec_close(&w->a);
	rec_close(&w->b);
	for (int i = 1; i < 3; i++) {
		rec_close(&w->to[i]);
		rec_close(&w->at[i]);
	}
	rec_done(&w->t);
}

/* The port of @r goes out by @by, and is @r's again where @to gets it. */
static void move_by(struct world *w, struct rec *r, struct rec *by,
		    struct rec *to)
{
	CHECK(rec_move(by->port, r->port, "") >= 0);
	r->port = NULL;
	try_settle(&w->t);
	CHECK_EQ(to->n_ports, 1);
	rec_start(r, to->ports[--to->n_ports]);
}

static uint32_t proxies(const struct world *w)
{
	uint32_t n = 0;

	for (int i = 0; i < w->t.n_nodes; i++)
		if (w->t.nodes[i].node)
			n += dv_node_counts(w->t.nodes[i].node)->n_proxies;
	return n;
}

static void check_talk(struct world *w, const char *a, const char *b)
{
	memset(w->a.got, 0, sizeof(w->a.got));
	memset(w->b.got, 0, sizeof(w->b.got));
	CHECK(rec_say(w->a.port, b) >= 0);
	CHECK(rec_say(w->b.port, a) >= 0);
	try_settle(&w->t);
	CHECK_STR(w->a.got, a);
	CHECK_STR(w->b.got, b);
}

/* ---- where it goes ---- */

TEST(move_to_another_node_brings_what_was_unread_in_order)
{
	struct world w = { .t = TRY_INIT };

	world_up(&w, 0, 0);
	dv_port_pause(w.b.port, true);
	rec_say(w.a.port, "ab");
	CHECK_EQ(rec_move(w.to[1].port, w.b.port, ""), 0);
	rec_say(w.a.port, "cd");
	try_settle(&w.t);
	rec_say(w.a.port, "ef");
	rec_start(&w.b, w.at[1].ports[--w.at[1].n_ports]);
	rec_say(w.b.port, "xy");
	try_settle(&w.t);
	CHECK_STR(w.b.got, "abcdef");
	CHECK_STR(w.a.got, "xy");
	CHECK_EQ(proxies(&w), 0);
	world_down(&w);
}

TEST(move_to_a_third_node_ends_up_on_a_direct_link)
{
	struct world w = { .t = TRY_INIT };
	const struct dv_node_counts *c;
	uint64_t before;

	/* b is at node 1, a goes from 0 to 2, which knows nothing of 1. */
	world_up(&w, 0, 1);
	move_by(&w, &w.a, &w.to[2], &w.at[2]);
	try_settle(&w.t);
	CHECK_EQ(proxies(&w), 0);
	c = dv_node_counts(w.t.nodes[0].node);
	CHECK_EQ(c->introduced, 1);
	CHECK_EQ(dv_node_counts(w.t.nodes[1].node)->n_links, 2);
	before = try_link(&w.t, 0, 1)->out + c->sent;
	check_talk(&w, "xyz", "abc");
	CHECK_EQ(try_link(&w.t, 0, 1)->out + c->sent, before);
	world_down(&w);
}

TEST(move_of_many_ports_asks_for_one_introduction)
{
	enum { N = 20 };
	struct world w = { .t = TRY_INIT };
	struct dv_port *pairs[N][2];

	world_up(&w, 0, 1);
	for (int i = 0; i < N; i++)
		try_pair(&w.t, 0, 1, pairs[i]);
	for (int i = 0; i < N; i++)
		CHECK_EQ(rec_move(w.to[2].port, pairs[i][0], ""), 0);
	try_settle(&w.t);
	CHECK_EQ(dv_node_counts(w.t.nodes[0].node)->introduced, 1);
	CHECK_EQ(proxies(&w), 0);
	for (int i = 0; i < N; i++)
		dv_port_close(pairs[i][1], NULL);
	world_down(&w);
}

TEST(move_home_to_the_peer_makes_it_local)
{
	struct world w = { .t = TRY_INIT };
	uint64_t before;

	world_up(&w, 1, 0);
	move_by(&w, &w.a, &w.at[1], &w.to[1]);
	try_settle(&w.t);
	CHECK_EQ(proxies(&w), 0);
	before = try_link(&w.t, 0, 1)->out;
	check_talk(&w, "xyz", "abc");
	CHECK_EQ(try_link(&w.t, 0, 1)->out, before);
	world_down(&w);
}

TEST(move_around_while_both_sides_send_loses_nothing)
{
	static const int path[] = { 1, 0, 2, 0, 1, 0 };
	struct world w = { .t = TRY_INIT };
	char sent_a[64] = "", sent_b[64] = "";
	char c = 'a';

	world_up(&w, 0, 0);
	for (size_t i = 0; i < DV_ARRAY_LEN(path); i++) {
		int n = path[i] ? path[i] : path[i - 1];
		struct rec *by = path[i] ? &w.to[n] : &w.at[n];
		struct rec *to = path[i] ? &w.at[n] : &w.to[n];

		for (int k = 0; k < 2; k++, c++) {
			strncat(sent_a, &c, 1);
			strncat(sent_b, &c, 1);
			dv_port_send_bytes(w.a.port, &c, 1, NULL);
			dv_port_send_bytes(w.b.port, &c, 1, NULL);
		}
		CHECK(rec_move(by->port, w.a.port, "") >= 0);
		/* Only until it is there: proxies may still be on their way
		 * out. */
		for (struct try_act act; !to->n_ports;) {
			CHECK_EQ(try_list(&w.t, &act, 1), 1);
			try_do(&w.t, &act);
		}
		rec_start(&w.a, to->ports[--to->n_ports]);
	}
	try_settle(&w.t);
	CHECK_STR(w.a.got, sent_b);
	CHECK_STR(w.b.got, sent_a);
	CHECK_EQ(proxies(&w), 0);
	world_down(&w);
}

TEST(move_of_both_ends_at_once_joins_them_again)
{
	static const int to_a[] = { 1, 1, 2 }, to_b[] = { 2, 1, 1 };

	for (size_t i = 0; i < DV_ARRAY_LEN(to_a); i++) {
		struct world w = { .t = TRY_INIT };
		struct rec *a, *b;

		world_up(&w, 0, 0);
		a = &w.at[to_a[i]];
		b = &w.at[to_b[i]];
		rec_say(w.a.port, "ab");
		rec_say(w.b.port, "xy");
		CHECK_EQ(rec_move(w.to[to_a[i]].port, w.a.port, ""), 0);
		CHECK_EQ(rec_move(w.to[to_b[i]].port, w.b.port, ""), 0);
		try_settle(&w.t);
		CHECK_EQ(proxies(&w), 0);
		rec_start(&w.a, a->ports[0]);
		rec_start(&w.b, b->ports[a == b]);
		a->n_ports = b->n_ports = 0;
		try_settle(&w.t);
		CHECK_STR(w.a.got, "xy");
		CHECK_STR(w.b.got, "ab");
		check_talk(&w, "m", "n");
		world_down(&w);
	}
}

/* ---- windows ---- */

TEST(move_keeps_credit_exact_over_many_moves)
{
	struct world w = { .t = TRY_INIT };

	/* The window holds 4 messages; what is read before each move is less
	 * than what is worth a CREDIT. */
	w.t.limits.port_window = 260;
	world_up(&w, 0, 2);
	for (int i = 0; i < 20; i++) {
		bool out = i % 2 == 0;

		CHECK(rec_say(w.b.port, "x") >= 0);
		try_settle(&w.t);
		CHECK_EQ(w.a.n, (size_t)i + 1);
		move_by(&w, &w.a, out ? &w.to[1] : &w.at[1],
			out ? &w.at[1] : &w.to[1]);
	}
	check_talk(&w, "0123456789", "abcdefghij");
	world_down(&w);
}

TEST(move_with_messages_kept_lets_the_peer_go_on)
{
	struct world w = { .t = TRY_INIT };

	w.t.limits.port_window = 260;
	world_up(&w, 0, 2);
	w.a.keeps = true;
	rec_say(w.b.port, "abcd");
	try_settle(&w.t);
	CHECK_EQ(w.a.n_kept, 4);
	move_by(&w, &w.a, &w.to[1], &w.at[1]);
	w.a.keeps = false;
	rec_say(w.b.port, "efghi");
	try_settle(&w.t);
	CHECK_STR(w.a.got, "abcdefghi");
	world_down(&w);
}

TEST(move_needs_no_room_on_a_full_link)
{
	struct world w = { .t = TRY_INIT };

	world_up(&w, 0, 1);
	CHECK_EQ(rec_move(w.to[2].port, w.a.port, ""), 0);
	w.a.port = NULL;
	for (int i = 1; i < 3; i++) {
		try_stop(try_link(&w.t, 0, i), true);
		try_stop(try_link(&w.t, i, 0), true);
	}
	try_settle(&w.t);
	CHECK_EQ(proxies(&w), 0);
	CHECK_EQ(w.at[2].n_ports, 1);
	rec_start(&w.a, w.at[2].ports[--w.at[2].n_ports]);
	check_talk(&w, "xy", "ab");
	world_down(&w);
}

TEST(link_that_is_full_is_shared_in_turns)
{
	struct world w = { .t = TRY_INIT };
	struct try_link *l;

	world_up(&w, 0, 1);
	l = try_link(&w.t, 0, 1);
	try_stop(l, true);
	rec_say(w.a.port, "aaaa");
	rec_say(w.to[1].port, "bbbb");
	w.t.peer_window = 1;
	l->stopped = false;
	for (int i = 0; i < 4; i++) {
		l->out = 0;
		dv_node_ready(&l->link);
	}
	w.t.peer_window = 0;
	try_settle(&w.t);
	CHECK_STR(w.b.got, "aa");
	CHECK_STR(w.at[1].got, "bb");
	dv_node_ready(&l->link);
	try_settle(&w.t);
	CHECK_STR(w.b.got, "aaaa");
	CHECK_STR(w.at[1].got, "bbbb");
	world_down(&w);
}

/* ---- refusals ---- */

TEST(move_into_a_closed_port_closes_it_for_the_peer)
{
	struct world w = { .t = TRY_INIT };

	world_up(&w, 0, 2);
	rec_close(&w.at[1]);
	rec_say(w.a.port, "last");
	CHECK_EQ(rec_move(w.to[1].port, w.a.port, ""), 0);
	w.a.port = NULL;
	try_settle(&w.t);
	CHECK_STR(w.b.got, "last");
	CHECK_EQ(w.b.n_ended, 1);
	CHECK(w.b.end.closed);
	CHECK_EQ(proxies(&w), 0);
	world_down(&w);
}

TEST(move_to_a_node_without_room_fails_that_port_only)
{
	struct world w = { .t = TRY_INIT };

	world_up(&w, 0, 2);
	w.t.nodes[1].limits.max_ports = 1;
	CHECK_EQ(rec_move(w.to[1].port, w.a.port, "m"), 0);
	w.a.port = NULL;
	try_settle(&w.t);
	CHECK_STR(w.at[1].got, "m");
	CHECK_EQ(w.at[1].n_ports, 0);
	CHECK_EQ(w.b.n_ended, 1);
	CHECK(!w.b.end.closed);
	CHECK_EQ(w.b.end.err.sys, ENFILE);
	CHECK_EQ(try_index(&w.t, w.b.end.culprit), 1);
	CHECK_EQ(w.at[1].n_ended, 0);
	CHECK_EQ(proxies(&w), 0);
	world_down(&w);
}

TEST(move_that_cannot_be_introduced_fails_that_pair_only)
{
	struct world w = { .t = TRY_INIT };

	world_up(&w, 0, 1);
	w.t.nodes[0].stuck = true;
	move_by(&w, &w.a, &w.to[2], &w.at[2]);
	try_settle(&w.t);
	CHECK_EQ(w.a.n_ended + w.b.n_ended, 2);
	CHECK(!w.a.end.closed && !w.b.end.closed);
	CHECK_EQ(w.at[1].n_ended + w.at[2].n_ended, 0);
	CHECK_EQ(proxies(&w), 0);
	world_down(&w);
}

TEST(move_to_a_node_without_room_for_links_fails_that_pair_only)
{
	for (int full = 1; full < 3; full++) {
		struct world w = { .t = TRY_INIT };

		world_up(&w, 0, 1);
		w.t.nodes[full].limits.max_links = 1;
		move_by(&w, &w.a, &w.to[2], &w.at[2]);
		try_settle(&w.t);
		CHECK_EQ(w.a.n_ended + w.b.n_ended, 2);
		CHECK(!w.a.end.closed && !w.b.end.closed);
		CHECK_EQ(w.at[1].n_ended + w.at[2].n_ended, 0);
		CHECK_EQ(proxies(&w), 0);
		world_down(&w);
	}
}

TEST(close_of_a_moved_port_reaches_a_peer_that_had_not_accepted)
{
	struct dv_err why = DV_ERR_INIT;
	struct world w = { .t = TRY_INIT };

	world_up(&w, 0, 1);
	CHECK_EQ(rec_move(w.to[2].port, w.a.port, ""), 0);
	while (!w.at[2].n_ports) {
		struct try_act act;

		CHECK_EQ(try_list(&w.t, &act, 1), 1);
		try_do(&w.t, &act);
	}
	w.a.port = w.at[2].ports[--w.at[2].n_ports];
	rec_say(w.a.port, "bye");
	dv_err_set(&why, ECANCELED, DV_CANCELLED, "done");
	w.a.port = dv_port_close(w.a.port, &why);
	try_settle(&w.t);
	CHECK_STR(w.b.got, "bye");
	CHECK(w.b.end.closed);
	CHECK_STR(w.b.end.err.msg, "done");
	CHECK_EQ(try_index(&w.t, w.b.end.culprit), 2);
	world_down(&w);
}

/* ---- deaths ---- */

/* Node @dies after @steps steps of a move of a from 0 to 2, with its peer at
 * 1. False: it was over before. */
static bool death_after(int dies, int steps, uint32_t lost)
{
	struct world w = { .t = TRY_INIT };
	struct try_act act;
	int n = 0;

	world_up(&w, 0, 1);
	rec_say(w.b.port, "ab");
	CHECK_EQ(rec_move(w.to[2].port, w.a.port, ""), 0);
	w.a.port = NULL;
	while (n < steps && try_list(&w.t, &act, 1) > 0) {
		try_do(&w.t, &act);
		n++;
	}
	for (struct rec *r = &w.to[0]; r < &w.to[3]; r++)
		if (dies == 0)
			r->port = NULL;
	if (dies == 2)
		w.at[2].n_ports = 0;
	if (dies == 1)
		w.b.port = NULL;
	if (dies)
		w.at[dies].port = NULL;
	try_kill(&w.t, dies, (lost & 1) * 0xf | (lost >> 1) * 0xf0);
	try_settle(&w.t);
	if (w.at[2].n_ports) {
		rec_start(&w.a, w.at[2].ports[--w.at[2].n_ports]);
		try_settle(&w.t);
	}
	/* Whoever is left has its messages or knows why not, or it goes on. */
	if (dies == 1 && w.a.port) {
		CHECK_EQ(w.a.n_ended, 1);
		CHECK_EQ(try_index(&w.t, w.a.end.culprit), 1);
	}
	if (dies == 2)
		CHECK_EQ(w.b.n_ended, 1);
	if (dies == 0 && w.a.port && !w.a.n_ended)
		CHECK_STR(w.a.got, "ab");
	if (dies == 0 && w.b.n_ended)
		CHECK(!w.b.end.closed);
	CHECK_EQ(proxies(&w), 0);
	world_down(&w);
	return n == steps;
}

TEST(death_at_every_step_of_a_move_leaves_nobody_waiting)
{
	for (int dies = 0; dies < 3; dies++)
		for (uint32_t lost = 0; lost < 4; lost++)
			for (int steps = 0; death_after(dies, steps, lost);)
				steps++;
}

TEST(death_of_the_peer_comes_after_its_messages_with_its_name)
{
	struct world w = { .t = TRY_INIT };

	world_up(&w, 0, 1);
	dv_port_pause(w.a.port, true);
	rec_say(w.b.port, "last words");
	w.b.port = w.at[1].port = NULL;
	try_kill(&w.t, 1, 0);
	try_settle(&w.t);
	CHECK_EQ(w.to[1].n_ended, 1);
	CHECK_EQ(rec_say(w.a.port, "x"), -EPIPE);
	dv_port_pause(w.a.port, false);
	try_settle(&w.t);
	CHECK_STR(w.a.got, "last words");
	CHECK(!w.a.end.closed);
	CHECK_EQ(w.a.end.scope, DV_SCOPE_LINK);
	CHECK_EQ(w.a.end.pid, TRY_PID + 1);
	CHECK_EQ(try_index(&w.t, w.a.end.culprit), 1);
	CHECK_EQ(w.to[2].n_ended, 0);
	world_down(&w);
}

TEST(death_of_the_introducer_afterwards_hurts_nobody)
{
	struct world w = { .t = TRY_INIT };

	world_up(&w, 0, 1);
	move_by(&w, &w.a, &w.to[2], &w.at[2]);
	try_settle(&w.t);
	w.to[1].port = w.to[2].port = NULL;
	try_kill(&w.t, 0, UINT32_MAX);
	try_settle(&w.t);
	CHECK_EQ(w.at[1].n_ended + w.at[2].n_ended, 2);
	CHECK_EQ(w.a.n_ended + w.b.n_ended, 0);
	check_talk(&w, "xy", "ab");
	world_down(&w);
}
