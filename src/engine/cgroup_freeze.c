/* SPDX-License-Identifier: MIT */
#include "engine/cgroup_freeze.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "base/def.h"
#include "base/fd.h"
#include "engine/cgroup_parse.h"

enum { EVENTS_MAX = 512 }; /* two lines */

/* The read is what the next event is measured from. */
static int is_frozen(int fd)
{
	char text[EVENTS_MAX];
	ssize_t n = pread(fd, text, sizeof(text) - 1, 0);

	if (n < 0)
		return -errno;
	text[n] = '\0';
	return dv_cg_parse_counter(text, "frozen") == 1;
}

static void stop(struct dv_freeze *f)
{
	int fd = f->src.loop ? f->src.fd : -1;

	dv_src_del(&f->src);
	dv_timer_stop(&f->deadline);
	dv_defer_del(&f->now);
	dv_close(fd);
	f->loop = NULL;
}

static void finish(struct dv_freeze *f, int r)
{
	struct dv_err err = DV_ERR_INIT;

	stop(f);
	if (r < 0) {
		dv_cgroup_freeze(f->cg, false, NULL);
		dv_err_sys(&err, -r, "freeze");
		if (r == -ETIMEDOUT)
			dv_err_hint(&err, "a process waits in the kernel and "
					  "cannot be stopped there");
	}
	f->done(f, r, &err);
}

static void on_events(struct dv_src *src, uint32_t ev)
{
	struct dv_freeze *f = dv_container_of(src, struct dv_freeze, src);
	int r = is_frozen(src->fd);

	(void)ev;
	if (r != 0)
		finish(f, dv_min(r, 0));
}

static void on_deadline(struct dv_timer *timer)
{
	finish(dv_container_of(timer, struct dv_freeze, deadline), -ETIMEDOUT);
}

static void on_now(struct dv_defer *defer)
{
	finish(dv_container_of(defer, struct dv_freeze, now), 0);
}

/* Watch before the order is given, or its event could be missed. */
static int watch(struct dv_freeze *f, int timeout_ms)
{
	uint64_t at = dv_now_ns() + (uint64_t)timeout_ms * 1000000;
	int r, fd = openat(f->cg->v2_fd, "cgroup.events", O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		return -errno;
	r = dv_min(is_frozen(fd), 0);
	if (r == 0)
		r = dv_src_add(f->loop, &f->src, fd, EPOLLPRI, on_events);
	if (r < 0) {
		dv_close(fd);
		return r;
	}
	return dv_timer_set(f->loop, &f->deadline, at, on_deadline);
}

int dv_freeze_start(struct dv_freeze *f, struct dv_loop *loop,
		    struct dv_cgroup *cg, int timeout_ms,
		    void (*done)(struct dv_freeze *f, int r,
				 const struct dv_err *err),
		    struct dv_err *err)
{
	int r;

	if (f->loop)
		return dv_err_sys(err, EALREADY, "freeze");
	*f = (struct dv_freeze){
		.loop = loop,
		.cg = cg,
		.src = DV_SRC_INIT,
		.deadline = DV_TIMER_INIT,
		.now = DV_DEFER_INIT,
		.done = done,
	};
	if (cg->v2_fd >= 0) {
		r = watch(f, timeout_ms);
		if (r < 0) {
			stop(f);
			return dv_err_sys(err, -r, "watch cgroup.events");
		}
	}
	r = dv_cgroup_freeze(cg, true, err);
	if (r < 0) {
		stop(f);
		return r;
	}
	/* Nobody is in it, or all were frozen already: no event tells. */
	if (is_frozen(f->src.fd) == 1)
		dv_defer_add(loop, &f->now, on_now);
	return 0;
}

void dv_freeze_cancel(struct dv_freeze *f)
{
	if (!f->loop)
		return;
	stop(f);
	dv_cgroup_freeze(f->cg, false, NULL);
}
