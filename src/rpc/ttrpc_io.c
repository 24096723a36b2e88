/* SPDX-License-Identifier: MIT */
#include "rpc/ttrpc_io.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>

#include "base/def.h"
#include "base/fd.h"
#include "rpc/recv_fds.h"

/* A control message, aligned. */
union control {
	struct cmsghdr align;
	char buf[CMSG_SPACE(sizeof(int) * DV_RPC_FDS_MAX)];
};

static bool is_local(int fd)
{
	int domain = -1;
	socklen_t len = sizeof(domain);

	return getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &len) == 0 &&
	       domain == AF_UNIX;
}

void tt_io_init(struct tt_io *io, int fd, bool server, size_t recv_max)
{
	memset(io, 0, sizeof(*io));
	io->fd = fd;
	io->server = server;
	io->local = is_local(fd);
	io->recv_max = recv_max;
	io->in.max = recv_max + DV_TTRPC_HDR_LEN + 2 * DV_RPC_READ_LONG;
	io->out.max = DV_RPC_QUEUE_END + DV_RPC_SEND_MAX + DV_RPC_READ_LEN;
	io->out_fds_tail = &io->out_fds;
}

static void drop_out_fds(struct tt_io *io)
{
	struct tt_out_fds *o = io->out_fds;

	io->out_fds = o->next;
	if (!io->out_fds)
		io->out_fds_tail = &io->out_fds;
	for (size_t i = 0; i < o->n; i++)
		dv_close(o->fds[i]);
	free(o);
}

void tt_io_free(struct tt_io *io)
{
	while (io->out_fds)
		drop_out_fds(io);
	while (io->n_fds)
		dv_close(io->fds[--io->n_fds].fd);
	dv_buf_free(&io->in);
	dv_buf_free(&io->out);
	io->fd = dv_close(io->fd);
}

/* ---- receiving ---- */

/* Take @n descriptors; false when there are too many, and all are closed. */
static bool add_fds(struct tt_io *io, const int *fds, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		if (io->n_fds == DV_RPC_FDS_MAX) {
			for (; i < n; i++)
				dv_close(fds[i]);
			return false;
		}
		io->fds[io->n_fds].fd = fds[i];
		io->fds[io->n_fds++].at = io->received;
	}
	return true;
}

static ssize_t receive(struct tt_io *io, void *p, size_t len, int flags)
{
	int fds[DV_RPC_FDS_MAX];
	size_t n_fds = 0;
	ssize_t n = dv_recv_fds(io->fd, p, len, flags, fds, &n_fds);

	if (n > 0)
		io->received += (size_t)n;
	if (n_fds && !add_fds(io, fds, n_fds))
		return -EBADMSG;
	return n;
}

/* How much to ask for behind a frame that has begun. */
static size_t rest_len(const struct tt_io *io)
{
	struct dv_rd rd = tt_io_kept(io);
	struct dv_ttrpc_hdr hdr;

	if (dv_ttrpc_hdr_parse(&rd, &hdr) != 0 || hdr.len <= rd.left)
		return DV_RPC_READ_LEN;
	return dv_max((size_t)DV_RPC_READ_LEN,
		      dv_min(hdr.len - rd.left, (size_t)DV_RPC_READ_LONG));
}

ssize_t tt_io_fill(struct tt_io *io, void *scratch, int flags, struct dv_rd *rd)
{
	size_t len = DV_RPC_READ_LEN;
	ssize_t n;
	void *p;

	if (io->in.len == 0) {
		n = receive(io, scratch, len, flags);
		if (n > 0)
			*rd = dv_rd_mem(scratch, (size_t)n);
		return n;
	}
	len = rest_len(io);
	p = dv_buf_room(&io->in, len);
	if (!p)
		return dv_buf_status(&io->in);
	n = receive(io, p, len, flags);
	if (n > 0) {
		dv_buf_add(&io->in, (size_t)n);
		*rd = tt_io_kept(io);
	}
	return n;
}

struct dv_rd tt_io_kept(const struct tt_io *io)
{
	return dv_rd_mem(io->in.data, io->in.len);
}

int tt_io_preload(struct tt_io *io, struct dv_rd *rd, const void *head,
		  size_t len, int *fds, size_t n_fds)
{
	io->received += len;
	*rd = dv_rd_mem(head, len);
	return add_fds(io, fds, n_fds) ? 0 : -EBADMSG;
}

static enum tt_verdict judge(const struct tt_io *io,
			     const struct dv_ttrpc_hdr *hdr)
{
	if (io->server && hdr->stream % 2 == 0)
		return TT_PARITY;
	if (io->server && hdr->type != DV_TTRPC_REQUEST)
		return TT_TYPE;
	return hdr->len > io->recv_max ? TT_SIZE : TT_OK;
}

static void take_frame_fds(struct tt_io *io, struct tt_frame *frame)
{
	size_t n = 0;

	while (n < io->n_fds && io->fds[n].at <= io->parsed) {
		frame->fds[n] = io->fds[n].fd;
		n++;
	}
	frame->n_fds = n;
	if (n == 0)
		return;
	io->n_fds -= n;
	memmove(io->fds, io->fds + n, io->n_fds * sizeof(io->fds[0]));
}

/* Drop what has come of a refused frame; 0 when that was all of it. */
static int drop(struct tt_io *io, struct dv_rd *rd, struct tt_frame *frame)
{
	size_t n = (size_t)dv_min(io->drop_left, (uint64_t)rd->left);

	dv_rd_bytes(rd, n);
	io->parsed += n;
	io->drop_left -= n;
	if (io->drop_left)
		return DV_MORE;
	frame->hdr = io->refused;
	frame->verdict = io->why;
	frame->payload = NULL;
	io->why = TT_OK;
	take_frame_fds(io, frame);
	return 0;
}

int tt_io_next(struct tt_io *io, struct dv_rd *rd, struct tt_frame *frame)
{
	struct dv_rd in = *rd;

	if (io->why != TT_OK)
		return drop(io, rd, frame);
	if (dv_ttrpc_hdr_parse(&in, &frame->hdr) != 0)
		return DV_MORE;
	io->why = judge(io, &frame->hdr);
	if (io->why != TT_OK) {
		io->refused = frame->hdr;
		io->drop_left = frame->hdr.len;
		io->parsed += DV_TTRPC_HDR_LEN;
		*rd = in;
		return drop(io, rd, frame);
	}
	frame->payload = dv_rd_bytes(&in, frame->hdr.len);
	if (!dv_rd_ok(&in))
		return DV_MORE;
	frame->verdict = TT_OK;
	io->parsed += DV_TTRPC_HDR_LEN + frame->hdr.len;
	*rd = in;
	take_frame_fds(io, frame);
	return 0;
}

void tt_frame_done(struct tt_frame *frame)
{
	for (size_t i = 0; i < frame->n_fds; i++)
		dv_close(frame->fds[i]);
	frame->n_fds = 0;
}

bool tt_io_ready(const struct tt_io *io, const struct dv_rd *rd)
{
	struct dv_rd in = *rd;
	struct dv_ttrpc_hdr hdr;

	if (io->why != TT_OK)
		return in.left > 0;
	if (dv_ttrpc_hdr_parse(&in, &hdr) != 0)
		return false;
	return judge(io, &hdr) != TT_OK || hdr.len <= in.left;
}

int tt_io_keep(struct tt_io *io, const struct dv_rd *rd)
{
	if (io->in.len) {
		dv_buf_drop(&io->in, io->in.len - rd->left);
		if (io->in.len == 0 && io->in.cap > DV_RPC_KEEP_LEN)
			dv_buf_free(&io->in);
		return 0;
	}
	if (rd->left == 0)
		return 0;
	return dv_buf_put(&io->in, rd->p, rd->left);
}

/* ---- sending ---- */

int tt_io_attach(struct tt_io *io, size_t start, const int *fds, size_t n_fds)
{
	struct tt_out_fds *o;

	if (!io->local)
		return -EOPNOTSUPP;
	if (n_fds > DV_RPC_FDS_MAX)
		return -EMFILE;
	o = malloc(sizeof(*o) + n_fds * sizeof(int));
	if (!o)
		return -ENOMEM;
	*o = (struct tt_out_fds){ .at = io->gone + start,
				  .end = io->gone + io->out.len };
	*io->out_fds_tail = o;
	for (; o->n < n_fds; o->n++) {
		o->fds[o->n] = dv_fd_dup(fds[o->n], 0);
		if (o->fds[o->n] < 0)
			break;
	}
	if (o->n == n_fds) {
		io->out_fds_tail = &o->next;
		return 0;
	}
	*io->out_fds_tail = NULL;
	start = o->n;
	n_fds = (size_t)-o->fds[o->n];
	while (start > 0)
		dv_close(o->fds[--start]);
	free(o);
	return -(int)n_fds;
}

static ssize_t send_some(struct tt_io *io)
{
	uint64_t at = io->gone + io->sent;
	struct tt_out_fds *o = io->out_fds;
	union control ctl = { 0 };
	struct iovec iov = { io->out.data + io->sent, tt_io_queued(io) };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };
	struct cmsghdr *c = &ctl.align;
	ssize_t n;

	if (o && o->at > at) {
		iov.iov_len = (size_t)(o->at - at);
	} else if (o) {
		iov.iov_len = (size_t)(o->end - at);
		msg.msg_control = &ctl;
		msg.msg_controllen = CMSG_SPACE(o->n * sizeof(int));
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(o->n * sizeof(int));
		memcpy(CMSG_DATA(c), o->fds, o->n * sizeof(int));
	}
	do
		n = sendmsg(io->fd, &msg, MSG_NOSIGNAL | MSG_DONTWAIT);
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return -errno;
	if (n > 0 && msg.msg_control)
		drop_out_fds(io);
	return n;
}

/* Nothing waits any more, or much lies before what waits: tidy up. */
static void compact(struct tt_io *io)
{
	if (tt_io_queued(io) && io->sent < DV_RPC_READ_LONG)
		return;
	io->gone += io->sent;
	dv_buf_drop(&io->out, io->sent);
	io->sent = 0;
	if (io->out.len == 0 && io->out.cap > DV_RPC_KEEP_LEN)
		dv_buf_free(&io->out);
}

int tt_io_flush(struct tt_io *io)
{
	ssize_t n = 0;

	while (tt_io_queued(io)) {
		n = send_some(io);
		if (n < 0)
			break;
		io->sent += (size_t)n;
	}
	if (io->sent)
		compact(io);
	if (n < 0 && n != -EAGAIN)
		return (int)n;
	return n < 0 ? DV_MORE : 0;
}
