/* SPDX-License-Identifier: MIT */
#include "mesh/host_wire.h"

#include <errno.h>
#include <string.h>

#include "base/def.h"
#include "base/test.h"

static struct dv_host_msg sample(void)
{
	struct dv_host_msg m = {
		.kind = DV_HM_LOG,
		.id = 7,
		.flags = 0x80000001,
		.number = -3,
		.time = UINT64_C(0x1122334455667788),
		.count = UINT64_MAX,
		.text = dv_host_str("web", 3),
		.data = dv_host_str("some\0data", 9),
		.extra = dv_host_str("", 0),
	};

	dv_err_set(&m.err, EPERM, DV_DENIED, "no %s", "way");
	dv_err_hint(&m.err, "ask nicely");
	return m;
}

TEST(host_msg_written_and_parsed_is_the_same)
{
	struct dv_host_msg m = sample(), back;
	struct dv_msg *msg = dv_host_msg_new(&m);

	CHECK(msg != NULL);
	CHECK_EQ(dv_host_msg_parse(dv_msg_data(msg), dv_msg_len(msg), &back),
		 0);
	CHECK_EQ(back.kind, DV_HM_LOG);
	CHECK_EQ(back.follows, false);
	CHECK_EQ(back.id, 7);
	CHECK(back.flags == 0x80000001);
	CHECK_EQ(back.number, -3);
	CHECK(back.time == m.time && back.count == m.count);
	CHECK_EQ(back.text.len, 3);
	CHECK_EQ(memcmp(back.data.ptr, "some\0data", 9), 0);
	CHECK_EQ(back.extra.len, 0);
	CHECK_EQ(back.err.sys, EPERM);
	CHECK_EQ(back.err.code, DV_DENIED);
	CHECK_STR(back.err.msg, "no way");
	CHECK_STR(back.err.hint, "ask nicely");
	dv_msg_free(msg);
}

TEST(host_msg_truncated_at_every_byte_is_refused)
{
	struct dv_host_msg m = sample(), back;
	struct dv_msg *msg = dv_host_msg_new(&m);
	uint8_t *copy;

	for (size_t n = 0; n < dv_msg_len(msg); n++) {
		/* Its own memory: a read past the end is seen. */
		copy = malloc(n ? n : 1);
		CHECK(copy != NULL);
		memcpy(copy, dv_msg_data(msg), n);
		CHECK_EQ(dv_host_msg_parse(copy, n, &back), -EBADMSG);
		free(copy);
	}
	dv_msg_free(msg);
}

TEST(host_msg_that_is_odd_is_refused)
{
	/* Where a byte makes it odd, and which. */
	static const struct {
		size_t at;
		uint8_t is;
	} odd[] = {
		{ 0, 0 },           /* no kind */
		{ 0, DV_HM_N },     /* unknown */
		{ 1, 2 },           /* no boolean */
		{ 30 + 3, 0x7f },   /* length of the text */
		{ 33 + 4 + 3, 80 }, /* length of the data */
	};
	struct dv_host_msg m = sample(), back;

	for (size_t i = 0; i < DV_ARRAY_LEN(odd); i++) {
		struct dv_msg *msg = dv_host_msg_new(&m);
		uint8_t *data = dv_msg_data(msg);

		data[odd[i].at] = odd[i].is;
		CHECK_EQ(dv_host_msg_parse(data, dv_msg_len(msg), &back),
			 -EBADMSG);
		dv_msg_free(msg);
	}
}

TEST(host_msg_longer_than_its_limits_is_not_made)
{
	struct dv_host_msg m = sample();

	m.text.len = DV_HM_TEXT_MAX + 1;
	CHECK(dv_host_msg_new(&m) == NULL);
	m = sample();
	m.data.len = (size_t)DV_HM_DATA_MAX + 1;
	CHECK(dv_host_msg_new(&m) == NULL);
	m = sample();
	m.extra.len = DV_HM_EXTRA_MAX + 1;
	CHECK(dv_host_msg_new(&m) == NULL);
}

/* As the other side would get it. */
static struct dv_msg *framed(const char *content, bool follows)
{
	struct dv_host_msg m = sample();
	size_t len = strlen(content), tail_len;
	struct dv_msg *tail, *msg;
	uint8_t *p;

	m.follows = follows;
	tail = dv_host_msg_new(&m);
	tail_len = dv_msg_len(tail);
	msg = dv_msg_new(len + tail_len + 4);
	p = dv_msg_data(msg);
	memcpy(p, content, len);
	memcpy(p + len, dv_msg_data(tail), tail_len);
	dv_put_le32(p + len + tail_len, (uint32_t)tail_len);
	dv_msg_free(tail);
	return msg;
}

TEST(host_frame_opened_is_the_content)
{
	struct dv_msg *msg = framed("hello", true);
	struct dv_host_msg m;

	CHECK_EQ(dv_host_frame_open(msg, &m), 0);
	CHECK_EQ(m.id, 7);
	CHECK_EQ(dv_msg_len(msg), 5);
	CHECK_EQ(memcmp(dv_msg_data(msg), "hello", 5), 0);
	dv_msg_free(msg);
}

TEST(host_frame_with_content_that_it_denies_is_refused)
{
	struct dv_msg *msg = framed("hello", false);
	struct dv_host_msg m;

	CHECK_EQ(dv_host_frame_open(msg, &m), -EBADMSG);
	dv_msg_free(msg);
}

TEST(host_frame_shortened_by_every_byte_is_refused)
{
	struct dv_host_msg m;

	for (size_t n = 0;; n++) {
		struct dv_msg *msg = framed("hello", true);
		size_t len = dv_msg_len(msg);

		if (n < len) {
			dv_msg_trim(msg, n);
			CHECK_EQ(dv_host_frame_open(msg, &m), -EBADMSG);
		}
		dv_msg_free(msg);
		if (n == len)
			break;
	}
}
