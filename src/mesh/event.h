/* SPDX-License-Identifier: MIT */
#pragma once
/*
 * What one node says to another. An event is a struct between the node (which
 * decides) and a link (which carries it); wire/mesh.h gives it its bytes.
 *
 * Every link is ordered and reliable until it fails, so events have no sequence
 * numbers: order comes from the link, and where a port changes links, END marks
 * the seam.
 */
#include <stdbool.h>
#include <stdint.h>

#include "davit/err.h"
#include "davit/mesh.h"

enum dv_mesh_event_kind {
	/* To a port, in order with its messages. */
	DV_EV_MESSAGE,  /* msg */
	DV_EV_CLOSE,    /* err, node (who closed), pid: no more will come, the
			 * sender is gone */
	DV_EV_NEW_PEER, /* id, node: your peer is now there; nothing more comes
			 * from here. Answered by END here, ACCEPT there. */
	DV_EV_BRIDGE, /* id: what comes from now on comes from that port of the
		       * same node. Answered by END here; and then wait for
		       * ACCEPT. */
	DV_EV_END,    /* "nothing more comes this way": what comes from the
		       * port's peer directly may be delivered now. node: where
		       * the peer is, zero after a BRIDGE */
	DV_EV_TOTALS, /* id, received, granted: after a BRIDGE, what the
		       * totals of the stream are from here on */
	/* To a port, at once. */
	DV_EV_MOVED,    /* the port that was attached exists there */
	DV_EV_REFUSED,  /* err: it does not, and never will; NULL: what should
			 * have received it was closed */
	DV_EV_CREDIT,   /* id, granted; id is the stream: the pair, and which of
			 * its ends receives (see dv_port_desc.pair) */
	DV_EV_ACCEPT,   /* id, received, granted: I am your peer, and you may
			 * send to me directly; node is no node here, but the
			 * name of the stream that you send: as in CREDIT */
	DV_EV_ACCEPTED, /* id: the answer of a port that waited for it; a port
			 * that did not answers FAIL */
	DV_EV_CONNECT, /* node: introduce me to it; to the port that named it */
	DV_EV_FAIL,    /* err, node (the culprit), pid; id: the port that says
			* so, zero: the link itself */
	DV_EV_LOOP,    /* id, received: asks whether a port leads back to
			* itself, over how many */
	/* To a node (dst is zero). */
	DV_EV_INTRODUCE, /* node, fd, err, id: a link to @node; @id is the port
			  * that asked for it, or on the other side the one
			  * that @node will accept */
	DV_EV_N
};

struct dv_mesh_event {
	enum dv_mesh_event_kind kind;
	struct dv_mesh_id dst;  /* the port at the receiver; zero: the node */
	struct dv_mesh_id id;   /* a port or a stream: see the kind */
	struct dv_mesh_id node; /* a node: see the kind */
	uint64_t received;      /* bytes, totals since the pair was made */
	uint64_t granted;
	struct dv_msg *msg;       /* MESSAGE: consumed by who takes the event */
	const struct dv_err *err; /* borrowed; NULL: none */
	int32_t pid;
	int fd; /* INTRODUCE: consumed; -1: it could not be made, err */
};

/* A port on its way, inside a message on a link. */
struct dv_port_desc {
	struct dv_mesh_id id; /* what it will be; chosen by the sender */
	uint64_t granted;     /* bytes its peer may send in all */
	uint64_t received;    /* of these, before the first that follows */
	struct dv_err *err;   /* owned; NULL unless it arrives ended */
	bool closed;          /* with err or without: ended, by its peer */
	bool direct; /* dv_node_share(): it never moved, @from is its peer */
	/* Who is told what became of it: the port that was moved. */
	struct dv_mesh_id from;
	/* The pair. It stays the same wherever its ends go; the lowest bit of
	 * lo says which of the two ends this is. It names the streams in CREDIT
	 * and tells when a port would be sent into itself. */
	struct dv_mesh_id pair;
};

/* Bytes of the window that a message takes: a peer that sends many small ones
 * is charged for what they cost us. */
enum { DV_MSG_COST = 64, DV_ATT_COST = 256 };
