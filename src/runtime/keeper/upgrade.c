/* SPDX-License-Identifier: MIT */
/*
 * DOC: an upgrade
 *
 *	wait	  until no process is being started: that takes milliseconds
 *	trial	  the new program reads the document in a child; if it cannot,
 *		  nothing has happened
 *	part	  calls that the new program cannot answer are failed
 *	save	  the document anew, and execute
 *	restore	  in the new program, see save.c
 *
 * The call that asked for it is in the document like every other; when it is
 * dispatched again, the new program answers it instead of obeying.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>

#include "base/def.h"
#include "base/fd.h"
#include "runtime/keeper/save.h"
#include "services/served.h"

#define NS_PER_MS UINT64_C(1000000)

enum {
	RETRY_MS = 5,
	STARTS_MS = 2000,
	ANSWER_MS = 1000, /* for one small answer on a local socket */
};

struct dv_keeper_upgrade {
	struct dv_keeper *k;
	struct dv_call *call;
	struct dv_timer timer;
	struct dv_trial trial;
	uint64_t until_ns;
	char exe[PATH_MAX];
};

static const char verb[] = "__keeper", name[] = "davit";

/* argv of the program that goes on: "davit __keeper OPTION FD". */
struct words {
	char name[8], verb[16], option[16], number[16];
	char *argv[5];
};

static void set_words(struct words *w, const char *option, int fd)
{
	dv_fmt(w->name, sizeof(w->name), "%s", name);
	dv_fmt(w->verb, sizeof(w->verb), "%s", verb);
	dv_fmt(w->option, sizeof(w->option), "%s", option);
	dv_fmt(w->number, sizeof(w->number), "%d", fd);
	w->argv[0] = w->name;
	w->argv[1] = w->verb;
	w->argv[2] = w->option;
	w->argv[3] = w->number;
	w->argv[4] = NULL;
}

/* The document as it is now, and the descriptors in it. An fd (owned). */
static int document(struct dv_keeper *k, struct dv_reexec_fds *keep,
		    struct dv_err *err)
{
	dv_KeeperState st = dv_KeeperState_init_zero;
	int r = dv_keeper_save(k, &st, keep, err);

	st.upgrade_calls = 1;
	if (r == 0)
		r = dv_reexec_write(dv_KeeperState_fields, &st, err);
	dv_pb_release(dv_KeeperState_fields, &st);
	return r;
}

/*
 * Returns only when it failed; then everything is as before, but for what had
 * to be failed, and connections that speak gRPC: they end. So the call may be
 * gone.
 */
static int execute(struct dv_keeper *k, struct dv_err *err)
{
	struct dv_reexec_fds keep = { NULL, 0, false };
	dv_autofd int fd = -1;
	char exe[PATH_MAX];
	struct words w;
	int r;

	memcpy(exe, k->upgrade->exe, sizeof(exe));
	dv_server_part(k->server);
	dv_server_part(k->diag);
	r = fd = document(k, &keep, err);
	if (r >= 0) {
		set_words(&w, "--resume", fd);
		r = dv_reexec(exe, w.argv, &keep, fd, err);
	}
	dv_reexec_forget(&keep);
	return r;
}

void dv_keeper_upgrade_stop(struct dv_keeper *k)
{
	struct dv_keeper_upgrade *u = k->upgrade;

	if (!u)
		return;
	dv_timer_stop(&u->timer);
	dv_trial_stop(&u->trial);
	free(u);
	k->upgrade = NULL;
}

static void failed(struct dv_keeper_upgrade *u, const struct dv_err *err)
{
	struct dv_call *call = u->call;

	dv_log(u->k->log, DV_LOG_ERROR, "upgrade: %s", err->msg);
	dv_keeper_upgrade_stop(u->k);
	dv_call_fail_err(call, err);
}

/* It ends, is frozen half-way, or starts something: not now. */
static int may_go(const struct dv_keeper *k, struct dv_err *err)
{
	enum dv_state state = k->run ? k->run->state : DV_STATE_EXITED;

	if (state != DV_STATE_RUNNING && state != DV_STATE_PAUSED)
		return dv_err_set(err, ECANCELED, DV_ABORTED,
				  "the sandbox ends");
	if (dv_procs_starting(k->procs) > 0 || dv_freeze_runs(&k->freeze) ||
	    dv_keeper_net_busy(k))
		return dv_err_set(err, EBUSY, DV_UNAVAILABLE,
				  "something is being started, paused or "
				  "connected");
	return 0;
}

static void on_timer(struct dv_timer *timer);

/* Try again soon what must not be now; else it has failed. */
static void later(struct dv_keeper_upgrade *u, int r, struct dv_err *err)
{
	uint64_t now = dv_now_ns();

	if (r != -EBUSY || now >= u->until_ns ||
	    dv_timer_set(u->k->loop, &u->timer, now + RETRY_MS * NS_PER_MS,
			 on_timer) < 0)
		failed(u, err);
}

static void on_tried(struct dv_trial *trial, int r, const struct dv_err *why)
{
	struct dv_keeper_upgrade *u =
		dv_container_of(trial, struct dv_keeper_upgrade, trial);
	struct dv_keeper *k = u->k;
	struct dv_err err = DV_ERR_INIT;
	bool executed = false;

	if (r < 0)
		err = *why;
	else
		r = may_go(k, &err);
	if (r == 0) {
		executed = true;
		r = execute(k, &err);
	}
	if (!k->upgrade)
		return;
	if (executed || why)
		failed(u, &err);
	else
		later(u, r, &err);
}

static int attempt(struct dv_keeper_upgrade *u, struct dv_err *err)
{
	struct dv_reexec_fds keep = { NULL, 0, false };
	dv_autofd int fd = -1;
	struct words w;
	int r = may_go(u->k, err);

	if (r < 0)
		return r;
	r = fd = document(u->k, &keep, err);
	dv_reexec_forget(&keep);
	if (r < 0)
		return r;
	set_words(&w, "--check", fd);
	return dv_trial_start(&u->trial, u->k->loop, u->exe, w.argv, fd,
			      on_tried, err);
}

static void on_timer(struct dv_timer *timer)
{
	struct dv_keeper_upgrade *u =
		dv_container_of(timer, struct dv_keeper_upgrade, timer);
	struct dv_err err = DV_ERR_INIT;
	int r = attempt(u, &err);

	if (r < 0)
		later(u, r, &err);
}

static void cancelled(struct dv_call *call)
{
	dv_keeper_upgrade_stop(call->data);
}

static int check(const struct dv_keeper *k, struct dv_err *err)
{
	if (k->upgrade)
		return dv_err_set(err, EBUSY, DV_ABORTED,
				  "another upgrade is under way");
	if (k->detached)
		return 0;
	dv_err_hint(err, "only what davit run -d left behind can be upgraded");
	return dv_err_set(err, EOPNOTSUPP, DV_PRECONDITION,
			  "it runs in a foreground: its keeper is the command "
			  "that started it");
}

static int begin(struct dv_keeper *k, const char *exe, struct dv_err *err)
{
	struct dv_keeper_upgrade *u;
	int r = check(k, err);

	if (r < 0)
		return r;
	u = calloc(1, sizeof(*u));
	if (!u)
		return dv_err_sys(err, ENOMEM, "upgrade");
	*u = (struct dv_keeper_upgrade){
		.k = k,
		.timer = DV_TIMER_INIT,
		.trial = DV_TRIAL_INIT,
		.until_ns = dv_now_ns() + STARTS_MS * NS_PER_MS,
	};
	k->upgrade = u;
	if (exe && exe[0])
		r = strlen(exe) < sizeof(u->exe)
			    ? (int)dv_fmt(u->exe, sizeof(u->exe), "%s", exe)
			    : -ENAMETOOLONG;
	else
		r = dv_reexec_self(u->exe, sizeof(u->exe));
	/* Not now: we are inside a call of the server that is to be saved. */
	if (r >= 0)
		r = dv_timer_set(k->loop, &u->timer, 0, on_timer);
	if (r >= 0)
		return 0;
	dv_keeper_upgrade_stop(k);
	return dv_err_sys(err, -r, "upgrade");
}

void dv_keeper_upgrade(struct dv_keeper *k, const char *exe,
		       struct dv_call *call)
{
	struct dv_err err = DV_ERR_INIT;

	if (begin(k, exe, &err) < 0) {
		dv_call_fail_err(call, &err);
		return;
	}
	k->upgrade->call = call;
	dv_call_hold(call, k, cancelled);
}

/* ---- in the new program --------------------------------------------- */

int dv_keeper_check(int fd, struct dv_err *err)
{
	dv_KeeperState st = dv_KeeperState_init_zero;
	int r = dv_keeper_load(fd, &st, err);

	dv_pb_release(dv_KeeperState_fields, &st);
	return r;
}

static void m_refuse(struct dv_call *call)
{
	dv_call_fail_err(call, call->ctx);
}

// clang-format off
static const struct dv_method refusals[] = {
	DV_METHOD("Upgrade", m_refuse, dv_UpgradeRequest, dv_LifeInfo,
		  DV_M_MUTATES | DV_M_REPLAY),
};
// clang-format on
static DV_SERVICE(refusing, "davit.v1.Keeper", refusals);

/* The one who asked; others see by our end that the sandbox is dead. */
static bool asks(const dv_ConnState *c)
{
	for (pb_size_t i = 0; i < c->calls_count; i++) {
		const dv_CallState *call = &c->calls[i];

		if (call->service && call->method &&
		    strcmp(call->service, refusing.name) == 0 &&
		    strcmp(call->method, refusals[0].name) == 0)
			return true;
	}
	return false;
}

static bool has_answered(struct dv_server *server)
{
	struct dv_server_stats stats;

	dv_server_stats(server, &stats);
	return stats.total_calls >= stats.conns && dv_server_flush(server) == 0;
}

/*
 * Whatever fails here: the connection ends with us. The loop is its own: what
 * was taken over half-way must not move any more.
 */
static void refuse_askers(const dv_ServedState *st, struct dv_err *why)
{
	struct dv_server_opts o = { .size = sizeof(o) };
	uint64_t now = dv_now_ns(), until = now + ANSWER_MS * NS_PER_MS;
	struct dv_server *server = NULL;
	struct dv_loop *loop = NULL;
	int r = dv_loop_new(&loop);

	if (r == 0)
		r = dv_server_new(&server, loop, &o, NULL);
	if (r == 0)
		r = dv_server_add(server, &refusing, why);
	for (pb_size_t i = 0; r == 0 && i < st->conns_count; i++)
		if (asks(&st->conns[i]))
			dv_served_restore_conn(server, &st->conns[i]);
	for (; r >= 0 && !has_answered(server) && now < until;
	     now = dv_now_ns())
		r = dv_loop_dispatch(loop,
				     (int)((until - now) / NS_PER_MS) + 1);
	dv_server_free(server);
	dv_loop_free(loop);
}

int dv_keeper_resume_at(struct dv_keeper **keeperp, struct dv_loop *loop,
			int fd, struct dv_err *err)
{
	dv_KeeperState st = dv_KeeperState_init_zero;
	int r = dv_keeper_load(fd, &st, err);

	dv_reexec_arrived();
	prctl(PR_SET_NAME, "davit-keeper", 0, 0, 0);
	if (r == 0)
		r = dv_keeper_restore(keeperp, loop, &st, err);
	if (r < 0) {
		dv_err_wrap(err, r, "go on after an upgrade");
		if (*keeperp)
			dv_log((*keeperp)->log, DV_LOG_ERROR, "%s", err->msg);
		refuse_askers(&st.served, err);
	}
	dv_pb_release(dv_KeeperState_fields, &st);
	dv_close(fd);
	return r;
}
