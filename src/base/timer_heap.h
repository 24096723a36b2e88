/* SPDX-License-Identifier: MIT */
#pragma once
/*
 * A binary heap of armed timers, the earliest on top. Timers know their index.
 */
#include <davit/loop.h>

struct dv_timer_heap {
	struct dv_timer **at; /* owned array of borrowed timers */
	size_t len, cap;
};

/* clang-format off */
#define DV_TIMER_HEAP_INIT { NULL, 0, 0 }
/* clang-format on */

/* Free the array; it must be empty. */
void dv_timer_heap_free(struct dv_timer_heap *h);
/* Insert by timer->at_ns. Returns 0 or -ENOMEM. */
int dv_timer_heap_add(struct dv_timer_heap *h, struct dv_timer *t);
/* Restore the order after the at_ns of a member has changed. */
void dv_timer_heap_moved(struct dv_timer_heap *h, struct dv_timer *t);
void dv_timer_heap_del(struct dv_timer_heap *h, const struct dv_timer *t);

/* The earliest, or NULL. Stays in the heap. */
static inline struct dv_timer *dv_timer_heap_top(const struct dv_timer_heap *h)
{
	return h->len ? h->at[0] : NULL;
}
