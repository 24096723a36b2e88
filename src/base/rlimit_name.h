/* SPDX-License-Identifier: MIT */
#pragma once
/*
 * The names of RLIMIT_*, in lower case: "nofile".
 */
#include <stddef.h>
#include <sys/resource.h>

enum { DV_RLIMITS = RLIM_NLIMITS };

/* NULL: there is no limit @resource. Static. */
const char *dv_rlimit_name(int resource);
/* RLIMIT_* of the @len bytes at @name, or -1. */
int dv_rlimit_find(const char *name, size_t len);
