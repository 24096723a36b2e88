/* SPDX-License-Identifier: MIT */
/*
 * DOC: a restart
 *
 * The agent executes its own program file, which may be a newer one: see
 * services/reexec.h.
 *
 *	trial	  the new program reads the document in a child
 *	part	  when no process is being started: streams that only we could
 *		  go on with (kernel log, files, captures) end, and their
 *		  clients are told
 *	save	  the document anew, with what they were told
 *	execute	  no way back is needed: a failed execve() changes nothing
 *	restore	  what cannot be taken over is logged and closed
 *
 * The call that asked for it is in the document like every other; when it is
 * dispatched again, the new program answers it instead of obeying.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "agent/agent.h"
#include "agent/capture.h"
#include "agent/state.h"
#include "base/def.h"
#include "base/fd.h"
#include "base/fmt.h"

#define NS_PER_MS UINT64_C(1000000)

enum { RETRY_MS = 5, STARTS_MS = 2000 };

int dv_restart_document(struct dv_agent *a, struct dv_buf *out,
			struct dv_err *err)
{
	dv_AgentState st = dv_AgentState_init_zero;
	struct dv_reexec_fds keep = { NULL, 0, false };
	int r = dv_state_save(a, &st, dv_reexec_keep, &keep, err);

	if (r == 0)
		r = dv_reexec_encode(dv_AgentState_fields, &st, out, err);
	dv_state_free(&st);
	dv_reexec_forget(&keep);
	return r;
}

/* The document as it is now, and the descriptors in it. An fd (owned). */
static int document(struct dv_agent *a, struct dv_reexec_fds *keep,
		    struct dv_err *err)
{
	dv_AgentState st = dv_AgentState_init_zero;
	int r = dv_state_save(a, &st, dv_reexec_keep, keep, err);

	if (r == 0)
		r = dv_reexec_write(dv_AgentState_fields, &st, err);
	dv_state_free(&st);
	return r;
}

/* Returns only when it failed; then everything is as before. */
static int execute(struct dv_agent *a, const struct dv_reexec_fds *keep, int fd,
		   struct dv_err *err)
{
	dv_autofree char **argv = calloc(a->n_options + 4, sizeof(*argv));
	char number[16];
	int r;

	if (!argv)
		return dv_err_sys(err, ENOMEM, "execute %s", a->exe);
	dv_fmt(number, sizeof(number), "%d", fd);
	argv[0] = a->argv[0];
	argv[1] = (char[]){ "--resume" };
	argv[2] = number;
	memcpy(argv + 3, a->options, a->n_options * sizeof(*argv));
	setrlimit(RLIMIT_NOFILE, &a->nofile); /* as it was found */
	r = dv_reexec(a->exe, argv, keep, fd, err);
	dv_agent_raise_nofile(a);
	return r;
}

/* Streams that the new program could not go on with. */
static void end_flows(struct dv_agent *a)
{
	struct dv_err ends = DV_ERR_INIT;

	dv_err_set(&ends, ECANCELED, DV_UNAVAILABLE, "the agent restarts");
	dv_flow_end_all(a, &ends);
	a->capture = dv_capture_free(a->capture);
}

static int restart(struct dv_agent *a, struct dv_err *err)
{
	struct dv_reexec_fds keep = { NULL, 0, false };
	dv_autofd int fd = -1;
	int r;

	end_flows(a);
	dv_server_part(a->server);
	r = fd = document(a, &keep, err);
	if (r >= 0)
		r = execute(a, &keep, fd, err);
	dv_reexec_forget(&keep);
	return r;
}

static void failed(struct dv_agent *a, int r, struct dv_err *err)
{
	struct dv_call *call = a->restart;

	dv_err_wrap(err, r, "restart");
	dv_log(&a->log, DV_LOG_ERROR, "%s", err->msg);
	a->restart = NULL;
	dv_call_fail_err(call, err);
}

static void on_restart(struct dv_timer *timer);

static void on_tried(struct dv_trial *trial, int r, const struct dv_err *why)
{
	struct dv_agent *a =
		dv_container_of(trial, struct dv_agent, restart_trial);
	struct dv_err err = DV_ERR_INIT;

	if (why)
		err = *why;
	/* What began meanwhile is in no document: try once more. */
	if (r == 0 && dv_procs_starting(a->procs) > 0) {
		dv_timer_set(a->loop, &a->restart_timer, 0, on_restart);
		return;
	}
	if (r == 0)
		r = restart(a, &err);
	failed(a, r, &err);
}

/* Nobody was told anything yet: the new program has to read our document. */
static int attempt(struct dv_agent *a, struct dv_err *err)
{
	struct dv_reexec_fds keep = { NULL, 0, false };
	char name[] = "davit-agent", option[] = "--check", number[16];
	char *argv[] = { name, option, number, NULL };
	dv_autofd int fd = -1;
	int r;

	if (dv_procs_starting(a->procs) > 0)
		return dv_err_set(err, EBUSY, DV_UNAVAILABLE,
				  "processes are being started");
	r = fd = document(a, &keep, err);
	dv_reexec_forget(&keep);
	if (r < 0)
		return r;
	dv_fmt(number, sizeof(number), "%d", fd);
	return dv_trial_start(&a->restart_trial, a->loop, a->exe, argv, fd,
			      on_tried, err);
}

static void on_restart(struct dv_timer *timer)
{
	struct dv_agent *a =
		dv_container_of(timer, struct dv_agent, restart_timer);
	struct dv_err err = DV_ERR_INIT;
	uint64_t now = dv_now_ns();
	int r = attempt(a, &err);

	/* A process that is being started is in no document; its end, one way
	 * or the other, takes milliseconds. */
	if (r == -EBUSY && now < a->restart_until_ns)
		dv_timer_set(a->loop, timer, now + RETRY_MS * NS_PER_MS,
			     on_restart);
	else if (r < 0)
		failed(a, r, &err);
}

void dv_restart_stop(struct dv_agent *a)
{
	dv_timer_stop(&a->restart_timer);
	dv_trial_stop(&a->restart_trial);
	a->restart = NULL;
}

static void restart_cancelled(struct dv_call *call)
{
	dv_restart_stop(call->data);
}

void dv_restart_begin(struct dv_agent *a, struct dv_call *call)
{
	if (a->restart_calls > 0) {
		a->restart_calls--;
		dv_call_reply(call, NULL);
		return;
	}
	if (a->restart) {
		dv_call_fail(call, DV_ABORTED,
			     "previous restart still in progress");
		return;
	}
	dv_call_hold(call, a, restart_cancelled);
	a->restart = call;
	a->restart_until_ns = dv_now_ns() + STARTS_MS * NS_PER_MS;
	/* Not now: we are inside a call of the server that is to be saved. */
	if (dv_timer_set(a->loop, &a->restart_timer, 0, on_restart) == 0)
		return;
	a->restart = NULL;
	dv_call_fail(call, DV_EXHAUSTED, "restart: no memory");
}

/* ---- in the new program --------------------------------------------- */

int dv_restart_check(int fd, struct dv_err *err)
{
	dv_AgentState st = dv_AgentState_init_zero;
	int r = dv_state_load(fd, &st, err);

	dv_state_free(&st);
	return r;
}

int dv_restart_restore(struct dv_agent *a, int fd, struct dv_err *err)
{
	dv_AgentState st = dv_AgentState_init_zero;
	int r = dv_state_load(fd, &st, err);

	dv_reexec_arrived();
	if (r == 0)
		r = dv_state_restore(a, &st, err);
	dv_state_free(&st);
	dv_close(fd);
	return r;
}
