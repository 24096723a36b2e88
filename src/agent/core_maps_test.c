/* SPDX-License-Identifier: MIT */
#include "agent/core_maps.h"

#include <elf.h>
#include <errno.h>
#include <string.h>

#include "base/def.h"
#include "base/test.h"

/* In memory of exactly its size, for the sanitizer. */
static int line(const char *text, size_t len, struct dv_core_map *m)
{
	static char *kept; /* the path is borrowed from it */

	free(kept);
	kept = malloc(len ? len : 1);
	CHECK(kept);
	memcpy(kept, text, len);
	return dv_core_map_line(kept, len, m);
}

static const char lib[] =
	"7f0000001000-7f0000003000 r-xp 00026000 fe:01 1234       /lib/a b.so";

TEST(mapping_line_has_all_fields)
{
	struct dv_core_map m = { 0 };

	CHECK_EQ(line(lib, strlen(lib), &m), 1);
	CHECK_EQ(m.start, 0x7f0000001000);
	CHECK_EQ(m.end, 0x7f0000003000);
	CHECK_EQ(m.offset, 0x26000);
	CHECK_EQ(m.prot, PF_R | PF_X);
	CHECK(!m.shared);
	CHECK(m.has_inode);
	CHECK(!m.known);
	CHECK_EQ(m.path.len, strlen("/lib/a b.so"));
	CHECK_EQ(memcmp(m.path.ptr, "/lib/a b.so", m.path.len), 0);
}

TEST(mapping_line_truncated_at_every_byte_is_refused_or_has_less_of_its_tail)
{
	size_t inode = (size_t)(strstr(lib, "1234") - lib);

	for (size_t n = 0; n <= strlen(lib); n++) {
		struct dv_core_map m = { .start = 77 };
		int r = line(lib, n, &m);

		if (n <= inode) {
			CHECK_EQ(r, -EINVAL);
			CHECK_EQ(m.start, 77);
		} else {
			CHECK_EQ(r, 1);
			CHECK(m.path.len <= n);
		}
	}
}

TEST(attribute_lines_truncated_at_every_byte_add_nothing_wrong)
{
	static const char *const lines[] = { "Anonymous:        12 kB",
					     "VmFlags: rd wr dd ht io " };

	for (size_t i = 0; i < DV_ARRAY_LEN(lines); i++) {
		for (size_t n = 0; n <= strlen(lines[i]); n++) {
			struct dv_core_map m = { .start = 77 };
			int r = line(lines[i], n, &m);

			CHECK(r == 0 || r == -EINVAL);
			CHECK_EQ(m.start, 77);
			CHECK(m.anon <= 12 * 1024);
		}
	}
}

TEST(hostile_lines_are_refused)
{
	static const char *const bad[] = {
		"",
		" ",
		":",
		"-",
		"1000-2000",
		"1000 2000 r-xp 0 0:0 0",
		"2000-1000 r-xp 0 0:0 0", /* backwards */
		"1000-1000 r-xp 0 0:0 0", /* empty */
		"1001-2000 r-xp 0 0:0 0", /* not a page */
		"1000-2001 r-xp 0 0:0 0",
		"1000-2000 rrxp 0 0:0 0",
		"1000-2000 r-xz 0 0:0 0",
		"1000-2000 r-x 0 0:0 0",
		"1000-2000 r-xp  0:0 0",
		"1000-2000 r-xp 0 00 0",
		"1000-2000 r-xp 0 0:0 x",
		"1000-2000 r-xp 0 0:0 0/x",
		"-1000-2000 r-xp 0 0:0 0",
		"0x1000-2000 r-xp 0 0:0 0",
		"10000000000000000-20000000000000000 r-xp 0 0:0 0",
		"1000-ffffffffffffffffffff000 r-xp 0 0:0 0",
		"1000-2000 r-xp 0 0:0 99999999999999999999",
		"Anonymous: kB",
		"Anonymous: 18014398509481985 kB",
		"Swap: 99999999999999999999 kB",
	};

	for (size_t i = 0; i < DV_ARRAY_LEN(bad); i++) {
		struct dv_core_map m = { .start = 77 };
		int r = line(bad[i], strlen(bad[i]), &m);

		if (r != -EINVAL)
			print_error("accepted: %s\n", bad[i]);
		CHECK_EQ(r, -EINVAL);
		CHECK_EQ(m.start, 77);
	}
}

TEST(anonymous_and_swapped_memory_add_up_and_do_not_wrap)
{
	struct dv_core_map m = { 0 };

	CHECK_EQ(line("Anonymous:   4 kB", 17, &m), 0);
	CHECK_EQ(line("Swap:        8 kB", 17, &m), 0);
	CHECK_EQ(m.anon, 12 * 1024);
	m.anon = UINT64_MAX - 1023;
	CHECK_EQ(line("Swap:        1 kB", 17, &m), -EINVAL);
	CHECK_EQ(line("SwapPss:     1 kB", 17, &m), 0);
	CHECK_EQ(m.anon, UINT64_MAX - 1023);
}

/* ---- which part -------------------------------------------------------
 */

struct part_case {
	const char *first, *anon, *flags; /* the last two NULL: no smaps */
	uint32_t filter;
	enum dv_core_part want;
};

#define AT   "1000-9000 "
#define FILE " 00000000 fe:01 77 /bin/x"
#define NONE " 00000000 00:00 0 "

// clang-format off
static const struct part_case parts[] = {
	/* private, no file */
	{ AT "rw-p" NONE, "8", "rd wr", 0x33, DV_CORE_SPARSE },
	{ AT "rw-p" NONE "[heap]", "8", "rd wr", 0x33, DV_CORE_SPARSE },
	{ AT "rw-p" NONE, "0", "rd wr", 0x33, DV_CORE_NO_BYTES },
	{ AT "rw-p" NONE, "8", "rd wr", 0x10, DV_CORE_NO_BYTES },
	{ AT "rw-p" NONE, "8", "rd wr dd", 0x33, DV_CORE_NO_BYTES },
	{ AT "---p" NONE, "8", "mr", 0x7f, DV_CORE_LEAVE_OUT },
	{ AT "rw-p" NONE, NULL, NULL, 0x33, DV_CORE_SPARSE },
	/* private, of a file */
	{ AT "r-xp" FILE, "0", "rd ex", 0x33, DV_CORE_FIRST_PAGE },
	{ AT "r-xp" FILE, "0", "rd ex", 0x23, DV_CORE_NO_BYTES },
	{ AT "r-xp" FILE, "0", "rd ex", 0x37, DV_CORE_ALL },
	{ AT "r-xp" FILE, "4", "rd ex", 0x33, DV_CORE_ALL }, /* breakpoint */
	{ AT "rw-p" FILE, "4", "rd wr", 0x33, DV_CORE_ALL },
	{ AT "rw-p" FILE, "0", "rd wr", 0x33, DV_CORE_FIRST_PAGE },
	{ AT "rw-p" FILE, NULL, NULL, 0x33, DV_CORE_ALL },
	{ AT "r--p" FILE, NULL, NULL, 0x33, DV_CORE_FIRST_PAGE },
	{ AT "r--p 00001000 fe:01 77 /bin/x", "0", "rd", 0x33,
	  DV_CORE_NO_BYTES },
	/* shared */
	{ AT "rw-s" FILE, "0", "rd wr sh", 0x33, DV_CORE_NO_BYTES },
	{ AT "rw-s" FILE, "0", "rd wr sh", 0x3b, DV_CORE_ALL },
	{ AT "rw-s" FILE " (deleted)", "0", "rd sh", 0x33, DV_CORE_ALL },
	{ AT "rw-s" FILE " (deleted)", "0", "rd sh", 0x31, DV_CORE_NO_BYTES },
	{ AT "rw-s 00000000 00:01 5 /memfd:x", "0", "rd", 2, DV_CORE_ALL },
	{ AT "rw-s 00000000 00:01 5 /SYSV0001", "0", "rd", 2, DV_CORE_ALL },
	{ AT "rw-s 00000000 00:01 5 /dev/zero (deleted)", NULL, NULL, 2,
	  DV_CORE_ALL },
	/* huge pages */
	{ AT "rw-p" NONE, "8", "rd wr ht", 0x33, DV_CORE_ALL },
	{ AT "rw-p" NONE, "8", "rd wr ht", 0x13, DV_CORE_NO_BYTES },
	{ AT "rw-s" NONE, "8", "rd wr ht", 0x33, DV_CORE_NO_BYTES },
	{ AT "rw-s" NONE, "8", "rd wr ht", 0x40, DV_CORE_ALL },
	/* what the kernel maps */
	{ AT "r-xp" NONE "[vdso]", "0", "rd ex de", 0, DV_CORE_ALL },
	{ AT "r--p" NONE "[vvar]", "0", "rd io dd pf", 0x7f,
	  DV_CORE_LEAVE_OUT },
	{ AT "r--p" NONE "[vvar_vclock]", NULL, NULL, 0x7f,
	  DV_CORE_LEAVE_OUT },
	{ AT "--xp" NONE "[vsyscall]", NULL, NULL, 0x7f, DV_CORE_LEAVE_OUT },
	/* devices */
	{ AT "rw-s 00000000 00:05 5 /dev/mem", "0", "rd io pf", 0x7f,
	  DV_CORE_LEAVE_OUT },
	{ AT "rw-s 00000000 00:05 5 /dev/mem", NULL, NULL, 0x7f,
	  DV_CORE_LEAVE_OUT },
	{ AT "rw-s 00000000 00:05 5 /dev/shm/x", NULL, NULL, 0x7f,
	  DV_CORE_ALL },
	{ AT "rw-s 00000000 00:05 5 anon_inode:[perf_event]", NULL, NULL, 0x7f,
	  DV_CORE_LEAVE_OUT },
};
// clang-format on

TEST(part_of_each_kind_of_mapping)
{
	for (size_t i = 0; i < DV_ARRAY_LEN(parts); i++) {
		const struct part_case *c = &parts[i];
		struct dv_core_map m = { 0 };
		char text[64];

		CHECK_EQ(dv_core_map_line(c->first, strlen(c->first), &m), 1);
		if (c->flags) {
			snprintf(text, sizeof(text), "Anonymous: %s kB",
				 c->anon);
			CHECK_EQ(dv_core_map_line(text, strlen(text), &m), 0);
			snprintf(text, sizeof(text), "VmFlags: %s ", c->flags);
			CHECK_EQ(dv_core_map_line(text, strlen(text), &m), 0);
		}
		if (dv_core_map_part(&m, c->filter) != c->want)
			print_error("row %zu: %s\n", i, c->first);
		CHECK_EQ(dv_core_map_part(&m, c->filter), c->want);
	}
}

TEST(path_gets_its_newlines_back_and_is_cut_to_the_buffer)
{
	static const char text[] = "/a\\012b\\01";
	struct dv_str s = { text, sizeof(text) - 1 };
	char out[16];

	CHECK_EQ(dv_core_map_path(s, out, sizeof(out)), 7);
	CHECK_EQ(memcmp(out, "/a\nb\\01", 7), 0);
	CHECK_EQ(dv_core_map_path(s, out, 3), 3);
	CHECK_EQ(memcmp(out, "/a\n", 3), 0);
	CHECK_EQ(dv_core_map_path(s, out, 0), 0);
}
