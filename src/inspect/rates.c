/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <string.h>

#include "base/def.h"
#include "inspect/node.h"

#define NS_PER_S 1e9

__extension__ typedef __int128 wide;

/* The entries of a directory, to be found by name in any order they have. */
struct index {
	const struct dv_node **at; /* owned array of borrowed nodes */
	size_t n;
};

static int by_bytes(const void *a, const void *b)
{
	const struct dv_node *x = *(const struct dv_node *const *)a;
	const struct dv_node *y = *(const struct dv_node *const *)b;

	if (x->name_len != y->name_len)
		return x->name_len < y->name_len ? -1 : 1;
	return x->name_len ? memcmp(x->name, y->name, x->name_len) : 0;
}

static int index_make(struct index *index, const struct dv_node *dir)
{
	index->n = dv_node_count(dir);
	index->at = NULL;
	if (index->n == 0)
		return 0;
	index->at = reallocarray(NULL, index->n, sizeof(struct dv_node *));
	if (!index->at)
		return -ENOMEM;
	for (size_t i = 0; i < index->n; i++)
		index->at[i] = dir->child[i];
	qsort(index->at, index->n, sizeof(struct dv_node *), by_bytes);
	return 0;
}

static const struct dv_node *index_find(const struct index *index,
					const struct dv_node *entry)
{
	const struct dv_node **found = NULL;

	if (index->n > 0)
		found = bsearch(&entry, index->at, index->n,
				sizeof(struct dv_node *), by_bytes);
	return found ? *found : NULL;
}

/* The steps of a counter that went from @old to @now. */
static double unsigned_step(uint64_t now, uint64_t old)
{
	uint64_t wrapped = now - old; /* modulo 2^64 */

	if (now >= old || wrapped <= INT64_MAX)
		return (double)wrapped;
	return (double)now; /* it was reset, and has counted from 0 */
}

static double step(const struct dv_node *now, const struct dv_node *old)
{
	switch ((enum dv_node_kind)now->kind) {
	case DV_NODE_UNSIGNED:
		return unsigned_step(now->u64, old->u64);
	case DV_NODE_SIGNED: /* may well go down */
		return (double)((wide)now->i64 - old->i64);
	case DV_NODE_FLOAT:
	case DV_NODE_DOUBLE:
		return dv_node_get_double(now) - dv_node_get_double(old);
	case DV_NODE_UNEVALUATED:
	case DV_NODE_FAILED:
	case DV_NODE_BOOL:
	case DV_NODE_STRING:
	case DV_NODE_BYTES:
	case DV_NODE_DIR:
	case DV_NODE_KIND_N:
		break;
	}
	return 0;
}

static bool is_counter(const struct dv_node *node)
{
	return node->flags & DV_NODE_COUNT && node->kind >= DV_NODE_SIGNED &&
	       node->kind <= DV_NODE_DOUBLE;
}

/* NULL: no memory. @before may be NULL. */
static struct dv_node *since(const struct dv_node *now,
			     const struct dv_node *before, double dt_s);

static int add_entries(struct dv_node *dir, const struct dv_node *now,
		       const struct index *index, double dt_s)
{
	for (size_t i = 0; i < now->n; i++) {
		const struct dv_node *c = now->child[i];

		if (dv_node_add_n(dir, c->name, c->name_len, c->level,
				  since(c, index_find(index, c), dt_s)) < 0)
			return -ENOMEM;
	}
	return 0;
}

static struct dv_node *since_dir(const struct dv_node *now,
				 const struct dv_node *before, double dt_s)
{
	dv_autonode struct dv_node *dir = dv_node_dir();
	struct index index;
	int r = dir ? index_make(&index, before) : -ENOMEM;

	if (r < 0)
		return NULL;
	r = add_entries(dir, now, &index, dt_s);
	free(index.at);
	return r < 0 ? NULL : dv_take_ptr(&dir);
}

static struct dv_node *since(const struct dv_node *now,
			     const struct dv_node *before, double dt_s)
{
	if (!before || before->kind != now->kind)
		return dv_node_copy(now);
	if (now->kind == DV_NODE_DIR)
		return since_dir(now, before, dt_s);
	if (is_counter(now) && is_counter(before))
		return dv_node_double(step(now, before) / dt_s, now->flags);
	return dv_node_copy(now);
}

int dv_node_since(const struct dv_node *now, const struct dv_node *before,
		  uint64_t dt_ns, struct dv_node **ratesp)
{
	struct dv_node *rates;

	if (dt_ns == 0)
		return -EINVAL;
	rates = since(now, before, (double)dt_ns / NS_PER_S);
	if (!rates)
		return -ENOMEM;
	*ratesp = rates;
	return 0;
}
