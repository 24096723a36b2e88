/* SPDX-License-Identifier: MIT */
#pragma once
/*
 * Hosts, the parent's side; for host*.c and worker*.c only.
 *
 *   struct dv_host	the handle: what is to be launched, and how often
 *   struct dv_host_run	one process of it, from its launch to its end
 *
 * A run lives on when its handle was freed, until its process is reaped.
 */
#include "base/def.h"
#include "base/list.h"
#include "davit/host.h"
#include "davit/inspect.h"
#include "engine/cgroup.h"
#include "engine/ns.h"
#include "engine/plan.h"
#include "mesh/host_wire.h"

/* ---- what is started ------------------------------------------------ */

/* What is done in the host when its set-up is complete; INIT's flags. */
enum {
	DV_LOCK_FILTER = 1,   /* the filter of DV_HOST_LOCKED */
	DV_LOCK_LANDLOCK = 2, /* all that the kernel knows */
	DV_LOCK_ROOT = 4,     /* into DV_HOST_EMPTY */
	DV_LOCK_CAPS = 8,     /* none, for ever */
	DV_LOCK_NNP = 16,
	DV_LOCK_BEST_EFFORT = 32,
	DV_LOCK_ALL = 63,
};

/* The empty directory that an isolated host ends up in. */
#define DV_HOST_EMPTY "/.none"
/* Names the descriptor of the invitation; there is no secret in it. */
#define DV_HOST_ENV "DAVIT_MESH_HOST"

enum {
	DV_HOST_INVITE_FD = 3,
	DV_HOST_FDS_MAX = 64,   /* what apply() may hand over */
	DV_HOST_ALLOW_MAX = 64, /* system calls that apply() may add */
	DV_HOST_GROUPS_MAX = 256,
};

struct dv_host_setup {
	struct dv_plan *plan;
	int fds[DV_HOST_FDS_MAX]; /* borrowed; the plan names them by index */
	size_t n_fds;
	uint32_t profile;
	uint32_t lock; /* DV_LOCK_* */
	struct dv_buf filter;
	uint32_t allow[DV_HOST_ALLOW_MAX];
	size_t n_allow;
	bool grouped; /* a control group of its own, with these limits */
	struct dv_cgroup_limits limits;
	int status; /* sticky */
	struct dv_err err;
};

/*
 * In the host, single-threaded yet: do what @lock says, with the filter @last
 * (may be empty) beside it and @allow added to the one of DV_HOST_LOCKED. On
 * failure some of it holds: the caller ends.
 */
struct dv_host_lock {
	uint32_t lock;
	struct dv_str last;
	const uint32_t *allow;
	size_t n_allow;
};
int dv_host_lock(const struct dv_host_lock *lock, struct dv_err *err);

/* Plan what setup->profile says for the program @exe; @own: it is ours. */
int dv_host_setup_profile(struct dv_host_setup *setup, const char *exe,
			  bool own, struct dv_err *err);

/* ---- runs ----------------------------------------------------------- */

enum dv_run_state {
	DV_RUN_EXEC = 0, /* whether the program was executed is not known yet */
	DV_RUN_JOIN,     /* it was */
	DV_RUN_UP,
	DV_RUN_CLOSING, /* the process is gone; its last messages come */
	DV_RUN_GONE,
	DV_RUN_N
};

/* How hard the end is wanted; only grows, while the process is there. */
enum dv_run_push {
	DV_PUSH_NONE = 0,
	DV_PUSH_ASK,
	DV_PUSH_TERM,
	DV_PUSH_KILL,
	DV_PUSH_LEFT, /* nothing helped */
	DV_PUSH_N
};

/* The end of what a host wrote to stderr. */
struct dv_host_tail {
	struct dv_src src;
	int fd; /* -1: none */
	size_t len;
	char text[DV_HOST_LINE_MAX * 2 + 1];
};

struct dv_host_run {
	struct dv_hosts *hosts;
	struct dv_host *host; /* NULL: the handle was freed */
	struct dv_list at;    /* in hosts->runs */
	enum dv_run_state state;
	enum dv_run_push push;
	struct dv_host_patience patience;
	char name[DV_HOST_NAME_MAX + 1];
	struct dv_mesh_id node; /* that it has to be */
	bool joined;            /* it said so */
	bool told;              /* up() or failed() was called */
	bool stopping;          /* its end was asked for */
	/* Why it is killed: its launch failed, or it broke rules. */
	struct dv_err fail;
	struct dv_plan plan; /* until its program is executed */
	struct dv_ns sandbox;
	struct dv_proc proc;
	struct dv_cgroup group;
	struct dv_src group_src;
	bool group_watched;        /* group_src's descriptor is ours */
	struct dv_port *ctl, *log; /* NULL: ended */
	struct dv_src src;         /* err_fd, then the process */
	struct dv_src init_src;    /* the init of its namespaces */
	struct dv_timer timer;     /* launch, then closing */
	struct dv_timer push_timer;
	struct dv_defer defer;
	struct dv_host_tail tail;
	struct dv_host_exit end;
	struct dv_list asks; /* dv_host_inspect() that wait */
	uint32_t last_ask;
};

/* One that was asked for its tree; private to host_ask.c. */
struct dv_host_ask;

/* A new run of @host, begun: 0, or -errno with @err. */
int dv_host_run_new(struct dv_host *host, struct dv_host_run **runp,
		    struct dv_err *err);
/* Build the plan of @host and begin its process. The parts of it that the run
 * owns are in @run also when it fails. @invite: borrowed. */
int dv_host_run_begin(struct dv_host_run *run, int invite,
		      struct dv_host_setup *setup, struct dv_err *err);
/* Kill it because of @why; if it is not up yet, its launch fails by that. */
void dv_host_run_fail(struct dv_host_run *run, const struct dv_err *why);
/* Make its end be wanted as hard as @push, and harder as @patience goes by. */
void dv_host_run_push(struct dv_host_run *run, enum dv_run_push push,
		      const struct dv_host_patience *patience);
/* Ask it to end, then push; one that is not up yet is killed. */
void dv_host_run_stop(struct dv_host_run *run,
		      const struct dv_host_patience *patience);
/* SIGKILL, whatever state it is in. */
void dv_host_run_kill(struct dv_host_run *run);
/* Release everything at once; blocks until the process is reaped. Nobody is
 * told. */
void dv_host_run_free(struct dv_host_run *run);

/* Is it complete? Then everyone is told, from the loop. */
void dv_host_run_settle(struct dv_host_run *run);
/* Its process is gone: is something of it still there? */
static inline bool dv_host_run_lingers(const struct dv_host_run *run)
{
	return run->sandbox.init_pid || run->group_watched;
}

/* Its control group: made when it was asked for; killed, and removed as soon as
 * it is empty, when dv_host_run_settle() is called; and released, whatever it
 * holds. */
int dv_host_group_make(struct dv_host_run *run,
		       const struct dv_host_setup *setup, struct dv_err *err);
void dv_host_group_end(struct dv_host_run *run);
void dv_host_group_free(struct dv_host_run *run);

/* It ended, and somebody else in this program reaped it, or the kernel did as
 * SIGCHLD is ignored: @info is what is known all the same. */
void dv_host_run_lost(const struct dv_host_run *run, siginfo_t *info);
/* What dv_host_exit_parse() reads; NULL: no memory. */
struct dv_msg *dv_host_exit_new(const struct dv_host_exit *end);
/* Its process was reaped: what the kernel says. */
void dv_host_run_record(struct dv_host_run *run, const siginfo_t *info,
			const struct rusage *usage);
/* Complete end, with its line filled already. @why: how its launch failed, if
 * it did not get up. */
void dv_host_run_explain(struct dv_host_run *run, struct dv_err *why);

int dv_host_tail_start(struct dv_host_tail *tail, struct dv_loop *loop,
		       int *write_end);
/* Read what is there, close, and give the last line, made harmless. */
void dv_host_tail_end(struct dv_host_tail *tail,
		      char line[DV_HOST_LINE_MAX + 1]);

/* ---- hosts ----------------------------------------------------------- */

struct dv_host {
	struct dv_hosts *hosts;
	struct dv_list at;       /* in hosts->all */
	struct dv_host_run *run; /* NULL: no process */
	struct dv_port *port;    /* until it is taken */
	struct dv_host_waiter *waiters;
	struct dv_list workers;      /* instances in it */
	struct dv_list workers_to;   /* workers that are to move to it */
	struct dv_defer late_defer;  /* waiters for what is over */
	struct dv_timer again_timer; /* until the next launch */
	uint32_t n_holds;            /* of host.c; see hold() */
	bool dead;                   /* freed, but held */
	uint32_t generation, n_again;
	bool over; /* it is never launched again */
	bool up;
	int outcome; /* of the last launch: 0 not known, 1 up, -errno */
	struct dv_err outcome_err;
	bool has_last;
	struct dv_host_exit last;
	/* Copies of the options. */
	char name[DV_HOST_NAME_MAX + 1];
	char *exe, *arg0, *stderr_file;
	char **args;
	int stderr_fd;
	struct dv_msg *message;
	struct dv_host_opts opts; /* without what is above */
};

struct dv_hosts {
	struct dv_mesh *own_mesh; /* NULL: the caller's */
	struct dv_loop *own_loop;
	struct dv_mesh *mesh;
	struct dv_loop *loop;
	void (*log)(void *user, const struct dv_host_log *rec);
	void *user;
	struct dv_list all;  /* handles */
	struct dv_list runs; /* processes */
	/* While shutting down. */
	void (*done)(struct dv_hosts *hosts, void *arg,
		     const struct dv_hosts_left *left);
	void *done_arg;
	struct dv_defer done_defer;
	struct dv_hosts_left left;
	bool closing; /* nothing is launched any more */
	bool reported;
};

/* What a run tells its handle, which may free itself inside. */
void dv_host_heard_up(struct dv_host *host);
void dv_host_heard_fail(struct dv_host *host, const struct dv_err *err);
void dv_host_heard_end(struct dv_host *host, const struct dv_host_exit *end);
/* A run is gone: count it for the shutdown. */
void dv_hosts_count(struct dv_hosts *hosts, const struct dv_host_run *gone);
/* One is gone, or left over: is the shutdown complete? */
void dv_hosts_check(struct dv_hosts *hosts);
/* A record came from @run. */
void dv_hosts_log(struct dv_host_run *run, const struct dv_host_msg *m);

/* Answers from the host; and none will come any more. */
void dv_host_asks_answer(struct dv_host_run *run, const struct dv_host_msg *m);
void dv_host_asks_end(struct dv_host_run *run);

/* The handle goes: its workers know no host any more. */
void dv_mesh_worker_forget_host(struct dv_host *host);

static inline uint64_t dv_host_at_ms(uint32_t ms)
{
	return dv_now_ns() + (uint64_t)ms * 1000000;
}
