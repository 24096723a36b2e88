/* SPDX-License-Identifier: MIT */
#pragma once
/*
 * The inside of a dv_spec: what the caller asked for, unjudged. planner.c turns
 * it into a plan for one run.
 */
#include "davit/run.h"
#include "engine/cgroup.h"
#include "engine/plan.h"

struct dv_stdio_spec {
	enum dv_stdio mode;
	int fd; /* borrowed, DV_STDIO_FD */
};

struct dv_spec {
	/* Memory for everything below, and the lists that a plan has anyway:
	 * argv, exe, env (entries to set), rlimits, user mounts. */
	struct dv_plan mem;
	bool env_clear;
	char **env_unset;
	pb_size_t env_unset_count;
	enum dv_boundary boundary;
	char *rootfs;
	enum dv_rootfs_mode rootfs_mode;
	bool read_only;
	char *workdir; /* NULL: the caller's, or / */
	char *user;    /* NULL: who the caller is */
	char *hostname;
	enum dv_net net;
	struct dv_cgroup_limits limits;
	uint64_t cap_add, cap_drop;
	char *seccomp; /* NULL: built in; "unconfined": none */
	struct dv_stdio_spec stdio[3];
	uint16_t rows, cols;
	int extra_fd[DV_PLAN_FDS_MAX], extra_target[DV_PLAN_FDS_MAX];
	size_t n_extra;
	int stop_signal;
	int stop_timeout_ms, timeout_ms;
	bool best_effort, timing;
};

/*
 * Say that there are more than @max of @what, which is the plural. A list of a
 * plan has so many, and one of a message, whose counts have 16 bits. -E2BIG.
 */
int dv_spec_too_many(int max, const char *what, struct dv_err *err);
