/* SPDX-License-Identifier: MIT */
#include "runtime/plan/process.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/def.h"
#include "base/fd.h"
#include "base/path.h"
#include "engine/seccomp.h"
#include "runtime/plan/caps.h"
#include "runtime/plan/users.h"
#include "runtime/store/dirs.h"

#define CONTAINER_PATH \
	"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

extern char **environ;

/* ---- environment -------------------------------------------------------- */

static void set_env(struct dv_plan *plan, const char *key, const char *value)
{
	char entry[512];

	if (dv_plan_getenv(plan, key))
		return;
	if ((size_t)snprintf(entry, sizeof(entry), "%s=%s", key, value) <
	    sizeof(entry))
		dv_plan_env(plan, entry);
}

static void plan_env(struct dv_plan *plan, const struct dv_spec *spec,
		     const char *home)
{
	bool container = spec->boundary == DV_IN_CONTAINER;
	bool pty = spec->stdio[0].mode == DV_STDIO_PTY;
	const dv_Process *want = &spec->mem.msg.process;

	if (!spec->env_clear && !container)
		for (char **e = environ; e && *e; e++)
			dv_plan_env(plan, *e);
	if (!spec->env_clear && container)
		dv_plan_env(plan, CONTAINER_PATH);
	for (pb_size_t i = 0; i < spec->env_unset_count; i++)
		dv_plan_unset_env(plan, spec->env_unset[i]);
	for (pb_size_t i = 0; i < want->env_count; i++)
		dv_plan_env(plan, want->env[i]);
	if (spec->env_clear || !container)
		return;
	set_env(plan, "HOME", home[0] ? home : "/");
	if (pty && getenv("TERM"))
		set_env(plan, "TERM", getenv("TERM"));
}

/* ---- streams ------------------------------------------------------------ */

static void add_fd(struct dv_planned *out, int fd, bool owned, uint32_t target)
{
	if (out->n_fds >= DV_PLANNER_FDS_MAX)
		return;
	out->fds[out->n_fds] = fd;
	out->owned[out->n_fds] = owned;
	dv_plan_fd(&out->plan, (uint32_t)out->n_fds++, target);
}

static int plan_stream(struct dv_planned *out, const struct dv_spec *spec,
		       int which, struct dv_err *err)
{
	const struct dv_stdio_spec *s = &spec->stdio[which];
	int pair[2], r;

	switch (s->mode) {
	case DV_STDIO_INHERIT:
		/* A caller without this stream: the child gets /dev/null. */
		if (dv_fd_mode(which) >= 0)
			add_fd(out, which, false, (uint32_t)which);
		return 0;
	case DV_STDIO_FD:
		add_fd(out, s->fd, false, (uint32_t)which);
		return 0;
	case DV_STDIO_PIPE:
		r = dv_pipe(pair);
		if (r < 0)
			return dv_err_sys(err, -r, "open a pipe");
		add_fd(out, pair[which != 0], true, (uint32_t)which);
		out->parent_end[which] = pair[which == 0];
		return 0;
	case DV_STDIO_NULL:
	case DV_STDIO_PTY:
	case DV_STDIO_N:
	default:
		return 0;
	}
}

static int plan_streams(struct dv_planned *out, const struct dv_spec *spec,
			struct dv_err *err)
{
	dv_Process *p = &out->plan.msg.process;
	int r = 0;

	for (int i = 0; r == 0 && i < 3; i++)
		r = plan_stream(out, spec, i, err);
	for (size_t i = 0; i < spec->n_extra; i++)
		add_fd(out, spec->extra_fd[i], false,
		       (uint32_t)spec->extra_target[i]);
	p->terminal = spec->stdio[0].mode == DV_STDIO_PTY;
	p->rows = spec->rows;
	p->cols = spec->cols;
	p->new_session = true;
	return r;
}

/* ---- credentials -------------------------------------------------------- */

static int lookup(const struct dv_spec *spec, const char *text,
		  struct dv_user *user, struct dv_err *err)
{
	const char *root =
		spec->boundary == DV_IN_CONTAINER ? spec->rootfs : "/";
	dv_autofd int fd = open(root, O_PATH | O_DIRECTORY | O_CLOEXEC);

	if (fd < 0)
		return dv_err_sys(err, errno, "open %s", root);
	return dv_user_lookup(fd, text, user, err);
}

static bool is_mapped(const dv_IdMap *maps, pb_size_t n, uint32_t id)
{
	for (pb_size_t i = 0; i < n; i++)
		if (id >= maps[i].inside && id - maps[i].inside < maps[i].count)
			return true;
	return false;
}

/* Without a user namespace they are those of the host. */
static bool may_change_ids(void)
{
	return dv_caps_have(CAP_SETUID) && dv_caps_have(CAP_SETGID);
}

static int check_plain(const struct dv_user *user, struct dv_err *err)
{
	if (may_change_ids() ||
	    (user->uid == geteuid() && user->gid == getegid()))
		return 0;
	return dv_err_step(err,
			   dv_err_set(err, EPERM, DV_DENIED,
				      "to become user %u:%u needs a user "
				      "namespace",
				      user->uid, user->gid),
			   DV_STEP_CONFIG);
}

/* Only ids that the maps know can be had. */
static int check_mapped(const dv_Isolation *iso, const struct dv_user *user,
			struct dv_err *err)
{
	if (is_mapped(iso->uid_map, iso->uid_map_count, user->uid) &&
	    is_mapped(iso->gid_map, iso->gid_map_count, user->gid))
		return 0;
	dv_err_hint(err, "run davit as root, or give yourself ids in "
			 "/etc/subuid and /etc/subgid: see davit doctor");
	return dv_err_step(err,
			   dv_err_set(err, EPERM, DV_DENIED,
				      "user %u:%u is not among the ids that "
				      "you may map into a sandbox",
				      user->uid, user->gid),
			   DV_STEP_CONFIG);
}

static int plan_ids(struct dv_plan *plan, const struct dv_spec *spec, uid_t uid,
		    gid_t gid, struct dv_user *user, struct dv_err *err)
{
	dv_Ids *ids = &plan->msg.process.ids;
	int r = 0;

	user->uid = uid;
	user->gid = gid;
	if (spec->user)
		r = lookup(spec, spec->user, user, err);
	else if (spec->boundary == DV_IN_CONTAINER)
		/* only for the home directory; no entry is no error */
		(void)lookup(spec, "0", user, NULL);
	if (r == 0)
		r = plan->msg.has_isolation
			    ? check_mapped(&plan->msg.isolation, user, err)
			    : check_plain(user, err);
	if (r < 0)
		return r;
	plan->msg.process.has_ids = plan->msg.has_isolation || may_change_ids();
	ids->uid = user->uid;
	ids->gid = user->gid;
	ids->keep_groups = plan->msg.isolation.deny_setgroups;
	if (user->n_groups == 0 || ids->keep_groups)
		return 0;
	ids->groups = dv_plan_alloc(plan, user->n_groups * sizeof(uint32_t));
	if (!ids->groups)
		return -ENOMEM;
	for (size_t i = 0; i < user->n_groups; i++)
		ids->groups[i] = user->groups[i];
	ids->groups_count = (pb_size_t)user->n_groups;
	return 0;
}

/*
 * Outside a user namespace capabilities would be the host's: none. Nothing can
 * be gained from the bounding set with no_new_privs, and only some may empty
 * it.
 */
static void plan_no_caps(dv_Caps *caps)
{
	*caps = (dv_Caps){ 0 };
	if (!dv_caps_have(CAP_SETPCAP))
		caps->bounding = UINT64_MAX;
}

/*
 * Root gets the default set, another user none of it; what was added by name is
 * kept by either, for a user through the ambient set.
 */
static void plan_caps(struct dv_plan *plan, const struct dv_spec *spec)
{
	dv_Caps *caps = &plan->msg.process.caps;
	bool root = plan->msg.process.ids.uid == 0;
	uint64_t set = root ? dv_caps_default() : 0;

	set = (set & ~spec->cap_drop) | spec->cap_add;
	plan->msg.process.has_caps = true;
	if (!plan->msg.has_isolation) {
		plan_no_caps(caps);
		return;
	}
	caps->bounding = set;
	caps->permitted = set;
	caps->inheritable = root ? 0 : set;
	caps->ambient = caps->inheritable;
}

static int plan_seccomp(struct dv_plan *plan, const struct dv_spec *spec,
			struct dv_err *err)
{
	dv_autobuf bpf =
		DV_BUF_INIT(DV_PLAN_INSNS_MAX * sizeof(struct sock_filter));
	char state[PATH_MAX], cache[PATH_MAX];
	size_t n;
	int r;

	plan->msg.process.no_new_privs = true;
	if (!spec->seccomp) {
		const struct sock_filter *insns = dv_seccomp_default(&n);

		dv_plan_seccomp(plan, insns, n * sizeof(*insns));
		return 0;
	}
	if (strcmp(spec->seccomp, "unconfined") == 0)
		return 0;
	/* Without a place for the cache it is compiled every time. */
	r = dv_statedir(state, sizeof(state), NULL);
	if (r == 0)
		r = dv_path_join(cache, sizeof(cache), state, "seccomp");
	r = dv_seccomp_profile(spec->seccomp, plan->msg.process.caps.permitted,
			       r == 0 ? cache : NULL, &bpf, err);
	if (r < 0)
		return dv_err_step(err, r, DV_STEP_CONFIG);
	dv_plan_seccomp(plan, bpf.data, bpf.len);
	return 0;
}

/* ---- all of it ---------------------------------------------------------- */

static void plan_command(struct dv_plan *plan, const struct dv_spec *spec,
			 const char *workdir)
{
	const dv_Process *want = &spec->mem.msg.process;
	dv_Process *p = &plan->msg.process;

	plan->msg.has_process = true;
	for (pb_size_t i = 0; i < want->argv_count; i++)
		dv_plan_arg(plan, want->argv[i]);
	if (want->exe)
		p->exe = dv_plan_strdup(plan, want->exe);
	if (workdir)
		p->cwd = dv_plan_strdup(plan, workdir);
	for (pb_size_t i = 0; i < want->rlimits_count; i++)
		dv_plan_rlimit(plan, want->rlimits[i].resource,
			       want->rlimits[i].soft, want->rlimits[i].hard);
	p->has_nice = want->has_nice;
	p->nice = want->nice;
	p->has_oom_score_adj = want->has_oom_score_adj;
	p->oom_score_adj = want->oom_score_adj;
	p->has_umask = want->has_umask;
	p->umask = want->umask;
}

int dv_plan_process(struct dv_planned *out, const struct dv_spec *spec,
		    const char *workdir, uid_t uid, gid_t gid,
		    struct dv_err *err)
{
	struct dv_plan *plan = &out->plan;
	struct dv_user user = { 0 };
	int r;

	plan_command(plan, spec, workdir);
	r = plan_streams(out, spec, err);
	if (r == 0)
		r = plan_ids(plan, spec, uid, gid, &user, err);
	if (r < 0)
		return r;
	plan_env(plan, spec, user.home);
	if (dv_plan_status(plan) == -E2BIG)
		return dv_spec_too_many(DV_PLAN_ARGS_MAX, "variables", err);
	plan_caps(plan, spec);
	return plan_seccomp(plan, spec, err);
}
