/* SPDX-License-Identifier: MIT */
#pragma once
/*
 * From a request to a plan: what the engine shall execute.
 */
#include "engine/plan.h"
#include "services/procs.h"

/*
 * Append what @rq says to the empty @plan, descriptors apart: argv, file, the
 * merged environment, cwd, ids, limits, terminal. Every process is the leader
 * of a session of its own, so that its group can be signalled. Returns 0 or
 * -EINVAL, -ENOMEM with @err filled.
 */
int dv_exec_plan(struct dv_plan *plan, const dv_ExecRequest *rq,
		 const struct dv_procs_opts *opts, struct dv_err *err);
