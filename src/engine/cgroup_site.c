/* SPDX-License-Identifier: MIT */
#include "engine/cgroup_priv.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/path.h"

/* The inode number that the kernel gives to the first cgroup namespace. */
static const ino_t first_ns = 0xeffffffb;
/* The root of a whole hierarchy; a part of one has another number. */
static const ino_t first_ino = 1;

int dv_cg_site_open(struct dv_cg_site *s, struct dv_err *err)
{
	struct stat st;
	size_t len;
	int r;

	*s = (struct dv_cg_site){ 0 };
	r = dv_read_file(AT_FDCWD, "/proc/self/cgroup", DV_CG_FILE_MAX,
			 &s->self_text, &len);
	if (r < 0)
		return dv_err_sys(err, -r, "read /proc/self/cgroup");
	r = dv_cg_parse_self(s->self_text, len, &s->self);
	if (r < 0)
		return dv_err_sys(err, -r, "parse /proc/self/cgroup");
	s->init_ns =
		stat("/proc/self/ns/cgroup", &st) == 0 && st.st_ino == first_ns;
	return 0;
}

void dv_cg_site_close(struct dv_cg_site *s)
{
	free(s->self_text);
	free(s->mounts_text);
	*s = (struct dv_cg_site){ 0 };
}

static bool is_mount_of(const char *dir, enum dv_cg_tree tree)
{
	struct statfs fs;

	if (statfs(dir, &fs) < 0)
		return false;
	return fs.f_type ==
	       (tree == DV_CG_V2 ? CGROUP2_SUPER_MAGIC : CGROUP_SUPER_MAGIC);
}

/*
 * The root of the whole hierarchy is mounted at @dir, and not by a symlink: the
 * paths that are recorded must be canonical. Only in the first namespace does
 * /proc/self/cgroup count from that root.
 */
static bool is_whole_tree(const char *dir, enum dv_cg_tree tree)
{
	struct stat st;

	return is_mount_of(dir, tree) && lstat(dir, &st) == 0 &&
	       S_ISDIR(st.st_mode) && st.st_ino == first_ino;
}

/* The usual mount points, most likely first. */
static bool usual_mount(struct dv_cg_site *s, enum dv_cg_tree tree, char *out,
			size_t size)
{
	char name[128];
	const struct dv_str *ctls = &s->self.ctls[tree];

	if (tree == DV_CG_V2) {
		return (dv_path_join(out, size, "/sys/fs/cgroup", "") == 0 &&
			is_whole_tree(out, tree)) ||
		       (dv_path_join(out, size, "/sys/fs/cgroup", "unified") ==
				0 &&
			is_whole_tree(out, tree));
	}
	if (ctls->len >= sizeof(name))
		return false;
	memcpy(name, ctls->ptr, ctls->len);
	name[ctls->len] = '\0';
	return dv_path_join(out, size, "/sys/fs/cgroup", name) == 0 &&
	       is_whole_tree(out, tree);
}

static int append(char *out, size_t size, struct dv_str rel)
{
	const size_t n = strlen(out);

	if (rel.len <= 1) /* "/" */
		return 0;
	if (n + rel.len + 1 > size)
		return -ENAMETOOLONG;
	memcpy(out + n, rel.ptr, rel.len);
	out[n + rel.len] = '\0';
	return 0;
}

static int load_mounts(struct dv_cg_site *s)
{
	if (s->mounts_text)
		return 0;
	/* A host full of containers has thousands of mounts. */
	return dv_read_file(AT_FDCWD, "/proc/self/mountinfo", 16 << 20,
			    &s->mounts_text, &s->mounts_len);
}

int dv_cg_site_own(struct dv_cg_site *s, enum dv_cg_tree tree, char *out,
		   size_t size)
{
	const struct dv_str own = s->self.path[tree];
	size_t len;
	int r;

	if (!own.ptr)
		return -ENOENT;
	if (s->init_ns && usual_mount(s, tree, out, size))
		return append(out, size, own);
	r = load_mounts(s);
	if (r < 0)
		return r;
	len = s->mounts_len;
	do {
		r = dv_cg_parse_mounts(s->mounts_text, &len, tree, own, out,
				       size);
	} while (r == 0 && !is_mount_of(out, tree)); /* covered */
	return r;
}

void dv_cg_hint_delegate(struct dv_err *err)
{
	if (geteuid() == 0)
		dv_err_hint(err, "run it under: systemd-run --scope "
				 "-p Delegate=yes davit ...");
	else
		dv_err_hint(err, "run as root, or under: systemd-run --user "
				 "--scope -p Delegate=yes davit ...");
}

int dv_cg_writable(const char *dir, const char *file, struct dv_err *err)
{
	char path[PATH_MAX];
	int r = dv_path_join(path, sizeof(path), dir, file);

	if (r < 0)
		return dv_err_sys(err, -r, "group %s", dir);
	if (faccessat(AT_FDCWD, path, W_OK, AT_EACCESS) == 0)
		return 0;
	if (errno == EROFS)
		return dv_err_set(err, EOPNOTSUPP, DV_UNIMPLEMENTED,
				  "%s is mounted read-only", dir);
	if (errno != EACCES && errno != EPERM)
		return dv_err_sys(err, errno, "group %s", path);
	return dv_err_set(err, EACCES, DV_DENIED,
			  "this user may not write to %s", path);
}
