/* SPDX-License-Identifier: MIT */
#include "mesh/host_wire.h"

#include <errno.h>
#include <string.h>

#include "base/def.h"
#include "mesh/msg.h"

enum {
	/* kind, follows, id, flags, number, time, count */
	FIXED = 1 + 1 + 4 + 4 + 4 + 8 + 8,
	/* sys, code, step; two lengths */
	ERR_FIXED = 3 * 4 + 2 * 4,
};

/* ---- writing ----------------------------------------------------------- */

static uint8_t *put32(uint8_t *p, uint32_t v)
{
	dv_put_le32(p, v);
	return p + 4;
}

static uint8_t *put64(uint8_t *p, uint64_t v)
{
	dv_put_le64(p, v);
	return p + 8;
}

static uint8_t *put_str(uint8_t *p, struct dv_str s)
{
	p = put32(p, (uint32_t)s.len);
	if (s.len)
		memcpy(p, s.ptr, s.len);
	return p + s.len;
}

static struct dv_str text_of(const char *s, size_t size)
{
	return (struct dv_str){ s, strnlen(s, size - 1) };
}

static uint8_t *put_err(uint8_t *p, const struct dv_err *e)
{
	p = put32(p, (uint32_t)e->sys);
	p = put32(p, (uint32_t)e->code);
	p = put32(p, (uint32_t)e->step);
	p = put_str(p, text_of(e->msg, sizeof(e->msg)));
	return put_str(p, text_of(e->hint, sizeof(e->hint)));
}

struct dv_msg *dv_host_msg_new(const struct dv_host_msg *m)
{
	size_t len = FIXED + ERR_FIXED + 3 * 4 +
		     text_of(m->err.msg, sizeof(m->err.msg)).len +
		     text_of(m->err.hint, sizeof(m->err.hint)).len;
	struct dv_msg *msg;
	uint8_t *p;

	if (m->text.len > DV_HM_TEXT_MAX || m->data.len > DV_HM_DATA_MAX ||
	    m->extra.len > DV_HM_EXTRA_MAX)
		return NULL;
	msg = dv_msg_new(len + m->text.len + m->data.len + m->extra.len);
	if (!msg)
		return NULL;
	p = dv_msg_data(msg);
	*p++ = m->kind;
	*p++ = m->follows;
	p = put32(p, m->id);
	p = put32(p, m->flags);
	p = put32(p, (uint32_t)m->number);
	p = put64(p, m->time);
	p = put64(p, m->count);
	p = put_str(p, m->text);
	p = put_str(p, m->data);
	p = put_str(p, m->extra);
	put_err(p, &m->err);
	return msg;
}

/* ---- reading ------------------------------------------------------------ */

static struct dv_str get_str(struct dv_rd *rd, size_t max)
{
	struct dv_str s = { NULL, dv_rd_le32(rd) };

	if (s.len > max)
		rd->bad = true;
	s.ptr = (const char *)dv_rd_bytes(rd, rd->bad ? 0 : s.len);
	return s;
}

static void get_text(struct dv_rd *rd, char *out, size_t size)
{
	struct dv_str s = get_str(rd, size - 1);

	if (!dv_rd_ok(rd))
		return;
	if (s.len)
		memcpy(out, s.ptr, s.len);
	out[s.len] = '\0';
}

static void get_err(struct dv_rd *rd, struct dv_err *e)
{
	e->sys = (int32_t)dv_rd_le32(rd);
	e->code = (int32_t)dv_rd_le32(rd);
	e->step = (int32_t)dv_rd_le32(rd);
	get_text(rd, e->msg, sizeof(e->msg));
	get_text(rd, e->hint, sizeof(e->hint));
}

int dv_host_msg_parse(const void *data, size_t len, struct dv_host_msg *m)
{
	struct dv_rd rd = dv_rd_mem(data, len);
	uint8_t follows;

	*m = (struct dv_host_msg){ 0 };
	m->kind = dv_rd_u8(&rd);
	follows = dv_rd_u8(&rd);
	m->follows = follows == 1;
	m->id = dv_rd_le32(&rd);
	m->flags = dv_rd_le32(&rd);
	m->number = (int32_t)dv_rd_le32(&rd);
	m->time = dv_rd_le64(&rd);
	m->count = dv_rd_le64(&rd);
	m->text = get_str(&rd, DV_HM_TEXT_MAX);
	m->data = get_str(&rd, DV_HM_DATA_MAX);
	m->extra = get_str(&rd, DV_HM_EXTRA_MAX);
	get_err(&rd, &m->err);
	if (!dv_rd_ok(&rd) || rd.left || follows > 1 || !m->kind ||
	    m->kind >= DV_HM_N || m->err.code < 0 || m->err.code >= DV_CODE_N ||
	    m->err.sys < 0)
		return -EBADMSG;
	return 0;
}

/* ---- sending ------------------------------------------------------------ */

int dv_host_msg_send(struct dv_port *port, const struct dv_host_msg *m,
		     struct dv_err *err)
{
	struct dv_msg *msg = dv_host_msg_new(m);
	int r;

	if (!msg)
		return dv_err_sys(err, ENOMEM, "message of a host");
	r = dv_port_send(port, msg, err);
	return dv_min(r, 0);
}

/* ---- frames ------------------------------------------------------------- */

/* The attachments go where the bytes go, those that were lost, too. */
static struct dv_msg *frame(struct dv_host_msg *m, struct dv_msg *content)
{
	size_t len = content ? dv_msg_len(content) : 0, tail_len;
	struct dv_msg *tail, *msg;
	uint8_t *p;

	m->follows = content != NULL;
	tail = dv_host_msg_new(m);
	if (!tail)
		return NULL;
	tail_len = dv_msg_len(tail);
	msg = dv_msg_new(len + tail_len + 4);
	if (msg) {
		p = dv_msg_data(msg);
		if (len)
			memcpy(p, dv_msg_data(content), len);
		memcpy(p + len, dv_msg_data(tail), tail_len);
		dv_put_le32(p + len + tail_len, (uint32_t)tail_len);
		if (content)
			dv_msg_move_atts(msg, content);
	}
	dv_msg_free(tail);
	return msg;
}

int dv_host_frame_send(struct dv_port *port, struct dv_host_msg *m,
		       struct dv_msg *content, struct dv_err *err)
{
	struct dv_msg *msg = frame(m, content);
	int r;

	dv_msg_free(content);
	if (!msg)
		return dv_err_sys(err, ENOMEM, "message of a worker");
	r = dv_port_send(port, msg, err);
	return dv_min(r, 0);
}

int dv_host_frame_open(struct dv_msg *msg, struct dv_host_msg *m)
{
	size_t len = dv_msg_len(msg), tail_len;
	uint8_t *data = dv_msg_data(msg);
	struct dv_rd rd;
	int r;

	if (len < 4)
		return -EBADMSG;
	rd = dv_rd_mem(data + len - 4, 4);
	tail_len = dv_rd_le32(&rd);
	if (tail_len > len - 4)
		return -EBADMSG;
	len -= 4 + tail_len;
	r = dv_host_msg_parse(data + len, tail_len, m);
	if (r == 0 && !m->follows && (len || dv_msg_n_atts(msg)))
		r = -EBADMSG;
	if (r == 0)
		dv_msg_trim(msg, len);
	return r;
}
