/* SPDX-License-Identifier: MIT */
#pragma once
/*
 * Words that every file uses.
 */
#include <assert.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#define dv_container_of(ptr, type, member) \
	((type *)(void *)((char *)(ptr)-offsetof(type, member)))
#define DV_ARRAY_LEN(a) (sizeof(a) / sizeof((a)[0]))
#define DV_BIT(n)       (UINT32_C(1) << (n))
#define DV_UNUSED       __attribute__((unused))
#define dv_min(a, b)    ((a) < (b) ? (a) : (b))
#define dv_max(a, b)    ((a) > (b) ? (a) : (b))

/* Stays on in release. For our own mistakes only, never for input. */
#define dv_assert(x) ((x) ? (void)0 : dv_assert_failed(#x, __FILE__, __LINE__))
_Noreturn void dv_assert_failed(const char *what, const char *file, int line);

/* free() at the end of the scope; dv_take_ptr() disarms it. */
static inline void dv_autofree_p(void *p)
{
	free(*(void **)p);
}
#define dv_autofree __attribute__((cleanup(dv_autofree_p)))
#define dv_take_ptr(pp)                         \
	__extension__({                         \
		__typeof__(*(pp)) dv_p = *(pp); \
		*(pp) = NULL;                   \
		dv_p;                           \
	})

/* CLOCK_REALTIME in ns. The other clock is dv_now_ns() of davit/loop.h. */
uint64_t dv_unix_ns(void);
