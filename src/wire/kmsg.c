/* SPDX-License-Identifier: MIT */
#include "wire/kmsg.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/def.h"

/* What one feed may bring: fetched records make room. */
#define ITER_MAX     (1u << 20)
#define USEC_PER_SEC 1000000

struct dv_kmsg_iter {
	struct dv_buf in;
	size_t at;     /* [0, at) was given out */
	bool skipping; /* up to the next NUL */
	uint64_t bad;
	struct dv_buf text;
	struct dv_kmsg rec;
};

/* ---- numbers and escapes ---------------------------------------------- */

/* Digits up to a character that is none; false for none, or too many. */
static bool number(struct dv_str *s, uint64_t max, uint64_t *outp)
{
	uint64_t v = 0;
	size_t i = 0;

	for (; i < s->len && s->ptr[i] >= '0' && s->ptr[i] <= '9'; i++) {
		uint64_t digit = (uint64_t)(s->ptr[i] - '0');

		if (v > (max - digit) / 10)
			return false;
		v = v * 10 + digit;
	}
	s->ptr += i;
	s->len -= i;
	*outp = v;
	return i > 0;
}

static bool skip_char(struct dv_str *s, char c)
{
	if (s->len == 0 || s->ptr[0] != c)
		return false;
	s->ptr++;
	s->len--;
	return true;
}

static int hex(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

/* The byte of a \xNN at @p, or -1. */
static int escaped(const char *p, size_t left)
{
	int high, low;

	if (left < 4 || p[0] != '\\' || p[1] != 'x')
		return -1;
	high = hex(p[2]);
	low = hex(p[3]);
	return high < 0 || low < 0 ? -1 : high << 4 | low;
}

/* Anything that is no escape stands for itself. */
static void unescape(struct dv_buf *out, const char *p, size_t len)
{
	while (len > 0) {
		const char *next = memchr(p, '\\', len);
		size_t n = next ? (size_t)(next - p) : len;
		int byte;

		dv_buf_put(out, p, n);
		p += n;
		len -= n;
		if (len == 0)
			return;
		byte = escaped(p, len);
		n = byte < 0 ? 1 : 4;
		dv_buf_putc(out, byte < 0 ? '\\' : (char)byte);
		p += n;
		len -= n;
	}
}

/* ---- one record ------------------------------------------------------- */

static int parse_head(struct dv_str s, struct dv_kmsg *rec)
{
	uint64_t prio;

	if (!number(&s, UINT32_MAX, &prio) || !skip_char(&s, ',') ||
	    !number(&s, UINT64_MAX, &rec->seq) || !skip_char(&s, ',') ||
	    !number(&s, UINT64_MAX, &rec->usec))
		return -EBADMSG;
	if (s.len > 0 && s.ptr[0] != ',')
		return -EBADMSG;
	rec->level = (uint32_t)prio & 7;
	rec->facility = (uint32_t)(prio >> 3);
	rec->flag = s.len > 1 && s.ptr[1] != ',' ? s.ptr[1] : '-';
	return 0;
}

int dv_kmsg_parse(const char *data, size_t len, struct dv_buf *text,
		  struct dv_kmsg *rec)
{
	const char *end = data + len;
	const char *msg, *line;
	int r;

	memset(rec, 0, sizeof(*rec));
	msg = len > 0 ? memchr(data, ';', len) : NULL;
	if (!msg)
		return -EBADMSG;
	r = parse_head((struct dv_str){ data, (size_t)(msg - data) }, rec);
	if (r < 0)
		return r;
	msg++;
	line = msg < end ? memchr(msg, '\n', (size_t)(end - msg)) : NULL;
	rec->dict = line ? line + 1 : end;
	rec->dict_len = (size_t)(end - rec->dict);
	dv_buf_reset(text);
	dv_buf_puts(text, ""); /* memory, also for an empty one */
	unescape(text, msg, (size_t)((line ? line : end) - msg));
	if (!text->data && dv_buf_room(text, 0))
		text->data[0] = '\0';
	rec->text = text->data;
	rec->text_len = text->len;
	return dv_buf_status(text);
}

/* ---- serial consoles -------------------------------------------------- */

static struct dv_str trim_end(struct dv_str s)
{
	while (s.len > 0 &&
	       (s.ptr[s.len - 1] == '\n' || s.ptr[s.len - 1] == '\r'))
		s.len--;
	return s;
}

/* "[ secs.usecs] "; six digits, as the kernel prints them. */
static bool serial_time(struct dv_str *s, uint64_t *usecp)
{
	uint64_t sec, usec;
	size_t before;

	if (!skip_char(s, '['))
		return false;
	while (skip_char(s, ' '))
		;
	if (!number(s, UINT64_MAX / USEC_PER_SEC - 1, &sec) ||
	    !skip_char(s, '.'))
		return false;
	before = s->len;
	if (!number(s, USEC_PER_SEC - 1, &usec) || before - s->len != 6)
		return false;
	*usecp = sec * USEC_PER_SEC + usec;
	return skip_char(s, ']');
}

int dv_kmsg_parse_serial(const char *line, size_t len, struct dv_kmsg *rec)
{
	struct dv_str s = trim_end((struct dv_str){ line, len });
	uint64_t prio, usec;

	if (!skip_char(&s, '<') || !number(&s, UINT32_MAX, &prio) ||
	    !skip_char(&s, '>') || !serial_time(&s, &usec))
		return -EBADMSG;
	skip_char(&s, ' ');
	memset(rec, 0, sizeof(*rec));
	rec->level = (uint32_t)prio & 7;
	rec->facility = (uint32_t)(prio >> 3);
	rec->usec = usec;
	rec->flag = '-';
	rec->text = s.ptr;
	rec->text_len = s.len;
	rec->dict = s.ptr + s.len;
	return 0;
}

/* ---- the stream ------------------------------------------------------- */

int dv_kmsg_iter_new(struct dv_kmsg_iter **itp)
{
	struct dv_kmsg_iter *it = calloc(1, sizeof(*it));

	if (!it)
		return -ENOMEM;
	it->in = (struct dv_buf)DV_BUF_INIT(ITER_MAX);
	it->text = (struct dv_buf)DV_BUF_INIT(DV_KMSG_WIRE_MAX);
	*itp = it;
	return 0;
}

struct dv_kmsg_iter *dv_kmsg_iter_free(struct dv_kmsg_iter *it)
{
	if (!it)
		return NULL;
	dv_buf_free(&it->in);
	dv_buf_free(&it->text);
	free(it);
	return NULL;
}

uint64_t dv_kmsg_iter_bad(const struct dv_kmsg_iter *it)
{
	return it->bad;
}

int dv_kmsg_iter_feed(struct dv_kmsg_iter *it, const void *data, size_t len)
{
	int r;

	dv_buf_drop(&it->in, it->at);
	it->at = 0;
	r = dv_buf_put(&it->in, data, len);
	it->in.status = 0; /* what was refused is not half taken */
	return r;
}

/* A tail without an end that is too long to become a record. */
static void drop_overlong(struct dv_kmsg_iter *it)
{
	if (it->in.len - it->at <= DV_KMSG_WIRE_MAX && !it->skipping)
		return;
	it->bad += !it->skipping;
	it->skipping = true;
	it->at = it->in.len;
}

/* The bytes up to the next NUL; false when it has not come. */
static bool next_raw(struct dv_kmsg_iter *it, struct dv_str *raw)
{
	const char *p = it->in.data + it->at;
	size_t left = it->in.len - it->at;
	const char *nul = left > 0 ? memchr(p, '\0', left) : NULL;

	if (!nul) {
		drop_overlong(it);
		return false;
	}
	*raw = (struct dv_str){ p, (size_t)(nul - p) };
	it->at += raw->len + 1;
	return true;
}

const struct dv_kmsg *dv_kmsg_iter_next(struct dv_kmsg_iter *it)
{
	struct dv_str raw;

	while (next_raw(it, &raw)) {
		if (it->skipping) {
			it->skipping = false; /* its last part */
			continue;
		}
		if (raw.len <= DV_KMSG_WIRE_MAX &&
		    dv_kmsg_parse(raw.ptr, raw.len, &it->text, &it->rec) == 0)
			return &it->rec;
		it->bad++;
	}
	return NULL;
}
