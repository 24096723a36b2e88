/* SPDX-License-Identifier: MIT */
/* Documents of sandboxes: what is accepted is written and read again alike. */
#include <stdlib.h>
#include <string.h>

#include "base/def.h"
#include "runtime/store/priv.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct dv_sandbox_info info, again;
	dv_autofree char *text = NULL, *twice = NULL;

	if (size > 64 << 10)
		return 0;
	if (dv_info_parse(&info, (const char *)data, size, NULL) < 0)
		return 0;
	text = dv_sandbox_info_json(&info);
	dv_sandbox_info_free(&info);
	dv_assert(text);
	dv_assert(dv_info_parse(&again, text, strlen(text), NULL) == 0);
	twice = dv_sandbox_info_json(&again);
	dv_sandbox_info_free(&again);
	dv_assert(twice && !strcmp(text, twice));
	return 0;
}
