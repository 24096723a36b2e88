/* SPDX-License-Identifier: MIT */
#include "agent/core_out.h"

#include <errno.h>
#include <poll.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include "base/def.h"
#include "base/fd.h"

static enum dv_core_way way_of(int fd)
{
	struct stat st;

	if (fstat(fd, &st) < 0)
		return DV_CORE_WAY_PLAIN;
	if (S_ISSOCK(st.st_mode))
		return DV_CORE_WAY_SEND;
	return S_ISFIFO(st.st_mode) ? DV_CORE_WAY_NOWAIT : DV_CORE_WAY_PLAIN;
}

/*
 * One write that does not block, though the descriptor may be a blocking one
 * that others use too, so that its flags are not ours to change.
 */
static ssize_t write_some(struct dv_core_out *o, const void *data, size_t len)
{
	struct iovec iov = { (void *)(uintptr_t)data, len };
	ssize_t n;

	switch (o->way) {
	case DV_CORE_WAY_SEND:
		return dv_send(o->fd, data, len);
	case DV_CORE_WAY_NOWAIT:
		n = pwritev2(o->fd, &iov, 1, -1, RWF_NOWAIT);
		if (n >= 0 || (errno != EOPNOTSUPP && errno != ENOSYS))
			break;
		o->way = DV_CORE_WAY_PAGES;
		n = -1;
		errno = EAGAIN;
		break;
	case DV_CORE_WAY_PAGES:
		n = write(o->fd, data, dv_min(len, (size_t)4096));
		break;
	case DV_CORE_WAY_UNKNOWN:
	case DV_CORE_WAY_PLAIN:
	default:
		n = write(o->fd, data, len);
		break;
	}
	return n < 0 ? -errno : n;
}

/* Until there is room. A hang-up is told by the write. */
static int wait_room(const struct dv_core_out *o)
{
	struct pollfd p = { .fd = o->fd, .events = POLLOUT };
	int r = poll(&p, 1, o->stall_ms);

	if (r < 0)
		return errno == EINTR ? 0 : -errno;
	return r == 0 ? -ETIMEDOUT : 0;
}

static int failed(const struct dv_core_out *o, int r, struct dv_err *err)
{
	if (r == -EPIPE || r == -ECONNRESET)
		return dv_err_set(err, EPIPE, DV_CANCELLED,
				  "the reader of the core went away");
	if (r == -ETIMEDOUT)
		return dv_err_set(err, ETIMEDOUT, DV_DEADLINE,
				  "the reader of the core took nothing for "
				  "%d ms",
				  o->stall_ms);
	return dv_err_sys(err, -r, "write the core");
}

int dv_core_out(struct dv_core_out *o, const void *data, size_t len,
		struct dv_err *err)
{
	const char *p = data;
	ssize_t n = 0;

	if (o->way == DV_CORE_WAY_UNKNOWN)
		o->way = way_of(o->fd);
	while (len > 0) {
		if (o->way == DV_CORE_WAY_PAGES)
			n = wait_room(o);
		if (n == 0)
			n = write_some(o, p, len);
		if (n == -EAGAIN)
			n = wait_room(o);
		else if (n == -EINTR)
			n = 0;
		if (n < 0)
			return failed(o, (int)n, err);
		p += n;
		len -= (size_t)n;
		o->written += (uint64_t)n;
		if (o->live)
			*o->live = o->written;
		n = 0;
	}
	return 0;
}

int dv_core_out_zeros(struct dv_core_out *o, uint64_t len, struct dv_err *err)
{
	static const char zeros[65536];
	int r = 0;

	for (size_t n; r == 0 && len > 0; len -= n) {
		n = (size_t)dv_min(len, (uint64_t)sizeof(zeros));
		r = dv_core_out(o, zeros, n, err);
	}
	return r;
}
