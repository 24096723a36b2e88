/* SPDX-License-Identifier: MIT */
#include "rpc/grpc_io.h"

#include <errno.h>
#include <string.h>
#include <sys/epoll.h>

#include "base/def.h"
#include "base/fd.h"

static void on_io(struct dv_src *src, uint32_t events);
static void on_later(struct dv_defer *defer);

int dv_h2_init(struct dv_h2 *h, struct dv_loop *loop, int fd,
	       const struct dv_h2_ops *ops)
{
	int r;

	*h = (struct dv_h2){
		.ops = ops,
		.loop = loop,
		.fd = fd,
		.src = DV_SRC_INIT,
		.later = DV_DEFER_INIT,
		.in = DV_BUF_INIT(DV_RPC_READ_LEN),
		.out = DV_BUF_INIT((size_t)3 * DV_H2_WRITE_LEN),
		.idle = { DV_H2_IDLE_FRAMES, DV_H2_IDLE_FRAMES,
			  DV_H2_IDLE_FRAMES, dv_now_ns() },
		.resets = { DV_H2_RESETS, DV_H2_RESETS, DV_H2_RESETS_PER_SECOND,
			    dv_now_ns() },
	};
	r = dv_src_add(loop, &h->src, fd, EPOLLIN, on_io);
	if (r < 0)
		h->fd = dv_close(fd);
	return r;
}

int dv_h2_feed(struct dv_h2 *h, const void *head, size_t len)
{
	dv_h2_kick(h);
	return dv_buf_put(&h->in, head, len);
}

void dv_h2_kick(struct dv_h2 *h)
{
	if (!h->busy && !h->dead)
		dv_defer_add(h->loop, &h->later, on_later);
}

void dv_h2_close(struct dv_h2 *h)
{
	if (h->dead)
		return;
	h->dead = true;
	dv_src_del(&h->src);
	dv_defer_del(&h->later);
	h->fd = dv_close(h->fd);
	if (h->busy)
		return;
	nghttp2_session_del(h->session);
	dv_buf_free(&h->in);
	dv_buf_free(&h->out);
	h->ops->free(h);
}

/* ---- writing ------------------------------------------------------------ */

static int fill_out(struct dv_h2 *h)
{
	const uint8_t *data;
	ssize_t n;

	dv_buf_reset(&h->out);
	h->out_at = 0;
	while (h->out.len < DV_H2_WRITE_LEN) {
		n = nghttp2_session_mem_send(h->session, &data);
		if (n == 0 || h->dead)
			break;
		if (n == NGHTTP2_ERR_NOMEM)
			return -ENOMEM;
		if (n < 0)
			return -EPROTO;
		if (dv_buf_put(&h->out, data, (size_t)n) < 0)
			return dv_buf_status(&h->out);
	}
	return 0;
}

/* 0, DV_MORE when the socket is full, or -errno. */
static int write_out(struct dv_h2 *h)
{
	while (h->out_at < h->out.len) {
		ssize_t n = dv_send(h->fd, h->out.data + h->out_at,
				    h->out.len - h->out_at);

		if (n < 0)
			return n == -EAGAIN ? DV_MORE : (int)n;
		h->out_at += (size_t)n;
		h->n_out += (uint64_t)n;
	}
	return 0;
}

/* 0 when all is sent, DV_MORE, or -errno. *fullp: the socket takes no more. */
static int send_some(struct dv_h2 *h, bool *fullp)
{
	int r = 0;

	*fullp = false;
	for (int i = 0; i < DV_H2_TURN_WRITES && !h->dead; i++) {
		r = write_out(h);
		*fullp = r == DV_MORE;
		if (r != 0)
			return r;
		r = fill_out(h);
		if (r < 0 || h->out.len == 0)
			return r;
	}
	return DV_MORE;
}

static int set_events(struct dv_h2 *h, bool full)
{
	size_t n = nghttp2_session_get_outbound_queue_size(h->session);
	uint32_t events = full ? EPOLLOUT : 0;

	if (!h->eof && n <= DV_H2_FRAMES_MAX)
		events |= EPOLLIN;
	return events == h->src.events ? 0 : dv_src_mod(&h->src, events);
}

/* ---- turns -------------------------------------------------------------- */

/* 0, DV_EOF when the session is over, or -errno. */
static int feed(struct dv_h2 *h, const void *data, size_t len)
{
	ssize_t n;

	h->n_in += len;
	n = nghttp2_session_mem_recv(h->session, data, len);
	if (h->dead || n >= 0)
		return 0;
	if (n == NGHTTP2_ERR_NOMEM)
		return -ENOMEM;
	return -EPROTO;
}

static int read_in(struct dv_h2 *h, uint32_t events)
{
	uint8_t buf[DV_H2_READ_LEN];
	ssize_t n = dv_read(h->fd, buf, sizeof(buf));

	if (n == -EAGAIN)
		return 0;
	if (n < 0)
		return (int)n;
	if (n > 0)
		return feed(h, buf, (size_t)n);
	h->eof = true;
	if ((events & (EPOLLHUP | EPOLLERR)) || !h->ops->half_closed(h))
		return DV_EOF;
	return 0;
}

static int take_in(struct dv_h2 *h, uint32_t events)
{
	int r = 0;

	if (h->in.len) {
		r = feed(h, h->in.data, h->in.len);
		if (!h->dead)
			dv_buf_free(&h->in);
	}
	if (r == 0 && !h->dead && events) {
		/* What came before the hang-up is read first. */
		if (h->eof && (events & (EPOLLHUP | EPOLLERR)))
			return DV_EOF;
		if (events & (EPOLLIN | EPOLLHUP | EPOLLERR))
			r = read_in(h, events);
	}
	return r;
}

/* Everything is sent: is there anything left to wait for? */
static bool finished(struct dv_h2 *h)
{
	if (h->eof && !h->ops->half_closed(h))
		return true;
	return !nghttp2_session_want_read(h->session) &&
	       !nghttp2_session_want_write(h->session);
}

static int put_out(struct dv_h2 *h)
{
	bool full, more;
	int r;

	h->ops->turn(h);
	if (h->dead)
		return 0;
	r = send_some(h, &full);
	if (r < 0 || h->dead)
		return r;
	more = h->ops->turn(h) || (r == DV_MORE && !full);
	if (h->dead)
		return 0;
	if (more)
		dv_defer_add(h->loop, &h->later, on_later);
	if (r == 0 && !more && finished(h))
		return DV_EOF;
	if (r == 0 && h->out.cap > DV_RPC_KEEP_LEN)
		dv_buf_free(&h->out);
	return set_events(h, full);
}

static void end(struct dv_h2 *h, int r)
{
	struct dv_err err = DV_ERR_INIT;

	if (r == DV_EOF) {
		h->ops->ended(h, NULL);
		return;
	}
	dv_err_set(&err, -r, DV_UNAVAILABLE, "the connection failed: %s",
		   r == -EPROTO ? "not what HTTP/2 allows" : dv_errno_text(-r));
	h->ops->ended(h, &err);
}

static void turn(struct dv_h2 *h, uint32_t events)
{
	int r;

	h->busy = true;
	r = take_in(h, events);
	if (r >= 0 && !h->dead && r != DV_EOF)
		r = put_out(h);
	h->busy = false;
	if (h->dead) {
		h->dead = false;
		dv_h2_close(h);
	} else if (r != 0) {
		end(h, r);
	}
}

static void on_io(struct dv_src *src, uint32_t events)
{
	turn(dv_container_of(src, struct dv_h2, src), events);
}

static void on_later(struct dv_defer *defer)
{
	turn(dv_container_of(defer, struct dv_h2, later), 0);
}

int dv_h2_flush(struct dv_h2 *h)
{
	bool full;
	int r;

	if (h->busy)
		return DV_MORE;
	h->busy = true;
	r = send_some(h, &full);
	if (r == DV_MORE)
		set_events(h, full);
	h->busy = false;
	if (h->dead) {
		h->dead = false;
		dv_h2_close(h);
		return -ECONNRESET;
	}
	if (r < 0 || !full)
		dv_h2_kick(h); /* where it is noticed */
	return r;
}

/* ---- limits ------------------------------------------------------------- */

static bool spend(struct dv_h2_quota *q)
{
	uint64_t now, more;

	if (q->left == 0) {
		now = dv_now_ns();
		more = (now - q->at_ns) / 1000000 * q->per_second / 1000;
		q->left = (uint32_t)dv_min(more, (uint64_t)q->max);
		q->at_ns = now;
	}
	if (q->left == 0)
		return false;
	q->left--;
	return true;
}

static void charge(struct dv_h2 *h, struct dv_h2_quota *q)
{
	if (!spend(q))
		nghttp2_session_terminate_session(h->session,
						  NGHTTP2_ENHANCE_YOUR_CALM);
}

void dv_h2_count_frame(struct dv_h2 *h, const nghttp2_frame_hd *hd)
{
	if (hd->type != NGHTTP2_HEADERS && hd->type != NGHTTP2_CONTINUATION &&
	    (hd->type != NGHTTP2_DATA || hd->length == 0))
		charge(h, &h->idle);
}

void dv_h2_count_reset(struct dv_h2 *h)
{
	charge(h, &h->resets);
}

void dv_h2_count_data(struct dv_h2 *h)
{
	h->idle.left = dv_min(h->idle.left + 2, h->idle.max);
}

nghttp2_option *dv_h2_options(void)
{
	nghttp2_option *opt;

	if (nghttp2_option_new(&opt) != 0)
		return NULL;
	nghttp2_option_set_no_auto_window_update(opt, 1);
	nghttp2_option_set_no_closed_streams(opt, 1);
	/* A turn may bring so many while the queue is nearly full. */
	nghttp2_option_set_max_outbound_ack(opt, (size_t)2 * DV_H2_FRAMES_MAX);
	/* We count them ourselves, and tell those that hurt from others. */
	nghttp2_option_set_stream_reset_rate_limit(opt, UINT32_MAX, UINT32_MAX);
	return opt;
}

nghttp2_nv dv_h2_field(const char *name, const char *value, size_t len)
{
	/* nghttp2 does not write to them, but its type says that it might. */
	union {
		const char *ours;
		uint8_t *theirs;
	} n = { name }, v = { value };

	return (nghttp2_nv){ n.theirs, v.theirs, strlen(name), len,
			     NGHTTP2_NV_FLAG_NONE };
}
