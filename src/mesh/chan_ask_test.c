/* SPDX-License-Identifier: MIT */
#include "mesh/chan_try.h"

enum { HELD_MAX = 4 };

/* Who is asked: by the first letter of the question. */
struct server {
	struct dv_chan_receiver *rx;
	struct dv_chan_sender *next; /* for what is passed on */
	struct dv_asked *held[HELD_MAX];
	int n_asked, n_held, n_cancelled, n_writable;
	struct dv_port_end cancelled;
	uint64_t left_ns;
	bool drop_when_cancelled;
};

static void on_cancelled(struct dv_asked *asked, const struct dv_port_end *end)
{
	struct server *s = dv_asked_user(asked);

	s->n_cancelled++;
	s->cancelled = *end;
	if (s->drop_when_cancelled)
		dv_asked_drop(asked);
}

static void on_writable(struct dv_asked *asked)
{
	((struct server *)dv_asked_user(asked))->n_writable++;
}

static const struct dv_asked_ops asked_ops = {
	.cancelled = on_cancelled,
	.writable = on_writable,
};

static void on_asked(struct dv_chan_receiver *rx, struct dv_asked *asked)
{
	struct server *s = dv_chan_user(rx);
	const char *p = dv_msg_data(dv_asked_msg(asked));
	struct dv_err err = DV_ERR_INIT;

	s->n_asked++;
	s->left_ns = dv_asked_left_ns(asked);
	switch (dv_msg_len(dv_asked_msg(asked)) ? p[0] : 0) {
	case 'e': /* echo, attachments and all */
		CHECK_EQ(dv_asked_answer(asked, dv_asked_take_msg(asked), NULL),
			 0);
		break;
	case 'f':
		dv_err_set(&err, ENOENT, DV_NOT_FOUND, "no such thing");
		dv_err_hint(&err, "look elsewhere");
		dv_asked_fail(asked, &err);
		break;
	case 'd':
		dv_asked_drop(asked);
		break;
	case 's': /* a stream of three */
		CHECK(dv_asked_is_stream(asked));
		for (int i = 0; i < 3; i++)
			CHECK(dv_asked_more(asked, chan_text("part"), NULL) >=
			      0);
		dv_asked_end(asked);
		break;
	case 'n': /* on to the next */
		CHECK(dv_asked_forward(asked, s->next, NULL) >= 0);
		break;
	case 'w': /* hold, and watch */
		dv_asked_watch(asked, &asked_ops, s);
		s->held[s->n_held++] = asked;
		break;
	default:
		s->held[s->n_held++] = asked;
	}
}

static const struct dv_chan_ops server_ops = { .asked = on_asked };

struct client {
	int n, n_more, r;
	char text[64];
	bool is_error, has_end;
	struct dv_err err;
	struct dv_port_end end;
	size_t n_atts;
};

static void on_answer(struct dv_ask *ask DV_UNUSED, const struct dv_answer *a,
		      void *user)
{
	struct client *c = user;

	if (a->more) {
		c->n_more++;
		return;
	}
	c->n++;
	c->r = a->r;
	CHECK_EQ(a->r < 0, a->err != NULL);
	if (a->err)
		c->err = *a->err;
	c->has_end = a->end != NULL;
	if (a->end)
		c->end = *a->end;
	if (a->msg) {
		memcpy(c->text, dv_msg_data(a->msg), dv_msg_len(a->msg));
		c->text[dv_msg_len(a->msg)] = '\0';
		c->n_atts = dv_msg_n_atts(a->msg);
	}
}

struct both {
	struct chan_try t;
	struct server s;
	struct dv_chan_sender *tx;
};

static void both_up(struct both *b)
{
	memset(b, 0, sizeof(*b));
	chan_up(&b->t);
	CHECK_EQ(dv_chan_new(b->t.mesh, &b->tx, &b->s.rx, NULL), 0);
	dv_chan_start(b->s.rx, &server_ops, &b->s);
}

static void both_down(struct both *b)
{
	dv_chan_sender_close(b->tx, NULL);
	dv_chan_receiver_close(b->s.rx, NULL);
	chan_down(&b->t);
}

static struct dv_ask *ask(struct both *b, const char *text,
			  const struct dv_ask_opts *opts, struct client *c)
{
	struct dv_ask *ask = NULL;

	CHECK(dv_ask(b->tx, chan_text(text), opts, on_answer, c, &ask, NULL) >=
	      0);
	return ask;
}

TEST(ask_gets_its_answer_with_attachments)
{
	struct client c = { .n = 0 };
	struct dv_msg *msg = chan_text("echo");
	struct both b;

	both_up(&b);
	CHECK_EQ(dv_msg_add_fd(msg, dup(2)), 0);
	CHECK(dv_ask(b.tx, msg, NULL, on_answer, &c, NULL, NULL) >= 0);
	CHECK_EQ(c.n, 0);
	chan_until(&b.t, c.n);
	CHECK_EQ(c.r, 0);
	CHECK_STR(c.text, "echo");
	CHECK_EQ(c.n_atts, 1); /* the reply port is not among them */
	/* The default deadline came along. */
	CHECK(b.s.left_ns <= DV_ASK_TIMEOUT_MS * 1000000ull);
	CHECK(b.s.left_ns > DV_ASK_TIMEOUT_MS * 500000ull);
	chan_quiet(&b.t);
	CHECK_EQ(c.n, 1);
	both_down(&b);
}

TEST(ask_gets_answers_in_any_order)
{
	struct client c1 = { .n = 0 }, c2 = { .n = 0 };
	struct both b;

	both_up(&b);
	ask(&b, "1", NULL, &c1);
	ask(&b, "2", NULL, &c2);
	chan_until(&b.t, b.s.n_held == 2);
	/* The receiver may be gone by then. */
	b.s.rx = dv_chan_receiver_close(b.s.rx, NULL);
	CHECK(chan_is(dv_asked_msg(b.s.held[1]), "2"));
	CHECK_EQ(dv_asked_answer(b.s.held[1], chan_text("two"), NULL), 0);
	chan_until(&b.t, c2.n);
	CHECK_EQ(c1.n, 0);
	CHECK_EQ(dv_asked_answer(b.s.held[0], chan_text("one"), NULL), 0);
	chan_until(&b.t, c1.n);
	CHECK_STR(c1.text, "one");
	CHECK_STR(c2.text, "two");
	both_down(&b);
}

TEST(ask_gets_the_error_as_it_is)
{
	struct client c = { .n = 0 };
	struct both b;

	both_up(&b);
	ask(&b, "fail", NULL, &c);
	chan_until(&b.t, c.n);
	CHECK_EQ(c.r, -ENOENT);
	CHECK_EQ(c.err.code, DV_NOT_FOUND);
	CHECK_EQ(c.err.sys, ENOENT);
	CHECK_STR(c.err.msg, "no such thing");
	CHECK_STR(c.err.hint, "look elsewhere");
	CHECK(!c.has_end);
	both_down(&b);
}

TEST(ask_hears_that_the_question_was_dropped)
{
	struct client c = { .n = 0 }, c2 = { .n = 0 };
	struct both b;

	both_up(&b);
	ask(&b, "drop", NULL, &c);
	chan_until(&b.t, c.n);
	CHECK_EQ(c.err.code, DV_ABORTED);
	CHECK_STR(c.err.msg, "the question was dropped without an answer");
	/* And that nobody ever saw it. */
	dv_chan_pause(b.s.rx, true);
	ask(&b, "unseen", NULL, &c2);
	chan_quiet(&b.t);
	b.s.rx = dv_chan_receiver_close(b.s.rx, NULL);
	chan_until(&b.t, c2.n);
	CHECK_EQ(c2.err.code, DV_UNAVAILABLE);
	CHECK(c2.has_end);
	both_down(&b);
}

TEST(ask_of_a_channel_for_messages_only_is_refused)
{
	static const struct dv_chan_ops none = { .asked = NULL };
	struct client c = { .n = 0 };
	struct both b;

	both_up(&b);
	dv_chan_start(b.s.rx, &none, NULL);
	ask(&b, "?", NULL, &c);
	chan_until(&b.t, c.n);
	CHECK_EQ(c.err.code, DV_UNIMPLEMENTED);
	both_down(&b);
}

TEST(ask_ends_at_its_deadline_on_both_sides)
{
	const struct dv_ask_opts opts = { .size = sizeof(opts),
					  .timeout_ms = 50 };
	struct client c = { .n = 0 }, c2 = { .n = 0 };
	struct dv_err err = DV_ERR_INIT;
	struct both b;

	both_up(&b);
	ask(&b, "watch", &opts, &c);
	ask(&b, "hold", &opts, &c2);
	chan_until(&b.t, c.n && c2.n && b.s.n_cancelled);
	CHECK_EQ(c.r, -ETIMEDOUT);
	CHECK_EQ(c.err.code, DV_DEADLINE);
	CHECK_EQ(b.s.n_cancelled, 1);
	CHECK_EQ(b.s.cancelled.err.code, DV_DEADLINE);
	CHECK_EQ(dv_asked_left_ns(b.s.held[0]), 0);
	CHECK_EQ(dv_asked_answer(b.s.held[0], chan_text("late"), &err), -EPIPE);
	/* Who starts to look later hears it, too. */
	chan_until(&b.t, dv_asked_left_ns(b.s.held[1]) == 0);
	dv_asked_watch(b.s.held[1], &asked_ops, &b.s);
	CHECK_EQ(b.s.n_cancelled, 1);
	chan_until(&b.t, b.s.n_cancelled == 2);
	dv_asked_drop(b.s.held[1]);
	chan_quiet(&b.t);
	CHECK_EQ(c.n, 1);
	both_down(&b);
}

TEST(ask_that_is_cancelled_cancels_the_work)
{
	struct client c = { .n = 0 };
	struct dv_ask *a;
	struct both b;

	both_up(&b);
	b.s.drop_when_cancelled = true;
	a = ask(&b, "watch", NULL, &c);
	chan_until(&b.t, b.s.n_held);
	dv_ask_cancel(a);
	chan_until(&b.t, b.s.n_cancelled);
	CHECK_EQ(b.s.cancelled.err.code, DV_CANCELLED);
	chan_quiet(&b.t);
	CHECK_EQ(c.n, 0);
	both_down(&b);
}

TEST(ask_ends_with_its_context_and_not_after_it)
{
	struct dv_ask_opts opts = { .size = sizeof(opts) };
	struct client c = { .n = 0 }, c2 = { .n = 0 };
	struct dv_cancel *ctx, *soon;
	struct both b;

	both_up(&b);
	CHECK_EQ(dv_cancel_new(&ctx, b.t.mesh, NULL, -1, NULL, NULL, NULL), 0);
	CHECK_EQ(dv_cancel_new(&soon, b.t.mesh, ctx, 20, NULL, NULL, NULL), 0);
	opts.cancel = ctx;
	ask(&b, "watch", &opts, &c);
	opts.cancel = soon;
	ask(&b, "hold", &opts, &c2);
	chan_until(&b.t, c2.n);
	CHECK_EQ(c2.err.code, DV_DEADLINE);
	CHECK_EQ(c.n, 0);
	dv_cancel_now(ctx, NULL);
	CHECK_EQ(c.n, 0);
	chan_until(&b.t, c.n && b.s.n_cancelled);
	CHECK_EQ(c.err.code, DV_CANCELLED);
	CHECK_EQ(b.s.cancelled.err.code, DV_CANCELLED);
	dv_asked_drop(b.s.held[0]);
	dv_asked_drop(b.s.held[1]);
	dv_cancel_free(soon);
	dv_cancel_free(ctx);
	both_down(&b);
}

TEST(ask_for_a_stream_gets_all_of_it_and_an_end)
{
	const struct dv_ask_opts opts = { .size = sizeof(opts),
					  .stream = true };
	struct client c = { .n = 0 }, c2 = { .n = 0 }, c3 = { .n = 0 };
	struct both b;

	both_up(&b);
	ask(&b, "stream", &opts, &c);
	chan_until(&b.t, c.n);
	CHECK_EQ(c.n_more, 3);
	CHECK_EQ(c.r, 0);
	/* Its last answer may be the end, and it may fail in the middle. */
	ask(&b, "hold", &opts, &c2);
	ask(&b, "hold", &opts, &c3);
	chan_until(&b.t, b.s.n_held == 2);
	CHECK_EQ(dv_asked_answer(b.s.held[0], chan_text("all"), NULL), 0);
	CHECK(dv_asked_more(b.s.held[1], chan_text("part"), NULL) >= 0);
	dv_asked_drop(b.s.held[1]);
	chan_until(&b.t, c2.n && c3.n);
	CHECK_EQ(c2.n_more, 1);
	CHECK_EQ(c2.r, 0);
	CHECK_EQ(c3.n_more, 1);
	CHECK_EQ(c3.err.code, DV_ABORTED);
	both_down(&b);
}

TEST(ask_for_one_answer_gets_no_stream)
{
	struct client c = { .n = 0 };
	struct both b;

	both_up(&b);
	ask(&b, "hold", NULL, &c);
	chan_until(&b.t, b.s.n_held);
	CHECK_EQ(dv_asked_more(b.s.held[0], chan_text("x"), NULL), -EINVAL);
	CHECK_EQ(dv_asked_answer(b.s.held[0], chan_text("one"), NULL), 0);
	chan_until(&b.t, c.n);
	CHECK_EQ(c.r, 0);
	both_down(&b);
}

static void on_asked_second(struct dv_chan_receiver *rx, struct dv_asked *asked)
{
	struct server *s = dv_chan_user(rx);

	s->n_asked++;
	s->left_ns = dv_asked_left_ns(asked);
	CHECK(chan_is(dv_asked_msg(asked), "next"));
	CHECK_EQ(dv_msg_n_atts(dv_asked_msg(asked)), 1);
	CHECK_EQ(dv_msg_att(dv_asked_msg(asked), 0), DV_ATT_FD);
	CHECK_EQ(dv_asked_answer(asked, chan_text("from the second"), NULL), 0);
}

TEST(ask_that_is_passed_on_is_answered_from_there)
{
	static const struct dv_chan_ops ops = { .asked = on_asked_second };
	struct server second = { .n_asked = 0 };
	struct client c = { .n = 0 };
	struct dv_msg *msg = chan_text("next");
	struct both b;

	both_up(&b);
	CHECK_EQ(dv_chan_new(b.t.mesh, &b.s.next, &second.rx, NULL), 0);
	dv_chan_start(second.rx, &ops, &second);
	CHECK_EQ(dv_msg_add_fd(msg, dup(2)), 0);
	CHECK(dv_ask(b.tx, msg, NULL, on_answer, &c, NULL, NULL) >= 0);
	chan_until(&b.t, c.n);
	CHECK_EQ(c.r, 0);
	CHECK_STR(c.text, "from the second");
	CHECK_EQ(second.n_asked, 1);
	CHECK(second.left_ns > 0 && second.left_ns <= b.s.left_ns);
	dv_chan_receiver_close(second.rx, NULL);
	dv_chan_sender_close(b.s.next, NULL);
	both_down(&b);
}

TEST(ask_that_is_passed_on_to_nobody_is_an_error)
{
	struct dv_chan_receiver *rx;
	struct dv_err err = DV_ERR_INIT;
	struct client c = { .n = 0 };
	struct both b;

	both_up(&b);
	CHECK_EQ(dv_chan_new(b.t.mesh, &b.s.next, &rx, NULL), 0);
	dv_chan_receiver_close(rx, NULL);
	ask(&b, "hold", NULL, &c);
	chan_until(&b.t, b.s.n_held);
	CHECK_EQ(dv_asked_forward(b.s.held[0], b.s.next, &err), -EPIPE);
	chan_until(&b.t, c.n);
	CHECK_EQ(c.err.code, DV_UNAVAILABLE);
	dv_chan_sender_close(b.s.next, NULL);
	both_down(&b);
}

TEST(ask_checks_what_it_is_given)
{
	struct dv_ask_opts opts = { .size = sizeof(opts), .timeout_ms = -2 };
	struct client c = { .n = 0 };
	struct dv_err err = DV_ERR_INIT;
	struct dv_msg *msg;
	struct both b;

	both_up(&b);
	msg = chan_text("x");
	CHECK_EQ(dv_ask(b.tx, msg, &opts, on_answer, &c, NULL, &err), -EINVAL);
	opts = (struct dv_ask_opts){ .size = 3 };
	msg = chan_text("x");
	CHECK_EQ(dv_ask(b.tx, msg, &opts, on_answer, &c, NULL, &err), -EINVAL);
	msg = chan_text("x");
	for (int i = 0; i < DV_MSG_ATT_MAX; i++)
		CHECK_EQ(dv_msg_add_fd(msg, dup(2)), i);
	CHECK_EQ(dv_ask(b.tx, msg, NULL, on_answer, &c, NULL, &err), -E2BIG);
	b.s.rx = dv_chan_receiver_close(b.s.rx, NULL);
	chan_quiet(&b.t);
	msg = chan_text("x");
	CHECK_EQ(dv_ask(b.tx, msg, NULL, on_answer, &c, NULL, &err), -EPIPE);
	chan_quiet(&b.t);
	CHECK_EQ(c.n, 0);
	both_down(&b);
}

struct again {
	struct both *b;
	int left;
};

/* Asks the next from inside the answer of the last. */
static void ask_again(struct dv_ask *last, const struct dv_answer *a,
		      void *user)
{
	struct again *g = user;

	CHECK_EQ(a->r, 0);
	dv_ask_cancel(last); /* too late: nothing */
	if (--g->left)
		CHECK(dv_ask(g->b->tx, chan_text("e"), NULL, ask_again, g, NULL,
			     NULL) >= 0);
}

TEST(ask_may_be_used_inside_its_callbacks)
{
	struct again g = { .left = 1000 };
	struct both b;

	both_up(&b);
	g.b = &b;
	CHECK(dv_ask(b.tx, chan_text("e"), NULL, ask_again, &g, NULL, NULL) >=
	      0);
	chan_until(&b.t, g.left == 0);
	both_down(&b);
}
