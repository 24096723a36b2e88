/* SPDX-License-Identifier: MIT */
/*
 * What `davit run` is told about keeping: the options, and a run that is left
 * behind. The verb __keeper is what such a run becomes.
 */
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include <davit/doctor.h>
#include <davit/sandbox.h>

#include "base/buf.h"
#include "base/def.h"
#include "base/num.h"
#include "base/utf8.h"
#include "cli/report.h"
#include "cli/run_apply.h"
#include "cli/run_args.h"
#include "cli/term.h"
#include "cli/verbs.h"

enum { TAKE_BACK_MS = 30000 };

static int bad_value(struct dv_err *err, const char *value, const char *what,
		     const char *hint)
{
	dv_err_set(err, EINVAL, DV_INVALID, "\"%.100s\" is not %s", value,
		   what);
	dv_err_hint(err, "%s", hint);
	return -EINVAL;
}

/* ---- options ------------------------------------------------------------ */

int dv_apply_name(void *target, const struct dv_opt *opt DV_UNUSED,
		  const char *value, struct dv_err *err DV_UNUSED)
{
	((struct run_args *)target)->keep.name = value;
	return 0;
}

int dv_apply_label(void *target, const struct dv_opt *opt DV_UNUSED,
		   const char *value, struct dv_err *err)
{
	struct run_args *a = target;
	const char *eq = strchr(value, '=');

	if (!eq || eq == value)
		return bad_value(err, value, "a label", "KEY=VALUE");
	if (!dv_utf8_ok(value, strlen(value)))
		return bad_value(err, value, "a label", "UTF-8 is needed");
	/* As for variables, the last one of a key counts. */
	for (size_t i = 0; i < a->n_labels; i++)
		if (!strncmp(a->labels[i], value, (size_t)(eq - value) + 1)) {
			a->labels[i] = value;
			return 0;
		}
	if (a->n_labels >= DV_SANDBOX_LABELS_MAX)
		return dv_err_set(err, EINVAL, DV_INVALID,
				  "more than %d labels", DV_SANDBOX_LABELS_MAX);
	a->labels[a->n_labels++] = value;
	a->keep.labels = a->labels;
	return 0;
}

int dv_apply_restart(void *target, const struct dv_opt *opt DV_UNUSED,
		     const char *value, struct dv_err *err)
{
	static const char on_failure[] = "on-failure";
	struct run_args *a = target;
	size_t len = sizeof(on_failure) - 1;
	uint64_t max = 0;

	a->keep.restart_max = 0;
	a->asked |= DV_ASKED_RESTART;
	if (!strcmp(value, "no")) {
		a->keep.restart = DV_RESTART_NO;
	} else if (!strcmp(value, "always")) {
		a->keep.restart = DV_RESTART_ALWAYS;
	} else if (!strncmp(value, on_failure, len) &&
		   (!value[len] || (value[len] == ':' &&
				    dv_parse_u64(value + len + 1, 1, UINT32_MAX,
						 &max) == 0))) {
		a->keep.restart = DV_RESTART_ON_FAILURE;
		a->keep.restart_max = (uint32_t)max;
	} else {
		return bad_value(err, value, "a restart policy",
				 "no, on-failure, on-failure:N or always");
	}
	return 0;
}

int dv_apply_keep_time(void *target, const struct dv_opt *opt,
		       const char *value, struct dv_err *err)
{
	struct run_args *a = target;
	int ms;

	if (dv_parse_duration(value, &ms) < 0 || ms < 1)
		return bad_value(err, value, "a time",
				 "like 10 (seconds), 1.5s, 200ms, 1h30m or 7d; "
				 "more than 0, " DV_DURATION_MAX_TEXT
				 " at most");
	a->asked |= (unsigned int)opt->which;
	if (opt->which == DV_ASKED_TTL)
		a->keep.ttl_ms = ms;
	else if (opt->which == DV_ASKED_IDLE)
		a->keep.idle_ms = ms;
	else
		a->keep.health_interval_ms = ms;
	return 0;
}

int dv_apply_health(void *target, const struct dv_opt *opt DV_UNUSED,
		    const char *value, struct dv_err *err)
{
	struct run_args *a = target;

	if (!*value)
		return bad_value(err, value, "a command",
				 "a line for /bin/sh of the sandbox");
	a->asked |= DV_ASKED_HEALTH;
	a->health[0] = "/bin/sh";
	a->health[1] = "-c";
	a->health[2] = value;
	a->keep.health = a->health;
	return 0;
}

int dv_apply_retries(void *target, const struct dv_opt *opt DV_UNUSED,
		     const char *value, struct dv_err *err)
{
	struct run_args *a = target;
	uint64_t n;

	if (dv_parse_u64(value, 1, 1000, &n) < 0)
		return bad_value(err, value, "a number of failures",
				 "from 1 to 1000");
	a->asked |= DV_ASKED_HEALTH_TIME;
	a->keep.health_retries = (uint32_t)n;
	return 0;
}

int dv_apply_log_max(void *target, const struct dv_opt *opt DV_UNUSED,
		     const char *value, struct dv_err *err)
{
	struct run_args *a = target;

	a->asked |= DV_ASKED_LOG_MAX;
	if (!strcmp(value, "all")) {
		a->keep.log_max = UINT64_MAX;
		return 0;
	}
	if (dv_parse_size(value, &a->keep.log_max) < 0 || !a->keep.log_max)
		return bad_value(err, value, "a size",
				 "like 64m, 1g, a number of bytes, or all");
	return 0;
}

int dv_apply_keep_flag(void *target, const struct dv_opt *opt,
		       const char *value DV_UNUSED,
		       struct dv_err *err DV_UNUSED)
{
	struct run_args *a = target;

	if (opt->which == DV_SET_DETACH)
		a->detach = true;
	else if (opt->which == DV_SET_INPUT)
		a->keep.input = true;
	else
		a->keep.remove = true;
	return 0;
}

/* ---- what fits together ------------------------------------------------- */

static int refuse(struct dv_err *err, const char *opt, const char *why,
		  const char *hint)
{
	dv_err_set(err, EINVAL, DV_INVALID, "--%s %s", opt, why);
	dv_err_hint(err, "%s", hint);
	return -EINVAL;
}

static int check_foreground(const struct run_args *a, struct dv_err *err)
{
	static const struct {
		unsigned int bit;
		const char *name;
	} opts[] = {
		{ DV_ASKED_RESTART, "restart" },
		{ DV_ASKED_TTL, "ttl" },
		{ DV_ASKED_IDLE, "idle-timeout" },
		{ DV_ASKED_HEALTH, "health" },
		{ DV_ASKED_HEALTH_INTERVAL, "health-interval" },
		{ DV_ASKED_HEALTH_TIME, "health-retries" },
		{ DV_ASKED_LOG_MAX, "log-max" },
	};

	for (size_t i = 0; i < DV_ARRAY_LEN(opts); i++)
		if (a->asked & opts[i].bit)
			return refuse(err, opts[i].name,
				      "is for a sandbox that lives on",
				      "add -d");
	return 0;
}

static int check_detached(const struct run_args *a, struct dv_err *err)
{
	if (a->log)
		return refuse(err, "log", "is for a foreground run",
			      "with -d output is kept: davit logs NAME");
	if (a->record)
		return refuse(err, "record", "is for a foreground run",
			      "with -d the record is kept: davit wait NAME");
	if (a->pidfile)
		return refuse(err, "pidfile", "is for a foreground run",
			      "davit inspect NAME shows the process id");
	if (a->info_fd >= 0)
		return refuse(err, "info-fd", "is for a foreground run",
			      "with -d --json the document is printed");
	if (a->timing)
		return refuse(err, "timing", "is for a foreground run",
			      "leave out -d to measure a start");
	if ((a->asked & (DV_ASKED_HEALTH_INTERVAL | DV_ASKED_HEALTH_TIME)) &&
	    !(a->asked & DV_ASKED_HEALTH))
		return refuse(err,
			      a->asked & DV_ASKED_HEALTH_INTERVAL
				      ? "health-interval"
				      : "health-retries",
			      "says nothing alone",
			      "--health CMD says what is asked");
	return 0;
}

int dv_keep_args_check(const struct run_args *a, struct dv_err *err)
{
	return a->detach ? check_detached(a, err) : check_foreground(a, err);
}

/* ---- left behind -------------------------------------------------------- */

static int print_one(const struct run_args *a,
		     const struct dv_sandbox_info *info, struct dv_err *err)
{
	dv_autobuf out = DV_BUF_INIT(2 << 20);
	dv_autofree char *json = NULL;

	if (a->json) {
		json = dv_sandbox_info_json(info);
		if (!json)
			return dv_err_sys(err, ENOMEM, "print");
	}
	dv_buf_putf(&out, "%s\n",
		    json            ? json
		    : info->name[0] ? info->name
				    : info->id);
	if (dv_buf_status(&out) < 0)
		return dv_err_sys(err, -dv_buf_status(&out), "print");
	return dv_stdout(out.data, out.len, err);
}

static int tell(const struct run_args *a, struct dv_sandbox *sb,
		struct dv_err *err)
{
	const struct dv_sandbox_info *info;
	int r = dv_sandbox_look(sb, &info, err);

	/* One that has ended already, and left nothing: as it was asked to. */
	if (r == -ENOENT && a->keep.remove) {
		dv_note("%s has ended", dv_sandbox_id(sb));
		return 0;
	}
	if (r < 0)
		return r;
	if (!a->quiet && info->describe)
		dv_note_dim("%s", info->describe);
	/* What was not asked for is in the document. */
	if (a->best_effort && info->missing)
		dv_note_missing(info->missing);
	return print_one(a, info, err);
}

/* Who does not hear its name could not end it. */
static void take_back(struct dv_sandbox *sb)
{
	struct dv_how how = DV_HOW_INIT;
	struct dv_err err = DV_ERR_INIT;

	how.timeout_ms = TAKE_BACK_MS;
	if (dv_sandbox_remove(sb, true, &how, &err) < 0)
		dv_note("%s lives on: %s", dv_sandbox_id(sb), err.msg);
}

/* A reader that has gone ends us as SIGPIPE does, but not before that. */
static int tell_or_take_back(const struct run_args *a, struct dv_sandbox *sb,
			     struct dv_err *err)
{
	const bool ignored = dv_inherited.ignores_pipe;
	int r;

	dv_inherited.ignores_pipe = true;
	r = tell(a, sb, err);
	dv_inherited.ignores_pipe = ignored;
	if (r < 0)
		take_back(sb);
	return r == -EPIPE ? dv_stdout_failed(EPIPE, err) : r;
}

static void first_size(struct run_args *a)
{
	struct winsize ws;

	if (a->keep.terminal && (dv_term_size(0, &ws) || dv_term_size(1, &ws)))
		dv_spec_winsize(a->spec, ws.ws_row, ws.ws_col);
}

int dv_run_detached(struct run_args *a, struct dv_err *err)
{
	struct dv_sandbox *sb = NULL;
	int r;

	a->keep.terminal = a->tty == DV_YES;
	a->keep.davit = "/proc/self/exe";
	first_size(a);
	r = dv_stdout_check(err);
	if (r < 0)
		return r;
	r = dv_sandbox_create(&sb, a->spec, &a->keep, NULL, err);
	if (r < 0) {
		dv_doctor_explain(err);
		return r;
	}
	r = tell_or_take_back(a, sb, err);
	dv_sandbox_free(sb);
	return r;
}

static int keeper_main(const struct dv_verb *verb DV_UNUSED, int argc,
		       char **argv)
{
	return dv_keeper_main(argc, argv);
}

const struct dv_verb dv_verb_keeper = {
	.name = "__keeper",
	.args = "",
	.summary = "keep a sandbox in the background",
	.prose = "",
	.usage_status = 125,
	.hidden = true,
	.main = keeper_main,
};
