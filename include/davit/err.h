/* SPDX-License-Identifier: MIT */
#pragma once
/*
 * Errors.
 *
 * Every call returns one number: >= 0 is success or a documented condition,
 * < 0 is -errno. Calls that a request can reach also fill a struct dv_err,
 * given last, which may be NULL. It is flat (512 bytes, no pointers), so it can
 * be copied, written to a pipe by a forked child, and sent over every wire as
 * it is. Functions here are safe in any thread and after fork().
 */
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#if defined(__GNUC__)
#define DV_API               __attribute__((visibility("default")))
#define DV_PRINTF(fmt, args) __attribute__((format(printf, fmt, args)))
#else
#define DV_API
#define DV_PRINTF(fmt, args)
#endif

/* The canonical gRPC status codes, with their numbers. */
enum dv_code {
	DV_OK = 0,
	DV_CANCELLED = 1,
	DV_UNKNOWN = 2,
	DV_INVALID = 3,
	DV_DEADLINE = 4,
	DV_NOT_FOUND = 5,
	DV_EXISTS = 6,
	DV_DENIED = 7,
	DV_EXHAUSTED = 8,
	DV_PRECONDITION = 9,
	DV_ABORTED = 10,
	DV_RANGE = 11,
	DV_UNIMPLEMENTED = 12,
	DV_INTERNAL = 13,
	DV_UNAVAILABLE = 14,
	DV_DATA_LOSS = 15,
	DV_UNAUTHENTICATED = 16,
	DV_CODE_N
};

/* Conditions: positive results that a caller must handle, never pass up. */
enum dv_condition {
	DV_MORE = 1, /* incomplete: read again */
	DV_EOF = 2,  /* the stream ended in order */
};

/* What was being done when it failed; decides between exit 125, 126 and 127. */
enum dv_step {
	DV_STEP_NONE = 0,
	DV_STEP_CONFIG,  /* the request itself: options, files it names */
	DV_STEP_STATE,   /* state directory, lock, records */
	DV_STEP_CGROUP,  /* groups and limits */
	DV_STEP_SPAWN,   /* fork, pipes, waiting for the child */
	DV_STEP_IDMAP,   /* uid and gid maps */
	DV_STEP_NET,     /* network namespace */
	DV_STEP_ROOT,    /* root directory and pivot */
	DV_STEP_MOUNT,   /* one mount of the plan */
	DV_STEP_PROCESS, /* session, terminal, limits, descriptors */
	DV_STEP_CREDS,   /* groups, ids, capabilities */
	DV_STEP_SECCOMP,
	DV_STEP_CWD,
	DV_STEP_LOOKUP, /* the command was not found */
	DV_STEP_EXEC,   /* found, but it cannot be executed */
	DV_STEP_STREAM, /* stdio relay, log */
	DV_STEP_N
};

struct dv_err {
	int32_t sys;    /* errno, 0 = none */
	int32_t code;   /* enum dv_code; DV_OK = no error */
	int32_t step;   /* enum dv_step */
	char msg[372];  /* lower case, outermost first, no full stop */
	char hint[128]; /* what to do about it; may be empty */
};

/* clang-format off */
#define DV_ERR_INIT { 0, 0, 0, { 0 }, { 0 } }
/* clang-format on */

/*
 * Fill @err with a message and the canonical code of @sys; ": " and the text
 * of @sys are appended. Returns -sys. The format language is dv_fmt()'s:
 * s d i u x o c %% with the flags 0, width, .N, .*, and the sizes l ll z.
 */
DV_API int dv_err_sys(struct dv_err *err, int sys, const char *fmt, ...)
	DV_PRINTF(3, 4);

/* As dv_err_sys(), but says @code and appends nothing. Returns -sys. */
DV_API int dv_err_set(struct dv_err *err, int sys, enum dv_code code,
		      const char *fmt, ...) DV_PRINTF(4, 5);

/* Put "text: " in front of the message. Returns @r unchanged. */
DV_API int dv_err_wrap(struct dv_err *err, int r, const char *fmt, ...)
	DV_PRINTF(3, 4);

/*
 * Set the hint, unless a more precise one (set deeper) is already there. It may
 * be set before the error itself: a new error clears only an older error's.
 */
DV_API void dv_err_hint(struct dv_err *err, const char *fmt, ...)
	DV_PRINTF(2, 3);

/* Set the failing step, unless one is already named. Returns @r unchanged. */
DV_API int dv_err_step(struct dv_err *err, int r, enum dv_step step);

/* "not-found" and so on; "unknown" for numbers outside the enum. Static. */
DV_API const char *dv_code_name(int code);

/* The canonical code of an errno. */
DV_API enum dv_code dv_code_from_errno(int sys);

/* The name of a step, as `--timing` and JSON print it. Static. */
DV_API const char *dv_step_name(int step);

/* "No such file or directory"; never NULL, async-signal-safe. Static. */
DV_API const char *dv_errno_text(int sys);

#if defined(__clang_analyzer__) || defined(DV_ANALYZE)
/* An analyzer sees one file at a time, and would not know what they return. */
static inline int dv_err_returns(int said, int r)
{
	(void)said;
	return r;
}
#define dv_err_sys(err, sys, ...) \
	dv_err_returns(dv_err_sys(err, sys, __VA_ARGS__), -(sys))
#define dv_err_set(err, sys, ...) \
	dv_err_returns(dv_err_set(err, sys, __VA_ARGS__), -(sys))
#define dv_err_wrap(err, r, ...) \
	dv_err_returns(dv_err_wrap(err, r, __VA_ARGS__), r)
#define dv_err_step(err, r, step) dv_err_returns(dv_err_step(err, r, step), r)
#endif

#ifdef __cplusplus
}
#endif
