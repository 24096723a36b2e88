/* SPDX-License-Identifier: MIT */
/*
 * DOC: what a link receives.
 *
 * One read goes into a buffer that all links of a mesh share, and the frames in
 * it are looked at where they are: a small message is delivered from there. The
 * start of a frame that is not complete is kept by the link and put in front of
 * the next read. When a long payload has begun, the next read goes straight to
 * where it belongs, and a little of what follows it into the buffer.
 *
 * Frames begin at multiples of 8 there, so that payloads are aligned.
 */
#include <errno.h>
#include <limits.h>
#include <string.h>

#include "base/def.h"
#include "base/fd.h"
#include "mesh/link.h"

static_assert(DV_MESH_SCRATCH >= DV_MW_DST + 8 + DV_MW_ATTS_MAX +
					 DV_LINK_FILL_MIN + DV_MESH_READ_LEN,
	      "a frame that is not complete leaves room for a read");

void dv_in_init(struct dv_in *in, uint64_t window)
{
	in->keep.max = DV_MESH_SCRATCH;
	in->allowed = window;
	dv_list_init(&in->longs);
	dv_list_init(&in->gone);
}

void dv_in_free(struct dv_link *link)
{
	struct dv_in *in = &link->in;

	dv_defer_del(&in->resume);
	dv_in_free_longs(link);
	in->fds[0] = dv_in_fds_free(in->fds[0]);
	in->fds[1] = dv_in_fds_free(in->fds[1]);
	dv_buf_free(&in->keep);
}

/* ---- the end ---- */

static bool in_a_message(const struct dv_in *in)
{
	return in->keep.len > 0 || in->fill_left > 0 || in->skip > 0 ||
	       !dv_list_empty(&in->longs);
}

void dv_in_ended(struct dv_link *link, ssize_t r)
{
	struct dv_err err = DV_ERR_INIT;
	char who[DV_LINK_WHO];

	if (r == -EPROTO) {
		dv_err_set(&err, EPROTO, DV_INVALID,
			   "descriptors came that belong to nothing");
		dv_link_violation(link, &err);
		return;
	}
	if (r < 0 && r != -ECONNRESET && r != -EPIPE)
		dv_err_sys(&err, (int)-r, "read from %s",
			   dv_link_who(link, who));
	else if (link->state == DV_LINK_HELLO)
		dv_err_set(&err, ECONNRESET, DV_UNAVAILABLE,
			   "%s closed the connection %s",
			   dv_link_who(link, who),
			   link->in.any ? "in the middle of its handshake"
					: "without a handshake");
	else
		dv_err_set(&err, ECONNRESET, DV_UNAVAILABLE,
			   "%s is gone, or closed the connection%s",
			   dv_link_who(link, who),
			   in_a_message(&link->in) ? ", in the middle of a "
						     "message"
						   : "");
	dv_link_fail(link, &err, false);
}

static void on_error_frame(struct dv_link *link, const struct dv_err *reason)
{
	struct dv_err err = *reason;
	char who[DV_LINK_WHO];

	dv_err_wrap(&err, -EPROTO, "%s cut the connection",
		    dv_link_who(link, who));
	dv_link_fail(link, &err, false);
}

static void on_goodbye(struct dv_link *link)
{
	struct dv_err err = DV_ERR_INIT;
	char who[DV_LINK_WHO];

	link->in.peer_left = true;
	dv_err_set(&err, ESHUTDOWN, DV_UNAVAILABLE, "%s left the mesh",
		   dv_link_who(link, who));
	dv_link_fail(link, &err, false);
}

/* ---- frames that are no messages ---- */

static void on_link_credit(struct dv_link *link, uint64_t granted)
{
	link->out.granted = dv_max(link->out.granted, granted);
	if (!dv_list_empty(&link->base.waiting))
		dv_out_flush(link);
}

/* To the node. */
static void on_node_event(struct dv_link *link, const struct dv_mw_event *mw,
			  const struct dv_err *reason, int fd)
{
	static const uint8_t kinds[DV_MW_KIND_N] = {
		[DV_MW_CLOSE] = DV_EV_CLOSE,
		[DV_MW_NEW_PEER] = DV_EV_NEW_PEER,
		[DV_MW_BRIDGE] = DV_EV_BRIDGE,
		[DV_MW_END] = DV_EV_END,
		[DV_MW_TOTALS] = DV_EV_TOTALS,
		[DV_MW_MOVED] = DV_EV_MOVED,
		[DV_MW_REFUSED] = DV_EV_REFUSED,
		[DV_MW_CREDIT] = DV_EV_CREDIT,
		[DV_MW_ACCEPT] = DV_EV_ACCEPT,
		[DV_MW_ACCEPTED] = DV_EV_ACCEPTED,
		[DV_MW_CONNECT] = DV_EV_CONNECT,
		[DV_MW_FAIL] = DV_EV_FAIL,
		[DV_MW_LOOP] = DV_EV_LOOP,
		[DV_MW_INTRODUCE] = DV_EV_INTRODUCE,
	};
	struct dv_mesh_event ev = {
		.kind = (enum dv_mesh_event_kind)kinds[mw->kind],
		.dst = mw->dst,
		.id = mw->id,
		.node = mw->node,
		.received = mw->received,
		.granted = mw->granted,
		.pid = mw->pid,
		.err = mw->has_err ? reason : NULL,
		.fd = fd,
	};

	if (dv_node_event(&link->base, &ev, &link->rule) < 0)
		dv_link_violation(link, &link->rule);
}

static void on_introduce(struct dv_link *link, const struct dv_mw_head *head,
			 const struct dv_mw_event *mw, struct dv_err *reason)
{
	struct dv_mw_event ev = *mw;
	struct dv_in_fds *fds;
	int fd;

	if (dv_in_claim(link, head, head->flags & DV_MW_FDS, &fds) < 0)
		return;
	fd = dv_in_fd(fds);
	dv_in_fds_free(fds);
	if (fd < 0 && !ev.has_err) {
		*reason = (struct dv_err)DV_ERR_INIT;
		dv_err_set(reason, EMFILE, DV_EXHAUSTED,
			   "the descriptor of a connection was lost");
		ev.has_err = true;
	}
	on_node_event(link, &ev, reason, fd);
}

static void on_event(struct dv_link *link, const struct dv_rd *rd,
		     const struct dv_mw_head *head)
{
	struct dv_mw_event ev;
	struct dv_err reason;

	if (dv_mw_event_parse(rd, head, &ev, &reason, &link->rule) < 0) {
		dv_link_violation(link, &link->rule);
		return;
	}
	if (ev.kind == DV_MW_ERROR) {
		if (!ev.has_err)
			reason = (struct dv_err)DV_ERR_INIT;
		on_error_frame(link, &reason);
	} else if (ev.kind == DV_MW_GOODBYE) {
		on_goodbye(link);
	} else if (ev.kind == DV_MW_LINK_CREDIT) {
		on_link_credit(link, ev.granted);
	} else if (ev.kind == DV_MW_INTRODUCE) {
		on_introduce(link, head, &ev, &reason);
	} else {
		on_node_event(link, &ev, &reason, -1);
	}
}

/* ---- frames ---- */

static int out_of_order(struct dv_link *link, const struct dv_mw_head *head)
{
	dv_err_set(&link->rule, EPROTO, DV_INVALID,
		   link->state == DV_LINK_HELLO ? "frame %s before a HELLO"
						: "frame %s: once is enough",
		   dv_mw_kind_name(head->kind));
	dv_link_violation(link, &link->rule);
	return 0;
}

/* The frame at @rd, or what is there of it. DV_MORE: wait. */
static int any_frame(struct dv_link *link, struct dv_rd *rd)
{
	struct dv_mw_head head;
	struct dv_rd frame = *rd;
	int r = dv_mw_head_parse(rd, &head, &link->rule);

	if (r < 0)
		dv_link_violation(link, &link->rule);
	if (r != 0)
		return r == DV_MORE ? DV_MORE : 0;
	if (link->state == DV_LINK_HELLO && head.kind != DV_MW_HELLO &&
	    head.kind != DV_MW_ERROR)
		return out_of_order(link, &head);
	if (head.kind == DV_MW_MESSAGE || head.kind == DV_MW_LONG ||
	    head.kind == DV_MW_PIECE)
		return dv_in_message(link, rd, &head);
	if (rd->left < dv_mw_size(head.len))
		return DV_MORE;
	dv_rd_bytes(rd, dv_mw_size(head.len));
	if (head.kind != DV_MW_HELLO)
		on_event(link, &frame, &head);
	else if (link->state == DV_LINK_HELLO)
		dv_link_on_hello(link, &frame, &head);
	else
		return out_of_order(link, &head);
	return 0;
}

/* The same; a short message with nothing attached has to be fast. */
static int one_frame(struct dv_link *link, struct dv_rd *rd)
{
	struct dv_mesh_id dst;
	const uint8_t *data;
	uint32_t len;

	if (link->state != DV_LINK_UP ||
	    !dv_mw_plain_take(rd, &dst, &data, &len))
		return any_frame(link, rd);
	dv_in_plain(link, dst, data, len);
	return 0;
}

static void drop_skipped(struct dv_in *in, struct dv_rd *rd)
{
	size_t n = dv_min(in->skip, rd->left);

	dv_rd_bytes(rd, n);
	in->skip -= n;
}

/* At most @max frames; what is left is kept. */
static void frames(struct dv_link *link, struct dv_rd *rd, unsigned int max)
{
	struct dv_in *in = &link->in;
	int r = 0;

	for (; dv_link_alive(link); max--) {
		drop_skipped(in, rd);
		if (rd->left == 0 || max == 0)
			break;
		r = one_frame(link, rd);
		if (r == DV_MORE)
			break;
	}
	if (!dv_link_alive(link))
		return;
	dv_buf_reset(&in->keep);
	if (rd->left > 0)
		dv_buf_put(&in->keep, rd->p, rd->left);
	else if (in->keep.cap > DV_LINK_FILL_MIN)
		dv_buf_free(&in->keep);
	if (dv_buf_status(&in->keep) < 0)
		dv_in_ended(link, dv_buf_status(&in->keep));
	in->held = r != DV_MORE && rd->left > 0;
	if (in->held)
		dv_in_resume(link);
	else if (!dv_in_fds_fine(in, rd->left > 0))
		dv_in_ended(link, -EPROTO);
}

/* ---- reading ---- */

/* What was kept, in front of what is to be read. */
static uint8_t *prepare(struct dv_link *link)
{
	struct dv_in *in = &link->in;
	uint8_t *p = link->mesh->scratch + (-in->skip & 7);

	if (in->keep.len > 0)
		memcpy(p, in->keep.data, in->keep.len);
	return p;
}

static int read_into(struct dv_link *link, unsigned int max, bool sleep)
{
	struct dv_in *in = &link->in;
	uint8_t *p = prepare(link);
	size_t kept = in->keep.len, filled;
	struct iovec iov[2] = { { p + kept, DV_MESH_READ_LEN } };
	struct dv_rd rd;
	size_t n_iov = 1;
	ssize_t n;

	if (in->fill_left > 0) {
		p = link->mesh->scratch + (-(size_t)in->fill_pad & 7);
		iov[0] = (struct iovec){ in->fill, in->fill_left };
		iov[1] = (struct iovec){ p, DV_LINK_BEHIND };
		n_iov = 2;
	}
	n = dv_link_recv(link, iov, n_iov, sleep);
	if (n == -EAGAIN)
		return DV_MORE;
	if (n <= 0) {
		dv_in_ended(link, n);
		return 0;
	}
	in->any = true;
	if (link->state == DV_LINK_HELLO)
		dv_link_hurry(link);
	filled = dv_min((size_t)n, in->fill_left);
	in->fill += filled;
	in->fill_left -= filled;
	rd = dv_rd_mem(p, kept + (size_t)n - filled);
	if (filled > 0 && in->fill_left == 0)
		dv_in_filled(link);
	frames(link, &rd, max);
	return 0;
}

int dv_in_read(struct dv_link *link, unsigned int max, bool sleep)
{
	int r;

	dv_assert(!link->mesh->reading);
	link->mesh->reading = true;
	r = read_into(link, max, sleep);
	link->mesh->reading = false;
	return r;
}

/* Whole frames that were kept. */
static void read_kept(struct dv_link *link)
{
	struct dv_rd rd;

	link->mesh->reading = true;
	rd = dv_rd_mem(prepare(link), link->in.keep.len);
	frames(link, &rd, UINT_MAX);
	link->mesh->reading = false;
}

/* What did not have to be done at once. */
static void on_resume(struct dv_defer *defer)
{
	struct dv_link *link =
		dv_container_of(defer, struct dv_link, in.resume);

	if (dv_link_alive(link) && link->in.held)
		read_kept(link);
	if (dv_link_alive(link)) {
		dv_out_refused(link);
		dv_in_refuse_gone(link);
	}
	if (!dv_link_alive(link) || !link->out.dead)
		return;
	if (dv_in_read(link, UINT_MAX, false) == DV_MORE)
		dv_in_ended(link, -EPIPE);
	else if (dv_link_alive(link))
		dv_in_resume(link);
}

void dv_in_resume(struct dv_link *link)
{
	dv_defer_add(link->mesh->loop, &link->in.resume, on_resume);
}
