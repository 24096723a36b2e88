/* SPDX-License-Identifier: MIT */
#include "transport/dial.h"

#include <poll.h>
#include <signal.h>
#include <sys/un.h>
#include <sys/wait.h>

#include "base/buf.h"
#include "transport/hvsock_accept.h"
#include "transport/try.h"
#include "transport/unix.h"

/* ---- targets ---------------------------------------------------------- */

TEST(target_forms_are_parsed)
{
	static const struct {
		const char *text, *path;
		uint32_t cid, port;
	} rows[] = {
		{ "unix:/run/x", "/run/x", 0, 0 },
		{ "unix:x", "x", 0, 0 },
		{ "unix:3", "3", 0, 0 },
		{ "vsock:/run/x", "/run/x", 0, 0 },
		{ "vsock:./3", "./3", 0, 0 },
		{ "vsock:3/4", "3/4", 0, 0 },
		{ "vsock:sock", "sock", 0, 0 },
		{ "/run/x", "/run/x", 0, 0 },
		{ "./x", "./x", 0, 0 },
		{ ".x", ".x", 0, 0 },
		{ "a/b", "a/b", 0, 0 },
		{ "vsock:3", NULL, 3, 0 },
		{ "vsock:4294967294:1", NULL, 4294967294, 1 },
		{ "vsock:42:4294967294", NULL, 42, 4294967294 },
	};
	struct dv_target t;

	for (size_t i = 0; i < DV_ARRAY_LEN(rows); i++) {
		CHECK_EQ(dv_target_parse(rows[i].text, &t, NULL), 0);
		if (rows[i].path) {
			CHECK_EQ(t.kind, DV_TARGET_PATH);
			CHECK_STR(t.path, rows[i].path);
		} else {
			CHECK_EQ(t.kind, DV_TARGET_CID);
			CHECK_EQ(t.cid, rows[i].cid);
			CHECK_EQ(t.port, rows[i].port);
		}
	}
}

TEST(target_bad_ones_are_refused_with_a_hint)
{
	static const char *const bad[] = {
		"vsock:0",
		"vsock:1",
		"vsock:2",
		"vsock:2:1024",
		"vsock:4294967295",
		"vsock:4294967296",
		"vsock:3:",
		"vsock:3:0",
		"vsock:3:x",
		"vsock:3:4294967295",
		"vsock:3:1:1",
		"vsock:3x",
		"name",
		"vsock:00000000000000000000000000003",
	};
	struct dv_target t = { .path = "untouched" };

	for (size_t i = 0; i < DV_ARRAY_LEN(bad); i++) {
		struct dv_err err = DV_ERR_INIT;

		CHECK_EQ(dv_target_parse(bad[i], &t, &err), -EINVAL);
		CHECK(err.msg[0] && err.hint[0]);
		CHECK_STR(t.path, "untouched");
	}
	CHECK_EQ(dv_target_parse("unix:", &t, NULL), -EINVAL);
	CHECK_EQ(dv_target_parse("vsock:", &t, NULL), -EINVAL);
	CHECK_EQ(dv_target_parse("", &t, NULL), -EINVAL);
}

TEST(target_long_path_is_refused)
{
	char text[200];
	struct dv_target t;

	memset(text, 'a', sizeof(text));
	memcpy(text, "unix:", 5);
	text[5 + 108] = '\0';
	CHECK_EQ(dv_target_parse(text, &t, NULL), -ENAMETOOLONG);
	text[5 + 107] = '\0';
	CHECK_EQ(dv_target_parse(text, &t, NULL), 0);
}

/* ---- dialling --------------------------------------------------------- */

enum { WAIT_MS = 20000 }; /* for what comes in the end */

struct bed {
	struct dv_loop *loop;
	struct dv_dial *dial;
	char dir[32];
	struct dv_target t;
	int lfd; /* a listening socket that only the test serves */
	int n_called, fd;
	struct dv_dial_result res;
	struct dv_err err;
};

static void on_dialled(void *arg, int fd, const struct dv_dial_result *res,
		       const struct dv_err *err)
{
	struct bed *b = arg;

	b->n_called++;
	b->fd = fd;
	b->res = *res;
	b->err = *err;
}

static void bed_begin(struct bed *b)
{
	*b = (struct bed){ .lfd = -1, .fd = -1 };
	CHECK_EQ(dv_loop_new(&b->loop), 0);
	try_mkdir(b->dir);
	try_path(b->t.path, b->dir, "sock");
	b->lfd = dv_unix_bind(b->t.path, 0, NULL);
	CHECK(b->lfd >= 0);
}

static void bed_end(struct bed *b)
{
	dv_close(b->lfd);
	dv_loop_free(b->loop);
	try_rmdir(b->dir);
}

static void start(struct bed *b, uint32_t port, int timeout_ms)
{
	b->n_called = 0;
	CHECK_EQ(dv_dial_start(&b->dial, b->loop, &b->t, port, timeout_ms,
			       on_dialled, b, NULL),
		 0);
	CHECK_EQ(b->n_called, 0);
}

/* Start, and accept: the connection has said CONNECT. */
static int start_and_accept(struct bed *b, uint32_t port, int timeout_ms)
{
	struct pollfd came = { .fd = b->lfd, .events = POLLIN };
	char line[64] = "";
	int fd;

	start(b, port, timeout_ms);
	try_settle(b->loop);
	/* On a busy machine the time may be over before it began. */
	while (b->n_called && b->res.cls == DV_DIAL_TIMED_OUT) {
		if (poll(&came, 1, 0) == 1)
			close(accept(b->lfd, NULL, NULL));
		timeout_ms *= 2;
		start(b, port, timeout_ms);
		try_settle(b->loop);
	}
	fd = accept4(b->lfd, NULL, NULL, SOCK_CLOEXEC);
	CHECK(fd >= 0);
	if (port) {
		CHECK(dv_read(fd, line, sizeof(line) - 1) > 0);
		CHECK_STR(line, "CONNECT 1\n"); /* vector TV1 */
	}
	return fd;
}

static void expect(struct bed *b, int r, enum dv_dial_class cls, int retry_ms)
{
	TRY_UNTIL(b->loop, b->n_called);
	CHECK_EQ(b->n_called, 1);
	CHECK_EQ(b->fd, r);
	CHECK_EQ(b->res.cls, cls);
	CHECK_EQ(b->res.retry_ms, retry_ms);
	CHECK(b->err.msg[0]);
	CHECK_EQ(b->err.sys, -r);
}

TEST(dial_reply_split_at_every_byte_keeps_what_follows)
{
	static const char *const replies[] = {
		"OK 1073741824\n",
		"OK 40000000-facb-11e6-bd58-64006a7986d3\n",
	};
	struct bed b;

	bed_begin(&b);
	for (size_t k = 0; k < DV_ARRAY_LEN(replies); k++) {
		size_t len = strlen(replies[k]);

		for (size_t at = 0; at <= len; at++) {
			char text[64], got[64];
			int fd = start_and_accept(&b, 1, WAIT_MS);
			int n = snprintf(text, sizeof(text), "%sidbytes\n",
					 replies[k]);

			/* The id comes in one piece with the end of OK. */
			CHECK_EQ(dv_write(fd, text, at), (ssize_t)at);
			try_settle(b.loop);
			CHECK_EQ(dv_write(fd, text + at, (size_t)n - at),
				 (ssize_t)n - (ssize_t)at);
			TRY_UNTIL(b.loop, b.n_called);
			CHECK(b.fd >= 0);
			CHECK_EQ(b.res.cls, DV_DIAL_OK);
			CHECK_EQ(shutdown(fd, SHUT_WR), 0);
			dv_fd_nonblock(b.fd, false);
			if (at == len) /* the rest comes after the answer */
				CHECK_EQ(dv_read_full(b.fd, got, 8), 8);
			else
				CHECK_EQ(recv(b.fd, got, 64, 0), 8);
			CHECK(memcmp(got, "idbytes\n", 8) == 0);
			CHECK_EQ(dv_read(b.fd, got, 1), 0);
			close(fd);
			close(b.fd);
		}
	}
	bed_end(&b);
}

TEST(dial_reply_byte_by_byte_is_taken)
{
	static const char reply[] = "OK 1073741824\n";
	struct bed b;
	int fd;

	bed_begin(&b);
	fd = start_and_accept(&b, 1, WAIT_MS);
	for (size_t i = 0; i < sizeof(reply) - 1; i++) {
		CHECK_EQ(b.n_called, 0);
		CHECK_EQ(dv_write(fd, reply + i, 1), 1);
		try_settle(b.loop);
	}
	CHECK_EQ(b.n_called, 1);
	CHECK(b.fd >= 0);
	close(b.fd);
	close(fd);
	bed_end(&b);
}

TEST(dial_without_a_port_is_plain)
{
	struct bed b;
	char c;
	int fd;

	bed_begin(&b);
	fd = start_and_accept(&b, 0, WAIT_MS);
	TRY_UNTIL(b.loop, b.n_called);
	CHECK(b.fd >= 0);
	CHECK_EQ(recv(fd, &c, 1, MSG_DONTWAIT), -1);
	CHECK_EQ(errno, EAGAIN);
	CHECK(fcntl(b.fd, F_GETFD) & FD_CLOEXEC);
	CHECK(fcntl(b.fd, F_GETFL) & O_NONBLOCK);
	close(fd);
	close(b.fd);
	bed_end(&b);
}

TEST(dial_silent_server_times_out_and_may_retry_at_once)
{
	struct bed b;
	char c;
	int fd;

	bed_begin(&b);
	fd = start_and_accept(&b, 1, 20);
	expect(&b, -ETIMEDOUT, DV_DIAL_TIMED_OUT, 0);
	CHECK(strstr(b.err.msg, "port 1 of"));
	CHECK_EQ(dv_read(fd, &c, 1), 0); /* it hung up */
	close(fd);
	/* Half an answer is none. */
	fd = start_and_accept(&b, 1, 20);
	CHECK_EQ(dv_write(fd, "OK 12", 5), 5);
	expect(&b, -ETIMEDOUT, DV_DIAL_TIMED_OUT, 0);
	close(fd);
	bed_end(&b);
}

TEST(dial_closed_before_ok_is_retried_soon)
{
	static const char *const before[] = { "", "O", "OK", "OK ", "OK 12" };
	struct bed b;

	bed_begin(&b);
	for (size_t i = 0; i < DV_ARRAY_LEN(before); i++) {
		int fd = start_and_accept(&b, 1, WAIT_MS);

		CHECK_EQ(dv_write(fd, before[i], strlen(before[i])),
			 (ssize_t)strlen(before[i]));
		close(fd);
		expect(&b, -ECONNRESET, DV_DIAL_CLOSED, DV_DIAL_CLOSED_MS);
		CHECK(b.err.hint[0]);
	}
	/* Closed before the line was read: ECONNRESET or EPIPE by itself. */
	start(&b, 1, WAIT_MS);
	try_settle(b.loop);
	close(accept(b.lfd, NULL, NULL));
	expect(&b, -ECONNRESET, DV_DIAL_CLOSED, DV_DIAL_CLOSED_MS);
	bed_end(&b);
}

TEST(dial_refused_or_garbage_is_never_retried)
{
	struct bed b;
	int fd;

	bed_begin(&b);
	fd = start_and_accept(&b, 1, WAIT_MS);
	dv_hvsock_refuse(fd, "no such port");
	expect(&b, -ECONNREFUSED, DV_DIAL_OTHER, -1);
	CHECK(strstr(b.err.msg, "no such port"));
	fd = start_and_accept(&b, 1, WAIT_MS);
	CHECK_EQ(dv_write(fd, "SSH-2.0", 7), 7);
	expect(&b, -EBADMSG, DV_DIAL_OTHER, -1);
	close(fd);
	fd = start_and_accept(&b, 1, WAIT_MS);
	CHECK_EQ(dv_write(fd, "OK 123456789012\n", 16), 16);
	expect(&b, -EBADMSG, DV_DIAL_OTHER, -1);
	close(fd);
	bed_end(&b);
}

TEST(dial_nobody_there_is_other_with_a_hint)
{
	struct bed b;

	bed_begin(&b);
	b.lfd = dv_close(b.lfd);
	start(&b, 1, WAIT_MS);
	expect(&b, -ECONNREFUSED, DV_DIAL_OTHER, -1);
	CHECK(b.err.hint[0]);
	unlink(b.t.path);
	start(&b, 1, WAIT_MS);
	expect(&b, -ENOENT, DV_DIAL_OTHER, -1);
	CHECK(b.err.hint[0]);
	bed_end(&b);
}

TEST(dial_classes_follow_the_table)
{
	static const struct {
		int sys;
		enum dv_dial_class cls;
		int retry_ms;
		const char *name;
	} rows[] = {
		{ 0, DV_DIAL_OK, -1, "ok" },
		{ EADDRNOTAVAIL, DV_DIAL_NOT_STARTED, 1000, "not-started" },
		{ ENETUNREACH, DV_DIAL_NOT_STARTED, 1000, "not-started" },
		{ ETIMEDOUT, DV_DIAL_TIMED_OUT, 0, "timed-out" },
		{ ECONNRESET, DV_DIAL_OTHER, -1, "other" },
		{ ENOENT, DV_DIAL_OTHER, -1, "other" },
		{ ECONNREFUSED, DV_DIAL_OTHER, -1, "other" },
	};

	for (size_t i = 0; i < DV_ARRAY_LEN(rows); i++) {
		struct dv_dial_result res = dv_dial_classify(rows[i].sys);

		CHECK_EQ(res.cls, rows[i].cls);
		CHECK_EQ(res.retry_ms, rows[i].retry_ms);
		CHECK_STR(dv_dial_class_name(res.cls), rows[i].name);
	}
	CHECK_STR(dv_dial_class_name(DV_DIAL_CLOSED), "closed");
	CHECK_STR(dv_dial_class_name((enum dv_dial_class)99), "unknown");
}

TEST(dial_cancelled_in_any_state_calls_nobody)
{
	struct bed b;
	int fd;

	bed_begin(&b);
	start(&b, 1, WAIT_MS); /* before it began */
	dv_dial_cancel(b.dial);
	fd = start_and_accept(&b, 1, WAIT_MS); /* waiting for the answer */
	CHECK_EQ(dv_write(fd, "OK 1\n", 5), 5);
	dv_dial_cancel(b.dial);
	try_settle(b.loop);
	CHECK_EQ(b.n_called, 0);
	CHECK(!dv_dial_cancel(NULL));
	close(fd);
	bed_end(&b);
}

/* A queue of one place; accept() makes room, and that is no event. */
TEST(dial_full_queue_is_waited_for)
{
	struct bed b;
	int fds[8], n = 0;

	bed_begin(&b);
	CHECK_EQ(listen(b.lfd, 0), 0);
	while ((fds[n] = dv_unix_connect(b.t.path, NULL)) >= 0)
		n++;
	CHECK_EQ(fds[n], -EAGAIN);
	start(&b, 0, 20);
	expect(&b, -ETIMEDOUT, DV_DIAL_TIMED_OUT, 0);
	start(&b, 0, WAIT_MS);
	try_settle(b.loop);
	CHECK_EQ(b.n_called, 0);
	close(accept(b.lfd, NULL, NULL));
	TRY_UNTIL(b.loop, b.n_called);
	CHECK(b.fd >= 0);
	close(b.fd);
	start(&b, 0, WAIT_MS); /* full again; cancelled while it waits */
	try_settle(b.loop);
	dv_dial_cancel(b.dial);
	while (n > 0)
		close(fds[--n]);
	bed_end(&b);
}

TEST(dial_bad_arguments_are_refused_at_once)
{
	struct dv_target t = { .kind = DV_TARGET_CID, .cid = 2, .port = 1 };
	struct bed b;

	bed_begin(&b);
	CHECK_EQ(dv_dial_start(&b.dial, b.loop, &t, 1, 100, on_dialled, &b,
			       &b.err),
		 -EINVAL);
	t = (struct dv_target){ .kind = DV_TARGET_CID, .cid = 3 };
	CHECK_EQ(dv_dial_start(&b.dial, b.loop, &t, 0, 100, on_dialled, &b,
			       &b.err),
		 -EINVAL);
	t = (struct dv_target){ .kind = DV_TARGET_PATH };
	CHECK_EQ(dv_dial_start(&b.dial, b.loop, &t, 1, 100, on_dialled, &b,
			       &b.err),
		 -EINVAL);
	bed_end(&b);
}

/* ---- the server's side ------------------------------------------------ */

TEST(answer_uses_the_form_that_was_asked_with)
{
	struct dv_hvsock_addr port = { 1, false }, guid = { 1, true };
	struct dv_hvsock_numbers numbers = { 0 };
	char got[64];
	int sv[2];

	CHECK_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sv), 0);
	CHECK_EQ(dv_hvsock_answer(sv[0], &port, dv_hvsock_number(&numbers)), 0);
	CHECK_EQ(dv_read(sv[1], got, sizeof(got)), 14);
	CHECK(memcmp(got, "OK 1073741824\n", 14) == 0); /* vector TV2 */
	CHECK_EQ(dv_hvsock_answer(sv[0], &guid, dv_hvsock_number(&numbers)), 0);
	CHECK_EQ(dv_read(sv[1], got, sizeof(got)), 40);
	CHECK(memcmp(got, "OK 40000001-facb-11e6-bd58-64006a7986d3\n", 40) ==
	      0);
	dv_hvsock_refuse(sv[0], NULL);
	CHECK_EQ(dv_read(sv[1], got, sizeof(got)), 0);
	CHECK_EQ(dv_hvsock_answer(sv[1], &port, 1), -EPIPE);
	close(sv[1]);
	numbers.n_given = 0x3fffffff;
	CHECK_EQ(dv_hvsock_number(&numbers), 0x7fffffff);
	CHECK_EQ(dv_hvsock_number(&numbers), 0x40000000);
}

/* ---- connections that a guest makes ------------------------------------ */

TEST(host_path_prefers_the_port_and_falls_back_to_the_guid)
{
	static const char tail[] = "_00000400-facb-11e6-bd58-64006a7986d3";
	struct dv_err err = DV_ERR_INIT;
	char dir[32], base[108], out[DV_VSOCK_PATH_MAX], want[300];
	int by_port, by_guid;

	try_mkdir(dir);
	try_path(base, dir, "v");
	snprintf(want, sizeof(want), "%s%s", base, tail);
	CHECK_EQ(dv_vsock_host_path(out, base, 1024, &err), -ENOENT);
	CHECK(strstr(err.msg, want)); /* the second path is the one named */
	by_guid = dv_unix_bind(want, 0, NULL);
	CHECK(by_guid >= 0);
	CHECK_EQ(dv_vsock_host_path(out, base, 1024, NULL), 0);
	CHECK_STR(out, want);
	by_port = dv_vsock_listen(base, 1024, NULL);
	CHECK(by_port >= 0);
	CHECK_EQ(dv_vsock_host_path(out, base, 1024, NULL), 0);
	snprintf(want, sizeof(want), "%s_1024", base);
	CHECK_STR(out, want);
	CHECK_EQ(dv_vsock_listen(base, 1024, &err), -EADDRINUSE);
	close(by_port);
	close(by_guid);
	memset(base, 'a', 107);
	base[107] = '\0';
	CHECK_EQ(dv_vsock_host_path(out, base, 1, &err), -ENAMETOOLONG);
	CHECK_EQ(dv_vsock_listen(base, 1, &err), -ENAMETOOLONG);
	try_rmdir(dir);
}

/* ---- blocking, and a foreign peer ------------------------------------- */

static bool have_socat(void)
{
	return access("/usr/bin/socat", X_OK) == 0;
}

/* Runs socat with @in and @out as its standard streams; -1 = ours. */
static pid_t socat(int in, int out, const char *a, const char *b)
{
	pid_t pid = fork();

	if (pid != 0)
		return pid;
	if ((in >= 0 && dup2(in, 0) < 0) || (out >= 0 && dup2(out, 1) < 0))
		_exit(1);
	execl("/usr/bin/socat", "socat", a, b, (char *)NULL);
	_exit(127);
}

/* A server in front of @lfd, which listens already: nothing to wait for. */
static pid_t socat_server(int lfd)
{
	pid_t pid = fork();

	if (pid != 0)
		return pid;
	if (dup2(accept(lfd, NULL, NULL), 5) < 0) /* not close-on-exec */
		_exit(1);
	execl("/usr/bin/socat", "socat", "FD:5",
	      "SYSTEM:read l; echo OK 5; echo \"$l\"; cat", (char *)NULL);
	_exit(127);
}

static void reap(pid_t pid)
{
	int status;

	CHECK_EQ(waitpid(pid, &status, 0), pid);
	CHECK_EQ(status, 0);
}

TEST(connect_blocking_to_socat_does_the_handshake)
{
	struct dv_dial_result res;
	char got[32];
	struct bed b;
	pid_t pid;
	int fd;

	if (!have_socat())
		SKIP("socat is not installed");
	bed_begin(&b);
	pid = socat_server(b.lfd);
	b.lfd = dv_close(b.lfd);
	fd = dv_vsock_connect(b.t.path, 1, 20000, &res, NULL);
	CHECK(fd >= 0);
	CHECK_EQ(res.cls, DV_DIAL_OK);
	CHECK(!(fcntl(fd, F_GETFL) & O_NONBLOCK));
	CHECK_EQ(dv_write(fd, "echo\n", 5), 5);
	CHECK_EQ(shutdown(fd, SHUT_WR), 0);
	CHECK_EQ(dv_read_full(fd, got, sizeof(got)), 15);
	CHECK(memcmp(got, "CONNECT 1\necho\n", 15) == 0);
	close(fd);
	reap(pid);
	bed_end(&b);
}

TEST(socat_client_gets_our_answer)
{
	static const char ask[] = "connect 00000002-FACB-11e6-bd58-"
				  "64006a7986d3\nearly";
	struct dv_hvsock_addr addr;
	char to[160], line[64], got[64];
	int in[2], out[2], fd;
	size_t used;
	struct bed b;
	ssize_t n;
	pid_t pid;

	if (!have_socat())
		SKIP("socat is not installed");
	bed_begin(&b);
	CHECK_EQ(dv_pipe(in), 0);
	CHECK_EQ(dv_pipe(out), 0);
	CHECK_EQ(dv_write_full(in[1], ask, sizeof(ask) - 1), 0);
	snprintf(to, sizeof(to), "UNIX-CONNECT:%s", b.t.path);
	pid = socat(in[0], out[1], "-", to);
	close(in[0]);
	close(out[1]);
	fd = accept4(b.lfd, NULL, NULL, SOCK_CLOEXEC);
	CHECK(fd >= 0);
	n = dv_read(fd, line, sizeof(line));
	CHECK_EQ(n, sizeof(ask) - 1); /* socat passes it on in one piece */
	CHECK_EQ(dv_hvsock_parse_connect(line, (size_t)n, &addr, &used, NULL),
		 0);
	CHECK_EQ(addr.port, 2);
	CHECK(memcmp(line + used, "early", 5) == 0);
	CHECK_EQ(dv_hvsock_answer(fd, &addr, 0x40000000), 0);
	close(in[1]);
	shutdown(fd, SHUT_WR);
	n = dv_read_full(out[0], got, sizeof(got));
	CHECK_EQ(n, 40);
	CHECK(memcmp(got, "OK 40000000-facb-11e6-bd58-64006a7986d3\n", 40) ==
	      0);
	close(fd);
	close(out[0]);
	reap(pid);
	bed_end(&b);
}

TEST(connect_blocking_failures_carry_their_class)
{
	struct dv_err err = DV_ERR_INIT;
	struct dv_dial_result res;
	struct bed b;

	bed_begin(&b);
	CHECK_EQ(dv_vsock_connect(b.t.path, 1, 20, &res, &err), -ETIMEDOUT);
	CHECK_EQ(res.cls, DV_DIAL_TIMED_OUT);
	CHECK_EQ(dv_vsock_connect("name", 1, 20, &res, &err), -EINVAL);
	CHECK_EQ(res.cls, DV_DIAL_OTHER);
	CHECK_EQ(dv_vsock_connect("vsock:2", 1, 20, &res, &err), -EINVAL);
	CHECK_EQ(dv_vsock_connect("vsock:3", 0, 20, &res, &err), -EINVAL);
	CHECK_EQ(dv_vsock_connect("/no/such", 1, WAIT_MS, NULL, NULL), -ENOENT);
	bed_end(&b);
}
