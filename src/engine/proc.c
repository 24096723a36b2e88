/* SPDX-License-Identifier: MIT */
/*
 * DOC: placing a process
 *
 * A plain child is one fork, or less, see clone_vm.h. A process of a sandbox
 * takes two: only a process that enters the user namespace first may enter the
 * others, and a pid namespace is entered by children alone. So a helper enters
 * these two by init's pidfd and forks the process with CLONE_PARENT, which
 * makes it the keeper's direct child. The helper lives for these two system
 * calls only, and like a vfork() it borrows the keeper's memory, while the
 * keeper waits; its exit signal is 0, so that it does not disturb a caller that
 * waits for children of its own. The process itself then enters the other
 * namespaces; the first one builds the root on its way.
 *
 * With a keeper that has nothing else to do (DV_NS_WAIT), that first one
 * borrows the keeper's memory, too, until it executes the command: nobody else
 * is in the sandbox who could reach that memory through it. The keeper has
 * nothing to do meanwhile, and does nothing: it waits for the end of the error
 * pipe, which is closed after the memory was given back, by an exec as by an
 * exit. Every later process is a fork.
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
#include "engine/clone_vm.h"
#include "engine/cpu.h"
#include "engine/mounts.h"
#include "engine/ns.h"
#include "engine/plan.h"
#include "engine/seccomp.h"
#include "engine/sys.h"

/* What the children need of the call; on the keeper's stack. */
struct placing {
	struct dv_launch launch;
	struct dv_ns *sb;
	const struct dv_cgroup *cg;
	int err[2], tty[2];
	cpu_set_t cpus; /* where the process may run; empty: everywhere */
	bool join_v2;   /* it was not cloned into its v2 group */
	char *stack;    /* of a process that borrows our memory; else NULL */
	bool late;      /* it had to be killed: not executed in time */
};

enum {
	/* The namespaces that the helper enters; the process enters the rest.
	 */
	HELPER_NS = CLONE_NEWUSER | CLONE_NEWPID,
	HELPER_STACK = 16384, /* for two system calls and a report */
	/* A mount of a dead network file system can hang; a start must not. */
	BORROW_MS = 60000,
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
static void wait_ready(struct dv_ns *sb)
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

/* v1 groups are joined by writing; what is executed afterwards is in them. */
static void join_groups(struct placing *pl)
{
	int r = 0;

	if (pl->join_v2)
		r = dv_write_file(pl->cg->v2_fd, "cgroup.procs", "0", 1);
	if (r < 0)
		fail(pl, DV_STEP_CGROUP, -r, "join control group");
	for (int i = 0; pl->cg && i < pl->cg->n_procs; i++)
		if (dv_write(pl->cg->procs_fd[i], "0", 1) < 0)
			fail(pl, DV_STEP_CGROUP, errno, "join control group");
}

/* An init that is gone has said why, or was killed: end without a word. */
static void enter_ns(struct placing *pl, int flags)
{
	if (!flags || setns(pl->sb->init_pidfd, flags) == 0)
		return;
	if (errno == ESRCH)
		dv_child_end(0);
	else
		fail(pl, DV_STEP_SPAWN, errno, "enter the namespaces");
}

/*
 * Into the rest of the namespaces. The first process builds the root as soon as
 * it is in the mount namespace, while init still makes the network.
 */
static void enter(struct placing *pl)
{
	struct dv_ns *sb = pl->sb;
	struct dv_ctl *ctl = pl->launch.ctl;
	int left = sb->ns_flags & ~HELPER_NS;
	struct dv_err err = DV_ERR_INIT;

	if (sb->unbuilt) {
		enter_ns(pl, left & CLONE_NEWNS);
		left &= ~CLONE_NEWNS;
		dv_ctl_mark(ctl, "main: enter mount namespace");
		if (dv_mounts_build(sb->unbuilt, ctl, &err) < 0)
			dv_child_fail(pl->launch.err_fd, &err);
	}
	wait_ready(sb);
	dv_ctl_mark(ctl, "main: wait for init");
	enter_ns(pl, left);
	dv_ctl_mark(ctl, "main: enter namespaces");
	if (sb->unbuilt && dv_mounts_enter(sb->unbuilt, ctl, &err) < 0)
		dv_child_fail(pl->launch.err_fd, &err);
}

static _Noreturn void run_child(struct placing *pl)
{
	dv_ctl_mark(pl->launch.ctl, "main: start");
	/* First of all: while we hold the life line, nobody sees it end. */
	if (pl->sb) {
		dv_close(pl->sb->lifeline);
		dv_close(pl->sb->err_fd);
	}
	dv_close(pl->err[0]);
	dv_close(pl->tty[0]);
	dv_child_reset_signals();
	dv_cpu_restore(&pl->cpus);
	if (pl->sb)
		enter(pl);
	join_groups(pl);
	own_cgroup_view(pl);
	dv_child_exec(&pl->launch);
}

static void run_child_fn(void *arg)
{
	run_child(arg);
}

static void into_group(struct clone_args *args, const struct dv_cgroup *cg)
{
	if (!cg || cg->v2_fd < 0)
		return;
	args->flags |= CLONE_INTO_CGROUP;
	args->cgroup = (uint64_t)cg->v2_fd;
}

/* Unseen by workloads; CAP_SYS_PTRACE inside traces what is born dumpable. */
static void prepare_birth(struct placing *pl)
{
	const dv_Process *p = pl->launch.process;
	struct dv_err err = DV_ERR_INIT;

	if (p->has_oom_score_adj &&
	    dv_child_oom_score(p->oom_score_adj, &err) < 0) {
		dv_err_step(&err, -err.sys, DV_STEP_PROCESS);
		dv_child_fail(pl->launch.err_fd, &err);
	}
	pl->launch.scored = true;
	prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
}

/*
 * The helper: in the keeper's memory, on a stack of its own. What it returns is
 * its exit status, and nobody looks at it.
 */
static int place(void *arg)
{
	struct placing *pl = arg;
	struct clone_args args = {
		.flags = CLONE_PARENT | CLONE_PARENT_SETTID,
		/* Whatever happens to us, the keeper knows its child. */
		.parent_tid = (uintptr_t)&pl->launch.ctl->pid,
	};
	pid_t pid;

	prepare_birth(pl);
	enter_ns(pl, pl->sb->ns_flags & HELPER_NS);
	into_group(&args, pl->cg);
	if (pl->stack)
		pid = dv_clone_vm(&args, run_child_fn, pl, pl->stack);
	else
		pid = dv_sys_clone3(&args);
	if (pid == 0)
		run_child(pl);
	if (pid < 0)
		fail(pl, DV_STEP_SPAWN, -pid, "fork");
	return 0;
}

/* A page is 15 us, which one that borrows our memory can do without. */
static int take_ctl(struct placing *pl, struct dv_proc *proc, bool forked)
{
	dv_ctl_free(proc->ctl); /* of another attempt */
	proc->own_ctl = true;
	proc->ctl = pl->launch.ctl = dv_ctl_new(false, forked);
	return proc->ctl ? 0 : -ENOMEM;
}

static int prepare(struct placing *pl, struct dv_proc *proc,
		   const dv_Process *p)
{
	struct dv_launch *l = &pl->launch;

	/* The first process shares init's page: one time line. */
	if (pl->sb && pl->sb->ready >= 0)
		l->ctl = proc->ctl = pl->sb->ctl;
	else if (pl->sb && take_ctl(pl, proc, true) < 0)
		return -ENOMEM;
	l->process = p;
	l->path = dv_process_getenv(p, "PATH");
	l->native_only = p->seccomp && dv_seccomp_is_default(p->seccomp->bytes,
							     p->seccomp->size);
	l->argv = vector(p->argv, p->argv_count);
	l->envp = vector(p->env, p->env_count);
	if (!l->argv || !l->envp)
		return -ENOMEM;
	if (p->terminal &&
	    socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pl->tty) < 0)
		return -errno;
	l->sock = pl->tty[1];
	int r = dv_pipe(pl->err);
	l->err_fd = pl->err[1];
	return r;
}

/*
 * May the child borrow our memory? Not when it becomes somebody else on the
 * way: that user could stop it, and with it us, and the memory would not be
 * dumpable afterwards.
 */
static bool may_borrow(const dv_Process *p)
{
	return DV_CLONE_VM && !p->has_ids && !p->has_caps &&
	       !p->has_oom_score_adj && !p->has_landlock;
}

/*
 * Where clone3() is filtered (its flags cannot be looked at), clone() is not:
 * everything but the group can be had from it, and that is joined by writing.
 */
static pid_t clone_old(struct placing *pl, struct dv_proc *proc)
{
	pid_t pid;

	pl->join_v2 = pl->cg && pl->cg->v2_fd >= 0;
	pid = (pid_t)syscall(SYS_clone, CLONE_PIDFD, NULL, &proc->pidfd, NULL,
			     NULL);
	return pid < 0 ? -errno : pid;
}

static int fork_plain(struct placing *pl, struct dv_proc *proc)
{
	struct clone_args args = {
		.flags = CLONE_PIDFD,
		.pidfd = (uintptr_t)&proc->pidfd,
	};
	dv_autofree char *stack = NULL;
	pid_t pid;

	into_group(&args, pl->cg);
	if (may_borrow(pl->launch.process))
		stack = malloc(DV_CLONE_VM_STACK);
	pid = take_ctl(pl, proc, !stack);
	if (pid < 0)
		return pid;
	args.flags |= stack ? CLONE_VFORK : 0;
	if (stack)
		pid = dv_clone_vm(&args, run_child_fn, pl, stack);
	else
		pid = dv_sys_clone3(&args);
	if (pid == -ENOSYS || pid == -EPERM)
		pid = take_ctl(pl, proc, true) < 0 ? -ENOMEM
						   : clone_old(pl, proc);
	if (pid == 0)
		run_child(pl);
	proc->pid = pid > 0 ? pid : 0;
	return pid < 0 ? pid : 0;
}

/* The address sanitizer follows one stack per memory: it gets a plain fork. */
#ifdef __SANITIZE_ADDRESS__
static pid_t clone_helper(struct placing *pl, char *stack, int *pidfd)
{
	struct clone_args args = {
		.flags = CLONE_PIDFD,
		.pidfd = (uintptr_t)pidfd,
	};
	pid_t pid = dv_sys_clone3(&args);

	(void)stack;
	if (pid == 0)
		dv_child_end(place(pl));
	return pid;
}
#else
static pid_t clone_helper(struct placing *pl, char *stack, int *pidfd)
{
	pid_t pid = clone(place, stack + HELPER_STACK,
			  CLONE_VM | CLONE_VFORK | CLONE_PIDFD, pl, pidfd);

	return pid < 0 ? -errno : pid;
}
#endif

/*
 * Until the process has given our memory back. It shares our errno, so nothing
 * is called that touches it: no wrapper that may fail or preserves it.
 */
static void wait_for_memory(struct placing *pl)
{
	struct pollfd end = { pl->err[0], 0, 0 };
	struct timespec left = { BORROW_MS / 1000, 0 };
	pid_t pid;

	close(pl->err[1]); /* ours: the process has its own */
	pl->err[1] = -1;
	while (!(end.revents & POLLHUP)) {
		if (syscall(SYS_ppoll, &end, 1, pl->late ? NULL : &left, NULL,
			    0) != 0)
			continue;
		pl->late = true;
		pid = atomic_load(&pl->launch.ctl->pid);
		if (pid)
			syscall(SYS_kill, pid, SIGKILL);
	}
}

/*
 * The helper makes the memory not dumpable, and for a moment it is ours:
 * afterwards an ordinary user's own /proc files must be theirs again.
 */
static int fork_placed(struct placing *pl)
{
	bool borrow = DV_CLONE_VM && pl->sb->wait && pl->sb->ready >= 0;
	dv_autofree char *stack =
		malloc(HELPER_STACK + (borrow ? DV_CLONE_VM_STACK : 0));
	int dumpable = prctl(PR_GET_DUMPABLE, 0, 0, 0, 0), pidfd = -1;
	siginfo_t info;
	pid_t pid;

	if (!stack)
		return -ENOMEM;
	pl->stack = borrow ? stack + HELPER_STACK : NULL;
	/* We wait for the helper: nowhere does it start sooner than here. */
	dv_cpu_stay(&pl->cpus);
	pid = clone_helper(pl, stack, &pidfd);
	dv_cpu_restore(&pl->cpus);
	if (borrow && pid >= 0)
		wait_for_memory(pl);
	if (pid < 0)
		return pid;
	if (dumpable == 1)
		prctl(PR_SET_DUMPABLE, 1, 0, 0, 0);
	dv_sys_wait(pidfd, 0, &info, NULL);
	dv_close(pidfd);
	return 0;
}

/*
 * The grandchild is ours to wait for: its pid cannot be reused meanwhile. One
 * that we cannot hold must go, or init would wait for its zombie for ever.
 */
static int adopt(struct dv_proc *proc)
{
	pid_t pid = atomic_load(&proc->ctl->pid);
	siginfo_t info;

	if (!pid)
		return 0; /* it was not forked; the report says why */
	proc->pidfd = dv_sys_pidfd_open(pid);
	if (proc->pidfd >= 0) {
		proc->pid = pid;
		return 0;
	}
	int r = proc->pidfd;
	proc->pidfd = -1;
	kill(pid, SIGKILL);
	while (waitid(P_PID, (id_t)pid, &info, WEXITED | __WALL) < 0 &&
	       errno == EINTR)
		;
	return r;
}

static int fork_first(struct placing *pl, struct dv_proc *proc)
{
	sigset_t old;
	int r;

	dv_sys_block_signals(&old);
	r = pl->sb ? fork_placed(pl) : fork_plain(pl, proc);
	dv_sys_set_signals(&old);
	return r == 0 && pl->sb ? adopt(proc) : r;
}

static int explain_late(struct dv_err *err)
{
	dv_err_hint(err, "a file system that does not answer?");
	return dv_err_set(err, ETIMEDOUT, DV_DEADLINE,
			  "not started within %d s", BORROW_MS / 1000);
}

int dv_proc_begin(struct dv_proc *proc, struct dv_ns *sb, const dv_Process *p,
		  const int *fds, size_t n_fds, const struct dv_cgroup *cg,
		  struct dv_err *err)
{
	struct placing pl = {
		.launch = { .fds = fds,
			    .n_fds = n_fds,
			    .sock = -1,
			    .parent = sb ? 0 : getpid() },
		.sb = sb,
		.cg = cg,
		.err = { -1, -1 },
		.tty = { -1, -1 },
	};
	int r;

	*proc = (struct dv_proc)DV_PROC_INIT;
	r = prepare(&pl, proc, p);
	if (r == 0)
		r = fork_first(&pl, proc);
	free(pl.launch.argv);
	free(pl.launch.envp);
	dv_close(pl.err[1]);
	dv_close(pl.tty[1]);
	proc->err_fd = pl.err[0];
	proc->tty_sock = pl.tty[0];
	if (r == 0 && !pl.late)
		return 0;
	dv_proc_free(proc);
	r = pl.late ? explain_late(err) : dv_err_sys(err, -r, "start process");
	return dv_err_step(err, r, DV_STEP_SPAWN);
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
	int fd = proc->tty_sock < 0 ? -1 : dv_recv_fd(proc->tty_sock);

	proc->tty = fd < 0 ? -1 : fd;
	proc->tty_sock = dv_close(proc->tty_sock);
}

/* The page is of use only until the exec; init's goes with the sandbox. */
static void drop_ctl(struct dv_proc *proc)
{
	if (proc->own_ctl)
		dv_ctl_free(proc->ctl);
	proc->ctl = NULL;
	proc->own_ctl = false;
}

/*
 * Without init nobody enters its namespaces (ESRCH), and nothing is born in
 * them (ENOMEM). If it went, why is what it said; false: it was killed.
 */
static bool ask_init(struct dv_ns *sb, struct dv_err *report)
{
	struct dv_err why = DV_ERR_INIT;

	if ((report->sys != ESRCH && report->sys != ENOMEM) ||
	    atomic_load(&sb->ctl->ready))
		return true;
	if (read_report(sb->err_fd, &why)) {
		*report = why;
		return true;
	}
	/* It is complete by now: then the failure is our own. */
	return atomic_load(&sb->ctl->ready);
}

int dv_proc_finish(struct dv_proc *proc, struct dv_ns *sb, struct dv_err *err)
{
	struct dv_err report = DV_ERR_INIT;
	bool reported = read_report(proc->err_fd, &report);
	int r = 0;

	proc->err_fd = dv_close(proc->err_fd);
	if (reported && sb)
		reported = ask_init(sb, &report);
	if (reported) /* NOLINTNEXTLINE(bugprone-branch-clone): not the same */
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
	int r = proc->pid ? dv_sys_wait(proc->pidfd, WNOHANG, info, usage)
			  : -ECHILD;

	if (r == 0)
		proc->pid = 0;
	return r;
}

void dv_proc_free(struct dv_proc *proc)
{
	siginfo_t info;

	if (proc->pid) {
		dv_sys_pidfd_signal(proc->pidfd, SIGKILL);
		dv_sys_wait(proc->pidfd, 0, &info, NULL);
	}
	dv_close(proc->pidfd);
	dv_close(proc->tty);
	dv_close(proc->err_fd);
	dv_close(proc->tty_sock);
	drop_ctl(proc);
	*proc = (struct dv_proc)DV_PROC_INIT;
}
