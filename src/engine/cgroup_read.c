/* SPDX-License-Identifier: MIT */
/*
 * What a group uses now, and what limits it has.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/def.h"
#include "base/fd.h"
#include "engine/cgroup_priv.h"

enum {
	/* Room for all numbers of a cpu.stat. */
	NUMBERS_MAX = 4096,
	PERIOD_US = 100000, /* the one that we write, and the kernel's own */
};
/* What v1 says where there is no limit: the largest multiple of a page. */
#define V1_NONE (UINT64_C(1) << 62)

static const struct {
	const char *v1, *v2;
} files[DV_CG_TREE_N] = {
	[DV_CG_MEMORY] = { "memory.limit_in_bytes", "memory.max" },
	[DV_CG_CPU] = { "cpu.cfs_quota_us", "cpu.max" },
	[DV_CG_PIDS] = { "pids.max", "pids.max" },
	[DV_CG_IO] = { NULL, "io.bfq.weight" },
};

int dv_cg_open(const struct dv_cgroup *cg, enum dv_cg_tree tree, bool *v2p)
{
	for (int i = 0; i < cg->n_dirs; i++) {
		bool v2 = cg->tree[i] == DV_CG_V2;
		const char *file = v2 ? files[tree].v2 : files[tree].v1;
		int fd;

		if (!file)
			continue;
		fd = open(cg->dirs[i],
			  O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
		if (fd < 0)
			continue;
		/* A group has only the files of the controllers it has. */
		if (faccessat(fd, file, F_OK, 0) == 0) {
			*v2p = v2;
			return fd;
		}
		dv_close(fd);
	}
	return -ENOENT;
}

uint64_t dv_cg_number(int fd, const char *file, uint64_t none)
{
	dv_autofree char *text = NULL;
	const char *at;

	if (dv_read_file(fd, file, NUMBERS_MAX, &text, NULL) < 0)
		return none;
	at = text + strcspn(text, "0123456789-m");
	return *at >= '0' && *at <= '9' ? strtoull(at, NULL, 10) : none;
}

static uint64_t counter(int fd, const char *file, const char *key)
{
	dv_autofree char *text = NULL;

	if (dv_read_file(fd, file, NUMBERS_MAX, &text, NULL) < 0 ||
	    !strstr(text, key))
		return UINT64_MAX;
	return dv_cg_parse_counter(text, key);
}

static void read_memory(const struct dv_cgroup *cg, struct dv_cgroup_now *now)
{
	bool v2;
	dv_autofd int fd = dv_cg_open(cg, DV_CG_MEMORY, &v2);

	if (fd < 0)
		return;
	now->memory = dv_cg_number(
		fd, v2 ? "memory.current" : "memory.usage_in_bytes",
		UINT64_MAX);
	now->memory_peak = dv_cg_number(
		fd, v2 ? "memory.peak" : "memory.max_usage_in_bytes",
		UINT64_MAX);
}

void dv_cgroup_read(const struct dv_cgroup *cg, struct dv_cgroup_now *now)
{
	bool v2;

	memset(now, 0xff, sizeof(*now));
	read_memory(cg, now);
	dv_autofd int pids = dv_cg_open(cg, DV_CG_PIDS, &v2);
	if (pids >= 0)
		now->pids = dv_cg_number(pids, "pids.current", UINT64_MAX);
	dv_autofd int cpu = dv_cg_open(cg, DV_CG_CPU, &v2);
	if (cpu >= 0 && v2)
		now->throttled_us = counter(cpu, "cpu.stat", "throttled_usec");
	else if (cpu >= 0)
		now->throttled_us =
			counter(cpu, "cpu.stat", "throttled_time") / 1000;
	/* Every v2 group has this, without any controller. */
	if (cg->v2_fd < 0)
		return;
	now->cpu_us = counter(cg->v2_fd, "cpu.stat", "usage_usec");
	now->user_us = counter(cg->v2_fd, "cpu.stat", "user_usec");
	now->system_us = counter(cg->v2_fd, "cpu.stat", "system_usec");
}

void dv_cgroup_read_limits(const struct dv_cgroup *cg,
			   struct dv_cgroup_limits *limits)
{
	bool v2;

	*limits = (struct dv_cgroup_limits){ 0 };
	dv_autofd int memory = dv_cg_open(cg, DV_CG_MEMORY, &v2);
	if (memory >= 0)
		limits->memory = dv_cg_number(
			memory, v2 ? "memory.max" : "memory.limit_in_bytes", 0);
	if (limits->memory >= V1_NONE)
		limits->memory = 0;
	dv_autofd int cpu = dv_cg_open(cg, DV_CG_CPU, &v2);
	if (cpu >= 0)
		limits->milli_cpus =
			(uint32_t)(dv_cg_number(cpu,
						v2 ? "cpu.max"
						   : "cpu.cfs_quota_us",
						0) *
				   1000 / PERIOD_US);
	dv_autofd int pids = dv_cg_open(cg, DV_CG_PIDS, &v2);
	if (pids >= 0)
		limits->pids = (uint32_t)dv_cg_number(pids, "pids.max", 0);
	dv_autofd int io = dv_cg_open(cg, DV_CG_IO, &v2);
	if (io < 0)
		return;
	/* "default 100"; see put_io() for the scale. */
	limits->io_weight = (uint32_t)dv_cg_number(io, "io.bfq.weight", 100);
	if (limits->io_weight > 100)
		limits->io_weight = 100 + (limits->io_weight - 100) * 11;
	if (limits->io_weight == 100)
		limits->io_weight = 0;
}

int dv_cgroup_pids(const struct dv_cgroup *cg, pid_t **listp)
{
	dv_autofree char *text = NULL;
	int n = 0, r = -EOPNOTSUPP;
	size_t len, max = 0;
	pid_t *list;
	char *p, *end;

	if (cg->v2_fd >= 0)
		r = dv_read_file(cg->v2_fd, "cgroup.procs", DV_CG_FILE_MAX,
				 &text, &len);
	if (r < 0)
		return r;
	for (p = text; *p; p++)
		max += *p == '\n';
	list = calloc(max + 1, sizeof(*list));
	if (!list)
		return -ENOMEM;
	for (p = text; (size_t)n < max; p = end) {
		long pid = strtol(p, &end, 10);

		if (end == p)
			break;
		if (pid > 0) /* 0: in a foreign namespace */
			list[n++] = (pid_t)pid;
	}
	*listp = list;
	return n;
}
