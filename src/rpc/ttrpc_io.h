/* SPDX-License-Identifier: MIT */
#pragma once
/*
 * ttrpc frames over a socket, with descriptors beside them; what client and
 * server have in common. Private to this room. Nothing blocks.
 *
 * Descriptors belong to the frame that holds the last byte of the read they
 * came with. The kernel ends a read after the bytes that were sent with
 * descriptors, and we send these bytes alone; so this is the frame they were
 * sent with, even when it and others arrive at once.
 */
#include "base/buf.h"
#include "rpc/limits.h"
#include "wire/ttrpc.h"

/* Why a frame is refused; in the order in which it is checked. */
enum tt_verdict {
	TT_OK = 0,
	TT_PARITY, /* servers only: the stream number is even */
	TT_TYPE,   /* servers only: it is no request */
	TT_SIZE,
};

struct tt_frame {
	struct dv_ttrpc_hdr hdr;
	enum tt_verdict verdict;
	const uint8_t *payload;  /* borrowed; of a frame that is not refused */
	int fds[DV_RPC_FDS_MAX]; /* owned by the caller */
	size_t n_fds;
};

/* Descriptors that wait for their frame to be sent. */
struct tt_out_fds {
	struct tt_out_fds *next;
	uint64_t at;  /* offset of the frame in all that was ever queued */
	uint64_t end; /* behind it */
	size_t n;
	int fds[]; /* owned */
};

struct tt_io {
	int fd;             /* owned */
	bool server, local; /* local: a unix socket */
	size_t recv_max;
	/* The part of a frame that has come so far, or whole frames that are
	 * waiting for their turn. */
	struct dv_buf in;
	uint64_t received, parsed;   /* bytes of the connection's life */
	struct dv_ttrpc_hdr refused; /* its payload is dropped as it comes */
	uint64_t drop_left;
	enum tt_verdict why;
	struct {
		int fd;      /* owned */
		uint64_t at; /* bytes received with and before it */
	} fds[DV_RPC_FDS_MAX];
	size_t n_fds;
	/* What is to be sent: out.data + sent. */
	struct dv_buf out;
	size_t sent;
	uint64_t gone; /* bytes of the connection's life, before out.data */
	struct tt_out_fds *out_fds, **out_fds_tail;
};

/* @fd is consumed. */
void tt_io_init(struct tt_io *io, int fd, bool server, size_t recv_max);
/* Closes everything. Idempotent. */
void tt_io_free(struct tt_io *io);

/*
 * Read once (@flags: MSG_DONTWAIT, or 0 to wait for it), into @scratch
 * (DV_RPC_READ_LEN bytes) or behind what is there already. Sets @rd to all that
 * is to be parsed now, which ends with tt_io_keep(). Returns the number of
 * bytes, 0 at the end, -EAGAIN, or another -errno: the connection is lost.
 */
ssize_t tt_io_fill(struct tt_io *io, void *scratch, int flags,
		   struct dv_rd *rd);
/* What was kept; nothing is read. */
struct dv_rd tt_io_kept(const struct tt_io *io);
/* Bytes that were read elsewhere (borrowed), with descriptors (consumed). */
int tt_io_preload(struct tt_io *io, struct dv_rd *rd, const void *head,
		  size_t len, int *fds, size_t n_fds);
/* The next frame: 0, or DV_MORE. */
int tt_io_next(struct tt_io *io, struct dv_rd *rd, struct tt_frame *frame);
/* Close what nobody took of a frame's descriptors. */
void tt_frame_done(struct tt_frame *frame);
/* Keep what was not parsed. Returns 0 or -errno. */
int tt_io_keep(struct tt_io *io, const struct dv_rd *rd);
/* Is the first frame of @rd complete? */
bool tt_io_ready(const struct tt_io *io, const struct dv_rd *rd);

/* Bytes that wait to be sent. */
static inline size_t tt_io_queued(const struct tt_io *io)
{
	return io->out.len - io->sent;
}
/*
 * The frame that was appended to io->out from @start on goes with descriptors
 * (duplicated). Returns 0 or -errno; then the frame is to be taken back.
 */
int tt_io_attach(struct tt_io *io, size_t start, const int *fds, size_t n_fds);
/* Send. Returns 0 when nothing waits, DV_MORE, or -errno: it is lost. */
int tt_io_flush(struct tt_io *io);
