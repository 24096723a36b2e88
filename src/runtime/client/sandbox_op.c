/* SPDX-License-Identifier: MIT */
/*
 * DOC: an operation on a sandbox
 *
 *	look, table of verbs --> ask the keeper --> its answer: done
 *	        |                     |
 *	        | has ended           | connection lost, or not made
 *	        v                     v
 *	   kind->ended  <--ended-- look again --lives--> wait for its end
 *
 * A keeper that dies closes its connections a moment before the kernel lets go
 * of its lock: what looks alive right after that is watched by a pidfd, for a
 * second at most. A keeper that still lives then was asked too much: the
 * operation fails with what the connection said, or asks again.
 *
 * A keeper that does not answer in time (it is stopped, or hangs) is not
 * waited for any longer: the operation fails, or, where it says so, the keeper
 * is killed, after its identity document has proved which process it is.
 */
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>

#include "base/def.h"
#include "base/fd.h"
#include "base/fmt.h"
#include "engine/sys.h"
#include "runtime/client/sandbox.h"
#include "runtime/keeper/birth.h"

enum {
	GONE_MS = 1000,
	KILLED_MS = 5000, /* what the kernel needs for it is far less */
};

/* ---- life ---------------------------------------------------------------- */

int dv_life_new(struct dv_sandbox *sb, const struct dv_life_kind *kind,
		const struct dv_how *how, struct dv_life **lifep,
		struct dv_err *err)
{
	struct dv_life *life;
	struct dv_op *op;
	int r = dv_sandbox_see(sb, kind->bare, err);

	if (r == 0 && kind->verb < DV_VERB_N)
		r = dv_verb_allowed(kind->verb, sb->info.state, sb->who, err);
	if (r == 0)
		r = dv_sandbox_client(sb, err);
	if (r == 0)
		r = dv_op_new(sb->diag, &kind->op, how, &op, err);
	if (r < 0)
		return r;
	life = calloc(1, sizeof(*life));
	if (!life) {
		dv_op_drop(op);
		return dv_err_sys(err, ENOMEM, "%s", kind->op.what);
	}
	life->op = op;
	life->sb = sb;
	life->kind = kind;
	life->fd = life->input = -1;
	life->src = (struct dv_src)DV_SRC_INIT;
	dv_fmt(life->what, sizeof(life->what), "%s %s", kind->op.what, sb->who);
	op->own = life;
	op->what = life->what;
	*lifep = life;
	return 0;
}

int dv_life_go(struct dv_life *life, int r, const pb_msgdesc_t *fields,
	       const void *msg, struct dv_err *err)
{
	struct dv_op *op = life->op;

	if (r >= 0 && fields)
		r = dv_op_put(op, true, fields, msg, err);
	return dv_op_go(op, r, err);
}

static void unwatch(struct dv_life *life)
{
	dv_src_del(&life->src);
	dv_timer_stop(&life->timer);
	life->fd = dv_close(life->fd);
}

void dv_life_deinit(struct dv_op *op)
{
	struct dv_life *life = op->own;

	if (!life)
		return;
	unwatch(life);
	dv_timer_stop(&life->patience);
	dv_close(life->input);
	free(life);
}

void dv_life_over(struct dv_life *life, int r, const struct dv_err *err)
{
	if (r != DV_MORE)
		dv_op_end(life->op, dv_min(r, 0), err);
}

/* ---- without a keeper ---------------------------------------------------- */

static int fail_lost(struct dv_life *life, struct dv_err *err)
{
	if (err)
		*err = life->lost;
	return life->lost.sys ? -life->lost.sys : -ECONNRESET;
}

static int do_ended(struct dv_life *life, struct dv_err *err)
{
	const struct dv_sandbox *sb = life->sb;
	int r;

	/* What the connection said would take the hint of this with it. */
	if (err)
		*err = (struct dv_err)DV_ERR_INIT;
	if (life->kind->ended)
		return life->kind->ended(life, err);
	r = dv_verb_allowed(life->kind->verb, sb->info.state, sb->who, err);
	return r < 0 ? r : fail_lost(life, err);
}

/* @r is what looking at it said: < 0. */
static int not_found(struct dv_life *life, int r, struct dv_err *err)
{
	if (r != -ENOENT)
		return r;
	if (life->kind->gone_is_done)
		return 0;
	return dv_err_set(err, ENOENT, DV_NOT_FOUND,
			  "it has ended, and nothing is left of it");
}

/* Its keeper has ended, or enough time has passed. */
static void on_watched(struct dv_life *life)
{
	struct dv_err err = DV_ERR_INIT;
	int r;

	unwatch(life);
	r = dv_sandbox_see(life->sb, life->kind->bare, &err);
	if (r < 0)
		r = not_found(life, r, &err);
	else if (dv_sandbox_ended(life->sb))
		r = do_ended(life, &err);
	else if (life->kind->again)
		r = dv_op_call(life->op, NULL, &err);
	else if (life->kind->kills && !life->killed)
		r = dv_life_kill_keeper(life, &err);
	else
		r = fail_lost(life, &err);
	dv_life_over(life, r, &err);
}

static void on_end(struct dv_src *src, uint32_t events DV_UNUSED)
{
	on_watched(dv_container_of(src, struct dv_life, src));
}

static void on_timer(struct dv_timer *timer)
{
	on_watched(dv_container_of(timer, struct dv_life, timer));
}

/* @pidfd is consumed; < 0: nobody knows it, and only the time counts. */
static int watch(struct dv_life *life, int pidfd, int ms, struct dv_err *err)
{
	struct dv_loop *loop = life->sb->loop;
	int r = dv_timer_set(loop, &life->timer,
			     dv_now_ns() + (uint64_t)ms * 1000000, on_timer);

	life->fd = pidfd;
	if (r == 0 && pidfd >= 0)
		r = dv_src_add(loop, &life->src, pidfd, EPOLLIN, on_end);
	return r < 0 ? dv_err_sys(err, -r, "wait for its keeper") : DV_MORE;
}

int dv_life_watch(struct dv_life *life, int ms, struct dv_err *err)
{
	int32_t pid = life->sb->info.keeper_pid;
	int fd = pid > 0 ? dv_sys_pidfd_open(pid) : -1;

	/* It has ended just now: look at once. */
	return watch(life, fd, fd == -ESRCH ? 0 : ms, err);
}

int dv_life_await_end(struct dv_life *life, int ms, struct dv_err *err)
{
	int r = dv_sandbox_see(life->sb, life->kind->bare, err);

	if (r < 0)
		return not_found(life, r, err);
	if (dv_sandbox_ended(life->sb))
		return do_ended(life, err);
	return dv_life_watch(life, ms, err);
}

/* ---- one that hangs -------------------------------------------------------
 */

int dv_life_kill_keeper(struct dv_life *life, struct dv_err *err)
{
	int32_t pid;
	dv_autofd int fd = dv_store_keeper(life->sb->id, &pid, err);
	int r;

	/* It has just ended, or not come so far yet as to say who it is. */
	if (fd == -ESRCH && !life->unknown) {
		life->unknown = true;
		return dv_life_await_end(life, KILLED_MS, err);
	}
	life->killed = true;
	if (fd == -ESRCH)
		return fail_lost(life, err);
	if (fd < 0)
		return fd;
	r = dv_sys_pidfd_signal(fd, SIGKILL);
	if (r < 0 && r != -ESRCH)
		return dv_err_sys(err, -r, "kill its keeper, process %d",
				  (int)pid);
	dv_err_set(&life->lost, EBUSY, DV_PRECONDITION,
		   "its keeper, process %d, was killed and does not end",
		   (int)pid);
	return watch(life, dv_take_fd(&fd), KILLED_MS, err);
}

static void on_patience(struct dv_timer *timer)
{
	struct dv_life *life = dv_container_of(timer, struct dv_life, patience);
	const struct dv_sandbox *sb = life->sb;
	struct dv_err err = DV_ERR_INIT;
	int r;

	if (life->op->call)
		dv_rpc_cancel(life->op->call);
	life->op->call = NULL;
	dv_err_set(&life->lost, ETIMEDOUT, DV_DEADLINE,
		   "its keeper, process %d, did not answer within %lld s",
		   (int)sb->info.keeper_pid,
		   (long long)life->patience_ms / 1000);
	if (life->kind->kills)
		dv_err_hint(&life->lost, "it has not said who it is: kill -9 "
					 "ends it, and its sandbox");
	else
		dv_err_hint(&life->lost, "davit rm -f %s ends it", sb->who);
	r = life->kind->kills ? dv_life_kill_keeper(life, &err)
			      : fail_lost(life, &err);
	dv_life_over(life, r, &err);
}

/* Does its keeper listen already, as far as anybody can see? */
static bool listens(const struct dv_sandbox *sb)
{
	int32_t pid;
	dv_autofd int fd = -1;

	if (sb->info.state == DV_STATE_CREATING)
		fd = dv_store_keeper(sb->id, &pid, NULL);
	return fd != -ESRCH;
}

static int arm_patience(struct dv_life *life, struct dv_err *err)
{
	int r;

	if (!life->patience_ms)
		return 0;
	/* Who shall die need not have begun first. */
	if (!life->kind->kills && !listens(life->sb))
		life->patience_ms += DV_BIRTH_MS;
	r = dv_timer_set(life->sb->loop, &life->patience,
			 dv_now_ns() + (uint64_t)life->patience_ms * 1000000,
			 on_patience);
	return r < 0 ? dv_err_sys(err, -r, "wait for its keeper") : 0;
}

/* ---- asking it ------------------------------------------------------------
 */

int dv_life_begin(struct dv_op *op, struct dv_err *err)
{
	struct dv_life *life = op->own;
	int r;

	if (dv_sandbox_ended(life->sb))
		return do_ended(life, err);
	r = arm_patience(life, err);
	return r < 0 ? r : dv_op_call(op, NULL, err);
}

int dv_life_reply(struct dv_op *op, const struct dv_rpc_reply *reply,
		  struct dv_err *err)
{
	struct dv_life *life = op->own;

	dv_timer_stop(&life->patience);
	if (reply->r >= 0)
		return life->kind->answer ? life->kind->answer(life, reply, err)
					  : 0;
	if (err->code == DV_UNIMPLEMENTED && life->kind->unable &&
	    !err->hint[0])
		dv_err_hint(err, "%s", life->kind->unable);
	/* Whoever is not its keeper is not one that vanished. */
	if (err->code != DV_UNAVAILABLE || reply->r == -EPERM)
		return reply->r;
	life->lost = *err;
	/* What would prove who it is lies elsewhere, too. */
	life->unknown = life->sb->elsewhere;
	return dv_life_await_end(
		life,
		life->kind->kills && !life->unknown ? DV_FORCED_MS : GONE_MS,
		err);
}
