/* SPDX-License-Identifier: MIT */
#include "mesh/chan_try.h"

struct got {
	int n;
	bool value;
	char text[64];
	struct dv_port_end end;
	struct dv_msg *kept;
};

static void on_value(void *user, struct dv_msg *msg,
		     const struct dv_port_end *end)
{
	struct got *got = user;

	got->n++;
	got->value = msg != NULL;
	CHECK((msg != NULL) != (end != NULL));
	if (end)
		got->end = *end;
	else
		memcpy(got->text, dv_msg_data(msg), dv_msg_len(msg));
}

TEST(once_delivers_one_value)
{
	struct dv_once_receiver *rx;
	struct dv_once_sender *tx;
	struct got got = { .n = 0 };
	struct chan_try t;

	chan_up(&t);
	CHECK_EQ(dv_once_new(t.mesh, &tx, &rx, NULL), 0);
	CHECK_EQ(dv_once_send(tx, chan_text("value"), NULL), 0);
	dv_once_receive(rx, on_value, &got);
	CHECK_EQ(got.n, 0);
	chan_until(&t, got.n);
	chan_quiet(&t);
	CHECK_EQ(got.n, 1);
	CHECK_STR(got.text, "value");
	chan_down(&t);
}

TEST(once_without_a_value_says_why)
{
	struct dv_err why = DV_ERR_INIT;

	dv_err_set(&why, EIO, DV_DATA_LOSS, "lost it");
	for (int i = 0; i < 2; i++) {
		struct dv_once_receiver *rx;
		struct dv_once_sender *tx;
		struct got got = { .n = 0 };
		struct chan_try t;

		chan_up(&t);
		CHECK_EQ(dv_once_new(t.mesh, &tx, &rx, NULL), 0);
		dv_once_receive(rx, on_value, &got);
		dv_once_sender_close(tx, i ? &why : NULL);
		chan_until(&t, got.n);
		CHECK(!got.value);
		CHECK(got.end.closed);
		CHECK_EQ(got.end.err.code, i ? DV_DATA_LOSS : DV_OK);
		chan_down(&t);
	}
}

TEST(once_value_that_nobody_fetched_is_not_leaked)
{
	struct dv_once_receiver *rx;
	struct dv_once_sender *tx;
	struct dv_msg *msg = chan_text("value");
	struct dv_port *pair[2];
	struct chan_try t;

	chan_up(&t);
	CHECK_EQ(dv_port_pair(t.mesh, pair), 0);
	CHECK_EQ(dv_msg_add_fd(msg, dup(2)), 0);
	CHECK_EQ(dv_msg_add_port(msg, pair[0]), 1);
	CHECK_EQ(dv_once_new(t.mesh, &tx, &rx, NULL), 0);
	CHECK_EQ(dv_once_send(tx, msg, NULL), 0);
	chan_quiet(&t);
	dv_once_receiver_close(rx);
	chan_quiet(&t);
	/* The port that was in it is gone, too. */
	CHECK_EQ(dv_port_send_bytes(pair[1], "x", 1, NULL), -EPIPE);
	dv_port_close(pair[1], NULL);
	chan_down(&t);
}

TEST(once_second_message_of_a_peer_that_cheats_does_no_harm)
{
	struct dv_once_receiver *rx;
	struct dv_port *pair[2];
	struct got got = { .n = 0 };
	struct chan_try t;

	chan_up(&t);
	CHECK_EQ(dv_port_pair(t.mesh, pair), 0);
	rx = dv_once_receiver_from_port(pair[1]);
	CHECK(dv_port_send_bytes(pair[0], "first", 5, NULL) >= 0);
	CHECK(dv_port_send_bytes(pair[0], "second", 6, NULL) >= 0);
	dv_once_receive(rx, on_value, &got);
	chan_until(&t, got.n);
	chan_quiet(&t);
	CHECK_EQ(got.n, 1);
	CHECK_STR(got.text, "first");
	dv_port_close(pair[0], NULL);
	chan_down(&t);
}

TEST(once_to_nobody_is_refused)
{
	struct dv_once_receiver *rx;
	struct dv_once_sender *tx;
	struct dv_err err = DV_ERR_INIT;
	struct chan_try t;

	chan_up(&t);
	CHECK_EQ(dv_once_new(t.mesh, &tx, &rx, NULL), 0);
	dv_once_receiver_close(rx);
	chan_quiet(&t);
	CHECK_EQ(dv_once_send(tx, chan_text("x"), &err), -EPIPE);
	CHECK(err.msg[0]);
	chan_down(&t);
}
