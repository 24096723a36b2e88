/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <json-c/json.h>
#include <math.h>
#include <string.h>

#include "base/test.h"

#include "base/def.h"
#include "inspect/node.h"
#include "inspect/text.h"

static void add(struct dv_node *dir, const char *name, struct dv_node *node)
{
	CHECK_EQ(dv_node_add(dir, name, DV_SENS_UNSPECIFIED, node), 0);
}

static void check_print(struct dv_node *node, const char *text,
			const char *json)
{
	dv_autonode struct dv_node *n = node;
	dv_autofree char *got = NULL, *got_json = NULL;
	size_t len;

	CHECK_EQ(dv_node_text(n, &got, &len), 0);
	CHECK_STR(got, text);
	CHECK_EQ(len, strlen(text));
	CHECK_EQ(dv_node_json(n, &got_json, NULL), 0);
	CHECK_STR(got_json, json);
}

TEST(vectors_are_printed_as_they_say)
{
	struct dv_node *two = dv_node_dir(), *six = dv_node_dir();

	add(two, "a", dv_node_unsigned(5, 0));
	add(two, "b", dv_node_string("hi", 2));
	check_print(two, "{\n    a: 5,\n    b: \"hi\",\n}",
		    "{\"a\":5,\"b\":\"hi\"}");

	add(six, "count", dv_node_unsigned(300, DV_NODE_COUNT));
	add(six, "flags", dv_node_unsigned(0x1234, DV_NODE_HEX));
	add(six, "neg", dv_node_signed(-1, 0));
	add(six, "off", dv_node_boolean(false));
	add(six, "slow", dv_node_failed(DV_NODE_UNRESOLVED, NULL));
	add(six, "sub", dv_node_unevaluated());
	check_print(six,
		    "{\n    count: 300,\n    flags: 0x1234,\n    neg: -1,\n"
		    "    off: false,\n    slow: error (unresolved),\n"
		    "    sub: _,\n}",
		    "{\"count\":300,\"flags\":\"0x1234\",\"neg\":-1,\"off\":"
		    "false,\"slow\":{\"$error\":\"unresolved\"},\"sub\":null}");
}

TEST(values_of_every_kind_are_printed)
{
	check_print(dv_node_signed(-2, DV_NODE_HEX), "0xfffffffffffffffe",
		    "\"0xfffffffffffffffe\"");
	check_print(dv_node_unsigned(5, DV_NODE_BINARY), "0b101", "\"0b101\"");
	check_print(dv_node_unsigned(0, DV_NODE_BINARY), "0b0", "\"0b0\"");
	check_print(dv_node_unsigned(0, DV_NODE_HEX), "0x0", "\"0x0\"");
	check_print(dv_node_unsigned(UINT64_MAX, 0), "18446744073709551615",
		    "18446744073709551615");
	check_print(dv_node_signed(INT64_MIN, 0), "-9223372036854775808",
		    "-9223372036854775808");
	check_print(dv_node_boolean(true), "true", "true");
	check_print(dv_node_bytes("\0\1\377\20", 4), "<0001ff10>",
		    "\"AAH/EA\"");
	check_print(dv_node_bytes("abc", 3), "<616263>", "\"YWJj\"");
	check_print(dv_node_bytes("", 0), "<>", "\"\"");
	check_print(dv_node_dir(), "{}", "{}");
	check_print(dv_node_unevaluated(), "_", "null");
	check_print(dv_node_failed(DV_NODE_NOT_A_DIRECTORY, "unused"),
		    "error (not a directory)",
		    "{\"$error\":\"not a directory\"}");
	check_print(dv_node_failed(DV_NODE_CHANNEL, "a\x1b[2Jb"),
		    "error (channel error: a\\u{1b}[2Jb)",
		    "{\"$error\":\"channel error: a\\u001b[2Jb\"}");
	check_print(dv_node_failed(DV_NODE_UPDATE, "x\"y"),
		    "error (update error: x\\\"y)",
		    "{\"$error\":\"update error: x\\\"y\"}");
}

TEST(floats_are_the_shortest_that_read_back)
{
	check_print(dv_node_double(1, 0), "1", "1");
	check_print(dv_node_double(0, 0), "0", "0");
	check_print(dv_node_double(-0.0, 0), "-0", "-0");
	check_print(dv_node_double(0.1, 0), "0.1", "0.1");
	check_print(dv_node_double(-123.456, 0), "-123.456", "-123.456");
	check_print(dv_node_double(1e21, 0), "1000000000000000000000",
		    "1000000000000000000000");
	check_print(dv_node_double(1.5e-7, 0), "0.00000015", "0.00000015");
	check_print(dv_node_double(1.0 / 3, 0), "0.3333333333333333",
		    "0.3333333333333333");
	check_print(dv_node_float(0.1F), "0.1", "0.1");
	check_print(dv_node_float(16777216.0F), "16777216", "16777216");
	check_print(dv_node_double((double)NAN, 0), "NaN", "\"NaN\"");
	check_print(dv_node_double(HUGE_VAL, 0), "inf", "\"inf\"");
	check_print(dv_node_double(-HUGE_VAL, 0), "-inf", "\"-inf\"");
}

TEST(extreme_floats_fit_and_read_back)
{
	static const double extremes[] = {
		1.7976931348623157e308,  5e-324,
		2.2250738585072014e-308, -1.7976931348623157e308,
		9007199254740993.0,      123456789e200
	};

	for (size_t i = 0; i < DV_ARRAY_LEN(extremes); i++) {
		char text[DV_FLOAT_TEXT_MAX];

		dv_float_text(text, extremes[i], false);
		CHECK(strlen(text) < sizeof(text));
		CHECK(strtod(text, NULL) == extremes[i]);
	}
}

TEST(strings_are_quoted_and_cannot_move_a_cursor)
{
	check_print(dv_node_string("a\"\\\n\r\t\0\x1b\x7f'", 10),
		    "\"a\\\"\\\\\\n\\r\\t\\0\\u{1b}\\u{7f}'\"",
		    "\"a\\\"\\\\\\n\\r\\t\\u0000\\u001b\\u007f'\"");
	check_print(dv_node_string("\xc3\xa4\xe2\x82\xac", 5),
		    "\"\xc3\xa4\xe2\x82\xac\"", "\"\xc3\xa4\xe2\x82\xac\"");
	check_print(dv_node_string("\xe2\x80\xae\xc2\x9b", 5),
		    "\"\\u{202e}\\u{9b}\"", "\"\xe2\x80\xae\xc2\x9b\"");
	check_print(dv_node_string("\xff", 1), "\"\xef\xbf\xbd\"",
		    "\"\xef\xbf\xbd\"");
}

TEST(names_that_need_it_are_quoted)
{
	struct dv_node *dir = dv_node_dir(), *sub = dv_node_dir();

	add(sub, "0000:00:01.0", dv_node_unsigned(1, 0));
	add(dir, "plain-_.+1", sub);
	add(dir, "two words", dv_node_unsigned(2, 0));
	add(dir, "", dv_node_unsigned(3, 0));
	add(dir, "tab\there", dv_node_dir());
	add(dir, "\xc3\xa4", dv_node_unsigned(4, 0));
	check_print(dir,
		    "{\n    plain-_.+1: {\n        \"0000:00:01.0\": 1,\n"
		    "    },\n    \"two words\": 2,\n    \"\": 3,\n"
		    "    \"tab\\there\": {},\n    \xc3\xa4: 4,\n}",
		    "{\"plain-_.+1\":{\"0000:00:01.0\":1},\"two words\":2,"
		    "\"\":3,\"tab\\there\":{},\"\xc3\xa4\":4}");
}

TEST(json_of_every_byte_is_read_by_a_json_parser)
{
	dv_autonode struct dv_node *dir = dv_node_dir();
	dv_autofree char *json = NULL;
	struct json_object *got, *value;

	for (unsigned int c = 0; c < 256; c++) {
		char name[2] = { (char)c, 'x' }, key[16];

		snprintf(key, sizeof(key), "k%u", c);
		add(dir, key, dv_node_string(name, 2));
		CHECK_EQ(dv_node_add_n(dir, name, 2, DV_SENS_SAFE,
				       dv_node_double((double)NAN, 0)),
			 0);
	}
	CHECK_EQ(dv_node_json(dir, &json, NULL), 0);
	got = json_tokener_parse(json);
	CHECK(got);
	CHECK(json_object_object_get_ex(got, "k10", &value));
	CHECK_STR(json_object_get_string(value), "\nx");
	json_object_put(got);
}

TEST(print_that_would_be_too_large_is_refused)
{
	dv_autonode struct dv_node *dir = dv_node_dir();
	dv_autofree char *data = malloc(DV_NODE_PRINT_MAX / 2), *text = NULL;

	memset(data, 1, DV_NODE_PRINT_MAX / 2);
	add(dir, "a", dv_node_bytes(data, DV_NODE_PRINT_MAX / 2));
	CHECK_EQ(dv_node_text(dir, &text, NULL), -EMSGSIZE);
	CHECK(!text);
}
