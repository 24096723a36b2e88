/* SPDX-License-Identifier: MIT */
/* Apart from the profiles, whose libraries not every program needs. */
#include <string.h>

#include "base/def.h"
#include "engine/seccomp.h"

/* Written by seccomp_gen.c from seccomp_policy.h. */
static const struct sock_filter default_filter[] = {
#include "engine/seccomp_default.inc"
};

const struct sock_filter *dv_seccomp_default(size_t *n_insns)
{
	*n_insns = DV_ARRAY_LEN(default_filter);
	return default_filter;
}

bool dv_seccomp_is_default(const void *bpf, size_t len)
{
	return len == sizeof(default_filter) &&
	       memcmp(bpf, default_filter, len) == 0;
}
