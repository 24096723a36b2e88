/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <unistd.h>

#include <davit/expect.h>
#include <davit/sandbox.h>

#include "base/def.h"
#include "base/json.h"
#include "cli/diag.h"
#include "cli/help.h"
#include "cli/report.h"
#include "cli/table.h"
#include "cli/target.h"
#include "cli/verbs.h"

enum {
	STATUS_ENDED = 1,
	STATUS_TIMEOUT = 124,
	STATUS_FAILED = 125,
	/* A line of which every byte is an escape in JSON. */
	OUT_MAX = 8 * DV_EXPECT_LINE_MAX,
};

struct wait {
	const char *regex;
	int idle_ms, timeout_ms; /* -1: none */
	bool json, latest;
	struct dv_sandbox *sb;
	struct dv_err err;
};

#define AT(member) ((int)offsetof(struct wait, member))

// clang-format off
static const struct dv_opt wait_opts[] = {
	{ "for", 0, "REGEX", "What",
	  "Wait until a line that it writes matches this POSIX extended regular "
	  "expression, or has matched it since it was started. The line is "
	  "printed. A line that is not finished counts, too, but there $ does "
	  "not match.",
	  diag_set_text, AT(regex), 0, NULL },
	{ "idle", 0, "DUR", "What",
	  "Wait until it has written nothing for so long: 10, 1.5s, 200ms, 2m.",
	  diag_set_duration, AT(idle_ms), 0, NULL },
	{ "timeout", 0, "DUR", "What",
	  "Wait no longer than that; the status is 124 then.",
	  diag_set_duration, AT(timeout_ms), 0, NULL },
	DV_OPT_LATEST('l', AT(latest)),
	{ "json", 0, NULL, "Output",
	  "Print what came as one line of JSON: the exit record, or event, "
	  "offset, line and text.",
	  diag_set_flag, AT(json), 0, NULL },
};
// clang-format on

static int timed_out(struct wait *w)
{
	dv_err_set(&w->err, ETIMEDOUT, DV_DEADLINE,
		   "nothing of that came in %d ms", w->timeout_ms);
	return dv_report(&w->err, w->json, STATUS_TIMEOUT);
}

/* ---- its end ---------------------------------------------------------------
 */

static int print_exit(struct wait *w, const struct dv_exit *exit)
{
	dv_autobuf out = DV_BUF_INIT(OUT_MAX);
	dv_autofree char *json = dv_exit_json(exit, dv_sandbox_id(w->sb));

	if (!json)
		return dv_err_sys(&w->err, ENOMEM, "print");
	dv_buf_putf(&out, "%s\n", json);
	if (dv_buf_status(&out) < 0)
		return dv_err_sys(&w->err, -dv_buf_status(&out), "print");
	return dv_stdout(out.data, out.len, &w->err);
}

static int wait_end(struct wait *w)
{
	struct dv_exit exit = { .size = sizeof(exit) };
	struct dv_how how = DV_HOW_INIT;
	int r;

	how.timeout_ms = w->timeout_ms;
	r = dv_sandbox_wait(w->sb, &exit, &how, &w->err);
	if (r == -ETIMEDOUT || w->err.code == DV_DEADLINE)
		return dv_report(&w->err, w->json, STATUS_TIMEOUT);
	if (r < 0)
		return dv_report(&w->err, w->json, STATUS_FAILED);
	if (w->json && print_exit(w, &exit) < 0)
		return dv_report(&w->err, true, STATUS_FAILED);
	return exit.timed_out ? STATUS_TIMEOUT : exit.code;
}

/* ---- its output ------------------------------------------------------------
 */

static int print_result(struct wait *w, const struct dv_expect_result *res)
{
	dv_autobuf out = DV_BUF_INIT(OUT_MAX);
	struct dv_json j = DV_JSON_INIT(&out);
	bool match = res->kind == DV_EXPECT_MATCH;

	if (w->json) {
		dv_json_open(&j, NULL, '{');
		dv_json_str(&j, "event", match ? "match" : "idle");
		dv_json_u64(&j, "offset", res->offset);
		if (match) {
			dv_json_time(&j, "time", res->unix_ns);
			dv_json_str(&j, "stream",
				    res->stream == 2 ? "stderr" : "stdout");
			dv_json_strn(&j, "text", res->at, res->len);
			dv_json_strn(&j, "line", res->line, res->line_len);
		}
		if (res->lost)
			dv_json_u64(&j, "lost", res->lost);
		dv_json_close(&j, '}');
	} else if (match) {
		dv_buf_put(&out, res->line, res->line_len);
	}
	if (w->json || match)
		dv_buf_putc(&out, '\n');
	return dv_print(&out) ? STATUS_FAILED : 0;
}

static int ended(struct wait *w)
{
	const struct dv_sandbox_info *info;
	const char *who = dv_sandbox_id(w->sb);

	if (dv_sandbox_look(w->sb, &info, NULL) == 0 && info->name[0])
		who = info->name;
	dv_err_set(&w->err, ESRCH, DV_PRECONDITION, "%s has ended without %s",
		   who, w->regex ? "a match" : "being idle for so long");
	dv_err_hint(&w->err, "davit why %.60s", who);
	return dv_report(&w->err, w->json, STATUS_ENDED);
}

/* What it wrote before it was started anew is not meant. */
static int begin_of_run(struct wait *w, uint64_t *nsp)
{
	const struct dv_sandbox_info *info;
	int r = dv_sandbox_look(w->sb, &info, &w->err);

	if (r == 0)
		*nsp = info->state == DV_STATE_CREATING ? UINT64_MAX
							: info->started_unix_ns;
	return r;
}

static int add_conditions(struct wait *w, struct dv_expect *x)
{
	int r = 0;

	if (w->regex)
		r = dv_expect_match(x, w->regex, &w->err);
	if (r >= 0 && w->idle_ms >= 0)
		r = dv_expect_idle(x, w->idle_ms, &w->err);
	if (r >= 0 && w->timeout_ms >= 0)
		r = dv_expect_deadline(x, w->timeout_ms, &w->err);
	return r;
}

static int wait_output(struct wait *w)
{
	struct dv_expect_opts o = DV_EXPECT_OPTS_INIT;
	struct dv_expect_result res = DV_EXPECT_RESULT_INIT;
	struct dv_expect *x = NULL;
	int r = begin_of_run(w, &o.since_unix_ns), status;

	o.this_run = true;
	if (r == 0)
		r = dv_expect_new(&x, w->sb, &o, &w->err);
	if (r == 0)
		r = add_conditions(w, x);
	if (r >= 0)
		r = dv_expect_wait(x, &res, &w->err);
	if (r < 0)
		status = dv_report(&w->err, w->json, STATUS_FAILED);
	else if (r == DV_EOF)
		status = ended(w);
	else if (res.kind == DV_EXPECT_DEADLINE)
		status = timed_out(w);
	else
		status = print_result(w, &res);
	dv_expect_free(x);
	return status;
}

static int wait_main(const struct dv_verb *verb, int argc, char **argv)
{
	struct wait w = { .idle_ms = -1, .timeout_ms = -1, .err = DV_ERR_INIT };
	bool usage;
	int rest = 1, words, r, status;

	r = dv_opts_parse(verb, argc, argv, &w, &rest, &w.err);
	if (r == DV_OPTS_HELP)
		return dv_help_verb(verb);
	if (r == 0 && argc - rest > 1 - w.latest)
		r = dv_opts_too_much(verb, argv[rest + 1 - w.latest], &w.err);
	if (r == 0)
		r = dv_target_sandbox(&w.sb, argc - rest, argv + rest, w.latest,
				      NULL, &words, &usage, &w.err);
	if (r < 0)
		status = dv_report(&w.err, w.json, STATUS_FAILED);
	else if (w.regex || w.idle_ms >= 0)
		status = wait_output(&w);
	else
		status = wait_end(&w);
	dv_sandbox_free(w.sb);
	return status;
}

const struct dv_verb dv_verb_wait = {
	.name = "wait",
	.args = "[OPTIONS] NAME",
	.summary = "wait for the end of a sandbox, or for its output",
	.prose = "Wait until a sandbox has ended for good, and exit with its "
		 "status; at once when it has ended already. A start by its "
		 "restart policy is not its end.\n\n"
		 "With --for or --idle (or both, whichever comes first), wait "
		 "for what its present run writes.\n\n"
		 "# EXIT STATUS\n\n"
		 "The sandbox's own status, 124 when its own --timeout (or "
		 "--ttl, "
		 "or --idle-timeout) ended it, 137 when its keeper was killed; "
		 "125 "
		 "when davit failed or was used wrongly. With --for or --idle: "
		 "0 when it came, 1 when the sandbox ended without. 124 when "
		 "--timeout was over.\n\n"
		 "# EXAMPLES\n\n"
		 "  davit run -d --name db -- postgres -D data\n"
		 "  davit wait --for 'ready to accept' --timeout 30s db\n"
		 "  davit wait --idle 5s build",
	.opts = wait_opts,
	.n_opts = DV_ARRAY_LEN(wait_opts),
	.usage_status = 125,
	.complete = DV_COMPLETE_SANDBOX,
	.main = wait_main,
};
