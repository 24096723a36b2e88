/* SPDX-License-Identifier: MIT */
#include "wire/pb.h"

#include <errno.h>
#include <pb_common.h>
#include <pb_decode.h>
#include <pb_encode.h>
#include <string.h>

#include "base/def.h"

/* A varint of 64 bits. */
#define VARINT_MAX 10
/* What malloc() adds to a block, about. */
#define ALLOC_EXTRA 16

struct scan {
	size_t fields, alloc;
	struct dv_err *err;
};

static int bad(struct scan *s, uint32_t tag, const char *what)
{
	return dv_err_set(s->err, EBADMSG, DV_INVALID, "field %u: %s", tag,
			  what);
}

/* False when it is cut off or longer than 64 bits. */
static bool varint(struct dv_rd *rd, uint64_t *vp)
{
	uint64_t v = 0;

	for (unsigned int i = 0; i < VARINT_MAX; i++) {
		uint8_t b = dv_rd_u8(rd);

		if (rd->bad || (i == VARINT_MAX - 1 && b > 1))
			return false;
		v |= (uint64_t)(b & 0x7f) << (7 * i);
		if (!(b & 0x80)) {
			*vp = v;
			return true;
		}
	}
	return false;
}

static int charge(struct scan *s, uint32_t tag, size_t fields, size_t alloc)
{
	s->fields += fields;
	s->alloc += alloc;
	if (s->fields > DV_PB_FIELDS_MAX)
		return dv_err_set(s->err, EMSGSIZE, DV_EXHAUSTED,
				  "field %u: more than %d fields in a message",
				  tag, DV_PB_FIELDS_MAX);
	if (s->alloc > DV_PB_ALLOC_MAX)
		return dv_err_set(s->err, EMSGSIZE, DV_EXHAUSTED,
				  "field %u: the message needs more memory "
				  "than %d bytes",
				  tag, DV_PB_ALLOC_MAX);
	return 0;
}

/* The wire type that a single value of @field has. */
static pb_wire_type_t wire_type(const pb_field_iter_t *field)
{
	switch (PB_LTYPE(field->type)) {
	case PB_LTYPE_BOOL:
	case PB_LTYPE_VARINT:
	case PB_LTYPE_UVARINT:
	case PB_LTYPE_SVARINT:
		return PB_WT_VARINT;
	case PB_LTYPE_FIXED32:
		return PB_WT_32BIT;
	case PB_LTYPE_FIXED64:
		return PB_WT_64BIT;
	default:
		return PB_WT_STRING;
	}
}

/* The items of a packed list; each one is a field. */
static int packed(struct scan *s, const pb_field_iter_t *field,
		  const uint8_t *p, size_t len)
{
	struct dv_rd rd = dv_rd_mem(p, len);
	pb_wire_type_t wt = wire_type(field);
	size_t size = wt == PB_WT_64BIT ? 8 : 4;
	size_t n = 0;
	uint64_t v;

	if (wt == PB_WT_VARINT) {
		for (; rd.left; n++)
			if (!varint(&rd, &v))
				return bad(s, field->tag, "a list is cut off");
	} else {
		if (len % size)
			return bad(s, field->tag, "a list is cut off");
		n = len / size;
	}
	return charge(s, field->tag, n, n * field->data_size);
}

static int message(struct scan *s, const pb_msgdesc_t *desc, const uint8_t *p,
		   size_t len, unsigned int depth);

/* A value of @len bytes whose schema is known. */
static int known(struct scan *s, const pb_field_iter_t *field, const uint8_t *p,
		 size_t len, unsigned int depth)
{
	bool pointer = PB_ATYPE(field->type) == PB_ATYPE_POINTER;
	int r = 0;

	if (PB_LTYPE_IS_SUBMSG(field->type))
		r = message(s, field->submsg_desc, p, len, depth + 1);
	else if (wire_type(field) != PB_WT_STRING)
		return PB_HTYPE(field->type) == PB_HTYPE_REPEATED
			       ? packed(s, field, p, len)
			       : bad(s, field->tag, "has the wrong type");
	else if (PB_LTYPE(field->type) == PB_LTYPE_STRING && len &&
		 memchr(p, 0, len))
		r = bad(s, field->tag, "text with a NUL byte");
	else if (PB_LTYPE(field->type) == PB_LTYPE_BYTES && pointer &&
		 len > PB_SIZE_MAX - sizeof(pb_size_t))
		return dv_err_set(s->err, EMSGSIZE, DV_EXHAUSTED,
				  "field %u: %zu bytes are too long",
				  field->tag, len);
	if (r == 0 && pointer)
		r = charge(s, field->tag, 0,
			   field->data_size + len + ALLOC_EXTRA);
	return r;
}

static int value(struct scan *s, const pb_field_iter_t *field, uint32_t tag,
		 unsigned int wt, struct dv_rd *rd, unsigned int depth)
{
	const uint8_t *p;
	uint64_t v = 0;

	switch (wt) {
	case PB_WT_VARINT:
		if (!varint(rd, &v))
			return bad(s, tag, "is cut off, or too long");
		break;
	case PB_WT_64BIT:
		dv_rd_bytes(rd, 8);
		break;
	case PB_WT_32BIT:
		dv_rd_bytes(rd, 4);
		break;
	case PB_WT_STRING:
		if (!varint(rd, &v) || v > rd->left)
			return bad(s, tag, "is cut off");
		p = dv_rd_bytes(rd, (size_t)v);
		return field ? known(s, field, p, (size_t)v, depth) : 0;
	default:
		return bad(s, tag, "has an unknown wire type");
	}
	if (rd->bad)
		return bad(s, tag, "is cut off");
	if (field && wire_type(field) != wt)
		return bad(s, tag, "has the wrong type");
	if (field && PB_ATYPE(field->type) == PB_ATYPE_POINTER)
		return charge(s, tag, 0, field->data_size + ALLOC_EXTRA);
	return 0;
}

static int message(struct scan *s, const pb_msgdesc_t *desc, const uint8_t *p,
		   size_t len, unsigned int depth)
{
	struct dv_rd rd = dv_rd_mem(p, len);
	pb_field_iter_t field;
	bool fields = desc && pb_field_iter_begin(&field, desc, NULL);
	int r = 0;

	if (depth > DV_PB_DEPTH_MAX)
		return dv_err_set(s->err, EBADMSG, DV_INVALID,
				  "more than %d messages in each other",
				  DV_PB_DEPTH_MAX);
	while (rd.left && r == 0) {
		uint64_t key;
		uint32_t tag;

		if (!varint(&rd, &key) || key > UINT32_MAX)
			return bad(s, 0, "a field number is cut off");
		tag = (uint32_t)(key >> 3);
		if (tag == 0)
			return bad(s, 0, "there is no such field number");
		r = charge(s, tag, 1, 0);
		if (r == 0)
			r = value(s,
				  fields && pb_field_iter_find(&field, tag)
					  ? &field
					  : NULL,
				  tag, key & 7, &rd, depth);
	}
	return r;
}

int dv_pb_scan(const pb_msgdesc_t *fields, const void *data, size_t len,
	       struct dv_err *err)
{
	struct scan s = { 0, 0, err };

	return message(&s, fields, data, len, 1);
}

int dv_pb_decode(const pb_msgdesc_t *fields, const void *data, size_t len,
		 void *msg, struct dv_err *err)
{
	pb_istream_t in = pb_istream_from_buffer(data, len);
	int r = dv_pb_scan(fields, data, len, err);

	if (r < 0)
		return r;
	/* On failure it has released everything itself. */
	if (!pb_decode_ex(&in, fields, msg, PB_DECODE_NOINIT)) {
		dv_pb_release(fields, msg);
		return dv_err_set(err, EBADMSG, DV_INVALID, "decode: %s",
				  PB_GET_ERROR(&in));
	}
	return 0;
}

void dv_pb_release(const pb_msgdesc_t *fields, void *msg)
{
	pb_release(fields, msg);
}

int dv_pb_size(const pb_msgdesc_t *fields, const void *msg, size_t *lenp,
	       struct dv_err *err)
{
	pb_ostream_t out = PB_OSTREAM_SIZING;

	if (!pb_encode(&out, fields, msg))
		return dv_err_set(err, EINVAL, DV_INTERNAL, "encode: %s",
				  PB_GET_ERROR(&out));
	*lenp = out.bytes_written;
	return 0;
}

int dv_pb_encode(const pb_msgdesc_t *fields, const void *msg,
		 struct dv_buf *out, struct dv_err *err)
{
	pb_ostream_t os;
	size_t len;
	uint8_t *p;
	int r = dv_pb_size(fields, msg, &len, err);

	if (r < 0)
		return r;
	if (dv_buf_status(out) < 0)
		return dv_err_sys(err, -dv_buf_status(out), "encode");
	if (len > out->max - out->len)
		return dv_err_set(err, EMSGSIZE, DV_EXHAUSTED,
				  "a message of %zu bytes is too long", len);
	p = dv_buf_room(out, len);
	if (!p)
		return dv_err_sys(err, -dv_buf_status(out), "encode");
	os = pb_ostream_from_buffer(p, len);
	if (!pb_encode(&os, fields, msg) || os.bytes_written != len)
		return dv_err_set(err, EINVAL, DV_INTERNAL, "encode: %s",
				  PB_GET_ERROR(&os));
	dv_buf_add(out, len);
	return 0;
}
