/* SPDX-License-Identifier: MIT */
/*
 * DOC: streams of bytes.
 *
 * A message is a piece of the stream. How much may be on the way is the port's
 * affair, and moves with it, so nothing is counted here.
 *
 * The reader holds at most one message, which was read in part; the port is
 * paused as long as there is one, so the rest waits where it moves along with
 * the port. What was held begins the stream at the new place.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/def.h"
#include "mesh/chan_msg.h"

/* A piece: not more than a link sends at once, so streams take turns. */
enum { PIECE = 64 << 10 };

struct dv_bytes_writer {
	struct dv_port *port;
	const struct dv_bytes_writer_ops *ops;
	void *user;
};

struct dv_bytes_reader {
	struct dv_port *port;
	struct dv_msg *msg; /* held; NULL = none */
	size_t at;          /* that much of it was read */
	bool started;
	bool no_memory;
	bool has_end;
	struct dv_port_end end;
	const struct dv_bytes_reader_ops *ops;
	void *user;
};

/* ---- writer -------------------------------------------------------- */

struct dv_bytes_writer *dv_bytes_writer_from_port(struct dv_port *port)
{
	struct dv_bytes_writer *w = calloc(1, sizeof(*w));

	if (w)
		w->port = port;
	else
		dv_port_close(port, NULL);
	return w;
}

struct dv_bytes_writer *dv_bytes_writer_take(struct dv_msg *msg, size_t n,
					     struct dv_err *err)
{
	struct dv_port *port = dv_chan_take_port(msg, n, err);
	struct dv_bytes_writer *w;

	if (!port)
		return NULL;
	w = dv_bytes_writer_from_port(port);
	if (!w)
		dv_err_sys(err, ENOMEM, "take a writer");
	return w;
}

static struct dv_port *writer_port(struct dv_bytes_writer *w)
{
	struct dv_port *port = w->port;

	free(w);
	return port;
}

int dv_bytes_writer_attach(struct dv_msg *msg, struct dv_bytes_writer *w)
{
	return dv_msg_add_port(msg, writer_port(w));
}

static void writer_message(struct dv_port *port DV_UNUSED,
			   struct dv_msg *msg DV_UNUSED)
{
	/* A reader says nothing. */
}

static void writer_ended(struct dv_port *port, const struct dv_port_end *end)
{
	struct dv_bytes_writer *w = dv_port_user(port);

	if (w->ops->ended)
		w->ops->ended(w, end);
}

static void writer_writable(struct dv_port *port)
{
	struct dv_bytes_writer *w = dv_port_user(port);

	if (w->ops->writable)
		w->ops->writable(w);
}

static const struct dv_port_ops writer_ops = {
	.message = writer_message,
	.ended = writer_ended,
	.writable = writer_writable,
};

void dv_bytes_watch_write(struct dv_bytes_writer *w,
			  const struct dv_bytes_writer_ops *ops, void *user)
{
	w->ops = ops;
	w->user = user;
	dv_port_start(w->port, &writer_ops, w);
}

void *dv_bytes_writer_user(const struct dv_bytes_writer *w)
{
	return w->user;
}

ptrdiff_t dv_bytes_write(struct dv_bytes_writer *w, const void *data,
			 size_t len, struct dv_err *err)
{
	const uint8_t *p = data;
	size_t done = 0;
	int r = 0;

	while (done < len && r == 0) {
		size_t n = dv_min(len - done, (size_t)PIECE);

		r = dv_port_send_bytes(w->port, p + done, n, err);
		if (r >= 0)
			done += n;
	}
	return done || len == 0 ? (ptrdiff_t)done : r;
}

void dv_bytes_finish(struct dv_bytes_writer *w)
{
	struct dv_err fin;

	dv_chan_fin(&fin);
	dv_port_close(writer_port(w), &fin);
}

struct dv_bytes_writer *dv_bytes_abort(struct dv_bytes_writer *w,
				       const struct dv_err *reason)
{
	struct dv_err why;

	if (w) {
		dv_chan_reason(&why, reason, "the writer gave up");
		dv_port_close(writer_port(w), &why);
	}
	return NULL;
}

/* ---- reader -------------------------------------------------------- */

struct dv_bytes_reader *dv_bytes_reader_from_port(struct dv_port *port)
{
	struct dv_bytes_reader *r = calloc(1, sizeof(*r));

	if (r)
		r->port = port;
	else
		dv_port_close(port, NULL);
	return r;
}

struct dv_bytes_reader *dv_bytes_reader_take(struct dv_msg *msg, size_t n,
					     struct dv_err *err)
{
	struct dv_port *port = dv_chan_take_port(msg, n, err);
	struct dv_bytes_reader *r;

	if (!port)
		return NULL;
	r = dv_bytes_reader_from_port(port);
	if (!r)
		dv_err_sys(err, ENOMEM, "take a reader");
	return r;
}

static void tell(struct dv_bytes_reader *r)
{
	if (r->ops && r->ops->readable)
		r->ops->readable(r);
}

static void reader_message(struct dv_port *port, struct dv_msg *msg)
{
	struct dv_bytes_reader *r = dv_port_user(port);

	if (dv_msg_len(msg) == 0)
		return;
	r->at = 0;
	r->msg = dv_msg_keep(msg);
	/* A stream with a hole in it is none. */
	r->no_memory |= !r->msg;
	dv_port_pause(port, true);
	tell(r);
}

static void reader_ended(struct dv_port *port, const struct dv_port_end *end)
{
	struct dv_bytes_reader *r = dv_port_user(port);

	r->has_end = true;
	r->end = *end;
	tell(r);
}

static const struct dv_port_ops reader_ops = {
	.message = reader_message,
	.ended = reader_ended,
};

static void reader_start(struct dv_bytes_reader *r)
{
	if (!r->started)
		dv_port_start(r->port, &reader_ops, r);
	r->started = true;
}

void dv_bytes_watch_read(struct dv_bytes_reader *r,
			 const struct dv_bytes_reader_ops *ops, void *user)
{
	r->ops = ops;
	r->user = user;
	reader_start(r);
}

void *dv_bytes_reader_user(const struct dv_bytes_reader *r)
{
	return r->user;
}

static int why_no_more(const struct dv_bytes_reader *r, struct dv_err *err)
{
	if (r->no_memory)
		return dv_err_sys(err, ENOMEM, "read");
	if (!r->has_end)
		return -EAGAIN;
	if (dv_chan_is_fin(&r->end))
		return 0;
	if (r->end.err.code == DV_OK)
		dv_err_set(err, ECONNRESET, DV_ABORTED,
			   "the writer is gone and did not finish");
	else if (err)
		*err = r->end.err;
	return -ECONNRESET;
}

ptrdiff_t dv_bytes_read(struct dv_bytes_reader *r, void *buf, size_t len,
			struct dv_err *err)
{
	size_t n;

	reader_start(r);
	if (!r->msg)
		return why_no_more(r, err);
	n = dv_min(len, dv_msg_len(r->msg) - r->at);
	if (n)
		memcpy(buf, (uint8_t *)dv_msg_data(r->msg) + r->at, n);
	r->at += n;
	if (r->at == dv_msg_len(r->msg)) {
		r->msg = dv_msg_free(r->msg);
		dv_port_pause(r->port, false);
	}
	return (ptrdiff_t)n;
}

struct dv_bytes_reader *dv_bytes_reader_close(struct dv_bytes_reader *r,
					      const struct dv_err *reason)
{
	if (r) {
		dv_msg_free(r->msg);
		dv_port_close(r->port, reason);
		free(r);
	}
	return NULL;
}

/* What is held, and then the rest. @r is consumed. */
static int reader_port(struct dv_bytes_reader *r, struct dv_port **portp)
{
	struct dv_mesh *mesh = dv_port_mesh(r->port);
	struct dv_chan_head head = { NULL, 0, 0 };
	int x = r->no_memory ? -ENOMEM : 0;

	*portp = r->port;
	if (r->msg && x == 0) {
		head.data = (uint8_t *)dv_msg_data(r->msg) + r->at;
		head.len = dv_msg_len(r->msg) - r->at;
		dv_port_pause(r->port, false);
		x = dv_chan_follow(mesh, &head, dv_take_ptr(&r->port), NULL,
				   portp);
	} else if (x == 0)
		r->port = NULL;
	dv_bytes_reader_close(r, NULL);
	return x;
}

int dv_bytes_reader_attach(struct dv_msg *msg, struct dv_bytes_reader *r)
{
	struct dv_port *port;
	int x = reader_port(r, &port);

	return x < 0 ? x : dv_msg_add_port(msg, port);
}

int dv_bytes_new(struct dv_mesh *mesh, struct dv_bytes_writer **wp,
		 struct dv_bytes_reader **rp, struct dv_err *err)
{
	struct dv_port *pair[2];
	int r = dv_chan_pair(mesh, pair, err);

	if (r < 0)
		return r;
	*wp = dv_bytes_writer_from_port(pair[0]);
	*rp = dv_bytes_reader_from_port(pair[1]);
	if (*wp && *rp)
		return 0;
	*wp = dv_bytes_abort(*wp, NULL);
	*rp = dv_bytes_reader_close(*rp, NULL);
	return dv_err_sys(err, ENOMEM, "make a stream of bytes");
}
