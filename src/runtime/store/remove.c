/* SPDX-License-Identifier: MIT */
#include "runtime/store/priv.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "base/def.h"
#include "base/fd.h"

static int not_there(const char *id, struct dv_err *err)
{
	dv_err_hint(err, "davit ps -a lists what there is");
	return dv_err_set(err, ENOENT, DV_NOT_FOUND,
			  "there is no sandbox %.16s", id);
}

static int lives(const char *id, struct dv_err *err)
{
	dv_err_hint(err, "davit stop %.16s, or davit rm -f %.16s", id, id);
	return dv_err_set(err, EBUSY, DV_PRECONDITION,
			  "sandbox %.16s has a keeper that lives", id);
}

/* The name for the events; "" where the documents do not tell. */
static void name_of(const struct dv_store *s, const char *id, char *name)
{
	struct dv_sandbox_info info = { .size = sizeof(info) };

	name[0] = '\0';
	if (dv_store_look_in(s, id, &info, NULL) == 0)
		memcpy(name, info.name, sizeof(info.name));
	dv_sandbox_info_free(&info);
}

/*
 * RUNDIR/<id>. Groups that are not empty yet stay noted there, under a name
 * that nobody looks at, and the next sweep finishes them.
 */
static int remove_run(const struct dv_store *s, const char *id)
{
	char away[DV_ID_LEN + 2];
	int r = dv_sweep_locked(s->run, id);

	return r == -EAGAIN ? dv_store_hide(s->run, id, away) : r;
}

static int remove_locked(const struct dv_store *s, const char *id,
			 struct dv_err *err)
{
	const char *where = s->run_path;
	char name[DV_SANDBOX_NAME_MAX + 1];
	int live = dv_store_lives(s, id, err);
	int r = 0;

	if (live != 0)
		return live < 0 ? live : lives(id, err);
	name_of(s, id, name);
	if (s->run >= 0)
		r = remove_run(s, id);
	if (r == -EBUSY)
		return lives(id, err);
	if (r == 0 && s->state >= 0) {
		where = s->state_path;
		r = dv_store_take_away(s->state, id);
		if (r == -ENOENT)
			r = 0;
	}
	if (r < 0)
		return dv_err_sys(err, -r, "remove %s/%s", where, id);
	if (s->run >= 0)
		dv_event_write(s->run, id, name, "removed", "");
	return 0;
}

int dv_store_remove(const char *id, struct dv_err *err)
{
	dv_autostore s = DV_STORE_INIT;
	dv_autofd int lock = -1;
	int r = dv_store_open(&s, err);

	if (r == 0 && (!dv_store_is_id(id) || !dv_store_has(&s, id)))
		r = not_there(id, err);
	if (r == 0 && s.run >= 0) {
		lock = dv_store_lock(s.run, s.run_path, true, err);
		r = lock < 0 ? lock : 0;
	}
	if (r == 0)
		r = remove_locked(&s, id, err);
	lock = dv_close(lock);
	if (r == 0 && s.run >= 0)
		dv_names_drop(s.run, NULL, id);
	return dv_err_step(err, r, DV_STEP_STATE);
}
