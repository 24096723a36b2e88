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
 */
#include "davit/run.h"
#include "engine/ns.h"
#include "runtime/dirs.h"
#include "runtime/planner.h"

struct dv_run {
	struct dv_loop *loop;
	bool own_loop;
	enum dv_state state;
	char id[DV_ID_LEN + 1]; /* outlives its directory */
	struct dv_home home;
	struct dv_cgroup cg;
	struct dv_ns sb;
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

/* run_plain.c */
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

/* run_exit.c */
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
/* Stop signal, then SIGKILL after the grace; @why goes into the record. */
void dv_run_end(struct dv_run *run, enum dv_ended_by why);
