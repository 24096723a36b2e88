/* SPDX-License-Identifier: MIT */
/*
 * Everything that can fail in a start fails once: an error must have a message,
 * and nothing may be left, whoever was in the middle of what.
 */
#include "runtime/run/run_try.h"

#include <sched.h>
#include <sys/mount.h>

#include "base/def.h"
#include "base/fault.h"
#include "runtime/store/dirs.h"

enum { CALLS_MAX = 3000 };

/* One of each thing that a start can be asked for. */
static struct dv_spec *rich_spec(const char *script)
{
	struct dv_spec *spec = try_spec(script);

	CHECK_EQ(dv_spec_volume(spec, "/usr/share", "/mnt/share", DV_VOLUME_RO,
				NULL),
		 0);
	CHECK_EQ(dv_spec_tmpfs(spec, "/scratch", 1 << 20, NULL), 0);
	CHECK_EQ(dv_spec_hostname(spec, "fault", NULL), 0);
	CHECK_EQ(dv_spec_umask(spec, 027), 0);
	CHECK_EQ(dv_spec_fd(spec, 1, 9, NULL), 0);
	CHECK_EQ(dv_spec_rlimit(spec, 4, 0, 0, NULL), 0); /* RLIMIT_CORE */
	if (geteuid() == 0) {
		CHECK_EQ(dv_spec_pids(spec, 50), 0);
		CHECK_EQ(dv_spec_user(spec, "65534:65534", NULL), 0);
	}
	return spec;
}

static int count_fds(void)
{
	int n = 0;

	for (int fd = 0; fd < 256; fd++)
		n += dv_fd_mode(fd) >= 0;
	return n;
}

static void expect_nothing_left(int n_fds, uint32_t nth)
{
	siginfo_t si = { 0 };

	/* What cannot be put out of sight is not removed: it is the sweeper's.
	 * Who runs for long enough has such a directory. */
	if (strcmp(fault_name(), "renameat") == 0)
		dv_home_sweep(try_path(&try_top, "run"));
	if (count_fds() != n_fds || try_homes() != 0 ||
	    waitid(P_ALL, 0, &si, WEXITED | WNOHANG | WNOWAIT | __WALL) == 0)
		print_error("left after call %u, %s: %d fds, %d homes, child "
			    "%d\n",
			    nth, fault_name(), count_fds() - n_fds, try_homes(),
			    si.si_pid);
	CHECK_EQ(count_fds(), n_fds);
	CHECK_EQ(try_homes(), 0);
	CHECK_EQ(waitid(P_ALL, 0, &si, WEXITED | WNOHANG | WNOWAIT | __WALL),
		 -1);
}

static void expect_reason(int r, const struct dv_err *err, uint32_t nth)
{
	if (!err->msg[0] || err->step == DV_STEP_NONE || err->code == DV_OK)
		print_error("call %u, %s: %d, \"%s\", step %s\n", nth,
			    fault_name(), r, err->msg, dv_step_name(err->step));
	CHECK(err->msg[0]);
	CHECK(err->code != DV_OK);
	CHECK(err->step != DV_STEP_NONE);
	CHECK(r < 0);
}

/* Start with the @nth call failing. Returns false when there is no such call.
 */
static bool start_faulty(const struct dv_spec *spec, enum fault_side side,
			 uint32_t nth, bool kill, int *n_errors)
{
	struct dv_err err = DV_ERR_INIT;
	int n_fds = count_fds();
	struct dv_run *run;

	fault_arm(side, nth, kill);
	int r = dv_run_start(&run, NULL, spec, &err);
	bool hit = fault_disarm();

	if (r < 0) {
		expect_reason(r, &err, nth);
		CHECK(run == NULL);
		*n_errors += 1;
	} else {
		/* It went on without: then it has to run as ever. */
		struct dv_exit e = { .size = sizeof(e) };

		CHECK_EQ(dv_run_wait(run, 20000, &e), 0);
		if (!kill)
			CHECK_EQ(e.code, 5);
		dv_run_free(run);
	}
	expect_nothing_left(n_fds, nth);
	return hit;
}

static void start_with_every_fault(struct dv_spec *spec, enum fault_side side,
				   bool kill, int at_least)
{
	int n_errors = 0;
	uint32_t nth = 1;

	while (nth < CALLS_MAX &&
	       start_faulty(spec, side, nth, kill, &n_errors))
		nth++;
	CHECK(nth < CALLS_MAX);
	print_message("# %u calls, %d errors\n", nth - 1, n_errors);
	CHECK(n_errors >= at_least);
}

TEST(start_every_call_of_ours_can_fail)
{
	struct dv_spec *spec;

	try_open();
	spec = rich_spec("exit 5");
	dv_run_free(try_run(NULL, spec));
	/* Of who makes no group there are fewer. */
	start_with_every_fault(spec, FAULT_PARENT, false,
			       geteuid() == 0 ? 40 : 25);
	dv_spec_free(spec);
	try_close();
}

/* A first start makes RUNDIR; without memory for the very first, too. */
TEST(start_in_a_new_rundir_every_call_can_fail)
{
	struct dv_spec *spec;
	bool hit = true;
	int n_errors = 0;

	for (uint32_t nth = 1; hit && nth < CALLS_MAX; nth++) {
		try_open();
		spec = try_spec("exit 5");
		hit = start_faulty(spec, FAULT_PARENT, nth, false, &n_errors);
		dv_spec_free(spec);
		try_close();
	}
	CHECK(!hit && n_errors > 30);
}

TEST(start_every_call_of_the_children_can_fail)
{
	struct dv_spec *spec;

	try_open();
	spec = rich_spec("exit 5");
	dv_run_free(try_run(NULL, spec));
	start_with_every_fault(spec, FAULT_CHILD, false, 100);
	dv_spec_free(spec);
	try_close();
}

TEST(start_children_can_be_killed_at_every_call)
{
	struct dv_spec *spec;

	try_open();
	spec = rich_spec("exit 5");
	dv_run_free(try_run(NULL, spec));
	start_with_every_fault(spec, FAULT_CHILD, true, 100);
	dv_spec_free(spec);
	try_close();
}

TEST(start_with_pty_every_call_of_the_children_can_fail)
{
	struct dv_spec *spec;

	try_open();
	spec = try_spec("exit 5");
	CHECK_EQ(dv_spec_stdio(spec, 0, DV_STDIO_PTY, -1, NULL), 0);
	dv_run_free(try_run(NULL, spec));
	start_with_every_fault(spec, FAULT_CHILD, false, 100);
	dv_spec_free(spec);
	try_close();
}

TEST(start_of_a_container_every_call_of_the_children_can_fail)
{
	struct dv_spec *spec;

	if (geteuid() != 0)
		SKIP("needs root");
	try_open();
	spec = try_spec("exit 5");
	CHECK_EQ(dv_spec_rootfs(spec, "/", DV_ROOTFS_RO, NULL), 0);
	dv_run_free(try_run(NULL, spec));
	start_with_every_fault(spec, FAULT_CHILD, false, 60);
	dv_spec_free(spec);
	try_close();
}

TEST(collect_every_call_of_ours_can_fail)
{
	int n_errors = 0, n_fds;
	char *garbage = (char *)1;
	struct dv_spec *spec;
	bool hit = true;

	try_open();
	spec = try_spec("cat; echo err >&2; exit 5");
	dv_run_free(try_run(NULL, spec));
	n_fds = count_fds();
	for (uint32_t nth = 1; hit && nth < CALLS_MAX; nth++) {
		struct dv_output out = { .data = garbage };
		struct dv_output errout = { .data = garbage };
		struct dv_exit e = { .size = sizeof(e) };
		struct dv_err err = DV_ERR_INIT;

		fault_arm(FAULT_PARENT, nth, false);
		int r = dv_run_collect(spec, "in\n", 3, 100, &out, &errout, &e,
				       &err);

		hit = fault_disarm();
		if (r < 0) {
			expect_reason(r, &err, nth);
			n_errors++;
		} else {
			CHECK_EQ(e.code, 5);
			free(out.data);
			free(errout.data);
		}
		expect_nothing_left(n_fds, nth);
	}
	print_message("# %d errors\n", n_errors);
	CHECK(!hit && n_errors > 35);
	dv_spec_free(spec);
	try_close();
}

/* ---- a full disk ------------------------------------------------------------
 */

/* The n-th group that is there now and was not before, or none. */
static bool group_is_there(const char *id)
{
	static const char *const trees[] = { "unified", "pids", "memory", "cpu",
					     "" };
	char path[128];

	for (size_t i = 0; i < DV_ARRAY_LEN(trees); i++) {
		dv_fmt(path, sizeof(path), "/sys/fs/cgroup/%s/davit-%s",
		       trees[i], id);
		if (access(path, F_OK) == 0)
			return true;
	}
	return false;
}

/* In a mount namespace of its own: RUNDIR on a small tmpfs. 0 = as it should */
static int start_on(const char *options, bool fill, bool limits)
{
	struct dv_err err = DV_ERR_INIT;
	struct dv_spec *spec;
	struct dv_run *run;
	const char *dir = try_path(&try_top, "run");
	char block[4096] = { 0 };
	int fd, r;

	if (unshare(CLONE_NEWNS) < 0 ||
	    mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
	    mkdir(dir, 0700) < 0 ||
	    mount("tmpfs", dir, "tmpfs", 0, options) < 0 ||
	    chmod(dir, 0700) < 0)
		return 100;
	fd = open(try_path(&try_top, "run/fill"),
		  O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	while (fill && write(fd, block, sizeof(block)) > 0)
		;
	dv_close(fd);
	spec = try_spec("exit 5");
	if (limits)
		dv_spec_pids(spec, 50);
	r = dv_run_start(&run, NULL, spec, &err);
	if (r < 0) {
		dv_spec_free(spec);
		return err.msg[0] && err.step && try_homes() == 1 ? 1 : 101;
	}
	/* It runs: then what a killed keeper leaves must be known. */
	struct dv_exit e = { .size = sizeof(e) };
	char *text = NULL;
	size_t len = 0;
	char lock[64];

	dv_fmt(lock, sizeof(lock), "run/%s/lock", dv_run_id(run));
	dv_read_file(AT_FDCWD, try_path(&try_top, lock), 4096, &text, &len);
	bool lost = group_is_there(dv_run_id(run)) &&
		    (!text || !strstr(text, dv_run_id(run))) &&
		    !strstr(try_slots(), dv_run_id(run));
	free(text);
	r = dv_run_wait(run, 20000, &e);
	dv_run_free(run);
	dv_spec_free(spec);
	if (r < 0 || e.code != 5)
		return 102;
	if (try_homes() != 1)
		return 103;
	return lost ? 104 : 0;
}

TEST(start_on_a_full_disk_fails_or_works_and_loses_no_group)
{
	static const struct {
		const char *options;
		bool fill, limits;
		int want; /* -1 = either */
	} rows[] = {
		{ "size=64k", false, false, 0 },
		{ "size=64k", true, false, -1 },
		{ "size=64k", true, true, -1 },
		{ "nr_inodes=3", false, false, 1 },
		{ "nr_inodes=8", false, false, 1 },
		{ "nr_inodes=9", false, true, -1 },
		{ "nr_inodes=10", false, true, -1 },
		{ "nr_inodes=11", false, true, -1 },
	};
	int status;

	if (geteuid() != 0)
		SKIP("needs root");
	need_namespaces();
	for (size_t i = 0; i < DV_ARRAY_LEN(rows); i++) {
		try_open();
		pid_t pid = fork();

		if (pid == 0)
			_exit(start_on(rows[i].options, rows[i].fill,
				       rows[i].limits));
		CHECK_EQ(waitpid(pid, &status, 0), pid);
		CHECK(WIFEXITED(status));
		if (rows[i].want >= 0)
			CHECK_EQ(WEXITSTATUS(status), rows[i].want);
		else if (WEXITSTATUS(status) > 1)
			CHECK_EQ(WEXITSTATUS(status), 0);
		CHECK_EQ(rmdir(try_path(&try_top, "run")), 0);
		try_close();
	}
}

/* ---- a storm of signals
 * -------------------------------------------------------- */

static volatile sig_atomic_t n_ticks;

static void on_tick(int signo)
{
	(void)signo;
	n_ticks++;
}

TEST(start_under_a_storm_of_signals)
{
	struct sigaction sa = { .sa_handler = on_tick };
	struct itimerspec every = { { 0, 50000 }, { 0, 50000 } };
	struct sigevent ev = { .sigev_notify = SIGEV_SIGNAL,
			       .sigev_signo = SIGUSR1 };
	struct dv_spec *spec;
	timer_t timer;

	try_open();
	spec = rich_spec("cat; exit 5");
	dv_run_free(try_run(NULL, spec));
	sigaction(SIGUSR1, &sa, NULL); /* no SA_RESTART */
	CHECK_EQ(timer_create(CLOCK_MONOTONIC, &ev, &timer), 0);
	CHECK_EQ(timer_settime(timer, 0, &every, NULL), 0);
	for (int i = 0; i < 50; i++) {
		struct dv_output out, errout;
		struct dv_exit e = { .size = sizeof(e) };
		struct dv_err err = DV_ERR_INIT;

		int r = dv_run_collect(spec, "hello", 5, 100, &out, &errout, &e,
				       &err);

		CHECK_STR(err.msg, "");
		CHECK_EQ(r, 0);
		CHECK_EQ(e.code, 5);
		CHECK_STR(out.data, "hello");
		free(out.data);
		free(errout.data);
	}
	timer_delete(timer);
	signal(SIGUSR1, SIG_DFL);
	CHECK(n_ticks > 50);
	dv_spec_free(spec);
	try_close();
}
