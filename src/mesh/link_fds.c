/* SPDX-License-Identifier: MIT */
/*
 * DOC: descriptors on a stream.
 *
 * The kernel passes descriptors with a byte; which one it was the receiver does
 * not learn. So the sender begins a sendmsg() with the first byte of each frame
 * that has some, and the receiver gives the n-th batch that came to the n-th
 * frame that announces some. A batch comes with its frame's first byte at the
 * latest, and one read brings at most one batch. Hence a batch that no frame
 * has claimed when all complete frames were looked at belongs to the frame that
 * has begun, or to none, which is a violation.
 *
 * When this process may open no more, the kernel says MSG_CTRUNC and installs
 * what it can, from the first on; that may be none.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "base/def.h"
#include "base/fd.h"
#include "mesh/link.h"

#ifndef SO_PASSPIDFD
#define SO_PASSPIDFD 76 /* Linux 6.5; not in the headers of Debian 12 */
#endif
#ifndef SCM_PIDFD
#define SCM_PIDFD 4
#endif

/* The descriptors, and what options of a socket from elsewhere may add. */
union control {
	struct cmsghdr align;
	char buf[CMSG_SPACE(sizeof(int) * DV_LINK_FDS_MAX) +
		 CMSG_SPACE(sizeof(struct ucred)) + 256];
};

/* ---- the socket ---- */

int dv_link_socket(int fd)
{
	/* A read that sleeps is to end with the first byte. */
	static const int unwanted[] = { SO_PASSPIDFD, SO_PASSSEC, SO_TIMESTAMP,
					SO_RCVLOWAT };
	int domain = -1, type = -1, no = 0;
	socklen_t len = sizeof(int);

	if (getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &len) < 0)
		return errno == EBADF ? -EBADF : -ENOTSOCK;
	len = sizeof(int);
	getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &len);
	if (domain != AF_UNIX || type != SOCK_STREAM)
		return -ENOTSOCK;
	/* What does not exist in this kernel does no harm either. */
	for (size_t i = 0; i < DV_ARRAY_LEN(unwanted); i++)
		setsockopt(fd, SOL_SOCKET, unwanted[i], &no, sizeof(no));
	return 0;
}

void dv_link_pass_creds(int fd, bool on)
{
	int value = on;

	setsockopt(fd, SOL_SOCKET, SO_PASSCRED, &value, sizeof(value));
}

/* ---- receiving ---- */

struct dv_in_fds *dv_in_fds_free(struct dv_in_fds *fds)
{
	while (fds && fds->taken < fds->n)
		dv_close(fds->fds[fds->taken++]);
	free(fds);
	return NULL;
}

static void close_all(const struct cmsghdr *c)
{
	size_t n = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
	int fd;

	for (size_t i = 0; i < n; i++) {
		memcpy(&fd, CMSG_DATA(c) + i * sizeof(int), sizeof(fd));
		dv_close(fd);
	}
}

/* Keep a batch; @c is NULL if none of its descriptors could be installed. */
static int keep(struct dv_in *in, const struct cmsghdr *c, bool cut)
{
	struct dv_in_fds **slot = in->fds[0] ? &in->fds[1] : &in->fds[0];
	size_t n = c ? (c->cmsg_len - CMSG_LEN(0)) / sizeof(int) : 0;
	struct dv_in_fds *fds;

	if (*slot || n > DV_LINK_FDS_MAX)
		return -EPROTO;
	fds = malloc(sizeof(*fds));
	if (!fds)
		return -ENOMEM;
	fds->cut = cut;
	fds->n = (uint16_t)n;
	fds->taken = 0;
	if (n > 0)
		memcpy(fds->fds, CMSG_DATA(c), n * sizeof(int));
	*slot = fds;
	return 0;
}

static int take_control(struct dv_in *in, struct msghdr *msg)
{
	bool cut = msg->msg_flags & MSG_CTRUNC, found = false;
	struct ucred cred;
	int r = 0;

	for (struct cmsghdr *c = CMSG_FIRSTHDR(msg); c;
	     c = CMSG_NXTHDR(msg, c)) {
		if (c->cmsg_level != SOL_SOCKET)
			continue;
		if (c->cmsg_type == SCM_CREDENTIALS) {
			memcpy(&cred, CMSG_DATA(c), sizeof(cred));
			in->cred_pid = cred.pid;
		} else if (c->cmsg_type == SCM_PIDFD) {
			close_all(c);
		} else if (c->cmsg_type == SCM_RIGHTS) {
			if (r == 0)
				r = keep(in, c, cut);
			if (r < 0)
				close_all(c);
			found = true;
		}
	}
	if (cut && !found)
		r = keep(in, NULL, true);
	return r;
}

ssize_t dv_link_recv(struct dv_link *link, struct iovec *iov, size_t n_iov,
		     bool sleep)
{
	int flags = MSG_CMSG_CLOEXEC | (sleep ? 0 : MSG_DONTWAIT);
	union control ctl;
	struct msghdr msg = {
		.msg_iov = iov,
		.msg_iovlen = n_iov,
		.msg_control = &ctl,
		.msg_controllen = sizeof(ctl),
	};
	ssize_t n;
	int r;

	do
		n = recvmsg(link->fd, &msg, flags);
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return -errno;
	if (msg.msg_controllen == 0 && !(msg.msg_flags & MSG_CTRUNC))
		return n;
	r = take_control(&link->in, &msg);
	return r < 0 ? r : n;
}

static int lying(struct dv_link *link, const struct dv_mw_head *head,
		 const char *why)
{
	struct dv_err err = DV_ERR_INIT;

	dv_err_set(&err, EPROTO, DV_INVALID, "frame %s: %s",
		   dv_mw_kind_name(head->kind), why);
	dv_link_violation(link, &err);
	return -EPROTO;
}

int dv_in_claim(struct dv_link *link, const struct dv_mw_head *head, uint16_t n,
		struct dv_in_fds **fdsp)
{
	struct dv_in *in = &link->in;
	struct dv_in_fds *fds = in->fds[0];

	*fdsp = NULL;
	if (n == 0 || head->flags & DV_MW_LOST)
		return 0;
	if (!fds)
		return lying(link, head,
			     "descriptors were announced and did not come");
	if (fds->n > n || (fds->n < n && !fds->cut))
		return lying(link, head,
			     "other descriptors came than were announced");
	in->fds[0] = in->fds[1];
	in->fds[1] = NULL;
	*fdsp = fds;
	return 0;
}

int dv_in_fd(struct dv_in_fds *fds)
{
	if (!fds || fds->taken == fds->n)
		return -1;
	return fds->fds[fds->taken++];
}

bool dv_in_fds_fine(const struct dv_in *in, bool partial)
{
	return partial ? !in->fds[1] : !in->fds[0];
}

/* ---- sending ---- */

ssize_t dv_link_sendmsg(int fd, const struct iovec *iov, size_t n_iov,
			const struct dv_out_fds *fds)
{
	union control ctl;
	struct msghdr msg = { .msg_iov = (struct iovec *)(uintptr_t)iov,
			      .msg_iovlen = n_iov };
	struct cmsghdr *c = &ctl.align;
	ssize_t n;

	if (fds) {
		msg.msg_control = &ctl;
		msg.msg_controllen = CMSG_SPACE(sizeof(int) * fds->n);
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(sizeof(int) * fds->n);
		memcpy(CMSG_DATA(c), fds->fds, sizeof(int) * fds->n);
	}
	do
		n = sendmsg(fd, &msg, MSG_DONTWAIT | MSG_NOSIGNAL);
	while (n < 0 && errno == EINTR);
	return n < 0 ? -errno : n;
}
