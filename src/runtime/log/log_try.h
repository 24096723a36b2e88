/* SPDX-License-Identifier: MIT */
#pragma once
/*
 * For tests of what is known of a sandbox by its files alone: the part of a
 * keeper that writes them, in the test itself or in a child that can be killed.
 */
#include <poll.h>
#include <sys/wait.h>

#include "base/def.h"
#include "engine/proc_try.h"
#include "runtime/log/outlog.h"
#include "runtime/store/store.h"

enum { TRY_MS = 20000 };

static struct try_dir try_top;

/* What a keeper has, as far as readers can see. */
struct try_keeper {
	struct dv_kept_dirs dirs;
	struct dv_outlog log;
	struct dv_sandbox_info info;
};

static inline void try_open_dirs(void)
{
	try_dir_make(&try_top);
	CHECK_EQ(setenv("DAVIT_RUNDIR", try_path(&try_top, "run"), 1), 0);
	CHECK_EQ(setenv("DAVIT_STATEDIR", try_path(&try_top, "state"), 1), 0);
}

static inline void try_close_dirs(void)
{
	try_dir_remove(&try_top);
	unsetenv("DAVIT_RUNDIR");
	unsetenv("DAVIT_STATEDIR");
}

/* Without a log if @max is 0. 0 or -errno. */
static inline int try_keep(struct try_keeper *k, const char *name, uint64_t max)
{
	struct dv_err err = DV_ERR_INIT;
	int r = dv_store_claim(&k->dirs, NULL, name, true, &err);

	k->log = (struct dv_outlog)DV_OUTLOG_INIT;
	if (r == 0 && max)
		r = dv_outlog_open(&k->log, k->dirs.statefd, "log", max, &err);
	k->info = (struct dv_sandbox_info){ .size = sizeof(k->info),
					    .state = DV_STATE_RUNNING,
					    .stop_timeout_ms = -1,
					    .keeper_pid = getpid(),
					    .pid = getpid(),
					    .created_unix_ns = 1,
					    .started_unix_ns = 1 };
	memcpy(k->info.id, k->dirs.home.id, sizeof(k->info.id));
	memcpy(k->info.name, k->dirs.name, sizeof(k->info.name));
	if (r == 0)
		r = dv_store_write_state(&k->dirs, &k->info, true, &err);
	if (r < 0)
		print_error("%s\n", err.msg);
	return r;
}

static inline void try_says(struct try_keeper *k, int stream, const char *text)
{
	dv_outlog_put(&k->log, (uint8_t)stream, text, strlen(text));
}

/* It has ended with @code; its keeper goes. */
static inline void try_end(struct try_keeper *k, int code)
{
	k->info.state = DV_STATE_EXITED;
	k->info.has_exit = true;
	k->info.exit =
		(struct dv_exit){ .size = sizeof(k->info.exit), .code = code };
	if (k->log.fd >= 0)
		dv_outlog_end(&k->log);
	CHECK_EQ(dv_store_write_exit(&k->dirs, &k->info, NULL), 0);
	dv_store_release(&k->dirs, false);
	dv_outlog_close(&k->log);
}

/*
 * A keeper in a process of its own: runs @fn, and then whatever comes it stays
 * until it is killed. Returns when @fn has been run.
 */
static inline pid_t try_keeper_child(const char *name, uint64_t max,
				     void (*fn)(struct try_keeper *k))
{
	int ready[2];
	char c;
	pid_t pid;

	CHECK_EQ(dv_pipe(ready), 0);
	pid = fork();
	if (pid == 0) {
		struct try_keeper k;

		dv_close(ready[0]);
		if (try_keep(&k, name, max) < 0)
			_exit(1);
		fn(&k);
		dv_write_full(ready[1], "r", 1);
		for (;;)
			pause();
	}
	dv_close(ready[1]);
	CHECK_EQ(dv_read(ready[0], &c, 1), 1);
	dv_close(ready[0]);
	return pid;
}

static inline void try_kill(pid_t pid)
{
	CHECK_EQ(kill(pid, SIGKILL), 0);
	CHECK_EQ(waitpid(pid, NULL, 0), pid);
}

static inline struct dv_sandbox *try_sandbox(const char *name)
{
	struct dv_sandbox *sb;
	struct dv_err err = DV_ERR_INIT;

	if (dv_sandbox_open(&sb, name, NULL, &err) < 0)
		fail_msg("%s", err.msg);
	return sb;
}
