/* SPDX-License-Identifier: MIT */
#pragma once
/*
 * The inside of a keeper: one sandbox, its documents, its socket.
 *
 *	keeper.c	what is asked of it: start, stop, restart, rename
 *	life.c	its life: runs, restart policy, ttl, idle, the end
 *	main.c	a keeper that was left behind: `davit __keeper`
 *	serve.c	the socket, and what is behind it
 *	io.c	the first process's streams: log, terminal
 *	input.c	its input
 *	svc.c	davit.v1.Keeper, by which clients reach all this
 *	doors.c	other sockets to serve, of a service manager
 *	net.c	CONNECT n: ports of the sandbox's own network
 *	tree.c	the inspect tree
 *	save.c	upgrade: executing itself anew
 *	health.c	the health command
 *	log.c	what it could not do
 *
 * DV_STATE_CREATING, RUNNING, PAUSED, STOPPING and EXITED are those of its run;
 * between a run and the next one of a restart it is CREATING.
 */
#include <davit/sandbox.h>

#include <sys/resource.h>

#include "base/log.h"
#include "engine/cgroup_freeze.h"
#include "rpc/data.h"
#include "rpc/door.h"
#include "rpc/server.h"
#include "runtime/log/outlog.h"
#include "runtime/run/run.h"
#include "runtime/store/store.h"
#include "services/inspect_svc.h"
#include "services/procs.h"
#include "services/reexec.h"
#include "services/sandbox.h"
#include "wire/upgrade.pb.h"

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
	struct dv_log_sink *log; /* log.c; never NULL */
	struct dv_log_sink sink;
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
	bool detached;  /* its streams are ours, not the caller's */
	bool adopts;    /* lives as its creator did: environment, directory */
	bool named;     /* it has a place in STATEDIR */
	bool timed_out; /* ttl or idle time ended it */
	bool drained;   /* the present run has ended, and its output, too */
	char **env;     /* owned; the environment that was adopted */
	char *group;    /* owned; our own control group; NULL: none */
	uint64_t begun_ns;    /* the present run */
	struct rlimit nofile; /* of those it starts; 0: as ours */
	struct dv_defer
		finish; /* the end, when nobody of ours is on the stack */
	struct dv_freeze freeze;           /* ops.c; a pause under way */
	struct dv_keeper_upgrade *upgrade; /* one that is under way */
	unsigned int upgrade_calls;    /* obeyed by the program before this */
	const dv_ServedState *resumed; /* while that is taken over */
	struct dv_net_conn *net;       /* net.c */
	unsigned int n_net;
	/* doors.c: sockets that others opened, until they are served
	 * (owned, -1), and who serves them then. */
	struct {
		int fd;
		struct dv_door *door;
	} more[DV_SANDBOX_DOORS_MAX];
	size_t n_more;
	int unsaved; /* why its state could not be written; else 0 */
	int unbegun; /* nor, or only not, what it is when it begins */
	struct dv_timer save_again; /* then it is tried again */
	struct dv_err failed; /* why the last start was none; sys 0: it was */
};

/* ---- keeper.c ---- */
/*
 * Take @kept (moved, also on failure; zeroed then) and begin: a keeper that was
 * left behind, in a process of its own. With an id: that of one that has ended.
 */
int dv_keeper_begin(struct dv_keeper **keeperp, struct dv_loop *loop,
		    dv_KeptSandbox *kept, struct dv_err *err);
/* Everything that came of it is free again; it is over, or never began. */
struct dv_keeper *dv_keeper_alloc(struct dv_loop *loop);
/* The run has just been started: watch it, serve, say so. */
int dv_keeper_attend(struct dv_keeper *k, struct dv_err *err);
/* The part of that which an upgrade does anew: hear of its changes and end. */
void dv_keeper_watch(struct dv_keeper *k);
/* Stop signal, grace, kill; for good. @signal 0, @grace_ms -1: the spec's. */
int dv_keeper_stop(struct dv_keeper *k, int signal, int grace_ms,
		   struct dv_err *err);
/* The same, and then a start. */
int dv_keeper_restart(struct dv_keeper *k, int signal, int grace_ms,
		      struct dv_err *err);
int dv_keeper_rename(struct dv_keeper *k, const char *name, struct dv_err *err);
/* Something happened: the idle time begins anew. */
void dv_keeper_touch(struct dv_keeper *k);
/*
 * Write state.json and tell whoever waits for a change. What cannot be written
 * (->unsaved says why) is tried again until it can.
 */
void dv_keeper_changed(struct dv_keeper *k);
/* Somebody comes to look: try that now. */
void dv_keeper_save_now(struct dv_keeper *k);

/* ---- ops.c ---- */
/*
 * Begin to freeze it: PAUSED when everything is, and dv_keeper_svc_paused() is
 * called then, or why it was not to be. 0 as well while that is under way.
 */
int dv_keeper_pause(struct dv_keeper *k, struct dv_err *err);
int dv_keeper_resume(struct dv_keeper *k, struct dv_err *err);
/* All of them or none; a restart begins with them. -EBUSY, -EOPNOTSUPP. */
int dv_keeper_update(struct dv_keeper *k, const struct dv_limits *limits,
		     struct dv_err *err);
/* Signal everything in it. SIGKILL: for good. */
int dv_keeper_kill_all(struct dv_keeper *k, int signo, struct dv_err *err);
/* The run has ended: forget a pause under way. Idempotent. */
void dv_keeper_ops_stop(struct dv_keeper *k);

/* ---- pids.c ---- */
/*
 * What is in it: pids as seen from here, sorted, without init; *@listp is
 * malloc'd. Returns how many, or -errno.
 */
int dv_keeper_pids(struct dv_keeper *k, pid_t **listp);
/* Is @pid, which somebody holds, one of them? */
bool dv_keeper_has_pid(struct dv_keeper *k, pid_t pid);

/* ---- doors.c ---- */
/* Keep duplicates of @fds for later. What was taken stays on failure. */
int dv_keeper_doors_take(struct dv_keeper *k, const int *fds, size_t n,
			 struct dv_err *err);
/* Serve them as the door that @opts are of. Once. */
int dv_keeper_doors_open(struct dv_keeper *k, const struct dv_door_opts *opts,
			 struct dv_err *err);
/* Whether they are served already or not. Idempotent. */
void dv_keeper_doors_close(struct dv_keeper *k);

/* ---- svc.c ---- */
/* Add davit.v1.Keeper to @server. Held calls are answered by ..._changed()
 * (a state) and ..._over() (the end for good). */
int dv_keeper_svc_new(struct dv_keeper_svc **svcp, struct dv_keeper *k,
		      struct dv_server *server, struct dv_err *err);
struct dv_keeper_svc *dv_keeper_svc_free(struct dv_keeper_svc *svc);
void dv_keeper_svc_changed(struct dv_keeper_svc *svc);
void dv_keeper_svc_over(struct dv_keeper_svc *svc);
/* A pause has come to its end. */
void dv_keeper_svc_paused(struct dv_keeper_svc *svc, int r,
			  const struct dv_err *err);

/* ---- life.c ---- */
/* What is known of the run goes into the document. */
void dv_keeper_describe(struct dv_keeper *k);
/* Arm what ends it by time. */
void dv_keeper_time(struct dv_keeper *k);
void dv_keeper_time_stop(struct dv_keeper *k);
/* Of keeper->again: the next run, or the end after all. */
dv_timer_fn dv_keeper_on_again;
/* A start, its first or a later one. -errno: it did not come to run. */
int dv_keeper_start_run(struct dv_keeper *k, struct dv_err *err);
/* It did not come to run again: why is its exit. */
void dv_keeper_failed(struct dv_keeper *k, const struct dv_err *err);
/* Its end for good; documents and directories say so before clients hear it. */
void dv_keeper_over(struct dv_keeper *k);

/* ---- home.c: what one that was left behind has of its creator ---- */
/* Live as it did: its environment, its directory. Before a start. */
int dv_keeper_enter(struct dv_keeper *k, struct dv_err *err);
/* Hold no directory of others meanwhile. */
void dv_keeper_leave(struct dv_keeper *k);
/* A control group of our own, below that of our creator. Without one: none. */
void dv_keeper_group(struct dv_keeper *k);
/* Leave it, so that it can go. */
void dv_keeper_ungroup(struct dv_keeper *k);

/* ---- serve.c ---- */
/* Listen. Everything that is served; keeper->procs, too. */
int dv_keeper_serve(struct dv_keeper *k, struct dv_err *err);
/* The processes that clients start belong to the present run (none: NULL). */
void dv_keeper_serve_run(struct dv_keeper *k);
/* Nobody can connect any more; calls go on. Idempotent. */
void dv_keeper_shut(struct dv_keeper *k);
void dv_keeper_serve_stop(struct dv_keeper *k);

/* ---- io.c ---- */
/* Says in the spec what the streams are: pipes to the log, or a pty. */
int dv_keeper_io_plan(struct dv_keeper *k, struct dv_err *err);
/* The run was started: take its ends and begin to read. */
int dv_keeper_io_start(struct dv_keeper *k, struct dv_err *err);
/* The command has ended: what is there is read, at most for 2 s; then @done. */
void dv_keeper_io_finish(struct dv_keeper *k,
			 void (*done)(struct dv_keeper *k));
/* That was so: nothing follows of this run in the log. */
void dv_keeper_io_ended(struct dv_keeper *k);
/* @fd (consumed): where input comes from, see input.c. -EBUSY: somebody
 * else is; -ENOTTY: it takes none; -EPIPE: no more. */
int dv_keeper_io_input(struct dv_keeper *k, int fd, bool steal,
		       struct dv_err *err);
void dv_keeper_io_drop_input(struct dv_keeper *k);
int dv_keeper_io_resize(struct dv_keeper *k, uint32_t rows, uint32_t cols,
			struct dv_err *err);
void dv_keeper_io_free(struct dv_keeper *k);

/* For an upgrade; and back, instead of _plan() and _start(). 0 or -errno. */
int dv_keeper_io_save(struct dv_keeper *k, dv_StreamsState *out,
		      struct dv_reexec_fds *keep);
int dv_keeper_io_resume(struct dv_keeper *k, const dv_StreamsState *st,
			struct dv_err *err);

/* ---- net.c ---- */
/* The `connect` of the door: ports of 127.0.0.1 in the sandbox's network. */
int dv_keeper_connect(void *arg, const struct dv_entry *entry);
/* One of them is not connected yet: no time for an upgrade. */
bool dv_keeper_net_busy(const struct dv_keeper *k);
/* For an upgrade: what is connected, and back. 0 or -errno. */
int dv_keeper_net_save(struct dv_keeper *k, dv_KeeperState *out,
		       struct dv_reexec_fds *keep);
void dv_keeper_net_restore(struct dv_keeper *k, const dv_KeeperState *st);
void dv_keeper_net_stop(struct dv_keeper *k);

/* ---- tree.c ---- */
void dv_keeper_inspect(struct dv_inspect *in, void *obj); /* a dv_keeper */

/* ---- health.c ---- */
void dv_keeper_health_start(struct dv_keeper *k);
void dv_keeper_health_stop(struct dv_keeper *k);
/* For an upgrade; and back, instead of _start(). */
void dv_keeper_health_save(const struct dv_keeper *k, dv_KeeperState *out);
void dv_keeper_health_resume(struct dv_keeper *k, const dv_KeeperState *st);
/* How many processes of the table are its own. */
uint32_t dv_keeper_health_running(const struct dv_keeper_health *health);

/* ---- upgrade.c ---- */
/*
 * Execute @exe (NULL: our own file) in place, soon. @call is held: the new
 * program answers it, or it fails here.
 */
void dv_keeper_upgrade(struct dv_keeper *k, const char *exe,
		       struct dv_call *call);
/* Forget one that is under way; its call was told or is gone. Idempotent. */
void dv_keeper_upgrade_stop(struct dv_keeper *k);
/* Can this program read the state in @fd (borrowed)? 0 or -errno. */
int dv_keeper_check(int fd, struct dv_err *err);
/*
 * Go on with it. On failure who asked for the upgrade was told; this process
 * then has to end, and nothing of it may be freed or waited for: children that
 * nobody knows of could hold that up, and their end is ours.
 */
int dv_keeper_resume_at(struct dv_keeper **keeperp, struct dv_loop *loop,
			int fd, struct dv_err *err);

/* ---- log.c ---- */
/* ->log is there; what has no place in STATEDIR logs nothing. */
void dv_keeper_log_init(struct dv_keeper *k);

/* ---- keep_doc.c ---- */
/* Between the three forms. @kept: for pb_release(). -EINVAL: a descriptor of
 * the caller's is in the spec. */
int dv_spec_encode(const struct dv_spec *spec, dv_Spec *out,
		   struct dv_err *err);
/* The same for its documents: without the caller's descriptors. */
int dv_spec_describe(const struct dv_spec *spec, dv_Spec *out,
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
