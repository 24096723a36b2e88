/* SPDX-License-Identifier: MIT */
#pragma once
/*
 * For tests of keepers in their own process: see run_try.h.
 */
#include "runtime/keeper/keeper.h"
#include "runtime/run/run_try.h"

/* sh -c @script, which a stop kills at once. */
static inline struct dv_spec *try_keeper_spec(const char *script)
{
	const char *const argv[] = { "sh", "-c", script, NULL };
	struct dv_spec *s;

	CHECK_EQ(dv_spec_new(&s), 0);
	CHECK_EQ(dv_spec_argv(s, argv, NULL), 0);
	CHECK_EQ(dv_spec_stop_timeout(s, 0), 0);
	return s;
}

/* One with streams of its own, but in this process: not adopted. */
static inline int try_keeper(struct dv_keeper **kp, struct dv_loop *loop,
			     const char *script, bool terminal,
			     struct dv_err *err)
{
	struct dv_sandbox_keep keep = DV_SANDBOX_KEEP_INIT;
	dv_KeptSandbox kept = dv_KeptSandbox_init_zero;
	struct dv_spec *spec = try_keeper_spec(script);
	struct dv_keeper *k = dv_keeper_alloc(loop);
	int r;

	keep.input = true;
	keep.terminal = terminal;
	kept.has_spec = kept.has_keep = true;
	CHECK(k);
	CHECK_EQ(dv_spec_encode(spec, &kept.spec, err), 0);
	CHECK_EQ(dv_keep_encode(&keep, &kept.keep, err), 0);
	dv_spec_free(spec);
	k->kept = kept;
	k->detached = k->named = true;
	CHECK_EQ(dv_store_claim(&k->dirs, NULL, "", true, err), 0);
	k->kept.id = strdup(k->dirs.home.id);
	CHECK_EQ(dv_spec_decode(&k->spec, &k->kept.spec, err), 0);
	CHECK_EQ(dv_info_of_kept(&k->info, &k->kept, err), 0);
	r = dv_keeper_start_run(k, err);
	*kp = k;
	return r;
}
