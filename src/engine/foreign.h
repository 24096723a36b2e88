/* SPDX-License-Identifier: MIT */
#pragma once
/*
 * Programs for the other architecture that this kernel runs: 32-bit ones on
 * x86-64. The default seccomp filter ends them with their first system call;
 * a name for that is better than a signal.
 */
#include <stdbool.h>

/* Is @file such a program? False when it cannot be read. Async-signal-safe. */
bool dv_is_foreign(const char *file);
