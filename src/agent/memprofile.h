/* SPDX-License-Identifier: MIT */
#pragma once
/*
 * Where the memory of a process is: JSON, of /proc/PID/smaps_rollup and smaps,
 * summed up by what is mapped, and for ourselves the figures of the heap.
 *
 *   {"pid":1,"name":"davit-agent","unit":"KiB","total":{"rss":1960,...},
 *    "mappings":[{"name":"[heap]","count":1,"size":132,"rss":80,...},...],
 *    "mappings_left_out":0,
 *    "heap":{"unit":"B","arena":...,"in_use":...,"free":...,"mmap":...}}
 */
#include <sys/types.h>

#include "agent/outflow.h"
#include "base/buf.h"

/* So many names are told apart; the rest is one row, "(others)". */
#define DV_MEMPROFILE_ROWS 1024

/*
 * @out is appended to. -ESRCH with "Process with PID N not found", -EACCES, or
 * -errno. It reads files of /proc, which takes about a millisecond for each
 * thousand mappings; at most 8 MiB of them are read.
 */
int dv_memprofile(struct dv_buf *out, pid_t pid, struct dv_err *err);

/*
 * The same to a client, as every flow, see agent/outflow.h. A worker reads: the
 * files of a process wait for its own work on its mappings. Only our own are
 * read here, because a fork shares, and so changes, what is counted.
 */
struct dv_memprofile_flow;
int dv_memprofile_start(struct dv_memprofile_flow **mp, struct dv_loop *loop,
			int out, pid_t pid, dv_outflow_done *done, void *arg,
			struct dv_err *err);
struct dv_memprofile_flow *
dv_memprofile_flow_free(struct dv_memprofile_flow *m);
