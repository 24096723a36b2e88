/* SPDX-License-Identifier: MIT */
#pragma once
/*
 * The processes of one sandbox: everything that davit.v1.Sandbox starts, waits
 * for and signals. Keeper and agent have one of these; every protocol is a
 * translation to it.
 *
 * A process lives in the table from its start until its record is released, or
 * until it is the oldest of more than DV_RECORDS_MAX exited ones. Waiting never
 * consumes the record. A lost connection never ends a process. Its streams are
 * apart from it: a background process that holds one keeps it flowing, also
 * after the record is gone.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/log.h"
#include "davit/err.h"
#include "davit/loop.h"
#include "engine/ns.h"
#include "rpc/data.h"
#include "services/guest.h"
#include "wire/plan.pb.h"
#include "wire/sandbox.pb.h"
#include "wire/state.pb.h"

struct dv_procs;
struct rlimit;
struct dv_exec; /* one process */

enum {
	DV_RECORDS_MAX = 1024,
	DV_EXECS_MAX = 4096, /* running at a time */
	/* Bytes of a command that are kept to be shown: a list of all records
	 * is one message. What a word costs beside its bytes. */
	DV_ARGV_KEEP = 2048,
	DV_ARGV_COST = 16,
	/* Kept output of one stream: two screens of logs, and small enough for
	 * a thousand of them. */
	DV_KEEP_BYTES = 256 << 10,
	/* Kept output of all that have ended: a restart writes it, and reads
	 * it, twice. Beyond that the oldest is forgotten. */
	DV_KEPT_MAX = 64 << 20,
	DV_TERM_GRACE_MS = 10000, /* from SIGTERM to SIGKILL at a time-out */
	/* A client that got everything closes; one that does not is left. */
	DV_LINGER_MS = 30000,
};

/* When no file @path exists, @exe is executed instead; argv stays. */
struct dv_self_as {
	const char *path, *exe;
};

struct dv_procs_opts {
	size_t size;
	struct dv_ns *sandbox;    /* borrowed; NULL: plain children */
	struct dv_cgroup *cgroup; /* borrowed; may be NULL */
	struct dv_data *data;     /* borrowed: where conns come from */
	const char *const *env;   /* base environment; borrowed; NULL: {} */
	struct dv_log_sink *log;  /* borrowed; may be NULL */
	const struct dv_self_as *self_as; /* borrowed; ends with path NULL */
	const char *name; /* of ourselves in the tree; NULL: "davit" */
	/* RLIMIT_NOFILE of those who ask for none; borrowed; NULL: ours */
	const struct rlimit *nofile;
	/*
	 * The first process of the sandbox; borrowed; NULL: there is none. What
	 * confines it confines all of them, whatever a request says, and what a
	 * request leaves out is as it has it: env (with @env NULL), cwd, ids.
	 */
	const dv_Process *like;
};

/* Its owner ignores SIGPIPE: streams end at any time. 0, -EINVAL, -ENOMEM. */
int dv_procs_new(struct dv_procs **procsp, struct dv_loop *loop,
		 const struct dv_procs_opts *opts, struct dv_err *err);
/*
 * From now on processes are started there: a sandbox that was started anew.
 * @like NULL: nowhere, starts are refused. Nothing of the one before is left:
 * its init ends only when all of its processes were reaped. All borrowed.
 */
void dv_procs_point(struct dv_procs *ps, struct dv_ns *sandbox,
		    struct dv_cgroup *cgroup, const dv_Process *like);
/* Kills and reaps what runs; of a sandbox before that goes, or its init could
 * not end. NULL is allowed. Returns NULL. */
struct dv_procs *dv_procs_free(struct dv_procs *ps);

/* ---- starting --------------------------------------------------------- */

/*
 * How a start ended: @exec is in the table, or is gone and @err (else NULL)
 * says why.
 */
typedef void dv_exec_started(void *arg, struct dv_exec *exec,
			     const struct dv_err *err);

/*
 * Start what @rq (borrowed) says. Its data connections are claimed; of @fds
 * those that it names are consumed (set to -1), also on failure. @fn is called
 * once, later, never from inside. Returns 0 with *@execp (for
 * dv_exec_forget()), or -errno with @err filled:
 *   DV_INVALID      the request makes no sense
 *   DV_UNKNOWN      "failed to get stdin conn: invalid connection id"
 *   DV_EXHAUSTED    DV_EXECS_MAX are running
 *   DV_PRECONDITION the sandbox's first process is still being started, or
 *                   there is none
 * A start may still fail after that: the code and step of the engine.
 */
int dv_procs_start(struct dv_procs *ps, const dv_ExecRequest *rq, int *fds,
		   size_t n_fds, dv_exec_started *fn, void *arg,
		   struct dv_exec **execp, struct dv_err *err);
/* Nobody waits for the start any more: @fn is not called. The start goes on. */
void dv_exec_forget(struct dv_exec *exec);
/* How many starts are under way. */
size_t dv_procs_starting(const struct dv_procs *ps);

/* ---- one process ------------------------------------------------------ */

/*
 * By id, or by pid when @id is 0: the one that runs, else the latest that
 * exited. Borrowed, valid until the loop runs on. NULL: none.
 */
struct dv_exec *dv_procs_find(struct dv_procs *ps, uint64_t id, int32_t pid);
uint64_t dv_exec_id(const struct dv_exec *exec);
int32_t dv_exec_pid(const struct dv_exec *exec);
/* NULL while it runs. Borrowed from @exec. */
const dv_ExitRecord *dv_exec_record(const struct dv_exec *exec);
/* Everything that List says of it; what it points to is borrowed. */
void dv_exec_info(const struct dv_exec *exec, dv_ProcessInfo *info);

/* Embedded in whoever waits. All-zero is idle. */
struct dv_exec_waiter {
	struct dv_exec_waiter *next, **prevp;
	void (*fn)(struct dv_exec_waiter *waiter, const dv_ExitRecord *record);
};
/*
 * Call @waiter->fn once when it has exited, never from inside here. False: it
 * has exited already, see dv_exec_record(); nothing will be called.
 */
bool dv_exec_wait(struct dv_exec *exec, struct dv_exec_waiter *waiter);
void dv_exec_unwait(struct dv_exec_waiter *waiter); /* idempotent */

/* Forget an exited one. -EBUSY: it runs. */
int dv_exec_release(struct dv_exec *exec, struct dv_err *err);
/*
 * @signo 0 only asks. Returns 0, -ESRCH when it has exited (and, for a group,
 * when nothing of it is left or this kernel cannot tell), -EINVAL.
 */
int dv_exec_signal(struct dv_exec *exec, int signo, dv_SignalScope scope,
		   struct dv_err *err);
/* Every process of every exec. Returns how many groups were signalled. */
int dv_procs_signal_all(struct dv_procs *ps, int signo, struct dv_err *err);
/* Of the terminal whose master is @fd. -EINVAL: above 65535. */
int dv_tty_resize(int fd, uint32_t rows, uint32_t cols, struct dv_err *err);
/* -ENOTTY: it has no terminal. */
int dv_exec_resize(struct dv_exec *exec, uint32_t rows, uint32_t cols,
		   struct dv_err *err);
/*
 * The master of its terminal, for who asked to take it: owned by the caller
 * from then on, and nobody else has it. < 0: there is none, or no more.
 */
int dv_exec_take_terminal(struct dv_exec *exec);
/* What its client would do by closing it; a terminal gets VEOF. */
int dv_exec_close_stdin(struct dv_exec *exec, struct dv_err *err);
/*
 * Send kept output of @stream (1, 2) from @offset on to @fd (consumed, also on
 * failure). *@atp is where it really starts. A reader that is overrun later is
 * closed: it knows how far it was, and attaches again. -ENOENT: not kept, or no
 * more (DV_KEPT_MAX).
 */
int dv_exec_attach(struct dv_exec *exec, uint32_t stream, uint64_t offset,
		   int fd, uint64_t *atp, struct dv_err *err);

/* ---- all of them ------------------------------------------------------ */

/* Oldest first; @each returns non-zero to stop. Returns that, or 0. */
int dv_procs_each(struct dv_procs *ps,
		  int (*each)(void *arg, struct dv_exec *exec), void *arg);
struct dv_procs_count {
	uint32_t running, exited;
};
struct dv_procs_count dv_procs_count(const struct dv_procs *ps);
/* Is something on its way that a process wrote? Not: to a client that has it
 * all, and has not closed. */
bool dv_procs_flowing(const struct dv_procs *ps);
/* Where connections are claimed; borrowed. */
struct dv_data *dv_procs_data(const struct dv_procs *ps);
struct dv_cgroup *dv_procs_cgroup(const struct dv_procs *ps);
struct dv_loop *dv_procs_loop(const struct dv_procs *ps);

/* For the inspect tree: services/inspect_procs.h. */

/* Is @pid a child that is ours to reap, also one that is being started? */
bool dv_procs_owns(const struct dv_procs *ps, pid_t pid);
/* Send @signo to the running process @pid of the table alone; -ESRCH. */
int dv_procs_signal_pid(struct dv_procs *ps, pid_t pid, int signo);

/* ---- restart by exec in place ---------------------------------------- */

/*
 * Everything as a document; descriptors as numbers, which stay open, and are
 * given to @each_fd, too (borrowed): they must outlive the exec. Nothing moves
 * until the loop runs again. @out is malloc'd, for pb_release(). -EBUSY while
 * starts are under way.
 */
int dv_procs_save(struct dv_procs *ps, dv_ProcsState *out,
		  void (*each_fd)(void *arg, int fd), void *arg,
		  struct dv_err *err);
/* Free the memory only: what runs runs on, descriptors stay open. */
struct dv_procs *dv_procs_abandon(struct dv_procs *ps);
/*
 * Into a new table: the descriptors in @state are consumed. Returns 0, or
 * -EINVAL for a document that makes no sense.
 */
int dv_procs_restore(struct dv_procs *ps, const dv_ProcsState *state,
		     struct dv_err *err);
