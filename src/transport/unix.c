/* SPDX-License-Identifier: MIT */
/*
 * DOC: taking over a stale socket
 *
 * A socket file outlives its owner. connect() to it is refused then, but also
 * in the moment between the bind() and the listen() of somebody who is just
 * starting, and no call removes a name only if it still means the same file. So
 * from bind() to listen() a starter holds a lock on the directory, which leaves
 * no file behind and takes microseconds. Anybody who may read a directory may
 * lock it for as long as he likes: after LOCK_WAIT_MS it is done without, and
 * then two that start at the same moment may not notice each other.
 */
#include "transport/unix.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "base/def.h"
#include "base/fd.h"
#include "base/fmt.h"

enum {
	BACKLOG = 4096, /* as in listener.c, which sets it again */
	TRIES = 4,      /* replacing what others keep putting there */
	LOCK_WAIT_MS = 100,
};

static int set_addr(struct sockaddr_un *sa, const char *path,
		    struct dv_err *err)
{
	size_t len = strlen(path);

	*sa = (struct sockaddr_un){ .sun_family = AF_UNIX };
	if (len == 0)
		return dv_err_set(err, EINVAL, DV_INVALID,
				  "empty path of a socket");
	if (len >= sizeof(sa->sun_path)) {
		dv_err_sys(err, ENAMETOOLONG, "socket %s", path);
		dv_err_hint(err,
			    "a socket's path has at most %zu bytes, this "
			    "one has %zu: change directory and use a "
			    "shorter one",
			    sizeof(sa->sun_path) - 1, len);
		return -ENAMETOOLONG;
	}
	memcpy(sa->sun_path, path, len + 1);
	return 0;
}

static int new_socket(int flags)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | flags, 0);

	return fd < 0 ? -errno : fd;
}

/* ---- connect ---------------------------------------------------------- */

static int connect_to(int fd, const struct sockaddr_un *sa)
{
	int r;

	do
		r = connect(fd, (const struct sockaddr *)sa, sizeof(*sa));
	while (r < 0 && errno == EINTR);
	return r < 0 ? -errno : 0;
}

static void hint_connect(struct dv_err *err, int sys, const char *path)
{
	struct stat st;

	if (sys == ENOENT)
		dv_err_hint(err, "nothing listens there (yet): is it running, "
				 "and is the path right?");
	else if (sys == ECONNREFUSED && stat(path, &st) == 0 &&
		 !S_ISSOCK(st.st_mode))
		dv_err_hint(err, "it is no socket");
	else if (sys == ECONNREFUSED)
		dv_err_hint(err, "nobody listens on it any more: its owner "
				 "has ended");
	else if (sys == EACCES)
		dv_err_hint(err, "it belongs to another user");
	else if (sys == EPROTOTYPE)
		dv_err_hint(err, "it is not a stream socket");
}

int dv_unix_connect(const char *path, struct dv_err *err)
{
	struct sockaddr_un sa;
	dv_autofd int fd = -1;
	int r = set_addr(&sa, path, err);

	if (r < 0)
		return r;
	fd = new_socket(SOCK_NONBLOCK);
	r = fd < 0 ? fd : connect_to(fd, &sa);
	if (r == 0)
		return dv_take_fd(&fd);
	dv_err_sys(err, -r, "connect to %s", path);
	hint_connect(err, -r, path);
	return r;
}

/* ---- bind ------------------------------------------------------------- */

/* True only when it is certain that nobody listens on @path. */
static bool is_dead(const char *path)
{
	struct sockaddr_un sa;
	dv_autofd int fd = new_socket(SOCK_NONBLOCK);

	return fd >= 0 && set_addr(&sa, path, NULL) == 0 &&
	       connect_to(fd, &sa) == -ECONNREFUSED;
}

static int in_use(const char *path, struct dv_err *err)
{
	dv_err_sys(err, EADDRINUSE, "listen on %s", path);
	dv_err_hint(err, "another process listens there");
	return -EADDRINUSE;
}

/* Remove the socket file @path if it is a dead one. */
static int remove_stale(const char *path, struct dv_err *err)
{
	struct stat st;

	if (lstat(path, &st) < 0)
		return errno == ENOENT
			       ? 0
			       : dv_err_sys(err, errno, "stat %s", path);
	if (!S_ISSOCK(st.st_mode))
		return dv_err_set(err, EEXIST, DV_EXISTS,
				  "listen on %s: it exists and is no socket",
				  path);
	if (!is_dead(path))
		return in_use(path, err);
	if (unlink(path) < 0 && errno != ENOENT)
		return dv_err_sys(err, errno, "replace stale socket %s", path);
	return 0;
}

static int bind_to(int fd, const struct sockaddr_un *sa, mode_t mode,
		   struct dv_err *err)
{
	const char *path = sa->sun_path;

	/* The mode of a socket's file is that of its descriptor, less the
	 * umask: never more than wanted, so the order below is safe. */
	if (fchmod(fd, mode) < 0)
		return dv_err_sys(err, errno, "change mode of a socket");
	for (int i = 0; i < TRIES; i++) {
		int r;

		if (bind(fd, (const struct sockaddr *)sa, sizeof(*sa)) == 0)
			return 0;
		if (errno != EADDRINUSE)
			return dv_err_sys(err, errno, "bind %s", path);
		r = remove_stale(path, err);
		if (r < 0)
			return r;
	}
	return in_use(path, err);
}

/* The directory of @path, locked; -1 = it has to be done without. */
static int lock_dir(const char *path)
{
	static const struct timespec ms = { 0, 1000000 };
	char dir[sizeof(((struct sockaddr_un *)0)->sun_path)];
	const char *slash = strrchr(path, '/');
	dv_autofd int fd = -1;

	if (slash)
		dv_fmt(dir, sizeof(dir), "%.*s", (int)(slash - path) + 1, path);
	fd = open(slash ? dir : ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	for (int i = 0; fd >= 0 && i < LOCK_WAIT_MS; i++) {
		if (flock(fd, LOCK_EX | LOCK_NB) == 0)
			return dv_take_fd(&fd);
		if (errno != EWOULDBLOCK)
			break;
		nanosleep(&ms, NULL); /* flock() knows no time-out */
	}
	return -1;
}

/* Give a bound socket its mode, and listen. */
static int make_live(int fd, const char *path, mode_t mode, struct stat *stp)
{
	if (lstat(path, stp) < 0)
		return -errno;
	if ((stp->st_mode & 0777) != mode && chmod(path, mode) < 0)
		return -errno;
	return listen(fd, BACKLOG) < 0 ? -errno : 0;
}

static int bind_and_stat(const char *path, uint32_t flags, struct stat *stp,
			 struct dv_err *err)
{
	mode_t mode = flags & DV_LISTEN_ALL ? 0666 : 0600;
	dv_autofd int fd = -1, lock = -1;
	struct sockaddr_un sa;
	int r = set_addr(&sa, path, err);

	if (r < 0)
		return r;
	fd = new_socket(0);
	if (fd < 0)
		return dv_err_sys(err, -fd, "make a socket for %s", path);
	lock = lock_dir(path);
	(void)lock; /* only held */
	r = bind_to(fd, &sa, mode, err);
	if (r < 0)
		return r;
	r = make_live(fd, path, mode, stp);
	if (r < 0) {
		unlink(path);
		return dv_err_sys(err, -r, "listen on %s", path);
	}
	return dv_take_fd(&fd);
}

int dv_unix_bind(const char *path, uint32_t flags, struct dv_err *err)
{
	struct stat st;

	return bind_and_stat(path, flags, &st, err);
}

int dv_unix_listen(struct dv_listener *l, struct dv_loop *loop,
		   const char *path, uint32_t flags, dv_accept_fn *fn,
		   struct dv_err *err)
{
	dv_autofree char *copy = strdup(path);
	struct stat st = { 0 };
	int fd, r;

	if (!copy)
		return dv_err_sys(err, ENOMEM, "listen on %s", path);
	fd = bind_and_stat(path, flags, &st, err);
	if (fd < 0)
		return fd;
	l->path = dv_take_ptr(&copy);
	l->dev = st.st_dev;
	l->ino = st.st_ino;
	r = dv_listener_start(l, loop, fd, flags, fn, err);
	return dv_err_wrap(err, r, "listen on %s", path);
}
