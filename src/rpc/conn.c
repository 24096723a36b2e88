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

/* Close the connection that is the least loss. False: all are in use. */
static bool make_room(struct dv_server *server)
{
	struct dv_conn *least = NULL;

	/* The newest is the first. */
	for (struct dv_conn *c = server->conns; c; c = c->next)
		if (c->n_calls == 0 &&
		    (!least || c->last_call <= least->last_call))
			least = c;
	if (!least)
		return false;
	dv_log(server->opts.log, DV_LOG_DEBUG,
	       "too many connections: one without calls is closed");
	least->ops->close(least);
	return true;
}

int dv_conn_init(struct dv_conn *conn, struct dv_server *server,
		 const struct dv_conn_ops *ops, const struct dv_peer *peer)
{
	if (server->n_conns >= server->opts.max_conns && !make_room(server))
		return -EMFILE;
	*conn = (struct dv_conn){ .ops = ops, .server = server };
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

static struct dv_conn *greediest(struct dv_server *s)
{
	struct dv_conn *most = s->conns;

	for (struct dv_conn *c = s->conns; c; c = c->next)
		if (c->held > most->held)
			most = c;
	return most;
}

static void on_trim(struct dv_defer *defer)
{
	struct dv_server *s = dv_container_of(defer, struct dv_server, trim);

	while (s->held > DV_RPC_HELD_MAX && s->conns) {
		struct dv_conn *c = greediest(s);

		dv_log(s->opts.log, DV_LOG_WARN,
		       "a connection ends that kept %zu bytes of unfinished "
		       "requests",
		       c->held);
		c->ops->close(c);
	}
}

void dv_conn_hold(struct dv_conn *conn, size_t held)
{
	struct dv_server *s = conn->server;

	s->held += held - conn->held;
	conn->held = held;
	if (s->held > DV_RPC_HELD_MAX)
		dv_defer_add(s->loop, &s->trim, on_trim);
}

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
}
