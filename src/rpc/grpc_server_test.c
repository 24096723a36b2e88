/* SPDX-License-Identifier: MIT */
/*
 * A gRPC server and peers that mean no good, or are cut off. What real peers
 * make of it is in tests/grpc.bats.
 */
#include <nghttp2/nghttp2.h>

#include "rpc/grpc_try.h"
#include "rpc/limits.h"
#include "rpc/server.h"
#include "wire/diag.pb.h"
#include "wire/grpc.h"

#define MIB (1 << 20)

static struct {
	struct dv_loop *loop;
	struct dv_server *server;
	unsigned int n_calls, n_cancelled, n_ready;
	struct dv_call *held;
	int left; /* messages of the stream */
} t;

static void do_unary(struct dv_call *call)
{
	const dv_diag_WaitRequest *rq = call->req;
	dv_diag_WaitResponse rs = { .exit_code = rq->pid };

	t.n_calls++;
	dv_call_reply(call, &rs);
}

static void on_cancel(struct dv_call *call)
{
	t.n_cancelled++;
	if (t.held == call)
		t.held = NULL;
}

static void do_hang(struct dv_call *call)
{
	t.n_calls++;
	t.held = call;
	dv_call_hold(call, NULL, on_cancel);
}

static void do_big(struct dv_call *call)
{
	const dv_diag_WaitRequest *rq = call->req;
	dv_autofree char *data = calloc(1, (size_t)rq->pid);

	t.n_calls++;
	dv_call_reply_bytes(call, data, (size_t)rq->pid);
}

static void flow(struct dv_call *call)
{
	static char text[10001];
	dv_diag_FileRequest msg = { .file_path = text };
	int r = 0;

	t.n_ready++;
	memset(text, 'x', sizeof(text) - 1);
	while (r == 0 && t.left > 0) {
		t.left--;
		r = dv_call_send(call, &msg, flow);
	}
	if (r == 0)
		dv_call_end(call);
}

static void do_stream(struct dv_call *call)
{
	const dv_diag_WaitRequest *rq = call->req;

	t.left = rq->pid;
	dv_call_hold(call, NULL, on_cancel);
	flow(call);
}

#define WAIT_IN dv_diag_WaitRequest_fields, sizeof(dv_diag_WaitRequest)
static const struct dv_method methods[] = {
	{ "Unary", do_unary, WAIT_IN, dv_diag_WaitResponse_fields, 0 },
	{ "Hang", do_hang, NULL, 0, NULL, 0 },
	{ "Big", do_big, WAIT_IN, NULL, 0 },
	{ "Stream", do_stream, WAIT_IN, dv_diag_FileRequest_fields,
	  DV_M_STREAM },
};
static DV_SERVICE(service, "t.T", methods);

static void begin(void)
{
	memset(&t, 0, sizeof(t));
	CHECK_EQ(dv_loop_new(&t.loop), 0);
	CHECK_EQ(dv_server_new(&t.server, t.loop, NULL, NULL), 0);
	CHECK_EQ(dv_server_add(t.server, &service, NULL), 0);
}

static void end(void)
{
	dv_server_free(t.server);
	dv_loop_free(t.loop);
}

static unsigned int n_conns(void)
{
	struct dv_server_stats stats;

	dv_server_stats(t.server, &stats);
	return stats.conns;
}

static struct raw join(const void *head, size_t len)
{
	struct raw w = { .loop = t.loop, .heard = TRY_BUF };
	int fds[2];

	w.heard.max = 64 << 20;
	CHECK_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK,
			    0, fds),
		 0);
	w.fd = fds[0];
	CHECK_EQ(dv_server_take(t.server, fds[1], DV_PROTO_GRPC, NULL, head,
				len, NULL, 0),
		 0);
	return w;
}

static void leave(struct raw *w)
{
	dv_close(w->fd);
	dv_buf_free(&w->heard);
	while (dv_loop_dispatch(t.loop, 0) > 0)
		;
}

static void put_hello(struct dv_buf *b)
{
	dv_buf_puts(b, TRY_PREFACE);
	put_frame(b, F_SETTINGS, 0, 0, NULL, 0);
}

static void put_open(struct dv_buf *b, uint32_t stream, const char *method,
		     const char *timeout)
{
	dv_autobuf path = TRY_BUF;
	const char *fields[] = { ":method",
				 "POST",
				 ":scheme",
				 "http",
				 ":path",
				 NULL,
				 ":authority",
				 "x",
				 "te",
				 "trailers",
				 "content-type",
				 "application/grpc",
				 timeout ? "grpc-timeout" : NULL,
				 timeout,
				 NULL };

	dv_buf_putf(&path, "/t.T/%s", method);
	fields[5] = path.data;
	put_headers(b, stream, 0, fields);
}

/* WaitRequest{pid: n} */
static size_t number(uint8_t p[8], uint32_t n)
{
	size_t len = 0;

	for (p[len++] = 8; n > 0x7f; n >>= 7)
		p[len++] = (uint8_t)(n | 0x80);
	p[len++] = (uint8_t)n;
	return len;
}

static void put_call(struct dv_buf *b, uint32_t stream, const char *method,
		     uint32_t n)
{
	uint8_t msg[8];
	size_t len = number(msg, n);

	put_open(b, stream, method, NULL);
	put_message(b, stream, END_STREAM, msg, n ? len : 0);
}

/*
 * The grpc-status on @stream: of its last HEADERS. Our own answers have fields
 * that nghttp2 may compress, so it inflates them again.
 */
static int status_of(const struct raw *w, uint32_t stream, char http[4])
{
	nghttp2_hd_inflater *inf;
	struct dv_rd rd = dv_rd_mem(w->heard.data, w->heard.len);
	int status = -1;

	CHECK_EQ(nghttp2_hd_inflate_new(&inf), 0);
	while (rd.left >= 9) {
		uint32_t word = dv_rd_be32(&rd), id;
		const uint8_t *p;
		size_t left = word >> 8;
		nghttp2_nv nv;
		int flags = 0;

		dv_rd_u8(&rd);
		id = dv_rd_be32(&rd);
		p = dv_rd_bytes(&rd, left);
		if (!dv_rd_ok(&rd))
			break;
		while ((word & 0xff) == F_HEADERS &&
		       !(flags & NGHTTP2_HD_INFLATE_FINAL)) {
			ssize_t n = nghttp2_hd_inflate_hd2(inf, &nv, &flags, p,
							   left, 1);

			CHECK(n >= 0);
			p += n;
			left -= (size_t)n;
			if (!(flags & NGHTTP2_HD_INFLATE_EMIT) || id != stream)
				continue;
			if (strcmp((char *)nv.name, "grpc-status") == 0)
				status = (int)dv_grpc_code_parse(
					(struct dv_str){ (char *)nv.value,
							 nv.valuelen });
			if (http && strcmp((char *)nv.name, ":status") == 0)
				memcpy(http, nv.value, 4);
		}
		nghttp2_hd_inflate_end_headers(inf);
	}
	nghttp2_hd_inflate_del(inf);
	return status;
}

/* The connection still does its work. */
static void check_lives(struct raw *w, uint32_t stream)
{
	dv_autobuf b = TRY_BUF;

	put_call(&b, stream, "Unary", 5);
	raw_say(w, &b);
	CHECK_EQ(status_of(w, stream, NULL), DV_OK);
}

/* ---- good sessions ------------------------------------------------------ */

TEST(session_split_at_every_byte_is_answered)
{
	dv_autobuf all = TRY_BUF;

	begin();
	put_hello(&all);
	put_call(&all, 1, "Unary", 1234);
	for (size_t cut = 0; cut <= all.len; cut++) {
		dv_autobuf rest = TRY_BUF;
		/* What was read already is a part as good as any. */
		struct raw w = join(all.data, cut);
		struct heard h;

		raw_settle(&w);
		dv_buf_put(&rest, all.data + cut, all.len - cut);
		raw_say(&w, &rest);
		CHECK_EQ(status_of(&w, 1, NULL), DV_OK);
		CHECK(raw_find(&w, F_DATA, 1, 0, &h));
		/* TV25 with a response in it: 1234 in field 1. */
		CHECK_EQ(h.len, 8);
		assert_memory_equal(h.data, "\0\0\0\0\3\x08\xd2\x09", 8);
		leave(&w);
	}
	CHECK_EQ(n_conns(), 0);
	end();
}

TEST(session_truncated_at_every_byte_ends_quietly)
{
	dv_autobuf all = TRY_BUF;
	unsigned int before = 0;

	begin();
	put_hello(&all);
	put_call(&all, 1, "Hang", 0);
	for (int half = 0; half < 2; half++)
		for (size_t cut = 0; cut < all.len; cut++) {
			struct raw w = join(all.data, cut);

			raw_settle(&w);
			if (half)
				shutdown(w.fd, SHUT_WR);
			raw_settle(&w);
			CHECK(w.eof == (half != 0));
			leave(&w);
			CHECK_EQ(n_conns(), 0);
		}
	CHECK_EQ(t.n_calls, before);
	end();
}

TEST(half_close_after_the_request_is_still_answered)
{
	dv_autobuf b = TRY_BUF;
	struct raw w;

	begin();
	w = join(NULL, 0);
	put_hello(&b);
	put_call(&b, 1, "Hang", 0);
	raw_say(&w, &b);
	shutdown(w.fd, SHUT_WR);
	raw_settle(&w);
	CHECK_EQ(n_conns(), 1);
	CHECK(t.held);
	dv_call_reply(t.held, NULL);
	raw_settle(&w);
	CHECK_EQ(status_of(&w, 1, NULL), DV_OK);
	CHECK(w.eof);
	CHECK_EQ(n_conns(), 0);
	leave(&w);
	end();
}

TEST(ping_is_answered)
{
	dv_autobuf b = TRY_BUF;
	struct heard h;
	struct raw w;

	begin();
	w = join(NULL, 0);
	put_hello(&b);
	put_frame(&b, F_PING, 0, 0, "12345678", 8);
	raw_say(&w, &b);
	CHECK(raw_find(&w, F_PING, 0, 0, &h));
	CHECK_EQ(h.flags, ACK);
	assert_memory_equal(h.data, "12345678", 8);
	leave(&w);
	end();
}

TEST(reset_cancels_the_held_call)
{
	dv_autobuf b = TRY_BUF;
	struct raw w;

	begin();
	w = join(NULL, 0);
	put_hello(&b);
	put_call(&b, 1, "Hang", 0);
	raw_say(&w, &b);
	CHECK_EQ(t.n_calls, 1);
	put_u32_frame(&b, F_RST, 1, NGHTTP2_CANCEL);
	raw_say(&w, &b);
	CHECK_EQ(t.n_cancelled, 1);
	check_lives(&w, 3);
	leave(&w);
	end();
}

TEST(hang_up_cancels_the_held_call)
{
	dv_autobuf b = TRY_BUF;
	struct raw w;

	begin();
	w = join(NULL, 0);
	put_hello(&b);
	put_call(&b, 1, "Hang", 0);
	raw_say(&w, &b);
	leave(&w);
	CHECK_EQ(t.n_cancelled, 1);
	CHECK_EQ(n_conns(), 0);
	end();
}

TEST(deadline_ends_a_held_call_with_its_status)
{
	dv_autobuf b = TRY_BUF;
	struct raw w;

	begin();
	w = join(NULL, 0);
	put_hello(&b);
	put_open(&b, 1, "Hang", "500m"); /* time enough to begin */
	put_message(&b, 1, END_STREAM, NULL, 0);
	raw_say(&w, &b);
	raw_wait(&w, F_HEADERS, 1, 0);
	CHECK_EQ(status_of(&w, 1, NULL), DV_DEADLINE);
	CHECK_EQ(t.n_cancelled, 1);
	leave(&w);
	end();
}

TEST(deadline_ends_a_request_that_never_becomes_whole)
{
	dv_autobuf b = TRY_BUF;
	struct raw w;

	begin();
	w = join(NULL, 0);
	put_hello(&b);
	put_open(&b, 1, "Unary", "20m");
	put_open(&b, 3, "Unary", "0n");
	raw_say(&w, &b);
	CHECK_EQ(status_of(&w, 3, NULL), DV_DEADLINE);
	raw_wait(&w, F_RST, 1, 0); /* no more of it is wanted */
	CHECK_EQ(status_of(&w, 1, NULL), DV_DEADLINE);
	CHECK_EQ(raw_reset(&w, 1), NGHTTP2_NO_ERROR);
	check_lives(&w, 5);
	leave(&w);
	end();
}

TEST(drain_says_goaway_and_finishes_what_it_has)
{
	dv_autobuf b = TRY_BUF;
	struct raw w;

	begin();
	w = join(NULL, 0);
	put_hello(&b);
	put_call(&b, 1, "Hang", 0);
	raw_say(&w, &b);
	dv_server_drain(t.server);
	raw_settle(&w);
	CHECK_EQ(raw_goaway(&w), NGHTTP2_NO_ERROR);
	put_call(&b, 3, "Unary", 7); /* behind the last one: ignored */
	raw_say(&w, &b);
	CHECK_EQ(t.n_calls, 1);
	dv_call_reply(t.held, NULL);
	raw_settle(&w);
	CHECK_EQ(status_of(&w, 1, NULL), DV_OK);
	CHECK(w.eof);
	CHECK_EQ(dv_server_flush(t.server), 0);
	leave(&w);
	end();
}

/* ---- bad requests: their stream only ------------------------------------ */

TEST(request_with_bad_fields_gets_its_http_status)
{
	static const struct {
		const char *fields[16];
		const char *http;
		int status;
	} rows[] = {
		{ { ":method", "GET", ":authority", "x", ":scheme", "http",
		    ":path", "/t.T/Unary", "content-type", "application/grpc",
		    NULL },
		  "405",
		  DV_INTERNAL },
		{ { ":method", "POST", ":authority", "x", ":scheme", "http",
		    ":path", "/t.T/Unary", "content-type", "application/json",
		    NULL },
		  "415",
		  DV_INTERNAL },
		{ { ":method", "POST", ":authority", "x", ":scheme", "http",
		    ":path", "/t.T/Unary", NULL },
		  "415",
		  DV_INTERNAL },
		{ { ":method", "POST", ":authority", "x", ":scheme", "http",
		    ":path", "/t.T", "content-type", "application/grpc", NULL },
		  "404",
		  DV_UNIMPLEMENTED },
		{ { ":method", "POST", ":authority", "x", ":scheme", "http",
		    ":path", "/t.T/No", "content-type", "application/grpc",
		    NULL },
		  "200",
		  DV_UNIMPLEMENTED },
		{ { ":method", "POST", ":authority", "x", ":scheme", "http",
		    ":path", "/t.T/Unary", "content-type", "application/grpc",
		    "grpc-timeout", "5s", NULL },
		  "400",
		  DV_INTERNAL },
		{ { ":method", "POST", ":authority", "x", ":scheme", "http",
		    ":path", "/t.T/Unary", "content-type", "application/grpc",
		    "x-bin", "AAE=,?", NULL },
		  "400",
		  DV_INTERNAL },
	};
	dv_autobuf b = TRY_BUF;
	struct raw w;

	begin();
	w = join(NULL, 0);
	put_hello(&b);
	for (uint32_t i = 0; i < DV_ARRAY_LEN(rows); i++) {
		char http[4] = "";

		put_headers(&b, 2 * i + 1, 0, rows[i].fields);
		put_message(&b, 2 * i + 1, END_STREAM, NULL, 0);
		raw_say(&w, &b);
		CHECK_EQ(status_of(&w, 2 * i + 1, http), rows[i].status);
		CHECK_STR(http, rows[i].http);
	}
	check_lives(&w, 99);
	CHECK_EQ(t.n_calls, 1);
	leave(&w);
	end();
}

TEST(message_that_is_bad_ends_its_stream_only)
{
	static const struct {
		const char *data;
		size_t len;
		int status;
	} rows[] = {
		{ "\1\0\0\0\1x", 6, DV_UNIMPLEMENTED },    /* compressed */
		{ "\2\0\0\0\1x", 6, DV_INTERNAL },         /* no such flag */
		{ "\0\0\x40\0\1", 5, DV_EXHAUSTED },       /* 4 MiB + 1 */
		{ "\0\xff\xff\xff\xff", 5, DV_EXHAUSTED }, /* 4 GiB */
		{ "\0\0\0\0\3\x08\x01", 7, DV_INTERNAL },  /* cut */
		{ "\0\0\0", 3, DV_INTERNAL },              /* cut earlier */
		{ "", 0, DV_UNIMPLEMENTED },               /* none */
		{ "\0\0\0\0\0\0\0\0\0\0", 10, DV_UNIMPLEMENTED }, /* two */
		{ "\0\0\0\0\2\x08\xff", 7, DV_INVALID },          /* protobuf */
	};
	dv_autobuf b = TRY_BUF;
	struct raw w;

	begin();
	w = join(NULL, 0);
	put_hello(&b);
	for (uint32_t i = 0; i < DV_ARRAY_LEN(rows); i++) {
		put_open(&b, 2 * i + 1, "Unary", NULL);
		put_frame(&b, F_DATA, END_STREAM, 2 * i + 1, rows[i].data,
			  rows[i].len);
		raw_say(&w, &b);
		CHECK_EQ(status_of(&w, 2 * i + 1, NULL), rows[i].status);
	}
	CHECK_EQ(t.n_calls, 0);
	check_lives(&w, 99);
	leave(&w);
	end();
}

TEST(header_list_too_long_ends_its_call_only)
{
	static char value[8000];
	static const char *const fields[] = {
		":method", "POST",  ":authority", "x", ":scheme",
		"http",    ":path", "/t.T/Unary", "a", value,
		"b",       value,   NULL
	};
	dv_autobuf b = TRY_BUF, block = TRY_BUF;
	struct raw w;

	begin();
	w = join(NULL, 0);
	put_hello(&b);
	memset(value, 'v', sizeof(value) - 1);
	for (const char *const *f = fields; f[0]; f += 2)
		put_field(&block, f[0], f[1]);
	put_field(&block, "content-type", "application/grpc");
	put_field(&block, "c", value);
	put_frame(&b, F_HEADERS, 0, 1, block.data, 16000);
	put_frame(&b, F_CONT, END_HEADERS, 1, block.data + 16000,
		  block.len - 16000);
	put_message(&b, 1, END_STREAM, NULL, 0);
	raw_say(&w, &b);
	CHECK_EQ(status_of(&w, 1, NULL), DV_EXHAUSTED);
	check_lives(&w, 3);
	leave(&w);
	end();
}

/* ---- bad peers: their connection only ----------------------------------- */

/* A second connection that must not notice anything. */
static void check_ends(struct dv_buf *b, int goaway)
{
	dv_autobuf hello = TRY_BUF;
	struct raw other, w;

	begin();
	other = join(NULL, 0);
	put_hello(&hello);
	raw_say(&other, &hello);
	w = join(NULL, 0);
	raw_say(&w, b);
	CHECK(w.eof);
	CHECK_EQ(n_conns(), 1);
	if (goaway >= 0)
		CHECK_EQ(raw_goaway(&w), goaway);
	leave(&w);
	check_lives(&other, 1);
	leave(&other);
	end();
}

TEST(garbage_instead_of_the_preface_ends_the_connection)
{
	static const char *const rows[] = {
		"GET / HTTP/1.1\r\n\r\n", "PRI * HTTP/2.0\r\n\r\nXX\r\n\r\n",
		"PRI * HTTP/3.0\r\n",
		"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\nxxxxxxxxxx"
	};

	for (size_t i = 0; i < DV_ARRAY_LEN(rows); i++) {
		dv_autobuf b = TRY_BUF;

		dv_buf_puts(&b, rows[i]);
		check_ends(&b, -1);
	}
}

TEST(frame_too_long_ends_the_connection)
{
	dv_autobuf b = TRY_BUF;
	static const char data[16385];

	put_hello(&b);
	put_open(&b, 1, "Unary", NULL);
	put_frame(&b, F_DATA, 0, 1, data, sizeof(data));
	check_ends(&b, NGHTTP2_FRAME_SIZE_ERROR);
}

TEST(data_before_headers_ends_the_connection)
{
	dv_autobuf b = TRY_BUF;

	put_hello(&b);
	put_message(&b, 1, END_STREAM, NULL, 0);
	check_ends(&b, NGHTTP2_PROTOCOL_ERROR);
}

TEST(push_of_a_client_ends_the_connection)
{
	dv_autobuf b = TRY_BUF;

	put_hello(&b);
	put_u32_frame(&b, F_PUSH, 1, 2);
	check_ends(&b, NGHTTP2_PROTOCOL_ERROR);
}

TEST(even_stream_ends_the_connection)
{
	dv_autobuf b = TRY_BUF;

	put_hello(&b);
	put_call(&b, 2, "Unary", 1);
	check_ends(&b, NGHTTP2_PROTOCOL_ERROR);
}

TEST(second_end_of_a_stream_hurts_nobody_else)
{
	dv_autobuf b = TRY_BUF;
	struct raw other, w;

	begin();
	other = join(NULL, 0);
	put_hello(&b);
	raw_say(&other, &b);
	w = join(NULL, 0);
	put_hello(&b);
	put_call(&b, 1, "Hang", 0);
	put_message(&b, 1, END_STREAM, NULL, 0);
	raw_say(&w, &b);
	CHECK(w.eof || raw_reset(&w, 1) == NGHTTP2_STREAM_CLOSED);
	CHECK_EQ(t.n_calls, 1);
	CHECK_EQ(t.n_cancelled, 1);
	leave(&w);
	check_lives(&other, 1);
	leave(&other);
	end();
}

TEST(continuation_flood_ends_the_connection)
{
	dv_autobuf b = TRY_BUF;
	static const char junk[] = "\0\1a\1b";

	put_hello(&b);
	put_frame(&b, F_HEADERS, 0, 1, junk, 5);
	for (int i = 0; i < 5000; i++)
		put_frame(&b, F_CONT, 0, 1, junk, 5);
	check_ends(&b, -1);
}

TEST(rapid_reset_ends_the_connection)
{
	dv_autobuf b = TRY_BUF;

	put_hello(&b);
	for (uint32_t id = 1; id < 2 * 5000; id += 2) {
		put_call(&b, id, "Hang", 0);
		put_u32_frame(&b, F_RST, id, NGHTTP2_CANCEL);
	}
	check_ends(&b, NGHTTP2_ENHANCE_YOUR_CALM);
	/* With less work: nothing but the headers. */
	put_hello(&b);
	for (uint32_t id = 1; id < 2 * 5000; id += 2) {
		put_open(&b, id, "Hang", NULL);
		put_u32_frame(&b, F_RST, id, NGHTTP2_CANCEL);
	}
	check_ends(&b, NGHTTP2_ENHANCE_YOUR_CALM);
}

TEST(flood_of_idle_frames_ends_the_connection)
{
	static const int types[] = { F_PING, F_SETTINGS, F_WINDOW, F_DATA };

	for (size_t i = 0; i < DV_ARRAY_LEN(types); i++) {
		dv_autobuf b = TRY_BUF;

		put_hello(&b);
		put_open(&b, 1, "Unary", NULL);
		for (int n = 0; n < 200000; n++) {
			if (types[i] == F_PING)
				put_frame(&b, F_PING, 0, 0, "12345678", 8);
			else if (types[i] == F_SETTINGS)
				put_frame(&b, F_SETTINGS, 0, 0, NULL, 0);
			else if (types[i] == F_WINDOW)
				put_u32_frame(&b, F_WINDOW, 0, 1);
			else
				put_frame(&b, F_DATA, 0, 1, NULL, 0);
		}
		check_ends(&b, NGHTTP2_ENHANCE_YOUR_CALM);
	}
}

TEST(flood_by_a_peer_that_never_reads_is_not_answered_without_end)
{
	dv_autobuf b = TRY_BUF;
	struct raw w;
	size_t at = 0;
	bool idle = false;

	begin();
	w = join(NULL, 0);
	put_hello(&b);
	for (int n = 0; n < 100000; n++)
		put_frame(&b, F_PING, 0, 0, "12345678", 8);
	while (at < b.len && !idle) {
		ssize_t n = send(w.fd, b.data + at, b.len - at,
				 MSG_NOSIGNAL | MSG_DONTWAIT);

		at += n > 0 ? (size_t)n : 0;
		idle = dv_loop_dispatch(t.loop, 0) == 0 && n < 0;
	}
	/* Either we stopped reading, or it is out. */
	CHECK(at < b.len);
	leave(&w);
	CHECK_EQ(n_conns(), 0);
	end();
}

/* ---- windows ------------------------------------------------------------ */

/* Two calls with @timeout, and no window. True: both have begun in it. */
static bool call_without_window(struct raw *w, const char *timeout)
{
	dv_autobuf b = TRY_BUF;
	uint8_t msg[8];

	dv_buf_puts(&b, TRY_PREFACE);
	put_setting(&b, NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, 0);
	put_open(&b, 1, "Big", timeout);
	put_message(&b, 1, END_STREAM, msg, number(msg, 3 * MIB));
	put_open(&b, 3, "Stream", timeout);
	put_message(&b, 3, END_STREAM, msg, number(msg, 1000));
	raw_say(w, &b);
	return t.n_calls == 1 && t.n_ready == 1;
}

TEST(window_shut_for_good_ends_the_call_at_its_deadline)
{
	static const char *const timeouts[] = { "50m", "500m", "5S", "50S" };
	struct raw w;

	/* A call whose time is over before it began has nothing to reset. */
	for (size_t i = 0; i < DV_ARRAY_LEN(timeouts); i++) {
		begin();
		w = join(NULL, 0);
		if (call_without_window(&w, timeouts[i]))
			break;
		leave(&w);
		end();
	}
	CHECK_EQ(t.n_calls, 1);
	raw_wait(&w, F_RST, 1, 0);
	raw_wait(&w, F_RST, 3, 0);
	CHECK_EQ(raw_reset(&w, 1), NGHTTP2_CANCEL);
	CHECK_EQ(raw_reset(&w, 3), NGHTTP2_CANCEL);
	CHECK_EQ(t.n_cancelled, 1);             /* the stream's handler */
	CHECK_EQ(dv_server_flush(t.server), 0); /* nothing is kept */
	leave(&w);
	end();
}

TEST(answers_that_are_not_read_hold_back_more_calls)
{
	dv_autobuf b = TRY_BUF;
	struct raw w;

	begin();
	w = join(NULL, 0);
	dv_buf_puts(&b, TRY_PREFACE);
	put_setting(&b, NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, 0);
	for (uint32_t id = 1; id < 2 * 100; id += 2)
		put_call(&b, id, "Big", MIB);
	raw_say(&w, &b);
	/* Four of them are what may wait. */
	CHECK_EQ(t.n_calls, DV_RPC_QUEUE_SOFT / MIB);
	put_setting(&b, NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, 2 * MIB);
	put_u32_frame(&b, F_WINDOW, 0, 0x7fffffff - 65535);
	w.heard.max = 256 << 20;
	raw_say(&w, &b);
	CHECK_EQ(t.n_calls, 100);
	CHECK_EQ(status_of(&w, 199, NULL), DV_OK);
	leave(&w);
	end();
}

TEST(stream_waits_for_its_window_and_goes_on)
{
	dv_autobuf b = TRY_BUF;
	unsigned int ready;
	struct raw w;

	begin();
	w = join(NULL, 0);
	put_hello(&b);
	put_call(&b, 1, "Stream", 1000);
	raw_say(&w, &b);
	CHECK_EQ(t.n_ready, 1);
	CHECK(t.left > 900);
	ready = t.n_ready;
	while (t.left > 0) {
		put_u32_frame(&b, F_WINDOW, 1, 200000);
		put_u32_frame(&b, F_WINDOW, 0, 200000);
		raw_say(&w, &b);
		CHECK(t.n_ready > ready);
		ready = t.n_ready;
	}
	put_u32_frame(&b, F_WINDOW, 1, MIB);
	put_u32_frame(&b, F_WINDOW, 0, MIB);
	raw_say(&w, &b);
	CHECK_EQ(status_of(&w, 1, NULL), DV_OK);
	CHECK_EQ(t.n_cancelled, 0);
	leave(&w);
	end();
}

TEST(window_of_unfinished_requests_is_given_to_the_oldest)
{
	static char part[16384];
	dv_autobuf b = TRY_BUF;
	struct heard h;
	struct raw w;
	int n_streams = 200, oldest = 0, last = 0;

	begin();
	b.max = 16 * MIB;
	w = join(NULL, 0);
	put_hello(&b);
	/* Each begins a message of 4 MiB. */
	memcpy(part, "\0\0\x3f\xff\xff", 5);
	for (int i = 0; i < n_streams; i++) {
		put_open(&b, (uint32_t)(2 * i + 1), "Unary", NULL);
		for (int n = 0; n < 3; n++)
			put_frame(&b, F_DATA, 0, (uint32_t)(2 * i + 1), part,
				  sizeof(part));
	}
	raw_say(&w, &b);
	while (raw_find(&w, F_WINDOW, 1, oldest, &h))
		oldest++;
	while (raw_find(&w, F_WINDOW, 399, last, &h))
		last++;
	CHECK(oldest > 0);
	CHECK_EQ(last, 0);
	/* The first ones give up: now it is the last one's turn. */
	for (int i = 0; i < n_streams - 1; i++)
		put_u32_frame(&b, F_RST, (uint32_t)(2 * i + 1), 8);
	raw_say(&w, &b);
	CHECK(raw_find(&w, F_WINDOW, 399, 0, &h));
	leave(&w);
	end();
}

TEST(window_overrun_ends_the_connection_or_stream)
{
	static const char part[16384] = { 0, 0, 0x3f, (char)0xff };
	dv_autobuf b = TRY_BUF;
	struct raw w;

	begin();
	w = join(NULL, 0);
	put_hello(&b);
	put_open(&b, 1, "Unary", NULL);
	for (int i = 0; i < 300; i++)
		put_frame(&b, F_DATA, 0, 1, part, sizeof(part));
	/* All at once: no window could be given back meanwhile. */
	raw_say(&w, &b);
	CHECK_EQ(t.n_calls, 0);
	leave(&w);
	CHECK_EQ(n_conns(), 0);
	end();
}

TEST(streams_over_the_limit_are_refused)
{
	dv_autobuf b = TRY_BUF;
	struct raw w;

	begin();
	w = join(NULL, 0);
	put_hello(&b);
	for (uint32_t i = 0; i < DV_RPC_CALLS_MAX + 1; i++)
		put_call(&b, 2 * i + 1, "Hang", 0);
	raw_say(&w, &b);
	CHECK_EQ(t.n_calls, DV_RPC_CALLS_MAX);
	CHECK_EQ(raw_reset(&w, 2 * DV_RPC_CALLS_MAX + 1),
		 NGHTTP2_REFUSED_STREAM);
	leave(&w);
	CHECK_EQ(t.n_cancelled, DV_RPC_CALLS_MAX);
	end();
}
