/* SPDX-License-Identifier: MIT */
#include "engine/cgroup_priv.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/fmt.h"
#include "base/path.h"

/* The file without which a kernel has the hierarchy but not this limit. */
static const char *probe_file(enum dv_cg_tree tree)
{
	if (tree == DV_CG_MEMORY)
		return "memory.limit_in_bytes";
	if (tree == DV_CG_CPU)
		return "cpu.cfs_quota_us";
	return ""; /* pids.max is not in a root group: the directory will do */
}

static int refuse_io(struct dv_err *err)
{
	dv_err_set(err, EOPNOTSUPP, DV_UNIMPLEMENTED,
		   "the disk controller is the v1 blkio, whose weights most "
		   "disk schedulers ignore");
	dv_err_hint(err, "boot with systemd.unified_cgroup_hierarchy=1 and a "
			 "bfq disk scheduler, or leave it out");
	return -EOPNOTSUPP;
}

static int locate(struct dv_cg_site *s, enum dv_cg_tree tree, char *dir,
		  struct dv_err *err)
{
	int r;

	if (tree == DV_CG_IO)
		return refuse_io(err);
	r = dv_cg_site_own(s, tree, dir, PATH_MAX);
	if (r == 0)
		return 0;
	if (r != -ENOENT)
		return dv_err_sys(err, -r, "find the v1 %s hierarchy",
				  dv_cg_v1_name(tree));
	dv_err_set(err, EOPNOTSUPP, DV_UNIMPLEMENTED,
		   "the v1 %s hierarchy is not mounted here",
		   dv_cg_v1_name(tree));
	dv_err_hint(err, "mount -t cgroup -o %s cgroup DIR",
		    dv_cg_v1_name(tree));
	return -EOPNOTSUPP;
}

int dv_cg1_check(struct dv_cg_site *s, enum dv_cg_tree tree, char *dir,
		 struct dv_err *err)
{
	char path[PATH_MAX];
	int r = locate(s, tree, dir, err);

	if (r < 0)
		return r;
	r = dv_path_join(path, sizeof(path), dir, probe_file(tree));
	if (r < 0)
		return dv_err_sys(err, -r, "group %s", dir);
	if (faccessat(AT_FDCWD, path, F_OK, AT_EACCESS) < 0)
		return dv_err_set(err, EOPNOTSUPP, DV_UNIMPLEMENTED,
				  "this kernel has no %s", probe_file(tree));
	r = dv_cg_writable(dir, "", err);
	if (r == -EACCES)
		dv_err_hint(err, "run as root: v1 groups are not delegated to "
				 "users");
	return r;
}

static int put(int dirfd, const char *file, uint64_t value, struct dv_err *err)
{
	char text[24] = "-1"; /* how all but pids.max call none */
	int len = 2, r;

	if (value)
		len = dv_fmt(text, sizeof(text), "%llu",
			     (unsigned long long)value);
	r = dv_write_file(dirfd, file, text, (size_t)len);

	return r < 0 ? dv_err_sys(err, -r, "write %s to %s", text, file) : 0;
}

/*
 * Swap counts within memsw, which may never be below the first limit: one that
 * is raised has to follow it.
 */
static int put_memory(int dirfd, uint64_t bytes, struct dv_err *err)
{
	static const char limit[] = "memory.limit_in_bytes",
			  memsw[] = "memory.memsw.limit_in_bytes";
	struct dv_err first = DV_ERR_INIT;
	int r = put(dirfd, limit, bytes, &first);

	if (r == -EINVAL && put(dirfd, memsw, bytes, NULL) == 0)
		return put(dirfd, limit, bytes, err);
	if (r < 0 && err)
		*err = first;
	if (r < 0 || faccessat(dirfd, memsw, F_OK, 0) < 0)
		return r; /* the kernel does not account swap */
	return put(dirfd, memsw, bytes, err);
}

/* The kernel's period is 100 ms in every new group. */
static int put_cpu(int dirfd, uint32_t milli_cpus, struct dv_err *err)
{
	int r = put(dirfd, "cpu.cfs_quota_us", (uint64_t)milli_cpus * 100, err);

	if (r == -EINVAL)
		dv_err_hint(err, "the group that davit runs in has a smaller "
				 "quota itself: ask for less");
	return r;
}

static int put_pids(int dirfd, uint32_t pids, struct dv_err *err)
{
	if (pids)
		return put(dirfd, "pids.max", pids, err);
	int r = dv_write_file(dirfd, "pids.max", "max", 3);
	return r < 0 ? dv_err_sys(err, -r, "write max to pids.max") : 0;
}

int dv_cg1_put(int dirfd, enum dv_cg_tree tree,
	       const struct dv_cgroup_limits *limits, struct dv_err *err)
{
	if (tree == DV_CG_MEMORY)
		return put_memory(dirfd, limits->memory, err);
	if (tree == DV_CG_CPU)
		return put_cpu(dirfd, limits->milli_cpus, err);
	return put_pids(dirfd, limits->pids, err);
}

/* Two controllers that are mounted together share one group. */
static bool is_made(const struct dv_cgroup *cg, const char *path)
{
	for (int i = 0; i < cg->n_dirs; i++) {
		if (strcmp(cg->dirs[i], path) == 0)
			return true;
	}
	return false;
}

static int add_group(struct dv_cgroup *cg, enum dv_cg_tree tree,
		     const char *dir, const char *name, struct dv_err *err)
{
	char path[PATH_MAX];
	int fd, r = dv_path_join(path, sizeof(path), dir, name);

	if (r < 0)
		return dv_err_sys(err, -r, "group %s", dir);
	if (is_made(cg, path))
		return 0;
	r = dv_cg_mkdir(cg, tree, dir, name, err);
	if (r == -EACCES)
		dv_err_hint(err, "run as root: v1 groups are not delegated to "
				 "users");
	if (r < 0)
		return r;
	r = dv_path_join(path, sizeof(path), path, "cgroup.procs");
	if (r < 0)
		return dv_err_sys(err, -r, "group %s", dir);
	fd = open(path, O_WRONLY | O_CLOEXEC | O_NOFOLLOW);
	if (fd < 0)
		return dv_err_sys(err, errno, "open %s", path);
	cg->procs_fd[cg->n_procs++] = fd;
	return 0;
}

int dv_cg1_limit(struct dv_cgroup *cg, struct dv_cg_site *s,
		 enum dv_cg_tree tree, const char *name,
		 const struct dv_cgroup_limits *limits, struct dv_err *err)
{
	char dir[PATH_MAX], path[PATH_MAX];
	dv_autofd int fd = -1;
	int r = locate(s, tree, dir, err);

	if (r == 0)
		r = add_group(cg, tree, dir, name, err);
	if (r < 0)
		return r;
	r = dv_path_join(path, sizeof(path), dir, name);
	if (r < 0)
		return dv_err_sys(err, -r, "group %s", dir);
	fd = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	if (fd < 0)
		return dv_err_sys(err, errno, "open %s", path);
	r = dv_cg1_put(fd, tree, limits, err);
	if (r == 0 && tree == DV_CG_PIDS)
		cg->own_pids_v1 = true;
	return r;
}
