/* SPDX-License-Identifier: MIT */
/*
 * davit.v1.Keeper: the life of a sandbox by calls. It only translates: whether
 * a verb is allowed says runtime/keeper/verbs.c, what it does the keeper. Calls
 * that wait for something are held, and answered by what the keeper tells.
 */
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include <pb_encode.h>

#include "base/def.h"
#include "base/fd.h"
#include "runtime/keeper/keeper.h"
#include "services/svc.h"

/* What the message adds to the text: tags, lengths, three numbers. */
enum { INFO_MORE = 64 };

enum held_for {
	FOR_END,    /* its end for good */
	FOR_RUN,    /* that it runs (again) */
	FOR_FROZEN, /* that it is paused */
};

/* A call that waits. */
struct held {
	struct held *next, **prevp;
	struct dv_call *call;
	enum held_for what;
};

struct dv_keeper_svc {
	struct dv_keeper *k;
	struct held *held;
};

static struct dv_keeper *keeper_of(const struct dv_call *call)
{
	const struct dv_keeper_svc *svc = call->ctx;

	return svc->k;
}

static bool allowed(struct dv_call *call, enum dv_verb_id verb)
{
	const struct dv_keeper *k = keeper_of(call);
	const char *who = k->info.name[0] ? k->info.name : k->info.id;
	struct dv_err err = DV_ERR_INIT;

	if (dv_verb_allowed(verb, k->info.state, who, &err) == 0)
		return true;
	dv_call_fail_err(call, &err);
	return false;
}

/* ---- held calls --------------------------------------------------------- */

static void unlink_held(struct held *h)
{
	*h->prevp = h->next;
	if (h->next)
		h->next->prevp = h->prevp;
}

static void cancelled(struct dv_call *call)
{
	struct held *h = call->data;

	unlink_held(h);
	free(h);
}

static void hold(struct dv_call *call, enum held_for what)
{
	struct dv_keeper_svc *svc = call->ctx;
	struct held *h = malloc(sizeof(*h));

	if (!h) {
		dv_call_fail(call, DV_EXHAUSTED, "out of memory");
		return;
	}
	*h = (struct held){ svc->held, &svc->held, call, what };
	if (h->next)
		h->next->prevp = &h->next;
	svc->held = h;
	dv_call_hold(call, h, cancelled);
}

/* The next call that waits for @what, taken off the list; NULL: none does. */
static struct dv_call *take(struct dv_keeper_svc *svc, enum held_for what)
{
	for (struct held *h = svc->held; h; h = h->next) {
		struct dv_call *call = h->call;

		if (h->what != what)
			continue;
		unlink_held(h);
		free(h);
		return call;
	}
	return NULL;
}

/* ---- what is told ------------------------------------------------------- */

static void put_exit(dv_ExitRecord *to, const struct dv_sandbox_info *info)
{
	const struct dv_exit *e = &info->exit;

	*to = (dv_ExitRecord){
		.pid = info->pid,
		.code = e->code,
		.signal = e->signal,
		.core = e->core,
		.oom = e->oom,
		.timed_out = e->timed_out,
		.ended_by = (char *)(uintptr_t)dv_ended_by_name(e->ended_by),
		.start_unix_ns = e->started_unix_ns,
		.end_unix_ns = e->exited_unix_ns,
		.user_us = e->user_us,
		.system_us = e->system_us,
		.max_rss_kib = e->max_rss_kib,
		.wall_ns = e->wall_ns,
		.pids_refused = e->pids_refused,
		.minor_faults = e->minor_faults,
		.major_faults = e->major_faults,
		.voluntary_cs = e->voluntary_cs,
		.involuntary_cs = e->involuntary_cs,
	};
}

static dv_LifeState wire_state(enum dv_state state)
{
	static const dv_LifeState states[DV_STATE_N] = {
		[DV_STATE_CREATING] = dv_LIFE_CREATING,
		[DV_STATE_RUNNING] = dv_LIFE_RUNNING,
		[DV_STATE_PAUSED] = dv_LIFE_PAUSED,
		[DV_STATE_STOPPING] = dv_LIFE_STOPPING,
		[DV_STATE_EXITED] = dv_LIFE_EXITED,
		[DV_STATE_DEAD] = dv_LIFE_EXITED,
	};

	return states[state];
}

static void reply_end(struct dv_call *call)
{
	const struct dv_sandbox_info *info = &keeper_of(call)->info;
	dv_LifeEnd end = { .state = wire_state(info->state) };

	end.has_exit = info->has_exit;
	if (info->has_exit)
		put_exit(&end.exit, info);
	dv_call_reply(call, &end);
}

void dv_keeper_svc_changed(struct dv_keeper_svc *svc)
{
	struct dv_call *call;

	if (svc->k->info.state != DV_STATE_RUNNING || svc->k->restarting)
		return;
	while ((call = take(svc, FOR_RUN)))
		dv_call_reply(call, NULL);
}

void dv_keeper_svc_paused(struct dv_keeper_svc *svc, int r,
			  const struct dv_err *err)
{
	struct dv_call *call;

	while ((call = take(svc, FOR_FROZEN)))
		dv_svc_finish(call, r, err);
}

void dv_keeper_svc_over(struct dv_keeper_svc *svc)
{
	const struct dv_exit *e = &svc->k->info.exit;
	struct dv_call *call;

	while ((call = take(svc, FOR_END)))
		reply_end(call);
	while ((call = take(svc, FOR_RUN))) {
		struct dv_err err = svc->k->failed;

		/* Whatever kept it from starting: asking again is no help. */
		err.code = DV_ABORTED;
		if (err.sys)
			dv_call_fail_err(call, &err);
		else
			dv_call_fail(call, DV_ABORTED,
				     "it ended for good with status %d (%s)",
				     (int)e->code,
				     dv_ended_by_name(e->ended_by));
	}
	while ((call = take(svc, FOR_FROZEN)))
		dv_call_fail(call, DV_ABORTED, "it ended");
}

/* ---- the document ------------------------------------------------------- */

/*
 * A document may be larger than a field of the generated struct, so it is put
 * together by hand: first the text, then the rest of the message.
 */
static void m_info(struct dv_call *call)
{
	const struct dv_keeper *k = keeper_of(call);
	dv_autofree char *json = dv_sandbox_info_json(&k->info);
	size_t len = json ? strlen(json) : 0;
	size_t size = len + INFO_MORE;
	dv_autofree uint8_t *data = json ? malloc(size) : NULL;
	dv_LifeInfo rest = {
		.state = wire_state(k->info.state),
		.pid = k->info.pid,
		.init_pid = k->info.init_pid,
	};
	pb_ostream_t out = pb_ostream_from_buffer(data, data ? size : 0);

	if (!data || !pb_encode_tag(&out, PB_WT_STRING, dv_LifeInfo_json_tag) ||
	    !pb_encode_string(&out, (const pb_byte_t *)json, len) ||
	    !pb_encode(&out, dv_LifeInfo_fields, &rest))
		dv_call_fail(call, DV_EXHAUSTED, "no memory for the document");
	else
		dv_call_reply_bytes(call, data, out.bytes_written);
}

/* ---- its life ----------------------------------------------------------- */

static void m_wait(struct dv_call *call)
{
	if (!allowed(call, DV_VERB_WAIT))
		return;
	if (keeper_of(call)->over)
		reply_end(call);
	else
		hold(call, FOR_END);
}

static int grace_of(const dv_StopRequest *rq)
{
	if (!rq->has_grace_ms)
		return -1;
	return (int)dv_min(rq->grace_ms, (uint32_t)INT32_MAX);
}

static void m_stop(struct dv_call *call)
{
	const dv_StopRequest *rq = call->req;
	struct dv_keeper *k = keeper_of(call);
	struct dv_err err = DV_ERR_INIT;

	if (!allowed(call, DV_VERB_STOP))
		return;
	if (!k->over && dv_keeper_stop(k, rq->signal, grace_of(rq), &err) < 0) {
		dv_call_fail_err(call, &err);
		return;
	}
	if (k->over)
		reply_end(call);
	else
		hold(call, FOR_END);
}

static void m_kill(struct dv_call *call)
{
	const dv_KillRequest *rq = call->req;
	struct dv_keeper *k = keeper_of(call);
	struct dv_err err = DV_ERR_INIT;
	int r;

	if (!allowed(call, DV_VERB_KILL))
		return;
	if (rq->signal < 0 || rq->signal >= _NSIG)
		r = dv_err_set(&err, EINVAL, DV_INVALID, "no signal %d",
			       (int)rq->signal);
	else if (rq->all)
		r = dv_keeper_kill_all(k, rq->signal, &err);
	else if (k->run)
		r = dv_run_signal(k->run, rq->signal, &err);
	else
		r = dv_err_set(&err, ESRCH, DV_PRECONDITION, "it does not run");
	dv_svc_finish(call, r, &err);
}

static void m_pause(struct dv_call *call)
{
	struct dv_err err = DV_ERR_INIT;

	if (!allowed(call, DV_VERB_PAUSE))
		return;
	if (dv_keeper_pause(keeper_of(call), &err) < 0)
		dv_call_fail_err(call, &err);
	else
		hold(call, FOR_FROZEN);
}

static void m_resume(struct dv_call *call)
{
	struct dv_err err = DV_ERR_INIT;

	if (allowed(call, DV_VERB_RESUME))
		dv_svc_finish(call, dv_keeper_resume(keeper_of(call), &err),
			      &err);
}

static void m_restart(struct dv_call *call)
{
	const dv_StopRequest *rq = call->req;
	struct dv_keeper *k = keeper_of(call);
	struct dv_err err = DV_ERR_INIT;

	if (!allowed(call, DV_VERB_RESTART))
		return;
	if (dv_keeper_restart(k, rq->signal, grace_of(rq), &err) < 0)
		dv_call_fail_err(call, &err);
	else
		hold(call, FOR_RUN);
}

static void m_rename(struct dv_call *call)
{
	const dv_RenameRequest *rq = call->req;
	struct dv_err err = DV_ERR_INIT;
	int r;

	if (!allowed(call, DV_VERB_RENAME))
		return;
	r = dv_keeper_rename(keeper_of(call), rq->name ? rq->name : "", &err);
	dv_svc_finish(call, r, &err);
}

static void m_update(struct dv_call *call)
{
	const dv_Limits *rq = call->req;
	struct dv_limits limits = {
		.memory = rq->has_memory ? rq->memory : UINT64_MAX,
		.milli_cpus = rq->has_milli_cpus ? rq->milli_cpus : UINT32_MAX,
		.pids = rq->has_pids ? rq->pids : UINT32_MAX,
		.io_weight = rq->has_io_weight ? rq->io_weight : UINT32_MAX,
	};
	struct dv_err err = DV_ERR_INIT;

	if (allowed(call, DV_VERB_UPDATE))
		dv_svc_finish(call,
			      dv_keeper_update(keeper_of(call), &limits, &err),
			      &err);
}

/* ---- its first process -------------------------------------------------- */

static void m_input(struct dv_call *call)
{
	const dv_InputRequest *rq = call->req;
	struct dv_keeper *k = keeper_of(call);
	struct dv_err err = DV_ERR_INIT;
	int fd;

	if (!allowed(call, DV_VERB_INPUT))
		return;
	if (rq->fd == 0 || rq->fd > call->n_fds || call->fds[rq->fd - 1] < 0) {
		dv_call_fail(call, DV_INVALID,
			     "descriptor %u did not come along", rq->fd);
		return;
	}
	dv_keeper_touch(k);
	fd = dv_take_fd(&call->fds[rq->fd - 1]);
	dv_svc_finish(call, dv_keeper_io_input(k, fd, rq->steal, &err), &err);
}

static void m_detach_input(struct dv_call *call)
{
	dv_keeper_io_drop_input(keeper_of(call));
	dv_call_reply(call, NULL);
}

static void m_resize(struct dv_call *call)
{
	const dv_SizeRequest *rq = call->req;
	struct dv_err err = DV_ERR_INIT;

	if (allowed(call, DV_VERB_INPUT))
		dv_svc_finish(call,
			      dv_keeper_io_resize(keeper_of(call), rq->rows,
						  rq->cols, &err),
			      &err);
}

static void m_upgrade(struct dv_call *call)
{
	const dv_UpgradeRequest *rq = call->req;
	struct dv_keeper *k = keeper_of(call);

	if (k->upgrade_calls > 0) {
		k->upgrade_calls--;
		m_info(call);
	} else if (allowed(call, DV_VERB_UPGRADE)) {
		dv_keeper_upgrade(k, rq->exe, call);
	}
}

/* ---- the table ---------------------------------------------------------- */

// clang-format off
static const struct dv_method methods[] = {
	/* Encoded by hand. */
	{ "Info", m_info, NULL, 0, NULL, 0 },
	DV_METHOD("Wait", m_wait, dv_Empty, dv_LifeEnd, DV_M_REPLAY),
	DV_METHOD("Stop", m_stop, dv_StopRequest, dv_LifeEnd, DV_M_MUTATES),
	DV_METHOD("Kill", m_kill, dv_KillRequest, dv_Empty, DV_M_MUTATES),
	DV_METHOD("Pause", m_pause, dv_Empty, dv_Empty, DV_M_MUTATES),
	DV_METHOD("Resume", m_resume, dv_Empty, dv_Empty, DV_M_MUTATES),
	DV_METHOD("Restart", m_restart, dv_StopRequest, dv_Empty, DV_M_MUTATES),
	DV_METHOD("Rename", m_rename, dv_RenameRequest, dv_Empty, DV_M_MUTATES),
	DV_METHOD("Update", m_update, dv_Limits, dv_Empty, DV_M_MUTATES),
	DV_METHOD("Resize", m_resize, dv_SizeRequest, dv_Empty, DV_M_MUTATES),
	DV_METHOD("Input", m_input, dv_InputRequest, dv_Empty, DV_M_MUTATES),
	DV_METHOD("DetachInput", m_detach_input, dv_Empty, dv_Empty,
		  DV_M_MUTATES),
	DV_METHOD("Upgrade", m_upgrade, dv_UpgradeRequest, dv_LifeInfo,
		  DV_M_MUTATES | DV_M_REPLAY),
};
// clang-format on
static DV_SERVICE(service, "davit.v1.Keeper", methods);

int dv_keeper_svc_new(struct dv_keeper_svc **svcp, struct dv_keeper *k,
		      struct dv_server *server, struct dv_err *err)
{
	struct dv_keeper_svc *svc = calloc(1, sizeof(*svc));
	int r;

	if (!svc)
		return dv_err_sys(err, ENOMEM, "davit.v1.Keeper");
	svc->k = k;
	r = dv_server_add(server, &service, svc);
	if (r < 0) {
		free(svc);
		return dv_err_sys(err, -r, "davit.v1.Keeper");
	}
	*svcp = svc;
	return 0;
}

struct dv_keeper_svc *dv_keeper_svc_free(struct dv_keeper_svc *svc)
{
	/* Its calls were cancelled with their server. */
	dv_assert(!svc || !svc->held);
	free(svc);
	return NULL;
}
