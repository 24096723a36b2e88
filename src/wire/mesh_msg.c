/* SPDX-License-Identifier: MIT */
/*
 * Messages on the wire: plain ones, long ones, and what is attached.
 */
#include <errno.h>
#include <string.h>

#include "base/def.h"
#include "wire/mesh_part.h"

/* Kinds of attachments on the wire. */
enum { ATT_NONE, ATT_FD, ATT_PORT, ATT_LOST };
static_assert(ATT_NONE == (int)DV_ATT_NONE && ATT_FD == (int)DV_ATT_FD &&
		      ATT_PORT == (int)DV_ATT_PORT &&
		      ATT_LOST == (int)DV_ATT_LOST,
	      "the kinds of attachments have the numbers of the wire");

/* ---- reading ---- */

int dv_mw_att_next(struct dv_rd *rd, struct dv_mw_att *att,
		   struct dv_err *reason)
{
	uint8_t kind = dv_rd_u8(rd);

	if (!dv_rd_ok(rd) || kind > ATT_LOST)
		return -EPROTO;
	att->kind = (enum dv_att_kind)kind;
	if (kind == ATT_PORT)
		return mw_port_parse(rd, &att->port, reason);
	return 0;
}

/* All attachments are what they have to be, and no byte is left. */
static int atts_check(const struct dv_mw_head *head, struct dv_mw_message *msg,
		      struct dv_err *err)
{
	struct dv_rd rd = msg->atts;
	struct dv_mw_att att;
	struct dv_err reason;

	for (uint16_t i = 0; i < head->n; i++) {
		if (dv_mw_att_next(&rd, &att, &reason) < 0)
			return mw_bad(err, head->kind,
				      "an attachment cannot be");
		if (att.kind == DV_ATT_FD)
			msg->n_fds++;
	}
	if (rd.left)
		return mw_bad(err, head->kind, "bytes follow its attachments");
	if (!(head->flags & DV_MW_FDS) != !msg->n_fds)
		return mw_bad(err, head->kind,
			      "it announces other descriptors than it has");
	return 0;
}

/* The attachments, which begin with their length; DV_MORE. */
static int atts_parse(struct dv_rd *rd, const struct dv_mw_head *head,
		      struct dv_mw_message *msg, struct dv_err *err)
{
	uint32_t len;

	if (rd->left < 4)
		return DV_MORE;
	len = dv_rd_le32(rd);
	if (len > DV_MW_ATTS_MAX || len > head->len - msg->at - 4)
		return mw_bad(err, head->kind, "its attachments are too long");
	if (rd->left < len)
		return DV_MORE;
	msg->atts = dv_rd_mem(dv_rd_bytes(rd, len), len);
	msg->at += 4 + len;
	return atts_check(head, msg, err);
}

static int long_parse(struct dv_rd *rd, const struct dv_mw_head *head,
		      struct dv_mw_message *msg, struct dv_err *err)
{
	int r;

	if (head->len < DV_MW_DST + 8)
		return mw_bad(err, head->kind, "it is too short");
	if (rd->left < 4)
		return DV_MORE;
	msg->total = dv_rd_le32(rd);
	msg->at += 4;
	if (msg->total <= DV_MW_LONG_MIN || msg->total > DV_MSG_MAX)
		return mw_bad(err, head->kind, "its message is not that long");
	r = atts_parse(rd, head, msg, err);
	if (r == 0 && msg->at != head->len)
		return mw_bad(err, head->kind, "its length is wrong");
	return r;
}

int dv_mw_message_parse(const struct dv_rd *rd, const struct dv_mw_head *head,
			struct dv_mw_message *msg, struct dv_err *err)
{
	struct dv_rd in = *rd;
	int r = 0;

	if (in.left < DV_MW_DST)
		return DV_MORE;
	dv_rd_bytes(&in, DV_MW_HEAD);
	*msg = (struct dv_mw_message){ .dst = mw_id(&in), .at = DV_MW_DST };
	if (mw_id_zero(msg->dst))
		return mw_bad(err, head->kind, "it is for no port");
	if (head->kind == DV_MW_LONG)
		return long_parse(&in, head, msg, err);
	if (head->n > 0) {
		if (head->len < DV_MW_DST + 4)
			return mw_bad(err, head->kind, "it is too short");
		r = atts_parse(&in, head, msg, err);
	} else if (head->flags) {
		return mw_bad(err, head->kind,
			      "it announces other descriptors than it has");
	}
	if (r != 0)
		return r;
	msg->total = head->len - msg->at;
	if (msg->total > DV_MW_FRAGMENT)
		return mw_bad(err, head->kind, "it is too long");
	if (head->kind == DV_MW_PIECE && msg->total == 0)
		return mw_bad(err, head->kind, "it is empty");
	return 0;
}

/* ---- writing ---- */

/* The same as dv_put_le64(), but inline: it is done for every message. */
static inline void store64(uint8_t *p, uint64_t v)
{
	p[0] = (uint8_t)v;
	p[1] = (uint8_t)(v >> 8);
	p[2] = (uint8_t)(v >> 16);
	p[3] = (uint8_t)(v >> 24);
	p[4] = (uint8_t)(v >> 32);
	p[5] = (uint8_t)(v >> 40);
	p[6] = (uint8_t)(v >> 48);
	p[7] = (uint8_t)(v >> 56);
}

void dv_mw_plain_put(uint8_t out[DV_MW_PLAIN], enum dv_mw_kind kind,
		     struct dv_mesh_id dst, uint32_t len)
{
	store64(out, (DV_MW_PLAIN + len) | (uint64_t)kind << 32);
	store64(out + 8, dst.hi);
	store64(out + 16, dst.lo);
}

size_t dv_mw_begin(struct dv_buf *out, enum dv_mw_kind kind,
		   struct dv_mesh_id dst)
{
	size_t start = mw_head_put(out, kind);

	mw_id_put(out, dst);
	if (kind == DV_MW_LONG)
		mw_put32(out, 0);
	mw_put32(out, 0);
	return start;
}

void dv_mw_att_put(struct dv_buf *out, const struct dv_mw_att *att,
		   const struct dv_err *reason)
{
	dv_buf_putc(out, (char)att->kind);
	if (att->kind == DV_ATT_PORT)
		mw_port_put(out, &att->port, reason);
}

int dv_mw_end(struct dv_buf *out, size_t start, uint16_t n_atts, uint16_t n_fds,
	      uint32_t len)
{
	bool is_long = false;
	uint8_t *p;
	size_t at;

	if (dv_buf_status(out) < 0)
		return dv_buf_status(out);
	p = (uint8_t *)out->data + start;
	is_long = p[4] == DV_MW_LONG;
	if (is_long)
		dv_put_le32(p + DV_MW_DST, len);
	at = DV_MW_DST + (is_long ? 4 : 0);
	dv_put_le32(p + at, (uint32_t)(out->len - start - at - 4));
	return mw_head_end(out, start, n_fds ? DV_MW_FDS : 0, n_atts,
			   is_long ? 0 : len);
}
