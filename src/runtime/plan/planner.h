/* SPDX-License-Identifier: MIT */
#pragma once
/*
 * From what was asked for to a plan: the one place that knows what the words of
 * the command line mean for the engine.
 */
#include "davit/err.h"
#include "engine/plan.h"
#include "runtime/plan/spec.h"

enum { DV_PLANNER_FDS_MAX = DV_PLAN_FDS_MAX };

struct dv_planned {
	struct dv_plan plan;
	int fds[DV_PLANNER_FDS_MAX]; /* what plan fds name; see owned */
	bool owned[DV_PLANNER_FDS_MAX];
	size_t n_fds;
	int parent_end[3];     /* the library's ends of pipes; owned, or -1 */
	struct dv_buf missing; /* what best effort goes without, line by line */
	bool cwd_hidden; /* the caller's directory must not be shown: in / */
};

#define DV_PLANNED_INIT                      \
	{                                    \
		.parent_end = { -1, -1, -1 } \
	}

/*
 * Fill @out for one run of @spec whose root is built at @at (RUNDIR/<id>).
 * On failure nothing is left to free.
 */
int dv_planner_plan(struct dv_planned *out, const struct dv_spec *spec,
		    const char *id, const char *rundir, const char *at,
		    struct dv_err *err);
/* What a run without namespaces has instead; all borrowed. */
struct dv_plain_how {
	int abi;            /* Landlock's, 1 and up */
	const char *tmpdir; /* made before the command starts */
	const char *why;    /* what it was that could not be had */
};

/*
 * Fill @out for a plain child under Landlock: no isolation in the plan, and
 * out->missing says line by line what that lacks. What it cannot do at all is
 * -EOPNOTSUPP. On failure nothing is left to free.
 */
int dv_planner_plain(struct dv_planned *out, const struct dv_spec *spec,
		     const char *rundir, const struct dv_plain_how *how,
		     struct dv_err *err);
/* Close what is owned and free; idempotent. */
void dv_planner_free(struct dv_planned *p);
