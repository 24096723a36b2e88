/* SPDX-License-Identifier: MIT */
/*
 * Captures: two streams, the first as long as the first two bytes say, merged
 * into one. What comes out has to be a capture, with as many packets as the
 * streams have together.
 */
#include <stdint.h>
#include <stdlib.h>

#include "base/def.h"
#include "wire/pcapng.h"

#define INPUT_MAX 65536
/* An interface of 20 bytes becomes one of 32: it may grow. */
#define OUT_MAX (4 * INPUT_MAX)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Packets up to the end, or the first error, which *rp then is. */
static size_t count(const void *data, size_t size, int *rp)
{
	struct dv_pcapng_rd r = DV_PCAPNG_RD_INIT;
	struct dv_rd in = dv_rd_mem(data, size);
	struct dv_pcapng_block b;
	size_t n = 0;

	while ((*rp = dv_pcapng_next(&r, &in, &b)) == 0) {
		n += b.type == DV_PCAPNG_EPB;
		if (b.type == DV_PCAPNG_EPB && b.cap > 0)
			dv_assert(b.data[b.cap - 1] <= 255);
	}
	if (*rp == DV_MORE && in.left == 0)
		*rp = 0;
	dv_pcapng_rd_deinit(&r);
	return n;
}

static int feed(struct dv_pcapng_merge *m, struct dv_pcapng_in *in,
		const uint8_t *data, size_t size, size_t step,
		struct dv_buf *out)
{
	int r = 0;

	while (size > 0 && r == 0) {
		size_t len = dv_min(step, size);

		r = dv_pcapng_merge(m, in, data, len, out);
		data += len;
		size -= len;
	}
	return r;
}

static void merge(const uint8_t *data, size_t size, size_t first)
{
	struct dv_pcapng_merge m = DV_PCAPNG_MERGE_INIT;
	struct dv_pcapng_in a = DV_PCAPNG_IN_INIT, b = DV_PCAPNG_IN_INIT;
	dv_autobuf out = DV_BUF_INIT(OUT_MAX);
	int r = 0, ra, rb;
	size_t n = count(data, first, &ra);

	n += count(data + first, size - first, &rb);
	dv_assert(feed(&m, &a, data, first, 7, &out) < 0 || ra >= 0);
	dv_assert(feed(&m, &b, data + first, size - first, INPUT_MAX, &out) <
			  0 ||
		  rb >= 0);
	/* The file may have more interfaces than a reader of ours takes. */
	if (m.n_ifs <= DV_PCAPNG_IFS_MAX && dv_buf_status(&out) == 0) {
		dv_assert(count(out.data, out.len, &r) == n);
		dv_assert(r == 0);
	}
	dv_pcapng_in_deinit(&a);
	dv_pcapng_in_deinit(&b);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	size_t first;

	if (size < 2 || size > INPUT_MAX)
		return 0;
	first = (size_t)data[0] | (size_t)data[1] << 8;
	merge(data + 2, size - 2, dv_min(first, size - 2));
	return 0;
}
