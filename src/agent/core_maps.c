/* SPDX-License-Identifier: MIT */
#include "agent/core_maps.h"

#include <elf.h>
#include <errno.h>
#include <string.h>

#include "base/def.h"

/* ---- one line --------------------------------------------------------------
 */

/* A cursor over the text of a line; what does not fit latches. */
struct text {
	const char *p, *end;
	bool bad;
};

static int digit_of(char c, int base)
{
	int d = c >= '0' && c <= '9'   ? c - '0'
		: c >= 'a' && c <= 'f' ? c - 'a' + 10
				       : 99;

	return d < base ? d : -1;
}

static uint64_t take_number(struct text *t, unsigned int base)
{
	const char *from = t->p;
	uint64_t v = 0;

	for (int d; t->p < t->end && (d = digit_of(*t->p, (int)base)) >= 0;
	     t->p++) {
		if (v > (UINT64_MAX - (unsigned int)d) / base)
			t->bad = true;
		v = v * base + (unsigned int)d;
	}
	if (t->p == from)
		t->bad = true;
	return v;
}

static char take_char(struct text *t)
{
	if (t->p < t->end)
		return *t->p++;
	t->bad = true;
	return '\0';
}

static void take_this(struct text *t, char c)
{
	if (take_char(t) != c)
		t->bad = true;
}

/* One letter of the permissions: @c or @other. True for @c. */
static bool take_letter(struct text *t, char c, char other)
{
	char got = take_char(t);

	if (got != c && got != other)
		t->bad = true;
	return got == c;
}

static void skip_spaces(struct text *t)
{
	while (t->p < t->end && *t->p == ' ')
		t->p++;
}

/* "08:01 1234": the device, which nobody needs, and the inode. */
static uint64_t take_inode(struct text *t)
{
	take_number(t, 16);
	take_this(t, ':');
	take_number(t, 16);
	take_this(t, ' ');
	return take_number(t, 10);
}

static int mapping_line(struct text t, struct dv_core_map *mp)
{
	struct dv_core_map m = { .start = take_number(&t, 16) };

	take_this(&t, '-');
	m.end = take_number(&t, 16);
	take_this(&t, ' ');
	m.prot |= take_letter(&t, 'r', '-') ? PF_R : 0;
	m.prot |= take_letter(&t, 'w', '-') ? PF_W : 0;
	m.prot |= take_letter(&t, 'x', '-') ? PF_X : 0;
	m.shared = take_letter(&t, 's', 'p');
	take_this(&t, ' ');
	m.offset = take_number(&t, 16);
	take_this(&t, ' ');
	m.has_inode = take_inode(&t) != 0;
	if (t.p < t.end && *t.p != ' ')
		t.bad = true;
	skip_spaces(&t);
	m.path = (struct dv_str){ t.p, (size_t)(t.end - t.p) };
	if (t.bad || m.start >= m.end || (m.start | m.end) % 4096)
		return -EINVAL;
	*mp = m;
	return 1;
}

/* "VmFlags: rd wr mr dd": words of two letters. */
static void take_flags(struct text t, struct dv_core_map *m)
{
	m->known = true;
	for (skip_spaces(&t); t.end - t.p >= 2; skip_spaces(&t)) {
		if (memcmp(t.p, "dd", 2) == 0)
			m->no_dump = true;
		else if (memcmp(t.p, "io", 2) == 0 || memcmp(t.p, "pf", 2) == 0)
			m->device = true;
		else if (memcmp(t.p, "ht", 2) == 0)
			m->huge = true;
		t.p += 2;
	}
}

/* "Anonymous:  12 kB"; what is swapped out is the process's own as well. */
static int take_anon(struct text t, struct dv_core_map *m)
{
	skip_spaces(&t);
	uint64_t kib = take_number(&t, 10);

	if (t.bad || kib > UINT64_MAX / 1024 ||
	    m->anon > UINT64_MAX - kib * 1024)
		return -EINVAL;
	m->anon += kib * 1024;
	return 0;
}

static bool take_word(struct text *t, const char *word)
{
	size_t len = strlen(word);

	if ((size_t)(t->end - t->p) < len || memcmp(t->p, word, len) != 0)
		return false;
	t->p += len;
	return true;
}

int dv_core_map_line(const char *line, size_t len, struct dv_core_map *m)
{
	struct text t = { line, line + len, false };
	const char *colon = memchr(line, ':', len);
	const char *space = memchr(line, ' ', len);

	/* Only in an attribute the first word ends with a colon. */
	if (!colon || (space && space < colon))
		return mapping_line(t, m);
	if (colon == line)
		return -EINVAL;
	if (take_word(&t, "VmFlags:"))
		take_flags(t, m);
	else if (take_word(&t, "Anonymous:") || take_word(&t, "Swap:"))
		return take_anon(t, m);
	return 0;
}

/* ---- what belongs into the core --------------------------------------------
 */

static bool begins(struct dv_str s, const char *with)
{
	size_t len = strlen(with);

	return s.len >= len && memcmp(s.ptr, with, len) == 0;
}

static bool ends(struct dv_str s, const char *with)
{
	size_t len = strlen(with);

	return s.len >= len && memcmp(s.ptr + s.len - len, with, len) == 0;
}

/* By name, where the kernel does not tell. */
static bool looks_like_device(struct dv_str path)
{
	if (begins(path, "anon_inode:"))
		return true;
	return begins(path, "/dev/") && !begins(path, "/dev/shm/") &&
	       !begins(path, "/dev/zero") && !begins(path, "/dev/hugepages/");
}

/*
 * [vvar] is the kernel's clock, and reading it may fault; [vsyscall] is not of
 * the process; without any permission there is nothing to see.
 */
static bool is_left_out(const struct dv_core_map *m)
{
	if (m->prot == 0 || begins(m->path, "[vvar") ||
	    begins(m->path, "[vsyscall]"))
		return true;
	return m->known ? m->device : looks_like_device(m->path);
}

/* A file that has no name is nothing but shared memory. */
static bool is_nameless(const struct dv_core_map *m)
{
	return !m->has_inode || begins(m->path, "/dev/zero") ||
	       begins(m->path, "/memfd:") || begins(m->path, "/SYSV") ||
	       ends(m->path, " (deleted)");
}

static enum dv_core_part when(uint32_t bits, enum dv_core_part part)
{
	return bits ? part : DV_CORE_NO_BYTES;
}

/* Private: what the process wrote, of a file or not, is its own. */
static enum dv_core_part private_part(const struct dv_core_map *m,
				      uint32_t filter)
{
	bool own =
		m->known ? m->anon > 0 : !m->has_inode || (m->prot & PF_W) != 0;

	if (own && (filter & DV_CORE_ANON_PRIVATE))
		return m->has_inode ? DV_CORE_ALL : DV_CORE_SPARSE;
	if (!m->has_inode)
		return DV_CORE_NO_BYTES;
	if (filter & DV_CORE_FILE_PRIVATE)
		return DV_CORE_ALL;
	return when((filter & DV_CORE_ELF_HEADERS) && m->offset == 0 &&
			    (m->prot & PF_R),
		    DV_CORE_FIRST_PAGE);
}

enum dv_core_part dv_core_map_part(const struct dv_core_map *m, uint32_t filter)
{
	if (is_left_out(m))
		return DV_CORE_LEAVE_OUT;
	if (begins(m->path, "[vdso]"))
		return DV_CORE_ALL;
	if (m->no_dump)
		return DV_CORE_NO_BYTES;
	if (m->huge)
		return when(filter & (m->shared ? DV_CORE_HUGE_SHARED
						: DV_CORE_HUGE_PRIVATE),
			    DV_CORE_ALL);
	if (!m->shared)
		return private_part(m, filter);
	return when(filter & (is_nameless(m) ? DV_CORE_ANON_SHARED
					     : DV_CORE_FILE_SHARED),
		    DV_CORE_ALL);
}

size_t dv_core_map_path(struct dv_str path, char *out, size_t size)
{
	size_t n = 0;

	for (size_t i = 0; i < path.len && n < size; n++) {
		bool newline = path.len - i >= 4 &&
			       memcmp(path.ptr + i, "\\012", 4) == 0;

		out[n] = newline ? '\n' : path.ptr[i];
		i += newline ? 4 : 1;
	}
	return n;
}
