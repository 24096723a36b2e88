/* SPDX-License-Identifier: MIT */
#pragma once
/*
 * Typing errors.
 */
#include <stddef.h>

/*
 * The one of @names that @word was probably meant to be, or NULL. @names is a
 * callback so that tables of any kind can be searched.
 */
const char *dv_did_you_mean(const char *word,
			    const char *(*name_at)(const void *table, size_t n),
			    const void *table);
