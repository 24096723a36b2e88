/* SPDX-License-Identifier: MIT */
#include "rpc/recv_fds.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>
#include <sys/socket.h>

#include "base/def.h"
#include "base/fd.h"

union control {
	struct cmsghdr align;
	char buf[CMSG_SPACE(sizeof(int) * DV_RPC_FDS_MAX)];
};

/* The descriptors of one control message. False: there were too many. */
static bool take(const struct cmsghdr *c, int fds[DV_RPC_FDS_MAX], size_t *np)
{
	size_t n = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
	bool ok = true;

	for (size_t i = 0; i < n; i++) {
		int fd;

		memcpy(&fd, CMSG_DATA(c) + i * sizeof(int), sizeof(fd));
		if (*np < DV_RPC_FDS_MAX)
			fds[(*np)++] = fd;
		else
			ok = dv_close(fd) == 0;
	}
	return ok;
}

ssize_t dv_recv_fds(int sock, void *buf, size_t len, int flags,
		    int fds[DV_RPC_FDS_MAX], size_t *np)
{
	union control ctl;
	struct iovec iov = { buf, len };
	struct msghdr msg = {
		.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = &ctl,
		.msg_controllen = sizeof(ctl),
	};
	bool ok;
	ssize_t n;

	do
		n = recvmsg(sock, &msg, MSG_CMSG_CLOEXEC | flags);
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return -errno;
	ok = !(msg.msg_flags & MSG_CTRUNC);
	if (msg.msg_controllen == 0)
		return ok ? n : -EBADMSG;
	for (struct cmsghdr *c = CMSG_FIRSTHDR(&msg); c;
	     c = CMSG_NXTHDR(&msg, c))
		if (c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_RIGHTS &&
		    !take(c, fds, np))
			ok = false;
	return ok ? n : -EBADMSG;
}
