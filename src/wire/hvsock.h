/* SPDX-License-Identifier: MIT */
#pragma once
/*
 * The text handshake of hybrid vsock, both sides, without any I/O.
 *
 *	client: CONNECT 1\n          or  CONNECT 00000001-facb-11e6-…\n
 *	server: OK 1073741824\n      or  OK 40000000-facb-11e6-…\n
 *
 * What follows a newline, in either direction, belongs to the stream and is
 * never looked at: both parsers say how many bytes were theirs. A client may
 * send ahead; others' servers break on that, so ours does not do it.
 *
 * All functions are pure and safe in any thread.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <davit/err.h>

enum {
	DV_HVSOCK_GUID_LEN = 36,
	/* "CONNECT " + guid + "\n", the buffer of the first implementation. A
	 * longer line is refused, so a guid in braces never fits into one. */
	DV_HVSOCK_LINE_MAX = 8 + DV_HVSOCK_GUID_LEN + 1,
	DV_HVSOCK_OK_MAX = 3 + DV_HVSOCK_GUID_LEN + 1,
	/* "ERR " + text + "\n". Ours alone: others just close. */
	DV_HVSOCK_ERR_MAX = 128,
	DV_HVSOCK_REPLY_MAX = DV_HVSOCK_ERR_MAX,
};

/* A port, and how it was written. */
struct dv_hvsock_addr {
	uint32_t port;
	bool guid;
};

/*
 * The port or service id of a request: a decimal u32 (a leading + and zeros are
 * fine) or PPPPPPPP-facb-11e6-bd58-64006a7986d3 in any case, with or without
 * braces. Returns 0, or -EBADMSG with @err filled and @addrp untouched.
 */
int dv_hvsock_parse_addr(const char *text, size_t len,
			 struct dv_hvsock_addr *addrp, struct dv_err *err);

/*
 * Parse the request line that @data begins with.
 *
 * Returns 0 and sets @addrp and @usedp (the line with its newline; what follows
 * belongs to the stream), DV_MORE when the line is not complete, or -EBADMSG
 * with @err filled, as early as that is certain. Never DV_MORE once @len is
 * DV_HVSOCK_LINE_MAX. Nothing is set unless 0 is returned.
 */
int dv_hvsock_parse_connect(const void *data, size_t len,
			    struct dv_hvsock_addr *addrp, size_t *usedp,
			    struct dv_err *err);

/*
 * Parse the reply that @data begins with. The number is not needed by anybody,
 * so up to ten bytes of anything are accepted in its place (port 0 then).
 *
 * Returns 0, DV_MORE, -EBADMSG, or -ECONNREFUSED for an ERR line, whose text
 * becomes part of @err (without control characters). Never DV_MORE once @len
 * is DV_HVSOCK_REPLY_MAX. On DV_MORE every byte of @data is the reply's own.
 */
int dv_hvsock_parse_reply(const void *data, size_t len,
			  struct dv_hvsock_addr *addrp, size_t *usedp,
			  struct dv_err *err);

/* All return the length; the text ends with a newline and a NUL. */
size_t dv_hvsock_put_connect(char out[DV_HVSOCK_LINE_MAX + 1],
			     const struct dv_hvsock_addr *addr);
size_t dv_hvsock_put_ok(char out[DV_HVSOCK_OK_MAX + 1],
			const struct dv_hvsock_addr *addr);
/* @text is cut to fit; control characters become spaces. */
size_t dv_hvsock_put_err(char out[DV_HVSOCK_ERR_MAX + 1], const char *text);

/* The guid of @port, lower case, no braces, no newline. */
void dv_hvsock_guid(char out[DV_HVSOCK_GUID_LEN + 1], uint32_t port);
