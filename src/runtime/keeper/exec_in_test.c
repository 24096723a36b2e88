/* SPDX-License-Identifier: MIT */
/*
 * Processes that are executed in a sandbox that runs: the table of
 * services/procs.h on the namespaces of a dv_run. Whatever a request says, they
 * are confined as the first process is.
 */
#include "runtime/run/run_try.h"

#include <linux/capability.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include "runtime/run/run.h"
#include "services/procs.h"

struct in {
	struct dv_loop *loop;
	struct dv_spec *spec;
	struct dv_run *run;
	struct dv_procs *procs;
	struct dv_exec *exec;
	struct dv_err err;
	int n_started;
};

static void point(struct in *t)
{
	dv_procs_point(t->procs, t->run->plain ? NULL : &t->run->sb,
		       &t->run->cg, dv_run_process(t->run));
}

/* @spec is consumed. */
static void in_open(struct in *t, struct dv_spec *spec)
{
	struct dv_procs_opts o = { .size = sizeof(o) };

	*t = (struct in){ .spec = spec };
	CHECK_EQ(dv_loop_new(&t->loop), 0);
	t->run = try_run(t->loop, t->spec);
	/* Until then its directory may be opened at any time. */
	while (t->run->state_at.loop)
		CHECK(dv_loop_dispatch(t->loop, 20000) > 0);
	CHECK_EQ(dv_procs_new(&t->procs, t->loop, &o, NULL), 0);
	point(t);
}

static void in_close(struct in *t)
{
	t->procs = dv_procs_free(t->procs);
	t->run = dv_run_free(t->run);
	t->loop = dv_loop_free(t->loop);
	t->spec = dv_spec_free(t->spec);
	try_close();
}

static void turn(struct in *t)
{
	CHECK(dv_loop_dispatch(t->loop, 20000) > 0);
}

static void on_started(void *arg, struct dv_exec *exec,
		       const struct dv_err *err)
{
	struct in *t = arg;

	t->n_started++;
	t->exec = exec;
	if (err)
		t->err = *err;
}

/* NULL: it failed, see t->err. */
static struct dv_exec *start(struct in *t, const dv_ExecRequest *rq, int *fds,
			     size_t n_fds)
{
	int n = t->n_started;
	struct dv_exec *exec;

	t->exec = NULL;
	t->err = (struct dv_err)DV_ERR_INIT;
	if (dv_procs_start(t->procs, rq, fds, n_fds, on_started, t, &exec,
			   &t->err) < 0)
		return NULL;
	while (t->n_started == n)
		turn(t);
	return t->exec;
}

/* By a shell, with what else @with (may be NULL) says. */
static struct dv_exec *run_with(struct in *t, const dv_ExecRequest *with,
				const char *script, int *fds, size_t n_fds)
{
	char sh[] = "/bin/sh", c[] = "-c", text[1024];
	char *argv[3] = { sh, c, text };
	dv_ExecRequest rq = { 0 };

	CHECK(dv_fmt(text, sizeof(text), "%s", script) > 0);
	if (with)
		rq = *with;
	rq.argv = argv;
	rq.argv_count = 3;
	return start(t, &rq, fds, n_fds);
}

static int wait_for(struct in *t, struct dv_exec *exec)
{
	if (!exec)
		print_error("%s\n", t->err.msg);
	CHECK(exec != NULL);
	while (!dv_exec_record(exec))
		turn(t);
	return dv_exec_record(exec)->code;
}

/* What @script writes to its standard output, at most 4 KiB. Static. */
static const char *output_of(struct in *t, const dv_ExecRequest *with,
			     const char *script)
{
	static char text[4096];
	dv_ExecRequest rq = { 0 };
	size_t len = 0;
	ssize_t n;
	int p[2];

	if (with)
		rq = *with;
	rq.has_stdout = true;
	rq.stdout = (dv_Stdio){ .mode = dv_STDIO_FD, .fd = 1 };
	CHECK_EQ(dv_pipe(p), 0);
	struct dv_exec *exec = run_with(t, &rq, script, &p[1], 1);
	CHECK_EQ(p[1], -1);
	CHECK_EQ(wait_for(t, exec), 0);
	while ((n = dv_read(p[0], text + len, sizeof(text) - 1 - len)) > 0)
		len += (size_t)n;
	text[len] = '\0';
	dv_close(p[0]);
	return text;
}

/* ---- as the first process ------------------------------------------------ */

static void check_same_text(pid_t a, pid_t b, const char *file)
{
	char x[8192], y[8192];

	try_proc_file(a, file, x, sizeof(x));
	try_proc_file(b, file, y, sizeof(y));
	CHECK_STR(y, x);
}

static void check_same_link(pid_t a, pid_t b, const char *link)
{
	char path[64], x[256] = "", y[256] = "";

	dv_fmt(path, sizeof(path), "/proc/%d/%s", (int)a, link);
	CHECK(readlink(path, x, sizeof(x) - 1) > 0);
	dv_fmt(path, sizeof(path), "/proc/%d/%s", (int)b, link);
	CHECK(readlink(path, y, sizeof(y) - 1) > 0);
	CHECK_STR(y, x);
}

static void check_same_root(pid_t a, pid_t b)
{
	struct stat x, y, own;
	char path[64];

	dv_fmt(path, sizeof(path), "/proc/%d/root/.", (int)a);
	CHECK_EQ(stat(path, &x), 0);
	dv_fmt(path, sizeof(path), "/proc/%d/root/.", (int)b);
	CHECK_EQ(stat(path, &y), 0);
	CHECK_EQ(stat("/", &own), 0);
	CHECK(x.st_dev == y.st_dev && x.st_ino == y.st_ino);
	CHECK(x.st_dev != own.st_dev || x.st_ino != own.st_ino);
}

/* Everything of /proc/PID/status that says what it may do. */
static void check_same_rights(pid_t a, pid_t b)
{
	static const char *const keys[] = {
		"Umask",  "Uid",        "Gid",     "Groups",
		"CapInh", "CapPrm",     "CapEff",  "CapBnd",
		"CapAmb", "NoNewPrivs", "Seccomp", "Seccomp_filters",
	};

	for (size_t i = 0; i < DV_ARRAY_LEN(keys); i++) {
		char first[256];

		dv_fmt(first, sizeof(first), "%s %s", keys[i],
		       try_status(a, keys[i]));
		char other[256];

		dv_fmt(other, sizeof(other), "%s %s", keys[i],
		       try_status(b, keys[i]));
		CHECK_STR(other, first);
	}
}

static void check_confined_alike(struct in *t)
{
	static const char *const links[] = { "cwd",     "ns/mnt",   "ns/pid",
					     "ns/net",  "ns/ipc",   "ns/uts",
					     "ns/user", "ns/cgroup" };
	struct dv_exec *exec = run_with(t, NULL, "exec sleep 1000", NULL, 0);
	pid_t first = dv_run_pid(t->run), other;

	CHECK(exec != NULL);
	other = dv_exec_pid(exec);
	CHECK(first > 0 && other > 0 && first != other);
	try_executed(first);
	try_executed(other);
	check_same_rights(first, other);
	check_same_text(first, other, "limits");
	check_same_text(first, other, "oom_score_adj");
	check_same_text(first, other, "cgroup");
	check_same_root(first, other);
	/* Each has a view of its group that it made in it. */
	for (size_t i = 0; i + 1 < DV_ARRAY_LEN(links); i++)
		check_same_link(first, other, links[i]);
	CHECK_EQ(getpriority(PRIO_PROCESS, (id_t)other),
		 getpriority(PRIO_PROCESS, (id_t)first));
	try_expect_fds(other, "0 1 2");
	CHECK_EQ(dv_exec_signal(exec, SIGKILL, dv_SIGNAL_PROCESS, NULL), 0);
	CHECK_EQ(wait_for(t, exec), 137);
}

static void as_it_comes(struct dv_spec *s)
{
	(void)s;
}

static void narrow(struct dv_spec *s)
{
	dv_spec_cap_drop(s, "ALL", NULL);
	dv_spec_umask(s, 027);
	dv_spec_nice(s, 5);
	dv_spec_oom_score_adj(s, 500);
	dv_spec_rlimit(s, RLIMIT_NOFILE, 64, 100, NULL);
	dv_spec_rlimit(s, RLIMIT_CORE, 0, 0, NULL);
	dv_spec_workdir(s, "/usr", NULL);
	dv_spec_hostname(s, "elsewhere", NULL);
}

static void other_user(struct dv_spec *s)
{
	if (geteuid() == 0)
		dv_spec_user(s, "65534:65534", NULL);
	dv_spec_cap_add(s, "net_raw", NULL);
}

static void unfiltered(struct dv_spec *s)
{
	dv_spec_seccomp(s, "unconfined", NULL);
	dv_spec_net(s, DV_NET_HOST);
}

TEST(exec_is_confined_exactly_as_the_first_process)
{
	static void (*const specs[])(struct dv_spec *) = { as_it_comes, narrow,
							   other_user,
							   unfiltered };

	for (size_t i = 0; i < DV_ARRAY_LEN(specs); i++) {
		struct dv_spec *spec;
		struct in t;

		try_open();
		spec = try_spec("exec sleep 1000");
		specs[i](spec);
		in_open(&t, spec);
		check_confined_alike(&t);
		in_close(&t);
	}
}

TEST(exec_has_environment_and_directory_of_the_first_unless_it_says)
{
	char name[] = "ONE", value[] = "2", base[] = "BASE";
	dv_EnvPair pairs[2] = { { name, value }, { base, NULL } };
	dv_ExecRequest rq = { .env = pairs, .env_count = 2 };
	char dir[] = "/usr/bin";
	struct dv_spec *spec;
	struct in t;

	try_open();
	spec = try_spec("exec sleep 1000");
	dv_spec_env_clear(spec);
	dv_spec_env(spec, "PATH=/usr/bin:/bin", NULL);
	dv_spec_env(spec, "BASE=1", NULL);
	dv_spec_workdir(spec, "/etc", NULL);
	in_open(&t, spec);
	CHECK_STR(output_of(&t, NULL, "echo $BASE $ONE $PATH; pwd"),
		  "1 /usr/bin:/bin\n/etc\n");
	rq.cwd = dir;
	CHECK_STR(output_of(&t, &rq, "echo $BASE $ONE $PATH; pwd"),
		  "2 /usr/bin:/bin\n/usr/bin\n");
	rq.clear_env = true;
	rq.env_count = 1;
	CHECK_STR(output_of(&t, &rq, "echo $BASE $ONE; pwd"), "2\n/usr/bin\n");
	in_close(&t);
}

/* ---- never more ------------------------------------------------------------
 */

static uint64_t caps_of(pid_t pid, const char *key)
{
	return strtoull(try_status(pid, key), NULL, 16);
}

TEST(exec_as_another_user_has_no_more_capabilities_than_the_first)
{
	static const struct {
		uint32_t first, other;
		bool add;
	} rows[] = {
		{ 0, 65534, false }, { 0, 65534, true }, { 65534, 0, false },
		{ 65534, 0, true },  { 65534, 1, true }, { 0, 0, true },
	};

	need_other_user();
	for (size_t i = 0; i < DV_ARRAY_LEN(rows); i++) {
		dv_ExecRequest rq = { .has_ids = true };
		struct dv_exec *exec;
		struct dv_spec *spec;
		uint64_t first;
		char who[16];
		struct in t;

		try_open();
		spec = try_spec("exec sleep 1000");
		dv_fmt(who, sizeof(who), "%u:%u", rows[i].first, rows[i].first);
		CHECK_EQ(dv_spec_user(spec, who, NULL), 0);
		if (rows[i].add)
			dv_spec_cap_add(spec, "sys_admin", NULL);
		in_open(&t, spec);
		rq.ids.uid = rq.ids.gid = rows[i].other;
		exec = run_with(&t, &rq, "exec sleep 1000", NULL, 0);
		CHECK_STR(t.err.msg, "");
		CHECK(exec != NULL);
		try_executed(dv_run_pid(t.run));
		try_executed(dv_exec_pid(exec));
		first = caps_of(dv_run_pid(t.run), "CapBnd");
		CHECK_EQ(caps_of(dv_exec_pid(exec), "CapBnd") & ~first, 0);
		first = caps_of(dv_run_pid(t.run), "CapPrm");
		CHECK_EQ(caps_of(dv_exec_pid(exec), "CapPrm") & ~first, 0);
		CHECK_EQ(caps_of(dv_exec_pid(exec), "CapAmb") & ~first, 0);
		if (rows[i].other && rows[i].other != rows[i].first)
			CHECK_EQ(caps_of(dv_exec_pid(exec), "CapPrm"), 0);
		CHECK_STR(try_status(dv_exec_pid(exec), "NoNewPrivs"), "1");
		CHECK_STR(try_status(dv_exec_pid(exec), "Seccomp"), "2");
		/* None of our own groups came along. */
		CHECK_STR(try_status(dv_exec_pid(exec), "Groups"), "");
		in_close(&t);
	}
}

TEST(exec_request_cannot_keep_our_groups_nor_raise_limits)
{
	dv_ExecRequest rq = { .has_ids = true };
	dv_Rlimit limit = { RLIMIT_NOFILE, 64, 101 };
	struct dv_exec *exec;
	struct dv_spec *spec;
	struct in t;

	need_other_user();
	try_open();
	spec = try_spec("exec sleep 1000");
	dv_spec_rlimit(spec, RLIMIT_NOFILE, 64, 100, NULL);
	in_open(&t, spec);
	rq.ids.uid = rq.ids.gid = 1;
	rq.ids.keep_groups = true;
	exec = run_with(&t, &rq, "exec sleep 1000", NULL, 0);
	CHECK(exec != NULL);
	CHECK_STR(try_status(dv_exec_pid(exec), "Groups"), "");
	rq.rlimits = &limit;
	rq.rlimits_count = 1;
	CHECK(run_with(&t, &rq, "exit 0", NULL, 0) == NULL);
	CHECK_EQ(t.err.code, DV_DENIED);
	limit.hard = 80;
	CHECK_STR(output_of(&t, &rq, "ulimit -Hn; ulimit -Sn"), "80\n64\n");
	in_close(&t);
}

TEST(exec_in_a_sandbox_is_filtered)
{
	struct in t;

	try_open();
	in_open(&t, try_spec("exec sleep 1000"));
	/* A new user namespace is what the filter refuses first. */
	CHECK_STR(output_of(&t, NULL,
			    "unshare -U true 2>/dev/null && echo yes; echo no"),
		  "no\n");
	in_close(&t);
}

/* ---- many -------------------------------------------------------------------
 */

struct many {
	struct in *t;
	int n_done, n_right;
};

struct one {
	struct dv_exec_waiter waiter;
	struct many *many;
	int code;
};

static void on_exit_of(struct dv_exec_waiter *w, const dv_ExitRecord *record)
{
	struct one *o = dv_container_of(w, struct one, waiter);

	o->many->n_done++;
	o->many->n_right += record->code == o->code;
}

static void on_one_started(void *arg, struct dv_exec *exec,
			   const struct dv_err *err)
{
	struct one *o = arg;

	if (err)
		print_error("%s\n", err->msg);
	CHECK(exec != NULL);
	if (!dv_exec_wait(exec, &o->waiter))
		on_exit_of(&o->waiter, dv_exec_record(exec));
}

TEST(exec_of_a_hundred_side_by_side_gives_each_its_own_status)
{
	enum { N = 100 };
	static struct one ones[N];
	char sh[] = "/bin/sh", c[] = "-c", text[32];
	char *argv[3] = { sh, c, text };
	dv_ExecRequest rq = { .argv = argv, .argv_count = 3 };
	struct many m = { 0 };
	struct dv_exec *exec;
	struct in t;

	try_open();
	in_open(&t, try_spec("exec sleep 1000"));
	m.t = &t;
	for (int i = 0; i < N; i++) {
		ones[i] = (struct one){ .many = &m, .code = i % 100 };
		ones[i].waiter.fn = on_exit_of;
		dv_fmt(text, sizeof(text), "exit %d", i % 100);
		CHECK_EQ(dv_procs_start(t.procs, &rq, NULL, 0, on_one_started,
					&ones[i], &exec, &t.err),
			 0);
	}
	CHECK_EQ(dv_procs_starting(t.procs), N);
	while (m.n_done < N)
		turn(&t);
	CHECK_EQ(m.n_right, N);
	CHECK_EQ(dv_procs_count(t.procs).exited, N);
	in_close(&t);
}

/* ---- streams ---------------------------------------------------------------
 */

static int count_fds(void)
{
	char fds[16384];
	int n = 0;

	try_fds(getpid(), fds, sizeof(fds));
	for (const char *p = fds; *p; p++)
		n += *p == ' ';
	return n;
}

TEST(exec_gets_descriptors_and_we_keep_none)
{
	dv_ExecRequest rq = {
		.has_stdin = true,
		.stdin = { .mode = dv_STDIO_FD, .fd = 2 },
		.has_stdout = true,
		.stdout = { .mode = dv_STDIO_FD, .fd = 1 },
	};
	int out[2], in[2], fds[2], before;
	struct dv_exec *exec;
	char text[16] = "";
	struct in t;

	try_open();
	in_open(&t, try_spec("exec sleep 1000"));
	before = count_fds();
	CHECK_EQ(dv_pipe(out), 0);
	CHECK_EQ(dv_pipe(in), 0);
	fds[0] = out[1];
	fds[1] = in[0];
	exec = run_with(&t, &rq, "read x; echo got $x; exec 1>&-; sleep 1000",
			fds, 2);
	CHECK(exec != NULL);
	/* Its pidfd, and our ends of the pipes. */
	CHECK_EQ(count_fds(), before + 3);
	CHECK_EQ(dv_write_full(in[1], "hello\n", 6), 0);
	/* Only the command has the other end, so its end is the end. */
	CHECK_EQ(dv_read_full(out[0], text, sizeof(text) - 1), 10);
	CHECK_STR(text, "got hello\n");
	CHECK_EQ(dv_exec_signal(exec, SIGKILL, dv_SIGNAL_GROUP, NULL), 0);
	CHECK_EQ(wait_for(&t, exec), 137);
	dv_close(out[0]);
	dv_close(in[1]);
	in_close(&t);
}

static size_t read_tty(int tty, char *out, size_t size)
{
	size_t len = 0;
	ssize_t n;

	while (len < size - 1 &&
	       (n = dv_read(tty, out + len, size - 1 - len)) > 0)
		len += (size_t)n;
	out[len] = '\0';
	return len;
}

TEST(exec_terminal_that_is_taken_is_its_clients_alone)
{
	dv_ExecRequest rq = {
		.terminal = true,
		.take_terminal = true,
		.rows = 33,
		.cols = 111,
	};
	struct winsize size = { .ws_row = 5, .ws_col = 6 };
	struct dv_exec *exec;
	char text[256];
	struct in t;
	int tty, before;

	try_open();
	in_open(&t, try_spec("exec sleep 1000"));
	before = count_fds();
	exec = run_with(&t, &rq, "tty; stty size; read x; stty size", NULL, 0);
	CHECK_STR(t.err.msg, "");
	CHECK(exec != NULL);
	tty = dv_exec_take_terminal(exec);
	CHECK(tty >= 0);
	CHECK_EQ(dv_exec_take_terminal(exec), -1);
	CHECK_EQ(count_fds(), before + 2); /* it, and the pidfd */
	CHECK_EQ(dv_exec_resize(exec, 1, 1, &t.err), -ENOTTY);
	CHECK_EQ(ioctl(tty, TIOCSWINSZ, &size), 0);
	CHECK_EQ(dv_write_full(tty, "\n", 1), 0);
	read_tty(tty, text, sizeof(text));
	CHECK(strstr(text, "/dev/pts/"));
	CHECK(strstr(text, "\r\n5 6\r\n"));
	dv_close(tty);
	CHECK_EQ(wait_for(&t, exec), 0);
	in_close(&t);
}

TEST(exec_terminal_that_nobody_takes_hangs_up)
{
	dv_ExecRequest rq = { .terminal = true, .take_terminal = true };
	char sh[] = "/bin/sh", c[] = "-c", text[] = "sleep 1000";
	char *argv[3] = { sh, c, text };
	struct dv_exec *exec;
	struct in t;

	try_open();
	in_open(&t, try_spec("exec sleep 1000"));
	rq.argv = argv;
	rq.argv_count = 3;
	CHECK_EQ(dv_procs_start(t.procs, &rq, NULL, 0, on_started, &t, &exec,
				&t.err),
		 0);
	dv_exec_forget(exec);
	while (!dv_procs_count(t.procs).exited)
		turn(&t);
	CHECK_EQ(dv_exec_record(exec)->signal, SIGHUP);
	/* One that makes no sense. */
	rq.terminal = false;
	CHECK(start(&t, &rq, NULL, 0) == NULL);
	CHECK_EQ(t.err.code, DV_INVALID);
	rq.terminal = true;
	rq.has_stdout = true;
	rq.stdout.mode = dv_STDIO_KEEP;
	CHECK(start(&t, &rq, NULL, 0) == NULL);
	CHECK_EQ(t.err.code, DV_INVALID);
	in_close(&t);
}

/* ---- ends ------------------------------------------------------------------
 */

TEST(exec_that_cannot_be_executed_says_why)
{
	char none[] = "/no/such/command";
	char *argv[1] = { none };
	dv_ExecRequest rq = { .argv = argv, .argv_count = 1 };
	struct in t;

	try_open();
	in_open(&t, try_spec("exec sleep 1000"));
	CHECK(start(&t, &rq, NULL, 0) == NULL);
	CHECK_EQ(t.err.step, DV_STEP_LOOKUP);
	CHECK_EQ(t.err.sys, ENOENT);
	CHECK_EQ(dv_procs_count(t.procs).running, 0);
	in_close(&t);
}

TEST(exec_ends_with_its_sandbox_and_starts_in_the_next)
{
	struct dv_exit e = { .size = sizeof(e) };
	struct dv_exec *exec;
	struct in t;

	try_open();
	in_open(&t, try_spec("exec sleep 1000"));
	exec = run_with(&t, NULL, "sleep 1000 & wait", NULL, 0);
	CHECK(exec != NULL);
	CHECK_EQ(dv_run_signal(t.run, SIGKILL, NULL), 0);
	CHECK_EQ(dv_run_wait(t.run, 20000, &e), 0);
	CHECK_EQ(e.code, 137);
	CHECK_EQ(dv_exec_record(exec)->signal, SIGKILL);
	dv_procs_point(t.procs, NULL, NULL, NULL);
	t.run = dv_run_free(t.run);
	CHECK(run_with(&t, NULL, "exit 0", NULL, 0) == NULL);
	CHECK_EQ(t.err.code, DV_PRECONDITION);
	t.run = try_run(t.loop, t.spec);
	point(&t);
	CHECK_EQ(wait_for(&t, run_with(&t, NULL, "exit 9", NULL, 0)), 9);
	/* What was before is still known. */
	CHECK_EQ(dv_exec_record(exec)->signal, SIGKILL);
	in_close(&t);
}

TEST(exec_while_the_sandbox_dies_is_refused_or_killed)
{
	char sh[] = "/bin/sh", c[] = "-c", text[] = "sleep 1000";
	char *argv[3] = { sh, c, text };
	dv_ExecRequest rq = { .argv = argv, .argv_count = 3 };

	for (int i = 0; i < 20; i++) {
		struct dv_exit e = { .size = sizeof(e) };
		struct dv_exec *exec = NULL;
		struct in t;
		int r;

		try_open();
		in_open(&t, try_spec("exec sleep 1000"));
		dv_run_kill_all(t.run, NULL);
		r = dv_procs_start(t.procs, &rq, NULL, 0, on_started, &t, &exec,
				   &t.err);
		CHECK_EQ(dv_run_wait(t.run, 20000, &e), 0);
		while (r == 0 && !t.n_started)
			turn(&t);
		CHECK(r < 0 || !t.exec || dv_exec_record(t.exec));
		in_close(&t);
	}
}
