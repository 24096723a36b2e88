/* SPDX-License-Identifier: MIT */
#include "engine/proc_try.h"

#include <linux/filter.h>
#include <pthread.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#include "base/def.h"
#include "engine/plan.h"
#include "engine/seccomp_try.h"

/* A process that waits to be looked at. */
static void plan_sleep(struct dv_plan *plan)
{
	*plan = (struct dv_plan)DV_PLAN_INIT;
	dv_plan_arg(plan, "/bin/sleep");
	dv_plan_arg(plan, "1000");
}

static void start_plan(struct dv_proc *proc, struct dv_plan *plan,
		       const int *fds, size_t n_fds)
{
	struct dv_err err = DV_ERR_INIT;

	CHECK_EQ(dv_plan_status(plan), 0);
	CHECK_EQ(dv_plan_check(&plan->msg, n_fds, &err), 0);
	int r = try_start(proc, NULL, &plan->msg.process, fds, n_fds, &err);

	if (r < 0)
		print_error("%s\n", err.msg);
	CHECK_EQ(r, 0);
	CHECK(proc->pid > 0);
	CHECK_EQ(proc->err_fd, -1);
}

/* ---- failing steps ---------------------------------------------------------
 */

static struct try_dir files; /* of the table below */

static void cwd_missing(struct dv_plan *p)
{
	p->msg.process.cwd = dv_plan_strdup(p, "/no/such/dir");
}

static void cwd_file(struct dv_plan *p)
{
	p->msg.process.cwd = dv_plan_strdup(p, "/etc/passwd");
}

static void rlimit_order(struct dv_plan *p)
{
	dv_plan_rlimit(p, RLIMIT_CORE, 2, 1);
}

static void rlimit_unknown(struct dv_plan *p)
{
	dv_plan_rlimit(p, 99, 1, 1);
}

static void oom_score(struct dv_plan *p)
{
	p->msg.process.has_oom_score_adj = true;
	p->msg.process.oom_score_adj = 2000;
}

static void bad_filter(struct dv_plan *p)
{
	static const struct sock_filter insn = { 0xffff, 0, 0, 0 };

	p->msg.process.no_new_privs = true;
	dv_plan_seccomp(p, &insn, sizeof(insn));
}

static void ambient_alone(struct dv_plan *p)
{
	p->msg.process.has_caps = true;
	p->msg.process.caps.bounding = UINT64_MAX;
	p->msg.process.caps.permitted = 1;
	p->msg.process.caps.ambient = 1;
}

static void death_signal(struct dv_plan *p)
{
	p->msg.process.death_signal = 99;
}

static void source_closed(struct dv_plan *p)
{
	dv_plan_fd(p, 1, 5); /* the second one given is not open */
}

static void exe(struct dv_plan *p, const char *path)
{
	p->msg.process.exe = dv_plan_strdup(p, path);
}

static void not_in_path(struct dv_plan *p)
{
	exe(p, "no-such-command-anywhere");
}

static void not_there(struct dv_plan *p)
{
	exe(p, try_path(&files, "nothing"));
}

static void not_executable(struct dv_plan *p)
{
	exe(p, try_file(&files, "plain", "#!/bin/sh\n", 0644));
}

static void not_executable_in_path(struct dv_plan *p)
{
	char entry[128];

	try_file(&files, "plain", "#!/bin/sh\n", 0644);
	dv_fmt(entry, sizeof(entry), "PATH=/no/such:%s:/etc/passwd",
	       files.path);
	dv_plan_env(p, entry);
	exe(p, "plain");
}

static void no_interpreter(struct dv_plan *p)
{
	exe(p, try_file(&files, "script", "#!/no/such/sh\n", 0755));
}

static void no_format(struct dv_plan *p)
{
	exe(p, try_file(&files, "junk", "\1\2\3\4 junk", 0755));
}

static void a_directory(struct dv_plan *p)
{
	exe(p, "/usr");
}

static void empty_name(struct dv_plan *p)
{
	p->msg.process.argv[0][0] = '\0';
}

static void empty_path(struct dv_plan *p)
{
	dv_plan_env(p, "PATH=");
	exe(p, "sh");
}

TEST(start_failing_step_is_named)
{
	static const struct {
		void (*spoil)(struct dv_plan *);
		int sys;
		enum dv_step step;
		const char *says;
	} rows[] = {
		{ cwd_missing, ENOENT, DV_STEP_CWD, "/no/such/dir" },
		{ cwd_file, ENOTDIR, DV_STEP_CWD, "/etc/passwd" },
		{ rlimit_order, EINVAL, DV_STEP_PROCESS, "resource limit" },
		{ rlimit_unknown, EINVAL, DV_STEP_PROCESS, "limit 99" },
		{ oom_score, EINVAL, DV_STEP_PROCESS, "oom score to 2000" },
		{ bad_filter, EINVAL, DV_STEP_SECCOMP, "seccomp filter" },
		{ ambient_alone, EPERM, DV_STEP_CREDS, "capabilit" },
		{ death_signal, EINVAL, DV_STEP_PROCESS, "death signal" },
		{ source_closed, EBADF, DV_STEP_PROCESS, "descriptor" },
		{ not_in_path, ENOENT, DV_STEP_LOOKUP, "no-such-command" },
		{ not_there, ENOENT, DV_STEP_LOOKUP, "nothing" },
		{ not_executable, EACCES, DV_STEP_EXEC, "plain" },
		{ not_executable_in_path, EACCES, DV_STEP_EXEC, "plain" },
		{ no_interpreter, ENOENT, DV_STEP_EXEC, "script" },
		{ no_format, ENOEXEC, DV_STEP_EXEC, "junk" },
		{ a_directory, EACCES, DV_STEP_EXEC, "/usr" },
		{ empty_name, ENOENT, DV_STEP_LOOKUP, "exec" },
		{ empty_path, ENOENT, DV_STEP_LOOKUP, "exec sh" },
	};
	const int fds[2] = { 0, 1000 };

	try_dir_make(&files);
	for (size_t i = 0; i < DV_ARRAY_LEN(rows); i++) {
		struct dv_err err = DV_ERR_INIT;
		struct dv_proc proc;
		struct dv_plan plan;

		plan_sleep(&plan);
		rows[i].spoil(&plan);
		int r = try_start(&proc, NULL, &plan.msg.process, fds, 2, &err);

		if (r == 0)
			dv_proc_free(&proc);
		if (!strstr(err.msg, rows[i].says))
			CHECK_STR(err.msg, rows[i].says);
		CHECK_EQ(r, -rows[i].sys);
		CHECK_EQ(err.sys, rows[i].sys);
		CHECK_STR(dv_step_name(err.step), dv_step_name(rows[i].step));
		dv_plan_free(&plan);
	}
	try_dir_remove(&files);
}

TEST(start_without_a_place_for_the_reason_fails_alike)
{
	struct dv_proc proc;
	struct dv_plan plan;

	plan_sleep(&plan);
	exe(&plan, "/no/such");
	CHECK_EQ(try_start(&proc, NULL, &plan.msg.process, NULL, 0, NULL),
		 -ENOENT);
	dv_plan_free(&plan);
}

/* Its status, or 100 and the step that failed. */
static int start_program(const void *path)
{
	struct dv_err err = DV_ERR_INIT;
	struct dv_proc proc;
	struct dv_plan plan = DV_PLAN_INIT;

	dv_plan_arg(&plan, path);
	if (try_start(&proc, NULL, &plan.msg.process, NULL, 0, &err) < 0)
		return 100 + (int)err.step;
	return try_reap(&proc);
}

/* Then it is a fork after all, which does not share what a vfork() does. */
TEST(start_where_clone3_is_filtered_tells_the_same)
{
	static const uint32_t refusals[] = { ENOSYS, EPERM };

	for (size_t i = 0; i < DV_ARRAY_LEN(refusals); i++) {
		const struct sock_filter insns[] = {
			BPF_STMT(BPF_LD | BPF_W | BPF_ABS,
				 offsetof(struct seccomp_data, nr)),
			BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_clone3, 0, 1),
			BPF_STMT(BPF_RET | BPF_K,
				 SECCOMP_RET_ERRNO | refusals[i]),
			BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
		};
		const size_t n = DV_ARRAY_LEN(insns);

		CHECK_EQ(try_child(insns, n, start_program, "/bin/true"), 0);
		CHECK_EQ(try_child(insns, n, start_program, "/bin/false"), 1);
		CHECK_EQ(try_child(insns, n, start_program, "/no/such"),
			 100 + DV_STEP_LOOKUP);
	}
}

/* One that changes ids, be it to its own, is not waited for. */
TEST(killed_before_exec_is_said)
{
	dv_Ids ids = { .uid = getuid(), .gid = getgid(), .keep_groups = true };
	struct dv_err err = DV_ERR_INIT;
	struct dv_cgroup cg;
	struct dv_proc proc;
	struct dv_plan plan;
	int full[2];

	try_closed_group(&cg, full);
	plan_sleep(&plan);
	plan.msg.process.has_ids = true;
	plan.msg.process.ids = ids;
	CHECK_EQ(dv_proc_begin(&proc, NULL, &plan.msg.process, NULL, 0, &cg,
			       &err),
		 0);
	CHECK_EQ(kill(proc.pid, SIGKILL), 0);
	CHECK_EQ(dv_proc_finish(&proc, NULL, &err), -ECANCELED);
	CHECK(strstr(err.msg, "killed before"));
	dv_plan_free(&plan);
	dv_close(full[0]);
	dv_close(full[1]);
}

TEST(begun_and_freed_leaves_nothing)
{
	struct dv_proc proc;
	struct dv_plan plan;

	plan_sleep(&plan);
	CHECK_EQ(dv_proc_begin(&proc, NULL, &plan.msg.process, NULL, 0, NULL,
			       NULL),
		 0);
	dv_proc_free(&proc);
	dv_proc_free(&proc);
	dv_plan_free(&plan);
}

/* ---- descriptors ------------------------------------------------------------
 */

enum { FILES_MAX = 260 };

static int mark_file(int number)
{
	int fd = memfd_create("mark", MFD_CLOEXEC);

	CHECK(fd >= 0);
	if (number < 0 || number == fd)
		return fd;
	CHECK_EQ(dv_fd_mode(number), -EBADF);
	CHECK_EQ(dup3(fd, number, O_CLOEXEC), number);
	dv_close(fd);
	return number;
}

struct shuffle {
	int source[6]; /* numbers in this process; 0 ends */
	int target[6];
};

static void check_shuffle(const struct shuffle *s)
{
	char want[128] = "0 1 2";
	struct dv_proc proc;
	struct dv_plan plan;
	size_t n = 0, len = 5;

	plan_sleep(&plan);
	for (; n < 6 && s->source[n]; n++) {
		if (dv_fd_mode(s->source[n]) < 0)
			mark_file(s->source[n]);
		dv_plan_fd(&plan, (uint32_t)n, (uint32_t)s->target[n]);
	}
	start_plan(&proc, &plan, s->source, n);
	for (int fd = 3; fd < 1024; fd++)
		for (size_t i = 0; i < n; i++)
			if (s->target[i] == fd)
				len += (size_t)dv_fmt(want + len,
						      sizeof(want) - len, " %d",
						      fd);
	try_expect_fds(proc.pid, want);
	for (size_t i = 0; i < n; i++)
		CHECK(try_same_file(proc.pid, s->target[i], s->source[i]));
	dv_proc_free(&proc);
	dv_plan_free(&plan);
	for (size_t i = 0; i < n; i++)
		if (dv_fd_mode(s->source[i]) >= 0)
			dv_close(s->source[i]);
}

TEST(descriptors_are_shuffled_right)
{
	static const struct shuffle rows[] = {
		{ { 30 }, { 3 } },
		{ { 30 }, { 30 } },                 /* stays */
		{ { 30, 31 }, { 31, 30 } },         /* swap */
		{ { 30, 31, 32 }, { 31, 32, 30 } }, /* ring */
		{ { 30, 31, 32 }, { 32, 31, 30 } },
		{ { 30, 30, 30 }, { 30, 31, 5 } }, /* one for many */
		{ { 30, 30 }, { 31, 30 } },
		{ { 30, 31 }, { 0, 1 } }, /* stdio */
		{ { 30, 31, 32 }, { 2, 1, 0 } },
		{ { 30, 31, 32 }, { 1, 700, 1000 } }, /* sparse */
		{ { 700, 30 }, { 30, 700 } },
		{ { 40, 41, 42, 43, 44, 45 }, { 9, 8, 7, 6, 5, 4 } },
		{ { 40, 41, 42, 43, 44, 45 }, { 45, 40, 41, 42, 43, 44 } },
	};

	for (size_t i = 0; i < DV_ARRAY_LEN(rows); i++)
		check_shuffle(&rows[i]);
}

TEST(descriptors_three_and_four_swap)
{
	static const struct shuffle swap = { { 3, 4 }, { 4, 3 } };

	if (dv_fd_mode(3) >= 0 || dv_fd_mode(4) >= 0)
		SKIP("3 or 4 is in use here");
	check_shuffle(&swap);
}

/* The engine's own pipes and sockets have low numbers, too. */
TEST(descriptors_every_low_number_can_be_a_target)
{
	for (int target = 3; target < 24; target++) {
		struct shuffle s = { { 50, 51 }, { target, target + 1 } };

		check_shuffle(&s);
	}
}

TEST(descriptors_as_many_as_fit)
{
	int fds[253], high;
	struct dv_proc proc;
	struct dv_plan plan;

	plan_sleep(&plan);
	for (int i = 0; i < 253; i++) {
		fds[i] = mark_file(-1);
		/* Backwards: nearly every target is another one's source. */
		dv_plan_fd(&plan, (uint32_t)i, (uint32_t)(255 - i));
	}
	high = fds[252];
	start_plan(&proc, &plan, fds, 253);
	for (int i = 0; i < 253; i++)
		CHECK(try_same_file(proc.pid, 255 - i, fds[i]));
	CHECK(high >= 252);
	dv_proc_free(&proc);
	dv_plan_free(&plan);
	for (int i = 0; i < 253; i++)
		dv_close(fds[i]);
}

/* The keeper's limit on descriptors is for the keeper's. */
TEST(descriptors_highest_number_needs_no_higher_limit)
{
	struct rlimit old, low;
	struct dv_err err = DV_ERR_INIT;
	struct dv_proc proc;
	struct dv_plan plan;
	int fd, r;

	CHECK_EQ(getrlimit(RLIMIT_NOFILE, &old), 0);
	if (old.rlim_max <= 1024)
		SKIP("the hard limit of descriptors is too low");
	fd = mark_file(60);
	low = (struct rlimit){ 1024, old.rlim_max };
	CHECK_EQ(setrlimit(RLIMIT_NOFILE, &low), 0);
	plan_sleep(&plan);
	dv_plan_fd(&plan, 0, 1023);
	r = try_start(&proc, NULL, &plan.msg.process, &fd, 1, &err);
	setrlimit(RLIMIT_NOFILE, &old);
	CHECK_STR(err.msg, "");
	CHECK_EQ(r, 0);
	CHECK(try_same_file(proc.pid, 1023, fd));
	CHECK_EQ(prlimit(proc.pid, RLIMIT_NOFILE, NULL, &low), 0);
	CHECK_EQ(low.rlim_cur, 1024); /* as the keeper has it */
	dv_proc_free(&proc);
	dv_plan_free(&plan);
	dv_close(fd);
}

/* A limit of the plan is for the command, not for placing what it gets. */
TEST(descriptors_are_placed_before_their_limit_holds)
{
	struct dv_proc proc;
	struct dv_plan plan;
	struct rlimit lim;
	int fd = mark_file(60);

	plan_sleep(&plan);
	dv_plan_fd(&plan, 0, 20);
	dv_plan_rlimit(&plan, RLIMIT_NOFILE, 12, 12);
	start_plan(&proc, &plan, &fd, 1);
	CHECK(try_same_file(proc.pid, 20, fd));
	CHECK_EQ(prlimit(proc.pid, RLIMIT_NOFILE, NULL, &lim), 0);
	CHECK_EQ(lim.rlim_cur, 12);
	CHECK_EQ(lim.rlim_max, 12);
	dv_proc_free(&proc);
	dv_plan_free(&plan);
	dv_close(fd);
}

TEST(descriptors_of_ours_do_not_leak_into_the_command)
{
	static const int open_here[] = { 60, 100, 800 };
	struct dv_proc proc;
	struct dv_plan plan;
	int own = open("/dev/null", O_RDWR | O_CLOEXEC);

	for (size_t i = 0; i < DV_ARRAY_LEN(open_here); i++)
		CHECK_EQ(dup2(own, open_here[i]), open_here[i]);
	plan_sleep(&plan);
	start_plan(&proc, &plan, NULL, 0);
	try_expect_fds(proc.pid, "0 1 2");
	for (int fd = 0; fd <= 2; fd++)
		CHECK(try_same_file(proc.pid, fd, own)); /* /dev/null */
	dv_proc_free(&proc);
	dv_plan_free(&plan);
	for (size_t i = 0; i < DV_ARRAY_LEN(open_here); i++)
		dv_close(open_here[i]);
	dv_close(own);
}

/* ---- signals, session, attributes -------------------------------------------
 */

static void on_signal(int signo)
{
	(void)signo;
}

TEST(dispositions_and_mask_are_default_and_ours_stay)
{
	struct dv_proc proc;
	struct dv_plan plan;
	sigset_t blocked, now;

	signal(SIGPIPE, SIG_IGN);
	signal(SIGXFSZ, SIG_IGN);
	signal(SIGCHLD, SIG_DFL);
	signal(SIGUSR1, on_signal);
	signal(SIGRTMIN, SIG_IGN);
	sigemptyset(&blocked);
	sigaddset(&blocked, SIGTERM);
	sigaddset(&blocked, SIGRTMAX);
	sigprocmask(SIG_BLOCK, &blocked, NULL);
	plan_sleep(&plan);
	start_plan(&proc, &plan, NULL, 0);
	CHECK_STR(try_status(proc.pid, "SigIgn"), "0000000000000000");
	CHECK_STR(try_status(proc.pid, "SigBlk"), "0000000000000000");
	CHECK_STR(try_status(proc.pid, "SigCgt"), "0000000000000000");
	sigprocmask(SIG_BLOCK, NULL, &now);
	CHECK_EQ(sigismember(&now, SIGTERM), 1);
	CHECK_EQ(sigismember(&now, SIGINT), 0);
	CHECK(signal(SIGPIPE, SIG_DFL) == SIG_IGN);
	dv_proc_free(&proc);
	dv_plan_free(&plan);
	sigprocmask(SIG_UNBLOCK, &blocked, NULL);
	signal(SIGXFSZ, SIG_DFL);
	signal(SIGUSR1, SIG_DFL);
	signal(SIGRTMIN, SIG_DFL);
}

TEST(session_and_group_as_planned)
{
	for (int kind = 0; kind < 3; kind++) {
		struct dv_proc proc;
		struct dv_plan plan;

		plan_sleep(&plan);
		plan.msg.process.new_session = kind == 1;
		plan.msg.process.new_group = kind == 2;
		start_plan(&proc, &plan, NULL, 0);
		CHECK_EQ(getsid(proc.pid), kind == 1 ? proc.pid : getsid(0));
		CHECK_EQ(getpgid(proc.pid), kind ? proc.pid : getpgid(0));
		dv_proc_free(&proc);
		dv_plan_free(&plan);
	}
}

TEST(attributes_are_the_plans)
{
	struct dv_proc proc;
	struct dv_plan plan;
	char text[256], cwd[64];
	struct rlimit lim, ours;
	rlim_t hard;
	dv_Process *p = &plan.msg.process;

	plan_sleep(&plan);
	p->has_umask = true;
	p->umask = 0123;
	p->has_nice = true;
	p->nice = 7;
	p->has_oom_score_adj = true;
	p->oom_score_adj = 321;
	p->cwd = dv_plan_strdup(&plan, "/usr/bin");
	p->no_new_privs = true;
	p->death_signal = SIGUSR2;
	CHECK_EQ(getrlimit(RLIMIT_CORE, &ours), 0);
	hard = dv_min(ours.rlim_max, (rlim_t)4096);
	dv_plan_rlimit(&plan, RLIMIT_CORE, 0, hard);
	start_plan(&proc, &plan, NULL, 0);
	CHECK_STR(try_status(proc.pid, "Umask"), "0123");
	CHECK_STR(try_status(proc.pid, "NoNewPrivs"), "1");
	CHECK_EQ(getpriority(PRIO_PROCESS, (id_t)proc.pid), 7);
	try_proc_file(proc.pid, "oom_score_adj", text, sizeof(text));
	CHECK_STR(text, "321\n");
	CHECK_EQ(prlimit(proc.pid, RLIMIT_CORE, NULL, &lim), 0);
	CHECK_EQ(lim.rlim_cur, 0);
	CHECK_EQ(lim.rlim_max, hard);
	dv_fmt(text, sizeof(text), "/proc/%d/cwd", (int)proc.pid);
	CHECK_EQ(readlink(text, cwd, sizeof(cwd)), 8);
	CHECK(memcmp(cwd, "/usr/bin", 8) == 0);
	dv_proc_free(&proc);
	dv_plan_free(&plan);
}

TEST(argv_and_env_arrive_byte_for_byte)
{
	static const char want[] = "/odd name\0"
				   "1000\0";
	struct dv_proc proc;
	struct dv_plan plan = DV_PLAN_INIT;
	uint64_t until = try_deadline(20);
	char text[512];
	size_t n;

	dv_plan_arg(&plan, "/odd name");
	dv_plan_arg(&plan, "1000");
	exe(&plan, "/bin/sleep");
	dv_plan_env(&plan, "BYTES=\xff\x01\n ");
	dv_plan_env(&plan, "EMPTY=");
	start_plan(&proc, &plan, NULL, 0);
	try_executed(proc.pid);
	n = try_proc_file(proc.pid, "cmdline", text, sizeof(text));
	CHECK_EQ(n, sizeof(want) - 1);
	CHECK(memcmp(text, want, n) == 0);
	/* These come one after the other. */
	do
		n = try_proc_file(proc.pid, "environ", text, sizeof(text));
	while (n != 18 && try_again(until));
	CHECK_EQ(n, 18);
	CHECK(memcmp(text, "BYTES=\xff\x01\n \0EMPTY=", 17) == 0);
	dv_proc_free(&proc);
	dv_plan_free(&plan);
}

TEST(path_of_the_plan_is_searched)
{
	struct dv_proc proc;
	struct dv_plan plan = DV_PLAN_INIT;
	char entry[128];

	try_dir_make(&files);
	try_file(&files, "cmd", "#!/bin/sh\nexit 43\n", 0755);
	dv_fmt(entry, sizeof(entry), "PATH=/etc/passwd::/no/such:%s",
	       files.path);
	dv_plan_env(&plan, entry);
	dv_plan_arg(&plan, "cmd");
	start_plan(&proc, &plan, NULL, 0);
	CHECK_EQ(try_reap(&proc), 43);
	dv_proc_free(&proc);
	dv_plan_free(&plan);
	try_dir_remove(&files);
}

/* ---- waiting ----------------------------------------------------------------
 */

TEST(reap_tells_status_once)
{
	static const struct {
		const char *script;
		int status;
	} rows[] = {
		{ "exit 0", 0 },
		{ "exit 255", 255 },
		{ "kill -TERM $$", 128 + SIGTERM },
		{ "kill -KILL $$", 128 + SIGKILL },
	};
	struct rusage usage;
	siginfo_t info;

	for (size_t i = 0; i < DV_ARRAY_LEN(rows); i++) {
		struct dv_proc proc;
		struct dv_plan plan = DV_PLAN_INIT;

		dv_plan_arg(&plan, "/bin/sh");
		dv_plan_arg(&plan, "-c");
		dv_plan_arg(&plan, rows[i].script);
		start_plan(&proc, &plan, NULL, 0);
		CHECK_EQ(try_reap(&proc), rows[i].status);
		CHECK_EQ(dv_proc_reap(&proc, &info, &usage), -ECHILD);
		dv_proc_free(&proc);
		dv_plan_free(&plan);
	}
}

static void *start_in_thread(void *arg)
{
	struct dv_plan plan;

	plan_sleep(&plan);
	start_plan(arg, &plan, NULL, 0);
	dv_plan_free(&plan);
	return NULL;
}

TEST(thread_that_started_it_may_end)
{
	struct dv_proc proc;
	pthread_t thread;

	CHECK_EQ(pthread_create(&thread, NULL, start_in_thread, &proc), 0);
	CHECK_EQ(pthread_join(thread, NULL), 0);
	CHECK_EQ(kill(proc.pid, 0), 0);
	CHECK(try_status(proc.pid, "State")[0] != 'Z');
	CHECK_EQ(kill(proc.pid, SIGTERM), 0);
	CHECK_EQ(try_reap(&proc), 128 + SIGTERM);
	dv_proc_free(&proc);
}
