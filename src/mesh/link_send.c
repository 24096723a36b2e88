/* SPDX-License-Identifier: MIT */
/*
 * From events to frames.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/def.h"
#include "base/fd.h"
#include "mesh/link.h"

/* ---- all but messages ---- */

void dv_out_event(struct dv_link *link, struct dv_mw_event *ev,
		  const struct dv_err *reason, int fd)
{
	struct dv_out *out = &link->out;
	struct dv_out_fds *f = NULL;

	if (!dv_link_alive(link) || out->dead || link->told_bye) {
		dv_close(fd);
		return;
	}
	if (fd >= 0 && out->n_introduce < DV_LINK_INTRODUCE_MAX)
		f = dv_out_attach(out, 1);
	if (f) {
		f->fds[f->n++] = fd;
		f->introduces = true;
		out->n_introduce++;
		ev->has_fd = true;
	} else if (fd >= 0) {
		dv_close(fd);
		ev->fd_lost = true;
	}
	dv_mw_event_put(&out->buf, ev, reason);
	dv_out_appended(link);
}

static void send_event(struct dv_link *link, const struct dv_mesh_event *ev)
{
	static const uint8_t kinds[DV_EV_N] = {
		[DV_EV_CLOSE] = DV_MW_CLOSE,
		[DV_EV_NEW_PEER] = DV_MW_NEW_PEER,
		[DV_EV_BRIDGE] = DV_MW_BRIDGE,
		[DV_EV_END] = DV_MW_END,
		[DV_EV_TOTALS] = DV_MW_TOTALS,
		[DV_EV_MOVED] = DV_MW_MOVED,
		[DV_EV_REFUSED] = DV_MW_REFUSED,
		[DV_EV_CREDIT] = DV_MW_CREDIT,
		[DV_EV_ACCEPT] = DV_MW_ACCEPT,
		[DV_EV_ACCEPTED] = DV_MW_ACCEPTED,
		[DV_EV_CONNECT] = DV_MW_CONNECT,
		[DV_EV_FAIL] = DV_MW_FAIL,
		[DV_EV_LOOP] = DV_MW_LOOP,
		[DV_EV_INTRODUCE] = DV_MW_INTRODUCE,
	};
	struct dv_mw_event mw = {
		.kind = (enum dv_mw_kind)kinds[ev->kind],
		.dst = ev->dst,
		.id = ev->id,
		.node = ev->node,
		.received = ev->received,
		.granted = ev->granted,
		.pid = ev->pid,
	};
	bool has_err = ev->err && ev->err->code != DV_OK;

	dv_assert(mw.kind != 0);
	mw.has_err = has_err;
	dv_out_event(link, &mw, has_err ? ev->err : NULL,
		     ev->kind == DV_EV_INTRODUCE ? ev->fd : -1);
}

/* ---- messages ---- */

bool dv_link_room(const struct dv_mesh_link *base)
{
	const struct dv_link *link = dv_link_of(base);
	const struct dv_out *out = &link->out;

	if (link->state != DV_LINK_UP &&
	    (!link->early || !dv_list_empty(&out->refused)))
		return false;
	return !out->dead && !link->told_bye && out->sent < out->granted &&
	       dv_out_waiting(out) < DV_LINK_OUT_HIGH;
}

/* Nothing attached and short: the way that has to be fast. */
static void put_plain(struct dv_link *link, struct dv_mesh_id dst,
		      const struct dv_msg *msg)
{
	struct dv_buf *buf = &link->out.buf;
	size_t len = DV_MW_PLAIN + msg->len;
	size_t all = dv_mw_size((uint32_t)len);
	uint8_t *p = dv_buf_room(buf, all);

	if (!p)
		return;
	dv_mw_plain_put(p, DV_MW_MESSAGE, dst, (uint32_t)msg->len);
	if (msg->len > 0)
		memcpy(p + DV_MW_PLAIN, msg->data, msg->len);
	memset(p + len, 0, all - len);
	dv_buf_add(buf, all);
}

static void put_desc(struct dv_buf *buf, const struct dv_port_desc *d)
{
	struct dv_mw_att att = { .kind = DV_ATT_PORT,
				 .port = dv_desc_to_wire(d) };

	dv_mw_att_put(buf, &att, att.port.has_err ? d->err : NULL);
}

static uint16_t count_fds(const struct dv_msg *msg)
{
	uint16_t n = 0;

	for (uint16_t i = 0; i < msg->n_atts; i++)
		n += msg->atts[i].kind == DV_ATT_FD;
	return n;
}

/* What is attached; its descriptors go to @f. */
static void put_atts(struct dv_buf *buf, struct dv_msg *msg,
		     struct dv_out_fds *f)
{
	for (uint16_t i = 0; i < msg->n_atts; i++) {
		struct dv_att *att = &msg->atts[i];
		struct dv_mw_att mw = { .kind = DV_ATT_NONE };

		if (att->kind == DV_ATT_DESC) {
			put_desc(buf, att->desc);
			continue;
		}
		dv_assert(att->kind != DV_ATT_PORT);
		mw.kind = (enum dv_att_kind)att->kind;
		if (att->kind == DV_ATT_FD) {
			f->fds[f->n++] = dv_take_fd(&att->fd);
			att->kind = DV_ATT_NONE;
		}
		dv_mw_att_put(buf, &mw, NULL);
	}
}

/* The start of a message; a short one's payload, too. */
static int put_message(struct dv_link *link, struct dv_mesh_id dst,
		       struct dv_msg *msg, enum dv_mw_kind kind)
{
	static const uint8_t zeros[8];
	struct dv_buf *buf = &link->out.buf;
	uint16_t n_fds = count_fds(msg);
	struct dv_out_fds *f = NULL;
	size_t start;
	int r;

	if (n_fds > 0 && !(f = dv_out_attach(&link->out, n_fds)))
		return -ENOMEM;
	start = dv_mw_begin(buf, kind, dst);
	put_atts(buf, msg, f);
	r = dv_mw_end(buf, start, msg->n_atts, n_fds, (uint32_t)msg->len);
	if (r < 0 || kind == DV_MW_LONG || msg->len == 0)
		return r;
	dv_buf_put(buf, msg->data, msg->len);
	r = (int)(-(buf->len - start) & 7);
	return dv_buf_put(buf, zeros, (size_t)r);
}

static struct dv_out_long *new_long(struct dv_list *list, struct dv_mesh_id dst,
				    struct dv_msg *msg)
{
	struct dv_out_long *l = malloc(sizeof(*l));

	if (!l)
		return NULL;
	*l = (struct dv_out_long){ .msg = msg, .dst = dst };
	dv_list_add(list, &l->in_link);
	return l;
}

static int send_long(struct dv_link *link, struct dv_mesh_id dst,
		     struct dv_msg *msg)
{
	int r = put_message(link, dst, msg, DV_MW_LONG);

	if (r == 0 && new_long(&link->out.longs, dst, msg)) {
		dv_out_appended(link);
		return DV_MORE;
	}
	dv_msg_free(msg);
	return -ENOMEM;
}

/* The peer takes no message of that length: the ports concerned hear it from
 * the loop, because the node is the caller. */
static int refuse(struct dv_link *link, struct dv_mesh_id dst,
		  struct dv_msg *msg)
{
	if (!new_long(&link->out.refused, dst, msg)) {
		dv_msg_free(msg);
		return -ENOMEM;
	}
	dv_in_resume(link);
	return DV_MORE;
}

/* As if the other side had refused them: it never heard of them. */
static void refuse_ports(struct dv_link *link, const struct dv_msg *msg,
			 const struct dv_err *why)
{
	for (uint16_t i = 0; i < msg->n_atts; i++) {
		struct dv_mesh_event ev = { .kind = DV_EV_REFUSED,
					    .err = why,
					    .fd = -1 };

		if (msg->atts[i].kind != DV_ATT_DESC)
			continue;
		ev.dst = msg->atts[i].desc->from;
		dv_node_event(&link->base, &ev, &link->rule);
	}
}

static int send_message(struct dv_link *link, struct dv_mesh_id dst,
			struct dv_msg *msg)
{
	int r = 0;

	if (msg->len > link->out.max_message) {
		r = refuse(link, dst, msg);
	} else if (msg->len > DV_LINK_COPY_MAX) {
		link->out.sent += dv_msg_cost(msg);
		dv_assert(!msg->borrowed);
		r = send_long(link, dst, msg);
	} else {
		link->out.sent += dv_msg_cost(msg);
		if (msg->n_atts == 0)
			put_plain(link, dst, msg);
		else
			r = put_message(link, dst, msg, DV_MW_MESSAGE);
		dv_msg_free(msg);
	}
	if (r < 0)
		link->out.buf.status = -ENOMEM;
	if (r <= 0)
		dv_out_appended(link);
	return dv_max(r, 0);
}

static void tell_refused(struct dv_link *link, struct dv_mesh_id dst,
			 const struct dv_msg *msg)
{
	struct dv_err why = DV_ERR_INIT;
	char who[DV_LINK_WHO];

	dv_err_set(&why, EMSGSIZE, DV_RANGE,
		   "a message has %zu bytes, but %s takes no more than %u",
		   msg->len, dv_link_who(link, who), link->out.max_message);
	refuse_ports(link, msg, &why);
	dv_node_unsendable(&link->base, dst, &why);
}

void dv_out_refused(struct dv_link *link)
{
	struct dv_list *at;

	if (link->state == DV_LINK_HELLO)
		return; /* it does not say yet how much it takes */
	while (dv_link_alive(link) && (at = dv_list_pop(&link->out.refused))) {
		struct dv_out_long *l =
			dv_list_of(at, struct dv_out_long, in_link);
		struct dv_msg *msg = l->msg;
		struct dv_mesh_id dst = l->dst;

		free(l);
		if (msg->len > link->out.max_message) {
			tell_refused(link, dst, msg);
			dv_msg_free(msg);
		} else if (send_message(link, dst, msg) != DV_MORE) {
			dv_node_sent(&link->base, dst);
		}
	}
}

int dv_link_send(struct dv_mesh_link *base, struct dv_mesh_event *ev)
{
	struct dv_link *link = dv_link_of(base);

	if (ev->kind != DV_EV_MESSAGE) {
		send_event(link, ev);
		return 0;
	}
	if (!dv_link_alive(link) || link->out.dead) {
		dv_msg_free(ev->msg);
		return 0;
	}
	return send_message(link, ev->dst, ev->msg);
}
