/* SPDX-License-Identifier: MIT */
#pragma once
/*
 * Options: one table per verb. From this one table come parsing, --help, the
 * man page and the shell completions.
 *
 * Parsing follows the GNU habits: -abc, -ofile, -o file, --long=value,
 * --long value, and "--". Long names are not abbreviated, so that adding an
 * option never changes what an old command line means. Options may stand among
 * the other words, but where a command or a verb follows, they end at the first
 * word that is none. Nothing here is kept between calls; any thread.
 */
#include <stdbool.h>
#include <stddef.h>

#include <davit/err.h>

#include "base/near.h"

/* What a shell offers: for the value of an option, or the word of a verb. */
enum dv_complete {
	DV_COMPLETE_NONE = 0,
	DV_COMPLETE_FILE,
	DV_COMPLETE_DIR,
	DV_COMPLETE_WORDS,   /* the words of dv_opt.words */
	DV_COMPLETE_VERBS,   /* davit's own */
	DV_COMPLETE_TREE,    /* paths of the guest's tree, as it is then */
	DV_COMPLETE_SANDBOX, /* names of sandboxes, as they are then */
	DV_COMPLETE_N
};

struct dv_opt;

/* Positive result of an apply function: the user wants help, stop here. */
enum { DV_OPTS_HELP = 1 };

/*
 * @target is the verb's own struct, @value is borrowed from argv and NULL for
 * an option that takes none. Returns 0, DV_OPTS_HELP, or -errno with @err
 * filled; the parser puts the option in front of the message.
 */
typedef int dv_opt_fn(void *target, const struct dv_opt *opt, const char *value,
		      struct dv_err *err);

struct dv_opt {
	const char *name;  /* without dashes */
	char letter;       /* 0 = none */
	const char *arg;   /* name of the value; NULL = takes none; "[=NAME]":
			    * may be left out, or is in the same word */
	const char *group; /* heading it is listed under */
	const char *help;  /* whole sentences, one paragraph */
	dv_opt_fn *apply;
	int which; /* for @apply, where it serves several options */
	enum dv_complete complete;
	const char *words; /* "none host" */
};

struct dv_verb {
	const char *name;
	const char *args;    /* after "davit NAME", for the synopsis */
	const char *summary; /* half a sentence */
	const char *prose;   /* paragraphs, separated by an empty line */
	const struct dv_opt *opts;
	size_t n_opts;
	int usage_status; /* exit status of wrong usage: 125 or 2 */
	bool command;     /* what follows the options is a command line */
	bool hidden;
	enum dv_complete complete; /* its first word that is no option */
	enum dv_complete more;     /* the words behind that one */
	/* Words between "davit" and the name of a sub-verb, or NULL. */
	const char *before;
	/* The n-th sub-verb, NULL past the end; NULL: it has none. */
	const struct dv_verb *(*sub_at)(size_t n);
	/* @argv[0] is the verb. Returns the exit status. */
	int (*main)(const struct dv_verb *verb, int argc, char **argv);
};

/* The options that every verb has. Static. */
extern const struct dv_opt dv_opts_common[];
extern const size_t dv_n_opts_common;

/* Is the value of an option that takes one optional? */
bool dv_opt_optional(const struct dv_opt *opt);

/* "diag TARGET " or "". Static. */
const char *dv_verb_before(const struct dv_verb *verb);

/* The n-th option of @verb, the common ones last; NULL past the end. */
const struct dv_opt *dv_verb_opt(const struct dv_verb *verb, size_t n);

/* The option of that name (of @len bytes), or NULL. */
const struct dv_opt *dv_opt_find(const struct dv_verb *verb, const char *name,
				 size_t len);

/* The option whose value the word after @word ("-x", "--xx") is, or NULL. */
const struct dv_opt *dv_opt_before_value(const struct dv_verb *verb,
					 const char *word);

/*
 * Parse argv[1..argc-1], which is put in order: options come first. Returns 0
 * with *restp = index of the first word that is no option, DV_OPTS_HELP, or
 * -EINVAL and what an apply function returned.
 */
int dv_opts_parse(const struct dv_verb *verb, int argc, char **argv,
		  void *target, int *restp, struct dv_err *err);

/* The hint of wrong usage: how @verb is written. */
void dv_opts_synopsis(const struct dv_verb *verb, struct dv_err *err);
/* @word is one that @verb has no use for: -EINVAL, with its synopsis. */
int dv_opts_too_much(const struct dv_verb *verb, const char *word,
		     struct dv_err *err);
