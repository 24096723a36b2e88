/* SPDX-License-Identifier: MIT */
#pragma once
/*
 * The parts that frames of the mesh have in common. Private to wire/mesh*.c;
 * what puts appends, and fails as a buffer does.
 */
#include "base/buf.h"
#include "wire/mesh.h"

/* -EPROTO, "frame KIND: why". */
int mw_bad(struct dv_err *err, int kind, const char *why);

/* Begin a frame; returns where. Its length, flags and attachments are put in at
 * its end; @more bytes, padding included, are still to come from the caller (0:
 * none, it is padded here). */
size_t mw_head_put(struct dv_buf *out, int kind);
int mw_head_end(struct dv_buf *out, size_t start, uint8_t flags, uint16_t n,
		uint32_t more);

static inline bool mw_id_zero(struct dv_mesh_id id)
{
	return (id.hi | id.lo) == 0;
}
struct dv_mesh_id mw_id(struct dv_rd *rd);
void mw_id_put(struct dv_buf *out, struct dv_mesh_id id);
void mw_put32(struct dv_buf *out, uint32_t v);
void mw_put64(struct dv_buf *out, uint64_t v);

/* Numbers outside their range are an error (-EPROTO); text that is no UTF-8, or
 * would do something to a terminal, is made harmless. */
int mw_err_parse(struct dv_rd *rd, struct dv_err *err);
/* Whatever is in it, it can be parsed. */
void mw_err_put(struct dv_buf *out, const struct dv_err *err);

/* Cut off: rd->bad. -EPROTO: it cannot be. */
int mw_port_parse(struct dv_rd *rd, struct dv_mw_port *port,
		  struct dv_err *reason);
void mw_port_put(struct dv_buf *out, const struct dv_mw_port *port,
		 const struct dv_err *reason);
