/* SPDX-License-Identifier: MIT */
#pragma once
/*
 * A keeper that executes itself anew, wire/upgrade.proto. Private to the files
 * of this: save.c (the document), upgrade.c (when and how). Its run's part:
 * run/save.h.
 */
#include "base/buf.h"
#include "runtime/keeper/keeper.h"
#include "runtime/run/save.h"
#include "services/pump.h"

enum { DV_KEEPER_STATE_VERSION = 1 };

/* ---- save.c ---- */
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
