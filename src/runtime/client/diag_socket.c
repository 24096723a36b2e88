/* SPDX-License-Identifier: MIT */
/*
 * A client of a davit's own socket.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/def.h"
#include "runtime/client/diag.h"

static int open_rpc(struct dv_diag *d, const struct dv_diag_socket *socket,
		    struct dv_err *err)
{
	struct dv_rpc_opts o = DV_RPC_OPTS_INIT;

	o.dial = socket->dial;
	o.dial_arg = socket->arg;
	o.retry_ms = socket->retry_ms;
	return dv_rpc_new(&d->rpc, d->loop, &o, err);
}

int dv_diag_new_socket(struct dv_diag **diagp, struct dv_loop *loop,
		       const struct dv_diag_socket *socket, struct dv_err *err)
{
	size_t len = strlen(socket->path) + 1;
	struct dv_diag *d;
	int r;

	if (len > sizeof(d->target.path))
		return dv_err_sys(err, ENAMETOOLONG, "socket %s", socket->path);
	d = calloc(1, sizeof(*d));
	if (!d)
		return dv_err_sys(err, ENOMEM, "make a client");
	d->loop = loop;
	d->has_target = true;
	d->target.kind = DV_TARGET_PATH;
	memcpy(d->target.path, socket->path, len);
	d->dial_timeout_ms = DV_DIAG_DIAL_MS;
	d->check = socket->check;
	d->check_arg = socket->arg;
	dv_diag_assume(d);
	r = open_rpc(d, socket, err);
	if (r < 0)
		dv_diag_free(d);
	else
		*diagp = d;
	return r;
}
