/* SPDX-License-Identifier: MIT */
#include "wire/hvsock.h"

#include <assert.h>
#include <errno.h>
#include <string.h>
#include <strings.h>

#include "base/def.h"
#include "base/fmt.h"

enum {
	PREFIX_LEN = 8,  /* "CONNECT " */
	OK_LEN = 3,      /* "OK " */
	ERR_LEN = 4,     /* "ERR " */
	NUMBER_LEN = 10, /* of 4294967295 */
	PORT_DIGITS = 8, /* of a guid */
	BRACED_LEN = DV_HVSOCK_GUID_LEN + 2,
	SHOWN_MAX = 64, /* of a peer's text in a message of ours */
};

static const char connect_prefix[] = "CONNECT ";
static const char guid_tail[] = "-facb-11e6-bd58-64006a7986d3";
static_assert(sizeof(connect_prefix) - 1 == PREFIX_LEN, "its length");
static_assert(PORT_DIGITS + sizeof(guid_tail) - 1 == DV_HVSOCK_GUID_LEN,
	      "the guid is the port and the rest");

/* ---- addresses -------------------------------------------------------- */

/* Not isdigit() and friends: the locale has no say here. */
static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static int hex_value(char c)
{
	if (is_digit(c))
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

static bool parse_number(const char *text, size_t len, uint32_t *portp)
{
	uint64_t v = 0;
	size_t i = len > 0 && text[0] == '+';

	if (i == len)
		return false;
	for (; i < len; i++) {
		if (!is_digit(text[i]))
			return false;
		v = v * 10 + (uint64_t)(text[i] - '0');
		if (v > UINT32_MAX)
			return false;
	}
	*portp = (uint32_t)v;
	return true;
}

static bool parse_guid(const char *text, size_t len, uint32_t *portp)
{
	uint32_t v = 0;

	if (len == BRACED_LEN && text[0] == '{' && text[len - 1] == '}') {
		text++;
		len -= 2;
	}
	if (len != DV_HVSOCK_GUID_LEN)
		return false;
	for (size_t i = 0; i < PORT_DIGITS; i++) {
		int digit = hex_value(text[i]);

		if (digit < 0)
			return false;
		v = v << 4 | (uint32_t)digit;
	}
	if (strncasecmp(text + PORT_DIGITS, guid_tail, sizeof(guid_tail) - 1) !=
	    0)
		return false;
	*portp = v;
	return true;
}

/* A peer's bytes for a message: what could upset a terminal becomes '?'. */
static const char *shown(char out[SHOWN_MAX + 1], const char *text, size_t len)
{
	len = dv_min(len, (size_t)SHOWN_MAX);
	for (size_t i = 0; i < len; i++)
		out[i] = text[i] >= ' ' && text[i] <= '~' ? text[i] : '?';
	out[len] = '\0';
	return out;
}

int dv_hvsock_parse_addr(const char *text, size_t len,
			 struct dv_hvsock_addr *addrp, struct dv_err *err)
{
	char show[SHOWN_MAX + 1];
	uint32_t port;
	bool guid = false;

	if (!parse_number(text, len, &port)) {
		guid = true;
		if (!parse_guid(text, len, &port))
			return dv_err_set(err, EBADMSG, DV_INVALID,
					  "invalid port or service id: %s",
					  shown(show, text, len));
	}
	*addrp = (struct dv_hvsock_addr){ port, guid };
	return 0;
}

/* ---- request ---------------------------------------------------------- */

int dv_hvsock_parse_connect(const void *data, size_t len,
			    struct dv_hvsock_addr *addrp, size_t *usedp,
			    struct dv_err *err)
{
	const char *text = data, *end;
	size_t line = dv_min(len, (size_t)DV_HVSOCK_LINE_MAX);
	int r;

	if (len == 0)
		return DV_MORE;
	if (strncasecmp(text, connect_prefix,
			dv_min(line, (size_t)PREFIX_LEN)) != 0)
		return dv_err_set(err, EBADMSG, DV_INVALID,
				  "missing CONNECT prefix");
	end = memchr(text, '\n', line);
	if (!end && line == DV_HVSOCK_LINE_MAX)
		return dv_err_set(err, EBADMSG, DV_INVALID,
				  "connect request did not fit");
	if (!end)
		return DV_MORE;
	line = (size_t)(end - text);
	r = dv_hvsock_parse_addr(text + PREFIX_LEN, line - PREFIX_LEN, addrp,
				 err);
	if (r == 0)
		*usedp = line + 1;
	return r;
}

/* ---- reply ------------------------------------------------------------ */

static int parse_err_line(const char *text, size_t len, struct dv_err *err)
{
	size_t max = dv_min(len, (size_t)DV_HVSOCK_ERR_MAX);
	const char *end = memchr(text, '\n', max);
	char show[SHOWN_MAX + 1];

	if (!end && max < DV_HVSOCK_ERR_MAX)
		return DV_MORE;
	if (end)
		max = (size_t)(end - text);
	return dv_err_set(err, ECONNREFUSED, DV_UNAVAILABLE, "refused: %s",
			  shown(show, text + ERR_LEN, max - ERR_LEN));
}

/* Could these bytes, without a newline so far, become a guid? */
static bool guid_begins(const char *text, size_t len)
{
	for (size_t i = 0; i < len; i++)
		if (text[i] != '-' && hex_value(text[i]) < 0)
			return false;
	return true;
}

static int parse_ok_line(const char *text, size_t len,
			 struct dv_hvsock_addr *addrp, size_t *usedp,
			 struct dv_err *err)
{
	const char *end =
		memchr(text, '\n', dv_min(len, (size_t)DV_HVSOCK_OK_MAX));
	size_t left = (end ? (size_t)(end - text) : len) - OK_LEN;
	struct dv_hvsock_addr addr = { 0, false };
	bool known;

	text += OK_LEN;
	if (!end && (left <= NUMBER_LEN ||
		     (left <= DV_HVSOCK_GUID_LEN && guid_begins(text, left))))
		return DV_MORE;
	known = end && dv_hvsock_parse_addr(text, left, &addr, NULL) == 0;
	if (!end || (!known && left > NUMBER_LEN &&
		     (left != DV_HVSOCK_GUID_LEN || !guid_begins(text, left))))
		return dv_err_set(err, EBADMSG, DV_INVALID,
				  "invalid hybrid vsock response");
	*addrp = addr;
	*usedp = OK_LEN + left + 1;
	return 0;
}

int dv_hvsock_parse_reply(const void *data, size_t len,
			  struct dv_hvsock_addr *addrp, size_t *usedp,
			  struct dv_err *err)
{
	const char *text = data;
	char show[SHOWN_MAX + 1];

	if (len == 0)
		return DV_MORE;
	if (memcmp(text, "OK ", dv_min(len, (size_t)OK_LEN)) == 0)
		return len < OK_LEN
			       ? DV_MORE
			       : parse_ok_line(text, len, addrp, usedp, err);
	if (memcmp(text, "ERR ", dv_min(len, (size_t)ERR_LEN)) == 0)
		return len < ERR_LEN ? DV_MORE : parse_err_line(text, len, err);
	return dv_err_set(err, EBADMSG, DV_INVALID,
			  "missing hybrid vsock response: %s",
			  shown(show, text, dv_min(len, (size_t)16)));
}

/* ---- writing ---------------------------------------------------------- */

void dv_hvsock_guid(char out[DV_HVSOCK_GUID_LEN + 1], uint32_t port)
{
	dv_fmt(out, DV_HVSOCK_GUID_LEN + 1, "%08x%s", port, guid_tail);
}

static size_t put_addr(char *out, size_t size, const char *word,
		       const struct dv_hvsock_addr *addr)
{
	char guid[DV_HVSOCK_GUID_LEN + 1];

	if (!addr->guid)
		return (size_t)dv_fmt(out, size, "%s%u\n", word, addr->port);
	dv_hvsock_guid(guid, addr->port);
	return (size_t)dv_fmt(out, size, "%s%s\n", word, guid);
}

size_t dv_hvsock_put_connect(char out[DV_HVSOCK_LINE_MAX + 1],
			     const struct dv_hvsock_addr *addr)
{
	return put_addr(out, DV_HVSOCK_LINE_MAX + 1, connect_prefix, addr);
}

size_t dv_hvsock_put_ok(char out[DV_HVSOCK_OK_MAX + 1],
			const struct dv_hvsock_addr *addr)
{
	return put_addr(out, DV_HVSOCK_OK_MAX + 1, "OK ", addr);
}

size_t dv_hvsock_put_err(char out[DV_HVSOCK_ERR_MAX + 1], const char *text)
{
	size_t max = DV_HVSOCK_ERR_MAX - 1, len = ERR_LEN;

	memcpy(out, "ERR ", ERR_LEN);
	for (; *text && len < max; text++, len++)
		out[len] = (unsigned char)*text < ' ' || *text == 0x7f ? ' '
								       : *text;
	out[len++] = '\n';
	out[len] = '\0';
	return len;
}
