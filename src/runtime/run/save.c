/* SPDX-License-Identifier: MIT */
/*
 * A run that goes on while its keeper executes itself anew: the children stay
 * its children, so what is needed is who they are, and by which descriptors
 * they are held.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>

#include "base/def.h"
#include "base/fd.h"
#include "runtime/run/save.h"
#include "runtime/store/store.h"

/* ---- saving ------------------------------------------------------------- */

static int save_groups(const struct dv_run *run, dv_RunState *out,
		       struct dv_reexec_fds *keep)
{
	const struct dv_cgroup *cg = &run->cg;

	out->v2_group = dv_save_fd(cg->v2_fd, keep);
	out->own_pids_v1 = cg->own_pids_v1;
	out->delegated = cg->delegated;
	out->groups = calloc(DV_CGROUP_GROUPS_MAX, sizeof(*out->groups));
	out->group_procs =
		calloc(DV_CGROUP_GROUPS_MAX, sizeof(*out->group_procs));
	if (!out->groups || !out->group_procs)
		return -ENOMEM;
	for (int i = 0; i < cg->n_dirs; i++) {
		dv_GroupState *g = &out->groups[out->groups_count++];

		g->tree = cg->tree[i];
		g->dir = strdup(cg->dirs[i]);
		if (!g->dir)
			return -ENOMEM;
	}
	for (int i = 0; i < cg->n_procs; i++)
		out->group_procs[out->group_procs_count++] =
			dv_save_fd(cg->procs_fd[i], keep);
	return 0;
}

/* A deep copy, by way of its bytes. */
static int copy_process(dv_Process *to, const dv_Process *from)
{
	dv_autobuf buf = DV_BUF_INIT(DV_STORE_KEPT_MAX);
	int r = dv_pb_encode(dv_Process_fields, from, &buf, NULL);

	return r < 0 ? r
		     : dv_pb_decode(dv_Process_fields, buf.data, buf.len, to,
				    NULL);
}

int dv_run_save(const struct dv_run *run, dv_RunState *out,
		struct dv_reexec_fds *keep)
{
	int r;

	out->state = run->state;
	out->init_pid = run->sb.init_pid;
	out->init_pidfd = dv_save_fd(run->sb.init_pidfd, keep);
	out->lifeline = dv_save_fd(run->sb.lifeline, keep);
	out->ns_flags = run->sb.ns_flags;
	out->cgroup_ns = run->sb.cgroup_ns;
	out->plain = run->plain;
	out->pid = run->proc.pid;
	out->pidfd = dv_save_fd(run->proc.pidfd, keep);
	out->stop_signal = run->stop_signal;
	out->stop_timeout_ms = run->stop_timeout_ms;
	out->started_ns = run->started_ns;
	out->started_unix_ns = run->exit.started_unix_ns;
	out->limit_at_ns = run->limit.loop ? run->limit.at_ns : 0;
	out->describe = strdup(run->describe);
	out->missing = strdup(run->missing);
	if (!out->describe || !out->missing)
		return -ENOMEM;
	r = save_groups(run, out, keep);
	if (r == 0)
		r = copy_process(&out->process, dv_run_process(run));
	out->has_process = r == 0;
	return r;
}

/* ---- and back ----------------------------------------------------------- */

/* Every descriptor belongs to the run from here on, whatever fails. */
static void take_fds(struct dv_run *run, const dv_RunState *st)
{
	run->sb.init_pidfd = dv_fd_from_state(st->init_pidfd);
	run->sb.lifeline = dv_fd_from_state(st->lifeline);
	run->proc.pidfd = dv_fd_from_state(st->pidfd);
	run->cg.v2_fd = dv_fd_from_state(st->v2_group);
	for (pb_size_t i = 0;
	     i < st->group_procs_count && i < DV_CGROUP_GROUPS_MAX; i++)
		run->cg.procs_fd[run->cg.n_procs++] =
			dv_fd_from_state(st->group_procs[i]);
}

static int take_groups(struct dv_run *run, const dv_RunState *st)
{
	struct dv_cgroup *cg = &run->cg;

	cg->own_pids_v1 = st->own_pids_v1;
	cg->delegated = st->delegated;
	for (pb_size_t i = 0; i < st->groups_count && i < DV_CGROUP_GROUPS_MAX;
	     i++) {
		cg->tree[i] = (uint8_t)st->groups[i].tree;
		cg->dirs[i] =
			strdup(st->groups[i].dir ? st->groups[i].dir : "");
		if (!cg->dirs[i])
			return -ENOMEM;
		cg->n_dirs++;
	}
	return 0;
}

static int take_texts(struct dv_run *run, const dv_RunState *st)
{
	run->missing = strdup(st->missing ? st->missing : "");
	if (st->describe)
		dv_fmt(run->describe, sizeof(run->describe), "%s",
		       st->describe);
	return run->missing ? 0 : -ENOMEM;
}

static struct dv_run *run_new(struct dv_loop *loop, const dv_RunState *st,
			      struct dv_home *home)
{
	struct dv_run *run = calloc(1, sizeof(*run));

	if (!run)
		return NULL;
	*run = (struct dv_run)DV_RUN_INIT;
	run->loop = loop;
	run->home = home;
	run->state = (enum dv_state)st->state;
	run->settled = run->swept = true;
	run->plain = st->plain;
	run->stop_signal = st->stop_signal;
	run->stop_timeout_ms = st->stop_timeout_ms;
	run->started_ns = run->begun_ns = st->started_ns;
	run->exit.started_unix_ns = st->started_unix_ns;
	memcpy(run->id, home->id, sizeof(run->id));
	run->sb.init_pid = st->init_pid;
	run->sb.ns_flags = st->ns_flags;
	run->sb.cgroup_ns = st->cgroup_ns;
	run->proc.pid = st->pid;
	take_fds(run, st);
	return run;
}

static int go_on(struct dv_run *run, const dv_RunState *st)
{
	int r = take_groups(run, st);

	if (r == 0)
		r = take_texts(run, st);
	if (r == 0)
		r = copy_process(&run->plan.msg.process, &st->process);
	run->plan.decoded = true;
	run->plan.msg.has_process = r == 0;
	if (r == 0 && !run->plain)
		r = dv_ns_resume(&run->sb);
	return r < 0 ? r : dv_run_watch(run, st->limit_at_ns);
}

int dv_run_restore(struct dv_run **runp, struct dv_loop *loop,
		   const dv_RunState *st, struct dv_home *home,
		   struct dv_err *err)
{
	struct dv_run *run;
	int r;

	if (st->state != DV_STATE_RUNNING && st->state != DV_STATE_PAUSED)
		return dv_err_set(err, EPROTO, DV_DATA_LOSS,
				  "the saved state has no run");
	run = run_new(loop, st, home);
	r = run ? go_on(run, st) : -ENOMEM;
	*runp = run;
	return r < 0 ? dv_err_sys(err, -r, "go on with a run") : 0;
}
