/* SPDX-License-Identifier: MIT */
/*
 * The input is a command line, words separated by NUL, for a table with the
 * shapes that options have. What the parser hands out lies inside the words,
 * and what it says it has read is what there was.
 */
#include <string.h>

#include "base/def.h"
#include "cli/opts.h"
#include "cli/run_split.h"

enum { WORDS = 64 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct memory {
	const char *start, *end;
};

static void split(const char *value)
{
	static struct dv_volume_words v;
	char dir[PATH_MAX];
	enum dv_rootfs_mode mode;
	struct dv_ulimit_words u;
	uint64_t bytes;
	int a, b;

	dv_split_rootfs(value, dir, sizeof(dir), &mode, NULL);
	dv_split_volume(value, &v, NULL);
	dv_split_tmpfs(value, dir, sizeof(dir), &bytes, NULL);
	if (dv_split_fd(value, &a, &b, NULL) == 0)
		dv_assert(a >= 0 && b >= 3);
	if (dv_split_ulimit(value, &u, NULL) == 0)
		dv_assert(u.soft <= u.hard);
}

static int take(void *target, const struct dv_opt *opt, const char *value,
		struct dv_err *err DV_UNUSED)
{
	const struct memory *m = target;

	dv_assert((value != NULL) == (opt->arg != NULL));
	if (!value)
		return 0;
	dv_assert(value >= m->start && value + strlen(value) < m->end);
	split(value);
	return 0;
}

static const struct dv_opt opts[] = {
	{ .name = "flag", .letter = 'f', .apply = take },
	{ .name = "volume", .letter = 'v', .arg = "V", .apply = take },
	{ .name = "volume-label", .arg = "V", .apply = take },
};
static const struct dv_verb verb = { .name = "test",
				     .opts = opts,
				     .n_opts = DV_ARRAY_LEN(opts) };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char name[] = "test", *argv[WORDS + 2] = { name }, *copy;
	struct dv_err err = DV_ERR_INIT;
	int argc = 1, rest = -1;
	struct memory m;

	if (size > 65536)
		return 0;
	copy = malloc(size + 1);
	if (!copy)
		return 0;
	if (size)
		memcpy(copy, data, size);
	copy[size] = '\0';
	m = (struct memory){ copy, copy + size + 1 };
	for (char *p = copy; p < m.end && argc <= WORDS; p += strlen(p) + 1)
		argv[argc++] = p;
	if (dv_opts_parse(&verb, argc, argv, &m, &rest, &err) == 0)
		dv_assert(rest >= 1 && rest <= argc);
	else
		dv_assert(rest == -1);
	free(copy);
	return 0;
}
