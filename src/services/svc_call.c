/* SPDX-License-Identifier: MIT */
/*
 * Calls that are held: for a start, for an exit, for a stream. Each has a small
 * context of its own, and its call may end before it: by its deadline, or with
 * its connection. The process or stream goes on then.
 */
#include <errno.h>
#include <stdlib.h>

#include "base/def.h"
#include "base/fd.h"
#include "services/pump.h"
#include "services/svc.h"

int dv_svc_stream(struct dv_call *call, uint64_t conn, uint32_t fd,
		  struct dv_err *err)
{
	struct dv_data *data = dv_procs_data(dv_svc(call)->procs);
	int r;

	if (fd > 0) {
		if (fd > call->n_fds || call->fds[fd - 1] < 0)
			return dv_err_set(err, EINVAL, DV_INVALID,
					  "descriptor %u did not come along",
					  fd);
		r = data ? dv_data_count_claimed(data, call->fds[fd - 1],
						 call->peer, err)
			 : 0;
		return r < 0 ? r : dv_take_fd(&call->fds[fd - 1]);
	}
	if (!data)
		return dv_err_set(err, ENOTSUP, DV_UNIMPLEMENTED,
				  "there are no data connections here");
	return dv_data_claim(data, conn, err);
}

static void no_memory(struct dv_call *call)
{
	dv_call_fail(call, DV_EXHAUSTED, "out of memory");
}

/* ---- starts ----------------------------------------------------------- */

struct start {
	struct dv_call *call;
	struct dv_exec *exec;
	void (*reply)(struct dv_call *call, struct dv_exec *exec);
	dv_svc_fail_fn *fail;
};

static void start_cancelled(struct dv_call *call)
{
	struct start *s = call->data;

	dv_exec_forget(s->exec);
	free(s);
}

static void on_started(void *arg, struct dv_exec *exec,
		       const struct dv_err *err)
{
	struct start *s = arg;

	if (err)
		s->fail(s->call, err);
	else
		s->reply(s->call, exec);
	free(s);
}

void dv_svc_exec(struct dv_call *call, const dv_ExecRequest *rq,
		 void (*reply)(struct dv_call *call, struct dv_exec *exec),
		 dv_svc_fail_fn *fail)
{
	struct dv_sandbox_svc *svc = dv_svc(call);
	struct dv_err err = DV_ERR_INIT;
	struct start *s;

	if (svc->may && svc->may(svc->may_arg, &err) < 0) {
		fail(call, &err);
		return;
	}
	s = malloc(sizeof(*s));
	if (!s) {
		no_memory(call);
		return;
	}
	*s = (struct start){ call, NULL, reply, fail };
	if (dv_procs_start(svc->procs, rq, call->fds, call->n_fds, on_started,
			   s, &s->exec, &err) < 0) {
		fail(call, &err);
		free(s);
		return;
	}
	dv_call_hold(call, s, start_cancelled);
}

/* ---- exits ------------------------------------------------------------ */

struct wait {
	struct dv_exec_waiter waiter;
	struct dv_call *call;
	void (*reply)(struct dv_call *call, const dv_ExitRecord *record);
};

static void wait_cancelled(struct dv_call *call)
{
	struct wait *w = call->data;

	dv_exec_unwait(&w->waiter);
	free(w);
}

static void on_exit_of(struct dv_exec_waiter *waiter,
		       const dv_ExitRecord *record)
{
	struct wait *w = dv_container_of(waiter, struct wait, waiter);

	w->reply(w->call, record);
	free(w);
}

void dv_svc_wait(struct dv_call *call, struct dv_exec *exec,
		 void (*reply)(struct dv_call *call,
			       const dv_ExitRecord *record))
{
	struct wait *w;

	if (dv_exec_record(exec)) {
		reply(call, dv_exec_record(exec));
		return;
	}
	w = calloc(1, sizeof(*w));
	if (!w) {
		no_memory(call);
		return;
	}
	w->call = call;
	w->reply = reply;
	w->waiter.fn = on_exit_of;
	dv_exec_wait(exec, &w->waiter);
	dv_call_hold(call, w, wait_cancelled);
}

/* ---- streams of the guest --------------------------------------------- */

struct dv_svc_flow {
	struct dv_call *call; /* NULL: it was answered, or is gone */
	bool at_start;
	dv_svc_fail_fn *fail;
};

static void flow_cancelled(struct dv_call *call)
{
	struct dv_svc_flow *f = call->data;

	f->call = NULL;
}

static void flow_started(void *arg)
{
	struct dv_svc_flow *f = arg;
	struct dv_call *call = f->call;

	if (!call || !f->at_start)
		return;
	f->call = NULL;
	dv_call_reply(call, NULL);
}

static void flow_done(void *arg, uint64_t bytes, const struct dv_err *err)
{
	struct dv_svc_flow *f = arg;
	dv_StreamReply reply = { .bytes = bytes };

	if (f->call && err)
		f->fail(f->call, err);
	else if (f->call)
		dv_call_reply(f->call, f->at_start ? NULL : &reply);
	free(f);
}

struct dv_svc_flow *dv_svc_flow(struct dv_call *call, bool at_start,
				dv_svc_fail_fn *fail, struct dv_flow_cb *cb)
{
	struct dv_svc_flow *f = malloc(sizeof(*f));

	if (!f) {
		no_memory(call);
		return NULL;
	}
	*f = (struct dv_svc_flow){ call, at_start, fail };
	*cb = (struct dv_flow_cb){ flow_started, flow_done, f, call->peer };
	dv_call_hold(call, f, flow_cancelled);
	return f;
}

void dv_svc_flow_refused(struct dv_svc_flow *f, const struct dv_err *err)
{
	flow_done(f, 0, err);
}

/* ---- documents -------------------------------------------------------- */

struct dv_bulk {
	struct dv_bulk *next, **prevp;
	struct dv_call *call; /* NULL: it was answered, or is gone */
	struct dv_pump pump;
};

static void bulk_free(struct dv_bulk *b)
{
	dv_pump_stop(&b->pump);
	*b->prevp = b->next;
	if (b->next)
		b->next->prevp = b->prevp;
	free(b);
}

static void bulk_cancelled(struct dv_call *call)
{
	struct dv_bulk *b = call->data;

	b->call = NULL;
}

static void bulk_sent(struct dv_pump *pump)
{
	struct dv_bulk *b = dv_container_of(pump, struct dv_bulk, pump);
	struct dv_call *call = b->call;
	dv_StreamReply reply = { .bytes = pump->bytes };

	b->call = NULL;
	if (call)
		dv_call_reply(call, &reply);
}

static void bulk_done(struct dv_pump *pump)
{
	struct dv_bulk *b = dv_container_of(pump, struct dv_bulk, pump);

	if (b->call)
		dv_call_fail(b->call, DV_ABORTED,
			     "the reader went before the end");
	bulk_free(b);
}

void dv_svc_bulk(struct dv_call *call, struct dv_buf *buf, int fd)
{
	struct dv_sandbox_svc *svc = dv_svc(call);
	struct dv_bulk *b = calloc(1, sizeof(*b));
	int r = -ENOMEM;

	if (!b) {
		dv_close(fd);
		no_memory(call);
		return;
	}
	b->pump = (struct dv_pump)DV_PUMP_INIT;
	b->pump.sent = bulk_sent;
	b->pump.done = bulk_done;
	b->next = svc->bulks;
	b->prevp = &svc->bulks;
	if (b->next)
		b->next->prevp = &b->next;
	svc->bulks = b;
	if (dv_buf_status(buf) == 0)
		r = dv_pump_hold(&b->pump, buf->data, buf->len);
	dv_buf_free(buf);
	if (r < 0)
		dv_close(fd);
	else
		r = dv_pump_start(&b->pump, call->loop, -1, fd, DV_PUMP_SOCKET);
	if (r < 0) {
		bulk_free(b);
		dv_call_fail(call, dv_code_from_errno(-r), "send: %s",
			     dv_errno_text(-r));
		return;
	}
	b->call = call;
	dv_call_hold(call, b, bulk_cancelled);
}

void dv_svc_bulks_stop(struct dv_sandbox_svc *svc)
{
	while (svc->bulks)
		bulk_free(svc->bulks);
}
