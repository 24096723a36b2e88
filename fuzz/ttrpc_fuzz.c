/* SPDX-License-Identifier: MIT */
/*
 * One ttrpc frame: what is parsed lies inside it, and what is written again is
 * parsed alike.
 */
#include <string.h>

#include "base/def.h"
#include "wire/ttrpc.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { SIZE_LIMIT = 65536 };

static void inside(struct dv_str s, const uint8_t *data, size_t size)
{
	const uint8_t *p = (const uint8_t *)s.ptr;

	dv_assert(s.len == 0 || (p >= data && s.len <= size &&
				 (size_t)(p - data) <= size - s.len));
}

static bool same(struct dv_str a, struct dv_str b)
{
	return a.len == b.len && (a.len == 0 || !memcmp(a.ptr, b.ptr, a.len));
}

static void request(const uint8_t *data, size_t size)
{
	dv_autobuf out = DV_BUF_INIT(2 * SIZE_LIMIT);
	struct dv_ttrpc_request rq, again;
	struct dv_str key, val;
	struct dv_err err = DV_ERR_INIT;

	if (dv_ttrpc_request_parse(data, size, &rq, &err) < 0) {
		dv_assert(err.code == DV_INVALID && err.msg[0]);
		return;
	}
	inside(rq.service, data, size);
	inside(rq.method, data, size);
	inside(rq.payload, data, size);
	dv_assert(rq.n_metadata <= DV_TTRPC_METADATA_MAX);
	for (size_t i = 0; i < rq.n_metadata; i++) {
		dv_assert(
			!dv_ttrpc_request_metadata(data, size, i, &key, &val));
		inside(key, data, size);
		inside(val, data, size);
	}
	dv_assert(dv_ttrpc_request_put(&out, 1, &rq, NULL, SIZE_LIMIT) == 0);
	dv_assert(dv_ttrpc_request_parse(out.data + DV_TTRPC_HDR_LEN,
					 out.len - DV_TTRPC_HDR_LEN, &again,
					 NULL) == 0);
	dv_assert(same(rq.service, again.service));
	dv_assert(same(rq.method, again.method));
	dv_assert(same(rq.payload, again.payload));
	dv_assert(rq.timeout_ns == again.timeout_ns);
}

static void response(const uint8_t *data, size_t size)
{
	struct dv_ttrpc_response rs;
	struct dv_err err = DV_ERR_INIT;

	if (dv_ttrpc_response_parse(data, size, &rs, &err) < 0) {
		dv_assert(err.code == DV_INVALID && err.msg[0]);
		return;
	}
	inside(rs.message, data, size);
	inside(rs.payload, data, size);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct dv_rd rd = dv_rd_mem(data, size);
	struct dv_ttrpc_hdr hdr;
	uint8_t head[DV_TTRPC_HDR_LEN];

	if (size > SIZE_LIMIT || dv_ttrpc_hdr_parse(&rd, &hdr) != 0)
		return 0;
	dv_ttrpc_hdr_put(head, &hdr);
	dv_assert(memcmp(head, data, sizeof(head)) == 0);
	request(rd.p, rd.left);
	response(rd.p, rd.left);
	return 0;
}
