/* SPDX-License-Identifier: MIT */
/*
 * Users of a sandbox that runs, by name. Its root is that of its first process:
 * the kernel lets whoever made the sandbox look there, so no keeper, of
 * whatever age, has to know about it.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "base/def.h"
#include "base/fd.h"
#include "base/fmt.h"
#include "runtime/client/sandbox.h"

enum {
	PATH_LEN = 40,
	WORD_MAX = 64, /* "allow" or "deny" */
};

static int open_root(int32_t pid, struct dv_err *err)
{
	char path[PATH_LEN];
	int fd;

	dv_fmt(path, sizeof(path), "/proc/%d/root", (int)pid);
	fd = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	return fd < 0 ? dv_err_sys(err, errno, "open %s", path) : fd;
}

/* Where an ordinary user has no range of ids, nobody may set groups. */
static bool may_set_groups(int32_t pid)
{
	dv_autofree char *word = NULL;
	char path[PATH_LEN];

	dv_fmt(path, sizeof(path), "/proc/%d/setgroups", (int)pid);
	return dv_read_file(AT_FDCWD, path, WORD_MAX, &word, NULL) < 0 ||
	       strncmp(word, "deny", 4) != 0;
}

int dv_sandbox_put_user(struct dv_sandbox *sb, struct dv_diag_exec *e,
			struct dv_user *user, struct dv_err *err)
{
	const int32_t pid = sb->info.pid;
	dv_autofd int root = -1;
	int r;

	if (e->has_ids)
		return dv_err_set(err, EINVAL, DV_INVALID,
				  "exec: either a user or ids");
	root = open_root(pid, err);
	if (root < 0)
		return dv_err_wrap(err, root, "look up user %s", e->user);
	r = dv_user_lookup(root, e->user, user, err);
	if (r == 0 && !may_set_groups(pid))
		user->n_groups = 0;
	/* Its number may have become somebody else's meanwhile. */
	if (r == 0)
		r = dv_sandbox_see(sb, false, err);
	if (r == 0)
		r = dv_verb_allowed(DV_VERB_EXEC, sb->info.state, sb->who, err);
	if (r == 0 && sb->info.pid != pid)
		return dv_err_set(err, EAGAIN, DV_UNAVAILABLE,
				  "%s was started anew meanwhile", sb->who);
	if (r < 0)
		return r;
	e->user = NULL;
	e->has_ids = true;
	e->uid = user->uid;
	e->gid = user->gid;
	e->groups = user->groups;
	e->n_groups = user->n_groups;
	return 0;
}
