/* SPDX-License-Identifier: MIT */
#pragma once
/*
 * The memory of a stopped process: which parts go into its core, and the bytes.
 */
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "agent/core_out.h"
#include "base/log.h"
#include "davit/err.h"
#include "wire/elfcore.h"

enum {
	/* Twice what the kernel lets a process have unless it is told to. */
	DV_CORE_LOADS_MAX = 131072,
	DV_CORE_FILES_MAX = 4 * 1024 * 1024, /* as the kernel limits NT_FILE */
	DV_CORE_BLOCK = 256 * 1024,
	/*
	 * Private memory that was never touched is not written: from this size
	 * on a hole becomes the part of a segment that is not in the file,
	 * which readers take as zeros. Below it a segment costs more.
	 */
	DV_CORE_HOLE_MIN = 65536,
};

struct dv_core_mem {
	pid_t pid;
	uint32_t filter;
	struct dv_log_sink *log;       /* borrowed, may be NULL */
	struct dv_elfcore_load *loads; /* owned */
	size_t n_loads, cap;
	struct dv_elfcore_files files;
	char *block;      /* DV_CORE_BLOCK bytes; owned */
	int mem, pagemap; /* -1: there is none */
	uint64_t unread;  /* bytes that could not be read */
	int no_vm;        /* process_vm_readv() is not to be had */
};

/* clang-format off */
#define DV_CORE_MEM_INIT { .mem = -1, .pagemap = -1 }
/* clang-format on */

/* Of @pid, a process or thread that is stopped and lives. Fills loads and
 * files. Ended by the next one. */
int dv_core_mem_plan(struct dv_core_mem *m, pid_t pid, uint32_t filter,
		     struct dv_err *err);
void dv_core_mem_free(struct dv_core_mem *m); /* idempotent */
/* Write the bytes of all loads, in order; what cannot be read as zeros. */
int dv_core_mem_write(struct dv_core_mem *m, struct dv_core_out *out,
		      struct dv_err *err);
