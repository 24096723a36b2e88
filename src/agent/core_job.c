/* SPDX-License-Identifier: MIT */
/*
 * A dump as a worker of the agent. What both sides need is in memory that they
 * share. The worker waits for a byte before it begins: where yama lets only
 * ancestors attach, the agent, which is to be dumped by its child, allows that
 * by the child's pid, which it has after the fork.
 *
 * While the agent is dumped it serves nobody, so that must not take as long as
 * its reader likes: its core goes to memory, then the agent goes on, and then
 * the core is sent.
 */
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

#include "agent/core.h"
#include "agent/core_out.h"
#include "agent/worker.h"
#include "base/def.h"
#include "base/fd.h"

enum { SEND_BLOCK = 64 << 10 };

struct dv_core_work {
	struct dv_core_opts opts;
	uint64_t written;
	pid_t pid;
	int go; /* the worker's end of a pipe */
};

/*
 * A file in memory that takes no more than the maximum, in this process, which
 * has no other files to write.
 */
static int open_memory(struct dv_err *err)
{
	struct rlimit most = { DV_CORE_SELF_MAX, DV_CORE_SELF_MAX };
	int fd = memfd_create("core", MFD_CLOEXEC);

	if (fd < 0)
		return dv_err_sys(err, errno, "memory for our own core");
	signal(SIGXFSZ, SIG_IGN);
	setrlimit(RLIMIT_FSIZE, &most);
	return fd;
}

/* All of @fd, from its beginning. */
static int send_all(int fd, struct dv_core_out *out, struct dv_err *err)
{
	dv_autofree char *block = malloc(SEND_BLOCK);
	ssize_t n = block ? 0 : -ENOMEM;
	int r = 0;

	if (block && lseek(fd, 0, SEEK_SET) < 0)
		n = -errno;
	while (n >= 0 && r == 0 && (n = dv_read(fd, block, SEND_BLOCK)) > 0)
		r = dv_core_out(out, block, (size_t)n, err);
	return n < 0 ? dv_err_sys(err, (int)-n, "read our own core") : r;
}

static int dump_agent(struct dv_core_work *work, int to, struct dv_err *err)
{
	dv_autofd int fd = open_memory(err);
	struct dv_core_out out = {
		.fd = to,
		.stall_ms = work->opts.stall_ms ? work->opts.stall_ms
						: DV_CORE_STALL_MS,
		.live = &work->written,
	};
	int r = fd;

	work->opts.written = NULL;
	if (r >= 0)
		r = dv_core_write(work->pid, fd, &work->opts, err);
	return r < 0 ? r : send_all(fd, &out, err);
}

static int dump(struct dv_work *w, void *arg, struct dv_err *err)
{
	struct dv_core_work *work = arg;
	char byte;

	dv_read(work->go, &byte, 1);
	dv_close(work->go);
	work->opts.log = NULL;
	if (work->pid == getppid())
		return dump_agent(work, dv_work_out(w), err);
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
