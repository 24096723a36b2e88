/* SPDX-License-Identifier: MIT */
#include "transport/vsock.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>

#include <linux/vm_sockets.h>

#include "base/def.h"
#include "base/fd.h"

static int new_socket(int flags, struct dv_err *err)
{
	int fd = socket(AF_VSOCK, SOCK_STREAM | SOCK_CLOEXEC | flags, 0);
	int r;

	if (fd >= 0)
		return fd;
	r = dv_err_sys(err, errno, "make an AF_VSOCK socket");
	if (r == -EAFNOSUPPORT)
		dv_err_hint(err, "the kernel module vsock is not loaded");
	return r;
}

int dv_af_vsock_listen(struct dv_listener *l, struct dv_loop *loop,
		       uint32_t port, uint32_t only_cid, dv_accept_fn *fn,
		       struct dv_err *err)
{
	struct sockaddr_vm sa = {
		.svm_family = AF_VSOCK,
		.svm_cid = VMADDR_CID_ANY,
		.svm_port = port,
	};
	dv_autofd int fd = new_socket(0, err);
	int r;

	if (fd < 0)
		return fd;
	if (bind(fd, (const struct sockaddr *)&sa, sizeof(sa)) < 0) {
		r = dv_err_sys(err, errno, "bind vsock port %u", port);
		if (r == -EACCES)
			dv_err_hint(err, "ports below 1024 need "
					 "CAP_NET_BIND_SERVICE");
		return r;
	}
	l->only_cid = only_cid;
	r = dv_listener_start(l, loop, dv_take_fd(&fd), 0, fn, err);
	return dv_err_wrap(err, r, "vsock port %u", port);
}

static const char *const not_guests[] = {
	[VMADDR_CID_HYPERVISOR] = "the hypervisor",
	[VMADDR_CID_LOCAL] = "this machine itself",
	[VMADDR_CID_HOST] = "the host",
};

int dv_af_vsock_check_cid(uint32_t cid, struct dv_err *err)
{
	const char *who;

	if (cid < DV_ARRAY_LEN(not_guests))
		who = not_guests[cid];
	else if (cid == VMADDR_CID_ANY)
		who = "any";
	else
		return 0;
	dv_err_set(err, EINVAL, DV_INVALID, "vsock CID %u is %s, not a guest",
		   cid, who);
	dv_err_hint(err, "the CIDs of guests are %zu and above",
		    DV_ARRAY_LEN(not_guests));
	return -EINVAL;
}

int dv_af_vsock_connect(uint32_t cid, uint32_t port, struct dv_err *err)
{
	struct sockaddr_vm sa = {
		.svm_family = AF_VSOCK,
		.svm_cid = cid,
		.svm_port = port,
	};
	dv_autofd int fd = -1;
	int r = dv_af_vsock_check_cid(cid, err);

	if (r < 0)
		return r;
	fd = new_socket(SOCK_NONBLOCK, err);
	if (fd < 0)
		return fd;
	do
		r = connect(fd, (const struct sockaddr *)&sa, sizeof(sa));
	while (r < 0 && errno == EINTR);
	if (r < 0 && errno != EINPROGRESS)
		return dv_err_sys(err, errno, "connect to vsock %u:%u", cid,
				  port);
	return dv_take_fd(&fd);
}
