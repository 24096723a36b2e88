/* SPDX-License-Identifier: MIT */
/*
 * rm: forget sandboxes.
 */
#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <davit/sandbox.h>

#include "base/def.h"
#include "cli/diag.h"
#include "cli/help.h"
#include "cli/report.h"
#include "cli/target.h"
#include "cli/verbs.h"

enum { RM_MS = 30000 }; /* with what it takes to kill it */

struct rm {
	bool force, ignore, latest, json;
};

#define AT(member) ((int)offsetof(struct rm, member))

/* clang-format off */
static const struct dv_opt rm_opts[] = {
	{ "force", 'f', NULL, "How",
	  "Kill it first, if it lives: without a stop signal and at once.",
	  diag_set_flag, AT(force), 0, NULL },
	{ "ignore", 'i', NULL, "How",
	  "That there is none of a name is no error; the beginning of a name "
	  "counts as none.",
	  diag_set_flag, AT(ignore), 0, NULL },
	DV_OPT_LATEST('l', AT(latest)),
	DV_OPT_JSON_ERRORS(AT(json)),
};
/* clang-format on */

static int begin(void *arg, struct dv_sandbox *sb, const struct dv_how *how,
		 struct dv_err *err)
{
	const struct rm *rm = arg;

	return dv_sandbox_remove(sb, rm->force, how, err);
}

static int rm_main(const struct dv_verb *verb, int argc, char **argv)
{
	struct rm rm = { false };
	struct dv_err err = DV_ERR_INIT;
	int rest = 1, r = dv_opts_parse(verb, argc, argv, &rm, &rest, &err);
	struct dv_targets t = { .timeout_ms = RM_MS,
				.begin = begin,
				.arg = &rm };

	if (r == DV_OPTS_HELP)
		return dv_help_verb(verb);
	if (r < 0)
		return dv_report(&err, rm.json, 2);
	t.argc = argc - rest;
	t.argv = argv + rest;
	t.latest = rm.latest;
	t.json = rm.json;
	t.ignore = rm.ignore;
	return dv_targets_run(&t);
}

const struct dv_verb dv_verb_rm = {
	.name = "rm",
	.args = "[OPTIONS] NAME...",
	.summary = "remove what is left of sandboxes",
	.prose = "Remove sandboxes that have ended: their records and logs, "
		 "and their names, which are free then. With -f one that lives "
		 "is killed first: by its keeper, or together with it when "
		 "that does not answer within 5 s.",
	.opts = rm_opts,
	.n_opts = DV_ARRAY_LEN(rm_opts),
	.usage_status = 2,
	.complete = DV_COMPLETE_SANDBOX,
	.main = rm_main,
};
