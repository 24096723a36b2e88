/* SPDX-License-Identifier: MIT */
#include "rpc/data.h"

#include <errno.h>
#include <poll.h>
#include <stdbool.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include "base/buf.h"
#include "base/def.h"
#include "base/fd.h"
#include "base/random.h"
#include "rpc/claims.h"
#include "rpc/limits.h"
#include "rpc/shares.h"

#define NS_PER_MS UINT64_C(1000000)

enum { BUCKETS = 256, ID_LEN = 8 };

struct entry {
	struct dv_data *data;
	struct entry *next, **prevp;   /* by age */
	struct entry *chain, **chainp; /* in a bucket */
	struct dv_src src;
	struct dv_holder *holder;
	uint64_t id, expires_ns;
	int fd; /* owned */
};

struct dv_data {
	struct dv_loop *loop;
	struct dv_timer timer; /* for the oldest */
	struct entry *oldest, **tail;
	struct entry *buckets[BUCKETS];
	struct dv_shares shares;
	struct dv_claims claims;
	size_t n, max;
	uint64_t expire_ns;
};

int dv_data_new(struct dv_data **datap, struct dv_loop *loop,
		const struct dv_data_opts *opts)
{
	static const struct dv_data_opts defaults = { .size = sizeof(*opts) };
	struct dv_data *d;

	opts = opts ? opts : &defaults;
	if (opts->size != sizeof(*opts) || opts->expire_ms < 0)
		return -EINVAL;
	d = calloc(1, sizeof(*d));
	if (!d)
		return -ENOMEM;
	d->loop = loop;
	d->tail = &d->oldest;
	d->max = opts->max ? opts->max
			   : dv_rpc_fd_share(DV_DATA_MAX, DV_RPC_DATA_PART);
	dv_claims_init(&d->claims, &d->shares,
		       opts->max_claimed
			       ? opts->max_claimed
			       : dv_rpc_fd_share(DV_RPC_STREAMS_MAX,
						 DV_RPC_STREAMS_PART));
	d->expire_ns =
		NS_PER_MS * (uint64_t)(opts->expire_ms ? opts->expire_ms
						       : DV_DATA_EXPIRE_MS);
	*datap = d;
	return 0;
}

static struct entry **bucket_of(struct dv_data *d, uint64_t id)
{
	return &d->buckets[id % BUCKETS];
}

static struct entry *find(struct dv_data *d, uint64_t id)
{
	struct entry *e = *bucket_of(d, id);

	while (e && e->id != id)
		e = e->chain;
	return e;
}

/* Forget it and return its descriptor. */
static int take_out(struct entry *e)
{
	struct dv_data *d = e->data;
	int fd = e->fd;

	dv_src_del(&e->src);
	*e->prevp = e->next;
	if (e->next)
		e->next->prevp = e->prevp;
	else
		d->tail = e->prevp;
	*e->chainp = e->chain;
	if (e->chain)
		e->chain->chainp = e->chainp;
	d->n--;
	dv_holder_sub(e->holder, DV_SHARE_CONNS, 1);
	dv_holder_leave(e->holder);
	free(e);
	return fd;
}

static void evict(struct entry *e)
{
	dv_close(take_out(e));
}

struct dv_data *dv_data_free(struct dv_data *d)
{
	if (!d)
		return NULL;
	while (d->oldest)
		evict(d->oldest);
	dv_claims_deinit(&d->claims);
	dv_timer_stop(&d->timer);
	free(d);
	return NULL;
}

static void on_expiry(struct dv_timer *timer);

/* Without memory for the timer they stay; their number is limited anyway. */
static void arm(struct dv_data *d)
{
	if (d->oldest && !d->timer.loop)
		dv_timer_set(d->loop, &d->timer, d->oldest->expires_ns,
			     on_expiry);
}

static void on_expiry(struct dv_timer *timer)
{
	struct dv_data *d = dv_container_of(timer, struct dv_data, timer);
	uint64_t now = dv_now_ns();

	while (d->oldest && d->oldest->expires_ns <= now)
		evict(d->oldest);
	arm(d);
}

static void on_hangup(struct dv_src *src, uint32_t events)
{
	(void)events;
	evict(dv_container_of(src, struct entry, src));
}

/* One is too many: the oldest of those who have most, @last being counted. */
static void make_room(struct dv_data *d, const struct entry *last)
{
	struct dv_payers payers =
		dv_shares_payers(&d->shares, DV_SHARE_CONNS, last->holder);
	struct entry *e = d->oldest;

	while (!dv_pays(&payers, e->holder))
		e = e->next;
	evict(e);
}

/* An entry that watches @fd (borrowed) and is in no list yet. 0 or -errno. */
static int entry_new(struct dv_data *d, int fd, const struct dv_peer *peer,
		     struct entry **ep)
{
	struct entry *e = calloc(1, sizeof(*e));
	int r = -ENOMEM;

	if (!e)
		return r;
	e->data = d;
	e->fd = fd;
	e->holder = dv_shares_join(&d->shares, peer);
	if (e->holder)
		r = dv_src_add(d->loop, &e->src, fd, EPOLLRDHUP, on_hangup);
	if (r == 0) {
		dv_holder_add(e->holder, DV_SHARE_CONNS, 1);
		*ep = e;
		return 0;
	}
	if (e->holder)
		dv_holder_leave(e->holder);
	free(e);
	return r;
}

/* @fd is consumed. The entry may be gone already, when others are fewer. */
static int add(struct dv_data *d, uint64_t id, int fd,
	       const struct dv_peer *peer)
{
	struct entry **bucket = bucket_of(d, id);
	struct entry *e = NULL;
	int r = entry_new(d, fd, peer, &e);

	if (r < 0) {
		dv_close(fd);
		return r;
	}
	dv_assert(e);
	e->id = id;
	e->expires_ns = dv_now_ns() + d->expire_ns;
	e->prevp = d->tail;
	*d->tail = e;
	d->tail = &e->next;
	e->chain = *bucket;
	e->chainp = bucket;
	if (e->chain)
		e->chain->chainp = &e->chain;
	*bucket = e;
	if (++d->n > d->max)
		make_room(d, e);
	arm(d);
	return 0;
}

int dv_data_take(struct dv_data *d, int fd, const struct dv_peer *peer)
{
	uint8_t text[ID_LEN];
	struct entry *e;
	uint64_t id;
	ssize_t n;
	int r;

	do
		dv_random(&id, sizeof(id));
	while (id == 0 || find(d, id));
	r = dv_fd_nonblock(fd, true);
	if (r < 0) {
		dv_close(fd);
		return r;
	}
	r = add(d, id, fd, peer);
	if (r < 0)
		return r;
	e = find(d, id);
	if (!e)
		return -EMFILE;
	dv_put_le64(text, id);
	n = dv_send(fd, text, sizeof(text));
	if (n == sizeof(text))
		return 0;
	/* A peer that left no room for 8 bytes is not worth waiting for. */
	r = n < 0 ? (int)n : -EAGAIN;
	evict(e);
	return r;
}

int dv_data_claim(struct dv_data *d, uint64_t id, struct dv_err *err)
{
	struct entry *e = id ? find(d, id) : NULL;
	struct pollfd p = { .events = POLLRDHUP };
	int r;

	if (!e)
		return dv_err_set(err, ENOENT, DV_NOT_FOUND,
				  "invalid connection id");
	r = dv_claims_add(&d->claims, e->fd, e->holder, err);
	p.fd = take_out(e);
	if (r < 0) {
		dv_close(p.fd);
		return r;
	}
	if (poll(&p, 1, 0) > 0 &&
	    (p.revents & (POLLRDHUP | POLLHUP | POLLERR))) {
		dv_close(p.fd);
		return dv_err_set(err, ENOENT, DV_NOT_FOUND,
				  "connection disconnected");
	}
	return p.fd;
}

int dv_data_count_claimed(struct dv_data *d, int fd, const struct dv_peer *peer,
			  struct dv_err *err)
{
	struct dv_holder *h = dv_shares_join(&d->shares, peer);
	int r;

	if (!h)
		return dv_err_sys(err, ENOMEM, "count a stream");
	r = dv_claims_add(&d->claims, fd, h, err);
	dv_holder_leave(h);
	return r;
}

size_t dv_data_count(const struct dv_data *d)
{
	return d->n;
}

int dv_data_save(struct dv_data *d, int (*each)(void *arg, uint64_t id, int fd),
		 void *arg)
{
	int r = 0;

	for (struct entry *e = d->oldest; e && r == 0; e = e->next)
		r = each(arg, e->id, e->fd);
	return r;
}

int dv_data_restore(struct dv_data *d, uint64_t id, int fd)
{
	struct dv_peer peer = DV_PEER_INIT;

	if (id == 0 || find(d, id)) {
		dv_close(fd);
		return -EINVAL;
	}
	dv_peer_get(fd, false, &peer);
	return add(d, id, fd, &peer);
}

int dv_data_save_claimed(struct dv_data *d, int (*each)(void *arg, int fd),
			 void *arg)
{
	return dv_claims_each(&d->claims, each, arg);
}

void dv_data_restore_claimed(struct dv_data *d, int fd)
{
	struct sockaddr_storage to;
	socklen_t len = sizeof(to);
	struct dv_peer peer = DV_PEER_INIT;

	/* It is somebody's who did not outlive the program before. */
	if (fd < 0 || getpeername(fd, (struct sockaddr *)&to, &len) < 0)
		return;
	dv_peer_get(fd, false, &peer);
	dv_data_count_claimed(d, fd, &peer, NULL);
}
