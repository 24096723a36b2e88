/* SPDX-License-Identifier: MIT */
/*
 * Our side of the gRPC tests. The service is test.Grpc, which the peers in
 * tests/peers serve and call as well:
 *
 *	Unary     WaitRequest{pid} -> WaitResponse{exit_code: pid}
 *	Empty     nothing -> nothing
 *	Fail      NOT_FOUND, with FAIL_TEXT
 *	Hang      no answer; its end is what WaitCancel waits for
 *	WaitCancel nothing -> WaitResponse{exit_code: how many Hangs have ended
 *		  without an answer since it was asked last}, when none is left
 *	Stream    pid messages FileRequest{conn: 0.., file_path: 1000 letters}
 *	StreamFail the same, then ABORTED
 *	WaitStall answers when a stream could not send any more
 *	Big       pid bytes, in a field that nobody knows
 *	Bin       a number made of the bytes of x-data-bin (metadata)
 *	Quit      answers; the server ends
 *	Drain     answers; the server says GOAWAY
 *	Restart   answers; another one listens there, this one says GOAWAY
 *	Slow      as Unary, but after a Go, which the other one gets
 *	Go        nothing -> nothing
 *
 *	grpc_peer server SOCKET		prints "ready"
 *	grpc_peer client SOCKET WHAT [N]
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <davit/rpc.h>

#include "base/buf.h"
#include "base/def.h"
#include "rpc/door.h"
#include "rpc/server.h"
#include "wire/diag.pb.h"

#define SERVICE "test.Grpc"
#define FAIL_TEXT            \
	"gr\xc3\xbc\xc3\x9f" \
	"e: 100% of it\nis gone"
#define PATH_LEN 1000
#define MIB      (1 << 20)

/* ---- server ------------------------------------------------------------- */

static struct {
	struct dv_loop *loop;
	struct dv_server *server;
	bool quit;
	unsigned int n_hanging, n_ended; /* Hangs */
	bool stalled;
	struct dv_call *wait_cancel, *wait_stall, *slow;
} srv;

static void do_unary(struct dv_call *call)
{
	const dv_diag_WaitRequest *rq = call->req;
	dv_diag_WaitResponse rs = { .exit_code = rq->pid };

	dv_call_reply(call, &rs);
}

static void do_empty(struct dv_call *call)
{
	dv_call_reply(call, NULL);
}

static void do_fail(struct dv_call *call)
{
	struct dv_err err = DV_ERR_INIT;

	dv_err_set(&err, ENOENT, DV_NOT_FOUND, "%s", FAIL_TEXT);
	dv_err_hint(&err, "look elsewhere");
	dv_call_fail_err(call, &err);
}

static void tell_ended(struct dv_call *call)
{
	dv_diag_WaitResponse rs = { .exit_code = (int32_t)srv.n_ended };

	srv.n_ended = 0;
	dv_call_reply(call, &rs);
}

static void hang_ended(struct dv_call *call)
{
	(void)call;
	srv.n_ended++;
	if (--srv.n_hanging == 0 && srv.wait_cancel)
		tell_ended(dv_take_ptr(&srv.wait_cancel));
}

static void do_hang(struct dv_call *call)
{
	srv.n_hanging++;
	dv_call_hold(call, NULL, hang_ended);
}

static void wait_cancel_ended(struct dv_call *call)
{
	(void)call;
	srv.wait_cancel = NULL;
}

static void do_wait_cancel(struct dv_call *call)
{
	if (srv.n_hanging == 0) {
		tell_ended(call);
		return;
	}
	srv.wait_cancel = call;
	dv_call_hold(call, NULL, wait_cancel_ended);
}

struct flow {
	int at, n;
	bool fails;
};

static void flow_ended(struct dv_call *call)
{
	free(call->data);
}

static void flow_on(struct dv_call *call)
{
	static char path[PATH_LEN + 1];
	struct flow *flow = call->data;
	dv_diag_FileRequest msg = dv_diag_FileRequest_init_zero;
	bool fails = flow->fails;
	int r;

	memset(path, 'x', PATH_LEN);
	msg.file_path = path;
	while (flow->at < flow->n) {
		msg.conn = (uint64_t)flow->at++;
		r = dv_call_send(call, &msg, flow_on);
		if (r < 0) {
			free(flow);
			return;
		}
		if (r != DV_MORE)
			continue;
		srv.stalled = true;
		if (srv.wait_stall)
			dv_call_reply(dv_take_ptr(&srv.wait_stall), NULL);
		return;
	}
	free(flow);
	if (fails)
		dv_call_fail(call, DV_ABORTED, "enough");
	else
		dv_call_end(call);
}

static void flow_start(struct dv_call *call, bool fails)
{
	const dv_diag_WaitRequest *rq = call->req;
	struct flow *flow = calloc(1, sizeof(*flow));

	dv_assert(flow);
	flow->n = rq->pid;
	flow->fails = fails;
	dv_call_hold(call, flow, flow_ended);
	flow_on(call);
}

static void do_stream(struct dv_call *call)
{
	flow_start(call, false);
}

static void do_stream_fail(struct dv_call *call)
{
	flow_start(call, true);
}

static void wait_stall_ended(struct dv_call *call)
{
	(void)call;
	srv.wait_stall = NULL;
}

static void do_wait_stall(struct dv_call *call)
{
	if (srv.stalled) {
		srv.stalled = false;
		dv_call_reply(call, NULL);
		return;
	}
	srv.wait_stall = call;
	dv_call_hold(call, NULL, wait_stall_ended);
}

/* Field 15, @len bytes in all. */
static char *unknown_field(size_t len)
{
	char *p = calloc(1, len + 8);
	size_t n = 0, left = len - 6;

	dv_assert(p && len > 6);
	p[n++] = 15 << 3 | 2;
	for (int i = 0; i < 5; i++, left >>= 7)
		p[n++] = (char)((left & 0x7f) | (i < 4 ? 0x80 : 0));
	return p;
}

static void do_big(struct dv_call *call)
{
	const dv_diag_WaitRequest *rq = call->req;
	char *p = unknown_field((size_t)rq->pid);

	dv_call_reply_bytes(call, p, (size_t)rq->pid);
	free(p);
}

/* Sum of each byte times its place, from 1. */
static uint32_t number_of(const void *data, size_t len)
{
	const uint8_t *p = data;
	uint32_t sum = 0;

	for (size_t i = 0; i < len; i++)
		sum += p[i] * (uint32_t)(i + 1);
	return sum;
}

static void do_bin(struct dv_call *call)
{
	dv_diag_WaitResponse rs = { 0 };
	struct dv_str value;

	if (dv_call_metadata(call, "x-data-bin", &value) < 0) {
		dv_call_fail(call, DV_INVALID, "no x-data-bin");
		return;
	}
	rs.exit_code = (int32_t)number_of(value.ptr, value.len);
	dv_call_reply(call, &rs);
}

static void do_quit(struct dv_call *call)
{
	srv.quit = true;
	dv_call_reply(call, NULL);
}

static void do_drain(struct dv_call *call)
{
	dv_call_reply(call, NULL);
	dv_server_drain(srv.server);
	dv_server_resume(srv.server);
}

static void slow_ended(struct dv_call *call)
{
	(void)call;
	srv.slow = NULL;
}

static void do_slow(struct dv_call *call)
{
	srv.slow = call;
	dv_call_hold(call, NULL, slow_ended);
}

static void do_go(struct dv_call *call)
{
	if (srv.slow)
		do_unary(dv_take_ptr(&srv.slow));
	dv_call_reply(call, NULL);
}

#define WAIT_IN dv_diag_WaitRequest_fields, sizeof(dv_diag_WaitRequest)
static const struct dv_method methods[] = {
	{ "Unary", do_unary, WAIT_IN, dv_diag_WaitResponse_fields, 0 },
	{ "Empty", do_empty, NULL, 0, NULL, 0 },
	{ "Fail", do_fail, NULL, 0, NULL, 0 },
	{ "Hang", do_hang, NULL, 0, NULL, 0 },
	{ "WaitCancel", do_wait_cancel, NULL, 0, dv_diag_WaitResponse_fields,
	  0 },
	{ "Stream", do_stream, WAIT_IN, dv_diag_FileRequest_fields,
	  DV_M_STREAM },
	{ "StreamFail", do_stream_fail, WAIT_IN, dv_diag_FileRequest_fields,
	  DV_M_STREAM },
	{ "WaitStall", do_wait_stall, NULL, 0, NULL, 0 },
	{ "Big", do_big, WAIT_IN, NULL, 0 },
	{ "Bin", do_bin, NULL, 0, dv_diag_WaitResponse_fields, 0 },
	{ "Quit", do_quit, NULL, 0, NULL, 0 },
	{ "Drain", do_drain, NULL, 0, NULL, 0 },
	{ "Restart", do_drain, NULL, 0, NULL, 0 }, /* we are our own heir */
	{ "Slow", do_slow, WAIT_IN, dv_diag_WaitResponse_fields, 0 },
	{ "Go", do_go, NULL, 0, NULL, 0 },
};
static DV_SERVICE(service, SERVICE, methods);

static int serve(const char *path)
{
	struct dv_err err = DV_ERR_INIT;
	struct dv_door_opts opts = { .size = sizeof(opts) };
	struct dv_door *door = NULL;

	dv_assert(dv_loop_new(&srv.loop) == 0);
	dv_assert(dv_server_new(&srv.server, srv.loop, NULL, NULL) == 0);
	dv_assert(dv_server_add(srv.server, &service, NULL) == 0);
	opts.server = srv.server;
	if (dv_door_new(&door, srv.loop, path, -1, &opts, &err) < 0) {
		fprintf(stderr, "grpc_peer: %s\n", err.msg);
		return 1;
	}
	puts("ready");
	fflush(stdout);
	while (!srv.quit || dv_server_flush(srv.server) == DV_MORE)
		dv_loop_dispatch(srv.loop, -1);
	dv_door_free(door);
	dv_server_free(srv.server);
	dv_loop_free(srv.loop);
	return 0;
}

/* ---- client ------------------------------------------------------------- */

static struct dv_loop *loop;
static struct dv_rpc *rpc;

#define NEED(x)                                                         \
	do {                                                            \
		if (!(x)) {                                             \
			fprintf(stderr, "line %d: %s\n", __LINE__, #x); \
			exit(1);                                        \
		}                                                       \
	} while (0)

/* WaitRequest and WaitResponse: one number in field 1. */
static size_t put_number(uint8_t *p, uint32_t v)
{
	size_t n = 0;

	p[n++] = 0x08;
	for (; v > 0x7f; v >>= 7)
		p[n++] = (uint8_t)(v | 0x80);
	p[n++] = (uint8_t)v;
	return n;
}

static uint32_t get_number(const uint8_t *p, size_t len)
{
	uint32_t v = 0;

	for (size_t i = 1; i < len; i++) {
		v |= (uint32_t)(p[i] & 0x7f) << (7 * (i - 1));
		if (!(p[i] & 0x80))
			break;
	}
	return v;
}

static int call(const char *method, const void *in, size_t len, int timeout_ms,
		void **out, size_t *out_len, struct dv_err *err)
{
	struct dv_rpc_call_opts opts = DV_RPC_CALL_INIT;

	opts.timeout_ms = timeout_ms;
	return dv_rpc_call_wait(rpc, SERVICE, method, in, len, &opts, out,
				out_len, err);
}

static int call_number(const char *method, uint32_t in, void **out,
		       size_t *out_len, struct dv_err *err)
{
	uint8_t buf[8];

	return call(method, buf, put_number(buf, in), 20000, out, out_len, err);
}

static void unary_once(uint32_t n)
{
	dv_autofree void *out = NULL;
	struct dv_err err = DV_ERR_INIT;
	size_t len;
	int r = call_number("Unary", n, &out, &len, &err);

	if (r < 0)
		fprintf(stderr, "%s\n", err.msg);
	NEED(r == 0 && get_number(out, len) == n);
}

static void unary(int n)
{
	(void)n;
	unary_once(1234);
	unary_once(1);
}

static void empty(int n)
{
	dv_autofree void *out = NULL;
	size_t len = 7;

	(void)n;
	NEED(call("Empty", NULL, 0, 20000, &out, &len, NULL) == 0);
	NEED(len == 0);
}

static void failure(int n)
{
	struct dv_err err = DV_ERR_INIT;

	(void)n;
	NEED(call("Fail", NULL, 0, 20000, NULL, NULL, &err) == -ENOENT);
	NEED(err.code == DV_NOT_FOUND);
	NEED(strcmp(err.msg, FAIL_TEXT) == 0);
}

static void unknown(int n)
{
	struct dv_err err = DV_ERR_INIT;

	(void)n;
	NEED(call("Nothing", NULL, 0, 20000, NULL, NULL, &err) < 0);
	NEED(err.code == DV_UNIMPLEMENTED);
	NEED(dv_rpc_call_wait(rpc, "no.Such", "Thing", NULL, 0, NULL, NULL,
			      NULL, &err) < 0);
	NEED(err.code == DV_UNIMPLEMENTED);
	unary_once(3);
}

/* Whether a Hang got there, and has ended there. */
static bool ended_there(void)
{
	dv_autofree void *out = NULL;
	size_t len;

	NEED(call("WaitCancel", NULL, 0, 20000, &out, &len, NULL) == 0);
	return get_number(out, len) > 0;
}

/* Where all is slow the end may come before the server has begun. */
static void deadline(int n)
{
	struct dv_err err = DV_ERR_INIT;
	int ms = 25;

	(void)n;
	unary_once(1);
	do {
		ms *= 2;
		NEED(ms < 20000);
		NEED(call("Hang", NULL, 0, ms, NULL, NULL, &err) < 0);
		NEED(err.code == DV_DEADLINE);
	} while (!ended_there());
}

static void never(struct dv_rpc_call *c, const struct dv_rpc_reply *reply,
		  void *arg)
{
	(void)c;
	(void)reply;
	(void)arg;
	NEED(!"a cancelled call has no end");
}

static void cancel(int n)
{
	struct dv_rpc_call *hang;
	int tries = 0;

	(void)n;
	do {
		NEED(tries++ < 50);
		NEED(dv_rpc_call(rpc, &hang, SERVICE, "Hang", NULL, 0, NULL,
				 never, NULL, NULL) == 0);
		/* Who answered this has the other one, perhaps not begun. */
		unary_once(5);
		dv_rpc_cancel(hang);
	} while (!ended_there());
}

struct tally {
	unsigned int n, done;
	enum dv_code code;
	bool order;
};

static void on_message(struct dv_rpc_call *c, const struct dv_rpc_reply *reply,
		       void *arg)
{
	struct tally *t = arg;

	(void)c;
	if (reply->more) {
		/* FileRequest{conn: i}: 0 is not on the wire. */
		const uint8_t *p = reply->payload;
		uint32_t at = p[0] == 0x10 ? get_number(p, reply->len) : 0;

		t->order &= at == t->n && reply->len > PATH_LEN;
		t->n++;
		return;
	}
	t->done++;
	t->code = reply->r < 0 ? (enum dv_code)reply->err->code : DV_OK;
}

static void stream_of(const char *method, uint32_t n, struct tally *t)
{
	struct dv_rpc_call_opts opts = DV_RPC_CALL_INIT;
	uint8_t buf[8];
	size_t len = put_number(buf, n);

	*t = (struct tally){ .order = true };
	opts.stream = true;
	NEED(dv_rpc_call(rpc, NULL, SERVICE, method, buf, len, &opts,
			 on_message, t, NULL) == 0);
	while (!t->done)
		dv_loop_dispatch(loop, -1);
}

static void stream(int n)
{
	struct tally t;

	(void)n;
	stream_of("Stream", 10000, &t);
	NEED(t.n == 10000 && t.order && t.code == DV_OK);
	stream_of("Stream", 0, &t);
	NEED(t.n == 0 && t.code == DV_OK);
	stream_of("StreamFail", 3, &t);
	NEED(t.n == 3 && t.code == DV_ABORTED);
}

static void big(int n)
{
	dv_autofree void *out = NULL;
	dv_autofree char *in = unknown_field(3 * MIB);
	dv_autofree char *both = malloc(3 * MIB + 8);
	size_t len, at;

	(void)n;
	at = put_number((uint8_t *)both, 3 * MIB);
	memcpy(both + at, in, 3 * MIB);
	NEED(call("Big", both, at + 3 * MIB, 20000, &out, &len, NULL) == 0);
	NEED(len == 3 * MIB);
}

static void toobig(int n)
{
	dv_autofree char *in = unknown_field(5 * MIB);
	struct dv_err err = DV_ERR_INIT;

	(void)n;
	NEED(call_number("Big", 5 * MIB, NULL, NULL, &err) < 0);
	NEED(err.code == DV_EXHAUSTED);
	unary_once(9);
	NEED(call("Big", in, 5 * MIB, 1, NULL, NULL, &err) == -EMSGSIZE);
}

static void on_reply(struct dv_rpc_call *c, const struct dv_rpc_reply *reply,
		     void *arg)
{
	struct tally *t = arg;

	(void)c;
	NEED(reply->r == 0);
	t->n += get_number(reply->payload, reply->len);
	t->done++;
}

static void many(int n)
{
	struct tally t = { 0 };
	uint8_t buf[8];

	for (int round = 0; round < 20; round++) {
		t = (struct tally){ 0 };
		for (uint32_t i = 1; i <= 100; i++)
			NEED(dv_rpc_call(rpc, NULL, SERVICE, "Unary", buf,
					 put_number(buf, i), NULL, on_reply, &t,
					 NULL) == 0);
		while (t.done < 100)
			dv_loop_dispatch(loop, -1);
		NEED(t.n == 5050);
	}
	(void)n;
}

static void serial(int n)
{
	int fd;

	unary_once(1);
	fd = dv_rpc_fd(rpc);
	for (int i = 1; i <= (n ? n : 1000); i++)
		unary_once((uint32_t)i);
	NEED(dv_rpc_fd(rpc) == fd && fd >= 0);
}

static void metadata(int n)
{
	static const char *const good[] = { "x-number", "77", NULL };
	static const char *const bad[] = { "Grpc-Status", "0", NULL };
	struct dv_rpc_call_opts opts = DV_RPC_CALL_INIT;
	dv_autofree void *out = NULL;
	size_t len;

	(void)n;
	opts.metadata = good;
	NEED(dv_rpc_call_wait(rpc, SERVICE, "Meta", NULL, 0, &opts, &out, &len,
			      NULL) == 0);
	NEED(get_number(out, len) == 77);
	opts.metadata = bad;
	NEED(dv_rpc_call_wait(rpc, SERVICE, "Meta", NULL, 0, &opts, NULL, NULL,
			      NULL) == -EINVAL);
}

/* Bytes of every value, in every length: none of it is text. */
static void binary(int n)
{
	struct dv_rpc_call_opts opts = DV_RPC_CALL_INIT;
	struct dv_rpc_bytes more = { "x-data-bin", NULL, 0 };
	uint8_t data[256];

	(void)n;
	for (size_t i = 0; i < sizeof(data); i++)
		data[i] = (uint8_t)(255 - i);
	more.data = data;
	opts.timeout_ms = 20000;
	opts.binary = &more;
	opts.n_binary = 1;
	for (size_t len = 1; len <= sizeof(data); len += len < 8 ? 1 : 31) {
		dv_autofree void *out = NULL;
		struct dv_err err = DV_ERR_INIT;
		size_t out_len;

		more.len = len;
		if (dv_rpc_call_wait(rpc, SERVICE, "Bin", NULL, 0, &opts, &out,
				     &out_len, &err) < 0)
			fprintf(stderr, "%zu bytes: %s\n", len, err.msg);
		NEED(out && get_number(out, out_len) == number_of(data, len));
	}
}

/* The server says GOAWAY: the next calls go over a new connection. */
static void goaway(int n)
{
	struct dv_err err = DV_ERR_INIT;
	int r;

	(void)n;
	unary_once(1);
	NEED(call("Drain", NULL, 0, 20000, NULL, NULL, NULL) == 0);
	r = call_number("Unary", 2, NULL, NULL, &err);
	NEED(r == 0 || err.code == DV_UNAVAILABLE);
	unary_once(3);
}

static void on_unary(struct dv_rpc_call *c, const struct dv_rpc_reply *reply,
		     void *arg)
{
	struct tally *t = arg;

	(void)c;
	t->done++;
	t->code = reply->r < 0 ? (enum dv_code)reply->err->code : DV_OK;
	if (reply->r == 0)
		t->n = get_number(reply->payload, reply->len);
}

/*
 * A server that is about to end finishes Slow on the old connection while a
 * call goes to its successor, which listens at the same path.
 */
static void successor(int n)
{
	struct dv_rpc_call_opts ready = DV_RPC_CALL_INIT;
	struct tally slow = { 0 }, fresh = { 0 };
	uint8_t buf[8];
	int fd;

	(void)n;
	unary_once(1);
	fd = dv_rpc_fd(rpc);
	NEED(dv_rpc_call(rpc, NULL, SERVICE, "Slow", buf, put_number(buf, 5),
			 NULL, on_unary, &slow, NULL) == 0);
	NEED(call("Restart", NULL, 0, 20000, NULL, NULL, NULL) == 0);
	/* Its word of it comes with or after the answer. */
	while (dv_rpc_fd(rpc) == fd)
		dv_loop_dispatch(loop, -1);
	NEED(!slow.done);
	ready.wait_ready = true;
	NEED(dv_rpc_call(rpc, NULL, SERVICE, "Unary", buf, put_number(buf, 7),
			 &ready, on_unary, &fresh, NULL) == 0);
	while (!fresh.done)
		dv_loop_dispatch(loop, -1);
	NEED(fresh.code == DV_OK && fresh.n == 7);
	NEED(!slow.done);
	/* The new one tells the old one to go on. */
	NEED(call("Go", NULL, 0, 20000, NULL, NULL, NULL) == 0);
	while (!slow.done)
		dv_loop_dispatch(loop, -1);
	NEED(slow.code == DV_OK && slow.n == 5);
	unary_once(8);
}

static void bench(int n)
{
	uint64_t start;

	unary_once(1);
	start = dv_now_ns();
	for (int i = 0; i < n; i++)
		unary_once(1);
	printf("serial: %.0f calls/s\n",
	       (double)n * 1e9 / (double)(dv_now_ns() - start));
}

static void quit(int n)
{
	(void)n;
	NEED(call("Quit", NULL, 0, 20000, NULL, NULL, NULL) == 0);
}

static const struct {
	const char *name;
	void (*fn)(int n);
} scenes[] = {
	{ "unary", unary },       { "empty", empty },
	{ "fail", failure },      { "unknown", unknown },
	{ "deadline", deadline }, { "cancel", cancel },
	{ "stream", stream },     { "big", big },
	{ "toobig", toobig },     { "many", many },
	{ "serial", serial },     { "metadata", metadata },
	{ "goaway", goaway },     { "bench", bench },
	{ "binary", binary },     { "successor", successor },
	{ "quit", quit },
};

static int client(const char *path, const char *what, int n)
{
	struct dv_rpc_opts opts = DV_RPC_OPTS_INIT;

	opts.proto = DV_RPC_GRPC;
	opts.target = path;
	NEED(dv_loop_new(&loop) == 0);
	NEED(dv_rpc_new(&rpc, loop, &opts, NULL) == 0);
	for (size_t i = 0; i < DV_ARRAY_LEN(scenes); i++) {
		if (strcmp(scenes[i].name, what) != 0)
			continue;
		scenes[i].fn(n);
		dv_rpc_free(rpc);
		dv_loop_free(loop);
		puts("ok");
		return 0;
	}
	fprintf(stderr, "grpc_peer: no scene %s\n", what);
	return 2;
}

int main(int argc, char **argv)
{
	if (argc == 3 && strcmp(argv[1], "server") == 0)
		return serve(argv[2]);
	if (argc >= 4 && strcmp(argv[1], "client") == 0)
		return client(argv[2], argv[3],
			      argc > 4 ? (int)strtol(argv[4], NULL, 10) : 0);
	fprintf(stderr, "usage: grpc_peer server|client SOCKET [WHAT [N]]\n");
	return 2;
}
