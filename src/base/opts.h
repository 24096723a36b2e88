/* SPDX-License-Identifier: MIT */
#pragma once
/*
 * Structs of options that begin with their own size_t size. A member that is
 * added must not lie where the version before had padding: nobody sets that.
 */
#include <stddef.h>

#include "davit/err.h"

/*
 * Options of a caller who may be older or newer than we are: what he does not
 * know stays what it is in @to (of @size bytes), which has our size. @from is
 * borrowed. -EINVAL: he has set what we do not know, or has no size.
 */
int dv_opts_copy(void *to, size_t size, const void *from, struct dv_err *err);
