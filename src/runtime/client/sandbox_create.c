/* SPDX-License-Identifier: MIT */
/*
 * DOC: leaving a keeper behind
 *
 *	creator		davit __keeper
 *	spawn --------> forks, and is gone: the creator waits for that
 *			   \-> in a session of its own, child of nobody here
 *	what to keep ------> starts it
 *	<------------------- how that went
 *
 * The keeper gets /dev/null, its end of the socketpair, and no other descriptor
 * of the creator's, whether that was marked close-on-exec or not.
 */
#include "runtime/client/sandbox_create.h"

#include <davit/sandbox.h>

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/def.h"
#include "base/fd.h"
#include "base/opts.h"
#include "base/path.h"
#include "runtime/client/diag.h"
#include "runtime/keeper/birth.h"
#include "runtime/keeper/keeper.h"
#include "runtime/plan/spec.h"
#include "wire/pb.h"

enum { MAPS_MAX = 4 << 20 };

extern char **environ;

/* ---- which program ------------------------------------------------------ */

/* The file that this function was loaded from: libdavit, or a program. */
static int own_file(char *out, size_t size)
{
	dv_autofree char *text = NULL;
	size_t len;
	int r = dv_read_file(AT_FDCWD, "/proc/self/maps", MAPS_MAX, &text,
			     &len);

	for (char *line = text, *next; r == 0 && *line; line = next) {
		uintptr_t from, to, at = (uintptr_t)own_file;
		char *path = strchr(line, '/'), *p;

		next = strchrnul(line, '\n');
		if (*next)
			*next++ = '\0';
		from = strtoull(line, &p, 16);
		to = *p == '-' ? strtoull(p + 1, NULL, 16) : 0;
		if (at >= from && at < to && path)
			return dv_path_join(out, size, path, "");
	}
	return r < 0 ? r : -ENOENT;
}

/* Beside it, or where programs are when it is a library. */
static bool installed(char *out, size_t size)
{
	static const char *const places[] = { "davit", "../bin/davit",
					      "../../bin/davit" };
	char dir[PATH_MAX];
	char *slash;

	if (own_file(dir, sizeof(dir)) < 0 || !(slash = strrchr(dir, '/')))
		return false;
	*slash = '\0';
	for (size_t i = 0; i < DV_ARRAY_LEN(places); i++)
		if (dv_path_join(out, size, dir, places[i]) == 0 &&
		    access(out, X_OK) == 0)
			return true;
	return false;
}

static const char *find_davit(const char *asked, char *out, size_t size)
{
	const char *env = getenv("DAVIT_KEEPER");

	if (asked)
		return asked;
	if (env && env[0])
		return env;
	return installed(out, size) ? out : "davit";
}

/* ---- the child ---------------------------------------------------------- */

static int set_attr(posix_spawnattr_t *attr)
{
	sigset_t none, all;
	int r = posix_spawnattr_init(attr);

	sigemptyset(&none);
	sigfillset(&all);
	if (r == 0)
		r = posix_spawnattr_setsigmask(attr, &none);
	if (r == 0)
		r = posix_spawnattr_setsigdefault(attr, &all);
	if (r == 0)
		r = posix_spawnattr_setflags(
			attr, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
	return r;
}

static int set_fds(posix_spawn_file_actions_t *fa, int sock)
{
	int r = posix_spawn_file_actions_init(fa);

	/* The socket first: its number may be one of the next. */
	if (r == 0)
		r = posix_spawn_file_actions_adddup2(fa, sock, DV_BIRTH_FD);
	if (r == 0)
		r = posix_spawn_file_actions_addopen(fa, 0, "/dev/null", O_RDWR,
						     0);
	for (int i = 1; r == 0 && i < 3; i++)
		r = posix_spawn_file_actions_adddup2(fa, 0, i);
	if (r == 0)
		r = posix_spawn_file_actions_addclosefrom_np(fa,
							     DV_BIRTH_FD + 1);
	return r;
}

static int spawn(const char *davit, int sock, struct dv_err *err)
{
	static char name[] = "davit", verb[] = "__keeper";
	char *argv[] = { name, verb, NULL };
	posix_spawn_file_actions_t fa;
	posix_spawnattr_t attr;
	pid_t pid = 0;
	int r = set_attr(&attr);

	if (r == 0) {
		r = set_fds(&fa, sock);
		if (r == 0)
			r = posix_spawnp(&pid, davit, &fa, &attr, argv,
					 environ);
		posix_spawn_file_actions_destroy(&fa);
		posix_spawnattr_destroy(&attr);
	}
	/* Somebody else may wait for all children: then it is gone already. */
	while (r == 0 && waitpid(pid, NULL, __WALL) < 0 && errno == EINTR)
		;
	if (r == 0)
		return 0;
	dv_err_hint(err, "DAVIT_KEEPER may name the davit command");
	return dv_err_step(err, dv_err_sys(err, r, "execute %s", davit),
			   DV_STEP_SPAWN);
}

/* A keeper that waits to be told; our end of its socket. */
static int bear(const char *asked, struct dv_err *err)
{
	const struct timeval limit = { .tv_sec = DV_BIRTH_MS / 1000 };
	char path[PATH_MAX];
	int pair[2], r;

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
		return dv_err_step(err, dv_err_sys(err, errno, "socketpair"),
				   DV_STEP_SPAWN);
	r = spawn(find_davit(asked, path, sizeof(path)), pair[1], err);
	dv_close(pair[1]);
	/* What is sent may be more than a socket holds. */
	if (r == 0 && setsockopt(pair[0], SOL_SOCKET, SO_SNDTIMEO, &limit,
				 sizeof(limit)) < 0)
		r = dv_err_step(err, dv_err_sys(err, errno, "setsockopt"),
				DV_STEP_SPAWN);
	if (r == 0)
		return pair[0];
	dv_close(pair[0]);
	return r;
}

/* ---- what is said ------------------------------------------------------- */

static int no_answer(struct dv_err *err)
{
	dv_err_hint(err, "out of memory, or killed from outside");
	return dv_err_step(err,
			   dv_err_set(err, ECONNRESET, DV_ABORTED,
				      "the keeper went without a word"),
			   DV_STEP_SPAWN);
}

int dv_keeper_unborn(struct dv_err *err)
{
	return dv_err_step(err,
			   dv_err_set(err, ETIMEDOUT, DV_DEADLINE,
				      "the keeper did not answer within %d s",
				      DV_BIRTH_MS / 1000),
			   DV_STEP_SPAWN);
}

/* Without a signal, also into a socket whose other end has gone. */
static int send_all(int fd, const void *data, size_t len)
{
	const char *at = data;

	while (len > 0) {
		ssize_t n = send(fd, at, len, MSG_NOSIGNAL);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		at += n;
		len -= (size_t)n;
	}
	return 0;
}

static int send_kept(int fd, const dv_KeptSandbox *kept, struct dv_err *err)
{
	dv_autobuf out = DV_BUF_INIT(DV_STORE_KEPT_MAX + 4);
	uint8_t *len;
	int r;

	if (!dv_buf_room(&out, 4))
		return dv_err_sys(err, ENOMEM, "keep a sandbox");
	dv_buf_add(&out, 4);
	r = dv_pb_encode(dv_KeptSandbox_fields, kept, &out, err);
	if (r < 0)
		return dv_err_step(err, r, DV_STEP_CONFIG);
	len = (uint8_t *)out.data;
	dv_put_le32(len, (uint32_t)(out.len - 4));
	r = send_all(fd, out.data, out.len);
	if (r == -EAGAIN)
		return dv_keeper_unborn(err);
	return r < 0 ? no_answer(err) : 0;
}

static int take_answer(const struct dv_birth *b, char *id, struct dv_err *err)
{
	if (b->magic != DV_BIRTH_MAGIC)
		return dv_err_set(err, EPROTO, DV_INTERNAL,
				  "the keeper is of another version");
	if (b->r == 0) {
		memcpy(id, b->id, DV_SANDBOX_ID_LEN);
		id[DV_SANDBOX_ID_LEN] = '\0';
		return 0;
	}
	if (err) {
		*err = b->err;
		err->msg[sizeof(err->msg) - 1] = '\0';
		err->hint[sizeof(err->hint) - 1] = '\0';
	}
	return b->r < 0 ? b->r : -EPROTO;
}

int dv_keeper_born(int fd, struct dv_err *err)
{
	char id[DV_SANDBOX_ID_LEN + 1];
	struct dv_birth b;
	/* Of one message sent at once there is all or nothing. */
	ssize_t n = recv(fd, &b, sizeof(b), MSG_DONTWAIT);

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return DV_MORE;
	if (n != (ssize_t)sizeof(b))
		return no_answer(err);
	return take_answer(&b, id, err);
}

static int await_birth(int fd, char *id, struct dv_err *err)
{
	struct pollfd p = { fd, POLLIN, 0 };
	uint64_t until = dv_now_ns() + DV_BIRTH_MS * UINT64_C(1000000);
	struct dv_birth b;
	int r;

	do {
		uint64_t now = dv_now_ns();

		r = poll(&p, 1,
			 now < until ? (int)((until - now) / 1000000) + 1 : 0);
	} while (r < 0 && errno == EINTR);
	if (r == 0)
		return dv_keeper_unborn(err);
	if (dv_read_full(fd, &b, sizeof(b)) != sizeof(b))
		return no_answer(err);
	return take_answer(&b, id, err);
}

int dv_keeper_bear(const char *id, struct dv_err *err)
{
	dv_KeptSandbox kept = dv_KeptSandbox_init_zero;
	char text[DV_SANDBOX_ID_LEN + 1];
	dv_autofd int fd = bear(NULL, err);
	int r;

	if (fd < 0)
		return fd;
	memcpy(text, id, sizeof(text));
	kept.id = text;
	r = send_kept(fd, &kept, err); /* short: it never blocks */
	if (r == 0)
		r = dv_fd_nonblock(fd, true);
	return r < 0 ? r : dv_take_fd(&fd);
}

/* ---- a new one ---------------------------------------------------------- */

/* The caller's environment and directory go along: it is started again there.
 */
static int send_new(int fd, dv_KeptSandbox *kept, struct dv_err *err)
{
	char cwd[PATH_MAX];
	size_t n = 0;
	int r;

	while (environ && environ[n])
		n++;
	if (n > DV_PLAN_ARGS_MAX)
		return dv_spec_too_many(DV_PLAN_ARGS_MAX, "variables", err);
	kept->has_spec = kept->has_keep = true;
	kept->keep.detached = true;
	kept->environ = environ;
	kept->environ_count = (pb_size_t)n;
	/* One that was removed is shown nowhere: it runs in /. */
	kept->cwd = getcwd(cwd, sizeof(cwd));
	r = send_kept(fd, kept, err);
	kept->environ = NULL;
	kept->environ_count = 0;
	kept->cwd = NULL;
	return r;
}

static int create(const dv_KeptSandbox *of, const char *davit, char *id,
		  struct dv_err *err)
{
	dv_KeptSandbox kept = *of;
	dv_autofd int fd = bear(davit, err);
	int r;

	if (fd < 0)
		return fd;
	r = send_new(fd, &kept, err);
	/* One that refused has said why, and did not read to the end. */
	if (r == 0 || r == -ECONNRESET)
		r = await_birth(fd, id, err);
	return r;
}

int dv_sandbox_create(struct dv_sandbox **sbp, const struct dv_spec *spec,
		      const struct dv_sandbox_keep *keep,
		      const struct dv_sandbox_opts *opts, struct dv_err *err)
{
	struct dv_sandbox_keep k = DV_SANDBOX_KEEP_INIT;
	dv_KeptSandbox kept = dv_KeptSandbox_init_zero;
	char id[DV_SANDBOX_ID_LEN + 1];
	int r = keep ? dv_opts_copy(&k, sizeof(k), keep, err) : 0;

	if (r < 0)
		return dv_err_step(err, r, DV_STEP_CONFIG);
	if (k.n_doors)
		return dv_err_step(err,
				   dv_err_set(err, EINVAL, DV_INVALID,
					      "sockets cannot be left behind"),
				   DV_STEP_CONFIG);
	if (k.log)
		return dv_err_step(err,
				   dv_err_set(err, EINVAL, DV_INVALID,
					      "a log of the caller's cannot "
					      "be left behind"),
				   DV_STEP_CONFIG);
	r = dv_spec_encode(spec, &kept.spec, err);
	if (r == 0)
		r = dv_keep_encode(&k, &kept.keep, err);
	if (r == 0)
		r = create(&kept, k.davit, id, err);
	dv_pb_release(dv_KeptSandbox_fields, &kept);
	return r < 0 ? r : dv_sandbox_open(sbp, id, opts, err);
}
