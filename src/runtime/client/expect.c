/* SPDX-License-Identifier: MIT */
/*
 * DOC: one wait set
 *
 * What is there is looked at first, in the order of the log: lines, ends of
 * runs, and the end for good. Only when there is nothing more are the timers
 * asked, so that a deadline never hides a match that had come before it. (While
 * more comes than can be looked at, deadlines count all the same.)
 *
 * A line is looked at when it is finished, and before that whenever there is
 * nothing more for now.
 */
#include "runtime/client/expect.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>

#include "base/def.h"
#include "base/fmt.h"
#include "runtime/client/sandbox.h"

enum {
	BUDGET = 256 << 10, /* bytes for each callback: others wait */
	STEP_AGAIN = 10,
	STEP_FOUND,
};

/* The first of that kind, or -1. */
static int find_kind(const struct dv_expect *x, enum dv_expect_kind kind)
{
	for (size_t i = 0; i < x->n_conds; i++)
		if (x->conds[i].kind == kind)
			return (int)i;
	return -1;
}

/* ---- the end of a wait ----------------------------------------------------
 */

void dv_expect_cancel(struct dv_expect *x)
{
	x->result = NULL;
	dv_src_del(&x->src);
	dv_defer_del(&x->again);
	dv_timer_stop(&x->timer);
}

/* Tell how it ended; @x may be gone afterwards. */
static void finish(struct dv_expect *x, int r, const struct dv_err *err)
{
	dv_expect_cancel(x);
	x->fn(x->arg, r, err);
}

static void fill_exit(const struct dv_expect *x, struct dv_exit *exit)
{
	struct dv_sandbox_info info = { .size = sizeof(info) };

	*exit = (struct dv_exit){ .size = sizeof(*exit) };
	if (dv_store_look(x->id, &info, NULL) < 0)
		return;
	if (info.has_exit)
		*exit = info.exit;
	dv_sandbox_info_free(&info);
}

static uint64_t next_offset(const struct dv_expect *x)
{
	return x->piece.offset;
}

static void give(struct dv_expect *x, struct dv_expect_result *res)
{
	size_t size = dv_min(x->result->size, sizeof(*res));

	res->size = x->result->size;
	res->lost = x->lost;
	x->lost = 0;
	memcpy(x->result, res, size);
}

/* Condition @n came true, and it is none of a line. */
static void found_other(struct dv_expect *x, int n)
{
	struct dv_expect_result res = { .which = n,
					.kind = x->conds[n].kind,
					.offset = next_offset(x),
					.at = "",
					.line = "" };

	if (res.kind == DV_EXPECT_EXIT)
		fill_exit(x, &res.exit);
	give(x, &res);
}

static void found_match(struct dv_expect *x, int stream,
			const struct dv_expect_found *f)
{
	struct dv_expect_line *line = &x->streams[stream].line;
	struct dv_expect_result res = {
		.which = (int)f->cond,
		.kind = DV_EXPECT_MATCH,
		.offset = dv_expect_offset(line, f->at),
		.at = line->text + f->at,
		.len = f->len,
		.line = line->text,
		.line_len = line->len,
		.stream = stream + 1,
		.unix_ns = line->unix_ns,
	};

	/* What is behind it is for the next wait; nothing matches twice. */
	line->from = f->at + dv_max(f->len, (size_t)1);
	line->seen = 0;
	give(x, &res);
}

/* ---- looking --------------------------------------------------------------
 */

/* Look at the line of each stream as far as it is there. */
static bool look_unfinished(struct dv_expect *x)
{
	struct dv_expect_found f;

	for (int i = 0; i < DV_EXPECT_STREAMS; i++)
		if (dv_expect_look(&x->streams[i].line, x->conds, x->n_conds,
				   false, &f)) {
			found_match(x, i, &f);
			return true;
		}
	return false;
}

static bool look_finished(struct dv_expect *x)
{
	struct dv_expect_found f;

	for (int i = 0; i < DV_EXPECT_STREAMS; i++) {
		struct dv_expect_stream *s = &x->streams[i];
		bool full = s->line.len == sizeof(s->line.text);

		if (!s->finished)
			continue;
		if (dv_expect_look(&s->line, x->conds, x->n_conds, true, &f)) {
			found_match(x, i, &f);
			return true;
		}
		s->finished = false;
		dv_expect_next_line(&s->line, full);
	}
	return false;
}

/* What is behind a gap belongs to no line that is known. */
static void break_lines(struct dv_expect *x)
{
	x->gap = false;
	for (int i = 0; i < DV_EXPECT_STREAMS; i++)
		dv_expect_next_line(&x->streams[i].line, true);
}

/* Nothing more comes of the lines that are there. */
static void finish_lines(struct dv_expect *x)
{
	for (int i = 0; i < DV_EXPECT_STREAMS; i++)
		x->streams[i].finished = x->streams[i].line.len > 0;
}

static int feed(struct dv_expect *x)
{
	struct dv_sandbox_piece *p = &x->piece;
	struct dv_expect_stream *s = &x->streams[p->stream == 2];
	int64_t n = dv_expect_feed(&s->line, p->data, p->len, p->offset,
				   &s->finished);

	if (n < 0)
		return (int)n;
	s->line.unix_ns = p->unix_ns;
	p->data = (const char *)p->data + n;
	p->len -= (size_t)n;
	p->offset += (uint64_t)n;
	return STEP_AGAIN;
}

static int fetch(struct dv_expect *x, struct dv_err *err)
{
	uint32_t flags;
	int r = dv_sandbox_log_step(x->log, &x->piece, &flags, err);

	if (r < 0)
		return r;
	if (r == DV_EOF && !x->over) {
		x->over = true;
		finish_lines(x);
		return STEP_AGAIN;
	}
	if (r != 0)
		return r;
	x->gap = x->piece.lost > 0;
	x->lost += x->piece.lost;
	x->run_ended = flags & DV_OUTLOG_RUN_ENDED;
	if (x->piece.len) {
		x->output_ns = dv_now_ns();
		x->told_ended = false;
	}
	if (x->run_ended)
		x->told_ended = false;
	return STEP_AGAIN;
}

static int run_ended(struct dv_expect *x)
{
	int n = find_kind(x, DV_EXPECT_END);

	x->run_ended = false;
	if (n < 0)
		return STEP_AGAIN;
	x->told_ended = true;
	found_other(x, n);
	return STEP_FOUND;
}

/* It has ended for good, and all was looked at. */
static int ended(struct dv_expect *x)
{
	int end = x->told_ended ? -1 : find_kind(x, DV_EXPECT_END);
	int exit = find_kind(x, DV_EXPECT_EXIT);

	if (end < 0 && exit < 0)
		return DV_EOF;
	x->told_ended = true;
	found_other(x, end >= 0 ? end : exit);
	return STEP_FOUND;
}

/* STEP_*, DV_MORE (nothing for now), DV_EOF, -errno. */
static int step(struct dv_expect *x, struct dv_err *err)
{
	int r;

	if (look_finished(x))
		return STEP_FOUND;
	if (x->gap && look_unfinished(x))
		return STEP_FOUND;
	if (x->gap)
		break_lines(x);
	if (x->piece.len)
		return feed(x);
	if (x->run_ended) {
		finish_lines(x);
		if (look_finished(x))
			return STEP_FOUND;
		return run_ended(x);
	}
	r = fetch(x, err);
	if (r == DV_EOF)
		return ended(x);
	if (r == DV_MORE && look_unfinished(x))
		return STEP_FOUND;
	return r;
}

/* ---- times ----------------------------------------------------------------
 */

static uint64_t due(const struct dv_expect *x, const struct dv_expect_cond *c)
{
	if (c->kind == DV_EXPECT_DEADLINE)
		return x->began_ns + c->ns;
	if (c->kind == DV_EXPECT_IDLE)
		return dv_max(x->began_ns, x->output_ns) + c->ns;
	return UINT64_MAX;
}

/* The condition whose time comes first; -1: none has one. */
static int first_due(const struct dv_expect *x, bool idle)
{
	int first = -1;

	for (size_t i = 0; i < x->n_conds; i++) {
		const struct dv_expect_cond *c = &x->conds[i];

		if (due(x, c) == UINT64_MAX ||
		    (c->kind == DV_EXPECT_IDLE && !idle))
			continue;
		if (first < 0 || due(x, c) < due(x, &x->conds[first]))
			first = (int)i;
	}
	return first;
}

static void pump(struct dv_expect *x);

static void on_timer(struct dv_timer *timer)
{
	pump(dv_container_of(timer, struct dv_expect, timer));
}

/* Nothing was found. True: a time has come. */
static bool ask_times(struct dv_expect *x, bool idle)
{
	int n = first_due(x, idle);

	if (n < 0 || due(x, &x->conds[n]) > dv_now_ns())
		return false;
	found_other(x, n);
	return true;
}

static int arm(struct dv_expect *x)
{
	int n = first_due(x, true);

	if (n < 0)
		return 0;
	return dv_timer_set(x->loop, &x->timer, due(x, &x->conds[n]), on_timer);
}

/* ---- the loop -------------------------------------------------------------
 */

static void on_again(struct dv_defer *defer)
{
	pump(dv_container_of(defer, struct dv_expect, again));
}

static void on_log(struct dv_src *src, uint32_t events DV_UNUSED)
{
	pump(dv_container_of(src, struct dv_expect, src));
}

static void pump(struct dv_expect *x)
{
	struct dv_err err = DV_ERR_INIT;
	size_t spent = 0;
	int r;

	do {
		size_t had = x->piece.len;

		r = step(x, &err);
		spent += had > x->piece.len ? had - x->piece.len : 64;
	} while (r == STEP_AGAIN && spent < BUDGET);
	if (r == STEP_FOUND ||
	    ((r == STEP_AGAIN || r == DV_MORE) && ask_times(x, r == DV_MORE))) {
		finish(x, 0, &err);
		return;
	}
	if (r == STEP_AGAIN) {
		dv_defer_add(x->loop, &x->again, on_again);
		return;
	}
	if (r == DV_MORE)
		r = arm(x);
	if (r != 0)
		finish(x, r, &err);
}

int dv_expect_start(struct dv_expect *x, struct dv_expect_result *result,
		    dv_expect_fn *fn, void *arg, struct dv_err *err)
{
	int r;

	if (x->result)
		return dv_err_sys(err, EBUSY, "wait for two things at once");
	r = dv_src_add(x->loop, &x->src, dv_sandbox_log_fd(x->log), EPOLLIN,
		       on_log);
	if (r < 0)
		return dv_err_sys(err, -r, "wait for a sandbox");
	x->result = result;
	x->fn = fn;
	x->arg = arg;
	x->began_ns = dv_now_ns();
	dv_defer_add(x->loop, &x->again, on_again);
	return 0;
}

struct blocked {
	int r;
	struct dv_err *err;
};

static void unblock(void *arg, int r, const struct dv_err *err)
{
	struct blocked *b = arg;

	b->r = r;
	if (r < 0 && b->err)
		*b->err = *err;
}

int dv_expect_wait(struct dv_expect *x, struct dv_expect_result *result,
		   struct dv_err *err)
{
	struct blocked b = { .err = err };
	int r = 0;

	if (dv_loop_busy(x->loop))
		return dv_err_sys(err, EDEADLK, "wait inside a callback");
	r = dv_expect_start(x, result, unblock, &b, err);
	if (r < 0)
		return r; /* there may be another wait, which goes on */
	while (r >= 0 && x->result)
		r = dv_loop_dispatch(x->loop, -1);
	if (r >= 0)
		return b.r;
	dv_expect_cancel(x);
	return r;
}
