/* SPDX-License-Identifier: MIT */
#pragma once
/*
 * The inside of a keeper: one sandbox, its documents, its socket.
 *
 *	keeper.c	its life: start, end, restart policy, ttl, idle
 *	keeper_main.c	a keeper that was left behind: `davit __keeper`
 *	keeper_io.c	the first process's streams: log, input, terminal
 *	keeper_svc.c	davit.v1.Keeper, by which clients reach all this
 *	keeper_net.c	CONNECT n: ports of the sandbox's own network
 *	keeper_tree.c	the inspect tree
 *	keeper_save.c	upgrade: executing itself anew
 *	keeper_health.c	the health command
 *
 * DV_STATE_CREATING, RUNNING, PAUSED, STOPPING and EXITED are those of its run;
 * between a run and the next one of a restart it is CREATING.
 */
#include <davit/sandbox.h>

#include "base/log.h"
#include "rpc/data.h"
#include "rpc/door.h"
#include "rpc/server.h"
#include "runtime/outlog.h"
#include "runtime/run.h"
#include "runtime/store.h"
#include "services/inspect_svc.h"
#include "services/procs.h"
#include "services/sandbox.h"

struct dv_keeper_io;
struct dv_keeper_svc;
struct dv_keeper_health;

struct dv_keeper {
	struct dv_loop *loop; /* borrowed */
	struct dv_kept_dirs dirs;
	struct dv_sandbox_info info; /* the document; its state is the run's */
	dv_KeptSandbox kept;         /* owned (pb_release()); as it was asked */
	struct dv_spec *spec;        /* owned copy */
	struct dv_run *run;          /* owned; NULL between two runs */
	struct dv_waiter waiter;
	/* What is served; NULL where it is not yet. */
	struct dv_procs *procs; /* of the present run */
	struct dv_data *data;
	struct dv_server *server; /* everything, by the socket itself */
	struct dv_server *diag;   /* behind CONNECT 1 */
	struct dv_door *door;
	struct dv_sandbox_svc *sandbox_svc;
	struct dv_inspect_svc *inspect_svc;
	struct dv_keeper_svc *svc;
	struct dv_keeper_io *io; /* NULL: the streams are the caller's */
	struct dv_keeper_health *health;
	struct dv_log_sink *log;
	struct dv_timer again; /* the next start, after a back-off */
	struct dv_timer ttl, idle;
	uint64_t last_activity_ns;
	uint32_t backoff_ms;
	bool stopping;   /* asked to end for good: no restart */
	bool restarting; /* asked to start anew */
	bool over;       /* it has ended for good, and its record is written */
	/* It is over; may free the keeper. NULL: nobody is told. */
	void (*done)(struct dv_keeper *keeper);
	void *owner;
};

/* ---- keeper.c ---- */
/* Take @kept (moved; its spec is decoded) and begin. As dv_keeper_start(). */
int dv_keeper_begin(struct dv_keeper **keeperp, struct dv_loop *loop,
		    dv_KeptSandbox *kept, struct dv_err *err);
/* Stop signal, grace, kill; for good. @signal 0, @grace_ms -1: the spec's. */
int dv_keeper_stop(struct dv_keeper *k, int signal, int grace_ms,
		   struct dv_err *err);
/* The same, and then a start. */
int dv_keeper_restart(struct dv_keeper *k, int signal, int grace_ms,
		      struct dv_err *err);
int dv_keeper_pause(struct dv_keeper *k, struct dv_err *err);
int dv_keeper_resume(struct dv_keeper *k, struct dv_err *err);
int dv_keeper_update(struct dv_keeper *k, const struct dv_limits *limits,
		     struct dv_err *err);
int dv_keeper_rename(struct dv_keeper *k, const char *name, struct dv_err *err);
/* Something happened: the idle time begins anew. */
void dv_keeper_touch(struct dv_keeper *k);
/* Write state.json and tell whoever waits for a change. */
void dv_keeper_changed(struct dv_keeper *k);

/* ---- keeper_svc.c ---- */
/* Add davit.v1.Keeper to @server. Held calls are answered by ..._changed()
 * (a state) and ..._over() (the end for good). */
int dv_keeper_svc_new(struct dv_keeper_svc **svcp, struct dv_keeper *k,
		      struct dv_server *server, struct dv_err *err);
struct dv_keeper_svc *dv_keeper_svc_free(struct dv_keeper_svc *svc);
void dv_keeper_svc_changed(struct dv_keeper_svc *svc);
void dv_keeper_svc_over(struct dv_keeper_svc *svc);

/* ---- keeper_io.c ---- */
/* Says in the spec what the streams are: pipes to the log, or a pty. */
int dv_keeper_io_plan(struct dv_keeper *k, struct dv_err *err);
/* The run was started: take its ends and begin to read. */
int dv_keeper_io_start(struct dv_keeper *k, struct dv_err *err);
/* The command has ended: what is there is read, at most for 2 s; then @done. */
void dv_keeper_io_finish(struct dv_keeper *k,
			 void (*done)(struct dv_keeper *k));
/* @fd (consumed): where input comes from. -EBUSY, -ENOTTY. @gone is called
 * when it has ended, not when it is stolen or dropped. */
int dv_keeper_io_input(struct dv_keeper *k, int fd, bool steal,
		       struct dv_err *err);
void dv_keeper_io_drop_input(struct dv_keeper *k);
int dv_keeper_io_resize(struct dv_keeper *k, uint32_t rows, uint32_t cols,
			struct dv_err *err);
void dv_keeper_io_free(struct dv_keeper *k);

/* ---- keeper_net.c ---- */
/* The `connect` of the door: ports of 127.0.0.1 in the sandbox's network. */
int dv_keeper_connect(void *arg, const struct dv_entry *entry);
void dv_keeper_net_stop(struct dv_keeper *k);

/* ---- keeper_tree.c ---- */
void dv_keeper_inspect(struct dv_inspect *in, void *obj); /* a dv_keeper */

/* ---- keeper_health.c ---- */
void dv_keeper_health_start(struct dv_keeper *k);
void dv_keeper_health_stop(struct dv_keeper *k);

/* ---- keeper_save.c ---- */
/* Execute @exe (NULL: our own file) in place. Returns only when it failed. */
int dv_keeper_upgrade(struct dv_keeper *k, const char *exe, struct dv_err *err);

/* ---- keep_doc.c ---- */
/* Between the three forms. @kept: for pb_release(). -EINVAL: a descriptor of
 * the caller's is in the spec. */
int dv_spec_encode(const struct dv_spec *spec, dv_Spec *out,
		   struct dv_err *err);
int dv_spec_decode(struct dv_spec **specp, const dv_Spec *in,
		   struct dv_err *err);
int dv_keep_encode(const struct dv_sandbox_keep *keep, dv_Keep *out,
		   struct dv_err *err);
/* What does not change while it lives: name, argv, labels, ... */
int dv_info_of_kept(struct dv_sandbox_info *info, const dv_KeptSandbox *kept,
		    struct dv_err *err);

/* ---- verbs.c ---- */
enum dv_verb_id {
	DV_VERB_ATTACH,
	DV_VERB_EXEC,
	DV_VERB_INPUT,
	DV_VERB_KILL,
	DV_VERB_PAUSE,
	DV_VERB_REMOVE,
	DV_VERB_RENAME,
	DV_VERB_RESTART,
	DV_VERB_RESUME,
	DV_VERB_STOP,
	DV_VERB_TOP,
	DV_VERB_UPDATE,
	DV_VERB_UPGRADE,
	DV_VERB_WAIT,
	DV_VERB_N
};
/* May it be done in @state? 0, or -EBUSY/-ESRCH (DV_PRECONDITION) with a hint.
 * @who: the sandbox, as the user named it. */
int dv_verb_allowed(enum dv_verb_id verb, enum dv_state state, const char *who,
		    struct dv_err *err);
