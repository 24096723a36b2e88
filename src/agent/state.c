/* SPDX-License-Identifier: MIT */
#include "agent/state.h"

#include <errno.h>
#include <pb_decode.h>
#include <string.h>

#include "base/def.h"
#include "services/pump.h"
#include "services/reexec.h"
#include "services/served.h"

static struct dv_served served(struct dv_agent *a)
{
	return (struct dv_served){
		.procs = a->procs,
		.servers = { a->server },
		.data = a->data,
		.door = a->door,
		.log = &a->log,
	};
}

/* Our group is the only one: it has no limits, so it is a v2 group. */
static int save_group(struct dv_agent *a, dv_AgentState *st,
		      void (*each_fd)(void *arg, int fd), void *arg)
{
	struct dv_cgroup *cg = &a->cg;

	if (cg->v2_fd < 0)
		return 0;
	st->group = dv_fd_to_state(cg->v2_fd);
	st->group_path = strdup(cg->dirs[0]);
	each_fd(arg, cg->v2_fd);
	return st->group_path ? 0 : -ENOMEM;
}

int dv_state_save(struct dv_agent *a, dv_AgentState *st,
		  void (*each_fd)(void *arg, int fd), void *arg,
		  struct dv_err *err)
{
	struct dv_served s = served(a);
	int r = dv_served_save(&s, &st->served, each_fd, arg, err);

	if (r < 0)
		return r;
	st->has_served = true;
	st->version = DV_STATE_VERSION;
	st->software = strdup("davit-agent " DV_VERSION);
	st->restarts = a->restarts;
	st->begun = a->begun;
	st->paused = a->paused;
	st->restart_calls = a->restart ? 1 : 0;
	st->log_level = (uint32_t)a->log.level;
	r = st->software ? save_group(a, st, each_fd, arg) : -ENOMEM;
	return r < 0 ? dv_err_sys(err, -r, "save the state") : 0;
}

void dv_state_free(dv_AgentState *st)
{
	pb_release(dv_AgentState_fields, st);
	*st = (dv_AgentState)dv_AgentState_init_zero;
}

int dv_state_load(int fd, dv_AgentState *st, struct dv_err *err)
{
	int r = dv_reexec_load(fd, dv_AgentState_fields, st, err);

	if (r < 0 || st->version == DV_STATE_VERSION)
		return r;
	return dv_err_set(err, EPROTO, DV_PRECONDITION,
			  "the saved state has version %u, this program "
			  "understands %d",
			  st->version, DV_STATE_VERSION);
}

int dv_state_restore(struct dv_agent *a, const dv_AgentState *st,
		     struct dv_err *err)
{
	struct dv_served s;
	int r;

	a->restarts = st->restarts + 1;
	a->restart_calls = st->restart_calls;
	a->begun = st->begun;
	a->paused = st->paused;
	a->log.level = (enum dv_level)dv_min(st->log_level, DV_LOG_N - 1);
	if (st->group && dv_cgroup_adopt(&a->cg, st->group_path,
					 dv_fd_from_state(st->group)) < 0)
		dv_log(&a->log, DV_LOG_ERROR, "lost the control group");
	r = dv_procs_restore(a->procs, &st->served.procs, err);
	if (r == 0)
		r = dv_agent_open_door(a, dv_served_door(&st->served), err);
	if (r < 0)
		return r;
	s = served(a);
	dv_served_restore(&s, &st->served);
	return 0;
}
