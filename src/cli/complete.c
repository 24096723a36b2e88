/* SPDX-License-Identifier: MIT */
/*
 * DOC: what a word may become
 *
 * "davit complete WORD..." is given what stands after "davit" as far as the
 * cursor; the last word is unfinished. The first line of the answer says who
 * goes on:
 *
 *	words		davit: a line per candidate, with a tab and its meaning
 *	files N		the shell, with file names behind the first N bytes
 *	dirs N		the same with directories
 *	command N	the shell: a command of its own begins at WORD number N
 *
 * All that bash, zsh and fish have in common is here, and one table says what
 * there is; the scripts in completions/ only translate.
 */
#include <stdlib.h>
#include <string.h>

#include <davit/sandbox.h>

#include "base/buf.h"
#include "base/def.h"
#include "cli/diag.h"
#include "cli/help.h"
#include "cli/report.h"
#include "cli/verbs.h"

struct ask {
	struct dv_buf *out;
	const char *word;   /* the unfinished one */
	const char *target; /* of davit diag; the first word of a verb */
};

/* The help, up to where its first sentence ends. */
static void gist(struct dv_buf *out, const char *help)
{
	for (const char *p = help; *p && !(*p == '.' && (!p[1] || p[1] == ' '));
	     p++)
		dv_buf_putc(out, *p);
}

/* @head and @rest together are a candidate if they begin as the word does. */
static void offer(struct ask *ask, const char *head, const char *rest,
		  const char *help)
{
	size_t len = strlen(ask->word), head_len = strlen(head);

	if (strncmp(head, ask->word, dv_min(len, head_len)) != 0 ||
	    (len > head_len &&
	     strncmp(rest, ask->word + head_len, len - head_len) != 0))
		return;
	dv_buf_putf(ask->out, "%s%s\t", head, rest);
	gist(ask->out, help);
	dv_buf_putc(ask->out, '\n');
}

static void offer_verbs(struct ask *ask,
			const struct dv_verb *(*verb_at)(size_t n))
{
	const struct dv_verb *verb;

	dv_buf_puts(ask->out, "words\n");
	for (size_t n = 0; (verb = verb_at(n)); n++)
		if (!verb->hidden)
			offer(ask, verb->name, "", verb->summary);
}

static void offer_options(struct ask *ask, const struct dv_verb *verb)
{
	const struct dv_opt *opt;

	dv_buf_puts(ask->out, "words\n");
	for (size_t n = 0; (opt = dv_verb_opt(verb, n)); n++) {
		char letter[2] = { opt->letter, '\0' };

		if (!dv_opt_shown(opt))
			continue;
		offer(ask, "--", opt->name, opt->help);
		if (opt->letter)
			offer(ask, "-", letter, opt->help);
	}
}

/* What the value of @opt may be, which begins behind @keep bytes. */
static void offer_value(struct ask *ask, const struct dv_opt *opt, size_t keep)
{
	dv_autofree char *head = strndup(ask->word, keep);

	if (opt->complete == DV_COMPLETE_FILE) {
		dv_buf_putf(ask->out, "files %zu\n", keep);
		return;
	}
	if (opt->complete == DV_COMPLETE_DIR) {
		dv_buf_putf(ask->out, "dirs %zu\n", keep);
		return;
	}
	dv_buf_puts(ask->out, "words\n");
	for (const char *p = opt->words ? opt->words : ""; head && *p;) {
		size_t len = strcspn(p, " ");
		dv_autofree char *word = strndup(p, len);

		if (word)
			offer(ask, head, word, opt->help);
		p += len + strspn(p + len, " ");
	}
}

/* A word that begins with a dash. */
static void offer_dashed(struct ask *ask, const struct dv_verb *verb)
{
	size_t len = strcspn(ask->word, "=");
	const struct dv_opt *opt = NULL;

	if (ask->word[len] && len > 2)
		opt = dv_opt_find(verb, ask->word + 2, len - 2);
	if (opt && opt->arg)
		offer_value(ask, opt, len + 1);
	else
		offer_options(ask, verb);
}

/* Their names, and ids of those that have none, as they are now. */
static void offer_sandboxes(struct ask *ask)
{
	struct dv_sandbox_list list = { 0 };

	if (dv_sandbox_list(&list, DV_SANDBOX_ALL, NULL) < 0)
		return;
	for (size_t i = 0; i < list.n; i++) {
		const struct dv_sandbox_info *info = &list.at[i];
		const char *name = info->name[0] ? info->name : info->id;

		offer(ask, name, "", dv_state_name(info->state));
	}
	dv_sandbox_list_free(&list);
}

/* A word that is no option, of a verb that takes no command. */
static void offer_word(struct ask *ask, enum dv_complete complete)
{
	if (complete == DV_COMPLETE_FILE) {
		dv_buf_puts(ask->out, "files 0\n");
		return;
	}
	if (complete == DV_COMPLETE_VERBS) {
		offer_verbs(ask, dv_verb_at);
		return;
	}
	dv_buf_puts(ask->out, "words\n");
	if (complete == DV_COMPLETE_TREE && ask->target)
		diag_complete_inspect(ask->target, ask->word, ask->out);
	else if (complete == DV_COMPLETE_SANDBOX)
		offer_sandboxes(ask);
}

/* How many words stand before the command of @verb. */
static int words_before(const struct dv_verb *verb)
{
	return verb->complete == DV_COMPLETE_SANDBOX;
}

/* words[at] is the verb, words[n - 1] the unfinished word. */
static void complete_verb(struct ask *ask, const struct dv_verb *verb, int n,
			  char **words, int at)
{
	const struct dv_opt *opt = NULL; /* whose value the next word is */
	bool end = false;                /* no options from here */
	int i, others = 0;

	for (i = at + 1; i < n - 1; i++) {
		bool dashed = !end && words[i][0] == '-' && words[i][1];

		if (opt) {
			opt = NULL;
		} else if (dashed && !strcmp(words[i], "--")) {
			end = true;
		} else if (dashed && !(verb->command && others)) {
			opt = dv_opt_before_value(verb, words[i]);
		} else if (verb->command && others == words_before(verb)) {
			break;
		} else if (!others++ && !ask->target) {
			ask->target = words[i];
		}
	}
	if (opt)
		offer_value(ask, opt, 0);
	else if (i == n - 1 && !end && ask->word[0] == '-' &&
		 !(verb->command && others))
		offer_dashed(ask, verb);
	else if (verb->command && others < words_before(verb))
		offer_word(ask, verb->complete);
	else if (verb->command && !verb->before)
		dv_buf_putf(ask->out, "command %d\n", i);
	else if (!verb->command && (!others || verb->more))
		offer_word(ask, others ? verb->more : verb->complete);
}

/* A name, or a path behind @prefix bytes: the shell knows only one of both. */
static void offer_targets(struct ask *ask, size_t prefix)
{
	size_t at = ask->out->len;

	if (!prefix && ask->word[0] != '.' && !strchr(ask->word, '/')) {
		dv_buf_puts(ask->out, "words\n");
		offer_sandboxes(ask);
		if (strchr(ask->out->data + at, '\n')[1])
			return;
		ask->out->len = at;
	}
	dv_buf_putf(ask->out, "files %zu\n", prefix);
}

/* words[0] is the verb before all targets. */
static void complete_sub(struct ask *ask, const struct dv_verb *verb, int n,
			 char **words)
{
	const struct dv_verb *sub;
	size_t prefix = 0;

	if (n == 2) {
		/* "unix:PATH" and "vsock:PATH" */
		if (!strncmp(ask->word, "unix:", 5) ||
		    !strncmp(ask->word, "vsock:", 6))
			prefix = strcspn(ask->word, ":") + 1;
		if (ask->word[0] == '-')
			offer_options(ask, verb);
		else
			offer_targets(ask, prefix);
		return;
	}
	if (n == 3) {
		offer_verbs(ask, verb->sub_at);
		return;
	}
	ask->target = words[1];
	for (size_t k = 0; (sub = verb->sub_at(k)); k++)
		if (!strcmp(sub->name, words[2]))
			complete_verb(ask, sub, n, words, 2);
}

static void complete(struct ask *ask, int n, char **words)
{
	const struct dv_verb *verb;

	ask->word = words[n - 1];
	if (n == 1) {
		offer_verbs(ask, dv_verb_at);
		offer(ask, "--help", "", "the list of verbs");
		offer(ask, "--version", "", "the version");
		return;
	}
	verb = dv_verb_find(words[0]);
	if (verb && verb->sub_at)
		complete_sub(ask, verb, n, words);
	else if (verb)
		complete_verb(ask, verb, n, words, 0);
}

/* A shell waits and would show what we say: there are no errors here. */
int dv_complete_main(const struct dv_verb *verb DV_UNUSED, int argc,
		     char **argv)
{
	dv_autobuf out = DV_BUF_INIT(1 << 20);
	struct ask ask = { .out = &out };
	int first = argc > 1 && !strcmp(argv[1], "--") ? 2 : 1;

	if (argc > first)
		complete(&ask, argc - first, argv + first);
	dv_stdout(out.data, out.len, NULL);
	return 0;
}
