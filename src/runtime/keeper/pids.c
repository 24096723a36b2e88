/* SPDX-License-Identifier: MIT */
/*
 * Which processes are in the sandbox. A v2 group lists them. Without one they
 * are those in its pid namespace, found in /proc; without a namespace either,
 * those that we started.
 */
#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/def.h"
#include "base/fmt.h"
#include "runtime/keeper/keeper.h"

enum { PIDS_MAX = 1 << 20 };

struct list {
	pid_t *at;
	int n, max;
};

static int add(struct list *l, pid_t pid)
{
	if (l->n == l->max) {
		int max = l->max ? l->max * 2 : 64;
		pid_t *more =
			max > PIDS_MAX
				? NULL
				: realloc(l->at, (size_t)max * sizeof(*more));

		if (!more)
			return -ENOMEM;
		l->at = more;
		l->max = max;
	}
	l->at[l->n++] = pid;
	return 0;
}

static ino_t namespace_of(pid_t pid)
{
	struct stat st;
	char path[48];

	dv_fmt(path, sizeof(path), "/proc/%d/ns/pid", (int)pid);
	return stat(path, &st) == 0 ? st.st_ino : 0;
}

static int look_in_proc(const struct dv_run *run, struct list *l)
{
	ino_t its = namespace_of(run->sb.init_pid);
	DIR *dir = its ? opendir("/proc") : NULL;
	struct dirent *e;
	int r = dir ? 0 : -ESRCH;

	while (r == 0 && (e = readdir(dir))) {
		pid_t pid = (pid_t)strtol(e->d_name, NULL, 10);

		if (isdigit((unsigned char)e->d_name[0]) &&
		    pid != run->sb.init_pid && namespace_of(pid) == its)
			r = add(l, pid);
	}
	if (dir)
		closedir(dir);
	return r;
}

static int add_exec(void *arg, struct dv_exec *exec)
{
	return dv_exec_record(exec) ? 0 : add(arg, dv_exec_pid(exec));
}

static int ours(struct dv_keeper *k, struct list *l)
{
	int r = k->run->proc.pid ? add(l, k->run->proc.pid) : 0;

	return r < 0 || !k->procs ? r : dv_procs_each(k->procs, add_exec, l);
}

static int by_number(const void *a, const void *b)
{
	const pid_t *x = a, *y = b;

	return *x < *y ? -1 : *x > *y;
}

int dv_keeper_pids(struct dv_keeper *k, pid_t **listp)
{
	struct list l = { NULL, 0, 0 };
	int r;

	if (!k->run)
		return -ESRCH;
	if (k->run->cg.v2_fd >= 0) {
		r = l.n = dv_cgroup_pids(&k->run->cg, &l.at);
	} else if (!k->run->plain) {
		r = look_in_proc(k->run, &l);
	} else {
		r = ours(k, &l);
	}
	if (r < 0) {
		free(l.at);
		return r;
	}
	if (l.n)
		qsort(l.at, (size_t)l.n, sizeof(*l.at), by_number);
	*listp = l.at;
	return l.n;
}

bool dv_keeper_has_pid(struct dv_keeper *k, pid_t pid)
{
	dv_autofree pid_t *list = NULL;

	if (k->run && !k->run->plain) {
		ino_t its = namespace_of(k->run->sb.init_pid);

		return its && namespace_of(pid) == its;
	}
	for (int n = dv_keeper_pids(k, &list); n > 0; n--)
		if (list[n - 1] == pid)
			return true;
	return false;
}
