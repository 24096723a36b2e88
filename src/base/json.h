/* SPDX-License-Identifier: MIT */
#pragma once
/*
 * A streaming JSON writer into a dv_buf. Commas are its business. Strings are
 * bytes: invalid UTF-8 becomes U+FFFD, control characters are escaped. Integers
 * beyond 2^53 are written as strings.
 */
#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"

struct dv_json {
	struct dv_buf *out; /* borrowed */
	bool comma;
};

/* clang-format off */
#define DV_JSON_INIT(buf) { (buf), false }
/* clang-format on */

/* @key is NULL inside arrays and for the top value. */
void dv_json_open(struct dv_json *j, const char *key, char bracket); /* { [ */
void dv_json_close(struct dv_json *j, char bracket);                 /* } ] */
void dv_json_str(struct dv_json *j, const char *key, const char *s);
void dv_json_strn(struct dv_json *j, const char *key, const char *s, size_t n);
void dv_json_u64(struct dv_json *j, const char *key, uint64_t v);
void dv_json_i64(struct dv_json *j, const char *key, int64_t v);
void dv_json_bool(struct dv_json *j, const char *key, bool v);
void dv_json_null(struct dv_json *j, const char *key);
/* RFC 3339 with nanoseconds, UTC. */
void dv_json_time(struct dv_json *j, const char *key, uint64_t unix_ns);
