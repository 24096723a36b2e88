/* SPDX-License-Identifier: MIT */
#pragma once
/*
 * A gRPC server's connection and its streams, for the two files that make it:
 * grpc_server.c takes requests, grpc_answer.c answers them.
 *
 *   REQUEST --its message is whole, END_STREAM--> READY --> CALLED
 *      |                                            |          |
 *      |  refused: a status at once                 |          | an answer,
 *      v                                            v          v a message
 *    CLOSING <---------- deadline, the end ------------- ANSWERING
 *
 * READY lasts a turn, or as long as more answers wait to be sent than the
 * connection may hold. A stream's memory goes when nghttp2 closes it, whoever
 * wanted that; a call that is held then is cancelled.
 */
#include "rpc/call.h"
#include "rpc/grpc_io.h"
#include "wire/grpc.h"

enum {
	/* Unsent messages of one stream, above which its handler waits, and
	 * below which it goes on. */
	DV_GRPC_STREAM_FULL = 256 << 10,
	DV_GRPC_STREAM_ROOM = 128 << 10,
	/* "/service/method". */
	DV_GRPC_PATH_MAX = 2 * DV_GRPC_PATH_PART_MAX + 2,
};

enum dv_grpc_state {
	DV_GRPC_REQUEST,   /* the request is not whole */
	DV_GRPC_READY,     /* it is, and waits for its turn */
	DV_GRPC_CALLED,    /* its handler has it; nothing was answered */
	DV_GRPC_ANSWERING, /* the response's headers are out */
	DV_GRPC_CLOSING,   /* its status is out, or a reset */
	DV_GRPC_STATE_N
};

/* What is wrong with the fields of a request. */
enum dv_grpc_fault {
	DV_GRPC_FINE,
	DV_GRPC_BAD_METHOD,
	DV_GRPC_BAD_TYPE,
	DV_GRPC_BAD_PATH,
	DV_GRPC_BAD_TIMEOUT,
	DV_GRPC_BAD_BASE64,
	DV_GRPC_LONG_HEADERS,
	DV_GRPC_FAULT_N
};

struct dv_grpc_stream {
	struct dv_grpc_conn *conn;
	struct dv_grpc_stream *next, **prevp; /* in the order of arrival */
	struct dv_grpc_stream *next_ready;
	int32_t id;
	enum dv_grpc_state state;
	/* The request. */
	enum dv_grpc_fault fault;
	bool has_type, has_timeout, has_msg;
	bool whole; /* END_STREAM came */
	size_t header_len;
	struct dv_buf path;
	struct dv_buf metadata; /* key, NUL, length (4), value, ... */
	uint64_t timeout_ns, deadline_ns;
	struct dv_timer timer;
	struct dv_grpc_rd rd;
	const uint8_t *msg; /* in rd */
	size_t msg_len;
	size_t owed; /* of its window: not given back yet */
	/* The answer. */
	struct dv_buf out; /* messages with their headers */
	size_t out_at;
	bool wants_room;    /* its handler waits */
	bool ended;         /* nothing more will be put into out */
	struct dv_err *err; /* owned; how it ended, unless well */
};

struct dv_grpc_conn {
	struct dv_conn base;
	struct dv_h2 h2;
	struct dv_grpc_stream *streams, **tail;
	struct dv_grpc_stream *ready, **ready_tail;
	size_t in_held;  /* bytes of requests that were not called yet */
	size_t out_held; /* bytes of answers that nghttp2 did not take yet */
	unsigned int n_want_room, n_owing;
	uint64_t in_seen, out_seen; /* of h2's counters */
};

/* Take one header field of a request. */
enum dv_grpc_fault dv_grpc_take_field(struct dv_grpc_stream *s,
				      struct dv_str name, struct dv_str value);
/* As struct dv_request asks for it; head is the stream's metadata. */
bool dv_grpc_metadata_at(const struct dv_request *rq, size_t i,
			 struct dv_str *key, struct dv_str *value);

/* What handlers' answers go through. */
extern const struct dv_call_ops dv_grpc_call_ops;

/*
 * End a stream with a status, at once when nothing was answered yet. @http is
 * the response's status. @err is borrowed; its code is not DV_OK. A stream that
 * is closing is left alone.
 */
void dv_grpc_refuse(struct dv_grpc_stream *s, const char *http,
		    const struct dv_err *err);
/* The same with 200 and a text. */
void dv_grpc_refuse_code(struct dv_grpc_stream *s, enum dv_code code,
			 const char *text);
/* End it without a status. */
void dv_grpc_reset(struct dv_grpc_stream *s, uint32_t h2_error);
/* Its request is of no more use: free it. Idempotent. */
void dv_grpc_drop_request(struct dv_grpc_stream *s);
/* Nor are its answers. */
void dv_grpc_drop_answers(struct dv_grpc_stream *s);
/* Let handlers go on that wait for room. True when one did. */
bool dv_grpc_give_room(struct dv_grpc_conn *c);
