/* SPDX-License-Identifier: MIT */
#include "runtime/plan/planner.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/def.h"
#include "base/fd.h"
#include "base/path.h"
#include "runtime/plan/caps.h"
#include "runtime/plan/landlock.h"
#include "runtime/plan/layout.h"
#include "runtime/plan/process.h"
#include "runtime/plan/subid.h"
#include "runtime/plan/users.h"

enum {
	ALL_NS = dv_NS_USER | dv_NS_MOUNT | dv_NS_PID | dv_NS_IPC | dv_NS_UTS |
		 dv_NS_NET | dv_NS_CGROUP
};

static int bad(struct dv_err *err, int sys, const char *what, const char *value)
{
	return dv_err_step(err, dv_err_sys(err, sys, "%s %s", what, value),
			   DV_STEP_CONFIG);
}

/* ---- ids ---------------------------------------------------------------- */

/*
 * Root maps every id onto itself: files keep their owners. Anybody else may map
 * one id: onto itself in a process sandbox, onto root in a container, whose
 * files were made by root. Only for another user (-u) the ranges of subuid(5)
 * are worth what newuidmap(1) costs.
 */
static void plan_ids(struct dv_plan *plan, const struct dv_spec *spec,
		     uid_t *uid_inside, gid_t *gid_inside)
{
	uid_t uid = geteuid();
	gid_t gid = getegid();

	*uid_inside = uid;
	*gid_inside = gid;
	if (uid == 0) {
		dv_plan_uid_map(plan, 0, 0, UINT32_MAX);
		dv_plan_gid_map(plan, 0, 0, UINT32_MAX);
		return;
	}
	if (spec->boundary == DV_IN_CONTAINER)
		*uid_inside = *gid_inside = 0;
	if (spec->user && dv_subid_map(plan, false, uid, *uid_inside, uid) &&
	    dv_subid_map(plan, true, uid, *gid_inside, gid))
		return;
	plan->msg.isolation.uid_map_count = 0;
	plan->msg.isolation.gid_map_count = 0;
	dv_plan_uid_map(plan, *uid_inside, uid, 1);
	dv_plan_gid_map(plan, *gid_inside, gid, 1);
	plan->msg.isolation.deny_setgroups = true;
}

/* ---- root --------------------------------------------------------------- */

static int check_rootfs(const struct dv_spec *spec, struct dv_err *err)
{
	struct stat st;

	if (!spec->rootfs) {
		dv_err_hint(err, "name a directory: --rootfs DIR");
		return dv_err_step(err,
				   dv_err_set(err, EINVAL, DV_INVALID,
					      "a container needs a rootfs"),
				   DV_STEP_CONFIG);
	}
	if (stat(spec->rootfs, &st) < 0)
		return bad(err, errno, "rootfs", spec->rootfs);
	if (!S_ISDIR(st.st_mode))
		return bad(err, ENOTDIR, "rootfs", spec->rootfs);
	return 0;
}

static int plan_root(struct dv_plan *plan, const struct dv_spec *spec,
		     const char *at, struct dv_err *err)
{
	static const dv_RootKind kinds[] = {
		[DV_ROOTFS_OVERLAY] = dv_ROOT_OVERLAY,
		[DV_ROOTFS_RO] = dv_ROOT_BIND,
		[DV_ROOTFS_RW] = dv_ROOT_BIND,
	};
	dv_Isolation *iso = &plan->msg.isolation;
	int r;

	iso->has_root = true;
	iso->root.at = dv_plan_strdup(plan, at);
	iso->root_readonly = spec->read_only;
	iso->root.kind = dv_ROOT_TMPFS;
	if (spec->boundary != DV_IN_CONTAINER)
		return 0;
	r = check_rootfs(spec, err);
	if (r < 0)
		return r;
	iso->root.kind = kinds[spec->rootfs_mode];
	iso->root.dir = dv_plan_strdup(plan, spec->rootfs);
	if (spec->rootfs_mode == DV_ROOTFS_RO)
		iso->root_readonly = true;
	return 0;
}

/* ---- the user's mounts -------------------------------------------------- */

/* A file is bound onto a file, and both must be known before the start. */
static int plan_volumes(struct dv_plan *plan, const struct dv_spec *spec,
			struct dv_err *err)
{
	const dv_Isolation *want = &spec->mem.msg.isolation;

	for (pb_size_t i = 0; i < want->mounts_count; i++) {
		const dv_Mount *v = &want->mounts[i];
		struct stat st;
		dv_Mount *m;

		if (v->kind == dv_MOUNT_BIND && stat(v->source, &st) < 0) {
			dv_err_hint(err, "the source of a volume must exist");
			return bad(err, errno, "volume source", v->source);
		}
		m = dv_plan_mount(plan, v->kind, v->source, v->target,
				  v->flags);
		if (!m)
			break;
		m->mode = v->mode;
		if (v->options)
			m->options = dv_plan_strdup(plan, v->options);
	}
	return dv_plan_status(plan);
}

/* True when a volume already puts something on @path. */
static bool has_volume_at(const struct dv_spec *spec, const char *path)
{
	const dv_Isolation *want = &spec->mem.msg.isolation;

	for (pb_size_t i = 0; i < want->mounts_count; i++)
		if (strcmp(want->mounts[i].target, path) == 0)
			return true;
	return false;
}

static int plan_file_system(struct dv_planned *out, const struct dv_spec *spec,
			    struct dv_layout *lay, const char **cwdp,
			    struct dv_err *err)
{
	bool container = spec->boundary == DV_IN_CONTAINER;
	struct dv_plan *plan = &out->plan;
	bool shown = false;

	*cwdp = spec->workdir;
	if (container) {
		dv_layout_container(plan, lay);
		if (!*cwdp)
			*cwdp = "/";
	} else {
		if (lay->cwd && has_volume_at(spec, lay->cwd)) {
			if (!*cwdp)
				*cwdp = dv_plan_strdup(plan, lay->cwd);
			lay->cwd = NULL;
		}
		dv_layout_process(plan, lay, &shown);
		out->cwd_hidden = !*cwdp && !shown && lay->cwd && lay->cwd[1];
		if (!*cwdp)
			*cwdp = shown ? lay->cwd : "/";
	}
	return plan_volumes(plan, spec, err);
}

/* ---- all of it ---------------------------------------------------------- */

/* Without a HOME that says anything, what the user's passwd entry says. */
static const char *home_of_caller(struct dv_user *user)
{
	const char *home = getenv("HOME");
	char uid[16];

	if (home && home[0] == '/' && home[1])
		return home;
	dv_autofd int root = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
	snprintf(uid, sizeof(uid), "%u", geteuid());
	if (root < 0 || dv_user_lookup(root, uid, user, NULL) < 0)
		return NULL;
	return user->home;
}

/* @cwd and @user are its memory. */
static struct dv_layout layout_of_caller(const struct dv_spec *spec,
					 const char *rundir, char cwd[PATH_MAX],
					 struct dv_user *user)
{
	return (struct dv_layout){
		.cwd = getcwd(cwd, PATH_MAX),
		.rundir = rundir,
		.home = home_of_caller(user),
		.workdir = spec->workdir,
		.map_groups = geteuid() == 0,
		.own_net = spec->net == DV_NET_NONE,
	};
}

static int plan_all(struct dv_planned *out, const struct dv_spec *spec,
		    const char *id, const char *rundir, const char *at,
		    struct dv_err *err)
{
	bool container = spec->boundary == DV_IN_CONTAINER;
	struct dv_plan *plan = &out->plan;
	dv_Isolation *iso = &plan->msg.isolation;
	char cwd[PATH_MAX];
	const char *workdir;
	struct dv_user user;
	struct dv_layout lay = layout_of_caller(spec, rundir, cwd, &user);
	int r;

	plan->msg.has_isolation = true;
	iso->namespaces = ALL_NS;
	if (spec->net == DV_NET_HOST)
		iso->namespaces &= ~(uint32_t)dv_NS_NET;
	iso->loopback_up = spec->net == DV_NET_NONE;
	if (spec->hostname || container)
		iso->hostname = dv_plan_strdup(
			plan, spec->hostname ? spec->hostname : id);
	plan_ids(plan, spec, &lay.uid, &lay.gid);
	r = plan_root(plan, spec, at, err);
	if (r == 0)
		r = plan_file_system(out, spec, &lay, &workdir, err);
	if (r == 0)
		r = dv_plan_process(out, spec, workdir, lay.uid, lay.gid, err);
	return r < 0 ? r : dv_plan_status(plan);
}

/* The default root as for namespaces: the rules are made from it. */
static int plan_plain(struct dv_planned *out, const struct dv_spec *spec,
		      const char *rundir, const struct dv_plain_how *how,
		      struct dv_err *err)
{
	struct dv_plan *plan = &out->plan;
	char cwd[PATH_MAX];
	const char *workdir;
	struct dv_user user;
	struct dv_layout lay = layout_of_caller(spec, rundir, cwd, &user);
	int r = dv_plain_refuse(spec, how, err);

	if (r == 0)
		r = plan_file_system(out, spec, &lay, &workdir, err);
	if (r == 0)
		r = dv_plain_rules(plan, spec, how, err);
	if (r == 0)
		r = dv_plan_process(out, spec, workdir, geteuid(), getegid(),
				    err);
	if (r == 0)
		r = dv_plain_process(out, spec, how);
	return r < 0 ? r : dv_plan_status(plan);
}

static int finish_plan(struct dv_planned *out, int r, struct dv_err *err)
{
	if (r == -ENOMEM || r == -E2BIG)
		dv_err_sys(err, -r, "prepare the plan");
	dv_err_step(err, r, DV_STEP_CONFIG);
	if (r == 0)
		r = dv_plan_check(&out->plan.msg, out->n_fds, err);
	if (r < 0)
		dv_planner_free(out);
	return r;
}

static void planned_init(struct dv_planned *out)
{
	*out = (struct dv_planned)DV_PLANNED_INIT;
	out->missing = (struct dv_buf)DV_BUF_INIT(4096);
}

int dv_planner_plan(struct dv_planned *out, const struct dv_spec *spec,
		    const char *id, const char *rundir, const char *at,
		    struct dv_err *err)
{
	planned_init(out);
	return finish_plan(out, plan_all(out, spec, id, rundir, at, err), err);
}

int dv_planner_plain(struct dv_planned *out, const struct dv_spec *spec,
		     const char *rundir, const struct dv_plain_how *how,
		     struct dv_err *err)
{
	planned_init(out);
	return finish_plan(out, plan_plain(out, spec, rundir, how, err), err);
}

void dv_planner_free(struct dv_planned *p)
{
	for (size_t i = 0; i < p->n_fds; i++)
		if (p->owned[i])
			dv_close(p->fds[i]);
	for (int i = 0; i < 3; i++)
		p->parent_end[i] = dv_close(p->parent_end[i]);
	p->n_fds = 0;
	dv_plan_free(&p->plan);
	dv_buf_free(&p->missing);
}
