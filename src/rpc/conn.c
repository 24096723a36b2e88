/* SPDX-License-Identifier: MIT */
/*
 * The connections of a server: their list, who goes when there are too many or
 * when they keep too much, and what is in flight on each.
 */
#include "rpc/call.h"

#include <errno.h>

#include "base/def.h"

struct dv_inflight *dv_conn_find(struct dv_conn *conn, uint32_t stream)
{
	struct dv_inflight *f;

	if (conn->n_calls == 0)
		return NULL;
	f = conn->calls[stream / 2 % DV_CONN_BUCKETS];
	while (f && f->stream != stream)
		f = f->next;
	return f;
}

/* ---- too many connections ---- */

/* Without calls in flight, of @only (NULL: of all who pay); or NULL. */
static struct dv_conn *least_loss(const struct dv_server *s,
				  const struct dv_payers *payers,
				  const struct dv_holder *only)
{
	struct dv_conn *least = NULL;

	/* The newest is the first. */
	for (struct dv_conn *c = s->conns; c; c = c->next)
		if (c->n_calls == 0 && dv_pays(payers, c->holder) &&
		    (!only || c->holder == only) &&
		    (!least || c->last_call <= least->last_call))
			least = c;
	return least;
}

/* The newest of those who pay for others: what was there before it stays. */
static struct dv_conn *newest(const struct dv_server *s,
			      const struct dv_payers *payers,
			      const struct dv_holder *asks)
{
	struct dv_conn *c = s->conns;

	while (c && (c->holder == asks || !dv_pays(payers, c->holder)))
		c = c->next;
	return c;
}

/* Close one for @asks, who is counted already. False: it is his own fault. */
static bool make_room(struct dv_server *s, const struct dv_holder *asks)
{
	struct dv_payers payers =
		dv_shares_payers(&s->shares, DV_SHARE_CONNS, asks);
	struct dv_conn *c = least_loss(s, &payers, asks);

	if (!c)
		c = least_loss(s, &payers, NULL);
	if (!c)
		c = newest(s, &payers, asks);
	if (!c)
		return false;
	dv_log(s->opts.log, DV_LOG_DEBUG,
	       "too many connections: one is closed pid=%d", c->holder->pid);
	c->ops->close(c);
	return true;
}

int dv_conn_init(struct dv_conn *conn, struct dv_server *server,
		 const struct dv_conn_ops *ops, const struct dv_peer *peer)
{
	struct dv_holder *holder = dv_shares_join(&server->shares, peer);

	if (!holder)
		return -ENOMEM;
	dv_holder_add(holder, DV_SHARE_CONNS, 1);
	if (server->n_conns >= server->opts.max_conns &&
	    !make_room(server, holder)) {
		dv_holder_sub(holder, DV_SHARE_CONNS, 1);
		dv_holder_leave(holder);
		return -EMFILE;
	}
	*conn = (struct dv_conn){ .ops = ops,
				  .server = server,
				  .holder = holder };
	if (peer) {
		conn->peer = *peer;
		conn->peer.pidfd = -1;
		conn->has_peer = true;
	}
	conn->next = server->conns;
	conn->prevp = &server->conns;
	if (conn->next)
		conn->next->prevp = &conn->next;
	server->conns = conn;
	server->n_conns++;
	server->total_conns++;
	return 0;
}

/* ---- too much on them ---- */

/* The connection of a payer that has most; they have something. */
static struct dv_conn *greediest(struct dv_server *s, enum dv_share kind)
{
	struct dv_payers payers = dv_shares_payers(&s->shares, kind, NULL);
	struct dv_conn *most = NULL;
	size_t n = 0;

	for (struct dv_conn *c = s->conns; c; c = c->next) {
		size_t has = kind == DV_SHARE_BYTES ? c->held : c->n_calls;

		if (has > n && dv_pays(&payers, c->holder)) {
			most = c;
			n = has;
		}
	}
	return most;
}

static struct dv_inflight *newest_call(const struct dv_conn *c)
{
	struct dv_inflight *last = NULL;

	for (size_t i = 0; i < DV_CONN_BUCKETS; i++)
		for (struct dv_inflight *f = c->calls[i]; f; f = f->next)
			if (!last || f->stream > last->stream)
				last = f;
	return last;
}

static void on_trim(struct dv_defer *defer)
{
	struct dv_server *s = dv_container_of(defer, struct dv_server, trim);
	struct dv_conn *c;

	while (s->shares.n[DV_SHARE_BYTES] > DV_RPC_HELD_MAX &&
	       (c = greediest(s, DV_SHARE_BYTES))) {
		dv_log(s->opts.log, DV_LOG_INFO,
		       "a connection ends that kept %zu bytes of unfinished "
		       "requests and unsent answers pid=%d",
		       c->held, c->holder->pid);
		c->ops->close(c);
	}
	while (s->shares.n[DV_SHARE_CALLS] > s->opts.max_in_flight &&
	       (c = greediest(s, DV_SHARE_CALLS)))
		dv_inflight_fail(newest_call(c), DV_EXHAUSTED,
				 "others need room for their calls");
}

void dv_conn_hold(struct dv_conn *conn, size_t held)
{
	struct dv_server *s = conn->server;

	dv_holder_add(conn->holder, DV_SHARE_BYTES, held - conn->held);
	conn->held = held;
	if (s->shares.n[DV_SHARE_BYTES] > DV_RPC_HELD_MAX)
		dv_defer_add(s->loop, &s->trim, on_trim);
}

void dv_conn_count_call(struct dv_conn *conn, bool on)
{
	struct dv_server *s = conn->server;

	if (!on) {
		conn->n_calls--;
		dv_holder_sub(conn->holder, DV_SHARE_CALLS, 1);
		return;
	}
	conn->n_calls++;
	dv_holder_add(conn->holder, DV_SHARE_CALLS, 1);
	if (s->shares.n[DV_SHARE_CALLS] > s->opts.max_in_flight)
		dv_defer_add(s->loop, &s->trim, on_trim);
}

int dv_conn_may_call(const struct dv_conn *conn, struct dv_err *err)
{
	const struct dv_server *s = conn->server;
	struct dv_payers payers;

	if (conn->n_calls >= s->opts.max_calls)
		return dv_err_set(err, EBUSY, DV_EXHAUSTED,
				  "%u calls are in flight already",
				  conn->n_calls);
	if (s->shares.n[DV_SHARE_CALLS] < s->opts.max_in_flight)
		return 0;
	payers = dv_shares_payers(&s->shares, DV_SHARE_CALLS, conn->holder);
	if (!dv_pays(&payers, conn->holder))
		return 0;
	return dv_err_set(err, EBUSY, DV_EXHAUSTED,
			  "%zu calls are in flight already on all connections, "
			  "most of them yours",
			  s->shares.n[DV_SHARE_CALLS]);
}

/* ---- its end ---- */

void dv_conn_deinit(struct dv_conn *conn)
{
	if (!conn->prevp)
		return;
	dv_conn_hold(conn, 0);
	for (size_t i = 0; i < DV_CONN_BUCKETS; i++)
		while (conn->calls[i])
			dv_inflight_cancel(conn->calls[i]);
	*conn->prevp = conn->next;
	if (conn->next)
		conn->next->prevp = conn->prevp;
	conn->prevp = NULL;
	conn->server->n_conns--;
	dv_holder_sub(conn->holder, DV_SHARE_CONNS, 1);
	dv_holder_leave(dv_take_ptr(&conn->holder));
}
