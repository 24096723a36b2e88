/* SPDX-License-Identifier: MIT */
#include "base/test.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/def.h"
#include "base/fmt.h"
#include "runtime/keeper/keeper.h"
#include "runtime/plan/planner.h"
#include "runtime/plan/spec.h"
#include "wire/pb.h"

static const char *const argv_of[] = { "sh", "-c", "echo \"$0\" \xff", NULL };

static struct dv_spec *new_spec(void)
{
	struct dv_spec *s;

	CHECK_EQ(dv_spec_new(&s), 0);
	CHECK_EQ(dv_spec_argv(s, argv_of, NULL), 0);
	return s;
}

/* ---- every field --------------------------------------------------------- */

/* clang-format off */
#define SET(name, call)                                   \
	static int name(struct dv_spec *s)                \
	{                                                 \
		return call;                              \
	}
SET(nothing, s ? 0 : -1)
SET(exe, dv_spec_exe(s, "/bin/busybox", NULL))
SET(env_clear, dv_spec_env_clear(s))
SET(env_set, dv_spec_env(s, "A=1", NULL) | dv_spec_env(s, "B==\n", NULL))
SET(env_unset, dv_spec_env_remove(s, "PATH", NULL))
SET(env_both, dv_spec_env_remove(s, "PATH", NULL) |
    dv_spec_env(s, "PATH=/x", NULL))
SET(rootfs_overlay, dv_spec_rootfs(s, "/usr", DV_ROOTFS_OVERLAY, NULL))
SET(rootfs_ro, dv_spec_rootfs(s, "/usr", DV_ROOTFS_RO, NULL))
SET(rootfs_rw, dv_spec_rootfs(s, "/usr", DV_ROOTFS_RW, NULL))
SET(read_only, dv_spec_read_only(s, true))
SET(volume, dv_spec_volume(s, "/usr", "/data", 0, NULL))
SET(volume_ro, dv_spec_volume(s, "/usr", "/data", DV_VOLUME_RO, NULL))
SET(tmpfs, dv_spec_tmpfs(s, "/cache", 0, NULL))
SET(tmpfs_size, dv_spec_tmpfs(s, "/cache", 4096, NULL))
SET(workdir, dv_spec_workdir(s, "/tmp", NULL))
SET(user, dv_spec_user(s, "0:0", NULL))
SET(hostname, dv_spec_hostname(s, "box", NULL))
SET(net_host, dv_spec_net(s, DV_NET_HOST))
SET(memory, dv_spec_memory(s, UINT64_C(1) << 40))
SET(cpus, dv_spec_cpus(s, 1500))
SET(pids, dv_spec_pids(s, 77))
SET(io_weight, dv_spec_io_weight(s, 12))
SET(rlimit, dv_spec_rlimit(s, RLIMIT_NOFILE, 100, UINT64_MAX, NULL) |
    dv_spec_rlimit(s, RLIMIT_CORE, 0, 0, NULL))
SET(nice_19, dv_spec_nice(s, 19))
SET(nice_0, dv_spec_nice(s, 0))
SET(oom_score, dv_spec_oom_score_adj(s, -5))
SET(umask_0, dv_spec_umask(s, 0))
SET(cap_add, dv_spec_cap_add(s, "net_raw", NULL))
SET(cap_drop, dv_spec_cap_drop(s, "ALL", NULL))
SET(seccomp, dv_spec_seccomp(s, "unconfined", NULL))
SET(stdin_null, dv_spec_stdio(s, 0, DV_STDIO_NULL, -1, NULL))
SET(stderr_pipe, dv_spec_stdio(s, 2, DV_STDIO_PIPE, -1, NULL))
SET(pty, dv_spec_stdio(s, 0, DV_STDIO_PTY, -1, NULL))
SET(winsize, dv_spec_winsize(s, 40, 132))
SET(stop_signal, dv_spec_stop_signal(s, SIGINT, NULL))
SET(stop_now, dv_spec_stop_timeout(s, 0))
SET(timeout, dv_spec_timeout(s, 1234))
SET(best_effort, dv_spec_best_effort(s, true))
/* clang-format on */

static const struct {
	const char *name;
	int (*set)(struct dv_spec *s);
} rows[] = {
#define ROW(f)        \
	{             \
#f, f \
	}
	ROW(nothing),   ROW(exe),         ROW(env_clear),      ROW(env_set),
	ROW(env_unset), ROW(env_both),    ROW(rootfs_overlay), ROW(rootfs_ro),
	ROW(rootfs_rw), ROW(read_only),   ROW(volume),         ROW(volume_ro),
	ROW(tmpfs),     ROW(tmpfs_size),  ROW(workdir),        ROW(user),
	ROW(hostname),  ROW(net_host),    ROW(memory),         ROW(cpus),
	ROW(pids),      ROW(io_weight),   ROW(rlimit),         ROW(nice_19),
	ROW(nice_0),    ROW(oom_score),   ROW(umask_0),        ROW(cap_add),
	ROW(cap_drop),  ROW(seccomp),     ROW(stdin_null),     ROW(stderr_pipe),
	ROW(pty),       ROW(winsize),     ROW(stop_signal),    ROW(stop_now),
	ROW(timeout),   ROW(best_effort),
};

static void encode(const pb_msgdesc_t *fields, const void *msg,
		   struct dv_buf *out)
{
	CHECK_EQ(dv_pb_encode(fields, msg, out, NULL), 0);
}

/* What the engine is told to do. */
static void plan_of(const struct dv_spec *spec, struct dv_buf *out)
{
	struct dv_planned p = DV_PLANNED_INIT;

	CHECK_EQ(dv_planner_plan(&p, spec, "0123456789abcdef", "/run/davit",
				 "/run/davit/mnt/root", NULL),
		 0);
	encode(dv_Plan_fields, &p.plan.msg, out);
	dv_planner_free(&p);
}

static bool same(const struct dv_buf *a, const struct dv_buf *b)
{
	return a->len == b->len && memcmp(a->data, b->data, a->len) == 0;
}

static void spec_bytes(const struct dv_spec *spec, struct dv_buf *out)
{
	dv_Spec m = dv_Spec_init_zero;

	CHECK_EQ(dv_spec_encode(spec, &m, NULL), 0);
	encode(dv_Spec_fields, &m, out);
	dv_pb_release(dv_Spec_fields, &m);
}

static void round_trip(const struct dv_spec *spec, const char *name)
{
	dv_autobuf before = DV_BUF_INIT(1 << 20), after = DV_BUF_INIT(1 << 20);
	dv_autobuf one = DV_BUF_INIT(1 << 20), two = DV_BUF_INIT(1 << 20);
	dv_Spec m = dv_Spec_init_zero;
	struct dv_spec *back = NULL;

	CHECK_EQ(dv_spec_encode(spec, &m, NULL), 0);
	CHECK_EQ(dv_spec_decode(&back, &m, NULL), 0);
	dv_pb_release(dv_Spec_fields, &m);
	plan_of(spec, &before);
	plan_of(back, &after);
	if (!same(&before, &after))
		print_error("%s: another plan\n", name);
	CHECK(same(&before, &after));
	/* What is not of the plan: limits, how it is stopped. */
	spec_bytes(spec, &one);
	spec_bytes(back, &two);
	CHECK(same(&one, &two));
	dv_spec_free(back);
}

TEST(spec_round_trip_of_every_field_gives_the_same_plan)
{
	dv_autobuf usual = DV_BUF_INIT(1 << 20);
	struct dv_spec *s = new_spec();

	spec_bytes(s, &usual);
	dv_spec_free(s);
	for (size_t i = 0; i < DV_ARRAY_LEN(rows); i++) {
		dv_autobuf bytes = DV_BUF_INIT(1 << 20);

		/* On the host that is for root alone. */
		if (rows[i].set == user && geteuid() != 0)
			continue;
		s = new_spec();
		CHECK_EQ(rows[i].set(s), 0);
		spec_bytes(s, &bytes);
		/* Else the row would test nothing. */
		CHECK_EQ(same(&usual, &bytes), rows[i].set == nothing);
		round_trip(s, rows[i].name);
		dv_spec_free(s);
	}
}

TEST(spec_round_trip_of_all_fields_at_once)
{
	struct dv_spec *s = new_spec();

	for (size_t i = 0; i < DV_ARRAY_LEN(rows); i++)
		CHECK_EQ(rows[i].set(s), 0);
	round_trip(s, "all");
	dv_spec_free(s);
}

TEST(spec_with_descriptors_of_the_caller_is_not_kept)
{
	struct dv_err err = DV_ERR_INIT;
	dv_Spec m = dv_Spec_init_zero;
	struct dv_spec *s = new_spec();

	CHECK_EQ(dv_spec_fd(s, 2, 7, NULL), 0);
	CHECK_EQ(dv_spec_encode(s, &m, &err), -EINVAL);
	CHECK(err.msg[0]);
	dv_spec_free(s);
	s = new_spec();
	CHECK_EQ(dv_spec_stdio(s, 1, DV_STDIO_FD, 2, NULL), 0);
	CHECK_EQ(dv_spec_encode(s, &m, NULL), -EINVAL);
	/* Its documents do not need them. */
	CHECK_EQ(dv_spec_describe(s, &m, NULL), 0);
	CHECK_EQ(m.argv_count, 3);
	CHECK_EQ(m.stdio[1], DV_STDIO_NULL);
	dv_pb_release(dv_Spec_fields, &m);
	dv_spec_free(s);
}

/* ---- nonsense -------------------------------------------------------------
 */

static void wrong(dv_Spec *m)
{
	struct dv_err err = DV_ERR_INIT;
	struct dv_spec *back = NULL;

	CHECK_EQ(dv_spec_decode(&back, m, &err), -EINVAL);
	CHECK(!back);
	CHECK_EQ(err.code, DV_INVALID);
}

TEST(spec_that_makes_no_sense_is_refused)
{
	char *argv[] = { NULL };
	char target[] = "/x", word[] = "true";
	uint32_t stdio[4] = { DV_STDIO_FD, 0, 0, 0 };
	dv_Mount mount = { .kind = dv_MOUNT_PROC, .target = target };
	dv_Spec good = { .argv = argv,
			 .argv_count = 1,
			 .stop_signal = SIGTERM };
	struct dv_spec *back = NULL;
	dv_Spec m;

	argv[0] = word;
	m = good;
	CHECK_EQ(dv_spec_decode(&back, &m, NULL), 0);
	dv_spec_free(back);
	m.argv_count = 0;
	wrong(&m);
	m = good;
	m.boundary = DV_IN_BOUNDARY_N;
	wrong(&m);
	m = good;
	m.net = 99;
	wrong(&m);
	m = good;
	m.rootfs_mode = DV_ROOTFS_N;
	wrong(&m);
	m = good;
	m.stop_signal = 0;
	wrong(&m);
	m.stop_signal = _NSIG;
	wrong(&m);
	m = good;
	m.stop_timeout_ms = -1;
	wrong(&m);
	m = good;
	m.rows = 65536;
	wrong(&m);
	m = good;
	m.stdio = stdio;
	m.stdio_count = 1;
	wrong(&m);
	stdio[0] = DV_STDIO_NULL;
	m.stdio_count = 4;
	wrong(&m);
	m = good;
	m.mounts = &mount;
	m.mounts_count = 1;
	wrong(&m);
	mount.kind = dv_MOUNT_BIND; /* without a source */
	wrong(&m);
}

/* ---- how it is kept --------------------------------------------------------
 */

TEST(keep_defaults_are_written_out)
{
	static const char *const cmd[] = { "true", NULL };
	struct dv_sandbox_keep keep = DV_SANDBOX_KEEP_INIT;
	dv_Keep m = dv_Keep_init_zero;

	CHECK_EQ(dv_keep_encode(&keep, &m, NULL), 0);
	CHECK_EQ(m.log_max, 64 << 20);
	CHECK(!m.name && !m.input && !m.health_count);
	CHECK_EQ(m.health_interval_ms, 0);
	dv_pb_release(dv_Keep_fields, &m);
	keep.log_max = UINT64_MAX;
	keep.terminal = true;
	keep.health = cmd;
	CHECK_EQ(dv_keep_encode(&keep, &m, NULL), 0);
	CHECK_EQ(m.log_max, 0);
	CHECK(m.input && m.terminal);
	CHECK_EQ(m.health_count, 1);
	CHECK_EQ(m.health_interval_ms, 30000);
	CHECK_EQ(m.health_retries, 3);
	dv_pb_release(dv_Keep_fields, &m);
}

static void bad_keep(const struct dv_sandbox_keep *keep)
{
	struct dv_err err = DV_ERR_INIT;
	dv_Keep m = dv_Keep_init_zero;

	CHECK_EQ(dv_keep_encode(keep, &m, &err), -EINVAL);
	CHECK(err.msg[0]);
}

TEST(keep_that_makes_no_sense_is_refused)
{
	static const struct dv_sandbox_keep good = DV_SANDBOX_KEEP_INIT;
	static const char *const no_value[] = { "label", NULL };
	static const char *const no_text[] = { "a=\xff", NULL };
	static const char *const twice[] = { "a=1", "ab=2", "a=3", NULL };
	static const char *const no_key[] = { "=x", NULL };
	const char *many[DV_SANDBOX_LABELS_MAX + 2] = { NULL };
	char keys[DV_SANDBOX_LABELS_MAX + 1][16];
	struct dv_sandbox_keep keep = good;

	keep.size--;
	bad_keep(&keep);
	keep = good;
	keep.name = "Upper";
	bad_keep(&keep);
	keep = good;
	keep.restart = DV_RESTART_N;
	bad_keep(&keep);
	keep = good;
	keep.restart = DV_RESTART_ALWAYS;
	keep.remove = true;
	bad_keep(&keep);
	keep = good;
	keep.ttl_ms = -1;
	bad_keep(&keep);
	keep = good;
	keep.labels = no_value;
	bad_keep(&keep);
	keep.labels = no_key;
	bad_keep(&keep);
	keep.labels = no_text;
	bad_keep(&keep);
	keep.labels = twice;
	bad_keep(&keep);
	for (size_t i = 0; i <= DV_SANDBOX_LABELS_MAX; i++) {
		dv_fmt(keys[i], sizeof(keys[i]), "k%zu=v", i);
		many[i] = keys[i];
	}
	keep.labels = many;
	bad_keep(&keep);
}

TEST(info_of_kept_has_what_does_not_change)
{
	static const char *const labels[] = { "a=1", "b=", NULL };
	struct dv_sandbox_keep keep = DV_SANDBOX_KEEP_INIT;
	dv_KeptSandbox kept = dv_KeptSandbox_init_zero;
	struct dv_sandbox_info info;
	struct dv_spec *s = new_spec();

	keep.name = "web";
	keep.labels = labels;
	keep.restart = DV_RESTART_ON_FAILURE;
	keep.restart_max = 4;
	CHECK_EQ(memory(s), 0);
	CHECK_EQ(dv_spec_encode(s, &kept.spec, NULL), 0);
	CHECK_EQ(dv_keep_encode(&keep, &kept.keep, NULL), 0);
	kept.has_spec = kept.has_keep = true;
	kept.id = strdup("0123456789abcdef");
	CHECK_EQ(dv_info_of_kept(&info, &kept, NULL), 0);
	CHECK_STR(info.id, "0123456789abcdef");
	CHECK_STR(info.name, "web");
	CHECK_STR(info.argv[2], argv_of[2]);
	CHECK(!info.argv[3]);
	CHECK_STR(info.labels[1], "b=");
	CHECK(!info.labels[2]);
	CHECK_EQ(info.restart, DV_RESTART_ON_FAILURE);
	CHECK_EQ(info.restart_max, 4);
	CHECK(info.limits.memory == UINT64_C(1) << 40);
	CHECK_STR(info.missing, "");
	dv_sandbox_info_free(&info);
	dv_pb_release(dv_KeptSandbox_fields, &kept);
	dv_spec_free(s);
}
