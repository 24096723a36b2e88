/* SPDX-License-Identifier: MIT */
#pragma once
/*
 * Numbers of the wire, for encode.c and decode.c. The messages are drawn in
 * encode.c. Errors, sensitivities and flags have the numbers of their enums.
 */

enum { WIRE_VARINT_MAX = 10 }; /* bytes of 64 bits, seven at a time */

enum wire_type { WIRE_VARINT = 0, WIRE_64 = 1, WIRE_LEN = 2, WIRE_32 = 5 };

enum {
	WIRE_NODE_UNEVALUATED = 1,
	WIRE_NODE_FAILED,
	WIRE_NODE_VALUE,
	WIRE_NODE_DIR,
};

/* The kinds follow each other as in enum dv_node_kind. */
enum {
	WIRE_KIND_SIGNED = 1,
	WIRE_KIND_UNSIGNED,
	WIRE_KIND_FLOAT,
	WIRE_KIND_DOUBLE,
	WIRE_KIND_BOOL,
	WIRE_KIND_STRING,
	WIRE_KIND_BYTES,
};
