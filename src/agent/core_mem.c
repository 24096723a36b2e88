/* SPDX-License-Identifier: MIT */
/*
 * DOC: what is read, and what is not
 *
 * The mappings are read twice: first their list, which decides the segments and
 * so the size of every part of the file, then the bytes. The process stands
 * still in between, and where something changes nevertheless (memory shared
 * with a process that runs) sizes stay, and what cannot be read is zero.
 *
 * Of private memory without a file, /proc/PID/pagemap says which pages exist.
 * Others are not read at all: that would fill the page tables of the process,
 * or wait for a thread that serves its page faults, which stands still too.
 * A reservation of terabytes, of which a little was used, costs nothing in the
 * file and, before Linux 6.7, 8 bytes of pagemap for each of its pages (about a
 * second a terabyte); the shadow memory of sanitizers, which is marked
 * MADV_DONTDUMP, not even that. Shared memory is read whole: a page that this
 * process did not touch may have been written by another.
 */
#include "agent/core_mem.h"

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/uio.h>
#include <unistd.h>

#include "agent/core_maps.h"
#include "base/def.h"
#include "base/fd.h"
#include "base/fmt.h"

/* Values of dv_elfcore_load.mark. */
enum { WHOLE, SPARSE };

/* A path in which every byte is escaped, and what stands before it. */
enum { LINE_MAX_LEN = 4 * PATH_MAX + 256 };

static uint64_t page_size(void)
{
	return (uint64_t)sysconf(_SC_PAGESIZE);
}

/* ---- reading ---------------------------------------------------------------
 */

/* Returns bytes, 0 when the first page cannot be read, -ESRCH: it is gone. */
static ssize_t read_vm(struct dv_core_mem *m, uint64_t addr, char *buf,
		       size_t len)
{
	struct iovec local = { buf, len };
	struct iovec remote = { (void *)(uintptr_t)addr, len };
	ssize_t n = -1;

	if (!m->no_vm)
		n = process_vm_readv(m->pid, &local, 1, &remote, 1, 0);
	if (n > 0)
		return n;
	if (n < 0 && !m->no_vm && errno == ESRCH)
		return -ESRCH;
	if (n < 0 && (errno == ENOSYS || errno == EPERM))
		m->no_vm = 1;
	/* This way also reads what the process itself may not. */
	if (!m->no_vm)
		len = dv_min(len, (size_t)page_size());
	n = pread(m->mem, buf, len, (off_t)addr);
	return n > 0 ? n : n == 0 && m->mem >= 0 ? -ESRCH : 0;
}

/* Exactly @len bytes, zeros where there are none to be had. */
static int read_all(struct dv_core_mem *m, uint64_t addr, char *buf, size_t len)
{
	size_t page = (size_t)page_size();

	for (size_t at = 0; at < len;) {
		ssize_t n = read_vm(m, addr + at, buf + at, len - at);

		if (n < 0)
			return (int)n;
		if (n == 0) {
			n = (ssize_t)dv_min(page, len - at);
			memset(buf + at, 0, (size_t)n);
			m->unread += (uint64_t)n;
		}
		at += (size_t)n;
	}
	return 0;
}

/*
 * The entries of @n pages from @addr. Where the kernel does not tell, all of
 * them exist.
 */
static void read_pagemap(const struct dv_core_mem *m, uint64_t addr,
			 uint64_t *entries, size_t n)
{
	off_t at = (off_t)(addr / page_size() * sizeof(*entries));
	size_t len = n * sizeof(*entries);
	ssize_t got = m->pagemap < 0 ? -1 : pread(m->pagemap, entries, len, at);

	if (got != (ssize_t)len)
		memset(entries, 0xff, len);
}

/* In memory, or swapped out. */
static bool is_populated(uint64_t entry)
{
	return entry >> 62 != 0;
}

/* ---- the plan --------------------------------------------------------------
 */

static int add_load(struct dv_core_mem *m, const struct dv_elfcore_load *l)
{
	size_t cap = m->cap ? m->cap * 2 : 256;
	void *loads;

	if (m->n_loads == DV_CORE_LOADS_MAX)
		return -E2BIG;
	if (m->n_loads == m->cap) {
		loads = reallocarray(m->loads, cap, sizeof(*l));
		if (!loads)
			return -ENOMEM;
		m->loads = loads;
		m->cap = cap;
	}
	m->loads[m->n_loads++] = *l;
	return 0;
}

/* A piece of a mapping: first bytes, then a hole. */
struct piece {
	struct dv_elfcore_load load;
	struct dv_core_mem *m;
	int r;
};

/*
 * The next pages that are populated. Half of the segments are kept for
 * mappings.
 */
static void piece_add(struct piece *p, uint64_t from, uint64_t to)
{
	struct dv_elfcore_load *l = &p->load;
	uint64_t hole = from - l->vaddr - l->filesz;

	if (hole >= DV_CORE_HOLE_MIN && p->m->n_loads < DV_CORE_LOADS_MAX / 2) {
		l->memsz = from - l->vaddr;
		if (p->r == 0)
			p->r = add_load(p->m, l);
		l->vaddr = from;
	}
	l->filesz = to - l->vaddr;
}

/* PAGEMAP_SCAN of Linux 6.7, which headers may not know. */
struct scan_range {
	uint64_t start, end, categories;
};
struct scan {
	uint64_t size, flags, start, end, walk_end, vec, vec_len, max_pages;
	uint64_t inverted, all_of, any_of, give;
};
static_assert(sizeof(struct scan) == 96, "as the kernel has it");
#define SCAN         _IOWR('f', 16, struct scan)
#define SCAN_PRESENT (1 << 3)
#define SCAN_SWAPPED (1 << 4)

/* Asks for ranges instead of looking at every page. Returns 0 or -errno. */
static int scan_ranges(struct piece *p, uint64_t from, uint64_t end)
{
	struct scan_range *ranges = (struct scan_range *)(void *)p->m->block;
	struct scan arg = {
		.size = sizeof(arg),
		.end = end,
		.vec = (uintptr_t)ranges,
		.vec_len = DV_CORE_BLOCK / sizeof(*ranges),
		.any_of = SCAN_PRESENT | SCAN_SWAPPED,
		.give = SCAN_PRESENT | SCAN_SWAPPED,
	};

	while (from < end) {
		arg.start = from;
		int n = ioctl(p->m->pagemap, SCAN, &arg);

		if (n < 0)
			return -errno;
		for (int i = 0; i < n; i++)
			piece_add(p, ranges[i].start, ranges[i].end);
		if (arg.walk_end <= from)
			return -EIO;
		from = arg.walk_end;
	}
	return 0;
}

static void read_ranges(struct piece *p, uint64_t from, uint64_t end)
{
	uint64_t *entries = (uint64_t *)(void *)p->m->block;
	uint64_t page = page_size();
	size_t max = DV_CORE_BLOCK / sizeof(*entries), n;

	for (; from < end; from += n * page) {
		n = (size_t)dv_min(max, (end - from) / page);
		read_pagemap(p->m, from, entries, n);
		for (size_t i = 0; i < n; i++)
			if (is_populated(entries[i]))
				piece_add(p, from + i * page,
					  from + (i + 1) * page);
	}
}

static int add_sparse(struct dv_core_mem *m, const struct dv_core_map *map)
{
	struct piece p = {
		.load = { .vaddr = map->start,
			  .flags = map->prot,
			  .mark = SPARSE },
		.m = m,
	};

	/* If it fails half-way, it is as far as filesz says. */
	if (scan_ranges(&p, map->start, map->end) < 0)
		read_ranges(&p, p.load.vaddr + p.load.filesz, map->end);
	p.load.memsz = map->end - p.load.vaddr;
	return p.r < 0 ? p.r : add_load(m, &p.load);
}

static bool begins_elf(struct dv_core_mem *m, uint64_t addr)
{
	char magic[SELFMAG];

	return read_vm(m, addr, magic, sizeof(magic)) == SELFMAG &&
	       memcmp(magic, ELFMAG, SELFMAG) == 0;
}

static void add_file(struct dv_core_mem *m, const struct dv_core_map *map)
{
	char path[PATH_MAX];
	size_t len;

	if (!map->has_inode || map->path.len == 0)
		return;
	len = dv_core_map_path(map->path, path, sizeof(path));
	if (dv_elfcore_files_add(&m->files, map->start, map->end, map->offset,
				 path, len) < 0)
		dv_log(m->log, DV_LOG_WARN, "too many mapped files; left out");
}

static int add_map(struct dv_core_mem *m, const struct dv_core_map *map)
{
	enum dv_core_part part = dv_core_map_part(map, m->filter);
	uint64_t len = map->end - map->start;
	struct dv_elfcore_load l = {
		.vaddr = map->start,
		.memsz = len,
		.flags = map->prot,
	};

	if (part != DV_CORE_LEAVE_OUT)
		add_file(m, map);
	switch (part) {
	case DV_CORE_LEAVE_OUT:
		return 0;
	case DV_CORE_SPARSE:
		return add_sparse(m, map);
	case DV_CORE_ALL:
		l.filesz = len;
		break;
	case DV_CORE_FIRST_PAGE:
		l.filesz = begins_elf(m, map->start) ? dv_min(len, page_size())
						     : 0;
		break;
	case DV_CORE_NO_BYTES:
	default:
		break;
	}
	return add_load(m, &l);
}

/* ---- the list of mappings --------------------------------------------------
 */

/* The mapping whose lines are being read; its path is kept here. */
struct reading {
	struct dv_core_mem *m;
	struct dv_core_map map;
	bool any;
	char path[LINE_MAX_LEN];
};

static int reading_end(struct reading *rd)
{
	return rd->any ? add_map(rd->m, &rd->map) : 0;
}

static int reading_line(struct reading *rd, const char *line, size_t len)
{
	struct dv_core_map map = rd->map;
	int r = dv_core_map_line(line, len, &map);

	if (r > 0) {
		r = reading_end(rd);
		memcpy(rd->path, map.path.ptr, map.path.len);
		map.path.ptr = rd->path;
		rd->any = true;
	}
	rd->map = map;
	return r;
}

/* All whole lines of @text; the rest moves to its front. */
static int reading_text(struct reading *rd, struct dv_buf *text)
{
	size_t at = 0;
	int r = 0;

	while (r == 0 && at < text->len) {
		const char *line = text->data + at;
		const char *end = memchr(line, '\n', text->len - at);

		if (!end)
			break;
		r = reading_line(rd, line, (size_t)(end - line));
		at += (size_t)(end - line) + 1;
	}
	dv_buf_drop(text, at);
	return r < 0 || text->len < LINE_MAX_LEN ? r : -EMSGSIZE;
}

static int read_maps(struct dv_core_mem *m, int fd)
{
	dv_autobuf text = DV_BUF_INIT(2 * LINE_MAX_LEN);
	dv_autofree struct reading *rd = calloc(1, sizeof(*rd));
	ssize_t n = 1;
	int r = 0;

	if (!rd)
		return -ENOMEM;
	rd->m = m;
	while (r == 0 && n > 0) {
		char *room = dv_buf_room(&text, LINE_MAX_LEN);

		n = room ? dv_read(fd, room, LINE_MAX_LEN) : -ENOMEM;
		if (n > 0)
			dv_buf_add(&text, (size_t)n);
		r = n < 0 ? (int)n : reading_text(rd, &text);
	}
	return r < 0 ? r : reading_end(rd);
}

/* ---- outside ---------------------------------------------------------------
 */

static int open_proc(pid_t pid, const char *name)
{
	char path[64];
	int fd;

	dv_fmt(path, sizeof(path), "/proc/%d/%s", pid, name);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

static int gone(pid_t pid, struct dv_err *err)
{
	return dv_err_set(err, ESRCH, DV_NOT_FOUND,
			  "process %d ended while it was dumped", pid);
}

static int plan_failed(pid_t pid, int r, struct dv_err *err)
{
	if (r == -ESRCH)
		return gone(pid, err);
	if (r == -E2BIG)
		return dv_err_set(err, E2BIG, DV_EXHAUSTED,
				  "process %d has more than %d mappings", pid,
				  DV_CORE_LOADS_MAX);
	return dv_err_sys(err, -r, "read the mappings of process %d", pid);
}

int dv_core_mem_plan(struct dv_core_mem *m, pid_t pid, uint32_t filter,
		     struct dv_err *err)
{
	dv_autofd int maps = open_proc(pid, "smaps");
	int r;

	if (maps < 0)
		maps = open_proc(pid, "maps");
	m->pid = pid;
	m->filter = filter;
	m->pagemap = open_proc(pid, "pagemap");
	m->mem = open_proc(pid, "mem");
	m->block = malloc(DV_CORE_BLOCK);
	dv_elfcore_files_init(&m->files, DV_CORE_FILES_MAX);
	if (!m->block)
		return dv_err_sys(err, ENOMEM, "allocate a block");
	r = maps < 0 ? maps : read_maps(m, maps);
	if (r == 0 && m->n_loads == 0)
		r = -ESRCH; /* it has no memory any more */
	return r < 0 ? plan_failed(pid, r, err) : 0;
}

void dv_core_mem_free(struct dv_core_mem *m)
{
	dv_elfcore_files_free(&m->files);
	free(m->loads);
	free(m->block);
	dv_close(m->mem);
	dv_close(m->pagemap);
	*m = (struct dv_core_mem)DV_CORE_MEM_INIT;
}

/* ---- the bytes -------------------------------------------------------------
 */

/* A block of which only some pages exist. */
static int read_sparse(struct dv_core_mem *m, uint64_t addr, size_t len)
{
	uint64_t entries[DV_CORE_BLOCK / 4096] = { 0 };
	size_t page = (size_t)page_size(), n = len / page;
	int r = 0;

	read_pagemap(m, addr, entries, n);
	for (size_t i = 0, to; r == 0 && i < n; i = to) {
		bool is = is_populated(entries[i]);

		for (to = i + 1; to < n && is_populated(entries[to]) == is;)
			to++;
		if (is)
			r = read_all(m, addr + i * page, m->block + i * page,
				     (to - i) * page);
		else
			memset(m->block + i * page, 0, (to - i) * page);
	}
	return r;
}

static int write_load(struct dv_core_mem *m, const struct dv_elfcore_load *l,
		      struct dv_core_out *out, struct dv_err *err)
{
	size_t len;
	int r = 0;

	for (uint64_t at = 0; r == 0 && at < l->filesz; at += len) {
		len = (size_t)dv_min(l->filesz - at, (uint64_t)DV_CORE_BLOCK);
		r = l->mark == SPARSE
			    ? read_sparse(m, l->vaddr + at, len)
			    : read_all(m, l->vaddr + at, m->block, len);
		if (r == -ESRCH)
			return gone(m->pid, err);
		r = dv_core_out(out, m->block, len, err);
	}
	return r;
}

int dv_core_mem_write(struct dv_core_mem *m, struct dv_core_out *out,
		      struct dv_err *err)
{
	int r = 0;

	for (size_t i = 0; r == 0 && i < m->n_loads; i++)
		r = write_load(m, &m->loads[i], out, err);
	if (m->unread > 0)
		dv_log(m->log, DV_LOG_WARN,
		       "memory could not be read, zeros instead bytes=%llu",
		       (unsigned long long)m->unread);
	return r;
}
