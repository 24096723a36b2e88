/* SPDX-License-Identifier: MIT */
#include "wire/pcapng.h"

#include <errno.h>
#include <string.h>

#include "base/def.h"
#include "base/test.h"

#define SECOND UINT64_C(1000000000)

/* Big-endian, as a foreign server writes it: ns without saying so. */
static const uint8_t foreign[] = {
	0x0a, 0x0d, 0x0d, 0x0a, 0x00, 0x00, 0x00, 0x1c, 0x1a, 0x2b, 0x3c, 0x4d,
	0x00, 0x01, 0x00, 0x00, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
	0x00, 0x00, 0x00, 0x1c, 0x00, 0x00, 0x00, 0x01, 0x00, 0x00, 0x00, 0x14,
	0x00, 0x01, 0x00, 0x00, 0x00, 0x00, 0xff, 0xff, 0x00, 0x00, 0x00, 0x14,
	0x00, 0x00, 0x00, 0x06, 0x00, 0x00, 0x00, 0x30, 0x00, 0x00, 0x00, 0x00,
	0x17, 0x97, 0x9c, 0xfe, 0x36, 0x2a, 0x00, 0x00, 0x00, 0x00, 0x00, 0x0e,
	0x00, 0x00, 0x00, 0x0e, 0x00, 0x01, 0x02, 0x03, 0x04, 0x05, 0x06, 0x07,
	0x08, 0x09, 0x0a, 0x0b, 0x0c, 0x0d, 0x00, 0x00, 0x00, 0x00, 0x00, 0x30,
};

/* A capture of ours: one interface, a packet, the statistics. */
static void put_capture(struct dv_buf *out, const char *name)
{
	dv_pcapng_put_shb(out);
	dv_pcapng_put_idb(out, DV_PCAPNG_ETHERNET, 96,
			  (struct dv_str){ name, strlen(name) });
	dv_pcapng_put_epb(out, 0, 1700000000 * SECOND + 123456789, "packet!", 7,
			  1500);
	dv_pcapng_put_isb(out, 0, 1700000001 * SECOND, 5, 4);
}

TEST(foreign_capture_decodes_with_repaired_times)
{
	struct dv_pcapng_rd r = DV_PCAPNG_RD_INIT;
	struct dv_rd in = dv_rd_mem(foreign, sizeof(foreign));
	struct dv_pcapng_block b;

	CHECK_EQ(dv_pcapng_next(&r, &in, &b), 0);
	CHECK_EQ(b.type, DV_PCAPNG_SHB);
	CHECK(r.big);
	CHECK_EQ(dv_pcapng_next(&r, &in, &b), 0);
	CHECK_EQ(b.type, DV_PCAPNG_IDB);
	CHECK_EQ(b.name.len, 0);
	CHECK_EQ(r.ifs[0].linktype, 1);
	CHECK_EQ(r.ifs[0].snaplen, 65535);
	CHECK_EQ(dv_pcapng_next(&r, &in, &b), 0);
	CHECK_EQ(b.type, DV_PCAPNG_EPB);
	CHECK(b.unix_ns == 1700000000 * SECOND);
	CHECK_EQ(b.cap, 14);
	CHECK_EQ(b.orig, 14);
	CHECK_EQ(b.data[13], 13);
	CHECK_EQ(dv_pcapng_next(&r, &in, &b), DV_MORE);
	dv_pcapng_rd_deinit(&r);
}

TEST(foreign_capture_decodes_as_it_says_without_repair)
{
	struct dv_pcapng_rd r = DV_PCAPNG_RD_INIT;
	struct dv_rd in = dv_rd_mem(foreign, sizeof(foreign));
	struct dv_pcapng_block b;

	r.repair = false;
	for (int i = 0; i < 3; i++)
		CHECK_EQ(dv_pcapng_next(&r, &in, &b), 0);
	CHECK(b.unix_ns == UINT64_MAX); /* 55,000 years do not fit */
	dv_pcapng_rd_deinit(&r);
}

TEST(own_capture_comes_back)
{
	struct dv_pcapng_rd r = DV_PCAPNG_RD_INIT;
	dv_autobuf out = DV_BUF_INIT(4096);
	struct dv_pcapng_block b;
	struct dv_rd in;

	put_capture(&out, "eth0");
	CHECK_EQ(dv_buf_status(&out), 0);
	in = dv_rd_mem(out.data, out.len);
	CHECK_EQ(dv_pcapng_next(&r, &in, &b), 0);
	CHECK_EQ(dv_pcapng_next(&r, &in, &b), 0);
	CHECK(b.name.len == 4 && !memcmp(b.name.ptr, "eth0", 4));
	CHECK_EQ(r.ifs[0].tsresol, 9);
	CHECK_EQ(dv_pcapng_next(&r, &in, &b), 0);
	CHECK(b.unix_ns == 1700000000 * SECOND + 123456789);
	CHECK_EQ(b.cap, 7);
	CHECK_EQ(b.orig, 1500);
	CHECK(memcmp(b.data, "packet!", 7) == 0);
	CHECK_EQ(dv_pcapng_next(&r, &in, &b), 0);
	CHECK_EQ(b.type, DV_PCAPNG_ISB);
	CHECK_EQ(b.received, 5);
	CHECK_EQ(b.dropped, 4);
	CHECK_EQ(in.left, 0);
	dv_pcapng_rd_deinit(&r);
}

TEST(capture_cut_at_every_byte_asks_for_more)
{
	dv_autobuf out = DV_BUF_INIT(4096);

	put_capture(&out, "eth0");
	for (size_t n = 0; n < out.len; n++) {
		struct dv_pcapng_rd r = DV_PCAPNG_RD_INIT;
		dv_autofree char *copy = malloc(n + 1);
		struct dv_rd in = dv_rd_mem(copy, n);
		struct dv_pcapng_block b;
		int rc;

		memcpy(copy, out.data, n);
		while ((rc = dv_pcapng_next(&r, &in, &b)) == 0)
			;
		CHECK_EQ(rc, DV_MORE);
		dv_pcapng_rd_deinit(&r);
	}
}

/* What dv_pcapng_next() says to the foreign capture with one byte changed. */
static int changed(size_t at, uint8_t to)
{
	struct dv_pcapng_rd r = DV_PCAPNG_RD_INIT;
	uint8_t copy[sizeof(foreign)];
	struct dv_rd in = dv_rd_mem(copy, sizeof(copy));
	struct dv_pcapng_block b;
	int rc;

	memcpy(copy, foreign, sizeof(copy));
	copy[at] = to;
	while ((rc = dv_pcapng_next(&r, &in, &b)) == 0)
		;
	dv_pcapng_rd_deinit(&r);
	return rc;
}

TEST(capture_with_wrong_lengths_is_refused)
{
	CHECK_EQ(changed(0, 'x'), -EBADMSG);   /* no section */
	CHECK_EQ(changed(8, 'x'), -EBADMSG);   /* no byte order */
	CHECK_EQ(changed(13, 2), -EBADMSG);    /* version 2 */
	CHECK_EQ(changed(7, 0x1b), -EBADMSG);  /* no multiple of 4 */
	CHECK_EQ(changed(7, 8), -EBADMSG);     /* shorter than a frame */
	CHECK_EQ(changed(4, 1), -EMSGSIZE);    /* 16 MiB */
	CHECK_EQ(changed(27, 0x18), -EBADMSG); /* the second length differs */
	CHECK_EQ(changed(59, 1), -EBADMSG);    /* no such interface */
	CHECK_EQ(changed(71, 0x11), -EBADMSG); /* captured beyond the block */
}

/* A packet of an interface with this resolution and offset, in ns. */
static uint64_t in_ns(uint8_t tsresol, uint64_t ticks, int64_t offset)
{
	struct dv_pcapng_rd r = DV_PCAPNG_RD_INIT;
	dv_autobuf out = DV_BUF_INIT(4096);
	struct dv_pcapng_block b;
	struct dv_rd in;

	put_capture(&out, "");
	in = dv_rd_mem(out.data, out.len);
	CHECK_EQ(dv_pcapng_next(&r, &in, &b), 0);
	CHECK_EQ(dv_pcapng_next(&r, &in, &b), 0);
	r.ifs[0].tsresol = tsresol;
	r.ifs[0].tsoffset = offset;
	dv_put_le32((uint8_t *)out.data + (out.len - in.left) + 12,
		    (uint32_t)(ticks >> 32));
	dv_put_le32((uint8_t *)out.data + (out.len - in.left) + 16,
		    (uint32_t)ticks);
	CHECK_EQ(dv_pcapng_next(&r, &in, &b), 0);
	dv_pcapng_rd_deinit(&r);
	return b.unix_ns;
}

TEST(every_time_resolution_is_understood)
{
	CHECK_EQ(in_ns(0, 5, 0), 5 * SECOND);
	CHECK_EQ(in_ns(6, 5000001, 0), 5 * SECOND + 1000);
	CHECK_EQ(in_ns(12, 5000, 0), 5);
	CHECK_EQ(in_ns(0x80 | 10, 1536, 0), SECOND + SECOND / 2);
	CHECK_EQ(in_ns(9, 1, 100), 100 * SECOND + 1);
	CHECK_EQ(in_ns(9, 1, -1), 0);
	CHECK_EQ(in_ns(127, UINT64_MAX, 0), 1);
	CHECK_EQ(in_ns(255, UINT64_MAX, 0), 1);
	CHECK(in_ns(0, UINT64_MAX, 0) == UINT64_MAX);
	CHECK(in_ns(9, 0, INT64_MIN) == 0);
	CHECK(in_ns(0, UINT64_MAX, INT64_MAX) == UINT64_MAX);
}

TEST(too_many_interfaces_are_refused)
{
	struct dv_pcapng_rd r = DV_PCAPNG_RD_INIT;
	dv_autobuf out = DV_BUF_INIT(1024 * 1024);
	struct dv_pcapng_block b;
	struct dv_rd in;
	int n = 0, rc;

	dv_pcapng_put_shb(&out);
	for (int i = 0; i <= DV_PCAPNG_IFS_MAX; i++)
		dv_pcapng_put_idb(&out, 1, 0, (struct dv_str){ "x", 1 });
	in = dv_rd_mem(out.data, out.len);
	while ((rc = dv_pcapng_next(&r, &in, &b)) == 0)
		n++;
	CHECK_EQ(rc, -EMSGSIZE);
	CHECK_EQ(n, 1 + DV_PCAPNG_IFS_MAX);
	dv_pcapng_rd_deinit(&r);
}

TEST(new_section_counts_its_interfaces_anew)
{
	struct dv_pcapng_rd r = DV_PCAPNG_RD_INIT;
	dv_autobuf out = DV_BUF_INIT(4096);
	struct dv_pcapng_block b;
	struct dv_rd in;

	put_capture(&out, "a");
	dv_buf_put(&out, foreign, sizeof(foreign));
	in = dv_rd_mem(out.data, out.len);
	for (int i = 0; i < 7; i++)
		CHECK_EQ(dv_pcapng_next(&r, &in, &b), 0);
	CHECK(r.big);
	CHECK_EQ(r.n_ifs, 1);
	CHECK_EQ(b.cap, 14);
	CHECK_EQ(in.left, 0);
	dv_pcapng_rd_deinit(&r);
}

/* ---- merging ---- */

/* Both streams, @step bytes of each at a time. */
static void merge(struct dv_buf *out, const struct dv_buf *ours, size_t step)
{
	struct dv_pcapng_merge m = DV_PCAPNG_MERGE_INIT;
	struct dv_pcapng_in a = DV_PCAPNG_IN_INIT, b = DV_PCAPNG_IN_INIT;

	for (size_t at = 0; at < ours->len || at < sizeof(foreign);
	     at += step) {
		if (at < ours->len)
			CHECK_EQ(dv_pcapng_merge(&m, &a, ours->data + at,
						 dv_min(step, ours->len - at),
						 out),
				 0);
		if (at < sizeof(foreign))
			CHECK_EQ(dv_pcapng_merge(
					 &m, &b, foreign + at,
					 dv_min(step, sizeof(foreign) - at),
					 out),
				 0);
	}
	CHECK_EQ(dv_pcapng_merge_end(&a), 0);
	CHECK_EQ(dv_pcapng_merge_end(&b), 0);
	dv_pcapng_in_deinit(&a);
	dv_pcapng_in_deinit(&b);
}

/* One section, two interfaces, each packet with its own interface and time. */
static void check_merged(const struct dv_buf *out)
{
	struct dv_pcapng_rd r = DV_PCAPNG_RD_INIT;
	struct dv_rd in = dv_rd_mem(out->data, out->len);
	struct dv_pcapng_block b;
	int sections = 0, packets = 0, stats = 0;

	r.repair = false; /* it is repaired already */
	while (dv_pcapng_next(&r, &in, &b) == 0) {
		sections += b.type == DV_PCAPNG_SHB;
		stats += b.type == DV_PCAPNG_ISB;
		if (b.type != DV_PCAPNG_EPB)
			continue;
		packets++;
		CHECK_EQ(b.unix_ns / SECOND, 1700000000);
		CHECK_EQ(r.ifs[b.if_id].snaplen, b.cap == 7 ? 96 : 65535);
	}
	CHECK_EQ(in.left, 0);
	CHECK_EQ(sections, 1);
	CHECK_EQ(packets, 2);
	CHECK_EQ(stats, 1);
	CHECK_EQ(r.n_ifs, 2);
	dv_pcapng_rd_deinit(&r);
}

TEST(merge_of_both_byte_orders_is_one_section)
{
	dv_autobuf ours = DV_BUF_INIT(4096);

	put_capture(&ours, "eth0");
	for (size_t step = 1; step < 200; step++) {
		dv_autobuf out = DV_BUF_INIT(4096);

		merge(&out, &ours, step);
		check_merged(&out);
	}
}

TEST(merge_of_a_cut_stream_says_so)
{
	struct dv_pcapng_merge m = DV_PCAPNG_MERGE_INIT;
	struct dv_pcapng_in in = DV_PCAPNG_IN_INIT;
	dv_autobuf out = DV_BUF_INIT(4096);

	CHECK_EQ(dv_pcapng_merge(&m, &in, foreign, sizeof(foreign) - 1, &out),
		 0);
	CHECK_EQ(dv_pcapng_merge_end(&in), -EBADMSG);
	dv_pcapng_in_deinit(&in);
}

TEST(merge_of_a_large_block_is_bounded)
{
	static uint8_t big[DV_PCAPNG_BLOCK_MAX];
	struct dv_pcapng_merge m = DV_PCAPNG_MERGE_INIT;
	struct dv_pcapng_in in = DV_PCAPNG_IN_INIT;
	dv_autobuf out = DV_BUF_INIT(4 * DV_PCAPNG_BLOCK_MAX);
	dv_autobuf ours = DV_BUF_INIT(4 * DV_PCAPNG_BLOCK_MAX);

	dv_pcapng_put_shb(&ours);
	dv_pcapng_put_idb(&ours, 1, 0, (struct dv_str){ "", 0 });
	dv_pcapng_put_epb(&ours, 0, 1, big, sizeof(big) - 32, sizeof(big));
	CHECK_EQ(dv_pcapng_merge(&m, &in, ours.data, ours.len, &out), 0);
	CHECK_EQ(dv_pcapng_merge_end(&in), 0);
	dv_pcapng_put_epb(&ours, 0, 1, big, sizeof(big) - 31, sizeof(big));
	CHECK_EQ(dv_pcapng_merge(&m, &in, ours.data + ours.len - sizeof(big),
				 sizeof(big), &out),
		 -EBADMSG);
	dv_pcapng_in_deinit(&in);
}
