/* SPDX-License-Identifier: MIT */
/*
 * Where a reader begins: an offset, a time, or so many lines before the end.
 */
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "base/def.h"
#include "runtime/log/outlog_reader.h"

/* Lines are counted backwards, in pieces that end where the last one began. */
struct tail {
	struct dv_outlog_reader *r;
	uint64_t at;   /* of the entry that is looked at */
	uint64_t left; /* lines still wanted */
	bool begun;    /* the last byte is no line's beginning */
	uint64_t pos;  /* where it begins, when that was found */
};

/* Have the bytes before @end, of @from at the earliest, in the buffer. How many
 * of them end there; 0: they are gone. */
static int64_t bytes_before(struct dv_outlog_reader *r, uint64_t from,
			    uint64_t end)
{
	uint64_t low;
	ssize_t n;

	if (end > r->buf_at && end <= r->buf_at + r->buf_len)
		return (int64_t)(end - dv_max(from, r->buf_at));
	low = end > DV_OUTLOG_BUF ? end - DV_OUTLOG_BUF : 0;
	r->buf_len = 0;
	n = dv_outlog_read_bytes(r, r->buf, (size_t)(end - low), low);
	if (n < 0)
		return n;
	r->buf_at = low;
	r->buf_len = (size_t)n;
	if (low + (uint64_t)n < end)
		return 0;
	return (int64_t)(end - dv_max(from, low));
}

/* Count the lines of @len bytes. True: t->pos is where the wanted begin. */
static bool count(struct tail *t, const char *bytes, size_t len, uint64_t at)
{
	if (!t->begun && len) {
		t->begun = true;
		len -= bytes[len - 1] == '\n';
	}
	while (len) {
		const char *nl = memrchr(bytes, '\n', len);

		if (!nl)
			return false;
		len = (size_t)(nl - bytes);
		if (--t->left == 0) {
			t->pos = at + len + 1;
			return true;
		}
	}
	return false;
}

/* 1: it begins in this entry, 0: before, -errno. */
static int count_entry(struct tail *t, const struct dv_outlog_entry *e)
{
	uint64_t from = dv_max(e->offset, t->r->pos), end = e->offset + e->len;

	if (!dv_outlog_wants(t->r, e))
		return 0;
	while (end > from) {
		int64_t n = bytes_before(t->r, from, end);

		if (n <= 0)
			return (int)n;
		end -= (uint64_t)n;
		if (count(t, t->r->buf + (end - t->r->buf_at), (size_t)n, end))
			return 1;
	}
	return 0;
}

/* Back from @to, not further than r->at. */
static int find_tail(struct dv_outlog_reader *r, uint64_t to, uint64_t lines)
{
	struct tail t = { .r = r, .at = to, .left = lines };
	struct dv_outlog_entry e;
	int n = 0;

	while (n == 0 && t.at > r->at) {
		t.at -= DV_OUTLOG_ENTRY;
		n = dv_outlog_read_entry(r->idx_fd, t.at, &e);
		if (n < 0)
			return 0; /* dropped meanwhile; the rest is told */
		if (lines == 0) {
			t.pos = e.offset + e.len;
			n = 1;
		} else {
			n = count_entry(&t, &e);
		}
	}
	r->buf_len = 0;
	if (n > 0) {
		r->at = t.at;
		r->pos = dv_max(r->pos, t.pos);
	}
	return n < 0 ? n : 0;
}

/* Begin with the entry at @at and no byte before it. The last entry may grow,
 * but for one without bytes: behind it is at its end. */
static void begin_at(struct dv_outlog_reader *r, uint64_t at, uint64_t size)
{
	struct dv_outlog_entry e;
	bool behind = at >= size;

	if (at <= r->at)
		return; /* all that is left: what is missing is told */
	r->at = behind ? size - DV_OUTLOG_ENTRY : at;
	if (dv_outlog_read_entry(r->idx_fd, r->at, &e) != 0)
		return;
	r->pos = dv_max(r->pos, e.offset + (behind ? e.len : 0));
	if (behind && e.flags & (DV_OUTLOG_F_END | DV_OUTLOG_F_BEGIN))
		r->at = size;
}

/* ---- what is there of a time, or of a run
 *
 * A clock may be set back, so that the times of an index are not in order, and
 * nothing can be looked up by halves. Entries are looked at from the end, as
 * many as will be read afterwards.
 * ------------------------------------------------------------------------- */

/* Whole entries before @end, of @from at the earliest, in the window, which is
 * nobody's yet. Where the first one is; @end: they cannot be read. */
static uint64_t entries_before(struct dv_outlog_reader *r, uint64_t from,
			       uint64_t end)
{
	uint64_t at = end - dv_min(end - from, (uint64_t)DV_OUTLOG_WINDOW);
	ssize_t n;

	do
		n = pread(r->idx_fd, r->win, (size_t)(end - at), (off_t)at);
	while (n < 0 && errno == EINTR);
	return n == (ssize_t)(end - at) ? at : end;
}

/* Is the run's beginning between the entry @e and what is behind it? */
struct boundary {
	bool (*is_it)(struct boundary *b, const struct dv_outlog_entry *e);
	uint64_t ns;
	bool begun; /* there is something behind */
};

/* The last place in [@from, @to] with the boundary @b right before it, or
 * @from. What makes no sense is none, and what was dropped is. */
static uint64_t find_boundary(struct dv_outlog_reader *r, uint64_t from,
			      uint64_t to, struct boundary *b)
{
	struct dv_outlog_entry e;
	uint64_t end = to, at;

	while (end > from) {
		at = entries_before(r, from, end);
		if (at == end)
			break;
		for (uint64_t i = end; i > at; i -= DV_OUTLOG_ENTRY) {
			int n = dv_outlog_decode(&e, r->win + (i - at) -
							     DV_OUTLOG_ENTRY);

			if (n == -ENODATA || (n == 0 && b->is_it(b, &e)))
				return i;
		}
		end = at;
	}
	return from;
}

static bool is_older(struct boundary *b, const struct dv_outlog_entry *e)
{
	return e->unix_ns < b->ns;
}

/*
 * Where a run begins there is an entry that says so. Not in a log of an older
 * keeper: there a run that wrote nothing yet has the end of the one before as
 * the last entry, and one whose output has ended has its own.
 */
static bool is_run_before(struct boundary *b, const struct dv_outlog_entry *e)
{
	bool end = e->flags & DV_OUTLOG_F_END;

	if (e->flags & DV_OUTLOG_F_BEGIN ||
	    (end && (b->begun || e->unix_ns < b->ns)))
		return true;
	b->begun = true;
	return false;
}

static uint64_t find_since(struct dv_outlog_reader *r, uint64_t size,
			   const struct dv_sandbox_log_opts *opts)
{
	struct boundary b = {
		.is_it = opts->this_run ? is_run_before : is_older,
		.ns = opts->since_unix_ns,
	};

	return find_boundary(r, r->at, size, &b);
}

int dv_outlog_start(struct dv_outlog_reader *r,
		    const struct dv_sandbox_log_opts *opts)
{
	uint64_t size = dv_outlog_idx_size(r), to = size, at;

	if (!opts->follow)
		r->limit = size;
	r->pos = opts->offset;
	r->at = dv_outlog_first(r->idx_fd, 0, size);
	if (opts->offset) {
		at = dv_outlog_find(r->idx_fd, r->at, size,
				    dv_outlog_ends_behind, opts->offset);
		/* The last one may grow over it. */
		if (at == size && size > r->at)
			at = size - DV_OUTLOG_ENTRY;
		r->at = at;
	}
	if (opts->since_unix_ns || opts->this_run)
		begin_at(r, find_since(r, size, opts), size);
	if (opts->until_unix_ns && opts->until_unix_ns < UINT64_MAX)
		to = dv_outlog_find(r->idx_fd, r->at, size, dv_outlog_is_since,
				    opts->until_unix_ns + 1);
	return opts->tail < 0 ? 0 : find_tail(r, to, (uint64_t)opts->tail);
}
