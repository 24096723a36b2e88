/* SPDX-License-Identifier: MIT */
#include <davit/rpc.h>

#include <sys/stat.h>

#include "rpc/rpc_try.h"

/* A client that reaches a server of the same loop by a dial function. */
struct pair {
	struct try t;
	struct dv_rpc *rpc;
	int n_dials, fail_dials; /* how many of the next dials fail */
	bool late;               /* a test calls dv_rpc_dialled() itself */
	int server_fd;           /* ours when there is no server: raw */
	bool raw;
};

static void dial(struct dv_rpc *rpc, void *arg)
{
	struct pair *p = arg;
	struct dv_err err = DV_ERR_INIT;
	int fds[2];

	p->n_dials++;
	if (p->late)
		return;
	if (p->fail_dials) {
		p->fail_dials--;
		dv_err_sys(&err, ECONNREFUSED, "connect /x");
		dv_rpc_dialled(rpc, -ECONNREFUSED, &err);
		return;
	}
	CHECK_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK,
			    0, fds),
		 0);
	if (p->raw)
		p->server_fd = fds[0];
	else
		CHECK_EQ(dv_server_take(p->t.server, fds[0], DV_PROTO_TTRPC,
					NULL, NULL, 0, NULL, 0),
			 0);
	dv_rpc_dialled(rpc, fds[1], NULL);
}

static void pair_open(struct pair *p)
{
	struct dv_rpc_opts o = DV_RPC_OPTS_INIT;

	*p = (struct pair){ .server_fd = -1 };
	try_open(&p->t, NULL);
	o.dial = dial;
	o.dial_arg = p;
	o.retry_ms = 5;
	CHECK_EQ(dv_rpc_new(&p->rpc, p->t.loop, &o, NULL), 0);
}

static void pair_close(struct pair *p)
{
	dv_rpc_free(p->rpc);
	dv_close(p->server_fd);
	try_close(&p->t);
}

struct result {
	int n, r;
	struct dv_err err;
	char payload[64];
	size_t len;
	struct pair *p;
	int action; /* what the callback does, too */
	struct dv_rpc_call *other;
	int fd;
};

enum { CALL_AGAIN = 1, FREE_CLIENT, WAIT_INSIDE, CANCEL_OTHER, TAKE_FD };

static void on_done(struct dv_rpc_call *call, const struct dv_rpc_reply *reply,
		    void *arg)
{
	struct result *res = arg;

	(void)call;
	res->n++;
	res->r = reply->r;
	if (reply->err)
		res->err = *reply->err;
	res->len = reply->len;
	if (reply->len)
		memcpy(res->payload, reply->payload,
		       dv_min(reply->len, sizeof(res->payload)));
	if (res->action == CALL_AGAIN && res->n < 3)
		CHECK_EQ(dv_rpc_call(res->p->rpc, NULL, TRY_SERVICE, "Ping",
				     NULL, 0, NULL, on_done, res, NULL),
			 0);
	if (res->action == FREE_CLIENT)
		res->p->rpc = dv_rpc_free(res->p->rpc);
	if (res->action == WAIT_INSIDE)
		res->r = dv_rpc_call_wait(res->p->rpc, TRY_SERVICE, "Ping",
					  NULL, 0, NULL, NULL, NULL, NULL);
	if (res->action == CANCEL_OTHER)
		dv_rpc_cancel(res->other);
	if (res->action == TAKE_FD && reply->n_fds)
		res->fd = dv_take_fd(&reply->fds[0]);
}

static struct dv_rpc_call *start(struct pair *p, const char *method,
				 int timeout_ms, bool ready, struct result *res)
{
	struct dv_rpc_call_opts o = DV_RPC_CALL_INIT;
	struct dv_rpc_call *call;

	o.timeout_ms = timeout_ms;
	o.wait_ready = ready;
	CHECK_EQ(dv_rpc_call(p->rpc, &call, TRY_SERVICE, method, NULL, 0, &o,
			     on_done, res, NULL),
		 0);
	return call;
}

static void until(struct pair *p, const int *n, int want)
{
	while (*n < want)
		dv_loop_dispatch(p->t.loop, -1);
}

static int blocking(struct pair *p, const char *method, struct dv_err *err)
{
	*err = (struct dv_err)DV_ERR_INIT;
	return dv_rpc_call_wait(p->rpc, TRY_SERVICE, method, NULL, 0, NULL,
				NULL, NULL, err);
}

TEST(blocking_calls_return_answers_and_failures)
{
	struct dv_rpc_call_opts o = DV_RPC_CALL_INIT;
	struct dv_err err;
	struct pair p;
	void *out;
	size_t len;

	pair_open(&p);
	CHECK_EQ(p.n_dials, 0);
	CHECK_EQ(dv_rpc_fd(p.rpc), -1);
	CHECK_EQ(blocking(&p, "Ping", &err), 0);
	CHECK(dv_rpc_fd(p.rpc) >= 0);
	CHECK_EQ(blocking(&p, "Fail", &err), -EIO);
	CHECK_EQ(err.code, DV_UNKNOWN);
	CHECK_STR(err.msg, "pid 7 not found");
	CHECK_EQ(blocking(&p, "Frob", &err), -ENOSYS);
	CHECK_EQ(err.code, DV_UNIMPLEMENTED);
	o.timeout_ms = 10000;
	CHECK_EQ(dv_rpc_call_wait(p.rpc, TRY_SERVICE, "Echo", "\x1a\x02hi", 4,
				  &o, &out, &len, &err),
		 0);
	CHECK_EQ(len, 4);
	assert_memory_equal(out, "\x1a\x02hi", 5);
	free(out);
	CHECK_EQ(p.n_dials, 1);
	pair_close(&p);
}

TEST(deadline_ends_the_call_here_whatever_the_server_does)
{
	struct result res = { 0 }, other = { 0 }, later = { 0 };
	struct pair p;
	uint8_t buf[64];

	pair_open(&p);
	p.raw = true;
	start(&p, "Ping", -1, false, &other);
	try_pump(p.t.loop);
	CHECK_EQ(recv(p.server_fd, buf, sizeof(buf), 0), 34);
	/* On a connection that is there it goes out at once. */
	start(&p, "Ping", 20, false, &res);
	until(&p, &res.n, 1);
	CHECK_EQ(res.r, -ETIMEDOUT);
	CHECK_EQ(res.err.code, DV_DEADLINE);
	/* It went out with what was left, and what comes late is ignored. */
	CHECK(recv(p.server_fd, buf, sizeof(buf), 0) > 34);
	start(&p, "Ping", -1, false, &later);
	try_write(&p.t, p.server_fd, "\0\0\0\2\0\0\0\3\2\0\x12\0", 12);
	try_write(&p.t, p.server_fd, "\0\0\0\2\0\0\0\1\2\0\x12\0", 12);
	try_write(&p.t, p.server_fd, "\0\0\0\2\0\0\0\5\2\0\x12\0", 12);
	until(&p, &later.n, 1);
	CHECK_EQ(later.r, 0);
	CHECK_EQ(other.n, 1);
	CHECK_EQ(other.r, 0);
	CHECK_EQ(res.n, 1);
	pair_close(&p);
}

TEST(blocking_call_ends_at_its_deadline)
{
	struct dv_rpc_call_opts o = DV_RPC_CALL_INIT;
	struct dv_err err = DV_ERR_INIT;
	struct pair p;

	pair_open(&p);
	p.raw = true;
	o.timeout_ms = 20;
	/* The first one dials, the second one sleeps in its own read. */
	for (int i = 0; i < 3; i++) {
		CHECK_EQ(dv_rpc_call_wait(p.rpc, TRY_SERVICE, "Ping", NULL, 0,
					  &o, NULL, NULL, &err),
			 -ETIMEDOUT);
		CHECK_EQ(err.code, DV_DEADLINE);
	}
	CHECK_EQ(p.n_dials, 1);
	pair_close(&p);
}

TEST(no_time_left_is_not_sent_as_no_deadline)
{
	struct result res = { 0 };
	struct dv_ttrpc_request rq;
	uint8_t buf[128];
	struct pair p;
	ssize_t n;

	pair_open(&p);
	p.raw = true;
	start(&p, "Ping", 0, false, &res);
	until(&p, &res.n, 1);
	CHECK_EQ(res.err.code, DV_DEADLINE);
	res.n = 0;
	start(&p, "Ping", -1, false, &res);
	try_pump(p.t.loop);
	start(&p, "Ping", 0, false, &res);
	n = recv(p.server_fd, buf, sizeof(buf), 0);
	CHECK(n > 34);
	CHECK_EQ(dv_ttrpc_request_parse(buf + 34 + 10, (size_t)n - 44, &rq,
					NULL),
		 0);
	CHECK(rq.timeout_ns >= 1 && rq.timeout_ns < 1000000);
	pair_close(&p);
}

TEST(many_calls_share_one_connection)
{
	struct result res[64] = { 0 };
	struct pair p;

	pair_open(&p);
	for (int i = 0; i < 64; i++)
		start(&p, i % 2 ? "Hold" : "Ping", -1, false, &res[i]);
	while (p.t.n_held < 32)
		dv_loop_dispatch(p.t.loop, -1);
	while (p.t.n_held)
		dv_call_reply(p.t.held[--p.t.n_held], NULL);
	for (int i = 0; i < 64; i++) {
		until(&p, &res[i].n, 1);
		CHECK_EQ(res[i].r, 0);
	}
	CHECK_EQ(p.n_dials, 1);
	pair_close(&p);
}

TEST(callbacks_may_call_cancel_and_free)
{
	struct result res = { .action = CALL_AGAIN };
	struct result deadlk = { .action = WAIT_INSIDE };
	struct result other = { 0 }, cancels = { .action = CANCEL_OTHER };
	struct result frees = { .action = FREE_CLIENT };
	struct result left = { 0 };
	struct pair p;

	pair_open(&p);
	res.p = deadlk.p = frees.p = &p;
	start(&p, "Ping", -1, false, &res);
	until(&p, &res.n, 3);
	start(&p, "Ping", -1, false, &deadlk);
	until(&p, &deadlk.n, 1);
	CHECK_EQ(deadlk.r, -EDEADLK);
	cancels.other = start(&p, "Hold", -1, false, &other);
	start(&p, "Ping", -1, false, &cancels);
	until(&p, &cancels.n, 1);
	start(&p, "Ping", -1, false, &frees);
	start(&p, "Ping", -1, false, &left);
	until(&p, &left.n, 1);
	CHECK_EQ(frees.r, 0);
	CHECK_EQ(left.err.code, DV_CANCELLED);
	CHECK_EQ(other.n, 0);
	pair_close(&p);
}

TEST(free_cancels_queued_and_sent_calls)
{
	struct result sent = { 0 }, queued = { 0 };
	struct pair p;

	pair_open(&p);
	start(&p, "Hold", -1, false, &sent);
	while (!p.t.n_held)
		dv_loop_dispatch(p.t.loop, -1);
	dv_rpc_free(p.rpc);
	CHECK_EQ(sent.n, 1);
	CHECK_EQ(sent.err.code, DV_CANCELLED);
	CHECK_EQ(sent.r, -ECANCELED);
	try_close(&p.t);
	pair_open(&p);
	p.late = true;
	start(&p, "Ping", 20000, true, &queued);
	try_pump(p.t.loop);
	pair_close(&p);
	CHECK_EQ(queued.err.code, DV_CANCELLED);
}

TEST(failed_dial_fails_those_who_do_not_wait)
{
	struct result res = { 0 }, ready = { 0 }, timed = { 0 }, next = { 0 };
	struct pair p;

	pair_open(&p);
	p.fail_dials = 3;
	start(&p, "Ping", -1, true, &ready);
	start(&p, "Ping", -1, false, &res);
	until(&p, &res.n, 1);
	CHECK_EQ(res.r, -ECONNREFUSED);
	CHECK_EQ(res.err.code, DV_UNAVAILABLE);
	CHECK_STR(res.err.msg, "connect /x: Connection refused");
	CHECK_EQ(ready.n, 0);
	/* It waits for the next dial, which its deadline does not. */
	start(&p, "Ping", 1, false, &timed);
	start(&p, "Ping", -1, false, &next);
	until(&p, &timed.n, 1);
	until(&p, &next.n, 1);
	CHECK_EQ(next.err.code, DV_UNAVAILABLE);
	until(&p, &ready.n, 1);
	CHECK_EQ(ready.r, 0);
	CHECK_EQ(p.n_dials, 4);
	pair_close(&p);
}

TEST(clean_end_dials_again_at_once_and_repeats_nothing)
{
	struct result lost = { 0 }, again = { 0 };
	struct pair p;

	pair_open(&p);
	p.raw = true;
	start(&p, "Ping", -1, false, &lost);
	while (p.server_fd < 0)
		dv_loop_dispatch(p.t.loop, -1);
	try_pump(p.t.loop);
	{
		uint8_t buf[64];

		CHECK_EQ(recv(p.server_fd, buf, sizeof(buf), 0), 34);
	}
	shutdown(p.server_fd, SHUT_RDWR);
	p.server_fd = dv_close(p.server_fd);
	until(&p, &lost.n, 1);
	CHECK_EQ(lost.err.code, DV_UNAVAILABLE);
	CHECK_STR(lost.err.msg, "the connection was closed");
	CHECK_EQ(dv_rpc_fd(p.rpc), -1);
	p.raw = false;
	start(&p, "Ping", -1, false, &again);
	until(&p, &again.n, 1);
	CHECK_EQ(again.r, 0);
	CHECK_EQ(p.n_dials, 2);
	CHECK_EQ(p.t.n_calls, 1);
	pair_close(&p);
}

/* Cut at every byte: the call fails and the next one dials. */
TEST(answer_cut_at_every_byte_fails_the_call)
{
	static const char wire[] = "\0\0\0\4\0\0\0\1\2\0\x12\2hi";

	for (size_t cut = 0; cut < 14; cut++) {
		struct result res = { 0 };
		struct pair p;

		pair_open(&p);
		p.raw = true;
		start(&p, "Ping", -1, false, &res);
		try_pump(p.t.loop);
		try_write(&p.t, p.server_fd, wire, cut);
		p.server_fd = dv_close(p.server_fd);
		until(&p, &res.n, 1);
		CHECK_EQ(res.err.code, DV_UNAVAILABLE);
		pair_close(&p);
	}
}

static void answers_with(const char *wire, size_t len, struct result *res)
{
	struct pair p;

	pair_open(&p);
	p.raw = true;
	start(&p, "Ping", -1, false, res);
	try_pump(p.t.loop);
	try_write(&p.t, p.server_fd, wire, len);
	until(&p, &res->n, 1);
	pair_close(&p);
}

TEST(odd_answers_are_failures_or_taken_leniently)
{
	struct result res = { 0 };

	answers_with("\0\0\0\0\0\0\0\1\2\0", 10, &res);
	CHECK_EQ(res.r, 0);
	res.n = 0;
	answers_with("\0\0\0\2\0\0\0\1\2\0\x0a\0", 12, &res);
	CHECK_EQ(res.r, 0);
	res.n = 0;
	answers_with("\0\0\0\2\0\0\0\1\2\0\x12\5", 12, &res);
	CHECK_EQ(res.err.code, DV_INTERNAL);
	res.n = 0;
	answers_with("\0\0\0\0\0\0\0\1\3\4", 10, &res);
	CHECK_EQ(res.err.code, DV_INTERNAL);
}

TEST(answer_that_is_too_long_fails_only_its_call)
{
	struct result res = { 0 }, next = { 0 };
	size_t left = 1 << 24, block = 1 << 20;
	char *zero = calloc(1, block);
	struct pair p;

	pair_open(&p);
	p.raw = true;
	start(&p, "Ping", -1, false, &res);
	start(&p, "Ping", -1, false, &next);
	try_pump(p.t.loop);
	try_write(&p.t, p.server_fd, "\1\0\0\0\0\0\0\1\2\0", 10);
	for (; left; left -= block)
		try_write(&p.t, p.server_fd, zero, block);
	try_write(&p.t, p.server_fd, "\0\0\0\2\0\0\0\3\2\0\x12\0", 12);
	until(&p, &next.n, 1);
	CHECK_EQ(res.err.code, DV_EXHAUSTED);
	CHECK_EQ(next.r, 0);
	free(zero);
	pair_close(&p);
}

TEST(requests_over_the_limit_are_refused_here)
{
	size_t len = DV_RPC_SEND_MAX + 1;
	char *big = calloc(1, len);
	struct dv_err err = DV_ERR_INIT;
	struct pair p;

	pair_open(&p);
	CHECK_EQ(dv_rpc_call(p.rpc, NULL, TRY_SERVICE, "Ping", big, len, NULL,
			     on_done, NULL, &err),
		 -EMSGSIZE);
	CHECK_EQ(err.code, DV_EXHAUSTED);
	free(big);
	pair_close(&p);
}

TEST(descriptors_go_and_come_also_with_calls_that_waited)
{
	struct dv_rpc_call_opts o = DV_RPC_CALL_INIT;
	struct result res = { .action = TAKE_FD, .fd = -1 };
	struct stat a, b;
	struct pair p;
	int fds[2];

	pair_open(&p);
	CHECK_EQ(dv_pipe(fds), 0);
	o.fds = fds;
	o.n_fds = 2;
	for (int i = 1; i <= 2; i++) {
		CHECK_EQ(dv_rpc_call(p.rpc, NULL, TRY_SERVICE, "Fds", NULL, 0,
				     &o, on_done, &res, NULL),
			 0);
		until(&p, &res.n, i);
		CHECK_EQ(res.r, 0);
		CHECK_EQ(fstat(res.fd, &a), 0);
		CHECK_EQ(fstat(fds[0], &b), 0);
		CHECK(a.st_ino == b.st_ino);
		res.fd = dv_close(res.fd);
		p.t.got_fd = dv_close(p.t.got_fd);
	}
	dv_close(fds[0]);
	dv_close(fds[1]);
	pair_close(&p);
}

TEST(connected_descriptor_works_once)
{
	struct dv_rpc_opts o = DV_RPC_OPTS_INIT;
	struct result res = { 0 };
	struct pair p;
	int fds[2];

	*(&p) = (struct pair){ .server_fd = -1 };
	try_open(&p.t, NULL);
	CHECK_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
	o.fd = fds[1];
	CHECK_EQ(dv_rpc_new(&p.rpc, p.t.loop, &o, NULL), 0);
	dv_server_take(p.t.server, fds[0], DV_PROTO_TTRPC, NULL, NULL, 0, NULL,
		       0);
	start(&p, "Ping", -1, false, &res);
	until(&p, &res.n, 1);
	CHECK_EQ(res.r, 0);
	p.t.server = dv_server_free(p.t.server);
	try_pump(p.t.loop);
	start(&p, "Ping", -1, true, &res);
	until(&p, &res.n, 2);
	CHECK_EQ(res.err.code, DV_UNAVAILABLE);
	CHECK_STR(res.err.msg, "connection already used");
	pair_close(&p);
}

TEST(options_are_checked)
{
	struct dv_rpc_opts o = DV_RPC_OPTS_INIT;
	struct dv_loop *loop;
	struct dv_rpc *rpc;

	CHECK_EQ(dv_loop_new(&loop), 0);
	CHECK_EQ(dv_rpc_new(&rpc, loop, &o, NULL), -EINVAL);
	o.target = "word";
	CHECK_EQ(dv_rpc_new(&rpc, loop, &o, NULL), -EINVAL);
	o.target = "/x";
	o.dial = dial;
	CHECK_EQ(dv_rpc_new(&rpc, loop, &o, NULL), -EINVAL);
	o.dial = NULL;
	o.size = 1;
	CHECK_EQ(dv_rpc_new(&rpc, loop, &o, NULL), -EINVAL);
	dv_loop_free(loop);
}
