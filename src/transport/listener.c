/* SPDX-License-Identifier: MIT */
/*
 * DOC: listening
 *
 * A listening socket stays readable while somebody waits in its queue, so a
 * listener that cannot accept must not be watched: level-triggered epoll would
 * spin. It is watched exactly while it is neither paused by its owner nor in a
 * back-off. The back-off doubles up to WAIT_MAX_MS and ends early when the
 * owner, who knows that a descriptor became free, says so.
 */
#include "transport/listener.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <linux/vm_sockets.h>

#include "base/def.h"
#include "base/fd.h"

#ifndef SO_PEERPIDFD
#define SO_PEERPIDFD 77 /* Linux 6.5; not in the headers of Debian 12 */
#endif

enum {
	BUDGET = 16, /* connections per callback: other sources wait */
	/* Connections that were made before we came to accept them wait here;
	 * what does not fit makes connect() wait, or fail with EAGAIN. The
	 * kernel cuts it to net.core.somaxconn. */
	BACKLOG = 4096,
	WAIT_MIN_MS = 10,
	WAIT_MAX_MS = 1000,
};
#define NS_PER_MS UINT64_C(1000000)
#define NEVER     UINT64_MAX

static void on_retry(struct dv_timer *timer);

/* ---- peers ------------------------------------------------------------ */

void dv_peer_get(int fd, bool pidfd, struct dv_peer *peer)
{
	struct sockaddr_vm vm = { 0 };
	socklen_t len = sizeof(vm);
	struct ucred cred;
	int pfd;

	*peer = (struct dv_peer)DV_PEER_INIT;
	if (getpeername(fd, (struct sockaddr *)&vm, &len) < 0)
		return;
	if (vm.svm_family == AF_VSOCK) {
		peer->cid = vm.svm_cid;
		return;
	}
	len = sizeof(cred);
	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &len) == 0) {
		peer->uid = cred.uid;
		peer->gid = cred.gid;
		peer->pid = cred.pid;
	}
	len = sizeof(pfd);
	if (pidfd && getsockopt(fd, SOL_SOCKET, SO_PEERPIDFD, &pfd, &len) == 0)
		peer->pidfd = pfd;
}

/* ---- watching --------------------------------------------------------- */

static void watch(struct dv_listener *l)
{
	dv_src_mod(&l->src, l->paused || l->waiting ? 0 : EPOLLIN);
}

/* The timer is always armed, because only re-arming it cannot fail. */
static void set_retry(struct dv_listener *l, uint64_t at_ns)
{
	dv_timer_set(l->loop, &l->retry, at_ns, on_retry);
}

static void on_retry(struct dv_timer *timer)
{
	struct dv_listener *l =
		dv_container_of(timer, struct dv_listener, retry);

	set_retry(l, NEVER);
	l->waiting = false;
	watch(l);
}

static void back_off(struct dv_listener *l)
{
	l->n_waits++;
	l->wait_ms = l->wait_ms ? dv_min(2 * l->wait_ms, (uint32_t)WAIT_MAX_MS)
				: WAIT_MIN_MS;
	l->waiting = true;
	watch(l);
	set_retry(l, dv_now_ns() + l->wait_ms * NS_PER_MS);
}

void dv_listener_pause(struct dv_listener *l)
{
	if (!l->loop)
		return;
	l->paused = true;
	watch(l);
}

void dv_listener_resume(struct dv_listener *l)
{
	if (!l->loop)
		return;
	l->paused = false;
	l->waiting = false;
	set_retry(l, NEVER);
	watch(l);
}

/* ---- accepting -------------------------------------------------------- */

static void hand_out(struct dv_listener *l, int fd)
{
	struct dv_peer peer;

	dv_peer_get(fd, l->flags & DV_LISTEN_PIDFD, &peer);
	if (l->only_cid != DV_CID_NONE && peer.cid != l->only_cid) {
		l->n_refused++;
		dv_close(fd);
		return;
	}
	l->fn(l, fd, &peer);
	dv_close(peer.pidfd);
}

/*
 * What accept() says about one connection, which is gone then; the next one may
 * be fine. All other errors are about us, and shall pass.
 */
static bool only_this_one(int sys)
{
	switch (sys) {
	case EINTR:
	case ECONNABORTED:
	case ECONNRESET:
	case EPROTO:
	case EPERM:
	case EOPNOTSUPP:
	case ENETDOWN:
	case ENETUNREACH:
	case EHOSTUNREACH:
	case ENONET:
	case ENOPROTOOPT:
	case ETIMEDOUT:
		return true;
	default:
		return false;
	}
}

static void on_ready(struct dv_src *src, uint32_t events DV_UNUSED)
{
	struct dv_listener *l = dv_container_of(src, struct dv_listener, src);
	bool gone = false;

	l->gonep = &gone;
	for (int i = 0; i < BUDGET && !l->paused; i++) {
		int fd = accept4(l->fd, NULL, NULL,
				 SOCK_CLOEXEC | SOCK_NONBLOCK);

		if (fd >= 0) {
			l->wait_ms = 0;
			hand_out(l, fd);
			if (gone)
				return;
		} else if (errno == EAGAIN) {
			break;
		} else if (!only_this_one(errno)) {
			back_off(l);
			break;
		}
	}
	l->gonep = NULL;
}

/* ---- life ------------------------------------------------------------- */

int dv_listener_start(struct dv_listener *l, struct dv_loop *loop, int fd,
		      uint32_t flags, dv_accept_fn *fn, struct dv_err *err)
{
	int r;

	dv_assert(!l->loop);
	l->fd = fd;
	l->flags = flags;
	l->fn = fn;
	l->paused = l->waiting = false;
	l->wait_ms = 0;
	r = listen(fd, BACKLOG) < 0 ? -errno : dv_fd_nonblock(fd, true);
	if (r == 0)
		r = dv_timer_set(loop, &l->retry, NEVER, on_retry);
	if (r == 0)
		r = dv_src_add(loop, &l->src, fd, EPOLLIN, on_ready);
	if (r < 0) {
		dv_listener_close(l);
		return dv_err_sys(err, -r, "listen");
	}
	l->loop = loop;
	return 0;
}

/* Only if it is still ours: somebody may have put another one there. */
static void remove_path(struct dv_listener *l)
{
	struct stat st;

	if (l->path && lstat(l->path, &st) == 0 && st.st_dev == l->dev &&
	    st.st_ino == l->ino)
		unlink(l->path);
	free(l->path);
	l->path = NULL;
}

void dv_listener_close(struct dv_listener *l)
{
	dv_src_del(&l->src);
	dv_timer_stop(&l->retry);
	remove_path(l);
	l->fd = dv_close(l->fd);
	l->loop = NULL;
	if (l->gonep)
		*l->gonep = true;
	l->gonep = NULL;
}
