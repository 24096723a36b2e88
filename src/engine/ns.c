/* SPDX-License-Identifier: MIT */
/*
 * DOC: who does what, at the same time
 *
 *   keeper			init			first process
 *   clone3(NEW*) ------------> network namespace
 *   id maps			loopback, hostname
 *   state, groups		/proc, /sys, masks
 *   helper: setns, CLONE_PARENT ---------------------> mount: setns
 *							builds the root
 *				`ready` (EOF) ---------> the rest: setns
 *				holds the life line	enters the root
 *   exec or error <----------------------------------- credentials, exec
 *
 * The slow parts, the network namespace and the mounts, lie side by side. Who
 * dies half-way closes its pipe ends, so that nobody waits for it.
 */
#include "engine/ns.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <string.h>
#include <unistd.h>

#include "base/def.h"
#include "base/fd.h"
#include "base/fmt.h"
#include "engine/cpu.h"
#include "engine/idmap.h"
#include "engine/init.h"
#include "engine/sys.h"

static const struct {
	uint32_t ns;
	int flag;
} ns_flags[] = {
	{ dv_NS_USER, CLONE_NEWUSER }, { dv_NS_MOUNT, CLONE_NEWNS },
	{ dv_NS_PID, CLONE_NEWPID },   { dv_NS_IPC, CLONE_NEWIPC },
	{ dv_NS_UTS, CLONE_NEWUTS },   { dv_NS_NET, CLONE_NEWNET },
};

/* Namespaces that init is cloned into, or makes for itself. */
static int ns_flags_of(uint32_t namespaces)
{
	int flags = 0;

	for (size_t i = 0; i < DV_ARRAY_LEN(ns_flags); i++)
		if (namespaces & ns_flags[i].ns)
			flags |= ns_flags[i].flag;
	return flags;
}

/* The pipes between keeper and init; what is not handed on closes here. */
struct pipes {
	int lifeline[2], ready[2], err[2];
};

static int open_pipes(struct pipes *p)
{
	int r;

	memset(p, -1, sizeof(*p));
	r = dv_pipe(p->lifeline);
	if (r == 0)
		r = dv_pipe(p->ready);
	if (r == 0)
		r = dv_pipe(p->err);
	return r;
}

static void close_pair(int fds[2])
{
	fds[0] = dv_close(fds[0]);
	fds[1] = dv_close(fds[1]);
}

static void close_pipes(struct pipes *p)
{
	close_pair(p->lifeline);
	close_pair(p->ready);
	close_pair(p->err);
}

/* In the child: the keeper's ends first, or they would never report EOF. */
static _Noreturn void run_init(struct pipes *p, const dv_Isolation *iso,
			       struct dv_ctl *ctl, unsigned int how,
			       bool watch_parent)
{
	struct dv_init in = {
		.iso = iso,
		.ends_with_first = how & DV_NS_ONE,
		.lifeline = p->lifeline[0],
		.ready = p->ready[1],
		.err_fd = p->err[1],
		.watch_parent = watch_parent,
		.ctl = ctl,
	};

	dv_close(p->lifeline[1]);
	dv_close(p->ready[0]);
	dv_close(p->err[0]);
	dv_init_main(&in);
}

static int explain_clone(struct dv_err *err, int r)
{
	if (r == -ENOSPC || r == -EUSERS)
		dv_err_hint(err, "the limit in /proc/sys/user/max_*_namespaces "
				 "is reached");
	else if (r == -EPERM)
		dv_err_hint(err, "user namespaces are switched off for this "
				 "user; see `davit doctor`");
	else if (r == -ENOSYS)
		dv_err_hint(err, "clone3 needs Linux 5.3 and must not be "
				 "filtered");
	return dv_err_step(err, dv_err_sys(err, -r, "create namespaces"),
			   DV_STEP_SPAWN);
}

int dv_ns_start(struct dv_ns *sb, const dv_Isolation *iso, unsigned int how,
		struct dv_err *err)
{
	struct clone_args args = { .flags = CLONE_PIDFD };
	bool main_thread = gettid() == getpid();
	struct pipes p;
	sigset_t old;
	int r = open_pipes(&p);

	*sb = (struct dv_ns)DV_NS_INIT;
	sb->ns_flags = ns_flags_of(iso->namespaces);
	sb->wait = how & DV_NS_WAIT;
	sb->cgroup_ns = iso->namespaces & dv_NS_CGROUP;
	sb->unbuilt = iso->has_root ? iso : NULL;
	args.flags |= (uint64_t)(sb->ns_flags & ~CLONE_NEWNET);
	args.pidfd = (uintptr_t)&sb->init_pidfd;
	sb->ctl = dv_ctl_new(how & DV_NS_TIMING, true);
	if (r == 0 && !sb->ctl)
		r = -ENOMEM;
	if (r < 0) {
		close_pipes(&p);
		dv_ns_free(sb);
		return dv_err_step(err, dv_err_sys(err, -r, "prepare init"),
				   DV_STEP_SPAWN);
	}
	dv_sys_block_signals(&old);
	r = dv_sys_clone3(&args);
	if (r == 0)
		run_init(&p, iso, sb->ctl, how, main_thread);
	dv_sys_set_signals(&old);
	dv_ctl_mark(sb->ctl, "keeper: clone init");
	if (r > 0) {
		sb->init_pid = r;
		dv_cpu_elsewhere(r);
		sb->lifeline = dv_take_fd(&p.lifeline[1]);
		sb->ready = dv_take_fd(&p.ready[0]);
		sb->err_fd = dv_take_fd(&p.err[0]);
		r = dv_err_step(err, dv_idmap_write(sb->init_pid, iso, err),
				DV_STEP_IDMAP);
	} else {
		r = explain_clone(err, r);
	}
	close_pipes(&p);
	if (r < 0)
		dv_ns_free(sb);
	return r;
}

int dv_ns_resume(struct dv_ns *sb)
{
	sb->ctl = dv_ctl_new(false, true);
	if (!sb->ctl)
		return -ENOMEM;
	atomic_store(&sb->ctl->ready, 1);
	return 0;
}

int dv_ns_kill(struct dv_ns *sb)
{
	return sb->init_pid ? dv_sys_pidfd_signal(sb->init_pidfd, SIGKILL) : 0;
}

void dv_ns_reap(struct dv_ns *sb)
{
	siginfo_t info;

	if (!sb->init_pid)
		return;
	dv_sys_wait(sb->init_pidfd, 0, &info, NULL);
	sb->init_pid = 0;
}

void dv_ns_free(struct dv_ns *sb)
{
	dv_ns_kill(sb);
	dv_ns_reap(sb);
	dv_close(sb->init_pidfd);
	dv_close(sb->lifeline);
	dv_close(sb->ready);
	dv_close(sb->err_fd);
	dv_ctl_free(sb->ctl);
	*sb = (struct dv_ns)DV_NS_INIT;
}
