/* SPDX-License-Identifier: MIT */
#include "rpc/client_priv.h"

#include <errno.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include "base/def.h"
#include "base/fd.h"
#include "base/loop_alone.h"
#include "rpc/ttrpc_io.h"

enum { BUCKETS = 64 };

struct tt_client {
	struct dv_rpc *rpc;
	struct tt_io io;
	struct dv_src src;
	struct dv_defer flush;
	bool in_turn; /* sending can wait for its end */
	bool closed;  /* inside a turn, which frees it */
	int lost;     /* what sending failed with; reported by @flush */
	uint32_t next_stream;
	int patience_ms; /* as set_patience() left it */
	/* Sent calls by stream number, linked by stream_data. */
	struct dv_rpc_call *calls[BUCKETS];
	char scratch[DV_RPC_READ_LEN];
};

static struct dv_rpc_call **bucket_of(struct tt_client *c, uint32_t stream)
{
	return &c->calls[stream / 2 % BUCKETS];
}

/* Take the call with that number out of its bucket. NULL: there is none. */
static struct dv_rpc_call *take_call(struct tt_client *c, uint32_t stream)
{
	struct dv_rpc_call **head = bucket_of(c, stream);
	struct dv_rpc_call *call = *head, *prev = NULL;

	while (call && call->stream != stream) {
		prev = call;
		call = call->stream_data;
	}
	if (!call)
		return NULL;
	if (prev)
		prev->stream_data = call->stream_data;
	else
		*head = call->stream_data;
	call->stream_data = NULL;
	return call;
}

static void lost(struct tt_client *c, int r)
{
	struct dv_err err = DV_ERR_INIT;

	if (r < 0)
		dv_err_sys(&err, -r, "the connection was lost");
	dv_rpc_lost(c->rpc, c, r < 0 ? &err : NULL);
}

/* ---- sending ---- */

static void on_flush(struct dv_defer *defer);

static void want_flush(struct tt_client *c)
{
	if (!c->in_turn)
		dv_defer_add(c->rpc->loop, &c->flush, on_flush);
}

/* Send what can be sent. Failure is remembered, for the loop to report. */
static void try_flush(struct tt_client *c)
{
	int r = tt_io_flush(&c->io);

	if (r >= 0)
		r = dv_src_mod(&c->src,
			       EPOLLIN | (r == DV_MORE ? EPOLLOUT : 0));
	if (r < 0 && !c->lost) {
		c->lost = r;
		want_flush(c);
	}
}

static void on_flush(struct dv_defer *defer)
{
	struct tt_client *c = dv_container_of(defer, struct tt_client, flush);

	if (!c->lost)
		try_flush(c);
	if (c->lost)
		lost(c, c->lost);
}

static int tt_send(struct dv_rpc *rpc, struct dv_rpc_call *call,
		   struct dv_err *err)
{
	struct tt_client *c = rpc->conn;
	size_t start = c->io.out.len;
	uint32_t stream = c->next_stream;
	struct dv_ttrpc_request rq = {
		.service = { call->service, strlen(call->service) },
		.method = { call->method, strlen(call->method) },
		.payload = { call->payload, call->len },
		.timeout_ns = dv_rpc_time_left(call),
	};
	struct dv_rpc_call **head = bucket_of(c, stream);
	int r = dv_ttrpc_request_put(&c->io.out, stream, &rq, call->metadata,
				     DV_RPC_SEND_MAX);

	if (r == 0 && call->n_fds)
		r = tt_io_attach(&c->io, start, call->fds, call->n_fds);
	if (r < 0) {
		bool full = dv_buf_status(&c->io.out) == -EMSGSIZE;

		c->io.out.len = start;
		c->io.out.status = 0;
		if (full)
			return dv_err_set(err, ENOBUFS, DV_EXHAUSTED,
					  "too many requests wait to be sent");
		return dv_err_sys(err, -r, "send %s", call->method);
	}
	c->next_stream += 2;
	call->stream = stream;
	call->stream_data = *head;
	*head = call;
	/* Inside the loop, one write takes all requests of a batch. */
	if (dv_loop_busy(rpc->loop))
		want_flush(c);
	else
		try_flush(c);
	return 0;
}

/* ---- answers ---- */

static void response(struct dv_rpc_call *call, struct tt_frame *frame)
{
	struct dv_ttrpc_response rs;
	struct dv_err err = DV_ERR_INIT;
	struct dv_rpc_reply reply = { .fds = frame->fds,
				      .n_fds = frame->n_fds };

	reply.r = dv_ttrpc_response_parse(frame->payload, frame->hdr.len, &rs,
					  &err);
	if (reply.r < 0)
		err.code = DV_INTERNAL;
	else if (rs.code)
		reply.r = dv_rpc_status(&err, rs.code, rs.message.ptr,
					rs.message.len);
	if (reply.r < 0) {
		reply.err = &err;
	} else {
		reply.payload = rs.payload.ptr;
		reply.len = rs.payload.len;
	}
	dv_rpc_done(call, &reply);
}

static void handle_frame(struct tt_client *c, struct tt_frame *frame)
{
	/* A call that was cancelled, or whose deadline passed, is forgotten. */
	struct dv_rpc_call *call = take_call(c, frame->hdr.stream);
	struct dv_err err = DV_ERR_INIT;

	if (call && frame->verdict == TT_SIZE) {
		dv_err_set(&err, EMSGSIZE, DV_EXHAUSTED,
			   "message length %u exceeds maximum allowed size %zu",
			   frame->hdr.len, c->io.recv_max);
		dv_rpc_fail(call, &err);
	} else if (call && frame->hdr.type != DV_TTRPC_RESPONSE) {
		dv_err_set(&err, EBADMSG, DV_INTERNAL,
			   "invalid message type %u", frame->hdr.type);
		dv_rpc_fail(call, &err);
	} else if (call) {
		response(call, frame);
	}
	tt_frame_done(frame);
}

static int handle(struct tt_client *c, struct dv_rd *rd)
{
	struct tt_frame frame;

	while (!c->closed && tt_io_next(&c->io, rd, &frame) == 0)
		handle_frame(c, &frame);
	return c->closed ? 0 : tt_io_keep(&c->io, rd);
}

/* The end of the stream: in order, unless it cuts a payload. */
static int end_of_stream(const struct tt_client *c)
{
	bool cut = c->io.why != TT_OK || c->io.in.len >= DV_TTRPC_HDR_LEN;

	return cut ? -ECONNRESET : DV_EOF;
}

static int read_turn(struct tt_client *c, int flags)
{
	struct dv_rd rd;
	ssize_t n = tt_io_fill(&c->io, c->scratch, flags, &rd);

	if (n == 0)
		return end_of_stream(c);
	if (n < 0)
		return n == -EAGAIN ? 0 : (int)n;
	return handle(c, &rd);
}

static void turn(struct tt_client *c, bool reads, int flags)
{
	int r = 0;

	c->in_turn = true;
	if (reads)
		r = read_turn(c, flags);
	if (c->closed) {
		tt_io_free(&c->io);
		free(c);
		return;
	}
	if (r == 0)
		try_flush(c);
	c->in_turn = false;
	if (r == 0)
		r = c->lost;
	if (r != 0)
		lost(c, r);
}

static void on_io(struct dv_src *src, uint32_t events)
{
	struct tt_client *c = dv_container_of(src, struct tt_client, src);

	turn(c, events & (EPOLLIN | EPOLLHUP | EPOLLERR), MSG_DONTWAIT);
}

/* The longest that a read sleeps; 0: for ever. */
static bool set_patience(struct tt_client *c, int ms)
{
	struct timeval tv = { ms / 1000, ms % 1000 * 1000 };

	if (ms == c->patience_ms)
		return true;
	c->patience_ms = ms;
	return setsockopt(c->io.fd, SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof(tv)) ==
	       0;
}

/* Sleeping in the read itself saves a system call, and a tenth of the time. */
static bool tt_wait(struct dv_rpc *rpc, const struct dv_rpc_call *call,
		    int timeout_ms)
{
	struct tt_client *c = rpc->conn;
	bool timed = call->deadline_ns != UINT64_MAX;

	if (tt_io_queued(&c->io) || c->lost || timeout_ms == 0 ||
	    !dv_loop_alone(rpc->loop, &c->src, timed ? 1 : 0) ||
	    !set_patience(c, timed ? timeout_ms : 0))
		return false;
	turn(c, true, 0);
	return true;
}

/* ---- life of a connection ---- */

static int tt_open(struct dv_rpc *rpc, int fd, struct dv_err *err)
{
	struct tt_client *c = malloc(sizeof(*c));
	int r;

	if (!c) {
		dv_close(fd);
		return dv_err_sys(err, ENOMEM, "connection");
	}
	memset(c, 0, offsetof(struct tt_client, scratch));
	c->rpc = rpc;
	c->next_stream = 1;
	c->src = (struct dv_src)DV_SRC_INIT;
	tt_io_init(&c->io, fd, false, DV_RPC_RECV_CLIENT_MAX);
	/* For tt_wait(); everything else says that it does not wait. */
	r = dv_fd_nonblock(fd, false);
	if (r == 0)
		r = dv_src_add(rpc->loop, &c->src, fd, EPOLLIN, on_io);
	if (r < 0) {
		tt_io_free(&c->io);
		free(c);
		return dv_err_sys(err, -r, "connection");
	}
	rpc->conn = c;
	return 0;
}

static void tt_cancel(struct dv_rpc *rpc, struct dv_rpc_call *call)
{
	(void)rpc;
	take_call(call->conn, call->stream);
}

static void tt_close(struct dv_rpc *rpc)
{
	struct tt_client *c = rpc->conn;

	rpc->conn = NULL;
	dv_defer_del(&c->flush);
	dv_src_del(&c->src);
	c->io.fd = dv_close(c->io.fd);
	c->closed = true;
	/* What a callback was given lies in there: then on_io() frees it. */
	if (c->in_turn)
		return;
	tt_io_free(&c->io);
	free(c);
}

static int tt_fd(const struct dv_rpc *rpc)
{
	const struct tt_client *c = rpc->conn;

	return c->io.fd;
}

const struct dv_rpc_ops dv_ttrpc_client_ops = {
	.open = tt_open,
	.send = tt_send,
	.cancel = tt_cancel,
	.close = tt_close,
	.fd = tt_fd,
	.wait = tt_wait,
};
