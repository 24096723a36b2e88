/* SPDX-License-Identifier: MIT */
#include "engine/mount_api.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/def.h"

static int result(long r)
{
	return r < 0 ? -errno : (int)r;
}

int dv_mnt_clone(int dirfd, const char *path, bool recursive)
{
	unsigned int flags = OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC;

	if (!path[0])
		flags |= AT_EMPTY_PATH;
	if (recursive)
		flags |= AT_RECURSIVE;
	return result(syscall(SYS_open_tree, dirfd, path, flags));
}

int dv_mnt_setattr(int mnt, uint64_t set, uint64_t clear, bool recursive)
{
	struct mount_attr attr = { .attr_set = set, .attr_clr = clear };
	unsigned int flags = AT_EMPTY_PATH | (recursive ? AT_RECURSIVE : 0);

	if (!set && !clear)
		return 0;
	return result(syscall(SYS_mount_setattr, mnt, "", flags, &attr,
			      sizeof(attr)));
}

int dv_mnt_move(int mnt, int at)
{
	return result(
		syscall(SYS_move_mount, mnt, "", at, "",
			MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH));
}

int dv_mnt_fsopen(const char *type)
{
	return result(syscall(SYS_fsopen, type, FSOPEN_CLOEXEC));
}

int dv_mnt_option(int fs, const char *key, const char *value)
{
	unsigned int cmd = value ? FSCONFIG_SET_STRING : FSCONFIG_SET_FLAG;

	return result(syscall(SYS_fsconfig, fs, cmd, key, value, 0));
}

int dv_mnt_options(int fs, const char *options)
{
	char buf[512];
	size_t len = strlen(options);
	int r = 0;

	if (len >= sizeof(buf))
		return -E2BIG;
	memcpy(buf, options, len + 1);
	for (char *opt = buf, *next; r == 0 && opt && *opt; opt = next) {
		char *value;

		next = strchr(opt, ',');
		if (next)
			*next++ = '\0';
		value = strchr(opt, '=');
		if (value)
			*value++ = '\0';
		r = dv_mnt_option(fs, opt, value);
	}
	return r;
}

int dv_mnt_create(int fs, uint64_t attr)
{
	int r = result(
		syscall(SYS_fsconfig, fs, FSCONFIG_CMD_CREATE, NULL, NULL, 0));

	if (r < 0)
		return r;
	return result(syscall(SYS_fsmount, fs, FSMOUNT_CLOEXEC, attr));
}

int dv_mnt_private(const char *path)
{
	struct mount_attr attr = { .propagation = MS_PRIVATE };

	return result(syscall(SYS_mount_setattr, AT_FDCWD, path, AT_RECURSIVE,
			      &attr, sizeof(attr)));
}
