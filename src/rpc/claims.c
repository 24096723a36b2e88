/* SPDX-License-Identifier: MIT */
#include "rpc/claims.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include "base/def.h"

/* Gone ones that are not worth a look. */
enum { SWEEP_MIN = 64 };

struct dv_claim {
	struct dv_claim *next, **prevp;   /* by age */
	struct dv_claim *chain, **chainp; /* in a bucket */
	struct dv_holder *holder;
	dev_t dev; /* what is behind the number, while it is the same */
	ino_t ino;
	int fd; /* borrowed */
	bool socket;
};

void dv_claims_init(struct dv_claims *c, struct dv_shares *shares, size_t max)
{
	*c = (struct dv_claims){ .shares = shares, .max = max };
	c->tail = &c->oldest;
	c->sweep_at = dv_min(max, (size_t)SWEEP_MIN);
}

static struct dv_claim **bucket_of(struct dv_claims *c, int fd)
{
	return &c->buckets[(unsigned int)fd % DV_CLAIMS_BUCKETS];
}

static void drop(struct dv_claims *c, struct dv_claim *one)
{
	*one->prevp = one->next;
	if (one->next)
		one->next->prevp = one->prevp;
	else
		c->tail = one->prevp;
	*one->chainp = one->chain;
	if (one->chain)
		one->chain->chainp = one->chainp;
	c->n--;
	dv_holder_sub(one->holder, DV_SHARE_STREAMS, 1);
	dv_holder_leave(one->holder);
	free(one);
}

void dv_claims_deinit(struct dv_claims *c)
{
	while (c->oldest)
		drop(c, c->oldest);
}

static bool is_open(const struct dv_claim *one)
{
	struct stat st;

	return fstat(one->fd, &st) == 0 && st.st_dev == one->dev &&
	       st.st_ino == one->ino;
}

static void sweep(struct dv_claims *c)
{
	struct dv_claim *next;

	for (struct dv_claim *one = c->oldest; one; one = next) {
		next = one->next;
		if (!is_open(one))
			drop(c, one);
	}
	c->sweep_at = dv_min(c->max, 2 * c->n + SWEEP_MIN);
}

/* Who comes with this number has it now: it may even be the same file, of which
 * is_open() would take the two for one that never was closed. */
static void drop_number(struct dv_claims *c, int fd)
{
	struct dv_claim *one = *bucket_of(c, fd);

	while (one && one->fd != fd)
		one = one->chain;
	if (one)
		drop(c, one);
}

/* A pipe cannot be taken back: whoever has only those keeps them. */
static bool end_oldest(struct dv_claims *c, const struct dv_payers *payers)
{
	struct dv_claim *one = c->oldest;

	while (one && !(one->socket && dv_pays(payers, one->holder)))
		one = one->next;
	if (!one)
		return false;
	shutdown(one->fd, SHUT_RDWR);
	drop(c, one);
	return true;
}

/* Room for one more of @holder, which is counted already. */
static int make_room(struct dv_claims *c, const struct dv_holder *holder,
		     struct dv_err *err)
{
	struct dv_payers payers;

	if (c->n >= c->sweep_at)
		sweep(c);
	if (c->n < c->max)
		return 0;
	payers = dv_shares_payers(c->shares, DV_SHARE_STREAMS, holder);
	if (!dv_pays(&payers, holder) && end_oldest(c, &payers))
		return 0;
	dv_err_hint(err, "close those that have been read to their end");
	return dv_err_set(err, EMFILE, DV_EXHAUSTED,
			  "%zu streams are open, which is the limit", c->n);
}

static void link_in(struct dv_claims *c, struct dv_claim *one)
{
	struct dv_claim **bucket = bucket_of(c, one->fd);

	one->prevp = c->tail;
	*c->tail = one;
	c->tail = &one->next;
	one->chain = *bucket;
	one->chainp = bucket;
	if (one->chain)
		one->chain->chainp = &one->chain;
	*bucket = one;
	c->n++;
}

/* @holder gets one reference and one stream more. */
static int add(struct dv_claims *c, int fd, struct dv_holder *holder)
{
	struct dv_claim *one = calloc(1, sizeof(*one));
	struct stat st;

	if (!one)
		return -ENOMEM;
	if (fstat(fd, &st) < 0) {
		free(one);
		return -errno;
	}
	one->fd = fd;
	one->dev = st.st_dev;
	one->ino = st.st_ino;
	one->socket = S_ISSOCK(st.st_mode);
	one->holder = holder;
	link_in(c, one);
	dv_holder_join(holder);
	dv_holder_add(holder, DV_SHARE_STREAMS, 1);
	return 0;
}

int dv_claims_add(struct dv_claims *c, int fd, struct dv_holder *holder,
		  struct dv_err *err)
{
	int r;

	drop_number(c, fd);
	dv_holder_add(holder, DV_SHARE_STREAMS, 1);
	r = make_room(c, holder, err);
	dv_holder_sub(holder, DV_SHARE_STREAMS, 1);
	if (r < 0)
		return r;
	r = add(c, fd, holder);
	return r < 0 ? dv_err_sys(err, -r, "count a stream") : 0;
}

int dv_claims_each(struct dv_claims *c, int (*each)(void *arg, int fd),
		   void *arg)
{
	int r = 0;

	sweep(c);
	for (struct dv_claim *one = c->oldest; one && r == 0; one = one->next)
		r = each(arg, one->fd);
	return r;
}
