/* SPDX-License-Identifier: MIT */
#include "runtime/outlog.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/def.h"
#include "engine/proc_try.h"
#include "runtime/outlog_entry.h"

enum { SECOND = 1000000000 };

static struct try_dir top;
static int dir;

static void open_top(void)
{
	try_dir_make(&top);
	dir = open(top.path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	CHECK(dir >= 0);
}

static void close_top(void)
{
	dv_close(dir);
	try_dir_remove(&top);
}

static void begin(struct dv_outlog *log, uint64_t max)
{
	struct dv_err err = DV_ERR_INIT;

	if (dv_outlog_open(log, dir, "log", max, &err) < 0)
		fail_msg("%s", err.msg);
}

static void put(struct dv_outlog *log, int stream, const char *text)
{
	/* Not one with what was before: that is what other tests are for. */
	log->grows = false;
	dv_outlog_put(log, (uint8_t)stream, text, strlen(text));
}

static struct dv_sandbox_log_opts all(void)
{
	return (struct dv_sandbox_log_opts)DV_SANDBOX_LOG_INIT;
}

static struct dv_sandbox_log_opts following(void)
{
	struct dv_sandbox_log_opts o = DV_SANDBOX_LOG_INIT;

	o.follow = true;
	return o;
}

static struct dv_outlog_reader *reader(struct dv_sandbox_log_opts o)
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
static const char *told(struct dv_outlog_reader *r)
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

static const char *told_once(struct dv_sandbox_log_opts o)
{
	struct dv_outlog_reader *r = reader(o);
	const char *text;

	dv_outlog_reader_over(r);
	text = told(r);
	dv_outlog_reader_free(r);
	return text;
}

static off_t size_of(const char *name)
{
	struct stat st;

	CHECK_EQ(fstatat(dir, name, &st, 0), 0);
	return st.st_size;
}

static off_t disk_of(const char *name)
{
	struct stat st;

	CHECK_EQ(fstatat(dir, name, &st, 0), 0);
	return st.st_blocks * 512;
}

static void cut(const char *name, off_t size)
{
	CHECK_EQ(truncate(try_path(&top, name), size), 0);
}

/* ---- entries --------------------------------------------------------------
 */

TEST(entry_comes_back_as_it_was)
{
	struct dv_outlog_entry e = { 0x123456789a, 77, 5,
				     300,          2,  DV_OUTLOG_F_LOST },
			       back;
	uint8_t raw[DV_OUTLOG_ENTRY];

	dv_outlog_encode(raw, &e);
	CHECK_EQ(dv_outlog_decode(&back, raw), 0);
	CHECK_EQ(memcmp(&e, &back, sizeof(e)), 0);
}

TEST(entry_that_makes_no_sense_is_refused)
{
	static const struct dv_outlog_entry bad[] = {
		{ .len = 1, .stream = 3 },
		{ .len = 0, .stream = 1, .unix_ns = 1 },
		{ .len = 1, .stream = 0 },
		{ .len = 1, .stream = 1, .lost = 1 },
		{ .len = 1, .stream = 1, .flags = DV_OUTLOG_F_LOST },
		{ .len = 1, .stream = 1, .offset = INT64_MAX },
		{ .len = 1,
		  .stream = 1,
		  .flags = DV_OUTLOG_F_LOST,
		  .lost = UINT64_MAX },
	};
	uint8_t raw[DV_OUTLOG_ENTRY] = { 0 };
	struct dv_outlog_entry e;

	CHECK_EQ(dv_outlog_decode(&e, raw), -ENODATA);
	for (size_t i = 0; i < DV_ARRAY_LEN(bad); i++) {
		dv_outlog_encode(raw, &bad[i]);
		CHECK_EQ(dv_outlog_decode(&e, raw), -EBADMSG);
	}
}

/* ---- writing and reading ---------------------------------------------------
 */

TEST(log_is_read_as_it_was_written)
{
	struct dv_outlog log;

	open_top();
	begin(&log, UINT64_MAX);
	put(&log, 1, "one\n");
	put(&log, 2, "two\n");
	put(&log, 1, "three");
	CHECK_EQ(size_of("log.idx"), 3 * DV_OUTLOG_ENTRY);
	CHECK_STR(told_once(all()), "1:one\n2:two\n1:three");
	dv_outlog_end(&log);
	dv_outlog_close(&log);
	CHECK_STR(told_once(all()), "1:one\n2:two\n1:three.");
	begin(&log, UINT64_MAX);
	put(&log, 1, "again");
	dv_outlog_close(&log);
	CHECK_STR(told_once(all()), "1:one\n2:two\n1:three.again");
	close_top();
}

TEST(reader_gives_one_stream_if_that_was_asked_for)
{
	struct dv_sandbox_log_opts o = all();
	struct dv_outlog log;

	open_top();
	begin(&log, UINT64_MAX);
	put(&log, 1, "one ");
	put(&log, 2, "two ");
	put(&log, 1, "three");
	dv_outlog_close(&log);
	o.streams = DV_DIAG_STDOUT;
	CHECK_STR(told_once(o), "1:one three");
	o.streams = DV_DIAG_STDERR;
	CHECK_STR(told_once(o), "2:two ");
	close_top();
}

TEST(reader_that_follows_gets_what_comes_and_another_one_does_not)
{
	struct dv_outlog log;
	struct dv_outlog_reader *now, *on;

	open_top();
	begin(&log, UINT64_MAX);
	put(&log, 1, "there");
	now = reader(all());
	on = reader(following());
	CHECK_STR(told(on), "1:there");
	CHECK_STR(told(on), "");
	put(&log, 2, "more");
	CHECK_STR(told(on), "2:more");
	CHECK_STR(told(now), "1:there");
	dv_outlog_reader_free(now);
	dv_outlog_reader_free(on);
	dv_outlog_close(&log);
	close_top();
}

TEST(reader_of_an_empty_log_waits_for_its_first_byte)
{
	struct dv_outlog log;
	struct dv_outlog_reader *r;

	open_top();
	begin(&log, UINT64_MAX);
	r = reader(following());
	CHECK_STR(told(r), "");
	put(&log, 1, "x");
	CHECK_STR(told(r), "1:x");
	dv_outlog_reader_free(r);
	dv_outlog_close(&log);
	close_top();
}

TEST(log_that_is_not_there_is_not_found)
{
	struct dv_sandbox_log_opts o = all();
	struct dv_outlog_reader *r;
	struct dv_outlog log;
	struct dv_err err = DV_ERR_INIT;

	open_top();
	CHECK_EQ(dv_outlog_reader_new(&r, dir, "log", &o, &err), -ENOENT);
	CHECK_EQ(err.code, DV_NOT_FOUND);
	CHECK_EQ(mkdirat(dir, "log", 0700), 0);
	CHECK_EQ(dv_outlog_open(&log, dir, "log", 1, &err), -EISDIR);
	CHECK_EQ(log.fd, -1);
	CHECK_EQ(dv_outlog_open(&log, dir, "/dev/null", 1, &err), -EINVAL);
	close_top();
}

/* ---- small pieces ---------------------------------------------------------
 */

TEST(single_bytes_share_entries)
{
	enum { N = 10000 };
	struct dv_outlog log;
	struct dv_outlog_reader *r;
	struct dv_outlog_entry e;
	size_t got = 0;

	open_top();
	begin(&log, UINT64_MAX);
	r = reader(following());
	for (int i = 0; i < N; i++) {
		char c = (char)('a' + i % 26);

		dv_outlog_put(&log, 1, &c, 1);
		/* Readers look at any time. */
		if (i % 7 == 0)
			got += strlen(told(r)) - 2;
	}
	/* A machine that stands still between two bytes makes more. */
	CHECK(size_of("log.idx") < N * DV_OUTLOG_ENTRY / 2);
	for (off_t at = 0; at < size_of("log.idx"); at += DV_OUTLOG_ENTRY) {
		CHECK_EQ(dv_outlog_read_entry(log.idx_fd, (uint64_t)at, &e), 0);
		CHECK(e.len < 256);
	}
	got += strlen(told(r)) - 2;
	CHECK_EQ(got, N);
	dv_outlog_reader_free(r);
	dv_outlog_close(&log);
	close_top();
}

/* Append to the last entry, however long that took. */
static void put_grown(struct dv_outlog *log, const char *text)
{
	uint64_t before = log->idx_end;
	struct timespec ts;

	CHECK(log->grows);
	clock_gettime(CLOCK_REALTIME, &ts);
	log->last.unix_ns = (uint64_t)ts.tv_sec * SECOND + (uint64_t)ts.tv_nsec;
	dv_outlog_put(log, log->last.stream, text, strlen(text));
	CHECK_EQ(log->idx_end, before);
}

TEST(entry_that_grew_is_not_taken_for_a_gap)
{
	struct dv_outlog log;
	struct dv_outlog_reader *r;

	open_top();
	begin(&log, UINT64_MAX);
	put(&log, 1, "a");
	r = reader(following());
	CHECK_STR(told(r), "1:a");
	put_grown(&log, "bc");
	CHECK_STR(told(r), "1:bc");
	/* It is not the last one any more when it is looked at. */
	put_grown(&log, "de");
	put(&log, 2, "f");
	put(&log, 1, "g");
	CHECK_STR(told(r), "1:de2:f1:g");
	dv_outlog_reader_free(r);
	dv_outlog_close(&log);
	CHECK_STR(told_once(all()), "1:abcde2:f1:g");
	close_top();
}

TEST(entry_never_grows_over_what_changes_two_bytes)
{
	struct dv_outlog log;
	char text[200];

	open_top();
	begin(&log, UINT64_MAX);
	memset(text, 'x', sizeof(text));
	dv_outlog_put(&log, 1, text, 200);
	dv_outlog_put(&log, 1, text, 100);
	CHECK_EQ(size_of("log.idx"), 2 * DV_OUTLOG_ENTRY);
	CHECK_EQ(log.last.len, 100);
	dv_outlog_close(&log);
	/* Nor one of somebody else. */
	begin(&log, UINT64_MAX);
	dv_outlog_put(&log, 1, text, 1);
	CHECK_EQ(size_of("log.idx"), 3 * DV_OUTLOG_ENTRY);
	dv_outlog_close(&log);
	close_top();
}

/* ---- the size ------------------------------------------------------------ */

static char pattern(uint64_t i)
{
	return (char)(i * 7 + i / 251);
}

static void put_pattern(struct dv_outlog *log, int stream, size_t len)
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

static int sum_up(struct dv_outlog_reader *r, struct sums *s)
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

TEST(oldest_bytes_are_dropped_and_their_number_is_told_once)
{
	enum { MAX = 256 << 10, N = 3 << 20 };
	struct dv_outlog log;
	struct dv_outlog_reader *r, *slow;
	struct sums s = { 0 }, t = { 0 };

	open_top();
	begin(&log, MAX);
	slow = reader(following());
	put_pattern(&log, 1, N);
	CHECK_EQ(log.lost_all, 0);
	CHECK(log.punches);
	CHECK_EQ(size_of("log"), N);
	CHECK(disk_of("log") <= MAX + 2 * (off_t)log.block);
	r = reader(all());
	CHECK_EQ(sum_up(r, &s), DV_MORE);
	CHECK_EQ(s.gaps, 1);
	CHECK_EQ(s.bytes + s.lost, N);
	CHECK(s.bytes <= MAX && s.bytes >= MAX / 2);
	dv_outlog_reader_free(r);
	/* One that is left behind more than once. */
	CHECK_EQ(sum_up(slow, &t), DV_MORE);
	CHECK_EQ(t.lost, s.lost);
	put_pattern(&log, 2, N);
	CHECK_EQ(sum_up(slow, &t), DV_MORE);
	CHECK_EQ(t.bytes + t.lost, 2 * N);
	CHECK_EQ(t.gaps, 2);
	dv_outlog_reader_free(slow);
	dv_outlog_close(&log);
	/* Opened anew it goes on like that. */
	begin(&log, MAX);
	CHECK(log.idx_from > 0);
	CHECK_EQ(log.offset, 2 * N);
	put_pattern(&log, 1, N);
	CHECK(disk_of("log") <= MAX + 2 * (off_t)log.block);
	dv_outlog_close(&log);
	close_top();
}

TEST(index_is_dropped_with_its_bytes)
{
	enum { MAX = 64 << 10, N = 40000 };
	struct dv_outlog log;
	struct sums s = { 0 };
	struct dv_outlog_reader *r;

	open_top();
	begin(&log, MAX);
	for (int i = 0; i < N; i++)
		put_pattern(&log, i % 2 + 1, 10);
	CHECK_EQ(size_of("log.idx"), N * DV_OUTLOG_ENTRY);
	CHECK(disk_of("log.idx") <=
	      MAX / 10 * DV_OUTLOG_ENTRY + 2 * (off_t)log.block);
	r = reader(all());
	CHECK_EQ(sum_up(r, &s), DV_MORE);
	CHECK_EQ(s.bytes + s.lost, N * 10);
	CHECK_EQ(s.gaps, 1);
	dv_outlog_reader_free(r);
	dv_outlog_close(&log);
	close_top();
}

TEST(log_of_a_few_bytes_keeps_the_last_ones)
{
	struct dv_outlog log;
	struct sums s = { 0 };
	struct dv_outlog_reader *r;

	open_top();
	begin(&log, 1000);
	put_pattern(&log, 1, 100000);
	r = reader(all());
	CHECK_EQ(sum_up(r, &s), DV_MORE);
	CHECK_EQ(s.bytes + s.lost, 100000);
	CHECK(s.bytes > 0 && s.bytes <= 1000);
	dv_outlog_reader_free(r);
	dv_outlog_close(&log);
	close_top();
}

TEST(reader_whose_whole_part_was_dropped_tells_it)
{
	enum { MAX = 64 << 10 };
	struct dv_outlog log;
	struct sums s = { 0 };
	struct dv_outlog_reader *r;

	open_top();
	begin(&log, MAX);
	put_pattern(&log, 1, 1000);
	r = reader(all());
	put_pattern(&log, 1, 10 * MAX);
	CHECK_EQ(sum_up(r, &s), DV_MORE);
	CHECK_EQ(s.bytes, 0);
	CHECK_EQ(s.gaps, 1);
	CHECK(s.lost >= 1000 && s.lost <= 11 * MAX);
	dv_outlog_reader_free(r);
	dv_outlog_close(&log);
	close_top();
}

TEST(without_holes_new_bytes_are_dropped)
{
	enum { MAX = 64 << 10 };
	struct dv_outlog log;
	struct sums s = { 0 };
	struct dv_outlog_reader *r;

	open_top();
	begin(&log, MAX);
	log.punches = false;
	log.no_punch = EOPNOTSUPP;
	r = reader(following());
	put_pattern(&log, 1, MAX - 10);
	CHECK_EQ(sum_up(r, &s), DV_MORE);
	CHECK_EQ(s.bytes, MAX - 10);
	put_pattern(&log, 1, 100);
	/* Known at once, not only at the end. */
	CHECK_EQ(sum_up(r, &s), DV_MORE);
	CHECK_EQ(s.bytes, MAX);
	CHECK_EQ(s.lost, 90);
	put_pattern(&log, 1, 70);
	put_pattern(&log, 1, 5 * MAX);
	CHECK_EQ(log.lost_all, 5 * MAX + 160);
	CHECK_EQ(log.sys, EOPNOTSUPP);
	dv_outlog_end(&log);
	CHECK_EQ(sum_up(r, &s), DV_MORE);
	CHECK_EQ(s.bytes, MAX);
	CHECK_EQ(s.lost, 5 * MAX + 160);
	CHECK(size_of("log.idx") < 60 * DV_OUTLOG_ENTRY);
	dv_outlog_reader_free(r);
	dv_outlog_close(&log);
	close_top();
}

/* ---- pipes ----------------------------------------------------------------
 */

TEST(pipe_is_spliced_and_all_of_it_consumed)
{
	enum { MAX = 64 << 10, N = 40000 };
	struct dv_outlog log;
	struct sums s = { 0 };
	struct dv_outlog_reader *r;
	char buf[N];
	int p[2];

	open_top();
	begin(&log, MAX);
	CHECK_EQ(dv_pipe(p), 0);
	for (int round = 0; round < 5; round++) {
		for (int i = 0; i < N; i++)
			buf[i] = pattern((uint64_t)(round * N + i));
		CHECK_EQ(dv_write_full(p[1], buf, N), 0);
		dv_outlog_splice(&log, 2, p[0], N);
		CHECK_EQ(dv_fd_nonblock(p[0], true), 0);
		CHECK_EQ(dv_read(p[0], buf, 1), -EAGAIN);
	}
	CHECK_EQ(log.lost_all, 0);
	r = reader(all());
	CHECK_EQ(sum_up(r, &s), DV_MORE);
	CHECK_EQ(s.bytes + s.lost, 5 * N);
	dv_outlog_reader_free(r);
	/* Nothing of it stays in the pipe when it cannot be kept. */
	log.punches = false;
	log.max = 0;
	CHECK_EQ(dv_write_full(p[1], buf, N), 0);
	dv_outlog_splice(&log, 2, p[0], N);
	CHECK_EQ(dv_read(p[0], buf, 1), -EAGAIN);
	CHECK_EQ(log.lost_all, N);
	dv_close(p[0]);
	dv_close(p[1]);
	dv_outlog_close(&log);
	close_top();
}

/* ---- what a writer that was killed leaves ---------------------------------
 */

/* "one" (1) "two" (2) "three" (1), 11 bytes, and the end of the run. */
static void three_entries(void)
{
	struct dv_outlog log;

	begin(&log, UINT64_MAX);
	put(&log, 1, "one");
	put(&log, 2, "two");
	put(&log, 1, "three");
	dv_outlog_end(&log);
	dv_outlog_close(&log);
}

static void go_on(void)
{
	struct dv_outlog log;

	begin(&log, UINT64_MAX);
	put(&log, 2, "new");
	dv_outlog_close(&log);
}

TEST(index_cut_at_every_byte_says_what_is_missing)
{
	static const char *const want[] = { "(11)", "1:one(8)", "1:one2:two(5)",
					    "1:one2:two1:three",
					    "1:one2:two1:three." };
	static const char *const after[] = { "(11)2:new", "1:one(8)2:new",
					     "1:one2:two(5)new",
					     "1:one2:two1:three2:new",
					     "1:one2:two1:three.2:new" };

	for (int n = 4 * DV_OUTLOG_ENTRY; n >= 0; n--) {
		open_top();
		three_entries();
		cut("log.idx", n);
		CHECK_STR(told_once(all()), want[n / DV_OUTLOG_ENTRY]);
		go_on();
		CHECK_EQ(size_of("log.idx") % DV_OUTLOG_ENTRY, 0);
		CHECK_STR(told_once(all()), after[n / DV_OUTLOG_ENTRY]);
		close_top();
	}
}

TEST(log_cut_at_every_byte_says_what_is_missing)
{
	for (int n = 11; n >= 0; n--) {
		char kept[40], gap[8] = "", want[80];

		dv_fmt(kept, sizeof(kept), "%s%.*s%s%.*s%s%.*s",
		       n > 0 ? "1:" : "", dv_min(n, 3), "one",
		       n > 3 ? "2:" : "", n > 3 ? dv_min(n - 3, 3) : 0, "two",
		       n > 6 ? "1:" : "", n > 6 ? n - 6 : 0, "three");
		if (n < 11)
			dv_fmt(gap, sizeof(gap), "(%d)", 11 - n);
		open_top();
		three_entries();
		cut("log", n);
		dv_fmt(want, sizeof(want), "%s%s.", kept, gap);
		CHECK_STR(told_once(all()), want);
		go_on();
		/* Zeros between the two are nobody's bytes. */
		dv_fmt(want, sizeof(want), "%s%s%s%snew", kept, gap,
		       n == 11 ? "." : "", n > 3 && n <= 6 ? "" : "2:");
		CHECK_STR(told_once(all()), want);
		close_top();
	}
}

TEST(bytes_without_an_entry_are_a_gap_told_once)
{
	struct dv_outlog_reader *r;

	open_top();
	three_entries();
	r = reader(following());
	cut("log", 20);
	/* As long as it may get an entry it is none. */
	CHECK_STR(told(r), "1:one2:two1:three.");
	dv_outlog_reader_over(r);
	CHECK_STR(told(r), "(9)");
	CHECK_STR(told(r), "");
	go_on();
	CHECK_STR(told(r), "2:new");
	dv_outlog_reader_free(r);
	CHECK_STR(told_once(all()), "1:one2:two1:three.(9)2:new");
	close_top();
}

TEST(text_that_was_there_before_the_first_run_stays)
{
	struct dv_outlog log;

	open_top();
	try_file(&top, "log", "my notes\n", 0600);
	begin(&log, UINT64_MAX);
	put(&log, 1, "out");
	dv_outlog_close(&log);
	CHECK_STR(told_once(all()), "(9)1:out");
	CHECK_EQ(size_of("log"), 12);
	close_top();
}

static void write_index(const struct dv_outlog_entry *e, size_t n)
{
	uint8_t raw[16 * DV_OUTLOG_ENTRY] = { 0 };

	for (size_t i = 0; i < n; i++)
		if (e[i].unix_ns)
			dv_outlog_encode(raw + i * DV_OUTLOG_ENTRY, &e[i]);
	CHECK_EQ(
		dv_replace_file(dir, "log.idx", raw, n * DV_OUTLOG_ENTRY, 0600),
		0);
}

TEST(nonsense_in_the_index_is_an_error_and_stays_one)
{
	static const struct dv_outlog_entry back[] = {
		{ .offset = 0, .len = 3, .stream = 1, .unix_ns = 1 },
		{ .offset = 2, .len = 3, .stream = 1, .unix_ns = 1 },
		{ .offset = 5, .len = 3, .stream = 1, .unix_ns = 1 },
	};
	struct dv_outlog_reader *r;

	open_top();
	try_file(&top, "log", "12345678", 0600);
	write_index(back, 3);
	r = reader(all());
	CHECK_STR(told(r), "1:123!the index of log is damaged at byte 32");
	CHECK_STR(told(r), "!log log: Bad message");
	dv_outlog_reader_free(r);
	close_top();
}

TEST(zeros_anywhere_in_the_index_are_a_gap)
{
	static const struct dv_outlog_entry holes[] = {
		{ .unix_ns = 0 },
		{ .offset = 2, .len = 2, .stream = 1, .unix_ns = 1 },
		{ .unix_ns = 0 },
		{ .unix_ns = 0 },
		{ .offset = 6, .len = 1, .stream = 2, .unix_ns = 1 },
		{ .unix_ns = 0 },
	};

	open_top();
	try_file(&top, "log", "12345678", 0600);
	write_index(holes, 6);
	CHECK_STR(told_once(all()), "(2)1:34(2)2:7(1)");
	go_on();
	CHECK_EQ(size_of("log.idx"), 6 * DV_OUTLOG_ENTRY);
	CHECK_STR(told_once(all()), "(2)1:34(2)2:7(1)new");
	close_top();
}

/* ---- where to begin -------------------------------------------------------
 */

TEST(offset_may_be_anywhere)
{
	static const char *const want[] = {
		"1:one2:two1:three.",
		"1:ne2:two1:three.",
		"1:e2:two1:three.",
		"2:two1:three.",
		"2:wo1:three.",
		"2:o1:three.",
		"1:three.",
		"1:hree.",
		"1:ree.",
		"1:ee.",
		"1:e.",
		".",
		".",
	};
	struct dv_sandbox_log_opts o = all();

	open_top();
	three_entries();
	for (size_t i = 0; i < DV_ARRAY_LEN(want); i++) {
		o.offset = i;
		CHECK_STR(told_once(o), want[i]);
	}
	o.offset = UINT64_MAX;
	CHECK_STR(told_once(o), ".");
	close_top();
}

TEST(offset_at_the_end_of_an_entry_that_grows_misses_nothing)
{
	struct dv_sandbox_log_opts o = following();
	struct dv_outlog_reader *r, *later;
	struct dv_outlog log;

	open_top();
	begin(&log, UINT64_MAX);
	put(&log, 1, "abc");
	o.offset = 3;
	r = reader(o);
	o.offset = 5;
	later = reader(o);
	CHECK_STR(told(r), "");
	put_grown(&log, "defg");
	CHECK_STR(told(r), "1:defg");
	CHECK_STR(told(later), "1:fg");
	dv_outlog_reader_free(r);
	dv_outlog_reader_free(later);
	dv_outlog_close(&log);
	close_top();
}

TEST(tail_counts_lines_of_the_streams_that_are_wanted)
{
	static const struct {
		int64_t tail;
		uint32_t streams;
		const char *want;
	} rows[] = {
		{ 0, 0, "" },
		{ 1, 0, "2:e3\n" },
		{ 2, 0, "1:o4\n2:e3\n" },
		{ 3, 0, "1:o3\no4\n2:e3\n" },
		{ 4, 0, "2:e2\n1:o3\no4\n2:e3\n" },
		{ 99, 0, "1:o1\no2\n2:e1\ne2\n1:o3\no4\n2:e3\n" },
		{ 0, DV_DIAG_STDOUT, "" },
		{ 1, DV_DIAG_STDOUT, "1:o4\n" },
		{ 3, DV_DIAG_STDOUT, "1:o2\no3\no4\n" },
		{ 2, DV_DIAG_STDERR, "2:e2\ne3\n" },
		{ 99, DV_DIAG_STDERR, "2:e1\ne2\ne3\n" },
	};
	struct dv_outlog log;

	open_top();
	begin(&log, UINT64_MAX);
	put(&log, 1, "o1\no2\n");
	put(&log, 2, "e1\ne2\n");
	put(&log, 1, "o3\no4\n");
	put(&log, 2, "e3\n");
	for (size_t i = 0; i < DV_ARRAY_LEN(rows); i++) {
		struct dv_sandbox_log_opts o = all();

		o.tail = rows[i].tail;
		o.streams = rows[i].streams;
		CHECK_STR(told_once(o), rows[i].want);
	}
	dv_outlog_close(&log);
	close_top();
}

TEST(tail_takes_an_unfinished_line_for_one_and_follows)
{
	struct dv_sandbox_log_opts o = following();
	struct dv_outlog_reader *none, *two;
	struct dv_outlog log;

	open_top();
	begin(&log, UINT64_MAX);
	put(&log, 1, "a\nb\nc");
	o.tail = 2;
	two = reader(o);
	o.tail = 0;
	none = reader(o);
	CHECK_STR(told(two), "1:b\nc");
	CHECK_STR(told(none), "");
	put_grown(&log, "d\n");
	put(&log, 2, "e");
	CHECK_STR(told(two), "1:d\n2:e");
	CHECK_STR(told(none), "1:d\n2:e");
	dv_outlog_reader_free(two);
	dv_outlog_reader_free(none);
	dv_outlog_close(&log);
	close_top();
}

TEST(tail_of_a_long_log_is_exact)
{
	enum { LINES = 100000 };
	struct dv_sandbox_log_opts o = all();
	struct dv_outlog_reader *r;
	struct dv_sandbox_piece p;
	struct dv_outlog log;
	uint64_t starts[LINES + 1];
	uint32_t flags;
	char line[32];

	open_top();
	begin(&log, UINT64_MAX);
	for (int i = 0; i < LINES; i++) {
		starts[i] = log.offset;
		dv_fmt(line, sizeof(line), "line %d\n", i);
		dv_outlog_put(&log, 1, line, strlen(line));
	}
	for (int64_t n = 1; n < LINES; n = n * 3 + 1) {
		o.tail = n;
		r = reader(o);
		CHECK_EQ(dv_outlog_next(r, &p, &flags, NULL), 0);
		CHECK_EQ(p.offset, starts[LINES - n]);
		CHECK_EQ(p.lost, 0);
		dv_outlog_reader_free(r);
	}
	dv_outlog_close(&log);
	close_top();
}

TEST(times_choose_entries)
{
	static const struct dv_outlog_entry e[] = {
		{ .offset = 0, .len = 1, .stream = 1, .unix_ns = 10 },
		{ .offset = 1, .len = 1, .stream = 1, .unix_ns = 20 },
		{ .offset = 2, .len = 2, .stream = 1, .unix_ns = 20 },
		{ .offset = 4, .len = 1, .stream = 1, .unix_ns = 30 },
	};
	static const struct {
		uint64_t since, until;
		int64_t tail;
		const char *want;
	} rows[] = {
		{ 0, 0, -1, "1:abcde(3)" },
		{ 10, 0, -1, "1:abcde(3)" },
		{ 11, 0, -1, "1:bcde(3)" },
		{ 20, 0, -1, "1:bcde(3)" },
		{ 21, 0, -1, "1:e(3)" },
		{ 31, 0, -1, "(3)" },
		{ 0, 9, -1, "" },
		{ 0, 10, -1, "1:a" },
		{ 0, 20, -1, "1:abcd" },
		{ 11, 29, -1, "1:bcd" },
		{ 0, UINT64_MAX, 0, "(3)" },
		{ 0, 20, 1, "1:abcd" },
		{ 0, 20, 0, "" },
		{ 31, 31, -1, "" },
	};

	open_top();
	try_file(&top, "log", "abcde...", 0600);
	write_index(e, 4);
	for (size_t i = 0; i < DV_ARRAY_LEN(rows); i++) {
		struct dv_sandbox_log_opts o = all();

		o.since_unix_ns = rows[i].since;
		o.until_unix_ns = rows[i].until;
		o.tail = rows[i].tail;
		CHECK_STR(told_once(o), rows[i].want);
	}
	close_top();
}

/* ---- a disk that is full ---------------------------------------------------
 */

/* In a child with a file system of its own. Its exit status: 0, 77: cannot. */
static void in_a_mount(const char *type, const char *options, int (*fn)(void))
{
	int status;
	pid_t pid;

	open_top();
	pid = fork();
	if (pid == 0) {
		int r = 77;

		if (unshare(CLONE_NEWNS) == 0 &&
		    mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0 &&
		    mount("none", top.path, type, 0, options) == 0) {
			dir = open(top.path, O_RDONLY | O_DIRECTORY);
			r = fn();
		}
		_exit(r);
	}
	CHECK_EQ(waitpid(pid, &status, 0), pid);
	close_top();
	if (WIFEXITED(status) && WEXITSTATUS(status) == 77)
		SKIP("no mount namespace of our own");
	CHECK_EQ(status, 0);
}

static int full_disk(void)
{
	enum { N = 200 << 10 };
	static const char ballast[16 << 10];
	struct dv_outlog_reader *r;
	struct dv_outlog log;
	struct dv_sandbox_log_opts o = following();
	struct sums s = { 0 };
	uint64_t lost;

	if (dv_outlog_open(&log, dir, "log", UINT64_MAX, NULL) < 0)
		return 1;
	if (dv_write_file(dir, "log", "", 0) < 0 ||
	    dv_replace_file(dir, "ballast", ballast, sizeof(ballast), 0600) < 0)
		return 2;
	if (dv_outlog_reader_new(&r, dir, "log", &o, NULL) < 0)
		return 3;
	put_pattern(&log, 1, N);
	lost = log.lost_all;
	if (log.sys != ENOSPC || lost == 0 || log.offset + lost != N)
		return 4;
	/* Room again: it goes on, and says what is missing. */
	if (unlinkat(dir, "ballast", 0) < 0)
		return 5;
	dv_outlog_put(&log, 2, "back", 4);
	if (log.lost_all != lost || log.lost != 0)
		return 6;
	for (;;) {
		struct dv_sandbox_piece p;
		uint32_t flags;

		if (dv_outlog_next(r, &p, &flags, NULL) != 0)
			break;
		s.lost += p.lost;
		s.bytes += p.len;
		if (p.stream == 2 && memcmp(p.data, "back", 4) != 0)
			return 7;
	}
	dv_outlog_reader_free(r);
	dv_outlog_close(&log);
	return s.lost == lost && s.bytes == N - lost + 4 ? 0 : 8;
}

TEST(full_disk_is_counted_and_told_by_the_next_entry)
{
	in_a_mount("tmpfs", "size=128k", full_disk);
}

static int cannot_punch(void)
{
	struct dv_outlog_reader *r;
	struct dv_outlog log;
	struct dv_sandbox_log_opts o = all();
	struct sums s = { 0 };

	if (dv_outlog_open(&log, dir, "log", 64 << 10, NULL) < 0)
		return 1;
	put_pattern(&log, 1, 200 << 10);
	dv_outlog_end(&log);
	if (log.punches || log.sys != EOPNOTSUPP ||
	    log.lost_all != (200 << 10) - (64 << 10))
		return 2;
	if (dv_outlog_reader_new(&r, dir, "log", &o, NULL) < 0)
		return 3;
	if (sum_up(r, &s) != DV_MORE || s.bytes != 64 << 10 ||
	    s.lost != log.lost_all)
		return 4;
	dv_outlog_reader_free(r);
	dv_outlog_close(&log);
	return 0;
}

TEST(file_system_that_knows_no_holes_keeps_the_first_bytes)
{
	in_a_mount("ramfs", "", cannot_punch);
}

/* ---- all at the same time -------------------------------------------------
 */

enum { CROWD_BYTES = 48 << 20, CROWD_MAX = 1 << 20, CROWD_READERS = 3 };

static void crowd_write(void)
{
	struct dv_outlog log;
	uint32_t x = 12345;

	if (dv_outlog_open(&log, dir, "log", CROWD_MAX, NULL) < 0)
		_exit(1);
	while (log.offset < CROWD_BYTES) {
		uint64_t left = CROWD_BYTES - log.offset;

		x = x * 1664525 + 1013904223;
		put_pattern(&log, (x >> 20) % 2 + 1,
			    dv_min(left,
				   (x >> 8) % ((x >> 28) < 8 ? 40 : 9000) + 1));
	}
	dv_outlog_end(&log);
	_exit(log.lost_all == 0 ? 0 : 2);
}

/* To the end of the run; @lazy ones now and then look away. */
static void crowd_read(bool lazy)
{
	struct dv_sandbox_log_opts o = following();
	struct dv_outlog_reader *r;
	struct sums s = { 0 };
	int ino = inotify_init1(IN_CLOEXEC);
	char events[4096];
	int n;

	if (inotify_add_watch(ino, try_path(&top, "log.idx"), IN_MODIFY) < 0 ||
	    dv_outlog_reader_new(&r, dir, "log", &o, NULL) < 0)
		_exit(1);
	while ((n = sum_up(r, &s)) == DV_MORE &&
	       s.bytes + s.lost < CROWD_BYTES) {
		if (dv_read(ino, events, sizeof(events)) <= 0)
			_exit(2);
		if (lazy)
			raise(SIGSTOP);
	}
	_exit(n == -ERANGE                      ? 3
	      : n == -EILSEQ                    ? 4
	      : n < 0                           ? 5
	      : s.bytes + s.lost != CROWD_BYTES ? 6
	      : s.bytes < CROWD_MAX / 2         ? 7
						: 0);
}

TEST(readers_of_any_speed_get_exact_bytes_and_exact_gaps)
{
	pid_t readers[CROWD_READERS], writer;
	struct dv_outlog log;
	int status, left = CROWD_READERS;
	siginfo_t si;

	open_top();
	begin(&log, CROWD_MAX);
	dv_outlog_close(&log);
	for (int i = 0; i < CROWD_READERS; i++) {
		readers[i] = fork();
		if (readers[i] == 0)
			crowd_read(i == 0);
	}
	writer = fork();
	if (writer == 0)
		crowd_write();
	/* The lazy one is woken at each of its stops, at first; then it stays
	 * as it is until the others have seen everything. */
	for (int stops = 0; left > 1;) {
		CHECK_EQ(waitid(P_ALL, 0, &si, WEXITED | WSTOPPED), 0);
		if (si.si_code == CLD_STOPPED && stops++ < 3)
			kill(si.si_pid, SIGCONT);
		if (si.si_code == CLD_STOPPED)
			continue;
		CHECK_EQ(si.si_code, CLD_EXITED);
		CHECK_EQ(si.si_status, 0);
		left -= si.si_pid != writer;
		if (si.si_pid == readers[0])
			readers[0] = 0;
		writer = si.si_pid == writer ? 0 : writer;
	}
	if (writer) {
		CHECK_EQ(waitpid(writer, &status, 0), writer);
		CHECK_EQ(status, 0);
	}
	while (readers[0]) {
		kill(readers[0], SIGCONT);
		CHECK_EQ(waitpid(readers[0], &status, WUNTRACED), readers[0]);
		if (WIFSTOPPED(status))
			continue;
		CHECK_EQ(status, 0);
		readers[0] = 0;
	}
	close_top();
}
