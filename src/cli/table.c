/* SPDX-License-Identifier: MIT */
#include "cli/table.h"

#include <string.h>
#include <time.h>

#include "base/def.h"
#include "base/utf8.h"
#include "cli/report.h"

enum {
	MS = 1000000,
	WORDS_MAX = 1 << 20,
};

static const uint64_t second = UINT64_C(1000000000);

const char *dv_sandbox_title(const struct dv_sandbox_info *info)
{
	return info->name[0] ? info->name : info->id;
}

void dv_put_time(struct dv_buf *out, uint64_t unix_ns, int digits)
{
	const time_t t = (time_t)(unix_ns / second);
	const uint64_t ns = unix_ns % second;
	struct tm tm;
	char text[40] = "";

	if (gmtime_r(&t, &tm))
		strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%S", &tm);
	if (digits == 9)
		dv_buf_putf(out, "%s.%09dZ", text, (int)ns);
	else
		dv_buf_putf(out, "%s.%03dZ", text, (int)(ns / MS));
}

static const struct {
	uint64_t s;
	char letter;
} units[] = { { 86400, 'd' }, { 3600, 'h' }, { 60, 'm' }, { 1, 's' } };

/* The largest unit that fits at least once, or seconds. */
static size_t unit_of(uint64_t s)
{
	size_t i = 0;

	while (i < DV_ARRAY_LEN(units) - 1 && s < units[i].s)
		i++;
	return i;
}

static void put_unit(struct dv_buf *out, uint64_t s, size_t unit)
{
	dv_buf_putf(out, "%llu%c", (unsigned long long)(s / units[unit].s),
		    units[unit].letter);
}

void dv_put_span(struct dv_buf *out, uint64_t ns)
{
	put_unit(out, ns / second, unit_of(ns / second));
}

void dv_put_span_long(struct dv_buf *out, uint64_t ns)
{
	const uint64_t s = ns / second;
	const size_t unit = unit_of(s);

	if (s < 60) {
		dv_buf_putf(out, "%llu.%03ds", (unsigned long long)s,
			    (int)(ns % second / MS));
		return;
	}
	put_unit(out, s, unit);
	dv_buf_putc(out, ' ');
	put_unit(out, s % units[unit].s, unit + 1);
}

/* How many bytes the first @max characters have. */
static size_t bytes_of(const struct dv_buf *b, size_t max)
{
	size_t at = 0;

	while (max-- > 0 && at < b->len) {
		size_t n = dv_utf8_next(b->data + at, b->len - at, NULL);

		at += dv_max(n, (size_t)1);
	}
	return at;
}

void dv_put_command(struct dv_buf *out, char *const *argv, size_t max)
{
	dv_autobuf all = DV_BUF_INIT(WORDS_MAX);
	size_t n;

	for (size_t i = 0; argv && argv[i]; i++) {
		if (i > 0)
			dv_buf_putc(&all, ' ');
		dv_put_clean(&all, argv[i]);
		if (max && all.len > 8 * max)
			break;
	}
	n = max ? bytes_of(&all, max) : all.len;
	if (n < all.len) {
		dv_buf_put(out, all.data, bytes_of(&all, max - 3));
		dv_buf_puts(out, "...");
	} else {
		dv_buf_put(out, all.data ? all.data : "", all.len);
	}
}
