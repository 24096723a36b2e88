/* SPDX-License-Identifier: MIT */
#include "engine/cgroup.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/def.h"
#include "base/fd.h"
#include "base/fmt.h"
#include "base/path.h"
#include "base/random.h"
#include "engine/cgroup_priv.h"

/*
 * The smallest limit: with less, the kernel's own memory for one process (page
 * tables, stack, exec's argument pages) is over it before the command starts.
 */
#define MEMORY_MIN (UINT64_C(1) << 20)

enum {
	MILLI_CPUS_MIN = 10,  /* the kernel's smallest quota, 1 of 100 ms */
	PIDS_LIMIT = 4194303, /* pids.max takes 2^22, init counts on v2 */
	IO_WEIGHT_MAX = 10000
};

/* ---- the list of what was made ------------------------------------------ */

static int mkdir_failed(int sys, const char *path, struct dv_err *err)
{
	if (sys == EROFS)
		return dv_err_set(err, EOPNOTSUPP, DV_UNIMPLEMENTED,
				  "%s cannot be made: the hierarchy is mounted "
				  "read-only",
				  path);
	if (sys == EPERM)
		sys = EACCES; /* what the contract promises */
	return dv_err_sys(err, sys, "mkdir %s", path);
}

int dv_cg_mkdir(struct dv_cgroup *cg, enum dv_cg_tree tree, const char *dir,
		const char *name, struct dv_err *err)
{
	char path[PATH_MAX];
	char *copy;
	int r = dv_path_join(path, sizeof(path), dir, name);

	if (r < 0)
		return dv_err_sys(err, -r, "group %s", dir);
	dv_assert(cg->n_dirs < DV_CGROUP_GROUPS_MAX);
	copy = strdup(path);
	if (!copy)
		return dv_err_sys(err, ENOMEM, "group %s", path);
	r = cg->note ? cg->note(cg->note_arg, path) : 0;
	if (r < 0) {
		free(copy);
		return dv_err_sys(err, -r, "note group %s", path);
	}
	if (mkdir(path, 0755) < 0) {
		r = mkdir_failed(errno, path, err);
		free(copy);
		return r;
	}
	cg->tree[cg->n_dirs] = (uint8_t)tree;
	cg->dirs[cg->n_dirs++] = copy;
	return 0;
}

/* The last group of the list did not work out: take it back. */
static void unmake_from(struct dv_cgroup *cg, int n_dirs, int n_procs)
{
	while (cg->n_procs > n_procs) {
		cg->n_procs--;
		cg->procs_fd[cg->n_procs] = dv_close(cg->procs_fd[cg->n_procs]);
	}
	while (cg->n_dirs > n_dirs) {
		cg->n_dirs--;
		dv_cg_rmdir(AT_FDCWD, cg->dirs[cg->n_dirs]);
		free(cg->dirs[cg->n_dirs]);
		cg->dirs[cg->n_dirs] = NULL;
	}
}

/* ---- create ------------------------------------------------------------- */

/* What one call of dv_cgroup_create() works with. */
struct make {
	struct dv_cg_site site;
	const char *name;
	const struct dv_cgroup_limits *limits;
	char v2_base[PATH_MAX];
	struct dv_err v2_err; /* why there is no v2 group */
};

int dv_cg_check_limits(const struct dv_cgroup_limits *l, struct dv_err *err)
{
	if (l->memory && l->memory < MEMORY_MIN) {
		dv_err_set(err, EINVAL, DV_INVALID,
			   "a memory limit of %llu bytes is too small",
			   (unsigned long long)l->memory);
		dv_err_hint(err, "no command can be executed in less than 1 "
				 "MiB; units are k, m, g: -m 64m");
		return -EINVAL;
	}
	if (l->milli_cpus && l->milli_cpus < MILLI_CPUS_MIN) {
		dv_err_set(err, EINVAL, DV_INVALID,
			   "a limit of 0.%03u CPUs is too small",
			   (unsigned)l->milli_cpus);
		dv_err_hint(err, "the smallest quota of the kernel is 0.01");
		return -EINVAL;
	}
	if (l->io_weight > IO_WEIGHT_MAX)
		return dv_err_set(err, EINVAL, DV_INVALID,
				  "an io weight of %u is not in 1 to 10000",
				  (unsigned)l->io_weight);
	return 0;
}

uint64_t dv_cg_limit_of(const struct dv_cgroup_limits *l, enum dv_cg_tree tree)
{
	const uint64_t value[DV_CG_TREE_N] = {
		[DV_CG_MEMORY] = l->memory,
		[DV_CG_CPU] = l->milli_cpus,
		[DV_CG_PIDS] = l->pids,
		[DV_CG_IO] = l->io_weight,
	};

	return value[tree];
}

int dv_cg_wrap_limit(const struct dv_cgroup_limits *l, enum dv_cg_tree tree,
		     int r, struct dv_err *err)
{
	if (tree == DV_CG_MEMORY)
		return dv_err_wrap(err, r, "limit memory to %llu bytes",
				   (unsigned long long)l->memory);
	if (tree == DV_CG_CPU)
		return dv_err_wrap(err, r, "limit CPUs to %u.%03u",
				   (unsigned)l->milli_cpus / 1000,
				   (unsigned)l->milli_cpus % 1000);
	if (tree == DV_CG_PIDS)
		return dv_err_wrap(err, r, "limit processes to %u",
				   (unsigned)l->pids);
	return dv_err_wrap(err, r, "set the io weight to %u",
			   (unsigned)l->io_weight);
}

static int make_v2(struct dv_cgroup *cg, struct make *m)
{
	struct dv_err *err = &m->v2_err;
	int r = dv_cg2_base(&m->site, m->v2_base, err);

	if (r < 0)
		return r;
	cg->delegated = r == 1;
	/* clone3() into the group asks for this file, mkdir does not. */
	r = 0;
	if (geteuid() != 0)
		r = dv_cg_writable(m->v2_base, "cgroup.procs", err);
	if (r == 0)
		r = dv_cg_mkdir(cg, DV_CG_V2, m->v2_base, m->name, err);
	if (r < 0)
		return r;
	cg->v2_fd = open(cg->dirs[0],
			 O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (cg->v2_fd >= 0)
		return 0;
	r = dv_err_sys(err, errno, "open %s", cg->dirs[0]);
	unmake_from(cg, 0, 0);
	return r;
}

/* The reason there is no v2 group is the reason there is no limit on it. */
static int refuse_v2(const struct make *m, enum dv_cg_tree tree,
		     struct dv_err *err)
{
	*err = m->v2_err;
	if (err->sys == ENOENT) {
		dv_err_set(err, EOPNOTSUPP, DV_UNIMPLEMENTED,
			   "no hierarchy with the %s controller is mounted",
			   dv_cg_tree_name(tree));
		return -EOPNOTSUPP;
	}
	dv_cg_hint_delegate(err);
	return -err->sys;
}

static int limit_one(struct dv_cgroup *cg, struct make *m, enum dv_cg_tree tree,
		     struct dv_err *err)
{
	const int n_dirs = cg->n_dirs, n_procs = cg->n_procs;
	int r;

	if (m->site.self.path[tree].ptr) {
		r = dv_cg1_limit(cg, &m->site, tree, m->name, m->limits, err);
		if (r < 0)
			unmake_from(cg, n_dirs, n_procs);
	} else if (cg->v2_fd < 0) {
		r = refuse_v2(m, tree, err);
	} else {
		r = dv_cg2_limit(cg, m->v2_base, tree, m->limits, err);
	}
	return dv_cg_wrap_limit(m->limits, tree, r, err);
}

static int limit_all(struct dv_cgroup *cg, struct make *m, bool best_effort,
		     struct dv_buf *missing, struct dv_err *err)
{
	for (int t = DV_CG_MEMORY; t < DV_CG_TREE_N; t++) {
		struct dv_err why = DV_ERR_INIT;
		int r = dv_cg_limit_of(m->limits, t) ? limit_one(cg, m, t, &why)
						     : 0;

		if (r < 0 && !best_effort) {
			if (err)
				*err = why;
			return r;
		}
		if (r < 0 && missing)
			dv_buf_putf(missing, "%s\n", why.msg);
	}
	return 0;
}

/* Without /proc there are no groups, which is fine when none are needed. */
static int open_site(struct make *m)
{
	const int r = dv_cg_site_open(&m->site, &m->v2_err);

	if (r == -ENOENT)
		m->v2_err.sys = EOPNOTSUPP;
	return r;
}

static int create(struct dv_cgroup *cg, const char *id,
		  const struct dv_cgroup_limits *limits, bool best_effort,
		  struct dv_buf *missing, struct dv_err *err)
{
	struct make m = { .limits = limits };
	char name[sizeof(DV_CG_PREFIX) + DV_ID_LEN];
	int r;

	dv_fmt(name, sizeof(name), "%s%s", DV_CG_PREFIX, id);
	if (!dv_cg_is_ours(name) || strlen(id) != DV_ID_LEN)
		return dv_err_set(err, EINVAL, DV_INVALID,
				  "the id %s is not 16 hex digits", id);
	m.name = name;
	if (open_site(&m) == 0)
		make_v2(cg, &m);
	r = limit_all(cg, &m, best_effort, missing, err);
	dv_cg_site_close(&m.site);
	return r;
}

int dv_cgroup_create(struct dv_cgroup *cg, const char *id,
		     const struct dv_cgroup_limits *limits, bool best_effort,
		     struct dv_buf *missing, struct dv_err *err)
{
	struct dv_cgroup_limits l = *limits;
	int r = dv_cg_check_limits(&l, err);

	if (l.pids > PIDS_LIMIT)
		l.pids = PIDS_LIMIT; /* the machine cannot have more */
	if (r == 0)
		r = create(cg, id, &l, best_effort, missing, err);
	if (r < 0)
		dv_cgroup_remove(cg);
	return dv_err_step(err, r, DV_STEP_CGROUP);
}

/* ---- life --------------------------------------------------------------- */

int dv_cgroup_kill(struct dv_cgroup *cg)
{
	return cg->v2_fd < 0 ? 0 : dv_cg2_kill(cg->v2_fd);
}

int dv_cgroup_freeze(struct dv_cgroup *cg, bool on, struct dv_err *err)
{
	int r = -EOPNOTSUPP;

	if (cg->v2_fd >= 0)
		r = dv_write_file(cg->v2_fd, "cgroup.freeze", on ? "1" : "0",
				  1);
	if (r == -ENOENT || r == -EOPNOTSUPP) {
		r = dv_err_set(err, EOPNOTSUPP, DV_UNIMPLEMENTED, "freeze: %s",
			       cg->v2_fd < 0 ? "the sandbox has no v2 group"
					     : "this kernel has no freezer");
		dv_cg_hint_delegate(err);
	} else if (r < 0) {
		dv_err_sys(err, -r, "write cgroup.freeze");
	}
	return r < 0 ? dv_err_step(err, r, DV_STEP_CGROUP) : 0;
}

static uint64_t counter(const char *dir, const char *file, const char *key)
{
	char path[PATH_MAX];
	dv_autofree char *text = NULL;
	size_t len;

	if (dv_path_join(path, sizeof(path), dir, file) < 0 ||
	    dv_read_file(AT_FDCWD, path, DV_CG_FILE_MAX, &text, &len) < 0)
		return 0;
	return dv_cg_parse_counter(text, key);
}

void dv_cgroup_usage(struct dv_cgroup *cg, struct dv_cgroup_usage *usage)
{
	*usage = (struct dv_cgroup_usage){ 0 };
	for (int i = 0; i < cg->n_dirs; i++) {
		const char *dir = cg->dirs[i];
		const bool v2 = cg->tree[i] == DV_CG_V2;

		/* A group has only the files of the controllers it has. */
		usage->oom_kills += counter(
			dir, v2 ? "memory.events" : "memory.oom_control",
			"oom_kill");
		usage->pids_refused += counter(dir, "pids.events", "max");
	}
}

/* ---- end ---------------------------------------------------------------- */

static void forget(struct dv_cgroup *cg, int i)
{
	free(cg->dirs[i]);
	cg->n_dirs--;
	for (int k = i; k < cg->n_dirs; k++) {
		cg->dirs[k] = cg->dirs[k + 1];
		cg->tree[k] = cg->tree[k + 1];
	}
	cg->dirs[cg->n_dirs] = NULL;
}

static int remove_one(struct dv_cgroup *cg, int i)
{
	const int r = dv_cg_rmdir(AT_FDCWD, cg->dirs[i]);

	if (r == -EBUSY)
		return r;
	if (cg->delegated && cg->tree[i] == DV_CG_V2) {
		*strrchr(cg->dirs[i], '/') = '\0';
		dv_cg2_undelegate(cg->dirs[i]);
	}
	forget(cg, i);
	return r;
}

int dv_cgroup_remove(struct dv_cgroup *cg)
{
	int first = 0;

	for (int i = cg->n_dirs - 1; i >= 0; i--) {
		const int r = remove_one(cg, i);

		if (r < 0 && first != -EBUSY)
			first = r;
	}
	if (first != -EBUSY)
		dv_cgroup_release(cg);
	return first;
}

int dv_cgroup_adopt(struct dv_cgroup *cg, const char *dir, int fd)
{
	char *copy = strdup(dir);

	if (!copy) {
		dv_close(fd);
		return -ENOMEM;
	}
	cg->v2_fd = fd;
	cg->tree[0] = DV_CG_V2;
	cg->dirs[0] = copy;
	cg->n_dirs = 1;
	return 0;
}

void dv_cgroup_release(struct dv_cgroup *cg)
{
	dv_close(cg->v2_fd);
	for (int i = 0; i < cg->n_procs; i++)
		dv_close(cg->procs_fd[i]);
	for (int i = 0; i < cg->n_dirs; i++)
		free(cg->dirs[i]);
	*cg = (struct dv_cgroup)DV_CGROUP_INIT;
}
