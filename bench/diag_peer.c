/* SPDX-License-Identifier: MIT */
/*
 * diag_peer SOCK DAVIT: what a client of an agent does, next to what it would
 * do without one. It reads lines "WORD N K" and answers each with one number.
 *
 * The median time in ns of N times:
 *	ping		Ping
 *	spawn		/bin/true by posix_spawn() and waitid()
 *	exec		/bin/true by Exec and Wait in the agent
 *	cli		`davit diag SOCK exec -- /bin/true` by posix_spawn()
 * Bytes per second of a process that passes N bytes, from its start to its end:
 *	pair-out	to us, through a socket pair
 *	agent-out	to us, by a pipe that the agent was given
 *	relayed-out	the same by a data connection, as from a VM
 *	raw-out		the same; the connection itself is its output
 *	floor-out	the same by a pipe and a process that only splices
 *	pair-in		from us, through a socket pair
 *	agent-in	from us, by a data connection
 *
 * diag_peer write|read N is that process: it writes N bytes to its output, or
 * reads all of its input and succeeds when that was N bytes. diag_peer splice N
 * moves its input, a pipe, to its output, a socket.
 */
#include <davit/diag.h>

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/num.h"
#include "stats.h"

#define N_MAX      100000
#define BUF_LEN    65536 /* what cat and dd of much use as well */
#define SPLICE_LEN (1 << 20)
#define TIMEOUT_MS 60000 /* nothing here lasts that long */
#define NS_PER_S   1000000000.0

static const char self_path[] = "/proc/self/exe";

/* How the bytes of a process come to us, or go to it. */
enum by { PAIR, FLOOR, AGENT, RELAYED, RAW };

struct client {
	struct dv_diag *diag;
	const char *sock, *davit;
	char self[4096]; /* the agent has another /proc/self */
	char buf[BUF_LEN];
};

static void die(const char *what, const char *why)
{
	fprintf(stderr, "diag_peer: %s: %s\n", what, why);
	exit(1);
}

static const struct dv_how *how(void)
{
	static struct dv_how h = DV_HOW_INIT;

	h.timeout_ms = TIMEOUT_MS;
	return &h;
}

/* ---- the process at the other end ---- */

static int write_much(uint64_t left)
{
	static char buf[BUF_LEN];

	memset(buf, 'x', sizeof(buf));
	while (left > 0) {
		size_t n = dv_min(left, (uint64_t)sizeof(buf));

		if (dv_write_full(STDOUT_FILENO, buf, n) < 0)
			return 1;
		left -= n;
	}
	return 0;
}

static int read_much(uint64_t want)
{
	static char buf[BUF_LEN];
	uint64_t got = 0;
	ssize_t n;

	while ((n = dv_read(STDIN_FILENO, buf, sizeof(buf))) > 0)
		got += (uint64_t)n;
	return n < 0 || got != want;
}

/* What anybody between a pipe and a socket has to do, and nothing else. */
static int splice_much(uint64_t want)
{
	const int room = 512 << 10;
	uint64_t got = 0;
	ssize_t n;

	dv_pipe_widen(STDIN_FILENO, SPLICE_LEN);
	setsockopt(STDOUT_FILENO, SOL_SOCKET, SO_SNDBUFFORCE, &room,
		   sizeof(room));
	while ((n = splice(STDIN_FILENO, NULL, STDOUT_FILENO, NULL, SPLICE_LEN,
			   0)) > 0)
		got += (uint64_t)n;
	return n < 0 || got != want;
}

/* ---- without an agent ---- */

/* @in and @out become its descriptors 0 and 1; -1: /dev/null. */
static pid_t spawn(const char *const *argv, int in, int out)
{
	const int fds[2] = { in, out };
	const union {
		const char *const *in;
		char *const *out;
	} args = { argv };
	posix_spawn_file_actions_t actions;
	pid_t pid;
	int r;

	posix_spawn_file_actions_init(&actions);
	for (int i = 0; i < 2; i++) {
		if (fds[i] >= 0)
			posix_spawn_file_actions_adddup2(&actions, fds[i], i);
		else
			posix_spawn_file_actions_addopen(
				&actions, i, "/dev/null", O_RDWR, 0);
	}
	r = posix_spawn(&pid, argv[0], &actions, NULL, args.out, environ);
	posix_spawn_file_actions_destroy(&actions);
	if (r)
		die(argv[0], dv_errno_text(r));
	return pid;
}

static void reap(pid_t pid, const char *name)
{
	siginfo_t info;

	if (waitid(P_PID, (id_t)pid, &info, WEXITED) < 0 ||
	    info.si_code != CLD_EXITED || info.si_status != 0)
		die(name, "has failed");
}

static void spawn_true(struct client *c)
{
	static const char *const argv[] = { "/bin/true", NULL };

	(void)c;
	reap(spawn(argv, -1, -1), argv[0]);
}

static void cli_true(struct client *c)
{
	const char *const argv[] = { c->davit, "diag",      c->sock, "exec",
				     "--",     "/bin/true", NULL };

	reap(spawn(argv, -1, -1), argv[0]);
}

/* ---- with one ---- */

static struct dv_diag_proc *start(struct client *c, const char *const *argv,
				  uint32_t stdio, enum by by)
{
	struct dv_diag_exec exec = DV_DIAG_EXEC_INIT;
	struct dv_err err = DV_ERR_INIT;
	struct dv_diag_proc *p = NULL;

	exec.argv = argv;
	exec.stdio = stdio;
	exec.raw = by == RAW;
	exec.relayed = by == RELAYED;
	if (dv_diag_exec(c->diag, &exec, &p, how(), &err) < 0)
		die(argv[0], err.msg);
	return p;
}

static void finish(struct dv_diag_proc *p)
{
	struct dv_exit exit = { .size = sizeof(exit) };
	struct dv_err err = DV_ERR_INIT;

	if (dv_diag_wait(p, &exit, how(), &err) < 0)
		die("wait", err.msg);
	if (exit.code)
		die("process", "has failed");
	dv_diag_proc_free(p);
}

static void exec_true(struct client *c)
{
	static const char *const argv[] = { "/bin/true", NULL };

	finish(start(c, argv, 0, AGENT));
}

static void ping(struct client *c)
{
	struct dv_err err = DV_ERR_INIT;

	if (dv_diag_ping(c->diag, how(), &err) < 0)
		die("ping", err.msg);
}

/* ---- one number ---- */

static double median(struct client *c, uint64_t n, void (*fn)(struct client *))
{
	uint64_t *ns = calloc(n, sizeof(*ns)), p50;

	if (!ns)
		die("memory", dv_errno_text(ENOMEM));
	for (uint64_t i = 0; i < n; i++) {
		uint64_t begin = bench_now_ns();

		fn(c);
		ns[i] = bench_now_ns() - begin;
	}
	bench_sort(ns, n);
	p50 = bench_quantile(ns, n, 50);
	free(ns);
	return (double)p50;
}

static void ready(int fd, short events)
{
	struct pollfd p = { .fd = fd, .events = events };

	if (poll(&p, 1, TIMEOUT_MS) <= 0)
		die("stream", "nothing moves");
}

static void drain(struct client *c, int fd, uint64_t want)
{
	uint64_t got = 0;
	ssize_t n;

	while ((n = dv_read(fd, c->buf, BUF_LEN)) != 0) {
		if (n == -EAGAIN)
			ready(fd, POLLIN);
		else if (n < 0)
			die("read", dv_errno_text((int)-n));
		else
			got += (uint64_t)n;
	}
	if (got != want)
		die("read", "not everything came");
}

static void feed(struct client *c, int fd, uint64_t left)
{
	while (left > 0) {
		ssize_t n =
			dv_write(fd, c->buf, dv_min(left, (uint64_t)BUF_LEN));

		if (n == -EAGAIN)
			ready(fd, POLLOUT);
		else if (n < 0)
			die("write", dv_errno_text((int)-n));
		else
			left -= (uint64_t)n;
	}
}

/* Something between us and a process, until both have ended. */
struct way {
	struct dv_diag_proc *proc;
	pid_t pid[2];
};

static void open_agent(struct client *c, struct way *w, const char **argv,
		       enum by by, bool out, int *fdp)
{
	w->proc = start(c, argv, out ? DV_DIAG_STDOUT : DV_DIAG_STDIN, by);
	*fdp = dv_diag_proc_take_stdio(w->proc, out);
}

/* @in: its input, when the socket is its output. */
static void open_pair(struct way *w, const char **argv, int in, bool out,
		      int *fdp)
{
	int fds[2];

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) < 0)
		die("socketpair", dv_errno_text(errno));
	w->pid[0] = out ? spawn(argv, in, fds[1]) : spawn(argv, fds[1], -1);
	dv_close(fds[1]);
	dv_fd_nonblock(fds[0], true);
	*fdp = fds[0];
}

static void open_floor(struct way *w, const char **argv, int *fdp)
{
	const char *splicer[] = { argv[0], "splice", argv[2], NULL };
	int fds[2];

	if (pipe2(fds, O_CLOEXEC) < 0)
		die("pipe", dv_errno_text(errno));
	w->pid[1] = spawn(argv, -1, fds[1]);
	dv_close(fds[1]);
	open_pair(w, splicer, fds[0], true, fdp);
	dv_close(fds[0]);
}

/* Both directions alike: our end of a stream socket, which does not block. */
static double transfer(struct client *c, uint64_t bytes, enum by by, bool out)
{
	char number[24];
	const char *argv[] = { c->self, out ? "write" : "read", number, NULL };
	uint64_t begin = bench_now_ns();
	struct way way = { 0 };
	int fd;

	snprintf(number, sizeof(number), "%llu", (unsigned long long)bytes);
	if (by == PAIR)
		open_pair(&way, argv, -1, out, &fd);
	else if (by == FLOOR)
		open_floor(&way, argv, &fd);
	else
		open_agent(c, &way, argv, by, out, &fd);
	out ? drain(c, fd, bytes) : feed(c, fd, bytes);
	dv_close(fd);
	for (int i = 0; i < 2; i++)
		if (way.pid[i])
			reap(way.pid[i], argv[1]);
	if (way.proc)
		finish(way.proc);
	return (double)bytes * NS_PER_S / (double)(bench_now_ns() - begin);
}

static double answer(struct client *c, const char *word, uint64_t n)
{
	static const struct {
		const char *word;
		void (*fn)(struct client *c);
	} each[] = {
		{ "ping", ping },
		{ "spawn", spawn_true },
		{ "exec", exec_true },
		{ "cli", cli_true },
	};
	static const struct {
		const char *word;
		enum by by;
		bool out;
	} streams[] = {
		{ "pair-out", PAIR, true },       { "floor-out", FLOOR, true },
		{ "agent-out", AGENT, true },     { "raw-out", RAW, true },
		{ "relayed-out", RELAYED, true }, { "pair-in", PAIR, false },
		{ "agent-in", AGENT, false },
	};

	for (size_t i = 0; i < DV_ARRAY_LEN(each) && n <= N_MAX; i++)
		if (strcmp(word, each[i].word) == 0)
			return median(c, n, each[i].fn);
	for (size_t i = 0; i < DV_ARRAY_LEN(streams); i++)
		if (strcmp(word, streams[i].word) == 0)
			return transfer(c, n, streams[i].by, streams[i].out);
	die(word, "no such measurement");
	return 0;
}

/* Returns -1 when @argv names no such process. */
static int work(int argc, char **argv)
{
	static const struct {
		const char *word;
		int (*fn)(uint64_t n);
	} works[] = {
		{ "write", write_much },
		{ "read", read_much },
		{ "splice", splice_much },
	};
	uint64_t n;

	for (size_t i = 0; i < DV_ARRAY_LEN(works); i++)
		if (argc == 3 && strcmp(argv[1], works[i].word) == 0 &&
		    dv_parse_u64(argv[2], 0, UINT64_MAX, &n) == 0)
			return works[i].fn(n);
	return -1;
}

/* "WORD N K": cut up in place. */
static bool parse(char *line, char **wordp, uint64_t *np)
{
	const char *number;

	*wordp = strsep(&line, " ");
	number = strsep(&line, " \n");
	return number && dv_parse_u64(number, 1, UINT64_MAX, np) == 0;
}

int main(int argc, char **argv)
{
	static struct client c;
	struct dv_err err = DV_ERR_INIT;
	char line[64], *word;
	uint64_t n;
	int r = work(argc, argv);

	if (r >= 0)
		return r;
	if (argc != 3) {
		fprintf(stderr, "diag_peer SOCK DAVIT\n");
		return 2;
	}
	signal(SIGPIPE, SIG_IGN);
	c.sock = argv[1];
	c.davit = argv[2];
	if (readlink(self_path, c.self, sizeof(c.self) - 1) < 0)
		die(self_path, dv_errno_text(errno));
	if (dv_diag_open(&c.diag, c.sock, &err) < 0 ||
	    dv_diag_wait_ready(c.diag, how(), &err) < 0)
		die(c.sock, err.msg);
	while (fgets(line, sizeof(line), stdin) && parse(line, &word, &n)) {
		printf("%.0f\n", answer(&c, word, n));
		fflush(stdout);
	}
	dv_diag_free(c.diag);
	return 0;
}
