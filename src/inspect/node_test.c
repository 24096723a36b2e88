/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <string.h>

#include "base/test.h"

#include "base/def.h"
#include "inspect/node.h"

static void add(struct dv_node *dir, const char *name,
		enum dv_sensitivity level, struct dv_node *node)
{
	CHECK_EQ(dv_node_add(dir, name, level, node), 0);
}

static void check_json(const struct dv_node *node, const char *want)
{
	dv_autofree char *got = NULL;

	CHECK_EQ(dv_node_json(node, &got, NULL), 0);
	CHECK_STR(got, want);
}

static int natural(const char *a, const char *b)
{
	return dv_node_natural(a, strlen(a), b, strlen(b));
}

/* ---- order ---- */

TEST(natural_order_is_as_listed)
{
	static const char *const names[] = {
		"",          "3_foo",   "100_foo", "0x5",  "0x0f",
		"0x0f_1",    "100foo",  "3foo",    "_",    "bar_0x5",
		"bar_0x0f",  "bar_0xg", "foo",     "foo3", "foo299",
		"foo299bar", "foo3bar",
	};

	for (size_t i = 0; i < DV_ARRAY_LEN(names); i++) {
		for (size_t k = 0; k < DV_ARRAY_LEN(names); k++) {
			int r = natural(names[i], names[k]);

			if ((r > 0) - (r < 0) != (i > k) - (i < k))
				CHECK_STR(names[i], names[k]);
		}
	}
}

TEST(natural_order_of_odd_numbers_is_total)
{
	CHECK(natural("a1", "a01") != 0); /* one number, two names */
	CHECK(natural("a1", "a01") * natural("a01", "a1") < 0);
	CHECK(natural("18446744073709551615", "18446744073709551616") > 0);
	CHECK(natural("0xffffffffffffffff", "0x10000000000000000") > 0);
	CHECK(natural("0x", "0x1") != 0);
	CHECK_EQ(natural("x", "x"), 0);
}

TEST(normalize_sorts_and_merges)
{
	dv_autonode struct dv_node *dir = dv_node_dir();
	struct dv_node *one = dv_node_dir(), *two = dv_node_dir();

	add(one, "b", DV_SENS_SAFE, dv_node_unsigned(1, 0));
	add(one, "same", DV_SENS_SAFE, dv_node_unsigned(2, 0));
	add(two, "a", DV_SENS_SAFE, dv_node_unsigned(3, 0));
	add(two, "same", DV_SENS_SAFE, dv_node_unsigned(4, 0));
	add(dir, "v10", DV_SENS_SAFE, dv_node_unsigned(10, 0));
	add(dir, "dir", DV_SENS_SAFE, one);
	add(dir, "v9", DV_SENS_SAFE, dv_node_unsigned(9, 0));
	add(dir, "dir", DV_SENS_SENSITIVE, two);
	add(dir, "dir", DV_SENS_SAFE, dv_node_unsigned(5, 0));
	add(dir, "dir", DV_SENS_SAFE, dv_node_unevaluated());
	add(dir, "v9", DV_SENS_SAFE, dv_node_unsigned(99, 0));
	add(dir, "v9", DV_SENS_SAFE, dv_node_unevaluated());
	add(dir, "late", DV_SENS_SAFE, dv_node_unevaluated());
	add(dir, "late", DV_SENS_SENSITIVE, dv_node_string("x", 1));
	add(dir, "late", DV_SENS_SAFE,
	    dv_node_failed(DV_NODE_UNRESOLVED, NULL));
	add(dir, "up", DV_SENS_SAFE, dv_node_unsigned(1, 0));
	add(dir, "up", DV_SENS_SAFE, dv_node_dir());
	dv_node_normalize(dir);
	check_json(dir, "{\"dir\":{\"a\":3,\"b\":1,\"same\":4},\"late\":\"x\","
			"\"up\":{},\"v9\":99,\"v10\":10}");
	CHECK_EQ(dv_node_sensitivity(dv_node_find(dir, "dir")),
		 DV_SENS_SENSITIVE);
	CHECK_EQ(dv_node_sensitivity(dv_node_find(dir, "late")),
		 DV_SENS_SENSITIVE);
}

/* ---- reading ---- */

TEST(find_follows_paths)
{
	dv_autonode struct dv_node *dir = dv_node_dir();
	struct dv_node *a = dv_node_dir();

	add(a, "b", DV_SENS_SAFE, dv_node_unsigned(7, 0));
	add(dir, "a", DV_SENS_SAFE, a);
	CHECK(dv_node_find(dir, "") == dir);
	CHECK(dv_node_find(dir, "//") == dir);
	CHECK(dv_node_find(dir, "///a") == a);
	CHECK(dv_node_find(dir, "a/") == a);
	CHECK_EQ(dv_node_get_unsigned(dv_node_find(dir, "a////b")), 7);
	CHECK(!dv_node_find(dir, "a/b/"));
	CHECK(!dv_node_find(dir, "a/b/c"));
	CHECK(!dv_node_find(dir, "a/bc"));
	CHECK(!dv_node_find(dir, "ab"));
	CHECK(!dv_node_find(dv_node_find(dir, "a/b"), "x"));
}

TEST(reading_another_kind_gives_nothing)
{
	dv_autonode struct dv_node *n = dv_node_unsigned(7, DV_NODE_COUNT);
	char text[8];

	CHECK_EQ(dv_node_get_signed(n), 0);
	CHECK(dv_node_get_double(n) == 0);
	CHECK(!dv_node_get_bool(n));
	CHECK_STR(dv_node_get_data(n, NULL), "");
	CHECK_EQ(dv_node_get_error(n), 0);
	CHECK_EQ(dv_node_error_text(n, text, sizeof(text)), 0);
	CHECK_EQ(dv_node_count(n), 0);
	CHECK(!dv_node_child(n, 0));
	CHECK_EQ(dv_node_flags(n), DV_NODE_COUNT);
	CHECK(!dv_node_is_dir(n));
}

TEST(error_text_names_the_error)
{
	dv_autonode struct dv_node *n = dv_node_failed(DV_NODE_UPDATE, "why");
	char text[64];

	CHECK_EQ(dv_node_error_text(n, text, sizeof(text)), 17);
	CHECK_STR(text, "update error: why");
	CHECK_EQ(dv_node_error_text(n, text, 7), 17);
	CHECK_STR(text, "update");
}

TEST(units_are_the_end_of_a_name)
{
	CHECK_STR(dv_node_unit("rss_bytes"), "bytes");
	CHECK_STR(dv_node_unit("wait_ns"), "ns");
	CHECK_STR(dv_node_unit("calls"), "");
	CHECK_STR(dv_node_unit("bytes"), "");
}

TEST(filter_drops_what_is_above_the_limit_and_all_below)
{
	static const char *const want[] = {
		[DV_SENS_SAFE] = "{\"s\":{\"s\":1}}",
		[DV_SENS_UNSPECIFIED] =
			"{\"s\":{\"s\":1,\"u\":2},\"u\":{\"s\":1,\"u\":2}}",
	};

	for (int limit = DV_SENS_SAFE; limit < DV_SENS_SENSITIVE; limit++) {
		dv_autonode struct dv_node *dir = dv_node_dir();
		static const char names[][2] = { "s", "u", "x" };

		for (int i = 0; i < 3; i++) {
			struct dv_node *sub = dv_node_dir();

			for (int k = 0; k < 3; k++)
				add(sub, names[k], (enum dv_sensitivity)(k + 1),
				    dv_node_signed(k + 1, 0));
			add(dir, names[i], (enum dv_sensitivity)(i + 1), sub);
		}
		dv_node_filter(dir, (enum dv_sensitivity)limit);
		check_json(dir, want[limit]);
	}
}

TEST(copy_is_equal_and_independent)
{
	dv_autonode struct dv_node *dir = dv_node_dir(), *copy = NULL;

	add(dir, "f", DV_SENS_SAFE, dv_node_float(1.5F));
	add(dir, "s", DV_SENS_SENSITIVE, dv_node_string("x", 1));
	add(dir, "e", DV_SENS_SAFE, dv_node_failed(DV_NODE_CHANNEL, "gone"));
	add(dir, "d", DV_SENS_SAFE, dv_node_dir());
	add(dir, "n", DV_SENS_SAFE, dv_node_signed(-1, DV_NODE_HEX));
	copy = dv_node_copy(dir);
	CHECK(dv_node_equal(dir, copy));
	add(copy, "more", DV_SENS_SAFE, dv_node_boolean(true));
	CHECK(!dv_node_equal(dir, copy));
}

/* ---- rates ---- */

static struct dv_node *counters(const char *const names[], size_t n,
				const uint64_t values[])
{
	struct dv_node *dir = dv_node_dir();

	for (size_t i = 0; i < n; i++)
		add(dir, names[i], DV_SENS_SAFE,
		    dv_node_unsigned(values[i], DV_NODE_COUNT));
	return dir;
}

TEST(rates_pair_by_name_in_any_order)
{
	static const char *const now_names[] = { "c2", "c9", "c10", "new" };
	static const char *const old_names[] = { "c10", "gone", "c2", "c9" };
	dv_autonode struct dv_node *now =
		counters(now_names, 4, (uint64_t[]){ 30, 25, 110, 7 });
	dv_autonode struct dv_node *old =
		counters(old_names, 4, (uint64_t[]){ 100, 1, 10, 20 });
	dv_autonode struct dv_node *rates = NULL;

	add(now, "plain", DV_SENS_SAFE, dv_node_unsigned(50, 0));
	add(old, "plain", DV_SENS_SAFE, dv_node_unsigned(40, 0));
	CHECK_EQ(dv_node_since(now, old, 2000000000, &rates), 0);
	check_json(rates, "{\"c2\":10,\"c9\":2.5,\"c10\":5,\"new\":7,"
			  "\"plain\":50}");
	CHECK_EQ(dv_node_kind(dv_node_find(rates, "c2")), DV_NODE_DOUBLE);
	CHECK_EQ(dv_node_flags(dv_node_find(rates, "c2")), DV_NODE_COUNT);
	CHECK_EQ(dv_node_since(now, old, 0, &rates), -EINVAL);
}

static double rate_of(struct dv_node *now, struct dv_node *old)
{
	dv_autonode struct dv_node *a = now, *b = old, *rates = NULL;

	CHECK_EQ(dv_node_since(a, b, 1000000000, &rates), 0);
	return dv_node_get_double(rates);
}

TEST(rates_survive_wrap_and_reset)
{
	const uint64_t count = DV_NODE_COUNT;

	CHECK(rate_of(dv_node_unsigned(5, count),
		      dv_node_unsigned(UINT64_MAX - 4, count)) == 10);
	CHECK(rate_of(dv_node_unsigned(5, count),
		      dv_node_unsigned(1000, count)) == 5);
	CHECK(rate_of(dv_node_signed(-5, count), dv_node_signed(5, count)) ==
	      -10);
	CHECK(rate_of(dv_node_signed(INT64_MAX, count),
		      dv_node_signed(INT64_MIN, count)) > 1.8e19);
	CHECK(rate_of(dv_node_double(2.5, count), dv_node_double(1, count)) ==
	      1.5);
	/* Another kind, or no counter before: copied. */
	CHECK(rate_of(dv_node_double(2.5, count), dv_node_unsigned(1, count)) ==
	      2.5);
	CHECK(rate_of(dv_node_double(2.5, count), dv_node_double(1, 0)) == 2.5);
}

/* ---- completion ---- */

static void collect(void *arg, const char *candidate)
{
	dv_buf_putf(arg, "%s ", candidate);
}

TEST(completion_offers_what_starts_as_typed)
{
	static const struct {
		const char *typed, *want;
		size_t head;
	} cases[] = {
		{ "", "disk/ dev/ name ", 0 },
		{ "d", "disk/ dev/ ", 0 },
		{ "vm/d", "vm/disk/ vm/dev/ ", 3 },
		{ "vm//n", "vm//name ", 4 },
		{ "name", "name ", 0 },
		{ "x", "", 0 },
	};
	dv_autonode struct dv_node *dir = dv_node_dir();

	add(dir, "disk", DV_SENS_SAFE, dv_node_dir());
	add(dir, "dev", DV_SENS_SAFE, dv_node_unevaluated());
	add(dir, "name", DV_SENS_SAFE, dv_node_string("x", 1));
	add(dir, "bad\nname", DV_SENS_SAFE, dv_node_dir());
	for (size_t i = 0; i < DV_ARRAY_LEN(cases); i++) {
		dv_autobuf out = DV_BUF_INIT(256);
		dv_autofree char *got = NULL;
		int n = dv_node_complete(cases[i].typed, dir, collect, &out);

		CHECK_EQ(dv_node_typed_parent(cases[i].typed), cases[i].head);
		got = dv_buf_take(&out);
		CHECK_STR(got, cases[i].want);
		for (const char *p = got; *p; p++)
			n -= *p == ' ';
		CHECK_EQ(n, 0);
	}
}
