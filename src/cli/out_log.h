/* SPDX-License-Identifier: MIT */
#pragma once
/*
 * The log of what a command wrote: FILE has the raw bytes, FILE.idx an entry of
 * 32 bytes for each piece. Both are appended to. A full disk loses log, never
 * output: it is counted and told in the next entry that could be written.
 */
#include <stddef.h>
#include <stdint.h>

#include <davit/err.h>

enum {
	DV_LOG_ENTRY = 32,
	DV_LOG_STDOUT = 1,
	DV_LOG_STDERR = 2,
	DV_LOG_F_LOST = 1, /* bytes before this entry are missing */
};

struct out_log {
	int fd, idx_fd;    /* owned, -1 = closed */
	uint64_t offset;   /* end of the data */
	uint64_t idx_end;  /* end of the index */
	uint64_t lost;     /* since the last entry */
	uint64_t lost_all; /* of this run */
	int sys;           /* the first errno, 0 = none */
};

#define DV_OUT_LOG_INIT                \
	{                              \
		.fd = -1, .idx_fd = -1 \
	}

/* Open or create @path and @path.idx. */
int dv_out_log_open(struct out_log *log, const char *path, struct dv_err *err);
/* Idempotent. */
void dv_out_log_close(struct out_log *log);

/* Append @len bytes of @stream. Never fails: see lost_all and sys. */
void dv_out_log_put(struct out_log *log, uint8_t stream, const void *data,
		    size_t len);
/* The same for the next @len bytes of a pipe; all of them are consumed. */
void dv_out_log_splice(struct out_log *log, uint8_t stream, int pipe_fd,
		       size_t len);

/* One entry, as it is stored. */
void dv_out_log_entry(uint8_t out[DV_LOG_ENTRY], uint64_t offset,
		      uint64_t unix_ns, uint32_t len, uint8_t stream,
		      uint64_t lost);
