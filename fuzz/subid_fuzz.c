/* SPDX-License-Identifier: MIT */
/* /etc/subuid comes from an administrator, but half-written is possible. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/def.h"
#include "runtime/plan/subid.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	dv_autofree char *text = malloc(size + 1);
	uint32_t start, count;

	if (!text)
		return 0;
	memcpy(text, data, size);
	text[size] = '\0';
	if (dv_subid_find(text, "ann", 1000, &start, &count))
		dv_assert(count > 0 && start + (uint64_t)count <= UINT32_MAX);
	return 0;
}
