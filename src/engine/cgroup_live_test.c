/* SPDX-License-Identifier: MIT */
/*
 * Groups that are in use: new limits, what they use, freezing with an event.
 */
#include "engine/cgroup_try.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "base/def.h"
#include "base/fd.h"
#include "engine/cgroup_freeze.h"

static const struct dv_cgroup_limits keep = { UINT64_MAX, UINT32_MAX,
					      UINT32_MAX, UINT32_MAX };

enum { USED = 32 << 20 };

static int ready[2] = { -1, -1 };

/*
 * Has USED bytes that nobody can reclaim, and says so. A limit on locked memory
 * may forbid the lock; then it is that the group has no swap.
 */
static int hold_memory(void)
{
	char *p = mmap(NULL, USED, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (p == MAP_FAILED)
		return 121;
	(void)mlock(p, USED);
	memset(p, 1, USED);
	if (write(ready[1], "x", 1) != 1)
		return 122;
	return wait_forever();
}

static int say_ready(void)
{
	return write(ready[1], "x", 1) == 1 ? wait_forever() : 122;
}

static pid_t start_ready(struct dv_cgroup *cg, int (*fn)(void))
{
	char byte;
	pid_t pid;

	CHECK_EQ(dv_pipe(ready), 0);
	pid = start_in(cg, fn);
	ready[1] = dv_close(ready[1]);
	CHECK_EQ(dv_read(ready[0], &byte, 1), 1);
	ready[0] = dv_close(ready[0]);
	return pid;
}

static void end(pid_t pid, struct dv_cgroup *cg)
{
	kill(pid, SIGKILL);
	wait_status(pid);
	CHECK_EQ(remove_soon(cg), 0);
}

static void check_limits(struct dv_cgroup *cg, uint64_t memory,
			 uint32_t milli_cpus, uint32_t pids)
{
	struct dv_cgroup_limits is;

	dv_cgroup_read_limits(cg, &is);
	CHECK_EQ(is.memory, memory);
	CHECK_EQ(is.milli_cpus, milli_cpus);
	CHECK_EQ(is.pids, pids);
	CHECK_EQ(is.io_weight, 0);
}

TEST(update_raises_lowers_lifts_and_leaves_alone)
{
	const struct dv_cgroup_limits first = { 64 << 20, 1500, 9, 0 };
	struct dv_cgroup_limits l;
	struct dv_cgroup cg = DV_CGROUP_INIT;
	struct dv_err err = DV_ERR_INIT;

	need(DV_CG_MEMORY);
	need(DV_CG_CPU);
	need(DV_CG_PIDS);
	CHECK_EQ(make(&cg, &first, &err), 0);
	check_limits(&cg, 64 << 20, 1500, 9);
	l = keep;
	l.memory = 128 << 20;
	CHECK_EQ(dv_cgroup_update(&cg, &l, &err), 0);
	check_limits(&cg, 128 << 20, 1500, 9);
	l = (struct dv_cgroup_limits){ 32 << 20, 20, 5, UINT32_MAX };
	CHECK_EQ(dv_cgroup_update(&cg, &l, &err), 0);
	check_limits(&cg, 32 << 20, 20, 5);
	CHECK_EQ(dv_cgroup_update(&cg, &no_limits, &err), 0);
	check_limits(&cg, 0, 0, 0);
	CHECK_EQ(dv_cgroup_update(&cg, &first, &err), 0);
	check_limits(&cg, 64 << 20, 1500, 9);
	CHECK_EQ(dv_cgroup_remove(&cg), 0);
}

TEST(update_below_what_is_in_use_is_busy_and_changes_nothing)
{
	const struct dv_cgroup_limits first = { 64 << 20, 0, 9, 0 };
	struct dv_cgroup_limits l = keep;
	struct dv_cgroup cg = DV_CGROUP_INIT;
	struct dv_err err = DV_ERR_INIT;
	struct dv_cgroup_now now;
	pid_t pid;

	need(DV_CG_MEMORY);
	need(DV_CG_PIDS);
	CHECK_EQ(make(&cg, &first, &err), 0);
	pid = start_ready(&cg, hold_memory);
	dv_cgroup_read(&cg, &now);
	CHECK(now.memory >= USED && now.memory < 64 << 20);
	CHECK(now.memory_peak >= now.memory);
	CHECK_EQ(now.pids, 1);
	l.memory = USED / 2;
	l.pids = 3;
	CHECK_EQ(dv_cgroup_update(&cg, &l, &err), -EBUSY);
	CHECK_EQ(err.code, DV_PRECONDITION);
	CHECK_EQ(err.step, DV_STEP_CGROUP);
	check_limits(&cg, 64 << 20, 0, 9);
	CHECK_EQ(kill(pid, 0), 0);
	l.memory = 48 << 20;
	CHECK_EQ(dv_cgroup_update(&cg, &l, &err), 0);
	check_limits(&cg, 48 << 20, 0, 3);
	end(pid, &cg);
}

TEST(update_that_fails_half_way_takes_back_the_rest)
{
	const struct dv_cgroup_limits first = { 64 << 20, 0, 0, 0 };
	/* A v1 group gets no controller later; no disk here knows weights. */
	struct dv_cgroup_limits l = { 32 << 20, UINT32_MAX, UINT32_MAX, 500 };
	struct dv_cgroup cg = DV_CGROUP_INIT;
	struct dv_err err = DV_ERR_INIT;
	struct dv_cgroup_can can;

	need(DV_CG_MEMORY);
	dv_cgroup_probe(&can);
	if (can.io)
		SKIP("an io weight can be had here");
	CHECK_EQ(make(&cg, &first, &err), 0);
	CHECK_EQ(dv_cgroup_update(&cg, &l, &err), -EOPNOTSUPP);
	CHECK(strstr(err.msg, "io weight"));
	CHECK(err.hint[0] != '\0');
	check_limits(&cg, 64 << 20, 0, 0);
	CHECK_EQ(dv_cgroup_remove(&cg), 0);
}

TEST(update_of_a_limit_that_a_v1_group_never_had_is_refused)
{
	struct dv_cgroup_limits l = keep;
	struct dv_cgroup cg = DV_CGROUP_INIT;
	struct dv_err err = DV_ERR_INIT;
	struct dv_cgroup_can can;

	need(DV_CG_PIDS);
	dv_cgroup_probe(&can);
	if (!can.v1)
		SKIP("the controllers are on v2");
	CHECK_EQ(make(&cg, &no_limits, &err), 0);
	l.pids = 10;
	CHECK_EQ(dv_cgroup_update(&cg, &l, &err), -EOPNOTSUPP);
	CHECK(strstr(err.msg, "limit processes to 10"));
	CHECK(err.hint[0] != '\0');
	/* To lift what is not there is no change. */
	CHECK_EQ(dv_cgroup_update(&cg, &no_limits, &err), 0);
	CHECK_EQ(dv_cgroup_remove(&cg), 0);
}

TEST(update_to_a_senseless_limit_is_invalid)
{
	struct dv_cgroup_limits l = keep;
	struct dv_cgroup cg = DV_CGROUP_INIT;
	struct dv_err err = DV_ERR_INIT;

	l.memory = 4096;
	CHECK_EQ(dv_cgroup_update(&cg, &l, &err), -EINVAL);
	l.memory = UINT64_MAX;
	l.milli_cpus = 1;
	CHECK_EQ(dv_cgroup_update(&cg, &l, &err), -EINVAL);
}

TEST(read_without_controllers_knows_the_cpu_only)
{
	struct dv_cgroup cg = DV_CGROUP_INIT;
	struct dv_cgroup_now now;
	pid_t *pids = NULL, pid;

	need_v2();
	dv_cgroup_read(&cg, &now);
	CHECK_EQ(now.memory, UINT64_MAX);
	CHECK_EQ(now.cpu_us, UINT64_MAX);
	CHECK_EQ(dv_cgroup_pids(&cg, &pids), -EOPNOTSUPP);
	CHECK_EQ(make(&cg, &no_limits, NULL), 0);
	pid = start_ready(&cg, say_ready);
	dv_cgroup_read(&cg, &now);
	CHECK(now.cpu_us != UINT64_MAX);
	CHECK_EQ(dv_cgroup_pids(&cg, &pids), 1);
	CHECK_EQ(pids[0], pid);
	free(pids);
	end(pid, &cg);
}

/* ---- freezing ------------------------------------------------------------ */

static int frozen;

static void on_frozen(struct dv_freeze *f, int r, const struct dv_err *err)
{
	(void)err;
	CHECK(!dv_freeze_runs(f));
	frozen = r == 0 ? 1 : r;
}

static void run_until_frozen(struct dv_loop *loop)
{
	while (!frozen)
		CHECK(dv_loop_dispatch(loop, 20000) > 0);
}

static char state_of(pid_t pid)
{
	char path[64], text[512];
	int n;
	dv_autofd int fd = -1;

	snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	n = (int)read(fd, text, sizeof(text) - 1);
	CHECK(n > 0);
	text[n] = '\0';
	return strrchr(text, ')')[2];
}

TEST(freeze_tells_when_everything_is_frozen)
{
	struct dv_cgroup cg = DV_CGROUP_INIT;
	struct dv_freeze f = { 0 };
	struct dv_loop *loop;
	pid_t pid;

	need_v2();
	CHECK_EQ(dv_loop_new(&loop), 0);
	CHECK_EQ(make(&cg, &no_limits, NULL), 0);
	pid = start_ready(&cg, say_ready);
	for (int i = 0; i < 50; i++) {
		frozen = 0;
		CHECK_EQ(dv_freeze_start(&f, loop, &cg, 10000, on_frozen, NULL),
			 0);
		CHECK_EQ(dv_freeze_start(&f, loop, &cg, 10000, on_frozen, NULL),
			 -EALREADY);
		CHECK_EQ(frozen, 0);
		run_until_frozen(loop);
		CHECK_EQ(frozen, 1);
		CHECK_EQ(dv_cgroup_freeze(&cg, false, NULL), 0);
	}
	CHECK(state_of(pid) == 'S' || state_of(pid) == 'R');
	end(pid, &cg);
	dv_loop_free(loop);
}

TEST(freeze_of_what_is_frozen_or_empty_is_done_too)
{
	struct dv_cgroup cg = DV_CGROUP_INIT;
	struct dv_freeze f = { 0 };
	struct dv_loop *loop;

	need_v2();
	CHECK_EQ(dv_loop_new(&loop), 0);
	CHECK_EQ(make(&cg, &no_limits, NULL), 0);
	for (int i = 0; i < 2; i++) {
		frozen = 0;
		CHECK_EQ(dv_freeze_start(&f, loop, &cg, 10000, on_frozen, NULL),
			 0);
		CHECK_EQ(frozen, 0);
		run_until_frozen(loop);
		CHECK_EQ(frozen, 1);
	}
	CHECK_EQ(dv_cgroup_remove(&cg), 0);
	dv_loop_free(loop);
}

TEST(freeze_cancelled_thaws_and_is_silent)
{
	struct dv_cgroup cg = DV_CGROUP_INIT;
	struct dv_freeze f = { 0 };
	struct dv_err err = DV_ERR_INIT;
	struct dv_loop *loop;
	pid_t pid;

	need_v2();
	CHECK_EQ(dv_loop_new(&loop), 0);
	CHECK_EQ(dv_freeze_start(&f, loop, &cg, 10000, on_frozen, &err),
		 -EOPNOTSUPP);
	CHECK(!dv_freeze_runs(&f));
	CHECK_EQ(make(&cg, &no_limits, NULL), 0);
	pid = start_ready(&cg, say_ready);
	frozen = 0;
	CHECK_EQ(dv_freeze_start(&f, loop, &cg, 10000, on_frozen, &err), 0);
	dv_freeze_cancel(&f);
	dv_freeze_cancel(&f);
	CHECK_EQ(dv_loop_dispatch(loop, 0), 0);
	CHECK_EQ(frozen, 0);
	end(pid, &cg);
	dv_loop_free(loop);
}
