/* SPDX-License-Identifier: MIT */
/*
 * DOC: the side of a cell that sets it.
 *
 * Each subscriber has a port. What is said on it:
 *
 *	to it	update		a value and its version
 *	back	seen		it has seen this version, and all before it
 *	back	ports		one more subscriber, on that port
 *
 * Nothing is queued for a slow subscriber: while its port is full it is only
 * noted which version was sent last, and when there is room again it gets the
 * latest.
 *
 * A cell that moves is packed like a receiver: one port, on which the value and
 * the subscribers' ports come. It is complete when these are here.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/def.h"
#include "base/list.h"
#include "mesh/chan_msg.h"

struct sub {
	struct dv_list at;
	struct dv_cell *cell;
	struct dv_port *port;
	uint64_t sent, seen; /* versions */
	bool full;
};

/* Somebody waits until @version was seen. */
struct wait {
	struct dv_list at;
	struct dv_cell *cell;
	struct dv_timer timer;
	uint64_t version;
	dv_cell_seen_fn *fn;
	void *user;
};

struct dv_cell {
	struct dv_mesh *mesh;
	uint64_t version; /* 0: it was moved, and is not complete */
	uint8_t *data;    /* owned */
	size_t len;
	struct dv_list subs;
	uint32_t n_subs;
	struct sub *bringer; /* of a moved cell: sends it. NULL otherwise */
	void (*ready)(struct dv_cell *cell, int r, void *user);
	void *user;
	struct dv_list waits;
	struct dv_defer defer; /* looks which of them are over */
	bool *gonep;
};

/* ---- waiting ------------------------------------------------------- */

/* Subscribers that have not seen @version. */
static uint32_t n_left(const struct dv_cell *cell, uint64_t version)
{
	struct dv_list *l, *next;
	uint32_t n = 0;

	dv_list_each(l, next, &cell->subs) n +=
		dv_list_of(l, struct sub, at)->seen < version;
	return n;
}

static void wait_free(struct wait *w)
{
	dv_timer_stop(&w->timer);
	dv_list_del(&w->at);
	free(w);
}

static void wait_over(struct wait *w, int r, uint32_t left)
{
	struct wait copy = *w;

	wait_free(w);
	copy.fn(copy.cell, r, left, copy.user);
}

static void on_deadline(struct dv_timer *timer)
{
	struct wait *w = dv_container_of(timer, struct wait, timer);
	uint32_t left = n_left(w->cell, w->version);

	wait_over(w, left ? -ETIMEDOUT : 0, left);
}

/* The oldest wait is over first, so only that one is looked at. */
static void check_waits(struct dv_defer *defer)
{
	struct dv_cell *cell = dv_container_of(defer, struct dv_cell, defer);
	struct dv_list *l;
	bool gone = false;

	while (!gone && (l = dv_list_first(&cell->waits))) {
		struct wait *w = dv_list_of(l, struct wait, at);

		if (n_left(cell, w->version))
			return;
		cell->gonep = &gone;
		wait_over(w, 0, 0);
		if (!gone)
			cell->gonep = NULL;
	}
}

static void look_soon(struct dv_cell *cell)
{
	if (!dv_list_empty(&cell->waits))
		dv_defer_add(dv_mesh_loop(cell->mesh), &cell->defer,
			     check_waits);
}

/* ---- subscribers --------------------------------------------------- */

static int add_sub(struct dv_cell *cell, struct dv_port *port,
		   struct sub **subp);

static void sub_free(struct sub *s, const struct dv_err *reason)
{
	struct dv_cell *cell = s->cell;

	if (cell->bringer == s)
		cell->bringer = NULL;
	dv_list_del(&s->at);
	cell->n_subs--;
	dv_port_close(s->port, reason);
	free(s);
	look_soon(cell);
}

/* Send it the latest. What fails ends the port, and that comes as its end. */
static void sub_send(struct sub *s)
{
	const struct dv_cell *cell = s->cell;
	dv_mesh_Trailer t = { .which_kind = dv_mesh_Trailer_update_tag };
	struct dv_msg *msg;
	int r = -ENOMEM;

	if (s->full || s->sent == cell->version)
		return;
	t.kind.update = cell->version;
	msg = dv_chan_msg(cell->data, cell->len, &t);
	if (msg)
		r = dv_port_send(s->port, msg, NULL);
	s->full = r == DV_FULL || r == -EAGAIN;
	if (r >= 0)
		s->sent = cell->version;
}

static void sub_writable(struct dv_port *port)
{
	struct sub *s = dv_port_user(port);

	s->full = false;
	sub_send(s);
}

static void sub_ended(struct dv_port *port, const struct dv_port_end *end)
{
	struct sub *s = dv_port_user(port);
	struct dv_cell *cell = s->cell;
	bool lost = cell->bringer == s && cell->version == 0;

	(void)end;
	sub_free(s, NULL);
	if (lost && cell->ready)
		cell->ready(cell, -ECONNRESET, cell->user);
}

/* A moved cell's value, and the first of its subscribers. */
static int bring(struct sub *s, struct dv_msg *msg, uint64_t version)
{
	struct dv_cell *cell = s->cell;
	size_t len = dv_msg_len(msg);
	uint8_t *copy = malloc(len + 1);

	if (!copy)
		return -ENOMEM;
	if (len)
		memcpy(copy, dv_msg_data(msg), len);
	free(cell->data);
	cell->data = copy;
	cell->len = len;
	cell->version = version;
	return 0;
}

static int take_message(struct sub *s, struct dv_msg *msg,
			const dv_mesh_Trailer *t, struct dv_err *err)
{
	struct dv_cell *cell = s->cell;
	int r = 0;

	if (cell->version > 0 && t->which_kind == dv_mesh_Trailer_seen_tag) {
		if (t->kind.seen > s->sent)
			return dv_err_set(err, EBADMSG, DV_INVALID,
					  "saw a version that was not sent");
		s->seen = dv_max(s->seen, t->kind.seen);
		look_soon(cell);
		return 0;
	}
	if (t->which_kind == dv_mesh_Trailer_update_tag && cell->bringer == s &&
	    cell->version == 0 && t->kind.update > 0)
		r = bring(s, msg, t->kind.update);
	else if (cell->version == 0 || !t->has_ports || t->which_kind != 0)
		return dv_err_set(err, EBADMSG, DV_INVALID,
				  "a message that is none of a subscriber's");
	if (r < 0)
		return dv_err_sys(err, -r, "take a value");
	for (size_t i = 0; t->has_ports && i < t->ports.count; i++)
		add_sub(cell, dv_msg_take_port(msg, t->ports.first + i), NULL);
	return 0;
}

static void sub_message(struct dv_port *port, struct dv_msg *msg)
{
	struct sub *s = dv_port_user(port);
	struct dv_cell *cell = s->cell;
	bool complete = cell->version > 0;
	struct dv_err err = DV_ERR_INIT;
	dv_mesh_Trailer t;
	int r = dv_chan_strip(msg, &t, &err);

	if (r == 0)
		r = take_message(s, msg, &t, &err);
	if (r < 0)
		sub_free(s, &err);
	if (!complete && (r < 0 || cell->version > 0) && cell->ready)
		cell->ready(cell, r, cell->user);
}

static const struct dv_port_ops sub_ops = {
	.message = sub_message,
	.ended = sub_ended,
	.writable = sub_writable,
};

/* @port is consumed; who is refused hears so. */
static int add_sub(struct dv_cell *cell, struct dv_port *port,
		   struct sub **subp)
{
	struct dv_err why = DV_ERR_INIT;
	struct sub *s = NULL;
	int r = 0;

	if (cell->n_subs >= DV_CELL_VIEWS)
		r = dv_err_set(&why, EMFILE, DV_EXHAUSTED,
			       "the cell has %d subscribers, its limit",
			       DV_CELL_VIEWS);
	else if (!(s = calloc(1, sizeof(*s))))
		r = dv_err_sys(&why, ENOMEM, "subscribe to a cell");
	if (r < 0) {
		dv_port_close(port, &why);
		return r;
	}
	s->cell = cell;
	s->port = port;
	dv_list_add(&cell->subs, &s->at);
	cell->n_subs++;
	dv_port_start(port, &sub_ops, s);
	sub_send(s);
	if (subp)
		*subp = s;
	return 0;
}

/* ---- the program's side -------------------------------------------- */

static struct dv_cell *cell_new(struct dv_mesh *mesh)
{
	struct dv_cell *cell = calloc(1, sizeof(*cell));

	if (!cell)
		return NULL;
	cell->mesh = mesh;
	dv_list_init(&cell->subs);
	dv_list_init(&cell->waits);
	return cell;
}

static int set_value(struct dv_cell *cell, const void *data, size_t len,
		     struct dv_err *err)
{
	uint8_t *copy;

	if (len > DV_MSG_MAX)
		return dv_err_sys(err, EMSGSIZE, "set a cell to %zu bytes",
				  len);
	copy = malloc(len + 1);
	if (!copy)
		return dv_err_sys(err, ENOMEM, "set a cell");
	if (len)
		memcpy(copy, data, len);
	free(cell->data);
	cell->data = copy;
	cell->len = len;
	cell->version++;
	return 0;
}

int dv_cell_new(struct dv_cell **cellp, struct dv_mesh *mesh, const void *data,
		size_t len, struct dv_err *err)
{
	struct dv_cell *cell = cell_new(mesh);
	int r;

	if (!cell)
		return dv_err_sys(err, ENOMEM, "make a cell");
	r = set_value(cell, data, len, err);
	if (r < 0) {
		free(cell);
		return r;
	}
	*cellp = cell;
	return 0;
}

static int wait_new(struct dv_cell *cell, int timeout_ms, struct wait **wp)
{
	struct wait *w = calloc(1, sizeof(*w));

	if (!w)
		return -ENOMEM;
	if (timeout_ms >= 0 &&
	    dv_timer_set(dv_mesh_loop(cell->mesh), &w->timer,
			 dv_chan_at((uint64_t)timeout_ms * 1000000),
			 on_deadline) < 0) {
		free(w);
		return -ENOMEM;
	}
	w->cell = cell;
	dv_list_init(&w->at);
	*wp = w;
	return 0;
}

int dv_cell_set(struct dv_cell *cell, const void *data, size_t len,
		int timeout_ms, dv_cell_seen_fn *fn, void *user,
		struct dv_err *err)
{
	struct dv_list *l, *next;
	struct wait *w = NULL;
	int r = 0;

	if (cell->version == 0)
		return dv_err_sys(err, EAGAIN, "set a cell that still arrives");
	if (fn && wait_new(cell, timeout_ms, &w) < 0)
		return dv_err_sys(err, ENOMEM, "set a cell");
	r = set_value(cell, data, len, err);
	if (r < 0) {
		if (w)
			wait_free(w);
		return r;
	}
	dv_list_each(l, next, &cell->subs)
		sub_send(dv_list_of(l, struct sub, at));
	if (w) {
		w->version = cell->version;
		w->fn = fn;
		w->user = user;
		dv_list_add(&cell->waits, &w->at);
		look_soon(cell);
	}
	return 0;
}

uint64_t dv_cell_version(const struct dv_cell *cell)
{
	return cell->version;
}

uint32_t dv_cell_n_views(const struct dv_cell *cell)
{
	return cell->n_subs - (cell->bringer ? 1 : 0);
}

int dv_cell_subscribe(struct dv_cell *cell, struct dv_cell_view **viewp,
		      struct dv_err *err)
{
	struct dv_port *pair[2];
	int r = dv_chan_pair(cell->mesh, pair, err);

	if (r < 0)
		return r;
	r = add_sub(cell, pair[0], NULL);
	if (r < 0) {
		dv_port_close(pair[1], NULL);
		return dv_err_sys(err, -r, "subscribe to a cell");
	}
	*viewp = dv_cell_view_from_port(pair[1]);
	return *viewp ? 0 : dv_err_sys(err, ENOMEM, "subscribe to a cell");
}

static void cell_free(struct dv_cell *cell)
{
	struct dv_list *l;

	while ((l = dv_list_first(&cell->waits)))
		wait_free(dv_list_of(l, struct wait, at));
	dv_defer_del(&cell->defer);
	if (cell->gonep)
		*cell->gonep = true;
	free(cell->data);
	free(cell);
}

struct dv_cell *dv_cell_close(struct dv_cell *cell, const struct dv_err *reason)
{
	struct dv_list *l;

	if (!cell)
		return NULL;
	while ((l = dv_list_first(&cell->subs)))
		sub_free(dv_list_of(l, struct sub, at), reason);
	cell_free(cell);
	return NULL;
}

/* ---- moving -------------------------------------------------------- */

int dv_cell_attach(struct dv_msg *msg, struct dv_cell *cell)
{
	struct dv_chan_head head = { cell->data, cell->len, cell->version };
	dv_autofree struct dv_port **ports =
		calloc(cell->n_subs + 1, sizeof(*ports));
	struct dv_port *port;
	struct dv_list *l;
	size_t n = 0;
	int r = -ENOMEM;

	while (ports && (l = dv_list_pop(&cell->subs))) {
		struct sub *s = dv_list_of(l, struct sub, at);

		ports[n++] = s->port;
		free(s);
	}
	if (ports && cell->version == 0) {
		/* It never was complete here: what comes is for the next. */
		port = n ? ports[0] : NULL;
		r = n == 1 ? 0 : -EAGAIN;
	} else if (ports)
		r = dv_chan_pack(cell->mesh, ports, n, &head, &port, NULL);
	else
		dv_cell_close(cell, NULL);
	if (ports)
		cell_free(cell);
	return r < 0 ? r : dv_msg_add_port(msg, port);
}

struct dv_cell *dv_cell_take(struct dv_msg *msg, size_t n,
			     void (*ready)(struct dv_cell *cell, int r,
					   void *user),
			     void *user, struct dv_err *err)
{
	struct dv_port *port = dv_chan_take_port(msg, n, err);
	struct dv_cell *cell;

	if (!port)
		return NULL;
	cell = cell_new(dv_port_mesh(port));
	if (!cell || add_sub(cell, port, &cell->bringer) < 0) {
		if (!cell)
			dv_port_close(port, NULL);
		free(cell);
		dv_err_sys(err, ENOMEM, "take a cell");
		return NULL;
	}
	cell->ready = ready;
	cell->user = user;
	return cell;
}
