/* SPDX-License-Identifier: MIT */
#include "base/json.h"

#include <string.h>
#include <time.h>

#include "base/def.h"
#include "base/utf8.h"

/* The largest integer that every JSON reader keeps exactly: 2^53. */
#define EXACT_MAX (UINT64_C(1) << 53)
#define NS_PER_S  UINT64_C(1000000000)

/* What follows an escaping backslash, for characters that have a short form. */
static char short_escape(uint8_t c)
{
	switch (c) {
	case '"':
	case '\\':
		return (char)c;
	case '\b':
		return 'b';
	case '\f':
		return 'f';
	case '\n':
		return 'n';
	case '\r':
		return 'r';
	case '\t':
		return 't';
	default:
		return 0;
	}
}

/* Length of the start of @p that needs no escape. */
static size_t plain_len(const uint8_t *p, size_t left)
{
	size_t at = 0;

	while (at < left) {
		size_t n = dv_utf8_next(p + at, left - at, NULL);

		if (n == 0 || p[at] < 0x20 || p[at] == 0x7f || p[at] == '"' ||
		    p[at] == '\\')
			break;
		at += n;
	}
	return at;
}

static void put_quoted(struct dv_buf *out, const char *s, size_t len)
{
	const uint8_t *p = (const uint8_t *)s;

	dv_buf_putc(out, '"');
	while (len > 0) {
		size_t n = plain_len(p, len);

		dv_buf_put(out, p, n);
		p += n;
		len -= n;
		if (len == 0)
			break;
		if (short_escape(*p))
			dv_buf_putf(out, "\\%c", short_escape(*p));
		else if (*p < 0x80)
			dv_buf_putf(out, "\\u%04x", *p);
		else
			dv_buf_puts(out, "\xef\xbf\xbd");
		p++;
		len--;
	}
	dv_buf_putc(out, '"');
}

/* The comma and the key that come before a value. */
static void begin(struct dv_json *j, const char *key)
{
	if (j->comma)
		dv_buf_putc(j->out, ',');
	j->comma = true;
	if (key) {
		put_quoted(j->out, key, strlen(key));
		dv_buf_putc(j->out, ':');
	}
}

void dv_json_open(struct dv_json *j, const char *key, char bracket)
{
	begin(j, key);
	dv_buf_putc(j->out, bracket);
	j->comma = false;
}

void dv_json_close(struct dv_json *j, char bracket)
{
	dv_buf_putc(j->out, bracket);
	j->comma = true;
}

void dv_json_strn(struct dv_json *j, const char *key, const char *s, size_t n)
{
	begin(j, key);
	put_quoted(j->out, s, n);
}

void dv_json_str(struct dv_json *j, const char *key, const char *s)
{
	if (s)
		dv_json_strn(j, key, s, strlen(s));
	else
		dv_json_null(j, key);
}

void dv_json_u64(struct dv_json *j, const char *key, uint64_t v)
{
	const char *quote = v > EXACT_MAX ? "\"" : "";

	begin(j, key);
	dv_buf_putf(j->out, "%s%llu%s", quote, (unsigned long long)v, quote);
}

void dv_json_i64(struct dv_json *j, const char *key, int64_t v)
{
	uint64_t size = v < 0 ? 0 - (uint64_t)v : (uint64_t)v;
	const char *quote = size > EXACT_MAX ? "\"" : "";

	begin(j, key);
	dv_buf_putf(j->out, "%s%lld%s", quote, (long long)v, quote);
}

void dv_json_bool(struct dv_json *j, const char *key, bool v)
{
	begin(j, key);
	dv_buf_puts(j->out, v ? "true" : "false");
}

void dv_json_null(struct dv_json *j, const char *key)
{
	begin(j, key);
	dv_buf_puts(j->out, "null");
}

void dv_json_time(struct dv_json *j, const char *key, uint64_t unix_ns)
{
	time_t s = (time_t)(unix_ns / NS_PER_S);
	struct tm tm;

	/* 2^64 ns end in the year 2554, so it cannot fail. */
	dv_assert(gmtime_r(&s, &tm));
	begin(j, key);
	dv_buf_putf(j->out, "\"%04d-%02d-%02dT%02d:%02d:%02d.%09dZ\"",
		    tm.tm_year + 1900, tm.tm_mon + 1, tm.tm_mday, tm.tm_hour,
		    tm.tm_min, tm.tm_sec, (int)(unix_ns % NS_PER_S));
}
