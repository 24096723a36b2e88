/* SPDX-License-Identifier: MIT */
#include "engine/cgroup_priv.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/fmt.h"
#include "base/random.h"

/* Deeper trees of groups made by a command stay: a descriptor per level. */
enum { DEPTH_MAX = 64 };

bool dv_cg_is_ours(const char *name)
{
	const size_t n = strlen(DV_CG_PREFIX);

	return strncmp(name, DV_CG_PREFIX, n) == 0 &&
	       strspn(name + n, "0123456789abcdef") == DV_ID_LEN &&
	       name[n + DV_ID_LEN] == '\0';
}

static int rmdir_tree(int dirfd, const char *name, int depth);

/* How many groups below @name were removed. */
static int rmdir_children(int dirfd, const char *name, int depth)
{
	struct dirent *e;
	int n = 0, fd = openat(dirfd, name,
			       O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	DIR *d = fd < 0 ? NULL : fdopendir(fd);

	if (!d) {
		dv_close(fd);
		return 0;
	}
	while ((e = readdir(d))) {
		if (e->d_type == DT_DIR && strcmp(e->d_name, ".") != 0 &&
		    strcmp(e->d_name, "..") != 0)
			n += rmdir_tree(fd, e->d_name, depth - 1) == 0;
	}
	closedir(d);
	return n;
}

static int rmdir_tree(int dirfd, const char *name, int depth)
{
	struct stat st;

	if (unlinkat(dirfd, name, AT_REMOVEDIR) == 0 || errno == ENOENT)
		return 0;
	if (errno != EBUSY || depth == 0)
		return -errno;
	/* Two links: nothing below, so processes are what keeps it busy. */
	if (fstatat(dirfd, name, &st, AT_SYMLINK_NOFOLLOW) < 0 ||
	    st.st_nlink <= 2 || rmdir_children(dirfd, name, depth) == 0)
		return -EBUSY;
	if (unlinkat(dirfd, name, AT_REMOVEDIR) == 0 || errno == ENOENT)
		return 0;
	return -errno;
}

int dv_cg_rmdir(int dirfd, const char *name)
{
	return rmdir_tree(dirfd, name, DEPTH_MAX);
}

/* @path is just what the kernel calls the directory open as @fd. */
static int check_canonical(int fd, const char *path)
{
	char link[32], real[PATH_MAX];
	ssize_t n;

	dv_fmt(link, sizeof(link), "/proc/self/fd/%d", fd);
	n = readlink(link, real, sizeof(real));
	if (n < 0)
		return -errno;
	return (size_t)n == strlen(path) && memcmp(real, path, (size_t)n) == 0
		       ? 0
		       : -EINVAL;
}

/* CGROUP_SUPER_MAGIC or the one of v2, when both are in one such hierarchy. */
static int64_t check_hierarchy(int parent, int fd)
{
	struct statfs fs, parent_fs;
	struct stat st, parent_st;

	if (fstatfs(fd, &fs) < 0 || fstatfs(parent, &parent_fs) < 0 ||
	    fstat(fd, &st) < 0 || fstat(parent, &parent_st) < 0)
		return -errno;
	if (fs.f_type != CGROUP_SUPER_MAGIC && fs.f_type != CGROUP2_SUPER_MAGIC)
		return -EINVAL;
	/* Else it is a mount point, and the group is a whole hierarchy. */
	if (fs.f_type != parent_fs.f_type || st.st_dev != parent_st.st_dev)
		return -EINVAL;
	return fs.f_type;
}

static int sweep_group(int parent, int fd, const char *name)
{
	const int64_t magic = check_hierarchy(parent, fd);

	if (magic < 0)
		return (int)magic;
	if (magic == CGROUP2_SUPER_MAGIC) {
		dv_cg2_kill(fd);
		/* Killed processes leave a frozen group too, others need it. */
		dv_write_file(fd, "cgroup.freeze", "0", 1);
	}
	return dv_cg_rmdir(parent, name);
}

int dv_cgroup_sweep(const char *dir)
{
	const char *name = strrchr(dir, '/');
	dv_autofd int fd = -1, parent = -1;
	char up[PATH_MAX];
	int r;

	if (dir[0] != '/' || name == dir || !dv_cg_is_ours(name + 1))
		return -EINVAL;
	if ((size_t)dv_fmt(up, sizeof(up), "%.*s", (int)(name - dir), dir) >=
	    sizeof(up))
		return -EINVAL;
	parent = open(up, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (parent < 0)
		return errno == ENOENT ? 0 : -errno;
	r = check_canonical(parent, up);
	if (r < 0)
		return r;
	fd = openat(parent, name + 1,
		    O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0 && errno == ENOTDIR)
		return -EINVAL; /* a symlink or a file */
	if (fd < 0)
		return errno == ENOENT ? 0 : -errno;
	return sweep_group(parent, fd, name + 1);
}
