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
 *			4 BEGIN: what follows is of another run
 *	u16 0
 *	u64 lost
 *
 * The place of a byte in the file is its offset. When there is more than
 * @max, the oldest pieces are dropped by punching a hole, so that nothing else
 * moves; where the file system cannot do that, new ones are dropped instead.
 * The index is dropped from the same way; its first entry that is not zero is
 * the first that counts. A reader that follows never holds up the writer: it
 * looks after reading whether what it read had been dropped meanwhile.
 *
 * Bytes are there before their entry is, and an entry goes before its bytes do.
 * The last entry may grow, by its len alone; all others are final.
 *
 * A full disk loses log, never output: it is counted and told by the next entry
 * that could be written. Offsets do not count what was lost that way.
 */
#include <davit/sandbox.h>

enum {
	DV_OUTLOG_ENTRY = 32,
	DV_OUTLOG_F_LOST = 1,
	DV_OUTLOG_F_END = 2,
	DV_OUTLOG_F_BEGIN = 4,
	/* Of the longest entry, and of a piece that a reader gives. Smaller
	 * where the log itself is small: it is dropped by whole entries. */
	DV_OUTLOG_PIECE_MAX = 1 << 20,
};

/* One entry, as it is stored, and back: 0 or -EBADMSG for nonsense. */
struct dv_outlog_entry {
	uint64_t offset, unix_ns, lost;
	uint32_t len;
	uint8_t stream, flags;
};
void dv_outlog_encode(uint8_t out[DV_OUTLOG_ENTRY],
		      const struct dv_outlog_entry *entry);
/* All bytes zero, one that was dropped, is -ENODATA. */
int dv_outlog_decode(struct dv_outlog_entry *entry,
		     const uint8_t in[DV_OUTLOG_ENTRY]);

/* ---- the writer ------------------------------------------------------------
 */

/* dv_outlog_put(), _splice(), _end(), _lost(): davit/sandbox.h. */
struct dv_outlog {
	int fd, idx_fd; /* owned, -1 = closed */
	uint64_t max;   /* bytes kept; UINT64_MAX: all */
	uint64_t from;  /* the first that is kept */
	uint64_t offset, idx_from, idx_end;
	uint64_t lost;     /* since the last entry */
	uint64_t lost_all; /* since it was opened */
	uint64_t tell_at;  /* of lost_all: then an entry says so at once */
	int sys;           /* the first errno, 0 = none */
	bool punches;      /* holes work here */
	int no_punch;      /* else: why not */
	bool grows;        /* `last` is the last entry, and ours */
	struct dv_outlog_entry last;
	size_t piece, block; /* bytes: of an entry at most; of a hole */
};

/* clang-format off */
#define DV_OUTLOG_INIT { .fd = -1, .idx_fd = -1, .max = UINT64_MAX }
/* clang-format on */

/*
 * Open or create @path and @path.idx (relative to @dirfd) and go on at their
 * end: an entry that was cut is overwritten, bytes without one stay a gap.
 * On failure nothing is open.
 */
int dv_outlog_open(struct dv_outlog *log, int dirfd, const char *path,
		   uint64_t max, struct dv_err *err);
/* A run begins: the one before, if there is any, ends here, also when its
 * writer was killed. */
void dv_outlog_begin(struct dv_outlog *log);
/* Idempotent. */
void dv_outlog_close(struct dv_outlog *log);

/* ---- the reader ------------------------------------------------------------
 */

/* Any number of them, each in one thread, with or without a writer. */
struct dv_outlog_reader;

/* What dv_outlog_next() gives besides the piece. */
enum {
	DV_OUTLOG_RUN_ENDED = 1, /* the streams of a run ended after it */
};

/*
 * Open @path and @path.idx below @dirfd, and find the place where to begin.
 * Without opts->follow it is about what is there now, and with it about all
 * that will be. -ENOENT: there is none (yet).
 */
int dv_outlog_reader_new(struct dv_outlog_reader **readerp, int dirfd,
			 const char *path,
			 const struct dv_sandbox_log_opts *opts,
			 struct dv_err *err);
/* The same with both files open (consumed). */
int dv_outlog_reader_of(struct dv_outlog_reader **readerp, int fd, int idx_fd,
			const struct dv_sandbox_log_opts *opts,
			struct dv_err *err);
struct dv_outlog_reader *dv_outlog_reader_free(struct dv_outlog_reader *reader);
/*
 * The next piece, with @flags. Returns 0; DV_MORE when that was all that is
 * there now; DV_EOF behind opts->until; or -errno, from then on: -EBADMSG when
 * the index makes no sense. A piece may have no bytes: a gap, or a flag.
 */
int dv_outlog_next(struct dv_outlog_reader *reader,
		   struct dv_sandbox_piece *piece, uint32_t *flags,
		   struct dv_err *err);
/* Nobody writes any more: bytes without an entry are a gap, too, instead of
 * being about to get one. */
void dv_outlog_reader_over(struct dv_outlog_reader *reader);
