/* SPDX-License-Identifier: MIT */
/*
 * Documents and dumps: core, saved-state, mem-profile.
 */
#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/def.h"
#include "cli/diag.h"

int diag_core(struct diag_cmd *cmd)
{
	struct dv_how how = diag_how(cmd);
	struct dv_diag_stream *stream = NULL;
	int32_t pid = 0;
	int r = diag_not_to_terminal(cmd);

	if (r == 0)
		r = diag_find_pid(cmd, &pid);
	if (r == 0)
		r = dv_diag_core(cmd->diag, pid, &stream, &how, &cmd->err);
	if (r < 0)
		return r;
	r = diag_copy(cmd, dv_diag_stream_take_fd(stream));
	if (r == 0)
		r = dv_diag_stream_end(stream, &how, &cmd->err);
	dv_diag_stream_free(stream);
	return r < 0 ? dv_err_wrap(&cmd->err, r, "core of process %d", pid) : 0;
}

int diag_saved_state(struct diag_cmd *cmd)
{
	struct dv_how how = diag_how(cmd);
	dv_autofree void *data = NULL;
	size_t len = 0;
	int r = diag_not_to_terminal(cmd);

	if (r == 0)
		r = dv_diag_saved_state(cmd->diag, &data, &len, &how,
					&cmd->err);
	return r < 0 ? r : diag_print(cmd, data, len);
}

int diag_mem_profile(struct diag_cmd *cmd)
{
	struct dv_how how = diag_how(cmd);
	dv_autofree char *data = NULL;
	void *got = NULL;
	size_t len = 0;
	int32_t pid;
	int r = diag_find_pid(cmd, &pid);

	if (r == 0)
		r = dv_diag_mem_profile(cmd->diag, pid, &got, &len, &how,
					&cmd->err);
	data = got;
	if (r < 0)
		return r;
	if (len && data[len - 1] != '\n')
		data[len++] = '\n'; /* where its NUL was */
	return diag_print(cmd, data, len);
}
