/* SPDX-License-Identifier: MIT */
/*
 * ttrpc_peer server|client PATH: davit's ttrpc as the other side of somebody
 * else's. The client checks a server that has the same methods as this one, and
 * prints one line for each check that holds.
 */
#include <davit/rpc.h>

#include <stdio.h>
#include <string.h>

#include "base/def.h"
#include "base/fd.h"
#include "rpc/door.h"
#include "wire/diag.pb.h"

#define SERVICE "diag.OpenhclDiag"

static void check(bool ok, const char *what, const struct dv_err *err)
{
	if (!ok) {
		printf("not ok: %s: code %d, %s\n", what, err->code, err->msg);
		exit(1);
	}
	printf("ok %s\n", what);
}

/* ---- server ---- */

static void on_ping(struct dv_call *call)
{
	dv_call_reply(call, NULL);
}

static void on_echo(struct dv_call *call)
{
	dv_call_reply(call, call->req);
}

static void on_fail(struct dv_call *call)
{
	dv_call_fail(call, DV_NOT_FOUND, "no such thing");
}

static void on_hold(struct dv_call *call)
{
	dv_call_hold(call, NULL, NULL);
}

static const struct dv_method methods[] = {
	{ "Ping", on_ping, NULL, 0, NULL, 0 },
	DV_METHOD("Echo", on_echo, dv_diag_EnvPair, dv_diag_EnvPair, 0),
	{ "Fail", on_fail, NULL, 0, NULL, 0 },
	{ "Hold", on_hold, NULL, 0, NULL, 0 },
};
DV_SERVICE(service, SERVICE, methods);

/* Serves until stdin ends. */
static void on_stdin(struct dv_src *src, uint32_t events)
{
	(void)events;
	dv_src_del(src);
}

static int serve(struct dv_loop *loop, const char *path)
{
	struct dv_door_opts o = { .size = sizeof(o) };
	struct dv_src in = DV_SRC_INIT;
	struct dv_server *server;
	struct dv_door *door;
	struct dv_err err = DV_ERR_INIT;

	if (dv_server_new(&server, loop, NULL, &err) < 0 ||
	    dv_server_add(server, &service, NULL) < 0 ||
	    dv_src_add(loop, &in, 0, 1, on_stdin) < 0)
		return 1;
	o.server = o.diag = server;
	check(dv_door_new(&door, loop, path, -1, &o, &err) == 0, "ready", &err);
	fflush(stdout);
	while (in.loop)
		dv_loop_dispatch(loop, -1);
	dv_door_free(door);
	dv_server_free(server);
	return 0;
}

/* ---- client ---- */

static int call(struct dv_rpc *rpc, const char *method, const char *text,
		size_t len, const struct dv_rpc_call_opts *opts, char **outp,
		size_t *out_lenp, struct dv_err *err)
{
	dv_autofree char *rq = malloc(len + 8);
	size_t n = 0;
	void *out = NULL;
	int r;

	*err = (struct dv_err)DV_ERR_INIT;
	if (!rq)
		return -1;
	if (len) {
		rq[n++] = 0x0a;
		for (size_t v = len; n < 8; v >>= 7) {
			rq[n++] = (char)(v >= 0x80 ? (v & 0x7f) | 0x80 : v);
			if (v < 0x80)
				break;
		}
		memcpy(rq + n, text, len);
		n += len;
	}
	r = dv_rpc_call_wait(rpc, SERVICE, method, rq, n, opts, &out, out_lenp,
			     err);
	if (outp)
		*outp = out;
	else
		free(out);
	return r;
}

static void check_text(struct dv_rpc *rpc, const char *method, const char *text,
		       size_t len, const struct dv_rpc_call_opts *opts,
		       const char *want, size_t want_len, const char *what)
{
	dv_autofree char *out = NULL;
	struct dv_err err;
	size_t n = 0;
	int r = call(rpc, method, text, len, opts, &out, &n, &err);

	check(r == 0 && n >= want_len &&
		      memcmp(out + n - want_len, want, want_len) == 0,
	      what, &err);
}

struct flight {
	int left, wrong;
};

static void on_echoed(struct dv_rpc_call *c, const struct dv_rpc_reply *reply,
		      void *arg)
{
	struct flight *f = arg;

	(void)c;
	f->left--;
	f->wrong += reply->r != 0 || reply->len != 4;
}

static void fly(struct dv_loop *loop, struct dv_rpc *rpc)
{
	struct flight f = { 0, 0 };
	struct dv_err err = DV_ERR_INIT;

	for (int i = 0; i < 100; i++) {
		for (int k = 0; k < 32; k++, f.left++)
			if (dv_rpc_call(rpc, NULL, SERVICE, "Echo",
					"\x0a\x02hi", 4, NULL, on_echoed, &f,
					&err) < 0)
				f.wrong++;
		while (f.left > 0)
			dv_loop_dispatch(loop, -1);
	}
	check(f.wrong == 0, "32 in flight", &err);
}

static void run_checks(struct dv_loop *loop, struct dv_rpc *rpc)
{
	static const char *const colour[] = { "colour", "green", NULL };
	struct dv_rpc_call_opts timed = DV_RPC_CALL_INIT;
	struct dv_rpc_call_opts marked = DV_RPC_CALL_INIT;
	size_t big_len = 3 << 20;
	dv_autofree char *big = malloc(big_len);
	struct dv_rpc_call *gone;
	struct flight none = { 0, 0 };
	struct dv_err err;
	int r;

	timed.timeout_ms = 50;
	marked.metadata = colour;
	check_text(rpc, "Ping", "", 0, NULL, "", 0, "ping");
	check_text(rpc, "Echo", "hello", 5, NULL, "hello", 5, "echo");
	memset(big, 'x', big_len);
	check_text(rpc, "Echo", big, big_len, NULL, big, big_len, "3 MiB");
	r = call(rpc, "Frob", "", 0, NULL, NULL, NULL, &err);
	check(r < 0 && err.code == DV_UNIMPLEMENTED, "unknown method", &err);
	r = call(rpc, "Fail", "", 0, NULL, NULL, NULL, &err);
	check(r < 0 && err.code == DV_NOT_FOUND &&
		      strcmp(err.msg, "no such thing") == 0,
	      "failure", &err);
	r = call(rpc, "Hold", "", 0, &timed, NULL, NULL, &err);
	check(r < 0 && err.code == DV_DEADLINE, "deadline", &err);
	r = dv_rpc_call(rpc, &gone, SERVICE, "Hold", NULL, 0, NULL, on_echoed,
			&none, &err);
	dv_rpc_cancel(gone);
	check(r == 0 && none.left == 0, "cancel", &err);
	check_text(rpc, "Metadata", "", 0, &marked, "green", 5, "metadata");
	fly(loop, rpc);
	check_text(rpc, "Ping", "", 0, NULL, "", 0, "ping at the end");
}

static int client(struct dv_loop *loop, const char *path)
{
	struct dv_rpc_opts o = DV_RPC_OPTS_INIT;
	struct dv_err err = DV_ERR_INIT;
	struct dv_rpc *rpc;

	o.target = path;
	check(dv_rpc_new(&rpc, loop, &o, &err) == 0, "client", &err);
	run_checks(loop, rpc);
	dv_rpc_free(rpc);
	return 0;
}

int main(int argc, char **argv)
{
	struct dv_loop *loop;
	int r;

	if (argc != 3) {
		fprintf(stderr, "ttrpc_peer server|client PATH\n");
		return 2;
	}
	if (dv_loop_new(&loop) < 0)
		return 1;
	r = strcmp(argv[1], "server") == 0 ? serve(loop, argv[2])
					   : client(loop, argv[2]);
	dv_loop_free(loop);
	return r;
}
