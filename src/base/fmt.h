/* SPDX-License-Identifier: MIT */
#pragma once
/*
 * Formatting that is async-signal-safe: no locale, no malloc, no lock. It knows
 * s d i u x o c %% with flag 0, width, .N and .* (for s), sizes l ll z.
 */
#include <stdarg.h>
#include <stddef.h>

#include <davit/err.h>

/* As snprintf(): always terminates, returns the length it would have had. */
int dv_fmt(char *out, size_t size, const char *fmt, ...) DV_PRINTF(3, 4);
int dv_vfmt(char *out, size_t size, const char *fmt, va_list ap)
	DV_PRINTF(3, 0);
