/* SPDX-License-Identifier: MIT */
/*
 * DOC: connections to a keeper
 *
 * Every connection is proved before its first byte: the kernel says which
 * process listens, and its documents which one should. A keeper that is still
 * starting listens only after its last fork, and writes `identity` after that;
 * who comes earlier waits until something appears in its directory, or it ends,
 * and tries again.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/inotify.h>
#include <unistd.h>

#include "base/def.h"
#include "base/fd.h"
#include "base/fmt.h"
#include "engine/sys.h"
#include "runtime/client/sandbox.h"

enum {
	DIAL_MS = 2000,   /* while its queue is full */
	START_MS = 30000, /* for a keeper that is starting */
	PATH_SIZE = 220,
};

int dv_sandbox_path(struct dv_sandbox *sb, struct dv_err *err)
{
	char path[PATH_SIZE], run[PATH_SIZE];
	int r = dv_store_sock(sb->id, path, sizeof(path), err);

	if (r < 0)
		return r;
	sb->target.kind = DV_TARGET_PATH;
	dv_fmt(sb->target.path, sizeof(sb->target.path), "%s", path);
	if (strlen(path) < sizeof(sb->target.path))
		return 0;
	/* Too long for an address: by way of RUNDIR. When there is none, there
	 * is no keeper, and whoever dials is told so. */
	r = dv_rundir(run, sizeof(run), err);
	if (r < 0)
		return r;
	sb->dirfd = open(run, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (sb->dirfd < 0 && errno != ENOENT)
		return dv_err_sys(err, errno, "open %s", run);
	dv_fmt(sb->target.path, sizeof(sb->target.path),
	       "/proc/self/fd/%d/%.16s/sock", sb->dirfd, sb->id);
	return 0;
}

int dv_sandbox_prove(void *arg, int fd, struct dv_err *err)
{
	const struct dv_sandbox *sb = arg;

	return dv_store_prove(sb->id, fd, err);
}

static void dial(struct dv_sandbox *sb);

static void stop_watch(struct dv_sandbox *sb)
{
	dv_src_del(&sb->watch_src);
	dv_src_del(&sb->watch_pid_src);
	dv_timer_stop(&sb->watch_end);
	sb->watch = dv_close(sb->watch);
	sb->watch_pid = dv_close(sb->watch_pid);
}

void dv_sandbox_dial_stop(struct dv_sandbox *sb)
{
	stop_watch(sb);
	sb->dial = dv_dial_cancel(sb->dial);
	sb->rpc = NULL;
}

/* @fd or -errno with @err. */
static void finish(struct dv_sandbox *sb, int fd, const struct dv_err *err)
{
	struct dv_rpc *rpc = sb->rpc;

	stop_watch(sb);
	sb->rpc = NULL;
	dv_rpc_dialled(rpc, fd, err);
}

/* ---- a keeper that does not listen yet ----------------------------------- */

static void on_appear(struct dv_src *src, uint32_t events DV_UNUSED)
{
	struct dv_sandbox *sb =
		dv_container_of(src, struct dv_sandbox, watch_src);
	char buf[4096];

	/* Which file it is does not matter: all of them are steps. */
	while (dv_read(sb->watch, buf, sizeof(buf)) > 0)
		;
	if (!sb->dial)
		dial(sb);
}

/* It will not listen any more, as the next attempt finds. */
static void on_death(struct dv_src *src, uint32_t events DV_UNUSED)
{
	struct dv_sandbox *sb =
		dv_container_of(src, struct dv_sandbox, watch_pid_src);

	dv_src_del(src);
	if (!sb->dial)
		dial(sb);
}

/*
 * Its process, as of the last look; 0 while it has written nothing. Who cannot
 * watch it finds out when the time is over.
 */
static void watch_process(struct dv_sandbox *sb)
{
	if (sb->watch_pid >= 0 || sb->info.keeper_pid <= 0)
		return;
	sb->watch_pid = dv_sys_pidfd_open(sb->info.keeper_pid);
	if (sb->watch_pid >= 0 &&
	    dv_src_add(sb->loop, &sb->watch_pid_src, sb->watch_pid, EPOLLIN,
		       on_death) < 0)
		sb->watch_pid = dv_close(sb->watch_pid);
}

static void on_never(struct dv_timer *timer)
{
	struct dv_sandbox *sb =
		dv_container_of(timer, struct dv_sandbox, watch_end);
	struct dv_err err = DV_ERR_INIT;

	sb->dial = dv_dial_cancel(sb->dial);
	dv_err_set(&err, ETIMEDOUT, DV_UNAVAILABLE,
		   "its keeper did not listen within %d s", START_MS / 1000);
	finish(sb, -ETIMEDOUT, &err);
}

/* Its directory, as a path that works from here. */
static void dir_path(const struct dv_sandbox *sb, char out[DV_VSOCK_PATH_MAX])
{
	const char *path = sb->target.path;

	dv_fmt(out, DV_VSOCK_PATH_MAX, "%.*s", (int)(strrchr(path, '/') - path),
	       path);
}

/* Returns 0 when @sb waits for it. */
static int begin_watch(struct dv_sandbox *sb)
{
	char dir[DV_VSOCK_PATH_MAX];
	int r;

	dir_path(sb, dir);
	sb->watch = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
	if (sb->watch < 0 ||
	    inotify_add_watch(sb->watch, dir,
			      IN_CREATE | IN_MOVED_TO | IN_DELETE |
				      IN_DELETE_SELF | IN_ONLYDIR) < 0)
		return -errno;
	r = dv_src_add(sb->loop, &sb->watch_src, sb->watch, EPOLLIN, on_appear);
	if (r == 0)
		r = dv_timer_set(sb->loop, &sb->watch_end,
				 dv_now_ns() + START_MS * UINT64_C(1000000),
				 on_never);
	return r;
}

/* May somebody who cannot be connected to be one who is still starting? */
static bool is_starting(struct dv_sandbox *sb, int r)
{
	char dir[DV_VSOCK_PATH_MAX], path[DV_VSOCK_PATH_MAX + 16];

	if (r != -ENOENT && r != -ECONNREFUSED && r != -ESRCH)
		return false;
	dir_path(sb, dir);
	dv_fmt(path, sizeof(path), "%s/identity", dir);
	if (access(path, F_OK) == 0)
		return false;
	return dv_sandbox_see(sb, false, NULL) == 0 && !dv_sandbox_ended(sb);
}

/* ---- connecting ------------------------------------------------------------
 */

/* True: @r is what one that is still starting looks like, and @sb waits. */
static bool await_start(struct dv_sandbox *sb, int r)
{
	const bool first = sb->watch < 0;

	if (!is_starting(sb, r) || (first && begin_watch(sb) < 0))
		return false;
	watch_process(sb);
	if (first)
		dial(sb); /* it may have come, or gone, just before */
	return true;
}

/* It lives, but there is nothing of it where we look; @err says so. */
static bool is_elsewhere(struct dv_sandbox *sb, struct dv_err *err)
{
	char dir[DV_VSOCK_PATH_MAX];

	dir_path(sb, dir);
	if (access(dir, F_OK) == 0 || dv_sandbox_see(sb, false, NULL) < 0 ||
	    dv_sandbox_ended(sb))
		return false;
	dv_err_hint(err,
		    "it has another RUNDIR, or that was removed: kill %d "
		    "stops it",
		    (int)sb->info.keeper_pid);
	dv_err_set(err, ENOENT, DV_UNAVAILABLE,
		   "its keeper, process %d, cannot be reached by this RUNDIR",
		   (int)sb->info.keeper_pid);
	return true;
}

static void on_dialled(void *arg, int fd,
		       const struct dv_dial_result *res DV_UNUSED,
		       const struct dv_err *err)
{
	struct dv_sandbox *sb = arg;

	struct dv_err own = DV_ERR_INIT;

	sb->dial = NULL;
	if (fd < 0 && await_start(sb, fd))
		return;
	sb->elsewhere = fd == -ENOENT && is_elsewhere(sb, &own);
	if (sb->elsewhere)
		err = &own;
	finish(sb, fd, err);
}

static void dial(struct dv_sandbox *sb)
{
	struct dv_err err = DV_ERR_INIT;
	int r = dv_dial_start(&sb->dial, sb->loop, &sb->target, 0, DIAL_MS,
			      on_dialled, sb, &err);

	if (r < 0)
		finish(sb, r, &err);
	else
		dv_dial_check(sb->dial, dv_sandbox_prove, sb);
}

void dv_sandbox_dial(struct dv_rpc *rpc, void *arg)
{
	struct dv_sandbox *sb = arg;

	sb->rpc = rpc;
	dial(sb);
}
