/* SPDX-License-Identifier: MIT */
/*
 * The input is an environment file. Every entry that comes out has a name
 * without blanks, and is no longer than the input.
 */
#include <string.h>

#include "base/def.h"
#include "cli/envfile.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int look(void *arg, const char *entry, struct dv_err *err DV_UNUSED)
{
	size_t *left = arg;
	size_t len = strlen(entry), name = strcspn(entry, "=");

	dv_assert(len <= *left);
	*left -= len;
	dv_assert(name > 0);
	dv_assert(strcspn(entry, " \t\v\f\n") >= name);
	return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct dv_err err = DV_ERR_INIT;
	size_t left = size;

	if (size > 65536)
		return 0;
	dv_envfile_parse("input", (const char *)data, size, look, &left, &err);
	return 0;
}
