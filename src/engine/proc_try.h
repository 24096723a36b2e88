/* SPDX-License-Identifier: MIT */
#pragma once
/*
 * For tests that start processes: what they look like from outside, read from
 * /proc of a process that does nothing but wait, and a directory for files.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/fmt.h"
#include "base/path.h"
#include "base/test.h"
#include "davit/loop.h"
#include "engine/cgroup.h"
#include "engine/ns.h"

/* A private directory, which try_dir_remove() takes away again. */
struct try_dir {
	char path[64];
};

static inline void try_dir_make(struct try_dir *d)
{
	dv_fmt(d->path, sizeof(d->path), "/tmp/davit-test.XXXXXX");
	CHECK(mkdtemp(d->path) != NULL);
}

static inline void try_dir_remove(struct try_dir *d)
{
	CHECK_EQ(dv_remove_tree(AT_FDCWD, d->path), 0);
}

/* d/name, in one of a few static buffers. */
static inline const char *try_path(const struct try_dir *d, const char *name)
{
	static char paths[8][128];
	static unsigned int at;
	char *p = paths[at++ % 8];

	CHECK_EQ(dv_path_join(p, sizeof(paths[0]), d->path, name), 0);
	return p;
}

static inline const char *try_file(const struct try_dir *d, const char *name,
				   const char *text, mode_t mode)
{
	const char *path = try_path(d, name);

	CHECK_EQ(dv_replace_file(AT_FDCWD, path, text, strlen(text), mode), 0);
	CHECK_EQ(chmod(path, mode), 0);
	return path;
}

static inline void try_pause(void)
{
	struct timespec ms = { 0, 1000000 };

	nanosleep(&ms, NULL);
}

/* True until @until_ns; the waiting that has no event is done between. */
static inline bool try_again(uint64_t until_ns)
{
	if (dv_now_ns() > until_ns)
		return false;
	try_pause();
	return true;
}

static inline uint64_t try_deadline(unsigned int seconds)
{
	return dv_now_ns() + seconds * UINT64_C(1000000000);
}

/* Root in a container may lack it. */
static inline void need_other_user(void)
{
	int status = 0;
	pid_t pid = fork();

	if (pid == 0)
		_exit(setresgid(65534, 65534, 65534) < 0 ||
		      setresuid(65534, 65534, 65534) < 0);
	CHECK_EQ(waitpid(pid, &status, 0), pid);
	if (geteuid() != 0 || status != 0)
		SKIP("needs root, to become somebody else");
}

/* A start failed because who may do no more than we may has no namespaces, or
 * no ids in them: an ordinary user, or root in a container. */
static inline bool try_no_namespaces(const struct dv_err *err)
{
	const uint64_t admin = UINT64_C(1) << 21; /* CAP_SYS_ADMIN */
	char text[4096], *caps;
	int fd = open("/proc/self/status", O_RDONLY | O_CLOEXEC);
	ssize_t n = dv_read_full(fd, text, sizeof(text) - 1);

	dv_close(fd);
	text[n < 0 ? 0 : n] = '\0';
	caps = strstr(text, "\nCapEff:\t");
	if (!caps || (strtoull(caps + 9, NULL, 16) & admin))
		return false;
	return err->step == DV_STEP_SPAWN ||
	       (err->step == DV_STEP_IDMAP && err->sys == EPERM);
}

/* Begin without groups, finish. */
static inline int try_start(struct dv_proc *proc, struct dv_ns *sb,
			    const dv_Process *p, const int *fds, size_t n_fds,
			    struct dv_err *err)
{
	int r = dv_proc_begin(proc, sb, p, fds, n_fds, NULL, err);

	return r < 0 ? r : dv_proc_finish(proc, sb, err);
}

/*
 * A group that lets nobody in: whoever joins it on the way to its command waits
 * there until it is killed.
 */
static inline void try_closed_group(struct dv_cgroup *cg, int full[2])
{
	static const char block[4096];

	*cg = (struct dv_cgroup)DV_CGROUP_INIT;
	CHECK_EQ(dv_pipe(full), 0);
	CHECK_EQ(dv_fd_nonblock(full[1], true), 0);
	while (dv_write(full[1], block, sizeof(block)) > 0)
		;
	CHECK_EQ(dv_fd_nonblock(full[1], false), 0);
	cg->procs_fd[cg->n_procs++] = full[1];
}

/* Wait for its end and reap it: exit code, or 128 + signal. */
static inline int try_reap(struct dv_proc *proc)
{
	uint64_t until = try_deadline(20);
	struct rusage usage;
	siginfo_t info;
	int r;

	while ((r = dv_proc_reap(proc, &info, &usage)) == -EAGAIN)
		if (!try_again(until))
			break;
	CHECK_EQ(r, 0);
	return info.si_code == CLD_EXITED ? info.si_status
					  : 128 + info.si_status;
}

/* A line "Key:\tvalue" of /proc/@pid/status; the value, or "". */
static inline const char *try_status(pid_t pid, const char *key)
{
	static char line[256];
	size_t len = strlen(key);
	char path[64];
	FILE *f;

	dv_fmt(path, sizeof(path), "/proc/%d/status", (int)pid);
	f = fopen(path, "re");
	CHECK(f != NULL);
	while (fgets(line, sizeof(line), f)) {
		if (strncmp(line, key, len) != 0 || line[len] != ':')
			continue;
		line[strcspn(line, "\n")] = '\0';
		fclose(f);
		return line + len + 1 + strspn(line + len + 1, "\t ");
	}
	fclose(f);
	return "";
}

/* All bytes of /proc/@pid/@file. */
static inline size_t try_proc_file(pid_t pid, const char *file, char *out,
				   size_t size)
{
	char path[64];
	ssize_t n;
	int fd;

	dv_fmt(path, sizeof(path), "/proc/%d/%s", (int)pid, file);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	CHECK(fd >= 0);
	n = dv_read_full(fd, out, size - 1);
	dv_close(fd);
	CHECK(n >= 0);
	out[n] = '\0';
	return (size_t)n;
}

/*
 * Until an exec is over. Its parent is told of it when descriptors are closed,
 * which is a moment before the new rights hold; its arguments come after them.
 */
static inline void try_executed(pid_t pid)
{
	uint64_t until = try_deadline(20);
	char text[64];

	while (try_proc_file(pid, "cmdline", text, sizeof(text)) == 0)
		CHECK(try_again(until));
}

/* The numbers of its open descriptors, "0 1 2 7". */
static inline void try_fds(pid_t pid, char *out, size_t size)
{
	char path[64];
	bool open[2048] = { false };
	size_t len = 0;
	DIR *dir;

	dv_fmt(path, sizeof(path), "/proc/%d/fd", (int)pid);
	dir = opendir(path);
	CHECK(dir != NULL);
	for (struct dirent *e; (e = readdir(dir));)
		if (e->d_name[0] != '.')
			open[strtoul(e->d_name, NULL, 10) % 2048] = true;
	closedir(dir);
	out[0] = '\0';
	for (int fd = 0; fd < 2048; fd++)
		if (open[fd] && len < size)
			len += (size_t)dv_fmt(out + len, size - len, "%s%d",
					      len ? " " : "", fd);
}

/* The dynamic loader opens files for a moment: it settles on @want. */
static inline void try_expect_fds(pid_t pid, const char *want)
{
	uint64_t until = try_deadline(20);
	char got[4096];

	do {
		try_fds(pid, got, sizeof(got));
		if (strcmp(got, want) == 0)
			return;
	} while (try_again(until));
	CHECK_STR(got, want);
}

/* Is descriptor @fd of @pid the same file as our @own? */
static inline bool try_same_file(pid_t pid, int fd, int own)
{
	char path[64];
	struct stat a, b;

	dv_fmt(path, sizeof(path), "/proc/%d/fd/%d", (int)pid, fd);
	return stat(path, &a) == 0 && fstat(own, &b) == 0 &&
	       a.st_dev == b.st_dev && a.st_ino == b.st_ino;
}
