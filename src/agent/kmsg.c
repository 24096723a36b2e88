/* SPDX-License-Identifier: MIT */
#include "agent/kmsg.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "base/def.h"
#include "base/fd.h"

/*
 * Newer kernels skip a record that did not fit, so the first buffer holds what
 * any kernel writes: 2 KiB today, 8 KiB before 6.5.
 */
#define FIRST_SIZE 16384
/* Room for a record while another one waits for the client. */
#define QUEUE_MAX (4 * DV_KMSG_RECORD_MAX)
/* Records read, and records skipped, before others have their turn. */
#define READ_BUDGET 128

struct dv_kmsg_flow {
	struct dv_outflow out;
	struct dv_kmsg_reader rd;
	struct dv_src src;      /* only while there is nothing to read */
	struct dv_defer resume; /* read on, after others had their turn */
	bool follow;
};

/* ---- the reader ------------------------------------------------------- */

static int grow(struct dv_kmsg_reader *r)
{
	size_t size = r->size ? r->size * 2 : FIRST_SIZE;
	char *buf;

	if (size > DV_KMSG_RECORD_MAX)
		return -EMSGSIZE;
	buf = realloc(r->buf, size);
	if (!buf)
		return -ENOMEM;
	r->buf = buf;
	r->size = size;
	return 0;
}

/* One record and its NUL, whichever it is. */
static ssize_t read_any(struct dv_kmsg_reader *r)
{
	for (;;) {
		ssize_t n = -EINVAL;
		int e;

		if (r->size > 0)
			n = dv_read(r->fd, r->buf, r->size - 1);
		if (n == -EPIPE)
			continue; /* overwritten; the next one is there */
		if (n > 0)
			r->buf[n++] = '\0';
		if (n != -EINVAL)
			return n;
		e = grow(r);
		if (e < 0)
			return e;
	}
}

/* The second number of the record; false when there is none. */
static bool sequence(const char *record, uint64_t *seqp)
{
	const char *p = strchr(record, ',');
	char *end;

	if (!p || p[1] < '0' || p[1] > '9')
		return false;
	errno = 0;
	*seqp = strtoull(p + 1, &end, 10);
	return errno == 0;
}

/*
 * The whole log was read and ends before the record that the client saw last:
 * it saw another log, from before a reboot. Then all of this one is new.
 */
static bool rewound(struct dv_kmsg_reader *r)
{
	bool another = r->has_after && r->has_last && r->last < r->after;

	r->has_last = false;
	if (!another || lseek(r->fd, 0, SEEK_SET) < 0)
		return false;
	r->has_after = false;
	return true;
}

ssize_t dv_kmsg_read(struct dv_kmsg_reader *r, size_t budget, bool *more)
{
	*more = false;
	for (;;) {
		ssize_t n = read_any(r);
		uint64_t seq;

		if (n == -EAGAIN && rewound(r))
			continue;
		if (n <= 0)
			return n;
		if (!r->has_after || !sequence(r->buf, &seq))
			return n;
		if (seq > r->after) {
			r->has_after = false;
			return n;
		}
		r->has_last = true;
		r->last = seq;
		if (budget-- <= 1) {
			*more = true;
			return -EAGAIN;
		}
	}
}

void dv_kmsg_reader_deinit(struct dv_kmsg_reader *r)
{
	r->fd = dv_close(r->fd);
	free(r->buf);
	r->buf = NULL;
	r->size = 0;
}

/* ---- the flow --------------------------------------------------------- */

static void pump(struct dv_kmsg_flow *k);

static void on_resume(struct dv_defer *defer)
{
	pump(dv_container_of(defer, struct dv_kmsg_flow, resume));
}

static void on_readable(struct dv_src *src, uint32_t events)
{
	(void)events;
	pump(dv_container_of(src, struct dv_kmsg_flow, src));
}

static void on_room(struct dv_outflow *out)
{
	struct dv_kmsg_flow *k = dv_container_of(out, struct dv_kmsg_flow, out);

	if (!k->src.loop)
		pump(k);
}

static void fail(struct dv_kmsg_flow *k, int r, const char *what)
{
	struct dv_err err = DV_ERR_INIT;

	dv_err_sys(&err, -r, "%s", what);
	dv_outflow_end(&k->out, &err);
}

static void wait_for_more(struct dv_kmsg_flow *k)
{
	int r = dv_src_add(k->out.loop, &k->src, k->rd.fd, EPOLLIN,
			   on_readable);

	/* A plain file has nothing to wait for. */
	if (r == -EPERM)
		dv_outflow_end(&k->out, NULL);
	else if (r < 0)
		fail(k, r, "watch the kernel log");
}

/* Nothing could be read: an end, an error, or a pause. */
static void pause_reading(struct dv_kmsg_flow *k, ssize_t n, bool more)
{
	if (n == 0 || (n == -EAGAIN && !more && !k->follow))
		dv_outflow_end(&k->out, NULL);
	else if (n != -EAGAIN)
		fail(k, (int)n, "read the kernel log");
	else if (more)
		dv_defer_add(k->out.loop, &k->resume, on_resume);
	else
		wait_for_more(k);
}

/*
 * While the client is slow the log is not watched: its epoll events cannot be
 * masked once records were overwritten.
 */
static void pump(struct dv_kmsg_flow *k)
{
	int budget = READ_BUDGET;

	dv_src_del(&k->src);
	while (dv_outflow_room(&k->out) >= DV_KMSG_RECORD_MAX) {
		bool more = true;
		ssize_t n = -EAGAIN;

		if (budget-- > 0)
			n = dv_kmsg_read(&k->rd, READ_BUDGET, &more);
		if (n > 0 && dv_buf_put(&k->out.buf, k->rd.buf, (size_t)n) < 0)
			n = -ENOMEM;
		if (n <= 0) {
			dv_outflow_flush(&k->out);
			pause_reading(k, n, more);
			return;
		}
	}
	/* on_room() goes on. */
	dv_outflow_flush(&k->out);
	if (dv_outflow_room(&k->out) >= DV_KMSG_RECORD_MAX)
		dv_defer_add(k->out.loop, &k->resume, on_resume);
}

static int open_log(struct dv_kmsg_flow *k, const struct dv_kmsg_flow_opts *o,
		    struct dv_err *err)
{
	const char *path = o->path ? o->path : "/dev/kmsg";

	k->rd.fd = open(path, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	if (k->rd.fd < 0)
		return dv_err_sys(err, errno, "failed to open file: %s", path);
	return 0;
}

int dv_kmsg_flow_start(struct dv_kmsg_flow **kp, struct dv_loop *loop, int out,
		       const struct dv_kmsg_flow_opts *opts,
		       dv_outflow_done *done, void *arg, struct dv_err *err)
{
	struct dv_kmsg_flow *k = calloc(1, sizeof(*k));
	int r;

	if (!k) {
		dv_close(out);
		return dv_err_sys(err, ENOMEM, "kernel log");
	}
	k->rd = (struct dv_kmsg_reader)DV_KMSG_READER_INIT;
	k->rd.has_after = opts->has_after;
	k->rd.after = opts->after;
	k->follow = opts->follow;
	r = dv_outflow_init(&k->out, loop, out, QUEUE_MAX, on_room, done, arg,
			    err);
	if (r == 0)
		r = open_log(k, opts, err);
	if (r < 0) {
		dv_kmsg_flow_free(k);
		return r;
	}
	dv_defer_add(loop, &k->resume, on_resume);
	*kp = k;
	return 0;
}

struct dv_kmsg_flow *dv_kmsg_flow_free(struct dv_kmsg_flow *k)
{
	if (!k)
		return NULL;
	dv_src_del(&k->src);
	dv_defer_del(&k->resume);
	dv_outflow_deinit(&k->out);
	dv_kmsg_reader_deinit(&k->rd);
	free(k);
	return NULL;
}
