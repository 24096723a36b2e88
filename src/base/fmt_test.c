/* SPDX-License-Identifier: MIT */
#include "base/fmt.h"

#include <limits.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "base/def.h"
#include "base/test.h"

/*
 * Compare with snprintf(): the text, the length and where it is cut, for every
 * size of the buffer. A macro, so that the compiler checks each format.
 */
#define SAME(...)                                                         \
	do {                                                              \
		char want[128], got[128];                                 \
		for (size_t size = 0; size <= sizeof(want); size++) {     \
			memset(want, '#', sizeof(want));                  \
			memset(got, '#', sizeof(got));                    \
			int want_len = snprintf(want, size, __VA_ARGS__); \
			int got_len = dv_fmt(got, size, __VA_ARGS__);     \
			CHECK_EQ(got_len, want_len);                      \
			assert_memory_equal(got, want, sizeof(want));     \
		}                                                         \
	} while (0)

TEST(fmt_integers_equal_snprintf)
{
	static const int ints[] = { 0,    1,       -1,      7,          8,
				    9,    10,      -10,     99,         100,
				    4711, INT_MAX, INT_MIN, INT_MAX - 1 };

	for (size_t i = 0; i < DV_ARRAY_LEN(ints); i++) {
		int n = ints[i];
		unsigned int u = (unsigned int)n;

		SAME("%d %i %u %x %o", n, n, u, u, u);
		SAME("[%5d|%05d|%12d|%012d]", n, n, n, n);
		SAME("[%5u|%09u|%8x|%08x|%4o|%04o]", u, u, u, u, u, u);
	}
}

TEST(fmt_sizes_equal_snprintf)
{
	static const uint64_t nums[] = { 0,
					 1,
					 UINT32_MAX,
					 INT64_MAX,
					 UINT64_MAX,
					 (uint64_t)INT64_MIN,
					 UINT64_C(1) << 32 };

	for (size_t i = 0; i < DV_ARRAY_LEN(nums); i++) {
		uint64_t n = nums[i];

		SAME("%ld %lu %lx %lo", (long)n, (unsigned long)n,
		     (unsigned long)n, (unsigned long)n);
		SAME("%lld %llu %022llu", (long long)n, (unsigned long long)n,
		     (unsigned long long)n);
		SAME("%zu %zd %zx", (size_t)n, (ssize_t)n, (size_t)n);
	}
}

TEST(fmt_strings_equal_snprintf)
{
	static const char *const texts[] = { "", "a", "hello", "50%",
					     "\xff\n" };

	for (size_t i = 0; i < DV_ARRAY_LEN(texts); i++) {
		const char *s = texts[i];

		SAME("<%s> <%8s> <%.2s> <%.0s> <%6.3s>", s, s, s, s, s);
		SAME("<%.*s> <%.*s> <%7.*s>", 3, s, -1, s, 1, s);
		SAME("%c%3c%% 100%%%s", s[0] ? s[0] : 'x', 'y', s);
	}
}

TEST(fmt_unterminated_text_with_precision_reads_no_further)
{
	char *text = malloc(3); /* a sanitizer sees a fourth byte being read */
	char out[16];

	assert_non_null(text);
	memcpy(text, "abc", 3);
	CHECK_EQ(dv_fmt(out, sizeof(out), "%.*s", 3, text), 3);
	CHECK_STR(out, "abc");
	free(text);
}

TEST(fmt_null_text_is_named)
{
	const char *volatile none = NULL;
	char out[16];

	dv_fmt(out, sizeof(out), "%s", none);
	CHECK_STR(out, "(null)");
}

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat"
TEST(fmt_unknown_conversion_stops)
{
	char out[32];

	CHECK_EQ(dv_fmt(out, sizeof(out), "a %d %n %s", 1, NULL, ""), 6);
	CHECK_STR(out, "a 1 %?");
	dv_fmt(out, sizeof(out), "end %");
	CHECK_STR(out, "end %?");
}
#pragma GCC diagnostic pop
