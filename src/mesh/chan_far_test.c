/* SPDX-License-Identifier: MIT */
/*
 * Channels between real processes, some of which die. A child is told what to
 * do by one message on the port of its invitation: a word, numbers, and what it
 * shall use, attached.
 */
#include <stdlib.h>

#include "mesh/chan_try.h"

enum { SENDERS = 4, PATTERN = 251, TOTAL = 3 << 20 };

/* ---- what children do ---------------------------------------------- */

/* What one process has in its hands. The parent uses it, too. */
struct kid {
	struct chan_try *t;
	bool done;
	int r;
	/* talk, hear */
	struct dv_chan_sender *tx;
	struct dv_chan_receiver *rx;
	uint32_t id, n, talked;
	uint32_t next[SENDERS];
	uint32_t n_heard, stop_at;
	int n_lost, n_closed;
	bool closed_fine;
	struct dv_port_end lost;
	/* serve, ask */
	struct dv_chan_sender *other;
	struct dv_asked *held;
	int n_answers;
	struct dv_answer answer;
	struct dv_err err;
	struct dv_port_end end;
	char text[64];
	/* view, cell */
	struct dv_cell *cell;
	struct dv_cell_view *view;
	int n_changed, n_ended, n_seen, seen_r;
	uint64_t version;
	/* cancel */
	struct dv_cancel *cancel;
	int n_cancelled;
	struct dv_err why;
	/* write, read */
	struct dv_bytes_writer *w;
	struct dv_bytes_reader *rd;
	size_t at;
};

static void done(struct kid *k, int r)
{
	k->done = true;
	k->r = r;
}

/* Numbers, as fast as they are taken. */
static void talk(struct kid *k)
{
	int r = 0;

	while (k->talked < k->n && r == 0) {
		uint32_t said[2] = { k->id, k->talked };

		r = dv_chan_send_bytes(k->tx, said, sizeof(said), NULL);
		if (r >= 0)
			k->talked++;
	}
	if (r == -EPIPE)
		done(k, 20);
	if (k->talked < k->n || k->done)
		return;
	k->tx = dv_chan_sender_close(k->tx, NULL);
	done(k, 0);
}

static void talk_writable(struct dv_chan_sender *tx)
{
	talk(dv_chan_sender_user(tx));
}

static void talk_ended(struct dv_chan_sender *tx, const struct dv_port_end *end)
{
	struct kid *k = dv_chan_sender_user(tx);

	k->end = *end;
	k->n_ended++;
	done(k, 21);
}

static const struct dv_chan_sender_ops talk_ops = {
	.writable = talk_writable,
	.ended = talk_ended,
};

static void hear_message(struct dv_chan_receiver *rx, struct dv_msg *msg)
{
	struct kid *k = dv_chan_user(rx);
	uint32_t said[2];

	must(dv_msg_len(msg) == sizeof(said));
	memcpy(said, dv_msg_data(msg), sizeof(said));
	must(said[0] < SENDERS);
	must(k->next[said[0]] == said[1]);
	k->next[said[0]]++;
	k->n_heard++;
	if (k->stop_at && k->n_heard == k->stop_at)
		dv_chan_pause(rx, true);
}

static void hear_lost(struct dv_chan_receiver *rx,
		      const struct dv_port_end *end)
{
	struct kid *k = dv_chan_user(rx);

	k->n_lost++;
	k->lost = *end;
}

static void hear_closed(struct dv_chan_receiver *rx,
			const struct dv_port_end *end)
{
	struct kid *k = dv_chan_user(rx);

	k->n_closed++;
	k->closed_fine = !end;
	k->rx = dv_chan_receiver_close(rx, NULL);
	done(k, end ? 30 : 0);
}

static const struct dv_chan_ops hear_ops = {
	.message = hear_message,
	.lost = hear_lost,
	.closed = hear_closed,
};

static void asked_cancelled(struct dv_asked *asked,
			    const struct dv_port_end *end)
{
	struct kid *k = dv_asked_user(asked);

	k->n_cancelled++;
	k->end = *end;
	k->held = dv_asked_drop(asked);
	done(k, end->err.code);
}

static void serve_asked(struct dv_chan_receiver *rx, struct dv_asked *asked)
{
	static const struct dv_asked_ops ops = { .cancelled = asked_cancelled };
	struct kid *k = dv_chan_user(rx);
	const char *p = dv_msg_data(dv_asked_msg(asked));
	struct dv_err err = DV_ERR_INIT;

	switch (p[0]) {
	case 'e': /* echo */
		dv_asked_answer(asked, dv_asked_take_msg(asked), NULL);
		break;
	case 'f':
		dv_err_set(&err, ENOENT, DV_NOT_FOUND, "no such thing");
		dv_asked_fail(asked, &err);
		break;
	case 'd':
		dv_asked_drop(asked);
		break;
	case 'x': /* pass it on, if there is somebody */
		if (k->other)
			must(dv_asked_forward(asked, k->other, NULL) >= 0);
		else
			dv_asked_answer(asked, chan_text("third"), NULL);
		break;
	case 's':
		for (int i = 0; i < 3; i++)
			must(dv_asked_more(asked, chan_text("part"), NULL) >=
			     0);
		dv_asked_end(asked);
		break;
	default:
		k->held = asked;
		dv_asked_watch(asked, &ops, k);
	}
}

static const struct dv_chan_ops serve_ops = {
	.asked = serve_asked,
	.lost = hear_lost,
	.closed = hear_closed,
};

static void on_answer(struct dv_ask *ask DV_UNUSED, const struct dv_answer *a,
		      void *user)
{
	struct kid *k = user;

	k->n_answers++;
	k->answer = *a;
	if (a->err)
		k->err = *a->err;
	if (a->end)
		k->end = *a->end;
	if (a->msg) {
		memcpy(k->text, dv_msg_data(a->msg), dv_msg_len(a->msg));
		k->text[dv_msg_len(a->msg)] = '\0';
	}
}

static void ask(struct kid *k, const char *text, int timeout_ms)
{
	const struct dv_ask_opts opts = { .size = sizeof(opts),
					  .timeout_ms = timeout_ms,
					  .stream = text[0] == 's' };

	must(dv_ask(k->tx, chan_text(text), &opts, on_answer, k, NULL, NULL) >=
	     0);
}

static void view_changed(struct dv_cell_view *view)
{
	struct kid *k = dv_cell_view_user(view);
	const void *data;
	size_t len;

	k->n_changed++;
	k->version = dv_cell_view_get(view, &data, &len);
	must(len < sizeof(k->text));
	memcpy(k->text, data, len);
	k->text[len] = '\0';
	if (strcmp(k->text, "last") == 0)
		done(k, 0);
}

static void view_ended(struct dv_cell_view *view, const struct dv_port_end *end)
{
	struct kid *k = dv_cell_view_user(view);

	k->n_ended++;
	k->end = *end;
	done(k, 40);
}

static const struct dv_cell_view_ops view_ops = {
	.changed = view_changed,
	.ended = view_ended,
};

static void cell_seen(struct dv_cell *cell DV_UNUSED, int r,
		      uint32_t n_left DV_UNUSED, void *user)
{
	struct kid *k = user;

	k->n_seen++;
	k->seen_r = r;
}

static void cell_ready(struct dv_cell *cell, int r, void *user)
{
	struct kid *k = user;

	must(r == 0);
	must(dv_cell_set(cell, "last", 4, 5000, cell_seen, k, NULL) == 0);
}

static void set(struct kid *k, const char *s)
{
	must(dv_cell_set(k->cell, s, strlen(s), 10000, cell_seen, k, NULL) ==
	     0);
}

static void was_cancelled(struct dv_cancel *c DV_UNUSED,
			  const struct dv_err *why, void *user)
{
	struct kid *k = user;

	k->n_cancelled++;
	k->why = *why;
	done(k, why->code);
}

static void write_on(struct kid *k)
{
	static char buf[PATTERN * 100];
	ptrdiff_t n = 1;

	for (size_t i = 0; i < sizeof(buf); i++)
		buf[i] = (char)(i % PATTERN);
	while (k->at < k->n && n > 0) {
		size_t from = k->at % PATTERN;
		size_t len = dv_min(sizeof(buf) - from, k->n - k->at);

		/* Of all lengths. */
		len = dv_min(len, k->at % 1000 + 1);
		n = dv_bytes_write(k->w, buf + from, len, NULL);
		if (n > 0)
			k->at += (size_t)n;
	}
	if (k->at < k->n)
		return;
	dv_bytes_finish(k->w);
	k->w = NULL;
	done(k, 0);
}

static void write_writable(struct dv_bytes_writer *w)
{
	write_on(dv_bytes_writer_user(w));
}

static void write_ended(struct dv_bytes_writer *w,
			const struct dv_port_end *end DV_UNUSED)
{
	done(dv_bytes_writer_user(w), 50);
}

static const struct dv_bytes_writer_ops write_ops = {
	.writable = write_writable,
	.ended = write_ended,
};

static void read_on(struct dv_bytes_reader *r)
{
	struct kid *k = dv_bytes_reader_user(r);
	char buf[777];
	ptrdiff_t n;

	while ((!k->stop_at || k->at < k->stop_at) &&
	       (n = dv_bytes_read(r, buf, sizeof(buf), &k->err)) != -EAGAIN) {
		if (n <= 0) {
			done(k, n == 0 && k->at == k->n ? 0 : 60);
			return;
		}
		for (ptrdiff_t i = 0; i < n; i++)
			must(buf[i] == (char)(k->at++ % PATTERN));
	}
}

static const struct dv_bytes_reader_ops read_ops = { .readable = read_on };

/* ---- the first message --------------------------------------------- */

static void begin(struct kid *k, const char *word, struct dv_msg *msg)
{
	struct dv_msg *out;

	if (strcmp(word, "talk") == 0) {
		k->tx = dv_chan_sender_take(msg, 0, NULL);
		must(k->tx);
		dv_chan_watch(k->tx, &talk_ops, k);
		talk(k);
	} else if (strcmp(word, "hear") == 0) {
		k->rx = dv_chan_receiver_take(msg, 0, NULL);
		must(k->rx);
		dv_chan_start(k->rx, &hear_ops, k);
	} else if (strcmp(word, "serve") == 0) {
		k->rx = dv_chan_receiver_take(msg, 0, NULL);
		must(k->rx);
		k->other = dv_chan_sender_take(msg, 1, NULL);
		dv_chan_start(k->rx, &serve_ops, k);
	} else if (strcmp(word, "ask") == 0) {
		k->tx = dv_chan_sender_take(msg, 0, NULL);
		must(k->tx);
		ask(k, "hold", -1);
	} else if (strcmp(word, "view") == 0) {
		k->view = dv_cell_view_take(msg, 0, NULL);
		must(k->view);
		dv_cell_view_watch(k->view, &view_ops, k);
	} else if (strcmp(word, "cell") == 0) {
		must(dv_cell_new(&k->cell, k->t->mesh, "alive", 5, NULL) == 0);
		must(dv_cell_subscribe(k->cell, &k->view, NULL) == 0);
		k->tx = dv_chan_sender_take(msg, 0, NULL);
		out = dv_msg_new(0);
		must(dv_cell_view_attach(out, k->view) == 0);
		k->view = NULL; /* it was given away */
		must(dv_chan_send(k->tx, out, NULL) >= 0);
	} else if (strcmp(word, "take-cell") == 0) {
		k->cell = dv_cell_take(msg, 0, cell_ready, k, NULL);
		must(k->cell);
	} else if (strcmp(word, "cancel") == 0) {
		k->cancel = dv_cancel_take(msg, 0, was_cancelled, k, NULL);
		must(k->cancel);
	} else if (strcmp(word, "pass") == 0 || strcmp(word, "child") == 0) {
		k->cancel = dv_cancel_take(msg, 0, NULL, NULL, NULL);
		k->tx = dv_chan_sender_take(msg, 1, NULL);
		out = chan_text("cancel 0 0 0 0 0 0 0 0");
		must((word[0] == 'p' ? dv_cancel_pass(out, k->cancel)
				     : dv_cancel_attach(out, k->cancel)) == 0);
		must(dv_chan_send(k->tx, out, NULL) >= 0);
	} else if (strcmp(word, "write") == 0) {
		k->w = dv_bytes_writer_take(msg, 0, NULL);
		must(k->w);
		dv_bytes_watch_write(k->w, &write_ops, k);
		write_on(k);
	} else if (strcmp(word, "read") == 0) {
		k->rd = dv_bytes_reader_take(msg, 0, NULL);
		must(k->rd);
		dv_bytes_watch_read(k->rd, &read_ops, k);
		read_on(k->rd);
	} else {
		must(!"a word that is known");
	}
}

static void told(struct dv_chan_receiver *rx, struct dv_msg *msg)
{
	struct kid *k = dv_chan_user(rx);
	char text[128] = "", word[16];
	unsigned int v[8] = { 0 };

	must(dv_msg_len(msg) < sizeof(text));
	memcpy(text, dv_msg_data(msg), dv_msg_len(msg));
	must(sscanf(text, "%15s %u %u %u %u %u %u %u %u", word, &v[0], &v[1],
		    &v[2], &v[3], &v[4], &v[5], &v[6], &v[7]) == 9);
	k->id = v[0];
	k->n = v[1];
	k->at = v[2];
	for (int i = 0; i < SENDERS; i++)
		k->next[i] = v[3 + i];
	begin(k, word, msg);
}

static void told_closed(struct dv_chan_receiver *rx,
			const struct dv_port_end *end DV_UNUSED)
{
	struct kid *k = dv_chan_user(rx);

	/* The parent wants no more. */
	done(k, k->done ? k->r : 0);
}

static void kid_close(struct kid *k)
{
	dv_asked_drop(k->held);
	dv_chan_sender_close(k->tx, NULL);
	dv_chan_sender_close(k->other, NULL);
	dv_chan_receiver_close(k->rx, NULL);
	dv_cell_view_close(k->view);
	dv_cell_close(k->cell, NULL);
	dv_cancel_free(k->cancel);
	dv_bytes_abort(k->w, NULL);
	dv_bytes_reader_close(k->rd, NULL);
}

static int kid_main(struct chan_try *t, struct dv_port *port)
{
	static const struct dv_chan_ops ops = { .message = told,
						.closed = told_closed };
	struct kid k = { .t = t };
	struct dv_chan_receiver *rx = dv_chan_receiver_from_port(port);

	must(rx);
	dv_chan_start(rx, &ops, &k);
	must_until(t, k.done);
	kid_close(&k);
	dv_chan_receiver_close(rx, NULL);
	return k.r;
}

/* ---- the parent ---------------------------------------------------- */

enum { KIDS = 3 };

struct family {
	struct chan_try t;
	struct chan_child child[KIDS];
	struct dv_chan_sender *to[KIDS];
	int n;
	struct kid k; /* what the parent does itself */
};

static void family_up(struct family *f, int n)
{
	memset(f, 0, sizeof(*f));
	f->n = n;
	for (int i = 0; i < n; i++)
		f->child[i] = chan_fork(kid_main);
	chan_up(&f->t);
	f->k.t = &f->t;
	for (int i = 0; i < n; i++)
		f->to[i] = dv_chan_sender_from_port(
			chan_invite(&f->t, &f->child[i]));
}

/* Wait for child @i, with the loop running: it may still need us. */
static int family_wait(struct family *f, int i)
{
	siginfo_t si = { .si_pid = 0 };

	chan_until(&f->t, waitid(P_PID, (id_t)f->child[i].pid, &si,
				 WEXITED | WNOHANG | WNOWAIT) == 0 &&
				  si.si_pid);
	return chan_wait(&f->child[i]);
}

static void family_down(struct family *f)
{
	kid_close(&f->k);
	for (int i = 0; i < f->n; i++)
		dv_chan_sender_close(f->to[i], NULL);
	chan_quiet(&f->t);
	chan_down(&f->t);
}

static void kill_kid(struct family *f, int i)
{
	CHECK_EQ(kill(f->child[i].pid, SIGKILL), 0);
	CHECK_EQ(chan_wait(&f->child[i]), 1000 + SIGKILL);
}

/* Tell child @i; what is to be attached is in @msg. */
static void tell(struct family *f, int i, struct dv_msg *msg)
{
	CHECK(dv_chan_send(f->to[i], msg, NULL) >= 0);
}

static struct dv_msg *order(const char *word, unsigned int id, unsigned int n,
			    unsigned int at, const uint32_t *next)
{
	static const uint32_t zero[SENDERS];
	char text[128];

	next = next ? next : zero;
	snprintf(text, sizeof(text), "%s %u %u %u %u %u %u %u 0", word, id, n,
		 at, next[0], next[1], next[2], next[3]);
	return chan_text(text);
}

static void give_sender(struct family *f, int i, unsigned int id,
			unsigned int n)
{
	struct dv_msg *msg = order("talk", id, n, 0, NULL);
	struct dv_chan_sender *tx;

	CHECK_EQ(dv_chan_add_sender(f->k.rx, &tx, NULL), 0);
	CHECK_EQ(dv_chan_sender_attach(msg, tx), 0);
	tell(f, i, msg);
}

/* A channel whose receiver is the parent's, without a sender here. */
static void open_ear(struct family *f)
{
	struct dv_chan_sender *tx;

	CHECK_EQ(dv_chan_new(f->t.mesh, &tx, &f->k.rx, NULL), 0);
	f->k.tx = tx;
}

TEST(far_senders_keep_their_order_and_close)
{
	struct family f;

	family_up(&f, 2);
	open_ear(&f);
	dv_chan_start(f.k.rx, &hear_ops, &f.k);
	give_sender(&f, 0, 0, 20000);
	give_sender(&f, 1, 1, 20000);
	f.k.tx = dv_chan_sender_close(f.k.tx, NULL);
	chan_until(&f.t, f.k.done);
	CHECK(f.k.closed_fine);
	CHECK_EQ(f.k.next[0], 20000);
	CHECK_EQ(f.k.next[1], 20000);
	CHECK_EQ(family_wait(&f, 0), 0);
	CHECK_EQ(family_wait(&f, 1), 0);
	family_down(&f);
}

TEST(far_receiver_moves_in_the_middle_with_all_its_senders)
{
	enum { N = 30000 };
	struct family f;
	struct dv_msg *msg;

	family_up(&f, 3);
	open_ear(&f);
	f.k.id = 2;
	f.k.stop_at = 5000;
	dv_chan_start(f.k.rx, &hear_ops, &f.k);
	give_sender(&f, 0, 0, N);
	give_sender(&f, 1, 1, N);
	/* One sender stays here. */
	f.k.n = N;
	dv_chan_watch(f.k.tx, &talk_ops, &f.k);
	talk(&f.k);
	chan_until(&f.t, f.k.n_heard == f.k.stop_at);
	msg = order("hear", 0, 0, 0, f.k.next);
	CHECK_EQ(dv_chan_receiver_attach(msg, f.k.rx), 0);
	f.k.rx = NULL;
	tell(&f, 2, msg);
	CHECK_EQ(family_wait(&f, 2), 0);
	CHECK_EQ(family_wait(&f, 0), 0);
	CHECK_EQ(family_wait(&f, 1), 0);
	CHECK(f.k.done && f.k.r == 0);
	family_down(&f);
}

TEST(far_both_halves_move_at_once_with_what_was_sent)
{
	struct dv_msg *talk_msg, *hear_msg;
	struct family f;

	family_up(&f, 2);
	open_ear(&f);
	for (uint32_t i = 0; i < 1000; i++) {
		uint32_t said[2] = { 3, i };

		CHECK(dv_chan_send_bytes(f.k.tx, said, sizeof(said), NULL) >=
		      0);
	}
	talk_msg = order("talk", 0, 5000, 0, NULL);
	CHECK(dv_chan_clone(f.k.tx, &f.k.other, NULL) >= 0);
	CHECK_EQ(dv_chan_sender_attach(talk_msg, f.k.other), 0);
	f.k.other = NULL;
	hear_msg = order("hear", 0, 0, 0, NULL);
	CHECK_EQ(dv_chan_receiver_attach(hear_msg, f.k.rx), 0);
	f.k.rx = NULL;
	tell(&f, 0, talk_msg);
	tell(&f, 1, hear_msg);
	f.k.tx = dv_chan_sender_close(f.k.tx, NULL);
	CHECK_EQ(family_wait(&f, 0), 0);
	CHECK_EQ(family_wait(&f, 1), 0);
	family_down(&f);
}

TEST(far_sender_that_is_killed_is_lost_and_the_others_live)
{
	struct family f;

	family_up(&f, 2);
	open_ear(&f);
	dv_chan_start(f.k.rx, &hear_ops, &f.k);
	give_sender(&f, 0, 0, UINT32_MAX);
	give_sender(&f, 1, 1, 20000);
	f.k.tx = dv_chan_sender_close(f.k.tx, NULL);
	chan_until(&f.t, f.k.next[0] > 1000);
	kill_kid(&f, 0);
	chan_until(&f.t, f.k.n_lost);
	CHECK(!f.k.lost.closed);
	CHECK(f.k.lost.err.code != DV_OK);
	CHECK_EQ(f.k.lost.pid, f.child[0].pid);
	chan_until(&f.t, f.k.done);
	CHECK_EQ(f.k.next[1], 20000);
	CHECK(!f.k.closed_fine);
	CHECK_EQ(f.k.n_lost, 1);
	CHECK_EQ(family_wait(&f, 1), 0);
	family_down(&f);
}

TEST(far_receiver_that_is_killed_ends_its_senders)
{
	struct dv_chan_receiver *rx;
	struct dv_msg *msg = order("hear", 0, 0, 0, NULL);
	struct family f;

	family_up(&f, 1);
	CHECK_EQ(dv_chan_new(f.t.mesh, &f.k.tx, &rx, NULL), 0);
	CHECK_EQ(dv_chan_receiver_attach(msg, rx), 0);
	tell(&f, 0, msg);
	dv_chan_watch(f.k.tx, &talk_ops, &f.k);
	f.k.n = UINT32_MAX;
	talk(&f.k);
	chan_until(&f.t, f.k.talked > 20000);
	kill_kid(&f, 0);
	chan_until(&f.t, f.k.n_ended);
	CHECK(!f.k.end.closed);
	CHECK_EQ(f.k.end.pid, f.child[0].pid);
	CHECK_EQ(dv_chan_send_bytes(f.k.tx, "x", 1, NULL), -EPIPE);
	family_down(&f);
}

/* ---- questions ----------------------------------------------------- */

/* Child @i serves; we have the sender. */
static void serve_there(struct family *f, int i, struct dv_chan_sender *other)
{
	struct dv_msg *msg = order("serve", 0, 0, 0, NULL);
	struct dv_chan_receiver *rx;

	CHECK_EQ(dv_chan_new(f->t.mesh, &f->k.tx, &rx, NULL), 0);
	CHECK_EQ(dv_chan_receiver_attach(msg, rx), 0);
	if (other)
		CHECK_EQ(dv_chan_sender_attach(msg, other), 1);
	tell(f, i, msg);
}

TEST(far_ask_is_answered)
{
	struct family f;

	family_up(&f, 1);
	serve_there(&f, 0, NULL);
	for (int i = 0; i < 1000; i++) {
		ask(&f.k, "echo", 0);
		chan_until(&f.t, f.k.n_answers == i + 1);
		CHECK_EQ(f.k.answer.r, 0);
		CHECK_STR(f.k.text, "echo");
	}
	ask(&f.k, "fail", 0);
	chan_until(&f.t, f.k.n_answers == 1001);
	CHECK_EQ(f.k.err.code, DV_NOT_FOUND);
	CHECK_EQ(f.k.answer.r, -ENOENT);
	CHECK_STR(f.k.err.msg, "no such thing");
	ask(&f.k, "drop", 0);
	chan_until(&f.t, f.k.n_answers == 1002);
	CHECK_EQ(f.k.err.code, DV_ABORTED);
	ask(&f.k, "stream", 0);
	chan_until(&f.t, f.k.n_answers == 1006);
	CHECK(!f.k.answer.more);
	CHECK_EQ(f.k.answer.r, 0);
	f.k.tx = dv_chan_sender_close(f.k.tx, NULL);
	CHECK_EQ(family_wait(&f, 0), 0);
	family_down(&f);
}

TEST(far_ask_is_passed_on_and_answered_by_the_third)
{
	struct family f;

	family_up(&f, 2);
	serve_there(&f, 1, NULL);
	serve_there(&f, 0, f.k.tx);
	for (int i = 0; i < 100; i++)
		ask(&f.k, "x", 0);
	/* Who passes them on needs to live no longer than that. */
	f.k.tx = dv_chan_sender_close(f.k.tx, NULL);
	CHECK_EQ(family_wait(&f, 0), 0);
	chan_until(&f.t, f.k.n_answers == 100);
	CHECK_EQ(f.k.answer.r, 0);
	CHECK_STR(f.k.text, "third");
	CHECK_EQ(family_wait(&f, 1), 0);
	family_down(&f);
}

TEST(far_ask_of_who_is_killed_is_an_error_that_names_him)
{
	struct family f;

	family_up(&f, 1);
	serve_there(&f, 0, NULL);
	for (int i = 0; i < 10; i++)
		ask(&f.k, "hold", -1);
	ask(&f.k, "echo", -1);
	chan_until(&f.t, f.k.n_answers == 1); /* all have arrived there */
	ask(&f.k, "hold", -1);
	kill_kid(&f, 0);
	chan_until(&f.t, f.k.n_answers == 12);
	CHECK_EQ(f.k.err.code, DV_UNAVAILABLE);
	CHECK_EQ(f.k.end.pid, f.child[0].pid);
	CHECK(!f.k.end.closed);
	family_down(&f);
}

TEST(far_ask_by_who_is_killed_is_cancelled)
{
	struct dv_msg *msg = order("ask", 0, 0, 0, NULL);
	struct dv_chan_sender *tx;
	struct family f;

	family_up(&f, 1);
	CHECK_EQ(dv_chan_new(f.t.mesh, &tx, &f.k.rx, NULL), 0);
	dv_chan_start(f.k.rx, &serve_ops, &f.k);
	CHECK_EQ(dv_chan_sender_attach(msg, tx), 0);
	tell(&f, 0, msg);
	chan_until(&f.t, f.k.held);
	kill_kid(&f, 0);
	chan_until(&f.t, f.k.n_cancelled);
	CHECK(!f.k.end.closed);
	CHECK_EQ(f.k.end.pid, f.child[0].pid);
	chan_until(&f.t, f.k.n_closed);
	family_down(&f);
}

TEST(far_ask_ends_at_its_deadline_on_both_sides)
{
	struct family f;

	family_up(&f, 1);
	serve_there(&f, 0, NULL);
	ask(&f.k, "hold", 100);
	chan_until(&f.t, f.k.n_answers);
	CHECK_EQ(f.k.err.code, DV_DEADLINE);
	/* The child's own clock, or our word: whichever was first. */
	CHECK_EQ(family_wait(&f, 0), DV_DEADLINE);
	family_down(&f);
}

/* ---- cells --------------------------------------------------------- */

static void view_there(struct family *f, int i)
{
	struct dv_msg *msg = order("view", 0, 0, 0, NULL);
	struct dv_cell_view *view;

	CHECK_EQ(dv_cell_subscribe(f->k.cell, &view, NULL), 0);
	CHECK_EQ(dv_cell_view_attach(msg, view), 0);
	tell(f, i, msg);
}

TEST(far_cell_is_seen_by_all_who_live)
{
	struct family f;

	family_up(&f, 2);
	CHECK_EQ(dv_cell_new(&f.k.cell, f.t.mesh, "first", 5, NULL), 0);
	view_there(&f, 0);
	view_there(&f, 1);
	set(&f.k, "second");
	chan_until(&f.t, f.k.n_seen);
	CHECK_EQ(f.k.seen_r, 0);
	CHECK_EQ(dv_cell_n_views(f.k.cell), 2);
	/* Who does not look, and then dies, is waited for until then. */
	CHECK_EQ(kill(f.child[0].pid, SIGSTOP), 0);
	CHECK_EQ(dv_cell_set(f.k.cell, "x", 1, 50, cell_seen, &f.k, NULL), 0);
	chan_until(&f.t, f.k.n_seen == 2);
	CHECK_EQ(f.k.seen_r, -ETIMEDOUT);
	set(&f.k, "last");
	kill_kid(&f, 0);
	chan_until(&f.t, f.k.n_seen == 3);
	CHECK_EQ(f.k.seen_r, 0);
	CHECK_EQ(family_wait(&f, 1), 0);
	family_down(&f);
}

static void take_view(struct dv_chan_receiver *rx, struct dv_msg *msg)
{
	struct kid *k = dv_chan_user(rx);

	k->view = dv_cell_view_take(msg, 0, NULL);
	must(k->view);
	dv_cell_view_watch(k->view, &view_ops, k);
}

TEST(far_cell_whose_process_dies_is_an_error_and_can_still_be_read)
{
	static const struct dv_chan_ops ops = { .message = take_view };
	struct dv_msg *msg = order("cell", 0, 0, 0, NULL);
	struct dv_chan_sender *tx;
	struct family f;

	family_up(&f, 1);
	CHECK_EQ(dv_chan_new(f.t.mesh, &tx, &f.k.rx, NULL), 0);
	dv_chan_start(f.k.rx, &ops, &f.k);
	CHECK_EQ(dv_chan_sender_attach(msg, tx), 0);
	tell(&f, 0, msg);
	chan_until(&f.t, f.k.n_changed);
	CHECK_STR(f.k.text, "alive");
	kill_kid(&f, 0);
	chan_until(&f.t, f.k.n_ended);
	CHECK(!f.k.end.closed);
	CHECK_EQ(f.k.end.pid, f.child[0].pid);
	CHECK_EQ(dv_cell_view_get(f.k.view, &(const void *){ NULL },
				  &(size_t){ 0 }),
		 1);
	family_down(&f);
}

TEST(far_cell_and_its_views_move)
{
	struct dv_msg *msg;
	struct family f;

	family_up(&f, 3);
	CHECK_EQ(dv_cell_new(&f.k.cell, f.t.mesh, "first", 5, NULL), 0);
	view_there(&f, 0);
	view_there(&f, 1);
	CHECK_EQ(dv_cell_subscribe(f.k.cell, &f.k.view, NULL), 0);
	dv_cell_view_watch(f.k.view, &view_ops, &f.k);
	set(&f.k, "second");
	msg = order("take-cell", 0, 0, 0, NULL);
	CHECK_EQ(dv_cell_attach(msg, f.k.cell), 0);
	f.k.cell = NULL;
	tell(&f, 2, msg);
	/* It is set to "last" there. */
	CHECK_EQ(family_wait(&f, 0), 0);
	CHECK_EQ(family_wait(&f, 1), 0);
	chan_until(&f.t, f.k.done);
	CHECK_EQ(f.k.n_ended, 0);
	CHECK_STR(f.k.text, "last");
	f.to[2] = dv_chan_sender_close(f.to[2], NULL);
	CHECK_EQ(family_wait(&f, 2), 0);
	family_down(&f);
}

/* ---- cancelling ---------------------------------------------------- */

TEST(far_cancel_by_hand_by_deadline_and_by_death)
{
	struct dv_cancel *root, *soon;
	struct dv_msg *msg;
	struct family f;

	family_up(&f, 3);
	CHECK_EQ(dv_cancel_new(&root, f.t.mesh, NULL, -1, NULL, NULL, NULL), 0);
	CHECK_EQ(dv_cancel_new(&soon, f.t.mesh, root, 50, NULL, NULL, NULL), 0);
	msg = order("cancel", 0, 0, 0, NULL);
	CHECK_EQ(dv_cancel_attach(msg, root), 0);
	tell(&f, 0, msg);
	msg = order("cancel", 0, 0, 0, NULL);
	CHECK_EQ(dv_cancel_attach(msg, soon), 0);
	tell(&f, 1, msg);
	CHECK_EQ(family_wait(&f, 1), DV_DEADLINE);
	CHECK(!dv_cancel_why(root));
	dv_cancel_now(root, NULL);
	CHECK_EQ(family_wait(&f, 0), DV_CANCELLED);
	dv_cancel_free(soon);
	dv_cancel_free(root);
	family_down(&f);
	/* The third was never told: its invitation ends with us. */
	CHECK_EQ(chan_wait(&f.child[2]), 0);
}

static void cancel_by_way_of(const char *word, bool cancelled)
{
	struct dv_cancel *root;
	struct dv_chan_sender *tx;
	struct dv_msg *msg = order(word, 0, 0, 0, NULL);
	struct family f;

	family_up(&f, 2);
	CHECK_EQ(dv_cancel_new(&root, f.t.mesh, NULL, -1, NULL, NULL, NULL), 0);
	CHECK_EQ(dv_cancel_attach(msg, root), 0);
	CHECK(dv_chan_clone(f.to[1], &tx, NULL) >= 0);
	CHECK_EQ(dv_chan_sender_attach(msg, tx), 1);
	tell(&f, 0, msg);
	f.to[0] = dv_chan_sender_close(f.to[0], NULL);
	if (cancelled) {
		/* It decides, and goes. */
		CHECK_EQ(family_wait(&f, 0), 0);
		CHECK_EQ(family_wait(&f, 1), DV_CANCELLED);
	} else {
		CHECK_EQ(family_wait(&f, 0), 0);
		chan_quiet(&f.t);
		CHECK_EQ(waitpid(f.child[1].pid, NULL, WNOHANG), 0);
		dv_cancel_now(root, &(struct dv_err){ .code = DV_DENIED });
		CHECK_EQ(family_wait(&f, 1), DV_DENIED);
	}
	dv_cancel_free(root);
	family_down(&f);
}

TEST(far_cancel_that_was_passed_on_needs_no_courier)
{
	cancel_by_way_of("pass", false);
}

TEST(far_cancel_child_goes_with_its_parent)
{
	cancel_by_way_of("child", true);
}

/* ---- bytes --------------------------------------------------------- */

TEST(far_bytes_reader_moves_in_the_middle)
{
	struct dv_bytes_writer *w;
	struct dv_msg *msg;
	struct family f;

	family_up(&f, 2);
	CHECK_EQ(dv_bytes_new(f.t.mesh, &w, &f.k.rd, NULL), 0);
	msg = order("write", 0, TOTAL, 0, NULL);
	CHECK_EQ(dv_bytes_writer_attach(msg, w), 0);
	tell(&f, 0, msg);
	f.k.n = TOTAL;
	f.k.stop_at = TOTAL / 3;
	dv_bytes_watch_read(f.k.rd, &read_ops, &f.k);
	chan_until(&f.t, f.k.at >= f.k.stop_at);
	msg = order("read", 0, TOTAL, (unsigned int)f.k.at, NULL);
	CHECK_EQ(dv_bytes_reader_attach(msg, f.k.rd), 0);
	f.k.rd = NULL;
	tell(&f, 1, msg);
	CHECK_EQ(family_wait(&f, 1), 0);
	CHECK_EQ(family_wait(&f, 0), 0);
	family_down(&f);
}

TEST(far_bytes_of_who_is_killed_are_not_complete)
{
	struct dv_bytes_writer *w;
	struct dv_msg *msg;
	struct family f;

	family_up(&f, 1);
	CHECK_EQ(dv_bytes_new(f.t.mesh, &w, &f.k.rd, NULL), 0);
	msg = order("write", 0, UINT32_MAX, 0, NULL);
	CHECK_EQ(dv_bytes_writer_attach(msg, w), 0);
	tell(&f, 0, msg);
	f.k.n = UINT32_MAX;
	dv_bytes_watch_read(f.k.rd, &read_ops, &f.k);
	chan_until(&f.t, f.k.at > 100000);
	kill_kid(&f, 0);
	chan_until(&f.t, f.k.done);
	CHECK_EQ(f.k.r, 60);
	CHECK(f.k.err.code != DV_OK);
	family_down(&f);
}
