/* SPDX-License-Identifier: MIT */
#pragma once
/*
 * Who holds how much of what is limited.
 *
 * Holders are processes, grouped by user; a CID of AF_VSOCK is a user with one
 * process, and so are all of whom nothing is known. When something is used up,
 * the user who has most of it pays, and of that user's processes the one that
 * has most. So nobody loses what he has to a process that wants more, nor to a
 * user with many processes; only those of the same user who have as much as the
 * greediest may. A process is known by its number: one that got the number of
 * another, which is gone but for its connections, is one with it.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "transport/listener.h"

enum dv_share {
	DV_SHARE_CONNS,
	DV_SHARE_CALLS,   /* held */
	DV_SHARE_BYTES,   /* of unfinished requests and unsent answers */
	DV_SHARE_STREAMS, /* that were claimed (rpc/claims.h) */
	DV_SHARE_N
};

struct dv_holder;

struct dv_user {
	struct dv_user *next, **prevp;
	struct dv_holder *holders;
	uint64_t id;
	size_t n[DV_SHARE_N];
};

struct dv_holder {
	struct dv_holder *next, **prevp;
	struct dv_user *user;
	struct dv_shares *shares;
	pid_t pid;
	unsigned int refs;
	size_t n[DV_SHARE_N];
};

/* Embedded; all zero is empty. */
struct dv_shares {
	struct dv_user *users;
	size_t n[DV_SHARE_N]; /* of all */
};

/*
 * The holder that @peer (borrowed; NULL: unknown) is, with one reference more;
 * NULL: no memory.
 */
struct dv_holder *dv_shares_join(struct dv_shares *shares,
				 const struct dv_peer *peer);
/* One reference more. */
static inline void dv_holder_join(struct dv_holder *holder)
{
	holder->refs++;
}
/* Give a reference back; with the last one everything it had is given back. */
void dv_holder_leave(struct dv_holder *holder);

static inline void dv_holder_add(struct dv_holder *h, enum dv_share kind,
				 size_t n)
{
	h->n[kind] += n;
	h->user->n[kind] += n;
	h->shares->n[kind] += n;
}
static inline void dv_holder_sub(struct dv_holder *h, enum dv_share kind,
				 size_t n)
{
	dv_holder_add(h, kind, (size_t)0 - n);
}

/* Those who have as much as the greediest process of the greediest user. */
struct dv_payers {
	const struct dv_user *user; /* NULL: nobody has anything */
	enum dv_share kind;
	size_t most;
};

/*
 * Who pays for one more of @kind. Where users have as much as each other it is
 * the one of @asks (NULL: nobody asks), who has got what he asks for already.
 */
struct dv_payers dv_shares_payers(const struct dv_shares *shares,
				  enum dv_share kind,
				  const struct dv_holder *asks);

static inline bool dv_pays(const struct dv_payers *p, const struct dv_holder *h)
{
	return h->user == p->user && h->n[p->kind] == p->most;
}
