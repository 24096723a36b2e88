/* SPDX-License-Identifier: MIT */
/*
 * DOC: two stages
 *
 * A program needs more to start than to run: its libraries, and what its set-up
 * opens. So a profile has two halves. What is in the plan holds from the first
 * instruction; what is in `lock` the host does to itself when its set-up is
 * complete, and says so before it counts as up.
 *
 *		from the start		     when it is up
 *   LOCKED	no_new_privs		     no capability, Landlock, filter
 *   ISOLATED	namespaces, root of	     empty root, no capability
 *		libraries and program,
 *		default filter, no_new_privs
 *
 * A plain start of LOCKED costs what posix_spawn() costs: the engine lets the
 * child borrow our memory unless ids, capabilities or Landlock change.
 */
#include <errno.h>
#include <limits.h>
#include <link.h>
#include <linux/capability.h>
#include <sched.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/def.h"
#include "base/fmt.h"
#include "base/path.h"
#include "engine/landlock.h"
#include "engine/plan.h"
#include "engine/seccomp.h"
#include "mesh/host_priv.h"

/* Where libraries are; the loader's cache says where else. */
static const char *const lib_dirs[] = { "/lib",       "/lib32",
					"/lib64",     "/usr/lib",
					"/usr/lib64", "/usr/local/lib" };
static const char lib_cache[] = "/etc/ld.so.cache";

/* A directory that every machine has and nothing that is bound lies in: the
 * root is built over it, in a mount namespace of its own. */
static const char root_at[] = "/sys";

static void bind_libs(struct dv_host_setup *setup)
{
	uint32_t how = dv_MF_RO | dv_MF_NOSUID | dv_MF_NODEV | dv_MF_OPTIONAL;
	char text[64];
	ssize_t len;

	for (size_t i = 0; i < DV_ARRAY_LEN(lib_dirs); i++) {
		len = readlink(lib_dirs[i], text, sizeof(text) - 1);
		if (len < 0) {
			dv_plan_mount(setup->plan, dv_MOUNT_BIND, lib_dirs[i],
				      lib_dirs[i], how | dv_MF_RECURSIVE);
			continue;
		}
		text[len] = '\0';
		dv_plan_mount(setup->plan, dv_MOUNT_SYMLINK, text, lib_dirs[i],
			      0);
	}
	dv_plan_mount(setup->plan, dv_MOUNT_BIND, lib_cache, lib_cache,
		      how | dv_MF_FILE);
}

/* Is it in one of the directories that are bound? */
static bool is_bound(const char *path)
{
	for (size_t i = 0; i < DV_ARRAY_LEN(lib_dirs); i++)
		if (dv_path_below(path, lib_dirs[i]))
			return true;
	return false;
}

/* A library of this program that lies elsewhere: the loader finds nothing
 * relative to the program, as that needs /proc, so it is told. */
static int bind_object(struct dl_phdr_info *info, size_t size, void *arg)
{
	struct dv_host_setup *setup = arg;
	const char *path = info->dlpi_name, *slash, *old;
	char entry[PATH_MAX + 64];

	(void)size;
	slash = path[0] == '/' ? strrchr(path, '/') : NULL;
	if (!slash || slash == path || is_bound(path))
		return 0;
	dv_plan_mount(setup->plan, dv_MOUNT_BIND, path, path,
		      dv_MF_RO | dv_MF_NOSUID | dv_MF_NODEV | dv_MF_FILE);
	old = dv_plan_getenv(setup->plan, "LD_LIBRARY_PATH");
	if ((size_t)dv_fmt(entry, sizeof(entry), "LD_LIBRARY_PATH=%.*s%s%s",
			   (int)(slash - path), path, old ? ":" : "",
			   old ? old : "") < sizeof(entry))
		dv_plan_env(setup->plan, entry);
	return 0;
}

/* The program at its own path: what it finds relative to itself may be bound
 * by apply(). */
static int bind_program(struct dv_host_setup *setup, const char *exe,
			struct dv_err *err)
{
	struct stat st;

	if (!exe || exe[0] != '/') {
		dv_err_hint(err, "give the whole path");
		return dv_err_set(err, EINVAL, DV_INVALID,
				  "program of an isolated host: %s",
				  exe ? exe : "none");
	}
	if (stat(exe, &st) < 0)
		return dv_err_sys(err, errno, "program of a host: %s", exe);
	dv_plan_mount(setup->plan, dv_MOUNT_BIND, exe, exe,
		      dv_MF_RO | dv_MF_NOSUID | dv_MF_NODEV | dv_MF_FILE);
	return 0;
}

/* To be who we are, with no more than it needs to change its root and to give
 * up even that. */
static void plan_ids(struct dv_host_setup *setup)
{
	dv_Process *p = &setup->plan->msg.process;

	dv_host_setup_user(setup, geteuid(), getegid(), NULL, 0);
	p->ids.keep_groups = setup->plan->msg.isolation.deny_setgroups;
	dv_host_setup_caps(setup, UINT64_C(1) << CAP_SYS_CHROOT |
					  UINT64_C(1) << CAP_SETPCAP);
}

static int isolate(struct dv_host_setup *setup, const char *exe, bool own,
		   struct dv_err *err)
{
	dv_Isolation *iso = &setup->plan->msg.isolation;
	const struct sock_filter *filter;
	dv_Mount *empty;
	size_t n;

	dv_host_setup_namespaces(setup, CLONE_NEWIPC | CLONE_NEWUTS |
						CLONE_NEWNET | CLONE_NEWCGROUP);
	iso->has_root = true;
	iso->root.kind = dv_ROOT_TMPFS;
	iso->root.at = dv_plan_strdup(setup->plan, root_at);
	iso->root_readonly = true;
	iso->hostname = dv_plan_strdup(setup->plan, "host");
	bind_libs(setup);
	if (own)
		dl_iterate_phdr(bind_object, setup);
	empty = dv_plan_mount(setup->plan, dv_MOUNT_DIR, NULL, DV_HOST_EMPTY,
			      0);
	if (empty)
		empty->mode = 0555;
	plan_ids(setup);
	filter = dv_seccomp_default(&n);
	dv_host_setup_seccomp(setup, filter, n * sizeof(*filter));
	setup->lock |= DV_LOCK_ROOT;
	return bind_program(setup, exe, err);
}

static int lock_up(struct dv_host_setup *setup, struct dv_err *err)
{
	setup->lock |= DV_LOCK_FILTER | DV_LOCK_LANDLOCK;
	if (setup->profile & DV_HOST_BEST_EFFORT)
		setup->lock |= DV_LOCK_BEST_EFFORT;
	else if (dv_landlock_abi() < 0) {
		dv_err_hint(err, "see the row landlock of `davit doctor`, or "
				 "allow less: DV_HOST_BEST_EFFORT");
		return dv_err_set(err, EOPNOTSUPP, DV_UNIMPLEMENTED,
				  "this kernel has no landlock");
	}
	return 0;
}

int dv_host_setup_profile(struct dv_host_setup *setup, const char *exe,
			  bool own, struct dv_err *err)
{
	dv_Process *p = &setup->plan->msg.process;
	int r = 0;

	p->new_session = true;
	p->death_signal = SIGKILL;
	if (setup->profile & (DV_HOST_LOCKED | DV_HOST_ISOLATED)) {
		p->no_new_privs = true;
		setup->lock |= DV_LOCK_CAPS | DV_LOCK_NNP;
	}
	if (setup->profile & DV_HOST_LOCKED)
		r = lock_up(setup, err);
	if (r == 0 && (setup->profile & DV_HOST_ISOLATED))
		r = isolate(setup, exe, own, err);
	return dv_err_step(err, r, DV_STEP_CONFIG);
}
