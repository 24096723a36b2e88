/* SPDX-License-Identifier: MIT */
/*
 * DOC: the event loop.
 *
 * One dispatch collects up to BATCH_MAX events and then runs, in this order:
 * the sources of these events, the timers that are due, work posted by other
 * threads, deferred work. What a callback adds is run by the next dispatch, so
 * that a callback which re-arms itself cannot starve the rest.
 *
 * A collected event points to a source that an earlier callback of the same
 * batch may remove and free. Therefore a source knows its slot in the batch
 * while it has one, and removing it clears that slot.
 *
 * A new loop is one epoll descriptor; the other two are made when needed:
 *
 *   post_fd   an eventfd, by the first dv_loop_post()
 *   timer_fd  by the first dv_loop_fd(): from then on somebody else does the
 *             waiting, so timers and deferred work must make the epoll
 *             descriptor readable. Without that, the time-out of epoll_wait()
 *             is enough and costs no system call.
 *
 * A loop in which only one thing can happen may leave the waiting to the read
 * of that source (loop_alone.h).
 */
#include <davit/loop.h>

#include <errno.h>
#include <limits.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#include "base/def.h"
#include "base/fd.h"
#include "base/loop_alone.h"
#include "base/timer_heap.h"

#if __has_include(<sys/single_threaded.h>)
#include <sys/single_threaded.h>
#define HAVE_SINGLE_THREADED
#endif

#define BATCH_MAX 64
#define NS_PER_S  UINT64_C(1000000000)
#define NS_PER_MS UINT64_C(1000000)
#define NO_SLOT   UINT32_MAX
#define FOREVER   UINT64_MAX

struct post {
	struct post *next;
	void (*fn)(void *arg);
	void *arg;
};

struct dv_loop {
	int epfd;
	size_t n_srcs;
	bool busy;

	struct dv_timer_heap timers;
	int timer_fd;      /* -1 until dv_loop_fd() */
	uint64_t armed_ns; /* what timer_fd is set to; 0 = disarmed */
	bool timer_fired;  /* timer_fd is readable */

	struct dv_defer *defers, **defer_tail;
	struct dv_src *sleeper; /* see loop_alone.h; NULL: none */

	pthread_mutex_t post_lock; /* guards the next three */
	int post_fd;               /* -1 until dv_loop_post() */
	struct post *posts, **post_tail;
	bool post_fired; /* the loop's thread only: post_fd is readable */

	int n_batch; /* events being dispatched */
	struct epoll_event batch[BATCH_MAX];
};

uint64_t dv_now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * NS_PER_S + (uint64_t)ts.tv_nsec;
}

int dv_loop_new(struct dv_loop **loopp)
{
	dv_autofree struct dv_loop *loop = calloc(1, sizeof(*loop));

	if (!loop)
		return -ENOMEM;
	loop->epfd = epoll_create1(EPOLL_CLOEXEC);
	if (loop->epfd < 0)
		return -errno;
	loop->timer_fd = -1;
	loop->post_fd = -1;
	loop->defer_tail = &loop->defers;
	loop->post_tail = &loop->posts;
	pthread_mutex_init(&loop->post_lock, NULL);
	*loopp = dv_take_ptr(&loop);
	return 0;
}

struct dv_loop *dv_loop_free(struct dv_loop *loop)
{
	if (!loop)
		return NULL;
	dv_assert(!loop->busy);
	dv_assert(loop->n_srcs == 0);
	dv_assert(!loop->defers);
	dv_timer_heap_free(&loop->timers);
	while (loop->posts) {
		struct post *p = loop->posts;

		loop->posts = p->next;
		free(p);
	}
	pthread_mutex_destroy(&loop->post_lock);
	dv_close(loop->timer_fd);
	dv_close(loop->post_fd);
	dv_close(loop->epfd);
	free(loop);
	return NULL;
}

bool dv_loop_busy(const struct dv_loop *loop)
{
	return loop->busy;
}

/* Another one could post its first work while this one sleeps. */
bool dv_only_thread(void)
{
#ifdef HAVE_SINGLE_THREADED
	return __libc_single_threaded;
#else
	return false;
#endif
}

bool dv_loop_alone(const struct dv_loop *loop, const struct dv_src *src,
		   size_t n_timers)
{
	return !loop->busy && src->loop == loop && loop->n_srcs == 1 &&
	       loop->timers.len <= n_timers && !loop->defers &&
	       loop->post_fd < 0 && dv_only_thread();
}

void dv_src_sleeper(struct dv_src *src, bool on)
{
	dv_assert(src->loop);
	if (on)
		src->loop->sleeper = src;
	else if (src->loop->sleeper == src)
		src->loop->sleeper = NULL;
}

static bool may_sleep(const struct dv_loop *loop, uint64_t end_ns)
{
	const struct dv_src *src = loop->sleeper;

	return src && end_ns == FOREVER && src->events == EPOLLIN &&
	       loop->timer_fd < 0 && dv_loop_alone(loop, src, 0);
}

/* ---- being embedded ---- */

/* Watch one of the loop's own descriptors; @mark tells which one. */
static int watch_own(const struct dv_loop *loop, int fd, void *mark)
{
	struct epoll_event ev = { .events = EPOLLIN, .data.ptr = mark };

	return epoll_ctl(loop->epfd, EPOLL_CTL_ADD, fd, &ev) < 0 ? -errno : 0;
}

/* Make timer_fd readable when the next timer or deferred work is due. */
static void sync_timer_fd(struct dv_loop *loop)
{
	const struct dv_timer *top = dv_timer_heap_top(&loop->timers);
	struct itimerspec its = { 0 };
	uint64_t at = 0;

	if (loop->timer_fd < 0 || loop->busy)
		return;
	if (loop->defers)
		at = 1;
	else if (top)
		at = dv_max(top->at_ns, UINT64_C(1));
	if (at == loop->armed_ns && !loop->timer_fired)
		return;
	its.it_value.tv_sec = (time_t)(at / NS_PER_S);
	its.it_value.tv_nsec = (long)(at % NS_PER_S);
	/* Setting it also forgets an expiry, so it is never read. */
	timerfd_settime(loop->timer_fd, TFD_TIMER_ABSTIME, &its, NULL);
	loop->armed_ns = at;
	loop->timer_fired = false;
}

int dv_loop_fd(struct dv_loop *loop)
{
	dv_autofd int fd = -1;
	int r;

	if (loop->timer_fd >= 0)
		return loop->epfd;
	fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
	if (fd < 0)
		return -errno;
	r = watch_own(loop, fd, &loop->timer_fd);
	if (r < 0)
		return r;
	loop->timer_fd = dv_take_fd(&fd);
	sync_timer_fd(loop);
	return loop->epfd;
}

/* ---- sources ---- */

int dv_src_add(struct dv_loop *loop, struct dv_src *src, int fd,
	       uint32_t events, dv_src_fn *fn)
{
	struct epoll_event ev = { .events = events, .data.ptr = src };

	dv_assert(!src->loop);
	if (epoll_ctl(loop->epfd, EPOLL_CTL_ADD, fd, &ev) < 0)
		return -errno;
	*src = (struct dv_src){ loop, fn, events, fd, NO_SLOT };
	loop->n_srcs++;
	return 0;
}

int dv_src_mod(struct dv_src *src, uint32_t events)
{
	struct epoll_event ev = { .events = events, .data.ptr = src };

	dv_assert(src->loop);
	if (events == src->events)
		return 0;
	if (epoll_ctl(src->loop->epfd, EPOLL_CTL_MOD, src->fd, &ev) < 0)
		return -errno;
	src->events = events;
	return 0;
}

void dv_src_del(struct dv_src *src)
{
	struct dv_loop *loop = src->loop;

	if (!loop)
		return;
	epoll_ctl(loop->epfd, EPOLL_CTL_DEL, src->fd, NULL);
	dv_src_sleeper(src, false);
	if (src->slot != NO_SLOT)
		loop->batch[src->slot].data.ptr = NULL;
	loop->n_srcs--;
	*src = (struct dv_src)DV_SRC_INIT;
}

/* ---- timers ---- */

int dv_timer_set(struct dv_loop *loop, struct dv_timer *timer, uint64_t at_ns,
		 dv_timer_fn *fn)
{
	int r = 0;

	timer->fn = fn;
	timer->at_ns = at_ns;
	if (timer->loop) {
		dv_assert(timer->loop == loop);
		dv_timer_heap_moved(&loop->timers, timer);
	} else {
		r = dv_timer_heap_add(&loop->timers, timer);
	}
	if (r < 0)
		return r;
	timer->loop = loop;
	sync_timer_fd(loop);
	return 0;
}

void dv_timer_stop(struct dv_timer *timer)
{
	struct dv_loop *loop = timer->loop;

	if (!loop)
		return;
	dv_timer_heap_del(&loop->timers, timer);
	timer->loop = NULL;
	sync_timer_fd(loop);
}

/* ---- deferred work ---- */

void dv_defer_add(struct dv_loop *loop, struct dv_defer *defer, dv_defer_fn *fn)
{
	if (defer->loop) {
		dv_assert(defer->loop == loop);
		return;
	}
	*defer = (struct dv_defer){ loop, fn, NULL, loop->defer_tail };
	*loop->defer_tail = defer;
	loop->defer_tail = &defer->next;
	sync_timer_fd(loop);
}

void dv_defer_del(struct dv_defer *defer)
{
	struct dv_loop *loop = defer->loop;

	if (!loop)
		return;
	*defer->prevp = defer->next;
	if (defer->next)
		defer->next->prevp = defer->prevp;
	else if (loop->defer_tail == &defer->next)
		loop->defer_tail = defer->prevp;
	*defer = (struct dv_defer)DV_DEFER_INIT;
	sync_timer_fd(loop);
}

/* ---- work from other threads ---- */

/* Called with the lock held. */
static int make_post_fd(struct dv_loop *loop)
{
	dv_autofd int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	int r;

	if (fd < 0)
		return -errno;
	r = watch_own(loop, fd, &loop->post_fd);
	if (r == 0)
		loop->post_fd = dv_take_fd(&fd);
	return r;
}

int dv_loop_post(struct dv_loop *loop, void (*fn)(void *arg), void *arg)
{
	dv_autofree struct post *p = malloc(sizeof(*p));
	int r = 0;

	if (!p)
		return -ENOMEM;
	*p = (struct post){ NULL, fn, arg };
	pthread_mutex_lock(&loop->post_lock);
	if (loop->post_fd < 0)
		r = make_post_fd(loop);
	if (r == 0) {
		/* A queue that is not empty has rung already. */
		if (!loop->posts)
			eventfd_write(loop->post_fd, 1);
		*loop->post_tail = p;
		loop->post_tail = &p->next;
		dv_take_ptr(&p);
	}
	pthread_mutex_unlock(&loop->post_lock);
	return r;
}

static struct post *take_posts(struct dv_loop *loop)
{
	struct post *list;
	eventfd_t rung;

	pthread_mutex_lock(&loop->post_lock);
	eventfd_read(loop->post_fd, &rung);
	list = loop->posts;
	loop->posts = NULL;
	loop->post_tail = &loop->posts;
	pthread_mutex_unlock(&loop->post_lock);
	loop->post_fired = false;
	return list;
}

/* ---- dispatch ---- */

/* Time-out for epoll_wait(), rounded up: waking early would spin. */
static int wait_ms(const struct dv_loop *loop, uint64_t end_ns)
{
	const struct dv_timer *top = dv_timer_heap_top(&loop->timers);
	uint64_t now, ms;

	if (loop->defers || end_ns == 0)
		return 0;
	if (top)
		end_ns = dv_min(end_ns, top->at_ns);
	if (end_ns == FOREVER)
		return -1;
	now = dv_now_ns();
	if (end_ns <= now)
		return 0;
	ms = (end_ns - now - 1) / NS_PER_MS + 1;
	return ms > INT_MAX ? INT_MAX : (int)ms;
}

static int wait_for_events(struct dv_loop *loop, uint64_t end_ns)
{
	int n;

	if (may_sleep(loop, end_ns)) {
		loop->batch[0] = (struct epoll_event){
			.events = EPOLLIN | DV_SRC_SLEEP,
			.data.ptr = loop->sleeper,
		};
		return 1;
	}
	do
		n = epoll_wait(loop->epfd, loop->batch, BATCH_MAX,
			       wait_ms(loop, end_ns));
	while (n < 0 && errno == EINTR);
	return n < 0 ? -errno : n;
}

/* Fill the batch and tell its sources where they are in it. */
static int collect(struct dv_loop *loop, uint64_t end_ns)
{
	int n = wait_for_events(loop, end_ns);

	if (n < 0)
		return n;
	loop->n_batch = n;
	for (int i = 0; i < n; i++) {
		struct epoll_event *ev = &loop->batch[i];

		if (ev->data.ptr == &loop->timer_fd) {
			loop->timer_fired = true;
			ev->data.ptr = NULL;
		} else if (ev->data.ptr == &loop->post_fd) {
			loop->post_fired = true;
			ev->data.ptr = NULL;
		} else {
			((struct dv_src *)ev->data.ptr)->slot = (uint32_t)i;
		}
	}
	return 0;
}

static int run_sources(struct dv_loop *loop)
{
	int count = 0;

	for (int i = 0; i < loop->n_batch; i++) {
		struct dv_src *src = loop->batch[i].data.ptr;
		uint32_t events = loop->batch[i].events;

		if (!src)
			continue;
		src->slot = NO_SLOT;
		/* An earlier callback may have narrowed what it wants. */
		events &= src->events | EPOLLHUP | EPOLLERR | DV_SRC_SLEEP;
		if (!events)
			continue;
		src->fn(src, events);
		count++;
	}
	loop->n_batch = 0;
	return count;
}

static int run_timers(struct dv_loop *loop)
{
	size_t left = loop->timers.len;
	uint64_t now = left ? dv_now_ns() : 0;
	int count = 0;

	for (; left > 0; left--) {
		struct dv_timer *t = dv_timer_heap_top(&loop->timers);

		if (!t || t->at_ns > now)
			break;
		dv_timer_heap_del(&loop->timers, t);
		t->loop = NULL;
		t->fn(t);
		count++;
	}
	return count;
}

static int run_posts(struct dv_loop *loop)
{
	struct post *list = loop->post_fired ? take_posts(loop) : NULL;
	int count = 0;

	while (list) {
		dv_autofree struct post *p = list;

		list = p->next;
		p->fn(p->arg);
		count++;
	}
	return count;
}

static int run_defers(struct dv_loop *loop)
{
	struct dv_defer *list = loop->defers;
	int count = 0;

	if (!list)
		return 0;
	list->prevp = &list;
	loop->defers = NULL;
	loop->defer_tail = &loop->defers;
	while (list) {
		struct dv_defer *d = list;
		dv_defer_fn *fn = d->fn;

		dv_defer_del(d); /* first: it may add itself, or be freed */
		fn(d);
		count++;
	}
	return count;
}

static int run_batch(struct dv_loop *loop)
{
	int count;

	loop->busy = true;
	count = run_sources(loop);
	count += run_timers(loop);
	count += run_posts(loop);
	count += run_defers(loop);
	loop->busy = false;
	sync_timer_fd(loop);
	return count;
}

int dv_loop_dispatch(struct dv_loop *loop, int timeout_ms)
{
	uint64_t end_ns = FOREVER;
	int r;

	if (loop->busy)
		return -EDEADLK;
	if (timeout_ms >= 0)
		end_ns = timeout_ms ? dv_now_ns() +
					      (uint64_t)timeout_ms * NS_PER_MS
				    : 0;
	do {
		r = collect(loop, end_ns);
		if (r == 0)
			r = run_batch(loop);
	} while (r == 0 && end_ns &&
		 (end_ns == FOREVER || dv_now_ns() < end_ns));
	return r;
}
