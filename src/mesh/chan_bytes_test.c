/* SPDX-License-Identifier: MIT */
#include <stdlib.h>

#include "mesh/chan_try.h"

enum { PATTERN = 251 };

struct out {
	struct dv_bytes_writer *w;
	int n_writable, n_ended;
	struct dv_port_end end;
};

struct in {
	struct dv_bytes_reader *r;
	int n_readable;
};

static void on_writable(struct dv_bytes_writer *w)
{
	((struct out *)dv_bytes_writer_user(w))->n_writable++;
}

static void on_writer_ended(struct dv_bytes_writer *w,
			    const struct dv_port_end *end)
{
	struct out *out = dv_bytes_writer_user(w);

	out->n_ended++;
	out->end = *end;
}

static void on_readable(struct dv_bytes_reader *r)
{
	((struct in *)dv_bytes_reader_user(r))->n_readable++;
}

static const struct dv_bytes_writer_ops writer_ops = {
	.writable = on_writable,
	.ended = on_writer_ended,
};
static const struct dv_bytes_reader_ops reader_ops = {
	.readable = on_readable,
};

static void both_up(struct chan_try *t, struct out *out, struct in *in)
{
	*out = (struct out){ .w = NULL };
	*in = (struct in){ .r = NULL };
	chan_up(t);
	CHECK_EQ(dv_bytes_new(t->mesh, &out->w, &in->r, NULL), 0);
	dv_bytes_watch_write(out->w, &writer_ops, out);
	dv_bytes_watch_read(in->r, &reader_ops, in);
}

/* Read @len bytes into @buf, or up to what is no byte, which is returned. */
static ptrdiff_t read_all(struct chan_try *t, struct in *in, char *buf,
			  size_t len, struct dv_err *err)
{
	size_t at = 0;

	while (at < len) {
		ptrdiff_t n = dv_bytes_read(in->r, buf + at, len - at, err);

		if (n > 0) {
			at += (size_t)n;
			continue;
		}
		if (n != -EAGAIN)
			return n;
		in->n_readable = 0;
		chan_until(t, in->n_readable);
	}
	return (ptrdiff_t)at;
}

TEST(bytes_arrive_in_order_and_end)
{
	struct out out;
	struct in in;
	char buf[16];
	struct chan_try t;

	both_up(&t, &out, &in);
	CHECK_EQ(dv_bytes_read(in.r, buf, sizeof(buf), NULL), -EAGAIN);
	CHECK_EQ(dv_bytes_write(out.w, "hello", 5, NULL), 5);
	CHECK_EQ(dv_bytes_write(out.w, "", 0, NULL), 0);
	CHECK_EQ(dv_bytes_write(out.w, "world", 5, NULL), 5);
	dv_bytes_finish(out.w);
	CHECK_EQ(read_all(&t, &in, buf, 3, NULL), 3);
	CHECK_EQ(read_all(&t, &in, buf + 3, 7, NULL), 7);
	CHECK_EQ(memcmp(buf, "helloworld", 10), 0);
	CHECK_EQ(read_all(&t, &in, buf, 1, NULL), 0);
	CHECK_EQ(dv_bytes_read(in.r, buf, 1, NULL), 0); /* and stays so */
	dv_bytes_reader_close(in.r, NULL);
	chan_down(&t);
}

TEST(bytes_that_were_not_finished_are_an_error)
{
	struct dv_err why = DV_ERR_INIT, err;

	dv_err_set(&why, ENODATA, DV_RANGE, "end of stream");
	for (int i = 0; i < 3; i++) {
		struct out out;
		struct in in;
		char buf[16];
		struct chan_try t;

		both_up(&t, &out, &in);
		CHECK_EQ(dv_bytes_write(out.w, "part", 4, NULL), 4);
		if (i == 2) {
			/* It is thrown away on its way to somebody. */
			struct dv_msg *msg = dv_msg_new(0);

			CHECK_EQ(dv_bytes_writer_attach(msg, out.w), 0);
			dv_msg_free(msg);
		} else {
			/* A reason that reads like the end is none. */
			dv_bytes_abort(out.w, i ? &why : NULL);
		}
		CHECK_EQ(read_all(&t, &in, buf, 4, &err), 4);
		err = (struct dv_err)DV_ERR_INIT;
		CHECK_EQ(read_all(&t, &in, buf, 1, &err), -ECONNRESET);
		CHECK_EQ(err.code, i == 1 ? DV_UNKNOWN : DV_ABORTED);
		dv_bytes_reader_close(in.r, NULL);
		chan_down(&t);
	}
}

TEST(bytes_are_bounded_and_the_reader_makes_room)
{
	enum { LEN = 8 << 20 };
	char *data = malloc(LEN), *back = calloc(1, LEN);
	ptrdiff_t n = 0, done = 0, got = 0;
	struct out out;
	struct in in;
	struct chan_try t;

	for (size_t i = 0; i < LEN; i++)
		data[i] = (char)(i % PATTERN);
	both_up(&t, &out, &in);
	while ((n = dv_bytes_write(out.w, data + done, (size_t)(LEN - done),
				   NULL)) > 0)
		done += n;
	CHECK_EQ(n, -EAGAIN);
	CHECK(done < (1 << 20));
	CHECK_EQ(out.n_writable, 0);
	while (got < LEN) {
		n = dv_bytes_read(in.r, back + got, (size_t)(LEN - got), NULL);
		if (n == -EAGAIN)
			CHECK(dv_loop_dispatch(t.loop, CHAN_TRY_MS) > 0);
		else
			CHECK(n > 0);
		got += n > 0 ? n : 0;
		n = done < LEN ? dv_bytes_write(out.w, data + done,
						(size_t)(LEN - done), NULL)
			       : 0;
		CHECK(n >= 0 || n == -EAGAIN);
		done += n > 0 ? n : 0;
	}
	CHECK(out.n_writable > 0);
	CHECK_EQ(memcmp(data, back, LEN), 0);
	dv_bytes_finish(out.w);
	CHECK_EQ(read_all(&t, &in, back, 1, NULL), 0);
	dv_bytes_reader_close(in.r, NULL);
	free(data);
	free(back);
	chan_down(&t);
}

TEST(bytes_writer_hears_that_the_reader_is_gone)
{
	struct dv_err why = DV_ERR_INIT;
	struct out out;
	struct in in;
	struct chan_try t;

	dv_err_set(&why, EIO, DV_DATA_LOSS, "full");
	both_up(&t, &out, &in);
	CHECK_EQ(dv_bytes_write(out.w, "x", 1, NULL), 1);
	dv_bytes_reader_close(in.r, &why);
	chan_until(&t, out.n_ended);
	CHECK_EQ(out.end.err.code, DV_DATA_LOSS);
	CHECK_EQ(dv_bytes_write(out.w, "x", 1, NULL), -EPIPE);
	dv_bytes_abort(out.w, NULL);
	chan_down(&t);
}

static struct dv_msg *last;

static void keep(struct dv_chan_receiver *rx DV_UNUSED, struct dv_msg *msg)
{
	last = dv_msg_keep(msg);
}

static void move_reader(struct chan_try *t, struct in *in)
{
	static const struct dv_chan_ops ops = { .message = keep };
	struct dv_msg *msg = dv_msg_new(0);
	struct dv_chan_receiver *rx;
	struct dv_chan_sender *tx;

	CHECK_EQ(dv_chan_new(t->mesh, &tx, &rx, NULL), 0);
	dv_chan_start(rx, &ops, NULL);
	CHECK_EQ(dv_bytes_reader_attach(msg, in->r), 0);
	last = NULL;
	CHECK(dv_chan_send(tx, msg, NULL) >= 0);
	chan_until(t, last);
	in->r = dv_bytes_reader_take(last, 0, NULL);
	CHECK(in->r);
	dv_msg_free(last);
	dv_chan_sender_close(tx, NULL);
	dv_chan_receiver_close(rx, NULL);
	dv_bytes_watch_read(in->r, &reader_ops, in);
}

/* D-15 of what is known of such streams: moves must not eat the window. */
TEST(bytes_reader_moves_often_with_little_writes)
{
	enum { MOVES = 40, EACH = 31 };
	struct out out;
	struct in in;
	struct chan_try t;
	char buf[8], next = 0;

	both_up(&t, &out, &in);
	for (int i = 0; i < MOVES; i++) {
		for (int k = 0; k < EACH; k++) {
			char three[3] = { next, (char)(next + 1),
					  (char)(next + 2) };

			next = (char)(next + 3);
			CHECK_EQ(dv_bytes_write(out.w, three, 3, NULL), 3);
		}
		/* It is in the middle of one when it moves. */
		CHECK_EQ(read_all(&t, &in, buf, 1, NULL), 1);
		CHECK_EQ(buf[0], (char)(next - 3 * EACH));
		move_reader(&t, &in);
		for (int k = 1; k < 3 * EACH; k++) {
			CHECK_EQ(read_all(&t, &in, buf, 1, NULL), 1);
			CHECK_EQ(buf[0], (char)(next - 3 * EACH + k));
		}
	}
	CHECK_EQ(dv_bytes_write(out.w, "ab", 2, NULL), 2);
	dv_bytes_finish(out.w);
	CHECK_EQ(read_all(&t, &in, buf, 1, NULL), 1);
	move_reader(&t, &in);
	CHECK_EQ(read_all(&t, &in, buf, 1, NULL), 1);
	CHECK_EQ(buf[0], 'b');
	CHECK_EQ(read_all(&t, &in, buf, 1, NULL), 0);
	/* The end moves, too. */
	move_reader(&t, &in);
	CHECK_EQ(read_all(&t, &in, buf, 1, NULL), 0);
	dv_bytes_reader_close(in.r, NULL);
	chan_down(&t);
}
