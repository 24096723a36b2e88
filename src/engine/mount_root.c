/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <fcntl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/fmt.h"
#include "base/path.h"
#include "engine/mount_api.h"
#include "engine/mount_build.h"

static int tmpfs_at(const char *at, const char *mode, struct dv_err *err)
{
	dv_autofd int fs = dv_mnt_fsopen("tmpfs");
	dv_autofd int mnt = -1;
	dv_autofd int dir = -1;
	int r = fs < 0 ? fs : dv_mnt_option(fs, "mode", mode);

	if (r == 0)
		mnt = r =
			dv_mnt_create(fs, MOUNT_ATTR_NODEV | MOUNT_ATTR_NOSUID);
	if (r >= 0)
		dir = r = open(at, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (r == -1)
		r = -errno;
	if (r >= 0)
		r = dv_mnt_move(mnt, dir);
	return r < 0 ? dv_err_sys(err, -r, "create tmpfs on %s", at)
		     : dv_take_fd(&mnt);
}

/* Read-only at once, and with all that is mounted below it. */
static int bind_root(const dv_Isolation *iso, struct dv_err *err)
{
	const dv_Root *root = &iso->root;
	uint64_t attr = MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV |
			(iso->root_readonly ? MOUNT_ATTR_RDONLY : 0);
	dv_autofd int tree = dv_mnt_clone(AT_FDCWD, root->dir, true);
	dv_autofd int dir = -1;
	int r = tree < 0 ? tree : 0;

	if (r == 0)
		r = dv_mnt_setattr(tree, attr, 0, true);
	if (r == 0) {
		dir = open(root->at, O_PATH | O_DIRECTORY | O_CLOEXEC);
		r = dir < 0 ? -errno : dv_mnt_move(tree, dir);
	}
	return r < 0 ? dv_err_sys(err, -r, "bind %s", root->dir)
		     : dv_take_fd(&tree);
}

/*
 * Layer names go in as /proc/self/fd/N: no character of a path needs escaping.
 * The upper layer lies in a tmpfs that the overlay itself then covers.
 */
static int overlay_root(const dv_Isolation *iso, struct dv_err *err)
{
	const dv_Root *root = &iso->root;
	char lower[32], upper[40], work[40];
	dv_autofd int tmp = tmpfs_at(root->at, "0700", err);
	dv_autofd int dir = -1;
	dv_autofd int fs = -1;
	dv_autofd int mnt = -1;
	int r;

	if (tmp < 0)
		return tmp;
	dir = open(root->dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (dir < 0)
		return dv_err_sys(err, errno, "open rootfs %s", root->dir);
	if (mkdirat(tmp, "u", 0755) < 0 || mkdirat(tmp, "w", 0755) < 0)
		return dv_err_sys(err, errno, "create overlay layers");
	dv_fmt(lower, sizeof(lower), "/proc/self/fd/%d", dir);
	dv_fmt(upper, sizeof(upper), "/proc/self/fd/%d/u", tmp);
	dv_fmt(work, sizeof(work), "/proc/self/fd/%d/w", tmp);
	fs = r = dv_mnt_fsopen("overlay");
	if (r >= 0)
		r = dv_mnt_option(fs, "lowerdir", lower);
	if (r == 0)
		r = dv_mnt_option(fs, "upperdir", upper);
	if (r == 0)
		r = dv_mnt_option(fs, "workdir", work);
	if (r == 0)
		r = dv_mnt_option(fs, "userxattr", NULL);
	if (r == 0)
		mnt = r =
			dv_mnt_create(fs, MOUNT_ATTR_NODEV | MOUNT_ATTR_NOSUID);
	if (r >= 0)
		r = dv_mnt_move(mnt, tmp);
	if (r < 0) {
		if (dv_path_below(root->at, root->dir))
			dv_err_hint(err, "it contains davit's own directory; "
					 "--rootfs DIR:ro and DIR:rw may");
		dv_err_hint(err, "overlay in a user namespace needs Linux "
				 "5.11; --rootfs DIR:ro and DIR:rw do not");
		return dv_err_sys(err, -r, "overlay on %s", root->dir);
	}
	return dv_take_fd(&mnt);
}

int dv_build_root(const dv_Isolation *iso, struct dv_err *err)
{
	switch (iso->root.kind) {
	case dv_ROOT_BIND:
		return bind_root(iso, err);
	case dv_ROOT_OVERLAY:
		return overlay_root(iso, err);
	case dv_ROOT_TMPFS:
	default:
		return tmpfs_at(iso->root.at, "0755", err);
	}
}

/* pivot_root(".", "."): the old root is stacked on the new one, then cut off.
 */
int dv_build_enter(int root, struct dv_err *err)
{
	if (fchdir(root) < 0 || syscall(SYS_pivot_root, ".", ".") < 0)
		return dv_err_sys(err, errno, "change root");
	if (umount2(".", MNT_DETACH) < 0)
		return dv_err_sys(err, errno, "detach the old root");
	if (chdir("/") < 0)
		return dv_err_sys(err, errno, "enter the new root");
	return 0;
}
