/* SPDX-License-Identifier: MIT */
#pragma once
/*
 * Kept output: the last DV_KEEP_BYTES of a stream, with absolute offsets, for
 * readers that come and go. One of them may be the primary: it has been there
 * from the start, loses nothing, and so holds the process back. The others are
 * closed when they are overrun, and know by their own count where.
 *
 * Embedded in its owner; private to this room.
 */
#include "davit/err.h"
#include "davit/loop.h"
#include "services/linger.h"
#include "wire/state.pb.h"

struct dv_kept;

struct dv_sink {
	struct dv_sink *next, **prevp;
	struct dv_kept *kept;
	int fd; /* owned; -1: it lingers */
	uint64_t at;
	bool primary, blocked;
	struct dv_src src;
	struct dv_linger linger;
};

struct dv_kept {
	struct dv_loop *loop; /* NULL: not in use */
	int from;             /* owned; -1: it has ended */
	struct dv_src src;
	struct dv_defer end;
	/* Owned: all it may hold, or, from the end of the source on, what it
	 * does hold. */
	char *ring;
	uint64_t end_at; /* offset behind the last byte */
	struct dv_sink *sinks;
	bool dropped; /* nothing is kept any more */
	/* No source and no reader any more; may free. Again after each later
	 * reader. */
	void (*idle)(struct dv_kept *kept);
	void *owner;
};

/* clang-format off */
#define DV_KEPT_INIT { .from = -1, .src = DV_SRC_INIT, .end = DV_DEFER_INIT }
/* clang-format on */

/*
 * Begin to read @from (consumed, also on failure; becomes non-blocking); @sink
 * (consumed too) is the primary reader, -1: none. Returns 0 or -errno.
 */
int dv_kept_start(struct dv_kept *kept, struct dv_loop *loop, int from,
		  int sink);
/* Add a reader; see dv_exec_attach(). */
int dv_kept_attach(struct dv_kept *kept, uint64_t offset, int fd, uint64_t *atp,
		   struct dv_err *err);
static inline bool dv_kept_runs(const struct dv_kept *kept)
{
	return kept->loop && (kept->from >= 0 || kept->sinks);
}
/* Bytes that are held for later readers; 0 until ->idle has been called. */
size_t dv_kept_bytes(const struct dv_kept *kept);
/* Forget them, if there are any. */
void dv_kept_drop(struct dv_kept *kept);
/* Close everything, forget what was kept; no callback. Idempotent. */
void dv_kept_stop(struct dv_kept *kept);
/* The same, but descriptors stay open. */
void dv_kept_abandon(struct dv_kept *kept);

/* malloc'd parts; 0 or -ENOMEM. */
int dv_kept_save(const struct dv_kept *kept, dv_KeptState *out);
/* Descriptors are consumed, also on failure. */
int dv_kept_restore(struct dv_kept *kept, struct dv_loop *loop,
		    const dv_KeptState *state);
