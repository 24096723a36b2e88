/* SPDX-License-Identifier: MIT */
/*
 * DOC: a ttrpc connection, server side.
 *
 * One turn reads once, handles up to DV_RPC_TURN_FRAMES frames, and sends what
 * they were answered with in one write. Frames that are left wait in io.in for
 * deferred work (backlog), so that no connection keeps the loop to itself. A
 * call that is answered later is sent at the end of the loop's batch.
 *
 *	OPEN ---- peer ends its direction ----> ENDING ---- all answered --.
 *	  |                                       |                        |
 *	  '---- error, peer is gone --------------'----------------> closed '
 *
 * Nothing is read while more than DV_RPC_QUEUE_SOFT bytes wait to be sent
 * (stalled), or while the server drains.
 */
#include "rpc/call.h"

#include <errno.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include "base/def.h"
#include "base/fd.h"
#include "base/fmt.h"
#include "rpc/ttrpc_io.h"

enum state {
	OPEN,
	ENDING, /* no more requests come; answers are still sent */
	BROKEN, /* to be closed by the next turn */
};

struct tt_conn {
	struct dv_conn base;
	struct tt_io io;
	struct dv_src src;
	struct dv_defer work;
	enum dv_proto proto;
	enum state state;
	bool in_turn; /* answers need no deferred work */
	bool backlog; /* whole frames wait in io.in */
	bool stalled;
};

static struct tt_conn *conn_of(struct dv_inflight *f)
{
	return dv_container_of(f->conn, struct tt_conn, base);
}

static void on_work(struct dv_defer *work);

static void want_work(struct tt_conn *c)
{
	if (!c->in_turn)
		dv_defer_add(c->base.server->loop, &c->work, on_work);
}

static void tt_close(struct dv_conn *base)
{
	struct tt_conn *c = dv_container_of(base, struct tt_conn, base);

	dv_conn_deinit(base);
	dv_defer_del(&c->work);
	dv_src_del(&c->src);
	tt_io_free(&c->io);
	free(c);
}

/* ---- answers ---- */

static void break_conn(struct tt_conn *c)
{
	c->state = BROKEN;
	want_work(c);
}

static int tt_answer(struct dv_inflight *f, const struct dv_body *body,
		     const int *fds, size_t n_fds, struct dv_err *err)
{
	struct tt_conn *c = conn_of(f);
	size_t start = c->io.out.len;
	size_t len;
	int r = dv_body_size(body, &len, err);

	if (r < 0)
		return r;
	if (tt_io_queued(&c->io) + len > DV_RPC_QUEUE_HARD)
		return dv_err_set(err, ENOBUFS, DV_EXHAUSTED,
				  "too many answers wait to be read");
	dv_ttrpc_success_put(&c->io.out, f->stream, len);
	if (len)
		dv_body_put(body, len, &c->io.out, err);
	r = dv_buf_status(&c->io.out);
	if (r == 0 && n_fds)
		r = tt_io_attach(&c->io, start, fds, n_fds);
	if (r < 0) {
		c->io.out.status = 0;
		c->io.out.len = start;
		return dv_err_sys(err, -r, "send the answer");
	}
	want_work(c);
	return 0;
}

static void refuse(struct tt_conn *c, uint32_t stream, int code,
		   const char *text)
{
	if (tt_io_queued(&c->io) > DV_RPC_QUEUE_END ||
	    dv_ttrpc_failure_put(&c->io.out, stream, code, text) < 0)
		break_conn(c);
	else
		want_work(c);
}

static void tt_fail(struct dv_inflight *f, const struct dv_err *err)
{
	refuse(conn_of(f), f->stream, err->code, err->msg);
}

static const struct dv_call_ops call_ops = {
	.answer = tt_answer,
	.fail = tt_fail,
};

/* ---- requests ---- */

static void refuse_frame(struct tt_conn *c, const struct tt_frame *frame)
{
	char text[128];

	switch (frame->verdict) {
	case TT_PARITY:
		refuse(c, frame->hdr.stream, DV_INVALID,
		       "stream id must be odd for client requests");
		break;
	case TT_TYPE:
		dv_fmt(text, sizeof(text), "invalid message type %u",
		       frame->hdr.type);
		refuse(c, frame->hdr.stream, DV_INVALID, text);
		break;
	case TT_OK:
	case TT_SIZE:
		dv_fmt(text, sizeof(text),
		       "message length %u exceeds maximum allowed size %zu",
		       frame->hdr.len, c->io.recv_max);
		refuse(c, frame->hdr.stream, DV_EXHAUSTED, text);
		break;
	}
}

static bool metadata_at(const struct dv_request *rq, size_t i,
			struct dv_str *key, struct dv_str *value)
{
	return dv_ttrpc_request_metadata(rq->head.ptr, rq->head.len, i, key,
					 value) == 0;
}

static void handle_frame(struct tt_conn *c, struct tt_frame *frame)
{
	struct dv_ttrpc_request rq;
	struct dv_err err = DV_ERR_INIT;

	if (frame->verdict != TT_OK) {
		refuse_frame(c, frame);
	} else if (dv_conn_find(&c->base, frame->hdr.stream)) {
		refuse(c, frame->hdr.stream, DV_INVALID, "stream id is in use");
	} else if (dv_ttrpc_request_parse(frame->payload, frame->hdr.len, &rq,
					  &err) < 0) {
		refuse(c, frame->hdr.stream, DV_INVALID, err.msg);
	} else {
		struct dv_request call = {
			.service = rq.service,
			.method = rq.method,
			.payload = rq.payload.ptr,
			.len = rq.payload.len,
			.timeout_ns = rq.timeout_ns,
			.stream = frame->hdr.stream,
			.fds = frame->fds,
			.n_fds = frame->n_fds,
			.metadata = rq.n_metadata ? metadata_at : NULL,
			.head = { (const char *)frame->payload,
				  frame->hdr.len },
		};

		frame->n_fds = 0; /* consumed */
		dv_call_dispatch(&c->base, &call_ops, &call);
	}
	tt_frame_done(frame);
}

/* Too much waits to be sent, although we just tried: stop for now. */
static bool stall(struct tt_conn *c)
{
	if (tt_io_queued(&c->io) > DV_RPC_QUEUE_SOFT) {
		if (tt_io_flush(&c->io) < 0)
			c->state = BROKEN;
		c->stalled = tt_io_queued(&c->io) > DV_RPC_QUEUE_SOFT;
	}
	return c->stalled;
}

/* Handle what is complete of @rd, within the budget of a turn. */
static void handle(struct tt_conn *c, struct dv_rd *rd)
{
	unsigned int left = DV_RPC_TURN_FRAMES;
	struct tt_frame frame;
	int r = 0;

	while (left > 0 && r == 0 && c->state != BROKEN && !stall(c)) {
		r = tt_io_next(&c->io, rd, &frame);
		if (r != 0)
			break;
		handle_frame(c, &frame);
		left--;
	}
	c->backlog = r == 0 && tt_io_ready(&c->io, rd);
	if (tt_io_keep(&c->io, rd) < 0)
		c->state = BROKEN;
}

/* ---- turns ---- */

static uint32_t wanted(const struct tt_conn *c)
{
	uint32_t events = tt_io_queued(&c->io) ? EPOLLOUT : 0;

	if (c->state == OPEN && !c->stalled && !c->backlog &&
	    !c->base.server->draining)
		events |= EPOLLIN;
	return events;
}

static bool finished(const struct tt_conn *c)
{
	return c->state == BROKEN ||
	       (c->state == ENDING && !c->backlog && c->base.n_calls == 0 &&
		tt_io_queued(&c->io) == 0);
}

/* The end of every turn: send, decide what comes next. May free @c. */
static void end_turn(struct tt_conn *c)
{
	size_t before = tt_io_queued(&c->io), held;

	if (before && c->state != BROKEN && tt_io_flush(&c->io) < 0)
		c->state = BROKEN;
	c->base.server->bytes_out += before - tt_io_queued(&c->io);
	c->in_turn = false;
	if (tt_io_queued(&c->io) < DV_RPC_QUEUE_SOFT / 2)
		c->stalled = false;
	held = c->io.in.len + tt_io_queued(&c->io);
	if (held != c->base.held)
		dv_conn_hold(&c->base, held);
	if (!finished(c) && dv_src_mod(&c->src, wanted(c)) < 0)
		c->state = BROKEN;
	if (finished(c))
		tt_close(&c->base);
	else if (c->backlog && !c->stalled && !c->base.server->draining)
		want_work(c);
}

static void read_turn(struct tt_conn *c)
{
	void *scratch = dv_server_scratch(c->base.server);
	struct dv_rd rd;
	ssize_t n;

	n = scratch ? tt_io_fill(&c->io, scratch, MSG_DONTWAIT, &rd) : -ENOMEM;
	if (n > 0) {
		c->base.server->bytes_in += (size_t)n;
		handle(c, &rd);
	} else if (n == 0) {
		c->state = ENDING;
	} else if (n != -EAGAIN) {
		dv_log(c->base.server->opts.log, DV_LOG_DEBUG,
		       "connection lost: %s conn=%d", dv_errno_text((int)-n),
		       c->io.fd);
		c->state = BROKEN;
	}
}

static void on_io(struct dv_src *src, uint32_t events)
{
	struct tt_conn *c = dv_container_of(src, struct tt_conn, src);
	bool reads = wanted(c) & EPOLLIN;

	c->in_turn = true;
	if ((events & (EPOLLIN | EPOLLHUP | EPOLLERR)) && reads)
		read_turn(c);
	/* Nobody is there any more to whom an answer could be sent. */
	if ((events & (EPOLLHUP | EPOLLERR)) &&
	    (!reads || c->state == ENDING) &&
	    (!c->backlog || c->base.server->draining))
		c->state = BROKEN;
	end_turn(c);
}

static void on_work(struct dv_defer *work)
{
	struct tt_conn *c = dv_container_of(work, struct tt_conn, work);

	c->in_turn = true;
	if (c->backlog && !c->stalled && c->state != BROKEN &&
	    !c->base.server->draining) {
		struct dv_rd rd = tt_io_kept(&c->io);

		handle(c, &rd);
	}
	end_turn(c);
}

static void tt_drain(struct dv_conn *base, bool on)
{
	struct tt_conn *c = dv_container_of(base, struct tt_conn, base);

	(void)on;
	/* The turn asks the server. */
	want_work(c);
	dv_src_mod(&c->src, wanted(c));
}

static int tt_flush(struct dv_conn *base)
{
	struct tt_conn *c = dv_container_of(base, struct tt_conn, base);
	int r = c->state == BROKEN ? 0 : tt_io_flush(&c->io);

	if (r < 0)
		break_conn(c);
	return r == DV_MORE ? DV_MORE : 0;
}

/* ---- restart ---- */

static size_t list_calls(struct tt_conn *c, struct dv_call_state *list)
{
	uint64_t now = dv_now_ns();
	size_t n = 0;

	for (size_t i = 0; i < DV_CONN_BUCKETS; i++) {
		struct dv_inflight *f = c->base.calls[i];

		for (; f; f = f->next) {
			uint64_t end = f->call.deadline_ns;

			if (!dv_inflight_kept(f))
				continue;
			list[n++] = (struct dv_call_state){
				.stream = f->stream,
				.service = f->call.service->name,
				.method = f->call.method->name,
				.payload = f->payload,
				.len = f->len,
				.timeout_ns = end == UINT64_MAX ? 0
					      : end > now       ? end - now
								: 1,
			};
		}
	}
	return n;
}

static int tt_save(struct dv_conn *base,
		   int (*each)(void *arg, const struct dv_conn_state *state),
		   void *arg)
{
	struct tt_conn *c = dv_container_of(base, struct tt_conn, base);
	dv_autofree struct dv_call_state *list = NULL;
	struct dv_conn_state state = { .fd = c->io.fd, .proto = c->proto };

	if (c->io.why != TT_OK || c->io.n_fds || c->io.out_fds ||
	    c->state == BROKEN)
		return 0;
	list = calloc(base->n_calls + 1, sizeof(*list));
	if (!list)
		return -ENOMEM;
	state.n_calls = list_calls(c, list);
	state.calls = list;
	state.in = c->io.in.data;
	state.in_len = c->io.in.len;
	if (c->io.out.data)
		state.out = c->io.out.data + c->io.sent;
	state.out_len = tt_io_queued(&c->io);
	return each(arg, &state);
}

/* ---- taking a connection ---- */

static const struct dv_conn_ops conn_ops = {
	.close = tt_close,
	.drain = tt_drain,
	.flush = tt_flush,
	.save = tt_save,
};

static int conn_new(struct tt_conn **cp, struct dv_server *s, int fd,
		    enum dv_proto proto, const struct dv_peer *peer)
{
	struct tt_conn *c = calloc(1, sizeof(*c));
	int r = c ? dv_conn_init(&c->base, s, &conn_ops, peer) : -ENOMEM;

	if (r < 0) {
		/* Whoever has too many is no news. */
		dv_log(s->opts.log, r == -EMFILE ? DV_LOG_DEBUG : DV_LOG_WARN,
		       "connection refused: %s", dv_errno_text(-r));
		dv_close(fd);
		free(c);
		return r;
	}
	tt_io_init(&c->io, fd, true,
		   proto == DV_PROTO_TTRPC_DIAG ? DV_RPC_RECV_DIAG_MAX
						: DV_RPC_RECV_MAX);
	c->proto = proto;
	c->src = (struct dv_src)DV_SRC_INIT;
	r = dv_src_add(s->loop, &c->src, fd, s->draining ? 0 : EPOLLIN, on_io);
	if (r < 0) {
		tt_close(&c->base);
		return r;
	}
	*cp = c;
	return 0;
}

int dv_ttrpc_serve(struct dv_server *s, int fd, enum dv_proto proto,
		   const struct dv_peer *peer, const void *head, size_t len,
		   int *fds, size_t n_fds)
{
	struct tt_conn *c;
	struct dv_rd rd;
	int r = conn_new(&c, s, fd, proto, peer);

	if (r < 0) {
		for (size_t i = 0; i < n_fds; i++)
			dv_close(fds[i]);
		return r;
	}
	if (len == 0 && n_fds == 0)
		return 0;
	c->in_turn = true;
	if (tt_io_preload(&c->io, &rd, head, len, fds, n_fds) < 0)
		c->state = BROKEN;
	else
		handle(c, &rd);
	end_turn(c);
	return 0;
}

/* A held call comes again, as the request that it was. */
static int restore_call(struct tt_conn *c, const struct dv_call_state *call)
{
	struct dv_ttrpc_request rq = {
		.service = { call->service, strlen(call->service) },
		.method = { call->method, strlen(call->method) },
		.payload = { call->payload, call->len },
		.timeout_ns = call->timeout_ns,
	};

	return dv_ttrpc_request_put(&c->io.in, call->stream, &rq, NULL,
				    c->io.recv_max);
}

static int fill_restored(struct tt_conn *c, const struct dv_conn_state *state)
{
	int r = 0;

	for (size_t i = 0; i < state->n_calls; i++)
		c->io.in.max += state->calls[i].len + DV_RPC_READ_LEN;
	for (size_t i = 0; i < state->n_calls && r == 0; i++)
		r = restore_call(c, &state->calls[i]);
	if (r == 0)
		r = dv_buf_put(&c->io.in, state->in, state->in_len);
	if (r == 0)
		r = dv_buf_put(&c->io.out, state->out, state->out_len);
	c->io.received = c->io.in.len;
	return r;
}

int dv_ttrpc_restore(struct dv_server *s, const struct dv_conn_state *state)
{
	struct dv_peer peer = DV_PEER_INIT;
	struct tt_conn *c;
	struct dv_rd rd;
	int r;

	dv_peer_get(state->fd, false, &peer);
	r = conn_new(&c, s, state->fd, state->proto, &peer);
	if (r < 0)
		return r;
	r = fill_restored(c, state);
	if (r < 0) {
		tt_close(&c->base);
		return r;
	}
	rd = tt_io_kept(&c->io);
	c->backlog = tt_io_ready(&c->io, &rd);
	want_work(c);
	return 0;
}
