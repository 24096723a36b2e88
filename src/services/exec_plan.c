/* SPDX-License-Identifier: MIT */
#include "services/exec_plan.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/def.h"

/* Name and value of one variable: what execve() would take at most. */
enum { ENTRY_MAX = 128 << 10 };

static int bad(struct dv_err *err, const char *what)
{
	return dv_err_set(err, EINVAL, DV_INVALID, "%s", what);
}

/* One pair: set, or remove what an earlier one or the base has set. */
static int put_env(struct dv_plan *plan, const dv_EnvPair *pair,
		   struct dv_err *err)
{
	dv_autobuf entry = DV_BUF_INIT(ENTRY_MAX);

	if (!pair->name || !pair->name[0] || strchr(pair->name, '='))
		return dv_err_set(err, EINVAL, DV_INVALID,
				  "\"%s\" cannot be the name of a variable",
				  pair->name ? pair->name : "");
	if (!pair->value) {
		dv_plan_unset_env(plan, pair->name);
		return 0;
	}
	dv_buf_puts(&entry, pair->name);
	dv_buf_putc(&entry, '=');
	dv_buf_puts(&entry, pair->value);
	if (dv_buf_status(&entry) < 0)
		return dv_err_sys(err, E2BIG, "variable %s", pair->name);
	dv_plan_env(plan, entry.data);
	return 0;
}

static int merge_env(struct dv_plan *plan, const dv_ExecRequest *rq,
		     const char *const *base, struct dv_err *err)
{
	int r = 0;

	if (!rq->clear_env)
		for (; base && *base; base++)
			dv_plan_env(plan, *base);
	for (pb_size_t i = 0; i < rq->env_count && r == 0; i++)
		r = put_env(plan, &rq->env[i], err);
	return r;
}

/* A command that we are ourselves, unless there is such a file. */
static const char *self_as(const struct dv_self_as *table, const char *file)
{
	for (; table && table->path; table++)
		if (strcmp(table->path, file) == 0 && access(file, F_OK) < 0)
			return table->exe;
	return NULL;
}

static void put_file(struct dv_plan *plan, const dv_ExecRequest *rq,
		     const struct dv_procs_opts *opts)
{
	const char *exe = rq->exe && rq->exe[0] ? rq->exe : NULL;
	const char *self =
		opts->sandbox ? NULL
			      : self_as(opts->self_as, exe ? exe : rq->argv[0]);

	if (self)
		exe = self;
	if (exe)
		plan->msg.process.exe = dv_plan_strdup(plan, exe);
}

static int put_ids(struct dv_plan *plan, const dv_Ids *ids)
{
	dv_Process *p = &plan->msg.process;
	size_t size = ids->groups_count * sizeof(*ids->groups);

	p->has_ids = true;
	p->ids = *ids;
	p->ids.groups = NULL;
	if (!size)
		return 0;
	p->ids.groups = dv_plan_alloc(plan, size);
	if (!p->ids.groups)
		return -ENOMEM;
	memcpy(p->ids.groups, ids->groups, size);
	return 0;
}

static int check(const dv_ExecRequest *rq, struct dv_err *err)
{
	if (!rq->argv_count || !rq->argv[0][0])
		return bad(err, "no command was given");
	if (rq->rows > UINT16_MAX || rq->cols > UINT16_MAX)
		return bad(err,
			   "a terminal has at most 65535 rows and columns");
	return 0;
}

int dv_exec_plan(struct dv_plan *plan, const dv_ExecRequest *rq,
		 const struct dv_procs_opts *opts, struct dv_err *err)
{
	dv_Process *p = &plan->msg.process;
	int r = check(rq, err);

	if (r == 0)
		r = merge_env(plan, rq, opts->env, err);
	if (r < 0)
		return r;
	plan->msg.has_process = true;
	for (pb_size_t i = 0; i < rq->argv_count; i++)
		dv_plan_arg(plan, rq->argv[i]);
	put_file(plan, rq, opts);
	if (rq->cwd && rq->cwd[0])
		p->cwd = dv_plan_strdup(plan, rq->cwd);
	p->terminal = rq->terminal;
	p->rows = rq->rows;
	p->cols = rq->cols;
	p->new_session = true;
	/* Nobody would know it any more. A restart is the same process. */
	p->death_signal = SIGKILL;
	/* The one that is set last counts. */
	if (opts->nofile)
		dv_plan_rlimit(plan, RLIMIT_NOFILE, opts->nofile->rlim_cur,
			       opts->nofile->rlim_max);
	for (pb_size_t i = 0; i < rq->rlimits_count; i++)
		dv_plan_rlimit(plan, rq->rlimits[i].resource,
			       rq->rlimits[i].soft, rq->rlimits[i].hard);
	if (rq->has_ids)
		put_ids(plan, &rq->ids);
	r = dv_plan_status(plan);
	return r < 0 ? dv_err_sys(err, -r, "plan %s", rq->argv[0]) : 0;
}
