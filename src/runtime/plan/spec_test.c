/* SPDX-License-Identifier: MIT */
#include "base/test.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "base/def.h"
#include "runtime/plan/spec.h"

static struct dv_spec *new_spec(void)
{
	struct dv_spec *spec;

	CHECK_EQ(dv_spec_new(&spec), 0);
	return spec;
}

TEST(spec_defaults)
{
	struct dv_spec *s = new_spec();

	CHECK_EQ(s->stop_signal, SIGTERM);
	CHECK_EQ(s->stop_timeout_ms, 10000);
	CHECK_EQ(s->timeout_ms, -1);
	CHECK_EQ(s->boundary, DV_IN_PROCESS);
	CHECK_EQ(s->net, DV_NET_NONE);
	CHECK(dv_spec_free(s) == NULL);
	CHECK(dv_spec_free(NULL) == NULL);
}

/* clang-format off */
#define BAD(name, call)                                         \
	static int name(struct dv_spec *s, struct dv_err *err)  \
	{                                                       \
		(void)err;                                      \
		return call;                                    \
	}
static const char *const none[] = { NULL };
BAD(argv_none, dv_spec_argv(s, NULL, err))
BAD(argv_empty, dv_spec_argv(s, none, err))
BAD(exe_empty, dv_spec_exe(s, "", err))
BAD(env_empty, dv_spec_env(s, "", err))
BAD(env_no_name, dv_spec_env(s, "=x", err))
BAD(env_rm_empty, dv_spec_env_remove(s, "", err))
BAD(env_rm_value, dv_spec_env_remove(s, "A=1", err))
BAD(boundary, dv_spec_boundary(s, DV_IN_BOUNDARY_N))
BAD(rootfs_mode, dv_spec_rootfs(s, "/", DV_ROOTFS_N, err))
BAD(rootfs_empty, dv_spec_rootfs(s, "", DV_ROOTFS_RO, err))
BAD(vol_flags, dv_spec_volume(s, "/a", "/b", 2, err))
BAD(vol_relative, dv_spec_volume(s, "/a", "b", 0, err))
BAD(vol_no_target, dv_spec_volume(s, "/a", "", 0, err))
BAD(vol_no_source, dv_spec_volume(s, "", "/b", 0, err))
BAD(vol_root, dv_spec_volume(s, "/a", "/", 0, err))
BAD(vol_root_hidden, dv_spec_volume(s, "/a", "/x/..", 0, err))
BAD(tmpfs_relative, dv_spec_tmpfs(s, "b", 0, err))
BAD(tmpfs_root, dv_spec_tmpfs(s, "/", 0, err))
BAD(tmpfs_root_hidden, dv_spec_tmpfs(s, "//.", 0, err))
BAD(workdir_relative, dv_spec_workdir(s, "x", err))
BAD(workdir_empty, dv_spec_workdir(s, "", err))
BAD(user_empty, dv_spec_user(s, "", err))
BAD(user_group_only, dv_spec_user(s, ":g", err))
BAD(host_empty, dv_spec_hostname(s, "", err))
BAD(host_long, dv_spec_hostname(s, "0123456789012345678901234567890123456789012345678901234567890123X", err))
BAD(net, dv_spec_net(s, DV_NET_N))
BAD(io_weight, dv_spec_io_weight(s, 10001))
BAD(rlimit_low, dv_spec_rlimit(s, -1, 0, 0, err))
BAD(rlimit_high, dv_spec_rlimit(s, 100, 0, 0, err))
BAD(rlimit_order, dv_spec_rlimit(s, 0, 2, 1, err))
BAD(oom_low, dv_spec_oom_score_adj(s, -1001))
BAD(oom_high, dv_spec_oom_score_adj(s, 1001))
BAD(umask_high, dv_spec_umask(s, 01000))
BAD(cap_add, dv_spec_cap_add(s, "nothing", err))
BAD(cap_drop, dv_spec_cap_drop(s, "", err))
BAD(seccomp_empty, dv_spec_seccomp(s, "", err))
BAD(stdio_which, dv_spec_stdio(s, 3, DV_STDIO_NULL, -1, err))
BAD(stdio_minus, dv_spec_stdio(s, -1, DV_STDIO_NULL, -1, err))
BAD(stdio_mode, dv_spec_stdio(s, 0, DV_STDIO_N, -1, err))
BAD(stdio_closed, dv_spec_stdio(s, 0, DV_STDIO_FD, 999, err))
BAD(fd_closed, dv_spec_fd(s, 999, 5, err))
BAD(fd_low, dv_spec_fd(s, 0, 2, err))
BAD(fd_high, dv_spec_fd(s, 0, 1024, err))
BAD(signal_zero, dv_spec_stop_signal(s, 0, err))
BAD(signal_high, dv_spec_stop_signal(s, 65, err))
BAD(grace, dv_spec_stop_timeout(s, -1))
/* clang-format on */

TEST(spec_bad_values_are_refused_by_the_setter)
{
	static int (*const bad[])(struct dv_spec *, struct dv_err *) = {
		argv_none,         argv_empty,
		exe_empty,         env_empty,
		env_no_name,       env_rm_empty,
		env_rm_value,      boundary,
		rootfs_mode,       rootfs_empty,
		vol_flags,         vol_relative,
		vol_no_target,     vol_no_source,
		vol_root,          vol_root_hidden,
		tmpfs_relative,    tmpfs_root,
		tmpfs_root_hidden, workdir_relative,
		workdir_empty,     user_empty,
		user_group_only,   host_empty,
		host_long,         net,
		io_weight,         rlimit_low,
		rlimit_high,       rlimit_order,
		oom_low,           oom_high,
		umask_high,        cap_add,
		cap_drop,          seccomp_empty,
		stdio_which,       stdio_minus,
		stdio_mode,        stdio_closed,
		fd_closed,         fd_low,
		fd_high,           signal_zero,
		signal_high,       grace,
	};

	for (size_t i = 0; i < DV_ARRAY_LEN(bad); i++) {
		struct dv_err err = DV_ERR_INIT;
		struct dv_spec *s = new_spec();
		int r = bad[i](s, &err);

		if (r != -EINVAL)
			print_error("row %zu: %d\n", i, r);
		CHECK_EQ(r, -EINVAL);
		if (err.msg[0])
			CHECK_EQ(err.step, DV_STEP_CONFIG);
		CHECK_EQ(bad[i](s, NULL), -EINVAL);
		dv_spec_free(s);
	}
}

TEST(spec_paths_are_made_absolute_and_clean)
{
	struct dv_spec *s = new_spec();
	const dv_Isolation *iso = &s->mem.msg.isolation;

	CHECK_EQ(dv_spec_volume(s, "/a//b/../c", "/x/./y/", 0, NULL), 0);
	CHECK_STR(iso->mounts[0].source, "/a/c");
	CHECK_STR(iso->mounts[0].target, "/x/y");
	CHECK_EQ(dv_spec_volume(s, ".", "/w", DV_VOLUME_RO, NULL), 0);
	CHECK_EQ(iso->mounts[1].source[0], '/');
	CHECK(iso->mounts[1].flags & dv_MF_RO);
	CHECK_EQ(dv_spec_tmpfs(s, "/t", 4096, NULL), 0);
	CHECK_STR(iso->mounts[2].options, "size=4096");
	CHECK_EQ(dv_spec_rootfs(s, "/r/", DV_ROOTFS_RW, NULL), 0);
	CHECK_STR(s->rootfs, "/r");
	CHECK_EQ(s->boundary, DV_IN_CONTAINER);
	dv_spec_free(s);
}

TEST(spec_environment_inherits_sets_and_removes)
{
	struct dv_spec *s = new_spec();

	setenv("DAVIT_TEST_VALUE", "from here", 1);
	unsetenv("DAVIT_TEST_NONE");
	CHECK_EQ(dv_spec_env(s, "DAVIT_TEST_VALUE", NULL), 0);
	CHECK_EQ(dv_spec_env(s, "DAVIT_TEST_NONE", NULL), 0);
	CHECK_EQ(dv_spec_env(s, "A=1=2", NULL), 0);
	CHECK_EQ(dv_spec_env(s, "B=", NULL), 0);
	CHECK_STR(dv_plan_getenv(&s->mem, "DAVIT_TEST_VALUE"), "from here");
	CHECK(dv_plan_getenv(&s->mem, "DAVIT_TEST_NONE") == NULL);
	CHECK_STR(dv_plan_getenv(&s->mem, "A"), "1=2");
	CHECK_STR(dv_plan_getenv(&s->mem, "B"), "");
	CHECK_EQ(dv_spec_env_remove(s, "A", NULL), 0);
	CHECK(dv_plan_getenv(&s->mem, "A") == NULL);
	CHECK_EQ(s->env_unset_count, 1);
	unsetenv("DAVIT_TEST_VALUE");
	dv_spec_free(s);
}

TEST(spec_pty_sets_all_streams_until_one_is_set_again)
{
	struct dv_spec *s = new_spec();

	CHECK_EQ(dv_spec_stdio(s, 0, DV_STDIO_PTY, -1, NULL), 0);
	for (int i = 0; i < 3; i++)
		CHECK_EQ(s->stdio[i].mode, DV_STDIO_PTY);
	CHECK_EQ(dv_spec_stdio(s, 2, DV_STDIO_PIPE, -1, NULL), 0);
	CHECK_EQ(s->stdio[1].mode, DV_STDIO_PTY);
	CHECK_EQ(s->stdio[2].mode, DV_STDIO_PIPE);
	dv_spec_free(s);
}

TEST(spec_descriptors_up_to_the_limit)
{
	struct dv_spec *s = new_spec();
	int r = 0, n = 0;

	CHECK_EQ(dv_spec_fd(s, 0, 3, NULL), 0);
	CHECK_EQ(dv_spec_fd(s, 0, 3, NULL), -EINVAL);
	for (int target = 4; r == 0 && target < 1024; target++, n++)
		r = dv_spec_fd(s, 1, target, NULL);
	CHECK_EQ(r, -EINVAL);
	CHECK_EQ(n, DV_PLAN_FDS_MAX - 3);
	dv_spec_free(s);
}

/* The counts of a message have 16 bits. */
TEST(spec_with_more_words_than_fit_says_so)
{
	struct dv_err err = DV_ERR_INIT;
	const char **argv = calloc(65537, sizeof(*argv));
	struct dv_spec *s = new_spec();

	CHECK(argv);
	for (int i = 0; i < 65536; i++)
		argv[i] = "x";
	CHECK_EQ(dv_spec_argv(s, argv, &err), -E2BIG);
	CHECK_STR(err.msg, "more than 65535 arguments");
	CHECK(err.hint[0]);
	CHECK_EQ(err.step, DV_STEP_CONFIG);
	dv_spec_free(s);
	s = new_spec();
	argv[65535] = NULL;
	CHECK_EQ(dv_spec_argv(s, argv, NULL), 0);
	CHECK_EQ(s->mem.msg.process.argv_count, 65535);
	free(argv);
	dv_spec_free(s);
}

TEST(spec_argv_set_again_replaces)
{
	static const char *const one[] = { "a", "b", NULL };
	static const char *const two[] = { "c", NULL };
	struct dv_spec *s = new_spec();

	CHECK_EQ(dv_spec_argv(s, one, NULL), 0);
	CHECK_EQ(dv_spec_argv(s, two, NULL), 0);
	CHECK_EQ(s->mem.msg.process.argv_count, 1);
	CHECK_STR(s->mem.msg.process.argv[0], "c");
	dv_spec_free(s);
}
