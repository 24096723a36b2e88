/* SPDX-License-Identifier: MIT */
/*
 * Callbacks do anything to the ports they are called for, and to others.
 */
#include "mesh/node_try.h"

struct home {
	struct try t;
	struct rec a, b, c, d; /* a-b and c-d */
};

static void home_up(struct home *h)
{
	struct dv_port *pair[2];

	*h = (struct home){ .t = TRY_INIT };
	h->t.budget = 100;
	try_new(&h->t, 1);
	CHECK_EQ(dv_node_pair(h->t.nodes[0].node, pair), 0);
	rec_start(&h->a, pair[0]);
	rec_start(&h->b, pair[1]);
	CHECK_EQ(dv_node_pair(h->t.nodes[0].node, pair), 0);
	rec_start(&h->c, pair[0]);
	rec_start(&h->d, pair[1]);
}

static void home_down(struct home *h)
{
	rec_close(&h->a);
	rec_close(&h->b);
	rec_close(&h->c);
	rec_close(&h->d);
	rec_done(&h->t);
}

static void close_self(struct rec *r, struct dv_msg *msg)
{
	(void)msg;
	r->port = dv_port_close(r->port, NULL);
}

TEST(node_port_can_be_closed_in_its_own_message)
{
	struct home h;

	home_up(&h);
	h.b.on_message = close_self;
	rec_say(h.a.port, "abc");
	try_settle(&h.t);
	CHECK_STR(h.b.got, "a");
	CHECK_EQ(h.b.n_ended, 0);
	CHECK_EQ(h.a.n_ended, 1);
	home_down(&h);
}

static void keep_and_close(struct rec *r, struct dv_msg *msg)
{
	r->kept[r->n_kept++] = dv_msg_keep(msg);
	dv_port_close(r->port, NULL);
	r->port = NULL;
}

TEST(node_message_kept_from_a_port_that_is_closed_stays)
{
	struct home h;

	home_up(&h);
	h.b.on_message = keep_and_close;
	rec_say(h.a.port, "ab");
	try_settle(&h.t);
	CHECK_EQ(h.b.n_kept, 1);
	CHECK_EQ(*(char *)dv_msg_data(h.b.kept[0]), 'a');
	home_down(&h);
}

static void keep_and_free(struct rec *r, struct dv_msg *msg)
{
	(void)r;
	dv_msg_free(dv_msg_keep(msg));
}

static void keep_and_send(struct rec *r, struct dv_msg *msg)
{
	CHECK_EQ(dv_port_send(r->other->port, dv_msg_keep(msg), NULL), 0);
}

TEST(node_message_can_be_freed_or_sent_on_in_its_callback)
{
	struct home h;

	home_up(&h);
	h.b.on_message = keep_and_free;
	rec_say(h.a.port, "ab");
	try_settle(&h.t);
	CHECK_STR(h.b.got, "ab");
	h.b.on_message = keep_and_send;
	h.b.other = &h.c;
	rec_say(h.a.port, "cd");
	try_settle(&h.t);
	CHECK_STR(h.d.got, "cd");
	home_down(&h);
}

static void close_other(struct rec *r, struct dv_msg *msg)
{
	(void)msg;
	r->other->port = dv_port_close(r->other->port, NULL);
}

TEST(node_peer_can_be_closed_in_a_message)
{
	struct home h;

	home_up(&h);
	h.b.on_message = close_other;
	h.b.other = &h.a;
	rec_say(h.a.port, "a");
	try_settle(&h.t);
	CHECK_EQ(h.b.n_ended, 1);
	home_down(&h);
}

static void move_self(struct rec *r, struct dv_msg *msg)
{
	struct dv_port *port = r->port;

	(void)msg;
	r->port = NULL;
	CHECK_EQ(rec_move(r->other->port, port, "m"), 0);
}

TEST(node_port_can_be_moved_in_its_own_message)
{
	struct rec r = { 0 };
	struct home h;

	home_up(&h);
	h.b.on_message = move_self;
	h.b.other = &h.c;
	rec_say(h.a.port, "abc");
	try_settle(&h.t);
	CHECK_STR(h.b.got, "a");
	CHECK_EQ(h.d.n_ports, 1);
	rec_start(&r, h.d.ports[--h.d.n_ports]);
	try_settle(&h.t);
	CHECK_STR(r.got, "bc");
	rec_close(&r);
	home_down(&h);
}

static void bridge_self(struct rec *r, struct dv_msg *msg)
{
	struct dv_port *a = r->port, *b = r->other->port;

	(void)msg;
	r->port = r->other->port = NULL;
	CHECK_EQ(dv_port_bridge(a, b, NULL), 0);
}

TEST(node_port_can_be_bridged_in_its_own_message)
{
	struct home h;

	home_up(&h);
	h.b.on_message = bridge_self;
	h.b.other = &h.c;
	rec_say(h.d.port, "xy");
	dv_port_pause(h.c.port, true);
	rec_say(h.a.port, "abc");
	try_settle(&h.t);
	CHECK_STR(h.d.got, "bc");
	CHECK_STR(h.a.got, "xy");
	home_down(&h);
}

static void pause_self(struct rec *r, struct dv_msg *msg)
{
	(void)msg;
	dv_port_pause(r->port, true);
}

TEST(node_port_paused_in_a_message_gets_no_more)
{
	struct home h;

	home_up(&h);
	h.b.on_message = pause_self;
	rec_say(h.a.port, "abc");
	try_settle(&h.t);
	CHECK_STR(h.b.got, "a");
	dv_port_pause(h.b.port, false);
	try_settle(&h.t);
	CHECK_STR(h.b.got, "ab");
	home_down(&h);
}

static void answer(struct rec *r, struct dv_msg *msg)
{
	const char *data = dv_msg_data(msg);

	if (*data < 'z')
		CHECK_EQ(dv_port_send_bytes(r->port, &(char){ *data + 1 }, 1,
					    NULL),
			 0);
}

TEST(node_messages_sent_in_messages_are_not_nested)
{
	struct home h;

	home_up(&h);
	h.a.on_message = h.b.on_message = answer;
	rec_say(h.a.port, "a");
	try_settle(&h.t);
	CHECK_STR(h.b.got, "acegikmoqsuwy");
	CHECK_STR(h.a.got, "bdfhjlnprtvxz");
	home_down(&h);
}

static void close_in_end(struct rec *r)
{
	r->port = dv_port_close(r->port, NULL);
}

TEST(node_port_can_be_closed_in_its_end)
{
	struct home h;

	home_up(&h);
	h.b.on_ended = close_in_end;
	h.a.port = dv_port_close(h.a.port, NULL);
	try_settle(&h.t);
	CHECK_EQ(h.b.n_ended, 1);
	CHECK(!h.b.port);
	home_down(&h);
}

TEST(node_port_can_be_closed_in_writable)
{
	struct home h;

	home_up(&h);
	h.a.on_writable = close_in_end;
	dv_port_pause(h.b.port, true);
	while (rec_say(h.a.port, "a") >= 0)
		;
	dv_port_pause(h.b.port, false);
	try_settle(&h.t);
	CHECK_EQ(h.a.n_writable, 1);
	CHECK_EQ(h.b.n_ended, 1);
	CHECK_EQ(h.b.n, dv_node_counts(h.t.nodes[0].node)->sent);
	home_down(&h);
}

static void restart(struct rec *r, struct dv_msg *msg)
{
	(void)msg;
	r->other->other = r;
	rec_start(r->other, r->port);
}

TEST(node_port_can_be_given_to_somebody_else_in_a_message)
{
	struct rec other = { 0 };
	struct home h;

	home_up(&h);
	h.b.on_message = restart;
	h.b.other = &other;
	rec_say(h.a.port, "abc");
	try_settle(&h.t);
	CHECK_STR(h.b.got, "a");
	CHECK_STR(other.got, "bc");
	home_down(&h);
}

TEST(node_port_can_be_closed_in_a_message_that_is_borrowed)
{
	struct try t = TRY_INIT;
	struct dv_port *pair[2];
	struct rec a = { 0 }, b = { 0 };

	/* Straight from the receive buffer, then from the queue. */
	for (int i = 0; i < 2; i++) {
		a = b = (struct rec){ 0 };
		t = (struct try)TRY_INIT;
		t.borrow = true;
		try_new(&t, 2);
		try_connect(&t, 0, 1);
		try_pair(&t, 0, 1, pair);
		rec_start(&a, pair[0]);
		rec_start(&b, pair[1]);
		b.on_message = i ? close_self : keep_and_close;
		rec_say(a.port, "abc");
		try_settle(&t);
		CHECK_STR(b.got, "a");
		CHECK_EQ(a.n_ended, 1);
		rec_close(&a);
		rec_close(&b);
		rec_done(&t);
	}
}
