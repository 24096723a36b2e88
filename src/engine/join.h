/* SPDX-License-Identifier: MIT */
#pragma once
/*
 * Handing control groups to a process that is already being started: groups are
 * made while its helper mounts. Their descriptors go over a socket, one message
 * each, the v2 directory first; the end of the stream with ctl->joined set
 * means that this was all of them.
 */
#include "davit/err.h"
#include "engine/cgroup.h"
#include "engine/ctl.h"

struct dv_joined {
	int v2_fd; /* for CLONE_INTO_CGROUP, or -1 */
	int procs_fd[DV_CGROUP_GROUPS_MAX];
	int n_procs;
};

#define DV_JOINED_INIT { .v2_fd = -1 }

/* The keeper's side; @cg may be NULL: none. Returns 0 or -errno. */
int dv_join_send(int sock, struct dv_ctl *ctl, const struct dv_cgroup *cg);

/*
 * In the child: blocks. 0, or -EPIPE when the keeper gave up or is gone. The
 * descriptors close by exec. Async-signal-safe.
 */
int dv_join_receive(int sock, struct dv_ctl *ctl, struct dv_joined *out);

/* In the child that joins: enter all v1 groups. 0 or -errno. */
int dv_join_enter(const struct dv_joined *groups);
