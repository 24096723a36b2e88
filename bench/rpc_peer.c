/* SPDX-License-Identifier: MIT */
/*
 * rpc_peer raw|davit SERVER_CPU CLIENT_CPU (-1: any): a server process and a
 * client process over one unix socket, both pinned. The client reads lines from
 * stdin and answers each with one number:
 *
 *	ping N		N round trips one after the other: the median, in ns
 *	flight N K	N calls, K of them in flight: calls per second
 */
#include <davit/rpc.h>

#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/num.h"
#include "rpc/server.h"
#include "stats.h"

#define N_MAX    1000000
#define SERVICE  "diag.OpenhclDiag"
#define MSG_LEN  64
#define NS_PER_S 1000000000.0

static void die(const char *what)
{
	fprintf(stderr, "rpc_peer: %s: %s\n", what, dv_errno_text(errno));
	exit(1);
}

static void pin(const char *text)
{
	cpu_set_t set;
	int64_t cpu;

	if (dv_parse_i64(text, -1, CPU_SETSIZE - 1, &cpu) < 0) {
		fprintf(stderr, "rpc_peer: \"%s\" is no cpu\n", text);
		exit(2);
	}
	if (cpu < 0)
		return;

	CPU_ZERO(&set);
	CPU_SET((size_t)cpu, &set);
	if (sched_setaffinity(0, sizeof(set), &set) < 0)
		die("pin");
}

/* ---- raw: what two processes and a socket need ---- */

static void raw_serve(int fd)
{
	char buf[MSG_LEN];
	ssize_t n;

	while ((n = dv_read(fd, buf, sizeof(buf))) > 0)
		if (dv_write_full(fd, buf, (size_t)n) < 0)
			break;
}

static void raw_ping(int fd, uint64_t *ns, size_t n)
{
	char buf[MSG_LEN] = { 0 };

	for (size_t i = 0; i < n; i++) {
		uint64_t begin = bench_now_ns();

		if (dv_write_full(fd, buf, sizeof(buf)) < 0 ||
		    dv_read_full(fd, buf, sizeof(buf)) != sizeof(buf))
			die("ping");
		ns[i] = bench_now_ns() - begin;
	}
}

/* ---- davit ---- */

static void on_ping(struct dv_call *call)
{
	dv_call_reply(call, NULL);
}

static const struct dv_method methods[] = {
	{ "Ping", on_ping, NULL, 0, NULL, DV_M_SAFE },
};
DV_SERVICE(service, SERVICE, methods);

static void davit_serve(int fd)
{
	struct dv_server_stats stats = { .conns = 1 };
	struct dv_server *server;
	struct dv_loop *loop;

	if (dv_loop_new(&loop) < 0 ||
	    dv_server_new(&server, loop, NULL, NULL) < 0 ||
	    dv_server_add(server, &service, NULL) < 0 ||
	    dv_server_take(server, fd, DV_PROTO_TTRPC, NULL, NULL, 0, NULL, 0) <
		    0)
		die("serve");
	while (stats.conns) {
		dv_loop_dispatch(loop, -1);
		dv_server_stats(server, &stats);
	}
	dv_server_free(server);
	dv_loop_free(loop);
}

struct client {
	struct dv_loop *loop;
	struct dv_rpc *rpc;
	size_t to_send, to_come;
};

static void davit_ping(struct client *c, uint64_t *ns, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		uint64_t begin = bench_now_ns();

		if (dv_rpc_call_wait(c->rpc, SERVICE, "Ping", NULL, 0, NULL,
				     NULL, NULL, NULL) < 0)
			die("ping");
		ns[i] = bench_now_ns() - begin;
	}
}

static void on_pong(struct dv_rpc_call *call, const struct dv_rpc_reply *reply,
		    void *arg);

static void send_one(struct client *c)
{
	c->to_send--;
	if (dv_rpc_call(c->rpc, NULL, SERVICE, "Ping", NULL, 0, NULL, on_pong,
			c, NULL) < 0)
		die("call");
}

static void on_pong(struct dv_rpc_call *call, const struct dv_rpc_reply *reply,
		    void *arg)
{
	struct client *c = arg;

	(void)call;
	if (reply->r < 0)
		die("answer");
	c->to_come--;
	if (c->to_send)
		send_one(c);
}

static void davit_flight(struct client *c, size_t n, size_t k)
{
	c->to_send = c->to_come = n;
	while (k-- > 0 && c->to_send)
		send_one(c);
	while (c->to_come)
		dv_loop_dispatch(c->loop, -1);
}

static void client_open(struct client *c, int fd)
{
	struct dv_rpc_opts opts = DV_RPC_OPTS_INIT;

	opts.fd = fd;
	if (dv_loop_new(&c->loop) < 0 ||
	    dv_rpc_new(&c->rpc, c->loop, &opts, NULL) < 0)
		die("client");
}

/* ---- commands ---- */

static void run_client(int fd, bool raw)
{
	uint64_t *ns = calloc(N_MAX, sizeof(*ns));
	struct client c = { 0 };
	char word[16];
	size_t n, k;

	if (!ns)
		die("memory");
	if (!raw)
		client_open(&c, fd);
	/* NOLINTNEXTLINE(cert-err34-c): a wrong number measures nothing */
	while (scanf("%15s %zu %zu", word, &n, &k) == 3 && n <= N_MAX) {
		uint64_t begin = bench_now_ns();

		if (strcmp(word, "flight") == 0) {
			davit_flight(&c, n, k);
			printf("%.0f\n",
			       (double)n * NS_PER_S /
				       (double)(bench_now_ns() - begin));
		} else {
			raw ? raw_ping(fd, ns, n) : davit_ping(&c, ns, n);
			bench_sort(ns, n);
			printf("%llu\n",
			       (unsigned long long)bench_quantile(ns, n, 50));
		}
		fflush(stdout);
	}
	if (raw) {
		dv_close(fd);
	} else {
		dv_rpc_free(c.rpc);
		dv_loop_free(c.loop);
	}
	free(ns);
}

int main(int argc, char **argv)
{
	bool raw = argc == 4 && strcmp(argv[1], "raw") == 0;
	int fds[2];
	pid_t pid;

	if (argc != 4) {
		fprintf(stderr, "rpc_peer raw|davit SERVER_CPU CLIENT_CPU\n");
		return 2;
	}
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) < 0)
		die("socketpair");
	pid = fork();
	if (pid < 0)
		die("fork");
	if (pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		dv_close(fds[1]);
		pin(argv[2]);
		raw ? raw_serve(fds[0]) : davit_serve(fds[0]);
		return 0;
	}
	dv_close(fds[0]);
	pin(argv[3]);
	run_client(fds[1], raw);
	waitpid(pid, NULL, 0);
	return 0;
}
