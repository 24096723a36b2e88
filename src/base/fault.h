/* SPDX-License-Identifier: MIT */
#pragma once
/*
 * Fault injection for tests, without a hook in the product: the linker's
 * --wrap puts functions of fault.c in front of those of the C library. Each
 * call counts, and the n-th one fails with an errno that it might have. The
 * counter is in shared memory: calls of forked children count, too.
 */
#include <stdbool.h>
#include <stdint.h>

enum fault_side {
	FAULT_OFF = 0,
	FAULT_PARENT, /* calls of the process that armed it */
	FAULT_CHILD,  /* calls of its descendants */
};

/* Let the @nth call (from 1) of that side fail, or kill the caller with it. */
void fault_arm(enum fault_side side, uint32_t nth, bool kill);
/*
 * Switch it off. Returns whether a call was failed; its name is then in
 * fault_name().
 */
bool fault_disarm(void);
/* The function, "SYS_n" for syscall(n). Static. */
const char *fault_name(void);
/*
 * As a file system without locks: those of files below the directory @dir
 * (absolute, borrowed) fail with @e from now on. NULL: no more.
 */
void fault_locks(const char *dir, int e);
