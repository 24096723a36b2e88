/* SPDX-License-Identifier: MIT */
/*
 * DOC: reading a log
 *
 * What may change under the reader, and how it knows:
 *
 *  - The last entry grows. So the entry that was the last one when the index
 *    was looked at is looked at again before the next one is.
 *  - Entries are dropped, and then their bytes. So an entry is looked at again
 *    after bytes were read, the first one that they belong to: if it is still
 *    there, so are all behind it. If not, the bytes are forgotten and the
 *    reader goes on with the first entry that is left; what is between the two
 *    is a gap.
 *  - An entry that is being dropped can be seen half zeroed, as nonsense. It is
 *    read once more before anybody is blamed.
 *
 * Gaps add up in `lost` until they can be told with a piece; at the end of what
 * is there they are told alone.
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
#include "runtime/log/outlog_reader.h"

enum {
	DROPS = 8, /* in a row, before a gap is told without bytes */
	STEP_AGAIN = 1,
	STEP_GIVE,
	STEP_NONE, /* nothing there now */
	STEP_EOF,
};

uint64_t dv_outlog_idx_size(const struct dv_outlog_reader *r)
{
	struct stat st;

	if (fstat(r->idx_fd, &st) < 0 || st.st_size < 0)
		return 0;
	return (uint64_t)st.st_size -
	       (uint64_t)st.st_size % (uint64_t)DV_OUTLOG_ENTRY;
}

static ssize_t read_at(int fd, void *to, size_t len, uint64_t at)
{
	size_t done = 0;

	while (done < len) {
		ssize_t n = pread(fd, (char *)to + done, len - done,
				  (off_t)(at + done));

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (n == 0)
			break;
		done += (size_t)n;
	}
	return (ssize_t)done;
}

ssize_t dv_outlog_read_bytes(const struct dv_outlog_reader *r, char *to,
			     size_t len, uint64_t at)
{
	return read_at(r->fd, to, len, at);
}

/* Up to which byte the entries of the window say something. */
static void measure(struct dv_outlog_reader *r)
{
	struct dv_outlog_entry e;
	size_t last = r->win_len - DV_OUTLOG_ENTRY;

	r->win_end = 0;
	if (dv_outlog_decode(&e, r->win + last) == 0)
		r->win_end = e.offset + e.len;
}

/* The lost of an unfaithful index must not wrap around. */
static void lose(struct dv_outlog_reader *r, uint64_t n)
{
	r->lost = n > UINT64_MAX - r->lost ? UINT64_MAX : r->lost + n;
}

/* All that it was asked for was dropped meanwhile: how much was that? */
static void past_limit(struct dv_outlog_reader *r)
{
	struct dv_outlog_entry e;

	if (r->entered || r->at == r->limit ||
	    dv_outlog_read_entry(r->idx_fd, r->at, &e) != 0)
		return;
	if (e.offset > r->pos) {
		lose(r, e.offset - r->pos);
		r->pos = e.offset;
	}
}

/* Look at the index anew, from the present entry on. 0, DV_MORE, -errno. */
static int look(struct dv_outlog_reader *r)
{
	uint64_t size = dv_min(dv_outlog_idx_size(r), r->limit);
	ssize_t n;

	r->win_len = 0;
	if (r->at >= r->limit)
		past_limit(r);
	if (r->at >= size)
		return DV_MORE;
	n = read_at(r->idx_fd, r->win,
		    (size_t)dv_min(size - r->at, (uint64_t)DV_OUTLOG_WINDOW),
		    r->at);
	if (n < 0)
		return (int)n;
	r->win_at = r->at;
	r->win_len = (size_t)n - (size_t)n % DV_OUTLOG_ENTRY;
	if (r->win_len == 0)
		return DV_MORE;
	measure(r);
	return 0;
}

/* Is the present entry in the window, with another one behind it? */
static bool is_final(const struct dv_outlog_reader *r)
{
	return r->win_len && r->at >= r->win_at &&
	       r->at - r->win_at + DV_OUTLOG_ENTRY < r->win_len;
}

static int damaged(struct dv_outlog_reader *r, struct dv_err *err)
{
	r->failed = dv_err_set(err, EBADMSG, DV_DATA_LOSS,
			       "the index of %s is damaged at byte %llu",
			       r->name, (unsigned long long)r->at);
	return r->failed;
}

/* All up to the next entry that is left was dropped. */
static void skip_dropped(struct dv_outlog_reader *r)
{
	r->at = dv_outlog_first(r->idx_fd, r->at, dv_outlog_idx_size(r));
	r->win_len = 0;
	r->buf_len = 0;
	r->entered = false;
	r->drops++;
}

/* Nothing that was read so far contradicts it. */
static bool fits(const struct dv_outlog_reader *r,
		 const struct dv_outlog_entry *e)
{
	return e->offset >= r->end;
}

/* The present entry. 0, STEP_AGAIN, STEP_NONE, -errno. */
static int entry(struct dv_outlog_reader *r, struct dv_outlog_entry *e,
		 struct dv_err *err)
{
	for (int tries = 0; tries < 2; tries++) {
		int n = 0;

		if (tries || !is_final(r))
			n = look(r);
		if (n < 0)
			return r->failed = dv_err_sys(err, -n,
						      "read the index of %s",
						      r->name);
		if (n == DV_MORE)
			return STEP_NONE;
		n = dv_outlog_decode(e, r->win + (r->at - r->win_at));
		if (n == -ENODATA) {
			skip_dropped(r);
			return STEP_AGAIN;
		}
		if (n == 0 && fits(r, e))
			return 0;
	}
	return damaged(r, err);
}

/* Count what is missing before it; not where we begin in its middle. */
static void enter(struct dv_outlog_reader *r, const struct dv_outlog_entry *e)
{
	r->entered = true;
	r->flagged = false;
	if (r->pos > e->offset)
		return;
	lose(r, e->offset - r->pos);
	lose(r, e->lost);
	r->pos = e->offset;
}

/* Have the byte at @pos in the buffer. 0, STEP_AGAIN, -errno. */
static int fill(struct dv_outlog_reader *r, const struct dv_outlog_entry *e,
		struct dv_err *err)
{
	uint64_t end = dv_max(r->win_end, e->offset + e->len);
	struct dv_outlog_entry now;
	ssize_t n;

	if (r->pos >= r->buf_at && r->pos - r->buf_at < r->buf_len)
		return 0;
	r->buf_len = 0;
	n = read_at(r->fd, r->buf,
		    (size_t)dv_min(end - r->pos, (uint64_t)DV_OUTLOG_BUF),
		    r->pos);
	if (n < 0)
		return r->failed =
			       dv_err_sys(err, (int)-n, "read log %s", r->name);
	if (dv_outlog_read_entry(r->idx_fd, r->at, &now) != 0) {
		r->win_len = 0; /* it was dropped, or is just being dropped */
		return STEP_AGAIN;
	}
	r->buf_at = r->pos;
	r->buf_len = (size_t)n;
	if (n > 0)
		return 0;
	/* The machine lost the end of the file, or somebody cut it. */
	lose(r, e->offset + e->len - r->pos);
	r->pos = e->offset + e->len;
	return STEP_AGAIN;
}

/* What the present entry still has. 0 (nothing), STEP_GIVE, ... */
static int bytes_of(struct dv_outlog_reader *r, const struct dv_outlog_entry *e,
		    struct dv_sandbox_piece *p, struct dv_err *err)
{
	uint64_t end = e->offset + e->len, buf_end;
	int n;

	if (r->pos >= end)
		return 0;
	if (!dv_outlog_wants(r, e)) {
		r->pos = end;
		return 0;
	}
	n = fill(r, e, err);
	if (n != 0)
		return n;
	buf_end = r->buf_at + r->buf_len;
	p->offset = r->pos;
	p->unix_ns = e->unix_ns;
	p->stream = e->stream;
	p->data = r->buf + (r->pos - r->buf_at);
	p->len = (size_t)(dv_min(end, buf_end) - r->pos);
	r->pos += p->len;
	return STEP_GIVE;
}

static int step(struct dv_outlog_reader *r, struct dv_sandbox_piece *p,
		uint32_t *flags, struct dv_err *err)
{
	struct dv_outlog_entry e = { .len = 0 };
	int n = entry(r, &e, err);

	if (n != 0)
		return n;
	if (e.unix_ns > r->until)
		return STEP_EOF;
	if (!r->entered)
		enter(r, &e);
	n = bytes_of(r, &e, p, err);
	if (n != 0)
		return n;
	if (e.flags & DV_OUTLOG_F_END && !r->flagged) {
		r->flagged = true;
		*flags |= DV_OUTLOG_RUN_ENDED;
		p->offset = r->pos;
		p->unix_ns = e.unix_ns;
		return STEP_GIVE;
	}
	if (!is_final(r))
		return STEP_NONE;
	r->end = e.offset + e.len;
	r->at += DV_OUTLOG_ENTRY;
	r->entered = false;
	return STEP_AGAIN;
}

/* Bytes that nobody indexed: their writer was killed. */
static void count_rest(struct dv_outlog_reader *r)
{
	struct stat st;

	if (!r->over || r->until != UINT64_MAX || fstat(r->fd, &st) < 0 ||
	    (uint64_t)st.st_size <= r->pos)
		return;
	lose(r, (uint64_t)st.st_size - r->pos);
	r->pos = (uint64_t)st.st_size;
}

int dv_outlog_next(struct dv_outlog_reader *r, struct dv_sandbox_piece *piece,
		   uint32_t *flags, struct dv_err *err)
{
	int n;

	*piece = (struct dv_sandbox_piece){ .offset = r->pos, .data = "" };
	*flags = 0;
	if (r->failed)
		return dv_err_sys(err, -r->failed, "log %s", r->name);
	r->drops = 0;
	do
		n = step(r, piece, flags, err);
	while (n == STEP_AGAIN && (r->drops < DROPS || !r->lost));
	if (n < 0)
		return n;
	if (n == STEP_NONE)
		count_rest(r);
	if (n != STEP_GIVE)
		piece->offset = r->pos;
	piece->lost = r->lost;
	r->lost = 0;
	if (n == STEP_GIVE || piece->lost)
		return 0;
	return n == STEP_EOF ? DV_EOF : DV_MORE;
}

void dv_outlog_reader_over(struct dv_outlog_reader *r)
{
	r->over = true;
}

int dv_outlog_reader_of(struct dv_outlog_reader **readerp, int fd, int idx_fd,
			const struct dv_sandbox_log_opts *opts,
			struct dv_err *err)
{
	struct dv_outlog_reader *r = calloc(1, sizeof(*r));
	int res = -ENOMEM;

	*readerp = NULL;
	if (r) {
		r->fd = fd;
		r->idx_fd = idx_fd;
		r->streams = opts->streams;
		if (!r->streams)
			r->streams = DV_DIAG_STDOUT | DV_DIAG_STDERR;
		r->until =
			opts->until_unix_ns ? opts->until_unix_ns : UINT64_MAX;
		r->limit = UINT64_MAX;
		dv_fmt(r->name, sizeof(r->name), "the log");
		r->win = malloc(DV_OUTLOG_WINDOW);
		r->buf = malloc(DV_OUTLOG_BUF);
		if (r->win && r->buf)
			res = dv_outlog_start(r, opts);
	} else {
		dv_close(fd);
		dv_close(idx_fd);
	}
	if (res < 0) {
		dv_outlog_reader_free(r);
		return dv_err_sys(err, -res, "read a log");
	}
	*readerp = r;
	return 0;
}

int dv_outlog_reader_new(struct dv_outlog_reader **readerp, int dirfd,
			 const char *path,
			 const struct dv_sandbox_log_opts *opts,
			 struct dv_err *err)
{
	int flags = O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK;
	char idx[PATH_MAX];
	dv_autofd int fd = -1;
	int idx_fd, r;

	*readerp = NULL;
	if (dv_fmt(idx, sizeof(idx), "%s.idx", path) >= (int)sizeof(idx))
		return dv_err_sys(err, ENAMETOOLONG, "log %.200s", path);
	fd = openat(dirfd, path, flags);
	if (fd < 0)
		return dv_err_sys(err, errno, "open log %s", path);
	idx_fd = openat(dirfd, idx, flags);
	if (idx_fd < 0)
		return dv_err_sys(err, errno, "open the index of log %s", path);
	r = dv_outlog_reader_of(readerp, dv_take_fd(&fd), idx_fd, opts, err);
	if (r == 0)
		dv_fmt((*readerp)->name, sizeof((*readerp)->name), "%s", path);
	return r;
}

struct dv_outlog_reader *dv_outlog_reader_free(struct dv_outlog_reader *r)
{
	if (!r)
		return NULL;
	dv_close(r->fd);
	dv_close(r->idx_fd);
	free(r->win);
	free(r->buf);
	free(r);
	return NULL;
}
