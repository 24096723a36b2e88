/* SPDX-License-Identifier: MIT */
#include "agent/capture.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "agent/capture_priv.h"
#include "base/def.h"
#include "base/fd.h"

/* A client that does not take the rest of its capture has so long. */
#define STOP_NS UINT64_C(5000000000)

struct dv_capture {
	struct dv_loop *loop;
	struct dv_timer deadline; /* of stop */
	dv_outflow_done *done;
	void *arg;
	uint64_t bytes; /* of streams that are over */
	bool failed;
	struct dv_err err;
	uint8_t *scratch;
	size_t n_left, n;
	struct dv_tap taps[];
};

/* ---- the interfaces --------------------------------------------------- */

static const struct dv_capture_if *find(const struct dv_capture_if *ifs,
					size_t n, const char *name)
{
	for (size_t i = 0; i < n; i++)
		if (!strcmp(ifs[i].name, name))
			return &ifs[i];
	return NULL;
}

/* Fill @want; returns how many. */
static int choose(struct dv_capture_if want[DV_CAPTURE_IFS_MAX],
		  const struct dv_capture_opts *o, struct dv_err *err)
{
	struct dv_capture_if ifs[DV_CAPTURE_IFS_MAX];
	int n = dv_capture_query(ifs, err);

	if (n < 0)
		return n;
	if (o->n_names > DV_CAPTURE_IFS_MAX)
		return dv_err_sys(err, E2BIG, "%zu interfaces", o->n_names);
	if (o->n_names == 0)
		memcpy(want, ifs, (size_t)n * sizeof(*ifs));
	for (size_t i = 0; i < o->n_names; i++) {
		const struct dv_capture_if *one =
			find(ifs, (size_t)n, o->names[i]);

		if (!one)
			return dv_err_sys(err, ENODEV, "capture packets of %s",
					  o->names[i]);
		want[i] = *one;
	}
	return o->n_names ? (int)o->n_names : n;
}

/* ---- the end ---------------------------------------------------------- */

static struct dv_tap *tap_of(struct dv_outflow *out)
{
	return dv_container_of(out, struct dv_tap, out);
}

static void on_tap_done(void *arg, uint64_t bytes, const struct dv_err *err)
{
	struct dv_tap *t = arg;
	struct dv_capture *c = t->owner;

	t->over = true;
	dv_src_del(&t->src);
	t->fd = dv_close(t->fd);
	c->bytes += bytes;
	if (err && err->code != DV_CANCELLED && !c->failed) {
		c->failed = true;
		c->err = *err;
	}
	if (--c->n_left > 0)
		return;
	dv_timer_stop(&c->deadline);
	c->done(c->arg, c->bytes, c->failed ? &c->err : NULL);
}

static void on_room(struct dv_outflow *out)
{
	dv_tap_resume(tap_of(out));
}

static void on_deadline(struct dv_timer *timer)
{
	struct dv_capture *c =
		dv_container_of(timer, struct dv_capture, deadline);
	struct dv_err err = DV_ERR_INIT;

	dv_err_set(&err, ETIMEDOUT, DV_DEADLINE,
		   "the client did not take the end of the capture");
	for (size_t i = 0; i < c->n; i++)
		if (!c->taps[i].over)
			dv_outflow_abort(&c->taps[i].out, &err);
}

void dv_capture_stop(struct dv_capture *c)
{
	/* Without memory for a timer, what can be sent now is all. */
	if (c->n_left > 0 && !c->deadline.loop &&
	    dv_timer_set(c->loop, &c->deadline, dv_now_ns() + STOP_NS,
			 on_deadline) < 0)
		on_deadline(&c->deadline);
	for (size_t i = 0; i < c->n; i++)
		if (!c->taps[i].over)
			dv_tap_finish(&c->taps[i]);
}

size_t dv_capture_streams(const struct dv_capture *c)
{
	return c->n_left;
}

struct dv_capture *dv_capture_free(struct dv_capture *c)
{
	if (!c)
		return NULL;
	for (size_t i = 0; i < c->n; i++)
		dv_tap_close(&c->taps[i]);
	dv_timer_stop(&c->deadline);
	free(c->scratch);
	free(c);
	return NULL;
}

/* ---- the start -------------------------------------------------------- */

static struct dv_capture *make(struct dv_loop *loop, size_t n,
			       dv_outflow_done *done, void *arg)
{
	struct dv_capture *c = calloc(1, sizeof(*c) + n * sizeof(c->taps[0]));

	if (!c)
		return NULL;
	c->loop = loop;
	c->deadline = (struct dv_timer)DV_TIMER_INIT;
	c->done = done;
	c->arg = arg;
	c->n = n;
	c->n_left = n;
	for (size_t i = 0; i < n; i++)
		c->taps[i] = (struct dv_tap){ .owner = c,
					      .fd = -1,
					      .src = DV_SRC_INIT,
					      .out = DV_OUTFLOW_INIT };
	c->scratch = malloc(DV_TAP_SCRATCH);
	if (!c->scratch)
		return dv_capture_free(c);
	return c;
}

/* Takes outs[i] and leaves -1 there. */
static int open_taps(struct dv_capture *c, const struct dv_capture_if *ifs,
		     int *outs, uint32_t snaplen, struct dv_err *err)
{
	for (size_t i = 0; i < c->n; i++) {
		struct dv_tap *t = &c->taps[i];
		int r;

		t->iface = ifs[i];
		t->snaplen = snaplen;
		t->scratch = c->scratch;
		r = dv_tap_open(t, err);
		if (r == 0)
			r = dv_outflow_init(
				&t->out, c->loop, dv_take_fd(&outs[i]),
				DV_TAP_QUEUE_MAX, on_room, on_tap_done, t, err);
		if (r < 0)
			return r;
	}
	return 0;
}

static int start(struct dv_capture **cp, struct dv_loop *loop, int *outs,
		 size_t n_outs, const struct dv_capture_opts *o,
		 dv_outflow_done *done, void *arg, struct dv_err *err)
{
	struct dv_capture_if ifs[DV_CAPTURE_IFS_MAX];
	uint32_t snaplen = o->snaplen ? o->snaplen : DV_CAPTURE_SNAPLEN_MAX;
	int n = choose(ifs, o, err);
	struct dv_capture *c;
	int r;

	if (n < 0)
		return n;
	if (n_outs < (size_t)n)
		return dv_err_set(err, EINVAL, DV_INVALID,
				  "Insufficient streams");
	if (n == 0)
		return dv_err_sys(err, ENODEV, "capture packets");
	c = make(loop, (size_t)n, done, arg);
	if (!c)
		return dv_err_sys(err, ENOMEM, "capture packets");
	r = open_taps(c, ifs, outs,
		      dv_min(snaplen, (uint32_t)DV_CAPTURE_SNAPLEN_MAX), err);
	if (r < 0) {
		dv_capture_free(c);
		return r;
	}
	for (size_t i = 0; i < c->n; i++)
		dv_tap_begin(&c->taps[i]);
	*cp = c;
	return 0;
}

int dv_capture_start(struct dv_capture **cp, struct dv_loop *loop,
		     const int *outs, size_t n_outs,
		     const struct dv_capture_opts *opts, dv_outflow_done *done,
		     void *arg, struct dv_err *err)
{
	dv_autofree int *mine = calloc(n_outs + 1, sizeof(*mine));
	int r;

	if (mine && n_outs > 0)
		memcpy(mine, outs, n_outs * sizeof(*mine));
	r = mine ? start(cp, loop, mine, n_outs, opts, done, arg, err)
		 : dv_err_sys(err, ENOMEM, "capture packets");
	for (size_t i = 0; i < n_outs; i++)
		dv_close(mine ? mine[i] : outs[i]);
	return r;
}
