/* SPDX-License-Identifier: MIT */
#include <davit/expect.h>

#include "runtime/log/log_try.h"

static struct try_keeper keeper;
static struct dv_sandbox *sb;

static void open_one(void)
{
	try_open_dirs();
	CHECK_EQ(try_keep(&keeper, "web", UINT64_MAX), 0);
	sb = try_sandbox("web");
}

static void close_one(void)
{
	if (keeper.log.fd >= 0)
		try_end(&keeper, 0);
	sb = dv_sandbox_free(sb);
	try_close_dirs();
}

static void says(int stream, const char *text)
{
	try_says(&keeper, stream, text);
}

static struct dv_expect *expect_from(uint64_t offset)
{
	struct dv_expect_opts o = DV_EXPECT_OPTS_INIT;
	struct dv_expect *x;

	o.offset = offset;
	CHECK_EQ(dv_expect_new(&x, sb, &o, NULL), 0);
	CHECK_EQ(dv_expect_deadline(x, TRY_MS, NULL), 0);
	return x;
}

/* Wait; the result must be condition @which. Static. */
static struct dv_expect_result *waited(struct dv_expect *x, int which)
{
	static struct dv_expect_result res;
	struct dv_err err = DV_ERR_INIT;

	res = (struct dv_expect_result)DV_EXPECT_RESULT_INIT;
	CHECK_EQ(dv_expect_wait(x, &res, &err), 0);
	CHECK_EQ(res.which, which);
	return &res;
}

/* The text that matched. Static. */
static const char *matched(struct dv_expect *x, int which)
{
	static char text[256];
	struct dv_expect_result *res = waited(x, which);

	CHECK_EQ(res->kind, DV_EXPECT_MATCH);
	dv_fmt(text, sizeof(text), "%.*s", (int)res->len, res->at);
	return text;
}

TEST(match_is_found_in_what_was_there_before)
{
	struct dv_expect_result *res;
	struct dv_expect *x;

	open_one();
	says(1, "first\nlistening on 80\nmore\n");
	x = expect_from(0);
	CHECK_EQ(dv_expect_match(x, "on [0-9]+$", NULL), 1);
	res = waited(x, 1);
	CHECK_EQ(res->offset, 16);
	CHECK_EQ(res->len, 5);
	CHECK_EQ(memcmp(res->at, "on 80", 5), 0);
	CHECK_EQ(res->line_len, 15);
	CHECK_EQ(memcmp(res->line, "listening on 80", 15), 0);
	CHECK_EQ(res->stream, 1);
	CHECK(res->unix_ns > 0);
	dv_expect_free(x);
	/* But not before the offset. */
	x = expect_from(22);
	CHECK_EQ(dv_expect_match(x, "on|more", NULL), 1);
	CHECK_STR(matched(x, 1), "more");
	dv_expect_free(x);
	close_one();
}

TEST(waits_go_on_behind_what_was_found)
{
	struct dv_expect *x;

	open_one();
	says(1, "a1 a2\na3\n");
	x = expect_from(0);
	CHECK_EQ(dv_expect_match(x, "a[0-9]", NULL), 1);
	CHECK_STR(matched(x, 1), "a1");
	CHECK_STR(matched(x, 1), "a2");
	CHECK_STR(matched(x, 1), "a3");
	says(1, "a4");
	CHECK_STR(matched(x, 1), "a4");
	/* The same line goes on. */
	says(1, " a5\n");
	CHECK_STR(matched(x, 1), "a5");
	dv_expect_free(x);
	close_one();
}

TEST(empty_matches_come_to_an_end)
{
	static const uint64_t want[] = { 0, 1, 2, 3, 4, 5, 6, 7 };
	struct dv_expect *x;

	open_one();
	says(1, "ab\n\nend\n");
	x = expect_from(0);
	CHECK_EQ(dv_expect_match(x, "q*", NULL), 1);
	for (size_t i = 0; i < DV_ARRAY_LEN(want); i++) {
		struct dv_expect_result *res = waited(x, 1);

		CHECK_EQ(res->offset, want[i]);
		CHECK_EQ(res->len, 0);
	}
	CHECK_EQ(dv_expect_idle(x, 1, NULL), 2);
	CHECK_EQ(waited(x, 2)->offset, 8);
	dv_expect_free(x);
	close_one();
}

TEST(first_match_counts_and_then_what_was_added_first)
{
	struct dv_expect *x;

	open_one();
	says(1, "x one two\n");
	x = expect_from(0);
	CHECK_EQ(dv_expect_match(x, "two", NULL), 1);
	CHECK_EQ(dv_expect_match(x, "one", NULL), 2);
	CHECK_EQ(dv_expect_match(x, "o", NULL), 3);
	CHECK_STR(matched(x, 2), "one");
	CHECK_STR(matched(x, 1), "two");
	dv_expect_free(x);
	close_one();
}

TEST(prompt_is_found_in_an_unfinished_line)
{
	struct dv_expect *x;

	open_one();
	x = expect_from(0);
	CHECK_EQ(dv_expect_match(x, "^login: ", NULL), 1);
	CHECK_EQ(dv_expect_match(x, "done$", NULL), 2);
	says(1, "login: ");
	CHECK_STR(matched(x, 1), "login: ");
	/* This is not known to be the end of its line. */
	says(1, "done");
	CHECK_EQ(dv_expect_idle(x, 20, NULL), 3);
	CHECK_EQ(waited(x, 3)->kind, DV_EXPECT_IDLE);
	says(1, "\r\n");
	CHECK_STR(matched(x, 2), "done");
	dv_expect_free(x);
	close_one();
}

TEST(lines_of_two_streams_are_not_mixed)
{
	struct dv_expect_result *res;
	struct dv_expect *x;

	open_one();
	says(1, "one ");
	says(2, "error");
	says(1, "two\n");
	says(2, " here\n");
	x = expect_from(0);
	CHECK_EQ(dv_expect_match(x, "one two", NULL), 1);
	CHECK_EQ(dv_expect_match(x, "r here", NULL), 2);
	CHECK_STR(matched(x, 1), "one two");
	res = waited(x, 2);
	CHECK_EQ(res->offset, 8);
	CHECK_EQ(res->stream, 2);
	dv_expect_free(x);
	close_one();
}

TEST(line_without_end_is_looked_at_in_parts)
{
	char *big = malloc(3 * DV_EXPECT_LINE_MAX + 1);
	struct dv_expect *x;

	open_one();
	CHECK(big != NULL);
	memset(big, 'x', 3 * DV_EXPECT_LINE_MAX);
	big[3 * DV_EXPECT_LINE_MAX] = '\0';
	says(1, big);
	says(1, "^needle\n");
	x = expect_from(0);
	CHECK_EQ(dv_expect_match(x, "^needle", NULL), 1);
	CHECK_EQ(dv_expect_match(x, "needle$", NULL), 2);
	CHECK_STR(matched(x, 2), "needle");
	dv_expect_free(x);
	free(big);
	close_one();
}

TEST(bytes_of_any_value_are_looked_at)
{
	struct dv_expect *x;

	open_one();
	dv_outlog_put(&keeper.log, 1,
		      "a\0b\xff"
		      "needle\n",
		      11);
	x = expect_from(0);
	CHECK_EQ(dv_expect_match(x, "needle", NULL), 1);
	CHECK_EQ(waited(x, 1)->offset, 4);
	dv_expect_free(x);
	close_one();
}

/* The times of its start are of no use once the clock was set back. */
TEST(what_the_run_before_wrote_is_not_looked_at)
{
	struct dv_expect_opts o = DV_EXPECT_OPTS_INIT;
	struct dv_expect *x;

	open_one();
	says(1, "ready (first)\n");
	dv_outlog_end(&keeper.log);
	says(1, "ready (second)\n");
	o.this_run = true;
	o.since_unix_ns = 1; /* long before either */
	CHECK_EQ(dv_expect_new(&x, sb, &o, NULL), 0);
	CHECK_EQ(dv_expect_match(x, "ready .*", NULL), 0);
	CHECK_STR(matched(x, 0), "ready (second)");
	dv_expect_free(x);
	o.since_unix_ns = UINT64_MAX - 1; /* long after */
	CHECK_EQ(dv_expect_new(&x, sb, &o, NULL), 0);
	CHECK_EQ(dv_expect_match(x, "ready .*", NULL), 0);
	CHECK_STR(matched(x, 0), "ready (second)");
	dv_expect_free(x);
	close_one();
}

TEST(idle_waits_for_the_last_output)
{
	struct dv_expect *x;

	open_one();
	x = expect_from(0);
	CHECK_EQ(dv_expect_idle(x, 1, NULL), 1);
	says(1, "hello");
	CHECK_EQ(waited(x, 1)->offset, 5);
	dv_expect_free(x);
	close_one();
}

TEST(deadline_is_told_like_any_other)
{
	struct dv_expect_result res = DV_EXPECT_RESULT_INIT;
	struct dv_expect *x;

	open_one();
	CHECK_EQ(dv_expect_new(&x, sb, NULL, NULL), 0);
	CHECK_EQ(dv_expect_match(x, "never", NULL), 0);
	CHECK_EQ(dv_expect_deadline(x, 10, NULL), 1);
	CHECK_EQ(dv_expect_deadline(x, -1, NULL), -EINVAL);
	CHECK_EQ(dv_expect_wait(x, &res, NULL), 0);
	CHECK_EQ(res.which, 1);
	CHECK_EQ(res.kind, DV_EXPECT_DEADLINE);
	dv_expect_free(x);
	close_one();
}

TEST(run_ends_before_the_sandbox_does)
{
	struct dv_expect_result *res;
	struct dv_expect *x;

	open_one();
	x = expect_from(0);
	CHECK_EQ(dv_expect_exit(x, NULL), 1);
	CHECK_EQ(dv_expect_end(x, NULL), 2);
	CHECK_EQ(dv_expect_match(x, "last$", NULL), 3);
	says(1, "not at last\nat last");
	dv_outlog_end(&keeper.log);
	CHECK_EQ(waited(x, 3)->offset, 7);
	/* Its line is finished because the run is. */
	CHECK_EQ(waited(x, 3)->offset, 15);
	CHECK_EQ(waited(x, 2)->kind, DV_EXPECT_END);
	says(1, "of the second run");
	try_end(&keeper, 42);
	CHECK_EQ(waited(x, 2)->kind, DV_EXPECT_END);
	res = waited(x, 1);
	CHECK_EQ(res->kind, DV_EXPECT_EXIT);
	CHECK_EQ(res->exit.code, 42);
	dv_expect_free(x);
	close_one();
}

TEST(end_without_a_match_is_the_end_of_the_wait)
{
	struct dv_expect_result res = DV_EXPECT_RESULT_INIT;
	struct dv_expect *x;

	open_one();
	x = expect_from(0);
	CHECK_EQ(dv_expect_match(x, "never", NULL), 1);
	says(1, "something else");
	try_end(&keeper, 0);
	CHECK_EQ(dv_expect_wait(x, &res, NULL), DV_EOF);
	CHECK_EQ(dv_expect_wait(x, &res, NULL), DV_EOF);
	dv_expect_free(x);
	close_one();
}

static void says_nothing(struct try_keeper *k DV_UNUSED)
{
}

TEST(killed_keeper_is_an_exit)
{
	struct dv_expect_result *res;
	struct dv_expect *x;
	pid_t pid;

	open_one();
	pid = try_keeper_child("other", 0, says_nothing);
	sb = dv_sandbox_free(sb);
	sb = try_sandbox("other");
	x = expect_from(0);
	/* It has no log. */
	CHECK_EQ(dv_expect_match(x, "x", NULL), -ENOENT);
	CHECK_EQ(dv_expect_idle(x, 1, NULL), -ENOENT);
	CHECK_EQ(dv_expect_exit(x, NULL), 1);
	try_kill(pid);
	res = waited(x, 1);
	CHECK_EQ(res->exit.code, 137);
	CHECK_EQ(res->exit.ended_by, DV_ENDED_KEEPER);
	dv_expect_free(x);
	close_one();
}

TEST(gap_is_counted_and_joins_no_lines)
{
	struct dv_expect_result *res;
	struct dv_expect *x;
	struct dv_outlog *log = &keeper.log;

	open_one();
	says(1, "begin");
	log->lost = log->lost_all = 7;
	log->tell_at = 100;
	says(1, "end\nready\n");
	x = expect_from(0);
	CHECK_EQ(dv_expect_match(x, "beginend|^end", NULL), 1);
	CHECK_EQ(dv_expect_match(x, "ready", NULL), 2);
	res = waited(x, 2);
	CHECK_EQ(res->lost, 7);
	dv_expect_free(x);
	close_one();
}

TEST(pattern_that_is_none_is_refused)
{
	struct dv_err err = DV_ERR_INIT;
	struct dv_expect *x;

	open_one();
	x = expect_from(0);
	CHECK_EQ(dv_expect_match(x, "(", &err), -EINVAL);
	CHECK_EQ(err.code, DV_INVALID);
	/* It took no number. */
	CHECK_EQ(dv_expect_match(x, "a", &err), 1);
	dv_expect_free(x);
	close_one();
}

/* ---- on a loop ------------------------------------------------------------
 */

struct seen {
	int n, r;
	struct dv_expect *x;
};

static void on_found(void *arg, int r, const struct dv_err *err DV_UNUSED)
{
	struct seen *s = arg;
	struct dv_expect_result res = DV_EXPECT_RESULT_INIT;

	s->n++;
	s->r = r;
	CHECK_EQ(dv_expect_wait(s->x, &res, NULL), -EDEADLK);
	/* The last use of it, in its own callback. */
	s->x = dv_expect_free(s->x);
}

TEST(wait_on_a_loop_calls_back_once)
{
	struct dv_expect_result res = DV_EXPECT_RESULT_INIT;
	struct seen s = { .n = 0 };

	open_one();
	s.x = expect_from(0);
	CHECK_EQ(dv_expect_match(s.x, "hello", NULL), 1);
	CHECK_EQ(dv_expect_start(s.x, &res, on_found, &s, NULL), 0);
	CHECK_EQ(dv_expect_wait(s.x, &res, NULL), -EBUSY);
	CHECK_EQ(dv_expect_start(s.x, &res, on_found, &s, NULL), -EBUSY);
	CHECK_EQ(dv_expect_match(s.x, "hello", NULL), -EBUSY);
	dv_expect_cancel(s.x);
	CHECK_EQ(dv_expect_start(s.x, &res, on_found, &s, NULL), 0);
	CHECK(dv_loop_dispatch(dv_sandbox_loop(sb), 0) >= 0);
	CHECK_EQ(s.n, 0);
	says(1, "hello");
	while (!s.n)
		CHECK(dv_loop_dispatch(dv_sandbox_loop(sb), TRY_MS) > 0);
	CHECK_EQ(s.r, 0);
	CHECK_EQ(res.which, 1);
	close_one();
}

TEST(match_in_a_flood_is_found_before_the_deadline_is)
{
	struct dv_expect *x;

	open_one();
	for (int i = 0; i < 100000; i++)
		says(1, "nothing to be seen here\n");
	says(1, "needle\n");
	x = expect_from(0);
	CHECK_EQ(dv_expect_match(x, "needle", NULL), 1);
	CHECK_EQ(waited(x, 1)->offset, 100000 * 24);
	dv_expect_free(x);
	close_one();
}
