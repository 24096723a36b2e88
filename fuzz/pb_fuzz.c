/* SPDX-License-Identifier: MIT */
/*
 * The first byte picks a schema, the rest is a message: what the scan accepts
 * is decoded, encoded, and decoded again.
 */
#include <string.h>

#include "base/def.h"
#include "base/utf8.h"
#include "wire/diag.pb.h"
#include "wire/pb.h"
#include "wire/sandbox.pb.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { SIZE_LIMIT = 65536 };

static const struct {
	const pb_msgdesc_t *fields;
	size_t size;
} schemas[] = {
	{ dv_diag_ExecRequest_fields, sizeof(dv_diag_ExecRequest) },
	{ dv_diag_StartRequest_fields, sizeof(dv_diag_StartRequest) },
	{ dv_diag_NetworkPacketCaptureRequest_fields,
	  sizeof(dv_diag_NetworkPacketCaptureRequest) },
	{ dv_diag_FileRequest_fields, sizeof(dv_diag_FileRequest) },
	{ dv_ExecRequest_fields, sizeof(dv_ExecRequest) },
	{ dv_ListReply_fields, sizeof(dv_ListReply) },
	{ dv_HelloReply_fields, sizeof(dv_HelloReply) },
};

static void twice(const pb_msgdesc_t *fields, size_t msg_size, void *msg)
{
	dv_autobuf out = DV_BUF_INIT(16 * SIZE_LIMIT);
	dv_autofree void *again = calloc(1, msg_size);

	dv_assert(dv_pb_encode(fields, msg, &out, NULL) == 0);
	dv_assert(again);
	dv_assert(dv_pb_decode(fields, out.data ? out.data : "", out.len, again,
			       NULL) == 0);
	dv_pb_release(fields, again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	dv_autofree void *msg = NULL;
	struct dv_err err = DV_ERR_INIT;
	const pb_msgdesc_t *fields;
	size_t i;

	if (size == 0 || size > SIZE_LIMIT)
		return 0;
	dv_utf8_ok(data, size);
	i = data[0] % DV_ARRAY_LEN(schemas);
	fields = schemas[i].fields;
	msg = calloc(1, schemas[i].size);
	dv_assert(msg);
	if (dv_pb_decode(fields, data + 1, size - 1, msg, &err) < 0)
		dv_assert(err.code != DV_OK && err.msg[0]);
	else
		twice(fields, schemas[i].size, msg);
	dv_pb_release(fields, msg);
	return 0;
}
