/* SPDX-License-Identifier: MIT */
/*
 * DOC: the health command
 *
 * It is executed in the sandbox like any client's process, every so often. A
 * status of 0 is good; another one, and one that takes longer than the interval
 * (or cannot be started), is a failure, and as many of them in a row as there
 * are retries are bad. Until then a sandbox that was never good is starting.
 */
#include "runtime/keeper/keeper.h"

#include <errno.h>
#include <stdlib.h>

#include "base/def.h"
#include "base/fmt.h"
#include "runtime/store/names.h"

struct dv_keeper_health {
	struct dv_keeper *k;
	struct dv_timer next;
	struct dv_exec *starting;
	uint64_t id; /* of the process; 0: none */
	struct dv_exec_waiter waiter;
	uint32_t failures; /* in a row */
};

static void on_next(struct dv_timer *timer);

static void again(struct dv_keeper_health *h)
{
	uint64_t ns = h->k->kept.keep.health_interval_ms * UINT64_C(1000000);

	if (dv_timer_set(h->k->loop, &h->next, dv_now_ns() + ns, on_next) < 0)
		dv_log(h->k->log, DV_LOG_WARN, "health: no memory");
}

static void set_health(struct dv_keeper_health *h, enum dv_health to, int code)
{
	char more[64];

	if (h->k->info.health == to)
		return;
	h->k->info.health = to;
	dv_fmt(more, sizeof(more), "\"health\":\"%s\",\"code\":%d",
	       dv_health_names[to], code);
	dv_store_event(&h->k->dirs, "health", more);
	dv_keeper_changed(h->k);
}

static void result(struct dv_keeper_health *h, int code)
{
	uint32_t max = dv_max(h->k->kept.keep.health_retries, 1u);

	if (code == 0) {
		h->failures = 0;
		set_health(h, DV_HEALTH_GOOD, 0);
	} else if (h->failures < max && ++h->failures == max) {
		set_health(h, DV_HEALTH_BAD, code);
	}
	again(h);
}

/* Its record is nobody's but ours. */
static void forget(struct dv_keeper_health *h)
{
	struct dv_exec *e = dv_procs_find(h->k->procs, h->id, 0);

	h->id = 0;
	if (e)
		dv_exec_release(e, NULL);
}

static void on_exit_of_check(struct dv_exec_waiter *waiter,
			     const dv_ExitRecord *record)
{
	struct dv_keeper_health *h =
		dv_container_of(waiter, struct dv_keeper_health, waiter);
	int code = record->timed_out ? 124 : record->code;

	forget(h);
	result(h, code);
}

static void await_end(struct dv_keeper_health *h, struct dv_exec *exec)
{
	h->id = dv_exec_id(exec);
	h->waiter.fn = on_exit_of_check;
	if (!dv_exec_wait(exec, &h->waiter))
		on_exit_of_check(&h->waiter, dv_exec_record(exec));
}

static void on_started(void *arg, struct dv_exec *exec,
		       const struct dv_err *err)
{
	struct dv_keeper_health *h = arg;

	h->starting = NULL;
	if (exec) {
		await_end(h, exec);
		return;
	}
	dv_log(h->k->log, DV_LOG_INFO, "health: %s", err->msg);
	result(h, 125);
}

static void on_next(struct dv_timer *timer)
{
	struct dv_keeper_health *h =
		dv_container_of(timer, struct dv_keeper_health, next);
	struct dv_keeper *k = h->k;
	dv_ExecRequest rq = dv_ExecRequest_init_zero;
	struct dv_err err = DV_ERR_INIT;

	if (k->info.state != DV_STATE_RUNNING) {
		again(h); /* paused: nothing could answer */
		return;
	}
	rq.argv = k->kept.keep.health;
	rq.argv_count = k->kept.keep.health_count;
	rq.timeout_ms = k->kept.keep.health_interval_ms;
	if (dv_procs_start(k->procs, &rq, NULL, 0, on_started, h, &h->starting,
			   &err) < 0) {
		h->starting = NULL;
		result(h, 125);
	}
}

uint32_t dv_keeper_health_running(const struct dv_keeper_health *h)
{
	return h->id != 0;
}

/* NULL: nobody asks, or no memory. */
static struct dv_keeper_health *health_new(struct dv_keeper *k)
{
	struct dv_keeper_health *h;

	if (!k->kept.keep.health_count || k->health)
		return NULL;
	h = calloc(1, sizeof(*h));
	if (!h) {
		dv_log(k->log, DV_LOG_WARN, "health: no memory");
		return NULL;
	}
	h->k = k;
	h->next = (struct dv_timer)DV_TIMER_INIT;
	k->health = h;
	return h;
}

void dv_keeper_health_start(struct dv_keeper *k)
{
	struct dv_keeper_health *h = health_new(k);

	if (!h)
		return;
	k->info.health = DV_HEALTH_STARTING;
	again(h);
}

/* ---- an upgrade: one that is being started is waited for --------------- */

void dv_keeper_health_save(const struct dv_keeper *k, dv_KeeperState *out)
{
	out->health_process = k->health ? k->health->id : 0;
	out->health_failures = k->health ? k->health->failures : 0;
}

void dv_keeper_health_resume(struct dv_keeper *k, const dv_KeeperState *st)
{
	struct dv_keeper_health *h = health_new(k);
	struct dv_exec *e = NULL;

	if (!h)
		return;
	h->failures = st->health_failures;
	if (st->health_process)
		e = dv_procs_find(k->procs, st->health_process, 0);
	if (e)
		await_end(h, e);
	else
		again(h);
}

void dv_keeper_health_stop(struct dv_keeper *k)
{
	struct dv_keeper_health *h = k->health;

	if (!h)
		return;
	dv_timer_stop(&h->next);
	if (h->starting)
		dv_exec_forget(h->starting);
	dv_exec_unwait(&h->waiter);
	free(h);
	k->health = NULL;
}
