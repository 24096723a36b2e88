/* SPDX-License-Identifier: MIT */
/*
 * Each allocation fails once: what was accepted still has its end, and nothing
 * is left (the sanitizers look for that).
 */
#include "base/fault.h"
#include "mesh/chan_try.h"

enum { CALLS_MAX = 2000, SENDERS = 300 };

/* What has come of what was begun. */
struct come {
	int n_messages, n_closed, n_answers, n_values, n_seen, n_cancel;
	bool fine; /* nothing has failed */
};

static struct dv_msg *text(const char *s)
{
	struct dv_msg *msg = dv_msg_new(strlen(s));

	if (msg)
		memcpy(dv_msg_data(msg), s, strlen(s));
	return msg;
}

static void on_message(struct dv_chan_receiver *rx, struct dv_msg *msg)
{
	struct come *come = dv_chan_user(rx);

	CHECK(chan_is(msg, "m"));
	come->n_messages++;
}

static void on_asked(struct dv_chan_receiver *rx DV_UNUSED,
		     struct dv_asked *asked)
{
	struct dv_msg *msg = dv_asked_take_msg(asked);

	if (msg)
		dv_asked_answer(asked, msg, NULL);
	else
		dv_asked_drop(asked);
}

static void on_closed(struct dv_chan_receiver *rx,
		      const struct dv_port_end *end DV_UNUSED)
{
	((struct come *)dv_chan_user(rx))->n_closed++;
}

static const struct dv_chan_ops chan_ops = {
	.message = on_message,
	.asked = on_asked,
	.closed = on_closed,
};

/* ---- one of each --------------------------------------------------- */

static struct dv_chan_receiver *move_receiver(struct dv_chan_receiver *rx)
{
	struct dv_msg *msg = dv_msg_new(0);
	struct dv_chan_receiver *to = NULL;

	if (!msg)
		return rx;
	if (dv_chan_receiver_attach(msg, rx) == 0)
		to = dv_chan_receiver_take(msg, 0, NULL);
	dv_msg_free(msg);
	return to;
}

static void try_chan(struct chan_try *t, struct come *come)
{
	static struct dv_chan_sender *tx[SENDERS];
	struct dv_chan_receiver *rx;
	int n = 1, sent = 0;

	if (dv_chan_new(t->mesh, &tx[0], &rx, NULL) < 0)
		return;
	while (n < SENDERS &&
	       (n % 2 ? dv_chan_add_sender(rx, &tx[n], NULL)
		      : dv_chan_clone(tx[n - 1], &tx[n], NULL)) >= 0)
		n++;
	for (int i = 0; i < n; i++)
		sent += dv_chan_send_bytes(tx[i], "m", 1, NULL) >= 0;
	rx = move_receiver(rx);
	for (int i = 0; i < n; i++)
		dv_chan_sender_close(tx[i], NULL);
	if (rx) {
		dv_chan_start(rx, &chan_ops, come);
		chan_quiet(t);
		CHECK_EQ(come->n_closed, 1);
	}
	if (come->fine) {
		CHECK_EQ(n, SENDERS);
		CHECK_EQ(sent, SENDERS);
		CHECK_EQ(come->n_messages, sent);
	}
	dv_chan_receiver_close(rx, NULL);
}

static void on_answer(struct dv_ask *ask DV_UNUSED, const struct dv_answer *a,
		      void *user)
{
	CHECK(!a->more);
	CHECK(a->r == 0 || a->err->code != DV_OK);
	((struct come *)user)->n_answers++;
}

static void try_ask(struct chan_try *t, struct come *come)
{
	struct dv_chan_receiver *rx;
	struct dv_cancel *c = NULL;
	struct dv_chan_sender *tx;
	struct dv_ask_opts opts = { .size = sizeof(opts) };
	struct dv_msg *msg;
	int asked = 0;

	if (dv_chan_new(t->mesh, &tx, &rx, NULL) < 0)
		return;
	dv_chan_start(rx, &chan_ops, come);
	dv_cancel_new(&c, t->mesh, NULL, 60000, NULL, NULL, NULL);
	opts.cancel = c;
	for (int i = 0; i < 2; i++) {
		msg = text("question");
		if (msg)
			asked += dv_ask(tx, msg, &opts, on_answer, come, NULL,
					NULL) >= 0;
	}
	chan_quiet(t);
	CHECK_EQ(come->n_answers, asked);
	if (come->fine)
		CHECK_EQ(asked, 2);
	dv_chan_receiver_close(rx, NULL);
	dv_chan_sender_close(tx, NULL);
	dv_cancel_free(c);
}

static void on_value(void *user, struct dv_msg *msg DV_UNUSED,
		     const struct dv_port_end *end DV_UNUSED)
{
	((struct come *)user)->n_values++;
}

static void try_once(struct chan_try *t, struct come *come)
{
	struct dv_once_receiver *rx;
	struct dv_once_sender *tx;
	struct dv_msg *msg;

	if (dv_once_new(t->mesh, &tx, &rx, NULL) < 0)
		return;
	dv_once_receive(rx, on_value, come);
	msg = text("v");
	if (msg)
		dv_once_send(tx, msg, NULL);
	else
		dv_once_sender_close(tx, NULL);
	chan_quiet(t);
	CHECK_EQ(come->n_values, 1);
}

static void view_changed(struct dv_cell_view *view)
{
	((struct come *)dv_cell_view_user(view))->n_values++;
}

static const struct dv_cell_view_ops view_ops = { .changed = view_changed };

static void on_seen(struct dv_cell *cell DV_UNUSED, int r DV_UNUSED,
		    uint32_t n_left DV_UNUSED, void *user)
{
	((struct come *)user)->n_seen++;
}

static struct dv_cell *move_cell(struct chan_try *t, struct dv_cell *cell)
{
	struct dv_msg *msg = dv_msg_new(0);
	struct dv_cell *to = NULL;

	if (!msg)
		return cell;
	if (dv_cell_attach(msg, cell) == 0)
		to = dv_cell_take(msg, 0, NULL, NULL, NULL);
	dv_msg_free(msg);
	chan_quiet(t);
	return to;
}

static struct dv_cell_view *move_view(struct dv_cell_view *view)
{
	struct dv_msg *msg = dv_msg_new(0);
	struct dv_cell_view *to = NULL;

	if (!msg)
		return view;
	if (dv_cell_view_attach(msg, view) == 0)
		to = dv_cell_view_take(msg, 0, NULL);
	dv_msg_free(msg);
	return to;
}

static void try_cell(struct chan_try *t, struct come *come)
{
	struct dv_cell_view *view = NULL, *clone = NULL;
	struct dv_cell *cell;
	int set = 0;

	if (dv_cell_new(&cell, t->mesh, "a", 1, NULL) < 0)
		return;
	dv_cell_subscribe(cell, &view, NULL);
	if (view) {
		dv_cell_view_watch(view, &view_ops, come);
		chan_quiet(t);
		dv_cell_view_clone(view, &clone, NULL);
		view = move_view(view);
	}
	if (view)
		dv_cell_view_watch(view, &view_ops, come);
	if (clone)
		dv_cell_view_watch(clone, &view_ops, come);
	cell = move_cell(t, cell);
	if (cell)
		set = dv_cell_set(cell, "b", 1, 60000, on_seen, come, NULL) ==
		      0;
	chan_quiet(t);
	if (come->fine) {
		CHECK_EQ(set, 1);
		CHECK_EQ(come->n_seen, 1);
		CHECK(come->n_values >= 3);
	}
	dv_cell_close(cell, NULL);
	chan_quiet(t);
	CHECK(!view || dv_cell_view_end(view));
	CHECK(!clone || dv_cell_view_end(clone));
	dv_cell_view_close(view);
	dv_cell_view_close(clone);
}

static void on_cancelled(struct dv_cancel *c DV_UNUSED,
			 const struct dv_err *why, void *user)
{
	CHECK(why->code != DV_OK);
	((struct come *)user)->n_cancel++;
}

static void try_cancel(struct chan_try *t, struct come *come)
{
	struct dv_msg *msg = dv_msg_new(0);
	struct dv_cancel *root, *far = NULL, *farther = NULL;

	if (!msg)
		return;
	if (dv_cancel_new(&root, t->mesh, NULL, 60000, NULL, NULL, NULL) < 0) {
		dv_msg_free(msg);
		return;
	}
	if (dv_cancel_attach(msg, root) == 0)
		far = dv_cancel_take(msg, 0, on_cancelled, come, NULL);
	chan_quiet(t);
	if (far && dv_cancel_pass(msg, far) == 1)
		farther = dv_cancel_take(msg, 1, on_cancelled, come, NULL);
	dv_msg_free(msg);
	chan_quiet(t);
	dv_cancel_now(root, NULL);
	chan_quiet(t);
	CHECK_EQ(come->n_cancel, (far ? 1 : 0) + (farther ? 1 : 0));
	if (come->fine)
		CHECK_EQ(come->n_cancel, 2);
	dv_cancel_free(farther);
	dv_cancel_free(far);
	dv_cancel_free(root);
}

static void try_bytes(struct chan_try *t, struct come *come)
{
	struct dv_msg *msg = dv_msg_new(0);
	struct dv_bytes_writer *w;
	struct dv_bytes_reader *r;
	ptrdiff_t written, n, got = 0;
	char buf[2];

	if (!msg)
		return;
	if (dv_bytes_new(t->mesh, &w, &r, NULL) < 0) {
		dv_msg_free(msg);
		return;
	}
	written = dv_bytes_write(w, "abcde", 5, NULL);
	dv_bytes_read(r, buf, sizeof(buf), NULL);
	chan_quiet(t);
	n = dv_bytes_read(r, buf, sizeof(buf), NULL);
	got += n > 0 ? n : 0;
	r = dv_bytes_reader_attach(msg, r) == 0
		    ? dv_bytes_reader_take(msg, 0, NULL)
		    : NULL;
	dv_msg_free(msg);
	dv_bytes_finish(w);
	while (r && (n = dv_bytes_read(r, buf, sizeof(buf), NULL)) != 0) {
		if (n < 0 && n != -EAGAIN)
			break;
		got += n > 0 ? n : 0;
		if (n == -EAGAIN)
			CHECK(dv_loop_dispatch(t->loop, 0) > 0);
	}
	/* All of it, or an error. */
	if (r && n == 0)
		CHECK_EQ(got, written > 0 ? written : 0);
	if (come->fine)
		CHECK_EQ(got, 5);
	dv_bytes_reader_close(r, NULL);
}

/* ---- all of them, again and again ---------------------------------- */

static void try_all(void (*fn)(struct chan_try *t, struct come *come))
{
	for (uint32_t nth = 0; nth < CALLS_MAX; nth++) {
		struct come come = { .fine = nth == 0 };
		struct chan_try t;
		bool hit;

		chan_up(&t);
		if (nth)
			fault_arm(FAULT_PARENT, nth, false);
		fn(&t, &come);
		hit = fault_disarm();
		chan_quiet(&t);
		chan_down(&t);
		if (nth && !hit)
			return;
	}
}

TEST(fault_in_a_channel)
{
	try_all(try_chan);
}

TEST(fault_in_a_question)
{
	try_all(try_ask);
}

TEST(fault_in_a_oneshot)
{
	try_all(try_once);
}

TEST(fault_in_a_cell)
{
	try_all(try_cell);
}

TEST(fault_in_a_context)
{
	try_all(try_cancel);
}

TEST(fault_in_a_stream)
{
	try_all(try_bytes);
}
