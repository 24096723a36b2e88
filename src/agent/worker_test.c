/* SPDX-License-Identifier: MIT */
#include "agent/worker.h"

#include <dirent.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>

#include "agent/flow_try.h"
#include "base/fmt.h"

static int start(struct try *t, struct dv_worker **wp, dv_work_fn *fn,
		 void *fn_arg)
{
	struct dv_worker_opts o = {
		.name = "davit-try",
		.fn = fn,
		.fn_arg = fn_arg,
		.started = try_started,
	};

	return dv_worker_start(wp, t->loop, dv_take_fd(&t->out), &o, try_done,
			       t, &t->err);
}

static void begin(struct try *t, struct dv_worker **wp, dv_work_fn *fn,
		  void *fn_arg)
{
	try_open(t, NULL);
	CHECK_EQ(start(t, wp, fn, fn_arg), 0);
	CHECK_EQ(t->done, 0);
}

static int write_much(struct dv_work *w, void *arg, struct dv_err *err)
{
	size_t *len = arg;
	char *p = calloc(1, *len);
	int r;

	dv_work_started(w);
	r = p ? dv_work_write(w, p, *len, err) : -ENOMEM;
	free(p);
	return r;
}

TEST(worker_writes_all_to_a_client_that_reads_late)
{
	size_t len = 5 * 1024 * 1024;
	struct dv_worker *w;
	struct try t;

	begin(&t, &w, write_much, &len);
	TRY_UNTIL(&t, t.started);
	try_read(&t);
	TRY_UNTIL(&t, t.eof && t.done);
	CHECK_EQ(t.got.len, len);
	CHECK_EQ(t.bytes, len);
	CHECK_EQ(t.err.code, DV_OK);
	CHECK_EQ(t.started, 1);
	CHECK(dv_worker_free(w) == NULL);
	try_close(&t, NULL);
}

static int write_endless(struct dv_work *w, void *arg, struct dv_err *err)
{
	static char bytes[65536];
	int r = 0;

	(void)arg;
	while (r == 0)
		r = dv_work_write(w, bytes, sizeof(bytes), err);
	return r;
}

TEST(worker_ends_when_the_client_hangs_up)
{
	struct dv_worker *w;
	struct try t;

	begin(&t, &w, write_endless, NULL);
	try_read(&t);
	TRY_UNTIL(&t, t.got.len > 0);
	try_hang_up(&t);
	TRY_UNTIL(&t, t.done);
	CHECK_EQ(t.err.code, DV_CANCELLED);
	dv_worker_free(w);
	try_close(&t, NULL);
	CHECK_EQ(t.done, 1);
}

static int wait_forever(struct dv_work *w, void *arg, struct dv_err *err)
{
	(void)arg;
	dv_work_started(w);
	pause(); /* nothing is caught here, so it does not return */
	return dv_err_sys(err, EINTR, "pause");
}

TEST(worker_that_waits_ends_when_the_client_hangs_up)
{
	struct dv_worker *w;
	struct try t;

	begin(&t, &w, wait_forever, NULL);
	TRY_UNTIL(&t, t.started);
	try_hang_up(&t);
	TRY_UNTIL(&t, t.done);
	CHECK_EQ(t.err.code, DV_CANCELLED);
	dv_worker_free(w);
	try_close(&t, NULL);
}

TEST(worker_freed_while_it_runs_is_gone_and_calls_nothing)
{
	struct dv_worker *w;
	struct try t;

	begin(&t, &w, wait_forever, NULL);
	TRY_UNTIL(&t, t.started);
	CHECK_EQ(dv_worker_count(), 1);
	dv_worker_free(w);
	try_read(&t);
	TRY_UNTIL(&t, t.eof && dv_worker_count() == 0);
	CHECK_EQ(t.done, 0);
	try_close(&t, NULL);
}

TEST(worker_that_was_killed_is_an_error)
{
	struct dv_worker *w;
	struct try t;
	char text[64];

	begin(&t, &w, wait_forever, NULL);
	TRY_UNTIL(&t, t.started);
	dv_fmt(text, sizeof(text), "worker %d ended by signal 9",
	       (int)dv_worker_pid(w));
	CHECK_EQ(kill(dv_worker_pid(w), SIGKILL), 0);
	TRY_UNTIL(&t, t.done);
	CHECK_EQ(t.err.sys, EIO);
	CHECK(strstr(t.err.msg, text) != NULL);
	dv_worker_free(w);
	try_close(&t, NULL);
}

static int fail_with_words(struct dv_work *w, void *arg, struct dv_err *err)
{
	int r = dv_work_write(w, "ab", 2, err);

	(void)arg;
	if (r < 0)
		return r;
	dv_err_hint(err, "look elsewhere");
	return dv_err_sys(err, ENOENT, "open it");
}

static int fail_silently(struct dv_work *w, void *arg, struct dv_err *err)
{
	(void)w;
	(void)arg;
	(void)err;
	return -ENOSPC;
}

TEST(worker_error_arrives_with_hint_and_bytes)
{
	struct dv_worker *w;
	struct try t;

	begin(&t, &w, fail_with_words, NULL);
	TRY_UNTIL(&t, t.done);
	CHECK_EQ(t.err.sys, ENOENT);
	CHECK_EQ(t.err.code, DV_NOT_FOUND);
	CHECK_STR(t.err.hint, "look elsewhere");
	CHECK_EQ(t.bytes, 2);
	CHECK_EQ(t.started, 0);
	dv_worker_free(w);
	try_close(&t, NULL);
	begin(&t, &w, fail_silently, NULL);
	TRY_UNTIL(&t, t.done);
	CHECK_EQ(t.err.sys, ENOSPC);
	dv_worker_free(w);
	try_close(&t, NULL);
}

/* Writes one byte for each descriptor above 2. */
static int count_fds(struct dv_work *w, void *arg, struct dv_err *err)
{
	int r = 0;

	(void)arg;
	for (int fd = 3; fd < 1024 && r == 0; fd++)
		if (fcntl(fd, F_GETFD) >= 0)
			r = dv_work_write(w, "x", 1, err);
	return r;
}

TEST(worker_has_only_the_descriptors_it_needs)
{
	struct dv_worker_opts o = { .name = "davit-try", .fn = count_fds };
	struct dv_worker *w;
	int keep[2], other[2];
	struct try t;

	try_open(&t, NULL);
	CHECK_EQ(dv_pipe(other), 0);
	CHECK_EQ(dv_pipe(keep), 0);
	o.keep = keep;
	o.n_keep = 2;
	CHECK_EQ(dv_worker_start(&w, t.loop, dv_take_fd(&t.out), &o, try_done,
				 &t, &t.err),
		 0);
	TRY_UNTIL(&t, t.done);
	CHECK_EQ(t.bytes, 4); /* the socket, the eventfd, and these two */
	dv_worker_free(w);
	for (int i = 0; i < 2; i++) {
		dv_close(keep[i]);
		dv_close(other[i]);
	}
	try_close(&t, NULL);
}

TEST(workers_beyond_the_limit_are_refused)
{
	struct dv_worker *w[DV_WORKER_MAX + 1] = { NULL };
	struct try t[DV_WORKER_MAX + 1];

	try_open(&t[0], NULL);
	for (int i = 0; i <= DV_WORKER_MAX; i++) {
		if (i > 0)
			try_open(&t[i], t[0].loop);
		CHECK_EQ(start(&t[i], &w[i], wait_forever, NULL),
			 i < DV_WORKER_MAX ? 0 : -EAGAIN);
	}
	CHECK_EQ(t[DV_WORKER_MAX].err.code, DV_EXHAUSTED);
	for (int i = DV_WORKER_MAX; i >= 0; i--) {
		dv_worker_free(w[i]);
		try_close(&t[i], i ? t[0].loop : NULL);
	}
}

TEST(worker_writes_to_a_pipe_and_to_a_file)
{
	struct dv_worker *w;
	size_t len = 100;
	struct try t;
	int fds[2];
	char byte;

	try_open(&t, NULL);
	dv_close(t.out);
	CHECK_EQ(dv_pipe(fds), 0);
	t.out = fds[1];
	CHECK_EQ(start(&t, &w, write_much, &len), 0);
	TRY_UNTIL(&t, t.done);
	CHECK_EQ(t.bytes, len);
	dv_worker_free(w);
	while (len-- > 0)
		CHECK_EQ(dv_read(fds[0], &byte, 1), 1);
	CHECK_EQ(dv_read(fds[0], &byte, 1), 0);
	dv_close(fds[0]);
	try_close(&t, NULL);

	try_open(&t, NULL);
	dv_close(t.out);
	t.out = open("/dev/null", O_WRONLY | O_CLOEXEC);
	len = 100;
	CHECK_EQ(start(&t, &w, write_much, &len), 0);
	TRY_UNTIL(&t, t.done);
	CHECK_EQ(t.bytes, len);
	dv_worker_free(w);
	try_close(&t, NULL);
}

/* An agent that starts a worker and dies. */
static void agent(struct try *t)
{
	struct dv_worker *w;

	if (start(t, &w, wait_forever, NULL) < 0)
		_exit(1);
	while (!t->started)
		if (dv_loop_dispatch(t->loop, TRY_SECONDS * 1000) <= 0)
			_exit(2);
	kill(getpid(), SIGKILL);
}

TEST(worker_dies_with_the_agent)
{
	struct pollfd p = { .events = POLLIN };
	struct try t;
	int status;
	pid_t pid;
	char byte;

	try_open(&t, NULL);
	pid = fork();
	if (pid == 0)
		agent(&t);
	CHECK(pid > 0);
	t.out = dv_close(t.out);
	CHECK_EQ(waitpid(pid, &status, 0), pid);
	CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
	/* Nobody but the worker holds the other end. */
	p.fd = t.client;
	CHECK_EQ(poll(&p, 1, TRY_SECONDS * 1000), 1);
	CHECK_EQ(dv_read(t.client, &byte, 1), 0);
	try_close(&t, NULL);
}
