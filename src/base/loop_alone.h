/* SPDX-License-Identifier: MIT */
#pragma once
/*
 * For who could as well sleep in a system call of his own: a wake-up through
 * epoll costs two processes that talk in turns a fifth more.
 */
#include <davit/loop.h>

enum {
	/* Beside EPOLLIN, in the events of a callback: nothing else can happen
	 * in this loop, so the first read may sleep, as long as it likes. */
	DV_SRC_SLEEP = 1 << 24,
};

/*
 * True when nothing but @src could make the loop do something: there is no
 * other source, no more than @n_timers timers, no deferred work, and no other
 * thread that has posted, or could.
 */
bool dv_loop_alone(const struct dv_loop *loop, const struct dv_src *src,
		   size_t n_timers);

/* This process has one thread. False: it may have others. */
bool dv_only_thread(void);

/*
 * Whenever nothing but @src can make the loop do something, nobody polls the
 * loop, EPOLLIN is all that @src waits for and dispatch was to wait for ever:
 * do not wait, but call it with DV_SRC_SLEEP. One source of a loop at a time:
 * the last one that asked. Until dv_src_del(), or @on is false: who could not
 * sleep has to say that.
 */
void dv_src_sleeper(struct dv_src *src, bool on);
