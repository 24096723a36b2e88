/* SPDX-License-Identifier: MIT */
#include "cli/out_log.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/def.h"
#include "base/fd.h"
#include "base/fmt.h"

/* Not O_APPEND: splice refuses such files. So the offset is kept here. */
static int open_end(const char *path, int *fdp, uint64_t *endp,
		    struct dv_err *err)
{
	struct stat st;
	int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC | O_NOCTTY, 0640);

	if (fd < 0)
		return dv_err_sys(err, errno, "open log %s", path);
	if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode)) {
		dv_close(fd);
		return dv_err_set(err, EINVAL, DV_INVALID,
				  "log %s is not a regular file", path);
	}
	*fdp = fd;
	*endp = (uint64_t)st.st_size;
	return 0;
}

int dv_out_log_open(struct out_log *log, const char *path, struct dv_err *err)
{
	char idx[PATH_MAX];
	int r;

	if (dv_fmt(idx, sizeof(idx), "%s.idx", path) >= (int)sizeof(idx))
		return dv_err_sys(err, ENAMETOOLONG, "log %.200s", path);
	r = open_end(path, &log->fd, &log->offset, err);
	if (r == 0)
		r = open_end(idx, &log->idx_fd, &log->idx_end, err);
	if (r < 0)
		dv_out_log_close(log);
	/* A torn entry, from a full disk or a crash, is written over. */
	log->idx_end -= log->idx_end % DV_LOG_ENTRY;
	return r;
}

void dv_out_log_close(struct out_log *log)
{
	log->fd = dv_close(log->fd);
	log->idx_fd = dv_close(log->idx_fd);
}

void dv_out_log_entry(uint8_t out[DV_LOG_ENTRY], uint64_t offset,
		      uint64_t unix_ns, uint32_t len, uint8_t stream,
		      uint64_t lost)
{
	dv_put_le64(out, offset);
	dv_put_le64(out + 8, unix_ns);
	dv_put_le32(out + 16, len);
	out[20] = stream;
	out[21] = lost ? DV_LOG_F_LOST : 0;
	out[22] = 0;
	out[23] = 0;
	dv_put_le64(out + 24, lost);
}

static uint64_t unix_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_REALTIME, &ts);
	return (uint64_t)ts.tv_sec * 1000000000 + (uint64_t)ts.tv_nsec;
}

static void lose(struct out_log *log, size_t len, int sys)
{
	log->lost += len;
	log->lost_all += len;
	if (!log->sys)
		log->sys = sys;
}

/* @len bytes are in the file at log->offset; index them or take them back. */
static void commit(struct out_log *log, uint8_t stream, size_t len)
{
	uint8_t entry[DV_LOG_ENTRY];
	ssize_t n;

	if (len == 0)
		return;
	dv_out_log_entry(entry, log->offset, unix_ns(), (uint32_t)len, stream,
			 log->lost);
	n = pwrite(log->idx_fd, entry, sizeof(entry), (off_t)log->idx_end);
	if (n != (ssize_t)sizeof(entry)) {
		int sys = n < 0 ? errno : ENOSPC;

		/* Data and index agree at every moment; this cannot fail in
		 * a way that matters: the next entry writes over both. */
		if (ftruncate(log->fd, (off_t)log->offset) < 0 ||
		    ftruncate(log->idx_fd, (off_t)log->idx_end) < 0)
			sys = errno;
		lose(log, len, sys);
		return;
	}
	log->idx_end += sizeof(entry);
	log->offset += len;
	log->lost = 0;
}

void dv_out_log_put(struct out_log *log, uint8_t stream, const void *data,
		    size_t len)
{
	const char *p = data;
	size_t done = 0;
	int sys = 0;

	while (done < len && !sys) {
		ssize_t n = pwrite(log->fd, p + done, len - done,
				   (off_t)(log->offset + done));

		if (n > 0)
			done += (size_t)n;
		else if (n == 0)
			sys = ENOSPC;
		else if (errno != EINTR)
			sys = errno;
	}
	commit(log, stream, done);
	if (sys)
		lose(log, len - done, sys);
}

static void discard(int fd, size_t len)
{
	char drop[4096];

	while (len) {
		ssize_t n = dv_read(fd, drop, dv_min(len, sizeof(drop)));

		if (n <= 0)
			return;
		len -= (size_t)n;
	}
}

void dv_out_log_splice(struct out_log *log, uint8_t stream, int pipe_fd,
		       size_t len)
{
	loff_t at = (loff_t)log->offset;
	size_t done = 0;
	int sys = 0;

	while (done < len && !sys) {
		ssize_t n = splice(pipe_fd, NULL, log->fd, &at, len - done,
				   SPLICE_F_MOVE);

		if (n > 0)
			done += (size_t)n;
		else if (n == 0)
			sys = ENOSPC;
		else if (errno != EINTR)
			sys = errno;
	}
	commit(log, stream, done);
	if (sys) {
		lose(log, len - done, sys);
		discard(pipe_fd, len - done);
	}
}
