/* SPDX-License-Identifier: MIT */
#include "cli/when.h"

#include <errno.h>
#include <stdlib.h>
#include <time.h>

#include "base/def.h"
#include "base/test.h"

static const uint64_t now = UINT64_C(1700000000123456789);

TEST(moments_are_read)
{
	static const struct {
		const char *text;
		uint64_t want;
	} rows[] = {
		{ "10", UINT64_C(1699999990123456789) },
		{ "1h30m", UINT64_C(1699994600123456789) },
		{ "0", UINT64_C(1700000000123456789) },
		{ "@0", 0 },
		{ "@1700000000", UINT64_C(1700000000000000000) },
		{ "@5.25", UINT64_C(5250000000) },
		{ "@5.1234567891", UINT64_C(5123456789) },
		{ "1970-01-01T00:00:00Z", 0 },
		{ "1970-01-01T00:00:00.5z", 500000000 },
		{ "1970-01-02 00:00Z", UINT64_C(86400000000000) },
		{ "2023-11-14T22:13:20Z", UINT64_C(1700000000000000000) },
		{ "2023-11-14T23:13:20+01:00", UINT64_C(1700000000000000000) },
		{ "2023-11-14T20:43:20-0130", UINT64_C(1700000000000000000) },
		/* In the zone below, one hour east. */
		{ "2023-11-14T23:13:20", UINT64_C(1700000000000000000) },
		{ "2023-11-15", UINT64_C(1700002800000000000) },
	};
	uint64_t ns;

	CHECK_EQ(setenv("TZ", "TST-1", 1), 0);
	tzset();
	for (size_t i = 0; i < DV_ARRAY_LEN(rows); i++) {
		CHECK_EQ(dv_parse_when(rows[i].text, now, &ns), 0);
		CHECK_EQ(ns, rows[i].want);
	}
	unsetenv("TZ");
	tzset();
}

TEST(what_is_no_moment_is_refused)
{
	static const char *const bad[] = {
		"",
		"x",
		"-1",
		"@",
		"@x",
		"@1.",
		"@1.5x",
		"2023-",
		"2023-1-1",
		"2023-13-01",
		"2023-00-01",
		"2023-1",
		"2023-01-32",
		"2023-01-01T",
		"2023-01-01T1",
		"2023-01-01T10",
		"2023-01-01T24:00",
		"2023-01-01T10:00:00.",
		"2023-01-01T10:00+1",
		"2023-01-01T10:00+25:00",
		"2023-01-01T10:00ZZ",
		"2023-01-01x",
	};
	uint64_t ns = 7;

	for (size_t i = 0; i < DV_ARRAY_LEN(bad); i++)
		if (dv_parse_when(bad[i], now, &ns) != -EINVAL)
			fail_msg("\"%s\" is taken", bad[i]);
	CHECK_EQ(dv_parse_when("@99999999999999999999", now, &ns), -ERANGE);
	CHECK_EQ(dv_parse_when("1969-12-31T00:00Z", now, &ns), -ERANGE);
	CHECK_EQ(dv_parse_when("2555-01-01T00:00Z", now, &ns), -ERANGE);
	CHECK_EQ(dv_parse_when("9999-12-31T23:59Z", now, &ns), -ERANGE);
	CHECK_EQ(dv_parse_when("20s", 5, &ns), -ERANGE);
	CHECK_EQ(dv_parse_when("20000d", now, &ns), -ERANGE);
	CHECK_EQ(ns, 7);
	/* More milliseconds than an int can hold. */
	CHECK_EQ(dv_parse_when("1000h", now, &ns), 0);
	CHECK(now - ns == UINT64_C(3600000) * 1000000000);
	CHECK_EQ(dv_parse_when("19000d", now, &ns), 0);
	CHECK(now - ns == UINT64_C(19000) * 86400 * 1000000000);
}

TEST(moment_cut_at_every_byte_is_refused_or_a_shorter_one)
{
	static const char text[] = "2023-11-14T23:13:20.25+01:00";
	char cut[sizeof(text)];
	uint64_t ns;
	int good = 0;

	for (size_t n = 0; n < sizeof(text); n++) {
		for (size_t i = 0; i < n; i++)
			cut[i] = text[i];
		cut[n] = '\0';
		good += dv_parse_when(cut, now, &ns) == 0;
	}
	/* The day, to the minute, the second, two fractions, and all. The year
	 * alone is a number of seconds. */
	CHECK_EQ(good, 10);
}
