/* SPDX-License-Identifier: MIT */
/*
 * Calls that block.
 */
#include <davit/rpc.h>

#include <errno.h>
#include <string.h>

#include "rpc/client_priv.h"

struct wait {
	bool done;
	int r;
	bool want; /* the answer's bytes */
	void *out;
	size_t len;
	struct dv_err *err;
};

static void on_waited(struct dv_rpc_call *call,
		      const struct dv_rpc_reply *reply, void *arg)
{
	struct wait *w = arg;

	(void)call;
	w->done = true;
	w->r = reply->r;
	if (reply->r < 0) {
		if (w->err)
			*w->err = *reply->err;
		return;
	}
	w->len = reply->len;
	if (!w->want)
		return;
	w->out = malloc(reply->len + 1);
	if (!w->out) {
		w->r = dv_err_sys(w->err, ENOMEM, "answer");
		return;
	}
	if (reply->len)
		memcpy(w->out, reply->payload, reply->len);
	((char *)w->out)[reply->len] = '\0';
}

/*
 * Sleep in the connection's own read, where possible. A call with a deadline
 * does so once: what comes may be for an earlier call, and then the loop takes
 * over, which keeps the deadline.
 */
static void wait_alone(struct dv_rpc *rpc, const struct dv_rpc_call *call,
		       int timeout_ms, const bool *done)
{
	bool again = rpc->ops->wait != NULL;

	while (again && !*done && rpc->state == DV_RPC_OPEN &&
	       rpc->sent == call && !call->next && !rpc->queue)
		again = rpc->ops->wait(rpc, call, timeout_ms) && timeout_ms < 0;
}

/* NOLINTNEXTLINE(readability-function-size): a call, with both its ends */
int dv_rpc_call_wait(struct dv_rpc *rpc, const char *service,
		     const char *method, const void *payload, size_t len,
		     const struct dv_rpc_call_opts *opts, void **outp,
		     size_t *out_lenp, struct dv_err *err)
{
	struct wait w = { .want = outp != NULL, .err = err };
	struct dv_rpc_call *call;
	int r;

	if (dv_loop_busy(rpc->loop))
		return dv_err_sys(err, EDEADLK, "%s/%s", service, method);
	if (opts && opts->stream)
		return dv_err_set(err, EINVAL, DV_INVALID,
				  "a stream cannot be waited for");
	r = dv_rpc_call(rpc, &call, service, method, payload, len, opts,
			on_waited, &w, err);
	if (r < 0)
		return r;
	wait_alone(rpc, call, opts ? opts->timeout_ms : -1, &w.done);
	while (!w.done) {
		r = dv_loop_dispatch(rpc->loop, -1);
		if (r < 0 && !w.done) {
			dv_rpc_cancel(call);
			return dv_err_sys(err, -r, "%s/%s", service, method);
		}
	}
	if (w.r < 0)
		return w.r;
	if (outp)
		*outp = w.out;
	if (out_lenp)
		*out_lenp = w.len;
	return 0;
}
