/* SPDX-License-Identifier: MIT */
/*
 * DOC: ports of a sandbox
 *
 * CONNECT n goes to 127.0.0.1:n inside. The socket is made in the sandbox's
 * network (engine/ns_socket.c) and connected from here; when that has worked,
 * the client gets its OK line, and bytes go both ways until both have ended.
 *
 *	CONNECTING --connected--> RELAYING --both ended--> gone
 *	     \--refused, too late--> gone
 */
#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/def.h"
#include "base/fd.h"
#include "runtime/keeper/save.h"
#include "transport/hvsock_accept.h"
#include "transport/relay.h"

enum {
	/* Two descriptors each, four more while much is carried: what a common
	 * limit on descriptors has room for beside everything else. */
	NET_MAX = 128,
	/* Where the services of guests listen; nobody does in a sandbox. */
	PORT_AGENT = 1024,
};

struct dv_net_conn {
	struct dv_net_conn *next, **prevp;
	struct dv_keeper *k;
	struct dv_hvsock_addr asked;
	uint32_t number;
	int client, sock; /* owned; -1 while the tunnel has them */
	struct dv_src src;
	struct dv_src hangup; /* of the client, who may not want it any more */
	struct dv_timer deadline;
	struct dv_tunnel tunnel;
};

static void conn_free(struct dv_net_conn *c)
{
	dv_src_del(&c->src);
	dv_src_del(&c->hangup);
	dv_timer_stop(&c->deadline);
	dv_tunnel_close(&c->tunnel);
	dv_close(c->client);
	dv_close(c->sock);
	*c->prevp = c->next;
	if (c->next)
		c->next->prevp = c->prevp;
	c->k->n_net--;
	free(c);
}

static void refuse(struct dv_net_conn *c, int r)
{
	dv_src_del(&c->hangup);
	dv_hvsock_refuse(dv_take_fd(&c->client), dv_errno_text(-r));
	conn_free(c);
}

static void on_ended(struct dv_tunnel *t)
{
	conn_free(dv_container_of(t, struct dv_net_conn, tunnel));
}

/* ---- connecting --------------------------------------------------------- */

static void connected(struct dv_net_conn *c)
{
	int r = dv_hvsock_answer(c->client, &c->asked, c->number);

	dv_src_del(&c->src);
	dv_src_del(&c->hangup);
	dv_timer_stop(&c->deadline);
	if (r == 0)
		r = dv_tunnel_start(&c->tunnel, c->k->loop,
				    dv_take_fd(&c->client),
				    dv_take_fd(&c->sock), on_ended, NULL);
	if (r < 0)
		conn_free(c);
}

static void on_sock(struct dv_src *src, uint32_t ev)
{
	struct dv_net_conn *c = dv_container_of(src, struct dv_net_conn, src);
	socklen_t len = sizeof(int);
	int sys = 0;

	(void)ev;
	if (getsockopt(c->sock, SOL_SOCKET, SO_ERROR, &sys, &len) < 0)
		sys = errno;
	if (sys)
		refuse(c, -sys);
	else
		connected(c);
}

static void on_hangup(struct dv_src *src, uint32_t ev)
{
	(void)ev;
	conn_free(dv_container_of(src, struct dv_net_conn, hangup));
}

static void on_late(struct dv_timer *timer)
{
	refuse(dv_container_of(timer, struct dv_net_conn, deadline),
	       -ETIMEDOUT);
}

static int begin_connect(struct dv_net_conn *c, uint16_t port)
{
	const struct sockaddr_in to = {
		.sin_family = AF_INET,
		.sin_port = htons(port),
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK),
	};
	uint64_t until =
		dv_now_ns() + DV_HVSOCK_DEADLINE_MS * UINT64_C(1000000);
	int r;

	if (connect(c->sock, (const struct sockaddr *)&to, sizeof(to)) == 0) {
		connected(c);
		return 0;
	}
	if (errno != EINPROGRESS)
		return -errno;
	r = dv_src_add(c->k->loop, &c->src, c->sock, EPOLLOUT, on_sock);
	if (r == 0)
		r = dv_src_add(c->k->loop, &c->hangup, c->client, 0, on_hangup);
	if (r == 0)
		r = dv_timer_set(c->k->loop, &c->deadline, until, on_late);
	return r;
}

/* ---- who may, and where to ---------------------------------------------- */

/* A socket of the network that the command has. */
static int open_socket(const struct dv_keeper *k, struct dv_err *err)
{
	const struct dv_run *run = k->run;
	int fd;

	if (!run ||
	    (run->state != DV_STATE_RUNNING && run->state != DV_STATE_PAUSED))
		return dv_err_set(err, ESRCH, DV_PRECONDITION,
				  "the sandbox does not run");
	if (!run->plain)
		return dv_ns_socket(&run->sb, AF_INET,
				    SOCK_STREAM | SOCK_NONBLOCK, err);
	/* Without namespaces it is in our network, if it may use one at all. */
	if (k->kept.spec.net != DV_NET_HOST)
		return dv_err_set(err, ECONNREFUSED, DV_UNAVAILABLE,
				  "the sandbox has no network");
	fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	return fd < 0 ? dv_err_sys(err, errno, "socket") : fd;
}

static int check(const struct dv_keeper *k, uint32_t port, struct dv_err *err)
{
	if (port == PORT_AGENT)
		return dv_err_set(err, ECONNREFUSED, DV_UNAVAILABLE,
				  "port %u is a guest's agent's, and this "
				  "sandbox is no guest",
				  port);
	if (port == 0 || port > UINT16_MAX)
		return dv_err_set(err, ECONNREFUSED, DV_UNAVAILABLE,
				  "the sandbox has no port %u", port);
	if (k->n_net >= NET_MAX)
		return dv_err_set(err, EAGAIN, DV_EXHAUSTED,
				  "%d connections to ports are open", NET_MAX);
	return 0;
}

static struct dv_net_conn *conn_new(struct dv_keeper *k,
				    const struct dv_entry *entry, int sock)
{
	struct dv_net_conn *c = calloc(1, sizeof(*c));

	if (!c)
		return NULL;
	*c = (struct dv_net_conn){
		.next = k->net,
		.prevp = &k->net,
		.k = k,
		.asked = { entry->port, entry->guid },
		.number = entry->number,
		.client = entry->fd,
		.sock = sock,
		.src = DV_SRC_INIT,
		.hangup = DV_SRC_INIT,
		.deadline = DV_TIMER_INIT,
		.tunnel = DV_TUNNEL_INIT,
	};
	if (c->next)
		c->next->prevp = &c->next;
	k->net = c;
	k->n_net++;
	return c;
}

int dv_keeper_connect(void *arg, const struct dv_entry *entry)
{
	struct dv_keeper *k = arg;
	struct dv_err err = DV_ERR_INIT;
	struct dv_net_conn *c;
	int sock, r;

	/* Descriptors cannot cross a network. */
	for (size_t i = 0; i < entry->n_fds; i++)
		dv_close(entry->fds[i]);
	sock = r = check(k, entry->port, &err);
	if (r == 0)
		sock = r = open_socket(k, &err);
	if (r < 0) {
		dv_hvsock_refuse(entry->fd, err.msg);
		return r;
	}
	c = conn_new(k, entry, sock);
	if (!c) {
		dv_close(sock);
		dv_hvsock_refuse(entry->fd, "out of memory");
		return -ENOMEM;
	}
	r = dv_tunnel_preload(&c->tunnel, 0, entry->head, entry->len);
	if (r == 0)
		r = begin_connect(c, (uint16_t)entry->port);
	if (r < 0)
		refuse(c, r);
	return 0;
}

/* ---- an upgrade --------------------------------------------------------- */

bool dv_keeper_net_busy(const struct dv_keeper *k)
{
	for (const struct dv_net_conn *c = k->net; c; c = c->next)
		if (!c->tunnel.loop)
			return true;
	return false;
}

static int save_lane(struct dv_tunnel *t, int lane, pb_bytes_array_t ***listp,
		     pb_size_t *countp)
{
	const char *data;
	size_t len;
	int r = dv_tunnel_held(t, lane, &data, &len);

	return r < 0 ? r : dv_pieces_add(listp, countp, data, len);
}

int dv_keeper_net_save(struct dv_keeper *k, dv_KeeperState *out,
		       struct dv_reexec_fds *keep)
{
	int r = 0;

	out->tunnels = calloc(k->n_net + 1, sizeof(*out->tunnels));
	if (!out->tunnels)
		return -ENOMEM;
	for (struct dv_net_conn *c = k->net; c && r == 0; c = c->next) {
		dv_TunnelState *t = &out->tunnels[out->tunnels_count];

		if (!c->tunnel.loop)
			continue;
		out->tunnels_count++;
		t->a = dv_save_fd(c->tunnel.end[0].fd, keep);
		t->b = dv_save_fd(c->tunnel.end[1].fd, keep);
		r = save_lane(&c->tunnel, 0, &t->a_to_b, &t->a_to_b_count);
		if (r == 0)
			r = save_lane(&c->tunnel, 1, &t->b_to_a,
				      &t->b_to_a_count);
	}
	return r;
}

static int preload(struct dv_tunnel *t, int lane, pb_bytes_array_t *const *list,
		   pb_size_t n)
{
	int r = 0;

	for (pb_size_t i = 0; i < n && r == 0; i++)
		r = dv_tunnel_preload(t, lane, list[i]->bytes, list[i]->size);
	return r;
}

static int restore_one(struct dv_keeper *k, const dv_TunnelState *st)
{
	const struct dv_entry entry = { .fd = dv_fd_from_state(st->a) };
	int sock = dv_fd_from_state(st->b), r;
	struct dv_net_conn *c = conn_new(k, &entry, sock);

	if (!c) {
		dv_close(entry.fd);
		dv_close(sock);
		return -ENOMEM;
	}
	r = preload(&c->tunnel, 0, st->a_to_b, st->a_to_b_count);
	if (r == 0)
		r = preload(&c->tunnel, 1, st->b_to_a, st->b_to_a_count);
	if (r == 0)
		r = dv_tunnel_start(&c->tunnel, k->loop, dv_take_fd(&c->client),
				    dv_take_fd(&c->sock), on_ended, NULL);
	if (r < 0)
		conn_free(c);
	return r;
}

void dv_keeper_net_restore(struct dv_keeper *k, const dv_KeeperState *st)
{
	for (pb_size_t i = 0; i < st->tunnels_count; i++)
		if (restore_one(k, &st->tunnels[i]) < 0)
			dv_log(k->log, DV_LOG_ERROR,
			       "lost a connection to a port in the upgrade");
}

void dv_keeper_net_stop(struct dv_keeper *k)
{
	while (k->net)
		conn_free(k->net);
}
