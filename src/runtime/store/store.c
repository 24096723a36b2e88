/* SPDX-License-Identifier: MIT */
#include "runtime/store/priv.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/def.h"
#include "base/fd.h"
#include "base/fmt.h"
#include "base/path.h"
#include "wire/pb.h"

enum {
	/* For what the kernel needs to take killed processes away. */
	LEAVE_MS = 2000,
	/* A document says so much more when it has ended. */
	END_MORE = 1024,
};

static int state_err(struct dv_err *err, int r, const char *what,
		     const char *dir, const char *name)
{
	return dv_err_step(err,
			   dv_err_sys(err, -r, "%s %s%s%s", what, dir,
				      name[0] ? "/" : "", name),
			   DV_STEP_STATE);
}

/* ---- claiming -------------------------------------------------------------
 */

static void name_home(struct dv_home *home, const char *id)
{
	memcpy(home->id, id, sizeof(home->id));
	/* As long as the one that was chosen. */
	(void)dv_path_join(home->path, sizeof(home->path), home->base, id);
}

static int busy(struct dv_err *err, const char *id, const char *why)
{
	return dv_err_step(err,
			   dv_err_set(err, EBUSY, DV_PRECONDITION,
				      "sandbox %s %s", id, why),
			   DV_STEP_STATE);
}

/* Take away what a killed keeper of @id left in RUNDIR. */
static int clear_old(struct dv_home *home, const char *id, struct dv_err *err)
{
	const struct timespec moment = { 0, 1000000 };
	int r = -EAGAIN;

	/* The kernel has no event for the end of a v1 group. */
	for (int ms = 0; r == -EAGAIN && ms < LEAVE_MS; ms++) {
		dv_autofd int lock =
			dv_store_lock(home->basefd, home->base, true, err);

		if (lock < 0)
			return lock;
		r = dv_sweep_locked(home->basefd, id);
		if (r == -EAGAIN) {
			lock = dv_close(lock);
			nanosleep(&moment, NULL);
		}
	}
	if (r == -EAGAIN)
		return busy(err, id, "has processes that do not leave");
	if (r == -EBUSY)
		return busy(err, id, "is kept by another process");
	return r < 0 ? state_err(err, r, "clean up", home->base, id) : 0;
}

/* RUNDIR/<id>, locked. Two that start the same one: the second is told. */
static int make_home(struct dv_home *home, bool again, struct dv_err *err)
{
	struct dv_err own = DV_ERR_INIT;
	int r = dv_home_create(home, &own);

	if (again && (r == -ENOTEMPTY || r == -EEXIST))
		return busy(err, home->id, "is kept by another process");
	if (r < 0 && err)
		*err = own;
	return r;
}

static int open_state(struct dv_kept_dirs *d, bool create, struct dv_err *err)
{
	char base[200];
	dv_autofd int fd = -1;
	int r = dv_statedir(base, sizeof(base), err);

	if (r < 0)
		return r;
	dv_fmt(d->state, sizeof(d->state), "%s/%s", base, d->home.id);
	fd = dv_dir_open(base, "state", create, err);
	if (fd < 0)
		return fd;
	if (create && mkdirat(fd, d->home.id, 0700) < 0)
		return state_err(err, -errno, "create", d->state, "");
	d->statefd = r = dv_store_sub(fd, base, d->home.id, err);
	if (r < 0 && create)
		unlinkat(fd, d->home.id, AT_REMOVEDIR);
	return r < 0 ? r : 0;
}

static int find_state(struct dv_kept_dirs *d, const char *id,
		      struct dv_err *err)
{
	struct dv_err own = DV_ERR_INIT;
	int r = open_state(d, false, &own);

	if (r == -ENOENT)
		return dv_err_step(err,
				   dv_err_set(err, ENOENT, DV_NOT_FOUND,
					      "there is no sandbox %.16s", id),
				   DV_STEP_STATE);
	if (r < 0 && err)
		*err = own;
	return r;
}

/* Until its keeper says more: who it is, should it be killed now. */
static int write_first(struct dv_kept_dirs *d, struct dv_err *err)
{
	struct dv_sandbox_info info = { .size = sizeof(info),
					.stop_timeout_ms = -1 };
	dv_autofree char *text = NULL;
	int r;

	info.created_unix_ns = dv_unix_ns();
	memcpy(info.id, d->home.id, sizeof(info.id));
	memcpy(info.name, d->name, sizeof(info.name));
	text = dv_sandbox_info_json(&info);
	r = text ? dv_replace_file(d->statefd, "state.json", text, strlen(text),
				   0600)
		 : -ENOMEM;
	return r < 0 ? state_err(err, r, "write", d->state, "state.json") : 0;
}

/* What was not taken is not given up either: that needs a lock. */
static int claim_name(struct dv_kept_dirs *d, const char *name,
		      struct dv_err *err)
{
	int r = dv_names_claim(d->home.basefd, d->home.base, name, d->home.id,
			       err);

	if (r == 0)
		memcpy(d->name, name, strlen(name) + 1);
	return r;
}

/*
 * RUNDIR may be removed under a keeper, or be another one for whoever comes
 * next: its environment says where it is. STATEDIR is the same for both, but
 * may be on a file system that has no locks.
 */
static int lock_state(struct dv_kept_dirs *d, struct dv_err *err)
{
	dv_autofd int fd =
		openat(d->statefd, "lock",
		       O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
	int r = fd < 0 ? -errno : dv_fd_lock(fd);

	if (r == -EAGAIN) {
		dv_err_hint(err, "with another RUNDIR, it seems: see "
				 "DAVIT_RUNDIR and XDG_RUNTIME_DIR");
		return busy(err, d->home.id, "is kept by another process");
	}
	if (dv_store_lockless(r))
		return 0;
	if (r < 0)
		return state_err(err, r, "lock", d->state, "lock");
	d->statelock = dv_take_fd(&fd);
	return 0;
}

static int claim(struct dv_kept_dirs *d, const char *id, const char *name,
		 bool state, struct dv_err *err)
{
	int r = 0;

	if (id) {
		name_home(&d->home, id);
		r = find_state(d, id, err);
		if (r == 0)
			r = clear_old(&d->home, id, err);
	}
	if (r == 0)
		r = make_home(&d->home, id != NULL, err);
	if (r == 0 && state && !id)
		r = open_state(d, true, err);
	if (r == 0 && d->statefd >= 0)
		r = lock_state(d, err);
	if (r == 0 && name && name[0])
		r = claim_name(d, name, err);
	if (r == 0 && state && !id)
		r = write_first(d, err);
	return r;
}

int dv_store_claim(struct dv_kept_dirs *dirs, const char *id, const char *name,
		   bool state, struct dv_err *err)
{
	const bool made = !id;
	int r = 0;

	*dirs = (struct dv_kept_dirs)DV_KEPT_DIRS_INIT;
	if (id && !dv_store_is_id(id))
		return dv_err_set(err, EINVAL, DV_INVALID,
				  "\"%.100s\" is no id", id);
	if (name && name[0])
		r = dv_store_check_name(name, err);
	if (r < 0)
		return r;
	r = dv_home_open(&dirs->home, err);
	if (r == 0)
		r = claim(dirs, id, name, state, err);
	if (r < 0)
		dv_store_release(dirs, made);
	return r;
}

static bool same_file(int fd, int dirfd, const char *name)
{
	struct stat a, b;

	return fstat(fd, &a) == 0 &&
	       fstatat(dirfd, name, &b, AT_SYMLINK_NOFOLLOW) == 0 &&
	       a.st_dev == b.st_dev && a.st_ino == b.st_ino;
}

int dv_store_reclaim(struct dv_kept_dirs *dirs, const char *id,
		     const char *name, int lock, int statelock,
		     struct dv_err *err)
{
	struct dv_home *home = &dirs->home;
	int r;

	*dirs = (struct dv_kept_dirs)DV_KEPT_DIRS_INIT;
	dirs->statelock = statelock;
	r = dv_home_open(home, err);
	home->lock = lock;
	if (r == 0 &&
	    (!dv_store_is_id(id) || strlen(name) > DV_SANDBOX_NAME_MAX))
		r = dv_err_set(err, EINVAL, DV_INVALID, "\"%.100s\" is no id",
			       id);
	if (r == 0) {
		name_home(home, id);
		memcpy(dirs->name, name, strlen(name) + 1);
		home->dirfd = r =
			dv_store_sub(home->basefd, home->base, id, err);
	}
	if (r >= 0 && !same_file(lock, home->dirfd, "lock"))
		r = dv_err_set(err, ESTALE, DV_ABORTED,
			       "%s/lock is not the one that is held",
			       home->path);
	if (r >= 0) {
		struct dv_err own = DV_ERR_INIT;

		r = open_state(dirs, false, &own);
		if (r == 0 && !same_file(statelock, dirs->statefd, "lock")) {
			dirs->statelock = dv_close(dirs->statelock);
			(void)lock_state(dirs, NULL);
		}
		if (r == -ENOENT)
			r = 0;
		else if (r < 0 && err)
			*err = own;
	}
	if (r < 0) {
		dirs->statelock = dv_close(dirs->statelock);
		dv_home_release(home);
	}
	return r;
}

/* ---- documents ------------------------------------------------------------
 */

static int write_doc(int dirfd, const char *path, const char *name,
		     const char *text, struct dv_err *err)
{
	int r = dv_replace_file(dirfd, name, text, strlen(text), 0600);

	return r < 0 ? state_err(err, r, "write", path, name) : 0;
}

/*
 * What it was when it began has room for how it ended: a disk that is full by
 * then must not make a sandbox that ended in order look like a dead one.
 */
static int write_begin(struct dv_kept_dirs *dirs, const char *text,
		       struct dv_err *err)
{
	dv_autobuf buf = DV_BUF_INIT(DV_STORE_DOC_MAX);
	int r;

	dv_buf_puts(&buf, text);
	for (size_t i = 0; i < END_MORE; i++)
		dv_buf_putc(&buf, ' ');
	r = dv_buf_status(&buf);
	return r < 0 ? state_err(err, r, "write", dirs->state, "state.json")
		     : write_doc(dirs->statefd, dirs->state, "state.json",
				 buf.data, err);
}

/* Over that document, whose blocks we have, and under the other name. */
static int write_over(int dirfd, const char *text)
{
	dv_autofd int fd =
		openat(dirfd, "state.json", O_WRONLY | O_NOFOLLOW | O_CLOEXEC);
	size_t len = strlen(text);
	int r;

	if (fd < 0)
		return -errno;
	r = dv_write_full(fd, text, len);
	if (r == 0 && ftruncate(fd, (off_t)len) < 0)
		r = -errno;
	if (r == 0 && renameat(dirfd, "state.json", dirfd, "exit.json") < 0)
		r = -errno;
	return r;
}

int dv_store_write_state(struct dv_kept_dirs *dirs,
			 const struct dv_sandbox_info *info, bool begins,
			 struct dv_err *err)
{
	dv_autofree char *text = dv_sandbox_info_json(info);
	int r = 0, r2;

	if (!text)
		return state_err(err, -ENOMEM, "write", dirs->home.path,
				 "state.json");
	if (begins && dirs->statefd >= 0) {
		r = write_begin(dirs, text, err);
		/* That of the run before. */
		unlinkat(dirs->statefd, "exit.json", 0);
	}
	r2 = write_doc(dirs->home.dirfd, dirs->home.path, "state.json", text,
		       r < 0 ? NULL : err);
	return r < 0 ? r : r2;
}

int dv_store_write_exit(struct dv_kept_dirs *dirs,
			const struct dv_sandbox_info *info, struct dv_err *err)
{
	dv_autofree char *text = NULL;
	int r;

	if (dirs->statefd < 0)
		return 0;
	text = dv_sandbox_info_json(info);
	if (!text)
		return state_err(err, -ENOMEM, "write", dirs->state,
				 "exit.json");
	r = write_doc(dirs->statefd, dirs->state, "exit.json", text, err);
	if (r == -ENOSPC || r == -EDQUOT)
		r = write_over(dirs->statefd, text) < 0 ? r : 0;
	return r;
}

static int write_kept(int dirfd, const char *path, const dv_KeptSandbox *kept,
		      struct dv_err *err)
{
	dv_autobuf buf = DV_BUF_INIT(DV_STORE_KEPT_MAX);
	int r = dv_pb_encode(dv_KeptSandbox_fields, kept, &buf, err);

	if (r == 0) {
		r = dv_replace_file(dirfd, "kept", buf.data ? buf.data : "",
				    buf.len, 0600);
		if (r < 0)
			dv_err_sys(err, -r, "write it");
	}
	return dv_err_step(err, dv_err_wrap(err, r, "%s/kept", path),
			   DV_STEP_STATE);
}

int dv_store_write_kept(struct dv_kept_dirs *dirs, const dv_KeptSandbox *kept,
			struct dv_err *err)
{
	if (dirs->statefd < 0)
		return 0;
	return write_kept(dirs->statefd, dirs->state, kept, err);
}

/* ---- renaming -------------------------------------------------------------
 */

/* What STATEDIR says: after a reboot the name is found there. */
static int rename_doc(struct dv_kept_dirs *d, const char *file,
		      const char *name, struct dv_err *err)
{
	struct dv_sandbox_info info = { .size = sizeof(info) };
	dv_autofree char *text = NULL, *fresh = NULL;
	size_t len;

	if (dv_store_read(d->statefd, d->state, file, DV_STORE_DOC_MAX, &text,
			  &len, NULL) < 0 ||
	    dv_info_parse(&info, text, len, NULL) < 0)
		return 0;
	memcpy(info.name, name, strlen(name) + 1);
	fresh = dv_sandbox_info_json(&info);
	dv_sandbox_info_free(&info);
	return fresh ? write_doc(d->statefd, d->state, file, fresh, err)
		     : dv_err_sys(err, ENOMEM, "rename");
}

static int rename_kept(struct dv_kept_dirs *d, const char *name,
		       struct dv_err *err)
{
	dv_KeptSandbox kept = dv_KeptSandbox_init_zero;
	char *copy;
	int r = 0;

	if (dv_store_read_kept(d->home.id, &kept, NULL) < 0)
		return 0;
	copy = strdup(name);
	if (copy) {
		kept.has_keep = true;
		free(kept.keep.name);
		kept.keep.name = copy;
		r = write_kept(d->statefd, d->state, &kept, err);
	}
	dv_pb_release(dv_KeptSandbox_fields, &kept);
	return copy ? r : dv_err_sys(err, ENOMEM, "rename");
}

/*
 * What cannot be read has no name; what cannot be written keeps its own. The
 * one that others believe is the last: whoever is killed here has renamed it
 * then, or not at all.
 */
static int rename_all(struct dv_kept_dirs *d, const char *name,
		      struct dv_err *err)
{
	int r = rename_kept(d, name, err);

	if (r == 0)
		r = rename_doc(d, "state.json", name, err);
	return r < 0 ? r : rename_doc(d, "exit.json", name, err);
}

int dv_store_rename(struct dv_kept_dirs *dirs, const char *name,
		    struct dv_err *err)
{
	struct dv_home *home = &dirs->home;
	int r = dv_store_check_name(name, err);

	if (r < 0 || !strcmp(name, dirs->name))
		return r;
	r = dv_names_claim(home->basefd, home->base, name, home->id, err);
	if (r < 0)
		return r;
	if (dirs->statefd >= 0)
		r = rename_all(dirs, name, err);
	if (r < 0) {
		(void)rename_all(dirs, dirs->name, NULL);
		dv_names_drop(home->basefd, name, home->id);
		return r;
	}
	if (dirs->name[0])
		dv_names_drop(home->basefd, dirs->name, home->id);
	memcpy(dirs->name, name, strlen(name) + 1);
	return 0;
}

/* The name that a sandbox without a keeper has, from its documents. */
static int old_name(struct dv_kept_dirs *d, struct dv_err *err)
{
	struct dv_sandbox_info info = { .size = sizeof(info) };
	int r = dv_store_look(d->home.id, &info, err);

	if (r == 0 && info.state < DV_STATE_EXITED)
		r = dv_err_set(err, EBUSY, DV_PRECONDITION,
			       "sandbox %s has a keeper that lives",
			       d->home.id);
	if (r == 0)
		memcpy(d->name, info.name, sizeof(d->name));
	dv_sandbox_info_free(&info);
	return r;
}

/* What a killed keeper left goes first: whoever does that later would write
 * its document again. */
static int sweep_before(struct dv_kept_dirs *d, struct dv_err *err)
{
	dv_autofd int lock =
		dv_store_lock(d->home.basefd, d->home.base, true, err);

	if (lock < 0)
		return lock;
	(void)dv_sweep_locked(d->home.basefd, d->home.id);
	return 0;
}

int dv_store_rename_ended(const char *id, const char *name, struct dv_err *err)
{
	struct dv_kept_dirs d = DV_KEPT_DIRS_INIT;
	int r = dv_store_check_name(name, err);

	if (r == 0 && !dv_store_is_id(id))
		r = dv_err_set(err, ENOENT, DV_NOT_FOUND,
			       "there is no sandbox %.16s", id);
	if (r == 0)
		r = dv_home_open(&d.home, err);
	if (r == 0) {
		name_home(&d.home, id);
		r = sweep_before(&d, err);
	}
	if (r == 0)
		r = old_name(&d, err);
	if (r == 0)
		r = find_state(&d, id, err);
	if (r == 0)
		r = dv_store_rename(&d, name, err);
	if (r == 0)
		dv_store_event(&d, "renamed", "");
	d.statefd = dv_close(d.statefd);
	dv_home_release(&d.home);
	return dv_err_step(err, r, DV_STEP_STATE);
}

/* ---- the end --------------------------------------------------------------
 */

static void remove_state(struct dv_kept_dirs *d)
{
	dv_autostore s = DV_STORE_INIT;

	if (dv_store_open(&s, NULL) == 0 && s.state >= 0)
		dv_store_take_away(s.state, d->home.id);
}

/*
 * Whoever looks meanwhile finds first a lock that is held, and then none and
 * what STATEDIR says. Its own lock goes first: whoever finds that of RUNDIR
 * free may start the sandbox anew at once, or remove it.
 */
void dv_store_release(struct dv_kept_dirs *dirs, bool all)
{
	struct dv_home *home = &dirs->home;

	if (all && dirs->name[0] && home->basefd >= 0)
		dv_names_drop(home->basefd, dirs->name, home->id);
	if (all && dirs->statefd >= 0)
		remove_state(dirs);
	dirs->statefd = dv_close(dirs->statefd);
	dirs->statelock = dv_close(dirs->statelock);
	/* Then the directory stays, and shall say nothing. */
	if (home->dirfd >= 0 && home->groups_left) {
		unlinkat(home->dirfd, "identity", 0);
		unlinkat(home->dirfd, "sock", 0);
		if (all)
			unlinkat(home->dirfd, "state.json", 0);
	}
	dv_home_remove(home);
	dirs->name[0] = '\0';
}
