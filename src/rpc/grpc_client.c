/* SPDX-License-Identifier: MIT */
/*
 * DOC: a gRPC connection, client side
 *
 * nghttp2 keeps requests back while the server has as many streams as it wants.
 * A stream's memory goes when nghttp2 closes it; its call may be gone long
 * before: answered, cancelled, past its deadline. After a GOAWAY what the
 * server took is finished, the rest fails with DV_UNAVAILABLE, and the
 * connection ends with its last stream; meanwhile the next call dials again.
 */
#include "rpc/grpc_client.h"

#include <errno.h>
#include <string.h>

#include "base/def.h"
#include "base/fd.h"
#include "rpc/grpc.h"

enum {
	METADATA_MAX = 64, /* pairs; as ttrpc's */
	OUR_FIELDS = 8,
	FIELDS_MAX = OUR_FIELDS + METADATA_MAX,
	/* Answers are taken as they come: one in flight may fill this. */
	STREAM_WINDOW = 1 << 20,
	CLIENT_WINDOW = 8 << 20,
	PATH_MAX_LEN = 1024,
	/* Of metadata as base64: nghttp2 sends no longer field, and whoever
	 * receives it takes 8 or 16 KiB in all. */
	BINARY_MAX = 64 << 10,
};

static struct dv_grpc_client *client_of(struct dv_h2 *h)
{
	return dv_container_of(h, struct dv_grpc_client, h2);
}

/* ---- streams ------------------------------------------------------------ */

static struct dv_grpc_ask *ask_new(struct dv_grpc_client *c)
{
	struct dv_grpc_ask *s = calloc(1, sizeof(*s));

	if (!s)
		return NULL;
	s->client = c;
	s->out = (struct dv_buf)DV_BUF_INIT(DV_RPC_SEND_MAX + DV_GRPC_HDR);
	s->message = (struct dv_buf)DV_BUF_INIT(DV_GRPC_MESSAGE_MAX);
	s->hint = (struct dv_buf)DV_BUF_INIT(DV_GRPC_MESSAGE_MAX);
	s->rd = (struct dv_grpc_rd)DV_GRPC_RD_INIT;
	s->next = c->asks;
	s->prevp = &c->asks;
	if (s->next)
		s->next->prevp = &s->next;
	c->asks = s;
	return s;
}

void dv_grpc_ask_free(struct dv_grpc_ask *s)
{
	dv_buf_free(&s->out);
	dv_buf_free(&s->message);
	dv_buf_free(&s->hint);
	dv_grpc_rd_free(&s->rd);
	*s->prevp = s->next;
	if (s->next)
		s->next->prevp = s->prevp;
	free(s);
}

void dv_grpc_ask_reset(struct dv_grpc_ask *s, uint32_t h2_error)
{
	nghttp2_submit_rst_stream(s->client->h2.session, NGHTTP2_FLAG_NONE,
				  s->id, h2_error);
	dv_h2_kick(&s->client->h2);
}

/* ---- requests ----------------------------------------------------------- */

/* NOLINTNEXTLINE(readability-function-size): nghttp2's parameters */
static ssize_t read_request(nghttp2_session *session, int32_t id, uint8_t *buf,
			    size_t len, uint32_t *flags,
			    nghttp2_data_source *source, void *arg)
{
	struct dv_grpc_ask *s = source->ptr;
	size_t n = dv_min(len, s->out.len - s->out_at);

	(void)session;
	(void)id;
	(void)arg;
	memcpy(buf, s->out.data + s->out_at, n);
	s->out_at += n;
	if (s->out_at < s->out.len)
		return (ssize_t)n;
	*flags |= NGHTTP2_DATA_FLAG_EOF;
	dv_buf_free(&s->out);
	s->out_at = 0;
	return (ssize_t)n;
}

static bool good_key(const char *key, bool binary)
{
	static const char letters[] = "abcdefghijklmnopqrstuvwxyz0123456789_.-";
	static const char *const ours[] = { "grpc-", "te", "content-type",
					    "user-agent", "connection" };
	size_t len = strlen(key);

	if (len == 0 || strspn(key, letters) != len)
		return false;
	for (size_t i = 0; i < DV_ARRAY_LEN(ours); i++)
		if (i == 0 ? strncmp(key, ours[i], strlen(ours[i])) == 0
			   : strcmp(key, ours[i]) == 0)
			return false;
	if (len < 4 || strcmp(key + len - 4, "-bin") != 0)
		return !binary;
	return binary && len > 4;
}

static bool good_value(const char *value)
{
	for (; *value; value++)
		if (*value < ' ' || *value > '~')
			return false;
	return true;
}

static int too_many(struct dv_err *err)
{
	return dv_err_set(err, EINVAL, DV_INVALID,
			  "more than %d pairs of metadata", METADATA_MAX);
}

static int not_sent(const char *key, struct dv_err *err)
{
	return dv_err_set(err, EINVAL, DV_INVALID, "metadata %s cannot be sent",
			  key);
}

/* Append metadata to @nv. Returns the number of fields, or -EINVAL. */
static int put_metadata(nghttp2_nv *nv, size_t n, const char *const *metadata,
			struct dv_err *err)
{
	for (; metadata && metadata[0]; metadata += 2, n++) {
		if (n == FIELDS_MAX)
			return too_many(err);
		if (!metadata[1] || !good_key(metadata[0], false) ||
		    !good_value(metadata[1]))
			return not_sent(metadata[0], err);
		nv[n] = dv_h2_field(metadata[0], metadata[1],
				    strlen(metadata[1]));
	}
	return (int)n;
}

/* The same with bytes; @text is where they are encoded, one after the other. */
static int put_binary(nghttp2_nv *nv, size_t n, const struct dv_rpc_call *call,
		      struct dv_buf *text, struct dv_err *err)
{
	size_t total = 0;

	for (size_t i = 0; i < call->n_binary && total <= BINARY_MAX; i++)
		total += dv_min(call->binary[i].len, (size_t)BINARY_MAX) / 3 *
				 4 +
			 4;
	/* All of it at once, so that it stays where it is. */
	if (total > BINARY_MAX || !dv_buf_room(text, total))
		return dv_err_set(err, EINVAL, DV_INVALID,
				  "the metadata is too long");
	for (size_t i = 0; i < call->n_binary; i++, n++) {
		const struct dv_rpc_bytes *b = &call->binary[i];
		size_t at = text->len;

		if (n == FIELDS_MAX)
			return too_many(err);
		if (!good_key(b->key, true))
			return not_sent(b->key, err);
		dv_grpc_base64_encode(text, b->data, b->len);
		nv[n] = dv_h2_field(b->key, text->data + at, text->len - at);
	}
	return (int)n;
}

static int put_body(struct dv_grpc_ask *s, const struct dv_rpc_call *call)
{
	uint8_t hdr[DV_GRPC_HDR];

	dv_grpc_hdr(hdr, call->len);
	dv_buf_room(&s->out, sizeof(hdr) + call->len);
	dv_buf_put(&s->out, hdr, sizeof(hdr));
	return dv_buf_put(&s->out, call->payload, call->len);
}

static int submit(struct dv_grpc_ask *s, const struct dv_rpc_call *call,
		  struct dv_err *err)
{
	static const char agent[] = "davit/" DV_VERSION;
	nghttp2_data_provider from = { { .ptr = s }, read_request };
	dv_autobuf path = DV_BUF_INIT(PATH_MAX_LEN);
	dv_autobuf binary = DV_BUF_INIT(BINARY_MAX);
	char timeout[DV_GRPC_TIMEOUT_LEN];
	nghttp2_nv nv[FIELDS_MAX];
	uint64_t left = dv_rpc_time_left(call);
	size_t n = 0;
	int r;

	dv_buf_putf(&path, "/%s/%s", call->service, call->method);
	if (dv_buf_status(&path) < 0 || put_body(s, call) < 0)
		return dv_err_sys(err, ENOMEM, "send %s", call->method);
	nv[n++] = dv_h2_field(":method", "POST", 4);
	nv[n++] = dv_h2_field(":scheme", "http", 4);
	nv[n++] = dv_h2_field(":path", path.data, path.len);
	nv[n++] = dv_h2_field(":authority", "localhost", 9);
	nv[n++] = dv_h2_field("te", "trailers", 8);
	nv[n++] = dv_h2_field("content-type", "application/grpc+proto", 22);
	nv[n++] = dv_h2_field("user-agent", agent, sizeof(agent) - 1);
	if (left) {
		dv_grpc_timeout_format(timeout, left);
		nv[n++] = dv_h2_field("grpc-timeout", timeout, strlen(timeout));
	}
	r = put_metadata(nv, n, call->metadata, err);
	if (r >= 0 && call->n_binary)
		r = put_binary(nv, (size_t)r, call, &binary, err);
	if (r < 0)
		return r;
	s->id = nghttp2_submit_request(s->client->h2.session, NULL, nv,
				       (size_t)r, &from, s);
	if (s->id == NGHTTP2_ERR_STREAM_ID_NOT_AVAILABLE) {
		dv_grpc_client_part(s->client);
		return dv_err_set(err, ECONNRESET, DV_UNAVAILABLE,
				  "the connection has no numbers left");
	}
	return s->id < 0 ? dv_err_sys(err, ENOMEM, "send %s", call->method) : 0;
}

static int grpc_send(struct dv_rpc *rpc, struct dv_rpc_call *call,
		     struct dv_err *err)
{
	struct dv_grpc_client *c = rpc->conn;
	struct dv_grpc_ask *s;
	int r;

	if (call->n_fds)
		return dv_err_set(err, EOPNOTSUPP, DV_UNIMPLEMENTED,
				  "gRPC carries no descriptors");
	s = ask_new(c);
	if (!s)
		return dv_err_sys(err, ENOMEM, "send %s", call->method);
	r = submit(s, call, err);
	if (r < 0) {
		dv_grpc_ask_free(s);
		return r;
	}
	s->call = call;
	call->stream = (uint32_t)s->id;
	call->stream_data = s;
	/* Inside the loop, one write takes all requests of a batch. */
	if (dv_loop_busy(rpc->loop))
		dv_h2_kick(&c->h2);
	else
		dv_h2_flush(&c->h2);
	return 0;
}

static void grpc_cancel(struct dv_rpc *rpc, struct dv_rpc_call *call)
{
	struct dv_grpc_ask *s = call->stream_data;

	(void)rpc;
	s->call = NULL;
	dv_grpc_ask_reset(s, NGHTTP2_CANCEL);
}

/* ---- life of a connection ----------------------------------------------- */

static void ended(struct dv_h2 *h, const struct dv_err *err)
{
	struct dv_grpc_client *c = client_of(h);

	dv_rpc_lost(c->rpc, c, err);
}

void dv_grpc_client_part(struct dv_grpc_client *c)
{
	struct dv_rpc *rpc = c->rpc;

	if (c->going)
		return;
	c->going = true;
	c->next = rpc->parted;
	rpc->parted = c;
	dv_rpc_part(rpc);
	dv_h2_kick(&c->h2); /* it may have nothing left to wait for */
}

static bool turn(struct dv_h2 *h)
{
	(void)h;
	return false;
}

/* A server that sends no more has no answers for us. */
static bool half_closed(struct dv_h2 *h)
{
	(void)h;
	return false;
}

static void client_free(struct dv_h2 *h)
{
	struct dv_grpc_client *c = client_of(h);

	while (c->asks)
		dv_grpc_ask_free(c->asks);
	free(c);
}

static const struct dv_h2_ops h2_ops = { ended, turn, half_closed,
					 client_free };

static int make_session(struct dv_grpc_client *c)
{
	nghttp2_session_callbacks *cb;
	nghttp2_option *opt = dv_h2_options();
	int r = -ENOMEM;

	if (opt && nghttp2_session_callbacks_new(&cb) == 0) {
		dv_grpc_client_callbacks(cb);
		if (nghttp2_session_client_new2(&c->h2.session, cb, &c->h2,
						opt) == 0)
			r = 0;
		nghttp2_session_callbacks_del(cb);
	}
	nghttp2_option_del(opt);
	return r;
}

static int send_settings(struct dv_grpc_client *c)
{
	static const nghttp2_settings_entry iv[] = {
		{ NGHTTP2_SETTINGS_ENABLE_PUSH, 0 },
		{ NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, STREAM_WINDOW },
		{ NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, DV_GRPC_HEADERS_MAX },
	};

	if (nghttp2_submit_settings(c->h2.session, NGHTTP2_FLAG_NONE, iv,
				    DV_ARRAY_LEN(iv)) != 0 ||
	    nghttp2_session_set_local_window_size(
		    c->h2.session, NGHTTP2_FLAG_NONE, 0, CLIENT_WINDOW) != 0)
		return -ENOMEM;
	dv_h2_kick(&c->h2);
	return 0;
}

static int grpc_open(struct dv_rpc *rpc, int fd, struct dv_err *err)
{
	struct dv_grpc_client *c = calloc(1, sizeof(*c));
	int r;

	if (!c) {
		dv_close(fd);
		return dv_err_sys(err, ENOMEM, "connection");
	}
	c->rpc = rpc;
	r = dv_h2_init(&c->h2, rpc->loop, fd, &h2_ops);
	if (r == 0)
		r = make_session(c);
	if (r == 0)
		r = send_settings(c);
	if (r < 0) {
		dv_h2_close(&c->h2);
		return dv_err_sys(err, -r, "connection");
	}
	rpc->conn = c;
	return 0;
}

static void grpc_close(struct dv_rpc *rpc)
{
	struct dv_grpc_client *c = rpc->conn;

	rpc->conn = NULL;
	dv_h2_close(&c->h2);
}

static void grpc_close_parted(struct dv_rpc *rpc, void *conn)
{
	struct dv_grpc_client *c = rpc->parted, *kept = NULL, *next;

	rpc->parted = NULL;
	for (; c; c = next) {
		next = c->next;
		if (!conn || c == conn) {
			dv_h2_close(&c->h2);
			continue;
		}
		c->next = kept;
		kept = c;
	}
	rpc->parted = kept;
}

static int grpc_fd(const struct dv_rpc *rpc)
{
	const struct dv_grpc_client *c = rpc->conn;

	return c->h2.fd;
}

const struct dv_rpc_ops dv_grpc_client_ops = {
	.open = grpc_open,
	.send = grpc_send,
	.cancel = grpc_cancel,
	.close = grpc_close,
	.close_parted = grpc_close_parted,
	.fd = grpc_fd,
};
