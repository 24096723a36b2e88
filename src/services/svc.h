/* SPDX-License-Identifier: MIT */
#pragma once
/*
 * What davit.v1.Sandbox and its translations share, and davit.v1.Keeper, too.
 */
#include "services/sandbox.h"

struct dv_bulk;

struct dv_sandbox_svc {
	struct dv_procs *procs;
	const struct dv_guest *guest; /* may be NULL */
	const char *boundary;
	struct dv_server *server; /* the last one it was added to */
	struct dv_bulk *bulks;
	int (*may)(void *arg, struct dv_err *err); /* NULL: it may */
	void *may_arg;
};

static inline struct dv_sandbox_svc *dv_svc(const struct dv_call *call)
{
	return call->ctx;
}

/* What the guest can do; without a guest nothing. */
static inline const struct dv_guest_ops *dv_svc_ops(const struct dv_call *call)
{
	static const struct dv_guest_ops none;
	const struct dv_guest *guest = dv_svc(call)->guest;

	return guest ? guest->ops : &none;
}

static inline void *dv_svc_guest(const struct dv_call *call)
{
	return dv_svc(call)->guest->self;
}

/* How a service says that it failed; dv_call_fail_err() is one. */
typedef void dv_svc_fail_fn(struct dv_call *call, const struct dv_err *err);

/* Most calls do one thing, and answer nothing. */
static inline void dv_svc_finish(struct dv_call *call, int r,
				 const struct dv_err *err)
{
	if (r < 0)
		dv_call_fail_err(call, err);
	else
		dv_call_reply(call, NULL);
}

/* ---- svc_call.c ---- */

/*
 * The stream that a request names: data connection @conn, or (@fd > 0) a
 * descriptor that came along, counted from 1. Owned; < 0 with @err.
 */
int dv_svc_stream(struct dv_call *call, uint64_t conn, uint32_t fd,
		  struct dv_err *err);

/* Hold @call until the start ends; @reply then answers it with the process. */
void dv_svc_exec(struct dv_call *call, const dv_ExecRequest *rq,
		 void (*reply)(struct dv_call *call, struct dv_exec *exec),
		 dv_svc_fail_fn *fail);

/* Answer by @reply when @exec has exited, or now. The call may end before. */
void dv_svc_wait(struct dv_call *call, struct dv_exec *exec,
		 void (*reply)(struct dv_call *call,
			       const dv_ExitRecord *record));

/*
 * For the guest's streaming ops: a context whose callbacks answer @call: at
 * the end with a StreamReply, or (@at_start) as soon as it is under way with
 * an empty one. NULL: no memory, and the call is over. When the op refuses,
 * dv_svc_flow_refused() ends it.
 */
struct dv_svc_flow;
struct dv_svc_flow *dv_svc_flow(struct dv_call *call, bool at_start,
				dv_svc_fail_fn *fail, struct dv_flow_cb *cb);
void dv_svc_flow_refused(struct dv_svc_flow *flow, const struct dv_err *err);

/*
 * The same for a call that is answered with all of a stream in one message:
 * *@outp (owned) is where the op streams to, and @reply answers with it.
 */
struct dv_svc_fetch;
struct dv_svc_fetch *
dv_svc_fetch(struct dv_call *call,
	     void (*reply)(struct dv_call *call, struct dv_buf *all),
	     dv_svc_fail_fn *fail, struct dv_flow_cb *cb, int *outp);
void dv_svc_fetch_refused(struct dv_svc_fetch *fetch, const struct dv_err *err);

/*
 * Send @buf (emptied) to @fd (consumed) and answer @call with a StreamReply
 * when all of it is sent.
 */
void dv_svc_bulk(struct dv_call *call, struct dv_buf *buf, int fd);
void dv_svc_bulks_stop(struct dv_sandbox_svc *svc);
