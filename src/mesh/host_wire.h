/* SPDX-License-Identifier: MIT */
#pragma once
/*
 * What a host and its parent, a worker and its owner say to each other: one
 * struct for every kind, all of whose fields are always there. A member that a
 * kind does not name is 0 or empty.
 */
#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "davit/mesh.h"

enum dv_host_msg_kind {
	/* Parent to host. */
	DV_HM_INIT = 1, /* flags, text: name, data: filter, extra: system calls;
			 * attached: first port, log port */
	DV_HM_STOP,
	DV_HM_CRASH,   /* number: signal */
	DV_HM_INSPECT, /* id, text: path, flags: depth, number: limit, count:
			* ms left; time 1: data is an update */
	DV_HM_WORK,    /* text: type; attached: the worker's port */
	/* Host to parent. */
	DV_HM_JOINED,    /* time, count: its node */
	DV_HM_UP,        /* err: it is not */
	DV_HM_INSPECTED, /* id, data: a response */
	DV_HM_LOG,       /* number: level, time, count: dropped, text: who (""
			  * the host itself), data: line, flags: pid */
	/* Owner to worker; in frames. */
	DV_HM_PARAMS,  /* what START will be given */
	DV_HM_START,   /* the state */
	DV_HM_CALL,    /* id, count: ms left; the request */
	DV_HM_CANCEL,  /* id */
	DV_HM_PAUSE,   /* id */
	DV_HM_RESUME,  /* the state */
	DV_HM_REPLACE, /* the new one runs: hand over, then end */
	DV_HM_HANDED,  /* what the one before handed over */
	DV_HM_END,
	/* Worker to owner; in frames. HANDED, too. */
	DV_HM_STARTED, /* err: it is not */
	DV_HM_REPLY,   /* id, err; or the answer */
	DV_HM_PAUSED,  /* id, err; or the state */
	DV_HM_ENDED,   /* err */
	/* Parent to whoever wants to know. */
	DV_HM_EXITED, /* see host_tell.c */
	DV_HM_N
};

struct dv_host_msg {
	uint8_t kind;
	bool follows; /* INIT: the next message on the port is the initial one;
		       * in a frame: there is content */
	uint32_t id, flags;
	int32_t number;
	uint64_t time, count;
	struct dv_str text, data, extra; /* borrowed */
	struct dv_err err;
};

enum {
	/* Paths are the longest of them: DV_INSPECT_PATH_MAX. */
	DV_HM_TEXT_MAX = 16384,
	/* A tree: what one message may have by default. */
	DV_HM_DATA_MAX = 15 << 20,
	DV_HM_EXTRA_MAX = 4096,
};

/* A new message; NULL: no memory, or something is longer than the limits. */
struct dv_msg *dv_host_msg_new(const struct dv_host_msg *m);

/* Borrows from @data. 0, or -EBADMSG. */
int dv_host_msg_parse(const void *data, size_t len, struct dv_host_msg *m);

/* dv_host_msg_new() and dv_port_send(): 0 or -errno; DV_FULL is 0, too, as
 * what is said here is little, and answered. */
int dv_host_msg_send(struct dv_port *port, const struct dv_host_msg *m,
		     struct dv_err *err);
/*
 * A frame is one message: @content (consumed; NULL: none) with its attachments,
 * and @m behind it, so that whoever receives it only makes it shorter. Sent as
 * above.
 */
int dv_host_frame_send(struct dv_port *port, struct dv_host_msg *m,
		       struct dv_msg *content, struct dv_err *err);
/* @m borrows from @msg, which is the content afterwards. 0 or -EBADMSG. */
int dv_host_frame_open(struct dv_msg *msg, struct dv_host_msg *m);

static inline struct dv_str dv_host_str(const char *s, size_t len)
{
	return (struct dv_str){ s, len };
}
