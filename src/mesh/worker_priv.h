/* SPDX-License-Identifier: MIT */
#pragma once
/*
 * The owner's side of workers; for worker*.c only.
 *
 * A worker has one instance, and while it is replaced a second one. A call
 * belongs to the worker: it is sent to whichever instance runs, and waits while
 * none does.
 */
#include "davit/worker.h"
#include "mesh/host_priv.h"

enum dv_mesh_worker_state {
	DV_WORKER_STARTING = 0,
	DV_WORKER_RUNNING,
	DV_WORKER_PAUSING,  /* the old instance is asked for its state */
	DV_WORKER_CHANGING, /* the new one starts with it */
	DV_WORKER_HANDING,  /* it runs; the old one hands over what is left */
	DV_WORKER_STOPPING,
	DV_WORKER_ENDED,
	DV_WORKER_N
};

struct dv_instance {
	struct dv_mesh_worker *worker;
	struct dv_host *host; /* NULL: its handle was freed */
	struct dv_list at;    /* in host->workers */
	struct dv_port *port; /* NULL: it has ended */
};

struct dv_call {
	struct dv_mesh_worker *worker;
	struct dv_list at; /* in worker->calls, in order */
	uint32_t id;
	bool sent;
	uint64_t until_ns; /* 0: none */
	struct dv_timer timer;
	struct dv_msg *request; /* until it is sent */
	void (*fn)(void *arg, struct dv_msg *reply, const struct dv_err *err);
	void *arg;
};

struct dv_mesh_worker {
	struct dv_loop *loop;
	const struct dv_mesh_worker_ops *ops;
	void *user;
	char type[DV_WORKER_NAME_MAX + 1];
	enum dv_mesh_worker_state state;
	uint32_t generation;
	struct dv_instance now, next;
	struct dv_list calls;
	uint32_t n_calls, last_id, pause_id;
	struct dv_timer timer; /* of start, restart and stop */
	struct dv_host *to;    /* where next will be */
	struct dv_list to_at; /* in to->workers_to: it may be freed meanwhile */
	void (*restarted)(struct dv_mesh_worker *worker, void *arg,
			  const struct dv_err *err);
	void *restarted_arg;
	struct dv_err why; /* of the end */
	struct dv_defer end_defer;
	bool *freed; /* set when it is freed inside a callback */
};

/* Make an instance in @host, and tell it to start. @params and @state are
 * consumed. */
int dv_instance_start(struct dv_mesh_worker *worker, struct dv_instance *inst,
		      struct dv_host *host, struct dv_msg *params,
		      struct dv_msg *state, struct dv_err *err);
/* Its struct was copied to a new place: let the port know. */
void dv_instance_attach(struct dv_instance *inst);
/* Idempotent. */
void dv_instance_close(struct dv_instance *inst);
/* It said something; it ended. */
void dv_mesh_worker_heard(struct dv_instance *inst, const struct dv_host_msg *m,
			  struct dv_msg *content);
void dv_mesh_worker_lost(struct dv_instance *inst, const struct dv_err *why);

/* Nothing more comes from it: every call fails by @why, then ended() is
 * called, from the loop. @why NULL: it ended in order. */
void dv_mesh_worker_over(struct dv_mesh_worker *worker,
			 const struct dv_err *why);

/* Calls; see worker_call.c. */
void dv_mesh_worker_flush(struct dv_mesh_worker *worker);
void dv_mesh_worker_replied(struct dv_mesh_worker *worker,
			    const struct dv_host_msg *m,
			    struct dv_msg *content);
void dv_mesh_worker_fail_calls(struct dv_mesh_worker *worker,
			       const struct dv_err *why);

/* How a restart went; once. */
void dv_mesh_worker_tell(struct dv_mesh_worker *worker,
			 const struct dv_err *err);

/* Changing instances; see worker_change.c. True: it was about that. */
bool dv_mesh_worker_changing(struct dv_instance *inst,
			     const struct dv_host_msg *m,
			     struct dv_msg *content);
/* One of the two instances is lost while they change. True: that was all. */
bool dv_mesh_worker_change_lost(struct dv_instance *inst,
				const struct dv_err *why);
