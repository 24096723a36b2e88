/* SPDX-License-Identifier: MIT */
#pragma once
/*
 * Which memory of a process belongs into its core: /proc/PID/smaps (or maps,
 * where the kernel has no smaps), line by line, and the rules of core(5).
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"

/* The bits of /proc/PID/coredump_filter. */
enum {
	DV_CORE_ANON_PRIVATE = 1 << 0,
	DV_CORE_ANON_SHARED = 1 << 1,
	DV_CORE_FILE_PRIVATE = 1 << 2,
	DV_CORE_FILE_SHARED = 1 << 3,
	DV_CORE_ELF_HEADERS = 1 << 4,
	DV_CORE_HUGE_PRIVATE = 1 << 5,
	DV_CORE_HUGE_SHARED = 1 << 6,
	/* What the kernel starts with. */
	DV_CORE_FILTER_DEFAULT = 0x33,
};

struct dv_core_map {
	uint64_t start, end;
	uint64_t offset; /* in the file */
	uint32_t prot;   /* PF_R, PF_W, PF_X */
	bool shared;
	bool has_inode;
	bool known;         /* smaps: the four below are to be believed */
	bool no_dump;       /* MADV_DONTDUMP */
	bool device;        /* memory of a device: reading may do something */
	bool huge;          /* pages of hugetlbfs */
	uint64_t anon;      /* bytes that are the process's own */
	struct dv_str path; /* borrowed from the line; may be empty */
};

/*
 * One line, without its newline. Returns 1 when it starts a mapping, which is
 * then in @m; 0 when it says more about @m, or something that is not asked for;
 * -EINVAL when it is neither.
 */
int dv_core_map_line(const char *line, size_t len, struct dv_core_map *m);

enum dv_core_part {
	DV_CORE_LEAVE_OUT, /* not even a segment */
	DV_CORE_NO_BYTES, /* a segment, its bytes are in a file or not wanted */
	DV_CORE_FIRST_PAGE, /* the first page, if an ELF file begins there */
	DV_CORE_SPARSE,     /* what is populated; the rest is zero */
	DV_CORE_ALL,
};

enum dv_core_part dv_core_map_part(const struct dv_core_map *m,
				   uint32_t filter);

/* Undo the kernel's \012 in @path. Returns the length in @out, cut to @size. */
size_t dv_core_map_path(struct dv_str path, char *out, size_t size);
