/* SPDX-License-Identifier: MIT */
/*
 * Metadata, from a client to a handler, by both protocols.
 */
#include <errno.h>
#include <string.h>
#include <sys/socket.h>

#include "base/def.h"
#include "base/test.h"
#include "davit/rpc.h"
#include "rpc/server.h"

/* Answers with the value of "colour". */
static void colour(struct dv_call *call)
{
	struct dv_str value;

	if (dv_call_metadata(call, "colour", &value) < 0)
		dv_call_fail(call, DV_NOT_FOUND, "no colour");
	else
		dv_call_reply_bytes(call, value.ptr, value.len);
}

static struct dv_call *held;

static void hold(struct dv_call *call)
{
	held = call;
	dv_call_hold(call, NULL, NULL);
}

/* Answers with the value of "x-bin" and that of "colour". */
static void bytes(struct dv_call *call)
{
	dv_autobuf all = DV_BUF_INIT(1024);
	struct dv_str value;

	if (dv_call_metadata(call, "x-bin", &value) == 0)
		dv_buf_put(&all, value.ptr, value.len);
	if (dv_call_metadata(call, "colour", &value) == 0)
		dv_buf_put(&all, value.ptr, value.len);
	dv_call_reply_bytes(call, all.data, all.len);
}

static const struct dv_method methods[] = {
	{ "Colour", colour, NULL, 0, NULL, 0 },
	{ "Hold", hold, NULL, 0, NULL, 0 },
	{ "Bytes", bytes, NULL, 0, NULL, 0 },
};
static DV_SERVICE(service, "test.Paint", methods);

struct pair {
	struct dv_loop *loop;
	struct dv_server *server;
	struct dv_rpc *rpc;
};

static void pair_open(struct pair *p, enum dv_rpc_proto proto)
{
	struct dv_rpc_opts opts = DV_RPC_OPTS_INIT;
	int fds[2];

	CHECK_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
	CHECK_EQ(dv_loop_new(&p->loop), 0);
	CHECK_EQ(dv_server_new(&p->server, p->loop, NULL, NULL), 0);
	CHECK_EQ(dv_server_add(p->server, &service, NULL), 0);
	CHECK_EQ(dv_server_take(p->server, fds[0],
				proto == DV_RPC_GRPC ? DV_PROTO_GRPC
						     : DV_PROTO_TTRPC,
				NULL, NULL, 0, NULL, 0),
		 0);
	opts.proto = proto;
	opts.fd = fds[1];
	CHECK_EQ(dv_rpc_new(&p->rpc, p->loop, &opts, NULL), 0);
}

static void pair_close(struct pair *p)
{
	dv_rpc_free(p->rpc);
	dv_server_free(p->server);
	dv_loop_free(p->loop);
}

static int ask(struct pair *p, const char *const *metadata, char **outp,
	       struct dv_err *err)
{
	struct dv_rpc_call_opts opts = DV_RPC_CALL_INIT;
	size_t len;

	*err = (struct dv_err)DV_ERR_INIT;
	opts.timeout_ms = 10000;
	opts.metadata = metadata;
	return dv_rpc_call_wait(p->rpc, "test.Paint", "Colour", NULL, 0, &opts,
				(void **)outp, &len, err);
}

static void check_both_ways(enum dv_rpc_proto proto)
{
	static const char *const some[] = { "shape",  "round", "colour", "red",
					    "colour", "blue",  NULL };
	static const char *const empty[] = { "colour", "", NULL };
	static const char *const other[] = { "colours", "red", NULL };
	dv_autofree char *got = NULL, *got_empty = NULL, *none = NULL;
	struct pair p;
	struct dv_err err;

	pair_open(&p, proto);
	CHECK_EQ(ask(&p, some, &got, &err), 0);
	CHECK_STR(got, "red"); /* the first of several */
	CHECK_EQ(ask(&p, empty, &got_empty, &err), 0);
	CHECK_STR(got_empty, "");
	CHECK(ask(&p, other, &none, &err) < 0);
	CHECK_EQ(err.code, DV_NOT_FOUND);
	CHECK(ask(&p, NULL, &none, &err) < 0);
	CHECK_EQ(err.code, DV_NOT_FOUND);
	pair_close(&p);
}

TEST(metadata_by_ttrpc_reaches_the_handler)
{
	check_both_ways(DV_RPC_TTRPC);
}

TEST(metadata_by_grpc_reaches_the_handler)
{
	check_both_ways(DV_RPC_GRPC);
}

/* Of every length, so with every rest of base64; the first call waits. */
TEST(metadata_of_any_bytes_goes_by_grpc)
{
	static const char *const text[] = { "colour", "red", NULL };
	struct dv_rpc_call_opts opts = DV_RPC_CALL_INIT;
	struct dv_rpc_bytes more[2] = { { "x-bin", NULL, 0 },
					{ "x-bin", "second", 6 } };
	uint8_t data[256];
	struct pair p;

	for (size_t i = 0; i < sizeof(data); i++)
		data[i] = (uint8_t)(255 - i);
	pair_open(&p, DV_RPC_GRPC);
	opts.timeout_ms = 10000;
	opts.metadata = text;
	opts.binary = more;
	opts.n_binary = 2;
	more[0].data = data;
	for (size_t n = 0; n <= sizeof(data); n++) {
		dv_autofree char *got = NULL;
		size_t len;

		more[0].len = n;
		CHECK_EQ(dv_rpc_call_wait(p.rpc, "test.Paint", "Bytes", NULL, 0,
					  &opts, (void **)&got, &len, NULL),
			 0);
		CHECK_EQ(len, n + 3);
		assert_memory_equal(got, data, n);
		assert_memory_equal(got + n, "red", 3);
	}
	pair_close(&p);
}

TEST(metadata_of_bytes_that_cannot_be_sent_is_refused)
{
	static const struct dv_rpc_bytes rows[] = {
		{ "x", "a", 1 },          { "-bin", "a", 1 },
		{ "X-bin", "a", 1 },      { "grpc-x-bin", "a", 1 },
		{ "x-bin", rows, 60000 }, { "x-bin", rows, SIZE_MAX },
		{ NULL, "a", 1 },
	};
	struct dv_rpc_call_opts opts = DV_RPC_CALL_INIT;
	dv_autofree char *got = NULL;
	struct dv_err err;
	struct pair p;

	pair_open(&p, DV_RPC_GRPC);
	/* A connection first: what waits for one is refused later. */
	CHECK_EQ(ask(&p, (const char *[]){ "colour", "red", NULL }, &got, &err),
		 0);
	opts.n_binary = 1;
	for (size_t i = 0; i < DV_ARRAY_LEN(rows); i++) {
		opts.binary = &rows[i];
		CHECK_EQ(dv_rpc_call_wait(p.rpc, "test.Paint", "Bytes", NULL, 0,
					  &opts, NULL, NULL, NULL),
			 -EINVAL);
	}
	pair_close(&p);
	pair_open(&p, DV_RPC_TTRPC);
	opts.binary = rows;
	CHECK_EQ(dv_rpc_call_wait(p.rpc, "test.Paint", "Bytes", NULL, 0, &opts,
				  NULL, NULL, NULL),
		 -ENOSYS);
	pair_close(&p);
}

static void ignore(struct dv_rpc_call *call, const struct dv_rpc_reply *reply,
		   void *arg)
{
	(void)call;
	(void)reply;
	(void)arg;
}

TEST(metadata_of_a_held_call_is_gone)
{
	static const char *const some[] = { "colour", "red", NULL };
	struct dv_rpc_call_opts opts = DV_RPC_CALL_INIT;
	struct dv_str value;
	struct pair p;

	pair_open(&p, DV_RPC_TTRPC);
	opts.metadata = some;
	held = NULL;
	CHECK_EQ(dv_rpc_call(p.rpc, NULL, "test.Paint", "Hold", NULL, 0, &opts,
			     ignore, NULL, NULL),
		 0);
	while (!held)
		CHECK(dv_loop_dispatch(p.loop, 10000) > 0);
	CHECK_EQ(dv_call_metadata(held, "colour", &value), -ENOENT);
	pair_close(&p);
}
