/* SPDX-License-Identifier: MIT */
/*
 * Deadlines and clocks: the wall clock jumps by a day, and two processes whose
 * clocks are a day apart, as in a machine that was restored. Neither changes
 * how long a deadline is.
 */
#include <fcntl.h>
#include <sched.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/timerfd.h>
#include <time.h>

#include "mesh/chan_try.h"

#ifndef CLONE_NEWTIME
#define CLONE_NEWTIME 0x80
#endif

enum { DAY = 86400, LONG_MS = 60000, SHORT_MS = 50, SKIPPED = 77 };

/* ---- a wall clock that jumps --------------------------------------------- */

/* In front of those of the C library, in this program only. */
static int64_t jump_s;
static unsigned int n_wall_timers;

int clock_gettime(clockid_t id, struct timespec *ts)
{
	int r = (int)syscall(SYS_clock_gettime, id, ts);

	if (id == CLOCK_REALTIME || id == CLOCK_REALTIME_COARSE)
		ts->tv_sec += jump_s;
	return r;
}

int gettimeofday(struct timeval *restrict tv, void *restrict zone)
{
	struct timespec ts;

	(void)zone;
	clock_gettime(CLOCK_REALTIME, &ts);
	tv->tv_sec = ts.tv_sec;
	tv->tv_usec = ts.tv_nsec / 1000;
	return 0;
}

time_t time(time_t *tp)
{
	struct timespec ts;

	clock_gettime(CLOCK_REALTIME, &ts);
	if (tp)
		*tp = ts.tv_sec;
	return ts.tv_sec;
}

int timerfd_create(clockid_t id, int flags)
{
	n_wall_timers += id == CLOCK_REALTIME || id == CLOCK_REALTIME_ALARM;
	return (int)syscall(SYS_timerfd_create, id, flags);
}

/* ---- questions ----------------------------------------------------------- */

/* Holds what it is asked, as long as somebody waits for it. */
struct server {
	struct dv_chan_receiver *rx;
	struct dv_asked *held[4];
	uint64_t left_ns[4]; /* when it came */
	int n, n_late;
};

static void on_late(struct dv_asked *asked, const struct dv_port_end *end)
{
	struct server *s = dv_asked_user(asked);

	s->n_late += end->err.code == DV_DEADLINE;
}

static void on_asked(struct dv_chan_receiver *rx, struct dv_asked *asked)
{
	static const struct dv_asked_ops ops = { .cancelled = on_late };
	struct server *s = dv_chan_user(rx);

	dv_assert(s->n < 4);
	s->left_ns[s->n] = dv_asked_left_ns(asked);
	s->held[s->n++] = asked;
	dv_asked_watch(asked, &ops, s);
}

static void serve(struct server *s)
{
	static const struct dv_chan_ops ops = { .asked = on_asked };

	dv_chan_start(s->rx, &ops, s);
}

static void server_close(struct server *s)
{
	for (int i = 0; i < s->n; i++)
		dv_asked_drop(s->held[i]);
	s->rx = dv_chan_receiver_close(s->rx, NULL);
}

struct client {
	int n, r;
	uint64_t at_ns;
};

static void on_answer(struct dv_ask *ask DV_UNUSED,
		      const struct dv_answer *answer, void *user)
{
	struct client *c = user;

	c->n++;
	c->r = answer->r;
	c->at_ns = dv_now_ns();
}

static struct dv_ask *ask(struct dv_chan_sender *tx, int ms, struct client *c)
{
	const struct dv_ask_opts opts = { .size = sizeof(opts),
					  .timeout_ms = ms };
	struct dv_ask *ask = NULL;

	dv_assert(dv_ask(tx, chan_text("?"), &opts, on_answer, c, &ask, NULL) >=
		  0);
	return ask;
}

TEST(wall_clock_that_jumps_by_a_day_changes_no_deadline)
{
	for (int i = 0; i < 2; i++) {
		struct server s = { .n = 0 };
		struct client c[2] = { { .n = 0 } };
		struct dv_chan_sender *tx;
		struct dv_cancel *ctx;
		struct dv_ask *held;
		struct chan_try t;
		uint64_t start;
		time_t wall;

		chan_up(&t);
		CHECK_EQ(dv_chan_new(t.mesh, &tx, &s.rx, NULL), 0);
		serve(&s);
		wall = time(NULL);
		start = dv_now_ns();
		held = ask(tx, LONG_MS, &c[0]);
		ask(tx, SHORT_MS, &c[1]);
		CHECK_EQ(dv_cancel_new(&ctx, t.mesh, NULL, SHORT_MS, NULL, NULL,
				       NULL),
			 0);
		chan_until(&t, s.n == 2);
		jump_s = i ? DAY : -DAY;
		CHECK(llabs((long long)(time(NULL) - wall)) > DAY / 2);
		chan_until(&t, c[1].n && s.n_late && dv_cancel_why(ctx));
		CHECK_EQ(c[1].r, -ETIMEDOUT);
		CHECK(c[1].at_ns - start >= SHORT_MS * UINT64_C(1000000));
		CHECK_EQ(dv_cancel_why(ctx)->code, DV_DEADLINE);
		/* The other one has most of its time left. */
		CHECK_EQ(c[0].n, 0);
		CHECK(dv_asked_left_ns(s.held[0]) > LONG_MS / 2 * 1000000ull);
		jump_s = 0;
		dv_ask_cancel(held);
		dv_cancel_free(ctx);
		server_close(&s);
		dv_chan_sender_close(tx, NULL);
		chan_down(&t);
	}
	CHECK_EQ(n_wall_timers, 0);
}

/* ---- clocks that are a day apart ----------------------------------------- */

/* What both sides do: ask twice, and be asked twice. */
struct side {
	struct chan_try *t;
	struct server s;
	struct client c[2];
	struct dv_chan_sender *tx;
	struct dv_ask *held;
	struct dv_cancel *ctx;
	struct dv_err why;
	bool done; /* the other side is over */
};

static void on_cancelled(struct dv_cancel *c DV_UNUSED,
			 const struct dv_err *why, void *user)
{
	struct side *side = user;

	side->why = *why;
}

static void side_ask(struct side *a)
{
	a->held = ask(a->tx, LONG_MS, &a->c[0]);
	ask(a->tx, SHORT_MS, &a->c[1]);
}

static bool side_over(const struct side *a)
{
	return a->c[1].n && a->s.n == 2 && a->s.n_late == 1;
}

/* A deadline is as long there as here, less the time of the way. */
static void side_check(struct side *a)
{
	must(a->c[1].r == -ETIMEDOUT);
	must(a->c[0].n == 0);
	must(a->s.left_ns[0] <= LONG_MS * UINT64_C(1000000));
	must(a->s.left_ns[0] > LONG_MS / 2 * UINT64_C(1000000));
	must(a->s.left_ns[1] <= SHORT_MS * UINT64_C(1000000));
}

static void side_close(struct side *a)
{
	if (!a->c[0].n)
		dv_ask_cancel(a->held);
	server_close(&a->s);
	dv_chan_sender_close(a->tx, NULL);
	dv_cancel_free(a->ctx);
}

/* The port brings how to ask there, how to be asked, a context, and where its
 * own clock is. */
static void on_order(struct dv_port *port, struct dv_msg *msg)
{
	struct side *a = dv_port_user(port);
	uint64_t theirs;

	must(dv_msg_len(msg) == sizeof(theirs));
	memcpy(&theirs, dv_msg_data(msg), sizeof(theirs));
	must(dv_now_ns() > theirs + DAY / 2 * UINT64_C(1000000000));
	a->tx = dv_chan_sender_take(msg, 0, NULL);
	a->s.rx = dv_chan_receiver_take(msg, 1, NULL);
	a->ctx = dv_cancel_take(msg, 2, on_cancelled, a, NULL);
	must(a->tx && a->s.rx && a->ctx);
	serve(&a->s);
	side_ask(a);
}

static void on_order_end(struct dv_port *port, const struct dv_port_end *end)
{
	struct side *a = dv_port_user(port);

	(void)end;
	a->done = true;
}

static int far_side(struct chan_try *t, struct dv_port *port)
{
	static const struct dv_port_ops ops = { .message = on_order,
						.ended = on_order_end };
	struct side a = { .t = t };

	dv_port_start(port, &ops, &a);
	must_until(t, a.tx && side_over(&a) && a.why.code);
	must(a.why.code == DV_DEADLINE);
	side_check(&a);
	dv_port_send_bytes(port, "over", 4, NULL);
	must_until(t, a.done); /* until then the parent waits for an answer */
	dv_port_close(port, NULL);
	side_close(&a);
	return 0;
}

static void on_over(struct dv_port *port, struct dv_msg *msg)
{
	struct side *a = dv_port_user(port);

	(void)msg;
	a->done = true;
}

static void near_side(struct chan_try *t, struct chan_child *child)
{
	static const struct dv_port_ops ops = { .message = on_over,
						.ended = on_order_end };
	struct dv_chan_receiver *rx;
	struct dv_chan_sender *tx;
	struct side a = { .t = t };
	struct dv_port *port = chan_invite(t, child);
	uint64_t now = dv_now_ns();
	struct dv_msg *msg = dv_msg_new(sizeof(now));

	dv_port_start(port, &ops, &a);
	memcpy(dv_msg_data(msg), &now, sizeof(now));
	must(dv_chan_new(t->mesh, &tx, &a.s.rx, NULL) == 0);
	must(dv_chan_new(t->mesh, &a.tx, &rx, NULL) == 0);
	must(dv_cancel_new(&a.ctx, t->mesh, NULL, 4 * SHORT_MS, NULL, NULL,
			   NULL) == 0);
	must(dv_chan_sender_attach(msg, tx) == 0);
	must(dv_chan_receiver_attach(msg, rx) == 1);
	must(dv_cancel_attach(msg, a.ctx) == 2);
	serve(&a.s);
	must(dv_port_send(port, msg, NULL) >= 0);
	side_ask(&a);
	must_until(t, a.done && side_over(&a));
	side_check(&a);
	dv_port_close(port, NULL);
	side_close(&a);
}

/* Children of this process have clocks that are a day ahead. */
static bool shift_clocks(void)
{
	static const char offsets[] = "monotonic 86400 0\nboottime 86400 0\n";
	int flags =
		geteuid() == 0 ? CLONE_NEWTIME : CLONE_NEWTIME | CLONE_NEWUSER;
	int fd, r;

	if (unshare(flags) < 0)
		return false;
	fd = open("/proc/self/timens_offsets", O_WRONLY | O_CLOEXEC);
	r = fd < 0 ? -1 : dv_write_full(fd, offsets, sizeof(offsets) - 1);
	dv_close(fd);
	return r == 0;
}

TEST(clocks_that_are_a_day_apart_change_no_deadline)
{
	pid_t pid = fork();
	int status = -1;

	CHECK(pid >= 0);
	if (pid == 0) {
		struct chan_child child;
		struct chan_try t;

		if (!shift_clocks())
			_exit(SKIPPED);
		child = chan_fork(far_side);
		chan_up(&t);
		near_side(&t, &child);
		chan_quiet(&t);
		must_until(&t, waitpid(child.pid, &status, WNOHANG) != 0);
		chan_down(&t);
		_exit(WIFEXITED(status) ? WEXITSTATUS(status) : 96);
	}
	CHECK_EQ(waitpid(pid, &status, 0), pid);
	CHECK(WIFEXITED(status));
	if (WEXITSTATUS(status) == SKIPPED)
		SKIP("no clocks of our own here");
	CHECK_EQ(WEXITSTATUS(status), 0);
}
