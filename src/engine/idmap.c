/* SPDX-License-Identifier: MIT */
#include "engine/idmap.h"

#include <errno.h>
#include <fcntl.h>
#include <spawn.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/fd.h"
#include "base/fmt.h"

extern char **environ;

enum { MAP_TEXT_MAX = 65536 };

static int write_map(pid_t pid, const char *file, const dv_IdMap *maps,
		     pb_size_t n)
{
	char path[64];
	dv_autobuf text = DV_BUF_INIT(MAP_TEXT_MAX);

	for (pb_size_t i = 0; i < n; i++)
		dv_buf_putf(&text, "%u %u %u\n", maps[i].inside,
			    maps[i].outside, maps[i].count);
	if (dv_buf_status(&text) < 0)
		return dv_buf_status(&text);
	dv_fmt(path, sizeof(path), "/proc/%d/%s", (int)pid, file);
	return dv_write_file(AT_FDCWD, path, text.data, text.len);
}

/* newuidmap PID inside outside count ...: one argument per number. */
static int run_helper(const char *helper, pid_t pid, const dv_IdMap *maps,
		      pb_size_t n, struct dv_err *err)
{
	enum { MAPS_MAX = 16 };
	char numbers[2 + 3 * MAPS_MAX][12];
	char *argv[4 + 3 * MAPS_MAX];
	int argc = 0, status, r;
	pid_t child;

	if (n > MAPS_MAX)
		return dv_err_sys(err, E2BIG, "%s", helper);
	argv[argc++] = numbers[0];
	dv_fmt(numbers[0], sizeof(numbers[0]), "%s", helper);
	dv_fmt(numbers[1], sizeof(numbers[1]), "%d", (int)pid);
	argv[argc++] = numbers[1];
	for (pb_size_t i = 0; i < n; i++) {
		uint32_t v[3] = { maps[i].inside, maps[i].outside,
				  maps[i].count };

		for (int k = 0; k < 3; k++, argc++) {
			dv_fmt(numbers[argc], sizeof(numbers[0]), "%u", v[k]);
			argv[argc] = numbers[argc];
		}
	}
	argv[argc] = NULL;
	r = posix_spawnp(&child, helper, NULL, NULL, argv, environ);
	if (r != 0) {
		dv_err_hint(err, "install the package uidmap, and give the "
				 "user ranges in /etc/subuid and /etc/subgid");
		return dv_err_sys(err, r, "run %s", helper);
	}
	while (waitpid(child, &status, 0) < 0 && errno == EINTR)
		;
	if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
		return 0;
	dv_err_hint(err, "the ranges must be the user's in /etc/subuid and "
			 "/etc/subgid");
	return dv_err_set(err, EPERM, DV_DENIED, "%s refused the id map",
			  helper);
}

static int one_map(pid_t pid, const char *file, const char *helper,
		   const dv_IdMap *maps, pb_size_t n, struct dv_err *err)
{
	int r;

	if (n == 0)
		return 0;
	r = write_map(pid, file, maps, n);
	if (r == -EPERM && geteuid() != 0 && (n > 1 || maps[0].count > 1))
		return run_helper(helper, pid, maps, n, err);
	return r < 0 ? dv_err_sys(err, -r, "write %s", file) : 0;
}

int dv_idmap_write(pid_t pid, const dv_Isolation *iso, struct dv_err *err)
{
	char path[64];
	int r;

	if (!(iso->namespaces & dv_NS_USER))
		return 0;
	if (iso->deny_setgroups) {
		dv_fmt(path, sizeof(path), "/proc/%d/setgroups", (int)pid);
		r = dv_write_file(AT_FDCWD, path, "deny", 4);
		if (r < 0)
			return dv_err_sys(err, -r, "deny setgroups");
	}
	r = one_map(pid, "uid_map", "newuidmap", iso->uid_map,
		    iso->uid_map_count, err);
	if (r == 0)
		r = one_map(pid, "gid_map", "newgidmap", iso->gid_map,
			    iso->gid_map_count, err);
	return r;
}
