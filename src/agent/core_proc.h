/* SPDX-License-Identifier: MIT */
#pragma once
/*
 * What /proc says of a process for its core, and why it may not be dumped.
 */
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/buf.h"
#include "base/log.h"
#include "davit/err.h"

struct dv_core_proc {
	pid_t pid; /* of the process that has the thread that was asked for */
	pid_t ppid, pgrp, sid;
	char state;
	int nice;
	uint64_t flags; /* PF_... of the kernel */
	uint32_t uid, gid;
	pid_t tracer; /* 0 = none */
	char comm[64];
	char args[80]; /* with spaces between them, cut */
};

/*
 * Look at @pid, which may be a thread. -ESRCH when it is not there or has
 * ended, -EINVAL for a kernel thread and for the caller itself.
 */
int dv_core_proc_read(pid_t pid, struct dv_core_proc *p, struct dv_err *err);
/* Is it gone or a zombie? */
bool dv_core_proc_ended(pid_t tid);
/* ptrace() refused @tid with @sys: say why. Returns -sys. */
int dv_core_proc_refused(pid_t tid, int sys, struct dv_err *err);
/* The process's own coredump_filter. */
uint32_t dv_core_proc_filter(pid_t pid);
/*
 * Add NT_PRPSINFO and NT_AUXV. @tid is a thread that lives: a leader that has
 * ended has neither arguments nor memory.
 */
int dv_core_proc_notes(struct dv_core_proc *p, pid_t tid, struct dv_buf *notes);
/*
 * Add a note "KMSG": the newest 256 KiB of whole records of the kernel's log.
 * Nothing when it cannot be read, which is logged.
 */
int dv_core_kmsg_note(struct dv_buf *notes, struct dv_log_sink *log);
