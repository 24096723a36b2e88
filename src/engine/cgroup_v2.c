/* SPDX-License-Identifier: MIT */
/*
 * DOC: passing controllers on
 *
 * A v2 group has the files of a controller only when its parent names that
 * controller in cgroup.subtree_control, and a parent that has processes cannot
 * do so ("no internal processes"). davit itself is a process of the group that
 * the sandbox's group goes below, so there are four cases:
 *
 *   already enabled         nothing to do: the group is a plain parent
 *   the real root group     is exempt from the rule: enable it there
 *   davit is alone in it,   davit moves into DIR/davit-keeper and enables the
 *   and may write there     controller in DIR: what a delegated scope is for
 *   anything else           refused, with the way to get a delegated scope
 *
 * Moving back happens when the last sandbox below DIR is gone. A killed keeper
 * leaves DIR/davit-keeper behind; the next one uses it again. A process that
 * already is in a davit-keeper group works below the parent of that.
 */
#include "engine/cgroup_priv.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/def.h"
#include "base/fd.h"
#include "base/fmt.h"
#include "base/path.h"

static int read_in(const char *dir, const char *file, char **textp)
{
	char path[PATH_MAX];
	size_t len;
	int r = dv_path_join(path, sizeof(path), dir, file);

	return r < 0 ? r
		     : dv_read_file(AT_FDCWD, path, DV_CG_FILE_MAX, textp,
				    &len);
}

static int write_in(const char *dir, const char *file, const char *text)
{
	char path[PATH_MAX];
	int r = dv_path_join(path, sizeof(path), dir, file);

	return r < 0 ? r : dv_write_file(AT_FDCWD, path, text, strlen(text));
}

/* The words of a file like cgroup.controllers have @word. -errno. */
static int file_lists(const char *dir, const char *file, const char *word)
{
	dv_autofree char *text = NULL;
	int r = read_in(dir, file, &text);
	size_t len;

	if (r < 0)
		return r;
	len = strcspn(text, "\n");
	return dv_cg_list_has((struct dv_str){ text, len }, ' ', word);
}

int dv_cg2_base(struct dv_cg_site *s, char *dir, struct dv_err *err)
{
	char *slash;
	int r = dv_cg_site_own(s, DV_CG_V2, dir, PATH_MAX);

	if (r == -ENOENT)
		return dv_err_set(err, ENOENT, DV_UNIMPLEMENTED,
				  "no v2 hierarchy is mounted here");
	if (r < 0)
		return dv_err_sys(err, -r, "find the v2 hierarchy");
	slash = strrchr(dir, '/');
	if (!slash || strcmp(slash + 1, DV_CG_KEEPER) != 0)
		return 0;
	*slash = '\0';
	return 1;
}

/* Only a group that is not the real root has cgroup.events. */
static bool is_real_root(const char *dir)
{
	char path[PATH_MAX];

	return dv_path_join(path, sizeof(path), dir, "cgroup.events") == 0 &&
	       faccessat(AT_FDCWD, path, F_OK, 0) < 0 && errno == ENOENT;
}

/* 0: nobody is in @dir, 1: only this process, -EBUSY: others. */
static int occupied(const char *dir)
{
	dv_autofree char *text = NULL;
	char self[16];
	int r = read_in(dir, "cgroup.procs", &text);

	if (r < 0)
		return r == -EFBIG ? -EBUSY : r;
	if (!*text)
		return 0;
	dv_fmt(self, sizeof(self), "%d\n", (int)getpid());
	return strcmp(text, self) == 0 ? 1 : -EBUSY;
}

static int refuse_occupied(const char *dir, struct dv_err *err)
{
	dv_err_set(err, EOPNOTSUPP, DV_UNIMPLEMENTED,
		   "other processes are in the group %s, so it cannot pass the "
		   "controller on",
		   dir);
	dv_err_hint(err,
		    "start it alone in a group: systemd-run %s--scope "
		    "-p Delegate=yes davit ...",
		    geteuid() == 0 ? "" : "--user ");
	return -EOPNOTSUPP;
}

static int may_enable(const char *dir, struct dv_err *err)
{
	int r = dv_cg_writable(dir, "cgroup.subtree_control", err);

	if (r == 0 && !is_real_root(dir)) {
		r = dv_cg_writable(dir, "cgroup.procs", err);
		if (r == 0)
			r = dv_cg_writable(dir, "", err);
		if (r == 0 && occupied(dir) == -EBUSY)
			return refuse_occupied(dir, err);
	}
	if (r < 0)
		dv_cg_hint_delegate(err);
	return r;
}

int dv_cg2_check(const char *dir, enum dv_cg_tree tree, struct dv_err *err)
{
	const char *name = dv_cg_tree_name(tree);
	int r = file_lists(dir, "cgroup.subtree_control", name);

	if (r > 0)
		return dv_cg_writable(dir, "", err);
	if (r == 0)
		r = file_lists(dir, "cgroup.controllers", name);
	if (r < 0)
		return dv_err_sys(err, -r, "controllers of group %s", dir);
	if (r > 0)
		return may_enable(dir, err);
	dv_err_set(err, EOPNOTSUPP, DV_UNIMPLEMENTED,
		   "the %s controller is not available in the group %s", name,
		   dir);
	if (!is_real_root(dir))
		dv_cg_hint_delegate(err);
	return -EOPNOTSUPP;
}

/* Into the group @dir/@to; an empty @to is the way back. */
static int move_self(const char *dir, const char *to)
{
	char path[PATH_MAX];
	int r = dv_path_join(path, sizeof(path), dir, to);

	return r < 0 ? r : write_in(path, "cgroup.procs", "0");
}

static int leave(const char *dir, struct dv_err *err)
{
	char path[PATH_MAX];
	int r = dv_path_join(path, sizeof(path), dir, DV_CG_KEEPER);

	if (r == 0 && mkdir(path, 0755) < 0 && errno != EEXIST)
		r = -errno;
	if (r == 0)
		r = move_self(dir, DV_CG_KEEPER);
	return r < 0 ? dv_err_sys(err, -r, "move davit into %s", path) : 0;
}

static void come_back(const char *dir)
{
	char path[PATH_MAX];

	if (move_self(dir, "") == 0 &&
	    dv_path_join(path, sizeof(path), dir, DV_CG_KEEPER) == 0)
		rmdir(path); /* another process may have been started there */
}

static int set_controller(const char *dir, char sign, enum dv_cg_tree tree)
{
	char text[16];

	dv_fmt(text, sizeof(text), "%c%s", sign, dv_cg_tree_name(tree));
	return write_in(dir, "cgroup.subtree_control", text);
}

static int enable(struct dv_cgroup *cg, const char *dir, enum dv_cg_tree tree,
		  struct dv_err *err)
{
	bool moved = false;
	int r = dv_cg2_check(dir, tree, err);

	if (r < 0)
		return r;
	if (!is_real_root(dir)) {
		if (occupied(dir) == 1) {
			r = leave(dir, err);
			if (r < 0)
				return r;
			moved = true;
		}
	}
	r = set_controller(dir, '+', tree);
	if (r == 0) {
		cg->delegated |= moved;
		return 0;
	}
	if (moved)
		come_back(dir);
	dv_err_sys(err, -r, "enable the %s controller in group %s",
		   dv_cg_tree_name(tree), dir);
	dv_cg_hint_delegate(err);
	return r;
}

void dv_cg2_pass_on(struct dv_cg_site *s, const char *dir,
		    const struct dv_cgroup_limits *limits)
{
	const bool wanted[DV_CG_TREE_N] = {
		[DV_CG_MEMORY] = limits->memory,
		[DV_CG_CPU] = limits->milli_cpus,
		[DV_CG_PIDS] = limits->pids,
		[DV_CG_IO] = limits->io_weight,
	};
	struct dv_cgroup none = DV_CGROUP_INIT;

	for (int t = DV_CG_MEMORY; t < DV_CG_TREE_N; t++)
		if (wanted[t] && !s->self.path[t].ptr &&
		    file_lists(dir, "cgroup.subtree_control",
			       dv_cg_tree_name(t)) <= 0)
			enable(&none, dir, t, NULL);
}

/* Does another sandbox still have a group below @dir? */
static bool has_sandboxes(const char *dir)
{
	bool found = false;
	struct dirent *e;
	DIR *d = opendir(dir);

	while (d && !found && (e = readdir(d)))
		found = dv_cg_is_ours(e->d_name);
	if (d)
		closedir(d);
	return found;
}

void dv_cg2_undelegate(const char *dir)
{
	char keeper[PATH_MAX];

	if (dv_path_join(keeper, sizeof(keeper), dir, DV_CG_KEEPER) < 0 ||
	    occupied(keeper) != 1 || has_sandboxes(dir))
		return;
	for (int t = DV_CG_MEMORY; t < DV_CG_TREE_N; t++) {
		if (file_lists(dir, "cgroup.subtree_control",
			       dv_cg_tree_name(t)) > 0)
			set_controller(dir, '-', t);
	}
	come_back(dir);
}

/* ---- the limits --------------------------------------------------------- */

static int put(int fd, const char *file, const char *text, struct dv_err *err)
{
	const int r = dv_write_file(fd, file, text, strlen(text));

	return r < 0 ? dv_err_sys(err, -r, "write %s to %s", text, file) : 0;
}

/* A limit, or none. */
static void limit_text(char text[24], uint64_t value)
{
	if (value)
		dv_fmt(text, 24, "%llu", (unsigned long long)value);
	else
		dv_fmt(text, 24, "max");
}

static int put_memory(int fd, uint64_t bytes, struct dv_err *err)
{
	char text[24];
	int r;

	limit_text(text, bytes);
	r = put(fd, "memory.max", text, err);
	if (r < 0 || faccessat(fd, "memory.swap.max", F_OK, 0) < 0)
		return r; /* the kernel does not account swap */
	return put(fd, "memory.swap.max", bytes ? "0" : "max", err);
}

static int put_cpu(int fd, uint32_t milli_cpus, struct dv_err *err)
{
	char quota[24], text[40];

	limit_text(quota, (uint64_t)milli_cpus * 100);
	dv_fmt(text, sizeof(text), "%s 100000", quota);
	return put(fd, "cpu.max", text, err);
}

static int put_pids(int fd, uint32_t pids, struct dv_err *err)
{
	char text[24];

	limit_text(text, pids);
	return put(fd, "pids.max", text, err);
}

/* Is some disk driven by bfq, the scheduler that knows weights? */
static bool have_bfq(void)
{
	bool found = false;
	struct dirent *e;
	DIR *d = opendir("/sys/block");

	while (d && !found && (e = readdir(d))) {
		char path[PATH_MAX];
		dv_autofree char *text = NULL;

		dv_fmt(path, sizeof(path), "/sys/block/%s/queue", e->d_name);
		found = read_in(path, "scheduler", &text) == 0 &&
			strstr(text, "[bfq]");
	}
	if (d)
		closedir(d);
	return found;
}

int dv_cg2_check_io(struct dv_err *err)
{
	if (have_bfq())
		return 0;
	dv_err_set(err, EOPNOTSUPP, DV_UNIMPLEMENTED,
		   "no disk here uses the bfq scheduler, others ignore the "
		   "weight");
	dv_err_hint(err, "as root: echo bfq > /sys/block/DISK/queue/scheduler");
	return -EOPNOTSUPP;
}

/* bfq weighs from 1 to 1000, around 100 as everybody else does. */
static int put_io(int fd, uint32_t weight, struct dv_err *err)
{
	char text[16];
	int r = dv_cg2_check_io(err);

	if (r < 0)
		return r;
	if (!weight)
		weight = 100;
	if (weight > 100)
		weight = 100 + (weight - 100) / 11;
	dv_fmt(text, sizeof(text), "%u", (unsigned)weight);
	return put(fd, "io.bfq.weight", text, err);
}

int dv_cg2_limit(struct dv_cgroup *cg, const char *dir, enum dv_cg_tree tree,
		 const struct dv_cgroup_limits *limits, struct dv_err *err)
{
	int r = file_lists(dir, "cgroup.subtree_control",
			   dv_cg_tree_name(tree));

	if (r <= 0)
		r = enable(cg, dir, tree, err);
	return r < 0 ? r : dv_cg2_put(cg->v2_fd, tree, limits, err);
}

int dv_cg2_put(int fd, enum dv_cg_tree tree,
	       const struct dv_cgroup_limits *limits, struct dv_err *err)
{
	if (tree == DV_CG_MEMORY)
		return put_memory(fd, limits->memory, err);
	if (tree == DV_CG_CPU)
		return put_cpu(fd, limits->milli_cpus, err);
	if (tree == DV_CG_PIDS)
		return put_pids(fd, limits->pids, err);
	return put_io(fd, limits->io_weight, err);
}

/* ---- kill --------------------------------------------------------------- */

/* Kill what cgroup.procs lists. */
static int kill_listed(int fd)
{
	dv_autofree char *text = NULL;
	size_t len;
	int r = dv_read_file(fd, "cgroup.procs", DV_CG_FILE_MAX, &text, &len);
	char *p = text, *end;

	for (; r == 0 && *p; p = end + strspn(end, "\n")) {
		const long pid = strtol(p, &end, 10);

		if (end == p)
			break;
		if (pid > 1 && pid != getpid()) /* 0: in a foreign namespace */
			kill((pid_t)pid, SIGKILL);
	}
	return r;
}

int dv_cg2_kill(int fd)
{
	int r = dv_write_file(fd, "cgroup.kill", "1", 1);

	if (r != -ENOENT)
		return r;
	/* Before Linux 5.14: what is frozen does not fork meanwhile. */
	dv_write_file(fd, "cgroup.freeze", "1", 1);
	r = kill_listed(fd);
	if (r == 0)
		r = kill_listed(fd);
	dv_write_file(fd, "cgroup.freeze", "0", 1);
	return r;
}
