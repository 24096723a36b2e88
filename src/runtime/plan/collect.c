/* SPDX-License-Identifier: MIT */
/*
 * Run to the end: feed the input while both outputs drain, so that neither side
 * can wait for the other with a full pipe. Past its cap an output is read and
 * dropped, never left standing.
 */
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/def.h"
#include "base/fd.h"
#include "davit/run.h"
#include "runtime/plan/spec.h"

enum { CHUNK = 65536 };

struct sink {
	struct dv_src src;
	int fd; /* owned */
	struct dv_buf data;
	uint64_t total;
	int status;
};

struct feed {
	struct dv_src src;
	int fd; /* owned */
	const char *data;
	size_t left;
};

static void feed_close(struct feed *f)
{
	dv_src_del(&f->src);
	f->fd = dv_close(f->fd);
}

/* SIGPIPE must not reach the caller: the write end is a socket or a pipe of
 * ours, and the caller's disposition is not ours to change. */
static ssize_t write_quiet(int fd, const void *data, size_t len)
{
	sigset_t pipe_set, old, pending;
	struct timespec zero = { 0, 0 };
	ssize_t n;

	sigemptyset(&pipe_set);
	sigaddset(&pipe_set, SIGPIPE);
	sigpending(&pending);
	pthread_sigmask(SIG_BLOCK, &pipe_set, &old);
	n = dv_write(fd, data, len);
	if (n == -EPIPE && !sigismember(&pending, SIGPIPE))
		while (sigtimedwait(&pipe_set, NULL, &zero) < 0 &&
		       errno == EINTR)
			;
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	return n;
}

static void on_feed(struct dv_src *src, uint32_t events)
{
	struct feed *f = dv_container_of(src, struct feed, src);
	ssize_t n = 0;

	if (f->left && !(events & EPOLLERR))
		n = write_quiet(f->fd, f->data, dv_min(f->left, (size_t)CHUNK));
	if (n > 0) {
		f->data += n;
		f->left -= (size_t)n;
	}
	if (n == -EAGAIN)
		return;
	/* A command that does not read its input is no error. */
	if (n < 0 || f->left == 0 || (events & EPOLLERR))
		feed_close(f);
}

static void sink_close(struct sink *s, int status)
{
	dv_src_del(&s->src);
	s->fd = dv_close(s->fd);
	s->status = status;
}

static void on_sink(struct dv_src *src, uint32_t events)
{
	struct sink *s = dv_container_of(src, struct sink, src);
	char chunk[CHUNK];
	ssize_t n = dv_read(s->fd, chunk, sizeof(chunk));

	(void)events;
	if (n == -EAGAIN)
		return;
	if (n <= 0) {
		sink_close(s, (int)n);
		return;
	}
	s->total += (uint64_t)n;
	dv_buf_put(&s->data, chunk,
		   dv_min((size_t)n, s->data.max - s->data.len));
	if (dv_buf_status(&s->data) < 0)
		sink_close(s, dv_buf_status(&s->data));
}

static int sink_open(struct sink *s, struct dv_run *run, int which, size_t cap)
{
	*s = (struct sink){ .src = DV_SRC_INIT, .data = DV_BUF_INIT(cap) };
	s->fd = dv_run_take_stdio(run, which);
	if (s->fd < 0)
		return s->fd;
	int r = dv_fd_nonblock(s->fd, true);
	return r < 0 ? r
		     : dv_src_add(dv_run_loop(run), &s->src, s->fd, EPOLLIN,
				  on_sink);
}

static int feed_open(struct feed *f, struct dv_run *run, const void *input,
		     size_t len)
{
	*f = (struct feed){ .src = DV_SRC_INIT, .data = input, .left = len };
	f->fd = dv_run_take_stdio(run, 0);
	if (f->fd < 0)
		return f->fd;
	int r = dv_fd_nonblock(f->fd, true);
	if (r == 0 && len == 0)
		feed_close(f);
	else if (r == 0)
		r = dv_src_add(dv_run_loop(run), &f->src, f->fd, EPOLLOUT,
			       on_feed);
	return r;
}

static void sink_move(struct sink *s, struct dv_output *out)
{
	out->len = s->data.len;
	out->total = s->total;
	out->truncated = s->total > s->data.len;
	out->data = dv_buf_take(&s->data);
}

static int collect(struct dv_run *run, struct feed *feed, struct sink sinks[2],
		   struct dv_exit *exit)
{
	int r = 0;

	while (r >= 0 && (sinks[0].fd >= 0 || sinks[1].fd >= 0 ||
			  dv_run_state(run) != DV_STATE_EXITED))
		r = dv_loop_dispatch(dv_run_loop(run), -1);
	feed_close(feed);
	if (r >= 0)
		r = dv_run_wait(run, -1, exit);
	for (int i = 0; r == 0 && i < 2; i++)
		r = sinks[i].status;
	return r;
}

/* The caller's spec with its streams replaced; it borrows the rest. */
static int start_piped(struct dv_run **runp, const struct dv_spec *spec,
		       struct dv_err *err)
{
	struct dv_spec piped = *spec;

	for (int i = 0; i < 3; i++)
		piped.stdio[i] = (struct dv_stdio_spec){ DV_STDIO_PIPE, -1 };
	return dv_run_start(runp, NULL, &piped, err);
}

int dv_run_collect(const struct dv_spec *spec, const void *input,
		   size_t input_len, size_t cap, struct dv_output *out,
		   struct dv_output *errout, struct dv_exit *exit,
		   struct dv_err *err)
{
	struct sink sinks[2] = { { .fd = -1 }, { .fd = -1 } };
	struct feed feed = { .fd = -1 };
	struct dv_run *run = NULL;
	int r = start_piped(&run, spec, err);

	out->data = errout->data = NULL;
	if (r < 0)
		return r;
	r = feed_open(&feed, run, input, input_len);
	for (int i = 0; r == 0 && i < 2; i++)
		r = sink_open(&sinks[i], run, i + 1, cap);
	if (r == 0)
		r = collect(run, &feed, sinks, exit);
	feed_close(&feed);
	for (int i = 0; i < 2; i++)
		sink_close(&sinks[i], 0);
	if (r == 0) {
		sink_move(&sinks[0], out);
		sink_move(&sinks[1], errout);
		if (!out->data || !errout->data)
			r = -ENOMEM;
	}
	for (int i = 0; i < 2; i++)
		dv_buf_free(&sinks[i].data);
	dv_run_free(run);
	if (r < 0) {
		free(out->data);
		free(errout->data);
		out->data = errout->data = NULL;
		return dv_err_step(err, dv_err_sys(err, -r, "collect output"),
				   DV_STEP_STREAM);
	}
	return 0;
}
