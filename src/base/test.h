/* SPDX-License-Identifier: MIT */
#pragma once
/*
 * Unit tests: TEST(name) { ... } registers itself; main() is in the library.
 * After each test the teardown fails it for a leaked fd, child or thread.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h> /* own block: it needs the four above */

struct dv_testcase {
	const char *name;
	void (*fn)(void **);
};

#define TEST(n)                                                              \
	static void n(void **);                                              \
	static const struct dv_testcase dv_tc_##n __attribute__((            \
		used, retain, section("dv_tests"), aligned(8))) = { #n, n }; \
	static void n(void **dv_state __attribute__((unused)))

/* cmocka shows -22 as 0xffffffffffffffea; this does not. */
#define CHECK_EQ(a, b)                                                       \
	do {                                                                 \
		long long dv_a = (long long)(a), dv_b = (long long)(b);      \
		if (dv_a != dv_b) {                                          \
			print_error("%s is %lld, expected %lld\n", #a, dv_a, \
				    dv_b);                                   \
			_fail(__FILE__, __LINE__);                           \
		}                                                            \
	} while (0)
#define CHECK(x)        assert_true(x)
#define CHECK_STR(a, b) assert_string_equal(a, b)

/* Prints "# skip: why" and ends the test as skipped. */
#define SKIP(why)                                   \
	do {                                        \
		print_message("# skip: %s\n", why); \
		skip();                             \
	} while (0)
