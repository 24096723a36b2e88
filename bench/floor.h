/* SPDX-License-Identifier: MIT */
#pragma once
/*
 * The floor: what one isolated start costs the kernel, and nothing else. See
 * floor.c. Everything here runs in one thread; children end with _exit().
 */
#include <stdbool.h>
#include <stdint.h>
#include <stdnoreturn.h>

struct floor_opts {
	bool user, net, overlay; /* which parts there are */
	bool init;               /* PID 1 of its own, the command beside it */
	bool early_net;          /* with init: it makes the network namespace
				    while the command's process mounts */
	bool spin;               /* waits look for a while before they sleep */
	const char *root;        /* borrowed */
	char *const *argv;
};

/* Prints "floor: what: errno text" and ends the process with status 125. */
noreturn void floor_die(const char *what);

/*
 * In a new mount namespace: make opts->root the root, with proc, a /dev of its
 * own and nothing of the old root left. @pivoting is called when the new root
 * is complete, before it becomes the root.
 */
void floor_mounts(const struct floor_opts *opts, void (*pivoting)(void));
