/* SPDX-License-Identifier: MIT */
/*
 * DOC: streams of a process
 *
 *	mode	the child has		we have
 *	NULL	/dev/null, or the pty	nothing; of a pty, a pump to nowhere
 *	CONN	a pipe, or the pty	a pump, or kept output with a primary
 *	RAW	the connection itself	nothing
 *	FD	the caller's descriptor	nothing
 *	KEEP	a pipe, or the pty	kept output
 *
 * A pty is one descriptor for two streams: output has the master, input a
 * duplicate of it, and a third is there to resize it. It hangs up when all are
 * closed, so a client that closed its output ends the others: its window is
 * gone. Who takes the terminal gets the only one, and nothing of it is here.
 */
#include <errno.h>
#include <sys/socket.h>

#include "base/def.h"
#include "base/fd.h"
#include "services/exec.h"

enum { MODE_N = dv_STDIO_KEEP + 1 };

static const char *const names[3] = { "stdin", "stdout", "stderr" };
static const char *const modes[MODE_N] = { "null", "conn", "raw", "fd",
					   "keep" };

/* ---- before the start ------------------------------------------------- */

static int invalid(struct dv_err *err, int i, const char *what)
{
	return dv_err_set(err, EINVAL, DV_INVALID, "%s: %s", names[i], what);
}

static int claim(struct dv_exec *e, int i, uint64_t id, struct dv_err *err)
{
	struct dv_err why = DV_ERR_INIT;
	int fd;

	if (!e->procs->opts.data)
		return invalid(err, i, "there are no data connections here");
	fd = dv_data_claim(e->procs->opts.data, id, &why);
	if (fd < 0)
		return dv_err_set(
			err, -fd,
			why.code == DV_EXHAUSTED ? DV_EXHAUSTED : DV_UNKNOWN,
			"failed to get %s conn: %s", names[i], why.msg);
	e->conn[i] = fd;
	return 0;
}

static int take_fd(struct dv_exec *e, int i, uint32_t n, int *fds, size_t n_fds,
		   struct dv_err *err)
{
	if (n == 0 || n > n_fds || fds[n - 1] < 0)
		return invalid(err, i, "its descriptor did not come along");
	e->child[i] = dv_take_fd(&fds[n - 1]);
	return 0;
}

static int make_pipe(struct dv_exec *e, int i, struct dv_err *err)
{
	int p[2], r = dv_pipe(p);

	if (r < 0)
		return dv_err_sys(err, -r, "failed to create pipe pair");
	e->child[i] = i == 0 ? p[0] : p[1];
	e->ours[i] = i == 0 ? p[1] : p[0];
	return 0;
}

static bool on_pty(const struct dv_exec *e, int i)
{
	return e->terminal && i < 2;
}

static int open_one(struct dv_exec *e, int i, const dv_Stdio *s, int *fds,
		    size_t n_fds, struct dv_err *err)
{
	int r = 0;

	if ((unsigned int)s->mode >= MODE_N)
		return invalid(err, i, "no such mode");
	e->stream[i].mode = modes[s->mode];
	if (s->mode != dv_STDIO_NULL && e->take && i < 2)
		return invalid(err, i, "it is the terminal, which is taken");
	if (s->mode == dv_STDIO_KEEP && i == 0)
		return invalid(err, i, "only output can be kept");
	if (s->mode == dv_STDIO_FD)
		return take_fd(e, i, s->fd, fds, n_fds, err);
	if (s->mode == dv_STDIO_CONN || s->mode == dv_STDIO_RAW)
		r = claim(e, i, s->conn, err);
	if (r == 0 && s->mode == dv_STDIO_RAW) {
		e->child[i] = dv_take_fd(&e->conn[i]);
		r = dv_fd_nonblock(e->child[i], false);
		if (r < 0)
			return dv_err_sys(err, -r, "%s", names[i]);
	}
	if (r == 0 && !on_pty(e, i) &&
	    (s->mode == dv_STDIO_CONN || s->mode == dv_STDIO_KEEP))
		r = make_pipe(e, i, err);
	if (i > 0 && (s->mode == dv_STDIO_KEEP || s->keep))
		e->keep[i] = true;
	return r;
}

/* stderr goes where stdout goes, unless it has a place of its own. */
static int combine(struct dv_exec *e, struct dv_err *err)
{
	if (e->child[2] >= 0 || e->child[1] < 0)
		return 0;
	e->child[2] = dv_fd_dup(e->child[1], 3);
	if (e->child[2] < 0)
		return dv_err_sys(err, -e->child[2], "combine stderr");
	return 0;
}

int dv_exec_streams_open(struct dv_exec *e, const dv_ExecRequest *rq, int *fds,
			 size_t n_fds, struct dv_err *err)
{
	static const dv_Stdio none = dv_Stdio_init_zero;
	const dv_Stdio *io[3] = {
		rq->has_stdin ? &rq->stdin : &none,
		rq->has_stdout ? &rq->stdout : &none,
		rq->has_stderr ? &rq->stderr : &none,
	};
	int r = 0;

	for (int i = 0; i < 3 && r == 0; i++)
		r = open_one(e, i, io[i], fds, n_fds, err);
	if (r == 0 && rq->combine_stderr)
		r = combine(e, err);
	return r;
}

/* ---- while it runs ---------------------------------------------------- */

/* The window is gone: nobody types any more, and the session gets SIGHUP. */
static void hang_up(struct dv_exec *e)
{
	if (!e->terminal)
		return;
	dv_pump_stop(&e->stream[0].pump);
	e->proc.tty = dv_close(e->proc.tty);
}

void dv_exec_streams_settle(struct dv_exec *e)
{
	if (!dv_pump_runs(&e->stream[1].pump) &&
	    !dv_kept_runs(&e->stream[1].kept))
		hang_up(e);
}

static void on_pump_done(struct dv_pump *pump)
{
	struct dv_exec *e = pump->owner;

	if (pump == &e->stream[1].pump)
		hang_up(e);
	dv_exec_check(e);
}

static void on_kept_idle(struct dv_kept *kept)
{
	struct dv_exec *e = kept->owner;

	if (kept == &e->stream[1].kept)
		hang_up(e);
	dv_procs_evict_kept(e->procs);
	dv_exec_check(e);
}

void dv_exec_streams_init(struct dv_exec *e)
{
	for (int i = 0; i < 3; i++) {
		e->stream[i].pump = (struct dv_pump)DV_PUMP_INIT;
		e->stream[i].pump.done = on_pump_done;
		e->stream[i].pump.owner = e;
		e->stream[i].kept = (struct dv_kept)DV_KEPT_INIT;
		e->stream[i].kept.idle = on_kept_idle;
		e->stream[i].kept.owner = e;
		e->stream[i].mode = modes[dv_STDIO_NULL];
		e->child[i] = e->ours[i] = e->conn[i] = -1;
	}
}

static int start_input(struct dv_exec *e)
{
	int to = dv_take_fd(&e->ours[0]), from = dv_take_fd(&e->conn[0]);

	if (from < 0) {
		dv_close(to);
		return 0;
	}
	return dv_pump_start(&e->stream[0].pump, e->procs->loop, from, to,
			     on_pty(e, 0) ? DV_PUMP_TTY : DV_PUMP_PIPE);
}

static int start_output(struct dv_exec *e, int i)
{
	int from = dv_take_fd(&e->ours[i]), to = dv_take_fd(&e->conn[i]);

	if (from < 0) {
		dv_close(to);
		return 0;
	}
	if (e->keep[i])
		return dv_kept_start(&e->stream[i].kept, e->procs->loop, from,
				     to);
	return dv_pump_start(&e->stream[i].pump, e->procs->loop, from, to,
			     to < 0 ? DV_PUMP_NOWHERE : DV_PUMP_SOCKET);
}

static int split_pty(struct dv_exec *e)
{
	e->ours[1] = dv_fd_dup(e->proc.tty, 3);
	if (e->ours[1] < 0)
		return e->ours[1];
	if (e->conn[0] < 0)
		return 0;
	e->ours[0] = dv_fd_dup(e->proc.tty, 3);
	return dv_min(e->ours[0], 0);
}

int dv_exec_streams_start(struct dv_exec *e)
{
	int r = 0;

	for (int i = 0; i < 3; i++)
		e->child[i] = dv_close(e->child[i]);
	if (e->terminal && e->proc.tty >= 0 && !e->take)
		r = split_pty(e);
	if (r == 0)
		r = start_input(e);
	for (int i = 1; i < 3 && r == 0; i++)
		r = start_output(e, i);
	return r;
}

bool dv_exec_streams_run(const struct dv_exec *e)
{
	for (int i = 0; i < 3; i++)
		if (dv_pump_runs(&e->stream[i].pump) ||
		    dv_kept_runs(&e->stream[i].kept))
			return true;
	return false;
}

void dv_exec_streams_stop(struct dv_exec *e)
{
	for (int i = 0; i < 3; i++) {
		dv_pump_stop(&e->stream[i].pump);
		dv_kept_stop(&e->stream[i].kept);
		e->child[i] = dv_close(e->child[i]);
		e->ours[i] = dv_close(e->ours[i]);
		e->conn[i] = dv_close(e->conn[i]);
	}
}
