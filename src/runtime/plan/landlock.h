/* SPDX-License-Identifier: MIT */
#pragma once
/*
 * A plan for a machine without namespaces: a plain child under Landlock that
 * may use the same files as in the default root, as far as Landlock can say so.
 */
#include "davit/err.h"
#include "runtime/plan/planner.h"

/*
 * Refuse with -EOPNOTSUPP what only namespaces can give: a rootfs, a volume at
 * another place, a tmpfs, a host name, capabilities. @how->why ends the text.
 */
int dv_plain_refuse(const struct dv_spec *spec, const struct dv_plain_how *how,
		    struct dv_err *err);

/*
 * Turn the isolation of @plan, with its masked paths, into rules of the
 * process's Landlock, and remove it. A directory that holds a masked path
 * becomes its entries. -EOPNOTSUPP for a volume of @spec that no list of rights
 * can express.
 */
int dv_plain_rules(struct dv_plan *plan, const struct dv_spec *spec,
		   const struct dv_plain_how *how, struct dv_err *err);

/* What is left, when the process is planned: TMPDIR, sockets, the life line,
 * and the lines of what is missing. */
int dv_plain_process(struct dv_planned *out, const struct dv_spec *spec,
		     const struct dv_plain_how *how);
