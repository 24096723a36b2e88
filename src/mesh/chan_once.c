/* SPDX-License-Identifier: MIT */
/*
 * One message: a pair of ports of which nothing but the first message, or the
 * end, is of interest. The message is complete in itself, so what becomes of
 * the port after it does not matter.
 */
#include <errno.h>
#include <stdlib.h>

#include "base/def.h"
#include "mesh/chan_msg.h"

struct dv_once_sender {
	struct dv_port *port;
};

struct dv_once_receiver {
	struct dv_port *port;
	dv_once_fn *fn;
	void *user;
};

/* ---- sender -------------------------------------------------------- */

struct dv_once_sender *dv_once_sender_from_port(struct dv_port *port)
{
	struct dv_once_sender *tx = calloc(1, sizeof(*tx));

	if (tx)
		tx->port = port;
	else
		dv_port_close(port, NULL);
	return tx;
}

struct dv_once_sender *dv_once_sender_take(struct dv_msg *msg, size_t n,
					   struct dv_err *err)
{
	struct dv_port *port = dv_chan_take_port(msg, n, err);
	struct dv_once_sender *tx;

	if (!port)
		return NULL;
	tx = dv_once_sender_from_port(port);
	if (!tx)
		dv_err_sys(err, ENOMEM, "take a sender");
	return tx;
}

static struct dv_port *sender_port(struct dv_once_sender *tx)
{
	struct dv_port *port = tx->port;

	free(tx);
	return port;
}

int dv_once_sender_attach(struct dv_msg *msg, struct dv_once_sender *tx)
{
	return dv_msg_add_port(msg, sender_port(tx));
}

struct dv_once_sender *dv_once_sender_close(struct dv_once_sender *tx,
					    const struct dv_err *reason)
{
	if (tx)
		dv_port_close(sender_port(tx), reason);
	return NULL;
}

int dv_once_send(struct dv_once_sender *tx, struct dv_msg *msg,
		 struct dv_err *err)
{
	struct dv_port *port = sender_port(tx);
	struct dv_err why = DV_ERR_INIT;
	int r = dv_port_send(port, msg, &why);

	/* What could not be sent is the receiver's loss, too. */
	dv_port_close(port, r < 0 ? &why : NULL);
	if (r < 0 && err)
		*err = why;
	return r < 0 ? r : 0;
}

/* ---- receiver ------------------------------------------------------ */

static void deliver(struct dv_port *port, struct dv_msg *msg,
		    const struct dv_port_end *end)
{
	struct dv_once_receiver rx =
		*(struct dv_once_receiver *)dv_port_user(port);

	free(dv_port_user(port));
	rx.fn(rx.user, msg, end);
	/* Only now: the message and the end are the port's. */
	dv_port_close(port, NULL);
}

static void on_message(struct dv_port *port, struct dv_msg *msg)
{
	deliver(port, msg, NULL);
}

static void on_ended(struct dv_port *port, const struct dv_port_end *end)
{
	deliver(port, NULL, end);
}

static const struct dv_port_ops receiver_ops = {
	.message = on_message,
	.ended = on_ended,
};

struct dv_once_receiver *dv_once_receiver_from_port(struct dv_port *port)
{
	struct dv_once_receiver *rx = calloc(1, sizeof(*rx));

	if (rx)
		rx->port = port;
	else
		dv_port_close(port, NULL);
	return rx;
}

struct dv_once_receiver *dv_once_receiver_take(struct dv_msg *msg, size_t n,
					       struct dv_err *err)
{
	struct dv_port *port = dv_chan_take_port(msg, n, err);
	struct dv_once_receiver *rx;

	if (!port)
		return NULL;
	rx = dv_once_receiver_from_port(port);
	if (!rx)
		dv_err_sys(err, ENOMEM, "take a receiver");
	return rx;
}

void dv_once_receive(struct dv_once_receiver *rx, dv_once_fn *fn, void *user)
{
	rx->fn = fn;
	rx->user = user;
	dv_port_start(rx->port, &receiver_ops, rx);
}

static struct dv_port *receiver_port(struct dv_once_receiver *rx)
{
	struct dv_port *port = rx->port;

	free(rx);
	return port;
}

int dv_once_receiver_attach(struct dv_msg *msg, struct dv_once_receiver *rx)
{
	return dv_msg_add_port(msg, receiver_port(rx));
}

struct dv_once_receiver *dv_once_receiver_close(struct dv_once_receiver *rx)
{
	if (rx)
		dv_port_close(receiver_port(rx), NULL);
	return NULL;
}

int dv_once_new(struct dv_mesh *mesh, struct dv_once_sender **txp,
		struct dv_once_receiver **rxp, struct dv_err *err)
{
	struct dv_port *pair[2];
	int r = dv_chan_pair(mesh, pair, err);

	if (r < 0)
		return r;
	*txp = dv_once_sender_from_port(pair[0]);
	*rxp = dv_once_receiver_from_port(pair[1]);
	if (*txp && *rxp)
		return 0;
	*txp = dv_once_sender_close(*txp, NULL);
	*rxp = dv_once_receiver_close(*rxp);
	return dv_err_sys(err, ENOMEM, "make a oneshot");
}
