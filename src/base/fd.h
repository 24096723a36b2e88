/* SPDX-License-Identifier: MIT */
#pragma once
/*
 * File descriptors. All of them are close-on-exec from birth; this file and
 * its .c are the only callers of fcntl().
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <sys/uio.h>

/* Close unless negative; errno is preserved; never retried. Returns -1. */
int dv_close(int fd);

static inline void dv_autofd_p(const int *fd)
{
	dv_close(*fd);
}
#define dv_autofd __attribute__((cleanup(dv_autofd_p)))
static inline int dv_take_fd(int *fd)
{
	int r = *fd;

	*fd = -1;
	return r;
}

int dv_fd_cloexec(int fd, bool on);
/* 1 or 0; -EBADF. */
int dv_fd_is_cloexec(int fd);
int dv_fd_nonblock(int fd, bool on);
/* A close-on-exec duplicate with a number of at least @min; -errno. */
int dv_fd_dup(int fd, int min);
/* O_ACCMODE of @fd; -EBADF, also for O_PATH, which does neither. */
int dv_fd_mode(int fd);
/* pipe2(O_CLOEXEC): fds[0] reads, fds[1] writes. Returns 0 or -errno. */
int dv_pipe(int fds[2]);
/* Let a pipe hold @size bytes, if this user may have that; else it stays. */
void dv_pipe_widen(int fd, int size);

/* EINTR is retried in all of these. They return bytes or -errno. */
ssize_t dv_read(int fd, void *buf, size_t len);        /* once; 0 = end */
ssize_t dv_write(int fd, const void *buf, size_t len); /* once */
/* Once, into a socket, which may be a blocking one: never waits, no SIGPIPE. */
ssize_t dv_send(int fd, const void *buf, size_t len);
ssize_t dv_read_full(int fd, void *buf, size_t len); /* less only at the end */
int dv_write_full(int fd, const void *buf, size_t len); /* blocking fd; 0 */

/*
 * Read a whole small file into a malloc'd, NUL-terminated buffer (owned by the
 * caller). @dirfd/@path as openat(); more than @max bytes is -EFBIG.
 */
int dv_read_file(int dirfd, const char *path, size_t max, char **datap,
		 size_t *lenp);
/* open O_WRONLY|O_CLOEXEC, one write, close. For /proc and cgroup files. */
int dv_write_file(int dirfd, const char *path, const char *text, size_t len);
/*
 * Write path.tmp, rename to path; no fsync. @mode as open(2). A path.tmp that a
 * killed writer left is replaced. One writer at a time.
 */
int dv_replace_file(int dirfd, const char *path, const void *data, size_t len,
		    mode_t mode);

/*
 * A write lock on the whole file that belongs to the open file (OFD): looking
 * at the lock of another sandbox does not lose our own. -EAGAIN: it is held.
 */
int dv_fd_lock(int fd);
/* The same, and waits: only for what is held for a moment. -ETIMEDOUT: it was
 * not for @timeout_ms. */
int dv_fd_lock_wait(int fd, int timeout_ms);
/* 1 when somebody else holds it, 0 when it is free, -errno. */
int dv_fd_locked(int fd);

/* Send one byte and one fd (borrowed) over a unix socket; receive them. */
int dv_send_fd(int sock, int fd);
/*
 * Returns the fd (owned, close-on-exec), -EPIPE at the end, -EBADMSG when the
 * message did not carry exactly one, or -errno.
 */
int dv_recv_fd(int sock);
