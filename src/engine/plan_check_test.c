/* SPDX-License-Identifier: MIT */
#include "base/test.h"

#include <errno.h>
#include <linux/filter.h>
#include <stdlib.h>
#include <string.h>

#include "base/def.h"
#include "engine/plan.h"

/* A plan that passes; each row below spoils one thing. */
static void good_plan(struct dv_plan *p)
{
	static const struct sock_filter allow[] = {
		BPF_STMT(BPF_RET | BPF_K, 0x7fff0000),
	};

	*p = (struct dv_plan)DV_PLAN_INIT;
	dv_plan_arg(p, "true");
	dv_plan_env(p, "A=1");
	dv_plan_fd(p, 0, 0);
	dv_plan_fd(p, 1, 1023);
	dv_plan_seccomp(p, allow, sizeof(allow));
	dv_plan_uid_map(p, 0, 0, 1);
	dv_plan_mount(p, dv_MOUNT_BIND, "/usr", "/usr", 0);
	dv_plan_mount(p, dv_MOUNT_SYMLINK, "usr/bin", "/bin", 0);
	dv_plan_mount(p, dv_MOUNT_CGROUP2, NULL, "/cg", 0);
	dv_plan_mask(p, "/etc/shadow");
	dv_plan_readonly(p, "/proc/sys");
	p->msg.process.no_new_privs = true;
	p->msg.process.landlock.handled_fs = 15;
	p->msg.process.landlock.handled_net = 3;
	dv_plan_landlock_path(p, "/usr", 5, false);
	dv_plan_landlock_port(p, 443, 2);
	dv_plan_seccomp_more(p, "12345678", 8);
	p->msg.isolation.namespaces = dv_NS_PID | dv_NS_MOUNT;
	p->msg.isolation.has_root = true;
	p->msg.isolation.root.at = dv_plan_strdup(p, "/run/x");
	CHECK_EQ(dv_plan_status(p), 0);
}

static dv_Process *proc(struct dv_plan *p)
{
	return &p->msg.process;
}

static dv_Isolation *iso(struct dv_plan *p)
{
	return &p->msg.isolation;
}

static dv_Landlock *ll(struct dv_plan *p)
{
	return &p->msg.process.landlock;
}

/* clang-format off */
#define SPOIL(name, code)                      \
	static void name(struct dv_plan *p)    \
	{                                      \
		code;                          \
	}
SPOIL(no_argv, proc(p)->argv_count = 0)
SPOIL(null_arg, proc(p)->argv[0] = NULL)
SPOIL(null_env, proc(p)->env[0] = NULL)
SPOIL(fd_source, proc(p)->fds[0].source = 2)
SPOIL(fd_source_big, proc(p)->fds[0].source = UINT32_MAX)
SPOIL(fd_target, proc(p)->fds[0].target = 1024)
SPOIL(fd_target_negative, proc(p)->fds[0].target = UINT32_MAX)
SPOIL(fd_twice, proc(p)->fds[1].target = 0)
SPOIL(fd_count, proc(p)->fds_count = DV_PLAN_FDS_MAX + 1)
SPOIL(rlimit_count, proc(p)->rlimits_count = DV_PLAN_RLIMITS_MAX + 1)
SPOIL(filter_empty, proc(p)->seccomp->size = 0)
SPOIL(filter_odd, proc(p)->seccomp->size = 7)
SPOIL(filter_big, proc(p)->seccomp->size = 8 * 4097)
SPOIL(more_empty, proc(p)->seccomp_more->size = 0)
SPOIL(more_odd, proc(p)->seccomp_more->size = 9)
SPOIL(ll_nothing, memset(ll(p), 0, sizeof(*ll(p))))
SPOIL(ll_privs, proc(p)->no_new_privs = false)
SPOIL(ll_null, ll(p)->paths[0].path = NULL)
SPOIL(ll_relative, ll(p)->paths[0].path[0] = 'u')
SPOIL(ll_unhandled, ll(p)->paths[0].access = 16)
SPOIL(ll_no_right, ll(p)->paths[0].access = 0)
SPOIL(ll_port, ll(p)->ports[0].port = 65536)
SPOIL(ll_port_right, ll(p)->ports[0].access = 4)
SPOIL(ll_port_none, ll(p)->ports[0].access = 0)
SPOIL(ll_paths, ll(p)->paths_count = DV_PLAN_RULES_MAX + 1)
SPOIL(ll_ports, ll(p)->ports_count = DV_PLAN_RULES_MAX + 1)
SPOIL(rows, proc(p)->rows = 65536)
SPOIL(cols, proc(p)->cols = UINT32_MAX)
SPOIL(no_pid_ns, iso(p)->namespaces = dv_NS_MOUNT)
SPOIL(no_mount_ns, iso(p)->namespaces = dv_NS_PID)
SPOIL(root_nowhere, iso(p)->root.at = NULL)
SPOIL(root_relative, iso(p)->root.at[0] = 'x')
SPOIL(bind_no_dir, iso(p)->root.kind = dv_ROOT_BIND)
SPOIL(overlay_no_dir, iso(p)->root.kind = dv_ROOT_OVERLAY)
SPOIL(mount_no_target, iso(p)->mounts[0].target = NULL)
SPOIL(mount_relative, iso(p)->mounts[0].target[0] = 'u')
SPOIL(bind_no_source, iso(p)->mounts[0].source = NULL)
SPOIL(bind_relative, iso(p)->mounts[0].source[0] = 'u')
SPOIL(link_no_text, iso(p)->mounts[1].source = NULL)
SPOIL(link_empty, iso(p)->mounts[1].source[0] = '\0')
SPOIL(mount_kind, iso(p)->mounts[2].kind = (dv_MountKind)99)
SPOIL(mount_count, iso(p)->mounts_count = DV_PLAN_MOUNTS_MAX + 1)
SPOIL(mask_count, iso(p)->masked_count = DV_PLAN_MOUNTS_MAX + 1)
SPOIL(ro_count, iso(p)->readonly_count = DV_PLAN_MOUNTS_MAX + 1)
SPOIL(map_count, iso(p)->uid_map_count = DV_PLAN_IDMAPS_MAX + 1)
SPOIL(mask_null, iso(p)->masked[0] = NULL)
SPOIL(mask_relative, iso(p)->masked[0][0] = 'e')
SPOIL(ro_null, iso(p)->readonly[0] = NULL)

static const struct {
	void (*spoil)(struct dv_plan *);
	const char *says;
} rows_of[] = {
	{ no_argv, "no command" },
	{ null_arg, "argument missing" },
	{ null_env, "env entry missing" },
	{ fd_source, "not given" },
	{ fd_source_big, "not given" },
	{ fd_target, "above 1023" },
	{ fd_target_negative, "above 1023" },
	{ fd_twice, "used twice" },
	{ fd_count, "too many descriptors" },
	{ rlimit_count, "too many resource limits" },
	{ filter_empty, "seccomp" },
	{ filter_odd, "seccomp" },
	{ filter_big, "seccomp" },
	{ more_empty, "seccomp" },
	{ more_odd, "seccomp" },
	{ ll_nothing, "restricts nothing" },
	{ ll_privs, "no_new_privs" },
	{ ll_null, "landlock path" },
	{ ll_relative, "landlock path" },
	{ ll_unhandled, "not handled" },
	{ ll_no_right, "not handled" },
	{ ll_port, "port above" },
	{ ll_port_right, "not handled" },
	{ ll_port_none, "not handled" },
	{ ll_paths, "too many landlock" },
	{ ll_ports, "too many landlock" },
	{ rows, "terminal size" },
	{ cols, "terminal size" },
	{ no_pid_ns, "pid namespace" },
	{ no_mount_ns, "mount namespace" },
	{ root_nowhere, "place to build" },
	{ root_relative, "place to build" },
	{ bind_no_dir, "root directory" },
	{ overlay_no_dir, "root directory" },
	{ mount_no_target, "target is not absolute" },
	{ mount_relative, "target is not absolute" },
	{ bind_no_source, "source is not absolute" },
	{ bind_relative, "source is not absolute" },
	{ link_no_text, "empty symlink" },
	{ link_empty, "empty symlink" },
	{ mount_kind, "unknown kind" },
	{ mount_count, "too many mounts" },
	{ mask_count, "too many mounts" },
	{ ro_count, "too many mounts" },
	{ map_count, "too many id maps" },
	{ mask_null, "masked path" },
	{ mask_relative, "masked path" },
	{ ro_null, "read-only path" },
};
/* clang-format on */

TEST(check_good_plan_passes)
{
	struct dv_err err = DV_ERR_INIT;
	struct dv_plan plan;

	good_plan(&plan);
	CHECK_EQ(dv_plan_check(&plan.msg, 2, &err), 0);
	CHECK_EQ(err.code, DV_OK);
	dv_plan_free(&plan);
}

TEST(check_each_bad_thing_is_refused_by_name)
{
	for (size_t i = 0; i < DV_ARRAY_LEN(rows_of); i++) {
		struct dv_err err = DV_ERR_INIT;
		struct dv_plan plan;

		good_plan(&plan);
		rows_of[i].spoil(&plan);
		CHECK_EQ(dv_plan_check(&plan.msg, 2, &err), -EINVAL);
		CHECK_EQ(err.code, DV_INVALID);
		CHECK_EQ(err.step, DV_STEP_CONFIG);
		if (!strstr(err.msg, rows_of[i].says))
			CHECK_STR(err.msg, rows_of[i].says);
		/* And without a place for the reason. */
		CHECK_EQ(dv_plan_check(&plan.msg, 2, NULL), -EINVAL);
		dv_plan_free(&plan);
	}
}

TEST(check_descriptors_are_counted_against_what_was_given)
{
	struct dv_plan plan;

	good_plan(&plan);
	CHECK_EQ(dv_plan_check(&plan.msg, 1, NULL), -EINVAL);
	CHECK_EQ(dv_plan_check(&plan.msg, 0, NULL), -EINVAL);
	CHECK_EQ(dv_plan_check(&plan.msg, 3, NULL), 0);
	dv_plan_free(&plan);
}

TEST(check_parts_may_be_absent)
{
	struct dv_plan plan;

	good_plan(&plan);
	plan.msg.has_process = false;
	CHECK_EQ(dv_plan_check(&plan.msg, 0, NULL), 0);
	plan.msg.has_isolation = false;
	CHECK_EQ(dv_plan_check(&plan.msg, 0, NULL), 0);
	plan.msg.has_process = true;
	CHECK_EQ(dv_plan_check(&plan.msg, 2, NULL), 0);
	dv_plan_free(&plan);
}
