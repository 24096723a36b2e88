/* SPDX-License-Identifier: MIT */
#pragma once
/*
 * Places in a root that is being built. Paths are resolved inside that root,
 * whatever symlinks it contains. Async-signal-safe.
 */
#include <stdbool.h>
#include <sys/types.h>

#include "davit/err.h"

/*
 * The directory that something was made in last: the next thing, most likely of
 * the same directory, is made there without a walk from the root. It holds for
 * one root, until something is mounted on a directory: that may cover this one,
 * by whatever name.
 */
struct dv_near {
	int fd;           /* owned; -1 = none */
	const char *path; /* borrowed: not NUL-terminated, @len bytes */
	size_t len;
};

#define DV_NEAR_INIT        \
	{                   \
		-1, NULL, 0 \
	}

/* Forget it. Idempotent. */
void dv_near_close(struct dv_near *near);

/*
 * Open @path in @root as O_PATH, making it (a directory, or an empty file) and
 * missing directories above it. @path is borrowed until dv_near_close(). @near
 * may be NULL. Returns an fd (owned) or -errno: -ENOTDIR or -EISDIR when
 * something of the other kind is there.
 */
int dv_target_open(int root, struct dv_near *near, const char *path, bool dir,
		   struct dv_err *err);

/* Make a symlink; one that is there already, with any text, is left alone. */
int dv_target_symlink(int root, struct dv_near *near, const char *path,
		      const char *text, struct dv_err *err);

/* chmod() of an O_PATH fd. Returns 0 or -1 with errno. */
int dv_target_chmod(int fd, mode_t mode);
