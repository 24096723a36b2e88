/* SPDX-License-Identifier: MIT */
#pragma once
/*
 * The bytes of a 64-bit little-endian ELF core file: header, program headers,
 * notes. No I/O; everything goes into a dv_buf, whose status is returned.
 *
 * The order of a file is: dv_elfcore_put_head(), notes of exactly notes_len
 * bytes, zeros up to dv_elfcore_data_offset(), then the filesz bytes of every
 * segment, in order. So it can be written to something that cannot seek.
 */
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/buf.h"

enum {
	DV_ELFCORE_PAGE = 4096, /* alignment of segments in the file */
	/* More program headers than this are counted in a section header. */
	DV_ELFCORE_PHNUM_MAX = 0xfffe,
	DV_ELFCORE_REGS_MAX = 1024, /* of general registers */
};

/* The type of notes of our own; their names say what they are. */
#define DV_ELFCORE_NT_CUSTOM UINT32_C(0xffffffff)

/* One PT_LOAD: filesz bytes are in the file, a reader takes the rest as 0. */
struct dv_elfcore_load {
	uint64_t vaddr, memsz, filesz;
	uint32_t flags; /* PF_R, PF_W, PF_X */
	uint32_t mark;  /* the owner's; not in the file */
};

struct dv_elfcore_head {
	uint16_t machine;                    /* EM_X86_64, EM_AARCH64 */
	const struct dv_elfcore_load *loads; /* borrowed */
	size_t n_loads;                      /* less than 2^32 - 1 */
	uint64_t notes_len;                  /* of all notes together */
};

/* What NT_PRSTATUS says of one thread. */
struct dv_elfcore_thread {
	pid_t tid, ppid, pgrp, sid;
	int signo;        /* that it stopped for, or 0 */
	uint64_t blocked; /* its signal mask, bit 0 is signal 1 */
	const void *regs; /* as PTRACE_GETREGSET returns them; borrowed */
	size_t regs_len;  /* at most DV_ELFCORE_REGS_MAX */
	int has_fp;       /* NT_FPREGSET follows */
};

/* What NT_PRPSINFO says of the process. */
struct dv_elfcore_process {
	char state; /* R S D T t Z: as /proc/PID/stat has it */
	int8_t nice;
	uint64_t flags;
	uint32_t uid, gid;
	pid_t pid, ppid, pgrp, sid;
	const char *comm; /* borrowed; 15 characters of it are used */
	const char *args; /* borrowed; 79 characters of it are used */
};

/* ELF header, program headers, and their count when it is a large one. */
int dv_elfcore_put_head(struct dv_buf *b, const struct dv_elfcore_head *h);
/* How many bytes that is, and where the first segment begins. */
uint64_t dv_elfcore_head_len(size_t n_loads);
uint64_t dv_elfcore_data_offset(const struct dv_elfcore_head *h);

/* One note, padded. @len below 4 GiB. */
int dv_elfcore_put_note(struct dv_buf *b, const char *name, uint32_t type,
			const void *desc, size_t len);
/* How many bytes a note with that name and @len bytes takes. */
uint64_t dv_elfcore_note_len(const char *name, size_t len);

/* NT_PRSTATUS; -EINVAL for too many registers. */
int dv_elfcore_put_prstatus(struct dv_buf *b,
			    const struct dv_elfcore_thread *t);
uint64_t dv_elfcore_prstatus_len(size_t regs_len);
/* NT_PRPSINFO. */
int dv_elfcore_put_prpsinfo(struct dv_buf *b,
			    const struct dv_elfcore_process *p);

/*
 * NT_FILE is collected: init, one add per mapping, put, free. A mapping that
 * would make the note longer than @max is left out: -ENOSPC, and the note can
 * still be written.
 */
struct dv_elfcore_files {
	struct dv_buf entries, names;
	uint64_t n;
	size_t max;
};

void dv_elfcore_files_init(struct dv_elfcore_files *f, size_t max);
/* @offset in bytes; @name need not be terminated, a NUL in it ends it. */
int dv_elfcore_files_add(struct dv_elfcore_files *f, uint64_t start,
			 uint64_t end, uint64_t offset, const char *name,
			 size_t len);
/* Nothing at all when no mapping was added. */
int dv_elfcore_put_files(struct dv_buf *b, const struct dv_elfcore_files *f);
void dv_elfcore_files_free(struct dv_elfcore_files *f); /* idempotent */
