/* SPDX-License-Identifier: MIT */
#include "wire/elfcore.h"

#include <elf.h>
#include <errno.h>
#include <string.h>

#include "base/def.h"

enum {
	PRSTATUS_REGS = 112, /* offset of the registers */
	PRPSINFO_LEN = 136,
	NOTE_ALIGN = 4,
};

static uint64_t align_up(uint64_t v, uint64_t to)
{
	return (v + to - 1) / to * to;
}

static void put_le16(uint8_t *p, uint16_t v)
{
	p[0] = (uint8_t)v;
	p[1] = (uint8_t)(v >> 8);
}

static int put_zeros(struct dv_buf *b, size_t len)
{
	static const char zeros[16];

	for (size_t n; len > 0; len -= n) {
		n = dv_min(len, sizeof(zeros));
		dv_buf_put(b, zeros, n);
	}
	return dv_buf_status(b);
}

/* ---- headers ---------------------------------------------------------------
 */

/* The notes are a segment too. */
static size_t phnum(size_t n_loads)
{
	return n_loads + 1;
}

static bool is_many(size_t n_loads)
{
	return phnum(n_loads) > DV_ELFCORE_PHNUM_MAX;
}

uint64_t dv_elfcore_head_len(size_t n_loads)
{
	return sizeof(Elf64_Ehdr) + phnum(n_loads) * sizeof(Elf64_Phdr) +
	       (is_many(n_loads) ? sizeof(Elf64_Shdr) : 0);
}

uint64_t dv_elfcore_data_offset(const struct dv_elfcore_head *h)
{
	return align_up(dv_elfcore_head_len(h->n_loads) + h->notes_len,
			DV_ELFCORE_PAGE);
}

static void put_ehdr(struct dv_buf *b, const struct dv_elfcore_head *h)
{
	uint64_t shoff =
		sizeof(Elf64_Ehdr) + phnum(h->n_loads) * sizeof(Elf64_Phdr);
	bool many = is_many(h->n_loads);
	uint8_t e[sizeof(Elf64_Ehdr)] = {
		ELFMAG0,    ELFMAG1,     ELFMAG2,    ELFMAG3,
		ELFCLASS64, ELFDATA2LSB, EV_CURRENT,
	};

	put_le16(e + 16, ET_CORE);
	put_le16(e + 18, h->machine);
	dv_put_le32(e + 20, EV_CURRENT);
	dv_put_le64(e + 32, sizeof(Elf64_Ehdr));
	dv_put_le64(e + 40, many ? shoff : 0);
	put_le16(e + 52, sizeof(Elf64_Ehdr));
	put_le16(e + 54, sizeof(Elf64_Phdr));
	put_le16(e + 56, many ? PN_XNUM : (uint16_t)phnum(h->n_loads));
	put_le16(e + 58, many ? sizeof(Elf64_Shdr) : 0);
	put_le16(e + 60, many ? 1 : 0);
	dv_buf_put(b, e, sizeof(e));
}

static void put_phdr(struct dv_buf *b, uint32_t type, uint64_t offset,
		     uint64_t align, const struct dv_elfcore_load *l)
{
	uint8_t p[sizeof(Elf64_Phdr)] = { 0 };

	dv_put_le32(p, type);
	dv_put_le32(p + 4, l->flags);
	dv_put_le64(p + 8, offset);
	dv_put_le64(p + 16, l->vaddr);
	dv_put_le64(p + 32, l->filesz);
	dv_put_le64(p + 40, l->memsz);
	dv_put_le64(p + 48, align);
	dv_buf_put(b, p, sizeof(p));
}

/* The only section: its info field has the number of program headers. */
static void put_phnum(struct dv_buf *b, size_t n_loads)
{
	uint8_t s[sizeof(Elf64_Shdr)] = { 0 };

	dv_put_le32(s + 44, (uint32_t)phnum(n_loads));
	dv_buf_put(b, s, sizeof(s));
}

int dv_elfcore_put_head(struct dv_buf *b, const struct dv_elfcore_head *h)
{
	struct dv_elfcore_load notes = { .filesz = h->notes_len };
	uint64_t at = dv_elfcore_data_offset(h);

	put_ehdr(b, h);
	put_phdr(b, PT_NOTE, dv_elfcore_head_len(h->n_loads), NOTE_ALIGN,
		 &notes);
	for (size_t i = 0; i < h->n_loads; i++) {
		put_phdr(b, PT_LOAD, at, DV_ELFCORE_PAGE, &h->loads[i]);
		at += h->loads[i].filesz;
	}
	if (is_many(h->n_loads))
		put_phnum(b, h->n_loads);
	return dv_buf_status(b);
}

/* ---- notes -----------------------------------------------------------------
 */

uint64_t dv_elfcore_note_len(const char *name, size_t len)
{
	return sizeof(Elf64_Nhdr) + align_up(strlen(name) + 1, NOTE_ALIGN) +
	       align_up(len, NOTE_ALIGN);
}

/* What comes before the description; @len is the latter's. */
static void put_note_head(struct dv_buf *b, const char *name, uint32_t type,
			  size_t len)
{
	size_t name_len = strlen(name) + 1;
	uint8_t n[sizeof(Elf64_Nhdr)];

	dv_put_le32(n, (uint32_t)name_len);
	dv_put_le32(n + 4, (uint32_t)len);
	dv_put_le32(n + 8, type);
	dv_buf_put(b, n, sizeof(n));
	dv_buf_put(b, name, name_len);
	put_zeros(b, (size_t)align_up(name_len, NOTE_ALIGN) - name_len);
}

int dv_elfcore_put_note(struct dv_buf *b, const char *name, uint32_t type,
			const void *desc, size_t len)
{
	put_note_head(b, name, type, len);
	if (len > 0)
		dv_buf_put(b, desc, len);
	return put_zeros(b, (size_t)align_up(len, NOTE_ALIGN) - len);
}

/* Behind the registers: whether there are floating point ones, padding. */
static size_t prstatus_size(size_t regs_len)
{
	return (size_t)align_up(PRSTATUS_REGS + regs_len + 4, 8);
}

uint64_t dv_elfcore_prstatus_len(size_t regs_len)
{
	return dv_elfcore_note_len("CORE", prstatus_size(regs_len));
}

int dv_elfcore_put_prstatus(struct dv_buf *b, const struct dv_elfcore_thread *t)
{
	uint8_t d[PRSTATUS_REGS + DV_ELFCORE_REGS_MAX + 8] = { 0 };

	if (t->regs_len > DV_ELFCORE_REGS_MAX)
		return -EINVAL;
	dv_put_le32(d, (uint32_t)t->signo);
	put_le16(d + 12, (uint16_t)t->signo);
	dv_put_le64(d + 24, t->blocked);
	dv_put_le32(d + 32, (uint32_t)t->tid);
	dv_put_le32(d + 36, (uint32_t)t->ppid);
	dv_put_le32(d + 40, (uint32_t)t->pgrp);
	dv_put_le32(d + 44, (uint32_t)t->sid);
	if (t->regs_len > 0)
		memcpy(d + PRSTATUS_REGS, t->regs, t->regs_len);
	dv_put_le32(d + PRSTATUS_REGS + t->regs_len, t->has_fp ? 1 : 0);
	return dv_elfcore_put_note(b, "CORE", NT_PRSTATUS, d,
				   prstatus_size(t->regs_len));
}

/* A field of @size bytes that ends with a NUL; the rest of @d is zero. */
static void put_text(uint8_t *d, size_t size, const char *s)
{
	size_t len = strnlen(s, size - 1);

	if (len > 0)
		memcpy(d, s, len);
}

int dv_elfcore_put_prpsinfo(struct dv_buf *b,
			    const struct dv_elfcore_process *p)
{
	static const char states[] = "RSDTZW"; /* in the kernel's order */
	const char *at = p->state ? strchr(states, p->state) : NULL;
	uint8_t d[PRPSINFO_LEN] = { 0 };

	d[0] = at ? (uint8_t)(at - states) : 0;
	d[1] = (uint8_t)p->state;
	d[2] = p->state == 'Z';
	d[3] = (uint8_t)p->nice;
	dv_put_le64(d + 8, p->flags);
	dv_put_le32(d + 16, p->uid);
	dv_put_le32(d + 20, p->gid);
	dv_put_le32(d + 24, (uint32_t)p->pid);
	dv_put_le32(d + 28, (uint32_t)p->ppid);
	dv_put_le32(d + 32, (uint32_t)p->pgrp);
	dv_put_le32(d + 36, (uint32_t)p->sid);
	put_text(d + 40, 16, p->comm);
	put_text(d + 56, 80, p->args);
	return dv_elfcore_put_note(b, "CORE", NT_PRPSINFO, d, sizeof(d));
}

/* ---- mapped files ----------------------------------------------------------
 */

enum { FILES_HEAD = 16, FILES_ENTRY = 24 };

void dv_elfcore_files_init(struct dv_elfcore_files *f, size_t max)
{
	*f = (struct dv_elfcore_files){
		.entries = DV_BUF_INIT(max),
		.names = DV_BUF_INIT(max),
		.max = max,
	};
}

void dv_elfcore_files_free(struct dv_elfcore_files *f)
{
	dv_buf_free(&f->entries);
	dv_buf_free(&f->names);
	f->n = 0;
}

int dv_elfcore_files_add(struct dv_elfcore_files *f, uint64_t start,
			 uint64_t end, uint64_t offset, const char *name,
			 size_t len)
{
	size_t used = FILES_HEAD + f->entries.len + f->names.len;
	uint8_t e[FILES_ENTRY];

	len = strnlen(name, len);
	if (len > f->max || used + sizeof(e) + len + 1 > f->max)
		return -ENOSPC;
	dv_put_le64(e, start);
	dv_put_le64(e + 8, end);
	dv_put_le64(e + 16, offset / DV_ELFCORE_PAGE);
	dv_buf_put(&f->names, name, len);
	if (dv_buf_putc(&f->names, '\0') < 0)
		return dv_buf_status(&f->names);
	f->n++;
	return dv_buf_put(&f->entries, e, sizeof(e));
}

int dv_elfcore_put_files(struct dv_buf *b, const struct dv_elfcore_files *f)
{
	size_t len = FILES_HEAD + f->entries.len + f->names.len;
	uint8_t head[FILES_HEAD];

	if (f->n == 0)
		return dv_buf_status(b);
	dv_put_le64(head, f->n);
	dv_put_le64(head + 8, DV_ELFCORE_PAGE);
	put_note_head(b, "CORE", NT_FILE, len);
	dv_buf_put(b, head, sizeof(head));
	dv_buf_put(b, f->entries.data, f->entries.len);
	dv_buf_put(b, f->names.data, f->names.len);
	return put_zeros(b, (size_t)align_up(len, NOTE_ALIGN) - len);
}
