/* SPDX-License-Identifier: MIT */
#pragma once
/*
 * A gRPC client's connection and its streams, for the two files that make it:
 * grpc_client.c sends requests, grpc_reply.c takes what comes back.
 */
#include "rpc/client_priv.h"
#include "rpc/grpc_io.h"
#include "wire/grpc.h"

struct dv_grpc_client;

struct dv_grpc_ask {
	struct dv_grpc_client *client;
	struct dv_grpc_ask *next, **prevp;
	struct dv_rpc_call *call; /* NULL: nobody waits for it any more */
	int32_t id;
	struct dv_buf out; /* the request */
	size_t out_at;
	/* The answer. */
	size_t header_len;
	int http; /* 0: no :status yet */
	bool has_status, good_type, has_msg;
	enum dv_code code;
	struct dv_buf message, hint;
	struct dv_grpc_rd rd;
	const uint8_t *msg; /* in rd */
	size_t msg_len;
};

struct dv_grpc_client {
	struct dv_h2 h2;
	struct dv_grpc_client *next; /* among those that have parted */
	struct dv_rpc *rpc;
	struct dv_grpc_ask *asks;
	bool going; /* it has parted */
};

/* It takes no more calls (GOAWAY came): the next one needs another. */
void dv_grpc_client_part(struct dv_grpc_client *c);

/* Tell the server to stop. */
void dv_grpc_ask_reset(struct dv_grpc_ask *s, uint32_t h2_error);
/* Out of the list, and freed. */
void dv_grpc_ask_free(struct dv_grpc_ask *s);
/* What nghttp2 calls for a client; its user data is the struct dv_h2. */
void dv_grpc_client_callbacks(nghttp2_session_callbacks *cb);
