/* SPDX-License-Identifier: MIT */
/*
 * DOC: requests, and windows
 *
 * nghttp2 hands over header fields, pieces of DATA and ends of streams; a
 * request that is whole waits for the turn's end, where it is called, outside
 * of nghttp2. What is wrong with a request ends its stream only.
 *
 * Bytes of the connection's window are given back as they come: what they can
 * fill is bounded by the windows of the streams. A stream's window is given
 * back while the connection holds little; above that only the oldest unfinished
 * request gets more, so that one always comes to its end; and nobody does while
 * too many answers wait for a client that does not read.
 */
#include "rpc/grpc_server.h"

#include <errno.h>
#include <string.h>

#include "base/def.h"
#include "base/fd.h"
#include "rpc/grpc.h"

static struct dv_grpc_conn *conn_of(struct dv_h2 *h)
{
	return dv_container_of(h, struct dv_grpc_conn, h2);
}

static struct dv_grpc_conn *conn_of_base(struct dv_conn *base)
{
	return dv_container_of(base, struct dv_grpc_conn, base);
}

static struct dv_grpc_stream *stream_of(nghttp2_session *session, int32_t id)
{
	return nghttp2_session_get_stream_user_data(session, id);
}

/* ---- streams ------------------------------------------------------------ */

static struct dv_grpc_stream *stream_new(struct dv_grpc_conn *c, int32_t id)
{
	struct dv_grpc_stream *s = calloc(1, sizeof(*s));

	if (!s)
		return NULL;
	s->conn = c;
	s->id = id;
	s->deadline_ns = UINT64_MAX;
	s->metadata = (struct dv_buf)DV_BUF_INIT(DV_GRPC_HEADERS_MAX);
	s->path = (struct dv_buf)DV_BUF_INIT(DV_GRPC_PATH_MAX);
	s->rd = (struct dv_grpc_rd)DV_GRPC_RD_INIT;
	s->out = (struct dv_buf)DV_BUF_INIT(DV_RPC_QUEUE_HARD);
	s->prevp = c->tail;
	*c->tail = s;
	c->tail = &s->next;
	return s;
}

static void leave_ready(struct dv_grpc_stream *s)
{
	struct dv_grpc_conn *c = s->conn;
	struct dv_grpc_stream **at = &c->ready;

	while (*at && *at != s)
		at = &(*at)->next_ready;
	if (!*at)
		return;
	*at = s->next_ready;
	if (!*at)
		c->ready_tail = at;
}

void dv_grpc_drop_request(struct dv_grpc_stream *s)
{
	struct dv_grpc_conn *c = s->conn;

	c->in_held -= s->rd.buf.len;
	dv_grpc_rd_free(&s->rd);
	dv_buf_free(&s->path);
	dv_buf_free(&s->metadata);
	if (s->owed)
		c->n_owing--;
	s->owed = 0;
	if (s->state == DV_GRPC_READY)
		leave_ready(s);
}

static void stream_free(struct dv_grpc_stream *s)
{
	dv_grpc_drop_request(s);
	dv_grpc_drop_answers(s);
	dv_timer_stop(&s->timer);
	free(s->err);
	*s->prevp = s->next;
	if (s->next)
		s->next->prevp = s->prevp;
	else
		s->conn->tail = s->prevp;
	free(s);
}

static void on_deadline(struct dv_timer *timer)
{
	struct dv_grpc_stream *s =
		dv_container_of(timer, struct dv_grpc_stream, timer);

	/* While it has a call, that one's deadline ends it. */
	if (dv_conn_find(&s->conn->base, (uint32_t)s->id))
		return;
	if (s->state == DV_GRPC_REQUEST || s->state == DV_GRPC_READY)
		dv_grpc_refuse_code(s, DV_DEADLINE, "deadline exceeded");
	else if (s->state == DV_GRPC_ANSWERING)
		dv_grpc_reset(s, NGHTTP2_CANCEL);
}

/* ---- requests ----------------------------------------------------------- */

// clang-format off
static const struct {
	const char *http;
	enum dv_code code;
	const char *text;
} faults[] = {
	[DV_GRPC_BAD_METHOD] = { "405", DV_INTERNAL, "the HTTP method is not POST" },
	[DV_GRPC_BAD_TYPE] = { "415", DV_INTERNAL, "the content-type is not application/grpc" },
	[DV_GRPC_BAD_PATH] = { "404", DV_UNIMPLEMENTED, "the path is not /service/method" },
	[DV_GRPC_BAD_TIMEOUT] = { "400", DV_INTERNAL, "malformed grpc-timeout" },
	[DV_GRPC_BAD_BASE64] = { "400", DV_INTERNAL, "malformed base64 in metadata" },
	[DV_GRPC_LONG_HEADERS] = { "431", DV_EXHAUSTED, "the header fields are too long" },
};
// clang-format on
static_assert(DV_ARRAY_LEN(faults) == DV_GRPC_FAULT_N, "one row per fault");

/* All its header fields are there. */
static void begin_request(struct dv_grpc_stream *s)
{
	struct dv_err err = DV_ERR_INIT;
	uint64_t now;

	if (s->fault == DV_GRPC_FINE && !s->has_type)
		s->fault = DV_GRPC_BAD_TYPE;
	if (s->fault == DV_GRPC_FINE && s->path.len == 0)
		s->fault = DV_GRPC_BAD_PATH;
	if (s->fault != DV_GRPC_FINE) {
		dv_err_set(&err, 0, faults[s->fault].code, "%s",
			   faults[s->fault].text);
		dv_grpc_refuse(s, faults[s->fault].http, &err);
		return;
	}
	if (!s->has_timeout)
		return;
	now = dv_now_ns();
	if (s->timeout_ns < UINT64_MAX - now)
		s->deadline_ns = now + s->timeout_ns;
	if (s->timeout_ns == 0)
		dv_grpc_refuse_code(s, DV_DEADLINE, "deadline exceeded");
	else if (dv_timer_set(s->conn->h2.loop, &s->timer, s->deadline_ns,
			      on_deadline) < 0)
		dv_grpc_reset(s, NGHTTP2_INTERNAL_ERROR);
}

static void refuse_message(struct dv_grpc_stream *s, int r)
{
	struct dv_err err = DV_ERR_INIT;

	if (r == -EOPNOTSUPP)
		dv_err_set(&err, 0, DV_UNIMPLEMENTED,
			   "compressed messages are not accepted");
	else if (r == -EMSGSIZE)
		dv_err_set(&err, 0, DV_EXHAUSTED,
			   "the message has %zu bytes, %d are allowed",
			   s->rd.len, DV_GRPC_MSG_MAX);
	else if (r == -ENOMEM)
		dv_err_set(&err, 0, DV_EXHAUSTED, "no memory");
	else
		dv_err_set(&err, 0, DV_INTERNAL,
			   "malformed header of a message");
	dv_grpc_refuse(s, "200", &err);
}

/* Bytes of its one message. */
static void take_data(struct dv_grpc_stream *s, const uint8_t *data, size_t len)
{
	struct dv_rd in = dv_rd_mem(data, len);
	size_t before = s->rd.buf.len;
	int r = DV_MORE;

	if (!s->has_msg)
		r = dv_grpc_next(&s->rd, &in, &s->msg, &s->msg_len);
	if (r == 0) {
		s->has_msg = true;
		r = dv_grpc_rd_keep(&s->rd, &s->msg, s->msg_len);
	}
	s->conn->in_held += s->rd.buf.len - before;
	if (r < 0)
		refuse_message(s, r);
	else if (s->has_msg && in.left > 0)
		dv_grpc_refuse_code(s, DV_UNIMPLEMENTED,
				    "more than one request message");
}

/* END_STREAM came. */
static void end_request(struct dv_grpc_stream *s)
{
	struct dv_grpc_conn *c = s->conn;

	s->whole = true;
	if (s->state != DV_GRPC_REQUEST)
		return;
	if (!s->has_msg) {
		if (dv_grpc_rd_partial(&s->rd))
			dv_grpc_refuse_code(s, DV_INTERNAL,
					    "the request ends inside of its "
					    "message");
		else
			dv_grpc_refuse_code(s, DV_UNIMPLEMENTED,
					    "no request message");
		return;
	}
	if (s->owed)
		c->n_owing--;
	s->owed = 0;
	s->state = DV_GRPC_READY;
	s->next_ready = NULL;
	*c->ready_tail = s;
	c->ready_tail = &s->next_ready;
}

static void call(struct dv_grpc_stream *s)
{
	struct dv_str path = { s->path.data, s->path.len };
	struct dv_request rq = {
		.payload = s->msg,
		.len = s->msg_len,
		.stream = (uint32_t)s->id,
		.stream_data = s,
		.metadata = dv_grpc_metadata_at,
		.head = { s->metadata.data, s->metadata.len },
	};
	uint64_t now;

	if (dv_grpc_path_split(path, &rq.service, &rq.method) < 0)
		return; /* it was checked when it came */
	if (s->deadline_ns != UINT64_MAX) {
		now = dv_now_ns();
		if (s->deadline_ns <= now) {
			dv_grpc_refuse_code(s, DV_DEADLINE,
					    "deadline exceeded");
			return;
		}
		rq.timeout_ns = s->deadline_ns - now;
	}
	s->state = DV_GRPC_CALLED;
	dv_call_dispatch(&s->conn->base, &dv_grpc_call_ops, &rq);
	if (!s->conn->h2.dead)
		dv_grpc_drop_request(s);
}

/* ---- what nghttp2 says -------------------------------------------------- */

static int on_begin_frame(nghttp2_session *session, const nghttp2_frame_hd *hd,
			  void *arg)
{
	(void)session;
	dv_h2_count_frame(arg, hd);
	return 0;
}

static int on_begin_headers(nghttp2_session *session,
			    const nghttp2_frame *frame, void *arg)
{
	struct dv_grpc_stream *s;

	if (frame->hd.type != NGHTTP2_HEADERS ||
	    frame->headers.cat != NGHTTP2_HCAT_REQUEST)
		return 0;
	s = stream_new(conn_of(arg), frame->hd.stream_id);
	if (!s)
		return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
	nghttp2_session_set_stream_user_data(session, s->id, s);
	return 0;
}

/* NOLINTNEXTLINE(readability-function-size): nghttp2's parameters */
static int on_header(nghttp2_session *session, const nghttp2_frame *frame,
		     const uint8_t *name, size_t name_len, const uint8_t *value,
		     size_t value_len, uint8_t flags, void *arg)
{
	struct dv_grpc_stream *s = stream_of(session, frame->hd.stream_id);

	(void)flags;
	(void)arg;
	if (!s || frame->hd.type != NGHTTP2_HEADERS ||
	    frame->headers.cat != NGHTTP2_HCAT_REQUEST || s->fault)
		return 0;
	s->fault = dv_grpc_take_field(
		s, (struct dv_str){ (const char *)name, name_len },
		(struct dv_str){ (const char *)value, value_len });
	return 0;
}

static int on_frame(nghttp2_session *session, const nghttp2_frame *frame,
		    void *arg)
{
	struct dv_grpc_stream *s = stream_of(session, frame->hd.stream_id);

	if (s && frame->hd.type == NGHTTP2_RST_STREAM &&
	    s->state != DV_GRPC_CLOSING)
		dv_h2_count_reset(arg);
	if (!s || (frame->hd.type != NGHTTP2_HEADERS &&
		   frame->hd.type != NGHTTP2_DATA))
		return 0;
	if (frame->hd.type == NGHTTP2_HEADERS &&
	    frame->headers.cat == NGHTTP2_HCAT_REQUEST)
		begin_request(s);
	if (frame->hd.flags & NGHTTP2_FLAG_END_STREAM)
		end_request(s);
	return 0;
}

static int on_data(nghttp2_session *session, uint8_t flags, int32_t id,
		   const uint8_t *data, size_t len, void *arg)
{
	struct dv_grpc_conn *c = conn_of(arg);
	struct dv_grpc_stream *s = stream_of(session, id);

	(void)flags;
	dv_h2_count_data(&c->h2);
	nghttp2_session_consume_connection(session, len);
	if (!s || s->state != DV_GRPC_REQUEST)
		return 0;
	c->n_owing += s->owed == 0;
	s->owed += len;
	take_data(s, data, len);
	return 0;
}

static int on_sent(nghttp2_session *session, const nghttp2_frame *frame,
		   void *arg)
{
	struct dv_grpc_stream *s;

	if (frame->hd.type == NGHTTP2_DATA)
		dv_h2_count_data(arg);
	if (frame->hd.type != NGHTTP2_HEADERS ||
	    !(frame->hd.flags & NGHTTP2_FLAG_END_STREAM))
		return 0;
	s = stream_of(session, frame->hd.stream_id);
	if (s && !s->whole) /* we want no more of its request */
		nghttp2_submit_rst_stream(session, NGHTTP2_FLAG_NONE, s->id,
					  NGHTTP2_NO_ERROR);
	return 0;
}

static int on_close(nghttp2_session *session, int32_t id, uint32_t h2_error,
		    void *arg)
{
	struct dv_grpc_stream *s = stream_of(session, id);
	struct dv_inflight *f;

	(void)h2_error;
	if (!s)
		return 0;
	dv_grpc_drop_request(s);
	s->state = DV_GRPC_CLOSING;
	f = dv_conn_find(&conn_of(arg)->base, (uint32_t)id);
	if (f)
		dv_inflight_cancel(f);
	nghttp2_session_set_stream_user_data(session, id, NULL);
	stream_free(s);
	return 0;
}

/* ---- turns -------------------------------------------------------------- */

static void call_ready(struct dv_grpc_conn *c)
{
	while (c->ready && c->out_held < DV_RPC_QUEUE_SOFT && !c->h2.dead) {
		struct dv_grpc_stream *s = c->ready;

		c->ready = s->next_ready;
		if (!c->ready)
			c->ready_tail = &c->ready;
		s->state = DV_GRPC_CALLED;
		call(s);
	}
}

/* True when there may be something to send. */
static bool give_windows(struct dv_grpc_conn *c)
{
	bool oldest = true, any = false;

	if (c->out_held >= DV_RPC_QUEUE_SOFT)
		return false;
	for (struct dv_grpc_stream *s = c->streams; s && c->n_owing;
	     s = s->next) {
		if (s->state != DV_GRPC_REQUEST || s->rd.buf.len == 0)
			continue;
		if (!oldest && c->in_held >= DV_RPC_QUEUE_SOFT)
			break;
		oldest = false;
		if (s->owed == 0)
			continue;
		nghttp2_session_consume_stream(c->h2.session, s->id, s->owed);
		s->owed = 0;
		c->n_owing--;
		any = true;
	}
	return any;
}

static bool turn(struct dv_h2 *h)
{
	struct dv_grpc_conn *c = conn_of(h);
	struct dv_server *server = c->base.server;
	bool more = c->ready && c->out_held < DV_RPC_QUEUE_SOFT;

	server->bytes_in += h->n_in - c->in_seen;
	server->bytes_out += h->n_out - c->out_seen;
	c->in_seen = h->n_in;
	c->out_seen = h->n_out;
	call_ready(c);
	if (c->in_held + c->out_held != c->base.held)
		dv_conn_hold(&c->base, c->in_held + c->out_held);
	if (!h->dead && c->n_want_room)
		more |= dv_grpc_give_room(c);
	if (!h->dead && c->n_owing)
		more |= give_windows(c);
	return more;
}

/* A request that is whole gets its answer; others will never be. */
static bool half_closed(struct dv_h2 *h)
{
	bool any = false;

	for (struct dv_grpc_stream *s = conn_of(h)->streams; s; s = s->next)
		any |= s->whole;
	return any;
}

static void conn_close(struct dv_conn *base)
{
	dv_conn_deinit(base);
	dv_h2_close(&conn_of_base(base)->h2);
}

static void ended(struct dv_h2 *h, const struct dv_err *err)
{
	struct dv_conn *base = &conn_of(h)->base;

	if (err)
		dv_log(base->server->opts.log, DV_LOG_DEBUG,
		       "grpc connection ended: %s", err->msg);
	conn_close(base);
}

static void conn_free(struct dv_h2 *h)
{
	struct dv_grpc_conn *c = conn_of(h);

	while (c->streams)
		stream_free(c->streams);
	free(c);
}

static const struct dv_h2_ops h2_ops = { ended, turn, half_closed, conn_free };

/* ---- connections -------------------------------------------------------- */

/* GOAWAY cannot be taken back: clients make a new connection. */
static void conn_drain(struct dv_conn *base, bool on)
{
	struct dv_h2 *h = &conn_of_base(base)->h2;

	if (!on)
		return;
	nghttp2_submit_goaway(
		h->session, NGHTTP2_FLAG_NONE,
		nghttp2_session_get_last_proc_stream_id(h->session),
		NGHTTP2_NO_ERROR, NULL, 0);
	dv_h2_kick(h);
}

static int conn_flush(struct dv_conn *base)
{
	struct dv_grpc_conn *c = conn_of_base(base);
	int r = dv_h2_flush(&c->h2);

	/* < 0: there is nobody to send to. */
	return r < 0 || (r == 0 && c->out_held == 0) ? 0 : DV_MORE;
}

static const struct dv_conn_ops conn_ops = {
	.close = conn_close,
	.drain = conn_drain,
	.flush = conn_flush,
};

static int make_session(struct dv_grpc_conn *c)
{
	nghttp2_session_callbacks *cb;
	nghttp2_option *opt = dv_h2_options();
	int r = -ENOMEM;

	if (opt && nghttp2_session_callbacks_new(&cb) == 0) {
		nghttp2_session_callbacks_set_on_begin_frame_callback(
			cb, on_begin_frame);
		nghttp2_session_callbacks_set_on_begin_headers_callback(
			cb, on_begin_headers);
		nghttp2_session_callbacks_set_on_header_callback(cb, on_header);
		nghttp2_session_callbacks_set_on_frame_recv_callback(cb,
								     on_frame);
		nghttp2_session_callbacks_set_on_data_chunk_recv_callback(
			cb, on_data);
		nghttp2_session_callbacks_set_on_frame_send_callback(cb,
								     on_sent);
		nghttp2_session_callbacks_set_on_stream_close_callback(
			cb, on_close);
		if (nghttp2_session_server_new2(&c->h2.session, cb, &c->h2,
						opt) == 0)
			r = 0;
		nghttp2_session_callbacks_del(cb);
	}
	nghttp2_option_del(opt);
	return r;
}

static int send_settings(struct dv_grpc_conn *c)
{
	const struct dv_server *server = c->base.server;
	const nghttp2_settings_entry iv[] = {
		{ NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS,
		  server->opts.max_calls },
		{ NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, DV_GRPC_HEADERS_MAX },
	};

	if (nghttp2_submit_settings(c->h2.session, NGHTTP2_FLAG_NONE, iv,
				    DV_ARRAY_LEN(iv)) != 0 ||
	    nghttp2_session_set_local_window_size(
		    c->h2.session, NGHTTP2_FLAG_NONE, 0, DV_H2_WINDOW) != 0)
		return -ENOMEM;
	if (server->draining)
		conn_drain(&c->base, true);
	return 0;
}

int dv_grpc_serve(struct dv_server *server, int fd, const struct dv_peer *peer,
		  const void *head, size_t len)
{
	struct dv_grpc_conn *c = calloc(1, sizeof(*c));
	int r = c ? dv_fd_nonblock(fd, true) : -ENOMEM;

	if (r == 0)
		r = dv_conn_init(&c->base, server, &conn_ops, peer);
	if (r < 0) {
		dv_close(fd);
		free(c);
		return r;
	}
	c->tail = &c->streams;
	c->ready_tail = &c->ready;
	r = dv_h2_init(&c->h2, server->loop, fd, &h2_ops);
	if (r == 0)
		r = make_session(c);
	if (r == 0)
		r = send_settings(c);
	if (r == 0)
		r = dv_h2_feed(&c->h2, head, len);
	if (r < 0)
		conn_close(&c->base);
	return r;
}
