/* SPDX-License-Identifier: MIT */
#pragma once
/*
 * The verbs of the command line: one row each.
 */
#include "cli/opts.h"

/* The n-th verb, hidden ones too; NULL past the end. */
const struct dv_verb *dv_verb_at(size_t n);
/* NULL when there is none of that name. */
const struct dv_verb *dv_verb_find(const char *name);

/* All of the command line. Returns the exit status. */
int dv_verbs_main(int argc, char **argv);

/* Rows in the files of their verbs; verbs.c lists them. */
extern const struct dv_verb dv_verb_ps;
extern const struct dv_verb dv_verb_why;
extern const struct dv_verb dv_verb_events;
extern const struct dv_verb dv_verb_rm;
extern const struct dv_verb dv_verb_exec;
extern const struct dv_verb dv_verb_logs;
extern const struct dv_verb dv_verb_wait;
extern const struct dv_verb dv_verb_attach;
extern const struct dv_verb dv_verb_stop;
extern const struct dv_verb dv_verb_kill;
extern const struct dv_verb dv_verb_pause;
extern const struct dv_verb dv_verb_resume;
extern const struct dv_verb dv_verb_restart;
extern const struct dv_verb dv_verb_rename;
extern const struct dv_verb dv_verb_update;
extern const struct dv_verb dv_verb_upgrade;
extern const struct dv_verb dv_verb_inspect;
extern const struct dv_verb dv_verb_top;
extern const struct dv_verb dv_verb_keeper;

/* Verbs with a file of their own. */
int dv_run_main(const struct dv_verb *verb, int argc, char **argv);
int dv_exec_main(const struct dv_verb *verb, int argc, char **argv);
int dv_doctor_main(const struct dv_verb *verb, int argc, char **argv);
int dv_diag_main(const struct dv_verb *verb, int argc, char **argv);
int dv_complete_main(const struct dv_verb *verb, int argc, char **argv);

/* The sub-verbs of diag. */
const struct dv_verb *dv_diag_verb_at(size_t n);

extern const struct dv_opt dv_doctor_opts[];
extern const size_t dv_n_doctor_opts;
