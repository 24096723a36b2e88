/* SPDX-License-Identifier: MIT */
#pragma once
/*
 * For tests of gRPC connections: frames of HTTP/2 made by hand, well or badly,
 * and what comes back. Header fields are literals, so no state is needed.
 */
#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/def.h"
#include "base/fd.h"
#include "base/test.h"
#include "davit/loop.h"

enum { F_DATA, F_HEADERS, F_PRIORITY, F_RST, F_SETTINGS, F_PUSH, F_PING };
enum { F_GOAWAY = 7, F_WINDOW = 8, F_CONT = 9, F_ANY = -1 };
enum { END_STREAM = 1, ACK = 1, END_HEADERS = 4 };

#define TRY_PREFACE "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
/* Enough for every session here. */
#define TRY_BUF DV_BUF_INIT(8 << 20)

DV_UNUSED static void put_frame(struct dv_buf *b, int type, int flags,
				uint32_t stream, const void *data, size_t len)
{
	const uint8_t hdr[9] = {
		(uint8_t)(len >> 16),
		(uint8_t)(len >> 8),
		(uint8_t)len,
		(uint8_t)type,
		(uint8_t)flags,
		(uint8_t)(stream >> 24),
		(uint8_t)(stream >> 16),
		(uint8_t)(stream >> 8),
		(uint8_t)stream,
	};

	dv_buf_put(b, hdr, sizeof(hdr));
	CHECK_EQ(dv_buf_put(b, data, len), 0);
}

DV_UNUSED static void put_u32_frame(struct dv_buf *b, int type, uint32_t stream,
				    uint32_t v)
{
	const uint8_t be[4] = { (uint8_t)(v >> 24), (uint8_t)(v >> 16),
				(uint8_t)(v >> 8), (uint8_t)v };

	put_frame(b, type, 0, stream, be, sizeof(be));
}

/* One SETTINGS frame with one entry. */
DV_UNUSED static void put_setting(struct dv_buf *b, uint8_t id, uint32_t v)
{
	const uint8_t data[6] = { 0,
				  id,
				  (uint8_t)(v >> 24),
				  (uint8_t)(v >> 16),
				  (uint8_t)(v >> 8),
				  (uint8_t)v };

	put_frame(b, F_SETTINGS, 0, 0, data, sizeof(data));
}

/* A number with a 7-bit prefix, as HPACK has it. */
DV_UNUSED static void put_length(struct dv_buf *b, size_t n)
{
	if (n < 127) {
		dv_buf_putc(b, (char)n);
		return;
	}
	dv_buf_putc(b, 127);
	for (n -= 127; n > 127; n >>= 7)
		dv_buf_putc(b, (char)((n & 0x7f) | 0x80));
	dv_buf_putc(b, (char)n);
}

DV_UNUSED static void put_field(struct dv_buf *b, const char *name,
				const char *value)
{
	dv_buf_putc(b, 0); /* a literal, not indexed */
	put_length(b, strlen(name));
	dv_buf_puts(b, name);
	put_length(b, strlen(value));
	dv_buf_puts(b, value);
}

/* HEADERS with these fields: name, value, ..., NULL. */
DV_UNUSED static void put_headers(struct dv_buf *b, uint32_t stream, int flags,
				  const char *const *fields)
{
	dv_autobuf block = TRY_BUF;

	for (; fields[0]; fields += 2)
		put_field(&block, fields[0], fields[1]);
	put_frame(b, F_HEADERS, flags | END_HEADERS, stream, block.data,
		  block.len);
}

/* DATA with one message. */
DV_UNUSED static void put_message(struct dv_buf *b, uint32_t stream, int flags,
				  const void *msg, size_t len)
{
	dv_autobuf data = TRY_BUF;
	const char hdr[5] = { 0, (char)(len >> 24), (char)(len >> 16),
			      (char)(len >> 8), (char)len };
	size_t at = 0;

	dv_buf_put(&data, hdr, sizeof(hdr));
	dv_buf_put(&data, msg, len);
	for (; data.len - at > 16384; at += 16384)
		put_frame(b, F_DATA, 0, stream, data.data + at, 16384);
	put_frame(b, F_DATA, flags, stream, data.data + at, data.len - at);
}

/* The raw side of a connection, and all that it heard. */
struct raw {
	struct dv_loop *loop;
	int fd;
	struct dv_buf heard;
	bool eof;
};

DV_UNUSED static void raw_hear(struct raw *w)
{
	char buf[65536];
	ssize_t n;

	while (!w->eof && (n = dv_read(w->fd, buf, sizeof(buf))) != -EAGAIN) {
		w->eof = n <= 0; /* a reset is an end, too */
		dv_buf_put(&w->heard, buf, n > 0 ? (size_t)n : 0);
	}
}

/* Let the other side do all that it can without us. */
DV_UNUSED static void raw_settle(struct raw *w)
{
	do
		raw_hear(w);
	while (dv_loop_dispatch(w->loop, 0) > 0);
	raw_hear(w);
}

/* Send all of @b, whatever it takes, unless the other side is gone. */
DV_UNUSED static void raw_say(struct raw *w, struct dv_buf *b)
{
	size_t at = 0;

	while (at < b->len) {
		ssize_t n = send(w->fd, b->data + at, b->len - at,
				 MSG_NOSIGNAL | MSG_DONTWAIT);

		if (n < 0 && errno != EAGAIN)
			break;
		at += n > 0 ? (size_t)n : 0;
		raw_hear(w);
		dv_loop_dispatch(w->loop, 0);
	}
	dv_buf_reset(b);
	raw_settle(w);
}

struct heard {
	int type, flags;
	uint32_t stream;
	const uint8_t *data;
	size_t len;
};

/* The @nth frame of @type and @stream (F_ANY: all) that was heard. */
DV_UNUSED static bool raw_find(const struct raw *w, int type, uint32_t stream,
			       int nth, struct heard *h)
{
	struct dv_rd rd = dv_rd_mem(w->heard.data, w->heard.len);

	while (rd.left >= 9) {
		uint32_t word = dv_rd_be32(&rd);

		h->len = word >> 8;
		h->type = (int)(word & 0xff);
		h->flags = dv_rd_u8(&rd);
		h->stream = dv_rd_be32(&rd);
		h->data = dv_rd_bytes(&rd, h->len);
		if (dv_rd_ok(&rd) && (type == F_ANY || h->type == type) &&
		    h->stream == stream && nth-- == 0)
			return true;
	}
	return false;
}

/* Wait until that frame comes. */
DV_UNUSED static struct heard raw_wait(struct raw *w, int type, uint32_t stream,
				       int nth)
{
	struct heard h = { 0 };

	while (raw_hear(w), !raw_find(w, type, stream, nth, &h)) {
		CHECK(!w->eof);
		dv_loop_dispatch(w->loop, 10);
	}
	return h;
}

/* The error code of the GOAWAY that was heard, or -1. */
DV_UNUSED static int raw_goaway(const struct raw *w)
{
	struct heard h;

	return raw_find(w, F_GOAWAY, 0, 0, &h) && h.len >= 8 ? h.data[7] : -1;
}

/* The same of a stream's reset. */
DV_UNUSED static int raw_reset(const struct raw *w, uint32_t stream)
{
	struct heard h;

	return raw_find(w, F_RST, stream, 0, &h) ? h.data[3] : -1;
}
