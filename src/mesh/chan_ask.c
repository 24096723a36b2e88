/* SPDX-License-Identifier: MIT */
/*
 * DOC: asking.
 *
 * Each question has a pair of ports of its own. One end stays here, the other
 * goes with the question, wherever that is passed on to, and the answer comes
 * back on it. So there are no numbers to match, and the state of a question is
 * the state of its port:
 *
 *	a message	an answer; of a question without "stream" the only one
 *	closed, "end of stream"		all answers of a stream have come
 *	closed, with another reason	the answer is that error
 *	closed without, or failed	nobody will ever answer
 *
 * The other way, the port says only that it was closed: nobody waits.
 */
#include <errno.h>
#include <stdlib.h>

#include "base/def.h"
#include "mesh/chan.h"

struct dv_ask {
	struct dv_port *port;
	struct dv_timer timer;
	struct dv_cancel *cancel; /* ours, below the program's; NULL = none */
	dv_ask_fn *fn;
	void *user;
	bool stream;
	bool done; /* the last call is running */
};

/* ---- the end of it ------------------------------------------------- */

static void ask_free(struct dv_ask *ask, const struct dv_err *reason)
{
	dv_timer_stop(&ask->timer);
	dv_cancel_free(ask->cancel);
	dv_port_close(ask->port, reason);
	free(ask);
}

/* The last call. What it tells may belong to the port, so that goes after it.
 */
static void finish(struct dv_ask *ask, const struct dv_answer *answer,
		   const struct dv_err *reason)
{
	ask->done = true;
	dv_timer_stop(&ask->timer);
	ask->fn(ask, answer, ask->user);
	ask_free(ask, reason);
}

/* It ends by our own doing; the other side hears why. */
static void give_up(struct dv_ask *ask, const struct dv_err *why)
{
	struct dv_answer a = { .r = dv_chan_errno(why), .err = why };

	finish(ask, &a, why);
}

static void on_deadline(struct dv_timer *timer)
{
	struct dv_ask *ask = dv_container_of(timer, struct dv_ask, timer);
	struct dv_err why = DV_ERR_INIT;

	dv_err_set(&why, ETIMEDOUT, DV_DEADLINE,
		   "no answer before the deadline");
	give_up(ask, &why);
}

static void on_cancelled(struct dv_cancel *c DV_UNUSED,
			 const struct dv_err *why, void *user)
{
	struct dv_err copy = *why; /* @c goes with the question */

	give_up(user, &copy);
}

void dv_ask_cancel(struct dv_ask *ask)
{
	struct dv_err why = DV_ERR_INIT;

	if (ask->done)
		return;
	dv_err_set(&why, ECANCELED, DV_CANCELLED, "the question was cancelled");
	ask_free(ask, &why);
}

/* ---- answers ------------------------------------------------------- */

static void on_message(struct dv_port *port, struct dv_msg *msg)
{
	struct dv_ask *ask = dv_port_user(port);
	struct dv_answer a = { .msg = msg, .more = ask->stream };

	if (ask->stream)
		ask->fn(ask, &a, ask->user);
	else
		finish(ask, &a, NULL);
}

/* Nobody will answer. */
static void lost(struct dv_ask *ask, const struct dv_port_end *end)
{
	struct dv_err why = end->err;
	struct dv_answer a = { .err = &why, .end = end };

	if (why.code == DV_OK)
		dv_err_set(&why, ECONNRESET, DV_UNAVAILABLE,
			   end->closed ? "the question was thrown away"
				       : "who had the question is gone");
	else
		dv_err_wrap(&why, 0, "who had the question is gone");
	why.code = DV_UNAVAILABLE;
	a.r = dv_chan_errno(&why);
	finish(ask, &a, NULL);
}

static void on_ended(struct dv_port *port, const struct dv_port_end *end)
{
	struct dv_ask *ask = dv_port_user(port);
	struct dv_answer a = { .r = 0 };

	if (!end->closed || end->err.code == DV_OK) {
		lost(ask, end);
		return;
	}
	if (!ask->stream || !dv_chan_is_fin(end)) {
		a.err = &end->err;
		a.r = dv_chan_errno(&end->err);
	}
	finish(ask, &a, NULL);
}

static const struct dv_port_ops ask_ops = {
	.message = on_message,
	.ended = on_ended,
};

/* ---- asking -------------------------------------------------------- */

static int check_opts(const struct dv_ask_opts *opts, struct dv_err *err)
{
	if (opts->size != sizeof(*opts))
		return dv_err_set(err, EINVAL, DV_INVALID,
				  "the options are %zu bytes, not %zu",
				  opts->size, sizeof(*opts));
	if (opts->timeout_ms < -1)
		return dv_err_set(err, EINVAL, DV_INVALID,
				  "a deadline of %d ms", opts->timeout_ms);
	return 0;
}

/* What is left for a question, by its own option and by the context. */
static uint64_t time_for(const struct dv_ask_opts *opts)
{
	int ms = opts->timeout_ms ? opts->timeout_ms : DV_ASK_TIMEOUT_MS;
	uint64_t left = ms < 0 ? UINT64_MAX : (uint64_t)ms * 1000000;

	if (!opts->cancel)
		return left;
	return dv_min(left, dv_cancel_left_ns(opts->cancel));
}

static int send_question(struct dv_port *to, struct dv_msg *msg,
			 struct dv_port *reply, dv_mesh_Request *rq,
			 struct dv_err *err)
{
	dv_mesh_Trailer t = { .which_kind = dv_mesh_Trailer_request_tag };
	int r = dv_msg_add_port(msg, reply);

	if (r < 0) {
		dv_msg_free(msg);
		return dv_err_sys(err, -r, "ask with that many attachments");
	}
	rq->has_reply = true;
	rq->reply.index = (uint32_t)r;
	t.kind.request = *rq;
	r = dv_chan_append(&msg, &t, err);
	return r < 0 ? r : dv_port_send(to, msg, err);
}

int dv_chan_ask(struct dv_port *to, struct dv_msg *msg, struct dv_port *reply,
		uint64_t left_ns, bool stream, struct dv_err *err)
{
	dv_mesh_Request rq = { .stream = stream };

	/* 0 says that there is no deadline, so the least is 1. */
	if (left_ns != UINT64_MAX)
		rq.left_ns = dv_max(left_ns, 1);
	return send_question(to, msg, reply, &rq, err);
}

/* Everything that @ask needs but its ports. */
static int prepare(struct dv_ask *ask, struct dv_mesh *mesh,
		   const struct dv_ask_opts *opts, uint64_t left_ns,
		   struct dv_err *err)
{
	int r = 0;

	if (left_ns != UINT64_MAX)
		r = dv_timer_set(dv_mesh_loop(mesh), &ask->timer,
				 dv_chan_at(left_ns), on_deadline);
	if (r < 0)
		return dv_err_sys(err, -r, "arm the deadline of a question");
	if (opts->cancel)
		r = dv_cancel_new(&ask->cancel, mesh, opts->cancel, -1,
				  on_cancelled, ask, err);
	return r;
}

static int start(struct dv_ask *ask, struct dv_port *to, struct dv_msg *msg,
		 const struct dv_ask_opts *opts, struct dv_err *err)
{
	struct dv_mesh *mesh = dv_port_mesh(to);
	uint64_t left_ns = time_for(opts);
	struct dv_port *pair[2];
	int r = prepare(ask, mesh, opts, left_ns, err);

	if (r == 0)
		r = dv_chan_pair(mesh, pair, err);
	if (r < 0) {
		dv_msg_free(msg);
		return r;
	}
	ask->port = pair[0];
	r = dv_chan_ask(to, msg, pair[1], left_ns, ask->stream, err);
	if (r >= 0)
		dv_port_start(ask->port, &ask_ops, ask);
	return r;
}

int dv_ask(struct dv_chan_sender *tx, struct dv_msg *msg,
	   const struct dv_ask_opts *opts, dv_ask_fn *fn, void *user,
	   struct dv_ask **askp, struct dv_err *err)
{
	static const struct dv_ask_opts none = { .size = sizeof(none) };
	struct dv_ask *ask;
	int r;

	opts = opts ? opts : &none;
	r = check_opts(opts, err);
	ask = r == 0 ? calloc(1, sizeof(*ask)) : NULL;
	if (!ask) {
		dv_msg_free(msg);
		return r < 0 ? r : dv_err_sys(err, ENOMEM, "ask");
	}
	ask->fn = fn;
	ask->user = user;
	ask->stream = opts->stream;
	r = start(ask, tx->port, msg, opts, err);
	if (r < 0)
		ask_free(ask, NULL);
	else if (askp)
		*askp = ask;
	return r;
}
