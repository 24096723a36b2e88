/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pty.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

#include <davit/sandbox.h>

#include "base/buf.h"
#include "base/fd.h"
#include "base/fmt.h"
#include "base/test.h"
#include "cli/relay.h"

enum { BULK = 3 << 20, DISK = 1 << 20 };

static const struct dv_relay relay_init = DV_RELAY_INIT;

static char pattern(size_t i)
{
	return (char)(i * 7 + i / 251);
}

/* A child that writes @len bytes of the pattern to @fd. */
static pid_t writer(int fd, int also_close, size_t len)
{
	pid_t pid = fork();
	char buf[4096];

	if (pid != 0)
		return pid;
	close(also_close);
	for (size_t at = 0; at < len;) {
		size_t n = 0;

		for (; n < sizeof(buf) && at + n < len; n++)
			buf[n] = pattern(at + n);
		if (dv_write_full(fd, buf, n) < 0)
			_exit(1);
		at += n;
	}
	_exit(0);
}

/* A child that expects @len bytes of the pattern and then the end. */
static pid_t reader(int fd, int also_close, size_t len)
{
	pid_t pid = fork();
	char buf[5000];
	size_t at = 0;
	ssize_t n;

	if (pid != 0)
		return pid;
	close(also_close);
	while ((n = dv_read(fd, buf, sizeof(buf))) > 0)
		for (ssize_t i = 0; i < n; i++)
			if (buf[i] != pattern(at++))
				_exit(2);
	_exit(at != len);
}

static int status_of(pid_t pid)
{
	int status = -1;

	assert_int_equal(waitpid(pid, &status, 0), pid);
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

static void run_to_end(struct dv_loop *loop, struct dv_relay *r)
{
	while (r->state != DV_RELAY_DONE)
		assert_true(dv_loop_dispatch(loop, 20000) >= 0);
}

static void start(struct dv_relay *r, struct dv_loop *loop, int from, int to)
{
	*r = relay_init;
	CHECK_EQ(dv_end_of_sandbox(&r->from, from), 0);
	CHECK_EQ(dv_end_of_caller(&r->to, to, true), 0);
	dv_close(to);
	CHECK_EQ(dv_relay_start(r, loop), 0);
}

static int temp_file(char *path, size_t size)
{
	dv_fmt(path, size, "/tmp/davit-relay-XXXXXX");
	return mkstemp(path);
}

TEST(pipe_to_pipe_is_bit_exact)
{
	struct dv_relay r;
	struct dv_loop *loop;
	int in[2], out[2];
	pid_t w, rd;

	CHECK_EQ(dv_loop_new(&loop), 0);
	CHECK_EQ(dv_pipe(in), 0);
	CHECK_EQ(dv_pipe(out), 0);
	w = writer(in[1], in[0], BULK);
	dv_close(in[1]);
	rd = reader(out[0], out[1], BULK);
	dv_close(out[0]);
	start(&r, loop, in[0], out[1]);
	run_to_end(loop, &r);
	CHECK_EQ(status_of(w), 0);
	CHECK_EQ(status_of(rd), 0);
	CHECK_EQ(r.total, BULK);
	dv_loop_free(loop);
}

TEST(flags_of_the_callers_pipe_stay_as_they_are)
{
	struct dv_relay r;
	struct dv_loop *loop;
	int in[2], out[2], keep;

	CHECK_EQ(dv_loop_new(&loop), 0);
	CHECK_EQ(dv_pipe(in), 0);
	CHECK_EQ(dv_pipe(out), 0);
	keep = dv_fd_dup(out[1], 3);
	start(&r, loop, in[0], out[1]);
	CHECK_EQ(fcntl(keep, F_GETFL) & O_NONBLOCK, 0);
	dv_relay_close(&r);
	dv_close(in[1]);
	dv_close(out[0]);
	dv_close(keep);
	dv_loop_free(loop);
}

TEST(socket_destination_is_bit_exact)
{
	struct dv_relay r;
	struct dv_loop *loop;
	int in[2], out[2];
	pid_t w, rd;

	CHECK_EQ(dv_loop_new(&loop), 0);
	CHECK_EQ(dv_pipe(in), 0);
	CHECK_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, out), 0);
	w = writer(in[1], in[0], BULK);
	dv_close(in[1]);
	rd = reader(out[0], out[1], BULK);
	dv_close(out[0]);
	start(&r, loop, in[0], out[1]);
	run_to_end(loop, &r);
	CHECK_EQ(status_of(w), 0);
	CHECK_EQ(status_of(rd), 0);
	dv_loop_free(loop);
}

TEST(a_blocking_socket_of_the_caller_never_holds_the_loop)
{
	struct dv_relay r = relay_init;
	struct dv_loop *loop;
	int in[2], out[2];
	char got[8];

	CHECK_EQ(dv_loop_new(&loop), 0);
	CHECK_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, in), 0);
	CHECK_EQ(dv_pipe(out), 0);
	CHECK_EQ(dv_end_of_caller(&r.from, in[0], false), 0);
	CHECK_EQ(dv_end_of_sandbox(&r.to, out[1]), 0);
	CHECK_EQ(dv_write(in[1], "hello", 5), 5);
	CHECK_EQ(dv_relay_start(&r, loop), 0);
	CHECK(dv_loop_dispatch(loop, 10000) >= 0);
	CHECK_EQ(dv_read(out[0], got, sizeof(got)), 5);
	CHECK(memcmp(got, "hello", 5) == 0);
	dv_relay_close(&r);
	dv_close(in[0]);
	dv_close(in[1]);
	dv_close(out[0]);
	dv_loop_free(loop);
}

TEST(a_reader_that_goes_away_ends_the_writer)
{
	struct dv_relay r;
	struct dv_loop *loop;
	int in[2], out[2];
	pid_t w;

	signal(SIGPIPE, SIG_IGN);
	CHECK_EQ(dv_loop_new(&loop), 0);
	CHECK_EQ(dv_pipe(in), 0);
	CHECK_EQ(dv_pipe(out), 0);
	dv_close(out[0]); /* before the fork: the child must not hold it */
	w = writer(in[1], in[0], BULK);
	dv_close(in[1]);
	start(&r, loop, in[0], out[1]);
	run_to_end(loop, &r);
	CHECK_EQ(status_of(w), 1); /* EPIPE */
	dv_loop_free(loop);
}

TEST(a_reader_that_goes_away_is_noticed_without_a_byte)
{
	struct dv_relay r;
	struct dv_loop *loop;
	int in[2], out[2];

	CHECK_EQ(dv_loop_new(&loop), 0);
	CHECK_EQ(dv_pipe(in), 0);
	CHECK_EQ(dv_pipe(out), 0);
	start(&r, loop, in[0], out[1]);
	while (!r.from.src.loop)
		CHECK(dv_loop_dispatch(loop, 20000) > 0);
	dv_close(out[0]);
	run_to_end(loop, &r);
	CHECK_EQ(r.sys, EPIPE);
	CHECK_EQ(dv_write(in[1], "x", 1), -EPIPE);
	dv_close(in[1]);
	dv_loop_free(loop);
}

TEST(a_named_pipe_is_waited_for_until_another_reader_comes)
{
	char path[64], byte;
	struct dv_relay r;
	struct dv_loop *loop;
	int in[2], reader;

	dv_close(temp_file(path, sizeof(path)));
	unlink(path);
	CHECK_EQ(mkfifo(path, 0600), 0);
	reader = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	CHECK_EQ(dv_loop_new(&loop), 0);
	CHECK_EQ(dv_pipe(in), 0);
	start(&r, loop, in[0], open(path, O_WRONLY | O_CLOEXEC));
	while (!r.from.src.loop)
		CHECK(dv_loop_dispatch(loop, 20000) > 0);
	dv_close(reader);
	CHECK_EQ(dv_loop_dispatch(loop, 0), 0);
	reader = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	CHECK_EQ(dv_write(in[1], "x", 1), 1);
	dv_close(in[1]);
	run_to_end(loop, &r);
	CHECK_EQ(r.sys, 0);
	CHECK_EQ(dv_read(reader, &byte, 1), 1);
	dv_close(reader);
	unlink(path);
	dv_loop_free(loop);
}

TEST(why_a_destination_takes_no_more_is_kept)
{
	struct dv_relay r;
	struct dv_loop *loop;
	int in[2];

	CHECK_EQ(dv_loop_new(&loop), 0);
	CHECK_EQ(dv_pipe(in), 0);
	CHECK_EQ(dv_write(in[1], "x", 1), 1);
	dv_close(in[1]);
	start(&r, loop, in[0], open("/dev/full", O_WRONLY | O_CLOEXEC));
	run_to_end(loop, &r);
	CHECK_EQ(r.sys, ENOSPC);
	CHECK_EQ(r.total, 0);
	dv_loop_free(loop);
}

TEST(a_stopped_reader_stops_only_its_own_stream)
{
	struct dv_relay slow, fast;
	struct dv_loop *loop;
	int in[2][2], out[2][2];
	pid_t w[2], rd;

	CHECK_EQ(dv_loop_new(&loop), 0);
	for (int i = 0; i < 2; i++) {
		CHECK_EQ(dv_pipe(in[i]), 0);
		CHECK_EQ(dv_pipe(out[i]), 0);
		w[i] = writer(in[i][1], in[i][0], BULK);
		dv_close(in[i][1]);
	}
	rd = reader(out[1][0], out[1][1], BULK);
	dv_close(out[1][0]);
	start(&slow, loop, in[0][0], out[0][1]);
	start(&fast, loop, in[1][0], out[1][1]);
	run_to_end(loop, &fast);
	CHECK_EQ(status_of(rd), 0);
	CHECK(dv_relay_active(&slow));
	CHECK(slow.total < BULK);
	rd = reader(out[0][0], slow.to.fd, BULK); /* now it reads */
	dv_close(out[0][0]);
	run_to_end(loop, &slow);
	CHECK_EQ(status_of(rd), 0);
	CHECK_EQ(status_of(w[0]), 0);
	CHECK_EQ(status_of(w[1]), 0);
	dv_loop_free(loop);
}

TEST(finishing_takes_what_is_there_and_ends)
{
	struct dv_relay r;
	struct dv_loop *loop;
	int in[2], out[2];
	char got[8] = "";

	CHECK_EQ(dv_loop_new(&loop), 0);
	CHECK_EQ(dv_pipe(in), 0);
	CHECK_EQ(dv_pipe(out), 0);
	start(&r, loop, in[0], out[1]);
	CHECK_EQ(dv_write_full(in[1], "late", 4), 0);
	dv_relay_finish(&r); /* in[1] stays open: no end of file */
	run_to_end(loop, &r);
	CHECK_EQ(dv_read(out[0], got, sizeof(got)), 4);
	CHECK_STR(got, "late");
	CHECK_EQ(dv_read(out[0], got, sizeof(got)), 0);
	dv_close(in[1]);
	dv_close(out[0]);
	dv_loop_free(loop);
}

TEST(the_end_of_a_pty_is_an_end)
{
	struct dv_relay r;
	struct dv_loop *loop;
	int master, slave, out[2];
	char got[64] = "";

	CHECK_EQ(openpty(&master, &slave, NULL, NULL, NULL), 0);
	CHECK_EQ(dv_loop_new(&loop), 0);
	CHECK_EQ(dv_pipe(out), 0);
	CHECK_EQ(dv_write_full(slave, "last line", 9), 0);
	dv_close(slave);
	start(&r, loop, master, out[1]);
	run_to_end(loop, &r);
	CHECK_EQ(dv_read_full(out[0], got, sizeof(got)), 9);
	CHECK_STR(got, "last line");
	dv_close(out[0]);
	dv_loop_free(loop);
}

TEST(the_end_of_input_reaches_a_pty_as_a_character)
{
	struct dv_relay r = relay_init;
	struct dv_loop *loop;
	int master, slave, in[2];
	char got[64] = "";

	CHECK_EQ(openpty(&master, &slave, NULL, NULL, NULL), 0);
	CHECK_EQ(dv_loop_new(&loop), 0);
	CHECK_EQ(dv_pipe(in), 0);
	CHECK_EQ(dv_write_full(in[1], "typed\n", 6), 0);
	dv_close(in[1]);
	CHECK_EQ(dv_end_of_caller(&r.from, in[0], false), 0);
	CHECK_EQ(dv_end_of_sandbox(&r.to, dv_fd_dup(master, 3)), 0);
	r.tty_eof = true;
	CHECK_EQ(dv_relay_start(&r, loop), 0);
	run_to_end(loop, &r);
	CHECK_EQ(dv_read(slave, got, sizeof(got)), 6);
	CHECK_STR(got, "typed\n");
	CHECK_EQ(dv_read(slave, got, sizeof(got)), 0);
	dv_close(in[0]);
	dv_close(master);
	dv_close(slave);
	dv_loop_free(loop);
}

/* Runs both ways of logging: with a pipe (tee, splice) and with a socket. */
static void check_log(bool with_pipe)
{
	struct dv_outlog *log;
	struct dv_relay r = relay_init;
	struct dv_loop *loop;
	char path[64], idx[80];
	int in[2], out[2], fd = temp_file(path, sizeof(path)), sys;
	uint64_t sum = 0;
	uint8_t e[32];
	pid_t w, rd;

	assert_true(fd >= 0);
	dv_close(fd);
	dv_fmt(idx, sizeof(idx), "%s.idx", path);
	CHECK_EQ(dv_outlog_new(&log, path, UINT64_MAX, NULL), 0);
	CHECK_EQ(dv_loop_new(&loop), 0);
	CHECK_EQ(dv_pipe(in), 0);
	CHECK_EQ(with_pipe ? dv_pipe(out)
			   : socketpair(AF_UNIX, SOCK_STREAM, 0, out),
		 0);
	w = writer(in[1], in[0], BULK);
	dv_close(in[1]);
	rd = reader(out[0], out[1], BULK);
	dv_close(out[0]);
	CHECK_EQ(dv_end_of_sandbox(&r.from, in[0]), 0);
	CHECK_EQ(dv_end_of_caller(&r.to, out[1], true), 0);
	dv_close(out[1]);
	r.log = log;
	r.stream = 1;
	CHECK_EQ(dv_relay_start(&r, loop), 0);
	run_to_end(loop, &r);
	CHECK_EQ(status_of(w), 0);
	CHECK_EQ(status_of(rd), 0);
	CHECK_EQ(dv_outlog_lost(log, &sys), 0);
	dv_outlog_free(log);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	rd = reader(fd, -1, BULK);
	CHECK_EQ(status_of(rd), 0);
	dv_close(fd);
	fd = open(idx, O_RDONLY | O_CLOEXEC);
	while (dv_read_full(fd, e, sizeof(e)) == (ssize_t)sizeof(e)) {
		struct dv_rd c = dv_rd_mem(e, sizeof(e));

		CHECK_EQ(dv_rd_le64(&c), sum);
		CHECK(dv_rd_le64(&c) > 0);
		sum += dv_rd_le32(&c);
		CHECK_EQ(dv_rd_u8(&c), 1);
	}
	CHECK_EQ(sum, BULK);
	dv_close(fd);
	unlink(path);
	unlink(idx);
	dv_loop_free(loop);
}

TEST(log_beside_a_pipe_has_every_byte)
{
	check_log(true);
}

TEST(log_beside_a_socket_has_every_byte)
{
	check_log(false);
}

TEST(a_reader_that_goes_away_ends_the_writer_with_a_log_too)
{
	struct dv_outlog *log;
	struct dv_relay r = relay_init;
	struct dv_loop *loop;
	char path[64], idx[80];
	int in[2], out[2], fd = temp_file(path, sizeof(path));
	pid_t w;

	signal(SIGPIPE, SIG_IGN);
	assert_true(fd >= 0);
	dv_close(fd);
	dv_fmt(idx, sizeof(idx), "%s.idx", path);
	CHECK_EQ(dv_outlog_new(&log, path, UINT64_MAX, NULL), 0);
	CHECK_EQ(dv_loop_new(&loop), 0);
	CHECK_EQ(dv_pipe(in), 0);
	CHECK_EQ(dv_pipe(out), 0);
	dv_close(out[0]); /* before the fork: the child must not hold it */
	w = writer(in[1], in[0], BULK);
	dv_close(in[1]);
	r.log = log;
	CHECK_EQ(dv_end_of_sandbox(&r.from, in[0]), 0);
	CHECK_EQ(dv_end_of_caller(&r.to, out[1], true), 0);
	dv_close(out[1]);
	CHECK_EQ(dv_relay_start(&r, loop), 0);
	run_to_end(loop, &r);
	CHECK_EQ(status_of(w), 1); /* EPIPE */
	dv_outlog_free(log);
	unlink(path);
	unlink(idx);
	dv_loop_free(loop);
}

TEST(a_full_disk_loses_log_but_never_output)
{
	struct dv_outlog *log;
	struct dv_relay r = relay_init;
	struct rlimit before, small;
	struct dv_loop *loop;
	struct stat st;
	char path[64], idx[80];
	int in[2], out[2], fd = temp_file(path, sizeof(path)), sys;
	pid_t w, rd;

	assert_true(fd >= 0);
	dv_fmt(idx, sizeof(idx), "%s.idx", path);
	CHECK_EQ(dv_outlog_new(&log, path, UINT64_MAX, NULL), 0);
	/* A limit for this process fails the same way, in the same calls. */
	signal(SIGXFSZ, SIG_IGN);
	CHECK_EQ(getrlimit(RLIMIT_FSIZE, &before), 0);
	small = before;
	small.rlim_cur = DISK;
	CHECK_EQ(setrlimit(RLIMIT_FSIZE, &small), 0);
	CHECK_EQ(dv_loop_new(&loop), 0);
	CHECK_EQ(dv_pipe(in), 0);
	CHECK_EQ(dv_pipe(out), 0);
	w = writer(in[1], in[0], BULK);
	dv_close(in[1]);
	rd = reader(out[0], out[1], BULK);
	dv_close(out[0]);
	r.log = log;
	CHECK_EQ(dv_end_of_sandbox(&r.from, in[0]), 0);
	CHECK_EQ(dv_end_of_caller(&r.to, out[1], true), 0);
	dv_close(out[1]);
	CHECK_EQ(dv_relay_start(&r, loop), 0);
	run_to_end(loop, &r);
	CHECK_EQ(status_of(w), 0);
	CHECK_EQ(status_of(rd), 0);
	CHECK_EQ(setrlimit(RLIMIT_FSIZE, &before), 0);
	CHECK_EQ(fstat(fd, &st), 0);
	CHECK_EQ(st.st_size, DISK);
	CHECK_EQ(dv_outlog_lost(log, &sys), BULK - DISK);
	CHECK_EQ(sys, EFBIG);
	dv_outlog_free(log);
	dv_close(fd);
	unlink(path);
	unlink(idx);
	dv_loop_free(loop);
}
