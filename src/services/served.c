/* SPDX-License-Identifier: MIT */
#include "services/served.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/def.h"
#include "base/fd.h"
#include "services/pump.h"
#include "services/reexec.h"

/* What the callbacks of the parts need. */
struct saving {
	dv_ServedState *st;
	void (*each_fd)(void *arg, int fd);
	void *arg;
	uint32_t server; /* whose connections they are */
};

/* ---- saving ----------------------------------------------------------- */

/* A zeroed element at the end of a growing array, or NULL. */
static void *append(void *arrayp, pb_size_t *np, size_t size)
{
	char **array = arrayp;
	char *grown;

	if (*np == UINT16_MAX)
		return NULL;
	grown = reallocarray(*array, (size_t)*np + 1, size);
	if (!grown)
		return NULL;
	*array = grown;
	memset(grown + *np * size, 0, size);
	return grown + (*np)++ * size;
}

static pb_bytes_array_t *bytes_new(const void *data, size_t len)
{
	pb_bytes_array_t *b;

	if (len > UINT16_MAX)
		return NULL;
	b = malloc(PB_BYTES_ARRAY_T_ALLOCSIZE(len));
	if (!b)
		return NULL;
	b->size = (pb_size_t)len;
	if (len) /* else there may be no data at all */
		memcpy(b->bytes, data, len);
	return b;
}

static int save_call(dv_ConnState *to, const struct dv_call_state *call)
{
	dv_CallState *c = append(&to->calls, &to->calls_count, sizeof(*c));

	if (!c)
		return -ENOMEM;
	c->stream = call->stream;
	c->timeout_ns = call->timeout_ns;
	c->service = strdup(call->service);
	c->method = strdup(call->method);
	c->payload = bytes_new(call->payload, call->len);
	return c->service && c->method && c->payload ? 0 : -ENOMEM;
}

static int save_conn(void *arg, const struct dv_conn_state *from)
{
	struct saving *s = arg;
	dv_ConnState *c =
		append(&s->st->conns, &s->st->conns_count, sizeof(*c));
	int r;

	if (!c)
		return -ENOMEM;
	c->fd = dv_fd_to_state(from->fd);
	c->proto = from->proto;
	c->server = s->server;
	s->each_fd(s->arg, from->fd);
	r = dv_pieces_add(&c->in, &c->in_count, from->in, from->in_len);
	if (r == 0)
		r = dv_pieces_add(&c->out, &c->out_count, from->out,
				  from->out_len);
	for (size_t i = 0; r == 0 && i < from->n_calls; i++)
		r = save_call(c, &from->calls[i]);
	return r;
}

static int save_data(void *arg, uint64_t id, int fd)
{
	struct saving *s = arg;
	dv_DataState *d = append(&s->st->data, &s->st->data_count, sizeof(*d));

	if (!d)
		return -ENOMEM;
	d->id = id;
	d->fd = dv_fd_to_state(fd);
	s->each_fd(s->arg, fd);
	return 0;
}

/* Whoever has it saves it too, or it ends here. */
static int save_claimed(void *arg, int fd)
{
	struct saving *s = arg;
	uint32_t *one =
		append(&s->st->claimed, &s->st->claimed_count, sizeof(*one));

	if (!one)
		return -ENOMEM;
	*one = dv_fd_to_state(fd);
	return 0;
}

static int save_visitor(void *arg, int fd, const void *head, size_t len)
{
	struct saving *s = arg;
	dv_VisitorState *v =
		append(&s->st->visitors, &s->st->visitors_count, sizeof(*v));

	if (!v)
		return -ENOMEM;
	v->fd = dv_fd_to_state(fd);
	v->head = bytes_new(head, len);
	s->each_fd(s->arg, fd);
	return v->head ? 0 : -ENOMEM;
}

static void save_door(struct saving *s, const struct dv_door *door)
{
	int fd = dv_door_fd(door);

	s->st->door = dv_fd_to_state(fd);
	s->each_fd(s->arg, fd);
}

int dv_served_save(const struct dv_served *served, dv_ServedState *out,
		   void (*each_fd)(void *arg, int fd), void *arg,
		   struct dv_err *err)
{
	struct saving s = { out, each_fd, arg, 0 };
	int r = 0;

	if (served->procs) {
		r = dv_procs_save(served->procs, &out->procs, each_fd, arg,
				  err);
		if (r < 0)
			return r;
		out->has_procs = true;
	}
	save_door(&s, served->door);
	for (; s.server < DV_SERVED_SERVERS && r == 0; s.server++)
		if (served->servers[s.server])
			r = dv_server_save(served->servers[s.server], save_conn,
					   &s);
	if (r == 0)
		r = dv_data_save(served->data, save_data, &s);
	if (r == 0)
		r = dv_data_save_claimed(served->data, save_claimed, &s);
	if (r == 0)
		r = dv_door_save(served->door, save_visitor, &s);
	return r < 0 ? dv_err_sys(err, -r, "save the state") : 0;
}

/* ---- taking it over --------------------------------------------------- */

int dv_served_door(const dv_ServedState *st)
{
	return dv_fd_from_state(st->door);
}

/* The pieces as one block (owned by the caller; never NULL but without memory).
 */
static char *join(pb_bytes_array_t *const *list, pb_size_t n, size_t *lenp)
{
	dv_autobuf all = DV_BUF_INIT(DV_REEXEC_MAX);

	for (pb_size_t i = 0; i < n; i++)
		dv_buf_put(&all, list[i]->bytes, list[i]->size);
	*lenp = all.len;
	return dv_buf_take(&all);
}

int dv_served_restore_conn(struct dv_server *server, const dv_ConnState *c)
{
	dv_autofree struct dv_call_state *calls =
		calloc((size_t)c->calls_count + 1, sizeof(*calls));
	struct dv_conn_state to = {
		.fd = dv_fd_from_state(c->fd),
		.proto = (enum dv_proto)c->proto,
		.calls = calls,
		.n_calls = c->calls_count,
	};
	dv_autofree char *in = join(c->in, c->in_count, &to.in_len);
	dv_autofree char *out = join(c->out, c->out_count, &to.out_len);

	if (!calls || !in || !out || !server) {
		dv_close(to.fd);
		return calls && in && out ? -ENOENT : -ENOMEM;
	}
	to.in = in;
	to.out = out;
	for (pb_size_t i = 0; i < c->calls_count; i++) {
		calls[i].stream = c->calls[i].stream;
		calls[i].service = c->calls[i].service;
		calls[i].method = c->calls[i].method;
		calls[i].payload = c->calls[i].payload->bytes;
		calls[i].len = c->calls[i].payload->size;
		calls[i].timeout_ns = c->calls[i].timeout_ns;
	}
	return dv_server_restore(server, &to);
}

static struct dv_server *server_of(const struct dv_served *s,
				   const dv_ConnState *c)
{
	return c->server < DV_SERVED_SERVERS ? s->servers[c->server] : NULL;
}

static void lost(const struct dv_served *s, int r)
{
	if (r < 0 && s->log)
		dv_log(s->log, DV_LOG_ERROR,
		       "lost a connection in the restart: %s",
		       dv_errno_text(-r));
}

void dv_served_restore(const struct dv_served *s, const dv_ServedState *st)
{
	for (pb_size_t i = 0; i < st->data_count; i++)
		lost(s, dv_data_restore(s->data, st->data[i].id,
					dv_fd_from_state(st->data[i].fd)));
	for (pb_size_t i = 0; i < st->claimed_count; i++)
		dv_data_restore_claimed(s->data,
					dv_fd_from_state(st->claimed[i]));
	for (pb_size_t i = 0; i < st->conns_count; i++)
		lost(s, dv_served_restore_conn(server_of(s, &st->conns[i]),
					       &st->conns[i]));
	for (pb_size_t i = 0; i < st->visitors_count; i++) {
		const dv_VisitorState *v = &st->visitors[i];

		lost(s, dv_door_restore(s->door, dv_fd_from_state(v->fd),
					v->head ? v->head->bytes : NULL,
					v->head ? v->head->size : 0));
	}
}
