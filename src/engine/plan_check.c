/* SPDX-License-Identifier: MIT */
/*
 * A plan may come over a wire. What passes here cannot make the engine index
 * out of bounds, take a NULL for a path, or confuse two descriptors; whether
 * the kernel will grant it is another question.
 */
#include <errno.h>
#include <linux/filter.h>
#include <stdbool.h>
#include <string.h>

#include "base/def.h"
#include "engine/plan.h"

static int bad(struct dv_err *err, const char *what)
{
	return dv_err_step(
		err, dv_err_set(err, EINVAL, DV_INVALID, "plan: %s", what),
		DV_STEP_CONFIG);
}

static bool absolute(const char *path)
{
	return path && path[0] == '/';
}

static int check_strings(char *const *list, pb_size_t n, const char *what,
			 struct dv_err *err)
{
	for (pb_size_t i = 0; i < n; i++)
		if (!list[i])
			return bad(err, what);
	return 0;
}

static int check_fds(const dv_Process *p, size_t n_fds, struct dv_err *err)
{
	if (p->fds_count > DV_PLAN_FDS_MAX)
		return bad(err, "too many descriptors");
	for (pb_size_t i = 0; i < p->fds_count; i++) {
		if (p->fds[i].source >= n_fds)
			return bad(err, "descriptor that was not given");
		if (p->fds[i].target > DV_PLAN_FD_TARGET_MAX)
			return bad(err, "descriptor number above 1023");
		for (pb_size_t k = 0; k < i; k++)
			if (p->fds[k].target == p->fds[i].target)
				return bad(err, "descriptor number used twice");
	}
	return 0;
}

static int check_filter(const pb_bytes_array_t *f, struct dv_err *err)
{
	if (f && (f->size == 0 || f->size % sizeof(struct sock_filter) != 0 ||
		  f->size / sizeof(struct sock_filter) > DV_PLAN_INSNS_MAX))
		return bad(err, "size of the seccomp filter");
	return 0;
}

/* What the kernel would only call an invalid argument. */
static int check_landlock(const dv_Landlock *ll, struct dv_err *err)
{
	if (!ll->handled_fs && !ll->handled_net && !ll->scoped)
		return bad(err, "landlock that restricts nothing");
	if (ll->paths_count > DV_PLAN_RULES_MAX ||
	    ll->ports_count > DV_PLAN_RULES_MAX)
		return bad(err, "too many landlock rules");
	for (pb_size_t i = 0; i < ll->paths_count; i++) {
		const dv_LandlockPath *p = &ll->paths[i];

		if (!absolute(p->path))
			return bad(err, "landlock path is not absolute");
		if (!p->access || (p->access & ~ll->handled_fs))
			return bad(err, "landlock right that is not handled");
	}
	for (pb_size_t i = 0; i < ll->ports_count; i++) {
		const dv_LandlockPort *p = &ll->ports[i];

		if (p->port > UINT16_MAX)
			return bad(err, "landlock port above 65535");
		if (!p->access || (p->access & ~ll->handled_net))
			return bad(err, "landlock right that is not handled");
	}
	return 0;
}

static int check_process(const dv_Process *p, size_t n_fds, struct dv_err *err)
{
	int r;

	if (p->argv_count == 0)
		return bad(err, "no command");
	r = check_strings(p->argv, p->argv_count, "argument missing", err);
	if (r == 0)
		r = check_strings(p->env, p->env_count, "env entry missing",
				  err);
	if (r == 0)
		r = check_fds(p, n_fds, err);
	if (r < 0)
		return r;
	if (p->rlimits_count > DV_PLAN_RLIMITS_MAX)
		return bad(err, "too many resource limits");
	r = check_filter(p->seccomp, err);
	if (r == 0)
		r = check_filter(p->seccomp_more, err);
	if (r == 0 && p->has_landlock)
		r = check_landlock(&p->landlock, err);
	if (r < 0)
		return r;
	if (p->has_landlock && !p->no_new_privs)
		return bad(err, "landlock without no_new_privs");
	if (p->rows > UINT16_MAX || p->cols > UINT16_MAX)
		return bad(err, "terminal size above 65535");
	return 0;
}

static int check_mount(const dv_Mount *m, struct dv_err *err)
{
	if (!absolute(m->target))
		return bad(err, "mount target is not absolute");
	if (m->kind == dv_MOUNT_BIND && !absolute(m->source))
		return bad(err, "mount source is not absolute");
	if (m->kind == dv_MOUNT_SYMLINK && (!m->source || !m->source[0]))
		return bad(err, "empty symlink");
	if ((unsigned int)m->kind > dv_MOUNT_CGROUP2)
		return bad(err, "unknown kind of mount");
	return 0;
}

/* Each kind that init makes has one place to wait at; see mounts.h. */
static int check_kinds(const dv_Isolation *iso, struct dv_err *err)
{
	unsigned int seen = 0;

	for (pb_size_t i = 0; i < iso->mounts_count; i++) {
		unsigned int bit = DV_BIT(iso->mounts[i].kind);

		if ((bit & seen) &&
		    (bit &
		     (DV_BIT(dv_MOUNT_PROC) | DV_BIT(dv_MOUNT_SYSFS) |
		      DV_BIT(dv_MOUNT_MQUEUE) | DV_BIT(dv_MOUNT_CGROUP2))))
			return bad(err, "kernel file system mounted twice");
		seen |= bit;
	}
	return 0;
}

static int check_isolation(const dv_Isolation *iso, struct dv_err *err)
{
	int r = 0;

	if (iso->mounts_count > DV_PLAN_MOUNTS_MAX ||
	    iso->masked_count > DV_PLAN_MOUNTS_MAX ||
	    iso->readonly_count > DV_PLAN_MOUNTS_MAX)
		return bad(err, "too many mounts");
	if (iso->uid_map_count > DV_PLAN_IDMAPS_MAX ||
	    iso->gid_map_count > DV_PLAN_IDMAPS_MAX)
		return bad(err, "too many id maps");
	if (!(iso->namespaces & dv_NS_PID))
		return bad(err, "isolation without a pid namespace");
	if (iso->has_root) {
		if (!(iso->namespaces & dv_NS_MOUNT))
			return bad(err, "root without a mount namespace");
		if (!absolute(iso->root.at))
			return bad(err, "root without a place to build it");
		if (iso->root.kind != dv_ROOT_TMPFS && !absolute(iso->root.dir))
			return bad(err, "root directory is not absolute");
	}
	for (pb_size_t i = 0; r == 0 && i < iso->mounts_count; i++)
		r = check_mount(&iso->mounts[i], err);
	if (r == 0)
		r = check_kinds(iso, err);
	for (pb_size_t i = 0; r == 0 && i < iso->masked_count; i++)
		r = absolute(iso->masked[i]) ? 0 : bad(err, "masked path");
	for (pb_size_t i = 0; r == 0 && i < iso->readonly_count; i++)
		r = absolute(iso->readonly[i]) ? 0 : bad(err, "read-only path");
	return r;
}

int dv_plan_check(const dv_Plan *plan, size_t n_fds, struct dv_err *err)
{
	int r = 0;

	if (plan->has_isolation)
		r = check_isolation(&plan->isolation, err);
	if (r == 0 && plan->has_process)
		r = check_process(&plan->process, n_fds, err);
	return r;
}
