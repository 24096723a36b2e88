/* SPDX-License-Identifier: MIT */
/*
 * Making the set of conditions.
 */
#include "runtime/client/expect.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/def.h"
#include "base/fmt.h"
#include "base/opts.h"
#include "runtime/client/sandbox.h"

int dv_expect_new(struct dv_expect **xp, struct dv_sandbox *sb,
		  const struct dv_expect_opts *opts, struct dv_err *err)
{
	struct dv_expect_opts o = DV_EXPECT_OPTS_INIT;
	struct dv_sandbox_log_opts lo = DV_SANDBOX_LOG_INIT;
	int r = opts ? dv_opts_copy(&o, sizeof(o), opts, err) : 0;
	struct dv_expect *x;

	*xp = NULL;
	if (r < 0)
		return r;
	x = calloc(1, sizeof(*x));
	if (x)
		x->streams = calloc(DV_EXPECT_STREAMS, sizeof(*x->streams));
	if (!x || !x->streams) {
		free(x);
		return dv_err_sys(err, ENOMEM, "wait for a sandbox");
	}
	for (int i = 0; i < DV_EXPECT_STREAMS; i++)
		x->streams[i].line.parts = (struct dv_buf)DV_BUF_INIT(
			DV_EXPECT_LINE_MAX * sizeof(struct dv_expect_part));
	x->loop = sb->loop;
	x->src = (struct dv_src)DV_SRC_INIT;
	dv_fmt(x->id, sizeof(x->id), "%s", sb->id);
	lo.follow = true;
	lo.streams = o.streams;
	lo.offset = o.offset;
	lo.since_unix_ns = o.since_unix_ns;
	lo.this_run = o.this_run;
	r = dv_sandbox_log_open_id(x->id, &x->log, &lo, true, err);
	if (r < 0)
		dv_expect_free(x);
	else
		*xp = x;
	return r;
}

struct dv_expect *dv_expect_free(struct dv_expect *x)
{
	if (!x)
		return NULL;
	dv_expect_cancel(x);
	for (size_t i = 0; i < x->n_conds; i++)
		if (x->conds[i].kind == DV_EXPECT_MATCH)
			regfree(&x->conds[i].re);
	for (int i = 0; i < DV_EXPECT_STREAMS; i++)
		dv_buf_free(&x->streams[i].line.parts);
	dv_sandbox_log_free(x->log);
	free(x->streams);
	free(x->conds);
	free(x);
	return NULL;
}

/* Room for one more. */
static struct dv_expect_cond *new_cond(struct dv_expect *x,
				       enum dv_expect_kind kind, int *rp,
				       struct dv_err *err)
{
	struct dv_expect_cond *more;

	if (x->result || x->n_conds == DV_EXPECT_MAX) {
		*rp = dv_err_sys(err, x->result ? EBUSY : E2BIG,
				 "add a condition");
		return NULL;
	}
	if (!x->log->reader && kind != DV_EXPECT_EXIT &&
	    kind != DV_EXPECT_DEADLINE) {
		*rp = dv_err_set(err, ENOENT, DV_NOT_FOUND,
				 "sandbox %s has no log", x->id);
		return NULL;
	}
	more = reallocarray(x->conds, x->n_conds + 1, sizeof(*more));
	if (!more) {
		*rp = dv_err_sys(err, ENOMEM, "add a condition");
		return NULL;
	}
	x->conds = more;
	more += x->n_conds;
	*more = (struct dv_expect_cond){ .kind = kind };
	*rp = (int)x->n_conds;
	return more;
}

int dv_expect_match(struct dv_expect *x, const char *regex, struct dv_err *err)
{
	int r, n;
	struct dv_expect_cond *cond = new_cond(x, DV_EXPECT_MATCH, &n, err);
	char why[128];

	if (!cond)
		return n;
	r = regcomp(&cond->re, regex, REG_EXTENDED);
	if (r != 0) {
		regerror(r, &cond->re, why, sizeof(why));
		return dv_err_set(err, EINVAL, DV_INVALID,
				  "pattern \"%.150s\": %s", regex, why);
	}
	x->n_conds++;
	return n;
}

static int add_timed(struct dv_expect *x, enum dv_expect_kind kind, int ms,
		     struct dv_err *err)
{
	struct dv_expect_cond *cond;
	int n;

	if (ms < 0)
		return dv_err_set(err, EINVAL, DV_INVALID,
				  "a time of %d ms is none", ms);
	cond = new_cond(x, kind, &n, err);
	if (!cond)
		return n;
	cond->ns = (uint64_t)ms * 1000000;
	x->n_conds++;
	return n;
}

int dv_expect_end(struct dv_expect *x, struct dv_err *err)
{
	return add_timed(x, DV_EXPECT_END, 0, err);
}

int dv_expect_exit(struct dv_expect *x, struct dv_err *err)
{
	return add_timed(x, DV_EXPECT_EXIT, 0, err);
}

int dv_expect_idle(struct dv_expect *x, int ms, struct dv_err *err)
{
	return add_timed(x, DV_EXPECT_IDLE, ms, err);
}

int dv_expect_deadline(struct dv_expect *x, int ms, struct dv_err *err)
{
	return add_timed(x, DV_EXPECT_DEADLINE, ms, err);
}
