/* SPDX-License-Identifier: MIT */
#pragma once
/*
 * A link over a unix stream socket: what carries the events of a node to
 * another process. Private to this room; the node knows it by struct
 * dv_link_ops only.
 *
 *	link.c		its life: from the handshake to the end
 *	link_hello.c	the handshake
 *	link_out.c	what is sent: batches, pieces of long messages
 *	link_send.c	what is sent: from events to frames
 *	link_in.c	what is received: from bytes to frames
 *	link_msg.c	what is received: from frames to messages
 *	link_long.c	what is received: messages in pieces
 *	link_fds.c	descriptors, both ways
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#include <davit/loop.h>

#include "base/buf.h"
#include "base/list.h"
#include "mesh/mesh_priv.h"
#include "mesh/node.h"
#include "wire/mesh.h"

enum {
	/* Messages up to this are copied, so that many leave with one system
	 * call; longer ones are written from where they are. */
	DV_LINK_COPY_MAX = DV_MW_LONG_MIN,
	/* So much waits for the end of the loop's batch, no more. */
	DV_LINK_FLUSH_LEN = 64 << 10,
	/* Beyond this messages wait in their ports. */
	DV_LINK_OUT_HIGH = 256 << 10,
	/* Beyond this the link is cut: the peer makes us answer and does not
	 * read. All ports of a node may end at once with their credits. */
	DV_LINK_OUT_MAX = 16 << 20,
	/* Bytes written in one callback. */
	DV_LINK_WRITE_BUDGET = 1 << 20,
	/* Introductions that wait to be sent, each with a descriptor; more fail
	 * (and are told so). */
	DV_LINK_INTRODUCE_MAX = 64,
	/* Descriptors on their way are limited per user. How often it is tried
	 * again: after 1, 2, 4... ms, 63 in all; then they are lost. */
	DV_LINK_FD_TRIES = 6,
	/* What is asked for behind the payload of a frame: the next head, and
	 * small messages that came meanwhile. */
	DV_LINK_BEHIND = 1024,
	/* Reads of one callback, while a long message is being received. */
	DV_LINK_READS = 4,
	/* A message that came in part is waited for in its own memory if it is
	 * longer; shorter ones are copied again. */
	DV_LINK_FILL_MIN = 4 << 10,
	/* Descriptors that the kernel passes at once. */
	DV_LINK_FDS_MAX = 253,
};

enum dv_link_state {
	DV_LINK_HELLO = 0, /* the peer has not said hello */
	DV_LINK_UP,
	DV_LINK_ENDING, /* it ended: it goes down from the loop */
	DV_LINK_DOWN,   /* messages of it live on, so its memory does */
	DV_LINK_N
};

/* Descriptors to be sent with the byte at @at. */
struct dv_out_fds {
	struct dv_out_fds *next;
	uint64_t at;
	bool introduces;
	uint16_t n;
	int fds[];
};

/* A long message that is being sent. */
struct dv_out_long {
	struct dv_list in_link;
	struct dv_msg *msg; /* owned */
	struct dv_mesh_id dst;
	size_t sent;
};

struct dv_out {
	struct dv_buf buf; /* frames; in front of @at they are sent */
	size_t at;
	uint64_t pos;                      /* of buf.data[at] in all of buf */
	struct dv_out_fds *fds, **fds_end; /* in the order of their bytes */
	uint32_t n_introduce;
	struct dv_list longs;   /* the first is the next to send a piece */
	struct dv_list refused; /* struct dv_out_long: too long for the peer, or
				 * for one that has not said hello yet */

	/* The piece that is being written; NULL: none. Nothing else can be
	 * written before its end. */
	struct dv_out_long *piece;
	size_t piece_at; /* written: head, payload and padding */
	uint32_t piece_len;
	uint8_t piece_head[DV_MW_PLAIN];

	bool blocked; /* the socket is full */
	bool dead;    /* the peer does not read any more */
	bool flushing;
	unsigned int fd_tries;
	struct dv_timer fd_retry;
	struct dv_defer flush;

	uint64_t sent, granted; /* cost of messages */
	uint32_t max_message;   /* the peer takes no longer ones */
};

/* A long message that is being received. */
struct dv_in_long {
	struct dv_list in_link;
	struct dv_mesh_id dst;
	struct dv_msg *msg; /* owned; NULL: nobody wants it */
	uint32_t total, received;
};

/* Descriptors that came together. */
struct dv_in_fds {
	bool cut; /* there were more, and no room for them */
	uint16_t n, taken;
	int fds[DV_LINK_FDS_MAX];
};

struct dv_in {
	struct dv_buf keep; /* the start of a frame that is not complete */

	/* Payload that goes straight to where it belongs. */
	uint8_t *fill;
	size_t fill_left;
	uint32_t fill_len;            /* of the whole payload */
	uint8_t fill_pad;             /* of the frame */
	struct dv_in_long *fill_long; /* of which it is a piece, or */
	struct dv_msg *fill_msg;      /* the message (owned) for @fill_dst */
	struct dv_mesh_id fill_dst;
	size_t skip; /* bytes to drop: padding, what nobody wants */
	bool held;   /* there may be whole frames in @keep */

	struct dv_list longs;
	struct dv_list gone;      /* of them: forgotten, with ports in them */
	struct dv_in_fds *fds[2]; /* that no frame has claimed; NULL: none */
	uint64_t received, used;  /* cost of messages */
	uint64_t allowed;         /* that the peer may send in all */
	bool any;                 /* something came */
	bool peer_left;           /* GOODBYE */
	int32_t cred_pid;         /* of who wrote what came last; 0 = unknown */
	struct dv_defer resume;
};

/* Who wants to know what becomes of a link. */
struct dv_link_watch {
	/* It said hello, as @node. */
	void (*up)(struct dv_link_watch *watch, struct dv_mesh_id node);
	/* It is down: the last that is heard of it. */
	void (*down)(struct dv_link_watch *watch);
};

struct dv_link {
	struct dv_mesh_link base;    /* first */
	struct dv_link_watch *watch; /* borrowed; NULL: nobody */
	struct dv_mesh *mesh;        /* NULL: it was freed */
	struct dv_list in_mesh;
	enum dv_link_state state;
	int fd;
	struct dv_src src;
	struct dv_timer deadline; /* of the handshake */
	struct dv_defer end;
	struct dv_err why;  /* it ended */
	struct dv_err rule; /* scratch: all zero until one is broken */
	bool told_bye;      /* GOODBYE was sent */
	bool early;         /* messages need not wait for the peer's hello */
	bool sleepless;     /* its socket does not wait (O_NONBLOCK) */

	/* The handshake. */
	bool wants_port;      /* the peer's hello has to bring one */
	struct dv_port *port; /* it, until dv_mesh_join() has it; or else */
	struct dv_port *door; /* what is to be bridged with it */

	struct dv_out out;
	struct dv_in in;
};

struct dv_link *dv_link_of(const struct dv_mesh_link *base);

/* ---- life (link.c) ------------------------------------------------- */

/* How a link begins. */
struct dv_link_start {
	struct dv_mesh_id peer;   /* zero: not known yet */
	struct dv_mesh_link *via; /* NULL: nobody introduced it */
	bool wants_port;          /* the peer has to give one */
	bool parent;              /* it brings us into the mesh */
	bool stranger;            /* who it is is only its own word */
	bool waits;               /* it may take any time to say hello */
};

/* Make a link of @fd (consumed) and tell the node. The caller says hello.
 * Returns 0; -ENOTSOCK: it is no connected unix stream socket; -errno. */
int dv_link_new(struct dv_link **linkp, struct dv_mesh *mesh, int fd,
		const struct dv_link_start *start);

/*
 * It cannot go on: from now on nothing is sent or received, and it goes down
 * from the loop. The first reason counts. @tell: the peer hears it, if there is
 * room. Idempotent.
 */
void dv_link_fail(struct dv_link *link, const struct dv_err *why, bool tell);
/* The same, "LINK broke the rules: ..." */
void dv_link_violation(struct dv_link *link, const struct dv_err *why);

/* Its handshake has begun: it has a deadline from now on. */
void dv_link_hurry(struct dv_link *link);

/* It is alive: neither ending nor down. */
static inline bool dv_link_alive(const struct dv_link *link)
{
	return link->state < DV_LINK_ENDING;
}
/* It goes down, or what is left of it is freed, from the loop. */
void dv_link_end_later(struct dv_link *link);
/* At once, without the loop: the mesh is being freed. */
void dv_link_drop(struct dv_link *link);
struct dv_link *dv_link_free(struct dv_link *link);

/* "process 12", or "the other process". Returns @out. */
enum { DV_LINK_WHO = 32 };
const char *dv_link_who(const struct dv_link *link, char out[DV_LINK_WHO]);

/* ---- the handshake (link_hello.c) ---------------------------------- */

/* Say hello; @port: the first one for the peer (its err is freed), or NULL. */
void dv_link_hello(struct dv_link *link, struct dv_port_desc *port);
/* The peer's hello is whole at @rd. On failure the link has ended. */
void dv_link_on_hello(struct dv_link *link, const struct dv_rd *rd,
		      const struct dv_mw_head *head);

/* ---- sending (link_out.c, link_send.c)
 * ------------------------------------------ */

void dv_out_init(struct dv_out *out);
void dv_out_free(struct dv_link *link);
/* dv_link_ops. */
int dv_link_send(struct dv_mesh_link *base, struct dv_mesh_event *ev);
bool dv_link_room(const struct dv_mesh_link *base);
/* Queue what is no message; @fd: INTRODUCE, consumed, or -1. */
void dv_out_event(struct dv_link *link, struct dv_mw_event *ev,
		  const struct dv_err *reason, int fd);
/* Descriptors for the frame that begins now, at most @n; NULL: no memory. */
struct dv_out_fds *dv_out_attach(struct dv_out *out, uint16_t n);
/* Frames were appended to the buffer. Never calls the node, which may be the
 * caller. */
void dv_out_appended(struct dv_link *link);
/* Messages that were too long for the peer: refuse the ports in them; but what
 * had to wait for its hello is sent now. */
void dv_out_refused(struct dv_link *link);
/* Write now what can be written; the node may be called. */
void dv_out_flush(struct dv_link *link);
/* The same without calling the node. False: that cannot be. */
bool dv_out_write(struct dv_link *link);
/* Bytes that wait, long messages not counted. */
size_t dv_out_waiting(const struct dv_out *out);
bool dv_out_empty(const struct dv_out *out);
/* The socket takes bytes again. */
void dv_out_unblock(struct dv_link *link);

/* ---- receiving (link_in.c, link_msg.c) ----------------------------- */

void dv_in_init(struct dv_in *in, uint64_t window);
void dv_in_free(struct dv_link *link);
/* What did not have to be done at once is done from the loop. */
void dv_in_resume(struct dv_link *link);
/* Read once, and do what came: at most @frames frames, the others later from
 * the loop. @sleep: until something comes. Returns 0, or DV_MORE: nothing is
 * there. */
int dv_in_read(struct dv_link *link, unsigned int frames, bool sleep);
/* The connection ended with @r: 0 or -errno of the read. */
void dv_in_ended(struct dv_link *link, ssize_t r);

/* A whole MESSAGE with nothing attached; @data is borrowed. Callbacks run. */
void dv_in_plain(struct dv_link *link, struct dv_mesh_id dst,
		 const uint8_t *data, uint32_t len);
/* A MESSAGE, LONG or PIECE; @rd is moved behind what was taken. Returns 0 (look
 * whether the link is alive), or DV_MORE: it has to wait for more of it. */
int dv_in_message(struct dv_link *link, struct dv_rd *rd,
		  const struct dv_mw_head *head);
/* The payload that was filled in is complete. */
void dv_in_filled(struct dv_link *link);
/* Put what is attached into @msg (consumed; NULL: there was no memory). NULL:
 * the link has ended. The descriptors are claimed in any case. */
struct dv_msg *dv_in_new(struct dv_link *link, const struct dv_mw_head *head,
			 const struct dv_mw_message *m, struct dv_msg *msg);
/* Hand @msg (consumed) to the node; callbacks run. */
void dv_in_deliver(struct dv_link *link, struct dv_mesh_id dst,
		   struct dv_msg *msg);
/* There was no memory for @len bytes: that ends the port, not the link. */
void dv_in_fail_port(struct dv_link *link, struct dv_mesh_id dst, size_t len);
/* A message has begun. False: the peer may not; the link has ended. */
bool dv_in_charge(struct dv_link *link, uint64_t len, uint16_t n_atts);
/* @cost of messages was used up: the peer may send as much again. */
void dv_in_used(struct dv_link *link, uint64_t cost);
/* dv_link_ops. */
void dv_link_consumed(struct dv_mesh_link *base, uint64_t cost);

/* ---- receiving long messages (link_long.c) ------------------------- */

/* As dv_in_message(), for LONG and PIECE. */
int dv_in_long(struct dv_link *link, struct dv_rd *rd,
	       const struct dv_mw_head *head, const struct dv_mw_message *m);
void dv_in_long_filled(struct dv_link *link);
/* dv_link_ops. */
void dv_link_forget(struct dv_mesh_link *base, struct dv_mesh_id id);
/* Refuse the ports that were in forgotten messages. */
void dv_in_refuse_gone(struct dv_link *link);
void dv_in_free_longs(struct dv_link *link);

/* ---- descriptors (link_fds.c) -------------------------------------- */

/* recvmsg(), which may @sleep; what came with it is put into in->fds. Returns
 * bytes, 0 at the end, or -errno; -EPROTO: more descriptors than can be. */
ssize_t dv_link_recv(struct dv_link *link, struct iovec *iov, size_t n_iov,
		     bool sleep);
/* The descriptors of a frame that announces @n. On -EPROTO the link has ended.
 * *fdsp: to be given to dv_in_fd() and dv_in_fds_done(); NULL: none. */
int dv_in_claim(struct dv_link *link, const struct dv_mw_head *head, uint16_t n,
		struct dv_in_fds **fdsp);
/* The next one (owned by the caller), or -1: it was lost. */
int dv_in_fd(struct dv_in_fds *fds);
struct dv_in_fds *dv_in_fds_free(struct dv_in_fds *fds);
/* Called when all complete frames were looked at. @partial: one has begun. */
bool dv_in_fds_fine(const struct dv_in *in, bool partial);
/* sendmsg(), with @fds or NULL. Bytes or -errno. */
ssize_t dv_link_sendmsg(int fd, const struct iovec *iov, size_t n_iov,
			const struct dv_out_fds *fds);
/* Options that a socket from elsewhere may have; 0, or -ENOTSOCK. */
int dv_link_socket(int fd);
/* Does the kernel say with each read who wrote it? */
void dv_link_pass_creds(int fd, bool on);

/* ---- a port on its way: the node's struct and the wire's ----------- */

static inline struct dv_mw_port dv_desc_to_wire(const struct dv_port_desc *d)
{
	return (struct dv_mw_port){
		.id = d->id,
		.from = d->from,
		.pair = d->pair,
		.granted = d->granted,
		.received = d->received,
		.closed = d->closed,
		.direct = d->direct,
		.has_err = d->err && d->err->code != DV_OK,
	};
}

/* Without its error. */
static inline struct dv_port_desc dv_desc_of_wire(const struct dv_mw_port *p)
{
	return (struct dv_port_desc){
		.id = p->id,
		.from = p->from,
		.pair = p->pair,
		.granted = p->granted,
		.received = p->received,
		.closed = p->closed,
		.direct = p->direct,
	};
}
