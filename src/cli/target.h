/* SPDX-License-Identifier: MIT */
#pragma once
/*
 * The sandboxes that a verb is about: NAME..., by name, id or the beginning of
 * one, or -l for the one that was created last.
 */
#include <stdbool.h>

#include <davit/sandbox.h>

#include "cli/opts.h"

enum {
	/* Of what should be done at once. */
	DV_TARGET_MS = 10000,
	DV_TARGETS_MAX = 1024,
};

/* Rows of tables of options; @at: an offset of a bool, for diag_set_flag(). */
/* clang-format off */
#define DV_OPT_LATEST(letter, at) { "latest", letter, NULL, "Which", \
	"The sandbox that was created last, instead of a name.", \
	diag_set_flag, at, 0, NULL }
#define DV_OPT_JSON_RECORD(at) { "json", 0, NULL, "Records", \
	"Write the exit record, or the error, as the last line on stderr, in " \
	"JSON.", \
	diag_set_flag, at, 0, NULL }
#define DV_OPT_JSON_ERRORS(at) { "json", 0, NULL, "Output", \
	"Write errors as JSON, a line each.", \
	diag_set_flag, at, 0, NULL }
/* clang-format on */

/*
 * One sandbox: argv[0], or (@latest) the last one. *restp is how many words
 * were taken, 0 or 1. Returns 0 or -errno; @usage is set when no name is given.
 */
int dv_target_sandbox(struct dv_sandbox **sbp, int argc, char **argv,
		      bool latest, struct dv_loop *loop, int *restp,
		      bool *usage, struct dv_err *err);

/* Begins an operation on @sb that ends by @how. Returns 0 or -errno. */
typedef int dv_target_fn(void *arg, struct dv_sandbox *sb,
			 const struct dv_how *how, struct dv_err *err);

struct dv_targets {
	int argc; /* of the words that are names */
	char **argv;
	bool latest, json;
	bool ignore;    /* names of nobody; a beginning is nobody's name then */
	int timeout_ms; /* for each; -1: none */
	dv_target_fn *begin;
	void *arg;
};

/*
 * The same operation on all of them, at the same time. What fails is said, one
 * line each. Returns the exit status: 0, 1 when one failed, 2 for wrong usage.
 */
int dv_targets_run(const struct dv_targets *targets);
