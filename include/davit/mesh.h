/* SPDX-License-Identifier: MIT */
#pragma once
/*
 * The process mesh: ports that carry messages, descriptors and other ports
 * between processes.
 *
 *   struct dv_mesh;	this process's membership in one mesh: a node
 *   struct dv_port;	one end of a pair; what is sent here arrives there
 *   struct dv_msg;	bytes, and the descriptors and ports that go with them
 *
 * A pair of ports is bidirectional and ordered. Whichever processes its two
 * ends are in, and however often they move, a message that was accepted is
 * delivered exactly once and in order, or the port that should have received it
 * ends and says why. A port is moved by attaching it to a message. Where it was
 * keeps forwarding until the other end talks to the new place directly.
 *
 * A node belongs to one loop and one thread, and so do its ports and messages;
 * a process may have any number of nodes. Nothing here blocks. Callbacks come
 * from the loop, never from inside a call. Inside a callback every call is
 * allowed, on the port concerned too: closing it, moving it, leaving the mesh;
 * only dv_mesh_free() of the own mesh is not (-EDEADLK is impossible to return
 * there, so it asserts): use dv_mesh_leave().
 *
 * Processes of a mesh are not trusted: a node accepts an event for a port only
 * from the process that has the other end. What breaks the rules is cut off.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <davit/err.h>
#include <davit/loop.h>

#ifdef __cplusplus
extern "C" {
#endif

struct dv_mesh;
struct dv_mesh_door;
struct dv_port;
struct dv_msg;

/* 128 random bits: a node, or a port. All zero: none. */
struct dv_mesh_id {
	uint64_t hi, lo;
};

enum {
	/* Bytes of one message; an option may lower it. */
	DV_MSG_MAX = 64 << 20,
	/* Ports and descriptors of one message, together; the kernel passes at
	 * most 253 descriptors at once. */
	DV_MSG_ATT_MAX = 250,
	/* Text of dv_mesh_id_text(), with its NUL. */
	DV_MESH_ID_TEXT = 33,
	/* dv_port_send(): accepted, but wait for writable() before the next. */
	DV_FULL = 3,
};

/* 32 hex digits. Returns @out. */
DV_API char *dv_mesh_id_text(struct dv_mesh_id id, char out[DV_MESH_ID_TEXT]);

/* ---- messages ------------------------------------------------------ */

enum dv_att_kind {
	DV_ATT_NONE = 0, /* no such attachment, or it was taken */
	DV_ATT_FD,
	DV_ATT_PORT,
	DV_ATT_LOST, /* a descriptor that could not be received: this process
		      * has too many open. The rest of the message is good. */
	DV_ATT_N
};

/* @len bytes (not initialized), no attachments. NULL: no memory, or more than
 * DV_MSG_MAX. */
DV_API struct dv_msg *dv_msg_new(size_t len);
/* Closes what is still attached. NULL is allowed. Returns NULL. */
DV_API struct dv_msg *dv_msg_free(struct dv_msg *msg);
DV_API void *dv_msg_data(const struct dv_msg *msg);
DV_API size_t dv_msg_len(const struct dv_msg *msg);
/* Make it shorter. */
DV_API void dv_msg_trim(struct dv_msg *msg, size_t len);

/* Attach; @fd and @port are consumed, by a failure too. Return the index, or
 * -E2BIG, -ENOMEM, -EBADF (@fd is negative), -EINVAL (@port is attached
 * already, and stays so); a port that has ended may be attached and arrives so.
 * When the kernel does not pass one of the descriptors (it was closed
 * meanwhile, or is an io_uring), those of the message arrive as DV_ATT_LOST. */
DV_API int dv_msg_add_fd(struct dv_msg *msg, int fd);
DV_API int dv_msg_add_port(struct dv_msg *msg, struct dv_port *port);

DV_API size_t dv_msg_n_atts(const struct dv_msg *msg);
DV_API enum dv_att_kind dv_msg_att(const struct dv_msg *msg, size_t n);
/* Owned by the caller from then on. -EMFILE: it was lost on the way; -ENOENT:
 * there is none, or it was taken; -EBADMSG: it is a port. */
DV_API int dv_msg_take_fd(struct dv_msg *msg, size_t n);
/* NULL: none, taken, or a descriptor. */
DV_API struct dv_port *dv_msg_take_port(struct dv_msg *msg, size_t n);

/*
 * Inside message(): keep the message beyond the callback. Owned by the caller.
 * It counts against the sender's window until it is freed. NULL: no memory (the
 * message was small and lay in a receive buffer).
 */
DV_API struct dv_msg *dv_msg_keep(struct dv_msg *msg);

/* ---- ports --------------------------------------------------------- */

/* What an end of a port concerns. */
enum dv_mesh_scope {
	DV_SCOPE_PORT = 0, /* this port only */
	DV_SCOPE_LINK,     /* the connection to that process */
	DV_SCOPE_NODE,     /* our own node: it left */
	DV_SCOPE_N
};

/* Why a port ended. */
struct dv_port_end {
	bool closed; /* by its peer, and everything it had sent was delivered */
	enum dv_mesh_scope scope;
	/* The node that closed, died or broke rules; zero: it died before it
	 * said which one it is. */
	struct dv_mesh_id culprit;
	int32_t pid;       /* its process; 0 = not known */
	struct dv_err err; /* DV_OK: closed without a reason */
};

struct dv_port_ops {
	/* One message, borrowed for the call: dv_msg_keep(). */
	void (*message)(struct dv_port *port, struct dv_msg *msg);
	/* No more messages. Once. The port still has to be closed. */
	void (*ended)(struct dv_port *port, const struct dv_port_end *end);
	/* After DV_FULL or -EAGAIN: there is room again. May be NULL. */
	void (*writable)(struct dv_port *port);
};

/* Two ports of @mesh, each the other's peer; both owned by the caller. Returns
 * 0, -ENOMEM, or -ENFILE: as many ports as the options allow. */
DV_API int dv_port_pair(struct dv_mesh *mesh, struct dv_port *pair[2]);

/*
 * Receive with @ops (borrowed, as long as the port lives). Before this, and
 * while paused, messages and the end wait. May be called again.
 */
DV_API void dv_port_start(struct dv_port *port, const struct dv_port_ops *ops,
			  void *user);
DV_API void dv_port_pause(struct dv_port *port, bool paused);
DV_API void *dv_port_user(const struct dv_port *port);
DV_API struct dv_mesh *dv_port_mesh(const struct dv_port *port);
DV_API struct dv_mesh_id dv_port_id(const struct dv_port *port);

/*
 * Send. @msg is consumed in any case. 0: accepted, it will arrive or the port
 * ends. DV_FULL: accepted; more than the window is waiting, so stop until
 * writable(). Refused, and nothing was sent (what was attached is closed):
 *
 *   -EAGAIN    twice the window is waiting
 *   -EPIPE     the peer has closed, or the port has ended
 *   -EMSGSIZE  more bytes than the options allow
 *   -ELOOP     the port itself, or its peer, is attached
 *   -EXDEV     a port of another mesh is attached
 *   -ENOMEM
 */
DV_API int dv_port_send(struct dv_port *port, struct dv_msg *msg,
			struct dv_err *err);
/* The same with a copy of @data and no attachments: the fastest for small. */
DV_API int dv_port_send_bytes(struct dv_port *port, const void *data,
			      size_t len, struct dv_err *err);

/*
 * Close; consumed. What was accepted is still delivered, then the peer's
 * ended() tells @reason (borrowed; NULL: none). Messages that were not received
 * are dropped. No callback of it runs any more. NULL is allowed. Returns NULL.
 */
DV_API struct dv_port *dv_port_close(struct dv_port *port,
				     const struct dv_err *reason);

/*
 * Join the peers of two ports of one mesh to each other; both are consumed,
 * and what was waiting in them flows on. The two ports are no pair: -ELOOP.
 * -EXDEV: of two meshes. On failure both are closed with the reason.
 */
DV_API int dv_port_bridge(struct dv_port *a, struct dv_port *b,
			  struct dv_err *err);

/* ---- a mesh -------------------------------------------------------- */

/* 0 in any field: the default. */
struct dv_mesh_opts {
	size_t size;          /* sizeof(struct dv_mesh_opts) */
	const char *name;     /* for inspect; borrowed for the call */
	uint32_t max_message; /* bytes, at least 4,096; 16 MiB */
	uint32_t port_window; /* bytes on the way per port; 1.25 MiB */
	uint32_t peer_window; /* bytes on the way per process; 64 MiB */
	uint32_t max_ports;   /* 65,536 */
	uint32_t max_links;   /* processes we are connected to; 1,024 */
	uint32_t hello_ms;    /* deadline of a handshake; 5,000 */
};

/* A new mesh, of which this is the first node. Returns 0, -ENOMEM, -EINVAL. */
DV_API int dv_mesh_new(struct dv_mesh **meshp, struct dv_loop *loop,
		       const struct dv_mesh_opts *opts, struct dv_err *err);

/* At once: every link is cut and every port freed, without a callback. The
 * handles of ports and messages are gone with it. Returns NULL. */
DV_API struct dv_mesh *dv_mesh_free(struct dv_mesh *mesh);

/* What was left when a mesh was left: see dv_mesh_leave(). */
struct dv_mesh_left {
	uint32_t n_ports; /* with messages that were not delivered, or moving */
	uint32_t n_links; /* that did not say goodbye */
};

/*
 * Leave in order: what was accepted is delivered and moves are finished; then
 * links say goodbye. @fn is called once, from the loop: at the end, or when
 * @timeout_ms (-1: never) is over. dv_mesh_free() may be called inside @fn.
 */
DV_API int dv_mesh_leave(struct dv_mesh *mesh, int timeout_ms,
			 void (*fn)(struct dv_mesh *mesh, void *arg,
				    const struct dv_mesh_left *left),
			 void *arg);

DV_API struct dv_mesh_id dv_mesh_id(const struct dv_mesh *mesh);
DV_API struct dv_loop *dv_mesh_loop(const struct dv_mesh *mesh);

/*
 * Invite one process: *fdp (owned by the caller) is for it, *portp is our end
 * of the pair whose other end it gets. Until it joins, messages wait; when the
 * descriptor is closed unused, the port fails. -EMFILE, -ENFILE, -ENOMEM.
 */
DV_API int dv_mesh_invite(struct dv_mesh *mesh, int *fdp,
			  struct dv_port **portp, struct dv_err *err);

/*
 * Join by an invitation (@fd, consumed). *portp can be used at once; what goes
 * wrong with the handshake is its end. -ENFILE, -ENOMEM, -ENOTSOCK.
 */
DV_API int dv_mesh_join(struct dv_mesh *mesh, int fd, struct dv_port **portp,
			struct dv_err *err);

/* ---- strangers ----------------------------------------------------- */

/* Who came in, as the kernel says. */
struct dv_mesh_guest {
	struct dv_mesh_id node;
	uint32_t uid, gid;
	int32_t pid; /* 0 = not in our pid namespace */
};

/* 0 in any field: the default. */
struct dv_mesh_door_opts {
	size_t size;
	bool any_user;        /* else: our own uid, and root */
	uint32_t max_pending; /* connected, no hello yet; 64 */
	uint32_t max_guests;  /* at the same time; 1,024 */
};

/*
 * Let unrelated processes in at the unix socket @path. A socket that nobody
 * listens on any more is replaced; one that is alive is -EADDRINUSE. The
 * directory has to belong to us or to root and be writable for nobody else
 * (-EPERM): whoever can rename the socket can take its place. @fn gets our end
 * (owned) of a pair whose other end the guest has. Too many, and guests wait in
 * the kernel's queue.
 */
DV_API int dv_mesh_listen(struct dv_mesh_door **doorp, struct dv_mesh *mesh,
			  const char *path,
			  const struct dv_mesh_door_opts *opts,
			  void (*fn)(struct dv_mesh_door *door, void *arg,
				     struct dv_port *port,
				     const struct dv_mesh_guest *guest),
			  void *arg, struct dv_err *err);
/* Lets nobody in any more and removes the socket; guests stay. Before
 * dv_mesh_free(). NULL is allowed. Returns NULL. */
DV_API struct dv_mesh_door *dv_mesh_door_free(struct dv_mesh_door *door);

/*
 * Go in. @mesh becomes a node of the other's mesh. *portp can be used at once;
 * what goes wrong with the handshake is its end. -ENOENT, -ECONNREFUSED,
 * -EACCES, -EAGAIN: its queue is full. To leave in order: dv_mesh_leave().
 */
DV_API int dv_mesh_connect(struct dv_mesh *mesh, const char *path,
			   struct dv_port **portp, struct dv_err *err);

#ifdef __cplusplus
}
#endif
