/* SPDX-License-Identifier: MIT */
#include "runtime/keeper/save.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/def.h"
#include "base/fd.h"
#include "runtime/store/priv.h"
#include "services/served.h"

/* ---- saving ------------------------------------------------------------- */

static struct dv_served served(struct dv_keeper *k)
{
	return (struct dv_served){
		.procs = k->procs,
		.servers = { k->server, k->diag },
		.data = k->data,
		.door = k->door,
		.log = k->log,
	};
}

/* A deep copy of what it was asked to be, by way of its bytes. */
static int save_kept(const struct dv_keeper *k, dv_KeeperState *out,
		     struct dv_err *err)
{
	dv_autobuf buf = DV_BUF_INIT(DV_STORE_KEPT_MAX);
	int r = dv_pb_encode(dv_KeptSandbox_fields, &k->kept, &buf, err);

	if (r == 0)
		r = dv_pb_decode(dv_KeptSandbox_fields, buf.data, buf.len,
				 &out->kept, err);
	out->has_kept = r == 0;
	return r;
}

static int save_self(struct dv_keeper *k, dv_KeeperState *out)
{
	dv_autofree char *info = dv_sandbox_info_json(&k->info);

	out->version = DV_KEEPER_STATE_VERSION;
	out->software = strdup("davit " DV_VERSION);
	out->backoff_ms = k->backoff_ms;
	out->timed_out = k->timed_out;
	out->begun_ns = k->begun_ns;
	out->ttl_at_ns = k->ttl.loop ? k->ttl.at_ns : 0;
	out->active_ns = k->last_activity_ns;
	out->nofile_soft = k->nofile.rlim_cur;
	out->nofile_hard = k->nofile.rlim_max;
	out->group = k->group ? strdup(k->group) : NULL;
	dv_keeper_health_save(k, out);
	if (!info || !out->software || (k->group && !out->group))
		return -ENOMEM;
	return dv_pieces_add(&out->info, &out->info_count, info, strlen(info));
}

int dv_keeper_save(struct dv_keeper *k, dv_KeeperState *out,
		   struct dv_reexec_fds *keep, struct dv_err *err)
{
	struct dv_served s = served(k);
	int r = dv_served_save(&s, &out->served, dv_reexec_keep, keep, err);

	out->has_served = r == 0;
	if (r == 0)
		r = save_kept(k, out, err);
	if (r < 0)
		return r;
	out->lock = dv_save_fd(k->dirs.home.lock, keep);
	out->state_lock = dv_save_fd(k->dirs.statelock, keep);
	r = save_self(k, out);
	if (r == 0)
		r = dv_run_save(k->run, &out->run, keep);
	out->has_run = r == 0;
	if (r == 0)
		r = dv_keeper_io_save(k, &out->streams, keep);
	out->has_streams = r == 0;
	if (r == 0)
		r = dv_keeper_net_save(k, out, keep);
	return r < 0 ? dv_err_sys(err, -r, "save the state") : 0;
}

/* ---- the document ------------------------------------------------------- */

/* What every state of this version has. */
static bool is_complete(const dv_KeeperState *st)
{
	return st->has_kept && st->kept.has_spec && st->kept.has_keep &&
	       st->kept.id && st->has_run && st->run.has_process &&
	       st->has_streams && st->has_served && st->served.has_procs &&
	       st->lock && st->served.door;
}

int dv_keeper_load(int fd, dv_KeeperState *st, struct dv_err *err)
{
	int r = dv_reexec_load(fd, dv_KeeperState_fields, st, err);

	if (r < 0)
		return r;
	if (st->version != DV_KEEPER_STATE_VERSION)
		return dv_err_set(err, EPROTO, DV_PRECONDITION,
				  "the saved state has version %u, this "
				  "program understands %d",
				  st->version, DV_KEEPER_STATE_VERSION);
	if (!is_complete(st))
		return dv_err_set(err, EPROTO, DV_DATA_LOSS,
				  "the saved state is not complete");
	return 0;
}

/* ---- taking it over ----------------------------------------------------- */

static int restore_info(struct dv_keeper *k, const dv_KeeperState *st,
			struct dv_err *err)
{
	dv_autobuf text = DV_BUF_INIT(DV_STORE_DOC_MAX);
	int r;

	for (pb_size_t i = 0; i < st->info_count; i++)
		dv_buf_put(&text, st->info[i]->bytes, st->info[i]->size);
	if (dv_buf_status(&text) < 0)
		return dv_err_sys(err, ENOMEM, "take over the document");
	k->info.size = sizeof(k->info);
	r = dv_info_parse(&k->info, text.data ? text.data : "", text.len, err);
	dv_fmt(k->info.version, sizeof(k->info.version), "%s", DV_VERSION);
	return r;
}

static int restore_self(struct dv_keeper *k, dv_KeeperState *st,
			struct dv_err *err)
{
	k->kept = st->kept;
	st->kept = (dv_KeptSandbox)dv_KeptSandbox_init_zero;
	st->has_kept = false;
	k->detached = k->adopts = k->named = true;
	k->backoff_ms = st->backoff_ms;
	k->timed_out = st->timed_out;
	k->begun_ns = st->begun_ns;
	k->nofile.rlim_cur = st->nofile_soft;
	k->nofile.rlim_max = st->nofile_hard;
	k->upgrade_calls = st->upgrade_calls;
	k->group = dv_take_ptr(&st->group);
	return dv_spec_decode(&k->spec, &k->kept.spec, err);
}

/* The clocks go on; nobody's activity was this. */
static void restore_times(struct dv_keeper *k, const dv_KeeperState *st)
{
	dv_keeper_time(k);
	k->last_activity_ns = st->active_ns;
	if (st->ttl_at_ns)
		dv_timer_set(k->loop, &k->ttl, st->ttl_at_ns, k->ttl.fn);
	/* It looks for itself whether that is long enough ago. */
	if (k->idle.loop)
		dv_timer_set(k->loop, &k->idle, dv_now_ns(), k->idle.fn);
}

static int restore(struct dv_keeper *k, dv_KeeperState *st, struct dv_err *err)
{
	struct dv_served s;
	int r = restore_self(k, st, err);

	if (r == 0)
		r = restore_info(k, st, err);
	if (r == 0)
		r = dv_store_reclaim(&k->dirs, k->kept.id, k->info.name,
				     dv_fd_from_state(st->lock),
				     dv_fd_from_state(st->state_lock), err);
	if (r == 0)
		r = dv_run_restore(&k->run, k->loop, &st->run, &k->dirs.home,
				   err);
	if (r == 0)
		r = dv_keeper_io_resume(k, &st->streams, err);
	if (r < 0)
		return r;
	k->resumed = &st->served;
	r = dv_keeper_serve(k, err);
	k->resumed = NULL;
	if (r < 0)
		return r;
	dv_keeper_watch(k);
	s = served(k);
	dv_served_restore(&s, &st->served);
	dv_keeper_net_restore(k, st);
	restore_times(k, st);
	dv_keeper_health_resume(k, st);
	/* In the words of this program. */
	dv_keeper_changed(k);
	return 0;
}

int dv_keeper_restore(struct dv_keeper **keeperp, struct dv_loop *loop,
		      dv_KeeperState *st, struct dv_err *err)
{
	struct dv_keeper *k = dv_keeper_alloc(loop);

	*keeperp = k;
	if (!k)
		return dv_err_sys(err, ENOMEM, "take a sandbox over");
	return restore(k, st, err);
}
