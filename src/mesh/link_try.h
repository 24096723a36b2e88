/* SPDX-License-Identifier: MIT */
#pragma once
/*
 * For tests only: a mesh, a port that notes what happens to it, and a peer that
 * is nothing but a socket: it writes the frames that a test wants it to.
 */
#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <davit/loop.h>
#include <davit/mesh.h>

#include "base/buf.h"
#include "base/def.h"
#include "base/fd.h"
#include "base/test.h"
#include "mesh/link.h"
#include "mesh/mesh_priv.h"
#include "mesh/node.h"
#include "wire/mesh.h"

/* Run the loop until @cond; the alarm of the test ends what never comes. */
#define LT_UNTIL(loop, cond)                                          \
	do {                                                          \
		while (!(cond))                                       \
			dv_assert(dv_loop_dispatch((loop), -1) >= 0); \
	} while (0)

enum { LT_KEEP = 64 };

/* What came to a port. */
struct lt_port {
	struct dv_port *port;
	unsigned int n, n_ended, n_writable;
	uint64_t bytes;
	bool keeps; /* messages, the first LT_KEEP of them */
	struct dv_msg *kept[LT_KEEP];
	size_t n_kept;
	struct dv_port_end end;
	/* Also called for each message; may be NULL. */
	void (*on)(struct lt_port *p, struct dv_msg *msg);
	void *arg;
};

static inline void lt_on_message(struct dv_port *port, struct dv_msg *msg)
{
	struct lt_port *p = dv_port_user(port);

	p->n++;
	p->bytes += dv_msg_len(msg);
	if (p->on)
		p->on(p, msg);
	else if (p->keeps && p->n_kept < LT_KEEP)
		p->kept[p->n_kept++] = dv_msg_keep(msg);
}

static inline void lt_on_ended(struct dv_port *port,
			       const struct dv_port_end *end)
{
	struct lt_port *p = dv_port_user(port);

	p->n_ended++;
	p->end = *end;
}

static inline void lt_on_writable(struct dv_port *port)
{
	struct lt_port *p = dv_port_user(port);

	p->n_writable++;
}

static const struct dv_port_ops lt_ops = {
	.message = lt_on_message,
	.ended = lt_on_ended,
	.writable = lt_on_writable,
};

static inline void lt_start(struct lt_port *p, struct dv_port *port)
{
	p->port = port;
	dv_port_start(port, &lt_ops, p);
}

static inline void lt_drop_kept(struct lt_port *p)
{
	while (p->n_kept)
		dv_msg_free(p->kept[--p->n_kept]);
}

static inline void lt_close(struct lt_port *p)
{
	lt_drop_kept(p);
	p->port = dv_port_close(p->port, NULL);
}

/* ---- a mesh ------------------------------------------------------------ */

struct lt {
	struct dv_loop *loop;
	struct dv_mesh *mesh;
};

static inline void lt_new(struct lt *t, const struct dv_mesh_opts *opts)
{
	dv_assert(dv_loop_new(&t->loop) == 0);
	dv_assert(dv_mesh_new(&t->mesh, t->loop, opts, NULL) == 0);
}

static inline void lt_free(struct lt *t)
{
	t->mesh = dv_mesh_free(t->mesh);
	t->loop = dv_loop_free(t->loop);
}

static inline uint32_t lt_n_links(const struct lt *t)
{
	return dv_node_counts(dv_mesh_node(t->mesh))->n_links;
}

/* ---- a peer that is a socket ------------------------------------------- */

struct lt_raw {
	struct lt *t;
	int fd;            /* owned, non-blocking by MSG_DONTWAIT */
	struct dv_buf out; /* what is to be sent */
	struct dv_buf in;
	bool eof;
	struct dv_mw_hello hello; /* the mesh's */
	struct dv_mesh_id node;   /* its own */
	struct dv_mesh_id port;   /* of the mesh, to write to */
};

static inline void lt_raw_init(struct lt_raw *raw, struct lt *t, int fd)
{
	*raw = (struct lt_raw){
		.t = t,
		.fd = fd,
		.out = DV_BUF_INIT(8 << 20),
		.in = DV_BUF_INIT(64 << 20),
		.node = { 0x1111, 0x2222 },
	};
}

static inline void lt_raw_close(struct lt_raw *raw)
{
	raw->fd = dv_close(raw->fd);
	dv_buf_free(&raw->out);
	dv_buf_free(&raw->in);
}

/* Write what was put into raw->out; what is full is not waited for. */
static inline void lt_raw_flush_fds(struct lt_raw *raw, const int *fds,
				    uint16_t n)
{
	struct dv_out_fds *f = malloc(sizeof(*f) + n * sizeof(int));
	size_t at = 0;

	CHECK(f);
	f->n = n;
	if (n)
		memcpy(f->fds, fds, n * sizeof(int));
	while (at < raw->out.len) {
		struct iovec iov = { raw->out.data + at, raw->out.len - at };
		ssize_t r = dv_link_sendmsg(raw->fd, &iov, 1,
					    n && at == 0 ? f : NULL);

		if (r == -EAGAIN) {
			CHECK(dv_loop_dispatch(raw->t->loop, 0) >= 0);
			continue;
		}
		if (r < 0)
			break; /* It was cut: the test looks at that. */
		at += (size_t)r;
	}
	free(f);
	dv_buf_reset(&raw->out);
}

static inline void lt_raw_flush(struct lt_raw *raw)
{
	lt_raw_flush_fds(raw, NULL, 0);
}

static inline void lt_raw_event(struct lt_raw *raw, struct dv_mw_event ev,
				const struct dv_err *reason)
{
	CHECK_EQ(dv_mw_event_put(&raw->out, &ev, reason), 0);
}

static inline void lt_raw_message(struct lt_raw *raw, struct dv_mesh_id dst,
				  enum dv_mw_kind kind, const void *data,
				  uint32_t len)
{
	uint8_t head[DV_MW_PLAIN];

	dv_mw_plain_put(head, kind, dst, len);
	dv_buf_put(&raw->out, head, sizeof(head));
	dv_buf_put(&raw->out, data, len);
	CHECK_EQ(dv_buf_put(&raw->out, "\0\0\0\0\0\0\0", -(size_t)len & 7), 0);
}

static inline struct dv_mw_hello lt_raw_some_hello(const struct lt_raw *raw)
{
	return (struct dv_mw_hello){
		.version_min = 1,
		.version_max = 1,
		.node = raw->node,
		.max_message = 16 << 20,
		.window = 64 << 20,
	};
}

static inline void lt_raw_say_hello(struct lt_raw *raw)
{
	struct dv_mw_hello h = lt_raw_some_hello(raw);

	CHECK_EQ(dv_mw_hello_put(&raw->out, &h, NULL), 0);
	lt_raw_flush(raw);
}

static inline void lt_raw_fill(struct lt_raw *raw)
{
	char buf[4096];
	ssize_t n = recv(raw->fd, buf, sizeof(buf), MSG_DONTWAIT);

	if (n > 0)
		CHECK_EQ(dv_buf_put(&raw->in, buf, (size_t)n), 0);
	else if (n == 0 || errno != EAGAIN)
		raw->eof = true;
	else
		CHECK(dv_loop_dispatch(raw->t->loop, 100) >= 0);
}

/* The next frame, of any kind, whole, in raw->in; false at the end. */
static inline bool lt_raw_next(struct lt_raw *raw, struct dv_mw_head *head)
{
	for (;;) {
		struct dv_rd rd = dv_rd_mem(raw->in.data, raw->in.len);
		int r = dv_mw_head_parse(&rd, head, NULL);

		CHECK(r >= 0);
		if (r == 0 && raw->in.len >= dv_mw_size(head->len))
			return true;
		if (raw->eof)
			return false;
		lt_raw_fill(raw);
	}
}

static inline void lt_raw_drop(struct lt_raw *raw,
			       const struct dv_mw_head *head)
{
	dv_buf_drop(&raw->in, dv_mw_size(head->len));
}

/* Drop frames until one of @kind; it is parsed to @ev and dropped, too. */
static inline bool lt_raw_wait(struct lt_raw *raw, enum dv_mw_kind kind,
			       struct dv_mw_event *ev, struct dv_err *reason)
{
	struct dv_mw_head head;

	while (lt_raw_next(raw, &head)) {
		struct dv_rd rd = dv_rd_mem(raw->in.data, raw->in.len);
		bool found = head.kind == kind;

		if (found && kind == DV_MW_HELLO)
			CHECK_EQ(dv_mw_hello_parse(&rd, &head, &raw->hello,
						   reason, NULL),
				 0);
		else if (found)
			CHECK_EQ(
				dv_mw_event_parse(&rd, &head, ev, reason, NULL),
				0);
		lt_raw_drop(raw, &head);
		if (found)
			return true;
	}
	return false;
}

/* As a node that was invited: it has a port and may write to its peer. */
static inline void lt_raw_join(struct lt_raw *raw)
{
	struct dv_err reason;

	lt_raw_say_hello(raw);
	CHECK(lt_raw_wait(raw, DV_MW_HELLO, NULL, &reason));
	CHECK(raw->hello.has_port);
	raw->port = raw->hello.port.from;
}

/* Invite a raw peer; @p is the port of the mesh, started. */
static inline void lt_raw_invite(struct lt_raw *raw, struct lt *t,
				 struct lt_port *p)
{
	struct dv_port *port;
	int fd;

	CHECK_EQ(dv_mesh_invite(t->mesh, &fd, &port, NULL), 0);
	lt_start(p, port);
	lt_raw_init(raw, t, fd);
}
