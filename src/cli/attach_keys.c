/* SPDX-License-Identifier: MIT */
#include "cli/attach_keys.h"

#include <errno.h>
#include <string.h>

#include "base/def.h"

/* One of them, of @len bytes; -EINVAL. */
static int parse_key(const char *text, size_t len)
{
	static const char ctrl[] = "ctrl-";
	const size_t n = sizeof(ctrl) - 1;
	int c;

	if (len == 1)
		return (unsigned char)text[0];
	if (len != n + 1 || strncmp(text, ctrl, n) != 0)
		return -EINVAL;
	c = (unsigned char)text[n];
	if (c >= 'a' && c <= 'z')
		return c - 'a' + 1;
	/* @ [ \ ] ^ _ */
	return c == '@' || (c >= '[' && c <= '_') ? c - '@' : -EINVAL;
}

int attach_keys_parse(struct attach_keys *k, const char *text,
		      struct dv_err *err)
{
	const char *p = text;

	*k = (struct attach_keys){ 0 };
	while (*p) {
		size_t len = strcspn(p + 1, ",") + 1; /* a comma is a key */
		int key = k->n < ATTACH_KEYS_MAX ? parse_key(p, len) : -E2BIG;

		if (key < 0 || (p[len] && !p[len + 1])) {
			dv_err_set(err, EINVAL, DV_INVALID,
				   "--detach-keys: \"%.60s\" are no keys",
				   text);
			dv_err_hint(err,
				    "like ctrl-p,ctrl-q or ctrl-]; at "
				    "most %d",
				    ATTACH_KEYS_MAX);
			return -EINVAL;
		}
		k->key[k->n++] = (unsigned char)key;
		p += len + (p[len] == ',');
	}
	return 0;
}

/* How many of the first @k->n keys the last bytes at @end are, at most @max. */
static size_t tail(const struct attach_keys *k, const char *end, size_t max)
{
	for (size_t n = dv_min(max, k->n); n > 0; n--)
		if (!memcmp(end - n, k->key, n))
			return n;
	return 0;
}

char *attach_keys_find(struct attach_keys *k, char *at, size_t *lenp)
{
	size_t len = *lenp + k->got;

	if (!k->n)
		return at;
	*lenp = 0;
	if (k->found)
		return at;
	/* What was held back comes first again. */
	at -= k->got;
	memcpy(at, k->key, k->got);
	for (size_t i = k->got + 1; i <= len; i++) {
		if (tail(k, at + i, i) == k->n) {
			k->found = true;
			*lenp = i - k->n;
			return at;
		}
	}
	k->got = tail(k, at + len, len);
	*lenp = len - k->got;
	return at;
}
