/* SPDX-License-Identifier: MIT */
/*
 * Ports of one node.
 */
#include "mesh/node.h"

#include <unistd.h>

#include "mesh/node_try.h"

/* A node, and a pair with somebody at both ends. */
struct home {
	struct try t;
	struct dv_mesh_node *node;
	struct rec a, b;
};

static void home_up(struct home *h, uint32_t window)
{
	struct dv_port *pair[2];

	*h = (struct home){ .t = TRY_INIT };
	if (window)
		h->t.limits.port_window = window;
	try_new(&h->t, 1);
	h->node = h->t.nodes[0].node;
	CHECK_EQ(dv_node_pair(h->node, pair), 0);
	rec_start(&h->a, pair[0]);
	rec_start(&h->b, pair[1]);
}

static void home_down(struct home *h)
{
	rec_close(&h->a);
	rec_close(&h->b);
	rec_done(&h->t);
}

/* ---- messages ---- */

TEST(node_messages_arrive_in_order_and_from_the_loop_only)
{
	struct home h;

	home_up(&h, 0);
	CHECK_EQ(rec_say(h.a.port, "abc"), 0);
	CHECK_EQ(rec_say(h.b.port, "xy"), 0);
	CHECK_EQ(h.b.n + h.a.n, 0);
	CHECK(h.t.nodes[0].wants);
	try_settle(&h.t);
	CHECK_STR(h.b.got, "abc");
	CHECK_STR(h.a.got, "xy");
	home_down(&h);
}

TEST(node_run_keeps_its_budget_and_says_that_there_is_more)
{
	struct home h;

	home_up(&h, 0);
	rec_say(h.a.port, "abc");
	h.t.nodes[0].wants = false;
	CHECK(dv_node_run(h.node, 2));
	CHECK_STR(h.b.got, "ab");
	CHECK(!h.t.nodes[0].wants);
	CHECK(!dv_node_run(h.node, 2));
	CHECK_STR(h.b.got, "abc");
	rec_say(h.a.port, "d");
	CHECK(h.t.nodes[0].wants);
	home_down(&h);
}

TEST(node_port_that_is_not_started_or_paused_keeps_messages_and_end)
{
	struct dv_port *pair[2];
	struct rec r = { 0 };
	struct home h;

	home_up(&h, 0);
	CHECK_EQ(dv_node_pair(h.node, pair), 0);
	rec_say(pair[0], "ab");
	dv_port_close(pair[0], NULL);
	try_settle(&h.t);
	CHECK_EQ(r.n, 0);
	dv_port_pause(pair[1], true);
	rec_start(&r, pair[1]);
	try_settle(&h.t);
	CHECK_EQ(r.n + (size_t)r.n_ended, 0);
	dv_port_pause(pair[1], false);
	try_settle(&h.t);
	CHECK_STR(r.got, "ab");
	CHECK_EQ(r.n_ended, 1);
	rec_close(&r);
	home_down(&h);
}

TEST(node_large_and_small_messages_keep_their_bytes)
{
	size_t lens[] = { 0, 1, 127, 128, 129, 4096, 4097, 100000 };
	struct home h;

	home_up(&h, 0);
	h.b.keeps = true;
	for (size_t i = 0; i < DV_ARRAY_LEN(lens); i++) {
		char *buf = malloc(lens[i] + 1);

		CHECK(buf);
		memset(buf, 'a' + (int)i, lens[i]);
		CHECK_EQ(dv_port_send_bytes(h.a.port, buf, lens[i], NULL), 0);
		free(buf);
	}
	try_settle(&h.t);
	CHECK_EQ(h.b.n_kept, DV_ARRAY_LEN(lens));
	for (size_t i = 0; i < DV_ARRAY_LEN(lens); i++) {
		const char *data = dv_msg_data(h.b.kept[i]);

		CHECK_EQ(dv_msg_len(h.b.kept[i]), lens[i]);
		for (size_t k = 0; k < lens[i]; k++)
			CHECK_EQ(data[k], 'a' + (int)i);
	}
	home_down(&h);
}

/* ---- the end ---- */

TEST(node_close_comes_after_messages_with_its_reason)
{
	struct dv_err why = DV_ERR_INIT;
	struct home h;

	home_up(&h, 0);
	dv_err_set(&why, ECANCELED, DV_CANCELLED, "enough");
	rec_say(h.a.port, "ab");
	h.a.port = dv_port_close(h.a.port, &why);
	CHECK_EQ(rec_say(h.b.port, "x"), -EPIPE);
	try_settle(&h.t);
	CHECK_STR(h.b.got, "ab");
	CHECK_EQ(h.b.n_ended, 1);
	CHECK(h.b.end.closed);
	CHECK_EQ(h.b.end.scope, DV_SCOPE_PORT);
	CHECK_EQ(h.b.end.err.code, DV_CANCELLED);
	CHECK_STR(h.b.end.err.msg, "enough");
	CHECK_EQ(try_index(&h.t, h.b.end.culprit), 0);
	home_down(&h);
	CHECK_EQ(h.b.n_ended, 1);
}

TEST(node_close_without_a_reason_has_none)
{
	struct home h;

	home_up(&h, 0);
	h.a.port = dv_port_close(h.a.port, NULL);
	try_settle(&h.t);
	CHECK(h.b.end.closed);
	CHECK_EQ(h.b.end.err.code, DV_OK);
	home_down(&h);
}

TEST(node_close_gets_rid_of_what_waits_for_the_window_first)
{
	struct home h;

	home_up(&h, 256);
	dv_port_pause(h.b.port, true);
	rec_say(h.a.port, "abcde");
	CHECK(dv_node_unfinished(h.node) > 0 && !dv_node_finished(h.node));
	h.a.port = dv_port_close(h.a.port, NULL);
	try_settle(&h.t);
	CHECK(dv_node_unfinished(h.node) > 0 && !dv_node_finished(h.node));
	dv_port_pause(h.b.port, false);
	try_settle(&h.t);
	CHECK_STR(h.b.got, "abcde");
	CHECK_EQ(h.b.n_ended, 1);
	home_down(&h);
}

TEST(node_closing_port_does_not_stop_its_peer)
{
	struct home h;

	/* B reads only when it got rid of what it says, and A has closed. */
	home_up(&h, 256);
	dv_port_pause(h.b.port, true);
	rec_say(h.a.port, "abcde");
	h.a.port = dv_port_close(h.a.port, NULL);
	for (int i = 0; i < 100; i++)
		CHECK_EQ(rec_say(h.b.port, "x"), 0);
	dv_port_pause(h.b.port, false);
	try_settle(&h.t);
	CHECK_STR(h.b.got, "abcde");
	home_down(&h);
}

/* ---- windows ---- */

TEST(node_full_port_says_so_and_when_there_is_room_again)
{
	struct home h;
	int r;

	home_up(&h, 1000);
	dv_port_pause(h.b.port, true);
	for (r = 0; r == 0;)
		r = rec_say(h.a.port, "x");
	CHECK_EQ(r, DV_FULL);
	while (r >= 0)
		r = rec_say(h.a.port, "x");
	CHECK_EQ(r, -EAGAIN);
	try_settle(&h.t);
	CHECK_EQ(h.a.n_writable, 0);
	dv_port_pause(h.b.port, false);
	try_settle(&h.t);
	CHECK_EQ(h.a.n_writable, 1);
	CHECK_EQ(rec_say(h.a.port, "y"), 0);
	try_settle(&h.t);
	CHECK_EQ(h.b.n, dv_node_counts(h.node)->sent);
	CHECK_EQ(h.a.n_writable, 1);
	home_down(&h);
}

TEST(node_message_longer_than_the_window_passes)
{
	char big[5000] = { 0 };
	struct home h;

	home_up(&h, 256);
	for (int i = 0; i < 2; i++)
		CHECK_EQ(dv_port_send_bytes(h.a.port, big, sizeof(big), NULL),
			 i ? DV_FULL : 0);
	CHECK_EQ(dv_port_send_bytes(h.a.port, big, 1, NULL), -EAGAIN);
	try_settle(&h.t);
	CHECK_EQ(h.b.n, 2);
	home_down(&h);
}

TEST(node_kept_messages_count_until_they_are_freed)
{
	struct home h;
	size_t n;

	home_up(&h, 650);
	h.b.keeps = true;
	rec_say(h.a.port, "aaaaaaaaaaaaaaaa");
	try_settle(&h.t);
	n = h.b.n;
	CHECK_EQ(n, 10);
	dv_msg_free(h.b.kept[--h.b.n_kept]);
	try_settle(&h.t);
	CHECK_EQ(h.b.n, n + 1);
	home_down(&h);
}

TEST(node_port_with_most_of_its_window_kept_still_receives)
{
	struct home h;

	/* 8 of 10 messages are kept for good; the rest has to do. */
	home_up(&h, 650);
	h.b.keeps = true;
	rec_say(h.a.port, "aaaaaaaa");
	try_settle(&h.t);
	h.b.keeps = false;
	for (int i = 0; i < 100; i++) {
		CHECK(rec_say(h.a.port, "b") >= 0);
		try_settle(&h.t);
		CHECK_EQ(h.b.n, 9 + (size_t)i);
	}
	home_down(&h);
}

/* ---- attachments ---- */

TEST(node_attachments_arrive_and_can_be_taken_once)
{
	struct dv_msg *msg = rec_text("m");
	struct dv_port *pair[2];
	struct rec r = { 0 };
	struct home h;
	int fd;

	home_up(&h, 0);
	CHECK_EQ(dv_node_pair(h.node, pair), 0);
	rec_say(pair[0], "be");
	CHECK_EQ(dv_msg_add_fd(msg, dup(2)), 0);
	CHECK_EQ(dv_msg_add_port(msg, pair[1]), 1);
	CHECK_EQ(dv_port_send(h.a.port, msg, NULL), 0);
	rec_say(pair[0], "fore");
	h.b.keeps = true;
	try_settle(&h.t);
	msg = h.b.kept[0];
	CHECK_EQ(dv_msg_n_atts(msg), 2);
	CHECK_EQ(dv_msg_att(msg, 1), DV_ATT_NONE); /* rec has taken it */
	CHECK_EQ(dv_msg_take_fd(msg, 1), -ENOENT);
	CHECK(!dv_msg_take_port(msg, 0));
	fd = dv_msg_take_fd(msg, 0);
	CHECK(fd >= 0);
	dv_close(fd);
	CHECK_EQ(dv_msg_take_fd(msg, 0), -ENOENT);
	CHECK_EQ(dv_msg_take_fd(msg, 2), -ENOENT);
	CHECK_EQ(h.b.n_ports, 1);
	rec_start(&r, h.b.ports[--h.b.n_ports]);
	try_settle(&h.t);
	CHECK_STR(r.got, "before");
	rec_close(&r);
	dv_port_close(pair[0], NULL);
	home_down(&h);
}

TEST(node_attachments_that_nobody_takes_are_closed)
{
	struct dv_port *pair[2];
	struct rec r = { 0 };
	struct dv_msg *msg;
	struct home h;

	home_up(&h, 0);
	CHECK_EQ(dv_node_pair(h.node, pair), 0);
	rec_start(&r, pair[0]);
	msg = rec_text("m");
	dv_msg_add_fd(msg, dup(2));
	dv_msg_add_port(msg, pair[1]);
	dv_port_pause(h.b.port, true);
	CHECK_EQ(dv_port_send(h.a.port, msg, NULL), 0);
	try_settle(&h.t);
	CHECK_EQ(r.n_ended, 0);
	rec_close(&h.b);
	try_settle(&h.t);
	CHECK_EQ(r.n_ended, 1);
	CHECK(r.end.closed);
	rec_close(&r);
	home_down(&h);
}

TEST(node_message_takes_no_more_attachments_than_the_limit)
{
	struct dv_msg *msg = rec_text("m");
	struct dv_port *pair[2];
	struct home h;

	home_up(&h, 0);
	for (int i = 0; i < DV_MSG_ATT_MAX; i++)
		CHECK_EQ(dv_msg_add_fd(msg, dup(2)), i);
	CHECK_EQ(dv_msg_add_fd(msg, dup(2)), -E2BIG);
	CHECK_EQ(dv_node_pair(h.node, pair), 0);
	CHECK_EQ(dv_msg_add_port(msg, pair[0]), -E2BIG);
	dv_port_close(pair[1], NULL);
	CHECK_EQ(dv_port_send(h.a.port, msg, NULL), 0);
	CHECK(!dv_msg_new(DV_MSG_MAX + 1u));
	home_down(&h);
}

TEST(node_ports_in_ports_in_ports_are_freed_without_recursion)
{
	enum { N = 30000 };
	struct dv_port *outer[2], *pair[2];
	struct home h;

	home_up(&h, 0);
	CHECK_EQ(dv_node_pair(h.node, outer), 0);
	for (int i = 0; i < N; i++) {
		CHECK_EQ(dv_node_pair(h.node, pair), 0);
		CHECK(rec_move(pair[0], outer[1], "m") >= 0);
		dv_port_close(pair[0], NULL);
		outer[1] = pair[1];
	}
	dv_port_close(outer[1], NULL);
	dv_port_close(outer[0], NULL);
	home_down(&h);
}

/* ---- what cannot be sent ---- */

TEST(node_port_cannot_be_sent_by_itself_or_its_peer)
{
	struct dv_err err = DV_ERR_INIT;
	struct rec r = { 0 };
	struct dv_msg *msg;
	struct dv_port *pair[2];
	struct home h;

	home_up(&h, 0);
	for (int i = 0; i < 2; i++) {
		r = (struct rec){ 0 };
		CHECK_EQ(dv_node_pair(h.node, pair), 0);
		rec_start(&r, pair[0]);
		if (i == 0) { /* The peer: it is closed by that. */
			CHECK_EQ(rec_move(pair[0], pair[1], "m"), -ELOOP);
			try_settle(&h.t);
			CHECK_EQ(r.n_ended, 1);
			rec_close(&r);
			continue;
		}
		msg = rec_text("m");
		dv_msg_add_port(msg, pair[0]);
		CHECK_EQ(dv_port_send(pair[0], msg, &err), -ELOOP);
		CHECK_EQ(err.sys, ELOOP);
		dv_port_close(pair[1], NULL);
	}
	home_down(&h);
}

TEST(node_port_of_another_mesh_is_refused)
{
	struct dv_err err = DV_ERR_INIT;
	struct dv_port *pair[2], *mine[2];
	struct rec r = { 0 };
	struct home h, other;

	home_up(&h, 0);
	home_up(&other, 0);
	CHECK_EQ(dv_node_pair(other.node, pair), 0);
	rec_start(&r, pair[0]);
	CHECK_EQ(rec_move(h.a.port, pair[1], "m"), -EXDEV);
	try_settle(&other.t);
	CHECK_EQ(r.n_ended, 1);
	rec_close(&r);
	CHECK_EQ(dv_node_pair(other.node, pair), 0);
	CHECK_EQ(dv_node_pair(h.node, mine), 0);
	CHECK_EQ(dv_port_bridge(mine[0], pair[0], &err), -EXDEV);
	CHECK_EQ(err.sys, EXDEV);
	dv_port_close(mine[1], NULL);
	dv_port_close(pair[1], NULL);
	CHECK_EQ(rec_say(h.a.port, "still works"), 0);
	home_down(&h);
	home_down(&other);
}

TEST(node_limits_refuse_that_call_only)
{
	struct dv_port *pair[2];
	struct home h;
	struct dv_msg *msg;

	home_up(&h, 0);
	msg = dv_msg_new(h.t.nodes[0].limits.max_message + 1);
	CHECK(msg);
	CHECK_EQ(dv_port_send(h.a.port, msg, NULL), -EMSGSIZE);
	h.t.nodes[0].limits.max_ports = 3;
	CHECK_EQ(dv_node_pair(h.node, pair), -ENFILE);
	CHECK_EQ(rec_say(h.a.port, "a"), 0);
	home_down(&h);
}

TEST(node_ended_port_can_be_sent_and_arrives_ended)
{
	struct dv_port *pair[2];
	struct rec r = { 0 };
	struct home h;

	home_up(&h, 0);
	CHECK_EQ(dv_node_pair(h.node, pair), 0);
	rec_say(pair[0], "ab");
	dv_port_close(pair[0], NULL);
	try_settle(&h.t);
	CHECK_EQ(rec_move(h.a.port, pair[1], "m"), 0);
	try_settle(&h.t);
	rec_start(&r, h.b.ports[--h.b.n_ports]);
	try_settle(&h.t);
	CHECK_STR(r.got, "ab");
	CHECK_EQ(r.n_ended, 1);
	rec_close(&r);
	home_down(&h);
}

/* ---- the end of a node ---- */

TEST(node_frees_everything_with_it)
{
	struct dv_msg *unsent = rec_text("m");
	struct dv_port *pair[2];
	struct home h;

	home_up(&h, 2000);
	h.b.keeps = true;
	rec_say(h.a.port, "ab");
	try_settle(&h.t);
	CHECK_EQ(h.b.n_kept, 2);
	dv_port_pause(h.b.port, true);
	for (int i = 0; i < 4; i++) {
		CHECK_EQ(dv_node_pair(h.node, pair), 0);
		CHECK(rec_move(h.a.port, pair[0], "m") >= 0);
		if (i == 3)
			dv_msg_add_port(unsent, pair[1]);
	}
	try_free(&h.t);
	CHECK_STR(h.t.fault, "");
	CHECK_EQ(dv_msg_att(unsent, 0), DV_ATT_NONE);
	dv_msg_free(unsent);
}
