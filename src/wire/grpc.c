/* SPDX-License-Identifier: MIT */
#include "wire/grpc.h"

#include <errno.h>
#include <string.h>
#include <strings.h>

#include "base/def.h"
#include "base/fmt.h"

/*
 * DOC: messages in DATA
 *
 * A message is a flag (0: as it is, 1: compressed), its length as a big-endian
 * u32, and its bytes. Frame boundaries mean nothing: a message may be spread
 * over many frames, a frame may hold many messages. The reader is in one of
 * three states: in the header (n_hdr < 5), in the bytes, and `done`, after it
 * gave a message out and before it is asked for the next.
 */

static int read_header(struct dv_grpc_rd *rd, struct dv_rd *in)
{
	struct dv_rd hdr;
	uint8_t flag;

	while (rd->n_hdr < DV_GRPC_HDR) {
		if (in->left == 0)
			return DV_MORE;
		rd->hdr[rd->n_hdr++] = dv_rd_u8(in);
	}
	hdr = dv_rd_mem(rd->hdr, sizeof(rd->hdr));
	flag = dv_rd_u8(&hdr);
	rd->len = dv_rd_be32(&hdr);
	if (flag != 0)
		return flag == 1 ? -EOPNOTSUPP : -EBADMSG;
	return rd->len > DV_GRPC_MSG_MAX ? -EMSGSIZE : 0;
}

int dv_grpc_next(struct dv_grpc_rd *rd, struct dv_rd *in, const uint8_t **msgp,
		 size_t *lenp)
{
	size_t n;
	int r;

	if (rd->done) {
		dv_buf_reset(&rd->buf);
		rd->n_hdr = 0;
		rd->done = false;
	}
	r = read_header(rd, in);
	if (r != 0)
		return r;
	/* The usual message came whole: it is not copied. */
	if (rd->buf.len == 0 && in->left >= rd->len) {
		*msgp = dv_rd_bytes(in, rd->len);
		*lenp = rd->len;
		rd->done = true;
		return 0;
	}
	n = dv_min(in->left, rd->len - rd->buf.len);
	r = dv_buf_put(&rd->buf, dv_rd_bytes(in, n), n);
	if (r < 0)
		return r;
	if (rd->buf.len < rd->len)
		return DV_MORE;
	*msgp = (const uint8_t *)rd->buf.data;
	*lenp = rd->len;
	rd->done = true;
	return 0;
}

int dv_grpc_rd_keep(struct dv_grpc_rd *rd, const uint8_t **msgp, size_t len)
{
	int r;

	if (rd->buf.len > 0 || len == 0)
		return 0;
	r = dv_buf_put(&rd->buf, *msgp, len);
	*msgp = (const uint8_t *)rd->buf.data;
	return r;
}

bool dv_grpc_rd_partial(const struct dv_grpc_rd *rd)
{
	return !rd->done && rd->n_hdr > 0;
}

size_t dv_grpc_rd_held(const struct dv_grpc_rd *rd)
{
	return rd->done ? 0 : rd->buf.len;
}

void dv_grpc_rd_free(struct dv_grpc_rd *rd)
{
	dv_buf_free(&rd->buf);
	rd->n_hdr = 0;
	rd->done = false;
}

void dv_grpc_hdr(uint8_t hdr[DV_GRPC_HDR], size_t len)
{
	hdr[0] = 0;
	hdr[1] = (uint8_t)(len >> 24);
	hdr[2] = (uint8_t)(len >> 16);
	hdr[3] = (uint8_t)(len >> 8);
	hdr[4] = (uint8_t)len;
}

/* ---- time-outs ---------------------------------------------------------- */

/* From the finest on. */
static const struct {
	char name;
	uint64_t ns;
} units[] = {
	{ 'n', 1 },
	{ 'u', 1000 },
	{ 'm', 1000000 },
	{ 'S', UINT64_C(1000000000) },
	{ 'M', UINT64_C(60000000000) },
	{ 'H', UINT64_C(3600000000000) },
};

enum { TIMEOUT_DIGITS = 8, TIMEOUT_MAX = 99999999 };

int dv_grpc_timeout_parse(struct dv_str s, uint64_t *nsp)
{
	uint64_t n = 0;

	if (s.len < 2 || s.len > TIMEOUT_DIGITS + 1)
		return -EINVAL;
	for (size_t i = 0; i + 1 < s.len; i++) {
		if (s.ptr[i] < '0' || s.ptr[i] > '9')
			return -EINVAL;
		n = n * 10 + (uint64_t)(s.ptr[i] - '0');
	}
	for (size_t i = 0; i < DV_ARRAY_LEN(units); i++) {
		if (units[i].name != s.ptr[s.len - 1])
			continue;
		*nsp = n > UINT64_MAX / units[i].ns ? UINT64_MAX
						    : n * units[i].ns;
		return 0;
	}
	return -EINVAL;
}

void dv_grpc_timeout_format(char out[DV_GRPC_TIMEOUT_LEN], uint64_t ns)
{
	size_t i = 0;
	uint64_t n;

	for (;;) {
		n = ns / units[i].ns + (ns % units[i].ns != 0);
		if (n <= TIMEOUT_MAX || i + 1 == DV_ARRAY_LEN(units))
			break;
		i++;
	}
	n = dv_min(dv_max(n, (uint64_t)1), (uint64_t)TIMEOUT_MAX);
	dv_fmt(out, DV_GRPC_TIMEOUT_LEN, "%u%c", (unsigned int)n,
	       units[i].name);
}

/* ---- text --------------------------------------------------------------- */

static int hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

int dv_grpc_percent_encode(struct dv_buf *out, struct dv_str text)
{
	static const char hex[] = "0123456789ABCDEF";

	for (size_t i = 0; i < text.len; i++) {
		uint8_t c = (uint8_t)text.ptr[i];
		const char triple[3] = { '%', hex[c >> 4], hex[c & 15] };

		if (c >= ' ' && c <= '~' && c != '%')
			dv_buf_putc(out, (char)c);
		else
			dv_buf_put(out, triple, sizeof(triple));
	}
	return dv_buf_status(out);
}

int dv_grpc_percent_decode(struct dv_buf *out, struct dv_str text)
{
	for (size_t i = 0; i < text.len; i++) {
		const char *p = text.ptr + i;
		int hi = -1, lo = -1;

		if (*p == '%' && text.len - i > 2) {
			hi = hex_digit(p[1]);
			lo = hex_digit(p[2]);
		}
		if (hi < 0 || lo < 0) {
			dv_buf_putc(out, *p);
			continue;
		}
		dv_buf_putc(out, (char)(hi << 4 | lo));
		i += 2;
	}
	return dv_buf_status(out);
}

static const char base64[] =
	"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

int dv_grpc_base64_encode(struct dv_buf *out, const void *data, size_t len)
{
	const uint8_t *p = data;

	for (size_t i = 0; i < len; i += 3) {
		size_t left = len - i;
		uint32_t v = (uint32_t)p[i] << 16;
		char quad[4];

		v |= left > 1 ? (uint32_t)p[i + 1] << 8 : 0;
		v |= left > 2 ? p[i + 2] : 0;
		quad[0] = base64[v >> 18];
		quad[1] = base64[v >> 12 & 63];
		quad[2] = base64[v >> 6 & 63];
		quad[3] = base64[v & 63];
		dv_buf_put(out, quad, dv_min(left, (size_t)3) + 1);
	}
	return dv_buf_status(out);
}

static int base64_value(char c)
{
	const char *at = c ? strchr(base64, c) : NULL;

	return at ? (int)(at - base64) : -1;
}

/* Padding says nothing that the length does not. */
static struct dv_str without_padding(struct dv_str s)
{
	if (s.len == 0 || s.len % 4 != 0)
		return s;
	for (int i = 0; i < 2 && s.ptr[s.len - 1] == '='; i++)
		s.len--;
	return s;
}

int dv_grpc_base64_decode(struct dv_buf *out, struct dv_str text)
{
	uint32_t v = 0;
	int n_bits = 0;

	text = without_padding(text);
	if (text.len % 4 == 1)
		return -EINVAL;
	for (size_t i = 0; i < text.len; i++) {
		int digit = base64_value(text.ptr[i]);

		if (digit < 0)
			return -EINVAL;
		v = (v << 6 | (uint32_t)digit) & 0xffffff;
		n_bits += 6;
		if (n_bits >= 8) {
			n_bits -= 8;
			dv_buf_putc(out, (char)(v >> n_bits & 0xff));
		}
	}
	return dv_buf_status(out);
}

/* ---- google.rpc.Status -------------------------------------------------- */

enum { STATUS_CODE = 1, STATUS_MESSAGE = 2 };
enum { PB_VARINT, PB_64, PB_BYTES, PB_32 = 5 };

static void put_varint(struct dv_buf *out, uint64_t v)
{
	for (; v > 0x7f; v >>= 7)
		dv_buf_putc(out, (char)((v & 0x7f) | 0x80));
	dv_buf_putc(out, (char)v);
}

int dv_grpc_status_encode(struct dv_buf *out, const struct dv_grpc_status *st)
{
	if (st->code != 0) {
		put_varint(out, STATUS_CODE << 3 | PB_VARINT);
		put_varint(out, (uint64_t)(int64_t)st->code);
	}
	if (st->message.len > 0) {
		put_varint(out, STATUS_MESSAGE << 3 | PB_BYTES);
		put_varint(out, st->message.len);
		dv_buf_put(out, st->message.ptr, st->message.len);
	}
	return dv_buf_status(out);
}

static uint64_t get_varint(struct dv_rd *rd)
{
	uint64_t v = 0;

	for (unsigned int shift = 0; shift < 64; shift += 7) {
		uint8_t c = dv_rd_u8(rd);

		v |= (uint64_t)(c & 0x7f) << shift;
		if (!(c & 0x80))
			return v;
	}
	rd->bad = true; /* more than ten bytes */
	return 0;
}

/* One field's value; @bytesp is set for those that have a length. */
static uint64_t get_field(struct dv_rd *rd, unsigned int type,
			  struct dv_str *bytesp)
{
	uint64_t v = 0;

	if (type == PB_VARINT) {
		v = get_varint(rd);
	} else if (type == PB_64 || type == PB_32) {
		dv_rd_bytes(rd, type == PB_64 ? 8 : 4);
	} else if (type == PB_BYTES) {
		v = get_varint(rd);
		bytesp->ptr = v > rd->left ? NULL : (const char *)rd->p;
		bytesp->len = (size_t)v;
		dv_rd_bytes(rd, v > SIZE_MAX ? SIZE_MAX : (size_t)v);
	} else {
		rd->bad = true;
	}
	return v;
}

int dv_grpc_status_decode(const void *data, size_t len,
			  struct dv_grpc_status *st)
{
	struct dv_rd rd = dv_rd_mem(data, len);
	struct dv_grpc_status got = { 0, { "", 0 } };

	while (rd.left > 0) {
		struct dv_str bytes = { "", 0 };
		uint64_t key = get_varint(&rd);
		uint64_t v = get_field(&rd, key & 7, &bytes);

		if (!dv_rd_ok(&rd) || key >> 3 == 0)
			return -EBADMSG;
		if (key == (STATUS_CODE << 3 | PB_VARINT))
			got.code = (int32_t)v;
		else if (key == (STATUS_MESSAGE << 3 | PB_BYTES))
			got.message = bytes;
	}
	*st = got;
	return 0;
}

enum dv_code dv_grpc_code_parse(struct dv_str s)
{
	unsigned int n = 0;

	if (s.len == 0 || s.len > 2)
		return DV_UNKNOWN;
	for (size_t i = 0; i < s.len; i++) {
		if (s.ptr[i] < '0' || s.ptr[i] > '9')
			return DV_UNKNOWN;
		n = n * 10 + (unsigned int)(s.ptr[i] - '0');
	}
	return n < DV_CODE_N ? (enum dv_code)n : DV_UNKNOWN;
}

/* ---- header fields ------------------------------------------------------ */

int dv_grpc_path_split(struct dv_str path, struct dv_str *servicep,
		       struct dv_str *methodp)
{
	const char *slash;
	struct dv_str s, m;

	if (path.len < 1 || path.ptr[0] != '/')
		return -EINVAL;
	s.ptr = path.ptr + 1;
	slash = memchr(s.ptr, '/', path.len - 1);
	if (!slash)
		return -EINVAL;
	s.len = (size_t)(slash - s.ptr);
	m.ptr = slash + 1;
	m.len = path.len - s.len - 2;
	if (s.len == 0 || s.len > DV_GRPC_PATH_PART_MAX || m.len == 0 ||
	    m.len > DV_GRPC_PATH_PART_MAX || memchr(m.ptr, '/', m.len))
		return -EINVAL;
	*servicep = s;
	*methodp = m;
	return 0;
}

static bool skip(struct dv_str *s, const char *word)
{
	size_t len = strlen(word);

	if (s->len < len || strncasecmp(s->ptr, word, len) != 0)
		return false;
	s->ptr += len;
	s->len -= len;
	return true;
}

bool dv_grpc_content_type_ok(struct dv_str s)
{
	if (!skip(&s, "application/grpc"))
		return false;
	skip(&s, "+proto");
	return s.len == 0 || s.ptr[0] == ';' || s.ptr[0] == ' ';
}

enum dv_code dv_grpc_code_from_http(int status)
{
	switch (status) {
	case 400:
		return DV_INTERNAL;
	case 401:
		return DV_UNAUTHENTICATED;
	case 403:
		return DV_DENIED;
	case 404:
		return DV_UNIMPLEMENTED;
	case 429:
	case 502:
	case 503:
	case 504:
		return DV_UNAVAILABLE;
	default:
		return DV_UNKNOWN;
	}
}

/* The error codes of RFC 9113, section 7, from NO_ERROR on. */
static const enum dv_code resets[] = {
	DV_INTERNAL, DV_INTERNAL,  DV_INTERNAL,    DV_INTERNAL,  DV_INTERNAL,
	DV_INTERNAL, DV_INTERNAL,  DV_UNAVAILABLE, DV_CANCELLED, DV_INTERNAL,
	DV_INTERNAL, DV_EXHAUSTED, DV_DENIED,
};

enum dv_code dv_grpc_code_from_reset(uint32_t h2_error)
{
	return h2_error < DV_ARRAY_LEN(resets) ? resets[h2_error] : DV_UNKNOWN;
}
