/* SPDX-License-Identifier: MIT */
#pragma once
/*
 * A worker: a forked process that does what would block the loop (disk, a
 * stopped process, a filesystem that does not answer) and writes to a client's
 * socket. It is a flow (agent/outflow.h).
 *
 * The agent has one thread, so the worker may do what it likes: allocate, read,
 * wait. It has the agent's memory as it was at the fork, and of its descriptors
 * only 0, 1, 2, the socket and those named by keep. Signals have their default
 * action, but for SIGPIPE, which is ignored. It is killed when the client hangs
 * up, when the flow is freed, and when the agent dies.
 */
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "agent/outflow.h"

/* Each worker is a process: so many clients may be served so at a time. */
#define DV_WORKER_SERVING_MAX 64
/* And so many there may be: some were killed and have not ended yet. */
#define DV_WORKER_MAX 80
/* Descriptors of the agent that one worker uses. */
#define DV_WORKER_KEEP_MAX 14

struct dv_worker;
struct dv_work;

/*
 * Runs in the worker. @arg is the worker's copy of the memory. Returns 0, or
 * -errno with @err filled, which done then gets.
 */
typedef int dv_work_fn(struct dv_work *w, void *arg, struct dv_err *err);

struct dv_worker_opts {
	const char *name; /* of the process, at most 15 bytes; borrowed */
	dv_work_fn *fn;
	void *fn_arg;
	const int *keep; /* descriptors that fn uses; borrowed */
	size_t n_keep;
	/* May be NULL; called by the loop after dv_work_started(). */
	void (*started)(void *arg);
};

/*
 * @out is consumed. @arg goes to started and done. Returns 0; -EAGAIN (code
 * DV_EXHAUSTED) with DV_WORKER_MAX of them; -errno of fork.
 *
 * A worker that dies before its end (killed, crashed) is -EIO in done. Then,
 * and after a hang-up, the count of bytes may lack those of its last write.
 */
int dv_worker_start(struct dv_worker **wp, struct dv_loop *loop, int out,
		    const struct dv_worker_opts *opts, dv_outflow_done *done,
		    void *arg, struct dv_err *err);

/*
 * Kills it. A process that cannot die now (it waits for a disk) does not hold
 * us up: the loop reaps it later, so a loop that had workers is dispatched
 * until dv_worker_count() is 0 before it is freed.
 */
struct dv_worker *dv_worker_free(struct dv_worker *w);

/* The worker's pid, as the agent sees it. */
pid_t dv_worker_pid(const struct dv_worker *w);

/* How many processes there are, those that are being killed included. */
size_t dv_worker_count(void);
/* Is @pid one of them, which its worker will wait for? */
bool dv_worker_owns(pid_t pid);

/* ---- in the worker ---- */

/* The socket, for poll() and the like; it may be non-blocking. Borrowed. */
int dv_work_out(const struct dv_work *w);

/* Tell the agent that the work is under way: it answers its client. */
void dv_work_started(struct dv_work *w);

/*
 * Write all of it, waiting as long as the client needs. -EPIPE when the client
 * hung up; @err is filled.
 */
int dv_work_write(struct dv_work *w, const void *data, size_t len,
		  struct dv_err *err);
