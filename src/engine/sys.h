/* SPDX-License-Identifier: MIT */
#pragma once
/*
 * System calls that the C library does not wrap, or wraps without what we need.
 * All return >= 0 or -errno and are async-signal-safe.
 */
#include <errno.h>
#include <linux/sched.h>
#include <signal.h>
#include <stdint.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#ifndef PIDFD_SELF
#define PIDFD_SELF (-10000)
#endif

/* Returns 0 in the child, the pid in the parent. Without CLONE_VM: a fork. */
static inline pid_t dv_sys_clone3(struct clone_args *args)
{
	long r = syscall(SYS_clone3, args, sizeof(*args));

	return r < 0 ? -errno : (pid_t)r;
}

static inline int dv_sys_pidfd_open(pid_t pid)
{
	long r = syscall(SYS_pidfd_open, pid, 0);

	return r < 0 ? -errno : (int)r;
}

static inline int dv_sys_pidfd_signal(int pidfd, int signo)
{
	long r = syscall(SYS_pidfd_send_signal, pidfd, signo, NULL, 0);

	return r < 0 ? -errno : 0;
}

/* waitid(P_PIDFD, __WALL) with rusage; -EAGAIN with WNOHANG and no news. */
static inline int dv_sys_wait(int pidfd, int options, siginfo_t *info,
			      struct rusage *usage)
{
	long r;

	info->si_pid = 0;
	do
		r = syscall(SYS_waitid, P_PIDFD, pidfd, info,
			    options | WEXITED | __WALL, usage);
	while (r < 0 && errno == EINTR);
	if (r < 0)
		return -errno;
	return info->si_pid ? 0 : -EAGAIN;
}

/* Block every signal, so that no handler of the caller runs in a child. */
static inline void dv_sys_block_signals(sigset_t *old)
{
	sigset_t all;

	sigfillset(&all);
	syscall(SYS_rt_sigprocmask, SIG_SETMASK, &all, old, _NSIG / 8);
}

static inline void dv_sys_set_signals(const sigset_t *set)
{
	syscall(SYS_rt_sigprocmask, SIG_SETMASK, set, NULL, _NSIG / 8);
}
