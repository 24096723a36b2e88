/* SPDX-License-Identifier: MIT */
/*
 * mesh_peer raw|davit|davit@WINDOW|zmq|nng SERVER_CPU CLIENT_CPU PATH (cpu -1:
 * any; PATH: a socket that does not exist yet; WINDOW: of davit's ports, in
 * bytes): two processes that send each other messages.
 * The client reads lines from stdin and answers each with one number:
 *
 *	ping N		N round trips of 64 bytes: the median, in ns
 *	flow N LEN	N messages one way, then an answer: bytes per second
 *	rate N LEN	the same: messages per second
 *	fds N K		N messages of 64 bytes and K descriptors: descriptors
 *			per second (davit only)
 *	local N K	N messages of 64 bytes within the process, K of them
 *			before they are looked at: ns each (davit: between two
 *			ports; raw: by malloc() and a list)
 */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <davit/err.h>

#include "base/fd.h"
#include "base/num.h"
#include "mesh_peer.h"
#include "stats.h"

#define N_MAX    100000000
#define PINGS    1000000
#define NS_PER_S 1000000000.0

_Noreturn void bench_die(const char *what)
{
	fprintf(stderr, "mesh_peer: %s: %s\n", what, dv_errno_text(errno));
	exit(1);
}

/* ---- raw: what two processes and a socket need ---- */

static void *raw_open(int fd, const char *path, bool server)
{
	int *way = malloc(sizeof(*way));

	(void)path;
	(void)server;
	if (!way)
		bench_die("memory");
	*way = fd;
	return way;
}

static void raw_send(void *way, const void *data, size_t len)
{
	if (dv_write_full(*(int *)way, data, len) < 0)
		bench_die("send");
}

static bool raw_recv(void *way, void *data, size_t len)
{
	return dv_read_full(*(int *)way, data, len) == (ssize_t)len;
}

static void raw_close(void *way)
{
	dv_close(*(int *)way);
	free(way);
}

const struct bench_way bench_way_raw = { "raw", raw_open, raw_send, raw_recv,
					 raw_close };

/* ---- ways that block ---- */

static char buf[BENCH_LEN_MAX];

static void serve(const struct bench_way *way, void *w)
{
	struct bench_order order;

	while (way->recv(w, &order, sizeof(order))) {
		for (uint64_t i = 0; i < order.n; i++) {
			if (!way->recv(w, buf, order.len))
				return;
			if (order.op == BENCH_ECHO)
				way->send(w, buf, order.len);
		}
		if (order.op == BENCH_SINK)
			way->send(w, buf, BENCH_MSG);
	}
}

static void carry_out(const struct bench_way *way, void *w,
		      const struct bench_order *order, uint64_t *ns)
{
	way->send(w, order, sizeof(*order));
	for (uint64_t i = 0; i < order->n; i++) {
		uint64_t begin = ns ? bench_now_ns() : 0;

		way->send(w, buf, order->len);
		if (order->op != BENCH_ECHO)
			continue;
		if (!way->recv(w, buf, order->len))
			bench_die("receive");
		if (ns)
			ns[i] = bench_now_ns() - begin;
	}
	if (order->op == BENCH_SINK && !way->recv(w, buf, BENCH_MSG))
		bench_die("receive");
}

/* ---- raw, within the process: the least that a queue does ---- */

struct item {
	struct item *next;
	size_t len;
	char data[];
};

static uint64_t n_looked_at;

static void look_at(const struct item *item)
{
	n_looked_at += item->len;
}

/* The compiler is not to know whom it calls. */
static void (*volatile look)(const struct item *item) = look_at;

static void push(struct item ***last, const void *data, size_t len)
{
	struct item *item = malloc(sizeof(*item) + len);

	if (!item)
		bench_die("memory");
	item->next = NULL;
	item->len = len;
	memcpy(item->data, data, len);
	**last = item;
	*last = &item->next;
}

static void raw_local(size_t n, size_t burst)
{
	struct item *first = NULL, **last = &first;

	for (size_t sent = 0; sent < n;) {
		size_t end = dv_min(n, sent + burst);

		for (; sent < end; sent++)
			push(&last, buf, BENCH_MSG);
		for (struct item *item; (item = first); free(item)) {
			first = item->next;
			look(item);
		}
		last = &first;
	}
}

/* ---- commands ---- */

struct client {
	const struct bench_way *way; /* NULL: davit */
	uint32_t window;             /* davit */
	void *w;
	uint64_t *ns;
};

static double timed(struct client *c, const struct bench_order *order,
		    uint64_t *ns)
{
	uint64_t begin = bench_now_ns();

	if (c->way)
		carry_out(c->way, c->w, order, ns);
	else
		bench_davit_order(c->w, order, ns);
	return (double)(bench_now_ns() - begin) / NS_PER_S;
}

static double ping(struct client *c, uint64_t n)
{
	struct bench_order order = { BENCH_ECHO, n, BENCH_MSG, 0 };

	timed(c, &order, c->ns);
	bench_sort(c->ns, n);
	return (double)bench_quantile(c->ns, n, 50);
}

static double local(struct client *c, uint64_t n, uint64_t burst)
{
	uint64_t begin = bench_now_ns();

	if (c->way)
		raw_local(n, burst);
	else
		bench_davit_local(c->w, n, burst);
	return (double)(bench_now_ns() - begin) / (double)n;
}

static double command(struct client *c, const char *word, uint64_t n,
		      uint64_t k)
{
	struct bench_order sink = { BENCH_SINK, n, k, 0 };
	struct bench_order fds = { BENCH_SINK, n, BENCH_MSG, k };

	if (strcmp(word, "ping") == 0 && n <= PINGS)
		return ping(c, n);
	if (strcmp(word, "rate") == 0 && k <= BENCH_LEN_MAX)
		return (double)n / timed(c, &sink, NULL);
	if (strcmp(word, "flow") == 0 && k <= BENCH_LEN_MAX)
		return (double)n * (double)k / timed(c, &sink, NULL);
	if (strcmp(word, "fds") == 0 && !c->way)
		return (double)n * (double)k / timed(c, &fds, NULL);
	if (strcmp(word, "local") == 0 && k > 0 &&
	    (!c->way || c->way == &bench_way_raw))
		return local(c, n, k);
	fprintf(stderr, "mesh_peer: %s: not here\n", word);
	exit(2);
}

static void run_client(struct client *c)
{
	unsigned long long n, k;
	char word[16];

	c->ns = calloc(PINGS, sizeof(*c->ns));
	if (!c->ns)
		bench_die("memory");
	while (scanf("%15s %llu %llu", word, &n, &k) == 3 && n <= N_MAX) {
		printf("%.1f\n", command(c, word, n, k));
		fflush(stdout);
	}
	free(c->ns);
}

static void pin(const char *text)
{
	cpu_set_t set;
	int64_t cpu;

	if (dv_parse_i64(text, -1, CPU_SETSIZE - 1, &cpu) < 0) {
		fprintf(stderr, "mesh_peer: \"%s\" is no cpu\n", text);
		exit(2);
	}
	if (cpu < 0)
		return;
	CPU_ZERO(&set);
	CPU_SET((size_t)cpu, &set);
	if (sched_setaffinity(0, sizeof(set), &set) < 0)
		bench_die("pin");
}

/* "davit", or "davit@WINDOW". */
static bool is_davit(const char *name, uint32_t *window)
{
	uint64_t n = 0;

	if (strncmp(name, "davit", 5) != 0)
		return false;
	if (name[5] &&
	    (name[5] != '@' || dv_parse_u64(name + 6, 1, UINT32_MAX, &n) < 0))
		return false;
	*window = (uint32_t)n;
	return true;
}

/* NULL: davit. Exits when there is no such way. */
static const struct bench_way *find_way(const char *name, uint32_t *window)
{
	const struct bench_way *const ways[] = {
		&bench_way_raw,
#ifdef HAVE_ZMQ
		&bench_way_zmq,
#endif
#ifdef HAVE_NNG
		&bench_way_nng,
#endif
	};

	if (is_davit(name, window))
		return NULL;
	for (size_t i = 0; i < DV_ARRAY_LEN(ways); i++)
		if (strcmp(name, ways[i]->name) == 0)
			return ways[i];
	fprintf(stderr, "mesh_peer: %s was not there when this was built\n",
		name);
	exit(3);
}

static void run_server(const struct client *c, int fd, const char *path)
{
	const struct bench_way *way = c->way;
	void *w;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (!way) {
		bench_davit_serve(fd, c->window);
		return;
	}
	w = way->open(fd, path, true);
	serve(way, w);
	way->close(w);
}

int main(int argc, char **argv)
{
	struct client c = { NULL, 0, NULL, NULL };
	int fds[2];
	pid_t pid;

	if (argc != 5) {
		fprintf(stderr, "mesh_peer WAY SERVER_CPU CLIENT_CPU PATH\n");
		return 2;
	}
	c.way = find_way(argv[1], &c.window);
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) < 0)
		bench_die("socketpair");
	pid = fork();
	if (pid < 0)
		bench_die("fork");
	if (pid == 0) {
		dv_close(fds[1]);
		pin(argv[2]);
		run_server(&c, fds[0], argv[4]);
		_exit(0);
	}
	dv_close(fds[0]);
	pin(argv[3]);
	c.w = c.way ? c.way->open(fds[1], argv[4], false)
		    : bench_davit_open(fds[1], c.window);
	run_client(&c);
	if (c.way)
		c.way->close(c.w);
	else
		bench_davit_close(c.w);
	/* The other libraries' servers do not learn that we are gone. */
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	return 0;
}
