/* SPDX-License-Identifier: MIT */
#include "base/fd.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <davit/loop.h>

#include "base/buf.h"
#include "base/def.h"
#include "base/fmt.h"

enum {
	READ_CHUNK = 4096, /* enough for a /proc file in one read */
	/* Between two looks at a lock: as long as it is held, and longer. */
	LOCK_NAP_NS = 100000,
	LOCK_NAP_MAX_NS = 10000000,
};

int dv_close(int fd)
{
	int saved = errno;

	if (fd >= 0)
		close(fd);
	errno = saved;
	return -1;
}

/* Set or clear @flag; no second call when it is already as wanted. */
static int change_flag(int fd, int get, int set, int flag, bool on)
{
	int old = fcntl(fd, get);
	int new;

	if (old < 0)
		return -errno;
	new = on ? old | flag : old & ~flag;
	if (new != old && fcntl(fd, set, new) < 0)
		return -errno;
	return 0;
}

int dv_fd_cloexec(int fd, bool on)
{
	return change_flag(fd, F_GETFD, F_SETFD, FD_CLOEXEC, on);
}

int dv_fd_is_cloexec(int fd)
{
	int flags = fcntl(fd, F_GETFD);

	return flags < 0 ? -errno : (flags & FD_CLOEXEC) != 0;
}

int dv_fd_nonblock(int fd, bool on)
{
	return change_flag(fd, F_GETFL, F_SETFL, O_NONBLOCK, on);
}

int dv_fd_dup(int fd, int min)
{
	int r = fcntl(fd, F_DUPFD_CLOEXEC, min);

	return r < 0 ? -errno : r;
}

int dv_fd_mode(int fd)
{
	int flags = fcntl(fd, F_GETFL);

	return flags < 0 || (flags & O_PATH) ? -EBADF : flags & O_ACCMODE;
}

int dv_pipe(int fds[2])
{
	return pipe2(fds, O_CLOEXEC) < 0 ? -errno : 0;
}

ssize_t dv_read(int fd, void *buf, size_t len)
{
	ssize_t n;

	do
		n = read(fd, buf, len);
	while (n < 0 && errno == EINTR);
	return n < 0 ? -errno : n;
}

ssize_t dv_write(int fd, const void *buf, size_t len)
{
	ssize_t n;

	do
		n = write(fd, buf, len);
	while (n < 0 && errno == EINTR);
	return n < 0 ? -errno : n;
}

ssize_t dv_send(int fd, const void *buf, size_t len)
{
	ssize_t n;

	do
		n = send(fd, buf, len, MSG_NOSIGNAL | MSG_DONTWAIT);
	while (n < 0 && errno == EINTR);
	return n < 0 ? -errno : n;
}

ssize_t dv_read_full(int fd, void *buf, size_t len)
{
	size_t done = 0;

	while (done < len) {
		ssize_t n = dv_read(fd, (char *)buf + done, len - done);

		if (n < 0)
			return n;
		if (n == 0)
			break;
		done += (size_t)n;
	}
	return (ssize_t)done;
}

int dv_write_full(int fd, const void *buf, size_t len)
{
	const char *p = buf;

	while (len > 0) {
		ssize_t n = dv_write(fd, p, len);

		if (n < 0)
			return (int)n;
		p += n;
		len -= (size_t)n;
	}
	return 0;
}

/* An interrupted open (a fifo, a network file system) is tried again. */
static int open_retry(int dirfd, const char *path, int flags, mode_t mode)
{
	int fd;

	do
		fd = openat(dirfd, path, flags | O_CLOEXEC | O_NOCTTY, mode);
	while (fd < 0 && errno == EINTR);
	return fd < 0 ? -errno : fd;
}

/* One byte more than allowed is read, to tell "just fits" from "too big". */
static int read_rest(int fd, struct dv_buf *b)
{
	for (;;) {
		size_t want = dv_min((size_t)READ_CHUNK, b->max - b->len);
		char *p = dv_buf_room(b, want);
		ssize_t n;

		if (!p)
			return dv_buf_status(b);
		n = dv_read(fd, p, want);
		if (n <= 0)
			return (int)n;
		dv_buf_add(b, (size_t)n);
		if (b->len == b->max)
			return -EFBIG;
	}
}

int dv_read_file(int dirfd, const char *path, size_t max, char **datap,
		 size_t *lenp)
{
	dv_autobuf b = DV_BUF_INIT(dv_min(max, (size_t)SSIZE_MAX - 2) + 1);
	dv_autofd int fd = open_retry(dirfd, path, O_RDONLY, 0);
	size_t len;
	char *data;
	int r;

	if (fd < 0)
		return fd;
	r = read_rest(fd, &b);
	if (r < 0)
		return r;
	len = b.len;
	data = dv_buf_take(&b);
	if (!data)
		return -ENOMEM;
	*datap = data;
	if (lenp)
		*lenp = len;
	return 0;
}

int dv_write_file(int dirfd, const char *path, const char *text, size_t len)
{
	dv_autofd int fd = open_retry(dirfd, path, O_WRONLY, 0);
	ssize_t n;

	if (fd < 0)
		return fd;
	n = dv_write(fd, text, len);
	if (n < 0)
		return (int)n;
	return (size_t)n == len ? 0 : -EIO;
}

/* Create @path anew; what a killed writer left there is removed first. */
static int create_fresh(int dirfd, const char *path, mode_t mode)
{
	int flags = O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW;
	int fd = open_retry(dirfd, path, flags, mode);

	if (fd != -EEXIST)
		return fd;
	if (unlinkat(dirfd, path, 0) < 0 && errno != ENOENT)
		return -errno;
	return open_retry(dirfd, path, flags, mode);
}

int dv_replace_file(int dirfd, const char *path, const void *data, size_t len,
		    mode_t mode)
{
	char tmp[PATH_MAX];
	dv_autofd int fd = -1;
	int r;

	r = dv_fmt(tmp, sizeof(tmp), "%s.tmp", path);
	if ((size_t)r >= sizeof(tmp))
		return -ENAMETOOLONG;
	fd = create_fresh(dirfd, tmp, mode);
	if (fd < 0)
		return fd;
	r = dv_write_full(fd, data, len);
	if (r == 0 && renameat(dirfd, tmp, dirfd, path) < 0)
		r = -errno;
	if (r < 0)
		unlinkat(dirfd, tmp, 0);
	return r;
}

int dv_send_fd(int sock, int fd)
{
	_Alignas(struct cmsghdr) char ctl[CMSG_SPACE(sizeof(int))] = { 0 };
	char byte = 0;
	struct iovec iov = { &byte, 1 };
	struct msghdr msg = {
		.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = ctl,
		.msg_controllen = sizeof(ctl),
	};
	struct cmsghdr *c = CMSG_FIRSTHDR(&msg);
	ssize_t n;

	c->cmsg_level = SOL_SOCKET;
	c->cmsg_type = SCM_RIGHTS;
	c->cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(c), &fd, sizeof(int));
	do
		n = sendmsg(sock, &msg, MSG_NOSIGNAL);
	while (n < 0 && errno == EINTR);
	return n < 0 ? -errno : 0;
}

/*
 * Take the only fd of the message. Padding lets a second one through, so all
 * that arrived are looked at, and closed unless there is exactly one.
 */
static int take_rights(struct msghdr *msg)
{
	int found = -1;
	int n_found = 0;

	for (struct cmsghdr *c = CMSG_FIRSTHDR(msg); c;
	     c = CMSG_NXTHDR(msg, c)) {
		size_t n = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);

		if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
			continue;
		for (size_t i = 0; i < n; i++) {
			dv_close(found);
			memcpy(&found, CMSG_DATA(c) + i * sizeof(int),
			       sizeof(int));
			n_found++;
		}
	}
	if (n_found == 1 && !(msg->msg_flags & MSG_CTRUNC))
		return found;
	dv_close(found);
	return -EBADMSG;
}

int dv_recv_fd(int sock)
{
	_Alignas(struct cmsghdr) char ctl[CMSG_SPACE(sizeof(int))];
	char byte;
	struct iovec iov = { &byte, 1 };
	struct msghdr msg = {
		.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = ctl,
		.msg_controllen = sizeof(ctl),
	};
	ssize_t n;

	do
		n = recvmsg(sock, &msg, MSG_CMSG_CLOEXEC);
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return -errno;
	if (n == 0)
		return -EPIPE;
	return take_rights(&msg);
}

void dv_pipe_widen(int fd, int size)
{
	fcntl(fd, F_SETPIPE_SZ, size);
}

int dv_fd_lock(int fd)
{
	struct flock lock = { .l_type = F_WRLCK, .l_whence = SEEK_SET };

	return fcntl(fd, F_OFD_SETLK, &lock) < 0 ? -errno : 0;
}

/*
 * The kernel waits for a lock without a deadline or not at all, and a signal to
 * end that is not ours to take: so it is asked again, more and more seldom.
 */
int dv_fd_lock_wait(int fd, int timeout_ms)
{
	uint64_t until = dv_now_ns() + (uint64_t)timeout_ms * 1000000;
	struct timespec nap = { .tv_nsec = LOCK_NAP_NS };
	int r;

	while ((r = dv_fd_lock(fd)) == -EAGAIN && dv_now_ns() < until) {
		nanosleep(&nap, NULL);
		nap.tv_nsec = dv_min(nap.tv_nsec * 2, (long)LOCK_NAP_MAX_NS);
	}
	return r == -EAGAIN ? -ETIMEDOUT : r;
}

int dv_fd_locked(int fd)
{
	struct flock lock = { .l_type = F_WRLCK, .l_whence = SEEK_SET };

	if (fcntl(fd, F_OFD_GETLK, &lock) < 0)
		return -errno;
	return lock.l_type != F_UNLCK;
}
