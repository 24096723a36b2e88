/* SPDX-License-Identifier: MIT */
#include "base/test.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/def.h"
#include "engine/landlock.h"
#include "engine/proc_try.h"
#include "runtime/plan/landlock.h"

static const struct dv_plain_how how = { 7, "/tmp/of-the-run", "no reason" };

enum { RO = dv_MF_RO, READ_EXEC = DV_LL_READ | DV_LL_EXECUTE };

static uint64_t access_of(const struct dv_plan *plan, const char *path)
{
	const dv_Landlock *ll = &plan->msg.process.landlock;
	uint64_t access = 0;

	for (pb_size_t i = 0; i < ll->paths_count; i++)
		if (strcmp(ll->paths[i].path, path) == 0)
			access |= ll->paths[i].access;
	return access;
}

static struct dv_spec *new_spec(void)
{
	struct dv_spec *spec;

	CHECK_EQ(dv_spec_new(&spec), 0);
	return spec;
}

static void tree(struct try_dir *d)
{
	static const char *const dirs[] = { "etc",           "etc/ssh",
					    "etc/ssl",       "etc/ssl/private",
					    "etc/ssl/certs", "usr" };

	try_dir_make(d);
	for (size_t i = 0; i < DV_ARRAY_LEN(dirs); i++)
		CHECK_EQ(mkdir(try_path(d, dirs[i]), 0755), 0);
	try_file(d, "etc/passwd", "", 0644);
	try_file(d, "etc/shadow", "", 0644);
	try_file(d, "etc/ssh/config", "", 0644);
	try_file(d, "etc/ssh/host_key", "", 0600);
	CHECK_EQ(symlink("shadow", try_path(d, "etc/link")), 0);
	CHECK_EQ(symlink("etc", try_path(d, "etc2")), 0);
}

static void masks(struct dv_plan *plan, const struct try_dir *d)
{
	dv_plan_mask(plan, try_path(d, "etc/shadow"));
	dv_plan_mask(plan, try_path(d, "etc/ssh/host_key"));
	dv_plan_mask(plan, try_path(d, "etc/ssl/private"));
	dv_plan_mask(plan, try_path(d, "not/there"));
}

static void bind_ro(struct dv_plan *plan, const char *path)
{
	dv_plan_mount(plan, dv_MOUNT_BIND, path, path, RO);
}

TEST(rules_go_around_masked_paths)
{
	struct dv_plan plan = DV_PLAN_INIT;
	struct dv_spec *spec = new_spec();
	struct dv_err err = DV_ERR_INIT;
	struct try_dir d;

	tree(&d);
	masks(&plan, &d);
	bind_ro(&plan, try_path(&d, "etc"));
	bind_ro(&plan, try_path(&d, "usr"));
	CHECK_EQ(dv_plain_rules(&plan, spec, &how, &err), 0);
	CHECK(!plan.msg.has_isolation);
	CHECK_EQ(access_of(&plan, try_path(&d, "usr")), READ_EXEC);
	/* Itself not even to be listed: that would show a hidden directory. */
	CHECK_EQ(access_of(&plan, try_path(&d, "etc")), 0);
	CHECK_EQ(access_of(&plan, try_path(&d, "etc/passwd")), READ_EXEC);
	CHECK_EQ(access_of(&plan, try_path(&d, "etc/shadow")), 0);
	CHECK_EQ(access_of(&plan, try_path(&d, "etc/link")), 0);
	CHECK_EQ(access_of(&plan, try_path(&d, "etc/ssl")), 0);
	CHECK_EQ(access_of(&plan, try_path(&d, "etc/ssl/private")), 0);
	CHECK_EQ(access_of(&plan, try_path(&d, "etc/ssl/certs")), READ_EXEC);
	/* Only files are hidden here. */
	CHECK_EQ(access_of(&plan, try_path(&d, "etc/ssh")), DV_LL_READ_DIR);
	CHECK_EQ(access_of(&plan, try_path(&d, "etc/ssh/config")), READ_EXEC);
	CHECK_EQ(access_of(&plan, try_path(&d, "etc/ssh/host_key")), 0);
	dv_plan_free(&plan);
	dv_spec_free(spec);
	try_dir_remove(&d);
}

TEST(rules_of_a_hidden_directory_are_none)
{
	struct dv_plan plan = DV_PLAN_INIT;
	struct dv_spec *spec = new_spec();
	struct try_dir d;

	tree(&d);
	masks(&plan, &d);
	/* A current directory, for example, and by another name. */
	bind_ro(&plan, try_path(&d, "etc/ssl/private"));
	bind_ro(&plan, try_path(&d, "etc2/ssl/private"));
	bind_ro(&plan, try_path(&d, "etc2"));
	CHECK_EQ(dv_plain_rules(&plan, spec, &how, NULL), 0);
	CHECK_EQ(access_of(&plan, try_path(&d, "etc/ssl/private")), 0);
	CHECK_EQ(access_of(&plan, try_path(&d, "etc2/ssl/private")), 0);
	CHECK_EQ(access_of(&plan, try_path(&d, "etc2")), 0);
	CHECK_EQ(access_of(&plan, try_path(&d, "etc/passwd")), READ_EXEC);
	dv_plan_free(&plan);
	dv_spec_free(spec);
	try_dir_remove(&d);
}

TEST(rules_follow_the_flags_of_the_mounts)
{
	struct dv_plan plan = DV_PLAN_INIT;
	struct dv_spec *spec = new_spec();
	struct try_dir d;
	uint64_t all = READ_EXEC | DV_LL_WRITE;

	tree(&d);
	dv_plan_mount(&plan, dv_MOUNT_BIND, try_path(&d, "usr"), "/usr", 0);
	dv_plan_mount(&plan, dv_MOUNT_BIND, "/dev/null", "/dev/null",
		      dv_MF_NOEXEC);
	dv_plan_mount(&plan, dv_MOUNT_PROC, NULL, "/proc", 0);
	dv_plan_mount(&plan, dv_MOUNT_TMPFS, NULL, "/tmp", 0);
	dv_plan_mount(&plan, dv_MOUNT_DIR, NULL, "/run", 0);
	dv_plan_mount(&plan, dv_MOUNT_SYMLINK, "usr/bin", "/bin", 0);
	CHECK_EQ(dv_plain_rules(&plan, spec, &how, NULL), 0);
	CHECK_EQ(plan.msg.process.landlock.paths_count, 3);
	CHECK_EQ(access_of(&plan, try_path(&d, "usr")), all);
	CHECK_EQ(access_of(&plan, "/dev/null"), all & ~(uint64_t)DV_LL_EXECUTE);
	CHECK_EQ(access_of(&plan, "/proc"), DV_LL_READ);
	dv_plan_free(&plan);
	dv_spec_free(spec);
	try_dir_remove(&d);
}

/* What a spec with this in it is told, or "". */
static const char *told(void (*spoil)(struct dv_spec *, const struct try_dir *))
{
	static struct dv_err err;
	struct dv_plan plan = DV_PLAN_INIT;
	struct dv_spec *spec = new_spec();
	struct try_dir d;
	int r;

	err = (struct dv_err)DV_ERR_INIT;
	tree(&d);
	masks(&plan, &d);
	spoil(spec, &d);
	r = dv_plain_refuse(spec, &how, &err);
	if (r == 0)
		r = dv_plain_rules(&plan, spec, &how, &err);
	CHECK_EQ(r, err.msg[0] ? -EOPNOTSUPP : 0);
	CHECK_EQ(err.step, err.msg[0] ? DV_STEP_CONFIG : 0);
	dv_plan_free(&plan);
	dv_spec_free(spec);
	try_dir_remove(&d);
	return err.msg;
}

#define SPOIL(name, code)                                            \
	static void name(struct dv_spec *s, const struct try_dir *d) \
	{                                                            \
		(void)d;                                             \
		code;                                                \
	}
#define AT(name) try_path(d, name)
/* clang-format off */
SPOIL(nothing, (void)s)
SPOIL(rootfs, dv_spec_rootfs(s, d->path, DV_ROOTFS_RO, NULL))
SPOIL(tmpfs, dv_spec_tmpfs(s, "/x", 0, NULL))
SPOIL(hostname, dv_spec_hostname(s, "boat", NULL))
SPOIL(cap, dv_spec_cap_add(s, "net_raw", NULL))
SPOIL(elsewhere, dv_spec_volume(s, AT("usr"), "/data", 0, NULL))
SPOIL(in_place, dv_spec_volume(s, AT("usr"), AT("usr"), 0, NULL))
SPOIL(above_mask, dv_spec_volume(s, AT("etc"), AT("etc"), 0, NULL))
SPOIL(mask_itself, dv_spec_volume(s, AT("etc/shadow"), AT("etc/shadow"),
				  DV_VOLUME_RO, NULL))
SPOIL(by_symlink, dv_spec_volume(s, AT("etc2"), AT("etc2"), 0, NULL))
SPOIL(above_mask_ro, dv_spec_volume(s, AT("etc"), AT("etc"), DV_VOLUME_RO,
				    NULL))
SPOIL(ro_in_rw, dv_spec_volume(s, AT("etc/ssh"), AT("etc/ssh"), DV_VOLUME_RO,
			       NULL);
		dv_spec_volume(s, AT("etc/ssl/certs"), AT("etc/ssl/certs"), 0,
			       NULL);
		dv_spec_volume(s, AT("usr"), AT("usr"), 0, NULL);
		CHECK_EQ(mkdir(AT("usr/bin"), 0755), 0);
		dv_spec_volume(s, AT("usr/bin"), AT("usr/bin"), DV_VOLUME_RO,
			       NULL))
/* clang-format on */

TEST(what_needs_namespaces_is_refused_with_the_reason)
{
	static const struct {
		void (*spoil)(struct dv_spec *, const struct try_dir *);
		const char *says;
	} rows[] = {
		{ rootfs, "container needs a mount namespace: no reason" },
		{ tmpfs, "tmpfs /x needs a mount namespace: no reason" },
		{ hostname, "host name boat needs a uts namespace" },
		{ cap, "a capability needs a user namespace" },
		{ elsewhere, "volume at another place /data needs a mount" },
		{ above_mask, "to hide " },
		{ mask_itself, "to hide " },
		{ by_symlink, "to hide " },
		{ ro_in_rw, "read-only below a writable volume" },
	};

	CHECK_STR(told(nothing), "");
	CHECK_STR(told(in_place), "");
	CHECK_STR(told(above_mask_ro), "");
	for (size_t i = 0; i < DV_ARRAY_LEN(rows); i++)
		if (!strstr(told(rows[i].spoil), rows[i].says))
			CHECK_STR(told(rows[i].spoil), rows[i].says);
}

/* ---- the whole plan ----------------------------------------------------- */

static void plan_of(struct dv_planned *p, struct dv_spec *spec, int abi)
{
	const char *const argv[] = { "true", NULL };
	struct dv_plain_how with = how;
	struct dv_err err = DV_ERR_INIT;

	with.abi = abi;
	CHECK_EQ(dv_spec_argv(spec, argv, NULL), 0);
	CHECK_EQ(dv_planner_plain(p, spec, "/run/davit", &with, &err), 0);
	CHECK_STR(err.msg, "");
	CHECK(!p->plan.msg.has_isolation);
}

TEST(plan_has_no_socket_no_capability_and_a_life_line)
{
	struct dv_spec *spec = new_spec();
	struct dv_planned p;
	const dv_Process *proc = &p.plan.msg.process;

	plan_of(&p, spec, 7);
	CHECK(proc->seccomp && proc->seccomp_more && proc->no_new_privs);
	CHECK_EQ(proc->death_signal, SIGKILL);
	CHECK_EQ(proc->caps.permitted, 0);
	CHECK_EQ(proc->caps.ambient, 0);
	CHECK_EQ(proc->landlock.handled_net, 3);
	CHECK_STR(dv_plan_getenv(&p.plan, "TMPDIR"), how.tmpdir);
	CHECK(access_of(&p.plan, how.tmpdir) & DV_LL_MAKE_REG);
	CHECK_EQ(access_of(&p.plan, "/usr"), READ_EXEC);
	CHECK_EQ(access_of(&p.plan, "/etc/shadow"), 0);
	dv_planner_free(&p);
	CHECK_EQ(dv_spec_net(spec, DV_NET_HOST), 0);
	CHECK_EQ(dv_spec_read_only(spec, true), 0);
	plan_of(&p, spec, 7);
	CHECK(!proc->seccomp_more);
	CHECK_EQ(proc->landlock.handled_net, 0);
	CHECK_EQ(access_of(&p.plan, how.tmpdir), 0);
	dv_planner_free(&p);
	dv_spec_free(spec);
}

TEST(plan_says_what_an_older_version_lacks)
{
	static const struct {
		int abi;
		const char *says;
	} rows[] = {
		{ 1, "renames" },
		{ 2, "truncation" },
		{ 4, "device" },
		{ 5, "scopes" },
	};
	struct dv_spec *spec = new_spec();
	struct dv_planned p;

	for (size_t i = 0; i < DV_ARRAY_LEN(rows); i++) {
		plan_of(&p, spec, rows[i].abi);
		CHECK(memmem(p.missing.data, p.missing.len, rows[i].says,
			     strlen(rows[i].says)) != NULL);
		dv_planner_free(&p);
		plan_of(&p, spec, rows[i].abi + 1);
		CHECK(memmem(p.missing.data, p.missing.len, rows[i].says,
			     strlen(rows[i].says)) == NULL);
		dv_planner_free(&p);
	}
	dv_spec_free(spec);
}
