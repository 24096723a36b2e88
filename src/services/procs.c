/* SPDX-License-Identifier: MIT */
/*
 * DOC: life of a process here
 *
 *	STARTING --exec happened--> RUNNING --reaped--> EXITED --released-->
 *gone
 *	    \--it did not--> gone
 *
 * Gone means that nobody can name it. Its memory goes when its streams have
 * ended, too.
 */
#include "services/procs.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <time.h>

#include "base/def.h"
#include "base/fd.h"
#include "engine/sys.h"
#include "services/exec.h"
#include "services/exec_plan.h"

/* ---- the table -------------------------------------------------------- */

uint64_t dv_procs_oom_kills(const struct dv_procs *ps)
{
	struct dv_cgroup_usage usage = { 0 };

	if (ps->opts.cgroup)
		dv_cgroup_usage(ps->opts.cgroup, &usage);
	return usage.oom_kills;
}

int dv_procs_new(struct dv_procs **procsp, struct dv_loop *loop,
		 const struct dv_procs_opts *opts, struct dv_err *err)
{
	struct dv_procs *ps;

	if (opts->size != sizeof(*opts))
		return dv_err_set(err, EINVAL, DV_INVALID,
				  "options of another version");
	ps = calloc(1, sizeof(*ps));
	if (!ps)
		return dv_err_sys(err, ENOMEM, "table of processes");
	ps->loop = loop;
	ps->opts = *opts;
	ps->last = &ps->first;
	ps->next_id = 1;
	ps->oom_kills = dv_procs_oom_kills(ps);
	*procsp = ps;
	return 0;
}

void dv_procs_point(struct dv_procs *ps, struct dv_ns *sandbox,
		    struct dv_cgroup *cgroup, const dv_Process *like)
{
	ps->opts.sandbox = sandbox;
	ps->opts.cgroup = cgroup;
	ps->opts.like = like;
	ps->nowhere = !like;
	ps->oom_kills = dv_procs_oom_kills(ps);
}

struct dv_exec *dv_exec_new(struct dv_procs *ps)
{
	struct dv_exec *e = calloc(1, sizeof(*e));

	if (!e)
		return NULL;
	e->procs = ps;
	e->proc = (struct dv_proc)DV_PROC_INIT;
	e->err_src = e->pid_src = (struct dv_src)DV_SRC_INIT;
	e->timer = (struct dv_timer)DV_TIMER_INIT;
	e->end = (struct dv_defer)DV_DEFER_INIT;
	dv_exec_streams_init(e);
	e->prevp = ps->last;
	*ps->last = e;
	ps->last = &e->next;
	return e;
}

static void forget(struct dv_exec *e)
{
	dv_src_del(&e->err_src);
	dv_src_del(&e->pid_src);
	dv_timer_stop(&e->timer);
	dv_defer_del(&e->end);
	while (e->waiters)
		dv_exec_unwait(e->waiters);
	*e->prevp = e->next;
	if (e->next)
		e->next->prevp = e->prevp;
	else
		e->procs->last = e->prevp;
	for (size_t i = 0; i < e->n_argv; i++)
		free(e->argv[i]);
	free(e->argv);
	free(e);
}

void dv_exec_free(struct dv_exec *e)
{
	dv_exec_streams_stop(e);
	dv_proc_free(&e->proc);
	forget(e);
}

struct dv_procs *dv_procs_free(struct dv_procs *ps)
{
	if (!ps)
		return NULL;
	/* All at once: each is waited for only as long as the slowest. */
	dv_procs_signal_all(ps, SIGKILL, NULL);
	while (ps->first)
		dv_exec_free(ps->first);
	free(ps);
	return NULL;
}

struct dv_procs *dv_procs_abandon(struct dv_procs *ps)
{
	while (ps && ps->first) {
		struct dv_exec *e = ps->first;

		for (int i = 0; i < 3; i++) {
			dv_pump_abandon(&e->stream[i].pump);
			dv_kept_abandon(&e->stream[i].kept);
		}
		forget(e);
	}
	free(ps);
	return NULL;
}

static void on_gone(struct dv_defer *defer)
{
	struct dv_exec *e = dv_container_of(defer, struct dv_exec, end);

	if (!dv_exec_streams_run(e))
		dv_exec_free(e);
}

void dv_exec_check(struct dv_exec *e)
{
	if (e->state == DV_EXEC_EXITED && e->released &&
	    !dv_exec_streams_run(e))
		dv_defer_add(e->procs->loop, &e->end, on_gone);
}

static bool nameable(const struct dv_exec *e)
{
	return e->state != DV_EXEC_STARTING && !e->released;
}

struct dv_exec *dv_procs_find(struct dv_procs *ps, uint64_t id, int32_t pid)
{
	struct dv_exec *found = NULL;

	for (struct dv_exec *e = ps->first; e; e = e->next) {
		if (!nameable(e) || (id ? e->id != id : e->pid != pid))
			continue;
		found = e;
		if (id || e->state == DV_EXEC_RUNNING)
			break;
	}
	return found;
}

void dv_exec_drop(struct dv_exec *e)
{
	e->released = true;
	e->procs->n_exited--;
	dv_exec_check(e);
}

void dv_procs_evict(struct dv_procs *ps)
{
	struct dv_exec *e = ps->first;

	while (ps->n_exited > DV_RECORDS_MAX && e) {
		struct dv_exec *next = e->next;

		if (e->state == DV_EXEC_EXITED && !e->released)
			dv_exec_drop(e);
		e = next;
	}
}

static size_t kept_bytes(const struct dv_exec *e)
{
	return dv_kept_bytes(&e->stream[1].kept) +
	       dv_kept_bytes(&e->stream[2].kept);
}

static void drop_kept(struct dv_exec *e)
{
	for (int i = 1; i < 3; i++)
		if (dv_kept_bytes(&e->stream[i].kept))
			dv_kept_drop(&e->stream[i].kept);
	dv_log(e->procs->opts.log, DV_LOG_DEBUG, "kept output dropped pid=%d",
	       (int)e->pid);
}

void dv_procs_evict_kept(struct dv_procs *ps)
{
	size_t bytes = 0;

	for (const struct dv_exec *e = ps->first; e; e = e->next)
		bytes += kept_bytes(e);
	for (struct dv_exec *e = ps->first; bytes > DV_KEPT_MAX; e = e->next) {
		size_t of_it = kept_bytes(e);

		if (of_it)
			drop_kept(e);
		bytes -= of_it;
	}
}

/* ---- the start -------------------------------------------------------- */

static void start_failed(struct dv_exec *e, const struct dv_err *err)
{
	dv_exec_started *fn = e->started;
	void *arg = e->started_arg;

	dv_exec_free(e);
	if (fn)
		fn(arg, NULL, err);
}

static void start_done(struct dv_exec *e)
{
	struct dv_procs *ps = e->procs;
	dv_exec_started *fn = e->started;
	struct dv_err err = DV_ERR_INIT;
	int r = dv_exec_watch(e);

	if (r == 0)
		r = dv_exec_streams_start(e);
	if (r < 0) {
		dv_err_sys(&err, -r, "watch %s", e->argv[0]);
		start_failed(e, &err);
		return;
	}
	e->pid = e->proc.pid;
	e->state = DV_EXEC_RUNNING;
	e->started = NULL;
	ps->n_running++;
	if (e->timeout_ms)
		dv_exec_arm(e, e->timeout_ms);
	dv_log(ps->opts.log, DV_LOG_DEBUG, "started %s pid=%d", e->argv[0],
	       (int)e->pid);
	if (fn)
		fn(e->started_arg, e, NULL);
	else
		dv_close(dv_exec_take_terminal(e)); /* nobody takes it */
}

static void on_err_fd(struct dv_src *src, uint32_t ev)
{
	struct dv_exec *e = dv_container_of(src, struct dv_exec, err_src);
	struct dv_err err = DV_ERR_INIT;
	int r;

	(void)ev;
	dv_src_del(&e->err_src);
	e->procs->n_starting--;
	r = dv_proc_finish(&e->proc, e->procs->opts.sandbox, &err);
	if (r < 0)
		start_failed(e, &err);
	else
		start_done(e);
}

/*
 * What is shown of the command, also when it has exited: as much as
 * DV_ARGV_KEEP says, the last word cut where that ends.
 */
static int copy_argv(struct dv_exec *e, const dv_ExecRequest *rq)
{
	size_t left = DV_ARGV_KEEP;
	size_t max = dv_min((size_t)rq->argv_count, left / DV_ARGV_COST);

	e->argv = calloc(max + 1, sizeof(*e->argv));
	if (!e->argv)
		return -ENOMEM;
	for (; e->n_argv < max && left > DV_ARGV_COST; e->n_argv++) {
		char *word = strndup(rq->argv[e->n_argv], left - DV_ARGV_COST);

		if (!word)
			return -ENOMEM;
		left -= strlen(word) + DV_ARGV_COST;
		e->argv[e->n_argv] = word;
	}
	return 0;
}

static int may_start(const struct dv_procs *ps, struct dv_err *err)
{
	if (ps->n_running + ps->n_starting >= DV_EXECS_MAX)
		return dv_err_set(err, EAGAIN, DV_EXHAUSTED,
				  "%d processes are running", DV_EXECS_MAX);
	if (ps->nowhere)
		return dv_err_set(err, ESRCH, DV_PRECONDITION,
				  "there is no sandbox to start it in");
	if (ps->opts.sandbox && ps->opts.sandbox->unbuilt && ps->n_starting)
		return dv_err_set(err, EAGAIN, DV_PRECONDITION,
				  "the first process is still being started");
	return 0;
}

/* Fork it, with what its streams need. */
static int begin(struct dv_exec *e, struct dv_plan *plan, struct dv_err *err)
{
	struct dv_procs *ps = e->procs;
	uint32_t n = 0;
	int fds[3], r;

	for (uint32_t i = 0; i < 3; i++) {
		if (e->child[i] < 0)
			continue;
		fds[n] = e->child[i];
		dv_plan_fd(plan, n++, i);
	}
	r = dv_plan_status(plan);
	if (r < 0)
		return dv_err_sys(err, -r, "plan");
	r = dv_plan_check(&plan->msg, n, err);
	if (r == 0)
		r = dv_proc_begin(&e->proc, ps->opts.sandbox,
				  &plan->msg.process, fds, n, ps->opts.cgroup,
				  err);
	return r;
}

static int start(struct dv_exec *e, const dv_ExecRequest *rq, int *fds,
		 size_t n_fds, struct dv_err *err)
{
	struct dv_plan plan = DV_PLAN_INIT;
	int r;

	e->id = e->procs->next_id++;
	e->terminal = rq->terminal;
	e->take = rq->take_terminal;
	e->timeout_ms = rq->timeout_ms;
	/* Not later: where there is no memory left it is killed at once. */
	e->oom_kills = dv_procs_oom_kills(e->procs);
	e->record.start_unix_ns = dv_unix_ns();
	e->started_ns = dv_now_ns();
	r = dv_exec_plan(&plan, rq, &e->procs->opts, err);
	if (r == 0 && copy_argv(e, rq) < 0)
		r = dv_err_sys(err, ENOMEM, "start %s", rq->argv[0]);
	if (r == 0)
		r = dv_exec_streams_open(e, rq, fds, n_fds, err);
	if (r == 0)
		r = begin(e, &plan, err);
	dv_plan_free(&plan);
	if (r == 0)
		r = dv_src_add(e->procs->loop, &e->err_src, e->proc.err_fd,
			       EPOLLIN, on_err_fd);
	return r;
}

int dv_procs_start(struct dv_procs *ps, const dv_ExecRequest *rq, int *fds,
		   size_t n_fds, dv_exec_started *fn, void *arg,
		   struct dv_exec **execp, struct dv_err *err)
{
	struct dv_exec *e;
	int r = may_start(ps, err);

	if (r < 0)
		return r;
	e = dv_exec_new(ps);
	if (!e)
		return dv_err_sys(err, ENOMEM, "start a process");
	e->started = fn;
	e->started_arg = arg;
	r = start(e, rq, fds, n_fds, err);
	if (r < 0) {
		dv_exec_free(e);
		return r;
	}
	ps->n_starting++;
	*execp = e;
	return 0;
}

void dv_exec_forget(struct dv_exec *e)
{
	e->started = NULL;
}

size_t dv_procs_starting(const struct dv_procs *ps)
{
	return ps->n_starting;
}

/* ---- all of them ------------------------------------------------------ */

int dv_procs_signal_all(struct dv_procs *ps, int signo, struct dv_err *err)
{
	int n = 0;

	for (struct dv_exec *e = ps->first; e; e = e->next) {
		int r;

		if (e->state != DV_EXEC_RUNNING)
			continue;
		r = dv_exec_signal(e, signo, dv_SIGNAL_GROUP, err);
		if (r < 0 && r != -ESRCH)
			return r;
		n += r == 0;
	}
	return n;
}

int dv_procs_signal_pid(struct dv_procs *ps, pid_t pid, int signo)
{
	struct dv_exec *e = dv_procs_find(ps, 0, pid);

	return e ? dv_exec_signal(e, signo, dv_SIGNAL_PROCESS, NULL) : -ESRCH;
}

bool dv_procs_owns(const struct dv_procs *ps, pid_t pid)
{
	for (const struct dv_exec *e = ps->first; e; e = e->next)
		if (e->proc.pid == pid)
			return true;
	return false;
}

int dv_procs_each(struct dv_procs *ps,
		  int (*each)(void *arg, struct dv_exec *exec), void *arg)
{
	int r = 0;

	for (struct dv_exec *e = ps->first; e && r == 0; e = e->next)
		if (nameable(e))
			r = each(arg, e);
	return r;
}

struct dv_procs_count dv_procs_count(const struct dv_procs *ps)
{
	return (struct dv_procs_count){ ps->n_running, ps->n_exited };
}

static bool is_flowing(const struct dv_stream *s)
{
	if (s->kept.loop && s->kept.from >= 0)
		return true;
	for (const struct dv_sink *k = s->kept.sinks; k; k = k->next)
		if (k->fd >= 0)
			return true;
	return dv_pump_runs(&s->pump) && s->pump.state != DV_PUMP_LINGER;
}

bool dv_procs_flowing(const struct dv_procs *ps)
{
	for (const struct dv_exec *e = ps->first; e; e = e->next)
		if (is_flowing(&e->stream[1]) || is_flowing(&e->stream[2]))
			return true;
	return false;
}

struct dv_data *dv_procs_data(const struct dv_procs *ps)
{
	return ps->opts.data;
}

struct dv_cgroup *dv_procs_cgroup(const struct dv_procs *ps)
{
	return ps->opts.cgroup;
}

struct dv_loop *dv_procs_loop(const struct dv_procs *ps)
{
	return ps->loop;
}
