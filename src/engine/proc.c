/* SPDX-License-Identifier: MIT */
/*
 * DOC: placing a process
 *
 * A plain child is one fork. A process of a sandbox takes two: a helper enters
 * the namespaces of init by its pidfd (only a process that enters the user
 * namespace first may enter the others, and a pid namespace is entered by
 * children alone), and forks the process with CLONE_PARENT, which makes it the
 * keeper's direct child. The helper's exit signal is 0, so that it does not
 * disturb a caller that waits for children of its own; the process gets the
 * usual one, SIGCHLD, by its exec.
 */
#include <errno.h>
#include <poll.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/def.h"
#include "base/fd.h"
#include "engine/child.h"
#include "engine/join.h"
#include "engine/mounts.h"
#include "engine/sandbox.h"
#include "engine/sys.h"

#define DEFAULT_PATH \
	"/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

/* What the children need of the call; on the keeper's stack. */
struct placing {
	struct dv_launch launch;
	struct dv_sandbox *sb;
	struct dv_joined groups;
	int err[2], sock[2];
};

/* A NULL-terminated copy of the list; the strings are borrowed. */
static char **vector(char *const *list, pb_size_t n)
{
	char **v = malloc(((size_t)n + 1) * sizeof(*v));

	if (!v)
		return NULL;
	if (n)
		memcpy(v, list, n * sizeof(*v));
	v[n] = NULL;
	return v;
}

static const char *path_of(const dv_Process *p)
{
	for (pb_size_t i = 0; i < p->env_count; i++)
		if (strncmp(p->env[i], "PATH=", 5) == 0)
			return p->env[i] + 5;
	return DEFAULT_PATH;
}

static _Noreturn void fail(struct placing *pl, enum dv_step step, int e,
			   const char *what)
{
	struct dv_err err = DV_ERR_INIT;

	dv_err_step(&err, dv_err_sys(&err, e, "%s", what), step);
	dv_child_fail(pl->launch.err_fd, &err);
}

/*
 * Wait until the isolation is complete. If it never will be, init has said why
 * (or was killed): end without a word.
 */
static void wait_ready(struct dv_sandbox *sb)
{
	char byte;

	if (sb->ready < 0)
		return;
	while (dv_read(sb->ready, &byte, 1) > 0)
		;
	if (!atomic_load(&sb->ctl->ready))
		dv_child_end(0);
}

/* A cgroup namespace hides what is above the group one is in at that moment. */
static void own_cgroup_view(struct placing *pl)
{
	if (pl->sb && pl->sb->cgroup_ns && unshare(CLONE_NEWCGROUP) < 0)
		fail(pl, DV_STEP_SPAWN, errno, "create a cgroup namespace");
}

static _Noreturn void run_child(struct placing *pl)
{
	struct dv_err err = DV_ERR_INIT;

	int r;

	dv_ctl_mark(pl->launch.ctl, "main: start");
	dv_close(pl->err[0]);
	dv_close(pl->sock[0]);
	r = dv_join_enter(&pl->groups);
	if (r < 0)
		fail(pl, DV_STEP_CGROUP, -r, "join control group");
	own_cgroup_view(pl);
	dv_ctl_mark(pl->launch.ctl, "main: control groups");
	if (pl->sb && pl->sb->unbuilt &&
	    dv_mounts_enter(pl->sb->unbuilt, pl->launch.ctl, &err) < 0)
		dv_child_fail(pl->launch.err_fd, &err);
	dv_child_exec(&pl->launch);
}

/*
 * Into the namespaces of init. The first process builds the root as soon as it
 * is in the user and mount namespaces, while init still makes the network.
 */
static void enter(struct placing *pl)
{
	struct dv_sandbox *sb = pl->sb;
	int first = CLONE_NEWUSER | CLONE_NEWNS, left = sb->ns_flags;
	struct dv_err err = DV_ERR_INIT;

	if (sb->unbuilt) {
		if (setns(sb->init_pidfd, left & first) < 0)
			fail(pl, DV_STEP_SPAWN, errno, "enter the namespaces");
		left &= ~first;
		dv_ctl_mark(pl->launch.ctl, "helper: enter mount namespace");
		if (dv_mounts_build(sb->unbuilt, pl->launch.ctl, &err) < 0)
			dv_child_fail(pl->launch.err_fd, &err);
	}
	wait_ready(sb);
	dv_ctl_mark(pl->launch.ctl, "helper: wait for init");
	if (setns(sb->init_pidfd, left) < 0)
		fail(pl, DV_STEP_SPAWN, errno, "enter the namespaces");
	dv_ctl_mark(pl->launch.ctl, "helper: enter namespaces");
}

/* The keeper makes the groups meanwhile; without them there is no process. */
static void receive_groups(struct placing *pl)
{
	if (dv_join_receive(pl->sock[1], pl->launch.ctl, &pl->groups) < 0)
		dv_child_end(0);
}

static _Noreturn void run_helper(struct placing *pl)
{
	struct dv_sandbox *sb = pl->sb;
	struct clone_args args = { .flags = CLONE_PARENT };
	pid_t pid;

	/* First of all: while we hold the life line, nobody sees it end. */
	dv_close(sb->lifeline);
	dv_close(sb->err_fd);
	dv_close(pl->err[0]);
	dv_close(pl->sock[0]);
	/* Nobody inside may trace what comes from outside. */
	prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
	dv_child_reset_signals();
	dv_ctl_mark(pl->launch.ctl, "helper: start");
	enter(pl);
	receive_groups(pl);
	dv_ctl_mark(pl->launch.ctl, "helper: receive groups");
	if (pl->groups.v2_fd >= 0) {
		args.flags |= CLONE_INTO_CGROUP;
		args.cgroup = (uint64_t)pl->groups.v2_fd;
	}
	pid = dv_sys_clone3(&args);
	if (pid < 0)
		fail(pl, DV_STEP_SPAWN, -pid, "fork");
	if (pid == 0)
		run_child(pl);
	atomic_store(&pl->launch.ctl->pid, pid);
	dv_child_end(0);
}

static int prepare(struct placing *pl, struct dv_proc *proc,
		   const dv_Process *p)
{
	struct dv_launch *l = &pl->launch;

	if (!proc->ctl)
		return -ENOMEM;
	l->ctl = proc->ctl;
	l->process = p;
	l->path = path_of(p);
	l->argv = vector(p->argv, p->argv_count);
	l->envp = vector(p->env, p->env_count);
	if (!l->argv || !l->envp)
		return -ENOMEM;
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pl->sock) < 0)
		return -errno;
	l->sock = pl->sock[1];
	int r = dv_pipe(pl->err);
	l->err_fd = pl->err[1];
	return r;
}

static int fork_first(struct placing *pl, struct dv_proc *proc)
{
	struct clone_args args = { .flags = CLONE_PIDFD };
	int pidfd = -1;
	sigset_t old;
	pid_t pid;

	args.pidfd = (uintptr_t)&pidfd;
	dv_sys_block_signals(&old);
	pid = dv_sys_clone3(&args);
	if (pid == 0) {
		if (pl->sb)
			run_helper(pl);
		dv_child_reset_signals();
		receive_groups(pl);
		run_child(pl);
	}
	dv_sys_set_signals(&old);
	if (pid < 0)
		return pid;
	if (pl->sb) {
		proc->helper_pid = pid;
		proc->helper_pidfd = pidfd;
	} else {
		proc->pid = pid;
		proc->pidfd = pidfd;
	}
	return 0;
}

int dv_proc_begin(struct dv_proc *proc, struct dv_sandbox *sb,
		  const dv_Process *p, const int *fds, size_t n_fds,
		  struct dv_err *err)
{
	struct placing pl = {
		.launch = { .fds = fds, .n_fds = n_fds, .sock = -1 },
		.sb = sb,
		.groups = DV_JOINED_INIT,
		.err = { -1, -1 },
		.sock = { -1, -1 },
	};
	int r;

	*proc = (struct dv_proc)DV_PROC_INIT;
	/* The first process shares init's page: one time line. */
	proc->own_ctl = !(sb && sb->ready >= 0);
	proc->ctl = proc->own_ctl ? dv_ctl_new(false) : sb->ctl;
	r = prepare(&pl, proc, p);
	if (r == 0)
		r = fork_first(&pl, proc);
	free(pl.launch.argv);
	free(pl.launch.envp);
	dv_close(pl.err[1]);
	dv_close(pl.sock[1]);
	proc->err_fd = pl.err[0];
	proc->sock = pl.sock[0];
	proc->terminal = p->terminal;
	if (r < 0) {
		dv_proc_free(proc);
		return dv_err_step(err, dv_err_sys(err, -r, "start process"),
				   DV_STEP_SPAWN);
	}
	return 0;
}

int dv_proc_join(struct dv_proc *proc, const struct dv_cgroup *cg,
		 struct dv_err *err)
{
	int r = dv_join_send(proc->sock, proc->ctl, cg);

	/* A child that has failed already does not listen; it has said why. */
	if (r < 0 && r != -EPIPE && r != -ECONNRESET)
		return dv_err_step(err, dv_err_sys(err, -r, "hand over groups"),
				   DV_STEP_CGROUP);
	return 0;
}

static void reap_helper(struct dv_proc *proc)
{
	siginfo_t info;

	if (!proc->helper_pid)
		return;
	dv_sys_wait(proc->helper_pidfd, 0, &info, NULL);
	proc->helper_pidfd = dv_close(proc->helper_pidfd);
	proc->helper_pid = 0;
}

/* The grandchild is ours to wait for: its pid cannot be reused meanwhile. */
static void adopt(struct dv_proc *proc)
{
	pid_t pid = atomic_load(&proc->ctl->pid);

	if (proc->pid || !pid)
		return;
	int pidfd = dv_sys_pidfd_open(pid);
	if (pidfd < 0)
		return;
	proc->pid = pid;
	proc->pidfd = pidfd;
}

/* A report is one write of a whole struct, or nothing. */
static bool read_report(int fd, struct dv_err *out)
{
	struct dv_err e;

	if (fd < 0 || dv_read_full(fd, &e, sizeof(e)) != sizeof(e))
		return false;
	e.msg[sizeof(e.msg) - 1] = e.hint[sizeof(e.hint) - 1] = '\0';
	if (out)
		*out = e;
	return true;
}

static int failed(struct dv_err *err, const struct dv_err *report)
{
	if (err)
		*err = *report;
	return report->sys > 0 ? -report->sys : -EIO;
}

/* No report and no exec: somebody killed it. */
static int died(struct dv_proc *proc, struct dv_err *err)
{
	dv_err_hint(err, "out of memory, or killed from outside");
	return dv_err_step(err,
			   dv_err_set(err, ECANCELED, DV_ABORTED,
				      "killed before the command was executed"),
			   proc->pid ? DV_STEP_PROCESS : DV_STEP_ROOT);
}

static void take_tty(struct dv_proc *proc)
{
	int fd = proc->terminal ? dv_recv_fd(proc->sock) : -1;

	proc->tty = fd < 0 ? -1 : fd;
	proc->sock = dv_close(proc->sock);
}

/* The page is of use only until the exec; init's goes with the sandbox. */
static void drop_ctl(struct dv_proc *proc)
{
	if (proc->own_ctl)
		dv_ctl_free(proc->ctl);
	proc->ctl = NULL;
	proc->own_ctl = false;
}

int dv_proc_finish(struct dv_proc *proc, struct dv_sandbox *sb,
		   struct dv_err *err)
{
	struct dv_err report = DV_ERR_INIT;
	bool reported = read_report(proc->err_fd, &report);
	int r = 0;

	proc->err_fd = dv_close(proc->err_fd);
	reap_helper(proc);
	adopt(proc);
	if (reported)
		r = failed(err, &report);
	else if (sb && !atomic_load(&sb->ctl->ready) &&
		 read_report(sb->err_fd, &report))
		r = failed(err, &report);
	else if (!proc->pid || !atomic_load(&proc->ctl->executing))
		r = died(proc, err);
	if (r < 0) {
		dv_proc_free(proc);
		return r;
	}
	take_tty(proc);
	if (sb) {
		sb->unbuilt = NULL;
		sb->ready = dv_close(sb->ready);
		sb->err_fd = dv_close(sb->err_fd);
	}
	dv_ctl_mark(proc->ctl, "exec");
	drop_ctl(proc);
	return 0;
}

int dv_proc_reap(struct dv_proc *proc, siginfo_t *info, struct rusage *usage)
{
	int r = proc->pid ? dv_sys_wait(proc->pidfd, WNOHANG, info, usage) :
			    -ECHILD;

	if (r == 0)
		proc->pid = 0;
	return r;
}

void dv_proc_free(struct dv_proc *proc)
{
	siginfo_t info;

	if (proc->helper_pid)
		dv_sys_pidfd_signal(proc->helper_pidfd, SIGKILL);
	reap_helper(proc);
	if (proc->ctl)
		adopt(proc);
	if (proc->pid) {
		dv_sys_pidfd_signal(proc->pidfd, SIGKILL);
		dv_sys_wait(proc->pidfd, 0, &info, NULL);
	}
	dv_close(proc->pidfd);
	dv_close(proc->tty);
	dv_close(proc->err_fd);
	dv_close(proc->sock);
	drop_ctl(proc);
	*proc = (struct dv_proc)DV_PROC_INIT;
}
