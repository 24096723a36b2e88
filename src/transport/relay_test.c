/* SPDX-License-Identifier: MIT */
#include "transport/relay.h"

#include <netinet/in.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>

#include "transport/try.h"

struct bed {
	struct dv_loop *loop;
	struct dv_tunnel t;
	struct try_actor a, b;
	int a_end, b_end; /* the tunnel's ends, until it starts */
	int n_done;
};

static void on_done(struct dv_tunnel *t)
{
	struct bed *bed = dv_container_of(t, struct bed, t);

	CHECK_EQ(t->end[0].fd, -1);
	CHECK_EQ(t->end[1].fd, -1);
	bed->n_done++;
}

static void make_pair(int sv[2])
{
	CHECK_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK,
			    0, sv),
		 0);
}

static void bed_begin(struct bed *bed)
{
	int sv[2];

	*bed = (struct bed){ .t = DV_TUNNEL_INIT,
			     .a = TRY_ACTOR_INIT,
			     .b = TRY_ACTOR_INIT };
	CHECK_EQ(dv_loop_new(&bed->loop), 0);
	make_pair(sv);
	bed->a.fd = sv[0];
	bed->a_end = sv[1];
	make_pair(sv);
	bed->b.fd = sv[0];
	bed->b_end = sv[1];
}

static void bed_start(struct bed *bed)
{
	CHECK_EQ(dv_tunnel_start(&bed->t, bed->loop, bed->a_end, bed->b_end,
				 on_done, NULL),
		 0);
	try_act(&bed->a, bed->loop);
	try_act(&bed->b, bed->loop);
}

static void bed_end(struct bed *bed)
{
	dv_tunnel_close(&bed->t);
	try_actor_end(&bed->a);
	try_actor_end(&bed->b);
	dv_loop_free(bed->loop);
}

TEST(tunnel_end_reports_totals_once)
{
	struct bed bed;

	bed_begin(&bed);
	bed.a.to_send = 12345;
	bed.b.to_send = 54321;
	bed.a.shut = bed.b.shut = true;
	bed_start(&bed);
	CHECK_EQ(bed.n_done, 0);
	TRY_UNTIL(bed.loop, bed.n_done && bed.a.eof && bed.b.eof);
	CHECK_EQ(bed.n_done, 1);
	CHECK_EQ(bed.t.lane[0].total, 12345);
	CHECK_EQ(bed.t.lane[1].total, 54321);
	CHECK_EQ(bed.t.lane[0].sys, 0);
	CHECK_EQ(bed.t.lane[1].sys, 0);
	bed_end(&bed);
}

TEST(tunnel_preloaded_bytes_go_first)
{
	struct bed bed;
	char early[100];

	for (size_t i = 0; i < sizeof(early); i++)
		early[i] = try_pattern(i);
	bed_begin(&bed);
	CHECK_EQ(dv_tunnel_preload(&bed.t, 0, early, 60), 0);
	CHECK_EQ(dv_tunnel_preload(&bed.t, 0, early + 60, 40), 0);
	bed.a.to_send = 5000;
	bed.a.sent = 100; /* goes on where the preloaded ones end */
	bed.a.shut = true;
	bed_start(&bed);
	TRY_UNTIL(bed.loop, bed.b.eof);
	CHECK_EQ(bed.b.got, 5000);
	CHECK(!bed.b.bad);
	bed_end(&bed);
}

TEST(tunnel_preload_is_limited)
{
	struct dv_tunnel t = DV_TUNNEL_INIT;
	char buf[1000] = { 0 };
	size_t n = 0;

	while (dv_tunnel_preload(&t, 1, buf, sizeof(buf)) == 0)
		n += sizeof(buf);
	CHECK(n <= DV_TUNNEL_BUF && n > DV_TUNNEL_BUF - sizeof(buf));
	CHECK_EQ(dv_tunnel_preload(&t, 1, buf, sizeof(buf)), -EMSGSIZE);
	dv_tunnel_close(&t);
	dv_tunnel_close(&t);
}

/* Much data goes through a pipe; SIGPIPE must not come out of that. */
TEST(tunnel_bulk_is_spliced_and_a_dead_reader_is_an_end)
{
	struct bed bed;

	signal(SIGPIPE, SIG_DFL); /* whatever we were started with */
	bed_begin(&bed);
	bed.a.to_send = (size_t)1 << 30;
	bed_start(&bed);
	TRY_UNTIL(bed.loop, bed.t.lane[0].pipe[0] >= 0 && bed.b.got > 4 << 20);
	CHECK(!bed.b.bad);
	CHECK_EQ(signal(SIGPIPE, SIG_DFL), SIG_DFL); /* it would kill us */
	try_actor_end(&bed.b);
	TRY_UNTIL(bed.loop, bed.n_done);
	CHECK(bed.t.lane[0].sys == EPIPE || bed.t.lane[0].sys == ECONNRESET);
	TRY_UNTIL(bed.loop, bed.a.sys);
	bed_end(&bed);
}

/* In a child with nothing left for the pipe: it goes on through its buffer. */
static int without_pipe(void)
{
	struct rlimit rl = { 64, 64 };
	struct bed bed;
	int fd;

	bed_begin(&bed);
	bed.a.to_send = 20 << 20;
	bed.a.shut = true;
	bed_start(&bed);
	if (setrlimit(RLIMIT_NOFILE, &rl) < 0)
		return 1;
	while ((fd = dup(0)) >= 0)
		;
	while (!bed.b.eof)
		dv_loop_dispatch(bed.loop, -1);
	if (!bed.t.lane[0].no_splice || bed.t.lane[0].pipe[0] >= 0)
		return 2;
	return bed.b.bad || bed.b.got != 20 << 20 ? 3 : 0;
}

TEST(tunnel_without_descriptors_for_a_pipe_copies)
{
	pid_t pid = fork();
	int status;

	if (pid == 0)
		_exit(without_pipe());
	CHECK_EQ(waitpid(pid, &status, 0), pid);
	CHECK_EQ(status, 0);
}

TEST(tunnel_closed_in_the_middle_is_quiet)
{
	struct bed bed;

	bed_begin(&bed);
	bed.a.to_send = 64 << 20;
	bed_start(&bed);
	TRY_UNTIL(bed.loop, bed.b.got > 2 << 20);
	dv_tunnel_close(&bed.t);
	TRY_UNTIL(bed.loop, bed.b.eof && bed.a.sys);
	CHECK_EQ(bed.n_done, 0);
	CHECK(!bed.b.bad);
	bed_end(&bed);
}

TEST(tunnel_start_with_a_bad_end_closes_both)
{
	struct dv_tunnel t = DV_TUNNEL_INIT;
	struct dv_err err = DV_ERR_INIT;
	struct dv_loop *loop;
	char c;
	int sv[2], file = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);

	CHECK(file >= 0);
	make_pair(sv);
	CHECK_EQ(dv_loop_new(&loop), 0);
	CHECK_EQ(dv_tunnel_start(&t, loop, sv[0], file, on_done, &err), -EPERM);
	CHECK(err.msg[0]);
	CHECK_EQ(recv(sv[1], &c, 1, MSG_DONTWAIT), 0);
	CHECK_EQ(fcntl(file, F_GETFD), -1);
	close(sv[1]);
	dv_loop_free(loop);
}

/* A connected TCP pair on the loopback. */
static void tcp_pair(int sv[2])
{
	struct sockaddr_in sa = { .sin_family = AF_INET };
	socklen_t len = sizeof(sa);
	dv_autofd int l = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	sa.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	CHECK_EQ(bind(l, (struct sockaddr *)&sa, sizeof(sa)), 0);
	CHECK_EQ(listen(l, 1), 0);
	CHECK_EQ(getsockname(l, (struct sockaddr *)&sa, &len), 0);
	sv[0] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	CHECK_EQ(connect(sv[0], (struct sockaddr *)&sa, sizeof(sa)), 0);
	sv[1] = accept4(l, NULL, NULL, SOCK_CLOEXEC);
	CHECK(sv[1] >= 0);
}

TEST(tunnel_to_tcp_carries_both_ways)
{
	struct bed bed;
	int sv[2];

	bed_begin(&bed);
	tcp_pair(sv);
	close(bed.b_end);
	close(bed.b.fd);
	bed.b_end = sv[0];
	bed.b.fd = sv[1];
	bed.a.to_send = 10 << 20;
	bed.b.to_send = 9 << 20;
	bed.a.shut = bed.b.shut = true;
	bed_start(&bed);
	TRY_UNTIL(bed.loop, bed.n_done && bed.a.eof && bed.b.eof);
	CHECK_EQ(bed.b.got, 10 << 20);
	CHECK_EQ(bed.a.got, 9 << 20);
	CHECK(!bed.a.bad && !bed.b.bad);
	bed_end(&bed);
}
