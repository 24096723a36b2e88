/* SPDX-License-Identifier: MIT */
/*
 * DOC: less memory than is in use
 *
 * A v1 group refuses such a limit when it cannot reclaim enough. A v2 group
 * would take it, and kill: so there memory.high, which only reclaims, goes
 * first, and the limit follows when there is room for it.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <unistd.h>

#include "base/def.h"
#include "base/fd.h"
#include "base/fmt.h"
#include "engine/cgroup_priv.h"

static int busy(uint64_t used, uint64_t want, struct dv_err *err)
{
	dv_err_hint(err, "let it free some first, or ask for more");
	if (used == UINT64_MAX)
		return dv_err_set(err, EBUSY, DV_PRECONDITION,
				  "more than %llu bytes of memory are in use",
				  (unsigned long long)want);
	return dv_err_set(err, EBUSY, DV_PRECONDITION,
			  "%llu bytes of memory are in use",
			  (unsigned long long)used);
}

static int set_high(int fd, uint64_t bytes)
{
	char text[24];
	int len = dv_fmt(text, sizeof(text), "%llu", (unsigned long long)bytes);

	if (!bytes)
		len = dv_fmt(text, sizeof(text), "max");
	return dv_write_file(fd, "memory.high", text, (size_t)len);
}

static int put_memory2(int fd, const struct dv_cgroup_limits *l,
		       struct dv_err *err)
{
	uint64_t used = dv_cg_number(fd, "memory.current", 0);
	bool high = l->memory && used > l->memory;
	int r;

	if (high && set_high(fd, l->memory) == 0)
		used = dv_cg_number(fd, "memory.current", 0);
	if (l->memory && used > l->memory)
		r = busy(used, l->memory, err);
	else
		r = dv_cg2_put(fd, DV_CG_MEMORY, l, err);
	if (high)
		set_high(fd, 0);
	return r;
}

static int put(int fd, bool v2, enum dv_cg_tree tree,
	       const struct dv_cgroup_limits *l, struct dv_err *err)
{
	int r;

	if (v2 && tree == DV_CG_MEMORY)
		return put_memory2(fd, l, err);
	if (v2)
		return dv_cg2_put(fd, tree, l, err);
	r = dv_cg1_put(fd, tree, l, err);
	if (r == -EBUSY && tree == DV_CG_MEMORY)
		busy(dv_cg_number(fd, "memory.usage_in_bytes", UINT64_MAX),
		     l->memory, err);
	return r;
}

/* The controller was not asked for at the start: a v2 group may still have it,
 * while processes would have to be moved into a v1 group one by one. */
static int add(struct dv_cgroup *cg, enum dv_cg_tree tree,
	       const struct dv_cgroup_limits *l, struct dv_err *err)
{
	struct dv_cg_site site;
	char base[PATH_MAX];
	int r = dv_cg_site_open(&site, err);
	bool v1 = r == 0 && site.self.path[tree].ptr;

	dv_cg_site_close(&site);
	if (r < 0)
		return r;
	if (v1 || cg->v2_fd < 0) {
		dv_err_hint(err, "start it with such a limit, however high; it "
				 "can be changed then");
		return dv_err_set(err, EOPNOTSUPP, DV_UNIMPLEMENTED,
				  "it was started without a limit of this "
				  "kind, and cannot get one on %s",
				  v1 ? "cgroup v1" : "this machine");
	}
	if (dv_fmt(base, sizeof(base), "%s", cg->dirs[0]) < 0)
		return dv_err_sys(err, ENAMETOOLONG, "group %s", cg->dirs[0]);
	*strrchr(base, '/') = '\0';
	return dv_cg2_limit(cg, base, tree, l, err);
}

static int update_one(struct dv_cgroup *cg, enum dv_cg_tree tree,
		      const struct dv_cgroup_limits *l, struct dv_err *err)
{
	struct dv_err why = DV_ERR_INIT;
	bool v2;
	dv_autofd int fd = dv_cg_open(cg, tree, &v2);
	int r;

	if (fd < 0 && !dv_cg_limit_of(l, tree))
		return 0; /* there is none */
	r = fd < 0 ? add(cg, tree, l, &why) : put(fd, v2, tree, l, &why);
	dv_cg_wrap_limit(l, tree, r, &why);
	if (r < 0 && err)
		*err = why;
	return r;
}

static bool is_kept(const struct dv_cgroup_limits *l, enum dv_cg_tree tree)
{
	return dv_cg_limit_of(l, tree) ==
	       (tree == DV_CG_MEMORY ? UINT64_MAX : UINT32_MAX);
}

/* What is not changed is not checked either. */
static int check(const struct dv_cgroup_limits *limits, struct dv_err *err)
{
	struct dv_cgroup_limits l = *limits;

	if (is_kept(&l, DV_CG_MEMORY))
		l.memory = 0;
	if (is_kept(&l, DV_CG_CPU))
		l.milli_cpus = 0;
	if (is_kept(&l, DV_CG_IO))
		l.io_weight = 0;
	return dv_cg_check_limits(&l, err);
}

int dv_cgroup_update(struct dv_cgroup *cg,
		     const struct dv_cgroup_limits *limits, struct dv_err *err)
{
	struct dv_cgroup_limits old;
	int t, r = check(limits, err);

	dv_cgroup_read_limits(cg, &old);
	for (t = DV_CG_MEMORY; t < DV_CG_TREE_N && r == 0; t++)
		if (!is_kept(limits, t))
			r = update_one(cg, t, limits, err);
	if (r == 0)
		return 0;
	/* The last one failed by itself: those before it go back. */
	for (t -= 2; t >= DV_CG_MEMORY; t--)
		if (!is_kept(limits, t))
			update_one(cg, t, &old, NULL);
	return dv_err_step(err, r, DV_STEP_CGROUP);
}
