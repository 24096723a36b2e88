/* SPDX-License-Identifier: MIT */
/*
 * DOC: frames of the mesh. The layout is in docs/mesh-wire.md; the table below
 * says the same for whatever is no message.
 */
#include "wire/mesh.h"

#include <errno.h>
#include <string.h>

#include "base/def.h"
#include "wire/mesh_part.h"

/* What a kind consists of, in the order of the wire. */
enum {
	DST = 1,
	ID = 2,
	NODE = 4,
	RECEIVED = 8,
	GRANTED = 16,
	PID = 32,
	ID_ZERO = 64,    /* the id may be zero */
	NODE_ZERO = 128, /* the node may be zero */
	PAYLOAD = 256,   /* a message or a part of it */
};

static const struct {
	const char *name;
	uint16_t fields;
	uint8_t flags; /* that it may have */
} kinds[] = {
	[0] = { NULL, 0, 0 },
	[DV_MW_HELLO] = { "HELLO", 0, DV_MW_PORT | DV_MW_ERR },
	[DV_MW_MESSAGE] = { "MESSAGE", DST | PAYLOAD, DV_MW_FDS | DV_MW_LOST },
	[DV_MW_LONG] = { "LONG", DST | PAYLOAD, DV_MW_FDS | DV_MW_LOST },
	[DV_MW_PIECE] = { "PIECE", DST | PAYLOAD, 0 },
	[DV_MW_CLOSE] = { "CLOSE", DST | NODE | NODE_ZERO | PID, DV_MW_ERR },
	[DV_MW_NEW_PEER] = { "NEW_PEER", DST | ID | NODE, 0 },
	[DV_MW_BRIDGE] = { "BRIDGE", DST | ID, 0 },
	[DV_MW_END] = { "END", DST | NODE | NODE_ZERO, 0 },
	[DV_MW_TOTALS] = { "TOTALS", DST | ID | RECEIVED | GRANTED, 0 },
	[DV_MW_MOVED] = { "MOVED", DST, 0 },
	[DV_MW_REFUSED] = { "REFUSED", DST, DV_MW_ERR },
	[DV_MW_CREDIT] = { "CREDIT", DST | ID | GRANTED, 0 },
	[DV_MW_ACCEPT] = { "ACCEPT", DST | ID | NODE | RECEIVED | GRANTED, 0 },
	[DV_MW_CONNECT] = { "CONNECT", DST | NODE, 0 },
	[DV_MW_FAIL] = { "FAIL", DST | ID | ID_ZERO | NODE | NODE_ZERO | PID,
			 DV_MW_ERR },
	[DV_MW_LOOP] = { "LOOP", DST | ID | RECEIVED, 0 },
	[DV_MW_INTRODUCE] = { "INTRODUCE", ID | ID_ZERO | NODE,
			      DV_MW_FDS | DV_MW_LOST | DV_MW_ERR },
	[DV_MW_LINK_CREDIT] = { "LINK_CREDIT", GRANTED, 0 },
	[DV_MW_GOODBYE] = { "GOODBYE", 0, 0 },
	[DV_MW_ERROR] = { "ERROR", 0, DV_MW_ERR },
	[DV_MW_ACCEPTED] = { "ACCEPTED", DST | ID, 0 },
};
static_assert(DV_ARRAY_LEN(kinds) == DV_MW_KIND_N, "one row per kind");

const char *dv_mw_kind_name(int kind)
{
	return kind > 0 && kind < DV_MW_KIND_N ? kinds[kind].name : "?";
}

int mw_bad(struct dv_err *err, int kind, const char *why)
{
	return dv_err_set(err, EPROTO, DV_INVALID, "frame %s: %s",
			  dv_mw_kind_name(kind), why);
}

/* ---- the head ---- */

/* Bytes of a frame of this kind that are always there. */
static uint32_t fixed_len(unsigned int fields)
{
	return (uint32_t)(DV_MW_HEAD + (fields & DST ? 16 : 0) +
			  (fields & ID ? 16 : 0) + (fields & NODE ? 16 : 0) +
			  (fields & RECEIVED ? 8 : 0) +
			  (fields & GRANTED ? 8 : 0) + (fields & PID ? 4 : 0));
}

/* What may follow these. */
static uint32_t more_len(const struct dv_mw_head *head)
{
	uint32_t more = head->flags & DV_MW_ERR ? DV_MW_ERR_MAX : 0;

	if (head->kind == DV_MW_HELLO)
		return DV_MW_HELLO_MAX - DV_MW_HEAD;
	if (head->kind == DV_MW_LONG)
		more += 8 + DV_MW_ATTS_MAX;
	else if (head->kind == DV_MW_MESSAGE && head->n > 0)
		more += 4 + DV_MW_ATTS_MAX + DV_MW_FRAGMENT;
	else if (head->kind == DV_MW_MESSAGE || head->kind == DV_MW_PIECE)
		more += DV_MW_FRAGMENT;
	return more;
}

static int head_check(const struct dv_mw_head *head, struct dv_err *err)
{
	bool may_attach =
		head->kind == DV_MW_MESSAGE || head->kind == DV_MW_LONG;
	uint32_t min;

	if (head->kind == 0 || head->kind >= DV_MW_KIND_N)
		return dv_err_set(err, EPROTO, DV_INVALID,
				  "there is no frame of kind %d", head->kind);
	if (head->flags & ~kinds[head->kind].flags ||
	    (head->flags & DV_MW_LOST && !(head->flags & DV_MW_FDS)))
		return mw_bad(err, head->kind, "such flags do not exist");
	if (head->n > (may_attach ? DV_MSG_ATT_MAX : 0))
		return mw_bad(err, head->kind, "too many attachments");
	min = fixed_len(kinds[head->kind].fields);
	if (head->len < min)
		return mw_bad(err, head->kind, "it is too short");
	if (head->len - min > more_len(head))
		return mw_bad(err, head->kind, "it is too long");
	return 0;
}

int dv_mw_head_parse(const struct dv_rd *rd, struct dv_mw_head *head,
		     struct dv_err *err)
{
	struct dv_rd in = *rd;

	if (in.left < DV_MW_HEAD)
		return DV_MORE;
	head->len = dv_rd_le32(&in);
	head->kind = dv_rd_u8(&in);
	head->flags = dv_rd_u8(&in);
	head->n = dv_rd_le16(&in);
	return head_check(head, err);
}

size_t mw_head_put(struct dv_buf *out, int kind)
{
	size_t start = out->len;
	uint8_t *p = dv_buf_room(out, DV_MW_HEAD);

	if (!p)
		return start;
	memset(p, 0, DV_MW_HEAD);
	p[4] = (uint8_t)kind;
	dv_buf_add(out, DV_MW_HEAD);
	return start;
}

int mw_head_end(struct dv_buf *out, size_t start, uint8_t flags, uint16_t n,
		uint32_t more)
{
	static const uint8_t zeros[8];
	size_t len;
	uint8_t *p;

	if (dv_buf_status(out) < 0)
		return dv_buf_status(out);
	len = out->len - start;
	p = (uint8_t *)out->data + start;
	dv_put_le32(p, (uint32_t)len + more);
	p[5] = flags;
	p[6] = (uint8_t)n;
	p[7] = (uint8_t)(n >> 8);
	if (more > 0)
		return 0;
	return dv_buf_put(out, zeros, dv_mw_size((uint32_t)len) - len);
}

void dv_mw_mark_lost(uint8_t *frame)
{
	frame[5] |= DV_MW_LOST;
}

/* ---- everything that is no message ---- */

static int event_check(unsigned int fields, const struct dv_mw_event *ev,
		       struct dv_err *err)
{
	if (fields & DST && mw_id_zero(ev->dst))
		return mw_bad(err, ev->kind, "it is for no port");
	if (fields & ID && !(fields & ID_ZERO) && mw_id_zero(ev->id))
		return mw_bad(err, ev->kind, "it names no port");
	if (fields & NODE && !(fields & NODE_ZERO) && mw_id_zero(ev->node))
		return mw_bad(err, ev->kind, "it names no node");
	if (ev->pid < 0)
		return mw_bad(err, ev->kind, "a process id is negative");
	return 0;
}

int dv_mw_event_parse(const struct dv_rd *rd, const struct dv_mw_head *head,
		      struct dv_mw_event *ev, struct dv_err *reason,
		      struct dv_err *err)
{
	unsigned int fields = kinds[head->kind].fields;
	struct dv_rd in = dv_rd_mem(rd->p, head->len);

	dv_assert(rd->left >= head->len && !(fields & PAYLOAD));
	dv_rd_bytes(&in, DV_MW_HEAD);
	*ev = (struct dv_mw_event){ .kind = (enum dv_mw_kind)head->kind };
	if (fields & DST)
		ev->dst = mw_id(&in);
	if (fields & ID)
		ev->id = mw_id(&in);
	if (fields & NODE)
		ev->node = mw_id(&in);
	if (fields & RECEIVED)
		ev->received = dv_rd_le64(&in);
	if (fields & GRANTED)
		ev->granted = dv_rd_le64(&in);
	if (fields & PID)
		ev->pid = (int32_t)dv_rd_le32(&in);
	ev->has_fd = head->flags & DV_MW_FDS && !(head->flags & DV_MW_LOST);
	ev->fd_lost = head->flags & DV_MW_LOST;
	ev->has_err = head->flags & DV_MW_ERR;
	if (ev->has_err && mw_err_parse(&in, reason) < 0)
		return mw_bad(err, head->kind, "its error cannot be");
	if (!dv_rd_ok(&in) || in.left)
		return mw_bad(err, head->kind, "its length is wrong");
	return event_check(fields, ev, err);
}

int dv_mw_event_put(struct dv_buf *out, const struct dv_mw_event *ev,
		    const struct dv_err *reason)
{
	unsigned int fields = kinds[ev->kind].fields;
	size_t start = mw_head_put(out, ev->kind);
	uint8_t flags = reason ? DV_MW_ERR : 0;

	if (fields & DST)
		mw_id_put(out, ev->dst);
	if (fields & ID)
		mw_id_put(out, ev->id);
	if (fields & NODE)
		mw_id_put(out, ev->node);
	if (fields & RECEIVED)
		mw_put64(out, ev->received);
	if (fields & GRANTED)
		mw_put64(out, ev->granted);
	if (fields & PID)
		mw_put32(out, (uint32_t)ev->pid);
	if (reason)
		mw_err_put(out, reason);
	if (ev->has_fd || ev->fd_lost)
		flags |= DV_MW_FDS;
	if (ev->fd_lost)
		flags |= DV_MW_LOST;
	return mw_head_end(out, start, flags, 0, 0);
}

/* ---- hello ---- */

/* "davitmsh", as a number. */
#define MAGIC UINT64_C(0x68736d7469766164)

static int hello_check(const struct dv_mw_hello *h, struct dv_err *err)
{
	if (h->version_min == 0 || h->version_min > h->version_max)
		return mw_bad(err, DV_MW_HELLO, "its versions cannot be");
	if (mw_id_zero(h->node))
		return mw_bad(err, DV_MW_HELLO, "it names no node");
	if (h->max_message < DV_MW_EARLY_MAX || h->window < DV_MW_WINDOW_MIN)
		return mw_bad(err, DV_MW_HELLO, "its limits are too low");
	return 0;
}

int dv_mw_hello_parse(const struct dv_rd *rd, const struct dv_mw_head *head,
		      struct dv_mw_hello *h, struct dv_err *reason,
		      struct dv_err *err)
{
	struct dv_rd in = dv_rd_mem(rd->p, head->len);
	const uint8_t *token;

	dv_assert(rd->left >= head->len);
	dv_rd_bytes(&in, DV_MW_HEAD);
	if (head->kind != DV_MW_HELLO || dv_rd_le64(&in) != MAGIC)
		return dv_err_set(err, EPROTO, DV_INVALID,
				  "the other side is no mesh node");
	*h = (struct dv_mw_hello){ .version_min = 0 };
	h->version_min = dv_rd_le16(&in);
	h->version_max = dv_rd_le16(&in);
	h->features = dv_rd_le32(&in);
	h->node = mw_id(&in);
	h->max_message = dv_rd_le32(&in);
	dv_rd_le32(&in);
	h->window = dv_rd_le64(&in);
	token = dv_rd_bytes(&in, DV_MW_TOKEN);
	if (token)
		memcpy(h->token, token, DV_MW_TOKEN);
	h->has_port = head->flags & DV_MW_PORT;
	if (h->has_port && mw_port_parse(&in, &h->port, reason) < 0)
		return mw_bad(err, head->kind, "its port cannot be");
	if (!dv_rd_ok(&in))
		return mw_bad(err, head->kind, "it is too short");
	return hello_check(h, err);
}

int dv_mw_hello_put(struct dv_buf *out, const struct dv_mw_hello *h,
		    const struct dv_err *reason)
{
	size_t start = mw_head_put(out, DV_MW_HELLO);

	mw_put64(out, MAGIC);
	mw_put32(out,
		 (uint32_t)(h->version_min | (uint32_t)h->version_max << 16));
	mw_put32(out, h->features);
	mw_id_put(out, h->node);
	mw_put32(out, h->max_message);
	mw_put32(out, 0);
	mw_put64(out, h->window);
	dv_buf_put(out, h->token, DV_MW_TOKEN);
	if (h->has_port)
		mw_port_put(out, &h->port, reason);
	return mw_head_end(out, start, h->has_port ? DV_MW_PORT : 0, 0, 0);
}

int dv_mw_version(const struct dv_mw_hello *peer, struct dv_err *err)
{
	int v = dv_min((int)peer->version_max, (int)DV_MW_VERSION_MAX);

	if (v < DV_MW_VERSION_MIN || v < peer->version_min)
		return dv_err_set(err, EPROTO, DV_UNIMPLEMENTED,
				  "the other side speaks version %d to %d of "
				  "the mesh's protocol, this one %d to %d",
				  peer->version_min, peer->version_max,
				  DV_MW_VERSION_MIN, DV_MW_VERSION_MAX);
	return v;
}
