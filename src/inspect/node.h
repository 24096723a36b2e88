/* SPDX-License-Identifier: MIT */
#pragma once
/*
 * What a node is made of, for the files of this room only.
 *
 * Entries of a directory are nodes of their own, so a directory keeps its
 * address while entries are added to it: an answer that comes later knows where
 * it belongs by a pointer.
 */
#include "base/buf.h"
#include "davit/inspect.h"

struct dv_node {
	uint8_t kind;  /* enum dv_node_kind */
	uint8_t level; /* enum dv_sensitivity; of an entry */
	uint8_t error; /* enum dv_node_error; of DV_NODE_FAILED */
	uint32_t seq;  /* place among its siblings; keeps sorting stable */
	uint32_t name_len;
	uint64_t flags; /* DV_NODE_HEX...; all bits go through */
	char *name;     /* owned; NULL = "" */
	union {
		int64_t i64;
		uint64_t u64;
		float f32;
		double f64;
		bool b;
		struct {
			char *data; /* owned; NULL = ""; a NUL follows */
			size_t len;
		}; /* string, bytes, text of a failure */
		struct {
			struct dv_node **child; /* owned */
			uint32_t n, cap;
		};
	};
};

static inline void dv_autonode_p(struct dv_node **node)
{
	dv_node_free(*node);
}
#define dv_autonode __attribute__((cleanup(dv_autonode_p)))

/* Make it "not evaluated"; name and level stay. */
void dv_node_clear(struct dv_node *node);
/* Replace the content; text is made UTF-8. 0 or -ENOMEM (cleared then). */
int dv_node_set_data(struct dv_node *node, enum dv_node_kind kind,
		     const void *data, size_t len);
/* dv_node_add() with a length; @node is consumed. */
int dv_node_add_n(struct dv_node *dir, const char *name, size_t len,
		  enum dv_sensitivity level, struct dv_node *node);
/* Move the content of @from (consumed) into @to; name and level of @to stay. */
void dv_node_move(struct dv_node *to, struct dv_node *from);
/* Drop every entry above @limit, and what is below one. */
void dv_node_filter(struct dv_node *node, enum dv_sensitivity limit);
/* Directories more than @depth levels below become "not evaluated". */
int dv_node_cut(struct dv_node *node, uint32_t depth);
/* Nodes of the tree, the root included. */
size_t dv_node_total(const struct dv_node *node);
/* "unresolved" and so on; of CHANNEL and UPDATE what precedes the text. */
const char *dv_node_error_word(enum dv_node_error error);

/* The encoded response when directories more than @depth below are cut. */
size_t dv_node_size_at(const struct dv_node *node, uint32_t depth);

/* Appended to @out, whose status says how it went. */
void dv_node_print_text(struct dv_buf *out, const struct dv_node *node);
void dv_node_print_json(struct dv_buf *out, const struct dv_node *node);
