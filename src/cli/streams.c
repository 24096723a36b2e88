/* SPDX-License-Identifier: MIT */
#include "cli/streams.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "base/def.h"
#include "base/fd.h"
#include "cli/report.h"
#include "cli/term.h"

static const struct dv_relay relay_init = DV_RELAY_INIT;

static bool wants_pty(const struct dv_streams *s, enum dv_auto tty)
{
	if (tty != DV_AUTO)
		return tty == DV_YES;
	return s->tty[0] && s->tty[1];
}

/* A stderr that goes elsewhere (2>file) stays apart. */
static int plan_pty(struct dv_streams *s, struct dv_spec *spec,
		    struct dv_err *err)
{
	struct winsize ws;
	int r = dv_spec_stdio(spec, 0, DV_STDIO_PTY, -1, err);

	s->relayed[0] = s->relayed[1] = true;
	s->relayed[2] = s->log_path && !s->tty[2];
	if (r == 0 && !s->tty[2])
		r = dv_spec_stdio(spec, 2,
				  s->relayed[2] ? DV_STDIO_PIPE
						: DV_STDIO_INHERIT,
				  -1, err);
	if (r == 0 && (dv_term_size(0, &ws) || dv_term_size(1, &ws)))
		r = dv_spec_winsize(spec, ws.ws_row, ws.ws_col);
	return r;
}

static int plan_separate(struct dv_streams *s, struct dv_spec *spec,
			 struct dv_err *err)
{
	for (int i = 0; i < 3; i++) {
		int r;

		s->relayed[i] = s->tty[i] || (s->log_path && i > 0);
		r = dv_spec_stdio(spec, i,
				  s->relayed[i] ? DV_STDIO_PIPE
						: DV_STDIO_INHERIT,
				  -1, err);
		if (r < 0)
			return r;
	}
	return 0;
}

void dv_streams_init(struct dv_streams *s, enum dv_auto tty, int drain_ms)
{
	*s = (struct dv_streams){ .master = -1,
				  .drain_ms = drain_ms,
				  .drain = DV_TIMER_INIT };
	for (int i = 0; i < 3; i++) {
		s->relay[i] = relay_init;
		s->tty[i] = isatty(i);
	}
	s->pty = wants_pty(s, tty);
	for (int i = 0; i < 3; i++)
		s->relayed[i] = s->pty ? i < 2 : s->tty[i];
}

int dv_streams_plan(struct dv_streams *s, const struct run_args *args,
		    struct dv_err *err)
{
	int r = 0;

	dv_streams_init(s, args->tty, args->drain_ms);
	s->log_path = args->log;
	if (s->log_path)
		r = dv_outlog_new(&s->log, s->log_path, UINT64_MAX, err);
	if (r == 0)
		r = s->pty ? plan_pty(s, args->spec, err)
			   : plan_separate(s, args->spec, err);
	if (r < 0)
		dv_streams_close(s);
	return r;
}

/* The input relay of a terminal runs only in the foreground. */
void dv_streams_foreground(struct dv_streams *s)
{
	if (!s->relayed[0] || !s->tty[0])
		return;
	if (dv_term_foreground(STDIN_FILENO))
		dv_relay_resume(&s->relay[0]);
	else
		dv_relay_pause(&s->relay[0]);
}

static int start_in(struct dv_streams *s, struct dv_loop *loop, int to)
{
	struct dv_relay *r = &s->relay[0];
	int res = dv_end_of_sandbox(&r->to, to);

	if (res == 0)
		res = dv_end_of_caller(&r->from, STDIN_FILENO, false);
	if (res == 0) {
		r->tty_eof = s->pty;
		res = dv_relay_start(r, loop);
	}
	if (res == 0)
		dv_streams_foreground(s);
	return res;
}

static int start_out(struct dv_streams *s, struct dv_loop *loop, int which,
		     int from)
{
	struct dv_relay *r = &s->relay[which];
	int res = dv_end_of_sandbox(&r->from, from);

	if (res == 0)
		res = dv_end_of_caller(&r->to, which, true);
	if (res == 0) {
		r->log = s->log;
		r->stream = (uint8_t)which;
		res = dv_relay_start(r, loop);
	}
	return res;
}

/* One master, three users: input, output, window size. */
static int start_pty(struct dv_streams *s, struct dv_loop *loop, int fd[3])
{
	int r, in, out;

	s->master = dv_take_fd(&fd[0]);
	if (s->master < 0)
		return s->master;
	in = dv_fd_dup(s->master, 3);
	r = start_in(s, loop, in);
	if (r < 0)
		return r;
	out = dv_fd_dup(s->master, 3);
	r = start_out(s, loop, 1, out);
	if (r == 0 && s->relayed[2])
		r = start_out(s, loop, 2, dv_take_fd(&fd[2]));
	return r;
}

static int start_separate(struct dv_streams *s, struct dv_loop *loop, int fd[3])
{
	int r = 0;

	for (int i = 0; i < 3 && r == 0; i++) {
		if (!s->relayed[i])
			continue;
		r = i == 0 ? start_in(s, loop, dv_take_fd(&fd[i]))
			   : start_out(s, loop, i, dv_take_fd(&fd[i]));
	}
	return r;
}

int dv_streams_begin(struct dv_streams *s, struct dv_loop *loop, int fd[3],
		     struct dv_err *err)
{
	int r = s->pty ? start_pty(s, loop, fd) : start_separate(s, loop, fd);

	for (int i = 0; i < 3; i++)
		fd[i] = dv_close(fd[i]);
	if (r < 0) {
		dv_streams_close(s);
		dv_err_sys(err, -r, "relay the standard streams");
		return dv_err_step(err, r, DV_STEP_STREAM);
	}
	if (s->pty && s->tty[0] && dv_term_open(STDIN_FILENO) == 0)
		dv_term_raw();
	return 0;
}

int dv_streams_start(struct dv_streams *s, struct dv_run *run,
		     struct dv_err *err)
{
	int fd[3] = { -1, -1, -1 };

	for (int i = 0; i < 3; i++)
		if (s->relayed[i] && !(s->pty && i == 1))
			fd[i] = dv_run_take_stdio(run, i);
	return dv_streams_begin(s, dv_run_loop(run), fd, err);
}

bool dv_streams_done(const struct dv_streams *s)
{
	return !dv_relay_active(&s->relay[1]) && !dv_relay_active(&s->relay[2]);
}

void dv_streams_hurry(struct dv_streams *s)
{
	dv_relay_finish(&s->relay[1]);
	dv_relay_finish(&s->relay[2]);
}

void dv_streams_give_up(struct dv_streams *s)
{
	for (int i = 1; i < 3; i++)
		if (s->relay[i].state == DV_RELAY_WRITING)
			dv_relay_close(&s->relay[i]);
	dv_streams_hurry(s);
}

static void on_drain(struct dv_timer *timer)
{
	dv_streams_hurry(dv_container_of(timer, struct dv_streams, drain));
}

void dv_streams_ended(struct dv_streams *s, struct dv_loop *loop)
{
	uint64_t ns = (uint64_t)dv_max(s->drain_ms, 0) * 1000000;

	s->ended = true;
	dv_relay_close(&s->relay[0]);
	if (dv_streams_done(s) || s->drain_ms == DV_DRAIN_EOF)
		return;
	if (s->drain_ms == DV_DRAIN_EXIT ||
	    dv_timer_set(loop, &s->drain, dv_now_ns() + ns, on_drain) < 0)
		dv_streams_hurry(s);
}

void dv_streams_resize(struct dv_streams *s)
{
	struct winsize ws;

	if (s->master >= 0 && (dv_term_size(0, &ws) || dv_term_size(1, &ws)))
		ioctl(s->master, TIOCSWINSZ, &ws);
}

static void tell_lost(struct dv_streams *s)
{
	uint64_t lost;
	int sys = 0;

	s->lost |= dv_report_lost("stdout", s->relay[1].sys);
	s->lost |= dv_report_lost("stderr", s->relay[2].sys);
	s->relay[1].sys = s->relay[2].sys = 0;
	lost = s->log ? dv_outlog_lost(s->log, &sys) : 0;
	if (lost)
		dv_note("log %s: %s; %llu bytes of output are not in it",
			s->log_path, dv_errno_text(sys),
			(unsigned long long)lost);
	s->log = dv_outlog_free(s->log);
}

void dv_streams_close(struct dv_streams *s)
{
	for (int i = 0; i < 3; i++)
		dv_relay_close(&s->relay[i]);
	dv_timer_stop(&s->drain);
	s->master = dv_close(s->master);
	dv_term_close();
	tell_lost(s);
}
