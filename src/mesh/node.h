/* SPDX-License-Identifier: MIT */
#pragma once
/*
 * A node: the ports of one process in one mesh, and what happens to them. It
 * decides and never does I/O: events come in from links and go out to links,
 * and what a link is the node does not know. In a process links are sockets
 * (link.h); the explorer of the tests drives the same code over queues.
 *
 * One thread. No call from a link into the node or from the node into a link
 * runs a user's callback, except dv_node_event() and dv_node_run().
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/def.h"
#include "base/list.h"
#include "mesh/event.h"
#include "mesh/msg.h"

struct dv_mesh_node;
struct dv_mesh_link;

/* ---- a link, as the node sees it ----------------------------------- */

struct dv_link_ops {
	/*
	 * Queue one event (consumed: its msg and fd). Never calls back and
	 * never fails: a link that cannot go on is failed later, from the loop.
	 * Returns 0, or DV_MORE for a long message: until dv_node_sent() the
	 * node sends nothing more to that port that has to keep its order.
	 *
	 * A message may be borrowed (at most 4 KiB, nothing attached): then its
	 * data is copied before this returns, and it is not DV_MORE.
	 */
	int (*send)(struct dv_mesh_link *link, struct dv_mesh_event *ev);
	/* May a message be sent now? When not: dv_node_ready() later. */
	bool (*room)(const struct dv_mesh_link *link);
	/* @cost bytes of messages that came over it were used up. */
	void (*consumed)(struct dv_mesh_link *link, uint64_t cost);
	/* The port @id of ours is gone: drop what has arrived in part. */
	void (*forget)(struct dv_mesh_link *link, struct dv_mesh_id id);
};

/* Embedded first in the real one. The node owns these fields. */
struct dv_mesh_link {
	const struct dv_link_ops *ops;
	struct dv_mesh_node *node; /* NULL once it is down */
	struct dv_mesh_id peer;    /* zero until the other side said hello */
	int32_t pid;               /* of its process; 0 = not known */
	struct dv_mesh_link *via;  /* who introduced it; NULL: ours (invited,
				    * joined, accepted), trusted for its id */
	bool parent; /* it brought us into the mesh: set by who makes the link.
		      * Whom the parent introduces is trusted like itself. */
	bool stranger; /* it came by itself (a listener), or by an invitation
			* that says nothing about who may use it: its id is
			* only what it says, and no port of others goes there.
			* Set by who makes the link. */
	struct dv_list at;            /* in the node */
	struct dv_list ports;         /* that receive or send over it */
	struct dv_list waiting;       /* that have messages and found no room */
	struct dv_list busy;          /* that send a long message (DV_MORE) */
	struct dv_mesh_id introducer; /* of via, also when that is gone */
	/* The port that it was introduced for: until something was heard, the
	 * other side may have refused it, so no other port goes there. */
	struct dv_mesh_id intended;
	bool heard;    /* an event came over it: it is up there */
	uint64_t held; /* cost of messages of it that live on */
};

/* ---- what a node needs from outside -------------------------------- */

struct dv_node_env {
	/* A connected pair, for an introduction: two descriptors (in tests:
	 * numbers). 0 or -errno. */
	int (*pair)(struct dv_mesh_node *node, int fds[2]);
	void (*close_fd)(struct dv_mesh_node *node, int fd);
	/* Make a link to @peer of @fd (consumed), and dv_node_link_up() it
	 * before returning. Events may be sent on it at once. -errno. */
	int (*adopt)(struct dv_mesh_node *node, int fd, struct dv_mesh_id peer,
		     struct dv_mesh_link *via);
	/* Cut a link: dv_node_link_down() follows, later. */
	void (*cut)(struct dv_mesh_link *link, const struct dv_err *why);
	/* dv_node_run() is wanted, soon. */
	void (*wake)(struct dv_mesh_node *node);
	/* 128 new bits; never zero. The first is the node's. */
	struct dv_mesh_id (*id)(struct dv_mesh_node *node);
};

struct dv_node_limits {
	uint32_t max_message, port_window, max_ports, max_links;
};

/* ---- its life ------------------------------------------------------ */

/* @env, @limits: borrowed, as long as the node. @owner: for env's functions,
 * dv_node_owner(). Returns 0 or -ENOMEM. */
int dv_node_new(struct dv_mesh_node **nodep, const struct dv_node_env *env,
		const struct dv_node_limits *limits, void *owner);
/* All its links are down. Frees its ports, and the messages that were kept,
 * without a callback. Not inside a callback of it. NULL is allowed. Returns
 * NULL. */
struct dv_mesh_node *dv_node_destroy(struct dv_mesh_node *node);
void *dv_node_owner(const struct dv_mesh_node *node);
struct dv_mesh_id dv_node_id(const struct dv_mesh_node *node);
/* The node of a mesh: mesh.c; a test that has no mesh defines its own. */
struct dv_mesh_node *dv_mesh_node(const struct dv_mesh *mesh);

/* Deliver what ports of this node sent to each other, and what else waits, at
 * most @budget callbacks. True: there is more (wake() was not called again). */
bool dv_node_run(struct dv_mesh_node *node, unsigned int budget);

/* Ports with something undelivered, or moving: it looks at each of them. */
uint32_t dv_node_unfinished(const struct dv_mesh_node *node);
/* There is none: the node may leave. To be asked again and again. */
bool dv_node_finished(struct dv_mesh_node *node);

/* ---- links --------------------------------------------------------- */

/* The link can be used. link->ops, peer, pid and via are set. A second link to
 * the same node is allowed. -ENFILE: as many as the limit. */
int dv_node_link_up(struct dv_mesh_node *node, struct dv_mesh_link *link);

/* It ended: every port that needs it ends with @why. link->node is NULL then;
 * the memory must stay until link->held is 0 (dv_link_ops.consumed tells). */
void dv_node_link_down(struct dv_mesh_link *link, const struct dv_err *why);

/*
 * An event came in (consumed). Returns 0, or -EPROTO with @err filled: it
 * breaks the rules, so the caller cuts the link. An event for a port that is
 * gone, or from a process that has nothing to do with it, is no violation when
 * it can be the trace of a race; it is dropped and counted.
 */
int dv_node_event(struct dv_mesh_link *link, struct dv_mesh_event *ev,
		  struct dv_err *err);

/* Would a message to @dst be taken? False: it need not be put together, but if
 * ports are attached, dv_node_event() must get it (without its data), for they
 * have to be refused. */
bool dv_node_wants(const struct dv_mesh_link *link, struct dv_mesh_id dst);

/* A long message that send() said DV_MORE for has left; @dst as in the event.
 */
void dv_node_sent(struct dv_mesh_link *link, struct dv_mesh_id dst);

/* The link does not take the message that it got for @dst (it is too long for
 * the peer): our port that sends there fails with @why, and its peer hears it.
 * Not from inside ops->send(). */
void dv_node_unsendable(struct dv_mesh_link *link, struct dv_mesh_id dst,
			const struct dv_err *why);

/* There is room: ports that wait send, one message each in turn, until there
 * is none. */
void dv_node_ready(struct dv_mesh_link *link);

/* ---- first ports --------------------------------------------------- */

/*
 * A pair with the node at the other end of @link: *portp (owned by the caller)
 * is our end, and @desc, which the handshake carries, the other one. Nothing
 * moves, so what is sent into it waits for no answer. And the other side: the
 * port that it has. -ENFILE, -ENOMEM, -ENOTCONN.
 */
int dv_node_share(struct dv_mesh_link *link, struct dv_port **portp,
		  struct dv_port_desc *desc);
int dv_node_take(struct dv_mesh_link *link, const struct dv_port_desc *desc,
		 struct dv_port **portp);

/* ---- pairs --------------------------------------------------------- */

int dv_node_pair(struct dv_mesh_node *node, struct dv_port *pair[2]);

/* ---- looking ------------------------------------------------------- */

struct dv_node_counts {
	uint64_t sent, received; /* messages */
	uint64_t sent_bytes, received_bytes;
	uint64_t moved_out, moved_in, refused, proxied;
	uint64_t introduced, dropped, failed;
	uint32_t n_ports, n_proxies, n_links;
};
const struct dv_node_counts *dv_node_counts(const struct dv_mesh_node *node);

struct dv_port_view {
	struct dv_mesh_id id, peer, peer_node; /* as far as known */
	const char *state;
	uint64_t queued_in, queued_out; /* bytes */
	uint64_t sent, granted, received;
};
/* Calls @fn for every port; it changes nothing. */
void dv_node_each_port(const struct dv_mesh_node *node,
		       void (*fn)(void *arg, const struct dv_port_view *view),
		       void *arg);
void dv_node_each_link(const struct dv_mesh_node *node,
		       void (*fn)(void *arg, const struct dv_mesh_link *link),
		       void *arg);
