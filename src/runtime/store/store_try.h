/* SPDX-License-Identifier: MIT */
#pragma once
/*
 * For tests of the store: what a keeper does to its documents, step by step,
 * and what is there then.
 */
#include "runtime/log/log_try.h"
#include "runtime/store/priv.h"

static inline bool there(const char *dir, const char *name)
{
	char path[300];
	struct stat st;

	dv_fmt(path, sizeof(path), "%s/%s", try_path(&try_top, dir), name);
	return lstat(path, &st) == 0;
}

static inline const char *in_dir(const char *dir, const char *id,
				 const char *name)
{
	static char path[4][300];
	static int at;
	char *p = path[at++ % 4];

	dv_fmt(p, sizeof(path[0]), "%s/%s/%s", try_path(&try_top, dir), id,
	       name);
	return p;
}

static inline void put_file(const char *path, const char *text)
{
	CHECK_EQ(dv_replace_file(AT_FDCWD, path, text, strlen(text), 0600), 0);
}

/* Claim or say why not. */
static inline struct dv_kept_dirs claimed(const char *id, const char *name)
{
	struct dv_err err = DV_ERR_INIT;
	struct dv_kept_dirs d;
	int r = dv_store_claim(&d, id, name, true, &err);

	CHECK_STR(err.msg, "");
	CHECK_EQ(r, 0);
	return d;
}

static inline struct dv_sandbox_info info_of(const struct dv_kept_dirs *d,
					     enum dv_state state)
{
	struct dv_sandbox_info info = { .size = sizeof(info), .state = state };

	memcpy(info.id, d->home.id, sizeof(info.id));
	memcpy(info.name, d->name, sizeof(info.name));
	info.keeper_pid = getpid();
	info.pid = getpid();
	info.created_unix_ns = info.started_unix_ns = 1700000000000000001;
	return info;
}

static inline void write_state(struct dv_kept_dirs *d, enum dv_state state,
			       bool begins)
{
	struct dv_sandbox_info info = info_of(d, state);

	CHECK_EQ(dv_store_write_state(d, &info, begins, NULL), 0);
}

static inline void write_exit(struct dv_kept_dirs *d, int code)
{
	struct dv_sandbox_info info = info_of(d, DV_STATE_EXITED);

	info.has_exit = true;
	info.exit = (struct dv_exit){ .size = sizeof(info.exit), .code = code };
	CHECK_EQ(dv_store_write_exit(d, &info, NULL), 0);
}

/* As a keeper that is killed: locks go, files stay. */
static inline void die(struct dv_kept_dirs *d)
{
	dv_home_release(&d->home);
	d->statefd = dv_close(d->statefd);
	d->statelock = dv_close(d->statelock);
}

static inline enum dv_state state_of(const char *id)
{
	struct dv_sandbox_info info;
	struct dv_err err = DV_ERR_INIT;
	int r = dv_store_look(id, &info, &err);

	if (r < 0)
		return DV_STATE_N;
	CHECK_STR(info.id, id);
	dv_sandbox_info_free(&info);
	return info.state;
}

static inline size_t count_events(const char *event)
{
	dv_autofree char *text = NULL;
	char want[64];
	size_t len, n = 0;

	dv_fmt(want, sizeof(want), "\"event\":\"%s\"", event);
	if (dv_read_file(AT_FDCWD, try_path(&try_top, "run/events"), 1 << 22,
			 &text, &len) < 0)
		return 0;
	for (char *p = text; (p = strstr(p, want)); p++)
		n++;
	return n;
}
