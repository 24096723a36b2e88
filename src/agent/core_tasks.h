/* SPDX-License-Identifier: MIT */
#pragma once
/*
 * The threads of a process, stopped and let go again by ptrace. By the thread
 * that stopped them only.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/log.h"
#include "davit/err.h"

/* A process has more only by mistake; bounds the list (16 bytes each). */
enum { DV_CORE_TASKS_MAX = 65536 };

enum dv_core_task_state {
	DV_CORE_TASK_RUNNING, /* seized, has not stopped */
	DV_CORE_TASK_STOPPED,
	DV_CORE_TASK_GONE,
};

struct dv_core_task {
	pid_t tid;
	enum dv_core_task_state state;
	int signo; /* that it is about to get; 0 = none */
};

struct dv_core_tasks {
	struct dv_core_task *list; /* sorted by tid; owned */
	size_t n, cap;
	size_t n_running;
	pid_t pid;
};

/* clang-format off */
#define DV_CORE_TASKS_INIT { NULL, 0, 0, 0, 0 }
/* clang-format on */

/*
 * Seize and stop every thread of @pid, until there is none that was not there
 * before. SIGCHLD is blocked by the caller and not ignored. Those that do not
 * stop by @until_ns stay in the list as running. Returns 0 or -errno with @err;
 * what was stopped is let go by dv_core_tasks_go() in any case.
 */
int dv_core_tasks_stop(struct dv_core_tasks *ts, pid_t pid, uint64_t until_ns,
		       struct dv_log_sink *log, struct dv_err *err);
/* The thread that comes first: @tid, one that dies, the leader, any; or NULL */
const struct dv_core_task *dv_core_tasks_first(const struct dv_core_tasks *ts,
					       pid_t tid);
/* Let all go on, with the signals that they were about to get. Idempotent. */
void dv_core_tasks_go(struct dv_core_tasks *ts);
