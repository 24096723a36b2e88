/* SPDX-License-Identifier: MIT */
/*
 * The mesh's side of bench/mesh: an invitation over the socket pair, one pair
 * of ports, and a loop in each process.
 */
#include <davit/mesh.h>

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "base/def.h"
#include "base/fd.h"
#include "mesh_peer.h"
#include "stats.h"

struct side {
	struct dv_loop *loop;
	struct dv_mesh *mesh;
	struct dv_port *port;
	struct bench_order order; /* what is being done; op 0: nothing */
	uint64_t left;            /* messages of it */
	uint64_t *ns, begin;      /* the client's times */
	bool full, answered, gone;
	int fd; /* to be passed */
};

static char zeros[BENCH_MSG];

static void die(int r, const char *what)
{
	if (r >= 0)
		return;
	errno = -r;
	bench_die(what);
}

/* Long ones are filled in place by who has something to say, so no copy of
 * them is measured; the raw socket's side writes one buffer over and over. */
static void send_zeros(struct side *s, size_t len)
{
	struct dv_msg *msg;

	if (len <= BENCH_MSG) {
		die(dv_port_send_bytes(s->port, zeros, len, NULL), "send");
		return;
	}
	msg = dv_msg_new(len);
	if (!msg)
		bench_die("memory");
	die(dv_port_send(s->port, msg, NULL), "send");
}

static void on_end(struct dv_port *port, const struct dv_port_end *end)
{
	struct side *s = dv_port_user(port);

	(void)end;
	s->gone = true;
}

static void side_open(struct side *s, uint32_t window)
{
	struct dv_mesh_opts opts = { .size = sizeof(opts),
				     .port_window = window };

	die(dv_loop_new(&s->loop), "loop");
	die(dv_mesh_new(&s->mesh, s->loop, &opts, NULL), "mesh");
}

static void side_close(struct side *s)
{
	dv_mesh_free(s->mesh);
	dv_loop_free(s->loop);
}

/* ---- server ---- */

static void server_message(struct dv_port *port, struct dv_msg *msg)
{
	struct side *s = dv_port_user(port);

	if (!s->order.op) {
		memcpy(&s->order, dv_msg_data(msg), sizeof(s->order));
		s->left = s->order.n;
		return;
	}
	if (s->order.op == BENCH_ECHO)
		die(dv_port_send_bytes(port, dv_msg_data(msg), dv_msg_len(msg),
				       NULL),
		    "send");
	if (--s->left)
		return;
	if (s->order.op == BENCH_SINK)
		send_zeros(s, BENCH_MSG);
	s->order.op = 0;
}

void bench_davit_serve(int fd, uint32_t window)
{
	static const struct dv_port_ops ops = { server_message, on_end, NULL };
	struct side s = { .fd = -1 };
	int invitation;

	side_open(&s, window);
	invitation = dv_recv_fd(fd);
	die(invitation, "invitation");
	dv_close(fd);
	die(dv_mesh_join(s.mesh, invitation, &s.port, NULL), "join");
	dv_port_start(s.port, &ops, &s);
	while (!s.gone)
		dv_loop_dispatch(s.loop, -1);
	side_close(&s);
}

/* ---- client ---- */

static void client_message(struct dv_port *port, struct dv_msg *msg)
{
	struct side *s = dv_port_user(port);

	(void)msg;
	if (s->order.op == BENCH_SINK) {
		s->answered = true;
		return;
	}
	if (s->ns)
		s->ns[s->order.n - s->left] = bench_now_ns() - s->begin;
	if (--s->left == 0) {
		s->answered = true;
		return;
	}
	s->begin = bench_now_ns();
	send_zeros(s, s->order.len);
}

static void client_writable(struct dv_port *port)
{
	struct side *s = dv_port_user(port);

	s->full = false;
}

void *bench_davit_open(int fd, uint32_t window)
{
	static const struct dv_port_ops ops = { client_message, on_end,
						client_writable };
	struct side *s = calloc(1, sizeof(*s));
	int invitation;

	if (!s)
		bench_die("memory");
	side_open(s, window);
	s->fd = open("/dev/null", O_RDWR | O_CLOEXEC);
	die(dv_mesh_invite(s->mesh, &invitation, &s->port, NULL), "invite");
	die(dv_send_fd(fd, invitation), "invitation");
	dv_close(invitation);
	dv_close(fd);
	dv_port_start(s->port, &ops, s);
	return s;
}

void bench_davit_close(void *way)
{
	struct side *s = way;

	side_close(s);
	dv_close(s->fd);
	free(s);
}

static int send_sunk(struct side *s)
{
	struct dv_msg *msg;

	if (s->order.len <= BENCH_MSG && !s->order.n_fds)
		return dv_port_send_bytes(s->port, zeros, s->order.len, NULL);
	msg = dv_msg_new(s->order.len);
	if (!msg)
		bench_die("memory");
	for (uint64_t i = 0; i < s->order.n_fds; i++)
		die(dv_msg_add_fd(msg, dv_fd_dup(s->fd, 3)), "descriptor");
	return dv_port_send(s->port, msg, NULL);
}

void bench_davit_order(void *way, const struct bench_order *order, uint64_t *ns)
{
	struct side *s = way;

	s->order = *order;
	s->left = order->n;
	s->ns = ns;
	s->answered = s->full = false;
	die(dv_port_send_bytes(s->port, order, sizeof(*order), NULL), "send");
	s->begin = bench_now_ns();
	if (order->op == BENCH_ECHO)
		send_zeros(s, order->len);
	while (!s->answered && !s->gone) {
		while (order->op == BENCH_SINK && s->left && !s->full) {
			int r = send_sunk(s);

			die(r, "send");
			s->full = r == DV_FULL;
			s->left--;
		}
		dv_loop_dispatch(s->loop, -1);
	}
	if (s->gone)
		bench_die("the server has ended");
}

/* ---- in one process ---- */

static void local_message(struct dv_port *port, struct dv_msg *msg)
{
	uint64_t *left = dv_port_user(port);

	(void)msg;
	--*left;
}

static void local_writable(struct dv_port *port)
{
	*(bool *)dv_port_user(port) = false;
}

void bench_davit_local(void *way, size_t n, size_t burst)
{
	static const struct dv_port_ops in = { local_message, on_end, NULL };
	static const struct dv_port_ops out = { local_message, on_end,
						local_writable };
	struct side *s = way;
	uint64_t left = n;
	struct dv_port *pair[2];
	bool full = false;

	die(dv_port_pair(s->mesh, pair), "pair");
	dv_port_start(pair[0], &out, &full);
	dv_port_start(pair[1], &in, &left);
	for (size_t sent = 0; left;) {
		size_t end = dv_min(n, sent + burst);

		for (; sent < end && !full; sent++)
			full = dv_port_send_bytes(pair[0], zeros, BENCH_MSG,
						  NULL) == DV_FULL;
		while (left > n - sent)
			dv_loop_dispatch(s->loop, 0);
	}
	dv_port_close(pair[0], NULL);
	dv_port_close(pair[1], NULL);
}
