/* SPDX-License-Identifier: MIT */
#pragma once
/*
 * pcapng: capture files. The writer is little-endian, with nanoseconds. The
 * reader takes both byte orders and every time resolution.
 */
#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"

/* A packet of 256 KiB, which is the longest that anybody captures, and room. */
#define DV_PCAPNG_BLOCK_MAX (512u << 10)
/* Interfaces of one section; libpcap's readers have a limit of this kind, too.
 */
#define DV_PCAPNG_IFS_MAX  256
#define DV_PCAPNG_NAME_MAX 64 /* of an interface: names are 15 bytes */
#define DV_PCAPNG_ETHERNET 1
/* What a packet costs beside its bytes. */
#define DV_PCAPNG_EPB_OVERHEAD 36

/* ---- writer; a failure is the buffer's status ---- */

/* The start of a file, or of a new section in it. */
void dv_pcapng_put_shb(struct dv_buf *out);
/* @name (cut at DV_PCAPNG_NAME_MAX) may be empty. Times are ns from here on. */
void dv_pcapng_put_idb(struct dv_buf *out, uint16_t linktype, uint32_t snaplen,
		       struct dv_str name);
/* A packet: @cap bytes of @orig. */
void dv_pcapng_put_epb(struct dv_buf *out, uint32_t if_id, uint64_t unix_ns,
		       const void *data, uint32_t cap, uint32_t orig);
/* Statistics: packets that the interface gave, those lost included. */
void dv_pcapng_put_isb(struct dv_buf *out, uint32_t if_id, uint64_t unix_ns,
		       uint64_t received, uint64_t dropped);

/* ---- reader ---- */

enum dv_pcapng_type {
	DV_PCAPNG_OTHER, /* a block that is not read: skip it */
	DV_PCAPNG_SHB,
	DV_PCAPNG_IDB,
	DV_PCAPNG_EPB,
	DV_PCAPNG_ISB,
};

struct dv_pcapng_if {
	uint16_t linktype;
	bool no_tsresol; /* not said: microseconds, or a broken writer */
	uint8_t tsresol; /* as in the option */
	uint32_t snaplen;
	int64_t tsoffset; /* seconds */
};

struct dv_pcapng_block {
	enum dv_pcapng_type type;
	uint32_t if_id;      /* IDB, EPB, ISB; valid in its section */
	uint64_t unix_ns;    /* EPB, ISB; beyond 2554 it stands still */
	uint32_t cap, orig;  /* EPB */
	const uint8_t *data; /* EPB: cap bytes, borrowed from the input */
	struct dv_str name;  /* IDB: borrowed, may be empty */
	uint64_t received, dropped; /* ISB; 0 when not said */
};

struct dv_pcapng_rd {
	bool started, big; /* the section's byte order */
	/*
	 * Take a time beyond the year 2200 for nanoseconds, where the file does
	 * not say its resolution: there are servers that write it so.
	 */
	bool repair;
	uint32_t n_ifs;
	struct dv_pcapng_if *ifs; /* owned */
};

/* clang-format off */
#define DV_PCAPNG_RD_INIT { false, false, true, 0, NULL }
/* clang-format on */

/*
 * The next block of @in. Returns 0; DV_MORE (nothing is consumed) when it is
 * not complete; -EBADMSG when this is no pcapng; -EMSGSIZE for a block or a
 * number of interfaces beyond the limits; -ENOMEM. After an error the reader
 * is of no more use.
 */
int dv_pcapng_next(struct dv_pcapng_rd *r, struct dv_rd *in,
		   struct dv_pcapng_block *b);
void dv_pcapng_rd_deinit(struct dv_pcapng_rd *r);

/* ---- several streams into one file ---- */

struct dv_pcapng_merge {
	bool started;
	uint32_t n_ifs; /* written so far */
};

/* clang-format off */
#define DV_PCAPNG_MERGE_INIT { false, 0 }
/* clang-format on */

/* One of the streams. */
struct dv_pcapng_in {
	struct dv_pcapng_rd rd;
	struct dv_buf part; /* of a block */
	uint32_t *ids;      /* owned: of its section's interfaces in the file */
};

/* clang-format off */
#define DV_PCAPNG_IN_INIT { \
	DV_PCAPNG_RD_INIT, DV_BUF_INIT(DV_PCAPNG_BLOCK_MAX), NULL }
/* clang-format on */

/*
 * Take all of @data, the next bytes of @in, and append to @out what goes into
 * the file: packets in the order of their arrival, times in ns. Options of
 * packets and blocks of other kinds are left out. @out has to take at least as
 * much again as @data and the part that was kept. -errno as dv_pcapng_next(),
 * or @out's status.
 */
int dv_pcapng_merge(struct dv_pcapng_merge *m, struct dv_pcapng_in *in,
		    const void *data, size_t len, struct dv_buf *out);
/* The stream has ended: 0, or -EBADMSG when that was inside of a block. */
int dv_pcapng_merge_end(const struct dv_pcapng_in *in);
void dv_pcapng_in_deinit(struct dv_pcapng_in *in);
