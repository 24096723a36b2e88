/* SPDX-License-Identifier: MIT */
#include "runtime/client/sandbox.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/def.h"
#include "base/fd.h"
#include "base/fmt.h"
#include "base/opts.h"

enum {
	/* A keeper that is just ending is not there for a moment: whoever asks
	 * next need not wait for that. */
	RETRY_MS = 10,
};

static struct dv_sandbox *sandbox_alloc(void)
{
	struct dv_sandbox *sb = calloc(1, sizeof(*sb));

	if (!sb)
		return NULL;
	sb->info.size = sizeof(sb->info);
	sb->dirfd = sb->watch = sb->watch_pid = -1;
	sb->watch_src = sb->watch_pid_src = (struct dv_src)DV_SRC_INIT;
	sb->watch_end = (struct dv_timer)DV_TIMER_INIT;
	return sb;
}

static int open_loop(struct dv_sandbox *sb, struct dv_loop *loop,
		     struct dv_err *err)
{
	int r = 0;

	sb->loop = loop;
	if (!loop)
		r = dv_loop_new(&sb->loop);
	sb->own_loop = !loop && r == 0;
	return r < 0 ? dv_err_sys(err, -r, "make an event loop") : 0;
}

int dv_sandbox_open(struct dv_sandbox **sbp, const char *name,
		    const struct dv_sandbox_opts *opts, struct dv_err *err)
{
	struct dv_sandbox_opts o = DV_SANDBOX_OPTS_INIT;
	struct dv_sandbox *sb;
	int r = opts ? dv_opts_copy(&o, sizeof(o), opts, err) : 0;

	if (r < 0)
		return r;
	sb = sandbox_alloc();
	if (!sb)
		return dv_err_sys(err, ENOMEM, "open a sandbox");
	r = dv_store_find(name, sb->id, err);
	if (r == 0)
		r = open_loop(sb, o.loop, err);
	memcpy(sb->who, sb->id, sizeof(sb->id));
	if (r < 0)
		dv_sandbox_free(sb);
	else
		*sbp = sb;
	return r;
}

struct dv_sandbox *dv_sandbox_free(struct dv_sandbox *sb)
{
	if (!sb)
		return NULL;
	dv_sandbox_dial_stop(sb);
	dv_diag_free(sb->diag);
	dv_sandbox_info_free(&sb->info);
	dv_close(sb->dirfd);
	if (sb->own_loop)
		dv_loop_free(sb->loop);
	free(sb);
	return NULL;
}

struct dv_loop *dv_sandbox_loop(struct dv_sandbox *sb)
{
	return sb->loop;
}

const char *dv_sandbox_id(const struct dv_sandbox *sb)
{
	return sb->id;
}

int dv_sandbox_see(struct dv_sandbox *sb, bool bare, struct dv_err *err)
{
	struct dv_sandbox_info info = { .size = sizeof(info) };
	int r = dv_store_look(sb->id, &info, bare ? NULL : err);

	if (r < 0 && bare)
		r = dv_store_look_bare(sb->id, &info, err);
	if (r < 0)
		return r;
	dv_sandbox_info_free(&sb->info);
	sb->info = info;
	sb->looked = true;
	dv_fmt(sb->who, sizeof(sb->who), "%s",
	       info.name[0] ? info.name : sb->id);
	return 0;
}

bool dv_sandbox_ended(const struct dv_sandbox *sb)
{
	return sb->info.state == DV_STATE_EXITED ||
	       sb->info.state == DV_STATE_DEAD;
}

int dv_sandbox_look(struct dv_sandbox *sb, const struct dv_sandbox_info **infop,
		    struct dv_err *err)
{
	int r = dv_sandbox_see(sb, false, err);

	if (r == 0 && infop)
		*infop = &sb->info;
	return r;
}

int dv_sandbox_client(struct dv_sandbox *sb, struct dv_err *err)
{
	struct dv_diag_socket s = { .dial = dv_sandbox_dial,
				    .check = dv_sandbox_prove,
				    .arg = sb,
				    .retry_ms = RETRY_MS };
	int r;

	if (sb->diag)
		return 0;
	r = dv_sandbox_path(sb, err);
	if (r < 0)
		return r;
	s.path = sb->target.path;
	return dv_diag_new_socket(&sb->diag, sb->loop, &s, err);
}

int dv_sandbox_diag(struct dv_sandbox *sb, struct dv_diag **diagp,
		    struct dv_err *err)
{
	int r = dv_sandbox_see(sb, false, err);

	if (r == 0 && dv_sandbox_ended(sb)) {
		dv_err_set(err, ESRCH, DV_PRECONDITION, "%s is %s", sb->who,
			   dv_state_name(sb->info.state));
		dv_err_hint(err, "davit restart %s, or davit why %s", sb->who,
			    sb->who);
		return -ESRCH;
	}
	if (r == 0)
		r = dv_sandbox_client(sb, err);
	if (r == 0)
		*diagp = sb->diag;
	return r;
}

int dv_sandbox_exec(struct dv_sandbox *sb, const struct dv_diag_exec *exec,
		    struct dv_diag_proc **procp, const struct dv_how *how,
		    struct dv_err *err)
{
	struct dv_diag_exec e = DV_DIAG_EXEC_INIT;
	struct dv_user user;
	int r = dv_opts_copy(&e, sizeof(e), exec, err);

	if (r == 0)
		r = dv_sandbox_see(sb, false, err);
	if (r == 0)
		r = dv_verb_allowed(DV_VERB_EXEC, sb->info.state, sb->who, err);
	if (r == 0 && e.user)
		r = dv_sandbox_put_user(sb, &e, &user, err);
	if (r == 0)
		r = dv_sandbox_client(sb, err);
	return r < 0 ? r : dv_diag_exec(sb->diag, &e, procp, how, err);
}

int dv_sandbox_keeper_log(struct dv_sandbox *sb, char **textp,
			  struct dv_err *err)
{
	int r = dv_store_read_log(sb->id, textp, err);

	if (r != -ENOENT)
		return r;
	return dv_err_set(err, ENOENT, DV_NOT_FOUND,
			  "the keeper of %s had nothing to say", sb->who);
}
