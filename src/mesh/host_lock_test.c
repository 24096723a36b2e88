/* SPDX-License-Identifier: MIT */
/*
 * The second stage alone, in a forked child: what it refuses, and with what.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/def.h"
#include "base/test.h"
#include "mesh/host_priv.h"

/* Run @fn in a child that is locked as @lock says: what it returns is its exit
 * status; 200 + signal when it was killed. */
static int locked(uint32_t lock, int (*fn)(void), int allow)
{
	uint32_t nr = (uint32_t)allow;
	struct dv_host_lock l = {
		.lock = lock | DV_LOCK_BEST_EFFORT,
		.allow = &nr,
		.n_allow = allow >= 0,
	};
	pid_t pid = fork();
	int status = 0;

	if (pid == 0) {
		const struct rlimit none = { 0, 0 };

		setrlimit(RLIMIT_CORE, &none);
		if (dv_host_lock(&l, NULL) < 0)
			_exit(199);
		_exit(fn());
	}
	CHECK_EQ(waitpid(pid, &status, 0), pid);
	return WIFSIGNALED(status) ? 200 + WTERMSIG(status)
				   : WEXITSTATUS(status);
}

static int result(long r)
{
	return r < 0 ? errno : 0;
}

static int do_open(void)
{
	return result(open("/dev/null", O_RDONLY | O_CLOEXEC));
}

static int do_stat(void)
{
	struct stat st;

	return result(syscall(SYS_newfstatat, AT_FDCWD, "/", &st, 0));
}

static int do_socket(void)
{
	return result(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
}

static int do_inet_pair(void)
{
	int fds[2];

	return result(socketpair(AF_INET, SOCK_STREAM, 0, fds));
}

static int do_pair(void)
{
	int fds[2];
	char byte = 0;

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) < 0)
		return errno;
	return result(write(fds[0], &byte, 1));
}

static int do_memory(void)
{
	size_t len = 1 << 20;
	char *p = mmap(NULL, len, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (p == MAP_FAILED)
		return errno;
	p[len - 1] = 1;
	return result(munmap(p, len));
}

static int do_code(void)
{
	void *p =
		mmap(NULL, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (p == MAP_FAILED)
		return 250;
	return result(mprotect(p, 4096, PROT_READ | PROT_EXEC));
}

static void *thread(void *arg)
{
	return arg;
}

static int do_thread(void)
{
	pthread_t t;
	int r = pthread_create(&t, NULL, thread, NULL);

	return r ? r : pthread_join(t, NULL);
}

static int do_fork(void)
{
	pid_t pid = fork();

	if (pid == 0)
		_exit(0);
	return result(pid);
}

static int do_namespace(void)
{
	return result(syscall(SYS_clone, CLONE_THREAD | CLONE_NEWUSER, NULL,
			      NULL, NULL, NULL));
}

static int do_execute(void)
{
	char *argv[] = { NULL };

	return result(execve("/bin/true", argv, argv));
}

static int do_trace(void)
{
	return result(syscall(SYS_ptrace, 0, 0, 0, 0));
}

static int do_kill_init(void)
{
	return result(kill(1, 0));
}

static int do_kill_self(void)
{
	return result(kill(getpid(), SIGUSR1));
}

static int do_limit(void)
{
	struct rlimit lim = { 1, 1 };

	return result(setrlimit(RLIMIT_NOFILE, &lim));
}

static int do_read_limit(void)
{
	struct rlimit lim;

	return result(getrlimit(RLIMIT_NOFILE, &lim));
}

static int do_other_limit(void)
{
	return result(syscall(SYS_prlimit64, 1, RLIMIT_NOFILE, NULL, NULL));
}

static int do_filter(void)
{
	return result(syscall(SYS_seccomp, 0, 0, NULL));
}

static int do_poll(void)
{
	return result(epoll_create1(EPOLL_CLOEXEC));
}

TEST(host_lock_filter_decides_by_call_and_argument)
{
	static const struct {
		const char *name;
		int (*fn)(void);
		int is;
	} rows[] = {
		{ "open", do_open, EPERM },
		{ "stat", do_stat, EPERM },
		{ "socket", do_socket, EPERM },
		{ "socketpair of inet", do_inet_pair, EPERM },
		{ "socketpair", do_pair, 0 },
		{ "memory", do_memory, 0 },
		{ "executable memory", do_code, EPERM },
		{ "thread", do_thread, 0 },
		{ "fork", do_fork, EPERM },
		{ "clone of a namespace", do_namespace, EPERM },
		{ "execve", do_execute, 200 + SIGSYS },
		{ "ptrace", do_trace, 200 + SIGSYS },
		{ "kill of another", do_kill_init, EPERM },
		{ "kill of itself", do_kill_self, 200 + SIGUSR1 },
		{ "setrlimit", do_limit, EPERM },
		{ "getrlimit", do_read_limit, 0 },
		{ "prlimit of another", do_other_limit, EPERM },
		{ "seccomp", do_filter, EPERM },
		{ "epoll", do_poll, 0 },
	};

	for (size_t i = 0; i < DV_ARRAY_LEN(rows); i++) {
		int is = locked(DV_LOCK_FILTER | DV_LOCK_NNP, rows[i].fn, -1);

		if (is != rows[i].is)
			print_error("%s: %d\n", rows[i].name, is);
		CHECK_EQ(is, rows[i].is);
	}
}

TEST(host_lock_allows_what_was_asked_for)
{
	CHECK_EQ(locked(DV_LOCK_FILTER | DV_LOCK_NNP, do_socket, SYS_socket),
		 0);
	CHECK_EQ(locked(DV_LOCK_FILTER | DV_LOCK_NNP, do_open, SYS_socket),
		 EPERM);
}

TEST(host_lock_landlock_denies_files_without_a_filter)
{
	uint32_t lock = DV_LOCK_LANDLOCK | DV_LOCK_CAPS | DV_LOCK_NNP;
	int is = locked(lock, do_open, -1);

	if (is == 0)
		SKIP("no landlock in this kernel");
	CHECK_EQ(is, EACCES);
}

static void *wait_for_end(void *arg)
{
	char byte;

	if (read(*(int *)arg, &byte, 1) < 0)
		return arg;
	return NULL;
}

TEST(host_lock_with_threads_is_refused)
{
	struct dv_host_lock l = { .lock = DV_LOCK_CAPS };
	struct dv_err err = DV_ERR_INIT;
	int fds[2];
	pthread_t t;

	CHECK_EQ(pipe(fds), 0);
	CHECK_EQ(pthread_create(&t, NULL, wait_for_end, &fds[0]), 0);
	CHECK_EQ(dv_host_lock(&l, &err), -EBUSY);
	CHECK_EQ(err.code, DV_PRECONDITION);
	close(fds[1]);
	pthread_join(t, NULL);
	close(fds[0]);
}
