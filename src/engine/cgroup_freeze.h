/* SPDX-License-Identifier: MIT */
#pragma once
/*
 * Freezing a v2 group, with an event when all of it is frozen: the kernel says
 * so in cgroup.events, which can be polled. Embedded in its owner; all-zero is
 * idle.
 */
#include "davit/loop.h"
#include "engine/cgroup.h"

struct dv_freeze {
	struct dv_loop *loop; /* NULL: idle */
	struct dv_cgroup *cg;
	struct dv_src src;
	struct dv_timer deadline;
	struct dv_defer now; /* it was frozen at once */
	void (*done)(struct dv_freeze *f, int r, const struct dv_err *err);
};

/*
 * Freeze all that is in @cg (borrowed until the end). @done is called once,
 * never from inside: 0 everything is frozen, or -ETIMEDOUT after @timeout_ms,
 * and it was thawed again. Returns 0, -EOPNOTSUPP without a v2 group, -EALREADY
 * while it is under way, or -errno; then nothing is called.
 */
int dv_freeze_start(struct dv_freeze *f, struct dv_loop *loop,
		    struct dv_cgroup *cg, int timeout_ms,
		    void (*done)(struct dv_freeze *f, int r,
				 const struct dv_err *err),
		    struct dv_err *err);
/* Thaw, and forget it: nothing is called. Idempotent. */
void dv_freeze_cancel(struct dv_freeze *f);
static inline bool dv_freeze_runs(const struct dv_freeze *f)
{
	return f->loop;
}
