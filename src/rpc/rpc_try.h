/* SPDX-License-Identifier: MIT */
#pragma once
/*
 * What the tests of this room share: a service with every kind of answer, a
 * server with it, and a raw peer to talk to it byte by byte.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/def.h"
#include "base/fd.h"
#include "base/test.h"
#include "rpc/limits.h"
#include "rpc/server.h"
#include "wire/diag.pb.h"
#include "wire/pb.h"
#include "wire/ttrpc.h"

#define TRY_SERVICE "diag.OpenhclDiag"

struct
try {
	struct dv_loop *loop;
	struct dv_server *server;
	struct dv_call *held[64];
	unsigned int n_held, n_cancelled, n_calls;
	int got_fd; /* the first descriptor of the last Fds call */
};

static inline void try_ping(struct dv_call *call)
{
	((struct try *)call->ctx)->n_calls++;
	dv_call_reply(call, NULL);
}

static inline void try_echo(struct dv_call *call)
{
	dv_call_reply(call, call->req);
}

static inline void try_cancel(struct dv_call *call)
{
	struct try *t = call->data;

	for (unsigned int i = 0; i < t->n_held; i++)
		if (t->held[i] == call)
			t->held[i] = t->held[--t->n_held];
	t->n_cancelled++;
}

static inline void try_hold(struct dv_call *call)
{
	struct try *t = call->ctx;

	t->held[t->n_held++] = call;
	dv_call_hold(call, t, try_cancel);
}

static inline void try_fail(struct dv_call *call)
{
	dv_call_fail(call, DV_UNKNOWN, "pid %d not found", 7);
}

static inline void try_vanish(struct dv_call *call)
{
	(void)call;
}

/* Answers with as many bytes as the pid says. */
static inline void try_big(struct dv_call *call)
{
	const dv_diag_WaitRequest *rq = call->req;
	char *p = calloc(1, (size_t)rq->pid + 1);

	assert_non_null(p);
	dv_call_reply_bytes(call, p, (size_t)rq->pid);
	free(p);
}

/* Takes the first descriptor and answers with all of them. */
static inline void try_fds(struct dv_call *call)
{
	struct try *t = call->ctx;
	int fds[DV_RPC_FDS_MAX];
	size_t n = call->n_fds;

	for (size_t i = 0; i < n; i++)
		fds[i] = call->fds[i];
	if (n) {
		t->got_fd = dv_fd_dup(call->fds[0], 0);
		dv_call_reply_fds(call, NULL, fds, n);
	} else {
		dv_call_fail(call, DV_INVALID, "no descriptors");
	}
}

static const struct dv_method try_methods[] = {
	{ "Ping", try_ping, NULL, 0, NULL, DV_M_SAFE },
	DV_METHOD("Echo", try_echo, dv_diag_FileRequest, dv_diag_FileRequest,
		  0),
	DV_METHOD("Hold", try_hold, dv_diag_WaitRequest, dv_diag_WaitResponse,
		  DV_M_REPLAY),
	DV_METHOD("HoldOnce", try_hold, dv_diag_WaitRequest,
		  dv_diag_WaitResponse, 0),
	{ "Fail", try_fail, NULL, 0, NULL, 0 },
	{ "Vanish", try_vanish, NULL, 0, NULL, 0 },
	DV_METHOD("Big", try_big, dv_diag_WaitRequest, dv_diag_WaitResponse, 0),
	{ "Fds", try_fds, NULL, 0, NULL, 0 },
	{ "Stream", try_ping, NULL, 0, NULL, DV_M_STREAM },
	{ "Change", try_ping, NULL, 0, NULL, DV_M_SAFE | DV_M_MUTATES },
};
DV_SERVICE(try_service, TRY_SERVICE, try_methods);

static inline void try_open(struct try *t, const struct dv_server_opts *opts)
{
	*t = (struct try){ .got_fd = -1 };
	CHECK_EQ(dv_loop_new(&t->loop), 0);
	CHECK_EQ(dv_server_new(&t->server, t->loop, opts, NULL), 0);
	CHECK_EQ(dv_server_add(t->server, &try_service, t), 0);
}

static inline void try_close(struct try *t)
{
	dv_close(t->got_fd);
	dv_server_free(t->server);
	dv_loop_free(t->loop);
}

/* A connection; the returned end is ours, and non-blocking. */
static inline int try_connect(struct try *t, enum dv_proto proto)
{
	const int half = 106496; /* of what is usual; the kernel doubles it */
	int fds[2];

	CHECK_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK,
			    0, fds),
		 0);
	/* How much waits on the way is no matter of the machine. */
	for (int i = 0; i < 2; i++)
		CHECK_EQ(setsockopt(fds[i], SOL_SOCKET, SO_SNDBUF, &half,
				    sizeof(half)),
			 0);
	CHECK_EQ(dv_server_take(t->server, fds[0], proto, NULL, NULL, 0, NULL,
				0),
		 0);
	return fds[1];
}

static inline void try_pump(struct dv_loop *loop)
{
	for (int idle = 0; idle < 2;)
		idle = dv_loop_dispatch(loop, 0) ? 0 : idle + 1;
}

/* Send all of it, with the loop running meanwhile. */
static inline void try_write(struct try *t, int fd, const void *data,
			     size_t len)
{
	const char *p = data;

	while (len) {
		ssize_t n = send(fd, p, len, MSG_NOSIGNAL);

		assert_true(n > 0 || errno == EAGAIN);
		if (n > 0) {
			p += n;
			len -= (size_t)n;
		}
		dv_loop_dispatch(t->loop, 0);
	}
}

/* Read exactly @len bytes, with the loop running meanwhile. */
static inline void try_read(struct try *t, int fd, void *out, size_t len)
{
	char *p = out;

	while (len) {
		ssize_t n = recv(fd, p, len, 0);

		assert_true(n > 0 || (n < 0 && errno == EAGAIN));
		if (n > 0) {
			p += n;
			len -= (size_t)n;
		} else {
			dv_loop_dispatch(t->loop, 1);
		}
	}
}

static inline size_t try_hex(const char *hex, uint8_t *out)
{
	size_t n = strlen(hex) / 2;

	for (size_t i = 0; i < 2 * n; i++) {
		uint8_t d = (uint8_t)(hex[i] <= '9' ? hex[i] - '0'
						    : hex[i] - 'a' + 10);

		out[i / 2] = (uint8_t)(i % 2 ? out[i / 2] | d : d << 4);
	}
	return n;
}

static inline void try_send_hex(struct try *t, int fd, const char *hex)
{
	uint8_t wire[512];

	try_write(t, fd, wire, try_hex(hex, wire));
}

static inline void try_expect_hex(struct try *t, int fd, const char *hex)
{
	uint8_t want[512], got[512];
	size_t n = try_hex(hex, want);

	try_read(t, fd, got, n);
	assert_memory_equal(got, want, n);
}

/* Nothing more comes: 0 at the end of the stream, 1 while it is open. */
static inline int try_silent(struct try *t, int fd)
{
	char c;
	ssize_t n;

	try_pump(t->loop);
	n = recv(fd, &c, 1, 0);
	assert_true(n <= 0);
	return n == 0 || errno != EAGAIN ? 0 : 1;
}

static inline void try_request(struct dv_buf *out, uint32_t stream,
			       const char *method, const void *payload,
			       size_t len, uint64_t timeout_ns)
{
	struct dv_ttrpc_request rq = {
		.service = { TRY_SERVICE, strlen(TRY_SERVICE) },
		.method = { method, strlen(method) },
		.payload = { payload, len },
		.timeout_ns = timeout_ns,
	};

	CHECK_EQ(dv_ttrpc_request_put(out, stream, &rq, NULL, 64 << 20), 0);
}

static inline void try_call(struct try *t, int fd, uint32_t stream,
			    const char *method, const void *payload, size_t len)
{
	dv_autobuf out = DV_BUF_INIT(64 << 20);

	try_request(&out, stream, method, payload, len, 0);
	try_write(t, fd, out.data, out.len);
}

/* The next answer's status code; its payload or message goes to @text. */
static inline int try_answer(struct try *t, int fd, uint32_t stream, char *text,
			     size_t cap)
{
	uint8_t head[DV_TTRPC_HDR_LEN];
	struct dv_ttrpc_response rs;
	struct dv_ttrpc_hdr hdr;
	struct dv_str s;
	struct dv_rd rd = dv_rd_mem(head, sizeof(head));
	dv_autofree char *body = NULL;

	try_read(t, fd, head, sizeof(head));
	dv_ttrpc_hdr_parse(&rd, &hdr);
	CHECK_EQ(hdr.stream, stream);
	CHECK_EQ(hdr.type, DV_TTRPC_RESPONSE);
	body = malloc(hdr.len + 1);
	assert_non_null(body);
	try_read(t, fd, body, hdr.len);
	CHECK_EQ(dv_ttrpc_response_parse(body, hdr.len, &rs, NULL), 0);
	s = rs.code ? rs.message : rs.payload;
	if (text) {
		size_t n = dv_min(s.len, cap - 1);

		memcpy(text, s.ptr, n);
		text[n] = '\0';
	}
	return rs.code;
}
