/* SPDX-License-Identifier: MIT */
#pragma once
/*
 * One interface of a capture: the packet socket, and the stream to its client.
 */
#include "agent/capture.h"

/* What a stream may hold for a client that reads slowly. */
#define DV_TAP_QUEUE_MAX (1024 * 1024)

struct dv_tap {
	struct dv_capture *owner;
	struct dv_outflow out;
	struct dv_src src; /* the packet socket, while there is room */
	struct dv_capture_if iface;
	int fd;
	uint32_t snaplen;
	uint64_t written;  /* packets */
	uint64_t received; /* what the kernel counted so far, lost or not */
	uint64_t recent;   /* written since the kernel was asked */
	uint8_t *scratch;  /* borrowed; DV_TAP_SCRATCH bytes */
	bool stopping;     /* what the kernel has is sent, then it ends */
	bool over;         /* its done was called */
};

/* Kept free for the statistics at the end. */
#define DV_TAP_SPARE 256

/* A packet, and the VLAN tag that the kernel took out of it. */
#define DV_TAP_SCRATCH (DV_CAPTURE_SNAPLEN_MAX + 4)

/* Open the socket and begin. The tap is zeroed but for the descriptors. */
int dv_tap_open(struct dv_tap *t, struct dv_err *err);
/* Write the start of the file, and watch. */
void dv_tap_begin(struct dv_tap *t);
/*
 * Take no more packets; send what waits in the socket, then the statistics, and
 * end the stream.
 */
void dv_tap_finish(struct dv_tap *t);
/* There is room again. */
void dv_tap_resume(struct dv_tap *t);
void dv_tap_close(struct dv_tap *t);
