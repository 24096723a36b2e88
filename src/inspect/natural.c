/* SPDX-License-Identifier: MIT */
/*
 * DOC: natural order of names.
 *
 * A name is read as a list of segments: "0x" and hexadecimal digits are a
 * number, decimal digits are a number, and all else up to the next digit is
 * text. Digits directly followed by a letter that cannot be one of them are
 * text of their own ("3foo" is "3" and "foo"). A number ends before the digit
 * that would be too much for 64 bits; a new segment begins there.
 *
 * Lists are compared segment by segment: decimal, then hexadecimal, then text;
 * numbers by value, text by bytes; of two with the same start the shorter one
 * comes first. Segments are read as they are compared: nothing is allocated.
 */
#include <string.h>

#include "base/def.h"
#include "inspect/node.h"

enum segment_kind { SEG_DEC, SEG_HEX, SEG_TEXT };

struct segment {
	enum segment_kind kind;
	uint64_t value;
	struct dv_str text;
};

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static bool is_letter(char c)
{
	return (c | 0x20) >= 'a' && (c | 0x20) <= 'z';
}

/* -1: no digit of that base. */
static int digit_value(char c, unsigned int base)
{
	if (is_digit(c))
		return c - '0';
	if (base == 16 && (c | 0x20) >= 'a' && (c | 0x20) <= 'f')
		return (c | 0x20) - 'a' + 10;
	return -1;
}

/* The digits that fit into 64 bits, from @at on; returns where they end. */
static size_t read_digits(const struct dv_str *s, size_t at, unsigned int base,
			  uint64_t *valuep)
{
	uint64_t v = 0;

	for (; at < s->len; at++) {
		int digit = digit_value(s->ptr[at], base);
		uint64_t next;

		if (digit < 0 ||
		    __builtin_mul_overflow(v, (uint64_t)base, &next) ||
		    __builtin_add_overflow(next, (uint64_t)digit, &next))
			break;
		v = next;
	}
	*valuep = v;
	return at;
}

static void read_text(const struct dv_str *s, struct segment *seg)
{
	seg->kind = SEG_TEXT;
	while (seg->text.len < s->len && !is_digit(s->ptr[seg->text.len]))
		seg->text.len++;
}

/* Cut the next segment off *@s, which is not empty. */
static void next_segment(struct dv_str *s, struct segment *seg)
{
	bool hex = s->len > 2 && s->ptr[0] == '0' && s->ptr[1] == 'x' &&
		   digit_value(s->ptr[2], 16) >= 0;
	unsigned int base = hex ? 16 : 10;
	size_t end;

	*seg = (struct segment){ hex ? SEG_HEX : SEG_DEC, 0, { s->ptr, 0 } };
	if (!is_digit(s->ptr[0])) {
		read_text(s, seg);
	} else {
		end = read_digits(s, hex ? 2 : 0, base, &seg->value);
		seg->text.len = end;
		if (end < s->len && is_letter(s->ptr[end]) &&
		    digit_value(s->ptr[end], base) < 0)
			seg->kind = SEG_TEXT;
	}
	s->ptr += seg->text.len;
	s->len -= seg->text.len;
}

static int compare_bytes(struct dv_str a, struct dv_str b)
{
	size_t n = dv_min(a.len, b.len);
	int r = n ? memcmp(a.ptr, b.ptr, n) : 0;

	return r ? r : (a.len > b.len) - (a.len < b.len);
}

static int compare_segments(const struct segment *a, const struct segment *b)
{
	if (a->kind != b->kind)
		return a->kind < b->kind ? -1 : 1;
	if (a->kind == SEG_TEXT)
		return compare_bytes(a->text, b->text);
	return (a->value > b->value) - (a->value < b->value);
}

int dv_node_natural(const char *a, size_t a_len, const char *b, size_t b_len)
{
	struct dv_str x = { a, a_len }, y = { b, b_len };
	int r = 0;

	while (r == 0 && x.len > 0 && y.len > 0) {
		struct segment p, q;

		next_segment(&x, &p);
		next_segment(&y, &q);
		r = compare_segments(&p, &q);
	}
	if (r == 0)
		r = (x.len > 0) - (y.len > 0);
	/* "a1" and "a01" are the same number, but not the same name. */
	if (r == 0)
		r = compare_bytes((struct dv_str){ a, a_len },
				  (struct dv_str){ b, b_len });
	return r;
}
