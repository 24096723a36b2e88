/* SPDX-License-Identifier: MIT */
/*
 * DOC: what a link sends.
 *
 * Small frames are copied into one buffer, which is written at the end of the
 * loop's batch. Long messages stay where they are; each time the buffer was
 * written up to its end, the next of them sends one piece. So a small message
 * never waits for more than the piece that is being written, and long ones take
 * turns. Descriptors belong to a byte of the buffer: a sendmsg() begins there.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>

#include "base/def.h"
#include "base/fd.h"
#include "mesh/link.h"

#define NS_PER_MS UINT64_C(1000000)

static void on_flush(struct dv_defer *defer);

void dv_out_init(struct dv_out *out)
{
	out->buf.max = DV_LINK_OUT_MAX + DV_LINK_OUT_HIGH;
	out->fds_end = &out->fds;
	dv_list_init(&out->longs);
	dv_list_init(&out->refused);
}

size_t dv_out_waiting(const struct dv_out *out)
{
	return out->buf.len - out->at;
}

bool dv_out_empty(const struct dv_out *out)
{
	return dv_out_waiting(out) == 0 && dv_list_empty(&out->longs);
}

static void pop_fds(struct dv_out *out)
{
	struct dv_out_fds *f = out->fds;

	out->fds = f->next;
	if (!out->fds)
		out->fds_end = &out->fds;
	out->n_introduce -= f->introduces;
	for (uint16_t i = 0; i < f->n; i++)
		dv_close(f->fds[i]);
	free(f);
}

static void free_long(struct dv_out *out, struct dv_out_long *l)
{
	if (out->piece == l)
		out->piece = NULL;
	dv_list_del(&l->in_link);
	dv_msg_free(l->msg);
	free(l);
}

void dv_out_free(struct dv_link *link)
{
	struct dv_out *out = &link->out;
	struct dv_list *l;

	dv_defer_del(&out->flush);
	dv_timer_stop(&out->fd_retry);
	while (out->fds)
		pop_fds(out);
	while ((l = dv_list_first(&out->longs)) ||
	       (l = dv_list_first(&out->refused)))
		free_long(out, dv_list_of(l, struct dv_out_long, in_link));
	dv_buf_free(&out->buf);
	out->at = 0;
}

/* ---- what is to be written ---- */

static void fail_sys(struct dv_link *link, int r, const char *what)
{
	struct dv_err err = DV_ERR_INIT;

	dv_err_sys(&err, -r, "%s", what);
	dv_link_fail(link, &err, false);
}

/* The next bytes of the piece that has begun; it is never complete here. */
static size_t piece_iov(const struct dv_out *out, struct iovec *iov)
{
	static const uint8_t zeros[8];
	const struct dv_out_long *l = out->piece;
	size_t at = out->piece_at, n = 0;
	size_t body = DV_MW_PLAIN + out->piece_len;
	size_t all = dv_mw_size((uint32_t)body);

	if (at < DV_MW_PLAIN) {
		iov[n].iov_base = (void *)(uintptr_t)(out->piece_head + at);
		iov[n++].iov_len = DV_MW_PLAIN - at;
		at = DV_MW_PLAIN;
	}
	if (at < body) {
		iov[n].iov_base = l->msg->data + l->sent + (at - DV_MW_PLAIN);
		iov[n++].iov_len = body - at;
		at = body;
	}
	if (at < all) {
		iov[n].iov_base = (void *)(uintptr_t)zeros;
		iov[n++].iov_len = all - at;
	}
	return n;
}

static void begin_piece(struct dv_out *out)
{
	struct dv_out_long *l = dv_list_of(dv_list_first(&out->longs),
					   struct dv_out_long, in_link);

	out->piece = l;
	out->piece_at = 0;
	out->piece_len =
		(uint32_t)dv_min(l->msg->len - l->sent, (size_t)DV_MW_FRAGMENT);
	dv_mw_plain_put(out->piece_head, DV_MW_PIECE, l->dst, out->piece_len);
}

/*
 * One sendmsg(): what is left of a piece; or the buffer up to the next byte
 * that has descriptors, and if that is all of it, a new piece.
 */
struct plan {
	struct iovec iov[4];
	size_t n_iov;
	size_t buf_len;               /* bytes of the buffer in it */
	const struct dv_out_fds *fds; /* that go with the first byte */
};

static bool plan_next(struct dv_out *out, struct plan *p)
{
	const struct dv_out_fds *next = out->fds;

	*p = (struct plan){ .n_iov = 0 };
	if (out->piece) {
		p->n_iov = piece_iov(out, p->iov);
		return true;
	}
	p->buf_len = dv_out_waiting(out);
	if (next && next->at == out->pos) {
		p->fds = next;
		next = next->next;
	}
	if (next && next->at - out->pos < p->buf_len)
		p->buf_len = (size_t)(next->at - out->pos);
	if (p->buf_len > 0) {
		p->iov[0].iov_base = out->buf.data + out->at;
		p->iov[p->n_iov++].iov_len = p->buf_len;
	}
	if (p->buf_len == dv_out_waiting(out) && !dv_list_empty(&out->longs)) {
		begin_piece(out);
		p->n_iov += piece_iov(out, p->iov + p->n_iov);
	}
	return p->n_iov > 0;
}

/* ---- what was written ---- */

static void buf_written(struct dv_out *out, size_t n)
{
	out->at += n;
	out->pos += n;
	while (out->fds && out->fds->at < out->pos)
		pop_fds(out);
	if (out->at == out->buf.len) {
		out->at = 0;
		if (out->buf.cap > 2 * DV_LINK_FLUSH_LEN)
			dv_buf_free(&out->buf);
		else
			dv_buf_reset(&out->buf);
	} else if (out->at > DV_LINK_OUT_HIGH) {
		dv_buf_drop(&out->buf, out->at);
		out->at = 0;
	}
}

/* The piece is complete: the next one has its turn, or the message has left. */
static void piece_done(struct dv_link *link)
{
	struct dv_out *out = &link->out;
	struct dv_out_long *l = out->piece;
	struct dv_mesh_id dst = l->dst;

	out->piece = NULL;
	l->sent += out->piece_len;
	dv_list_del(&l->in_link);
	if (l->sent < l->msg->len) {
		dv_list_add(&out->longs, &l->in_link);
		return;
	}
	free_long(out, l);
	if (link->base.node)
		dv_node_sent(&link->base, dst);
}

static void written(struct dv_link *link, const struct plan *p, size_t n)
{
	struct dv_out *out = &link->out;
	size_t in_buf = dv_min(n, p->buf_len);

	if (p->buf_len > 0)
		buf_written(out, in_buf);
	if (!out->piece)
		return;
	n -= in_buf;
	out->piece_at += n;
	if (out->piece_at == 0) /* It did not begin. */
		out->piece = NULL;
	else if (out->piece_at == dv_mw_size(DV_MW_PLAIN + out->piece_len))
		piece_done(link);
}

/* ---- what could not be written ---- */

static void on_fd_retry(struct dv_timer *timer)
{
	struct dv_link *link =
		dv_container_of(timer, struct dv_link, out.fd_retry);

	dv_out_flush(link);
}

/* The kernel did not take the descriptors: -EAGAIN, later; 1, they are lost,
 * all that belong to this frame. */
static int fds_refused(struct dv_link *link, int r)
{
	struct dv_out *out = &link->out;
	uint64_t wait = NS_PER_MS << out->fd_tries;

	out->piece = NULL;
	if (r == -ETOOMANYREFS && out->fd_tries < DV_LINK_FD_TRIES &&
	    dv_timer_set(link->mesh->loop, &out->fd_retry, dv_now_ns() + wait,
			 on_fd_retry) == 0) {
		out->fd_tries++;
		return -EAGAIN;
	}
	dv_mw_mark_lost((uint8_t *)out->buf.data + out->at);
	pop_fds(out);
	out->fd_tries = 0;
	return 1;
}

/*
 * The peer is gone, or reads no more. What it sent is still to be read, so this
 * is no reason to go down; the loop finds out when there is no more.
 */
static void write_failed(struct dv_link *link, int r)
{
	struct dv_out *out = &link->out;

	if (r != -EPIPE && r != -ECONNRESET) {
		fail_sys(link, r, "write to another process");
		return;
	}
	out->dead = true;
	dv_in_resume(link);
}

/* Is it because of the descriptors? Too many are on their way; one may not be
 * passed (a security module, or EINVAL: io_uring), or is none. */
static bool is_fd_error(ssize_t r)
{
	return r == -ETOOMANYREFS || r == -EPERM || r == -EINVAL || r == -EBADF;
}

/* One sendmsg(). Returns > 0: go on, 0: there is nothing, or -errno. */
static ssize_t write_once(struct dv_link *link)
{
	struct dv_out *out = &link->out;
	struct plan p;
	ssize_t n;

	if (!plan_next(out, &p))
		return 0;
	n = dv_link_sendmsg(link->fd, p.iov, p.n_iov, p.fds);
	if (n > 0) {
		out->fd_tries = 0;
		written(link, &p, (size_t)n);
		return n;
	}
	if (out->piece && out->piece_at == 0)
		out->piece = NULL;
	if (p.fds && is_fd_error(n))
		return fds_refused(link, (int)n);
	return n;
}

/* ---- flushing ---- */

static void watch(struct dv_link *link)
{
	int r = dv_src_mod(&link->src,
			   EPOLLIN | (link->out.blocked ? EPOLLOUT : 0));

	if (r < 0)
		fail_sys(link, r, "watch a connection");
}

void dv_out_unblock(struct dv_link *link)
{
	link->out.blocked = false;
	watch(link);
}

static bool may_write(const struct dv_link *link)
{
	return dv_link_alive(link) && !link->out.dead && !link->out.blocked &&
	       !link->out.fd_retry.loop;
}

/* Until the socket is full, or enough. */
static void write_all(struct dv_link *link)
{
	size_t left = DV_LINK_WRITE_BUDGET;

	while (may_write(link)) {
		ssize_t n = write_once(link);

		if (n == 0)
			break;
		if (n == -EAGAIN) {
			link->out.blocked = !link->out.fd_retry.loop;
			watch(link);
		} else if (n < 0) {
			write_failed(link, (int)n);
		} else if ((size_t)n >= left) {
			dv_defer_add(link->mesh->loop, &link->out.flush,
				     on_flush);
			break;
		} else {
			left -= (size_t)n;
		}
	}
}

bool dv_out_write(struct dv_link *link)
{
	struct dv_out *out = &link->out;

	if (out->flushing || !dv_list_empty(&out->longs))
		return false;
	write_all(link);
	return true;
}

void dv_out_flush(struct dv_link *link)
{
	struct dv_out *out = &link->out;

	if (out->flushing)
		return;
	out->flushing = true;
	write_all(link);
	if (link->base.node && !dv_list_empty(&link->base.waiting) &&
	    dv_link_room(&link->base)) {
		dv_node_ready(&link->base);
		if (!dv_out_empty(out))
			dv_defer_add(link->mesh->loop, &out->flush, on_flush);
	}
	out->flushing = false;
	dv_leave_check(link->mesh);
}

static void on_flush(struct dv_defer *defer)
{
	dv_out_flush(dv_container_of(defer, struct dv_link, out.flush));
}

void dv_out_appended(struct dv_link *link)
{
	struct dv_out *out = &link->out;
	struct dv_err err = DV_ERR_INIT;
	char who[DV_LINK_WHO];

	if (dv_buf_status(&out->buf) == -EMSGSIZE ||
	    dv_out_waiting(out) > DV_LINK_OUT_MAX) {
		dv_err_set(&err, ENOBUFS, DV_EXHAUSTED,
			   "%s does not read: %zu bytes wait for it",
			   dv_link_who(link, who), dv_out_waiting(out));
		dv_link_fail(link, &err, false);
	} else if (dv_buf_status(&out->buf) < 0) {
		fail_sys(link, dv_buf_status(&out->buf),
			 "write to another process");
	} else if (dv_out_waiting(out) < DV_LINK_FLUSH_LEN ||
		   !dv_out_write(link)) {
		dv_defer_add(link->mesh->loop, &out->flush, on_flush);
	}
}

struct dv_out_fds *dv_out_attach(struct dv_out *out, uint16_t n)
{
	struct dv_out_fds *f = malloc(sizeof(*f) + n * sizeof(f->fds[0]));

	if (!f)
		return NULL;
	*f = (struct dv_out_fds){ .at = out->pos + dv_out_waiting(out) };
	*out->fds_end = f;
	out->fds_end = &f->next;
	return f;
}
