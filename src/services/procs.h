/* SPDX-License-Identifier: MIT */
#pragma once
/*
 * The processes of one sandbox: everything that davit.v1.Sandbox starts, waits
 * for and signals. Keeper and agent have one of these; every protocol is a
 * translation to it.
 *
 * A process lives in the table from its start until its record is released, or
 * until it is the oldest of more than DV_RECORDS_MAX exited ones. Waiting never
 * consumes the record. A lost connection never ends a process.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/log.h"
#include "davit/err.h"
#include "davit/loop.h"
#include "engine/sandbox.h"
#include "rpc/data.h"
#include "services/guest.h"
#include "wire/sandbox.pb.h"

struct dv_procs;
struct dv_exec; /* one process */
struct dv_inspect;

enum {
	DV_RECORDS_MAX = 1024,
	DV_EXECS_MAX = 4096, /* running at a time */
};

struct dv_procs_opts {
	size_t size;
	struct dv_sandbox *sandbox;  /* borrowed; NULL: plain children */
	const struct dv_cgroup *cgroup; /* borrowed; may be NULL */
	struct dv_data *data;        /* borrowed: where conns come from */
	const char *const *env;      /* base environment; borrowed */
	struct dv_log_sink *log;
};

int dv_procs_new(struct dv_procs **procsp, struct dv_loop *loop,
		 const struct dv_procs_opts *opts, struct dv_err *err);
/* Kills and reaps what runs. NULL is allowed. Returns NULL. */
struct dv_procs *dv_procs_free(struct dv_procs *procs);
