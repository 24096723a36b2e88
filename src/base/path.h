/* SPDX-License-Identifier: MIT */
#pragma once
/*
 * Paths.
 */
#include <limits.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/*
 * "a" + "b" -> "a/b", slashes not doubled; when one is empty, the other as it
 * is. Returns 0 or -ENAMETOOLONG.
 */
int dv_path_join(char *out, size_t size, const char *a, const char *b);
/*
 * Make @path absolute (against the current directory) and remove ".", ".." and
 * double slashes as text, without looking at symlinks. 0, -ENAMETOOLONG, or
 * what getcwd() says.
 */
int dv_path_absolute(char *out, size_t size, const char *path);
/* True when @path is @dir or below it. Both absolute and clean. */
int dv_path_below(const char *path, const char *dir);
/* mkdir -p; existing directories are fine. Returns 0 or -errno. */
int dv_mkdir_p(const char *path, mode_t mode);
/*
 * openat2(RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS): symlinks and ".." end at
 * @rootfd. Close-on-exec; @mode counts only when @flags create. The fd (owned)
 * or -errno; -ENOSYS before Linux 5.6.
 */
int dv_open_in_root(int rootfd, const char *path, uint64_t flags, mode_t mode);
/*
 * Remove a directory tree (or file) @name of @dirfd, never following symlinks
 * and never entering a mount point (-EBUSY). Any depth; about 32 descriptors at
 * most. Directories in it that their owner locked (mode 000) are unlocked.
 * Returns 0, -ENOENT when it is not there, or the first error; then part of
 * the tree is left.
 */
int dv_remove_tree(int dirfd, const char *name);
