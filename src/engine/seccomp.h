/* SPDX-License-Identifier: MIT */
#pragma once
/*
 * Seccomp filters, as classic BPF programs ready for seccomp(2).
 *
 * The default filter was compiled when davit was built and costs nothing to
 * get. An OCI-format JSON profile is compiled with libseccomp and kept in a
 * cache directory under the SHA-256 of the profile and of what the result
 * depends on. docs/seccomp.md describes both.
 */
#include <linux/filter.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "davit/err.h"

/* The built-in filter of this architecture. Static. */
const struct sock_filter *dv_seccomp_default(size_t *n_insns);
/* Are these @len bytes that filter? */
bool dv_seccomp_is_default(const void *bpf, size_t len);

/*
 * Append the filter of the profile at @path to @bpf: struct sock_filter in
 * native order, at most BPF_MAXINSNS of them. @caps: bit n = capability n is in
 * the bounding set; decides includes and excludes. @cache_dir, made when it is
 * missing, may be NULL: no cache; a cache that cannot be used is no error.
 * Errors name the file and where in it: -EINVAL and -EFBIG with DV_INVALID, or
 * what opening and reading it gave.
 */
int dv_seccomp_profile(const char *path, uint64_t caps, const char *cache_dir,
		       struct dv_buf *bpf, struct dv_err *err);

/* The compiler alone: JSON text, no NUL needed behind it. @name: for errors. */
int dv_seccomp_compile(const char *name, const char *json, size_t len,
		       uint64_t caps, struct dv_buf *bpf, struct dv_err *err);
