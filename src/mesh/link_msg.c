/* SPDX-License-Identifier: MIT */
/*
 * From frames to messages: small ones where they are, those that came in part
 * and long ones in memory of their own.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/def.h"
#include "base/fd.h"
#include "mesh/link.h"

/* ---- the window ---- */

void dv_in_used(struct dv_link *link, uint64_t cost)
{
	struct dv_in *in = &link->in;
	struct dv_mw_event ev = { .kind = DV_MW_LINK_CREDIT };
	uint64_t window = link->mesh->window;

	in->used += cost;
	/* Often enough that it need not wait, seldom enough to cost little. */
	if (in->used + window - in->allowed < window / 4)
		return;
	in->allowed = in->used + window;
	ev.granted = in->allowed;
	dv_out_event(link, &ev, NULL, -1);
}

void dv_link_consumed(struct dv_mesh_link *base, uint64_t cost)
{
	struct dv_link *link = dv_link_of(base);

	if (dv_link_alive(link)) {
		dv_in_used(link, cost);
		dv_leave_check(link->mesh);
	} else if (link->state == DV_LINK_DOWN && base->held == 0) {
		if (link->mesh)
			dv_link_end_later(link);
		else
			dv_link_free(link);
	}
}

bool dv_in_charge(struct dv_link *link, uint64_t len, uint16_t n_atts)
{
	struct dv_in *in = &link->in;

	if (in->received >= in->allowed) {
		dv_err_set(&link->rule, EPROTO, DV_INVALID,
			   "it sends more than it was granted");
		dv_link_violation(link, &link->rule);
		return false;
	}
	in->received += len + DV_MSG_COST + (uint64_t)n_atts * DV_ATT_COST;
	return true;
}

/* ---- delivering ---- */

void dv_in_deliver(struct dv_link *link, struct dv_mesh_id dst,
		   struct dv_msg *msg)
{
	struct dv_mesh_event ev = {
		.kind = DV_EV_MESSAGE, .dst = dst, .msg = msg, .fd = -1
	};

	if (dv_node_event(&link->base, &ev, &link->rule) < 0)
		dv_link_violation(link, &link->rule);
}

void dv_in_fail_port(struct dv_link *link, struct dv_mesh_id dst, size_t len)
{
	struct dv_err why = DV_ERR_INIT;
	struct dv_mesh_event ev = {
		.kind = DV_EV_FAIL,
		.dst = dst,
		.node = dv_node_id(link->base.node),
		.err = &why,
		.fd = -1,
	};

	dv_err_sys(&why, ENOMEM, "receive a message of %zu bytes", len);
	if (dv_node_event(&link->base, &ev, &link->rule) < 0)
		dv_link_violation(link, &link->rule);
}

static void no_memory(struct dv_link *link)
{
	struct dv_err err = DV_ERR_INIT;

	dv_err_sys(&err, ENOMEM, "receive a message");
	dv_link_fail(link, &err, true);
}

/* ---- attachments ---- */

static int take_port(struct dv_att *att, const struct dv_mw_port *port,
		     const struct dv_err *reason)
{
	dv_autofree struct dv_port_desc *d = malloc(sizeof(*d));

	if (!d)
		return -ENOMEM;
	*d = dv_desc_of_wire(port);
	if (port->has_err) {
		d->err = malloc(sizeof(*d->err));
		if (!d->err)
			return -ENOMEM;
		*d->err = *reason;
	}
	att->desc = dv_take_ptr(&d);
	att->kind = DV_ATT_DESC;
	return 0;
}

static int take_atts(struct dv_msg *msg, uint16_t n, struct dv_rd atts,
		     struct dv_in_fds *fds)
{
	struct dv_mw_att mw;
	struct dv_err reason;

	while (n-- > 0) {
		struct dv_att *att = dv_msg_att_room(msg);
		int r;

		if (!att)
			return -ENOMEM;
		*att = (struct dv_att){ .kind = DV_ATT_NONE, .fd = -1 };
		r = dv_mw_att_next(&atts, &mw, &reason);
		if (r == 0 && mw.kind == DV_ATT_PORT)
			r = take_port(att, &mw.port, &reason);
		if (r < 0)
			return r;
		if (mw.kind == DV_ATT_FD)
			att->fd = dv_in_fd(fds);
		if (mw.kind == DV_ATT_FD && att->fd >= 0)
			att->kind = DV_ATT_FD;
		else if (mw.kind == DV_ATT_FD || mw.kind == DV_ATT_LOST)
			att->kind = DV_ATT_LOST;
	}
	return 0;
}

struct dv_msg *dv_in_new(struct dv_link *link, const struct dv_mw_head *head,
			 const struct dv_mw_message *m, struct dv_msg *msg)
{
	struct dv_in_fds *fds;
	int r;

	if (dv_in_claim(link, head, m->n_fds, &fds) < 0)
		return dv_msg_free(msg);
	r = msg ? take_atts(msg, head->n, m->atts, fds) : -ENOMEM;
	dv_in_fds_free(fds);
	if (r == 0)
		return msg;
	dv_msg_free(msg);
	no_memory(link);
	return NULL;
}

/* ---- whole messages ---- */

void dv_in_plain(struct dv_link *link, struct dv_mesh_id dst,
		 const uint8_t *data, uint32_t len)
{
	struct dv_msg msg = {
		.data = (uint8_t *)(uintptr_t)data,
		.len = len,
		.borrowed = true,
	};

	if (dv_in_charge(link, len, 0))
		dv_in_deliver(link, dst, &msg);
}

/* It came in part: the rest is read to where it belongs. */
static void fill_message(struct dv_link *link, struct dv_rd *rd,
			 const struct dv_mw_head *head,
			 const struct dv_mw_message *m)
{
	struct dv_in *in = &link->in;
	size_t have = rd->left - m->at;
	struct dv_msg *msg;

	msg = dv_in_new(link, head, m, dv_msg_new(m->total));
	if (!msg)
		return;
	have = dv_min(have, (size_t)m->total);
	memcpy(msg->data, rd->p + m->at, have);
	in->fill = msg->data + have;
	in->fill_left = m->total - have;
	in->fill_len = m->total;
	in->fill_pad = (uint8_t)(dv_mw_size(head->len) - head->len);
	in->fill_msg = msg;
	in->fill_dst = m->dst;
	dv_rd_bytes(rd, m->at + have);
	if (in->fill_left == 0) /* Only padding is missing. */
		dv_in_filled(link);
}

static int on_message(struct dv_link *link, struct dv_rd *rd,
		      const struct dv_mw_head *head,
		      const struct dv_mw_message *m)
{
	size_t size = dv_mw_size(head->len);
	bool whole = rd->left >= size;
	const uint8_t *data = rd->p + m->at;
	struct dv_msg *msg;

	if (!whole && m->total <= DV_LINK_FILL_MIN)
		return DV_MORE;
	if (!dv_in_charge(link, m->total, head->n))
		return 0;
	if (!whole) {
		fill_message(link, rd, head, m);
		return 0;
	}
	msg = dv_in_new(link, head, m, dv_msg_new(m->total));
	if (!msg)
		return 0;
	memcpy(msg->data, data, m->total);
	dv_rd_bytes(rd, size);
	dv_in_deliver(link, m->dst, msg);
	return 0;
}

int dv_in_message(struct dv_link *link, struct dv_rd *rd,
		  const struct dv_mw_head *head)
{
	struct dv_mw_message m;
	int r = dv_mw_message_parse(rd, head, &m, &link->rule);

	if (r < 0) {
		dv_link_violation(link, &link->rule);
		return 0;
	}
	if (r == DV_MORE)
		return DV_MORE;
	if (head->kind == DV_MW_MESSAGE)
		return on_message(link, rd, head, &m);
	return dv_in_long(link, rd, head, &m);
}

void dv_in_filled(struct dv_link *link)
{
	struct dv_in *in = &link->in;

	in->skip = in->fill_pad;
	if (in->fill_long)
		dv_in_long_filled(link);
	else
		dv_in_deliver(link, in->fill_dst, dv_take_ptr(&in->fill_msg));
}
