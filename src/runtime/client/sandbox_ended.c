/* SPDX-License-Identifier: MIT */
/*
 * What is done without a keeper, when there is none (any more): to start anew,
 * to take another name, and to be forgotten.
 */
#include <errno.h>
#include <signal.h>
#include <sys/epoll.h>

#include "base/def.h"
#include "base/fd.h"
#include "base/fmt.h"
#include "runtime/client/sandbox.h"
#include "runtime/client/sandbox_create.h"
#include "runtime/keeper/birth.h"

enum {
	/* A keeper whose sandbox has ended writes its record and goes. */
	GOES_MS = 5000,
};

/*
 * A keeper that has written how it ended is still there for a moment. 0: it is
 * not, DV_MORE: @life comes back when it has gone.
 */
static int let_it_go(struct dv_life *life, struct dv_err *err)
{
	if (life->sb->info.keeper_pid <= 0 || life->waited)
		return 0;
	life->waited = true;
	dv_err_set(&life->lost, EBUSY, DV_PRECONDITION,
		   "its keeper, process %d, does not end",
		   (int)life->sb->info.keeper_pid);
	return dv_life_watch(life, GOES_MS, err);
}

/* ---- starting anew --------------------------------------------------------
 */

static void on_birth(struct dv_src *src, uint32_t events DV_UNUSED)
{
	struct dv_life *life = dv_container_of(src, struct dv_life, src);
	struct dv_err err = DV_ERR_INIT;

	dv_life_over(life, dv_keeper_born(life->fd, &err), &err);
}

static void on_unborn(struct dv_timer *timer)
{
	struct dv_life *life = dv_container_of(timer, struct dv_life, timer);
	struct dv_err err = DV_ERR_INIT;

	dv_life_over(life, dv_keeper_unborn(&err), &err);
}

static int ended_restart(struct dv_life *life, struct dv_err *err)
{
	int r = let_it_go(life, err);

	if (r != 0)
		return r;
	r = dv_keeper_bear(life->sb->id, err);
	if (r < 0)
		return r;
	life->fd = r;
	r = dv_src_add(life->sb->loop, &life->src, life->fd, EPOLLIN, on_birth);
	if (r == 0)
		r = dv_timer_set(life->sb->loop, &life->timer,
				 dv_now_ns() + DV_BIRTH_MS * UINT64_C(1000000),
				 on_unborn);
	return r < 0 ? dv_err_sys(err, -r, "watch its keeper") : DV_MORE;
}

static const struct dv_life_kind kind_restart = {
	.op = DV_LIFE_OP("restart", "Restart"),
	.verb = DV_VERB_RESTART,
	.ended = ended_restart,
};

int dv_sandbox_restart(struct dv_sandbox *sb,
		       const struct dv_sandbox_stop *stop,
		       const struct dv_how *how, struct dv_err *err)
{
	dv_StopRequest m;
	struct dv_life *life;
	int r = dv_sandbox_stop_request(stop, &m, err);

	if (r == 0)
		r = dv_life_new(sb, &kind_restart, how, &life, err);
	if (r < 0)
		return r;
	life->patience_ms = dv_sandbox_stop_patience(&sb->info, &m);
	if (life->patience_ms)
		life->patience_ms += DV_BIRTH_MS;
	return dv_life_go(life, 0, dv_StopRequest_fields, &m, err);
}

/* ---- names ----------------------------------------------------------------
 */

static int ended_rename(struct dv_life *life, struct dv_err *err)
{
	int r = let_it_go(life, err);

	return r != 0 ? r
		      : dv_store_rename_ended(life->sb->id, life->text, err);
}

static const struct dv_life_kind kind_rename = {
	.op = DV_LIFE_OP("rename", "Rename"),
	.verb = DV_VERB_RENAME,
	.ended = ended_rename,
};

int dv_sandbox_rename(struct dv_sandbox *sb, const char *name,
		      const struct dv_how *how, struct dv_err *err)
{
	dv_RenameRequest m = { .name = dv_diag_borrow(name) };
	struct dv_life *life;
	int r = dv_store_check_name(name, err);

	if (r == 0)
		r = dv_life_new(sb, &kind_rename, how, &life, err);
	if (r < 0)
		return r;
	dv_fmt(life->text, sizeof(life->text), "%s", name);
	return dv_life_go(life, 0, dv_RenameRequest_fields, &m, err);
}

/* ---- being forgotten -------------------------------------------------------
 */

static int ended_remove(struct dv_life *life, struct dv_err *err)
{
	struct dv_err own = DV_ERR_INIT;
	int r = let_it_go(life, err);

	if (r != 0)
		return r;
	r = dv_store_remove(life->sb->id, &own);
	/* It has written how all ended, and does not go. */
	if (r == -EBUSY && life->kind->kills && !life->killed) {
		life->lost = own;
		return dv_life_kill_keeper(life, err);
	}
	if (r < 0 && err)
		*err = own;
	/* It goes by itself (--rm), or somebody else was faster. */
	return r == -ENOENT ? 0 : r;
}

/* Nothing runs in it any more; its keeper has still to write that. */
static int answer_killed(struct dv_life *life,
			 const struct dv_rpc_reply *reply DV_UNUSED,
			 struct dv_err *err)
{
	dv_err_set(&life->lost, EBUSY, DV_PRECONDITION,
		   "its keeper, process %d, does not end",
		   (int)life->sb->info.keeper_pid);
	return dv_life_await_end(life, GOES_MS, err);
}

static const struct dv_life_kind kind_remove = {
	.op = DV_LIFE_OP("remove", "Stop"),
	.verb = DV_VERB_REMOVE,
	.answer = answer_killed,
	.ended = ended_remove,
	.gone_is_done = true,
};
static const struct dv_life_kind kind_remove_force = {
	.op = DV_LIFE_OP("remove", "Stop"),
	.verb = DV_VERB_N,
	.answer = answer_killed,
	.ended = ended_remove,
	.gone_is_done = true,
	.bare = true,
	.kills = true,
};

int dv_sandbox_remove(struct dv_sandbox *sb, bool force,
		      const struct dv_how *how, struct dv_err *err)
{
	dv_StopRequest m = { .signal = SIGKILL, .has_grace_ms = true };
	struct dv_life *life;
	int r = dv_life_new(sb, force ? &kind_remove_force : &kind_remove, how,
			    &life, err);

	if (r < 0)
		return r;
	life->patience_ms = DV_FORCED_MS;
	return dv_life_go(life, 0, dv_StopRequest_fields, &m, err);
}
