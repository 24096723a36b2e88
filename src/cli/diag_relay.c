/* SPDX-License-Identifier: MIT */
/*
 * davit diag TARGET relay: stdin and stdout, or TCP connections, to a port.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/def.h"
#include "base/fd.h"
#include "base/num.h"
#include "cli/diag.h"
#include "cli/report.h"

enum {
	CLIENTS_MAX = 256, /* at a time; others wait in the kernel's queue */
};

/* ---- stdin and stdout --------------------------------------------------- */

struct stdio {
	struct dv_relay in, out;
	int near; /* a duplicate, to end one direction; owned */
	bool done;
	int r;
	struct diag_cmd *cmd;
};

/* Our input has ended: so does that direction, and no other. */
static void on_input_end(struct dv_relay *relay)
{
	struct stdio *s = dv_container_of(relay, struct stdio, in);

	shutdown(s->near, SHUT_WR);
}

static void on_relayed(void *arg, int r, const struct dv_err *err)
{
	struct stdio *s = arg;

	s->done = true;
	s->r = r;
	if (r < 0)
		s->cmd->err = *err;
}

static int open_ends(struct stdio *s, int near)
{
	int in, r;

	s->near = near;
	in = dv_fd_dup(near, 3);
	r = dv_end_of_sandbox(&s->in.to, in);
	if (r == 0)
		r = dv_end_of_caller(&s->in.from, STDIN_FILENO, false);
	s->in.done = on_input_end;
	if (r == 0)
		r = dv_relay_start(&s->in, s->cmd->loop);
	if (r == 0)
		r = dv_end_of_sandbox(&s->out.from, dv_fd_dup(near, 3));
	if (r == 0)
		r = dv_end_of_caller(&s->out.to, STDOUT_FILENO, true);
	if (r == 0)
		r = dv_relay_start(&s->out, s->cmd->loop);
	return r < 0 ? diag_fail(s->cmd, -r, "relay") : 0;
}

static int relay_stdio(struct diag_cmd *cmd, uint32_t port)
{
	struct stdio s = { .in = DV_RELAY_INIT,
			   .out = DV_RELAY_INIT,
			   .near = -1,
			   .cmd = cmd };
	struct dv_how how = diag_how(cmd);
	int sv[2], r;

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sv) < 0)
		return diag_fail(cmd, errno, "make a socket");
	how.fn = on_relayed;
	how.arg = &s;
	r = dv_diag_relay(cmd->diag, sv[1], port, &how, &cmd->err);
	if (r < 0) {
		dv_close(sv[0]);
		return r;
	}
	r = open_ends(&s, sv[0]);
	while (r >= 0 && !(s.done && !dv_relay_active(&s.out)))
		r = dv_loop_dispatch(cmd->loop, -1);
	if (r < 0 && !cmd->err.code)
		diag_fail(cmd, -r, "relay");
	dv_relay_close(&s.in);
	dv_relay_close(&s.out);
	dv_close(s.near);
	return r < 0 ? r : s.r;
}

/* ---- a TCP listener ----------------------------------------------------- */

struct listener {
	struct diag_cmd *cmd;
	struct dv_src src;
	int fd; /* owned */
	uint32_t port;
	unsigned int n_clients;
	bool had_one;
	int r; /* of the last client */
};

static void put_addr(char *out, const char *text, size_t len)
{
	memcpy(out, text, len);
	out[len] = '\0';
}

/* "tcp:[ADDR:]PORT"; a host name would need a resolver. */
static int parse_tcp(struct diag_cmd *cmd, const char *word,
		     struct sockaddr_in *sin)
{
	const char *at = strncmp(word, "tcp:", 4) ? NULL : word + 4;
	const char *colon = at ? strrchr(at, ':') : NULL;
	char addr[INET_ADDRSTRLEN] = "127.0.0.1";
	uint64_t port;
	size_t len;

	*sin = (struct sockaddr_in){ .sin_family = AF_INET };
	if (colon) {
		len = (size_t)(colon - at);
		if (len >= sizeof(addr))
			at = NULL;
		else
			put_addr(addr, at, len);
	}
	if (!at || inet_pton(AF_INET, addr, &sin->sin_addr) != 1 ||
	    dv_parse_u64(colon ? colon + 1 : at, 0, UINT16_MAX, &port) < 0)
		return diag_usage(cmd, "\"%.60s\" is not tcp:[ADDR:]PORT",
				  word);
	sin->sin_port = htons((uint16_t)port);
	return 0;
}

static void on_client(struct dv_src *src, uint32_t events);

static int watch(struct listener *l)
{
	return dv_src_add(l->cmd->loop, &l->src, l->fd, EPOLLIN, on_client);
}

static void on_client_end(void *arg, int r, const struct dv_err *err)
{
	struct listener *l = arg;

	l->n_clients--;
	l->r = r;
	if (r < 0 && !l->cmd->reconnect)
		l->cmd->err = *err;
	else if (r < 0)
		dv_note("%s", err->msg);
	if (l->cmd->reconnect && !l->src.loop)
		watch(l);
}

static void on_client(struct dv_src *src, uint32_t events DV_UNUSED)
{
	struct listener *l = dv_container_of(src, struct listener, src);
	struct dv_how how = diag_how(l->cmd);
	struct dv_err err = DV_ERR_INIT;
	int fd = accept4(l->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	int r;

	if (fd < 0)
		return;
	l->had_one = true;
	l->n_clients++;
	if (!l->cmd->reconnect || l->n_clients == CLIENTS_MAX)
		dv_src_del(&l->src);
	how.fn = on_client_end;
	how.arg = l;
	r = dv_diag_relay(l->cmd->diag, fd, l->port, &how, &err);
	if (r < 0)
		on_client_end(l, r, &err);
}

static int listen_at(struct listener *l, const struct sockaddr_in *sin)
{
	const struct sockaddr *sa = (const struct sockaddr *)(const void *)sin;
	struct sockaddr_in got = { 0 };
	socklen_t len = sizeof(got);
	int on = 1, r;

	l->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (l->fd < 0)
		return diag_fail(l->cmd, errno, "make a socket");
	setsockopt(l->fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	if (bind(l->fd, sa, sizeof(*sin)) < 0 || listen(l->fd, 64) < 0)
		return diag_fail(l->cmd, errno, "listen");
	if (getsockname(l->fd, (struct sockaddr *)(void *)&got, &len) == 0)
		dv_note("listening on tcp port %d", ntohs(got.sin_port));
	r = watch(l);
	return r < 0 ? diag_fail(l->cmd, -r, "listen") : 0;
}

static int relay_tcp(struct diag_cmd *cmd, uint32_t port, const char *word)
{
	struct listener l = {
		.cmd = cmd, .src = DV_SRC_INIT, .fd = -1, .port = port
	};
	struct sockaddr_in sin;
	int r = parse_tcp(cmd, word, &sin);

	if (r == 0)
		r = listen_at(&l, &sin);
	while (r >= 0 && (cmd->reconnect || !l.had_one || l.n_clients))
		r = dv_loop_dispatch(cmd->loop, -1);
	if (r < 0 && !cmd->err.code)
		diag_fail(cmd, -r, "relay");
	dv_src_del(&l.src);
	dv_close(l.fd);
	return r < 0 ? r : l.r;
}

/* ---- the verb ------------------------------------------------------------ */

int diag_relay(struct diag_cmd *cmd)
{
	struct dv_how forever = DV_HOW_INIT;
	uint64_t port;
	int r;

	if (dv_parse_u64(cmd->argv[0], 1, UINT32_MAX - 1, &port) < 0)
		return diag_usage(cmd, "\"%.60s\" is no port", cmd->argv[0]);
	if (cmd->argc > 1)
		return relay_tcp(cmd, (uint32_t)port, cmd->argv[1]);
	do {
		r = cmd->reconnect
			    ? dv_diag_wait_ready(cmd->diag, &forever, &cmd->err)
			    : 0;
		if (r == 0)
			r = relay_stdio(cmd, (uint32_t)port);
	} while (cmd->reconnect && r == 0);
	return r;
}
