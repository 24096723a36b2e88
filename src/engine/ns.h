/* SPDX-License-Identifier: MIT */
#pragma once
/*
 * The keeper's side of the engine: a sandbox (its namespaces, held by an init)
 * and the processes placed in it. Every process is the caller's direct child.
 *
 * Starting has two halves, so that a loop need not block: dv_proc_begin() forks
 * and mostly returns at once; dv_proc_finish() is called when proc->err_fd is
 * readable, and says whether the exec happened. Signals are blocked only inside
 * a call. Nothing here is thread-safe except on different objects.
 */
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/resource.h>
#include <sys/types.h>

#include "davit/err.h"
#include "engine/cgroup.h"
#include "engine/ctl.h"
#include "wire/plan.pb.h"

struct dv_ns {
	pid_t init_pid; /* 0 = none */
	int init_pidfd;
	int lifeline; /* write end: the sandbox lives as long as it is open */
	int ready;    /* EOF when the namespaces are complete; -1 = they are */
	int err_fd;   /* init's report, as a process's err_fd */
	int ns_flags; /* the namespaces that are entered, CLONE_NEW* */
	bool cgroup_ns; /* every process makes its own, in its group */
	bool wait;      /* the first process may borrow our memory */
	/* The root that the first process still has to build; borrowed from
	 * dv_ns_start() until the first dv_proc_finish() succeeded. */
	const dv_Isolation *unbuilt;
	struct dv_ctl *ctl;
};

#define DV_NS_INIT                                             \
	{                                                      \
		0, -1, -1, -1, -1, 0, false, false, NULL, NULL \
	}

enum dv_ns_how {
	DV_NS_TIMING = 1, /* steps leave marks in ctl */
	/* Init, and with it everything, goes when the first process ends. */
	DV_NS_ONE = 2,
	/* The caller has nothing to do until the first process is executed:
	 * dv_proc_begin() may wait for it, and be done sooner for that. */
	DV_NS_WAIT = 4,
};

/*
 * Start the init of @iso (borrowed until the first process runs). Returns as
 * soon as it can work on its own: its failure is reported by the first
 * dv_proc_finish(). On failure nothing is left. @how: of DV_NS_*. With
 * DV_NS_ONE the caller still kills: init may not have got to know the
 * first process.
 */
int dv_ns_start(struct dv_ns *sb, const dv_Isolation *iso, unsigned int how,
		struct dv_err *err);

/*
 * Go on with one that this program started before it executed itself anew: pid,
 * pidfd, lifeline, ns_flags and cgroup_ns are set, all else is DV_NS_INIT.
 * Returns 0 or -ENOMEM.
 */
int dv_ns_resume(struct dv_ns *sb);

/* SIGKILL to init, and so to everything in it. Its pidfd tells when. */
int dv_ns_kill(struct dv_ns *sb);

/*
 * Reap init, which must be dying: blocks until the last process of the
 * namespace is gone. The caller has reaped its own children in it before, or
 * it would wait for ever. Idempotent.
 */
void dv_ns_reap(struct dv_ns *sb);

/* Kill, reap, release. Idempotent. */
void dv_ns_free(struct dv_ns *sb);

struct dv_proc {
	pid_t pid; /* 0 = none */
	int pidfd;
	int tty;      /* master of its pty, or -1; owned */
	int err_fd;   /* while it is being started */
	int tty_sock; /* where the pty comes from, while it is being started */
	struct dv_ctl *ctl;
	bool own_ctl;
};

#define DV_PROC_INIT                           \
	{                                      \
		0, -1, -1, -1, -1, NULL, false \
	}

/*
 * Fork @p into @sb (NULL: a plain child without isolation). @fds (borrowed, the
 * child gets duplicates) are what p->fds name by index. @cg: the groups it is
 * put into (borrowed, may be NULL). Returns 0; the outcome comes by
 * dv_proc_finish(). A plain child that keeps its ids is waited for until its
 * exec, as posix_spawn() does; so is the first process of a sandbox, with
 * DV_NS_WAIT and for a minute at most (-ETIMEDOUT). The first process
 * builds the root: no other is begun before it is finished.
 */
int dv_proc_begin(struct dv_proc *proc, struct dv_ns *sb, const dv_Process *p,
		  const int *fds, size_t n_fds, const struct dv_cgroup *cg,
		  struct dv_err *err);

/*
 * When err_fd is readable (or blocking until it is): 0 the command was
 * executed, < 0 it was not, @err says why and the process is reaped. Init's own
 * failure is found here, too.
 */
int dv_proc_finish(struct dv_proc *proc, struct dv_ns *sb, struct dv_err *err);

/* Reap without blocking: 0 with @info and @usage filled, -EAGAIN not yet. */
int dv_proc_reap(struct dv_proc *proc, siginfo_t *info, struct rusage *usage);

/* Kill and reap what is left; release. Idempotent. */
void dv_proc_free(struct dv_proc *proc);

/* ns_socket.c */
/*
 * A socket in the network of @sb, made there by a short-lived helper: owned,
 * close-on-exec. As socket(): @type with its flags. In a sandbox without a
 * network of its own it is one of ours, when that really is the same. Returns
 * it, or -errno with @err filled: -ESRCH its init is gone.
 */
int dv_ns_socket(const struct dv_ns *sb, int domain, int type,
		 struct dv_err *err);
