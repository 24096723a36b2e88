/* SPDX-License-Identifier: MIT */
/*
 * What is done to whole trees. All of it recurses once per level, of which
 * there are at most DV_NODE_DEPTH_MAX.
 */
#include <errno.h>
#include <string.h>

#include "base/def.h"
#include "base/fmt.h"
#include "inspect/node.h"

/* ---- order and merging ---- */

static int by_name(const void *a, const void *b)
{
	const struct dv_node *x = *(struct dv_node *const *)a;
	const struct dv_node *y = *(struct dv_node *const *)b;
	int r = dv_node_natural(dv_node_name(x, NULL), x->name_len,
				dv_node_name(y, NULL), y->name_len);

	return r ? r : (x->seq > y->seq) - (x->seq < y->seq);
}

static bool same_name(const struct dv_node *a, const struct dv_node *b)
{
	return a->name_len == b->name_len &&
	       (a->name_len == 0 || memcmp(a->name, b->name, a->name_len) == 0);
}

static bool replaces_nothing(const struct dv_node *node)
{
	return node->kind == DV_NODE_UNEVALUATED ||
	       dv_node_get_error(node) == DV_NODE_UNRESOLVED;
}

/* Move the entries of @from behind those of @to; false: no memory for it. */
static bool append_entries(struct dv_node *to, struct dv_node *from)
{
	uint32_t n = to->n + from->n;

	if (n > to->cap) {
		uint32_t cap = dv_max(n, to->cap * 2);
		struct dv_node **child =
			reallocarray(to->child, cap, sizeof(struct dv_node *));

		if (!child)
			return false;
		to->child = child;
		to->cap = cap;
	}
	for (uint32_t i = 0; i < from->n; i++) {
		from->child[i]->seq = to->n;
		to->child[to->n++] = from->child[i];
	}
	from->n = 0;
	return true;
}

/*
 * Fold @next (consumed) into @kept: two entries of one name. False when there
 * is no memory for it: then both stay, which is odd to see but loses nothing.
 */
static bool merge_entry(struct dv_node *kept, struct dv_node *next)
{
	if (kept->kind == DV_NODE_DIR && next->kind == DV_NODE_DIR) {
		if (!append_entries(kept, next))
			return false;
		kept->level = dv_max(kept->level, next->level);
	} else if (kept->kind != DV_NODE_DIR &&
		   (!replaces_nothing(next) ||
		    kept->kind == DV_NODE_UNEVALUATED)) {
		kept->level = next->level;
		dv_node_move(kept, next);
		return true;
	}
	dv_node_free(next);
	return true;
}

void dv_node_normalize(struct dv_node *node)
{
	uint32_t kept = 0;

	if (dv_node_count(node) == 0)
		return;
	for (uint32_t i = 0; i < node->n; i++)
		node->child[i]->seq = i;
	qsort(node->child, node->n, sizeof(struct dv_node *), by_name);
	for (uint32_t i = 1; i < node->n; i++) {
		struct dv_node *next = node->child[i];

		if (!same_name(node->child[kept], next) ||
		    !merge_entry(node->child[kept], next))
			node->child[++kept] = next;
	}
	node->n = kept + 1;
	for (uint32_t i = 0; i < node->n; i++)
		dv_node_normalize(node->child[i]);
}

/* ---- making it smaller ---- */

void dv_node_filter(struct dv_node *node, enum dv_sensitivity limit)
{
	uint32_t kept = 0;

	if (node->kind != DV_NODE_DIR)
		return;
	for (uint32_t i = 0; i < node->n; i++) {
		if (node->child[i]->level > limit) {
			dv_node_free(node->child[i]);
			continue;
		}
		dv_node_filter(node->child[i], limit);
		node->child[kept++] = node->child[i];
	}
	node->n = kept;
}

int dv_node_cut(struct dv_node *node, uint32_t depth)
{
	int count = 0;

	for (size_t i = 0; i < dv_node_count(node); i++) {
		struct dv_node *c = node->child[i];

		if (c->kind != DV_NODE_DIR) {
			continue;
		} else if (depth > 0) {
			count += dv_node_cut(c, depth - 1);
		} else {
			dv_node_clear(c);
			count++;
		}
	}
	return count;
}

int dv_node_prune(struct dv_node *node, size_t max)
{
	uint32_t low = 0, high = DV_NODE_DEPTH_MAX;

	if (dv_node_size_at(node, high) <= max)
		return 0;
	if (dv_node_size_at(node, low) > max)
		return -EMSGSIZE;
	/* The deepest cut that fits: low does, high does not. */
	while (high - low > 1) {
		uint32_t middle = (low + high) / 2;

		if (dv_node_size_at(node, middle) <= max)
			low = middle;
		else
			high = middle;
	}
	return dv_node_cut(node, low);
}

size_t dv_node_total(const struct dv_node *node)
{
	size_t total = 1;

	for (size_t i = 0; i < dv_node_count(node); i++)
		total += dv_node_total(node->child[i]);
	return total;
}

/* ---- comparing ---- */

static bool same_content(const struct dv_node *a, const struct dv_node *b)
{
	switch ((enum dv_node_kind)a->kind) {
	case DV_NODE_SIGNED:
	case DV_NODE_UNSIGNED:
	case DV_NODE_FLOAT: /* by bits: NaN is itself, -0 is not 0 */
	case DV_NODE_DOUBLE:
		return a->u64 == b->u64;
	case DV_NODE_BOOL:
		return a->b == b->b;
	case DV_NODE_STRING:
	case DV_NODE_BYTES:
	case DV_NODE_FAILED:
		return a->error == b->error && a->len == b->len &&
		       (a->len == 0 || memcmp(a->data, b->data, a->len) == 0);
	case DV_NODE_DIR:
	case DV_NODE_UNEVALUATED:
	case DV_NODE_KIND_N:
		break;
	}
	return true;
}

bool dv_node_equal(const struct dv_node *a, const struct dv_node *b)
{
	if (a->kind != b->kind || a->flags != b->flags || !same_content(a, b) ||
	    dv_node_count(a) != dv_node_count(b))
		return false;
	for (size_t i = 0; i < dv_node_count(a); i++) {
		const struct dv_node *x = a->child[i], *y = b->child[i];

		if (x->level != y->level || !same_name(x, y) ||
		    !dv_node_equal(x, y))
			return false;
	}
	return true;
}

/* ---- words ---- */

const char *dv_node_error_word(enum dv_node_error error)
{
	static const char *const words[] = {
		[DV_NODE_UNRESOLVED] = "unresolved",
		[DV_NODE_CHANNEL] = "channel error: ",
		[DV_NODE_IMMUTABLE] = "immutable node",
		[DV_NODE_UPDATE] = "update error: ",
		[DV_NODE_NOT_A_DIRECTORY] = "not a directory",
		[DV_NODE_NOT_FOUND] = "not found",
		[DV_NODE_INTERNAL] = "internal error",
	};

	static_assert(DV_ARRAY_LEN(words) == DV_NODE_ERROR_N, "a row each");
	if ((unsigned int)error >= DV_NODE_ERROR_N || !words[error])
		return "";
	return words[error];
}

size_t dv_node_error_text(const struct dv_node *node, char *out, size_t size)
{
	enum dv_node_error error = dv_node_get_error(node);
	const char *text = error && node->data ? node->data : "";

	return (size_t)dv_fmt(out, size, "%s%s", dv_node_error_word(error),
			      text);
}

const char *dv_node_unit(const char *name)
{
	static const char *const units[] = { "ns",      "us",  "ms",  "s",
					     "bytes",   "kib", "mib", "pages",
					     "percent", "hz" };
	const char *last = strrchr(name, '_');

	for (size_t i = 0; last && i < DV_ARRAY_LEN(units); i++)
		if (strcmp(last + 1, units[i]) == 0)
			return units[i];
	return "";
}
