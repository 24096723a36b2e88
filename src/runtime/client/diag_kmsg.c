/* SPDX-License-Identifier: MIT */
/*
 * Records of a stream of the kernel log.
 */
#include <errno.h>

#include "base/def.h"
#include "runtime/client/diag.h"

enum { READ_LEN = 16 * 1024 };

/* Others' servers begin with the oldest record, whatever we have seen. */
static bool wanted(const struct dv_diag_stream *s, const struct dv_kmsg *rec)
{
	return !s->has_after || rec->seq > s->after;
}

static const struct dv_kmsg *next(struct dv_diag_stream *s)
{
	const struct dv_kmsg *rec;

	while ((rec = dv_kmsg_iter_next(s->it)))
		if (wanted(s, rec))
			break;
	if (rec) {
		s->has_last = true;
		s->last = rec->seq;
	}
	return rec;
}

int dv_diag_kmsg_next(struct dv_diag_stream *s, int timeout_ms,
		      const struct dv_kmsg **recordp, struct dv_err *err)
{
	char buf[READ_LEN];
	int64_t n;
	int r;

	if (!s->it)
		return dv_err_set(err, EINVAL, DV_INVALID,
				  "not a stream of the kernel log");
	while (!(*recordp = next(s))) {
		if (s->eof)
			return DV_EOF;
		n = dv_diag_stream_read(s, buf, sizeof(buf), timeout_ms, err);
		if (n == -ETIMEDOUT && timeout_ms == 0)
			return DV_MORE;
		if (n < 0)
			return (int)n;
		s->eof = n == 0;
		r = dv_kmsg_iter_feed(s->it, buf, (size_t)n);
		if (r < 0)
			return dv_err_sys(err, -r, "kernel log");
	}
	return 0;
}

int dv_diag_kmsg_last(const struct dv_diag_stream *s, uint64_t *seqp)
{
	if (!s->has_last)
		return -ENOENT;
	*seqp = s->last;
	return 0;
}
