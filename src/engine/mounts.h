/* SPDX-License-Identifier: MIT */
#pragma once
/*
 * The file system of a sandbox, built in its own mount namespace. Both halves
 * run after fork: async-signal-safe calls only.
 */
#include "davit/err.h"
#include "engine/ctl.h"
#include "wire/plan.pb.h"

/*
 * Build the root of @iso at iso->root.at with all mounts that need only the
 * user and the mount namespace. Returns 0 or -errno with @err (step ROOT or
 * MOUNT) filled.
 */
int dv_mounts_build(const dv_Isolation *iso, struct dv_ctl *ctl,
		    struct dv_err *err);

/*
 * In all namespaces: mount what belongs to one of them (/proc, /sys) and what
 * lies below these, mask, and make the root that of this process and of the
 * namespace. The old root is gone afterwards.
 */
int dv_mounts_enter(const dv_Isolation *iso, struct dv_ctl *ctl,
		    struct dv_err *err);
