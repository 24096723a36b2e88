/* SPDX-License-Identifier: MIT */
#include "rpc/server.h"

#include <errno.h>
#include <string.h>

#include "base/def.h"
#include "base/fd.h"
#include "rpc/call.h"
#include "rpc/grpc.h"

int dv_server_new(struct dv_server **serverp, struct dv_loop *loop,
		  const struct dv_server_opts *opts, struct dv_err *err)
{
	struct dv_server *s;

	if (opts && opts->size != sizeof(*opts))
		return dv_err_sys(err, EINVAL, "server options");
	s = calloc(1, sizeof(*s));
	if (!s)
		return dv_err_sys(err, ENOMEM, "server");
	s->loop = loop;
	if (opts)
		s->opts = *opts;
	if (!s->opts.max_conns)
		s->opts.max_conns =
			dv_rpc_fd_share(DV_RPC_CONNS_MAX, DV_RPC_CONNS_PART);
	if (!s->opts.max_calls)
		s->opts.max_calls = DV_RPC_CALLS_MAX;
	if (!s->opts.max_in_flight)
		s->opts.max_in_flight = DV_RPC_IN_FLIGHT_MAX;
	*serverp = s;
	return 0;
}

struct dv_server *dv_server_free(struct dv_server *s)
{
	if (!s)
		return NULL;
	while (s->conns)
		s->conns->ops->close(s->conns);
	dv_defer_del(&s->trim);
	while (s->spare) {
		struct dv_inflight *f = s->spare;

		s->spare = f->next;
		free(f);
	}
	free(s->services);
	free(s->scratch);
	free(s);
	return NULL;
}

int dv_server_add(struct dv_server *s, const struct dv_service *service,
		  void *ctx)
{
	struct dv_server_service *list = reallocarray(
		s->services, s->n_services + 1, sizeof(*s->services));

	if (!list)
		return -ENOMEM;
	list[s->n_services++] = (struct dv_server_service){ service, ctx };
	s->services = list;
	return 0;
}

void *dv_server_scratch(struct dv_server *s)
{
	if (!s->scratch)
		s->scratch = malloc(DV_RPC_READ_LEN);
	return s->scratch;
}

int dv_server_take(struct dv_server *s, int fd, enum dv_proto proto,
		   const struct dv_peer *peer, const void *head, size_t len,
		   int *fds, size_t n_fds)
{
	if (proto != DV_PROTO_GRPC)
		return dv_ttrpc_serve(s, fd, proto, peer, head, len, fds,
				      n_fds);
	for (size_t i = 0; i < n_fds; i++)
		dv_close(fds[i]);
	return dv_grpc_serve(s, fd, peer, head, len);
}

static void drain(struct dv_server *s, bool on)
{
	struct dv_conn *next;

	s->draining = on;
	for (struct dv_conn *c = s->conns; c; c = next) {
		next = c->next;
		c->ops->drain(c, on);
	}
}

void dv_server_drain(struct dv_server *s)
{
	drain(s, true);
}

void dv_server_resume(struct dv_server *s)
{
	drain(s, false);
}

int dv_server_flush(struct dv_server *s)
{
	int more = 0;

	for (struct dv_conn *c = s->conns; c; c = c->next)
		if (c->ops->flush(c) == DV_MORE)
			more = DV_MORE;
	return more;
}

void dv_server_stats(const struct dv_server *s, struct dv_server_stats *stats)
{
	*stats = (struct dv_server_stats){
		.conns = s->n_conns,
		.total_conns = s->total_conns,
		.total_calls = s->total_calls,
		.bytes_in = s->bytes_in,
		.bytes_out = s->bytes_out,
	};
	for (const struct dv_conn *c = s->conns; c; c = c->next)
		stats->calls += c->n_calls;
}

void dv_server_part(struct dv_server *s)
{
	struct dv_conn *next;

	for (struct dv_conn *c = s->conns; c; c = next) {
		next = c->next;
		dv_conn_fail_unkept(c);
		if (!c->ops->save)
			c->ops->drain(c, true);
	}
	dv_server_flush(s);
}

int dv_server_save(struct dv_server *s,
		   int (*each)(void *arg, const struct dv_conn_state *state),
		   void *arg)
{
	int r = 0;

	for (struct dv_conn *c = s->conns; c && r == 0; c = c->next)
		if (c->ops->save)
			r = c->ops->save(c, each, arg);
	return r;
}

int dv_server_restore(struct dv_server *s, const struct dv_conn_state *state)
{
	return dv_ttrpc_restore(s, state);
}
