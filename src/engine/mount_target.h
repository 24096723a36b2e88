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
 * Open @path in @root as O_PATH, making it (a directory, or an empty file) and
 * missing directories above it. Returns an fd (owned) or -errno: -ENOTDIR or
 * -EISDIR when something of the other kind is there.
 */
int dv_target_open(int root, const char *path, bool dir, struct dv_err *err);

/* Make a symlink; one that is there already, with any text, is left alone. */
int dv_target_symlink(int root, const char *path, const char *text,
		      struct dv_err *err);

/* chmod() of an O_PATH fd. Returns 0 or -1 with errno. */
int dv_target_chmod(int fd, mode_t mode);
