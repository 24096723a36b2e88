/* SPDX-License-Identifier: MIT */
#pragma once
/*
 * A keeper that executes itself anew, wire/upgrade.proto. Private to the files
 * of this: keeper_save.c (the document), keeper_upgrade.c (when and how),
 * run_save.c (its run).
 */
#include "base/buf.h"
#include "base/fmt.h"
#include "runtime/keeper.h"
#include "services/pump.h"
#include "services/reexec.h"
#include "wire/pb.h"
#include "wire/upgrade.pb.h"

enum { DV_KEEPER_STATE_VERSION = 1 };

/* A descriptor (borrowed; -1: none) in a document; it outlives the exec. */
static inline uint32_t dv_save_fd(int fd, struct dv_reexec_fds *keep)
{
	if (fd >= 0)
		dv_reexec_keep(keep, fd);
	return dv_fd_to_state(fd);
}

/* ---- run_save.c ---- */
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

/* ---- keeper_save.c ---- */
/* All of it, for pb_release(); @keep gets every descriptor. 0, -EBUSY while
 * processes are being started, or -errno. */
int dv_keeper_save(struct dv_keeper *k, dv_KeeperState *out,
		   struct dv_reexec_fds *keep, struct dv_err *err);
/* From a document (borrowed). -EPROTO for what is no state of this version. */
int dv_keeper_load(int fd, dv_KeeperState *st, struct dv_err *err);
/*
 * Go on with what runs; parts of @st are moved. On failure *@keeperp may be a
 * keeper that can only log, and the connections in @st are as they were.
 */
int dv_keeper_restore(struct dv_keeper **keeperp, struct dv_loop *loop,
		      dv_KeeperState *st, struct dv_err *err);
