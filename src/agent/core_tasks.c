/* SPDX-License-Identifier: MIT */
/*
 * DOC: stopping a process without a trace
 *
 * PTRACE_SEIZE attaches without a signal, PTRACE_INTERRUPT stops without one,
 * and without PTRACE_O_EXITKILL the end of the tracer, however it comes, is a
 * detach. Three kinds of stop answer the interrupt:
 *
 *   event stop, SIGTRAP	it was running
 *   event stop, other signal	it was stopped by that signal; after the detach
 *				the kernel stops it again
 *   a signal			it is about to be delivered: the thread stays
 *				here, and the detach delivers it
 *
 * A thread that runs may create others, so after all known ones have stopped
 * the list is read again, until nothing new is in it: neither a thread nor one
 * that had ended when its turn came.
 */
#include "agent/core_tasks.h"

#include <dirent.h>
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <time.h>

#include "agent/core_proc.h"
#include "base/def.h"
#include "base/fmt.h"
#include "base/num.h"
#include "davit/loop.h"

static int by_tid(const void *a, const void *b)
{
	const struct dv_core_task *x = a, *y = b;

	return (x->tid > y->tid) - (x->tid < y->tid);
}

static struct dv_core_task *find(const struct dv_core_tasks *ts, size_t n,
				 pid_t tid)
{
	struct dv_core_task key = { .tid = tid };

	if (n == 0)
		return NULL;
	return bsearch(&key, ts->list, n, sizeof(key), by_tid);
}

static int make_room(struct dv_core_tasks *ts, struct dv_err *err)
{
	size_t cap = ts->cap ? ts->cap * 2 : 64;
	void *list;

	if (ts->n < ts->cap)
		return 0;
	if (ts->n >= DV_CORE_TASKS_MAX)
		return dv_err_set(err, E2BIG, DV_EXHAUSTED,
				  "more than %d threads", DV_CORE_TASKS_MAX);
	list = reallocarray(ts->list, cap, sizeof(*ts->list));
	if (!list)
		return dv_err_sys(err, ENOMEM, "list threads");
	ts->list = list;
	ts->cap = cap;
	return 0;
}

/*
 * A thread that ends meanwhile is no error. It may have created another that
 * is not in the list, which is to be read again then: 1. So it is for one that
 * was seized. A leader that has ended is in every list, and creates nobody: 0.
 */
static int seize(struct dv_core_tasks *ts, pid_t tid, struct dv_err *err)
{
	int r = make_room(ts, err);

	if (r < 0)
		return r;
	if (ptrace(PTRACE_SEIZE, tid, NULL, NULL) < 0) {
		if (errno == ESRCH || dv_core_proc_ended(tid))
			return tid != ts->pid;
		return dv_core_proc_refused(tid, errno, err);
	}
	ts->list[ts->n++] = (struct dv_core_task){ .tid = tid };
	ts->n_running++;
	/* It fails for a thread that is ending: waiting tells. */
	ptrace(PTRACE_INTERRUPT, tid, NULL, NULL);
	return 1;
}

static int seize_new_in(struct dv_core_tasks *ts, DIR *dir, struct dv_err *err)
{
	size_t known = ts->n;
	bool again = false;
	uint64_t tid;
	int r = 0;

	for (struct dirent *e; r >= 0 && (e = readdir(dir));) {
		if (dv_parse_u64(e->d_name, 1, INT32_MAX, &tid) < 0 ||
		    find(ts, known, (pid_t)tid))
			continue;
		r = seize(ts, (pid_t)tid, err);
		again = again || r > 0;
	}
	if (ts->n > known)
		qsort(ts->list, ts->n, sizeof(*ts->list), by_tid);
	return r < 0 ? r : again;
}

/* Returns 1 when there may be more, 0, or -errno. */
static int seize_new(struct dv_core_tasks *ts, struct dv_err *err)
{
	char path[32];
	DIR *dir;
	int r;

	dv_fmt(path, sizeof(path), "/proc/%d/task", ts->pid);
	dir = opendir(path);
	if (!dir)
		return dv_err_sys(err, errno == ENOENT ? ESRCH : errno,
				  "list the threads of process %d", ts->pid);
	r = seize_new_in(ts, dir, err);
	closedir(dir);
	return r;
}

static void gone(struct dv_core_tasks *ts, struct dv_core_task *t)
{
	t->state = DV_CORE_TASK_GONE;
	ts->n_running--;
}

/*
 * Look at a stop and leave it there (WNOWAIT): a stop that was waited for has
 * forgotten its signal, and if we were killed then, it would be lost.
 */
static void look(struct dv_core_tasks *ts, struct dv_core_task *t)
{
	siginfo_t info = { .si_pid = 0 };
	int r = waitid(P_PID, (id_t)t->tid, &info,
		       WSTOPPED | WEXITED | WNOWAIT | WNOHANG | __WALL);

	if (r < 0 && errno != EINTR) {
		gone(ts, t);
	} else if (r == 0 && info.si_pid) {
		if (info.si_code != CLD_TRAPPED &&
		    info.si_code != CLD_STOPPED) {
			waitpid(t->tid, NULL, __WALL | WNOHANG);
			gone(ts, t);
			return;
		}
		t->state = DV_CORE_TASK_STOPPED;
		/* Above the signal there is the event. */
		t->signo = info.si_status >> 8 ? 0 : info.si_status;
		ts->n_running--;
	}
}

/* Wait for a change of any child until then. False at the deadline. */
static bool wait_child(uint64_t until_ns)
{
	uint64_t now = dv_now_ns(), left = until_ns > now ? until_ns - now : 0;
	struct timespec ts = { (time_t)(left / 1000000000),
			       (long)(left % 1000000000) };
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGCHLD);
	return sigtimedwait(&set, NULL, &ts) >= 0 || errno == EINTR;
}

static void wait_stopped(struct dv_core_tasks *ts, uint64_t until_ns)
{
	while (ts->n_running > 0) {
		size_t before = ts->n_running;

		for (size_t i = 0; i < ts->n; i++)
			if (ts->list[i].state == DV_CORE_TASK_RUNNING)
				look(ts, &ts->list[i]);
		if (ts->n_running == before && !wait_child(until_ns))
			return;
	}
}

static size_t count(const struct dv_core_tasks *ts,
		    enum dv_core_task_state state)
{
	size_t n = 0;

	for (size_t i = 0; i < ts->n; i++)
		n += ts->list[i].state == state;
	return n;
}

static int check_stopped(const struct dv_core_tasks *ts,
			 struct dv_log_sink *log, struct dv_err *err)
{
	size_t n = count(ts, DV_CORE_TASK_STOPPED);

	if (n == 0 && ts->n_running == 0)
		return dv_err_set(err, ESRCH, DV_NOT_FOUND,
				  "process %d has ended", ts->pid);
	if (n == 0) {
		dv_err_hint(err, "it waits in the kernel for a device or for "
				 "a child of vfork()");
		return dv_err_set(err, EBUSY, DV_DEADLINE,
				  "no thread of process %d stopped in time",
				  ts->pid);
	}
	if (ts->n_running > 0)
		dv_log(log, DV_LOG_WARN,
		       "threads did not stop and are not in the core n=%zu",
		       ts->n_running);
	dv_log(log, DV_LOG_DEBUG, "threads stopped n=%zu", n);
	return 0;
}

int dv_core_tasks_stop(struct dv_core_tasks *ts, pid_t pid, uint64_t until_ns,
		       struct dv_log_sink *log, struct dv_err *err)
{
	int r;

	ts->pid = pid;
	while ((r = seize_new(ts, err)) > 0) {
		wait_stopped(ts, until_ns);
		if (dv_now_ns() >= until_ns)
			break;
	}
	return r < 0 ? r : check_stopped(ts, log, err);
}

/* Will this signal, if nothing catches it, write a core? */
static bool is_fatal(int signo)
{
	return signo == SIGSEGV || signo == SIGBUS || signo == SIGILL ||
	       signo == SIGFPE || signo == SIGABRT || signo == SIGSYS ||
	       signo == SIGTRAP || signo == SIGQUIT;
}

const struct dv_core_task *dv_core_tasks_first(const struct dv_core_tasks *ts,
					       pid_t tid)
{
	const struct dv_core_task *best = NULL;
	int best_rank = 0;

	for (size_t i = 0; i < ts->n; i++) {
		const struct dv_core_task *t = &ts->list[i];
		int rank = t->tid == tid && tid != ts->pid ? 4
			   : is_fatal(t->signo)            ? 3
			   : t->tid == ts->pid             ? 2
							   : 1;

		if (t->state != DV_CORE_TASK_STOPPED || rank <= best_rank)
			continue;
		best = t;
		best_rank = rank;
	}
	return best;
}

void dv_core_tasks_go(struct dv_core_tasks *ts)
{
	for (size_t i = 0; i < ts->n; i++) {
		uintptr_t signo = (uintptr_t)ts->list[i].signo;

		/* Those that never stopped go on when the tracer ends. */
		if (ts->list[i].state == DV_CORE_TASK_STOPPED)
			ptrace(PTRACE_DETACH, ts->list[i].tid, NULL,
			       (void *)signo);
	}
	free(ts->list);
	*ts = (struct dv_core_tasks)DV_CORE_TASKS_INIT;
}
