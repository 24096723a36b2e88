/* SPDX-License-Identifier: MIT */
#include "rpc/limits.h"

#include <sys/resource.h>

unsigned int dv_rpc_fd_share(unsigned int max, unsigned int part)
{
	struct rlimit nofile;
	rlim_t share;

	if (getrlimit(RLIMIT_NOFILE, &nofile) < 0)
		return max;
	share = nofile.rlim_cur / part;
	if (share >= max)
		return max;
	return share ? (unsigned int)share : 1;
}
