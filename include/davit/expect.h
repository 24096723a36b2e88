/* SPDX-License-Identifier: MIT */
#pragma once
/*
 * Waiting for what a sandbox does: one of several conditions, whichever comes
 * first, over the log of its output.
 *
 *   struct dv_expect *x;	a set of conditions, and a place in the log
 *
 * Nothing of the keeper is needed: these are files. Output that was there
 * before the wait counts, from opts->offset on. A second wait goes on behind
 * what the first one found. An expectation belongs to the loop and the thread
 * of its sandbox, and is freed before it.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <davit/err.h>
#include <davit/sandbox.h>

#ifdef __cplusplus
extern "C" {
#endif

struct dv_expect;

enum {
	/* What is looked at as one line, at most; a longer one is several. */
	DV_EXPECT_LINE_MAX = 16384,
	DV_EXPECT_MAX = 1024, /* conditions of one set */
};

enum dv_expect_kind {
	DV_EXPECT_MATCH = 0, /* a line, or the beginning of one, matches */
	DV_EXPECT_END,       /* a run's output has ended */
	DV_EXPECT_EXIT,      /* the sandbox has ended for good */
	DV_EXPECT_IDLE,      /* no output for so long */
	DV_EXPECT_DEADLINE,  /* so long after the wait began */
	DV_EXPECT_N
};

struct dv_expect_opts {
	size_t size;
	uint32_t streams;       /* DV_DIAG_STDOUT | DV_DIAG_STDERR; 0: both */
	uint64_t offset;        /* look from here on */
	uint64_t since_unix_ns; /* and not at what is older; 0: at all */
	bool this_run;          /* as in struct dv_sandbox_log_opts */
};

/* clang-format off */
#define DV_EXPECT_OPTS_INIT { sizeof(struct dv_expect_opts), 0, 0, 0, false }
/* clang-format on */

/* @opts may be NULL. A sandbox without a log has only exits and deadlines. */
DV_API int dv_expect_new(struct dv_expect **xp, struct dv_sandbox *sb,
			 const struct dv_expect_opts *opts, struct dv_err *err);
/* A wait in progress is forgotten. NULL is allowed. Returns NULL. */
DV_API struct dv_expect *dv_expect_free(struct dv_expect *x);

/*
 * Add a condition, between waits. Returns its number, from 0, or -errno. What
 * comes first in the log counts first; then what was added first.
 *
 * @regex is a POSIX extended regular expression, for bytes. It is looked for in
 * each line of each stream (without its "\n" or "\r\n"), and in one that is not
 * finished yet: there `$` does not match before the line is.
 */
DV_API int dv_expect_match(struct dv_expect *x, const char *regex,
			   struct dv_err *err);
DV_API int dv_expect_end(struct dv_expect *x, struct dv_err *err);
DV_API int dv_expect_exit(struct dv_expect *x, struct dv_err *err);
/* Both count from the beginning of the wait at the earliest. */
DV_API int dv_expect_idle(struct dv_expect *x, int ms, struct dv_err *err);
DV_API int dv_expect_deadline(struct dv_expect *x, int ms, struct dv_err *err);

struct dv_expect_result {
	size_t size;
	int which;                /* the number of the condition */
	enum dv_expect_kind kind; /* of it */
	/* Of the first byte that matched; else of the next one to look at. */
	uint64_t offset;
	uint64_t lost;  /* bytes that were missing in what was looked at */
	const char *at; /* what matched; borrowed until the next wait */
	size_t len;
	const char *line; /* as much as there is of its line; borrowed, too */
	size_t line_len;
	int stream;
	uint64_t unix_ns;    /* when its last byte was read */
	struct dv_exit exit; /* DV_EXPECT_EXIT */
};

/* clang-format off */
#define DV_EXPECT_RESULT_INIT { .size = sizeof(struct dv_expect_result) }
/* clang-format on */

/*
 * Wait. Returns 0 with @result; DV_EOF when the sandbox has ended for good and
 * none of the conditions came true (or can); or -errno. Inside a callback of
 * the loop: -EDEADLK.
 */
DV_API int dv_expect_wait(struct dv_expect *x, struct dv_expect_result *result,
			  struct dv_err *err);
/* @r as dv_expect_wait() returns it; @err is borrowed for the call. */
typedef void dv_expect_fn(void *arg, int r, const struct dv_err *err);
/* The same without waiting: @fn is called once, from the loop; @result has to
 * live until then. -EBUSY: there is a wait already. */
DV_API int dv_expect_start(struct dv_expect *x, struct dv_expect_result *result,
			   dv_expect_fn *fn, void *arg, struct dv_err *err);
/* Forget a wait; what it has looked at stays looked at. */
DV_API void dv_expect_cancel(struct dv_expect *x);

#ifdef __cplusplus
}
#endif
