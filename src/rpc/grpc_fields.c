/* SPDX-License-Identifier: MIT */
/*
 * The header fields of a gRPC request.
 */
#include <string.h>

#include "rpc/grpc_server.h"
#include "wire/grpc.h"

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

/* HTTP allows no NUL in either; nghttp2 has seen to that. */
static enum dv_grpc_fault keep_metadata(struct dv_grpc_stream *s,
					struct dv_str name, struct dv_str value)
{
	dv_buf_put(&s->metadata, name.ptr, name.len);
	dv_buf_putc(&s->metadata, '\0');
	dv_buf_put(&s->metadata, value.ptr, value.len);
	return dv_buf_putc(&s->metadata, '\0') < 0 ? DV_GRPC_LONG_HEADERS
						   : DV_GRPC_FINE;
}

bool dv_grpc_metadata_at(const struct dv_request *rq, size_t i,
			 struct dv_str *key, struct dv_str *value)
{
	const char *p = rq->head.ptr, *end = p + rq->head.len;

	for (i *= 2; i > 0 && p < end; i--)
		p += strlen(p) + 1;
	if (p >= end)
		return false;
	*key = (struct dv_str){ p, strlen(p) };
	p += key->len + 1;
	*value = (struct dv_str){ p, strlen(p) };
	return true;
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
