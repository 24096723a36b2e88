/* SPDX-License-Identifier: MIT */
/*
 * What is done to a sandbox while it runs: pause, resume, new limits, signals.
 */
#include "runtime/keeper/keeper.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "base/def.h"
#include "base/fd.h"
#include "engine/sys.h"
#include "runtime/plan/spec.h"
#include "wire/pb.h"

enum {
	/* Processes that wait for a disk are frozen when that has answered. */
	PAUSE_MS = 10000,
};

/* ---- pause and resume --------------------------------------------------- */

static void tell_paused(struct dv_keeper *k, int r, const struct dv_err *err)
{
	if (k->svc)
		dv_keeper_svc_paused(k->svc, r, err);
}

/* One that nobody can see is paused could not be resumed, either. */
static void take_back(struct dv_keeper *k, int r, struct dv_err *err)
{
	dv_cgroup_freeze(&k->run->cg, false, NULL);
	dv_run_set_state(k->run, DV_STATE_RUNNING);
	dv_err_sys(err, -r, "write down that it is paused");
}

/* Who stops it meanwhile is not held up by it. */
static void on_frozen(struct dv_freeze *f, int r, const struct dv_err *why)
{
	struct dv_keeper *k = dv_container_of(f, struct dv_keeper, freeze);
	struct dv_err err = *why;

	if (r == 0 && k->run->state != DV_STATE_RUNNING) {
		dv_cgroup_freeze(&k->run->cg, false, NULL);
		r = dv_err_set(&err, ECANCELED, DV_ABORTED,
			       "it ends before it was paused");
	}
	if (r == 0) {
		dv_run_set_state(k->run, DV_STATE_PAUSED);
		r = k->unsaved;
	}
	if (r == 0)
		dv_store_event(&k->dirs, "paused", "");
	else if (k->unsaved && k->run->state == DV_STATE_PAUSED)
		take_back(k, r, &err);
	tell_paused(k, r, &err);
}

static int no_run(struct dv_err *err)
{
	return dv_err_set(err, ESRCH, DV_PRECONDITION, "it does not run");
}

int dv_keeper_pause(struct dv_keeper *k, struct dv_err *err)
{
	if (!k->run)
		return no_run(err);
	if (dv_freeze_runs(&k->freeze))
		return 0;
	return dv_freeze_start(&k->freeze, k->loop, &k->run->cg, PAUSE_MS,
			       on_frozen, err);
}

int dv_keeper_resume(struct dv_keeper *k, struct dv_err *err)
{
	int r;

	if (!k->run || k->run->state != DV_STATE_PAUSED)
		return dv_err_set(err, EBUSY, DV_PRECONDITION,
				  "it is not paused");
	r = dv_cgroup_freeze(&k->run->cg, false, err);
	if (r < 0)
		return r;
	dv_run_set_state(k->run, DV_STATE_RUNNING);
	dv_store_event(&k->dirs, "resumed", "");
	return 0;
}

void dv_keeper_ops_stop(struct dv_keeper *k)
{
	struct dv_err err = DV_ERR_INIT;
	int r;

	if (!dv_freeze_runs(&k->freeze))
		return;
	dv_freeze_cancel(&k->freeze);
	r = dv_err_set(&err, ECANCELED, DV_ABORTED,
		       "it ended before it was paused");
	tell_paused(k, r, &err);
}

/* ---- limits ------------------------------------------------------------- */

/* A later start begins with them; so do its documents say. */
static void keep_limits(struct dv_keeper *k, const struct dv_limits *l)
{
	struct dv_limits *is = &k->info.limits;
	dv_Limits *kept = &k->kept.spec.limits;

	if (l->memory != UINT64_MAX)
		is->memory = l->memory;
	if (l->milli_cpus != UINT32_MAX)
		is->milli_cpus = l->milli_cpus;
	if (l->pids != UINT32_MAX)
		is->pids = l->pids;
	if (l->io_weight != UINT32_MAX)
		is->io_weight = l->io_weight;
	if (k->spec)
		k->spec->limits =
			(struct dv_cgroup_limits){ is->memory, is->milli_cpus,
						   is->pids, is->io_weight };
	*kept = (dv_Limits){
		.has_memory = is->memory,
		.memory = is->memory,
		.has_milli_cpus = is->milli_cpus,
		.milli_cpus = is->milli_cpus,
		.has_pids = is->pids,
		.pids = is->pids,
		.has_io_weight = is->io_weight,
		.io_weight = is->io_weight,
	};
	k->kept.spec.has_limits = true;
}

/* Into what is stored: of one in a foreground that is more than we know. */
static int store_limits(struct dv_keeper *k, struct dv_err *err)
{
	dv_KeptSandbox kept = dv_KeptSandbox_init_zero;
	int r = dv_store_read_kept(k->info.id, &kept, err);

	if (r == -ENOENT) /* it cannot be started again */
		return 0;
	if (r == 0) {
		kept.spec.limits = k->kept.spec.limits;
		kept.spec.has_limits = kept.has_spec = true;
		r = dv_store_write_kept(&k->dirs, &kept, err);
	}
	dv_pb_release(dv_KeptSandbox_fields, &kept);
	return r;
}

int dv_keeper_update(struct dv_keeper *k, const struct dv_limits *limits,
		     struct dv_err *err)
{
	const struct dv_cgroup_limits want = {
		.memory = limits->memory,
		.milli_cpus = limits->milli_cpus,
		.pids = limits->pids,
		.io_weight = limits->io_weight,
	};
	struct dv_err own = DV_ERR_INIT;
	int r;

	if (!k->run)
		return no_run(err);
	r = dv_cgroup_update(&k->run->cg, &want, err);
	if (r < 0)
		return r;
	keep_limits(k, limits);
	if (store_limits(k, &own) < 0)
		dv_log(k->log, DV_LOG_ERROR, "%s", own.msg);
	dv_store_event(&k->dirs, "updated", "");
	dv_keeper_changed(k);
	return 0;
}

/* ---- signals ------------------------------------------------------------ */

/* Between the look and the signal the number must not become somebody else's:
 * it is looked at again while it is held. */
static void signal_one(struct dv_keeper *k, pid_t pid, int signo)
{
	dv_autofd int pidfd = dv_sys_pidfd_open(pid);

	if (pidfd >= 0 && dv_keeper_has_pid(k, pid))
		dv_sys_pidfd_signal(pidfd, signo);
}

int dv_keeper_kill_all(struct dv_keeper *k, int signo, struct dv_err *err)
{
	dv_autofree pid_t *list = NULL;
	int n;

	if (!k->run)
		return no_run(err);
	if (signo == SIGKILL) {
		k->stopping = true;
		return dv_run_kill_all(k->run, err);
	}
	if (signo < 0 || signo >= _NSIG)
		return dv_err_set(err, EINVAL, DV_INVALID, "no signal %d",
				  signo);
	n = dv_keeper_pids(k, &list);
	if (n < 0)
		return dv_err_sys(err, -n, "look for its processes");
	for (int i = 0; i < n; i++)
		signal_one(k, list[i], signo);
	return 0;
}
