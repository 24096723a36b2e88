/* SPDX-License-Identifier: MIT */
#pragma once
/*
 * What davit itself says: errors, notes and the exit record on stderr, and what
 * was asked for on stdout.
 */
#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include <davit/run.h>

#include "base/buf.h"
#include "base/log.h"

/* How we were started: main() says so before anything else happens. */
extern struct dv_inherited {
	bool no_stdout;    /* it was closed; now it is /dev/null */
	bool ignores_pipe; /* SIGPIPE was ignored already */
	mode_t umask;      /* ours has no bits of the owner's */
} dv_inherited;

/* Before anything is begun that would have to be undone: can it be written to
 * at all? Otherwise as dv_stdout(). */
int dv_stdout_check(struct dv_err *err);
/*
 * Write to stdout, which may be non-blocking. Returns 0 or -errno with @err
 * ("write to stdout: ..."); a reader that has gone ends us as SIGPIPE does,
 * unless that was ignored when we were started.
 */
int dv_stdout(const void *data, size_t len, struct dv_err *err);
/* The same for what another way of writing to stdout said, @sys > 0. */
int dv_stdout_failed(int sys, struct dv_err *err);
/* Wait until @fd is readable; the same when nobody reads stdout any more. */
int dv_stdout_wait(int fd, struct dv_err *err);
/*
 * A relay could not deliver to @name: true, and that is said, when @sys says so
 * and it is not only that the reader has gone, who misses nothing.
 */
bool dv_report_lost(const char *name, int sys);
/* Write it to stdout or say why not. Returns the exit status, 0 or 1. */
int dv_print(const struct dv_buf *out);

/* Colors are for terminals, unless NO_COLOR or TERM=dumb says otherwise. */
bool dv_colors(int fd);

/*
 * Say what failed, with the hint on a line of its own, or as one line of JSON.
 * Returns @status, so that it can end a function.
 */
int dv_report(const struct dv_err *err, bool json, int status);

/* Append words of others, which may hold anything: they stay on their line and
 * do not talk to the terminal. What is no text there is a question mark. */
void dv_put_clean(struct dv_buf *out, const char *text);

/* "davit: text" */
void dv_note(const char *fmt, ...) DV_PRINTF(1, 2);
/* The same, dim, and only when stderr is a terminal. */
void dv_note_dim(const char *fmt, ...) DV_PRINTF(1, 2);

/* The lines of dv_run_missing(): what best effort goes without. */
void dv_note_missing(const char *missing);

/* 125, 126 or 127: the exit status for a command that did not start. */
int dv_report_start_status(const struct dv_err *err);

/* The table of --timing. */
void dv_report_timing(const struct dv_run *run);

/* One line of JSON on @fd, newline included. Returns 0 or -errno. */
int dv_report_exit(int fd, const struct dv_exit *exit, const char *id);
/*
 * Before anything is started: can dv_report_record() write there? Nothing is
 * made or changed. 0 or -errno.
 */
int dv_report_record_check(const char *path, int fd, struct dv_err *err);
/* The same for a file that is made anew, by dv_replace_file(); NULL is none. */
int dv_report_pidfile_check(const char *path, struct dv_err *err);
/*
 * Where it was asked for: in the file @path, on @fd (>= 0, borrowed) when that
 * is what @path names, or, without a path, on stderr with @json. The last line
 * on stderr comes last of all. 0 or -errno.
 */
int dv_report_record(const char *path, int fd, bool json,
		     const struct dv_exit *exit, const char *id,
		     struct dv_err *err);

/* The sink that DAVIT_LOG asks for; NULL = none. Static. */
struct dv_log_sink *dv_report_sink(void);
