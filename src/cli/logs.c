/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <poll.h>
#include <stddef.h>
#include <string.h>
#include <unistd.h>

#include <davit/sandbox.h>

#include "base/def.h"
#include "base/fd.h"
#include "base/json.h"
#include "base/num.h"
#include "cli/diag.h"
#include "cli/help.h"
#include "cli/report.h"
#include "cli/table.h"
#include "cli/target.h"
#include "cli/verbs.h"
#include "cli/when.h"

enum {
	/* Small pieces are written together. */
	GATHER = 64 * 1024,
	BIG = 16 * 1024,
	OUT_MAX = 16 << 20, /* a piece in JSON escapes, and what is gathered */
};

struct logs {
	bool follow, times, only_out, only_err, json, latest;
	struct dv_sandbox_log_opts opts;
	struct dv_buf out;
	int fd;        /* where what is gathered goes; 0: nothing is */
	bool begun[3]; /* a line of that stream is not finished */
	struct dv_err err;
};

#define AT(member) ((int)offsetof(struct logs, member))

/* ---- options ------------------------------------------------------------- */

static int set_moment(void *target, const struct dv_opt *opt, const char *value,
		      struct dv_err *err)
{
	uint64_t *ns = (uint64_t *)(void *)((char *)target + opt->which);

	if (dv_parse_when(value, dv_unix_ns(), ns) == 0)
		return 0;
	dv_err_set(err, EINVAL, DV_INVALID, "\"%.60s\" is no time", value);
	dv_err_hint(err, "like 10m or 7d (ago), 2026-11-21T13:50:02, or "
			 "@1700000000");
	return -EINVAL;
}

static int set_tail(void *target, const struct dv_opt *opt DV_UNUSED,
		    const char *value, struct dv_err *err)
{
	struct logs *l = target;

	l->opts.tail = -1;
	if (!strcmp(value, "all") ||
	    dv_parse_i64(value, 0, INT64_MAX, &l->opts.tail) == 0)
		return 0;
	return dv_err_set(err, EINVAL, DV_INVALID,
			  "\"%.60s\" is no number of lines, nor \"all\"",
			  value);
}

static int set_offset(void *target, const struct dv_opt *opt DV_UNUSED,
		      const char *value, struct dv_err *err)
{
	struct logs *l = target;

	if (dv_parse_u64(value, 0, UINT64_MAX, &l->opts.offset) == 0)
		return 0;
	return dv_err_set(err, EINVAL, DV_INVALID,
			  "\"%.60s\" is no number of bytes", value);
}

// clang-format off
static const struct dv_opt logs_opts[] = {
	{ "follow", 'f', NULL, "Which",
	  "Go on with what it writes, until it has ended.",
	  diag_set_flag, AT(follow), 0, NULL },
	{ "since", 0, "TIME", "Which",
	  "Only what was written since then: 10m (ago), a date and time "
	  "(2026-11-21T13:50:02, with Z or +01:00 at its end when it is not "
	  "local), or @SECONDS of Unix time.",
	  set_moment, AT(opts.since_unix_ns), 0, NULL },
	{ "until", 0, "TIME", "Which",
	  "Only what was written until then.",
	  set_moment, AT(opts.until_unix_ns), 0, NULL },
	{ "tail", 'n', "N", "Which",
	  "Only the last N lines of it, or all.",
	  set_tail, 0, 0, NULL },
	{ "offset", 0, "N", "Which",
	  "Begin at this byte of the whole log. Offsets never change.",
	  set_offset, 0, 0, NULL },
	{ "stdout", 0, NULL, "Which",
	  "Only its standard output, or its terminal.",
	  diag_set_flag, AT(only_out), 0, NULL },
	{ "stderr", 0, NULL, "Which",
	  "Only its standard error.",
	  diag_set_flag, AT(only_err), 0, NULL },
	DV_OPT_LATEST('l', AT(latest)),
	{ "timestamps", 't', NULL, "Output",
	  "Put the time in front of each line.",
	  diag_set_flag, AT(times), 0, NULL },
	{ "json", 0, NULL, "Output",
	  "Write a line of JSON for each piece of output: time, offset, "
	  "stream, data (bytes that are no UTF-8 are replaced), and lost, the "
	  "bytes that are missing before it.",
	  diag_set_flag, AT(json), 0, NULL },
};
// clang-format on

/* ---- writing ------------------------------------------------------------- */

/* stderr is not ours alone: it may be non-blocking. */
static int to_stderr(const char *at, size_t len, struct dv_err *err)
{
	struct pollfd p = { .fd = STDERR_FILENO, .events = POLLOUT };

	while (len) {
		ssize_t n = dv_write(STDERR_FILENO, at, len);

		if (n == -EAGAIN) {
			poll(&p, 1, -1);
			continue;
		}
		if (n < 0)
			return dv_err_sys(err, (int)-n, "write to stderr");
		at += n;
		len -= (size_t)n;
	}
	return 0;
}

static int write_to(struct logs *l, int fd, const void *data, size_t len)
{
	return fd == STDERR_FILENO ? to_stderr(data, len, &l->err)
				   : dv_stdout(data, len, &l->err);
}

static int flush(struct logs *l)
{
	int r = dv_buf_status(&l->out);

	if (r < 0)
		return dv_err_sys(&l->err, -r, "print");
	if (l->out.len)
		r = write_to(l, l->fd, l->out.data, l->out.len);
	dv_buf_reset(&l->out);
	return r;
}

/* What is gathered goes to @fd from now on. */
static int turn_to(struct logs *l, int fd)
{
	int r = 0;

	if (fd != l->fd || l->out.len >= GATHER)
		r = flush(l);
	l->fd = fd;
	return r;
}

static int put_raw(struct logs *l, const struct dv_sandbox_piece *p)
{
	int r = turn_to(l, p->stream);

	if (r < 0)
		return r;
	if (p->len < BIG) {
		dv_buf_put(&l->out, p->data, p->len);
		return 0;
	}
	r = flush(l);
	return r < 0 ? r : write_to(l, p->stream, p->data, p->len);
}

static int put_lines(struct logs *l, const struct dv_sandbox_piece *p)
{
	const char *at = p->data, *nl;
	size_t len = p->len;
	int r = turn_to(l, p->stream);

	while (len && r == 0) {
		size_t n;

		nl = memchr(at, '\n', len);
		n = nl ? (size_t)(nl - at) + 1 : len;
		if (!l->begun[p->stream]) {
			dv_put_time(&l->out, p->unix_ns, 9);
			dv_buf_putc(&l->out, ' ');
		}
		dv_buf_put(&l->out, at, n);
		l->begun[p->stream] = !nl;
		at += n;
		len -= n;
		r = turn_to(l, p->stream);
	}
	return r;
}

static int put_json(struct logs *l, const struct dv_sandbox_piece *p)
{
	struct dv_json j = DV_JSON_INIT(&l->out);
	int r = turn_to(l, STDOUT_FILENO);

	if (r < 0)
		return r;
	dv_json_open(&j, NULL, '{');
	if (p->unix_ns)
		dv_json_time(&j, "time", p->unix_ns);
	dv_json_u64(&j, "offset", p->offset);
	if (p->len) {
		dv_json_str(&j, "stream", p->stream == 2 ? "stderr" : "stdout");
		dv_json_u64(&j, "bytes", p->len);
		dv_json_strn(&j, "data", p->data, p->len);
	}
	if (p->lost)
		dv_json_u64(&j, "lost", p->lost);
	dv_json_close(&j, '}');
	dv_buf_putc(&l->out, '\n');
	return 0;
}

static int put_gap(struct logs *l, uint64_t lost)
{
	int r = flush(l);

	dv_note("%llu bytes are missing here", (unsigned long long)lost);
	return r;
}

static int put(struct logs *l, const struct dv_sandbox_piece *p)
{
	int r = 0;

	if (l->json)
		return put_json(l, p);
	if (p->lost)
		r = put_gap(l, p->lost);
	if (r < 0 || !p->len)
		return r;
	return l->times ? put_lines(l, p) : put_raw(l, p);
}

/* ---- reading ------------------------------------------------------------- */

static int show(struct logs *l, struct dv_sandbox_log *log)
{
	struct dv_sandbox_piece p;
	int r;

	for (;;) {
		r = dv_sandbox_log_next(log, &p, &l->err);
		if (r == 0) {
			r = put(l, &p);
		} else if (r == DV_MORE) {
			r = flush(l);
			if (r == 0)
				r = dv_stdout_wait(dv_sandbox_log_fd(log),
						   &l->err);
		}
		if (r != 0)
			break;
	}
	/* What was read before an error is shown all the same. */
	return r == DV_EOF ? flush(l) : (flush(l), r);
}

static int run(struct logs *l, struct dv_sandbox *sb)
{
	struct dv_sandbox_log *log = NULL;
	int r;

	l->opts.follow = l->follow;
	if (l->only_out)
		l->opts.streams |= DV_DIAG_STDOUT;
	if (l->only_err)
		l->opts.streams |= DV_DIAG_STDERR;
	r = dv_sandbox_log_open(sb, &log, &l->opts, &l->err);
	if (r == 0)
		r = show(l, log);
	dv_sandbox_log_free(log);
	return r < 0 ? dv_report(&l->err, l->json, 1) : 0;
}

static int logs_main(const struct dv_verb *verb, int argc, char **argv)
{
	struct logs l = { .opts = DV_SANDBOX_LOG_INIT,
			  .out = DV_BUF_INIT(OUT_MAX),
			  .fd = STDOUT_FILENO,
			  .err = DV_ERR_INIT };
	struct dv_sandbox *sb = NULL;
	bool usage = true;
	int rest = 1, words, r, status;

	r = dv_opts_parse(verb, argc, argv, &l, &rest, &l.err);
	if (r == DV_OPTS_HELP)
		return dv_help_verb(verb);
	if (r == 0 && argc - rest > 1 - l.latest)
		r = dv_opts_too_much(verb, argv[rest + 1 - l.latest], &l.err);
	if (r == 0)
		r = dv_target_sandbox(&sb, argc - rest, argv + rest, l.latest,
				      NULL, &words, &usage, &l.err);
	status = r < 0 ? dv_report(&l.err, l.json, usage ? 2 : 1) : run(&l, sb);
	dv_sandbox_free(sb);
	dv_buf_free(&l.out);
	return status;
}

const struct dv_verb dv_verb_logs = {
	.name = "logs",
	.args = "[OPTIONS] NAME",
	.summary = "show what a sandbox wrote",
	.prose = "Show what was written by the first process of a sandbox and "
		 "by what it started: its standard output on stdout, its "
		 "standard error on stderr, byte by byte. It works while it "
		 "runs and after it has ended, until it is removed.\n\n"
		 "A log keeps its latest bytes (davit run --log-max). Where "
		 "older ones were dropped, or could not be written, stderr has "
		 "a line that says how many are missing. Who reads slowly "
		 "never holds up the sandbox.\n\n"
		 "# EXIT STATUS\n\n"
		 "0, 1 when the operation failed, 2 for wrong usage.\n\n"
		 "# EXAMPLES\n\n"
		 "  davit logs -f web\n"
		 "  davit logs --since 10m -n 100 -t web\n"
		 "  davit logs --stderr web 2>errors",
	.opts = logs_opts,
	.n_opts = DV_ARRAY_LEN(logs_opts),
	.usage_status = 2,
	.complete = DV_COMPLETE_SANDBOX,
	.main = logs_main,
};
