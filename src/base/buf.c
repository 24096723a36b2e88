/* SPDX-License-Identifier: MIT */
#include "base/buf.h"

#include <errno.h>
#include <stdarg.h>
#include <string.h>

#include "base/def.h"
#include "base/fmt.h"

#define CAP_FIRST 64

void dv_buf_free(struct dv_buf *b)
{
	free(b->data);
	*b = (struct dv_buf)DV_BUF_INIT(b->max);
}

void dv_buf_reset(struct dv_buf *b)
{
	b->len = 0;
	b->status = 0;
	if (b->data)
		b->data[0] = '\0';
}

/* Make cap at least @need, doubling so that appending stays linear. */
static int grow(struct dv_buf *b, size_t need)
{
	size_t cap = b->cap ? b->cap : CAP_FIRST;
	char *data;

	while (cap < need)
		cap = cap > SIZE_MAX / 2 ? need : cap * 2;
	data = realloc(b->data, cap);
	if (!data)
		return -ENOMEM;
	if (!b->data)
		data[0] = '\0';
	b->data = data;
	b->cap = cap;
	return 0;
}

void *dv_buf_room(struct dv_buf *b, size_t len)
{
	if (b->status < 0)
		return NULL;
	dv_assert(b->len <= b->max);
	if (len > b->max - b->len || len >= SIZE_MAX - b->len) {
		b->status = -EMSGSIZE;
		return NULL;
	}
	if (b->len + len + 1 > b->cap)
		b->status = grow(b, b->len + len + 1);
	return b->status < 0 ? NULL : b->data + b->len;
}

void dv_buf_add(struct dv_buf *b, size_t len)
{
	if (len == 0)
		return;
	dv_assert(len < b->cap - b->len);
	b->len += len;
	b->data[b->len] = '\0';
}

int dv_buf_put(struct dv_buf *b, const void *data, size_t len)
{
	void *p = dv_buf_room(b, len);

	if (p && len > 0) {
		memcpy(p, data, len);
		dv_buf_add(b, len);
	}
	return b->status;
}

int dv_buf_puts(struct dv_buf *b, const char *s)
{
	return dv_buf_put(b, s, strlen(s));
}

int dv_buf_putc(struct dv_buf *b, char c)
{
	return dv_buf_put(b, &c, 1);
}

int dv_buf_putf(struct dv_buf *b, const char *fmt, ...)
{
	size_t len;
	va_list ap;
	char *p;

	va_start(ap, fmt);
	len = (size_t)dv_vfmt(NULL, 0, fmt, ap);
	va_end(ap);
	p = dv_buf_room(b, len);
	if (!p)
		return b->status;
	va_start(ap, fmt);
	dv_vfmt(p, len + 1, fmt, ap);
	va_end(ap);
	dv_buf_add(b, len);
	return b->status;
}

void dv_buf_drop(struct dv_buf *b, size_t len)
{
	dv_assert(len <= b->len);
	if (len == 0)
		return;
	b->len -= len;
	memmove(b->data, b->data + len, b->len + 1);
}

char *dv_buf_take(struct dv_buf *b)
{
	char *data;

	if (!dv_buf_room(b, 0))
		return NULL;
	data = dv_take_ptr(&b->data);
	dv_buf_free(b);
	return data;
}

const uint8_t *dv_rd_bytes(struct dv_rd *rd, size_t len)
{
	const uint8_t *p = rd->p;

	if (rd->bad || len > rd->left) {
		rd->bad = true;
		return NULL;
	}
	if (len > 0)
		rd->p += len;
	rd->left -= len;
	return p;
}

uint8_t dv_rd_u8(struct dv_rd *rd)
{
	const uint8_t *p = dv_rd_bytes(rd, 1);

	return p ? p[0] : 0;
}

uint16_t dv_rd_le16(struct dv_rd *rd)
{
	const uint8_t *p = dv_rd_bytes(rd, 2);

	return p ? (uint16_t)(p[0] | p[1] << 8) : 0;
}

static uint32_t load_le32(const uint8_t *p)
{
	return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 |
	       (uint32_t)p[3] << 24;
}

uint32_t dv_rd_le32(struct dv_rd *rd)
{
	const uint8_t *p = dv_rd_bytes(rd, 4);

	return p ? load_le32(p) : 0;
}

uint64_t dv_rd_le64(struct dv_rd *rd)
{
	const uint8_t *p = dv_rd_bytes(rd, 8);

	return p ? load_le32(p) | (uint64_t)load_le32(p + 4) << 32 : 0;
}

uint32_t dv_rd_be32(struct dv_rd *rd)
{
	const uint8_t *p = dv_rd_bytes(rd, 4);

	return p ? (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 |
			       (uint32_t)p[2] << 8 | (uint32_t)p[3]
		 : 0;
}

void dv_put_le32(uint8_t *p, uint32_t v)
{
	for (unsigned int i = 0; i < 4; i++)
		p[i] = (uint8_t)(v >> (8 * i));
}

void dv_put_le64(uint8_t *p, uint64_t v)
{
	for (unsigned int i = 0; i < 8; i++)
		p[i] = (uint8_t)(v >> (8 * i));
}
