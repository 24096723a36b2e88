/* SPDX-License-Identifier: MIT */
#pragma once
/*
 * The init of a sandbox: PID 1 of its pid namespace. It makes the network
 * namespace and what shows the namespaces (/proc, /sys) while the first process
 * mounts the rest, then does nothing but hold the
 * life line; the kernel reaps for it. When the keeper goes, in whatever way,
 * the life line ends, init ends, and the kernel kills everything in the
 * namespace.
 */
#include "davit/err.h"
#include "engine/ctl.h"
#include "wire/plan.pb.h"

/* All borrowed; descriptors are those of the forked child. */
struct dv_init {
	const dv_Isolation *iso;
	int lifeline; /* read end */
	int ready;    /* closed when the namespaces are complete */
	int err_fd;
	bool ends_with_first;
	bool watch_parent; /* the forking thread lives as long as its process */
	struct dv_ctl *ctl;
};

_Noreturn void dv_init_main(struct dv_init *in);
