/* SPDX-License-Identifier: MIT */
#include "runtime/log/outlog_try.h"

#include <sched.h>
#include <sys/mount.h>
#include <sys/wait.h>

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
	still_ns = dv_unix_ns();
	for (int i = 0; i < N; i++) {
		char c = (char)('a' + i % 26);

		dv_outlog_put(&log, 1, &c, 1);
		/* Readers look at any time. */
		if (i % 7 == 0)
			got += strlen(told(r)) - 2;
	}
	still_ns = 0;
	/* As long as an entry can be without changing two of its bytes. */
	CHECK_EQ(size_of("log.idx"), (N + 254) / 255 * DV_OUTLOG_ENTRY);
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
