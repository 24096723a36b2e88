/* SPDX-License-Identifier: MIT */
/*
 * DOC: the floor under every start
 *
 * floor [OPTIONS] ROOT CMD [ARG...] runs CMD as any runtime would have to: a
 * clone3() with every namespace, the id maps, the mounts, pivot_root(), exec,
 * wait. It parses nothing, checks nothing and keeps nothing, so what a runtime
 * takes beyond this is its own doing. With --loop N it does so N times and
 * prints when each step was over, as a median, counted from the first clone.
 *
 * Direct (the default): the command is PID 1.
 *
 *	keeper --clone3(all)--> command: net, mounts, exec
 *
 * --init: PID 1 only waits. A helper joins init's namespaces and clones the
 * command with CLONE_PARENT, so that it is the keeper's own child.
 *
 *	keeper --clone3(all)--> init ................ pipe ends: exit
 *	   \---fork--> helper --setns, clone3(PARENT)--> command
 *
 * --early-net (with --init): init is cloned without a network namespace and
 * makes it on its own, while the command's process mounts and then joins it.
 */
#include "floor.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <linux/futex.h>
#include <linux/sched.h>
#include <net/if.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "stats.h"

enum floor_step {
	STEP_CLONED,
	STEP_MAPPED,
	STEP_RUNS,
	STEP_NET,
	STEP_MOUNTED,
	STEP_PIVOTED,
	STEP_EXEC,
	STEP_ENDED,
	STEP_GONE,
	STEP_N
};

static const char *const step_names[] = {
	[STEP_CLONED] = "first clone3 returned",
	[STEP_MAPPED] = "id maps written",
	[STEP_RUNS] = "the command's process runs",
	[STEP_NET] = "loopback is up",
	[STEP_MOUNTED] = "new root complete",
	[STEP_PIVOTED] = "old root detached",
	[STEP_EXEC] = "about to exec",
	[STEP_ENDED] = "command ended and reaped",
	[STEP_GONE] = "namespaces gone",
};
_Static_assert(DV_ARRAY_LEN(step_names) == STEP_N, "a name for each step");

#define FLOOR_CLONE                                                 \
	(CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWIPC | CLONE_NEWUTS | \
	 CLONE_NEWCGROUP)
#define FLOOR_LOOP_MAX 100000

/* What the processes of one start tell each other; one shared page. */
struct floor_page {
	uint64_t at[STEP_N];
	_Alignas(64) atomic_int mapped;
	_Alignas(64) atomic_int net_up;
	int main_pid;
};

static struct floor_page *page;

noreturn void floor_die(const char *what)
{
	dprintf(2, "floor: %s: %s\n", what, strerrordesc_np(errno));
	_exit(125);
}

static void stamp(enum floor_step step)
{
	page->at[step] = bench_now_ns();
}

static void stamp_mounted(void)
{
	stamp(STEP_MOUNTED);
}

static pid_t clone_with(uint64_t flags, int *pidfdp)
{
	int pidfd = -1;
	struct clone_args args = {
		.flags = flags | (pidfdp ? CLONE_PIDFD : 0),
		.pidfd = (uint64_t)(uintptr_t)&pidfd,
		/* A sibling gets the signal we have; 0 is all we may say. */
		.exit_signal = flags & CLONE_PARENT ? 0 : SIGCHLD,
	};
	pid_t pid = (pid_t)syscall(SYS_clone3, &args, sizeof(args));

	if (pidfdp)
		*pidfdp = pidfd;
	return pid;
}

static void flag_raise(atomic_int *flag)
{
	atomic_store(flag, 1);
	syscall(SYS_futex, flag, FUTEX_WAKE, 8, NULL, NULL, 0);
}

/*
 * --spin looks for about 50 us before it sleeps. Waking another CPU costs 20 us
 * here, but over whole starts no gain was measured: it is here to be checked.
 */
static void flag_wait(const struct floor_opts *o, atomic_int *flag)
{
	for (int i = 0; o->spin && i < 2000; i++) {
		if (atomic_load(flag))
			return;
#ifdef __x86_64__
		__builtin_ia32_pause();
#endif
	}
	while (!atomic_load(flag))
		syscall(SYS_futex, flag, FUTEX_WAIT, 0, NULL, NULL, 0);
}

static void write_file(pid_t pid, const char *name, const char *text)
{
	char path[64];
	int fd;

	snprintf(path, sizeof(path), "/proc/%d/%s", (int)pid, name);
	fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd < 0 || write(fd, text, strlen(text)) < 0)
		floor_die(path);
	close(fd);
}

/* Root gets every id, an ordinary user the one that is theirs to map. */
static void write_maps(pid_t pid)
{
	char uids[64] = "0 0 4294967295", gids[64] = "0 0 4294967295";

	if (geteuid() != 0) {
		snprintf(uids, sizeof(uids), "%u %u 1", geteuid(), geteuid());
		snprintf(gids, sizeof(gids), "%u %u 1", getegid(), getegid());
		write_file(pid, "setgroups", "deny");
	}
	write_file(pid, "uid_map", uids);
	write_file(pid, "gid_map", gids);
}

static void loopback_up(void)
{
	struct ifreq ifr = { .ifr_name = "lo" };
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	ifr.ifr_flags = IFF_UP | IFF_RUNNING;
	if (fd < 0 || ioctl(fd, SIOCSIFFLAGS, &ifr) < 0)
		floor_die("loopback up");
	close(fd);
	stamp(STEP_NET);
}

/* The command's process, in all its namespaces. @net: an init that has one. */
static noreturn void command(const struct floor_opts *o, int net)
{
	stamp(STEP_RUNS);
	if (o->net && net < 0)
		loopback_up();
	floor_mounts(o, stamp_mounted);
	stamp(STEP_PIVOTED);
	if (net >= 0) {
		flag_wait(o, &page->net_up);
		if (setns(net, CLONE_NEWNET) < 0)
			floor_die("join the network namespace");
	}
	stamp(STEP_EXEC);
	execv(o->argv[0], o->argv);
	floor_die(o->argv[0]);
}

/* PID 1: lives until the keeper's end of the pipe @life is closed. */
static noreturn void init(const struct floor_opts *o, const int life[2])
{
	char c;

	close(life[1]);
	if (o->early_net) {
		if (unshare(CLONE_NEWNET) < 0)
			floor_die("unshare the network");
		if (o->user)
			flag_wait(o, &page->mapped);
		loopback_up();
		flag_raise(&page->net_up);
	}
	_exit(read(life[0], &c, 1) != 0);
}

/* Joins @init and leaves the command behind as the keeper's child. */
static noreturn void helper(const struct floor_opts *o, int init_fd, int flags)
{
	pid_t pid;

	if (setns(init_fd, flags) < 0)
		floor_die("join init");
	pid = clone_with(CLONE_PARENT, NULL);
	if (pid < 0)
		floor_die("clone the command");
	if (pid == 0)
		command(o, o->early_net ? init_fd : -1);
	page->main_pid = pid;
	_exit(0);
}

/* Returns 0, or the status that the process should not have ended with. */
static int reap(pid_t pid)
{
	siginfo_t si = { 0 };

	if (waitid(P_PID, (id_t)pid, &si, WEXITED) < 0)
		floor_die("waitid");
	return si.si_code == CLD_EXITED ? si.si_status : 128 + si.si_status;
}

static int start_direct(const struct floor_opts *o, uint64_t flags)
{
	pid_t pid = clone_with(flags, NULL);
	int status;

	if (pid < 0)
		floor_die("clone3");
	if (pid == 0) {
		if (o->user)
			flag_wait(o, &page->mapped);
		command(o, -1);
	}
	stamp(STEP_CLONED);
	if (o->user)
		write_maps(pid);
	stamp(STEP_MAPPED);
	flag_raise(&page->mapped);
	status = reap(pid);
	stamp(STEP_ENDED);
	stamp(STEP_GONE);
	return status;
}

static pid_t start_init(const struct floor_opts *o, uint64_t flags,
			const int life[2], int *pidfdp)
{
	pid_t pid = clone_with(flags, pidfdp);

	if (pid < 0)
		floor_die("clone3");
	if (pid == 0)
		init(o, life);
	stamp(STEP_CLONED);
	if (o->user)
		write_maps(pid);
	stamp(STEP_MAPPED);
	flag_raise(&page->mapped);
	return pid;
}

static int start_beside_init(const struct floor_opts *o, uint64_t flags)
{
	int life[2], init_fd = -1, status;
	pid_t init_pid, helper_pid;

	if (pipe2(life, O_CLOEXEC) < 0)
		floor_die("pipe");
	if (o->early_net)
		flags &= ~(uint64_t)CLONE_NEWNET;
	init_pid = start_init(o, flags, life, &init_fd);
	helper_pid = clone_with(0, NULL);
	if (helper_pid == 0) {
		close(life[1]);
		helper(o, init_fd, (int)flags);
	}
	status = helper_pid < 0 ? 125 : reap(helper_pid);
	if (status == 0)
		status = reap(page->main_pid);
	stamp(STEP_ENDED);
	close(life[1]);
	status |= reap(init_pid);
	stamp(STEP_GONE);
	close(life[0]);
	close(init_fd);
	return status;
}

static int start_once(const struct floor_opts *o)
{
	uint64_t flags = FLOOR_CLONE;

	if (o->user)
		flags |= CLONE_NEWUSER;
	if (o->net)
		flags |= CLONE_NEWNET;
	memset(page, 0, sizeof(*page));
	return o->init ? start_beside_init(o, flags) : start_direct(o, flags);
}

/* @v holds @n starts of STEP_N stamps each, relative to the first clone. */
static void print_steps(const uint64_t *v, size_t n)
{
	uint64_t *column = calloc(n, sizeof(*column)), at;

	if (!column)
		floor_die("memory");
	fprintf(stderr, "%-30s %10s\n", "step", "us");
	for (size_t s = 0; s < STEP_N; s++) {
		for (size_t i = 0; i < n; i++)
			column[i] = v[i * STEP_N + s];
		bench_sort(column, n);
		at = bench_quantile(column, n, 50);
		if (at)
			fprintf(stderr, "%-30s %8u.%u\n", step_names[s],
				(unsigned int)(at / 1000),
				(unsigned int)(at % 1000 / 100));
	}
	free(column);
}

static int run(const struct floor_opts *o, size_t n, bool timing)
{
	uint64_t *v = calloc(n, STEP_N * sizeof(*v)), t0;
	int status = 0;

	if (!v)
		floor_die("memory");
	for (size_t i = 0; i < n && status == 0; i++) {
		t0 = bench_now_ns();
		status = start_once(o);
		for (size_t s = 0; s < STEP_N; s++)
			if (page->at[s])
				v[i * STEP_N + s] = page->at[s] - t0;
	}
	if (timing && status == 0)
		print_steps(v, n);
	free(v);
	return status;
}

static noreturn void usage(void)
{
	fputs("usage: floor [--no-user] [--no-net] [--overlay] [--init]\n"
	      "             [--early-net] [--spin] [--timing] [--loop N]\n"
	      "             ROOT CMD [ARG...]\n",
	      stderr);
	exit(125);
}

static void parse(int argc, char **argv, struct floor_opts *o, size_t *np,
		  bool *timingp)
{
	static const struct option table[] = {
		{ "no-user", no_argument, NULL, 'U' },
		{ "no-net", no_argument, NULL, 'N' },
		{ "overlay", no_argument, NULL, 'o' },
		{ "init", no_argument, NULL, 'i' },
		{ "early-net", no_argument, NULL, 'e' },
		{ "spin", no_argument, NULL, 's' },
		{ "timing", no_argument, NULL, 't' },
		{ "loop", required_argument, NULL, 'l' },
		{ NULL, 0, NULL, 0 },
	};
	int c;

	while ((c = getopt_long(argc, argv, "+", table, NULL)) != -1) {
		switch (c) {
		case 'U':
			o->user = false;
			break;
		case 'N':
			o->net = false;
			break;
		case 'o':
			o->overlay = true;
			break;
		case 'i':
			o->init = true;
			break;
		case 'e':
			o->early_net = true;
			break;
		case 's':
			o->spin = true;
			break;
		case 't':
			*timingp = true;
			break;
		case 'l':
			*np = strtoul(optarg, NULL, 10);
			*timingp = true;
			break;
		default:
			usage();
		}
	}
	if (argc - optind < 2 || *np < 1 || *np > FLOOR_LOOP_MAX)
		usage();
	o->early_net = o->early_net && o->init && o->net;
	o->root = argv[optind];
	o->argv = argv + optind + 1;
}

int main(int argc, char **argv)
{
	struct floor_opts o = { .user = true, .net = true };
	bool timing = false;
	size_t n = 1;

	parse(argc, argv, &o, &n, &timing);
	page = mmap(NULL, sizeof(*page), PROT_READ | PROT_WRITE,
		    MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (page == MAP_FAILED)
		floor_die("mmap");
	return run(&o, n, timing);
}
