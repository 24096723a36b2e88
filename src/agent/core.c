/* SPDX-License-Identifier: MIT */
/*
 * DOC: a core without a seek
 *
 * The header says where everything is, so all sizes are known before the first
 * byte: the notes of the process are made, those of the threads, which may be
 * many, are counted by the size of their register sets; the segments come from
 * the list of mappings. Then notes and memory go out piece by piece.
 *
 * The kernel's order of notes is kept, because debuggers rely on it: the first
 * thread's NT_PRSTATUS, the notes of the process, the other registers of the
 * first thread, then thread after thread; our own note is the last.
 */
#include "agent/core.h"

#include <elf.h>
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <time.h>

#include "agent/core_maps.h"
#include "agent/core_mem.h"
#include "agent/core_out.h"
#include "agent/core_proc.h"
#include "agent/core_regs.h"
#include "agent/core_tasks.h"
#include "base/buf.h"
#include "base/def.h"
#include "wire/elfcore.h"

enum {
	NOTES_MAX = 8 * 1024 * 1024, /* NT_FILE is the long one */
	NOTES_FLUSH = 65536,
	HEAD_MAX = 128 + 56 * (DV_CORE_LOADS_MAX + 1),
};

struct dump {
	struct dv_core_opts opts;
	struct dv_core_proc proc;
	struct dv_core_tasks tasks;
	const struct dv_core_task *first;
	struct dv_core_regs regs;
	struct dv_core_mem mem;
	struct dv_core_out out;
	struct dv_buf notes; /* of the process */
	struct dv_buf kmsg;  /* a note, or empty */
};

/* ---- notes -----------------------------------------------------------------
 */

/* Is there something to say about the signal that it is about to get? */
static bool has_siginfo(const struct dv_core_task *t)
{
	return t->signo != 0;
}

static uint64_t thread_len(const struct dump *d, const struct dv_core_task *t)
{
	uint64_t len = dv_elfcore_prstatus_len(d->regs.len[0]);

	for (size_t i = 1; i < d->regs.n; i++)
		if (d->regs.len[i] > 0)
			len += dv_elfcore_note_len(d->regs.sets[i].name,
						   d->regs.len[i]);
	if (has_siginfo(t))
		len += dv_elfcore_note_len("CORE", sizeof(siginfo_t));
	return len;
}

static uint64_t notes_len(const struct dump *d)
{
	uint64_t len = d->notes.len + d->kmsg.len;

	for (size_t i = 0; i < d->tasks.n; i++)
		if (d->tasks.list[i].state == DV_CORE_TASK_STOPPED)
			len += thread_len(d, &d->tasks.list[i]);
	return len;
}

static void put_status(struct dump *d, const struct dv_core_task *t,
		       struct dv_buf *b)
{
	uint8_t regs[DV_ELFCORE_REGS_MAX];
	uint64_t blocked = 0;
	struct dv_elfcore_thread info = {
		.tid = t->tid,
		.ppid = d->proc.ppid,
		.pgrp = d->proc.pgrp,
		.sid = d->proc.sid,
		.signo = t->signo,
		.regs = regs,
		.regs_len = d->regs.len[0],
		.has_fp = d->regs.len[1] > 0,
	};

	dv_core_regs_get(t->tid, &d->regs, 0, regs);
	ptrace(PTRACE_GETSIGMASK, t->tid, (void *)sizeof(blocked), &blocked);
	info.blocked = blocked;
	dv_elfcore_put_prstatus(b, &info);
}

static void put_siginfo(const struct dv_core_task *t, struct dv_buf *b)
{
	siginfo_t info;

	memset(&info, 0, sizeof(info));
	ptrace(PTRACE_GETSIGINFO, t->tid, NULL, &info);
	dv_elfcore_put_note(b, "CORE", NT_SIGINFO, &info, sizeof(info));
}

static void put_sets(struct dump *d, const struct dv_core_task *t,
		     struct dv_buf *b)
{
	/* A block is not in use yet, and any set fits. */
	for (size_t i = 1; i < d->regs.n; i++) {
		if (d->regs.len[i] == 0)
			continue;
		dv_core_regs_get(t->tid, &d->regs, i, d->mem.block);
		dv_elfcore_put_note(b, d->regs.sets[i].name,
				    d->regs.sets[i].type, d->mem.block,
				    d->regs.len[i]);
	}
}

static int flush(struct dump *d, struct dv_buf *b, size_t at_least,
		 struct dv_err *err)
{
	int r = dv_buf_status(b);

	if (r < 0)
		return dv_err_sys(err, -r, "make the notes");
	if (b->len < at_least || b->len == 0)
		return 0;
	r = dv_core_out(&d->out, b->data, b->len, err);
	dv_buf_reset(b);
	return r;
}

static int write_thread(struct dump *d, const struct dv_core_task *t,
			struct dv_buf *b, struct dv_err *err)
{
	int r;

	put_status(d, t, b);
	if (has_siginfo(t))
		put_siginfo(t, b);
	if (t == d->first) {
		r = flush(d, b, 0, err);
		if (r == 0)
			r = flush(d, &d->notes, 0, err);
		if (r < 0)
			return r;
	}
	put_sets(d, t, b);
	return flush(d, b, NOTES_FLUSH, err);
}

static int write_notes(struct dump *d, struct dv_err *err)
{
	dv_autobuf b = DV_BUF_INIT(NOTES_FLUSH + 65536);
	int r = write_thread(d, d->first, &b, err);

	for (size_t i = 0; r == 0 && i < d->tasks.n; i++) {
		const struct dv_core_task *t = &d->tasks.list[i];

		if (t != d->first && t->state == DV_CORE_TASK_STOPPED)
			r = write_thread(d, t, &b, err);
	}
	if (r == 0)
		r = flush(d, &b, 0, err);
	return r < 0 ? r : flush(d, &d->kmsg, 0, err);
}

/* ---- the file --------------------------------------------------------------
 */

static int write_head(struct dump *d, const struct dv_elfcore_head *head,
		      struct dv_err *err)
{
	dv_autobuf b = DV_BUF_INIT(HEAD_MAX);

	dv_elfcore_put_head(&b, head);
	return flush(d, &b, 0, err);
}

static int write_file(struct dump *d, struct dv_err *err)
{
	struct dv_elfcore_head head = {
		.machine = dv_core_machine(),
		.loads = d->mem.loads,
		.n_loads = d->mem.n_loads,
		.notes_len = notes_len(d),
	};
	uint64_t at = dv_elfcore_data_offset(&head);
	int r = write_head(d, &head, err);

	if (r == 0)
		r = write_notes(d, err);
	if (r == 0)
		r = dv_core_out_zeros(&d->out, at - d->out.written, err);
	return r < 0 ? r : dv_core_mem_write(&d->mem, &d->out, err);
}

/* Everything that has to be known before the first byte. */
static int prepare(struct dump *d, pid_t pid, struct dv_err *err)
{
	uint32_t filter = d->opts.filter;
	int r;

	d->first = dv_core_tasks_first(&d->tasks, pid);
	r = dv_core_regs_probe(d->first->tid, &d->regs, err);
	if (r < 0)
		return r;
	/* The leader may have ended and left its memory to the others. */
	if (filter == 0)
		filter = dv_core_proc_filter(d->first->tid);
	d->mem.log = d->opts.log;
	r = dv_core_mem_plan(&d->mem, d->first->tid, filter, err);
	if (r < 0)
		return r;
	r = dv_core_proc_notes(&d->proc, d->first->tid, &d->notes);
	if (r == 0)
		r = dv_elfcore_put_files(&d->notes, &d->mem.files);
	return r < 0 ? dv_err_sys(err, -r, "make the notes") : 0;
}

static int dump(struct dump *d, pid_t pid, struct dv_err *err)
{
	uint64_t stop_ns = (uint64_t)d->opts.stop_ms * 1000000;
	int r = dv_core_proc_read(pid, &d->proc, err);

	if (r == 0 && d->opts.kmsg)
		r = dv_core_kmsg_note(&d->kmsg, d->opts.log);
	if (r == 0)
		r = dv_core_tasks_stop(&d->tasks, d->proc.pid,
				       dv_now_ns() + stop_ns, d->opts.log, err);
	if (r == 0)
		r = prepare(d, pid, err);
	if (r == 0)
		r = write_file(d, err);
	dv_core_tasks_go(&d->tasks);
	return r;
}

/* ---- outside ---------------------------------------------------------------
 */

/* What a newer caller says in fields that we do not know must be nothing. */
static bool is_known(const struct dv_core_opts *o)
{
	const char *p = (const char *)o;

	for (size_t i = sizeof(*o); i < o->size; i++)
		if (p[i] != 0)
			return false;
	return true;
}

static int take_opts(const struct dv_core_opts *o, struct dv_core_opts *out,
		     struct dv_err *err)
{
	*out = (struct dv_core_opts){ .size = sizeof(*out) };
	if (o && !is_known(o))
		return dv_err_set(err, EINVAL, DV_INVALID,
				  "core: unknown options are set");
	if (o)
		memcpy(out, o, dv_min(o->size, sizeof(*o)));
	if (out->stop_ms < 0 || out->stall_ms < 0)
		return dv_err_set(err, EINVAL, DV_INVALID,
				  "core: a negative time");
	if (out->stop_ms == 0)
		out->stop_ms = DV_CORE_STOP_MS;
	if (out->stall_ms == 0)
		out->stall_ms = DV_CORE_STALL_MS;
	if (out->written)
		*out->written = 0;
	return 0;
}

/* Stops of threads are waited for by this signal; a gone reader says EPIPE. */
static void hold_signals(sigset_t *held, sigset_t *old, struct sigaction *act)
{
	struct sigaction dfl = { .sa_handler = SIG_DFL };

	sigemptyset(held);
	sigaddset(held, SIGCHLD);
	sigaddset(held, SIGPIPE);
	sigprocmask(SIG_BLOCK, held, old);
	sigaction(SIGCHLD, &dfl, act);
}

static void release_signals(const sigset_t *held, const sigset_t *old,
			    const struct sigaction *act)
{
	struct timespec now = { 0, 0 };

	while (sigtimedwait(held, NULL, &now) > 0)
		;
	sigaction(SIGCHLD, act, NULL);
	sigprocmask(SIG_SETMASK, old, NULL);
}

int dv_core_write(pid_t pid, int out, const struct dv_core_opts *opts,
		  struct dv_err *err)
{
	struct dump d = {
		.tasks = DV_CORE_TASKS_INIT,
		.mem = DV_CORE_MEM_INIT,
		.notes = DV_BUF_INIT(NOTES_MAX),
		.kmsg = DV_BUF_INIT(NOTES_MAX),
	};
	int r = take_opts(opts, &d.opts, err);
	struct sigaction act;
	sigset_t held, old;

	if (r == 0) {
		d.out = (struct dv_core_out){ .fd = out,
					      .stall_ms = d.opts.stall_ms,
					      .live = d.opts.written };
		hold_signals(&held, &old, &act);
		r = dump(&d, pid, err);
		release_signals(&held, &old, &act);
	}
	dv_core_mem_free(&d.mem);
	dv_buf_free(&d.notes);
	dv_buf_free(&d.kmsg);
	return r;
}
