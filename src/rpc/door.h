/* SPDX-License-Identifier: MIT */
#pragma once
/*
 * The door: one listening socket for everything. The first bytes of a
 * connection pick the protocol, once:
 *
 *   'C' 'c'   hybrid vsock, "CONNECT n\n": the owner says who takes port n
 *   0x00      ttrpc
 *   "PRI * "  gRPC
 *   0x01      a probe frame, for whoever registered for it
 *   other     the connection is closed
 *
 * Bytes are read with their descriptors into the connection's buffer and handed
 * on with it. A client may stay silent: silent connections are limited in
 * number, not in time; a deadline starts with the first byte.
 */
#include "davit/err.h"
#include "davit/loop.h"
#include "rpc/data.h"
#include "rpc/server.h"

struct dv_door;

/*
 * A connection that goes through. @fd and @fds are consumed; the array itself
 * is borrowed.
 */
struct dv_entry {
	int fd;
	const struct dv_peer *peer; /* borrowed */
	uint32_t port;              /* of CONNECT; 0: none */
	bool guid;                  /* it was written as a service id */
	uint32_t number;            /* for the OK line */
	const void *head;           /* read already; borrowed */
	size_t len;
	int *fds;
	size_t n_fds;
};

struct dv_door_opts {
	size_t size;
	struct dv_server *server; /* for direct ttrpc and gRPC; NULL: refused */
	struct dv_server *diag;   /* for CONNECT 1; NULL: refused */
	struct dv_data *data;     /* for CONNECT 2; NULL: refused */
	/* Other ports: it answers when it knows, with dv_hvsock_answer() or
	 * dv_hvsock_refuse(). NULL: all are refused. */
	int (*connect)(void *arg, const struct dv_entry *entry);
	/* A probe frame came. NULL: refused. */
	int (*probe)(void *arg, const struct dv_entry *entry);
	/* May this peer come in? NULL: same uid or root. */
	bool (*admit)(void *arg, const struct dv_peer *peer);
	void *arg;
	unsigned int max_silent; /* 0: the default, 256 at most */
	int handshake_ms;        /* from the first byte on; 0: 2000 */
	struct dv_log_sink *log;
	uint32_t flags; /* DV_LISTEN_*, for the path */
};

/*
 * Listen at @path (rules of transport/unix.h), or on @fd, a listening socket
 * (consumed, also on failure), when @path is NULL. Returns 0 or -errno.
 */
int dv_door_new(struct dv_door **doorp, struct dv_loop *loop, const char *path,
		int fd, const struct dv_door_opts *opts, struct dv_err *err);
/* Closes and unlinks its socket. NULL is allowed. Returns NULL. */
struct dv_door *dv_door_free(struct dv_door *door);
/*
 * The listening socket (borrowed), for a restart, which inherits it: whoever
 * ends by exec never frees the door, so its name stays.
 */
int dv_door_fd(const struct dv_door *door);
/*
 * For a restart: connections that have not yet said (all of) what they want.
 * @fd and @head, what was read, are borrowed. Returns 0 or what @each returned.
 */
int dv_door_save(const struct dv_door *door,
		 int (*each)(void *arg, int fd, const void *head, size_t len),
		 void *arg);
/* And back: @fd is consumed, also on failure; it was admitted before. */
int dv_door_restore(struct dv_door *door, int fd, const void *head, size_t len);
/*
 * A connection that came another way (AF_VSOCK accepted, socketpair); @fd is
 * consumed, also on failure. Returns 0, -EACCES, or -errno.
 */
int dv_door_admit(struct dv_door *door, int fd, const struct dv_peer *peer);
