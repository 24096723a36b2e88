/* SPDX-License-Identifier: MIT */
#pragma once
/*
 * What only the agent of a guest can do: its kernel's log, files, captures,
 * cores, and itself. The keeper of a host sandbox has no struct dv_guest, and
 * these calls answer UNIMPLEMENTED there.
 *
 * An op that streams consumes @out, also on failure, and calls done once, when
 * the stream has ended. Nobody stops it but the reader, who hangs up. Others
 * return 0 or -errno with @err filled; NULL ops are not there.
 */
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "davit/err.h"
#include "wire/diag.pb.h"
#include "wire/sandbox.pb.h"

struct dv_call;

/* What a stream tells; neither is called from inside the op. */
struct dv_peer;

struct dv_flow_cb {
	/* It is under way: opened, and bytes will come. Not at all when it
	 * ends before that. */
	void (*started)(void *arg);
	/* The end; @err is NULL when that is in order, else borrowed. */
	void (*done)(void *arg, uint64_t bytes, const struct dv_err *err);
	void *arg;
	/* Who asks, and pays for it; NULL: unknown. Borrowed for the call. */
	const struct dv_peer *peer;
};

struct dv_guest_ops {
	int (*kmsg)(void *guest, const dv_KmsgRequest *rq, int out,
		    const struct dv_flow_cb *cb, struct dv_err *err);
	int (*read_file)(void *guest, const dv_ReadFileRequest *rq, int out,
			 const struct dv_flow_cb *cb, struct dv_err *err);
	int (*core)(void *guest, const dv_CoreRequest *rq, int out,
		    const struct dv_flow_cb *cb, struct dv_err *err);
	/* JSON. */
	int (*mem_profile)(void *guest, const dv_MemProfileRequest *rq, int out,
			   const struct dv_flow_cb *cb, struct dv_err *err);
	/* The document that a restart uses. */
	int (*saved_state)(void *guest, struct dv_buf *out, struct dv_err *err);
	/* Names of interfaces, NUL-terminated each, one after the other. */
	int (*capture_query)(void *guest, struct dv_buf *names, bool *runningp,
			     struct dv_err *err);
	/* One descriptor (consumed) for each interface, in that order;
	 * @names: n_names of them, 0: all. */
	int (*capture_start)(void *guest, uint32_t snaplen, int *outs,
			     size_t n_outs, char *const *names, size_t n_names,
			     struct dv_err *err);
	int (*capture_stop)(void *guest, struct dv_err *err);
	/* The workload that was held; once. */
	int (*start)(void *guest, const dv_diag_StartRequest *rq,
		     struct dv_err *err);
	/* Ask process @pid to crash, ourselves included. Never fails. */
	void (*crash)(void *guest, int32_t pid);
	/* Freeze and thaw every process of the workload. */
	int (*pause)(void *guest, struct dv_err *err);
	int (*resume)(void *guest, struct dv_err *err);
	/*
	 * Execute the agent anew. @call is held and belongs to the agent: the
	 * new program answers it.
	 */
	void (*restart)(void *guest, struct dv_call *call);
};

struct dv_guest {
	const struct dv_guest_ops *ops;
	void *self;
};
