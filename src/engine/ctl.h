/* SPDX-License-Identifier: MIT */
#pragma once
/*
 * Memory that the keeper shares with the children it starts, until they exec.
 * It carries what a pipe cannot say cheaply: that the set-up is done, the pid
 * of a grandchild, and time stamps. Everything in it is advice for a keeper
 * that also watches pidfds: a child that dies half-way leaves nothing wrong.
 */
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "davit/loop.h"

enum { DV_CTL_MARKS_MAX = 96 };

struct dv_ctl {
	_Atomic uint32_t ready;     /* the isolation is complete */
	_Atomic int32_t pid;        /* of the process that was placed */
	_Atomic uint32_t executing; /* only execve() was left to do */
	_Atomic uint32_t n_marks;
	bool timing;
	bool mapped; /* private: a page of its own */
	/* Names are string literals: the same address in every fork. */
	struct dv_mark {
		const char *name;
		uint64_t ns;
	} marks[DV_CTL_MARKS_MAX];
};

/*
 * @forked: with children that are forks, which takes a page; else only with
 * those that borrow our memory. Returns NULL when there is none.
 */
struct dv_ctl *dv_ctl_new(bool timing, bool forked);
void dv_ctl_free(struct dv_ctl *ctl);

/* The step @name ended now. Async-signal-safe; NULL is allowed. */
static inline void dv_ctl_mark(struct dv_ctl *ctl, const char *name)
{
	if (!ctl || !ctl->timing)
		return;
	uint32_t n = atomic_fetch_add(&ctl->n_marks, 1);
	if (n < DV_CTL_MARKS_MAX) {
		ctl->marks[n].name = name;
		ctl->marks[n].ns = dv_now_ns();
	}
}
