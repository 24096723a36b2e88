/* SPDX-License-Identifier: MIT */
#include "runtime/store/priv.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/def.h"
#include "base/fd.h"
#include "base/path.h"

static int open_one(int *fdp, const char *path, const char *kind,
		    struct dv_err *err)
{
	struct dv_err own = DV_ERR_INIT;

	*fdp = dv_dir_open(path, kind, false, &own);
	if (*fdp >= 0 || *fdp == -ENOENT)
		return 0;
	if (err)
		*err = own;
	return *fdp;
}

int dv_store_open(struct dv_store *s, struct dv_err *err)
{
	int r = dv_rundir(s->run_path, sizeof(s->run_path), err);

	s->run = s->state = -1;
	if (r == 0)
		r = dv_statedir(s->state_path, sizeof(s->state_path), err);
	if (r == 0)
		r = open_one(&s->run, s->run_path, "run", err);
	if (r == 0)
		r = open_one(&s->state, s->state_path, "state", err);
	if (r < 0)
		dv_store_close(s);
	return r;
}

void dv_store_close(struct dv_store *s)
{
	s->run = dv_close(s->run);
	s->state = dv_close(s->state);
}

bool dv_store_is_id(const char *name)
{
	return strspn(name, "0123456789abcdef") == DV_ID_LEN &&
	       !name[DV_ID_LEN];
}

bool dv_store_is_gone(const char *name)
{
	return name[0] == DV_STORE_GONE && dv_store_is_id(name + 1);
}

bool dv_store_has(const struct dv_store *s, const char *id)
{
	return (s->run >= 0 &&
		faccessat(s->run, id, F_OK, AT_SYMLINK_NOFOLLOW) == 0) ||
	       (s->state >= 0 &&
		faccessat(s->state, id, F_OK, AT_SYMLINK_NOFOLLOW) == 0);
}

int dv_store_sub(int base, const char *base_path, const char *name,
		 struct dv_err *err)
{
	dv_autofd int fd = openat(
		base, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	struct stat of, st;

	if (fd < 0 && errno == ENOENT)
		return -ENOENT;
	if (fd < 0 || fstat(fd, &st) < 0 || fstat(base, &of) < 0)
		return dv_err_step(
			err,
			dv_err_sys(err, errno, "open %s/%s", base_path, name),
			DV_STEP_STATE);
	if (st.st_uid == of.st_uid && !(st.st_mode & 077))
		return dv_take_fd(&fd);
	dv_err_hint(err, "somebody else has put it there: remove it");
	return dv_err_step(err,
			   dv_err_set(err, EACCES, DV_DENIED,
				      "%s/%s is not private", base_path, name),
			   DV_STEP_STATE);
}

static int read_failed(struct dv_err *err, int r, const char *path,
		       const char *name)
{
	if (r == -EFBIG || r == -EBADMSG)
		dv_err_set(err, -r, DV_DATA_LOSS, "%s/%s is %s", path, name,
			   r == -EFBIG ? "too large" : "no file");
	else
		dv_err_sys(err, -r, "read %s/%s", path, name);
	return dv_err_step(err, r, DV_STEP_STATE);
}

/* The whole of an open file, which may change meanwhile. */
static int read_open(int fd, size_t max, char **datap, size_t *lenp)
{
	dv_autofree char *data = NULL;
	struct stat st;
	ssize_t n;

	if (fstat(fd, &st) < 0)
		return -errno;
	if (!S_ISREG(st.st_mode))
		return -EBADMSG;
	if (st.st_size < 0 || (uint64_t)st.st_size > max)
		return -EFBIG;
	data = malloc((size_t)st.st_size + 1);
	if (!data)
		return -ENOMEM;
	n = dv_read_full(fd, data, (size_t)st.st_size);
	if (n < 0)
		return (int)n;
	data[n] = '\0';
	*datap = dv_take_ptr(&data);
	*lenp = (size_t)n;
	return 0;
}

int dv_store_read(int dirfd, const char *path, const char *name, size_t max,
		  char **datap, size_t *lenp, struct dv_err *err)
{
	dv_autofd int fd = openat(dirfd, name,
				  O_RDONLY | O_NOFOLLOW | O_NONBLOCK |
					  O_NOCTTY | O_CLOEXEC);
	int r;

	if (fd < 0 && errno == ENOENT)
		return -ENOENT;
	r = fd < 0 ? -errno : read_open(fd, max, datap, lenp);
	if (r == -ELOOP || r == -ENXIO)
		r = -EBADMSG;
	return r < 0 ? read_failed(err, r, path, name) : 0;
}

int dv_store_entries(int dirfd, const char *path,
		     int (*fn)(void *arg, const char *name), void *arg)
{
	int fd = openat(dirfd, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *dir = fd < 0 ? NULL : fdopendir(fd);
	struct dirent *e;
	int r = 0;

	if (!dir) {
		r = -errno;
		dv_close(fd);
		return r;
	}
	while (r == 0 && (e = readdir(dir)))
		if (e->d_name[0] != '.')
			r = fn(arg, e->d_name);
	closedir(dir);
	return r;
}

int dv_store_hide(int base, const char *id, char away[DV_ID_LEN + 2])
{
	away[0] = DV_STORE_GONE;
	dv_random_id(away + 1);
	return renameat(base, id, base, away) < 0 ? -errno : 0;
}

int dv_store_take_away(int base, const char *id)
{
	char away[DV_ID_LEN + 2];
	int r = dv_store_hide(base, id, away);

	return r < 0 ? r : dv_remove_tree(base, away);
}
