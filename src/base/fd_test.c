/* SPDX-License-Identifier: MIT */
#include "base/fd.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/def.h"
#include "base/path.h"
#include "base/test.h"

/* A new directory in /tmp; the caller removes it and closes the fd. */
static int make_tmp(char name[32])
{
	int fd;

	memcpy(name, "/tmp/davit-fd.XXXXXX", 21);
	assert_non_null(mkdtemp(name));
	fd = open(name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	CHECK(fd >= 0);
	return fd;
}

static void remove_tmp(const char *name)
{
	CHECK_EQ(dv_remove_tree(AT_FDCWD, name), 0);
}

TEST(close_negative_keeps_errno)
{
	errno = EILSEQ;
	CHECK_EQ(dv_close(-1), -1);
	CHECK_EQ(dv_close(9999), -1);
	CHECK_EQ(errno, EILSEQ);
}

TEST(pipe_is_close_on_exec_and_flags_change)
{
	int fds[2];

	CHECK_EQ(dv_pipe(fds), 0);
	dv_autofd int rd = fds[0];
	dv_autofd int wr = fds[1];
	CHECK_EQ(fcntl(rd, F_GETFD), FD_CLOEXEC);
	CHECK_EQ(dv_fd_cloexec(rd, false), 0);
	CHECK_EQ(fcntl(rd, F_GETFD), 0);
	CHECK_EQ(dv_fd_nonblock(rd, true), 0);
	CHECK_EQ(dv_read(rd, &(char){ 0 }, 1), -EAGAIN);
	CHECK_EQ(dv_fd_mode(rd), O_RDONLY);
	CHECK_EQ(dv_fd_mode(wr), O_WRONLY);
	CHECK_EQ(dv_fd_mode(-1), -EBADF);
	CHECK_EQ(dv_fd_cloexec(-1, true), -EBADF);
}

TEST(dup_has_the_minimum_and_close_on_exec)
{
	dv_autofd int fd = open("/dev/null", O_RDWR | O_CLOEXEC);
	dv_autofd int copy = dv_fd_dup(fd, 100);

	CHECK(copy >= 100);
	CHECK_EQ(fcntl(copy, F_GETFD), FD_CLOEXEC);
	CHECK_EQ(dv_fd_dup(-1, 0), -EBADF);
}

TEST(path_descriptor_has_no_mode)
{
	dv_autofd int fd = open("/", O_PATH | O_CLOEXEC);

	CHECK_EQ(dv_fd_mode(fd), -EBADF);
}

TEST(read_full_is_short_only_at_the_end)
{
	char out[8] = "";
	int fds[2];

	CHECK_EQ(dv_pipe(fds), 0);
	dv_autofd int rd = fds[0];
	CHECK_EQ(dv_write_full(fds[1], "abc", 3), 0);
	CHECK_EQ(dv_write_full(fds[1], "de", 2), 0);
	dv_close(fds[1]);
	CHECK_EQ(dv_read_full(rd, out, 4), 4);
	CHECK_EQ(dv_read_full(rd, out, 4), 1);
	CHECK_EQ(dv_read_full(rd, out, 4), 0);
}

TEST(read_file_enforces_the_maximum)
{
	char name[32];
	dv_autofd int dir = make_tmp(name);

	for (size_t len = 0; len <= 10000; len += 1250) {
		dv_autofree char *text = calloc(1, len + 1);
		dv_autofree char *got = NULL;
		size_t got_len = 0;

		memset(text, 'x', len);
		CHECK_EQ(dv_replace_file(dir, "f", text, len, 0600), 0);
		CHECK_EQ(dv_read_file(dir, "f", len, &got, &got_len), 0);
		CHECK_EQ(got_len, len);
		CHECK_STR(got, text);
		if (len > 0)
			CHECK_EQ(dv_read_file(dir, "f", len - 1, &got, NULL),
				 -EFBIG);
	}
	remove_tmp(name);
}

TEST(read_file_of_proc_and_of_nothing)
{
	dv_autofree char *text = NULL;
	char *none = NULL;

	CHECK_EQ(dv_read_file(AT_FDCWD, "/proc/self/stat", 4096, &text, NULL),
		 0);
	CHECK(strlen(text) > 10);
	CHECK_EQ(dv_read_file(AT_FDCWD, "/no/such", 10, &none, NULL), -ENOENT);
	CHECK_EQ(dv_read_file(AT_FDCWD, "/", 10, &none, NULL), -EISDIR);
	assert_null(none);
}

TEST(write_file_creates_nothing)
{
	char name[32];
	dv_autofd int dir = make_tmp(name);

	CHECK_EQ(dv_write_file(dir, "f", "x", 1), -ENOENT);
	CHECK_EQ(dv_replace_file(dir, "f", "abcdef", 6, 0600), 0);
	CHECK_EQ(dv_write_file(dir, "f", "xy", 2), 0);
	dv_autofree char *got = NULL;
	CHECK_EQ(dv_read_file(dir, "f", 100, &got, NULL), 0);
	CHECK_STR(got, "xycdef");
	remove_tmp(name);
}

TEST(replace_file_survives_a_leftover_and_follows_no_link)
{
	char name[32];
	dv_autofd int dir = make_tmp(name);
	dv_autofree char *got = NULL;
	struct stat st;

	CHECK_EQ(dv_replace_file(dir, "victim", "safe", 4, 0600), 0);
	CHECK_EQ(symlinkat("victim", dir, "f.tmp"), 0);
	CHECK_EQ(dv_replace_file(dir, "f", "new", 3, 0640), 0);
	CHECK_EQ(dv_read_file(dir, "victim", 100, &got, NULL), 0);
	CHECK_STR(got, "safe");
	CHECK_EQ(fstatat(dir, "f", &st, AT_SYMLINK_NOFOLLOW), 0);
	CHECK(S_ISREG(st.st_mode) && st.st_size == 3);
	CHECK_EQ(faccessat(dir, "f.tmp", F_OK, AT_SYMLINK_NOFOLLOW), -1);
	CHECK_EQ(dv_replace_file(dir, "no/f", "x", 1, 0600), -ENOENT);
	remove_tmp(name);
}

static void make_pair(int sv[2])
{
	CHECK_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sv), 0);
}

TEST(send_fd_arrives_close_on_exec)
{
	int sv[2], fds[2];
	char c = 0;

	make_pair(sv);
	CHECK_EQ(dv_pipe(fds), 0);
	dv_autofd int a = sv[0];
	dv_autofd int b = sv[1];
	dv_autofd int rd = fds[0];
	CHECK_EQ(dv_send_fd(a, fds[1]), 0);
	dv_close(fds[1]);
	dv_autofd int got = dv_recv_fd(b);
	CHECK(got >= 0);
	CHECK_EQ(fcntl(got, F_GETFD), FD_CLOEXEC);
	CHECK_EQ(dv_write_full(got, "q", 1), 0);
	CHECK_EQ(dv_read(rd, &c, 1), 1);
	CHECK_EQ(c, 'q');
}

TEST(recv_fd_at_the_end_or_without_one)
{
	int sv[2];

	make_pair(sv);
	dv_autofd int b = sv[1];
	CHECK_EQ(dv_write_full(sv[0], "x", 1), 0);
	CHECK_EQ(dv_recv_fd(b), -EBADMSG);
	dv_close(sv[0]);
	CHECK_EQ(dv_recv_fd(b), -EPIPE);
}

/* Send @fd @n times in one message. */
static void send_many(int sock, int fd, int n)
{
	_Alignas(struct cmsghdr) char ctl[CMSG_SPACE(8 * sizeof(int))] = { 0 };
	struct iovec iov = { &(char){ 0 }, 1 };
	struct msghdr msg = {
		.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = ctl,
		.msg_controllen = CMSG_SPACE((size_t)n * sizeof(int)),
	};
	struct cmsghdr *c = CMSG_FIRSTHDR(&msg);

	c->cmsg_level = SOL_SOCKET;
	c->cmsg_type = SCM_RIGHTS;
	c->cmsg_len = CMSG_LEN((size_t)n * sizeof(int));
	for (int i = 0; i < n; i++)
		memcpy(CMSG_DATA(c) + (size_t)i * sizeof(int), &fd, sizeof(fd));
	CHECK_EQ(sendmsg(sock, &msg, MSG_NOSIGNAL), 1);
}

TEST(recv_fd_of_several_leaks_none)
{
	int sv[2];

	make_pair(sv);
	dv_autofd int a = sv[0];
	dv_autofd int b = sv[1];
	for (int n = 2; n <= 8; n++) {
		send_many(a, b, n);
		CHECK_EQ(dv_recv_fd(b), -EBADMSG);
	}
}

TEST(lock_that_is_held_is_waited_for_no_longer_than_said)
{
	char name[32];
	int dir = make_tmp(name);
	dv_autofd int a = openat(dir, "l", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	dv_autofd int b = openat(dir, "l", O_RDWR | O_CLOEXEC);

	CHECK_EQ(dv_fd_lock_wait(a, 0), 0);
	CHECK_EQ(dv_fd_lock_wait(b, 0), -ETIMEDOUT);
	CHECK_EQ(dv_fd_lock_wait(b, 20), -ETIMEDOUT);
	CHECK_EQ(dv_fd_locked(b), 1);
	a = dv_close(a);
	CHECK_EQ(dv_fd_lock_wait(b, 20), 0);
	CHECK_EQ(dv_fd_lock_wait(-1, 20), -EBADF);
	dv_close(dir);
	remove_tmp(name);
}
