/* SPDX-License-Identifier: MIT */
#include "rpc/door.h"

#include <stdio.h>
#include <sys/resource.h>
#include <sys/un.h>

#include "rpc/rpc_try.h"
#include "transport/hvsock_accept.h"
#include "transport/unix.h"

#define PING                                                           \
	"000000180000000101000a10646961672e4f70656e68636c446961671204" \
	"50696e67"
#define PONG "000000020000000102001200"

struct house {
	struct try t;
	struct dv_data *data;
	struct dv_door *door;
	char dir[64], path[108];
	struct dv_entry entry; /* of the last connect or probe */
	char head[64];
	int n_entries;
	bool closed; /* nobody is admitted */
};

static int take_entry(void *arg, const struct dv_entry *e)
{
	struct house *h = arg;

	h->entry = *e;
	memcpy(h->head, e->head, dv_min(e->len, sizeof(h->head)));
	h->n_entries++;
	for (size_t i = 0; i < e->n_fds; i++)
		dv_close(e->fds[i]);
	dv_close(e->fd);
	return 0;
}

static int answer_entry(void *arg, const struct dv_entry *e)
{
	struct dv_hvsock_addr addr = { e->port, e->guid };
	int fd = dv_fd_dup(e->fd, 0);

	CHECK_EQ(dv_hvsock_answer(fd, &addr, e->number), 0);
	dv_close(fd);
	return take_entry(arg, e);
}

static bool admit(void *arg, const struct dv_peer *peer)
{
	struct house *h = arg;

	CHECK_EQ(peer->uid, geteuid());
	CHECK_EQ(peer->pid, getpid());
	return !h->closed;
}

static void house_open(struct house *h, unsigned int max_silent, int ms)
{
	/* Both deadlines of a client: to say what it wants, and to claim. */
	struct dv_data_opts data_opts = { .size = sizeof(data_opts),
					  .expire_ms = ms };
	struct dv_door_opts o = { .size = sizeof(o) };

	memset(h, 0, sizeof(*h));
	try_open(&h->t, NULL);
	snprintf(h->dir, sizeof(h->dir), "/tmp/davit-door-XXXXXX");
	assert_non_null(mkdtemp(h->dir));
	snprintf(h->path, sizeof(h->path), "%s/sock", h->dir);
	CHECK_EQ(dv_data_new(&h->data, h->t.loop, &data_opts), 0);
	o.server = o.diag = h->t.server;
	o.data = h->data;
	o.connect = answer_entry;
	o.probe = take_entry;
	o.admit = admit;
	o.arg = h;
	o.max_silent = max_silent;
	o.handshake_ms = ms;
	CHECK_EQ(dv_door_new(&h->door, h->t.loop, h->path, -1, &o, NULL), 0);
}

static void house_close(struct house *h)
{
	dv_door_free(h->door);
	dv_data_free(h->data);
	try_close(&h->t);
	CHECK_EQ(access(h->path, F_OK), -1);
	rmdir(h->dir);
}

static int knock(struct house *h)
{
	int fd = dv_unix_connect(h->path, NULL);

	CHECK(fd >= 0);
	try_pump(h->t.loop);
	return fd;
}

static void say(struct house *h, int fd, const char *text)
{
	try_write(&h->t, fd, text, strlen(text));
	try_pump(h->t.loop);
}

/* What came, as text. */
static const char *heard(struct house *h, int fd)
{
	static char buf[256];
	ssize_t n;

	try_pump(h->t.loop);
	n = recv(fd, buf, sizeof(buf) - 1, 0);
	buf[n > 0 ? n : 0] = '\0';
	return buf;
}

TEST(direct_ttrpc_is_served)
{
	struct house h;
	int fd;

	house_open(&h, 0, 0);
	fd = knock(&h);
	try_send_hex(&h.t, fd, PING);
	try_expect_hex(&h.t, fd, PONG);
	dv_close(fd);
	house_close(&h);
}

TEST(connect_to_the_control_port_is_served_also_byte_by_byte)
{
	static const char line[] = "CONNECT 1\n";
	struct house h;
	int fd;

	house_open(&h, 0, 0);
	fd = knock(&h);
	for (size_t i = 0; i < sizeof(line) - 1; i++) {
		CHECK_STR(heard(&h, fd), "");
		try_write(&h.t, fd, line + i, 1);
	}
	CHECK_STR(heard(&h, fd), "OK 1073741824\n");
	try_send_hex(&h.t, fd, PING);
	try_expect_hex(&h.t, fd, PONG);
	dv_close(fd);
	/* In one go with a request; and by service id. */
	fd = knock(&h);
	try_write(&h.t, fd, "connect 00000001-FACB-11e6-bd58-64006a7986d3\n",
		  45);
	CHECK_STR(heard(&h, fd), "OK 40000001-facb-11e6-bd58-64006a7986d3\n");
	dv_close(fd);
	fd = knock(&h);
	try_write(&h.t, fd, "CONNECT 1\n", 10);
	try_send_hex(&h.t, fd, PING);
	try_expect_hex(&h.t, fd, "4f4b20313037333734313832360a" PONG);
	dv_close(fd);
	house_close(&h);
}

TEST(connect_to_the_data_port_reads_ok_and_then_an_id)
{
	struct house h;
	uint8_t buf[22];
	struct dv_rd rd = dv_rd_mem(buf + 14, 8);
	int fd, got;

	house_open(&h, 0, 0);
	fd = knock(&h);
	say(&h, fd, "CONNECT 2\n");
	try_read(&h.t, fd, buf, sizeof(buf));
	assert_memory_equal(buf, "OK 1073741824\n", 14);
	got = dv_data_claim(h.data, dv_rd_le64(&rd), NULL);
	CHECK(got >= 0);
	dv_close(got);
	dv_close(fd);
	/* What is sent before the answer could not be kept. */
	fd = knock(&h);
	say(&h, fd, "CONNECT 2\nearly");
	CHECK_EQ(dv_data_count(h.data), 0);
	dv_close(fd);
	house_close(&h);
}

TEST(other_ports_and_probes_go_to_their_owner)
{
	struct house h;
	int fd;

	house_open(&h, 0, 0);
	fd = knock(&h);
	say(&h, fd, "CONNECT 8080\nGET /");
	CHECK_STR(heard(&h, fd), "OK 1073741824\n");
	CHECK_EQ(h.entry.port, 8080);
	CHECK_EQ(h.entry.len, 5);
	assert_memory_equal(h.head, "GET /", 5);
	dv_close(fd);
	fd = knock(&h);
	say(&h, fd, "\x01probe");
	CHECK_EQ(h.n_entries, 2);
	CHECK_EQ(h.entry.len, 6);
	dv_close(fd);
	house_close(&h);
}

TEST(garbage_and_bad_lines_are_closed)
{
	static const struct {
		const char *text, *answer;
	} bad[] = {
		{ "GET / HTTP/1.0\r\n", "" },
		{ "PRIx", "" },
		{ "CONNECT x\n", "ERR " },
		{ "CONNECT 4294967296\n", "ERR " },
		{ "CONNECT 0000000000000000000000000000000000000000000001",
		  "ERR " },
		{ "\x02", "" },
		{ "\xfd\x46\x44\x01", "" },
	};
	struct house h;

	house_open(&h, 0, 0);
	for (size_t i = 0; i < DV_ARRAY_LEN(bad); i++) {
		int fd = knock(&h);

		say(&h, fd, bad[i].text);
		CHECK_EQ(strncmp(heard(&h, fd), bad[i].answer,
				 strlen(bad[i].answer)),
			 0);
		CHECK_EQ(try_silent(&h.t, fd), 0);
		dv_close(fd);
	}
	CHECK_EQ(h.n_entries, 0);
	house_close(&h);
}

TEST(deadline_starts_with_the_first_byte)
{
	struct house h;
	int silent, slow;
	char c;

	house_open(&h, 0, 20);
	silent = knock(&h);
	slow = knock(&h);
	say(&h, slow, "CONN");
	while (recv(slow, &c, 1, 0) != 0)
		dv_loop_dispatch(h.t.loop, -1);
	CHECK_EQ(try_silent(&h.t, silent), 1);
	try_send_hex(&h.t, silent, PING);
	try_expect_hex(&h.t, silent, PONG);
	dv_close(silent);
	dv_close(slow);
	house_close(&h);
}

/* It reads its id, and then its end; a claimed one goes on. */
TEST(data_connection_that_nobody_claims_expires)
{
	uint8_t buf[22];
	int fd[3], got;
	struct house h;
	char c;

	house_open(&h, 0, 50);
	for (int i = 0; i < 3; i++) {
		fd[i] = knock(&h);
		say(&h, fd[i], "CONNECT 2\n");
	}
	for (;;) {
		struct dv_rd rd = dv_rd_mem(buf + 14, 8);

		try_read(&h.t, fd[0], buf, sizeof(buf));
		got = dv_data_claim(h.data, dv_rd_le64(&rd), NULL);
		if (got >= 0)
			break;
		/* We were kept from it for too long: try with another one. */
		dv_close(fd[0]);
		fd[0] = knock(&h);
		say(&h, fd[0], "CONNECT 2\n");
	}
	for (int i = 1; i < 3; i++) {
		try_read(&h.t, fd[i], buf, sizeof(buf));
		while (recv(fd[i], &c, 1, 0) != 0)
			dv_loop_dispatch(h.t.loop, -1);
	}
	CHECK_EQ(dv_data_count(h.data), 0);
	CHECK_EQ(send(got, "x", 1, MSG_NOSIGNAL), 1);
	CHECK_EQ(recv(fd[0], &c, 1, 0), 1);
	dv_close(got);
	for (int i = 0; i < 3; i++)
		dv_close(fd[i]);
	house_close(&h);
}

TEST(too_many_silent_ones_cost_the_oldest_its_place)
{
	struct house h;
	int fds[5];

	house_open(&h, 4, 0);
	for (int i = 0; i < 5; i++)
		fds[i] = knock(&h);
	CHECK_EQ(try_silent(&h.t, fds[0]), 0);
	for (int i = 1; i < 5; i++) {
		try_send_hex(&h.t, fds[i], PING);
		try_expect_hex(&h.t, fds[i], PONG);
	}
	for (int i = 0; i < 5; i++)
		dv_close(fds[i]);
	house_close(&h);
}

TEST(who_is_not_admitted_is_closed)
{
	struct house h;
	int fd;

	house_open(&h, 0, 0);
	h.closed = true;
	fd = knock(&h);
	CHECK_EQ(try_silent(&h.t, fd), 0);
	dv_close(fd);
	house_close(&h);
}

TEST(share_of_the_descriptors_is_a_limit)
{
	struct rlimit old, low;

	getrlimit(RLIMIT_NOFILE, &old);
	low = old;
	low.rlim_cur = 64;
	setrlimit(RLIMIT_NOFILE, &low);
	CHECK_EQ(dv_rpc_fd_share(1024, 4), 16);
	CHECK_EQ(dv_rpc_fd_share(7, 4), 7);
	low.rlim_cur = 3;
	setrlimit(RLIMIT_NOFILE, &low);
	CHECK_EQ(dv_rpc_fd_share(1024, 4), 1);
	setrlimit(RLIMIT_NOFILE, &old);
}

/* No descriptor for a new connection: it waits, and comes in later. */
TEST(without_descriptors_connections_wait)
{
	struct rlimit old, low;
	struct house h;
	int in, waits;

	house_open(&h, 0, 0);
	in = knock(&h);
	waits = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	CHECK(waits >= 0);
	getrlimit(RLIMIT_NOFILE, &old);
	low = old;
	low.rlim_cur = (rlim_t)waits + 1;
	setrlimit(RLIMIT_NOFILE, &low);
	{
		struct sockaddr_un a = { .sun_family = AF_UNIX };

		memcpy(a.sun_path, h.path, strlen(h.path));
		CHECK_EQ(connect(waits, (struct sockaddr *)&a, sizeof(a)), 0);
	}
	try_send_hex(&h.t, in, PING);
	try_expect_hex(&h.t, in, PONG);
	setrlimit(RLIMIT_NOFILE, &old);
	CHECK_EQ(dv_fd_nonblock(waits, true), 0);
	try_send_hex(&h.t, waits, PING);
	try_expect_hex(&h.t, waits, PONG);
	dv_close(in);
	dv_close(waits);
	house_close(&h);
}
