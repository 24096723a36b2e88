/* SPDX-License-Identifier: MIT */
#include "base/opts.h"

#include <errno.h>
#include <string.h>

#include "base/def.h"

int dv_opts_copy(void *to, size_t size, const void *from, struct dv_err *err)
{
	const char *bytes = from;
	size_t theirs;

	memcpy(&theirs, from, sizeof(theirs));
	if (theirs < sizeof(theirs))
		return dv_err_set(err, EINVAL, DV_INVALID,
				  "options without a size");
	for (size_t i = size; i < theirs; i++)
		if (bytes[i])
			return dv_err_set(err, EINVAL, DV_INVALID,
					  "options of a newer version");
	memcpy(to, from, dv_min(size, theirs));
	memcpy(to, &size, sizeof(size));
	return 0;
}
