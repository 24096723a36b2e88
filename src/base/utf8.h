/* SPDX-License-Identifier: MIT */
#pragma once
/*
 * UTF-8 as RFC 3629 has it: no overlong form, no surrogate, nothing beyond
 * U+10FFFF.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * The character at @p; @left is at least 1. Returns how many bytes it has, or 0
 * when there is none; @cpp (may be NULL) is the code point.
 */
size_t dv_utf8_next(const void *p, size_t left, uint32_t *cpp);
/* True when all of it is UTF-8. */
bool dv_utf8_ok(const void *text, size_t len);
