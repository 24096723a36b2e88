/* SPDX-License-Identifier: MIT */
/*
 * DOC: ending a run that has no init
 *
 * Its command is a plain child that leads a session. With a v2 group all of it
 * dies by one write. Otherwise the session is looked up in /proc: its number
 * cannot be somebody else's as long as its leader is not reaped, so the leader
 * is reaped last.
 */
#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "base/def.h"
#include "base/fd.h"
#include "base/fmt.h"
#include "engine/sys.h"
#include "runtime/run/run.h"

enum { STAT_MAX = 4096 };

/*
 * Is @pid alive, in session @sid, and not its leader? The name, which anybody
 * may choose, ends with the last ')'.
 */
static bool is_member(const char *pid, pid_t sid)
{
	dv_autofree char *text = NULL;
	char path[64], state;
	size_t len;
	char *p;

	if (strtol(pid, NULL, 10) == sid)
		return false;
	dv_fmt(path, sizeof(path), "/proc/%s/stat", pid);
	if (dv_read_file(AT_FDCWD, path, STAT_MAX, &text, &len) < 0)
		return false;
	p = strrchr(text, ')');
	if (!p || strlen(p) < 4)
		return false;
	state = p[2];
	strtol(p + 3, &p, 10); /* parent */
	strtol(p, &p, 10);     /* group */
	return strtol(p, NULL, 10) == sid && state != 'Z' && state != 'X';
}

/* Between the look and the kill the number must not become somebody else's. */
static void kill_member(const char *pid, pid_t sid)
{
	dv_autofd int pidfd = dv_sys_pidfd_open((pid_t)strtol(pid, NULL, 10));

	if (pidfd >= 0 && is_member(pid, sid))
		dv_sys_pidfd_signal(pidfd, SIGKILL);
}

static int kill_session(pid_t sid)
{
	DIR *dir = opendir("/proc");
	struct dirent *e;
	int n = 0;

	while (dir && (e = readdir(dir))) {
		if (!isdigit((unsigned char)e->d_name[0]) ||
		    !is_member(e->d_name, sid))
			continue;
		kill_member(e->d_name, sid);
		n++;
	}
	if (dir)
		closedir(dir);
	return n;
}

int dv_run_kill(struct dv_run *run)
{
	int r;

	if (!run->plain)
		return dv_ns_kill(&run->sb);
	if (!run->proc.pid)
		return 0;
	r = dv_sys_pidfd_signal(run->proc.pidfd, SIGKILL);
	if (run->cg.v2_fd >= 0)
		dv_cgroup_kill(&run->cg);
	else
		kill_session(run->proc.pid);
	return r;
}

bool dv_run_is_empty(struct dv_run *run)
{
	return !run->plain || !run->proc.pid || run->cg.v2_fd >= 0 ||
	       kill_session(run->proc.pid) == 0;
}
