/* SPDX-License-Identifier: MIT */
/*
 * ps: the sandboxes that there are.
 */
#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <davit/sandbox.h>

#include "base/buf.h"
#include "base/def.h"
#include "cli/diag.h"
#include "cli/help.h"
#include "cli/report.h"
#include "cli/table.h"
#include "cli/verbs.h"

enum {
	OUT_MAX = 64 << 20,
	FILTERS_MAX = 32,
	COLUMNS = 6,        /* all but the command */
	COMMAND_WIDTH = 40, /* where nobody says how wide it may be */
	COMMAND_MIN = 12,   /* a terminal is never too narrow for that */
	NAMED_MAX = 5,      /* of those that lack the same; others count */
};

struct ps {
	bool all, quiet, json, whole;
	const char *filters[FILTERS_MAX];
	size_t n_filters;
	size_t command_width;
	struct dv_buf out;
};

/* ---- options ------------------------------------------------------------- */

#define AT(member) ((int)offsetof(struct ps, member))

static bool is_state(const char *word)
{
	for (int s = 0; s < DV_STATE_N; s++)
		if (!strcmp(word, dv_state_name((enum dv_state)s)))
			return true;
	return false;
}

static int add_filter(void *target, const struct dv_opt *opt DV_UNUSED,
		      const char *value, struct dv_err *err)
{
	struct ps *ps = target;

	if (!strncmp(value, "state=", 6) && !is_state(value + 6)) {
		dv_err_hint(err, "creating, running, paused, stopping, exited "
				 "or dead");
		return dv_err_set(err, EINVAL, DV_INVALID,
				  "there is no state \"%.60s\"", value + 6);
	}
	if ((strncmp(value, "state=", 6) != 0 &&
	     strncmp(value, "label=", 6) != 0) ||
	    !value[6]) {
		dv_err_hint(err, "label=KEY, label=KEY=VALUE or state=STATE");
		return dv_err_set(err, EINVAL, DV_INVALID,
				  "\"%.100s\" is no filter", value);
	}
	if (ps->n_filters == FILTERS_MAX)
		return dv_err_set(err, E2BIG, DV_INVALID,
				  "more than %d filters", FILTERS_MAX);
	ps->filters[ps->n_filters++] = value;
	/* Those that have ended are not shown unless somebody asks. */
	if (!strcmp(value, "state=exited") || !strcmp(value, "state=dead"))
		ps->all = true;
	return 0;
}

/* clang-format off */
static const struct dv_opt ps_opts[] = {
	{ "all", 'a', NULL, "Which",
	  "Show those that have ended, too.",
	  diag_set_flag, AT(all), 0, NULL },
	{ "filter", 'f', "WHAT", "Which",
	  "Only those with a label (label=KEY or label=KEY=VALUE) or in a "
	  "state (state=running; state=exited and state=dead imply --all). May "
	  "be given several times: all of them have to be true.",
	  add_filter, 0, 0, NULL },
	{ "quiet", 'q', NULL, "Output",
	  "Print the ids only, one a line.",
	  diag_set_flag, AT(quiet), 0, NULL },
	{ "json", 0, NULL, "Output",
	  "Print one JSON array with the document of each.",
	  diag_set_flag, AT(json), 0, NULL },
	{ "no-trunc", 0, NULL, "Output",
	  "Print whole command lines.",
	  diag_set_flag, AT(whole), 0, NULL },
};
/* clang-format on */

/* ---- which --------------------------------------------------------------- */

static bool has_label(const struct dv_sandbox_info *info, const char *want)
{
	const bool with_value = strchr(want, '=') != NULL;
	const size_t len = strlen(want);

	for (char **l = info->labels; l && *l; l++)
		if (!strcmp(*l, want) ||
		    (!with_value && !strncmp(*l, want, len) &&
		     (*l)[len] == '='))
			return true;
	return false;
}

static bool is_wanted(const struct ps *ps, const struct dv_sandbox_info *info)
{
	for (size_t i = 0; i < ps->n_filters; i++) {
		const char *value = ps->filters[i] + 6;
		const bool is_one =
			ps->filters[i][0] == 's'
				? !strcmp(value, dv_state_name(info->state))
				: has_label(info, value);

		if (!is_one)
			return false;
	}
	return true;
}

/* ---- how ----------------------------------------------------------------- */

static void put_ids(struct ps *ps, const struct dv_sandbox_list *list)
{
	for (size_t i = 0; i < list->n; i++)
		if (is_wanted(ps, &list->at[i]))
			dv_buf_putf(&ps->out, "%s\n", list->at[i].id);
}

static void put_json(struct ps *ps, const struct dv_sandbox_list *list)
{
	const char *before = "";

	dv_buf_putc(&ps->out, '[');
	for (size_t i = 0; i < list->n; i++) {
		dv_autofree char *doc = NULL;

		if (!is_wanted(ps, &list->at[i]))
			continue;
		doc = dv_sandbox_info_json(&list->at[i]);
		if (!doc)
			ps->out.status = -ENOMEM;
		dv_buf_puts(&ps->out, before);
		dv_buf_puts(&ps->out, doc ? doc : "");
		before = ",";
	}
	dv_buf_puts(&ps->out, "]\n");
}

static void put_state(struct dv_buf *out, const struct dv_sandbox_info *info)
{
	static const char *const health[] = {
		[DV_HEALTH_NONE] = "",
		[DV_HEALTH_STARTING] = " (starting)",
		[DV_HEALTH_GOOD] = " (good)",
		[DV_HEALTH_BAD] = " (bad)",
	};

	dv_buf_puts(out, dv_state_name(info->state));
	if (info->state < DV_STATE_EXITED && info->health < DV_HEALTH_N)
		dv_buf_puts(out, health[info->health]);
}

/* Each cell ends with a NUL. */
static void put_cells(struct dv_buf *out, const struct dv_sandbox_info *info,
		      uint64_t now)
{
	dv_buf_puts(out, dv_sandbox_title(info));
	dv_buf_putc(out, '\0');
	put_state(out, info);
	dv_buf_putc(out, '\0');
	dv_buf_puts(out, info->boundary == DV_IN_CONTAINER ? "container"
							   : "process");
	dv_buf_putc(out, '\0');
	if (info->pid)
		dv_buf_putf(out, "%d", (int)info->pid);
	else
		dv_buf_putc(out, '-');
	dv_buf_putc(out, '\0');
	if (info->created_unix_ns) {
		dv_put_span(out, now > info->created_unix_ns
					 ? now - info->created_unix_ns
					 : 0);
		dv_buf_puts(out, " ago");
	} else {
		dv_buf_putc(out, '-');
	}
	dv_buf_putc(out, '\0');
	if (info->state >= DV_STATE_EXITED && info->has_exit)
		dv_buf_putf(out, "%d", (int)info->exit.code);
	else
		dv_buf_putc(out, '-');
	dv_buf_putc(out, '\0');
}

static const char *const heads[COLUMNS] = { "NAME/ID", "STATE",   "BOUNDARY",
					    "PID",     "CREATED", "EXIT" };

static void pad(struct dv_buf *out, const char *cell, size_t width)
{
	dv_buf_puts(out, cell);
	for (size_t n = strlen(cell); n < width + 2; n++)
		dv_buf_putc(out, ' ');
}

/* How wide a terminal is; 0: it is none. */
static size_t terminal_width(void)
{
	struct winsize ws;

	return ioctl(STDOUT_FILENO, TIOCGWINSZ, &ws) == 0 ? ws.ws_col : 0;
}

static size_t command_width(const struct ps *ps, const size_t *widths)
{
	const size_t wide = terminal_width();
	size_t used = 0;

	if (ps->whole)
		return 0;
	for (size_t c = 0; c < COLUMNS; c++)
		used += widths[c] + 2;
	if (!wide)
		return COMMAND_WIDTH;
	return wide > used + COMMAND_MIN ? wide - used : COMMAND_MIN;
}

static void put_rows(struct ps *ps, const struct dv_sandbox_list *list,
		     const char *cells)
{
	size_t widths[COLUMNS], width;
	const char *cell = cells;

	for (size_t c = 0; c < COLUMNS; c++)
		widths[c] = strlen(heads[c]);
	for (size_t i = 0; i < list->n; i++)
		for (size_t c = 0; is_wanted(ps, &list->at[i]) && c < COLUMNS;
		     c++, cell += strlen(cell) + 1)
			widths[c] = dv_max(widths[c], strlen(cell));
	width = command_width(ps, widths);
	for (size_t c = 0; c < COLUMNS; c++)
		pad(&ps->out, heads[c], widths[c]);
	dv_buf_puts(&ps->out, "COMMAND\n");
	cell = cells;
	for (size_t i = 0; i < list->n; i++) {
		if (!is_wanted(ps, &list->at[i]))
			continue;
		for (size_t c = 0; c < COLUMNS; c++, cell += strlen(cell) + 1)
			pad(&ps->out, cell, widths[c]);
		dv_put_command(&ps->out, list->at[i].argv, width);
		dv_buf_putc(&ps->out, '\n');
	}
}

static void put_table(struct ps *ps, const struct dv_sandbox_list *list)
{
	dv_autobuf cells = DV_BUF_INIT(OUT_MAX);
	const uint64_t now = dv_unix_ns();

	for (size_t i = 0; i < list->n; i++)
		if (is_wanted(ps, &list->at[i]))
			put_cells(&cells, &list->at[i], now);
	if (dv_buf_status(&cells) < 0)
		ps->out.status = dv_buf_status(&cells);
	else
		put_rows(ps, list, cells.data);
}

/* ---- what they go without ------------------------------------------------
 */

static bool lacks(const struct ps *ps, const struct dv_sandbox_info *info,
		  const char *what, size_t len)
{
	const char *at = info->missing ? info->missing : "";

	if (info->state >= DV_STATE_EXITED || !is_wanted(ps, info))
		return false;
	while (*at) {
		const size_t n = strcspn(at, "\n");

		if (n == len && !memcmp(at, what, len))
			return true;
		at += n + (at[n] == '\n');
	}
	return false;
}

/* All of those that lack it, in one line. */
static void tell_lack(const struct ps *ps, const struct dv_sandbox_list *list,
		      const char *what, size_t len)
{
	dv_autobuf names = DV_BUF_INIT(4096);
	size_t n = 0;

	for (size_t i = 0; i < list->n; i++) {
		if (!lacks(ps, &list->at[i], what, len))
			continue;
		if (n++ < NAMED_MAX)
			dv_buf_putf(&names, "%s%s", n > 1 ? ", " : "",
				    dv_sandbox_title(&list->at[i]));
	}
	if (n > NAMED_MAX)
		dv_buf_putf(&names, " and %zu more", n - NAMED_MAX);
	dv_buf_putc(&names, '\0');
	if (dv_buf_status(&names) == 0)
		dv_note("%s: without %.*s", names.data, (int)len, what);
}

/* The first one of the list that lacks a thing tells it for all. */
static void tell_lacks(const struct ps *ps, const struct dv_sandbox_list *list)
{
	for (size_t i = 0; i < list->n; i++) {
		const char *at = list->at[i].missing;

		while (at && *at) {
			const size_t len = strcspn(at, "\n");
			size_t k = 0;

			while (!lacks(ps, &list->at[k], at, len) && k < i)
				k++;
			if (k == i && lacks(ps, &list->at[i], at, len))
				tell_lack(ps, list, at, len);
			at += len + (at[len] == '\n');
		}
	}
}

static int show(struct ps *ps)
{
	struct dv_err err = DV_ERR_INIT;
	struct dv_sandbox_list list;
	int status, r;

	r = dv_sandbox_list(&list, ps->all ? DV_SANDBOX_ALL : 0, &err);
	if (r < 0)
		return dv_report(&err, ps->json, 1);
	if (ps->quiet)
		put_ids(ps, &list);
	else if (ps->json)
		put_json(ps, &list);
	else
		put_table(ps, &list);
	status = dv_print(&ps->out);
	if (!ps->quiet && !ps->json)
		tell_lacks(ps, &list);
	if (list.unreadable > 0)
		dv_note("%zu more cannot be read; davit why %s says why",
			list.unreadable, list.unreadable_id);
	dv_sandbox_list_free(&list);
	return status;
}

static int ps_main(const struct dv_verb *verb, int argc, char **argv)
{
	struct ps ps = { .out = DV_BUF_INIT(OUT_MAX) };
	struct dv_err err = DV_ERR_INIT;
	int rest = 1, r = dv_opts_parse(verb, argc, argv, &ps, &rest, &err);
	int status;

	if (r == DV_OPTS_HELP)
		return dv_help_verb(verb);
	if (r == 0 && rest < argc)
		r = dv_opts_too_much(verb, argv[rest], &err);
	status = r < 0 ? dv_report(&err, ps.json, 2) : show(&ps);
	dv_buf_free(&ps.out);
	return status;
}

const struct dv_verb dv_verb_ps = {
	.name = "ps",
	.args = "[OPTIONS]",
	.summary = "list sandboxes",
	.prose = "List the sandboxes that live, the one that was created last "
		 "first; with -a those that have ended, too, until davit rm "
		 "removes them. Nobody is asked for it: what is shown is in "
		 "the files that keepers write.\n\n"
		 "STATE is creating, running, paused, stopping, exited, or "
		 "dead: its keeper was killed. What --health says stands "
		 "behind it. EXIT is the exit status of one that has ended; "
		 "davit why explains it.\n\n"
		 "What one that lives goes without is said on stderr, with the "
		 "table only: what --best-effort could not have, and that its "
		 "keeper stays in the control group of who created it, where "
		 "this user may not make groups.",
	.opts = ps_opts,
	.n_opts = DV_ARRAY_LEN(ps_opts),
	.usage_status = 2,
	.main = ps_main,
};
