/* SPDX-License-Identifier: MIT */
#pragma once
/*
 * Files of environment variables, as --env-file reads them.
 *
 * One "KEY=VALUE" or "KEY" (the caller's value) a line. Empty lines and lines
 * that start with # are skipped, spaces before a key are dropped, and nothing
 * is quoted or expanded: the value is every byte up to the end of the line. A
 * carriage return before the newline and a byte order mark at the start are
 * what editors of other systems leave, and are dropped.
 */
#include <stddef.h>

#include <davit/err.h>

enum { DV_ENVFILE_MAX = 4 * 1024 * 1024 }; /* bytes; ARG_MAX is smaller */

/* @entry is NUL-terminated, borrowed until the function returns. */
typedef int dv_envfile_fn(void *arg, const char *entry, struct dv_err *err);

/*
 * Call @fn for each entry of the @len bytes at @text. A NUL, a space in a key
 * and a line without a key are -EINVAL with the line number; @name is the file,
 * for messages. What @fn returns below 0 ends it and is passed up.
 */
int dv_envfile_parse(const char *name, const char *text, size_t len,
		     dv_envfile_fn *fn, void *arg, struct dv_err *err);

/* Read the file at @path and parse it. */
int dv_envfile_read(const char *path, dv_envfile_fn *fn, void *arg,
		    struct dv_err *err);
