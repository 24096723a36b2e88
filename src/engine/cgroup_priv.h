/* SPDX-License-Identifier: MIT */
#pragma once
/*
 * What the files of the control group code share. Functions that fail fill
 * @err (never NULL here) with the reason and set a hint; the caller wraps it
 * with what was asked for, or puts it into a report.
 */
#include <limits.h>
#include <stdbool.h>

#include "engine/cgroup.h"
#include "engine/cgroup_parse.h"

#define DV_CG_PREFIX "davit-"
/* Where a process goes that leaves its own group to pass controllers on. */
#define DV_CG_KEEPER "davit-keeper"
/* The kernel's own files are a page; this is for a crowded cgroup.procs. */
enum { DV_CG_FILE_MAX = 1 << 20 };

/* cgroup_site.c: where we stand. */
struct dv_cg_site {
	char *self_text;   /* owned; self borrows from it */
	char *mounts_text; /* owned; NULL until it is needed */
	size_t mounts_len;
	struct dv_cg_self self;
	bool init_ns; /* in the first cgroup namespace */
};

/* Close with dv_cg_site_close(), after a failure too. */
int dv_cg_site_open(struct dv_cg_site *s, struct dv_err *err);
void dv_cg_site_close(struct dv_cg_site *s);
/* The caller's group in @tree as a path. -ENOENT: not mounted here. */
int dv_cg_site_own(struct dv_cg_site *s, enum dv_cg_tree tree, char *out,
		   size_t size);
/* The hint that fits the user: who could have what was refused. */
void dv_cg_hint_delegate(struct dv_err *err);
/* access(2) for the effective user; -EACCES or -EOPNOTSUPP (read-only). */
int dv_cg_writable(const char *dir, const char *file, struct dv_err *err);

/* cgroup.c: the list of what was made. */
/* mkdir @dir/@name and note it; -EEXIST when it was there, not ours. */
int dv_cg_mkdir(struct dv_cgroup *cg, enum dv_cg_tree tree, const char *dir,
		const char *name, struct dv_err *err);

/* Is every limit one that makes sense? 0 or -EINVAL. */
int dv_cg_check_limits(const struct dv_cgroup_limits *limits,
		       struct dv_err *err);
/* The member of @limits for @tree. */
uint64_t dv_cg_limit_of(const struct dv_cgroup_limits *limits,
			enum dv_cg_tree tree);
/* Say which limit it was that failed with @r; returns @r. */
int dv_cg_wrap_limit(const struct dv_cgroup_limits *limits,
		     enum dv_cg_tree tree, int r, struct dv_err *err);

/* cgroup_read.c */
/*
 * The group directory (O_PATH, owned) of ours that limits @tree; *@v2p says
 * which kind it is. -ENOENT: none does.
 */
int dv_cg_open(const struct dv_cgroup *cg, enum dv_cg_tree tree, bool *v2p);
/* The first number in a file of the group open as @fd; @none for "max", "-1"
 * and what cannot be read. */
uint64_t dv_cg_number(int fd, const char *file, uint64_t none);

/* cgroup_v1.c */
/* Could the caller limit @tree? @dir becomes its own group (PATH_MAX). */
int dv_cg1_check(struct dv_cg_site *s, enum dv_cg_tree tree, char *dir,
		 struct dv_err *err);
/* Make the group of @tree and set its limit. */
int dv_cg1_limit(struct dv_cgroup *cg, struct dv_cg_site *s,
		 enum dv_cg_tree tree, const char *name,
		 const struct dv_cgroup_limits *limits, struct dv_err *err);

/* Write the limit of @tree into the group that is open as @dirfd; 0: none. */
int dv_cg1_put(int dirfd, enum dv_cg_tree tree,
	       const struct dv_cgroup_limits *limits, struct dv_err *err);

/* cgroup_v2.c */
/*
 * The group under which ours goes (PATH_MAX). Returns 1 when that is the parent
 * of the davit-keeper group that we are in, else 0 or -errno.
 */
int dv_cg2_base(struct dv_cg_site *s, char *dir, struct dv_err *err);
/* May a child of group @dir have the controller, or be given it? */
int dv_cg2_check(const char *dir, enum dv_cg_tree tree, struct dv_err *err);
/* Does any disk of the machine honour a weight? */
int dv_cg2_check_io(struct dv_err *err);
/* Limit our v2 group below @dir; enables the controller when that is needed. */
int dv_cg2_limit(struct dv_cgroup *cg, const char *dir, enum dv_cg_tree tree,
		 const struct dv_cgroup_limits *limits, struct dv_err *err);
/* As dv_cg1_put(). */
int dv_cg2_put(int fd, enum dv_cg_tree tree,
	       const struct dv_cgroup_limits *limits, struct dv_err *err);
/* Enable the controllers of @limits in @dir that v2 has; those it can. */
void dv_cg2_pass_on(struct dv_cg_site *s, const char *dir,
		    const struct dv_cgroup_limits *limits);
/* Go back from @dir/davit-keeper into @dir, unless somebody still needs it. */
void dv_cg2_undelegate(const char *dir);
/* SIGKILL to all in the v2 group that is open as @fd. */
int dv_cg2_kill(int fd);

/* cgroup_sweep.c */
/* rmdir of a group and of groups that were made below it; -EBUSY. */
int dv_cg_rmdir(int dirfd, const char *name);
/* True for "davit-" and 16 lower-case hex digits. */
bool dv_cg_is_ours(const char *name);
