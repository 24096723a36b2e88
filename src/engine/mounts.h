/* SPDX-License-Identifier: MIT */
#pragma once
/*
 * The file system of a sandbox, built in its own mount namespace by init and
 * the first process, side by side. All of it runs after fork: async-signal-safe
 * calls only.
 */
#include "davit/err.h"
#include "engine/ctl.h"
#include "wire/plan.pb.h"

/*
 * In init, which alone is in all namespaces: make the file systems that show
 * them (/sys, but not /proc) with their masks. They wait at iso->root.at plus
 * "." and the number of their kind, empty directories of the host. 0 or -errno.
 */
int dv_mounts_prepare(const dv_Isolation *iso, struct dv_ctl *ctl,
		      struct dv_err *err);

/*
 * In the first process: build the root at iso->root.at with all other mounts
 * and masks. Returns 0 or -errno with @err (step ROOT or MOUNT) filled.
 */
int dv_mounts_build(const dv_Isolation *iso, struct dv_ctl *ctl,
		    struct dv_err *err);

/*
 * In the first process, when init is done, too: move what waits to its place,
 * do the mounts that lie in it, and make the root that of this process and of
 * the namespace. The old root is gone afterwards.
 */
int dv_mounts_enter(const dv_Isolation *iso, struct dv_ctl *ctl,
		    struct dv_err *err);
