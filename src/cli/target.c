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

/*
 * Is it the one of that very name or id? A unit stops and forgets the sandbox
 * of its own name, and never another one whose name only begins so. 1, 0, or
 * -errno: its name cannot be read.
 */
static int is_exactly(struct dv_sandbox *sb, const char *word,
		      struct dv_err *err)
{
	const struct dv_sandbox_info *info;
	int r;

	if (!strcmp(dv_sandbox_id(sb), word))
		return 1;
	r = dv_sandbox_look(sb, &info, err);
	return r < 0 ? r : !strcmp(info->name, word);
}

/* 1: in progress, 0: there is nothing to do, -errno. */
static int try_begin(struct one *one, const struct dv_targets *t,
		     const char *name, struct dv_loop *loop)
{
	struct dv_how how = DV_HOW_INIT;
	int r = open_one(&one->sb, name, loop, &one->err);

	/* What is looked at here is what is begun with: by its id. */
	if (r == 0 && name && t->ignore) {
		r = is_exactly(one->sb, name, &one->err);
		if (r == 0)
			return 0;
	}
	if (r < 0)
		return r;
	how.timeout_ms = t->timeout_ms;
	how.fn = on_done;
	how.arg = one;
	how.opp = &one->op;
	r = t->begin(t->arg, one->sb, &how, &one->err);
	return r < 0 ? r : 1;
}

static void begin(struct one *one, const struct dv_targets *t, const char *name,
		  struct dv_loop *loop)
{
	int r = try_begin(one, t, name, loop);

	/* Of nobody, or of one that has just gone. */
	if (name && t->ignore && (r == -ENOENT || r == -ENOTUNIQ))
		r = 0;
	*one->left += r > 0;
	one->r = r < 0 ? r : 0;
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

int dv_targets_run(const struct dv_targets *t)
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
