/* SPDX-License-Identifier: MIT */
/*
 * Kernel log records for people and for programs.
 */
#include <errno.h>
#include <limits.h>
#include <stdbool.h>
#include <string.h>

#include "base/def.h"
#include "base/json.h"
#include "base/utf8.h"
#include "wire/kmsg.h"

#define USEC_PER_SEC 1000000
/* Every byte of a record may take four, or six in JSON, and the fields. */
#define LINE_MAX_BYTES (8 * DV_KMSG_WIRE_MAX + 4096)

#define RED    "\033[0;31m"
#define GREEN  "\033[0;32m"
#define YELLOW "\033[0;33m"
#define RESET  "\033[0m"

enum { LEVEL_ERR = 3, LEVEL_WARNING = 4 };

static const char *const level_names[] = {
	"emerg", "alert", "crit", "err", "warning", "notice", "info", "debug",
};

/*
 * Bytes of the character at @p that a terminal may be given, or 0. It must not
 * act on what a guest wrote: no controls, neither those of ASCII nor U+0080 to
 * U+009F, and nothing that is no UTF-8, which some terminals take for such.
 */
static size_t shown_len(const uint8_t *p, size_t left)
{
	uint32_t cp;
	size_t n = dv_utf8_next(p, left, &cp);

	if (n == 0 || (cp < 0x20 && cp != '\t') || (cp >= 0x7f && cp <= 0x9f))
		return 0;
	return n;
}

static void put_shown(struct dv_buf *out, const char *text, size_t len)
{
	const uint8_t *p = (const uint8_t *)text;

	while (len > 0) {
		size_t n = shown_len(p, len);

		if (n == 0)
			dv_buf_putf(out, "<%02x>", (unsigned int)*p);
		else
			dv_buf_put(out, p, n);
		n = dv_max(n, (size_t)1);
		p += n;
		len -= n;
	}
}

static void put_time(struct dv_buf *out, const struct dv_kmsg *rec)
{
	dv_buf_putf(out, "[%llu.%06u]",
		    (unsigned long long)(rec->usec / USEC_PER_SEC),
		    (unsigned int)(rec->usec % USEC_PER_SEC));
}

static void put_plain(struct dv_buf *out, const struct dv_kmsg *rec)
{
	put_time(out, rec);
	dv_buf_putc(out, ' ');
	put_shown(out, rec->text, rec->text_len);
}

static const char *level_colour(uint32_t level)
{
	return level <= LEVEL_ERR ? RED : level == LEVEL_WARNING ? YELLOW : "";
}

/* The length of a first word that ends in a colon, which names the source. */
static size_t source_len(const struct dv_kmsg *rec)
{
	const char *space = memchr(rec->text, ' ', rec->text_len);
	size_t len = space ? (size_t)(space - rec->text) : 0;

	return len > 1 && rec->text[len - 1] == ':' ? len : 0;
}

static void put_colour(struct dv_buf *out, const struct dv_kmsg *rec)
{
	size_t source = source_len(rec);

	dv_buf_puts(out, GREEN);
	put_time(out, rec);
	dv_buf_puts(out, RESET " ");
	if (source > 0) {
		dv_buf_puts(out, YELLOW);
		put_shown(out, rec->text, source);
		dv_buf_puts(out, RESET);
	}
	dv_buf_puts(out, level_colour(rec->level));
	put_shown(out, rec->text + source, rec->text_len - source);
	dv_buf_puts(out, RESET);
}

/* " KEY=value" lines, as an object; the values stay escaped by the kernel. */
static void put_dict(struct dv_json *j, const struct dv_kmsg *rec)
{
	const char *p = rec->dict, *end = rec->dict + rec->dict_len;
	char key[64];

	dv_json_open(j, "dict", '{');
	while (p < end) {
		const char *line = memchr(p, '\n', (size_t)(end - p));
		const char *stop = line ? line : end;
		const char *eq = memchr(p, '=', (size_t)(stop - p));

		if (*p == ' ' && eq && eq > p + 1 &&
		    (size_t)(eq - p) <= sizeof(key)) {
			size_t n = (size_t)(eq - p) - 1;

			memcpy(key, p + 1, n);
			key[n] = '\0';
			dv_json_strn(j, key, eq + 1, (size_t)(stop - eq) - 1);
		}
		p = stop + 1;
	}
	dv_json_close(j, '}');
}

static void put_json(struct dv_buf *out, const struct dv_kmsg *rec)
{
	struct dv_json j = DV_JSON_INIT(out);

	dv_json_open(&j, NULL, '{');
	dv_json_u64(&j, "seq", rec->seq);
	dv_json_u64(&j, "usec", rec->usec);
	dv_json_u64(&j, "level", rec->level);
	dv_json_str(&j, "level_name", level_names[rec->level & 7]);
	dv_json_u64(&j, "facility", rec->facility);
	dv_json_strn(&j, "flag", &rec->flag, 1);
	dv_json_strn(&j, "text", rec->text, rec->text_len);
	if (rec->dict_len > 0)
		put_dict(&j, rec);
	dv_json_close(&j, '}');
}

void dv_kmsg_put(struct dv_buf *out, const struct dv_kmsg *rec,
		 enum dv_kmsg_form form)
{
	switch (form) {
	case DV_KMSG_PLAIN:
		put_plain(out, rec);
		return;
	case DV_KMSG_COLOUR:
		put_colour(out, rec);
		return;
	case DV_KMSG_JSON:
		put_json(out, rec);
		return;
	}
}

int dv_kmsg_format(const struct dv_kmsg *rec, enum dv_kmsg_form form, char *out,
		   size_t size)
{
	dv_autobuf line = DV_BUF_INIT(LINE_MAX_BYTES);
	size_t n;

	if (size > 0)
		out[0] = '\0';
	dv_kmsg_put(&line, rec, form);
	if (dv_buf_status(&line) < 0)
		return dv_buf_status(&line);
	n = size > 0 ? dv_min(line.len, size - 1) : 0;
	if (n > 0)
		memcpy(out, line.data, n);
	if (size > 0)
		out[n] = '\0';
	return (int)line.len;
}
