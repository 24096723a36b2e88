/* SPDX-License-Identifier: MIT */
/*
 * davit inspect NAME: its live tree, or of one that has ended its document.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/def.h"
#include "cli/diag.h"
#include "cli/help.h"
#include "cli/report.h"
#include "cli/target.h"
#include "cli/verbs.h"

// clang-format off
static const struct dv_opt opts[] = {
	DIAG_INSPECT_OPTS,
	DV_OPT_LATEST(0, DIAG_AT(latest)),
};
// clang-format on

static int print_document(struct diag_cmd *cmd,
			  const struct dv_sandbox_info *info)
{
	dv_autofree char *text = dv_sandbox_info_json(info);
	size_t len = text ? strlen(text) : 0;

	if (!text)
		return diag_fail(cmd, ENOMEM, "print the document");
	text[len] = '\n'; /* where its NUL was */
	return diag_print(cmd, text, len + 1);
}

static int inspect(struct diag_cmd *cmd)
{
	const struct dv_sandbox_info *info;
	int r = dv_sandbox_look(cmd->sandbox, &info, &cmd->err);

	if (r < 0)
		return r;
	if ((info->state == DV_STATE_EXITED || info->state == DV_STATE_DEAD) &&
	    !cmd->argc && !cmd->update && !cmd->watch)
		return print_document(cmd, info);
	r = dv_sandbox_diag(cmd->sandbox, &cmd->diag, &cmd->err);
	if (r < 0)
		return r;
	cmd->loop = dv_diag_loop(cmd->diag);
	return diag_inspect(cmd);
}

static int inspect_main(const struct dv_verb *verb, int argc, char **argv)
{
	struct diag_cmd cmd = { .verb = verb,
				.timeout_ms = -1,
				.watch_ms = 1000,
				.levels = DV_DIAG_DEPTH_ALL,
				.stdout_src = DV_SRC_INIT,
				.err = DV_ERR_INIT };
	int rest = 1, taken = 0;
	int r = dv_opts_parse(verb, argc, argv, &cmd, &rest, &cmd.err);

	if (r == DV_OPTS_HELP)
		return dv_help_verb(verb);
	cmd.usage = r < 0;
	if (r == 0)
		r = dv_target_sandbox(&cmd.sandbox, argc - rest, argv + rest,
				      cmd.latest, NULL, &taken, &cmd.usage,
				      &cmd.err);
	cmd.argc = argc - rest - taken;
	cmd.argv = argv + rest + taken;
	if (r == 0 && cmd.argc > 1) {
		r = dv_opts_too_much(verb, cmd.argv[1], &cmd.err);
		cmd.usage = true;
	}
	if (r == 0)
		r = inspect(&cmd);
	diag_close(&cmd);
	return r < 0 ? dv_report(&cmd.err, cmd.json, cmd.usage ? 2 : 1) : r;
}

const struct dv_verb dv_verb_inspect = {
	.name = "inspect",
	.args = "[OPTIONS] NAME [PATH]",
	.summary = "show the tree of live state of a sandbox",
	.opts = opts,
	.n_opts = DV_ARRAY_LEN(opts),
	.usage_status = 2,
	.complete = DV_COMPLETE_SANDBOX,
	.more = DV_COMPLETE_TREE,
	.main = inspect_main,
	.prose = "Show what is known of the sandbox NAME, as a tree, from PATH "
		 "on: its processes, streams, limits and usage, control group, "
		 "mounts, connections, log and keeper. It is looked up live. "
		 "Of a sandbox that has ended there is its last document, as "
		 "JSON.\n\n"
		 "# EXAMPLES\n\n"
		 "  davit inspect web\n"
		 "  davit inspect -w web limits\n"
		 "  davit inspect --json -l 1 web",
};
