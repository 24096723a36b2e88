/* SPDX-License-Identifier: MIT */
#include "base/systemd.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/def.h"
#include "base/fd.h"
#include "base/test.h"

/*
 * The numbers of descriptors and our own pid count here, so each case is a
 * child of its own. It reports by its status: a CHECK would run twice.
 */
#define TRY(x)                                                          \
	do {                                                            \
		if (!(x)) {                                             \
			fprintf(stderr, "line %d: %s\n", __LINE__, #x); \
			_exit(1);                                       \
		}                                                       \
	} while (0)

static void in_child(void (*fn)(void))
{
	int status;
	pid_t pid = fork();

	if (pid == 0) {
		close_range(3, ~0U, 0);
		fn();
		_exit(0);
	}
	CHECK(pid > 0);
	CHECK_EQ(waitpid(pid, &status, 0), pid);
	CHECK_EQ(status, 0);
}

static void set_own_pid(const char *name)
{
	char text[16];

	snprintf(text, sizeof(text), "%d", (int)getpid());
	TRY(setenv(name, text, 1) == 0);
}

/* What a manager does for @n descriptors, which are all /dev/null. */
static void pass_fds(int n, const char *names)
{
	char text[16];

	for (int i = 0; i < n; i++)
		TRY(open("/dev/null", O_RDWR) == 3 + i);
	snprintf(text, sizeof(text), "%d", n);
	TRY(setenv("LISTEN_FDS", text, 1) == 0);
	if (names)
		TRY(setenv("LISTEN_FDNAMES", names, 1) == 0);
	set_own_pid("LISTEN_PID");
}

static bool variables_are_gone(void)
{
	return !getenv("LISTEN_PID") && !getenv("LISTEN_FDS") &&
	       !getenv("LISTEN_FDNAMES") && !getenv("NOTIFY_SOCKET") &&
	       !getenv("WATCHDOG_USEC") && !getenv("WATCHDOG_PID");
}

/* ---- descriptors -------------------------------------------------------- */

static void two_with_names(void)
{
	struct dv_systemd sd = DV_SYSTEMD_INIT;

	pass_fds(2, "door:");
	TRY(dv_systemd_take_fds(&sd, NULL) == 2);
	TRY(sd.n_fds == 2 && variables_are_gone());
	TRY(dv_fd_is_cloexec(3) == 1 && dv_fd_is_cloexec(4) == 1);
	TRY(!strcmp(dv_systemd_fd_name(&sd, 3), "door"));
	TRY(!strcmp(dv_systemd_fd_name(&sd, 4), "unknown"));
	dv_systemd_close(&sd);
	dv_systemd_close(&sd);
	TRY(dv_fd_mode(3) == -EBADF && dv_fd_mode(4) == -EBADF);
}

TEST(descriptors_are_taken_with_their_names_out_of_the_environment)
{
	in_child(two_with_names);
}

static void one_without_names(void)
{
	struct dv_systemd sd = DV_SYSTEMD_INIT;

	pass_fds(1, NULL);
	TRY(dv_systemd_take_fds(&sd, NULL) == 1);
	TRY(!strcmp(dv_systemd_fd_name(&sd, 3), "unknown"));
	dv_systemd_close(&sd);
}

TEST(descriptor_without_names_is_unknown)
{
	in_child(one_without_names);
}

static void for_another(void)
{
	struct dv_systemd sd = DV_SYSTEMD_INIT;

	pass_fds(1, NULL);
	TRY(setenv("LISTEN_PID", "1", 1) == 0);
	TRY(dv_systemd_take_fds(&sd, NULL) == 0);
	TRY(sd.n_fds == 0 && variables_are_gone());
	TRY(dv_fd_is_cloexec(3) == 0);
	dv_systemd_close(&sd);
	TRY(dv_fd_mode(3) >= 0);
}

TEST(descriptors_for_another_process_are_left_alone)
{
	in_child(for_another);
}

static void most(void)
{
	struct dv_systemd sd = DV_SYSTEMD_INIT;

	pass_fds(DV_SYSTEMD_FDS_MAX, NULL);
	TRY(dv_systemd_take_fds(&sd, NULL) == DV_SYSTEMD_FDS_MAX);
	dv_systemd_close(&sd);
	pass_fds(DV_SYSTEMD_FDS_MAX + 1, NULL);
	TRY(dv_systemd_take_fds(&sd, NULL) == -ERANGE);
	TRY(sd.n_fds == 0);
	dv_systemd_close(&sd);
}

TEST(more_descriptors_than_the_maximum_are_refused)
{
	in_child(most);
}

/* Each variable in turn; NULL: it is not set. One descriptor is open. */
static const struct {
	const char *pid, *fds, *names; /* pid "": our own */
	int r;
} odd[] = {
	{ "", NULL, NULL, 0 },
	{ NULL, "1", NULL, 0 },
	{ "", "0", NULL, 0 },
	{ "", "", NULL, -EINVAL },
	{ "", "x", NULL, -EINVAL },
	{ "", "-1", NULL, -EINVAL },
	{ "", " 1", NULL, -EINVAL },
	{ "", "1x", NULL, -EINVAL },
	{ "", "99999999999999999999", NULL, -EINVAL },
	{ "", "2147483647", NULL, -ERANGE },
	{ "", "2", NULL, -EBADF },
	{ "", "1", "a:b", -EINVAL },
	{ "", "1", "a:", -EINVAL },
	{ "", "1", "", 1 },
	{ "x", "1", NULL, -EINVAL },
	{ "0", "1", NULL, -EINVAL },
	{ "-5", "1", NULL, -EINVAL },
	{ "4294967296", "1", NULL, -EINVAL },
	{ "1", "x", NULL, 0 },
};

static void odd_fds(void)
{
	for (size_t i = 0; i < DV_ARRAY_LEN(odd); i++) {
		struct dv_systemd sd = DV_SYSTEMD_INIT;
		struct dv_err err = DV_ERR_INIT;
		int r;

		pass_fds(1, odd[i].names);
		if (odd[i].fds)
			setenv("LISTEN_FDS", odd[i].fds, 1);
		else
			unsetenv("LISTEN_FDS");
		if (!odd[i].pid)
			unsetenv("LISTEN_PID");
		else if (*odd[i].pid)
			setenv("LISTEN_PID", odd[i].pid, 1);
		r = dv_systemd_take_fds(&sd, &err);
		if (r != odd[i].r)
			fprintf(stderr, "row %zu: %d\n", i, r);
		TRY(r == odd[i].r && sd.n_fds == dv_max(r, 0));
		TRY((r < 0) == (err.msg[0] != '\0') && variables_are_gone());
		dv_systemd_close(&sd);
		close(3);
	}
}

TEST(odd_variables_about_descriptors_are_told_apart)
{
	in_child(odd_fds);
}

TEST(door_is_a_unix_stream_socket_that_listens)
{
	struct sockaddr_un sa = { .sun_family = AF_UNIX };
	socklen_t len = sizeof(sa.sun_family); /* the kernel chooses a name */
	dv_autofd int stream = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	dv_autofd int packet =
		socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	dv_autofd int inet = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	dv_autofd int file = open("/dev/null", O_RDONLY | O_CLOEXEC);

	CHECK(!dv_systemd_fd_is_door(stream));
	CHECK_EQ(bind(stream, (struct sockaddr *)&sa, len), 0);
	CHECK(!dv_systemd_fd_is_door(stream));
	CHECK_EQ(listen(stream, 1), 0);
	CHECK(dv_systemd_fd_is_door(stream));
	CHECK_EQ(bind(packet, (struct sockaddr *)&sa, len), 0);
	CHECK_EQ(listen(packet, 1), 0);
	CHECK(!dv_systemd_fd_is_door(packet));
	CHECK_EQ(listen(inet, 1), 0);
	CHECK(!dv_systemd_fd_is_door(inet));
	CHECK(!dv_systemd_fd_is_door(file));
	CHECK(!dv_systemd_fd_is_door(-1));
}

/* ---- telling ------------------------------------------------------------ */

struct manager {
	int fd;
	char dir[32], path[64];
};

static void manager_at(struct manager *m, const struct sockaddr_un *sa,
		       size_t len)
{
	m->fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	CHECK(m->fd >= 0);
	CHECK_EQ(bind(m->fd, (const struct sockaddr *)sa, (socklen_t)len), 0);
}

static void manager_open(struct manager *m)
{
	struct sockaddr_un sa = { .sun_family = AF_UNIX };

	snprintf(m->dir, sizeof(m->dir), "/tmp/davit-test.XXXXXX");
	CHECK(mkdtemp(m->dir));
	snprintf(m->path, sizeof(m->path), "%s/notify", m->dir);
	memcpy(sa.sun_path, m->path, strlen(m->path) + 1);
	manager_at(m, &sa, sizeof(sa));
	setenv("NOTIFY_SOCKET", m->path, 1);
}

static void manager_close(struct manager *m)
{
	m->fd = dv_close(m->fd);
	unlink(m->path);
	rmdir(m->dir);
}

static void hears(const struct manager *m, const char *text)
{
	char got[8192];
	ssize_t n = recv(m->fd, got, sizeof(got) - 1, 0);

	CHECK(n >= 0);
	got[n] = '\0';
	CHECK_STR(got, text);
}

TEST(message_arrives_at_a_path)
{
	struct dv_systemd sd = DV_SYSTEMD_INIT;
	struct manager m;

	manager_open(&m);
	CHECK_EQ(dv_systemd_take_notify(&sd, NULL), 0);
	CHECK(variables_are_gone());
	CHECK_EQ(dv_fd_is_cloexec(sd.notify), 1);
	CHECK_EQ(dv_systemd_tell(&sd, "READY=1\n"), 0);
	CHECK_EQ(dv_systemd_tell(&sd, "STOPPING=1\nSTATUS=ends\n"), 0);
	hears(&m, "READY=1\n");
	hears(&m, "STOPPING=1\nSTATUS=ends\n");
	dv_systemd_close(&sd);
	manager_close(&m);
	CHECK_EQ(dv_systemd_tell(&sd, "READY=1\n"), 0);
}

TEST(message_arrives_at_an_abstract_name)
{
	struct dv_systemd sd = DV_SYSTEMD_INIT;
	struct sockaddr_un sa = { .sun_family = AF_UNIX };
	struct manager m = { .fd = -1 };
	char text[80];
	int len = snprintf(text, sizeof(text), "@davit-systemd-test-%d",
			   (int)getpid());

	memcpy(sa.sun_path + 1, text + 1, (size_t)len - 1);
	manager_at(&m, &sa, sizeof(sa.sun_family) + (size_t)len);
	setenv("NOTIFY_SOCKET", text, 1);
	CHECK_EQ(dv_systemd_take_notify(&sd, NULL), 0);
	CHECK_EQ(dv_systemd_tell(&sd, "READY=1"), 0);
	hears(&m, "READY=1");
	dv_systemd_close(&sd);
	dv_close(m.fd);
}

TEST(addresses_that_are_none_are_refused)
{
	char path[120], name[120];
	struct {
		const char *text;
		int r;
	} rows[] = {
		{ "", 0 },
		{ "relative", -EAFNOSUPPORT },
		{ "vsock:2:1", -EAFNOSUPPORT },
		{ "@", -EINVAL },
		{ "/nonexistent/davit", -ENOENT },
		{ "/dev/null", -ECONNREFUSED },
		{ path, -ENAMETOOLONG },
		{ name, -ENAMETOOLONG },
		{ name + 1, -ECONNREFUSED }, /* fits, and nobody is there */
	};

	memset(path, 'x', sizeof(path));
	path[0] = '/';
	path[108] = '\0';
	memset(name, 'x', sizeof(name));
	name[0] = name[1] = '@';
	name[109] = '\0';
	for (size_t i = 0; i < DV_ARRAY_LEN(rows); i++) {
		struct dv_systemd sd = DV_SYSTEMD_INIT;
		struct dv_err err = DV_ERR_INIT;

		setenv("NOTIFY_SOCKET", rows[i].text, 1);
		CHECK_EQ(dv_systemd_take_notify(&sd, &err), rows[i].r);
		CHECK(variables_are_gone());
		CHECK_EQ(sd.notify, -1);
		CHECK_EQ(dv_systemd_tell(&sd, "READY=1"), 0);
		dv_systemd_close(&sd);
	}
}

TEST(message_that_the_manager_would_drop_is_not_sent)
{
	static char text[DV_SYSTEMD_TEXT_MAX + 2];
	struct dv_systemd sd = DV_SYSTEMD_INIT;
	struct manager m;

	manager_open(&m);
	CHECK_EQ(dv_systemd_take_notify(&sd, NULL), 0);
	memset(text, 'x', sizeof(text) - 1);
	CHECK_EQ(dv_systemd_tell(&sd, text), -EMSGSIZE);
	text[DV_SYSTEMD_TEXT_MAX] = '\0';
	CHECK_EQ(dv_systemd_tell(&sd, text), 0);
	hears(&m, text);
	dv_systemd_close(&sd);
	manager_close(&m);
}

TEST(manager_that_is_behind_is_not_waited_for_forever)
{
	struct dv_systemd sd = DV_SYSTEMD_INIT;
	struct manager m;
	int r = 0;

	manager_open(&m);
	CHECK_EQ(dv_systemd_take_notify(&sd, NULL), 0);
	for (int i = 0; r == 0 && i < 100000; i++)
		r = dv_systemd_tell(&sd, "STATUS=x");
	CHECK_EQ(r, -EAGAIN);
	manager_close(&m);
	CHECK_EQ(dv_systemd_tell(&sd, "STATUS=x"), -ECONNREFUSED);
	dv_systemd_close(&sd);
}

/* ---- the watchdog ------------------------------------------------------- */

TEST(watchdog_is_fed_as_long_as_the_loop_goes_round)
{
	struct dv_systemd sd = DV_SYSTEMD_INIT;
	struct dv_loop *loop;
	struct manager m;

	manager_open(&m);
	set_own_pid("WATCHDOG_PID");
	setenv("WATCHDOG_USEC", "4000", 1);
	CHECK_EQ(dv_systemd_take_notify(&sd, NULL), 0);
	CHECK(variables_are_gone());
	CHECK_EQ(sd.feed_ns, 2000000);
	CHECK_EQ(dv_loop_new(&loop), 0);
	CHECK_EQ(dv_systemd_feed(&sd, loop), 0);
	for (int i = 0; i < 3; i++) {
		CHECK_EQ(dv_loop_dispatch(loop, -1), 1);
		hears(&m, "WATCHDOG=1\n");
	}
	dv_systemd_close(&sd);
	CHECK(!dv_loop_free(loop));
	manager_close(&m);
}

TEST(watchdog_needs_a_manager_and_means_one_process)
{
	static const struct {
		const char *usec, *pid;
		int r;
		uint64_t feed_ns;
	} rows[] = {
		{ NULL, NULL, 0, 0 },
		{ "2000000", NULL, 0, 1000000000 },
		{ "2000000", "1", 0, 0 },
		{ "2000000", "x", -EINVAL, 0 },
		{ "1", NULL, 0, 1000000 },
		{ "0", NULL, -EINVAL, 0 },
		{ "x", NULL, -EINVAL, 0 },
		{ "18446744073709551615", NULL, -ERANGE, 0 },
	};
	struct manager m;

	for (size_t i = 0; i < DV_ARRAY_LEN(rows); i++) {
		struct dv_systemd sd = DV_SYSTEMD_INIT;
		struct dv_err err = DV_ERR_INIT;
		int r;

		manager_open(&m);
		if (rows[i].usec)
			setenv("WATCHDOG_USEC", rows[i].usec, 1);
		if (rows[i].pid)
			setenv("WATCHDOG_PID", rows[i].pid, 1);
		r = dv_systemd_take_notify(&sd, &err);
		CHECK_EQ(r < 0, rows[i].r < 0);
		CHECK(variables_are_gone());
		CHECK_EQ(sd.feed_ns, rows[i].feed_ns);
		/* A bad watchdog keeps nobody from telling. */
		CHECK(sd.notify >= 0);
		dv_systemd_close(&sd);
		manager_close(&m);
	}
	setenv("WATCHDOG_USEC", "2000000", 1);
	CHECK_EQ(dv_systemd_take_notify(&(struct dv_systemd)DV_SYSTEMD_INIT,
					NULL),
		 0);
	CHECK(variables_are_gone());
}
