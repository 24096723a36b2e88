/* SPDX-License-Identifier: MIT */
#include "mesh/msg.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/fd.h"
#include "mesh/msg_cache.h"
#include "mesh/node_priv.h"

struct dv_msg *dv_msg_new(size_t len)
{
	struct dv_msg *msg;
	size_t cap = 0;

	if (len > DV_MSG_MAX)
		return NULL;
	if (len >= DV_MSG_CACHE_MIN)
		msg = dv_msg_cache_get(sizeof(*msg) + len, &cap);
	else
		msg = malloc(sizeof(*msg) + len);
	if (!msg)
		return NULL;
	*msg = (struct dv_msg){ .data = (uint8_t *)(msg + 1),
				.len = len,
				.cap = cap,
				.heap = true };
	return msg;
}

static void give_back(struct dv_msg *msg)
{
	if (msg->cap > 0)
		dv_msg_cache_put(msg, msg->cap);
	else
		free(msg);
}

/* ---- the pool ---- */

/* With a sanitizer every message is new, so that it sees who uses an old one.
 */
#ifdef __SANITIZE_ADDRESS__
#define POOL_MAX 0u
#else
#define POOL_MAX DV_NODE_POOL_MAX
#endif

struct dv_msg *dv_msg_new_in(struct dv_mesh_node *node, size_t len)
{
	struct dv_msg *msg = node->pool;

	if (len > DV_NODE_POOL_LEN)
		return dv_msg_new(len);
	if (msg) {
		node->pool = msg->next;
		node->n_pool--;
		msg->next = NULL;
	} else {
		msg = dv_msg_new(DV_NODE_POOL_LEN);
		if (!msg)
			return NULL;
		msg->pooled = true;
	}
	msg->len = len;
	return msg;
}

/* @msg has nothing any more, and is as it was when it was new. */
static void put_back(struct dv_mesh_node *node, struct dv_msg *msg)
{
	if (!msg->pooled || !node || node->dying ||
	    node->n_pool + 1 > POOL_MAX) {
		give_back(msg);
		return;
	}
	msg->kept = false;
	msg->next = node->pool;
	node->pool = msg;
	node->n_pool++;
}

void dv_msg_pool_free(struct dv_mesh_node *node)
{
	struct dv_msg *msg;

	while ((msg = node->pool)) {
		node->pool = msg->next;
		free(msg);
	}
}

/* ---- what it is charged to ---- */

void dv_msg_settle_end(struct dv_msg *msg)
{
	struct dv_end *e = msg->end;

	if (!e)
		return;
	msg->end = NULL;
	dv_end_used(e, msg->cost);
}

void dv_msg_settle(struct dv_msg *msg)
{
	struct dv_mesh_link *link = msg->link;

	dv_msg_settle_end(msg);
	msg->link = NULL;
	if (link) {
		link->held -= msg->cost;
		link->ops->consumed(link, msg->cost);
	}
	msg->cost = 0;
}

void dv_msg_move_atts(struct dv_msg *to, struct dv_msg *from)
{
	to->atts = dv_take_ptr(&from->atts);
	to->n_atts = from->n_atts;
	to->cap_atts = from->cap_atts;
	from->n_atts = from->cap_atts = 0;
	for (uint16_t i = 0; i < to->n_atts; i++)
		if (to->atts[i].kind == DV_ATT_PORT)
			to->atts[i].port->msg = to;
}

struct dv_msg *dv_msg_own(struct dv_msg *msg)
{
	struct dv_msg *own;

	if (!msg->borrowed)
		return msg;
	own = dv_msg_new(msg->len);
	if (!own)
		return NULL;
	if (msg->len > 0)
		memcpy(own->data, msg->data, msg->len);
	own->kind = msg->kind;
	dv_msg_move_atts(own, msg);
	own->cost = msg->cost;
	own->end = dv_take_ptr(&msg->end);
	own->link = dv_take_ptr(&msg->link);
	dv_msg_free(msg);
	return own;
}

/* ---- its end ---- */

static void drop_att(struct dv_att *att)
{
	struct dv_port *port;
	uint8_t kind = att->kind;

	att->kind = DV_ATT_NONE;
	if (kind == DV_ATT_FD) {
		dv_close(dv_take_fd(&att->fd));
	} else if (kind == DV_ATT_PORT) {
		port = dv_take_ptr(&att->port);
		port->msg = NULL;
		dv_port_close(port, NULL);
	} else if (kind == DV_ATT_DESC) {
		free(att->desc->err);
		free(dv_take_ptr(&att->desc));
	}
}

struct dv_msg *dv_msg_free(struct dv_msg *msg)
{
	struct dv_mesh_node *node;

	if (!msg)
		return NULL;
	node = msg->end ? msg->end->node : NULL;
	if (msg->kept)
		dv_list_del(&msg->in_node);
	for (uint16_t i = 0; i < msg->n_atts; i++)
		drop_att(&msg->atts[i]);
	if (msg->atts) {
		free(dv_take_ptr(&msg->atts));
		msg->n_atts = msg->cap_atts = 0;
	}
	dv_msg_settle(msg);
	if (msg->heap)
		put_back(node, msg);
	if (node)
		dv_node_pump(node);
	return NULL;
}

struct dv_msg *dv_msg_keep(struct dv_msg *msg)
{
	struct dv_mesh_node *node = msg->end ? msg->end->node : NULL;
	struct dv_msg *own;

	if (msg->kept)
		return msg;
	own = dv_msg_own(msg); /* a borrowed one is used up then */
	if (!own)
		return NULL;
	if (node) /* Nobody else is inside a callback. */
		node->delivering = NULL;
	own->kept = true;
	dv_list_init(&own->in_node);
	if (node)
		dv_list_add(&node->kept, &own->in_node);
	return own;
}

/* ---- what is in it ---- */

void *dv_msg_data(const struct dv_msg *msg)
{
	return msg->data;
}

size_t dv_msg_len(const struct dv_msg *msg)
{
	return msg->len;
}

void dv_msg_trim(struct dv_msg *msg, size_t len)
{
	msg->len = dv_min(msg->len, len);
}

struct dv_att *dv_msg_att_room(struct dv_msg *msg)
{
	struct dv_att *atts;
	uint16_t cap;

	if (msg->n_atts >= DV_MSG_ATT_MAX)
		return NULL;
	if (msg->n_atts == msg->cap_atts) {
		cap = (uint16_t)(msg->cap_atts ? 2 * msg->cap_atts : 4);
		atts = reallocarray(msg->atts, cap, sizeof(*atts));
		if (!atts)
			return NULL;
		msg->atts = atts;
		msg->cap_atts = cap;
	}
	return &msg->atts[msg->n_atts++];
}

int dv_msg_add_fd(struct dv_msg *msg, int fd)
{
	struct dv_att *att;

	if (fd < 0)
		return -EBADF;
	att = dv_msg_att_room(msg);
	if (!att) {
		dv_close(fd);
		return msg->n_atts >= DV_MSG_ATT_MAX ? -E2BIG : -ENOMEM;
	}
	*att = (struct dv_att){ .kind = DV_ATT_FD, .fd = fd };
	return msg->n_atts - 1;
}

int dv_msg_add_port(struct dv_msg *msg, struct dv_port *port)
{
	struct dv_att *att;

	if (port->msg) /* It is that message's already. */
		return -EINVAL;
	att = dv_msg_att_room(msg);
	if (!att) {
		dv_port_close(port, NULL);
		return msg->n_atts >= DV_MSG_ATT_MAX ? -E2BIG : -ENOMEM;
	}
	*att = (struct dv_att){ .kind = DV_ATT_PORT, .fd = -1, .port = port };
	dv_list_del(&port->ready);
	port->ops = NULL;
	port->user = NULL;
	/* Who gets it starts anew: an end is told again. */
	port->paused = port->full = port->told = false;
	port->msg = msg;
	if (port->end->node->current == port)
		port->end->node->current = NULL;
	return msg->n_atts - 1;
}

size_t dv_msg_n_atts(const struct dv_msg *msg)
{
	return msg->n_atts;
}

enum dv_att_kind dv_msg_att(const struct dv_msg *msg, size_t n)
{
	if (n >= msg->n_atts || msg->atts[n].kind >= DV_ATT_N)
		return DV_ATT_NONE;
	return (enum dv_att_kind)msg->atts[n].kind;
}

int dv_msg_take_fd(struct dv_msg *msg, size_t n)
{
	struct dv_att *att = n < msg->n_atts ? &msg->atts[n] : NULL;

	if (!att || att->kind == DV_ATT_NONE)
		return -ENOENT;
	if (att->kind == DV_ATT_LOST)
		return -EMFILE;
	if (att->kind != DV_ATT_FD)
		return -EBADMSG;
	att->kind = DV_ATT_NONE;
	return dv_take_fd(&att->fd);
}

struct dv_port *dv_msg_take_port(struct dv_msg *msg, size_t n)
{
	struct dv_att *att = n < msg->n_atts ? &msg->atts[n] : NULL;

	if (!att || att->kind != DV_ATT_PORT)
		return NULL;
	att->kind = DV_ATT_NONE;
	att->port->msg = NULL;
	return dv_take_ptr(&att->port);
}
