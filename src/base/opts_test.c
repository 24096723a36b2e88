/* SPDX-License-Identifier: MIT */
#include "base/opts.h"

#include <errno.h>

#include "base/test.h"

struct old {
	size_t size;
	long a;
};

struct now {
	size_t size;
	long a, b;
};

struct later {
	size_t size;
	long a, b, c;
};

TEST(copy_of_an_older_version_leaves_the_defaults)
{
	const struct old from = { .size = sizeof(from), .a = 1 };
	struct now to = { .a = 7, .b = 8 };

	CHECK_EQ(dv_opts_copy(&to, sizeof(to), &from, NULL), 0);
	CHECK_EQ(to.size, sizeof(to));
	CHECK_EQ(to.a, 1);
	CHECK_EQ(to.b, 8);
}

TEST(copy_of_a_newer_version_needs_zeros)
{
	struct later from = { .size = sizeof(from), .a = 1, .b = 2 };
	struct now to = { .a = 7 };

	CHECK_EQ(dv_opts_copy(&to, sizeof(to), &from, NULL), 0);
	CHECK_EQ(to.size, sizeof(to));
	CHECK_EQ(to.b, 2);
	from.c = 3;
	from.a = 9;
	CHECK_EQ(dv_opts_copy(&to, sizeof(to), &from, NULL), -EINVAL);
	CHECK_EQ(to.a, 1);
}

TEST(copy_without_a_size_is_refused)
{
	const struct now from = { .size = sizeof(size_t) - 1 };
	struct now to = { .a = 7 };

	CHECK_EQ(dv_opts_copy(&to, sizeof(to), &from, NULL), -EINVAL);
	CHECK_EQ(to.a, 7);
}
