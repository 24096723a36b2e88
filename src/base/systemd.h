/* SPDX-License-Identifier: MIT */
#pragma once
/*
 * What a service manager gives a service: listening sockets, a place to tell
 * how it is, and a watchdog to be fed. systemd's protocol, which is variables
 * of the environment, inherited descriptors and datagrams.
 *
 * All that is taken is taken out of the environment, for nobody that we start
 * is meant. That changes the environment: only before there is a second thread.
 */
#include <stdbool.h>
#include <stdint.h>

#include <davit/err.h>
#include <davit/loop.h>

enum {
	DV_SYSTEMD_FD_FIRST = 3,
	/* One sandbox has use for a few; a mask of them fits into 64 bits. */
	DV_SYSTEMD_FDS_MAX = 64,
	DV_SYSTEMD_NAMES_MAX = DV_SYSTEMD_FDS_MAX * 256, /* a name has 255 */
	DV_SYSTEMD_TEXT_MAX = 4095, /* the manager drops what is longer */
};

struct dv_systemd {
	int notify;  /* owned, connected; -1: nobody wants to know */
	int n_fds;   /* owned: DV_SYSTEMD_FD_FIRST and those that follow */
	char *names; /* owned: of each, NUL-terminated; NULL: they have none */
	uint64_t feed_ns; /* how often the watchdog is fed; 0: there is none */
	struct dv_timer feed;
	struct dv_loop *loop; /* borrowed, of the timer */
};

#define DV_SYSTEMD_INIT                             \
	{                                           \
		.notify = -1, .feed = DV_TIMER_INIT \
	}

/*
 * Take LISTEN_FDS, LISTEN_PID and LISTEN_FDNAMES: those descriptors are ours
 * and close-on-exec from now on. Before anything else is opened, or it would be
 * taken for one of them. Returns how many; 0 also when another process was
 * meant, whose descriptors are left alone; -EINVAL, -ERANGE (too many), -EBADF
 * (one is not open), -ENOMEM: none is ours.
 */
int dv_systemd_take_fds(struct dv_systemd *sd, struct dv_err *err);
/* "unknown" when it has none. Borrowed. @fd is one of ours. */
const char *dv_systemd_fd_name(const struct dv_systemd *sd, int fd);
/* Is it a unix stream socket that somebody called listen() for? */
bool dv_systemd_fd_is_door(int fd);

/*
 * Take NOTIFY_SOCKET, WATCHDOG_USEC and WATCHDOG_PID. Returns 0, also when
 * there is no manager, or -errno: it is there but cannot be told anything,
 * which nobody needs to fail for.
 */
int dv_systemd_take_notify(struct dv_systemd *sd, struct dv_err *err);
/*
 * Send @text, lines like "READY=1", as one message. A manager that is behind is
 * waited for, a second at most. Returns 0, also when nobody wants to know, or
 * -errno: -EMSGSIZE, -EAGAIN, ...
 */
int dv_systemd_tell(const struct dv_systemd *sd, const char *text);
/*
 * Feed the watchdog as long as @loop (borrowed) goes round. Returns 0, also
 * when there is none, or -ENOMEM.
 */
int dv_systemd_feed(struct dv_systemd *sd, struct dv_loop *loop);

/* Tell nobody anything any more. Closes all, also the descriptors that were
 * taken. Idempotent. */
void dv_systemd_close(struct dv_systemd *sd);
