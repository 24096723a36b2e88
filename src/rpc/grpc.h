/* SPDX-License-Identifier: MIT */
#pragma once
/*
 * gRPC connections: HTTP/2 without TLS, by nghttp2. Private to this room.
 */
#include "rpc/call.h"
#include "rpc/client_priv.h"

/*
 * Serve a connection: as dv_server_take(), which calls this for DV_PROTO_GRPC.
 * @fd is consumed, also on failure; @head is borrowed.
 */
int dv_grpc_serve(struct dv_server *server, int fd, const struct dv_peer *peer,
		  const void *head, size_t len);

/* The client's side. */
extern const struct dv_rpc_ops dv_grpc_client_ops;
