/* SPDX-License-Identifier: MIT */
#include "base/buf.h"

#include <errno.h>
#include <string.h>

#include "base/def.h"
#include "base/test.h"

TEST(buf_put_grows_and_terminates)
{
	dv_autobuf b = DV_BUF_INIT(100000);

	for (int i = 0; i < 10000; i++)
		CHECK_EQ(dv_buf_putf(&b, "%05d,", i), 0);
	CHECK_EQ(b.len, 60000);
	CHECK_EQ(strlen(b.data), 60000);
	assert_memory_equal(b.data + 7404, "01234,", 6);
}

TEST(buf_over_the_maximum_is_sticky_and_keeps_the_data)
{
	dv_autobuf b = DV_BUF_INIT(5);

	CHECK_EQ(dv_buf_puts(&b, "abcde"), 0);
	CHECK_EQ(dv_buf_putc(&b, 'f'), -EMSGSIZE);
	CHECK_EQ(dv_buf_put(&b, "", 0), -EMSGSIZE);
	CHECK_EQ(dv_buf_putf(&b, "%d", 1), -EMSGSIZE);
	assert_null(dv_buf_room(&b, 0));
	assert_null(dv_buf_take(&b));
	CHECK_EQ(dv_buf_status(&b), -EMSGSIZE);
	CHECK_STR(b.data, "abcde");
	dv_buf_reset(&b);
	CHECK_EQ(dv_buf_puts(&b, "xy"), 0);
	CHECK_STR(b.data, "xy");
}

TEST(buf_huge_lengths_are_refused)
{
	dv_autobuf b = DV_BUF_INIT(SIZE_MAX);

	dv_buf_putc(&b, 'x');
	assert_null(dv_buf_room(&b, SIZE_MAX));
	CHECK_EQ(dv_buf_status(&b), -EMSGSIZE);
	dv_buf_reset(&b);
	dv_buf_putc(&b, 'x'); /* now the NUL would not fit any more */
	assert_null(dv_buf_room(&b, SIZE_MAX - 1));
	CHECK_EQ(dv_buf_status(&b), -EMSGSIZE);
}

TEST(buf_room_and_add_count_what_was_written)
{
	dv_autobuf b = DV_BUF_INIT(1000);
	char *p = dv_buf_room(&b, 300);

	assert_non_null(p);
	memcpy(p, "hello", 5);
	dv_buf_add(&b, 5);
	CHECK_EQ(b.len, 5);
	dv_buf_drop(&b, 2);
	CHECK_STR(b.data, "llo");
	dv_buf_drop(&b, 3);
	CHECK_STR(b.data, "");
}

TEST(buf_take_hands_over_and_leaves_it_usable)
{
	dv_autobuf b = DV_BUF_INIT(10);
	char *s = dv_buf_take(&b);

	CHECK_STR(s, "");
	free(s);
	dv_buf_puts(&b, "abc");
	s = dv_buf_take(&b);
	CHECK_STR(s, "abc");
	free(s);
	CHECK_EQ(b.len, 0);
	CHECK_EQ(dv_buf_puts(&b, "0123456789"), 0);
	dv_buf_free(&b);
	dv_buf_free(&b);
}

/* What a reader of all kinds sees of @len bytes 1, 2, 3, ... */
static bool read_all(const uint8_t *data, size_t len)
{
	struct dv_rd rd = dv_rd_mem(data, len);
	const uint8_t *p;

	if (dv_rd_u8(&rd) != 0x01 && len >= 1)
		return false;
	if (dv_rd_le16(&rd) != 0x0302 && len >= 3)
		return false;
	if (dv_rd_le32(&rd) != 0x07060504 && len >= 7)
		return false;
	if (dv_rd_be32(&rd) != 0x08090a0b && len >= 11)
		return false;
	if (dv_rd_le64(&rd) != UINT64_C(0x131211100f0e0d0c) && len >= 19)
		return false;
	p = dv_rd_bytes(&rd, 3);
	return dv_rd_ok(&rd) && p && p[0] == 20 && p[2] == 22 && rd.left == 0;
}

TEST(rd_truncated_at_every_byte_latches)
{
	for (size_t len = 0; len <= 22; len++) {
		/* Exactly sized: a sanitizer sees a read past the end. */
		uint8_t *data = malloc(len ? len : 1);

		assert_non_null(data);
		for (size_t i = 0; i < len; i++)
			data[i] = (uint8_t)(i + 1);
		CHECK_EQ(read_all(data, len), len == 22);
		free(data);
	}
}

TEST(rd_after_a_short_read_gives_only_zero)
{
	static const uint8_t data[] = { 1, 2, 3 };
	struct dv_rd rd = dv_rd_mem(data, sizeof(data));

	CHECK_EQ(dv_rd_le32(&rd), 0);
	CHECK_EQ(dv_rd_u8(&rd), 0);
	assert_null(dv_rd_bytes(&rd, 0));
	assert_null(dv_rd_bytes(&rd, SIZE_MAX));
	CHECK(!dv_rd_ok(&rd));
}

TEST(rd_of_nothing_is_fine)
{
	struct dv_rd rd = dv_rd_mem(NULL, 0);

	dv_rd_bytes(&rd, 0);
	CHECK(dv_rd_ok(&rd));
	dv_rd_u8(&rd);
	CHECK(!dv_rd_ok(&rd));
}

TEST(put_le_reads_back)
{
	uint8_t raw[12];
	struct dv_rd rd = dv_rd_mem(raw, sizeof(raw));

	dv_put_le32(raw, 0xdeadbeef);
	dv_put_le64(raw + 4, UINT64_C(0x8877665544332211));
	CHECK_EQ(raw[0], 0xef);
	CHECK_EQ(raw[4], 0x11);
	CHECK_EQ(dv_rd_le32(&rd), 0xdeadbeef);
	CHECK(dv_rd_le64(&rd) == UINT64_C(0x8877665544332211));
}
