/* SPDX-License-Identifier: MIT */
/*
 * DOC: tunnels
 *
 * Each lane is by itself
 *
 *	READING <-> WRITING
 *	   |           |
 *	   +-> ENDED <-+
 *
 * and never waits for both its ends, which bounds what it holds. An end of the
 * tunnel is watched for what its two lanes wait for. A hang-up cannot be masked
 * in epoll: an end that nobody waits for is not watched at all, or a peer that
 * is gone would keep the loop spinning while the other side is slow. One case
 * is left: a lane that ended leaves nobody to notice that the source of it,
 * which is also the destination of the other lane, has gone for good. There
 * the end is watched for nothing but the hang-up.
 *
 * A lane that fills its buffer several times in a row goes on through a pipe:
 * splice() moves pages from socket to socket. It raises SIGPIPE where send()
 * has a flag against that, so the signal is held back around the call.
 */
#include "transport/relay.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/def.h"
#include "base/fd.h"

enum {
	BUDGET = 16, /* rounds per callback: other sources wait */
	/* Short exchanges are not worth two descriptors and more calls. */
	FULL_BEFORE_SPLICE = 8,
};

static void on_io(struct dv_src *src, uint32_t events);

/* ---- ends of lanes ---------------------------------------------------- */

static void lane_free(struct dv_lane *lane)
{
	free(lane->buf);
	lane->buf = NULL;
	lane->len = lane->piped = 0;
	lane->pipe[0] = dv_close(lane->pipe[0]);
	lane->pipe[1] = dv_close(lane->pipe[1]);
}

static void lane_end(struct dv_tunnel *t, int i, int sys)
{
	struct dv_lane *lane = &t->lane[i];

	if (lane->state == DV_LANE_ENDED)
		return;
	lane->state = DV_LANE_ENDED;
	lane->sys = sys;
	lane_free(lane);
	if (t->end[1 - i].socket)
		shutdown(t->end[1 - i].fd, SHUT_WR);
	/* Nobody takes it any more: who goes on writing shall notice. */
	if (sys && t->end[i].socket)
		shutdown(t->end[i].fd, SHUT_RD);
}

/* ---- through a buffer ------------------------------------------------- */

static ssize_t end_write(const struct dv_tunnel_end *end, const char *p,
			 size_t len)
{
	return end->socket ? dv_send(end->fd, p, len)
			   : dv_write(end->fd, p, len);
}

static ssize_t fill_buffer(struct dv_lane *lane,
			   const struct dv_tunnel_end *end)
{
	ssize_t n;

	if (!lane->buf)
		lane->buf = malloc(DV_TUNNEL_BUF);
	if (!lane->buf)
		return -ENOMEM;
	n = dv_read(end->fd, lane->buf, DV_TUNNEL_BUF);
	if (n > 0) {
		lane->head = 0;
		lane->len = (size_t)n;
		lane->n_full = n == DV_TUNNEL_BUF ? lane->n_full + 1 : 0;
	}
	return n;
}

static ssize_t drain_buffer(struct dv_lane *lane,
			    const struct dv_tunnel_end *end)
{
	ssize_t n = end_write(end, lane->buf + lane->head, lane->len);

	if (n > 0) {
		lane->head += (size_t)n;
		lane->len -= (size_t)n;
	}
	return n;
}

/* ---- through a pipe --------------------------------------------------- */

/* Switch over, while nothing is held. Without success nothing changes. */
static void try_pipe(struct dv_tunnel *t, struct dv_lane *lane)
{
	if (lane->n_full < FULL_BEFORE_SPLICE || lane->no_splice ||
	    lane->pipe[0] >= 0)
		return;
	if (!t->end[0].socket || !t->end[1].socket || dv_pipe(lane->pipe) < 0) {
		lane->no_splice = true;
		return;
	}
	free(lane->buf);
	lane->buf = NULL;
}

static ssize_t do_splice(int from, int to, size_t len)
{
	ssize_t n;

	do
		n = splice(from, NULL, to, NULL, len,
			   SPLICE_F_NONBLOCK | SPLICE_F_MOVE);
	while (n < 0 && errno == EINTR);
	return n < 0 ? -errno : n;
}

static ssize_t fill_pipe(struct dv_lane *lane, const struct dv_tunnel_end *end)
{
	ssize_t n = do_splice(end->fd, lane->pipe[1], DV_TUNNEL_BUF);

	if (n > 0)
		lane->piped = (size_t)n;
	if (n == -EINVAL) { /* this kind of socket cannot */
		lane->no_splice = true;
		lane_free(lane);
		n = fill_buffer(lane, end);
	}
	return n;
}

static ssize_t drain_pipe(struct dv_lane *lane, const struct dv_tunnel_end *end)
{
	static const struct timespec now = { 0, 0 };
	sigset_t sigpipe, before, pending;
	ssize_t n;

	sigemptyset(&sigpipe);
	sigaddset(&sigpipe, SIGPIPE);
	pthread_sigmask(SIG_BLOCK, &sigpipe, &before);
	sigpending(&pending);
	n = do_splice(lane->pipe[0], end->fd, lane->piped);
	if (n == -EPIPE && !sigismember(&pending, SIGPIPE))
		sigtimedwait(&sigpipe, NULL, &now);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	if (n > 0)
		lane->piped -= (size_t)n;
	return n;
}

/* ---- rounds ----------------------------------------------------------- */

/* Both return DV_MORE to go on at once, or 0 to wait. */
static int lane_read(struct dv_tunnel *t, int i)
{
	struct dv_lane *lane = &t->lane[i];
	ssize_t n;

	try_pipe(t, lane);
	n = lane->pipe[0] >= 0 ? fill_pipe(lane, &t->end[i])
			       : fill_buffer(lane, &t->end[i]);
	if (n == -EAGAIN)
		return 0;
	if (n > 0) {
		lane->state = DV_LANE_WRITING;
		return DV_MORE;
	}
	lane_end(t, i, (int)-n);
	return 0;
}

static int lane_write(struct dv_tunnel *t, int i)
{
	struct dv_lane *lane = &t->lane[i];
	ssize_t n = lane->piped ? drain_pipe(lane, &t->end[1 - i])
				: drain_buffer(lane, &t->end[1 - i]);

	if (n == -EAGAIN)
		return 0;
	if (n < 0) {
		lane_end(t, i, (int)-n);
		return 0;
	}
	lane->total += (uint64_t)n;
	if (lane->len == 0 && lane->piped == 0)
		lane->state = DV_LANE_READING;
	return DV_MORE;
}

static void lane_pump(struct dv_tunnel *t, int i)
{
	int r = DV_MORE;

	for (int n = 0; n < 2 * BUDGET && r == DV_MORE; n++) {
		if (t->lane[i].state == DV_LANE_READING)
			r = lane_read(t, i);
		else if (t->lane[i].state == DV_LANE_WRITING)
			r = lane_write(t, i);
		else
			r = 0;
	}
}

/* ---- watching --------------------------------------------------------- */

static int watch_end(struct dv_tunnel *t, int e)
{
	struct dv_tunnel_end *end = &t->end[e];
	enum dv_lane_state out = t->lane[e].state, in = t->lane[1 - e].state;
	uint32_t events = 0;

	if (out == DV_LANE_READING)
		events |= EPOLLIN;
	if (in == DV_LANE_WRITING)
		events |= EPOLLOUT;
	if (!events && !(out == DV_LANE_ENDED && in == DV_LANE_READING)) {
		dv_src_del(&end->src);
		return 0;
	}
	if (end->src.loop)
		return dv_src_mod(&end->src, events);
	return dv_src_add(t->loop, &end->src, end->fd, events, on_io);
}

static int watch_ends(struct dv_tunnel *t)
{
	int r = watch_end(t, 0);

	return r < 0 ? r : watch_end(t, 1);
}

static bool all_ended(const struct dv_tunnel *t)
{
	return t->lane[0].state == DV_LANE_ENDED &&
	       t->lane[1].state == DV_LANE_ENDED;
}

static void on_io(struct dv_src *src, uint32_t events)
{
	struct dv_tunnel_end *end =
		dv_container_of(src, struct dv_tunnel_end, src);
	struct dv_tunnel *t =
		end->second ? dv_container_of(end, struct dv_tunnel, end[1])
			    : dv_container_of(end, struct dv_tunnel, end[0]);
	int e = end->second, r;
	bool gone = events & (EPOLLHUP | EPOLLERR);

	if (gone && t->lane[e].state == DV_LANE_ENDED &&
	    t->lane[1 - e].state == DV_LANE_READING)
		lane_end(t, 1 - e, EPIPE);
	if ((gone || (events & EPOLLIN)) && t->lane[e].state == DV_LANE_READING)
		lane_pump(t, e);
	if ((gone || (events & EPOLLOUT)) &&
	    t->lane[1 - e].state == DV_LANE_WRITING)
		lane_pump(t, 1 - e);
	r = watch_ends(t);
	if (r < 0) { /* no memory to wait with */
		lane_end(t, 0, -r);
		lane_end(t, 1, -r);
	}
	if (!all_ended(t))
		return;
	dv_tunnel_close(t);
	if (t->fn)
		t->fn(t);
}

/* ---- life ------------------------------------------------------------- */

int dv_tunnel_preload(struct dv_tunnel *t, int lane, const void *data,
		      size_t len)
{
	struct dv_lane *l = &t->lane[lane];

	dv_assert(!t->loop && (lane == 0 || lane == 1));
	if (len == 0)
		return 0;
	if (len > DV_TUNNEL_BUF - l->len)
		return -EMSGSIZE;
	if (!l->buf)
		l->buf = malloc(DV_TUNNEL_BUF);
	if (!l->buf)
		return -ENOMEM;
	memcpy(l->buf + l->len, data, len);
	l->len += len;
	return 0;
}

static int end_init(struct dv_tunnel_end *end, int fd, bool second)
{
	struct stat st;
	int r = dv_fd_nonblock(fd, true);

	end->second = second;
	end->socket = r == 0 && fstat(fd, &st) == 0 && S_ISSOCK(st.st_mode);
	return r;
}

int dv_tunnel_start(struct dv_tunnel *t, struct dv_loop *loop, int a, int b,
		    dv_tunnel_fn *fn, struct dv_err *err)
{
	int r;

	dv_assert(!t->loop);
	t->loop = loop;
	t->fn = fn;
	t->end[0].fd = a;
	t->end[1].fd = b;
	for (int i = 0; i < 2; i++)
		t->lane[i].state =
			t->lane[i].len ? DV_LANE_WRITING : DV_LANE_READING;
	r = end_init(&t->end[0], a, false);
	if (r == 0)
		r = end_init(&t->end[1], b, true);
	if (r == 0)
		r = watch_ends(t);
	if (r < 0) {
		dv_tunnel_close(t);
		return dv_err_sys(err, -r, "start a tunnel");
	}
	return 0;
}

/* From the pipe into a buffer, and on by that way. */
static int unpipe(struct dv_lane *lane)
{
	ssize_t n;

	lane->buf = malloc(DV_TUNNEL_BUF);
	if (!lane->buf)
		return -ENOMEM;
	n = dv_read_full(lane->pipe[0], lane->buf, lane->piped);
	if (n < 0)
		return (int)n;
	lane->head = 0;
	lane->len = (size_t)n;
	lane->piped = 0;
	lane->pipe[0] = dv_close(lane->pipe[0]);
	lane->pipe[1] = dv_close(lane->pipe[1]);
	return 0;
}

int dv_tunnel_held(struct dv_tunnel *t, int i, const char **datap, size_t *lenp)
{
	struct dv_lane *lane = &t->lane[i];
	int r = lane->piped ? unpipe(lane) : 0;

	*datap = lane->buf ? lane->buf + lane->head : "";
	*lenp = lane->len;
	return r;
}

void dv_tunnel_close(struct dv_tunnel *t)
{
	for (int i = 0; i < 2; i++) {
		dv_src_del(&t->end[i].src);
		t->end[i].fd = dv_close(t->end[i].fd);
		lane_free(&t->lane[i]);
		t->lane[i].state = DV_LANE_ENDED;
	}
	t->loop = NULL;
}
