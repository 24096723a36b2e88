/* SPDX-License-Identifier: MIT */
/*
 * One process of the table: its exit, its time-out, and what is done to it.
 */
#include "services/exec.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>

#include "base/def.h"
#include "base/fd.h"
#include "engine/sys.h"

/* ---- the exit --------------------------------------------------------- */

/* Kills of before its start, and those that others' ends are told by, are not
 * its own. */
static bool was_oom(struct dv_exec *e)
{
	struct dv_procs *ps = e->procs;
	uint64_t known = dv_max(ps->oom_kills, e->oom_kills);

	if (e->record.signal != SIGKILL || e->signal == SIGKILL ||
	    dv_procs_oom_kills(ps) <= known)
		return false;
	ps->oom_kills = known + 1;
	return true;
}

/* Writable only for the generated struct, which knows no const. */
static char by_timeout[] = "timeout", by_oom[] = "oom", by_signal[] = "signal",
	    by_exit[] = "exit", by_keeper[] = "keeper";

static char *ended_by(const dv_ExitRecord *rec)
{
	if (rec->timed_out)
		return by_timeout;
	if (rec->oom)
		return by_oom;
	return rec->signal ? by_signal : by_exit;
}

void dv_exec_settle(dv_ExitRecord *rec)
{
	bool lost = rec->ended_by && strcmp(rec->ended_by, by_keeper) == 0;

	rec->ended_by = lost ? by_keeper : ended_by(rec);
}

static uint64_t us(const struct timeval *tv)
{
	return (uint64_t)tv->tv_sec * 1000000U + (uint64_t)tv->tv_usec;
}

static void fill_record(struct dv_exec *e, const siginfo_t *info,
			const struct rusage *ru)
{
	dv_ExitRecord *rec = &e->record;

	rec->id = e->id;
	rec->pid = e->pid;
	rec->signal = info->si_code == CLD_EXITED ? 0 : info->si_status;
	rec->code = rec->signal ? 128 + rec->signal : info->si_status;
	rec->core = info->si_code == CLD_DUMPED;
	rec->oom = was_oom(e);
	rec->timed_out = e->timed_out;
	rec->ended_by = ended_by(rec);
	rec->end_unix_ns = dv_unix_ns();
	rec->user_us = us(&ru->ru_utime);
	rec->system_us = us(&ru->ru_stime);
	rec->max_rss_kib = (uint64_t)ru->ru_maxrss;
	rec->minor_faults = (uint64_t)ru->ru_minflt;
	rec->major_faults = (uint64_t)ru->ru_majflt;
	rec->voluntary_cs = (uint64_t)ru->ru_nvcsw;
	rec->involuntary_cs = (uint64_t)ru->ru_nivcsw;
	/* After a restart only the other clock knows. */
	rec->wall_ns = e->started_ns ? dv_now_ns() - e->started_ns
				     : rec->end_unix_ns - rec->start_unix_ns;
}

/* Somebody else in this process has waited for our child. */
static void lost_record(struct dv_exec *e)
{
	e->record.code = 125;
	e->record.signal = 0;
	e->record.ended_by = by_keeper;
	dv_log(e->procs->opts.log, DV_LOG_ERROR, "lost the status pid=%d",
	       (int)e->pid);
}

static void on_pidfd(struct dv_src *src, uint32_t ev)
{
	struct dv_exec *e = dv_container_of(src, struct dv_exec, pid_src);
	struct dv_procs *ps = e->procs;
	struct rusage usage = { 0 };
	siginfo_t info = { 0 };
	struct dv_exec_waiter *w;
	int r = dv_proc_reap(&e->proc, &info, &usage);

	(void)ev;
	if (r == -EAGAIN)
		return;
	fill_record(e, &info, &usage);
	if (r < 0)
		lost_record(e);
	dv_src_del(&e->pid_src);
	dv_timer_stop(&e->timer);
	e->proc.pidfd = dv_close(e->proc.pidfd);
	e->state = DV_EXEC_EXITED;
	ps->n_running--;
	ps->n_exited++;
	dv_log(ps->opts.log, DV_LOG_DEBUG, "exited pid=%d code=%d", (int)e->pid,
	       (int)e->record.code);
	while ((w = e->waiters)) {
		dv_exec_unwait(w);
		w->fn(w, &e->record);
	}
	dv_procs_evict(ps);
}

int dv_exec_watch(struct dv_exec *e)
{
	return dv_src_add(e->procs->loop, &e->pid_src, e->proc.pidfd, EPOLLIN,
			  on_pidfd);
}

/* ---- time-out --------------------------------------------------------- */

static void on_timeout(struct dv_timer *timer)
{
	struct dv_exec *e = dv_container_of(timer, struct dv_exec, timer);
	int signo = e->timed_out ? SIGKILL : SIGTERM;

	e->timed_out = true;
	dv_exec_signal(e, signo, dv_SIGNAL_GROUP, NULL);
	if (signo == SIGTERM)
		dv_exec_arm(e, DV_TERM_GRACE_MS);
}

void dv_exec_arm(struct dv_exec *e, uint64_t left_ms)
{
	uint64_t ns = dv_min(left_ms, (uint64_t)INT32_MAX) * 1000000U;

	dv_timer_set(e->procs->loop, &e->timer, dv_now_ns() + ns, on_timeout);
}

/* ---- one process ------------------------------------------------------ */

uint64_t dv_exec_id(const struct dv_exec *e)
{
	return e->id;
}

int32_t dv_exec_pid(const struct dv_exec *e)
{
	return e->pid;
}

const dv_ExitRecord *dv_exec_record(const struct dv_exec *e)
{
	return e->state == DV_EXEC_EXITED ? &e->record : NULL;
}

void dv_exec_info(const struct dv_exec *e, dv_ProcessInfo *info)
{
	*info = (dv_ProcessInfo){
		.id = e->id,
		.pid = e->pid,
		.argv = e->argv,
		.argv_count = (pb_size_t)e->n_argv,
		.terminal = e->terminal,
		.start_unix_ns = e->record.start_unix_ns,
		.has_exit = e->state == DV_EXEC_EXITED,
		.exit = e->record,
	};
}

bool dv_exec_wait(struct dv_exec *e, struct dv_exec_waiter *w)
{
	if (e->state == DV_EXEC_EXITED)
		return false;
	w->next = e->waiters;
	w->prevp = &e->waiters;
	if (w->next)
		w->next->prevp = &w->next;
	e->waiters = w;
	return true;
}

void dv_exec_unwait(struct dv_exec_waiter *w)
{
	if (!w->prevp)
		return;
	*w->prevp = w->next;
	if (w->next)
		w->next->prevp = w->prevp;
	w->next = NULL;
	w->prevp = NULL;
}

int dv_exec_release(struct dv_exec *e, struct dv_err *err)
{
	if (e->state != DV_EXEC_EXITED)
		return dv_err_set(err, EBUSY, DV_PRECONDITION,
				  "process %d is running", (int)e->pid);
	dv_exec_drop(e);
	return 0;
}

static int gone(const struct dv_exec *e, struct dv_err *err)
{
	return dv_err_set(err, ESRCH, DV_NOT_FOUND, "process %d has exited",
			  (int)e->pid);
}

/*
 * Until it is reaped its pid belongs to it, and so does the number of the
 * group that it leads.
 */
int dv_exec_signal(struct dv_exec *e, int signo, dv_SignalScope scope,
		   struct dv_err *err)
{
	int r;

	if (signo < 0 || signo >= _NSIG)
		return dv_err_set(err, EINVAL, DV_INVALID, "no signal %d",
				  signo);
	if (scope == dv_SIGNAL_ALL)
		return dv_min(dv_procs_signal_all(e->procs, signo, err), 0);
	if (e->state != DV_EXEC_RUNNING)
		return gone(e, err);
	if (scope == dv_SIGNAL_GROUP)
		r = kill(-e->pid, signo) < 0 ? -errno : 0;
	else
		r = dv_sys_pidfd_signal(e->proc.pidfd, signo);
	if (r < 0)
		return dv_err_sys(err, -r, "signal process %d", (int)e->pid);
	if (signo)
		e->signal = signo;
	return 0;
}

int dv_tty_resize(int fd, uint32_t rows, uint32_t cols, struct dv_err *err)
{
	struct winsize size = {
		.ws_row = (unsigned short)rows,
		.ws_col = (unsigned short)cols,
	};

	if (rows > UINT16_MAX || cols > UINT16_MAX)
		return dv_err_set(err, EINVAL, DV_INVALID,
				  "terminal size above 65535");
	if (ioctl(fd, TIOCSWINSZ, &size) < 0)
		return dv_err_sys(err, errno, "resize");
	return 0;
}

int dv_exec_resize(struct dv_exec *e, uint32_t rows, uint32_t cols,
		   struct dv_err *err)
{
	if (e->proc.tty < 0)
		return dv_err_set(err, ENOTTY, DV_PRECONDITION,
				  e->take ? "process %d's terminal is its "
					    "client's own"
					  : "process %d has no terminal",
				  (int)e->pid);
	return dv_tty_resize(e->proc.tty, rows, cols, err);
}

int dv_exec_take_terminal(struct dv_exec *e)
{
	return e->take ? dv_take_fd(&e->proc.tty) : -ENOENT;
}

int dv_exec_close_stdin(struct dv_exec *e, struct dv_err *err)
{
	if (!dv_pump_runs(&e->stream[0].pump))
		return dv_err_set(err, EPIPE, DV_PRECONDITION,
				  "process %d has no open input", (int)e->pid);
	dv_pump_finish(&e->stream[0].pump);
	return 0;
}

int dv_exec_attach(struct dv_exec *e, uint32_t stream, uint64_t offset, int fd,
		   uint64_t *atp, struct dv_err *err)
{
	if (stream < 1 || stream > 2 || !e->stream[stream].kept.loop) {
		dv_close(fd);
		return dv_err_set(err, ENOENT, DV_NOT_FOUND,
				  "stream %u of process %d is %s", stream,
				  (int)e->pid,
				  stream < 3 && e->stream[stream].kept.dropped
					  ? "kept no more"
					  : "not kept");
	}
	return dv_kept_attach(&e->stream[stream].kept, offset, fd, atp, err);
}
