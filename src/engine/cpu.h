/* SPDX-License-Identifier: MIT */
#pragma once
/*
 * Where the parts of a start run. A new process starts on its parent's CPU
 * unless the kernel takes another one for idle; of a virtual machine's halted
 * CPUs it does not, so that what was meant to run side by side runs in turn, or
 * what should run at once waits behind init. All of this is advice: failures
 * are ignored, and no process keeps a CPU that it had not before.
 */
#include <sched.h>
#include <sys/types.h>

/* Move @pid to another CPU than ours now; it may come back. */
void dv_cpu_elsewhere(pid_t pid);

/*
 * Stay on this CPU, and keep children there that we wait for. What was allowed
 * before goes to @before, for dv_cpu_restore() here and in the child.
 */
void dv_cpu_stay(cpu_set_t *before);
/* Async-signal-safe. */
void dv_cpu_restore(const cpu_set_t *before);
