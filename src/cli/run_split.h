/* SPDX-License-Identifier: MIT */
#pragma once
/*
 * Option values made of several words: pure functions. All return 0 or -EINVAL
 * with @err filled, and set nothing they do not return 0 for.
 */
#include <limits.h>
#include <stddef.h>
#include <stdint.h>

#include <davit/run.h>

/* "DIR", "DIR:ro", "DIR:rw" */
int dv_split_rootfs(const char *value, char *dir, size_t size,
		    enum dv_rootfs_mode *modep, struct dv_err *err);

struct dv_volume_words {
	char src[PATH_MAX], dst[PATH_MAX];
	uint32_t flags; /* DV_VOLUME_* */
};

/* "SRC:DST", "SRC:DST:ro", "SRC:DST:rw" */
int dv_split_volume(const char *value, struct dv_volume_words *v,
		    struct dv_err *err);

/* "PATH", "PATH:size=SIZE"; no size sets 0 */
int dv_split_tmpfs(const char *value, char *dir, size_t size, uint64_t *bytesp,
		   struct dv_err *err);

/* "N", "N=M"; M is at least 3 */
int dv_split_fd(const char *value, int *fdp, int *top, struct dv_err *err);

struct dv_ulimit_words {
	int resource;        /* RLIMIT_* */
	uint64_t soft, hard; /* UINT64_MAX = unlimited */
};

/* "NAME=SOFT", "NAME=SOFT:HARD"; "unlimited" and "-1" are values */
int dv_split_ulimit(const char *value, struct dv_ulimit_words *u,
		    struct dv_err *err);
