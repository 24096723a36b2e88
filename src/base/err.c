/* SPDX-License-Identifier: MIT */
/*
 * DOC: errors.
 *
 * Everything here runs in a forked child of a threaded process, so it uses no
 * malloc, no lock and no locale: texts are formatted by dv_vfmt() into the
 * struct or onto the stack. Arguments may point into the struct that is being
 * written (the old message, say), so the text is completed before it is stored.
 *
 * When a message does not fit, its end is worth more than its beginning: the
 * errno text and the innermost words stay, the outer ones are cut.
 */
#include <davit/err.h>

#include <assert.h>
#include <errno.h>
#include <stdarg.h>
#include <string.h>

#include "base/def.h"
#include "base/fmt.h"

/* Here they are no macros of an analyzer. */
#undef dv_err_sys
#undef dv_err_set
#undef dv_err_wrap
#undef dv_err_step

static_assert(sizeof(struct dv_err) == 512, "it is copied to wires as it is");

static const char *const code_names[] = {
	[DV_OK] = "ok",
	[DV_CANCELLED] = "cancelled",
	[DV_UNKNOWN] = "unknown",
	[DV_INVALID] = "invalid-argument",
	[DV_DEADLINE] = "deadline-exceeded",
	[DV_NOT_FOUND] = "not-found",
	[DV_EXISTS] = "already-exists",
	[DV_DENIED] = "permission-denied",
	[DV_EXHAUSTED] = "resource-exhausted",
	[DV_PRECONDITION] = "failed-precondition",
	[DV_ABORTED] = "aborted",
	[DV_RANGE] = "out-of-range",
	[DV_UNIMPLEMENTED] = "unimplemented",
	[DV_INTERNAL] = "internal",
	[DV_UNAVAILABLE] = "unavailable",
	[DV_DATA_LOSS] = "data-loss",
	[DV_UNAUTHENTICATED] = "unauthenticated",
};
static_assert(DV_ARRAY_LEN(code_names) == DV_CODE_N, "a name for every code");

static const char *const step_names[] = {
	[DV_STEP_NONE] = "none",   [DV_STEP_CONFIG] = "config",
	[DV_STEP_STATE] = "state", [DV_STEP_CGROUP] = "cgroup",
	[DV_STEP_SPAWN] = "spawn", [DV_STEP_IDMAP] = "idmap",
	[DV_STEP_NET] = "net",     [DV_STEP_ROOT] = "root",
	[DV_STEP_MOUNT] = "mount", [DV_STEP_PROCESS] = "process",
	[DV_STEP_CREDS] = "creds", [DV_STEP_SECCOMP] = "seccomp",
	[DV_STEP_CWD] = "cwd",     [DV_STEP_LOOKUP] = "lookup",
	[DV_STEP_EXEC] = "exec",   [DV_STEP_STREAM] = "stream",
};
static_assert(DV_ARRAY_LEN(step_names) == DV_STEP_N, "a name for every step");

/* Store "text" or "text: tail"; @text is cut before @tail is. */
static void store(struct dv_err *err, const char *text, const char *tail)
{
	char msg[sizeof(err->msg)];
	size_t max = sizeof(msg) - 1;
	size_t tail_len = strnlen(tail, max);
	size_t len = strnlen(text, max);

	if (tail_len == 0) {
		memcpy(msg, text, len);
	} else if (tail_len + 2 >= max || len == 0) {
		len = tail_len;
		memcpy(msg, tail, len);
	} else {
		len = dv_min(len, max - 2 - tail_len);
		memcpy(msg, text, len);
		memcpy(msg + len, ": ", 2);
		memcpy(msg + len + 2, tail, tail_len);
		len += 2 + tail_len;
	}
	msg[len] = '\0';
	memcpy(err->msg, msg, len + 1);
}

/* An older error goes as a whole; a hint that was set just before stays. */
static void begin(struct dv_err *err, int sys, enum dv_code code)
{
	if (err->code != DV_OK)
		*err = (struct dv_err)DV_ERR_INIT;
	err->sys = sys;
	err->code = (int32_t)code;
}

int dv_err_sys(struct dv_err *err, int sys, const char *fmt, ...)
{
	char text[sizeof(err->msg)];
	va_list ap;

	if (!err)
		return -sys;
	va_start(ap, fmt);
	dv_vfmt(text, sizeof(text), fmt, ap);
	va_end(ap);
	begin(err, sys, dv_code_from_errno(sys));
	store(err, text, dv_errno_text(sys));
	return -sys;
}

int dv_err_set(struct dv_err *err, int sys, enum dv_code code, const char *fmt,
	       ...)
{
	char text[sizeof(err->msg)];
	va_list ap;

	if (!err)
		return -sys;
	va_start(ap, fmt);
	dv_vfmt(text, sizeof(text), fmt, ap);
	va_end(ap);
	begin(err, sys, code);
	store(err, text, "");
	return -sys;
}

int dv_err_wrap(struct dv_err *err, int r, const char *fmt, ...)
{
	char text[sizeof(err->msg)];
	va_list ap;

	if (!err || r >= 0)
		return r;
	va_start(ap, fmt);
	dv_vfmt(text, sizeof(text), fmt, ap);
	va_end(ap);
	if (err->code == DV_OK) { /* The callee had only a number to give. */
		err->sys = -r;
		err->code = (int32_t)dv_code_from_errno(-r);
		store(err, text, dv_errno_text(-r));
	} else {
		store(err, text, err->msg);
	}
	return r;
}

void dv_err_hint(struct dv_err *err, const char *fmt, ...)
{
	char text[sizeof(err->hint)];
	va_list ap;

	if (!err || err->hint[0])
		return;
	va_start(ap, fmt);
	dv_vfmt(text, sizeof(text), fmt, ap);
	va_end(ap);
	memcpy(err->hint, text, strlen(text) + 1);
}

int dv_err_step(struct dv_err *err, int r, enum dv_step step)
{
	if (err && r < 0 && err->step == DV_STEP_NONE)
		err->step = (int32_t)step;
	return r;
}

const char *dv_code_name(int code)
{
	return code >= 0 && code < DV_CODE_N ? code_names[code] : "unknown";
}

const char *dv_step_name(int step)
{
	return step >= 0 && step < DV_STEP_N ? step_names[step] : "unknown";
}

const char *dv_errno_text(int sys)
{
	const char *text = strerrordesc_np(sys);

	return text ? text : "Unknown error";
}

static const struct {
	int sys;
	enum dv_code code;
} errno_codes[] = {
	{ 0, DV_OK },
	{ EINVAL, DV_INVALID },
	{ E2BIG, DV_INVALID },
	{ EDOM, DV_INVALID },
	{ ENAMETOOLONG, DV_INVALID },
	{ EBADMSG, DV_INVALID },
	{ EILSEQ, DV_INVALID },
	{ EDESTADDRREQ, DV_INVALID },
	{ EPROTOTYPE, DV_INVALID },
	{ ECANCELED, DV_CANCELLED },
	{ ETIMEDOUT, DV_DEADLINE },
	{ ETIME, DV_DEADLINE },
	{ ENOENT, DV_NOT_FOUND },
	{ ESRCH, DV_NOT_FOUND },
	{ ENODEV, DV_NOT_FOUND },
	{ ENXIO, DV_NOT_FOUND },
	{ EEXIST, DV_EXISTS },
	{ EALREADY, DV_EXISTS },
	{ EADDRINUSE, DV_EXISTS },
	{ EACCES, DV_DENIED },
	{ EPERM, DV_DENIED },
	{ ENOMEM, DV_EXHAUSTED },
	{ ENOSPC, DV_EXHAUSTED },
	{ EDQUOT, DV_EXHAUSTED },
	{ EMFILE, DV_EXHAUSTED },
	{ ENFILE, DV_EXHAUSTED },
	{ ENOBUFS, DV_EXHAUSTED },
	{ EMSGSIZE, DV_EXHAUSTED },
	{ EMLINK, DV_EXHAUSTED },
	{ EUSERS, DV_EXHAUSTED },
	{ EBUSY, DV_PRECONDITION },
	{ ENOTDIR, DV_PRECONDITION },
	{ EISDIR, DV_PRECONDITION },
	{ ENOTEMPTY, DV_PRECONDITION },
	{ ENOEXEC, DV_PRECONDITION },
	{ ETXTBSY, DV_PRECONDITION },
	{ ELOOP, DV_PRECONDITION },
	{ EROFS, DV_PRECONDITION },
	{ EXDEV, DV_PRECONDITION },
	{ EDEADLK, DV_PRECONDITION },
	{ ENOTCONN, DV_PRECONDITION },
	{ EISCONN, DV_PRECONDITION },
	{ ECHILD, DV_PRECONDITION },
	{ EPIPE, DV_UNAVAILABLE },
	{ ECONNABORTED, DV_ABORTED },
	{ ESTALE, DV_ABORTED },
	{ ERANGE, DV_RANGE },
	{ EOVERFLOW, DV_RANGE },
	{ EFBIG, DV_RANGE },
	{ ENOSYS, DV_UNIMPLEMENTED },
	{ EOPNOTSUPP, DV_UNIMPLEMENTED },
	{ EAFNOSUPPORT, DV_UNIMPLEMENTED },
	{ EPROTONOSUPPORT, DV_UNIMPLEMENTED },
	{ ESOCKTNOSUPPORT, DV_UNIMPLEMENTED },
	{ ENOPROTOOPT, DV_UNIMPLEMENTED },
	{ EPROTO, DV_INTERNAL },
	{ EFAULT, DV_INTERNAL },
	{ EBADF, DV_INTERNAL },
	{ EAGAIN, DV_UNAVAILABLE },
	{ EINTR, DV_UNAVAILABLE },
	{ ECONNREFUSED, DV_UNAVAILABLE },
	{ ECONNRESET, DV_UNAVAILABLE },
	{ EHOSTDOWN, DV_UNAVAILABLE },
	{ EHOSTUNREACH, DV_UNAVAILABLE },
	{ ENETDOWN, DV_UNAVAILABLE },
	{ ENETUNREACH, DV_UNAVAILABLE },
	{ ENONET, DV_UNAVAILABLE },
	{ EIO, DV_DATA_LOSS },
	{ ENOKEY, DV_UNAUTHENTICATED },
	{ EKEYREJECTED, DV_UNAUTHENTICATED },
};

enum dv_code dv_code_from_errno(int sys)
{
	for (size_t i = 0; i < DV_ARRAY_LEN(errno_codes); i++)
		if (errno_codes[i].sys == sys)
			return errno_codes[i].code;
	return DV_UNKNOWN;
}
