/* SPDX-License-Identifier: MIT */
#include "rpc/data.h"

#include <sys/resource.h>

#include "rpc/rpc_try.h"

struct room {
	struct dv_loop *loop;
	struct dv_data *data;
};

static void open_room(struct room *r)
{
	CHECK_EQ(dv_loop_new(&r->loop), 0);
	CHECK_EQ(dv_data_new(&r->data, r->loop, NULL), 0);
}

static void close_room(struct room *r)
{
	dv_data_free(r->data);
	dv_loop_free(r->loop);
}

/* A connection; @idp is what its client reads. */
static int arrive(struct room *r, uint64_t *idp)
{
	uint8_t id[8];
	struct dv_rd rd = dv_rd_mem(id, sizeof(id));
	int fds[2];

	CHECK_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
	CHECK_EQ(dv_data_take(r->data, fds[0], NULL), 0);
	CHECK_EQ(recv(fds[1], id, sizeof(id), MSG_DONTWAIT), sizeof(id));
	*idp = dv_rd_le64(&rd);
	return fds[1];
}

TEST(id_claims_its_connection_once)
{
	struct dv_err err = DV_ERR_INIT;
	uint64_t id, other;
	struct room r;
	char c = 'x';
	int fd, fd2, got;

	open_room(&r);
	fd = arrive(&r, &id);
	fd2 = arrive(&r, &other);
	CHECK(id != other && id != 0 && id >> 32 != 0);
	CHECK_EQ(dv_data_count(r.data), 2);
	/* What came early is still there. */
	CHECK_EQ(send(fd, &c, 1, 0), 1);
	got = dv_data_claim(r.data, id, &err);
	CHECK(got >= 0);
	CHECK(fcntl(got, F_GETFL) & O_NONBLOCK);
	c = 0;
	CHECK_EQ(read(got, &c, 1), 1);
	CHECK_EQ(c, 'x');
	CHECK_EQ(dv_data_claim(r.data, id, &err), -ENOENT);
	CHECK_STR(err.msg, "invalid connection id");
	CHECK_EQ(dv_data_claim(r.data, 0, &err), -ENOENT);
	CHECK_EQ(dv_data_claim(r.data, other + 1, &err), -ENOENT);
	CHECK_EQ(dv_data_count(r.data), 1);
	dv_close(got);
	dv_close(fd);
	dv_close(fd2);
	close_room(&r);
}

TEST(hangup_evicts_or_is_seen_by_the_claim)
{
	struct dv_err err = DV_ERR_INIT;
	uint64_t id;
	struct room r;
	int fd;

	open_room(&r);
	fd = arrive(&r, &id);
	shutdown(fd, SHUT_WR);
	CHECK_EQ(dv_data_claim(r.data, id, &err), -ENOENT);
	CHECK_STR(err.msg, "connection disconnected");
	dv_close(fd);
	fd = arrive(&r, &id);
	dv_close(fd);
	try_pump(r.loop);
	CHECK_EQ(dv_data_count(r.data), 0);
	CHECK_EQ(dv_data_claim(r.data, id, &err), -ENOENT);
	CHECK_STR(err.msg, "invalid connection id");
	close_room(&r);
}

/* Over the limit the oldest one goes; nobody else is touched. */
TEST(flood_drops_the_oldest)
{
	struct rlimit old, new;
	uint64_t first, second, id;
	int fds[DV_DATA_MAX + 1], got;
	struct dv_err err = DV_ERR_INIT;
	struct room r;
	char c;

	getrlimit(RLIMIT_NOFILE, &old);
	new = old;
	new.rlim_cur = dv_min((rlim_t)4096, old.rlim_max);
	if (new.rlim_cur < 2 * DV_DATA_MAX + 64)
		SKIP("the limit of descriptors is too low");
	setrlimit(RLIMIT_NOFILE, &new);
	open_room(&r);
	fds[0] = arrive(&r, &first);
	fds[1] = arrive(&r, &second);
	for (int i = 2; i <= DV_DATA_MAX; i++)
		fds[i] = arrive(&r, &id);
	CHECK_EQ(dv_data_count(r.data), DV_DATA_MAX);
	CHECK_EQ(recv(fds[0], &c, 1, MSG_DONTWAIT), 0);
	CHECK_EQ(dv_data_claim(r.data, first, &err), -ENOENT);
	got = dv_data_claim(r.data, second, &err);
	CHECK(got >= 0);
	dv_close(got);
	for (int i = 0; i <= DV_DATA_MAX; i++)
		dv_close(fds[i]);
	close_room(&r);
	setrlimit(RLIMIT_NOFILE, &old);
}

/* The oldest first, each at its own time. */
TEST(unclaimed_connections_end_at_their_deadline)
{
	struct dv_data_opts o = { .size = sizeof(o), .expire_ms = 20 };
	uint64_t id, began = dv_now_ns();
	struct room r;
	int fd[2];
	char c;

	CHECK_EQ(dv_loop_new(&r.loop), 0);
	CHECK_EQ(dv_data_new(&r.data, r.loop, &o), 0);
	fd[0] = arrive(&r, &id);
	while (recv(fd[0], &c, 1, MSG_DONTWAIT) != 0)
		dv_loop_dispatch(r.loop, -1);
	CHECK(dv_now_ns() - began >= UINT64_C(20000000));
	fd[1] = arrive(&r, &id);
	while (recv(fd[1], &c, 1, MSG_DONTWAIT) != 0)
		dv_loop_dispatch(r.loop, -1);
	CHECK(dv_now_ns() - began >= UINT64_C(40000000));
	CHECK_EQ(dv_data_count(r.data), 0);
	CHECK_EQ(dv_data_claim(r.data, id, NULL), -ENOENT);
	o.size--;
	CHECK_EQ(dv_data_new(&r.data, r.loop, &o), -EINVAL);
	dv_close(fd[0]);
	dv_close(fd[1]);
	close_room(&r);
}

TEST(connection_without_room_for_its_id_is_closed)
{
	char block[4096] = { 0 };
	int fds[2];
	struct room r;

	open_room(&r);
	CHECK_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
	while (send(fds[0], block, sizeof(block), MSG_DONTWAIT) > 0)
		;
	CHECK_EQ(dv_data_take(r.data, fds[0], NULL), -EAGAIN);
	CHECK_EQ(dv_data_count(r.data), 0);
	dv_close(fds[1]);
	close_room(&r);
}

struct kept {
	uint64_t id;
	int fd, n;
};

static int keep(void *arg, uint64_t id, int fd)
{
	struct kept *k = arg;

	k->id = id;
	k->fd = dv_fd_dup(fd, 0);
	k->n++;
	return 0;
}

TEST(restored_connections_have_their_ids)
{
	struct kept k = { 0 };
	struct room a, b;
	uint64_t id;
	int fd, got;

	open_room(&a);
	open_room(&b);
	fd = arrive(&a, &id);
	CHECK_EQ(dv_data_save(a.data, keep, &k), 0);
	close_room(&a);
	CHECK_EQ(k.n, 1);
	CHECK(k.id == id);
	CHECK_EQ(dv_data_restore(b.data, k.id, k.fd), 0);
	CHECK_EQ(dv_data_restore(b.data, k.id, dv_fd_dup(fd, 0)), -EINVAL);
	got = dv_data_claim(b.data, id, NULL);
	CHECK(got >= 0);
	dv_close(got);
	dv_close(fd);
	close_room(&b);
}
