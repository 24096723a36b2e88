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

/* Verbs with a file of their own. */
int dv_run_main(const struct dv_verb *verb, int argc, char **argv);
int dv_doctor_main(const struct dv_verb *verb, int argc, char **argv);
int dv_diag_main(const struct dv_verb *verb, int argc, char **argv);
int dv_complete_main(const struct dv_verb *verb, int argc, char **argv);

/* The sub-verbs of diag. */
const struct dv_verb *dv_diag_verb_at(size_t n);

extern const struct dv_opt dv_doctor_opts[];
extern const size_t dv_n_doctor_opts;
