/* SPDX-License-Identifier: MIT */
/*
 * DOC: the life of what is kept
 *
 *	begin -> [ run -> its end -> its output's end ] -> over
 *	            ^                    |
 *	            +-- back-off <-------+  restart policy, or restart
 *
 * A run's end is its exit record; its output's is the end of its streams, at
 * most two seconds later. Between two runs there is none, and it is CREATING.
 * Over, it is first told by documents, then its directory goes and with it the
 * lock, and then the calls that wait for it are answered: who has been told
 * finds it as it was told.
 */
#include "runtime/keeper/keeper.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/def.h"
#include "base/fmt.h"
#include "base/path.h"
#include "runtime/keeper/io.h"

enum {
	BACKOFF_MS = 100,
	BACKOFF_MAX_MS = 60000,
	CALM_MS = 10000, /* after so long a life the back-off begins anew */
	/* A full disk has no event for who waits for room. */
	SAVE_AGAIN_MS = 1000,
};

#define MS_NS UINT64_C(1000000)

static void log_failure(struct dv_keeper *k, int r, const struct dv_err *err)
{
	if (r < 0)
		dv_log(k->log, DV_LOG_ERROR, "%s", err->msg);
}

/* ---- the document ------------------------------------------------------- */

static enum dv_state state_of(const struct dv_keeper *k)
{
	if (k->over)
		return DV_STATE_EXITED;
	if (!k->run)
		return k->stopping ? DV_STATE_STOPPING : DV_STATE_CREATING;
	/* It has ended, but not all of what it wrote is read. */
	return k->run->state == DV_STATE_EXITED ? DV_STATE_STOPPING
						: k->run->state;
}

/* Replace a text; without memory it stays as it was. */
static void set_text(char **field, const char *text)
{
	char *copy = strdup(text);

	if (!copy)
		return;
	free(*field);
	*field = copy;
}

static void set_missing(struct dv_keeper *k)
{
	dv_autobuf text = DV_BUF_INIT(8192);

	dv_buf_puts(&text, dv_run_missing(k->run));
	if (k->adopts && !k->group)
		dv_buf_puts(&text, "a control group of its own for the keeper: "
				   "it is in that of its creator\n");
	if (dv_buf_status(&text) == 0)
		set_text(&k->info.missing, text.data ? text.data : "");
}

void dv_keeper_describe(struct dv_keeper *k)
{
	struct dv_run *run = k->run;
	char path[sizeof(k->dirs.state) + 8];

	set_text(&k->info.describe, dv_run_describe(run));
	set_missing(k);
	set_text(&k->info.cgroup, run->cg.v2_fd >= 0 && run->cg.n_dirs > 0
					  ? run->cg.dirs[0]
					  : "");
	if (k->io &&
	    dv_path_join(path, sizeof(path), k->dirs.state, "log") == 0)
		set_text(&k->info.log, path);
	k->info.started_unix_ns = run->exit.started_unix_ns;
	k->info.ended_unix_ns = 0;
	k->info.has_exit = false;
}

static void refresh(struct dv_keeper *k)
{
	struct dv_sandbox_info *info = &k->info;

	info->state = state_of(k);
	info->keeper_pid = k->over ? 0 : getpid();
	info->pid = k->run ? k->run->proc.pid : 0;
	info->init_pid = k->run ? k->run->sb.init_pid : 0;
	if (k->run)
		info->stop_timeout_ms = k->run->stop_timeout_ms;
}

static void on_save_again(struct dv_timer *timer)
{
	dv_keeper_save_now(
		dv_container_of(timer, struct dv_keeper, save_again));
}

/* 0, or the first of what could not be written. */
static int write_state(struct dv_keeper *k, bool begins, struct dv_err *err)
{
	int r = dv_store_write_state(&k->dirs, &k->info, begins, err);

	k->unbegun = begins ? r : 0;
	k->unsaved = r;
	/* How it is now is another file: can that be written? */
	if (k->unbegun)
		k->unsaved =
			dv_store_write_state(&k->dirs, &k->info, false, NULL);
	return r;
}

/* Others believe what is written: it must come to be true. */
static void save(struct dv_keeper *k, bool begins)
{
	struct dv_err err = DV_ERR_INIT;
	int before = k->unbegun ? k->unbegun : k->unsaved, r = 0;

	refresh(k);
	if (k->over)
		k->unsaved = k->unbegun = 0;
	else
		r = write_state(k, begins || k->unbegun, &err);
	if (r != before)
		log_failure(k, r, &err);
	if (r)
		dv_timer_set(k->loop, &k->save_again,
			     dv_now_ns() + SAVE_AGAIN_MS * MS_NS,
			     on_save_again);
	else
		dv_timer_stop(&k->save_again);
}

void dv_keeper_save_now(struct dv_keeper *k)
{
	if (k->unsaved || k->unbegun)
		save(k, false);
}

void dv_keeper_changed(struct dv_keeper *k)
{
	save(k, false);
	if (k->svc)
		dv_keeper_svc_changed(k->svc);
}

/* ---- what ends it by time ----------------------------------------------- */

static void end_by_time(struct dv_keeper *k)
{
	if (k->over || k->stopping)
		return;
	k->timed_out = true;
	dv_keeper_stop(k, 0, -1, NULL);
}

static void on_ttl(struct dv_timer *timer)
{
	end_by_time(dv_container_of(timer, struct dv_keeper, ttl));
}

/* Clients' processes, or somebody who writes to it. */
static bool in_use(const struct dv_keeper *k)
{
	uint32_t own = k->health ? dv_keeper_health_running(k->health) : 0;

	return (k->procs && dv_procs_count(k->procs).running > own) ||
	       (k->io && k->io->in.from >= 0);
}

static void on_idle(struct dv_timer *timer)
{
	struct dv_keeper *k = dv_container_of(timer, struct dv_keeper, idle);
	uint64_t after = k->kept.keep.idle_ms * MS_NS, now = dv_now_ns();

	if (in_use(k))
		k->last_activity_ns = now;
	if (k->last_activity_ns + after > now) {
		dv_timer_set(k->loop, &k->idle, k->last_activity_ns + after,
			     on_idle);
		return;
	}
	end_by_time(k);
}

void dv_keeper_touch(struct dv_keeper *k)
{
	k->last_activity_ns = dv_now_ns();
}

void dv_keeper_time(struct dv_keeper *k)
{
	const dv_Keep *keep = &k->kept.keep;
	uint64_t now = dv_now_ns();

	dv_keeper_touch(k);
	if (keep->ttl_ms && !k->ttl.loop)
		dv_timer_set(k->loop, &k->ttl, now + keep->ttl_ms * MS_NS,
			     on_ttl);
	if (keep->idle_ms)
		dv_timer_set(k->loop, &k->idle, now + keep->idle_ms * MS_NS,
			     on_idle);
}

void dv_keeper_time_stop(struct dv_keeper *k)
{
	dv_timer_stop(&k->ttl);
	dv_timer_stop(&k->idle);
	dv_timer_stop(&k->again);
	dv_timer_stop(&k->save_again);
	dv_defer_del(&k->finish);
}

/* ---- a start ------------------------------------------------------------ */

/* @nofile was raised for ourselves only. */
static int start_run(struct dv_keeper *k, struct dv_err *err)
{
	struct rlimit ours;
	bool lower = k->nofile.rlim_cur && getrlimit(RLIMIT_NOFILE, &ours) == 0;
	int r;

	if (lower)
		setrlimit(RLIMIT_NOFILE, &k->nofile);
	r = dv_run_start_in(&k->run, k->loop, k->spec, &k->dirs.home, err);
	if (lower)
		setrlimit(RLIMIT_NOFILE, &ours);
	return r;
}

int dv_keeper_start_run(struct dv_keeper *k, struct dv_err *err)
{
	int r = k->detached ? dv_keeper_io_plan(k, err) : 0;

	if (r == 0 && k->adopts)
		r = dv_keeper_enter(k, err);
	if (r == 0)
		r = start_run(k, err);
	if (k->adopts)
		dv_keeper_leave(k);
	if (r == 0)
		r = dv_keeper_attend(k, err);
	return r;
}

/* ---- its end ------------------------------------------------------------ */

static void tell_end(struct dv_keeper *k, const char *event)
{
	const struct dv_exit *e = &k->info.exit;
	char more[128];

	dv_fmt(more, sizeof(more),
	       "\"code\":%d,\"signal\":%d,\"ended_by\":\"%s\"", (int)e->code,
	       (int)e->signal, dv_ended_by_name(e->ended_by));
	dv_store_event(&k->dirs, event, more);
}

static void write_end(struct dv_keeper *k)
{
	struct dv_err err = DV_ERR_INIT;

	k->over = true;
	refresh(k);
	if (k->named && !k->kept.keep.remove)
		log_failure(k, dv_store_write_exit(&k->dirs, &k->info, &err),
			    &err);
	tell_end(k, "exited");
	if (k->named && k->kept.keep.remove)
		dv_store_event(&k->dirs, "removed", "");
}

/* Answers that a client does not take are not waited for. */
static void flush(struct dv_keeper *k)
{
	if (k->server && dv_server_flush(k->server) == DV_MORE)
		dv_log(k->log, DV_LOG_DEBUG, "answers are left");
}

void dv_keeper_over(struct dv_keeper *k)
{
	if (k->over)
		return;
	dv_keeper_time_stop(k);
	write_end(k);
	dv_keeper_shut(k);
	dv_keeper_ungroup(k);
	dv_store_release(&k->dirs, !k->named || k->kept.keep.remove);
	if (k->svc)
		dv_keeper_svc_over(k->svc);
	flush(k);
	if (k->done)
		k->done(k);
}

static void on_finish(struct dv_defer *defer)
{
	dv_keeper_over(dv_container_of(defer, struct dv_keeper, finish));
}

static bool wants_restart(const struct dv_keeper *k)
{
	const dv_Keep *keep = &k->kept.keep;

	if (!k->detached || k->stopping)
		return false;
	if (k->restarting || keep->restart == dv_RESTART_ALWAYS)
		return true;
	return keep->restart == dv_RESTART_ON_FAILURE && k->info.exit.code &&
	       (!keep->restart_max || k->info.restarts < keep->restart_max);
}

static void decide(struct dv_keeper *k);

void dv_keeper_on_again(struct dv_timer *timer)
{
	struct dv_keeper *k = dv_container_of(timer, struct dv_keeper, again);
	struct dv_err err = DV_ERR_INIT;
	bool asked = k->restarting;

	if (k->stopping) {
		/* How the last one ended stays true, but not that all did. */
		k->info.exit.timed_out = k->timed_out;
		k->info.exit.ended_by =
			k->timed_out ? DV_ENDED_TIMEOUT : DV_ENDED_STOP;
		dv_keeper_over(k);
		return;
	}
	k->restarting = false;
	k->info.restarts += !asked;
	if (dv_keeper_start_run(k, &err) == 0) {
		dv_store_event(&k->dirs, "restarted", "");
		return;
	}
	log_failure(k, -1, &err);
	dv_keeper_failed(k, &err);
	decide(k);
}

static void again_in(struct dv_keeper *k, uint64_t ms)
{
	if (dv_timer_set(k->loop, &k->again, dv_now_ns() + ms * MS_NS,
			 dv_keeper_on_again) == 0)
		return;
	k->stopping = true;
	dv_defer_add(k->loop, &k->finish, on_finish);
}

/* Nothing of the run is left. What now? */
static void decide(struct dv_keeper *k)
{
	uint64_t lived_ms = (dv_now_ns() - k->begun_ns) / MS_NS;

	if (!wants_restart(k)) {
		dv_defer_add(k->loop, &k->finish, on_finish);
		return;
	}
	tell_end(k, "exited");
	dv_keeper_changed(k);
	if (k->restarting) {
		k->backoff_ms = 0;
		again_in(k, 0);
		return;
	}
	if (!k->backoff_ms || lived_ms >= CALM_MS)
		k->backoff_ms = BACKOFF_MS;
	again_in(k, k->backoff_ms);
	k->backoff_ms = dv_min(k->backoff_ms * 2, (uint32_t)BACKOFF_MAX_MS);
}

/* Without an init some of what clients started may still be there. */
static void end_processes(struct dv_keeper *k)
{
	dv_keeper_health_stop(k);
	dv_keeper_ops_stop(k);
	dv_keeper_net_stop(k);
	if (k->run->plain && k->procs)
		dv_procs_signal_all(k->procs, SIGKILL, NULL);
}

/* Nobody of the run's own functions is on the stack. */
static void on_settled_end(struct dv_defer *defer)
{
	struct dv_keeper *k = dv_container_of(defer, struct dv_keeper, finish);

	end_processes(k);
	if (k->io)
		dv_keeper_io_ended(k);
	if (k->detached) {
		k->run = dv_run_free(k->run);
		dv_keeper_serve_run(k);
	}
	decide(k);
}

static void on_drained(struct dv_keeper *k)
{
	dv_defer_add(k->loop, &k->finish, on_settled_end);
}

static void on_exit_of_run(struct dv_waiter *waiter, const struct dv_exit *exit)
{
	struct dv_keeper *k = dv_container_of(waiter, struct dv_keeper, waiter);

	k->info.exit = *exit;
	k->info.exit.size = sizeof(*exit);
	k->info.has_exit = true;
	k->info.ended_unix_ns = exit->exited_unix_ns;
	if (k->timed_out) {
		k->info.exit.timed_out = true;
		k->info.exit.ended_by = DV_ENDED_TIMEOUT;
	}
	dv_timer_stop(&k->idle);
	dv_keeper_changed(k);
	if (k->io)
		dv_keeper_io_finish(k, on_drained);
	else
		on_drained(k);
}

/* ---- a run that has just been started ----------------------------------- */

static void on_changed(struct dv_run *run)
{
	dv_keeper_changed(run->owner);
}

static const struct dv_run_hooks hooks = { .changed = on_changed };

void dv_keeper_watch(struct dv_keeper *k)
{
	dv_keeper_serve_run(k);
	dv_run_hook(k->run, &hooks, k);
	k->waiter.fn = on_exit_of_run;
	dv_run_on_exit(k->run, &k->waiter);
}

int dv_keeper_attend(struct dv_keeper *k, struct dv_err *err)
{
	int r = k->io ? dv_keeper_io_start(k, err) : 0;

	if (r == 0 && !k->procs)
		r = dv_keeper_serve(k, err);
	if (r < 0)
		return r;
	dv_keeper_watch(k);
	k->begun_ns = dv_now_ns();
	k->failed = (struct dv_err)DV_ERR_INIT;
	dv_keeper_describe(k);
	save(k, k->named);
	dv_keeper_time(k);
	dv_keeper_health_start(k);
	if (k->svc)
		dv_keeper_svc_changed(k->svc);
	return 0;
}

/* A later start failed: that is how this run ended. */
void dv_keeper_failed(struct dv_keeper *k, const struct dv_err *err)
{
	uint64_t now = dv_unix_ns();

	k->run = dv_run_free(k->run);
	if (k->io)
		dv_keeper_io_ended(k);
	dv_keeper_serve_run(k);
	k->begun_ns = dv_now_ns();
	k->failed = *err;
	k->info.has_exit = true;
	k->info.ended_unix_ns = now;
	k->info.exit = (struct dv_exit){
		.size = sizeof(k->info.exit),
		.code = err->step == DV_STEP_LOOKUP ? 127
			: err->step == DV_STEP_EXEC ? 126
						    : 125,
		.ended_by = DV_ENDED_KEEPER,
		.started_unix_ns = now,
		.exited_unix_ns = now,
	};
}
