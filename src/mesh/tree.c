/* SPDX-License-Identifier: MIT */
#include "mesh/tree.h"

#include "base/def.h"
#include "base/fmt.h"
#include "mesh/host_inspect.h"
#include "mesh/link.h"
#include "mesh/mesh_priv.h"
#include "mesh/node.h"

/* ---- ports ------------------------------------------------------------ */

struct port_name {
	char text[DV_MESH_ID_TEXT];
};

static const char *port_name(struct port_name *name, struct dv_mesh_id id)
{
	dv_mesh_id_text(id, name->text);
	name->text[DV_MESH_TREE_DIGITS] = '\0';
	return name->text;
}

static void show_id(struct dv_inspect *in, const char *name,
		    struct dv_mesh_id id, uint32_t flags)
{
	char text[DV_MESH_ID_TEXT];

	if (id.hi || id.lo)
		dv_inspect_str(in, name, dv_mesh_id_text(id, text), flags);
}

/* A total of a stream. After a bridge it may be one of before its start. */
static void show_total(struct dv_inspect *in, const char *name, uint64_t v)
{
	dv_inspect_u64(in, name, (int64_t)v < 0 ? 0 : v, DV_NODE_COUNT);
}

static void show_port(struct dv_inspect *in, void *obj)
{
	const struct dv_port_view *v = obj;
	struct port_name name;

	dv_inspect_str(in, "state", v->state, 0);
	if (v->peer.hi || v->peer.lo)
		dv_inspect_str(in, "peer", port_name(&name, v->peer), 0);
	show_id(in, "peer_node", v->peer_node, 0);
	dv_inspect_u64(in, "queued_in_bytes", v->queued_in, 0);
	dv_inspect_u64(in, "queued_out_bytes", v->queued_out, 0);
	show_total(in, "sent_bytes", v->sent);
	show_total(in, "received_bytes", v->received);
	show_total(in, "granted_bytes", v->granted);
}

struct ports {
	struct dv_inspect *in;
	uint64_t n;
};

static void on_port(void *arg, const struct dv_port_view *view)
{
	struct dv_port_view v = *view;
	struct ports *ports = arg;
	struct port_name name;

	if (!dv_inspect_wants(ports->in, port_name(&name, v.id), 0))
		return;
	if (ports->n++ < DV_MESH_TREE_PORTS)
		dv_inspect_dir(ports->in, name.text, show_port, &v, 0);
}

static void show_ports(struct dv_inspect *in, void *obj)
{
	const struct dv_mesh *mesh = obj;
	struct ports ports = { in, 0 };

	dv_node_each_port(mesh->node, on_port, &ports);
	if (ports.n > DV_MESH_TREE_PORTS)
		dv_inspect_u64(in, "not_listed", ports.n - DV_MESH_TREE_PORTS,
			       0);
}

/* ---- links ------------------------------------------------------------ */

static const char *const link_states[] = { "joining", "up", "ending", "down" };
static_assert(DV_ARRAY_LEN(link_states) == DV_LINK_N, "one name per state");

static uint64_t length(const struct dv_list *list)
{
	uint64_t n = 0;

	for (const struct dv_list *at = list->next; at != list; at = at->next)
		n++;
	return n;
}

static const char *link_origin(const struct dv_link *link)
{
	if (link->base.stranger)
		return link->watch ? "stranger" : "invited";
	if (link->base.parent)
		return "parent";
	return link->base.via ? "introduced" : "own";
}

static void show_link_out(struct dv_inspect *in, void *obj)
{
	const struct dv_out *out = obj;

	dv_inspect_u64(in, "sent_bytes", out->sent, DV_NODE_COUNT);
	dv_inspect_u64(in, "granted_bytes", out->granted, DV_NODE_COUNT);
	dv_inspect_u64(in, "waiting_bytes", dv_out_waiting(out), 0);
	dv_inspect_u64(in, "long_messages", length(&out->longs), 0);
	dv_inspect_u64(in, "introductions", out->n_introduce, 0);
	dv_inspect_bool(in, "blocked", out->blocked, 0);
}

static void show_link_in(struct dv_inspect *in, void *obj)
{
	const struct dv_in *incoming = obj;

	dv_inspect_u64(in, "received_bytes", incoming->received, DV_NODE_COUNT);
	dv_inspect_u64(in, "used_bytes", incoming->used, DV_NODE_COUNT);
	dv_inspect_u64(in, "granted_bytes", incoming->allowed, DV_NODE_COUNT);
	dv_inspect_u64(in, "long_messages", length(&incoming->longs), 0);
}

static void show_link(struct dv_inspect *in, void *obj)
{
	struct dv_link *link = obj;
	const struct dv_mesh_link *base = &link->base;

	show_id(in, "node_id", base->peer, 0);
	if (base->pid)
		dv_inspect_i64(in, "pid", base->pid, 0);
	dv_inspect_str(in, "state", link_states[link->state], 0);
	dv_inspect_str(in, "origin", link_origin(link), 0);
	show_id(in, "via", base->introducer, 0);
	dv_inspect_bool(in, "heard", base->heard, 0);
	dv_inspect_u64(in, "held_bytes", base->held, 0);
	dv_inspect_u64(in, "ports_waiting", length(&base->waiting), 0);
	dv_inspect_dir(in, "out", show_link_out, &link->out, 0);
	dv_inspect_dir(in, "in", show_link_in, &link->in, 0);
	if (link->why.code != DV_OK)
		dv_inspect_str(in, "error", link->why.msg, 0);
}

/* By descriptor: two links may lead to one node, and it is not known who will
 * come by an invitation. */
static void show_links(struct dv_inspect *in, void *obj)
{
	const struct dv_mesh *mesh = obj;
	uint64_t n_down = 0, held = 0;
	struct dv_list *at, *next;

	dv_list_each(at, next, &mesh->links)
	{
		struct dv_link *link = dv_list_of(at, struct dv_link, in_mesh);

		if (link->fd >= 0) {
			dv_inspect_dir_u64(in, (uint64_t)link->fd, show_link,
					   link, 0);
			continue;
		}
		n_down++;
		held += link->base.held;
	}
	dv_inspect_u64(in, "down/links", n_down, 0);
	dv_inspect_u64(in, "down/held_bytes", held, 0);
}

/* ---- the node --------------------------------------------------------- */

/* clang-format off */
#define TOTAL(name, member) \
	DV_FIELD(name, struct dv_node_counts, member, DV_FIELD_U64, \
		 DV_NODE_COUNT | DV_INSPECT_SAFE)
#define NOW(name, member) \
	DV_FIELD(name, struct dv_node_counts, member, DV_FIELD_U32, \
		 DV_INSPECT_SAFE)
/* clang-format on */

static const struct dv_inspect_field count_fields[] = {
	TOTAL("sent", sent),
	TOTAL("received", received),
	TOTAL("sent_bytes", sent_bytes),
	TOTAL("received_bytes", received_bytes),
	TOTAL("moved_out", moved_out),
	TOTAL("moved_in", moved_in),
	TOTAL("refused", refused),
	TOTAL("proxied", proxied),
	TOTAL("introduced", introduced),
	TOTAL("dropped", dropped),
	TOTAL("failed", failed),
	NOW("ports", n_ports),
	NOW("proxies", n_proxies),
	NOW("links", n_links),
};

static void show_counts(struct dv_inspect *in, void *obj)
{
	const struct dv_mesh *mesh = obj;
	struct dv_node_counts counts = *dv_node_counts(mesh->node);

	dv_inspect_fields(in, count_fields, DV_ARRAY_LEN(count_fields),
			  &counts);
	dv_inspect_u64(in, "violations", mesh->n_violations,
		       DV_NODE_COUNT | DV_INSPECT_SAFE);
	dv_inspect_u64(in, "turned_away", mesh->n_turned_away,
		       DV_NODE_COUNT | DV_INSPECT_SAFE);
}

static void show_limits(struct dv_inspect *in, void *obj)
{
	const struct dv_mesh *mesh = obj;
	const struct dv_node_limits *l = &mesh->limits;

	dv_inspect_u64(in, "message_bytes", l->max_message, DV_INSPECT_SAFE);
	dv_inspect_u64(in, "port_window_bytes", l->port_window,
		       DV_INSPECT_SAFE);
	dv_inspect_u64(in, "peer_window_bytes", mesh->window, DV_INSPECT_SAFE);
	dv_inspect_u64(in, "ports", l->max_ports, DV_INSPECT_SAFE);
	dv_inspect_u64(in, "links", l->max_links, DV_INSPECT_SAFE);
	dv_inspect_u64(in, "hello_ms", mesh->hello_ms, DV_INSPECT_SAFE);
}

void dv_mesh_inspect(struct dv_inspect *in, void *obj)
{
	static const char *const leaves[] = { "no", "draining",
					      "saying goodbye", "left" };
	static_assert(DV_ARRAY_LEN(leaves) == DV_LEAVE_N, "one per state");
	const struct dv_mesh_tree *tree = obj;
	struct dv_mesh *mesh = tree->mesh;

	dv_inspect_str(in, "name", dv_mesh_name(mesh), DV_INSPECT_SAFE);
	show_id(in, "node_id", dv_mesh_id(mesh), DV_INSPECT_SAFE);
	dv_inspect_str(in, "leaving", leaves[mesh->leave.state],
		       DV_INSPECT_SAFE);
	if (dv_inspect_wants(in, "unfinished_ports", DV_INSPECT_SAFE))
		dv_inspect_u64(in, "unfinished_ports",
			       dv_node_unfinished(mesh->node), DV_INSPECT_SAFE);
	dv_inspect_dir(in, "counts", show_counts, mesh, DV_INSPECT_SAFE);
	dv_inspect_dir(in, "limits", show_limits, mesh, DV_INSPECT_SAFE);
	dv_inspect_dir(in, "ports", show_ports, mesh, 0);
	dv_inspect_dir(in, "links", show_links, mesh, 0);
	if (tree->hosts)
		dv_inspect_dir(in, "hosts", dv_hosts_inspect, tree->hosts,
			       DV_INSPECT_SAFE);
	else
		dv_inspect_dir(in, "hosts", dv_hosts_inspect_self, mesh,
			       DV_INSPECT_SAFE);
}
