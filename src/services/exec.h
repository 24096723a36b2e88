/* SPDX-License-Identifier: MIT */
#pragma once
/*
 * One process of the table, and the table. Private to this room.
 */
#include "services/kept.h"
#include "services/procs.h"
#include "services/pump.h"

enum dv_exec_state {
	DV_EXEC_STARTING = 0,
	DV_EXEC_RUNNING,
	DV_EXEC_EXITED,
	DV_EXEC_STATE_N
};

/* One of the standard streams, our side. At most one of the two is in use. */
struct dv_stream {
	struct dv_pump pump;
	struct dv_kept kept;
	const char *mode; /* for the tree; static */
};

struct dv_exec {
	struct dv_procs *procs;
	struct dv_exec *next, **prevp; /* oldest first */
	uint64_t id;
	pid_t pid;
	enum dv_exec_state state;
	struct dv_proc proc;
	struct dv_src err_src, pid_src;
	struct dv_timer timer;
	struct dv_defer end; /* free it when nothing is left */
	struct dv_stream stream[3];
	/* What the child gets, and what is ours of it, while it starts. */
	int child[3], ours[3], conn[3];
	bool keep[3];
	char **argv; /* owned; NULL-terminated */
	size_t n_argv;
	bool terminal;
	bool take;      /* its client takes the terminal's master */
	bool released;  /* nobody can name it any more */
	bool timed_out; /* SIGTERM was sent for that */
	int signal;     /* the last one that we sent */
	uint64_t timeout_ms;
	uint64_t started_ns; /* monotonic; 0: before a restart */
	uint64_t oom_kills;  /* of the group, before it was started */
	dv_ExitRecord record;
	struct dv_exec_waiter *waiters;
	dv_exec_started *started; /* NULL: nobody waits */
	void *started_arg;
};

struct dv_procs {
	struct dv_loop *loop;
	struct dv_procs_opts opts;
	struct dv_exec *first, **last;
	uint64_t next_id;
	uint32_t n_starting, n_running, n_exited;
	uint64_t oom_kills; /* of the group, that are accounted for */
	bool nowhere;       /* see dv_procs_point() */
};

/* ---- streams.c ---- */
/* All of them idle. */
void dv_exec_streams_init(struct dv_exec *exec);
/*
 * Claim and make what @rq's streams need: exec->child for the child, the rest
 * for dv_exec_streams_start(). 0 or -errno; dv_exec_streams_stop() takes it
 * back.
 */
int dv_exec_streams_open(struct dv_exec *exec, const dv_ExecRequest *rq,
			 int *fds, size_t n_fds, struct dv_err *err);
/* The process runs: close its side, begin ours. */
int dv_exec_streams_start(struct dv_exec *exec);
/* True while one of them carries something or may. */
bool dv_exec_streams_run(const struct dv_exec *exec);
void dv_exec_streams_stop(struct dv_exec *exec);
/* After a restart: what an end would have done that was not dealt with. */
void dv_exec_streams_settle(struct dv_exec *exec);

/* ---- procs.c ---- */
/* An exec at the end of the table, idle. NULL: no memory. */
struct dv_exec *dv_exec_new(struct dv_procs *ps);
void dv_exec_free(struct dv_exec *exec); /* kills and reaps what runs */
/* It may be over: frees it, soon, when nobody can name it. */
void dv_exec_check(struct dv_exec *exec);
/* Nobody can name it any more; only of an exited one. */
void dv_exec_drop(struct dv_exec *exec);
/* The oldest records, as long as there are too many. */
void dv_procs_evict(struct dv_procs *ps);
/* Kept output of the oldest that have ended, as long as there is too much. */
void dv_procs_evict_kept(struct dv_procs *ps);
/* How often something of the group was killed for memory. */
uint64_t dv_procs_oom_kills(const struct dv_procs *ps);

/* ---- exec.c ---- */
/* A record from a document: its text becomes a static one. */
void dv_exec_settle(dv_ExitRecord *record);
/* Begin to wait for its exit. */
int dv_exec_watch(struct dv_exec *exec);
/* The time-out, @left_ms from now. */
void dv_exec_arm(struct dv_exec *exec, uint64_t left_ms);
