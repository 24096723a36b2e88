/* SPDX-License-Identifier: MIT */
/*
 * DOC: in the worker
 *
 * Everything here but start and free runs in the worker, which may block. The
 * file is opened non-blocking all the same: a FIFO without a writer and a
 * terminal without a carrier would otherwise hold up the answer to the client.
 */
#include "agent/file.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "agent/kmsg.h"
#include "agent/worker.h"
#include "base/def.h"
#include "base/fd.h"

/* As much as a socket takes at a time. */
#define CHUNK 65536
/* /dev/kmsg, by its numbers: nodes may have other names. */
#define KMSG_MAJOR 1
#define KMSG_MINOR 11

struct dv_file {
	struct dv_worker *worker;
	dv_outflow_done *done;
	void *arg;
	void (*started)(void *arg);
};

struct stream {
	struct dv_work *w;
	const struct dv_file_opts *o;
	int fd;
	uint64_t left; /* bytes that may still be sent */
	char *buf;     /* CHUNK bytes */
	struct dv_err *err;
};

static int failed(struct stream *s, int r)
{
	return dv_err_sys(s->err, -r, "read %s", s->o->path);
}

/* One piece. Bytes, 0 at the end or when enough was sent, -EAGAIN, -errno. */
static ssize_t copy_piece(struct stream *s)
{
	size_t len = s->left < CHUNK ? (size_t)s->left : CHUNK;
	ssize_t n = len > 0 ? dv_read(s->fd, s->buf, len) : 0;
	int r;

	if (n == -EAGAIN || n == 0)
		return n;
	if (n < 0)
		return failed(s, (int)n);
	s->left -= (uint64_t)n;
	r = dv_work_write(s->w, s->buf, (size_t)n, s->err);
	return r < 0 ? r : n;
}

/* Until there is something to read, for as long as the client stays: 1. */
static int wait_readable(struct stream *s)
{
	struct pollfd p = { .fd = s->fd, .events = POLLIN };

	while (poll(&p, 1, -1) < 0)
		if (errno != EINTR)
			return failed(s, -errno);
	return 1;
}

/* ---- what is polled --------------------------------------------------- */

/* @wait: an empty stream is no end. */
static int copy_stream(struct stream *s, bool wait)
{
	ssize_t n = 1;

	while (n > 0) {
		n = copy_piece(s);
		if (n == -EAGAIN)
			n = wait ? wait_readable(s) : 0;
	}
	return (int)n;
}

/*
 * A read of a FIFO that never had a writer says "end"; only poll() knows. To
 * follow beyond the last writer, we are one.
 */
static int copy_fifo(struct stream *s)
{
	dv_autofd int writer = -1;
	char path[64];
	int r;

	if (s->o->follow) {
		snprintf(path, sizeof(path), "/proc/self/fd/%d", s->fd);
		writer = open(path, O_WRONLY | O_NONBLOCK | O_CLOEXEC);
		if (writer < 0)
			return dv_err_sys(s->err, errno, "follow %s",
					  s->o->path);
	}
	r = wait_readable(s);
	return r < 0 ? r : copy_stream(s, true);
}

static int copy_kmsg(struct stream *s)
{
	struct dv_kmsg_reader rd = { .fd = s->fd };
	ssize_t n = 1;
	bool more;

	while (n > 0) {
		n = dv_kmsg_read(&rd, 1, &more);
		if (n == -EAGAIN)
			n = s->o->follow ? wait_readable(s) : 0;
		else if (n < 0)
			n = failed(s, (int)n);
		else if (n > 0 &&
			 dv_work_write(s->w, rd.buf, (size_t)n, s->err) < 0)
			n = -s->err->sys;
	}
	rd.fd = -1; /* it is the stream's */
	dv_kmsg_reader_deinit(&rd);
	return (int)n;
}

static int copy_device(struct stream *s, const struct stat *st)
{
	if (st->st_rdev == makedev(KMSG_MAJOR, KMSG_MINOR))
		return copy_kmsg(s);
	return copy_stream(s, s->o->follow);
}

/* ---- regular files ---------------------------------------------------- */

/* These make up their contents when they are read; nothing tells of changes. */
static bool is_pseudo(int fd)
{
	static const unsigned int magic[] = {
		PROC_SUPER_MAGIC,    SYSFS_MAGIC,   CGROUP_SUPER_MAGIC,
		CGROUP2_SUPER_MAGIC, DEBUGFS_MAGIC, TRACEFS_MAGIC,
	};
	struct statfs fs;

	if (fstatfs(fd, &fs) < 0)
		return false;
	for (size_t i = 0; i < DV_ARRAY_LEN(magic); i++)
		if ((unsigned int)fs.f_type == magic[i])
			return true;
	return false;
}

/* By descriptor, so that it is this file whatever happens to its name. */
static int watch_changes(struct stream *s)
{
	const uint32_t mask = IN_MODIFY | IN_ATTRIB | IN_DELETE_SELF;
	dv_autofd int in = inotify_init1(IN_CLOEXEC);
	char path[64];

	snprintf(path, sizeof(path), "/proc/self/fd/%d", s->fd);
	if (in < 0 || (inotify_add_watch(in, path, mask) < 0 &&
		       inotify_add_watch(in, s->o->path, mask) < 0))
		return dv_err_sys(s->err, errno, "follow %s", s->o->path);
	return dv_take_fd(&in);
}

static int wait_change(struct stream *s, int in)
{
	char events[4096];
	ssize_t n = dv_read(in, events, sizeof(events));

	return n < 0 ? failed(s, (int)n) : 0;
}

/* @seenp: the end of the file as it was last seen. 1 when it was removed. */
static int look(struct stream *s, off_t *seenp)
{
	off_t at = lseek(s->fd, 0, SEEK_CUR);
	struct stat st;

	if (at < 0 || fstat(s->fd, &st) < 0)
		return failed(s, -errno);
	if (st.st_size < *seenp && lseek(s->fd, 0, SEEK_SET) < 0)
		return failed(s, -errno);
	*seenp = st.st_size;
	return st.st_nlink == 0;
}

/* Up to the end of now; *seenp goes along. */
static int copy_to_end(struct stream *s, off_t *seenp)
{
	ssize_t n;

	while ((n = copy_piece(s)) > 0)
		;
	if (n == 0) {
		off_t at = lseek(s->fd, 0, SEEK_CUR);

		/* It grew while we read. An offset may lie beyond its end. */
		if (at > *seenp && at > (off_t)s->o->offset)
			*seenp = at;
	}
	return (int)n;
}

static int copy_followed(struct stream *s, int in)
{
	off_t seen = 0;

	for (;;) {
		/* Looked at first: what was appended before it was removed. */
		int gone = look(s, &seen);
		int r = gone < 0 ? gone : copy_to_end(s, &seen);

		if (r < 0 || gone || s->left == 0)
			return r;
		r = wait_change(s, in);
		if (r < 0)
			return r;
	}
}

/* Some files of proc are streams: they say -EAGAIN. */
static int copy_regular(struct stream *s)
{
	dv_autofd int in = -1;

	if (s->o->offset && lseek(s->fd, (off_t)s->o->offset, SEEK_SET) < 0)
		return dv_err_sys(s->err, errno, "seek in %s", s->o->path);
	if (!s->o->follow || is_pseudo(s->fd)) {
		dv_work_started(s->w);
		return copy_stream(s, s->o->follow);
	}
	in = watch_changes(s);
	if (in < 0)
		return in;
	dv_work_started(s->w);
	return copy_followed(s, in);
}

static int copy_file(struct stream *s)
{
	struct stat st;

	if (fstat(s->fd, &st) < 0)
		return failed(s, -errno);
	if (S_ISREG(st.st_mode))
		return copy_regular(s);
	if (!S_ISFIFO(st.st_mode) && !S_ISCHR(st.st_mode))
		return dv_err_set(s->err, EISDIR, DV_INVALID,
				  "cannot read directory");
	if (s->o->offset)
		return dv_err_sys(s->err, ESPIPE, "seek in %s", s->o->path);
	dv_work_started(s->w);
	return S_ISFIFO(st.st_mode) ? copy_fifo(s) : copy_device(s, &st);
}

static int work(struct dv_work *w, void *arg, struct dv_err *err)
{
	const struct dv_file_opts *o = arg;
	dv_autofd int fd =
		open(o->path, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	dv_autofree char *buf = malloc(CHUNK);
	uint64_t left = o->length ? o->length : UINT64_MAX;
	struct stream s = { w, o, fd, left, buf, err };

	if (fd < 0)
		return dv_err_sys(err, errno, "failed to open file: %s",
				  o->path);
	if (!buf)
		return dv_err_sys(err, ENOMEM, "read %s", o->path);
	return copy_file(&s);
}

/* ---- in the agent ----------------------------------------------------- */

static void on_started(void *arg)
{
	struct dv_file *f = arg;

	f->started(f->arg);
}

static void on_done(void *arg, uint64_t bytes, const struct dv_err *err)
{
	struct dv_file *f = arg;

	f->done(f->arg, bytes, err);
}

int dv_file_start(struct dv_file **fp, struct dv_loop *loop, int out,
		  const struct dv_file_opts *opts, dv_outflow_done *done,
		  void *arg, struct dv_err *err)
{
	struct dv_file *f = calloc(1, sizeof(*f));
	struct dv_file_opts copy = *opts; /* the worker gets it with the fork */
	struct dv_worker_opts o = {
		.name = "davit-file",
		.fn = work,
		.fn_arg = &copy,
		.started = opts->started ? on_started : NULL,
	};
	int r;

	if (!f) {
		dv_close(out);
		return dv_err_sys(err, ENOMEM, "read %s", opts->path);
	}
	*f = (struct dv_file){ NULL, done, arg, opts->started };
	r = dv_worker_start(&f->worker, loop, out, &o, on_done, f, err);
	if (r < 0) {
		free(f);
		return r;
	}
	*fp = f;
	return 0;
}

struct dv_file *dv_file_free(struct dv_file *f)
{
	if (!f)
		return NULL;
	dv_worker_free(f->worker);
	free(f);
	return NULL;
}
