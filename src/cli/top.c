/* SPDX-License-Identifier: MIT */
/*
 * davit top NAME: what runs in a sandbox, as a table that is drawn again and
 * again. It is the part "top" of the inspect tree, fetched anew each time.
 */
#include <davit/inspect.h>

#include <errno.h>
#include <signal.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <davit/sandbox.h>

#include "base/buf.h"
#include "base/def.h"
#include "base/fmt.h"
#include "cli/diag.h"
#include "cli/help.h"
#include "cli/report.h"
#include "cli/target.h"
#include "cli/term.h"
#include "cli/verbs.h"

enum {
	ASK_MS = 2000, /* an answer with gaps is better than none */
	DELAY_MS = 1000,
	DELAY_MIN_MS = 100, /* more often is a load, not a look */
	TEXT_MAX = 16 << 20,
	HEAD_LINES = 4,
};

struct row {
	const struct dv_node *node;
	int64_t pid;
	uint64_t cpu_us, rss;
	uint32_t permille; /* of one processor */
};

struct top {
	bool latest, json;
	uint32_t times; /* 0: until ^C */
	int delay_ms;
	struct dv_sandbox *sb; /* owned */
	struct dv_diag *diag;
	bool live; /* on a terminal, more than once */
	char name[DV_SANDBOX_NAME_MAX + 1];
	/* The samples of now and before. */
	struct dv_node *now, *before; /* owned */
	uint64_t now_ns, before_ns;
	struct row *rows; /* owned */
	size_t n_rows;
	struct dv_err err;
};

/* ---- numbers of a node --------------------------------------------------- */

static const struct dv_node *child(const struct dv_node *dir, const char *name)
{
	return dir ? dv_node_find(dir, name) : NULL;
}

static uint64_t number(const struct dv_node *dir, const char *name)
{
	const struct dv_node *n = child(dir, name);

	if (!n)
		return 0;
	if (dv_node_kind(n) == DV_NODE_SIGNED)
		return (uint64_t)dv_node_get_signed(n);
	return dv_node_kind(n) == DV_NODE_UNSIGNED ? dv_node_get_unsigned(n)
						   : 0;
}

static void put_text(struct dv_buf *out, const struct dv_node *dir,
		     const char *name, size_t max)
{
	const struct dv_node *n = child(dir, name);
	char text[512];
	const char *data;
	size_t len = 0;

	if (!n || dv_node_kind(n) != DV_NODE_STRING)
		return;
	data = dv_node_get_data(n, &len);
	len = dv_min(dv_min(len, max), sizeof(text) - 1);
	memcpy(text, data, len);
	text[len] = '\0';
	dv_put_clean(out, text);
}

/* "12k", "3.4M": five columns at most. */
static void put_size(struct dv_buf *out, uint64_t v)
{
	static const char units[] = "BKMGTPE";
	char text[24];
	size_t i = 0;
	uint64_t tenths = v * 10;

	if (v < UINT64_MAX / 10)
		for (; tenths >= 10240 && units[i + 1]; i++)
			tenths /= 1024;
	if (i == 0 || tenths >= 1000)
		dv_fmt(text, sizeof(text), "%llu%c",
		       (unsigned long long)tenths / 10, units[i]);
	else
		dv_fmt(text, sizeof(text), "%llu.%llu%c",
		       (unsigned long long)tenths / 10,
		       (unsigned long long)tenths % 10, units[i]);
	dv_buf_puts(out, text);
}

/* ---- the samples ----------------------------------------------------------
 */

static int fetch(struct top *t, const char *path, struct dv_node **nodep)
{
	struct dv_how how = DV_HOW_INIT;
	dv_autofree void *data = NULL;
	size_t len = 0;
	int r;

	how.timeout_ms = ASK_MS;
	r = dv_diag_inspect(t->diag, path, 3, &data, &len, &how, &t->err);
	return r < 0 ? r : dv_node_decode_response(data, len, nodep, &t->err);
}

static uint64_t cpu_of(const struct dv_node *process)
{
	return number(process, "user_us") + number(process, "system_us");
}

/* Since the last sample; of one that is new, since its start. */
static uint32_t share_of(const struct top *t, const struct row *row)
{
	const struct dv_node *old = NULL;
	uint64_t used = row->cpu_us;
	uint64_t ns = number(row->node, "age_ns");
	char name[24];

	dv_fmt(name, sizeof(name), "%lld", (long long)row->pid);
	old = child(t->before, name);
	if (old && cpu_of(old) <= used) {
		used -= cpu_of(old);
		ns = t->now_ns - t->before_ns;
	}
	return ns ? (uint32_t)dv_min(used * 1000000 / ns, UINT64_C(9999999))
		  : 0;
}

static int by_use(const void *x, const void *y)
{
	const struct row *a = x, *b = y;

	if (a->permille != b->permille)
		return a->permille < b->permille ? 1 : -1;
	if (a->rss != b->rss)
		return a->rss < b->rss ? 1 : -1;
	return a->pid < b->pid ? -1 : a->pid > b->pid;
}

static int make_rows(struct top *t)
{
	size_t n = dv_node_is_dir(t->now) ? dv_node_count(t->now) : 0;

	free(t->rows);
	t->n_rows = 0;
	t->rows = calloc(n + 1, sizeof(*t->rows));
	if (!t->rows)
		return dv_err_sys(&t->err, ENOMEM, "make a table");
	for (size_t i = 0; i < n; i++) {
		struct row *row = &t->rows[t->n_rows];

		row->node = dv_node_child(t->now, i);
		row->pid = (int64_t)number(row->node, "pid");
		if (row->pid <= 0)
			continue; /* it has just ended */
		row->cpu_us = cpu_of(row->node);
		row->rss = number(row->node, "rss_bytes");
		row->permille = share_of(t, row);
		t->n_rows++;
	}
	qsort(t->rows, t->n_rows, sizeof(*t->rows), by_use);
	return 0;
}

/* ---- the table -------------------------------------------------------------
 */

static void put_time(struct dv_buf *out, uint64_t us)
{
	uint64_t s = us / 1000000;
	char text[32];

	dv_fmt(text, sizeof(text), "%llu:%02u.%02u",
	       (unsigned long long)(s / 60), (unsigned int)(s % 60),
	       (unsigned int)(us / 10000 % 100));
	dv_buf_putf(out, "%s", text);
}

/* Fill up to column @to of a line that began at @start. */
static void column(struct dv_buf *out, size_t start, size_t to)
{
	do
		dv_buf_putc(out, ' ');
	while (dv_buf_status(out) == 0 && out->len - start < to);
}

static void put_head(struct top *t, struct dv_buf *out,
		     const struct dv_node *usage, const struct dv_node *limits)
{
	uint64_t memory = number(usage, "memory_bytes");
	uint64_t limit = number(limits, "memory_bytes");

	dv_buf_putf(out, "%s  %zu processes", t->name, t->n_rows);
	if (memory || limit)
		dv_buf_puts(out, "  memory ");
	if (memory)
		put_size(out, memory);
	if (limit) {
		dv_buf_puts(out, memory ? " of " : "limit ");
		put_size(out, limit);
	}
	if (child(usage, "cpu_us")) {
		dv_buf_puts(out, "  cpu time ");
		put_time(out, number(usage, "cpu_us"));
	}
	dv_buf_puts(out, "\n\n    PID INSIDE   UID S  CPU%    RSS     TIME "
			 "COMMAND\n");
}

static void put_row(struct dv_buf *out, const struct row *row, size_t width)
{
	size_t start = out->len, used;
	char text[64];

	dv_fmt(text, sizeof(text), "%7lld %6llu %5llu ", (long long)row->pid,
	       (unsigned long long)number(row->node, "pid_inside"),
	       (unsigned long long)number(row->node, "uid"));
	dv_buf_puts(out, text);
	put_text(out, row->node, "state", 1);
	dv_fmt(text, sizeof(text), " %3u.%u", row->permille / 10,
	       row->permille % 10);
	dv_buf_puts(out, text);
	column(out, start, 30);
	put_size(out, row->rss);
	column(out, start, 38);
	put_time(out, row->cpu_us);
	column(out, start, 47);
	used = out->len - start;
	put_text(out, row->node, "command", width > used ? width - used : 0);
	dv_buf_putc(out, '\n');
}

static void draw(struct top *t, struct dv_buf *out, const struct dv_node *usage,
		 const struct dv_node *limits)
{
	struct winsize ws = { .ws_row = 0, .ws_col = 0 };
	size_t n = t->n_rows, width = 512;

	if (dv_term_size(STDOUT_FILENO, &ws)) {
		width = ws.ws_col;
		if (t->live)
			n = dv_min(n,
				   (size_t)dv_max(ws.ws_row - HEAD_LINES, 1));
	}
	if (t->live)
		dv_buf_puts(out, "\033[H\033[J");
	put_head(t, out, usage, limits);
	for (size_t i = 0; i < n; i++)
		put_row(out, &t->rows[i], width);
}

static int print_json(struct top *t)
{
	dv_autofree char *text = NULL;
	size_t len = 0;
	int r = dv_node_json(t->now, &text, &len);

	if (r < 0)
		return dv_err_sys(&t->err, -r, "print the table");
	text[len] = '\n'; /* where its NUL was */
	return dv_stdout(text, len + 1, &t->err);
}

static int print(struct top *t, const struct dv_node *usage,
		 const struct dv_node *limits)
{
	dv_autobuf out = DV_BUF_INIT(TEXT_MAX);
	int r;

	if (t->json)
		return print_json(t);
	draw(t, &out, usage, limits);
	r = dv_buf_status(&out);
	return r < 0 ? dv_err_sys(&t->err, -r, "print the table")
		     : dv_stdout(out.data, out.len, &t->err);
}

static int sample(struct top *t)
{
	struct dv_node *usage = NULL, *limits = NULL;
	int r;

	dv_node_free(t->before);
	t->before = t->now;
	t->before_ns = t->now_ns;
	t->now = NULL;
	r = fetch(t, "top", &t->now);
	t->now_ns = dv_now_ns();
	if (r == 0)
		r = fetch(t, "usage", &usage);
	if (r == 0)
		r = fetch(t, "limits", &limits);
	if (r == 0)
		r = make_rows(t);
	if (r == 0)
		r = print(t, usage, limits);
	dv_node_free(usage);
	dv_node_free(limits);
	return r;
}

/* ---- again and again -------------------------------------------------------
 */

static void on_time(struct dv_timer *timer DV_UNUSED)
{
}

static int sleep_until(struct top *t, uint64_t at_ns)
{
	struct dv_loop *loop = dv_sandbox_loop(t->sb);
	struct dv_timer timer = DV_TIMER_INIT;
	int r = dv_timer_set(loop, &timer, at_ns, on_time);

	while (r >= 0 && timer.loop)
		r = dv_loop_dispatch(loop, -1);
	return r < 0 ? dv_err_sys(&t->err, -r, "wait") : 0;
}

/* Has it ended, or is not even its name known any more? */
static bool has_ended(struct top *t)
{
	struct dv_how how = DV_HOW_INIT;
	struct dv_err err = DV_ERR_INIT;

	if (dv_sandbox_look(t->sb, NULL, &err) < 0)
		return err.code == DV_NOT_FOUND;
	how.timeout_ms = ASK_MS;
	return t->err.code == DV_UNAVAILABLE &&
	       dv_sandbox_wait(t->sb, NULL, &how, NULL) == 0;
}

/* That it ended while we looked on is no failure. */
static int check_end(struct top *t, int r)
{
	if (!t->before || !has_ended(t))
		return r;
	dv_note("%s has ended", t->name);
	return 0;
}

static int watch(struct top *t)
{
	uint64_t at = dv_now_ns();
	int r = 0;

	for (uint32_t i = 0; r == 0; i++) {
		r = sample(t);
		if (t->times && i + 1 == t->times)
			break;
		at = dv_max(at + (uint64_t)t->delay_ms * 1000000, dv_now_ns());
		if (r == 0)
			r = sleep_until(t, at);
	}
	return r < 0 ? check_end(t, r) : 0;
}

static int run(struct top *t)
{
	const struct dv_sandbox_info *info;
	int r = dv_sandbox_look(t->sb, &info, &t->err);

	if (r < 0)
		return r;
	dv_fmt(t->name, sizeof(t->name), "%s",
	       info->name[0] ? info->name : info->id);
	r = dv_sandbox_diag(t->sb, &t->diag, &t->err);
	if (r < 0)
		return r;
	if (!isatty(STDOUT_FILENO) && !t->times)
		t->times = 1;
	t->live = isatty(STDOUT_FILENO) && t->times != 1 && !t->json;
	return watch(t);
}

static int set_delay(void *target, const struct dv_opt *opt, const char *value,
		     struct dv_err *err)
{
	int r = diag_set_duration(target, opt, value, err);

	if (r == 0 && ((struct top *)target)->delay_ms < DELAY_MIN_MS)
		r = dv_err_set(err, EINVAL, DV_INVALID,
			       "%dms is the shortest interval", DELAY_MIN_MS);
	return r;
}

/* clang-format off */
#define AT(member) ((int)offsetof(struct top, member))
static const struct dv_opt opts[] = {
	DV_OPT_LATEST('l', AT(latest)),
	{ "times", 'n', "N", "What",
	  "Stop after N tables. Where stdout is no terminal the default is 1.",
	  diag_set_number, AT(times), 0, NULL },
	{ "delay", 'd', "DUR", "What",
	  "Time between two tables. The default is 1s.",
	  set_delay, AT(delay_ms), 0, NULL },
	{ "json", 0, NULL, "Output",
	  "One JSON document on one line, for each table.",
	  diag_set_flag, AT(json), 0, NULL },
};
/* clang-format on */

static int top_main(const struct dv_verb *verb, int argc, char **argv)
{
	struct top t = { .delay_ms = DELAY_MS, .err = DV_ERR_INIT };
	int rest = 1, taken = 0;
	bool usage = true;
	int r = dv_opts_parse(verb, argc, argv, &t, &rest, &t.err);

	if (r == DV_OPTS_HELP)
		return dv_help_verb(verb);
	if (r == 0)
		r = dv_target_sandbox(&t.sb, argc - rest, argv + rest, t.latest,
				      NULL, &taken, &usage, &t.err);
	if (r == 0 && rest + taken < argc) {
		r = dv_opts_too_much(verb, argv[rest + taken], &t.err);
		usage = true;
	}
	if (r == 0)
		r = run(&t);
	dv_node_free(t.now);
	dv_node_free(t.before);
	free(t.rows);
	dv_sandbox_free(t.sb);
	return r < 0 ? dv_report(&t.err, t.json, usage ? 2 : 1) : 0;
}

const struct dv_verb dv_verb_top = {
	.name = "top",
	.args = "[-n N] [-d DUR] [--json] NAME",
	.summary = "a live table of what runs in a sandbox",
	.opts = opts,
	.n_opts = DV_ARRAY_LEN(opts),
	.usage_status = 2,
	.complete = DV_COMPLETE_SANDBOX,
	.main = top_main,
	.prose =
		"Show the processes in the sandbox NAME, those that use most "
		"of a processor first: number here and inside, user, state, "
		"share of one processor, memory, processor time, and command. "
		"The table is drawn again every second, until ^C.\n\n"
		"# EXIT STATUS\n\n"
		"0, also when the sandbox ends meanwhile; 1 when davit failed; "
		"2 for wrong usage.",
};
