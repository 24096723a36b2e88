/* SPDX-License-Identifier: MIT */
#include "runtime/plan/doctor.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/mount.h>
#include <sched.h>
#include <signal.h>
#include <stddef.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/fmt.h"

enum { PROBE_DEADLINE_S = 2 };

static int sys(long r)
{
	return r < 0 ? errno : 0;
}

static int put(const char *path, const char *text)
{
	return -dv_write_file(AT_FDCWD, path, text, strlen(text));
}

static int map_id(const char *path, unsigned int id)
{
	char line[48];

	dv_fmt(line, sizeof(line), "%u %u 1", id, id);
	return put(path, line);
}

/* Both ids are taken before the namespace, where they are still known. */
static int enter_user(void)
{
	unsigned int uid = geteuid(), gid = getegid();
	int r = sys(unshare(CLONE_NEWUSER));

	if (r == 0)
		r = map_id("/proc/self/uid_map", uid);
	if (r == 0)
		r = put("/proc/self/setgroups", "deny");
	if (r == 0)
		r = map_id("/proc/self/gid_map", gid);
	return r;
}

/* Directories for an overlay on the tmpfs that is mounted on /tmp here. */
static int try_overlay(void)
{
	if (mkdir("/tmp/u", 0700) < 0 || mkdir("/tmp/w", 0700) < 0 ||
	    mkdir("/tmp/l", 0700) < 0 || mkdir("/tmp/m", 0700) < 0)
		return errno;
	return sys(mount("overlay", "/tmp/m", "overlay", 0,
			 "lowerdir=/tmp/l,upperdir=/tmp/u,workdir=/tmp/w,"
			 "userxattr"));
}

static int try_setattr(void)
{
	struct mount_attr attr = { .attr_set = MOUNT_ATTR_RDONLY };
	int fd = (int)syscall(SYS_open_tree, AT_FDCWD, "/usr",
			      OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC |
				      AT_RECURSIVE);

	if (fd < 0)
		return errno;
	return sys(syscall(SYS_mount_setattr, fd, "",
			   AT_EMPTY_PATH | AT_RECURSIVE, &attr, sizeof(attr)));
}

/* A new proc needs a new pid namespace, which only a child is in. */
static int try_proc(void)
{
	int status = 0;
	pid_t pid = fork();

	if (pid < 0)
		return errno;
	if (pid == 0)
		_exit(sys(mount("proc", "/proc", "proc",
				MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL)));
	if (waitpid(pid, &status, 0) < 0)
		return errno;
	return WIFEXITED(status) ? WEXITSTATUS(status) : EIO;
}

static void try_all(struct dv_probe *p)
{
	p->user = enter_user();
	if (p->user)
		return;
	p->spaces = sys(unshare(CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWIPC |
				CLONE_NEWUTS | CLONE_NEWNET | CLONE_NEWCGROUP));
	if (p->spaces)
		return;
	if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0) {
		p->tmpfs = errno;
		return;
	}
	p->setattr = try_setattr();
	p->tmpfs = sys(mount("tmpfs", "/tmp", "tmpfs", 0, NULL));
	if (p->tmpfs == 0)
		p->overlay = try_overlay();
	p->proc = try_proc();
}

int dv_doctor_probe(struct dv_probe *probe)
{
	dv_autofd int rd = -1, wr = -1;
	int fds[2], r = dv_pipe(fds);
	ssize_t n;
	pid_t pid;

	if (r < 0)
		return r;
	rd = fds[0];
	wr = fds[1];
	pid = fork();
	if (pid < 0)
		return -errno;
	if (pid == 0) {
		signal(SIGALRM, SIG_DFL);
		alarm(PROBE_DEADLINE_S); /* a mount can hang */
		try_all(probe);
		n = write(wr, probe, sizeof(*probe));
		_exit(n != (ssize_t)sizeof(*probe));
	}
	wr = dv_close(wr); /* NOLINT(clang-analyzer-deadcode.DeadStores) */
	n = dv_read_full(rd, probe, sizeof(*probe));
	while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
		;
	if (n == (ssize_t)sizeof(*probe))
		return 0;
	*probe = (struct dv_probe)DV_PROBE_INIT;
	return -EIO;
}
