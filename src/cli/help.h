/* SPDX-License-Identifier: MIT */
#pragma once
/*
 * Help texts, made from the tables. Those that print return the exit status:
 * 0, or 1 when stdout did not take it, and that was said.
 */
#include "base/buf.h"
#include "cli/opts.h"

/* Everything about one verb, on stdout. */
int dv_help_verb(const struct dv_verb *verb);
/* The list of verbs, on stdout. */
int dv_help_all(void);
/* The same, short, on stderr. */
void dv_help_usage(void);

/*
 * Append @text, broken into lines of at most @width columns; each line starts
 * at column @indent, the first one is at column @at already.
 */
void dv_help_wrap(struct dv_buf *out, const char *text, size_t at,
		  size_t indent, size_t width);

/* True for an option that help, man and completions show. */
bool dv_opt_shown(const struct dv_opt *opt);

/* Paragraphs about each verb, separated by an empty line. Static. */
extern const char dv_prose_run[];
extern const char dv_prose_doctor[];
extern const char dv_prose_diag[];
extern const char dv_prose_help[];
extern const char dv_prose_version[];
