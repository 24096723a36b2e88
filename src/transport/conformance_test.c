/* SPDX-License-Identifier: MIT */
/*
 * One suite for every way to get a stream: each case runs against each row of
 * fixtures[]. A fixture makes pairs: what a client holds and what a server
 * holds, both non-blocking, with whatever is between them on the same loop.
 */
#include <sys/wait.h>

#include "transport/dial.h"
#include "transport/hvsock_accept.h"
#include "transport/relay.h"
#include "transport/try.h"
#include "transport/unix.h"

enum { PORT = 1024, PAIRS_MAX = 256, BULK = 3 << 20 };

struct pair {
	struct try_actor client, server;
	struct dv_tunnel tunnel;
};

struct bed {
	const struct fixture *fx;
	struct dv_loop *loop;
	struct dv_listener l;
	struct dv_target target;
	char dir[32];
	/* the connection that is being made */
	struct dv_src src;
	int accepted, dialled;
	char line[DV_HVSOCK_LINE_MAX];
	size_t line_len;
	struct dv_hvsock_numbers numbers;
	struct pair *pairs[PAIRS_MAX];
	int n_pairs;
};

struct fixture {
	const char *name;
	bool listens, handshake, tunnel;
};

static const struct fixture fixtures[] = {
	{ "unix", true, false, false },
	{ "unix, through a tunnel", true, false, true },
	{ "hybrid vsock", true, true, false },
	{ "hybrid vsock, through a tunnel", true, true, true },
	{ "socket pair, through a tunnel", false, false, true },
};

/* ---- fixtures --------------------------------------------------------- */

/* A front door in small: reads the request line and answers it. */
static void on_line(struct dv_src *src, uint32_t events DV_UNUSED)
{
	struct bed *b = dv_container_of(src, struct bed, src);
	struct dv_hvsock_addr addr;
	size_t used;
	ssize_t n = recv(src->fd, b->line + b->line_len,
			 sizeof(b->line) - b->line_len, 0);
	int fd = src->fd, r;

	CHECK(n > 0);
	b->line_len += (size_t)n;
	r = dv_hvsock_parse_connect(b->line, b->line_len, &addr, &used, NULL);
	if (r == DV_MORE)
		return;
	CHECK_EQ(r, 0);
	CHECK_EQ(addr.port, PORT);
	CHECK_EQ(used, b->line_len);
	dv_src_del(src);
	CHECK_EQ(dv_hvsock_answer(fd, &addr, dv_hvsock_number(&b->numbers)), 0);
	b->accepted = fd;
}

static void on_accept(struct dv_listener *l, int fd,
		      struct dv_peer *peer DV_UNUSED)
{
	struct bed *b = dv_container_of(l, struct bed, l);

	b->line_len = 0;
	if (b->fx->handshake)
		CHECK_EQ(dv_src_add(b->loop, &b->src, fd, EPOLLIN, on_line), 0);
	else
		b->accepted = fd;
}

static void on_dialled(void *arg, int fd, const struct dv_dial_result *res,
		       const struct dv_err *err)
{
	struct bed *b = arg;

	CHECK_STR(err->msg, "");
	CHECK_EQ(res->cls, DV_DIAL_OK);
	CHECK(fd >= 0);
	b->dialled = fd;
}

static void bed_begin(struct bed *b, const struct fixture *fx)
{
	*b = (struct bed){ .fx = fx,
			   .l = DV_LISTENER_INIT,
			   .src = DV_SRC_INIT };
	CHECK_EQ(dv_loop_new(&b->loop), 0);
	try_mkdir(b->dir);
	try_path(b->target.path, b->dir, "sock");
	if (fx->listens)
		CHECK_EQ(dv_unix_listen(&b->l, b->loop, b->target.path, 0,
					on_accept, NULL),
			 0);
}

static void connect_two(struct bed *b, int fds[2])
{
	struct dv_dial *dial;

	if (!b->fx->listens) {
		CHECK_EQ(socketpair(AF_UNIX,
				    SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK,
				    0, fds),
			 0);
		return;
	}
	b->accepted = b->dialled = -1;
	CHECK_EQ(dv_dial_start(&dial, b->loop, &b->target,
			       b->fx->handshake ? PORT : 0, 20000, on_dialled,
			       b, NULL),
		 0);
	CHECK_EQ(b->dialled, -1);
	TRY_UNTIL(b->loop, b->dialled >= 0 && b->accepted >= 0);
	fds[0] = b->dialled;
	fds[1] = b->accepted;
}

static struct pair *pair_new(struct bed *b)
{
	static const struct try_actor actor = TRY_ACTOR_INIT;
	static const struct dv_tunnel tunnel = DV_TUNNEL_INIT;
	struct pair *p = malloc(sizeof(*p));
	int fds[2], more[2];

	CHECK(p && b->n_pairs < PAIRS_MAX);
	*p = (struct pair){ actor, actor, tunnel };
	b->pairs[b->n_pairs++] = p;
	connect_two(b, fds);
	p->client.fd = fds[0];
	p->server.fd = fds[1];
	if (!b->fx->tunnel)
		return p;
	CHECK_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK,
			    0, more),
		 0);
	CHECK_EQ(dv_tunnel_start(&p->tunnel, b->loop, fds[1], more[0], NULL,
				 NULL),
		 0);
	p->server.fd = more[1];
	return p;
}

static void bed_end(struct bed *b)
{
	for (int i = 0; i < b->n_pairs; i++) {
		try_actor_end(&b->pairs[i]->client);
		try_actor_end(&b->pairs[i]->server);
		dv_tunnel_close(&b->pairs[i]->tunnel);
		free(b->pairs[i]);
	}
	dv_listener_close(&b->l);
	dv_loop_free(b->loop);
	try_rmdir(b->dir);
}

static void act(struct bed *b, struct pair *p)
{
	try_act(&p->client, b->loop);
	try_act(&p->server, b->loop);
}

/* Runs @fn on each fixture and says which one a failure was about. */
static void each(void (*fn)(struct bed *b))
{
	for (size_t i = 0; i < DV_ARRAY_LEN(fixtures); i++) {
		struct bed b;

		print_message("# on %s\n", fixtures[i].name);
		bed_begin(&b, &fixtures[i]);
		fn(&b);
		bed_end(&b);
	}
}

/* ---- cases ------------------------------------------------------------ */

static void both_ways(struct bed *b, size_t there, size_t back)
{
	struct pair *p = pair_new(b);

	p->client.to_send = there;
	p->server.to_send = back;
	p->client.shut = p->server.shut = true;
	act(b, p);
	TRY_UNTIL(b->loop, p->client.eof && p->server.eof);
	CHECK_EQ(p->server.got, there);
	CHECK_EQ(p->client.got, back);
	CHECK(!p->client.bad && !p->server.bad);
}

static void case_sizes(struct bed *b)
{
	static const size_t sizes[] = {
		0,     1,     2,     7,      4095,    4096, 4097,
		65535, 65536, 65537, 212992, 1000003, BULK, BULK + 12345,
	};
	size_t n = DV_ARRAY_LEN(sizes);

	for (size_t i = 0; i < n; i++)
		both_ways(b, sizes[i], sizes[n - 1 - i]);
}

TEST(bytes_of_many_sizes_arrive_both_ways)
{
	each(case_sizes);
}

static void case_half_close(struct bed *b)
{
	for (int i = 0; i < 2; i++) {
		struct pair *p = pair_new(b);
		struct try_actor *first = i ? &p->server : &p->client;
		struct try_actor *second = i ? &p->client : &p->server;

		first->to_send = 10;
		first->shut = true;
		act(b, p);
		TRY_UNTIL(b->loop, second->eof);
		CHECK_EQ(second->got, 10);
		CHECK(!first->eof);
		/* The other direction is as good as ever. */
		second->to_send = BULK;
		second->shut = true;
		act(b, p);
		TRY_UNTIL(b->loop, first->eof);
		CHECK_EQ(first->got, BULK);
		CHECK(!first->bad);
	}
}

TEST(half_close_leaves_the_other_direction)
{
	each(case_half_close);
}

/* A peer that is gone for good: what it sent arrives, then the end. */
static void case_death(struct bed *b)
{
	for (int i = 0; i < 2; i++) {
		struct pair *p = pair_new(b);
		struct try_actor *dying = i ? &p->server : &p->client;
		struct try_actor *left = i ? &p->client : &p->server;

		dying->to_send = 100000;
		act(b, p);
		TRY_UNTIL(b->loop, dying->sent == dying->to_send);
		try_actor_end(dying);
		TRY_UNTIL(b->loop, left->eof);
		CHECK_EQ(left->got, 100000);
		CHECK(!left->bad);
		/* Who goes on sending to it is told. */
		left->to_send = (size_t)64 << 20;
		try_act(left, b->loop);
		TRY_UNTIL(b->loop, left->sys);
		CHECK(left->sys == EPIPE || left->sys == ECONNRESET);
		CHECK(left->sent < left->to_send);
	}
}

TEST(peer_death_is_an_end_on_the_other_side)
{
	each(case_death);
}

/* Half-closed first, then dead: a quiet server still notices. */
static void case_death_after_half_close(struct bed *b)
{
	struct pair *p = pair_new(b);

	p->client.shut = true;
	act(b, p);
	TRY_UNTIL(b->loop, p->server.eof);
	try_actor_end(&p->client);
	dv_src_del(&p->server.src);
	CHECK_EQ(
		dv_src_add(b->loop, &p->server.src, p->server.fd, 0, try_on_io),
		0);
	/* The dispatch returns because of the hang-up, or never. */
	while (!p->server.sys) {
		char c = 'x';

		CHECK(dv_loop_dispatch(b->loop, -1) > 0);
		if (send(p->server.fd, &c, 1, MSG_NOSIGNAL | MSG_DONTWAIT) < 0)
			p->server.sys = errno;
	}
	CHECK(p->server.sys == EPIPE || p->server.sys == ECONNRESET);
}

TEST(peer_death_after_half_close_is_noticed)
{
	each(case_death_after_half_close);
}

static void case_slow_reader(struct bed *b)
{
	struct pair *slow = pair_new(b), *fast = pair_new(b);
	size_t stuck;

	slow->client.to_send = (size_t)64 << 20;
	slow->server.deaf = true;
	slow->server.to_send = BULK; /* its own direction goes on */
	act(b, slow);
	fast->client.to_send = fast->server.to_send = BULK;
	fast->client.shut = fast->server.shut = true;
	act(b, fast);
	TRY_UNTIL(b->loop, fast->client.eof && fast->server.eof &&
				   slow->client.got == BULK);
	try_settle(b->loop);
	/* What is under way is bounded: nothing more moves. */
	stuck = slow->client.sent;
	CHECK(stuck < (size_t)4 << 20);
	try_settle(b->loop);
	CHECK_EQ(slow->client.sent, stuck);
	/* And nothing was lost. */
	slow->client.to_send = stuck + 1;
	slow->client.shut = true;
	slow->server.deaf = false;
	act(b, slow);
	TRY_UNTIL(b->loop, slow->server.eof);
	CHECK_EQ(slow->server.got, stuck + 1);
	CHECK(!slow->server.bad && !slow->client.bad);
}

TEST(slow_reader_stops_only_its_own_direction)
{
	each(case_slow_reader);
}

/* The reader is slow, the sender is dead: the loop must not spin meanwhile. */
static void case_dead_sender(struct bed *b)
{
	struct pair *p = pair_new(b);
	size_t sent;

	p->server.deaf = true;
	p->client.to_send = (size_t)64 << 20;
	act(b, p);
	dv_src_del(&p->server.src);
	try_settle(b->loop);
	sent = p->client.sent;
	try_actor_end(&p->client);
	try_settle(b->loop); /* ends, or the alarm does it */
	CHECK_EQ(dv_loop_dispatch(b->loop, 0), 0);
	p->server.deaf = false;
	try_act(&p->server, b->loop);
	TRY_UNTIL(b->loop, p->server.eof || p->server.sys);
	CHECK_EQ(p->server.got, sent);
	CHECK(!p->server.bad);
}

TEST(dead_sender_and_slow_reader_do_not_spin)
{
	each(case_dead_sender);
}

static void case_many(struct bed *b)
{
	enum { MANY = 200, EACH = 20000 };

	for (int i = 0; i < MANY; i++) {
		struct pair *p = pair_new(b);

		p->client.to_send = EACH + (size_t)i;
		p->server.to_send = EACH - (size_t)i;
		p->client.shut = p->server.shut = true;
		act(b, p);
	}
	for (int i = 0; i < MANY; i++) {
		struct pair *p = b->pairs[i];

		TRY_UNTIL(b->loop, p->client.eof && p->server.eof);
		CHECK_EQ(p->server.got, EACH + (size_t)i);
		CHECK_EQ(p->client.got, EACH - (size_t)i);
		CHECK(!p->client.bad && !p->server.bad);
	}
}

TEST(many_connections_at_once_are_kept_apart)
{
	each(case_many);
}

TEST(af_vsock_is_in_the_suite)
{
	SKIP("no AF_VSOCK here that may be used: this runs in a guest only");
}
