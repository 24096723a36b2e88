/* SPDX-License-Identifier: MIT */
#pragma once
/*
 * The process part of a plan: command, environment, streams, credentials.
 */
#include "runtime/plan/planner.h"

/*
 * @uid, @gid: who the caller is inside, when the spec names nobody else. A plan
 * without isolation gets no capability, and other ids only where the caller may
 * change its own.
 * Returns 0 or -errno with @err filled.
 */
int dv_plan_process(struct dv_planned *out, const struct dv_spec *spec,
		    const char *workdir, uid_t uid, gid_t gid,
		    struct dv_err *err);
