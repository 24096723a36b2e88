/* SPDX-License-Identifier: MIT */
#pragma once
/*
 * For the tests of flows: a client and a loop that serves both sides.
 */
#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "agent/outflow.h"
#include "agent/worker.h"
#include "base/def.h"
#include "base/fd.h"
#include "base/test.h"

#define TRY_GOT_MAX (64 * 1024 * 1024)
#define TRY_SECONDS 20

struct
try {
	struct dv_loop *loop;
	struct dv_src src; /* of the client, while it reads */
	struct dv_buf got;
	int client;
	int out; /* the flow's side, until it is taken */
	bool eof;
	int started, done;
	uint64_t bytes;
	struct dv_err err; /* DV_OK: in order */
};

static inline void try_started(void *arg)
{
	struct try *t = arg;

	assert_int_equal(t->done, 0);
	t->started++;
}

static inline void try_done(void *arg, uint64_t bytes, const struct dv_err *err)
{
	struct try *t = arg;

	t->done++;
	t->bytes = bytes;
	if (err)
		t->err = *err;
}

static inline void try_on_client(struct dv_src *src, uint32_t events)
{
	struct try *t = dv_container_of(src, struct try, src);
	char *p = dv_buf_room(&t->got, 65536);
	ssize_t n;

	(void)events;
	assert_non_null(p);
	n = dv_read(t->client, p, 65536);
	if (n > 0)
		dv_buf_add(&t->got, (size_t)n);
	else if (n != -EAGAIN) {
		t->eof = true;
		dv_src_del(src);
	}
}

static inline void try_read(struct try *t)
{
	CHECK_EQ(
		dv_src_add(t->loop, &t->src, t->client, EPOLLIN, try_on_client),
		0);
}

static inline void try_pair(int fds[2])
{
	CHECK_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK,
			    0, fds),
		 0);
}

/* The client does not read before try_read(). */
static inline void try_open(struct try *t, struct dv_loop *loop)
{
	int fds[2];

	*t = (struct try){ .got = DV_BUF_INIT(TRY_GOT_MAX),
			   .src = DV_SRC_INIT,
			   .loop = loop };
	if (!loop)
		CHECK_EQ(dv_loop_new(&t->loop), 0);
	try_pair(fds);
	t->client = fds[0];
	t->out = fds[1];
}

static inline void try_hang_up(struct try *t)
{
	dv_src_del(&t->src);
	t->client = dv_close(t->client);
}

/* One batch; fails when nothing happens for too long. */
static inline void try_turn(struct try *t)
{
	if (dv_loop_dispatch(t->loop, TRY_SECONDS * 1000) <= 0)
		fail_msg("nothing happens any more");
}

#define TRY_UNTIL(t, cond)           \
	do {                         \
		while (!(cond))      \
			try_turn(t); \
	} while (0)

/* @loop: the one of try_open(), when it is the caller's. */
static inline void try_close(struct try *t, struct dv_loop *loop)
{
	try_hang_up(t);
	t->out = dv_close(t->out);
	dv_buf_free(&t->got);
	if (loop)
		return;
	TRY_UNTIL(t, dv_worker_count() == 0);
	t->loop = dv_loop_free(t->loop);
}
