/* SPDX-License-Identifier: MIT */
#include "services/sandbox.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/def.h"
#include "base/fd.h"
#include "base/num.h"
#include "rpc/limits.h"
#include "services/svc.h"
#include "transport/listener.h"

enum {
	API_VERSION = 1,
	/* Names of a guest's interfaces, all together. */
	NAMES_MAX = 64 << 10,
	FEATURES_MAX = 24,
	/* The numbers of a process in a list, and of its exit. */
	INFO_MAX = 200,
};

_Static_assert(DV_RPC_SEND_MAX / (DV_EXECS_MAX + DV_RECORDS_MAX + 1) > INFO_MAX,
	       "all of them have room in a list");

static char server_name[] = "davit " DV_VERSION;

/* ---- about the server ------------------------------------------------- */

static void add_feature(dv_HelloReply *reply, char *list[FEATURES_MAX], bool on,
			const char *name)
{
	if (!on || reply->features_count >= FEATURES_MAX)
		return;
	list[reply->features_count++] = (char *)(uintptr_t)name;
}

static void add_features(dv_HelloReply *reply, char *list[FEATURES_MAX],
			 const struct dv_guest *guest)
{
	static const char *const always[] = { "exec",   "wait",       "signal",
					      "resize", "list",       "attach",
					      "stats",  "close-stdin" };
	static const struct dv_guest_ops none;
	const struct dv_guest_ops *o = guest ? guest->ops : &none;

	for (size_t i = 0; i < DV_ARRAY_LEN(always); i++)
		add_feature(reply, list, true, always[i]);
	add_feature(reply, list, o->kmsg, "kmsg");
	add_feature(reply, list, o->read_file, "read-file");
	add_feature(reply, list, o->core, "core");
	add_feature(reply, list, o->saved_state, "saved-state");
	add_feature(reply, list, o->mem_profile, "mem-profile");
	add_feature(reply, list, o->capture_start, "capture");
	add_feature(reply, list, o->start, "start");
	add_feature(reply, list, o->crash, "crash");
	add_feature(reply, list, o->pause, "pause");
	add_feature(reply, list, o->restart, "restart");
}

/* Descriptors come only over a unix socket: nobody relays those. */
static bool takes_fds(const struct dv_call *call)
{
	return call->peer && call->peer->cid == DV_CID_NONE;
}

static void m_hello(struct dv_call *call)
{
	struct dv_sandbox_svc *svc = dv_svc(call);
	char *features[FEATURES_MAX];
	dv_HelloReply reply = {
		.version = API_VERSION,
		.server = server_name,
		.features = features,
		.boundary = (char *)(uintptr_t)svc->boundary,
		.pid = getpid(),
	};

	add_features(&reply, features, svc->guest);
	add_feature(&reply, features, takes_fds(call), "fds");
	dv_call_reply(call, &reply);
}

static uint32_t count_fds(void)
{
	DIR *dir = opendir("/proc/self/fd");
	uint32_t n = 0;

	if (!dir)
		return 0;
	for (struct dirent *e; (e = readdir(dir));)
		n += e->d_name[0] != '.';
	closedir(dir);
	return n - 1; /* not the one that we look with */
}

/* The number that follows @key (or starts the file) in a small file; 0. */
static uint64_t number_in(int dirfd, const char *path, const char *key)
{
	dv_autofree char *text = NULL;
	const char *at;
	unsigned long long v;

	if (dv_read_file(dirfd, path, 65536, &text, NULL) < 0)
		return 0;
	at = strstr(text, key);
	/* NOLINTNEXTLINE(cert-err34-c): the kernel's own number */
	return at && sscanf(at + strlen(key), "%llu", &v) == 1 ? v : 0;
}

static void m_stats(struct dv_call *call)
{
	struct dv_sandbox_svc *svc = dv_svc(call);
	struct dv_procs_count n = dv_procs_count(svc->procs);
	const struct dv_cgroup *cg = dv_procs_cgroup(svc->procs);
	struct dv_data *data = dv_procs_data(svc->procs);
	struct dv_server_stats server = { 0 };
	struct dv_cgroup_now now;
	dv_StatsReply reply = {
		.processes = n.running,
		.exited = n.exited,
		.fds = count_fds(),
		.rss = 1024 *
		       number_in(AT_FDCWD, "/proc/self/status", "VmRSS:"),
		.unclaimed = data ? (uint32_t)dv_data_count(data) : 0,
	};

	if (svc->server)
		dv_server_stats(svc->server, &server);
	reply.connections = server.conns;
	if (cg) {
		dv_cgroup_read(cg, &now);
		reply.memory = now.memory == UINT64_MAX ? 0 : now.memory;
		reply.cpu_us = now.cpu_us == UINT64_MAX ? 0 : now.cpu_us;
	}
	dv_call_reply(call, &reply);
}

/* ---- processes -------------------------------------------------------- */

static struct dv_exec *find(struct dv_call *call, uint64_t id, int32_t pid)
{
	struct dv_exec *e = dv_procs_find(dv_svc(call)->procs, id, pid);

	if (!e && id)
		dv_call_fail(call, DV_NOT_FOUND, "no process with id %llu",
			     (unsigned long long)id);
	else if (!e)
		dv_call_fail(call, DV_NOT_FOUND, "no process with pid %d",
			     (int)pid);
	return e;
}

static void exec_reply(struct dv_call *call, struct dv_exec *exec)
{
	dv_ExecReply reply = { dv_exec_id(exec), dv_exec_pid(exec) };
	dv_autofd int tty = dv_exec_take_terminal(exec);

	if (tty >= 0)
		dv_call_reply_fds(call, &reply, &tty, 1);
	else
		dv_call_reply(call, &reply);
}

static void m_exec(struct dv_call *call)
{
	const dv_ExecRequest *rq = call->req;

	if (rq->take_terminal && !takes_fds(call))
		dv_call_fail(call, DV_INVALID,
			     "a terminal can be taken on a unix socket only");
	else
		dv_svc_exec(call, rq, exec_reply, dv_call_fail_err);
}

static void wait_reply(struct dv_call *call, const dv_ExitRecord *record)
{
	dv_call_reply(call, record);
}

static void m_wait(struct dv_call *call)
{
	const dv_ProcessName *rq = call->req;
	struct dv_exec *e = find(call, rq->id, rq->pid);

	if (e)
		dv_svc_wait(call, e, wait_reply);
}

static void m_release(struct dv_call *call)
{
	const dv_ProcessName *rq = call->req;
	struct dv_exec *e = find(call, rq->id, rq->pid);
	struct dv_err err = DV_ERR_INIT;

	if (e)
		dv_svc_finish(call, dv_exec_release(e, &err), &err);
}

static void m_signal(struct dv_call *call)
{
	const dv_SignalRequest *rq = call->req;
	struct dv_err err = DV_ERR_INIT;
	struct dv_exec *e;
	int r;

	if (rq->scope == dv_SIGNAL_ALL && !rq->id && !rq->pid) {
		r = dv_procs_signal_all(dv_svc(call)->procs, rq->signal, &err);
		dv_svc_finish(call, r, &err);
		return;
	}
	e = find(call, rq->id, rq->pid);
	if (e)
		dv_svc_finish(call,
			      dv_exec_signal(e, rq->signal, rq->scope, &err),
			      &err);
}

static void m_resize(struct dv_call *call)
{
	const dv_ResizeRequest *rq = call->req;
	struct dv_exec *e = find(call, rq->id, rq->pid);
	struct dv_err err = DV_ERR_INIT;

	if (e)
		dv_svc_finish(call, dv_exec_resize(e, rq->rows, rq->cols, &err),
			      &err);
}

static void m_close_stdin(struct dv_call *call)
{
	const dv_ProcessName *rq = call->req;
	struct dv_exec *e = find(call, rq->id, rq->pid);
	struct dv_err err = DV_ERR_INIT;

	if (e)
		dv_svc_finish(call, dv_exec_close_stdin(e, &err), &err);
}

struct listing {
	dv_ListReply reply;
	size_t room; /* for the words of each */
};

/* Where they are so many that an answer has no room, their words are cut. */
static int add_info(void *arg, struct dv_exec *exec)
{
	struct listing *l = arg;
	dv_ProcessInfo *info = &l->reply.processes[l->reply.processes_count++];
	size_t left = l->room;
	pb_size_t n;

	dv_exec_info(exec, info);
	for (n = 0; n < info->argv_count; n++) {
		size_t cost = strlen(info->argv[n]) + 4;

		if (cost > left)
			break;
		left -= cost;
	}
	info->argv_count = n;
	return 0;
}

static void m_list(struct dv_call *call)
{
	struct dv_procs *procs = dv_svc(call)->procs;
	struct dv_procs_count n = dv_procs_count(procs);
	dv_autofree dv_ProcessInfo *list =
		calloc(n.running + n.exited + 1, sizeof(*list));
	struct listing l = {
		.reply = { .processes = list },
		.room = DV_RPC_SEND_MAX / (n.running + n.exited + 1) - INFO_MAX,
	};

	if (!list) {
		dv_call_fail(call, DV_EXHAUSTED, "out of memory");
		return;
	}
	dv_procs_each(procs, add_info, &l);
	dv_call_reply(call, &l.reply);
}

static void m_attach(struct dv_call *call)
{
	const dv_AttachRequest *rq = call->req;
	struct dv_exec *e = find(call, rq->id, rq->pid);
	dv_AttachReply reply = dv_AttachReply_init_zero;
	struct dv_err err = DV_ERR_INIT;
	int fd;

	if (!e)
		return;
	fd = dv_svc_stream(call, rq->conn, rq->fd, &err);
	if (fd < 0 || dv_exec_attach(e, rq->stream, rq->offset, fd,
				     &reply.offset, &err) < 0)
		dv_call_fail_err(call, &err);
	else
		dv_call_reply(call, &reply);
}

/* ---- what only a guest has -------------------------------------------- */

static void not_here(struct dv_call *call)
{
	dv_call_fail(call, DV_UNIMPLEMENTED, "%s belongs to a guest's agent",
		     call->method->name);
}

/* A stream that is answered at its end; @op starts it. */
#define STREAM(name, op, Request)                                              \
	static void name(struct dv_call *call)                                 \
	{                                                                      \
		const Request *rq = call->req;                                 \
		struct dv_err err = DV_ERR_INIT;                               \
		struct dv_svc_flow *flow;                                      \
		struct dv_flow_cb cb;                                          \
		int fd;                                                        \
                                                                               \
		if (!dv_svc_ops(call)->op) {                                   \
			not_here(call);                                        \
			return;                                                \
		}                                                              \
		fd = dv_svc_stream(call, rq->conn, rq->fd, &err);              \
		if (fd < 0) {                                                  \
			dv_call_fail_err(call, &err);                          \
			return;                                                \
		}                                                              \
		flow = dv_svc_flow(call, false, dv_call_fail_err, &cb);        \
		if (!flow)                                                     \
			dv_close(fd);                                          \
		else if (dv_svc_ops(call)->op(dv_svc_guest(call), rq, fd, &cb, \
					      &err) < 0)                       \
			dv_svc_flow_refused(flow, &err);                       \
	}

STREAM(m_kmsg, kmsg, dv_KmsgRequest)
STREAM(m_read_file, read_file, dv_ReadFileRequest)
STREAM(m_core, core, dv_CoreRequest)
STREAM(m_mem_profile, mem_profile, dv_MemProfileRequest)

/* A document of any size goes by a stream, too. */
static void m_saved_state(struct dv_call *call)
{
	const dv_SavedStateRequest *rq = call->req;
	dv_autobuf buf = DV_BUF_INIT(SIZE_MAX);
	struct dv_err err = DV_ERR_INIT;
	int r, fd = -1;

	if (!dv_svc_ops(call)->saved_state) {
		not_here(call);
		return;
	}
	r = dv_svc_ops(call)->saved_state(dv_svc_guest(call), &buf, &err);
	if (r >= 0)
		r = fd = dv_svc_stream(call, rq->conn, rq->fd, &err);
	if (r < 0)
		dv_call_fail_err(call, &err);
	else
		dv_svc_bulk(call, &buf, fd);
}

static void m_capture_query(struct dv_call *call)
{
	dv_autobuf names = DV_BUF_INIT(NAMES_MAX);
	dv_CaptureReply reply = dv_CaptureReply_init_zero;
	struct dv_err err = DV_ERR_INIT;
	dv_autofree char **list = NULL;

	if (!dv_svc_ops(call)->capture_query) {
		not_here(call);
		return;
	}
	if (dv_svc_ops(call)->capture_query(dv_svc_guest(call), &names,
					    &reply.running, &err) < 0) {
		dv_call_fail_err(call, &err);
		return;
	}
	list = calloc(names.len + 1, sizeof(*list));
	for (size_t at = 0; list && at < names.len;
	     at += strlen(names.data + at) + 1)
		list[reply.interfaces_count++] = names.data + at;
	reply.interfaces = list;
	dv_call_reply(call, &reply);
}

static void m_capture_start(struct dv_call *call)
{
	const dv_CaptureStartRequest *rq = call->req;
	dv_autofree int *outs = calloc(rq->conns_count + 1U, sizeof(*outs));
	struct dv_err err = DV_ERR_INIT;
	size_t n = 0;
	int r = 0;

	if (!dv_svc_ops(call)->capture_start || !outs) {
		not_here(call);
		return;
	}
	for (; n < rq->conns_count && r >= 0; n += r >= 0)
		r = outs[n] = dv_svc_stream(call, rq->conns[n], 0, &err);
	if (r >= 0) {
		r = dv_svc_ops(call)->capture_start(
			dv_svc_guest(call), rq->snaplen, outs, n,
			rq->interfaces, rq->interfaces_count, &err);
		dv_svc_finish(call, r, &err);
		return;
	}
	while (n > 0)
		dv_close(outs[--n]);
	dv_call_fail_err(call, &err);
}

#define SIMPLE(name, op)                                                       \
	static void name(struct dv_call *call)                                 \
	{                                                                      \
		struct dv_err err = DV_ERR_INIT;                               \
                                                                               \
		if (!dv_svc_ops(call)->op)                                     \
			not_here(call);                                        \
		else                                                           \
			dv_svc_finish(call,                                    \
				      dv_svc_ops(call)->op(dv_svc_guest(call), \
							   &err),              \
				      &err);                                   \
	}

SIMPLE(m_capture_stop, capture_stop)
SIMPLE(m_pause, pause)
SIMPLE(m_resume, resume)

static void m_start(struct dv_call *call)
{
	struct dv_err err = DV_ERR_INIT;

	if (!dv_svc_ops(call)->start)
		not_here(call);
	else
		dv_svc_finish(call,
			      dv_svc_ops(call)->start(dv_svc_guest(call),
						      call->req, &err),
			      &err);
}

static void m_crash(struct dv_call *call)
{
	const dv_ProcessName *rq = call->req;
	const struct dv_guest *guest = dv_svc(call)->guest;
	int32_t pid = rq->pid;

	if (!dv_svc_ops(call)->crash) {
		not_here(call);
		return;
	}
	if (rq->id) {
		struct dv_exec *e = find(call, rq->id, 0);

		if (!e)
			return;
		pid = dv_exec_pid(e);
	}
	dv_call_reply(call, NULL); /* first: it may be ourselves */
	guest->ops->crash(guest->self, pid);
}

static void m_restart(struct dv_call *call)
{
	if (!dv_svc_ops(call)->restart)
		not_here(call);
	else
		dv_svc_ops(call)->restart(dv_svc_guest(call), call);
}

/* ---- the table -------------------------------------------------------- */

// clang-format off
static const struct dv_method methods[] = {
	DV_METHOD("Hello", m_hello, dv_HelloRequest, dv_HelloReply, 0),
	DV_METHOD("Exec", m_exec, dv_ExecRequest, dv_ExecReply, DV_M_MUTATES),
	DV_METHOD("Wait", m_wait, dv_ProcessName, dv_ExitRecord, DV_M_REPLAY),
	DV_METHOD("Release", m_release, dv_ProcessName, dv_Empty, DV_M_MUTATES),
	DV_METHOD("Signal", m_signal, dv_SignalRequest, dv_Empty, DV_M_MUTATES),
	DV_METHOD("Resize", m_resize, dv_ResizeRequest, dv_Empty, DV_M_MUTATES),
	DV_METHOD("CloseStdin", m_close_stdin, dv_ProcessName, dv_Empty,
		  DV_M_MUTATES),
	DV_METHOD("List", m_list, dv_Empty, dv_ListReply, 0),
	DV_METHOD("Attach", m_attach, dv_AttachRequest, dv_AttachReply, 0),
	DV_METHOD("Stats", m_stats, dv_Empty, dv_StatsReply, 0),
	DV_METHOD("Kmsg", m_kmsg, dv_KmsgRequest, dv_StreamReply, 0),
	DV_METHOD("ReadFile", m_read_file, dv_ReadFileRequest, dv_StreamReply,
		  0),
	DV_METHOD("Core", m_core, dv_CoreRequest, dv_StreamReply, DV_M_MUTATES),
	DV_METHOD("SavedState", m_saved_state, dv_SavedStateRequest,
		  dv_StreamReply, 0),
	DV_METHOD("MemProfile", m_mem_profile, dv_MemProfileRequest,
		  dv_StreamReply, 0),
	DV_METHOD("CaptureQuery", m_capture_query, dv_Empty, dv_CaptureReply,
		  0),
	DV_METHOD("CaptureStart", m_capture_start, dv_CaptureStartRequest,
		  dv_Empty, DV_M_MUTATES),
	DV_METHOD("CaptureStop", m_capture_stop, dv_Empty, dv_Empty,
		  DV_M_MUTATES),
	DV_METHOD("Start", m_start, dv_diag_StartRequest, dv_Empty,
		  DV_M_MUTATES),
	DV_METHOD("Crash", m_crash, dv_ProcessName, dv_Empty, DV_M_MUTATES),
	DV_METHOD("Pause", m_pause, dv_Empty, dv_Empty, DV_M_MUTATES),
	DV_METHOD("Resume", m_resume, dv_Empty, dv_Empty, DV_M_MUTATES),
	DV_METHOD("Restart", m_restart, dv_Empty, dv_Empty,
		  DV_M_MUTATES | DV_M_REPLAY),
};
// clang-format on
static DV_SERVICE(service, "davit.v1.Sandbox", methods);

int dv_sandbox_svc_new(struct dv_sandbox_svc **svcp, struct dv_procs *procs,
		       const struct dv_guest *guest, struct dv_err *err)
{
	struct dv_sandbox_svc *svc = calloc(1, sizeof(*svc));

	if (!svc)
		return dv_err_sys(err, ENOMEM, "davit.v1.Sandbox");
	svc->procs = procs;
	svc->guest = guest;
	svc->boundary = guest ? "guest" : "process";
	*svcp = svc;
	return 0;
}

struct dv_sandbox_svc *dv_sandbox_svc_free(struct dv_sandbox_svc *svc)
{
	if (svc)
		dv_svc_bulks_stop(svc);
	free(svc);
	return NULL;
}

void dv_sandbox_svc_boundary(struct dv_sandbox_svc *svc, const char *boundary)
{
	svc->boundary = boundary;
}

void dv_sandbox_svc_gate(struct dv_sandbox_svc *svc,
			 int (*may)(void *arg, struct dv_err *err), void *arg)
{
	svc->may = may;
	svc->may_arg = arg;
}

int dv_sandbox_svc_add(struct dv_server *server, struct dv_sandbox_svc *svc)
{
	svc->server = server;
	return dv_server_add(server, &service, svc);
}
