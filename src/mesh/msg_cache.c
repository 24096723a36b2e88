/* SPDX-License-Identifier: MIT */
#include "mesh/msg_cache.h"

#include <stdlib.h>
#include <string.h>

#include "base/def.h"

enum {
	BLOCKS = 8,
	/* Of all that are kept, per thread: some messages of 1 MiB on their way
	 * in and out at the same time. */
	KEEP_MAX = 8 << 20,
	/* Sizes are rounded up to this, so that messages of about one size
	 * share blocks. */
	ROUND = 64 << 10,
};

/* With a sanitizer every block is new, so that it sees who uses an old one. */
#ifdef __SANITIZE_ADDRESS__
#define KEEP 0u
#else
#define KEEP ((size_t)KEEP_MAX)
#endif

static _Thread_local struct {
	unsigned int users;
	unsigned int n;
	size_t total;
	/* The longest unused first: when there is no room, it goes, as sizes
	 * that nobody asks for any more would take all of it. */
	struct {
		void *p;
		size_t cap;
	} block[BLOCKS];
} cache;

static void *take(unsigned int i, size_t *capp)
{
	void *p = cache.block[i].p;

	*capp = cache.block[i].cap;
	cache.total -= *capp;
	cache.n--;
	memmove(&cache.block[i], &cache.block[i + 1],
		(cache.n - i) * sizeof(cache.block[0]));
	return p;
}

void *dv_msg_cache_get(size_t len, size_t *capp)
{
	for (unsigned int i = cache.n; i-- > 0;)
		if (cache.block[i].cap >= len && cache.block[i].cap / 2 <= len)
			return take(i, capp);
	*capp = (len + ROUND - 1) / ROUND * ROUND;
	return malloc(*capp);
}

void dv_msg_cache_put(void *p, size_t cap)
{
	size_t old;

	if (cache.users == 0 || cap > KEEP) {
		free(p);
		return;
	}
	while (cache.n == BLOCKS || cache.total + cap > KEEP)
		free(take(0, &old));
	cache.block[cache.n].p = p;
	cache.block[cache.n++].cap = cap;
	cache.total += cap;
}

void dv_msg_cache_join(void)
{
	cache.users++;
}

void dv_msg_cache_leave(void)
{
	size_t cap;

	if (--cache.users > 0)
		return;
	while (cache.n > 0)
		free(take(cache.n - 1, &cap));
}
