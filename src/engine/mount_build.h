/* SPDX-License-Identifier: MIT */
#pragma once
/*
 * What the parts of a root are made with; see mounts.c for who makes which. All
 * of it is async-signal-safe, and returns 0 (or an fd) or -errno with @err.
 */
#include "davit/err.h"
#include "engine/mount_target.h"
#include "wire/plan.pb.h"

/* Masks are clones of the first one made of each kind. */
struct dv_builder {
	const dv_Isolation *iso;
	int root;      /* what targets are resolved in, O_PATH */
	int null_fd;   /* host's /dev/null, O_PATH; opened by the first mask */
	int empty_dir; /* first masked directory: an empty read-only tmpfs */
	struct dv_near near; /* in root */
};

#define DV_BUILDER(isolation)                         \
	{                                             \
		(isolation), -1, -1, -1, DV_NEAR_INIT \
	}

void dv_builder_close(struct dv_builder *b);

/* mount_root.c: the root of the plan, attached at iso->root.at. An fd. */
int dv_build_root(const dv_Isolation *iso, struct dv_err *err);
/* Make @root the root of this process and its namespace, and cut off the old.
 */
int dv_build_enter(int root, struct dv_err *err);

/* mount_one.c: one mount of the plan, whatever its kind. */
int dv_build_mount(struct dv_builder *b, const dv_Mount *m, struct dv_err *err);
/* A new file system, detached, with the flags and options of @m. An fd. */
int dv_build_fs(const dv_Mount *m, struct dv_err *err);
/* Put the mount @mnt on the target of @m. */
int dv_build_attach(struct dv_builder *b, int mnt, const dv_Mount *m,
		    struct dv_err *err);

/* mount_cover.c; a path that is not there needs no cover. */
int dv_build_mask(struct dv_builder *b, const char *path, struct dv_err *err);
int dv_build_readonly(struct dv_builder *b, const char *path,
		      struct dv_err *err);
