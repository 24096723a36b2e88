/* SPDX-License-Identifier: MIT */
/*
 * The sending half of a channel: a port of its own, whose other end the
 * receiver has.
 */
#include <errno.h>
#include <stdlib.h>

#include "base/def.h"
#include "mesh/chan.h"

static void no_message(struct dv_port *port DV_UNUSED,
		       struct dv_msg *msg DV_UNUSED)
{
	/* A receiver says nothing. */
}

static void on_ended(struct dv_port *port, const struct dv_port_end *end)
{
	struct dv_chan_sender *tx = dv_port_user(port);

	if (tx->ops->ended)
		tx->ops->ended(tx, end);
}

static void on_writable(struct dv_port *port)
{
	struct dv_chan_sender *tx = dv_port_user(port);

	if (tx->ops->writable)
		tx->ops->writable(tx);
}

static const struct dv_port_ops sender_ops = {
	.message = no_message,
	.ended = on_ended,
	.writable = on_writable,
};

struct dv_chan_sender *dv_chan_sender_from_port(struct dv_port *port)
{
	struct dv_chan_sender *tx = calloc(1, sizeof(*tx));

	if (tx)
		tx->port = port;
	else
		dv_port_close(port, NULL);
	return tx;
}

struct dv_chan_sender *dv_chan_sender_take(struct dv_msg *msg, size_t n,
					   struct dv_err *err)
{
	struct dv_port *port = dv_chan_take_port(msg, n, err);
	struct dv_chan_sender *tx;

	if (!port)
		return NULL;
	tx = dv_chan_sender_from_port(port);
	if (!tx)
		dv_err_sys(err, ENOMEM, "take a sender");
	return tx;
}

int dv_chan_sender_attach(struct dv_msg *msg, struct dv_chan_sender *tx)
{
	struct dv_port *port = tx->port;

	free(tx);
	return dv_msg_add_port(msg, port);
}

struct dv_chan_sender *dv_chan_sender_close(struct dv_chan_sender *tx,
					    const struct dv_err *reason)
{
	if (tx) {
		dv_port_close(tx->port, reason);
		free(tx);
	}
	return NULL;
}

void dv_chan_watch(struct dv_chan_sender *tx,
		   const struct dv_chan_sender_ops *ops, void *user)
{
	tx->ops = ops;
	tx->user = user;
	dv_port_start(tx->port, &sender_ops, tx);
}

void *dv_chan_sender_user(const struct dv_chan_sender *tx)
{
	return tx->user;
}

int dv_chan_send(struct dv_chan_sender *tx, struct dv_msg *msg,
		 struct dv_err *err)
{
	int r = 0;

	if (dv_chan_marked(dv_msg_data(msg), dv_msg_len(msg)))
		r = dv_chan_append(&msg, NULL, err);
	return r < 0 ? r : dv_port_send(tx->port, msg, err);
}

int dv_chan_send_bytes(struct dv_chan_sender *tx, const void *data, size_t len,
		       struct dv_err *err)
{
	struct dv_msg *msg;

	if (!dv_chan_marked(data, len))
		return dv_port_send_bytes(tx->port, data, len, err);
	msg = dv_chan_msg(data, len, NULL);
	if (!msg)
		return dv_err_sys(err, ENOMEM, "send %zu bytes", len);
	return dv_port_send(tx->port, msg, err);
}

int dv_chan_clone(struct dv_chan_sender *tx, struct dv_chan_sender **txp,
		  struct dv_err *err)
{
	struct dv_port *pair[2];
	int r = dv_chan_pair(dv_port_mesh(tx->port), pair, err);

	if (r < 0)
		return r;
	r = dv_chan_give(tx->port, pair[1], err);
	if (r < 0) {
		dv_port_close(pair[0], NULL);
		return r;
	}
	*txp = dv_chan_sender_from_port(pair[0]);
	return *txp ? r : dv_err_sys(err, ENOMEM, "clone a sender");
}
