/* SPDX-License-Identifier: MIT */
/*
 * Wanting the end of a process: asking, SIGTERM, SIGKILL, each for its time.
 */
#include <errno.h>

#include "engine/sys.h"
#include "mesh/host_priv.h"

enum { KILL_MS = 5000 /* until what does not even die is left over */ };

static uint32_t patience_for(const struct dv_host_run *run)
{
	switch (run->push) {
	case DV_PUSH_ASK:
		return run->patience.ask_ms;
	case DV_PUSH_TERM:
		return run->patience.term_ms;
	case DV_PUSH_KILL:
		return run->patience.kill_ms;
	case DV_PUSH_NONE:
	case DV_PUSH_LEFT:
	case DV_PUSH_N:
	default:
		return 0;
	}
}

static void on_push_over(struct dv_timer *timer);

/*
 * Wait for what the stage does, if that may take time. Without memory for a
 * timer nobody would go on: so the next stage comes at once. Who was killed
 * ends all the same, and is not left over only because we cannot wait.
 */
static bool waits(struct dv_host_run *run, uint32_t ms)
{
	return ms && (dv_timer_set(run->hosts->loop, &run->push_timer,
				   dv_host_at_ms(ms), on_push_over) == 0 ||
		      run->push == DV_PUSH_KILL);
}

/* Do what the stage says; a stage without time is passed over, but a kill is
 * always done. */
static void push_on(struct dv_host_run *run)
{
	for (; run->push < DV_PUSH_LEFT; run->push++) {
		uint32_t ms = patience_for(run);

		if (run->push == DV_PUSH_TERM && ms && run->proc.pid)
			dv_sys_pidfd_signal(run->proc.pidfd, SIGTERM);
		if (run->push == DV_PUSH_KILL) {
			dv_ns_kill(&run->sandbox);
			if (run->proc.pid)
				dv_sys_pidfd_signal(run->proc.pidfd, SIGKILL);
		}
		if (waits(run, ms))
			return;
	}
	dv_host_run_settle(run);
	dv_hosts_check(run->hosts);
}

static void on_push_over(struct dv_timer *timer)
{
	struct dv_host_run *run =
		dv_container_of(timer, struct dv_host_run, push_timer);

	run->push++;
	push_on(run);
}

static uint32_t sooner(enum dv_run_push now, uint32_t a, uint32_t b)
{
	return now == DV_PUSH_NONE ? b : dv_min(a, b);
}

void dv_host_run_push(struct dv_host_run *run, enum dv_run_push push,
		      const struct dv_host_patience *p)
{
	enum dv_run_push now = run->push;

	run->patience.ask_ms = sooner(now, run->patience.ask_ms, p->ask_ms);
	run->patience.term_ms = sooner(now, run->patience.term_ms, p->term_ms);
	run->patience.kill_ms = sooner(now, run->patience.kill_ms, p->kill_ms);
	if (push > now)
		run->push = push;
	else if (run->push_timer.loop &&
		 dv_host_at_ms(patience_for(run)) >= run->push_timer.at_ns)
		return; /* it is on its way, and as soon */
	push_on(run);
}

void dv_host_run_stop(struct dv_host_run *run, const struct dv_host_patience *p)
{
	struct dv_host_msg stop = { .kind = DV_HM_STOP };

	if (!run->stopping && run->told && run->ctl && p->ask_ms)
		dv_host_msg_send(run->ctl, &stop, NULL);
	run->stopping = true;
	if (!run->told) {
		/* Told when it is gone: nobody is called from here. */
		if (run->fail.code == DV_OK)
			dv_err_set(&run->fail, ECANCELED, DV_CANCELLED,
				   "it was stopped");
		dv_host_run_kill(run);
		return;
	}
	dv_host_run_push(run, DV_PUSH_ASK, p);
}

void dv_host_run_kill(struct dv_host_run *run)
{
	static const struct dv_host_patience now = { 0, 0, KILL_MS };

	dv_host_run_push(run, DV_PUSH_KILL, &now);
}
