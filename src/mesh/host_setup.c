/* SPDX-License-Identifier: MIT */
/*
 * What apply() may change. Failure is sticky: the first one is told when the
 * launch goes on.
 */
#include <errno.h>
#include <sched.h>
#include <string.h>
#include <unistd.h>

#include "base/def.h"
#include "engine/landlock.h"
#include "engine/plan.h"
#include "mesh/host_priv.h"

static dv_Process *process(struct dv_host_setup *setup)
{
	return &setup->plan->msg.process;
}

static void refuse(struct dv_host_setup *setup, int sys, const char *what)
{
	if (setup->status < 0)
		return;
	setup->status = dv_err_sys(&setup->err, sys, "%s", what);
	dv_err_step(&setup->err, setup->status, DV_STEP_CONFIG);
}

void dv_host_setup_env(struct dv_host_setup *setup, const char *entry)
{
	if (!entry)
		process(setup)->env_count = 0;
	else if (!strchr(entry, '=') || entry[0] == '=')
		refuse(setup, EINVAL, "environment entry without a name");
	else
		dv_plan_env(setup->plan, entry);
}

void dv_host_setup_unset_env(struct dv_host_setup *setup, const char *key)
{
	dv_plan_unset_env(setup->plan, key);
}

void dv_host_setup_arg(struct dv_host_setup *setup, const char *arg)
{
	dv_plan_arg(setup->plan, arg);
}

void dv_host_setup_cwd(struct dv_host_setup *setup, const char *dir)
{
	process(setup)->cwd = dv_plan_strdup(setup->plan, dir);
}

/* The number is given anew when it was taken by the profile (0, 1, 2). */
void dv_host_setup_fd(struct dv_host_setup *setup, int fd, int target)
{
	dv_Process *p = process(setup);

	if (fd < 0) {
		refuse(setup, EBADF, "descriptor for a host");
		return;
	}
	if (target < 0 || target == DV_HOST_INVITE_FD ||
	    target > DV_PLAN_FD_TARGET_MAX ||
	    setup->n_fds == DV_ARRAY_LEN(setup->fds)) {
		refuse(setup, EINVAL, "number of a descriptor for a host");
		return;
	}
	for (pb_size_t i = 0; i < p->fds_count; i++)
		if ((int)p->fds[i].target == target) {
			setup->fds[p->fds[i].source] = fd;
			return;
		}
	setup->fds[setup->n_fds] = fd;
	dv_plan_fd(setup->plan, (uint32_t)setup->n_fds++, (uint32_t)target);
}

void dv_host_setup_rlimit(struct dv_host_setup *setup, int resource,
			  uint64_t soft, uint64_t hard)
{
	if (resource < 0)
		refuse(setup, EINVAL, "resource limit");
	else
		dv_plan_rlimit(setup->plan, (uint32_t)resource, soft, hard);
}

void dv_host_setup_nice(struct dv_host_setup *setup, int nice)
{
	process(setup)->has_nice = true;
	process(setup)->nice = nice;
}

void dv_host_setup_oom_score(struct dv_host_setup *setup, int adj)
{
	process(setup)->has_oom_score_adj = true;
	process(setup)->oom_score_adj = adj;
}

void dv_host_setup_umask(struct dv_host_setup *setup, mode_t mask)
{
	process(setup)->has_umask = true;
	process(setup)->umask = mask;
}

void dv_host_setup_user(struct dv_host_setup *setup, uid_t uid, gid_t gid,
			const gid_t *groups, size_t n)
{
	dv_Ids *ids = &process(setup)->ids;

	if (n > DV_HOST_GROUPS_MAX) {
		refuse(setup, E2BIG, "groups of a host");
		return;
	}
	process(setup)->has_ids = true;
	ids->uid = uid;
	ids->gid = gid;
	ids->groups_count = 0;
	ids->groups =
		n ? dv_plan_alloc(setup->plan, n * sizeof(*ids->groups)) : NULL;
	for (size_t i = 0; ids->groups && i < n; i++)
		ids->groups[ids->groups_count++] = groups[i];
}

void dv_host_setup_caps(struct dv_host_setup *setup, uint64_t keep)
{
	dv_Caps *caps = &process(setup)->caps;

	process(setup)->has_caps = true;
	caps->bounding |= keep;
	caps->permitted |= keep;
	caps->inheritable |= keep;
	caps->ambient |= keep;
}

void dv_host_setup_no_new_privs(struct dv_host_setup *setup)
{
	process(setup)->no_new_privs = true;
}

void dv_host_setup_seccomp(struct dv_host_setup *setup, const void *insns,
			   size_t len)
{
	dv_Process *p = process(setup);

	if (!p->seccomp)
		dv_plan_seccomp(setup->plan, insns, len);
	else if (!p->seccomp_more)
		dv_plan_seccomp_more(setup->plan, insns, len);
	else
		refuse(setup, E2BIG, "third seccomp filter of a host");
	p->no_new_privs = true;
}

void dv_host_setup_seccomp_last(struct dv_host_setup *setup, const void *insns,
				size_t len)
{
	dv_buf_reset(&setup->filter);
	setup->lock |= DV_LOCK_NNP;
	if (dv_buf_put(&setup->filter, insns, len) < 0)
		refuse(setup, -dv_buf_status(&setup->filter),
		       "last seccomp filter of a host");
}

void dv_host_setup_allow(struct dv_host_setup *setup, int nr)
{
	if (nr < 0)
		return; /* the architecture does not have it */
	if (setup->n_allow == DV_ARRAY_LEN(setup->allow))
		refuse(setup, E2BIG, "system calls to be allowed");
	else
		setup->allow[setup->n_allow++] = (uint32_t)nr;
}

void dv_host_setup_landlock(struct dv_host_setup *setup, const char *path,
			    uint64_t access, bool optional)
{
	dv_Process *p = process(setup);
	int abi = dv_landlock_abi();

	if (abi < 0 && (setup->profile & DV_HOST_BEST_EFFORT))
		return;
	if (abi < 0) {
		refuse(setup, EOPNOTSUPP, "landlock of this kernel");
		return;
	}
	if (!p->has_landlock)
		dv_landlock_handle_all(&p->landlock, abi);
	p->has_landlock = true;
	p->no_new_privs = true;
	dv_landlock_path(setup->plan, path, access, optional);
}

static const struct {
	int flag;
	uint32_t ns;
} namespaces[] = {
	{ CLONE_NEWUSER, dv_NS_USER },     { CLONE_NEWNS, dv_NS_MOUNT },
	{ CLONE_NEWPID, dv_NS_PID },       { CLONE_NEWIPC, dv_NS_IPC },
	{ CLONE_NEWUTS, dv_NS_UTS },       { CLONE_NEWNET, dv_NS_NET },
	{ CLONE_NEWCGROUP, dv_NS_CGROUP },
};

/*
 * Root keeps its ids, anybody else the one that it is: more is only for who
 * may write id maps.
 */
static void map_ids(struct dv_host_setup *setup)
{
	dv_Isolation *iso = &setup->plan->msg.isolation;
	bool root = geteuid() == 0;
	uint32_t n = root ? UINT32_MAX : 1;

	if (iso->uid_map_count)
		return;
	dv_plan_uid_map(setup->plan, root ? 0 : geteuid(), geteuid(), n);
	dv_plan_gid_map(setup->plan, root ? 0 : getegid(), root ? 0 : getegid(),
			n);
	iso->deny_setgroups = !root;
}

void dv_host_setup_namespaces(struct dv_host_setup *setup, int flags)
{
	dv_Isolation *iso = &setup->plan->msg.isolation;

	for (size_t i = 0; i < DV_ARRAY_LEN(namespaces); i++) {
		if (flags & namespaces[i].flag)
			iso->namespaces |= namespaces[i].ns;
		flags &= ~namespaces[i].flag;
	}
	if (flags) {
		refuse(setup, EINVAL, "unknown namespace");
		return;
	}
	setup->plan->msg.has_isolation = true;
	iso->namespaces |= dv_NS_USER | dv_NS_PID | dv_NS_MOUNT;
	map_ids(setup);
}

void dv_host_setup_bind(struct dv_host_setup *setup, const char *source,
			const char *target, bool writable)
{
	if (!setup->plan->msg.isolation.has_root)
		refuse(setup, EINVAL, "bind into a host without its own root");
	else
		dv_plan_mount(setup->plan, dv_MOUNT_BIND, source, target,
			      dv_MF_RECURSIVE | dv_MF_NOSUID |
				      (writable ? 0 : dv_MF_RO));
}

void dv_host_setup_keep_root(struct dv_host_setup *setup)
{
	setup->lock &= ~(uint32_t)DV_LOCK_ROOT;
}
