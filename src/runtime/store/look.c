/* SPDX-License-Identifier: MIT */
/*
 * DOC: what is known of a sandbox.
 *
 * The lock of RUNDIR/<id> is looked at first. Held: state.json beside it counts
 * (before there is one, what STATEDIR says, as "creating"). Free: exit.json;
 * else what is left of state.json, and then it is dead; but when the lock of
 * STATEDIR/<id> is held, it is as it began there. Whoever keeps or starts
 * the sandbox may change all this meanwhile, so what was not found is believed
 * only when the lock is as it was.
 */
#include "runtime/store/priv.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/def.h"
#include "base/fd.h"
#include "base/fmt.h"
#include "wire/pb.h"

enum {
	LOOKS_MAX = 8, /* its keeper would have to come and go as often */
	PATH_SIZE = 230,
};

/* What is being looked at. */
struct look {
	const struct dv_store *s;
	const char *id;
	int run, state; /* RUNDIR/<id>, STATEDIR/<id>; -1: none */
	char run_path[PATH_SIZE], state_path[PATH_SIZE];
};

static void look_close(struct look *l)
{
	l->run = dv_close(l->run);
	l->state = dv_close(l->state);
}

static int look_open(struct look *l, struct dv_err *err)
{
	int r = -ENOENT;

	dv_fmt(l->run_path, PATH_SIZE, "%s/%s", l->s->run_path, l->id);
	dv_fmt(l->state_path, PATH_SIZE, "%s/%s", l->s->state_path, l->id);
	if (l->s->run >= 0)
		r = dv_store_sub(l->s->run, l->s->run_path, l->id, err);
	l->run = r;
	if (r < 0 && r != -ENOENT)
		return r;
	r = -ENOENT;
	if (l->s->state >= 0)
		r = dv_store_sub(l->s->state, l->s->state_path, l->id, err);
	l->state = r;
	return r < 0 && r != -ENOENT ? r : 0;
}

/* 1: held, 0: free, or not there. */
static int is_locked(int dirfd, const char *path, struct dv_err *err)
{
	dv_autofd int fd = openat(
		dirfd, "lock", O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	int r;

	if (fd < 0 && errno == ENOENT)
		return 0;
	r = fd < 0 ? -errno : dv_fd_locked(fd);
	if (r >= 0)
		return r;
	return dv_err_step(err, dv_err_sys(err, -r, "look at %s/lock", path),
			   DV_STEP_STATE);
}

/* The same in STATEDIR: where there are no locks, none is held. */
static int is_state_locked(int dirfd, const char *path, struct dv_err *err)
{
	struct dv_err own = DV_ERR_INIT;
	int r = is_locked(dirfd, path, &own);

	if (dv_store_lockless(r))
		return 0;
	if (r < 0 && err)
		*err = own;
	return r;
}

/* ---- documents ------------------------------------------------------------
 */

static int read_doc(const struct look *l, bool in_state, const char *name,
		    struct dv_sandbox_info *info, struct dv_err *err)
{
	const char *path = in_state ? l->state_path : l->run_path;
	const int dirfd = in_state ? l->state : l->run;
	dv_autofree char *text = NULL;
	size_t len;
	int r;

	if (dirfd < 0)
		return -ENOENT;
	r = dv_store_read(dirfd, path, name, DV_STORE_DOC_MAX, &text, &len,
			  err);
	if (r < 0)
		return r;
	r = dv_info_parse(info, text, len, err);
	if (r == 0 && strcmp(info->id, l->id) != 0) {
		dv_sandbox_info_free(info);
		r = dv_err_set(err, EBADMSG, DV_DATA_LOSS,
			       "it is of another sandbox");
	}
	if (r == 0)
		return 0;
	dv_err_hint(err,
		    "it was cut or changed: davit rm -f %s removes what "
		    "is left",
		    l->id);
	return dv_err_step(err, dv_err_wrap(err, r, "%s/%s", path, name),
			   DV_STEP_STATE);
}

static int look_alive(const struct look *l, struct dv_sandbox_info *info,
		      struct dv_err *err)
{
	int r = read_doc(l, false, "state.json", info, err);

	if (r != -ENOENT)
		return r;
	r = is_locked(l->run, l->run_path, err);
	if (r <= 0)
		return r < 0 ? r : -EAGAIN;
	r = read_doc(l, true, "state.json", info, err);
	if (r < 0 && r != -ENOENT)
		return r;
	memcpy(info->id, l->id, sizeof(info->id));
	info->state = DV_STATE_CREATING;
	info->keeper_pid = info->init_pid = info->pid = 0; /* of before */
	return 0;
}

/* The time of the last trace that it left. */
static uint64_t last_seen(const struct look *l)
{
	static const char *const names[] = { "state.json", "log", "log.idx" };
	const int dirs[] = { l->run, l->state };
	uint64_t latest = 0;
	struct stat st;

	for (size_t d = 0; d < DV_ARRAY_LEN(dirs); d++)
		for (size_t i = 0; i < DV_ARRAY_LEN(names); i++) {
			if (dirs[d] < 0 || fstatat(dirs[d], names[i], &st,
						   AT_SYMLINK_NOFOLLOW) < 0)
				continue;
			latest = dv_max(latest,
					(uint64_t)st.st_mtim.tv_sec *
							1000000000 +
						(uint64_t)st.st_mtim.tv_nsec);
		}
	return latest;
}

static void make_dead(const struct look *l, struct dv_sandbox_info *info)
{
	const uint64_t seen = last_seen(l);

	info->state = DV_STATE_DEAD;
	info->ended_unix_ns = seen;
	info->keeper_pid = info->init_pid = info->pid = 0;
	info->health = DV_HEALTH_NONE;
	info->has_exit = true;
	info->exit = (struct dv_exit){
		.size = sizeof(info->exit),
		.code = 128 + SIGKILL,
		.signal = SIGKILL,
		.ended_by = DV_ENDED_KEEPER,
		.started_unix_ns = info->started_unix_ns,
		.exited_unix_ns = seen,
	};
	if (info->started_unix_ns && seen > info->started_unix_ns)
		info->exit.wall_ns = seen - info->started_unix_ns;
}

/* It lives with a RUNDIR that is not ours, or that was removed. */
static int look_elsewhere(const struct look *l, struct dv_sandbox_info *info,
			  struct dv_err *err)
{
	int r = read_doc(l, true, "state.json", info, err);

	if (r != -ENOENT)
		return r;
	memcpy(info->id, l->id, sizeof(info->id));
	info->state = DV_STATE_CREATING;
	return 0;
}

static int look_ended(const struct look *l, struct dv_sandbox_info *info,
		      struct dv_err *err)
{
	int r = read_doc(l, true, "exit.json", info, err);

	if (r == 0) {
		info->state = DV_STATE_EXITED;
		info->keeper_pid = info->init_pid = info->pid = 0;
	}
	if (r != -ENOENT)
		return r;
	r = l->state >= 0 ? is_state_locked(l->state, l->state_path, err) : 0;
	if (r != 0)
		return r < 0 ? r : look_elsewhere(l, info, err);
	r = read_doc(l, false, "state.json", info, err);
	if (r == -ENOENT)
		r = read_doc(l, true, "state.json", info, err);
	/* Begun and killed before anything was written, or being removed. */
	if (r == -ENOENT && l->state < 0)
		return r;
	if (r == -ENOENT) {
		memcpy(info->id, l->id, sizeof(info->id));
		r = 0;
	}
	if (r == 0)
		make_dead(l, info);
	return r;
}

/* Was it started again while we looked, and may even have ended since? */
static bool has_moved(const struct look *l)
{
	if (dv_store_lives(l->s, l->id, NULL) > 0)
		return true;
	if (l->state >= 0 &&
	    faccessat(l->state, "exit.json", F_OK, AT_SYMLINK_NOFOLLOW) == 0)
		return true;
	return dv_store_lives(l->s, l->id, NULL) > 0;
}

static int look_once(struct look *l, struct dv_sandbox_info *info,
		     struct dv_err *err)
{
	int live, r = look_open(l, err);

	if (r < 0)
		return r;
	live = l->run >= 0 ? is_locked(l->run, l->run_path, err) : 0;
	if (live < 0)
		return live;
	if (live)
		return look_alive(l, info, err);
	r = look_ended(l, info, err);
	if (r < 0 || info->state != DV_STATE_DEAD)
		return r;
	if (!has_moved(l))
		return 0;
	dv_sandbox_info_free(info);
	return -EAGAIN;
}

int dv_store_look_in(const struct dv_store *s, const char *id,
		     struct dv_sandbox_info *info, struct dv_err *err)
{
	struct look l = { .s = s, .id = id, .run = -1, .state = -1 };
	int r = -EAGAIN;

	*info = (struct dv_sandbox_info){ .size = sizeof(*info),
					  .stop_timeout_ms = -1 };
	if (!dv_store_is_id(id))
		r = -ENOENT;
	for (int i = 0; i < LOOKS_MAX && r == -EAGAIN; i++) {
		r = look_once(&l, info, err);
		look_close(&l);
	}
	if (r == -ENOENT) {
		dv_err_hint(err, "davit ps -a lists what there is");
		dv_err_set(err, ENOENT, DV_NOT_FOUND,
			   "there is no sandbox %.16s", id);
	} else if (r == -EAGAIN) {
		dv_err_set(err, EAGAIN, DV_UNAVAILABLE,
			   "sandbox %.16s comes and goes", id);
	}
	return dv_err_step(err, r, DV_STEP_STATE);
}

int dv_store_look(const char *id, struct dv_sandbox_info *info,
		  struct dv_err *err)
{
	dv_autostore s = DV_STORE_INIT;
	int r = dv_store_open(&s, err);

	*info = (struct dv_sandbox_info){ .size = sizeof(*info),
					  .stop_timeout_ms = -1 };
	return r < 0 ? r : dv_store_look_in(&s, id, info, err);
}

int dv_store_look_bare(const char *id, struct dv_sandbox_info *info,
		       struct dv_err *err)
{
	dv_autostore s = DV_STORE_INIT;
	int r = dv_store_open(&s, err);

	*info = (struct dv_sandbox_info){ .size = sizeof(*info),
					  .stop_timeout_ms = -1 };
	if (r == 0 && (!dv_store_is_id(id) || !dv_store_has(&s, id)))
		r = dv_err_set(err, ENOENT, DV_NOT_FOUND,
			       "there is no sandbox %.16s", id);
	if (r == 0)
		r = dv_store_lives(&s, id, err);
	if (r < 0)
		return dv_err_step(err, r, DV_STEP_STATE);
	memcpy(info->id, id, sizeof(info->id));
	info->state = r ? DV_STATE_RUNNING : DV_STATE_DEAD;
	return 0;
}

typedef int look_at_lock(int dirfd, const char *path, struct dv_err *err);

static int lives_in(int base, const char *base_path, const char *id,
		    look_at_lock *look_at, struct dv_err *err)
{
	char path[PATH_SIZE];
	dv_autofd int fd = -1;

	if (base < 0)
		return 0;
	fd = dv_store_sub(base, base_path, id, err);
	if (fd < 0)
		return fd == -ENOENT ? 0 : fd;
	dv_fmt(path, sizeof(path), "%s/%s", base_path, id);
	return look_at(fd, path, err);
}

int dv_store_lives(const struct dv_store *s, const char *id, struct dv_err *err)
{
	int r = lives_in(s->run, s->run_path, id, is_locked, err);

	return r ? r
		 : lives_in(s->state, s->state_path, id, is_state_locked, err);
}

int dv_store_read_kept(const char *id, dv_KeptSandbox *kept, struct dv_err *err)
{
	dv_autostore s = DV_STORE_INIT;
	dv_autofree char *data = NULL;
	dv_autofd int fd = -1;
	char path[PATH_SIZE];
	size_t len = 0;
	int r = dv_store_open(&s, err);

	if (r < 0)
		return r;
	dv_fmt(path, sizeof(path), "%s/%s", s.state_path, id);
	fd = s.state < 0 ? -ENOENT
			 : dv_store_sub(s.state, s.state_path, id, err);
	r = fd < 0 ? fd
		   : dv_store_read(fd, path, "kept", DV_STORE_KEPT_MAX, &data,
				   &len, err);
	if (r == -ENOENT)
		return dv_err_step(err,
				   dv_err_set(err, ENOENT, DV_NOT_FOUND,
					      "nobody wrote down how sandbox "
					      "%.16s was started",
					      id),
				   DV_STEP_STATE);
	if (r < 0)
		return r;
	*kept = (dv_KeptSandbox)dv_KeptSandbox_init_zero;
	r = dv_pb_decode(dv_KeptSandbox_fields, data, len, kept, err);
	return dv_err_step(err, dv_err_wrap(err, r, "%s/kept", path),
			   DV_STEP_STATE);
}

int dv_store_sock(const char *id, char *out, size_t size, struct dv_err *err)
{
	char run[200];
	int r = dv_rundir(run, sizeof(run), err);

	if (r == 0 &&
	    (size_t)dv_fmt(out, size, "%s/%.16s/sock", run, id) >= size)
		r = dv_err_sys(err, ENAMETOOLONG, "%s", run);
	return r;
}
