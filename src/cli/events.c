/* SPDX-License-Identifier: MIT */
/*
 * events: what happened to sandboxes.
 */
#include <errno.h>
#include <stddef.h>
#include <string.h>

#include <davit/sandbox.h>

#include "base/buf.h"
#include "base/def.h"
#include "base/num.h"
#include "cli/diag.h"
#include "cli/help.h"
#include "cli/report.h"
#include "cli/table.h"
#include "cli/verbs.h"

enum { OUT_MAX = 1 << 20 };

struct show {
	bool follow, json;
	uint64_t since_ns; /* Unix time; 0: all */
	const char *name;
	char id[DV_SANDBOX_ID_LEN + 1]; /* of the one of that name, or "" */
	bool shown;
	struct dv_err err, unknown;
};

#define AT(member) ((int)offsetof(struct show, member))

static int set_since(void *target, const struct dv_opt *opt DV_UNUSED,
		     const char *value, struct dv_err *err)
{
	struct show *s = target;
	uint64_t now = dv_unix_ns(), ms;

	if (dv_parse_span(value, &ms) == 0 && ms < now / 1000000) {
		s->since_ns = now - ms * 1000000;
		return 0;
	}
	dv_err_set(err, EINVAL, DV_INVALID, "\"%.60s\" is no duration", value);
	dv_err_hint(err, "like 10 (seconds), 2m, 1h30m or 7d");
	return -EINVAL;
}

/* clang-format off */
static const struct dv_opt events_opts[] = {
	{ "follow", 'f', NULL, "Which",
	  "Wait for more, until davit is interrupted.",
	  diag_set_flag, AT(follow), 0, NULL },
	{ "since", 0, "DUR", "Which",
	  "Only what happened within this time (10, 2m, 1h30m, 7d).",
	  set_since, 0, 0, NULL },
	{ "json", 0, NULL, "Output",
	  "Print the events as they are stored: JSON, one a line.",
	  diag_set_flag, AT(json), 0, NULL },
};
/* clang-format on */

static bool is_wanted(const struct show *s, const struct dv_sandbox_event *e)
{
	if (!s->name)
		return true;
	return !strcmp(e->name, s->name) || !strcmp(e->id, s->name) ||
	       (s->id[0] && !strcmp(e->id, s->id));
}

static int put_event(struct show *s, const struct dv_sandbox_event *e)
{
	dv_autobuf out = DV_BUF_INIT(OUT_MAX);

	if (s->json) {
		dv_buf_putf(&out, "%s\n", e->json);
	} else {
		dv_put_time(&out, e->unix_ns, 3);
		dv_buf_puts(&out, "  ");
		dv_put_clean(&out, e->name[0] ? e->name : e->id);
		dv_buf_puts(&out, "  ");
		dv_put_clean(&out, e->event);
		if (e->detail[0]) {
			dv_buf_puts(&out, "  ");
			dv_put_clean(&out, e->detail);
		}
		dv_buf_putc(&out, '\n');
	}
	s->shown = true;
	return dv_stdout(out.data, out.len, &s->err);
}

static int show_all(struct show *s, struct dv_sandbox_events *events)
{
	struct dv_sandbox_event e;
	int r;

	for (;;) {
		r = dv_sandbox_events_next(events, &e, &s->err);
		if (r == 0 && is_wanted(s, &e))
			r = put_event(s, &e);
		else if (r == DV_MORE)
			r = dv_stdout_wait(dv_sandbox_events_fd(events),
					   &s->err);
		if (r != 0)
			return r < 0 ? r : 0;
	}
}

/* Events of one that is gone may be there, so this is no error yet. */
static void find_one(struct show *s)
{
	struct dv_sandbox *sb = NULL;

	if (!s->name)
		return;
	if (dv_sandbox_open(&sb, s->name, NULL, &s->unknown) == 0)
		memcpy(s->id, dv_sandbox_id(sb), sizeof(s->id));
	dv_sandbox_free(sb);
}

static int run(struct show *s)
{
	struct dv_sandbox_events_opts o = DV_SANDBOX_EVENTS_INIT;
	struct dv_sandbox_events *events = NULL;
	int r;

	find_one(s);
	o.follow = s->follow;
	o.since_unix_ns = s->since_ns;
	r = dv_sandbox_events_open(&events, &o, &s->err);
	if (r == 0)
		r = show_all(s, events);
	dv_sandbox_events_free(events);
	if (r < 0)
		return dv_report(&s->err, s->json, 1);
	if (s->name && !s->id[0] && !s->shown)
		return dv_report(&s->unknown, s->json, 1);
	return 0;
}

static int events_main(const struct dv_verb *verb, int argc, char **argv)
{
	struct show s = { .err = DV_ERR_INIT, .unknown = DV_ERR_INIT };
	int rest = 1, r = dv_opts_parse(verb, argc, argv, &s, &rest, &s.err);

	if (r == DV_OPTS_HELP)
		return dv_help_verb(verb);
	if (r == 0 && argc - rest > 1)
		r = dv_opts_too_much(verb, argv[rest + 1], &s.err);
	if (r < 0)
		return dv_report(&s.err, s.json, 2);
	s.name = rest < argc ? argv[rest] : NULL;
	return run(&s);
}

const struct dv_verb dv_verb_events = {
	.name = "events",
	.args = "[OPTIONS] [NAME]",
	.summary = "show what happened to sandboxes",
	.prose = "Show what happened to all sandboxes, or to one of them: "
		 "created, started, paused, exited, restarted, removed and so "
		 "on; dead is written by whoever notices that a keeper was "
		 "killed. The latest 1 to 2 MiB are kept until the machine "
		 "restarts.",
	.opts = events_opts,
	.n_opts = DV_ARRAY_LEN(events_opts),
	.usage_status = 2,
	.complete = DV_COMPLETE_SANDBOX,
	.main = events_main,
};
