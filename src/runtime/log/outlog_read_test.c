/* SPDX-License-Identifier: MIT */
#include "runtime/log/outlog_try.h"

#include <sys/inotify.h>
#include <sys/wait.h>

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

/* The second run was started when the clock had been set back by an hour; it
 * was set back again while it ran, and it had ended when the third began. */
TEST(runs_are_found_whatever_the_clock_did)
{
	enum { END = DV_OUTLOG_F_END };
	static const struct dv_outlog_entry e[] = {
		{ .offset = 0, .len = 1, .stream = 1, .unix_ns = 5000 },
		{ .offset = 1, .len = 1, .stream = 1, .unix_ns = 5010 },
		{ .offset = 2, .flags = END, .unix_ns = 5020 },
		{ .offset = 2, .len = 1, .stream = 1, .unix_ns = 2000 },
		{ .offset = 3, .len = 1, .stream = 2, .unix_ns = 2010 },
		{ .offset = 4, .len = 1, .stream = 1, .unix_ns = 1000 },
		{ .offset = 5, .flags = END, .unix_ns = 1010 },
		{ .offset = 5, .len = 1, .stream = 1, .unix_ns = 1100 },
	};
	static const struct {
		size_t n; /* entries that are there */
		uint64_t start;
		bool run;
		const char *want;
	} rows[] = {
		{ 2, 5000, true, "1:ab" },
		/* Its output has ended. */
		{ 3, 5000, true, "1:ab." },
		/* It has not begun, or not written. */
		{ 3, UINT64_MAX, true, "" },
		{ 3, 5030, true, "" },
		{ 4, 1990, true, "1:c" },
		{ 5, 1990, true, "1:c2:d" },
		{ 6, 1990, true, "1:c2:d1:e" },
		{ 8, 1020, true, "1:f" },
		/* Without runs: all behind the last one that is older. */
		{ 5, 1990, false, "1:ab.c2:d" },
		{ 5, 2005, false, "2:d" },
		{ 6, 2005, false, "" },
		{ 8, 1005, false, ".1:f" },
	};

	for (size_t i = 0; i < DV_ARRAY_LEN(rows); i++) {
		struct dv_sandbox_log_opts o = all();

		open_top();
		try_file(&top, "log", "abcdef", 0600);
		write_index(e, rows[i].n);
		o.since_unix_ns = rows[i].start;
		o.this_run = rows[i].run;
		CHECK_EQ(truncate(try_path(&top, "log"),
				  (off_t)(e[rows[i].n - 1].offset +
					  e[rows[i].n - 1].len)),
			 0);
		CHECK_STR(told_once(o), rows[i].want);
		close_top();
	}
}

/* More entries than are looked at in one go. */
TEST(run_is_found_far_before_the_end)
{
	enum { N = 5000 };
	struct dv_sandbox_log_opts o = all();
	struct dv_sandbox_piece p;
	struct dv_outlog_reader *r;
	struct dv_outlog log;
	uint32_t flags;

	open_top();
	begin(&log, UINT64_MAX);
	for (int i = 0; i < N; i++)
		dv_outlog_put(&log, (uint8_t)(i % 2 + 1), "x", 1);
	dv_outlog_begin(&log); /* it was killed */
	for (int i = 0; i < N; i++)
		dv_outlog_put(&log, (uint8_t)(i % 2 + 1), "y", 1);
	o.this_run = true;
	r = reader(o);
	CHECK_EQ(dv_outlog_next(r, &p, &flags, NULL), 0);
	CHECK_EQ(p.offset, N);
	CHECK_EQ(p.lost, 0);
	dv_outlog_reader_free(r);
	dv_outlog_close(&log);
	/* One that has its end gets no second one. */
	CHECK_EQ(dv_outlog_open(&log, dir, "log", UINT64_MAX, NULL), 0);
	dv_outlog_end(&log);
	p.offset = log.idx_end;
	dv_outlog_begin(&log);
	CHECK_EQ(log.idx_end, p.offset + DV_OUTLOG_ENTRY);
	dv_outlog_close(&log);
	close_top();
}

/* A clock that was set back since the run before ended says it began first. */
TEST(run_that_wrote_nothing_yet_is_known_by_no_clock)
{
	static const uint64_t starts[] = { 1, UINT64_MAX };
	struct dv_sandbox_log_opts o = all();
	struct dv_outlog log;

	open_top();
	begin(&log, UINT64_MAX);
	dv_outlog_begin(&log); /* the first: nothing to tell apart */
	CHECK_EQ(log.idx_end, 0);
	dv_outlog_put(&log, 1, "a", 1);
	dv_outlog_end(&log);
	dv_outlog_begin(&log);
	o.this_run = true;
	for (size_t i = 0; i < DV_ARRAY_LEN(starts); i++) {
		o.since_unix_ns = starts[i];
		CHECK_STR(told_once(o), "");
	}
	o.since_unix_ns = 1;
	dv_outlog_put(&log, 2, "b", 1);
	CHECK_STR(told_once(o), "2:b");
	dv_outlog_end(&log);
	CHECK_STR(told_once(o), "2:b.");
	/* A start that failed, and another one. */
	dv_outlog_begin(&log);
	dv_outlog_begin(&log);
	CHECK_STR(told_once(o), "");
	/* Who asks for all of it does not see that. */
	CHECK_STR(told_once(all()), "1:a.2:b.");
	dv_outlog_close(&log);
	close_top();
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
	int status, left = CROWD_READERS - 1; /* that never look away */
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
	for (int stops = 0; left > 0;) {
		CHECK_EQ(waitid(P_ALL, 0, &si, WEXITED | WSTOPPED), 0);
		if (si.si_code == CLD_STOPPED && stops++ < 3)
			kill(si.si_pid, SIGCONT);
		if (si.si_code == CLD_STOPPED)
			continue;
		CHECK_EQ(si.si_code, CLD_EXITED);
		CHECK_EQ(si.si_status, 0);
		if (si.si_pid == readers[0])
			readers[0] = 0;
		else if (si.si_pid == writer)
			writer = 0;
		else
			left--;
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
