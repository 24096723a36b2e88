/* SPDX-License-Identifier: MIT */
#include "base/json.h"

#include <errno.h>
#include <string.h>

#include "base/def.h"
#include "base/test.h"

TEST(json_nested_values_get_their_commas)
{
	dv_autobuf b = DV_BUF_INIT(4096);
	struct dv_json j = DV_JSON_INIT(&b);

	dv_json_open(&j, NULL, '{');
	dv_json_str(&j, "name", "web");
	dv_json_open(&j, "list", '[');
	dv_json_u64(&j, NULL, 1);
	dv_json_i64(&j, NULL, -2);
	dv_json_open(&j, NULL, '{');
	dv_json_close(&j, '}');
	dv_json_open(&j, NULL, '[');
	dv_json_close(&j, ']');
	dv_json_bool(&j, NULL, true);
	dv_json_close(&j, ']');
	dv_json_null(&j, "none");
	dv_json_str(&j, "null", NULL);
	dv_json_bool(&j, "no", false);
	dv_json_close(&j, '}');
	CHECK_STR(b.data, "{\"name\":\"web\",\"list\":[1,-2,{},[],true],"
			  "\"none\":null,\"null\":null,\"no\":false}");
}

#define BAD "\xef\xbf\xbd"

TEST(json_strings_are_escaped)
{
	static const struct {
		const char *in;
		size_t len;
		const char *out;
	} rows[] = {
#define ROW(in, out) { in, sizeof(in) - 1, out }
		ROW("", ""),
		ROW("a\"b\\c/", "a\\\"b\\\\c/"),
		ROW("\b\f\n\r\t", "\\b\\f\\n\\r\\t"),
		ROW("\0\x01\x1f\x7f", "\\u0000\\u0001\\u001f\\u007f"),
		ROW("\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80",
		    "\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80"),
		ROW("\xff", BAD),
		ROW("x\x80y", "x" BAD "y"),
		ROW("\xc3", BAD),
		ROW("\xe2\x82", BAD BAD),
		ROW("\xf0\x9f\x98", BAD BAD BAD),
		ROW("\xc0\x80", BAD BAD),         /* longer than needed */
		ROW("\xe0\x9f\xbf", BAD BAD BAD), /* the same, three bytes */
		ROW("\xed\xa0\x80", BAD BAD BAD), /* a surrogate */
		ROW("\xf4\x90\x80\x80", BAD BAD BAD BAD),
		ROW("\xf0\x8f\xbf\xbf", BAD BAD BAD BAD),
		ROW("\xe2\x82\"", BAD BAD "\\\""), /* no quote is swallowed */
		ROW("\xef\xbf\xbf\xf4\x8f\xbf\xbf",
		    "\xef\xbf\xbf\xf4\x8f\xbf\xbf"),
#undef ROW
	};

	for (size_t i = 0; i < DV_ARRAY_LEN(rows); i++) {
		dv_autobuf b = DV_BUF_INIT(4096);
		struct dv_json j = DV_JSON_INIT(&b);
		char *exact = malloc(rows[i].len ? rows[i].len : 1);

		assert_non_null(exact);
		memcpy(exact, rows[i].in, rows[i].len);
		dv_json_strn(&j, NULL, exact, rows[i].len);
		free(exact);
		CHECK_EQ(b.len, strlen(rows[i].out) + 2);
		assert_memory_equal(b.data + 1, rows[i].out,
				    strlen(rows[i].out));
	}
}

TEST(json_keys_are_escaped)
{
	dv_autobuf b = DV_BUF_INIT(4096);
	struct dv_json j = DV_JSON_INIT(&b);

	dv_json_u64(&j, "a\"\n", 1);
	CHECK_STR(b.data, "\"a\\\"\\n\":1");
}

TEST(json_integers_beyond_2_53_are_strings)
{
	dv_autobuf b = DV_BUF_INIT(4096);
	struct dv_json j = DV_JSON_INIT(&b);

	dv_json_u64(&j, NULL, UINT64_C(9007199254740992));
	dv_json_u64(&j, NULL, UINT64_C(9007199254740993));
	dv_json_u64(&j, NULL, UINT64_MAX);
	dv_json_i64(&j, NULL, INT64_C(-9007199254740992));
	dv_json_i64(&j, NULL, INT64_C(-9007199254740993));
	dv_json_i64(&j, NULL, INT64_MIN);
	CHECK_STR(b.data, "9007199254740992,\"9007199254740993\","
			  "\"18446744073709551615\",-9007199254740992,"
			  "\"-9007199254740993\",\"-9223372036854775808\"");
}

TEST(json_time_is_rfc_3339)
{
	dv_autobuf b = DV_BUF_INIT(4096);
	struct dv_json j = DV_JSON_INIT(&b);

	dv_json_time(&j, NULL, 0);
	dv_json_time(&j, NULL, UINT64_C(1709210096000000789));
	dv_json_time(&j, NULL, UINT64_MAX);
	CHECK_STR(b.data, "\"1970-01-01T00:00:00.000000000Z\","
			  "\"2024-02-29T12:34:56.000000789Z\","
			  "\"2554-07-21T23:34:33.709551615Z\"");
}

TEST(json_into_a_full_buffer_is_an_error_in_the_end)
{
	dv_autobuf b = DV_BUF_INIT(10);
	struct dv_json j = DV_JSON_INIT(&b);

	dv_json_open(&j, NULL, '[');
	for (int i = 0; i < 100; i++)
		dv_json_str(&j, NULL, "text");
	CHECK_EQ(dv_buf_status(&b), -EMSGSIZE);
	CHECK(b.len <= 10);
}
