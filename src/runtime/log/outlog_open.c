/* SPDX-License-Identifier: MIT */
/*
 * Opening a log to go on with it, whatever its last writer left: it may have
 * been killed between any two writes, and the machine may have lost the end of
 * either file. What is found is made true before anything is appended.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/def.h"
#include "base/fd.h"
#include "base/fmt.h"
#include "runtime/log/outlog_entry.h"

enum {
	MODE = 0640,
	PIECE_MIN = 256,
	PIECES = 8, /* so many in a small log: it is dropped by whole ones */
	BLOCK_MAX = 2 << 20,
};

/* Not O_APPEND: splice refuses such files. So the offset is kept here. */
static int open_end(int dirfd, const char *path, int flags, int *fdp,
		    struct stat *st, struct dv_err *err)
{
	int fd = openat(dirfd, path,
			flags | O_CREAT | O_CLOEXEC | O_NOCTTY | O_NONBLOCK,
			MODE);

	if (fd < 0)
		return dv_err_sys(err, errno, "open log %s", path);
	if (fstat(fd, st) < 0 || !S_ISREG(st->st_mode)) {
		dv_close(fd);
		return dv_err_set(err, EINVAL, DV_INVALID,
				  "log %s is not a regular file", path);
	}
	*fdp = fd;
	return 0;
}

/* The end of the index is behind its last entry that makes sense. */
static int trim_nonsense(struct dv_outlog *log, uint64_t size)
{
	uint64_t end = size - size % DV_OUTLOG_ENTRY;
	int r = 0;

	while (end) {
		r = dv_outlog_read_entry(log->idx_fd, end - DV_OUTLOG_ENTRY,
					 &log->last);
		if (r != -ENODATA && r != -EBADMSG)
			break;
		end -= DV_OUTLOG_ENTRY;
		r = 0;
	}
	log->idx_end = end;
	if (r == 0 && end < size && ftruncate(log->idx_fd, (off_t)end) < 0)
		r = -errno;
	return r;
}

/* Entries of bytes that are not there, from @size on, go; they stay a gap. */
static int trim_missing(struct dv_outlog *log, uint64_t size)
{
	uint64_t end = dv_outlog_find(log->idx_fd, log->idx_from, log->idx_end,
				      dv_outlog_begins_at, size);
	uint8_t raw[DV_OUTLOG_ENTRY];
	struct dv_outlog_entry e;
	int r;

	if (ftruncate(log->idx_fd, (off_t)end) < 0)
		return -errno;
	log->idx_end = end;
	if (end <= log->idx_from)
		return 0;
	end -= DV_OUTLOG_ENTRY;
	r = dv_outlog_read_entry(log->idx_fd, end, &e);
	if (r < 0 || e.offset + e.len <= size)
		return r;
	e.len = (uint32_t)(size - e.offset);
	dv_outlog_encode(raw, &e);
	return pwrite(log->idx_fd, raw, sizeof(raw), (off_t)end) < 0 ? -errno
								     : 0;
}

static int go_on(struct dv_outlog *log, uint64_t size, uint64_t idx_size)
{
	struct dv_outlog_entry first = { .offset = 0 };
	int r = trim_nonsense(log, idx_size);
	uint64_t end;

	if (r < 0)
		return r;
	end = log->idx_end ? log->last.offset + log->last.len : 0;
	log->idx_from = dv_outlog_first(log->idx_fd, 0, log->idx_end);
	if (end > size)
		r = trim_missing(log, size);
	/* Bytes before an index that was never cut are kept, too. */
	if (log->idx_from > 0 && log->idx_from < log->idx_end)
		dv_outlog_read_entry(log->idx_fd, log->idx_from, &first);
	log->offset = dv_max(size, end);
	log->from = first.offset;
	return r;
}

static void set_sizes(struct dv_outlog *log, uint64_t max,
		      const struct stat *st)
{
	uint64_t piece = dv_min(max / PIECES, (uint64_t)DV_OUTLOG_PIECE_MAX);

	log->max = max;
	log->piece = (size_t)dv_max(piece, (uint64_t)PIECE_MIN);
	log->block = st->st_blksize > 0 && st->st_blksize <= BLOCK_MAX
			     ? (size_t)st->st_blksize
			     : 4096;
	log->punches = true;
	log->tell_at = 1;
}

int dv_outlog_open(struct dv_outlog *log, int dirfd, const char *path,
		   uint64_t max, struct dv_err *err)
{
	char idx[PATH_MAX];
	struct stat st = { .st_size = 0 }, idx_st = { .st_size = 0 };
	int r;

	*log = (struct dv_outlog)DV_OUTLOG_INIT;
	if (dv_fmt(idx, sizeof(idx), "%s.idx", path) >= (int)sizeof(idx))
		return dv_err_sys(err, ENAMETOOLONG, "log %.200s", path);
	r = open_end(dirfd, path, O_WRONLY, &log->fd, &st, err);
	if (r == 0)
		r = open_end(dirfd, idx, O_RDWR, &log->idx_fd, &idx_st, err);
	if (r == 0) {
		set_sizes(log, max, &st);
		r = go_on(log, (uint64_t)st.st_size, (uint64_t)idx_st.st_size);
		if (r < 0)
			dv_err_sys(err, -r, "go on with log %s", path);
	}
	if (r < 0)
		dv_outlog_close(log);
	return r;
}

void dv_outlog_begin(struct dv_outlog *log)
{
	struct dv_outlog_entry last;

	if (log->idx_end <= log->idx_from ||
	    dv_outlog_read_entry(log->idx_fd, log->idx_end - DV_OUTLOG_ENTRY,
				 &last) != 0)
		return;
	if (!(last.flags & (DV_OUTLOG_F_END | DV_OUTLOG_F_BEGIN)))
		dv_outlog_end(log);
	dv_outlog_mark(log, DV_OUTLOG_F_BEGIN);
}

void dv_outlog_close(struct dv_outlog *log)
{
	log->fd = dv_close(log->fd);
	log->idx_fd = dv_close(log->idx_fd);
}

int dv_outlog_new(struct dv_outlog **logp, const char *path, uint64_t max,
		  struct dv_err *err)
{
	struct dv_outlog *log = malloc(sizeof(*log));
	int r;

	*logp = NULL;
	if (!log)
		return dv_err_sys(err, ENOMEM, "log %s", path);
	r = dv_outlog_open(log, AT_FDCWD, path, max, err);
	if (r < 0)
		free(log);
	else
		*logp = log;
	return r;
}

struct dv_outlog *dv_outlog_free(struct dv_outlog *log)
{
	if (log)
		dv_outlog_close(log);
	free(log);
	return NULL;
}
