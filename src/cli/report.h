/* SPDX-License-Identifier: MIT */
#pragma once
/*
 * What davit itself says, always on stderr: errors, notes, the exit record.
 */
#include <stdbool.h>
#include <stddef.h>

#include <davit/run.h>

#include "base/log.h"

/*
 * Say what failed, with the hint on a line of its own, or as one line of JSON.
 * Returns @status, so that it can end a function.
 */
int dv_report(const struct dv_err *err, bool json, int status);

/* "davit: text" */
void dv_note(const char *fmt, ...) DV_PRINTF(1, 2);
/* The same, dim, and only when stderr is a terminal. */
void dv_note_dim(const char *fmt, ...) DV_PRINTF(1, 2);

/* 125, 126 or 127: the exit status for a command that did not start. */
int dv_report_start_status(const struct dv_err *err);

/* The table of --timing. */
void dv_report_timing(const struct dv_run *run);

/* One line of JSON on @fd, newline included. Returns 0 or -errno. */
int dv_report_exit(int fd, const struct dv_exit *exit, const char *id);

/* The sink that DAVIT_LOG asks for; NULL = none. Static. */
struct dv_log_sink *dv_report_sink(void);
