/* SPDX-License-Identifier: MIT */
#pragma once
/*
 * What /proc says of the processes in a sandbox, and of its mounts. Texts come
 * from inside: they are cut to a size, never believed.
 */
#include <stdint.h>
#include <sys/types.h>

#include "inspect/inspect.h"

/* One process. */
struct dv_look {
	pid_t pid, inside; /* as seen from here, and by itself; 0: unknown */
	pid_t parent;
	uint32_t uid; /* as seen from here */
	char state;   /* 'R', 'S', ... */
	char comm[17];
	uint32_t threads;
	uint64_t user_us, system_us, rss, age_ns;
};

/* 0, or -ESRCH: it is gone. */
int dv_look_at(struct dv_look *look, pid_t pid);

/* The same from the text of /proc/PID/stat, which is overwritten; pid, inside
 * and uid are left alone. 0, or -ESRCH for what is none. */
int dv_look_parse_stat(struct dv_look *look, char *text);

/* One line of mountinfo, as in proc(5); what is missing is "". */
struct dv_look_mount {
	const char *root, *target, *options, *type, *source, *super;
};

/* @line is overwritten, and has to live as long as @mount. */
void dv_look_parse_mount(struct dv_look_mount *mount, char *line);

/* Parts of the tree; @obj is the dv_keeper. */
/* PID/{...} of everything in it. */
void dv_keeper_show_top(struct dv_inspect *in, void *obj);
/* N/{target,source,type,options} of its mount namespace. */
void dv_keeper_show_mounts(struct dv_inspect *in, void *obj);
