/* SPDX-License-Identifier: MIT */
#include "runtime/client/expect.h"

#include <errno.h>
#include <string.h>

#include "base/def.h"

/* A stream's bytes need not follow each other in the log. */
static int note_part(struct dv_expect_line *line, uint64_t offset)
{
	struct dv_expect_part part = { line->len, offset };

	if (line->len && dv_expect_offset(line, line->len) == offset)
		return 0;
	return dv_buf_put(&line->parts, &part, sizeof(part));
}

uint64_t dv_expect_offset(const struct dv_expect_line *line, size_t at)
{
	struct dv_expect_part part = { 0, 0 };

	for (size_t i = line->parts.len; i; i -= sizeof(part)) {
		memcpy(&part, line->parts.data + i - sizeof(part),
		       sizeof(part));
		if (part.at <= at)
			break;
	}
	return part.offset + (at - part.at);
}

int64_t dv_expect_feed(struct dv_expect_line *line, const char *bytes,
		       size_t len, uint64_t offset, bool *donep)
{
	size_t room = sizeof(line->text) - line->len;
	const char *nl = memchr(bytes, '\n', dv_min(len, room));
	size_t n = nl ? (size_t)(nl - bytes) : dv_min(len, room);

	*donep = nl || n == room;
	/* An empty line is somewhere, too. */
	if (n || !line->len) {
		int r = note_part(line, offset);

		if (r < 0)
			return r;
	}
	memcpy(line->text + line->len, bytes, n);
	line->len += n;
	return (int64_t)n + (nl != NULL);
}

/* A terminal ends its lines with two characters. */
static size_t visible(const struct dv_expect_line *line, bool finished)
{
	size_t len = line->len;

	return finished && len && line->text[len - 1] == '\r' ? len - 1 : len;
}

bool dv_expect_look(struct dv_expect_line *line,
		    const struct dv_expect_cond *conds, size_t n, bool finished,
		    struct dv_expect_found *found)
{
	size_t len = visible(line, finished);
	bool any = false;
	int flags = REG_STARTEND;

	if (line->from > len || (!finished && line->seen == line->len))
		return false;
	line->seen = line->len;
	if (line->middle || line->from)
		flags |= REG_NOTBOL;
	if (!finished)
		flags |= REG_NOTEOL;
	for (size_t i = 0; i < n; i++) {
		regmatch_t m = { .rm_so = (regoff_t)line->from,
				 .rm_eo = (regoff_t)len };

		if (conds[i].kind != DV_EXPECT_MATCH ||
		    regexec(&conds[i].re, line->text, 1, &m, flags) != 0 ||
		    (any && (size_t)m.rm_so >= found->at))
			continue;
		any = true;
		*found = (struct dv_expect_found){
			.cond = i,
			.at = (size_t)m.rm_so,
			.len = (size_t)(m.rm_eo - m.rm_so),
		};
	}
	return any;
}

void dv_expect_next_line(struct dv_expect_line *line, bool middle)
{
	line->len = line->from = line->seen = 0;
	line->middle = middle;
	dv_buf_reset(&line->parts);
}
