/* SPDX-License-Identifier: MIT */
#pragma once
/*
 * Reading from a socket, with what descriptors come along. Private to this
 * room.
 */
#include <stddef.h>
#include <sys/types.h>

#include "rpc/limits.h"

/*
 * One read, with @flags (MSG_DONTWAIT, or 0). Descriptors (owned by the caller,
 * close-on- exec) are put behind the *@np that are in @fds already. Returns the
 * number of bytes, 0 at the end, -EBADMSG when more than DV_RPC_FDS_MAX came
 * together (what came stays in @fds), or -errno.
 */
ssize_t dv_recv_fds(int sock, void *buf, size_t len, int flags,
		    int fds[DV_RPC_FDS_MAX], size_t *np);
