/* SPDX-License-Identifier: MIT */
#include "transport/unix.h"

#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>

#include "transport/dial.h"
#include "transport/try.h"
#include "transport/vsock.h"

enum { FDS_MAX = 64 };

struct server {
	struct dv_listener l;
	struct dv_loop *loop;
	char dir[32], path[108];
	int fds[FDS_MAX], n_fds;
	struct dv_peer peer;
	bool close_inside, pause_inside;
};

static void on_accept(struct dv_listener *l, int fd, struct dv_peer *peer)
{
	struct server *s = dv_container_of(l, struct server, l);

	CHECK(s->n_fds < FDS_MAX);
	s->fds[s->n_fds++] = fd;
	s->peer = *peer;
	s->peer.pidfd = -1;
	if (s->pause_inside)
		dv_listener_pause(l);
	if (s->close_inside)
		dv_listener_close(l);
}

static void server_begin(struct server *s, uint32_t flags)
{
	*s = (struct server){ .l = DV_LISTENER_INIT };
	try_mkdir(s->dir);
	try_path(s->path, s->dir, "sock");
	CHECK_EQ(dv_loop_new(&s->loop), 0);
	CHECK_EQ(
		dv_unix_listen(&s->l, s->loop, s->path, flags, on_accept, NULL),
		0);
}

static void server_end(struct server *s)
{
	dv_listener_close(&s->l);
	for (int i = 0; i < s->n_fds; i++)
		dv_close(s->fds[i]);
	dv_loop_free(s->loop);
	try_rmdir(s->dir);
}

TEST(listen_accepts_and_names_the_peer)
{
	struct server s;
	int fd;

	server_begin(&s, 0);
	fd = dv_unix_connect(s.path, NULL);
	CHECK(fd >= 0);
	TRY_UNTIL(s.loop, s.n_fds == 1);
	CHECK_EQ(s.peer.uid, getuid());
	CHECK_EQ(s.peer.gid, getgid());
	CHECK_EQ(s.peer.pid, getpid());
	CHECK_EQ(s.peer.cid, DV_CID_NONE);
	CHECK_EQ(dv_write(fd, "x", 1), 1);
	close(fd);
	server_end(&s);
}

TEST(peer_get_pidfd_leads_to_the_process)
{
	struct dv_peer peer;
	char link[64], text[256];
	dv_autofree char *info = NULL;
	int sv[2];

	CHECK_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sv), 0);
	dv_peer_get(sv[0], true, &peer);
	close(sv[0]);
	close(sv[1]);
	if (peer.pidfd < 0)
		SKIP("no SO_PEERPIDFD in this kernel");
	snprintf(link, sizeof(link), "/proc/self/fdinfo/%d", peer.pidfd);
	CHECK_EQ(dv_read_file(AT_FDCWD, link, 4096, &info, NULL), 0);
	snprintf(text, sizeof(text), "Pid:\t%d\n", getpid());
	CHECK(strstr(info, text));
	CHECK(fcntl(peer.pidfd, F_GETFD) & FD_CLOEXEC);
	close(peer.pidfd);
}

TEST(listen_is_private_whatever_the_umask_is)
{
	static const struct {
		uint32_t flags;
		mode_t umask, mode;
	} rows[] = {
		{ 0, 0, 0600 },
		{ 0, 0277, 0600 },
		{ DV_LISTEN_ALL, 077, 0666 },
	};

	for (size_t i = 0; i < DV_ARRAY_LEN(rows); i++) {
		mode_t old = umask(rows[i].umask);
		struct server s;
		struct stat st;

		umask(old);
		s = (struct server){ .l = DV_LISTENER_INIT };
		try_mkdir(s.dir);
		try_path(s.path, s.dir, "sock");
		CHECK_EQ(dv_loop_new(&s.loop), 0);
		umask(rows[i].umask);
		CHECK_EQ(dv_unix_listen(&s.l, s.loop, s.path, rows[i].flags,
					on_accept, NULL),
			 0);
		umask(old);
		CHECK_EQ(stat(s.path, &st), 0);
		CHECK_EQ(st.st_mode & 0777, rows[i].mode);
		server_end(&s);
	}
}

TEST(listen_close_removes_only_its_own_file)
{
	struct server s;

	server_begin(&s, 0);
	dv_listener_close(&s.l);
	CHECK_EQ(access(s.path, F_OK), -1);
	CHECK_EQ(dv_unix_listen(&s.l, s.loop, s.path, 0, on_accept, NULL), 0);
	CHECK_EQ(unlink(s.path), 0);
	CHECK_EQ(symlink("/nowhere", s.path), 0);
	server_end(&s);
}

TEST(bind_stale_socket_is_replaced_and_nothing_is_left)
{
	char dir[32], path[108];
	int fd;

	try_mkdir(dir);
	try_path(path, dir, "s");
	fd = dv_unix_bind(path, 0, NULL);
	CHECK(fd >= 0);
	close(fd);
	CHECK_EQ(access(path, F_OK), 0);
	fd = dv_unix_bind(path, 0, NULL);
	CHECK(fd >= 0);
	close(fd);
	unlink(path);
	CHECK_EQ(rmdir(dir), 0);
}

TEST(bind_live_socket_is_refused)
{
	struct dv_err err = DV_ERR_INIT;
	struct server s;

	server_begin(&s, 0);
	CHECK_EQ(dv_unix_bind(s.path, 0, &err), -EADDRINUSE);
	CHECK(strstr(err.msg, s.path));
	CHECK(err.hint[0]);
	CHECK_EQ(access(s.path, F_OK), 0);
	server_end(&s);
}

TEST(bind_other_files_are_left_alone)
{
	char dir[32], path[108];
	struct dv_err err = DV_ERR_INIT;
	struct stat st;

	try_mkdir(dir);
	try_path(path, dir, "file");
	CHECK_EQ(dv_replace_file(AT_FDCWD, path, "keep", 4, 0600), 0);
	CHECK_EQ(dv_unix_bind(path, 0, &err), -EEXIST);
	CHECK_EQ(stat(path, &st), 0);
	CHECK_EQ(st.st_size, 4);
	try_path(path, dir, "link");
	CHECK_EQ(symlink("/nowhere", path), 0);
	CHECK_EQ(dv_unix_bind(path, 0, &err), -EEXIST);
	try_path(path, dir, "no/dir");
	CHECK_EQ(dv_unix_bind(path, 0, &err), -ENOENT);
	try_rmdir(dir);
}

TEST(bind_two_starters_on_a_stale_socket_one_wins)
{
	enum { STARTERS = 8, ROUNDS = 20 };
	char dir[32], path[108];

	try_mkdir(dir);
	try_path(path, dir, "s");
	for (int round = 0; round < ROUNDS; round++) {
		int stale = dv_unix_bind(path, 0, NULL), go[2], done[2];
		struct dv_peer peer;
		int n_won = 0, fd;
		char c;

		CHECK(stale >= 0);
		close(stale);
		CHECK_EQ(dv_pipe(go), 0);
		CHECK_EQ(dv_pipe(done), 0);
		for (int i = 0; i < STARTERS; i++) {
			if (fork() != 0)
				continue;
			close(go[1]);
			dv_read(go[0], &c, 1); /* all start at its end */
			fd = dv_unix_bind(path, 0, NULL);
			c = fd >= 0;
			dv_write(done[1], &c, 1);
			close(done[1]);
			while (c)
				pause(); /* a winner stays alive */
			_exit(0);
		}
		close(go[0]);
		close(go[1]);
		close(done[1]);
		for (int i = 0; i < STARTERS; i++) {
			CHECK_EQ(dv_read(done[0], &c, 1), 1);
			n_won += c;
		}
		close(done[0]);
		fd = dv_unix_connect(path, NULL);
		CHECK_EQ(n_won, 1);
		CHECK(fd >= 0);
		dv_peer_get(fd, false, &peer);
		close(fd);
		CHECK(peer.pid > 0);
		kill(peer.pid, SIGKILL);
		while (waitpid(-1, NULL, 0) > 0)
			;
	}
	unlink(path);
	CHECK_EQ(rmdir(dir), 0);
}

TEST(path_too_long_is_refused_with_a_hint)
{
	char path[200];
	struct dv_err err = DV_ERR_INIT;
	struct dv_listener l = DV_LISTENER_INIT;
	struct dv_loop *loop;

	memset(path, 'a', sizeof(path));
	path[0] = '/';
	path[108] = '\0';
	CHECK_EQ(dv_unix_bind(path, 0, &err), -ENAMETOOLONG);
	CHECK(strstr(err.hint, "107"));
	CHECK_EQ(dv_unix_connect(path, &err), -ENAMETOOLONG);
	CHECK_EQ(dv_loop_new(&loop), 0);
	CHECK_EQ(dv_unix_listen(&l, loop, path, 0, on_accept, &err),
		 -ENAMETOOLONG);
	dv_loop_free(loop);
	CHECK_EQ(dv_unix_bind("", 0, &err), -EINVAL);
}

TEST(connect_failures_have_hints)
{
	char dir[32], path[108];
	struct dv_err err = DV_ERR_INIT;
	int fd;

	try_mkdir(dir);
	try_path(path, dir, "s");
	CHECK_EQ(dv_unix_connect(path, &err), -ENOENT);
	CHECK(err.hint[0]);
	fd = dv_unix_bind(path, 0, NULL);
	CHECK(fd >= 0);
	close(fd);
	CHECK_EQ(dv_unix_connect(path, &err), -ECONNREFUSED);
	CHECK(err.hint[0]);
	try_rmdir(dir);
}

TEST(listener_closed_inside_its_callback_is_quiet)
{
	struct server s;
	int a, b;

	server_begin(&s, 0);
	s.close_inside = true;
	a = dv_unix_connect(s.path, NULL);
	b = dv_unix_connect(s.path, NULL);
	TRY_UNTIL(s.loop, s.n_fds == 1);
	try_settle(s.loop);
	CHECK_EQ(s.n_fds, 1);
	close(a);
	close(b);
	server_end(&s);
}

TEST(listener_paused_leaves_connections_in_the_queue)
{
	struct server s;
	int fds[3];

	server_begin(&s, 0);
	s.pause_inside = true;
	for (int i = 0; i < 3; i++)
		fds[i] = dv_unix_connect(s.path, NULL);
	for (int want = 1; want <= 3; want++) {
		TRY_UNTIL(s.loop, s.n_fds == want);
		try_settle(s.loop);
		CHECK_EQ(s.n_fds, want);
		dv_listener_resume(&s.l);
	}
	for (int i = 0; i < 3; i++)
		close(fds[i]);
	server_end(&s);
}

TEST(listener_other_cids_are_refused)
{
	struct server s;
	char c;
	int fd;

	server_begin(&s, 0);
	s.l.only_cid = DV_CID_HOST; /* a unix peer has none, so it is not 2 */
	fd = dv_unix_connect(s.path, NULL);
	TRY_UNTIL(s.loop, s.l.n_refused == 1);
	CHECK_EQ(dv_read(fd, &c, 1), 0);
	CHECK_EQ(s.n_fds, 0);
	close(fd);
	server_end(&s);
}

TEST(listener_inherited_socket_is_served)
{
	struct server s = { .l = DV_LISTENER_INIT };
	int fd;

	try_mkdir(s.dir);
	try_path(s.path, s.dir, "sock");
	CHECK_EQ(dv_loop_new(&s.loop), 0);
	fd = dv_unix_bind(s.path, 0, NULL);
	CHECK_EQ(dv_listener_start(&s.l, s.loop, fd, 0, on_accept, NULL), 0);
	fd = dv_unix_connect(s.path, NULL);
	TRY_UNTIL(s.loop, s.n_fds == 1);
	close(fd);
	server_end(&s);
}

/* In a child: it runs out of descriptors, and gets some back. */
static int exhausted(struct server *s)
{
	struct rlimit rl = { 64, 64 };
	int first = dv_unix_connect(s->path, NULL);
	int second = dv_unix_connect(s->path, NULL);
	int taken[64], n_taken = 0, n_calls = 0;

	if (first < 0 || second < 0 || setrlimit(RLIMIT_NOFILE, &rl) < 0)
		return 1;
	while ((taken[n_taken] = dup(first)) >= 0)
		n_taken++;
	while (s->l.n_waits < 4)
		n_calls += dv_loop_dispatch(s->loop, -1);
	/* One call for each try and one for each timer: it does not spin. */
	if (n_calls > 8 || s->n_fds != 0)
		return 2;
	close(taken[--n_taken]);
	dv_listener_resume(&s->l);
	n_calls = dv_loop_dispatch(s->loop, -1);
	if (n_calls != 1 || s->n_fds != 1)
		return 3;
	/* Without a word from the owner it goes on by itself. */
	close(taken[--n_taken]);
	while (s->n_fds < 2)
		dv_loop_dispatch(s->loop, -1);
	return 0;
}

TEST(listener_without_descriptors_waits_and_goes_on)
{
	struct server s;
	int status;
	pid_t pid;

	server_begin(&s, 0);
	pid = fork();
	if (pid == 0)
		_exit(exhausted(&s));
	CHECK_EQ(waitpid(pid, &status, 0), pid);
	CHECK_EQ(status, 0);
	server_end(&s);
}

TEST(vsock_what_is_no_guest_is_refused_by_name)
{
	static const uint32_t cids[] = { 0, 1, 2, UINT32_MAX };
	static const char *const names[] = { "hypervisor", "itself", "host",
					     "any" };

	for (size_t i = 0; i < DV_ARRAY_LEN(cids); i++) {
		struct dv_err err = DV_ERR_INIT;

		CHECK_EQ(dv_af_vsock_check_cid(cids[i], &err), -EINVAL);
		CHECK(strstr(err.msg, names[i]));
		CHECK(strstr(err.hint, "3"));
		/* Refused before there is any socket. */
		CHECK_EQ(dv_af_vsock_connect(cids[i], 1, &err), -EINVAL);
	}
	CHECK_EQ(dv_af_vsock_check_cid(3, NULL), 0);
}
