/* SPDX-License-Identifier: MIT */
#pragma once
/*
 * For tests only: an actor that sends and checks a pattern on one end of a
 * stream, on a loop, and a directory of its own for sockets.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/def.h"
#include "base/fd.h"
#include "base/path.h"
#include "base/test.h"

#define TRY_ACTOR_INIT                        \
	{                                     \
		.src = DV_SRC_INIT, .fd = -1, \
	}

struct try_actor {
	struct dv_src src;
	int fd;           /* owned, non-blocking */
	size_t to_send;   /* of the pattern */
	size_t sent, got; /* bytes so far */
	bool shut;        /* end the direction when all is sent */
	bool deaf;        /* reads nothing */
	bool eof;         /* the other side ended its direction */
	bool bad;         /* a byte was not the one expected */
	int sys;          /* the error that ended it */
};

static inline char try_pattern(size_t i)
{
	return (char)(i * 7 + i / 251 + i / 65521);
}

static inline void try_watch(struct try_actor *a)
{
	uint32_t events = 0;

	if (!a->deaf && !a->eof && !a->sys)
		events |= EPOLLIN;
	if (a->sent < a->to_send && !a->sys)
		events |= EPOLLOUT;
	if (a->src.loop && !events)
		dv_src_del(&a->src);
	else if (a->src.loop)
		CHECK_EQ(dv_src_mod(&a->src, events), 0);
}

static inline ssize_t try_send_some(struct try_actor *a)
{
	char buf[8192];
	size_t n = dv_min(sizeof(buf), a->to_send - a->sent);
	ssize_t r;

	for (size_t i = 0; i < n; i++)
		buf[i] = try_pattern(a->sent + i);
	r = send(a->fd, buf, n, MSG_DONTWAIT | MSG_NOSIGNAL);
	if (r < 0 && errno != EAGAIN)
		a->sys = errno;
	if (r > 0)
		a->sent += (size_t)r;
	return r;
}

/* As much as there is room for. */
static inline void try_send(struct try_actor *a)
{
	while (a->sent < a->to_send && try_send_some(a) > 0)
		;
	if (a->sent == a->to_send && a->shut)
		shutdown(a->fd, SHUT_WR);
}

static inline void try_receive(struct try_actor *a)
{
	char buf[8192];
	ssize_t r = recv(a->fd, buf, sizeof(buf), MSG_DONTWAIT);

	if (r < 0 && errno != EAGAIN)
		a->sys = errno;
	a->eof = a->eof || r == 0;
	for (ssize_t i = 0; i < r; i++)
		a->bad = a->bad || buf[i] != try_pattern(a->got++);
}

static inline void try_on_io(struct dv_src *src, uint32_t events)
{
	struct try_actor *a = dv_container_of(src, struct try_actor, src);

	if (!a->deaf && (events & (EPOLLIN | EPOLLHUP | EPOLLERR)))
		try_receive(a);
	if (a->sent < a->to_send && (events & (EPOLLOUT | EPOLLERR)))
		try_send(a);
	try_watch(a);
}

/* Start, or go on with what was changed. */
static inline void try_act(struct try_actor *a, struct dv_loop *loop)
{
	if (!a->src.loop)
		CHECK_EQ(dv_src_add(loop, &a->src, a->fd, EPOLLIN | EPOLLOUT,
				    try_on_io),
			 0);
	if (a->to_send == 0 && a->shut)
		shutdown(a->fd, SHUT_WR);
	try_watch(a);
}

static inline void try_actor_end(struct try_actor *a)
{
	dv_src_del(&a->src);
	a->fd = dv_close(a->fd);
}

/* Run the loop until @cond; the alarm of the test ends what never comes. */
#define TRY_UNTIL(loop, cond)                                     \
	do {                                                      \
		while (!(cond))                                   \
			CHECK(dv_loop_dispatch((loop), -1) >= 0); \
	} while (0)

/* Run what is due until nothing is. */
static inline void try_settle(struct dv_loop *loop)
{
	while (dv_loop_dispatch(loop, 0) > 0)
		;
}

/* A directory of one test; try_rmdir() removes it. */
static inline void try_mkdir(char out[32])
{
	snprintf(out, 32, "/tmp/dvt.XXXXXX");
	CHECK(mkdtemp(out));
}

static inline void try_rmdir(const char *dir)
{
	CHECK_EQ(dv_remove_tree(AT_FDCWD, dir), 0);
}

static inline const char *try_path(char out[108], const char *dir,
				   const char *name)
{
	snprintf(out, 108, "%s/%s", dir, name);
	return out;
}
