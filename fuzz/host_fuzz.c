/* SPDX-License-Identifier: MIT */
/*
 * What hosts and workers say: what is parsed lies inside the input, and what is
 * written again is parsed alike.
 */
#include <string.h>

#include "base/def.h"
#include "mesh/host_priv.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { SIZE_LIMIT = 65536 };

static void inside(struct dv_str s, const uint8_t *data, size_t size)
{
	const uint8_t *p = (const uint8_t *)s.ptr;

	dv_assert(s.len == 0 || (p >= data && s.len <= size &&
				 (size_t)(p - data) <= size - s.len));
}

static void message(const uint8_t *data, size_t size)
{
	struct dv_host_msg m;
	struct dv_msg *again;

	if (dv_host_msg_parse(data, size, &m) < 0)
		return;
	inside(m.text, data, size);
	inside(m.data, data, size);
	inside(m.extra, data, size);
	again = dv_host_msg_new(&m);
	dv_assert(again);
	/* Texts of errors end at a NUL; the rest comes back as it was. */
	dv_assert(dv_msg_len(again) <= size);
	dv_assert(dv_host_msg_parse(dv_msg_data(again), dv_msg_len(again),
				    &m) == 0);
	dv_msg_free(again);
}

static void frame(const uint8_t *data, size_t size)
{
	struct dv_msg *msg = dv_msg_new(size);
	struct dv_host_msg m;

	dv_assert(msg);
	if (size)
		memcpy(dv_msg_data(msg), data, size);
	if (dv_host_frame_open(msg, &m) == 0)
		dv_assert(dv_msg_len(msg) < size);
	else
		dv_assert(dv_msg_len(msg) == size);
	dv_msg_free(msg);
}

static void record(const uint8_t *data, size_t size)
{
	struct dv_msg *msg = dv_msg_new(size), *again;
	struct dv_host_exit end, back;

	dv_assert(msg);
	if (size)
		memcpy(dv_msg_data(msg), data, size);
	if (dv_host_exit_parse(msg, &end) == 0) {
		again = dv_host_exit_new(&end);
		dv_assert(again && dv_host_exit_parse(again, &back) == 0);
		dv_assert(back.pid == end.pid && back.by == end.by);
		dv_msg_free(again);
	}
	dv_msg_free(msg);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size > SIZE_LIMIT)
		return 0;
	message(data, size);
	frame(data, size);
	record(data, size);
	return 0;
}
