/* SPDX-License-Identifier: MIT */
/*
 * DOC: cleaning up after killed keepers.
 *
 * An id is used again when its sandbox is started anew, and its groups have the
 * same names then. So whoever cleans up, or starts one that has been, holds
 * names/.lock from the look at the keeper's lock until the directory is gone.
 */
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
#include "runtime/store/priv.h"

enum {
	GROUPS_FILE_MAX = 16384,
	BIRTH_SECONDS = 10, /* making a directory takes less than 1 ms */
};

/* True when nobody holds the lock in @dirfd. */
static bool is_dead(int dirfd)
{
	dv_autofd int fd = openat(dirfd, "lock",
				  O_RDWR | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);

	return fd < 0 ? errno == ENOENT : dv_fd_locked(fd) == 0;
}

/*
 * A directory has a dot until its lock is held. In between it looks dead, but
 * its keeper may be about to take the lock.
 */
static bool is_unborn(int dirfd)
{
	struct stat st;

	return fstat(dirfd, &st) < 0 ||
	       time(NULL) - st.st_mtime < BIRTH_SECONDS;
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

	/* Not what is no file: reading a FIFO would take for ever. */
	if (dv_store_read(dirfd, "", "lock", GROUPS_FILE_MAX, &text, &len,
			  NULL) < 0)
		return 0;
	return sweep_lines(text);
}

/* ---- what is told of it ---------------------------------------------------
 */

static int read_doc(int dirfd, struct dv_sandbox_info *info)
{
	dv_autofree char *text = NULL;
	size_t len;
	int r = dv_store_read(dirfd, "", "state.json", DV_STORE_DOC_MAX, &text,
			      &len, NULL);

	return r < 0 ? r : dv_info_parse(info, text, len, NULL);
}

/*
 * The latest that is known of it outlives the directory. Its name does not
 * come from there: it may have got another one since its keeper died.
 */
static void save_state(int from, int to)
{
	struct dv_sandbox_info now = { .size = sizeof(now) };
	struct dv_sandbox_info kept = { .size = sizeof(kept) };
	dv_autofree char *json = NULL;

	if (read_doc(from, &now) == 0) {
		if (read_doc(to, &kept) == 0)
			memcpy(now.name, kept.name, sizeof(now.name));
		json = dv_sandbox_info_json(&now);
	}
	if (json)
		(void)dv_replace_file(to, "state.json", json, strlen(json),
				      0600);
	dv_sandbox_info_free(&now);
	dv_sandbox_info_free(&kept);
}

/* A sandbox that is kept and did not end in order died with its keeper. */
static void tell_dead(int base, int dirfd, const char *id)
{
	struct dv_sandbox_info info = { .size = sizeof(info) };
	dv_autostore s = DV_STORE_INIT;
	dv_autofd int state = -1;

	if (dv_store_open(&s, NULL) < 0)
		return;
	if (s.state >= 0)
		state = dv_store_sub(s.state, s.state_path, id, NULL);
	if (state < 0 &&
	    faccessat(dirfd, "identity", F_OK, AT_SYMLINK_NOFOLLOW) < 0)
		return;
	if (state >= 0 &&
	    faccessat(state, "exit.json", F_OK, AT_SYMLINK_NOFOLLOW) == 0)
		return;
	if (dv_store_look_in(&s, id, &info, NULL) == 0 &&
	    info.state == DV_STATE_DEAD)
		dv_event_write(base, id, info.name, "dead", "");
	dv_sandbox_info_free(&info);
	if (state >= 0)
		save_state(dirfd, state);
}

/* ---- one, and all ---------------------------------------------------------
 */

int dv_sweep_locked(int base, const char *id)
{
	dv_autofd int fd = openat(
		base, id, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	int r;

	if (fd < 0)
		return errno == ENOENT ? 0 : -errno;
	if (!is_dead(fd))
		return -EBUSY;
	if (sweep_groups(fd) < 0)
		return -EAGAIN;
	tell_dead(base, fd, id);
	r = dv_store_take_away(base, id);
	/* Its keeper was only just about to go, and did it itself. */
	return r == -ENOENT ? 0 : r;
}

static void sweep_one(int base, const char *name)
{
	dv_autofd int fd = openat(
		base, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	dv_autofd int lock = -1;

	if (fd < 0 || !is_dead(fd))
		return;
	if (!dv_store_is_id(name)) {
		if ((dv_store_is_gone(name) || !is_unborn(fd)) &&
		    sweep_groups(fd) == 0)
			dv_remove_tree(base, name);
		return;
	}
	/* Busy: somebody else is at it. */
	lock = dv_store_lock(base, "", false, NULL);
	if (lock >= 0)
		(void)dv_sweep_locked(base, name);
}

void dv_home_sweep(const char *rundir)
{
	DIR *dir = opendir(rundir);
	struct dirent *e;

	if (dir)
		dv_slots_sweep(dirfd(dir), sweep_lines);
	while (dir && (e = readdir(dir)))
		if (dv_store_is_id(e->d_name) || dv_store_is_gone(e->d_name) ||
		    (e->d_name[0] == '.' && dv_store_is_id(e->d_name + 1)))
			sweep_one(dirfd(dir), e->d_name);
	if (dir)
		closedir(dir);
}
