/* SPDX-License-Identifier: MIT */
#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/def.h"
#include "base/fd.h"
#include "base/path.h"
#include "engine/cgroup.h"
#include "runtime/dirs.h"

enum {
	GROUPS_FILE_MAX = 16384,
	BIRTH_SECONDS = 10, /* making a directory takes less than 1 ms */
};

/* True when nobody holds the lock in @dirfd. */
static bool is_dead(int dirfd)
{
	dv_autofd int fd = openat(dirfd, "lock", O_RDWR | O_CLOEXEC);

	return fd < 0 ? errno == ENOENT : dv_fd_locked(fd) == 0;
}

/*
 * A directory has a dot until its lock is held. In between it looks dead, but
 * its keeper may be about to take the lock.
 */
static bool is_unborn(int dirfd, const char *name)
{
	struct stat st;

	return name[0] == '.' && (fstat(dirfd, &st) < 0 ||
				  time(NULL) - st.st_mtime < BIRTH_SECONDS);
}

/* 0 when all groups of a dead keeper are gone, -EBUSY when not yet. */
static int sweep_lines(char *text)
{
	int busy = 0;

	for (char *line = text, *next; *line; line = next) {
		next = strchrnul(line, '\n');
		if (*next)
			*next++ = '\0';
		if (dv_cgroup_sweep(line) == -EBUSY)
			busy = -EBUSY;
	}
	return busy;
}

static int sweep_groups(int dirfd)
{
	dv_autofree char *text = NULL;
	size_t len;

	if (dv_read_file(dirfd, "lock", GROUPS_FILE_MAX, &text, &len) < 0)
		return 0;
	return sweep_lines(text);
}

static bool is_id(const char *name)
{
	size_t n = 0;

	if (*name == '.')
		name++;
	while (isxdigit((unsigned char)name[n]))
		n++;
	return n == DV_ID_LEN && !name[n];
}

static void sweep_one(int base, const char *name)
{
	dv_autofd int fd = openat(
		base, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);

	if (fd >= 0 && !is_unborn(fd, name) && is_dead(fd) &&
	    sweep_groups(fd) == 0)
		dv_remove_tree(base, name);
}

void dv_home_sweep(const char *rundir)
{
	DIR *dir = opendir(rundir);
	struct dirent *e;

	if (dir)
		dv_slots_sweep(dirfd(dir), sweep_lines);
	while (dir && (e = readdir(dir)))
		if (is_id(e->d_name))
			sweep_one(dirfd(dir), e->d_name);
	if (dir)
		closedir(dir);
}
