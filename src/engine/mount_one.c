/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/fmt.h"
#include "engine/mount_api.h"
#include "engine/mount_build.h"
#include "engine/mount_target.h"

static uint64_t attr_of(uint32_t flags)
{
	uint64_t attr = 0;

	if (flags & dv_MF_RO)
		attr |= MOUNT_ATTR_RDONLY;
	if (flags & dv_MF_NOSUID)
		attr |= MOUNT_ATTR_NOSUID;
	if (flags & dv_MF_NODEV)
		attr |= MOUNT_ATTR_NODEV;
	if (flags & dv_MF_NOEXEC)
		attr |= MOUNT_ATTR_NOEXEC;
	return attr;
}

static int bind_mount(struct dv_builder *b, const dv_Mount *m,
		      struct dv_err *err)
{
	struct stat st;
	dv_autofd int tree =
		dv_mnt_clone(AT_FDCWD, m->source, m->flags & dv_MF_RECURSIVE);
	dv_autofd int at = -1;
	int r;

	if (tree < 0) {
		if (tree == -ENOENT && (m->flags & dv_MF_OPTIONAL))
			return 0;
		return dv_err_sys(err, -tree, "source %s", m->source);
	}
	r = dv_mnt_setattr(tree, attr_of(m->flags), 0,
			   m->flags & dv_MF_RECURSIVE);
	if (r < 0)
		return dv_err_sys(err, -r, "set mount flags");
	if (fstat(tree, &st) < 0)
		return dv_err_sys(err, errno, "stat %s", m->source);
	at = dv_target_open(b->root, &b->near, m->target, S_ISDIR(st.st_mode),
			    err);
	if (at < 0)
		return at;
	r = dv_mnt_move(tree, at);
	if (S_ISDIR(st.st_mode))
		dv_near_close(&b->near);
	return r < 0 ? dv_err_sys(err, -r, "attach %s", m->source) : 0;
}

static const char *const fs_types[] = {
	[dv_MOUNT_BIND] = NULL,         [dv_MOUNT_TMPFS] = "tmpfs",
	[dv_MOUNT_PROC] = "proc",       [dv_MOUNT_SYSFS] = "sysfs",
	[dv_MOUNT_DEVPTS] = "devpts",   [dv_MOUNT_MQUEUE] = "mqueue",
	[dv_MOUNT_SYMLINK] = NULL,      [dv_MOUNT_DIR] = NULL,
	[dv_MOUNT_CGROUP2] = "cgroup2",
};

/* A new file system, detached, with the flags and options of @m. An fd. */
int dv_build_fs(const dv_Mount *m, struct dv_err *err)
{
	const char *type = fs_types[m->kind];
	char mode[16];
	dv_autofd int fs = dv_mnt_fsopen(type);
	int r = fs < 0 ? fs : 0;

	if (r == 0 && m->kind == dv_MOUNT_TMPFS) {
		dv_fmt(mode, sizeof(mode), "%o", m->mode ? m->mode : 0755);
		r = dv_mnt_option(fs, "mode", mode);
	}
	if (r == 0 && m->options)
		r = dv_mnt_options(fs, m->options);
	if (r == 0)
		r = dv_mnt_create(fs, attr_of(m->flags));
	if (r == -EPERM && m->kind != dv_MOUNT_TMPFS)
		dv_err_hint(err,
			    "parts of the host's %s are hidden from us "
			    "(are we in a container?); the kernel refuses "
			    "a new one then",
			    type);
	return r < 0 ? dv_err_sys(err, -r, "create %s", type) : r;
}

int dv_build_attach(struct dv_builder *b, int mnt, const dv_Mount *m,
		    struct dv_err *err)
{
	dv_autofd int at =
		dv_target_open(b->root, &b->near, m->target, true, err);
	int r = at < 0 ? at : dv_mnt_move(mnt, at);

	dv_near_close(&b->near);
	return at >= 0 && r < 0 ? dv_err_sys(err, -r, "attach") : r;
}

static int new_fs(struct dv_builder *b, const dv_Mount *m, struct dv_err *err)
{
	dv_autofd int mnt = dv_build_fs(m, err);

	return mnt < 0 ? mnt : dv_build_attach(b, mnt, m, err);
}

static int make_dir(struct dv_builder *b, const dv_Mount *m, struct dv_err *err)
{
	dv_autofd int fd =
		dv_target_open(b->root, &b->near, m->target, true, err);

	if (fd < 0)
		return fd;
	/* O_PATH: go through the descriptor's magic name, not the path. */
	if (m->mode && dv_target_chmod(fd, m->mode) < 0)
		return dv_err_sys(err, errno, "set mode %o", m->mode);
	if ((m->flags & dv_MF_OWNER) &&
	    fchownat(fd, "", m->uid, m->gid, AT_EMPTY_PATH) < 0)
		return dv_err_sys(err, errno, "give to uid %u", m->uid);
	return 0;
}

int dv_build_mount(struct dv_builder *b, const dv_Mount *m, struct dv_err *err)
{
	int r;

	if (m->kind == dv_MOUNT_BIND)
		r = bind_mount(b, m, err);
	else if (m->kind == dv_MOUNT_SYMLINK)
		r = dv_target_symlink(b->root, &b->near, m->target, m->source,
				      err);
	else if (m->kind == dv_MOUNT_DIR)
		r = make_dir(b, m, err);
	else
		r = new_fs(b, m, err);
	return r < 0 ? dv_err_wrap(err, r, "mount %s", m->target) : 0;
}
