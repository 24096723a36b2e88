/* SPDX-License-Identifier: MIT */
#pragma once
/*
 * Packet capture in the agent's network namespace: pcapng, one stream for each
 * interface. Interfaces are those that are up and have Ethernet frames: real
 * and virtual network cards, bridges, VLANs and the loopback, whose packets
 * have an (empty) Ethernet header, too. Tunnels without one are left out.
 *
 * Times are those at which the kernel got the packet; for some milliseconds
 * after a start, until it has begun to note them, those at which we read it.
 *
 * A client that reads slowly loses packets: they are counted in the statistics
 * block at the end of its stream, and no other stream is held up.
 */
#include <net/if.h>

#include "agent/outflow.h"

/* More interfaces than that are not captured. */
#define DV_CAPTURE_IFS_MAX 64
/* What a frame can have: 64 KiB of IP and its headers, segments not yet cut. */
#define DV_CAPTURE_SNAPLEN_MAX 262144

struct dv_capture;

struct dv_capture_if {
	int index;
	bool loopback;
	char name[IF_NAMESIZE];
};

struct dv_capture_opts {
	uint32_t snaplen; /* bytes kept of a packet; 0: all */
	const char *const
		*names; /* borrowed; these interfaces only, in order */
	size_t n_names; /* 0: all */
};

/*
 * The interfaces, by their index. Returns how many, at most DV_CAPTURE_IFS_MAX,
 * or -errno.
 */
int dv_capture_query(struct dv_capture_if ifs[DV_CAPTURE_IFS_MAX],
		     struct dv_err *err);

/*
 * Starts them all. @outs: one connected stream socket for each interface, all
 * of them consumed; what is too many is closed at once. Too few: -EINVAL with
 * "Insufficient streams". An interface that is not there: -ENODEV. No right to
 * capture: -EPERM, with a hint. @done is called when the last stream has ended,
 * with the bytes of all and the first error other than a client's hang-up.
 */
int dv_capture_start(struct dv_capture **cp, struct dv_loop *loop,
		     const int *outs, size_t n_outs,
		     const struct dv_capture_opts *opts, dv_outflow_done *done,
		     void *arg, struct dv_err *err);

/*
 * End in order: what was captured is still sent, with the statistics, for as
 * long as the clients need, but at most five seconds; then done is called.
 */
void dv_capture_stop(struct dv_capture *c);

/* Streams that still run. */
size_t dv_capture_streams(const struct dv_capture *c);

/* Closes them at once; see agent/outflow.h. */
struct dv_capture *dv_capture_free(struct dv_capture *c);
