/* SPDX-License-Identifier: MIT */
#pragma once
/*
 * Hosts in the inspect tree.
 */
#include "inspect/inspect.h"

/*
 * @hosts is the dv_hosts: PID/{name,node_id,state,rlimit,exit,tasks,...} of
 * each, with what the host itself shows beside them, and of this process. A
 * host that does not answer leaves only its own part unresolved, and none can
 * show anything under the names that are shown for it.
 */
void dv_hosts_inspect(struct dv_inspect *in, void *hosts);
/* @mesh is the dv_mesh: PID of this process alone, where no host can be. */
void dv_hosts_inspect_self(struct dv_inspect *in, void *mesh);
