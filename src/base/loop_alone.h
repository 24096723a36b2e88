/* SPDX-License-Identifier: MIT */
#pragma once
/*
 * For a blocking call that could as well sleep in its own system call.
 */
#include <davit/loop.h>

/*
 * True when nothing but @src could make the loop do something: there is no
 * other source, no more than @n_timers timers, no deferred work, and no other
 * thread has ever posted.
 */
bool dv_loop_alone(const struct dv_loop *loop, const struct dv_src *src,
		   size_t n_timers);
