/* SPDX-License-Identifier: MIT */
#pragma once
/*
 * Seccomp filters, as classic BPF programs ready for seccomp(2).
 *
 * The default filter was compiled when davit was built and costs nothing to
 * get. An OCI-format JSON profile is compiled with libseccomp and kept in a
 * cache directory under the SHA-256 of the profile and of what it depends on
 * (davit's version, the capabilities, the architecture).
 */
#include <linux/filter.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "davit/err.h"

/* The built-in filter. Static. */
const struct sock_filter *dv_seccomp_default(size_t *n_insns);

/*
 * Compile the profile at @path into @bpf (struct sock_filter array, native byte
 * order). @caps: bit n = capability n is in the bounding set; decides
 * includes/excludes. @cache_dir may be NULL: no cache. Errors say the file and,
 * for malformed JSON, line and column; -EINVAL with DV_INVALID, -ENOENT, ...
 */
int dv_seccomp_profile(const char *path, uint64_t caps, const char *cache_dir,
		       struct dv_buf *bpf, struct dv_err *err);
/* The parser alone, for tests and fuzzing: JSON text to BPF. @name: for errors. */
int dv_seccomp_compile(const char *name, const char *json, size_t len,
		       uint64_t caps, struct dv_buf *bpf, struct dv_err *err);
