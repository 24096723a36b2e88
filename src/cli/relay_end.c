/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/fmt.h"
#include "cli/relay.h"

/*
 * A description of our own for the same terminal or pipe: O_NONBLOCK on the
 * caller's one would be seen by everybody who shares it, the shell included.
 * Refused where the caller changed its user since it was opened.
 */
static int reopen(int fd, bool writing)
{
	char path[32];

	dv_fmt(path, sizeof(path), "/proc/self/fd/%d", fd);
	return open(path, (writing ? O_WRONLY : O_RDONLY) | O_NONBLOCK |
				  O_NOCTTY | O_CLOEXEC);
}

static void look(struct dv_end *end, int fd)
{
	struct stat st;
	struct statfs fs;

	if (fstat(fd, &st) < 0)
		return;
	end->pipe = S_ISFIFO(st.st_mode);
	end->socket = S_ISSOCK(st.st_mode);
	end->unique = end->socket || (end->pipe && fstatfs(fd, &fs) == 0 &&
				      fs.f_type == PIPEFS_MAGIC);
	end->ready = S_ISREG(st.st_mode) || S_ISBLK(st.st_mode) ||
		     S_ISDIR(st.st_mode);
}

int dv_end_of_caller(struct dv_end *end, int fd, bool writing)
{
	bool waits;

	look(end, fd);
	waits = end->pipe || isatty(fd);
	if (waits) {
		end->fd = reopen(fd, writing);
		if (end->fd >= 0)
			return 0;
	}
	end->fd = dv_fd_dup(fd, 3);
	if (end->fd < 0)
		return end->fd;
	end->shared = waits;
	return 0;
}

int dv_end_of_sandbox(struct dv_end *end, int fd)
{
	int r;

	end->fd = fd;
	if (fd < 0)
		return fd;
	look(end, fd);
	r = dv_fd_nonblock(fd, true);
	if (r < 0)
		end->fd = dv_close(fd);
	return r;
}
