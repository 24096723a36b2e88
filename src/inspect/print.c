/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <math.h>
#include <string.h>

#include "base/def.h"
#include "base/json.h"
#include "base/utf8.h"
#include "inspect/node.h"
#include "inspect/text.h"

enum { INDENT = 4 };

/* ---- numbers, bytes ---- */

static void put_binary(struct dv_buf *out, uint64_t v)
{
	unsigned int bit = 63;

	while (bit > 0 && !(v >> bit & 1))
		bit--;
	dv_buf_puts(out, "0b");
	for (;; bit--) {
		dv_buf_putc(out, v >> bit & 1 ? '1' : '0');
		if (bit == 0)
			break;
	}
}

/* Hexadecimal and binary show the 64 bits of a negative number. */
static void put_integer(struct dv_buf *out, const struct dv_node *node)
{
	if (node->flags & DV_NODE_HEX)
		dv_buf_putf(out, "0x%llx", (unsigned long long)node->u64);
	else if (node->flags & DV_NODE_BINARY)
		put_binary(out, node->u64);
	else if (node->kind == DV_NODE_SIGNED)
		dv_buf_putf(out, "%lld", (long long)node->i64);
	else
		dv_buf_putf(out, "%llu", (unsigned long long)node->u64);
}

static void put_float(struct dv_buf *out, const struct dv_node *node)
{
	char text[DV_FLOAT_TEXT_MAX];

	dv_float_text(text, dv_node_get_double(node),
		      node->kind == DV_NODE_FLOAT);
	dv_buf_puts(out, text);
}

static void put_hex(struct dv_buf *out, const char *data, size_t len)
{
	static const char digits[] = "0123456789abcdef";
	char *p;

	dv_buf_putc(out, '<');
	p = len > SIZE_MAX / 2 ? NULL : dv_buf_room(out, len * 2);
	for (size_t i = 0; p && i < len; i++) {
		p[2 * i] = digits[(uint8_t)data[i] >> 4];
		p[2 * i + 1] = digits[data[i] & 15];
	}
	if (p)
		dv_buf_add(out, len * 2);
	dv_buf_putc(out, '>');
}

/* Without padding. */
static void put_base64(struct dv_buf *out, const char *data, size_t len)
{
	static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
				     "abcdefghijklmnopqrstuvwxyz0123456789+/";
	const uint8_t *p = (const uint8_t *)data;

	for (; len > 0 && out->status == 0; p += 3) {
		size_t n = dv_min(len, (size_t)3);
		uint32_t v = (uint32_t)p[0] << 16;
		char text[4];

		if (n > 1)
			v |= (uint32_t)p[1] << 8;
		if (n > 2)
			v |= p[2];
		for (unsigned int i = 0; i < 4; i++)
			text[i] = digits[v >> (18 - 6 * i) & 63];
		dv_buf_put(out, text, n + 1);
		len -= n;
	}
}

static void put_reason(struct dv_buf *out, const struct dv_node *node)
{
	dv_buf_puts(out, dv_node_error_word(node->error));
	dv_buf_put(out, node->data, node->len);
}

/* ---- text ---- */

static bool is_bare(const char *name, size_t len)
{
	if (len == 0)
		return false;
	while (len > 0) {
		uint32_t cp;
		size_t n = dv_utf8_next(name, len, &cp);

		/* Zero is hidden, so strchr() never finds its end. */
		if (n == 0 || dv_text_hidden(cp) ||
		    (cp < 0x80 && strchr(" \"\\:,{}<>()", (int)cp)))
			return false;
		name += n;
		len -= n;
	}
	return true;
}

static void put_indent(struct dv_buf *out, unsigned int level)
{
	char *p = dv_buf_room(out, (size_t)level * INDENT);

	if (p) {
		memset(p, ' ', (size_t)level * INDENT);
		dv_buf_add(out, (size_t)level * INDENT);
	}
}

/* What a peer says about its failure, as a string would be, without quotes. */
static void put_safe_reason(struct dv_buf *out, const struct dv_node *node)
{
	dv_autobuf text = DV_BUF_INIT(out->max);

	dv_buf_puts(out, dv_node_error_word(node->error));
	dv_text_put_quoted(&text, node->data, node->len);
	if (text.status < 0)
		out->status = text.status;
	else
		dv_buf_put(out, text.data + 1, text.len - 2);
}

static void text_node(struct dv_buf *out, const struct dv_node *node,
		      unsigned int level);

static void text_dir(struct dv_buf *out, const struct dv_node *dir,
		     unsigned int level)
{
	dv_buf_puts(out, dir->n ? "{\n" : "{");
	for (size_t i = 0; i < dir->n && out->status == 0; i++) {
		const struct dv_node *c = dir->child[i];
		const char *name = dv_node_name(c, NULL);

		put_indent(out, level + 1);
		if (is_bare(name, c->name_len))
			dv_buf_put(out, name, c->name_len);
		else
			dv_text_put_quoted(out, name, c->name_len);
		dv_buf_puts(out, ": ");
		text_node(out, c, level + 1);
		dv_buf_puts(out, ",\n");
	}
	if (dir->n)
		put_indent(out, level);
	dv_buf_putc(out, '}');
}

static void text_node(struct dv_buf *out, const struct dv_node *node,
		      unsigned int level)
{
	switch ((enum dv_node_kind)node->kind) {
	case DV_NODE_DIR:
		text_dir(out, node, level);
		break;
	case DV_NODE_SIGNED:
	case DV_NODE_UNSIGNED:
		put_integer(out, node);
		break;
	case DV_NODE_FLOAT:
	case DV_NODE_DOUBLE:
		put_float(out, node);
		break;
	case DV_NODE_BOOL:
		dv_buf_puts(out, node->b ? "true" : "false");
		break;
	case DV_NODE_STRING:
		dv_text_put_quoted(out, node->data, node->len);
		break;
	case DV_NODE_BYTES:
		put_hex(out, node->data, node->len);
		break;
	case DV_NODE_FAILED:
		dv_buf_puts(out, "error (");
		put_safe_reason(out, node);
		dv_buf_putc(out, ')');
		break;
	case DV_NODE_UNEVALUATED:
	case DV_NODE_KIND_N:
		dv_buf_putc(out, '_');
		break;
	}
}

void dv_node_print_text(struct dv_buf *out, const struct dv_node *node)
{
	text_node(out, node, 0);
}

/* ---- JSON ---- */

/* dv_json ends a key at a NUL, which a name may hold: it is put as a value. */
static void json_string(struct dv_buf *out, const char *s, size_t len)
{
	struct dv_json j = DV_JSON_INIT(out);

	dv_json_strn(&j, NULL, s, len);
}

static void json_node(struct dv_buf *out, const struct dv_node *node);

static void json_dir(struct dv_buf *out, const struct dv_node *dir)
{
	dv_buf_putc(out, '{');
	for (size_t i = 0; i < dir->n && out->status == 0; i++) {
		const struct dv_node *c = dir->child[i];

		if (i > 0)
			dv_buf_putc(out, ',');
		json_string(out, dv_node_name(c, NULL), c->name_len);
		dv_buf_putc(out, ':');
		json_node(out, c);
	}
	dv_buf_putc(out, '}');
}

static void json_failed(struct dv_buf *out, const struct dv_node *node)
{
	dv_autobuf text = DV_BUF_INIT(out->max);

	put_reason(&text, node);
	dv_buf_puts(out, "{\"$error\":");
	if (text.status < 0)
		out->status = text.status;
	else
		json_string(out, text.data, text.len);
	dv_buf_putc(out, '}');
}

/* In quotes where JSON has no such number. */
static void json_number(struct dv_buf *out, const struct dv_node *node)
{
	bool real = node->kind == DV_NODE_FLOAT || node->kind == DV_NODE_DOUBLE;
	bool plain = real ? isfinite(dv_node_get_double(node))
			  : !(node->flags & (DV_NODE_HEX | DV_NODE_BINARY));

	if (!plain)
		dv_buf_putc(out, '"');
	if (real)
		put_float(out, node);
	else
		put_integer(out, node);
	if (!plain)
		dv_buf_putc(out, '"');
}

static void json_node(struct dv_buf *out, const struct dv_node *node)
{
	switch ((enum dv_node_kind)node->kind) {
	case DV_NODE_DIR:
		json_dir(out, node);
		break;
	case DV_NODE_SIGNED:
	case DV_NODE_UNSIGNED:
	case DV_NODE_FLOAT:
	case DV_NODE_DOUBLE:
		json_number(out, node);
		break;
	case DV_NODE_BOOL:
		dv_buf_puts(out, node->b ? "true" : "false");
		break;
	case DV_NODE_STRING:
		json_string(out, node->data, node->len);
		break;
	case DV_NODE_BYTES:
		dv_buf_putc(out, '"');
		put_base64(out, node->data, node->len);
		dv_buf_putc(out, '"');
		break;
	case DV_NODE_FAILED:
		json_failed(out, node);
		break;
	case DV_NODE_UNEVALUATED:
	case DV_NODE_KIND_N:
		dv_buf_puts(out, "null");
		break;
	}
}

void dv_node_print_json(struct dv_buf *out, const struct dv_node *node)
{
	json_node(out, node);
}

/* ---- both ---- */

static int print(void (*fn)(struct dv_buf *, const struct dv_node *),
		 const struct dv_node *node, char **textp, size_t *lenp)
{
	dv_autobuf out = DV_BUF_INIT(DV_NODE_PRINT_MAX);

	fn(&out, node);
	if (out.status < 0)
		return out.status;
	if (lenp)
		*lenp = out.len;
	*textp = dv_buf_take(&out);
	return *textp ? 0 : -ENOMEM;
}

int dv_node_text(const struct dv_node *node, char **textp, size_t *lenp)
{
	return print(dv_node_print_text, node, textp, lenp);
}

int dv_node_json(const struct dv_node *node, char **textp, size_t *lenp)
{
	return print(dv_node_print_json, node, textp, lenp);
}
