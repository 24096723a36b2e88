/* SPDX-License-Identifier: MIT */
#include "rpc/server.h"

#include <sys/stat.h>

#include "rpc/rpc_try.h"

#define PING                                                           \
	"000000180000000101000a10646961672e4f70656e68636c446961671204" \
	"50696e67"
#define PONG "000000020000000102001200"

TEST(ping_is_answered_as_the_vector_says)
{
	struct try t;
	int fd;

	try_open(&t, NULL);
	fd = try_connect(&t, DV_PROTO_TTRPC_DIAG);
	try_send_hex(&t, fd, PING);
	try_expect_hex(&t, fd, PONG);
	CHECK_EQ(try_silent(&t, fd), 1);
	dv_close(fd);
	try_close(&t);
}

TEST(frames_cut_at_every_byte_are_put_together)
{
	uint8_t wire[64];
	size_t n = try_hex(PING, wire);
	struct try t;
	int fd;

	try_open(&t, NULL);
	fd = try_connect(&t, DV_PROTO_TTRPC);
	for (size_t cut = 0; cut <= n; cut++) {
		try_write(&t, fd, wire, cut);
		try_pump(t.loop);
		try_write(&t, fd, wire + cut, n - cut);
		try_expect_hex(&t, fd, PONG);
	}
	CHECK_EQ(try_silent(&t, fd), 1);
	dv_close(fd);
	try_close(&t);
}

TEST(ends_cut_at_every_byte_leave_nothing)
{
	uint8_t wire[64];
	size_t n = try_hex(PING, wire);
	struct dv_server_stats stats;
	struct try t;

	try_open(&t, NULL);
	for (size_t cut = 0; cut < n; cut++) {
		int fd = try_connect(&t, DV_PROTO_TTRPC);

		try_write(&t, fd, wire, cut);
		shutdown(fd, SHUT_WR);
		CHECK_EQ(try_silent(&t, fd), 0);
		dv_close(fd);
	}
	dv_server_stats(t.server, &stats);
	CHECK_EQ(stats.conns, 0);
	CHECK_EQ(stats.total_conns, n);
	CHECK_EQ(t.n_calls, 0);
	try_close(&t);
}

/* clang-format off */
TEST(refusals_are_those_of_the_vectors)
{
	static const struct { const char *rq, *rs; } v[] = {
		/* an even stream id */
		{ "000000180000000201000a10646961672e4f70656e68636c446961671204"
		  "50696e67",
		  "0000002f0000000202000a2d0803122973747265616d206964206d757374"
		  "206265206f646420666f7220636c69656e74207265717565737473" },
		/* a DATA frame */
		{ "00000000000000010304",
		  "0000001c0000000102000a1a08031216696e76616c6964206d6573736167"
		  "6520747970652033" },
		/* parity is looked at before the type */
		{ "00000000000000020304",
		  "0000002f0000000202000a2d0803122973747265616d206964206d757374"
		  "206265206f646420666f7220636c69656e74207265717565737473" },
		/* an unknown method */
		{ "000000180000002301000a10646961672e4f70656e68636c446961671204"
		  "46726f62",
		  "000000190000002302000a17080c1213756e6b6e6f776e206d6574686f64"
		  "2046726f62" },
	};
	struct try t;
	int fd;

	try_open(&t, NULL);
	fd = try_connect(&t, DV_PROTO_TTRPC_DIAG);
	for (size_t i = 0; i < DV_ARRAY_LEN(v); i++) {
		try_send_hex(&t, fd, v[i].rq);
		try_expect_hex(&t, fd, v[i].rs);
	}
	try_send_hex(&t, fd, PING);
	try_expect_hex(&t, fd, PONG);
	dv_close(fd);
	try_close(&t);
}

TEST(server_without_the_service_says_so)
{
	struct dv_loop *loop;
	struct try t = { .got_fd = -1 };
	int fd;

	CHECK_EQ(dv_loop_new(&loop), 0);
	t.loop = loop;
	CHECK_EQ(dv_server_new(&t.server, loop, NULL, NULL), 0);
	fd = try_connect(&t, DV_PROTO_TTRPC_DIAG);
	try_send_hex(&t, fd, PING);
	try_expect_hex(&t, fd,
		"000000260000000102000a24080c1220756e6b6e6f776e2073657276696365"
		"20646961672e4f70656e68636c44696167");
	dv_close(fd);
	try_close(&t);
}
/* clang-format on */

TEST(message_that_is_too_long_is_dropped_and_refused)
{
	static const char head[] = "010000000000001f0100";
	size_t left = 0x1000000, block = 1 << 20;
	char *zero = calloc(1, block);
	struct dv_server_stats stats;
	struct try t;
	int fd;

	try_open(&t, NULL);
	fd = try_connect(&t, DV_PROTO_TTRPC_DIAG);
	try_send_hex(&t, fd, head);
	for (; left; left -= block)
		try_write(&t, fd, zero, block);
	try_expect_hex(
		&t, fd,
		"000000430000001f02000a410808123d6d657373616765206c656e67746820"
		"31363737373231362065786365656473206d6178696d756d20616c6c6f7765"
		"642073697a65203136373737323135");
	try_send_hex(&t, fd, PING);
	try_expect_hex(&t, fd, PONG);
	dv_server_stats(t.server, &stats);
	CHECK(stats.bytes_in > 0x1000000);
	free(zero);
	dv_close(fd);
	try_close(&t);
}

/* One byte more than 4 MiB is too much, except on the diagnostics port. */
TEST(limit_of_a_message_depends_on_the_port)
{
	size_t len = DV_RPC_RECV_MAX + 1;
	dv_autobuf out = DV_BUF_INIT(64 << 20);
	char *path = malloc(len);
	dv_diag_FileRequest rq = { .file_path = path };
	char text[128];
	struct try t;
	int fd;

	memset(path, 'x', len);
	path[len - 1] = '\0';
	CHECK_EQ(dv_pb_encode(dv_diag_FileRequest_fields, &rq, &out, NULL), 0);
	try_open(&t, NULL);
	fd = try_connect(&t, DV_PROTO_TTRPC);
	try_call(&t, fd, 1, "Echo", out.data, out.len);
	CHECK_EQ(try_answer(&t, fd, 1, text, sizeof(text)), DV_EXHAUSTED);
	CHECK(strstr(text, "exceeds maximum allowed size 4194304"));
	dv_close(fd);
	/* It is taken here, but its answer would be too long. */
	fd = try_connect(&t, DV_PROTO_TTRPC_DIAG);
	try_call(&t, fd, 3, "Echo", out.data, out.len);
	CHECK_EQ(try_answer(&t, fd, 3, text, sizeof(text)), DV_EXHAUSTED);
	CHECK(strstr(text, "the answer has"));
	free(path);
	dv_close(fd);
	try_close(&t);
}

TEST(three_mebibytes_go_both_ways)
{
	size_t len = 3 << 20;
	dv_autobuf out = DV_BUF_INIT(64 << 20);
	char *path = malloc(len), *back = malloc(len + 16);
	dv_diag_FileRequest rq = { .file_path = path };
	struct try t;
	int fd;

	for (size_t i = 0; i < len; i++)
		path[i] = (char)('a' + i % 23);
	path[len - 1] = '\0';
	CHECK_EQ(dv_pb_encode(dv_diag_FileRequest_fields, &rq, &out, NULL), 0);
	try_open(&t, NULL);
	fd = try_connect(&t, DV_PROTO_TTRPC);
	try_call(&t, fd, 1, "Echo", out.data, out.len);
	CHECK_EQ(try_answer(&t, fd, 1, back, len + 16), 0);
	assert_memory_equal(back, out.data, out.len);
	free(path);
	free(back);
	dv_close(fd);
	try_close(&t);
}

TEST(failures_say_what_the_handler_said)
{
	static const struct {
		const char *method;
		int code;
		const char *text;
		const char *payload;
		size_t len;
	} v[] = {
		{ "Fail", DV_UNKNOWN, "pid 7 not found", "", 0 },
		{ "Vanish", DV_INTERNAL, "channel closed", "", 0 },
		{ "Stream", DV_UNIMPLEMENTED,
		  "Stream answers with a stream, which only gRPC has", "", 0 },
		{ "Ping", DV_INVALID, "Ping: field 1: is cut off", "\x0a\x05",
		  2 },
		{ "Hold", DV_INVALID, "Hold: field 1: has the wrong type",
		  "\x0a\x01z", 3 },
	};
	struct try t;
	int fd;

	try_open(&t, NULL);
	fd = try_connect(&t, DV_PROTO_TTRPC);
	for (uint32_t i = 0; i < DV_ARRAY_LEN(v); i++) {
		char text[128];

		try_call(&t, fd, 2 * i + 1, v[i].method, v[i].payload,
			 v[i].len);
		CHECK_EQ(try_answer(&t, fd, 2 * i + 1, text, sizeof(text)),
			 v[i].code);
		CHECK_STR(text, v[i].text);
	}
	/* A request that is none. */
	try_send_hex(&t, fd, "000000020000006301000801");
	CHECK_EQ(try_answer(&t, fd, 0x63, NULL, 0), DV_INVALID);
	CHECK_EQ(t.n_held, 0);
	dv_close(fd);
	try_close(&t);
}

/* The peer's own words may be cut anywhere, but not within a character. */
TEST(text_of_a_failure_is_utf8)
{
	struct try t;
	int fd;

	try_open(&t, NULL);
	fd = try_connect(&t, DV_PROTO_TTRPC_DIAG);
	for (size_t n = 350; n < 360; n++) {
		char name[512] = "", text[512];

		memset(name, 'x', n);
		for (int i = 0; i < 20; i++)
			memcpy(name + n + 2 * i, "\xc3\xa9", 3);
		try_call(&t, fd, 1, name, NULL, 0);
		CHECK_EQ(try_answer(&t, fd, 1, text, sizeof(text)),
			 DV_UNIMPLEMENTED);
	}
	dv_close(fd);
	try_close(&t);
}

TEST(deadline_cancels_and_answers)
{
	dv_autobuf out = DV_BUF_INIT(1024);
	char text[64];
	struct try t;
	int fd;

	try_open(&t, NULL);
	fd = try_connect(&t, DV_PROTO_TTRPC);
	try_request(&out, 33, "Hold", NULL, 0, 20000000);
	try_request(&out, 35, "Hold", NULL, 0, UINT64_MAX);
	try_write(&t, fd, out.data, out.len);
	CHECK_EQ(try_answer(&t, fd, 33, text, sizeof(text)), DV_DEADLINE);
	CHECK_STR(text, "deadline exceeded");
	CHECK_EQ(t.n_cancelled, 1);
	CHECK_EQ(t.n_held, 1);
	/* A deadline beyond the end of time is none. */
	CHECK(t.held[0]->deadline_ns == UINT64_MAX);
	dv_close(fd);
	try_pump(t.loop);
	CHECK_EQ(t.n_cancelled, 2);
	try_close(&t);
}

TEST(answers_come_in_the_order_of_completion)
{
	struct try t;
	int fd;

	try_open(&t, NULL);
	fd = try_connect(&t, DV_PROTO_TTRPC);
	try_call(&t, fd, 1, "Hold", NULL, 0);
	try_call(&t, fd, 3, "Hold", NULL, 0);
	try_call(&t, fd, 5, "Ping", NULL, 0);
	CHECK_EQ(try_answer(&t, fd, 5, NULL, 0), 0);
	dv_call_reply(t.held[1], NULL);
	dv_call_reply(t.held[0], NULL);
	CHECK_EQ(try_answer(&t, fd, 3, NULL, 0), 0);
	CHECK_EQ(try_answer(&t, fd, 1, NULL, 0), 0);
	dv_close(fd);
	try_close(&t);
}

TEST(stream_id_in_use_is_refused)
{
	char text[64];
	struct try t;
	int fd;

	try_open(&t, NULL);
	fd = try_connect(&t, DV_PROTO_TTRPC);
	try_call(&t, fd, 1, "Hold", NULL, 0);
	try_call(&t, fd, 1, "Ping", NULL, 0);
	CHECK_EQ(try_answer(&t, fd, 1, text, sizeof(text)), DV_INVALID);
	CHECK_STR(text, "stream id is in use");
	CHECK_EQ(t.n_calls, 0);
	dv_call_reply(t.held[0], NULL);
	CHECK_EQ(try_answer(&t, fd, 1, NULL, 0), 0);
	try_call(&t, fd, 1, "Ping", NULL, 0);
	CHECK_EQ(try_answer(&t, fd, 1, NULL, 0), 0);
	dv_close(fd);
	try_close(&t);
}

TEST(half_closed_peer_still_gets_its_answers)
{
	struct try t;
	int fd;

	try_open(&t, NULL);
	fd = try_connect(&t, DV_PROTO_TTRPC);
	try_call(&t, fd, 1, "Hold", NULL, 0);
	shutdown(fd, SHUT_WR);
	CHECK_EQ(try_silent(&t, fd), 1);
	CHECK_EQ(t.n_cancelled, 0);
	dv_call_reply(t.held[0], NULL);
	CHECK_EQ(try_answer(&t, fd, 1, NULL, 0), 0);
	CHECK_EQ(try_silent(&t, fd), 0);
	dv_close(fd);
	try_close(&t);
}

TEST(lost_connection_cancels_what_it_held)
{
	struct dv_server_stats stats;
	struct try t;
	int fd;

	try_open(&t, NULL);
	fd = try_connect(&t, DV_PROTO_TTRPC);
	for (uint32_t i = 0; i < 40; i++)
		try_call(&t, fd, 2 * i + 1, "Hold", NULL, 0);
	try_pump(t.loop);
	dv_server_stats(t.server, &stats);
	CHECK_EQ(stats.calls, 40);
	dv_close(fd);
	try_pump(t.loop);
	CHECK_EQ(t.n_cancelled, 40);
	dv_server_stats(t.server, &stats);
	CHECK_EQ(stats.calls, 0);
	CHECK_EQ(stats.conns, 0);
	try_close(&t);
}

TEST(calls_in_flight_are_limited)
{
	struct dv_server_opts o = { .size = sizeof(o), .max_calls = 2 };
	struct try t;
	int fd;

	try_open(&t, &o);
	fd = try_connect(&t, DV_PROTO_TTRPC);
	for (uint32_t i = 0; i < 3; i++)
		try_call(&t, fd, 2 * i + 1, "Hold", NULL, 0);
	CHECK_EQ(try_answer(&t, fd, 5, NULL, 0), DV_EXHAUSTED);
	CHECK_EQ(t.n_held, 2);
	dv_close(fd);
	try_close(&t);
}

TEST(connections_are_limited)
{
	struct dv_server_opts o = { .size = sizeof(o), .max_conns = 1 };
	struct try t;
	int fds[2], fd;

	try_open(&t, &o);
	fd = try_connect(&t, DV_PROTO_TTRPC);
	try_call(&t, fd, 1, "Hold", NULL, 0);
	try_pump(t.loop);
	CHECK_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
	CHECK_EQ(dv_server_take(t.server, fds[0], DV_PROTO_TTRPC, NULL, NULL, 0,
				NULL, 0),
		 -EMFILE);
	dv_close(fds[1]);
	dv_close(fd);
	try_close(&t);
}

TEST(connection_without_calls_makes_room_for_a_new_one)
{
	struct dv_server_opts o = { .size = sizeof(o), .max_conns = 4 };
	struct dv_server_stats stats;
	int busy, early, late, silent, more, fds[8];
	struct try t;

	try_open(&t, &o);
	busy = try_connect(&t, DV_PROTO_TTRPC);
	try_call(&t, busy, 1, "Hold", NULL, 0);
	early = try_connect(&t, DV_PROTO_TTRPC_DIAG);
	late = try_connect(&t, DV_PROTO_TTRPC);
	try_send_hex(&t, early, PING);
	try_expect_hex(&t, early, PONG);
	try_send_hex(&t, late, PING);
	try_expect_hex(&t, late, PONG);
	silent = try_connect(&t, DV_PROTO_GRPC);
	/* A flood of those who never say a word ends only them. */
	for (size_t i = 0; i < DV_ARRAY_LEN(fds); i++) {
		fds[i] =
			try_connect(&t, i % 2 ? DV_PROTO_TTRPC : DV_PROTO_GRPC);
		dv_server_stats(t.server, &stats);
		CHECK_EQ(stats.conns, 4);
	}
	try_send_hex(&t, early, PING);
	try_expect_hex(&t, early, PONG);
	/* Now all have made a call: who made it longest ago has to go. */
	try_send_hex(&t, fds[7], PING);
	try_expect_hex(&t, fds[7], PONG);
	more = try_connect(&t, DV_PROTO_TTRPC);
	CHECK_EQ(try_silent(&t, late), 0);
	CHECK_EQ(try_silent(&t, early), 1);
	CHECK_EQ(t.n_cancelled, 0);
	for (size_t i = 0; i < DV_ARRAY_LEN(fds); i++)
		dv_close(fds[i]);
	dv_close(more);
	dv_close(silent);
	dv_close(late);
	dv_close(early);
	dv_close(busy);
	try_close(&t);
}

TEST(restricted_server_serves_what_is_safe)
{
	struct dv_server_opts o = { .size = sizeof(o), .restricted = true };
	char text[64];
	struct try t;
	int fd;

	try_open(&t, &o);
	fd = try_connect(&t, DV_PROTO_TTRPC);
	try_send_hex(&t, fd, PING);
	try_expect_hex(&t, fd, PONG);
	try_call(&t, fd, 3, "Fail", NULL, 0);
	CHECK_EQ(try_answer(&t, fd, 3, text, sizeof(text)), DV_UNIMPLEMENTED);
	CHECK_STR(text, "unknown method Fail");
	/* Whatever else the row of what changes something says. */
	try_call(&t, fd, 5, "Change", NULL, 0);
	CHECK_EQ(try_answer(&t, fd, 5, text, sizeof(text)), DV_UNIMPLEMENTED);
	CHECK_STR(text, "unknown method Change");
	CHECK_EQ(t.n_calls, 1);
	dv_close(fd);
	try_close(&t);
}

/* A reader that stops: the server stops reading from it, and from nobody else,
 * and everything arrives when it goes on. */
TEST(slow_reader_is_not_read_and_loses_nothing)
{
	enum { ANSWERS = 40, LEN = 1 << 20 };
	dv_autobuf out = DV_BUF_INIT(1 << 20);
	char *big = malloc(LEN + 64);
	struct dv_server_stats stats;
	struct try t;
	int fd, other;

	try_open(&t, NULL);
	fd = try_connect(&t, DV_PROTO_TTRPC);
	other = try_connect(&t, DV_PROTO_TTRPC);
	for (uint32_t i = 0; i < ANSWERS; i++)
		try_request(&out, 2 * i + 1, "Big", "\x08\x80\x80\x40", 4, 0);
	try_write(&t, fd, out.data, out.len);
	try_pump(t.loop);
	dv_server_stats(t.server, &stats);
	CHECK(stats.total_calls < 8);
	try_send_hex(&t, other, PING);
	try_expect_hex(&t, other, PONG);
	for (uint32_t i = 0; i < ANSWERS; i++)
		CHECK_EQ(try_answer(&t, fd, 2 * i + 1, big, LEN + 64), 0);
	CHECK_EQ(dv_server_flush(t.server), 0);
	free(big);
	dv_close(fd);
	dv_close(other);
	try_close(&t);
}

/* Answers that are held do not pile up without end. */
TEST(held_answers_that_nobody_reads_fail_at_the_limit)
{
	static char big[4 << 20];
	struct try t;
	int fd, failed = 0;

	try_open(&t, NULL);
	fd = try_connect(&t, DV_PROTO_TTRPC);
	for (uint32_t i = 0; i < 8; i++)
		try_call(&t, fd, 2 * i + 1, "Hold", NULL, 0);
	try_pump(t.loop);
	CHECK_EQ(t.n_held, 8);
	for (uint32_t i = 0; i < 8; i++)
		dv_call_reply_bytes(t.held[i], big, sizeof(big));
	for (uint32_t i = 0; i < 8; i++)
		failed +=
			try_answer(&t, fd, 2 * i + 1, NULL, 0) == DV_EXHAUSTED;
	CHECK_EQ(failed, 5); /* 3 fit under 16 MiB with their heads */
	dv_close(fd);
	try_close(&t);
}

/* A flood of requests on one connection does not keep others waiting. */
TEST(flood_of_requests_takes_turns_with_others)
{
	enum { FLOOD = 1500 };
	dv_autobuf out = DV_BUF_INIT(1 << 20);
	struct try t;
	int fd, other, turns = 0;

	try_open(&t, NULL);
	fd = try_connect(&t, DV_PROTO_TTRPC);
	other = try_connect(&t, DV_PROTO_TTRPC);
	for (uint32_t i = 0; i < FLOOD; i++)
		try_request(&out, 2 * i + 1, "Ping", NULL, 0, 0);
	CHECK_EQ(send(fd, out.data, out.len, 0), out.len);
	dv_loop_dispatch(t.loop, 0);
	CHECK(t.n_calls > 0 && t.n_calls <= 2 * DV_RPC_TURN_FRAMES);
	try_send_hex(&t, other, PING);
	try_expect_hex(&t, other, PONG);
	CHECK(t.n_calls < FLOOD);
	while (t.n_calls < FLOOD + 1) {
		dv_loop_dispatch(t.loop, 0);
		turns++;
	}
	CHECK(turns > 10);
	for (uint32_t i = 0; i < FLOOD; i++)
		CHECK_EQ(try_answer(&t, fd, 2 * i + 1, NULL, 0), 0);
	dv_close(fd);
	dv_close(other);
	try_close(&t);
}

/* ---- descriptors ---- */

static void send_with_fds(int sock, const void *data, size_t len,
			  const int *fds, size_t n)
{
	union {
		struct cmsghdr align;
		char buf[CMSG_SPACE(sizeof(int) * 64)];
	} ctl = { 0 };
	struct iovec iov = { (void *)(uintptr_t)data, len };
	struct msghdr msg = { .msg_iov = &iov,
			      .msg_iovlen = 1,
			      .msg_control = &ctl,
			      .msg_controllen = CMSG_SPACE(n * sizeof(int)) };

	ctl.align.cmsg_level = SOL_SOCKET;
	ctl.align.cmsg_type = SCM_RIGHTS;
	ctl.align.cmsg_len = CMSG_LEN(n * sizeof(int));
	memcpy(CMSG_DATA(&ctl.align), fds, n * sizeof(int));
	CHECK_EQ(sendmsg(sock, &msg, 0), len);
}

static bool same_file(int a, int b)
{
	struct stat x, y;

	CHECK_EQ(fstat(a, &x), 0);
	CHECK_EQ(fstat(b, &y), 0);
	return x.st_ino == y.st_ino && x.st_dev == y.st_dev;
}

/* Frames before and behind it come in the same read. */
TEST(descriptors_go_to_the_frame_that_they_came_with)
{
	dv_autobuf before = DV_BUF_INIT(1024), with = DV_BUF_INIT(1024);
	struct try t;
	int fd, p[2], back;

	try_open(&t, NULL);
	fd = try_connect(&t, DV_PROTO_TTRPC);
	CHECK_EQ(dv_pipe(p), 0);
	try_request(&before, 1, "Fds", NULL, 0, 0);
	try_request(&with, 3, "Fds", NULL, 0, 0);
	CHECK_EQ(send(fd, before.data, before.len, 0), before.len);
	send_with_fds(fd, with.data, with.len, p, 1);
	CHECK_EQ(send(fd, before.data, before.len, 0), before.len);
	try_pump(t.loop);
	CHECK_EQ(try_answer(&t, fd, 1, NULL, 0), DV_INVALID);
	CHECK(t.got_fd >= 0 && same_file(t.got_fd, p[0]));
	{
		/* The answer's descriptors come with its first byte. */
		union {
			struct cmsghdr align;
			char buf[CMSG_SPACE(sizeof(int))];
		} ctl;
		char buf[64];
		struct iovec iov = { buf, sizeof(buf) };
		struct msghdr msg = { .msg_iov = &iov,
				      .msg_iovlen = 1,
				      .msg_control = &ctl,
				      .msg_controllen = sizeof(ctl) };

		CHECK_EQ(recvmsg(fd, &msg, MSG_CMSG_CLOEXEC), 12);
		memcpy(&back, CMSG_DATA(&ctl.align), sizeof(back));
		CHECK(same_file(back, p[0]));
		dv_close(back);
	}
	CHECK_EQ(try_answer(&t, fd, 1, NULL, 0), DV_INVALID);
	dv_close(p[0]);
	dv_close(p[1]);
	dv_close(fd);
	try_close(&t);
}

TEST(too_many_descriptors_end_the_connection)
{
	dv_autobuf out = DV_BUF_INIT(1024);
	int fds[DV_RPC_FDS_MAX + 2];
	struct try t;
	int fd;

	try_open(&t, NULL);
	try_request(&out, 1, "Fds", NULL, 0, 0);
	for (size_t i = 0; i < DV_ARRAY_LEN(fds); i++)
		fds[i] = STDIN_FILENO;
	/* At once, and by and by with the bytes of one frame. */
	fd = try_connect(&t, DV_PROTO_TTRPC);
	send_with_fds(fd, out.data, out.len, fds, DV_RPC_FDS_MAX + 2);
	CHECK_EQ(try_silent(&t, fd), 0);
	dv_close(fd);
	fd = try_connect(&t, DV_PROTO_TTRPC);
	for (size_t i = 0; i <= DV_RPC_FDS_MAX; i++) {
		send_with_fds(fd, out.data + i, 1, fds, 1);
		try_pump(t.loop);
	}
	CHECK_EQ(try_silent(&t, fd), 0);
	dv_close(fd);
	CHECK_EQ(t.got_fd, -1);
	try_close(&t);
}

TEST(descriptors_of_refused_frames_are_closed)
{
	uint8_t wire[10];
	int p[2];
	struct try t;
	int fd;

	try_open(&t, NULL);
	fd = try_connect(&t, DV_PROTO_TTRPC);
	CHECK_EQ(dv_pipe(p), 0);
	try_hex("00000000000000020100", wire);
	send_with_fds(fd, wire, sizeof(wire), &p[1], 1);
	CHECK_EQ(try_answer(&t, fd, 2, NULL, 0), DV_INVALID);
	dv_close(p[1]);
	/* Its reader sees the end: nobody else has it. */
	CHECK_EQ(read(p[0], wire, 1), 0);
	dv_close(p[0]);
	dv_close(fd);
	try_close(&t);
}

/* ---- restart ---- */

struct copy {
	struct dv_conn_state state;
	struct dv_call_state calls[8];
	char payload[8][64];
	char in[256], out[256];
	int n;
};

static int copy_state(void *arg, const struct dv_conn_state *s)
{
	struct copy *c = arg;

	c->state = *s;
	c->state.fd = dv_fd_dup(s->fd, 0);
	if (s->in_len)
		memcpy(c->in, s->in, s->in_len);
	c->state.in = c->in;
	if (s->out_len)
		memcpy(c->out, s->out, s->out_len);
	c->state.out = c->out;
	for (size_t i = 0; i < s->n_calls; i++) {
		c->calls[i] = s->calls[i];
		memcpy(c->payload[i], s->calls[i].payload, s->calls[i].len);
		c->calls[i].payload = c->payload[i];
	}
	c->state.calls = c->calls;
	c->n++;
	return 0;
}

/* Half a request, a held call, and one that cannot be repeated: the second
 * server answers what the first one could not, and not a byte is lost. */
TEST(another_server_goes_on_where_the_first_one_stopped)
{
	dv_autobuf out = DV_BUF_INIT(1024);
	struct copy copy = { .n = 0 };
	struct try a, b;
	char text[64];
	int fd;

	try_open(&a, NULL);
	try_open(&b, NULL);
	fd = try_connect(&a, DV_PROTO_TTRPC_DIAG);
	try_call(&a, fd, 1, "Hold", "\x08\x2a", 2);
	try_call(&a, fd, 3, "HoldOnce", "\x08\x2b", 2);
	try_request(&out, 5, "Ping", NULL, 0, 0);
	try_write(&a, fd, out.data, 17);
	try_pump(a.loop);
	dv_server_drain(a.server);
	CHECK_EQ(a.n_held, 2);
	/* Looking changes nothing. */
	CHECK_EQ(dv_server_save(a.server, copy_state, &copy), 0);
	CHECK_EQ(copy.n, 1);
	CHECK_EQ(copy.state.n_calls, 1);
	CHECK_EQ(a.n_cancelled, 0);
	dv_close(copy.state.fd);
	copy.n = 0;
	dv_server_part(a.server);
	CHECK_EQ(dv_server_save(a.server, copy_state, &copy), 0);
	CHECK_EQ(copy.n, 1);
	CHECK_EQ(copy.state.n_calls, 1);
	CHECK_EQ(copy.state.in_len, 17);
	CHECK_EQ(a.n_cancelled, 1);
	CHECK_EQ(dv_server_restore(b.server, &copy.state), 0);
	/* As if it had been gone by exec: no answer of the first is sent. */
	try_write(&b, fd, out.data + 17, out.len - 17);
	CHECK_EQ(try_answer(&b, fd, 3, text, sizeof(text)), DV_UNAVAILABLE);
	CHECK_EQ(try_answer(&b, fd, 5, NULL, 0), 0);
	CHECK_EQ(b.n_held, 1);
	CHECK_EQ(((dv_diag_WaitRequest *)b.held[0]->req)->pid, 42);
	dv_call_reply(b.held[0], NULL);
	CHECK_EQ(try_answer(&b, fd, 1, NULL, 0), 0);
	dv_close(fd);
	try_close(&a);
	try_close(&b);
}

/* Nobody gets us to hold much, or to save what has no room in a document. */
TEST(padding_of_a_held_request_is_not_kept)
{
	/* A pid, and field 99 up to the end. */
	static uint8_t payload[100000] = { 0x08, 0x2a, 0x9a, 0x06 };
	const size_t rest = sizeof(payload) - 7;
	struct dv_server_stats stats;
	struct copy copy = { .n = 0 };
	struct try t;
	int fd;

	payload[4] = (uint8_t)(0x80 | (rest & 0x7f));
	payload[5] = (uint8_t)(0x80 | (rest >> 7 & 0x7f));
	payload[6] = (uint8_t)(rest >> 14);
	try_open(&t, NULL);
	fd = try_connect(&t, DV_PROTO_TTRPC_DIAG);
	try_call(&t, fd, 1, "Hold", payload, sizeof(payload));
	try_pump(t.loop);
	CHECK_EQ(t.n_held, 1);
	dv_server_drain(t.server);
	dv_server_part(t.server);
	CHECK_EQ(dv_server_save(t.server, copy_state, &copy), 0);
	dv_server_resume(t.server);
	CHECK_EQ(copy.state.n_calls, 0);
	dv_close(copy.state.fd);
	CHECK_EQ(t.n_cancelled, 1);
	CHECK_EQ(try_answer(&t, fd, 1, NULL, 0), DV_UNAVAILABLE);
	dv_server_stats(t.server, &stats);
	CHECK_EQ(stats.calls, 0);
	dv_close(fd);
	try_close(&t);
}

/*
 * Ten clients begin a long message each and do not end it: together they keep
 * more than is allowed. One of those who keep most goes; nobody else does.
 */
TEST(unfinished_requests_of_all_connections_have_a_limit)
{
	enum { N = 10, PART = 14 << 20 };
	/* 15 MiB are announced, on stream 1. */
	static const uint8_t head[] = { 0, 0xf0, 0, 0, 0, 0, 0, 1, 1, 0 };
	dv_autofree char *part = calloc(1, PART);
	int fd[N], innocent, n_open = 0;
	struct dv_server_stats stats;
	struct try t;

	CHECK(part != NULL);
	try_open(&t, NULL);
	innocent = try_connect(&t, DV_PROTO_TTRPC_DIAG);
	try_write(&t, innocent, head, sizeof(head));
	try_write(&t, innocent, part, 1000);
	for (int i = 0; i < N; i++) {
		fd[i] = try_connect(&t, DV_PROTO_TTRPC_DIAG);
		try_write(&t, fd[i], head, sizeof(head));
		try_write(&t, fd[i], part, PART);
		try_pump(t.loop);
	}
	for (int i = 0; i < N; i++)
		n_open += try_silent(&t, fd[i]);
	CHECK_EQ(n_open, N - 1);
	CHECK_EQ(try_silent(&t, innocent), 1);
	dv_server_stats(t.server, &stats);
	CHECK_EQ(stats.conns, N);
	for (int i = 0; i < N; i++)
		dv_close(fd[i]);
	dv_close(innocent);
	try_close(&t);
}

TEST(draining_server_answers_and_reads_nothing)
{
	struct try t;
	int fd;

	try_open(&t, NULL);
	fd = try_connect(&t, DV_PROTO_TTRPC);
	try_call(&t, fd, 1, "Hold", NULL, 0);
	try_pump(t.loop);
	dv_server_drain(t.server);
	CHECK_EQ(send(fd, "x", 0, 0), 0);
	try_call(&t, fd, 3, "Ping", NULL, 0);
	CHECK_EQ(try_silent(&t, fd), 1);
	dv_call_reply(t.held[0], NULL);
	CHECK_EQ(try_answer(&t, fd, 1, NULL, 0), 0);
	CHECK_EQ(t.n_calls, 0);
	dv_server_resume(t.server);
	CHECK_EQ(try_answer(&t, fd, 3, NULL, 0), 0);
	dv_close(fd);
	try_close(&t);
}

TEST(head_that_was_read_elsewhere_is_the_beginning)
{
	uint8_t wire[64];
	size_t n = try_hex(PING, wire);
	struct try t;
	int fds[2];

	try_open(&t, NULL);
	for (size_t cut = 1; cut <= n; cut++) {
		CHECK_EQ(socketpair(AF_UNIX,
				    SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK,
				    0, fds),
			 0);
		CHECK_EQ(dv_server_take(t.server, fds[0], DV_PROTO_TTRPC, NULL,
					wire, cut, NULL, 0),
			 0);
		try_write(&t, fds[1], wire + cut, n - cut);
		try_expect_hex(&t, fds[1], PONG);
		dv_close(fds[1]);
	}
	try_close(&t);
}
