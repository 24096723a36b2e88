/* SPDX-License-Identifier: MIT */
#include "inspect/node.h"

#include <errno.h>
#include <string.h>

#include "base/def.h"
#include "base/utf8.h"
#include "inspect/text.h"

#define CHILDREN_FIRST 8

static struct dv_node *node_new(enum dv_node_kind kind, uint64_t flags)
{
	struct dv_node *node = calloc(1, sizeof(*node));

	if (!node)
		return NULL;
	node->kind = (uint8_t)kind;
	node->level = DV_SENS_SAFE;
	node->flags = flags;
	return node;
}

static bool has_data(const struct dv_node *node)
{
	return node->kind == DV_NODE_STRING || node->kind == DV_NODE_BYTES ||
	       node->kind == DV_NODE_FAILED;
}

/* A copy with a NUL behind it that @lenp does not count; text is made UTF-8. */
static char *copy_data(const void *data, size_t len, bool text, size_t *lenp)
{
	dv_autobuf out = DV_BUF_INIT(SIZE_MAX / 2);

	if (!text || dv_utf8_ok(data, len))
		dv_buf_put(&out, data, len);
	else
		dv_text_put(&out, data, len);
	*lenp = out.len;
	return dv_buf_take(&out);
}

int dv_node_set_data(struct dv_node *node, enum dv_node_kind kind,
		     const void *data, size_t len)
{
	size_t n = 0;
	char *copy = NULL;

	dv_node_clear(node);
	if (len > 0) {
		copy = copy_data(data, len, kind != DV_NODE_BYTES, &n);
		if (!copy)
			return -ENOMEM;
	}
	node->kind = (uint8_t)kind;
	node->data = copy;
	node->len = n;
	return 0;
}

static struct dv_node *data_new(enum dv_node_kind kind, const void *data,
				size_t len)
{
	dv_autonode struct dv_node *node = node_new(kind, 0);

	if (!node || dv_node_set_data(node, kind, data, len) < 0)
		return NULL;
	return dv_take_ptr(&node);
}

struct dv_node *dv_node_dir(void)
{
	return node_new(DV_NODE_DIR, 0);
}

struct dv_node *dv_node_unevaluated(void)
{
	return node_new(DV_NODE_UNEVALUATED, 0);
}

struct dv_node *dv_node_failed(enum dv_node_error error, const char *text)
{
	bool wordy = error == DV_NODE_CHANNEL || error == DV_NODE_UPDATE;
	struct dv_node *node = data_new(DV_NODE_FAILED, text,
					wordy && text ? strlen(text) : 0);

	if (node)
		node->error = (uint8_t)error;
	return node;
}

struct dv_node *dv_node_signed(int64_t v, uint64_t flags)
{
	struct dv_node *node = node_new(DV_NODE_SIGNED, flags);

	if (node)
		node->i64 = v;
	return node;
}

struct dv_node *dv_node_unsigned(uint64_t v, uint64_t flags)
{
	struct dv_node *node = node_new(DV_NODE_UNSIGNED, flags);

	if (node)
		node->u64 = v;
	return node;
}

struct dv_node *dv_node_float(float v)
{
	struct dv_node *node = node_new(DV_NODE_FLOAT, 0);

	if (node)
		node->f32 = v;
	return node;
}

struct dv_node *dv_node_double(double v, uint64_t flags)
{
	struct dv_node *node = node_new(DV_NODE_DOUBLE, flags);

	if (node)
		node->f64 = v;
	return node;
}

struct dv_node *dv_node_boolean(bool v)
{
	struct dv_node *node = node_new(DV_NODE_BOOL, 0);

	if (node)
		node->b = v;
	return node;
}

struct dv_node *dv_node_string(const char *s, size_t len)
{
	return data_new(DV_NODE_STRING, s, len);
}

struct dv_node *dv_node_bytes(const void *data, size_t len)
{
	return data_new(DV_NODE_BYTES, data, len);
}

struct dv_node *dv_node_copy(const struct dv_node *node)
{
	dv_autonode struct dv_node *copy = node_new(node->kind, node->flags);

	if (!copy)
		return NULL;
	if (has_data(node)) {
		if (dv_node_set_data(copy, node->kind, node->data, node->len))
			return NULL;
		copy->error = node->error;
		copy->flags = node->flags;
	} else if (node->kind != DV_NODE_DIR) {
		copy->u64 = node->u64;
		return dv_take_ptr(&copy);
	}
	for (size_t i = 0; i < dv_node_count(node); i++) {
		const struct dv_node *c = node->child[i];

		if (dv_node_add_n(copy, c->name, c->name_len, c->level,
				  dv_node_copy(c)) < 0)
			return NULL;
	}
	return dv_take_ptr(&copy);
}

static int grow(struct dv_node *dir)
{
	uint32_t cap = dir->cap ? dir->cap * 2 : CHILDREN_FIRST;
	struct dv_node **child;

	if (cap < dir->cap)
		return -ENOMEM;
	child = reallocarray(dir->child, cap, sizeof(struct dv_node *));
	if (!child)
		return -ENOMEM;
	dir->child = child;
	dir->cap = cap;
	return 0;
}

int dv_node_add_n(struct dv_node *dir, const char *name, size_t len,
		  enum dv_sensitivity level, struct dv_node *node)
{
	dv_autonode struct dv_node *n = node;
	size_t name_len = 0;

	dv_assert(dir->kind == DV_NODE_DIR && (!n || !n->name));
	if (!n || len > UINT32_MAX / 4)
		return -ENOMEM;
	if (len > 0) {
		n->name = copy_data(name, len, true, &name_len);
		if (!n->name)
			return -ENOMEM;
		n->name_len = (uint32_t)name_len;
	}
	if (dir->n == dir->cap && grow(dir) < 0)
		return -ENOMEM;
	n->level = (uint8_t)level;
	n->seq = dir->n;
	dir->child[dir->n++] = dv_take_ptr(&n);
	return 0;
}

int dv_node_add(struct dv_node *dir, const char *name,
		enum dv_sensitivity level, struct dv_node *node)
{
	return dv_node_add_n(dir, name, strlen(name), level, node);
}

void dv_node_clear(struct dv_node *node)
{
	if (has_data(node))
		free(node->data);
	if (node->kind == DV_NODE_DIR) {
		for (size_t i = 0; i < node->n; i++)
			dv_node_free(node->child[i]);
		free(node->child);
	}
	node->kind = DV_NODE_UNEVALUATED;
	node->flags = 0;
	node->error = 0;
	node->child = NULL;
	node->n = node->cap = 0;
}

struct dv_node *dv_node_free(struct dv_node *node)
{
	if (node) {
		dv_node_clear(node);
		free(node->name);
		free(node);
	}
	return NULL;
}

void dv_node_move(struct dv_node *to, struct dv_node *from)
{
	struct dv_node old = *to;

	*to = *from;
	to->name = old.name;
	to->name_len = old.name_len;
	to->level = old.level;
	to->seq = old.seq;
	old.name = from->name;
	*from = old;
	dv_node_free(from);
}

/* ---- reading ---- */

enum dv_node_kind dv_node_kind(const struct dv_node *node)
{
	return node->kind;
}

uint64_t dv_node_flags(const struct dv_node *node)
{
	return node->flags;
}

int64_t dv_node_get_signed(const struct dv_node *node)
{
	return node->kind == DV_NODE_SIGNED ? node->i64 : 0;
}

uint64_t dv_node_get_unsigned(const struct dv_node *node)
{
	return node->kind == DV_NODE_UNSIGNED ? node->u64 : 0;
}

double dv_node_get_double(const struct dv_node *node)
{
	if (node->kind == DV_NODE_FLOAT)
		return node->f32;
	return node->kind == DV_NODE_DOUBLE ? node->f64 : 0;
}

bool dv_node_get_bool(const struct dv_node *node)
{
	return node->kind == DV_NODE_BOOL && node->b;
}

const char *dv_node_get_data(const struct dv_node *node, size_t *lenp)
{
	bool have = has_data(node) && node->kind != DV_NODE_FAILED;

	if (lenp)
		*lenp = have ? node->len : 0;
	return have && node->data ? node->data : "";
}

enum dv_node_error dv_node_get_error(const struct dv_node *node)
{
	return node->kind == DV_NODE_FAILED ? node->error : 0;
}

size_t dv_node_count(const struct dv_node *dir)
{
	return dir->kind == DV_NODE_DIR ? dir->n : 0;
}

struct dv_node *dv_node_child(const struct dv_node *dir, size_t n)
{
	return n < dv_node_count(dir) ? dir->child[n] : NULL;
}

const char *dv_node_name(const struct dv_node *node, size_t *lenp)
{
	if (lenp)
		*lenp = node->name_len;
	return node->name ? node->name : "";
}

enum dv_sensitivity dv_node_sensitivity(const struct dv_node *node)
{
	return node->level;
}

bool dv_node_is_dir(const struct dv_node *node)
{
	return node->kind == DV_NODE_DIR || node->kind == DV_NODE_UNEVALUATED;
}

static struct dv_node *child_named(const struct dv_node *dir, const char *name,
				   size_t len)
{
	for (size_t i = 0; i < dv_node_count(dir); i++) {
		struct dv_node *c = dir->child[i];

		if (c->name_len == len && memcmp(c->name, name, len) == 0)
			return c;
	}
	return NULL;
}

struct dv_node *dv_node_find(const struct dv_node *node, const char *path)
{
	/* The caller's own tree: const says that we do not change it. */
	union {
		const struct dv_node *in;
		struct dv_node *out;
	} at = { node };

	while (at.in && *path) {
		size_t len = strcspn(path, "/");

		if (!dv_node_is_dir(at.in))
			return NULL;
		if (len > 0)
			at.in = child_named(at.in, path, len);
		path += len + (path[len] == '/');
		if (at.in && !*path && path[-1] == '/' &&
		    !dv_node_is_dir(at.in))
			return NULL;
	}
	return at.out;
}
