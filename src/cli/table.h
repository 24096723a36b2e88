/* SPDX-License-Identifier: MIT */
#pragma once
/*
 * Small things that several verbs say of sandboxes.
 */
#include <stdint.h>

#include <davit/sandbox.h>

#include "base/buf.h"

/* "2026-11-21T13:50:02.123Z", with 3 or 9 digits of a second. */
void dv_put_time(struct dv_buf *out, uint64_t unix_ns, int digits);
/* "12s", "5m", "3h", "2d": how long it takes, in the largest unit. */
void dv_put_span(struct dv_buf *out, uint64_t ns);
/* The same in two units: "3h 12m", "1.204s". */
void dv_put_span_long(struct dv_buf *out, uint64_t ns);
/* The words of a command, cleaned, separated by blanks; after @max columns (0:
 * all of it) it is cut, and ends with "...". */
void dv_put_command(struct dv_buf *out, char *const *argv, size_t max);
/* Its name, or its id. Borrowed. */
const char *dv_sandbox_title(const struct dv_sandbox_info *info);
