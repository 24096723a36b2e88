/* SPDX-License-Identifier: MIT */
/*
 * DOC: a keeper's own group
 *
 *	CREATOR/davit-<id>			the keeper
 *	CREATOR/davit-<id>/davit-<id>		its sandbox
 *
 * So nobody else is in the keeper's group, and it can pass controllers on, when
 * its creator's group has passed them on to it; see cgroup_v2.c. It stays below
 * that of its creator: who limits the creator limits what it leaves behind.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/def.h"
#include "base/fd.h"
#include "base/fmt.h"
#include "base/path.h"
#include "base/random.h"
#include "engine/cgroup_priv.h"

void dv_cgroup_make_way(const struct dv_cgroup_limits *limits)
{
	struct dv_cg_site site;
	char base[PATH_MAX];

	if (!limits->memory && !limits->milli_cpus && !limits->pids &&
	    !limits->io_weight)
		return;
	if (dv_cg_site_open(&site, NULL) == 0 &&
	    dv_cg2_base(&site, base, NULL) >= 0)
		dv_cg2_pass_on(&site, base, limits);
	dv_cg_site_close(&site);
}

static int move_into(const char *dir)
{
	char path[PATH_MAX];
	int r = dv_path_join(path, sizeof(path), dir, "cgroup.procs");

	return r < 0 ? r : dv_write_file(AT_FDCWD, path, "0", 1);
}

static int find_base(char *base, struct dv_err *err)
{
	struct dv_cg_site site;
	int r = dv_cg_site_open(&site, err);

	if (r == 0)
		r = dv_cg2_base(&site, base, err);
	dv_cg_site_close(&site);
	/* To move there asks for this file, mkdir does not. */
	if (r >= 0 && geteuid() != 0)
		r = dv_cg_writable(base, "cgroup.procs", err);
	return dv_min(r, 0);
}

int dv_cgroup_enter_own(const char *id,
			int (*note)(void *arg, const char *path), void *arg,
			char **pathp, struct dv_err *err)
{
	char base[PATH_MAX], path[PATH_MAX], name[32];
	dv_autofree char *copy = NULL;
	int r = find_base(base, err);

	if (r < 0)
		return r;
	dv_fmt(name, sizeof(name), "%s%s", DV_CG_PREFIX, id);
	r = dv_path_join(path, sizeof(path), base, name);
	if (r == 0)
		r = note(arg, path);
	if (r < 0)
		return dv_err_sys(err, -r, "note group %s", name);
	copy = strdup(path);
	if (!copy)
		return dv_err_sys(err, ENOMEM, "group %s", path);
	if (mkdir(path, 0755) < 0)
		return dv_err_sys(err, errno, "mkdir %s", path);
	r = move_into(path);
	if (r < 0) {
		rmdir(path);
		return dv_err_sys(err, -r, "move into group %s", path);
	}
	*pathp = dv_take_ptr(&copy);
	return 0;
}

int dv_cgroup_leave_own(const char *path)
{
	dv_autofree char *up = strdup(path);
	char *slash = up ? strrchr(up, '/') : NULL;
	int r;

	if (!slash)
		return -ENOMEM;
	*slash = '\0';
	r = move_into(up);
	return r < 0 ? r : dv_cg_rmdir(AT_FDCWD, path);
}
