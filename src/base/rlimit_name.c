/* SPDX-License-Identifier: MIT */
#include "base/rlimit_name.h"

#include <string.h>

#include "base/def.h"

static const char *const names[] = {
	[RLIMIT_CPU] = "cpu",           [RLIMIT_FSIZE] = "fsize",
	[RLIMIT_DATA] = "data",         [RLIMIT_STACK] = "stack",
	[RLIMIT_CORE] = "core",         [RLIMIT_RSS] = "rss",
	[RLIMIT_NPROC] = "nproc",       [RLIMIT_NOFILE] = "nofile",
	[RLIMIT_MEMLOCK] = "memlock",   [RLIMIT_AS] = "as",
	[RLIMIT_LOCKS] = "locks",       [RLIMIT_SIGPENDING] = "sigpending",
	[RLIMIT_MSGQUEUE] = "msgqueue", [RLIMIT_NICE] = "nice",
	[RLIMIT_RTPRIO] = "rtprio",     [RLIMIT_RTTIME] = "rttime",
};
static_assert(DV_ARRAY_LEN(names) == DV_RLIMITS, "one name per limit");

const char *dv_rlimit_name(int resource)
{
	return resource >= 0 && resource < DV_RLIMITS ? names[resource] : NULL;
}

int dv_rlimit_find(const char *name, size_t len)
{
	for (int i = 0; i < DV_RLIMITS; i++)
		if (!strncmp(names[i], name, len) && !names[i][len])
			return i;
	return -1;
}
