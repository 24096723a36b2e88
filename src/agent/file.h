/* SPDX-License-Identifier: MIT */
#pragma once
/*
 * The contents of a file, to a client. Everything that can block, opening it
 * included, is done by a worker.
 *
 *   regular file	from offset on, length bytes or to its end. With follow,
 *			what is appended later comes too; a file that was
 *			truncated starts anew at 0; the removal ends it. Where
 *			the kernel tells of no changes (proc, sysfs), follow
 *			means nothing.
 *   FIFO		until its last writer closes it, and before that, until
 *			there is one; with follow, beyond that
 *   character device	until it has nothing to read; with follow, until its end
 *   /dev/kmsg		the same, in records that end with a NUL (agent/kmsg.h)
 *   anything else	refused: "cannot read directory"
 */
#include "agent/outflow.h"

struct dv_file;

struct dv_file_opts {
	const char *path; /* borrowed; relative: to the working directory */
	bool follow;
	uint64_t offset; /* of regular files only; else -ESPIPE */
	uint64_t length; /* 0: no limit */
	/* May be NULL: the file is open and its bytes will come. */
	void (*started)(void *arg);
};

/*
 * As every flow, see agent/outflow.h. That a file cannot be opened or read is
 * told by @done, without started having been called: "failed to open file:
 * ...", "cannot read directory" and so on.
 */
int dv_file_start(struct dv_file **fp, struct dv_loop *loop, int out,
		  const struct dv_file_opts *opts, dv_outflow_done *done,
		  void *arg, struct dv_err *err);
struct dv_file *dv_file_free(struct dv_file *f);
