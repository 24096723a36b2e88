/* SPDX-License-Identifier: MIT */
#pragma once
/*
 * Where a process stands in the control group hierarchies: pure parsers of the
 * text of /proc/self/cgroup and /proc/self/mountinfo. They do no I/O.
 */
#include <stddef.h>

#include "base/buf.h"

/* The hierarchies that davit has a use for; v1 ones are named by controller. */
enum dv_cg_tree {
	DV_CG_V2,
	DV_CG_MEMORY,
	DV_CG_CPU,
	DV_CG_PIDS,
	DV_CG_IO,
	DV_CG_TREE_N
};

/*
 * The caller's group in each hierarchy, as slices of the parsed text. A ptr of
 * NULL: there is no such hierarchy, so that controller is on v2 or nowhere.
 */
struct dv_cg_self {
	struct dv_str path[DV_CG_TREE_N]; /* "/", "/a/b" */
	struct dv_str ctls[DV_CG_TREE_N]; /* "cpu,cpuacct"; empty on v2 */
};

/* "memory", "cpu", "pids", "io"; "v2" for DV_CG_V2. Static. */
const char *dv_cg_tree_name(enum dv_cg_tree tree);
/* What v1 calls it: "blkio" is the only difference. Static. */
const char *dv_cg_v1_name(enum dv_cg_tree tree);

/*
 * Parse /proc/self/cgroup. @out borrows from @text. A text that does not end
 * with a line's end was cut short, and is -EINVAL like a malformed line: a
 * shortened path would name somebody else's group.
 */
int dv_cg_parse_self(const char *text, size_t len, struct dv_cg_self *out);

/*
 * The directory of group @own in the last mount of @tree, in the text of
 * mountinfo, that contains it: later mounts cover earlier ones. Mounts of a
 * part of the hierarchy (containers) are understood. *@lenp becomes the length
 * of the text before that mount, to go on with if it turns out to be covered
 * itself. Returns 0, -ENOENT or -ENAMETOOLONG.
 */
int dv_cg_parse_mounts(const char *text, size_t *lenp, enum dv_cg_tree tree,
		       struct dv_str own, char *out, size_t size);

/* 1 when the @sep-separated list in @list has @word, else 0. */
int dv_cg_list_has(struct dv_str list, char sep, const char *word);

/* The number after "@key " at the start of a line; 0 when there is none. */
uint64_t dv_cg_parse_counter(const char *text, const char *key);
