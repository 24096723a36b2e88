/* SPDX-License-Identifier: MIT */
/*
 * A node on a loop, joined to others by sockets.
 */
#include <davit/mesh.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "base/def.h"
#include "base/fd.h"
#include "base/fmt.h"
#include "base/opts.h"
#include "base/random.h"
#include "mesh/link.h"
#include "mesh/mesh_priv.h"
#include "mesh/msg_cache.h"

/* ---- what a node needs ---- */

static int env_pair(struct dv_mesh_node *node, int fds[2])
{
	int type = SOCK_STREAM | SOCK_CLOEXEC;

	(void)node;
	if (socketpair(AF_UNIX, type, 0, fds) < 0)
		return -errno;
	/* What is written before the other side has the socket says who wrote
	 * it, too. */
	dv_link_pass_creds(fds[0], true);
	dv_link_pass_creds(fds[1], true);
	return 0;
}

static void env_close(struct dv_mesh_node *node, int fd)
{
	(void)node;
	dv_close(fd);
}

static int env_adopt(struct dv_mesh_node *node, int fd, struct dv_mesh_id peer,
		     struct dv_mesh_link *via)
{
	struct dv_link_start start = { .peer = peer, .via = via };
	struct dv_link *link;
	int r = dv_link_new(&link, dv_mesh_of(node), fd, &start);

	if (r == 0)
		dv_link_hello(link, NULL);
	return r;
}

static void env_cut(struct dv_mesh_link *link, const struct dv_err *why)
{
	dv_link_fail(dv_link_of(link), why, true);
}

static void on_run(struct dv_defer *defer)
{
	struct dv_mesh *mesh = dv_container_of(defer, struct dv_mesh, run);

	if (dv_node_run(mesh->node, DV_MESH_RUN_BUDGET))
		dv_defer_add(mesh->loop, &mesh->run, on_run);
	dv_leave_check(mesh);
}

static void env_wake(struct dv_mesh_node *node)
{
	struct dv_mesh *mesh = dv_mesh_of(node);

	dv_defer_add(mesh->loop, &mesh->run, on_run);
}

/* Many at a time: a system call costs more than all else that a new pair of
 * ports does. (No mesh lives on in a forked process, so none has the same.) */
static struct dv_mesh_id env_id(struct dv_mesh_node *node)
{
	struct dv_mesh *mesh = dv_mesh_of(node);
	struct dv_mesh_id id;

	do {
		if (mesh->n_ids == 0) {
			dv_random(mesh->ids, sizeof(mesh->ids));
			mesh->n_ids = DV_ARRAY_LEN(mesh->ids);
		}
		id = mesh->ids[--mesh->n_ids];
	} while ((id.hi | id.lo) == 0);
	return id;
}

static const struct dv_node_env env = {
	.pair = env_pair,
	.close_fd = env_close,
	.adopt = env_adopt,
	.cut = env_cut,
	.wake = env_wake,
	.id = env_id,
};

/* ---- options ---- */

/* 0 is the default, @max the most there can be. */
static uint32_t option(uint32_t value, uint32_t fallback, uint32_t max)
{
	return value ? dv_min(value, max) : fallback;
}

static int options(struct dv_mesh *mesh, const struct dv_mesh_opts *from,
		   struct dv_err *err)
{
	struct dv_mesh_opts o = { 0 };
	int r = from ? dv_opts_copy(&o, sizeof(o), from, err) : 0;

	if (r < 0)
		return r;
	mesh->limits.max_message =
		dv_max(option(o.max_message, 16 << 20, DV_MSG_MAX),
		       (uint32_t)DV_MW_EARLY_MAX);
	mesh->limits.port_window = option(o.port_window, 1280 << 10, 1U << 30);
	mesh->limits.max_ports = option(o.max_ports, 65536, 1U << 24);
	mesh->limits.max_links = option(o.max_links, 1024, 1U << 20);
	mesh->window = dv_max(option(o.peer_window, 64 << 20, UINT32_MAX),
			      (uint32_t)DV_MW_WINDOW_MIN);
	mesh->hello_ms = option(o.hello_ms, 5000, UINT32_MAX);
	dv_fmt(mesh->name, sizeof(mesh->name), "%s", o.name ? o.name : "");
	return 0;
}

/* ---- life ---- */

int dv_mesh_new(struct dv_mesh **meshp, struct dv_loop *loop,
		const struct dv_mesh_opts *opts, struct dv_err *err)
{
	struct dv_mesh_id any = { 0, 0 };

	return dv_mesh_new_as(meshp, loop, opts, any, err);
}

int dv_mesh_new_as(struct dv_mesh **meshp, struct dv_loop *loop,
		   const struct dv_mesh_opts *opts, struct dv_mesh_id id,
		   struct dv_err *err)
{
	dv_autofree struct dv_mesh *mesh = calloc(1, sizeof(*mesh));
	int r;

	if (!mesh)
		return dv_err_sys(err, ENOMEM, "make a mesh");
	r = options(mesh, opts, err);
	if (r < 0)
		return r;
	mesh->loop = loop;
	dv_list_init(&mesh->links);
	/* The first that is asked for is that of the node itself. */
	mesh->ids[0] = id;
	mesh->n_ids = (id.hi | id.lo) != 0;
	mesh->scratch = malloc(DV_MESH_SCRATCH);
	r = mesh->scratch ? dv_node_new(&mesh->node, &env, &mesh->limits, mesh)
			  : -ENOMEM;
	if (r < 0) {
		free(mesh->scratch);
		return dv_err_sys(err, -r, "make a mesh");
	}
	dv_msg_cache_join();
	*meshp = dv_take_ptr(&mesh);
	return 0;
}

struct dv_mesh *dv_mesh_free(struct dv_mesh *mesh)
{
	struct dv_list *at, *next;

	if (!mesh)
		return NULL;
	dv_assert(!mesh->reading);
	dv_leave_cancel(mesh);
	dv_list_each(at, next, &mesh->links)
		dv_link_drop(dv_list_of(at, struct dv_link, in_mesh));
	mesh->node = dv_node_destroy(mesh->node);
	dv_defer_del(&mesh->run);
	while ((at = dv_list_pop(&mesh->links))) {
		struct dv_link *link = dv_list_of(at, struct dv_link, in_mesh);

		link->mesh = NULL;
		if (link->base.held == 0)
			dv_link_free(link);
	}
	free(mesh->scratch);
	free(mesh);
	dv_msg_cache_leave();
	return NULL;
}

struct dv_mesh *dv_mesh_of(const struct dv_mesh_node *node)
{
	return dv_node_owner(node);
}

struct dv_mesh_node *dv_mesh_node(const struct dv_mesh *mesh)
{
	return mesh->node;
}

const char *dv_mesh_name(const struct dv_mesh *mesh)
{
	return mesh->name;
}

struct dv_mesh_id dv_mesh_id(const struct dv_mesh *mesh)
{
	return dv_node_id(mesh->node);
}

struct dv_loop *dv_mesh_loop(const struct dv_mesh *mesh)
{
	return mesh->loop;
}

char *dv_mesh_id_text(struct dv_mesh_id id, char out[DV_MESH_ID_TEXT])
{
	static const char digits[] = "0123456789abcdef";

	for (int i = 0; i < 16; i++) {
		out[i] = digits[id.hi >> (60 - 4 * i) & 15];
		out[16 + i] = digits[id.lo >> (60 - 4 * i) & 15];
	}
	out[32] = '\0';
	return out;
}

static int digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

int dv_mesh_id_parse(const char *text, struct dv_mesh_id *idp)
{
	struct dv_mesh_id id = { 0, 0 };

	for (int i = 0; i < 32; i++) {
		int d = digit(text[i]);

		if (d < 0)
			return -EINVAL;
		id.hi = id.hi << 4 | id.lo >> 60;
		id.lo = id.lo << 4 | (unsigned int)d;
	}
	if (text[32] || (id.hi | id.lo) == 0)
		return -EINVAL;
	*idp = id;
	return 0;
}

/* ---- others join ---- */

static int offer(struct dv_mesh *mesh, int fd,
		 const struct dv_link_start *start, struct dv_link_watch *watch,
		 struct dv_port **portp)
{
	struct dv_port_desc desc;
	struct dv_link *link;
	int r = dv_link_new(&link, mesh, fd, start);

	if (r < 0)
		return r;
	r = dv_node_share(&link->base, portp, &desc);
	if (r < 0) {
		dv_link_drop(link);
		dv_link_free(link);
		return r;
	}
	link->watch = watch;
	dv_link_hello(link, &desc);
	return 0;
}

int dv_mesh_offer(struct dv_mesh *mesh, int fd, struct dv_link_watch *watch,
		  struct dv_port **portp, struct dv_err *err)
{
	struct dv_link_start start = { .stranger = true };
	int r = offer(mesh, fd, &start, watch, portp);

	return r < 0 ? dv_err_sys(err, -r, "let a process join") : 0;
}

int dv_mesh_invite(struct dv_mesh *mesh, int *fdp, struct dv_port **portp,
		   struct dv_err *err)
{
	struct dv_mesh_id any = { 0, 0 };

	return dv_mesh_invite_as(mesh, any, fdp, portp, err);
}

int dv_mesh_invite_as(struct dv_mesh *mesh, struct dv_mesh_id id, int *fdp,
		      struct dv_port **portp, struct dv_err *err)
{
	struct dv_link_start start = {
		.peer = id,
		.waits = true,
		.stranger = (id.hi | id.lo) == 0,
	};
	int fds[2];
	int r = env_pair(mesh->node, fds);

	if (r == 0) {
		r = offer(mesh, fds[0], &start, NULL, portp);
		if (r < 0)
			dv_close(fds[1]);
	}
	if (r < 0)
		return dv_err_sys(err, -r, "invite a process");
	*fdp = fds[1];
	return 0;
}

/* The port for the user: the one of the invitation if that is here already,
 * else one of a pair, whose other end is bridged with it later. */
static int first_port(struct dv_link *link, struct dv_port **portp)
{
	struct dv_port *pair[2];
	int r = 0;

	if (link->port) {
		*portp = dv_take_ptr(&link->port);
		return 0;
	}
	r = dv_port_pair(link->mesh, pair);
	if (r < 0)
		return r;
	link->door = pair[1];
	*portp = pair[0];
	return 0;
}

int dv_mesh_join(struct dv_mesh *mesh, int fd, struct dv_port **portp,
		 struct dv_err *err)
{
	struct dv_link_start start = { .wants_port = true, .parent = true };
	struct dv_link *link;
	int r = dv_link_new(&link, mesh, fd, &start);

	if (r < 0)
		return dv_err_sys(err, -r, "join a mesh");
	dv_link_hello(link, NULL);
	/* Not inside a callback of a message, which lies in the buffer. */
	if (dv_link_alive(link) && !mesh->reading)
		dv_in_read(link, 1, false);
	r = first_port(link, portp);
	if (r < 0) {
		dv_link_drop(link);
		dv_link_free(link);
		return dv_err_sys(err, -r, "join a mesh");
	}
	return 0;
}
