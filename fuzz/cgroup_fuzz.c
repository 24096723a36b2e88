/* SPDX-License-Identifier: MIT */
/*
 * The first line of the input is taken for /proc/self/cgroup, the rest for
 * mountinfo, in which the group found is looked up in every hierarchy.
 */
#include <limits.h>
#include <string.h>

#include "base/def.h"
#include "engine/cgroup_parse.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void find_all(const struct dv_cg_self *self, const char *mounts,
		     size_t len)
{
	char dir[PATH_MAX];

	for (int t = 0; t < DV_CG_TREE_N; t++) {
		size_t left = len, before;

		if (!self->path[t].ptr)
			continue;
		dv_assert(self->path[t].len > 0);
		do {
			before = left;
			if (dv_cg_parse_mounts(mounts, &left, t, self->path[t],
					       dir, sizeof(dir)) < 0)
				break;
			dv_assert(strlen(dir) < sizeof(dir));
			dv_assert(left < before);
		} while (left);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const char *text = (const char *)data;
	const char *eol = size ? memchr(text, '\n', size) : NULL;
	const size_t n = eol ? (size_t)(eol - text) + 1 : size;
	struct dv_cg_self self;
	char *copy;

	if (size > 65536)
		return 0;
	/* The whole as /proc/self/cgroup, then the two parts. */
	dv_cg_parse_self(text, size, &self);
	if (dv_cg_parse_self(text, n, &self) == 0)
		find_all(&self, text + n, size - n);
	copy = malloc(size + 1);
	if (!copy)
		return 0;
	if (size)
		memcpy(copy, text, size);
	copy[size] = '\0';
	dv_cg_parse_counter(copy, "oom_kill");
	free(copy);
	return 0;
}
