/* SPDX-License-Identifier: MIT */
#pragma once
/*
 * A listening socket on a loop, unix or AF_VSOCK alike.
 *
 * Embedded in its owner. It never ends by itself and never spins: when there is
 * no descriptor (or memory) for a new connection it stops accepting for a
 * while, and the connections wait in the kernel's queue. How many connections
 * an owner has, and for how long they may be silent, is the owner's business:
 * see dv_listener_pause(). One thread.
 */
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include <davit/loop.h>

#define DV_CID_NONE UINT32_MAX /* not a vsock connection */
#define DV_PEER_INIT                                             \
	{                                                        \
		.uid = (uid_t)-1, .gid = (gid_t)-1, .pidfd = -1, \
		.cid = DV_CID_NONE                               \
	}

/* Who is on the other side, as the kernel says. */
struct dv_peer {
	uid_t uid;    /* of whoever called connect(); (uid_t)-1 = not known */
	gid_t gid;    /* the same */
	pid_t pid;    /* 0 = not known, or not in our pid namespace */
	int pidfd;    /* owned; -1 = not asked for, or none to be had */
	uint32_t cid; /* AF_VSOCK only, else DV_CID_NONE */
};

struct dv_listener;

/*
 * @fd is owned by the callee: non-blocking, close-on-exec. @peer is borrowed
 * for the call; its pidfd is closed afterwards unless taken with dv_take_fd().
 * The listener may be paused, closed and freed inside.
 */
typedef void dv_accept_fn(struct dv_listener *l, int fd, struct dv_peer *peer);

enum {
	DV_LISTEN_PIDFD = 1, /* fill dv_peer.pidfd: one more fd each */
	DV_LISTEN_ALL = 2,   /* a unix socket that every user may connect to */
};

struct dv_listener {
	struct dv_loop *loop; /* NULL = not listening */
	struct dv_src src;
	struct dv_timer retry;
	dv_accept_fn *fn;
	int fd;            /* owned */
	uint32_t flags;    /* DV_LISTEN_* */
	uint32_t only_cid; /* accept only these; DV_CID_NONE = any */
	bool paused;       /* by the owner */
	bool waiting;      /* in a back-off */
	uint32_t wait_ms;  /* the present or last one; 0 = none lately */
	uint64_t n_waits;  /* how often there was nothing left to accept with */
	uint64_t n_refused; /* closed at once: not only_cid */
	bool *gonep;        /* set when it is closed inside a callback */
	char *path;         /* owned; removed by close. NULL = none */
	dev_t dev;          /* which file that name has to be */
	ino_t ino;
};

/* clang-format off */
#define DV_LISTENER_INIT						\
	{								\
		.src = DV_SRC_INIT, .retry = DV_TIMER_INIT, .fd = -1,	\
		.only_cid = DV_CID_NONE					\
	}
/* clang-format on */

/*
 * Serve a bound socket (consumed; one that was inherited over an exec too).
 * listen() is called again, because the credentials that connecting peers see
 * are those of its caller. Returns 0 or -errno.
 */
int dv_listener_start(struct dv_listener *l, struct dv_loop *loop, int fd,
		      uint32_t flags, dv_accept_fn *fn, struct dv_err *err);

/* Leave new connections in the queue; idempotent. */
void dv_listener_pause(struct dv_listener *l);
/* Go on; also ends a back-off at once, when a descriptor became free. */
void dv_listener_resume(struct dv_listener *l);

/* Close, and remove the unix socket that dv_unix_listen() made. Idempotent. */
void dv_listener_close(struct dv_listener *l);

/*
 * Ask the kernel who is connected to @fd (borrowed). Fields that it does not
 * know stay as in DV_PEER_INIT; without SO_PEERPIDFD (before Linux 6.5) or a
 * free descriptor pidfd stays -1.
 */
void dv_peer_get(int fd, bool pidfd, struct dv_peer *peer);
