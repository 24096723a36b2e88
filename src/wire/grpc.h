/* SPDX-License-Identifier: MIT */
#pragma once
/*
 * gRPC over HTTP/2, without the HTTP/2: what stands in its header fields and
 * how messages are cut out of its DATA. No I/O.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"

enum {
	DV_GRPC_HDR = 5,             /* flag, length */
	DV_GRPC_MSG_MAX = 4 << 20,   /* what every implementation takes */
	DV_GRPC_TIMEOUT_LEN = 10,    /* 8 digits, a unit, NUL */
	DV_GRPC_MESSAGE_MAX = 4096,  /* of a decoded grpc-message */
	DV_GRPC_DETAILS_MAX = 8192,  /* of a decoded details field */
	DV_GRPC_HEADERS_MAX = 16384, /* of one list, as SETTINGS count it */
	DV_GRPC_PATH_PART_MAX = 255, /* of a service's, of a method's name */
};

/*
 * The messages of one direction of one stream. Memory grows with the bytes that
 * came, not with the length that was announced.
 */
struct dv_grpc_rd {
	uint8_t hdr[DV_GRPC_HDR];
	size_t n_hdr;
	size_t len; /* announced by hdr */
	struct dv_buf buf;
	bool done; /* buf is a whole message that was given out */
};

/* clang-format off */
#define DV_GRPC_RD_INIT { { 0 }, 0, 0, DV_BUF_INIT(DV_GRPC_MSG_MAX), false }
/* clang-format on */

/*
 * Take bytes from @in. Returns 0 when a message is complete: *@msgp and *@lenp
 * are borrowed until the next call, and what follows is left in @in. DV_MORE:
 * @in is used up. -EOPNOTSUPP: it is compressed, -EBADMSG: its flag has another
 * value, -EMSGSIZE: longer than DV_GRPC_MSG_MAX, -ENOMEM. After an error the
 * reader is good for dv_grpc_rd_free() only.
 */
int dv_grpc_next(struct dv_grpc_rd *rd, struct dv_rd *in, const uint8_t **msgp,
		 size_t *lenp);
/*
 * Make the message that was given out last until dv_grpc_rd_free(), also when
 * it is only borrowed from what it came in. Returns 0 or -ENOMEM.
 */
int dv_grpc_rd_keep(struct dv_grpc_rd *rd, const uint8_t **msgp, size_t len);
/* True in the middle of a message: the stream must not end here. */
bool dv_grpc_rd_partial(const struct dv_grpc_rd *rd);
/* Bytes of memory that wait for the rest of a message. */
size_t dv_grpc_rd_held(const struct dv_grpc_rd *rd);
/* Idempotent. */
void dv_grpc_rd_free(struct dv_grpc_rd *rd);
/* The five bytes in front of a message. @len <= DV_GRPC_MSG_MAX. */
void dv_grpc_hdr(uint8_t hdr[DV_GRPC_HDR], size_t len);

/*
 * grpc-timeout: at most 8 digits and one of H M S m u n. Returns 0 or -EINVAL.
 * What is too long for *@nsp is UINT64_MAX. Formatting takes the finest unit
 * that fits and rounds up: 0 becomes "1n", for a time-out of nothing would be
 * refused by some, and taken for none by others.
 */
int dv_grpc_timeout_parse(struct dv_str s, uint64_t *nsp);
void dv_grpc_timeout_format(char out[DV_GRPC_TIMEOUT_LEN], uint64_t ns);

/*
 * grpc-message: bytes outside of space..~, and %, as %XX. Decoding leaves what
 * is no such triple as it is. Append to @out; return its status.
 */
int dv_grpc_percent_encode(struct dv_buf *out, struct dv_str text);
int dv_grpc_percent_decode(struct dv_buf *out, struct dv_str text);

/*
 * Values of `-bin` fields: written without padding, read with and without.
 * Decoding returns @out's status, or -EINVAL.
 */
int dv_grpc_base64_encode(struct dv_buf *out, const void *data, size_t len);
int dv_grpc_base64_decode(struct dv_buf *out, struct dv_str text);

/* google.rpc.Status, which is what grpc-status-details-bin carries. */
struct dv_grpc_status {
	int32_t code;
	struct dv_str message; /* borrowed from what was decoded */
};
/* Append it to @out; returns its status. */
int dv_grpc_status_encode(struct dv_buf *out, const struct dv_grpc_status *st);
/* Returns 0 or -EBADMSG. Details are skipped. */
int dv_grpc_status_decode(const void *data, size_t len,
			  struct dv_grpc_status *st);
/* grpc-status: "0" to "16"; whatever else is DV_UNKNOWN. */
enum dv_code dv_grpc_code_parse(struct dv_str s);

/* "/service/method". Returns 0 or -EINVAL. Slices are borrowed from @path. */
int dv_grpc_path_split(struct dv_str path, struct dv_str *servicep,
		       struct dv_str *methodp);
/* "application/grpc", "application/grpc+proto", either with ";parameters". */
bool dv_grpc_content_type_ok(struct dv_str s);

/* What a call without a grpc-status is to its client. */
enum dv_code dv_grpc_code_from_http(int status);
/* What a stream that was reset with this HTTP/2 error is to its client. */
enum dv_code dv_grpc_code_from_reset(uint32_t h2_error);
