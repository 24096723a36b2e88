/* SPDX-License-Identifier: MIT */
#include "base/num.h"

#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <string.h>

#include "base/def.h"
#include "base/test.h"

/* What a refused text must leave in the output. */
#define UNTOUCHED 4711

TEST(u64_accepts_and_refuses)
{
	static const struct {
		const char *s;
		uint64_t min, max;
		int r;
		uint64_t v;
	} rows[] = {
		{ "0", 0, UINT64_MAX, 0, 0 },
		{ "00042", 0, 100, 0, 42 },
		{ "18446744073709551615", 0, UINT64_MAX, 0, UINT64_MAX },
		{ "18446744073709551616", 0, UINT64_MAX, -ERANGE, 0 },
		{ "99999999999999999999999", 0, UINT64_MAX, -ERANGE, 0 },
		{ "99999999999999999999999x", 0, UINT64_MAX, -EINVAL, 0 },
		{ "101", 0, 100, -ERANGE, 0 },
		{ "4", 5, 100, -ERANGE, 0 },
		{ "", 0, 100, -EINVAL, 0 },
		{ " 1", 0, 100, -EINVAL, 0 },
		{ "1 ", 0, 100, -EINVAL, 0 },
		{ "+1", 0, 100, -EINVAL, 0 },
		{ "-1", 0, 100, -EINVAL, 0 },
		{ "0x10", 0, 100, -EINVAL, 0 },
		{ "1.5", 0, 100, -EINVAL, 0 },
		{ "1e1", 0, 100, -EINVAL, 0 },
	};

	for (size_t i = 0; i < DV_ARRAY_LEN(rows); i++) {
		uint64_t v = UNTOUCHED;

		CHECK_EQ(dv_parse_u64(rows[i].s, rows[i].min, rows[i].max, &v),
			 rows[i].r);
		CHECK(v == (rows[i].r ? UNTOUCHED : rows[i].v));
	}
}

TEST(i64_accepts_and_refuses)
{
	static const struct {
		const char *s;
		int64_t min, max;
		int r;
		int64_t v;
	} rows[] = {
		{ "-0", -1, 1, 0, 0 },
		{ "-20", -20, 19, 0, -20 },
		{ "-21", -20, 19, -ERANGE, 0 },
		{ "9223372036854775807", INT64_MIN, INT64_MAX, 0, INT64_MAX },
		{ "-9223372036854775808", INT64_MIN, INT64_MAX, 0, INT64_MIN },
		{ "9223372036854775808", INT64_MIN, INT64_MAX, -ERANGE, 0 },
		{ "-9223372036854775809", INT64_MIN, INT64_MAX, -ERANGE, 0 },
		{ "-", -1, 1, -EINVAL, 0 },
		{ "--1", -1, 1, -EINVAL, 0 },
		{ "+1", -1, 1, -EINVAL, 0 },
		{ "", -1, 1, -EINVAL, 0 },
		{ "1-", -1, 1, -EINVAL, 0 },
	};

	for (size_t i = 0; i < DV_ARRAY_LEN(rows); i++) {
		int64_t v = UNTOUCHED;

		CHECK_EQ(dv_parse_i64(rows[i].s, rows[i].min, rows[i].max, &v),
			 rows[i].r);
		CHECK_EQ(v, rows[i].r ? UNTOUCHED : rows[i].v);
	}
}

TEST(size_accepts_and_refuses)
{
	static const struct {
		const char *s;
		int r;
		uint64_t v;
	} rows[] = {
		{ "0", 0, 0 },
		{ "4096", 0, 4096 },
		{ "1b", 0, 1 },
		{ "64m", 0, UINT64_C(64) << 20 },
		{ "64M", 0, UINT64_C(64) << 20 },
		{ "64MB", 0, UINT64_C(64) << 20 },
		{ "1GiB", 0, UINT64_C(1) << 30 },
		{ "1.5g", 0, UINT64_C(3) << 29 },
		{ "0.25k", 0, 256 },
		{ "2t", 0, UINT64_C(2) << 40 },
		{ "1.000000000000000001k", 0, 1024 },
		{ "16777215t", 0, UINT64_C(16777215) << 40 },
		{ "16777216t", -ERANGE, 0 },
		{ "18446744073709551615", 0, UINT64_MAX },
		{ "18446744073709551615k", -ERANGE, 0 },
		{ "99999999999999999999", -ERANGE, 0 },
		{ "12q", -EINVAL, 0 },
		{ "1.5", -EINVAL, 0 },
		{ "1.5b", -EINVAL, 0 },
		{ "1.", -EINVAL, 0 },
		{ "1.m", -EINVAL, 0 },
		{ ".5m", -EINVAL, 0 },
		{ "", -EINVAL, 0 },
		{ "m", -EINVAL, 0 },
		{ "1mm", -EINVAL, 0 },
		{ "1 m", -EINVAL, 0 },
		{ "1mi", -EINVAL, 0 },
		{ "1p", -EINVAL, 0 },
		{ "-1m", -EINVAL, 0 },
		{ "1.2.3m", -EINVAL, 0 },
		{ "1\x0bm", -EINVAL, 0 },
		{ "1\x4b", 0, 1024 },
		{ "1\x0b", -EINVAL, 0 }, /* 'k' but for two bits */
	};

	for (size_t i = 0; i < DV_ARRAY_LEN(rows); i++) {
		uint64_t v = UNTOUCHED;

		CHECK_EQ(dv_parse_size(rows[i].s, &v), rows[i].r);
		CHECK(v == (rows[i].r ? UNTOUCHED : rows[i].v));
	}
}

TEST(duration_accepts_and_refuses)
{
	static const struct {
		const char *s;
		int r;
		int v;
	} rows[] = {
		{ "0", 0, 0 },
		{ "10", 0, 10000 },
		{ "1.5", 0, 1500 },
		{ "1.5s", 0, 1500 },
		{ "200ms", 0, 200 },
		{ "0.5ms", 0, 0 },
		{ "2m", 0, 120000 },
		{ "1h30m", 0, 5400000 },
		{ "1h2m3s4ms", 0, 3723004 },
		{ "2147483647ms", 0, INT_MAX },
		{ "2147483.647", 0, INT_MAX },
		{ "2147483648ms", -ERANGE, 0 },
		{ "99999999999999999h", -ERANGE, 0 },
		{ "99999999999999999999", -ERANGE, 0 },
		{ "", -EINVAL, 0 },
		{ "s", -EINVAL, 0 },
		{ "1x", -EINVAL, 0 },
		{ "1h30", -EINVAL, 0 },
		{ "30m1h", -EINVAL, 0 },
		{ "1m1m", -EINVAL, 0 },
		{ "-1", -EINVAL, 0 },
		{ "1 s", -EINVAL, 0 },
		{ "1.s", -EINVAL, 0 },
		{ "1d", 0, 86400000 },
		{ "1d2h3m4s5ms", 0, 93784005 },
		{ DV_DURATION_MAX_TEXT, 0, 2145600000 },
		{ "25d", -ERANGE, 0 },
		{ "1h1d", -EINVAL, 0 },
		{ "1w", -EINVAL, 0 },
		{ "1s ", -EINVAL, 0 },
	};

	for (size_t i = 0; i < DV_ARRAY_LEN(rows); i++) {
		int v = UNTOUCHED;

		CHECK_EQ(dv_parse_duration(rows[i].s, &v), rows[i].r);
		CHECK_EQ(v, rows[i].r ? UNTOUCHED : rows[i].v);
	}
}

TEST(span_has_64_bits)
{
	uint64_t ms = 7;

	CHECK_EQ(dv_parse_span("1000h", &ms), 0);
	CHECK(ms == UINT64_C(3600000000));
	CHECK_EQ(dv_parse_span("20000d12h", &ms), 0);
	CHECK(ms == UINT64_C(20000) * 86400000 + 43200000);
	CHECK_EQ(dv_parse_span("99999999999999999h", &ms), -ERANGE);
	CHECK_EQ(dv_parse_span("1d-", &ms), -EINVAL);
	CHECK(ms == UINT64_C(20000) * 86400000 + 43200000);
}

TEST(milli_accepts_and_refuses)
{
	static const struct {
		const char *s;
		int r;
		uint32_t v;
	} rows[] = {
		{ "1.5", 0, 1500 },
		{ "0.001", 0, 1 },
		{ "0.0009", 0, 0 },
		{ "999999.999", 0, 999999999 },
		{ "1000000", -ERANGE, 0 },
		{ "", -EINVAL, 0 },
		{ "1.", -EINVAL, 0 },
		{ "1.5x", -EINVAL, 0 },
		{ "-1", -EINVAL, 0 },
		{ "18446744073709551616", -ERANGE, 0 },
	};

	for (size_t i = 0; i < DV_ARRAY_LEN(rows); i++) {
		uint32_t v = UNTOUCHED;

		CHECK_EQ(dv_parse_milli(rows[i].s, &v), rows[i].r);
		CHECK_EQ(v, rows[i].r ? UNTOUCHED : rows[i].v);
	}
}

TEST(signal_accepts_and_refuses)
{
	static const struct {
		const char *s;
		int signo;
	} rows[] = {
		{ "TERM", SIGTERM },       { "SIGTERM", SIGTERM },
		{ "sigterm", SIGTERM },    { "15", 15 },
		{ "SIG42", 42 },           { "64", 64 },
		{ "IOT", SIGABRT },        { "CLD", SIGCHLD },
		{ "POLL", SIGIO },         { "0", -EINVAL },
		{ "65", -EINVAL },         { "", -EINVAL },
		{ "SIG", -EINVAL },        { "TERMX", -EINVAL },
		{ "SIGSIGTERM", -EINVAL }, { "-9", -EINVAL },
		{ "RTMIN-1", -EINVAL },    { "RTMAX+1", -EINVAL },
		{ "RTMIN+", -EINVAL },     { "RTMIN+31", -EINVAL },
		{ "RTMIN1", -EINVAL },     { "9 ", -EINVAL },
	};

	for (size_t i = 0; i < DV_ARRAY_LEN(rows); i++)
		CHECK_EQ(dv_parse_signal(rows[i].s), rows[i].signo);
	CHECK_EQ(dv_parse_signal("RTMIN"), SIGRTMIN);
	CHECK_EQ(dv_parse_signal("SIGRTMIN+1"), SIGRTMIN + 1);
	CHECK_EQ(dv_parse_signal("rtmax-2"), SIGRTMAX - 2);
	CHECK_EQ(dv_parse_signal("RTMIN+30"), SIGRTMAX);
}

TEST(signal_name_of_every_number_parses_back)
{
	for (int i = 1; i <= 64; i++)
		CHECK_EQ(dv_parse_signal(dv_signal_name(i)), i);
	CHECK_STR(dv_signal_name(SIGTERM), "SIGTERM");
	CHECK_STR(dv_signal_name(SIGABRT), "SIGABRT");
	CHECK_STR(dv_signal_name(42), "SIG42");
	CHECK_STR(dv_signal_name(0), "SIG0");
	CHECK_STR(dv_signal_name(-1), "SIG?");
	CHECK_STR(dv_signal_name(65), "SIG?");
}
