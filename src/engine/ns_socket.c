/* SPDX-License-Identifier: MIT */
/*
 * DOC: a socket of another network
 *
 * A socket belongs to the network in which it was made, and may be used from
 * everywhere. So a helper enters the user namespace (an ordinary user may not
 * enter the other without it) and the network, and makes it. It shares the
 * keeper's descriptors, so nothing has to be handed over, and like the helper
 * of engine/proc.c it borrows the keeper's memory for these three system calls.
 * It never enters the pid namespace: nobody inside can see it, or stop it, and
 * with it us.
 */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/def.h"
#include "base/fd.h"
#include "base/fmt.h"
#include "engine/child.h"
#include "engine/clone_vm.h"
#include "engine/ns.h"
#include "engine/sys.h"

struct visit {
	int init_pidfd, domain, type;
	int result; /* the descriptor, or -errno */
	int wr;     /* a copy of our memory tells it this way */
};

enum { STACK = 16384 };

static int visit(void *arg)
{
	struct visit *v = arg;

	if (setns(v->init_pidfd, CLONE_NEWUSER | CLONE_NEWNET) < 0)
		v->result = -errno;
	else
		v->result = socket(v->domain, v->type | SOCK_CLOEXEC, 0);
	if (v->result == -1)
		v->result = -errno;
	if (v->wr >= 0)
		dv_write_full(v->wr, &v->result, sizeof(v->result));
	return 0;
}

/* The sanitizers follow one stack per memory: there it is a plain fork. */
#if DV_CLONE_VM
static pid_t start(struct visit *v, char *stack, int *pidfd)
{
	pid_t pid = clone(visit, stack + STACK,
			  CLONE_VM | CLONE_VFORK | CLONE_FILES | CLONE_PIDFD, v,
			  pidfd);

	return pid < 0 ? -errno : pid;
}
#else
static pid_t start(struct visit *v, char *stack, int *pidfd)
{
	struct clone_args args = {
		.flags = CLONE_PIDFD | CLONE_FILES,
		.pidfd = (uintptr_t)pidfd,
	};
	int p[2], r = dv_pipe(p);
	pid_t pid;

	(void)stack;
	if (r < 0)
		return r;
	v->wr = p[1];
	pid = dv_sys_clone3(&args);
	if (pid == 0)
		dv_child_end(visit(v));
	if (pid > 0 && dv_read_full(p[0], &v->result, sizeof(v->result)) !=
			       sizeof(v->result))
		v->result = -EIO;
	dv_close(p[0]);
	dv_close(p[1]);
	return pid;
}
#endif

/* See fork_placed() of engine/proc.c for what is dumpable. */
static int send_helper(struct visit *v)
{
	dv_autofree char *stack = malloc(STACK);
	int dumpable = prctl(PR_GET_DUMPABLE, 0, 0, 0, 0), pidfd = -1;
	siginfo_t info;
	sigset_t old;
	pid_t pid;

	if (!stack)
		return -ENOMEM;
	dv_sys_block_signals(&old);
	pid = start(v, stack, &pidfd);
	dv_sys_set_signals(&old);
	if (pid < 0)
		return pid;
	if (dumpable == 1)
		prctl(PR_SET_DUMPABLE, 1, 0, 0, 0);
	dv_sys_wait(pidfd, 0, &info, NULL);
	dv_close(pidfd);
	return v->result;
}

/* Does init really live in our network, as it was told to? */
static int is_ours(const struct dv_ns *sb)
{
	struct stat own, its;
	char path[64];

	dv_fmt(path, sizeof(path), "/proc/%d/ns/net", (int)sb->init_pid);
	if (stat("/proc/self/ns/net", &own) < 0 || stat(path, &its) < 0)
		return -errno;
	return own.st_ino == its.st_ino && own.st_dev == its.st_dev;
}

int dv_ns_socket(const struct dv_ns *sb, int domain, int type,
		 struct dv_err *err)
{
	struct visit v = { sb->init_pidfd, domain, type, -EIO, -1 };
	int r;

	if (!sb->init_pid)
		return dv_err_sys(err, ESRCH, "enter the sandbox's network");
	if (sb->ns_flags & CLONE_NEWNET) {
		r = send_helper(&v);
		return r < 0 ? dv_err_sys(err, -r,
					  "socket in the sandbox's network")
			     : r;
	}
	r = is_ours(sb);
	if (r == 0)
		return dv_err_set(err, EPERM, DV_DENIED,
				  "the sandbox is in another network than its "
				  "keeper");
	r = r < 0 ? r : socket(domain, type | SOCK_CLOEXEC, 0);
	if (r == -1)
		r = -errno;
	return r < 0 ? dv_err_sys(err, -r, "socket") : r;
}
