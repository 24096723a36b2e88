/* SPDX-License-Identifier: MIT */
/*
 * Who is there: asked once for all operations of a client.
 */
#include <string.h>

#include "base/def.h"
#include "runtime/client/diag.h"
#include "wire/pb.h"

static void put_words(char *out, size_t size, char *const *words, size_t n)
{
	size_t at = 0;

	out[0] = '\0';
	for (size_t i = 0; i < n; i++) {
		size_t len = strlen(words[i]);

		if (at + len + 2 > size)
			break;
		if (at)
			out[at++] = ' ';
		memcpy(out + at, words[i], len + 1);
		at += len;
	}
}

static void put_text(char *out, size_t size, const char *text)
{
	size_t len = text ? strnlen(text, size - 1) : 0;

	if (len)
		memcpy(out, text, len);
	out[len] = '\0';
}

static int take_hello(struct dv_diag *d, const struct dv_rpc_reply *reply,
		      struct dv_err *err)
{
	dv_HelloReply m = dv_HelloReply_init_zero;
	int r = dv_pb_decode(dv_HelloReply_fields, reply->payload, reply->len,
			     &m, err);

	if (r < 0)
		return r;
	d->hello.version = m.version ? m.version : 1;
	d->hello.pid = m.pid;
	put_text(d->hello.server, sizeof(d->hello.server), m.server);
	put_text(d->hello.boundary, sizeof(d->hello.boundary), m.boundary);
	put_words(d->hello.features, sizeof(d->hello.features), m.features,
		  m.features_count);
	dv_pb_release(dv_HelloReply_fields, &m);
	d->ask = DV_ASK_V1;
	d->assumed = false;
	return 0;
}

/* Everybody who waits for the answer goes on, or fails with it. */
static void wake(struct dv_diag *d, int r, const struct dv_err *err)
{
	for (struct dv_op *op = d->ops; op; op = op->next) {
		if (!op->asked)
			continue;
		op->asked = false;
		if (r < 0) {
			op->r = r;
			op->err = *err;
		}
		dv_op_kick(op);
	}
}

static void on_hello(struct dv_rpc_call *call DV_UNUSED,
		     const struct dv_rpc_reply *reply, void *arg)
{
	struct dv_diag *d = arg;
	struct dv_err err = DV_ERR_INIT;
	int r = dv_diag_said(&d->hello_call, reply, &err);

	if (!d->assumed)
		d->ask = DV_ASK_NOT_YET;
	if (r < 0 && err.code == DV_UNIMPLEMENTED && !d->assumed) {
		d->ask = DV_ASK_FOREIGN;
		r = 0;
	} else if (r >= 0) {
		r = take_hello(d, reply, &err);
	}
	wake(d, r, &err);
}

int dv_diag_ask(struct dv_diag *d, struct dv_op *op, struct dv_err *err)
{
	struct dv_rpc_call_opts o = DV_RPC_CALL_INIT;
	dv_HelloRequest m = dv_HelloRequest_init_zero;
	char name[] = "davit";
	dv_autobuf out = DV_BUF_INIT(256);
	int r;

	op->asked = true;
	if (d->hello_call)
		return 0;
	m.version = 1;
	m.client = name;
	r = dv_pb_encode(dv_HelloRequest_fields, &m, &out, err);
	if (r < 0)
		return r;
	o.timeout_ms = DV_DIAG_HELLO_MS;
	r = dv_rpc_call(d->rpc, &d->hello_call, DV_DIAG_V1, "Hello", out.data,
			out.len, &o, on_hello, d, err);
	if (r == 0 && !d->assumed)
		d->ask = DV_ASK_ASKING;
	return r;
}

void dv_diag_assume(struct dv_diag *d)
{
	static const char fds[] = "fds";

	d->ask = DV_ASK_V1;
	d->assumed = true;
	d->hello.version = 1;
	memcpy(d->hello.features, fds, sizeof(fds));
}
