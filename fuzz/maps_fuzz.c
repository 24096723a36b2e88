/* SPDX-License-Identifier: MIT */
/*
 * /proc/PID/smaps line by line, as the core dump reads it. Beside memory errors
 * it looks for a broken promise: a refused line that changes the mapping, a
 * mapping that is empty or begins inside a page.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "agent/core_maps.h"
#include "base/def.h"

#define TEXT_MAX 8192

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void one_line(const char *text, size_t len, struct dv_core_map *m)
{
	struct dv_core_map before = *m;
	char out[256];
	int r = dv_core_map_line(text, len, m);

	if (r < 0) {
		/* NOLINTNEXTLINE: a copy has the same padding */
		dv_assert(memcmp(&before, m, sizeof(before)) == 0);
		return;
	}
	if (r == 0)
		return;
	dv_assert(m->start < m->end && m->start % 4096 == 0);
	dv_assert(m->path.len <= len);
	for (uint32_t filter = 0; filter < 0x80; filter += 0x11)
		dv_core_map_part(m, filter);
	dv_assert(dv_core_map_path(m->path, out, sizeof(out)) <= sizeof(out));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct dv_core_map m = { .start = 0, .end = 4096 };
	char *text;

	if (size > TEXT_MAX)
		return 0;
	text = malloc(size ? size : 1);
	if (!text)
		return 0;
	memcpy(text, data, size);
	for (size_t at = 0; at < size;) {
		char *end = memchr(text + at, '\n', size - at);
		size_t len = end ? (size_t)(end - text) - at : size - at;

		one_line(text + at, len, &m);
		at += len + 1;
	}
	free(text);
	return 0;
}
