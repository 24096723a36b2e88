/* SPDX-License-Identifier: MIT */
#include "base/test.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/sched.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/def.h"
#include "base/fd.h"
#include "base/fmt.h"
#include "base/path.h"
#include "base/random.h"
#include "engine/cgroup.h"
#include "engine/cgroup_priv.h"
#include "engine/cgroup_try.h"

/* ---- parsers ------------------------------------------------------------ */

static const char hybrid[] = "9:name=systemd:/\n"
			     "8:pids:/\n"
			     "7:blkio:/\n"
			     "4:memory:/a/b:c d\n"
			     "2:cpu,cpuacct:/x\n"
			     "0::/u\n";

static void check_str(struct dv_str s, const char *want)
{
	if (!want) {
		CHECK(s.ptr == NULL);
		return;
	}
	CHECK(s.ptr != NULL);
	CHECK_EQ(s.len, strlen(want));
	CHECK(memcmp(s.ptr, want, s.len) == 0);
}

TEST(self_of_every_kind_of_host_is_understood)
{
	static const struct {
		const char *text, *path[DV_CG_TREE_N];
	} rows[] = {
		/* v2, memory, cpu, pids, io */
		{ hybrid, { "/u", "/a/b:c d", "/x", "/", "/" } },
		{ "0::/\n", { "/" } },
		{ "0::/user.slice/a.scope\n", { "/user.slice/a.scope" } },
		{ "3:memory:/docker/1f\n", { NULL, "/docker/1f" } },
		{ "3:cpuacct,cpu:/c\n", { NULL, NULL, "/c" } },
		{ "3:cpuset:/c\n2:cpuacct:/d\n", { NULL } },
		{ "1:name=memory:/c\n", { NULL } },
		{ "0::/gone (deleted)\n", { NULL } },
		{ "", { NULL } },
	};
	struct dv_cg_self self;

	for (size_t i = 0; i < DV_ARRAY_LEN(rows); i++) {
		CHECK_EQ(dv_cg_parse_self(rows[i].text, strlen(rows[i].text),
					  &self),
			 0);
		for (int t = 0; t < DV_CG_TREE_N; t++)
			check_str(self.path[t], rows[i].path[t]);
	}
}

TEST(self_malformed_is_refused)
{
	static const char *const bad[] = {
		"0::/", "\n", "0:/\n", "0::\n", "0::x\n", "::/\n", "memory\n",
	};
	struct dv_cg_self self;

	for (size_t i = 0; i < DV_ARRAY_LEN(bad); i++) {
		CHECK_EQ(dv_cg_parse_self(bad[i], strlen(bad[i]), &self),
			 -EINVAL);
		CHECK(self.path[DV_CG_V2].ptr == NULL);
	}
}

TEST(self_truncated_at_every_byte_names_no_shorter_path)
{
	struct dv_cg_self self;

	for (size_t n = 0; n < sizeof(hybrid) - 1; n++) {
		/* Exactly sized, so that a read past the end is seen. */
		char *text = malloc(n ? n : 1);
		const int whole = n == 0 || hybrid[n - 1] == '\n';

		CHECK(text != NULL);
		memcpy(text, hybrid, n);
		CHECK_EQ(dv_cg_parse_self(text, n, &self), whole ? 0 : -EINVAL);
		if (self.path[DV_CG_MEMORY].ptr)
			check_str(self.path[DV_CG_MEMORY], "/a/b:c d");
		free(text);
	}
}

static const char mounts[] =
	"31 23 0:28 / /sys/fs/cgroup rw - tmpfs tmpfs rw,mode=755\n"
	"32 31 0:29 / /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup "
	"rw,cpu,cpuacct\n"
	"33 31 0:30 /docker/1f /sys/fs/cgroup/memory ro shared:1 master:2 - "
	"cgroup cgroup rw,memory\n"
	"34 31 0:31 /../.. /outer rw - cgroup cgroup rw,pids\n"
	"35 31 0:32 /p\\040q /my\\040\\134dir rw - cgroup cgroup rw,pids\n"
	"36 31 0:33 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n";

TEST(mounts_give_the_own_directory)
{
	static const struct {
		enum dv_cg_tree tree;
		const char *own;
		int r;
		const char *dir;
	} rows[] = {
		{ DV_CG_V2, "/", 0, "/sys/fs/cgroup/unified" },
		{ DV_CG_V2, "/a/b", 0, "/sys/fs/cgroup/unified/a/b" },
		{ DV_CG_V2, "/../a", -ENOENT, NULL },
		{ DV_CG_CPU, "/x", 0, "/sys/fs/cgroup/cpu,cpuacct/x" },
		{ DV_CG_MEMORY, "/docker/1f", 0, "/sys/fs/cgroup/memory" },
		{ DV_CG_MEMORY, "/docker/1f/k", 0, "/sys/fs/cgroup/memory/k" },
		{ DV_CG_MEMORY, "/docker/1ff", -ENOENT, NULL },
		{ DV_CG_MEMORY, "/", -ENOENT, NULL },
		{ DV_CG_PIDS, "/p q/r", 0, "/my \\dir/r" },
		{ DV_CG_IO, "/", -ENOENT, NULL },
	};
	size_t whole = sizeof(mounts) - 1;
	char dir[PATH_MAX];

	for (size_t i = 0; i < DV_ARRAY_LEN(rows); i++) {
		const struct dv_str own = { rows[i].own, strlen(rows[i].own) };
		size_t len = sizeof(mounts) - 1;

		CHECK_EQ(dv_cg_parse_mounts(mounts, &len, rows[i].tree, own,
					    dir, sizeof(dir)),
			 rows[i].r);
		if (rows[i].dir)
			CHECK_STR(dir, rows[i].dir);
	}
	CHECK_EQ(dv_cg_parse_mounts(mounts, &whole, DV_CG_V2,
				    (struct dv_str){ "/a", 2 }, dir, 24),
		 -ENAMETOOLONG);
}

TEST(mounts_are_found_last_first)
{
	static const char two[] = "1 0 0:1 / /a rw - cgroup2 cgroup2 rw\n"
				  "2 0 0:1 /x /a rw - cgroup2 cgroup2 rw\n"
				  "3 0 0:1 /y /c rw - cgroup2 cgroup2 rw\n";
	const struct dv_str own = { "/x/k", 4 };
	size_t len = sizeof(two) - 1;
	char dir[16];

	CHECK_EQ(dv_cg_parse_mounts(two, &len, DV_CG_V2, own, dir, 16), 0);
	CHECK_STR(dir, "/a/k");
	CHECK_EQ(dv_cg_parse_mounts(two, &len, DV_CG_V2, own, dir, 16), 0);
	CHECK_STR(dir, "/a/x/k");
	CHECK_EQ(dv_cg_parse_mounts(two, &len, DV_CG_V2, own, dir, 16),
		 -ENOENT);
}

TEST(mounts_truncated_at_every_byte_give_all_or_nothing)
{
	const struct dv_str own = { "/a", 2 };
	char dir[PATH_MAX];

	for (size_t n = 0; n < sizeof(mounts) - 1; n++) {
		char *text = malloc(n ? n : 1);
		size_t len = n;

		CHECK(text != NULL);
		memcpy(text, mounts, n);
		CHECK_EQ(dv_cg_parse_mounts(text, &len, DV_CG_V2, own, dir,
					    sizeof(dir)),
			 -ENOENT);
		free(text);
	}
}

TEST(counter_is_found_by_its_whole_key)
{
	const char *text = "oom 3\noom_kill 7\noom_kill_x 9\n";

	CHECK_EQ(dv_cg_parse_counter(text, "oom_kill"), 7);
	CHECK_EQ(dv_cg_parse_counter(text, "oom"), 3);
	CHECK_EQ(dv_cg_parse_counter(text, "kill"), 0);
	CHECK_EQ(dv_cg_parse_counter("", "oom"), 0);
}

/* ---- helpers ------------------------------------------------------------ */

static int sweep_soon(const char *dir)
{
	const uint64_t end = now_ms() + SOON_MS;
	int r;

	while ((r = dv_cgroup_sweep(dir)) == -EBUSY && now_ms() < end)
		sched_yield();
	return r;
}

static void check_file(const char *dir, const char *file, const char *want)
{
	char path[PATH_MAX];
	char *text = NULL;
	size_t len;

	CHECK_EQ(dv_path_join(path, sizeof(path), dir, file), 0);
	CHECK_EQ(dv_read_file(AT_FDCWD, path, 4096, &text, &len), 0);
	CHECK_STR(text, want);
	free(text);
}

static const char *dir_of(const struct dv_cgroup *cg, enum dv_cg_tree tree)
{
	for (int i = 0; i < cg->n_dirs; i++) {
		if (cg->tree[i] == tree)
			return cg->dirs[i];
	}
	return NULL;
}

/* ---- real groups -------------------------------------------------------- */

TEST(no_limits_make_one_v2_group_and_remove_is_idempotent)
{
	struct dv_cgroup cg = DV_CGROUP_INIT;
	struct dv_err err = DV_ERR_INIT;
	char dir[PATH_MAX];

	need_v2();
	CHECK_EQ(make(&cg, &no_limits, &err), 0);
	CHECK(cg.v2_fd >= 0);
	CHECK_EQ(cg.n_dirs, 1);
	CHECK_EQ(cg.n_procs, 0);
	dv_fmt(dir, sizeof(dir), "%s", cg.dirs[0]);
	CHECK_EQ(access(dir, F_OK), 0);
	CHECK_EQ(dv_cgroup_remove(&cg), 0);
	CHECK_EQ(access(dir, F_OK), -1);
	CHECK_EQ(cg.v2_fd, -1);
	CHECK_EQ(dv_cgroup_remove(&cg), 0);
	CHECK_EQ(dv_cgroup_kill(&cg), 0);
}

/* Counts the paths that do not exist yet when they are told. */
static int note_new(void *arg, const char *path)
{
	int *n = arg;

	*n += access(path, F_OK) < 0 && errno == ENOENT;
	return 0;
}

TEST(note_is_told_every_group_before_it_is_made)
{
	const struct dv_cgroup_limits l = { .memory = 64 << 20, .pids = 9 };
	struct dv_cgroup cg = DV_CGROUP_INIT;
	int n = 0;

	need(DV_CG_MEMORY);
	need(DV_CG_PIDS);
	cg.note = note_new;
	cg.note_arg = &n;
	CHECK_EQ(make(&cg, &l, NULL), 0);
	CHECK(n > 0);
	CHECK_EQ(n, cg.n_dirs);
	CHECK_EQ(dv_cgroup_remove(&cg), 0);
}

static int report_own_group(void)
{
	char *text = NULL;
	size_t len;
	int r = dv_read_file(AT_FDCWD, "/proc/self/cgroup", 4096, &text, &len);

	return r == 0 && strstr(text, "0::") &&
			       strstr(strstr(text, "0::"), "/davit-")
		       ? 7
		       : 1;
}

TEST(clone_into_v2_group_starts_there)
{
	struct dv_cgroup cg = DV_CGROUP_INIT;

	need_v2();
	CHECK_EQ(make(&cg, &no_limits, NULL), 0);
	CHECK_EQ(WEXITSTATUS(wait_status(start_in(&cg, report_own_group))), 7);
	CHECK_EQ(remove_soon(&cg), 0);
}

TEST(remove_with_a_process_is_busy_and_kill_empties_it)
{
	struct dv_cgroup cg = DV_CGROUP_INIT;
	pid_t pid;

	need_v2();
	CHECK_EQ(make(&cg, &no_limits, NULL), 0);
	pid = start_in(&cg, wait_forever);
	CHECK_EQ(dv_cgroup_remove(&cg), -EBUSY);
	CHECK(cg.v2_fd >= 0);
	CHECK_EQ(dv_cgroup_kill(&cg), 0);
	CHECK_EQ(WTERMSIG(wait_status(pid)), SIGKILL);
	CHECK_EQ(remove_soon(&cg), 0);
}

/* Wait for a line of cgroup.events; a change of it is POLLPRI. */
static int wait_event(const char *dir, const char *key, uint64_t value)
{
	const uint64_t end = now_ms() + SOON_MS;
	char path[PATH_MAX], text[256];
	dv_autofd int fd = -1;
	ssize_t n;

	CHECK_EQ(dv_path_join(path, sizeof(path), dir, "cgroup.events"), 0);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	while ((n = pread(fd, text, sizeof(text) - 1, 0)) > 0) {
		struct pollfd p = { .fd = fd, .events = POLLPRI };

		text[n] = '\0';
		if (dv_cg_parse_counter(text, key) == value)
			return 0;
		if (now_ms() >= end)
			return -ETIMEDOUT;
		poll(&p, 1, 100);
	}
	return -EIO;
}

TEST(frozen_group_can_be_killed)
{
	struct dv_cgroup cg = DV_CGROUP_INIT;
	struct dv_err err = DV_ERR_INIT;
	pid_t pid;

	need_v2();
	CHECK_EQ(make(&cg, &no_limits, NULL), 0);
	pid = start_in(&cg, wait_forever);
	CHECK_EQ(dv_cgroup_freeze(&cg, true, &err), 0);
	CHECK_EQ(wait_event(cg.dirs[0], "frozen", 1), 0);
	CHECK_EQ(dv_cgroup_kill(&cg), 0);
	CHECK_EQ(WTERMSIG(wait_status(pid)), SIGKILL);
	CHECK_EQ(remove_soon(&cg), 0);
	CHECK_EQ(dv_cgroup_freeze(&cg, true, &err), -EOPNOTSUPP);
	CHECK_EQ(err.step, DV_STEP_CGROUP);
}

TEST(groups_made_inside_are_removed_too)
{
	struct dv_cgroup cg = DV_CGROUP_INIT;

	need_v2();
	CHECK_EQ(make(&cg, &no_limits, NULL), 0);
	CHECK_EQ(mkdirat(cg.v2_fd, "a", 0755), 0);
	CHECK_EQ(mkdirat(cg.v2_fd, "b", 0755), 0);
	CHECK_EQ(mkdirat(cg.v2_fd, "a/c", 0755), 0);
	CHECK_EQ(remove_soon(&cg), 0);
}

TEST(limits_are_written_as_asked_on_v1)
{
	const struct dv_cgroup_limits l = { .memory = 64 << 20,
					    .milli_cpus = 1500,
					    .pids = 9 };
	struct dv_cgroup cg = DV_CGROUP_INIT;
	struct dv_err err = DV_ERR_INIT;
	struct dv_cgroup_can can;
	char memsw[PATH_MAX];
	const char *dir;

	need(DV_CG_MEMORY);
	need(DV_CG_CPU);
	need(DV_CG_PIDS);
	dv_cgroup_probe(&can);
	if (!can.v1)
		SKIP("the controllers are not on v1 here");
	CHECK_EQ(make(&cg, &l, &err), 0);
	CHECK(cg.own_pids_v1);
	dir = dir_of(&cg, DV_CG_MEMORY);
	check_file(dir, "memory.limit_in_bytes", "67108864\n");
	dv_fmt(memsw, sizeof(memsw), "%s/memory.memsw.limit_in_bytes", dir);
	if (access(memsw, F_OK) == 0)
		check_file(dir, "memory.memsw.limit_in_bytes", "67108864\n");
	dir = dir_of(&cg, DV_CG_CPU);
	check_file(dir, "cpu.cfs_quota_us", "150000\n");
	check_file(dir, "cpu.cfs_period_us", "100000\n");
	check_file(dir_of(&cg, DV_CG_PIDS), "pids.max", "9\n");
	CHECK_EQ(dv_cgroup_remove(&cg), 0);
}

static int touch_128_mib(void)
{
	const size_t len = 128 << 20;
	char *p = mmap(NULL, len, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (p == MAP_FAILED)
		return 121;
	for (size_t i = 0; i < len; i += 4096)
		p[i] = 1;
	return 0;
}

TEST(memory_over_the_limit_is_killed_and_counted)
{
	const struct dv_cgroup_limits l = { .memory = 64 << 20 };
	struct dv_cgroup cg = DV_CGROUP_INIT;
	struct dv_err err = DV_ERR_INIT;
	struct dv_cgroup_usage usage;
	int status;

	need(DV_CG_MEMORY);
	CHECK_EQ(make(&cg, &l, &err), 0);
	status = wait_status(start_in(&cg, touch_128_mib));
	CHECK(WIFSIGNALED(status));
	CHECK_EQ(WTERMSIG(status), SIGKILL);
	dv_cgroup_usage(&cg, &usage);
	CHECK(usage.oom_kills >= 1);
	CHECK_EQ(usage.pids_refused, 0);
	CHECK_EQ(remove_soon(&cg), 0);
}

/* How many children it could have at once; 100 when nothing stopped it. */
static int fork_until_refused(void)
{
	int n = 0;

	while (n < 100) {
		const pid_t pid = fork();

		if (pid < 0)
			break;
		if (pid == 0)
			wait_forever();
		n++;
	}
	signal(SIGTERM, SIG_IGN);
	kill(0, SIGTERM);
	while (waitpid(-1, NULL, 0) > 0)
		;
	return n;
}

static int fork_in_own_session(void)
{
	setsid();
	return fork_until_refused();
}

TEST(forks_over_the_limit_are_refused_and_counted)
{
	const struct dv_cgroup_limits l = { .pids = 5 };
	struct dv_cgroup cg = DV_CGROUP_INIT;
	struct dv_err err = DV_ERR_INIT;
	struct dv_cgroup_usage usage;
	int status;

	need(DV_CG_PIDS);
	CHECK_EQ(make(&cg, &l, &err), 0);
	status = wait_status(start_in(&cg, fork_in_own_session));
	CHECK(WIFEXITED(status));
	/* On v2 there is room for an init, which this child does not have. */
	CHECK_EQ(WEXITSTATUS(status), cg.own_pids_v1 ? 4 : 5);
	dv_cgroup_usage(&cg, &usage);
	CHECK(usage.pids_refused >= 1);
	CHECK_EQ(usage.oom_kills, 0);
	CHECK_EQ(remove_soon(&cg), 0);
}

/* ---- what cannot be had ------------------------------------------------- */

TEST(senseless_limits_are_invalid)
{
	static const struct dv_cgroup_limits rows[] = {
		{ .memory = 1 },
		{ .memory = 65536 },
		{ .milli_cpus = 9 },
		{ .io_weight = 10001 },
	};
	struct dv_cgroup cg = DV_CGROUP_INIT;

	for (size_t i = 0; i < DV_ARRAY_LEN(rows); i++) {
		struct dv_err err = DV_ERR_INIT;

		CHECK_EQ(make(&cg, &rows[i], &err), -EINVAL);
		CHECK_EQ(err.code, DV_INVALID);
		CHECK_EQ(err.step, DV_STEP_CGROUP);
		CHECK_EQ(cg.n_dirs, 0);
	}
	CHECK_EQ(dv_cgroup_create(&cg, "../../escape", &no_limits, false, NULL,
				  NULL),
		 -EINVAL);
}

TEST(io_weight_without_a_scheduler_for_it_is_refused_or_reported)
{
	const struct dv_cgroup_limits l = { .io_weight = 200 };
	struct dv_cgroup cg = DV_CGROUP_INIT;
	struct dv_err err = DV_ERR_INIT;
	struct dv_cgroup_can can;
	dv_autobuf missing = DV_BUF_INIT(4096);
	char id[DV_ID_LEN + 1];

	dv_random_id(id);
	dv_cgroup_probe(&can);
	if (can.io)
		SKIP("a disk here honours io weights");
	CHECK(can.why_io[0] != '\0');
	CHECK(make(&cg, &l, &err) < 0);
	CHECK(strstr(err.msg, "set the io weight to 200: ") == err.msg);
	CHECK(err.hint[0] != '\0');
	CHECK_EQ(cg.n_dirs, 0);
	CHECK_EQ(dv_cgroup_create(&cg, id, &l, true, &missing, NULL), 0);
	CHECK(strstr(missing.data, "io weight"));
	CHECK_EQ(missing.data[missing.len - 1], '\n');
	CHECK_EQ(remove_soon(&cg), 0);
}

/* In a forked child a failed CHECK would run the other tests a second time. */
#define WANT(x)                                                           \
	do {                                                              \
		if (!(x)) {                                               \
			fprintf(stderr, "# line %d: %s\n", __LINE__, #x); \
			_exit(1);                                         \
		}                                                         \
	} while (0)

enum { NOT_ALLOWED = 77 };

/* What the rest of the child is about; root in a container has less. */
#define NEED(x)                             \
	do {                                \
		if (!(x))                   \
			_exit(NOT_ALLOWED); \
	} while (0)

static void in_child(void (*fn)(void))
{
	const pid_t pid = fork();
	int status;

	if (pid == 0) {
		fn();
		_exit(0);
	}
	status = wait_status(pid);
	if (WIFEXITED(status) && WEXITSTATUS(status) == NOT_ALLOWED)
		SKIP("root may not do that here");
	CHECK_EQ(status, 0);
}

static void as_nobody(void)
{
	const struct dv_cgroup_limits l = { .memory = 64 << 20 };
	struct dv_cgroup cg = DV_CGROUP_INIT;
	struct dv_err err = DV_ERR_INIT;
	struct dv_cgroup_can can;

	NEED(setresgid(65534, 65534, 65534) == 0);
	NEED(setresuid(65534, 65534, 65534) == 0);
	dv_cgroup_probe(&can);
	WANT(!can.v2_writable && !can.memory && can.why_memory[0]);
	WANT(make(&cg, &no_limits, &err) == 0);
	WANT(cg.v2_fd == -1 && cg.n_dirs == 0);
	WANT(make(&cg, &l, &err) == -EACCES);
	WANT(err.code == DV_DENIED);
	WANT(strstr(err.hint, "root"));
}

TEST(ordinary_user_without_delegation_gets_no_group_and_no_limit)
{
	if (geteuid() != 0)
		SKIP("only root can become another user");
	need(DV_CG_MEMORY);
	in_child(as_nobody);
}

/* From here on the child has mounts of its own. */
static void private_mounts(void)
{
	NEED(unshare(CLONE_NEWNS) == 0);
	NEED(mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0);
}

static void need_hybrid(void)
{
	struct dv_cgroup_can can;

	dv_cgroup_probe(&can);
	if (geteuid() != 0 || !can.hybrid || !can.memory)
		SKIP("needs root on a hybrid host with v1 memory");
	if (access("/sys/fs/cgroup/unified", F_OK) < 0 ||
	    access("/sys/fs/cgroup/memory", F_OK) < 0)
		SKIP("the hierarchies are not at their usual places");
}

static const struct dv_cgroup_limits mem64 = { .memory = 64 << 20 };

static void v1_only(void)
{
	struct dv_cgroup cg = DV_CGROUP_INIT;
	struct dv_err err = DV_ERR_INIT;
	struct dv_cgroup_usage usage;
	struct dv_cgroup_can can;
	int status;

	private_mounts();
	WANT(umount2("/sys/fs/cgroup/unified", MNT_DETACH) == 0);
	dv_cgroup_probe(&can);
	WANT(can.v1 && !can.hybrid && !can.v2_mounted && can.memory);
	WANT(make(&cg, &mem64, &err) == 0);
	WANT(cg.v2_fd == -1 && cg.n_procs == 1 && cg.n_dirs == 1);
	WANT(waitpid(start_in(&cg, touch_128_mib), &status, 0) > 0);
	WANT(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
	dv_cgroup_usage(&cg, &usage);
	WANT(usage.oom_kills >= 1);
	WANT(dv_cgroup_freeze(&cg, true, &err) == -EOPNOTSUPP);
	WANT(dv_cgroup_kill(&cg) == 0);
	WANT(remove_soon(&cg) == 0);
	WANT(make(&cg, &no_limits, &err) == 0);
	WANT(cg.v2_fd == -1 && cg.n_dirs == 0);
}

TEST(v1_only_host_limits_without_a_v2_group)
{
	need_hybrid();
	in_child(v1_only);
}

static void refused(const char *why)
{
	struct dv_cgroup cg = DV_CGROUP_INIT;
	struct dv_err err = DV_ERR_INIT;
	struct dv_cgroup_can can;

	dv_cgroup_probe(&can);
	WANT(!can.memory);
	WANT(strstr(can.why_memory, why));
	WANT(make(&cg, &mem64, &err) == -EOPNOTSUPP);
	WANT(err.code == DV_UNIMPLEMENTED);
	WANT(strstr(err.msg, why));
	WANT(cg.n_dirs == 0 && cg.v2_fd == -1);
}

static void no_memory_mount(void)
{
	private_mounts();
	WANT(umount2("/sys/fs/cgroup/memory", MNT_DETACH) == 0);
	refused("not mounted");
}

static void read_only_memory(void)
{
	private_mounts();
	/* Only this mount, never the hierarchy: MS_BIND. */
	WANT(mount(NULL, "/sys/fs/cgroup/memory", NULL,
		   MS_REMOUNT | MS_BIND | MS_RDONLY, NULL) == 0);
	refused("read-only");
}

TEST(missing_and_read_only_controllers_are_refused)
{
	need_hybrid();
	in_child(no_memory_mount);
	in_child(read_only_memory);
}

/* Nothing is where it usually is; mountinfo tells. */
static void elsewhere(void)
{
	struct dv_cgroup cg = DV_CGROUP_INIT;
	struct dv_err err = DV_ERR_INIT;

	private_mounts();
	WANT(mount("none", "/mnt", "tmpfs", 0, NULL) == 0);
	WANT(mkdir("/mnt/mem ory", 0755) == 0 && mkdir("/mnt/u", 0755) == 0);
	WANT(mount("cgroup", "/mnt/mem ory", "cgroup", 0, "memory") == 0);
	WANT(mount("cgroup2", "/mnt/u", "cgroup2", 0, NULL) == 0);
	WANT(umount2("/sys/fs/cgroup", MNT_DETACH) == 0);
	WANT(make(&cg, &mem64, &err) == 0);
	WANT(cg.n_dirs == 2);
	WANT(dv_path_below(cg.dirs[0], "/mnt/u"));
	WANT(dv_path_below(cg.dirs[1], "/mnt/mem ory"));
	WANT(remove_soon(&cg) == 0);
}

/* As in a container: only our own part of the hierarchy is mounted. */
static void only_own_part(void)
{
	struct dv_cgroup cg = DV_CGROUP_INIT;
	struct dv_cg_site site;
	struct dv_err err = DV_ERR_INIT;
	char own[PATH_MAX];

	WANT(dv_cg_site_open(&site, &err) == 0);
	WANT(dv_cg_site_own(&site, DV_CG_MEMORY, own, sizeof(own)) == 0);
	dv_cg_site_close(&site);
	if (strcmp(own, "/sys/fs/cgroup/memory") == 0)
		return; /* the whole is our part */
	private_mounts();
	WANT(mount(own, "/sys/fs/cgroup/memory", NULL, MS_BIND, NULL) == 0);
	WANT(make(&cg, &mem64, &err) == 0);
	WANT(strncmp(cg.dirs[1], "/sys/fs/cgroup/memory/davit-", 28) == 0);
	WANT(remove_soon(&cg) == 0);
}

/* The mounts are of the outer namespace: our "/" is not their root. */
static void own_namespace(void)
{
	struct dv_cg_site site;
	struct dv_err err = DV_ERR_INIT;
	char own[PATH_MAX];
	int r;

	WANT(dv_cg_site_open(&site, &err) == 0);
	r = site.self.path[DV_CG_MEMORY].len > 1;
	dv_cg_site_close(&site);
	if (!r)
		return;
	NEED(unshare(CLONE_NEWCGROUP) == 0);
	WANT(dv_cg_site_open(&site, &err) == 0);
	WANT(dv_cg_site_own(&site, DV_CG_MEMORY, own, sizeof(own)) == -ENOENT);
	dv_cg_site_close(&site);
	refused("not mounted");
}

TEST(own_group_is_found_wherever_it_is_mounted)
{
	need_hybrid();
	in_child(elsewhere);
	in_child(only_own_part);
	in_child(own_namespace);
}

/* ---- sweep -------------------------------------------------------------- */

TEST(sweep_kills_and_removes_a_frozen_group)
{
	struct dv_cgroup cg = DV_CGROUP_INIT;
	char dir[PATH_MAX];
	pid_t pid;
	int r;

	need_v2();
	CHECK_EQ(make(&cg, &no_limits, NULL), 0);
	dv_fmt(dir, sizeof(dir), "%s", cg.dirs[0]);
	pid = start_in(&cg, wait_forever);
	CHECK_EQ(dv_cgroup_freeze(&cg, true, NULL), 0);
	dv_cgroup_release(&cg);
	r = dv_cgroup_sweep(dir); /* what was killed may be gone by now */
	CHECK(r == -EBUSY || r == 0);
	CHECK_EQ(WTERMSIG(wait_status(pid)), SIGKILL);
	CHECK_EQ(sweep_soon(dir), 0);
	CHECK_EQ(access(dir, F_OK), -1);
	CHECK_EQ(dv_cgroup_sweep(dir), 0);
}

TEST(sweep_of_a_busy_v1_group_is_busy_until_it_is_empty)
{
	struct dv_cgroup cg = DV_CGROUP_INIT;
	struct dv_err err = DV_ERR_INIT;
	char dirs[2][PATH_MAX];
	pid_t pid;

	need(DV_CG_MEMORY);
	CHECK_EQ(make(&cg, &mem64, &err), 0);
	if (cg.n_procs == 0) {
		dv_cgroup_remove(&cg);
		SKIP("memory is not on v1 here");
	}
	pid = start_in(&cg, wait_forever);
	for (int i = 0; i < cg.n_dirs; i++)
		dv_fmt(dirs[i], PATH_MAX, "%s", cg.dirs[i]);
	/* The child may not have joined yet: let it be seen there first. */
	for (const uint64_t end = now_ms() + SOON_MS; now_ms() < end;) {
		char path[PATH_MAX], *text = NULL;
		size_t len = 0;

		dv_path_join(path, sizeof(path), dir_of(&cg, DV_CG_MEMORY),
			     "cgroup.procs");
		dv_read_file(AT_FDCWD, path, 4096, &text, &len);
		free(text);
		if (len)
			break;
		sched_yield();
	}
	CHECK_EQ(dv_cgroup_sweep(dir_of(&cg, DV_CG_MEMORY)), -EBUSY);
	CHECK_EQ(kill(pid, SIGKILL), 0);
	wait_status(pid);
	for (int i = 0; i < cg.n_dirs; i++)
		CHECK_EQ(sweep_soon(dirs[i]), 0);
	dv_cgroup_release(&cg);
}

TEST(sweep_refuses_whatever_is_not_canonically_ours)
{
	struct dv_cgroup cg = DV_CGROUP_INIT;
	char tmp[] = "/tmp/davit-test-XXXXXX", path[PATH_MAX], up[PATH_MAX];
	const char *name;

	need_v2();
	CHECK_EQ(make(&cg, &no_limits, NULL), 0);
	name = strrchr(cg.dirs[0], '/') + 1;
	dv_fmt(up, sizeof(up), "%.*s", (int)(name - cg.dirs[0] - 1),
	       cg.dirs[0]);
	CHECK_EQ(dv_cgroup_sweep(""), -EINVAL);
	CHECK_EQ(dv_cgroup_sweep("/"), -EINVAL);
	CHECK_EQ(dv_cgroup_sweep(name), -EINVAL);
	CHECK_EQ(dv_cgroup_sweep(up), -EINVAL);
	CHECK_EQ(dv_cgroup_sweep("/davit-0123456789abcdeg"), -EINVAL);
	CHECK_EQ(dv_cgroup_sweep("/x/davit-0123456789abcdef0"), -EINVAL);
	CHECK_EQ(dv_cgroup_sweep("/x/davit-keeper"), -EINVAL);
	dv_fmt(path, sizeof(path), "%s/", cg.dirs[0]);
	CHECK_EQ(dv_cgroup_sweep(path), -EINVAL);
	dv_fmt(path, sizeof(path), "%s//%s", up, name);
	CHECK_EQ(dv_cgroup_sweep(path), -EINVAL);
	dv_fmt(path, sizeof(path), "%s/./%s", up, name);
	CHECK_EQ(dv_cgroup_sweep(path), -EINVAL);
	dv_fmt(path, sizeof(path), "%s/%s/../%s", up, name, name);
	CHECK_EQ(dv_cgroup_sweep(path), -EINVAL);
	/* By a symlink on the way, by one at the end, and a plain directory. */
	CHECK(mkdtemp(tmp) != NULL);
	dv_fmt(path, sizeof(path), "%s/up", tmp);
	CHECK_EQ(symlink(up, path), 0);
	dv_fmt(path, sizeof(path), "%s/up/%s", tmp, name);
	CHECK(dv_cgroup_sweep(path) < 0);
	dv_fmt(path, sizeof(path), "%s/%s", tmp, name);
	CHECK_EQ(symlink(cg.dirs[0], path), 0);
	CHECK_EQ(dv_cgroup_sweep(path), -EINVAL);
	dv_fmt(path, sizeof(path), "%s/davit-0123456789abcdef", tmp);
	CHECK_EQ(mkdir(path, 0755), 0);
	CHECK_EQ(dv_cgroup_sweep(path), -EINVAL);
	CHECK_EQ(access(path, F_OK), 0);
	CHECK_EQ(access(cg.dirs[0], F_OK), 0);
	CHECK_EQ(dv_remove_tree(AT_FDCWD, tmp), 0);
	CHECK_EQ(dv_cgroup_remove(&cg), 0);
}
