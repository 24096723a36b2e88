/* SPDX-License-Identifier: MIT */
#pragma once
/*
 * The bytes of the process mesh (docs/mesh-wire.md): frames between two nodes
 * over one stream. Everything is little-endian, a frame begins with its length
 * and is padded to a multiple of 8, and it is checked whole before a part of it
 * is used.
 *
 * What is parsed is borrowed from the frame. Nothing here allocates but
 * buffers, and nothing here does I/O.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <davit/mesh.h>

#include "base/buf.h"

enum {
	/* Versions that this code speaks. */
	DV_MW_VERSION_MIN = 1,
	DV_MW_VERSION_MAX = 1,

	/* What every frame begins with. */
	DV_MW_HEAD = 8,
	/* The start of what is for a port: the head and the port. */
	DV_MW_DST = DV_MW_HEAD + 16,
	/* A message with nothing attached, and a fragment: the payload
	 * follows. */
	DV_MW_PLAIN = DV_MW_DST,

	/* Payload of one frame; a longer message is sent in fragments of
	 * exactly this, and of what is left. It bounds how long a small message
	 * waits behind a piece of a long one. */
	DV_MW_FRAGMENT = 64 << 10,
	/* A message in fragments is longer than this, so that what a peer may
	 * begin to send is bounded by its window in number, too. */
	DV_MW_LONG_MIN = 16 << 10,

	/* Text of an error, as it is kept: see struct dv_err. */
	DV_MW_MSG_MAX = 371,
	DV_MW_HINT_MAX = 127,
	DV_MW_ERR_MAX = 8 + DV_MW_MSG_MAX + DV_MW_HINT_MAX,
	/* A port on its way, with the error it may have. */
	DV_MW_PORT_MAX = 2 + 16 + 16 + 16 + 8 + 8 + DV_MW_ERR_MAX,
	/* All that a message may have attached. */
	DV_MW_ATTS_MAX = DV_MSG_ATT_MAX * DV_MW_PORT_MAX,
	/* Of a frame without payload. */
	DV_MW_EVENT_MAX = DV_MW_DST + 64 + DV_MW_ERR_MAX,
	/* A hello of a later version may be longer than ours. */
	DV_MW_HELLO_MAX = 4096,

	/* A window that every node grants: less is not accepted. */
	DV_MW_WINDOW_MIN = 4 << 10,
	/* Everybody takes messages as long, so whoever knows that nobody else
	 * can be there sends them before the other side's hello. */
	DV_MW_EARLY_MAX = 4 << 10,
};

enum dv_mw_kind {
	DV_MW_HELLO = 1,
	DV_MW_MESSAGE, /* a whole one */
	DV_MW_LONG,    /* the start of one: its length and what is attached */
	DV_MW_PIECE,   /* DV_MW_FRAGMENT bytes of it, or the rest */
	DV_MW_CLOSE,
	DV_MW_NEW_PEER,
	DV_MW_BRIDGE,
	DV_MW_END,
	DV_MW_TOTALS,
	DV_MW_MOVED,
	DV_MW_REFUSED,
	DV_MW_CREDIT,
	DV_MW_ACCEPT,
	DV_MW_CONNECT,
	DV_MW_FAIL,
	DV_MW_LOOP,
	DV_MW_INTRODUCE,
	DV_MW_LINK_CREDIT,
	DV_MW_GOODBYE, /* nothing more comes: the node leaves */
	DV_MW_ERROR,   /* why the sender cuts the connection */
	DV_MW_ACCEPTED,
	DV_MW_KIND_N
};

enum dv_mw_flag {
	DV_MW_FDS = 1,  /* descriptors belong to it */
	DV_MW_LOST = 2, /* ... which could not be sent */
	DV_MW_ERR = 4,  /* an error is at its end */
	DV_MW_PORT = 8, /* HELLO: a port is at its end */
	DV_MW_FLAGS = 15,
};

/* ---- the head ------------------------------------------------------ */

struct dv_mw_head {
	uint32_t len;  /* of the frame, without its padding */
	uint8_t kind;  /* enum dv_mw_kind */
	uint8_t flags; /* enum dv_mw_flag */
	uint16_t n;    /* attachments of MESSAGE and LONG, else 0 */
};

/* With its padding: what lies between two frames. */
static inline size_t dv_mw_size(uint32_t len)
{
	return ((size_t)len + 7) & ~(size_t)7;
}

/*
 * The head at @rd, which is not moved. Returns 0; DV_MORE when it is not
 * complete; -EPROTO with @err when no frame of that kind is so long or so
 * short, or has such flags.
 */
int dv_mw_head_parse(const struct dv_rd *rd, struct dv_mw_head *head,
		     struct dv_err *err);

/* "MESSAGE" and so on; "?" for numbers outside the enum. Static. */
const char *dv_mw_kind_name(int kind);

/* ---- messages ------------------------------------------------------ */

struct dv_mw_message {
	struct dv_mesh_id dst;
	uint32_t total;    /* LONG: bytes in all; else those of this frame */
	struct dv_rd atts; /* head->n of them, for dv_mw_att_next() */
	uint16_t n_fds;    /* how many of them are descriptors */
	uint32_t at;       /* where in the frame the payload begins */
};

/*
 * A MESSAGE, LONG or PIECE. The payload need not be there yet, only what is
 * before it. Returns 0, DV_MORE, or -EPROTO with @err: the attachments are not
 * as they have to be (all of them are checked here), or a length.
 */
int dv_mw_message_parse(const struct dv_rd *rd, const struct dv_mw_head *head,
			struct dv_mw_message *msg, struct dv_err *err);

/* A port on its way. */
struct dv_mw_port {
	struct dv_mesh_id id, from, pair;
	uint64_t granted, received;
	bool closed, has_err;
	bool direct; /* in a HELLO: @from did not move but is its peer */
};

struct dv_mw_att {
	enum dv_att_kind kind; /* NONE, FD, PORT, LOST */
	struct dv_mw_port port;
};

/*
 * The next attachment; its error, if it has one, goes to @reason. Only for what
 * dv_mw_message_parse() has seen. Returns 0 or -EPROTO.
 */
int dv_mw_att_next(struct dv_rd *rd, struct dv_mw_att *att,
		   struct dv_err *reason);

/* The head of a MESSAGE with nothing attached, or of a PIECE (@kind); @len
 * bytes of payload and the padding follow. */
void dv_mw_plain_put(uint8_t out[DV_MW_PLAIN], enum dv_mw_kind kind,
		     struct dv_mesh_id dst, uint32_t len);

/*
 * The usual case of the two parsers above, in one: a whole MESSAGE with nothing
 * attached at @rd, which is moved behind its padding. @data is borrowed. False:
 * it is something else, or not whole; nothing is moved then.
 */
static inline bool dv_mw_plain_take(struct dv_rd *rd, struct dv_mesh_id *dst,
				    const uint8_t **data, uint32_t *len);

/*
 * Begin a MESSAGE or LONG with attachments, add them, and end it; the payload
 * of a MESSAGE (@len bytes, and the padding unless it is empty) is the caller's
 * to append.
 * @start is what begin returned. Sticky, as all of a buffer.
 */
size_t dv_mw_begin(struct dv_buf *out, enum dv_mw_kind kind,
		   struct dv_mesh_id dst);
/* @reason: NULL unless it has one. */
void dv_mw_att_put(struct dv_buf *out, const struct dv_mw_att *att,
		   const struct dv_err *reason);
int dv_mw_end(struct dv_buf *out, size_t start, uint16_t n_atts, uint16_t n_fds,
	      uint32_t len);

/* The descriptors of the frame at @frame will not come. */
void dv_mw_mark_lost(uint8_t *frame);

/* ---- everything else ----------------------------------------------- */

/* All but HELLO, MESSAGE, LONG and PIECE. What a kind does not have is zero. */
struct dv_mw_event {
	enum dv_mw_kind kind;
	struct dv_mesh_id dst, id, node;
	uint64_t received, granted;
	int32_t pid;
	bool has_fd, fd_lost; /* INTRODUCE: one comes; one should have come */
	bool has_err;
};

/*
 * The whole frame is at @rd. The error, if there is one, goes to @reason (its
 * text is made printable). Returns 0, or -EPROTO with @err.
 */
int dv_mw_event_parse(const struct dv_rd *rd, const struct dv_mw_head *head,
		      struct dv_mw_event *ev, struct dv_err *reason,
		      struct dv_err *err);

/* Append a frame and its padding; @reason: NULL = none. Returns the buffer's
 * status. */
int dv_mw_event_put(struct dv_buf *out, const struct dv_mw_event *ev,
		    const struct dv_err *reason);

/* ---- hello --------------------------------------------------------- */

enum { DV_MW_TOKEN = 16 };

struct dv_mw_hello {
	uint16_t version_min, version_max;
	uint32_t features; /* bits; none are defined */
	struct dv_mesh_id node;
	uint32_t max_message;       /* longer ones are not taken */
	uint64_t window;            /* bytes of messages on the way */
	uint8_t token[DV_MW_TOKEN]; /* for a listener; zero: none */
	bool has_port;
	struct dv_mw_port port; /* the first one */
};

/*
 * The whole frame is at @rd. Returns 0; -EPROTO with @err: it is none, or one
 * of its numbers cannot be; what a later version appends is ignored.
 */
int dv_mw_hello_parse(const struct dv_rd *rd, const struct dv_mw_head *head,
		      struct dv_mw_hello *hello, struct dv_err *reason,
		      struct dv_err *err);
int dv_mw_hello_put(struct dv_buf *out, const struct dv_mw_hello *hello,
		    const struct dv_err *reason);

/* The version that both speak; -EPROTO with @err: there is none. */
int dv_mw_version(const struct dv_mw_hello *peer, struct dv_err *err);

/* ---- inline helpers ------------------------------------------------ */

static inline uint32_t dv_mw_load32(const uint8_t *p)
{
	return p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 |
	       (uint32_t)p[3] << 24;
}

static inline uint64_t dv_mw_load64(const uint8_t *p)
{
	return dv_mw_load32(p) | (uint64_t)dv_mw_load32(p + 4) << 32;
}

static inline bool dv_mw_plain_take(struct dv_rd *rd, struct dv_mesh_id *dst,
				    const uint8_t **data, uint32_t *len)
{
	const uint8_t *p = rd->p;
	size_t size;

	/* The kind; no flags, no attachments. */
	if (rd->left < DV_MW_PLAIN || dv_mw_load32(p + 4) != DV_MW_MESSAGE)
		return false;
	*len = dv_mw_load32(p) - DV_MW_PLAIN;
	if (*len > DV_MW_FRAGMENT)
		return false;
	size = dv_mw_size(DV_MW_PLAIN + *len);
	dst->hi = dv_mw_load64(p + 8);
	dst->lo = dv_mw_load64(p + 16);
	if (rd->left < size || (dst->hi | dst->lo) == 0)
		return false;
	*data = p + DV_MW_PLAIN;
	rd->p += size;
	rd->left -= size;
	return true;
}
