/* SPDX-License-Identifier: MIT */
#include "wire/mesh_part.h"

#include <errno.h>
#include <string.h>

#include "base/def.h"
#include "base/utf8.h"

/* Flags of a port. */
enum { CLOSED = 1, HAS_ERR = 2, DIRECT = 4 };

/* The kernel's own limit of what can be an errno. */
enum { SYS_MAX = 4095 };

static_assert(sizeof(((struct dv_err *)0)->msg) == DV_MW_MSG_MAX + 1,
	      "a text on the wire fits");
static_assert(sizeof(((struct dv_err *)0)->hint) == DV_MW_HINT_MAX + 1,
	      "a hint on the wire fits");

/* ---- ids and numbers ---- */

struct dv_mesh_id mw_id(struct dv_rd *rd)
{
	struct dv_mesh_id id;

	id.hi = dv_rd_le64(rd);
	id.lo = dv_rd_le64(rd);
	return id;
}

void mw_put32(struct dv_buf *out, uint32_t v)
{
	uint8_t p[4];

	dv_put_le32(p, v);
	dv_buf_put(out, p, sizeof(p));
}

void mw_put64(struct dv_buf *out, uint64_t v)
{
	uint8_t p[8];

	dv_put_le64(p, v);
	dv_buf_put(out, p, sizeof(p));
}

void mw_id_put(struct dv_buf *out, struct dv_mesh_id id)
{
	mw_put64(out, id.hi);
	mw_put64(out, id.lo);
}

/* ---- errors ---- */

/* What a peer wrote ends up in a terminal or a log. */
static void text_take(char *out, const uint8_t *p, size_t len)
{
	bool utf8 = dv_utf8_ok(p, len);

	for (size_t i = 0; i < len; i++) {
		uint8_t c = p[i];
		bool plain = c >= 0x20 && c < 0x7f;

		out[i] = plain || (utf8 && c >= 0x80) ? (char)c : '?';
	}
	out[len] = '\0';
}

int mw_err_parse(struct dv_rd *rd, struct dv_err *err)
{
	uint16_t sys = dv_rd_le16(rd);
	uint8_t code = dv_rd_u8(rd);
	uint8_t step = dv_rd_u8(rd);
	uint16_t msg_len = dv_rd_le16(rd);
	uint8_t hint_len = dv_rd_u8(rd);
	uint8_t zero = dv_rd_u8(rd);
	const uint8_t *msg, *hint;

	if (sys > SYS_MAX || code == DV_OK || code >= DV_CODE_N ||
	    step >= DV_STEP_N || zero || msg_len > DV_MW_MSG_MAX ||
	    hint_len > DV_MW_HINT_MAX)
		return -EPROTO;
	msg = dv_rd_bytes(rd, msg_len);
	hint = dv_rd_bytes(rd, hint_len);
	if (!dv_rd_ok(rd))
		return -EPROTO;
	*err = (struct dv_err){ sys, code, step, { 0 }, { 0 } };
	text_take(err->msg, msg, msg_len);
	text_take(err->hint, hint, hint_len);
	return 0;
}

void mw_err_put(struct dv_buf *out, const struct dv_err *err)
{
	bool sys_ok = err->sys >= 0 && err->sys <= SYS_MAX;
	bool code_ok = err->code > DV_OK && err->code < DV_CODE_N;
	bool step_ok = err->step >= 0 && err->step < DV_STEP_N;
	uint16_t sys = sys_ok ? (uint16_t)err->sys : 0;
	uint16_t msg_len = (uint16_t)strnlen(err->msg, DV_MW_MSG_MAX);
	uint8_t hint_len = (uint8_t)strnlen(err->hint, DV_MW_HINT_MAX);
	uint8_t p[8] = {
		(uint8_t)sys,
		(uint8_t)(sys >> 8),
		code_ok ? (uint8_t)err->code : (uint8_t)DV_UNKNOWN,
		step_ok ? (uint8_t)err->step : 0,
		(uint8_t)msg_len,
		(uint8_t)(msg_len >> 8),
		hint_len,
		0,
	};

	dv_buf_put(out, p, sizeof(p));
	dv_buf_put(out, err->msg, msg_len);
	dv_buf_put(out, err->hint, hint_len);
}

/* ---- ports ---- */

int mw_port_parse(struct dv_rd *rd, struct dv_mw_port *port,
		  struct dv_err *reason)
{
	uint8_t flags = dv_rd_u8(rd);

	port->id = mw_id(rd);
	port->from = mw_id(rd);
	port->pair = mw_id(rd);
	port->granted = dv_rd_le64(rd);
	port->received = dv_rd_le64(rd);
	port->closed = flags & CLOSED;
	port->direct = flags & DIRECT;
	port->has_err = flags & HAS_ERR;
	if (!dv_rd_ok(rd) || flags & ~(CLOSED | HAS_ERR | DIRECT) ||
	    mw_id_zero(port->id) || mw_id_zero(port->from) ||
	    mw_id_zero(port->pair))
		return -EPROTO;
	return port->has_err ? mw_err_parse(rd, reason) : 0;
}

void mw_port_put(struct dv_buf *out, const struct dv_mw_port *port,
		 const struct dv_err *reason)
{
	dv_buf_putc(out, (char)((port->closed ? CLOSED : 0) |
				(port->direct ? DIRECT : 0) |
				(reason ? HAS_ERR : 0)));
	mw_id_put(out, port->id);
	mw_id_put(out, port->from);
	mw_id_put(out, port->pair);
	mw_put64(out, port->granted);
	mw_put64(out, port->received);
	if (reason)
		mw_err_put(out, reason);
}
