/* SPDX-License-Identifier: MIT */
/*
 * Verbs that ask for one thing: is it there, and "do that".
 */
#include <errno.h>

#include "base/buf.h"
#include "base/def.h"
#include "cli/diag.h"

int diag_ping(struct diag_cmd *cmd)
{
	dv_autobuf out = DV_BUF_INIT(256);
	struct dv_how how = diag_how(cmd);
	uint64_t before, us;
	int r = dv_diag_ping(cmd->diag, &how, &cmd->err);

	/* The first one connects; the second one is the round trip. */
	before = dv_now_ns();
	if (r == 0)
		r = dv_diag_ping(cmd->diag, &how, &cmd->err);
	us = (dv_now_ns() - before) / 1000;
	if (r < 0)
		return r;
	dv_buf_putf(&out, "%s answers in %llu us\n", cmd->target,
		    (unsigned long long)us);
	return diag_print(cmd, out.data, out.len);
}

int diag_wait_ready(struct diag_cmd *cmd)
{
	struct dv_how how = DV_HOW_INIT;

	how.timeout_ms = cmd->timeout_ms > 0 ? cmd->timeout_ms : -1;
	return dv_diag_wait_ready(cmd->diag, &how, &cmd->err);
}

int diag_restart(struct diag_cmd *cmd)
{
	struct dv_how how = diag_how(cmd);

	return dv_diag_restart(cmd->diag, &how, &cmd->err);
}

int diag_pause(struct diag_cmd *cmd)
{
	struct dv_how how = diag_how(cmd);

	return dv_diag_pause(cmd->diag, &how, &cmd->err);
}

int diag_resume(struct diag_cmd *cmd)
{
	struct dv_how how = diag_how(cmd);

	return dv_diag_resume(cmd->diag, &how, &cmd->err);
}

int diag_start(struct diag_cmd *cmd)
{
	struct dv_how how = diag_how(cmd);

	return dv_diag_start(cmd->diag, cmd->env,
			     (const char *const *)cmd->argv, &how, &cmd->err);
}

int diag_crash(struct diag_cmd *cmd)
{
	struct dv_how how = diag_how(cmd);
	int32_t pid;
	int r = diag_find_pid(cmd, &pid);

	return r < 0 ? r : dv_diag_crash(cmd->diag, pid, &how, &cmd->err);
}

int diag_pid(struct diag_cmd *cmd)
{
	dv_autobuf out = DV_BUF_INIT(64);
	struct dv_how how = diag_how(cmd);
	int32_t pid;
	int r = dv_diag_get_pid(cmd->diag, cmd->argv[0], &pid, &how, &cmd->err);

	if (r < 0)
		return r;
	dv_buf_putf(&out, "%d\n", pid);
	return diag_print(cmd, out.data, out.len);
}
