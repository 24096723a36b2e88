/* SPDX-License-Identifier: MIT */
/*
 * DOC: dialling
 *
 *	BEGIN -> CONNECTING -> ANSWER -> (called back)
 *	  |  ^       |                       ^
 *	  v  |       +-----------------------+
 *	 FULL
 *
 * BEGIN runs from the loop, so that nobody is called back from inside the
 * start. A unix connect() is done at once or refused; with a full queue it says
 * EAGAIN, for whose end the kernel has no event: FULL waits a little, longer
 * each time. CONNECTING is AF_VSOCK only. ANSWER reads the reply by looking at
 * what is there first, and then takes only the bytes that belong to it.
 */
#include "transport/dial.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include "base/def.h"
#include "base/fd.h"
#include "transport/unix.h"
#include "transport/vsock.h"
#include "wire/hvsock.h"

enum { FULL_MIN_MS = 1, FULL_MAX_MS = 100 };
#define NS_PER_MS UINT64_C(1000000)

struct dv_dial {
	struct dv_loop *loop;
	struct dv_target target;
	uint32_t port;
	dv_dial_fn *fn;
	void *arg;
	dv_dial_check_fn *check; /* NULL: none */
	void *check_arg;

	struct dv_src src;
	struct dv_defer begin;
	struct dv_timer full, deadline;
	uint32_t full_ms;
	int fd; /* owned */
	char reply[DV_HVSOCK_REPLY_MAX];
	size_t reply_len;
	struct dv_err err;
};

/* ---- results ---------------------------------------------------------- */

static const char *const class_names[] = {
	[DV_DIAL_OK] = "ok",
	[DV_DIAL_NOT_STARTED] = "not-started",
	[DV_DIAL_TIMED_OUT] = "timed-out",
	[DV_DIAL_CLOSED] = "closed",
	[DV_DIAL_OTHER] = "other",
};
static_assert(DV_ARRAY_LEN(class_names) == DV_DIAL_CLASS_N, "a name for each");

static const int class_retry_ms[] = {
	[DV_DIAL_OK] = -1,       [DV_DIAL_NOT_STARTED] = DV_DIAL_NOT_STARTED_MS,
	[DV_DIAL_TIMED_OUT] = 0, [DV_DIAL_CLOSED] = DV_DIAL_CLOSED_MS,
	[DV_DIAL_OTHER] = -1,
};
static_assert(DV_ARRAY_LEN(class_retry_ms) == DV_DIAL_CLASS_N, "and a delay");

const char *dv_dial_class_name(enum dv_dial_class cls)
{
	return (unsigned int)cls < DV_DIAL_CLASS_N ? class_names[cls]
						   : "unknown";
}

static struct dv_dial_result result(enum dv_dial_class cls)
{
	return (struct dv_dial_result){ cls, class_retry_ms[cls] };
}

struct dv_dial_result dv_dial_classify(int sys)
{
	switch (sys) {
	case 0:
		return result(DV_DIAL_OK);
	case EADDRNOTAVAIL:
	case ENETUNREACH:
		return result(DV_DIAL_NOT_STARTED);
	case ETIMEDOUT:
		return result(DV_DIAL_TIMED_OUT);
	default:
		return result(DV_DIAL_OTHER);
	}
}

/* ---- end -------------------------------------------------------------- */

struct dv_dial *dv_dial_cancel(struct dv_dial *d)
{
	if (!d)
		return NULL;
	dv_src_del(&d->src);
	dv_defer_del(&d->begin);
	dv_timer_stop(&d->full);
	dv_timer_stop(&d->deadline);
	dv_close(d->fd);
	free(d);
	return NULL;
}

/* @r is an fd or -errno with the error filled. */
static void finish(struct dv_dial *d, int r, enum dv_dial_class cls)
{
	struct dv_dial_result res = result(cls);
	struct dv_err err = d->err;
	dv_dial_fn *fn = d->fn;
	void *arg = d->arg;

	if (r < 0 && d->target.kind == DV_TARGET_PATH && d->port != 0)
		dv_err_wrap(&err, r, "port %u of %s", d->port, d->target.path);
	dv_dial_cancel(d);
	fn(arg, r, &res, &err);
}

static void succeed(struct dv_dial *d)
{
	int fd = dv_take_fd(&d->fd);

	dv_src_del(&d->src);
	d->err = (struct dv_err)DV_ERR_INIT;
	finish(d, fd, DV_DIAL_OK);
}

static void connect_failed(struct dv_dial *d, int r)
{
	finish(d, r, dv_dial_classify(-r).cls);
}

static void closed(struct dv_dial *d)
{
	dv_err_set(&d->err, ECONNRESET, DV_UNAVAILABLE,
		   "closed before it answered");
	dv_err_hint(&d->err, "nothing listens on that port (yet), or the guest "
			     "is still starting");
	finish(d, -ECONNRESET, DV_DIAL_CLOSED);
}

static void on_deadline(struct dv_timer *timer)
{
	struct dv_dial *d = dv_container_of(timer, struct dv_dial, deadline);
	const char *what = d->fd < 0 ? "its queue is full"
			   : d->target.kind == DV_TARGET_CID
				   ? "no answer"
				   : "connected, but no answer to CONNECT";

	dv_err_sys(&d->err, ETIMEDOUT, "%s", what);
	finish(d, -ETIMEDOUT, DV_DIAL_TIMED_OUT);
}

/* ---- handshake -------------------------------------------------------- */

/* Take @len bytes that are known to be there. */
static int take(struct dv_dial *d, size_t len)
{
	ssize_t n =
		len ? recv(d->fd, d->reply + d->reply_len, len, MSG_DONTWAIT)
		    : 0;

	if (n != (ssize_t)len)
		return -EIO;
	d->reply_len += len;
	return 0;
}

static void answered(struct dv_dial *d, size_t len)
{
	struct dv_hvsock_addr addr;
	size_t used = 0;
	int r = dv_hvsock_parse_reply(d->reply, len, &addr, &used, &d->err);

	if (r < 0) {
		finish(d, r, DV_DIAL_OTHER);
		return;
	}
	if (take(d, (r == DV_MORE ? len : used) - d->reply_len) < 0)
		closed(d);
	else if (r == 0)
		succeed(d);
}

static void on_answer(struct dv_src *src, uint32_t events DV_UNUSED)
{
	struct dv_dial *d = dv_container_of(src, struct dv_dial, src);
	ssize_t n =
		recv(d->fd, d->reply + d->reply_len,
		     sizeof(d->reply) - d->reply_len, MSG_PEEK | MSG_DONTWAIT);

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n <= 0)
		closed(d);
	else
		answered(d, d->reply_len + (size_t)n);
}

static int watch(struct dv_dial *d, uint32_t events, dv_src_fn *fn)
{
	int r = dv_src_add(d->loop, &d->src, d->fd, events, fn);

	return r < 0 ? dv_err_sys(&d->err, -r, "watch a connection") : 0;
}

static void say_connect(struct dv_dial *d)
{
	struct dv_hvsock_addr addr = { d->port, false };
	char line[DV_HVSOCK_LINE_MAX + 1];
	size_t len = dv_hvsock_put_connect(line, &addr);
	int r;

	/* A fresh socket has room for it. */
	if (dv_send(d->fd, line, len) != (ssize_t)len) {
		closed(d);
		return;
	}
	r = watch(d, EPOLLIN, on_answer);
	if (r < 0)
		connect_failed(d, r);
}

/* ---- connect ---------------------------------------------------------- */

static void on_full(struct dv_timer *timer);

static void connect_path(struct dv_dial *d)
{
	int r = dv_unix_connect(d->target.path, &d->err);

	if (r == -EAGAIN) {
		d->full_ms = d->full_ms ? dv_min(2 * d->full_ms,
						 (uint32_t)FULL_MAX_MS)
					: FULL_MIN_MS;
		r = dv_timer_set(d->loop, &d->full,
				 dv_now_ns() + d->full_ms * NS_PER_MS, on_full);
		if (r == 0)
			return;
		dv_err_sys(&d->err, -r, "wait for its queue");
	}
	d->fd = r < 0 ? -1 : r;
	if (r >= 0 && d->check)
		r = d->check(d->check_arg, d->fd, &d->err);
	if (r < 0)
		connect_failed(d, r);
	else if (d->port == 0)
		succeed(d);
	else
		say_connect(d);
}

static void on_full(struct dv_timer *timer)
{
	connect_path(dv_container_of(timer, struct dv_dial, full));
}

static void on_connected(struct dv_src *src, uint32_t events DV_UNUSED)
{
	struct dv_dial *d = dv_container_of(src, struct dv_dial, src);
	socklen_t len = sizeof(int);
	int sys = 0;

	if (getsockopt(d->fd, SOL_SOCKET, SO_ERROR, &sys, &len) < 0)
		sys = errno;
	if (sys == 0)
		succeed(d);
	else
		connect_failed(d, dv_err_sys(&d->err, sys,
					     "connect to vsock %u:%u",
					     d->target.cid, d->port));
}

static void on_begin(struct dv_defer *defer)
{
	struct dv_dial *d = dv_container_of(defer, struct dv_dial, begin);
	int r;

	if (d->target.kind == DV_TARGET_PATH) {
		connect_path(d);
		return;
	}
	r = dv_af_vsock_connect(d->target.cid, d->port, &d->err);
	d->fd = r < 0 ? -1 : r;
	if (r >= 0)
		r = watch(d, EPOLLOUT, on_connected);
	if (r < 0)
		connect_failed(d, r);
}

/* ---- start ------------------------------------------------------------ */

static int check_target(const struct dv_target *t, uint32_t port,
			struct dv_err *err)
{
	int r;

	if (t->kind == DV_TARGET_PATH) {
		if (!t->path[0] || !memchr(t->path, '\0', sizeof(t->path)))
			return dv_err_set(err, EINVAL, DV_INVALID,
					  "target without a proper path");
		return 0;
	}
	r = dv_af_vsock_check_cid(t->cid, err);
	if (r == 0 && port == 0)
		r = dv_err_set(err, EINVAL, DV_INVALID,
			       "vsock target %u without a port", t->cid);
	return r;
}

int dv_dial_start(struct dv_dial **dialp, struct dv_loop *loop,
		  const struct dv_target *target, uint32_t port, int timeout_ms,
		  dv_dial_fn *fn, void *arg, struct dv_err *err)
{
	struct dv_dial *d;
	int r;

	if (port == 0 && target->kind == DV_TARGET_CID)
		port = target->port;
	r = check_target(target, port, err);
	if (r < 0)
		return r;
	d = calloc(1, sizeof(*d));
	if (!d)
		return dv_err_sys(err, ENOMEM, "dial");
	d->loop = loop;
	d->target = *target;
	d->port = port;
	d->fn = fn;
	d->arg = arg;
	d->fd = -1;
	d->src = (struct dv_src)DV_SRC_INIT;
	if (timeout_ms >= 0) {
		uint64_t ns = (uint64_t)timeout_ms * NS_PER_MS;

		r = dv_timer_set(loop, &d->deadline, dv_now_ns() + ns,
				 on_deadline);
		if (r < 0) {
			free(d);
			return dv_err_sys(err, -r, "dial");
		}
	}
	dv_defer_add(loop, &d->begin, on_begin);
	*dialp = d;
	return 0;
}

void dv_dial_check(struct dv_dial *dial, dv_dial_check_fn *check, void *arg)
{
	dial->check = check;
	dial->check_arg = arg;
}

/* ---- blocking --------------------------------------------------------- */

struct answer {
	bool done;
	int r;
	struct dv_dial_result res;
	struct dv_err *err;
};

static void on_answered(void *arg, int fd, const struct dv_dial_result *res,
			const struct dv_err *err)
{
	struct answer *a = arg;

	a->done = true;
	a->r = fd;
	a->res = *res;
	if (a->err)
		*a->err = *err;
}

/* On a loop of its own: the caller's may be in the middle of something. */
static int connect_and_wait(const struct dv_target *target, uint32_t port,
			    int timeout_ms, struct answer *a)
{
	struct dv_loop *loop = NULL;
	struct dv_dial *dial = NULL;
	int r = dv_loop_new(&loop);

	if (r < 0)
		return dv_err_sys(a->err, -r, "make an event loop");
	r = dv_dial_start(&dial, loop, target, port, timeout_ms, on_answered, a,
			  a->err);
	while (r >= 0 && !a->done)
		r = dv_loop_dispatch(loop, -1);
	if (r < 0 && !a->done)
		dv_dial_cancel(dial);
	dv_loop_free(loop);
	return r < 0 ? dv_err_wrap(a->err, r, "dial") : a->r;
}

int dv_vsock_connect(const char *target, uint32_t port, int timeout_ms,
		     struct dv_dial_result *resp, struct dv_err *err)
{
	struct answer a = { .res = result(DV_DIAL_OTHER), .err = err };
	struct dv_target t;
	int r = dv_target_parse(target, &t, err);

	if (r == 0)
		r = connect_and_wait(&t, port, timeout_ms, &a);
	if (resp)
		*resp = a.res;
	if (r >= 0)
		dv_fd_nonblock(r, false);
	return r;
}
