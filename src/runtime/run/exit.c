/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <time.h>
#include <unistd.h>

#include "base/def.h"
#include "base/fd.h"
#include "engine/sys.h"
#include "runtime/run/run.h"

enum {
	/* How long a group of killed processes may take to empty. */
	GROUPS_TIMEOUT_NS = 2000000000,
	GROUPS_AGAIN_NS = 500000,
};

static const uint8_t next_states[] = {
	[DV_STATE_CREATING] =
		DV_BIT(DV_STATE_RUNNING) | DV_BIT(DV_STATE_EXITED),
	[DV_STATE_RUNNING] = DV_BIT(DV_STATE_PAUSED) |
			     DV_BIT(DV_STATE_STOPPING) |
			     DV_BIT(DV_STATE_EXITED),
	[DV_STATE_PAUSED] = DV_BIT(DV_STATE_RUNNING) |
			    DV_BIT(DV_STATE_STOPPING) | DV_BIT(DV_STATE_EXITED),
	[DV_STATE_STOPPING] = DV_BIT(DV_STATE_EXITED),
	[DV_STATE_EXITED] = 0,
	[DV_STATE_DEAD] = 0,
};
static_assert(sizeof(next_states) == DV_STATE_N, "one row per state");

void dv_run_set_state(struct dv_run *run, enum dv_state to)
{
	dv_assert(next_states[run->state] & DV_BIT(to));
	run->state = to;
	if (run->hooks && run->hooks->changed)
		run->hooks->changed(run);
}

static void record_status(struct dv_exit *e, const siginfo_t *info,
			  const struct rusage *u)
{
	bool signalled = info->si_code != CLD_EXITED;

	e->signal = signalled ? info->si_status : 0;
	e->code = signalled ? 128 + info->si_status : info->si_status;
	e->core = info->si_code == CLD_DUMPED;
	e->user_us = (uint64_t)u->ru_utime.tv_sec * 1000000 +
		     (uint64_t)u->ru_utime.tv_usec;
	e->system_us = (uint64_t)u->ru_stime.tv_sec * 1000000 +
		       (uint64_t)u->ru_stime.tv_usec;
	e->max_rss_kib = (uint64_t)u->ru_maxrss;
	e->minor_faults = (uint64_t)u->ru_minflt;
	e->major_faults = (uint64_t)u->ru_majflt;
	e->voluntary_cs = (uint64_t)u->ru_nvcsw;
	e->involuntary_cs = (uint64_t)u->ru_nivcsw;
}

/* The counters go with the groups: read them before each attempt. */
static int try_remove_groups(struct dv_run *run)
{
	struct dv_cgroup_usage usage = { 0 };
	struct dv_exit *e = &run->exit;

	if (run->cg.n_dirs > 0) {
		dv_cgroup_usage(&run->cg, &usage);
		e->oom = usage.oom_kills > 0;
		e->pids_refused = usage.pids_refused;
		e->pids_limited = usage.pids_refused > 0;
	}
	return dv_cgroup_remove(&run->cg);
}

/* The command's end, not that of what is cleaned up behind it. */
static void record_times(struct dv_run *run)
{
	struct dv_exit *e = &run->exit;

	if (e->exited_unix_ns)
		return;
	e->exited_unix_ns = dv_unix_ns();
	e->wall_ns = dv_now_ns() - run->started_ns;
}

static void record_end(struct dv_run *run)
{
	struct dv_exit *e = &run->exit;

	if (run->asked != DV_ENDED_EXIT)
		e->ended_by = run->asked;
	else if (e->oom && e->signal == SIGKILL)
		e->ended_by = DV_ENDED_OOM;
	else
		e->ended_by = e->signal ? DV_ENDED_SIGNAL : DV_ENDED_EXIT;
}

/* A waiter may free the run, so neither the list nor the record is its. */
static void tell_waiters(struct dv_run *run)
{
	struct dv_exit exit = run->exit;
	struct dv_waiter *list = run->waiters;

	run->waiters = NULL;
	if (list)
		list->prevp = &list;
	while (list) {
		struct dv_waiter *w = list;

		dv_waiter_del(w);
		w->fn(w, &exit);
	}
}

static void on_late(struct dv_defer *defer)
{
	struct dv_run *run = dv_container_of(defer, struct dv_run, late);

	if (run->state == DV_STATE_EXITED)
		tell_waiters(run);
}

/* The command was waited for: @r is what that gave. */
static void main_is_reaped(struct dv_run *run, int r, const siginfo_t *info,
			   const struct rusage *usage)
{
	dv_src_del(&run->main_src);
	/* Nothing can time out any more, nor be seen running. */
	dv_timer_stop(&run->state_at);
	dv_timer_stop(&run->limit);
	run->proc.pid = 0;
	record_times(run);
	if (r == 0) {
		record_status(&run->exit, info, usage);
		return;
	}
	/* Somebody else in this process has waited for our child. */
	run->exit.code = 125;
	run->asked = DV_ENDED_KEEPER;
}

/* Before init, which cannot end while a child of ours is a zombie in it. */
static void reap_main(struct dv_run *run)
{
	siginfo_t info;
	struct rusage usage;
	int r = dv_proc_reap(&run->proc, &info, &usage);

	if (r != -EAGAIN)
		main_is_reaped(run, r, &info, &usage);
}

/* Groups that are left are noted in the directory, for the sweeper. */
static void release(struct dv_run *run)
{
	dv_run_sweep(run);
	if (run->cg.n_dirs > 0) {
		dv_cgroup_release(&run->cg);
		run->home->groups_left = true;
	}
	if (!dv_run_is_lent(run))
		dv_home_remove(run->home);
}

/*
 * Groups of killed processes empty a moment after they were reaped, and not
 * every kernel has an event for it: look again soon, for a while.
 */
static void finish(struct dv_run *run);

static void on_groups(struct dv_timer *timer)
{
	finish(dv_container_of(timer, struct dv_run, grace));
}

static void finish(struct dv_run *run)
{
	uint64_t now = dv_now_ns();

	if (!run->groups_until_ns)
		run->groups_until_ns = now + GROUPS_TIMEOUT_NS;
	if (run->cg.n_dirs > 0 && try_remove_groups(run) == -EBUSY &&
	    now < run->groups_until_ns &&
	    dv_timer_set(run->loop, &run->grace, now + GROUPS_AGAIN_NS,
			 on_groups) == 0)
		return;
	dv_timer_stop(&run->grace);
	record_end(run);
	release(run);
	dv_run_set_state(run, DV_STATE_EXITED);
	dv_defer_add(run->loop, &run->late, on_late);
}

/*
 * The command of a plain run ended. It is reaped when its session is empty, so
 * that the session's number stays its own; see plain.c.
 */
static void end_plain(struct dv_run *run);

static void on_session(struct dv_timer *timer)
{
	end_plain(dv_container_of(timer, struct dv_run, grace));
}

static void end_plain(struct dv_run *run)
{
	uint64_t now = dv_now_ns();

	if (!run->groups_until_ns)
		run->groups_until_ns = now + GROUPS_TIMEOUT_NS;
	if (!dv_run_is_empty(run) && now < run->groups_until_ns &&
	    dv_timer_set(run->loop, &run->grace, now + GROUPS_AGAIN_NS,
			 on_session) == 0)
		return;
	reap_main(run);
	finish(run);
}

static void on_main_plain(struct dv_run *run)
{
	dv_run_sweep(run);
	dv_src_del(&run->main_src);
	dv_timer_stop(&run->state_at);
	dv_timer_stop(&run->limit);
	record_times(run);
	dv_run_kill(run);
	if (run->state != DV_STATE_STOPPING)
		dv_run_set_state(run, DV_STATE_STOPPING);
	end_plain(run);
}

void dv_run_sweep(struct dv_run *run)
{
	if (!run->swept && run->home->basefd >= 0)
		dv_home_sweep(run->home->base);
	run->swept = true;
}

void dv_run_on_main(struct dv_src *src, uint32_t events)
{
	struct dv_run *run = dv_container_of(src, struct dv_run, main_src);
	int r;

	(void)events;
	if (run->plain) {
		on_main_plain(run);
		return;
	}
	reap_main(run);
	if (run->proc.pid)
		return;
	/* What the command left behind goes with it; init's end tells. */
	dv_run_kill(run);
	if (run->state != DV_STATE_STOPPING)
		dv_run_set_state(run, DV_STATE_STOPPING);
	/* While the kernel takes the namespaces down; groups are empty already
	 * unless the command left something behind. */
	r = try_remove_groups(run);
	dv_run_sweep(run);
	if (r == 0 && !dv_run_is_lent(run))
		dv_home_remove(run->home);
}

void dv_run_on_init(struct dv_src *src, uint32_t events)
{
	struct dv_run *run = dv_container_of(src, struct dv_run, init_src);
	siginfo_t info;
	struct rusage usage;

	(void)events;
	dv_src_del(src);
	/* Init was killed under a running command: it was killed, too. */
	if (run->proc.pid) {
		int r = dv_sys_wait(run->proc.pidfd, 0, &info, &usage);

		main_is_reaped(run, r, &info, &usage);
	}
	if (run->state != DV_STATE_STOPPING)
		dv_run_set_state(run, DV_STATE_STOPPING);
	dv_ns_free(&run->sb);
	finish(run);
}

static void on_grace(struct dv_timer *timer)
{
	struct dv_run *run = dv_container_of(timer, struct dv_run, grace);

	dv_run_kill(run);
}

/* One that is stopped by a signal could not heed another. */
static int ask_to_end(struct dv_run *run)
{
	int r = dv_run_signal(run, run->stop_signal, NULL);

	return r < 0 ? r : dv_run_signal(run, SIGCONT, NULL);
}

void dv_run_end(struct dv_run *run, enum dv_ended_by why)
{
	if (run->state != DV_STATE_RUNNING && run->state != DV_STATE_PAUSED)
		return;
	run->asked = why;
	if (run->state == DV_STATE_PAUSED)
		dv_cgroup_freeze(&run->cg, false, NULL);
	dv_run_set_state(run, DV_STATE_STOPPING);
	if (run->stop_timeout_ms > 0 && ask_to_end(run) == 0 &&
	    dv_timer_set(run->loop, &run->grace,
			 dv_now_ns() + (uint64_t)run->stop_timeout_ms * 1000000,
			 on_grace) == 0)
		return;
	dv_run_kill(run);
}

void dv_run_hurry(struct dv_run *run, int grace_ms)
{
	uint64_t at = dv_now_ns() + (uint64_t)grace_ms * 1000000;

	/* Without a command that timer is for what it left. */
	if (run->state != DV_STATE_STOPPING || !run->proc.pid ||
	    (run->grace.loop && run->grace.at_ns <= at))
		return;
	if (dv_timer_set(run->loop, &run->grace, at, on_grace) < 0)
		dv_run_kill(run);
}

/* Nobody runs the loop for us any more: block. */
static void wait_for_groups(struct dv_run *run)
{
	uint64_t until = dv_now_ns() + GROUPS_TIMEOUT_NS;
	struct timespec pause = { 0, GROUPS_AGAIN_NS };

	while (run->cg.n_dirs > 0 && try_remove_groups(run) == -EBUSY &&
	       dv_now_ns() < until)
		nanosleep(&pause, NULL);
}

static void wait_for_session(struct dv_run *run)
{
	uint64_t until = dv_now_ns() + GROUPS_TIMEOUT_NS;
	struct timespec pause = { 0, GROUPS_AGAIN_NS };

	while (!dv_run_is_empty(run) && dv_now_ns() < until)
		nanosleep(&pause, NULL);
}

void dv_run_teardown(struct dv_run *run)
{
	dv_src_del(&run->main_src);
	dv_src_del(&run->init_src);
	dv_timer_stop(&run->state_at);
	dv_timer_stop(&run->limit);
	dv_timer_stop(&run->grace);
	dv_defer_del(&run->late);
	while (run->waiters)
		dv_waiter_del(run->waiters);
	dv_run_kill(run);
	wait_for_session(run);
	dv_proc_free(&run->proc);
	dv_ns_free(&run->sb);
	wait_for_groups(run);
	release(run);
	for (int i = 0; i < 3; i++)
		run->parent_end[i] = dv_close(run->parent_end[i]);
}

/* ---- waiting ------------------------------------------------------------ */

void dv_run_on_exit(struct dv_run *run, struct dv_waiter *waiter)
{
	waiter->next = run->waiters;
	waiter->prevp = &run->waiters;
	if (waiter->next)
		waiter->next->prevp = &waiter->next;
	run->waiters = waiter;
	if (run->state == DV_STATE_EXITED)
		dv_defer_add(run->loop, &run->late, on_late);
}

void dv_waiter_del(struct dv_waiter *waiter)
{
	if (!waiter->prevp)
		return;
	*waiter->prevp = waiter->next;
	if (waiter->next)
		waiter->next->prevp = waiter->prevp;
	waiter->next = NULL;
	waiter->prevp = NULL;
}
