/* SPDX-License-Identifier: MIT */
#pragma once
/*
 * AF_VSOCK, for use inside guests (and towards them, where the host has it).
 */
#include <stdint.h>

#include "transport/listener.h"

/* The host, as a guest sees it: all that an agent accepts. */
#define DV_CID_HOST 2

/*
 * Listen on @port of every address of this machine. Connections from another
 * CID than @only_cid are closed at once (DV_CID_NONE = take all). Ports below
 * 1024 need CAP_NET_BIND_SERVICE.
 */
int dv_af_vsock_listen(struct dv_listener *l, struct dv_loop *loop,
		       uint32_t port, uint32_t only_cid, dv_accept_fn *fn,
		       struct dv_err *err);

/*
 * Refuse what is not a guest: 0 (the hypervisor), 1 (this machine), 2 (its
 * host) and "any". Returns 0 or -EINVAL with a hint.
 */
int dv_af_vsock_check_cid(uint32_t cid, struct dv_err *err);

/*
 * Begin to connect. Returns a non-blocking fd (owned): writable when connect()
 * is done, SO_ERROR says how; or -errno.
 */
int dv_af_vsock_connect(uint32_t cid, uint32_t port, struct dv_err *err);
