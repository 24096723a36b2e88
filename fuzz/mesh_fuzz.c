/* SPDX-License-Identifier: MIT */
/*
 * Frames of the mesh: nothing is read beyond them, what is parsed lies inside,
 * and what is written again is parsed alike.
 */
#include <string.h>

#include "base/def.h"
#include "wire/mesh.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { SIZE_LIMIT = 1 << 20 };

static bool same_id(struct dv_mesh_id a, struct dv_mesh_id b)
{
	return a.hi == b.hi && a.lo == b.lo;
}

static void same_err(const struct dv_err *a, const struct dv_err *b)
{
	dv_assert(a->sys == b->sys && a->code == b->code && a->step == b->step);
	dv_assert(!strcmp(a->msg, b->msg) && !strcmp(a->hint, b->hint));
}

static struct dv_mw_head head_of(const struct dv_buf *out, struct dv_rd *rd)
{
	struct dv_mw_head head;

	dv_assert(dv_buf_status(out) == 0 && out->len % 8 == 0);
	*rd = dv_rd_mem(out->data, out->len);
	dv_assert(dv_mw_head_parse(rd, &head, NULL) == 0);
	dv_assert(dv_mw_size(head.len) == out->len);
	return head;
}

static void event(const struct dv_rd *rd, const struct dv_mw_head *head)
{
	dv_autobuf out = DV_BUF_INIT(2 * DV_MW_HELLO_MAX);
	struct dv_mw_event ev, again;
	struct dv_mw_head h;
	struct dv_err reason, reason2, err = DV_ERR_INIT;
	struct dv_rd in;

	if (dv_mw_event_parse(rd, head, &ev, &reason, &err) < 0) {
		dv_assert(err.code == DV_INVALID && err.msg[0]);
		return;
	}
	dv_mw_event_put(&out, &ev, ev.has_err ? &reason : NULL);
	h = head_of(&out, &in);
	dv_assert(dv_mw_event_parse(&in, &h, &again, &reason2, NULL) == 0);
	dv_assert(ev.kind == again.kind && same_id(ev.dst, again.dst));
	dv_assert(same_id(ev.id, again.id) && same_id(ev.node, again.node));
	dv_assert(ev.received == again.received && ev.pid == again.pid);
	dv_assert(ev.granted == again.granted && ev.has_fd == again.has_fd);
	dv_assert(ev.fd_lost == again.fd_lost && ev.has_err == again.has_err);
	if (ev.has_err)
		same_err(&reason, &reason2);
}

static void hello(const struct dv_rd *rd, const struct dv_mw_head *head)
{
	dv_autobuf out = DV_BUF_INIT(2 * DV_MW_HELLO_MAX);
	struct dv_mw_hello h, again;
	struct dv_mw_head head2;
	struct dv_err reason, reason2, err = DV_ERR_INIT;
	struct dv_rd in;

	if (dv_mw_hello_parse(rd, head, &h, &reason, &err) < 0) {
		dv_assert(err.code == DV_INVALID && err.msg[0]);
		return;
	}
	dv_mw_version(&h, &err);
	dv_mw_hello_put(&out, &h, h.port.has_err ? &reason : NULL);
	head2 = head_of(&out, &in);
	dv_assert(dv_mw_hello_parse(&in, &head2, &again, &reason2, NULL) == 0);
	dv_assert(same_id(h.node, again.node) && h.window == again.window);
	dv_assert(h.has_port == again.has_port);
	if (h.port.has_err)
		same_err(&reason, &reason2);
}

static void atts(const struct dv_mw_head *head, const struct dv_mw_message *m,
		 struct dv_buf *out)
{
	size_t start = dv_mw_begin(out, (enum dv_mw_kind)head->kind, m->dst);
	struct dv_rd rd = m->atts;

	for (uint16_t i = 0; i < head->n; i++) {
		struct dv_mw_att att = { .kind = DV_ATT_NONE };
		struct dv_err reason;

		dv_assert(dv_mw_att_next(&rd, &att, &reason) == 0);
		dv_mw_att_put(out, &att, att.port.has_err ? &reason : NULL);
	}
	dv_assert(rd.left == 0);
	dv_mw_end(out, start, head->n, m->n_fds,
		  head->kind == DV_MW_LONG ? m->total : 0);
}

/* The short way takes what the long one takes. */
static void plain(const struct dv_rd *rd, const struct dv_mw_head *head,
		  const struct dv_mw_message *m)
{
	struct dv_rd in = *rd;
	struct dv_mesh_id dst;
	const uint8_t *data;
	uint32_t len;
	bool whole = rd->left >= dv_mw_size(head->len);
	bool want = m && whole && head->kind == DV_MW_MESSAGE && head->n == 0;

	dv_assert(dv_mw_plain_take(&in, &dst, &data, &len) == want);
	dv_assert(!want || (same_id(dst, m->dst) && len == m->total &&
			    data == rd->p + m->at &&
			    in.p == rd->p + dv_mw_size(head->len)));
	dv_assert(want || in.p == rd->p);
}

static void message(const struct dv_rd *rd, const struct dv_mw_head *head)
{
	dv_autobuf out = DV_BUF_INIT(SIZE_LIMIT);
	struct dv_mw_message m, again;
	struct dv_err err = DV_ERR_INIT;
	struct dv_mw_head head2;
	struct dv_rd in;
	int r = dv_mw_message_parse(rd, head, &m, &err);

	plain(rd, head, r == 0 ? &m : NULL);
	if (r != 0) {
		dv_assert(r == DV_MORE || (err.code == DV_INVALID));
		return;
	}
	dv_assert(m.at <= head->len && m.total <= DV_MSG_MAX);
	dv_assert(head->kind == DV_MW_LONG || m.at + m.total == head->len);
	dv_assert(m.atts.left <= DV_MW_ATTS_MAX);
	if (head->kind == DV_MW_PIECE ||
	    (head->kind == DV_MW_MESSAGE && head->n == 0))
		return;
	atts(head, &m, &out);
	head2 = head_of(&out, &in);
	dv_assert(dv_mw_message_parse(&in, &head2, &again, NULL) == 0);
	dv_assert(again.n_fds == m.n_fds && same_id(again.dst, m.dst));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct dv_rd rd = dv_rd_mem(data, size);
	struct dv_mw_head head;
	struct dv_err err = DV_ERR_INIT;

	/* All frames of a stream, one after the other. */
	while (dv_mw_head_parse(&rd, &head, &err) == 0) {
		dv_assert(head.len <= SIZE_LIMIT);
		if (head.kind == DV_MW_MESSAGE || head.kind == DV_MW_LONG ||
		    head.kind == DV_MW_PIECE)
			message(&rd, &head);
		else if (rd.left < head.len)
			break;
		else if (head.kind == DV_MW_HELLO)
			hello(&rd, &head);
		else
			event(&rd, &head);
		if (!dv_rd_bytes(&rd, dv_mw_size(head.len)))
			break;
	}
	return 0;
}
