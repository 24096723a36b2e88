/* SPDX-License-Identifier: MIT */
#pragma once
/*
 * Memory of long messages. malloc() gives blocks of that size back to the
 * kernel, and the page faults of a new one cost more than filling it, so a
 * thread keeps a few of them for as long as it has a mesh.
 */
#include <stddef.h>

enum { DV_MSG_CACHE_MIN = 64 << 10 }; /* shorter ones are malloc's */

/* At least @len bytes, *@capp of them; owned by the caller. NULL: no memory. */
void *dv_msg_cache_get(size_t len, size_t *capp);
/* @p is consumed; @cap as get() said. */
void dv_msg_cache_put(void *p, size_t cap);

/* This thread has one mesh more, or less. With the last one all is freed. */
void dv_msg_cache_join(void);
void dv_msg_cache_leave(void);
