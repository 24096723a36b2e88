/* SPDX-License-Identifier: MIT */
/*
 * mesh_victim SOCKET: a process that lets everybody join its mesh, and sends
 * back what comes over the port that each of them gets. For each line on stdin
 * it says "links N ports N ended N received N: WHY", WHY being how the last
 * port ended. It ends with stdin, in order.
 */
#include <davit/loop.h>
#include <davit/mesh.h>

#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "base/def.h"
#include "base/fd.h"
#include "mesh/mesh_priv.h"
#include "mesh/node.h"
#include "transport/unix.h"

struct victim {
	struct dv_listener listener;
	struct dv_src in;
	struct dv_loop *loop;
	struct dv_mesh *mesh;
	uint64_t n_ended, n_received;
	struct dv_err why;
	bool done;
};

static void die(const char *what, const struct dv_err *err)
{
	fprintf(stderr, "mesh_victim: %s: %s\n", what, err->msg);
	exit(1);
}

static void on_message(struct dv_port *port, struct dv_msg *msg)
{
	struct victim *v = dv_port_user(port);

	v->n_received++;
	msg = dv_msg_keep(msg);
	if (msg)
		dv_port_send(port, msg, NULL);
}

static void on_ended(struct dv_port *port, const struct dv_port_end *end)
{
	struct victim *v = dv_port_user(port);

	v->n_ended++;
	v->why = end->err;
	dv_port_close(port, NULL);
}

static const struct dv_port_ops ops = {
	.message = on_message,
	.ended = on_ended,
};

static void on_accept(struct dv_listener *l, int fd, struct dv_peer *peer)
{
	struct victim *v = dv_container_of(l, struct victim, listener);
	struct dv_port *port;

	(void)peer;
	if (dv_mesh_offer(v->mesh, fd, NULL, &port, &v->why) == 0)
		dv_port_start(port, &ops, v);
	else
		v->n_ended++;
}

static void on_left(struct dv_mesh *mesh, void *arg,
		    const struct dv_mesh_left *left)
{
	struct victim *v = arg;

	(void)mesh;
	(void)left;
	v->done = true;
}

static void on_line(struct dv_src *src, uint32_t events)
{
	struct victim *v = dv_container_of(src, struct victim, in);
	const struct dv_node_counts *c = dv_node_counts(dv_mesh_node(v->mesh));
	char buf[256];
	ssize_t n = dv_read(0, buf, sizeof(buf));

	(void)events;
	if (n <= 0) {
		dv_src_del(src);
		dv_mesh_leave(v->mesh, 1000, on_left, v);
		return;
	}
	while (n-- > 0)
		if (buf[n] == '\n')
			printf("links %u ports %u ended %llu received %llu: "
			       "%s\n",
			       c->n_links, c->n_ports,
			       (unsigned long long)v->n_ended,
			       (unsigned long long)v->n_received, v->why.msg);
	fflush(stdout);
}

int main(int argc, char **argv)
{
	struct dv_mesh_opts opts = {
		.size = sizeof(opts),
		.peer_window = 4 << 20,
		.max_links = 256,
		.hello_ms = 4000,
	};
	struct victim v = { .listener = DV_LISTENER_INIT, .in = DV_SRC_INIT };
	struct dv_err err = DV_ERR_INIT;

	if (argc != 2)
		return 2;
	if (dv_loop_new(&v.loop) < 0 ||
	    dv_mesh_new(&v.mesh, v.loop, &opts, &err) < 0)
		die("start", &err);
	if (dv_unix_listen(&v.listener, v.loop, argv[1], 0, on_accept, &err) <
		    0 ||
	    dv_src_add(v.loop, &v.in, 0, EPOLLIN, on_line) < 0)
		die(argv[1], &err);
	puts("ready");
	fflush(stdout);
	while (!v.done)
		dv_loop_dispatch(v.loop, -1);
	dv_listener_close(&v.listener);
	dv_mesh_free(v.mesh);
	dv_loop_free(v.loop);
	return 0;
}
