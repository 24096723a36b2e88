/* SPDX-License-Identifier: MIT */
#pragma once
/*
 * The inside of dv_sandbox_log_*: a reader of files, and a watch that tells
 * when there is more, or never will be.
 */
#include "runtime/log/outlog.h"
#include "runtime/store/endwatch.h"

struct dv_sandbox_log {
	struct dv_outlog_reader *reader; /* owned; NULL: it has no log */
	struct dv_endwatch watch;        /* only when following */
	bool follow;
};

/* As dv_sandbox_log_open() by id. @bare: without a log it is only a watch. */
int dv_sandbox_log_open_id(const char *id, struct dv_sandbox_log **logp,
			   const struct dv_sandbox_log_opts *opts, bool bare,
			   struct dv_err *err);
/* As dv_sandbox_log_next(), with the flags of dv_outlog_next(), for which a
 * piece may be empty. */
int dv_sandbox_log_step(struct dv_sandbox_log *log,
			struct dv_sandbox_piece *piece, uint32_t *flags,
			struct dv_err *err);
