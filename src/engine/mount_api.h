/* SPDX-License-Identifier: MIT */
#pragma once
/*
 * The new mount API of Linux (5.2, mount_setattr 5.12), one call per verb. All
 * return >= 0 or -errno and are async-signal-safe.
 */
#include <stdbool.h>
#include <stdint.h>

/* A detached clone of what is at @dirfd/@path ("" = @dirfd itself). An fd. */
int dv_mnt_clone(int dirfd, const char *path, bool recursive);
/* Change attributes (MOUNT_ATTR_*) of the mount @mnt. */
int dv_mnt_setattr(int mnt, uint64_t set, uint64_t clear, bool recursive);
/* Attach the detached mount @mnt on @at (an O_PATH fd). */
int dv_mnt_move(int mnt, int at);
/* A file system that is being configured. An fd. */
int dv_mnt_fsopen(const char *type);
/* @value NULL: a flag. */
int dv_mnt_option(int fs, const char *key, const char *value);
/* "key=value,flag": for options whose values contain no comma. */
int dv_mnt_options(int fs, const char *options);
/* Create it and make a detached mount of it. An fd. */
int dv_mnt_create(int fs, uint64_t attr);
/* Nothing that is mounted below @path is seen elsewhere, or comes from there.
 */
int dv_mnt_private(const char *path);
