/* SPDX-License-Identifier: MIT */
#include "inspect/text.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/def.h"
#include "base/fmt.h"
#include "base/utf8.h"

void dv_text_put(struct dv_buf *out, const char *s, size_t len)
{
	while (len > 0) {
		uint32_t cp;
		size_t n = dv_utf8_next(s, len, &cp);

		if (n > 0)
			dv_buf_put(out, s, n);
		else
			dv_buf_puts(out, "\xef\xbf\xbd");
		n = dv_max(n, (size_t)1);
		s += n;
		len -= n;
	}
}

bool dv_text_hidden(uint32_t cp)
{
	return cp < 0x20 || (cp >= 0x7f && cp <= 0xa0) || cp == 0xad ||
	       (cp >= 0x200b && cp <= 0x200f) ||
	       (cp >= 0x2028 && cp <= 0x202e) ||
	       (cp >= 0x2060 && cp <= 0x206f) || cp == 0xfeff;
}

static void put_escaped(struct dv_buf *out, uint32_t cp)
{
	switch (cp) {
	case '\0':
		dv_buf_puts(out, "\\0");
		break;
	case '\n':
		dv_buf_puts(out, "\\n");
		break;
	case '\r':
		dv_buf_puts(out, "\\r");
		break;
	case '\t':
		dv_buf_puts(out, "\\t");
		break;
	case '"':
	case '\\':
		dv_buf_putf(out, "\\%c", (int)cp);
		break;
	default:
		dv_buf_putf(out, "\\u{%x}", cp);
	}
}

void dv_text_put_quoted(struct dv_buf *out, const char *s, size_t len)
{
	dv_buf_putc(out, '"');
	while (len > 0) {
		uint32_t cp;
		size_t n = dv_utf8_next(s, len, &cp);

		if (n == 0) { /* no node holds such text, but be safe */
			n = 1;
			dv_buf_puts(out, "\xef\xbf\xbd");
		} else if (cp == '"' || cp == '\\' || dv_text_hidden(cp)) {
			put_escaped(out, cp);
		} else {
			dv_buf_put(out, s, n);
		}
		s += n;
		len -= n;
	}
	dv_buf_putc(out, '"');
}

/* ---- floating point ---- */

static bool reads_back(const char *text, double v, bool single)
{
	return single ? strtof(text, NULL) == (float)v
		      : strtod(text, NULL) == v;
}

/*
 * The significant digits of a positive number, without the point and without
 * zeros at the end; the value is 0.d1d2d3... times 10 to the result.
 */
static int digits_of(char digits[20], double v, bool single)
{
	char text[40];
	const char *e;
	size_t n = 0;
	int precision = 0;

	/* 16 digits behind the first are enough for any double. */
	do
		snprintf(text, sizeof(text), "%.*e", precision, v);
	while (!reads_back(text, v, single) && ++precision < 17);
	/* The point may be another character in another locale. */
	for (e = text; *e && *e != 'e'; e++)
		if (*e >= '0' && *e <= '9' && n < 19)
			digits[n++] = *e;
	while (n > 1 && digits[n - 1] == '0')
		n--;
	digits[n] = '\0';
	return *e ? (int)strtol(e + 1, NULL, 10) + 1 : 0;
}

/* Digits before and after the point, and the zeros between. */
static void lay_out(char *out, const char *digits, int exp)
{
	size_t n = strlen(digits);
	size_t lead = exp < 0 ? (size_t)-exp : 0; /* zeros after the point */
	size_t whole = exp > 0 ? (size_t)exp : 0;
	size_t head = dv_min(n, whole); /* digits before the point */

	if (whole == 0)
		*out++ = '0';
	memcpy(out, digits, head);
	memset(out + head, '0', whole - head);
	out += whole;
	if (n > head) {
		*out++ = '.';
		memset(out, '0', lead);
		memcpy(out + lead, digits + head, n - head);
		out += lead + n - head;
	}
	*out = '\0';
}

void dv_float_text(char out[DV_FLOAT_TEXT_MAX], double v, bool single)
{
	char digits[20];
	int exp;

	if (isnan(v)) {
		dv_fmt(out, DV_FLOAT_TEXT_MAX, "NaN");
		return;
	}
	if (signbit(v))
		*out++ = '-';
	if (isinf(v)) {
		dv_fmt(out, 4, "inf");
	} else if (v == 0) {
		dv_fmt(out, 2, "0");
	} else {
		exp = digits_of(digits, fabs(v), single);
		lay_out(out, digits, exp);
	}
}
