/* SPDX-License-Identifier: MIT */
#pragma once
/*
 * A clock and order statistics for the measuring programs.
 */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <time.h>

#include "base/def.h"

/* CLOCK_MONOTONIC in ns; the same number in every process and namespace. */
static inline uint64_t bench_now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

static inline int bench_cmp_u64(const void *a, const void *b)
{
	const uint64_t *x = a, *y = b;

	return (*x > *y) - (*x < *y);
}

/* Sorts @v in place; bench_quantile() wants it sorted. */
static inline void bench_sort(uint64_t *v, size_t n)
{
	if (n)
		qsort(v, n, sizeof(*v), bench_cmp_u64);
}

/* The value below which @percent of the sorted @v lie; 0 when empty. */
static inline uint64_t bench_quantile(const uint64_t *v, size_t n,
				      unsigned int percent)
{
	if (n == 0)
		return 0;
	return v[dv_min(n * percent / 100, n - 1)];
}
