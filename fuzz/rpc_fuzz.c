/* SPDX-License-Identifier: MIT */
/*
 * Bytes to a server, and the same to a client that waits for an answer; both of
 * ttrpc, and, when it begins as HTTP/2 does, of gRPC. The first byte says where
 * the input is cut in two writes. Whatever comes, all calls end, and nothing is
 * left.
 */
#include <davit/rpc.h>

#include <sys/socket.h>
#include <unistd.h>

#include "base/def.h"
#include "base/fd.h"
#include "rpc/server.h"
#include "wire/diag.pb.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { SIZE_LIMIT = 16384 };

static void on_ping(struct dv_call *call)
{
	struct dv_str value;

	if (dv_call_metadata(call, "x-bin", &value) == 0)
		dv_call_reply_bytes(call, value.ptr, value.len);
	else
		dv_call_reply(call, NULL);
}

static void on_echo(struct dv_call *call)
{
	dv_call_reply(call, call->req);
}

static void on_hold(struct dv_call *call)
{
	dv_call_hold(call, NULL, NULL);
}

static const struct dv_method methods[] = {
	{ "Ping", on_ping, NULL, 0, NULL, 0 },
	DV_METHOD("Exec", on_echo, dv_diag_ExecRequest, dv_diag_ExecRequest, 0),
	{ "Wait", on_hold, NULL, 0, NULL, DV_M_REPLAY },
};
DV_SERVICE(service, "diag.UnderhillDiag", methods);

static void run(struct dv_loop *loop, int fd, const uint8_t *data, size_t size)
{
	size_t cut = size ? data[0] * size / 256 : 0;

	(void)!send(fd, data, cut, MSG_NOSIGNAL | MSG_DONTWAIT);
	dv_loop_dispatch(loop, 0);
	(void)!send(fd, data + cut, size - cut, MSG_NOSIGNAL | MSG_DONTWAIT);
	shutdown(fd, SHUT_WR);
	for (int i = 0; i < 64 && dv_loop_dispatch(loop, 0) > 0; i++)
		;
}

static void to_server(struct dv_loop *loop, enum dv_proto proto,
		      const uint8_t *data, size_t size)
{
	struct dv_server *server;
	int fds[2];

	dv_assert(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) == 0);
	dv_assert(dv_server_new(&server, loop, NULL, NULL) == 0);
	dv_assert(dv_server_add(server, &service, NULL) == 0);
	dv_assert(dv_server_take(server, fds[0], proto, NULL, NULL, 0, NULL,
				 0) == 0);
	run(loop, fds[1], data, size);
	dv_close(fds[1]);
	dv_server_free(server);
}

static void on_done(struct dv_rpc_call *call, const struct dv_rpc_reply *reply,
		    void *arg)
{
	(void)call;
	(void)reply;
	++*(int *)arg;
}

static void to_client(struct dv_loop *loop, enum dv_rpc_proto proto,
		      const uint8_t *data, size_t size)
{
	struct dv_rpc_opts o = DV_RPC_OPTS_INIT;
	struct dv_rpc *rpc;
	int done = 0;
	int fds[2];

	dv_assert(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) == 0);
	o.proto = proto;
	o.fd = fds[0];
	dv_assert(dv_rpc_new(&rpc, loop, &o, NULL) == 0);
	for (int i = 0; i < 4; i++)
		dv_assert(dv_rpc_call(rpc, NULL, "s", "m", "x", 1, NULL,
				      on_done, &done, NULL) == 0);
	dv_loop_dispatch(loop, 0);
	dv_loop_dispatch(loop, 0);
	run(loop, fds[1], data, size);
	dv_close(fds[1]);
	dv_rpc_free(rpc);
	dv_assert(done == 4);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct dv_loop *loop;

	if (size > SIZE_LIMIT)
		return 0;
	dv_assert(dv_loop_new(&loop) == 0);
	if (size > 0 && data[0] == 'P') {
		to_server(loop, DV_PROTO_GRPC, data, size);
	} else {
		to_server(loop, DV_PROTO_TTRPC_DIAG, data, size);
		to_client(loop, DV_RPC_TTRPC, data, size);
	}
	/* What a server of HTTP/2 says begins with the length of a frame. */
	if (size > 0 && data[0] == 0)
		to_client(loop, DV_RPC_GRPC, data, size);
	dv_loop_free(loop);
	return 0;
}
