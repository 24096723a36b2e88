/* SPDX-License-Identifier: MIT */
/*
 * DOC: how a root is built
 *
 * The new root is put on a directory that no plan can name as a source
 * (RUNDIR/<id>, private to the keeper), so that sources can be resolved by
 * their ordinary paths until the very end. Targets are resolved relative to the
 * new root by openat2(RESOLVE_IN_ROOT): neither a symlink in an image nor ".."
 * can lead out of it. Mounts are made detached, get their attributes, and are
 * only then put in place: nothing is ever visible with the wrong ones.
 */
#include "engine/mounts.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/def.h"
#include "base/fd.h"
#include "base/fmt.h"
#include "base/path.h"
#include "engine/mount_api.h"
#include "engine/mount_target.h"

/* Masks are clones of the first one made of each kind. */
struct builder {
	const dv_Isolation *iso;
	int root;	/* the new root, O_PATH */
	int null_fd;	/* host's /dev/null, O_PATH */
	int empty_dir;	/* first masked directory: an empty read-only tmpfs */
};

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

/* ---- the mounts of a plan -------------------------------------------- */

static int bind_mount(struct builder *b, const dv_Mount *m, struct dv_err *err)
{
	struct stat st;
	dv_autofd int tree = dv_mnt_clone(AT_FDCWD, m->source,
					  m->flags & dv_MF_RECURSIVE);
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
	at = dv_target_open(b->root, m->target, S_ISDIR(st.st_mode), err);
	if (at < 0)
		return at;
	r = dv_mnt_move(tree, at);
	return r < 0 ? dv_err_sys(err, -r, "attach %s", m->source) : 0;
}

static const char *const fs_types[] = {
	[dv_MOUNT_BIND] = NULL,	      [dv_MOUNT_TMPFS] = "tmpfs",
	[dv_MOUNT_PROC] = "proc",     [dv_MOUNT_SYSFS] = "sysfs",
	[dv_MOUNT_DEVPTS] = "devpts", [dv_MOUNT_MQUEUE] = "mqueue",
	[dv_MOUNT_SYMLINK] = NULL,    [dv_MOUNT_DIR] = NULL,
	[dv_MOUNT_CGROUP2] = "cgroup2",
};

/* A new file system, detached, with the flags and options of @m. An fd. */
static int create_fs(const dv_Mount *m, struct dv_err *err)
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
		dv_err_hint(err, "parts of the host's %s are hidden from us "
				 "(are we in a container?); the kernel refuses "
				 "a new one then",
			    type);
	return r < 0 ? dv_err_sys(err, -r, "create %s", type) : r;
}

static int attach(struct builder *b, int mnt, const dv_Mount *m,
		  struct dv_err *err)
{
	dv_autofd int at = dv_target_open(b->root, m->target, true, err);
	int r = at < 0 ? at : dv_mnt_move(mnt, at);

	return at >= 0 && r < 0 ? dv_err_sys(err, -r, "attach") : r;
}

static int new_fs(struct builder *b, const dv_Mount *m, struct dv_err *err)
{
	dv_autofd int mnt = create_fs(m, err);

	return mnt < 0 ? mnt : attach(b, mnt, m, err);
}

static int make_dir(struct builder *b, const dv_Mount *m, struct dv_err *err)
{
	dv_autofd int fd = dv_target_open(b->root, m->target, true, err);

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

static int one_mount(struct builder *b, const dv_Mount *m, struct dv_err *err)
{
	int r;

	if (m->kind == dv_MOUNT_BIND)
		r = bind_mount(b, m, err);
	else if (m->kind == dv_MOUNT_SYMLINK)
		r = dv_target_symlink(b->root, m->target, m->source, err);
	else if (m->kind == dv_MOUNT_DIR)
		r = make_dir(b, m, err);
	else
		r = new_fs(b, m, err);
	return r < 0 ? dv_err_wrap(err, r, "mount %s", m->target) : 0;
}

/* ---- masks ------------------------------------------------------------ */

static int mask_dir(struct builder *b, int at)
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

static int mask_file(struct builder *b, int at)
{
	dv_autofd int copy = dv_mnt_clone(b->null_fd, "", false);

	return copy < 0 ? copy : dv_mnt_move(copy, at);
}

static int mask_path(struct builder *b, const char *path, struct dv_err *err)
{
	struct stat st;
	dv_autofd int at = dv_open_in_root(b->root, path, O_PATH | O_CLOEXEC,
					   0);
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

static int readonly_path(struct builder *b, const char *path,
			 struct dv_err *err)
{
	dv_autofd int at = dv_open_in_root(b->root, path, O_PATH | O_CLOEXEC,
					   0);
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

/* ---- the root ---------------------------------------------------------- */

static int tmpfs_at(const char *at, const char *mode, struct dv_err *err)
{
	dv_autofd int fs = dv_mnt_fsopen("tmpfs");
	dv_autofd int mnt = -1;
	dv_autofd int dir = -1;
	int r = fs < 0 ? fs : dv_mnt_option(fs, "mode", mode);

	if (r == 0)
		mnt = r = dv_mnt_create(fs,
					MOUNT_ATTR_NODEV | MOUNT_ATTR_NOSUID);
	if (r >= 0)
		dir = r = open(at, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (r == -1)
		r = -errno;
	if (r >= 0)
		r = dv_mnt_move(mnt, dir);
	return r < 0 ? dv_err_sys(err, -r, "create tmpfs on %s", at) :
		       dv_take_fd(&mnt);
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
	return r < 0 ? dv_err_sys(err, -r, "bind %s", root->dir) :
		       dv_take_fd(&tree);
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
		mnt = r = dv_mnt_create(fs,
					MOUNT_ATTR_NODEV | MOUNT_ATTR_NOSUID);
	if (r >= 0)
		r = dv_mnt_move(mnt, tmp);
	if (r < 0) {
		dv_err_hint(err, "overlay in a user namespace needs Linux "
				 "5.11; --rootfs DIR:ro and DIR:rw do not");
		return dv_err_sys(err, -r, "overlay on %s", root->dir);
	}
	return dv_take_fd(&mnt);
}

static int build_root(const dv_Isolation *iso, struct dv_err *err)
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

/* pivot_root(".", "."): the old root is stacked on the new one, then cut off. */
static int enter_root(int root, struct dv_err *err)
{
	if (fchdir(root) < 0 || syscall(SYS_pivot_root, ".", ".") < 0)
		return dv_err_sys(err, errno, "change root");
	if (umount2(".", MNT_DETACH) < 0)
		return dv_err_sys(err, errno, "detach the old root");
	if (chdir("/") < 0)
		return dv_err_sys(err, errno, "enter the new root");
	return 0;
}

/* File systems that show the namespaces of whoever mounts them. */
static bool of_namespace(dv_MountKind kind)
{
	return kind == dv_MOUNT_PROC || kind == dv_MOUNT_SYSFS ||
	       kind == dv_MOUNT_MQUEUE || kind == dv_MOUNT_CGROUP2;
}

/* The file system of that kind that @path lies in, up to mount @end; or NULL. */
static const dv_Mount *inside_of(const dv_Isolation *iso, const char *path,
				 const dv_Mount *end)
{
	for (const dv_Mount *fs = iso->mounts; fs < end; fs++)
		if (of_namespace(fs->kind) && dv_path_below(path, fs->target))
			return fs;
	return NULL;
}

static int do_mounts(struct builder *b, bool late, struct dv_err *err)
{
	const dv_Isolation *iso = b->iso;
	int r = 0;

	for (pb_size_t i = 0; r == 0 && i < iso->mounts_count; i++) {
		const dv_Mount *m = &iso->mounts[i];

		if (of_namespace(m->kind) ||
		    (inside_of(iso, m->target, m) != NULL) != late)
			continue;
		r = one_mount(b, m, err);
	}
	return r;
}

/*
 * Make the paths of @iso that lie in @fs (NULL: in none) read-only, or mask
 * them; b->root is the root of @fs then.
 */
static int cover_paths(struct builder *b, const dv_Mount *fs,
		       struct dv_err *err)
{
	const dv_Isolation *iso = b->iso;
	const dv_Mount *end = iso->mounts + iso->mounts_count;
	size_t skip = fs ? strlen(fs->target) : 0;
	int r = 0;

	for (pb_size_t i = 0; r == 0 && i < iso->readonly_count; i++)
		if (inside_of(iso, iso->readonly[i], end) == fs)
			r = readonly_path(b, iso->readonly[i] + skip, err);
	for (pb_size_t i = 0; r == 0 && i < iso->masked_count; i++)
		if (inside_of(iso, iso->masked[i], end) == fs)
			r = mask_path(b, iso->masked[i] + skip, err);
	return r;
}

/* ---- the three parts ------------------------------------------------------ */

static int open_null(struct builder *b, struct dv_err *err)
{
	if (b->iso->masked_count == 0)
		return 0;
	b->null_fd = open("/dev/null", O_PATH | O_CLOEXEC);
	return b->null_fd < 0 ? dv_err_sys(err, errno, "open /dev/null") : 0;
}

static void close_builder(struct builder *b)
{
	dv_close(b->null_fd);
	dv_close(b->empty_dir);
	dv_close(b->root);
}

/* Where the n-th file system of init waits for its root: <at>.<n> */
static void waiting_place(char out[PATH_MAX], const dv_Isolation *iso,
			  const dv_Mount *m)
{
	dv_fmt(out, PATH_MAX, "%s.%d", iso->root.at, (int)m->kind);
}

static int prepare_one(struct builder *b, const dv_Mount *m,
		       struct dv_err *err)
{
	char place[PATH_MAX];
	dv_autofd int at = -1;
	int r;

	waiting_place(place, b->iso, m);
	at = open(place, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (at < 0)
		return dv_err_sys(err, errno, "open %s", place);
	b->root = create_fs(m, err);
	if (b->root < 0)
		return b->root;
	r = dv_mnt_move(b->root, at);
	if (r < 0)
		return dv_err_sys(err, -r, "attach to %s", place);
	r = cover_paths(b, m, err);
	b->root = dv_close(b->root);
	return r;
}

int dv_mounts_prepare(const dv_Isolation *iso, struct dv_ctl *ctl,
		      struct dv_err *err)
{
	struct builder b = { iso, -1, -1, -1 };
	int r = open_null(&b, err);

	for (pb_size_t i = 0; r == 0 && i < iso->mounts_count; i++) {
		const dv_Mount *m = &iso->mounts[i];

		if (!of_namespace(m->kind))
			continue;
		r = prepare_one(&b, m, err);
		dv_err_wrap(err, r, "mount %s", m->target);
		dv_ctl_mark(ctl, m->kind == dv_MOUNT_PROC ?
					 "init: /proc and its masks" :
					 "init: /sys and its masks");
	}
	close_builder(&b);
	return dv_err_step(err, r, DV_STEP_MOUNT);
}

int dv_mounts_build(const dv_Isolation *iso, struct dv_ctl *ctl,
		    struct dv_err *err)
{
	struct builder b = { iso, -1, -1, -1 };
	mode_t mask = umask(0); /* modes in a plan are meant as they are */
	int r = dv_mnt_private("/");

	if (r < 0)
		dv_err_sys(err, -r, "make mounts private");
	else
		b.root = r = build_root(iso, err);
	dv_err_step(err, r, DV_STEP_ROOT);
	dv_ctl_mark(ctl, "helper: root");
	if (r >= 0)
		r = do_mounts(&b, false, err);
	if (r == 0)
		r = open_null(&b, err);
	if (r == 0)
		r = cover_paths(&b, NULL, err);
	dv_err_step(err, r, DV_STEP_MOUNT);
	dv_ctl_mark(ctl, "helper: mounts");
	close_builder(&b);
	umask(mask);
	return r;
}

/* What init has prepared goes to its place, with all that is mounted in it. */
static int move_prepared(struct builder *b, struct dv_err *err)
{
	const dv_Isolation *iso = b->iso;
	char place[PATH_MAX];
	int r = 0;

	for (pb_size_t i = 0; r == 0 && i < iso->mounts_count; i++) {
		const dv_Mount *m = &iso->mounts[i];

		if (!of_namespace(m->kind))
			continue;
		waiting_place(place, iso, m);
		dv_autofd int mnt = open(place, O_PATH | O_CLOEXEC);
		r = mnt < 0 ? dv_err_sys(err, errno, "open %s", place) :
			      attach(b, mnt, m, err);
		dv_err_wrap(err, r, "mount %s", m->target);
	}
	return r;
}

int dv_mounts_enter(const dv_Isolation *iso, struct dv_ctl *ctl,
		    struct dv_err *err)
{
	struct builder b = { iso, -1, -1, -1 };
	mode_t mask = umask(0);
	int r;

	b.root = open(iso->root.at, O_PATH | O_DIRECTORY | O_CLOEXEC);
	r = b.root < 0 ? dv_err_sys(err, errno, "open %s", iso->root.at) : 0;
	if (r == 0)
		r = move_prepared(&b, err);
	if (r == 0)
		r = do_mounts(&b, true, err);
	if (r == 0 && iso->root_readonly) {
		r = dv_mnt_setattr(b.root, MOUNT_ATTR_RDONLY, 0, false);
		if (r < 0)
			dv_err_sys(err, -r, "make the root read-only");
	}
	dv_err_step(err, r, DV_STEP_MOUNT);
	dv_ctl_mark(ctl, "main: /proc and /sys");
	if (r == 0)
		r = dv_err_step(err, enter_root(b.root, err), DV_STEP_ROOT);
	dv_ctl_mark(ctl, "main: enter the root");
	close_builder(&b);
	umask(mask);
	return r;
}
