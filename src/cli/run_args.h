/* SPDX-License-Identifier: MIT */
#pragma once
/*
 * What the options of `davit run` say: most go straight into the spec, the
 * rest is for this command alone.
 */
#include <stdbool.h>

#include <davit/sandbox.h>

#include "cli/opts.h"

enum dv_auto { DV_AUTO = 0, DV_YES, DV_NO };

/* How long a relayed stream is read once the command has ended. */
enum { DV_DRAIN_EXIT = 0, DV_DRAIN_EOF = -1 }; /* else ms */
enum { DV_DRAIN_DEFAULT_MS = 2000 };

/* Options that a sandbox which lives on has. */
enum {
	DV_ASKED_RESTART = 1,
	DV_ASKED_TTL = 2,
	DV_ASKED_IDLE = 4,
	DV_ASKED_HEALTH = 8,
	DV_ASKED_HEALTH_INTERVAL = 16,
	DV_ASKED_HEALTH_TIME = 32,
	DV_ASKED_LOG_MAX = 64,
};

struct run_args {
	struct dv_spec *spec; /* owned */
	bool json, quiet, timing;
	enum dv_auto tty;
	int drain_ms;
	bool container, process, has_rootfs; /* process: by name */
	/* Borrowed from argv; NULL = not asked for. */
	const char *record, *log, *pidfile;
	int record_fd; /* "fd:N", or -1 */
	int info_fd;   /* -1 = none */
	/* Bit n: an option names descriptor DV_SYSTEMD_FD_FIRST + n. */
	uint64_t named_fds;
	bool detach, best_effort;
	struct dv_sandbox_keep keep;
	unsigned int asked; /* DV_ASKED_* */
	/* Borrowed from argv; what keep.labels and keep.health are. */
	const char *labels[DV_SANDBOX_LABELS_MAX + 1];
	size_t n_labels;
	const char *health[4];
};

/* The options in the order in which help and man show them. Static. */
extern const struct dv_opt dv_run_opts[];
extern const size_t dv_n_run_opts;

/* Defaults and an empty spec. Returns 0 or -ENOMEM. */
int dv_run_args_init(struct run_args *args);
/* Idempotent. */
void dv_run_args_free(struct run_args *args);

/* run_keep.c */
/* Options that do not go with -d, or only with it. 0 or -EINVAL. */
int dv_keep_args_check(const struct run_args *args, struct dv_err *err);
/* Leave it behind, and print what it is called. 0 or -errno. */
int dv_run_detached(struct run_args *args, struct dv_err *err);

/* Wrong combinations. Returns 0 or -EINVAL. */
int dv_run_args_check(const struct run_args *args, struct dv_err *err);
