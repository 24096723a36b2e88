/* SPDX-License-Identifier: MIT */
#include <stdlib.h>

#include "mesh/chan_msg.h"
#include "mesh/chan_try.h"

struct eye {
	struct dv_cell_view *view;
	int n_changed, n_ended;
	uint64_t version;
	char text[64];
	struct dv_port_end end;
	bool close_in_changed;
};

static void look(struct eye *eye)
{
	const void *data;
	size_t len;

	eye->version = dv_cell_view_get(eye->view, &data, &len);
	memcpy(eye->text, data, dv_min(len, sizeof(eye->text) - 1));
	eye->text[dv_min(len, sizeof(eye->text) - 1)] = '\0';
}

static void on_changed(struct dv_cell_view *view)
{
	struct eye *eye = dv_cell_view_user(view);

	eye->n_changed++;
	look(eye);
	if (eye->close_in_changed)
		eye->view = dv_cell_view_close(view);
}

static void on_ended(struct dv_cell_view *view, const struct dv_port_end *end)
{
	struct eye *eye = dv_cell_view_user(view);

	eye->n_ended++;
	eye->end = *end;
}

static const struct dv_cell_view_ops ops = {
	.changed = on_changed,
	.ended = on_ended,
};

static void watch(struct eye *eye)
{
	dv_cell_view_watch(eye->view, &ops, eye);
}

static void set(struct dv_cell *cell, const char *s)
{
	CHECK_EQ(dv_cell_set(cell, s, strlen(s), -1, NULL, NULL, NULL), 0);
}

struct seen {
	int n, r;
	uint32_t n_left;
	bool close;
};

static void on_seen(struct dv_cell *cell, int r, uint32_t n_left, void *user)
{
	struct seen *seen = user;

	seen->n++;
	seen->r = r;
	seen->n_left = n_left;
	if (seen->close)
		dv_cell_close(cell, NULL);
}

static void set_wait(struct dv_cell *cell, const char *s, int ms,
		     struct seen *seen)
{
	CHECK_EQ(dv_cell_set(cell, s, strlen(s), ms, on_seen, seen, NULL), 0);
}

TEST(cell_shows_the_latest_value_to_all)
{
	struct eye a = { .n_changed = 0 }, b = { .n_changed = 0 };
	struct dv_cell *cell;
	struct chan_try t;

	chan_up(&t);
	CHECK_EQ(dv_cell_new(&cell, t.mesh, "one", 3, NULL), 0);
	CHECK_EQ(dv_cell_subscribe(cell, &a.view, NULL), 0);
	watch(&a);
	chan_until(&t, a.n_changed);
	CHECK_STR(a.text, "one");
	CHECK_EQ(a.version, 1);
	set(cell, "two");
	CHECK_EQ(dv_cell_subscribe(cell, &b.view, NULL), 0);
	watch(&b);
	chan_until(&t, b.n_changed && a.version == 2);
	CHECK_STR(b.text, "two");
	CHECK_EQ(b.n_changed, 1);
	CHECK_EQ(dv_cell_n_views(cell), 2);
	dv_cell_view_close(b.view);
	chan_until(&t, dv_cell_n_views(cell) == 1);
	dv_cell_close(cell, NULL);
	chan_until(&t, a.n_ended);
	/* It ended, and can be read still. */
	CHECK(a.end.closed);
	CHECK(dv_cell_view_end(a.view));
	look(&a);
	CHECK_STR(a.text, "two");
	dv_cell_view_close(a.view);
	chan_down(&t);
}

TEST(cell_set_waits_until_all_have_seen_it)
{
	struct eye a = { .n_changed = 0 }, b = { .n_changed = 0 };
	struct seen seen = { .n = 0 }, late = { .n = 0 };
	struct dv_cell *cell;
	struct chan_try t;

	chan_up(&t);
	CHECK_EQ(dv_cell_new(&cell, t.mesh, "", 0, NULL), 0);
	/* Nobody there: at once, but from the loop. */
	set_wait(cell, "x", -1, &seen);
	CHECK_EQ(seen.n, 0);
	chan_until(&t, seen.n);
	CHECK_EQ(seen.r, 0);
	CHECK_EQ(dv_cell_subscribe(cell, &a.view, NULL), 0);
	CHECK_EQ(dv_cell_subscribe(cell, &b.view, NULL), 0);
	watch(&a);
	set_wait(cell, "y", -1, &seen);
	set_wait(cell, "z", 500, &late); /* one of them has the time */
	chan_until(&t, late.n);
	CHECK_EQ(late.r, -ETIMEDOUT);
	CHECK_EQ(late.n_left, 1);
	CHECK_EQ(seen.n, 1);
	watch(&b);
	chan_until(&t, seen.n == 2);
	CHECK_EQ(seen.r, 0);
	/* Who goes away is not waited for. */
	dv_cell_view_close(a.view);
	chan_until(&t, dv_cell_n_views(cell) == 1);
	CHECK_EQ(dv_cell_subscribe(cell, &a.view, NULL), 0);
	set_wait(cell, "w", -1, &seen);
	chan_until(&t, b.version == 5);
	chan_quiet(&t);
	CHECK_EQ(seen.n, 2);
	dv_cell_view_close(a.view);
	chan_until(&t, seen.n == 3);
	CHECK_EQ(late.n, 1);
	dv_cell_view_close(b.view);
	dv_cell_close(cell, NULL);
	chan_down(&t);
}

TEST(cell_skips_what_a_slow_subscriber_missed)
{
	enum { LEN = 100000, N = 50 };
	struct dv_cell *cell;
	struct eye a = { .n_changed = 0 };
	struct seen seen = { .n = 0 };
	char *value = malloc(LEN);
	struct chan_try t;

	chan_up(&t);
	CHECK_EQ(dv_cell_new(&cell, t.mesh, "", 0, NULL), 0);
	CHECK_EQ(dv_cell_subscribe(cell, &a.view, NULL), 0);
	for (int i = 1; i <= N; i++) {
		memset(value, 'a' + i % 26, LEN);
		CHECK_EQ(dv_cell_set(cell, value, LEN, -1,
				     i == N ? on_seen : NULL, &seen, NULL),
			 0);
	}
	watch(&a);
	chan_until(&t, seen.n);
	CHECK_EQ(a.version, N + 1);
	CHECK_EQ(a.text[0], 'a' + N % 26);
	CHECK(a.n_changed < N / 2);
	dv_cell_view_close(a.view);
	dv_cell_close(cell, NULL);
	free(value);
	chan_down(&t);
}

TEST(cell_value_longer_than_the_window_does_not_block)
{
	enum { LEN = 2 << 20 };
	struct eye a = { .n_changed = 0 };
	char *value = calloc(1, LEN);
	struct dv_cell *cell;
	struct chan_try t;

	chan_up(&t);
	CHECK_EQ(dv_cell_new(&cell, t.mesh, value, LEN, NULL), 0);
	CHECK_EQ(dv_cell_subscribe(cell, &a.view, NULL), 0);
	watch(&a);
	for (uint64_t v = 1; v <= 5; v++) {
		chan_until(&t, a.version == v);
		CHECK_EQ(dv_cell_set(cell, value, LEN, -1, NULL, NULL, NULL),
			 0);
	}
	chan_until(&t, a.version == 6);
	dv_cell_view_close(a.view);
	dv_cell_close(cell, NULL);
	free(value);
	chan_down(&t);
}

TEST(cell_says_why_it_was_closed)
{
	struct dv_err why = DV_ERR_INIT;
	struct eye a = { .n_changed = 0 };
	struct dv_cell *cell;
	struct chan_try t;

	dv_err_set(&why, EIO, DV_DATA_LOSS, "torn");
	chan_up(&t);
	CHECK_EQ(dv_cell_new(&cell, t.mesh, "v", 1, NULL), 0);
	CHECK_EQ(dv_cell_subscribe(cell, &a.view, NULL), 0);
	dv_cell_close(cell, &why);
	watch(&a);
	chan_until(&t, a.n_ended);
	CHECK_EQ(a.end.err.code, DV_DATA_LOSS);
	CHECK_STR(a.text, "v");
	CHECK_EQ(dv_cell_view_clone(a.view, &(struct dv_cell_view *){ NULL },
				    NULL),
		 -EPIPE);
	dv_cell_view_close(a.view);
	chan_down(&t);
}

static struct dv_msg *last;

static void keep(struct dv_chan_receiver *rx DV_UNUSED, struct dv_msg *msg)
{
	last = dv_msg_keep(msg);
}

/* Sends @msg through a channel. */
static struct dv_msg *through(struct chan_try *t, struct dv_msg *msg)
{
	static const struct dv_chan_ops keep_ops = { .message = keep };
	struct dv_chan_receiver *rx;
	struct dv_chan_sender *tx;

	CHECK_EQ(dv_chan_new(t->mesh, &tx, &rx, NULL), 0);
	dv_chan_start(rx, &keep_ops, NULL);
	last = NULL;
	CHECK(dv_chan_send(tx, msg, NULL) >= 0);
	chan_until(t, last);
	dv_chan_sender_close(tx, NULL);
	dv_chan_receiver_close(rx, NULL);
	return last;
}

TEST(cell_view_moves_with_its_value_and_clones)
{
	struct eye a = { .n_changed = 0 }, b = { .n_changed = 0 };
	struct seen seen = { .n = 0 };
	struct dv_msg *msg;
	struct dv_cell *cell;
	struct chan_try t;

	chan_up(&t);
	CHECK_EQ(dv_cell_new(&cell, t.mesh, "one", 3, NULL), 0);
	CHECK_EQ(dv_cell_subscribe(cell, &a.view, NULL), 0);
	watch(&a);
	chan_until(&t, a.n_changed);
	CHECK_EQ(dv_cell_view_clone(a.view, &b.view, NULL), 0);
	look(&b);
	CHECK_STR(b.text, "one"); /* at once */
	set(cell, "two");
	msg = dv_msg_new(0);
	CHECK_EQ(dv_cell_view_attach(msg, a.view), 0);
	msg = through(&t, msg);
	a.view = dv_cell_view_take(msg, 0, NULL);
	dv_msg_free(msg);
	a.n_changed = 0;
	watch(&a);
	watch(&b);
	set_wait(cell, "three", 5000, &seen);
	chan_until(&t, a.version == 3 && b.version == 3);
	chan_until(&t, seen.n);
	CHECK_EQ(seen.r, 0);
	CHECK_STR(a.text, "three");
	/* After the end of the cell, too. */
	dv_cell_close(cell, NULL);
	chan_until(&t, a.n_ended && b.n_ended);
	msg = dv_msg_new(0);
	CHECK_EQ(dv_cell_view_attach(msg, a.view), 0);
	msg = through(&t, msg);
	a.view = dv_cell_view_take(msg, 0, NULL);
	dv_msg_free(msg);
	memset(a.text, 0, sizeof(a.text));
	a.n_ended = 0;
	watch(&a);
	chan_until(&t, a.n_ended);
	CHECK_STR(a.text, "three");
	dv_cell_view_close(a.view);
	dv_cell_view_close(b.view);
	chan_down(&t);
}

struct moved {
	int n, r;
};

static void on_ready(struct dv_cell *cell DV_UNUSED, int r, void *user)
{
	struct moved *m = user;

	m->n++;
	m->r = r;
}

TEST(cell_moves_with_its_subscribers)
{
	enum { N = 300 };
	static struct eye eyes[N];
	struct seen seen = { .n = 0 };
	struct moved moved = { 0, 0 };
	struct dv_cell *cell;
	struct dv_msg *msg;
	struct chan_try t;

	memset(eyes, 0, sizeof(eyes));
	chan_up(&t);
	CHECK_EQ(dv_cell_new(&cell, t.mesh, "one", 3, NULL), 0);
	for (int i = 0; i < N; i++) {
		CHECK_EQ(dv_cell_subscribe(cell, &eyes[i].view, NULL), 0);
		watch(&eyes[i]);
	}
	chan_until(&t, eyes[N - 1].version == 1);
	set(cell, "two");
	msg = dv_msg_new(0);
	CHECK_EQ(dv_cell_attach(msg, cell), 0);
	msg = through(&t, msg);
	cell = dv_cell_take(msg, 0, on_ready, &moved, NULL);
	dv_msg_free(msg);
	CHECK_EQ(dv_cell_set(cell, "x", 1, -1, NULL, NULL, NULL), -EAGAIN);
	chan_until(&t, moved.n);
	CHECK_EQ(moved.r, 0);
	CHECK_EQ(dv_cell_version(cell), 2);
	chan_until(&t, dv_cell_n_views(cell) == N);
	set_wait(cell, "three", 5000, &seen);
	chan_until(&t, seen.n);
	CHECK_EQ(seen.r, 0);
	for (int i = 0; i < N; i++) {
		CHECK_EQ(eyes[i].version, 3);
		CHECK_EQ(eyes[i].n_ended, 0);
		dv_cell_view_close(eyes[i].view);
	}
	CHECK_EQ(moved.n, 1);
	dv_cell_close(cell, NULL);
	chan_down(&t);
}

TEST(cell_may_be_closed_in_its_callbacks)
{
	struct eye a = { .close_in_changed = true };
	struct seen seen = { .close = true };
	struct dv_cell *cell;
	struct chan_try t;

	chan_up(&t);
	CHECK_EQ(dv_cell_new(&cell, t.mesh, "one", 3, NULL), 0);
	CHECK_EQ(dv_cell_subscribe(cell, &a.view, NULL), 0);
	watch(&a);
	set_wait(cell, "two", -1, &seen);
	chan_until(&t, seen.n && !a.view);
	chan_quiet(&t);
	CHECK_EQ(a.n_changed, 1);
	chan_down(&t);
}

TEST(cell_ends_who_breaks_the_rules)
{
	dv_mesh_Trailer lie = { .which_kind = dv_mesh_Trailer_seen_tag };
	struct eye a = { .n_changed = 0 }, b = { .n_changed = 0 };
	struct dv_port *port, *pair[2];
	struct dv_cell *cell;
	struct dv_msg *msg;
	struct chan_try t;

	lie.kind.seen = 77;
	chan_up(&t);
	CHECK_EQ(dv_cell_new(&cell, t.mesh, "one", 3, NULL), 0);
	for (int i = 0; i < 3; i++) {
		CHECK_EQ(dv_cell_subscribe(cell, &a.view, NULL), 0);
		msg = dv_msg_new(0);
		CHECK_EQ(dv_cell_view_attach(msg, a.view), 0);
		port = dv_msg_take_port(msg, 0);
		dv_msg_free(msg);
		msg = i == 0   ? dv_chan_msg(NULL, 0, &lie)
		      : i == 1 ? chan_text("no trailer")
			       : dv_chan_msg(NULL, 0, NULL);
		CHECK(dv_port_send(port, msg, NULL) >= 0);
		chan_until(&t, dv_cell_n_views(cell) == 0);
		dv_port_close(port, NULL);
	}
	/* And a cell that is none. */
	CHECK_EQ(dv_port_pair(t.mesh, pair), 0);
	b.view = dv_cell_view_from_port(pair[0]);
	watch(&b);
	CHECK(dv_port_send_bytes(pair[1], "?", 1, NULL) >= 0);
	chan_until(&t, b.n_ended);
	CHECK_EQ(b.end.err.code, DV_INVALID);
	CHECK(!b.end.closed);
	CHECK_EQ(b.n_changed, 0);
	dv_cell_view_close(b.view);
	dv_port_close(pair[1], NULL);
	dv_cell_close(cell, NULL);
	chan_down(&t);
}
