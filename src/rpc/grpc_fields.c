/* SPDX-License-Identifier: MIT */
/*
 * The header fields of a gRPC request.
 */
#include <string.h>

#include "rpc/grpc_server.h"
#include "wire/grpc.h"

enum { LENGTH_LEN = 4 };

static bool is(struct dv_str s, const char *word)
{
	return s.len == strlen(word) && memcmp(s.ptr, word, s.len) == 0;
}

/* What is neither HTTP's nor gRPC's own. */
static bool is_metadata(struct dv_str name)
{
	static const char own[] = "grpc-";

	return name.len > 0 && name.ptr[0] != ':' && !is(name, "te") &&
	       !is(name, "content-type") && !is(name, "user-agent") &&
	       (name.len < sizeof(own) - 1 ||
		memcmp(name.ptr, own, sizeof(own) - 1) != 0);
}

/* HTTP allows no NUL in a name; nghttp2 has seen to that. */
static enum dv_grpc_fault keep_pair(struct dv_grpc_stream *s,
				    struct dv_str name, struct dv_str value,
				    bool binary)
{
	struct dv_buf *b = &s->metadata;
	uint8_t len[LENGTH_LEN] = { 0 };
	size_t at;
	int r;

	dv_buf_put(b, name.ptr, name.len);
	dv_buf_putc(b, '\0');
	dv_buf_put(b, len, sizeof(len));
	at = b->len;
	r = binary ? dv_grpc_base64_decode(b, value)
		   : dv_buf_put(b, value.ptr, value.len);
	if (dv_buf_status(b) < 0)
		return DV_GRPC_LONG_HEADERS;
	dv_put_le32(len, (uint32_t)(b->len - at));
	memcpy(b->data + at - sizeof(len), len, sizeof(len));
	return r < 0 ? DV_GRPC_BAD_BASE64 : DV_GRPC_FINE;
}

static struct dv_str trim(struct dv_str s)
{
	for (; s.len > 0 && s.ptr[0] == ' '; s.len--)
		s.ptr++;
	while (s.len > 0 && s.ptr[s.len - 1] == ' ')
		s.len--;
	return s;
}

/* Several values may have been joined by commas, which base64 has not. */
static enum dv_grpc_fault keep_binary(struct dv_grpc_stream *s,
				      struct dv_str name, struct dv_str value)
{
	enum dv_grpc_fault fault;
	const char *comma;

	do {
		struct dv_str one = value;

		comma = value.len ? memchr(value.ptr, ',', value.len) : NULL;
		if (comma) {
			one.len = (size_t)(comma - value.ptr);
			value.ptr += one.len + 1;
			value.len -= one.len + 1;
		}
		fault = keep_pair(s, name, trim(one), true);
	} while (comma && fault == DV_GRPC_FINE);
	return fault;
}

static bool is_binary(struct dv_str name)
{
	static const char suffix[] = "-bin";
	size_t len = sizeof(suffix) - 1;

	return name.len > len &&
	       memcmp(name.ptr + name.len - len, suffix, len) == 0;
}

static enum dv_grpc_fault keep_metadata(struct dv_grpc_stream *s,
					struct dv_str name, struct dv_str value)
{
	return is_binary(name) ? keep_binary(s, name, value)
			       : keep_pair(s, name, value, false);
}

bool dv_grpc_metadata_at(const struct dv_request *rq, size_t i,
			 struct dv_str *key, struct dv_str *value)
{
	struct dv_rd rd = dv_rd_mem(rq->head.ptr, rq->head.len);

	for (i++; i > 0 && rd.left > 0; i--) {
		*key = (struct dv_str){ (const char *)rd.p,
					strlen((const char *)rd.p) };
		dv_rd_bytes(&rd, key->len + 1);
		value->len = dv_rd_le32(&rd);
		value->ptr = (const char *)dv_rd_bytes(&rd, value->len);
	}
	return i == 0;
}

enum dv_grpc_fault dv_grpc_take_field(struct dv_grpc_stream *s,
				      struct dv_str name, struct dv_str value)
{
	struct dv_str service, method;

	s->header_len += name.len + value.len + 32; /* as RFC 9113 counts */
	if (s->header_len > DV_GRPC_HEADERS_MAX)
		return DV_GRPC_LONG_HEADERS;
	if (is(name, ":method") && !is(value, "POST"))
		return DV_GRPC_BAD_METHOD;
	if (is(name, ":path") &&
	    (dv_grpc_path_split(value, &service, &method) < 0 ||
	     dv_buf_put(&s->path, value.ptr, value.len) < 0))
		return DV_GRPC_BAD_PATH;
	if (is(name, "content-type")) {
		s->has_type = true;
		if (!dv_grpc_content_type_ok(value))
			return DV_GRPC_BAD_TYPE;
	}
	if (is(name, "grpc-timeout")) {
		s->has_timeout = true;
		if (dv_grpc_timeout_parse(value, &s->timeout_ns) < 0)
			return DV_GRPC_BAD_TIMEOUT;
	}
	return is_metadata(name) ? keep_metadata(s, name, value) : DV_GRPC_FINE;
}
