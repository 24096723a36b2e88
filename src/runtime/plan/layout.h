/* SPDX-License-Identifier: MIT */
#pragma once
/*
 * What a sandbox sees as its file system: the default root of a process
 * sandbox, and what every container gets on top of its rootfs.
 */
#include <stdbool.h>

#include "davit/err.h"
#include "engine/plan.h"

struct dv_layout {
	const char *cwd;     /* the caller's directory, absolute; NULL = none */
	const char *rundir;  /* davit's own, never shown */
	const char *home;    /* $HOME, or NULL */
	const char *workdir; /* of a container; made when missing; or NULL */
	uint32_t uid, gid;   /* owner of the home directory inside */
	bool map_groups;     /* gid 5 (tty) exists inside */
	bool own_net;        /* a network namespace of its own */
};

/*
 * Mounts, masks and symlinks of the default root. *@cwd_shown says whether the
 * current directory is part of it. It is not when it is /, $HOME, @rundir, or
 * above one of them, whatever symlinks name them; nor in @rundir, in /run and
 * the kernel's file systems; nor a directory that all users share (/tmp, /home)
 * or the home of somebody.
 */
void dv_layout_process(struct dv_plan *plan, const struct dv_layout *lay,
		       bool *cwd_shown);

/* /proc, /sys, /dev and their masks, on a rootfs. */
void dv_layout_container(struct dv_plan *plan, const struct dv_layout *lay);
