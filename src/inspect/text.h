/* SPDX-License-Identifier: MIT */
#pragma once
/*
 * Text for people: what may be printed, and numbers.
 */
#include "base/buf.h"

/* Append, with U+FFFD for every byte that is not UTF-8. */
void dv_text_put(struct dv_buf *out, const char *s, size_t len);
/* In double quotes; quotes, backslashes and what is invisible are escaped. */
void dv_text_put_quoted(struct dv_buf *out, const char *s, size_t len);
/* Controls, blanks other than a space, and what changes the direction. */
bool dv_text_hidden(uint32_t cp);

enum { DV_FLOAT_TEXT_MAX = 352 };
/*
 * The shortest decimal text that reads back as the same number: "1", "0.1",
 * "-0", "NaN", "inf"; never with an exponent. @single: as a float.
 */
void dv_float_text(char out[DV_FLOAT_TEXT_MAX], double v, bool single);
