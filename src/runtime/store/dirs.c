/* SPDX-License-Identifier: MIT */
#include "runtime/store/dirs.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/def.h"
#include "base/fd.h"
#include "base/path.h"
#include "runtime/store/priv.h"

enum { NOTES_MAX = 16384 }; /* what the sweeper reads */

static int fail(struct dv_err *err, int r, const char *what, const char *path)
{
	if (r == -EACCES || r == -EROFS || r == -EPERM)
		dv_err_hint(err, "set DAVIT_RUNDIR to a directory that you "
				 "can write to");
	return dv_err_step(err, dv_err_sys(err, -r, "%s %s", what, path),
			   DV_STEP_STATE);
}

/* An environment variable that counts: set, absolute. */
static const char *env_dir(const char *name)
{
	const char *v = getenv(name);

	return v && v[0] == '/' ? v : NULL;
}

/* What was asked for by name is not passed over. 1: in *@dirp, 0: unset. */
static int own_dir(const char *name, const char **dirp, struct dv_err *err)
{
	const char *v = getenv(name);

	*dirp = v;
	if (!v || !v[0] || v[0] == '/')
		return v && v[0];
	dv_err_hint(err, "%s is an absolute path, or unset", name);
	return dv_err_step(err,
			   dv_err_set(err, EINVAL, DV_INVALID,
				      "%s is not absolute: \"%.200s\"", name,
				      v),
			   DV_STEP_STATE);
}

int dv_statedir(char *out, size_t size, struct dv_err *err)
{
	const char *own;
	const char *xdg = env_dir("XDG_STATE_HOME");
	const char *home = env_dir("HOME");
	int r = own_dir("DAVIT_STATEDIR", &own, err);

	if (r < 0)
		return r;
	if (r > 0)
		r = dv_path_join(out, size, own, "");
	else if (geteuid() == 0)
		r = dv_path_join(out, size, "/var/lib/davit", "");
	else if (xdg)
		r = dv_path_join(out, size, xdg, "davit");
	else if (home)
		r = dv_path_join(out, size, home, ".local/state/davit");
	else
		r = -ENOENT;
	return r < 0 ? fail(err, r, "find", "the state directory") : 0;
}

int dv_rundir(char *out, size_t size, struct dv_err *err)
{
	const char *own;
	const char *xdg = env_dir("XDG_RUNTIME_DIR");
	char state[PATH_MAX];
	int r = own_dir("DAVIT_RUNDIR", &own, err);

	if (r < 0)
		return r;
	if (r > 0)
		r = dv_path_join(out, size, own, "");
	else if (geteuid() == 0)
		r = dv_path_join(out, size, "/run/davit", "");
	else if (xdg)
		r = dv_path_join(out, size, xdg, "davit");
	else if ((r = dv_statedir(state, sizeof(state), err)) < 0)
		return r;
	else
		r = dv_path_join(out, size, state, "run");
	return r < 0 ? fail(err, r, "find", "the run directory") : 0;
}

static int dir_failed(struct dv_err *err, int r, const char *what,
		      const char *path, const char *kind)
{
	if (r == -EACCES || r == -EROFS || r == -EPERM)
		dv_err_hint(err,
			    "set DAVIT_%sDIR to a directory that you can write "
			    "to",
			    kind[0] == 'r' ? "RUN" : "STATE");
	return dv_err_step(err, dv_err_sys(err, -r, "%s %s", what, path),
			   DV_STEP_STATE);
}

int dv_dir_open(const char *path, const char *kind, bool create,
		struct dv_err *err)
{
	const uid_t me = geteuid();
	struct stat st;
	int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (fd < 0 && errno == ENOENT && create) {
		int r = dv_mkdir_p(path, 0700);

		if (r < 0)
			return dir_failed(err, r, "create", path, kind);
		fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	}
	if (fd < 0)
		return dir_failed(err, -errno, "open", path, kind);
	if (fstat(fd, &st) == 0 && (st.st_uid == me || (me == 0 && !create)) &&
	    !(st.st_mode & 022))
		return fd;
	dv_close(fd);
	dv_err_hint(err, "it must belong to you and be writable by nobody "
			 "else");
	return dv_err_step(err,
			   dv_err_set(err, EACCES, DV_DENIED,
				      "%s directory %s is not private", kind,
				      path),
			   DV_STEP_STATE);
}

static int take_lock(int dirfd)
{
	int fd = openat(dirfd, "lock", O_RDWR | O_CREAT | O_CLOEXEC, 0600);

	if (fd < 0)
		return -errno;
	int r = dv_fd_lock(fd);
	if (r < 0) {
		dv_close(fd);
		return r;
	}
	return fd;
}

/* Where the mounts of a root wait for each other: see engine/mounts.h. */
static const char *const places[] = {
	"mnt",        "mnt/root",   "mnt/root.2",
	"mnt/root.3", "mnt/root.5", "mnt/root.8"
};

static int make_places(struct dv_home *home, struct dv_err *err)
{
	const char *last = places[DV_ARRAY_LEN(places) - 1];

	if (faccessat(home->basefd, last, F_OK, AT_SYMLINK_NOFOLLOW) == 0)
		return 0;
	for (size_t i = 0; i < DV_ARRAY_LEN(places); i++)
		if (mkdirat(home->basefd, places[i], 0700) < 0 &&
		    errno != EEXIST)
			return fail(err, -errno, "create", home->root);
	return 0;
}

int dv_home_open(struct dv_home *home, struct dv_err *err)
{
	int r;

	*home = (struct dv_home)DV_HOME_INIT;
	r = dv_rundir(home->base, sizeof(home->base), err);
	if (r < 0)
		return r;
	dv_random_id(home->id);
	r = dv_path_join(home->path, sizeof(home->path), home->base, home->id);
	if (r == 0)
		r = dv_path_join(home->root, sizeof(home->root), home->base,
				 "mnt/root");
	if (r < 0)
		return fail(err, r, "path", home->base);
	home->basefd = r = dv_dir_open(home->base, "run", true, err);
	return r < 0 ? r : make_places(home, err);
}

int dv_home_claim(struct dv_home *home, struct dv_err *err)
{
	return dv_slot_claim(&home->slot, home->basefd) == 0
		       ? 0
		       : dv_home_create(home, err);
}

int dv_home_create(struct dv_home *home, struct dv_err *err)
{
	char tmp[DV_ID_LEN + 2];
	int base = home->basefd;
	int r;

	if (home->dirfd >= 0)
		return 0;
	snprintf(tmp, sizeof(tmp), ".%s", home->id);
	if (mkdirat(base, tmp, 0700) < 0)
		return fail(err, -errno, "create", home->path);
	home->dirfd = openat(base, tmp, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	r = home->dirfd < 0 ? -errno : 0;
	if (r == 0)
		home->lock = r = take_lock(home->dirfd);
	if (r >= 0 && renameat(base, tmp, base, home->id) < 0)
		r = -errno;
	if (r < 0) {
		fail(err, r, "create", home->path);
		dv_remove_tree(base, tmp);
		home->dirfd = dv_close(home->dirfd);
		home->lock = dv_close(home->lock);
		return r;
	}
	return 0;
}

/* A sandbox that is started anew makes the same groups. */
static bool is_noted(const struct dv_home *home, const char *line)
{
	dv_autofree char *text = NULL;
	size_t n = strlen(line), len;
	char *at;

	if (dv_read_file(home->dirfd, "lock", NOTES_MAX, &text, &len) < 0)
		return false;
	for (at = text; (at = strstr(at, line)); at += n)
		if (at == text || at[-1] == '\n')
			return true;
	return false;
}

int dv_home_note(struct dv_home *home, const char *group)
{
	char line[PATH_MAX + 1];
	int n, r;

	if (home->dirfd < 0 && dv_slot_note(&home->slot, group) == 0)
		return 0;
	n = snprintf(line, sizeof(line), "%s\n", group);
	if (n < 0 || (size_t)n >= sizeof(line))
		return -ENAMETOOLONG;
	r = dv_home_create(home, NULL);
	if (r < 0 || is_noted(home, line))
		return r;
	return dv_write_full(home->lock, line, (size_t)n);
}

int dv_home_write(const struct dv_home *home, const char *name,
		  const void *data, size_t len)
{
	return dv_replace_file(home->dirfd, name, data, len, 0600);
}

/*
 * At once for whoever looks: without its document and with its lock it would
 * seem to begin, without both somebody could start it anew in the same place.
 */
static void remove_dir(struct dv_home *home)
{
	/* By name, and the lock first: a listing costs more than these. */
	static const char *const usual[] = { "lock", "state.json", "identity",
					     "sock" };
	char away[DV_ID_LEN + 2];

	if (dv_store_hide(home->basefd, home->id, away) < 0)
		return; /* the sweeper will have more luck */
	for (size_t i = 0; i < DV_ARRAY_LEN(usual); i++)
		unlinkat(home->dirfd, usual[i], 0);
	if (unlinkat(home->basefd, away, AT_REMOVEDIR) < 0)
		(void)dv_remove_tree(home->basefd, away);
}

void dv_home_remove(struct dv_home *home)
{
	if (home->groups_left) {
		dv_home_release(home);
		return;
	}
	if (home->dirfd >= 0)
		remove_dir(home);
	dv_slot_clear(&home->slot);
	dv_home_release(home);
}

void dv_home_release(struct dv_home *home)
{
	dv_close(home->basefd);
	dv_close(home->dirfd);
	dv_close(home->lock);
	dv_slot_release(&home->slot);
	*home = (struct dv_home)DV_HOME_INIT;
}
