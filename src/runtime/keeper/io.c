/* SPDX-License-Identifier: MIT */
#include "runtime/keeper/io.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>

#include "base/def.h"
#include "base/fd.h"
#include "runtime/keeper/save.h"

/* ---- output ------------------------------------------------------------- */

static void check_done(struct dv_keeper_io *io)
{
	void (*done)(struct dv_keeper * k) = io->done;

	if (!done || io->out[0].fd >= 0 || io->out[1].fd >= 0)
		return;
	dv_timer_stop(&io->drain);
	io->done = NULL;
	done(io->k);
}

static void close_out(struct dv_keeper_out *o)
{
	dv_src_del(&o->src);
	o->fd = dv_close(o->fd);
}

/* More than 0: there may be more; 0: nothing now; less: it has ended. */
static int take_pipe(struct dv_keeper_out *o, bool hup)
{
	int n = 0;

	if (ioctl(o->fd, FIONREAD, &n) < 0 || (n == 0 && hup))
		return -1;
	if (n > 0)
		dv_outlog_splice(&o->io->log, o->stream, o->fd, (size_t)n);
	return n;
}

static int take_tty(struct dv_keeper_out *o)
{
	char buf[16384];
	ssize_t n = dv_read(o->fd, buf, sizeof(buf));

	if (n == -EAGAIN)
		return 0;
	if (n <= 0) /* EIO: nobody has it open any more */
		return -1;
	dv_outlog_put(&o->io->log, o->stream, buf, (size_t)n);
	return 1;
}

static void on_output(struct dv_src *src, uint32_t events)
{
	struct dv_keeper_out *o =
		dv_container_of(src, struct dv_keeper_out, src);
	struct dv_keeper_io *io = o->io;
	int n;

	dv_keeper_touch(io->k);
	n = io->master >= 0 ? take_tty(o)
			    : take_pipe(o, events & (EPOLLHUP | EPOLLERR));
	if (n >= 0)
		return;
	close_out(o);
	check_done(io);
}

static int start_out(struct dv_keeper_io *io, int which, int fd)
{
	struct dv_keeper_out *o = &io->out[which];
	int r = fd < 0 ? fd : dv_fd_nonblock(fd, true);

	if (r < 0) {
		dv_close(fd);
		return r;
	}
	o->fd = fd;
	return dv_src_add(io->k->loop, &o->src, fd, EPOLLIN, on_output);
}

/* ---- life --------------------------------------------------------------- */

static int io_new(struct dv_keeper *k)
{
	struct dv_keeper_io *io = calloc(1, sizeof(*io));

	if (!io)
		return -ENOMEM;
	io->k = k;
	io->log = (struct dv_outlog)DV_OUTLOG_INIT;
	io->master = -1;
	io->drain = (struct dv_timer)DV_TIMER_INIT;
	for (int i = 0; i < 2; i++)
		io->out[i] = (struct dv_keeper_out){
			.io = io,
			.src = DV_SRC_INIT,
			.fd = -1,
			.stream = (uint8_t)(i + 1),
		};
	io->in.k = k;
	io->in.to = io->in.from = -1;
	io->in.src = io->in.dst = (struct dv_src)DV_SRC_INIT;
	k->io = io;
	return 0;
}

static int set_streams(struct dv_keeper *k, struct dv_err *err)
{
	const dv_Keep *keep = &k->kept.keep;
	int r;

	if (keep->terminal)
		return dv_spec_stdio(k->spec, 0, DV_STDIO_PTY, -1, err);
	r = dv_spec_stdio(k->spec, 0,
			  keep->input ? DV_STDIO_PIPE : DV_STDIO_NULL, -1, err);
	for (int i = 1; r == 0 && i < 3; i++)
		r = dv_spec_stdio(k->spec, i, DV_STDIO_PIPE, -1, err);
	return r;
}

static int io_open(struct dv_keeper *k, struct dv_err *err)
{
	uint64_t max = k->kept.keep.log_max ? k->kept.keep.log_max : UINT64_MAX;
	int r = io_new(k);

	if (r < 0)
		return dv_err_sys(err, -r, "keep its streams");
	r = dv_outlog_open(&k->io->log, k->dirs.statefd, "log", max, err);
	return dv_err_step(err, r, DV_STEP_STATE);
}

int dv_keeper_io_plan(struct dv_keeper *k, struct dv_err *err)
{
	int r = k->io ? 0 : io_open(k, err);

	if (r < 0)
		return r;
	dv_outlog_begin(&k->io->log);
	return set_streams(k, err);
}

static int start_tty(struct dv_keeper_io *io)
{
	int master = dv_run_take_stdio(io->k->run, 0);
	int to = -1, from = -1, r;

	if (master < 0)
		return master;
	io->master = master;
	to = dv_fd_dup(master, 3);
	from = dv_fd_dup(master, 3);
	r = start_out(io, 0, from);
	if (r < 0 || to < 0) {
		dv_close(to);
		return r < 0 ? r : to;
	}
	return dv_keeper_in_start(&io->in, io->k->loop, to, true);
}

static int start_pipes(struct dv_keeper_io *io)
{
	int to = dv_run_take_stdio(io->k->run, 0), r = 0;

	if (to >= 0)
		r = dv_keeper_in_start(&io->in, io->k->loop, to, false);
	for (int i = 0; r == 0 && i < 2; i++) {
		int fd = dv_run_take_stdio(io->k->run, i + 1);

		if (fd >= 0)
			dv_pipe_widen(fd, DV_KEEPER_PIPE);
		r = start_out(io, i, fd);
	}
	return r;
}

int dv_keeper_io_start(struct dv_keeper *k, struct dv_err *err)
{
	int r = k->kept.keep.terminal ? start_tty(k->io) : start_pipes(k->io);

	if (r < 0)
		dv_err_step(err, dv_err_sys(err, -r, "take its streams"),
			    DV_STEP_STREAM);
	return r;
}

/* ---- an upgrade --------------------------------------------------------- */

int dv_keeper_io_save(struct dv_keeper *k, dv_StreamsState *out,
		      struct dv_reexec_fds *keep)
{
	const struct dv_keeper_io *io = k->io;
	const struct dv_keeper_in *in = &io->in;
	size_t len = in->len - in->off;

	out->out = dv_save_fd(io->out[0].fd, keep);
	out->err = dv_save_fd(io->out[1].fd, keep);
	out->master = dv_save_fd(io->master, keep);
	out->in = dv_save_fd(in->to, keep);
	out->writer = dv_save_fd(in->from, keep);
	out->midline = in->midline;
	out->ending = in->ending;
	out->lost = io->log.lost;
	if (len == 0)
		return 0;
	out->held = malloc(PB_BYTES_ARRAY_T_ALLOCSIZE(len));
	if (!out->held)
		return -ENOMEM;
	out->held->size = (pb_size_t)len;
	memcpy(out->held->bytes, in->buf + in->off, len);
	return 0;
}

static int resume_out(struct dv_keeper_io *io, int which, uint32_t saved)
{
	int fd = dv_fd_from_state(saved);

	return fd < 0 ? 0 : start_out(io, which, fd);
}

int dv_keeper_io_resume(struct dv_keeper *k, const dv_StreamsState *st,
			struct dv_err *err)
{
	int r = io_open(k, err);

	if (r < 0)
		return r;
	k->io->log.lost = st->lost;
	k->io->master = dv_fd_from_state(st->master);
	r = resume_out(k->io, 0, st->out);
	if (r == 0)
		r = resume_out(k->io, 1, st->err);
	if (r == 0)
		r = dv_keeper_in_resume(&k->io->in, k->loop, st,
					k->kept.keep.terminal);
	return r < 0 ? dv_err_sys(err, -r, "take its streams over") : 0;
}

static void close_all(struct dv_keeper_io *io)
{
	for (int i = 0; i < 2; i++)
		close_out(&io->out[i]);
	dv_keeper_in_stop(&io->in);
	io->master = dv_close(io->master);
}

/* Somebody outside still holds a stream: what is there, and no more. */
static void on_drained(struct dv_timer *timer)
{
	struct dv_keeper_io *io =
		dv_container_of(timer, struct dv_keeper_io, drain);

	for (int i = 0; i < 2; i++) {
		if (io->out[i].fd < 0)
			continue;
		if (!io->k->kept.keep.terminal)
			take_pipe(&io->out[i], true);
		close_out(&io->out[i]);
	}
	check_done(io);
}

void dv_keeper_io_finish(struct dv_keeper *k, void (*done)(struct dv_keeper *k))
{
	struct dv_keeper_io *io = k->io;

	dv_keeper_in_stop(&io->in);
	io->done = done;
	if (dv_timer_set(k->loop, &io->drain,
			 dv_now_ns() + DV_KEEPER_DRAIN_MS * UINT64_C(1000000),
			 on_drained) < 0)
		on_drained(&io->drain);
	else
		check_done(io);
}

void dv_keeper_io_ended(struct dv_keeper *k)
{
	close_all(k->io);
	dv_outlog_end(&k->io->log);
}

int dv_keeper_io_resize(struct dv_keeper *k, uint32_t rows, uint32_t cols,
			struct dv_err *err)
{
	if (!k->io || k->io->master < 0)
		return dv_err_set(err, ENOTTY, DV_PRECONDITION,
				  "it has no terminal");
	return dv_tty_resize(k->io->master, rows, cols, err);
}

void dv_keeper_io_free(struct dv_keeper *k)
{
	struct dv_keeper_io *io = k->io;

	if (!io)
		return;
	dv_timer_stop(&io->drain);
	close_all(io);
	dv_outlog_close(&io->log);
	free(io);
	k->io = NULL;
}
