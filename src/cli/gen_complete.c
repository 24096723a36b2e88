/* SPDX-License-Identifier: MIT */
/*
 * Completions for bash, zsh and fish. All three offer verbs, then options and
 * their values; once the command has begun they hand over to its completion.
 */
#include <string.h>

#include "base/def.h"
#include "cli/gen.h"
#include "cli/help.h"
#include "cli/verbs.h"

static const struct dv_verb *shown_verb(size_t *np)
{
	const struct dv_verb *verb;

	while ((verb = dv_verb_at((*np)++)))
		if (!verb->hidden)
			return verb;
	return NULL;
}

static const struct dv_opt *shown_opt(const struct dv_verb *verb, size_t *np)
{
	const struct dv_opt *opt;

	while ((opt = dv_verb_opt(verb, (*np)++)))
		if (dv_opt_shown(opt))
			return opt;
	return NULL;
}

/* The help up to the first full stop, safe between single quotes. */
static void gist(struct dv_buf *out, const char *help, const char *avoid)
{
	for (const char *p = help; *p && !(*p == '.' && (!p[1] || p[1] == ' '));
	     p++) {
		if (*p == '\'')
			dv_buf_puts(out, "'\\''");
		else if (strchr(avoid, *p))
			dv_buf_putc(out, ' ');
		else
			dv_buf_putc(out, *p);
	}
}

/* Alternatives of a case: "-e|--env", for options that take a value. */
static void bash_values(struct dv_buf *out, const struct dv_verb *verb)
{
	const struct dv_opt *opt;
	size_t n = 0;

	while ((opt = shown_opt(verb, &n))) {
		if (!opt->arg || dv_opt_optional(opt))
			continue;
		dv_buf_puts(out, "\t\t");
		if (opt->letter)
			dv_buf_putf(out, "-%c|", opt->letter);
		dv_buf_putf(out, "--%s) ", opt->name);
		if (opt->complete == DV_COMPLETE_WORDS)
			dv_buf_putf(out,
				    "COMPREPLY=($(compgen -W '%s' -- "
				    "\"$cur\")); ",
				    opt->words);
		else if (opt->complete == DV_COMPLETE_DIR)
			dv_buf_puts(out, "COMPREPLY=($(compgen -d -- "
					 "\"$cur\")); ");
		else if (opt->complete == DV_COMPLETE_FILE)
			dv_buf_puts(out, "COMPREPLY=($(compgen -f -- "
					 "\"$cur\")); ");
		dv_buf_puts(out, "return ;;\n");
	}
}

static void bash_takes(struct dv_buf *out, const struct dv_verb *verb)
{
	const struct dv_opt *opt;
	size_t n = 0;

	while ((opt = shown_opt(verb, &n))) {
		if (opt->arg && opt->letter)
			dv_buf_putf(out, "-%c|", opt->letter);
		if (opt->arg)
			dv_buf_putf(out, "--%s|", opt->name);
	}
	dv_buf_puts(out, "-) ((i++)) ;;\n");
}

/*
 * davit diag TARGET VERB: targets are files, options come from the table, and
 * davit itself is asked for what only the guest knows. bash splits words at
 * colons, so the line is split again; what it then puts back must not repeat
 * what stands before the last colon.
 */
static void bash_subs(struct dv_buf *out, const struct dv_verb *verb)
{
	const struct dv_verb *sub;
	const struct dv_opt *opt;

	dv_buf_putf(out,
		    "_davit_%s() {\n\tlocal -a w\n\tlocal c\n"
		    "\tread -ra w <<<\"${COMP_LINE:0:COMP_POINT}\"\n"
		    "\t[[ ${COMP_LINE:0:COMP_POINT} == *[[:blank:]] ]] && "
		    "w+=('')\n\tc=${w[-1]}\n\tcase ${#w[@]} in\n"
		    "\t3) COMPREPLY=($(compgen -f -- \"${c#*:}\"));"
		    " compopt -o filenames; return ;;\n"
		    "\t4) COMPREPLY=($(compgen -W '",
		    verb->name);
	for (size_t n = 0; (sub = verb->sub_at(n)); n++)
		dv_buf_putf(out, "%s ", sub->name);
	dv_buf_puts(out, "' -- \"$c\")); return ;;\n\tesac\n"
			 "\tif [[ $c == -* ]]; then\n\t\tcase ${w[3]} in\n");
	for (size_t n = 0; (sub = verb->sub_at(n)); n++) {
		size_t k = 0;

		dv_buf_putf(out, "\t\t%s) COMPREPLY=($(compgen -W '",
			    sub->name);
		while ((opt = shown_opt(sub, &k)))
			dv_buf_putf(out, "--%s ", opt->name);
		dv_buf_puts(out, "' -- \"$c\")) ;;\n");
	}
	dv_buf_putf(out,
		    "\t\tesac\n\t\treturn\n\tfi\n"
		    "\tlocal IFS=$'\\n'\n"
		    "\tCOMPREPLY=($(davit complete %s \"${w[2]}\" \"${w[3]}\" "
		    "\"$c\" 2>/dev/null))\n"
		    "\tif ((${#COMPREPLY[@]})); then\n"
		    "\t\tcompopt -o nospace\n"
		    "\t\t[[ $c == *:* ]] && COMPREPLY=("
		    "\"${COMPREPLY[@]#\"${c%%:*}:\"}\")\n"
		    "\telse\n\t\tCOMPREPLY=($(compgen -f -- \"$c\"))\n"
		    "\tfi\n}\n",
		    verb->name);
}

static void bash_verb(struct dv_buf *out, const struct dv_verb *verb)
{
	const struct dv_opt *opt;
	size_t n = 0;

	if (verb->sub_at) {
		bash_subs(out, verb);
		return;
	}

	dv_buf_putf(out,
		    "_davit_%s() {\n\tlocal i\n"
		    "\tfor ((i = 2; i < COMP_CWORD; i++)); do\n"
		    "\t\tcase ${COMP_WORDS[i]} in\n\t\t",
		    verb->name);
	bash_takes(out, verb);
	dv_buf_puts(out, "\t\t--) ((i++)); break ;;\n\t\t-*) ;;\n"
			 "\t\t*) break ;;\n\t\tesac\n\tdone\n");
	if (verb->command)
		dv_buf_puts(out,
			    "\tif ((i < COMP_CWORD)) || [[ i -eq COMP_CWORD"
			    " && $cur != -* && $prev == -- ]]; then\n"
			    "\t\tdeclare -F _command_offset >/dev/null &&"
			    " _command_offset $i\n\t\treturn\n\tfi\n");
	dv_buf_puts(out, "\tcase $prev in\n");
	bash_values(out, verb);
	dv_buf_puts(out, "\tesac\n\tif [[ $cur != -* ]]; then\n");
	if (verb->command)
		dv_buf_puts(out, "\t\tCOMPREPLY=($(compgen -c -- \"$cur\"))\n");
	else
		dv_buf_puts(out, "\t\t:\n");
	dv_buf_puts(out, "\t\treturn\n\tfi\n\tCOMPREPLY=($(compgen -W '");
	while ((opt = shown_opt(verb, &n)))
		dv_buf_putf(out, "--%s ", opt->name);
	dv_buf_puts(out, "' -- \"$cur\"))\n}\n");
}

void dv_gen_bash(struct dv_buf *out)
{
	const struct dv_verb *verb;
	size_t n = 0;

	dv_buf_puts(out, "# bash completion for davit\n");
	while ((verb = shown_verb(&n)))
		bash_verb(out, verb);
	dv_buf_puts(out, "_davit() {\n"
			 "\tlocal cur=${COMP_WORDS[COMP_CWORD]}\n"
			 "\tlocal prev=${COMP_WORDS[COMP_CWORD - 1]}\n"
			 "\tif ((COMP_CWORD == 1)); then\n"
			 "\t\tCOMPREPLY=($(compgen -W '");
	n = 0;
	while ((verb = shown_verb(&n)))
		dv_buf_putf(out, "%s ", verb->name);
	dv_buf_puts(out, "--help --version' -- \"$cur\"))\n\t\treturn\n\tfi\n"
			 "\tdeclare -F \"_davit_${COMP_WORDS[1]}\" >/dev/null "
			 "&& \"_davit_${COMP_WORDS[1]}\"\n}\n"
			 "complete -F _davit davit\n");
}

static void zsh_option(struct dv_buf *out, const struct dv_opt *opt)
{
	dv_buf_puts(out, "\t\t");
	if (opt->letter)
		dv_buf_putf(out, "'*'{-%c%s,--%s%s}", opt->letter,
			    opt->arg ? "+" : "", opt->name,
			    opt->arg ? "=" : "");
	else
		dv_buf_putf(out, "'*--%s%s'", opt->name, opt->arg ? "=" : "");
	dv_buf_puts(out, "'[");
	gist(out, opt->help, "[]:\\");
	dv_buf_puts(out, "]");
	if (opt->arg) {
		dv_buf_puts(out, ":value:");
		if (opt->complete == DV_COMPLETE_WORDS)
			dv_buf_putf(out, "(%s)", opt->words);
		else if (opt->complete == DV_COMPLETE_FILE)
			dv_buf_puts(out, "_files");
		else if (opt->complete == DV_COMPLETE_DIR)
			dv_buf_puts(out, "_files -/");
		else
			dv_buf_puts(out, " ");
	}
	dv_buf_puts(out, "' \\\n");
}

static void zsh_subs(struct dv_buf *out, const struct dv_verb *verb)
{
	const struct dv_verb *sub;
	const struct dv_opt *opt;

	dv_buf_putf(out, "\t%s)\n\t\tlocal -a subs found\n\t\tsubs=(\n",
		    verb->name);
	for (size_t n = 0; (sub = verb->sub_at(n)); n++) {
		dv_buf_putf(out, "\t\t\t'%s:", sub->name);
		gist(out, sub->summary, ":");
		dv_buf_puts(out, "'\n");
	}
	dv_buf_puts(out, "\t\t)\n\t\tif ((CURRENT == 2)); then\n"
			 "\t\t\t_files\n\t\telif ((CURRENT == 3)); then\n"
			 "\t\t\t_describe verb subs\n"
			 "\t\telif [[ $PREFIX == -* ]]; then\n"
			 "\t\t\tcase $words[3] in\n");
	for (size_t n = 0; (sub = verb->sub_at(n)); n++) {
		size_t k = 0;

		dv_buf_putf(out, "\t\t\t%s) compadd --", sub->name);
		while ((opt = shown_opt(sub, &k)))
			dv_buf_putf(out, " --%s", opt->name);
		dv_buf_puts(out, " ;;\n");
	}
	dv_buf_putf(out,
		    "\t\t\tesac\n\t\telse\n"
		    "\t\t\tfound=(${(f)\"$(davit complete %s \"$words[2]\" "
		    "\"$words[3]\" \"$PREFIX\" 2>/dev/null)\"})\n"
		    "\t\t\tif (($#found)); then\n"
		    "\t\t\t\tcompadd -S '' -- $found\n"
		    "\t\t\telse\n\t\t\t\t_files\n\t\t\tfi\n\t\tfi ;;\n",
		    verb->name);
}

static void zsh_verb(struct dv_buf *out, const struct dv_verb *verb)
{
	const struct dv_opt *opt;
	size_t n = 0;

	if (verb->sub_at) {
		zsh_subs(out, verb);
		return;
	}

	dv_buf_putf(out, "\t%s) _arguments -S -s \\\n", verb->name);
	while ((opt = shown_opt(verb, &n)))
		zsh_option(out, opt);
	dv_buf_puts(out, verb->command ? "\t\t'(-)1: :_command_names -e' "
					 "'*:: :_normal' ;;\n"
				       : "\t\t'*: :' ;;\n");
}

void dv_gen_zsh(struct dv_buf *out)
{
	const struct dv_verb *verb;
	size_t n = 0;

	dv_buf_puts(out, "#compdef davit\n_davit() {\n\tlocal -a verbs\n"
			 "\tverbs=(\n");
	while ((verb = shown_verb(&n)))
		dv_buf_putf(out, "\t\t'%s:%s'\n", verb->name, verb->summary);
	dv_buf_puts(out, "\t)\n\tif ((CURRENT == 2)); then\n"
			 "\t\t_describe verb verbs\n\t\treturn\n\tfi\n"
			 "\tlocal verb=$words[2]\n"
			 "\tshift words; ((CURRENT--))\n\tcase $verb in\n");
	n = 0;
	while ((verb = shown_verb(&n)))
		zsh_verb(out, verb);
	dv_buf_puts(out, "\tesac\n}\n_davit \"$@\"\n");
}

static void fish_option(struct dv_buf *out, const struct dv_verb *verb,
			const struct dv_opt *opt)
{
	dv_buf_putf(out,
		    "complete -c davit -n '__fish_seen_subcommand_from %s'",
		    verb->name);
	if (opt->letter)
		dv_buf_putf(out, " -s %c", opt->letter);
	dv_buf_putf(out, " -l %s", opt->name);
	if (opt->arg && opt->complete == DV_COMPLETE_FILE)
		dv_buf_puts(out, " -r -F");
	else if (opt->arg && opt->complete == DV_COMPLETE_DIR)
		dv_buf_puts(out, " -x -a '(__fish_complete_directories)'");
	else if (opt->arg && opt->complete == DV_COMPLETE_WORDS)
		dv_buf_putf(out, " -x -a '%s'", opt->words);
	else if (opt->arg)
		dv_buf_puts(out, " -x");
	dv_buf_puts(out, " -d '");
	gist(out, opt->help, "\\'");
	dv_buf_puts(out, "'\n");
}

static void fish_subs(struct dv_buf *out, const struct dv_verb *verb)
{
	const struct dv_verb *sub;
	const struct dv_opt *opt;

	dv_buf_putf(out,
		    "function __davit_%s\n"
		    "\tset -l w (commandline -opc)\n"
		    "\tset -l c (commandline -ct)\n\tswitch (count $w)\n"
		    "\tcase 2\n\t\t__fish_complete_path $c\n"
		    "\tcase 3\n\t\tprintf '%%s\\t%%s\\n'",
		    verb->name);
	for (size_t n = 0; (sub = verb->sub_at(n)); n++) {
		dv_buf_putf(out, " %s '", sub->name);
		gist(out, sub->summary, "\\'");
		dv_buf_puts(out, "'");
	}
	dv_buf_puts(out, "\n\tcase '*'\n"
			 "\t\tif string match -q -- '-*' $c\n"
			 "\t\t\tswitch $w[4]\n");
	for (size_t n = 0; (sub = verb->sub_at(n)); n++) {
		size_t k = 0;

		dv_buf_putf(out, "\t\t\tcase %s\n\t\t\t\tprintf '%%s\\n'",
			    sub->name);
		while ((opt = shown_opt(sub, &k)))
			dv_buf_putf(out, " --%s", opt->name);
		dv_buf_putc(out, '\n');
	}
	dv_buf_putf(out,
		    "\t\t\tend\n\t\telse\n"
		    "\t\t\tdavit complete %s $w[3] $w[4] \"$c\" 2>/dev/null\n"
		    "\t\tend\n\tend\nend\n"
		    "complete -c davit -n '__fish_seen_subcommand_from %s' "
		    "-f -a '(__davit_%s)'\n",
		    verb->name, verb->name, verb->name);
}

void dv_gen_fish(struct dv_buf *out)
{
	const struct dv_verb *verb;
	size_t n = 0;

	dv_buf_puts(out, "# fish completion for davit\n");
	while ((verb = shown_verb(&n))) {
		const struct dv_opt *opt;
		size_t k = 0;

		dv_buf_putf(out,
			    "complete -c davit -n __fish_use_subcommand "
			    "-f -a %s -d '%s'\n",
			    verb->name, verb->summary);
		if (verb->sub_at)
			fish_subs(out, verb);
		while ((opt = shown_opt(verb, &k)))
			fish_option(out, verb, opt);
	}
	dv_buf_puts(out,
		    "complete -c davit -n '__fish_seen_subcommand_from run'"
		    " -a '(__fish_complete_subcommand)'\n");
}
