/* SPDX-License-Identifier: MIT */
#pragma once
/*
 * What the options of `davit exec` say.
 */
#include <stdbool.h>
#include <stddef.h>

#include <davit/diag.h>

#include "base/rlimit_name.h"
#include "cli/opts.h"
#include "cli/run_args.h"

struct exec_args {
	bool latest, json, quiet, detach, clear_env;
	enum dv_auto tty;
	int timeout_ms;      /* -1: none */
	const char *workdir; /* borrowed from argv; NULL: the sandbox's */
	const char *user;    /* the same; NULL: that of its first process */
	const char *record;  /* the same; NULL: not asked for */
	int record_fd;       /* "fd:N", or -1 */
	struct dv_diag_rlimit rlimits[DV_RLIMITS];
	size_t n_rlimits;
	char **env; /* owned; NULL-terminated when it is not NULL */
	size_t n_env;
};

void exec_args_init(struct exec_args *args);
/* "KEY=VALUE"; or "KEY": our own value, if there is one. 0 or -errno. */
int exec_args_env(struct exec_args *args, const char *entry,
		  struct dv_err *err);
/* Idempotent. */
void exec_args_free(struct exec_args *args);
