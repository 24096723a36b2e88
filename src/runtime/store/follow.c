/* SPDX-License-Identifier: MIT */
/*
 * DOC: following RUNDIR/events.
 *
 * Two files are held: the one being read, and the one before it, to which a
 * writer that had opened it before it was renamed may still append. At the end
 * of the first, the names are looked at again: a new `events` is next; an
 * `events.1` that was never seen comes before it.
 *
 * inotify tells about new names in the directory and about bytes in either
 * file. A file is watched before it is read, so nothing is missed.
 */
#include "runtime/store/priv.h"

#include <errno.h>
#include <fcntl.h>
#include <json-c/json.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/def.h"
#include "base/fd.h"
#include "base/fmt.h"
#include "base/opts.h"

enum {
	CHUNK = 16 << 10,
	LINE_MAX_LEN = 64 << 10, /* what is longer is skipped */
};

struct source {
	int fd; /* -1: none */
	int watch;
	bool skipping; /* the rest of a line that is too long */
	struct dv_buf buf;
	size_t at; /* how much of buf was handed out */
};

struct dv_sandbox_events {
	char path[200];
	int dir, notify;
	uint64_t since;
	bool follow;
	struct source old, now;
	struct dv_buf detail;
};

static void source_init(struct source *s)
{
	*s = (struct source){ .fd = -1,
			      .watch = -1,
			      .buf = DV_BUF_INIT(LINE_MAX_LEN) };
}

static void source_close(struct dv_sandbox_events *e, struct source *s)
{
	if (s->watch >= 0 && e->notify >= 0)
		inotify_rm_watch(e->notify, s->watch);
	dv_close(s->fd);
	dv_buf_free(&s->buf);
	source_init(s);
}

struct dv_sandbox_events *dv_sandbox_events_free(struct dv_sandbox_events *e)
{
	if (!e)
		return NULL;
	source_close(e, &e->old);
	source_close(e, &e->now);
	dv_close(e->dir);
	dv_close(e->notify);
	dv_buf_free(&e->detail);
	free(e);
	return NULL;
}

int dv_sandbox_events_fd(const struct dv_sandbox_events *e)
{
	return e->notify;
}

/* ---- files ----------------------------------------------------------------
 */

static int failed(struct dv_sandbox_events *e, int r, const char *what,
		  struct dv_err *err)
{
	return dv_err_step(err,
			   dv_err_sys(err, -r, "%s %s/events", what, e->path),
			   DV_STEP_STATE);
}

static int watch(struct dv_sandbox_events *e, int fd, uint32_t mask, int *wdp)
{
	char path[32];

	if (e->notify < 0)
		return 0;
	dv_fmt(path, sizeof(path), "/proc/self/fd/%d", fd);
	*wdp = inotify_add_watch(e->notify, path, mask);
	return *wdp < 0 ? -errno : 0;
}

/* -1: there is no such file, or it is none of ours. */
static int open_name(struct dv_sandbox_events *e, const char *name)
{
	dv_autofd int fd = openat(e->dir, name,
				  O_RDONLY | O_NOFOLLOW | O_NONBLOCK |
					  O_NOCTTY | O_CLOEXEC);
	struct stat st;

	if (fd < 0 || fstat(fd, &st) < 0 || !S_ISREG(st.st_mode))
		return -1;
	return dv_take_fd(&fd);
}

static bool same(int a, int b)
{
	struct stat x, y;

	return a >= 0 && b >= 0 && fstat(a, &x) == 0 && fstat(b, &y) == 0 &&
	       x.st_ino == y.st_ino && x.st_dev == y.st_dev;
}

/* Read @fd (consumed) from now on. */
static int go_on(struct dv_sandbox_events *e, int fd, struct dv_err *err)
{
	int r;

	source_close(e, &e->old);
	e->old = e->now;
	source_init(&e->now);
	e->now.fd = fd;
	r = watch(e, fd, IN_MODIFY, &e->now.watch);
	return r < 0 ? failed(e, r, "watch", err) : 0;
}

/* 1: there is another file to read; 0: not yet. */
static int advance(struct dv_sandbox_events *e, struct dv_err *err)
{
	dv_autofd int last = open_name(e, "events.1");
	dv_autofd int next = open_name(e, "events");
	int r;

	if (last >= 0 && !same(last, e->now.fd) && !same(last, e->old.fd) &&
	    (e->now.fd < 0 || !same(next, e->now.fd)))
		r = go_on(e, dv_take_fd(&last), err);
	else if (next >= 0 && !same(next, e->now.fd))
		r = go_on(e, dv_take_fd(&next), err);
	else
		return 0;
	return r < 0 ? r : 1;
}

static int begin(struct dv_sandbox_events *e, struct dv_err *err)
{
	struct dv_err own = DV_ERR_INIT;
	int wd, r = dv_rundir(e->path, sizeof(e->path), err);

	if (r < 0)
		return r;
	e->dir = dv_dir_open(e->path, "run", e->follow, &own);
	if (e->dir == -ENOENT)
		return 0;
	if (e->dir < 0) {
		if (err)
			*err = own;
		return e->dir;
	}
	if (!e->follow)
		return 0;
	e->notify = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
	r = e->notify < 0 ? -errno
			  : watch(e, e->dir,
				  IN_CREATE | IN_MOVED_TO | IN_ONLYDIR, &wd);
	if (r < 0)
		return failed(e, r, "watch", err);
	return 0;
}

int dv_sandbox_events_open(struct dv_sandbox_events **eventsp,
			   const struct dv_sandbox_events_opts *opts,
			   struct dv_err *err)
{
	struct dv_sandbox_events_opts o = DV_SANDBOX_EVENTS_INIT;
	struct dv_sandbox_events *e;
	int r = opts ? dv_opts_copy(&o, sizeof(o), opts, err) : 0;

	*eventsp = NULL;
	if (r < 0)
		return r;
	e = calloc(1, sizeof(*e));
	if (!e)
		return dv_err_sys(err, ENOMEM, "read events");
	e->dir = e->notify = -1;
	source_init(&e->old);
	source_init(&e->now);
	e->detail = (struct dv_buf)DV_BUF_INIT(LINE_MAX_LEN);
	e->since = o.since_unix_ns;
	e->follow = o.follow;
	r = begin(e, err);
	if (r == 0)
		*eventsp = e;
	else
		dv_sandbox_events_free(e);
	return r;
}

/* ---- lines ----------------------------------------------------------------
 */

/* 1: more bytes came, 0: none. */
static int fill(struct source *s)
{
	ssize_t n;
	char *p;

	dv_buf_drop(&s->buf, s->at);
	s->at = 0;
	if (s->buf.len == s->buf.max) { /* no line is as long */
		dv_buf_reset(&s->buf);
		s->skipping = true;
	}
	p = dv_buf_room(&s->buf,
			dv_min((size_t)CHUNK, s->buf.max - s->buf.len));
	if (!p)
		return -ENOMEM;
	n = dv_read(s->fd, p, dv_min((size_t)CHUNK, s->buf.max - s->buf.len));
	if (n > 0)
		dv_buf_add(&s->buf, (size_t)n);
	return n > 0 ? 1 : (int)n;
}

/* The next whole line, or NULL; its end becomes a NUL. */
static char *line_of(struct source *s)
{
	char *start, *end;
	bool skip;

	do {
		if (s->at == s->buf.len)
			return NULL;
		start = s->buf.data + s->at;
		end = memchr(start, '\n', s->buf.len - s->at);
		if (!end)
			return NULL;
		*end = '\0';
		s->at = (size_t)(end + 1 - s->buf.data);
		skip = s->skipping;
		s->skipping = false;
	} while (skip);
	return start;
}

static bool get_text(struct json_object *o, const char *key, char *out,
		     size_t size)
{
	struct json_object *v;

	if (!json_object_object_get_ex(o, key, &v) ||
	    !json_object_is_type(v, json_type_string) ||
	    (size_t)json_object_get_string_len(v) >= size)
		return false;
	memcpy(out, json_object_get_string(v),
	       (size_t)json_object_get_string_len(v) + 1);
	return true;
}

/* All members but those that have a place of their own. */
static void put_detail(struct dv_buf *out, struct json_object *o)
{
	static const char *const known[] = { "time", "id", "name", "event" };

	dv_buf_reset(out);
	dv_buf_puts(out, "");
	json_object_object_foreach(o, key, value)
	{
		bool own = false;

		for (size_t i = 0; i < DV_ARRAY_LEN(known); i++)
			own |= !strcmp(key, known[i]);
		if (!own && value)
			dv_buf_putf(out, "%s%s=%s", out->len ? " " : "", key,
				    json_object_get_string(value));
	}
}

static bool parse(struct dv_sandbox_events *e, const char *line,
		  struct dv_sandbox_event *event)
{
	struct json_object *o = json_tokener_parse(line);
	char when[40];
	bool ok;

	*event = (struct dv_sandbox_event){ .json = line };
	ok = json_object_is_type(o, json_type_object) &&
	     get_text(o, "time", when, sizeof(when)) &&
	     get_text(o, "id", event->id, sizeof(event->id)) &&
	     get_text(o, "name", event->name, sizeof(event->name)) &&
	     get_text(o, "event", event->event, sizeof(event->event)) &&
	     dv_time_parse(when, &event->unix_ns) == 0;
	if (ok)
		put_detail(&e->detail, o);
	event->detail = e->detail.data ? e->detail.data : "";
	json_object_put(o);
	return ok;
}

/* 0: one that counts, DV_MORE: none. */
static int next_of(struct dv_sandbox_events *e, struct source *s,
		   struct dv_sandbox_event *event, struct dv_err *err)
{
	char *line;
	int r = 1;

	while (s->fd >= 0 && r > 0) {
		while ((line = line_of(s)))
			if (parse(e, line, event) && event->unix_ns >= e->since)
				return 0;
		r = fill(s);
	}
	return r < 0 ? failed(e, r, "read", err) : DV_MORE;
}

/* What woke us up; the files tell the rest. */
static void drain(int fd)
{
	char buf[4096];

	while (fd >= 0 && dv_read(fd, buf, sizeof(buf)) > 0)
		;
}

int dv_sandbox_events_next(struct dv_sandbox_events *e,
			   struct dv_sandbox_event *event, struct dv_err *err)
{
	int r;

	if (e->dir < 0)
		return DV_EOF;
	for (;;) {
		r = next_of(e, &e->old, event, err);
		if (r == DV_MORE)
			r = next_of(e, &e->now, event, err);
		if (r != DV_MORE)
			return r;
		/* Before the names are looked at: what comes later wakes. */
		drain(e->notify);
		r = next_of(e, &e->old, event, err);
		if (r == DV_MORE)
			r = next_of(e, &e->now, event, err);
		if (r != DV_MORE)
			return r;
		r = advance(e, err);
		if (r < 0)
			return r;
		if (r == 0)
			return e->follow ? DV_MORE : DV_EOF;
	}
}
