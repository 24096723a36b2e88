/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <string.h>

#include "base/buf.h"
#include "base/test.h"
#include "cli/envfile.h"

static int collect(void *arg, const char *entry, struct dv_err *err)
{
	struct dv_buf *out = arg;

	if (!strcmp(entry, "REFUSED"))
		return dv_err_set(err, EINVAL, DV_INVALID, "not this one");
	dv_buf_puts(out, entry);
	return dv_buf_putc(out, '|');
}

static int parse(const char *text, size_t len, struct dv_buf *out,
		 struct dv_err *err)
{
	*err = (struct dv_err)DV_ERR_INIT;
	dv_buf_reset(out);
	return dv_envfile_parse("f", text, len, collect, out, err);
}

#define PARSE(text) parse(text, sizeof(text) - 1, &out, &err)

TEST(lines_comments_and_spaces)
{
	dv_autobuf out = DV_BUF_INIT(4096);
	struct dv_err err;

	CHECK_EQ(PARSE("\xef\xbb\xbf"
		       "A=1\n\n# no\n  # nor this\n\t B=x y \r\n"
		       "C=\"q\" # kept\nD\nE=\nF=a=b"),
		 0);
	CHECK_STR(out.data, "A=1|B=x y |C=\"q\" # kept|D|E=|F=a=b|");
}

TEST(nothing_gives_nothing)
{
	dv_autobuf out = DV_BUF_INIT(4096);
	struct dv_err err;

	CHECK_EQ(PARSE(""), 0);
	CHECK_EQ(PARSE("\n\r\n  \n#"), 0);
	CHECK_EQ(out.len, 0);
}

TEST(bad_lines_are_refused_with_their_number)
{
	dv_autobuf out = DV_BUF_INIT(4096);
	struct dv_err err;

	CHECK_EQ(PARSE("A=1\n\nB=a\0b\n"), -EINVAL);
	CHECK_STR(err.msg, "f: line 3: a NUL byte");
	CHECK_EQ(PARSE("=x"), -EINVAL);
	CHECK_STR(err.msg, "f: line 1: no name before the =");
	CHECK_EQ(PARSE("A=1\nexport B=2\n"), -EINVAL);
	CHECK_STR(err.msg, "f: line 2: a space in the name");
	CHECK_EQ(PARSE("\nREFUSED\n"), -EINVAL);
	CHECK_STR(err.msg, "f: line 2: not this one");
}

TEST(cut_at_every_byte_is_never_read_past)
{
	static const char text[] = "\xef\xbb\xbf"
				   "A=1\r\n #c\nB\n";
	dv_autobuf out = DV_BUF_INIT(4096);
	struct dv_err err;

	for (size_t n = 0; n < sizeof(text); n++) {
		char *copy = malloc(n ? n : 1); /* exact: for the sanitizer */

		assert_non_null(copy);
		memcpy(copy, text, n);
		parse(copy, n, &out, &err);
		free(copy);
	}
}

TEST(a_missing_file_says_so)
{
	dv_autobuf out = DV_BUF_INIT(16);
	struct dv_err err = DV_ERR_INIT;

	CHECK_EQ(dv_envfile_read("/no/such/env", collect, &out, &err), -ENOENT);
	CHECK_STR(err.msg, "read /no/such/env: No such file or directory");
}
