/* SPDX-License-Identifier: MIT */
/*
 * DOC: the tree on the wire.
 *
 *   Node        { oneof { Empty unevaluated = 1; {Error error = 1} failed = 2;
 *                 {Value value = 1} value = 3; {repeated Entry = 1} dir = 4; }
 * } Entry       { string name = 1; Node node = 2; Sensitivity = 3; }
 *   Sensitivity { oneof { Empty safe = 1, unspecified = 2, sensitive = 3; } }
 *   Error       { oneof { Empty unresolved = 1; {string = 1} channel = 2;
 *                 Empty immutable = 3; {string = 1} update = 4;
 *                 Empty not_a_directory = 5, not_found = 6, internal = 7; } }
 *   Value       { Kind kind = 1; {uint64 bits = 1} flags = 2; }
 *   Kind        { oneof { {sint64 = 1} signed = 1; {uint64 = 1} unsigned = 2;
 *                 {float = 1} = 3; {double = 1} = 4; {bool = 1} = 5;
 *                 {string = 1} = 6; {bytes = 1} = 7; } }
 *
 * Braces without a name are messages too. Members of a oneof and everything in
 * an Entry but an empty name are always written; other zeros are left out.
 *
 * The codec is written by hand: nodes nest without a bound that a generated
 * decoder would know, directories have more entries and values more bytes than
 * its 16-bit counts can tell, and the size of a message has to be known for any
 * depth before anything is written.
 *
 * A message is written from its end to its start, so that its length is known
 * when its header is due: one pass, and nothing is measured twice. Without
 * memory to write to, the same pass only counts.
 */
#include <errno.h>
#include <string.h>

#include "base/def.h"
#include "inspect/node.h"
#include "inspect/wire.h"

struct enc {
	uint8_t *at; /* the first byte written; NULL: only count */
	size_t n;    /* bytes written */
};

static void put(struct enc *e, const void *data, size_t len)
{
	e->n += len;
	if (e->at && len > 0) {
		e->at -= len;
		memcpy(e->at, data, len);
	}
}

static void put_varint(struct enc *e, uint64_t v)
{
	uint8_t bytes[WIRE_VARINT_MAX];
	size_t n = 0;

	for (; v >= 0x80; v >>= 7)
		bytes[n++] = (uint8_t)(v | 0x80);
	bytes[n++] = (uint8_t)v;
	put(e, bytes, n);
}

static void put_tag(struct enc *e, uint32_t field, enum wire_type type)
{
	put_varint(e, (uint64_t)field << 3 | type);
}

/* What was written since e->n was @start becomes the message @field. */
static void wrap(struct enc *e, uint32_t field, size_t start)
{
	put_varint(e, e->n - start);
	put_tag(e, field, WIRE_LEN);
}

static void put_data(struct enc *e, const struct dv_node *node)
{
	size_t start = e->n;

	put(e, node->data, node->len);
	if (node->len > 0)
		wrap(e, 1, start);
}

static void put_number(struct enc *e, uint64_t v)
{
	if (v == 0)
		return;
	put_varint(e, v);
	put_tag(e, 1, WIRE_VARINT);
}

static void put_double(struct enc *e, double v)
{
	uint8_t bytes[8];
	uint64_t bits;

	memcpy(&bits, &v, sizeof(bits));
	if (bits == 0)
		return;
	dv_put_le64(bytes, bits);
	put(e, bytes, sizeof(bytes));
	put_tag(e, 1, WIRE_64);
}

static void put_float(struct enc *e, float v)
{
	uint8_t bytes[4];
	uint32_t bits;

	memcpy(&bits, &v, sizeof(bits));
	if (bits == 0)
		return;
	dv_put_le32(bytes, bits);
	put(e, bytes, sizeof(bytes));
	put_tag(e, 1, WIRE_32);
}

static void put_kind(struct enc *e, const struct dv_node *node)
{
	size_t start = e->n;

	switch ((enum dv_node_kind)node->kind) {
	case DV_NODE_SIGNED:
		put_number(e, (uint64_t)node->i64 << 1 ^
				      (node->i64 < 0 ? UINT64_MAX : 0));
		break;
	case DV_NODE_UNSIGNED:
		put_number(e, node->u64);
		break;
	case DV_NODE_FLOAT:
		put_float(e, node->f32);
		break;
	case DV_NODE_DOUBLE:
		put_double(e, node->f64);
		break;
	case DV_NODE_BOOL:
		put_number(e, node->b);
		break;
	case DV_NODE_STRING:
	case DV_NODE_BYTES:
		put_data(e, node);
		break;
	case DV_NODE_DIR:
	case DV_NODE_FAILED:
	case DV_NODE_UNEVALUATED:
	case DV_NODE_KIND_N:
		return;
	}
	wrap(e, WIRE_KIND_SIGNED + node->kind - DV_NODE_SIGNED, start);
}

/* The message Value, as field @field. */
static void put_value(struct enc *e, const struct dv_node *node, uint32_t field)
{
	size_t outer = e->n, start = e->n;

	if (node->flags) {
		put_number(e, node->flags);
		wrap(e, 2, start);
	}
	start = e->n;
	put_kind(e, node);
	wrap(e, 1, start);
	wrap(e, field, outer);
}

static void put_error(struct enc *e, const struct dv_node *node)
{
	size_t start = e->n;

	put_data(e, node);
	wrap(e, node->error, start);
	wrap(e, 1, start);
}

static void put_node(struct enc *e, const struct dv_node *node, uint32_t depth);

/* @depth: levels of directories that are still written below @dir. */
static void put_entries(struct enc *e, const struct dv_node *dir,
			uint32_t depth)
{
	for (size_t i = dir->n; i-- > 0;) {
		const struct dv_node *c = dir->child[i];
		size_t outer = e->n, start;

		put_varint(e, 0);
		put_tag(e, c->level, WIRE_LEN);
		wrap(e, 3, outer);
		start = e->n;
		if (c->kind == DV_NODE_DIR && depth == 0)
			wrap(e, WIRE_NODE_UNEVALUATED, e->n);
		else
			put_node(e, c, depth ? depth - 1 : 0);
		wrap(e, 2, start);
		start = e->n;
		put(e, c->name, c->name_len);
		if (c->name_len > 0)
			wrap(e, 1, start);
		wrap(e, 1, outer);
	}
}

static void put_node(struct enc *e, const struct dv_node *node, uint32_t depth)
{
	size_t start = e->n;

	switch ((enum dv_node_kind)node->kind) {
	case DV_NODE_DIR:
		put_entries(e, node, depth);
		wrap(e, WIRE_NODE_DIR, start);
		break;
	case DV_NODE_FAILED:
		put_error(e, node);
		wrap(e, WIRE_NODE_FAILED, start);
		break;
	case DV_NODE_UNEVALUATED:
		wrap(e, WIRE_NODE_UNEVALUATED, start);
		break;
	case DV_NODE_SIGNED:
	case DV_NODE_UNSIGNED:
	case DV_NODE_FLOAT:
	case DV_NODE_DOUBLE:
	case DV_NODE_BOOL:
	case DV_NODE_STRING:
	case DV_NODE_BYTES:
		put_value(e, node, 1);
		wrap(e, WIRE_NODE_VALUE, start);
		break;
	case DV_NODE_KIND_N:
		break;
	}
}

/* ---- messages ---- */

struct message {
	const struct dv_node *node;
	const struct dv_node *old; /* of an update; may be NULL */
	void (*fn)(struct enc *e, const struct message *m);
	uint32_t depth;
};

static void plain(struct enc *e, const struct message *m)
{
	put_node(e, m->node, m->depth);
}

static void response(struct enc *e, const struct message *m)
{
	size_t start = e->n;

	put_node(e, m->node, m->depth);
	wrap(e, 1, start);
}

static void update(struct enc *e, const struct message *m)
{
	if (m->old)
		put_value(e, m->old, 2);
	put_value(e, m->node, 1);
}

/* Count, allocate, write. */
static int encode(const struct message *m, uint8_t **datap, size_t *lenp)
{
	struct enc e = { NULL, 0 };
	uint8_t *data;
	size_t len;

	m->fn(&e, m);
	len = e.n;
	data = malloc(len ? len : 1);
	if (!data)
		return -ENOMEM;
	e = (struct enc){ data + len, 0 };
	m->fn(&e, m);
	dv_assert(e.at == data && e.n == len);
	*datap = data;
	*lenp = len;
	return 0;
}

int dv_node_encode(const struct dv_node *node, uint8_t **datap, size_t *lenp)
{
	const struct message m = { node, NULL, plain, DV_NODE_DEPTH_MAX };

	return encode(&m, datap, lenp);
}

int dv_node_encode_response(const struct dv_node *node, uint8_t **datap,
			    size_t *lenp)
{
	const struct message m = { node, NULL, response, DV_NODE_DEPTH_MAX };

	return encode(&m, datap, lenp);
}

static bool is_value(const struct dv_node *node)
{
	return !dv_node_is_dir(node) && node->kind != DV_NODE_FAILED;
}

int dv_node_encode_update(const struct dv_node *node, const struct dv_node *old,
			  uint8_t **datap, size_t *lenp)
{
	const struct message m = { node, old, update, 0 };

	if (!is_value(node) || (old && !is_value(old)))
		return -EINVAL;
	return encode(&m, datap, lenp);
}

size_t dv_node_size_at(const struct dv_node *node, uint32_t depth)
{
	const struct message m = { node, NULL, response, depth };
	struct enc e = { NULL, 0 };

	m.fn(&e, &m);
	return e.n;
}

size_t dv_node_encoded_size(const struct dv_node *node)
{
	return dv_node_size_at(node, DV_NODE_DEPTH_MAX);
}
