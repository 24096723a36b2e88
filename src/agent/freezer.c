/* SPDX-License-Identifier: MIT */
/*
 * The group that everything we start is in, so that pause stops all of it. Its
 * path is noted beside our socket before it is made: the next agent there
 * removes what a killed one left.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "agent/agent.h"
#include "base/def.h"
#include "base/fd.h"
#include "base/fmt.h"
#include "base/random.h"

enum { NOTE_MAX = 64 * 1024, EMPTY_MS = 1000 };

static int note_path(const struct dv_agent *a, char *out, size_t size)
{
	int n = dv_fmt(out, size, "%s.cgroup", a->opts->listen);

	return (size_t)n < size ? 0 : -ENAMETOOLONG;
}

static int note(void *arg, const char *group)
{
	char path[PATH_MAX], line[PATH_MAX];
	struct dv_agent *a = arg;
	int r = note_path(a, path, sizeof(path));

	if (r < 0)
		return r;
	int n = dv_fmt(line, sizeof(line), "%s\n", group);
	dv_autofd int fd =
		open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
	if (fd < 0)
		return -errno;
	return dv_write_full(fd, line, (size_t)n);
}

/* What is killed in it takes a moment to be gone; the group is busy till then.
 */
static int sweep_group(const char *group)
{
	uint64_t until = dv_now_ns() + EMPTY_MS * UINT64_C(1000000);
	struct timespec ms = { 0, 1000000 };
	int r;

	while ((r = dv_cgroup_sweep(group)) == -EBUSY && dv_now_ns() < until)
		nanosleep(&ms, NULL);
	return r;
}

/* Sweep what is noted; a group that cannot go yet stays noted. */
static void sweep(struct dv_agent *a, const char *path)
{
	dv_autofree char *text = NULL;
	bool left = false;
	size_t len;

	if (dv_read_file(AT_FDCWD, path, NOTE_MAX, &text, &len) < 0)
		return;
	for (char *line = text, *end; (end = strchr(line, '\n'));
	     line = end + 1) {
		*end = '\0';
		int r = sweep_group(line);
		if (r == -EBUSY)
			left = true;
		dv_log(&a->log, DV_LOG_INFO, "swept group=%s result=%d", line,
		       r);
	}
	if (!left)
		unlink(path);
}

void dv_freezer_open(struct dv_agent *a)
{
	struct dv_cgroup_limits none = { 0 };
	struct dv_err err = DV_ERR_INIT;
	char path[PATH_MAX], id[DV_ID_LEN + 1];

	a->cg = (struct dv_cgroup)DV_CGROUP_INIT;
	if (note_path(a, path, sizeof(path)) < 0)
		return;
	sweep(a, path);
	dv_random_id(id);
	a->cg.note = note;
	a->cg.note_arg = a;
	if (dv_cgroup_create(&a->cg, id, &none, true, NULL, &err) < 0)
		dv_log(&a->log, DV_LOG_WARN, "no control group: %s", err.msg);
}

void dv_freezer_close(struct dv_agent *a)
{
	uint64_t until = dv_now_ns() + EMPTY_MS * UINT64_C(1000000);
	struct timespec ms = { 0, 1000000 };
	char path[PATH_MAX];

	dv_cgroup_kill(&a->cg);
	while (dv_cgroup_remove(&a->cg) == -EBUSY && dv_now_ns() < until)
		nanosleep(&ms, NULL);
	dv_cgroup_release(&a->cg);
	/* The note goes with the last one in it, and may have older ones. */
	if (note_path(a, path, sizeof(path)) == 0)
		sweep(a, path);
}

int dv_freezer_pause(struct dv_agent *a, struct dv_err *err)
{
	if (a->paused)
		return dv_err_set(err, EALREADY, DV_PRECONDITION,
				  "VM is already paused");
	int r = dv_cgroup_freeze(&a->cg, true, err);
	a->paused = r == 0;
	return r;
}

int dv_freezer_resume(struct dv_agent *a, struct dv_err *err)
{
	if (!a->paused)
		return dv_err_set(err, EALREADY, DV_PRECONDITION,
				  "VM is currently running");
	int r = dv_cgroup_freeze(&a->cg, false, err);
	a->paused = r != 0;
	return r;
}
