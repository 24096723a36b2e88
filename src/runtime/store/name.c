/* SPDX-License-Identifier: MIT */
/*
 * DOC: names.
 *
 * RUNDIR/names/<name> is a symlink to an id, and making one is how a name is
 * taken: whoever comes second gets EEXIST. The owner holds its lock before it
 * takes a name, so a name whose owner has neither a lock nor a directory is
 * stale, and whoever holds names/.lock may replace it. Everything that removes
 * a name holds names/.lock, too.
 *
 * RUNDIR goes with a reboot, STATEDIR stays: names are then made anew from the
 * documents, once, before the first name is taken; names/.complete says so.
 */
#include "runtime/store/priv.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "base/def.h"
#include "base/fd.h"
#include "base/fmt.h"

static const char complete[] = "names/.complete";
static const char first_chars[] = "abcdefghijklmnopqrstuvwxyz0123456789";
static const char more_chars[] = "abcdefghijklmnopqrstuvwxyz0123456789_.-";

enum { NAME_PATH = DV_SANDBOX_NAME_MAX + 8 };

static int bad_name(const char *name, const char *why, struct dv_err *err)
{
	dv_err_hint(err, "names are of a-z 0-9 _ . - and begin with a letter "
			 "or a digit");
	return dv_err_step(err,
			   dv_err_set(err, EINVAL, DV_INVALID,
				      "\"%.100s\" is no name for a sandbox: %s",
				      name, why),
			   DV_STEP_CONFIG);
}

int dv_store_check_name(const char *name, struct dv_err *err)
{
	if (!name[0])
		return bad_name(name, "it is empty", err);
	if (strlen(name) > DV_SANDBOX_NAME_MAX)
		return bad_name(name, "more than 63 characters", err);
	if (!strchr(first_chars, name[0]))
		return bad_name(name, "its first character", err);
	if (name[strspn(name, more_chars)])
		return bad_name(name, "not all of its characters", err);
	if (dv_store_is_id(name))
		return bad_name(name, "it looks like an id", err);
	return 0;
}

/* "names/NAME"; a bad name becomes one that nobody has. */
static const char *name_path(char *out, const char *name)
{
	if (strlen(name) > DV_SANDBOX_NAME_MAX || strchr(name, '/') ||
	    name[0] == '.')
		name = ".";
	dv_fmt(out, NAME_PATH, "names/%s", name);
	return out;
}

int dv_names_read(int run, const char *name, char *id)
{
	char path[NAME_PATH], to[DV_ID_LEN + 2];
	ssize_t n;

	if (run < 0)
		return -ENOENT;
	n = readlinkat(run, name_path(path, name), to, sizeof(to));
	if (n != DV_ID_LEN)
		return -ENOENT;
	to[n] = '\0';
	if (!dv_store_is_id(to))
		return -ENOENT;
	memcpy(id, to, sizeof(to) - 1);
	return 0;
}

bool dv_names_complete(int run)
{
	return run >= 0 &&
	       faccessat(run, complete, F_OK, AT_SYMLINK_NOFOLLOW) == 0;
}

/* ---- after a reboot ------------------------------------------------------ */

static int add_name(void *arg, const char *id)
{
	const struct dv_store *s = arg;
	struct dv_sandbox_info info = { .size = sizeof(info) };
	char path[NAME_PATH];
	int r = 0;

	if (dv_store_is_id(id) && dv_store_look_in(s, id, &info, NULL) == 0 &&
	    info.name[0] &&
	    symlinkat(id, s->run, name_path(path, info.name)) < 0 &&
	    errno != EEXIST)
		r = -errno;
	dv_sandbox_info_free(&info);
	return r;
}

/* What cannot be read has no name. */
static int make_names(int base, const char *base_path, struct dv_err *err)
{
	dv_autostore s = DV_STORE_INIT;
	dv_autofd int lock = dv_store_lock(base, base_path, true, err);
	int fd, r = lock < 0 ? lock : 0;

	if (r < 0 || dv_names_complete(base))
		return r;
	r = dv_store_open(&s, err);
	if (r == 0 && s.run >= 0 && s.state >= 0)
		r = dv_store_entries(s.state, ".", add_name, &s);
	if (r < 0)
		return r;
	fd = openat(base, complete, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	if (fd < 0)
		r = dv_err_step(err,
				dv_err_sys(err, errno, "create %s/%s",
					   s.run_path, complete),
				DV_STEP_STATE);
	dv_close(fd);
	return r;
}

/* ---- taking ---------------------------------------------------------------
 */

static int taken(const struct dv_store *s, const char *name, const char *owner,
		 struct dv_err *err)
{
	struct dv_sandbox_info info = { .size = sizeof(info) };
	const char *state = "unknown", *force = " -f";

	if (dv_store_look_in(s, owner, &info, NULL) == 0) {
		state = dv_state_name(info.state);
		if (info.state >= DV_STATE_EXITED)
			force = "";
	}
	dv_sandbox_info_free(&info);
	dv_err_hint(err, "take another name, or: davit rm%s %s", force, name);
	return dv_err_step(err,
			   dv_err_set(err, EEXIST, DV_EXISTS,
				      "the name %s is taken by sandbox %s, "
				      "which is %s",
				      name, owner, state),
			   DV_STEP_STATE);
}

/* Nothing is left of @owner, or nothing but dirt in RUNDIR. */
static bool is_stale(const struct dv_store *s, const char *owner)
{
	return (s->state < 0 ||
		faccessat(s->state, owner, F_OK, AT_SYMLINK_NOFOLLOW) < 0) &&
	       dv_sweep_locked(s->run, owner) == 0;
}

/* The symlink is there: whose is it, and is he? */
static int settle(int base, const char *base_path, const char *name,
		  const char *id, struct dv_err *err)
{
	dv_autostore s = DV_STORE_INIT;
	dv_autofd int lock = dv_store_lock(base, base_path, true, err);
	char owner[DV_ID_LEN + 1], path[NAME_PATH];
	int r = lock < 0 ? lock : dv_store_open(&s, err);

	name_path(path, name);
	if (r < 0)
		return r;
	if (dv_names_read(base, name, owner) == 0) {
		if (!strcmp(owner, id))
			return 0;
		if (!is_stale(&s, owner))
			return taken(&s, name, owner, err);
	}
	if (unlinkat(base, path, 0) < 0 && errno != ENOENT)
		return -errno;
	return symlinkat(id, base, path) < 0 ? -errno : 0;
}

int dv_names_claim(int base, const char *base_path, const char *name,
		   const char *id, struct dv_err *err)
{
	char path[NAME_PATH];
	struct dv_err own = DV_ERR_INIT;
	int r = 0;

	if (!dv_names_complete(base))
		r = make_names(base, base_path, &own);
	name_path(path, name);
	if (r == 0 && symlinkat(id, base, path) < 0) {
		r = -errno;
		if (r == -EEXIST)
			r = settle(base, base_path, name, id, &own);
	}
	if (r == 0)
		return 0;
	if (own.code == DV_OK)
		dv_err_sys(&own, -r, "create %s/%s", base_path, path);
	if (err)
		*err = own;
	return dv_err_step(err, r, DV_STEP_STATE);
}

/* ---- giving up ------------------------------------------------------------
 */

static void drop_one(int base, const char *name, const char *id)
{
	char path[NAME_PATH], owner[DV_ID_LEN + 1];

	if (dv_names_read(base, name, owner) == 0 && !strcmp(owner, id))
		unlinkat(base, name_path(path, name), 0);
}

struct owner {
	int base;
	const char *id;
};

static int drop_his(void *arg, const char *name)
{
	const struct owner *o = arg;

	drop_one(o->base, name, o->id);
	return 0;
}

static int drop_stale(void *arg, const char *name)
{
	const struct dv_store *s = arg;
	char id[DV_ID_LEN + 1], path[NAME_PATH];

	if (dv_names_read(s->run, name, id) == 0 && !dv_store_has(s, id))
		unlinkat(s->run, name_path(path, name), 0);
	return 0;
}

void dv_names_sweep(const struct dv_store *s)
{
	/* Busy: somebody else is at it. */
	dv_autofd int lock = dv_store_lock(s->run, s->run_path, false, NULL);

	if (lock >= 0)
		(void)dv_store_entries(s->run, "names", drop_stale,
				       (void *)(uintptr_t)s);
}

void dv_names_drop(int base, const char *name, const char *id)
{
	dv_autofd int lock = dv_store_lock(base, "", true, NULL);

	if (lock < 0)
		return;
	if (name)
		drop_one(base, name, id);
	else
		(void)dv_store_entries(base, "names", drop_his,
				       &(struct owner){ base, id });
}
