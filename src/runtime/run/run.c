/* SPDX-License-Identifier: MIT */
#include "runtime/run/run.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/def.h"
#include "base/fd.h"
#include "base/json.h"
#include "engine/sys.h"

struct dv_run *dv_run_free(struct dv_run *run)
{
	if (!run)
		return NULL;
	if (run->loop)
		dv_run_teardown(run);
	if (run->own_loop)
		dv_loop_free(run->loop);
	dv_plan_free(&run->plan);
	free(run->missing);
	free(run);
	return NULL;
}

const char *dv_run_id(const struct dv_run *run)
{
	return run->id;
}

enum dv_state dv_run_state(const struct dv_run *run)
{
	return run->state;
}

pid_t dv_run_pid(const struct dv_run *run)
{
	return run->proc.pid;
}

int dv_run_pidfd(const struct dv_run *run)
{
	return run->proc.pidfd;
}

pid_t dv_run_init_pid(const struct dv_run *run)
{
	return run->sb.init_pid;
}

int dv_run_take_stdio(struct dv_run *run, int which)
{
	if (which < 0 || which > 2 || run->parent_end[which] < 0)
		return -ENOENT;
	return dv_take_fd(&run->parent_end[which]);
}

struct dv_loop *dv_run_loop(struct dv_run *run)
{
	return run->loop;
}

const char *dv_run_missing(const struct dv_run *run)
{
	return run->missing;
}

const char *dv_run_describe(const struct dv_run *run)
{
	return run->describe;
}

int dv_run_timing(const struct dv_run *run, size_t n, const char **namep,
		  uint64_t *nsp)
{
	if (n >= run->n_marks)
		return -ERANGE;
	*namep = run->marks[n].name;
	*nsp = run->marks[n].ns - run->begun_ns;
	return 0;
}

/* ---- signals ------------------------------------------------------------ */

int dv_run_signal(struct dv_run *run, int signo, struct dv_err *err)
{
	int r = run->proc.pid ? dv_sys_pidfd_signal(run->proc.pidfd, signo)
			      : -ESRCH;

	return r < 0 ? dv_err_sys(err, -r, "signal %d", signo) : 0;
}

/* The command leads its session, so its pid is its group's; unreaped, it
 * cannot be anybody else's. */
int dv_run_signal_group(struct dv_run *run, int signo, struct dv_err *err)
{
	if (!run->proc.pid)
		return dv_err_sys(err, ESRCH, "signal %d", signo);
	if (kill(-run->proc.pid, signo) < 0)
		return dv_err_sys(err, errno, "signal %d", signo);
	return 0;
}

int dv_run_kill_all(struct dv_run *run, struct dv_err *err)
{
	int r;

	if (run->state == DV_STATE_EXITED)
		return dv_err_sys(err, ESRCH, "kill");
	if (run->asked == DV_ENDED_EXIT && run->proc.pid)
		run->asked = DV_ENDED_STOP;
	r = dv_run_kill(run);
	return r < 0 ? dv_err_sys(err, -r, "kill") : 0;
}

int dv_run_stop(struct dv_run *run, struct dv_err *err)
{
	if (run->state == DV_STATE_EXITED)
		return dv_err_sys(err, ESRCH, "stop");
	dv_run_end(run, DV_ENDED_STOP);
	return 0;
}

/* ---- blocking wait ------------------------------------------------------ */

/* Copy what the caller has room for; fields are only ever appended. */
static void copy_exit(struct dv_exit *to, const struct dv_exit *from)
{
	size_t size = dv_min(to->size, sizeof(*from));

	if (size <= sizeof(to->size))
		return;
	memcpy((char *)to + sizeof(to->size),
	       (const char *)from + sizeof(from->size),
	       size - sizeof(to->size));
}

int dv_run_wait(struct dv_run *run, int timeout_ms, struct dv_exit *exit)
{
	uint64_t until = timeout_ms < 0
				 ? UINT64_MAX
				 : dv_now_ns() + (uint64_t)timeout_ms * 1000000;

	if (dv_loop_busy(run->loop))
		return -EDEADLK;
	while (run->state != DV_STATE_EXITED) {
		uint64_t now = dv_now_ns();
		int ms = -1, r;

		if (now >= until)
			return -ETIMEDOUT;
		if (until != UINT64_MAX)
			ms = (int)((until - now) / 1000000) + 1;
		r = dv_loop_dispatch(run->loop, ms);
		if (r < 0)
			return r;
	}
	if (exit)
		copy_exit(exit, &run->exit);
	return 0;
}
