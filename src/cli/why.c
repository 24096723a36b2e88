/* SPDX-License-Identifier: MIT */
/*
 * why: how a sandbox ended, or why it has not. A sentence or two, then what
 * shows it.
 */
#include <errno.h>
#include <stddef.h>
#include <string.h>
#include <time.h>

#include <davit/sandbox.h>

#include "base/buf.h"
#include "base/def.h"
#include "base/json.h"
#include "base/num.h"
#include "cli/diag.h"
#include "cli/help.h"
#include "cli/report.h"
#include "cli/table.h"
#include "cli/target.h"
#include "cli/verbs.h"

enum {
	OUT_MAX = 1 << 20,
	LAST_LINES = 5,        /* of its output */
	LAST_BYTES = 64 << 10, /* of them at most */
	LINE_WIDTH = 240,
	COMMAND_WIDTH = 60,
};

struct why {
	bool latest, json;
	const struct dv_sandbox_info *info; /* borrowed from sb */
	struct dv_sandbox *sb;
	struct dv_buf out;
};

#define AT(member) ((int)offsetof(struct why, member))

/* clang-format off */
static const struct dv_opt why_opts[] = {
	DV_OPT_LATEST('l', AT(latest)),
	{ "json", 0, NULL, "Output",
	  "Print one JSON document: id, name, state, text, and of its end code, "
	  "signal and ended_by.",
	  diag_set_flag, AT(json), 0, NULL },
};
/* clang-format on */

/* ---- words --------------------------------------------------------------- */

static void put_when(struct dv_buf *out, uint64_t unix_ns)
{
	const uint64_t now = dv_unix_ns();
	const time_t t = (time_t)(unix_ns / 1000000000);
	struct tm tm;
	char text[40] = "?";

	if (gmtime_r(&t, &tm))
		strftime(text, sizeof(text), "%Y-%m-%d %H:%M:%S UTC", &tm);
	dv_buf_putf(out, "%s (", text);
	dv_put_span(out, now > unix_ns ? now - unix_ns : 0);
	dv_buf_puts(out, " ago)");
}

static void put_size(struct dv_buf *out, uint64_t bytes)
{
	static const char units[] = "KMGTPE";
	size_t u = 0;

	if (bytes < 1024) {
		dv_buf_putf(out, "%llu bytes", (unsigned long long)bytes);
		return;
	}
	while (bytes >= 1024 * 1024 && units[u + 1]) {
		bytes /= 1024;
		u++;
	}
	dv_buf_putf(out, "%llu.%d %ciB", (unsigned long long)(bytes / 1024),
		    (int)(bytes % 1024 * 10 / 1024), units[u]);
}

/* "SIGSEGV (segmentation fault)" */
static void put_signal(struct dv_buf *out, int signo)
{
	const char *text = sigdescr_np(signo);

	dv_buf_puts(out, dv_signal_name(signo));
	if (text)
		dv_buf_putf(out, " (%s)", text);
}

/* How the command itself went. */
static void put_status(struct dv_buf *out, const struct dv_exit *e)
{
	if (e->signal) {
		dv_buf_puts(out, "by ");
		put_signal(out, e->signal);
	} else {
		dv_buf_putf(out, "with exit status %d", (int)e->code);
	}
}

/* What others take such a status for. */
static void put_convention(struct dv_buf *out, int code)
{
	if (code == 126)
		dv_buf_puts(out, ", by which shells and the like say that a "
				 "command was found but could not be executed");
	else if (code == 127)
		dv_buf_puts(out, ", by which shells and the like say that a "
				 "command was not found");
	else if (code == 124)
		dv_buf_puts(out, ", by which timeout(1) and davit say that "
				 "time was over");
	else if (code > 128 && code <= 128 + 64 && sigdescr_np(code - 128)) {
		dv_buf_puts(out, ", by which a shell says that its command was "
				 "ended by ");
		put_signal(out, code - 128);
	}
}

/* ---- how it ended ---------------------------------------------------------
 */

static void put_end(struct why *w, const struct dv_exit *e)
{
	struct dv_buf *out = &w->out;

	switch (e->ended_by) {
	case DV_ENDED_EXIT:
		dv_buf_puts(out, "ended by itself, ");
		put_status(out, e);
		put_convention(out, e->code);
		break;
	case DV_ENDED_SIGNAL:
		dv_buf_puts(out, "was ended ");
		put_status(out, e);
		dv_buf_puts(out, e->core ? ", and its memory was dumped"
					 : ", which it or somebody else sent");
		break;
	case DV_ENDED_TIMEOUT:
		dv_buf_puts(out, "was stopped because its time was over "
				 "(--timeout, --ttl or --idle-timeout), and "
				 "ended ");
		put_status(out, e);
		break;
	case DV_ENDED_OOM:
		dv_buf_puts(out, "was killed by the kernel, because it needed "
				 "more memory than its limit");
		if (w->info->limits.memory) {
			dv_buf_puts(out, " of ");
			put_size(out, w->info->limits.memory);
		}
		break;
	case DV_ENDED_STOP:
		dv_buf_puts(out, "was stopped on request (stop, kill --all, "
				 "restart, rm -f, or its keeper was told to "
				 "end), and ended ");
		put_status(out, e);
		break;
	default:
		dv_buf_puts(out, "was ended by its keeper, ");
		put_status(out, e);
		break;
	}
	dv_buf_puts(out, ".\n");
}

static void put_limits(struct why *w, const struct dv_exit *e)
{
	struct dv_buf *out = &w->out;

	if (e->oom && e->ended_by != DV_ENDED_OOM) {
		dv_buf_puts(out, "  memory: the kernel killed a process in it "
				 "for the limit");
		if (w->info->limits.memory) {
			dv_buf_puts(out, " of ");
			put_size(out, w->info->limits.memory);
		}
		dv_buf_putc(out, '\n');
	}
	if (e->pids_limited)
		dv_buf_putf(out,
			    "  processes: a new one was refused %llu times, "
			    "for the limit of %u\n",
			    (unsigned long long)e->pids_refused,
			    w->info->limits.pids);
	if (e->core && e->ended_by != DV_ENDED_SIGNAL)
		dv_buf_puts(out, "  its memory was dumped\n");
}

static void put_times(struct why *w, const struct dv_exit *e)
{
	struct dv_buf *out = &w->out;

	if (e->exited_unix_ns) {
		dv_buf_puts(out, "  ended: ");
		put_when(out, e->exited_unix_ns);
		dv_buf_puts(out, ", after ");
		dv_put_span_long(out, e->wall_ns);
		dv_buf_putc(out, '\n');
	}
	dv_buf_puts(out, "  used: ");
	dv_put_span_long(out, (e->user_us + e->system_us) * 1000);
	dv_buf_puts(out, " of processor time, ");
	put_size(out, e->max_rss_kib * 1024);
	dv_buf_puts(out, " of memory at most\n");
}

static void put_restarts(struct why *w)
{
	if (w->info->restarts)
		dv_buf_putf(&w->out,
			    "  restarts: it was started anew %u times%s\n",
			    w->info->restarts,
			    w->info->restart_max && w->info->restarts >=
							    w->info->restart_max
				    ? ", as often as --restart allows"
				    : "");
}

/* ---- what it wrote --------------------------------------------------------
 */

static void put_lines(struct why *w, const char *what, const char *text,
		      size_t len)
{
	const char *p = text;

	dv_buf_putf(&w->out, "  last lines of %s:\n", what);
	while (len > 0) {
		const char *end = memchr(p, '\n', len);
		const size_t n = end ? (size_t)(end - p) : len;
		const size_t shown = dv_min(n, (size_t)LINE_WIDTH);
		char line[LINE_WIDTH + 1];

		memcpy(line, p, shown);
		line[shown] = '\0';
		dv_buf_puts(&w->out, "    | ");
		dv_put_clean(&w->out, line);
		dv_buf_puts(&w->out, n > shown ? "...\n" : "\n");
		p += end ? n + 1 : n;
		len -= end ? n + 1 : n;
	}
}

/* The last lines of some streams; false when there are none. */
static bool put_last(struct why *w, uint32_t streams, const char *what)
{
	struct dv_sandbox_log_opts o = DV_SANDBOX_LOG_INIT;
	dv_autobuf text = DV_BUF_INIT(LAST_BYTES);
	struct dv_sandbox_piece piece;
	struct dv_sandbox_log *log;

	o.streams = streams;
	o.tail = LAST_LINES;
	if (dv_sandbox_log_open(w->sb, &log, &o, NULL) < 0)
		return false;
	while (dv_sandbox_log_next(log, &piece, NULL) == 0) {
		if (piece.len > text.max - text.len)
			dv_buf_drop(&text, dv_min(text.len, piece.len));
		dv_buf_put(&text, piece.data,
			   dv_min(piece.len, text.max - text.len));
	}
	dv_sandbox_log_free(log);
	if (text.len == 0)
		return false;
	put_lines(w, what, text.data, text.len);
	return true;
}

static void put_output(struct why *w)
{
	if (!put_last(w, DV_DIAG_STDERR, "stderr"))
		(void)put_last(w, DV_DIAG_STDOUT, "its output");
}

/* What its keeper could not do, if it said so. */
static void put_keeper_log(struct why *w)
{
	dv_autofree char *text = NULL;
	const char *from;
	int lines = 0;

	if (dv_sandbox_keeper_log(w->sb, &text, NULL) < 0)
		return;
	for (from = text + strlen(text); from > text; from--)
		if (from[-1] == '\n' && lines++ == LAST_LINES)
			break;
	put_lines(w, "its keeper's log", from, strlen(from));
}

/* ---- each state -----------------------------------------------------------
 */

static void put_exited(struct why *w)
{
	const struct dv_exit *e = &w->info->exit;

	if (!w->info->has_exit) {
		dv_buf_puts(&w->out, "has ended, and how was not recorded.\n");
		return;
	}
	put_end(w, e);
	put_limits(w, e);
	put_times(w, e);
	put_restarts(w);
	if (e->ended_by == DV_ENDED_KEEPER)
		put_keeper_log(w);
	if (e->code != 0)
		put_output(w);
}

static void put_dead(struct why *w)
{
	struct dv_buf *out = &w->out;

	dv_buf_puts(out, "is dead: its keeper was killed or the machine was "
			 "restarted, and everything in it ended with it.\n");
	if (w->info->ended_unix_ns) {
		dv_buf_puts(out, "  last seen: ");
		put_when(out, w->info->ended_unix_ns);
		dv_buf_putc(out, '\n');
	}
	put_keeper_log(w);
	put_output(w);
	dv_buf_putf(out,
		    "  davit logs %s shows what it wrote, davit restart %s "
		    "starts it anew\n",
		    dv_sandbox_title(w->info), dv_sandbox_title(w->info));
}

static void put_health(struct why *w)
{
	static const char *const words[] = {
		[DV_HEALTH_NONE] = NULL,
		[DV_HEALTH_STARTING] = "its health command has not succeeded "
				       "yet",
		[DV_HEALTH_GOOD] = "its health command succeeds",
		[DV_HEALTH_BAD] = "its health command fails",
	};

	if (w->info->health < DV_HEALTH_N && words[w->info->health])
		dv_buf_putf(&w->out, ", and %s", words[w->info->health]);
}

static void put_alive(struct why *w)
{
	static const char *const words[] = {
		[DV_STATE_RUNNING] = "runs",
		[DV_STATE_PAUSED] = "is paused (davit resume lets it go on)",
		[DV_STATE_STOPPING] = "is stopping",
	};
	struct dv_buf *out = &w->out;
	const struct dv_sandbox_info *info = w->info;

	if (info->state == DV_STATE_CREATING) {
		dv_buf_puts(out, info->restarts || info->started_unix_ns
					 ? "waits to be started anew.\n"
					 : "is being created: its command has "
					   "not been executed yet.\n");
	} else {
		dv_buf_puts(out, words[info->state]);
		if (info->started_unix_ns && info->state != DV_STATE_STOPPING) {
			dv_buf_puts(out, " since ");
			put_when(out, info->started_unix_ns);
		}
		put_health(w);
		dv_buf_puts(out, ".\n  command: ");
		dv_put_command(out, info->argv, COMMAND_WIDTH);
		if (info->pid)
			dv_buf_putf(out, ", process %d", (int)info->pid);
		dv_buf_putc(out, '\n');
	}
	put_restarts(w);
	if (info->has_exit) {
		dv_buf_puts(out, "  before that it ");
		put_end(w, &info->exit);
	}
}

static void explain(struct why *w)
{
	dv_put_clean(&w->out, dv_sandbox_title(w->info));
	dv_buf_putc(&w->out, ' ');
	if (w->info->state == DV_STATE_EXITED)
		put_exited(w);
	else if (w->info->state == DV_STATE_DEAD)
		put_dead(w);
	else
		put_alive(w);
}

static int print_json(const struct why *w)
{
	dv_autobuf out = DV_BUF_INIT(8 * OUT_MAX);
	struct dv_json j = DV_JSON_INIT(&out);
	const struct dv_exit *e = &w->info->exit;

	dv_json_open(&j, NULL, '{');
	dv_json_u64(&j, "schema_version", 1);
	dv_json_str(&j, "id", w->info->id);
	dv_json_str(&j, "name", w->info->name);
	dv_json_str(&j, "state", dv_state_name(w->info->state));
	dv_json_strn(&j, "text", w->out.data, w->out.len);
	if (w->info->has_exit) {
		dv_json_i64(&j, "code", e->code);
		if (e->signal)
			dv_json_str(&j, "signal", dv_signal_name(e->signal));
		dv_json_str(&j, "ended_by", dv_ended_by_name(e->ended_by));
	}
	dv_json_close(&j, '}');
	dv_buf_putc(&out, '\n');
	return dv_print(&out);
}

static int print(const struct why *w)
{
	return w->json ? print_json(w) : dv_print(&w->out);
}

static int why_main(const struct dv_verb *verb, int argc, char **argv)
{
	struct why w = { .out = DV_BUF_INIT(OUT_MAX) };
	struct dv_err err = DV_ERR_INIT;
	bool usage = false;
	int taken = 0, status, rest = 1;
	int r = dv_opts_parse(verb, argc, argv, &w, &rest, &err);

	if (r == DV_OPTS_HELP)
		return dv_help_verb(verb);
	if (r < 0)
		return dv_report(&err, w.json, 2);
	r = dv_target_sandbox(&w.sb, argc - rest, argv + rest, w.latest, NULL,
			      &taken, &usage, &err);
	if (r == 0 && argc - rest > taken) {
		usage = true;
		r = dv_opts_too_much(verb, argv[rest + taken], &err);
	}
	if (r == 0)
		r = dv_sandbox_look(w.sb, &w.info, &err);
	if (r == 0)
		explain(&w);
	status = r < 0 ? dv_report(&err, w.json, usage ? 2 : 1) : print(&w);
	dv_buf_free(&w.out);
	dv_sandbox_free(w.sb);
	return status;
}

const struct dv_verb dv_verb_why = {
	.name = "why",
	.args = "[--json] NAME",
	.summary = "explain how a sandbox ended",
	.prose = "Explain in a sentence or two how a sandbox ended, or that it "
		 "has not, and show what tells: its exit status or signal, who "
		 "ended it, the limits that it met, and the last lines that it "
		 "wrote.",
	.opts = why_opts,
	.n_opts = DV_ARRAY_LEN(why_opts),
	.usage_status = 2,
	.complete = DV_COMPLETE_SANDBOX,
	.main = why_main,
};
