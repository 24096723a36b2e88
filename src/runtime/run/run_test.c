/* SPDX-License-Identifier: MIT */
#include "runtime/run/run_try.h"

#include <poll.h>
#include <pthread.h>
#include <sys/epoll.h>

#include "base/def.h"

/* ---- exit records ---------------------------------------------------------
 */

TEST(exit_record_tells_how_it_ended)
{
	static const struct {
		const char *script;
		int code, signal;
		enum dv_ended_by by;
	} rows[] = {
		{ "exit 0", 0, 0, DV_ENDED_EXIT },
		{ "exit 255", 255, 0, DV_ENDED_EXIT },
		{ "kill -TERM $$", 143, SIGTERM, DV_ENDED_SIGNAL },
		{ "kill -KILL $$", 137, SIGKILL, DV_ENDED_SIGNAL },
		{ "sleep 1000 & exit 4", 4, 0, DV_ENDED_EXIT },
		{ "setsid sleep 1000 & kill -9 $$", 137, 9, DV_ENDED_SIGNAL },
	};

	try_open();
	for (size_t i = 0; i < DV_ARRAY_LEN(rows); i++) {
		struct dv_spec *spec = try_spec(rows[i].script);
		struct dv_run *run = try_run(NULL, spec);
		struct dv_exit e = try_wait(run);

		CHECK_EQ(e.code, rows[i].code);
		CHECK_EQ(e.signal, rows[i].signal);
		CHECK_EQ(e.ended_by, rows[i].by);
		CHECK(e.exited_unix_ns >= e.started_unix_ns);
		CHECK(e.wall_ns > 0 && !e.oom && !e.timed_out);
		CHECK_EQ(dv_run_state(run), DV_STATE_EXITED);
		CHECK_EQ(dv_run_pid(run), 0);
		CHECK_EQ(strlen(dv_run_id(run)), 16);
		CHECK_EQ(dv_run_signal(run, 0, NULL), -ESRCH);
		CHECK_EQ(dv_run_signal_group(run, 0, NULL), -ESRCH);
		CHECK_EQ(dv_run_kill_all(run, NULL), -ESRCH);
		CHECK_EQ(dv_run_stop(run, NULL), -ESRCH);
		dv_run_free(run);
		dv_spec_free(spec);
	}
	try_close();
}

TEST(exit_struct_of_an_older_caller_is_filled_as_far_as_it_goes)
{
	struct dv_spec *spec;
	struct dv_run *run;
	struct dv_exit e;

	try_open();
	spec = try_spec("exit 3");
	run = try_run(NULL, spec);
	memset(&e, 0x77, sizeof(e));
	e.size = offsetof(struct dv_exit, signal);
	CHECK_EQ(dv_run_wait(run, 20000, &e), 0);
	CHECK_EQ(e.code, 3);
	CHECK_EQ(e.signal, 0x77777777);
	e.size = 0;
	CHECK_EQ(dv_run_wait(run, 20000, &e), 0);
	CHECK_EQ(dv_run_wait(run, 20000, NULL), 0);
	dv_run_free(run);
	dv_spec_free(spec);
	try_close();
}

/* ---- failures before the command
 * --------------------------------------------- */

static void no_command(struct dv_spec *s)
{
	const char *const argv[] = { "no-such-command-anywhere", NULL };

	dv_spec_argv(s, argv, NULL);
}

static void not_executable(struct dv_spec *s)
{
	dv_spec_exe(s, "/etc/passwd", NULL);
}

static void workdir_missing(struct dv_spec *s)
{
	dv_spec_workdir(s, "/no/such/dir", NULL);
}

static void volume_missing(struct dv_spec *s)
{
	dv_spec_volume(s, "/no/such/dir", "/mnt", 0, NULL);
}

static void rootfs_missing(struct dv_spec *s)
{
	dv_spec_rootfs(s, "/no/such/dir", DV_ROOTFS_RO, NULL);
}

static void rootfs_none(struct dv_spec *s)
{
	dv_spec_boundary(s, DV_IN_CONTAINER);
}

static void user_unknown(struct dv_spec *s)
{
	dv_spec_user(s, "nobody-like-that", NULL);
}

static void seccomp_missing(struct dv_spec *s)
{
	dv_spec_seccomp(s, "/no/such/profile", NULL);
}

static void tmpfs_on_file(struct dv_spec *s)
{
	dv_spec_tmpfs(s, "/etc/passwd", 0, NULL);
}

static void memory_tiny(struct dv_spec *s)
{
	dv_spec_memory(s, 4096);
}

TEST(start_failure_is_named_and_leaves_nothing)
{
	static const struct {
		void (*spoil)(struct dv_spec *);
		int sys;
		enum dv_step step;
	} rows[] = {
		{ no_command, ENOENT, DV_STEP_LOOKUP },
		{ not_executable, EACCES, DV_STEP_EXEC },
		{ workdir_missing, ENOENT, DV_STEP_CWD },
		{ volume_missing, ENOENT, DV_STEP_CONFIG },
		{ rootfs_missing, ENOENT, DV_STEP_CONFIG },
		{ rootfs_none, EINVAL, DV_STEP_CONFIG },
		{ user_unknown, ENOENT, DV_STEP_CONFIG },
		{ seccomp_missing, ENOENT, DV_STEP_CONFIG },
		{ tmpfs_on_file, ENOTDIR, DV_STEP_MOUNT },
		{ memory_tiny, EINVAL, DV_STEP_CGROUP },
	};

	try_open();
	for (size_t i = 0; i < DV_ARRAY_LEN(rows); i++) {
		struct dv_spec *spec = try_spec("exit 0");
		struct dv_err err = DV_ERR_INIT;
		struct dv_run *run = (struct dv_run *)&err;

		rows[i].spoil(spec);
		int r = dv_run_start(&run, NULL, spec, &err);

		CHECK(err.msg[0]);
		CHECK_EQ(r, -rows[i].sys);
		CHECK_STR(dv_step_name(err.step), dv_step_name(rows[i].step));
		CHECK(run == NULL);
		CHECK_EQ(try_homes(), 0);
		CHECK_EQ(dv_run_start(&run, NULL, spec, NULL), -rows[i].sys);
		dv_spec_free(spec);
	}
	try_close();
}

/* Its exit status could never be learned. */
TEST(start_with_sigchld_ignored_is_refused)
{
	struct dv_err err = DV_ERR_INIT;
	struct dv_spec *spec;
	struct dv_run *run;

	try_open();
	spec = try_spec("exit 0");
	signal(SIGCHLD, SIG_IGN);
	CHECK(dv_run_start(&run, NULL, spec, &err) < 0);
	signal(SIGCHLD, SIG_DFL);
	CHECK(strstr(err.msg, "SIGCHLD"));
	CHECK_EQ(err.code, DV_PRECONDITION);
	dv_spec_free(spec);
	try_close();
}

/* A caller whose loop takes any child must not make us wait for ever. */
TEST(command_reaped_by_somebody_else_still_ends_the_run)
{
	struct dv_spec *spec;
	struct dv_run *run;
	struct dv_exit e;
	int status;

	try_open();
	spec = try_spec("exit 3");
	run = try_run(NULL, spec);
	CHECK_EQ(waitpid(dv_run_pid(run), &status, 0), dv_run_pid(run));
	e = try_wait(run);
	CHECK_EQ(e.ended_by, DV_ENDED_KEEPER);
	CHECK_EQ(e.code, 125);
	dv_run_free(run);
	dv_spec_free(spec);
	try_close();
}

/* ---- waiting
 * ------------------------------------------------------------------ */

TEST(wait_has_a_deadline)
{
	struct dv_spec *spec;
	struct dv_run *run;
	uint64_t begun;

	try_open();
	spec = try_spec("exec sleep 1000");
	run = try_run(NULL, spec);
	CHECK_EQ(dv_run_wait(run, 0, NULL), -ETIMEDOUT);
	begun = dv_now_ns();
	CHECK_EQ(dv_run_wait(run, 30, NULL), -ETIMEDOUT);
	CHECK(dv_now_ns() - begun >= UINT64_C(30000000));
	CHECK_EQ(dv_run_state(run), DV_STATE_RUNNING);
	CHECK_EQ(dv_run_kill_all(run, NULL), 0);
	CHECK_EQ(try_wait(run).ended_by, DV_ENDED_STOP);
	dv_run_free(run);
	dv_spec_free(spec);
	try_close();
}

struct counting {
	struct dv_waiter waiter;
	struct dv_run *run, *free_this;
	struct dv_waiter *del_this;
	int n, code, wait;
};

static void on_exit_count(struct dv_waiter *w, const struct dv_exit *e)
{
	struct counting *c = dv_container_of(w, struct counting, waiter);

	c->n++;
	c->code = e->code;
	c->wait = dv_run_wait(c->run, 0, NULL);
	if (c->del_this)
		dv_waiter_del(c->del_this);
	if (c->free_this)
		dv_run_free(c->free_this);
}

TEST(waiters_are_all_told_once_and_may_be_taken_back)
{
	struct counting c[20] = { 0 };
	struct dv_spec *spec;
	struct dv_run *run;

	try_open();
	spec = try_spec("exit 6");
	run = try_run(NULL, spec);
	for (size_t i = 0; i < DV_ARRAY_LEN(c); i++) {
		c[i].run = run;
		c[i].waiter.fn = on_exit_count;
		dv_run_on_exit(run, &c[i].waiter);
	}
	dv_waiter_del(&c[7].waiter);
	dv_waiter_del(&c[7].waiter);
	try_wait(run);
	while (dv_loop_dispatch(dv_run_loop(run), 0) > 0)
		;
	for (size_t i = 0; i < DV_ARRAY_LEN(c); i++) {
		CHECK_EQ(c[i].n, i != 7);
		if (i == 7)
			continue;
		CHECK_EQ(c[i].code, 6);
		CHECK_EQ(c[i].wait, -EDEADLK);
		CHECK(c[i].waiter.prevp == NULL);
	}
	/* Too late is not too late: told by the next dispatch. */
	dv_run_on_exit(run, &c[7].waiter);
	CHECK_EQ(c[7].n, 0);
	CHECK(dv_loop_dispatch(dv_run_loop(run), 1000) > 0);
	CHECK_EQ(c[7].n, 1);
	dv_run_free(run);
	dv_spec_free(spec);
	try_close();
}

TEST(waiter_may_free_the_run_and_take_another_back)
{
	struct counting c[4] = { 0 };
	struct dv_loop *loop;
	struct dv_spec *spec;
	struct dv_run *run;
	uint64_t until;

	try_open();
	CHECK_EQ(dv_loop_new(&loop), 0);
	spec = try_spec("exit 1");
	run = try_run(loop, spec);
	/* Told last first: 3 frees the run, 2 takes 1 back, 0 is still told. */
	for (size_t i = 0; i < DV_ARRAY_LEN(c); i++) {
		c[i].waiter.fn = on_exit_count;
		c[i].run = run;
		dv_run_on_exit(run, &c[i].waiter);
	}
	c[0].free_this = run;
	c[2].del_this = &c[1].waiter;
	until = try_deadline(10);
	while (!c[0].n && dv_now_ns() < until)
		CHECK(dv_loop_dispatch(loop, 100) >= 0);
	CHECK_EQ(c[0].n + c[1].n + c[2].n + c[3].n, 3);
	CHECK_EQ(c[1].n, 0);
	dv_loop_free(loop);
	dv_spec_free(spec);
	try_close();
}

struct first_frees {
	struct dv_waiter waiter;
	struct dv_run *run;
	int n;
};

static void on_exit_free(struct dv_waiter *w, const struct dv_exit *e)
{
	struct first_frees *f = dv_container_of(w, struct first_frees, waiter);

	if (f->run)
		dv_run_free(f->run);
	f->n += e->code;
}

TEST(waiter_that_frees_the_run_does_not_cost_others_the_record)
{
	struct first_frees f[3] = { 0 };
	struct dv_loop *loop;
	struct dv_spec *spec;
	struct dv_run *run;
	uint64_t until;

	try_open();
	CHECK_EQ(dv_loop_new(&loop), 0);
	spec = try_spec("exit 9");
	run = try_run(loop, spec);
	for (size_t i = 0; i < DV_ARRAY_LEN(f); i++) {
		f[i].waiter.fn = on_exit_free;
		dv_run_on_exit(run, &f[i].waiter);
	}
	f[2].run = run; /* the one that is told first */
	until = try_deadline(10);
	while (!f[2].n && dv_now_ns() < until)
		CHECK(dv_loop_dispatch(loop, 100) >= 0);
	for (size_t i = 0; i < DV_ARRAY_LEN(f); i++)
		CHECK_EQ(f[i].n, 9);
	dv_loop_free(loop);
	dv_spec_free(spec);
	try_close();
}

TEST(two_runs_in_one_loop_end_in_any_order)
{
	struct dv_loop *loop;
	struct dv_spec *spec[2];
	struct dv_run *run[2];

	try_open();
	CHECK_EQ(dv_loop_new(&loop), 0);
	spec[0] = try_spec("read line; exit 1");
	spec[1] = try_spec("read line; exit 2");
	for (int i = 0; i < 2; i++) {
		CHECK_EQ(dv_spec_stdio(spec[i], 0, DV_STDIO_PIPE, -1, NULL), 0);
		run[i] = try_run(loop, spec[i]);
	}
	CHECK(strcmp(dv_run_id(run[0]), dv_run_id(run[1])) != 0);
	for (int i = 1; i >= 0; i--) {
		int fd = dv_run_take_stdio(run[i], 0);

		CHECK(fd >= 0);
		CHECK_EQ(dv_run_take_stdio(run[i], 0), -ENOENT);
		dv_close(fd); /* held by nobody else, or it would wait on */
		CHECK_EQ(try_wait(run[i]).code, i + 1);
		if (i == 1)
			CHECK_EQ(dv_run_state(run[0]), DV_STATE_RUNNING);
	}
	for (int i = 0; i < 2; i++) {
		dv_run_free(run[i]);
		dv_spec_free(spec[i]);
	}
	dv_loop_free(loop);
	try_close();
}

TEST(free_of_a_running_run_kills_everything)
{
	struct dv_spec *spec;
	struct dv_run *run;
	int pair[2];
	char byte;

	try_open();
	CHECK_EQ(dv_pipe(pair), 0);
	spec = try_spec("trap '' TERM HUP INT; setsid sleep 1000 & sleep 1000");
	CHECK_EQ(dv_spec_fd(spec, pair[1], 9, NULL), 0);
	run = try_run(NULL, spec);
	pair[1] = dv_close(pair[1]);
	dv_run_free(run);
	CHECK_EQ(dv_read(pair[0], &byte, 1), 0);
	dv_close(pair[0]);
	dv_spec_free(spec);
	try_close();
}

static void *run_in_thread(void *arg)
{
	struct dv_run **runp = arg;
	struct dv_spec *spec = try_spec("read line; exit 12");

	dv_spec_stdio(spec, 0, DV_STDIO_PIPE, -1, NULL);
	*runp = try_run(NULL, spec);
	dv_spec_free(spec);
	return NULL;
}

/* The parent-death signal goes by threads; the command must not. */
TEST(thread_that_started_it_may_end)
{
	struct dv_run *run;
	pthread_t thread;

	try_open();
	CHECK_EQ(pthread_create(&thread, NULL, run_in_thread, &run), 0);
	CHECK_EQ(pthread_join(thread, NULL), 0);
	CHECK_EQ(dv_run_wait(run, 100, NULL), -ETIMEDOUT);
	dv_close(dv_run_take_stdio(run, 0));
	CHECK_EQ(try_wait(run).code, 12);
	dv_run_free(run);
	try_close();
}

/* ---- signals, stop, limits
 * ------------------------------------------------------ */

/* Start it and wait until it says that its traps are set. */
static struct dv_run *run_ready(struct dv_spec *spec)
{
	struct dv_run *run;
	char line[16];
	int fd;

	CHECK_EQ(dv_spec_stdio(spec, 1, DV_STDIO_PIPE, -1, NULL), 0);
	run = try_run(NULL, spec);
	fd = dv_run_take_stdio(run, 1);
	CHECK(dv_read(fd, line, sizeof(line)) > 0);
	dv_close(fd);
	return run;
}

#define STUBBORN "trap '' TERM HUP INT; echo x; while :; do sleep 1000; done"

TEST(signal_reaches_the_command_or_its_group)
{
	static const struct {
		const char *script;
		bool group;
		int signo, code;
	} rows[] = {
		{ "trap 'exit 21' USR1; echo x; read l <&9", false, SIGUSR1,
		  21 },
		/* The shell waits; its child is in its group. */
		{ "trap 'exit 22' USR2; echo x; read l <&9", true, SIGUSR2,
		  22 },
		{ "echo x; exec sleep 1000", false, SIGTERM, 143 },
	};

	try_open();
	for (size_t i = 0; i < DV_ARRAY_LEN(rows); i++) {
		struct dv_spec *spec = try_spec(rows[i].script);
		struct dv_run *run;
		int pair[2];

		CHECK_EQ(dv_pipe(pair), 0);
		CHECK_EQ(dv_spec_fd(spec, pair[0], 9, NULL), 0);
		run = run_ready(spec);
		CHECK_EQ(dv_run_signal(run, 0, NULL), 0);
		if (rows[i].group)
			CHECK_EQ(dv_run_signal_group(run, rows[i].signo, NULL),
				 0);
		else
			CHECK_EQ(dv_run_signal(run, rows[i].signo, NULL), 0);
		/* For a read that began just behind the signal. */
		CHECK_EQ(dv_write_full(pair[1], "\n", 1), 0);
		CHECK_EQ(try_wait(run).code, rows[i].code);
		dv_run_free(run);
		dv_spec_free(spec);
		dv_close(pair[0]);
		dv_close(pair[1]);
	}
	try_close();
}

TEST(signal_that_is_none_is_refused)
{
	struct dv_err err = DV_ERR_INIT;
	struct dv_spec *spec;
	struct dv_run *run;

	try_open();
	spec = try_spec("exec sleep 1000");
	run = try_run(NULL, spec);
	CHECK_EQ(dv_run_signal(run, 1000, &err), -EINVAL);
	CHECK(strstr(err.msg, "1000"));
	CHECK_EQ(dv_run_signal_group(run, -1, NULL), -EINVAL);
	dv_run_free(run);
	dv_spec_free(spec);
	try_close();
}

TEST(stop_gives_grace_and_then_kills)
{
	struct dv_spec *spec;
	struct dv_run *run;
	struct dv_exit e;
	uint64_t begun;

	try_open();
	spec = try_spec(STUBBORN);
	CHECK_EQ(dv_spec_stop_timeout(spec, 150), 0);
	run = run_ready(spec);
	begun = dv_now_ns();
	CHECK_EQ(dv_run_stop(run, NULL), 0);
	CHECK_EQ(dv_run_stop(run, NULL), 0); /* asking again changes nothing */
	CHECK_EQ(dv_run_state(run), DV_STATE_STOPPING);
	e = try_wait(run);
	CHECK(dv_now_ns() - begun >= UINT64_C(150000000));
	/* And not the ten seconds of who asks for nothing. */
	CHECK(dv_now_ns() - begun < UINT64_C(9000000000));
	CHECK_EQ(e.signal, SIGKILL);
	CHECK_EQ(e.ended_by, DV_ENDED_STOP);
	CHECK(!e.timed_out);
	dv_run_free(run);
	dv_spec_free(spec);
	try_close();
}

TEST(stop_of_an_obedient_command_returns_at_once)
{
	struct dv_spec *spec;
	struct dv_run *run;
	struct dv_exit e;

	try_open();
	/* What it leaves behind does not delay anything either. */
	spec = try_spec("trap 'exit 33' INT; sleep 1000 & echo x; wait");
	CHECK_EQ(dv_spec_stop_signal(spec, SIGINT, NULL), 0);
	CHECK_EQ(dv_spec_stop_timeout(spec, 100000), 0);
	run = run_ready(spec);
	CHECK_EQ(dv_run_stop(run, NULL), 0);
	e = try_wait(run); /* which has a deadline long before that */
	CHECK_EQ(e.code, 33);
	CHECK_EQ(e.ended_by, DV_ENDED_STOP);
	dv_run_free(run);
	dv_spec_free(spec);
	try_close();
}

TEST(stop_without_grace_kills)
{
	struct dv_spec *spec;
	struct dv_run *run;

	try_open();
	spec = try_spec(STUBBORN);
	CHECK_EQ(dv_spec_stop_timeout(spec, 0), 0);
	run = run_ready(spec);
	CHECK_EQ(dv_run_stop(run, NULL), 0);
	CHECK_EQ(try_wait(run).signal, SIGKILL);
	dv_run_free(run);
	dv_spec_free(spec);
	try_close();
}

TEST(stop_of_a_stopped_command_ends_after_the_grace)
{
	struct dv_spec *spec;
	struct dv_run *run;

	try_open();
	spec = try_spec("echo x; exec sleep 1000");
	CHECK_EQ(dv_spec_stop_timeout(spec, 100), 0);
	run = run_ready(spec);
	CHECK_EQ(dv_run_signal(run, SIGSTOP, NULL), 0);
	CHECK_EQ(dv_run_stop(run, NULL), 0);
	CHECK_EQ(try_wait(run).ended_by, DV_ENDED_STOP);
	dv_run_free(run);
	dv_spec_free(spec);
	try_close();
}

TEST(kill_all_takes_what_ignores_everything)
{
	struct dv_spec *spec;
	struct dv_run *run;
	struct dv_exit e;

	try_open();
	spec = try_spec(STUBBORN);
	run = run_ready(spec);
	CHECK_EQ(dv_run_kill_all(run, NULL), 0);
	e = try_wait(run);
	CHECK_EQ(e.signal, SIGKILL);
	CHECK_EQ(e.ended_by, DV_ENDED_STOP);
	dv_run_free(run);
	dv_spec_free(spec);
	try_close();
}

TEST(time_limit_stops_and_is_told)
{
	struct dv_spec *spec;
	struct dv_run *run;
	struct dv_exit e;

	try_open();
	spec = try_spec("exec sleep 1000");
	CHECK_EQ(dv_spec_timeout(spec, 50), 0);
	run = try_run(NULL, spec);
	e = try_wait(run);
	CHECK_EQ(e.signal, SIGTERM);
	CHECK(e.timed_out);
	CHECK_EQ(e.ended_by, DV_ENDED_TIMEOUT);
	CHECK(e.wall_ns >= UINT64_C(50000000));
	dv_run_free(run);
	dv_spec_free(spec);
	try_close();
}

/* The limit strikes before, at and after the exit: each time one story. As
 * often as a slow machine can. */
TEST(time_limit_beside_the_exit_tells_one_story)
{
	const uint64_t until = try_deadline(10);

	for (int i = 0; i < 300 && (i < 9 || dv_now_ns() < until); i++) {
		struct dv_spec *spec;
		struct dv_run *run;
		struct dv_exit e;

		try_open();
		spec = try_spec("exit 7");
		CHECK_EQ(dv_spec_timeout(spec, 1 + i % 3), 0);
		run = try_run(NULL, spec);
		e = try_wait(run);
		CHECK_EQ(e.timed_out, e.ended_by == DV_ENDED_TIMEOUT);
		if (!e.timed_out)
			CHECK_EQ(e.code, 7);
		dv_run_free(run);
		dv_spec_free(spec);
		try_close();
	}
}

TEST(init_killed_from_outside_ends_the_run)
{
	struct dv_spec *spec;
	struct dv_run *run;
	struct dv_exit e;

	try_open();
	spec = try_spec("exec sleep 1000");
	run = try_run(NULL, spec);
	CHECK_EQ(kill(dv_run_init_pid(run), SIGKILL), 0);
	e = try_wait(run);
	CHECK_EQ(e.signal, SIGKILL);
	CHECK_EQ(e.ended_by, DV_ENDED_SIGNAL);
	dv_run_free(run);
	dv_spec_free(spec);
	try_close();
}

/* ---- streams
 * ----------------------------------------------------------------- */

TEST(stdio_modes_give_what_they_say)
{
	struct dv_spec *spec;
	struct dv_run *run;
	char line[64];
	int pair[2];

	try_open();
	CHECK_EQ(dv_pipe(pair), 0);
	spec = try_spec(
		"readlink /proc/self/fd/0 >&2; echo out; echo nine >&9");
	CHECK_EQ(dv_spec_stdio(spec, 0, DV_STDIO_NULL, -1, NULL), 0);
	CHECK_EQ(dv_spec_stdio(spec, 1, DV_STDIO_FD, pair[1], NULL), 0);
	CHECK_EQ(dv_spec_stdio(spec, 2, DV_STDIO_PIPE, -1, NULL), 0);
	CHECK_EQ(dv_spec_fd(spec, pair[1], 9, NULL), 0);
	run = try_run(NULL, spec);
	pair[1] = dv_close(pair[1]);
	CHECK_EQ(dv_run_take_stdio(run, 0), -ENOENT);
	CHECK_EQ(dv_run_take_stdio(run, 1), -ENOENT);
	CHECK_EQ(dv_run_take_stdio(run, 3), -ENOENT);
	CHECK_EQ(dv_run_take_stdio(run, -1), -ENOENT);
	int err = dv_run_take_stdio(run, 2);

	CHECK_EQ(dv_read_full(err, line, sizeof(line)), 10);
	CHECK(memcmp(line, "/dev/null\n", 10) == 0);
	CHECK_EQ(dv_read_full(pair[0], line, sizeof(line)), 9);
	CHECK(memcmp(line, "out\nnine\n", 9) == 0);
	dv_close(err);
	dv_close(pair[0]);
	try_wait(run);
	dv_run_free(run);
	dv_spec_free(spec);
	try_close();
}

TEST(pty_has_its_size_and_ends_with_the_command)
{
	struct dv_spec *spec;
	struct dv_run *run;
	char text[64];
	size_t len = 0;
	ssize_t n;
	int fd;

	try_open();
	spec = try_spec("stty size");
	CHECK_EQ(dv_spec_stdio(spec, 0, DV_STDIO_PTY, -1, NULL), 0);
	CHECK_EQ(dv_spec_winsize(spec, 33, 44), 0);
	run = try_run(NULL, spec);
	fd = dv_run_take_stdio(run, 0);
	while ((n = dv_read(fd, text + len, sizeof(text) - 1 - len)) > 0)
		len += (size_t)n;
	text[len] = '\0';
	CHECK_EQ(n, -EIO);
	CHECK_STR(text, "33 44\r\n");
	dv_close(fd);
	CHECK_EQ(try_wait(run).code, 0);
	dv_run_free(run);
	dv_spec_free(spec);
	try_close();
}

TEST(timing_names_steps_in_order)
{
	struct dv_spec *spec;
	struct dv_run *run;
	uint64_t ns, last = 0;
	const char *name;
	size_t n = 0;

	try_open();
	spec = try_spec("exit 0");
	CHECK_EQ(dv_spec_record_timing(spec, true), 0);
	run = try_run(NULL, spec);
	for (; dv_run_timing(run, n, &name, &ns) == 0; n++) {
		CHECK(name && name[0]);
		CHECK(ns >= last);
		last = ns;
	}
	CHECK(n > 8);
	CHECK_EQ(dv_run_timing(run, 100000, &name, &ns), -ERANGE);
	CHECK(strstr(dv_run_describe(run), "pid"));
	CHECK_STR(dv_run_missing(run), "");
	try_wait(run);
	dv_run_free(run);
	dv_spec_free(spec);
	try_close();
}

/* RUNDIR taken away under a living sandbox. */
TEST(run_directory_removed_does_not_disturb_the_command)
{
	struct dv_spec *spec;
	struct dv_run *run;

	try_open();
	spec = try_spec("read l; exit 14");
	CHECK_EQ(dv_spec_stdio(spec, 0, DV_STDIO_PIPE, -1, NULL), 0);
	run = try_run(NULL, spec);
	CHECK_EQ(dv_remove_tree(AT_FDCWD, try_path(&try_top, "run")), 0);
	dv_close(dv_run_take_stdio(run, 0));
	CHECK_EQ(try_wait(run).code, 14);
	dv_run_free(run);
	dv_spec_free(spec);
	try_close();
}
