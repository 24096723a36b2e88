/* SPDX-License-Identifier: MIT */
#pragma once
/*
 * ttrpc: frames of 10 bytes and a payload, and the two messages in them. What
 * is parsed is borrowed from the frame. Nothing here allocates but buffers.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"

enum {
	DV_TTRPC_HDR_LEN = 10,
	/* Pairs of metadata that are kept; more is an error. */
	DV_TTRPC_METADATA_MAX = 64,
};

enum dv_ttrpc_type {
	DV_TTRPC_REQUEST = 1,
	DV_TTRPC_RESPONSE = 2,
	DV_TTRPC_DATA = 3,
};

struct dv_ttrpc_hdr {
	uint32_t len; /* of the payload; its limit is the caller's */
	uint32_t stream;
	uint8_t type, flags;
};

/* Returns 0, or DV_MORE when it is not complete: nothing is consumed. */
int dv_ttrpc_hdr_parse(struct dv_rd *rd, struct dv_ttrpc_hdr *hdr);
void dv_ttrpc_hdr_put(uint8_t out[DV_TTRPC_HDR_LEN],
		      const struct dv_ttrpc_hdr *hdr);

struct dv_ttrpc_request {
	struct dv_str service, method, payload; /* borrowed */
	uint64_t timeout_ns;                    /* 0: none */
	size_t n_metadata;
};

/*
 * Parse a request. Unknown fields are skipped, groups are not accepted, the
 * last of a repeated field wins. Returns 0, or -EBADMSG with @err filled.
 */
int dv_ttrpc_request_parse(const void *data, size_t len,
			   struct dv_ttrpc_request *rq, struct dv_err *err);

/* One pair of a request's metadata; @i < n_metadata. Borrowed. */
int dv_ttrpc_request_metadata(const void *data, size_t len, size_t i,
			      struct dv_str *key, struct dv_str *value);

/*
 * Append a whole request frame. @metadata: key, value, ..., NULL; or NULL.
 * Returns 0; -EMSGSIZE when it has more than @max bytes of payload; or what
 * the buffer says. Nothing is appended on failure.
 */
int dv_ttrpc_request_put(struct dv_buf *out, uint32_t stream,
			 const struct dv_ttrpc_request *rq,
			 const char *const *metadata, size_t max);

struct dv_ttrpc_response {
	int32_t code;          /* 0: success */
	struct dv_str message; /* borrowed */
	struct dv_str payload;
};

/*
 * Parse a response, leniently: no status, and a status with code 0, are
 * success; no payload is an empty one. Returns 0 or -EBADMSG with @err.
 */
int dv_ttrpc_response_parse(const void *data, size_t len,
			    struct dv_ttrpc_response *rs, struct dv_err *err);

/*
 * Append the start of a success frame that carries @len bytes; the caller
 * appends them. Field 2 is there for an empty payload, too: peers exist that
 * take an answer without a field for a failure. Returns the buffer's status.
 */
int dv_ttrpc_success_put(struct dv_buf *out, uint32_t stream, size_t len);
/* How many bytes success_put() and its payload are. */
size_t dv_ttrpc_success_size(size_t len);
/* Append a failure frame. */
int dv_ttrpc_failure_put(struct dv_buf *out, uint32_t stream, int32_t code,
			 const char *message);
