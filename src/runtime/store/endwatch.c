/* SPDX-License-Identifier: MIT */
#include "runtime/store/endwatch.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/inotify.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "base/def.h"
#include "base/fd.h"
#include "base/fmt.h"
#include "engine/sys.h"
#include "runtime/store/priv.h"

enum {
	PATH_SIZE = 240,
	/* A lock is let go right after the file was closed, which is when we
	 * are told. */
	AGAIN_NS = 20000000,
};

static int fail(struct dv_err *err, int r, const char *what)
{
	if (r == -EMFILE)
		dv_err_hint(err, "fs.inotify.max_user_instances says how many "
				 "files one user may follow");
	return dv_err_sys(err, -r, "watch a sandbox: %s", what);
}

static int add(struct dv_endwatch *w, int fd)
{
	struct epoll_event ev = { .events = EPOLLIN, .data.fd = fd };

	if (fd < 0)
		return -errno;
	return epoll_ctl(w->ep, EPOLL_CTL_ADD, fd, &ev) < 0 ? -errno : 0;
}

/* Does it live? *pidp: its keeper, 0 when that is not known (yet). */
static bool lives(const struct dv_endwatch *w, int32_t *pidp)
{
	struct dv_sandbox_info info = { .size = sizeof(info) };
	dv_autostore s = DV_STORE_INIT;
	bool yes;
	int r = dv_store_look(w->id, &info, NULL);

	*pidp = 0;
	if (r == -ENOENT)
		return false;
	/* What cannot be read says nothing; the lock does. */
	if (r < 0)
		return dv_store_open(&s, NULL) == 0 &&
		       dv_store_lives(&s, w->id, NULL) > 0;
	yes = info.state != DV_STATE_EXITED && info.state != DV_STATE_DEAD;
	*pidp = info.keeper_pid;
	dv_sandbox_info_free(&info);
	return yes;
}

/* Look soon, once: see AGAIN_NS. */
static void look_again(const struct dv_endwatch *w)
{
	const struct itimerspec t = { .it_value.tv_nsec = AGAIN_NS };

	timerfd_settime(w->again, 0, &t, NULL);
}

/*
 * Look at the documents, and have the keeper's process watched. Its end is told
 * when all its files are closed, so what is seen then is final.
 */
static void look(struct dv_endwatch *w)
{
	int32_t pid, same;

	w->over = !lives(w, &pid);
	if (w->over || w->pidfd >= 0)
		return;
	if (pid > 0)
		w->pidfd = dv_sys_pidfd_open(pid);
	if (!lives(w, &same))
		w->over = true;
	else if (w->pidfd < 0 || same != pid || add(w, w->pidfd) < 0)
		w->pidfd = dv_close(w->pidfd);
	if (w->pidfd < 0 && !w->over && pid > 0)
		look_again(w);
}

static int watch_home(struct dv_endwatch *w, struct dv_err *err)
{
	char path[PATH_SIZE], base[200];
	int r = dv_rundir(base, sizeof(base), err);

	if (r < 0)
		return r;
	dv_fmt(path, sizeof(path), "%s/%s", base, w->id);
	w->dir_wd = inotify_add_watch(w->ino, path,
				      IN_MOVED_TO | IN_DELETE | IN_DELETE_SELF |
					      IN_CLOSE_WRITE | IN_ONLYDIR);
	if (w->dir_wd < 0 && errno != ENOENT && errno != ENOTDIR)
		return fail(err, -errno, path);
	return 0;
}

static int make_fds(struct dv_endwatch *w)
{
	int r;

	w->ep = epoll_create1(EPOLL_CLOEXEC);
	if (w->ep < 0)
		return -errno;
	w->ino = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
	r = add(w, w->ino);
	if (r < 0)
		return r;
	w->again = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
	return add(w, w->again);
}

int dv_endwatch_open(struct dv_endwatch *w, const char *id, struct dv_err *err)
{
	int r;

	*w = (struct dv_endwatch)DV_ENDWATCH_INIT;
	dv_fmt(w->id, sizeof(w->id), "%s", id);
	r = make_fds(w);
	r = r < 0 ? fail(err, r, "inotify") : watch_home(w, err);
	if (r < 0)
		dv_endwatch_close(w);
	else
		look(w);
	return r;
}

int dv_endwatch_file(struct dv_endwatch *w, const char *path,
		     struct dv_err *err)
{
	/* Removed since it was opened: then all of it is there already. */
	if (inotify_add_watch(w->ino, path, IN_MODIFY) < 0 && errno != ENOENT)
		return fail(err, -errno, path);
	return 0;
}

int dv_endwatch_until(struct dv_endwatch *w, uint64_t unix_ns,
		      struct dv_err *err)
{
	struct itimerspec t = { .it_value.tv_sec =
					(time_t)(unix_ns / 1000000000),
				.it_value.tv_nsec =
					(long)(unix_ns % 1000000000) };
	int r;

	w->until = timerfd_create(CLOCK_REALTIME, TFD_NONBLOCK | TFD_CLOEXEC);
	r = add(w, w->until);
	if (r == 0 &&
	    timerfd_settime(w->until, TFD_TIMER_ABSTIME, &t, NULL) < 0)
		r = -errno;
	return r < 0 ? fail(err, r, "a timer") : 0;
}

/* Take all events. True: there was one about more than the log. */
static bool drain(struct dv_endwatch *w)
{
	char buf[4096] __attribute__((aligned(8)));
	struct inotify_event ev;
	bool news = false;
	ssize_t n;

	while ((n = dv_read(w->ino, buf, sizeof(buf))) > 0)
		for (ssize_t at = 0; at + (ssize_t)sizeof(ev) <= n;) {
			memcpy(&ev, buf + at, sizeof(ev));
			news |= ev.wd == w->dir_wd || ev.wd < 0;
			at += (ssize_t)(sizeof(ev) + ev.len);
		}
	return news;
}

static bool rang(int timer)
{
	uint64_t times;

	return timer >= 0 && dv_read(timer, &times, sizeof(times)) > 0;
}

static bool is_gone(int pidfd)
{
	struct pollfd p = { .fd = pidfd, .events = POLLIN };

	return pidfd >= 0 && poll(&p, 1, 0) == 1 && p.revents;
}

void dv_endwatch_check(struct dv_endwatch *w)
{
	bool news = drain(w), again = rang(w->again);

	if (rang(w->until))
		w->passed = true;
	if (w->over)
		return;
	if (is_gone(w->pidfd)) {
		w->over = true;
		return;
	}
	if (!news && !again)
		return;
	look(w);
	if (news && !w->over && w->pidfd < 0)
		look_again(w);
}

void dv_endwatch_close(struct dv_endwatch *w)
{
	w->ino = dv_close(w->ino);
	w->pidfd = dv_close(w->pidfd);
	w->again = dv_close(w->again);
	w->until = dv_close(w->until);
	w->ep = dv_close(w->ep);
}
