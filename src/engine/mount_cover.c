/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <sys/mount.h>
#include <sys/stat.h>

#include "base/fd.h"
#include "base/path.h"
#include "engine/mount_api.h"
#include "engine/mount_build.h"

static int mask_dir(struct dv_builder *b, int at)
{
	int r;

	if (b->empty_dir < 0) {
		dv_autofd int fs = dv_mnt_fsopen("tmpfs");
		dv_autofd int mnt = -1;

		r = fs < 0 ? fs : dv_mnt_option(fs, "size", "4k");
		if (r == 0)
			mnt = r = dv_mnt_create(fs, MOUNT_ATTR_RDONLY |
							    MOUNT_ATTR_NODEV |
							    MOUNT_ATTR_NOSUID |
							    MOUNT_ATTR_NOEXEC);
		if (r >= 0)
			r = dv_mnt_move(mnt, at);
		if (r == 0)
			b->empty_dir = dv_take_fd(&mnt);
		return r;
	}
	dv_autofd int copy = dv_mnt_clone(b->empty_dir, "", false);
	return copy < 0 ? copy : dv_mnt_move(copy, at);
}

static int mask_file(struct dv_builder *b, int at)
{
	dv_autofd int copy = -1;

	if (b->null_fd < 0)
		b->null_fd = open("/dev/null", O_PATH | O_CLOEXEC);
	if (b->null_fd < 0)
		return -errno;
	copy = dv_mnt_clone(b->null_fd, "", false);
	return copy < 0 ? copy : dv_mnt_move(copy, at);
}

int dv_build_mask(struct dv_builder *b, const char *path, struct dv_err *err)
{
	struct stat st;
	dv_autofd int at =
		dv_open_in_root(b->root, path, O_PATH | O_CLOEXEC, 0);
	int r;

	if (at == -ENOENT || at == -ENOTDIR)
		return 0;
	if (at < 0)
		return dv_err_sys(err, -at, "mask %s", path);
	if (fstat(at, &st) < 0)
		return dv_err_sys(err, errno, "mask %s", path);
	r = S_ISDIR(st.st_mode) ? mask_dir(b, at) : mask_file(b, at);
	return r < 0 ? dv_err_sys(err, -r, "mask %s", path) : 0;
}

int dv_build_readonly(struct dv_builder *b, const char *path,
		      struct dv_err *err)
{
	dv_autofd int at =
		dv_open_in_root(b->root, path, O_PATH | O_CLOEXEC, 0);
	dv_autofd int copy = -1;
	int r;

	if (at == -ENOENT || at == -ENOTDIR)
		return 0;
	r = at < 0 ? at : 0;
	if (r == 0)
		copy = r = dv_mnt_clone(at, "", true);
	if (r >= 0)
		r = dv_mnt_setattr(copy, MOUNT_ATTR_RDONLY, 0, true);
	if (r == 0)
		r = dv_mnt_move(copy, at);
	return r < 0 ? dv_err_sys(err, -r, "make %s read-only", path) : 0;
}
