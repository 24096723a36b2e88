/* SPDX-License-Identifier: MIT */
/*
 * The tree from the wire; the messages are drawn in encode.c.
 *
 * As its first implementation has it: unknown fields are skipped, a known field
 * of another wire type is an error, a oneof without a known member is an error,
 * and so is an entry without node or sensitivity. Repeated messages merge: the
 * entries of two directories add up, of anything else the last stays.
 *
 * There is one level of recursion per level of the tree, DV_NODE_DEPTH_MAX at
 * most, and a budget of nodes: an entry of 10 bytes costs about 100 in memory.
 */
#include <errno.h>
#include <string.h>

#include "base/def.h"
#include "inspect/node.h"
#include "inspect/wire.h"

struct dec {
	const uint8_t *start;
	size_t nodes; /* that may still be made */
	struct dv_err *err;
};

struct field {
	uint32_t num;
	enum wire_type type;
	uint64_t v;
	struct dv_rd sub; /* of WIRE_LEN */
};

static int malformed(const struct dec *d, const struct dv_rd *at,
		     const char *what)
{
	return dv_err_set(d->err, EBADMSG, DV_INTERNAL,
			  "inspect tree: %s before byte %zu", what,
			  (size_t)(at->p - d->start));
}

static int no_memory(const struct dec *d)
{
	return dv_err_sys(d->err, ENOMEM, "inspect tree");
}

static uint64_t read_varint(struct dv_rd *rd)
{
	uint64_t v = 0;

	for (unsigned int i = 0; i < WIRE_VARINT_MAX; i++) {
		uint8_t b = dv_rd_u8(rd);

		if (i == WIRE_VARINT_MAX - 1 && b > 1)
			break;
		v |= (uint64_t)(b & 0x7f) << (7 * i);
		if (b < 0x80)
			return v;
	}
	rd->bad = true;
	return 0;
}

/* DV_MORE: there is a field; 0: the message ends here. */
static int next_field(const struct dec *d, struct dv_rd *rd, struct field *f)
{
	uint64_t tag, len;

	if (rd->left == 0)
		return 0;
	tag = read_varint(rd);
	*f = (struct field){ (uint32_t)(tag >> 3), tag & 7, 0,
			     dv_rd_mem("", 0) };
	if (dv_rd_ok(rd) && (tag >> 32 || f->num == 0))
		return malformed(d, rd, "bad field number");
	switch ((unsigned int)f->type) {
	case WIRE_VARINT:
		f->v = read_varint(rd);
		break;
	case WIRE_64:
		f->v = dv_rd_le64(rd);
		break;
	case WIRE_32:
		f->v = dv_rd_le32(rd);
		break;
	case WIRE_LEN:
		len = read_varint(rd);
		if (len > rd->left)
			rd->bad = true;
		else
			f->sub = dv_rd_mem(dv_rd_bytes(rd, len), len);
		break;
	default:
		return malformed(d, rd, "unknown wire type");
	}
	return dv_rd_ok(rd) ? DV_MORE : malformed(d, rd, "message cut short");
}

/*
 * next_field() for messages that only have field 1, of type @type. DV_MORE: the
 * field is there; others are skipped.
 */
static int next_first(const struct dec *d, struct dv_rd *rd,
		      enum wire_type type, struct field *f)
{
	int r;

	do
		r = next_field(d, rd, f);
	while (r == DV_MORE && f->num != 1);
	if (r == DV_MORE && f->type != type)
		return malformed(d, rd, "wrong wire type");
	return r;
}

/* The members of a oneof are all messages. */
static int next_member(const struct dec *d, struct dv_rd *rd, uint32_t last,
		       struct field *f)
{
	int r;

	do
		r = next_field(d, rd, f);
	while (r == DV_MORE && f->num > last);
	if (r == DV_MORE && f->type != WIRE_LEN)
		return malformed(d, rd, "wrong wire type");
	return r;
}

/* ---- values ---- */

/* {string = 1} and {bytes = 1}. */
static int read_data(const struct dec *d, struct dv_rd rd,
		     enum dv_node_kind kind, struct dv_node *node)
{
	struct dv_rd data = dv_rd_mem("", 0);
	struct field f;
	int r;

	while ((r = next_first(d, &rd, WIRE_LEN, &f)) == DV_MORE)
		data = f.sub;
	if (r == 0 && dv_node_set_data(node, kind, data.p, data.left) < 0)
		r = no_memory(d);
	return r;
}

static void set_number(struct dv_node *node, uint32_t kind, uint64_t v)
{
	uint32_t single = (uint32_t)v;

	dv_node_clear(node);
	node->kind = (uint8_t)(DV_NODE_SIGNED + kind - WIRE_KIND_SIGNED);
	node->u64 = 0;
	if (kind == WIRE_KIND_SIGNED)
		node->u64 = v >> 1 ^ (v & 1 ? UINT64_MAX : 0);
	else if (kind == WIRE_KIND_FLOAT)
		memcpy(&node->f32, &single, sizeof(node->f32));
	else if (kind == WIRE_KIND_BOOL)
		node->b = v != 0;
	else /* a double has the same bits */
		node->u64 = v;
}

/* One member of Kind. */
static int read_member(const struct dec *d, const struct field *m,
		       struct dv_node *node)
{
	struct dv_rd rd = m->sub;
	enum wire_type type = WIRE_VARINT;
	struct field f;
	uint64_t v = 0;
	int r;

	if (m->num >= WIRE_KIND_STRING)
		return read_data(d, rd,
				 m->num == WIRE_KIND_STRING ? DV_NODE_STRING
							    : DV_NODE_BYTES,
				 node);
	if (m->num == WIRE_KIND_FLOAT)
		type = WIRE_32;
	else if (m->num == WIRE_KIND_DOUBLE)
		type = WIRE_64;
	while ((r = next_first(d, &rd, type, &f)) == DV_MORE)
		v = f.v;
	if (r == 0)
		set_number(node, m->num, v);
	return r;
}

static int read_kind(const struct dec *d, struct dv_rd rd, struct dv_node *node)
{
	struct field f;
	bool seen = false;
	int r;

	while ((r = next_member(d, &rd, WIRE_KIND_BYTES, &f)) == DV_MORE) {
		r = read_member(d, &f, node);
		if (r < 0)
			return r;
		seen = true;
	}
	if (r == 0 && !seen)
		return malformed(d, &rd, "value without kind");
	return r;
}

static int read_flags(const struct dec *d, struct dv_rd rd, uint64_t *flagsp)
{
	struct field f;
	int r;

	while ((r = next_first(d, &rd, WIRE_VARINT, &f)) == DV_MORE)
		*flagsp = f.v;
	return r;
}

static int read_value(const struct dec *d, struct dv_rd rd,
		      struct dv_node *node)
{
	uint64_t flags = 0;
	bool seen = false;
	struct field f;
	int r;

	while ((r = next_field(d, &rd, &f)) == DV_MORE) {
		if (f.num > 2)
			continue;
		if (f.type != WIRE_LEN)
			return malformed(d, &rd, "wrong wire type");
		if (f.num == 1)
			r = read_kind(d, f.sub, node);
		else
			r = read_flags(d, f.sub, &flags);
		if (r < 0)
			return r;
		seen |= f.num == 1;
	}
	if (r == 0 && !seen)
		return malformed(d, &rd, "value without kind");
	node->flags = flags;
	return r;
}

static int read_error(const struct dec *d, struct dv_rd rd,
		      struct dv_node *node)
{
	bool seen = false;
	struct field f;
	int r;

	while ((r = next_member(d, &rd, DV_NODE_INTERNAL, &f)) == DV_MORE) {
		struct dv_rd text = f.sub;

		if (f.num != DV_NODE_CHANNEL && f.num != DV_NODE_UPDATE)
			text = dv_rd_mem("", 0);
		r = read_data(d, text, DV_NODE_FAILED, node);
		if (r < 0)
			return r;
		node->error = (uint8_t)f.num;
		seen = true;
	}
	if (r == 0 && !seen)
		return malformed(d, &rd, "error without kind");
	return r;
}

/* ---- the tree ---- */

static int read_node(struct dec *d, struct dv_rd rd, struct dv_node *node,
		     unsigned int depth);

static int read_level(const struct dec *d, struct dv_rd rd,
		      struct dv_node *entry)
{
	struct field f;
	int r;

	while ((r = next_member(d, &rd, DV_SENS_SENSITIVE, &f)) == DV_MORE)
		entry->level = (uint8_t)f.num;
	return r;
}

/* @entry is empty and has no level; its name is left to the caller. */
static int read_entry(struct dec *d, struct dv_rd rd, struct dv_node *entry,
		      struct dv_rd *name, unsigned int depth)
{
	bool seen = false;
	struct field f;
	int r;

	while ((r = next_field(d, &rd, &f)) == DV_MORE) {
		if (f.num > 3)
			continue;
		if (f.type != WIRE_LEN)
			return malformed(d, &rd, "wrong wire type");
		if (f.num == 1) {
			*name = f.sub;
			continue;
		}
		if (f.num == 2)
			r = read_node(d, f.sub, entry, depth);
		else
			r = read_level(d, f.sub, entry);
		if (r < 0)
			return r;
		seen |= f.num == 2;
	}
	if (r == 0 && (!seen || entry->level == 0))
		return malformed(d, &rd, "incomplete entry");
	return r;
}

static int read_dir(struct dec *d, struct dv_rd rd, struct dv_node *dir,
		    unsigned int depth)
{
	struct field f;
	int r;

	while ((r = next_first(d, &rd, WIRE_LEN, &f)) == DV_MORE) {
		dv_autonode struct dv_node *entry = NULL;
		enum dv_sensitivity level;
		struct dv_rd name = dv_rd_mem("", 0);

		if (d->nodes == 0)
			return dv_err_set(d->err, EMSGSIZE, DV_EXHAUSTED,
					  "inspect tree: more than %d nodes",
					  DV_NODE_MAX);
		d->nodes--;
		entry = dv_node_unevaluated();
		if (!entry)
			return no_memory(d);
		entry->level = 0;
		r = read_entry(d, f.sub, entry, &name, depth);
		if (r < 0)
			return r;
		level = entry->level;
		if (dv_node_add_n(dir, (const char *)name.p, name.left, level,
				  dv_take_ptr(&entry)) < 0)
			return no_memory(d);
	}
	return r;
}

/* @depth: directories above this node. */
static int read_variant(struct dec *d, const struct field *m,
			struct dv_node *node, unsigned int depth)
{
	struct dv_rd rd = m->sub;
	struct field f;
	int r;

	if (m->num == WIRE_NODE_DIR) {
		if (depth >= DV_NODE_DEPTH_MAX)
			return dv_err_set(d->err, EMSGSIZE, DV_EXHAUSTED,
					  "inspect tree: more than %d levels",
					  DV_NODE_DEPTH_MAX);
		if (node->kind != DV_NODE_DIR)
			dv_node_clear(node);
		node->kind = DV_NODE_DIR;
		return read_dir(d, rd, node, depth + 1);
	}
	dv_node_clear(node);
	if (m->num == WIRE_NODE_UNEVALUATED)
		return 0;
	while ((r = next_first(d, &rd, WIRE_LEN, &f)) == DV_MORE) {
		if (m->num == WIRE_NODE_FAILED)
			r = read_error(d, f.sub, node);
		else
			r = read_value(d, f.sub, node);
		if (r < 0)
			return r;
	}
	if (r == 0 && node->kind == DV_NODE_UNEVALUATED)
		return malformed(d, &rd, "empty node");
	return r;
}

static int read_node(struct dec *d, struct dv_rd rd, struct dv_node *node,
		     unsigned int depth)
{
	bool seen = false;
	struct field f;
	int r;

	while ((r = next_member(d, &rd, WIRE_NODE_DIR, &f)) == DV_MORE) {
		r = read_variant(d, &f, node, depth);
		if (r < 0)
			return r;
		seen = true;
	}
	if (r == 0 && !seen)
		return malformed(d, &rd, "node of no known kind");
	return r;
}

/* ---- messages ---- */

int dv_node_decode(const void *data, size_t len, struct dv_node **nodep,
		   struct dv_err *err)
{
	dv_autonode struct dv_node *node = dv_node_unevaluated();
	struct dec d = { data, DV_NODE_MAX, err };
	int r;

	if (!node)
		return no_memory(&d);
	r = read_node(&d, dv_rd_mem(data, len), node, 0);
	if (r < 0)
		return r;
	*nodep = dv_take_ptr(&node);
	return 0;
}

int dv_node_decode_response(const void *data, size_t len,
			    struct dv_node **nodep, struct dv_err *err)
{
	dv_autonode struct dv_node *node = dv_node_unevaluated();
	struct dec d = { data, DV_NODE_MAX, err };
	struct dv_rd rd = dv_rd_mem(data, len);
	bool seen = false;
	struct field f;
	int r;

	if (!node)
		return no_memory(&d);
	while ((r = next_first(&d, &rd, WIRE_LEN, &f)) == DV_MORE) {
		r = read_node(&d, f.sub, node, 0);
		if (r < 0)
			return r;
		seen = true;
	}
	if (r == 0 && !seen)
		return malformed(&d, &rd, "answer without a node");
	if (r < 0)
		return r;
	*nodep = dv_take_ptr(&node);
	return 0;
}

int dv_node_decode_update(const void *data, size_t len, struct dv_node **nodep,
			  struct dv_node **oldp, struct dv_err *err)
{
	dv_autonode struct dv_node *node = dv_node_unevaluated();
	dv_autonode struct dv_node *old = dv_node_unevaluated();
	struct dec d = { data, DV_NODE_MAX, err };
	struct dv_rd rd = dv_rd_mem(data, len);
	struct field f;
	int r;

	if (!node || !old)
		return no_memory(&d);
	while ((r = next_member(&d, &rd, 2, &f)) == DV_MORE) {
		r = read_value(&d, f.sub, f.num == 1 ? node : old);
		if (r < 0)
			return r;
	}
	if (r == 0 && node->kind == DV_NODE_UNEVALUATED)
		return malformed(&d, &rd, "answer without a value");
	if (r < 0)
		return r;
	*nodep = dv_take_ptr(&node);
	*oldp = old->kind == DV_NODE_UNEVALUATED ? NULL : dv_take_ptr(&old);
	return 0;
}
