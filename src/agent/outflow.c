/* SPDX-License-Identifier: MIT */
#include "agent/outflow.h"

#include <errno.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include "base/def.h"
#include "base/fd.h"

/* So much is sent in one callback, then others have their turn. */
#define SEND_BUDGET (256 * 1024)
/* A sent part of this size at the front of the buffer is worth moving. */
#define COMPACT_MIN (32 * 1024)

int dv_outflow_hung_up(struct dv_err *err)
{
	return dv_err_set(err, EPIPE, DV_CANCELLED, "the client hung up");
}

static void on_end(struct dv_defer *defer)
{
	struct dv_outflow *f = dv_container_of(defer, struct dv_outflow, end);

	dv_src_del(&f->src);
	f->fd = dv_close(f->fd);
	dv_buf_free(&f->buf);
	f->sent = 0;
	f->done(f->arg, f->bytes, f->failed ? &f->err : NULL);
}

static size_t queued(const struct dv_outflow *f)
{
	return f->buf.len - f->sent;
}

static void finish(struct dv_outflow *f)
{
	dv_src_del(&f->src);
	dv_defer_add(f->loop, &f->end, on_end);
}

static void set_error(struct dv_outflow *f, const struct dv_err *err)
{
	if (f->ended)
		return;
	f->ended = true;
	f->failed = err != NULL;
	if (err)
		f->err = *err;
}

void dv_outflow_end(struct dv_outflow *f, const struct dv_err *err)
{
	if (f->ended)
		return;
	set_error(f, err);
	dv_outflow_flush(f);
}

void dv_outflow_abort(struct dv_outflow *f, const struct dv_err *err)
{
	if (f->end.loop || f->fd < 0)
		return;
	/* What was to be sent is not: that is no end in order any more. */
	f->ended = false;
	set_error(f, err);
	dv_buf_reset(&f->buf);
	f->sent = 0;
	finish(f);
}

static void hang_up(struct dv_outflow *f)
{
	struct dv_err err = DV_ERR_INIT;

	dv_outflow_hung_up(&err);
	dv_outflow_abort(f, &err);
}

static void send_failed(struct dv_outflow *f, int e)
{
	struct dv_err err = DV_ERR_INIT;

	if (e == EPIPE || e == ECONNRESET) {
		hang_up(f);
		return;
	}
	dv_err_sys(&err, e, "send to the client");
	dv_outflow_abort(f, &err);
}

/* Returns 0, -EAGAIN when the socket is full or the budget spent, -errno. */
static int send_some(struct dv_outflow *f)
{
	size_t budget = SEND_BUDGET;

	while (queued(f) > 0 && budget > 0) {
		size_t len = dv_min(queued(f), budget);
		ssize_t n = dv_send(f->fd, f->buf.data + f->sent, len);

		if (n < 0)
			return (int)n;
		f->sent += (size_t)n;
		f->bytes += (uint64_t)n;
		budget -= (size_t)n;
	}
	return queued(f) > 0 ? -EAGAIN : 0;
}

static void compact(struct dv_outflow *f)
{
	if (f->sent < f->buf.len && f->sent < COMPACT_MIN)
		return;
	dv_buf_drop(&f->buf, f->sent);
	f->sent = 0;
}

void dv_outflow_flush(struct dv_outflow *f)
{
	int r;

	if (f->end.loop || f->fd < 0)
		return;
	r = send_some(f);
	if (r < 0 && r != -EAGAIN) {
		send_failed(f, -r);
		return;
	}
	compact(f);
	if (r == 0 && f->ended)
		finish(f);
	else
		dv_src_mod(&f->src, EPOLLRDHUP | (r ? EPOLLOUT : 0));
}

size_t dv_outflow_room(struct dv_outflow *f)
{
	return f->ended ? 0 : f->buf.max - f->buf.len;
}

static void on_socket(struct dv_src *src, uint32_t events)
{
	struct dv_outflow *f = dv_container_of(src, struct dv_outflow, src);

	if (events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR)) {
		hang_up(f);
		return;
	}
	dv_outflow_flush(f);
	if (dv_outflow_room(f) > 0)
		f->room(f);
}

static int check_socket(int fd, struct dv_err *err)
{
	socklen_t len = sizeof(int);
	int type;

	if (getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &len) < 0)
		return dv_err_sys(err, errno, "the client's descriptor");
	if (type != SOCK_STREAM)
		return dv_err_sys(err, EPROTOTYPE, "the client's socket");
	return 0;
}

int dv_outflow_init(struct dv_outflow *f, struct dv_loop *loop, int out,
		    size_t max, dv_outflow_room_fn *room, dv_outflow_done *done,
		    void *arg, struct dv_err *err)
{
	dv_autofd int fd = out;
	int r = check_socket(fd, err);

	*f = (struct dv_outflow)DV_OUTFLOW_INIT;
	if (r < 0)
		return r;
	r = dv_src_add(loop, &f->src, fd, EPOLLRDHUP, on_socket);
	if (r < 0)
		return dv_err_sys(err, -r, "watch the client's socket");
	f->loop = loop;
	f->buf.max = max;
	f->room = room;
	f->done = done;
	f->arg = arg;
	f->fd = dv_take_fd(&fd);
	return 0;
}

void dv_outflow_deinit(struct dv_outflow *f)
{
	dv_src_del(&f->src);
	dv_defer_del(&f->end);
	dv_buf_free(&f->buf);
	f->fd = dv_close(f->fd);
	f->ended = true;
}
