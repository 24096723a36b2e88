/* SPDX-License-Identifier: MIT */
/*
 * What stands in gRPC's header fields and DATA. The first byte picks one:
 *
 *	m  messages; the second byte is the size of the pieces they come in
 *	t  time-out       p  percent       b  base64       s  google.rpc.Status
 *	/  path           c  code          y  content type
 *
 * What is taken comes back the same when it is written and read again.
 */
#include <stdlib.h>
#include <string.h>

#include "base/def.h"
#include "wire/grpc.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void read_messages(const uint8_t *data, size_t size)
{
	struct dv_grpc_rd rd = DV_GRPC_RD_INIT;
	size_t piece = size ? data[0] + 1U : 1, total = 0;
	const uint8_t *msg;
	int r = DV_MORE;

	for (size_t at = 1; at < size && r == DV_MORE; at += piece) {
		struct dv_rd in =
			dv_rd_mem(data + at, dv_min(piece, size - at));
		size_t len;

		while ((r = dv_grpc_next(&rd, &in, &msg, &len)) == 0) {
			dv_assert(!dv_grpc_rd_partial(&rd));
			dv_assert(dv_grpc_rd_keep(&rd, &msg, len) == 0);
			total += len + DV_GRPC_HDR;
			dv_assert(total <= size);
		}
		dv_assert(r < 0 || in.left == 0);
		dv_assert(dv_grpc_rd_held(&rd) <= size);
	}
	dv_grpc_rd_free(&rd);
}

static void read_timeout(struct dv_str s)
{
	char text[DV_GRPC_TIMEOUT_LEN];
	uint64_t ns, again;

	if (dv_grpc_timeout_parse(s, &ns) < 0)
		return;
	dv_grpc_timeout_format(text, ns);
	s = (struct dv_str){ text, strlen(text) };
	dv_assert(dv_grpc_timeout_parse(s, &again) == 0 && again >= ns);
}

static void read_percent(struct dv_str s)
{
	dv_autobuf plain = DV_BUF_INIT(4 << 20);
	dv_autobuf wire = DV_BUF_INIT(4 << 20);
	dv_autobuf again = DV_BUF_INIT(4 << 20);

	dv_assert(dv_grpc_percent_decode(&plain, s) == 0);
	dv_assert(plain.len <= s.len);
	s = (struct dv_str){ plain.data, plain.len };
	dv_assert(dv_grpc_percent_encode(&wire, s) == 0);
	s = (struct dv_str){ wire.data, wire.len };
	dv_assert(dv_grpc_percent_decode(&again, s) == 0);
	dv_assert(again.len == plain.len);
	dv_assert(!plain.len || !memcmp(again.data, plain.data, plain.len));
}

static void read_base64(struct dv_str s)
{
	dv_autobuf raw = DV_BUF_INIT(4 << 20);
	dv_autobuf wire = DV_BUF_INIT(4 << 20);
	dv_autobuf again = DV_BUF_INIT(4 << 20);

	if (dv_grpc_base64_decode(&raw, s) < 0)
		return;
	dv_assert(dv_grpc_base64_encode(&wire, raw.data, raw.len) == 0);
	s = (struct dv_str){ wire.data, wire.len };
	dv_assert(dv_grpc_base64_decode(&again, s) == 0);
	dv_assert(again.len == raw.len);
	dv_assert(!raw.len || !memcmp(again.data, raw.data, raw.len));
}

static void read_status(const uint8_t *data, size_t size)
{
	dv_autobuf wire = DV_BUF_INIT(4 << 20);
	struct dv_grpc_status st, again;

	if (dv_grpc_status_decode(data, size, &st) < 0)
		return;
	dv_assert(st.message.len <= size);
	dv_assert(dv_grpc_status_encode(&wire, &st) == 0);
	dv_assert(dv_grpc_status_decode(wire.data, wire.len, &again) == 0);
	dv_assert(again.code == st.code);
	dv_assert(again.message.len == st.message.len);
}

static void read_path(struct dv_str s)
{
	struct dv_str service, method;

	if (dv_grpc_path_split(s, &service, &method) < 0)
		return;
	dv_assert(service.len && service.len <= DV_GRPC_PATH_PART_MAX);
	dv_assert(method.len && method.len <= DV_GRPC_PATH_PART_MAX);
	dv_assert(service.len + method.len + 2 == s.len);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct dv_str s;

	if (size < 1 || size > 65536)
		return 0;
	s = (struct dv_str){ (const char *)data + 1, size - 1 };
	switch (data[0]) {
	case 'm':
		read_messages(data + 1, size - 1);
		break;
	case 't':
		read_timeout(s);
		break;
	case 'p':
		read_percent(s);
		break;
	case 'b':
		read_base64(s);
		break;
	case 's':
		read_status(data + 1, size - 1);
		break;
	case '/':
		read_path((struct dv_str){ (const char *)data, size });
		break;
	case 'c':
		dv_assert(dv_grpc_code_parse(s) < DV_CODE_N);
		break;
	case 'y':
		dv_grpc_content_type_ok(s);
		break;
	default:
		break;
	}
	return 0;
}
