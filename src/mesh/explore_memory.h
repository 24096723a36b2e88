/* SPDX-License-Identifier: MIT */
#pragma once
/*
 * For tests only: how much memory is in use, so that the run that leaked is
 * known. Bytes under a sanitizer, else blocks. One file of a program includes
 * it.
 */
#include <stddef.h>

#if defined(__SANITIZE_ADDRESS__)
size_t __sanitizer_get_current_allocated_bytes(void);
static inline size_t x_memory(void)
{
	return __sanitizer_get_current_allocated_bytes();
}
#else
/* The C library's own, under the names that it has for this purpose. */
void *__libc_malloc(size_t len);
void *__libc_calloc(size_t n, size_t len);
void *__libc_realloc(void *p, size_t len);
void __libc_free(void *p);
static size_t x_blocks;

void *malloc(size_t len)
{
	void *p = __libc_malloc(len);

	x_blocks += p != NULL;
	return p;
}

void *calloc(size_t n, size_t len)
{
	void *p = __libc_calloc(n, len);

	x_blocks += p != NULL;
	return p;
}

void *realloc(void *old, size_t len)
{
	void *p = __libc_realloc(old, len);

	x_blocks += !old && p;
	x_blocks -= old && !len && !p;
	return p;
}

/* Inside the C library it does not come to ours. */
void *reallocarray(void *old, size_t n, size_t len)
{
	size_t all;

	return __builtin_mul_overflow(n, len, &all) ? NULL : realloc(old, all);
}

void free(void *p)
{
	x_blocks -= p != NULL;
	__libc_free(p);
}

static inline size_t x_memory(void)
{
	return x_blocks;
}
#endif
