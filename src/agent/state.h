/* SPDX-License-Identifier: MIT */
#pragma once
/*
 * The saved state of an agent, wire/agent.proto: making it, reading it, and
 * taking it over. A dv_AgentState owns the memory that it points to, but no
 * descriptor.
 */
#include "agent/agent.h"
#include "wire/agent.pb.h"

enum { DV_STATE_VERSION = 2 };

/*
 * Everything that outlives this program; nothing moves until the loop runs
 * again. @each_fd gets every descriptor in it. Returns 0, -EBUSY while
 * processes are being started, or -errno.
 */
int dv_state_save(struct dv_agent *a, dv_AgentState *st,
		  void (*each_fd)(void *arg, int fd), void *arg,
		  struct dv_err *err);
/*
 * The opposite, into an agent that has nothing yet. What cannot be taken over
 * is logged; without a door it fails.
 */
int dv_state_restore(struct dv_agent *a, const dv_AgentState *st,
		     struct dv_err *err);
/* Frees the memory, closes nothing. Idempotent. */
void dv_state_free(dv_AgentState *st);

/* From a document (borrowed). -EPROTO for what is no state of this version. */
int dv_state_load(int fd, dv_AgentState *st, struct dv_err *err);
