/* SPDX-License-Identifier: MIT */
#pragma once
/*
 * Compiled profiles on disk. A cache is only ever a shortcut: whatever is wrong
 * with it, loading finds nothing and storing does nothing. Private to the
 * seccomp files.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"

/* Names one compiled profile: 64 hex digits, ".bpf" and a NUL. */
struct dv_sc_key {
	char file[64 + 4 + 1];
};

/* Over the profile and everything that the result depends on. */
void dv_sc_key(struct dv_sc_key *key, const char *json, size_t len,
	       uint64_t caps);
/* True when a sound program was appended to @bpf. */
bool dv_sc_cache_load(const char *dir, const struct dv_sc_key *key,
		      struct dv_buf *bpf);
/* Makes the directory when it is not there. */
void dv_sc_cache_store(const char *dir, const struct dv_sc_key *key,
		       const void *bpf, size_t len);
