/* SPDX-License-Identifier: MIT */
/*
 * What /proc says of processes and mounts in a sandbox. Names, paths and
 * sources in it are chosen inside.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/def.h"
#include "runtime/keeper/look.h"

enum { INPUT_MAX = 16 << 10 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static char *copy(const uint8_t *data, size_t size)
{
	char *text = malloc(size + 1);

	dv_assert(text);
	if (size)
		memcpy(text, data, size);
	text[size] = '\0';
	return text;
}

static void check(const char *field, const char *text, size_t size)
{
	dv_assert(field && strlen(field) <= size);
	dv_assert(!*field || (field >= text && field <= text + size));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct dv_look_mount m;
	struct dv_look l = { 0 };
	char *text;

	if (size > INPUT_MAX)
		return 0;
	text = copy(data, size);
	if (dv_look_parse_stat(&l, text) == 0)
		dv_assert(strlen(l.comm) < sizeof(l.comm));
	free(text);
	text = copy(data, size);
	dv_look_parse_mount(&m, text);
	check(m.root, text, size);
	check(m.target, text, size);
	check(m.options, text, size);
	check(m.type, text, size);
	check(m.source, text, size);
	check(m.super, text, size);
	free(text);
	return 0;
}
