/* SPDX-License-Identifier: MIT */
#include "rpc/shares.h"

#include "rpc/data.h"
#include "rpc/rpc_try.h"

static struct dv_peer process(uid_t uid, pid_t pid)
{
	struct dv_peer peer = DV_PEER_INIT;

	peer.uid = uid;
	peer.pid = pid;
	return peer;
}

static struct dv_holder *join(struct dv_shares *s, uid_t uid, pid_t pid,
			      size_t n)
{
	struct dv_peer peer = process(uid, pid);
	struct dv_holder *h = dv_shares_join(s, &peer);

	assert_non_null(h);
	dv_holder_add(h, DV_SHARE_CONNS, n);
	return h;
}

TEST(holders_are_told_apart_by_user_process_and_machine)
{
	struct dv_peer one = process(7, 1), other = process(8, 1);
	struct dv_peer vm = DV_PEER_INIT;
	struct dv_shares s = { 0 };
	struct dv_holder *h[6];

	vm.cid = 7;
	h[0] = dv_shares_join(&s, &one);
	h[1] = dv_shares_join(&s, &other);
	one.pid = 2;
	h[2] = dv_shares_join(&s, &one);
	h[3] = dv_shares_join(&s, &vm);
	h[4] = dv_shares_join(&s, NULL);
	h[5] = dv_shares_join(&s, &one);
	for (int i = 0; i < 5; i++)
		for (int j = 0; j < i; j++)
			CHECK(h[i] != h[j]);
	CHECK(h[2] == h[5]);
	CHECK(h[0]->user == h[2]->user && h[0]->user != h[1]->user);
	dv_holder_add(h[5], DV_SHARE_BYTES, 10);
	CHECK_EQ(s.n[DV_SHARE_BYTES], 10);
	for (int i = 0; i < 6; i++)
		dv_holder_leave(h[i]);
	CHECK_EQ(s.n[DV_SHARE_BYTES], 0);
	CHECK(s.users == NULL);
}

TEST(greediest_process_of_the_greediest_user_pays)
{
	struct dv_shares s = { 0 };
	struct dv_holder *forks[5], *single, *modest;
	struct dv_payers p;

	/* Five processes of one user have more than another's one. */
	for (int i = 0; i < 5; i++)
		forks[i] = join(&s, 1000, 10 + i, i == 3 ? 3 : 2);
	single = join(&s, 2000, 20, 9);
	modest = join(&s, 3000, 30, 1);
	p = dv_shares_payers(&s, DV_SHARE_CONNS, single);
	for (int i = 0; i < 5; i++)
		CHECK_EQ(dv_pays(&p, forks[i]), i == 3);
	CHECK(!dv_pays(&p, single) && !dv_pays(&p, modest));
	/* Who asks among equals pays himself. */
	dv_holder_add(single, DV_SHARE_CONNS, 2);
	p = dv_shares_payers(&s, DV_SHARE_CONNS, single);
	CHECK(dv_pays(&p, single) && !dv_pays(&p, forks[3]));
	p = dv_shares_payers(&s, DV_SHARE_CONNS, forks[0]);
	CHECK(!dv_pays(&p, single) && dv_pays(&p, forks[3]));
	for (int i = 0; i < 5; i++)
		dv_holder_leave(forks[i]);
	dv_holder_leave(single);
	dv_holder_leave(modest);
	p = dv_shares_payers(&s, DV_SHARE_CONNS, NULL);
	CHECK(p.user == NULL);
}

/* A connection of @peer to the server, or -1; then the server closed it. */
static int connect_as(struct try *t, const struct dv_peer *peer)
{
	int fds[2];

	CHECK_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK,
			    0, fds),
		 0);
	if (dv_server_take(t->server, fds[0], DV_PROTO_TTRPC, peer, NULL, 0,
			   NULL, 0) == 0)
		return fds[1];
	dv_close(fds[1]);
	return -1;
}

static void ping(struct try *t, int fd)
{
	try_call(t, fd, 1, "Ping", NULL, 0);
	CHECK_EQ(try_answer(t, fd, 1, NULL, 0), 0);
}

/*
 * One process holds a call on each connection that there is, and asks for more.
 * What others have stays, those who come get in, and only it loses: its newest.
 */
TEST(process_that_holds_every_connection_makes_room_for_others)
{
	enum { MAX = 8 };
	struct dv_server_opts o = { .size = sizeof(o), .max_conns = MAX };
	struct dv_peer good = process(0, 1), bad = process(0, 2), late;
	int idle, fd, held[MAX - 1];
	struct try t;

	try_open(&t, &o);
	idle = connect_as(&t, &good);
	ping(&t, idle);
	for (int i = 0; i < MAX - 1; i++) {
		held[i] = connect_as(&t, &bad);
		try_call(&t, held[i], 3, "Hold", NULL, 0);
		try_pump(t.loop);
	}
	for (int i = 0; i < 20; i++)
		CHECK_EQ(connect_as(&t, &bad), -1);
	for (int i = 1; i < 4; i++) {
		late = process(0, 100 + i);
		fd = connect_as(&t, &late);
		ping(&t, fd);
		CHECK_EQ(try_silent(&t, held[MAX - 2]), 0);
		CHECK_EQ(try_silent(&t, held[MAX - 3]), 1);
		dv_close(fd);
		dv_close(held[MAX - 2]);
		try_pump(t.loop);
		held[MAX - 2] = connect_as(&t, &bad);
		try_call(&t, held[MAX - 2], 3, "Hold", NULL, 0);
		try_pump(t.loop);
	}
	ping(&t, idle);
	CHECK_EQ(t.n_cancelled, 3);
	for (int i = 0; i < MAX - 1; i++)
		dv_close(held[i]);
	dv_close(idle);
	try_close(&t);
}

/* Many processes with one connection each are one user: others stay. */
TEST(user_who_forks_pays_for_others)
{
	enum { MAX = 6 };
	struct dv_server_opts o = { .size = sizeof(o), .max_conns = MAX };
	struct dv_peer good = process(1, 1), fork;
	int mine[2], forks[20];
	struct try t;

	try_open(&t, &o);
	mine[0] = connect_as(&t, &good);
	mine[1] = connect_as(&t, &good);
	for (int i = 0; i < 20; i++) {
		fork = process(2, 100 + i);
		forks[i] = connect_as(&t, &fork);
		CHECK(forks[i] >= 0);
		try_call(&t, forks[i], 1, "Hold", NULL, 0);
		try_pump(t.loop);
	}
	ping(&t, mine[0]);
	ping(&t, mine[1]);
	/* Those who were there first, and the last one. */
	CHECK_EQ(try_silent(&t, forks[2]), 1);
	CHECK_EQ(try_silent(&t, forks[18]), 0);
	CHECK_EQ(try_silent(&t, forks[19]), 1);
	for (int i = 0; i < 20; i++)
		dv_close(forks[i]);
	dv_close(mine[0]);
	dv_close(mine[1]);
	try_close(&t);
}

TEST(calls_of_the_greediest_make_room_for_those_of_others)
{
	struct dv_server_opts o = { .size = sizeof(o), .max_in_flight = 6 };
	struct dv_peer good = process(0, 1), bad = process(0, 2);
	int a, b, fd;
	struct try t;

	try_open(&t, &o);
	a = connect_as(&t, &bad);
	b = connect_as(&t, &bad);
	fd = connect_as(&t, &good);
	for (uint32_t i = 1; i <= 7; i += 2) {
		try_call(&t, a, i, "Hold", NULL, 0);
		try_call(&t, b, i, "Hold", NULL, 0);
	}
	CHECK_EQ(try_answer(&t, a, 7, NULL, 0), DV_EXHAUSTED);
	CHECK_EQ(try_answer(&t, b, 7, NULL, 0), DV_EXHAUSTED);
	CHECK_EQ(t.n_held, 6);
	/* Others' calls go on, and their held ones take from it. */
	ping(&t, fd);
	for (uint32_t i = 3; i <= 5; i += 2)
		try_call(&t, fd, i, "Hold", NULL, 0);
	try_pump(t.loop);
	CHECK_EQ(t.n_held, 6);
	CHECK_EQ(t.n_cancelled, 2);
	CHECK_EQ(try_answer(&t, a, 5, NULL, 0) + try_answer(&t, b, 5, NULL, 0),
		 2 * DV_EXHAUSTED);
	CHECK_EQ(try_silent(&t, fd), 1);
	dv_close(a);
	dv_close(b);
	dv_close(fd);
	try_close(&t);
}

/* Answers that nobody reads are charged, too: the one who asks for most ends.
 */
TEST(unread_answers_of_all_connections_have_a_limit)
{
	enum { N = 12, CALLS = 4, LEN = DV_RPC_SEND_MAX - 64 };
	static const uint8_t want[] = { 0x08, 0xc0, 0xff, 0xff, 0x01 };
	struct dv_peer good = process(0, 1), bad = process(0, 2);
	struct dv_server_stats stats;
	int fd[N], innocent;
	struct try t;

	CHECK_EQ(LEN, 4194240); /* what the request says */
	try_open(&t, NULL);
	innocent = connect_as(&t, &good);
	try_call(&t, innocent, 1, "Big", want, sizeof(want));
	for (int i = 0; i < N; i++) {
		fd[i] = connect_as(&t, &bad);
		for (uint32_t n = 0; n < CALLS; n++)
			try_call(&t, fd[i], 2 * n + 1, "HoldOnce", want,
				 sizeof(want));
		try_pump(t.loop);
		while (t.n_held > 0) {
			struct dv_call *call = t.held[--t.n_held];
			char *p = calloc(1, LEN);

			dv_call_reply_bytes(call, p, LEN);
			free(p);
		}
		try_pump(t.loop);
	}
	dv_server_stats(t.server, &stats);
	CHECK(stats.conns < N + 1 && stats.conns > N / 2);
	CHECK_EQ(try_answer(&t, innocent, 1, NULL, 0), 0);
	for (int i = 0; i < N; i++)
		dv_close(fd[i]);
	dv_close(innocent);
	try_close(&t);
}

/* ---- data connections ---- */

static int data_as(struct dv_data *d, const struct dv_peer *peer, uint64_t *idp)
{
	uint8_t id[8];
	struct dv_rd rd = dv_rd_mem(id, sizeof(id));
	int fds[2];

	CHECK_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
	CHECK_EQ(dv_data_take(d, fds[0], peer), 0);
	CHECK_EQ(recv(fds[1], id, sizeof(id), MSG_DONTWAIT), sizeof(id));
	*idp = dv_rd_le64(&rd);
	return fds[1];
}

TEST(flood_of_data_connections_drops_its_own)
{
	struct dv_data_opts o = { .size = sizeof(o), .max = 8 };
	struct dv_peer good = process(0, 1), bad = process(0, 2);
	uint64_t mine[2], theirs[50];
	int fd[2], fds[50], got;
	struct dv_loop *loop;
	struct dv_data *d;

	CHECK_EQ(dv_loop_new(&loop), 0);
	CHECK_EQ(dv_data_new(&d, loop, &o), 0);
	fd[0] = data_as(d, &good, &mine[0]);
	for (int i = 0; i < 50; i++) {
		fds[i] = data_as(d, &bad, &theirs[i]);
		if (i == 25)
			fd[1] = data_as(d, &good, &mine[1]);
	}
	CHECK_EQ(dv_data_count(d), 8);
	for (int i = 0; i < 2; i++) {
		got = dv_data_claim(d, mine[i], NULL);
		CHECK(got >= 0);
		dv_close(got);
		dv_close(fd[i]);
	}
	/* The last six of the flood. */
	CHECK_EQ(dv_data_claim(d, theirs[43], NULL), -ENOENT);
	got = dv_data_claim(d, theirs[44], NULL);
	CHECK(got >= 0);
	dv_close(got);
	for (int i = 0; i < 50; i++)
		dv_close(fds[i]);
	dv_data_free(d);
	dv_loop_free(loop);
}
