/* SPDX-License-Identifier: MIT */
/*
 * The link of a node to itself: its ports talk to each other by the same rules
 * as to others. It is never full and never goes down.
 */
#include <errno.h>
#include <stdlib.h>

#include "mesh/node_priv.h"

struct dv_self_event {
	struct dv_self_event *next;
	struct dv_mesh_event ev;
	struct dv_err err[]; /* one, or none */
};

static void fail(struct dv_mesh_node *node, struct dv_mesh_id id)
{
	struct dv_end *e = dv_node_lookup(node, id);

	if (!e)
		return;
	e->no_memory = true;
	dv_end_poke(e);
}

/* The event is lost: its port cannot go on. Nor can the one that said ACCEPT,
 * of which the other has not heard, so that nobody would tell it. */
static void lose(struct dv_mesh_node *node, struct dv_mesh_event *ev)
{
	if (ev->msg) {
		dv_msgs_push(&node->trash, ev->msg);
		ev->msg = NULL;
	}
	fail(node, ev->dst);
	if (ev->kind == DV_EV_ACCEPT)
		fail(node, ev->id);
}

static int self_send(struct dv_mesh_link *link, struct dv_mesh_event *ev)
{
	struct dv_mesh_node *node = link->node;
	struct dv_self_event *se;

	se = malloc(sizeof(*se) + (ev->err ? sizeof(se->err[0]) : 0));
	if (!se) {
		lose(node, ev);
		return 0;
	}
	se->next = NULL;
	se->ev = *ev;
	if (ev->err) {
		se->err[0] = *ev->err;
		se->ev.err = se->err;
	}
	*node->self_last = se;
	node->self_last = &se->next;
	return 0;
}

static bool self_room(const struct dv_mesh_link *link)
{
	(void)link;
	return true;
}

static void self_consumed(struct dv_mesh_link *link, uint64_t cost)
{
	(void)link;
	(void)cost;
}

static void self_forget(struct dv_mesh_link *link, struct dv_mesh_id id)
{
	(void)link;
	(void)id;
}

void dv_self_init(struct dv_mesh_node *node)
{
	static const struct dv_link_ops ops = {
		.send = self_send,
		.room = self_room,
		.consumed = self_consumed,
		.forget = self_forget,
	};

	node->self.ops = &ops;
	node->self.node = node;
	node->self.peer = node->id;
	node->self_last = &node->self_first;
}

static struct dv_self_event *pop(struct dv_mesh_node *node)
{
	struct dv_self_event *se = node->self_first;

	if (!se)
		return NULL;
	node->self_first = se->next;
	if (!node->self_first)
		node->self_last = &node->self_first;
	return se;
}

bool dv_self_next(struct dv_mesh_node *node)
{
	dv_autofree struct dv_self_event *se = pop(node);

	if (!se)
		return false;
	dv_event_in(&node->self, &se->ev, NULL);
	return true;
}

void dv_self_free(struct dv_mesh_node *node)
{
	struct dv_self_event *se;

	while ((se = pop(node))) {
		dv_msg_free(se->ev.msg);
		free(se);
	}
}
