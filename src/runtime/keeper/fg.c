/* SPDX-License-Identifier: MIT */
/*
 * DOC: a keeper in the foreground
 *
 * A named one has its places before it begins. One without a name costs its
 * start nothing: what it would be asked is remembered, and when it has lived
 * for longer than anybody needs to look, it takes the run's directory over and
 * listens there.
 */
#include "runtime/keeper/keeper.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/def.h"
#include "wire/pb.h"

extern char **environ;

/* Others read what our caller writes. */
static int note_log(struct dv_keeper *k, const struct dv_sandbox_keep *keep,
		    struct dv_err *err)
{
	char *log = keep && keep->log ? strdup(keep->log) : NULL;

	if (!keep || !keep->log)
		return 0;
	if (!log)
		return dv_err_sys(err, ENOMEM, "keep a sandbox");
	free(k->info.log);
	k->info.log = log;
	return 0;
}

/* ---- without a name ----------------------------------------------------- */

/* From now on it can be found. */
static int attend_unnamed(struct dv_keeper *k, struct dv_err *err)
{
	int r;

	dv_run_hook(k->run, NULL, NULL);
	r = dv_run_lend(k->run, &k->dirs.home, err);
	if (r == 0)
		r = dv_keeper_attend(k, err);
	if (r == 0)
		dv_store_event(&k->dirs, "started", "");
	return r;
}

/* Whatever fails costs it only that it is not found. */
static void on_settled(struct dv_run *run)
{
	struct dv_keeper *k = run->owner;
	struct dv_err err = DV_ERR_INIT;

	if (attend_unnamed(k, &err) < 0)
		dv_log(k->log, DV_LOG_WARN, "not served: %s", err.msg);
}

static const struct dv_run_hooks unnamed = { .settled = on_settled };

static int start_unnamed(struct dv_keeper *k, const struct dv_spec *spec,
			 const struct dv_sandbox_keep *keep, struct dv_err *err)
{
	int r = dv_run_start(&k->run, k->loop, spec, err);

	if (r < 0)
		return r;
	/* The command runs already: nobody waits for the rest of this. */
	r = dv_spec_describe(spec, &k->kept.spec, err);
	if (r == 0) {
		k->kept.id = strdup(dv_run_id(k->run));
		r = k->kept.id ? dv_info_of_kept(&k->info, &k->kept, err)
			       : dv_err_sys(err, ENOMEM, "keep a sandbox");
	}
	if (r == 0)
		r = note_log(k, keep, err);
	k->info.created_unix_ns = k->run->exit.started_unix_ns;
	if (r == 0)
		dv_run_hook(k->run, &unnamed, k);
	/* Whoever opened a socket for it may say that it is there. */
	if (r == 0 && k->n_more > 0)
		r = attend_unnamed(k, err);
	return r;
}

/* ---- with a name -------------------------------------------------------- */

/* To start it again; without what only its caller could give it, it cannot. */
static int write_kept(struct dv_keeper *k, const struct dv_spec *spec,
		      struct dv_err *err)
{
	dv_Spec all = dv_Spec_init_zero;
	char cwd[PATH_MAX];
	char **env = environ;
	pb_size_t n = 0;
	int r = dv_spec_encode(spec, &all, NULL);

	dv_pb_release(dv_Spec_fields, &all);
	if (r < 0 || !getcwd(cwd, sizeof(cwd)))
		return r == -ENOMEM ? r : 0;
	while (env && env[n] && n < UINT16_MAX)
		n++;
	k->kept.environ = env;
	k->kept.environ_count = n;
	k->kept.cwd = cwd;
	r = dv_store_write_kept(&k->dirs, &k->kept, err);
	k->kept.environ = NULL;
	k->kept.environ_count = 0;
	k->kept.cwd = NULL;
	return r;
}

static int open_documents(struct dv_keeper *k, const struct dv_spec *spec,
			  const struct dv_sandbox_keep *keep,
			  struct dv_err *err)
{
	int r = dv_spec_describe(spec, &k->kept.spec, err);

	k->kept.id = strdup(k->dirs.home.id);
	if (r == 0 && !k->kept.id)
		r = dv_err_sys(err, ENOMEM, "keep a sandbox");
	if (r == 0)
		r = write_kept(k, spec, err);
	if (r == 0)
		r = dv_info_of_kept(&k->info, &k->kept, err);
	if (r == 0)
		r = note_log(k, keep, err);
	k->info.created_unix_ns = dv_unix_ns();
	return r;
}

static int start_named(struct dv_keeper *k, const struct dv_spec *spec,
		       const struct dv_sandbox_keep *keep, struct dv_err *err)
{
	int r = dv_store_claim(&k->dirs, NULL, keep->name, true, err);

	if (r < 0)
		return r;
	k->named = true;
	r = open_documents(k, spec, keep, err);
	if (r == 0)
		r = dv_run_start_in(&k->run, k->loop, spec, &k->dirs.home, err);
	if (r == 0)
		r = dv_keeper_attend(k, err);
	if (r == 0) {
		dv_store_event(&k->dirs, "created", "");
		dv_store_event(&k->dirs, "started", "");
		return 0;
	}
	k->run = dv_run_free(k->run);
	dv_keeper_serve_stop(k);
	dv_store_release(&k->dirs, true);
	k->over = true;
	return r;
}

int dv_keeper_start(struct dv_keeper **keeperp, struct dv_loop *loop,
		    const struct dv_spec *spec,
		    const struct dv_sandbox_keep *keep, struct dv_err *err)
{
	struct dv_keeper *k = dv_keeper_alloc(loop);
	int r = k ? 0 : dv_err_sys(err, ENOMEM, "keep a sandbox");

	if (r < 0)
		return dv_err_step(err, r, DV_STEP_STATE);
	k->kept.has_spec = k->kept.has_keep = true;
	if (keep)
		r = dv_keep_encode(keep, &k->kept.keep, err);
	if (r == 0 && keep)
		r = dv_keeper_doors_take(k, keep->doors, keep->n_doors, err);
	if (r == 0)
		r = keep && keep->name ? start_named(k, spec, keep, err)
				       : start_unnamed(k, spec, keep, err);
	if (r < 0) {
		dv_keeper_free(k);
		return r;
	}
	*keeperp = k;
	return 0;
}
