/* SPDX-License-Identifier: MIT */
#pragma once
/*
 * For tests of this room: a table of processes on a loop, and the client's ends
 * of its streams. Everything runs in one thread: waiting is running the loop.
 */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/def.h"
#include "base/fd.h"
#include "base/test.h"
#include "services/procs.h"

struct try_procs {
	struct dv_loop *loop;
	struct dv_data *data;
	struct dv_procs *procs;
	/* How the last start ended. */
	struct dv_exec *exec;
	struct dv_err err;
	bool started;
};

static inline void try_open(struct try_procs *t)
{
	static const char *const env[] = { "PATH=/usr/bin:/bin", "BASE=1",
					   NULL };
	struct dv_procs_opts o = {
		.size = sizeof(o),
		.env = env,
		.name = "tester",
	};

	*t = (struct try_procs){ .loop = NULL };
	signal(SIGPIPE, SIG_IGN);
	CHECK_EQ(dv_loop_new(&t->loop), 0);
	CHECK_EQ(dv_data_new(&t->data, t->loop, NULL), 0);
	o.data = t->data;
	CHECK_EQ(dv_procs_new(&t->procs, t->loop, &o, &t->err), 0);
}

static inline void try_close(struct try_procs *t)
{
	t->procs = dv_procs_free(t->procs);
	t->data = dv_data_free(t->data);
	t->loop = dv_loop_free(t->loop);
}

static inline void try_turn(struct try_procs *t)
{
	int r = dv_loop_dispatch(t->loop, 20000);

	if (r == 0)
		print_error("nothing happened for 20 s\n");
	CHECK(r > 0);
}

/* Run what is ready, and no more. */
static inline void try_settle(struct try_procs *t)
{
	while (dv_loop_dispatch(t->loop, 0) > 0)
		;
}

/* ---- data connections ------------------------------------------------- */

/* A data connection: the client's end, and its id. */
static inline int try_conn(struct try_procs *t, uint64_t *idp)
{
	uint8_t id[8];
	int sv[2];

	CHECK_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sv), 0);
	CHECK_EQ(dv_data_take(t->data, sv[0], NULL), 0);
	while (recv(sv[1], id, sizeof(id), MSG_PEEK | MSG_DONTWAIT) <
	       (ssize_t)sizeof(id))
		try_turn(t);
	CHECK_EQ(dv_read(sv[1], id, sizeof(id)), 8);
	*idp = 0;
	for (int i = 8; i-- > 0;)
		*idp = *idp << 8 | id[i];
	return sv[1];
}

static inline int try_stdio(struct try_procs *t, dv_Stdio *s, bool *hasp)
{
	*s = (dv_Stdio){ .mode = dv_STDIO_CONN };
	*hasp = true;
	return try_conn(t, &s->conn);
}

/* Up to @size bytes; less only at the end of the stream. */
static inline size_t try_read(struct try_procs *t, int fd, void *buf,
			      size_t size)
{
	size_t len = 0;

	while (len < size) {
		ssize_t n =
			recv(fd, (char *)buf + len, size - len, MSG_DONTWAIT);

		if (n == 0 || (n < 0 && errno == ECONNRESET))
			break;
		if (n > 0)
			len += (size_t)n;
		else if (errno == EAGAIN)
			try_turn(t);
		else
			CHECK_EQ(errno, 0);
	}
	return len;
}

/* All text until the end, at most 64 KiB, and close. Static. */
static inline const char *try_text(struct try_procs *t, int fd)
{
	static char text[65536];

	text[try_read(t, fd, text, sizeof(text) - 1)] = '\0';
	dv_close(fd);
	return text;
}

static inline void try_send(struct try_procs *t, int fd, const void *data,
			    size_t len)
{
	const char *p = data;

	while (len > 0) {
		ssize_t n = send(fd, p, len, MSG_DONTWAIT | MSG_NOSIGNAL);

		if (n < 0) {
			CHECK_EQ(errno, EAGAIN);
			try_turn(t);
			continue;
		}
		p += n;
		len -= (size_t)n;
	}
}

/* ---- processes -------------------------------------------------------- */

static inline void try_on_started(void *arg, struct dv_exec *exec,
				  const struct dv_err *err)
{
	struct try_procs *t = arg;

	t->started = true;
	t->exec = exec;
	if (err)
		t->err = *err;
}

/* Start and see how it goes; NULL: it failed, see t->err. */
static inline struct dv_exec *try_start(struct try_procs *t,
					const dv_ExecRequest *rq)
{
	struct dv_exec *exec;

	t->started = false;
	t->exec = NULL;
	t->err = (struct dv_err)DV_ERR_INIT;
	if (dv_procs_start(t->procs, rq, NULL, 0, try_on_started, t, &exec,
			   &t->err) < 0)
		return NULL;
	while (!t->started)
		try_turn(t);
	return t->exec;
}

/* Run @script by a shell with what else @with (may be NULL) says. */
static inline struct dv_exec *
try_run(struct try_procs *t, const dv_ExecRequest *with, const char *script)
{
	char sh[] = "/bin/sh", c[] = "-c";
	char *argv[3] = { sh, c, strdup(script) };
	dv_ExecRequest rq = { 0 };
	struct dv_exec *exec;

	if (with)
		rq = *with;
	rq.argv = argv;
	rq.argv_count = 3;
	exec = try_start(t, &rq);
	free(argv[2]);
	if (!exec)
		print_error("%s\n", t->err.msg);
	CHECK(exec != NULL);
	return exec;
}

/* Until it has exited; its code. */
static inline int try_wait(struct try_procs *t, struct dv_exec *exec)
{
	while (!dv_exec_record(exec))
		try_turn(t);
	return dv_exec_record(exec)->code;
}
