/* SPDX-License-Identifier: MIT */
#pragma once
/*
 * Capability names and sets. Bit n of a set is capability n.
 */
#include <stdbool.h>
#include <stdint.h>

/* "CAP_NET_RAW", "net_raw" (any case) or "ALL". Returns 0 or -EINVAL. */
int dv_caps_parse(const char *name, uint64_t *bits);

/* What root has in a sandbox by default: enough to install packages and run
 * services, nothing that reaches beyond the sandbox's namespaces. */
uint64_t dv_caps_default(void);

/* Is it in the effective set of the calling thread? */
bool dv_caps_have(int cap);
