/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/def.h"
#include "base/fd.h"
#include "base/json.h"
#include "base/path.h"
#include "engine/landlock.h"
#include "runtime/plan/doctor.h"
#include "runtime/plan/spec.h"
#include "runtime/run/run.h"

enum {
	/* A mount of a dead network file system can hang; a start must not. */
	START_TIMEOUT_MS = 60000,
	/* Who ends sooner than anybody can look leaves no directory to remove.
	 */
	STATE_DELAY_NS = 20000000,
};

#define CWD_HINT "the current directory is not shown: -W or -v brings it in"

static void mark(struct dv_run *run, const char *name)
{
	if (!run->timing || run->n_marks >= DV_CTL_MARKS_MAX)
		return;
	run->marks[run->n_marks].name = name;
	run->marks[run->n_marks++].ns = dv_now_ns();
}

/* ---- steps -------------------------------------------------------------- */

static int run_alloc(struct dv_run **runp, struct dv_loop *loop,
		     const struct dv_spec *spec, struct dv_home *home)
{
	struct dv_run *run = calloc(1, sizeof(*run));

	if (!run)
		return -ENOMEM;
	*run = (struct dv_run)DV_RUN_INIT;
	run->loop = loop;
	run->home = home ? home : &run->own;
	run->stop_signal = spec->stop_signal;
	run->stop_timeout_ms = spec->stop_timeout_ms;
	run->timing = spec->timing;
	run->begun_ns = dv_now_ns();
	*runp = run;
	if (loop)
		return 0;
	run->own_loop = true;
	return dv_loop_new(&run->loop);
}

/*
 * A group is noted before it is made: whatever moment we are killed at, the
 * next davit command finds it.
 */
static int note_group(void *arg, const char *path)
{
	struct dv_run *run = arg;

	return dv_home_note(run->home, path);
}

static int make_groups(struct dv_run *run, const struct dv_spec *spec,
		       struct dv_buf *missing, struct dv_err *err)
{
	/* Of its own: a hint about what best effort goes without must not
	 * turn up beside a later error. */
	struct dv_err own = DV_ERR_INIT;
	int r;

	run->cg.note = note_group;
	run->cg.note_arg = run;
	r = dv_cgroup_create(&run->cg, run->home->id, &spec->limits,
			     spec->best_effort, missing, &own);
	if (r < 0 && err)
		*err = own;
	return r;
}

/* Wait for the child's word; past the deadline it is killed. */
static int await_exec(struct dv_run *run, struct dv_err *err)
{
	struct pollfd p = { run->proc.err_fd, POLLIN, 0 };
	uint64_t until = dv_now_ns() + START_TIMEOUT_MS * UINT64_C(1000000);
	int r;

	do {
		uint64_t now = dv_now_ns();
		int ms = now < until ? (int)((until - now) / 1000000) + 1 : 0;

		r = poll(&p, 1, ms);
	} while (r < 0 && errno == EINTR);
	if (r == 0) {
		dv_run_kill(run);
		dv_err_hint(err, "a file system that does not answer?");
		return dv_err_step(err,
				   dv_err_set(err, ETIMEDOUT, DV_DEADLINE,
					      "not started within %d s",
					      START_TIMEOUT_MS / 1000),
				   DV_STEP_SPAWN);
	}
	return dv_proc_finish(&run->proc, run->plain ? NULL : &run->sb, err);
}

/* ---- once it runs ------------------------------------------------------- */

static void take_streams(struct dv_run *run, struct dv_planned *p)
{
	for (int i = 0; i < 3; i++)
		run->parent_end[i] = dv_take_fd(&p->parent_end[i]);
	if (run->proc.tty >= 0)
		run->parent_end[0] = dv_take_fd(&run->proc.tty);
}

static void write_state(struct dv_run *run)
{
	dv_autobuf text = DV_BUF_INIT(4096);
	struct dv_json j = DV_JSON_INIT(&text);

	dv_json_open(&j, NULL, '{');
	dv_json_str(&j, "id", run->home->id);
	dv_json_str(&j, "state", "running");
	dv_json_i64(&j, "keeper", getpid());
	dv_json_i64(&j, "init", run->sb.init_pid);
	dv_json_i64(&j, "pid", run->proc.pid);
	dv_json_time(&j, "started", run->exit.started_unix_ns);
	dv_json_close(&j, '}');
	/* Advice for others; a full disk must not stop a running command. */
	if (dv_buf_status(&text) == 0 && dv_home_create(run->home, NULL) == 0)
		(void)dv_home_write(run->home, "state.json", text.data,
				    text.len);
}

/* It runs for longer: what others may look at, and what they left. */
static void on_settled(struct dv_timer *timer)
{
	struct dv_run *run = dv_container_of(timer, struct dv_run, state_at);

	if (run->hooks && run->hooks->settled)
		run->hooks->settled(run);
	else if (!dv_run_is_lent(run))
		write_state(run);
	dv_run_sweep(run);
}

static void on_limit(struct dv_timer *timer)
{
	struct dv_run *run = dv_container_of(timer, struct dv_run, limit);

	if (run->state != DV_STATE_RUNNING && run->state != DV_STATE_PAUSED)
		return; /* somebody stops it already */
	run->exit.timed_out = true;
	dv_run_end(run, DV_ENDED_TIMEOUT);
}

int dv_run_watch(struct dv_run *run, uint64_t limit_at_ns)
{
	int r = dv_src_add(run->loop, &run->main_src, run->proc.pidfd, EPOLLIN,
			   dv_run_on_main);

	if (r == 0 && !run->plain)
		r = dv_src_add(run->loop, &run->init_src, run->sb.init_pidfd,
			       EPOLLIN, dv_run_on_init);
	if (r == 0 && limit_at_ns)
		r = dv_timer_set(run->loop, &run->limit, limit_at_ns, on_limit);
	return r;
}

static int watch(struct dv_run *run, const struct dv_spec *spec)
{
	uint64_t limit = spec->timeout_ms < 0
				 ? 0
				 : run->started_ns +
					   (uint64_t)spec->timeout_ms * 1000000;
	int r = dv_run_watch(run, limit);

	return r < 0 ? r
		     : dv_timer_set(run->loop, &run->state_at,
				    run->started_ns + STATE_DELAY_NS,
				    on_settled);
}

static void describe(struct dv_run *run, const struct dv_spec *spec,
		     const struct dv_planned *p)
{
	bool asked = spec->limits.memory || spec->limits.pids ||
		     spec->limits.milli_cpus;
	/* What best effort goes without is told line by line; what is not of
	 * the plan is of the limits. */
	bool lost = strlen(run->missing) > p->missing.len;
	const char *limits = !asked ? ""
			     : lost ? "; not all limits"
				    : "; limits";
	const dv_Process *proc = &p->plan.msg.process;

	snprintf(run->describe, sizeof(run->describe), "%s: %s%s%s%s%s%s%s",
		 spec->boundary == DV_IN_CONTAINER ? "container" : "process",
		 run->plain ? "no namespaces; landlock"
			    : "user, mount, pid, ipc, uts, cgroup",
		 !run->plain && spec->net == DV_NET_NONE ? ", net" : "",
		 run->plain ? "" : " namespaces",
		 proc->seccomp ? "; seccomp" : "",
		 spec->net == DV_NET_HOST ? "; host network"
		 : run->plain             ? "; no sockets"
					  : "",
		 limits, p->cwd_hidden ? "; in /, because " CWD_HINT : "");
}

/* A place for notes and the groups, while init makes the network. Once. */
static int settle(struct dv_run *run, const struct dv_spec *spec,
		  struct dv_buf *missing, struct dv_err *err)
{
	int r;

	if (run->settled)
		return 0;
	r = dv_run_is_lent(run) ? 0 : dv_home_claim(run->home, err);
	run->settled = r == 0;
	mark(run, "keeper: state");
	if (r == 0)
		r = make_groups(run, spec, missing, err);
	mark(run, "keeper: control groups");
	return r;
}

/*
 * What can be refused is refused before anything exists. Then init, whose work
 * is the longest; then what the command needs of us, then the command.
 */
static int launch_sandbox(struct dv_run *run, const struct dv_spec *spec,
			  struct dv_planned *p, struct dv_buf *missing,
			  struct dv_err *err)
{
	const dv_Plan *plan = &p->plan.msg;
	unsigned int how =
		DV_NS_ONE | DV_NS_WAIT | (run->timing ? DV_NS_TIMING : 0);
	int r = dv_planner_plan(p, spec, run->home->id, run->home->base,
				run->home->root, err);

	mark(run, "keeper: plan");
	if (r == 0)
		r = dv_ns_start(&run->sb, &plan->isolation, how, err);
	mark(run, "keeper: id maps");
	if (r == 0)
		r = settle(run, spec, missing, err);
	if (r == 0)
		r = dv_proc_begin(&run->proc, &run->sb, &plan->process, p->fds,
				  p->n_fds, &run->cg, err);
	mark(run, "keeper: fork main");
	return r < 0 ? r : await_exec(run, err);
}

/* ---- without namespaces ------------------------------------------------- */

/* Did it fail because this user cannot have namespaces on this machine? What
 * could also be the fault of the request is tried without it. */
static bool lacks_namespaces(const struct dv_err *err)
{
	struct dv_probe probe = DV_PROBE_INIT;

	if (err->sys != EPERM && err->sys != EACCES && err->sys != ENOSPC &&
	    err->sys != EUSERS && err->sys != ENOSYS && err->sys != EINVAL)
		return false;
	if (err->step == DV_STEP_SPAWN)
		return true;
	if (err->step != DV_STEP_IDMAP && err->step != DV_STEP_NET &&
	    err->step != DV_STEP_ROOT && err->step != DV_STEP_MOUNT)
		return false;
	return dv_doctor_probe(&probe) == 0 &&
	       (probe.user || probe.spaces || probe.tmpfs || probe.setattr ||
		probe.proc);
}

/* What holds the command's children together when the command or we are gone.
 */
static void tell_group(struct dv_run *run, struct dv_buf *missing)
{
	if (run->cg.v2_fd < 0)
		dv_buf_puts(missing,
			    "a group for all that it starts: what leaves its "
			    "session goes on, and with davit killed all but "
			    "the command\n");
	else
		dv_buf_puts(missing,
			    "a life line for all that it starts: with davit "
			    "killed it goes on until the next davit command\n");
}

/* The first attempt failed with @first; what it made for us is used again. */
static int launch_plain(struct dv_run *run, const struct dv_spec *spec,
			struct dv_planned *p, struct dv_buf *missing,
			const struct dv_err *first, struct dv_err *err)
{
	char tmp[sizeof(run->home->path) + 8];
	struct dv_plain_how how = {
		.abi = dv_landlock_abi(),
		.tmpdir = tmp,
		.why = first->msg,
	};
	int r;

	dv_ns_free(&run->sb);
	dv_planner_free(p);
	run->plain = true;
	snprintf(tmp, sizeof(tmp), "%s/tmp", run->home->path);
	r = dv_planner_plain(p, spec, run->home->base, &how, err);
	if (r < 0)
		dv_err_hint(err, "%s", first->hint);
	else
		r = settle(run, spec, missing, err);
	if (r == 0)
		r = dv_home_create(run->home, err);
	if (r == 0 && dv_run_is_lent(run)) /* of a run before */
		dv_remove_tree(run->home->dirfd, "tmp");
	if (r == 0 && mkdirat(run->home->dirfd, "tmp", 0700) < 0)
		r = dv_err_step(err, dv_err_sys(err, errno, "create %s", tmp),
				DV_STEP_STATE);
	if (r < 0)
		return r;
	tell_group(run, &p->missing);
	r = dv_proc_begin(&run->proc, NULL, &p->plan.msg.process, p->fds,
			  p->n_fds, &run->cg, err);
	return r < 0 ? r : await_exec(run, err);
}

static int launch(struct dv_run *run, const struct dv_spec *spec,
		  struct dv_planned *p, struct dv_err *err)
{
	dv_autobuf missing = DV_BUF_INIT(4096);
	struct dv_err first = DV_ERR_INIT;
	int r = dv_run_is_lent(run) ? 0 : dv_home_open(run->home, &first);

	memcpy(run->id, run->home->id, sizeof(run->id));
	if (r == 0)
		r = launch_sandbox(run, spec, p, &missing, &first);
	if (r < 0 && spec->best_effort && lacks_namespaces(&first) &&
	    dv_landlock_abi() > 0)
		r = launch_plain(run, spec, p, &missing, &first, err);
	else if (r < 0 && err)
		*err = first;
	if (r < 0)
		return r;
	dv_buf_put(&missing, p->missing.data ? p->missing.data : "",
		   p->missing.len);
	run->missing = dv_buf_take(&missing);
	return run->missing ? 0
			    : dv_err_step(err, dv_err_sys(err, ENOMEM, "start"),
					  DV_STEP_SPAWN);
}

static int by_time(const void *a, const void *b)
{
	const struct dv_mark *x = a, *y = b;

	return x->ns < y->ns ? -1 : x->ns > y->ns;
}

/* Marks of the children lie in their shared page until here. */
static void collect_marks(struct dv_run *run)
{
	struct dv_ctl *ctl = run->sb.ctl;
	size_t n = ctl ? atomic_load(&ctl->n_marks) : 0;

	for (size_t i = 0; run->timing && i < n && i < DV_CTL_MARKS_MAX &&
			   run->n_marks < DV_CTL_MARKS_MAX;
	     i++)
		run->marks[run->n_marks++] = ctl->marks[i];
	qsort(run->marks, run->n_marks, sizeof(run->marks[0]), by_time);
}

static int start(struct dv_run *run, const struct dv_spec *spec,
		 struct dv_err *err)
{
	struct dv_planned p = DV_PLANNED_INIT;
	int r = launch(run, spec, &p, err);

	if (r == 0) {
		run->started_ns = dv_now_ns();
		run->exit.started_unix_ns = dv_unix_ns();
		take_streams(run, &p);
		describe(run, spec, &p);
		run->plan = p.plan;
		p.plan = (struct dv_plan)DV_PLAN_INIT;
		collect_marks(run);
		r = watch(run, spec);
		if (r < 0)
			dv_err_step(err,
				    dv_err_sys(err, -r, "watch the command"),
				    DV_STEP_SPAWN);
	}
	/* A script of that directory, most likely: the better hint. */
	if (r < 0 && p.cwd_hidden && err && err->step == DV_STEP_LOOKUP) {
		err->hint[0] = '\0';
		dv_err_hint(err, "the command starts in /; " CWD_HINT);
	}
	dv_planner_free(&p);
	if (r < 0)
		return r;
	dv_run_set_state(run, DV_STATE_RUNNING);
	return 0;
}

/* A caller that ignores SIGCHLD has the kernel throw exit statuses away. */
static int check_sigchld(struct dv_err *err)
{
	struct sigaction sa;

	if (sigaction(SIGCHLD, NULL, &sa) < 0 ||
	    (sa.sa_handler != SIG_IGN && !(sa.sa_flags & SA_NOCLDWAIT)))
		return 0;
	dv_err_hint(err, "set SIGCHLD to SIG_DFL, or handle it without "
			 "SA_NOCLDWAIT");
	return dv_err_step(err,
			   dv_err_set(err, EINVAL, DV_PRECONDITION,
				      "SIGCHLD is ignored, so the exit status "
				      "would be lost"),
			   DV_STEP_CONFIG);
}

int dv_run_start_in(struct dv_run **runp, struct dv_loop *loop,
		    const struct dv_spec *spec, struct dv_home *home,
		    struct dv_err *err)
{
	struct dv_run *run = NULL;
	int r;

	*runp = NULL;
	r = check_sigchld(err);
	if (r < 0)
		return r;
	r = run_alloc(&run, loop, spec, home);
	if (r < 0)
		dv_err_step(err, dv_err_sys(err, -r, "start"), DV_STEP_SPAWN);
	else
		r = start(run, spec, err);
	if (r < 0) {
		dv_run_free(run);
		return r;
	}
	*runp = run;
	return 0;
}

int dv_run_start(struct dv_run **runp, struct dv_loop *loop,
		 const struct dv_spec *spec, struct dv_err *err)
{
	return dv_run_start_in(runp, loop, spec, NULL, err);
}

int dv_run_lend(struct dv_run *run, struct dv_home *to, struct dv_err *err)
{
	int r = dv_home_create(run->home, err);

	if (r < 0)
		return r;
	*to = run->own;
	run->own = (struct dv_home)DV_HOME_INIT;
	run->home = to;
	return 0;
}
