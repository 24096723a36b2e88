/* SPDX-License-Identifier: MIT */
#pragma once
/*
 * The kernel log, to a client: each record as /dev/kmsg gives it, and a NUL.
 * Records that were overwritten before they could be read are missing: their
 * sequence numbers tell.
 */
#include "agent/outflow.h"

struct dv_kmsg_flow;

struct dv_kmsg_flow_opts {
	const char *path; /* NULL: /dev/kmsg; borrowed */
	bool follow;      /* wait for more; else it ends with the last one */
	/*
	 * Records up to `after` are left out; when the log ends before that, it
	 * is another one, from after a reboot, and all of it comes.
	 */
	bool has_after;
	uint64_t after;
};

/* As every flow, see agent/outflow.h. -errno when it cannot be opened. */
int dv_kmsg_flow_start(struct dv_kmsg_flow **kp, struct dv_loop *loop, int out,
		       const struct dv_kmsg_flow_opts *opts,
		       dv_outflow_done *done, void *arg, struct dv_err *err);
struct dv_kmsg_flow *dv_kmsg_flow_free(struct dv_kmsg_flow *k);

/*
 * One read of /dev/kmsg. A record is at most about 1 KiB of text that grows
 * fourfold by escapes, and a dictionary; kernels differ, so the buffer grows
 * from 8 KiB to this when a record does not fit.
 */
#define DV_KMSG_RECORD_MAX 65536

struct dv_kmsg_reader {
	int fd;    /* owned */
	char *buf; /* owned */
	size_t size;
	bool has_after; /* skip what was seen, up to `after` */
	uint64_t after;
	bool has_last; /* the last one that was skipped */
	uint64_t last;
};

/* clang-format off */
#define DV_KMSG_READER_INIT { .fd = -1 }
/* clang-format on */

/*
 * The next record that is wanted, with a NUL behind it: its length, the NUL
 * included, 0 at the end of a file, -EAGAIN when there is none now, -errno. It
 * stands in r->buf. At most @budget records are skipped before -EAGAIN; then
 * *more is set: there may be more without waiting.
 */
ssize_t dv_kmsg_read(struct dv_kmsg_reader *r, size_t budget, bool *more);
void dv_kmsg_reader_deinit(struct dv_kmsg_reader *r);
