/* SPDX-License-Identifier: MIT */
#pragma once
/*
 * How an operation is done: waiting for it, or told by a function.
 *
 * Operations take a struct dv_how: without a function they block, running the
 * client's loop, and return how it went; with one they return 0 when they are
 * begun, and the function is called once, from the loop. What they fill (a
 * pointer argument) has to live until then; what they are given is copied
 * before they return. Inside a callback of the loop blocking is -EDEADLK.
 */
#include <stddef.h>

#include <davit/err.h>

#ifdef __cplusplus
extern "C" {
#endif

struct dv_op; /* an operation in progress */

/* @r: 0 or -errno with @err filled (borrowed for the call). */
typedef void dv_how_fn(void *arg, int r, const struct dv_err *err);

struct dv_how {
	size_t size;
	int timeout_ms; /* for all of it; -1: none */
	dv_how_fn *fn;  /* NULL: block */
	void *arg;
	struct dv_op **opp; /* may be NULL: for dv_op_cancel() */
};

/* clang-format off */
#define DV_HOW_INIT { sizeof(struct dv_how), -1, NULL, NULL, NULL }
/* clang-format on */

/*
 * Forget an operation: its function is not called. What it does at the other
 * side may go on. Not after its function was called.
 */
DV_API void dv_op_cancel(struct dv_op *op);

#ifdef __cplusplus
}
#endif
