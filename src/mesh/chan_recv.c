/* SPDX-License-Identifier: MIT */
/*
 * DOC: the receiving half of a channel.
 *
 * It has one port for each sender and keeps no message: what is not received
 * yet waits in the ports. So when the receiver moves, each port moves with what
 * waits in it, and the order of each sender holds by itself.
 *
 * A new sender comes as a port in a message of an older one, or as a port that
 * this process makes. A receiver that was moved begins with one port, whose
 * other end has sent all the others and is closed: it is a sender like the
 * rest, so nothing here knows about moves but the function that packs.
 */
#include <errno.h>
#include <stdlib.h>

#include "base/def.h"
#include "mesh/chan.h"

struct chan_in {
	struct dv_list at;
	struct dv_chan_receiver *rx;
	struct dv_port *port;
};

/* ---- the ports ----------------------------------------------------- */

static const struct dv_port_ops in_ops;

static void in_start(struct chan_in *in)
{
	dv_port_pause(in->port, in->rx->paused);
	dv_port_start(in->port, &in_ops, in);
}

/* @port is consumed; without memory its sender hears so. */
static int add_port(struct dv_chan_receiver *rx, struct dv_port *port)
{
	struct dv_err why = DV_ERR_INIT;
	struct chan_in *in;
	int r = 0;

	if (rx->n >= rx->max)
		r = dv_err_set(&why, EMFILE, DV_EXHAUSTED,
			       "the channel has %zu senders, its limit",
			       rx->max);
	in = r == 0 ? calloc(1, sizeof(*in)) : NULL;
	if (!in) {
		if (r == 0)
			r = dv_err_sys(&why, ENOMEM, "add a sender");
		dv_port_close(port, &why);
		return r;
	}
	in->rx = rx;
	in->port = port;
	dv_list_add(&rx->ins, &in->at);
	rx->n++;
	if (rx->ops)
		in_start(in);
	return 0;
}

/* Forget the port of @in, which the caller takes. */
static struct dv_port *in_free(struct chan_in *in)
{
	struct dv_port *port = in->port;

	dv_list_del(&in->at);
	in->rx->n--;
	free(in);
	return port;
}

/* One is gone: tell, and when it was the last, tell that. @end is the port's,
 * and so are its bytes. */
static void in_ended(struct chan_in *in, const struct dv_port_end *end,
		     const struct dv_err *reason)
{
	struct dv_chan_receiver *rx = in->rx;
	struct dv_port_end why = *end;
	bool gone = false;

	dv_port_close(in_free(in), reason);
	if (!why.closed || why.err.code != DV_OK) {
		if (!rx->has_lost)
			rx->lost = why;
		rx->has_lost = true;
		rx->gonep = &gone;
		if (rx->ops->lost)
			rx->ops->lost(rx, &why);
		if (gone)
			return;
		rx->gonep = NULL;
	}
	if (rx->n == 0 && rx->ops->closed) {
		struct dv_port_end first = rx->lost;

		rx->ops->closed(rx, rx->has_lost ? &first : NULL);
	}
}

static void in_broke(struct chan_in *in, const struct dv_err *err)
{
	struct dv_port_end end;

	dv_chan_broke(&end, err);
	in_ended(in, &end, err);
}

static void take_ports(struct dv_chan_receiver *rx, struct dv_msg *msg,
		       const dv_mesh_Refs *refs)
{
	for (size_t i = 0; i < refs->count; i++)
		add_port(rx, dv_msg_take_port(msg, refs->first + i));
}

static void on_message(struct dv_port *port, struct dv_msg *msg)
{
	struct chan_in *in = dv_port_user(port);
	struct dv_chan_receiver *rx = in->rx;
	struct dv_err err = DV_ERR_INIT;
	dv_mesh_Trailer t;
	int r = dv_chan_strip(msg, &t, &err);

	if (r < 0)
		in_broke(in, &err);
	else if (t.has_ports && t.which_kind == 0)
		take_ports(rx, msg, &t.ports);
	else if (t.which_kind == dv_mesh_Trailer_request_tag) {
		if (dv_asked_deliver(rx, msg, &t.kind.request, &err) < 0)
			in_broke(in, &err);
	} else if (t.which_kind != 0) {
		dv_err_set(&err, EBADMSG, DV_INVALID,
			   "a message that is none of a channel's");
		in_broke(in, &err);
	} else if (rx->ops->message)
		rx->ops->message(rx, msg);
}

static void on_ended(struct dv_port *port, const struct dv_port_end *end)
{
	in_ended(dv_port_user(port), end, NULL);
}

static const struct dv_port_ops in_ops = {
	.message = on_message,
	.ended = on_ended,
};

/* ---- life ---------------------------------------------------------- */

static struct dv_chan_receiver *receiver_new(struct dv_mesh *mesh)
{
	struct dv_chan_receiver *rx = calloc(1, sizeof(*rx));

	if (!rx)
		return NULL;
	rx->mesh = mesh;
	rx->max = DV_CHAN_SENDERS;
	dv_list_init(&rx->ins);
	return rx;
}

static void receiver_free(struct dv_chan_receiver *rx)
{
	if (rx->gonep)
		*rx->gonep = true;
	free(rx);
}

int dv_chan_new(struct dv_mesh *mesh, struct dv_chan_sender **txp,
		struct dv_chan_receiver **rxp, struct dv_err *err)
{
	struct dv_chan_receiver *rx = receiver_new(mesh);
	int r;

	if (!rx)
		return dv_err_sys(err, ENOMEM, "make a channel");
	r = dv_chan_add_sender(rx, txp, err);
	if (r < 0) {
		receiver_free(rx);
		return r;
	}
	*rxp = rx;
	return 0;
}

int dv_chan_add_sender(struct dv_chan_receiver *rx, struct dv_chan_sender **txp,
		       struct dv_err *err)
{
	struct dv_chan_sender *tx;
	struct dv_port *pair[2];
	int r = dv_chan_pair(rx->mesh, pair, err);

	if (r < 0)
		return r;
	tx = dv_chan_sender_from_port(pair[0]);
	if (!tx) {
		dv_port_close(pair[1], NULL);
		return dv_err_sys(err, ENOMEM, "add a sender");
	}
	r = add_port(rx, pair[1]);
	if (r < 0) {
		dv_chan_sender_close(tx, NULL);
		return dv_err_sys(err, -r, "add a sender");
	}
	*txp = tx;
	return 0;
}

struct dv_chan_receiver *dv_chan_receiver_from_port(struct dv_port *port)
{
	struct dv_chan_receiver *rx = receiver_new(dv_port_mesh(port));

	if (!rx) {
		dv_port_close(port, NULL);
		return NULL;
	}
	if (add_port(rx, port) == 0)
		return rx;
	receiver_free(rx);
	return NULL;
}

struct dv_chan_receiver *dv_chan_receiver_take(struct dv_msg *msg, size_t n,
					       struct dv_err *err)
{
	struct dv_port *port = dv_chan_take_port(msg, n, err);
	struct dv_chan_receiver *rx;

	if (!port)
		return NULL;
	rx = dv_chan_receiver_from_port(port);
	if (!rx)
		dv_err_sys(err, ENOMEM, "take a receiver");
	return rx;
}

void dv_chan_start(struct dv_chan_receiver *rx, const struct dv_chan_ops *ops,
		   void *user)
{
	struct dv_list *l, *next;

	rx->ops = ops;
	rx->user = user;
	dv_list_each(l, next, &rx->ins)
		in_start(dv_list_of(l, struct chan_in, at));
}

void dv_chan_pause(struct dv_chan_receiver *rx, bool paused)
{
	struct dv_list *l, *next;

	rx->paused = paused;
	dv_list_each(l, next, &rx->ins)
		dv_port_pause(dv_list_of(l, struct chan_in, at)->port, paused);
}

void *dv_chan_user(const struct dv_chan_receiver *rx)
{
	return rx->user;
}

void dv_chan_limit(struct dv_chan_receiver *rx, size_t max_senders)
{
	rx->max = max_senders;
}

struct dv_chan_receiver *dv_chan_receiver_close(struct dv_chan_receiver *rx,
						const struct dv_err *reason)
{
	struct dv_list *l;

	if (!rx)
		return NULL;
	while ((l = dv_list_first(&rx->ins)))
		dv_port_close(in_free(dv_list_of(l, struct chan_in, at)),
			      reason);
	receiver_free(rx);
	return NULL;
}

/* ---- moving -------------------------------------------------------- */

/* All ports of @rx as one. @rx is consumed. */
static int receiver_port(struct dv_chan_receiver *rx, struct dv_port **portp)
{
	size_t n = rx->n, i = 0;
	dv_autofree struct dv_port **ports = calloc(n + 1, sizeof(*ports));
	struct dv_err why = DV_ERR_INIT;
	struct dv_list *l;
	int r;

	if (!ports) {
		dv_err_sys(&why, ENOMEM, "move a receiver");
		dv_chan_receiver_close(rx, &why);
		return -ENOMEM;
	}
	while ((l = dv_list_first(&rx->ins)))
		ports[i++] = in_free(dv_list_of(l, struct chan_in, at));
	*portp = ports[0];
	if (n == 0)
		r = dv_chan_ended_port(rx->mesh,
				       rx->has_lost ? &rx->lost.err : NULL,
				       portp, NULL);
	else
		r = n == 1 ? 0
			   : dv_chan_pack(rx->mesh, ports, n, NULL, portp,
					  NULL);
	receiver_free(rx);
	return r;
}

int dv_chan_receiver_attach(struct dv_msg *msg, struct dv_chan_receiver *rx)
{
	struct dv_port *port;
	int r = receiver_port(rx, &port);

	return r < 0 ? r : dv_msg_add_port(msg, port);
}
