/* SPDX-License-Identifier: MIT */
#pragma once
/*
 * For tests only: the queues of try.h, which stand for links. An event on its
 * way is a copy: no pointer of the sender gets to the receiver.
 */
#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/def.h"
#include "base/fd.h"
#include "mesh/node.h"

enum { TRY_NODES = 16, TRY_FD = 1 << 20, TRY_PID = 100, TRY_ACTS = 4096 };

struct try;
struct try_link;

struct try_node {
	struct try *t;
	struct dv_mesh_node *node; /* NULL: dead */
	int index;
	struct dv_mesh_id id; /* also of one that is dead */
	bool wants; /* wake() was called, or the last run left something */
	bool stuck; /* pair() fails from now on */
	uint64_t n_ids;
	uint32_t n_links; /* ever */
	struct dv_node_limits limits;
};

/* A port in a message, on its way. */
struct try_att {
	uint8_t kind;
	int fd;
	struct dv_port_desc desc;
};

/* An event on its way, or what the link says to itself. */
struct try_ev {
	struct try_ev *next;
	struct dv_mesh_event ev; /* msg and err are NULL here */
	bool is_credit;          /* of the link: @cost is used up */
	bool has_msg;
	uint64_t cost;
	struct dv_err *err; /* owned */
	struct dv_msg *src; /* a long one: it is the sender's until it left */
	uint8_t *data;
	size_t len;
	uint16_t n_atts;
	struct try_att *atts;
};

enum try_state {
	TRY_UP = 0,
	TRY_CUTTING, /* cut() was called: down comes */
	TRY_DOWN,
};

/* One end; its queue goes to the other end. */
struct try_link {
	struct dv_mesh_link link; /* first */
	struct try *t;
	struct try_link *other; /* NULL: not adopted yet, or never will be */
	struct try_link *next;  /* all, in the order of their making */
	int node, peer;         /* indices */
	uint32_t nth;           /* of this node's, from 0 */
	enum try_state state;
	bool eof;     /* the other end is gone: down, after its queue */
	bool stopped; /* try_stop(): no room */
	uint64_t out; /* cost of messages sent and not used up */
	struct try_ev *head, **tailp; /* on the way to the other end */
	struct try_ev *longs;         /* being sent in fragments */
	struct dv_err why;            /* of cut() */
};

/* One end of a pair that an introduction made; the other one is n ^ 1. */
struct try_end {
	struct try_link *link; /* adopted */
	bool closed;
};

enum try_kind {
	TRY_RUN = 1, /* dv_node_run() of node */
	TRY_DELIVER, /* the head of link's queue goes to its other end */
	TRY_EOF,     /* the queue is empty and link's other end is gone */
	TRY_LONG,    /* the nth long message of link has left */
	TRY_CUT,     /* link goes down after cut() */
};

struct try_act {
	enum try_kind kind;
	int node; /* where it happens */
	struct try_link *link;
	unsigned int nth;
};

struct
try {
	struct dv_node_env env;
	/* To be set before try_new(). */
	struct dv_node_limits limits;
	uint32_t max_ports[TRY_NODES], max_links[TRY_NODES]; /* if not 0 */
	unsigned int budget;  /* callbacks of one run; 1 */
	uint64_t peer_window; /* room() says no beyond; 0: always room */
	uint64_t long_min;    /* send() says DV_MORE from that length; 0: no */
	bool borrow;          /* messages lie in a buffer of the receiver */
	bool ids_down;        /* later ids are smaller */
	bool nodes_down;      /* ids of later nodes are smaller */
	bool orphans;         /* no link is to the one who brought us in */

	int n_nodes;
	struct try_node nodes[TRY_NODES];
	struct try_link *links, **links_tailp;
	struct try_end *ends;
	int n_ends, cap_ends;
	uint32_t n_cuts; /* dv_node_event() or the node itself cut a link */
	char fault[512]; /* the first thing that must not happen */
};

/* clang-format off */
#define TRY_INIT { .limits = { 1 << 20, 1 << 18, 1 << 16, 1 << 10 }, \
	.budget = 1 }
	/* clang-format on */

#define try_fault(t, ...) \
	((t)->fault[0]    \
		 ? 0      \
		 : snprintf((t)->fault, sizeof((t)->fault), __VA_ARGS__))

/* ---- events on their way ---- */

static inline struct dv_err *try_err_dup(const struct dv_err *err)
{
	struct dv_err *copy;

	if (!err)
		return NULL;
	copy = malloc(sizeof(*copy));
	dv_assert(copy);
	*copy = *err;
	return copy;
}

static inline void try_close_end(struct try *t, int fd);

static inline void try_ev_free(struct try *t, struct try_ev *e)
{
	for (uint16_t i = 0; i < e->n_atts; i++) {
		if (e->atts[i].kind == DV_ATT_FD)
			dv_close(e->atts[i].fd);
		free(e->atts[i].desc.err);
	}
	if (e->ev.kind == DV_EV_INTRODUCE && !e->is_credit && e->ev.fd >= 0)
		try_close_end(t, e->ev.fd);
	dv_msg_free(e->src);
	free(e->atts);
	free(e->data);
	free(e->err);
	free(e);
}

static inline void try_att_pack(struct try *t, struct try_att *to,
				struct dv_att *att)
{
	to->kind = att->kind;
	to->fd = -1;
	if (att->kind == DV_ATT_FD) {
		to->fd = att->fd;
		att->fd = -1;
		att->kind = DV_ATT_NONE;
	} else if (att->kind == DV_ATT_DESC) {
		to->desc = *att->desc;
		to->desc.err = try_err_dup(att->desc->err);
	} else if (att->kind == DV_ATT_PORT) {
		try_fault(t, "a port was handed to a link as it is");
	}
}

static inline void try_msg_pack(struct try *t, struct try_ev *e,
				struct dv_msg *msg)
{
	e->has_msg = true;
	e->len = msg->len;
	e->cost = dv_msg_cost(msg);
	e->data = malloc(msg->len + 1);
	dv_assert(e->data);
	memcpy(e->data, msg->data, msg->len);
	e->n_atts = msg->n_atts;
	if (!e->n_atts)
		return;
	e->atts = calloc(e->n_atts, sizeof(*e->atts));
	dv_assert(e->atts);
	for (uint16_t i = 0; i < e->n_atts; i++)
		try_att_pack(t, &e->atts[i], &msg->atts[i]);
}

/* @ev is consumed, but for its message. */
static inline struct try_ev *try_ev_new(struct try *t,
					const struct dv_mesh_event *ev)
{
	struct try_ev *e = calloc(1, sizeof(*e));

	dv_assert(e);
	e->ev = *ev;
	e->ev.msg = NULL;
	e->ev.err = NULL;
	e->err = try_err_dup(ev->err);
	if (ev->kind == DV_EV_MESSAGE)
		try_msg_pack(t, e, ev->msg);
	return e;
}

static inline void try_att_unpack(struct dv_msg *msg, struct try_att *from)
{
	struct dv_att *att = dv_msg_att_room(msg);

	dv_assert(att);
	att->kind = from->kind;
	att->fd = from->fd;
	if (from->kind == DV_ATT_DESC) {
		att->desc = malloc(sizeof(*att->desc));
		dv_assert(att->desc);
		*att->desc = from->desc;
		from->desc.err = NULL;
	}
	from->kind = DV_ATT_NONE;
}

/* What a link does with a small message: @msg is on its stack, and the bytes
 * are where they were received. */
static inline void try_msg_borrow(struct try_ev *e, struct dv_msg *msg)
{
	*msg = (struct dv_msg){ .data = e->data,
				.len = e->len,
				.borrowed = true };
}

static inline struct dv_msg *try_msg_unpack(struct try_ev *e)
{
	struct dv_msg *msg = dv_msg_new(e->len);

	dv_assert(msg);
	memcpy(dv_msg_data(msg), e->data, e->len);
	for (uint16_t i = 0; i < e->n_atts; i++)
		try_att_unpack(msg, &e->atts[i]);
	return msg;
}

/* ---- links ---- */

static inline struct try_link *try_of(struct dv_mesh_link *link)
{
	return dv_container_of(link, struct try_link, link);
}

static inline void try_push(struct try_link *l, struct try_ev *e)
{
	e->next = NULL;
	*l->tailp = e;
	l->tailp = &e->next;
}

static inline struct try_ev *try_pop(struct try_link *l)
{
	struct try_ev *e = l->head;

	l->head = e->next;
	if (!l->head)
		l->tailp = &l->head;
	return e;
}

/* What has not arrived never will. */
static inline void try_drop_queue(struct try_link *l)
{
	while (l->head)
		try_ev_free(l->t, try_pop(l));
}

static inline void try_drop_longs(struct try_link *l)
{
	for (struct try_ev *e; (e = l->longs);) {
		l->longs = e->next;
		try_ev_free(l->t, e);
	}
}

/* Does what this end sends still go anywhere? */
static inline bool try_link_flows(const struct try_link *l)
{
	return l->state == TRY_UP && !l->eof;
}

static inline bool try_room(const struct dv_mesh_link *link)
{
	const struct try_link *l = (const void *)link;

	if (l->stopped)
		return false;
	return !l->t->peer_window || l->out < l->t->peer_window;
}

static inline int try_send(struct dv_mesh_link *link, struct dv_mesh_event *ev)
{
	struct try_link *l = try_of(link);
	struct try *t = l->t;
	struct try_ev *e, **at;

	if (ev->kind == DV_EV_MESSAGE && !try_room(link))
		try_fault(t, "a message to link %d-%d, which has no room",
			  l->node, l->peer);
	if (l->state == TRY_DOWN)
		try_fault(t, "sent to link %d-%d, which is down", l->node,
			  l->peer);
	e = try_ev_new(t, ev);
	l->out += e->has_msg ? e->cost : 0;
	if (!try_link_flows(l)) {
		dv_msg_free(ev->msg);
		try_ev_free(t, e);
		return 0;
	}
	if (!e->has_msg || !t->long_min || e->len < t->long_min ||
	    ev->msg->borrowed) {
		try_push(l, e);
		dv_msg_free(ev->msg);
		return 0;
	}
	e->src = ev->msg;
	for (at = &l->longs; *at; at = &(*at)->next)
		;
	*at = e;
	return DV_MORE;
}

static inline void try_consumed(struct dv_mesh_link *link, uint64_t cost)
{
	struct try_link *l = try_of(link);
	struct try_ev *e;

	if (!l->t->peer_window || !try_link_flows(l) || !l->other)
		return;
	e = calloc(1, sizeof(*e));
	dv_assert(e);
	e->is_credit = true;
	e->cost = cost;
	try_push(l, e);
}

static inline void try_forget(struct dv_mesh_link *link, struct dv_mesh_id id)
{
	(void)link; /* What is long arrives at once, at its end. */
	(void)id;
}

static const struct dv_link_ops try_link_ops = {
	.send = try_send,
	.room = try_room,
	.consumed = try_consumed,
	.forget = try_forget,
};

static inline struct try_link *try_link_new(struct try *t, int node, int peer)
{
	struct try_link *l = calloc(1, sizeof(*l));

	dv_assert(l);
	l->t = t;
	l->node = node;
	l->peer = peer;
	l->nth = t->nodes[node].n_links++;
	l->tailp = &l->head;
	l->link.ops = &try_link_ops;
	l->link.pid = TRY_PID + peer;
	dv_list_init(&l->link.at);
	dv_list_init(&l->link.ports);
	dv_list_init(&l->link.waiting);
	dv_list_init(&l->link.busy);
	*t->links_tailp = l;
	t->links_tailp = &l->next;
	return l;
}

/* This end is gone: what the other one sent is lost, what we sent is not. */
static inline void try_link_gone(struct try_link *l)
{
	l->state = TRY_DOWN;
	try_drop_longs(l);
	if (!l->other)
		return; /* Who adopts the other end still reads it. */
	l->other->eof = true;
	try_drop_queue(l->other);
	try_drop_longs(l->other);
}

static inline void try_link_down(struct try_link *l, const struct dv_err *why)
{
	if (l->state == TRY_DOWN)
		return;
	try_link_gone(l);
	if (l->link.node)
		dv_node_link_down(&l->link, why);
	if (l->link.node)
		try_fault(l->t, "a link that is down still has its node");
}
