/* SPDX-License-Identifier: MIT */
/* An nng pair over ipc, with its defaults. */
#include <errno.h>
#include <nng/nng.h>
#include <nng/protocol/pair0/pair.h>
#include <stdio.h>
#include <string.h>

#include "base/fd.h"
#include "mesh_peer.h"
#include "stats.h"

static void check(int r, const char *what)
{
	if (r == 0)
		return;
	fprintf(stderr, "mesh_peer: nng: %s: %s\n", what, nng_strerror(r));
	exit(1);
}

static void *way_open(int fd, const char *path, bool server)
{
	nng_socket *s = calloc(1, sizeof(*s));
	char url[256];

	dv_close(fd);
	if (!s)
		bench_die("memory");
	snprintf(url, sizeof(url), "ipc://%s", path);
	check(nng_pair0_open(s), "open");
	/* 1 MiB is its limit otherwise. */
	check(nng_socket_set_size(*s, NNG_OPT_RECVMAXSZ, 0), "limit");
	check(server ? nng_listen(*s, url, NULL, 0)
		     : nng_dial(*s, url, NULL, NNG_FLAG_NONBLOCK),
	      "connect");
	return s;
}

/* The library's type has no const; it copies. */
static void way_send(void *way, const void *data, size_t len)
{
	nng_socket *s = way;
	nng_msg *msg;

	check(nng_msg_alloc(&msg, len), "memory");
	memcpy(nng_msg_body(msg), data, len);
	check(nng_sendmsg(*s, msg, 0), "send");
}

static bool way_recv(void *way, void *data, size_t len)
{
	nng_socket *s = way;
	nng_msg *msg;
	bool ok;

	if (nng_recvmsg(*s, &msg, 0) != 0)
		return false;
	ok = nng_msg_len(msg) == len;
	if (ok)
		memcpy(data, nng_msg_body(msg), len);
	nng_msg_free(msg);
	return ok;
}

static void way_close(void *way)
{
	nng_socket *s = way;

	nng_close(*s);
	free(s);
}

const struct bench_way bench_way_nng = { "nng", way_open, way_send, way_recv,
					 way_close };
