/* SPDX-License-Identifier: MIT */
#include "engine/mount_target.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/fmt.h"
#include "base/path.h"

/* The last component of a clean path; its parent's length in *@dir_len. */
static const char *last_part(const char *path, size_t *dir_len)
{
	const char *slash = strrchr(path, '/');

	*dir_len = slash ? (size_t)(slash - path) : 0;
	return slash ? slash + 1 : path;
}

static int fail(struct dv_err *err, int r, const char *path)
{
	if (r == -EROFS || r == -EACCES)
		dv_err_hint(err, "the directory is missing in a read-only "
				 "root: create it there, or use an overlay");
	return dv_err_sys(err, -r, "create %s", path);
}

/*
 * The directory that holds @path's last component, made level by level: a
 * prefix that exists is found by one openat2(), so the usual case is one call.
 */
static int open_parent(int root, const char *path, struct dv_err *err)
{
	char part[PATH_MAX];
	size_t len = strlen(path), n;
	int fd = -1, r;

	if (len >= sizeof(part))
		return dv_err_sys(err, ENAMETOOLONG, "path %s", path);
	last_part(path, &n);
	memcpy(part, path, n);
	part[n] = '\0';
	fd = dv_open_in_root(root, n ? part : "/",
			     O_PATH | O_DIRECTORY | O_CLOEXEC, 0);
	if (fd != -ENOENT)
		return fd < 0 ? dv_err_sys(err, -fd, "open %s", part) : fd;
	for (size_t i = 1; i <= n; i++) {
		if (path[i] != '/' && i != n)
			continue;
		memcpy(part, path, i);
		part[i] = '\0';
		r = dv_target_open(root, NULL, part, true, err);
		if (r < 0)
			return r;
		dv_close(fd);
		fd = r;
	}
	return fd;
}

/*
 * One level: @name in @parent, as directory or file. Returns an fd to mount on:
 * what was just made there is no symlink and needs no second look.
 */
static int make_one(int parent, const char *name, bool dir)
{
	int fd, flags = O_CLOEXEC | O_NOFOLLOW;

	if (dir && mkdirat(parent, name, 0755) < 0)
		return -errno;
	flags |= dir ? O_PATH | O_DIRECTORY : O_WRONLY | O_CREAT | O_EXCL;
	fd = openat(parent, name, flags, 0644);
	return fd < 0 ? -errno : fd;
}

/* ---- the directory that was used last ------------------------------------ */

void dv_near_close(struct dv_near *near)
{
	dv_close(near->fd);
	*near = (struct dv_near)DV_NEAR_INIT;
}

/* Is it the directory of @path? */
static bool is_near(const struct dv_near *near, const char *path, size_t len)
{
	return near && near->fd >= 0 && near->len == len &&
	       memcmp(near->path, path, len) == 0;
}

/* The parent of @path's last component; borrowed from @near. */
static int nearest(struct dv_near *near, int root, const char *path,
		   struct dv_err *err)
{
	size_t len;
	int fd;

	last_part(path, &len);
	if (is_near(near, path, len))
		return near->fd;
	fd = open_parent(root, path, err);
	if (fd < 0)
		return fd;
	dv_near_close(near);
	*near = (struct dv_near){ fd, path, len };
	return fd;
}

/* ---- targets ------------------------------------------------------------- */

int dv_target_open(int root, struct dv_near *near, const char *path, bool dir,
		   struct dv_err *err)
{
	struct dv_near own = DV_NEAR_INIT;
	size_t dir_len;
	const char *name = last_part(path, &dir_len);
	struct stat st;
	int fd, r;

	/* In a directory that we fill it is not there, most likely. */
	if (is_near(near, path, dir_len)) {
		fd = make_one(near->fd, name, dir);
		if (fd != -EEXIST)
			return fd < 0 ? fail(err, fd, path) : fd;
	}
	fd = dv_open_in_root(root, path,
			     O_PATH | O_CLOEXEC | (dir ? O_DIRECTORY : 0), 0);
	if (fd >= 0 && !dir && fstat(fd, &st) == 0 && S_ISDIR(st.st_mode)) {
		dv_close(fd);
		fd = -EISDIR;
	}
	if (fd >= 0)
		return fd;
	if (fd != -ENOENT)
		return dv_err_sys(err, -fd, "open %s", path);
	if (dir_len == 0) { /* directly below the root: no parent to find */
		r = make_one(root, name, dir);
	} else {
		int parent = nearest(near ? near : &own, root, path, err);

		if (parent < 0)
			return parent;
		r = make_one(parent, name, dir);
		dv_near_close(&own);
	}
	/* A dangling symlink is there and is not: do not follow it. */
	return r < 0 ? fail(err, r, path) : r;
}

int dv_target_symlink(int root, struct dv_near *near, const char *path,
		      const char *text, struct dv_err *err)
{
	struct dv_near own = DV_NEAR_INIT;
	size_t dir_len;
	const char *name = last_part(path, &dir_len);
	int parent = nearest(near ? near : &own, root, path, err);
	int r = parent < 0 ? parent : 0;

	if (r == 0 && symlinkat(text, parent, name) < 0 && errno != EEXIST)
		r = fail(err, -errno, path);
	dv_near_close(&own);
	return r;
}

int dv_target_chmod(int fd, mode_t mode)
{
	char name[32];

	/* fchmodat2() is newer than what we support; this works everywhere
	 * that has the host's /proc, and we still have it here. */
	dv_fmt(name, sizeof(name), "/proc/self/fd/%d", fd);
	return chmod(name, mode);
}
