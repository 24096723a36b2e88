/* SPDX-License-Identifier: MIT */
#include "agent/state.h"

#include <errno.h>
#include <pb_decode.h>
#include <pb_encode.h>
#include <stdlib.h>
#include <string.h>

#include "agent/capture.h"
#include "base/def.h"
#include "base/fd.h"
#include "services/pump.h"

/* What the callbacks of the parts need. */
struct saving {
	struct dv_agent *a;
	dv_AgentState *st;
	void (*each_fd)(void *arg, int fd);
	void *arg;
};

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

/* Our group is the only one: it has no limits, so it is a v2 group. */
static int save_group(struct saving *s)
{
	struct dv_cgroup *cg = &s->a->cg;

	if (cg->v2_fd < 0)
		return 0;
	s->st->group = dv_fd_to_state(cg->v2_fd);
	s->st->group_path = strdup(cg->dirs[0]);
	s->each_fd(s->arg, cg->v2_fd);
	return s->st->group_path ? 0 : -ENOMEM;
}

static int save_self(struct saving *s)
{
	int door = dv_door_fd(s->a->door);

	s->st->version = DV_STATE_VERSION;
	s->st->software = strdup("davit-agent " DV_VERSION);
	s->st->door = dv_fd_to_state(door);
	s->each_fd(s->arg, door);
	s->st->restarts = s->a->restarts;
	s->st->begun = s->a->begun;
	s->st->paused = s->a->paused;
	s->st->restart_calls = s->a->restart ? 1 : 0;
	s->st->log_level = (uint32_t)s->a->log.level;
	return s->st->software ? save_group(s) : -ENOMEM;
}

int dv_state_save(struct dv_agent *a, dv_AgentState *st,
		  void (*each_fd)(void *arg, int fd), void *arg,
		  struct dv_err *err)
{
	struct saving s = { a, st, each_fd, arg };
	int r = dv_procs_save(a->procs, &st->procs, each_fd, arg, err);

	if (r < 0)
		return r;
	st->has_procs = true;
	r = save_self(&s);
	if (r == 0)
		r = dv_server_save(a->server, save_conn, &s);
	if (r == 0)
		r = dv_data_save(a->data, save_data, &s);
	if (r == 0)
		r = dv_door_save(a->door, save_visitor, &s);
	return r < 0 ? dv_err_sys(err, -r, "save the state") : 0;
}

void dv_state_free(dv_AgentState *st)
{
	pb_release(dv_AgentState_fields, st);
	*st = (dv_AgentState)dv_AgentState_init_zero;
}

/* ---- as bytes ------------------------------------------------------- */

static bool write_buf(pb_ostream_t *stream, const pb_byte_t *data, size_t len)
{
	return dv_buf_put(stream->state, data, len) == 0;
}

int dv_state_encode(const dv_AgentState *st, struct dv_buf *out,
		    struct dv_err *err)
{
	pb_ostream_t stream = {
		.callback = write_buf,
		.state = out,
		.max_size = SIZE_MAX,
	};

	if (pb_encode(&stream, dv_AgentState_fields, st))
		return 0;
	int r = dv_buf_status(out) < 0 ? dv_buf_status(out) : -EINVAL;
	return dv_err_sys(err, -r, "encode the saved state");
}

int dv_state_decode(const void *doc, size_t len, dv_AgentState *st,
		    struct dv_err *err)
{
	pb_istream_t stream = pb_istream_from_buffer(doc, len);

	if (!pb_decode(&stream, dv_AgentState_fields, st))
		return dv_err_set(err, EPROTO, DV_DATA_LOSS,
				  "the saved state cannot be read: %s",
				  PB_GET_ERROR(&stream));
	if (st->version == DV_STATE_VERSION)
		return 0;
	return dv_err_set(err, EPROTO, DV_PRECONDITION,
			  "the saved state has version %u, this program "
			  "understands %d",
			  st->version, DV_STATE_VERSION);
}

/* ---- taking it over ------------------------------------------------- */

/* The pieces as one block (owned by the caller; never NULL but without memory).
 */
static char *join(pb_bytes_array_t *const *list, pb_size_t n, size_t *lenp)
{
	dv_autobuf all = DV_BUF_INIT(DV_STATE_MAX);

	for (pb_size_t i = 0; i < n; i++)
		dv_buf_put(&all, list[i]->bytes, list[i]->size);
	*lenp = all.len;
	return dv_buf_take(&all);
}

static int restore_conn(struct dv_agent *a, const dv_ConnState *c)
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

	if (!calls || !in || !out) {
		dv_close(to.fd);
		return -ENOMEM;
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
	return dv_server_restore(a->server, &to);
}

static void lost(struct dv_agent *a, int r)
{
	if (r < 0)
		dv_log(&a->log, DV_LOG_ERROR,
		       "lost a connection in the restart: %s",
		       dv_errno_text(-r));
}

static void restore_conns(struct dv_agent *a, const dv_AgentState *st)
{
	for (pb_size_t i = 0; i < st->data_count; i++)
		lost(a, dv_data_restore(a->data, st->data[i].id,
					dv_fd_from_state(st->data[i].fd)));
	for (pb_size_t i = 0; i < st->conns_count; i++)
		lost(a, restore_conn(a, &st->conns[i]));
	for (pb_size_t i = 0; i < st->visitors_count; i++) {
		const dv_VisitorState *v = &st->visitors[i];

		lost(a, dv_door_restore(a->door, dv_fd_from_state(v->fd),
					v->head ? v->head->bytes : NULL,
					v->head ? v->head->size : 0));
	}
}

int dv_state_restore(struct dv_agent *a, const dv_AgentState *st,
		     struct dv_err *err)
{
	int r;

	a->restarts = st->restarts + 1;
	a->restart_calls = st->restart_calls;
	a->begun = st->begun;
	a->paused = st->paused;
	a->log.level = (enum dv_level)dv_min(st->log_level, DV_LOG_N - 1);
	if (st->group && dv_cgroup_adopt(&a->cg, st->group_path,
					 dv_fd_from_state(st->group)) < 0)
		dv_log(&a->log, DV_LOG_ERROR, "lost the control group");
	r = dv_procs_restore(a->procs, &st->procs, err);
	if (r < 0)
		return r;
	r = dv_agent_open_door(a, dv_fd_from_state(st->door), err);
	if (r == 0)
		restore_conns(a, st);
	return r;
}
