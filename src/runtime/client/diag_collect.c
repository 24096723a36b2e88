/* SPDX-License-Identifier: MIT */
/*
 * A command to its end: input, both outputs and the exit side by side, so that
 * none waits for another with a full socket.
 */
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <sys/epoll.h>

#include "base/def.h"
#include "base/fd.h"
#include "base/opts.h"
#include "runtime/client/diag.h"

enum {
	CHUNK = 64 << 10,
	/* A process that it left behind may hold an output: not for us. */
	DRAIN_MS = 2000,
};

struct sink {
	struct dv_src src;
	int fd; /* owned, -1: ended */
	struct dv_buf data;
	uint64_t total;
};

struct collect {
	struct dv_diag *diag;
	struct dv_diag_proc *proc; /* owned */
	struct sink out[2];
	struct dv_src in_src;
	int in; /* owned */
	const char *input;
	size_t left;
	struct dv_op *wait;
	bool exited, timed_out;
	int r;
	struct dv_err err;
	struct dv_timer timer;
};

static void close_input(struct collect *c)
{
	dv_src_del(&c->in_src);
	c->in = dv_close(c->in);
}

static void on_input(struct dv_src *src, uint32_t events DV_UNUSED)
{
	struct collect *c = dv_container_of(src, struct collect, in_src);
	ssize_t n = 0;

	if (c->left)
		n = dv_send(c->in, c->input, dv_min(c->left, (size_t)CHUNK));
	if (n == -EAGAIN)
		return;
	if (n > 0) {
		c->input += n;
		c->left -= (size_t)n;
	}
	/* A command that does not read its input is no error. */
	if (n < 0 || !c->left)
		close_input(c);
}

static void on_output(struct dv_src *src, uint32_t events DV_UNUSED)
{
	struct sink *s = dv_container_of(src, struct sink, src);
	char chunk[CHUNK];
	ssize_t n = dv_read(s->fd, chunk, sizeof(chunk));

	if (n == -EAGAIN)
		return;
	if (n > 0) {
		s->total += (uint64_t)n;
		dv_buf_put(&s->data, chunk,
			   dv_min((size_t)n, s->data.max - s->data.len));
		return;
	}
	dv_src_del(&s->src);
	s->fd = dv_close(s->fd);
}

static void on_timer(struct dv_timer *timer)
{
	dv_container_of(timer, struct collect, timer)->timed_out = true;
}

static void on_wait(void *arg, int r, const struct dv_err *err)
{
	struct collect *c = arg;

	c->wait = NULL;
	c->exited = true;
	c->r = r;
	if (r < 0)
		c->err = *err;
}

/* ---- the steps -------------------------------------------------------------
 */

static int watch(struct collect *c)
{
	struct dv_loop *loop = c->diag->loop;
	int r = 0;

	for (int i = 0; i < 2 && r == 0; i++) {
		c->out[i].fd = dv_diag_proc_take_stdio(c->proc, i + 1);
		if (c->out[i].fd >= 0)
			r = dv_src_add(loop, &c->out[i].src, c->out[i].fd,
				       EPOLLIN, on_output);
	}
	c->in = dv_diag_proc_take_stdio(c->proc, 0);
	if (c->in >= 0 && r == 0)
		r = dv_src_add(loop, &c->in_src, c->in, EPOLLOUT, on_input);
	return r;
}

static bool flowing(const struct collect *c)
{
	return c->out[0].fd >= 0 || c->out[1].fd >= 0;
}

/* Run the loop until @c says that it is over, or @until_ns. */
static int run(struct collect *c, uint64_t until_ns, bool drain)
{
	struct dv_loop *loop = c->diag->loop;
	int r = 0;

	c->timed_out = false;
	if (until_ns != UINT64_MAX)
		r = dv_timer_set(loop, &c->timer, until_ns, on_timer);
	while (r >= 0 && !c->timed_out && (drain ? flowing(c) : !c->exited))
		r = dv_loop_dispatch(loop, -1);
	dv_timer_stop(&c->timer);
	return r < 0 ? r : 0;
}

static int finish(struct collect *c, struct dv_exit *exit, uint64_t until_ns,
		  struct dv_err *err)
{
	struct dv_how how = DV_HOW_INIT;
	uint64_t drain;
	int r;

	how.fn = on_wait;
	how.arg = c;
	how.opp = &c->wait;
	r = dv_diag_wait(c->proc, exit, &how, err);
	if (r < 0)
		return r;
	r = run(c, until_ns, false);
	if (r < 0)
		return dv_err_sys(err, -r, "wait for the command");
	if (!c->exited)
		return dv_err_set(err, ETIMEDOUT, DV_DEADLINE,
				  "the command still runs");
	if (c->r < 0) {
		if (err)
			*err = c->err;
		return c->r;
	}
	close_input(c);
	drain = dv_now_ns() + (uint64_t)DRAIN_MS * 1000000;
	r = run(c, dv_min(drain, until_ns), true);
	return r < 0 ? dv_err_sys(err, -r, "read the output") : 0;
}

static int give(struct sink *s, struct dv_output *out)
{
	size_t len = s->data.len;
	char *data;

	if (!out)
		return 0;
	data = dv_buf_take(&s->data);
	if (!data)
		return -ENOMEM;
	*out = (struct dv_output){ .data = data,
				   .len = len,
				   .total = s->total,
				   .truncated = s->total > len };
	return 0;
}

static void collect_deinit(struct collect *c)
{
	if (c->wait)
		dv_op_cancel(c->wait);
	dv_timer_stop(&c->timer);
	close_input(c);
	for (int i = 0; i < 2; i++) {
		dv_src_del(&c->out[i].src);
		dv_close(c->out[i].fd);
		dv_buf_free(&c->out[i].data);
	}
	dv_diag_proc_free(c->proc);
}

static int to_the_end(struct collect *c, const struct dv_diag_exec *exec,
		      struct dv_exit *exit, int timeout_ms, struct dv_err *err)
{
	struct dv_how how = DV_HOW_INIT;
	uint64_t until = UINT64_MAX;
	int r;

	if (timeout_ms >= 0)
		until = dv_now_ns() + (uint64_t)timeout_ms * 1000000;
	how.timeout_ms = timeout_ms;
	r = dv_diag_exec(c->diag, exec, &c->proc, &how, err);
	if (r < 0)
		return r;
	r = watch(c);
	if (r < 0)
		return dv_err_sys(err, -r, "watch the streams");
	return finish(c, exit, until, err);
}

/* NOLINTNEXTLINE(readability-function-size): a command, and all it gives */
int dv_diag_collect(struct dv_diag *diag, const struct dv_diag_exec *exec,
		    const void *input, size_t input_len, size_t cap,
		    struct dv_output *out, struct dv_output *errout,
		    struct dv_exit *exit, int timeout_ms, struct dv_err *err)
{
	struct dv_diag_exec e = DV_DIAG_EXEC_INIT;
	struct collect c = { .diag = diag,
			     .in = -1,
			     .in_src = DV_SRC_INIT,
			     .input = input,
			     .left = input_len,
			     .timer = DV_TIMER_INIT };
	int r = dv_opts_copy(&e, sizeof(e), exec, err);

	if (r < 0)
		return r;
	for (int i = 0; i < 2; i++)
		c.out[i] = (struct sink){ .src = DV_SRC_INIT,
					  .fd = -1,
					  .data = DV_BUF_INIT(cap) };
	e.stdio = (input ? DV_DIAG_STDIN : 0U) | (out ? DV_DIAG_STDOUT : 0U) |
		  (errout ? DV_DIAG_STDERR : 0U);
	r = to_the_end(&c, &e, exit, timeout_ms, err);
	if (r == 0)
		r = give(&c.out[0], out);
	if (r == 0) {
		r = give(&c.out[1], errout);
		if (r < 0 && out)
			free(out->data);
	}
	if (r == -ENOMEM)
		dv_err_sys(err, ENOMEM, "keep the output");
	collect_deinit(&c);
	return r;
}
