/* SPDX-License-Identifier: MIT */
/*
 * DOC: writing a log
 *
 * Who reads takes no lock, so that the order of what is written is what readers
 * rely on:
 *
 *  - bytes first, then their entry;
 *  - dropping: entries first, then their bytes. Who sees the entry after it
 *    read the bytes knows that they were still there;
 *  - small pieces that follow each other within a few ms become one entry, or
 *    the index of somebody who writes single bytes would be 32 times as long
 *    as the log. The last entry grows by one byte of the file, the lowest of
 *    its length, which cannot be seen half written. Readers look at the last
 *    entry they know again, once another one follows it.
 */
#include "runtime/log/outlog.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <time.h>
#include <unistd.h>

#include "base/def.h"
#include "base/fd.h"
#include "runtime/log/outlog_entry.h"

enum {
	GROWS_NS = 5000000, /* what is this near is one piece */
	LEN_AT = 16,        /* in an entry */
	SPARE = 16,         /* one part in so many is dropped in advance */
	COPY = 16384,
};

/* Append an entry, which then says what was lost before it. 0 or -errno. */
static int append(struct dv_outlog *log, struct dv_outlog_entry *entry)
{
	uint8_t raw[DV_OUTLOG_ENTRY];
	ssize_t n;

	entry->offset = log->offset;
	entry->lost = log->lost;
	if (log->lost)
		entry->flags |= DV_OUTLOG_F_LOST;
	dv_outlog_encode(raw, entry);
	do
		n = pwrite(log->idx_fd, raw, sizeof(raw), (off_t)log->idx_end);
	while (n < 0 && errno == EINTR);
	if (n == (ssize_t)sizeof(raw)) {
		log->idx_end += sizeof(raw);
		log->lost = 0;
		log->last = *entry;
		log->grows = entry->len > 0;
		return 0;
	}
	int r = n < 0 ? -errno : -ENOSPC;
	/* Nobody takes a part of an entry for one; it need not stay, though. */
	if (n > 0 && ftruncate(log->idx_fd, (off_t)log->idx_end) < 0)
		r = -errno;
	return r;
}

/* Who follows is told soon, also when nothing can be written for long: when
 * the loss begins, and whenever it has doubled. */
static void lose(struct dv_outlog *log, uint64_t len, int sys)
{
	struct dv_outlog_entry gap = { .unix_ns = dv_unix_ns() };

	if (len == 0)
		return;
	log->lost += len;
	log->lost_all += len;
	if (!log->sys)
		log->sys = sys;
	if (log->lost_all < log->tell_at)
		return;
	log->tell_at = log->lost_all * 2;
	append(log, &gap);
}

static bool may_grow(const struct dv_outlog *log, uint8_t stream, size_t len,
		     uint64_t now)
{
	const struct dv_outlog_entry *e = &log->last;

	return log->grows && !log->lost && e->stream == stream &&
	       (e->len + len) >> 8 == e->len >> 8 && now >= e->unix_ns &&
	       now - e->unix_ns < GROWS_NS;
}

static int grow(struct dv_outlog *log, size_t len)
{
	uint8_t low = (uint8_t)(log->last.len + len);
	uint64_t at = log->idx_end - DV_OUTLOG_ENTRY + LEN_AT;
	ssize_t n;

	do
		n = pwrite(log->idx_fd, &low, 1, (off_t)at);
	while (n < 0 && errno == EINTR);
	if (n != 1)
		return n < 0 ? -errno : -ENOSPC;
	log->last.len += (uint32_t)len;
	return 0;
}

/* @len bytes are in the file at log->offset; index them or take them back. */
static void commit(struct dv_outlog *log, uint8_t stream, size_t len)
{
	struct dv_outlog_entry e = { .unix_ns = dv_unix_ns(),
				     .len = (uint32_t)len,
				     .stream = stream };
	int r;

	if (len == 0)
		return;
	r = may_grow(log, stream, len, e.unix_ns) ? grow(log, len)
						  : append(log, &e);
	if (r == 0) {
		log->offset += len;
		return;
	}
	/* Harmless when it fails: what comes next is written over them. */
	if (ftruncate(log->fd, (off_t)log->offset) < 0)
		r = -errno;
	lose(log, len, -r);
}

/* Whole blocks become a hole, and what else is in the range zeros. */
static int punch(int fd, uint64_t from, uint64_t to)
{
	if (from >= to)
		return 0;
	return fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
			 (off_t)from, (off_t)(to - from)) < 0
		       ? -errno
		       : 0;
}

static uint64_t block_down(const struct dv_outlog *log, uint64_t at)
{
	return at - at % log->block;
}

/* The entries that begin before @target go, and their bytes. 0 or -errno. */
static int drop(struct dv_outlog *log, uint64_t target)
{
	uint64_t to = dv_outlog_find(log->idx_fd, log->idx_from, log->idx_end,
				     dv_outlog_begins_at, target);
	struct dv_outlog_entry e = { .offset = log->offset };
	int r;

	if (to < log->idx_end)
		dv_outlog_read_entry(log->idx_fd, to, &e);
	r = punch(log->idx_fd, block_down(log, log->idx_from), to);
	if (r < 0)
		return r;
	if (to == log->idx_end)
		log->grows = false;
	r = punch(log->fd, block_down(log, log->from),
		  block_down(log, e.offset));
	log->idx_from = to;
	log->from = e.offset;
	return r;
}

/* How many of @len bytes may be written now; the rest is lost, for *sysp. */
static size_t make_room(struct dv_outlog *log, size_t len, int *sysp)
{
	uint64_t end = log->offset + len, kept = log->max - log->max / SPARE;
	int r;

	if (log->max == UINT64_MAX || end - log->from <= log->max)
		return len;
	if (log->punches) {
		r = drop(log, dv_min(end - kept, log->offset));
		if (r == 0)
			return len;
		log->punches = false;
		log->no_punch = -r;
	}
	*sysp = log->no_punch;
	end = log->from + log->max;
	return end > log->offset ? (size_t)(end - log->offset) : 0;
}

static size_t write_all(struct dv_outlog *log, const char *p, size_t len,
			int *sysp)
{
	size_t done = 0;

	while (done < len && !*sysp) {
		ssize_t n = pwrite(log->fd, p + done, len - done,
				   (off_t)(log->offset + done));

		if (n > 0)
			done += (size_t)n;
		else if (n == 0)
			*sysp = ENOSPC;
		else if (errno != EINTR)
			*sysp = errno;
	}
	return done;
}

void dv_outlog_put(struct dv_outlog *log, uint8_t stream, const void *data,
		   size_t len)
{
	const char *p = data;

	while (len) {
		size_t piece = dv_min(len, log->piece), may, done;
		int sys = 0, cut = 0;

		may = make_room(log, piece, &cut);
		done = write_all(log, p, may, &sys);
		commit(log, stream, done);
		lose(log, piece - done, sys ? sys : cut);
		p += piece;
		len -= piece;
	}
}

/* Where nothing can be spliced, and what has no room. */
static void copy(struct dv_outlog *log, uint8_t stream, int pipe_fd, size_t len,
		 bool keep)
{
	char buf[COPY];

	while (len) {
		ssize_t n = dv_read(pipe_fd, buf, dv_min(len, sizeof(buf)));

		if (n <= 0)
			return;
		if (keep)
			dv_outlog_put(log, stream, buf, (size_t)n);
		len -= (size_t)n;
	}
}

static size_t splice_all(struct dv_outlog *log, int pipe_fd, size_t len,
			 int *sysp)
{
	loff_t at = (loff_t)log->offset;
	size_t done = 0;

	while (done < len && !*sysp) {
		ssize_t n = splice(pipe_fd, NULL, log->fd, &at, len - done,
				   SPLICE_F_MOVE);

		if (n > 0)
			done += (size_t)n;
		else if (n == 0)
			*sysp = ENOSPC;
		else if (errno != EINTR)
			*sysp = errno;
	}
	return done;
}

void dv_outlog_splice(struct dv_outlog *log, uint8_t stream, int pipe_fd,
		      size_t len)
{
	while (len) {
		size_t piece = dv_min(len, log->piece), may, done;
		int sys = 0, cut = 0;

		may = make_room(log, piece, &cut);
		done = splice_all(log, pipe_fd, may, &sys);
		commit(log, stream, done);
		len -= piece;
		if (sys == EINVAL) {
			copy(log, stream, pipe_fd, piece - done, true);
		} else if (done < piece) {
			lose(log, piece - done, sys ? sys : cut);
			copy(log, stream, pipe_fd, piece - done, false);
		}
	}
}

void dv_outlog_mark(struct dv_outlog *log, uint8_t flags)
{
	struct dv_outlog_entry mark = { .unix_ns = dv_unix_ns(),
					.flags = flags };
	int r = append(log, &mark);

	log->grows = false;
	if (r < 0 && !log->sys)
		log->sys = -r;
}

void dv_outlog_end(struct dv_outlog *log)
{
	dv_outlog_mark(log, DV_OUTLOG_F_END);
}

uint64_t dv_outlog_lost(const struct dv_outlog *log, int *sysp)
{
	*sysp = log->sys;
	return log->lost_all;
}
