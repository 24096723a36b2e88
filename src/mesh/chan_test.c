/* SPDX-License-Identifier: MIT */
#include <stdlib.h>

#include "mesh/chan_msg.h"
#include "mesh/chan_try.h"

/* What a receiver has heard. */
struct ear {
	struct chan_try *t;
	struct dv_chan_receiver *rx;
	char text[8192]; /* messages, each with a blank behind */
	size_t at;
	int n_messages, n_lost, n_closed;
	size_t n_atts;
	struct dv_port_end lost, closed;
	bool closed_fine;
	int next[8];
	/* What to do in a callback. */
	void (*in_message)(struct ear *ear, struct dv_msg *msg);
	bool close_in_lost, close_in_closed;
};

static void on_message(struct dv_chan_receiver *rx, struct dv_msg *msg)
{
	struct ear *ear = dv_chan_user(rx);
	size_t len = dv_msg_len(msg);

	ear->n_messages++;
	ear->n_atts = dv_msg_n_atts(msg);
	if (ear->at + len + 2 < sizeof(ear->text)) {
		memcpy(ear->text + ear->at, dv_msg_data(msg), len);
		ear->text[ear->at + len] = ' ';
		ear->at += len + 1;
	}
	if (ear->in_message)
		ear->in_message(ear, msg);
}

static void on_lost(struct dv_chan_receiver *rx, const struct dv_port_end *end)
{
	struct ear *ear = dv_chan_user(rx);

	ear->n_lost++;
	ear->lost = *end;
	if (ear->close_in_lost)
		ear->rx = dv_chan_receiver_close(rx, NULL);
}

static void on_closed(struct dv_chan_receiver *rx,
		      const struct dv_port_end *end)
{
	struct ear *ear = dv_chan_user(rx);

	ear->n_closed++;
	ear->closed_fine = !end;
	if (end)
		ear->closed = *end;
	if (ear->close_in_closed)
		ear->rx = dv_chan_receiver_close(rx, NULL);
}

static const struct dv_chan_ops ops = {
	.message = on_message,
	.lost = on_lost,
	.closed = on_closed,
};

static void ear_start(struct ear *ear)
{
	dv_chan_start(ear->rx, &ops, ear);
}

static void say(struct dv_chan_sender *tx, const char *s)
{
	CHECK(dv_chan_send_bytes(tx, s, strlen(s), NULL) >= 0);
}

/* Give @rx away in a message of a channel, and take it again. */
static struct dv_chan_receiver *taken;

static void take_receiver(struct dv_chan_receiver *rx DV_UNUSED,
			  struct dv_msg *msg)
{
	taken = dv_chan_receiver_take(msg, 0, NULL);
}

static struct dv_chan_receiver *move_receiver(struct chan_try *t,
					      struct dv_chan_receiver *rx)
{
	static const struct dv_chan_ops take_ops = {
		.message = take_receiver,
	};
	struct dv_chan_receiver *way_rx;
	struct dv_chan_sender *way_tx;
	struct dv_msg *msg = dv_msg_new(0);

	CHECK_EQ(dv_chan_new(t->mesh, &way_tx, &way_rx, NULL), 0);
	dv_chan_start(way_rx, &take_ops, NULL);
	CHECK_EQ(dv_chan_receiver_attach(msg, rx), 0);
	taken = NULL;
	CHECK(dv_chan_send(way_tx, msg, NULL) >= 0);
	chan_until(t, taken);
	dv_chan_sender_close(way_tx, NULL);
	dv_chan_receiver_close(way_rx, NULL);
	return taken;
}

TEST(channel_delivers_in_order_and_closes)
{
	struct ear ear = { .n_messages = 0 };
	struct dv_chan_sender *tx;
	struct chan_try t;

	chan_up(&t);
	CHECK_EQ(dv_chan_new(t.mesh, &tx, &ear.rx, NULL), 0);
	say(tx, "early");
	ear_start(&ear);
	say(tx, "a");
	CHECK(dv_chan_send(tx, chan_text("b"), NULL) >= 0);
	CHECK_EQ(ear.n_messages, 0); /* never from inside a call */
	dv_chan_sender_close(tx, NULL);
	chan_until(&t, ear.n_closed);
	CHECK_STR(ear.text, "early a b ");
	CHECK(ear.closed_fine);
	CHECK_EQ(ear.n_lost, 0);
	dv_chan_receiver_close(ear.rx, NULL);
	chan_down(&t);
}

TEST(channel_keeps_a_message_that_ends_as_its_own_do)
{
	struct dv_msg *ours = dv_chan_msg("x", 1, NULL);
	struct ear ear = { .n_messages = 0 };
	struct dv_chan_sender *tx;
	char bytes[64], wanted[256];
	size_t len = dv_msg_len(ours);
	struct dv_msg *msg;
	struct chan_try t;

	memcpy(bytes, dv_msg_data(ours), len);
	dv_msg_free(ours);
	CHECK(dv_chan_marked(bytes, len));
	chan_up(&t);
	CHECK_EQ(dv_chan_new(t.mesh, &tx, &ear.rx, NULL), 0);
	ear_start(&ear);
	CHECK(dv_chan_send_bytes(tx, bytes, len, NULL) >= 0);
	chan_until(&t, ear.n_messages == 1);
	msg = dv_msg_new(len);
	memcpy(dv_msg_data(msg), bytes, len);
	CHECK_EQ(dv_msg_add_fd(msg, dup(2)), 0);
	CHECK_EQ(dv_msg_add_fd(msg, dup(2)), 1);
	CHECK(dv_chan_send(tx, msg, NULL) >= 0);
	chan_until(&t, ear.n_messages == 2);
	CHECK_EQ(ear.n_atts, 2);
	bytes[len] = ' ';
	memcpy(wanted, bytes, len + 1);
	memcpy(wanted + len + 1, bytes, len + 1);
	CHECK_EQ(memcmp(ear.text, wanted, 2 * len + 2), 0);
	dv_chan_sender_close(tx, NULL);
	dv_chan_receiver_close(ear.rx, NULL);
	chan_down(&t);
}

TEST(channel_clones_have_an_order_of_their_own)
{
	struct dv_chan_sender *tx, *tx2, *tx3;
	struct ear ear = { .n_messages = 0 };
	struct chan_try t;

	chan_up(&t);
	CHECK_EQ(dv_chan_new(t.mesh, &tx, &ear.rx, NULL), 0);
	ear_start(&ear);
	CHECK(dv_chan_clone(tx, &tx2, NULL) >= 0);
	CHECK(dv_chan_clone(tx2, &tx3, NULL) >= 0);
	dv_chan_sender_close(tx, NULL);
	say(tx3, "3");
	say(tx3, "3");
	say(tx2, "2");
	dv_chan_sender_close(tx2, NULL);
	chan_until(&t, ear.n_messages == 3);
	chan_quiet(&t);
	CHECK_EQ(ear.n_closed, 0);
	dv_chan_sender_close(tx3, NULL);
	chan_until(&t, ear.n_closed);
	CHECK_EQ(ear.n_closed, 1);
	/* It can be opened again. */
	CHECK_EQ(dv_chan_add_sender(ear.rx, &tx, NULL), 0);
	say(tx, "again");
	dv_chan_sender_close(tx, NULL);
	chan_until(&t, ear.n_closed == 2);
	CHECK_EQ(ear.n_messages, 4);
	dv_chan_receiver_close(ear.rx, NULL);
	chan_down(&t);
}

TEST(channel_tells_the_error_of_one_sender_while_others_live)
{
	struct dv_err why = DV_ERR_INIT;
	struct ear ear = { .n_messages = 0 };
	struct dv_chan_sender *tx, *tx2;
	struct chan_try t;

	dv_err_set(&why, EIO, DV_DATA_LOSS, "the disk is on fire");
	chan_up(&t);
	CHECK_EQ(dv_chan_new(t.mesh, &tx, &ear.rx, NULL), 0);
	CHECK_EQ(dv_chan_add_sender(ear.rx, &tx2, NULL), 0);
	say(tx, "last words");
	dv_chan_sender_close(tx, &why);
	ear_start(&ear);
	chan_until(&t, ear.n_lost);
	CHECK_STR(ear.text, "last words ");
	CHECK_EQ(ear.lost.err.code, DV_DATA_LOSS);
	CHECK_STR(ear.lost.err.msg, "the disk is on fire");
	CHECK_EQ(ear.n_closed, 0);
	say(tx2, "still here");
	dv_chan_sender_close(tx2, NULL);
	chan_until(&t, ear.n_closed);
	/* And it is not forgotten in the end. */
	CHECK(!ear.closed_fine);
	CHECK_EQ(ear.closed.err.code, DV_DATA_LOSS);
	dv_chan_receiver_close(ear.rx, NULL);
	chan_down(&t);
}

/* The port of @tx, to send past it what it would not. */
static struct dv_port *port_of(struct dv_chan_sender *tx)
{
	struct dv_msg *msg = dv_msg_new(0);
	struct dv_port *port;

	CHECK_EQ(dv_chan_sender_attach(msg, tx), 0);
	port = dv_msg_take_port(msg, 0);
	dv_msg_free(msg);
	return port;
}

/* Bytes with a length that may lie and the mark behind them. */
static struct dv_msg *with_mark(const char *bytes, size_t len, uint8_t says)
{
	struct dv_msg *empty = dv_chan_msg(NULL, 0, NULL);
	struct dv_msg *msg = dv_msg_new(len + DV_CHAN_MARK);
	uint8_t *p = dv_msg_data(msg);

	memcpy(p, bytes, len);
	memcpy(p + len, dv_msg_data(empty), DV_CHAN_MARK);
	p[len] = says;
	dv_msg_free(empty);
	return msg;
}

TEST(channel_ends_a_sender_that_breaks_the_rules_and_no_other)
{
	static const struct {
		const char *bytes;
		uint8_t len, says;
	} bad[] = {
		{ "", 0, 1 }, /* longer than it all */
		{ "abc", 3, 255 },
		{ "\x7f", 1, 1 },             /* cut off */
		{ "\x38\x01", 2, 2 },         /* a field that nobody knows */
		{ "\x0a\x02\x10\x01", 4, 4 }, /* a port that is not there */
		{ "\x12\x00", 2, 2 }, /* a question without a way back */
		{ "\x12\x02\x0a\x00", 4, 4 },
		{ "\x18\x01", 2, 2 }, /* a cell's */
		{ "\x28\x01", 2, 2 }, /* a context's */
	};
	struct ear ear = { .n_messages = 0 };
	struct dv_chan_sender *tx;
	struct chan_try t;

	chan_up(&t);
	CHECK_EQ(dv_chan_new(t.mesh, &tx, &ear.rx, NULL), 0);
	ear_start(&ear);
	for (size_t i = 0; i < DV_ARRAY_LEN(bad); i++) {
		struct dv_chan_sender *evil;
		struct dv_port *port;

		CHECK_EQ(dv_chan_add_sender(ear.rx, &evil, NULL), 0);
		port = port_of(evil);
		CHECK(dv_port_send(
			      port,
			      with_mark(bad[i].bytes, bad[i].len, bad[i].says),
			      NULL) >= 0);
		chan_until(&t, ear.n_lost == (int)i + 1);
		CHECK_EQ(ear.lost.err.code, DV_INVALID);
		CHECK(!ear.lost.closed);
		dv_port_close(port, NULL);
	}
	CHECK_EQ(ear.n_messages, 0);
	say(tx, "fine");
	chan_until(&t, ear.n_messages);
	dv_chan_sender_close(tx, NULL);
	dv_chan_receiver_close(ear.rx, NULL);
	chan_down(&t);
}

TEST(channel_receiver_moves_with_many_senders_and_what_they_sent)
{
	enum { N = 600, EACH = 3 };
	static struct dv_chan_sender *tx[N];
	struct ear ear = { .n_messages = 0 };
	struct chan_try t;

	chan_up(&t);
	CHECK_EQ(dv_chan_new(t.mesh, &tx[0], &ear.rx, NULL), 0);
	for (int i = 1; i < N; i++)
		CHECK_EQ(dv_chan_add_sender(ear.rx, &tx[i], NULL), 0);
	for (int i = 0; i < N; i++)
		say(tx[i], "A");
	ear.rx = move_receiver(&t, ear.rx);
	for (int i = 0; i < N; i++)
		say(tx[i], "B");
	ear.rx = move_receiver(&t, ear.rx);
	for (int i = 0; i < N; i++) {
		say(tx[i], "C");
		dv_chan_sender_close(tx[i], NULL);
	}
	ear_start(&ear);
	chan_until(&t, ear.n_closed);
	CHECK_EQ(ear.n_messages, N * EACH);
	CHECK(ear.closed_fine);
	CHECK_EQ(ear.n_lost, 0);
	ear.rx = move_receiver(&t, ear.rx);
	ear.n_closed = 0;
	ear_start(&ear);
	chan_until(&t, ear.n_closed);
	dv_chan_receiver_close(ear.rx, NULL);
	chan_down(&t);
}

static void keep_order(struct ear *ear, struct dv_msg *msg)
{
	const uint8_t *p = dv_msg_data(msg);

	CHECK_EQ(ear->next[p[0]], p[1]);
	ear->next[p[0]] = p[1] + 1;
}

TEST(channel_keeps_each_order_when_it_moves_in_the_middle)
{
	enum { N = 5, EACH = 100 };
	struct dv_chan_sender *tx[N];
	struct ear ear = { .in_message = keep_order };
	struct chan_try t;

	chan_up(&t);
	CHECK_EQ(dv_chan_new(t.mesh, &tx[0], &ear.rx, NULL), 0);
	ear_start(&ear);
	for (int i = 1; i < N; i++)
		CHECK(dv_chan_clone(tx[0], &tx[i], NULL) >= 0);
	for (int n = 0; n < EACH; n++) {
		for (int i = 0; i < N; i++) {
			uint8_t b[2] = { (uint8_t)i, (uint8_t)n };

			CHECK(dv_chan_send_bytes(tx[i], b, 2, NULL) >= 0);
		}
		if (n % 10 == 3)
			CHECK(dv_loop_dispatch(t.loop, 0) >= 0);
		if (n % 30 == 29) {
			ear.rx = move_receiver(&t, ear.rx);
			ear_start(&ear);
		}
	}
	for (int i = 0; i < N; i++)
		dv_chan_sender_close(tx[i], NULL);
	chan_until(&t, ear.n_closed);
	CHECK_EQ(ear.n_messages, N * EACH);
	dv_chan_receiver_close(ear.rx, NULL);
	chan_down(&t);
}

static void sender_ended(struct dv_chan_sender *tx,
			 const struct dv_port_end *end)
{
	*(struct dv_port_end *)dv_chan_sender_user(tx) = *end;
}

TEST(channel_refuses_one_sender_too_many)
{
	static const struct dv_chan_sender_ops watch = {
		.ended = sender_ended,
	};
	struct dv_port_end end = { .closed = false };
	struct ear ear = { .n_messages = 0 };
	struct dv_chan_sender *tx, *tx2, *tx3;
	struct chan_try t;

	chan_up(&t);
	CHECK_EQ(dv_chan_new(t.mesh, &tx, &ear.rx, NULL), 0);
	dv_chan_limit(ear.rx, 2);
	ear_start(&ear);
	CHECK(dv_chan_clone(tx, &tx2, NULL) >= 0);
	CHECK(dv_chan_clone(tx, &tx3, NULL) >= 0);
	dv_chan_watch(tx3, &watch, &end);
	chan_until(&t, end.err.code);
	CHECK_EQ(end.err.code, DV_EXHAUSTED);
	CHECK_EQ(dv_chan_send_bytes(tx3, "x", 1, NULL), -EPIPE);
	CHECK(dv_chan_send_bytes(tx2, "x", 1, NULL) >= 0);
	chan_until(&t, ear.n_messages);
	dv_chan_sender_close(tx, NULL);
	dv_chan_sender_close(tx2, NULL);
	dv_chan_sender_close(tx3, NULL);
	dv_chan_receiver_close(ear.rx, NULL);
	chan_down(&t);
}

static void sender_writable(struct dv_chan_sender *tx)
{
	++*(int *)dv_chan_sender_user(tx);
}

TEST(channel_is_bounded_and_says_when_there_is_room)
{
	static const struct dv_chan_sender_ops watch = {
		.writable = sender_writable,
	};
	static char block[4096];
	struct ear ear = { .n_messages = 0 };
	struct dv_chan_sender *tx;
	int n = 0, r, writable = 0;
	struct chan_try t;

	chan_up(&t);
	CHECK_EQ(dv_chan_new(t.mesh, &tx, &ear.rx, NULL), 0);
	dv_chan_watch(tx, &watch, &writable);
	ear_start(&ear);
	dv_chan_pause(ear.rx, true);
	while ((r = dv_chan_send_bytes(tx, block, sizeof(block), NULL)) == 0)
		n++;
	CHECK_EQ(r, DV_FULL);
	n++;
	while ((r = dv_chan_send_bytes(tx, block, sizeof(block), NULL)) >= 0)
		n++;
	CHECK_EQ(r, -EAGAIN);
	CHECK_EQ(dv_chan_clone(tx, &(struct dv_chan_sender *){ NULL }, NULL),
		 -EAGAIN);
	chan_quiet(&t);
	CHECK_EQ(ear.n_messages, 0);
	CHECK_EQ(writable, 0);
	dv_chan_pause(ear.rx, false);
	chan_until(&t, writable);
	chan_until(&t, ear.n_messages == n);
	CHECK_EQ(writable, 1);
	dv_chan_receiver_close(ear.rx, NULL);
	CHECK_EQ(dv_chan_send_bytes(tx, "x", 1, NULL), -EPIPE);
	dv_chan_sender_close(tx, NULL);
	chan_down(&t);
}

static void close_now(struct ear *ear, struct dv_msg *msg DV_UNUSED)
{
	ear->rx = dv_chan_receiver_close(ear->rx, NULL);
}

TEST(channel_may_be_closed_in_any_callback)
{
	struct dv_err why = DV_ERR_INIT;
	struct chan_try t;

	dv_err_set(&why, EIO, DV_DATA_LOSS, "gone");
	chan_up(&t);
	for (int i = 0; i < 3; i++) {
		struct ear ear = {
			.in_message = i == 0 ? close_now : NULL,
			.close_in_lost = i == 1,
			.close_in_closed = i == 2,
		};
		struct dv_chan_sender *tx;

		CHECK_EQ(dv_chan_new(t.mesh, &tx, &ear.rx, NULL), 0);
		ear_start(&ear);
		say(tx, "a");
		say(tx, "b");
		dv_chan_sender_close(tx, &why);
		chan_until(&t, !ear.rx);
		chan_quiet(&t);
		CHECK_EQ(ear.n_messages, i == 0 ? 1 : 2);
		CHECK_EQ(ear.n_closed, i == 2);
	}
	chan_down(&t);
}

static struct dv_chan_sender *moved_tx;

static void take_sender(struct ear *ear DV_UNUSED, struct dv_msg *msg)
{
	struct dv_err err = DV_ERR_INIT;

	if (dv_msg_n_atts(msg) == 0)
		return;
	CHECK(!dv_chan_sender_take(msg, 1, &err));
	CHECK_EQ(err.code, DV_INVALID);
	CHECK(!dv_chan_sender_take(msg, 7, &err));
	moved_tx = dv_chan_sender_take(msg, 0, NULL);
}

TEST(channel_sender_moves)
{
	struct ear ear = { .in_message = take_sender };
	struct dv_chan_sender *tx, *tx2;
	struct dv_msg *msg = dv_msg_new(0);
	struct chan_try t;

	chan_up(&t);
	CHECK_EQ(dv_chan_new(t.mesh, &tx, &ear.rx, NULL), 0);
	ear_start(&ear);
	CHECK(dv_chan_clone(tx, &tx2, NULL) >= 0);
	say(tx2, "a");
	CHECK_EQ(dv_chan_sender_attach(msg, tx2), 0);
	CHECK_EQ(dv_msg_add_fd(msg, dup(2)), 1);
	CHECK(dv_chan_send(tx, msg, NULL) >= 0);
	chan_until(&t, moved_tx);
	say(moved_tx, "b");
	dv_chan_sender_close(moved_tx, NULL);
	dv_chan_sender_close(tx, NULL);
	chan_until(&t, ear.n_closed);
	CHECK_EQ(ear.n_messages, 3);
	CHECK(ear.closed_fine);
	dv_chan_receiver_close(ear.rx, NULL);
	chan_down(&t);
}
