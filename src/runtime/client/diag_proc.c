/* SPDX-License-Identifier: MIT */
/*
 * Processes that were started: wait, signal, resize, attach.
 */
#include <errno.h>
#include <string.h>

#include "base/def.h"
#include "base/fd.h"
#include "runtime/client/diag.h"
#include "wire/pb.h"

/* ---- wait ---------------------------------------------------------------- */

static const char *const ended_by[] = {
	[DV_ENDED_EXIT] = "exit",       [DV_ENDED_SIGNAL] = "signal",
	[DV_ENDED_TIMEOUT] = "timeout", [DV_ENDED_OOM] = "oom",
	[DV_ENDED_STOP] = "stop",       [DV_ENDED_KEEPER] = "keeper",
};
static_assert(DV_ARRAY_LEN(ended_by) == DV_ENDED_N, "one word each");

static uint32_t parse_ended_by(const char *word)
{
	for (uint32_t i = 0; word && i < DV_ENDED_N; i++)
		if (!strcmp(word, ended_by[i]))
			return i;
	return DV_ENDED_EXIT;
}

void dv_exit_give(struct dv_exit *to, const struct dv_exit *from)
{
	size_t size = to ? dv_min(to->size, sizeof(*from)) : 0;

	if (size > sizeof(to->size))
		memcpy((char *)to + sizeof(to->size),
		       (const char *)from + sizeof(from->size),
		       size - sizeof(to->size));
}

void dv_diag_exit_of_record(struct dv_exit *to, const dv_ExitRecord *rec)
{
	struct dv_exit e = { .code = rec->code,
			     .signal = rec->signal,
			     .ended_by = parse_ended_by(rec->ended_by),
			     .core = rec->core,
			     .oom = rec->oom,
			     .timed_out = rec->timed_out,
			     .started_unix_ns = rec->start_unix_ns,
			     .exited_unix_ns = rec->end_unix_ns,
			     .user_us = rec->user_us,
			     .system_us = rec->system_us,
			     .max_rss_kib = rec->max_rss_kib,
			     .wall_ns = rec->wall_ns,
			     .pids_limited = rec->pids_refused != 0,
			     .pids_refused = rec->pids_refused,
			     .minor_faults = rec->minor_faults,
			     .major_faults = rec->major_faults,
			     .voluntary_cs = rec->voluntary_cs,
			     .involuntary_cs = rec->involuntary_cs };

	if (!e.wall_ns && e.exited_unix_ns > e.started_unix_ns)
		e.wall_ns = e.exited_unix_ns - e.started_unix_ns;
	dv_exit_give(to, &e);
}

static void of_response(struct dv_exit *to, const dv_diag_WaitResponse *m)
{
	struct dv_exit e = { .code = m->exit_code,
			     .signal = m->signal,
			     .core = m->core,
			     .oom = m->oom,
			     .ended_by = m->oom      ? DV_ENDED_OOM
					 : m->signal ? DV_ENDED_SIGNAL
						     : DV_ENDED_EXIT };

	dv_exit_give(to, &e);
}

static void forget(struct dv_rpc_call *call DV_UNUSED,
		   const struct dv_rpc_reply *reply DV_UNUSED,
		   void *arg DV_UNUSED)
{
}

/* It arrived: the server need not keep the record. Nobody waits for that. */
static void release(struct dv_op *op)
{
	struct dv_rpc_call_opts o = DV_RPC_CALL_INIT;

	o.timeout_ms = DV_DIAG_HELLO_MS;
	dv_rpc_call(op->diag->rpc, NULL, DV_DIAG_V1, "Release",
		    op->request[1].data, op->request[1].len, &o, forget, NULL,
		    NULL);
}

static int reply_wait(struct dv_op *op, const struct dv_rpc_reply *reply,
		      struct dv_err *err)
{
	dv_diag_WaitResponse old = dv_diag_WaitResponse_init_zero;
	dv_ExitRecord m = dv_ExitRecord_init_zero;
	struct dv_exit *exit = op->out[0];
	int r;

	if (!op->v1) {
		r = dv_pb_decode(dv_diag_WaitResponse_fields, reply->payload,
				 reply->len, &old, err);
		if (r == 0 && exit)
			of_response(exit, &old);
		return r;
	}
	r = dv_pb_decode(dv_ExitRecord_fields, reply->payload, reply->len, &m,
			 err);
	if (r == 0 && exit)
		dv_diag_exit_of_record(exit, &m);
	dv_pb_release(dv_ExitRecord_fields, &m);
	if (r == 0 && op->arg)
		release(op);
	return r;
}

static const struct dv_diag_kind kind_wait = {
	.what = "wait",
	.v1 = "Wait",
	.service = DV_DIAG_OLD,
	.method = "Wait",
	.reply = reply_wait,
};

int dv_diag_wait(struct dv_diag_proc *p, struct dv_exit *exit,
		 const struct dv_how *how, struct dv_err *err)
{
	dv_diag_WaitRequest old = dv_diag_WaitRequest_init_zero;
	dv_ProcessName m = dv_ProcessName_init_zero;
	struct dv_op *op;
	int r = dv_op_new(p->diag, &kind_wait, how, &op, err);

	if (r < 0)
		return r;
	old.pid = m.pid = p->pid;
	m.id = p->id;
	op->out[0] = exit;
	op->arg = p->ours;
	r = dv_op_put(op, false, dv_diag_WaitRequest_fields, &old, err);
	if (r == 0)
		r = dv_op_put(op, true, dv_ProcessName_fields, &m, err);
	return dv_op_go(op, r, err);
}

/* ---- davit.v1 only --------------------------------------------------------
 */

static const struct dv_diag_kind kind_signal = { .what = "signal",
						 .v1 = "Signal" };

int dv_diag_signal(struct dv_diag_proc *p, int signo, enum dv_diag_scope scope,
		   const struct dv_how *how, struct dv_err *err)
{
	dv_SignalRequest m = dv_SignalRequest_init_zero;
	struct dv_op *op;
	int r = dv_op_new(p->diag, &kind_signal, how, &op, err);

	if (r < 0)
		return r;
	m.id = p->id;
	m.pid = p->pid;
	m.signal = signo;
	m.scope = (dv_SignalScope)scope;
	r = dv_op_put(op, true, dv_SignalRequest_fields, &m, err);
	return dv_op_go(op, r, err);
}

static const struct dv_diag_kind kind_resize = { .what = "resize",
						 .v1 = "Resize" };

int dv_diag_resize(struct dv_diag_proc *p, uint16_t rows, uint16_t cols,
		   const struct dv_how *how, struct dv_err *err)
{
	dv_ResizeRequest m = dv_ResizeRequest_init_zero;
	struct dv_op *op;
	int r = dv_op_new(p->diag, &kind_resize, how, &op, err);

	if (r < 0)
		return r;
	m.id = p->id;
	m.pid = p->pid;
	m.rows = rows;
	m.cols = cols;
	r = dv_op_put(op, true, dv_ResizeRequest_fields, &m, err);
	return dv_op_go(op, r, err);
}

static int reply_attach(struct dv_op *op, const struct dv_rpc_reply *reply,
			struct dv_err *err)
{
	dv_AttachReply m = dv_AttachReply_init_zero;
	int *fdp = op->out[0];
	uint64_t *offsetp = op->out[1];
	int r = dv_pb_decode(dv_AttachReply_fields, reply->payload, reply->len,
			     &m, err);

	if (r < 0)
		return r;
	if (offsetp)
		*offsetp = m.offset;
	*fdp = dv_diag_conn_take(op, 0);
	return 0;
}

static const struct dv_diag_kind kind_attach = {
	.what = "attach",
	.v1 = "Attach",
	.conn_field = { 0, dv_AttachRequest_conn_tag },
	.reply = reply_attach,
};

int dv_diag_attach(struct dv_diag_proc *p, int which, uint64_t offset, int *fdp,
		   uint64_t *offsetp, const struct dv_how *how,
		   struct dv_err *err)
{
	dv_AttachRequest m = dv_AttachRequest_init_zero;
	struct dv_op *op;
	int r = dv_op_new(p->diag, &kind_attach, how, &op, err);

	if (r < 0)
		return r;
	m.id = p->id;
	m.pid = p->pid;
	m.stream = (uint32_t)which;
	m.offset = offset;
	op->out[0] = fdp;
	op->out[1] = offsetp;
	r = dv_op_put(op, true, dv_AttachRequest_fields, &m, err);
	return dv_op_go(op, r, err);
}
