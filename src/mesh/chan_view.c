/* SPDX-License-Identifier: MIT */
/*
 * The side of a cell that reads it: see chan_cell.c. The value is a copy: a
 * message that is kept would hold up those that come after it.
 *
 * A subscriber that moves takes its value along. A new pair of ports begins
 * with it, and is then joined to the old one, so that what comes from the cell
 * follows.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/def.h"
#include "mesh/chan_msg.h"

struct dv_cell_view {
	struct dv_mesh *mesh;
	struct dv_port *port; /* NULL: the cell broke the rules */
	uint64_t version;     /* 0: none */
	uint8_t *data;        /* owned */
	size_t len;
	bool ack_due; /* it could not be sent */
	bool has_end;
	struct dv_port_end end;
	const struct dv_cell_view_ops *ops;
	void *user;
	bool *gonep;
};

struct dv_cell_view *dv_cell_view_from_port(struct dv_port *port)
{
	struct dv_cell_view *v = calloc(1, sizeof(*v));

	if (!v) {
		dv_port_close(port, NULL);
		return NULL;
	}
	v->mesh = dv_port_mesh(port);
	v->port = port;
	return v;
}

struct dv_cell_view *dv_cell_view_take(struct dv_msg *msg, size_t n,
				       struct dv_err *err)
{
	struct dv_port *port = dv_chan_take_port(msg, n, err);
	struct dv_cell_view *v;

	if (!port)
		return NULL;
	v = dv_cell_view_from_port(port);
	if (!v)
		dv_err_sys(err, ENOMEM, "take a subscriber");
	return v;
}

static void view_free(struct dv_cell_view *v)
{
	if (v->gonep)
		*v->gonep = true;
	free(v->data);
	free(v);
}

struct dv_cell_view *dv_cell_view_close(struct dv_cell_view *view)
{
	if (view) {
		dv_port_close(view->port, NULL);
		view_free(view);
	}
	return NULL;
}

/* ---- values -------------------------------------------------------- */

static void acknowledge(struct dv_cell_view *v)
{
	dv_mesh_Trailer t = { .which_kind = dv_mesh_Trailer_seen_tag };
	struct dv_msg *msg;
	int r = -EAGAIN;

	t.kind.seen = v->version;
	msg = dv_chan_msg(NULL, 0, &t);
	if (msg)
		r = dv_port_send(v->port, msg, NULL);
	v->ack_due = r == -EAGAIN;
}

static int take_value(struct dv_cell_view *v, const void *data, size_t len,
		      uint64_t version)
{
	uint8_t *copy = malloc(len + 1);

	if (!copy)
		return -ENOMEM;
	if (len)
		memcpy(copy, data, len);
	free(v->data);
	v->data = copy;
	v->len = len;
	v->version = version;
	return 0;
}

static void ended(struct dv_cell_view *v, const struct dv_port_end *end)
{
	v->has_end = true;
	v->end = *end;
	if (v->ops->ended)
		v->ops->ended(v, &v->end);
}

static void broke(struct dv_cell_view *v, const struct dv_err *err)
{
	struct dv_port_end end;

	dv_chan_broke(&end, err);
	v->port = dv_port_close(v->port, err);
	ended(v, &end);
}

static void on_message(struct dv_port *port, struct dv_msg *msg)
{
	struct dv_cell_view *v = dv_port_user(port);
	struct dv_err err = DV_ERR_INIT;
	bool gone = false, newer;
	dv_mesh_Trailer t;
	int r = dv_chan_strip(msg, &t, &err);

	if (r == 0 &&
	    (t.which_kind != dv_mesh_Trailer_update_tag || t.kind.update == 0))
		r = dv_err_set(&err, EBADMSG, DV_INVALID,
			       "a message that is none of a cell's");
	/* After a move the cell says once more what came along. */
	newer = r == 0 && t.kind.update > v->version;
	if (newer &&
	    take_value(v, dv_msg_data(msg), dv_msg_len(msg), t.kind.update) < 0)
		r = dv_err_sys(&err, ENOMEM, "take a value");
	if (r < 0) {
		broke(v, &err);
		return;
	}
	v->gonep = &gone;
	if (newer && v->ops->changed)
		v->ops->changed(v);
	if (gone)
		return;
	v->gonep = NULL;
	acknowledge(v);
}

static void on_ended(struct dv_port *port, const struct dv_port_end *end)
{
	ended(dv_port_user(port), end);
}

static void on_writable(struct dv_port *port)
{
	struct dv_cell_view *v = dv_port_user(port);

	if (v->ack_due)
		acknowledge(v);
}

static const struct dv_port_ops view_ops = {
	.message = on_message,
	.ended = on_ended,
	.writable = on_writable,
};

/* ---- the program's side -------------------------------------------- */

void dv_cell_view_watch(struct dv_cell_view *view,
			const struct dv_cell_view_ops *ops, void *user)
{
	view->ops = ops;
	view->user = user;
	if (view->port)
		dv_port_start(view->port, &view_ops, view);
}

void *dv_cell_view_user(const struct dv_cell_view *view)
{
	return view->user;
}

uint64_t dv_cell_view_get(const struct dv_cell_view *view, const void **datap,
			  size_t *lenp)
{
	*datap = view->data;
	*lenp = view->len;
	return view->version;
}

const struct dv_port_end *dv_cell_view_end(const struct dv_cell_view *view)
{
	return view->has_end ? &view->end : NULL;
}

int dv_cell_view_clone(struct dv_cell_view *view, struct dv_cell_view **viewp,
		       struct dv_err *err)
{
	struct dv_cell_view *v;
	struct dv_port *pair[2];
	int r;

	if (view->has_end)
		return dv_err_sys(err, EPIPE, "subscribe to a cell");
	r = dv_chan_pair(view->mesh, pair, err);
	if (r < 0)
		return r;
	v = dv_cell_view_from_port(pair[0]);
	r = -ENOMEM;
	if (v && (view->version == 0 ||
		  take_value(v, view->data, view->len, view->version) == 0))
		r = dv_chan_give(view->port, dv_take_ptr(&pair[1]), err);
	else
		dv_err_sys(err, ENOMEM, "subscribe to a cell");
	dv_port_close(pair[1], NULL);
	if (r < 0)
		dv_cell_view_close(v);
	else
		*viewp = v;
	return r;
}

/* ---- moving -------------------------------------------------------- */

/* One port on which the value of @view comes, and then what would come on the
 * port of @view, which is consumed. */
static int value_port(struct dv_cell_view *view, struct dv_port **portp)
{
	struct dv_chan_head head = { view->data, view->len, view->version };
	struct dv_port *rest = dv_take_ptr(&view->port);
	struct dv_err why = DV_ERR_INIT;

	if (view->has_end) {
		dv_port_close(rest, NULL);
		dv_chan_reason(&why, &view->end.err, "the cell was closed");
		return dv_chan_follow(
			view->mesh, &head, NULL,
			view->end.closed && view->end.err.code == DV_OK ? NULL
									: &why,
			portp);
	}
	return dv_chan_follow(view->mesh, &head, rest, NULL, portp);
}

int dv_cell_view_attach(struct dv_msg *msg, struct dv_cell_view *view)
{
	struct dv_port *port = view->port;
	int r = 0;

	if (view->version > 0)
		r = value_port(view, &port);
	else if (!port)
		r = dv_chan_ended_port(view->mesh, &view->end.err, &port, NULL);
	view_free(view);
	return r < 0 ? r : dv_msg_add_port(msg, port);
}
