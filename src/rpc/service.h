/* SPDX-License-Identifier: MIT */
#pragma once
/*
 * Services: what a server offers, as tables, and the calls that come in. The
 * same tables are served by ttrpc and by gRPC; a handler does not know which.
 *
 * A handler answers its call inside the function, or holds it and answers
 * later, exactly once. A held call may end before it is answered: its deadline
 * passes, or its connection goes. Then its cancel function is called, once, and
 * the call must not be touched afterwards.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <pb.h>

#include "base/buf.h"
#include "davit/err.h"
#include "davit/loop.h"

struct dv_call;
struct dv_peer;

enum dv_method_flag {
	DV_M_MUTATES = 1 << 0, /* changes something: never served by a
				* restricted server */
	DV_M_SAFE = 1 << 1,    /* served by a restricted server, too */
	DV_M_STREAM = 1 << 2,  /* any number of answers: gRPC only */
	DV_M_REPLAY = 1 << 3,  /* a held call survives the server's restart: it
				* is dispatched again by the new program */
};

struct dv_method {
	const char *name;
	void (*fn)(struct dv_call *call);
	const pb_msgdesc_t *in; /* the request; NULL: Empty */
	size_t in_size;         /* of its struct; pointers in it are malloc'd */
	const pb_msgdesc_t *out; /* NULL: Empty */
	uint32_t flags;          /* DV_M_* */
};

struct dv_service {
	const char *name; /* "davit.v1.Sandbox" */
	const struct dv_method *methods;
	size_t n_methods;
};

/* One row: { "Ping", fn, NULL, 0, NULL, flags } or DV_METHOD(...). */
#define DV_METHOD(name, fn, In, Out, flags)                            \
	{                                                              \
		name, fn, In##_fields, sizeof(In), Out##_fields, flags \
	}
#define DV_SERVICE(var, wire_name, table)                 \
	const struct dv_service var = { wire_name, table, \
					sizeof(table) / sizeof((table)[0]) }

/* What a handler sees of a call. The fields are to be read only. */
struct dv_call {
	const struct dv_service *service;
	const struct dv_method *method;
	void *ctx; /* what the service was added with */
	void *req; /* the decoded request, or NULL; lives as long as the call */
	struct dv_loop *loop;
	const struct dv_peer *peer; /* who called; NULL: unknown */
	uint64_t deadline_ns;       /* CLOCK_MONOTONIC; UINT64_MAX: none */
	/* Descriptors that came with the request. What the handler wants it
	 * takes with dv_take_fd(&call->fds[i]); the rest is closed. */
	int *fds;
	size_t n_fds;
	/* The handler's own, for a call that it holds. */
	void *data;
	void (*cancel)(struct dv_call *call);
};

/*
 * Keep the call beyond the handler. @cancel (may be NULL) runs when the call
 * ends without an answer of ours; @data is for the handler.
 */
void dv_call_hold(struct dv_call *call, void *data,
		  void (*cancel)(struct dv_call *call));

/*
 * The value (borrowed) of the request's metadata @key, in lower case; of
 * several the first. By gRPC those whose name ends in "-bin" are any bytes.
 * Only inside the handler. Returns 0, or -ENOENT.
 */
int dv_call_metadata(const struct dv_call *call, const char *key,
		     struct dv_str *valuep);

/* Each of these ends the call; it must not be touched afterwards. */

/* Answer with @msg (borrowed), a struct of method->out; NULL: empty. */
void dv_call_reply(struct dv_call *call, const void *msg);
/* The same with descriptors (duplicated), on a unix socket; else -> failure. */
void dv_call_reply_fds(struct dv_call *call, const void *msg, const int *fds,
		       size_t n_fds);
/* Answer with a message that is encoded already (borrowed). */
void dv_call_reply_bytes(struct dv_call *call, const void *data, size_t len);
void dv_call_fail(struct dv_call *call, enum dv_code code, const char *fmt, ...)
	DV_PRINTF(3, 4);
/* As @err says; its hint goes along as metadata where the wire has a place. */
void dv_call_fail_err(struct dv_call *call, const struct dv_err *err);

/*
 * One more message of a DV_M_STREAM method, which dv_call_end() ends. Returns
 * 0, or DV_MORE when the peer's queue is full: @ready is called when it has
 * room again. < 0: the call is over, as if it were cancelled.
 */
int dv_call_send(struct dv_call *call, const void *msg,
		 void (*ready)(struct dv_call *call));
void dv_call_end(struct dv_call *call);
