/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <string.h>

#include "base/def.h"
#include "base/fmt.h"
#include "rpc/grpc_server.h"

static nghttp2_session *session_of(struct dv_grpc_stream *s)
{
	return s->conn->h2.session;
}

void dv_grpc_drop_answers(struct dv_grpc_stream *s)
{
	s->conn->out_held -= s->out.len - s->out_at;
	dv_buf_free(&s->out);
	s->out_at = 0;
	if (s->wants_room)
		s->conn->n_want_room--;
	s->wants_room = false;
}

void dv_grpc_reset(struct dv_grpc_stream *s, uint32_t h2_error)
{
	dv_grpc_drop_request(s);
	dv_grpc_drop_answers(s);
	s->state = DV_GRPC_CLOSING;
	nghttp2_submit_rst_stream(session_of(s), NGHTTP2_FLAG_NONE, s->id,
				  h2_error);
	dv_h2_kick(&s->conn->h2);
}

/* ---- statuses ----------------------------------------------------------- */

/* A message of which every byte is escaped, and base64 of it and its tags. */
enum { TEXT_MAX = 3 * sizeof(struct dv_err), FIELDS_MAX = 6 };

struct status_text {
	char code[4];
	struct dv_buf message, details, hint;
};

static void status_text_free(struct status_text *t)
{
	dv_buf_free(&t->message);
	dv_buf_free(&t->details);
	dv_buf_free(&t->hint);
}

static int status_text_make(struct status_text *t, const struct dv_err *err)
{
	struct dv_str msg = { err->msg, strlen(err->msg) };
	struct dv_grpc_status st = { err->code, msg };
	struct dv_str hint = { err->hint, strlen(err->hint) };
	dv_autobuf raw = DV_BUF_INIT(TEXT_MAX);

	dv_fmt(t->code, sizeof(t->code), "%d", (int)err->code);
	t->message = (struct dv_buf)DV_BUF_INIT(TEXT_MAX);
	t->details = (struct dv_buf)DV_BUF_INIT(TEXT_MAX);
	t->hint = (struct dv_buf)DV_BUF_INIT(TEXT_MAX);
	if (err->code == DV_OK)
		return 0;
	if (dv_grpc_percent_encode(&t->message, msg) < 0 ||
	    dv_grpc_status_encode(&raw, &st) < 0 ||
	    dv_grpc_base64_encode(&t->details, raw.data, raw.len) < 0 ||
	    dv_grpc_percent_encode(&t->hint, hint) < 0)
		return -ENOMEM;
	return 0;
}

static size_t status_fields(nghttp2_nv *nv, const struct status_text *t)
{
	size_t n = 0;

	nv[n++] = dv_h2_field("grpc-status", t->code, strlen(t->code));
	if (t->message.len)
		nv[n++] = dv_h2_field("grpc-message", t->message.data,
				      t->message.len);
	if (t->details.len)
		nv[n++] = dv_h2_field("grpc-status-details-bin",
				      t->details.data, t->details.len);
	if (t->hint.len)
		nv[n++] = dv_h2_field("davit-hint", t->hint.data, t->hint.len);
	return n;
}

static size_t response_fields(nghttp2_nv *nv, const char *http)
{
	static const char type[] = "application/grpc+proto";

	nv[0] = dv_h2_field(":status", http, strlen(http));
	nv[1] = dv_h2_field("content-type", type, sizeof(type) - 1);
	return 2;
}

static int submit_status_only(struct dv_grpc_stream *s, const char *http,
			      const struct dv_err *err)
{
	struct status_text text;
	nghttp2_nv nv[FIELDS_MAX];
	size_t n;
	int r = status_text_make(&text, err);

	if (r == 0) {
		n = response_fields(nv, http);
		n += status_fields(nv + n, &text);
		r = nghttp2_submit_response(session_of(s), s->id, nv, n, NULL);
	}
	status_text_free(&text);
	return r;
}

static int submit_trailers(struct dv_grpc_stream *s)
{
	static const struct dv_err ok = DV_ERR_INIT;
	struct status_text text;
	nghttp2_nv nv[FIELDS_MAX];
	int r = status_text_make(&text, s->err ? s->err : &ok);

	if (r == 0)
		r = nghttp2_submit_trailer(session_of(s), s->id, nv,
					   status_fields(nv, &text));
	status_text_free(&text);
	return r;
}

/* ---- messages ----------------------------------------------------------- */

/* nghttp2 can send up to @len bytes of DATA. */
/* NOLINTNEXTLINE(readability-function-size): nghttp2's parameters */
static ssize_t read_answer(nghttp2_session *session, int32_t id, uint8_t *buf,
			   size_t len, uint32_t *flags,
			   nghttp2_data_source *source, void *arg)
{
	struct dv_grpc_stream *s = source->ptr;
	size_t n = dv_min(len, s->out.len - s->out_at);

	(void)session;
	(void)id;
	(void)arg;
	if (n > 0)
		memcpy(buf, s->out.data + s->out_at, n);
	s->out_at += n;
	s->conn->out_held -= n;
	if (s->out_at < s->out.len)
		return (ssize_t)n;
	if (s->ended || s->out.cap > DV_RPC_KEEP_LEN)
		dv_buf_free(&s->out);
	else
		dv_buf_reset(&s->out);
	s->out_at = 0;
	if (s->ended) {
		*flags |=
			NGHTTP2_DATA_FLAG_EOF | NGHTTP2_DATA_FLAG_NO_END_STREAM;
		if (submit_trailers(s) != 0)
			return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
		s->state = DV_GRPC_CLOSING;
	} else if (n == 0) {
		return NGHTTP2_ERR_DEFERRED;
	}
	return (ssize_t)n;
}

/* Begin a response, or go on with it. */
static int go_on(struct dv_grpc_stream *s)
{
	nghttp2_data_provider from = { { .ptr = s }, read_answer };
	nghttp2_nv nv[FIELDS_MAX];
	int r = 0;

	if (s->state == DV_GRPC_ANSWERING) {
		/* Fails when it was not deferred: it goes on by itself. */
		nghttp2_session_resume_data(session_of(s), s->id);
	} else {
		r = nghttp2_submit_response(session_of(s), s->id, nv,
					    response_fields(nv, "200"), &from);
		s->state = DV_GRPC_ANSWERING;
	}
	dv_h2_kick(&s->conn->h2);
	return r == 0 ? 0 : -ENOMEM;
}

static int put_message(struct dv_grpc_stream *s, const struct dv_body *body,
		       struct dv_err *err)
{
	uint8_t hdr[DV_GRPC_HDR];
	size_t len, old = s->out.len;
	int r = dv_body_size(body, &len, err);

	if (r < 0)
		return r;
	if (s->conn->out_held + sizeof(hdr) + len > DV_RPC_QUEUE_HARD)
		return dv_err_set(err, ENOBUFS, DV_EXHAUSTED,
				  "%zu bytes of answers were not read yet",
				  s->conn->out_held);
	if (s->out_at > DV_GRPC_STREAM_ROOM) {
		dv_buf_drop(&s->out, s->out_at);
		old -= s->out_at;
		s->out_at = 0;
	}
	dv_grpc_hdr(hdr, len);
	if (!dv_buf_room(&s->out, sizeof(hdr) + len) ||
	    dv_buf_put(&s->out, hdr, sizeof(hdr)) < 0)
		return dv_err_sys(err, -dv_buf_status(&s->out),
				  "queue an answer");
	r = dv_body_put(body, len, &s->out, err);
	if (r < 0) {
		s->out.len = old;
		return r;
	}
	s->conn->out_held += s->out.len - old;
	return 0;
}

/* ---- what handlers do --------------------------------------------------- */

static int op_answer(struct dv_inflight *f, const struct dv_body *body,
		     const int *fds, size_t n_fds, struct dv_err *err)
{
	struct dv_grpc_stream *s = f->stream_data;
	int r;

	(void)fds;
	if (s->state == DV_GRPC_CLOSING)
		return 0;
	if (n_fds > 0)
		return dv_err_set(err, EOPNOTSUPP, DV_UNIMPLEMENTED,
				  "gRPC carries no descriptors");
	r = put_message(s, body, err);
	if (r < 0)
		return r;
	s->ended = true;
	if (go_on(s) < 0)
		dv_grpc_reset(s, NGHTTP2_INTERNAL_ERROR);
	return 0;
}

static void op_fail(struct dv_inflight *f, const struct dv_err *err)
{
	dv_grpc_refuse(f->stream_data, "200", err);
}

static int op_message(struct dv_inflight *f, const struct dv_body *body,
		      struct dv_err *err)
{
	struct dv_grpc_stream *s = f->stream_data;
	int r;

	if (s->state == DV_GRPC_CLOSING)
		return dv_err_set(err, ECANCELED, DV_CANCELLED,
				  "the stream was reset");
	r = put_message(s, body, err);
	if (r < 0)
		return r;
	if (go_on(s) < 0)
		return dv_err_sys(err, ENOMEM, "queue an answer");
	if (s->out.len - s->out_at < DV_GRPC_STREAM_FULL &&
	    s->conn->out_held < DV_RPC_QUEUE_SOFT)
		return 0;
	s->conn->n_want_room += !s->wants_room;
	s->wants_room = true;
	return DV_MORE;
}

static void op_end(struct dv_inflight *f)
{
	struct dv_grpc_stream *s = f->stream_data;

	if (s->state == DV_GRPC_CLOSING)
		return;
	s->ended = true;
	if (go_on(s) < 0)
		dv_grpc_reset(s, NGHTTP2_INTERNAL_ERROR);
}

const struct dv_call_ops dv_grpc_call_ops = {
	.answer = op_answer,
	.fail = op_fail,
	.message = op_message,
	.end = op_end,
};

bool dv_grpc_give_room(struct dv_grpc_conn *c)
{
	bool any = false;

	for (struct dv_grpc_stream *s = c->streams;
	     s && c->n_want_room && !c->h2.dead; s = s->next) {
		struct dv_inflight *f;

		if (c->out_held >= DV_RPC_QUEUE_SOFT)
			break;
		if (!s->wants_room ||
		    s->out.len - s->out_at > DV_GRPC_STREAM_ROOM)
			continue;
		s->wants_room = false;
		c->n_want_room--;
		f = dv_conn_find(&c->base, (uint32_t)s->id);
		if (f)
			dv_inflight_ready(f);
		any = true;
	}
	return any;
}

/* ---- failures ----------------------------------------------------------- */

/* After messages: the status comes behind them. */
static int fail_late(struct dv_grpc_stream *s, const struct dv_err *err)
{
	/* Past its deadline nobody reads what is queued, and it may never
	 * leave: the client's window can stay shut for good. */
	if (err->code == DV_DEADLINE && s->out.len > s->out_at)
		return -ETIMEDOUT;
	s->err = malloc(sizeof(*s->err));
	if (!s->err)
		return -ENOMEM;
	*s->err = *err;
	s->ended = true;
	return go_on(s);
}

void dv_grpc_refuse(struct dv_grpc_stream *s, const char *http,
		    const struct dv_err *err)
{
	int r;

	if (s->state == DV_GRPC_CLOSING || s->ended)
		return;
	dv_grpc_drop_request(s);
	if (s->state == DV_GRPC_ANSWERING) {
		r = fail_late(s, err);
	} else {
		r = submit_status_only(s, http, err);
		s->state = DV_GRPC_CLOSING;
		dv_h2_kick(&s->conn->h2);
	}
	if (r != 0)
		dv_grpc_reset(s, r == -ETIMEDOUT ? NGHTTP2_CANCEL
						 : NGHTTP2_INTERNAL_ERROR);
}

void dv_grpc_refuse_code(struct dv_grpc_stream *s, enum dv_code code,
			 const char *text)
{
	struct dv_err err = DV_ERR_INIT;

	dv_err_set(&err, 0, code, "%s", text);
	dv_grpc_refuse(s, "200", &err);
}
