/* SPDX-License-Identifier: MIT */
#include "wire/grpc.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/def.h"
#include "base/test.h"

#define STR(text) ((struct dv_str){ (text), strlen(text) })

/* WaitRequest{pid: 1234} in its frame. */
static const uint8_t wait_frame[8] = { 0, 0, 0, 0, 3, 0x08, 0xd2, 0x09 };

static int next_of(struct dv_grpc_rd *rd, const void *data, size_t len)
{
	struct dv_rd in = dv_rd_mem(data, len);
	const uint8_t *msg;
	size_t n;

	return dv_grpc_next(rd, &in, &msg, &n);
}

TEST(reader_vector_gives_the_message)
{
	struct dv_grpc_rd rd = DV_GRPC_RD_INIT;
	struct dv_rd in = dv_rd_mem(wait_frame, sizeof(wait_frame));
	uint8_t hdr[DV_GRPC_HDR];
	const uint8_t *msg;
	size_t len;

	CHECK_EQ(dv_grpc_next(&rd, &in, &msg, &len), 0);
	CHECK_EQ(len, 3);
	assert_memory_equal(msg, wait_frame + 5, 3);
	CHECK_EQ(in.left, 0);
	CHECK(!dv_grpc_rd_partial(&rd));
	CHECK_EQ(dv_grpc_next(&rd, &in, &msg, &len), DV_MORE);
	dv_grpc_hdr(hdr, 3);
	assert_memory_equal(hdr, wait_frame, DV_GRPC_HDR);
	dv_grpc_rd_free(&rd);
}

TEST(reader_split_at_every_byte_gives_the_same)
{
	for (size_t cut = 0; cut <= sizeof(wait_frame); cut++) {
		struct dv_grpc_rd rd = DV_GRPC_RD_INIT;
		struct dv_rd in = dv_rd_mem(wait_frame, cut);
		const uint8_t *msg = NULL;
		size_t len = 0;
		int r = dv_grpc_next(&rd, &in, &msg, &len);

		CHECK_EQ(r, cut < sizeof(wait_frame) ? DV_MORE : 0);
		CHECK(dv_grpc_rd_partial(&rd) ==
		      (cut > 0 && cut < sizeof(wait_frame)));
		in = dv_rd_mem(wait_frame + cut, sizeof(wait_frame) - cut);
		if (r != 0)
			r = dv_grpc_next(&rd, &in, &msg, &len);
		CHECK_EQ(r, 0);
		CHECK_EQ(len, 3);
		assert_memory_equal(msg, wait_frame + 5, 3);
		dv_grpc_rd_free(&rd);
	}
}

TEST(reader_many_in_one_frame_come_one_by_one)
{
	static const uint8_t two[] = { 0, 0, 0, 0, 0, 0, 0, 0,
				       0, 2, 7, 8, 0, 0, 0 };
	struct dv_grpc_rd rd = DV_GRPC_RD_INIT;
	struct dv_rd in = dv_rd_mem(two, sizeof(two));
	const uint8_t *msg;
	size_t len;

	CHECK_EQ(dv_grpc_next(&rd, &in, &msg, &len), 0);
	CHECK_EQ(len, 0);
	CHECK_EQ(dv_grpc_next(&rd, &in, &msg, &len), 0);
	CHECK_EQ(len, 2);
	CHECK_EQ(msg[1], 8);
	CHECK_EQ(dv_grpc_next(&rd, &in, &msg, &len), DV_MORE);
	CHECK(dv_grpc_rd_partial(&rd));
	dv_grpc_rd_free(&rd);
}

TEST(reader_announced_length_takes_no_memory)
{
	static const uint8_t most[6] = { 0, 0, 0x40, 0, 0, 1 };
	struct dv_grpc_rd rd = DV_GRPC_RD_INIT;

	CHECK_EQ(next_of(&rd, most, sizeof(most)), DV_MORE);
	CHECK_EQ(dv_grpc_rd_held(&rd), 1);
	CHECK(rd.buf.cap < 1024);
	dv_grpc_rd_free(&rd);
}

TEST(reader_bad_header_is_an_error)
{
	static const struct {
		uint8_t hdr[5];
		int r;
	} rows[] = {
		{ { 1, 0, 0, 0, 0 }, -EOPNOTSUPP },
		{ { 2, 0, 0, 0, 0 }, -EBADMSG },
		{ { 0, 0, 0x40, 0, 1 }, -EMSGSIZE },
		{ { 0, 0xff, 0xff, 0xff, 0xff }, -EMSGSIZE },
		{ { 'P', 'R', 'I', ' ', '*' }, -EBADMSG },
	};

	for (size_t i = 0; i < DV_ARRAY_LEN(rows); i++) {
		struct dv_grpc_rd rd = DV_GRPC_RD_INIT;

		CHECK_EQ(next_of(&rd, rows[i].hdr, 5), rows[i].r);
		dv_grpc_rd_free(&rd);
	}
}

TEST(timeout_parse_knows_six_units)
{
	static const struct {
		const char *text;
		uint64_t ns;
	} rows[] = {
		{ "1n", 1 },
		{ "20u", 20000 },
		{ "300m", 300000000 },
		{ "5S", 5000000000 },
		{ "2M", 120000000000 },
		{ "1H", 3600000000000 },
		{ "0S", 0 },
		{ "00000001n", 1 },
		{ "99999999n", 99999999 },
		{ "99999999H", UINT64_MAX },
	};

	for (size_t i = 0; i < DV_ARRAY_LEN(rows); i++) {
		uint64_t ns = 7;

		CHECK_EQ(dv_grpc_timeout_parse(STR(rows[i].text), &ns), 0);
		CHECK(ns == rows[i].ns);
	}
}

TEST(timeout_parse_anything_else_is_refused)
{
	static const char *const rows[] = { "",     "n",    "1",         "1s",
					    "-1S",  "+1S",  " 1S",       "1S ",
					    "1.5S", "0x1S", "123456789n" };

	for (size_t i = 0; i < DV_ARRAY_LEN(rows); i++) {
		uint64_t ns = 7;

		CHECK_EQ(dv_grpc_timeout_parse(STR(rows[i]), &ns), -EINVAL);
		CHECK_EQ(ns, 7);
	}
}

TEST(timeout_format_takes_the_finest_unit_and_rounds_up)
{
	static const struct {
		uint64_t ns;
		const char *text;
	} rows[] = {
		{ 0, "1n" },
		{ 1, "1n" },
		{ 99999999, "99999999n" },
		{ 100000000, "100000u" },
		{ 100000001, "100001u" },
		{ 5000000000, "5000000u" },
		{ 3600000000000, "3600000m" },
		{ UINT64_MAX, "5124096H" },
	};

	for (size_t i = 0; i < DV_ARRAY_LEN(rows); i++) {
		char text[DV_GRPC_TIMEOUT_LEN];
		uint64_t back;

		dv_grpc_timeout_format(text, rows[i].ns);
		CHECK_STR(text, rows[i].text);
		CHECK_EQ(dv_grpc_timeout_parse(STR(text), &back), 0);
		CHECK(back >= rows[i].ns);
	}
}

TEST(percent_every_byte_comes_back)
{
	dv_autobuf enc = DV_BUF_INIT(4096);
	dv_autobuf dec = DV_BUF_INIT(4096);
	char all[256];

	for (int i = 0; i < 256; i++)
		all[i] = (char)i;
	CHECK_EQ(dv_grpc_percent_encode(&enc, (struct dv_str){ all, 256 }), 0);
	for (size_t i = 0; i < enc.len; i++)
		CHECK(enc.data[i] >= ' ' && enc.data[i] <= '~');
	CHECK_EQ(dv_grpc_percent_decode(&dec,
					(struct dv_str){ enc.data, enc.len }),
		 0);
	CHECK_EQ(dec.len, 256);
	assert_memory_equal(dec.data, all, 256);
}

TEST(percent_known_texts)
{
	static const struct {
		const char *plain, *wire;
	} rows[] = {
		{ "", "" },
		{ "plain text", "plain text" },
		{ "100%", "100%25" },
		{ "gr\xc3\xbc\n", "gr%C3%BC%0A" },
	};

	for (size_t i = 0; i < DV_ARRAY_LEN(rows); i++) {
		dv_autobuf out = DV_BUF_INIT(64);

		dv_buf_puts(&out, "");
		CHECK_EQ(dv_grpc_percent_encode(&out, STR(rows[i].plain)), 0);
		CHECK_STR(out.data ? out.data : "", rows[i].wire);
	}
}

TEST(percent_decode_leaves_what_is_no_triple)
{
	static const struct {
		const char *wire, *plain;
	} rows[] = {
		{ "%", "%" },
		{ "%4", "%4" },
		{ "%zz", "%zz" },
		{ "%%41", "%A" },
		{ "a%c3%bcb", "a\xc3\xbc"
			      "b" },
	};

	for (size_t i = 0; i < DV_ARRAY_LEN(rows); i++) {
		dv_autobuf out = DV_BUF_INIT(64);

		CHECK_EQ(dv_grpc_percent_decode(&out, STR(rows[i].wire)), 0);
		CHECK_STR(out.data, rows[i].plain);
	}
}

TEST(percent_over_the_limit_is_an_error)
{
	dv_autobuf out = DV_BUF_INIT(4);

	CHECK_EQ(dv_grpc_percent_encode(&out, STR("\n\n")), -EMSGSIZE);
}

TEST(base64_with_and_without_padding)
{
	static const struct {
		const char *plain, *wire, *bare;
	} rows[] = {
		{ "", "", "" },
		{ "f", "Zg==", "Zg" },
		{ "fo", "Zm8=", "Zm8" },
		{ "foo", "Zm9v", "Zm9v" },
		{ "foobar", "Zm9vYmFy", "Zm9vYmFy" },
		{ "\xff\xfe\xfd\xfc", "//79/A==", "//79/A" },
	};

	for (size_t i = 0; i < DV_ARRAY_LEN(rows); i++) {
		dv_autobuf out = DV_BUF_INIT(64);

		CHECK_EQ(dv_grpc_base64_encode(&out, rows[i].plain,
					       strlen(rows[i].plain)),
			 0);
		CHECK_STR(out.data ? out.data : "", rows[i].bare);
		dv_buf_reset(&out);
		CHECK_EQ(dv_grpc_base64_decode(&out, STR(rows[i].wire)), 0);
		CHECK_STR(out.data ? out.data : "", rows[i].plain);
		dv_buf_reset(&out);
		CHECK_EQ(dv_grpc_base64_decode(&out, STR(rows[i].bare)), 0);
		CHECK_STR(out.data ? out.data : "", rows[i].plain);
	}
}

TEST(base64_garbage_is_refused)
{
	static const char *const rows[] = { "Z",     "Zg=",  "=",     "====",
					    "Zm9v!", "Zm=v", "Zm9vZ", "Z===" };

	for (size_t i = 0; i < DV_ARRAY_LEN(rows); i++) {
		dv_autobuf out = DV_BUF_INIT(64);

		CHECK_EQ(dv_grpc_base64_decode(&out, STR(rows[i])), -EINVAL);
	}
}

TEST(status_round_trip_and_truncated_at_every_byte)
{
	dv_autobuf out = DV_BUF_INIT(256);
	struct dv_grpc_status st = { DV_NOT_FOUND, STR("no such process") };
	struct dv_grpc_status back;

	CHECK_EQ(dv_grpc_status_encode(&out, &st), 0);
	CHECK_EQ(dv_grpc_status_decode(out.data, out.len, &back), 0);
	CHECK_EQ(back.code, DV_NOT_FOUND);
	CHECK_EQ(back.message.len, st.message.len);
	assert_memory_equal(back.message.ptr, st.message.ptr, st.message.len);
	for (size_t n = 0; n < out.len; n++) {
		/* Whole fields are a status of their own. */
		int want = n == 0 || n == 2 ? 0 : -EBADMSG;

		CHECK_EQ(dv_grpc_status_decode(out.data, n, &back), want);
	}
}

TEST(status_details_are_skipped_and_nonsense_is_refused)
{
	static const uint8_t with[] = { 0x1a, 2, 0x0a, 0, 0x08, 5, 0x2d,
					1,    2, 3,    4, 0x31, 1, 2,
					3,    4, 5,    6, 7,    8 };
	static const uint8_t group[] = { 0x0b };
	static const uint8_t zero[] = { 0x00, 0x00 };
	static const uint8_t longest[] = { 0x12, 0xff, 0xff, 0xff, 0xff, 0xff,
					   0xff, 0xff, 0xff, 0xff, 0x01 };
	static const uint8_t endless[] = { 0x80, 0x80, 0x80, 0x80, 0x80, 0x80,
					   0x80, 0x80, 0x80, 0x80, 0x80, 0x01 };
	struct dv_grpc_status st;

	CHECK_EQ(dv_grpc_status_decode(with, sizeof(with), &st), 0);
	CHECK_EQ(st.code, DV_NOT_FOUND);
	CHECK_EQ(st.message.len, 0);
	CHECK_EQ(dv_grpc_status_decode(group, sizeof(group), &st), -EBADMSG);
	CHECK_EQ(dv_grpc_status_decode(zero, sizeof(zero), &st), -EBADMSG);
	CHECK_EQ(dv_grpc_status_decode(longest, sizeof(longest), &st),
		 -EBADMSG);
	CHECK_EQ(dv_grpc_status_decode(endless, sizeof(endless), &st),
		 -EBADMSG);
}

TEST(code_parse_outside_is_unknown)
{
	CHECK_EQ(dv_grpc_code_parse(STR("0")), DV_OK);
	CHECK_EQ(dv_grpc_code_parse(STR("16")), DV_UNAUTHENTICATED);
	CHECK_EQ(dv_grpc_code_parse(STR("05")), DV_NOT_FOUND);
	CHECK_EQ(dv_grpc_code_parse(STR("17")), DV_UNKNOWN);
	CHECK_EQ(dv_grpc_code_parse(STR("")), DV_UNKNOWN);
	CHECK_EQ(dv_grpc_code_parse(STR("-1")), DV_UNKNOWN);
	CHECK_EQ(dv_grpc_code_parse(STR("100")), DV_UNKNOWN);
}

TEST(path_split_wants_two_names)
{
	static const char *const bad[] = { "",    "/",   "a/b",   "/a",
					   "//b", "/a/", "/a/b/", "/a/b/c" };
	struct dv_str s, m;

	CHECK_EQ(dv_grpc_path_split(STR("/diag.OpenhclDiag/Ping"), &s, &m), 0);
	CHECK_EQ(s.len, strlen("diag.OpenhclDiag"));
	CHECK_EQ(m.len, 4);
	assert_memory_equal(m.ptr, "Ping", 4);
	for (size_t i = 0; i < DV_ARRAY_LEN(bad); i++)
		CHECK_EQ(dv_grpc_path_split(STR(bad[i]), &s, &m), -EINVAL);
}

TEST(path_split_limits_each_name)
{
	dv_autobuf path = DV_BUF_INIT(1024);
	struct dv_str s, m;

	dv_buf_putc(&path, '/');
	for (int i = 0; i < DV_GRPC_PATH_PART_MAX; i++)
		dv_buf_putc(&path, 's');
	dv_buf_puts(&path, "/m");
	CHECK_EQ(dv_grpc_path_split((struct dv_str){ path.data, path.len }, &s,
				    &m),
		 0);
	path.data[0] = 's';
	dv_buf_drop(&path, 0);
	CHECK_EQ(dv_grpc_path_split((struct dv_str){ path.data, path.len }, &s,
				    &m),
		 -EINVAL);
}

TEST(content_type_rules)
{
	static const char *const good[] = { "application/grpc",
					    "application/grpc+proto",
					    "application/grpc;charset=utf-8",
					    "application/grpc+proto; v=1",
					    "Application/gRPC" };
	static const char *const bad[] = { "",
					   "application/grpcx",
					   "application/grpc+json",
					   "application/grpc-web",
					   "application/json",
					   "application/grp" };

	for (size_t i = 0; i < DV_ARRAY_LEN(good); i++)
		CHECK(dv_grpc_content_type_ok(STR(good[i])));
	for (size_t i = 0; i < DV_ARRAY_LEN(bad); i++)
		CHECK(!dv_grpc_content_type_ok(STR(bad[i])));
}

TEST(codes_of_http_and_resets)
{
	CHECK_EQ(dv_grpc_code_from_http(404), DV_UNIMPLEMENTED);
	CHECK_EQ(dv_grpc_code_from_http(503), DV_UNAVAILABLE);
	CHECK_EQ(dv_grpc_code_from_http(200), DV_UNKNOWN);
	CHECK_EQ(dv_grpc_code_from_http(415), DV_UNKNOWN);
	CHECK_EQ(dv_grpc_code_from_reset(0), DV_INTERNAL);
	CHECK_EQ(dv_grpc_code_from_reset(7), DV_UNAVAILABLE);
	CHECK_EQ(dv_grpc_code_from_reset(8), DV_CANCELLED);
	CHECK_EQ(dv_grpc_code_from_reset(11), DV_EXHAUSTED);
	CHECK_EQ(dv_grpc_code_from_reset(12), DV_DENIED);
	CHECK_EQ(dv_grpc_code_from_reset(99), DV_UNKNOWN);
}
