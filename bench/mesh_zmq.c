/* SPDX-License-Identifier: MIT */
/* A ZeroMQ pair over ipc, with its defaults and no limit of waiting messages
 * but memory's: its high-water mark would make send() wait, not drop. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <zmq.h>

#include "base/fd.h"
#include "mesh_peer.h"
#include "stats.h"

struct zmq {
	void *ctx, *sock;
};

static void *way_open(int fd, const char *path, bool server)
{
	struct zmq *z = calloc(1, sizeof(*z));
	char url[256];

	dv_close(fd);
	if (!z)
		bench_die("memory");
	snprintf(url, sizeof(url), "ipc://%s", path);
	z->ctx = zmq_ctx_new();
	z->sock = zmq_socket(z->ctx, ZMQ_PAIR);
	if (!z->sock ||
	    (server ? zmq_bind(z->sock, url) : zmq_connect(z->sock, url)) < 0)
		bench_die("zmq");
	return z;
}

static void way_send(void *way, const void *data, size_t len)
{
	struct zmq *z = way;

	if (zmq_send(z->sock, data, len, 0) < 0)
		bench_die("zmq_send");
}

static bool way_recv(void *way, void *data, size_t len)
{
	struct zmq *z = way;

	return zmq_recv(z->sock, data, len, 0) == (int)len;
}

static void way_close(void *way)
{
	struct zmq *z = way;
	int none = 0;

	zmq_setsockopt(z->sock, ZMQ_LINGER, &none, sizeof(none));
	zmq_close(z->sock);
	zmq_ctx_term(z->ctx);
	free(z);
}

const struct bench_way bench_way_zmq = { "zmq", way_open, way_send, way_recv,
					 way_close };
