/* SPDX-License-Identifier: MIT */
#pragma once
/*
 * The inside of a node. What an application holds (struct dv_port) and what the
 * protocol moves (struct dv_end) are two things: an end lives on after its
 * port, as a proxy, or until all that was accepted has left.
 *
 *	msg.c		messages and what they are charged to
 *	node.c		a node: its ends by id, its links, counters
 *	node_run.c	what happens next: the work list, callbacks
 *	port.c		the public calls
 *	port_end.c	an end: from birth to death
 *	port_in.c	events that come in
 *	port_out.c	messages that leave, credits
 *	move.c		ports that arrive, and proxies
 *	move_peer.c	the other side of a move: new peers, introductions
 *	bridge.c	two pairs become one
 *	self.c		the link of a node to itself
 *
 * Events never nest: whatever has more to do is put on the work list, which is
 * worked off at the end of every call into the node (dv_node_pump). No callback
 * of a user runs there.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/def.h"
#include "base/list.h"
#include "mesh/node.h"

enum {
	/* Callbacks of one port before the next one has its turn. */
	DV_NODE_BURST = 16,
	/* Of ports that failed before they were accepted, to tell the peer. */
	DV_NODE_TOMBS = 64,
	/* Bridges in a row, as far as their TOTALS wait in one proxy. */
	DV_NODE_TOTALS = 64,
	/* Proxies that a question for a loop passes. */
	DV_NODE_HOPS = 1024,
	/* Small messages of this node that are used again: as many, of so many
	 * bytes. Memory that is still in the cache is worth more than half of
	 * what a message costs. */
	DV_NODE_POOL_MAX = 256,
	DV_NODE_POOL_LEN = 128,
	/* Of a message that need not be owned to be sent. */
	DV_NODE_STACK_MAX = 4096,
};

/* Totals of a stream. They begin high, so that messages which were not charged
 * to it (those of a bridge) may be in front of it without going below zero; and
 * they end before they could wrap. */
#define DV_TOTAL_START (UINT64_C(1) << 48)
#define DV_TOTAL_MAX   (UINT64_C(1) << 62)

/* What the peer and this end know of each other: docs/mesh.md. */
enum dv_end_state {
	DV_END_OPEN = 0,
	DV_END_ARRIVING,
	DV_END_JOINING,
	DV_END_SEAMED,
	DV_END_OVER, /* nothing more comes but what is queued */
	DV_END_N
};

/* What becomes of what comes in. */
enum dv_end_role {
	DV_ROLE_OWNED = 0, /* a port gets it */
	DV_ROLE_CLOSING,   /* it is dropped; the peer still gets the rest */
	DV_ROLE_PROXY,     /* it is forwarded */
	DV_ROLE_RELAY,     /* bridge: it waits until this is a proxy */
	DV_ROLE_SINK,      /* bridge: it goes out through the relay */
	DV_ROLE_N
};

struct dv_place {
	struct dv_mesh_link *link; /* NULL: none */
	struct dv_mesh_id id;
	struct dv_end *end;
	struct dv_list at;   /* link->ports */
	struct dv_list turn; /* link->waiting or, when busy, link->busy */
	bool busy;
};

struct dv_msgs {
	struct dv_msg *first, **last;
	uint64_t cost;
};

/* The last thing that a peer says: where what follows comes from. */
struct dv_word {
	uint8_t kind; /* 0: none; DV_EV_NEW_PEER, DV_EV_BRIDGE */
	bool asked;   /* CONNECT was said */
	bool given;   /* and answered with a link */
	struct dv_mesh_id id, node;
};

struct dv_end {
	struct dv_mesh_node *node; /* NULL: only messages are charged to it */
	struct dv_end *next;       /* of its bucket */
	struct dv_mesh_id id, pair;
	struct dv_port *port; /* OWNED */
	enum dv_end_state state;
	enum dv_end_role role;

	bool dead;        /* it is not found any more */
	bool moved;       /* PROXY: the new place exists */
	bool said;        /* our own word, and END has not come */
	bool introduced;  /* ... and the peer was introduced to the new place;
			   * ARRIVING: the other way */
	uint8_t counted;  /* ARRIVING: how often TOTALS came */
	bool passed;      /* PROXY: END came, and has to be forwarded */
	bool unconfirmed; /* ACCEPT was said, and has not been answered: it may
			   * be somebody else's port that the word named */
	bool credited;    /* credit was granted before the peer was known */
	bool unaccepted;  /* it was over before the peer knew it */
	bool no_memory;   /* an event for it was lost */

	struct dv_place in, out, to;
	struct dv_msgs inq;   /* received, in order */
	struct dv_msgs ahead; /* JOINING: what the peer sent directly */
	struct dv_msgs outq;  /* accepted, not sent */

	uint64_t sent, granted;           /* outgoing */
	struct dv_mesh_id stream;         /* JOINING: its name at the peer */
	uint64_t received, allowed, used; /* incoming */
	uint32_t n_charged;
	/* SEAMED: links that have not answered yet; owned, NULL: none. */
	struct dv_mesh_link **asked;
	uint32_t n_asked;

	struct dv_word word;
	/* SEAMED: the node that must accept; passed: the node of the peer;
	 * JOINING: the same, when it has closed already. */
	struct dv_mesh_id await;
	struct dv_end *bridge; /* RELAY and SINK: the other one */
	/* Its place at the peer is reached over the same link as the old one by
	 * that proxy: nothing in order before the proxy has said END. */
	struct dv_end *hold;
	struct dv_end *held; /* the other way: who waits for us */

	struct dv_port_end *over;       /* OVER: why */
	struct dv_port_end *ahead_over; /* JOINING: it ends after the ahead */
	struct dv_port_end *fin;        /* CLOSING: what to say; NULL: CLOSE */

	struct dv_list work;    /* in the node, or in its dead */
	struct dv_list special; /* in the node: seamed or connecting */
};

struct dv_port {
	struct dv_end *end;
	const struct dv_port_ops *ops; /* NULL: not started */
	void *user;
	struct dv_list ready; /* in the node */
	struct dv_msg *msg;   /* it is attached to it */
	bool paused, told, full;
	/* Its memory becomes the descriptor when it is moved, which therefore
	 * cannot fail. */
	uint8_t spare[24];
};
static_assert(sizeof(struct dv_port) >= sizeof(struct dv_port_desc),
	      "a port becomes its descriptor");

struct dv_self_event;
struct dv_tomb;

struct dv_mesh_node {
	const struct dv_node_env *env;
	const struct dv_node_limits *limits;
	void *owner;
	struct dv_mesh_id id;

	struct dv_mesh_link self; /* to itself */
	struct dv_mesh_link lost; /* instead of an introducer that is gone */
	struct dv_list links;

	struct dv_end **buckets;
	size_t n_buckets;     /* a power of two */
	size_t unfinished_at; /* dv_node_finished() found one there */
	unsigned int bucket_shift;
	uint64_t key[2]; /* odd: a peer cannot aim at a bucket */

	struct dv_list ready;      /* ports with something for a callback */
	struct dv_list work;       /* ends with something to do */
	struct dv_list dead;       /* ends to be freed */
	struct dv_list seamed;     /* ends that wait for ACCEPT only */
	struct dv_list connecting; /* ends whose word needs a link */
	/* The port that the link which comes up now is introduced for. */
	struct dv_mesh_id introducing;
	struct dv_list kept; /* messages that users keep */
	struct dv_msgs trash;
	struct dv_msg *pool; /* free ones of DV_NODE_POOL_LEN bytes */
	uint32_t n_pool;
	struct dv_self_event *self_first, **self_last;
	struct dv_list tombs;
	uint32_t n_tombs;

	struct dv_port *current;   /* the port whose callback runs */
	struct dv_msg *delivering; /* to be freed after it */
	bool in_callback, pumping, awake, dying;
	struct dv_node_counts counts;
};

/* ---- ids ---- */

static inline bool dv_id_eq(struct dv_mesh_id a, struct dv_mesh_id b)
{
	return a.hi == b.hi && a.lo == b.lo;
}
static inline bool dv_id_zero(struct dv_mesh_id a)
{
	return (a.hi | a.lo) == 0;
}
static inline bool dv_id_greater(struct dv_mesh_id a, struct dv_mesh_id b)
{
	return a.hi != b.hi ? a.hi > b.hi : a.lo > b.lo;
}
/* The other end of that pair, or stream. */
static inline struct dv_mesh_id dv_pair_other(struct dv_mesh_id pair)
{
	pair.lo ^= 1;
	return pair;
}
static inline bool dv_pair_same(struct dv_mesh_id a, struct dv_mesh_id b)
{
	return a.hi == b.hi && (a.lo | 1) == (b.lo | 1);
}

/* ---- queues ---- */

static inline uint64_t dv_msgs_cost(const struct dv_msg *msg)
{
	return msg->kind == DV_EV_MESSAGE ? dv_msg_cost(msg) : 0;
}
static inline void dv_msgs_init(struct dv_msgs *q)
{
	*q = (struct dv_msgs){ NULL, &q->first, 0 };
}
static inline void dv_msgs_push(struct dv_msgs *q, struct dv_msg *msg)
{
	msg->next = NULL;
	*q->last = msg;
	q->last = &msg->next;
	q->cost += dv_msgs_cost(msg);
}
static inline struct dv_msg *dv_msgs_pop(struct dv_msgs *q)
{
	struct dv_msg *msg = q->first;

	if (!msg)
		return NULL;
	q->first = msg->next;
	if (!q->first)
		q->last = &q->first;
	q->cost -= dv_msgs_cost(msg);
	msg->next = NULL;
	return msg;
}
/* All of @from behind what is in @to. */
static inline void dv_msgs_append(struct dv_msgs *to, struct dv_msgs *from)
{
	if (!from->first)
		return;
	*to->last = from->first;
	to->last = from->last;
	to->cost += from->cost;
	dv_msgs_init(from);
}

/* ---- messages (msg.c) ---- */

/* It counts no more against the port that received it. */
void dv_msg_settle_end(struct dv_msg *msg);
/* Nor against the link. */
void dv_msg_settle(struct dv_msg *msg);
/* As dv_msg_new(), from the pool of @node if it is small. */
struct dv_msg *dv_msg_new_in(struct dv_mesh_node *node, size_t len);
void dv_msg_pool_free(struct dv_mesh_node *node);
/* A message that may be queued: itself, or for a borrowed one a copy (it is
 * consumed). NULL: no memory, it is as before. */
struct dv_msg *dv_msg_own(struct dv_msg *msg);

/* ---- the node (node.c, node_run.c) ---- */

struct dv_end *dv_node_lookup(const struct dv_mesh_node *node,
			      struct dv_mesh_id id);
/* @e->id is set. -ENFILE, -ENOMEM. */
int dv_node_add_end(struct dv_mesh_node *node, struct dv_end *e);
void dv_node_remove_end(struct dv_mesh_node *node, struct dv_end *e);
void dv_node_work(struct dv_mesh_node *node);
/* Ends whose word needs a link may look for one again. */
void dv_node_poke_connecting(struct dv_mesh_node *node);
/* Work off what there is to do, unless that is being done. */
static inline void dv_node_pump(struct dv_mesh_node *node)
{
	if (node->pumping ||
	    (!node->self_first && !node->trash.first &&
	     dv_list_empty(&node->work) && dv_list_empty(&node->dead)))
		return;
	dv_node_work(node);
}
/* @port may have something for a callback. */
void dv_node_schedule(struct dv_port *port);
/* A small message without attachments goes straight from @data of @msg to the
 * callback of @e. */
void dv_node_deliver_now(struct dv_end *e, struct dv_msg *msg);
bool dv_port_can_deliver(const struct dv_port *port);
/* Free the node's memory of an end that is dead, unless it is charged. */
void dv_end_reap(struct dv_end *e);

/* Send @ev (consumed) over @link; a link that is down drops it. */
int dv_link_put(struct dv_mesh_link *link, struct dv_mesh_event *ev);

/* ---- ends (port_end.c) ---- */

struct dv_end *dv_end_new(struct dv_mesh_node *node, struct dv_mesh_id id,
			  struct dv_mesh_id pair);
/* A port for it. NULL: no memory. */
struct dv_port *dv_end_port(struct dv_end *e);
void dv_place_set(struct dv_place *p, struct dv_mesh_link *link,
		  struct dv_mesh_id id);
void dv_place_clear(struct dv_place *p);
/* It is not found any more, all it has is dropped; nobody is told. */
void dv_end_free(struct dv_end *e);
void dv_end_set_role(struct dv_end *e, enum dv_end_role role);
/* There is something to do for it. */
void dv_end_poke(struct dv_end *e);
void dv_end_drop(struct dv_end *e, struct dv_msgs *q);
/* In no list of the node for special waits. */
void dv_end_unspecial(struct dv_end *e);

/* Why an end ended: a copy (never NULL: without memory it says just that). */
struct dv_port_end *dv_over_new(const struct dv_port_end *how);
void dv_over_free(struct dv_port_end *over);
struct dv_port_end *dv_over_event(const struct dv_mesh_link *link,
				  const struct dv_mesh_event *ev);
struct dv_port_end *dv_over_here(const struct dv_mesh_node *node, int sys,
				 const char *what);
struct dv_port_end dv_how_here(const struct dv_mesh_node *node, int sys,
			       const char *what);
struct dv_port_end dv_how_link(const struct dv_mesh_link *link,
			       const struct dv_err *why);
/* Nothing more comes after what is queued; @over (consumed) says why. */
void dv_end_over(struct dv_end *e, struct dv_port_end *over);
/* The same, and the peer is told. */
void dv_end_fail(struct dv_end *e, struct dv_port_end *over);
/* The place that a proxy forwards to is gone. @over is consumed. */
void dv_end_to_lost(struct dv_end *e, struct dv_port_end *over);
/* A message is there, in its order. */
void dv_end_deliver(struct dv_end *e, struct dv_msg *msg);
/* Say how it ended to @p; NULL: it was closed, for no reason. */
void dv_end_tell(struct dv_end *e, const struct dv_place *p,
		 const struct dv_port_end *over);
/* Why a port that is gone had failed. NULL: not known. */
const struct dv_port_end *dv_tomb_find(const struct dv_mesh_node *node,
				       struct dv_mesh_id id);
void dv_tombs_free(struct dv_mesh_node *node);

/* ---- sending (port_out.c) ---- */

/* Do all that can be done for it. */
void dv_end_flush(struct dv_end *e);
/* Send at once what need not wait; false: it has to be queued. */
bool dv_end_send_now(struct dv_end *e, struct dv_msg *msg);
/* @cost was used up. */
void dv_end_used(struct dv_end *e, uint64_t cost);
/* Grant what there is to grant. */
void dv_end_credit(struct dv_end *e);
void dv_end_say_credit(struct dv_end *e);

/* ---- receiving (port_in.c) ---- */

typedef int dv_event_fn(struct dv_mesh_link *link, struct dv_end *e,
			struct dv_mesh_event *ev, struct dv_err *err);
/* -EPROTO with @err. */
int dv_event_bad(struct dv_err *err, const char *what);
/* Where an event in order of @link comes from. */
enum dv_from {
	DV_FROM_NONE = 0,
	DV_FROM_IN,    /* it is next */
	DV_FROM_AHEAD, /* JOINING: from the peer, after what the proxy has */
};
enum dv_from dv_event_from(const struct dv_mesh_link *link,
			   const struct dv_end *e);
int dv_event_in(struct dv_mesh_link *link, struct dv_mesh_event *ev,
		struct dv_err *err);
/* A message came for @e (NULL: that is gone); @msg is consumed. */
int dv_event_message(struct dv_mesh_link *link, struct dv_end *e,
		     struct dv_msg *msg, struct dv_err *err);

/* ---- moving (move.c, move_peer.c) ---- */

/* The ports of @msg become proxies: it leaves over @link. */
void dv_move_pack(struct dv_mesh_link *link, struct dv_msg *msg);
/* And the other way. -EPROTO with @err. */
int dv_move_unpack(struct dv_mesh_link *link, struct dv_msg *msg,
		   struct dv_err *err);
/* What is attached will not be taken. */
void dv_move_refuse(struct dv_mesh_link *link, const struct dv_msg *msg);
dv_event_fn dv_move_moved, dv_move_refused, dv_move_end, dv_move_accept,
	dv_move_totals, dv_move_loop, dv_move_accepted;
/* A FAIL that says that no ACCEPT will come. */
bool dv_move_answered(const struct dv_mesh_link *link, struct dv_end *e,
		      const struct dv_mesh_event *ev);
/* SEAMED: no ACCEPT will come over @link. True: nor over another one. */
bool dv_move_unasked(struct dv_end *e, const struct dv_mesh_link *link);
/* The peer's word is acted upon if it can be. */
void dv_move_act(struct dv_end *e);
dv_event_fn dv_move_word, dv_move_connect, dv_move_introduce;

/* ---- bridges (bridge.c) ---- */

void dv_bridge(struct dv_end *a, struct dv_end *b);
/* A message for a sink. */
void dv_bridge_sink(struct dv_end *sink, struct dv_msg *msg);
void dv_bridge_say(struct dv_end *sink);
/* END came for a sink. */
void dv_bridge_end(struct dv_end *sink);
/* One of the two is over. */
void dv_bridge_over(struct dv_end *e);
/* Nothing comes for the relay any more, so the sink can end normally. False:
 * it is not so. */
bool dv_bridge_settle(struct dv_end *sink);

/* ---- the link to itself (self.c) ---- */

void dv_self_init(struct dv_mesh_node *node);
/* One event; false: there was none. */
bool dv_self_next(struct dv_mesh_node *node);
void dv_self_free(struct dv_mesh_node *node);
