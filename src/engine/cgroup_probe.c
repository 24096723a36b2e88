/* SPDX-License-Identifier: MIT */
#include "engine/cgroup.h"

#include <errno.h>

#include "base/fmt.h"
#include "engine/cgroup_priv.h"

/* Where one controller's verdict goes. */
struct verdict {
	bool *can;
	char *why; /* 128 bytes */
};

enum { WHY_LEN = 128 };

static struct verdict verdict_of(struct dv_cgroup_can *can,
				 enum dv_cg_tree tree)
{
	const struct verdict v[DV_CG_TREE_N] = {
		[DV_CG_MEMORY] = { &can->memory, can->why_memory },
		[DV_CG_CPU] = { &can->cpu, can->why_cpu },
		[DV_CG_PIDS] = { &can->pids, can->why_pids },
		[DV_CG_IO] = { &can->io, can->why_io },
	};

	return v[tree];
}

static void probe_v2(struct dv_cg_site *s, struct dv_cgroup_can *can,
		     char *base, struct dv_err *err)
{
	int r = dv_cg2_base(s, base, err);

	can->v2_mounted = r >= 0;
	if (r >= 0)
		r = dv_cg_writable(base, "cgroup.procs", err);
	if (r == 0)
		r = dv_cg_writable(base, "", err);
	can->v2_writable = r == 0;
}

static void probe_one(struct dv_cg_site *s, struct dv_cgroup_can *can,
		      enum dv_cg_tree tree, const char *v2_base,
		      const struct dv_err *v2_err)
{
	const struct verdict v = verdict_of(can, tree);
	struct dv_err err = DV_ERR_INIT;
	char dir[PATH_MAX];
	int r = -1;

	if (s->self.path[tree].ptr) {
		can->v1 = true;
		r = dv_cg1_check(s, tree, dir, &err);
	} else if (!can->v2_mounted) {
		dv_err_set(&err, EOPNOTSUPP, DV_UNIMPLEMENTED,
			   "no hierarchy with the %s controller is mounted",
			   dv_cg_tree_name(tree));
	} else if (!can->v2_writable) {
		err = *v2_err;
	} else {
		r = dv_cg2_check(v2_base, tree, &err);
		if (r == 0 && tree == DV_CG_IO)
			r = dv_cg2_check_io(&err);
	}
	*v.can = r == 0;
	if (r < 0)
		dv_fmt(v.why, WHY_LEN, "%s", err.msg);
}

void dv_cgroup_probe(struct dv_cgroup_can *can)
{
	struct dv_cg_site site;
	struct dv_err err = DV_ERR_INIT;
	char base[PATH_MAX];

	*can = (struct dv_cgroup_can){ 0 };
	if (dv_cg_site_open(&site, &err) == 0)
		probe_v2(&site, can, base, &err);
	for (int t = DV_CG_MEMORY; t < DV_CG_TREE_N; t++)
		probe_one(&site, can, t, base, &err);
	can->hybrid = can->v1 && can->v2_mounted;
	dv_cg_site_close(&site);
}
