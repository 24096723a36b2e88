/* SPDX-License-Identifier: MIT */
#pragma once
/*
 * The log of what a command wrote: a file of raw bytes, and beside it an index
 * with an entry of 32 bytes for each piece (little-endian):
 *
 *	u64 offset	of the piece's first byte; absolute, since the beginning
 *	u64 unix_ns	when it was read
 *	u32 len
 *	u8  stream	1, 2; 0: no bytes, only what the flags say
 *	u8  flags	1 LOST: `lost` bytes are missing before it
 *			2 END: nothing follows (of this run)
 *	u16 0
 *	u64 lost
 *
 * The place of a byte in the file is its offset. When there is more than
 * @max, the oldest bytes are dropped by punching a hole, so that nothing else
 * moves; where the file system cannot do that, new ones are dropped instead.
 * The index is dropped from the same way; its first entry that is not zero is
 * the first that counts. A reader that follows never holds up the writer: it
 * looks after reading whether what it read had been dropped meanwhile.
 *
 * A full disk loses log, never output: it is counted and told by the next entry
 * that could be written.
 */
#include <davit/sandbox.h>

enum {
	DV_OUTLOG_ENTRY = 32,
	DV_OUTLOG_F_LOST = 1,
	DV_OUTLOG_F_END = 2,
};

struct dv_outlog {
	int fd, idx_fd; /* owned, -1 = closed */
	uint64_t max;   /* bytes kept; UINT64_MAX: all */
	uint64_t from;  /* the first that is kept */
	uint64_t offset, idx_from, idx_end;
	uint64_t lost;     /* since the last entry */
	uint64_t lost_all; /* since it was opened */
	int sys;           /* the first errno, 0 = none */
	bool punches;      /* holes work here */
};

/* clang-format off */
#define DV_OUTLOG_INIT { .fd = -1, .idx_fd = -1, .max = UINT64_MAX }
/* clang-format on */

/*
 * Open or create @path and @path.idx (relative to @dirfd) and go on at their
 * end: an entry that was cut is overwritten, bytes without one are lost.
 */
int dv_outlog_open(struct dv_outlog *log, int dirfd, const char *path,
		   uint64_t max, struct dv_err *err);
/* Idempotent. */
void dv_outlog_close(struct dv_outlog *log);
/* Append @len bytes of @stream. Never fails: see lost_all and sys. */
void dv_outlog_put(struct dv_outlog *log, uint8_t stream, const void *data,
		   size_t len);
/* The same for the next @len bytes of a pipe; all of them are consumed. */
void dv_outlog_splice(struct dv_outlog *log, uint8_t stream, int pipe_fd,
		      size_t len);
/* The streams have ended. A later start appends after it. */
void dv_outlog_end(struct dv_outlog *log);

/* One entry, as it is stored, and back: 0 or -EBADMSG for nonsense. */
struct dv_outlog_entry {
	uint64_t offset, unix_ns, lost;
	uint32_t len;
	uint8_t stream, flags;
};
void dv_outlog_encode(uint8_t out[DV_OUTLOG_ENTRY],
		      const struct dv_outlog_entry *entry);
int dv_outlog_decode(struct dv_outlog_entry *entry,
		     const uint8_t in[DV_OUTLOG_ENTRY]);
