/* SPDX-License-Identifier: MIT */
#include "engine/init.h"

#include <errno.h>
#include <net/if.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/fd.h"
#include "engine/child.h"
#include "engine/mounts.h"
#include "engine/sys.h"

/* The descriptors that init keeps. */
enum { LIFELINE = 0, FIRST = 1 };

/*
 * The command line of init is the keeper's, and every process of the sandbox
 * may read /proc/1/cmdline: it would show host paths and options. The C library
 * passes argv to constructors of libraries, too.
 */
static char *cmdline, *cmdline_last;
/* The same for /proc/1/environ, where CAP_SYS_PTRACE was given to a process of
 * the sandbox: what the keeper was told is not what its command was told. */
static char *environ_start, *environ_last;

__attribute__((constructor)) static void find_cmdline(int argc, char **argv,
						      char **envp)
{
	if (argc < 1 || !argv || !argv[0])
		return;
	cmdline = argv[0];
	cmdline_last = argv[argc - 1];
	if (!envp || !envp[0])
		return;
	environ_start = envp[0];
	while (*envp)
		environ_last = *envp++;
}

/* The strings from @first to @last lie side by side; the length of all. */
static size_t overwrite(char *first, const char *last)
{
	size_t len = (size_t)(last - first) + strlen(last);

	memset(first, 0, len);
	return len;
}

static void hide_cmdline(void)
{
	static const char name[] = "davit-init";
	size_t len;

	prctl(PR_SET_NAME, name, 0, 0, 0);
	if (environ_start)
		overwrite(environ_start, environ_last);
	if (!cmdline)
		return;
	len = overwrite(cmdline, cmdline_last);
	memcpy(cmdline, name, len < sizeof(name) ? len : sizeof(name) - 1);
}

static int loopback_up(struct dv_err *err)
{
	struct ifreq req = { .ifr_name = "lo" };
	dv_autofd int sock = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	if (sock < 0)
		return dv_err_sys(err, errno, "socket for the loopback");
	req.ifr_flags = IFF_UP | IFF_RUNNING;
	if (ioctl(sock, SIOCSIFFLAGS, &req) < 0)
		return dv_err_sys(err, errno, "bring the loopback up");
	return 0;
}

/*
 * A network namespace costs more than all others together. Made here and not by
 * the clone, it is built while the keeper and its helper go on.
 */
static int set_up(struct dv_init *in, struct dv_err *err)
{
	const dv_Isolation *iso = in->iso;
	int r = 0;

	if ((iso->namespaces & dv_NS_NET) && unshare(CLONE_NEWNET) < 0)
		r = dv_err_sys(err, errno, "create a network namespace");
	dv_ctl_mark(in->ctl, "init: network namespace");
	if (r == 0 && iso->loopback_up)
		r = loopback_up(err);
	dv_err_step(err, r, DV_STEP_NET);
	dv_ctl_mark(in->ctl, "init: loopback");
	if (r == 0 && iso->hostname && iso->hostname[0] &&
	    sethostname(iso->hostname, strlen(iso->hostname)) < 0)
		r = dv_err_step(err,
				dv_err_sys(err, errno, "set hostname %s",
					   iso->hostname),
				DV_STEP_PROCESS);
	if (r == 0 && iso->has_root)
		r = dv_mounts_prepare(iso, in->ctl, err);
	/* Whoever enters the root moves our root, and our directory if it is
	 * the same; any other would keep the host's mounts alive. */
	if (r == 0 && chdir("/") < 0)
		r = dv_err_step(err, dv_err_sys(err, errno, "enter /"),
				DV_STEP_SPAWN);
	return r;
}

/*
 * The end of the first process is the end of a sandbox that is for it alone: we
 * need not wait to be told. It is the second that was born here, and if it is
 * not there yet, the life line does.
 */
static int watch_first(const struct dv_init *in)
{
	int fd = in->ends_with_first ? dv_sys_pidfd_open(2) : -1;

	return fd < 0 || fd == FIRST ? fd : dup2(fd, FIRST);
}

/*
 * From here on nothing is left but to hold the life line. Orphans become our
 * children; with SIGCHLD ignored the kernel reaps them itself, and PID 1 gets
 * no signal from its own namespace that it has no handler for.
 */
static _Noreturn void hold(struct dv_init *in)
{
	struct pollfd ends[] = { [LIFELINE] = { LIFELINE, POLLIN, 0 },
				 [FIRST] = { FIRST, POLLIN, 0 } };
	struct dv_err err = DV_ERR_INIT;
	int n = 1;

	signal(SIGCHLD, SIG_IGN);
	/* Closing `ready` is what the helper waits for. */
	atomic_store(&in->ctl->ready, 1);
	if (in->lifeline != LIFELINE && dup2(in->lifeline, LIFELINE) < 0)
		n = 0;
	else if (watch_first(in) == FIRST)
		n = 2;
	if (n == 0 || close_range((unsigned int)n, ~0U, 0) < 0) {
		atomic_store(&in->ctl->ready, 0);
		int r = dv_err_sys(&err, errno, "close what init inherited");

		dv_err_step(&err, r, DV_STEP_SPAWN);
		dv_child_fail(in->err_fd, &err);
	}
	/* Nobody writes: whatever happens is the end. */
	while (poll(ends, (nfds_t)n, -1) < 0)
		;
	dv_child_end(0);
}

/*
 * Init stays dumpable, or an ordinary user's helpers could not enter its
 * namespaces. It is out of reach for the workload all the same: it holds every
 * capability of the user namespace, and who wants to trace it or read its
 * /proc files must hold as many, or CAP_SYS_PTRACE.
 */
_Noreturn void dv_init_main(struct dv_init *in)
{
	struct dv_err err = DV_ERR_INIT;

	dv_ctl_mark(in->ctl, "init: start");
	if (in->watch_parent)
		prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
	dv_child_reset_signals();
	setsid();
	if (set_up(in, &err) < 0)
		dv_child_fail(in->err_fd, &err);
	hide_cmdline();
	hold(in);
}
