/* SPDX-License-Identifier: MIT */
/*
 * What a keeper does with its sandbox when it is asked.
 */
#include <errno.h>
#include <signal.h>

#include "base/def.h"
#include "base/opts.h"
#include "runtime/client/sandbox.h"
#include "wire/pb.h"

enum {
	/* From its last process's death, SIGKILL at the latest, to the
	 * keeper's answer: mostly for output, which is read for 2 s more. */
	ENDED_MS = 10000,
};

/* ---- its end ------------------------------------------------------------- */

/* life->out: struct dv_exit *, or NULL. */
static int answer_end(struct dv_life *life, const struct dv_rpc_reply *reply,
		      struct dv_err *err)
{
	dv_LifeEnd m = dv_LifeEnd_init_zero;
	int r = dv_pb_decode(dv_LifeEnd_fields, reply->payload, reply->len, &m,
			     err);

	if (r < 0)
		return r;
	if (life->out && m.has_exit)
		dv_diag_exit_of_record(life->out, &m.exit);
	dv_pb_release(dv_LifeEnd_fields, &m);
	return 0;
}

static int ended_exit(struct dv_life *life, struct dv_err *err DV_UNUSED)
{
	const struct dv_sandbox_info *info = &life->sb->info;
	struct dv_exit dead = { .code = 128 + SIGKILL,
				.signal = SIGKILL,
				.ended_by = DV_ENDED_KEEPER };

	dv_exit_give(life->out, info->has_exit ? &info->exit : &dead);
	return 0;
}

static const struct dv_life_kind kind_wait = {
	.op = DV_LIFE_OP("wait for", "Wait"),
	.verb = DV_VERB_WAIT,
	.answer = answer_end,
	.ended = ended_exit,
	.again = true,
};

int dv_sandbox_wait(struct dv_sandbox *sb, struct dv_exit *exit,
		    const struct dv_how *how, struct dv_err *err)
{
	struct dv_life *life;
	int r = dv_life_new(sb, &kind_wait, how, &life, err);

	if (r < 0)
		return r;
	life->out = exit;
	return dv_life_go(life, 0, NULL, NULL, err);
}

static const struct dv_life_kind kind_stop = {
	.op = DV_LIFE_OP("stop", "Stop"),
	.verb = DV_VERB_STOP,
	.answer = answer_end,
	.ended = ended_exit,
	.gone_is_done = true,
};

int dv_sandbox_stop_request(const struct dv_sandbox_stop *stop,
			    dv_StopRequest *m, struct dv_err *err)
{
	struct dv_sandbox_stop s = DV_SANDBOX_STOP_INIT;
	int r = stop ? dv_opts_copy(&s, sizeof(s), stop, err) : 0;

	if (r < 0)
		return r;
	if (s.signal < 0 || s.signal > SIGRTMAX)
		return dv_err_set(err, EINVAL, DV_INVALID,
				  "there is no signal %d", s.signal);
	*m = (dv_StopRequest)dv_StopRequest_init_zero;
	m->signal = s.signal;
	m->has_grace_ms = s.grace_ms >= 0;
	m->grace_ms = (uint32_t)dv_max(s.grace_ms, 0);
	return 0;
}

int64_t dv_sandbox_stop_patience(const struct dv_sandbox_info *info,
				 const dv_StopRequest *m)
{
	int64_t grace = info->stop_timeout_ms;

	if (m->has_grace_ms)
		grace = m->grace_ms;
	return grace < 0 ? 0 : grace + ENDED_MS;
}

int dv_sandbox_stop(struct dv_sandbox *sb, const struct dv_sandbox_stop *stop,
		    struct dv_exit *exit, const struct dv_how *how,
		    struct dv_err *err)
{
	dv_StopRequest m;
	struct dv_life *life;
	int r = dv_sandbox_stop_request(stop, &m, err);

	if (r == 0)
		r = dv_life_new(sb, &kind_stop, how, &life, err);
	if (r < 0)
		return r;
	life->out = exit;
	life->patience_ms = dv_sandbox_stop_patience(&sb->info, &m);
	return dv_life_go(life, 0, dv_StopRequest_fields, &m, err);
}

/* ---- signals, and standing still ------------------------------------------
 */

static const struct dv_life_kind kind_kill = {
	.op = DV_LIFE_OP("kill", "Kill"),
	.verb = DV_VERB_KILL,
};
static const struct dv_life_kind kind_pause = {
	.op = DV_LIFE_OP("pause", "Pause"),
	.verb = DV_VERB_PAUSE,
	.unable = "start it where there is a group of its own: davit doctor "
		  "says how; davit kill -s STOP stops one process",
};
static const struct dv_life_kind kind_resume = {
	.op = DV_LIFE_OP("resume", "Resume"),
	.verb = DV_VERB_RESUME,
};

int dv_sandbox_kill(struct dv_sandbox *sb, int signo, bool all,
		    const struct dv_how *how, struct dv_err *err)
{
	dv_KillRequest m = { .signal = signo, .all = all };
	struct dv_life *life;
	int r;

	if (signo < 1 || signo > SIGRTMAX)
		return dv_err_set(err, EINVAL, DV_INVALID,
				  "there is no signal %d", signo);
	r = dv_life_new(sb, &kind_kill, how, &life, err);
	return r < 0 ? r : dv_life_go(life, 0, dv_KillRequest_fields, &m, err);
}

static int order(struct dv_sandbox *sb, const struct dv_life_kind *kind,
		 const struct dv_how *how, struct dv_err *err)
{
	struct dv_life *life;
	int r = dv_life_new(sb, kind, how, &life, err);

	return r < 0 ? r : dv_life_go(life, 0, NULL, NULL, err);
}

int dv_sandbox_pause(struct dv_sandbox *sb, const struct dv_how *how,
		     struct dv_err *err)
{
	return order(sb, &kind_pause, how, err);
}

int dv_sandbox_resume(struct dv_sandbox *sb, const struct dv_how *how,
		      struct dv_err *err)
{
	return order(sb, &kind_resume, how, err);
}

/* ---- limits, and a new program ---------------------------------------------
 */

static const struct dv_life_kind kind_update = {
	.op = DV_LIFE_OP("update", "Update"),
	.verb = DV_VERB_UPDATE,
};
static const struct dv_life_kind kind_upgrade = {
	.op = DV_LIFE_OP("upgrade", "Upgrade"),
	.verb = DV_VERB_UPGRADE,
};

int dv_sandbox_update(struct dv_sandbox *sb, const struct dv_limits *limits,
		      const struct dv_how *how, struct dv_err *err)
{
	dv_Limits m = { .has_memory = limits->memory != UINT64_MAX,
			.memory = limits->memory,
			.has_milli_cpus = limits->milli_cpus != UINT32_MAX,
			.milli_cpus = limits->milli_cpus,
			.has_pids = limits->pids != UINT32_MAX,
			.pids = limits->pids,
			.has_io_weight = limits->io_weight != UINT32_MAX,
			.io_weight = limits->io_weight };
	struct dv_life *life;
	int r = dv_life_new(sb, &kind_update, how, &life, err);

	return r < 0 ? r : dv_life_go(life, 0, dv_Limits_fields, &m, err);
}

int dv_sandbox_upgrade(struct dv_sandbox *sb, const char *exe,
		       const struct dv_how *how, struct dv_err *err)
{
	dv_UpgradeRequest m = { .exe = exe ? dv_diag_borrow(exe) : NULL };
	struct dv_life *life;
	int r = dv_life_new(sb, &kind_upgrade, how, &life, err);

	return r < 0 ? r
		     : dv_life_go(life, 0, dv_UpgradeRequest_fields, &m, err);
}
