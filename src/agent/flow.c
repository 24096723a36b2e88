/* SPDX-License-Identifier: MIT */
/*
 * A flow is one stream to one client and what it was asked for by: the kernel
 * log, a file, a core, where memory is. It lives until its stream has ended.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "agent/agent.h"
#include "agent/core.h"
#include "agent/file.h"
#include "agent/kmsg.h"
#include "agent/memprofile.h"
#include "agent/worker.h"
#include "base/def.h"
#include "base/fd.h"
#include "inspect/inspect.h"

struct dv_flow {
	struct dv_agent *agent;
	struct dv_flow *next, **prevp;
	struct dv_flow_cb cb;
	struct dv_defer started;
	enum dv_flow_kind kind;
	struct dv_holder *holder; /* NULL: it has no worker */
	int32_t pid;              /* CORE, MEMORY */
	char *path;               /* FILE; owned */
	bool follow;
	struct dv_kmsg_flow *kmsg;
	struct dv_file *file;
	struct dv_core_job core;
	struct dv_memprofile_flow *memory;
};

static const char *const kind_name[] = { "kmsg", "file", "core", "memory" };
_Static_assert(DV_ARRAY_LEN(kind_name) == DV_FLOW_N, "one name per kind");

static struct dv_flow *flow_new(struct dv_agent *a, enum dv_flow_kind kind,
				const struct dv_flow_cb *cb)
{
	struct dv_flow *f = calloc(1, sizeof(*f));

	if (!f)
		return NULL;
	f->agent = a;
	f->kind = kind;
	f->cb = *cb;
	f->cb.peer = NULL;
	f->core = (struct dv_core_job)DV_CORE_JOB_INIT;
	f->next = a->flows;
	f->prevp = &a->flows;
	if (f->next)
		f->next->prevp = &f->next;
	a->flows = f;
	return f;
}

static void leave_place(struct dv_flow *f)
{
	if (!f->holder)
		return;
	dv_holder_sub(f->holder, DV_SHARE_STREAMS, 1);
	dv_holder_leave(f->holder);
	f->holder = NULL;
}

static void flow_free(struct dv_flow *f)
{
	*f->prevp = f->next;
	if (f->next)
		f->next->prevp = f->prevp;
	leave_place(f);
	dv_defer_del(&f->started);
	dv_kmsg_flow_free(f->kmsg);
	dv_file_free(f->file);
	dv_core_end(&f->core);
	dv_memprofile_flow_free(f->memory);
	free(f->path);
	free(f);
}

static void tell_started(struct dv_flow *f)
{
	dv_defer_del(&f->started);
	if (f->cb.started)
		f->cb.started(f->cb.arg);
	f->cb.started = NULL;
}

static void on_started(struct dv_defer *defer)
{
	tell_started(dv_container_of(defer, struct dv_flow, started));
}

/* Whoever could be started at once tells it a moment later: not inside the
 * call that asks for it. */
static void started_soon(struct dv_flow *f)
{
	dv_defer_add(f->agent->loop, &f->started, on_started);
}

static void flow_done(void *arg, uint64_t bytes, const struct dv_err *err)
{
	struct dv_flow *f = arg;
	struct dv_flow_cb cb = f->cb;
	struct dv_err copy = DV_ERR_INIT;

	if (err)
		copy = *err; /* it may be inside of what is freed */
	if (f->started.loop)
		tell_started(f);
	flow_free(f);
	cb.done(cb.arg, bytes, err ? &copy : NULL);
}

/* The oldest that has a worker, of those who pay; the list begins with the
 * newest. */
static struct dv_flow *oldest(struct dv_agent *a, const struct dv_payers *p)
{
	struct dv_flow *found = NULL;

	for (struct dv_flow *f = a->flows; f; f = f->next)
		if (f->holder && dv_pays(p, f->holder))
			found = f;
	return found;
}

static int all_taken(struct dv_err *err)
{
	return dv_err_set(err, EAGAIN, DV_EXHAUSTED,
			  "%d files, cores and profiles are being read already",
			  DV_WORKER_SERVING_MAX);
}

/* A place among those that have a worker, for @peer. */
static int take_place(struct dv_flow *f, const struct dv_peer *peer,
		      struct dv_err *err)
{
	struct dv_shares *shares = &f->agent->flow_shares;
	struct dv_err why = DV_ERR_INIT;
	struct dv_payers payers;

	f->holder = dv_shares_join(shares, peer);
	if (!f->holder)
		return dv_err_sys(err, ENOMEM, "start a stream");
	dv_holder_add(f->holder, DV_SHARE_STREAMS, 1);
	if (shares->n[DV_SHARE_STREAMS] <= DV_WORKER_SERVING_MAX)
		return 0;
	payers = dv_shares_payers(shares, DV_SHARE_STREAMS, f->holder);
	if (dv_pays(&payers, f->holder))
		return all_taken(err);
	all_taken(&why);
	flow_done(oldest(f->agent, &payers), 0, &why);
	return 0;
}

static int no_memory(int out, struct dv_err *err)
{
	dv_close(out);
	return dv_err_sys(err, ENOMEM, "start a stream");
}

int dv_flow_kmsg(struct dv_agent *a, const dv_KmsgRequest *rq, int out,
		 const struct dv_flow_cb *cb, struct dv_err *err)
{
	struct dv_flow *f = flow_new(a, DV_FLOW_KMSG, cb);
	struct dv_kmsg_flow_opts opts = {
		.follow = rq->follow,
		.has_after = rq->has_after,
		.after = rq->after,
	};
	int r;

	if (!f)
		return no_memory(out, err);
	f->follow = rq->follow;
	r = dv_kmsg_flow_start(&f->kmsg, a->loop, out, &opts, flow_done, f,
			       err);
	if (r < 0)
		flow_free(f);
	else
		started_soon(f);
	return r;
}

static void file_started(void *arg)
{
	tell_started(arg);
}

int dv_flow_file(struct dv_agent *a, const dv_ReadFileRequest *rq, int out,
		 const struct dv_flow_cb *cb, struct dv_err *err)
{
	dv_autofd int fd = out;
	struct dv_flow *f = flow_new(a, DV_FLOW_FILE, cb);
	struct dv_file_opts opts = {
		.path = rq->path ? rq->path : "",
		.follow = rq->follow,
		.offset = rq->offset,
		.length = rq->length,
		.started = file_started,
	};
	int r;

	if (!f)
		return no_memory(dv_take_fd(&fd), err);
	f->follow = rq->follow;
	f->path = strdup(opts.path);
	r = take_place(f, cb->peer, err);
	if (r == 0)
		r = dv_file_start(&f->file, a->loop, dv_take_fd(&fd), &opts,
				  flow_done, f, err);
	if (r < 0)
		flow_free(f);
	return r;
}

static void core_done(struct dv_core_job *job, int r, uint64_t bytes,
		      const struct dv_err *err)
{
	struct dv_flow *f = dv_container_of(job, struct dv_flow, core);

	flow_done(f, bytes, r < 0 ? err : NULL);
}

int dv_flow_core(struct dv_agent *a, const dv_CoreRequest *rq, int out,
		 const struct dv_flow_cb *cb, struct dv_err *err)
{
	dv_autofd int fd = out;
	struct dv_flow *f = flow_new(a, DV_FLOW_CORE, cb);
	struct dv_core_opts opts = { .size = sizeof(opts), .kmsg = true };
	int r;

	if (!f)
		return no_memory(dv_take_fd(&fd), err);
	f->pid = rq->pid;
	r = take_place(f, cb->peer, err);
	if (r == 0)
		r = dv_core_start(a->loop, &f->core, rq->pid, dv_take_fd(&fd),
				  &opts, core_done, err);
	if (r < 0)
		flow_free(f);
	else
		started_soon(f);
	return r;
}

int dv_flow_memory(struct dv_agent *a, const dv_MemProfileRequest *rq, int out,
		   const struct dv_flow_cb *cb, struct dv_err *err)
{
	dv_autofd int fd = out;
	struct dv_flow *f = flow_new(a, DV_FLOW_MEMORY, cb);
	int r;

	if (!f)
		return no_memory(dv_take_fd(&fd), err);
	f->pid = rq->pid ? rq->pid : getpid();
	r = take_place(f, cb->peer, err);
	if (r == 0)
		r = dv_memprofile_start(&f->memory, a->loop, dv_take_fd(&fd),
					f->pid, flow_done, f, err);
	if (r < 0)
		flow_free(f);
	return r;
}

void dv_flow_end_all(struct dv_agent *a, const struct dv_err *why)
{
	while (a->flows)
		flow_done(a->flows, 0, why);
}

static void show_flow(struct dv_inspect *in, void *obj)
{
	struct dv_flow *f = obj;

	dv_inspect_str(in, "kind", kind_name[f->kind], 0);
	dv_inspect_bool(in, "follow", f->follow, 0);
	dv_inspect_str(in, "path", f->path, 0);
	if (f->pid)
		dv_inspect_i64(in, "pid", f->pid, 0);
}

void dv_flow_inspect(struct dv_inspect *in, void *agent)
{
	struct dv_agent *a = agent;
	uint64_t n = 0;

	for (struct dv_flow *f = a->flows; f; f = f->next)
		dv_inspect_dir_u64(in, n++, show_flow, f, 0);
}
