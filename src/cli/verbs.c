/* SPDX-License-Identifier: MIT */
#include "cli/verbs.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/def.h"
#include "cli/gen.h"
#include "cli/help.h"
#include "cli/report.h"
#include "cli/run_args.h"
#include "cli/version.h"

/* Parse a verb that has no options but --help, and @max words at most. */
static int no_options(const struct dv_verb *verb, int argc, char **argv,
		      int max, int *restp)
{
	struct dv_err err = DV_ERR_INIT;
	int r = dv_opts_parse(verb, argc, argv, NULL, restp, &err);

	if (r == 0 && argc - *restp > max)
		r = dv_opts_too_much(verb, argv[*restp + max], &err);
	if (r == DV_OPTS_HELP)
		return dv_help_verb(verb) ? 1 : -1;
	return r < 0 ? dv_report(&err, false, verb->usage_status) : 0;
}

static const char *verb_name_at(const void *table DV_UNUSED, size_t n)
{
	const struct dv_verb *verb = dv_verb_at(n);

	/* Nobody means a hidden one: any other name in its place. */
	if (verb && verb->hidden)
		verb = dv_verb_at(0);
	return verb ? verb->name : NULL;
}

/* What other programs of this kind call it. */
static const char *other_name(const char *name)
{
	static const struct {
		const char *theirs, *ours;
	} names[] = {
		{ "list", "ps" },        { "ls", "ps" },
		{ "start", "restart" },  { "create", "run -d" },
		{ "unpause", "resume" }, { "thaw", "resume" },
		{ "freeze", "pause" },   { "stats", "top" },
		{ "remove", "rm" },      { "delete", "rm" },
		{ "shell", "exec" },     { "enter", "exec" },
		{ "state", "inspect" },  { "status", "why" },
		{ "info", "doctor" },
	};

	for (size_t i = 0; i < DV_ARRAY_LEN(names); i++)
		if (!strcmp(names[i].theirs, name))
			return names[i].ours;
	return dv_did_you_mean(name, verb_name_at, NULL);
}

static int unknown_verb(const char *name, int status)
{
	struct dv_err err = DV_ERR_INIT;
	const char *near = other_name(name);

	dv_err_set(&err, EINVAL, DV_INVALID, "there is no verb \"%.100s\"",
		   name);
	if (near)
		dv_err_hint(&err, "did you mean davit %s?", near);
	else
		dv_err_hint(&err,
			    "davit help lists them; to run a command: "
			    "davit run -- %.60s",
			    name);
	return dv_report(&err, false, status);
}

static int help_main(const struct dv_verb *verb, int argc, char **argv)
{
	int rest = 1, r = no_options(verb, argc, argv, 1, &rest);
	const struct dv_verb *about;

	if (r != 0)
		return r < 0 ? 0 : r;
	if (rest >= argc)
		return dv_help_all();
	about = dv_verb_find(argv[rest]);
	if (!about)
		return unknown_verb(argv[rest], 2);
	return dv_help_verb(about);
}

static int version_main(const struct dv_verb *verb, int argc, char **argv)
{
	dv_autobuf out = DV_BUF_INIT(64);
	int rest = 1, r = no_options(verb, argc, argv, 0, &rest);

	if (r != 0)
		return r < 0 ? 0 : r;
	dv_buf_puts(&out, "davit " DV_VERSION "\n");
	return dv_print(&out);
}

static int gen_main(const struct dv_verb *verb, int argc, char **argv)
{
	int rest = 1, r = no_options(verb, argc, argv, 2, &rest);

	if (r != 0)
		return r < 0 ? 0 : r;
	return dv_gen(argc - rest, argv + rest);
}

static const struct dv_verb *table(size_t *np)
{
	static struct dv_verb verbs[] = {
		{ .name = "run",
		  .args = "[OPTIONS] [--] CMD [ARG...]",
		  .summary = "run a command in a new sandbox",
		  .prose = dv_prose_run,
		  .opts = dv_run_opts,
		  .usage_status = 125,
		  .command = true,
		  .main = dv_run_main },
		{ .name = "doctor",
		  .args = "[OPTIONS]",
		  .summary = "show what this machine can and cannot do",
		  .prose = dv_prose_doctor,
		  .opts = dv_doctor_opts,
		  .usage_status = 2,
		  .main = dv_doctor_main },
		{ .name = "diag",
		  .args = "TARGET VERB [OPTIONS] ...",
		  .summary = "look into a guest and work there",
		  .prose = dv_prose_diag,
		  .usage_status = 2,
		  .sub_at = dv_diag_verb_at,
		  .main = dv_diag_main },
		{ .name = "help",
		  .args = "[VERB]",
		  .summary = "explain davit or one verb",
		  .prose = dv_prose_help,
		  .usage_status = 2,
		  .complete = DV_COMPLETE_VERBS,
		  .main = help_main },
		{ .name = "version",
		  .args = "",
		  .summary = "print the version",
		  .prose = dv_prose_version,
		  .usage_status = 2,
		  .main = version_main },
		{ .name = "complete",
		  .args = "[--] WORD...",
		  .summary = "print what a word may become, for shells",
		  .prose = "",
		  .usage_status = 2,
		  .hidden = true,
		  .main = dv_complete_main },
		{ .name = "__gen",
		  .args = "man [VERB]",
		  .summary = "write man pages",
		  .prose = "",
		  .usage_status = 2,
		  .hidden = true,
		  .main = gen_main },
	};

	/* The lengths of tables in other files are no constants in C. */
	verbs[0].n_opts = dv_n_run_opts;
	verbs[1].n_opts = dv_n_doctor_opts;
	*np = DV_ARRAY_LEN(verbs);
	return verbs;
}

/* Rows that stand in the file of their verb; shown behind `run`. */
static const struct dv_verb *const others[] = {
	&dv_verb_ps,     &dv_verb_exec,    &dv_verb_logs,    &dv_verb_attach,
	&dv_verb_wait,   &dv_verb_why,     &dv_verb_stop,    &dv_verb_kill,
	&dv_verb_rm,     &dv_verb_restart, &dv_verb_pause,   &dv_verb_resume,
	&dv_verb_rename, &dv_verb_update,  &dv_verb_upgrade, &dv_verb_inspect,
	&dv_verb_top,    &dv_verb_events,  &dv_verb_keeper,
};

const struct dv_verb *dv_verb_at(size_t n)
{
	size_t count;
	const struct dv_verb *verbs = table(&count);

	if (n >= 1 && n <= DV_ARRAY_LEN(others))
		return others[n - 1];
	if (n > DV_ARRAY_LEN(others))
		n -= DV_ARRAY_LEN(others);
	return n < count ? &verbs[n] : NULL;
}

const struct dv_verb *dv_verb_find(const char *name)
{
	const struct dv_verb *verb;

	for (size_t n = 0; (verb = dv_verb_at(n)); n++)
		if (!strcmp(verb->name, name))
			return verb;
	return NULL;
}

static int unknown_option(const char *word)
{
	struct dv_err err = DV_ERR_INIT;

	dv_err_set(&err, EINVAL, DV_INVALID, "unknown option %.100s", word);
	dv_err_hint(&err, "options come after the verb: davit run %.60s ...",
		    word);
	return dv_report(&err, false, 2);
}

int dv_verbs_main(int argc, char **argv)
{
	const struct dv_verb *verb;
	const char *word = argc > 1 ? argv[1] : NULL;

	if (!word) {
		dv_help_usage();
		return 2;
	}
	if (!strcmp(word, "--help") || !strcmp(word, "-h"))
		word = "help";
	else if (!strcmp(word, "--version") || !strcmp(word, "-V"))
		word = "version";
	else if (word[0] == '-')
		return unknown_option(word);
	verb = dv_verb_find(word);
	if (!verb)
		return unknown_verb(word, 2);
	return verb->main(verb, argc - 1, argv + 1);
}
