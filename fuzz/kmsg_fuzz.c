/* SPDX-License-Identifier: MIT */
/*
 * Kernel log records, as a stream and as serial lines. The first byte says how
 * long the pieces are in which the stream arrives. Beside memory errors it
 * looks for records that depend on the pieces, and for lines that could act on
 * a terminal.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <davit/kmsg.h>

#include "base/def.h"

#define INPUT_MAX 65536
#define LINE_SIZE 4096

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_plain(const char *line)
{
	for (; *line; line++)
		dv_assert((uint8_t)*line >= 0x20 || *line == '\t');
}

static void show(const struct dv_kmsg *rec)
{
	char line[LINE_SIZE];

	dv_assert(rec->level < 8);
	if (dv_kmsg_format(rec, DV_KMSG_PLAIN, line, sizeof(line)) >= 0)
		check_plain(line);
	dv_kmsg_format(rec, DV_KMSG_COLOUR, line, sizeof(line));
	dv_kmsg_format(rec, DV_KMSG_JSON, line, sizeof(line));
}

/* How many records there were; *sump depends on all of them. */
static size_t stream(const uint8_t *data, size_t size, size_t step,
		     uint64_t *sump)
{
	struct dv_kmsg_iter *it;
	const struct dv_kmsg *rec;
	size_t n = 0;

	*sump = 0;
	if (dv_kmsg_iter_new(&it) < 0)
		return 0;
	while (size > 0) {
		size_t len = dv_min(step, size);

		dv_assert(dv_kmsg_iter_feed(it, data, len) == 0);
		while ((rec = dv_kmsg_iter_next(it))) {
			show(rec);
			*sump = *sump * 31 + rec->seq + rec->text_len +
				rec->dict_len;
			n++;
		}
		data += len;
		size -= len;
	}
	*sump = *sump * 31 + dv_kmsg_iter_bad(it);
	dv_kmsg_iter_free(it);
	return n;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint64_t whole, pieces;
	struct dv_kmsg rec;

	if (size < 1 || size > INPUT_MAX)
		return 0;
	if (dv_kmsg_parse_serial((const char *)data + 1, size - 1, &rec) == 0)
		show(&rec);
	if (stream(data + 1, size - 1, INPUT_MAX, &whole) !=
	    stream(data + 1, size - 1, data[0] + 1U, &pieces))
		abort();
	dv_assert(whole == pieces);
	return 0;
}
