/* SPDX-License-Identifier: MIT */
#include "wire/pcapng.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/def.h"

/* Block types, options and numbers of the format. */
enum {
	BLOCK_IDB = 1,
	BLOCK_ISB = 5,
	BLOCK_EPB = 6,
	BLOCK_SHB = 0x0a0d0d0a, /* the same in both byte orders */
	MAGIC = 0x1a2b3c4d,
	OPT_END = 0,
	OPT_IF_NAME = 2,
	OPT_IF_TSRESOL = 9,
	OPT_IF_TSOFFSET = 14,
	OPT_ISB_IFRECV = 4,
	OPT_ISB_IFDROP = 5,
	TSRESOL_US = 6,
	TSRESOL_NS = 9,
	TSRESOL_BINARY = 0x80,
	FRAME = 12, /* type and length before, length behind */
	SHB_BODY = 16,
	IDB_BODY = 8,
	EPB_BODY = 20,
	ISB_BODY = 12,
};

#define NS_PER_SEC UINT64_C(1000000000)
/* 2200-01-01 in microseconds. */
#define YEAR_2200_US UINT64_C(7258118400000000)

/* 64 bits of ticks times a factor. */
__extension__ typedef unsigned __int128 u128;
__extension__ typedef __int128 i128;

/* ---- writer ----------------------------------------------------------- */

static size_t padded(size_t len)
{
	return (len + 3) & ~(size_t)3;
}

static void put16(struct dv_buf *out, uint16_t v)
{
	uint8_t b[2] = { (uint8_t)v, (uint8_t)(v >> 8) };

	dv_buf_put(out, b, sizeof(b));
}

static void put32(struct dv_buf *out, uint32_t v)
{
	uint8_t b[4];

	dv_put_le32(b, v);
	dv_buf_put(out, b, sizeof(b));
}

static void put64(struct dv_buf *out, uint64_t v)
{
	uint8_t b[8];

	dv_put_le64(b, v);
	dv_buf_put(out, b, sizeof(b));
}

/* With the zeros that follow up to a multiple of four. */
static void put_padded(struct dv_buf *out, const void *data, size_t len)
{
	static const uint8_t zeros[4];

	dv_buf_put(out, data, len);
	dv_buf_put(out, zeros, padded(len) - len);
}

static void put_option(struct dv_buf *out, uint16_t code, const void *data,
		       size_t len)
{
	put16(out, code);
	put16(out, (uint16_t)len);
	put_padded(out, data, len);
}

static void put_option64(struct dv_buf *out, uint16_t code, uint64_t v)
{
	uint8_t b[8];

	dv_put_le64(b, v);
	put_option(out, code, b, sizeof(b));
}

/* High word first, whatever the byte order. */
static void put_time(struct dv_buf *out, uint64_t t)
{
	put32(out, (uint32_t)(t >> 32));
	put32(out, (uint32_t)t);
}

static void open_block(struct dv_buf *out, uint32_t type, uint32_t len)
{
	put32(out, type);
	put32(out, len);
}

void dv_pcapng_put_shb(struct dv_buf *out)
{
	open_block(out, BLOCK_SHB, FRAME + SHB_BODY);
	put32(out, MAGIC);
	put16(out, 1);
	put16(out, 0);
	put64(out, UINT64_MAX); /* the section's length is not known */
	put32(out, FRAME + SHB_BODY);
}

void dv_pcapng_put_idb(struct dv_buf *out, uint16_t linktype, uint32_t snaplen,
		       struct dv_str name)
{
	static const uint8_t resolution = TSRESOL_NS;
	size_t n = dv_min(name.len, (size_t)DV_PCAPNG_NAME_MAX);
	size_t options = 4 + 4 + 4; /* tsresol, end */
	uint32_t len;

	if (n > 0)
		options += 4 + padded(n);
	len = (uint32_t)(FRAME + IDB_BODY + options);
	open_block(out, BLOCK_IDB, len);
	put16(out, linktype);
	put16(out, 0);
	put32(out, snaplen);
	if (n > 0)
		put_option(out, OPT_IF_NAME, name.ptr, n);
	put_option(out, OPT_IF_TSRESOL, &resolution, 1);
	put_option(out, OPT_END, NULL, 0);
	put32(out, len);
}

void dv_pcapng_put_epb(struct dv_buf *out, uint32_t if_id, uint64_t unix_ns,
		       const void *data, uint32_t cap, uint32_t orig)
{
	uint32_t len = (uint32_t)(FRAME + EPB_BODY + padded(cap));

	dv_assert(cap <= DV_PCAPNG_BLOCK_MAX);
	/* A whole packet or none of it, when the buffer is full. */
	if (!dv_buf_room(out, len))
		return;
	open_block(out, BLOCK_EPB, len);
	put32(out, if_id);
	put_time(out, unix_ns);
	put32(out, cap);
	put32(out, orig);
	put_padded(out, data, cap);
	put32(out, len);
}

void dv_pcapng_put_isb(struct dv_buf *out, uint32_t if_id, uint64_t unix_ns,
		       uint64_t received, uint64_t dropped)
{
	const uint32_t len = FRAME + ISB_BODY + 12 + 12 + 4;

	open_block(out, BLOCK_ISB, len);
	put32(out, if_id);
	put_time(out, unix_ns);
	put_option64(out, OPT_ISB_IFRECV, received);
	put_option64(out, OPT_ISB_IFDROP, dropped);
	put_option(out, OPT_END, NULL, 0);
	put32(out, len);
}

/* ---- reader: numbers in the section's byte order ---------------------- */

static uint16_t get16(const struct dv_pcapng_rd *r, struct dv_rd *in)
{
	uint16_t v = dv_rd_le16(in);

	return r->big ? (uint16_t)(v << 8 | v >> 8) : v;
}

static uint32_t get32(const struct dv_pcapng_rd *r, struct dv_rd *in)
{
	return r->big ? dv_rd_be32(in) : dv_rd_le32(in);
}

static uint64_t get64(const struct dv_pcapng_rd *r, struct dv_rd *in)
{
	uint64_t first = get32(r, in), second = get32(r, in);

	return r->big ? first << 32 | second : second << 32 | first;
}

static uint64_t get_time(const struct dv_pcapng_rd *r, struct dv_rd *in)
{
	uint64_t high = get32(r, in);

	return high << 32 | get32(r, in);
}

/* The next option: false at the end, or when it is cut off (@in is bad). */
static bool next_option(const struct dv_pcapng_rd *r, struct dv_rd *in,
			uint16_t *code, struct dv_rd *value)
{
	uint16_t len;
	const uint8_t *p;

	if (in->left == 0)
		return false;
	*code = get16(r, in);
	len = get16(r, in);
	p = dv_rd_bytes(in, padded(len));
	if (!dv_rd_ok(in) || *code == OPT_END)
		return false;
	*value = dv_rd_mem(p, len);
	return true;
}

/* ---- reader: times ---------------------------------------------------- */

/* Ticks of an interface in ns since 1970; stands still at the ends of 64 bits.
 */
static uint64_t to_ns(const struct dv_pcapng_rd *r,
		      const struct dv_pcapng_if *iface, uint64_t ticks)
{
	uint8_t res = iface->tsresol;
	unsigned int exp = res & 0x7f;
	i128 ns;
	u128 unit = 1;

	if (r->repair && iface->no_tsresol && ticks > YEAR_2200_US)
		exp = TSRESOL_NS; /* and no_tsresol is not binary */
	if (res & TSRESOL_BINARY)
		/* Beyond 2^-93 everything is less than a nanosecond. */
		unit <<= dv_min(exp, 93U);
	else
		for (unsigned int i = 0; i < dv_min(exp, 28U); i++)
			unit *= 10;
	ns = (i128)((u128)ticks * NS_PER_SEC / unit);
	ns += (i128)iface->tsoffset * (i128)NS_PER_SEC;
	if (ns < 0)
		return 0;
	return ns > (i128)UINT64_MAX ? UINT64_MAX : (uint64_t)ns;
}

/* ---- reader: blocks --------------------------------------------------- */

static int read_shb(struct dv_pcapng_rd *r, struct dv_rd *in)
{
	uint16_t major;

	get32(r, in); /* the magic, which was looked at */
	major = get16(r, in);
	get16(r, in);
	get64(r, in);
	r->started = true;
	r->n_ifs = 0;
	return dv_rd_ok(in) && major == 1 ? 0 : -EBADMSG;
}

static void idb_option(const struct dv_pcapng_rd *r, uint16_t code,
		       struct dv_rd *v, struct dv_pcapng_if *iface,
		       struct dv_str *name)
{
	if (code == OPT_IF_NAME) {
		const char *nul = v->left ? memchr(v->p, 0, v->left) : NULL;

		name->ptr = (const char *)v->p;
		name->len = nul ? (size_t)(nul - name->ptr) : v->left;
	} else if (code == OPT_IF_TSRESOL && v->left >= 1) {
		iface->tsresol = dv_rd_u8(v);
		iface->no_tsresol = false;
	} else if (code == OPT_IF_TSOFFSET && v->left >= 8) {
		iface->tsoffset = (int64_t)get64(r, v);
	}
}

static int read_idb(struct dv_pcapng_rd *r, struct dv_rd *in,
		    struct dv_pcapng_block *b)
{
	struct dv_pcapng_if *iface;
	struct dv_rd v;
	uint16_t code;

	if (r->n_ifs >= DV_PCAPNG_IFS_MAX)
		return -EMSGSIZE;
	if (!r->ifs)
		r->ifs = calloc(DV_PCAPNG_IFS_MAX, sizeof(*r->ifs));
	if (!r->ifs)
		return -ENOMEM;
	iface = &r->ifs[r->n_ifs];
	*iface = (struct dv_pcapng_if){ .no_tsresol = true,
					.tsresol = TSRESOL_US };
	iface->linktype = get16(r, in);
	get16(r, in);
	iface->snaplen = get32(r, in);
	while (next_option(r, in, &code, &v))
		idb_option(r, code, &v, iface, &b->name);
	if (!dv_rd_ok(in))
		return -EBADMSG;
	b->if_id = r->n_ifs++;
	return 0;
}

/* What a packet and statistics have in common. */
static int read_if_time(const struct dv_pcapng_rd *r, struct dv_rd *in,
			struct dv_pcapng_block *b)
{
	uint64_t ticks;

	b->if_id = get32(r, in);
	ticks = get_time(r, in);
	if (!dv_rd_ok(in) || b->if_id >= r->n_ifs)
		return -EBADMSG;
	b->unix_ns = to_ns(r, &r->ifs[b->if_id], ticks);
	return 0;
}

static int read_epb(const struct dv_pcapng_rd *r, struct dv_rd *in,
		    struct dv_pcapng_block *b)
{
	int rc = read_if_time(r, in, b);

	if (rc < 0)
		return rc;
	b->cap = get32(r, in);
	b->orig = get32(r, in);
	b->data = dv_rd_bytes(in, b->cap);
	return dv_rd_ok(in) ? 0 : -EBADMSG;
}

static int read_isb(const struct dv_pcapng_rd *r, struct dv_rd *in,
		    struct dv_pcapng_block *b)
{
	int rc = read_if_time(r, in, b);
	struct dv_rd v;
	uint16_t code;

	while (rc == 0 && next_option(r, in, &code, &v)) {
		if (code == OPT_ISB_IFRECV && v.left >= 8)
			b->received = get64(r, &v);
		else if (code == OPT_ISB_IFDROP && v.left >= 8)
			b->dropped = get64(r, &v);
	}
	return rc < 0 ? rc : dv_rd_ok(in) ? 0 : -EBADMSG;
}

static int read_body(struct dv_pcapng_rd *r, uint32_t type, struct dv_rd *in,
		     struct dv_pcapng_block *b)
{
	switch (type) {
	case BLOCK_SHB:
		b->type = DV_PCAPNG_SHB;
		return read_shb(r, in);
	case BLOCK_IDB:
		b->type = DV_PCAPNG_IDB;
		return read_idb(r, in, b);
	case BLOCK_EPB:
		b->type = DV_PCAPNG_EPB;
		return read_epb(r, in, b);
	case BLOCK_ISB:
		b->type = DV_PCAPNG_ISB;
		return read_isb(r, in, b);
	default:
		return 0;
	}
}

/* A section says its byte order in the four bytes behind its length. */
static int byte_order(struct dv_pcapng_rd *r, struct dv_rd rd)
{
	const uint8_t *p = dv_rd_bytes(&rd, 12);
	struct dv_rd magic;

	if (!p)
		return DV_MORE;
	magic = dv_rd_mem(p + 8, 4);
	if (dv_rd_le32(&magic) == MAGIC)
		r->big = false;
	else if (magic = dv_rd_mem(p + 8, 4), dv_rd_be32(&magic) == MAGIC)
		r->big = true;
	else
		return -EBADMSG;
	return 0;
}

int dv_pcapng_next(struct dv_pcapng_rd *r, struct dv_rd *in,
		   struct dv_pcapng_block *b)
{
	struct dv_rd rd = *in; /* committed only when complete */
	struct dv_rd body;
	uint32_t type, len;
	const uint8_t *p;
	int rc;

	memset(b, 0, sizeof(*b));
	type = get32(r, &rd);
	if (!dv_rd_ok(&rd))
		return DV_MORE;
	if (type != BLOCK_SHB && !r->started)
		return -EBADMSG;
	rc = type == BLOCK_SHB ? byte_order(r, *in) : 0;
	if (rc != 0)
		return rc;
	len = get32(r, &rd);
	if (!dv_rd_ok(&rd))
		return DV_MORE;
	if (len > DV_PCAPNG_BLOCK_MAX)
		return -EMSGSIZE;
	if (len < FRAME || len % 4)
		return -EBADMSG;
	p = dv_rd_bytes(&rd, len - FRAME);
	if (get32(r, &rd) != len && dv_rd_ok(&rd))
		return -EBADMSG;
	if (!dv_rd_ok(&rd))
		return DV_MORE;
	body = dv_rd_mem(p, len - FRAME);
	rc = read_body(r, type, &body, b);
	if (rc == 0)
		*in = rd;
	return rc;
}

void dv_pcapng_rd_deinit(struct dv_pcapng_rd *r)
{
	free(r->ifs);
	r->ifs = NULL;
	r->n_ifs = 0;
}
