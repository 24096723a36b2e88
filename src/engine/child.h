/* SPDX-License-Identifier: MIT */
#pragma once
/*
 * What runs between fork and exec. Only async-signal-safe calls: the parent may
 * have had threads that held locks. Everything that needs memory was prepared
 * by the parent. A failure is written to err_fd as one struct dv_err; if the
 * exec happens, err_fd closes without a byte.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "davit/err.h"
#include "engine/ctl.h"
#include "wire/plan.pb.h"

/* All borrowed; prepared by the parent. */
struct dv_launch {
	const dv_Process *process;
	char **argv, **envp; /* NULL-terminated copies of the plan's */
	const char *path;    /* directories to look in; NULL: the usual */
	const int *fds;      /* the descriptors that the plan names by index */
	size_t n_fds;
	int err_fd;
	int sock; /* the pty's master goes there */
	/* Who must be our parent when a death signal is set; 0: nobody is, as
	 * seen from another pid namespace. */
	pid_t parent;
	bool native_only; /* the filter kills what dv_is_foreign() */
	bool scored;      /* the oom score was inherited as it should be */
	struct dv_ctl *ctl;
};

/* Follow the plan and execute the command; signals are blocked and default. */
_Noreturn void dv_child_exec(struct dv_launch *l);

/* Report @err on @err_fd and end. */
_Noreturn void dv_child_fail(int err_fd, const struct dv_err *err);

/* End a forked child: flush what coverage and sanitizers hold, then _exit. */
_Noreturn void dv_child_end(int status);

/* Set our own oom score. Returns 0 or -errno with @err. */
int dv_child_oom_score(int32_t adj, struct dv_err *err);

/* Dispositions to default, ignored ones too (an exec would keep those). */
void dv_child_reset_signals(void);
