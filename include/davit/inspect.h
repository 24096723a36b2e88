/* SPDX-License-Identifier: MIT */
#pragma once
/*
 * The inspect tree: what a program shows of its live state.
 *
 * A node is a directory of named nodes, a value, a failure in place of one, or
 * "not evaluated": a directory below the depth that was asked for. This header
 * is the tree as an answer: to read it, print it, compare it, encode it, and to
 * build one by hand.
 *
 * A tree is owned by whoever has its root; nodes below are borrowed from it and
 * live as long as the root does. No call here blocks or has global state; a
 * tree belongs to one thread at a time. Names and strings are UTF-8; what is
 * not becomes U+FFFD when it enters a tree. Both may hold NUL bytes (only
 * foreign servers send them), so their lengths are given too.
 *
 * Units are a convention of names, as the wire has no field for them: the name
 * ends in "_ns", "_us", "_ms", "_s", "_bytes", "_kib", "_mib", "_pages",
 * "_percent" or "_hz"; a name with none of these counts things. A value that
 * only grows carries DV_NODE_COUNT, and its rate is per second.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <davit/err.h>

#ifdef __cplusplus
extern "C" {
#endif

struct dv_node;

enum {
	/* Levels of directories in one tree. Every walk over a tree is a
	 * recursion of at most this depth: about 64 KiB of stack. */
	DV_NODE_DEPTH_MAX = 256,
	/* Nodes of a decoded or collected tree, about 100 bytes each: bounds
	 * what a small message can make us allocate. */
	DV_NODE_MAX = 1 << 19,
};
/* Text or JSON of one tree, bytes: indentation can multiply its size. */
#define DV_NODE_PRINT_MAX ((size_t)128 << 20)
/* "All levels" as InspectRequest.depth. */
#define DV_INSPECT_ALL UINT32_MAX

enum dv_node_kind {
	DV_NODE_UNEVALUATED = 0, /* a directory that nobody looked into */
	DV_NODE_FAILED,
	DV_NODE_SIGNED,
	DV_NODE_UNSIGNED,
	DV_NODE_FLOAT,
	DV_NODE_DOUBLE,
	DV_NODE_BOOL,
	DV_NODE_STRING,
	DV_NODE_BYTES,
	DV_NODE_DIR,
	DV_NODE_KIND_N
};

/* How an integer is meant; the numbers are those of the wire. */
enum {
	DV_NODE_HEX = 1,
	DV_NODE_COUNT = 2, /* only grows: show it as a rate */
	DV_NODE_BINARY = 4,
};

/* Who may see an entry; the numbers are those of the wire. */
enum dv_sensitivity {
	DV_SENS_SAFE = 1,
	DV_SENS_UNSPECIFIED = 2,
	DV_SENS_SENSITIVE = 3,
};

/* Why there is no value; the numbers are those of the wire. */
enum dv_node_error {
	DV_NODE_UNRESOLVED = 1, /* no answer before the deadline */
	DV_NODE_CHANNEL = 2,    /* with a text: the way there failed */
	DV_NODE_IMMUTABLE = 3,  /* an update of what cannot be updated */
	DV_NODE_UPDATE = 4,     /* with a text: an update was refused */
	DV_NODE_NOT_A_DIRECTORY = 5,
	DV_NODE_NOT_FOUND = 6,
	DV_NODE_INTERNAL = 7,
	DV_NODE_ERROR_N
};

/* ---- building ------------------------------------------------------ */

/* All return an owned node, or NULL: no memory. Text and data are copied. */
DV_API struct dv_node *dv_node_dir(void);
DV_API struct dv_node *dv_node_unevaluated(void);
/* @text: for CHANNEL and UPDATE, ignored else; NULL = "". */
DV_API struct dv_node *dv_node_failed(enum dv_node_error error,
				      const char *text);
DV_API struct dv_node *dv_node_signed(int64_t v, uint64_t flags);
DV_API struct dv_node *dv_node_unsigned(uint64_t v, uint64_t flags);
DV_API struct dv_node *dv_node_float(float v);
DV_API struct dv_node *dv_node_double(double v, uint64_t flags);
DV_API struct dv_node *dv_node_boolean(bool v);
DV_API struct dv_node *dv_node_string(const char *s, size_t len);
DV_API struct dv_node *dv_node_bytes(const void *data, size_t len);
/* A copy of everything; it has no name. */
DV_API struct dv_node *dv_node_copy(const struct dv_node *node);

/*
 * Append @node (consumed, also on failure; NULL is -ENOMEM) to the directory
 * @dir. Nothing is sorted or merged: see dv_node_normalize(). @name is one
 * component. Trees must not get deeper than DV_NODE_DEPTH_MAX. Returns 0 or
 * -ENOMEM.
 */
DV_API int dv_node_add(struct dv_node *dir, const char *name,
		       enum dv_sensitivity level, struct dv_node *node);

/*
 * In every directory of the tree: sort by natural order, and merge entries of
 * one name. Of two values the later one stays; two directories become one with
 * the higher sensitivity of both; a directory beats a value; what is not
 * evaluated, and DV_NODE_UNRESOLVED, replace nothing.
 */
DV_API void dv_node_normalize(struct dv_node *node);

/* NULL is allowed. Returns NULL. Only for roots. */
DV_API struct dv_node *dv_node_free(struct dv_node *node);

/* ---- reading ------------------------------------------------------- */

DV_API enum dv_node_kind dv_node_kind(const struct dv_node *node);
DV_API uint64_t dv_node_flags(const struct dv_node *node); /* DV_NODE_HEX... */
/* A node of another kind reads as 0, "", false, nothing. */
DV_API int64_t dv_node_get_signed(const struct dv_node *node);
DV_API uint64_t dv_node_get_unsigned(const struct dv_node *node);
DV_API double dv_node_get_double(const struct dv_node *node); /* floats too */
DV_API bool dv_node_get_bool(const struct dv_node *node);
/* String or bytes; borrowed, a NUL follows. @lenp may be NULL. */
DV_API const char *dv_node_get_data(const struct dv_node *node, size_t *lenp);
/* 0 when it did not fail. */
DV_API enum dv_node_error dv_node_get_error(const struct dv_node *node);
/*
 * As snprintf(): "not found", "update error: invalid digit found in string",
 * ""; returns the length it would have had. The text is what the peer sent.
 */
DV_API size_t dv_node_error_text(const struct dv_node *node, char *out,
				 size_t size);

/* Entries of a directory, in the order received; NULL past the last. */
DV_API size_t dv_node_count(const struct dv_node *dir);
DV_API struct dv_node *dv_node_child(const struct dv_node *dir, size_t n);
/* Name and sensitivity of an entry; "" and DV_SENS_SAFE of a root. */
DV_API const char *dv_node_name(const struct dv_node *node, size_t *lenp);
DV_API enum dv_sensitivity dv_node_sensitivity(const struct dv_node *node);
/* Directory, or not evaluated, which is one. */
DV_API bool dv_node_is_dir(const struct dv_node *node);

/*
 * The node at @path ("a/b/c"; empty components are ignored; "" is @node), or
 * NULL. A value is not found when a slash follows it.
 */
DV_API struct dv_node *dv_node_find(const struct dv_node *node,
				    const char *path);
/* Compares everything, names and sensitivity of entries included. */
DV_API bool dv_node_equal(const struct dv_node *a, const struct dv_node *b);
/* "ns", "bytes"... of an entry's name; "" when it has none. Static. */
DV_API const char *dv_node_unit(const char *name);

/*
 * Natural order of two names: <0, 0, >0. Numbers count by value: "a2" before
 * "a10", 0x5 before 0x0f; decimal before hexadecimal before text. Names that
 * differ are never equal: the bytes decide then.
 */
DV_API int dv_node_natural(const char *a, size_t a_len, const char *b,
			   size_t b_len);

/* ---- the wire ------------------------------------------------------ */

/*
 * The messages of inspect.InspectService. Decoding: @nodep is owned by the
 * caller; -EBADMSG malformed, -EMSGSIZE deeper than DV_NODE_DEPTH_MAX or more
 * than DV_NODE_MAX nodes, -ENOMEM; @err says where, and may be NULL.
 * Encoding: @datap is owned by the caller; 0 or -ENOMEM.
 */
DV_API int dv_node_decode(const void *data, size_t len, struct dv_node **nodep,
			  struct dv_err *err);
DV_API int dv_node_encode(const struct dv_node *node, uint8_t **datap,
			  size_t *lenp);
/* InspectResponse: the node in field 1. */
DV_API int dv_node_decode_response(const void *data, size_t len,
				   struct dv_node **nodep, struct dv_err *err);
DV_API int dv_node_encode_response(const struct dv_node *node, uint8_t **datap,
				   size_t *lenp);
/*
 * UpdateResponse: the new value in field 1. The old one goes into field 2,
 * which only davit knows and others skip; @old may be NULL, *@oldp is NULL when
 * it was not sent. Only values can be encoded here: else -EINVAL.
 */
DV_API int dv_node_decode_update(const void *data, size_t len,
				 struct dv_node **nodep, struct dv_node **oldp,
				 struct dv_err *err);
DV_API int dv_node_encode_update(const struct dv_node *node,
				 const struct dv_node *old, uint8_t **datap,
				 size_t *lenp);

/* Length that dv_node_encode_response() will have. */
DV_API size_t dv_node_encoded_size(const struct dv_node *node);
/*
 * Make the encoded response fit @max bytes: the deepest level of directories
 * becomes "not evaluated", then the next, as far as needed. Returns how many
 * directories were cut (0 = it did fit), or -EMSGSIZE when the root's own
 * entries are too much; then nothing was changed.
 */
DV_API int dv_node_prune(struct dv_node *node, size_t max);

/* ---- printing ------------------------------------------------------ */

/*
 * Both: @textp is owned by the caller and NUL-terminated, without a newline at
 * the end; @lenp may be NULL. -ENOMEM, -EMSGSIZE more than DV_NODE_PRINT_MAX.
 *
 * Text: one entry a line, four spaces a level, "name: value,". Names are bare
 * unless they are empty or hold a blank, a control character or one of
 * " \ : , { } < > ( ), then they are quoted as strings are. Nothing that is
 * printed can move a cursor: control and invisible characters are escaped.
 */
DV_API int dv_node_text(const struct dv_node *node, char **textp, size_t *lenp);
/*
 * JSON: valid, on one line. Integers are numbers of any size; with the flags
 * HEX or BINARY they are strings ("0x1f", "0b101"), and so are "NaN", "inf" and
 * "-inf". Bytes are base64 without padding; failures {"$error":"text"}; what is
 * not evaluated is null.
 */
DV_API int dv_node_json(const struct dv_node *node, char **textp, size_t *lenp);

/* ---- time and typing ----------------------------------------------- */

/*
 * @now with every DV_NODE_COUNT value as a rate per second (a double that keeps
 * the flag) since @before, @dt_ns earlier. Entries are paired by name, in
 * whatever order they are; what has no partner of the same kind is copied. A
 * counter that went back has wrapped at 2^64 when that is a step of less than
 * 2^63, else it has started again from 0. -EINVAL when @dt_ns is 0, -ENOMEM.
 */
DV_API int dv_node_since(const struct dv_node *now,
			 const struct dv_node *before, uint64_t dt_ns,
			 struct dv_node **ratesp);

/*
 * Tab completion. Somebody typed @typed: ask for the path of its first
 * dv_node_typed_parent() bytes with depth 0 or 1, and give the answer as
 * @parent. @fn gets every candidate that starts as typed, "vm/dev" or
 * "vm/disk/" (borrowed); names with control characters are left out. Returns
 * how many, or -ENOMEM.
 */
DV_API size_t dv_node_typed_parent(const char *typed);
DV_API int dv_node_complete(const char *typed, const struct dv_node *parent,
			    void (*fn)(void *arg, const char *candidate),
			    void *arg);

#ifdef __cplusplus
}
#endif
