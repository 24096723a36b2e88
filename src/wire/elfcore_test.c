/* SPDX-License-Identifier: MIT */
#include "wire/elfcore.h"

#include <elf.h>
#include <errno.h>
#include <stddef.h>
#include <string.h>
#include <sys/procfs.h>
#include <sys/user.h>

#include "base/def.h"
#include "base/test.h"

enum { BUF_MAX = 16 * 1024 * 1024 };

static const struct dv_elfcore_load two[] = {
	{ 0x400000, 0x3000, 0x1000, PF_R | PF_X, 0 },
	{ 0x7fff0000, 0x2000, 0x2000, PF_R | PF_W, 1 },
};

TEST(head_of_two_segments_is_what_elf_h_says)
{
	dv_autobuf b = DV_BUF_INIT(BUF_MAX);
	struct dv_elfcore_head h = { EM_X86_64, two, 2, 1000 };
	Elf64_Ehdr e;
	Elf64_Phdr p[3];

	CHECK_EQ(dv_elfcore_put_head(&b, &h), 0);
	CHECK_EQ(b.len, sizeof(e) + sizeof(p));
	CHECK_EQ(b.len, dv_elfcore_head_len(2));
	memcpy(&e, b.data, sizeof(e));
	memcpy(p, b.data + sizeof(e), sizeof(p));
	CHECK_EQ(memcmp(e.e_ident, ELFMAG "\2\1\1", 7), 0);
	CHECK_EQ(e.e_type, ET_CORE);
	CHECK_EQ(e.e_machine, EM_X86_64);
	CHECK_EQ(e.e_version, EV_CURRENT);
	CHECK_EQ(e.e_phoff, sizeof(e));
	CHECK_EQ(e.e_ehsize, sizeof(e));
	CHECK_EQ(e.e_phentsize, sizeof(p[0]));
	CHECK_EQ(e.e_phnum, 3);
	CHECK_EQ(e.e_shoff, 0);
	CHECK_EQ(e.e_shnum, 0);
	CHECK_EQ(p[0].p_type, PT_NOTE);
	CHECK_EQ(p[0].p_offset, b.len);
	CHECK_EQ(p[0].p_filesz, 1000);
	CHECK_EQ(p[1].p_type, PT_LOAD);
	CHECK_EQ(p[1].p_offset, 4096);
	CHECK_EQ(p[1].p_offset, dv_elfcore_data_offset(&h));
	CHECK_EQ(p[1].p_vaddr, 0x400000);
	CHECK_EQ(p[1].p_filesz, 0x1000);
	CHECK_EQ(p[1].p_memsz, 0x3000);
	CHECK_EQ(p[1].p_flags, PF_R | PF_X);
	CHECK_EQ(p[2].p_offset, 8192);
	CHECK_EQ(p[2].p_vaddr, 0x7fff0000);
	CHECK_EQ(p[2].p_align, 4096);
}

TEST(head_of_very_many_segments_counts_them_in_a_section)
{
	enum { MANY = 70000 };
	dv_autobuf b = DV_BUF_INIT(BUF_MAX);
	dv_autofree struct dv_elfcore_load *loads =
		calloc(MANY, sizeof(*loads));
	struct dv_elfcore_head h = { EM_X86_64, loads, MANY, 0 };
	Elf64_Ehdr e;
	Elf64_Shdr s;

	CHECK(loads);
	CHECK_EQ(dv_elfcore_put_head(&b, &h), 0);
	CHECK_EQ(b.len, dv_elfcore_head_len(MANY));
	memcpy(&e, b.data, sizeof(e));
	CHECK_EQ(e.e_phnum, PN_XNUM);
	CHECK_EQ(e.e_shnum, 1);
	CHECK_EQ(e.e_shentsize, sizeof(s));
	CHECK_EQ(e.e_shoff + sizeof(s), b.len);
	memcpy(&s, b.data + e.e_shoff, sizeof(s));
	CHECK_EQ(s.sh_info, MANY + 1);
	CHECK_EQ(s.sh_type, SHT_NULL);
}

TEST(head_at_the_last_count_that_fits_needs_no_section)
{
	size_t fits = DV_ELFCORE_PHNUM_MAX - 1;

	CHECK_EQ(dv_elfcore_head_len(fits),
		 sizeof(Elf64_Ehdr) + (fits + 1) * sizeof(Elf64_Phdr));
	CHECK_EQ(dv_elfcore_head_len(fits + 1),
		 sizeof(Elf64_Ehdr) + (fits + 2) * sizeof(Elf64_Phdr) +
			 sizeof(Elf64_Shdr));
}

TEST(note_of_every_length_is_padded_and_as_long_as_announced)
{
	static const char *const names[] = { "", "KMSG", "LINUX", "CORE" };
	static const char desc[] = "0123456789";

	for (size_t i = 0; i < DV_ARRAY_LEN(names); i++) {
		for (size_t len = 0; len < sizeof(desc); len++) {
			dv_autobuf b = DV_BUF_INIT(BUF_MAX);
			Elf64_Nhdr n;

			dv_elfcore_put_note(&b, names[i], 77, desc, len);
			CHECK_EQ(b.len, dv_elfcore_note_len(names[i], len));
			CHECK_EQ(b.len % 4, 0);
			memcpy(&n, b.data, sizeof(n));
			CHECK_EQ(n.n_namesz, strlen(names[i]) + 1);
			CHECK_EQ(n.n_descsz, len);
			CHECK_EQ(n.n_type, 77);
			CHECK_STR(b.data + sizeof(n), names[i]);
			CHECK_EQ(memcmp(b.data + b.len - (len + 3) / 4 * 4,
					desc, len),
				 0);
		}
	}
}

/* The structs of the C library are those of the machine that runs this. */
TEST(prstatus_is_the_struct_of_this_machine)
{
	dv_autobuf b = DV_BUF_INIT(BUF_MAX);
	elf_gregset_t regs;
	struct elf_prstatus s;
	struct dv_elfcore_thread t = {
		.tid = 11,
		.ppid = 12,
		.pgrp = 13,
		.sid = 14,
		.signo = 6,
		.blocked = 0x1122334455667788,
		.regs = &regs,
		.regs_len = sizeof(regs),
		.has_fp = 1,
	};

	memset(&regs, 0xa5, sizeof(regs));
	CHECK_EQ(dv_elfcore_put_prstatus(&b, &t), 0);
	CHECK_EQ(b.len, dv_elfcore_prstatus_len(sizeof(regs)));
	CHECK_EQ(b.len, 12 + 8 + sizeof(s));
	memcpy(&s, b.data + 20, sizeof(s));
	CHECK_EQ(s.pr_info.si_signo, 6);
	CHECK_EQ(s.pr_cursig, 6);
	CHECK_EQ(s.pr_sighold, 0x1122334455667788);
	CHECK_EQ(s.pr_pid, 11);
	CHECK_EQ(s.pr_ppid, 12);
	CHECK_EQ(s.pr_pgrp, 13);
	CHECK_EQ(s.pr_sid, 14);
	CHECK_EQ(s.pr_utime.tv_sec, 0);
	CHECK_EQ(memcmp(&s.pr_reg, &regs, sizeof(regs)), 0);
	CHECK_EQ(s.pr_fpvalid, 1);
}

TEST(prstatus_with_too_many_registers_is_refused)
{
	dv_autobuf b = DV_BUF_INIT(BUF_MAX);
	struct dv_elfcore_thread t = { .regs_len = DV_ELFCORE_REGS_MAX + 1 };

	CHECK_EQ(dv_elfcore_put_prstatus(&b, &t), -EINVAL);
	CHECK_EQ(b.len, 0);
}

TEST(prpsinfo_is_the_struct_of_this_machine)
{
	dv_autobuf b = DV_BUF_INIT(BUF_MAX);
	struct elf_prpsinfo s;
	char args[200];
	struct dv_elfcore_process p = {
		.state = 'T',
		.nice = -5,
		.flags = 0x400100,
		.uid = 1000,
		.gid = 1001,
		.pid = 1,
		.ppid = 2,
		.pgrp = 3,
		.sid = 4,
		.comm = "a-name-of-more-than-15",
		.args = args,
	};

	memset(args, 'x', sizeof(args));
	args[sizeof(args) - 1] = '\0';
	CHECK_EQ(dv_elfcore_put_prpsinfo(&b, &p), 0);
	CHECK_EQ(b.len, 20 + sizeof(s));
	memcpy(&s, b.data + 20, sizeof(s));
	CHECK_EQ(s.pr_state, 3);
	CHECK_EQ(s.pr_sname, 'T');
	CHECK_EQ(s.pr_zomb, 0);
	CHECK_EQ((signed char)s.pr_nice, -5); /* its char may be unsigned */
	CHECK_EQ(s.pr_flag, 0x400100);
	CHECK_EQ(s.pr_uid, 1000);
	CHECK_EQ(s.pr_gid, 1001);
	CHECK_EQ(s.pr_pid, 1);
	CHECK_EQ(s.pr_sid, 4);
	CHECK_STR(s.pr_fname, "a-name-of-more-");
	CHECK_EQ(strnlen(s.pr_psargs, sizeof(s.pr_psargs)), 79);
}

TEST(mapped_files_become_one_note_of_entries_and_names)
{
	dv_autobuf b = DV_BUF_INIT(BUF_MAX);
	struct dv_elfcore_files f;
	static const uint64_t want[] = { 2, 4096,   0x1000, 0x3000,
					 2, 0x5000, 0x6000, 0 };
	Elf64_Nhdr n;

	dv_elfcore_files_init(&f, 4096);
	CHECK_EQ(dv_elfcore_put_files(&b, &f), 0);
	CHECK_EQ(b.len, 0);
	dv_elfcore_files_add(&f, 0x1000, 0x3000, 0x2000, "/bin/a", 6);
	dv_elfcore_files_add(&f, 0x5000, 0x6000, 0, "/lib/b junk", 6);
	CHECK_EQ(dv_elfcore_put_files(&b, &f), 0);
	memcpy(&n, b.data, sizeof(n));
	CHECK_EQ(n.n_type, NT_FILE);
	CHECK_EQ(n.n_descsz, sizeof(want) + 14);
	CHECK_EQ(b.len, dv_elfcore_note_len("CORE", n.n_descsz));
	CHECK_EQ(memcmp(b.data + 20, want, sizeof(want)), 0);
	CHECK_EQ(memcmp(b.data + 20 + sizeof(want), "/bin/a\0/lib/b", 14), 0);
	dv_elfcore_files_free(&f);
	dv_elfcore_files_free(&f);
}

TEST(mapped_files_beyond_the_limit_are_left_out)
{
	dv_autobuf b = DV_BUF_INIT(BUF_MAX);
	struct dv_elfcore_files f;
	uint64_t n = 0;

	dv_elfcore_files_init(&f, 16 + 3 * (24 + 3));
	while (dv_elfcore_files_add(&f, n, n + 1, 0, "/a", 2) == 0)
		n++;
	CHECK_EQ(n, 3);
	CHECK_EQ(dv_elfcore_files_add(&f, 0, 1, 0, "", SIZE_MAX), -ENOSPC);
	CHECK_EQ(dv_elfcore_put_files(&b, &f), 0);
	CHECK_EQ(b.len, dv_elfcore_note_len("CORE", 16 + 3 * 27));
	dv_elfcore_files_free(&f);
}

TEST(full_buffer_is_told)
{
	dv_autobuf b = DV_BUF_INIT(50);
	struct dv_elfcore_head h = { EM_X86_64, two, 2, 1000 };

	CHECK_EQ(dv_elfcore_put_head(&b, &h), -EMSGSIZE);
}
