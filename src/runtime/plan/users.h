/* SPDX-License-Identifier: MIT */
#pragma once
/*
 * Users and groups of a root directory that is not ours: its passwd and group
 * files are read by hand, through descriptors that cannot leave it.
 */
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "davit/err.h"

enum { DV_USER_GROUPS_MAX = 64 };

struct dv_user {
	uid_t uid;
	gid_t gid;
	gid_t groups[DV_USER_GROUPS_MAX]; /* supplementary, gid not included */
	size_t n_groups;
	char home[256]; /* "" = unknown */
	char name[64];  /* "" = no entry */
};

/*
 * Resolve "uid", "name", "uid:gid", "name:group" in the files below @rootfd.
 * Numbers need no entry there; names do. -ENOENT when a name is unknown.
 */
int dv_user_lookup(int rootfd, const char *text, struct dv_user *user,
		   struct dv_err *err);
