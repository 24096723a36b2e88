/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <math.h>
#include <pb_decode.h>
#include <pb_encode.h>
#include <string.h>

#include "base/test.h"

#include "base/def.h"
#include "inspect/node.h"
#include "wire/inspect.pb.h"

static size_t unhex(const char *hex, uint8_t *out, size_t size)
{
	size_t n = 0;

	for (; hex[0] && hex[1]; hex += 2) {
		char pair[3] = { hex[0], hex[1], '\0' };

		CHECK(n < size);
		out[n++] = (uint8_t)strtoul(pair, NULL, 16);
	}
	return n;
}

static void add(struct dv_node *dir, const char *name,
		enum dv_sensitivity level, struct dv_node *node)
{
	CHECK_EQ(dv_node_add(dir, name, level, node), 0);
}

/* @node (consumed) is what the response @hex holds, in both directions. */
static void check_response(struct dv_node *node, const char *hex)
{
	dv_autonode struct dv_node *want = node, *got = NULL;
	dv_autofree uint8_t *data = NULL;
	uint8_t wire[512];
	size_t n = unhex(hex, wire, sizeof(wire)), len;

	CHECK_EQ(dv_node_encoded_size(want), n);
	CHECK_EQ(dv_node_encode_response(want, &data, &len), 0);
	CHECK_EQ(len, n);
	assert_memory_equal(data, wire, n);
	CHECK_EQ(dv_node_decode_response(wire, n, &got, NULL), 0);
	CHECK(dv_node_equal(want, got));
}

static struct dv_node *two_entries(void)
{
	struct dv_node *dir = dv_node_dir();

	add(dir, "a", DV_SENS_UNSPECIFIED, dv_node_unsigned(5, 0));
	add(dir, "b", DV_SENS_SAFE, dv_node_string("hi", 2));
	return dir;
}

TEST(requests_are_encoded_as_the_vectors)
{
	static char path[] = "vm/x", filter[] = "trace/filter", v[] = "info";
	dv_inspect_InspectRequest rq = { path, UINT32_MAX };
	dv_inspect_UpdateRequest up = { filter, v };
	uint8_t out[64], want[64];
	pb_ostream_t s = pb_ostream_from_buffer(out, sizeof(out));
	size_t n = unhex("0a04766d2f7810ffffffff0f", want, sizeof(want));

	CHECK(pb_encode(&s, dv_inspect_InspectRequest_fields, &rq));
	CHECK_EQ(s.bytes_written, n);
	assert_memory_equal(out, want, n);
	s = pb_ostream_from_buffer(out, sizeof(out));
	n = unhex("0a0c74726163652f66696c7465721204696e666f", want,
		  sizeof(want));
	CHECK(pb_encode(&s, dv_inspect_UpdateRequest_fields, &up));
	CHECK_EQ(s.bytes_written, n);
	assert_memory_equal(out, want, n);
}

TEST(directory_with_two_values_is_as_the_vector)
{
	check_response(two_entries(),
		       "0a2e222c0a130a0161120a1a080a060a04120208051a0212000a150"
		       "a0162120c1a0a0a080a0632040a0268691a020a00");
}

TEST(six_kinds_of_entries_are_as_the_vector)
{
	struct dv_node *dir = dv_node_dir();

	add(dir, "count", DV_SENS_SAFE, dv_node_unsigned(300, DV_NODE_COUNT));
	add(dir, "flags", DV_SENS_UNSPECIFIED,
	    dv_node_unsigned(0x1234, DV_NODE_HEX));
	add(dir, "neg", DV_SENS_SENSITIVE, dv_node_signed(-1, 0));
	add(dir, "off", DV_SENS_UNSPECIFIED, dv_node_boolean(false));
	add(dir, "slow", DV_SENS_UNSPECIFIED,
	    dv_node_failed(DV_NODE_UNRESOLVED, NULL));
	add(dir, "sub", DV_SENS_UNSPECIFIED, dv_node_unevaluated());
	check_response(
		dir,
		"0a8e01228b010a1c0a05636f756e74120f1a0d0a0b0a05120308ac02120208"
		"021a020a000a1c0a05666c616773120f1a0d0a0b0a05120308b42412020801"
		"1a0212000a150a036e6567120a1a080a060a040a0208011a021a000a130a03"
		"6f666612081a060a040a022a001a0212000a120a04736c6f77120612040a02"
		"0a001a0212000a0d0a0373756212020a001a021200");
}

TEST(not_found_is_as_the_vector)
{
	check_response(dv_node_failed(DV_NODE_NOT_FOUND, NULL),
		       "0a0612040a023200");
}

TEST(update_response_is_as_the_vector_and_may_carry_the_old_value)
{
	dv_autonode struct dv_node *now = dv_node_string("info", 4);
	dv_autonode struct dv_node *old = dv_node_string("warn", 4);
	dv_autonode struct dv_node *got = NULL, *was = NULL;
	dv_autonode struct dv_node *dir = dv_node_dir();
	dv_autofree uint8_t *data = NULL, *both = NULL;
	uint8_t want[32];
	size_t len, n = unhex("0a0a0a0832060a04696e666f", want, sizeof(want));

	CHECK_EQ(dv_node_encode_update(now, NULL, &data, &len), 0);
	CHECK_EQ(len, n);
	assert_memory_equal(data, want, n);
	CHECK_EQ(dv_node_decode_update(data, len, &got, &was, NULL), 0);
	CHECK(dv_node_equal(now, got));
	CHECK(!was);
	got = dv_node_free(got);

	CHECK_EQ(dv_node_encode_update(now, old, &both, &len), 0);
	assert_memory_equal(both, want, n); /* the same for other clients */
	CHECK_EQ(dv_node_decode_update(both, len, &got, &was, NULL), 0);
	CHECK(dv_node_equal(now, got));
	CHECK(dv_node_equal(old, was));
	CHECK_EQ(dv_node_encode_update(now, dir, &data, &len), -EINVAL);
	CHECK_EQ(dv_node_encode_update(dir, NULL, &data, &len), -EINVAL);
}

TEST(zeros_in_wrappers_are_left_out_but_minus_zero_is_not)
{
	check_response(dv_node_unsigned(0, 0), "0a081a060a040a021200");
	check_response(dv_node_signed(0, 0), "0a081a060a040a020a00");
	check_response(dv_node_double(0.0, 0), "0a081a060a040a022200");
	check_response(dv_node_double(-0.0, 0),
		       "0a111a0f0a0d0a0b22090900000000000000"
		       "80");
	check_response(dv_node_float(1.5F), "0a0d1a0b0a090a071a050d0000c03f");
	check_response(dv_node_string("", 0), "0a081a060a040a023200");
	check_response(dv_node_bytes("", 0), "0a081a060a040a023a00");
	check_response(dv_node_dir(), "0a022200");
	check_response(dv_node_unevaluated(), "0a020a00");
	check_response(dv_node_signed(INT64_MIN, 0),
		       "0a131a110a0f0a0d0a0b08ffffffffffffffffff01");
	check_response(dv_node_failed(DV_NODE_UPDATE, ""), "0a0612040a022200");
	check_response(dv_node_failed(DV_NODE_CHANNEL, "x"),
		       "0a0912070a0512030a0178");
}

/* Everything that a tree can hold. */
static struct dv_node *all_kinds(void)
{
	struct dv_node *dir = dv_node_dir(), *sub = two_entries();

	add(sub, "", DV_SENS_SAFE, dv_node_dir());
	add(dir, "sub", DV_SENS_UNSPECIFIED, sub);
	add(dir, "bytes", DV_SENS_SAFE, dv_node_bytes("\0\1\377", 3));
	add(dir, "float", DV_SENS_SAFE, dv_node_float(-2.5F));
	add(dir, "double", DV_SENS_SAFE,
	    dv_node_double(HUGE_VAL, DV_NODE_COUNT));
	add(dir, "yes", DV_SENS_SAFE, dv_node_boolean(true));
	add(dir, "signed", DV_SENS_SENSITIVE,
	    dv_node_signed(INT64_MAX, DV_NODE_BINARY));
	add(dir, "bad", DV_SENS_SAFE, dv_node_failed(DV_NODE_CHANNEL, "gone"));
	add(dir, "later", DV_SENS_SAFE, dv_node_unevaluated());
	return dir;
}

TEST(tree_cut_at_every_byte_is_refused_or_shorter)
{
	dv_autonode struct dv_node *node = all_kinds();
	dv_autofree uint8_t *data = NULL;
	struct dv_err err;
	size_t len;

	CHECK_EQ(dv_node_encode_response(node, &data, &len), 0);
	for (size_t n = 0; n < len; n++) {
		dv_autofree uint8_t *part = malloc(n + 1);
		dv_autonode struct dv_node *got = NULL;

		memcpy(part, data, n);
		err = (struct dv_err)DV_ERR_INIT;
		CHECK_EQ(dv_node_decode_response(part, n, &got, &err),
			 -EBADMSG);
		CHECK(err.msg[0]);
		CHECK(!got);
	}
}

TEST(every_changed_byte_decodes_or_is_refused)
{
	dv_autonode struct dv_node *node = all_kinds();
	dv_autofree uint8_t *data = NULL;
	size_t len;

	CHECK_EQ(dv_node_encode(node, &data, &len), 0);
	for (size_t i = 0; i < len; i++) {
		for (unsigned int bit = 0; bit < 8; bit++) {
			dv_autonode struct dv_node *got = NULL;

			data[i] ^= (uint8_t)(1U << bit);
			(void)dv_node_decode(data, len, &got, NULL);
			data[i] ^= (uint8_t)(1U << bit);
		}
	}
}

static void check_refused(const char *hex, const char *why)
{
	dv_autonode struct dv_node *got = NULL;
	struct dv_err err = DV_ERR_INIT;
	uint8_t wire[64];
	size_t n = unhex(hex, wire, sizeof(wire));

	CHECK_EQ(dv_node_decode(wire, n, &got, &err), -EBADMSG);
	if (!strstr(err.msg, why))
		CHECK_STR(err.msg, why);
}

TEST(incomplete_or_odd_messages_are_refused_by_name)
{
	check_refused("", "node of no known kind");
	check_refused("2a00", "node of no known kind"); /* variant 5 */
	check_refused("1200", "empty node");
	check_refused("1a00", "empty node");
	check_refused("12020a00", "error without kind");
	check_refused("1a020a00", "value without kind");
	check_refused("1a040a020a00", "value without kind");
	check_refused("22020a00", "incomplete entry");
	/* an entry without sensitivity, and one without node */
	check_refused("22060a0412020a00", "incomplete entry");
	check_refused("22060a041a020a00", "incomplete entry");
	check_refused("0801", "wrong wire type");
	check_refused("0b", "unknown wire type");
	check_refused("0e00", "unknown wire type");
	check_refused("0200", "bad field number");
	check_refused("0affffffffffffffffff01", "cut short");
	check_refused("0affffffffffffffffff02", "cut short");
	check_refused("ffffffffffffffffffff01", "cut short");
}

TEST(unknown_fields_are_skipped_and_repeated_directories_add_up)
{
	dv_autonode struct dv_node *got = NULL, *want = dv_node_dir();
	uint8_t wire[64];
	/* field 9 of three wire types, then two directories of one entry */
	size_t n = unhex("48054d000000004a0178"
			 "220d0a0b0a016112020a001a021200"
			 "220d0a0b0a016212020a001a021200",
			 wire, sizeof(wire));

	add(want, "a", DV_SENS_UNSPECIFIED, dv_node_unevaluated());
	add(want, "b", DV_SENS_UNSPECIFIED, dv_node_unevaluated());
	CHECK_EQ(dv_node_decode(wire, n, &got, NULL), 0);
	CHECK(dv_node_equal(got, want));
}

TEST(text_that_is_not_utf8_is_mended)
{
	dv_autonode struct dv_node *got = NULL;
	uint8_t wire[64];
	size_t n = unhex("1a090a070a0532030a01ff", wire, sizeof(wire));

	CHECK_EQ(dv_node_decode(wire, n, &got, NULL), 0);
	CHECK_STR(dv_node_get_data(got, NULL), "\xef\xbf\xbd");
}

/* A response with @levels directories inside each other; owned. */
static uint8_t *nested(size_t levels, size_t *lenp)
{
	static const uint8_t safe[] = { 0x1a, 2, 0x0a, 0 };
	static const uint8_t tags[] = { 0x12, 0x0a, 0x22 };
	size_t room = levels * 32 + 16, n = 2;
	uint8_t *start = malloc(room), *p = start + room;

	/* Each entry is { node, safe }: all that comes last is the same. */
	for (size_t i = 1; i < levels; i++) {
		p -= sizeof(safe);
		memcpy(p, safe, sizeof(safe));
	}
	*--p = 0;
	*--p = 0x22;
	for (size_t i = 1; i < levels; i++) {
		for (size_t t = 0; t < 3; t++) {
			size_t head = 0;
			uint8_t varint[5];

			for (size_t len = n; head == 0 || len > 0; len >>= 7)
				varint[head++] =
					(uint8_t)((len & 0x7f) |
						  (len >= 0x80 ? 0x80 : 0));
			p -= head;
			memcpy(p, varint, head);
			*--p = tags[t];
			n += head + 1 + (t == 0 ? sizeof(safe) : 0);
		}
	}
	memmove(start, p, n);
	*lenp = n;
	return start;
}

TEST(deep_trees_are_decoded_to_the_limit_and_refused_above)
{
	static const size_t levels[] = { 1, 2, DV_NODE_DEPTH_MAX,
					 DV_NODE_DEPTH_MAX + 1, 20000 };

	for (size_t i = 0; i < DV_ARRAY_LEN(levels); i++) {
		dv_autonode struct dv_node *got = NULL;
		dv_autofree uint8_t *data = NULL, *again = NULL;
		size_t len, n;
		int r;

		data = nested(levels[i], &len);
		r = dv_node_decode(data, len, &got, NULL);
		if (levels[i] > DV_NODE_DEPTH_MAX) {
			CHECK_EQ(r, -EMSGSIZE);
			continue;
		}
		CHECK_EQ(r, 0);
		CHECK_EQ(dv_node_encode(got, &again, &n), 0);
		CHECK_EQ(n, len);
		assert_memory_equal(again, data, n);
	}
}

TEST(more_entries_than_the_limit_are_refused)
{
	static const uint8_t entry[] = { 0x0a, 8,    0x12, 2,    0x0a,
					 0,    0x1a, 2,    0x0a, 0 };
	size_t n = DV_NODE_MAX + 1, len = n * sizeof(entry);
	dv_autonode struct dv_node *got = NULL;
	dv_autofree uint8_t *data = malloc(len + 8);
	uint8_t head[8] = { 0x22 };
	size_t at = 1;

	for (size_t left = len; left > 0; left >>= 7)
		head[at++] = (uint8_t)(left | (left >= 0x80 ? 0x80 : 0));
	memcpy(data, head, at);
	for (size_t i = 0; i < n; i++)
		memcpy(data + at + i * sizeof(entry), entry, sizeof(entry));
	CHECK_EQ(dv_node_decode(data, at + len, &got, NULL), -EMSGSIZE);
}

TEST(bytes_and_directories_above_64_ki_survive)
{
	enum { BYTES = 300000, ENTRIES = 70000 };
	dv_autonode struct dv_node *dir = dv_node_dir(), *got = NULL;
	dv_autofree char *big = malloc(BYTES);
	dv_autofree uint8_t *data = NULL;
	size_t len;

	for (size_t i = 0; i < BYTES; i++)
		big[i] = (char)(i * 7);
	add(dir, "big", DV_SENS_SAFE, dv_node_bytes(big, BYTES));
	for (size_t i = 0; i < ENTRIES; i++) {
		char name[16];

		snprintf(name, sizeof(name), "%zu", i);
		add(dir, name, DV_SENS_SAFE, dv_node_unsigned(i, 0));
	}
	CHECK_EQ(dv_node_encode_response(dir, &data, &len), 0);
	CHECK_EQ(dv_node_decode_response(data, len, &got, NULL), 0);
	CHECK(dv_node_equal(dir, got));
}

TEST(prune_cuts_the_deepest_levels_until_it_fits)
{
	dv_autonode struct dv_node *dir = dv_node_dir();
	struct dv_node *at = dir;
	dv_autofree uint8_t *data = NULL;
	size_t size, len;

	for (int i = 0; i < 10; i++) {
		struct dv_node *sub = dv_node_dir();

		add(at, "value", DV_SENS_SAFE, dv_node_unsigned(1, 0));
		add(at, "sub", DV_SENS_SAFE, sub);
		at = sub;
	}
	size = dv_node_encoded_size(dir);
	CHECK_EQ(dv_node_prune(dir, size), 0);
	CHECK_EQ(dv_node_prune(dir, 8), -EMSGSIZE);
	CHECK_EQ(dv_node_encoded_size(dir), size);
	CHECK_EQ(dv_node_prune(dir, size / 2), 1);
	CHECK(dv_node_encoded_size(dir) <= size / 2);
	CHECK_EQ(dv_node_encode_response(dir, &data, &len), 0);
	CHECK(len <= size / 2);
	CHECK(dv_node_find(dir, "sub/sub/value"));
	CHECK(!dv_node_find(dir, "sub/sub/sub/sub/sub/sub/sub/value"));
}
