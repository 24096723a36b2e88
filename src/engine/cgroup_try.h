/* SPDX-License-Identifier: MIT */
#pragma once
/*
 * For tests of this room: groups, and children in them.
 */
#include "base/test.h"

#include <errno.h>
#include <linux/sched.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/random.h"
#include "engine/cgroup_priv.h"

static const struct dv_cgroup_limits no_limits;

static inline uint64_t now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}

static inline int make(struct dv_cgroup *cg, const struct dv_cgroup_limits *l,
		       struct dv_err *err)
{
	char id[DV_ID_LEN + 1];

	dv_random_id(id);
	return dv_cgroup_create(cg, id, l, false, NULL, err);
}

enum { SOON_MS = 20000 };

/* v1 has no event for "empty", so this asks again for some seconds. */
static inline int remove_soon(struct dv_cgroup *cg)
{
	const uint64_t end = now_ms() + SOON_MS;
	int r;

	while ((r = dv_cgroup_remove(cg)) == -EBUSY && now_ms() < end)
		sched_yield();
	return r;
}

/* A child in all the groups; it runs @fn and exits with its result. */
static inline pid_t start_in(struct dv_cgroup *cg, int (*fn)(void))
{
	struct clone_args ca = {
		.flags = cg->v2_fd >= 0 ? CLONE_INTO_CGROUP : 0,
		.exit_signal = SIGCHLD,
		.cgroup = (uint64_t)(cg->v2_fd >= 0 ? cg->v2_fd : 0),
	};
	const pid_t pid = (pid_t)syscall(SYS_clone3, &ca, sizeof(ca));

	if (pid != 0)
		return pid;
	for (int i = 0; i < cg->n_procs; i++) {
		if (write(cg->procs_fd[i], "0", 1) != 1)
			_exit(120);
	}
	_exit(fn());
}

static inline int wait_status(pid_t pid)
{
	int status = -1;

	CHECK(pid > 0);
	CHECK_EQ(waitpid(pid, &status, 0), pid);
	return status;
}

static inline int wait_forever(void)
{
	while (pause() < 0)
		;
	return 0;
}

static inline void need_v2(void)
{
	struct dv_cgroup_can can;

	dv_cgroup_probe(&can);
	if (!can.v2_writable)
		SKIP("no v2 group can be made here by this user");
}

static inline void need(enum dv_cg_tree tree)
{
	struct dv_cgroup_can can;

	dv_cgroup_probe(&can);
	if (tree == DV_CG_MEMORY && !can.memory)
		SKIP(can.why_memory);
	if (tree == DV_CG_CPU && !can.cpu)
		SKIP(can.why_cpu);
	if (tree == DV_CG_PIDS && !can.pids)
		SKIP(can.why_pids);
}
