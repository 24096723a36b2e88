/* SPDX-License-Identifier: MIT */
/*
 * DOC: relays
 *
 *	IDLE -> READING <-> WRITING -> DONE
 *
 * READING waits for the source, WRITING for the destination; never both, which
 * bounds what is held to one buffer and makes back-pressure follow by itself.
 * An end of the source closes the destination (half-close). A destination that
 * is gone closes the source, so that who writes into it sees EPIPE as it would
 * without us. That holds with a log too: it keeps what the caller was given.
 * While READING, the destination is watched for nothing but its hang-up: what
 * has no reader any more, and can get none, ends at once and not with the next
 * byte.
 *
 * Where pipe meets pipe nothing is copied: splice moves the pages. With a log,
 * tee gives the destination its copy first and splice then moves the same
 * bytes into the file, so the caller is never behind the log.
 */
#include "cli/relay.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <termios.h>
#include <unistd.h>

#include <davit/sandbox.h>

#include "base/def.h"
#include "base/fd.h"

enum {
	BUDGET = 16,         /* rounds per callback: other streams wait */
	CHUNK = 1 << 20,     /* the most one splice is asked for */
	SHARED_WRITE = 4096, /* PIPE_BUF: what POLLOUT promises of a pipe */
	STEP_WAIT_IN = 1,    /* conditions of one round */
	STEP_WAIT_OUT = 2,
	STEP_END = 3,
};

static void on_in(struct dv_src *src, uint32_t events);
static void on_out(struct dv_src *src, uint32_t events);
static void on_again(struct dv_defer *defer);

void dv_end_close(struct dv_end *end)
{
	dv_src_del(&end->src);
	end->fd = dv_close(end->fd);
}

void dv_relay_close(struct dv_relay *relay)
{
	dv_defer_del(&relay->again);
	dv_end_close(&relay->from);
	dv_end_close(&relay->to);
	free(relay->buf);
	relay->buf = NULL;
	relay->len = 0;
	relay->state = DV_RELAY_DONE;
}

static bool may_read(const struct dv_end *end)
{
	struct pollfd p = { .fd = end->fd, .events = POLLIN };

	return !end->shared || (poll(&p, 1, 0) == 1 && p.revents);
}

static bool may_write(const struct dv_end *end)
{
	struct pollfd p = { .fd = end->fd, .events = POLLOUT };

	return !end->shared || (poll(&p, 1, 0) == 1 && p.revents);
}

ssize_t dv_end_write(struct dv_end *end, const char *p, size_t len)
{
	if (end->socket)
		return dv_send(end->fd, p, len);
	if (!may_write(end))
		return -EAGAIN;
	return dv_write(end->fd, p,
			end->shared ? dv_min(len, (size_t)SHARED_WRITE) : len);
}

/* Nobody is there to take it, or it cannot be kept there. */
static int refused(struct dv_relay *r, int sys)
{
	r->sys = sys;
	return STEP_END;
}

/* Write what is held. 0: all of it went. */
static int flush(struct dv_relay *r)
{
	while (r->len) {
		ssize_t n = dv_end_write(&r->to, r->buf + r->head, r->len);

		if (n == -EAGAIN)
			return STEP_WAIT_OUT;
		if (n < 0)
			return refused(r, (int)-n);
		r->head += (size_t)n;
		r->len -= (size_t)n;
		r->total += (uint64_t)n;
	}
	return 0;
}

/* A pty knows no half-close: its end of file is a character. */
static void pass_tty_eof(struct dv_relay *r)
{
	struct termios t;

	if (tcgetattr(r->to.fd, &t) < 0 || !(t.c_lflag & ICANON))
		return;
	r->buf[0] = (char)t.c_cc[VEOF];
	r->head = 0;
	r->len = 1;
}

static int source_ended(struct dv_relay *r)
{
	if (!r->tty_eof)
		return STEP_END;
	r->tty_eof = false;
	r->finishing = true;
	pass_tty_eof(r);
	return flush(r) == STEP_WAIT_OUT ? STEP_WAIT_OUT : STEP_END;
}

/* Never waits, also where O_NONBLOCK is not ours to set. */
static ssize_t end_read(struct dv_end *end, char *buf, size_t len)
{
	ssize_t n;

	if (!end->socket)
		return may_read(end) ? dv_read(end->fd, buf, len) : -EAGAIN;
	do
		n = recv(end->fd, buf, len, MSG_DONTWAIT);
	while (n < 0 && errno == EINTR);
	return n < 0 ? -errno : n;
}

/* Through the buffer. */
static int round_copy(struct dv_relay *r)
{
	char *at = r->buf + DV_RELAY_SPARE;
	ssize_t n = end_read(&r->from, at, DV_RELAY_BUF);

	if (n == -EAGAIN)
		return r->finishing ? STEP_END : STEP_WAIT_IN;
	if (n <= 0) /* EIO is how the master of a pty says end */
		return source_ended(r);
	if (r->log)
		dv_outlog_put(r->log, r->stream, at, (size_t)n);
	r->len = (size_t)n;
	if (r->filter)
		at = r->filter(r, at, &r->len);
	r->head = (size_t)(at - r->buf);
	return flush(r);
}

static bool has_input(const struct dv_end *end)
{
	struct pollfd p = { .fd = end->fd, .events = POLLIN };

	return poll(&p, 1, 0) == 1 && (p.revents & POLLIN);
}

/* Pipe to pipe, without copying. */
static int round_splice(struct dv_relay *r)
{
	unsigned int flags = SPLICE_F_NONBLOCK | SPLICE_F_MOVE;
	ssize_t n;

	if (r->log)
		n = tee(r->from.fd, r->to.fd, CHUNK, SPLICE_F_NONBLOCK);
	else
		n = splice(r->from.fd, NULL, r->to.fd, NULL, CHUNK, flags);
	if (n == 0)
		return STEP_END;
	if (n > 0) {
		r->total += (uint64_t)n;
		if (r->log)
			dv_outlog_splice(r->log, r->stream, r->from.fd,
					 (size_t)n);
		return 0;
	}
	if (errno == EINTR)
		return 0;
	if (errno != EAGAIN) /* of two pipes, it is the second */
		return refused(r, errno);
	if (has_input(&r->from))
		return STEP_WAIT_OUT;
	return r->finishing ? STEP_END : STEP_WAIT_IN;
}

/* One round; 0 = there may be more, STEP_* otherwise. */
static int round_one(struct dv_relay *r)
{
	if (r->len)
		return flush(r);
	if (r->from.pipe && r->to.pipe)
		return round_splice(r);
	return round_copy(r);
}

static int wait_for(struct dv_relay *r, struct dv_end *end, uint32_t events,
		    dv_src_fn *fn)
{
	int res = 0;

	if (end->src.loop)
		return dv_src_mod(&end->src, events);
	if (!end->ready)
		res = dv_src_add(r->loop, &end->src, end->fd, events, fn);
	if (end->ready || res == -EPERM) { /* such as /dev/null: never waits */
		dv_defer_add(r->loop, &r->again, on_again);
		return 0;
	}
	return res;
}

/* Best effort: the next byte finds out, too. */
static void watch_hangup(struct dv_relay *r)
{
	struct dv_end *to = &r->to;

	if (!to->unique)
		return;
	if (to->src.loop)
		dv_src_mod(&to->src, 0);
	else
		dv_src_add(r->loop, &to->src, to->fd, 0, on_out);
}

static void finish(struct dv_relay *r)
{
	dv_relay_close(r);
	if (r->done)
		r->done(r);
}

/* Go on until something has to be waited for, or the budget is spent. */
static void pump(struct dv_relay *r)
{
	int step = 0, res = 0;

	for (int i = 0; i < BUDGET && step == 0; i++)
		step = round_one(r);
	if (step == STEP_END) {
		finish(r);
		return;
	}
	if (step == STEP_WAIT_OUT) {
		r->state = DV_RELAY_WRITING;
		dv_src_del(&r->from.src);
		res = wait_for(r, &r->to, EPOLLOUT, on_out);
	} else if (step == STEP_WAIT_IN) {
		r->state = DV_RELAY_READING;
		watch_hangup(r);
		res = wait_for(r, &r->from, EPOLLIN, on_in);
	} else {
		dv_defer_add(r->loop, &r->again, on_again);
	}
	if (res < 0)
		finish(r); /* out of memory or of epoll watches */
}

static void on_in(struct dv_src *src, uint32_t events DV_UNUSED)
{
	pump(dv_container_of(src, struct dv_relay, from.src));
}

static void on_out(struct dv_src *src, uint32_t events)
{
	struct dv_relay *r = dv_container_of(src, struct dv_relay, to.src);

	if (r->state == DV_RELAY_WRITING) {
		pump(r);
	} else if (events & (EPOLLHUP | EPOLLERR)) {
		refused(r, EPIPE);
		finish(r);
	}
}

static void on_again(struct dv_defer *defer)
{
	pump(dv_container_of(defer, struct dv_relay, again));
}

int dv_relay_start(struct dv_relay *r, struct dv_loop *loop)
{
	r->loop = loop;
	r->buf = malloc(DV_RELAY_SPARE + DV_RELAY_BUF);
	if (!r->buf) {
		dv_relay_close(r);
		return -ENOMEM;
	}
	/* Fewer rounds; the limit of an ordinary user may refuse, no harm. */
	if (r->from.pipe)
		fcntl(r->from.fd, F_SETPIPE_SZ, CHUNK);
	r->state = DV_RELAY_READING;
	dv_defer_add(loop, &r->again, on_again);
	return 0;
}

void dv_relay_pause(struct dv_relay *r)
{
	if (r->state != DV_RELAY_READING)
		return;
	dv_defer_del(&r->again);
	dv_src_del(&r->from.src);
	r->state = DV_RELAY_IDLE;
}

void dv_relay_resume(struct dv_relay *r)
{
	if (r->state != DV_RELAY_IDLE || !r->buf)
		return;
	r->state = DV_RELAY_READING;
	dv_defer_add(r->loop, &r->again, on_again);
}

void dv_relay_finish(struct dv_relay *r)
{
	if (!dv_relay_active(r) || r->finishing)
		return;
	r->finishing = true;
	if (r->state == DV_RELAY_READING)
		dv_defer_add(r->loop, &r->again, on_again);
}
