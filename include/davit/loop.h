/* SPDX-License-Identifier: MIT */
#pragma once
/*
 * The event loop: one thread, level-triggered epoll.
 *
 * Sources are embedded in the struct that owns them; their fields are private.
 * A source that was added must be removed before its memory goes. Inside a
 * callback any source may be removed or freed, its own included: an event that
 * was already collected for it is dropped. A loop and its sources belong to one
 * thread; only dv_loop_post() may be called from others.
 *
 * To embed a davit loop in another one, poll dv_loop_fd() for reading and call
 * dv_loop_dispatch(loop, 0) when it is readable.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <davit/err.h>

#ifdef __cplusplus
extern "C" {
#endif

struct dv_loop;
struct dv_src;
struct dv_timer;
struct dv_defer;

/* @events: EPOLLIN, EPOLLOUT, EPOLLHUP, EPOLLERR; HUP is not an error. */
typedef void dv_src_fn(struct dv_src *src, uint32_t events);
typedef void dv_timer_fn(struct dv_timer *timer);
typedef void dv_defer_fn(struct dv_defer *defer);

struct dv_src {
	struct dv_loop *loop; /* NULL = not added */
	dv_src_fn *fn;
	uint32_t events;
	int fd;
	uint32_t slot; /* index in the batch being dispatched, or UINT32_MAX */
};

struct dv_timer {
	struct dv_loop *loop; /* NULL = not armed */
	dv_timer_fn *fn;
	uint64_t at_ns;
	size_t at; /* heap index */
};

struct dv_defer {
	struct dv_loop *loop; /* NULL = not queued */
	dv_defer_fn *fn;
	struct dv_defer *next, **prevp;
};

/* clang-format off */
#define DV_SRC_INIT { NULL, NULL, 0, -1, UINT32_MAX }
#define DV_TIMER_INIT { NULL, NULL, 0, 0 }
#define DV_DEFER_INIT { NULL, NULL, NULL, NULL }
/* clang-format on */

/* Create a loop. Returns 0, -ENOMEM, -EMFILE. */
DV_API int dv_loop_new(struct dv_loop **loopp);

/*
 * Free it; no source, timer or deferred work may be left. Not in a callback.
 * NULL is allowed. Returns NULL.
 */
DV_API struct dv_loop *dv_loop_free(struct dv_loop *loop);

/*
 * Readable when dispatch has something to do (timers included). Borrowed. The
 * first call makes a descriptor for the timers and can fail: -EMFILE, -ENOMEM.
 */
DV_API int dv_loop_fd(struct dv_loop *loop);

/*
 * Wait up to @timeout_ms (-1 = until something happens) and run callbacks: one
 * batch. Returns the number of callbacks run (0 = timed out), or -EDEADLK when
 * called inside a callback of the same loop. Never -EINTR: it is retried.
 */
DV_API int dv_loop_dispatch(struct dv_loop *loop, int timeout_ms);

/* True inside one of its callbacks. Blocking calls return -EDEADLK then. */
DV_API bool dv_loop_busy(const struct dv_loop *loop);

/*
 * Watch @fd (borrowed; it must stay open until dv_src_del()). @events may be
 * 0: then only HUP and ERR are reported. Returns 0 or -errno; -EPERM for
 * regular files, which are always ready.
 */
DV_API int dv_src_add(struct dv_loop *loop, struct dv_src *src, int fd,
		      uint32_t events, dv_src_fn *fn);
/* Returns 0 or -errno. Collected events that are not wanted now are dropped. */
DV_API int dv_src_mod(struct dv_src *src, uint32_t events);
/* Idempotent. Does not close the fd. */
DV_API void dv_src_del(struct dv_src *src);

/*
 * Arm (or re-arm, which cannot fail) for an absolute CLOCK_MONOTONIC time. It
 * fires once, never early, and at most about 1 ms late by the loop's own doing.
 * Timers for the same time fire in no particular order. Returns 0 or -ENOMEM.
 */
DV_API int dv_timer_set(struct dv_loop *loop, struct dv_timer *timer,
			uint64_t at_ns, dv_timer_fn *fn);
DV_API void dv_timer_stop(struct dv_timer *timer);

/* Run @fn once, at the end of the current (or next) batch. Idempotent. */
DV_API void dv_defer_add(struct dv_loop *loop, struct dv_defer *defer,
			 dv_defer_fn *fn);
DV_API void dv_defer_del(struct dv_defer *defer);

/*
 * From any thread: run fn(arg) in the loop's thread. Posts of one thread keep
 * their order. Returns 0, -ENOMEM, or -EMFILE (the first post only).
 * Work that is still queued when the loop is freed is dropped.
 */
DV_API int dv_loop_post(struct dv_loop *loop, void (*fn)(void *arg), void *arg);

/* CLOCK_MONOTONIC in ns. */
DV_API uint64_t dv_now_ns(void);

#ifdef __cplusplus
}
#endif
