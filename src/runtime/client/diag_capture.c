/* SPDX-License-Identifier: MIT */
/*
 * DOC: packet capture
 *
 * The server sends one pcapng stream for each interface; they become one file.
 * While the reader of that file is behind, no stream is read: the server then
 * counts what it drops.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>

#include "base/def.h"
#include "base/fd.h"
#include "runtime/client/diag.h"
#include "wire/pb.h"
#include "wire/pcapng.h"

enum {
	CHUNK = 64 << 10,
	/* Times are written larger than they come, so twice a chunk and the
	 * longest block; then nothing is read. */
	QUEUE_MAX = 4 << 20,
};

struct stream {
	struct dv_diag_capture *c;
	struct dv_src src;
	int fd; /* owned, -1: ended */
	struct dv_pcapng_in in;
};

struct dv_diag_capture {
	struct dv_diag *diag;
	struct stream *at; /* owned */
	size_t n, n_open;
	int out; /* owned */
	struct dv_src out_src;
	struct dv_buf queue;
	struct dv_pcapng_merge merge;
	uint64_t bytes;
	bool ended;
	int r;
	struct dv_err err;
	struct dv_op *waits;
};

struct dv_diag_capture *dv_diag_capture_free(struct dv_diag_capture *c)
{
	if (!c)
		return NULL;
	if (c->waits)
		dv_op_drop(c->waits);
	for (size_t i = 0; i < c->n; i++) {
		dv_src_del(&c->at[i].src);
		dv_close(c->at[i].fd);
		dv_pcapng_in_deinit(&c->at[i].in);
	}
	free(c->at);
	dv_src_del(&c->out_src);
	dv_close(c->out);
	dv_buf_free(&c->queue);
	free(c);
	return NULL;
}

uint64_t dv_diag_capture_bytes(const struct dv_diag_capture *c)
{
	return c->bytes;
}

/* ---- while it runs ---------------------------------------------------------
 */

static void on_packets(struct dv_src *src, uint32_t events);
static void on_room(struct dv_src *src, uint32_t events);

/* Everything has arrived, or nothing more can. */
static void end(struct dv_diag_capture *c, int r, const struct dv_err *err)
{
	struct dv_op *op = c->waits;

	if (c->ended)
		return;
	for (size_t i = 0; i < c->n; i++) {
		dv_src_del(&c->at[i].src);
		c->at[i].fd = dv_close(c->at[i].fd);
	}
	dv_src_del(&c->out_src);
	c->out = dv_close(c->out);
	c->ended = true;
	c->r = r;
	if (r < 0)
		c->err = *err;
	c->waits = NULL;
	if (op) {
		op->own = NULL;
		dv_op_end(op, r, &c->err);
	}
}

static void fail(struct dv_diag_capture *c, int r, const char *what)
{
	struct dv_err err = DV_ERR_INIT;

	dv_err_sys(&err, -r, "%s", what);
	end(c, r, &err);
}

/* Read the streams, or do not. Returns 0 or -errno. */
static int listen_to_all(struct dv_diag_capture *c, bool on)
{
	int r = 0;

	for (size_t i = 0; i < c->n && r == 0; i++) {
		struct stream *s = &c->at[i];

		if (!on)
			dv_src_del(&s->src);
		else if (s->fd >= 0 && !s->src.loop)
			r = dv_src_add(c->diag->loop, &s->src, s->fd, EPOLLIN,
				       on_packets);
	}
	return r;
}

static int send_queue(struct dv_diag_capture *c)
{
	while (c->queue.len) {
		ssize_t n = dv_send(c->out, c->queue.data, c->queue.len);

		if (n < 0)
			return n == -EAGAIN ? DV_MORE : (int)n;
		c->bytes += (uint64_t)n;
		dv_buf_drop(&c->queue, (size_t)n);
	}
	return 0;
}

/* Write what is there, and find out how it goes on. */
static void pump(struct dv_diag_capture *c)
{
	int r = send_queue(c);

	if (r < 0) {
		fail(c, r, "write the packets");
	} else if (r == DV_MORE) {
		listen_to_all(c, false);
		r = c->out_src.loop ? 0
				    : dv_src_add(c->diag->loop, &c->out_src,
						 c->out, EPOLLOUT, on_room);
	} else if (!c->n_open) {
		end(c, 0, NULL);
	} else {
		dv_src_del(&c->out_src);
		r = listen_to_all(c, true);
	}
	if (r < 0 && !c->ended)
		fail(c, r, "watch the streams");
}

static void on_room(struct dv_src *src, uint32_t events DV_UNUSED)
{
	pump(dv_container_of(src, struct dv_diag_capture, out_src));
}

static void on_packets(struct dv_src *src, uint32_t events DV_UNUSED)
{
	struct stream *s = dv_container_of(src, struct stream, src);
	struct dv_diag_capture *c = s->c;
	char buf[CHUNK];
	ssize_t n = dv_read(s->fd, buf, sizeof(buf));
	int r;

	if (n == -EAGAIN)
		return;
	if (n > 0) {
		r = dv_pcapng_merge(&c->merge, &s->in, buf, (size_t)n,
				    &c->queue);
		if (r < 0) {
			fail(c, r, "packets that are no pcapng");
			return;
		}
	} else {
		/* A stream that breaks off is an end, too: what came is kept.
		 */
		dv_src_del(&s->src);
		s->fd = dv_close(s->fd);
		c->n_open--;
	}
	pump(c);
}

/* ---- query ------------------------------------------------------------------
 */

static int put_operation(struct dv_op *op, int operation, struct dv_err *err)
{
	dv_diag_NetworkPacketCaptureRequest m =
		dv_diag_NetworkPacketCaptureRequest_init_zero;

	m.operation = (dv_diag_NetworkPacketCaptureRequest_Operation)operation;
	return dv_op_put(op, false, dv_diag_NetworkPacketCaptureRequest_fields,
			 &m, err);
}

static int count_streams(const struct dv_rpc_reply *reply, uint32_t *np,
			 struct dv_err *err)
{
	dv_diag_NetworkPacketCaptureResponse m =
		dv_diag_NetworkPacketCaptureResponse_init_zero;
	int r = dv_pb_decode(dv_diag_NetworkPacketCaptureResponse_fields,
			     reply->payload, reply->len, &m, err);

	*np = m.num_streams;
	return r;
}

static int of_v1(const struct dv_rpc_reply *reply,
		 struct dv_diag_capture_info *info, struct dv_err *err)
{
	dv_CaptureReply m = dv_CaptureReply_init_zero;
	int r = dv_pb_decode(dv_CaptureReply_fields, reply->payload, reply->len,
			     &m, err);
	size_t at = 0;

	if (r < 0)
		return r;
	info->n_streams = m.interfaces_count;
	info->running = m.running;
	for (size_t i = 0; i < m.interfaces_count; i++) {
		size_t len = strlen(m.interfaces[i]);

		if (at + len + 2 > sizeof(info->names))
			break;
		if (at)
			info->names[at++] = ' ';
		memcpy(info->names + at, m.interfaces[i], len);
		at += len;
	}
	info->names[at] = '\0';
	dv_pb_release(dv_CaptureReply_fields, &m);
	return 0;
}

static int reply_query(struct dv_op *op, const struct dv_rpc_reply *reply,
		       struct dv_err *err)
{
	struct dv_diag_capture_info *info = op->out[0];

	*info = (struct dv_diag_capture_info){ 0 };
	return op->v1 ? of_v1(reply, info, err)
		      : count_streams(reply, &info->n_streams, err);
}

static const struct dv_diag_kind kind_query = {
	.what = "query packet capture",
	.v1 = "CaptureQuery",
	.service = DV_DIAG_OLD,
	.method = "PacketCapture",
	.reply = reply_query,
};

int dv_diag_capture_query(struct dv_diag *diag,
			  struct dv_diag_capture_info *info,
			  const struct dv_how *how, struct dv_err *err)
{
	struct dv_op *op;
	int r = dv_op_new(diag, &kind_query, how, &op, err);

	if (r < 0)
		return r;
	op->out[0] = info;
	r = put_operation(
		op, dv_diag_NetworkPacketCaptureRequest_Operation_QUERY, err);
	return dv_op_go(op, r, err);
}

/* ---- start ------------------------------------------------------------------
 */

static void deinit_capture(struct dv_op *op)
{
	dv_diag_capture_free(op->own);
}

/* The second time the connections are there. */
static int conns_capture(struct dv_op *op, struct dv_err *err)
{
	dv_diag_NetworkPacketCaptureRequest m =
		dv_diag_NetworkPacketCaptureRequest_init_zero;
	uint64_t ids[DV_DIAG_CONNS_MAX];

	if (!op->n_conns)
		return put_operation(
			op, dv_diag_NetworkPacketCaptureRequest_Operation_QUERY,
			err);
	for (size_t i = 0; i < op->n_conns; i++)
		ids[i] = op->conns[i].id;
	m.operation = dv_diag_NetworkPacketCaptureRequest_Operation_START;
	m.which_op_data = dv_diag_NetworkPacketCaptureRequest_start_data_tag;
	m.op_data.start_data.snaplen = op->arg;
	m.op_data.start_data.conns = ids;
	m.op_data.start_data.conns_count = (pb_size_t)op->n_conns;
	dv_buf_reset(&op->request[0]);
	return dv_op_put(op, false, dv_diag_NetworkPacketCaptureRequest_fields,
			 &m, err);
}

static int take_streams(struct dv_op *op, struct dv_err *err)
{
	struct dv_diag_capture *c = op->own, **capturep = op->out[0];
	int r;

	c->at = calloc(op->n_conns, sizeof(*c->at));
	if (!c->at)
		return dv_err_sys(err, ENOMEM, "keep the streams");
	for (size_t i = 0; i < op->n_conns; i++)
		c->at[i] = (struct stream){ .c = c,
					    .src = DV_SRC_INIT,
					    .fd = dv_diag_conn_take(op, i),
					    .in = DV_PCAPNG_IN_INIT };
	c->n = c->n_open = op->n_conns;
	r = listen_to_all(c, true);
	if (r < 0)
		return dv_err_sys(err, -r, "watch the streams");
	*capturep = c;
	op->own = NULL;
	return 0;
}

static int reply_capture(struct dv_op *op, const struct dv_rpc_reply *reply,
			 struct dv_err *err)
{
	uint32_t n = 0;
	int r;

	if (op->n_conns)
		return take_streams(op, err);
	r = count_streams(reply, &n, err);
	if (r < 0)
		return r;
	if (!n)
		return dv_err_set(err, ENODEV, DV_NOT_FOUND,
				  "there is no interface");
	if (n > DV_DIAG_CONNS_MAX)
		return dv_err_set(err, EMSGSIZE, DV_EXHAUSTED,
				  "%u interfaces are too many", n);
	op->n_conns = n;
	dv_diag_conns_start(op);
	return DV_MORE;
}

static const struct dv_diag_kind kind_capture = {
	.what = "packet capture",
	.service = DV_DIAG_OLD,
	.method = "PacketCapture",
	.conns = conns_capture,
	.reply = reply_capture,
	.deinit = deinit_capture,
};

int dv_diag_capture_start(struct dv_diag *diag, uint32_t snaplen, int out,
			  struct dv_diag_capture **capturep,
			  const struct dv_how *how, struct dv_err *err)
{
	dv_autofd int fd = out;
	struct dv_diag_capture *c;
	struct dv_op *op;
	int r = dv_op_new(diag, &kind_capture, how, &op, err);

	if (r < 0)
		return r;
	c = calloc(1, sizeof(*c));
	if (!c) {
		r = dv_err_sys(err, ENOMEM, "packet capture");
		return dv_op_go(op, r, err);
	}
	*c = (struct dv_diag_capture){ .diag = diag,
				       .out = dv_take_fd(&fd),
				       .out_src = DV_SRC_INIT,
				       .queue = DV_BUF_INIT(QUEUE_MAX),
				       .merge = DV_PCAPNG_MERGE_INIT };
	op->own = c;
	op->out[0] = capturep;
	op->arg = snaplen;
	return dv_op_go(op, 0, err);
}

/* ---- stop, end
 * ---------------------------------------------------------------- */

static const struct dv_diag_kind kind_stop = { .what = "stop packet capture",
					       .service = DV_DIAG_OLD,
					       .method = "PacketCapture" };

int dv_diag_capture_stop(struct dv_diag *diag, const struct dv_how *how,
			 struct dv_err *err)
{
	struct dv_op *op;
	int r = dv_op_new(diag, &kind_stop, how, &op, err);

	if (r < 0)
		return r;
	r = put_operation(
		op, dv_diag_NetworkPacketCaptureRequest_Operation_STOP, err);
	return dv_op_go(op, r, err);
}

static int begin_end(struct dv_op *op, struct dv_err *err)
{
	struct dv_diag_capture *c = op->own;

	if (!c->ended) {
		c->waits = op;
		return 0;
	}
	op->own = NULL;
	if (c->r < 0)
		*err = c->err;
	return c->r < 0 ? c->r : DV_EOF;
}

static void deinit_end(struct dv_op *op)
{
	struct dv_diag_capture *c = op->own;

	if (c && c->waits == op)
		c->waits = NULL;
}

static const struct dv_diag_kind kind_end = { .what = "packet capture",
					      .begin = begin_end,
					      .deinit = deinit_end };

int dv_diag_capture_end(struct dv_diag_capture *c, const struct dv_how *how,
			struct dv_err *err)
{
	struct dv_op *op;
	int r;

	if (c->waits)
		return dv_err_sys(err, EBUSY, "packet capture");
	r = dv_op_new(c->diag, &kind_end, how, &op, err);
	if (r < 0)
		return r;
	op->own = c;
	return dv_op_go(op, 0, err);
}
