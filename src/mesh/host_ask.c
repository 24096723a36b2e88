/* SPDX-License-Identifier: MIT */
/*
 * Asking a host for its tree. The deadline is ours: a host that hangs answers
 * nothing, and the question is over all the same.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/def.h"
#include "inspect/inspect.h"
#include "mesh/host_priv.h"

enum { ASK_MS = 5000, ASK_SLACK_MS = 50 };

struct dv_host_ask {
	struct dv_list at; /* in the run's */
	uint32_t id;
	struct dv_timer timer;
	void (*fn)(void *arg, struct dv_node *node);
	void *arg;
};

static void answer(struct dv_host_ask *ask, struct dv_node *node)
{
	dv_list_del(&ask->at);
	dv_timer_stop(&ask->timer);
	ask->fn(ask->arg, node);
	free(ask);
}

static void on_deadline(struct dv_timer *timer)
{
	answer(dv_container_of(timer, struct dv_host_ask, timer),
	       dv_node_failed(DV_NODE_UNRESOLVED, NULL));
}

void dv_host_asks_answer(struct dv_host_run *run, const struct dv_host_msg *m)
{
	struct dv_node *node = NULL;
	struct dv_err err = DV_ERR_INIT;
	struct dv_list *l, *n;

	dv_list_each(l, n, &run->asks)
	{
		struct dv_host_ask *ask = dv_list_of(l, struct dv_host_ask, at);

		if (ask->id != m->id)
			continue;
		if (dv_node_decode_response(m->data.ptr, m->data.len, &node,
					    &err) < 0)
			node = dv_node_failed(DV_NODE_CHANNEL, err.msg);
		answer(ask, node);
		return;
	}
	/* It came too late. */
}

void dv_host_asks_end(struct dv_host_run *run)
{
	struct dv_list *l;

	while ((l = dv_list_first(&run->asks)))
		answer(dv_list_of(l, struct dv_host_ask, at),
		       dv_node_failed(DV_NODE_CHANNEL, "the host has gone"));
}

static int send_ask(struct dv_host_run *run, uint32_t id, const char *path,
		    uint32_t depth, const char *update,
		    enum dv_sensitivity limit, uint64_t ms)
{
	struct dv_host_msg m = {
		.kind = DV_HM_INSPECT,
		.id = id,
		.text = dv_host_str(path, strlen(path)),
		.flags = depth,
		.number = (int32_t)limit,
		/* Ours ends a moment later, so that what it has by then comes.
		 */
		.count = ms > ASK_SLACK_MS * 2 ? ms - ASK_SLACK_MS : ms,
		.time = update != NULL,
	};

	if (update)
		m.data = dv_host_str(update, strlen(update));
	return dv_host_msg_send(run->ctl, &m, NULL);
}

int dv_host_inspect(struct dv_host *host, const char *path, uint32_t depth,
		    const char *update, enum dv_sensitivity limit,
		    int timeout_ms, void (*fn)(void *arg, struct dv_node *node),
		    void *arg)
{
	struct dv_host_run *run = host->run;
	uint32_t ms = timeout_ms < 0 ? ASK_MS : (uint32_t)timeout_ms;
	struct dv_host_ask *ask;
	int r;

	if (!run || !run->ctl || !host->up)
		return -ESRCH;
	ask = calloc(1, sizeof(*ask));
	if (!ask)
		return -ENOMEM;
	ask->id = ++run->last_ask;
	ask->fn = fn;
	ask->arg = arg;
	r = dv_timer_set(run->hosts->loop, &ask->timer, dv_host_at_ms(ms),
			 on_deadline);
	if (r == 0)
		r = send_ask(run, ask->id, path ? path : "", depth, update,
			     limit, ms);
	if (r < 0) {
		dv_timer_stop(&ask->timer);
		free(ask);
		return r;
	}
	dv_list_add(&run->asks, &ask->at);
	return 0;
}
