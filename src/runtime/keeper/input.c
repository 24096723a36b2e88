/* SPDX-License-Identifier: MIT */
/*
 * DOC: one writer at a time
 *
 * A writer comes with a socket. While it is open the place is taken. Closing it
 * gives the place up, and the command notices nothing; shutdown() for writing
 * is the end of the input: a pipe is closed, a terminal gets VEOF. Then our end
 * of the socket is closed, too, by which the writer knows that all was taken.
 *
 * Nothing is read while something is held that the command does not take.
 */
#include "runtime/keeper/io.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/epoll.h>
#include <termios.h>

#include "base/def.h"
#include "base/fd.h"
#include "services/pump.h"

/* The place is free again. */
static void let_go(struct dv_keeper_in *in)
{
	dv_src_del(&in->src);
	in->from = dv_close(in->from);
	in->ending = false;
}

void dv_keeper_in_stop(struct dv_keeper_in *in)
{
	let_go(in);
	dv_src_del(&in->dst);
	in->to = dv_close(in->to);
	in->off = in->len = 0;
}

/* A line that was begun is passed on by the first, the end told by the next. */
static void put_veof(struct dv_keeper_in *in)
{
	struct termios t;
	char end = 4;

	if (tcgetattr(in->to, &t) == 0)
		end = (char)t.c_cc[VEOF];
	in->off = 0;
	in->len = in->midline ? 2 : 1;
	memset(in->buf, end, in->len);
	in->midline = false;
}

static void update(struct dv_keeper_in *in);

/* All that was read is delivered, and it was the last. */
static void end(struct dv_keeper_in *in)
{
	bool tty = in->tty;

	if (!tty) {
		dv_keeper_in_stop(in);
		return;
	}
	let_go(in);
	put_veof(in);
	update(in);
}

static void on_room(struct dv_src *src, uint32_t events)
{
	struct dv_keeper_in *in =
		dv_container_of(src, struct dv_keeper_in, dst);
	ssize_t n;

	(void)events;
	n = dv_write(in->to, in->buf + in->off, in->len - in->off);
	if (n == -EAGAIN)
		return;
	if (n < 0) {
		dv_keeper_in_stop(in); /* the command reads no more */
		return;
	}
	in->off += (size_t)n;
	update(in);
}

/* Did the other side go away, or only stop writing? */
static bool hung_up(int fd)
{
	struct pollfd p = { .fd = fd };

	return poll(&p, 1, 0) > 0 && (p.revents & (POLLHUP | POLLERR));
}

static void on_writer(struct dv_src *src, uint32_t events)
{
	struct dv_keeper_in *in =
		dv_container_of(src, struct dv_keeper_in, src);
	ssize_t n = dv_read(in->from, in->buf, sizeof(in->buf));

	(void)events;
	if (n == -EAGAIN)
		return;
	dv_keeper_touch(in->k);
	if (n < 0 || (n == 0 && hung_up(in->from))) {
		let_go(in);
		return;
	}
	in->ending = n == 0;
	in->off = 0;
	in->len = (size_t)n;
	if (n > 0)
		in->midline = in->buf[n - 1] != '\n';
	update(in);
}

/* Watch what can go on: the writer, or what it is written to. */
static void update(struct dv_keeper_in *in)
{
	bool held = in->off < in->len;

	if (!held && in->ending) {
		end(in);
		return;
	}
	dv_src_del(&in->src);
	dv_src_del(&in->dst);
	if (held &&
	    dv_src_add(in->loop, &in->dst, in->to, EPOLLOUT, on_room) < 0)
		dv_keeper_in_stop(in);
	else if (!held && in->from >= 0 &&
		 dv_src_add(in->loop, &in->src, in->from, EPOLLIN, on_writer) <
			 0)
		let_go(in);
}

int dv_keeper_in_start(struct dv_keeper_in *in, struct dv_loop *loop, int to,
		       bool tty)
{
	in->loop = loop;
	in->to = to;
	in->tty = tty;
	in->midline = false;
	return dv_fd_nonblock(to, true);
}

int dv_keeper_in_resume(struct dv_keeper_in *in, struct dv_loop *loop,
			const dv_StreamsState *st, bool tty)
{
	in->loop = loop;
	in->tty = tty;
	in->to = dv_fd_from_state(st->in);
	in->from = dv_fd_from_state(st->writer);
	in->midline = st->midline;
	in->ending = st->ending;
	if (st->held && st->held->size <= sizeof(in->buf)) {
		in->off = 0;
		in->len = st->held->size;
		memcpy(in->buf, st->held->bytes, in->len);
	}
	if (in->to >= 0)
		update(in);
	return 0;
}

static int refuse(const struct dv_keeper *k, struct dv_err *err)
{
	dv_err_hint(err, "start it with davit run -d -i");
	if (!k->kept.keep.input)
		return dv_err_set(err, ENOTTY, DV_PRECONDITION,
				  "it takes no input");
	return dv_err_set(err, EPIPE, DV_NOT_FOUND, "its input has ended");
}

int dv_keeper_io_input(struct dv_keeper *k, int fd, bool steal,
		       struct dv_err *err)
{
	struct dv_keeper_in *in = k->io ? &k->io->in : NULL;
	int r;

	if (!in || in->to < 0)
		r = refuse(k, err);
	else if (in->from >= 0 && !steal) {
		dv_err_hint(err, "attach --steal takes it over");
		r = dv_err_set(err, EBUSY, DV_PRECONDITION,
			       "somebody else writes to it");
	} else {
		r = dv_fd_nonblock(fd, true);
		if (r < 0)
			dv_err_sys(err, -r, "take its input");
	}
	if (r < 0) {
		dv_close(fd);
		return r;
	}
	let_go(in);
	in->from = fd;
	dv_keeper_touch(k);
	update(in);
	return 0;
}

void dv_keeper_io_drop_input(struct dv_keeper *k)
{
	if (k->io)
		let_go(&k->io->in);
}
