/* SPDX-License-Identifier: MIT */
#include "base/timer_heap.h"

#include <errno.h>

#include "base/def.h"

#define CAP_FIRST 8

void dv_timer_heap_free(struct dv_timer_heap *h)
{
	dv_assert(h->len == 0);
	free(h->at);
	*h = (struct dv_timer_heap)DV_TIMER_HEAP_INIT;
}

static void place(struct dv_timer_heap *h, size_t i, struct dv_timer *t)
{
	h->at[i] = t;
	t->at = i;
}

/* Move @t, whose place is the hole @i, up to where it belongs. */
static size_t sift_up(struct dv_timer_heap *h, size_t i, struct dv_timer *t)
{
	while (i > 0) {
		size_t up = (i - 1) / 2;

		if (h->at[up]->at_ns <= t->at_ns)
			break;
		place(h, i, h->at[up]);
		i = up;
	}
	place(h, i, t);
	return i;
}

static void sift_down(struct dv_timer_heap *h, size_t i, struct dv_timer *t)
{
	for (;;) {
		size_t kid = 2 * i + 1;

		if (kid + 1 < h->len &&
		    h->at[kid + 1]->at_ns < h->at[kid]->at_ns)
			kid++;
		if (kid >= h->len || h->at[kid]->at_ns >= t->at_ns)
			break;
		place(h, i, h->at[kid]);
		i = kid;
	}
	place(h, i, t);
}

int dv_timer_heap_add(struct dv_timer_heap *h, struct dv_timer *t)
{
	if (h->len == h->cap) {
		size_t cap = h->cap ? h->cap * 2 : CAP_FIRST;
		struct dv_timer **at =
			reallocarray(h->at, cap, sizeof(struct dv_timer *));

		if (!at)
			return -ENOMEM;
		h->at = at;
		h->cap = cap;
	}
	h->len++;
	sift_up(h, h->len - 1, t);
	return 0;
}

void dv_timer_heap_moved(struct dv_timer_heap *h, struct dv_timer *t)
{
	dv_assert(t->at < h->len && h->at[t->at] == t);
	sift_down(h, sift_up(h, t->at, t), t);
}

void dv_timer_heap_del(struct dv_timer_heap *h, const struct dv_timer *t)
{
	struct dv_timer *last;

	dv_assert(t->at < h->len && h->at[t->at] == t);
	last = h->at[--h->len];
	if (last != t)
		sift_down(h, sift_up(h, t->at, last), last);
}
