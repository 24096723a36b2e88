/* SPDX-License-Identifier: MIT */
#include "cli/report.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/def.h"
#include "base/fd.h"
#include "base/fmt.h"
#include "base/json.h"
#include "base/utf8.h"
#include "cli/term.h"

enum { LINE_MAX_LEN = 4096 };

struct dv_inherited dv_inherited;

bool dv_colors(int fd)
{
	const char *no = getenv("NO_COLOR");
	const char *term = getenv("TERM");

	if ((no && *no) || (term && !strcmp(term, "dumb")))
		return false;
	return isatty(fd);
}

bool dv_report_lost(const char *name, int sys)
{
	/* EIO is how a terminal says it. */
	if (!sys || sys == EPIPE || sys == ECONNRESET || sys == EIO)
		return false;
	dv_note("write to %s: %s; output is lost", name, dv_errno_text(sys));
	return true;
}

int dv_stdout_failed(int sys, struct dv_err *err)
{
	if (sys == EPIPE && !dv_inherited.ignores_pipe) {
		dv_term_close(); /* it is not to stay raw */
		signal(SIGPIPE, SIG_DFL);
		raise(SIGPIPE);
	}
	return dv_err_sys(err, sys, "write to stdout");
}

int dv_stdout_wait(int fd, struct dv_err *err)
{
	struct pollfd p[2] = { { fd, POLLIN, 0 }, { STDOUT_FILENO, 0, 0 } };
	int r;

	do
		r = poll(p, 2, -1);
	while (r < 0 && errno == EINTR);
	if (r < 0)
		return dv_err_sys(err, errno, "wait");
	/* A pipe says it by an error, a socket by its end. */
	return p[1].revents & (POLLERR | POLLHUP | POLLNVAL)
		       ? dv_stdout_failed(EPIPE, err)
		       : 0;
}

int dv_stdout_check(struct dv_err *err)
{
	struct pollfd p = { .fd = STDOUT_FILENO };

	if (dv_inherited.no_stdout)
		return dv_stdout_failed(EBADF, err);
	/* A pipe without a reader, or a socket. */
	return poll(&p, 1, 0) > 0 && (p.revents & (POLLERR | POLLHUP))
		       ? dv_stdout_failed(EPIPE, err)
		       : 0;
}

int dv_stdout(const void *data, size_t len, struct dv_err *err)
{
	struct pollfd p = { .fd = STDOUT_FILENO, .events = POLLOUT };
	const char *at = data;
	ssize_t n = dv_inherited.no_stdout ? -EBADF : 0;

	while (len > 0 && (n >= 0 || n == -EAGAIN)) {
		if (n == -EAGAIN)
			poll(&p, 1, -1);
		n = dv_write(STDOUT_FILENO, at, len);
		if (n > 0) {
			at += n;
			len -= (size_t)n;
		}
	}
	return len > 0 ? dv_stdout_failed((int)-n, err) : 0;
}

int dv_print(const struct dv_buf *out)
{
	struct dv_err err = DV_ERR_INIT;
	int r = dv_buf_status(out);

	if (r < 0)
		dv_err_sys(&err, -r, "print");
	else
		r = dv_stdout(out->data, out->len, &err);
	return r < 0 ? dv_report(&err, false, 1) : 0;
}

/* One write: lines of several processes on one stderr do not mix. */
static void say(struct dv_buf *out)
{
	if (dv_buf_status(out) == 0)
		dv_write_full(STDERR_FILENO, out->data, out->len);
}

static void report_json(const struct dv_err *err, int status,
			struct dv_buf *out)
{
	struct dv_json j = DV_JSON_INIT(out);

	dv_json_open(&j, NULL, '{');
	dv_json_open(&j, "error", '{');
	dv_json_str(&j, "code", dv_code_name(err->code));
	dv_json_str(&j, "step", dv_step_name(err->step));
	dv_json_i64(&j, "errno", err->sys);
	dv_json_str(&j, "message", err->msg);
	dv_json_str(&j, "hint", err->hint);
	dv_json_i64(&j, "exit", status);
	dv_json_close(&j, '}');
	dv_json_close(&j, '}');
	dv_buf_putc(out, '\n');
}

void dv_put_clean(struct dv_buf *out, const char *text)
{
	size_t left = strlen(text);

	while (left > 0) {
		uint32_t cp = 0;
		size_t n = dv_utf8_next(text, left, &cp);

		if (n == 0 || cp < ' ' || (cp >= 0x7f && cp < 0xa0))
			dv_buf_putc(out, '?');
		else
			dv_buf_put(out, text, n);
		n = dv_max(n, (size_t)1);
		text += n;
		left -= n;
	}
}

static void put_line(struct dv_buf *out, const char *start, const char *text)
{
	dv_buf_puts(out, start);
	dv_put_clean(out, text);
	dv_buf_putc(out, '\n');
}

int dv_report(const struct dv_err *err, bool json, int status)
{
	dv_autobuf out = DV_BUF_INIT(LINE_MAX_LEN);

	if (json) {
		report_json(err, status, &out);
	} else {
		put_line(&out, "davit: ", err->msg);
		if (err->hint[0])
			put_line(&out, "hint: ", err->hint);
	}
	say(&out);
	return status;
}

static void note(bool dim, const char *fmt, va_list ap)
{
	dv_autobuf out = DV_BUF_INIT(LINE_MAX_LEN);
	char text[1024];

	dv_vfmt(text, sizeof(text), fmt, ap);
	dv_buf_putf(&out, "%sdavit: ", dim ? "\033[2m" : "");
	dv_put_clean(&out, text);
	dv_buf_putf(&out, "%s\n", dim ? "\033[0m" : "");
	say(&out);
}

void dv_note(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	note(false, fmt, ap);
	va_end(ap);
}

void dv_note_dim(const char *fmt, ...)
{
	va_list ap;

	if (!isatty(STDERR_FILENO))
		return;
	va_start(ap, fmt);
	note(dv_colors(STDERR_FILENO), fmt, ap);
	va_end(ap);
}

void dv_note_missing(const char *missing)
{
	while (*missing) {
		size_t len = strcspn(missing, "\n");

		dv_note("without: %.*s", (int)len, missing);
		missing += len + (missing[len] == '\n');
	}
}

int dv_report_start_status(const struct dv_err *err)
{
	if (err->step == DV_STEP_LOOKUP)
		return 127;
	return err->step == DV_STEP_EXEC ? 126 : 125;
}

static void timing_row(struct dv_buf *out, const char *name, unsigned int times,
		       int64_t step_ns, uint64_t at_ns)
{
	size_t start = out->len;

	dv_buf_putf(out, "  %s", name);
	if (times > 1)
		dv_buf_putf(out, " (%u)", times);
	while (dv_buf_status(out) == 0 && out->len - start < 22)
		dv_buf_putc(out, ' ');
	dv_buf_putf(out, " %8lld %10llu\n", (long long)(step_ns / 1000),
		    (unsigned long long)(at_ns / 1000));
}

/* Steps of the same name in a row, such as mounts, share a line. */
void dv_report_timing(const struct dv_run *run)
{
	dv_autobuf out = DV_BUF_INIT(LINE_MAX_LEN);
	uint64_t at = 0, next_at = 0, before = 0;
	const char *name = NULL, *next = NULL;
	unsigned int times = 0;
	size_t n = 0;
	bool more;

	dv_buf_puts(&out, "davit: timing             step us   total us\n");
	do {
		more = dv_run_timing(run, n++, &next, &next_at) == 0;
		if (name && (!more || strcmp(name, next) != 0)) {
			timing_row(&out, name, times, (int64_t)(at - before),
				   at);
			before = at;
			times = 0;
		}
		name = next;
		at = next_at;
		times++;
	} while (more);
	say(&out);
}

int dv_report_exit(int fd, const struct dv_exit *exit, const char *id)
{
	dv_autobuf out = DV_BUF_INIT(LINE_MAX_LEN);
	dv_autofree char *json = dv_exit_json(exit, id);

	if (!json)
		return -ENOMEM;
	dv_buf_putf(&out, "%s\n", json);
	if (dv_buf_status(&out) < 0)
		return dv_buf_status(&out);
	return dv_write_full(fd, out.data, out.len);
}

/* 0 or the errno of making a file of that name. */
static int may_make(const char *path)
{
	const char *slash = strrchr(path, '/');
	char dir[PATH_MAX];

	if (dv_fmt(dir, sizeof(dir), "%.*s",
		   slash ? (int)(slash - path) + 1 : 1,
		   slash ? path : ".") >= (int)sizeof(dir))
		return ENAMETOOLONG;
	return faccessat(AT_FDCWD, dir, W_OK | X_OK, AT_EACCESS) ? errno : 0;
}

/* 0 or the errno of writing to a file that may not be there yet. */
static int may_write(const char *path)
{
	struct stat st;

	if (stat(path, &st) == 0) {
		if (S_ISDIR(st.st_mode))
			return EISDIR;
		return faccessat(AT_FDCWD, path, W_OK, AT_EACCESS) ? errno : 0;
	}
	return errno == ENOENT ? may_make(path) : errno;
}

int dv_report_record_check(const char *path, int fd, struct dv_err *err)
{
	int sys = path && fd < 0 ? may_write(path) : 0;

	return sys ? dv_err_sys(err, sys, "open record %s", path) : 0;
}

int dv_report_pidfile_check(const char *path, struct dv_err *err)
{
	int sys = path ? may_make(path) : 0;

	return sys ? dv_err_sys(err, sys, "write %s", path) : 0;
}

int dv_report_record(const char *path, int fd, bool json,
		     const struct dv_exit *exit, const char *id,
		     struct dv_err *err)
{
	dv_autofd int file = -1;
	int r;

	if (!path)
		return json ? dv_report_exit(STDERR_FILENO, exit, id) : 0;
	if (fd < 0) {
		file = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC,
			    0644);
		if (file < 0)
			return dv_err_sys(err, errno, "open record %s", path);
		fd = file;
	}
	r = dv_report_exit(fd, exit, id);
	return r < 0 ? dv_err_sys(err, -r, "write record %s", path) : 0;
}

static void sink_write(struct dv_log_sink *sink DV_UNUSED, enum dv_level level,
		       const char *line)
{
	static const char *const names[] = { "error", "warn", "info", "debug",
					     "trace" };

	static_assert(DV_ARRAY_LEN(names) == DV_LOG_N, "one name per level");
	dv_note("%s: %s", names[level], line);
}

struct dv_log_sink *dv_report_sink(void)
{
	static struct dv_log_sink sink = { .fn = sink_write };
	const char *word = getenv("DAVIT_LOG");
	int level = word ? dv_log_parse_level(word) : -EINVAL;

	if (level < 0)
		return NULL;
	sink.level = (enum dv_level)level;
	return &sink;
}
