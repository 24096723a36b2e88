/* SPDX-License-Identifier: MIT */
#pragma once
/*
 * The agent: one process, one thread, one loop. It serves davit.v1, diag and
 * inspect to whoever comes through its door, and keeps what they started.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/resource.h>
#include <sys/types.h>

#include "base/log.h"
#include "davit/err.h"
#include "davit/loop.h"
#include "engine/cgroup.h"
#include "rpc/data.h"
#include "rpc/door.h"
#include "rpc/server.h"
#include "rpc/shares.h"
#include "services/guest.h"
#include "services/procs.h"
#include "services/reexec.h"

struct dv_capture;
struct dv_flow;
struct dv_inspect;
struct dv_inspect_svc;
struct dv_sandbox_svc;

struct dv_agent_opts {
	const char *listen; /* path of the socket */
	bool restricted;    /* Ping, and what of the tree is safe */
	bool hold;          /* the workload waits for Start */
	enum dv_level level;
	char *const *workload; /* argv; NULL: none */
	int unclaimed_ms;      /* of a data connection; 0: the default */
	int resume;            /* descriptor of a saved state; -1 */
};

struct dv_agent {
	const struct dv_agent_opts *opts;
	/* For a restart: our program file, and our arguments but --resume. */
	const char *exe;
	char *const *argv, **options;
	size_t n_options;
	struct dv_loop *loop;
	struct dv_log_sink log;
	struct dv_src signals;
	struct dv_defer again; /* more orphans than one batch */
	struct dv_data *data;
	struct dv_procs *procs;
	struct dv_server *server;
	struct dv_door *door;
	struct dv_guest guest;
	struct dv_sandbox_svc *sandbox;
	struct dv_inspect_svc *inspect;
	struct dv_cgroup cg;
	uint64_t started_ns; /* of this program, CLOCK_MONOTONIC */
	unsigned int restarts;
	struct rlimit nofile; /* as we found it: what processes get */
	bool paused;
	bool begun; /* the workload */
	bool over;  /* leave the loop */
	bool calm;  /* nothing happened since memory was given back */
	int status; /* to exit with */
	/* What streams to clients. */
	struct dv_flow *flows;
	struct dv_shares flow_shares; /* of those that have a worker */
	struct dv_capture *capture;
	/* A restart that was asked for. */
	struct dv_call *restart;
	struct dv_timer restart_timer;
	struct dv_trial restart_trial;
	uint64_t restart_until_ns;
	unsigned int restart_calls; /* that were obeyed by the one before us */
};

/* ---- main.c ---- */
/* Listen at opts->listen, or, after a restart, on @fd (consumed). */
int dv_agent_open_door(struct dv_agent *a, int fd, struct dv_err *err);
/* More descriptors for ourselves than were usual for who started us. */
void dv_agent_raise_nofile(struct dv_agent *a);

/* ---- guest.c: what services ask of us ---- */
extern const struct dv_guest_ops dv_agent_guest_ops;

/*
 * ---- flow.c: streams to clients ----
 *
 * DV_WORKER_SERVING_MAX of them may have a worker. Then whoever has most of
 * these (rpc/shares.h) gets no more, -EAGAIN (code DV_EXHAUSTED), and loses his
 * oldest one to the next client that has fewer.
 */
enum dv_flow_kind {
	DV_FLOW_KMSG,
	DV_FLOW_FILE,
	DV_FLOW_CORE,
	DV_FLOW_MEMORY,
	DV_FLOW_N
};
/* @out is consumed; the rest is borrowed. As struct dv_guest_ops. */
int dv_flow_kmsg(struct dv_agent *a, const dv_KmsgRequest *rq, int out,
		 const struct dv_flow_cb *cb, struct dv_err *err);
int dv_flow_file(struct dv_agent *a, const dv_ReadFileRequest *rq, int out,
		 const struct dv_flow_cb *cb, struct dv_err *err);
int dv_flow_core(struct dv_agent *a, const dv_CoreRequest *rq, int out,
		 const struct dv_flow_cb *cb, struct dv_err *err);
int dv_flow_memory(struct dv_agent *a, const dv_MemProfileRequest *rq, int out,
		   const struct dv_flow_cb *cb, struct dv_err *err);
/* End all of them; their callers are told @why. */
void dv_flow_end_all(struct dv_agent *a, const struct dv_err *why);
void dv_flow_inspect(struct dv_inspect *in, void *agent);

/* ---- freezer.c: the control group of what we started ---- */
/*
 * Remove the groups that a killed agent of the same socket left, and make one.
 * That none can be made is no error: pause says so later.
 */
void dv_freezer_open(struct dv_agent *a);
/* Removes it; waits up to a second for what is dying in it. */
void dv_freezer_close(struct dv_agent *a);
int dv_freezer_pause(struct dv_agent *a, struct dv_err *err);
int dv_freezer_resume(struct dv_agent *a, struct dv_err *err);

/* ---- reaper.c: signals, and children that nobody else waits for ---- */
int dv_reaper_open(struct dv_agent *a, struct dv_err *err);
void dv_reaper_close(struct dv_agent *a);

/* ---- workload.c ---- */
/* Start it, with more environment and arguments (NULL: none). Once. */
int dv_workload_start(struct dv_agent *a, const dv_diag_StartRequest *rq,
		      struct dv_err *err);

/* ---- tree.c: the root of the inspect tree ---- */
void dv_agent_inspect(struct dv_inspect *in, void *agent);

/* ---- restart.c ---- */
/* The document that a restart would use; nothing else happens. */
int dv_restart_document(struct dv_agent *a, struct dv_buf *out,
			struct dv_err *err);
/* Take it over from @fd (consumed); what is lost is logged. */
int dv_restart_restore(struct dv_agent *a, int fd, struct dv_err *err);
/* Execute the program anew, soon; @call is answered by it, or here. */
void dv_restart_begin(struct dv_agent *a, struct dv_call *call);
/* Forget one that is under way; its call was told or is gone. */
void dv_restart_stop(struct dv_agent *a);
/* `--check FD`: can this program read that state? 0 or -errno. */
int dv_restart_check(int fd, struct dv_err *err);
