/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <stdbool.h>
#include <string.h>

#include "base/def.h"
#include "base/test.h"
#include "cli/opts.h"

struct got {
	bool flag, other;
	const char *value;
	int n_values;
};

static int set_flag(void *target, const struct dv_opt *opt, const char *value,
		    struct dv_err *err DV_UNUSED)
{
	struct got *g = target;

	assert_null(value);
	if (opt->which)
		g->other = true;
	else
		g->flag = true;
	return 0;
}

static int set_value(void *target, const struct dv_opt *opt DV_UNUSED,
		     const char *value, struct dv_err *err)
{
	struct got *g = target;

	g->value = value;
	g->n_values++;
	if (!strcmp(value, "bad"))
		return dv_err_set(err, EINVAL, DV_INVALID, "no good");
	return 0;
}

static const struct dv_opt opts[] = {
	{ .name = "flag",
	  .letter = 'f',
	  .group = "A",
	  .help = "Flag.",
	  .apply = set_flag },
	{ .name = "xtra",
	  .letter = 'x',
	  .group = "A",
	  .help = "Other.",
	  .apply = set_flag,
	  .which = 1 },
	{ .name = "output",
	  .letter = 'o',
	  .arg = "FILE",
	  .group = "A",
	  .help = "Value.",
	  .apply = set_value },
	{ .name = "output-format",
	  .arg = "WORD",
	  .group = "A",
	  .help = "Value.",
	  .apply = set_value },
};
static const struct dv_verb verb = { .name = "test",
				     .opts = opts,
				     .n_opts = DV_ARRAY_LEN(opts),
				     .command = true };

static int parse(char **argv, struct got *g, int *rest, struct dv_err *err)
{
	int argc = 0;

	while (argv[argc])
		argc++;
	*g = (struct got){ 0 };
	*err = (struct dv_err)DV_ERR_INIT;
	*rest = -1;
	return dv_opts_parse(&verb, argc, argv, g, rest, err);
}

/* The words themselves are not written to, only their order changes. */
#define W(s) ((char *)(uintptr_t)(s))
#define ARGV(...)                            \
	(char *[])                           \
	{                                    \
		W("test"), __VA_ARGS__, NULL \
	}

TEST(every_spelling_of_a_value_gives_the_same)
{
	char **all[] = {
		ARGV(W("-ofile"), W("cmd")),
		ARGV(W("-o"), W("file"), W("cmd")),
		ARGV(W("--output=file"), W("cmd")),
		ARGV(W("--output"), W("file"), W("cmd")),
		ARGV(W("-fofile"), W("cmd")),
		ARGV(W("-fo"), W("file"), W("--"), W("cmd")),
	};
	struct got g;
	struct dv_err err;
	int rest;

	for (size_t i = 0; i < DV_ARRAY_LEN(all); i++) {
		CHECK_EQ(parse(all[i], &g, &rest, &err), 0);
		CHECK_STR(g.value, "file");
		CHECK_EQ(g.n_values, 1);
		CHECK_STR(all[i][rest], "cmd");
	}
}

TEST(letters_in_a_cluster_are_all_applied)
{
	struct got g;
	struct dv_err err;
	int rest;

	CHECK_EQ(parse(ARGV(W("-fx")), &g, &rest, &err), 0);
	CHECK(g.flag && g.other);
	CHECK_EQ(rest, 2);
}

TEST(options_end_at_the_command)
{
	struct got g;
	struct dv_err err;
	int rest;

	CHECK_EQ(parse(ARGV(W("-f"), W("ls"), W("-x")), &g, &rest, &err), 0);
	CHECK(g.flag && !g.other);
	CHECK_EQ(rest, 2);
	CHECK_EQ(parse(ARGV(W("-"), W("-x")), &g, &rest, &err), 0);
	CHECK_EQ(rest, 1);
	CHECK_EQ(parse(ARGV(W("--"), W("-x")), &g, &rest, &err), 0);
	CHECK_EQ(rest, 2);
	CHECK(!g.other);
}

TEST(without_a_command_options_may_stand_anywhere)
{
	struct dv_verb mixed = verb;
	struct dv_err err = DV_ERR_INIT;
	struct got g = { 0 };
	char **argv = ARGV(W("a"), W("-"), W("--output"), W("v"), W("b"),
			   W("-f"), W("--"), W("-x"), W("c"));
	static const char *const want[] = { "a", "-", "b", "-x", "c" };
	int rest = -1;

	mixed.command = false;
	CHECK_EQ(dv_opts_parse(&mixed, 10, argv, &g, &rest, &err), 0);
	CHECK_STR(g.value, "v");
	CHECK(g.flag && !g.other);
	CHECK_EQ(rest, 5);
	for (size_t i = 0; i < DV_ARRAY_LEN(want); i++)
		CHECK_STR(argv[5 + i], want[i]);
}

TEST(a_value_may_look_like_an_option_or_be_empty)
{
	struct got g;
	struct dv_err err;
	int rest;

	CHECK_EQ(parse(ARGV(W("-o"), W("-f")), &g, &rest, &err), 0);
	CHECK_STR(g.value, "-f");
	CHECK(!g.flag);
	CHECK_EQ(parse(ARGV(W("--output=")), &g, &rest, &err), 0);
	CHECK_STR(g.value, "");
}

TEST(a_prefix_is_refused_and_the_full_name_suggested)
{
	struct got g;
	struct dv_err err;
	int rest;

	CHECK_EQ(parse(ARGV(W("--outpu=f")), &g, &rest, &err), -EINVAL);
	CHECK_STR(err.msg, "unknown option --outpu");
	CHECK_STR(err.hint, "did you mean --output?");
	CHECK_EQ(parse(ARGV(W("--falg")), &g, &rest, &err), -EINVAL);
	CHECK_STR(err.hint, "did you mean --flag?");
	CHECK_EQ(parse(ARGV(W("--zzzzzz")), &g, &rest, &err), -EINVAL);
	CHECK_STR(err.hint, "davit test --help lists the options");
	CHECK_EQ(parse(ARGV(W("-z")), &g, &rest, &err), -EINVAL);
	CHECK_STR(err.msg, "unknown option -z");
}

TEST(a_missing_or_unwanted_value_is_refused)
{
	struct got g;
	struct dv_err err;
	int rest;

	CHECK_EQ(parse(ARGV(W("--output")), &g, &rest, &err), -EINVAL);
	CHECK_STR(err.msg, "option --output needs a value");
	CHECK_EQ(parse(ARGV(W("-fo")), &g, &rest, &err), -EINVAL);
	CHECK_STR(err.msg, "option --output needs a value");
	CHECK_EQ(parse(ARGV(W("--flag=1")), &g, &rest, &err), -EINVAL);
	CHECK_STR(err.msg, "option --flag takes no value");
	CHECK(!g.flag);
}

TEST(what_an_option_says_is_prefixed_with_its_name)
{
	struct got g;
	struct dv_err err;
	int rest;

	CHECK_EQ(parse(ARGV(W("-obad"), W("-f")), &g, &rest, &err), -EINVAL);
	CHECK_STR(err.msg, "--output: no good");
	CHECK(!g.flag);
}

TEST(help_stops_the_parser)
{
	struct got g;
	struct dv_err err;
	int rest;

	CHECK_EQ(parse(ARGV(W("-fh"), W("--nonsense")), &g, &rest, &err),
		 DV_OPTS_HELP);
	CHECK(g.flag);
}

TEST(an_option_that_still_needs_its_value_is_known)
{
	static const struct {
		const char *word, *name;
	} rows[] = {
		{ "-o", "output" },
		{ "--output", "output" },
		{ "-fxo", "output" },
		{ "-ofile", NULL },
		{ "--output=file", NULL },
		{ "-f", NULL },
		{ "--flag", NULL },
		{ "-ofx", NULL },
		{ "--no-such", NULL },
		{ "-", NULL },
		{ "-q", NULL },
		{ "--outpu", NULL },
	};

	for (size_t i = 0; i < DV_ARRAY_LEN(rows); i++) {
		const struct dv_opt *opt =
			dv_opt_before_value(&verb, rows[i].word);

		CHECK_STR(opt ? opt->name : "-",
			  rows[i].name ? rows[i].name : "-");
	}
}
