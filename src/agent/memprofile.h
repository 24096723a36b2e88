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

#include "base/buf.h"

/* So many names are told apart; the rest is one row, "(others)". */
#define DV_MEMPROFILE_ROWS 1024

/*
 * @out is appended to. -ESRCH with "Process with PID N not found", -EACCES, or
 * -errno. It reads files of /proc, which takes about a millisecond for each
 * thousand mappings; at most 8 MiB of them are read.
 */
int dv_memprofile(struct dv_buf *out, pid_t pid, struct dv_err *err);
