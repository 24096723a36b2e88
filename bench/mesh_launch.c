/* SPDX-License-Identifier: MIT */
/*
 * mesh_launch ROUNDS [NAME]: what it takes to start a process and hear of it,
 * in turns, one start of each after the other. One line for each: its name, the
 * median, the fastest tenth and the slowest twentieth, in ns.
 *
 *	exec	  the engine's own start of what a plain host is started by, to
 *		  its exec
 *	engine	  the same, to a byte that the program sends
 *	trips	  two round trips between two processes, through a socket
 *	plain	  a plain host, to its first message, which says that it is up
 *	spawn	  posix_spawn() of the same program, to a byte that it sends
 *	locked	  a locked host, to its first message after it was locked
 *	isolated  an isolated one
 *
 * The program is this one.
 */
#include <davit/host.h>

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/num.h"
#include "engine/ns.h"
#include "engine/plan.h"
#include "stats.h"

enum {
	ROUNDS_MAX = 100000,
	WARM_UP = 3,
	TWIN_FD = 3, /* the twin of a host says its byte there */
};

extern char **environ;

static const char own_exe[] = "/proc/self/exe";
static const char twin_arg[] = "--twin";

struct bench {
	struct dv_hosts *hosts;
	int null;
	int echo; /* to a process that sends everything back */
};

static _Noreturn void die(int r, const char *what)
{
	fprintf(stderr, "mesh_launch: %s: %s\n", what, dv_errno_text(-r));
	exit(1);
}

static int need(int r, const char *what)
{
	if (r < 0)
		die(r, what);
	return r;
}

static void sockets(int fds[2])
{
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) < 0)
		die(-errno, "socketpair");
}

/* ---- what is started ---- */

static int be_twin(void)
{
	char byte = 0;

	if (write(TWIN_FD, &byte, 1) != 1)
		return 1;
	return dv_read(TWIN_FD, &byte, 1) < 0;
}

static void host_up(struct dv_host_self *self)
{
	struct dv_port *port = dv_host_self_take_port(self);

	dv_port_send_bytes(port, "", 1, NULL);
	dv_port_close(port, NULL);
}

/* ---- starts; each returns how long it took ---- */

/* The first word of a twin. */
static void hear(int fd)
{
	char byte;

	if (dv_read(fd, &byte, 1) != 1)
		die(-EPIPE, "the started program");
}

static uint64_t by_spawn(struct bench *b)
{
	char *argv[] = { (char *)(uintptr_t)own_exe,
			 (char *)(uintptr_t)twin_arg, NULL };
	posix_spawn_file_actions_t fa;
	uint64_t begin = bench_now_ns(), took;
	int fds[2], status;
	pid_t pid = 0;

	sockets(fds);
	posix_spawn_file_actions_init(&fa);
	posix_spawn_file_actions_adddup2(&fa, b->null, 0);
	posix_spawn_file_actions_adddup2(&fa, b->null, 1);
	posix_spawn_file_actions_adddup2(&fa, fds[1], TWIN_FD);
	need(-posix_spawn(&pid, own_exe, &fa, NULL, argv, environ), "spawn");
	posix_spawn_file_actions_destroy(&fa);
	dv_close(fds[1]);
	hear(fds[0]);
	took = bench_now_ns() - begin;
	dv_close(fds[0]);
	waitpid(pid, &status, 0);
	return took;
}

static void twin_plan(struct dv_plan *plan)
{
	dv_Process *p = &plan->msg.process;

	plan->msg.has_process = true;
	p->exe = dv_plan_strdup(plan, own_exe);
	dv_plan_arg(plan, program_invocation_name);
	dv_plan_arg(plan, twin_arg);
	for (char **e = environ; *e; e++)
		dv_plan_env(plan, *e);
	for (uint32_t i = 0; i < 4; i++)
		dv_plan_fd(plan, i, i);
	p->new_session = true;
	p->death_signal = SIGKILL;
	need(dv_plan_status(plan), "plan");
}

static uint64_t by_engine(struct bench *b, bool exec_only)
{
	struct dv_plan plan = DV_PLAN_INIT;
	struct dv_proc proc = DV_PROC_INIT;
	struct dv_err err = DV_ERR_INIT;
	uint64_t begin = bench_now_ns(), took;
	int fds[2];

	sockets(fds);
	twin_plan(&plan);
	need(dv_plan_check(&plan.msg, 4, &err), err.msg);
	need(dv_proc_begin(&proc, NULL, &plan.msg.process,
			   (int[]){ b->null, b->null, 2, fds[1] }, 4, NULL,
			   &err),
	     err.msg);
	dv_close(fds[1]);
	need(dv_proc_finish(&proc, NULL, &err), err.msg);
	took = bench_now_ns() - begin;
	hear(fds[0]);
	if (!exec_only)
		took = bench_now_ns() - begin;
	dv_close(fds[0]);
	dv_proc_free(&proc);
	dv_plan_free(&plan);
	return took;
}

static uint64_t to_exec(struct bench *b)
{
	return by_engine(b, true);
}

static uint64_t to_byte(struct bench *b)
{
	return by_engine(b, false);
}

static uint64_t two_trips(struct bench *b)
{
	char bytes[64] = { 0 };
	uint64_t begin = bench_now_ns();

	for (int i = 0; i < 2; i++)
		if (dv_write_full(b->echo, bytes, sizeof(bytes)) < 0 ||
		    dv_read_full(b->echo, bytes, sizeof(bytes)) !=
			    sizeof(bytes))
			die(-EPIPE, "echo");
	return bench_now_ns() - begin;
}

/* ---- hosts ---- */

struct launch {
	bool heard, ended;
};

static void on_message(struct dv_port *port, struct dv_msg *msg)
{
	struct launch *l = dv_port_user(port);

	(void)msg;
	l->heard = true;
}

static void on_port_end(struct dv_port *port, const struct dv_port_end *end)
{
	(void)port;
	(void)end;
}

static void on_failed(struct dv_host *host, const struct dv_err *err)
{
	(void)host;
	fprintf(stderr, "mesh_launch: %s\n", err->msg);
	exit(1);
}

static void on_ended(struct dv_host *host, const struct dv_host_exit *end)
{
	struct launch *l = dv_host_user(host);

	(void)end;
	l->ended = true;
}

static uint64_t launch(struct bench *b, uint32_t profile)
{
	static const struct dv_port_ops port_ops = { on_message, on_port_end,
						     NULL };
	static const struct dv_host_ops ops = { .failed = on_failed,
						.ended = on_ended };
	struct launch l = { false, false };
	const struct dv_host_opts opts = { sizeof(opts), "bench",
					   .profile = profile, .ops = &ops,
					   .user = &l };
	struct dv_loop *loop = dv_hosts_loop(b->hosts);
	struct dv_err err = DV_ERR_INIT;
	uint64_t begin = bench_now_ns(), took;
	struct dv_host *host;
	struct dv_port *port;

	need(dv_mesh_launch(b->hosts, &opts, &host, &err), err.msg);
	port = dv_host_take_port(host);
	dv_port_start(port, &port_ops, &l);
	while (!l.heard)
		need(dv_loop_dispatch(loop, -1), "loop");
	took = bench_now_ns() - begin;
	dv_host_signal(host, SIGKILL);
	while (!l.ended)
		need(dv_loop_dispatch(loop, -1), "loop");
	dv_port_close(port, NULL);
	dv_host_free(host);
	return took;
}

static uint64_t plain(struct bench *b)
{
	return launch(b, DV_HOST_PLAIN);
}

static uint64_t locked(struct bench *b)
{
	return launch(b, DV_HOST_LOCKED);
}

static uint64_t isolated(struct bench *b)
{
	return launch(b, DV_HOST_ISOLATED);
}

/* ---- the measuring ---- */

static struct way {
	const char *name;
	uint64_t (*fn)(struct bench *b);
	uint64_t *ns;
} ways[] = {
	{ "exec", to_exec, NULL },      { "engine", to_byte, NULL },
	{ "trips", two_trips, NULL },   { "plain", plain, NULL },
	{ "spawn", by_spawn, NULL },    { "locked", locked, NULL },
	{ "isolated", isolated, NULL },
};

/*
 * One of each in turn. What came before has left the caches as it likes, so the
 * order is another one in every round: each way follows each other as often.
 */
static void measure(struct bench *b, const char *only, size_t rounds)
{
	size_t n = DV_ARRAY_LEN(ways); /* a prime number */

	for (size_t i = 0; i < rounds + WARM_UP; i++)
		for (size_t k = 0; k < n; k++) {
			struct way *way =
				&ways[(i + k * (i % (n - 1) + 1)) % n];
			uint64_t ns;

			if (only && strcmp(only, way->name) != 0)
				continue;
			ns = way->fn(b);
			if (i >= WARM_UP)
				way->ns[i - WARM_UP] = ns;
		}
}

static void show(const struct way *way, size_t n)
{
	bench_sort(way->ns, n);
	printf("%s %llu %llu %llu\n", way->name,
	       (unsigned long long)bench_quantile(way->ns, n, 50),
	       (unsigned long long)bench_quantile(way->ns, n, 10),
	       (unsigned long long)bench_quantile(way->ns, n, 95));
}

/* A process that sends back what it gets, until we close. */
static int start_echo(void)
{
	char buf[64];
	int fds[2];
	pid_t pid;
	ssize_t n;

	sockets(fds);
	pid = fork();
	if (pid < 0)
		die(-errno, "fork");
	if (pid > 0) {
		dv_close(fds[1]);
		return fds[0];
	}
	dv_close(fds[0]);
	while ((n = dv_read(fds[1], buf, sizeof(buf))) > 0)
		dv_write_full(fds[1], buf, (size_t)n);
	_exit(0);
}

int main(int argc, char **argv)
{
	static const struct dv_host_main self = { sizeof(self), .up = host_up };
	struct dv_err err = DV_ERR_INIT;
	struct bench b = { NULL, -1, -1 };
	uint64_t rounds = 0;

	need(dv_mesh_host_main(argc, argv, &self, &err), err.msg);
	if (argc == 2 && strcmp(argv[1], twin_arg) == 0)
		return be_twin();
	if (argc < 2 || argc > 3 ||
	    dv_parse_u64(argv[1], 1, ROUNDS_MAX, &rounds) < 0) {
		fprintf(stderr, "mesh_launch ROUNDS [NAME]\n");
		return 2;
	}
	b.echo = start_echo();
	b.null = open("/dev/null", O_RDWR | O_CLOEXEC);
	need(b.null < 0 ? -errno : 0, "open /dev/null");
	need(dv_hosts_new(&b.hosts, NULL, NULL, NULL, &err), err.msg);
	for (size_t w = 0; w < DV_ARRAY_LEN(ways); w++) {
		ways[w].ns = calloc(rounds, sizeof(*ways[w].ns));
		need(ways[w].ns ? 0 : -ENOMEM, "memory");
	}
	measure(&b, argv[2], rounds);
	for (size_t w = 0; w < DV_ARRAY_LEN(ways); w++) {
		if (!argv[2] || strcmp(argv[2], ways[w].name) == 0)
			show(&ways[w], rounds);
		free(ways[w].ns);
	}
	dv_hosts_free(b.hosts);
	dv_close(b.null);
	dv_close(b.echo);
	wait(NULL);
	return 0;
}
