/* SPDX-License-Identifier: MIT */
#include "base/test.h"

#include <errno.h>
#include <linux/audit.h>
#include <stddef.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include "base/def.h"
#include "engine/landlock.h"
#include "engine/proc_try.h"
#include "engine/seccomp_try.h"

/* ---- versions ----------------------------------------------------------- */

TEST(landlock_abi_adds_rights_version_by_version)
{
	static const struct {
		int abi;
		uint64_t fs, net, scoped;
	} rows[] = {
		{ 0, 0, 0, 0 },      { 1, 0x1fff, 0, 0 }, { 2, 0x3fff, 0, 0 },
		{ 3, 0x7fff, 0, 0 }, { 4, 0x7fff, 3, 0 }, { 5, 0xffff, 3, 0 },
		{ 6, 0xffff, 3, 3 }, { 7, 0xffff, 3, 3 }, { 99, 0xffff, 3, 3 },
	};

	for (size_t i = 0; i < DV_ARRAY_LEN(rows); i++) {
		dv_Landlock ll = { 0 };

		dv_landlock_handle_all(&ll, rows[i].abi);
		CHECK_EQ(ll.handled_fs, rows[i].fs);
		CHECK_EQ(ll.handled_net, rows[i].net);
		CHECK_EQ(ll.scoped, rows[i].scoped);
	}
}

TEST(landlock_rules_keep_only_what_is_handled)
{
	struct dv_plan plan = DV_PLAN_INIT;
	dv_Landlock *ll = &plan.msg.process.landlock;

	dv_landlock_handle_all(ll, 2);
	dv_landlock_path(&plan, "/a", DV_LL_READ | DV_LL_TRUNCATE, false);
	dv_landlock_path(&plan, "/b", DV_LL_IOCTL_DEV, true);
	dv_landlock_port(&plan, 80, DV_LL_CONNECT_TCP);
	CHECK_EQ(dv_plan_status(&plan), 0);
	CHECK_EQ(ll->paths_count, 1);
	CHECK_EQ(ll->paths[0].access, DV_LL_READ);
	CHECK_EQ(ll->ports_count, 0);
	dv_landlock_handle_all(ll, 5);
	dv_landlock_port(&plan, 80, DV_LL_CONNECT_TCP);
	CHECK_EQ(ll->ports_count, 1);
	CHECK_EQ(ll->ports[0].port, 80);
	dv_plan_free(&plan);
}

TEST(landlock_too_many_rules_are_sticky)
{
	struct dv_plan plan = DV_PLAN_INIT;

	dv_landlock_handle_all(&plan.msg.process.landlock, 1);
	for (int i = 0; i <= DV_PLAN_RULES_MAX; i++)
		dv_landlock_path(&plan, "/a", DV_LL_READ, true);
	CHECK_EQ(dv_plan_status(&plan), -E2BIG);
	dv_plan_free(&plan);
}

/* ---- in a child --------------------------------------------------------- */

static int need_landlock(void)
{
	int abi = dv_landlock_abi();

	if (abi < 0)
		SKIP("this kernel has no Landlock");
	return abi;
}

/* A plan of /bin/sh -c @script, which may read and execute the system. */
static void script_plan(struct dv_plan *plan, const char *script)
{
	static const char *const system[] = { "/usr", "/bin", "/lib", "/lib64",
					      "/etc" };

	*plan = (struct dv_plan)DV_PLAN_INIT;
	dv_plan_arg(plan, "/bin/sh");
	dv_plan_arg(plan, "-c");
	dv_plan_arg(plan, script);
	plan->msg.process.no_new_privs = true;
	plan->msg.process.has_landlock = true;
	dv_landlock_handle_all(&plan->msg.process.landlock, dv_landlock_abi());
	for (size_t i = 0; i < DV_ARRAY_LEN(system); i++)
		dv_landlock_path(plan, system[i], DV_LL_READ | DV_LL_EXECUTE,
				 true);
	dv_landlock_path(plan, "/dev/null", DV_LL_READ_FILE | DV_LL_WRITE_FILE,
			 false);
}

/* Start it, wait, free the plan: its exit status, or what the start said. */
static int run_plan(struct dv_plan *plan, struct dv_err *err)
{
	struct dv_proc proc;
	int r = dv_plan_check(&plan->msg, 0, err);

	if (r == 0)
		r = try_start(&proc, NULL, &plan->msg.process, NULL, 0, err);
	dv_plan_free(plan);
	if (r < 0)
		return r;
	r = try_reap(&proc);
	dv_proc_free(&proc);
	return r;
}

TEST(landlock_lets_a_child_do_what_rules_say)
{
	struct dv_err err = DV_ERR_INIT;
	struct dv_plan plan;
	struct try_dir d;
	char script[512];

	need_landlock();
	try_dir_make(&d);
	try_file(&d, "secret", "x", 0644);
	try_file(&d, "shown", "x", 0644);
	CHECK_EQ(mkdir(try_path(&d, "own"), 0755), 0);
	/* Bit by bit, what went wrong. */
	dv_fmt(script, sizeof(script),
	       "cd %s; s=0; read x <shown || [ \"$x\" ] || s=1\n"
	       "(x=; read x <secret || [ \"$x\" ]) 2>/dev/null && s=$((s|2))\n"
	       "(echo y >shown) 2>/dev/null && s=$((s|4))\n"
	       "(echo y >new) 2>/dev/null && s=$((s|8))\n"
	       "echo y >own/new || s=$((s|16))\n"
	       "exit $s",
	       d.path);
	script_plan(&plan, script);
	dv_landlock_path(&plan, try_path(&d, "shown"), DV_LL_READ, false);
	dv_landlock_path(&plan, try_path(&d, "own"), DV_LL_READ | DV_LL_WRITE,
			 false);
	CHECK_EQ(run_plan(&plan, &err), 0);
	CHECK_STR(err.msg, "");
	try_dir_remove(&d);
}

TEST(landlock_missing_path_is_named_or_left_out)
{
	struct dv_err err = DV_ERR_INIT;
	struct dv_plan plan;

	need_landlock();
	script_plan(&plan, "exit 7");
	dv_landlock_path(&plan, "/no/such", DV_LL_READ, true);
	CHECK_EQ(run_plan(&plan, &err), 7);
	script_plan(&plan, "exit 7");
	dv_landlock_path(&plan, "/no/such", DV_LL_READ, false);
	CHECK_EQ(run_plan(&plan, &err), -ENOENT);
	CHECK_STR(err.msg, "open /no/such: No such file or directory");
	CHECK_EQ(err.step, DV_STEP_ROOT);
}

TEST(landlock_command_outside_the_rules_cannot_be_executed)
{
	struct dv_err err = DV_ERR_INIT;
	struct dv_plan plan = DV_PLAN_INIT;

	need_landlock();
	dv_plan_arg(&plan, "/bin/true");
	plan.msg.process.no_new_privs = true;
	plan.msg.process.has_landlock = true;
	dv_landlock_handle_all(&plan.msg.process.landlock, 1);
	CHECK_EQ(run_plan(&plan, &err), -EACCES);
	CHECK_EQ(err.step, DV_STEP_EXEC);
}

TEST(landlock_that_the_kernel_does_not_know_is_refused)
{
	struct dv_err err = DV_ERR_INIT;
	struct dv_plan plan;

	need_landlock();
	script_plan(&plan, "exit 0");
	plan.msg.process.landlock.handled_fs |= UINT64_C(1) << 62;
	CHECK_EQ(run_plan(&plan, &err), -EINVAL);
	CHECK(strstr(err.msg, "landlock") != NULL);
}

TEST(landlock_death_signal_of_a_plain_child_is_set)
{
	struct dv_err err = DV_ERR_INIT;
	struct dv_plan plan;

	need_landlock();
	script_plan(&plan, "exit 3");
	plan.msg.process.death_signal = SIGKILL;
	CHECK_EQ(run_plan(&plan, &err), 3);
}

/* ---- no sockets --------------------------------------------------------- */

static int try_sockets(const void *arg)
{
	static const int families[] = { AF_UNIX, AF_INET, AF_INET6, AF_NETLINK,
					40 /* AF_VSOCK: only asked for */ };
	int pair[2];

	(void)arg;
	for (size_t i = 0; i < DV_ARRAY_LEN(families); i++)
		if (socket(families[i], SOCK_DGRAM, 0) >= 0 ||
		    errno != EAFNOSUPPORT)
			return 1 + (int)i;
	if (socketpair(AF_UNIX, SOCK_STREAM, 0, pair) < 0)
		return 20;
	if (syscall(425 /* io_uring_setup */, 1, NULL) >= 0 || errno != ENOSYS)
		return 21;
	return getppid() > 0 ? 0 : 22;
}

TEST(no_sockets_filter_lets_nothing_but_socketpair)
{
	size_t n;
	const struct sock_filter *insns = dv_landlock_no_sockets(&n);

	CHECK_EQ(try_child(insns, n, try_sockets, NULL), 0);
}

TEST(no_sockets_filter_knows_every_way_to_a_socket)
{
	enum {
		ALLOW = 0x7fff0000,
		NOFAMILY = 0x50000 | EAFNOSUPPORT,
		NOCALL = 0x50000 | ENOSYS
	};
	static const struct {
		uint32_t arch, nr, arg, gives;
	} rows[] = {
#ifdef __x86_64__
		{ AUDIT_ARCH_X86_64, 41, AF_UNIX, NOFAMILY },
		{ AUDIT_ARCH_X86_64, 53, AF_UNIX, ALLOW },
		{ AUDIT_ARCH_X86_64, 425, 1, NOCALL },
		{ AUDIT_ARCH_X86_64, 0x40000000 | 41, AF_UNIX, NOFAMILY },
		{ AUDIT_ARCH_X86_64, 0x40000000 | 425, 1, NOCALL },
		{ AUDIT_ARCH_X86_64, 102, 1, ALLOW }, /* getuid */
		{ AUDIT_ARCH_X86_64, UINT32_MAX, 0, ALLOW },
		{ AUDIT_ARCH_I386, 359, AF_UNIX, NOFAMILY },
		{ AUDIT_ARCH_I386, 102, 1, NOFAMILY }, /* socket */
		{ AUDIT_ARCH_I386, 102, 3, ALLOW },    /* connect */
		{ AUDIT_ARCH_I386, 102, 8, ALLOW },    /* socketpair */
		{ AUDIT_ARCH_I386, 425, 1, NOCALL },
		{ AUDIT_ARCH_I386, 41, 1, ALLOW }, /* dup */
		{ AUDIT_ARCH_AARCH64, 198, 1, NOCALL },
		{ 0, 41, 1, NOCALL },
#else
		{ AUDIT_ARCH_AARCH64, 198, AF_UNIX, NOFAMILY },
		{ AUDIT_ARCH_AARCH64, 199, AF_UNIX, ALLOW },
		{ AUDIT_ARCH_AARCH64, 425, 1, NOCALL },
		{ AUDIT_ARCH_ARM, 281, 1, NOCALL },
#endif
	};
	size_t n;
	const struct sock_filter *insns = dv_landlock_no_sockets(&n);

	for (size_t i = 0; i < DV_ARRAY_LEN(rows); i++) {
		struct seccomp_data data = {
			.arch = rows[i].arch,
			.nr = (int)rows[i].nr,
			.args = { rows[i].arg },
		};

		CHECK_EQ(try_interpret(insns, n, &data), rows[i].gives);
	}
}
