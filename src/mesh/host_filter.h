/* SPDX-License-Identifier: MIT */
#pragma once
/*
 * The system calls of a locked host: it computes, waits, and uses the
 * descriptors that it has. EPERM for what makes or names anything else, SIGSYS
 * for what only an attack would call.
 */
#include <linux/filter.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

enum { DV_HOST_FILTER_MAX = 1024 };

/*
 * Write the filter of this process, which is @pid (it may signal itself), with
 * @allow (numbers, at most 64) beside what it always has. Returns the number of
 * instructions.
 */
size_t dv_host_filter(struct sock_filter out[DV_HOST_FILTER_MAX], pid_t pid,
		      const uint32_t *allow, size_t n_allow);
