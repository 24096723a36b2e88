/* SPDX-License-Identifier: MIT */
#include <string.h>
#include <unistd.h>

#include "base/fd.h"
#include "cli/gen.h"
#include "cli/help.h"
#include "cli/report.h"
#include "cli/verbs.h"
#include "cli/version.h"

/* Text for roff: dashes stay dashes, and no line begins a request. */
static void roff(struct dv_buf *out, const char *s, size_t len)
{
	for (size_t i = 0; i < len; i++) {
		if (i == 0 && (s[i] == '.' || s[i] == '\''))
			dv_buf_puts(out, "\\&");
		if (s[i] == '-')
			dv_buf_puts(out, "\\-");
		else if (s[i] == '\\')
			dv_buf_puts(out, "\\e");
		else if (s[i] == '\'')
			dv_buf_puts(out, "\\(aq");
		else
			dv_buf_putc(out, s[i]);
	}
}

static void roffs(struct dv_buf *out, const char *s)
{
	roff(out, s, strlen(s));
}

static void example(struct dv_buf *out, const char *s, size_t len)
{
	dv_buf_puts(out, ".PP\n.nf\n.RS 4\n");
	while (len) {
		const char *nl = memchr(s, '\n', len);
		size_t line = nl ? (size_t)(nl - s) : len;
		size_t skip = strspn(s, " ");

		roff(out, s + skip, line - skip);
		dv_buf_putc(out, '\n');
		line += nl != NULL;
		s += line;
		len -= line;
	}
	dv_buf_puts(out, ".RE\n.fi\n");
}

static void paragraph(struct dv_buf *out, const char *s, size_t len)
{
	if (len > 2 && !strncmp(s, "# ", 2)) {
		dv_buf_puts(out, ".SH ");
		roff(out, s + 2, len - 2);
		dv_buf_putc(out, '\n');
	} else if (len > 2 && !strncmp(s, "  ", 2)) {
		example(out, s, len);
	} else {
		dv_buf_puts(out, ".PP\n");
		roff(out, s, len);
		dv_buf_putc(out, '\n');
	}
}

/* Paragraphs of @prose: those before the first section, or those from it. */
static void prose(struct dv_buf *out, const char *text, bool sections)
{
	bool in_sections = false;

	while (*text) {
		const char *end = strstr(text, "\n\n");
		size_t len = end ? (size_t)(end - text) : strlen(text);

		in_sections |= !strncmp(text, "# ", 2);
		if (in_sections == sections)
			paragraph(out, text, len);
		text += len;
		text += strspn(text, "\n");
	}
}

static void option(struct dv_buf *out, const struct dv_opt *opt)
{
	dv_buf_puts(out, ".TP\n");
	if (opt->letter)
		dv_buf_putf(out, "\\fB\\-%c\\fR, ", opt->letter);
	dv_buf_puts(out, "\\fB\\-\\-");
	roffs(out, opt->name);
	dv_buf_puts(out, "\\fR");
	if (opt->arg) {
		dv_buf_puts(out, dv_opt_optional(opt) ? "\\fI" : " \\fI");
		roffs(out, opt->arg);
		dv_buf_puts(out, "\\fR");
	}
	dv_buf_putc(out, '\n');
	roffs(out, opt->help);
	dv_buf_putc(out, '\n');
}

static void options(struct dv_buf *out, const struct dv_verb *verb)
{
	const struct dv_opt *opt;
	const char *group = "";

	dv_buf_puts(out, ".SH OPTIONS\n");
	for (size_t n = 0; (opt = dv_verb_opt(verb, n)); n++) {
		if (!dv_opt_shown(opt))
			continue;
		if (strcmp(group, opt->group) != 0)
			dv_buf_putf(out, ".SS %s\n", opt->group);
		group = opt->group;
		option(out, opt);
	}
}

/* A sub-verb: what it is, then what it can be told. */
static void sub_verb(struct dv_buf *out, const struct dv_verb *sub)
{
	dv_buf_puts(out, ".SS ");
	roffs(out, sub->name);
	dv_buf_puts(out, "\n\\fBdavit ");
	roffs(out, dv_verb_before(sub));
	roffs(out, sub->name);
	dv_buf_puts(out, "\\fR ");
	roffs(out, sub->args);
	dv_buf_putc(out, '\n');
	prose(out, sub->prose, false);
	for (size_t n = 0; n < sub->n_opts; n++)
		if (dv_opt_shown(&sub->opts[n]))
			option(out, &sub->opts[n]);
}

static void verb_page(struct dv_buf *out, const struct dv_verb *verb)
{
	dv_buf_putf(out, ".TH davit\\-%s 1 \"\" \"davit " DV_VERSION "\"\n",
		    verb->name);
	dv_buf_putf(out, ".SH NAME\ndavit\\-%s \\- %s\n", verb->name,
		    verb->summary);
	dv_buf_putf(out, ".SH SYNOPSIS\n\\fBdavit %s\\fR ", verb->name);
	roffs(out, verb->args);
	dv_buf_puts(out, "\n.SH DESCRIPTION\n");
	prose(out, verb->prose, false);
	if (verb->sub_at) {
		const struct dv_verb *sub;

		dv_buf_puts(out, ".SH VERBS\n");
		for (size_t n = 0; (sub = verb->sub_at(n)); n++)
			sub_verb(out, sub);
	}
	options(out, verb);
	prose(out, verb->prose, true);
	dv_buf_puts(out, ".SH SEE ALSO\n\\fBdavit\\fR(1)\n");
}

static void main_page(struct dv_buf *out)
{
	const struct dv_verb *verb;

	dv_buf_puts(out,
		    ".TH davit 1 \"\" \"davit " DV_VERSION "\"\n"
		    ".SH NAME\ndavit \\- run a command behind an isolation "
		    "boundary, and keep hold of it\n"
		    ".SH SYNOPSIS\n\\fBdavit\\fR \\fIVERB\\fR "
		    "[OPTIONS] ...\n.SH VERBS\n");
	for (size_t n = 0; (verb = dv_verb_at(n)); n++) {
		if (verb->hidden)
			continue;
		dv_buf_putf(out, ".TP\n\\fBdavit %s\\fR ", verb->name);
		roffs(out, verb->args);
		dv_buf_putf(out, "\n%s; see \\fBdavit\\-%s\\fR(1)\n",
			    verb->summary, verb->name);
	}
	dv_buf_puts(out,
		    ".SH EXIT STATUS\nOf run, exec, attach and wait: the "
		    "command\\(aqs own, or 124 to 127 and 128+n as their pages "
		    "say. Of other verbs: 0, 1 when the operation failed, 2 "
		    "for wrong usage.\n"
		    ".SH ENVIRONMENT\n"
		    ".TP\n\\fBDAVIT_RUNDIR\\fR, \\fBDAVIT_STATEDIR\\fR\n"
		    "Where davit keeps what it must remember: while a sandbox "
		    "lives, and until it is removed.\n"
		    ".TP\n\\fBDAVIT_LOG\\fR\n"
		    "error, warn, info, debug or trace: davit run says on "
		    "stderr what it does.\n"
		    ".TP\n\\fBNO_COLOR\\fR\nNo colors.\n");
}

void dv_gen_man(struct dv_buf *out, const struct dv_verb *verb)
{
	if (verb)
		verb_page(out, verb);
	else
		main_page(out);
}

int dv_gen(int argc, char **argv)
{
	dv_autobuf out = DV_BUF_INIT(1 << 20);
	const char *what = argc > 0 ? argv[0] : "";

	if (!strcmp(what, "man"))
		dv_gen_man(&out, argc > 1 ? dv_verb_find(argv[1]) : NULL);
	if (!out.len || dv_buf_status(&out) < 0)
		return 2;
	return dv_print(&out);
}
