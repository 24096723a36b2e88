/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <string.h>

#include "base/def.h"
#include "base/utf8.h"
#include "inspect/node.h"
#include "inspect/text.h"

size_t dv_node_typed_parent(const char *typed)
{
	const char *slash = strrchr(typed, '/');

	return slash ? (size_t)(slash - typed) + 1 : 0;
}

/* Candidates are lines of text on their way to a shell. */
static bool is_typable(const char *name, size_t len)
{
	if (len == 0)
		return false;
	while (len > 0) {
		uint32_t cp;
		size_t n = dv_utf8_next(name, len, &cp);

		if (n == 0 || dv_text_hidden(cp))
			return false;
		name += n;
		len -= n;
	}
	return true;
}

int dv_node_complete(const char *typed, const struct dv_node *parent,
		     void (*fn)(void *arg, const char *candidate), void *arg)
{
	dv_autobuf out = DV_BUF_INIT(SIZE_MAX / 2);
	size_t head = dv_node_typed_parent(typed);
	size_t want = strlen(typed + head);
	int count = 0;

	for (size_t i = 0; i < dv_node_count(parent); i++) {
		const struct dv_node *c = parent->child[i];

		if (c->name_len < want || !is_typable(c->name, c->name_len) ||
		    memcmp(c->name, typed + head, want) != 0)
			continue;
		dv_buf_reset(&out);
		dv_buf_put(&out, typed, head);
		dv_buf_put(&out, c->name, c->name_len);
		if (dv_node_is_dir(c))
			dv_buf_putc(&out, '/');
		if (out.status < 0)
			return out.status;
		fn(arg, out.data);
		count++;
	}
	return count;
}
