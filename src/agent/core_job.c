/* SPDX-License-Identifier: MIT */
/*
 * A dump as a worker of the agent. What both sides need is in memory that they
 * share. The worker waits for a byte before it begins: where yama lets only
 * ancestors attach, the agent, which is to be dumped by its child, allows that
 * by the child's pid, which it has after the fork.
 */
#include <errno.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "agent/core.h"
#include "agent/worker.h"
#include "base/def.h"
#include "base/fd.h"

struct dv_core_work {
	struct dv_core_opts opts;
	uint64_t written;
	pid_t pid;
	int go; /* the worker's end of a pipe */
};

static int dump(struct dv_work *w, void *arg, struct dv_err *err)
{
	struct dv_core_work *work = arg;
	char byte;

	dv_read(work->go, &byte, 1);
	dv_close(work->go);
	work->opts.log = NULL;
	work->opts.written = &work->written;
	return dv_core_write(work->pid, dv_work_out(w), &work->opts, err);
}

/* Idle again. Returns what was written. */
static uint64_t settle(struct dv_core_job *job)
{
	uint64_t written = job->work ? job->work->written : 0;

	dv_defer_del(&job->cancelled);
	job->worker = dv_worker_free(job->worker);
	if (job->work)
		munmap(job->work, sizeof(*job->work));
	job->work = NULL;
	job->pid = 0;
	return written;
}

static void on_done(void *arg, uint64_t bytes, const struct dv_err *err)
{
	struct dv_core_job *job = arg;
	struct dv_err e = DV_ERR_INIT;

	(void)bytes; /* of what dv_work_write() wrote: nothing */
	if (err)
		e = *err;
	bytes = settle(job);
	job->fn(job, e.code == DV_OK ? 0 : -e.sys, bytes, err ? &e : NULL);
}

static void on_cancelled(struct dv_defer *defer)
{
	struct dv_core_job *job =
		dv_container_of(defer, struct dv_core_job, cancelled);
	struct dv_err err = DV_ERR_INIT;
	uint64_t bytes = settle(job);
	int r = dv_err_set(&err, ECANCELED, DV_CANCELLED,
			   "the dump was cancelled");

	job->fn(job, r, bytes, &err);
}

void dv_core_cancel(struct dv_core_job *job)
{
	if (!job->worker)
		return;
	job->worker = dv_worker_free(job->worker);
	dv_defer_add(job->loop, &job->cancelled, on_cancelled);
}

void dv_core_end(struct dv_core_job *job)
{
	settle(job);
}

static int make_work(struct dv_core_job *job, pid_t pid,
		     const struct dv_core_opts *opts, struct dv_err *err)
{
	void *p = mmap(NULL, sizeof(*job->work), PROT_READ | PROT_WRITE,
		       MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	if (p == MAP_FAILED)
		return dv_err_sys(err, errno, "memory of a dump");
	job->work = p;
	job->work->pid = pid;
	if (opts)
		job->work->opts = *opts;
	else
		job->work->opts.size = sizeof(*opts);
	return 0;
}

static int start(struct dv_core_job *job, int out, struct dv_err *err)
{
	struct dv_worker_opts o = {
		.name = "core",
		.fn = dump,
		.fn_arg = job->work,
		.keep = &job->work->go,
		.n_keep = 1,
	};
	int go[2], r;

	r = dv_pipe(go);
	if (r < 0) {
		dv_close(out);
		return dv_err_sys(err, -r, "create a pipe");
	}
	/* NOLINTNEXTLINE(clang-analyzer-core.NullDereference): it was made */
	job->work->go = go[0];
	r = dv_worker_start(&job->worker, job->loop, out, &o, on_done, job,
			    err);
	if (r == 0) {
		job->pid = dv_worker_pid(job->worker);
		/* Without yama this fails, and nothing is lost. */
		if (job->work->pid == getpid())
			prctl(PR_SET_PTRACER, job->pid, 0, 0, 0);
	}
	dv_close(go[0]);
	dv_close(go[1]); /* the worker begins */
	return r;
}

int dv_core_start(struct dv_loop *loop, struct dv_core_job *job, pid_t pid,
		  int out, const struct dv_core_opts *opts, dv_core_done_fn *fn,
		  struct dv_err *err)
{
	dv_autofd int fd = out;
	int r;

	if (job->work)
		return dv_err_set(err, EBUSY, DV_PRECONDITION,
				  "a dump is running");
	if (opts && opts->size != sizeof(*opts))
		return dv_err_set(err, EINVAL, DV_INVALID,
				  "core: options of %zu bytes", opts->size);
	job->loop = loop;
	job->fn = fn;
	r = make_work(job, pid, opts, err);
	if (r == 0)
		r = start(job, dv_take_fd(&fd), err);
	if (r < 0)
		settle(job);
	return r;
}
