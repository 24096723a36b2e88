/* SPDX-License-Identifier: MIT */
/*
 * DOC: the door.
 *
 * Whoever has not yet said what it wants is a visitor. Visitors are in two
 * lists by age: those who were silent so far, and those whose first bytes are
 * not enough; these have a deadline. When there are too many, the oldest silent
 * one goes of those who have most (rpc/shares.h), or, without any, the oldest
 * of their others.
 */
#include "rpc/door.h"

#include <errno.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/def.h"
#include "base/fd.h"
#include "rpc/recv_fds.h"
#include "rpc/shares.h"
#include "transport/hvsock_accept.h"
#include "transport/unix.h"

#define NS_PER_MS UINT64_C(1000000)
#define PREFACE   "PRI * "

enum {
	MAX_SILENT = 256,
	HEAD_MAX = 4096, /* one read: a request fits, mostly */
	PORT_DIAG = 1,
	PORT_DATA = 2,
};

struct visitor;
struct list {
	struct visitor *oldest, **tail;
};

struct visitor {
	struct dv_door *door;
	struct list *list;
	struct visitor *next, **prevp;
	struct dv_src src;
	struct dv_timer timer;
	struct dv_peer peer;
	struct dv_holder *holder;
	int fd; /* owned */
	struct dv_buf head;
	int fds[DV_RPC_FDS_MAX]; /* owned */
	size_t n_fds;
};

struct dv_door {
	struct dv_loop *loop;
	struct dv_door_opts opts;
	struct dv_listener listener;
	struct dv_hvsock_numbers numbers;
	struct list silent, begun;
	struct dv_shares shares;
	unsigned int n_visitors;
};

/* ---- visitors ---- */

static void enlist(struct visitor *v, struct list *list)
{
	v->list = list;
	v->next = NULL;
	v->prevp = list->tail;
	*list->tail = v;
	list->tail = &v->next;
}

static void delist(struct visitor *v)
{
	*v->prevp = v->next;
	if (v->next)
		v->next->prevp = v->prevp;
	else
		v->list->tail = v->prevp;
}

static void give_back(struct dv_holder *place)
{
	dv_holder_sub(place, DV_SHARE_CONNS, 1);
	dv_holder_leave(place);
}

/* Whatever it still owns is closed. */
static void visitor_free(struct visitor *v)
{
	dv_src_del(&v->src);
	dv_timer_stop(&v->timer);
	delist(v);
	v->door->n_visitors--;
	give_back(v->holder);
	for (size_t i = 0; i < v->n_fds; i++)
		dv_close(v->fds[i]);
	dv_buf_free(&v->head);
	dv_close(v->fd);
	free(v);
}

static void send_away(struct visitor *v, const char *why)
{
	dv_log(v->door->opts.log, DV_LOG_DEBUG, "door: closed: %s conn=%d", why,
	       v->fd);
	visitor_free(v);
}

static void on_deadline(struct dv_timer *timer)
{
	send_away(dv_container_of(timer, struct visitor, timer),
		  "it took too long to say what it wants");
}

/* ---- going through ---- */

/* The connection as the one who takes it sees it; the visitor lets go of it. */
static struct dv_entry entry_of(struct visitor *v, size_t skip, uint32_t port)
{
	struct dv_entry e = {
		.fd = dv_take_fd(&v->fd),
		.peer = &v->peer,
		.port = port,
		.head = v->head.data + skip,
		.len = v->head.len - skip,
		.fds = v->fds,
		.n_fds = v->n_fds,
	};

	dv_src_del(&v->src);
	dv_timer_stop(&v->timer);
	v->n_fds = 0;
	return e;
}

static void enter(struct visitor *v, struct dv_server *server,
		  enum dv_proto proto, size_t skip)
{
	struct dv_entry e;

	if (!server) {
		send_away(v, "nobody serves this protocol");
		return;
	}
	e = entry_of(v, skip, 0);
	dv_server_take(server, e.fd, proto, e.peer, e.head, e.len, e.fds,
		       e.n_fds);
	visitor_free(v);
}

static void hand_over(struct visitor *v,
		      int (*taker)(void *arg, const struct dv_entry *entry),
		      size_t skip, const struct dv_hvsock_addr *addr)
{
	struct dv_entry e;

	if (!taker) {
		send_away(v, "nobody takes it");
		return;
	}
	e = entry_of(v, skip, addr ? addr->port : 0);
	e.guid = addr && addr->guid;
	e.number = addr ? dv_hvsock_number(&v->door->numbers) : 0;
	taker(v->door->opts.arg, &e);
	visitor_free(v);
}

/* Bytes behind CONNECT 2 could not be given back to the socket. */
static void enter_data(struct visitor *v, size_t skip)
{
	struct dv_entry e;

	if (v->head.len > skip || v->n_fds) {
		send_away(v, "it sent data before it had an answer");
		return;
	}
	e = entry_of(v, skip, PORT_DATA);
	dv_data_take(v->door->opts.data, e.fd, e.peer);
	visitor_free(v);
}

static bool port_is_open(const struct dv_door *d, uint32_t port)
{
	if (port == PORT_DIAG)
		return d->opts.diag;
	if (port == PORT_DATA)
		return d->opts.data;
	return d->opts.connect;
}

/* 0, DV_MORE, or < 0: it is to be refused. */
static int greet_hvsock(struct visitor *v)
{
	struct dv_door *d = v->door;
	struct dv_hvsock_addr addr;
	struct dv_err err = DV_ERR_INIT;
	size_t used;
	int r = dv_hvsock_parse_connect(v->head.data, v->head.len, &addr, &used,
					&err);

	if (r == DV_MORE)
		return r;
	if (r == 0 && !port_is_open(d, addr.port))
		r = dv_err_set(&err, ECONNREFUSED, DV_UNAVAILABLE,
			       "nobody listens on port %u", addr.port);
	if (r < 0) {
		dv_hvsock_refuse(dv_take_fd(&v->fd), err.msg);
		send_away(v, err.msg);
		return r;
	}
	/* Ports that others take answer for themselves: they may fail. */
	if (addr.port != PORT_DIAG && addr.port != PORT_DATA) {
		hand_over(v, d->opts.connect, used, &addr);
		return 0;
	}
	r = dv_hvsock_answer(v->fd, &addr, dv_hvsock_number(&d->numbers));
	if (r < 0)
		send_away(v, dv_errno_text(-r));
	else if (addr.port == PORT_DIAG)
		enter(v, d->opts.diag, DV_PROTO_TTRPC_DIAG, used);
	else
		enter_data(v, used);
	return r;
}

static int greet_grpc(struct visitor *v)
{
	size_t len = dv_min(v->head.len, sizeof(PREFACE) - 1);

	if (memcmp(v->head.data, PREFACE, len) != 0)
		send_away(v, "an unknown protocol");
	else if (len < sizeof(PREFACE) - 1)
		return DV_MORE;
	else
		enter(v, v->door->opts.server, DV_PROTO_GRPC, 0);
	return 0;
}

/* Decide by what is there. DV_MORE: it is not enough; else @v is gone. */
static int greet(struct visitor *v)
{
	switch (v->head.data[0]) {
	case 'C':
	case 'c':
		return greet_hvsock(v);
	case 'P':
		return greet_grpc(v);
	case 0x00:
		enter(v, v->door->opts.server, DV_PROTO_TTRPC, 0);
		return 0;
	case 0x01:
		hand_over(v, v->door->opts.probe, 0, NULL);
		return 0;
	default:
		send_away(v, "an unknown protocol");
	}
	return 0;
}

static void first_bytes(struct visitor *v)
{
	uint64_t at =
		dv_now_ns() + (uint64_t)v->door->opts.handshake_ms * NS_PER_MS;

	if (v->list != &v->door->silent)
		return;
	delist(v);
	enlist(v, &v->door->begun);
	if (dv_timer_set(v->door->loop, &v->timer, at, on_deadline) < 0)
		send_away(v, "no memory");
}

static void on_io(struct dv_src *src, uint32_t events)
{
	struct visitor *v = dv_container_of(src, struct visitor, src);
	char *p = dv_buf_room(&v->head, HEAD_MAX);
	ssize_t n = p ? dv_recv_fds(v->fd, p, HEAD_MAX, MSG_DONTWAIT, v->fds,
				    &v->n_fds)
		      : -ENOMEM;

	(void)events;
	if (n == -EAGAIN)
		return;
	if (n <= 0) {
		send_away(v, n ? dv_errno_text((int)-n) : "it went away");
		return;
	}
	dv_buf_add(&v->head, (size_t)n);
	if (greet(v) == DV_MORE)
		first_bytes(v);
}

/* ---- coming in ---- */

static bool may_enter(const struct dv_door *d, const struct dv_peer *peer)
{
	if (d->opts.admit)
		return d->opts.admit(d->opts.arg, peer);
	/* A listener for AF_VSOCK has its own rule about who may come. */
	if (peer->cid != DV_CID_NONE)
		return true;
	return peer->uid == geteuid() || peer->uid == 0;
}

static struct visitor *oldest(const struct list *list,
			      const struct dv_payers *payers)
{
	struct visitor *v = list->oldest;

	while (v && !dv_pays(payers, v->holder))
		v = v->next;
	return v;
}

/* False: everybody else has less than @asks, who is counted already. */
static bool make_room(struct dv_door *d, const struct dv_holder *asks)
{
	struct dv_payers payers =
		dv_shares_payers(&d->shares, DV_SHARE_CONNS, asks);
	struct visitor *v = oldest(&d->silent, &payers);

	if (!v)
		v = oldest(&d->begun, &payers);
	if (v)
		send_away(v, "too many say nothing");
	return v;
}

/* A place among the visitors for @peer, or NULL. */
static struct dv_holder *hold_place(struct dv_door *d,
				    const struct dv_peer *peer)
{
	struct dv_holder *h = dv_shares_join(&d->shares, peer);

	if (!h)
		return NULL;
	dv_holder_add(h, DV_SHARE_CONNS, 1);
	if (d->n_visitors < d->opts.max_silent || make_room(d, h))
		return h;
	give_back(h);
	return NULL;
}

/* @fd is consumed, also on failure. */
static int let_in(struct dv_door *d, int fd, const struct dv_peer *peer,
		  struct visitor **vp)
{
	dv_autofd int owned = fd;
	struct visitor *v;
	int r;

	v = calloc(1, sizeof(*v));
	if (!v)
		return -ENOMEM;
	v->holder = hold_place(d, peer);
	if (!v->holder) {
		free(v);
		return -EMFILE;
	}
	v->door = d;
	v->peer = *peer;
	v->peer.pidfd = -1;
	v->head.max = HEAD_MAX + DV_HVSOCK_LINE_MAX;
	v->src = (struct dv_src)DV_SRC_INIT;
	r = dv_fd_nonblock(fd, true);
	if (r == 0)
		r = dv_src_add(d->loop, &v->src, fd, EPOLLIN, on_io);
	if (r < 0) {
		give_back(v->holder);
		free(v);
		return r;
	}
	v->fd = dv_take_fd(&owned);
	enlist(v, &d->silent);
	d->n_visitors++;
	*vp = v;
	return 0;
}

int dv_door_admit(struct dv_door *d, int fd, const struct dv_peer *peer)
{
	struct visitor *v;

	if (may_enter(d, peer))
		return let_in(d, fd, peer, &v);
	dv_log(d->opts.log, DV_LOG_WARN, "door: not admitted uid=%u pid=%d",
	       peer->uid, (int)peer->pid);
	dv_close(fd);
	return -EACCES;
}

static int save_list(const struct list *list,
		     int (*each)(void *arg, int fd, const void *head,
				 size_t len),
		     void *arg)
{
	int r = 0;

	/* Descriptors that came along are lost with the connection. */
	for (struct visitor *v = list->oldest; r == 0 && v; v = v->next)
		if (v->n_fds == 0)
			r = each(arg, v->fd, v->head.data, v->head.len);
	return r;
}

int dv_door_save(const struct dv_door *d,
		 int (*each)(void *arg, int fd, const void *head, size_t len),
		 void *arg)
{
	int r = save_list(&d->silent, each, arg);

	return r ? r : save_list(&d->begun, each, arg);
}

int dv_door_restore(struct dv_door *d, int fd, const void *head, size_t len)
{
	struct dv_peer peer = DV_PEER_INIT;
	struct visitor *v;
	int r;

	dv_peer_get(fd, false, &peer);
	r = let_in(d, fd, &peer, &v);
	if (r < 0 || len == 0)
		return r;
	if (dv_buf_put(&v->head, head, len) < 0)
		send_away(v, "no memory");
	else if (greet(v) == DV_MORE)
		first_bytes(v);
	return 0;
}

static void on_accept(struct dv_listener *l, int fd, struct dv_peer *peer)
{
	dv_door_admit(dv_container_of(l, struct dv_door, listener), fd, peer);
}

int dv_door_new(struct dv_door **doorp, struct dv_loop *loop, const char *path,
		int fd, const struct dv_door_opts *opts, struct dv_err *err)
{
	dv_autofd int owned = path ? -1 : fd;
	struct dv_door *d;
	int r;

	if (opts->size != sizeof(*opts))
		return dv_err_sys(err, EINVAL, "door options");
	d = calloc(1, sizeof(*d));
	if (!d)
		return dv_err_sys(err, ENOMEM, "door");
	d->loop = loop;
	d->opts = *opts;
	if (!d->opts.max_silent)
		d->opts.max_silent =
			dv_rpc_fd_share(MAX_SILENT, DV_RPC_SILENT_PART);
	if (!d->opts.handshake_ms)
		d->opts.handshake_ms = DV_HVSOCK_DEADLINE_MS;
	d->silent.tail = &d->silent.oldest;
	d->begun.tail = &d->begun.oldest;
	d->listener = (struct dv_listener)DV_LISTENER_INIT;
	if (path)
		r = dv_unix_listen(&d->listener, loop, path, opts->flags,
				   on_accept, err);
	else
		r = dv_listener_start(&d->listener, loop, dv_take_fd(&owned), 0,
				      on_accept, err);
	if (r < 0) {
		free(d);
		return r;
	}
	*doorp = d;
	return 0;
}

struct dv_door *dv_door_free(struct dv_door *d)
{
	if (!d)
		return NULL;
	while (d->silent.oldest)
		visitor_free(d->silent.oldest);
	while (d->begun.oldest)
		visitor_free(d->begun.oldest);
	dv_listener_close(&d->listener);
	free(d);
	return NULL;
}

int dv_door_fd(const struct dv_door *d)
{
	return d->listener.fd;
}
