/* SPDX-License-Identifier: MIT */
#pragma once
/*
 * Core dumps of live processes, which go on afterwards.
 *
 * dv_core_write() blocks and belongs into a process of its own: it waits for
 * any child and leaves threads attached that would not stop. dv_core_start()
 * makes such a process off the agent and reports to the loop; it is a sibling
 * of what the agent started, so the agent itself can be dumped.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/log.h"
#include "davit/err.h"
#include "davit/loop.h"

/* How long the parts may take when the caller does not say. */
enum {
	DV_CORE_STOP_MS = 5000,   /* until every thread has stopped */
	DV_CORE_STALL_MS = 60000, /* until the reader takes a byte */
};

/*
 * Bytes of the agent's own core, which is in memory before it is sent: many
 * times what an agent has that keeps all the output that it may.
 */
enum { DV_CORE_SELF_MAX = 256 << 20 };

struct dv_core_opts {
	size_t size; /* of this struct */
	/* Bits of core(5)'s coredump_filter; 0: those of the process. */
	uint32_t filter;
	bool kmsg;    /* a note "KMSG" with the end of the kernel's log */
	int stop_ms;  /* 0: DV_CORE_STOP_MS */
	int stall_ms; /* 0: DV_CORE_STALL_MS; without progress of the reader */
	struct dv_log_sink *log; /* borrowed, may be NULL */
	uint64_t *written;       /* borrowed, may be NULL: kept up to date */
};

/*
 * Write an ELF core of the process of @pid to @out (borrowed, blocking or not;
 * it is never seeked). @pid may name a thread: that one comes first in the
 * core; otherwise the one that is about to die of a signal, or the leader.
 * @opts may be NULL.
 *
 * The process stands still meanwhile, and goes on however this ends, kill -9
 * of the caller included; what was stopped before stays stopped. Memory: 256
 * KiB and what the list of mappings takes, at most about 20 MiB (131,072 of
 * them); none of it grows with the size of the process. A system call that is
 * never restarted (epoll_wait) may return EINTR in the process.
 *
 * Returns 0 or -errno with @err: -ESRCH no such process or it ended meanwhile,
 * -EPERM not allowed or already traced, -EINVAL a kernel thread, the caller
 * itself or bad options, -ENOTSUP a 32-bit process, -E2BIG too many mappings or
 * threads, -EBUSY no thread stopped in time, -EPIPE the reader went away,
 * -ETIMEDOUT the reader takes nothing.
 */
int dv_core_write(pid_t pid, int out, const struct dv_core_opts *opts,
		  struct dv_err *err);

struct dv_core_job;
/*
 * Called once in the loop's thread, when the dump is over. @r and @err as of
 * dv_core_write(), -ECANCELED after dv_core_cancel(), -EIO when the dumping
 * process died. @bytes: how much was written. The job is idle again: it may be
 * freed or started here.
 */
typedef void dv_core_done_fn(struct dv_core_job *job, int r, uint64_t bytes,
			     const struct dv_err *err);

struct dv_worker;
struct dv_core_work;

/* Embedded in its owner; private, but for pid. */
struct dv_core_job {
	struct dv_worker *worker;  /* NULL = idle */
	struct dv_core_work *work; /* shared with the worker */
	struct dv_loop *loop;
	dv_core_done_fn *fn;
	struct dv_defer cancelled;
	pid_t pid; /* of the process that dumps; 0 = idle */
};

/* clang-format off */
#define DV_CORE_JOB_INIT { .cancelled = DV_DEFER_INIT }
/* clang-format on */

/*
 * Dump @pid (the caller itself is allowed) to @out (consumed, also on failure)
 * in a worker (agent/worker.h), which is killed when the reader hangs up or the
 * agent dies. The caller itself stands still only until its core is in memory;
 * more than DV_CORE_SELF_MAX of it is -EFBIG, told to @fn. opts->log and
 * opts->written are ignored. Returns 0 and @fn will
 * be called, or -errno with @err: -EBUSY while the job runs, and those of
 * dv_worker_start().
 */
int dv_core_start(struct dv_loop *loop, struct dv_core_job *job, pid_t pid,
		  int out, const struct dv_core_opts *opts, dv_core_done_fn *fn,
		  struct dv_err *err);
/* Kill the dump; @fn is still called, later. Idempotent; nothing when idle. */
void dv_core_cancel(struct dv_core_job *job);
/* For the end: kill it, and do not call @fn. Idempotent. */
void dv_core_end(struct dv_core_job *job);

/*
 * The program `underhill-dump [-v] PID`: a core to standard output, what goes
 * on to standard error. Returns the exit status: 0, or 1.
 */
int dv_core_main(int argc, char **argv);
