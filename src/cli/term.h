/* SPDX-License-Identifier: MIT */
#pragma once
/*
 * The caller's terminal: raw while the command has one of its own, and as it
 * was before on every way out but SIGKILL. There is one per process, because a
 * signal handler has to find it.
 */
#include <stdbool.h>
#include <sys/ioctl.h>

/* Remember the terminal @fd (borrowed) and how to put it back. 0, -errno. */
int dv_term_open(int fd);
/* Raw mode; does nothing while we are in the background. 0 or -errno. */
int dv_term_raw(void);
/* Put it back. Idempotent, async-signal-safe. */
void dv_term_restore(void);
/* Restore, and forget the terminal and the handlers. Idempotent. */
void dv_term_close(void);

/* May we read from it? True too when it is not our controlling terminal. */
bool dv_term_foreground(int fd);
/* False when it is no terminal or has no size. */
bool dv_term_size(int fd, struct winsize *ws);
