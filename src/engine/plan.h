/* SPDX-License-Identifier: MIT */
#pragma once
/*
 * Building and checking plans. The plan itself is the generated dv_Plan: what
 * is sent over a wire is what is executed.
 *
 * A dv_plan owns all memory that its message points to. Builder calls copy what
 * they are given; failure is sticky (dv_plan_status()), so a sequence of calls
 * needs one check at its end.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "davit/err.h"
#include "wire/plan.pb.h"

struct dv_arena_block;

struct dv_plan {
	dv_Plan msg;
	struct dv_arena_block *blocks;
	bool decoded; /* msg came from a document: malloc'd, dv_pb_release() */
	int status;   /* 0 or -ENOMEM, -E2BIG */
};

#define DV_PLAN_INIT                        \
	{                                   \
		.blocks = NULL, .status = 0 \
	}

void dv_plan_free(struct dv_plan *plan); /* idempotent */
static inline int dv_plan_status(const struct dv_plan *plan)
{
	return plan->status;
}

/* Memory that lives as long as the plan; zeroed; NULL = sticky -ENOMEM. */
void *dv_plan_alloc(struct dv_plan *plan, size_t size);
char *dv_plan_strdup(struct dv_plan *plan, const char *s);

/* Append a copy of @s to a list whose strings live in the plan's memory. */
void dv_plan_list_add(struct dv_plan *plan, char ***list, pb_size_t *count,
		      const char *s);

void dv_plan_arg(struct dv_plan *plan, const char *arg);
/* "KEY=VALUE"; replaces an earlier value of KEY. */
void dv_plan_env(struct dv_plan *plan, const char *entry);
void dv_plan_unset_env(struct dv_plan *plan, const char *key);
/* The value in the plan's env; NULL = none. Borrowed. */
const char *dv_plan_getenv(const struct dv_plan *plan, const char *key);
const char *dv_process_getenv(const dv_Process *p, const char *key);
void dv_plan_fd(struct dv_plan *plan, uint32_t source, uint32_t target);
void dv_plan_rlimit(struct dv_plan *plan, uint32_t resource, uint64_t soft,
		    uint64_t hard);
void dv_plan_uid_map(struct dv_plan *plan, uint32_t inside, uint32_t outside,
		     uint32_t count);
void dv_plan_gid_map(struct dv_plan *plan, uint32_t inside, uint32_t outside,
		     uint32_t count);
void dv_plan_mask(struct dv_plan *plan, const char *path);
void dv_plan_readonly(struct dv_plan *plan, const char *path);
/* Append a mount; the strings may be NULL. Returns it, or NULL (sticky). */
dv_Mount *dv_plan_mount(struct dv_plan *plan, dv_MountKind kind,
			const char *source, const char *target, uint32_t flags);
void dv_plan_seccomp(struct dv_plan *plan, const void *insns, size_t len);
/* A second filter beside that one. */
void dv_plan_seccomp_more(struct dv_plan *plan, const void *insns, size_t len);
/* Rules of the process's Landlock, as they are; see engine/landlock.h. */
void dv_plan_landlock_path(struct dv_plan *plan, const char *path,
			   uint64_t access, bool optional);
void dv_plan_landlock_port(struct dv_plan *plan, uint32_t port,
			   uint64_t access);

/*
 * Check a plan that may come from anywhere: counts, paths, descriptor numbers
 * against @n_fds, id maps, filter size. The engine relies on what passes here.
 * Returns 0 or -EINVAL with @err filled.
 */
int dv_plan_check(const dv_Plan *plan, size_t n_fds, struct dv_err *err);

/* Limits of a plan, and why: each is far above use and small enough that the
 * child can keep its tables on the stack. */
enum {
	DV_PLAN_ARGS_MAX =
		UINT16_MAX,    /* pb_size_t; groups are limited so, too */
	DV_PLAN_FDS_MAX = 256, /* one SCM_RIGHTS message carries 253 */
	DV_PLAN_FD_TARGET_MAX = 1023,
	DV_PLAN_MOUNTS_MAX = 1024,
	DV_PLAN_IDMAPS_MAX = 340, /* the kernel's */
	DV_PLAN_INSNS_MAX = 4096, /* BPF_MAXINSNS */
	DV_PLAN_RLIMITS_MAX = 16,
	DV_PLAN_RULES_MAX = 4096, /* a big /etc has some hundred entries */
};
