/* SPDX-License-Identifier: MIT */
/*
 * A gRPC client and servers that mean no good, or are cut off. What real peers
 * make of it is in tests/grpc.bats.
 */
#include <davit/rpc.h>

#include <nghttp2/nghttp2.h>

#include "rpc/grpc_try.h"

#define MIB (1 << 20)

static struct {
	struct dv_loop *loop;
	struct dv_rpc *rpc;
	struct raw w;
} t;

/* What a call's callback was told. */
struct told {
	unsigned int n_more, n_done;
	struct dv_err err;
	int r;
	size_t len;
	char data[16];
	bool free_client, cancel;
};

static void on_reply(struct dv_rpc_call *call, const struct dv_rpc_reply *reply,
		     void *arg)
{
	struct told *d = arg;

	d->n_more += reply->more;
	d->n_done += !reply->more;
	d->r = reply->r;
	d->len = reply->len;
	memset(d->data, 0, sizeof(d->data));
	if (reply->len)
		memcpy(d->data, reply->payload,
		       dv_min(reply->len, sizeof(d->data)));
	if (reply->err)
		d->err = *reply->err;
	if (d->free_client)
		t.rpc = dv_rpc_free(t.rpc);
	else if (d->cancel)
		dv_rpc_cancel(call);
}

static void begin(void)
{
	struct dv_rpc_opts opts = DV_RPC_OPTS_INIT;
	int fds[2];

	memset(&t, 0, sizeof(t));
	CHECK_EQ(dv_loop_new(&t.loop), 0);
	CHECK_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK,
			    0, fds),
		 0);
	t.w = (struct raw){ .loop = t.loop, .fd = fds[0], .heard = TRY_BUF };
	opts.proto = DV_RPC_GRPC;
	opts.fd = fds[1];
	CHECK_EQ(dv_rpc_new(&t.rpc, t.loop, &opts, NULL), 0);
}

static void end(void)
{
	dv_rpc_free(t.rpc);
	dv_close(t.w.fd);
	dv_buf_free(&t.w.heard);
	dv_loop_free(t.loop);
}

static struct dv_rpc_call *start(struct told *d, bool stream, int timeout_ms)
{
	struct dv_rpc_call_opts opts = DV_RPC_CALL_INIT;
	struct dv_rpc_call *call;

	opts.stream = stream;
	opts.timeout_ms = timeout_ms;
	CHECK_EQ(dv_rpc_call(t.rpc, &call, "t.T", "Do", "abc", 3, &opts,
			     on_reply, d, NULL),
		 0);
	raw_settle(&t.w);
	return call;
}

static void put_hello(struct dv_buf *b)
{
	put_frame(b, F_SETTINGS, 0, 0, NULL, 0);
}

static const char *const good_head[] = { ":status", "200", "content-type",
					 "application/grpc", NULL };
static const char *const good_tail[] = { "grpc-status", "0", NULL };

static void put_answer(struct dv_buf *b, uint32_t stream)
{
	put_headers(b, stream, 0, good_head);
	put_message(b, stream, 0, "xyz", 3);
	put_headers(b, stream, END_STREAM, good_tail);
}

/* The connection still does its work; @stream is the next one. */
static void check_lives(uint32_t stream)
{
	dv_autobuf b = TRY_BUF;
	struct told d = { 0 };

	start(&d, false, -1);
	put_answer(&b, stream);
	raw_say(&t.w, &b);
	CHECK_EQ(d.n_done, 1);
	CHECK_EQ(d.r, 0);
	CHECK_STR(d.data, "xyz");
}

TEST(answer_split_at_every_byte_is_taken)
{
	dv_autobuf all = TRY_BUF;

	put_hello(&all);
	put_answer(&all, 1);
	for (size_t cut = 0; cut <= all.len; cut++) {
		dv_autobuf b = TRY_BUF;
		struct told d = { 0 };

		begin();
		start(&d, false, -1);
		dv_buf_put(&b, all.data, cut);
		raw_say(&t.w, &b);
		CHECK_EQ(d.n_done, cut == all.len);
		dv_buf_put(&b, all.data + cut, all.len - cut);
		raw_say(&t.w, &b);
		CHECK_EQ(d.n_done, 1);
		CHECK_EQ(d.r, 0);
		CHECK_STR(d.data, "xyz");
		end();
	}
}

TEST(answer_truncated_at_every_byte_is_unavailable)
{
	dv_autobuf all = TRY_BUF;

	put_hello(&all);
	put_answer(&all, 1);
	for (size_t cut = 0; cut < all.len; cut++) {
		dv_autobuf b = TRY_BUF;
		struct told d = { 0 };

		begin();
		start(&d, false, -1);
		dv_buf_put(&b, all.data, cut);
		raw_say(&t.w, &b);
		CHECK_EQ(d.n_done, 0);
		shutdown(t.w.fd, SHUT_WR);
		raw_settle(&t.w);
		CHECK_EQ(d.n_done, 1);
		CHECK_EQ(d.err.code, DV_UNAVAILABLE);
		end();
	}
}

TEST(request_is_as_the_vector_says)
{
	struct told d = { 0 };
	struct heard h;

	begin();
	start(&d, false, 5000);
	CHECK(t.w.heard.len > 24);
	assert_memory_equal(t.w.heard.data, TRY_PREFACE, 24);
	dv_buf_drop(&t.w.heard, 24);
	CHECK(raw_find(&t.w, F_SETTINGS, 0, 0, &h));
	CHECK(raw_find(&t.w, F_HEADERS, 1, 0, &h));
	CHECK(raw_find(&t.w, F_DATA, 1, 0, &h));
	CHECK_EQ(h.flags, END_STREAM);
	CHECK_EQ(h.len, 8);
	assert_memory_equal(h.data, "\0\0\0\0\3abc", 8);
	end();
	CHECK_EQ(d.err.code, DV_CANCELLED);
}

TEST(status_of_every_kind_of_answer)
{
	static const struct {
		const char *head[12];
		bool only; /* END_STREAM on it */
		const char *tail[8];
		enum dv_code code;
		const char *msg;
	} rows[] = {
		{ { ":status", "200", "content-type", "application/grpc",
		    "grpc-status", "5", "grpc-message", "gr%C3%BC 1%25", NULL },
		  true,
		  { NULL },
		  DV_NOT_FOUND,
		  "gr\xc3\xbc 1%" },
		{ { ":status", "200", "content-type", "application/grpc",
		    NULL },
		  false,
		  { "grpc-status", "10", "grpc-status-details-bin",
		    "CAoSA3doeQ", NULL },
		  DV_ABORTED,
		  "why" },
		{ { ":status", "200", "content-type", "application/grpc",
		    NULL },
		  false,
		  { "grpc-status", "99", NULL },
		  DV_UNKNOWN,
		  NULL },
		{ { ":status", "200", "content-type", "application/grpc",
		    NULL },
		  false,
		  { "x-other", "1", NULL },
		  DV_INTERNAL,
		  NULL },
		{ { ":status", "200", "content-type", "application/grpc",
		    NULL },
		  false,
		  { "grpc-status", "0", NULL }, /* success without a message */
		  DV_INTERNAL,
		  NULL },
		{ { ":status", "503", NULL },
		  true,
		  { NULL },
		  DV_UNAVAILABLE,
		  NULL },
		{ { ":status", "404", "content-type", "text/html", NULL },
		  false,
		  { NULL },
		  DV_UNIMPLEMENTED,
		  NULL },
		{ { ":status", "200", "content-type", "text/html", NULL },
		  false,
		  { NULL },
		  DV_UNKNOWN,
		  NULL },
	};
	dv_autobuf b = TRY_BUF;

	begin();
	put_hello(&b);
	for (uint32_t i = 0; i < DV_ARRAY_LEN(rows); i++) {
		struct told d = { 0 };

		start(&d, false, -1);
		put_headers(&b, 2 * i + 1, rows[i].only ? END_STREAM : 0,
			    rows[i].head);
		if (rows[i].tail[0])
			put_headers(&b, 2 * i + 1, END_STREAM, rows[i].tail);
		raw_say(&t.w, &b);
		CHECK_EQ(d.n_done, 1);
		CHECK_EQ(d.err.code, rows[i].code);
		CHECK(d.r < 0);
		if (rows[i].msg)
			CHECK_STR(d.err.msg, rows[i].msg);
	}
	check_lives(2 * DV_ARRAY_LEN(rows) + 1);
	end();
}

TEST(answer_that_is_bad_ends_its_call_only)
{
	static const struct {
		const char *data;
		size_t len;
		enum dv_code code;
	} rows[] = {
		{ "\1\0\0\0\1x", 6, DV_UNIMPLEMENTED },
		{ "\2\0\0\0\1x", 6, DV_INTERNAL },
		{ "\0\0\x40\0\1", 5, DV_EXHAUSTED },
		{ "\0\0\0\0\5xyz", 8, DV_INTERNAL },
		{ "\0\0\0\0\0\0\0\0\0\0", 10, DV_INTERNAL },
	};
	dv_autobuf b = TRY_BUF;

	begin();
	put_hello(&b);
	for (uint32_t i = 0; i < DV_ARRAY_LEN(rows); i++) {
		struct told d = { 0 };

		start(&d, false, -1);
		put_headers(&b, 2 * i + 1, 0, good_head);
		put_frame(&b, F_DATA, 0, 2 * i + 1, rows[i].data, rows[i].len);
		put_headers(&b, 2 * i + 1, END_STREAM, good_tail);
		raw_say(&t.w, &b);
		CHECK_EQ(d.n_done, 1);
		CHECK_EQ(d.err.code, rows[i].code);
	}
	check_lives(2 * DV_ARRAY_LEN(rows) + 1);
	end();
}

TEST(reset_of_a_stream_is_its_calls_status)
{
	static const struct {
		uint32_t h2;
		enum dv_code code;
	} rows[] = {
		{ NGHTTP2_REFUSED_STREAM, DV_UNAVAILABLE },
		{ NGHTTP2_CANCEL, DV_CANCELLED },
		{ NGHTTP2_ENHANCE_YOUR_CALM, DV_EXHAUSTED },
		{ NGHTTP2_NO_ERROR, DV_INTERNAL },
		{ 77, DV_UNKNOWN },
	};
	dv_autobuf b = TRY_BUF;

	begin();
	put_hello(&b);
	for (uint32_t i = 0; i < DV_ARRAY_LEN(rows); i++) {
		struct told d = { 0 };

		start(&d, false, -1);
		put_u32_frame(&b, F_RST, 2 * i + 1, rows[i].h2);
		raw_say(&t.w, &b);
		CHECK_EQ(d.n_done, 1);
		CHECK_EQ(d.err.code, rows[i].code);
	}
	end();
}

TEST(goaway_fails_what_is_behind_it_and_finishes_the_rest)
{
	static const uint8_t last_is_1[8] = { 0, 0, 0, 1 };
	struct told first = { 0 }, second = { 0 }, third = { 0 };
	dv_autobuf b = TRY_BUF;

	begin();
	put_hello(&b);
	start(&first, false, -1);
	start(&second, false, -1);
	put_frame(&b, F_GOAWAY, 0, 0, last_is_1, sizeof(last_is_1));
	raw_say(&t.w, &b);
	CHECK_EQ(first.n_done, 0);
	CHECK_EQ(second.n_done, 1);
	CHECK_EQ(second.err.code, DV_UNAVAILABLE);
	/* The descriptor that we were given works once. */
	start(&third, false, -1);
	CHECK_EQ(third.n_done, 1);
	CHECK_EQ(third.err.code, DV_UNAVAILABLE);
	CHECK_EQ(first.n_done, 0);
	put_answer(&b, 1);
	raw_say(&t.w, &b);
	CHECK_EQ(first.n_done, 1);
	CHECK_EQ(first.r, 0);
	CHECK(t.w.eof);
	end();
}

/* Each dial is one more raw peer. */
static struct {
	struct raw w[4];
	unsigned int n;
} dialled;

static void dial(struct dv_rpc *rpc, void *arg)
{
	int fds[2];

	(void)arg;
	CHECK_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK,
			    0, fds),
		 0);
	dialled.w[dialled.n++] =
		(struct raw){ .loop = t.loop, .fd = fds[0], .heard = TRY_BUF };
	dv_rpc_dialled(rpc, fds[1], NULL);
}

static void begin_dialling(void)
{
	struct dv_rpc_opts opts = DV_RPC_OPTS_INIT;

	memset(&t, 0, sizeof(t));
	t.w.fd = -1;
	memset(&dialled, 0, sizeof(dialled));
	CHECK_EQ(dv_loop_new(&t.loop), 0);
	opts.proto = DV_RPC_GRPC;
	opts.dial = dial;
	CHECK_EQ(dv_rpc_new(&t.rpc, t.loop, &opts, NULL), 0);
}

static void end_dialling(void)
{
	for (unsigned int i = 0; i < dialled.n; i++) {
		dv_close(dialled.w[i].fd);
		dv_buf_free(&dialled.w[i].heard);
	}
	end();
}

static struct dv_rpc_call *start_ready(struct told *d)
{
	struct dv_rpc_call_opts opts = DV_RPC_CALL_INIT;
	struct dv_rpc_call *call;

	opts.wait_ready = true;
	CHECK_EQ(dv_rpc_call(t.rpc, &call, "t.T", "Do", "abc", 3, &opts,
			     on_reply, d, NULL),
		 0);
	while (dv_loop_dispatch(t.loop, 0) > 0)
		;
	return call;
}

static void say_goaway(struct raw *w, uint8_t last)
{
	const uint8_t data[8] = { 0, 0, 0, last };
	dv_autobuf b = TRY_BUF;

	put_hello(&b);
	put_frame(&b, F_GOAWAY, 0, 0, data, sizeof(data));
	raw_say(w, &b);
}

static void answer_on(struct raw *w, uint32_t stream)
{
	dv_autobuf b = TRY_BUF;

	put_hello(&b);
	put_answer(&b, stream);
	raw_say(w, &b);
}

TEST(new_calls_go_elsewhere_while_a_connection_drains)
{
	struct told old = { 0 }, fresh = { 0 }, gone = { 0 }, late = { 0 };
	struct dv_rpc_call *cancelled;

	begin_dialling();
	start_ready(&old);
	cancelled = start_ready(&gone);
	CHECK_EQ(dialled.n, 1);
	say_goaway(&dialled.w[0], 3);
	CHECK_EQ(dv_rpc_fd(t.rpc), -1);
	start_ready(&fresh);
	CHECK_EQ(dialled.n, 2);
	answer_on(&dialled.w[1], 1);
	CHECK_EQ(fresh.n_done, 1);
	CHECK_EQ(fresh.r, 0);
	/* The old one still has its calls: one is cancelled, one answered. */
	CHECK_EQ(old.n_done, 0);
	dv_rpc_cancel(cancelled);
	raw_settle(&dialled.w[0]);
	dv_buf_drop(&dialled.w[0].heard, strlen(TRY_PREFACE));
	CHECK_EQ(raw_reset(&dialled.w[0], 3), NGHTTP2_CANCEL);
	CHECK(!dialled.w[0].eof);
	answer_on(&dialled.w[0], 1);
	CHECK_EQ(old.n_done, 1);
	CHECK_EQ(old.r, 0);
	CHECK(dialled.w[0].eof);
	/* Its end is not that of the other one. */
	start_ready(&late);
	CHECK_EQ(dialled.n, 2);
	answer_on(&dialled.w[1], 3);
	CHECK_EQ(late.r + (int)late.n_done, 1);
	CHECK_EQ(gone.n_done, 0);
	end_dialling();
}

TEST(draining_connection_that_is_lost_fails_its_own_calls)
{
	struct told old = { 0 }, fresh = { 0 }, more = { 0 };

	begin_dialling();
	start_ready(&old);
	say_goaway(&dialled.w[0], 1);
	start_ready(&fresh);
	say_goaway(&dialled.w[1], 1);
	start_ready(&more);
	CHECK_EQ(dialled.n, 3);
	dialled.w[0].fd = dv_close(dialled.w[0].fd);
	while (dv_loop_dispatch(t.loop, 0) > 0)
		;
	CHECK_EQ(old.n_done, 1);
	CHECK_EQ(old.err.code, DV_UNAVAILABLE);
	CHECK_EQ(fresh.n_done + more.n_done, 0);
	answer_on(&dialled.w[2], 1);
	CHECK_EQ(more.n_done, 1);
	CHECK_EQ(more.r, 0);
	/* The client ends while one of them drains. */
	t.rpc = dv_rpc_free(t.rpc);
	CHECK_EQ(fresh.n_done, 1);
	CHECK_EQ(fresh.err.code, DV_CANCELLED);
	end_dialling();
}

TEST(stream_limit_of_the_server_queues_calls)
{
	struct told d[4] = { 0 };
	struct dv_rpc_call *call;
	dv_autobuf b = TRY_BUF;
	struct heard h;

	begin();
	put_setting(&b, NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, 1);
	start(&d[0], false, -1);
	raw_say(&t.w, &b);
	start(&d[1], false, -1);
	call = start(&d[2], false, -1);
	start(&d[3], false, 20);
	dv_buf_drop(&t.w.heard, 24);
	CHECK(!raw_find(&t.w, F_HEADERS, 3, 0, &h));
	/* One that was not sent is cancelled, one runs into its deadline. */
	dv_rpc_cancel(call);
	while (!d[3].n_done)
		dv_loop_dispatch(t.loop, -1);
	CHECK_EQ(d[3].err.code, DV_DEADLINE);
	put_answer(&b, 1);
	raw_say(&t.w, &b);
	CHECK_EQ(d[0].n_done, 1);
	CHECK(raw_find(&t.w, F_HEADERS, 3, 0, &h));
	put_answer(&b, 3);
	raw_say(&t.w, &b);
	CHECK_EQ(d[1].n_done, 1);
	CHECK_EQ(d[1].r, 0);
	CHECK(!raw_find(&t.w, F_HEADERS, 5, 0, &h));
	CHECK(!raw_find(&t.w, F_HEADERS, 7, 0, &h));
	CHECK_EQ(d[2].n_done, 0);
	check_lives(9);
	end();
}

TEST(deadline_ends_the_call_here_and_resets_it_there)
{
	struct told d = { 0 };
	dv_autobuf b = TRY_BUF;

	begin();
	put_hello(&b);
	raw_say(&t.w, &b);
	/* On a connection that is there it goes out at once. */
	check_lives(1);
	start(&d, false, 20);
	dv_buf_drop(&t.w.heard, 24);
	raw_wait(&t.w, F_RST, 3, 0);
	CHECK_EQ(raw_reset(&t.w, 3), NGHTTP2_CANCEL);
	CHECK_EQ(d.n_done, 1);
	CHECK_EQ(d.err.code, DV_DEADLINE);
	put_answer(&b, 3); /* too late: nobody minds */
	raw_say(&t.w, &b);
	CHECK_EQ(d.n_done, 1);
	check_lives(5);
	end();
}

TEST(cancel_inside_a_message_ends_the_stream)
{
	struct told d = { .cancel = true };
	dv_autobuf b = TRY_BUF;

	begin();
	put_hello(&b);
	start(&d, true, -1);
	dv_buf_drop(&t.w.heard, 24);
	put_headers(&b, 1, 0, good_head);
	put_message(&b, 1, 0, "one", 3);
	put_message(&b, 1, 0, "two", 3);
	put_headers(&b, 1, END_STREAM, good_tail);
	raw_say(&t.w, &b);
	CHECK_EQ(d.n_more, 1);
	CHECK_EQ(d.n_done, 0);
	check_lives(3);
	end();
}

TEST(free_inside_a_message_is_safe)
{
	for (int stream = 0; stream < 2; stream++) {
		struct told d = { .free_client = true }, other = { 0 };
		dv_autobuf b = TRY_BUF;

		begin();
		put_hello(&b);
		start(&other, false, -1);
		start(&d, stream, -1);
		put_headers(&b, 3, 0, good_head);
		put_message(&b, 3, 0, "one", 3);
		put_message(&b, 3, 0, "two", 3);
		put_headers(&b, 3, END_STREAM, good_tail);
		put_answer(&b, 1);
		raw_say(&t.w, &b);
		CHECK(!t.rpc);
		CHECK_EQ(other.n_done, 1);
		CHECK_EQ(other.err.code, DV_CANCELLED);
		CHECK_EQ(d.n_done, 1);
		end();
	}
}

TEST(stream_gives_each_message_and_then_its_status)
{
	static const char *const tail[] = { "grpc-status", "9", NULL };
	struct told d = { 0 };
	dv_autobuf b = TRY_BUF;

	begin();
	put_hello(&b);
	start(&d, true, -1);
	put_headers(&b, 1, 0, good_head);
	for (int i = 0; i < 100; i++)
		put_message(&b, 1, 0, "abc", 3);
	raw_say(&t.w, &b);
	CHECK_EQ(d.n_more, 100);
	CHECK_EQ(d.n_done, 0);
	put_headers(&b, 1, END_STREAM, tail);
	raw_say(&t.w, &b);
	CHECK_EQ(d.n_done, 1);
	CHECK_EQ(d.err.code, DV_PRECONDITION);
	end();
}

TEST(header_list_too_long_ends_its_call_only)
{
	static char value[16300];
	static const char *const head[] = {
		":status", "200", "x", value, "y", "12345678901234567890", NULL
	};
	struct told d = { 0 };
	dv_autobuf b = TRY_BUF;

	begin();
	memset(value, 'v', sizeof(value) - 1);
	put_hello(&b);
	start(&d, false, -1);
	put_headers(&b, 1, 0, head);
	raw_say(&t.w, &b);
	CHECK_EQ(d.n_done, 1);
	CHECK_EQ(d.err.code, DV_EXHAUSTED);
	check_lives(3);
	end();
}

TEST(server_that_is_no_http2_ends_the_connection)
{
	static const char *const rows[] = {
		"HTTP/1.1 400 Bad Request\r\n\r\n",
		"\0\0\0\0\0\0\0\0\0\0\0\0",
		"SSH-2.0-OpenSSH_9.2\r\n",
	};

	for (size_t i = 0; i < DV_ARRAY_LEN(rows); i++) {
		struct told d = { 0 };
		dv_autobuf b = TRY_BUF;

		begin();
		start(&d, false, -1);
		dv_buf_put(&b, rows[i], 12);
		raw_say(&t.w, &b);
		CHECK_EQ(d.n_done, 1);
		CHECK_EQ(d.err.code, DV_UNAVAILABLE);
		CHECK(t.w.eof);
		end();
	}
}

TEST(metadata_that_breaks_the_protocol_is_refused)
{
	static const char *const rows[][3] = {
		{ "grpc-timeout", "1S" }, { ":path", "/x" }, { "te", "x" },
		{ "Upper", "x" },         { "", "x" },       { "a b", "x" },
		{ "x", "a\nb" },          { "x-bin", "x" },  { "-bin", "x" },
	};
	struct dv_rpc_call_opts opts = DV_RPC_CALL_INIT;

	dv_autobuf b = TRY_BUF;

	begin();
	put_hello(&b);
	raw_say(&t.w, &b);
	check_lives(1);
	for (size_t i = 0; i < DV_ARRAY_LEN(rows); i++) {
		struct dv_err err = DV_ERR_INIT;

		opts.metadata = rows[i];
		CHECK_EQ(dv_rpc_call(t.rpc, NULL, "t.T", "Do", NULL, 0, &opts,
				     on_reply, NULL, &err),
			 -EINVAL);
		CHECK_EQ(err.code, DV_INVALID);
	}
	check_lives(3);
	end();
}

TEST(large_request_waits_for_the_servers_window)
{
	static char data[MIB];
	struct told d = { 0 };
	dv_autobuf b = TRY_BUF;
	struct heard h;
	int n = 0;

	begin();
	put_hello(&b);
	CHECK_EQ(dv_rpc_call(t.rpc, NULL, "t.T", "Do", data, sizeof(data), NULL,
			     on_reply, &d, NULL),
		 0);
	raw_say(&t.w, &b);
	dv_buf_drop(&t.w.heard, 24);
	while (raw_find(&t.w, F_DATA, 1, n, &h))
		n++;
	CHECK(n >= 4 && n < 10); /* 64 KiB, and not more */
	put_u32_frame(&b, F_WINDOW, 1, MIB);
	put_u32_frame(&b, F_WINDOW, 0, MIB);
	raw_say(&t.w, &b);
	while (raw_find(&t.w, F_DATA, 1, n, &h))
		n++;
	CHECK(n >= 64);
	put_answer(&b, 1);
	raw_say(&t.w, &b);
	CHECK_EQ(d.r, 0);
	CHECK_EQ(d.n_done, 1);
	end();
}
