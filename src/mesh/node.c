/* SPDX-License-Identifier: MIT */
#include "mesh/node.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "mesh/node_priv.h"

enum { BUCKETS_MIN = 16 };

/* ---- ends by id ---- */

/* Multiplied with random odd numbers: whoever chooses ids does not know which
 * of them meet. */
static size_t bucket_of(const struct dv_mesh_node *node, struct dv_mesh_id id)
{
	uint64_t h = id.lo * node->key[0] + id.hi * node->key[1];

	return (size_t)(h >> node->bucket_shift);
}

struct dv_end *dv_node_lookup(const struct dv_mesh_node *node,
			      struct dv_mesh_id id)
{
	struct dv_end *e = node->buckets[bucket_of(node, id)];

	while (e && !dv_id_eq(e->id, id))
		e = e->next;
	return e;
}

static void put_end(struct dv_mesh_node *node, struct dv_end *e)
{
	size_t at = bucket_of(node, e->id);

	e->next = node->buckets[at];
	node->buckets[at] = e;
}

static int grow(struct dv_mesh_node *node, size_t n)
{
	struct dv_end **buckets = calloc(n, sizeof(struct dv_end *));
	struct dv_end **old = node->buckets;
	size_t n_old = node->n_buckets;

	if (!buckets)
		return -ENOMEM;
	node->buckets = buckets;
	node->n_buckets = n;
	node->bucket_shift = 64 - (unsigned int)__builtin_ctzll(n);
	for (size_t i = 0; i < n_old; i++) {
		struct dv_end *e = old[i], *next;

		for (; e; e = next) {
			next = e->next;
			put_end(node, e);
		}
	}
	free(old);
	return 0;
}

int dv_node_add_end(struct dv_mesh_node *node, struct dv_end *e)
{
	if (node->counts.n_ports >= node->limits->max_ports)
		return -ENFILE;
	/* Without memory it only becomes slower. */
	if (node->counts.n_ports >= node->n_buckets)
		grow(node, 2 * node->n_buckets);
	put_end(node, e);
	node->counts.n_ports++;
	return 0;
}

void dv_node_remove_end(struct dv_mesh_node *node, struct dv_end *e)
{
	struct dv_end **at = &node->buckets[bucket_of(node, e->id)];

	while (*at && *at != e)
		at = &(*at)->next;
	if (!*at)
		return;
	*at = e->next;
	node->counts.n_ports--;
}

/* ---- life ---- */

static void init_link(struct dv_mesh_link *link)
{
	dv_list_init(&link->at);
	dv_list_init(&link->ports);
	dv_list_init(&link->waiting);
	dv_list_init(&link->busy);
}

static void init_lists(struct dv_mesh_node *node)
{
	init_link(&node->self);
	init_link(&node->lost);
	dv_list_init(&node->links);
	dv_list_init(&node->ready);
	dv_list_init(&node->work);
	dv_list_init(&node->dead);
	dv_list_init(&node->seamed);
	dv_list_init(&node->connecting);
	dv_list_init(&node->kept);
	dv_list_init(&node->tombs);
	dv_msgs_init(&node->trash);
}

int dv_node_new(struct dv_mesh_node **nodep, const struct dv_node_env *env,
		const struct dv_node_limits *limits, void *owner)
{
	dv_autofree struct dv_mesh_node *node = calloc(1, sizeof(*node));
	struct dv_mesh_id key;

	if (!node)
		return -ENOMEM;
	node->env = env;
	node->limits = limits;
	node->owner = owner;
	init_lists(node);
	node->id = env->id(node);
	key = env->id(node);
	node->key[0] = key.lo | 1;
	node->key[1] = key.hi | 1;
	if (grow(node, BUCKETS_MIN) < 0)
		return -ENOMEM;
	dv_self_init(node);
	*nodep = dv_take_ptr(&node);
	return 0;
}

/* The message that carries it may outlive the node. */
static void detach(struct dv_port *port)
{
	struct dv_msg *msg = port->msg;

	for (uint16_t i = 0; msg && i < msg->n_atts; i++) {
		struct dv_att *att = &msg->atts[i];

		if (att->kind == DV_ATT_PORT && att->port == port)
			*att = (struct dv_att){ .kind = DV_ATT_NONE, .fd = -1 };
	}
}

static void free_ends(struct dv_mesh_node *node)
{
	for (size_t i = 0; i < node->n_buckets; i++) {
		struct dv_end *e, *next;

		for (e = node->buckets[i]; e; e = next) {
			next = e->next;
			if (e->port) {
				detach(e->port);
				dv_list_del(&e->port->ready);
				free(dv_take_ptr(&e->port));
			}
			dv_end_free(e);
		}
	}
}

struct dv_mesh_node *dv_node_destroy(struct dv_mesh_node *node)
{
	struct dv_list *l;

	if (!node)
		return NULL;
	dv_assert(!node->in_callback);
	node->dying = true;
	node->pumping = false;
	free_ends(node);
	while ((l = dv_list_pop(&node->kept)))
		dv_msg_free(dv_list_of(l, struct dv_msg, in_node));
	dv_self_free(node);
	dv_node_pump(node);
	dv_tombs_free(node);
	dv_msg_pool_free(node);
	free(node->buckets);
	free(node);
	return NULL;
}

void *dv_node_owner(const struct dv_mesh_node *node)
{
	return node->owner;
}

struct dv_mesh_id dv_node_id(const struct dv_mesh_node *node)
{
	return node->id;
}

/* ---- links ---- */

void dv_node_poke_connecting(struct dv_mesh_node *node)
{
	struct dv_list *l, *n;

	dv_list_each(l, n, &node->connecting)
		dv_end_poke(dv_list_of(l, struct dv_end, special));
}

int dv_node_link_up(struct dv_mesh_node *node, struct dv_mesh_link *link)
{
	if (node->counts.n_links >= node->limits->max_links)
		return -ENFILE;
	init_link(link);
	link->node = node;
	link->heard = false;
	link->intended = node->introducing;
	if (link->via)
		link->introducer = link->via->peer;
	dv_list_add(&node->links, &link->at);
	node->counts.n_links++;
	dv_node_poke_connecting(node);
	dv_node_pump(node);
	return 0;
}

/* @p is at a link that went down. */
static void lose_place(struct dv_place *p, struct dv_port_end *over)
{
	struct dv_end *e = p->end;
	bool joining = e->state == DV_END_JOINING;

	if (p == &e->to) {
		dv_place_clear(p);
		dv_end_to_lost(e, over);
		return;
	}
	dv_place_clear(p);
	if (joining) /* One of the two still hears us. */
		dv_end_fail(e, over);
	else
		dv_end_over(e, over);
}

/* Who waits for an ACCEPT that may have come over this link. */
static void lose_seamed(struct dv_mesh_link *link,
			const struct dv_mesh_node *node,
			const struct dv_err *why)
{
	struct dv_port_end how = dv_how_link(link, why);
	struct dv_list *l, *n;

	dv_list_each(l, n, &node->seamed)
	{
		struct dv_end *e = dv_list_of(l, struct dv_end, special);

		if (dv_move_unasked(e, link))
			dv_end_fail(e, dv_over_new(&how));
	}
}

static void forget_introducer(struct dv_mesh_node *node,
			      struct dv_mesh_link *via)
{
	struct dv_list *l, *n;

	dv_list_each(l, n, &node->links)
	{
		struct dv_mesh_link *link =
			dv_list_of(l, struct dv_mesh_link, at);

		if (link->via == via)
			link->via = &node->lost;
	}
}

/* Nothing ever came over a link, and who introduced it is gone: then the other
 * side has probably never had it. */
static struct dv_port_end *over_down(const struct dv_mesh_node *node,
				     const struct dv_mesh_link *link,
				     const struct dv_err *why)
{
	struct dv_port_end how = dv_how_link(link, why);

	if (!link->heard && link->via == &node->lost) {
		how.culprit = link->introducer;
		how.pid = 0;
	}
	return dv_over_new(&how);
}

void dv_node_link_down(struct dv_mesh_link *link, const struct dv_err *why)
{
	struct dv_mesh_node *node = link->node;
	struct dv_list *l;

	if (!node)
		return;
	link->node = NULL;
	dv_list_del(&link->at);
	node->counts.n_links--;
	forget_introducer(node, link);
	while ((l = dv_list_first(&link->ports))) {
		struct dv_place *p = dv_list_of(l, struct dv_place, at);

		lose_place(p, over_down(node, link, why));
	}
	lose_seamed(link, node, why);
	dv_node_poke_connecting(node);
	dv_node_pump(node);
}

int dv_link_put(struct dv_mesh_link *link, struct dv_mesh_event *ev)
{
	struct dv_mesh_node *node = link->node;

	if (node)
		return link->ops->send(link, ev);
	dv_msg_free(ev->msg);
	return 0;
}

/* ---- looking ---- */

const struct dv_node_counts *dv_node_counts(const struct dv_mesh_node *node)
{
	return &node->counts;
}

static bool unfinished(const struct dv_end *e)
{
	const struct dv_port *port = e->port;

	if (e->role != DV_ROLE_OWNED)
		return true;
	return e->outq.first || e->out.busy ||
	       (e->inq.first && port->ops && !port->paused && !port->msg);
}

uint32_t dv_node_unfinished(const struct dv_mesh_node *node)
{
	uint32_t n = 0;

	for (size_t i = 0; i < node->n_buckets; i++)
		for (struct dv_end *e = node->buckets[i]; e; e = e->next)
			n += unfinished(e);
	return n;
}

bool dv_node_finished(struct dv_mesh_node *node)
{
	/* From where one was found the last time: most often it is still
	 * there, and what was looked at before it is not looked at again. */
	for (size_t n = 0; n < node->n_buckets; n++) {
		size_t i = (node->unfinished_at + n) & (node->n_buckets - 1);

		for (struct dv_end *e = node->buckets[i]; e; e = e->next)
			if (unfinished(e)) {
				node->unfinished_at = i;
				return false;
			}
	}
	return true;
}

static const char *state_name(const struct dv_end *e)
{
	static const char *const states[] = {
		[DV_END_OPEN] = "open",       [DV_END_ARRIVING] = "arriving",
		[DV_END_JOINING] = "joining", [DV_END_SEAMED] = "seamed",
		[DV_END_OVER] = "ended",
	};
	static const char *const roles[] = {
		[DV_ROLE_OWNED] = NULL,     [DV_ROLE_CLOSING] = "closing",
		[DV_ROLE_PROXY] = "proxy",  [DV_ROLE_RELAY] = "bridged",
		[DV_ROLE_SINK] = "bridged",
	};
	static_assert(DV_ARRAY_LEN(states) == DV_END_N, "one row per state");
	static_assert(DV_ARRAY_LEN(roles) == DV_ROLE_N, "one row per role");

	return roles[e->role] ? roles[e->role] : states[e->state];
}

void dv_node_each_port(const struct dv_mesh_node *node,
		       void (*fn)(void *arg, const struct dv_port_view *view),
		       void *arg)
{
	for (size_t i = 0; i < node->n_buckets; i++)
		for (struct dv_end *e = node->buckets[i]; e; e = e->next) {
			const struct dv_mesh_link *out = e->out.link;
			struct dv_port_view view = {
				.id = e->id,
				.peer = e->out.id,
				.state = state_name(e),
				.queued_in = e->inq.cost + e->ahead.cost,
				.queued_out = e->outq.cost,
				.sent = e->sent - DV_TOTAL_START,
				.granted = e->granted - DV_TOTAL_START,
				.received = e->received - DV_TOTAL_START,
			};

			if (out)
				view.peer_node = out->peer;
			fn(arg, &view);
		}
}

void dv_node_each_link(const struct dv_mesh_node *node,
		       void (*fn)(void *arg, const struct dv_mesh_link *link),
		       void *arg)
{
	struct dv_list *l, *n;

	dv_list_each(l, n, &node->links)
		fn(arg, dv_list_of(l, struct dv_mesh_link, at));
}
