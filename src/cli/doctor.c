/* SPDX-License-Identifier: MIT */
#include <davit/doctor.h>

#include <string.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/def.h"
#include "base/fd.h"
#include "base/json.h"
#include "cli/help.h"
#include "cli/report.h"
#include "cli/verbs.h"

struct doctor {
	bool want_json;
	struct dv_buf out;
	struct dv_json json;
};

static int set_json(void *target, const struct dv_opt *opt DV_UNUSED,
		    const char *value DV_UNUSED, struct dv_err *err DV_UNUSED)
{
	((struct doctor *)target)->want_json = true;
	return 0;
}

const struct dv_opt dv_doctor_opts[] = {
	{ .name = "json",
	  .group = "Output",
	  .help = "Print one JSON document.",
	  .apply = set_json },
};
const size_t dv_n_doctor_opts = DV_ARRAY_LEN(dv_doctor_opts);

static void as_text(struct dv_buf *out, const struct dv_check *c)
{
	dv_buf_putf(out, "%s  %s", dv_check_name(c->result), c->name);
	for (size_t n = strlen(c->name); n < 16; n++)
		dv_buf_putc(out, ' ');
	dv_buf_putf(out, " %s\n", c->text);
	if (c->fix[0])
		dv_buf_putf(out, "      fix: %s\n", c->fix);
}

static void as_json(struct dv_json *j, const struct dv_check *c)
{
	dv_json_open(j, NULL, '{');
	dv_json_str(j, "name", c->name);
	dv_json_str(j, "result", dv_check_name(c->result));
	dv_json_str(j, "text", c->text);
	dv_json_str(j, "fix", c->fix);
	dv_json_close(j, '}');
}

static void on_check(void *arg, const struct dv_check *check)
{
	struct doctor *d = arg;

	if (d->want_json)
		as_json(&d->json, check);
	else
		as_text(&d->out, check);
}

static int check_all(struct doctor *d)
{
	int failed;

	if (d->want_json) {
		dv_json_open(&d->json, NULL, '{');
		dv_json_open(&d->json, "checks", '[');
	}
	failed = dv_doctor(on_check, d);
	if (d->want_json) {
		dv_json_close(&d->json, ']');
		dv_json_i64(&d->json, "failed", failed);
		dv_json_close(&d->json, '}');
		dv_buf_putc(&d->out, '\n');
	}
	return dv_print(&d->out) || failed;
}

int dv_doctor_main(const struct dv_verb *verb, int argc, char **argv)
{
	struct doctor d = { .out = DV_BUF_INIT(256 << 10) };
	struct dv_err err = DV_ERR_INIT;
	int rest = 1, r, status;

	d.json = (struct dv_json)DV_JSON_INIT(&d.out);
	r = dv_opts_parse(verb, argc, argv, &d, &rest, &err);
	if (r == DV_OPTS_HELP)
		return dv_help_verb(verb);
	if (r == 0 && rest < argc)
		r = dv_opts_too_much(verb, argv[rest], &err);
	status = r < 0 ? dv_report(&err, d.want_json, 2) : check_all(&d);
	dv_buf_free(&d.out);
	return status;
}
