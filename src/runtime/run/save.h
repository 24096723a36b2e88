/* SPDX-License-Identifier: MIT */
#pragma once
/*
 * A run that outlives the program that started it: its part of the document
 * that a keeper leaves itself, wire/upgrade.proto.
 */
#include "base/fmt.h"
#include "runtime/run/run.h"
#include "services/pump.h"
#include "services/reexec.h"
#include "wire/pb.h"
#include "wire/upgrade.pb.h"

/* A descriptor (borrowed; -1: none) in a document; it outlives the exec. */
static inline uint32_t dv_save_fd(int fd, struct dv_reexec_fds *keep)
{
	if (fd >= 0)
		dv_reexec_keep(keep, fd);
	return dv_fd_to_state(fd);
}

/* Of a run that is RUNNING or PAUSED; for pb_release(). 0 or -errno. */
int dv_run_save(const struct dv_run *run, dv_RunState *out,
		struct dv_reexec_fds *keep);
/*
 * Its descriptors are consumed. On failure *@runp may be a run that can only be
 * freed, which ends it.
 */
int dv_run_restore(struct dv_run **runp, struct dv_loop *loop,
		   const dv_RunState *st, struct dv_home *home,
		   struct dv_err *err);
