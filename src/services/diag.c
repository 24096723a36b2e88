/* SPDX-License-Identifier: MIT */
#include "services/diag.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <pb_encode.h>

#include "base/def.h"
#include "base/fd.h"
#include "services/svc.h"

enum { NAMES_MAX = 64 << 10 };

/* ---- failures --------------------------------------------------------- */

/*
 * Clients tell failures apart by text, so whatever an application says is
 * UNKNOWN; the codes of the protocol itself stay.
 */
static void fail(struct dv_call *call, const struct dv_err *err)
{
	bool protocol = err->code == DV_UNIMPLEMENTED ||
			err->code == DV_DEADLINE || err->code == DV_UNAVAILABLE;

	dv_call_fail(call, protocol ? (enum dv_code)err->code : DV_UNKNOWN,
		     "%s", err->msg);
}

static void finish(struct dv_call *call, int r, const struct dv_err *err)
{
	if (r < 0)
		fail(call, err);
	else
		dv_call_reply(call, NULL);
}

static void not_here(struct dv_call *call)
{
	dv_call_fail(call, DV_UNIMPLEMENTED, "unknown method %s",
		     call->method->name);
}

/* ---- Exec and Wait ---------------------------------------------------- */

static void exec_fail(struct dv_call *call, const struct dv_err *err)
{
	const dv_diag_ExecRequest *rq = call->req;
	const char *name = rq->command ? rq->command : "";

	if (err->code == DV_UNKNOWN) /* it is worded as the client knows it */
		fail(call, err);
	else if (err->step != DV_STEP_NONE && err->sys > 0)
		dv_call_fail(call, DV_UNKNOWN,
			     "failed to launch %s: %s (os error %d)", name,
			     dv_errno_text(err->sys), (int)err->sys);
	else
		dv_call_fail(call, DV_UNKNOWN, "failed to launch %s: %s", name,
			     err->msg);
}

static void exec_reply(struct dv_call *call, struct dv_exec *exec)
{
	dv_diag_ExecResponse reply = { dv_exec_pid(exec) };

	dv_call_reply(call, &reply);
}

static dv_Stdio stdio_of(uint64_t conn, bool raw)
{
	dv_Stdio s = { .conn = conn };

	if (conn)
		s.mode = raw ? dv_STDIO_RAW : dv_STDIO_CONN;
	return s;
}

/* A terminal has one output; a connection for another one is not used. */
static int drop_stderr(struct dv_call *call, uint64_t conn, struct dv_err *err)
{
	int fd = dv_svc_stream(call, conn, 0, err);

	if (fd < 0)
		return dv_err_wrap(err, fd, "failed to get stderr conn");
	dv_close(fd);
	return 0;
}

/* The same request; @argv and @env have room, all else is borrowed. */
static void translate(dv_ExecRequest *to, const dv_diag_ExecRequest *rq,
		      char **argv, dv_EnvPair *env)
{
	bool raw = rq->raw_socket_io && !rq->tty;
	static char empty[1];

	argv[0] = rq->command ? rq->command : empty;
	for (pb_size_t i = 0; i < rq->args_count; i++)
		argv[1 + i] = rq->args[i];
	for (pb_size_t i = 0; i < rq->env_count; i++)
		env[i] = (dv_EnvPair){ rq->env[i].name, rq->env[i].value };
	*to = (dv_ExecRequest){
		.argv = argv,
		.argv_count = (pb_size_t)(rq->args_count + 1),
		.env = env,
		.env_count = rq->env_count,
		.clear_env = rq->clear_env,
		.terminal = rq->tty,
		.combine_stderr = rq->combine_stderr && !rq->tty,
		.has_stdin = true,
		.has_stdout = true,
		.has_stderr = true,
		.stdin = stdio_of(rq->stdin, raw),
		.stdout = stdio_of(rq->stdout, raw),
		.stderr = stdio_of(rq->tty ? 0 : rq->stderr, raw),
	};
}

static void m_exec(struct dv_call *call)
{
	const dv_diag_ExecRequest *rq = call->req;
	dv_autofree char **argv = calloc(rq->args_count + 2U, sizeof(*argv));
	dv_autofree dv_EnvPair *env = calloc(rq->env_count + 1U, sizeof(*env));
	struct dv_err err = DV_ERR_INIT;
	dv_ExecRequest to;

	if (!argv || !env || rq->args_count == UINT16_MAX) {
		dv_err_set(&err, E2BIG, DV_INVALID, "too many arguments");
		exec_fail(call, &err);
		return;
	}
	if (!rq->command || !rq->command[0]) {
		dv_err_set(&err, EINVAL, DV_INVALID, "no command was given");
		exec_fail(call, &err);
		return;
	}
	if (rq->tty && rq->stderr && drop_stderr(call, rq->stderr, &err) < 0) {
		fail(call, &err);
		return;
	}
	translate(&to, rq, argv, env);
	dv_svc_exec(call, &to, exec_reply, exec_fail);
}

static void wait_reply(struct dv_call *call, const dv_ExitRecord *record)
{
	dv_diag_WaitResponse reply = {
		.exit_code = record->code,
		.signal = record->signal,
		.core = record->core,
		.oom = record->oom,
	};

	dv_call_reply(call, &reply);
}

static void m_wait(struct dv_call *call)
{
	const dv_diag_WaitRequest *rq = call->req;
	struct dv_exec *e = dv_procs_find(dv_svc(call)->procs, 0, rq->pid);

	if (e)
		dv_svc_wait(call, e, wait_reply);
	else
		dv_call_fail(call, DV_UNKNOWN, "pid not found");
}

/* ---- the workload ----------------------------------------------------- */

static void m_start(struct dv_call *call)
{
	struct dv_err err = DV_ERR_INIT;

	if (!dv_svc_ops(call)->start)
		not_here(call);
	else
		finish(call,
		       dv_svc_ops(call)->start(dv_svc_guest(call), call->req,
					       &err),
		       &err);
}

/* Succeeds whatever comes of it, and first: it may be ourselves. */
static void m_crash(struct dv_call *call)
{
	const dv_diag_CrashRequest *rq = call->req;
	const struct dv_guest *guest = dv_svc(call)->guest;
	int32_t pid = rq->pid;

	dv_call_reply(call, NULL);
	if (guest && guest->ops->crash)
		guest->ops->crash(guest->self, pid);
}

static void m_pause(struct dv_call *call)
{
	struct dv_err err = DV_ERR_INIT;

	if (!dv_svc_ops(call)->pause)
		not_here(call);
	else
		finish(call, dv_svc_ops(call)->pause(dv_svc_guest(call), &err),
		       &err);
}

static void m_resume(struct dv_call *call)
{
	struct dv_err err = DV_ERR_INIT;

	if (!dv_svc_ops(call)->resume)
		not_here(call);
	else
		finish(call, dv_svc_ops(call)->resume(dv_svc_guest(call), &err),
		       &err);
}

static void m_restart(struct dv_call *call)
{
	if (!dv_svc_ops(call)->restart)
		not_here(call);
	else
		dv_svc_ops(call)->restart(dv_svc_guest(call), call);
}

/* ---- streams ---------------------------------------------------------- */

/*
 * The stream of a call that is answered as soon as it is under way. Returns its
 * descriptor, or < 0: the call is over.
 */
static int open_stream(struct dv_call *call, uint64_t conn,
		       struct dv_svc_flow **flowp, struct dv_flow_cb *cb)
{
	struct dv_err err = DV_ERR_INIT;
	int fd = dv_svc_stream(call, conn, 0, &err);

	if (fd < 0) {
		fail(call, &err);
		return fd;
	}
	*flowp = dv_svc_flow(call, true, fail, cb);
	return *flowp ? fd : dv_close(fd);
}

static void m_kmsg(struct dv_call *call)
{
	const struct dv_guest_ops *o = dv_svc_ops(call);
	const dv_diag_KmsgRequest *rq = call->req;
	dv_KmsgRequest to = { .follow = rq->follow };
	struct dv_err err = DV_ERR_INIT;
	struct dv_svc_flow *flow;
	struct dv_flow_cb cb;
	int fd;

	if (!o->kmsg) {
		not_here(call);
		return;
	}
	fd = open_stream(call, rq->conn, &flow, &cb);
	if (fd >= 0 && o->kmsg(dv_svc_guest(call), &to, fd, &cb, &err) < 0)
		dv_svc_flow_refused(flow, &err);
}

static void m_read_file(struct dv_call *call)
{
	const struct dv_guest_ops *o = dv_svc_ops(call);
	const dv_diag_FileRequest *rq = call->req;
	dv_ReadFileRequest to = { .path = rq->file_path, .follow = rq->follow };
	struct dv_err err = DV_ERR_INIT;
	struct dv_svc_flow *flow;
	struct dv_flow_cb cb;
	int fd;

	if (!o->read_file) {
		not_here(call);
		return;
	}
	fd = open_stream(call, rq->conn, &flow, &cb);
	if (fd >= 0 && o->read_file(dv_svc_guest(call), &to, fd, &cb, &err) < 0)
		dv_svc_flow_refused(flow, &err);
}

/* ---- documents -------------------------------------------------------- */

/* A field of bytes that is longer than the generated struct can hold. */
static bool put_bytes(pb_ostream_t *out, const pb_field_t *field,
		      void *const *arg)
{
	const struct dv_buf *buf = *arg;

	return buf->len == 0 ||
	       (pb_encode_tag_for_field(out, field) &&
		pb_encode_string(out, (const pb_byte_t *)buf->data, buf->len));
}

static void m_saved_state(struct dv_call *call)
{
	dv_autobuf buf = DV_BUF_INIT(SIZE_MAX);
	dv_diag_DumpSavedStateResponse reply = {
		.data = { .funcs.encode = put_bytes, .arg = &buf },
	};
	struct dv_err err = DV_ERR_INIT;

	if (!dv_svc_ops(call)->saved_state)
		not_here(call);
	else if (dv_svc_ops(call)->saved_state(dv_svc_guest(call), &buf, &err) <
		 0)
		fail(call, &err);
	else
		dv_call_reply(call, &reply);
}

static void reply_profile(struct dv_call *call, struct dv_buf *buf)
{
	dv_diag_MemoryProfileTraceResponse reply = {
		.data = { .funcs.encode = put_bytes, .arg = buf },
	};

	dv_call_reply(call, &reply);
}

static void m_mem_profile(struct dv_call *call)
{
	const dv_diag_MemoryProfileTraceRequest *rq = call->req;
	dv_MemProfileRequest ask = { .pid = rq->pid };
	struct dv_err err = DV_ERR_INIT;
	struct dv_svc_fetch *f;
	struct dv_flow_cb cb;
	int out;

	if (!dv_svc_ops(call)->mem_profile) {
		not_here(call);
		return;
	}
	f = dv_svc_fetch(call, reply_profile, fail, &cb, &out);
	if (f && dv_svc_ops(call)->mem_profile(dv_svc_guest(call), &ask, out,
					       &cb, &err) < 0)
		dv_svc_fetch_refused(f, &err);
}

/* ---- packet capture --------------------------------------------------- */

/* How many interfaces there are, or -errno. */
static int count_interfaces(struct dv_call *call, struct dv_err *err)
{
	dv_autobuf names = DV_BUF_INIT(NAMES_MAX);
	bool running;
	int n = 0, r;

	r = dv_svc_ops(call)->capture_query(dv_svc_guest(call), &names,
					    &running, err);
	if (r < 0)
		return r;
	for (size_t at = 0; at < names.len; at += strlen(names.data + at) + 1)
		n++;
	return n;
}

/* All are claimed; those that are too many are closed. */
static int capture_start(struct dv_call *call,
			 const dv_diag_StartPacketCaptureData *rq,
			 struct dv_err *err)
{
	dv_autofree int *outs = calloc(rq->conns_count + 1U, sizeof(*outs));
	size_t n = 0, n_outs;
	int r = outs ? 0 : dv_err_sys(err, ENOMEM, "capture");

	for (; r >= 0 && n < rq->conns_count; n += r >= 0)
		r = outs[n] = dv_svc_stream(call, rq->conns[n], 0, err);
	if (r >= 0)
		r = count_interfaces(call, err);
	if (r >= 0 && (size_t)r > n)
		r = dv_err_set(err, EINVAL, DV_INVALID, "Insufficient streams");
	n_outs = r < 0 ? 0 : (size_t)r;
	while (n > n_outs)
		dv_close(outs[--n]);
	if (r < 0)
		return r;
	return dv_svc_ops(call)->capture_start(dv_svc_guest(call), rq->snaplen,
					       outs, n, NULL, 0, err);
}

static int capture(struct dv_call *call, uint32_t *n_streamsp,
		   struct dv_err *err)
{
	const dv_diag_NetworkPacketCaptureRequest *rq = call->req;
	int r;

	switch ((int)rq->operation) {
	case dv_diag_NetworkPacketCaptureRequest_Operation_QUERY:
		r = count_interfaces(call, err);
		*n_streamsp = r < 0 ? 0 : (uint32_t)r;
		return r;
	case dv_diag_NetworkPacketCaptureRequest_Operation_START:
		if (rq->which_op_data ==
		    dv_diag_NetworkPacketCaptureRequest_start_data_tag)
			return capture_start(call, &rq->op_data.start_data,
					     err);
		return dv_err_set(err, EINVAL, DV_INVALID,
				  "missing start operation parameters");
	case dv_diag_NetworkPacketCaptureRequest_Operation_STOP:
		return dv_svc_ops(call)->capture_stop(dv_svc_guest(call), err);
	default:
		return dv_err_set(err, EINVAL, DV_INVALID,
				  "unsupported request type %d",
				  (int)rq->operation);
	}
}

static void m_capture(struct dv_call *call)
{
	dv_diag_NetworkPacketCaptureResponse reply = { 0 };
	struct dv_err err = DV_ERR_INIT;
	const struct dv_guest_ops *o = dv_svc_ops(call);

	if (!o->capture_query || !o->capture_start || !o->capture_stop)
		not_here(call);
	else if (capture(call, &reply.num_streams, &err) < 0)
		fail(call, &err);
	else
		dv_call_reply(call, &reply);
}

/* ---- the tables ------------------------------------------------------- */

static void m_ping(struct dv_call *call)
{
	dv_call_reply(call, NULL);
}

static void m_profile(struct dv_call *call)
{
	dv_call_fail(call, DV_UNIMPLEMENTED, "there is no profiler here");
}

// clang-format off
static const struct dv_method openhcl[] = {
	DV_METHOD("Ping", m_ping, dv_diag_Empty, dv_diag_Empty, DV_M_SAFE),
	DV_METHOD("MemoryProfileTrace", m_mem_profile,
		  dv_diag_MemoryProfileTraceRequest,
		  dv_diag_MemoryProfileTraceResponse, 0),
};
static const struct dv_method underhill[] = {
	DV_METHOD("Exec", m_exec, dv_diag_ExecRequest, dv_diag_ExecResponse,
		  DV_M_MUTATES),
	DV_METHOD("Wait", m_wait, dv_diag_WaitRequest, dv_diag_WaitResponse,
		  DV_M_REPLAY),
	DV_METHOD("Start", m_start, dv_diag_StartRequest, dv_diag_Empty,
		  DV_M_MUTATES),
	DV_METHOD("Crash", m_crash, dv_diag_CrashRequest, dv_diag_Empty,
		  DV_M_MUTATES),
	DV_METHOD("Kmsg", m_kmsg, dv_diag_KmsgRequest, dv_diag_Empty, 0),
	DV_METHOD("Restart", m_restart, dv_diag_Empty, dv_diag_Empty,
		  DV_M_MUTATES | DV_M_REPLAY),
	DV_METHOD("Pause", m_pause, dv_diag_Empty, dv_diag_Empty,
		  DV_M_MUTATES),
	DV_METHOD("Resume", m_resume, dv_diag_Empty, dv_diag_Empty,
		  DV_M_MUTATES),
	DV_METHOD("ReadFile", m_read_file, dv_diag_FileRequest, dv_diag_Empty,
		  0),
	DV_METHOD("DumpSavedState", m_saved_state, dv_diag_Empty,
		  dv_diag_DumpSavedStateResponse, 0),
	DV_METHOD("PacketCapture", m_capture,
		  dv_diag_NetworkPacketCaptureRequest,
		  dv_diag_NetworkPacketCaptureResponse, DV_M_MUTATES),
};
static const struct dv_method profiler[] = {
	DV_METHOD("Profile", m_profile, dv_diag_ProfileRequest, dv_diag_Empty,
		  0),
};
// clang-format on

static DV_SERVICE(openhcl_service, "diag.OpenhclDiag", openhcl);
static DV_SERVICE(underhill_service, "diag.UnderhillDiag", underhill);
static DV_SERVICE(profiler_service, "profile.AzureProfiler", profiler);

int dv_diag_add(struct dv_server *server, struct dv_sandbox_svc *svc)
{
	int r = dv_sandbox_svc_add(server, svc);

	if (r == 0)
		r = dv_server_add(server, &openhcl_service, svc);
	if (r == 0)
		r = dv_server_add(server, &underhill_service, svc);
	if (r == 0)
		r = dv_server_add(server, &profiler_service, svc);
	return r;
}
