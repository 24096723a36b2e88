/* SPDX-License-Identifier: MIT */
#include "wire/mesh.h"

#include <errno.h>
#include <string.h>

#include "base/def.h"
#include "base/test.h"

static const struct dv_mesh_id dst = { 0x1716151413121110, 0x1f1e1d1c1b1a1918 };
static const struct dv_mesh_id id = { 0x2726252423222120, 0x2f2e2d2c2b2a2928 };
static const struct dv_mesh_id node = { 0x3736353433323130,
					0x3f3e3d3c3b3a3938 };
static const struct dv_err reason = { 104, DV_UNAVAILABLE, DV_STEP_STREAM,
				      "it broke", "mend it" };

/* clang-format off */
#define DST  "101112131415161718191a1b1c1d1e1f"
#define ID   "202122232425262728292a2b2c2d2e2f"
#define ZERO "00000000000000000000000000000000"
#define PAIR NODE
#define NODE "303132333435363738393a3b3c3d3e3f"
#define ERR  "68000e0f08000700697420" "62726f6b65" "6d656e64206974"
#define RECV "0100000000000000"
#define GRNT "0200000000000000"

/* The vectors of docs/mesh-wire.md. */
static const struct {
	struct dv_mw_event ev;
	bool has_reason;
	const char *hex;
} vectors[] = {
	{ { .kind = DV_MW_CLOSE, .dst = dst, .node = node, .pid = 77 }, false,
	  "2c00000005000000" DST NODE "4d000000" "00000000" },
	{ { .kind = DV_MW_CLOSE, .dst = dst, .has_err = true }, true,
	  "4300000005040000" DST ZERO "00000000" ERR "0000000000" },
	{ { .kind = DV_MW_NEW_PEER, .dst = dst, .id = id, .node = node }, false,
	  "3800000006000000" DST ID NODE },
	{ { .kind = DV_MW_BRIDGE, .dst = dst, .id = id }, false,
	  "2800000007000000" DST ID },
	{ { .kind = DV_MW_END, .dst = dst, .node = node }, false,
	  "2800000008000000" DST NODE },
	{ { .kind = DV_MW_TOTALS, .dst = dst, .id = id, .received = 1,
	    .granted = 2 }, false,
	  "3800000009000000" DST ID RECV GRNT },
	{ { .kind = DV_MW_MOVED, .dst = dst }, false,
	  "180000000a000000" DST },
	{ { .kind = DV_MW_REFUSED, .dst = dst, .has_err = true }, true,
	  "2f0000000b040000" DST ERR "00" },
	{ { .kind = DV_MW_CREDIT, .dst = dst, .id = id, .granted = 2 }, false,
	  "300000000c000000" DST ID GRNT },
	{ { .kind = DV_MW_ACCEPT, .dst = dst, .id = id, .node = node,
	    .received = 1, .granted = 2 }, false,
	  "480000000d000000" DST ID NODE RECV GRNT },
	{ { .kind = DV_MW_CONNECT, .dst = dst, .node = node }, false,
	  "280000000e000000" DST NODE },
	{ { .kind = DV_MW_FAIL, .dst = dst, .id = id, .node = node, .pid = 77,
	    .has_err = true }, true,
	  "530000000f040000" DST ID NODE "4d000000" ERR "0000000000" },
	{ { .kind = DV_MW_LOOP, .dst = dst, .id = id, .received = 1 }, false,
	  "3000000010000000" DST ID RECV },
	{ { .kind = DV_MW_INTRODUCE, .id = id, .node = node, .has_fd = true },
	  false, "2800000011010000" ID NODE },
	{ { .kind = DV_MW_INTRODUCE, .id = id, .node = node, .fd_lost = true },
	  false, "2800000011030000" ID NODE },
	{ { .kind = DV_MW_INTRODUCE, .node = node, .has_err = true }, true,
	  "3f00000011040000" ZERO NODE ERR "00" },
	{ { .kind = DV_MW_LINK_CREDIT, .granted = 2 }, false,
	  "1000000012000000" GRNT },
	{ { .kind = DV_MW_GOODBYE }, false,
	  "0800000013000000" },
	{ { .kind = DV_MW_ERROR, .has_err = true }, true,
	  "1f00000014040000" ERR "00" },
	{ { .kind = DV_MW_ACCEPTED, .dst = dst, .id = id }, false,
	  "2800000015000000" DST ID },
};

static const char hello_hex[] =
	"8900000001080000" "64617669746d7368" "0100" "0100" "00000000" NODE
	"00000001" "00000000" "0000000400000000"
	"404142434445464748494a4b4c4d4e4f"
	"00" ID DST PAIR GRNT RECV "00000000000000";
/* clang-format on */

static uint8_t nibble(char c)
{
	return (uint8_t)(c <= '9' ? c - '0' : c - 'a' + 10);
}

/* A copy of exactly that size, so that a sanitizer sees reads beyond it. */
static uint8_t *from_hex(const char *hex, size_t *np)
{
	size_t n = strlen(hex) / 2;
	uint8_t *p = malloc(n + 1);

	CHECK(p);
	for (size_t i = 0; i < n; i++)
		p[i] = (uint8_t)(nibble(hex[2 * i]) << 4 |
				 nibble(hex[2 * i + 1]));
	*np = n;
	return p;
}

static void check_hex(const struct dv_buf *b, const char *hex)
{
	dv_autofree uint8_t *want = NULL;
	size_t n;

	want = from_hex(hex, &n);
	CHECK_EQ(b->status, 0);
	CHECK_EQ(b->len, n);
	assert_memory_equal(b->data, want, n);
}

static int parse_event(const uint8_t *p, size_t n, struct dv_mw_event *ev,
		       struct dv_err *got, struct dv_err *err)
{
	struct dv_rd rd = dv_rd_mem(p, n);
	struct dv_mw_head head;
	int r = dv_mw_head_parse(&rd, &head, err);

	if (r != 0)
		return r;
	if (n < head.len)
		return DV_MORE;
	return dv_mw_event_parse(&rd, &head, ev, got, err);
}

static void check_event(const struct dv_mw_event *a,
			const struct dv_mw_event *b)
{
	CHECK_EQ(a->kind, b->kind);
	assert_memory_equal(&a->dst, &b->dst, sizeof(a->dst));
	assert_memory_equal(&a->id, &b->id, sizeof(a->id));
	assert_memory_equal(&a->node, &b->node, sizeof(a->node));
	CHECK_EQ(a->received, b->received);
	CHECK_EQ(a->granted, b->granted);
	CHECK_EQ(a->pid, b->pid);
	CHECK_EQ(a->has_fd, b->has_fd);
	CHECK_EQ(a->fd_lost, b->fd_lost);
	CHECK_EQ(a->has_err, b->has_err);
}

static void check_reason(const struct dv_err *got)
{
	CHECK_EQ(got->sys, reason.sys);
	CHECK_EQ(got->code, reason.code);
	CHECK_EQ(got->step, reason.step);
	CHECK_STR(got->msg, reason.msg);
	CHECK_STR(got->hint, reason.hint);
}

TEST(events_of_the_vectors_are_read_and_written_alike)
{
	for (size_t i = 0; i < DV_ARRAY_LEN(vectors); i++) {
		dv_autobuf out = DV_BUF_INIT(4096);
		dv_autofree uint8_t *wire = NULL;
		struct dv_mw_event ev;
		struct dv_err got = DV_ERR_INIT, err = DV_ERR_INIT;
		size_t n;

		wire = from_hex(vectors[i].hex, &n);
		CHECK_EQ(n % 8, 0);
		CHECK_EQ(parse_event(wire, n, &ev, &got, &err), 0);
		check_event(&ev, &vectors[i].ev);
		if (vectors[i].has_reason)
			check_reason(&got);
		CHECK_EQ(
			dv_mw_event_put(&out, &vectors[i].ev,
					vectors[i].has_reason ? &reason : NULL),
			0);
		check_hex(&out, vectors[i].hex);
	}
}

TEST(event_truncated_at_every_byte_asks_for_more_or_is_refused)
{
	for (size_t i = 0; i < DV_ARRAY_LEN(vectors); i++) {
		dv_autofree uint8_t *wire = NULL;
		struct dv_mw_event ev;
		struct dv_err got, err = DV_ERR_INIT;
		size_t n;

		wire = from_hex(vectors[i].hex, &n);
		for (size_t cut = 0; cut < wire[0]; cut++) {
			dv_autofree uint8_t *part = malloc(cut + 1);

			memcpy(part, wire, cut);
			CHECK_EQ(parse_event(part, cut, &ev, &got, &err),
				 DV_MORE);
			/* The same, but the length says that it is all. */
			if (cut < DV_MW_HEAD)
				continue;
			part[0] = (uint8_t)cut;
			CHECK_EQ(parse_event(part, cut, &ev, &got, &err),
				 -EPROTO);
			CHECK_EQ(err.code, DV_INVALID);
		}
	}
}

TEST(event_with_a_number_out_of_range_is_refused)
{
	static const struct {
		const char *hex, *why;
	} bad[] = {
		{ "1800000000000000" DST, "there is no frame of kind 0" },
		{ "1800000016000000" DST, "there is no frame of kind 22" },
		{ "1800000005010000" DST,
		  "frame CLOSE: such flags do not exist" },
		{ "1800000005800000" DST,
		  "frame CLOSE: such flags do not exist" },
		{ "2800000011020000" ID NODE,
		  "frame INTRODUCE: such flags do not exist" },
		{ "1800000005000100" DST, "frame CLOSE: too many attachments" },
		{ "1800000002000100" DST, "" },
		{ "1800000002fb0000" DST,
		  "frame MESSAGE: such flags do not exist" },
		{ "180000000200fb00" DST,
		  "frame MESSAGE: too many attachments" },
		{ "0700000013000000", "frame GOODBYE: it is too short" },
		{ "ffffffff13000000", "frame GOODBYE: it is too long" },
		{ "ffffffff02000000" DST, "frame MESSAGE: it is too long" },
		{ "ffffffff03000000" DST, "frame LONG: it is too long" },
		{ "ffffffff01000000", "frame HELLO: it is too long" },
		{ "180000000a000000" ZERO, "frame MOVED: it is for no port" },
		{ "280000000e000000" DST ZERO,
		  "frame CONNECT: it names no node" },
		{ "530000000f040000" DST ID NODE "4d000080" ERR "0000000000",
		  "frame FAIL: a process id is negative" },
		/* An errno, a code, a step, a length that cannot be. */
		{ "1f00000014040000"
		  "00100e0f08000700697420"
		  "62726f6b656d656e6420697400",
		  "frame ERROR: its error cannot be" },
		{ "1f00000014040000"
		  "6800000f08000700697420"
		  "62726f6b656d656e6420697400",
		  "frame ERROR: its error cannot be" },
		{ "1f00000014040000"
		  "6800110f08000700697420"
		  "62726f6b656d656e6420697400",
		  "frame ERROR: its error cannot be" },
		{ "1f00000014040000"
		  "68000e1008000700697420"
		  "62726f6b656d656e6420697400",
		  "frame ERROR: its error cannot be" },
		{ "1f00000014040000"
		  "68000e0f09000700697420"
		  "62726f6b656d656e6420697400",
		  "frame ERROR: its error cannot be" },
		{ "1f00000014040000"
		  "68000e0f07000700697420"
		  "62726f6b656d656e6420697400",
		  "frame ERROR: its length is wrong" },
	};

	for (size_t i = 0; i < DV_ARRAY_LEN(bad); i++) {
		dv_autofree uint8_t *wire = NULL;
		struct dv_mw_head head;
		struct dv_mw_event ev;
		struct dv_err got, err = DV_ERR_INIT;
		struct dv_rd rd;
		size_t n;
		int r;

		wire = from_hex(bad[i].hex, &n);
		rd = dv_rd_mem(wire, n);
		r = dv_mw_head_parse(&rd, &head, &err);
		if (!bad[i].why[0]) {
			CHECK_EQ(r, 0);
			continue;
		}
		if (r == 0)
			r = dv_mw_event_parse(&rd, &head, &ev, &got, &err);
		CHECK_EQ(r, -EPROTO);
		CHECK_STR(err.msg, bad[i].why);
	}
}

TEST(text_of_an_error_is_made_printable)
{
	dv_autobuf out = DV_BUF_INIT(4096);
	struct dv_mw_event ev = { .kind = DV_MW_ERROR, .has_err = true };
	struct dv_err got, sent = reason;

	dv_err_set(&sent, EIO, DV_INTERNAL, "a\033[2J\nb\x7f \xc3\xa4 c");
	dv_err_hint(&sent, "x\xff");
	CHECK_EQ(dv_mw_event_put(&out, &ev, &sent), 0);
	CHECK_EQ(parse_event((uint8_t *)out.data, out.len, &ev, &got, NULL), 0);
	CHECK_STR(got.msg, "a?[2J?b? \xc3\xa4 c");
	CHECK_STR(got.hint, "x?");
}

TEST(error_that_nobody_could_parse_is_not_written)
{
	dv_autobuf out = DV_BUF_INIT(4096);
	struct dv_mw_event ev = { .kind = DV_MW_ERROR, .has_err = true };
	struct dv_err got, sent = { -5, 9999, 77, "", "" };

	memset(sent.msg, 'm', sizeof(sent.msg));
	memset(sent.hint, 'h', sizeof(sent.hint));
	CHECK_EQ(dv_mw_event_put(&out, &ev, &sent), 0);
	CHECK_EQ(parse_event((uint8_t *)out.data, out.len, &ev, &got, NULL), 0);
	CHECK_EQ(got.sys, 0);
	CHECK_EQ(got.code, DV_UNKNOWN);
	CHECK_EQ(got.step, 0);
	CHECK_EQ(strlen(got.msg), DV_MW_MSG_MAX);
	CHECK_EQ(strlen(got.hint), DV_MW_HINT_MAX);
}

/* ---- hello ---- */

static struct dv_mw_hello some_hello(void)
{
	struct dv_mw_hello h = {
		.version_min = 1,
		.version_max = 1,
		.node = node,
		.max_message = 16 << 20,
		.window = 64 << 20,
		.has_port = true,
		.port = { id, dst, node, 2, 1, false, false, false },
	};

	for (uint8_t i = 0; i < DV_MW_TOKEN; i++)
		h.token[i] = (uint8_t)(0x40 + i);
	return h;
}

static int parse_hello(const void *p, size_t n, struct dv_mw_hello *h,
		       struct dv_err *err)
{
	struct dv_rd rd = dv_rd_mem(p, n);
	struct dv_mw_head head;
	struct dv_err got;
	int r = dv_mw_head_parse(&rd, &head, err);

	if (r != 0)
		return r;
	if (n < head.len)
		return DV_MORE;
	return dv_mw_hello_parse(&rd, &head, h, &got, err);
}

TEST(hello_of_the_vector_is_read_and_written_alike)
{
	dv_autobuf out = DV_BUF_INIT(4096);
	struct dv_mw_hello h = some_hello(), got;

	CHECK_EQ(dv_mw_hello_put(&out, &h, NULL), 0);
	check_hex(&out, hello_hex);
	CHECK_EQ(parse_hello(out.data, out.len, &got, NULL), 0);
	CHECK_EQ(got.version_max, 1);
	assert_memory_equal(&got.node, &node, sizeof(node));
	CHECK_EQ(got.max_message, h.max_message);
	CHECK_EQ(got.window, h.window);
	assert_memory_equal(got.token, h.token, sizeof(h.token));
	CHECK(got.has_port);
	assert_memory_equal(&got.port.id, &id, sizeof(id));
	CHECK_EQ(got.port.granted, 2);
	CHECK_EQ(dv_mw_version(&got, NULL), 1);
}

TEST(hello_truncated_at_every_byte_asks_for_more_or_is_refused)
{
	dv_autobuf out = DV_BUF_INIT(4096);
	struct dv_mw_hello h = some_hello();
	size_t len;

	h.port.has_err = true;
	CHECK_EQ(dv_mw_hello_put(&out, &h, &reason), 0);
	len = (uint8_t)out.data[0];
	for (size_t cut = 0; cut < len; cut++) {
		dv_autofree uint8_t *part = malloc(cut + 1);

		memcpy(part, out.data, cut);
		CHECK_EQ(parse_hello(part, cut, &h, NULL), DV_MORE);
		if (cut < DV_MW_HEAD)
			continue;
		part[0] = (uint8_t)cut;
		CHECK_EQ(parse_hello(part, cut, &h, NULL), -EPROTO);
	}
}

TEST(hello_of_a_later_version_may_be_longer)
{
	dv_autobuf out = DV_BUF_INIT(4096);
	struct dv_mw_hello h = some_hello(), got;

	h.version_max = 7;
	h.features = 0xffffffff;
	h.has_port = false;
	CHECK_EQ(dv_mw_hello_put(&out, &h, NULL), 0);
	dv_buf_put(&out, "something", 8);
	out.data[0] = (char)(out.data[0] + 8);
	CHECK_EQ(parse_hello(out.data, out.len, &got, NULL), 0);
	CHECK_EQ(dv_mw_version(&got, NULL), 1);
}

TEST(hello_that_cannot_be_is_refused)
{
	struct dv_err err = DV_ERR_INIT;
	struct dv_mw_hello got;

	for (int i = 0; i < 6; i++) {
		dv_autobuf out = DV_BUF_INIT(4096);
		struct dv_mw_hello h = some_hello();

		h.version_min = i == 0 ? 0 : i == 1 ? 2 : 1;
		if (i == 2)
			h.node = (struct dv_mesh_id){ 0, 0 };
		if (i == 3)
			h.max_message = 0;
		if (i == 4)
			h.window = DV_MW_WINDOW_MIN - 1;
		CHECK_EQ(dv_mw_hello_put(&out, &h, NULL), 0);
		if (i == 5)
			out.data[DV_MW_HEAD] = 'x';
		CHECK_EQ(parse_hello(out.data, out.len, &got, &err), -EPROTO);
	}
	CHECK_STR(err.msg, "the other side is no mesh node");
}

TEST(version_that_is_not_common_is_named)
{
	struct dv_mw_hello h = { .version_min = 2, .version_max = 3 };
	struct dv_err err = DV_ERR_INIT;

	CHECK_EQ(dv_mw_version(&h, &err), -EPROTO);
	CHECK_STR(err.msg, "the other side speaks version 2 to 3 of the mesh's "
			   "protocol, this one 1 to 1");
}

/* ---- messages ---- */

static int parse_message(const void *p, size_t n, struct dv_mw_head *head,
			 struct dv_mw_message *msg, struct dv_err *err)
{
	struct dv_rd rd = dv_rd_mem(p, n);
	int r = dv_mw_head_parse(&rd, head, err);

	return r ? r : dv_mw_message_parse(&rd, head, msg, err);
}

TEST(plain_message_has_24_bytes_before_its_payload)
{
	uint8_t wire[DV_MW_PLAIN];
	dv_autobuf out = DV_BUF_INIT(64);
	struct dv_mw_head head;
	struct dv_mw_message msg;

	dv_mw_plain_put(wire, DV_MW_MESSAGE, dst, 5);
	dv_buf_put(&out, wire, sizeof(wire));
	check_hex(&out, "1d00000002000000" DST);
	CHECK_EQ(parse_message(wire, sizeof(wire), &head, &msg, NULL), 0);
	assert_memory_equal(&msg.dst, &dst, sizeof(dst));
	CHECK_EQ(msg.at, DV_MW_PLAIN);
	CHECK_EQ(msg.total, 5);
	CHECK_EQ(msg.n_fds, 0);
	CHECK_EQ(dv_mw_size(head.len), 32);
	for (size_t cut = 0; cut < sizeof(wire); cut++)
		CHECK_EQ(parse_message(wire, cut, &head, &msg, NULL), DV_MORE);
}

TEST(plain_message_is_taken_in_one_if_it_is_whole)
{
	uint8_t wire[DV_MW_PLAIN + 8] = { 0 };
	struct dv_mesh_id got;
	const uint8_t *data;
	uint32_t len;
	struct dv_rd rd;

	dv_mw_plain_put(wire, DV_MW_MESSAGE, dst, 5);
	for (size_t cut = 0; cut < sizeof(wire); cut++) {
		rd = dv_rd_mem(wire, cut);
		CHECK(!dv_mw_plain_take(&rd, &got, &data, &len));
		CHECK_EQ(rd.left, cut);
	}
	rd = dv_rd_mem(wire, sizeof(wire));
	CHECK(dv_mw_plain_take(&rd, &got, &data, &len));
	CHECK_EQ(rd.left, 0);
	CHECK_EQ(len, 5);
	CHECK(data == wire + DV_MW_PLAIN);
	assert_memory_equal(&got, &dst, sizeof(dst));
	/* Flags, attachments, a length, a port that cannot be. */
	for (size_t i = 0; i < 4; i++) {
		dv_mw_plain_put(wire, DV_MW_MESSAGE, dst, 5);
		if (i < 2)
			wire[5 + i] = 1;
		else if (i == 2)
			wire[0] = DV_MW_PLAIN - 1;
		else
			memset(wire + DV_MW_HEAD, 0, 16);
		rd = dv_rd_mem(wire, sizeof(wire));
		CHECK(!dv_mw_plain_take(&rd, &got, &data, &len));
	}
}

/* One of each kind. */
static void put_atts(struct dv_buf *out, enum dv_mw_kind kind, uint32_t len)
{
	static const struct dv_mw_att atts[] = {
		{ .kind = DV_ATT_FD },
		{ .kind = DV_ATT_PORT,
		  .port = { id, dst, node, 2, 1, false, false, false } },
		{ .kind = DV_ATT_NONE },
		{ .kind = DV_ATT_LOST },
		{ .kind = DV_ATT_PORT,
		  .port = { id, dst, node, 2, 1, true, true, true } },
		{ .kind = DV_ATT_FD },
	};
	size_t start = dv_mw_begin(out, kind, dst);

	for (size_t i = 0; i < DV_ARRAY_LEN(atts); i++)
		dv_mw_att_put(out, &atts[i],
			      atts[i].port.has_err ? &reason : NULL);
	CHECK_EQ(dv_mw_end(out, start, DV_ARRAY_LEN(atts), 2, len), 0);
}

/* clang-format off */
#define ATTS "9f000000" "01" "02" "00" ID DST PAIR GRNT RECV "00" "03" \
	"02" "07" ID DST PAIR GRNT RECV ERR "01"
/* clang-format on */

TEST(attachments_of_the_vectors_are_read_and_written_alike)
{
	dv_autobuf out = DV_BUF_INIT(4096), longer = DV_BUF_INIT(4096);
	struct dv_mw_head head;
	struct dv_mw_message msg;
	struct dv_mw_att att;
	struct dv_err got;

	put_atts(&out, DV_MW_MESSAGE, 3);
	dv_buf_put(&out, "abc\0\0", 5);
	check_hex(&out, "be00000002010600" DST ATTS "6162630000");
	put_atts(&longer, DV_MW_LONG, 0x01000000);
	check_hex(&longer, "bf00000003010600" DST "00000001" ATTS "00");

	CHECK_EQ(parse_message(out.data, out.len, &head, &msg, NULL), 0);
	CHECK_EQ(msg.n_fds, 2);
	CHECK_EQ(msg.total, 3);
	assert_memory_equal(out.data + msg.at, "abc", 3);
	CHECK_EQ(dv_mw_att_next(&msg.atts, &att, &got), 0);
	CHECK_EQ(att.kind, DV_ATT_FD);
	CHECK_EQ(dv_mw_att_next(&msg.atts, &att, &got), 0);
	CHECK_EQ(att.kind, DV_ATT_PORT);
	CHECK(!att.port.closed && !att.port.has_err);
	assert_memory_equal(&att.port.from, &dst, sizeof(dst));
	CHECK_EQ(dv_mw_att_next(&msg.atts, &att, &got), 0);
	CHECK_EQ(att.kind, DV_ATT_NONE);
	CHECK_EQ(dv_mw_att_next(&msg.atts, &att, &got), 0);
	CHECK_EQ(att.kind, DV_ATT_LOST);
	CHECK_EQ(dv_mw_att_next(&msg.atts, &att, &got), 0);
	CHECK(att.port.closed && att.port.direct && att.port.has_err);
	check_reason(&got);
	CHECK_EQ(parse_message(longer.data, longer.len, &head, &msg, NULL), 0);
	CHECK_EQ(msg.total, 0x01000000);
	CHECK_EQ(msg.at, head.len);
	dv_mw_mark_lost((uint8_t *)longer.data);
	CHECK_EQ(parse_message(longer.data, longer.len, &head, &msg, NULL), 0);
	CHECK_EQ(head.flags, DV_MW_FDS | DV_MW_LOST);
}

TEST(attachments_truncated_at_every_byte_ask_for_more)
{
	static const enum dv_mw_kind both[] = { DV_MW_MESSAGE, DV_MW_LONG };

	for (size_t k = 0; k < 2; k++) {
		dv_autobuf out = DV_BUF_INIT(4096);
		struct dv_mw_head head;
		struct dv_mw_message msg;

		put_atts(&out, both[k], k ? 1 << 20 : 0);
		for (size_t cut = 0; cut < (uint8_t)out.data[0]; cut++) {
			dv_autofree uint8_t *part = malloc(cut + 1);

			memcpy(part, out.data, cut);
			CHECK_EQ(parse_message(part, cut, &head, &msg, NULL),
				 DV_MORE);
			/* A length that is too short: never a read beyond. */
			if (cut < DV_MW_DST)
				continue;
			part[0] = (uint8_t)cut;
			CHECK(parse_message(part, cut, &head, &msg, NULL) != 0);
		}
	}
}

static void check_refused(const char *hex, const char *why)
{
	dv_autofree uint8_t *wire = NULL;
	struct dv_mw_head head;
	struct dv_mw_message msg;
	struct dv_err err = DV_ERR_INIT;
	size_t n;

	wire = from_hex(hex, &n);
	CHECK_EQ(parse_message(wire, n, &head, &msg, &err), -EPROTO);
	CHECK_STR(err.msg, why);
}

TEST(message_that_cannot_be_is_refused)
{
	check_refused("1800000002000000"
		      "00000000000000000000000000000000",
		      "frame MESSAGE: it is for no port");
	check_refused("1800000002010000" DST,
		      "frame MESSAGE: it announces other descriptors than it "
		      "has");
	check_refused("1d00000002010100" DST "0100000000",
		      "frame MESSAGE: it announces other descriptors than it "
		      "has");
	check_refused("1d00000002000100" DST "0100000001",
		      "frame MESSAGE: it announces other descriptors than it "
		      "has");
	check_refused("1d00000002000100" DST "0100000004",
		      "frame MESSAGE: an attachment cannot be");
	check_refused("1e00000002000100" DST "020000000000",
		      "frame MESSAGE: bytes follow its attachments");
	check_refused("1d00000002000100" DST "0200000000",
		      "frame MESSAGE: its attachments are too long");
	check_refused("1d00000002000100" DST "ffffffff00",
		      "frame MESSAGE: its attachments are too long");
	check_refused("1800000004000000" DST, "frame PIECE: it is empty");
	check_refused("1900010002000000" DST, "frame MESSAGE: it is too long");
	check_refused("2000000003000000" DST "0040000000000000",
		      "frame LONG: its message is not that long");
	check_refused("2000000003000000" DST "0100000400000000",
		      "frame LONG: its message is not that long");
	check_refused("2100000003000000" DST "004000010000000000",
		      "frame LONG: its length is wrong");
	check_refused("1c00000003000000" DST "00400001",
		      "frame LONG: it is too short");
}
