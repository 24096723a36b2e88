/* SPDX-License-Identifier: MIT */
/*
 * DOC: being asked.
 *
 * A question lives in one of these states:
 *
 *	FRESH	its callback is running; the message is borrowed
 *	HELD	the program has it; the message is kept, the timer runs
 *	LATE	nobody waits any more: the port is closed
 *
 * Most questions are answered in the callback and never leave FRESH: for them
 * no message is kept and no timer is armed. That nobody waits is heard on the
 * reply port, which is read only when the program watches for it; without that
 * sending the answer says so.
 */
#include <errno.h>
#include <stdlib.h>

#include "base/def.h"
#include "mesh/chan.h"

enum asked_state { ASKED_FRESH = 0, ASKED_HELD, ASKED_LATE, ASKED_N };

struct dv_asked {
	enum asked_state state;
	struct dv_loop *loop;
	struct dv_port *port; /* NULL: LATE */
	struct dv_msg *msg;   /* borrowed while FRESH; NULL: taken */
	struct dv_timer timer;
	uint64_t at_ns; /* of the deadline; UINT64_MAX: none */
	bool stream;
	bool told; /* cancelled() was called */
	const struct dv_asked_ops *ops;
	void *user;
	bool *gonep; /* of the callback that runs */
};

/* ---- its end ------------------------------------------------------- */

static void asked_free(struct dv_asked *asked, const struct dv_err *reason)
{
	if (asked->gonep)
		*asked->gonep = true;
	dv_timer_stop(&asked->timer);
	dv_port_close(asked->port, reason);
	if (asked->state != ASKED_FRESH)
		dv_msg_free(asked->msg);
	free(asked);
}

/* Nobody waits. @end is the port's, which is closed after the call. */
static void late(struct dv_asked *asked, const struct dv_port_end *end,
		 const struct dv_err *reason)
{
	struct dv_port *port = dv_take_ptr(&asked->port);

	/* FRESH is over when its callback is, and that comes first. */
	asked->state = ASKED_LATE;
	dv_timer_stop(&asked->timer);
	if (asked->ops && !asked->told) {
		asked->told = true;
		asked->ops->cancelled(asked, end);
	}
	dv_port_close(port, reason);
}

static void on_deadline(struct dv_timer *timer)
{
	struct dv_asked *asked = dv_container_of(timer, struct dv_asked, timer);
	struct dv_port_end end = { .closed = true };

	dv_err_set(&end.err, ETIMEDOUT, DV_DEADLINE,
		   "no answer before the deadline");
	late(asked, &end, &end.err);
}

static void on_ended(struct dv_port *port, const struct dv_port_end *end)
{
	struct dv_port_end why = *end;

	if (why.err.code == DV_OK)
		dv_err_set(&why.err, ECANCELED, DV_CANCELLED,
			   "nobody waits for the answer");
	late(dv_port_user(port), &why, NULL);
}

static void on_message(struct dv_port *port DV_UNUSED,
		       struct dv_msg *msg DV_UNUSED)
{
	/* Who asked has nothing more to say. */
}

static void on_writable(struct dv_port *port)
{
	struct dv_asked *asked = dv_port_user(port);

	if (asked->ops->writable)
		asked->ops->writable(asked);
}

static const struct dv_port_ops asked_ops = {
	.message = on_message,
	.ended = on_ended,
	.writable = on_writable,
};

/* ---- its beginning ------------------------------------------------- */

/* The callback has returned and the question is still open. */
static void hold(struct dv_asked *asked)
{
	if (asked->msg)
		asked->msg = dv_msg_keep(asked->msg);
	asked->state = ASKED_HELD;
	/* No memory for the timer: who asked has a deadline of its own. */
	if (asked->at_ns != UINT64_MAX)
		dv_timer_set(asked->loop, &asked->timer, asked->at_ns,
			     on_deadline);
}

static void refuse(struct dv_port *reply, int sys, enum dv_code code,
		   const char *what)
{
	struct dv_err why = DV_ERR_INIT;

	dv_err_set(&why, sys, code, "%s", what);
	dv_port_close(reply, &why);
}

int dv_asked_deliver(struct dv_chan_receiver *rx, struct dv_msg *msg,
		     const dv_mesh_Request *rq, struct dv_err *err)
{
	struct dv_asked *asked;
	struct dv_port *reply;
	bool gone = false;
	int r = dv_chan_take_ref(msg, rq->has_reply, &rq->reply, &reply, err);

	if (r < 0)
		return r;
	asked = rx->ops->asked ? calloc(1, sizeof(*asked)) : NULL;
	if (!asked) {
		if (rx->ops->asked)
			refuse(reply, ENOMEM, DV_EXHAUSTED,
			       "no memory for the question");
		else
			refuse(reply, EOPNOTSUPP, DV_UNIMPLEMENTED,
			       "the channel takes no questions");
		return 0;
	}
	asked->loop = dv_mesh_loop(rx->mesh);
	asked->port = reply;
	asked->msg = msg;
	asked->stream = rq->stream;
	asked->at_ns = rq->left_ns ? dv_chan_at(rq->left_ns) : UINT64_MAX;
	asked->gonep = &gone;
	rx->ops->asked(rx, asked);
	if (gone)
		return 0;
	asked->gonep = NULL;
	hold(asked);
	return 0;
}

/* ---- looking ------------------------------------------------------- */

struct dv_msg *dv_asked_msg(const struct dv_asked *asked)
{
	return asked->msg;
}

struct dv_msg *dv_asked_take_msg(struct dv_asked *asked)
{
	struct dv_msg *msg = dv_take_ptr(&asked->msg);

	if (msg && asked->state == ASKED_FRESH)
		msg = dv_msg_keep(msg);
	return msg;
}

uint64_t dv_asked_left_ns(const struct dv_asked *asked)
{
	return asked->state == ASKED_LATE ? 0 : dv_chan_left(asked->at_ns);
}

bool dv_asked_is_stream(const struct dv_asked *asked)
{
	return asked->stream;
}

void dv_asked_watch(struct dv_asked *asked, const struct dv_asked_ops *ops,
		    void *user)
{
	asked->ops = ops;
	asked->user = user;
	if (asked->port)
		dv_port_start(asked->port, &asked_ops, asked);
	else if (!asked->told)
		dv_timer_set(asked->loop, &asked->timer, 0, on_deadline);
}

void *dv_asked_user(const struct dv_asked *asked)
{
	return asked->user;
}

/* ---- answering ----------------------------------------------------- */

/* Refuses when it is too late. */
static int send_answer(struct dv_asked *asked, struct dv_msg *msg,
		       struct dv_err *err)
{
	if (asked->port && dv_chan_left(asked->at_ns) > 0)
		return dv_port_send(asked->port, msg, err);
	dv_msg_free(msg);
	return dv_err_set(err, EPIPE, DV_CANCELLED,
			  "nobody waits for the answer");
}

int dv_asked_answer(struct dv_asked *asked, struct dv_msg *msg,
		    struct dv_err *err)
{
	struct dv_err why = DV_ERR_INIT;
	int r = send_answer(asked, msg, &why);

	if (r < 0) {
		if (err)
			*err = why;
		dv_err_wrap(&why, r, "send the answer");
		asked_free(asked, &why);
		return r;
	}
	if (asked->stream)
		dv_asked_end(asked);
	else
		asked_free(asked, NULL);
	return 0;
}

int dv_asked_more(struct dv_asked *asked, struct dv_msg *msg,
		  struct dv_err *err)
{
	if (asked->stream)
		return send_answer(asked, msg, err);
	dv_msg_free(msg);
	return dv_err_set(err, EINVAL, DV_INVALID,
			  "the question has one answer");
}

void dv_asked_end(struct dv_asked *asked)
{
	struct dv_err fin;

	dv_chan_fin(&fin);
	asked_free(asked, &fin);
}

void dv_asked_fail(struct dv_asked *asked, const struct dv_err *why)
{
	struct dv_err reason;

	dv_chan_reason(&reason, why, "it failed, and nobody said why");
	asked_free(asked, &reason);
}

struct dv_asked *dv_asked_drop(struct dv_asked *asked)
{
	struct dv_err reason;

	if (asked) {
		dv_chan_reason(&reason, NULL,
			       "the question was dropped without an answer");
		asked_free(asked, &reason);
	}
	return NULL;
}

int dv_asked_forward(struct dv_asked *asked, struct dv_chan_sender *tx,
		     struct dv_err *err)
{
	uint64_t left = dv_asked_left_ns(asked);
	struct dv_port *port = dv_take_ptr(&asked->port);
	bool stream = asked->stream;
	struct dv_msg *msg = port ? dv_asked_take_msg(asked) : NULL;
	int r;

	asked_free(asked, NULL);
	if (port && msg && left > 0)
		return dv_chan_ask(tx->port, msg, port, left, stream, err);
	r = port && left > 0 ? dv_err_sys(err, ENOMEM, "pass a question on")
			     : dv_err_set(err, EPIPE, DV_CANCELLED,
					  "nobody waits for the answer");
	dv_msg_free(msg);
	dv_port_close(port, NULL);
	return r;
}
