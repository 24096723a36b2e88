/* SPDX-License-Identifier: MIT */
#include "runtime/keeper/keeper.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/def.h"
#include "runtime/plan/spec.h"

extern char **environ;

/* The message's list ends by its count, an environment by NULL. */
static int adopt_environ(struct dv_keeper *k)
{
	size_t n = k->kept.environ_count;

	if (k->env)
		return 0;
	k->env = calloc(n + 1, sizeof(*k->env));
	if (!k->env)
		return -ENOMEM;
	for (size_t i = 0; i < n; i++)
		k->env[i] = k->kept.environ[i];
	environ = k->env;
	return 0;
}

int dv_keeper_enter(struct dv_keeper *k, struct dv_err *err)
{
	const char *cwd = k->kept.cwd ? k->kept.cwd : "/";

	if (adopt_environ(k) < 0)
		return dv_err_sys(err, ENOMEM, "keep an environment");
	if (chdir(cwd) == 0)
		return 0;
	/* A container shows nothing of where it was started. */
	if (k->info.boundary == DV_IN_CONTAINER && chdir("/") == 0)
		return 0;
	dv_err_hint(err, "it was started there: make the directory, or run a "
			 "new sandbox elsewhere");
	return dv_err_step(err, dv_err_sys(err, errno, "enter %s", cwd),
			   DV_STEP_CONFIG);
}

void dv_keeper_leave(struct dv_keeper *k)
{
	/* Nothing is resolved from there: only the directory is let go. */
	if (chdir("/") < 0)
		dv_log(k->log, DV_LOG_WARN, "cannot leave the directory");
}

static int note_group(void *arg, const char *path)
{
	struct dv_keeper *k = arg;

	return dv_home_note(&k->dirs.home, path);
}

void dv_keeper_group(struct dv_keeper *k)
{
	struct dv_err err = DV_ERR_INIT;

	dv_cgroup_make_way(&k->spec->limits);
	if (dv_cgroup_enter_own(k->dirs.home.id, note_group, k, &k->group,
				&err) < 0)
		dv_log(k->log, DV_LOG_INFO, "no group of its own: %s", err.msg);
}

void dv_keeper_ungroup(struct dv_keeper *k)
{
	if (k->group && dv_cgroup_leave_own(k->group) < 0)
		k->dirs.home.groups_left = true;
	free(k->group);
	k->group = NULL;
}
