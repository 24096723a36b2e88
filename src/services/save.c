/* SPDX-License-Identifier: MIT */
/*
 * Processes as a document, and back. Relays hold almost nothing between two
 * turns of the loop: what splice() moves is in the pipe or in the socket, and
 * these outlive an exec by themselves. So nothing has to be brought to rest.
 */
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include <pb_decode.h>

#include "base/def.h"
#include "base/fd.h"
#include "services/exec.h"

struct save {
	void (*each_fd)(void *arg, int fd);
	void *arg;
};

/* ---- saving ----------------------------------------------------------- */

static void told(const struct save *s, uint32_t v)
{
	int fd = dv_fd_from_state(v);

	if (fd >= 0 && s->each_fd)
		s->each_fd(s->arg, fd);
}

static int save_argv(const struct dv_exec *e, dv_ExecState *out)
{
	out->argv = calloc(e->n_argv + 1, sizeof(*out->argv));
	if (!out->argv)
		return -ENOMEM;
	for (size_t i = 0; i < e->n_argv; i++) {
		out->argv[i] = strdup(e->argv[i]);
		if (!out->argv[i])
			return -ENOMEM;
		out->argv_count++;
	}
	return 0;
}

static int save_pump(const struct save *s, const struct dv_exec *e, uint32_t i,
		     dv_ExecState *out)
{
	dv_PumpState *o = &out->pumps[out->pumps_count];

	if (!dv_pump_runs(&e->stream[i].pump))
		return 0;
	out->pumps_count++;
	o->stream = i;
	int r = dv_pump_save(&e->stream[i].pump, o);
	told(s, o->from);
	told(s, o->to);
	return r;
}

/* Also one that has ended: what it kept is there for later readers. */
static int save_kept(const struct save *s, const struct dv_exec *e, uint32_t i,
		     dv_ExecState *out)
{
	dv_KeptState *o = &out->kept[out->kept_count];

	if (!e->stream[i].kept.loop)
		return 0;
	out->kept_count++;
	o->stream = i;
	int r = dv_kept_save(&e->stream[i].kept, o);
	told(s, o->from);
	for (pb_size_t k = 0; k < o->sinks_count; k++)
		told(s, o->sinks[k].fd);
	return r;
}

static uint32_t dropped(const struct dv_exec *e)
{
	uint32_t bits = 0;

	for (uint32_t i = 0; i < 3; i++)
		if (e->stream[i].kept.dropped)
			bits |= UINT32_C(1) << i;
	return bits;
}

static int save_streams(const struct save *s, const struct dv_exec *e,
			dv_ExecState *out)
{
	int r = 0;

	out->pumps = calloc(3, sizeof(*out->pumps));
	out->kept = calloc(3, sizeof(*out->kept));
	if (!out->pumps || !out->kept)
		return -ENOMEM;
	for (uint32_t i = 0; i < 3 && r == 0; i++) {
		r = save_pump(s, e, i, out);
		if (r == 0)
			r = save_kept(s, e, i, out);
	}
	return r;
}

static uint64_t left_ms(const struct dv_exec *e)
{
	uint64_t now = dv_now_ns();

	if (!e->timer.loop)
		return 0;
	return e->timer.at_ns > now ? (e->timer.at_ns - now) / 1000000 + 1 : 1;
}

static int save_record(const struct dv_exec *e, dv_ExecState *out)
{
	out->has_exit = e->state == DV_EXEC_EXITED;
	if (!out->has_exit)
		return 0;
	out->exit = e->record;
	out->exit.ended_by = strdup(e->record.ended_by);
	return out->exit.ended_by ? 0 : -ENOMEM;
}

static int save_exec(const struct save *s, const struct dv_exec *e,
		     dv_ExecState *out)
{
	int r;

	out->id = e->id;
	out->pid = e->pid;
	out->terminal = e->terminal;
	out->start_unix_ns = e->record.start_unix_ns;
	out->pidfd = dv_fd_to_state(e->proc.pidfd);
	out->tty = dv_fd_to_state(e->proc.tty);
	out->released = e->released;
	out->timed_out = e->timed_out;
	out->signal = e->signal;
	out->dropped = dropped(e);
	out->timer_left_ms = left_ms(e);
	told(s, out->pidfd);
	told(s, out->tty);
	r = save_argv(e, out);
	if (r == 0)
		r = save_record(e, out);
	return r == 0 ? save_streams(s, e, out) : r;
}

int dv_procs_save(struct dv_procs *ps, dv_ProcsState *out,
		  void (*each_fd)(void *arg, int fd), void *arg,
		  struct dv_err *err)
{
	struct save s = { each_fd, arg };
	size_t n = 0;
	int r = 0;

	*out = (dv_ProcsState)dv_ProcsState_init_zero;
	if (ps->n_starting)
		return dv_err_set(err, EBUSY, DV_UNAVAILABLE,
				  "%u processes are being started",
				  ps->n_starting);
	for (const struct dv_exec *e = ps->first; e; e = e->next)
		n++;
	out->next_id = ps->next_id;
	out->execs = calloc(n + 1, sizeof(*out->execs));
	if (!out->execs || n > UINT16_MAX)
		r = -ENOMEM;
	for (const struct dv_exec *e = ps->first; e && r == 0; e = e->next)
		r = save_exec(&s, e, &out->execs[out->execs_count++]);
	if (r < 0) {
		pb_release(dv_ProcsState_fields, out);
		return dv_err_sys(err, -r, "save the processes");
	}
	return 0;
}

/* ---- restoring -------------------------------------------------------- */

/* Everything that a document's part names, when it cannot be used. */
static void close_pump(const dv_PumpState *p)
{
	dv_close(dv_fd_from_state(p->from));
	dv_close(dv_fd_from_state(p->to));
}

static void close_kept(const dv_KeptState *k)
{
	dv_close(dv_fd_from_state(k->from));
	for (pb_size_t i = 0; i < k->sinks_count; i++)
		dv_close(dv_fd_from_state(k->sinks[i].fd));
}

/* All are consumed; the first failure is what is told. */
static int restore_streams(struct dv_exec *e, const dv_ExecState *st)
{
	struct dv_loop *loop = e->procs->loop;
	int r = 0;

	for (pb_size_t i = 0; i < st->pumps_count; i++) {
		const dv_PumpState *p = &st->pumps[i];

		if (r == 0 &&
		    (p->stream > 2 || dv_pump_runs(&e->stream[p->stream].pump)))
			r = -EINVAL;
		if (r == 0)
			r = dv_pump_restore(&e->stream[p->stream].pump, loop,
					    p);
		else
			close_pump(p);
	}
	for (pb_size_t i = 0; i < st->kept_count; i++) {
		const dv_KeptState *k = &st->kept[i];

		if (r == 0 && (k->stream < 1 || k->stream > 2 ||
			       e->stream[k->stream].kept.loop))
			r = -EINVAL;
		if (r == 0)
			r = dv_kept_restore(&e->stream[k->stream].kept, loop,
					    k);
		else
			close_kept(k);
	}
	return r;
}

static int restore_argv(struct dv_exec *e, const dv_ExecState *st)
{
	if (!st->argv_count)
		return -EINVAL;
	e->argv = calloc(st->argv_count + 1U, sizeof(*e->argv));
	if (!e->argv)
		return -ENOMEM;
	for (; e->n_argv < st->argv_count; e->n_argv++) {
		e->argv[e->n_argv] = strdup(st->argv[e->n_argv]);
		if (!e->argv[e->n_argv])
			return -ENOMEM;
	}
	return 0;
}

static int restore_state(struct dv_exec *e, const dv_ExecState *st)
{
	struct dv_procs *ps = e->procs;

	if (st->has_exit) {
		e->state = DV_EXEC_EXITED;
		e->record = st->exit;
		dv_exec_settle(&e->record);
		ps->n_exited += !e->released;
		return 0;
	}
	if (e->proc.pidfd < 0 || e->pid <= 0)
		return -EINVAL;
	e->state = DV_EXEC_RUNNING;
	e->proc.pid = e->pid;
	ps->n_running++;
	if (st->timer_left_ms)
		dv_exec_arm(e, st->timer_left_ms);
	return dv_exec_watch(e);
}

static int restore_exec(struct dv_procs *ps, const dv_ExecState *st)
{
	struct dv_exec *e = dv_exec_new(ps);
	int r;

	if (!e)
		return -ENOMEM;
	e->id = st->id;
	e->pid = st->pid;
	e->terminal = st->terminal;
	e->record.start_unix_ns = st->start_unix_ns;
	e->proc.pidfd = dv_fd_from_state(st->pidfd);
	e->proc.tty = dv_fd_from_state(st->tty);
	e->released = st->released;
	e->timed_out = st->timed_out;
	e->signal = st->signal;
	for (uint32_t i = 0; i < 3; i++)
		e->stream[i].kept.dropped = st->dropped & (UINT32_C(1) << i);
	r = restore_streams(e, st);
	if (r == 0)
		r = restore_argv(e, st);
	if (r == 0)
		r = restore_state(e, st);
	if (r < 0)
		return r;
	dv_exec_streams_settle(e);
	dv_exec_check(e);
	return 0;
}

int dv_procs_restore(struct dv_procs *ps, const dv_ProcsState *st,
		     struct dv_err *err)
{
	int r = 0;

	ps->next_id = dv_max(ps->next_id, st->next_id);
	for (pb_size_t i = 0; i < st->execs_count; i++) {
		int one = restore_exec(ps, &st->execs[i]);

		r = r < 0 ? r : one;
	}
	return r < 0 ? dv_err_sys(err, -r, "take over the processes") : 0;
}
