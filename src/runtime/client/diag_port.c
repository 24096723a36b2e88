/* SPDX-License-Identifier: MIT */
/*
 * Connections to ports of the guest.
 */
#include <errno.h>
#include <stdlib.h>

#include "base/def.h"
#include "base/fd.h"
#include "runtime/client/diag.h"
#include "transport/relay.h"

/* ---- a data connection ------------------------------------------------------
 */

static int call_data(struct dv_op *op, struct dv_err *err DV_UNUSED)
{
	uint64_t *idp = op->out[0];
	int *fdp = op->out[1];

	*idp = op->conns[0].id;
	*fdp = dv_diag_conn_take(op, 0);
	return 0;
}

static const struct dv_diag_kind kind_data = { .what = "connect",
					       .service = "",
					       .call = call_data };

int dv_diag_connect_data(struct dv_diag *diag, uint64_t *idp, int *fdp,
			 const struct dv_how *how, struct dv_err *err)
{
	struct dv_op *op;
	int r = dv_op_new(diag, &kind_data, how, &op, err);

	if (r < 0)
		return r;
	op->n_conns_old = 1;
	op->out[0] = idp;
	op->out[1] = fdp;
	return dv_op_go(op, 0, err);
}

/* ---- any port
 * ---------------------------------------------------------------- */

struct port {
	struct dv_op *op;
	struct dv_dial *dial;
	int fd; /* owned: the other end of a relay, -1 */
	struct dv_tunnel tunnel;
};

static void deinit_port(struct dv_op *op)
{
	struct port *p = op->own;

	if (!p)
		return;
	dv_dial_cancel(p->dial);
	dv_close(p->fd);
	dv_tunnel_close(&p->tunnel);
	free(p);
}

static void on_relayed(struct dv_tunnel *t)
{
	struct port *p = dv_container_of(t, struct port, tunnel);

	dv_op_end(p->op, 0, NULL);
}

/* Connected: give it away, or relay. Returns 0, DV_MORE or -errno. */
static int use(struct port *p, int fd, struct dv_err *err)
{
	int *fdp = p->op->out[0];
	int r;

	if (fdp) {
		*fdp = fd;
		return 0;
	}
	/* From now on it takes as long as it takes. */
	dv_timer_stop(&p->op->timer);
	r = dv_tunnel_start(&p->tunnel, p->op->diag->loop, dv_take_fd(&p->fd),
			    fd, on_relayed, err);
	return r < 0 ? r : DV_MORE;
}

static void on_dial(void *arg, int fd,
		    const struct dv_dial_result *res DV_UNUSED,
		    const struct dv_err *dial_err)
{
	struct port *p = arg;
	struct dv_err err = DV_ERR_INIT;
	int r = fd;

	p->dial = NULL;
	if (fd >= 0)
		r = use(p, fd, &err);
	else if (dial_err)
		err = *dial_err;
	if (r == DV_MORE)
		return;
	if (r < 0)
		dv_err_wrap(&err, r, "port %u", p->op->arg);
	dv_op_end(p->op, r, &err);
}

static int begin_port(struct dv_op *op, struct dv_err *err)
{
	struct dv_diag *d = op->diag;
	struct port *p = op->own;
	int r;

	if (!d->has_target)
		return dv_err_set(err, ENOTCONN, DV_PRECONDITION,
				  "cannot make additional connections with "
				  "this client");
	r = dv_dial_start(&p->dial, d->loop, &d->target, op->arg,
			  d->dial_timeout_ms, on_dial, p, err);
	if (r == 0)
		dv_dial_check(p->dial, d->check, d->check_arg);
	return r;
}

static const struct dv_diag_kind kind_connect = { .what = "connect",
						  .begin = begin_port,
						  .deinit = deinit_port };
static const struct dv_diag_kind kind_relay = { .what = "relay",
						.begin = begin_port,
						.deinit = deinit_port };

/* @fd is consumed. */
static int new_port(struct dv_diag *diag, const struct dv_diag_kind *kind,
		    uint32_t port, int fd, const struct dv_how *how,
		    struct dv_op **opp, struct dv_err *err)
{
	dv_autofd int own = fd;
	struct port *p;
	int r;

	if (!port)
		return dv_err_set(err, EINVAL, DV_INVALID,
				  "%s: there is no port 0", kind->what);
	r = dv_op_new(diag, kind, how, opp, err);
	if (r < 0)
		return r;
	p = calloc(1, sizeof(*p));
	if (!p) {
		dv_op_drop(*opp);
		return dv_err_sys(err, ENOMEM, "%s", kind->what);
	}
	*p = (struct port){ .op = *opp,
			    .fd = dv_take_fd(&own),
			    .tunnel = DV_TUNNEL_INIT };
	(*opp)->own = p;
	(*opp)->arg = port;
	return 0;
}

int dv_diag_connect(struct dv_diag *diag, uint32_t port, int *fdp,
		    const struct dv_how *how, struct dv_err *err)
{
	struct dv_op *op;
	int r = new_port(diag, &kind_connect, port, -1, how, &op, err);

	if (r < 0)
		return r;
	op->out[0] = fdp;
	return dv_op_go(op, 0, err);
}

int dv_diag_relay(struct dv_diag *diag, int fd, uint32_t port,
		  const struct dv_how *how, struct dv_err *err)
{
	struct dv_op *op;
	int r = new_port(diag, &kind_relay, port, fd, how, &op, err);

	return r < 0 ? r : dv_op_go(op, 0, err);
}
