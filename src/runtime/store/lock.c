/* SPDX-License-Identifier: MIT */
/*
 * DOC: names/.lock
 *
 * It is held for a few system calls. A holder that was stopped meanwhile, by a
 * signal, a debugger or in a group that is frozen, would hold up everybody who
 * takes a name or cleans up: they wait for a while, and then say who it is. The
 * kernel does not tell whose such a lock is, but /proc/PID/fdinfo shows, for
 * each open file, the locks that it holds.
 */
#include "runtime/store/priv.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/def.h"
#include "base/fd.h"
#include "base/fmt.h"

enum {
	LOCK_MS = 5000,
	FDINFO_MAX = 65536, /* of an inotify: a line for each watch */
};

/* ---- who has it -----------------------------------------------------------
 */

struct search {
	char path[PATH_MAX]; /* of the lock's file */
	int pid;             /* that is looked at */
};

static bool has_lock(int pid, const char *fd)
{
	dv_autofree char *text = NULL;
	char path[300];
	size_t len;

	dv_fmt(path, sizeof(path), "/proc/%d/fdinfo/%s", pid, fd);
	return dv_read_file(AT_FDCWD, path, FDINFO_MAX, &text, &len) == 0 &&
	       strstr(text, "\nlock:") != NULL;
}

/* 1: the file is open there, and locked by that. */
static int look_at_fd(void *arg, const char *name)
{
	const struct search *s = arg;
	char path[300], to[PATH_MAX];
	ssize_t n;

	dv_fmt(path, sizeof(path), "/proc/%d/fd/%s", s->pid, name);
	n = readlink(path, to, sizeof(to) - 1);
	to[dv_max(n, (ssize_t)0)] = '\0';
	return !strcmp(to, s->path) && has_lock(s->pid, name);
}

static int look_at_process(void *arg, const char *name)
{
	struct search *s = arg;
	char path[300];

	if (name[0] < '1' || name[0] > '9')
		return 0;
	s->pid = (int)strtol(name, NULL, 10);
	dv_fmt(path, sizeof(path), "/proc/%d/fd", s->pid);
	/* Those of others are not for us to see. */
	return dv_store_entries(AT_FDCWD, path, look_at_fd, s) == 1;
}

/* The process that holds the lock of @fd; 0: it is not to be found. */
static int holder(int fd)
{
	struct search s;
	char own[32];
	ssize_t n;

	dv_fmt(own, sizeof(own), "/proc/self/fd/%d", fd);
	n = readlink(own, s.path, sizeof(s.path) - 1);
	if (n < 0)
		return 0;
	s.path[n] = '\0';
	return dv_store_entries(AT_FDCWD, "/proc", look_at_process, &s) == 1
		       ? s.pid
		       : 0;
}

/* ---- taking it ------------------------------------------------------------
 */

static int is_held(int fd, const char *path, struct dv_err *err)
{
	int pid = err ? holder(fd) : 0;

	if (pid)
		dv_err_hint(err,
			    "if it is stopped, kill -CONT %d lets it go on",
			    pid);
	else
		dv_err_hint(err,
			    "fuser -v %.80s/names/.lock shows who has it open",
			    path);
	if (pid)
		return dv_err_set(err, ETIMEDOUT, DV_DEADLINE,
				  "process %d has held %s/names/.lock for %d s",
				  pid, path, LOCK_MS / 1000);
	return dv_err_set(err, ETIMEDOUT, DV_DEADLINE,
			  "%s/names/.lock was held for %d s", path,
			  LOCK_MS / 1000);
}

static int open_lock(int basefd)
{
	const int flags = O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC;
	int fd = openat(basefd, "names/.lock", flags, 0600);

	if (fd < 0 && errno == ENOENT) {
		if (mkdirat(basefd, "names", 0700) < 0 && errno != EEXIST)
			return -errno;
		fd = openat(basefd, "names/.lock", flags, 0600);
	}
	return fd < 0 ? -errno : fd;
}

int dv_store_lock(int basefd, const char *path, bool wait, struct dv_err *err)
{
	dv_autofd int fd = open_lock(basefd);
	int r = fd < 0 ? fd : dv_fd_lock_wait(fd, wait ? LOCK_MS : 0);

	if (r == 0)
		return dv_take_fd(&fd);
	if (r == -ETIMEDOUT && !wait)
		return -EAGAIN;
	if (r == -ETIMEDOUT)
		r = is_held(fd, path, err);
	else
		dv_err_sys(err, -r, "lock %s/names/.lock", path);
	return dv_err_step(err, r, DV_STEP_STATE);
}
