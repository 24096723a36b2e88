/* SPDX-License-Identifier: MIT */
#pragma once
/*
 * Data connections, server side: a stream that waits, under a random 64-bit
 * id, for the call that names it. The id is the first thing that its client
 * reads: 8 bytes, little-endian.
 *
 * Unclaimed ones are limited in number and in time, and end when their client
 * hangs up. Over the limit the oldest one goes of the process that has most, of
 * the user who has most (rpc/shares.h). Claimed ones are counted until they are
 * closed, and have a limit of their own (rpc/claims.h).
 */
#include <stddef.h>
#include <stdint.h>

#include "davit/err.h"
#include "davit/loop.h"

struct dv_data;
struct dv_peer;

enum {
	/* Unclaimed at a time, 3 of 300 execs; less where the process may not
	 * have so many descriptors. */
	DV_DATA_MAX = 1024,
	DV_DATA_EXPIRE_MS = 60000, /* the call follows at once, or never */
};

struct dv_data_opts {
	size_t size;
	unsigned int max; /* unclaimed at a time; 0: the default, see above */
	int expire_ms;    /* 0: DV_DATA_EXPIRE_MS */
	/* Claimed at a time; 0: DV_RPC_STREAMS_MAX, less where the process may
	 * not have so many descriptors. */
	unsigned int max_claimed;
};

/* Returns 0, -EINVAL or -ENOMEM. @opts may be NULL. */
int dv_data_new(struct dv_data **datap, struct dv_loop *loop,
		const struct dv_data_opts *opts);
/* Closes what is unclaimed. NULL is allowed. Returns NULL. */
struct dv_data *dv_data_free(struct dv_data *data);

/*
 * Take a connection: @fd is consumed, also on failure. @peer (borrowed; NULL:
 * unknown) is who is behind it.
 */
int dv_data_take(struct dv_data *data, int fd, const struct dv_peer *peer);

/*
 * The connection with that id (>= 0, owned by the caller, non-blocking), or
 * -ENOENT with @err: "invalid connection id", "connection disconnected"; or
 * -EMFILE (code DV_EXHAUSTED) when its client has too many of them.
 */
int dv_data_claim(struct dv_data *data, uint64_t id, struct dv_err *err);
/*
 * Count @fd (borrowed), which came another way, as one that @peer (borrowed;
 * NULL: unknown) has claimed. 0, -EMFILE as above, or -errno.
 */
int dv_data_count_claimed(struct dv_data *data, int fd,
			  const struct dv_peer *peer, struct dv_err *err);

size_t dv_data_count(const struct dv_data *data);

/* For a restart: each unclaimed one; fd is borrowed. And back again. */
int dv_data_save(struct dv_data *data,
		 int (*each)(void *arg, uint64_t id, int fd), void *arg);
int dv_data_restore(struct dv_data *data, uint64_t id, int fd);
/*
 * The same of each claimed one, which somebody else has: fd is borrowed. One
 * that is no connection any more is not counted.
 */
int dv_data_save_claimed(struct dv_data *data, int (*each)(void *arg, int fd),
			 void *arg);
void dv_data_restore_claimed(struct dv_data *data, int fd);
