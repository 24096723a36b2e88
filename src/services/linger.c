/* SPDX-License-Identifier: MIT */
#include "services/linger.h"

#include <errno.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include "base/def.h"
#include "base/fd.h"
#include "services/procs.h"

enum { ROUNDS_MAX = 16 };

static void finished(struct dv_linger *l)
{
	dv_linger_stop(l);
	l->done(l);
}

static void on_timer(struct dv_timer *timer)
{
	finished(dv_container_of(timer, struct dv_linger, timer));
}

/* What the client still sends is for nobody; its end is what we wait for. */
static void on_src(struct dv_src *src, uint32_t ev)
{
	struct dv_linger *l = dv_container_of(src, struct dv_linger, src);
	char scrap[4096];
	ssize_t n = 1;

	for (int i = 0; i < ROUNDS_MAX && n > 0; i++)
		n = dv_read(l->fd, scrap, sizeof(scrap));
	if (n == 0 || (n < 0 && n != -EAGAIN) || (ev & (EPOLLERR | EPOLLHUP)))
		finished(l);
}

int dv_linger_start(struct dv_linger *l, struct dv_loop *loop, int fd,
		    void (*done)(struct dv_linger *l))
{
	uint64_t until = dv_now_ns() + DV_LINGER_MS * UINT64_C(1000000);
	int r = shutdown(fd, SHUT_WR) < 0 && errno == ENOTSOCK ? -ENOTSOCK : 0;

	l->loop = loop;
	l->fd = fd;
	l->done = done;
	if (r == 0)
		r = dv_src_add(loop, &l->src, fd, EPOLLIN, on_src);
	if (r == 0)
		r = dv_timer_set(loop, &l->timer, until, on_timer);
	if (r < 0)
		dv_linger_stop(l);
	return r;
}

void dv_linger_abandon(struct dv_linger *l)
{
	dv_src_del(&l->src);
	dv_timer_stop(&l->timer);
	l->fd = -1;
}

void dv_linger_stop(struct dv_linger *l)
{
	int fd = l->fd;

	dv_linger_abandon(l);
	dv_close(fd);
}
