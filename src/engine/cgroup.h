/* SPDX-License-Identifier: MIT */
#pragma once
/*
 * Control groups of one sandbox, on v2, v1 and hybrid hosts.
 *
 * A v2 group is made below the caller's own group wherever that is possible
 * (kill, freeze, events, CLONE_INTO_CGROUP); a v1 group per hierarchy only for
 * the controllers that were asked for, below the caller's own group there. No
 * limit is ever put on the caller's own group. Kill and wait never depend on
 * any of this.
 */
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/json.h"
#include "davit/err.h"

struct dv_cgroup_limits {
	uint64_t memory;     /* bytes, 0 = none; swap is limited with it */
	uint32_t milli_cpus; /* thousandths of a CPU, 0 = none */
	uint32_t pids;       /* processes and threads, 0 = none */
	uint32_t io_weight;  /* 1..10000, 0 = none */
};

enum { DV_CGROUP_GROUPS_MAX = 6 };

struct dv_cgroup {
	int v2_fd; /* directory of the v2 group, for CLONE_INTO_CGROUP; -1 */
	/* v1 groups: an open cgroup.procs each; writing "0" joins */
	int procs_fd[DV_CGROUP_GROUPS_MAX];
	int n_procs;
	/* every group directory made, absolute paths, in order of creation */
	char *dirs[DV_CGROUP_GROUPS_MAX];
	int n_dirs;
	bool own_pids_v1; /* the pids limit counts only what joined procs_fd */
	/* Called with the path before a group is made; < 0 (-errno): it could
	 * not be noted, so it is not made. May be NULL. */
	int (*note)(void *arg, const char *path);
	void *note_arg;
	/* Private. */
	uint8_t tree[DV_CGROUP_GROUPS_MAX]; /* enum dv_cg_tree of dirs[i] */
	bool delegated; /* below a group that davit left for davit-keeper */
};

#define DV_CGROUP_INIT                                              \
	{                                                           \
		.v2_fd = -1, .procs_fd = { -1, -1, -1, -1, -1, -1 } \
	}

struct dv_cgroup_usage {
	uint64_t oom_kills;    /* processes killed for the memory limit */
	uint64_t pids_refused; /* forks refused for the pids limit */
};

/*
 * Make the groups "davit-<id>" and set the limits; @id is 16 hex digits, @cg is
 * DV_CGROUP_INIT but for note. Without any limit a v2 group that cannot be made
 * is no error (v2_fd stays -1). A limit that this machine or user cannot have
 * is -EOPNOTSUPP (or -EACCES) with the reason and a hint; when @best_effort is
 * set it goes into @missing (may be NULL), a line each, instead. A limit that
 * makes no sense (less than 1 MiB of memory, less than 0.01 CPU) is -EINVAL in
 * any case. On failure nothing is left.
 *
 * A v2 limit in a delegated group moves the calling process, when it is alone
 * there, into the group "davit-keeper" below, because a group that has
 * processes cannot pass controllers on; dv_cgroup_remove() moves it back.
 */
int dv_cgroup_create(struct dv_cgroup *cg, const char *id,
		     const struct dv_cgroup_limits *limits, bool best_effort,
		     struct dv_buf *missing, struct dv_err *err);

/* SIGKILL to everything in it; 0 when there is no v2 group. */
int dv_cgroup_kill(struct dv_cgroup *cg);
/*
 * Change limits of a group that lives: all of them or none. 0 lifts one; a
 * value of all ones (UINT64_MAX, UINT32_MAX) leaves it as it is. -EBUSY: more
 * memory is in use, and cannot be given back; -EOPNOTSUPP (-EACCES) with a hint
 * where this machine or this group cannot have it: a v1 group has only the
 * limits that it was made with.
 */
int dv_cgroup_update(struct dv_cgroup *cg,
		     const struct dv_cgroup_limits *limits, struct dv_err *err);
/*
 * Stop or continue everything in it; -EOPNOTSUPP without a v2 group. Returns
 * once the kernel took the order; "frozen 1" in cgroup.events says it is done.
 */
int dv_cgroup_freeze(struct dv_cgroup *cg, bool on, struct dv_err *err);
/* What is in use now. What is not accounted here is UINT64_MAX. */
struct dv_cgroup_now {
	uint64_t memory, memory_peak; /* bytes */
	uint64_t cpu_us, user_us, system_us, throttled_us;
	uint64_t pids; /* processes and threads */
};
void dv_cgroup_read(const struct dv_cgroup *cg, struct dv_cgroup_now *now);
/* The limits that hold, as the kernel says; 0: none, or not accounted. */
void dv_cgroup_read_limits(const struct dv_cgroup *cg,
			   struct dv_cgroup_limits *limits);
/*
 * Pids of what is in its v2 group, as seen from here; *@listp is malloc'd.
 * Returns how many, or -errno: -EOPNOTSUPP without such a group.
 */
int dv_cgroup_pids(const struct dv_cgroup *cg, pid_t **listp);
/* Counters since creation; what cannot be read stays 0. */
void dv_cgroup_usage(struct dv_cgroup *cg, struct dv_cgroup_usage *usage);
/*
 * Remove the groups. -EBUSY: something is still in it; call again. Otherwise
 * everything is released and @cg is DV_CGROUP_INIT again. Idempotent.
 */
int dv_cgroup_remove(struct dv_cgroup *cg);
/*
 * Take over a v2 group that this process made before it executed itself anew:
 * its directory, open as @fd (consumed, also on failure). @cg is
 * DV_CGROUP_INIT. Returns 0 or -ENOMEM.
 */
int dv_cgroup_adopt(struct dv_cgroup *cg, const char *dir, int fd);
/* Close the fds and forget; the groups stay. */
void dv_cgroup_release(struct dv_cgroup *cg);

/*
 * A v2 group "davit-<id>" of its own for the calling process, below the one it
 * is in; noted first, as by dv_cgroup_create(). *@pathp is owned. -errno: it
 * stays where it is. And back, and the group goes: else -errno, for the
 * sweeper.
 */
int dv_cgroup_enter_own(const char *id,
			int (*note)(void *arg, const char *path), void *arg,
			char **pathp, struct dv_err *err);
int dv_cgroup_leave_own(const char *path);
/*
 * Let the groups below the caller's own have the controllers of @limits, as far
 * as that can be: before a child of ours makes them. The caller may be moved as
 * dv_cgroup_create() does. What cannot be is told when the limit is set.
 */
void dv_cgroup_make_way(const struct dv_cgroup_limits *limits);

/*
 * For the sweeper: remove one group directory recorded by a dead keeper. Only
 * directories named davit-<16 hex> below a cgroup mount are accepted, others
 * are -EINVAL. Thaws it, kills what is in it (v2), -EBUSY when it is not empty
 * yet, 0 when gone.
 */
int dv_cgroup_sweep(const char *dir);

/* What this machine and user can have; for doctor and for error texts. */
struct dv_cgroup_can {
	bool v2_mounted, v2_writable; /* a v2 group can be made */
	bool v1, hybrid;
	bool memory, cpu, pids, io;
	char why_memory[128], why_cpu[128], why_pids[128], why_io[128];
};
/* Looks only, makes nothing: a "yes" can still fail on a parent's own limit. */
void dv_cgroup_probe(struct dv_cgroup_can *can);
