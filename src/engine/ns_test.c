/* SPDX-License-Identifier: MIT */
#include "engine/proc_try.h"

#include <poll.h>
#include <sched.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include "base/def.h"
#include "engine/plan.h"
#include "engine/sys.h"

enum {
	ALL_NS = dv_NS_USER | dv_NS_MOUNT | dv_NS_PID | dv_NS_IPC | dv_NS_UTS |
		 dv_NS_NET | dv_NS_CGROUP
};

static struct try_dir top; /* roots are built on top/root */

/* The least that runs /bin/sh of this machine. */
static void plan_sandbox(struct dv_plan *plan, const char *script)
{
	static const char *const dirs[] = { "/bin", "/lib", "/lib64", "/usr" };
	dv_Isolation *iso = &plan->msg.isolation;

	*plan = (struct dv_plan)DV_PLAN_INIT;
	iso->namespaces = ALL_NS;
	iso->loopback_up = true;
	iso->has_root = true;
	iso->root.at = dv_plan_strdup(plan, try_path(&top, "root"));
	for (size_t i = 0; i < DV_ARRAY_LEN(dirs); i++)
		if (access(dirs[i], F_OK) == 0)
			dv_plan_mount(plan, dv_MOUNT_BIND, dirs[i], dirs[i],
				      dv_MF_RO | dv_MF_RECURSIVE);
	dv_plan_mount(plan, dv_MOUNT_PROC, NULL, "/proc", 0);
	dv_plan_mount(plan, dv_MOUNT_DIR, NULL, "/dev", 0);
	dv_plan_mount(plan, dv_MOUNT_BIND, "/dev/null", "/dev/null", 0);
	dv_plan_uid_map(plan, geteuid(), geteuid(), 1);
	dv_plan_gid_map(plan, getegid(), getegid(), 1);
	iso->deny_setgroups = geteuid() != 0;
	dv_plan_arg(plan, "/bin/sh");
	dv_plan_arg(plan, "-c");
	dv_plan_arg(plan, script);
	plan->msg.process.cwd = dv_plan_strdup(plan, "/");
}

/* The root's place, and those where file systems wait: engine/mounts.h. */
static const char *const places[] = { "root", "root.2", "root.3", "root.5",
				      "root.8" };

static void open_top(void)
{
	try_dir_make(&top);
	for (size_t i = 0; i < DV_ARRAY_LEN(places); i++)
		CHECK_EQ(mkdir(try_path(&top, places[i]), 0755), 0);
	CHECK_EQ(mkdir(try_path(&top, "any"), 0755), 0);
}

static int start_how(struct dv_ns *sb, struct dv_proc *proc,
		     struct dv_plan *plan, const int *fds, size_t n_fds,
		     unsigned int how, struct dv_err *err)
{
	int r;

	*proc = (struct dv_proc)DV_PROC_INIT;
	r = dv_ns_start(sb, &plan->msg.isolation, how, err);
	if (r == 0)
		r = try_start(proc, sb, &plan->msg.process, fds, n_fds, err);
	if (r < 0)
		dv_ns_free(sb);
	return r;
}

/* What fails has to fail alike when the process borrows our memory. */
static int start(struct dv_ns *sb, struct dv_proc *proc, struct dv_plan *plan,
		 const int *fds, size_t n_fds, struct dv_err *err)
{
	struct dv_err same = DV_ERR_INIT;
	int r;

	CHECK_EQ(dv_plan_status(plan), 0);
	CHECK_EQ(dv_plan_check(&plan->msg, n_fds, err), 0);
	r = start_how(sb, proc, plan, fds, n_fds, 0, err);
	if (r < 0) {
		CHECK_EQ(start_how(sb, proc, plan, fds, n_fds, DV_NS_WAIT,
				   &same),
			 r);
		CHECK_STR(same.msg, err->msg);
		CHECK_EQ(same.step, err->step);
	}
	return r;
}

static void must_start(struct dv_ns *sb, struct dv_proc *proc,
		       struct dv_plan *plan, const int *fds, size_t n_fds)
{
	struct dv_err err = DV_ERR_INIT;
	int r = start(sb, proc, plan, fds, n_fds, &err);

	CHECK_STR(err.msg, "");
	CHECK_EQ(r, 0);
}

/* Root in a container may have no right to make them. */
static bool root_makes_namespaces(void)
{
	int status = 0;
	pid_t pid;

	if (geteuid() != 0)
		return false;
	pid = fork();
	if (pid == 0)
		_exit(unshare(CLONE_NEWNS | CLONE_NEWPID) < 0);
	CHECK_EQ(waitpid(pid, &status, 0), pid);
	return status == 0;
}

static void need_root(void)
{
	if (!root_makes_namespaces())
		SKIP("needs root, with all its rights");
}

static void end(struct dv_ns *sb, struct dv_proc *proc, struct dv_plan *plan)
{
	dv_ns_kill(sb);
	dv_proc_free(proc);
	dv_ns_free(sb);
	dv_plan_free(plan);
}

/* Skips where this user gets no namespaces, or may not use them. */
static void need_namespaces(void)
{
	struct dv_err err = DV_ERR_INIT;
	struct dv_ns sb;
	struct dv_proc proc;
	struct dv_plan plan;

	if (root_makes_namespaces())
		return; /* so whatever fails is a failure */
	open_top();
	plan_sandbox(&plan, "exit 0");
	if (start_how(&sb, &proc, &plan, NULL, 0, 0, &err) == 0)
		end(&sb, &proc, &plan);
	else
		dv_plan_free(&plan);
	try_dir_remove(&top);
	if (err.sys == EPERM || err.sys == EACCES)
		SKIP("no namespaces for this user");
}

static void wait_gone(int pidfd)
{
	struct pollfd p = { pidfd, POLLIN, 0 };

	CHECK_EQ(poll(&p, 1, 20000), 1);
}

/* ---- failing steps ----------------------------------------------------------
 */

static dv_Mount *bind_at(struct dv_plan *p, const char *src, const char *dst)
{
	return dv_plan_mount(p, dv_MOUNT_BIND, src, dst, 0);
}

static void source_missing(struct dv_plan *p)
{
	bind_at(p, "/no/such/source", "/mnt");
}

/* Without file systems below it, with which it could not be bound alone. */
static const char *any_dir(void)
{
	return try_path(&top, "any");
}

static void target_under_file(struct dv_plan *p)
{
	bind_at(p, any_dir(), "/dev/null/below");
}

static void target_in_readonly(struct dv_plan *p)
{
	bind_at(p, any_dir(), "/usr/no-such-dir-here");
}

static void dir_on_file(struct dv_plan *p)
{
	bind_at(p, any_dir(), "/dev/null");
}

static void bad_option(struct dv_plan *p)
{
	dv_Mount *m = dv_plan_mount(p, dv_MOUNT_TMPFS, NULL, "/t", 0);

	m->options = dv_plan_strdup(p, "no_such_option=1");
}

static void bad_late_option(struct dv_plan *p)
{
	dv_Mount *m = dv_plan_mount(p, dv_MOUNT_SYSFS, NULL, "/p", 0);

	m->options = dv_plan_strdup(p, "no_such_option=1");
}

static void root_nowhere(struct dv_plan *p)
{
	p->msg.isolation.root.at = dv_plan_strdup(p, "/no/such/place");
}

static void set_root(struct dv_plan *p, dv_RootKind kind, const char *dir)
{
	p->msg.isolation.root.kind = kind;
	p->msg.isolation.root.dir = dv_plan_strdup(p, dir);
}

static void overlay_missing(struct dv_plan *p)
{
	set_root(p, dv_ROOT_OVERLAY, "/no/such/rootfs");
}

static void overlay_of_file(struct dv_plan *p)
{
	set_root(p, dv_ROOT_OVERLAY, "/etc/passwd");
}

static void overlay_impossible(struct dv_plan *p)
{
	set_root(p, dv_ROOT_OVERLAY, "/proc/self/fdinfo");
}

static void bind_missing(struct dv_plan *p)
{
	set_root(p, dv_ROOT_BIND, "/no/such/rootfs");
}

static void hostname_long(struct dv_plan *p)
{
	char name[80];

	memset(name, 'h', sizeof(name));
	name[65] = '\0';
	p->msg.isolation.hostname = dv_plan_strdup(p, name);
}

static void map_overlaps(struct dv_plan *p)
{
	p->msg.isolation.uid_map_count = 0;
	p->msg.isolation.uid_map = NULL;
	dv_plan_uid_map(p, 0, 0, 10);
	dv_plan_uid_map(p, 5, 20, 10);
}

static void cwd_missing(struct dv_plan *p)
{
	p->msg.process.cwd = dv_plan_strdup(p, "/etc");
}

static void not_found(struct dv_plan *p)
{
	p->msg.process.exe = dv_plan_strdup(p, "/sbin/no-such");
}

static void uid_unmapped(struct dv_plan *p)
{
	p->msg.process.has_ids = true;
	p->msg.process.ids.keep_groups = true;
	p->msg.process.ids.uid = 4711;
	p->msg.process.ids.gid = getegid();
}

static void gid_unmapped(struct dv_plan *p)
{
	uid_unmapped(p);
	p->msg.process.ids.uid = geteuid();
	p->msg.process.ids.gid = 4711;
}

static void no_pty(struct dv_plan *p)
{
	p->msg.process.terminal = true;
}

static void false_pty(struct dv_plan *p)
{
	bind_at(p, "/dev/null", "/dev/pts/ptmx");
	p->msg.process.terminal = true;
}

TEST(start_failing_step_is_named_and_nothing_is_left)
{
	static const struct {
		void (*spoil)(struct dv_plan *);
		int sys; /* 0 = depends on the kernel */
		enum dv_step step;
		const char *says;
	} rows[] = {
		{ source_missing, ENOENT, DV_STEP_MOUNT, "/no/such/source" },
		{ target_under_file, ENOTDIR, DV_STEP_MOUNT, "/dev/null/bel" },
		{ target_in_readonly, EROFS, DV_STEP_MOUNT, "no-such-dir" },
		{ dir_on_file, ENOTDIR, DV_STEP_MOUNT, "/dev/null" },
		{ bad_option, EINVAL, DV_STEP_MOUNT, "tmpfs" },
		{ bad_late_option, EINVAL, DV_STEP_MOUNT, "sysfs" },
		{ root_nowhere, ENOENT, DV_STEP_ROOT, "/no/such/place" },
		{ overlay_missing, ENOENT, DV_STEP_ROOT, "/no/such/rootfs" },
		{ overlay_of_file, ENOTDIR, DV_STEP_ROOT, "/etc/passwd" },
		{ overlay_impossible, 0, DV_STEP_ROOT, "overlay" },
		{ bind_missing, ENOENT, DV_STEP_ROOT, "/no/such/rootfs" },
		{ hostname_long, EINVAL, DV_STEP_PROCESS, "hostname" },
		{ map_overlaps, EINVAL, DV_STEP_IDMAP, "uid_map" },
		{ cwd_missing, ENOENT, DV_STEP_CWD, "/etc" },
		{ not_found, ENOENT, DV_STEP_LOOKUP, "/sbin/no-such" },
		{ uid_unmapped, EINVAL, DV_STEP_CREDS, "4711" },
		{ gid_unmapped, EINVAL, DV_STEP_CREDS, "4711" },
		{ no_pty, ENOENT, DV_STEP_PROCESS, "/dev/pts/ptmx" },
		{ false_pty, ENOTTY, DV_STEP_PROCESS, "not a terminal" },
	};

	need_root();
	open_top();
	for (size_t i = 0; i < DV_ARRAY_LEN(rows); i++) {
		struct dv_err err = DV_ERR_INIT;
		struct dv_ns sb;
		struct dv_proc proc;
		struct dv_plan plan;

		plan_sandbox(&plan, "exit 0");
		rows[i].spoil(&plan);
		int r = start(&sb, &proc, &plan, NULL, 0, &err);

		if (r == 0)
			end(&sb, &proc, &plan);
		if (!strstr(err.msg, rows[i].says))
			CHECK_STR(err.msg, rows[i].says);
		CHECK(r < 0);
		CHECK_EQ(r, -err.sys);
		if (rows[i].sys)
			CHECK_EQ(err.sys, rows[i].sys);
		CHECK_STR(dv_step_name(err.step), dv_step_name(rows[i].step));
		/* Nothing of the attempt is seen outside. */
		for (size_t k = 0; k < DV_ARRAY_LEN(places); k++)
			CHECK_EQ(rmdir(try_path(&top, places[k])), 0);
		try_dir_remove(&top);
		dv_plan_free(&plan);
		open_top();
	}
	try_dir_remove(&top);
}

/* ---- what holds what
 * ---------------------------------------------------------- */

TEST(init_and_command_hold_nothing_of_ours)
{
	struct dv_ns sb;
	struct dv_proc proc;
	struct dv_plan plan;
	struct stat st;
	char path[64];
	int open_here;

	need_namespaces();
	open_here = open("/dev/null", O_RDONLY | O_CLOEXEC);
	open_top();
	plan_sandbox(&plan, "exec sleep 1000");
	must_start(&sb, &proc, &plan, NULL, 0);
	try_expect_fds(sb.init_pid, "0"); /* the life line */
	dv_fmt(path, sizeof(path), "/proc/%d/fd/0", (int)sb.init_pid);
	CHECK_EQ(stat(path, &st), 0);
	CHECK(S_ISFIFO(st.st_mode));
	try_expect_fds(proc.pid, "0 1 2");
	dv_close(open_here);
	end(&sb, &proc, &plan);
	try_dir_remove(&top);
}

TEST(life_line_cut_ends_everything)
{
	struct dv_ns sb;
	struct dv_proc proc;
	struct dv_plan plan;

	need_namespaces();
	open_top();
	plan_sandbox(&plan, "sleep 1000 & sleep 1000");
	must_start(&sb, &proc, &plan, NULL, 0);
	sb.lifeline = dv_close(sb.lifeline);
	wait_gone(proc.pidfd);
	CHECK_EQ(try_reap(&proc), 128 + SIGKILL);
	wait_gone(sb.init_pidfd);
	end(&sb, &proc, &plan);
	try_dir_remove(&top);
}

TEST(init_killed_ends_everything)
{
	struct dv_ns sb;
	struct dv_proc proc;
	struct dv_plan plan;
	int pair[2];
	char byte;

	need_namespaces();
	open_top();
	plan_sandbox(&plan, "trap '' HUP TERM; setsid sleep 1000 & sleep 1000");
	dv_plan_fd(&plan, 0, 7); /* all of them have it */
	CHECK_EQ(dv_pipe(pair), 0);
	must_start(&sb, &proc, &plan, &pair[1], 1);
	pair[1] = dv_close(pair[1]);
	CHECK_EQ(kill(sb.init_pid, SIGKILL), 0);
	CHECK_EQ(dv_read(pair[0], &byte, 1), 0); /* nobody is left */
	wait_gone(proc.pidfd);
	end(&sb, &proc, &plan);
	dv_close(pair[0]);
	try_dir_remove(&top);
}

/* A process of the sandbox can send init what it likes. */
TEST(init_cannot_be_signalled_from_inside)
{
	struct dv_ns sb;
	struct dv_proc proc;
	struct dv_plan plan;

	need_namespaces();
	open_top();
	plan_sandbox(&plan, "kill -KILL 1; kill -TERM 1; kill -STOP 1; "
			    "kill -SEGV 1; exit 9");
	must_start(&sb, &proc, &plan, NULL, 0);
	CHECK_EQ(try_reap(&proc), 9);
	CHECK_EQ(kill(sb.init_pid, 0), 0);
	CHECK(!strchr("TtZX", try_status(sb.init_pid, "State")[0]));
	end(&sb, &proc, &plan);
	try_dir_remove(&top);
}

TEST(orphans_are_reaped_by_init)
{
	uint64_t until = try_deadline(20);
	struct dv_ns sb;
	struct dv_proc proc;
	struct dv_plan plan;
	char text[64], path[64];
	int pair[2];

	need_namespaces();
	open_top();
	plan_sandbox(&plan, "for i in 1 2 3 4 5 6 7 8; do (true & ); done; "
			    "echo made >&7; exec sleep 1000");
	dv_plan_fd(&plan, 0, 7);
	CHECK_EQ(dv_pipe(pair), 0);
	must_start(&sb, &proc, &plan, &pair[1], 1);
	/* Before that there is nothing to reap. */
	CHECK_EQ(dv_read(pair[0], text, sizeof(text)), 5);
	dv_fmt(path, sizeof(path), "task/%d/children", (int)sb.init_pid);
	do
		try_proc_file(sb.init_pid, path, text, sizeof(text));
	while (text[0] && try_again(until));
	CHECK_STR(text, "");
	end(&sb, &proc, &plan);
	dv_close(pair[0]);
	dv_close(pair[1]);
	try_dir_remove(&top);
}

TEST(second_process_joins_the_first)
{
	struct dv_ns sb;
	struct dv_proc first, second;
	struct dv_plan plan, other = DV_PLAN_INIT;
	char a[64], b[64], path[64];
	static const char *const ns[] = { "mnt", "pid", "net",
					  "ipc", "uts", "user" };

	need_namespaces();
	open_top();
	plan_sandbox(&plan, "exec sleep 1000");
	must_start(&sb, &first, &plan, NULL, 0);
	dv_plan_arg(&other, "/bin/sleep");
	dv_plan_arg(&other, "1000");
	CHECK_EQ(try_start(&second, &sb, &other.msg.process, NULL, 0, NULL), 0);
	for (size_t i = 0; i < DV_ARRAY_LEN(ns); i++) {
		dv_fmt(path, sizeof(path), "/proc/%d/ns/%s", (int)first.pid,
		       ns[i]);
		ssize_t n = readlink(path, a, sizeof(a));

		dv_fmt(path, sizeof(path), "/proc/%d/ns/%s", (int)second.pid,
		       ns[i]);
		CHECK_EQ(readlink(path, b, sizeof(b)), n);
		CHECK(memcmp(a, b, (size_t)n) == 0);
		dv_fmt(path, sizeof(path), "/proc/self/ns/%s", ns[i]);
		CHECK_EQ(readlink(path, b, sizeof(b)) > 0, 1);
		CHECK(memcmp(a, b, (size_t)n) != 0);
	}
	try_expect_fds(second.pid, "0 1 2");
	/* One that cannot be started takes nobody with it. */
	struct dv_proc bad;
	struct dv_err err = DV_ERR_INIT;

	other.msg.process.exe = dv_plan_strdup(&other, "/no/such");
	CHECK_EQ(try_start(&bad, &sb, &other.msg.process, NULL, 0, &err),
		 -ENOENT);
	CHECK_EQ(err.step, DV_STEP_LOOKUP);
	CHECK_EQ(kill(first.pid, 0), 0);
	dv_proc_free(&second);
	CHECK(try_status(first.pid, "State")[0] != 'Z');
	end(&sb, &first, &plan);
	dv_plan_free(&other);
	try_dir_remove(&top);
}

TEST(second_process_in_a_dying_sandbox_is_refused)
{
	struct dv_err err = DV_ERR_INIT;
	struct dv_ns sb;
	struct dv_proc first, second;
	struct dv_plan plan;

	need_namespaces();
	open_top();
	plan_sandbox(&plan, "exec sleep 1000");
	must_start(&sb, &first, &plan, NULL, 0);
	dv_ns_kill(&sb);
	wait_gone(first.pidfd);
	plan.msg.process.cwd = NULL;
	CHECK(try_start(&second, &sb, &plan.msg.process, NULL, 0, &err) < 0);
	CHECK(err.msg[0]);
	end(&sb, &first, &plan);
	try_dir_remove(&top);
}

TEST(killed_before_exec_is_said)
{
	struct dv_err err = DV_ERR_INIT;
	struct dv_cgroup cg;
	struct dv_ns sb;
	struct dv_proc proc;
	struct dv_plan plan;
	int full[2];

	need_root();
	open_top();
	try_closed_group(&cg, full);
	plan_sandbox(&plan, "exec sleep 1000");
	CHECK_EQ(dv_ns_start(&sb, &plan.msg.isolation, 0, &err), 0);
	CHECK_EQ(dv_proc_begin(&proc, &sb, &plan.msg.process, NULL, 0, &cg,
			       &err),
		 0);
	CHECK_EQ(kill(proc.pid, SIGKILL), 0);
	CHECK_EQ(dv_proc_finish(&proc, &sb, &err), -ECANCELED);
	CHECK(strstr(err.msg, "killed before"));
	end(&sb, &proc, &plan);
	dv_close(full[0]);
	dv_close(full[1]);
	try_dir_remove(&top);
}

/* A caller may wait for children of its own meanwhile. */
TEST(init_and_helper_send_no_signal)
{
	struct dv_ns sb;
	struct dv_proc proc;
	struct dv_plan plan;
	sigset_t chld, old, pending;

	need_namespaces();
	open_top();
	sigemptyset(&chld);
	sigaddset(&chld, SIGCHLD);
	sigprocmask(SIG_BLOCK, &chld, &old);
	plan_sandbox(&plan, "exec sleep 1000");
	must_start(&sb, &proc, &plan, NULL, 0);
	sigpending(&pending);
	CHECK_EQ(sigismember(&pending, SIGCHLD), 0);
	end(&sb, &proc, &plan);
	signal(SIGCHLD,
	       SIG_IGN); /* drops what the command's end made pending */
	signal(SIGCHLD, SIG_DFL);
	sigprocmask(SIG_SETMASK, &old, NULL);
	try_dir_remove(&top);
}

TEST(pid_namespace_alone_is_enough)
{
	struct dv_ns sb;
	struct dv_proc proc;
	struct dv_plan plan;

	need_root();
	open_top();
	plan_sandbox(&plan, "exit 5");
	plan.msg.isolation = (dv_Isolation){ .namespaces = dv_NS_PID };
	must_start(&sb, &proc, &plan, NULL, 0);
	CHECK_EQ(try_reap(&proc), 5);
	end(&sb, &proc, &plan);
	try_dir_remove(&top);
}

TEST(two_sandboxes_side_by_side_die_alone)
{
	struct dv_ns sb[2];
	struct dv_proc proc[2];
	struct dv_plan plan[2];

	need_namespaces();
	open_top();
	for (int i = 0; i < 2; i++) {
		plan_sandbox(&plan[i], "exec sleep 1000");
		must_start(&sb[i], &proc[i], &plan[i], NULL, 0);
	}
	/* The second holds no copy of the first one's life line. */
	sb[0].lifeline = dv_close(sb[0].lifeline);
	wait_gone(proc[0].pidfd);
	CHECK_EQ(kill(proc[1].pid, 0), 0);
	CHECK(try_status(proc[1].pid, "State")[0] != 'Z');
	for (int i = 0; i < 2; i++)
		end(&sb[i], &proc[i], &plan[i]);
	try_dir_remove(&top);
}

/*
 * Start init and stop it; false: it was done before, and knows no first process
 * that is born later. The caller's kill ends it then.
 */
static bool start_stopped(struct dv_ns *sb, const struct dv_plan *plan)
{
	struct dv_err err = DV_ERR_INIT;
	uint64_t until = try_deadline(20);

	CHECK_EQ(dv_ns_start(sb, &plan->msg.isolation, DV_NS_ONE, &err), 0);
	CHECK_EQ(kill(sb->init_pid, SIGSTOP), 0);
	while (try_status(sb->init_pid, "State")[0] != 'T')
		CHECK(try_again(until));
	return !atomic_load(&sb->ctl->ready);
}

/* The first process is born while init still has things to do. */
TEST(init_of_a_sandbox_for_one_ends_with_it)
{
	bool alone = false;

	need_root();
	open_top();
	for (int i = 0; i < 200 && !alone; i++) {
		struct dv_err err = DV_ERR_INIT;
		struct dv_proc proc = DV_PROC_INIT;
		struct dv_plan plan;
		struct dv_ns sb;

		plan_sandbox(&plan, "sleep 1000 & exit 6");
		alone = start_stopped(&sb, &plan);
		if (alone) {
			CHECK_EQ(dv_proc_begin(&proc, &sb, &plan.msg.process,
					       NULL, 0, NULL, &err),
				 0);
			CHECK_EQ(kill(sb.init_pid, SIGCONT), 0);
			CHECK_EQ(dv_proc_finish(&proc, &sb, &err), 0);
			CHECK_EQ(try_reap(&proc), 6);
			wait_gone(sb.init_pidfd);
		}
		end(&sb, &proc, &plan);
	}
	try_dir_remove(&top);
	CHECK(alone);
}

TEST(init_of_a_sandbox_for_many_outlives_the_first)
{
	struct dv_ns sb;
	struct dv_proc first, second;
	struct dv_plan plan;

	need_namespaces();
	open_top();
	plan_sandbox(&plan, "exit 6");
	must_start(&sb, &first, &plan, NULL, 0);
	CHECK_EQ(try_reap(&first), 6);
	CHECK_EQ(try_start(&second, &sb, &plan.msg.process, NULL, 0, NULL), 0);
	CHECK_EQ(try_reap(&second), 6);
	dv_proc_free(&second);
	end(&sb, &first, &plan);
	try_dir_remove(&top);
}

static uint64_t net_of(int sock)
{
	uint64_t cookie = 0;
	socklen_t len = sizeof(cookie);

	getsockopt(sock, SOL_SOCKET, SO_NETNS_COOKIE, &cookie, &len);
	return cookie;
}

TEST(socket_is_of_the_network_of_the_sandbox)
{
	uint64_t seen[2] = { 0 };
	int ours;

	need_namespaces();
	ours = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (net_of(ours) == 0) {
		dv_close(ours);
		SKIP("this kernel has no cookies of networks");
	}
	open_top();
	for (int shared = 0; shared < 2; shared++) {
		int dumpable = prctl(PR_GET_DUMPABLE);
		struct dv_err err = DV_ERR_INIT;
		struct dv_ns sb;
		struct dv_proc proc;
		struct dv_plan plan;
		int fd;

		plan_sandbox(&plan, "exec sleep 1000");
		if (shared) {
			plan.msg.isolation.namespaces &= ~(uint32_t)dv_NS_NET;
			plan.msg.isolation.loopback_up = false;
		}
		must_start(&sb, &proc, &plan, NULL, 0);
		fd = dv_ns_socket(&sb, AF_INET, SOCK_STREAM | SOCK_NONBLOCK,
				  &err);
		CHECK_STR(err.msg, "");
		CHECK(fd >= 0);
		seen[shared] = net_of(fd);
		CHECK(fcntl(fd, F_GETFD) & FD_CLOEXEC);
		CHECK(fcntl(fd, F_GETFL) & O_NONBLOCK);
		CHECK_EQ(prctl(PR_GET_DUMPABLE), dumpable);
		dv_close(fd);
		dv_ns_kill(&sb);
		wait_gone(proc.pidfd);
		end(&sb, &proc, &plan);
		CHECK_EQ(dv_ns_socket(&sb, AF_INET, SOCK_STREAM, &err), -ESRCH);
	}
	CHECK(seen[0] != net_of(ours));
	CHECK_EQ(seen[1], net_of(ours));
	dv_close(ours);
	try_dir_remove(&top);
}
