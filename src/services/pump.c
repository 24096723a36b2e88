/* SPDX-License-Identifier: MIT */
/*
 * DOC: a pump
 *
 *	READING --bytes--> WRITING --all written--> READING ...
 *	   |                  |
 *	   +--end of source---+--> LINGER (sockets) --> DONE
 *	   +--destination is gone ----------------------^
 *
 * Both descriptors are always watched for hang-up: a pipe that nobody reads any
 * more ends its pump at once, and so does a client that closed. A client that
 * only shut down its writing side has not gone: that is no hang-up. Hang-ups
 * are reported whether asked for or not and again and again, so a side that is
 * not waited for is taken off the loop when it reports one.
 *
 * splice() says EAGAIN for either side; a poll() of both then tells for which.
 */
#include "services/pump.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <termios.h>

#include "base/def.h"
#include "base/fd.h"
#include "services/procs.h"

enum {
	ROUNDS_MAX = 16,      /* moves in a row: at most some ms */
	SPLICE_MAX = 1 << 20, /* more than any pipe holds */
	SOCKET_ROOM = 512 << 10,
	PIECE_MAX = 32 << 10, /* of a document; its sizes have 16 bits */
	VEOF_MAX = 2,
	STUCK_MAX = 8, /* that often both sides may have moved meanwhile */
};

/* What a step wants next. */
enum next { GO_ON, WAIT_FROM, WAIT_TO, ENDED };

static void on_src(struct dv_src *src, uint32_t ev);
static void on_dst(struct dv_src *src, uint32_t ev);

/* ---- the end ---------------------------------------------------------- */

static void on_end(struct dv_defer *defer)
{
	struct dv_pump *p = dv_container_of(defer, struct dv_pump, end);

	if (p->done)
		p->done(p);
}

static void release(struct dv_pump *p)
{
	dv_src_del(&p->src);
	dv_src_del(&p->dst);
	free(p->buf);
	p->buf = NULL;
	p->off = p->len = 0;
}

static void finished(struct dv_pump *p)
{
	release(p);
	p->from = dv_close(p->from);
	p->to = dv_close(p->to);
	p->state = DV_PUMP_DONE;
	dv_defer_add(p->loop, &p->end, on_end);
}

static void on_lingered(struct dv_linger *linger)
{
	finished(dv_container_of(linger, struct dv_pump, linger));
}

static void linger(struct dv_pump *p)
{
	p->from = dv_close(p->from);
	release(p);
	p->state = DV_PUMP_LINGER;
	if (dv_linger_start(&p->linger, p->loop, dv_take_fd(&p->to),
			    on_lingered) < 0)
		finished(p);
	if (p->sent)
		p->sent(p);
}

static void ended(struct dv_pump *p)
{
	if (p->kind == DV_PUMP_SOCKET && !p->gone)
		linger(p);
	else
		finished(p);
}

/* ---- moving bytes ----------------------------------------------------- */

/*
 * The end of a terminal's input is a character, as long as the reader wants
 * lines: one, or two when the line before it was not ended.
 */
static void put_veof(struct dv_pump *p)
{
	struct termios t;
	size_t n = p->midline ? 2 : 1;

	if (p->kind != DV_PUMP_TTY || tcgetattr(p->to, &t) < 0 ||
	    !(t.c_lflag & ICANON) || !t.c_cc[VEOF])
		return;
	if (!p->buf)
		p->buf = malloc(VEOF_MAX);
	if (!p->buf)
		return;
	memset(p->buf, t.c_cc[VEOF], n);
	p->off = 0;
	p->len = n;
}

static void source_ended(struct dv_pump *p)
{
	p->eof = true;
	dv_src_del(&p->src);
	put_veof(p);
}

static ssize_t write_some(struct dv_pump *p)
{
	ssize_t n = (ssize_t)(p->len - p->off);

	if (p->kind == DV_PUMP_SOCKET)
		n = dv_send(p->to, p->buf + p->off, (size_t)n);
	else if (p->kind != DV_PUMP_NOWHERE)
		n = dv_write(p->to, p->buf + p->off, (size_t)n);
	return n;
}

static enum next gone(struct dv_pump *p)
{
	p->gone = true;
	return ENDED;
}

static enum next flush(struct dv_pump *p)
{
	ssize_t n = write_some(p);

	if (n == -EAGAIN || n == 0)
		return WAIT_TO;
	if (n < 0)
		return gone(p);
	p->off += (size_t)n;
	p->bytes += p->eof && p->kind == DV_PUMP_TTY ? 0 : (uint64_t)n;
	p->midline = p->buf[p->off - 1] != '\n';
	if (p->off == p->len)
		p->off = p->len = 0;
	return GO_ON;
}

static enum next fill(struct dv_pump *p)
{
	ssize_t n;

	if (!p->buf)
		p->buf = malloc(DV_PUMP_BUF);
	if (!p->buf)
		return gone(p); /* the stream ends, the process goes on */
	n = dv_read(p->from, p->buf, DV_PUMP_BUF);
	if (n == -EAGAIN) {
		free(p->buf); /* most streams are idle most of the time */
		p->buf = NULL;
		return WAIT_FROM;
	}
	/* EIO: nobody has the terminal open. Reset: the client is gone. */
	if (n <= 0) {
		source_ended(p);
		return GO_ON;
	}
	p->len = (size_t)n;
	return GO_ON;
}

static enum next who_waits(struct dv_pump *p)
{
	struct pollfd fds[2] = {
		{ .fd = p->from, .events = POLLIN },
		{ .fd = p->to, .events = POLLOUT },
	};

	if (poll(fds, 2, 0) < 0)
		return WAIT_FROM;
	if (!(fds[0].revents & (POLLIN | POLLHUP)))
		return WAIT_FROM;
	if (!(fds[1].revents & POLLOUT))
		return WAIT_TO;
	/* Ready since then; or they are, and yet splice() moves nothing. */
	p->copies = ++p->stuck == STUCK_MAX;
	return GO_ON;
}

/*
 * A stream that carries much gets a larger pipe, and more room in its socket:
 * three processes take turns, and each turn is to move as much as possible.
 * More than this leaves the processor's cache. Only root gets more than the
 * machine's limit for a socket.
 */
static void widen(struct dv_pump *p)
{
	enum { MUCH = 1 << 20 };
	int room = SOCKET_ROOM;

	if (p->wide || p->bytes < MUCH)
		return;
	p->wide = true;
	dv_pipe_widen(p->kind == DV_PUMP_PIPE ? p->to : p->from, SPLICE_MAX);
	if (p->kind == DV_PUMP_SOCKET &&
	    setsockopt(p->to, SOL_SOCKET, SO_SNDBUFFORCE, &room, sizeof(room)) <
		    0)
		setsockopt(p->to, SOL_SOCKET, SO_SNDBUF, &room, sizeof(room));
}

static enum next move(struct dv_pump *p)
{
	ssize_t n = splice(p->from, NULL, p->to, NULL, SPLICE_MAX,
			   SPLICE_F_MOVE | SPLICE_F_NONBLOCK);

	if (n > 0) {
		p->stuck = 0;
		p->bytes += (uint64_t)n;
		widen(p);
		return GO_ON;
	}
	if (n == 0) {
		source_ended(p);
		return GO_ON;
	}
	if (errno == EAGAIN)
		return who_waits(p);
	if (errno == EINTR)
		return GO_ON;
	if (errno == EPIPE)
		return gone(p);
	p->copies = true; /* reading and writing will say what is wrong */
	return GO_ON;
}

static enum next step(struct dv_pump *p)
{
	if (p->off < p->len)
		return flush(p);
	if (p->eof)
		return ENDED;
	return p->copies ? fill(p) : move(p);
}

/* ---- the loop --------------------------------------------------------- */

static int want(struct dv_pump *p, struct dv_src *src, int fd, uint32_t events,
		dv_src_fn *fn)
{
	if (src->loop)
		return src->events == events ? 0 : dv_src_mod(src, events);
	return fd < 0 ? 0 : dv_src_add(p->loop, src, fd, events, fn);
}

static void wait_for(struct dv_pump *p, enum next next)
{
	bool to = next == WAIT_TO;
	int r = 0;

	p->state = to ? DV_PUMP_WRITING : DV_PUMP_READING;
	/* A source off the loop comes back only when it is waited for. */
	if (!p->eof && (p->src.loop || !to))
		r = want(p, &p->src, p->from, to ? 0 : EPOLLIN, on_src);
	if (r == 0)
		r = want(p, &p->dst, p->to, to ? EPOLLOUT : 0, on_dst);
	if (r < 0) {
		p->gone = true;
		ended(p);
	}
}

static void run(struct dv_pump *p)
{
	enum next next = GO_ON;

	for (int i = 0; i < ROUNDS_MAX && next == GO_ON; i++)
		next = step(p);
	if (next == ENDED)
		ended(p);
	else if (next == GO_ON) /* others come first; then at once again */
		wait_for(p, p->off < p->len || p->eof ? WAIT_TO : WAIT_FROM);
	else
		wait_for(p, next);
}

static void on_src(struct dv_src *src, uint32_t ev)
{
	struct dv_pump *p = dv_container_of(src, struct dv_pump, src);

	if (p->state == DV_PUMP_READING)
		run(p);
	else if (ev & (EPOLLHUP | EPOLLERR))
		dv_src_del(src); /* there may be more to read, later */
}

static void on_dst(struct dv_src *src, uint32_t ev)
{
	struct dv_pump *p = dv_container_of(src, struct dv_pump, dst);

	if (ev & (EPOLLHUP | EPOLLERR)) {
		p->gone = true;
		ended(p);
	} else {
		run(p);
	}
}

/* ---- life ------------------------------------------------------------- */

int dv_pump_hold(struct dv_pump *p, const void *data, size_t len)
{
	char *buf = realloc(p->buf, dv_max(p->len + len, DV_PUMP_BUF));

	if (!buf)
		return -ENOMEM;
	if (len)
		memcpy(buf + p->len, data, len);
	p->buf = buf;
	p->len += len;
	return 0;
}

/* The first look is the loop's: the owner is not called from inside. */
static int watch(struct dv_pump *p)
{
	bool to = p->off < p->len || p->eof || p->from < 0;
	int r = 0;

	p->state = to ? DV_PUMP_WRITING : DV_PUMP_READING;
	if (!to || p->from >= 0)
		r = p->eof ? 0
			   : dv_src_add(p->loop, &p->src, p->from,
					to ? 0 : EPOLLIN, on_src);
	if (r == 0 && p->to >= 0)
		r = dv_src_add(p->loop, &p->dst, p->to, to ? EPOLLOUT : 0,
			       on_dst);
	return r;
}

int dv_pump_start(struct dv_pump *p, struct dv_loop *loop, int from, int to,
		  enum dv_pump_to kind)
{
	int r = 0;

	p->loop = loop;
	p->from = from;
	p->to = to;
	p->kind = kind;
	p->eof = p->eof || from < 0;
	/* splice() works on pipes only, and a terminal's bytes are looked at */
	p->copies = kind == DV_PUMP_TTY || kind == DV_PUMP_NOWHERE;
	if (from >= 0)
		r = dv_fd_nonblock(from, true);
	if (r == 0 && to >= 0)
		r = dv_fd_nonblock(to, true);
	if (r == 0)
		r = watch(p);
	if (r < 0)
		dv_pump_stop(p);
	return r;
}

void dv_pump_finish(struct dv_pump *p)
{
	if (!dv_pump_runs(p) || p->state == DV_PUMP_LINGER || p->eof)
		return;
	/* What is on its way keeps its place before the end. */
	shutdown(p->from, SHUT_RD);
}

void dv_pump_abandon(struct dv_pump *p)
{
	release(p);
	dv_linger_abandon(&p->linger);
	dv_defer_del(&p->end);
	p->from = p->to = -1;
	p->state = DV_PUMP_IDLE;
}

void dv_pump_stop(struct dv_pump *p)
{
	dv_close(p->from);
	dv_close(p->to);
	dv_linger_stop(&p->linger);
	dv_pump_abandon(p);
}

/* ---- documents -------------------------------------------------------- */

int dv_pieces_add(pb_bytes_array_t ***listp, pb_size_t *countp,
		  const void *data, size_t len)
{
	const char *p = data;

	while (len > 0) {
		size_t n = dv_min(len, (size_t)PIECE_MAX);
		pb_bytes_array_t **list =
			reallocarray(*listp, *countp + 1U, sizeof(void *));

		if (!list)
			return -ENOMEM;
		*listp = list;
		list[*countp] = malloc(PB_BYTES_ARRAY_T_ALLOCSIZE(n));
		if (!list[*countp])
			return -ENOMEM;
		list[*countp]->size = (pb_size_t)n;
		/* NOLINTNEXTLINE(clang-analyzer-core.NonNullParamChecker) */
		memcpy(list[*countp]->bytes, p, n);
		++*countp;
		p += n;
		len -= n;
	}
	return 0;
}

int dv_fd_from_state(uint32_t v)
{
	return v == 0 || v > INT32_MAX ? -1 : (int)(v - 1);
}

int dv_pump_save(const struct dv_pump *p, dv_PumpState *out)
{
	out->from = dv_fd_to_state(p->from);
	out->to = dv_fd_to_state(p->to < 0 ? p->linger.fd : p->to);
	out->kind = (uint32_t)p->kind;
	out->bytes = p->bytes;
	out->eof = p->eof;
	out->midline = p->midline;
	out->lingers = p->state == DV_PUMP_LINGER;
	return dv_pieces_add(&out->data, &out->data_count,
			     p->buf ? p->buf + p->off : NULL, p->len - p->off);
}

int dv_pump_restore(struct dv_pump *p, struct dv_loop *loop,
		    const dv_PumpState *state)
{
	int from = dv_fd_from_state(state->from);
	int to = dv_fd_from_state(state->to), r = 0;

	p->eof = state->eof;
	p->bytes = state->bytes;
	p->midline = state->midline;
	if (state->kind >= DV_PUMP_TO_N ||
	    (to < 0) != (state->kind == DV_PUMP_NOWHERE))
		r = -EINVAL;
	for (pb_size_t i = 0; i < state->data_count && r == 0; i++)
		r = dv_pump_hold(p, state->data[i]->bytes,
				 state->data[i]->size);
	if (r < 0) {
		dv_close(from);
		dv_close(to);
		dv_pump_abandon(p);
		return r;
	}
	if (state->lingers) {
		p->loop = loop;
		p->to = to;
		p->kind = DV_PUMP_SOCKET;
		linger(p);
		return 0;
	}
	return dv_pump_start(p, loop, from, to, (enum dv_pump_to)state->kind);
}
