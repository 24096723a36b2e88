/* SPDX-License-Identifier: MIT */
#pragma once
/*
 * Bytes: a growing buffer to write into and a cursor to read from.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <davit/err.h>

/* A slice of text, borrowed, not NUL-terminated. */
struct dv_str {
	const char *ptr;
	size_t len;
};

/*
 * A growing byte buffer. Failure is sticky: after -ENOMEM or -EMSGSIZE (more
 * than max) further writes do nothing, and dv_buf_status() says which it was.
 * The data is always followed by a NUL that does not count.
 */
struct dv_buf {
	char *data; /* owned; NULL while empty */
	size_t len, cap;
	size_t max; /* limit of len */
	int status; /* 0 or -errno */
};

/* clang-format off */
#define DV_BUF_INIT(max_len) { NULL, 0, 0, (max_len), 0 }
/* clang-format on */

static inline int dv_buf_status(const struct dv_buf *b)
{
	return b->status;
}
void dv_buf_free(struct dv_buf *b);  /* idempotent; empty and usable after */
void dv_buf_reset(struct dv_buf *b); /* keeps the memory, clears the status */
static inline void dv_autobuf_p(struct dv_buf *b)
{
	dv_buf_free(b);
}
#define dv_autobuf __attribute__((cleanup(dv_autobuf_p))) struct dv_buf

/* All return the sticky status. */
int dv_buf_put(struct dv_buf *b, const void *data, size_t len);
int dv_buf_puts(struct dv_buf *b, const char *s);
int dv_buf_putc(struct dv_buf *b, char c);
int dv_buf_putf(struct dv_buf *b, const char *fmt, ...) DV_PRINTF(2, 3);
/* Room for @len more bytes; NULL on failure. dv_buf_add() then counts them. */
void *dv_buf_room(struct dv_buf *b, size_t len);
void dv_buf_add(struct dv_buf *b, size_t len);
/* Drop @len bytes from the front. */
void dv_buf_drop(struct dv_buf *b, size_t len);
/*
 * Hand the data over (owned by the caller, NUL-terminated, "" when nothing was
 * written) and leave the buffer empty. NULL when the status is, or becomes, an
 * error.
 */
char *dv_buf_take(struct dv_buf *b);

/* A cursor. Reads past the end return 0 and latch; check dv_rd_ok() once. */
struct dv_rd {
	const uint8_t *p;
	size_t left;
	bool bad;
};

static inline struct dv_rd dv_rd_mem(const void *p, size_t len)
{
	return (struct dv_rd){ p, len, false };
}
static inline bool dv_rd_ok(const struct dv_rd *rd)
{
	return !rd->bad;
}
uint8_t dv_rd_u8(struct dv_rd *rd);
uint16_t dv_rd_le16(struct dv_rd *rd);
uint32_t dv_rd_le32(struct dv_rd *rd);
uint64_t dv_rd_le64(struct dv_rd *rd);
uint32_t dv_rd_be32(struct dv_rd *rd);
/*
 * @len bytes, borrowed from the cursor's memory; NULL and latched if short.
 * With a @len of 0 the pointer means nothing: ask dv_rd_ok().
 */
const uint8_t *dv_rd_bytes(struct dv_rd *rd, size_t len);

/* Little-endian stores; @p has room. */
void dv_put_le32(uint8_t *p, uint32_t v);
void dv_put_le64(uint8_t *p, uint64_t v);
