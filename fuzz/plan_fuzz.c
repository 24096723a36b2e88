/* SPDX-License-Identifier: MIT */
/*
 * A plan as it comes over a wire: bytes are decoded and checked. What passes
 * the check must hold what the engine relies on, and decode to the same bytes.
 */
#include <pb_decode.h>
#include <string.h>

#include "base/def.h"
#include "engine/plan.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { N_FDS = 3, SIZE_LIMIT = 65536 };

/* Every string of a list is there, and ends. */
static void strings(char *const *list, pb_size_t n, size_t size)
{
	for (pb_size_t i = 0; i < n; i++)
		dv_assert(list[i] && strlen(list[i]) <= size);
}

static void filter(const pb_bytes_array_t *f)
{
	dv_assert(!f || (f->size > 0 && f->size % 8 == 0 &&
			 f->size / 8 <= DV_PLAN_INSNS_MAX));
}

static void landlock(const dv_Landlock *ll)
{
	dv_assert(ll->handled_fs || ll->handled_net || ll->scoped);
	dv_assert(ll->paths_count <= DV_PLAN_RULES_MAX);
	for (pb_size_t i = 0; i < ll->paths_count; i++) {
		dv_assert(ll->paths[i].path && ll->paths[i].path[0] == '/');
		dv_assert(ll->paths[i].access);
		dv_assert(!(ll->paths[i].access & ~ll->handled_fs));
	}
	dv_assert(ll->ports_count <= DV_PLAN_RULES_MAX);
	for (pb_size_t i = 0; i < ll->ports_count; i++)
		dv_assert(ll->ports[i].port <= UINT16_MAX);
}

static void process(const dv_Process *p, size_t size)
{
	dv_assert(p->argv_count > 0);
	strings(p->argv, p->argv_count, size);
	strings(p->env, p->env_count, size);
	dv_assert(p->fds_count <= DV_PLAN_FDS_MAX);
	for (pb_size_t i = 0; i < p->fds_count; i++) {
		dv_assert(p->fds[i].source < N_FDS);
		dv_assert(p->fds[i].target <= DV_PLAN_FD_TARGET_MAX);
		for (pb_size_t k = 0; k < i; k++)
			dv_assert(p->fds[k].target != p->fds[i].target);
	}
	dv_assert(p->rlimits_count <= DV_PLAN_RLIMITS_MAX);
	filter(p->seccomp);
	filter(p->seccomp_more);
	if (p->has_landlock) {
		dv_assert(p->no_new_privs);
		landlock(&p->landlock);
	}
}

static void isolation(const dv_Isolation *iso, size_t size)
{
	dv_assert(iso->namespaces & dv_NS_PID);
	dv_assert(iso->uid_map_count <= DV_PLAN_IDMAPS_MAX);
	dv_assert(iso->gid_map_count <= DV_PLAN_IDMAPS_MAX);
	dv_assert(iso->mounts_count <= DV_PLAN_MOUNTS_MAX);
	strings(iso->masked, iso->masked_count, size);
	strings(iso->readonly, iso->readonly_count, size);
	for (pb_size_t i = 0; i < iso->mounts_count; i++) {
		const dv_Mount *m = &iso->mounts[i];

		dv_assert((unsigned int)m->kind <= dv_MOUNT_CGROUP2);
		dv_assert(m->target && m->target[0] == '/');
		if (m->kind == dv_MOUNT_BIND)
			dv_assert(m->source && m->source[0] == '/');
		if (m->kind == dv_MOUNT_SYMLINK)
			dv_assert(m->source && m->source[0]);
	}
	if (!iso->has_root)
		return;
	dv_assert(iso->root.at && iso->root.at[0] == '/');
	if (iso->root.kind == dv_ROOT_BIND || iso->root.kind == dv_ROOT_OVERLAY)
		dv_assert(iso->root.dir && iso->root.dir[0] == '/');
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	dv_Plan plan = dv_Plan_init_zero;
	struct dv_err err = DV_ERR_INIT;
	pb_istream_t in;

	/* Pointers make the decoder allocate as the message says: bounded. */
	if (size > SIZE_LIMIT)
		return 0;
	in = pb_istream_from_buffer(data, size);
	if (pb_decode(&in, dv_Plan_fields, &plan)) {
		if (dv_plan_check(&plan, N_FDS, &err) == 0) {
			if (plan.has_process)
				process(&plan.process, size);
			if (plan.has_isolation)
				isolation(&plan.isolation, size);
		} else {
			dv_assert(err.msg[0] && err.code == DV_INVALID);
		}
		pb_release(dv_Plan_fields, &plan);
	}
	return 0;
}
