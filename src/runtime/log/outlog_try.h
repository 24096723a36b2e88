/* SPDX-License-Identifier: MIT */
#pragma once
/*
 * For tests of a log: a directory with one in it, and what readers say.
 */
#include <sys/syscall.h>
#include <time.h>

#include "base/buf.h"
#include "base/def.h"
#include "engine/proc_try.h"
#include "runtime/log/outlog_entry.h"

enum { SECOND = 1000000000 };

static struct try_dir top;
static int dir;

static inline void open_top(void)
{
	try_dir_make(&top);
	dir = open(top.path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	CHECK(dir >= 0);
}

static inline void close_top(void)
{
	dv_close(dir);
	try_dir_remove(&top);
}

static inline void begin(struct dv_outlog *log, uint64_t max)
{
	struct dv_err err = DV_ERR_INIT;

	if (dv_outlog_open(log, dir, "log", max, &err) < 0)
		fail_msg("%s", err.msg);
}

static inline void put(struct dv_outlog *log, int stream, const char *text)
{
	/* Not one with what was before: that is what other tests are for. */
	log->grows = false;
	dv_outlog_put(log, (uint8_t)stream, text, strlen(text));
}

static inline struct dv_sandbox_log_opts all(void)
{
	return (struct dv_sandbox_log_opts)DV_SANDBOX_LOG_INIT;
}

static inline struct dv_sandbox_log_opts following(void)
{
	struct dv_sandbox_log_opts o = DV_SANDBOX_LOG_INIT;

	o.follow = true;
	return o;
}

static inline struct dv_outlog_reader *reader(struct dv_sandbox_log_opts o)
{
	struct dv_outlog_reader *r;
	struct dv_err err = DV_ERR_INIT;

	if (dv_outlog_reader_new(&r, dir, "log", &o, &err) < 0)
		fail_msg("%s", err.msg);
	return r;
}

/*
 * What a reader gives, as text: bytes as they are, behind "1:" or "2:" where
 * the stream is another one than before, "(n)" for a gap, "." for the end of a
 * run. Static.
 */
static inline const char *told(struct dv_outlog_reader *r)
{
	static char text[8192];
	struct dv_sandbox_piece p;
	struct dv_err err = DV_ERR_INIT;
	struct dv_buf out = DV_BUF_INIT(sizeof(text) - 1);
	uint32_t flags;
	int n, stream = 0;

	while ((n = dv_outlog_next(r, &p, &flags, &err)) == 0) {
		CHECK(p.len || p.lost || flags);
		if (p.lost)
			dv_buf_putf(&out, "(%llu)", (unsigned long long)p.lost);
		if (p.len && p.stream != stream)
			dv_buf_putf(&out, "%d:", stream = p.stream);
		dv_buf_put(&out, p.data, p.len);
		if (flags & DV_OUTLOG_RUN_ENDED)
			dv_buf_putc(&out, '.');
	}
	if (n < 0)
		dv_buf_putf(&out, "!%s", err.msg);
	CHECK_EQ(dv_buf_status(&out), 0);
	memcpy(text, out.data ? out.data : "", out.len + 1);
	dv_buf_free(&out);
	return text;
}

static inline const char *told_once(struct dv_sandbox_log_opts o)
{
	struct dv_outlog_reader *r = reader(o);
	const char *text;

	dv_outlog_reader_over(r);
	text = told(r);
	dv_outlog_reader_free(r);
	return text;
}

static inline off_t size_of(const char *name)
{
	struct stat st;

	CHECK_EQ(fstatat(dir, name, &st, 0), 0);
	return st.st_size;
}

static inline off_t disk_of(const char *name)
{
	struct stat st;

	CHECK_EQ(fstatat(dir, name, &st, 0), 0);
	return st.st_blocks * 512;
}

static inline void cut(const char *name, off_t size)
{
	CHECK_EQ(truncate(try_path(&top, name), size), 0);
}

/* The time of day while it stands still, else 0. */
static uint64_t still_ns;

/* Stands before the function of the C library. */
int clock_gettime(clockid_t clock, struct timespec *ts)
{
	if (!still_ns || clock != CLOCK_REALTIME)
		return (int)syscall(SYS_clock_gettime, clock, ts);
	ts->tv_sec = (time_t)(still_ns / SECOND);
	ts->tv_nsec = (long)(still_ns % SECOND);
	return 0;
}

/* Append to the last entry, however long that took. */
static inline void put_grown(struct dv_outlog *log, const char *text)
{
	uint64_t before = log->idx_end;

	CHECK(log->grows);
	still_ns = log->last.unix_ns;
	dv_outlog_put(log, log->last.stream, text, strlen(text));
	still_ns = 0;
	CHECK_EQ(log->idx_end, before);
}

/* ---- much of it ---------------------------------------------------------- */

static inline char pattern(uint64_t i)
{
	return (char)(i * 7 + i / 251);
}

static inline void put_pattern(struct dv_outlog *log, int stream, size_t len)
{
	char buf[4096];

	while (len) {
		size_t n = dv_min(len, sizeof(buf));
		uint64_t at = log->offset + log->lost_all;

		for (size_t i = 0; i < n; i++)
			buf[i] = pattern(at + i);
		dv_outlog_put(log, (uint8_t)stream, buf, n);
		len -= n;
	}
}

/* Bytes and gaps up to now; bytes are where they belong. */
struct sums {
	uint64_t bytes, lost, gaps;
};

static inline int sum_up(struct dv_outlog_reader *r, struct sums *s)
{
	struct dv_sandbox_piece p;
	uint32_t flags;
	int n;

	while ((n = dv_outlog_next(r, &p, &flags, NULL)) == 0) {
		s->lost += p.lost;
		s->gaps += p.lost > 0;
		if (p.len && p.offset != s->bytes + s->lost)
			return -ERANGE;
		for (size_t i = 0; i < p.len; i++)
			if (((const char *)p.data)[i] != pattern(p.offset + i))
				return -EILSEQ;
		s->bytes += p.len;
	}
	return n;
}
