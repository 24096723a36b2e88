/* SPDX-License-Identifier: MIT */
/*
 * The kernel's log, and files.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/def.h"
#include "base/fd.h"
#include "cli/diag.h"
#include "cli/report.h"

enum {
	LINE_LEN = 512 * 1024, /* a record of 64 KiB in JSON escapes */
	BOOT_ID_LEN = 40,
};

/* How a stream ended, waiting a little for the word. */
static int ended(struct diag_cmd *cmd, struct dv_diag_stream *stream)
{
	struct dv_how how = diag_how(cmd);

	return dv_diag_stream_end(stream, &how, &cmd->err);
}

/* ---- cat ------------------------------------------------------------------
 */

int diag_cat(struct diag_cmd *cmd)
{
	struct dv_diag_file_opts o = { .size = sizeof(o),
				       .follow = cmd->follow };
	struct dv_how how = diag_how(cmd);
	struct dv_diag_stream *stream = NULL;
	int r = dv_diag_read_file(cmd->diag, cmd->argv[0], &o, &stream, &how,
				  &cmd->err);

	if (r < 0)
		return r;
	r = diag_copy(cmd, dv_diag_stream_take_fd(stream));
	if (r == 0)
		r = ended(cmd, stream);
	dv_diag_stream_free(stream);
	return r < 0 ? dv_err_wrap(&cmd->err, r, "%.200s", cmd->argv[0]) : 0;
}

/* ---- kmsg ------------------------------------------------------------------
 */

struct log {
	struct diag_cmd *cmd;
	enum dv_kmsg_form form;
	char *line; /* owned */
	bool has_last;
	uint64_t last;
	char boot[BOOT_ID_LEN];
};

static enum dv_kmsg_form pick_form(const struct diag_cmd *cmd)
{
	if (cmd->json)
		return DV_KMSG_JSON;
	return dv_colors(STDOUT_FILENO) ? DV_KMSG_COLOUR : DV_KMSG_PLAIN;
}

static int print(struct log *log, const struct dv_kmsg *rec)
{
	int n = dv_kmsg_format(rec, log->form, log->line, LINE_LEN - 1);

	if (n < 0)
		return diag_fail(log->cmd, -n, "print a record");
	n = dv_min(n, LINE_LEN - 2);
	log->line[n] = '\n';
	return diag_print(log->cmd, log->line, (size_t)n + 1);
}

static void on_readable(struct dv_src *src, uint32_t events DV_UNUSED)
{
	dv_src_del(src);
}

/* On the loop, where our own reader is watched, too. */
static int wait_readable(struct diag_cmd *cmd, int fd)
{
	struct dv_src src = DV_SRC_INIT;
	int r = dv_src_add(cmd->loop, &src, fd, EPOLLIN, on_readable);

	while (r >= 0 && src.loop)
		r = dv_loop_dispatch(cmd->loop, -1);
	dv_src_del(&src);
	return r < 0 ? diag_fail(cmd, -r, "wait for a record") : 0;
}

/* The next record, as long as it takes. 0, DV_EOF or -errno. */
static int next(struct diag_cmd *cmd, struct dv_diag_stream *stream,
		const struct dv_kmsg **recp)
{
	int r;

	while ((r = dv_diag_kmsg_next(stream, 0, recp, &cmd->err)) == DV_MORE) {
		r = wait_readable(cmd, dv_diag_stream_fd(stream));
		if (r < 0)
			break;
	}
	return r;
}

/* To the end of a stream. Returns 0, or -errno when it broke off. */
static int follow(struct log *log, struct dv_diag_stream *stream)
{
	struct diag_cmd *cmd = log->cmd;
	const struct dv_kmsg *rec;
	int r, p;

	while ((r = next(cmd, stream, &rec)) == 0) {
		p = print(log, rec);
		if (p < 0)
			return p;
		log->has_last = true;
		log->last = rec->seq;
	}
	return r < 0 ? r : ended(cmd, stream);
}

/* Numbers start again when the guest does; its boot has an id. */
static void same_boot(struct log *log)
{
	struct diag_cmd *cmd = log->cmd;
	struct dv_how how = diag_how(cmd);
	struct dv_diag_stream *stream;
	char id[BOOT_ID_LEN] = "";
	int64_t n;

	if (dv_diag_read_file(cmd->diag, "/proc/sys/kernel/random/boot_id",
			      NULL, &stream, &how, NULL) < 0)
		return;
	n = dv_diag_stream_read(stream, id, sizeof(id) - 1, DIAG_TIMEOUT_MS,
				NULL);
	dv_diag_stream_free(stream);
	if (n <= 0)
		return;
	if (log->boot[0] && memcmp(id, log->boot, sizeof(id)) != 0)
		log->has_last = false;
	memcpy(log->boot, id, sizeof(id));
}

static int one_connection(struct log *log)
{
	struct diag_cmd *cmd = log->cmd;
	struct dv_diag_kmsg_opts o = { .size = sizeof(o),
				       .follow = cmd->follow };
	struct dv_how how = diag_how(cmd);
	struct dv_diag_stream *stream = NULL;
	int r;

	if (cmd->reconnect)
		same_boot(log);
	o.has_after = log->has_last;
	o.after = log->last;
	r = dv_diag_kmsg(cmd->diag, &o, &stream, &how, &cmd->err);
	if (r < 0)
		return r;
	r = follow(log, stream);
	dv_diag_stream_free(stream);
	return r;
}

/* What a new connection may mend. */
static bool lost(const struct diag_cmd *cmd, int r)
{
	return r == 0 || cmd->err.code == DV_UNAVAILABLE || r == -ECONNRESET ||
	       r == -EPIPE || cmd->err.code == DV_CANCELLED;
}

int diag_kmsg(struct diag_cmd *cmd)
{
	struct log log = { .cmd = cmd, .form = pick_form(cmd) };
	struct dv_how forever = DV_HOW_INIT;
	int r;

	log.line = malloc(LINE_LEN);
	if (!log.line)
		return diag_fail(cmd, ENOMEM, "kmsg");
	cmd->follow |= cmd->reconnect;
	diag_end_with_reader(cmd);
	r = one_connection(&log);
	while (cmd->reconnect && lost(cmd, r)) {
		dv_note("lost the connection; waiting for the guest");
		cmd->err = (struct dv_err)DV_ERR_INIT;
		r = dv_diag_wait_ready(cmd->diag, &forever, &cmd->err);
		if (r == 0)
			r = one_connection(&log);
	}
	free(log.line);
	return r;
}
