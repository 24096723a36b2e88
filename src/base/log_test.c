/* SPDX-License-Identifier: MIT */
#include "base/log.h"

#include <errno.h>
#include <string.h>

#include "base/def.h"
#include "base/random.h"
#include "base/test.h"

struct recorder {
	struct dv_log_sink sink;
	int n_lines;
	enum dv_level level;
	char line[2048];
};

static void record(struct dv_log_sink *sink, enum dv_level level,
		   const char *line)
{
	struct recorder *rec = dv_container_of(sink, struct recorder, sink);

	rec->n_lines++;
	rec->level = level;
	snprintf(rec->line, sizeof(rec->line), "%s", line);
}

static int n_evaluated;

static int evaluated(void)
{
	return ++n_evaluated;
}

TEST(log_above_the_level_formats_nothing)
{
	struct recorder rec = { .sink = { DV_LOG_WARN, record } };

	n_evaluated = 0;
	dv_log(&rec.sink, DV_LOG_INFO, "n=%d", evaluated());
	CHECK_EQ(n_evaluated, 0);
	CHECK_EQ(rec.n_lines, 0);
	dv_log(&rec.sink, DV_LOG_WARN, "n=%d", evaluated());
	CHECK_EQ(rec.n_lines, 1);
	CHECK_EQ(rec.level, DV_LOG_WARN);
	CHECK_STR(rec.line, "n=1");
}

TEST(log_without_sink_does_nothing)
{
	dv_log(NULL, DV_LOG_ERROR, "nobody listens");
}

TEST(log_line_stays_one_line_and_is_cut)
{
	struct recorder rec = { .sink = { DV_LOG_TRACE, record } };
	char text[5000];

	dv_log(&rec.sink, DV_LOG_INFO, "name=%s", "a\nfaked \x1b[2J");
	CHECK_STR(rec.line, "name=a?faked ?[2J");
	memset(text, 'x', sizeof(text) - 1);
	text[sizeof(text) - 1] = '\0';
	dv_log(&rec.sink, DV_LOG_INFO, "%s", text);
	CHECK_EQ(strlen(rec.line), 1023);
}

TEST(log_level_words_parse)
{
	CHECK_EQ(dv_log_parse_level("error"), DV_LOG_ERROR);
	CHECK_EQ(dv_log_parse_level("trace"), DV_LOG_TRACE);
	CHECK_EQ(dv_log_parse_level("Trace"), -EINVAL);
	CHECK_EQ(dv_log_parse_level(""), -EINVAL);
}

TEST(random_id_is_16_hex_digits_and_new)
{
	char a[DV_ID_LEN + 1], b[DV_ID_LEN + 1];

	dv_random_id(a);
	dv_random_id(b);
	CHECK_EQ(strlen(a), DV_ID_LEN);
	CHECK_EQ(strspn(a, "0123456789abcdef"), DV_ID_LEN);
	CHECK(strcmp(a, b) != 0);
}
