/* SPDX-License-Identifier: MIT */
#include "rpc/grpc_client.h"

#include <errno.h>
#include <string.h>

#include "base/def.h"

static struct dv_grpc_client *client_of(struct dv_h2 *h)
{
	return dv_container_of(h, struct dv_grpc_client, h2);
}

static struct dv_grpc_ask *stream_of(nghttp2_session *session, int32_t id)
{
	return nghttp2_session_get_stream_user_data(session, id);
}

/* ---- how calls end ------------------------------------------------------ */

static void fail(struct dv_grpc_ask *s, enum dv_code code, const char *text)
{
	struct dv_err err = DV_ERR_INIT;
	struct dv_rpc_call *call = dv_take_ptr(&s->call);

	dv_rpc_status(&err, (int)code, text, strlen(text));
	if (s->hint.len)
		dv_err_hint(&err, "%s", s->hint.data);
	dv_rpc_fail(call, &err);
}

/* A failure of ours: the server shall stop, too. */
static void give_up(struct dv_grpc_ask *s, enum dv_code code, const char *text)
{
	dv_grpc_ask_reset(s, NGHTTP2_CANCEL);
	fail(s, code, text);
}

static void succeed(struct dv_grpc_ask *s)
{
	struct dv_rpc_call *call = dv_take_ptr(&s->call);
	struct dv_rpc_reply reply = { 0 };

	if (!call->streaming) {
		reply.payload = s->msg;
		reply.len = s->msg_len;
	}
	dv_rpc_done(call, &reply);
}

/* The server's side of the stream ended in order: its fields say how. */
static void finish(struct dv_grpc_ask *s)
{
	if (s->out_at < s->out.len)
		dv_grpc_ask_reset(
			s,
			NGHTTP2_CANCEL); /* it wants no more of the request */
	if (!s->has_status && s->http != 200)
		fail(s, dv_grpc_code_from_http(s->http), "no grpc-status");
	else if (!s->has_status)
		fail(s, DV_INTERNAL, "the answer ends without grpc-status");
	else if (s->code != DV_OK)
		fail(s, s->code, s->message.data ? s->message.data : "");
	else if (dv_grpc_rd_partial(&s->rd))
		fail(s, DV_INTERNAL, "the answer ends inside of a message");
	else if (!s->call->streaming && !s->has_msg)
		fail(s, DV_INTERNAL, "success without an answer");
	else
		succeed(s);
}

/* ---- answers ------------------------------------------------------------ */

static bool is(struct dv_str s, const char *word)
{
	return s.len == strlen(word) && memcmp(s.ptr, word, s.len) == 0;
}

/* What the details carry beside the code and the text is for others. */
static void take_details(struct dv_grpc_ask *s, struct dv_str value)
{
	dv_autobuf raw = DV_BUF_INIT(DV_GRPC_DETAILS_MAX);
	struct dv_grpc_status st;

	if (s->message.len || dv_grpc_base64_decode(&raw, value) < 0 ||
	    dv_grpc_status_decode(raw.data, raw.len, &st) < 0)
		return;
	dv_buf_put(&s->message, st.message.ptr, st.message.len);
}

static void take_text(struct dv_buf *to, struct dv_str value)
{
	dv_buf_reset(to);
	dv_grpc_percent_decode(to, value);
}

static void take_field(struct dv_grpc_ask *s, struct dv_str name,
		       struct dv_str value)
{
	if (is(name, ":status"))
		s->http = (value.ptr[0] - '0') * 100 +
			  (value.ptr[1] - '0') * 10 + (value.ptr[2] - '0');
	else if (is(name, "content-type"))
		s->good_type = dv_grpc_content_type_ok(value);
	else if (is(name, "grpc-message"))
		take_text(&s->message, value);
	else if (is(name, "davit-hint"))
		take_text(&s->hint, value);
	else if (is(name, "grpc-status-details-bin"))
		take_details(s, value);
	else if (is(name, "grpc-status")) {
		s->has_status = true;
		s->code = dv_grpc_code_parse(value);
	}
}

static void take_headers(struct dv_grpc_ask *s, bool end)
{
	if (s->header_len > DV_GRPC_HEADERS_MAX)
		give_up(s, DV_EXHAUSTED, "the header fields are too long");
	else if (end)
		finish(s);
	else if (s->http >= 100 && s->http < 200)
		s->http = 0; /* the real one follows */
	else if (s->http != 200)
		give_up(s, dv_grpc_code_from_http(s->http),
			"the server does not answer by gRPC");
	else if (!s->good_type)
		give_up(s, DV_UNKNOWN, "the answer is not gRPC's content-type");
}

static void take_message(struct dv_grpc_ask *s, const uint8_t *msg, size_t len)
{
	struct dv_rpc_reply reply = {
		.more = true,
		.payload = msg,
		.len = len,
	};

	if (s->call->streaming) {
		dv_rpc_done(s->call, &reply);
		return;
	}
	if (s->has_msg) {
		give_up(s, DV_INTERNAL, "more than one answer");
		return;
	}
	s->has_msg = true;
	s->msg = msg;
	s->msg_len = len;
	if (dv_grpc_rd_keep(&s->rd, &s->msg, len) < 0)
		give_up(s, DV_EXHAUSTED, "no memory for the answer");
}

static void take_data(struct dv_grpc_ask *s, const uint8_t *data, size_t len)
{
	struct dv_h2 *h = &s->client->h2;
	struct dv_rd in = dv_rd_mem(data, len);
	const uint8_t *msg;
	size_t msg_len;
	int r = 0;

	if (s->has_msg) {
		give_up(s, DV_INTERNAL, "more than one answer");
		return;
	}
	/* Each callback may end the call, or everything. */
	while (!h->dead && s->call && in.left > 0 &&
	       (r = dv_grpc_next(&s->rd, &in, &msg, &msg_len)) == 0)
		take_message(s, msg, msg_len);
	if (r >= 0)
		return;
	if (r == -EMSGSIZE)
		give_up(s, DV_EXHAUSTED,
			"a message of the answer is larger than 4 MiB");
	else if (r == -EOPNOTSUPP)
		give_up(s, DV_UNIMPLEMENTED,
			"compressed messages are not accepted");
	else
		give_up(s, DV_INTERNAL, "malformed header of a message");
}

/* ---- what nghttp2 says -------------------------------------------------- */

static int on_begin_frame(nghttp2_session *session, const nghttp2_frame_hd *hd,
			  void *arg)
{
	(void)session;
	dv_h2_count_frame(arg, hd);
	return 0;
}

/* NOLINTNEXTLINE(readability-function-size): nghttp2's parameters */
static int on_header(nghttp2_session *session, const nghttp2_frame *frame,
		     const uint8_t *name, size_t name_len, const uint8_t *value,
		     size_t value_len, uint8_t flags, void *arg)
{
	struct dv_grpc_ask *s = stream_of(session, frame->hd.stream_id);

	(void)flags;
	if (client_of(arg)->h2.dead || !s || !s->call)
		return 0;
	s->header_len += name_len + value_len + 32;
	if (s->header_len <= DV_GRPC_HEADERS_MAX)
		take_field(s, (struct dv_str){ (const char *)name, name_len },
			   (struct dv_str){ (const char *)value, value_len });
	return 0;
}

static int on_frame(nghttp2_session *session, const nghttp2_frame *frame,
		    void *arg)
{
	struct dv_grpc_client *c = client_of(arg);
	bool end = frame->hd.flags & NGHTTP2_FLAG_END_STREAM;
	struct dv_grpc_ask *s;

	if (c->h2.dead)
		return 0;
	if (frame->hd.type == NGHTTP2_GOAWAY)
		dv_grpc_client_part(c);
	if (frame->hd.type != NGHTTP2_HEADERS && frame->hd.type != NGHTTP2_DATA)
		return 0;
	s = stream_of(session, frame->hd.stream_id);
	if (!s || !s->call)
		return 0;
	if (frame->hd.type == NGHTTP2_HEADERS)
		take_headers(s, end);
	else if (end)
		finish(s);
	return 0;
}

static int on_data(nghttp2_session *session, uint8_t flags, int32_t id,
		   const uint8_t *data, size_t len, void *arg)
{
	struct dv_grpc_client *c = client_of(arg);
	struct dv_grpc_ask *s = stream_of(session, id);

	(void)flags;
	dv_h2_count_data(&c->h2);
	nghttp2_session_consume(session, id, len);
	if (!c->h2.dead && s && s->call)
		take_data(s, data, len);
	return 0;
}

static int on_sent(nghttp2_session *session, const nghttp2_frame *frame,
		   void *arg)
{
	(void)session;
	if (frame->hd.type == NGHTTP2_DATA)
		dv_h2_count_data(arg);
	return 0;
}

/* Also of requests that were never sent. */
static int on_close(nghttp2_session *session, int32_t id, uint32_t h2_error,
		    void *arg)
{
	struct dv_grpc_ask *s = stream_of(session, id);
	enum dv_code code = dv_grpc_code_from_reset(h2_error);

	if (!s || client_of(arg)->h2.dead)
		return 0;
	nghttp2_session_set_stream_user_data(session, id, NULL);
	if (s->call && client_of(arg)->going && s->http == 0)
		code = DV_UNAVAILABLE;
	if (s->call && s->call->deadline_ns <= dv_now_ns())
		code = DV_DEADLINE;
	if (s->call)
		fail(s, code, "the server reset the stream");
	/* What the callback did to the connection ends with the turn. */
	dv_grpc_ask_free(s);
	return 0;
}

void dv_grpc_client_callbacks(nghttp2_session_callbacks *cb)
{
	nghttp2_session_callbacks_set_on_begin_frame_callback(cb,
							      on_begin_frame);
	nghttp2_session_callbacks_set_on_header_callback(cb, on_header);
	nghttp2_session_callbacks_set_on_frame_recv_callback(cb, on_frame);
	nghttp2_session_callbacks_set_on_data_chunk_recv_callback(cb, on_data);
	nghttp2_session_callbacks_set_on_frame_send_callback(cb, on_sent);
	nghttp2_session_callbacks_set_on_stream_close_callback(cb, on_close);
}
