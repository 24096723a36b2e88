/* SPDX-License-Identifier: MIT */
#include "runtime/keeper/keeper.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/def.h"
#include "runtime/plan/spec.h"
#include "wire/pb.h"

static int oom(struct dv_err *err)
{
	return dv_err_step(err, dv_err_sys(err, ENOMEM, "keep a sandbox"),
			   DV_STEP_STATE);
}

struct dv_keeper *dv_keeper_alloc(struct dv_loop *loop)
{
	struct dv_keeper *k = calloc(1, sizeof(*k));

	if (!k)
		return NULL;
	k->loop = loop;
	k->dirs = (struct dv_kept_dirs)DV_KEPT_DIRS_INIT;
	k->again = k->ttl = k->idle = (struct dv_timer)DV_TIMER_INIT;
	k->save_again = (struct dv_timer)DV_TIMER_INIT;
	k->finish = (struct dv_defer)DV_DEFER_INIT;
	dv_keeper_log_init(k);
	return k;
}

/* ---- the beginning ------------------------------------------------------ */

static int set_id(struct dv_keeper *k, struct dv_err *err)
{
	free(k->kept.id);
	k->kept.id = strdup(k->dirs.home.id);
	return k->kept.id ? 0 : oom(err);
}

/* The places are ours: what it is is written down before anything runs. */
static int open_documents(struct dv_keeper *k, struct dv_err *err)
{
	int r = set_id(k, err);

	if (r == 0)
		r = dv_spec_decode(&k->spec, &k->kept.spec, err);
	if (r == 0)
		r = dv_info_of_kept(&k->info, &k->kept, err);
	if (r == 0)
		r = dv_store_write_kept(&k->dirs, &k->kept, err);
	if (r < 0)
		return r;
	k->info.created_unix_ns = dv_unix_ns();
	dv_keeper_changed(k);
	return 0;
}

static int begin(struct dv_keeper *k, struct dv_err *err)
{
	const char *name = k->kept.keep.name ? k->kept.keep.name : "";
	const char *id = k->kept.id && k->kept.id[0] ? k->kept.id : NULL;
	bool again = id;
	int r = dv_store_claim(&k->dirs, id, name, true, err);

	if (r < 0)
		return r;
	k->named = true;
	r = open_documents(k, err);
	if (r == 0 && k->adopts)
		dv_keeper_group(k);
	if (r == 0)
		r = dv_keeper_start_run(k, err);
	if (r == 0 && !again)
		dv_store_event(&k->dirs, "created", "");
	if (r == 0) {
		dv_store_event(&k->dirs, again ? "restarted" : "started", "");
		return 0;
	}
	/* Nothing has happened; what there was of it before stays. */
	k->run = dv_run_free(k->run);
	dv_keeper_serve_stop(k);
	dv_keeper_ungroup(k);
	dv_store_release(&k->dirs, !again);
	k->over = true;
	return r;
}

int dv_keeper_begin(struct dv_keeper **keeperp, struct dv_loop *loop,
		    dv_KeptSandbox *kept, struct dv_err *err)
{
	struct dv_keeper *k = dv_keeper_alloc(loop);
	int r;

	if (!k) {
		dv_pb_release(dv_KeptSandbox_fields, kept);
		return oom(err);
	}
	k->kept = *kept;
	*kept = (dv_KeptSandbox)dv_KeptSandbox_init_zero;
	k->kept.keep.detached = true;
	k->detached = k->adopts = true;
	if (getrlimit(RLIMIT_NOFILE, &k->nofile) < 0)
		k->nofile.rlim_cur = 0;
	r = begin(k, err);
	if (r < 0) {
		dv_keeper_free(k);
		return r;
	}
	*keeperp = k;
	return 0;
}

/* ---- what is asked of it ------------------------------------------------ */

/* Between two runs: the loop ends it, or begins the next one, at once. */
static int go_on(struct dv_keeper *k, struct dv_err *err)
{
	if (dv_timer_set(k->loop, &k->again, dv_now_ns(), dv_keeper_on_again) ==
	    0)
		return 0;
	return oom(err);
}

static int end_run(struct dv_keeper *k, int signal, int grace_ms,
		   struct dv_err *err)
{
	struct dv_run *run = k->run;

	if (!run)
		return k->again.loop ? go_on(k, err) : 0;
	if (run->state == DV_STATE_EXITED)
		return 0;
	if (run->state == DV_STATE_STOPPING) {
		dv_run_hurry(run,
			     grace_ms < 0 ? run->stop_timeout_ms : grace_ms);
		return 0;
	}
	dv_keeper_ops_stop(k);
	if (signal)
		run->stop_signal = signal;
	if (grace_ms >= 0)
		run->stop_timeout_ms = grace_ms;
	dv_run_end(run, k->timed_out ? DV_ENDED_TIMEOUT : DV_ENDED_STOP);
	return 0;
}

static int check_signal(int signal, struct dv_err *err)
{
	if (signal >= 0 && signal < _NSIG)
		return 0;
	return dv_err_set(err, EINVAL, DV_INVALID, "no signal %d", signal);
}

int dv_keeper_stop(struct dv_keeper *k, int signal, int grace_ms,
		   struct dv_err *err)
{
	int r = check_signal(signal, err);

	if (r < 0 || k->over)
		return r;
	k->stopping = true;
	k->restarting = false;
	return end_run(k, signal, grace_ms, err);
}

int dv_keeper_restart(struct dv_keeper *k, int signal, int grace_ms,
		      struct dv_err *err)
{
	const char *who = k->info.name[0] ? k->info.name : k->info.id;
	int r = check_signal(signal, err);

	if (r < 0)
		return r;
	if (!k->detached) {
		dv_err_hint(err, "stop it, and run it again");
		return dv_err_set(err, EOPNOTSUPP, DV_PRECONDITION,
				  "%s runs in a foreground: its streams are "
				  "those of its caller",
				  who);
	}
	if (k->over || k->stopping)
		return dv_verb_allowed(DV_VERB_RESTART,
				       k->over ? DV_STATE_EXITED
					       : DV_STATE_STOPPING,
				       who, err);
	k->restarting = true;
	return end_run(k, signal, grace_ms, err);
}

int dv_keeper_rename(struct dv_keeper *k, const char *name, struct dv_err *err)
{
	char *copy;
	int r = dv_store_check_name(name, err);

	if (r < 0)
		return r;
	if (!k->named) {
		dv_err_hint(err, "davit run --name gives one a name");
		return dv_err_set(err, EOPNOTSUPP, DV_PRECONDITION,
				  "a foreground run without a name keeps none");
	}
	copy = strdup(name);
	if (!copy)
		return oom(err);
	r = dv_store_rename(&k->dirs, name, err);
	if (r < 0) {
		free(copy);
		return r;
	}
	free(k->kept.keep.name);
	k->kept.keep.name = copy;
	memcpy(k->info.name, k->dirs.name, sizeof(k->info.name));
	dv_keeper_changed(k);
	return 0;
}

struct dv_run *dv_keeper_run(struct dv_keeper *k)
{
	return k->run;
}

/* ---- the end ------------------------------------------------------------ */

/* Nobody waits for what it would have said. */
static void cut_off(struct dv_keeper *k)
{
	const uint64_t now = dv_unix_ns();

	if (k->info.has_exit)
		return;
	k->info.has_exit = true;
	k->info.ended_unix_ns = now;
	k->info.exit = (struct dv_exit){
		.size = sizeof(k->info.exit),
		.code = 128 + SIGKILL,
		.signal = SIGKILL,
		.ended_by = DV_ENDED_STOP,
		.started_unix_ns = k->info.started_unix_ns,
		.exited_unix_ns = now,
	};
}

struct dv_keeper *dv_keeper_free(struct dv_keeper *k)
{
	if (!k)
		return NULL;
	dv_keeper_time_stop(k);
	dv_keeper_upgrade_stop(k);
	dv_keeper_health_stop(k);
	dv_keeper_ops_stop(k);
	dv_waiter_del(&k->waiter);
	/* Its init does not end before all of our children in it. */
	if (k->run && k->run->state != DV_STATE_EXITED) {
		dv_keeper_serve_stop(k);
		k->run = dv_run_free(k->run);
	}
	if (k->dirs.home.dirfd >= 0 && !k->over) {
		cut_off(k);
		k->done = NULL;
		dv_keeper_over(k);
	}
	dv_keeper_serve_stop(k);
	k->run = dv_run_free(k->run);
	dv_keeper_io_free(k);
	dv_keeper_ungroup(k);
	dv_spec_free(k->spec);
	dv_sandbox_info_free(&k->info);
	dv_pb_release(dv_KeptSandbox_fields, &k->kept);
	free(k->env);
	free(k);
	return NULL;
}
