/* SPDX-License-Identifier: MIT */
#pragma once
/*
 * Writing to a reader that may be slow or gone: bytes in order, a deadline that
 * starts anew with every byte that is taken, no seek.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "davit/err.h"

enum dv_core_way {
	DV_CORE_WAY_UNKNOWN,
	DV_CORE_WAY_SEND,   /* a socket */
	DV_CORE_WAY_NOWAIT, /* a pipe of a kernel that knows RWF_NOWAIT there */
	DV_CORE_WAY_PAGES,  /* another pipe: a page fits once poll says so */
	DV_CORE_WAY_PLAIN,  /* a file */
};

struct dv_core_out {
	int fd; /* borrowed */
	int stall_ms;
	enum dv_core_way way;
	uint64_t written;
	uint64_t *live; /* a copy of written; borrowed, may be NULL */
};

/* SIGPIPE is blocked or ignored. 0, -EPIPE, -ETIMEDOUT, -errno, with @err. */
int dv_core_out(struct dv_core_out *o, const void *data, size_t len,
		struct dv_err *err);
/* That many zeros. */
int dv_core_out_zeros(struct dv_core_out *o, uint64_t len, struct dv_err *err);
