/* SPDX-License-Identifier: MIT */
#include "wire/pb.h"

#include <errno.h>
#include <string.h>

#include "base/def.h"
#include "base/test.h"
#include "wire/diag.pb.h"
#include "wire/sandbox.pb.h"

static int scan(const pb_msgdesc_t *fields, const void *p, size_t len,
		struct dv_err *err)
{
	*err = (struct dv_err)DV_ERR_INIT;
	return dv_pb_scan(fields, p, len, err);
}

/* The largest message of the schema, with every kind of field. */
static void put_exec(struct dv_buf *b)
{
	char sh[] = "sh", minus[] = "-c", empty[] = "", term[] = "TERM";
	char *args[] = { minus, empty };
	dv_diag_EnvPair env[] = { { term, empty }, { sh, NULL } };
	dv_diag_ExecRequest rq = { .command = sh,
				   .args_count = 2,
				   .args = args,
				   .tty = true,
				   .stdout = UINT64_MAX,
				   .env_count = 2,
				   .env = env };

	CHECK_EQ(dv_pb_encode(dv_diag_ExecRequest_fields, &rq, b, NULL), 0);
}

TEST(message_comes_back_as_it_was)
{
	dv_autobuf b = DV_BUF_INIT(1024);
	dv_diag_ExecRequest rq = dv_diag_ExecRequest_init_zero;

	put_exec(&b);
	CHECK_EQ(dv_pb_decode(dv_diag_ExecRequest_fields, b.data, b.len, &rq,
			      NULL),
		 0);
	CHECK_STR(rq.command, "sh");
	CHECK_EQ(rq.args_count, 2);
	CHECK_STR(rq.args[1], "");
	CHECK_EQ(rq.env_count, 2);
	CHECK_STR(rq.env[0].value, "");
	CHECK(!rq.env[1].value);
	CHECK(rq.stdout == UINT64_MAX);
	dv_pb_release(dv_diag_ExecRequest_fields, &rq);
	dv_pb_release(dv_diag_ExecRequest_fields, &rq);
}

/* What scan lets through decodes, and nothing reads past the end. */
TEST(truncated_at_every_byte_is_an_error_or_decodes)
{
	dv_autobuf b = DV_BUF_INIT(1024);
	size_t bad = 0;

	put_exec(&b);
	for (size_t n = 0; n < b.len; n++) {
		dv_diag_ExecRequest rq = dv_diag_ExecRequest_init_zero;
		char *exact = malloc(n + 1);
		struct dv_err err = DV_ERR_INIT;
		int r;

		memcpy(exact, b.data, n);
		r = dv_pb_decode(dv_diag_ExecRequest_fields, exact, n, &rq,
				 &err);
		CHECK(r == 0 ||
		      (r == -EBADMSG && err.msg[0] && err.code == DV_INVALID));
		bad += r < 0;
		dv_pb_release(dv_diag_ExecRequest_fields, &rq);
		free(exact);
	}
	CHECK(bad > b.len / 2);
}

TEST(nul_inside_text_is_an_error)
{
	struct dv_err err;

	CHECK_EQ(scan(dv_diag_ExecRequest_fields,
		      "\x0a\x03"
		      "a\0b",
		      5, &err),
		 -EBADMSG);
	CHECK(strstr(err.msg, "field 1") && strstr(err.msg, "NUL"));
}

TEST(garbage_behind_a_message_is_an_error)
{
	struct dv_err err;

	CHECK_EQ(scan(dv_diag_WaitRequest_fields, "\x08\x05\x00", 3, &err),
		 -EBADMSG);
	CHECK_EQ(scan(dv_diag_WaitRequest_fields, "\x08\x05\x0c", 3, &err),
		 -EBADMSG); /* the end of a group that never began */
	CHECK_EQ(scan(dv_diag_WaitRequest_fields, "\x0a\x01x", 3, &err),
		 -EBADMSG); /* bytes for a number */
}

TEST(unknown_fields_are_skipped_also_without_a_schema)
{
	struct dv_err err;
	static const char wire[] = "\x98\x06\x05\x99\x06"
				   "12345678\x9a\x06\x02zz\x9d\x06"
				   "1234";

	CHECK_EQ(scan(dv_diag_WaitRequest_fields, wire, sizeof(wire) - 1, &err),
		 0);
	CHECK_EQ(scan(NULL, wire, sizeof(wire) - 1, &err), 0);
	CHECK_EQ(scan(NULL, wire, sizeof(wire) - 2, &err), -EBADMSG);
}

TEST(packed_and_plain_lists_are_the_same)
{
	static const struct {
		const char *bytes;
		size_t len;
	} same[] = { { "\x12\x02\x09\x0a", 4 }, { "\x10\x09\x10\x0a", 4 } };
	struct dv_err err;

	for (size_t i = 0; i < DV_ARRAY_LEN(same); i++) {
		dv_diag_StartPacketCaptureData d =
			dv_diag_StartPacketCaptureData_init_zero;

		CHECK_EQ(dv_pb_decode(dv_diag_StartPacketCaptureData_fields,
				      same[i].bytes, same[i].len, &d, NULL),
			 0);
		CHECK_EQ(d.conns_count, 2);
		CHECK_EQ(d.conns[1], 10);
		dv_pb_release(dv_diag_StartPacketCaptureData_fields, &d);
	}
	CHECK_EQ(scan(dv_diag_StartPacketCaptureData_fields, "\x12\x02\x09\x8a",
		      4, &err),
		 -EBADMSG);
}

/* Two bytes on the wire become a whole struct in memory. */
TEST(what_needs_too_much_memory_is_refused_before_it_is_allocated)
{
	size_t n = DV_PB_ALLOC_MAX / sizeof(dv_ProcessInfo) + 1;
	uint8_t *wire = calloc(n, 2);
	dv_ListReply list = dv_ListReply_init_zero;
	struct dv_err err = DV_ERR_INIT;

	assert_true(n < DV_PB_FIELDS_MAX);
	for (size_t i = 0; i < 2 * n; i += 2)
		wire[i] = 0x0a;
	CHECK_EQ(dv_pb_decode(dv_ListReply_fields, wire, 2 * n, &list, &err),
		 -EMSGSIZE);
	CHECK_EQ(err.code, DV_EXHAUSTED);
	CHECK(!list.processes);
	free(wire);
}

TEST(message_longer_than_the_one_around_it_is_an_error)
{
	struct dv_err err;

	CHECK_EQ(scan(dv_ListReply_fields, "\x0a\x04\x32\x02\x08\x01", 6, &err),
		 0);
	CHECK_EQ(scan(dv_ListReply_fields, "\x0a\x04\x32\x03\x08\x01", 6, &err),
		 -EBADMSG);
}

TEST(too_many_fields_are_refused)
{
	size_t n = ((size_t)DV_PB_FIELDS_MAX + 1) * 2;
	uint8_t *wire = malloc(n);
	struct dv_err err = DV_ERR_INIT;

	for (size_t i = 0; i < n; i += 2) {
		wire[i] = 0x08;
		wire[i + 1] = 1;
	}
	CHECK_EQ(dv_pb_scan(NULL, wire, n, &err), -EMSGSIZE);
	CHECK_EQ(err.code, DV_EXHAUSTED);
	CHECK_EQ(dv_pb_scan(NULL, wire, n - 2, &err), 0);
	free(wire);
}

TEST(encode_over_the_limit_of_the_buffer_appends_nothing)
{
	dv_autobuf b = DV_BUF_INIT(10);
	dv_diag_WaitResponse rs = { .exit_code = -1 };
	struct dv_err err = DV_ERR_INIT;
	size_t len;

	CHECK_EQ(dv_pb_size(dv_diag_WaitResponse_fields, &rs, &len, NULL), 0);
	CHECK_EQ(len, 11);
	CHECK_EQ(dv_pb_encode(dv_diag_WaitResponse_fields, &rs, &b, &err),
		 -EMSGSIZE);
	CHECK_EQ(err.code, DV_EXHAUSTED);
	CHECK_EQ(b.len, 0);
	CHECK_EQ(b.status, 0);
}
