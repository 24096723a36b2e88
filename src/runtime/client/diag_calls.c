/* SPDX-License-Identifier: MIT */
/*
 * Operations that are one call, or little more.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/def.h"
#include "runtime/client/diag.h"
#include "wire/inspect.pb.h"
#include "wire/pb.h"

/* ---- is it there ------------------------------------------------------- */

static int reply_ping(struct dv_op *op DV_UNUSED,
		      const struct dv_rpc_reply *reply, struct dv_err *err)
{
	if (reply->r < 0 && err->code == DV_UNIMPLEMENTED)
		return 0;
	return reply->r;
}

static const struct dv_diag_kind kind_ping = {
	.what = "ping",
	.service = DV_DIAG_NEW,
	.method = "Ping",
	.reply = reply_ping,
	.wants_errors = true,
};

int dv_diag_ping(struct dv_diag *diag, const struct dv_how *how,
		 struct dv_err *err)
{
	struct dv_op *op;
	int r = dv_op_new(diag, &kind_ping, how, &op, err);

	return r < 0 ? r : dv_op_go(op, 0, err);
}

int dv_diag_wait_ready(struct dv_diag *diag, const struct dv_how *how,
		       struct dv_err *err)
{
	struct dv_op *op;
	int r = dv_op_new(diag, &kind_ping, how, &op, err);

	if (r < 0)
		return r;
	op->wait_ready = true;
	return dv_op_go(op, 0, err);
}

/* The answer is known when this one's turn comes. */
static int call_hello(struct dv_op *op, struct dv_err *err DV_UNUSED)
{
	struct dv_diag_hello *hello = op->out[0];

	*hello = op->diag->hello;
	return 0;
}

static const struct dv_diag_kind kind_hello = {
	.what = "hello",
	.v1 = "Hello",
	.asks = true,
	.service = DV_DIAG_NEW, /* a foreign server is an answer, too */
	.method = "Ping",
	.call = call_hello,
};

int dv_diag_hello(struct dv_diag *diag, struct dv_diag_hello *hello,
		  const struct dv_how *how, struct dv_err *err)
{
	struct dv_op *op;
	int r = dv_op_new(diag, &kind_hello, how, &op, err);

	if (r < 0)
		return r;
	op->out[0] = hello;
	return dv_op_go(op, 0, err);
}

/* ---- orders without an answer ------------------------------------------ */

static int order(struct dv_diag *diag, const struct dv_diag_kind *kind,
		 const struct dv_how *how, struct dv_err *err)
{
	struct dv_op *op;
	int r = dv_op_new(diag, kind, how, &op, err);

	return r < 0 ? r : dv_op_go(op, 0, err);
}

static const struct dv_diag_kind kind_restart = { .what = "restart",
						  .service = DV_DIAG_OLD,
						  .method = "Restart",
						  .v1 = "Restart" };
static const struct dv_diag_kind kind_pause = { .what = "pause",
						.service = DV_DIAG_OLD,
						.method = "Pause",
						.v1 = "Pause" };
static const struct dv_diag_kind kind_resume = { .what = "resume",
						 .service = DV_DIAG_OLD,
						 .method = "Resume",
						 .v1 = "Resume" };

int dv_diag_restart(struct dv_diag *diag, const struct dv_how *how,
		    struct dv_err *err)
{
	return order(diag, &kind_restart, how, err);
}

int dv_diag_pause(struct dv_diag *diag, const struct dv_how *how,
		  struct dv_err *err)
{
	return order(diag, &kind_pause, how, err);
}

int dv_diag_resume(struct dv_diag *diag, const struct dv_how *how,
		   struct dv_err *err)
{
	return order(diag, &kind_resume, how, err);
}

/* Who crashes may not answer. */
static int reply_crash(struct dv_op *op DV_UNUSED,
		       const struct dv_rpc_reply *reply, struct dv_err *err)
{
	if (reply->r < 0 && err->code == DV_UNAVAILABLE &&
	    reply->r == -ECONNRESET)
		return 0;
	return reply->r;
}

static const struct dv_diag_kind kind_crash = {
	.what = "crash",
	.v1 = "Crash",
	.service = DV_DIAG_OLD,
	.method = "Crash",
	.reply = reply_crash,
	.wants_errors = true,
};

int dv_diag_crash(struct dv_diag *diag, int32_t pid, const struct dv_how *how,
		  struct dv_err *err)
{
	dv_diag_CrashRequest m = dv_diag_CrashRequest_init_zero;
	dv_ProcessName name = dv_ProcessName_init_zero;
	struct dv_op *op;
	int r = dv_op_new(diag, &kind_crash, how, &op, err);

	if (r < 0)
		return r;
	m.pid = pid;
	name.pid = pid;
	r = dv_op_put(op, false, dv_diag_CrashRequest_fields, &m, err);
	if (r == 0)
		r = dv_op_put(op, true, dv_ProcessName_fields, &name, err);
	return dv_op_go(op, r, err);
}

/* ---- a workload that waits --------------------------------------------- */

static const struct dv_diag_kind kind_start = { .what = "start",
						.service = DV_DIAG_OLD,
						.method = "Start",
						.v1 = "Start" };

static size_t count(const char *const *words)
{
	size_t n = 0;

	while (words && words[n])
		n++;
	return n;
}

int dv_diag_start(struct dv_diag *diag, const char *const *env,
		  const char *const *args, const struct dv_how *how,
		  struct dv_err *err)
{
	dv_diag_StartRequest m = dv_diag_StartRequest_init_zero;
	dv_autofree dv_EnvPair *pairs = NULL;
	dv_autofree char *names = NULL;
	struct dv_op *op;
	size_t n_env, n_args = count(args);
	int r = dv_op_new(diag, &kind_start, how, &op, err);

	if (r < 0)
		return r;
	r = dv_diag_env(env, &pairs, &names, &n_env);
	if (r < 0 || n_env > UINT16_MAX || n_args > UINT16_MAX) {
		r = dv_err_sys(err, r < 0 ? -r : E2BIG, "start");
		return dv_op_go(op, r, err);
	}
	static_assert(sizeof(dv_EnvPair) == sizeof(dv_diag_EnvPair),
		      "one schema, twice");
	m.env = (dv_diag_EnvPair *)(void *)pairs;
	m.env_count = (pb_size_t)n_env;
	m.args = (char **)(uintptr_t)args;
	m.args_count = (pb_size_t)n_args;
	r = dv_op_put(op, false, dv_diag_StartRequest_fields, &m, err);
	if (r == 0) /* the same message */
		r = dv_op_put(op, true, dv_diag_StartRequest_fields, &m, err);
	return dv_op_go(op, r, err);
}

/* ---- bytes as they came ------------------------------------------------- */

/* out[0]: void **, out[1]: size_t *; both may be NULL. */
static int give(struct dv_op *op, const void *data, size_t len)
{
	void **datap = op->out[0];
	size_t *lenp = op->out[1];
	char *copy;

	if (lenp)
		*lenp = len;
	if (!datap)
		return 0;
	copy = malloc(len + 1);
	if (!copy)
		return -ENOMEM;
	if (len)
		memcpy(copy, data, len);
	copy[len] = '\0';
	*datap = copy;
	return 0;
}

static int reply_bytes(struct dv_op *op, const struct dv_rpc_reply *reply,
		       struct dv_err *err)
{
	int r = give(op, reply->payload, reply->len);

	return r < 0 ? dv_err_sys(err, -r, "keep the answer") : 0;
}

static const struct dv_diag_kind kind_inspect = {
	.what = "inspect",
	.service = "inspect.InspectService",
	.method = "Inspect",
	.reply = reply_bytes,
};

/* A path that the server gets, and where its answer goes. */
static int new_answered(struct dv_diag *diag, const struct dv_diag_kind *kind,
			void **datap, size_t *lenp, const struct dv_how *how,
			struct dv_op **opp, struct dv_err *err)
{
	int r = dv_op_new(diag, kind, how, opp, err);

	if (r == 0) {
		(*opp)->out[0] = datap;
		(*opp)->out[1] = lenp;
	}
	return r;
}

int dv_diag_inspect(struct dv_diag *diag, const char *path, uint32_t depth,
		    void **datap, size_t *lenp, const struct dv_how *how,
		    struct dv_err *err)
{
	dv_inspect_InspectRequest m = dv_inspect_InspectRequest_init_zero;
	struct dv_op *op;
	int r = new_answered(diag, &kind_inspect, datap, lenp, how, &op, err);

	if (r < 0)
		return r;
	/* It answers at its deadline: that has to arrive. */
	op->extra_ms = 500;
	m.path = *path ? dv_diag_borrow(path) : NULL;
	m.depth = depth;
	r = dv_op_put(op, false, dv_inspect_InspectRequest_fields, &m, err);
	return dv_op_go(op, r, err);
}

static const struct dv_diag_kind kind_update = {
	.what = "update",
	.service = "inspect.InspectService",
	.method = "Update",
	.reply = reply_bytes,
};

int dv_diag_update(struct dv_diag *diag, const char *path, const char *value,
		   void **datap, size_t *lenp, const struct dv_how *how,
		   struct dv_err *err)
{
	dv_inspect_UpdateRequest m = dv_inspect_UpdateRequest_init_zero;
	struct dv_op *op;
	int r = new_answered(diag, &kind_update, datap, lenp, how, &op, err);

	if (r < 0)
		return r;
	m.path = *path ? dv_diag_borrow(path) : NULL;
	m.value = *value ? dv_diag_borrow(value) : NULL;
	r = dv_op_put(op, false, dv_inspect_UpdateRequest_fields, &m, err);
	return dv_op_go(op, r, err);
}

/* ---- any method --------------------------------------------------------- */

/* op->text: service, NUL, method. */
static int call_any(struct dv_op *op, struct dv_err *err);

static const struct dv_diag_kind kind_call = {
	.what = "call",
	.service = "",
	.call = call_any,
	.reply = reply_bytes,
};

static void on_any(struct dv_rpc_call *call DV_UNUSED,
		   const struct dv_rpc_reply *reply, void *arg)
{
	struct dv_op *op = arg;
	struct dv_err err = DV_ERR_INIT;
	int r = dv_diag_said(&op->call, reply, &err);

	if (r >= 0)
		r = reply_bytes(op, reply, &err);
	dv_op_end(op, r, &err);
}

static int call_any(struct dv_op *op, struct dv_err *err)
{
	struct dv_rpc_call_opts o = DV_RPC_CALL_INIT;
	int r;

	o.timeout_ms = dv_op_left(op);
	o.wait_ready = op->wait_ready;
	r = dv_rpc_call(op->diag->rpc, &op->call, op->text,
			op->text + strlen(op->text) + 1, op->request[0].data,
			op->request[0].len, &o, on_any, op, err);
	return r < 0 ? r : DV_MORE;
}

/* NOLINTNEXTLINE(readability-function-size): any call, with both its ends */
int dv_diag_call(struct dv_diag *diag, const char *service, const char *method,
		 const void *payload, size_t len, bool wait_ready, void **outp,
		 size_t *out_lenp, const struct dv_how *how, struct dv_err *err)
{
	size_t ls = strlen(service) + 1, lm = strlen(method) + 1;
	struct dv_op *op;
	int r = new_answered(diag, &kind_call, outp, out_lenp, how, &op, err);

	if (r < 0)
		return r;
	op->wait_ready = wait_ready;
	op->text = malloc(ls + lm);
	if (op->text) {
		memcpy(op->text, service, ls);
		memcpy(op->text + ls, method, lm);
		r = dv_buf_put(&op->request[0], payload, len);
	} else {
		r = -ENOMEM;
	}
	if (r < 0)
		dv_err_sys(err, -r, "call %s/%s", service, method);
	return dv_op_go(op, r, err);
}
