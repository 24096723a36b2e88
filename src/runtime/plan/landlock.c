/* SPDX-License-Identifier: MIT */
/*
 * DOC: from mounts to rights
 *
 * The default root is described once, in layout.c, as mounts and masked paths.
 * Without a mount namespace each bind becomes a rule: its source may be read
 * and executed, or also written. A rule gives a directory with all below it,
 * and no other rule takes a part of that back. So what holds a masked path is
 * given entry by entry, and a volume that would need taking back is refused.
 */
#include "runtime/plan/landlock.h"

#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/def.h"
#include "base/path.h"
#include "engine/landlock.h"
#include "runtime/plan/process.h"

/* A masked path as the kernel names it. */
struct mask {
	const char *path;
	bool is_dir;
};

struct rules {
	struct dv_plan *plan;
	struct mask *masks;
	size_t n_masks;
};

/* ---- what cannot be had ------------------------------------------------- */

static int refuse(struct dv_err *err, const struct dv_plain_how *how,
		  const char *what, const char *value, const char *needs)
{
	return dv_err_step(err,
			   dv_err_set(err, EOPNOTSUPP, DV_PRECONDITION,
				      "%s%s%s needs %s: %s", what,
				      value[0] ? " " : "", value, needs,
				      how->why),
			   DV_STEP_CONFIG);
}

/* A volume can only be where it is already. */
static int check_place(const dv_Mount *v, const struct dv_plain_how *how,
		       struct dv_err *err)
{
	if (v->kind != dv_MOUNT_BIND)
		return refuse(err, how, "tmpfs", v->target,
			      "a mount namespace");
	if (strcmp(v->source, v->target) != 0)
		return refuse(err, how, "volume at another place", v->target,
			      "a mount namespace");
	return 0;
}

int dv_plain_refuse(const struct dv_spec *spec, const struct dv_plain_how *how,
		    struct dv_err *err)
{
	const dv_Isolation *want = &spec->mem.msg.isolation;
	int r = 0;

	if (spec->boundary == DV_IN_CONTAINER)
		return refuse(err, how, "container", "", "a mount namespace");
	if (spec->hostname)
		return refuse(err, how, "host name", spec->hostname,
			      "a uts namespace");
	if (spec->cap_add)
		return refuse(err, how, "a capability", "", "a user namespace");
	for (pb_size_t i = 0; r == 0 && i < want->mounts_count; i++)
		r = check_place(&want->mounts[i], how, err);
	return r;
}

/* ---- masks -------------------------------------------------------------- */

static int collect_masks(struct rules *r, const dv_Isolation *iso)
{
	char real[PATH_MAX];
	struct stat st;

	r->masks = dv_plan_alloc(r->plan,
				 (iso->masked_count + 1u) * sizeof(*r->masks));
	if (!r->masks)
		return -ENOMEM;
	for (pb_size_t i = 0; i < iso->masked_count; i++) {
		struct mask *m = &r->masks[r->n_masks];

		/* What cannot be reached by us cannot be by the command. */
		if (!realpath(iso->masked[i], real) || stat(real, &st) < 0)
			continue;
		m->path = dv_plan_strdup(r->plan, real);
		if (!m->path)
			return -ENOMEM;
		m->is_dir = S_ISDIR(st.st_mode);
		r->n_masks++;
	}
	return 0;
}

/* The mask that hides @path, or NULL. */
static const char *hidden_by(const struct rules *r, const char *path)
{
	for (size_t i = 0; i < r->n_masks; i++)
		if (dv_path_below(path, r->masks[i].path))
			return r->masks[i].path;
	return NULL;
}

/* A mask that lies below @path, or NULL; only directories with @dirs. */
static const char *holds(const struct rules *r, const char *path, bool dirs)
{
	for (size_t i = 0; i < r->n_masks; i++)
		if (dv_path_below(r->masks[i].path, path) &&
		    (!dirs || r->masks[i].is_dir))
			return r->masks[i].path;
	return NULL;
}

/* ---- rules -------------------------------------------------------------- */

static void allow(struct rules *r, const char *path, uint64_t access);

/*
 * Every entry of @dir by itself. The right to list reaches all below as well,
 * so it is given only where no masked directory is. A symlink gives nothing:
 * where it leads is allowed by itself, or not at all.
 */
static void allow_entries(struct rules *r, const char *dir, uint64_t access)
{
	DIR *d = opendir(dir);
	char path[PATH_MAX];
	struct dirent *e;
	struct stat st;

	if (!holds(r, dir, true))
		dv_landlock_path(r->plan, dir, access & DV_LL_READ_DIR, true);
	while (d && (e = readdir(d))) {
		if (!strcmp(e->d_name, ".") || !strcmp(e->d_name, "..") ||
		    dv_path_join(path, sizeof(path), dir, e->d_name) < 0 ||
		    lstat(path, &st) < 0 || S_ISLNK(st.st_mode))
			continue;
		allow(r, path, access);
	}
	if (d)
		closedir(d);
}

/* @path is as the kernel names it. Only masks make it go deeper. */
static void allow(struct rules *r, const char *path, uint64_t access)
{
	if (hidden_by(r, path))
		return;
	if (holds(r, path, false))
		allow_entries(r, path, access);
	else
		dv_landlock_path(r->plan, path, access, true);
}

/* What the flags of a mount mean as rights. */
static uint64_t rights_of(uint32_t flags)
{
	uint64_t access = DV_LL_READ;

	if (!(flags & dv_MF_NOEXEC))
		access |= DV_LL_EXECUTE;
	if (!(flags & dv_MF_RO))
		access |= DV_LL_WRITE;
	return access;
}

static void allow_mount(struct rules *r, const dv_Mount *m)
{
	char real[PATH_MAX];

	/* The host's: which of its processes has which file cannot be said, so
	 * the masked ones are left to the kernel's own checks. */
	if (m->kind == dv_MOUNT_PROC)
		dv_landlock_path(r->plan, m->target, DV_LL_READ, false);
	if (m->kind == dv_MOUNT_BIND && realpath(m->source, real))
		allow(r, real, rights_of(m->flags));
}

/* ---- volumes ------------------------------------------------------------ */

static int check_masks(const struct rules *r, const dv_Mount *v,
		       const char *real, const struct dv_plain_how *how,
		       struct dv_err *err)
{
	const char *mask = hidden_by(r, real);
	char needs[PATH_MAX + 64];

	if (!mask && !(v->flags & dv_MF_RO))
		mask = holds(r, real, false);
	if (!mask)
		return 0;
	snprintf(needs, sizeof(needs), "a mount namespace to hide %s", mask);
	return refuse(err, how, "volume", v->target, needs);
}

static int check_volumes(const struct rules *r, const struct dv_spec *spec,
			 const struct dv_plain_how *how, struct dv_err *err)
{
	const dv_Isolation *want = &spec->mem.msg.isolation;
	char a[PATH_MAX], b[PATH_MAX];
	int ret = 0;

	for (pb_size_t i = 0; ret == 0 && i < want->mounts_count; i++) {
		const dv_Mount *v = &want->mounts[i];

		if (!realpath(v->source, a))
			return dv_err_sys(err, errno, "volume source %s",
					  v->source);
		ret = check_masks(r, v, a, how, err);
		for (pb_size_t k = 0; ret == 0 && k < want->mounts_count; k++) {
			const dv_Mount *w = &want->mounts[k];

			if ((v->flags & dv_MF_RO) && !(w->flags & dv_MF_RO) &&
			    realpath(w->source, b) && dv_path_below(a, b))
				ret = refuse(
					err, how,
					"read-only below a writable volume",
					v->target, "a mount namespace");
		}
	}
	return ret;
}

int dv_plain_rules(struct dv_plan *plan, const struct dv_spec *spec,
		   const struct dv_plain_how *how, struct dv_err *err)
{
	dv_Isolation iso = plan->msg.isolation;
	dv_Process *p = &plan->msg.process;
	struct rules rules = { .plan = plan };
	int r = collect_masks(&rules, &iso);

	if (r == 0)
		r = check_volumes(&rules, spec, how, err);
	if (r < 0)
		return r;
	plan->msg.has_isolation = false;
	plan->msg.isolation = (dv_Isolation){ 0 };
	plan->msg.has_process = true;
	p->has_landlock = true;
	dv_landlock_handle_all(&p->landlock, how->abi);
	for (pb_size_t i = 0; i < iso.mounts_count; i++)
		allow_mount(&rules, &iso.mounts[i]);
	return dv_plan_status(plan);
}

/* ---- the process -------------------------------------------------------- */

/* True when the command runs as the one who owns the directory. */
static bool is_caller(const dv_Process *p)
{
	return !p->has_ids || p->ids.uid == geteuid();
}

static void give_tmpdir(struct dv_planned *out, const struct dv_spec *spec,
			const struct dv_plain_how *how)
{
	const dv_Process *want = &spec->mem.msg.process;
	struct dv_plan *plan = &out->plan;
	char entry[PATH_MAX];

	if (spec->read_only)
		return;
	if (!is_caller(&plan->msg.process)) {
		dv_buf_puts(&out->missing, "a writable TMPDIR: it would belong "
					   "to the caller\n");
		return;
	}
	dv_landlock_path(plan, how->tmpdir,
			 DV_LL_READ | DV_LL_EXECUTE | DV_LL_WRITE, false);
	for (pb_size_t i = 0; i < want->env_count; i++)
		if (strncmp(want->env[i], "TMPDIR=", 7) == 0)
			return;
	if ((size_t)snprintf(entry, sizeof(entry), "TMPDIR=%s", how->tmpdir) <
	    sizeof(entry))
		dv_plan_env(plan, entry);
}

/* What each older version cannot do. */
static const struct {
	int abi;
	const char *lacks;
} gaps[] = {
	{ 2, "renames between directories: they fail" },
	{ 3, "truncation: any file that the user may write can be cut" },
	{ 5, "device controls: open devices can be controlled" },
	{ 6, "scopes: other processes of the user can be signalled" },
};

static void tell_missing(struct dv_planned *out, const struct dv_spec *spec,
			 const struct dv_plain_how *how)
{
	struct dv_buf *b = &out->missing;

	dv_buf_putf(b,
		    "namespaces, for which Landlock (ABI %d) and seccomp stand "
		    "in: %s\n",
		    how->abi, how->why);
	dv_buf_puts(b, "process ids of its own: it sees the host's /proc, and "
		       "can change limits and priorities of the user's "
		       "processes\n");
	dv_buf_puts(b, "a root of its own: of hidden files it can ask for size "
		       "and owner, and it can change modes, times and "
		       "attributes of the user's\n");
	dv_buf_puts(b, spec->read_only
			       ? "a private /tmp and home\n"
			       : "a private /tmp, home and /dev/shm: only "
				 "TMPDIR is writable\n");
	dv_buf_puts(b, spec->net == DV_NET_NONE
			       ? "a loopback network: no socket can be made\n"
			       : "hidden unix sockets: those of the host can "
				 "be connected to\n");
	dv_buf_puts(b, "host name, System V memory and message queues of its "
		       "own: they are the host's\n");
	if (geteuid() == 0)
		dv_buf_puts(b, "capabilities of root: it has none\n");
	for (size_t i = 0; i < DV_ARRAY_LEN(gaps); i++)
		if (how->abi < gaps[i].abi)
			dv_buf_putf(b, "%s (Landlock ABI %d)\n", gaps[i].lacks,
				    gaps[i].abi);
}

/* It fires when the thread ends that forked; ours is told apart by its id. */
static void set_life_line(struct dv_planned *out)
{
	if (gettid() == getpid())
		out->plan.msg.process.death_signal = SIGKILL;
	else
		dv_buf_puts(&out->missing, "an end with its keeper: it was not "
					   "started by the main thread\n");
}

int dv_plain_process(struct dv_planned *out, const struct dv_spec *spec,
		     const struct dv_plain_how *how)
{
	struct dv_plan *plan = &out->plan;
	const struct sock_filter *insns;
	size_t n;

	tell_missing(out, spec, how);
	give_tmpdir(out, spec, how);
	set_life_line(out);
	/* Its own pty, whatever its name will be. */
	if (plan->msg.process.terminal)
		dv_landlock_path(plan, "/proc/self/fd/0",
				 DV_LL_READ_FILE | DV_LL_WRITE_FILE |
					 DV_LL_IOCTL_DEV,
				 true);
	if (spec->net == DV_NET_NONE) {
		insns = dv_landlock_no_sockets(&n);
		dv_plan_seccomp_more(plan, insns, n * sizeof(*insns));
	} else {
		plan->msg.process.landlock.handled_net = 0;
	}
	return dv_buf_status(&out->missing);
}
