/* SPDX-License-Identifier: MIT */
#pragma once
/*
 * Processes in the inspect tree; @obj is the dv_procs.
 */
#include "inspect/inspect.h"

/* PID/{name,cmdline,state,rss,fds/N,exit,streams} of each. */
void dv_procs_inspect(struct dv_inspect *in, void *obj);
/* PID/name of what runs, and of ourselves: how clients find a process. */
void dv_procs_inspect_hosts(struct dv_inspect *in, void *obj);
