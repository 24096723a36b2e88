/* SPDX-License-Identifier: MIT */
#pragma once
/*
 * Protobuf messages by nanopb, for bytes of peers: bounded before they are
 * decoded, because nanopb recurses and allocates as the message says.
 */
#include <stdbool.h>
#include <stddef.h>

#include <pb.h>

#include "base/buf.h"

enum {
	/* The deepest schema, the inspect tree, uses 8 levels for one step; a
	 * level costs nanopb 200 to 300 bytes of stack. */
	DV_PB_DEPTH_MAX = 64,
	/* Fields of one message, at all levels: a tree of 100,000 entries. */
	DV_PB_FIELDS_MAX = 1 << 20,
	/* What decoding may allocate. The largest message is 16 MiB. */
	DV_PB_ALLOC_MAX = 64 << 20,
};

/*
 * Check @data against the schema (NULL: one without fields) without allocating:
 * well-formed to the end, bounded as above, no NUL inside what becomes a C
 * string, nothing that nanopb cannot hold. Returns 0, or -EBADMSG with
 * DV_INVALID, -EMSGSIZE with DV_EXHAUSTED.
 */
int dv_pb_scan(const pb_msgdesc_t *fields, const void *data, size_t len,
	       struct dv_err *err);

/*
 * Scan and decode into @msg, a zeroed struct of @fields. Pointers in it are
 * malloc'd: dv_pb_release(). On failure nothing is left in it. Returns 0 or
 * -errno as above, or -ENOMEM.
 */
int dv_pb_decode(const pb_msgdesc_t *fields, const void *data, size_t len,
		 void *msg, struct dv_err *err);
/* Frees what @msg points to; idempotent. */
void dv_pb_release(const pb_msgdesc_t *fields, void *msg);

/* The encoded size. Returns 0, or -EINVAL for what cannot be encoded. */
int dv_pb_size(const pb_msgdesc_t *fields, const void *msg, size_t *lenp,
	       struct dv_err *err);
/*
 * Append @msg to @out, whose limit counts: -EMSGSIZE with DV_EXHAUSTED. Then
 * nothing was appended.
 */
int dv_pb_encode(const pb_msgdesc_t *fields, const void *msg,
		 struct dv_buf *out, struct dv_err *err);
