/* SPDX-License-Identifier: MIT */
/*
 * DOC: RUNDIR/events.
 *
 * Lines are appended with one write each, by any number of processes. At
 * DV_STORE_EVENTS_MAX the file becomes events.1, and the one of before goes.
 * Whoever wants to do that needs names/.lock at once, or leaves it to the next.
 * A line that was on its way then is in events.1; whoever follows reads on
 * there.
 */
#include "runtime/store/priv.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/def.h"
#include "base/fd.h"

enum { LINE_MAX_LEN = 4096 };

static void rotate(int base, int fd)
{
	dv_autofd int lock = dv_store_lock(base, "", false, NULL);
	struct stat mine, now;

	/* Somebody else was faster? */
	if (lock >= 0 && fstat(fd, &mine) == 0 &&
	    fstatat(base, "events", &now, AT_SYMLINK_NOFOLLOW) == 0 &&
	    mine.st_ino == now.st_ino && mine.st_dev == now.st_dev)
		(void)renameat(base, "events", base, "events.1");
}

int dv_store_append(int dirfd, const char *name, const char *line, size_t len,
		    off_t max)
{
	dv_autofd int fd = openat(dirfd, name,
				  O_WRONLY | O_APPEND | O_CREAT | O_NOFOLLOW |
					  O_NONBLOCK | O_CLOEXEC,
				  0600);
	struct stat st;

	if (fd < 0 || dv_write(fd, line, len) < 0 || fstat(fd, &st) < 0)
		return -1;
	return st.st_size >= max ? dv_take_fd(&fd) : -1;
}

static void append(int base, const char *line, size_t len)
{
	dv_autofd int full =
		dv_store_append(base, "events", line, len, DV_STORE_EVENTS_MAX);

	if (full >= 0)
		rotate(base, full);
}

void dv_event_write(int base, const char *id, const char *name,
		    const char *event, const char *more)
{
	dv_autobuf line = DV_BUF_INIT(LINE_MAX_LEN);
	struct dv_json j = DV_JSON_INIT(&line);

	if (base < 0)
		return;
	dv_json_open(&j, NULL, '{');
	dv_json_time(&j, "time", dv_unix_ns());
	dv_json_str(&j, "id", id);
	dv_json_str(&j, "name", name);
	dv_json_str(&j, "event", event);
	if (more[0]) {
		dv_buf_putc(&line, ',');
		dv_buf_puts(&line, more);
	}
	dv_json_close(&j, '}');
	dv_buf_putc(&line, '\n');
	if (dv_buf_status(&line) == 0)
		append(base, line.data, line.len);
}

void dv_store_event(const struct dv_kept_dirs *dirs, const char *event,
		    const char *more)
{
	dv_event_write(dirs->home.basefd, dirs->home.id, dirs->name, event,
		       more);
}
