/* SPDX-License-Identifier: MIT */
/*
 * A stream of the guest that is the answer of a call, as a whole. Whoever ends
 * first leaves the rest to the other: a call that is cancelled hangs up, which
 * ends the stream, and the end of the stream answers the call.
 */
#include <errno.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include "base/def.h"
#include "base/fd.h"
#include "rpc/limits.h"
#include "services/svc.h"

enum { CHUNK = 64 << 10 };

struct dv_svc_fetch {
	struct dv_call *call; /* NULL: it was answered, or is gone */
	void (*reply)(struct dv_call *call, struct dv_buf *all);
	dv_svc_fail_fn *fail;
	struct dv_src src;
	struct dv_buf buf;
	int fd; /* owned; -1: its end, or nobody wants it */
};

static void hang_up(struct dv_svc_fetch *f)
{
	dv_src_del(&f->src);
	f->fd = dv_close(f->fd);
}

/* Read once: 0 at the end, -EAGAIN, the number of bytes, or -errno. */
static ssize_t fetch_some(struct dv_svc_fetch *f)
{
	void *at = dv_buf_room(&f->buf, CHUNK);
	ssize_t n = at ? dv_read(f->fd, at, CHUNK) : dv_buf_status(&f->buf);

	if (n > 0)
		dv_buf_add(&f->buf, (size_t)n);
	return n;
}

static void on_data(struct dv_src *src, uint32_t events DV_UNUSED)
{
	struct dv_svc_fetch *f = dv_container_of(src, struct dv_svc_fetch, src);
	struct dv_err err = DV_ERR_INIT;
	ssize_t n = fetch_some(f);

	if (n > 0 || n == -EAGAIN)
		return;
	hang_up(f);
	if (n == 0)
		return;
	dv_err_sys(&err, (int)-n, "%s", f->call->method->name);
	f->fail(dv_take_ptr(&f->call), &err);
}

static void cancelled(struct dv_call *call)
{
	struct dv_svc_fetch *f = call->data;

	f->call = NULL;
	hang_up(f);
}

/* Everything was written: what we have not read yet is in the socket. */
static int fetch_rest(struct dv_svc_fetch *f, struct dv_err *err)
{
	ssize_t n = 0;

	while (f->fd >= 0 && (n = fetch_some(f)) > 0)
		;
	return n < 0 ? dv_err_sys(err, (int)-n, "%s", f->call->method->name)
		     : 0;
}

static void on_done(void *arg, uint64_t bytes DV_UNUSED,
		    const struct dv_err *why)
{
	struct dv_svc_fetch *f = arg;
	struct dv_err err = DV_ERR_INIT;

	if (f->call && !why && fetch_rest(f, &err) < 0)
		why = &err;
	if (f->call && why)
		f->fail(f->call, why);
	else if (f->call)
		f->reply(f->call, &f->buf);
	hang_up(f);
	dv_buf_free(&f->buf);
	free(f);
}

struct dv_svc_fetch *
dv_svc_fetch(struct dv_call *call,
	     void (*reply)(struct dv_call *call, struct dv_buf *all),
	     dv_svc_fail_fn *fail, struct dv_flow_cb *cb, int *outp)
{
	struct dv_svc_fetch *f = malloc(sizeof(*f));
	struct dv_err err = DV_ERR_INIT;
	int sv[2], r = f ? 0 : -ENOMEM;

	if (r == 0 &&
	    socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sv) < 0)
		r = -errno;
	if (r < 0) {
		free(f);
		dv_err_sys(&err, -r, "%s", call->method->name);
		fail(call, &err);
		return NULL;
	}
	*f = (struct dv_svc_fetch){
		call, reply, fail, DV_SRC_INIT, DV_BUF_INIT(DV_RPC_SEND_MAX),
		sv[0]
	};
	*cb = (struct dv_flow_cb){ NULL, on_done, f, call->peer };
	*outp = sv[1];
	r = dv_fd_nonblock(f->fd, true);
	if (r == 0)
		r = dv_src_add(call->loop, &f->src, f->fd, EPOLLIN, on_data);
	if (r == 0) {
		dv_call_hold(call, f, cancelled);
		return f;
	}
	dv_close(sv[1]);
	dv_err_sys(&err, -r, "%s", call->method->name);
	on_done(f, 0, &err);
	return NULL;
}

void dv_svc_fetch_refused(struct dv_svc_fetch *f, const struct dv_err *err)
{
	on_done(f, 0, err);
}
