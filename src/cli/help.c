/* SPDX-License-Identifier: MIT */
#include "cli/help.h"

#include <string.h>
#include <unistd.h>

#include "base/fd.h"
#include "cli/report.h"
#include "cli/verbs.h"

enum { COLUMN = 28, WIDTH = 80, TEXT_MAX = 256 * 1024 };

bool dv_opt_shown(const struct dv_opt *opt)
{
	return opt->help != NULL;
}

static void spaces(struct dv_buf *out, size_t n)
{
	while (n--)
		dv_buf_putc(out, ' ');
}

void dv_help_wrap(struct dv_buf *out, const char *text, size_t at,
		  size_t indent, size_t width)
{
	bool first = true;

	while (*text) {
		size_t len = strcspn(text, " ");

		if (at < indent) {
			spaces(out, indent - at);
			at = indent;
		}
		if (!first && at + 1 + len > width) {
			dv_buf_putc(out, '\n');
			spaces(out, indent);
			at = indent;
		} else if (!first) {
			dv_buf_putc(out, ' ');
			at++;
		}
		dv_buf_put(out, text, len);
		at += len;
		first = false;
		text += len;
		text += strspn(text, " ");
	}
	dv_buf_putc(out, '\n');
}

static void put_option(struct dv_buf *out, const struct dv_opt *opt)
{
	size_t start = out->len;

	if (opt->letter)
		dv_buf_putf(out, "  -%c, ", opt->letter);
	else
		dv_buf_puts(out, "      ");
	dv_buf_putf(out, "--%s", opt->name);
	if (opt->arg)
		dv_buf_putf(out, "%s%s", dv_opt_optional(opt) ? "" : " ",
			    opt->arg);
	if (out->len - start > COLUMN - 2) {
		dv_buf_putc(out, '\n');
		start = out->len;
	}
	dv_help_wrap(out, opt->help, out->len - start, COLUMN, WIDTH);
}

static void put_options(struct dv_buf *out, const struct dv_verb *verb)
{
	const struct dv_opt *opt;
	const char *group = "";

	for (size_t n = 0; (opt = dv_verb_opt(verb, n)); n++) {
		if (!dv_opt_shown(opt))
			continue;
		if (strcmp(group, opt->group) != 0)
			dv_buf_putf(out, "\n%s:\n", opt->group);
		group = opt->group;
		put_option(out, opt);
	}
}

/* "exec [OPTIONS] CMD..." and what it does, one a line. */
static void put_subs(struct dv_buf *out, const struct dv_verb *verb)
{
	const struct dv_verb *sub;

	dv_buf_puts(out, "\nVerbs:\n");
	for (size_t n = 0; (sub = verb->sub_at(n)); n++) {
		size_t start = out->len;

		dv_buf_putf(out, "  %s", sub->name);
		dv_help_wrap(out, sub->summary, out->len - start, 16, WIDTH);
	}
	sub = verb->sub_at(0);
	dv_buf_putf(out, "\ndavit %sVERB --help explains one of them.\n",
		    dv_verb_before(sub));
}

int dv_help_verb(const struct dv_verb *verb)
{
	dv_autobuf out = DV_BUF_INIT(TEXT_MAX);
	const char *end = strstr(verb->prose, "\n\n");

	dv_buf_putf(&out, "usage: davit %s%s%s%s\n\n", dv_verb_before(verb),
		    verb->name, *verb->args ? " " : "", verb->args);
	/* The first paragraph; the man page has them all. */
	if (*verb->prose) {
		dv_autobuf first = DV_BUF_INIT(TEXT_MAX);

		dv_buf_put(&first, verb->prose,
			   end ? (size_t)(end - verb->prose)
			       : strlen(verb->prose));
		if (dv_buf_status(&first) == 0)
			dv_help_wrap(&out, first.data, 0, 0, WIDTH);
	}
	if (verb->sub_at)
		put_subs(&out, verb);
	put_options(&out, verb);
	/* Sub-verbs are part of another page. */
	if (end && !verb->before)
		dv_buf_putf(&out, "\nman davit-%s says more.\n", verb->name);
	return dv_print(&out);
}

static void put_verbs(struct dv_buf *out)
{
	const struct dv_verb *verb;

	for (size_t n = 0; (verb = dv_verb_at(n)); n++) {
		if (verb->hidden)
			continue;
		dv_buf_putf(out, "  davit %s", verb->name);
		spaces(out, 12 - strlen(verb->name));
		dv_buf_putf(out, "%s\n", verb->summary);
	}
}

static void put_usage(struct dv_buf *out)
{
	dv_buf_puts(out, "usage: davit VERB [OPTIONS] ...\n\n");
	put_verbs(out);
	dv_buf_puts(out, "\ndavit VERB --help explains one of them.\n");
}

void dv_help_usage(void)
{
	dv_autobuf out = DV_BUF_INIT(TEXT_MAX);

	put_usage(&out);
	dv_write_full(STDERR_FILENO, out.data, out.len);
}

int dv_help_all(void)
{
	dv_autobuf out = DV_BUF_INIT(TEXT_MAX);

	dv_buf_puts(&out, "davit runs a command on the far side of an "
			  "isolation boundary, and keeps\nhold of it.\n\n");
	put_usage(&out);
	return dv_print(&out);
}
