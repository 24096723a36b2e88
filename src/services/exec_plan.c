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
		     const struct dv_procs_opts *opts, struct dv_err *err)
{
	const char *const *base = opts->env;
	const dv_Process *like = base ? NULL : opts->like;
	int r = 0;

	if (like && !rq->clear_env && !rq->env_count) {
		plan->msg.process.env = like->env;
		plan->msg.process.env_count = like->env_count;
		return 0;
	}
	if (!rq->clear_env)
		for (; base && *base; base++)
			dv_plan_env(plan, *base);
	for (pb_size_t i = 0; like && !rq->clear_env && i < like->env_count;
	     i++)
		dv_plan_env(plan, like->env[i]);
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

/* ---- who it is ---------------------------------------------------------- */

/* One that is asked for; groups that cannot be set are those of all. */
static int put_ids(struct dv_plan *plan, const dv_Ids *ids,
		   const dv_Process *like)
{
	dv_Process *p = &plan->msg.process;
	size_t size = ids->groups_count * sizeof(*ids->groups);

	p->has_ids = true;
	p->ids = *ids;
	p->ids.groups = NULL;
	if (like)
		p->ids.keep_groups = like->has_ids && like->ids.keep_groups;
	if (!size)
		return 0;
	p->ids.groups = dv_plan_alloc(plan, size);
	if (!p->ids.groups)
		return -ENOMEM;
	memcpy(p->ids.groups, ids->groups, size);
	return 0;
}

static bool same_ids(const dv_Ids *a, const dv_Ids *b)
{
	return a->uid == b->uid && a->gid == b->gid;
}

static int check_ids(const dv_Ids *ids, const struct dv_procs_opts *opts,
		     struct dv_err *err)
{
	const dv_Process *like = opts->like;

	if (!like)
		return 0;
	/* Without a user namespace they would be somebody else of the host. */
	if (!opts->sandbox &&
	    !(like->has_ids && same_ids(ids, &like->ids) && !ids->groups_count))
		return dv_err_set(err, EPERM, DV_DENIED,
				  "to become user %u:%u needs a user namespace",
				  ids->uid, ids->gid);
	if (like->has_ids && like->ids.keep_groups && ids->groups_count) {
		dv_err_hint(err, "an ordinary user's sandbox has one group");
		return dv_err_set(err, EPERM, DV_DENIED,
				  "no supplementary groups can be set here");
	}
	return 0;
}

/*
 * Never more than the first process has. Another user has none of them, and can
 * get none: what the first one may not gain, nobody may. Who becomes root has
 * what was given to the first process by name.
 */
static void put_caps(dv_Process *p, const dv_Process *like)
{
	p->has_caps = like->has_caps;
	p->caps = like->caps;
	if (!like->has_caps || !p->has_ids || !like->has_ids ||
	    p->ids.uid == like->ids.uid)
		return;
	p->caps.inheritable = 0;
	p->caps.ambient = 0;
	if (p->ids.uid != 0)
		p->caps.permitted = 0;
}

/* ---- as the first process ----------------------------------------------- */

/* @p has what the first process has, so far. */
static int check_rlimit(const dv_Rlimit *want, const dv_Process *p,
			struct dv_err *err)
{
	for (pb_size_t i = 0; i < p->rlimits_count; i++) {
		const dv_Rlimit *l = &p->rlimits[i];

		if (l->resource == want->resource && want->hard > l->hard)
			return dv_err_set(
				err, EPERM, DV_DENIED,
				"resource limit %u: %llu is more than the "
				"sandbox's %llu",
				want->resource, (unsigned long long)want->hard,
				(unsigned long long)l->hard);
	}
	return 0;
}

/* What confines the first process; everything is borrowed from there. */
static int confine(struct dv_plan *plan, const dv_ExecRequest *rq,
		   const dv_Process *like, struct dv_err *err)
{
	dv_Process *p = &plan->msg.process;
	int r = 0;

	for (pb_size_t i = 0; i < like->rlimits_count; i++)
		dv_plan_rlimit(plan, like->rlimits[i].resource,
			       like->rlimits[i].soft, like->rlimits[i].hard);
	for (pb_size_t i = 0; i < rq->rlimits_count && r == 0; i++)
		r = check_rlimit(&rq->rlimits[i], p, err);
	if (!p->cwd)
		p->cwd = like->cwd;
	if (!p->has_ids) {
		p->has_ids = like->has_ids;
		p->ids = like->ids;
	}
	put_caps(p, like);
	p->no_new_privs = like->no_new_privs;
	p->seccomp = like->seccomp;
	p->seccomp_more = like->seccomp_more;
	p->has_landlock = like->has_landlock;
	p->landlock = like->landlock;
	p->has_nice = like->has_nice;
	p->nice = like->nice;
	p->has_oom_score_adj = like->has_oom_score_adj;
	p->oom_score_adj = like->oom_score_adj;
	p->has_umask = like->has_umask;
	p->umask = like->umask;
	return r;
}

static int check(const dv_ExecRequest *rq, struct dv_err *err)
{
	/* An empty one is a file that is not there, as for execve(). */
	if (!rq->argv_count)
		return bad(err, "no command was given");
	if (rq->rows > UINT16_MAX || rq->cols > UINT16_MAX)
		return bad(err,
			   "a terminal has at most 65535 rows and columns");
	if (rq->take_terminal && !rq->terminal)
		return bad(err, "there is no terminal to take");
	return 0;
}

int dv_exec_plan(struct dv_plan *plan, const dv_ExecRequest *rq,
		 const struct dv_procs_opts *opts, struct dv_err *err)
{
	dv_Process *p = &plan->msg.process;
	int r = check(rq, err);

	if (r == 0 && rq->has_ids)
		r = check_ids(&rq->ids, opts, err);
	if (r == 0)
		r = merge_env(plan, rq, opts, err);
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
	/* Nobody would know it any more. A restart is the same process. What
	 * is in a sandbox goes with that. */
	p->death_signal = opts->sandbox ? 0 : SIGKILL;
	if (rq->has_ids)
		put_ids(plan, &rq->ids, opts->like);
	/* The one that is set last counts. */
	if (opts->nofile)
		dv_plan_rlimit(plan, RLIMIT_NOFILE, opts->nofile->rlim_cur,
			       opts->nofile->rlim_max);
	if (opts->like)
		r = confine(plan, rq, opts->like, err);
	if (r < 0)
		return r;
	for (pb_size_t i = 0; i < rq->rlimits_count; i++)
		dv_plan_rlimit(plan, rq->rlimits[i].resource,
			       rq->rlimits[i].soft, rq->rlimits[i].hard);
	r = dv_plan_status(plan);
	return r < 0 ? dv_err_sys(err, -r, "plan %s", rq->argv[0]) : 0;
}
