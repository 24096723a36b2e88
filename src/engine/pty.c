/* SPDX-License-Identifier: MIT */
#include "engine/pty.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <linux/major.h>
#include <stdbool.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "base/fd.h"

/* Of /dev/ptmx, beside TTYAUX_MAJOR. */
enum { PTMX_MINOR = 2 };

/* In a running sandbox /dev belongs to the workload: make sure it is a pty. */
static bool is_ptmx(int fd)
{
	struct statfs fs;
	struct stat st;

	if (fstatfs(fd, &fs) == 0 && fs.f_type == DEVPTS_SUPER_MAGIC)
		return true;
	return fstat(fd, &st) == 0 && S_ISCHR(st.st_mode) &&
	       st.st_rdev == makedev(TTYAUX_MAJOR, PTMX_MINOR);
}

/*
 * A host's own devpts is often mounted with a ptmx that only root may open; the
 * device beside it is for everybody.
 */
static int open_ptmx(struct dv_err *err)
{
	int flags = O_RDWR | O_NOCTTY | O_CLOEXEC | O_NOFOLLOW;
	int fd = open("/dev/pts/ptmx", flags), e = errno;

	if (fd < 0 && e == EACCES)
		fd = open("/dev/ptmx", flags);
	return fd < 0 ? dv_err_sys(err, e, "open /dev/pts/ptmx") : fd;
}

/*
 * Where our caller has closed its own, a file gets the number of stdio, and
 * would be closed or replaced when the terminal is put there. @fd is consumed.
 */
static int above_stdio(int fd, struct dv_err *err)
{
	int copy, e;

	if (fd > STDERR_FILENO)
		return fd;
	copy = dv_fd_dup(fd, STDERR_FILENO + 1);
	e = -copy;
	dv_close(fd);
	return copy < 0 ? dv_err_sys(err, e, "move pty") : copy;
}

static int open_master(struct dv_err *err)
{
	int unlock = 0, fd = open_ptmx(err);

	if (fd < 0)
		return fd;
	if (!is_ptmx(fd)) {
		dv_close(fd);
		return dv_err_set(err, ENOTTY, DV_PRECONDITION,
				  "/dev/pts/ptmx is not a terminal device");
	}
	if (ioctl(fd, TIOCSPTLCK, &unlock) < 0) {
		int e = errno;

		dv_close(fd);
		return dv_err_sys(err, e, "unlock pty");
	}
	return above_stdio(fd, err);
}

static int open_slave(const dv_Process *p, int master, struct dv_err *err)
{
	struct winsize size = {
		.ws_row = (unsigned short)p->rows,
		.ws_col = (unsigned short)p->cols,
	};
	int fd = ioctl(master, TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC);

	if (fd < 0)
		return dv_err_sys(err, errno, "open pty");
	if (p->rows && ioctl(fd, TIOCSWINSZ, &size) < 0)
		return dv_err_sys(err, errno, "set terminal size");
	if (p->has_ids && fchown(fd, p->ids.uid, (gid_t)-1) < 0)
		return dv_err_sys(err, errno, "give pty to uid %u", p->ids.uid);
	return above_stdio(fd, err);
}

/* A plan may keep one of the three apart, stderr in a file for example. */
static bool is_placed(const dv_Process *p, int fd)
{
	for (pb_size_t i = 0; i < p->fds_count; i++)
		if ((int)p->fds[i].target == fd)
			return true;
	return false;
}

int dv_pty_become_terminal(const dv_Process *p, int sock, struct dv_err *err)
{
	dv_autofd int master = open_master(err);
	int slave, r;

	if (master < 0)
		return master;
	slave = open_slave(p, master, err);
	if (slave < 0)
		return slave;
	r = dv_send_fd(sock, master);
	if (r < 0)
		return dv_err_sys(err, -r, "hand over pty");
	if (ioctl(slave, TIOCSCTTY, 0) < 0)
		return dv_err_sys(err, errno, "set controlling terminal");
	for (int fd = 0; fd <= 2; fd++)
		if (!is_placed(p, fd) && dup2(slave, fd) < 0)
			return dv_err_sys(err, errno, "descriptor %d", fd);
	return 0;
}
