/* SPDX-License-Identifier: MIT */
/*
 * Messages that are received in pieces. Their number is bounded by the window:
 * each is longer than DV_MW_LONG_MIN, and what nobody wants counts until its
 * last piece has come, too.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/def.h"
#include "mesh/link.h"

static struct dv_in_long *find(struct dv_list *list, struct dv_mesh_id dst)
{
	struct dv_list *at, *next;

	dv_list_each(at, next, list)
	{
		struct dv_in_long *l =
			dv_list_of(at, struct dv_in_long, in_link);

		if (l->dst.hi == dst.hi && l->dst.lo == dst.lo)
			return l;
	}
	return NULL;
}

static void drop(struct dv_in_long *l)
{
	dv_list_del(&l->in_link);
	dv_msg_free(l->msg);
	free(l);
}

void dv_in_free_longs(struct dv_link *link)
{
	struct dv_in *in = &link->in;
	struct dv_list *l;

	while ((l = dv_list_first(&in->longs)) ||
	       (l = dv_list_first(&in->gone)))
		drop(dv_list_of(l, struct dv_in_long, in_link));
	dv_msg_free(dv_take_ptr(&in->fill_msg));
	in->fill_left = 0;
	in->fill_long = NULL;
}

static int broken(struct dv_link *link, const struct dv_mw_head *head,
		  const char *why)
{
	dv_err_set(&link->rule, EPROTO, DV_INVALID, "frame %s: %s",
		   dv_mw_kind_name(head->kind), why);
	dv_link_violation(link, &link->rule);
	return 0;
}

/* ---- the start ---- */

/*
 * Memory for it, if somebody wants it. Nobody does: what was attached still has
 * to get there, so that its sender hears that it was refused.
 */
static void begin(struct dv_link *link, const struct dv_mw_head *head,
		  const struct dv_mw_message *m, struct dv_in_long *l)
{
	bool wanted = dv_node_wants(&link->base, m->dst);
	struct dv_msg *msg = wanted ? dv_msg_new(m->total) : NULL;

	if (wanted && !msg) {
		dv_in_fail_port(link, m->dst, m->total);
		if (!dv_link_alive(link))
			return;
	}
	if (!msg) {
		msg = dv_in_new(link, head, m, dv_msg_new(0));
		if (msg)
			dv_in_deliver(link, m->dst, msg);
		return;
	}
	l->msg = dv_in_new(link, head, m, msg);
}

static int on_long(struct dv_link *link, struct dv_rd *rd,
		   const struct dv_mw_head *head, const struct dv_mw_message *m)
{
	size_t size = dv_mw_size(head->len);
	struct dv_in_long *l;

	if (rd->left < size)
		return DV_MORE;
	if (m->total > link->mesh->limits.max_message)
		return broken(link, head,
			      "its message is longer than this "
			      "node takes");
	if (find(&link->in.longs, m->dst))
		return broken(link, head, "another one is not complete");
	if (!dv_in_charge(link, m->total, head->n))
		return 0;
	l = calloc(1, sizeof(*l));
	if (!l) {
		dv_in_ended(link, -ENOMEM);
		return 0;
	}
	l->dst = m->dst;
	l->total = m->total;
	dv_list_add(&link->in.longs, &l->in_link);
	begin(link, head, m, l);
	dv_rd_bytes(rd, size);
	return 0;
}

/* ---- pieces ---- */

/* @n more bytes of it were received. */
static void advance(struct dv_link *link, struct dv_in_long *l, uint32_t n)
{
	struct dv_mesh_id dst = l->dst;
	struct dv_msg *msg;

	l->received += n;
	if (l->received < l->total)
		return;
	msg = dv_take_ptr(&l->msg);
	if (!msg)
		dv_in_used(link, l->total);
	drop(l);
	if (msg)
		dv_in_deliver(link, dst, msg);
}

/* Take what is there; the rest is read to where it belongs. */
static void fill_piece(struct dv_link *link, struct dv_rd *rd,
		       const struct dv_mw_head *head, struct dv_in_long *l)
{
	struct dv_in *in = &link->in;
	uint32_t len = head->len - DV_MW_PLAIN;
	size_t have = dv_min(rd->left - DV_MW_PLAIN, (size_t)len);
	uint8_t *to = l->msg->data + l->received;

	memcpy(to, rd->p + DV_MW_PLAIN, have);
	dv_rd_bytes(rd, DV_MW_PLAIN + have);
	in->fill = to + have;
	in->fill_left = len - have;
	in->fill_len = len;
	in->fill_pad = (uint8_t)(dv_mw_size(head->len) - head->len);
	in->fill_long = l;
	if (in->fill_left == 0)
		dv_in_filled(link);
}

void dv_in_long_filled(struct dv_link *link)
{
	struct dv_in_long *l = dv_take_ptr(&link->in.fill_long);

	advance(link, l, link->in.fill_len);
}

static int on_piece(struct dv_link *link, struct dv_rd *rd,
		    const struct dv_mw_head *head,
		    const struct dv_mw_message *m)
{
	struct dv_in_long *l = find(&link->in.longs, m->dst);

	if (!l)
		return broken(link, head, "it is a piece of nothing");
	if (m->total !=
	    dv_min(l->total - l->received, (uint32_t)DV_MW_FRAGMENT))
		return broken(link, head, "it has the wrong length");
	if (l->msg) {
		fill_piece(link, rd, head, l);
		return 0;
	}
	link->in.skip = dv_mw_size(head->len);
	advance(link, l, m->total);
	return 0;
}

int dv_in_long(struct dv_link *link, struct dv_rd *rd,
	       const struct dv_mw_head *head, const struct dv_mw_message *m)
{
	if (head->kind == DV_MW_LONG)
		return on_long(link, rd, head, m);
	return on_piece(link, rd, head, m);
}

/* ---- ports that go while a message for them comes ---- */

/* What is being filled in right now is dropped instead. */
static void stop_filling(struct dv_in *in)
{
	in->skip = in->fill_left + in->fill_pad;
	in->fill_left = 0;
}

static bool has_ports(const struct dv_msg *msg)
{
	for (uint16_t i = 0; i < msg->n_atts; i++)
		if (msg->atts[i].kind == DV_ATT_DESC)
			return true;
	return false;
}

/* A message that will not be complete. Its ports are refused from the loop:
 * the node is the caller. */
static void give_up(struct dv_link *link, struct dv_mesh_id dst,
		    struct dv_msg *msg)
{
	struct dv_in_long *l = calloc(1, sizeof(*l));

	dv_msg_trim(msg, 0);
	if (!l || !has_ports(msg)) {
		dv_in_used(link, dv_msg_cost(msg));
		dv_msg_free(msg);
		free(l);
		return;
	}
	l->dst = dst;
	l->msg = msg;
	dv_list_add(&link->in.gone, &l->in_link);
	dv_in_resume(link);
}

void dv_link_forget(struct dv_mesh_link *base, struct dv_mesh_id id)
{
	struct dv_link *link = dv_link_of(base);
	struct dv_in *in = &link->in;
	struct dv_in_long *l;

	if (!dv_link_alive(link))
		return;
	l = find(&in->longs, id);
	if (l && in->fill_long == l) {
		stop_filling(in);
		in->fill_long = NULL;
		l->received += in->fill_len;
	}
	if (l && l->msg)
		give_up(link, id, dv_take_ptr(&l->msg));
	if (l && l->received == l->total) {
		dv_in_used(link, l->total);
		drop(l);
	}
	if (in->fill_msg && in->fill_dst.hi == id.hi &&
	    in->fill_dst.lo == id.lo) {
		stop_filling(in);
		dv_in_used(link, in->fill_len);
		give_up(link, id, dv_take_ptr(&in->fill_msg));
	}
}

void dv_in_refuse_gone(struct dv_link *link)
{
	struct dv_list *at;

	while (dv_link_alive(link) && (at = dv_list_pop(&link->in.gone))) {
		struct dv_in_long *l =
			dv_list_of(at, struct dv_in_long, in_link);
		struct dv_msg *msg = dv_take_ptr(&l->msg);
		struct dv_mesh_id dst = l->dst;

		free(l);
		dv_in_deliver(link, dst, msg);
	}
}
