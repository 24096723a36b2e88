/* SPDX-License-Identifier: MIT */
#include "cli/target.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/def.h"
#include "cli/report.h"

/* One of several, and how it went. */
struct one {
	struct dv_sandbox *sb; /* owned; NULL: there is none */
	struct dv_op *op;      /* in progress */
	int r;
	struct dv_err err;
	unsigned int *left;
};

static int check_words(int argc, bool latest, struct dv_err *err)
{
	if (argc > 0 && latest)
		return dv_err_set(err, EINVAL, DV_INVALID,
				  "either names or --latest");
	if (argc > 0 || latest)
		return 0;
	dv_err_set(err, EINVAL, DV_INVALID, "no sandbox is named");
	dv_err_hint(err, "davit ps lists them; --latest is the one created "
			 "last");
	return -EINVAL;
}

static int open_one(struct dv_sandbox **sbp, const char *name,
		    struct dv_loop *loop, struct dv_err *err)
{
	struct dv_sandbox_opts o = DV_SANDBOX_OPTS_INIT;

	o.loop = loop;
	return dv_sandbox_open(sbp, name, &o, err);
}

int dv_target_sandbox(struct dv_sandbox **sbp, int argc, char **argv,
		      bool latest, struct dv_loop *loop, int *restp,
		      bool *usage, struct dv_err *err)
{
	int r = check_words(latest ? 0 : argc, latest, err);

	*usage = r < 0;
	*restp = latest ? 0 : 1;
	return r < 0 ? r : open_one(sbp, latest ? NULL : argv[0], loop, err);
}

static void on_done(void *arg, int r, const struct dv_err *err)
{
	struct one *one = arg;

	one->op = NULL;
	one->r = r;
	if (r < 0)
		one->err = *err;
	--*one->left;
}

static void begin(struct one *one, const struct dv_targets *t, const char *name,
		  struct dv_loop *loop)
{
	struct dv_how how = DV_HOW_INIT;

	how.timeout_ms = t->timeout_ms;
	how.fn = on_done;
	how.arg = one;
	how.opp = &one->op;
	one->r = open_one(&one->sb, name, loop, &one->err);
	if (one->r < 0)
		return;
	one->r = t->begin(t->arg, one->sb, &how, &one->err);
	if (one->r == 0)
		++*one->left;
}

static int run_all(const struct dv_targets *t, struct one *all, int n,
		   struct dv_loop *loop)
{
	unsigned int left = 0;
	int status = 0, r = 0;

	for (int i = 0; i < n; i++) {
		all[i].left = &left;
		begin(&all[i], t, t->latest ? NULL : t->argv[i], loop);
	}
	while (left > 0 && r >= 0)
		r = dv_loop_dispatch(loop, -1);
	for (int i = 0; i < n; i++) {
		if (all[i].op) {
			dv_op_cancel(all[i].op);
			all[i].r = dv_err_sys(&all[i].err, -r, "wait");
		}
		if (all[i].r < 0)
			status = dv_report(&all[i].err, t->json, 1);
	}
	return status;
}

/*
 * Is it the one of that very name or id? A unit stops and forgets the sandbox
 * of its own name, and never another one whose name only begins so.
 */
static bool is_exactly(struct dv_sandbox *sb, const char *word)
{
	const struct dv_sandbox_info *info;

	return !strcmp(dv_sandbox_id(sb), word) ||
	       dv_sandbox_look(sb, &info, NULL) < 0 ||
	       !strcmp(info->name, word);
}

/* Leave out the names of nobody; returns how many are left. */
static int drop_unknown(int argc, char **argv)
{
	int n = 0;

	for (int i = 0; i < argc; i++) {
		struct dv_sandbox *sb = NULL;

		int r = dv_sandbox_open(&sb, argv[i], NULL, NULL);

		if (r == 0 ? is_exactly(sb, argv[i])
			   : r != -ENOENT && r != -ENOTUNIQ)
			argv[n++] = argv[i];
		dv_sandbox_free(sb);
	}
	return n;
}

static int run(const struct dv_targets *t);

int dv_targets_run(const struct dv_targets *targets)
{
	struct dv_targets t = *targets;

	if (t.ignore && t.argc > 0) {
		t.argc = drop_unknown(t.argc, t.argv);
		if (t.argc == 0 && !t.latest)
			return 0;
	}
	return run(&t);
}

static int run(const struct dv_targets *t)
{
	const int n = t->latest ? 1 : t->argc;
	struct dv_err err = DV_ERR_INIT;
	struct dv_loop *loop = NULL;
	struct one *all = NULL;
	int r = check_words(t->argc, t->latest, &err), status;

	if (r == 0 && n > DV_TARGETS_MAX)
		r = dv_err_set(&err, E2BIG, DV_INVALID, "more than %d names",
			       DV_TARGETS_MAX);
	if (r < 0)
		return dv_report(&err, t->json, 2);
	all = calloc((size_t)n, sizeof(*all));
	r = all ? dv_loop_new(&loop) : -ENOMEM;
	if (r < 0) {
		dv_err_sys(&err, -r, "set up the event loop");
		status = dv_report(&err, t->json, 1);
	} else {
		status = run_all(t, all, n, loop);
	}
	for (int i = 0; all && i < n; i++)
		dv_sandbox_free(all[i].sb);
	dv_loop_free(loop);
	free(all);
	return status;
}
