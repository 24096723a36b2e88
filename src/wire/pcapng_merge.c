/* SPDX-License-Identifier: MIT */
/*
 * Several captures into one file: one section, every interface of every stream
 * with a number of its own.
 */
#include <errno.h>
#include <stdlib.h>

#include "wire/pcapng.h"

static int new_interface(struct dv_pcapng_merge *m, struct dv_pcapng_in *in,
			 const struct dv_pcapng_block *b, struct dv_buf *out)
{
	const struct dv_pcapng_if *iface = &in->rd.ifs[b->if_id];

	if (!in->ids)
		in->ids = calloc(DV_PCAPNG_IFS_MAX, sizeof(*in->ids));
	if (!in->ids)
		return -ENOMEM;
	in->ids[b->if_id] = m->n_ifs++;
	dv_pcapng_put_idb(out, iface->linktype, iface->snaplen, b->name);
	return 0;
}

static int put_block(struct dv_pcapng_merge *m, struct dv_pcapng_in *in,
		     const struct dv_pcapng_block *b, struct dv_buf *out)
{
	if (!m->started) {
		m->started = true;
		dv_pcapng_put_shb(out);
	}
	switch (b->type) {
	case DV_PCAPNG_IDB:
		return new_interface(m, in, b, out);
	case DV_PCAPNG_EPB:
		dv_pcapng_put_epb(out, in->ids[b->if_id], b->unix_ns, b->data,
				  b->cap, b->orig);
		return 0;
	case DV_PCAPNG_ISB:
		dv_pcapng_put_isb(out, in->ids[b->if_id], b->unix_ns,
				  b->received, b->dropped);
		return 0;
	case DV_PCAPNG_SHB:
	case DV_PCAPNG_OTHER:
		return 0;
	}
	return 0;
}

/* All complete blocks at @rd. */
static int take_blocks(struct dv_pcapng_merge *m, struct dv_pcapng_in *in,
		       struct dv_rd *rd, struct dv_buf *out)
{
	for (;;) {
		struct dv_pcapng_block b;
		int r = dv_pcapng_next(&in->rd, rd, &b);

		if (r == DV_MORE)
			return 0;
		if (r == 0)
			r = put_block(m, in, &b, out);
		if (r < 0)
			return r;
	}
}

int dv_pcapng_merge(struct dv_pcapng_merge *m, struct dv_pcapng_in *in,
		    const void *data, size_t len, struct dv_buf *out)
{
	const uint8_t *p = data;

	/* What is kept is less than a block, so there is always room. */
	while (len > 0) {
		size_t room = in->part.max - in->part.len;
		size_t n = len < room ? len : room;
		struct dv_rd rd;
		int r = dv_buf_put(&in->part, p, n);

		if (r < 0)
			return r;
		rd = dv_rd_mem(in->part.data, in->part.len);
		r = take_blocks(m, in, &rd, out);
		if (r < 0)
			return r;
		dv_buf_drop(&in->part, in->part.len - rd.left);
		p += n;
		len -= n;
	}
	return dv_buf_status(out);
}

int dv_pcapng_merge_end(const struct dv_pcapng_in *in)
{
	return in->part.len > 0 ? -EBADMSG : 0;
}

void dv_pcapng_in_deinit(struct dv_pcapng_in *in)
{
	dv_pcapng_rd_deinit(&in->rd);
	dv_buf_free(&in->part);
	free(in->ids);
	in->ids = NULL;
}
