/* SPDX-License-Identifier: MIT */
#pragma once
/*
 * The inside of a reader.
 */
#include "runtime/log/outlog_entry.h"

enum {
	DV_OUTLOG_WINDOW = 64 * 1024, /* of the index, at once */
	DV_OUTLOG_BUF = 256 * 1024,   /* of the bytes: what fits a cache */
};

struct dv_outlog_reader {
	int fd, idx_fd;   /* owned */
	uint32_t streams; /* DV_DIAG_STDOUT, DV_DIAG_STDERR */
	uint64_t until;   /* UINT64_MAX: for ever */
	uint64_t limit;   /* of the index; UINT64_MAX: it follows */
	bool over;        /* nobody writes any more */
	int failed;       /* -errno, from then on */
	/* Where it is: the entry at byte @at of the index, and the next byte of
	 * the log. An entry is entered once: then its gap was counted. */
	uint64_t at, pos;
	bool entered, flagged;
	unsigned int drops; /* found since the last piece */
	uint64_t end;       /* of the entry before: no entry begins earlier */
	uint64_t lost;      /* not told yet */
	/* A part of the index as it was. All its entries are final but the last
	 * one, which may have grown since. */
	uint8_t *win; /* owned */
	uint64_t win_at;
	size_t win_len;
	uint64_t win_end; /* of the bytes that it is about */
	/* Bytes that were there when they were read. */
	char *buf; /* owned */
	uint64_t buf_at;
	size_t buf_len;
	char name[64]; /* for messages; cut */
};

/* Where to begin. Returns 0 or -errno. outlog_start.c */
int dv_outlog_start(struct dv_outlog_reader *r,
		    const struct dv_sandbox_log_opts *opts);
/* Bytes of the index that are whole entries; 0 when it cannot be known. */
uint64_t dv_outlog_idx_size(const struct dv_outlog_reader *r);
/* As much as is there of [@at, @at + @len) of the log. Bytes or -errno. */
ssize_t dv_outlog_read_bytes(const struct dv_outlog_reader *r, char *to,
			     size_t len, uint64_t at);

static inline bool dv_outlog_wants(const struct dv_outlog_reader *r,
				   const struct dv_outlog_entry *e)
{
	return e->stream && (r->streams & (UINT32_C(1) << e->stream));
}
