/* SPDX-License-Identifier: MIT */
#include "cli/opts.h"

#include <errno.h>
#include <string.h>

#include "base/def.h"

enum { NAME_MAX_LEN = 40 };

static int apply_help(void *target DV_UNUSED,
		      const struct dv_opt *opt DV_UNUSED,
		      const char *value DV_UNUSED, struct dv_err *err DV_UNUSED)
{
	return DV_OPTS_HELP;
}

const struct dv_opt dv_opts_common[] = {
	{ .name = "help",
	  .letter = 'h',
	  .group = "Other",
	  .help = "Print this help.",
	  .apply = apply_help },
};
const size_t dv_n_opts_common = DV_ARRAY_LEN(dv_opts_common);

bool dv_opt_optional(const struct dv_opt *opt)
{
	return opt->arg && opt->arg[0] == '[';
}

const char *dv_verb_before(const struct dv_verb *verb)
{
	return verb->before ? verb->before : "";
}

const struct dv_opt *dv_verb_opt(const struct dv_verb *verb, size_t n)
{
	if (n < verb->n_opts)
		return &verb->opts[n];
	n -= verb->n_opts;
	return n < dv_n_opts_common ? &dv_opts_common[n] : NULL;
}

static const char *opt_name_at(const void *table, size_t n)
{
	const struct dv_opt *opt = dv_verb_opt(table, n);

	return opt ? opt->name : NULL;
}

const struct dv_opt *dv_opt_find(const struct dv_verb *verb, const char *name,
				 size_t len)
{
	const struct dv_opt *opt;

	for (size_t n = 0; (opt = dv_verb_opt(verb, n)); n++)
		if (!strncmp(opt->name, name, len) && !opt->name[len])
			return opt;
	return NULL;
}

static const struct dv_opt *find_letter(const struct dv_verb *verb, char letter)
{
	const struct dv_opt *opt;

	for (size_t n = 0; (opt = dv_verb_opt(verb, n)); n++)
		if (opt->letter == letter)
			return opt;
	return NULL;
}

const struct dv_opt *dv_opt_before_value(const struct dv_verb *verb,
					 const char *word)
{
	const struct dv_opt *opt = NULL;

	if (word[1] == '-') {
		opt = dv_opt_find(verb, word + 2, strlen(word + 2));
		return opt && opt->arg && !dv_opt_optional(opt) ? opt : NULL;
	}
	for (const char *p = word + 1; *p && !(opt && opt->arg); p++) {
		opt = find_letter(verb, *p);
		if (opt && opt->arg && (p[1] || dv_opt_optional(opt)))
			return NULL; /* it has its value */
	}
	return opt && opt->arg ? opt : NULL;
}

static int unknown_long(const struct dv_verb *verb, const char *name,
			size_t len, struct dv_err *err)
{
	char word[NAME_MAX_LEN + 1];
	const char *near = NULL;

	if (len <= NAME_MAX_LEN) {
		memcpy(word, name, len);
		word[len] = '\0';
		near = dv_did_you_mean(word, opt_name_at, verb);
	}
	dv_err_set(err, EINVAL, DV_INVALID, "unknown option --%.*s",
		   (int)dv_min(len, (size_t)200), name);
	if (near)
		dv_err_hint(err, "did you mean --%s?", near);
	else
		dv_err_hint(err, "davit %s%s --help lists the options",
			    dv_verb_before(verb), verb->name);
	return -EINVAL;
}

static int apply(const struct dv_opt *opt, void *target, const char *value,
		 struct dv_err *err)
{
	int r = opt->apply(target, opt, value, err);

	return r < 0 ? dv_err_wrap(err, r, "--%s", opt->name) : r;
}

static int need_value(const struct dv_opt *opt, struct dv_err *err)
{
	dv_err_set(err, EINVAL, DV_INVALID, "option --%s needs a value",
		   opt->name);
	dv_err_hint(err, "--%s %s", opt->name, opt->arg);
	return -EINVAL;
}

/* One word that starts with "--". @next is the word after it, or NULL. */
static int parse_long(const struct dv_verb *verb, const char *word,
		      const char *next, int *usedp, void *target,
		      struct dv_err *err)
{
	size_t len = strcspn(word, "=");
	const char *value = word[len] ? word + len + 1 : NULL;
	const struct dv_opt *opt = dv_opt_find(verb, word, len);

	if (!opt)
		return unknown_long(verb, word, len, err);
	if (!opt->arg && value)
		return dv_err_set(err, EINVAL, DV_INVALID,
				  "option --%s takes no value", opt->name);
	if (opt->arg && !value && !dv_opt_optional(opt)) {
		if (!next)
			return need_value(opt, err);
		value = next;
		*usedp = 2;
	}
	return apply(opt, target, value, err);
}

/* One word of letters, without its dash. */
static int parse_letters(const struct dv_verb *verb, const char *word,
			 const char *next, int *usedp, void *target,
			 struct dv_err *err)
{
	for (const char *p = word; *p; p++) {
		const struct dv_opt *opt = find_letter(verb, *p);
		const char *value = NULL;
		int r;

		if (!opt) {
			dv_err_set(err, EINVAL, DV_INVALID,
				   "unknown option -%c", *p);
			dv_err_hint(err, "davit %s%s --help lists the options",
				    dv_verb_before(verb), verb->name);
			return -EINVAL;
		}
		if (opt->arg && dv_opt_optional(opt)) {
			value = p[1] ? p + 1 : NULL;
		} else if (opt->arg) {
			value = p[1] ? p + 1 : next;
			*usedp = p[1] ? 1 : 2;
			if (!value)
				return need_value(opt, err);
		}
		r = apply(opt, target, value, err);
		if (r != 0 || opt->arg)
			return r;
	}
	return 0;
}

/* Words that are no options, [@first, @at), go behind the @n words at @at. */
static void put_behind(char **argv, int first, int at, int n)
{
	for (; n > 0; n--, first++, at++) {
		char *word = argv[at];

		memmove(argv + first + 1, argv + first,
			(size_t)(at - first) * sizeof(*argv));
		argv[first] = word;
	}
}

static int parse_word(const struct dv_verb *verb, const char *word,
		      const char *next, int *used, void *target,
		      struct dv_err *err)
{
	*used = 1;
	return word[1] == '-'
		       ? parse_long(verb, word + 2, next, used, target, err)
		       : parse_letters(verb, word + 1, next, used, target, err);
}

int dv_opts_parse(const struct dv_verb *verb, int argc, char **argv,
		  void *target, int *restp, struct dv_err *err)
{
	/* What comes behind a command or a verb is not ours. */
	bool mixed = !verb->command && !verb->sub_at;
	int first = 1, used, r;
	bool end = false;

	for (int i = 1; i < argc && !end; i += used) {
		used = 1;
		if (argv[i][0] != '-' || !argv[i][1]) {
			end = !mixed;
			continue;
		}
		end = strcmp(argv[i], "--") == 0;
		r = end ? 0
			: parse_word(verb, argv[i],
				     i + 1 < argc ? argv[i + 1] : NULL, &used,
				     target, err);
		if (r != 0)
			return r;
		put_behind(argv, first, i, used);
		first += used;
	}
	*restp = first;
	return 0;
}

void dv_opts_synopsis(const struct dv_verb *verb, struct dv_err *err)
{
	dv_err_hint(err, "davit %s%s%s%s", dv_verb_before(verb), verb->name,
		    *verb->args ? " " : "", verb->args);
}

int dv_opts_too_much(const struct dv_verb *verb, const char *word,
		     struct dv_err *err)
{
	dv_err_set(err, EINVAL, DV_INVALID, "\"%.100s\" is too much", word);
	dv_opts_synopsis(verb, err);
	return -EINVAL;
}
