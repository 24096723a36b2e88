/* SPDX-License-Identifier: MIT */
#pragma once
/*
 * For the tests of channels: a mesh on a loop, and processes that join it.
 *
 *	struct chan_try t;
 *	chan_up(&t);
 *	chan_until(&t, done);		run the loop; fails after 10 s
 *	chan_quiet(&t);			run it until nothing is left to do
 *	chan_down(&t);
 *
 *	struct chan_child c = chan_fork(fn);	before chan_up()
 *	port = chan_invite(&t, &c);		fn(t, port) runs there
 *	CHECK_EQ(chan_wait(&c), 0);		what it returned
 */
#include <errno.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>
#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/lsan_interface.h>
#endif

#include "base/def.h"
#include "base/fd.h"
#include "base/test.h"
#include "davit/channel.h"

enum { CHAN_TRY_MS = 10000 };

struct chan_try {
	struct dv_loop *loop;
	struct dv_mesh *mesh;
};

/* A small window: it is soon full. */
static inline void chan_up(struct chan_try *t)
{
	static const struct dv_mesh_opts opts = { .size = sizeof(opts),
						  .port_window = 256 << 10 };

	CHECK_EQ(dv_loop_new(&t->loop), 0);
	CHECK_EQ(dv_mesh_new(&t->mesh, t->loop, &opts, NULL), 0);
}

static inline void chan_down(struct chan_try *t)
{
	t->mesh = dv_mesh_free(t->mesh);
	t->loop = dv_loop_free(t->loop);
}

#define chan_until(t, cond)                                               \
	do {                                                              \
		uint64_t dv_end = dv_now_ns() + CHAN_TRY_MS * 1000000ull; \
		while (!(cond)) {                                         \
			CHECK(dv_now_ns() < dv_end);                      \
			CHECK(dv_loop_dispatch((t)->loop, 100) >= 0);     \
		}                                                         \
	} while (0)

static inline void chan_quiet(struct chan_try *t)
{
	while (dv_loop_dispatch(t->loop, 0) > 0)
		;
}

/* A message with the text @s. */
static inline struct dv_msg *chan_text(const char *s)
{
	struct dv_msg *msg = dv_msg_new(strlen(s));

	CHECK(msg);
	memcpy(dv_msg_data(msg), s, strlen(s));
	return msg;
}

static inline bool chan_is(const struct dv_msg *msg, const char *s)
{
	return msg && dv_msg_len(msg) == strlen(s) &&
	       memcmp(dv_msg_data(msg), s, strlen(s)) == 0;
}

/* ---- processes ----------------------------------------------------- */

/* In a child: a failed check ends it with 99. */
#define must(x)                                                         \
	do {                                                            \
		if (!(x)) {                                             \
			fprintf(stderr, "%s:%d: child: %s\n", __FILE__, \
				__LINE__, #x);                          \
			_exit(99);                                      \
		}                                                       \
	} while (0)

#define must_until(t, cond)                                                   \
	do {                                                                  \
		uint64_t dv_end = dv_now_ns() + 2 * CHAN_TRY_MS * 1000000ull; \
		while (!(cond)) {                                             \
			must(dv_now_ns() < dv_end);                           \
			must(dv_loop_dispatch((t)->loop, 100) >= 0);          \
		}                                                             \
	} while (0)

typedef int chan_child_fn(struct chan_try *t, struct dv_port *port);

struct chan_child {
	pid_t pid;
	int sock; /* the invitation goes there */
};

static inline void chan_left(struct dv_mesh *mesh DV_UNUSED, void *arg,
			     const struct dv_mesh_left *left DV_UNUSED)
{
	*(bool *)arg = true;
}

/* _exit() looks for no leaks. */
static inline bool chan_leaks(void)
{
#if defined(__SANITIZE_ADDRESS__)
	return __lsan_do_recoverable_leak_check() != 0;
#else
	return false;
#endif
}

_Noreturn static inline void chan_child_main(int sock, chan_child_fn *fn)
{
	struct chan_try t;
	struct dv_port *port;
	bool left = false;
	int fd = dv_recv_fd(sock), r;

	dv_close(sock);
	if (fd < 0)
		_exit(98); /* never invited */
	must(dv_loop_new(&t.loop) == 0);
	must(dv_mesh_new(&t.mesh, t.loop, NULL, NULL) == 0);
	must(dv_mesh_join(t.mesh, fd, &port, NULL) == 0);
	r = fn(&t, port);
	must(dv_mesh_leave(t.mesh, CHAN_TRY_MS, chan_left, &left) == 0);
	must_until(&t, left);
	dv_mesh_free(t.mesh);
	dv_loop_free(t.loop);
	_exit(chan_leaks() ? 97 : r);
}

/* Before this process has a mesh: its sockets would live on in the child. */
static inline struct chan_child chan_fork(chan_child_fn *fn)
{
	struct chan_child c;
	int socks[2];

	CHECK_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, socks), 0);
	c.pid = fork();
	CHECK(c.pid >= 0);
	if (c.pid == 0) {
		dv_close(socks[0]);
		chan_child_main(socks[1], fn);
	}
	dv_close(socks[1]);
	c.sock = socks[0];
	return c;
}

static inline struct dv_port *chan_invite(struct chan_try *t,
					  struct chan_child *c)
{
	struct dv_port *port;
	int fd;

	CHECK_EQ(dv_mesh_invite(t->mesh, &fd, &port, NULL), 0);
	CHECK_EQ(dv_send_fd(c->sock, fd), 0);
	dv_close(fd);
	c->sock = dv_close(c->sock);
	return port;
}

/* Its exit status; 1000 and more: the signal that killed it. */
static inline int chan_wait(struct chan_child *c)
{
	int status;

	CHECK_EQ(waitpid(c->pid, &status, 0), c->pid);
	return WIFSIGNALED(status) ? 1000 + WTERMSIG(status)
				   : WEXITSTATUS(status);
}
