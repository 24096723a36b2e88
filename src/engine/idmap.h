/* SPDX-License-Identifier: MIT */
#pragma once
/*
 * The id maps of a user namespace, written by its parent (user_namespaces(7)).
 */
#include <sys/types.h>

#include "davit/err.h"
#include "wire/plan.pb.h"

/*
 * Write the maps of @iso for the process @pid, which waits for it; nothing to
 * do without a user namespace. Maps that the kernel does not let the caller
 * write directly go through newuidmap(1) and newgidmap(1).
 */
int dv_idmap_write(pid_t pid, const dv_Isolation *iso, struct dv_err *err);
