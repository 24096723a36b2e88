/* SPDX-License-Identifier: MIT */
#pragma once
/*
 * The registers of a stopped thread: all that differs between machines.
 */
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "davit/err.h"

enum { DV_CORE_REGSETS_MAX = 6 };

/* A set that becomes a note. The first one is that of the general registers. */
struct dv_core_regset {
	const char *name; /* of the note */
	uint32_t type;    /* of the note, and for PTRACE_GETREGSET */
	size_t max;       /* no more is expected */
};

/* The same for every thread, so that sizes are known before the bytes. */
struct dv_core_regs {
	const struct dv_core_regset *sets;
	size_t n;
	size_t len[DV_CORE_REGSETS_MAX]; /* 0: this machine has no such set */
};

/* EM_... of this machine. */
uint16_t dv_core_machine(void);
/*
 * How large the sets of @tid, a stopped tracee, are. -ENOTSUP when it is not a
 * process of this machine's 64 bits; -ESRCH when it is gone.
 */
int dv_core_regs_probe(pid_t tid, struct dv_core_regs *regs,
		       struct dv_err *err);
/*
 * Set number @i of @tid, exactly regs->len[i] bytes; zeros where the thread has
 * none (it was killed). @buf has room.
 */
void dv_core_regs_get(pid_t tid, const struct dv_core_regs *regs, size_t i,
		      void *buf);
/* Room for the largest set. */
size_t dv_core_regs_max(const struct dv_core_regs *regs);
