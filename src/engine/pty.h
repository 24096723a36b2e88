/* SPDX-License-Identifier: MIT */
#pragma once
/*
 * The terminal of a sandboxed process: a pty of the sandbox's own devpts, made
 * in the child, whose master goes to the keeper. Its size is set before exec.
 */
#include "davit/err.h"
#include "wire/plan.pb.h"

/*
 * In the child, after setsid(): open a pty below /dev/pts, size it, give it to
 * the plan's user, send its master over @sock and make it the controlling
 * terminal and descriptors 0 to 2. Async-signal-safe. 0 or -errno.
 */
int dv_pty_become_terminal(const dv_Process *p, int sock, struct dv_err *err);
