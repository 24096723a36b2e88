/* SPDX-License-Identifier: MIT */
/*
 * DOC: whose child is it?
 *
 * As PID 1, or as the subreaper that we are on a host, we inherit every orphan
 * of the workload. Processes that we started have a pidfd and an owner who
 * waits for them; all others are reaped here. waitid(P_ALL) shows one exited
 * child at a time, and the same one until it is reaped: when that is one with
 * an owner, its pidfd is readable by now, its owner reaps it in this very batch
 * of the loop, and we look again after it.
 */
#include <errno.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include "agent/agent.h"
#include "agent/worker.h"
#include "base/def.h"
#include "base/fd.h"

/* Orphans reaped in a row. */
enum { TURN = 64 };

static bool has_owner(struct dv_agent *a, pid_t pid)
{
	return dv_procs_owns(a->procs, pid) || dv_worker_owns(pid) ||
	       pid == a->restart_trial.pid;
}

static void on_again(struct dv_defer *defer);

static void reap_orphans(struct dv_agent *a)
{
	for (int i = 0; i < TURN; i++) {
		siginfo_t info = { 0 };

		if (waitid(P_ALL, 0, &info,
			   WEXITED | WNOHANG | WNOWAIT | __WALL) < 0 ||
		    !info.si_pid)
			return;
		if (has_owner(a, info.si_pid))
			break;
		waitid(P_PID, (id_t)info.si_pid, &info, WEXITED | __WALL);
		dv_log(&a->log, DV_LOG_DEBUG, "reaped an orphan pid=%d",
		       (int)info.si_pid);
	}
	dv_defer_add(a->loop, &a->again, on_again);
}

static void on_again(struct dv_defer *defer)
{
	reap_orphans(dv_container_of(defer, struct dv_agent, again));
}

static void on_signal(struct dv_src *src, uint32_t events)
{
	struct dv_agent *a = dv_container_of(src, struct dv_agent, signals);
	struct signalfd_siginfo info;

	(void)events;
	while (dv_read(src->fd, &info, sizeof(info)) == sizeof(info)) {
		if (info.ssi_signo == SIGCHLD)
			continue;
		dv_log(&a->log, DV_LOG_INFO, "ending signal=%u",
		       info.ssi_signo);
		a->over = true;
	}
	reap_orphans(a);
}

int dv_reaper_open(struct dv_agent *a, struct dv_err *err)
{
	sigset_t set;
	int fd, r;

	signal(SIGPIPE, SIG_IGN);
	sigemptyset(&set);
	sigaddset(&set, SIGCHLD);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigprocmask(SIG_BLOCK, &set, NULL);
	prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0);
	fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	if (fd < 0)
		return dv_err_sys(err, errno, "wait for signals");
	r = dv_src_add(a->loop, &a->signals, fd, EPOLLIN, on_signal);
	if (r < 0) {
		dv_close(fd);
		return dv_err_sys(err, -r, "wait for signals");
	}
	/* What ended before, as in a restart, gives no signal any more; but
	 * not before those that have an owner were taken over. */
	dv_defer_add(a->loop, &a->again, on_again);
	return 0;
}

void dv_reaper_close(struct dv_agent *a)
{
	int fd = a->signals.loop ? a->signals.fd : -1;

	dv_defer_del(&a->again);
	dv_src_del(&a->signals);
	dv_close(fd);
}
