/* SPDX-License-Identifier: MIT */
#pragma once
/*
 * The inside of a message. See davit/mesh.h for its life.
 */
#include <stdint.h>

#include "base/list.h"
#include "davit/mesh.h"
#include "mesh/event.h"

struct dv_end;
struct dv_end;
struct dv_mesh_link;

/* One attachment. DESC exists only between a node and a link. */
enum { DV_ATT_DESC = DV_ATT_N };
struct dv_att {
	uint8_t kind; /* enum dv_att_kind or DV_ATT_DESC */
	int fd;
	union {
		struct dv_port *port;
		struct dv_port_desc *desc; /* owned */
	};
};

struct dv_msg {
	struct dv_msg *next; /* in the queue of whoever owns it */
	uint8_t *data;       /* follows the struct, or is borrowed */
	size_t len;
	struct dv_att *atts; /* owned; NULL = none */
	uint16_t n_atts, cap_atts;
	uint8_t kind;  /* enum dv_mesh_event_kind while in a queue */
	bool borrowed; /* data lies in a receive buffer: for the call only */
	bool kept;     /* dv_msg_keep() took it */
	bool heap;     /* dv_msg_new() made it; else it is on a stack */
	bool pooled;   /* there is room for DV_NODE_POOL_LEN bytes */
	/* Who is told when it is freed: the windows it counts against. */
	uint64_t cost;
	size_t cap; /* of its block, if that is from msg_cache.h; else 0 */
	struct dv_end *end;        /* NULL: none */
	struct dv_mesh_link *link; /* NULL: it came from this node */
	struct dv_list in_node;    /* kept: the node frees it at its end */
};

/* What a message costs its window. */
static inline uint64_t dv_msg_cost(const struct dv_msg *msg)
{
	return msg->len + DV_MSG_COST + (uint64_t)msg->n_atts * DV_ATT_COST;
}

/* Room for one more attachment, NULL on -ENOMEM. At most DV_MSG_ATT_MAX. */
struct dv_att *dv_msg_att_room(struct dv_msg *msg);

/* All attachments of @from, with their numbers, to @to, which has none. */
void dv_msg_move_atts(struct dv_msg *to, struct dv_msg *from);
