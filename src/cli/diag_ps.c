/* SPDX-License-Identifier: MIT */
/*
 * Processes: ps, kill.
 */
#include <errno.h>
#include <signal.h>
#include <string.h>

#include "base/buf.h"
#include "base/def.h"
#include "base/json.h"
#include "base/num.h"
#include "cli/diag.h"
#include "cli/report.h"

enum { TABLE_MAX = 64 << 20 };

static void put_state(struct dv_buf *out, const struct dv_diag_process *p)
{
	if (!p->exited)
		dv_buf_puts(out, "running");
	else if (p->exit.signal)
		dv_buf_puts(out, dv_signal_name(p->exit.signal));
	else
		dv_buf_putf(out, "exit %d", p->exit.code);
}

static void put_row(struct dv_buf *out, const struct dv_diag_process *p)
{
	size_t start = out->len;

	dv_buf_putf(out, "%7d  ", p->pid);
	put_state(out, p);
	do
		dv_buf_putc(out, ' ');
	while (dv_buf_status(out) == 0 && out->len - start < 22);
	for (char **word = p->argv; word && *word; word++) {
		if (word != p->argv)
			dv_buf_putc(out, ' ');
		dv_put_clean(out, *word);
	}
	dv_buf_putc(out, '\n');
}

static void put_json(struct dv_json *j, const struct dv_diag_process *p)
{
	dv_json_open(j, NULL, '{');
	dv_json_i64(j, "pid", p->pid);
	dv_json_u64(j, "id", p->id);
	dv_json_open(j, "argv", '[');
	for (char **word = p->argv; word && *word; word++)
		dv_json_str(j, NULL, *word);
	dv_json_close(j, ']');
	dv_json_bool(j, "terminal", p->terminal);
	dv_json_bool(j, "running", !p->exited);
	if (p->start_unix_ns)
		dv_json_time(j, "started", p->start_unix_ns);
	if (p->exited) {
		dv_json_i64(j, "code", p->exit.code);
		dv_json_i64(j, "signal", p->exit.signal);
	}
	dv_json_close(j, '}');
}

int diag_ps(struct diag_cmd *cmd)
{
	dv_autobuf out = DV_BUF_INIT(TABLE_MAX);
	struct dv_json j = DV_JSON_INIT(&out);
	struct dv_how how = diag_how(cmd);
	struct dv_diag_list list = { NULL, 0 };
	int r = dv_diag_list(cmd->diag, &list, &how, &cmd->err);

	if (r < 0)
		return r;
	if (cmd->json) {
		dv_json_open(&j, NULL, '[');
		for (size_t i = 0; i < list.n; i++)
			put_json(&j, &list.at[i]);
		dv_json_close(&j, ']');
		dv_buf_putc(&out, '\n');
	} else {
		dv_buf_puts(&out, "    PID  STATE        COMMAND\n");
		for (size_t i = 0; i < list.n; i++)
			put_row(&out, &list.at[i]);
	}
	dv_diag_list_free(&list);
	r = dv_buf_status(&out);
	return r < 0 ? diag_fail(cmd, -r, "ps")
		     : diag_print(cmd, out.data, out.len);
}

int diag_kill(struct diag_cmd *cmd)
{
	struct dv_how how = diag_how(cmd);
	struct dv_diag_proc *proc = NULL;
	enum dv_diag_scope scope = cmd->all     ? DV_DIAG_ALL
				   : cmd->group ? DV_DIAG_GROUP
						: DV_DIAG_PROCESS;
	int signo = cmd->signal ? dv_parse_signal(cmd->signal) : SIGTERM;
	int32_t pid = 0;
	int r = 0;

	if (signo < 0)
		return diag_usage(cmd, "there is no signal \"%.60s\"",
				  cmd->signal);
	if (cmd->all == (cmd->argc > 0))
		return diag_usage(cmd, "either PID or --all");
	if (!cmd->all)
		r = diag_find_pid(cmd, &pid);
	if (r == 0 && dv_diag_proc_of_pid(cmd->diag, pid, &proc) < 0)
		r = diag_fail(cmd, ENOMEM, "kill");
	if (r == 0)
		r = dv_diag_signal(proc, signo, scope, &how, &cmd->err);
	dv_diag_proc_free(proc);
	return r;
}
