/* SPDX-License-Identifier: MIT */
#include "wire/ttrpc.h"

#include <errno.h>
#include <string.h>

#include "base/def.h"
#include "base/test.h"

#define DIAG  "diag.OpenhclDiag"
#define UNDER "diag.UnderhillDiag"

static uint8_t nibble(char c)
{
	return (uint8_t)(c <= '9' ? c - '0' : c - 'a' + 10);
}

static size_t from_hex(const char *hex, uint8_t *out, size_t cap)
{
	size_t n = strlen(hex) / 2;

	assert_true(n <= cap);
	for (size_t i = 0; i < n; i++)
		out[i] = (uint8_t)(nibble(hex[2 * i]) << 4 |
				   nibble(hex[2 * i + 1]));
	return n;
}

static struct dv_str str(const char *s)
{
	return (struct dv_str){ s, strlen(s) };
}

static void check_buf(const struct dv_buf *b, const char *hex)
{
	uint8_t want[512];
	size_t n = from_hex(hex, want, sizeof(want));

	CHECK_EQ(b->status, 0);
	CHECK_EQ(b->len, n);
	assert_memory_equal(b->data, want, n);
}

/* clang-format off */
static const struct {
	const char *hex, *service, *method, *payload;
	uint32_t stream;
	uint64_t timeout_ns;
} requests[] = {
	{ "000000180000000101000a10646961672e4f70656e68636c44696167120450696e67",
	  DIAG, "Ping", "", 1, 0 },
	{ "0000004e0000000301000a12646961672e556e64657268696c6c4469616712044578"
	  "65631a320a072f62696e2f736812022d6312076563686f20686920012802300342"
	  "0d0a045445524d1205787465726d42050a03464f4f", UNDER, "Exec",
	  "0a072f62696e2f736812022d6312076563686f206869200128023003420d0a0454"
	  "45524d1205787465726d42050a03464f4f", 3, 0 },
	{ "000000450000000501000a12646961672e556e64657268696c6c4469616712044578"
	  "65631a290a072f62696e2f7368180120042805300642160a045445524d120e7874"
	  "65726d2d323536636f6c6f72", UNDER, "Exec",
	  "0a072f62696e2f7368180120042805300642160a045445524d120e787465726d2d"
	  "323536636f6c6f72", 5, 0 },
	{ "0000001f0000000701000a12646961672e556e64657268696c6c4469616712045761"
	  "69741a0308d209", UNDER, "Wait", "08d209", 7, 0 },
	{ "0000003f0000001d01000a12646961672e556e64657268696c6c4469616712055374"
	  "6172741a220a140a0b4f50454e564d4d5f4c4f47120564656275670a030a015812"
	  "052d2d666f6f", UNDER, "Start",
	  "0a140a0b4f50454e564d4d5f4c4f47120564656275670a030a015812052d2d666f"
	  "6f", 29, 0 },
	{ "000000200000001301000a12646961672e556e64657268696c6c4469616712044b6d"
	  "73671a0408011007", UNDER, "Kmsg", "08011007", 19, 0 },
	{ "000000300000001501000a12646961672e556e64657268696c6c4469616712085265"
	  "616446696c651a1010081a0c2f70726f632f757074696d65", UNDER, "ReadFile",
	  "10081a0c2f70726f632f757074696d65", 21, 0 },
	{ "000000230000001701000a12646961672e556e64657268696c6c44696167120d5061"
	  "636b657443617074757265", UNDER, "PacketCapture", "", 23, 0 },
	{ "000000310000001901000a12646961672e556e64657268696c6c44696167120d5061"
	  "636b6574436170747572651a0c1801220808ffff031202090a", UNDER,
	  "PacketCapture", "1801220808ffff031202090a", 25, 0 },
	{ "000000270000001b01000a12646961672e556e64657268696c6c44696167120d5061"
	  "636b6574436170747572651a021802", UNDER, "PacketCapture", "1802", 27,
	  0 },
	{ "000000350000000b01000a16696e73706563742e496e737065637453657276696365"
	  "1207496e73706563741a0c0a04766d2f7810ffffffff0f208094ebdc03",
	  "inspect.InspectService", "Inspect", "0a04766d2f7810ffffffff0f", 11,
	  1000000000 },
	{ "000000270000000d01000a16696e73706563742e496e737065637453657276696365"
	  "1207496e7370656374208094ebdc03", "inspect.InspectService", "Inspect",
	  "", 13, 1000000000 },
};

static const struct {
	const char *hex, *payload, *message;
	uint32_t stream;
	int code;
} responses[] = {
	{ "000000020000000102001200", "", "", 1, 0 },
	{ "00000005000000030200120308d209", "08d209", "", 3, 0 },
	{ "00000005000000070200120308ff01", "08ff01", "", 7, 0 },
	{ "0000000400000017020012020802", "0802", "", 23, 0 },
	{ "000000260000000102000a24080c1220756e6b6e6f776e207365727669636520"
	  "646961672e4f70656e68636c44696167", "",
	  "unknown service diag.OpenhclDiag", 1, 12 },
	{ "0000002f0000000202000a2d0803122973747265616d206964206d7573742062"
	  "65206f646420666f7220636c69656e74207265717565737473", "",
	  "stream id must be odd for client requests", 2, 3 },
	{ "0000001c0000000102000a1a08031216696e76616c6964206d6573736167652074"
	  "7970652033", "", "invalid message type 3", 1, 3 },
	{ "000000430000001f02000a410808123d6d657373616765206c656e677468203136"
	  "373737323136206578636565647320"
	  "6d6178696d756d20616c6c6f7765642073697a65203136373737323135", "",
	  "message length 16777216 exceeds maximum allowed size 16777215", 31,
	  8 },
	{ "000000170000002102000a1508041211646561646c696e65206578636565646564",
	  "", "deadline exceeded", 33, 4 },
	{ "000000190000002302000a17080c1213756e6b6e6f776e206d6574686f642046726f"
	  "62", "", "unknown method Frob", 35, 12 },
	{ "000000130000000902000a110802120d706964206e6f7420666f756e64", "",
	  "pid not found", 9, 2 },
};
/* clang-format on */

TEST(requests_of_the_vectors_are_read_and_written_alike)
{
	for (size_t i = 0; i < DV_ARRAY_LEN(requests); i++) {
		dv_autobuf out = DV_BUF_INIT(1024);
		uint8_t wire[512], payload[256];
		size_t n = from_hex(requests[i].hex, wire, sizeof(wire));
		size_t len = from_hex(requests[i].payload, payload, 256);
		struct dv_rd rd = dv_rd_mem(wire, n);
		struct dv_ttrpc_hdr hdr;
		struct dv_ttrpc_request rq;

		CHECK_EQ(dv_ttrpc_hdr_parse(&rd, &hdr), 0);
		CHECK_EQ(hdr.type, DV_TTRPC_REQUEST);
		CHECK_EQ(hdr.stream, requests[i].stream);
		CHECK_EQ(hdr.len, rd.left);
		CHECK_EQ(dv_ttrpc_request_parse(rd.p, rd.left, &rq, NULL), 0);
		CHECK_EQ(rq.service.len, strlen(requests[i].service));
		assert_memory_equal(rq.service.ptr, requests[i].service,
				    rq.service.len);
		CHECK_EQ(rq.method.len, strlen(requests[i].method));
		assert_memory_equal(rq.method.ptr, requests[i].method,
				    rq.method.len);
		CHECK_EQ(rq.payload.len, len);
		assert_memory_equal(rq.payload.ptr, payload, len);
		CHECK_EQ(rq.timeout_ns, requests[i].timeout_ns);
		CHECK_EQ(
			dv_ttrpc_request_put(&out, hdr.stream, &rq, NULL, 4096),
			0);
		check_buf(&out, requests[i].hex);
	}
}

TEST(responses_of_the_vectors_are_read_and_written_alike)
{
	for (size_t i = 0; i < DV_ARRAY_LEN(responses); i++) {
		dv_autobuf out = DV_BUF_INIT(1024);
		uint8_t wire[512], payload[256];
		size_t n = from_hex(responses[i].hex, wire, sizeof(wire));
		size_t len = from_hex(responses[i].payload, payload, 256);
		struct dv_rd rd = dv_rd_mem(wire, n);
		struct dv_ttrpc_hdr hdr;
		struct dv_ttrpc_response rs;

		CHECK_EQ(dv_ttrpc_hdr_parse(&rd, &hdr), 0);
		CHECK_EQ(hdr.type, DV_TTRPC_RESPONSE);
		CHECK_EQ(hdr.len, rd.left);
		CHECK_EQ(dv_ttrpc_response_parse(rd.p, rd.left, &rs, NULL), 0);
		CHECK_EQ(rs.code, responses[i].code);
		CHECK_EQ(rs.payload.len, len);
		assert_memory_equal(rs.payload.ptr, payload, len);
		CHECK_EQ(rs.message.len, strlen(responses[i].message));
		if (rs.code) {
			dv_ttrpc_failure_put(&out, hdr.stream, rs.code,
					     responses[i].message);
		} else {
			CHECK_EQ(dv_ttrpc_success_size(len), n);
			dv_ttrpc_success_put(&out, hdr.stream, len);
			dv_buf_put(&out, payload, len);
		}
		check_buf(&out, responses[i].hex);
	}
}

TEST(header_truncated_at_every_byte_asks_for_more)
{
	static const uint8_t wire[10] = { 0, 0, 0, 5, 0, 0, 0, 1, 1, 0 };
	struct dv_ttrpc_hdr h;

	for (size_t n = 0; n < sizeof(wire); n++) {
		struct dv_rd rd = dv_rd_mem(wire, n);

		CHECK_EQ(dv_ttrpc_hdr_parse(&rd, &h), DV_MORE);
		CHECK_EQ(rd.left, n);
	}
}

/* Cut anywhere it is an error, or a shorter request, but never read past. */
TEST(request_truncated_at_every_byte_is_an_error_or_ends_at_a_field)
{
	static const char *const pairs[] = { "key", "value", "k2", "", NULL };
	dv_autobuf out = DV_BUF_INIT(1024);
	struct dv_ttrpc_request rq = { str(DIAG), str("Ping"), str("payload"),
				       77, 0 };
	size_t bad = 0;

	CHECK_EQ(dv_ttrpc_request_put(&out, 1, &rq, pairs, 1024), 0);
	for (size_t n = 0; n <= out.len - DV_TTRPC_HDR_LEN; n++) {
		uint8_t *exact = malloc(n + 1);
		struct dv_err err = DV_ERR_INIT;

		memcpy(exact, out.data + DV_TTRPC_HDR_LEN, n);
		if (dv_ttrpc_request_parse(exact, n, &rq, &err) < 0) {
			bad++;
			CHECK_EQ(err.code, DV_INVALID);
			CHECK(err.msg[0]);
		}
		free(exact);
	}
	CHECK_EQ(rq.n_metadata, 2); /* the last one was whole */
	CHECK_EQ(bad, out.len - DV_TTRPC_HDR_LEN - 6);
}

TEST(response_truncated_at_every_byte_is_an_error_or_ends_at_a_field)
{
	dv_autobuf out = DV_BUF_INIT(1024);
	struct dv_ttrpc_response rs;
	size_t len;

	dv_ttrpc_failure_put(&out, 1, -5, "why it failed");
	len = out.len - DV_TTRPC_HDR_LEN;
	for (size_t n = 0; n <= len; n++) {
		uint8_t *exact = malloc(n + 1);

		memcpy(exact, out.data + DV_TTRPC_HDR_LEN, n);
		CHECK_EQ(dv_ttrpc_response_parse(exact, n, &rs, NULL),
			 n == 0 || n == len ? 0 : -EBADMSG);
		free(exact);
	}
	CHECK_EQ(rs.code, -5);
}

TEST(metadata_comes_back)
{
	static const char *const pairs[] = { "key", "value", "k2", "", NULL };
	dv_autobuf out = DV_BUF_INIT(1024);
	struct dv_ttrpc_request rq = { str("s"), str("m"), str(""), 0, 0 };
	struct dv_str key, val;
	const char *p;
	size_t len;

	CHECK_EQ(dv_ttrpc_request_put(&out, 1, &rq, pairs, 1024), 0);
	p = out.data + DV_TTRPC_HDR_LEN;
	len = out.len - DV_TTRPC_HDR_LEN;
	CHECK_EQ(dv_ttrpc_request_metadata(p, len, 1, &key, &val), 0);
	CHECK_EQ(key.len, 2);
	CHECK_EQ(val.len, 0);
	CHECK_EQ(dv_ttrpc_request_metadata(p, len, 0, &key, &val), 0);
	assert_memory_equal(val.ptr, "value", 5);
	CHECK_EQ(dv_ttrpc_request_metadata(p, len, 2, &key, &val), -ENOENT);
}

TEST(too_much_metadata_is_an_error)
{
	dv_autobuf b = DV_BUF_INIT(1024);
	struct dv_ttrpc_request rq;

	for (int i = 0; i < DV_TTRPC_METADATA_MAX; i++)
		dv_buf_put(&b, "\x2a\x00", 2);
	CHECK_EQ(dv_ttrpc_request_parse(b.data, b.len, &rq, NULL), 0);
	dv_buf_put(&b, "\x2a\x00", 2);
	CHECK_EQ(dv_ttrpc_request_parse(b.data, b.len, &rq, NULL), -EBADMSG);
}

TEST(lenient_responses_are_success)
{
	struct dv_ttrpc_response rs;

	CHECK_EQ(dv_ttrpc_response_parse("", 0, &rs, NULL), 0);
	CHECK_EQ(rs.code, 0);
	CHECK_EQ(rs.payload.len, 0);
	CHECK_EQ(dv_ttrpc_response_parse("\x0a\x00", 2, &rs, NULL), 0);
	CHECK_EQ(rs.code, 0);
	/* Both fields, and one that nobody knows. */
	CHECK_EQ(dv_ttrpc_response_parse("\x0a\x00\x12\x01\x78\x18\x01", 7, &rs,
					 NULL),
		 0);
	CHECK_EQ(rs.payload.len, 1);
}

TEST(broken_requests_are_refused)
{
	static const struct {
		const char *bytes;
		size_t len;
	} bad[] = {
		{ "\x08\x01", 2 },         /* service as a number */
		{ "\x22\x01\x00", 3 },     /* timeout as bytes */
		{ "\x0a\x02\xc3\x28", 4 }, /* not UTF-8 */
		{ "\x0a\x03\xed\xa0\x80", 5 },
		{ "\x0b", 1 },     /* a group */
		{ "\x07", 1 },     /* no wire type */
		{ "\x00\x00", 2 }, /* field 0 */
		{ "\x20\xff\xff\xff\xff\xff\xff\xff\xff\xff\x02", 11 },
		{ "\x20\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", 12 },
		{ "\x0a\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", 11 },
		{ "\xff\xff\xff\xff\xff\x0f\x00", 7 }, /* a huge number */
		{ "\x2a\x02\x08\x01", 4 }, /* a key that is a number */
	};
	struct dv_ttrpc_request rq;

	for (size_t i = 0; i < DV_ARRAY_LEN(bad); i++) {
		struct dv_err err = DV_ERR_INIT;

		CHECK_EQ(dv_ttrpc_request_parse(bad[i].bytes, bad[i].len, &rq,
						&err),
			 -EBADMSG);
		CHECK_EQ(err.code, DV_INVALID);
	}
}

TEST(last_of_a_repeated_field_wins_and_unknown_ones_are_skipped)
{
	struct dv_ttrpc_request rq;
	static const char wire[] = "\x0a\x01"
				   "a\x31"
				   "01234567\x35"
				   "0123\x0a\x02"
				   "bc\x38\x05";

	CHECK_EQ(dv_ttrpc_request_parse(wire, sizeof(wire) - 1, &rq, NULL), 0);
	CHECK_EQ(rq.service.len, 2);
	assert_memory_equal(rq.service.ptr, "bc", 2);
}

TEST(request_over_its_limit_is_not_written)
{
	dv_autobuf out = DV_BUF_INIT(1024);
	struct dv_ttrpc_request rq = { str("s"), str("m"), str("12345"), 0, 0 };

	CHECK_EQ(dv_ttrpc_request_put(&out, 1, &rq, NULL, 12), -EMSGSIZE);
	CHECK_EQ(out.len, 0);
	CHECK_EQ(dv_ttrpc_request_put(&out, 1, &rq, NULL, 13), 0);
}
