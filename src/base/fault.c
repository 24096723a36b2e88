/* SPDX-License-Identifier: MIT */
#include "base/fault.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/fmt.h"

struct state {
	_Atomic int side;
	_Atomic uint32_t left; /* calls until the one that fails */
	_Atomic int kill;
	_Atomic int hit;
	pid_t owner;
	char name[32];
};

static struct state *state;

__attribute__((constructor)) static void make_state(void)
{
	void *p = mmap(NULL, sizeof(*state), PROT_READ | PROT_WRITE,
		       MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	state = p == MAP_FAILED ? NULL : p;
}

void fault_arm(enum fault_side side, uint32_t nth, bool kill)
{
	state->owner = getpid();
	atomic_store(&state->hit, 0);
	atomic_store(&state->kill, kill);
	atomic_store(&state->left, nth);
	atomic_store(&state->side, side);
}

bool fault_disarm(void)
{
	atomic_store(&state->side, FAULT_OFF);
	return atomic_load(&state->hit);
}

const char *fault_name(void)
{
	return state->name;
}

/* Async-signal-safe, as the callers in children must be. */
static bool due(const char *name)
{
	int side = state ? atomic_load(&state->side) : FAULT_OFF;

	if (side == FAULT_OFF ||
	    (side == FAULT_PARENT) != (getpid() == state->owner) ||
	    atomic_fetch_sub(&state->left, 1) != 1)
		return false;
	dv_fmt(state->name, sizeof(state->name), "%s", name);
	atomic_store(&state->hit, 1);
	return true;
}

static void die_if_asked(void)
{
	if (atomic_load(&state->kill))
		kill(getpid(), SIGKILL);
}

/* The call @name fails with @e; what it would have returned is @ret. */
#define FAIL_DUE(name, e, ret)          \
	do {                            \
		if (due(name)) {        \
			die_if_asked(); \
			errno = (e);    \
			return ret;     \
		}                       \
	} while (0)

/* clang-format off */
#define WRAP(type, name, e, ret, params, args) \
	type __real_##name params;             \
	type __wrap_##name params;             \
	type __wrap_##name params              \
	{                                      \
		FAIL_DUE(#name, e, ret);       \
		return __real_##name args;     \
	}

WRAP(void *, malloc, ENOMEM, NULL, (size_t n), (n))
WRAP(void *, calloc, ENOMEM, NULL, (size_t n, size_t m), (n, m))
WRAP(void *, realloc, ENOMEM, NULL, (void *p, size_t n), (p, n))
WRAP(void *, reallocarray, ENOMEM, NULL, (void *p, size_t n, size_t m), (p, n, m))
WRAP(char *, strdup, ENOMEM, NULL, (const char *s), (s))
WRAP(void *, mmap64, ENOMEM, MAP_FAILED, (void *p, size_t n, int prot, int fl, int fd, long long off), (p, n, prot, fl, fd, off))
WRAP(int, pipe2, EMFILE, -1, (int *fds, int flags), (fds, flags))
WRAP(int, socketpair, EMFILE, -1, (int d, int t, int p, int *sv), (d, t, p, sv))
WRAP(int, socket, EMFILE, -1, (int d, int t, int p), (d, t, p))
WRAP(int, dup2, EMFILE, -1, (int a, int b), (a, b))
WRAP(int, epoll_create1, EMFILE, -1, (int flags), (flags))
WRAP(ssize_t, sendmsg, ENOBUFS, -1, (int fd, const struct msghdr *m, int fl), (fd, m, fl))
WRAP(int, shutdown, ENOTCONN, -1, (int fd, int how), (fd, how))
WRAP(int, mkdir, ENOSPC, -1, (const char *p, mode_t m), (p, m))
WRAP(int, mkdirat, ENOSPC, -1, (int d, const char *p, mode_t m), (d, p, m))
WRAP(int, renameat, ENOSPC, -1, (int a, const char *p, int b, const char *q), (a, p, b, q))
WRAP(ssize_t, write, ENOSPC, -1, (int fd, const void *p, size_t n), (fd, p, n))
WRAP(int, setns, ENOMEM, -1, (int fd, int flags), (fd, flags))
WRAP(int, unshare, ENOSPC, -1, (int flags), (flags))
WRAP(int, setsid, EPERM, -1, (void), ())
WRAP(int, close_range, EINVAL, -1, (unsigned a, unsigned b, int f), (a, b, f))
WRAP(int, chdir, EACCES, -1, (const char *p), (p))
WRAP(int, fchdir, EACCES, -1, (int fd), (fd))
WRAP(int, umount2, EINVAL, -1, (const char *p, int f), (p, f))
WRAP(int, sethostname, EPERM, -1, (const char *p, size_t n), (p, n))
WRAP(int, symlinkat, ENOSPC, -1, (const char *t, int d, const char *p), (t, d, p))
WRAP(int, fchownat, EPERM, -1, (int d, const char *p, uid_t u, gid_t g, int f), (d, p, u, g, f))
WRAP(int, chmod, EPERM, -1, (const char *p, mode_t m), (p, m))
WRAP(int, fstat64, EIO, -1, (int fd, struct stat64 *st), (fd, st))
WRAP(int, execve, EIO, -1, (const char *p, char *const *a, char *const *e), (p, a, e))
/* clang-format on */

/* Removing cannot fail for want of memory, and nobody could go on if it did. */
int __real_epoll_ctl(int ep, int op, int fd, struct epoll_event *ev);
int __wrap_epoll_ctl(int ep, int op, int fd, struct epoll_event *ev);
int __wrap_epoll_ctl(int ep, int op, int fd, struct epoll_event *ev)
{
	if (op != EPOLL_CTL_DEL)
		FAIL_DUE("epoll_ctl", ENOMEM, -1);
	return __real_epoll_ctl(ep, op, fd, ev);
}

/* Functions with optional arguments: the kernel takes them as longs. */
#define LONGS(last, n, v)                          \
	do {                                       \
		va_list ap;                        \
		va_start(ap, last);                \
		for (int i = 0; i < (n); i++)      \
			(v)[i] = va_arg(ap, long); \
		va_end(ap);                        \
	} while (0)

long __real_syscall(long nr, ...);
long __wrap_syscall(long nr, ...);
/* The last of six arguments lies on the stack, also when it was not passed. */
__attribute__((no_sanitize_address)) long __wrap_syscall(long nr, ...)
{
	char name[16];
	long v[6];

	LONGS(nr, 6, v);
	dv_fmt(name, sizeof(name), "SYS_%ld", nr);
	/* Not these: they cannot fail so, or are how we end in order. */
	if (nr != SYS_waitid && nr != SYS_pidfd_send_signal &&
	    nr != SYS_rt_sigprocmask && nr != SYS_rt_sigaction && due(name)) {
		if (atomic_load(&state->kill)) {
			/* After the call: what it did is done. */
			long r = __real_syscall(nr, v[0], v[1], v[2], v[3],
						v[4], v[5]);

			if (nr == SYS_clone3 && r == 0)
				return r; /* the new one lives */
			die_if_asked();
		}
		errno = nr == SYS_clone3 ? EAGAIN : ENOMEM;
		return -1;
	}
	return __real_syscall(nr, v[0], v[1], v[2], v[3], v[4], v[5]);
}

#define WRAP_OPTIONAL(name, e)                                   \
	int __real_##name(int a, const char *p, int flags, ...); \
	int __wrap_##name(int a, const char *p, int flags, ...); \
	int __wrap_##name(int a, const char *p, int flags, ...)  \
	{                                                        \
		long v[1];                                       \
		LONGS(flags, 1, v);                              \
		FAIL_DUE(#name, e, -1);                          \
		return __real_##name(a, p, flags, (mode_t)v[0]); \
	}
WRAP_OPTIONAL(openat64, ENFILE)

int __real_open64(const char *p, int flags, ...);
int __wrap_open64(const char *p, int flags, ...);
int __wrap_open64(const char *p, int flags, ...)
{
	long v[1];

	LONGS(flags, 1, v);
	FAIL_DUE("open64", EMFILE, -1);
	return __real_open64(p, flags, (mode_t)v[0]);
}

static const char *lockless;
static int lockless_errno;

void fault_locks(const char *dir, int e)
{
	lockless = dir;
	lockless_errno = e;
}

static bool is_lockless(int fd, int cmd)
{
	char name[32], path[512];
	ssize_t n;

	if (!lockless || (cmd != F_OFD_SETLK && cmd != F_OFD_GETLK))
		return false;
	dv_fmt(name, sizeof(name), "/proc/self/fd/%d", fd);
	n = readlink(name, path, sizeof(path) - 1);
	path[n < 0 ? 0 : n] = '\0';
	return !strncmp(path, lockless, strlen(lockless));
}

int __real_fcntl64(int fd, int cmd, ...);
int __wrap_fcntl64(int fd, int cmd, ...);
int __wrap_fcntl64(int fd, int cmd, ...)
{
	long v[1];

	LONGS(cmd, 1, v);
	if (cmd != F_GETFD && cmd != F_GETFL)
		FAIL_DUE("fcntl64", EMFILE, -1);
	if (is_lockless(fd, cmd)) {
		errno = lockless_errno;
		return -1;
	}
	return __real_fcntl64(fd, cmd, v[0]);
}

int __real_prctl(int op, ...);
int __wrap_prctl(int op, ...);
int __wrap_prctl(int op, ...)
{
	long v[4];

	LONGS(op, 4, v);
	/* Not these: the kernel has no reason to refuse them. */
	if (op != PR_SET_DUMPABLE && op != PR_GET_DUMPABLE)
		FAIL_DUE("prctl", EPERM, -1);
	return __real_prctl(op, v[0], v[1], v[2], v[3]);
}

int __real_ioctl(int fd, unsigned long op, ...);
int __wrap_ioctl(int fd, unsigned long op, ...);
int __wrap_ioctl(int fd, unsigned long op, ...)
{
	long v[1];

	LONGS(op, 1, v);
	FAIL_DUE("ioctl", EIO, -1);
	return __real_ioctl(fd, op, v[0]);
}
