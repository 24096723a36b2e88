/* SPDX-License-Identifier: MIT */
/*
 * DOC: the handshake.
 *
 * Both sides say HELLO at once; neither waits for the other's, but a message
 * waits for it, because it brings the window. Whoever invites gives the other
 * side its first port in there.
 *
 * Who the other process is the kernel says with each read while SO_PASSCRED is
 * set. (SO_PEERCRED of a socket pair is the process that made it.)
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/def.h"
#include "mesh/link.h"

void dv_link_hello(struct dv_link *link, struct dv_port_desc *port)
{
	const struct dv_mesh *mesh = link->mesh;
	struct dv_mw_hello h = {
		.version_min = DV_MW_VERSION_MIN,
		.version_max = DV_MW_VERSION_MAX,
		.node = dv_node_id(mesh->node),
		.max_message = mesh->limits.max_message,
		.window = mesh->window,
		.has_port = port,
	};

	if (port)
		h.port = dv_desc_to_wire(port);
	dv_mw_hello_put(&link->out.buf, &h, h.port.has_err ? port->err : NULL);
	if (port)
		free(dv_take_ptr(&port->err));
	dv_out_appended(link);
	/* It should be there when the other side looks. */
	if (dv_link_alive(link))
		dv_out_write(link);
}

/* ---- the other side's ---- */

static int32_t pid_of(const struct dv_link *link)
{
	struct ucred cred = { 0 };
	socklen_t len = sizeof(cred);

	if (link->in.cred_pid > 0)
		return link->in.cred_pid;
	if (getsockopt(link->fd, SOL_SOCKET, SO_PEERCRED, &cred, &len) < 0)
		return 0;
	return cred.pid == getpid() ? 0 : cred.pid;
}

static bool is_known(const struct dv_link *link, struct dv_mesh_id node)
{
	struct dv_list *at, *next;

	dv_list_each(at, next, &link->mesh->links)
	{
		const struct dv_link *other =
			dv_list_of(at, struct dv_link, in_mesh);

		if (other != link && other->state != DV_LINK_DOWN &&
		    other->base.peer.hi == node.hi &&
		    other->base.peer.lo == node.lo)
			return true;
	}
	return false;
}

static int check_node(const struct dv_link *link, struct dv_mesh_id node,
		      struct dv_err *err)
{
	struct dv_mesh_id self = dv_node_id(link->mesh->node);
	struct dv_mesh_id peer = link->base.peer;
	bool expected = peer.hi | peer.lo;

	if (node.hi == self.hi && node.lo == self.lo)
		return dv_err_set(err, EPROTO, DV_INVALID,
				  "the connection leads back to this node");
	/* Nobody vouches for a stranger: it may not be somebody we know. */
	if (link->base.stranger && is_known(link, node))
		return dv_err_set(err, EPROTO, DV_DENIED,
				  "it says it is a process of this mesh");
	if (expected && (node.hi != peer.hi || node.lo != peer.lo))
		return dv_err_set(err, EPROTO, DV_DENIED,
				  "it is another node than was %s",
				  link->base.via ? "introduced" : "invited");
	return 0;
}

static int check(struct dv_link *link, const struct dv_mw_hello *h,
		 struct dv_err *err)
{
	int r = dv_mw_version(h, err);

	if (r >= 0)
		r = check_node(link, h->node, err);
	if (r >= 0 && link->wants_port != h->has_port)
		r = dv_err_set(err, EPROTO, DV_INVALID, "%s",
			       h->has_port ? "it gives a port away that nobody "
					     "asked for"
					   : "it gives no port away: it is no "
					     "invitation");
	return r;
}

/* The first port: dv_mesh_join() takes it, or it has given out another one. */
static int take_port(struct dv_link *link, const struct dv_mw_port *port,
		     struct dv_err *reason, struct dv_err *err)
{
	struct dv_port_desc desc = dv_desc_of_wire(port);
	struct dv_port *got = NULL;
	int r;

	desc.err = port->has_err ? reason : NULL;
	r = dv_node_take(&link->base, &desc, &got);
	if (r < 0)
		return dv_err_sys(err, -r, "take the first port");
	if (link->door)
		dv_port_bridge(dv_take_ptr(&link->door), got, NULL);
	else
		link->port = got;
	return 0;
}

void dv_link_on_hello(struct dv_link *link, const struct dv_rd *rd,
		      const struct dv_mw_head *head)
{
	struct dv_err *err = &link->rule, reason;
	struct dv_mw_hello h;
	int r = dv_mw_hello_parse(rd, head, &h, &reason, err);

	if (link->base.pid == 0)
		link->base.pid = pid_of(link);
	dv_link_pass_creds(link->fd, false);
	if (r == 0)
		r = check(link, &h, err);
	if (r >= 0) {
		link->base.peer = h.node;
		link->out.granted = h.window;
		link->out.max_message = h.max_message;
		link->state = DV_LINK_UP;
		dv_timer_stop(&link->deadline);
		if (link->wants_port)
			r = take_port(link, &h.port, &reason, err);
	}
	if (r < 0)
		dv_link_violation(link, err);
	else if (!dv_list_empty(&link->base.waiting))
		dv_out_flush(link);
	if (!dv_list_empty(&link->out.refused))
		dv_in_resume(link);
	if (dv_link_alive(link) && link->watch)
		link->watch->up(link->watch, h.node);
}
