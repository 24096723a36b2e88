/* SPDX-License-Identifier: MIT */
#pragma once
/*
 * UTF-8, and numbers as text.
 */
#include "base/buf.h"

/*
 * The character at @p; @left is at least 1. Returns its bytes (RFC 3629), or 0
 * when there is none; @cpp is the code point.
 */
size_t dv_utf8_next(const char *p, size_t left, uint32_t *cpp);
/* True when all of it is UTF-8. */
bool dv_utf8_valid(const char *s, size_t len);
/* Append, with U+FFFD for every byte that is not UTF-8. */
void dv_utf8_put(struct dv_buf *out, const char *s, size_t len);
/* In double quotes; quotes, backslashes and what is invisible are escaped. */
void dv_utf8_put_quoted(struct dv_buf *out, const char *s, size_t len);
/* Controls, blanks other than a space, and what changes the direction. */
bool dv_utf8_hidden(uint32_t cp);

enum { DV_FLOAT_TEXT_MAX = 352 };
/*
 * The shortest decimal text that reads back as the same number: "1", "0.1",
 * "-0", "NaN", "inf"; never with an exponent. @single: as a float.
 */
void dv_float_text(char out[DV_FLOAT_TEXT_MAX], double v, bool single);
