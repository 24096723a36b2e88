/* SPDX-License-Identifier: MIT */
#pragma once
/*
 * Streams that were handed out: data connections that a call has claimed, and
 * descriptors that came along with one. Whoever got one owns it, and closes it
 * without a word; it is known to be gone by its number, behind which there is
 * another file then, or none, or that comes a second time. So nobody who has a
 * stream has to tell its end. Now and then all are looked at, so that those
 * that are gone are not many more than those that are open.
 *
 * At the limit the user who has most of them pays (rpc/shares.h): he gets no
 * more, and when another one asks, the oldest of his streams is shut down,
 * which its owner takes for the end of its client.
 *
 * Embedded in its owner; private to this room.
 */
#include "davit/err.h"
#include "rpc/shares.h"

struct dv_claim;

enum { DV_CLAIMS_BUCKETS = 256 };

struct dv_claims {
	struct dv_shares *shares; /* borrowed: DV_SHARE_STREAMS of it */
	struct dv_claim *oldest, **tail;
	struct dv_claim *buckets[DV_CLAIMS_BUCKETS]; /* by number */
	size_t n, max, sweep_at;
};

void dv_claims_init(struct dv_claims *claims, struct dv_shares *shares,
		    size_t max);
/* Forgets all of them, closes nothing. */
void dv_claims_deinit(struct dv_claims *claims);
/*
 * Count @fd (borrowed) as one of @holder (borrowed). Returns 0, -EMFILE (code
 * DV_EXHAUSTED) with @err when it is one too many, or -errno.
 */
int dv_claims_add(struct dv_claims *claims, int fd, struct dv_holder *holder,
		  struct dv_err *err);
/* Those that still are open, oldest first; @fd is borrowed. */
int dv_claims_each(struct dv_claims *claims, int (*each)(void *arg, int fd),
		   void *arg);
