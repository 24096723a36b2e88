/* SPDX-License-Identifier: MIT */
#pragma once
/*
 * Moments that people write.
 */
#include <stdint.h>

/*
 * "10m" (so long before @now_ns), "@1700000000.5" (Unix time), or
 * "2026-11-21[T13:50[:02[.5]]][Z|+01:00]", local time when it names no zone.
 * Unix time in ns. Returns 0, -EINVAL, or -ERANGE (before 1970).
 */
int dv_parse_when(const char *s, uint64_t now_ns, uint64_t *nsp);
