/* SPDX-License-Identifier: MIT */
/*
 * DOC: removing a tree that somebody hostile has filled.
 *
 * Every name is resolved against the fd of the directory it was read from, and
 * directories are opened with O_NOFOLLOW, so no symlink is ever followed and no
 * rename can lead outside. A directory on which something is mounted is refused
 * with -EBUSY before its contents are looked at: what is mounted there is not
 * ours to delete.
 *
 * The walk keeps one open directory per level. Trees can be deeper than any
 * number of descriptors, so at LEVELS_MAX a subdirectory is not entered but
 * moved up into the top directory, under a random name, and found there by the
 * next scan of the top. Each scan brings the whole rest LEVELS_MAX levels up.
 */
#include "base/path.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/def.h"
#include "base/fd.h"
#include "base/fmt.h"
#include "base/random.h"

#define LEVELS_MAX 32
/* A directory that never becomes empty is being filled by someone. */
#define SCANS_MAX 4096

struct level {
	DIR *dir;         /* owned */
	const char *name; /* borrowed from the entry in the level above */
};

struct walk {
	int at; /* borrowed: the top's own directory */
	int n_levels;
	int n_scans;
	struct level level[LEVELS_MAX];
};

static bool is_dots(const char *name)
{
	return name[0] == '.' &&
	       (name[1] == '\0' || (name[1] == '.' && name[2] == '\0'));
}

/* Refuse mount points. Kernels before 5.8 do not tell. */
static int check_not_mount(int fd)
{
	struct statx st;

	if (statx(fd, "", AT_EMPTY_PATH, STATX_TYPE, &st) < 0)
		return errno == ENOSYS ? 0 : -errno;
	if (st.stx_attributes & st.stx_attributes_mask & STATX_ATTR_MOUNT_ROOT)
		return -EBUSY;
	return 0;
}

/* Give the owner rwx on a directory below the top. -EACCES when not ours. */
static int unlock_fd(int fd)
{
	char link[32];
	struct stat st;

	/* Not fchmod(): an O_PATH descriptor has only this way. */
	dv_fmt(link, sizeof(link), "/proc/self/fd/%d", fd);
	if (fstat(fd, &st) < 0 ||
	    chmod(link, (st.st_mode & 07777) | S_IRWXU) < 0)
		return -EACCES;
	return 0;
}

static int unlock_dir(int at, const char *name)
{
	dv_autofd int fd =
		openat(at, name, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

	return fd < 0 ? -errno : unlock_fd(fd);
}

/* Enter directory @name of @at. */
static int push(struct walk *w, int at, const char *name)
{
	int flags = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC;
	dv_autofd int fd = openat(at, name, flags);
	DIR *dir;
	int r;

	if (fd < 0 && errno == EACCES && unlock_dir(at, name) == 0)
		fd = openat(at, name, flags);
	if (fd < 0)
		return -errno;
	r = check_not_mount(fd);
	if (r < 0)
		return r;
	dir = fdopendir(fd);
	if (!dir)
		return -errno;
	dv_take_fd(&fd);
	w->level[w->n_levels++] = (struct level){ dir, name };
	return 0;
}

/* unlinkat() in a level; a directory of ours that forbids it is unlocked. */
static int unlink_in(int at, const char *name, int flags)
{
	if (unlinkat(at, name, flags) == 0)
		return 0;
	if (errno == EACCES && unlock_fd(at) == 0 &&
	    unlinkat(at, name, flags) == 0)
		return 0;
	return errno == ENOENT ? 0 : -errno;
}

/* Move a directory that is too deep into the top directory. */
static int hoist(struct walk *w, int at, const char *name)
{
	int top = dirfd(w->level[0].dir);
	char id[DV_ID_LEN + 1];

	dv_random_id(id);
	if (renameat(at, name, top, id) == 0)
		return 0;
	if (errno == EACCES && unlock_fd(at) == 0 && unlock_fd(top) == 0 &&
	    unlock_dir(at, name) == 0 && renameat(at, name, top, id) == 0)
		return 0;
	return -errno;
}

static int remove_entry(struct walk *w, const struct dirent *e)
{
	int at = dirfd(w->level[w->n_levels - 1].dir);
	int r = -EISDIR;

	if (e->d_type != DT_DIR)
		r = unlink_in(at, e->d_name, 0);
	if (r != -EISDIR)
		return r;
	r = unlink_in(at, e->d_name, AT_REMOVEDIR);
	if (r != -ENOTEMPTY && r != -EEXIST)
		return r;
	if (w->n_levels == LEVELS_MAX)
		return hoist(w, at, e->d_name);
	return push(w, at, e->d_name);
}

/* The last level was read to its end: remove it, or read it once more. */
static int finish_level(struct walk *w)
{
	struct level *l = &w->level[w->n_levels - 1];
	int r;

	if (w->n_levels > 1)
		r = unlink_in(dirfd(l[-1].dir), l->name, AT_REMOVEDIR);
	else
		r = unlinkat(w->at, l->name, AT_REMOVEDIR) < 0 ? -errno : 0;
	if (r == -ENOTEMPTY || r == -EEXIST) {
		rewinddir(l->dir);
		return ++w->n_scans < SCANS_MAX ? 0 : r;
	}
	if (r == 0) {
		closedir(l->dir);
		w->n_levels--;
	}
	return r;
}

static int step(struct walk *w)
{
	struct dirent *e;

	errno = 0;
	e = readdir(w->level[w->n_levels - 1].dir);
	if (!e)
		return errno ? -errno : finish_level(w);
	return is_dots(e->d_name) ? 0 : remove_entry(w, e);
}

int dv_remove_tree(int dirfd, const char *name)
{
	struct walk w = { .at = dirfd };
	int r;

	if (unlinkat(dirfd, name, 0) == 0)
		return 0;
	if (errno != EISDIR)
		return -errno;
	r = push(&w, dirfd, name);
	while (r == 0 && w.n_levels > 0)
		r = step(&w);
	while (w.n_levels > 0)
		closedir(w.level[--w.n_levels].dir);
	return r;
}
