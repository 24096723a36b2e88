/* SPDX-License-Identifier: MIT */
#include "engine/plan.h"

#include <errno.h>
#include <linux/filter.h>
#include <stdlib.h>
#include <string.h>

#include "base/def.h"
#include "wire/pb.h"

struct dv_arena_block {
	struct dv_arena_block *next;
	size_t used, size;
	_Alignas(16) char data[];
};

enum { BLOCK_SIZE = 8192 - sizeof(struct dv_arena_block) };

void *dv_plan_alloc(struct dv_plan *plan, size_t size)
{
	struct dv_arena_block *b = plan->blocks;

	if (size > SIZE_MAX / 2) {
		plan->status = -ENOMEM;
		return NULL;
	}
	size = (size + 15) & ~(size_t)15;
	if (!b || b->size - b->used < size) {
		size_t room = dv_max(size, (size_t)BLOCK_SIZE);

		b = malloc(sizeof(*b) + room);
		if (!b) {
			plan->status = -ENOMEM;
			return NULL;
		}
		b->next = plan->blocks;
		b->used = 0;
		b->size = room;
		plan->blocks = b;
	}
	void *p = b->data + b->used;
	b->used += size;
	return memset(p, 0, size);
}

void dv_plan_free(struct dv_plan *plan)
{
	while (plan->blocks) {
		struct dv_arena_block *b = plan->blocks;

		plan->blocks = b->next;
		free(b);
	}
	if (plan->decoded)
		dv_pb_release(dv_Plan_fields, &plan->msg);
	*plan = (struct dv_plan)DV_PLAN_INIT;
}

char *dv_plan_strdup(struct dv_plan *plan, const char *s)
{
	size_t len = strlen(s) + 1;
	char *p = dv_plan_alloc(plan, len);

	return p ? memcpy(p, s, len) : NULL;
}

/*
 * Room for one more element behind an array whose capacity is the next power
 * of two of its count: no capacity field is needed beside the message.
 */
static void *grow(struct dv_plan *plan, void *array, pb_size_t *count,
		  size_t elem, size_t max)
{
	size_t n = *count;

	if (n >= max) {
		plan->status = -E2BIG;
		return NULL;
	}
	if (n == 0 || (n >= 8 && (n & (n - 1)) == 0)) {
		void *bigger = dv_plan_alloc(plan, (n ? n * 2 : 8) * elem);

		if (!bigger)
			return NULL;
		if (n)
			memcpy(bigger, array, n * elem);
		array = bigger;
	}
	*count = (pb_size_t)(n + 1);
	return array;
}

static void add_string(struct dv_plan *plan, char ***array, pb_size_t *count,
		       const char *s, size_t max)
{
	char *copy = dv_plan_strdup(plan, s);
	char **a = copy ? grow(plan, *array, count, sizeof(*a), max) : NULL;

	if (!a)
		return;
	*array = a;
	a[*count - 1] = copy;
}

void dv_plan_list_add(struct dv_plan *plan, char ***list, pb_size_t *count,
		      const char *s)
{
	add_string(plan, list, count, s, DV_PLAN_ARGS_MAX);
}

static dv_Process *process(struct dv_plan *plan)
{
	plan->msg.has_process = true;
	return &plan->msg.process;
}

static dv_Isolation *isolation(struct dv_plan *plan)
{
	plan->msg.has_isolation = true;
	return &plan->msg.isolation;
}

void dv_plan_arg(struct dv_plan *plan, const char *arg)
{
	dv_Process *p = process(plan);

	add_string(plan, &p->argv, &p->argv_count, arg, DV_PLAN_ARGS_MAX);
}

/* Index of the entry for the key of @entry (up to '=' or its end), or -1. */
static int find_env(const dv_Process *p, const char *entry)
{
	size_t len = strcspn(entry, "=");

	for (pb_size_t i = 0; i < p->env_count; i++)
		if (strncmp(p->env[i], entry, len) == 0 &&
		    p->env[i][len] == '=')
			return (int)i;
	return -1;
}

void dv_plan_env(struct dv_plan *plan, const char *entry)
{
	dv_Process *p = process(plan);
	int i = find_env(p, entry);

	if (i < 0) {
		add_string(plan, &p->env, &p->env_count, entry,
			   DV_PLAN_ARGS_MAX);
		return;
	}
	char *copy = dv_plan_strdup(plan, entry);
	if (copy)
		p->env[i] = copy;
}

void dv_plan_unset_env(struct dv_plan *plan, const char *key)
{
	dv_Process *p = process(plan);
	int i = find_env(p, key);

	if (i < 0)
		return;
	/* A copy with room as grow() expects it for the smaller count. */
	char **copy = dv_plan_alloc(plan, ((size_t)p->env_count + 8) * 2 *
						  sizeof(*copy));
	pb_size_t n = 0;
	if (!copy)
		return;
	for (pb_size_t k = 0; k < p->env_count; k++)
		if (k != (pb_size_t)i)
			copy[n++] = p->env[k];
	p->env = copy;
	p->env_count = n;
}

const char *dv_process_getenv(const dv_Process *p, const char *key)
{
	int i = find_env(p, key);

	return i < 0 ? NULL : p->env[i] + strlen(key) + 1;
}

const char *dv_plan_getenv(const struct dv_plan *plan, const char *key)
{
	return dv_process_getenv(&plan->msg.process, key);
}

void dv_plan_fd(struct dv_plan *plan, uint32_t source, uint32_t target)
{
	dv_Process *p = process(plan);
	dv_Fd *a =
		grow(plan, p->fds, &p->fds_count, sizeof(*a), DV_PLAN_FDS_MAX);

	if (!a)
		return;
	p->fds = a;
	a[p->fds_count - 1] = (dv_Fd){ source, target };
}

void dv_plan_rlimit(struct dv_plan *plan, uint32_t resource, uint64_t soft,
		    uint64_t hard)
{
	dv_Process *p = process(plan);

	for (pb_size_t i = 0; i < p->rlimits_count; i++) {
		if (p->rlimits[i].resource == resource) {
			p->rlimits[i] = (dv_Rlimit){ resource, soft, hard };
			return;
		}
	}
	dv_Rlimit *a = grow(plan, p->rlimits, &p->rlimits_count, sizeof(*a),
			    DV_PLAN_RLIMITS_MAX);
	if (!a)
		return;
	p->rlimits = a;
	a[p->rlimits_count - 1] = (dv_Rlimit){ resource, soft, hard };
}

static void add_map(struct dv_plan *plan, dv_IdMap **maps, pb_size_t *count,
		    dv_IdMap map)
{
	dv_IdMap *a = grow(plan, *maps, count, sizeof(*a), DV_PLAN_IDMAPS_MAX);

	if (!a)
		return;
	*maps = a;
	a[*count - 1] = map;
}

void dv_plan_uid_map(struct dv_plan *plan, uint32_t inside, uint32_t outside,
		     uint32_t count)
{
	dv_Isolation *iso = isolation(plan);

	add_map(plan, &iso->uid_map, &iso->uid_map_count,
		(dv_IdMap){ inside, outside, count });
}

void dv_plan_gid_map(struct dv_plan *plan, uint32_t inside, uint32_t outside,
		     uint32_t count)
{
	dv_Isolation *iso = isolation(plan);

	add_map(plan, &iso->gid_map, &iso->gid_map_count,
		(dv_IdMap){ inside, outside, count });
}

void dv_plan_mask(struct dv_plan *plan, const char *path)
{
	dv_Isolation *iso = isolation(plan);

	add_string(plan, &iso->masked, &iso->masked_count, path,
		   DV_PLAN_MOUNTS_MAX);
}

void dv_plan_readonly(struct dv_plan *plan, const char *path)
{
	dv_Isolation *iso = isolation(plan);

	add_string(plan, &iso->readonly, &iso->readonly_count, path,
		   DV_PLAN_MOUNTS_MAX);
}

dv_Mount *dv_plan_mount(struct dv_plan *plan, dv_MountKind kind,
			const char *source, const char *target, uint32_t flags)
{
	dv_Isolation *iso = isolation(plan);
	dv_Mount m = { .kind = kind, .flags = flags };

	if (source && !(m.source = dv_plan_strdup(plan, source)))
		return NULL;
	if (target && !(m.target = dv_plan_strdup(plan, target)))
		return NULL;
	dv_Mount *a = grow(plan, iso->mounts, &iso->mounts_count, sizeof(*a),
			   DV_PLAN_MOUNTS_MAX);
	if (!a)
		return NULL;
	iso->mounts = a;
	a[iso->mounts_count - 1] = m;
	return &a[iso->mounts_count - 1];
}

static pb_bytes_array_t *filter(struct dv_plan *plan, const void *insns,
				size_t len)
{
	pb_bytes_array_t *copy;

	if (len > (size_t)DV_PLAN_INSNS_MAX * sizeof(struct sock_filter)) {
		plan->status = -E2BIG;
		return NULL;
	}
	copy = dv_plan_alloc(plan, PB_BYTES_ARRAY_T_ALLOCSIZE(len));
	if (!copy)
		return NULL;
	memcpy(copy->bytes, insns, len);
	copy->size = (pb_size_t)len;
	return copy;
}

void dv_plan_seccomp(struct dv_plan *plan, const void *insns, size_t len)
{
	process(plan)->seccomp = filter(plan, insns, len);
}

void dv_plan_seccomp_more(struct dv_plan *plan, const void *insns, size_t len)
{
	process(plan)->seccomp_more = filter(plan, insns, len);
}

static dv_Landlock *landlock(struct dv_plan *plan)
{
	dv_Process *p = process(plan);

	p->has_landlock = true;
	return &p->landlock;
}

void dv_plan_landlock_path(struct dv_plan *plan, const char *path,
			   uint64_t access, bool optional)
{
	dv_Landlock *ll = landlock(plan);
	char *copy = dv_plan_strdup(plan, path);
	dv_LandlockPath *a = copy ? grow(plan, ll->paths, &ll->paths_count,
					 sizeof(*a), DV_PLAN_RULES_MAX)
				  : NULL;

	if (!a)
		return;
	ll->paths = a;
	a[ll->paths_count - 1] = (dv_LandlockPath){ copy, access, optional };
}

void dv_plan_landlock_port(struct dv_plan *plan, uint32_t port, uint64_t access)
{
	dv_Landlock *ll = landlock(plan);
	dv_LandlockPort *a = grow(plan, ll->ports, &ll->ports_count, sizeof(*a),
				  DV_PLAN_RULES_MAX);

	if (!a)
		return;
	ll->ports = a;
	a[ll->ports_count - 1] = (dv_LandlockPort){ port, access };
}
