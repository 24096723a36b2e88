/* SPDX-License-Identifier: MIT */
#include "agent/core_try.h"

#include "agent/worker.h"
#include "davit/loop.h"

/* A dump on a loop, and a reader of what it writes. */
struct
try {
	struct dv_core_job job;
	struct dv_loop *loop;
	int out;
	int n_done;
	int r;
	uint64_t bytes;
	struct dv_err err;
};

static void on_done(struct dv_core_job *job, int r, uint64_t bytes,
		    const struct dv_err *err)
{
	struct try *t = dv_container_of(job, struct try, job);

	t->n_done++;
	t->r = r;
	t->bytes = bytes;
	t->err = (struct dv_err)DV_ERR_INIT;
	if (err)
		t->err = *err;
}

static void try_open(struct try *t)
{
	*t = (struct try){ .job = DV_CORE_JOB_INIT, .out = -1 };
	CHECK_EQ(dv_loop_new(&t->loop), 0);
}

/* @to (consumed) is where the core goes. */
static int try_start_to(struct try *t, pid_t pid, int to)
{
	struct dv_err err = DV_ERR_INIT;

	t->n_done = 0;
	return dv_core_start(t->loop, &t->job, pid, to, NULL, on_done, &err);
}

/* A socketpair: we have one end, the other one is returned. */
static int try_pair(struct try *t)
{
	int out[2];

	core_pair(out);
	t->out = out[0];
	return out[1];
}

static int try_start(struct try *t, pid_t pid)
{
	return try_start_to(t, pid, try_pair(t));
}

static void try_wait(struct try *t)
{
	while (t->n_done == 0)
		CHECK(dv_loop_dispatch(t->loop, TRY_WAIT_MS) > 0);
	CHECK_EQ(t->n_done, 1);
	CHECK_EQ(t->job.pid, 0);
}

static void try_close(struct try *t)
{
	dv_core_end(&t->job);
	dv_close(t->out);
	while (dv_worker_count() > 0)
		CHECK(dv_loop_dispatch(t->loop, TRY_WAIT_MS) > 0);
	dv_loop_free(t->loop);
}

/*
 * Reads the core in a process of its own: ours may be the one that is dumped
 * and stands still.
 */
static pid_t reader_start(int from, int to)
{
	pid_t pid = fork();

	if (pid == 0) {
		char buf[65536];
		ssize_t n;

		/* Not the other end, or the end would never come. */
		dup2(from, 0);
		dup2(to, 1);
		close_range(3, ~0U, 0);
		while ((n = dv_read(0, buf, sizeof(buf))) > 0)
			dv_write_full(1, buf, (size_t)n);
		dv_child_end(0);
	}
	return pid;
}

static void reader_end(pid_t pid, FILE *file, struct core *c)
{
	CHECK_EQ(waitpid(pid, NULL, 0), pid);
	CHECK_EQ(lseek(fileno(file), 0, SEEK_SET), 0);
	core_slurp(c, fileno(file));
	core_parse(c);
}

TEST(job_dumps_another_process_while_the_loop_runs)
{
	struct target tg = target_start(NULL);
	FILE *file = tmpfile();
	struct core c;
	struct try t;

	try_open(&t);
	CHECK_EQ(try_start(&t, tg.pid), 0);
	CHECK(t.job.pid > 0);
	pid_t reader = reader_start(t.out, fileno(file));

	try_wait(&t);
	CHECK_EQ(t.r, 0);
	reader_end(reader, file, &c);
	CHECK_EQ(t.bytes, c.bytes.len);
	CHECK_EQ(core_tid(&c, 0), tg.pid);
	core_free(&c);
	fclose(file);
	target_answers(&tg);
	target_end(&tg);
	try_close(&t);
}

TEST(job_dumps_the_process_that_started_it)
{
	FILE *file = tmpfile();
	struct core c;
	struct try t;

	try_open(&t);
	/* Before the dump, which may stop us at once: then there must be
	 * somebody who reads. */
	int to = try_pair(&t);
	pid_t reader = reader_start(t.out, fileno(file));

	CHECK_EQ(try_start_to(&t, getpid(), to), 0);
	try_wait(&t);
	CHECK_EQ(t.r, 0);
	reader_end(reader, file, &c);
	CHECK_EQ(t.bytes, c.bytes.len);
	CHECK_EQ(core_tid(&c, 0), getpid());
	core_free(&c);
	fclose(file);
	try_close(&t);
}

/* Nobody could read it while we stand still but ourselves. */
TEST(job_lets_its_own_process_go_on_before_anybody_reads)
{
	FILE *file = tmpfile();
	char some[4096];
	struct try t;

	try_open(&t);
	CHECK_EQ(try_start(&t, getpid()), 0);
	CHECK_EQ(dv_read_full(t.out, some, sizeof(some)), sizeof(some));
	/* More than its socket holds is still to come. */
	CHECK_EQ(dv_loop_dispatch(t.loop, 0), 0);
	CHECK_EQ(t.n_done, 0);
	pid_t reader = reader_start(t.out, fileno(file));

	try_wait(&t);
	CHECK_EQ(t.r, 0);
	CHECK_EQ(waitpid(reader, NULL, 0), reader);
	CHECK_EQ(lseek(fileno(file), 0, SEEK_END) + (off_t)sizeof(some),
		 t.bytes);
	fclose(file);
	try_close(&t);
}

TEST(job_reports_what_went_wrong)
{
	struct try t;

	try_open(&t);
	CHECK_EQ(try_start(&t, INT32_MAX), 0);
	try_wait(&t);
	CHECK_EQ(t.r, -ESRCH);
	CHECK_EQ(t.err.code, DV_NOT_FOUND);
	CHECK_EQ(t.bytes, 0);
	try_close(&t);
}

TEST(job_that_runs_refuses_another)
{
	struct target tg = target_start(NULL);
	struct dv_err err = DV_ERR_INIT;
	int first;
	struct try t;

	try_open(&t);
	CHECK_EQ(try_start(&t, tg.pid), 0);
	first = t.out;
	CHECK_EQ(try_start(&t, tg.pid), -EBUSY);
	CHECK_EQ(dv_core_start(t.loop, &t.job, tg.pid, -1, NULL, on_done, &err),
		 -EBUSY);
	close(first);
	try_close(&t);
	target_answers(&tg);
	target_end(&tg);
}

TEST(job_that_is_cancelled_says_so_and_can_start_again)
{
	struct target tg = target_start(NULL);
	char some[4096];
	struct try t;

	try_open(&t);
	for (int i = 0; i < 3; i++) {
		CHECK_EQ(try_start(&t, tg.pid), 0);
		CHECK(dv_read(t.out, some, sizeof(some)) > 0);
		dv_core_cancel(&t.job);
		dv_core_cancel(&t.job);
		try_wait(&t);
		CHECK_EQ(t.r, -ECANCELED);
		CHECK_EQ(t.err.code, DV_CANCELLED);
		close(t.out);
		t.out = -1;
		target_answers(&tg);
	}
	try_close(&t);
	target_end(&tg);
}

TEST(job_whose_reader_hangs_up_ends)
{
	struct target tg = target_start(NULL);
	char byte;
	struct try t;

	try_open(&t);
	CHECK_EQ(try_start(&t, tg.pid), 0);
	CHECK_EQ(dv_read(t.out, &byte, 1), 1);
	t.out = dv_close(t.out);
	try_wait(&t);
	CHECK_EQ(t.r, -EPIPE);
	CHECK_EQ(t.err.code, DV_CANCELLED);
	try_close(&t);
	target_answers(&tg);
	target_end(&tg);
}

TEST(job_that_is_killed_is_an_error)
{
	struct target tg = target_start(NULL);
	char byte;
	struct try t;

	try_open(&t);
	CHECK_EQ(try_start(&t, tg.pid), 0);
	CHECK_EQ(dv_read(t.out, &byte, 1), 1);
	CHECK_EQ(kill(t.job.pid, SIGKILL), 0);
	try_wait(&t);
	CHECK_EQ(t.r, -EIO);
	try_close(&t);
	target_answers(&tg);
	target_end(&tg);
}

TEST(job_that_is_ended_calls_nothing)
{
	struct target tg = target_start(NULL);
	struct try t;

	try_open(&t);
	CHECK_EQ(try_start(&t, tg.pid), 0);
	dv_core_end(&t.job);
	dv_core_end(&t.job);
	try_close(&t);
	CHECK_EQ(t.n_done, 0);
	target_answers(&tg);
	target_end(&tg);
}
