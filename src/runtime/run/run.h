/* SPDX-License-Identifier: MIT */
#pragma once
/*
 * The inside of a dv_run: one sandbox and its command, from start to record.
 *
 *   CREATING -> RUNNING -> STOPPING -> EXITED
 *
 * The command's exit does not end the run: what it left behind in the sandbox
 * is killed, and the run has exited when init, which goes last, is reaped.
 * Without namespaces (plain) there is no init, and the command goes last.
 *
 * A keeper holds the run's directory, and outlives it: the run notes its groups
 * there, and writes and removes nothing else.
 */
#include "davit/run.h"
#include "engine/ns.h"
#include "runtime/plan/planner.h"
#include "runtime/store/dirs.h"

/* What a keeper wants to know; each may be NULL. */
struct dv_run_hooks {
	/* It runs for longer than a moment; instead of writing state.json. It
	 * may take the directory over: dv_run_lend(). */
	void (*settled)(struct dv_run *run);
	/* It has another state. Not for CREATING to RUNNING. */
	void (*changed)(struct dv_run *run);
};

struct dv_run {
	struct dv_loop *loop;
	bool own_loop;
	enum dv_state state;
	char id[DV_ID_LEN + 1]; /* outlives its directory */
	struct dv_home own;     /* its directory, unless it was lent one */
	struct dv_home *home;   /* &own, or a keeper's */
	const struct dv_run_hooks *hooks; /* borrowed; may be NULL */
	void *owner;                      /* of the hooks */
	struct dv_plan plan;              /* what it was made from */
	struct dv_cgroup cg;
	struct dv_ns sb;
	bool settled; /* it has a place for notes, and its groups */
	bool swept;
	bool plain; /* no sandbox: the command is a child under Landlock */
	struct dv_proc proc;
	uint64_t groups_until_ns; /* when to leave groups to the sweeper */
	int net;                  /* held until all is told; -1 = not */
	int parent_end[3];
	int stop_signal, stop_timeout_ms;
	enum dv_ended_by
		asked; /* why we ended it; DV_ENDED_EXIT = we did not */
	struct dv_src main_src, init_src;
	struct dv_timer state_at; /* when state.json is written */
	struct dv_timer limit;
	struct dv_timer grace; /* of a stop; then the next look at the groups */
	struct dv_defer late;  /* tells waiters that came after the exit */
	struct dv_waiter *waiters;
	struct dv_exit exit;
	uint64_t started_ns; /* monotonic */
	uint64_t begun_ns;   /* monotonic, when start was called */
	bool timing;
	struct dv_mark marks[DV_CTL_MARKS_MAX];
	size_t n_marks;
	char *missing; /* owned, never NULL */
	char describe[256];
};

/* Nothing is there yet; its home has to be set. */
#define DV_RUN_INIT                                                           \
	{                                                                     \
		.own = DV_HOME_INIT, .plan = DV_PLAN_INIT,                    \
		.cg = DV_CGROUP_INIT, .sb = DV_NS_INIT, .proc = DV_PROC_INIT, \
		.parent_end = { -1, -1, -1 }, .main_src = DV_SRC_INIT,        \
		.init_src = DV_SRC_INIT, .state_at = DV_TIMER_INIT,           \
		.limit = DV_TIMER_INIT, .grace = DV_TIMER_INIT,               \
		.late = DV_DEFER_INIT,                                        \
	}

static inline bool dv_run_is_lent(const struct dv_run *run)
{
	return run->home != &run->own;
}

/* start.c */
/*
 * As dv_run_start(), with the directory of a keeper (borrowed until the run is
 * freed): it is there, and locked. @home NULL: one of its own.
 */
int dv_run_start_in(struct dv_run **runp, struct dv_loop *loop,
		    const struct dv_spec *spec, struct dv_home *home,
		    struct dv_err *err);
/* @hooks and @owner: see struct dv_run_hooks; both borrowed. */
static inline void dv_run_hook(struct dv_run *run,
			       const struct dv_run_hooks *hooks, void *owner)
{
	run->hooks = hooks;
	run->owner = owner;
}
/* Give its own directory away, into @to: made if it was not there yet, and from
 * now on lent. 0 or -errno: nothing has changed. */
int dv_run_lend(struct dv_run *run, struct dv_home *to, struct dv_err *err);
/* What its first process was made from; borrowed from @run. */
static inline const dv_Process *dv_run_process(const struct dv_run *run)
{
	return &run->plan.msg.process;
}

/* Its processes and its time limit (CLOCK_MONOTONIC; 0: none). 0 or -errno. */
int dv_run_watch(struct dv_run *run, uint64_t limit_at_ns);

/* plain.c */
/*
 * SIGKILL to everything in it, the command included. Without a sandbox and
 * without a v2 group: to what has not left the command's session. Returns 0 or
 * -errno.
 */
int dv_run_kill(struct dv_run *run);
/*
 * After dv_run_kill(): is the session of a plain command empty but for the
 * command? Kills what is found. True where other means tell: init, or a group.
 */
bool dv_run_is_empty(struct dv_run *run);

/* exit.c */
/* The command ended or the sandbox must go; called by the loop. */
void dv_run_on_main(struct dv_src *src, uint32_t events);
void dv_run_on_init(struct dv_src *src, uint32_t events);
/* Kill everything, reap, and release what the kernel holds for us. */
void dv_run_teardown(struct dv_run *run);
/*
 * Clean up after killed keepers, once, when nobody waits for it: while the
 * command runs on, or else while init goes.
 */
void dv_run_sweep(struct dv_run *run);
/* Fill run->exit.* that is known only at the very end, tell the waiters. */
void dv_run_set_state(struct dv_run *run, enum dv_state to);
/* Stop signal, then SIGKILL after the grace; @why goes into the record. One
 * that is paused goes on for it. */
void dv_run_end(struct dv_run *run, enum dv_ended_by why);
/* It is being stopped: SIGKILL in @grace_ms at the latest. */
void dv_run_hurry(struct dv_run *run, int grace_ms);
