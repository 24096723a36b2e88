/* SPDX-License-Identifier: MIT */
/*
 * DOC: how a root is built
 *
 * The new root is put on a directory that no plan can name as a source
 * (RUNDIR/mnt/root, which no sandbox may see), so that sources can be resolved
 * by their ordinary paths until the very end. Targets are resolved relative to
 * the new root by openat2(RESOLVE_IN_ROOT): neither a symlink in an image nor
 * ".." can lead out of it. Mounts are made detached, get their attributes, and
 * are only then put in place: nothing is ever visible with the wrong ones.
 */
#include "engine/mounts.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>

#include "base/fd.h"
#include "base/fmt.h"
#include "base/path.h"
#include "engine/mount_api.h"
#include "engine/mount_build.h"

/*
 * File systems that show namespaces which, while the root is built, only init
 * is in. The pid namespace is not among them: one is born into it.
 */
static bool of_init(dv_MountKind kind)
{
	return kind == dv_MOUNT_SYSFS || kind == dv_MOUNT_MQUEUE ||
	       kind == dv_MOUNT_CGROUP2;
}

/* File systems that show the namespaces of whoever mounts them. */
static bool of_namespace(dv_MountKind kind)
{
	return of_init(kind) || kind == dv_MOUNT_PROC;
}

/* The file system of that kind that @path lies in, up to mount @end; or NULL.
 */
static const dv_Mount *inside_of(const dv_Isolation *iso, const char *path,
				 const dv_Mount *end)
{
	for (const dv_Mount *fs = iso->mounts; fs < end; fs++)
		if (of_namespace(fs->kind) && dv_path_below(path, fs->target))
			return fs;
	return NULL;
}

static int do_mounts(struct dv_builder *b, bool late, struct dv_err *err)
{
	const dv_Isolation *iso = b->iso;
	int r = 0;

	for (pb_size_t i = 0; r == 0 && i < iso->mounts_count; i++) {
		const dv_Mount *m = &iso->mounts[i];

		if (of_namespace(m->kind) ||
		    (inside_of(iso, m->target, m) != NULL) != late)
			continue;
		r = dv_build_mount(b, m, err);
	}
	return r;
}

/*
 * Make the paths of @iso that lie in @fs (NULL: in none) read-only, or mask
 * them; b->root is the root of @fs then.
 */
static int cover_paths(struct dv_builder *b, const dv_Mount *fs,
		       struct dv_err *err)
{
	const dv_Isolation *iso = b->iso;
	const dv_Mount *end = iso->mounts + iso->mounts_count;
	size_t skip = fs ? strlen(fs->target) : 0;
	int r = 0;

	for (pb_size_t i = 0; r == 0 && i < iso->readonly_count; i++)
		if (inside_of(iso, iso->readonly[i], end) == fs)
			r = dv_build_readonly(b, iso->readonly[i] + skip, err);
	for (pb_size_t i = 0; r == 0 && i < iso->masked_count; i++)
		if (inside_of(iso, iso->masked[i], end) == fs)
			r = dv_build_mask(b, iso->masked[i] + skip, err);
	return r;
}

/* ---- the three parts ---------------------------------------------------- */

void dv_builder_close(struct dv_builder *b)
{
	dv_close(b->null_fd);
	dv_close(b->empty_dir);
	dv_close(b->root);
	dv_near_close(&b->near);
}

/* Where a file system of init waits for its root: <at>.<kind> */
static void waiting_place(char out[PATH_MAX], const dv_Isolation *iso,
			  const dv_Mount *m)
{
	dv_fmt(out, PATH_MAX, "%s.%d", iso->root.at, (int)m->kind);
}

static int prepare_one(struct dv_builder *b, const dv_Mount *m,
		       struct dv_err *err)
{
	char place[PATH_MAX];
	dv_autofd int at = -1;
	int r;

	waiting_place(place, b->iso, m);
	at = open(place, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (at < 0)
		return dv_err_step(err,
				   dv_err_sys(err, errno, "open %s", place),
				   DV_STEP_ROOT);
	b->root = dv_build_fs(m, err);
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
	struct dv_builder b = DV_BUILDER(iso);
	int r = 0;

	for (pb_size_t i = 0; r == 0 && i < iso->mounts_count; i++) {
		const dv_Mount *m = &iso->mounts[i];

		if (!of_init(m->kind))
			continue;
		r = prepare_one(&b, m, err);
		dv_err_wrap(err, r, "mount %s", m->target);
		dv_ctl_mark(ctl, "init: /sys and its masks");
	}
	dv_builder_close(&b);
	return dv_err_step(err, r, DV_STEP_MOUNT);
}

/* /proc with its masks, while init still makes the network. */
static int build_proc(struct dv_builder *b, struct dv_err *err)
{
	const dv_Isolation *iso = b->iso;
	int r = 0;

	for (pb_size_t i = 0; r == 0 && i < iso->mounts_count; i++) {
		const dv_Mount *m = &iso->mounts[i];
		int root = b->root;

		if (m->kind != dv_MOUNT_PROC)
			continue;
		dv_autofd int fs = dv_build_fs(m, err);
		r = fs < 0 ? fs : dv_build_attach(b, fs, m, err);
		b->root = fs;
		if (r == 0)
			r = cover_paths(b, m, err);
		b->root = root;
		dv_err_wrap(err, r, "mount %s", m->target);
	}
	return r;
}

int dv_mounts_build(const dv_Isolation *iso, struct dv_ctl *ctl,
		    struct dv_err *err)
{
	struct dv_builder b = DV_BUILDER(iso);
	mode_t mask = umask(0); /* modes in a plan are meant as they are */
	int r = dv_mnt_private("/");

	if (r < 0)
		dv_err_sys(err, -r, "make mounts private");
	else
		b.root = r = dv_build_root(iso, err);
	dv_err_step(err, r, DV_STEP_ROOT);
	dv_ctl_mark(ctl, "main: root");
	if (r >= 0)
		r = do_mounts(&b, false, err);
	if (r == 0)
		r = cover_paths(&b, NULL, err);
	dv_ctl_mark(ctl, "main: mounts");
	if (r == 0)
		r = build_proc(&b, err);
	dv_err_step(err, r, DV_STEP_MOUNT);
	dv_ctl_mark(ctl, "main: /proc and its masks");
	dv_builder_close(&b);
	umask(mask);
	return r;
}

/* What init has prepared goes to its place, with all that is mounted in it. */
static int move_prepared(struct dv_builder *b, struct dv_err *err)
{
	const dv_Isolation *iso = b->iso;
	char place[PATH_MAX];
	int r = 0;

	for (pb_size_t i = 0; r == 0 && i < iso->mounts_count; i++) {
		const dv_Mount *m = &iso->mounts[i];

		if (!of_init(m->kind))
			continue;
		waiting_place(place, iso, m);
		dv_autofd int mnt = open(place, O_PATH | O_CLOEXEC);
		r = mnt < 0 ? dv_err_sys(err, errno, "open %s", place)
			    : dv_build_attach(b, mnt, m, err);
		dv_err_wrap(err, r, "mount %s", m->target);
	}
	return r;
}

int dv_mounts_enter(const dv_Isolation *iso, struct dv_ctl *ctl,
		    struct dv_err *err)
{
	struct dv_builder b = DV_BUILDER(iso);
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
	dv_ctl_mark(ctl, "main: /sys");
	if (r == 0)
		r = dv_err_step(err, dv_build_enter(b.root, err), DV_STEP_ROOT);
	dv_ctl_mark(ctl, "main: enter the root");
	dv_builder_close(&b);
	umask(mask);
	return r;
}
