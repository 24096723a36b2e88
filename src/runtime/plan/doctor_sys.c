/* SPDX-License-Identifier: MIT */
#include "runtime/plan/doctor_sys.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/seccomp.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/def.h"
#include "base/fd.h"
#include "base/fmt.h"

enum { SMALL_FILE = 256 * 1024 };

/*
 * Every one is called so that it fails for its arguments and does nothing;
 * only ENOSYS says that it is not there.
 */
static const struct {
	const char *name;
	long nr, a, b, c, d, e;
} calls[] = {
	{ "clone3", SYS_clone3, 0, 0, 0, 0, 0 },
	{ "openat2", SYS_openat2, -1, 0, 0, 0, 0 },
	{ "pidfd_open", SYS_pidfd_open, -1, 0, 0, 0, 0 },
	{ "pidfd_send_signal", SYS_pidfd_send_signal, -1, 0, 0, 0, 0 },
	{ "open_tree", SYS_open_tree, -1, 0, 0, 0, 0 },
	{ "move_mount", SYS_move_mount, -1, 0, -1, 0, 0 },
	{ "mount_setattr", SYS_mount_setattr, -1, 0, 0, 0, 0 },
	{ "close_range", SYS_close_range, 1, 0, 0, 0, 0 },
};

int dv_doctor_missing_calls(char *out, size_t size)
{
	int missing = 0;
	size_t len = 0;

	out[0] = '\0';
	for (size_t i = 0; i < DV_ARRAY_LEN(calls); i++) {
		errno = 0;
		if (syscall(calls[i].nr, calls[i].a, calls[i].b, calls[i].c,
			    calls[i].d, calls[i].e) >= 0 ||
		    errno != ENOSYS)
			continue;
		missing++;
		if (len < size)
			len += (size_t)dv_fmt(out + len, size - len, " %s",
					      calls[i].name);
	}
	return missing;
}

int dv_doctor_seccomp(void)
{
	uint32_t action = SECCOMP_RET_ERRNO;

	if (syscall(SYS_seccomp, SECCOMP_GET_ACTION_AVAIL, 0, &action) < 0)
		return errno;
	return 0;
}

static bool in_dir(const char *dir, size_t len, const char *name)
{
	char path[PATH_MAX];

	if (dv_fmt(path, sizeof(path), "%.*s/%s", (int)len, dir, name) >=
	    (int)sizeof(path))
		return false;
	return access(path, X_OK) == 0;
}

bool dv_doctor_in_path(const char *name)
{
	const char *path = getenv("PATH");

	if (in_dir("/usr/bin", 8, name) || in_dir("/usr/sbin", 9, name))
		return true;
	while (path && *path) {
		size_t len = strcspn(path, ":");

		if (len && in_dir(path, len, name))
			return true;
		path += len + (path[len] == ':');
	}
	return false;
}

/* Is @line "NAME:start:count" with our name or number? */
static bool line_is_ours(const char *line, const char *user, const char *uid)
{
	size_t len = strcspn(line, ":");

	if (line[len] != ':')
		return false;
	return (user && strlen(user) == len && !strncmp(line, user, len)) ||
	       (strlen(uid) == len && !strncmp(line, uid, len));
}

bool dv_doctor_has_subids(const char *path)
{
	dv_autofree char *text = NULL;
	const char *user = getenv("USER");
	char uid[16];
	size_t len;

	dv_fmt(uid, sizeof(uid), "%u", (unsigned int)getuid());
	if (dv_read_file(AT_FDCWD, path, SMALL_FILE, &text, &len) < 0)
		return false;
	for (const char *line = text; *line;) {
		size_t n = strcspn(line, "\n");

		if (line_is_ours(line, user, uid))
			return true;
		line += n + (line[n] == '\n');
	}
	return false;
}
