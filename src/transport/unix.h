/* SPDX-License-Identifier: MIT */
#pragma once
/*
 * Unix stream sockets.
 */
#include <stdint.h>

#include "transport/listener.h"

/*
 * Bind and listen at @path: connectable by this user only, or by all with
 * DV_LISTEN_ALL, whatever the umask is. A socket file that nobody listens on
 * any more (connect() is refused) is replaced; anything else is left alone.
 *
 * Returns a blocking fd (owned), or -errno with @err filled: -EADDRINUSE
 * somebody listens there, -EEXIST it is not a socket, -ENAMETOOLONG, ...
 */
int dv_unix_bind(const char *path, uint32_t flags, struct dv_err *err);

/* The same on a loop. dv_listener_close() removes the file. */
int dv_unix_listen(struct dv_listener *l, struct dv_loop *loop,
		   const char *path, uint32_t flags, dv_accept_fn *fn,
		   struct dv_err *err);

/*
 * A non-blocking fd (owned) that is connected to @path, or -errno: -EAGAIN its
 * queue is full, and there is no event for when it is not. Never blocks.
 */
int dv_unix_connect(const char *path, struct dv_err *err);
