/* SPDX-License-Identifier: MIT */
#include <davit/loop.h>

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <time.h>
#include <unistd.h>

#include "base/def.h"
#include "base/fd.h"
#include "base/loop_alone.h"
#include "base/test.h"

#define MS UINT64_C(1000000)

enum { WAIT_MS = 20000 }; /* for what comes in the end */

static struct dv_loop *make_loop(void)
{
	struct dv_loop *loop;

	CHECK_EQ(dv_loop_new(&loop), 0);
	return loop;
}

/* A pipe with a source at its reading end, which notes what it is told. */
struct reader {
	struct dv_src src;
	int rd, wr;
	int n_calls;
	uint32_t events;
	struct reader *victim; /* removed in the callback */
};

static void reader_drop(struct reader *r)
{
	dv_src_del(&r->src);
	r->rd = dv_close(r->rd);
	r->wr = dv_close(r->wr);
}

static void reader_on_io(struct dv_src *src, uint32_t events)
{
	struct reader *r = dv_container_of(src, struct reader, src);

	r->n_calls++;
	r->events = events;
	if (r->victim)
		reader_drop(r->victim);
}

static void reader_init(struct reader *r, struct dv_loop *loop)
{
	int fds[2];

	CHECK_EQ(dv_pipe(fds), 0);
	*r = (struct reader){ DV_SRC_INIT, fds[0], fds[1], 0, 0, NULL };
	CHECK_EQ(dv_src_add(loop, &r->src, r->rd, EPOLLIN, reader_on_io), 0);
}

static void feed(struct reader *r)
{
	CHECK_EQ(dv_write_full(r->wr, "x", 1), 0);
}

static bool fd_readable(int fd, int timeout_ms)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };

	return poll(&p, 1, timeout_ms) == 1;
}

/* ---- sources ---- */

TEST(source_is_called_while_data_is_there)
{
	struct dv_loop *loop = make_loop();
	struct reader r;
	char c;

	reader_init(&r, loop);
	CHECK_EQ(dv_loop_dispatch(loop, 0), 0);
	feed(&r);
	CHECK_EQ(dv_loop_dispatch(loop, -1), 1);
	CHECK_EQ(dv_loop_dispatch(loop, -1), 1);
	CHECK_EQ(r.n_calls, 2);
	CHECK_EQ(r.events, EPOLLIN);
	CHECK_EQ(dv_read(r.rd, &c, 1), 1);
	CHECK_EQ(dv_loop_dispatch(loop, 0), 0);
	reader_drop(&r);
	reader_drop(&r);
	assert_null(dv_loop_free(loop));
}

TEST(source_with_pending_data_sees_hup_and_data)
{
	struct dv_loop *loop = make_loop();
	struct reader r;
	char out[4];

	reader_init(&r, loop);
	feed(&r);
	r.wr = dv_close(r.wr);
	CHECK_EQ(dv_loop_dispatch(loop, -1), 1);
	CHECK_EQ(r.events, EPOLLIN | EPOLLHUP);
	CHECK_EQ(dv_read(r.rd, out, sizeof(out)), 1);
	CHECK_EQ(dv_loop_dispatch(loop, -1), 1);
	CHECK_EQ(r.events, EPOLLHUP);
	reader_drop(&r);
	dv_loop_free(loop);
}

TEST(source_without_events_sees_only_hup)
{
	struct dv_loop *loop = make_loop();
	struct reader r;

	reader_init(&r, loop);
	CHECK_EQ(dv_src_mod(&r.src, 0), 0);
	feed(&r);
	CHECK_EQ(dv_loop_dispatch(loop, 0), 0);
	r.wr = dv_close(r.wr);
	CHECK_EQ(dv_loop_dispatch(loop, 0), 1);
	CHECK_EQ(r.events, EPOLLHUP);
	reader_drop(&r);
	dv_loop_free(loop);
}

TEST(source_removed_by_another_in_the_batch_is_not_called)
{
	struct dv_loop *loop = make_loop();
	struct reader a, b;

	reader_init(&a, loop);
	reader_init(&b, loop);
	feed(&a);
	feed(&b);
	a.victim = &b;
	b.victim = &a;
	CHECK_EQ(dv_loop_dispatch(loop, -1), 1);
	CHECK_EQ(a.n_calls + b.n_calls, 1);
	reader_drop(&a);
	reader_drop(&b);
	dv_loop_free(loop);
}

static void mod_on_io(struct dv_src *src, uint32_t events DV_UNUSED)
{
	struct reader *r = dv_container_of(src, struct reader, src);

	r->n_calls++;
	CHECK_EQ(dv_src_mod(&r->victim->src, 0), 0);
}

TEST(source_narrowed_by_another_in_the_batch_is_not_called)
{
	struct dv_loop *loop = make_loop();
	struct reader a, b;

	reader_init(&a, loop);
	reader_init(&b, loop);
	a.src.fn = b.src.fn = mod_on_io;
	a.victim = &b;
	b.victim = &a;
	feed(&a);
	feed(&b);
	CHECK_EQ(dv_loop_dispatch(loop, -1), 1);
	CHECK_EQ(a.n_calls + b.n_calls, 1);
	reader_drop(&a);
	reader_drop(&b);
	dv_loop_free(loop);
}

static int n_freed;

static void free_on_io(struct dv_src *src, uint32_t events DV_UNUSED)
{
	struct reader *r = dv_container_of(src, struct reader, src);

	/* Whoever comes first frees the other one and itself. */
	reader_drop(r->victim);
	free(r->victim);
	reader_drop(r);
	free(r);
	n_freed += 2;
}

TEST(source_may_free_itself_and_others)
{
	struct dv_loop *loop = make_loop();

	n_freed = 0;
	for (int i = 0; i < 20; i++) {
		struct reader *a = malloc(sizeof(*a));
		struct reader *b = malloc(sizeof(*b));

		reader_init(a, loop);
		reader_init(b, loop);
		a->src.fn = b->src.fn = free_on_io;
		a->victim = b;
		b->victim = a;
		feed(a);
		feed(b);
	}
	CHECK_EQ(dv_loop_dispatch(loop, -1), 20);
	CHECK_EQ(n_freed, 40);
	dv_loop_free(loop);
}

TEST(more_sources_than_a_batch_are_all_served)
{
	static struct reader r[150];
	struct dv_loop *loop = make_loop();

	for (size_t i = 0; i < DV_ARRAY_LEN(r); i++) {
		reader_init(&r[i], loop);
		feed(&r[i]);
	}
	for (int i = 0; i < 3; i++)
		CHECK(dv_loop_dispatch(loop, -1) > 0);
	for (size_t i = 0; i < DV_ARRAY_LEN(r); i++) {
		CHECK(r[i].n_calls > 0);
		reader_drop(&r[i]);
	}
	dv_loop_free(loop);
}

/* What @r is told when there is something to read. */
static uint32_t told(struct dv_loop *loop, struct reader *r)
{
	char c;

	feed(r);
	CHECK(dv_loop_dispatch(loop, -1) >= 1);
	CHECK_EQ(dv_read_full(r->rd, &c, 1), 1);
	return r->events;
}

static void do_nothing(struct dv_timer *timer)
{
	(void)timer;
}

static void defer_nothing(struct dv_defer *defer)
{
	(void)defer;
}

TEST(source_that_may_sleep_does_when_nothing_else_can_happen)
{
	const uint32_t sleeps = EPOLLIN | DV_SRC_SLEEP;
	struct dv_timer timer = DV_TIMER_INIT;
	struct dv_defer defer = DV_DEFER_INIT;
	struct dv_loop *loop = make_loop();
	struct reader r, other;

	if (!dv_only_thread())
		SKIP("this process had other threads");
	reader_init(&r, loop);
	CHECK(dv_loop_alone(loop, &r.src, 0));
	CHECK_EQ(told(loop, &r), EPOLLIN);
	dv_src_sleeper(&r.src, true);
	CHECK_EQ(told(loop, &r), sleeps);
	CHECK_EQ(dv_loop_dispatch(loop, -1), 1); /* nothing has come */
	CHECK_EQ(dv_loop_dispatch(loop, 0), 0);
	CHECK_EQ(dv_loop_dispatch(loop, 1), 0);

	dv_timer_set(loop, &timer, dv_now_ns() + 1000 * 1000 * MS, do_nothing);
	CHECK_EQ(told(loop, &r), EPOLLIN);
	dv_timer_stop(&timer);
	dv_defer_add(loop, &defer, defer_nothing);
	CHECK_EQ(told(loop, &r), EPOLLIN);
	CHECK_EQ(told(loop, &r), sleeps);
	CHECK_EQ(dv_src_mod(&r.src, EPOLLIN | EPOLLOUT), 0);
	CHECK_EQ(told(loop, &r), EPOLLIN);
	CHECK_EQ(dv_src_mod(&r.src, EPOLLIN), 0);
	reader_init(&other, loop);
	CHECK_EQ(told(loop, &r), EPOLLIN);
	/* One at a time, and not the other one. */
	dv_src_sleeper(&other.src, true);
	reader_drop(&other);
	CHECK_EQ(told(loop, &r), EPOLLIN);
	dv_src_sleeper(&r.src, true);
	CHECK_EQ(told(loop, &r), sleeps);
	dv_src_sleeper(&r.src, false);
	CHECK_EQ(told(loop, &r), EPOLLIN);
	dv_src_sleeper(&r.src, true);
	CHECK(dv_loop_fd(loop) >= 0); /* Somebody polls it. */
	CHECK_EQ(told(loop, &r), EPOLLIN);
	reader_drop(&r);
	dv_loop_free(loop);
}

static void *wait_for_end(void *arg)
{
	char c;

	dv_read_full(*(int *)arg, &c, 1);
	return NULL;
}

/* It could post. */
TEST(source_that_may_sleep_does_not_beside_another_thread)
{
	struct dv_loop *loop = make_loop();
	pthread_t thread;
	struct reader r;
	int fds[2];

	CHECK_EQ(dv_pipe(fds), 0);
	CHECK_EQ(pthread_create(&thread, NULL, wait_for_end, &fds[0]), 0);
	reader_init(&r, loop);
	CHECK(!dv_loop_alone(loop, &r.src, 0));
	dv_src_sleeper(&r.src, true);
	CHECK_EQ(told(loop, &r), EPOLLIN);
	dv_close(fds[1]);
	CHECK_EQ(pthread_join(thread, NULL), 0);
	dv_close(fds[0]);
	reader_drop(&r);
	dv_loop_free(loop);
}

TEST(source_of_a_regular_file_is_eperm)
{
	struct dv_loop *loop = make_loop();
	struct dv_src src = DV_SRC_INIT;
	dv_autofd int fd = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);

	CHECK_EQ(dv_src_add(loop, &src, fd, EPOLLIN, reader_on_io), -EPERM);
	CHECK_EQ(dv_src_add(loop, &src, -1, EPOLLIN, reader_on_io), -EBADF);
	assert_null(src.loop);
	dv_src_del(&src);
	dv_loop_free(loop);
}

static struct dv_loop *outer;
static int inner_result;

static void reenter_on_io(struct dv_src *src DV_UNUSED, uint32_t ev DV_UNUSED)
{
	inner_result = dv_loop_busy(outer) ? dv_loop_dispatch(outer, 0) : 0;
}

TEST(dispatch_inside_a_callback_is_edeadlk)
{
	struct reader r;

	outer = make_loop();
	reader_init(&r, outer);
	r.src.fn = reenter_on_io;
	feed(&r);
	CHECK_EQ(dv_loop_dispatch(outer, -1), 1);
	CHECK_EQ(inner_result, -EDEADLK);
	CHECK(!dv_loop_busy(outer));
	reader_drop(&r);
	dv_loop_free(outer);
}

/* ---- timers ---- */

struct clock {
	struct dv_timer timer;
	int n_calls;
	struct clock *victim; /* stopped in the callback */
	uint64_t again_ns;    /* re-armed by this much; 0 = not */
};

static uint64_t last_at;
static bool in_order;

static void clock_on_time(struct dv_timer *timer)
{
	struct clock *c = dv_container_of(timer, struct clock, timer);

	in_order = in_order && timer->at_ns >= last_at &&
		   timer->at_ns <= dv_now_ns();
	last_at = timer->at_ns;
	c->n_calls++;
	if (c->victim)
		dv_timer_stop(&c->victim->timer);
	if (c->again_ns)
		dv_timer_set(outer, timer, timer->at_ns + c->again_ns,
			     clock_on_time);
}

static void clock_set(struct dv_loop *loop, struct clock *c, uint64_t at)
{
	CHECK_EQ(dv_timer_set(loop, &c->timer, at, clock_on_time), 0);
}

TEST(timers_fire_in_order_and_never_early)
{
	static struct clock c[300];
	struct dv_loop *loop = make_loop();
	uint64_t now = dv_now_ns();
	unsigned int seed = 1;
	int n = 0;

	memset(c, 0, sizeof(c));
	last_at = 0;
	in_order = true;
	for (size_t i = 0; i < DV_ARRAY_LEN(c); i++)
		clock_set(loop, &c[i],
			  now + (uint64_t)rand_r(&seed) % (20 * MS));
	for (size_t i = 0; i < DV_ARRAY_LEN(c); i += 3) /* moved both ways */
		clock_set(loop, &c[i],
			  now + (uint64_t)rand_r(&seed) % (20 * MS));
	for (size_t i = 1; i < DV_ARRAY_LEN(c); i += 3)
		dv_timer_stop(&c[i].timer);
	while (n < 200)
		n += dv_loop_dispatch(loop, -1);
	CHECK(in_order);
	for (size_t i = 0; i < DV_ARRAY_LEN(c); i++)
		CHECK_EQ(c[i].n_calls, i % 3 == 1 ? 0 : 1);
	dv_loop_free(loop);
}

TEST(timer_stopped_by_an_earlier_one_does_not_fire)
{
	struct dv_loop *loop = make_loop();
	struct clock a = { 0 }, b = { 0 };

	clock_set(loop, &a, 1);
	clock_set(loop, &b, 2);
	a.victim = &b;
	CHECK_EQ(dv_loop_dispatch(loop, -1), 1);
	CHECK_EQ(dv_loop_dispatch(loop, 0), 0);
	CHECK_EQ(b.n_calls, 0);
	dv_timer_stop(&b.timer);
	dv_loop_free(loop);
}

TEST(timer_that_rearms_in_the_past_does_not_starve_the_loop)
{
	struct clock a = { .again_ns = 1 };
	struct reader r;

	outer = make_loop();
	reader_init(&r, outer);
	feed(&r);
	clock_set(outer, &a, 1);
	CHECK_EQ(dv_loop_dispatch(outer, -1), 2);
	CHECK_EQ(a.n_calls, 1);
	CHECK_EQ(r.n_calls, 1);
	dv_timer_stop(&a.timer);
	reader_drop(&r);
	dv_loop_free(outer);
}

TEST(dispatch_waits_for_its_timeout_and_no_longer)
{
	struct dv_loop *loop = make_loop();
	struct clock c = { 0 };
	uint64_t start = dv_now_ns();

	clock_set(loop, &c, start + 3600000 * MS);
	CHECK_EQ(dv_loop_dispatch(loop, 20), 0);
	CHECK(dv_now_ns() - start >= 20 * MS);
	CHECK(dv_now_ns() - start < 3600000 * MS);
	dv_timer_stop(&c.timer);
	dv_loop_free(loop);
}

static void on_alarm(int signo DV_UNUSED)
{
}

TEST(dispatch_goes_on_after_a_signal)
{
	struct sigaction sa = { .sa_handler = on_alarm }, old;
	struct sigevent sev = { .sigev_notify = SIGEV_SIGNAL,
				.sigev_signo = SIGVTALRM };
	struct itimerspec spec = { { 0, 1000000 }, { 0, 1000000 } };
	timer_t id;
	struct dv_loop *loop = make_loop();
	struct clock c = { 0 };

	/* Not SIGALRM: that one ends a test which hangs. */
	CHECK_EQ(sigaction(SIGVTALRM, &sa, &old), 0);
	CHECK_EQ(timer_create(CLOCK_MONOTONIC, &sev, &id), 0);
	CHECK_EQ(timer_settime(id, 0, &spec, NULL), 0);
	clock_set(loop, &c, dv_now_ns() + 30 * MS);
	CHECK_EQ(dv_loop_dispatch(loop, -1), 1);
	CHECK_EQ(timer_delete(id), 0);
	CHECK_EQ(sigaction(SIGVTALRM, &old, NULL), 0);
	dv_loop_free(loop);
}

/* ---- deferred work ---- */

struct later {
	struct dv_defer defer;
	int n_calls;
	int order;
	bool again;
	struct later *victim;
};

static int n_later;

static void later_run(struct dv_defer *defer)
{
	struct later *l = dv_container_of(defer, struct later, defer);

	l->n_calls++;
	l->order = ++n_later;
	if (l->victim)
		dv_defer_del(&l->victim->defer);
	if (l->again)
		dv_defer_add(outer, defer, later_run);
}

TEST(deferred_work_runs_once_in_order)
{
	struct later a = { 0 }, b = { 0 }, c = { 0 };

	outer = make_loop();
	n_later = 0;
	dv_defer_add(outer, &a.defer, later_run);
	dv_defer_add(outer, &b.defer, later_run);
	dv_defer_add(outer, &c.defer, later_run);
	dv_defer_add(outer, &a.defer, later_run);
	CHECK_EQ(dv_loop_dispatch(outer, -1), 3);
	CHECK_EQ(dv_loop_dispatch(outer, 0), 0);
	CHECK_EQ(a.order, 1);
	CHECK_EQ(b.order, 2);
	CHECK_EQ(c.order, 3);
	dv_loop_free(outer);
}

TEST(deferred_work_can_be_removed_before_and_while_it_runs)
{
	struct later a = { 0 }, b = { 0 }, c = { 0 }, d = { 0 };

	outer = make_loop();
	dv_defer_add(outer, &a.defer, later_run);
	dv_defer_add(outer, &b.defer, later_run);
	dv_defer_add(outer, &c.defer, later_run);
	dv_defer_add(outer, &d.defer, later_run);
	dv_defer_del(&d.defer); /* the last: the tail moves back */
	a.victim = &c;          /* the last of those that are running */
	CHECK_EQ(dv_loop_dispatch(outer, -1), 2);
	CHECK_EQ(a.n_calls + b.n_calls, 2);
	CHECK_EQ(c.n_calls + d.n_calls, 0);
	dv_defer_add(outer, &d.defer, later_run);
	CHECK_EQ(dv_loop_dispatch(outer, -1), 1);
	dv_loop_free(outer);
}

TEST(deferred_work_that_adds_itself_runs_in_the_next_batch)
{
	struct later a = { .again = true };

	outer = make_loop();
	dv_defer_add(outer, &a.defer, later_run);
	CHECK_EQ(dv_loop_dispatch(outer, -1), 1);
	CHECK_EQ(dv_loop_dispatch(outer, -1), 1);
	dv_defer_del(&a.defer);
	dv_defer_del(&a.defer);
	CHECK_EQ(dv_loop_dispatch(outer, 0), 0);
	dv_loop_free(outer);
}

static void defer_on_io(struct dv_src *src, uint32_t events DV_UNUSED)
{
	struct reader *r = dv_container_of(src, struct reader, src);
	static struct later l;

	l = (struct later){ 0 };
	r->n_calls++;
	dv_defer_add(outer, &l.defer, later_run);
}

TEST(deferred_work_of_a_callback_runs_in_the_same_batch)
{
	struct reader r;

	outer = make_loop();
	reader_init(&r, outer);
	r.src.fn = defer_on_io;
	feed(&r);
	n_later = 0;
	CHECK_EQ(dv_loop_dispatch(outer, -1), 2);
	CHECK_EQ(n_later, 1);
	reader_drop(&r);
	dv_loop_free(outer);
}

/* ---- posts ---- */

#define N_POSTS 1000

struct poster {
	struct dv_loop *loop;
	atomic_int n_failed;
	int next; /* written in the loop's thread only */
	bool ordered;
	struct post_arg {
		struct poster *poster;
		int number;
	} args[N_POSTS];
};

static void posted(void *arg)
{
	struct post_arg *a = arg;

	if (a->number != a->poster->next)
		a->poster->ordered = false;
	a->poster->next++;
}

static void *post_all(void *arg)
{
	struct poster *p = arg;

	for (int i = 0; i < N_POSTS; i++) {
		p->args[i] = (struct post_arg){ p, i };
		if (dv_loop_post(p->loop, posted, &p->args[i]) < 0)
			atomic_fetch_add(&p->n_failed, 1);
	}
	return NULL;
}

TEST(posts_from_threads_wake_the_loop_and_keep_their_order)
{
	static struct poster p[3];
	pthread_t thread[3];
	int n = 0;

	outer = make_loop();
	for (int i = 0; i < 3; i++) {
		p[i].loop = outer;
		p[i].ordered = true;
		CHECK_EQ(pthread_create(&thread[i], NULL, post_all, &p[i]), 0);
	}
	while (n < 3 * N_POSTS)
		n += dv_loop_dispatch(outer, -1);
	for (int i = 0; i < 3; i++) {
		CHECK_EQ(pthread_join(thread[i], NULL), 0);
		CHECK_EQ(p[i].next, N_POSTS);
		CHECK_EQ(p[i].n_failed, 0);
		CHECK(p[i].ordered);
	}
	CHECK_EQ(dv_loop_dispatch(outer, 0), 0);
	dv_loop_free(outer);
}

static int n_chain;

static void post_again(void *arg)
{
	n_chain++;
	CHECK_EQ(dv_loop_post(arg, post_again, arg), 0);
}

TEST(post_from_a_post_runs_in_the_next_batch_and_is_dropped_by_free)
{
	struct dv_loop *loop = make_loop();

	n_chain = 0;
	CHECK_EQ(dv_loop_post(loop, post_again, loop), 0);
	CHECK_EQ(dv_loop_dispatch(loop, -1), 1);
	CHECK_EQ(dv_loop_dispatch(loop, -1), 1);
	CHECK_EQ(n_chain, 2);
	dv_loop_free(loop);
}

/* ---- embedding ---- */

TEST(loop_fd_is_readable_for_sources_and_posts)
{
	struct dv_loop *loop = make_loop();
	int fd = dv_loop_fd(loop);
	struct reader r;

	reader_init(&r, loop);
	CHECK(!fd_readable(fd, 0));
	feed(&r);
	CHECK(fd_readable(fd, 0));
	CHECK_EQ(dv_loop_dispatch(loop, 0), 1);
	reader_drop(&r);
	CHECK(!fd_readable(fd, 0));
	n_chain = 0;
	CHECK_EQ(dv_loop_post(loop, post_again, loop), 0);
	CHECK(fd_readable(fd, 0));
	CHECK_EQ(dv_loop_dispatch(loop, 0), 1);
	CHECK(fd_readable(fd, 0)); /* it has posted itself again */
	dv_loop_free(loop);
}

TEST(loop_fd_is_readable_when_a_timer_is_due_and_not_before)
{
	struct dv_loop *loop = make_loop();
	struct clock c = { 0 }, early = { 0 };
	uint64_t start = dv_now_ns();
	int fd;

	clock_set(loop, &c, start + 30 * MS); /* armed before embedding */
	fd = dv_loop_fd(loop);
	CHECK_EQ(dv_loop_fd(loop), fd);
	/* We may have been kept from running until then. */
	CHECK(!fd_readable(fd, 0) || dv_now_ns() - start >= 30 * MS);
	CHECK(fd_readable(fd, WAIT_MS));
	CHECK(dv_now_ns() - start >= 30 * MS);
	CHECK_EQ(dv_loop_dispatch(loop, 0), 1);
	CHECK(!fd_readable(fd, 0));
	clock_set(loop, &c, dv_now_ns() + 3600000 * MS);
	CHECK(!fd_readable(fd, 0));
	clock_set(loop, &early, dv_now_ns() + 5 * MS);
	CHECK(fd_readable(fd, WAIT_MS));
	dv_timer_stop(&early.timer);
	CHECK(!fd_readable(fd, 10));
	dv_timer_stop(&c.timer);
	dv_loop_free(loop);
}

TEST(loop_fd_is_readable_for_deferred_work)
{
	struct later a = { 0 };
	int fd;

	outer = make_loop();
	dv_defer_add(outer, &a.defer, later_run);
	fd = dv_loop_fd(outer);
	CHECK(fd_readable(fd, WAIT_MS));
	CHECK_EQ(dv_loop_dispatch(outer, 0), 1);
	CHECK(!fd_readable(fd, 0));
	a.again = true;
	dv_defer_add(outer, &a.defer, later_run);
	CHECK(fd_readable(fd, WAIT_MS));
	CHECK_EQ(dv_loop_dispatch(outer, 0), 1);
	CHECK(fd_readable(fd, WAIT_MS));
	dv_defer_del(&a.defer);
	CHECK(!fd_readable(fd, 0));
	dv_loop_free(outer);
}

TEST(loop_fd_driven_by_poll_serves_timers_like_dispatch)
{
	struct clock c = { .again_ns = 2 * MS };

	outer = make_loop();
	clock_set(outer, &c, dv_now_ns());
	while (c.n_calls < 10) {
		CHECK(fd_readable(dv_loop_fd(outer), WAIT_MS));
		dv_loop_dispatch(outer, 0);
	}
	dv_timer_stop(&c.timer);
	dv_loop_free(outer);
}

TEST(new_loop_is_one_descriptor_and_free_accepts_null)
{
	struct dv_loop *loop;
	int low[2], next;

	/* It has the lowest free number, and nothing has the one after it. */
	CHECK_EQ(dv_pipe(low), 0);
	dv_close(low[0]);
	dv_close(low[1]);
	loop = make_loop();
	next = dv_fd_dup(0, 0);
	dv_close(next);
	CHECK_EQ(dv_loop_fd(loop), low[0]);
	CHECK_EQ(next, low[1]);
	dv_loop_free(loop);
	assert_null(dv_loop_free(NULL));
}
